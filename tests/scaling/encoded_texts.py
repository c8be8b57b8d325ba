"""Texts as a proxy gets them: token ids of a small byte-level tokenizer, trained on this repository's own pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpusmill.scaling.contract import Tokens, Training

_REPOSITORY = Path(__file__).parents[2]


@cache
def tokenizer_json(vocab_size: int = 600) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([path.read_text() for path in sorted(_REPOSITORY.glob("*.md"))], trainer)
    text: str = tokenizer.to_str()
    return text


def encoded(texts: Sequence[str], tokenizer: str | None = None) -> Tokens:
    made = Tokenizer.from_str(tokenizer or tokenizer_json())
    ids = [made.encode(text, add_special_tokens=False).ids for text in texts]
    return Tokens(
        ids=np.array([token for each in ids for token in each], np.uint16),
        offsets=np.cumsum([0, *map(len, ids)], dtype=np.int64),
        text_bytes=np.array([len(text.encode()) for text in texts], np.int64),
        documents=pa.array([f"d{number}" for number in range(len(texts))], pa.string()),
    )


def training_on(folder: Path, texts: Sequence[str], heldout: dict[str, Sequence[str]], tokens: int = 1000) -> Training:
    """With a folder for the run, and the tokenizer in a file."""
    path = folder / "tokenizer.json"
    path.write_text(tokenizer_json())
    (folder / "cell").mkdir(exist_ok=True)
    return Training(
        train=encoded(texts),
        heldout={domain: encoded(held) for domain, held in heldout.items()},
        tokens=tokens,
        vocab_size=Tokenizer.from_str(tokenizer_json()).get_vocab_size(),
        eos_id=0,
        tokenizer=path,
        seed=7,
        folder=folder / "cell",
    )
