"""FineWeb's quality rules: drops lists, menus and other text whose lines are no sentences.

Penedo et al. 2024, arXiv:2406.17557, section 3.6 and appendix E. Decisions and reasons equal those of datatrove
0.10.1's `FineWebQualityFilter` with its word tokenizer replaced by `TextBatch.words`. Lines stand between `\\n`; those
of nothing but white space do not count. A line ends in punctuation if its very last character, a space included, ends a
sentence in some script (`codepoints.TERMINAL`).

Differs from datatrove: of text in scripts that are written without spaces, each character is a word
(`TextBatch.words`).
Differs from the paper: a list is told by newlines for each token, as in datatrove, where the paper names no such rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.text_statistics import line_counts, ratio


class Reason(StrEnum):
    EMPTY = "empty"
    FEW_LINES_END_IN_PUNCTUATION = "few_lines_end_in_punctuation"
    SHORT_LINES = "short_lines"
    DUPLICATE_LINES = "duplicate_lines"
    LIST_LIKE = "list_like"


@dataclass(frozen=True, kw_only=True)
class FineWebQuality(Filter):
    """Thresholds of Penedo et al. 2024, section 3.6; None turns a rule off."""

    name: ClassVar[str] = "fineweb_quality"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("lines", pa.int32()),  # not blank
            ("punctuated_lines", pa.float64()),  # share of lines
            ("short_lines", pa.float64()),  # share of lines
            ("duplicate_line_characters", pa.float64()),  # share of the text's characters, newlines aside
            ("newlines_per_token", pa.float64()),
        ]
    )

    min_punctuated_lines: float | None = 0.12
    """Share of lines that end in punctuation; a smaller one is dropped."""
    max_short_lines: float | None = 0.67
    """Share of lines of at most `short_line_characters`; a greater one is dropped."""
    max_duplicate_line_characters: float | None = 0.01
    """Share of characters, newlines aside, that stand in lines equal to an earlier one; a greater one is dropped."""
    max_newlines_per_token: float | None = 0.3
    """Newlines for each token; more are dropped (datatrove's default; the paper names no such rule)."""
    short_line_characters: int = 30
    """Characters up to which a line is short. Belongs to the measure: to change it is to measure anew."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.EMPTY, "lines", at_least=1),
            Rule(Reason.FEW_LINES_END_IN_PUNCTUATION, "punctuated_lines", at_least=self.min_punctuated_lines),
            Rule(Reason.SHORT_LINES, "short_lines", at_most=self.max_short_lines),
            Rule(Reason.DUPLICATE_LINES, "duplicate_line_characters", at_most=self.max_duplicate_line_characters),
            Rule(Reason.LIST_LIKE, "newlines_per_token", at_most=self.max_newlines_per_token),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = line_counts(batch, self.short_line_characters)
        return pa.record_batch(
            [
                pa.array(counts.lines),
                ratio(counts.punctuated, counts.lines),
                ratio(counts.short, counts.lines),
                ratio(counts.duplicate_characters, counts.characters),
                ratio(counts.newlines, counts.tokens),
            ],
            schema=self.measures,
        )
