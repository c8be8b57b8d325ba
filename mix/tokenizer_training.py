"""Training a tokenizer: byte-level BPE by the tokenizers library, on a sample that has the mix's ratios.

Text is cut into pretokens by the pattern of Llama 3 and Qwen 2 (mix/pretokens.py, family CL100K), with marks among the
letters, without which words of Hindi, Thai or Hebrew fall apart at every vowel sign; digits stand alone, in groups of
up to three from the left, or as they come. There is no normaliser: bytes that go in come out.

`train` writes, in one folder:

    tokenizer.json          for tokenizers, transformers, datatrove, `corpusmill mix` and `corpusmill export`
    tokenizer_config.json   what `transformers.AutoTokenizer` asks for beside it, with the special tokens' parts
    fertility.json          what was trained on, and mix/fertility.py's measures on held-out texts

The same texts, options, seed and version of tokenizers give the same bytes, on any number of threads: merges are chosen
by count and, of equal counts, by ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.shards import atomic_text
from corpusmill.mix.fertility import Fertility, measure
from corpusmill.mix.pretokens import CL100K, LETTER, MARK, Pattern, character_classes, copy_short_pieces, regex_of
from corpusmill.mix.tokenizer_samples import Corpus, Sample, draw
from corpusmill.mix.tokens import END_OF_TEXT, Tokens, load_tokens

Digits = Literal["individual", "groups3", "none"]

LONGEST_PIECE = 1000
"""Bytes of the longest pretoken that is learned from. Longer ones (base64, rules of dashes) make no good tokens, and
the library goes through each of them at every merge."""
LEAST_PAIR = 2
"""How often a pair must occur to be merged."""
LARGEST_VOCABULARY = 1 << 20
_DIGITS = {"individual": 1, "groups3": 3, "none": 0}
_ROWS = 64  # of texts handed to the library at a time


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """What a tokenizer is to be.

    Raises:
        UsageError: if a value cannot be used.
    """

    vocab_size: int = 32768
    """Tokens, special ones included. Usual are 32,768 to 262,144; a few thousand for proxy models."""
    special_tokens: tuple[str, ...] = (END_OF_TEXT, "<|pad|>")
    """They get the lowest ids, in this order. The end of a text is `<|endoftext|>`, or the first if that is not there;
    padding is the first with `pad` in its name, the beginning of a text the first with `begin` or `bos`."""
    digits: Digits = "groups3"
    """Whether a number's digits stand alone (`individual`), in groups of up to three (`groups3`) or as they come."""
    sample_bytes: int = 200_000_000
    """UTF-8 bytes of text to train on, at most."""
    held_out_bytes: int = 20_000_000
    """UTF-8 bytes of held-out text to measure fertility on, at most."""
    seed: int = 0
    """Decides which texts are drawn."""
    weights: dict[str, float] = field(default_factory=dict)
    """Source -> its share of the sample. Empty: as the inputs have them."""

    def __post_init__(self) -> None:
        least = 256 + len(self.special_tokens)
        if not least < self.vocab_size <= LARGEST_VOCABULARY:
            raise UsageError(
                f"--vocab-size: {self.vocab_size:,} cannot be trained; all bytes and {len(self.special_tokens)} "
                f"special tokens are {least}, and the most is {LARGEST_VOCABULARY:,}"
            )
        if self.digits not in get_args(Digits):
            raise UsageError(f"--digits: {self.digits!r} is not known; choose one of {', '.join(get_args(Digits))}")
        if not self.special_tokens or len(set(self.special_tokens)) < len(self.special_tokens):
            raise UsageError(f"--special-tokens: {', '.join(self.special_tokens)}: name at least one, and each once")
        if short := [token for token in self.special_tokens if len(token) < 3 or token != token.strip()]:
            raise UsageError(
                f"--special-tokens: {short[0]!r} would be met in ordinary text; name it such as <|endoftext|>"
            )
        if self.sample_bytes <= 0 or self.held_out_bytes <= 0:
            raise UsageError("--sample-mb: give more than 0 megabytes")

    @property
    def pattern(self) -> Pattern:
        return Pattern(family=CL100K, letters=LETTER | MARK, digits=_DIGITS[self.digits])


