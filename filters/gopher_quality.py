"""Gopher's quality rules: drops documents that do not look like prose.

Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Quality filtering". Decisions and reasons equal those of datatrove
0.10.1's `GopherQualityFilter` with its word tokenizer replaced by `TextBatch.words`. A token is a word or a single sign
of punctuation; only tokens that are not punctuation throughout count towards the document's length and mean word
length.

Differs from datatrove:
    - a threshold of 0 is a threshold; only None is off
    - with `min_words` off, a document without a token breaks no rule but that of stop words, instead of dividing by
      zero
    - of text in scripts that are written without spaces, each character is a word (`TextBatch.words`)
Differs from the paper: hashes and ellipses are measured by token, as in datatrove, not by word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.text_statistics import ratio, word_counts


class Reason(StrEnum):
    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    SHORT_WORDS = "short_words"
    LONG_WORDS = "long_words"
    TOO_MANY_HASHES = "too_many_hashes"
    TOO_MANY_ELLIPSES = "too_many_ellipses"
    TOO_MANY_BULLETS = "too_many_bullets"
    TOO_MANY_ELLIPSIS_LINES = "too_many_ellipsis_lines"
    TOO_FEW_ALPHABETIC_WORDS = "too_few_alphabetic_words"
    TOO_FEW_STOP_WORDS = "too_few_stop_words"


@dataclass(frozen=True, kw_only=True)
class GopherQuality(Filter):
    """Thresholds of Rae et al. 2021, appendix A.1.1; None turns a rule off."""

    name: ClassVar[str] = "gopher_quality"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("words", pa.int32()),  # tokens that are not punctuation throughout
            ("mean_word_length", pa.float64()),  # characters
            ("hashes_per_token", pa.float64()),
            ("ellipses_per_token", pa.float64()),
            ("bullet_lines", pa.float64()),  # share of lines
            ("ellipsis_lines", pa.float64()),  # share of lines
            ("alphabetic_tokens", pa.float64()),  # share of tokens
            ("alphabetic_words", pa.float64()),  # share of words
            ("stop_words", pa.int32()),  # different ones
        ]
    )

    min_words: int | None = 50
    """Words; a document with fewer is dropped."""
    max_words: int | None = 100_000
    """Words; a document with more is dropped."""
    min_mean_word_length: float | None = 3
    """Characters; a smaller mean is dropped."""
    max_mean_word_length: float | None = 10
    """Characters; a greater mean is dropped."""
    max_hashes_per_token: float | None = 0.1
    """Signs `#` for each token; more are dropped."""
    max_ellipses_per_token: float | None = 0.1
    """Ellipses (`…` or `...`) for each token; more are dropped."""
    max_bullet_lines: float | None = 0.9
    """Share of lines that begin with `•` or `-`; a greater one is dropped."""
    max_ellipsis_lines: float | None = 0.3
    """Share of lines that end in an ellipsis; a greater one is dropped."""
    min_alphabetic_tokens: float | None = 0.8
    """Share of tokens with a letter in them; a smaller one is dropped. Punctuation counts as words without a letter, as
    in datatrove: prose with many commas, quotes and numbers falls below .8 (docs/log.md)."""
    min_alphabetic_words: float | None = None
    """Share of words with a letter in them, punctuation left out: the rule as the paper words it. To have it instead of
    datatrove's, set it to .8 and `min_alphabetic_tokens` to null."""
    min_stop_words: int | None = 2
    """Different words of `stop_words`; a document with fewer is dropped."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """What `min_stop_words` counts, matched exactly. Belongs to the measure: to change it is to measure anew."""

    def prepare(self) -> None:
        """Checks that every stop word can occur.

        Raises:
            RecipeError: if a stop word is not one word as the segmentation sees it.
        """
        words = TextBatch.of_texts(self.stop_words).words
        for row, stop_word in enumerate(self.stop_words):
            found = words.firsts[row + 1] - words.firsts[row]
            if found != 1:
                raise RecipeError(
                    f'gopher_quality.stop_words: "{stop_word}" is {found} words to the segmentation and would never be '
                    "met; list single words"
                )

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.TOO_FEW_WORDS, "words", at_least=self.min_words),
            Rule(Reason.TOO_MANY_WORDS, "words", at_most=self.max_words),
            Rule(Reason.SHORT_WORDS, "mean_word_length", at_least=self.min_mean_word_length),
            Rule(Reason.LONG_WORDS, "mean_word_length", at_most=self.max_mean_word_length),
            Rule(Reason.TOO_MANY_HASHES, "hashes_per_token", at_most=self.max_hashes_per_token),
            Rule(Reason.TOO_MANY_ELLIPSES, "ellipses_per_token", at_most=self.max_ellipses_per_token),
            Rule(Reason.TOO_MANY_BULLETS, "bullet_lines", at_most=self.max_bullet_lines),
            Rule(Reason.TOO_MANY_ELLIPSIS_LINES, "ellipsis_lines", at_most=self.max_ellipsis_lines),
            Rule(Reason.TOO_FEW_ALPHABETIC_WORDS, "alphabetic_tokens", at_least=self.min_alphabetic_tokens),
            Rule(Reason.TOO_FEW_ALPHABETIC_WORDS, "alphabetic_words", at_least=self.min_alphabetic_words),
            Rule(Reason.TOO_FEW_STOP_WORDS, "stop_words", at_least=self.min_stop_words),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = word_counts(batch, self.stop_words)
        return pa.record_batch(
            [
                pa.array(counts.words),
                ratio(counts.letters, counts.words),
                ratio(counts.hashes, counts.tokens),
                ratio(counts.ellipses, counts.tokens),
                ratio(counts.bullet_lines, counts.lines),
                ratio(counts.ellipsis_lines, counts.lines),
                ratio(counts.alphabetic, counts.tokens),
                ratio(counts.alphabetic, counts.words),
                pa.array(counts.stop_words),
            ],
            schema=self.measures,
        )
