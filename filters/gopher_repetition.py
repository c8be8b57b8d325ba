"""Gopher's repetition rules: drops documents that say the same again and again.

Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Repetition removal" and table A1. Decisions and reasons equal those
of datatrove 0.10.1's `GopherRepetitionFilter` with its word tokenizer replaced by `TextBatch.words`: punctuation takes
part in n-grams, shares of characters are of the whole text, a duplicated line or paragraph is one that stood in the
document before, and the text is stripped for paragraphs but not for lines.

Differs from datatrove:
    - a threshold of 0 is a threshold; only None is off
    - n-grams are sequences of words; datatrove joins those of five and more without a space, so that "ab c" equals "a
      bc"
    - of text in scripts that are written without spaces, each character is a word (`TextBatch.words`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.text_statistics import DUPLICATE_SIZES, TOP_SIZES, ratio, repetition_counts


class Reason(StrEnum):
    EMPTY = "empty"
    DUPLICATE_PARAGRAPH_FRACTION = "duplicate_paragraph_fraction"
    DUPLICATE_PARAGRAPH_CHARACTERS = "duplicate_paragraph_characters"
    DUPLICATE_LINE_FRACTION = "duplicate_line_fraction"
    DUPLICATE_LINE_CHARACTERS = "duplicate_line_characters"
    TOP_2_GRAM = "top_2_gram"
    TOP_3_GRAM = "top_3_gram"
    TOP_4_GRAM = "top_4_gram"
    DUPLICATE_5_GRAMS = "duplicate_5_grams"
    DUPLICATE_6_GRAMS = "duplicate_6_grams"
    DUPLICATE_7_GRAMS = "duplicate_7_grams"
    DUPLICATE_8_GRAMS = "duplicate_8_grams"
    DUPLICATE_9_GRAMS = "duplicate_9_grams"
    DUPLICATE_10_GRAMS = "duplicate_10_grams"


@dataclass(frozen=True, kw_only=True)
class GopherRepetition(Filter):
    """Thresholds of Rae et al. 2021, table A1: shares from 0 to 1; a greater one is dropped; None turns a rule off.

    The measures are named like the reasons; `characters` is the length of the text, and 0 breaks the rule `empty`.
    """

    name: ClassVar[str] = "gopher_repetition"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [("characters", pa.int32()), *((reason.value, pa.float64()) for reason in Reason if reason != Reason.EMPTY)]
    )

    max_duplicate_paragraph_fraction: float | None = 0.30
    """Paragraphs equal to an earlier one, of all paragraphs."""
    max_duplicate_paragraph_characters: float | None = 0.20
    """Characters in such paragraphs, of the text's characters."""
    max_duplicate_line_fraction: float | None = 0.30
    """Lines equal to an earlier one, of all lines."""
    max_duplicate_line_characters: float | None = 0.20
    """Characters in such lines, of the text's characters."""
    max_top_2_gram: float | None = 0.20
    """Characters in all occurrences of the most frequent sequence of two words, of the text's characters."""
    max_top_3_gram: float | None = 0.18
    """The same for three words."""
    max_top_4_gram: float | None = 0.16
    """The same for four words."""
    max_duplicate_5_grams: float | None = 0.15
    """Characters in sequences of five words that occurred before, without overlap, of the text's characters."""
    max_duplicate_6_grams: float | None = 0.14
    """The same for six words."""
    max_duplicate_7_grams: float | None = 0.13
    """The same for seven words."""
    max_duplicate_8_grams: float | None = 0.12
    """The same for eight words."""
    max_duplicate_9_grams: float | None = 0.11
    """The same for nine words."""
    max_duplicate_10_grams: float | None = 0.10
    """The same for ten words."""

    def rules(self) -> Sequence[Rule]:
        shares = [reason for reason in Reason if reason != Reason.EMPTY]
        return (
            Rule(Reason.EMPTY, "characters", at_least=1),
            *(Rule(reason, reason.value, at_most=getattr(self, f"max_{reason}")) for reason in shares),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = repetition_counts(batch)
        return pa.record_batch(
            [
                pa.array(counts.characters),
                ratio(counts.duplicate_paragraphs, counts.paragraphs),
                ratio(counts.duplicate_paragraph_characters, counts.characters),
                ratio(counts.duplicate_lines, counts.lines),
                ratio(counts.duplicate_line_characters, counts.characters),
                *(ratio(counts.top[n], counts.characters) for n in TOP_SIZES),
                *(ratio(counts.duplicates[n], counts.characters) for n in DUPLICATE_SIZES),
            ],
            schema=self.measures,
        )