@dataclass(frozen=True, kw_only=True)
class TrainedTokenizer:
    """A tokenizer that stands in its folder, and how it does.

    sample     bytes of each source that it was trained on
    left_out   bytes of pretokens that were too long to learn from
    fertility  on held-out texts
    """

    tokens: Tokens
    sample: dict[str, int]
    left_out: int
    fertility: Fertility


def train(corpora: Sequence[Corpus], out: Path, options: TokenizerOptions, *, field: str = "text") -> TrainedTokenizer:
    """Trains a tokenizer and writes it to the folder `out`.

    Raises:
        InputError: if a file cannot be read, there is no text, or it supports fewer tokens than asked.
        StorageError: if the disk is full.
    """
    weights = options.weights or None
    sample = draw(corpora, text_bytes=options.sample_bytes, seed=options.seed, weights=weights, field=field)
    if sample.text_bytes == 0:
        raise InputError("the sample has no text to train on; name inputs that have some")
    left_out: list[int] = []
    tokenizer = _trained(_pieces(sample, options.pattern, left_out), options)
    reached = tokenizer.get_vocab_size()
    if reached < options.vocab_size:
        raise InputError(
            f"--vocab-size: {sample.text_bytes:,} bytes of text support {reached:,} tokens, not {options.vocab_size:,} "
            f"(a pair must occur {LEAST_PAIR} times); ask for at most {reached}, or give more text"
        )
    out.mkdir(parents=True, exist_ok=True)
    atomic_text(out / "tokenizer_config.json", _json(_config(options)))
    atomic_text(out / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    tokens = load_tokens(str(out / "tokenizer.json"))
    held = draw(corpora, text_bytes=options.held_out_bytes, seed=options.seed, held_out=True, field=field)
    fertility = measure([replace(tokens, name="tokenizer.json")], held.batches())
    facts = {
        "fingerprint": tokens.fingerprint,
        "tokenizers": version("tokenizers"),
        "options": asdict(options),
        "trained_on": sample.sources,
        "left_out_bytes": left_out[0],
        "held_out": held.sources,
        "fertility": fertility.as_dict(),
    }
    atomic_text(out / "fertility.json", _json(facts))
    return TrainedTokenizer(tokens=tokens, sample=sample.sources, left_out=left_out[0], fertility=fertility)


def _trained(pieces: Iterator[list[str]], options: TokenizerOptions) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex_of(options.pattern)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=LEAST_PAIR,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in options.special_tokens],
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    return tokenizer


def _pieces(sample: Sample, pattern: Pattern, left_out: list[int]) -> Iterator[list[str]]:
    """The sample's texts without pretokens that are too long; their bytes are put into `left_out` in the end."""
    lost = 0
    for rows in sample.rows.select(["text"]).to_batches(max_chunksize=_ROWS):
        texts = rows.column(0).cast(pa.string())
        offsets, text = text_buffers(texts)
        kept, ends = np.empty(max(1, int(offsets[-1] - offsets[0])), np.uint8), np.empty(len(texts), np.int64)
        copy_short_pieces(
            offsets,
            text,
            character_classes(),
            pattern.family,
            np.uint8(pattern.letters),
            pattern.digits,
            pattern.tail_whole,
            LONGEST_PIECE,
            kept,
            ends,
        )
        lost += int(offsets[-1] - offsets[0]) - int(ends[-1])
        starts = np.concatenate([[0], ends[:-1]])
        yield [kept[start:end].tobytes().decode() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    left_out.append(lost)


def _config(options: TokenizerOptions) -> dict[str, Any]:
    specials = options.special_tokens
    end = END_OF_TEXT if END_OF_TEXT in specials else specials[0]

    def called(*words: str) -> str:
        return next((token for token in specials if any(word in token.lower() for word in words)), end)

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": called("begin", "bos"),
        "eos_token": end,
        "pad_token": called("pad"),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),  # what transformers takes for "no limit"
    }


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
