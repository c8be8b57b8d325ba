"""Trainings made up for the tests of the transformer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.scaling.contract import Tokens, Training

EOS = 0


def tokens_of(documents: Sequence[Sequence[int]], text_bytes: Sequence[int] | None = None) -> Tokens:
    """Documents d0, d1 and so on; a token is two bytes, where nothing else is said."""
    lengths = [len(document) for document in documents]
    return Tokens(
        ids=np.array([token for document in documents for token in document], np.uint16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        text_bytes=np.array([2 * length for length in lengths] if text_bytes is None else text_bytes, np.int64),
        documents=pa.array([f"d{number}" for number in range(len(documents))]),
    )


def counting(documents: int, length: int, vocab_size: int, seed: int) -> list[list[int]]:
    """Documents that count upwards from anywhere, and begin again behind the last token."""
    chance = np.random.default_rng(seed)
    starts = chance.integers(1, vocab_size, documents)
    return [[1 + (int(start) - 1 + step) % (vocab_size - 1) for step in range(length)] for start in starts]


def training_of(
    folder: Path,
    train: Tokens,
    tokens: int,
    *,
    vocab_size: int,
    heldout: dict[str, Tokens] | None = None,
    seed: int = 0,
) -> Training:
    """A training whose folder exists."""
    folder.mkdir(parents=True, exist_ok=True)
    if heldout is None:
        heldout = {"all": tokens_of([[1, 2, 3]])}
    return Training(
        train=train,
        heldout=heldout,
        tokens=tokens,
        vocab_size=vocab_size,
        eos_id=EOS,
        tokenizer=folder / "tokenizer.json",
        seed=seed,
        folder=folder,
    )
