"""math_density: drops documents with little mathematics, by signs that are there whatever the topic is.

OpenWebMath (Paster et al. 2023, arXiv:2310.06786, section 3.3) keeps pages by a fastText classifier that it calls
MathScore, with a lower threshold where a page has LaTeX commands. To use such a model, give it to the `quality` stage.
This stage needs none: its score is the share of characters in formulas, plus LaTeX commands a word, plus mathematical
signs of Unicode a word.

A formula is what stands between `$`, `$$`, `\\(` and `\\)`, `\\[` and `\\]`, or `\\begin` and `\\end` of a mathematical
environment, if it has at most 5,000 bytes and, between dollars, no blank line, no white space at its ends and a letter
or a TeX sign in it, so that prices are no formulas.

Differs from OpenWebMath: no model, so a page about mathematics in words alone is dropped; pages become text with their
mathematics by `extract: {math: true}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.segmentation import decoded, width
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.text_statistics import ratio, text_characters

MAX_FORMULA = 5_000
_DOLLAR, _BACKSLASH, _NEWLINE, _SPACE = 0x24, 0x5C, 0x0A, 0x20
_BEGI, _GIN_BRACE, _END_BRACE = (int.from_bytes(part, "little") for part in (b"begi", b"gin{", b"end{"))
_ENVIRONMENTS = tuple(
    int.from_bytes(name[:4].ljust(4, b"\0"), "little")
    for name in (b"equation", b"align", b"gather", b"math", b"eqnarray")
)
"""The first four letters of mathematical environments."""


class Reason(StrEnum):
    LITTLE_MATH = "little_math"
    FEW_SIGNS = "few_signs"


@dataclass(frozen=True, kw_only=True)
class MathDensity(Filter):
    """Drops documents by the density of formulas, LaTeX commands and mathematical signs."""

    name: ClassVar[str] = "math_density"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("formula_share", pa.float64()),  # of all characters; null for an empty document
            pa.field("commands_per_word", pa.float64()),  # null for a document without words
            pa.field("symbols_per_word", pa.float64()),
            pa.field("signs", pa.int32(), nullable=False),  # formulas, commands and symbols together
            pa.field("score", pa.float64()),  # sum of the first three
        ]
    )

    min_score: float | None = 0.02
    """Score; a document with less is dropped."""
    min_signs: int | None = 3
    """Formulas, LaTeX commands and mathematical signs of Unicode together; a document with fewer is dropped."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.LITTLE_MATH, "score", at_least=self.min_score),
            Rule(Reason.FEW_SIGNS, "signs", at_least=self.min_signs),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = np.zeros((4, len(batch)), np.int32)
        count_mathematics(batch.offsets, batch.text, counts)
        formula, commands, symbols, formulas = counts
        words, characters = np.diff(batch.words.firsts), text_characters(batch)
        parts = [ratio(formula, characters), ratio(commands, words), ratio(symbols, words)]
        whole = sum(part.to_numpy(zero_copy_only=False) for part in parts)
        columns = [*parts, pa.array(commands + symbols + formulas), pa.array(whole, mask=np.isnan(whole))]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)


@kernel
def count_mathematics(offsets: NDArray[np.int32], text: NDArray[np.uint8], counts: NDArray[np.int32]) -> None:
    """Rows of `counts`: characters in formulas with their delimiters, LaTeX commands, signs of Unicode, formulas."""
    barren = np.zeros(2, np.int32)  # up to where neither \) nor \] stands: what is opened before need not look again
    for document in range(offsets.shape[0] - 1):
        end = offsets[document + 1]
        position = offsets[document]
        barren[:] = position
        formula_end = position  # characters before it have been counted as a formula's
        while position < end:
            byte = text[position]
            if position >= formula_end and byte in (_DOLLAR, _BACKSLASH):
                formula_end = max(position, after_formula(text, position, end, barren))
                counts[3, document] += formula_end > position
            counts[0, document] += position < formula_end
            if byte >= 0x80:
                counts[2, document] += is_symbol(decoded(text, position))
            elif byte == _BACKSLASH and position + 1 < end and is_letter(text[position + 1]):
                counts[1, document] += 1
            position += width(byte)


@inlined
def is_letter(byte: np.uint8) -> bool:
    return bool(0x61 <= (byte | 0x20) <= 0x7A)


@inlined
def is_symbol(code: np.uint32) -> bool:
    """Arrows, mathematical operators and letters, and × ÷ ± ¬ (which other texts have, too, but seldom)."""
    return bool(
        0x2190 <= code <= 0x22FF
        or 0x27C0 <= code <= 0x27FF
        or 0x2900 <= code <= 0x2AFF
        or 0x1D400 <= code <= 0x1D7FF
        or code in (0xB1, 0xD7, 0xF7)
    )


@kernel
def after_formula(text: NDArray[np.uint8], position: int, end: int, barren: NDArray[np.int32]) -> int:
    """Where the formula that begins at `position` ends, or 0 if none begins there."""
    if text[position] == _DOLLAR:
        return after_dollars(text, position, end)
    if position + 1 == end:
        return 0
    opened = text[position + 1]
    if opened == 0x28 or opened == 0x5B:  # \( and \[
        kind = 0 if opened == 0x28 else 1
        closed = 0x29 if opened == 0x28 else 0x5D
        last = min(end - 1, position + MAX_FORMULA)
        for place in range(max(position + 2, barren[kind]), last):
            if text[place] == _BACKSLASH and text[place + 1] == closed:
                barren[kind] = place
                return place + 2
        barren[kind] = max(barren[kind], last)
        return 0
    return after_environment(text, position, end)


@kernel
def after_dollars(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Where `$…$` or `$$…$$` ends, or 0."""
    signs = 2 if position + 1 < end and text[position + 1] == _DOLLAR else 1
    start = position + signs
    if start >= end or (signs == 1 and text[start] <= _SPACE):
        return 0
    tex = False
    for place in range(start, min(end, position + MAX_FORMULA)):
        byte = text[place]
        if byte == _NEWLINE and place + 1 < end and text[place + 1] == _NEWLINE:
            return 0
        if byte == _DOLLAR and text[place - 1] != _BACKSLASH:
            if signs == 2:
                return place + 2 if place + 1 < end and text[place + 1] == _DOLLAR and place > start and tex else 0
            single = place == start + 1 and is_letter(text[start])
            return place + 1 if text[place - 1] > _SPACE and (tex or single) else 0
        tex = tex or byte == _BACKSLASH or byte == 0x5E or byte == 0x5F or byte == 0x3D or byte == 0x3C or byte == 0x3E
        tex = tex or (signs == 2 and is_letter(byte))
    return 0


@kernel
def after_environment(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Where `\\begin{equation}…\\end{equation}` and its like ends, or 0."""
    if position + 11 > end or four_bytes(text, position + 1) != _BEGI or four_bytes(text, position + 3) != _GIN_BRACE:
        return 0
    if four_bytes(text, position + 7) not in _ENVIRONMENTS:
        return 0
    for place in range(position + 11, min(end - 9, position + MAX_FORMULA)):
        closes = text[place] == _BACKSLASH and four_bytes(text, place + 1) == _END_BRACE
        if closes and four_bytes(text, place + 5) == four_bytes(text, position + 7):
            while place < end and text[place] != 0x7D:
                place += 1
            return min(place + 1, end)
    return 0


@inlined
def four_bytes(text: NDArray[np.uint8], position: int) -> int:
    return (
        int(text[position])
        | int(text[position + 1]) << 8
        | int(text[position + 2]) << 16
        | int(text[position + 3]) << 24
    )
