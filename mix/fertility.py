"""Fertility: how finely tokenizers cut the words of each source and language, on texts that they were not trained on.

Rust et al. 2021 ("How good is your tokenizer?", arXiv:2012.15613) compare two measures of vocabularies, which are taken
here as

    tokens per word   all tokens, those of punctuation and white space included, by words
    words split       share of the words of which more than one token has a part

with bytes per token beside them, which needs no notion of a word. Words are those of documents/segmentation.py that
hold a letter or a digit: an ideograph is one of its own.

Differs from the paper: there, tokens of punctuation are left out, and words come from treebanks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import WORD
from corpusmill.mix.tokens import Tokens


@dataclass(kw_only=True)
class Counted:
    """What was counted in the texts of one source and language.

    tokens, split  for each tokenizer; `split` is None where ids do not stand for bytes
    """

    documents: int = 0
    text_bytes: int = 0
    words: int = 0
    tokens: list[int] = field(default_factory=list)
    split: list[int | None] = field(default_factory=list)

    def add(self, other: Counted) -> None:
        self.documents += other.documents
        self.text_bytes += other.text_bytes
        self.words += other.words
        none = [0] * len(other.tokens)
        self.tokens = [a + b for a, b in zip(self.tokens or none, other.tokens, strict=True)]
        self.split = [
            None if a is None or b is None else a + b for a, b in zip(self.split or none, other.split, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """Counts by source and language (empty where unknown), and how much of each vocabulary was met."""

    names: tuple[str, ...]
    counted: dict[tuple[str, str], Counted]
    used: tuple[float, ...]

    def by_source(self) -> dict[str, Counted]:
        sums: dict[str, Counted] = {}
        for (source, _), counted in self.counted.items():
            sums.setdefault(source, Counted()).add(counted)
        return sums

    def total(self) -> Counted:
        total = Counted()
        for counted in self.counted.values():
            total.add(counted)
        return total

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the total, and a row for each source and language, the largest first."""
        rows = sorted(self.counted.items(), key=lambda row: (-row[1].text_bytes, row[0]))
        return {
            "tokenizers": [
                {"name": name, "vocabulary_used": round(used, 6)}
                for name, used in zip(self.names, self.used, strict=True)
            ],
            "total": self._row(self.total()),
            "rows": [
                {"source": source, "language": language or None, **self._row(counted)}
                for (source, language), counted in rows
            ],
        }

    def _row(self, counted: Counted) -> dict[str, Any]:
        return {
            "documents": counted.documents,
            "text_bytes": counted.text_bytes,
            "words": counted.words,
            "tokens": counted.tokens,
            "tokens_per_word": [_ratio(tokens, counted.words) for tokens in counted.tokens],
            "bytes_per_token": [_ratio(counted.text_bytes, tokens) for tokens in counted.tokens],
            "words_split": [None if split is None else _ratio(split, counted.words) for split in counted.split],
        }


def measure(tokenizers: Sequence[Tokens], batches: Iterable[pa.RecordBatch]) -> Fertility:
    """Counts what the tokenizers make of rows with `text`, `source` and `language`."""
    counted: dict[tuple[str, str], Counted] = {}
    seen = [np.zeros(tokens.vocab_size, np.bool_) for tokens in tokenizers]
    for rows in batches:
        sources = rows.column("source").to_pylist()
        languages = [language or "" for language in rows.column("language").to_pylist()]
        groups: dict[tuple[str, str], list[int]] = {}
        for row, group in enumerate(zip(sources, languages, strict=True)):
            groups.setdefault(group, []).append(row)
        for group, members in groups.items():
            some = rows.column("text").take(pa.array(members)).cast(pa.string())
            counted.setdefault(group, Counted()).add(_count(tokenizers, some, seen))
    return Fertility(
        names=tuple(tokens.name for tokens in tokenizers),
        counted=counted,
        used=tuple(float(np.mean(known)) for known in seen),
    )


def _count(tokenizers: Sequence[Tokens], texts: pa.StringArray, seen: Sequence[NDArray[np.bool_]]) -> Counted:
    batch = TextBatch.of_texts(texts.to_pylist())
    found = batch.words
    inside = np.flatnonzero(found.kinds & WORD)
    starts = found.starts[inside].astype(np.int64) - int(batch.offsets[0])
    ends = found.ends[inside].astype(np.int64) - int(batch.offsets[0])
    counted = Counted(documents=len(batch), text_bytes=batch.n_bytes, words=len(inside))
    for tokens, known in zip(tokenizers, seen, strict=True):
        ids, _ = tokens.encode(texts)
        known[ids] = True
        counted.tokens.append(len(ids))
        counted.split.append(_split_words(tokens, ids, batch.n_bytes, starts, ends))
    return counted


def _split_words(
    tokens: Tokens, ids: NDArray[np.uint32], text_bytes: int, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> int | None:
    """Words with the border of two tokens inside them; None if tokens and text have not the same bytes."""
    if tokens.token_bytes is None:
        return None
    borders = np.cumsum(tokens.token_bytes[ids].astype(np.int64))
    if (int(borders[-1]) if len(borders) else 0) != text_bytes:
        return None
    return int(np.count_nonzero(np.searchsorted(borders, ends, "left") > np.searchsorted(borders, starts, "right")))


def _ratio(numerator: int, denominator: int) -> float | None:
    return round(numerator / denominator, 6) if denominator else None
