"""code_encoded: drops source files that carry encoded data: base64, lists of hexadecimal bytes, escaped Unicode.

The Stack v2 (Lozhkov et al. 2024, arXiv:2402.19173, section 3.1) looks for runs of at least 64 characters of base64,
of 8 hexadecimal bytes and of 8 `\\u` escapes, and drops a file with a run of more than 1,024 characters or more than
half of its characters in runs.

Differs from the paper: 64 characters of base64 do not count newlines, though they may stand within a run, so that blank
lines are no data; hexadecimal bytes may have white space behind the comma between them, as they mostly have in C; `\\x`
escapes in a row count from the first on (the paper's pattern misses it).
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
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.filters.code_lines import line_measures, shares
from corpusmill.filters.contract import Filter, Rule

MIN_BASE64_CHARACTERS = 64
MIN_UNITS = 8
"""Hexadecimal bytes, or escapes, that make a run."""
_BASE64, _HEXADECIMAL, _NAMELIKE, _BLANK = 1, 2, 4, 8


def _byte_classes() -> NDArray[np.uint8]:
    classes = np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte)
        if byte < 128 and (character.isalnum() or character in "+/="):
            classes[byte] |= _BASE64
        if character in "0123456789abcdefABCDEF":
            classes[byte] |= _HEXADECIMAL
        if byte >= 128 or character.isalnum() or character == "_":
            classes[byte] |= _NAMELIKE
        if character in " \t\r\n":
            classes[byte] |= _BLANK
    return frozen(classes)


_CLASSES = _byte_classes()


class Reason(StrEnum):
    LONG_RUN = "long_run"
    HIGH_SHARE = "high_share"


@dataclass(frozen=True, kw_only=True)
class CodeEncoded(Filter):
    """Drops files by their longest run of encoded data and the share of characters in such runs."""

    name: ClassVar[str] = "code_encoded"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("longest_run", pa.int32(), nullable=False),  # characters
            pa.field("base64_share", pa.float64()),  # of all characters; null for an empty file
            pa.field("hexadecimal_share", pa.float64()),
            pa.field("escape_share", pa.float64()),
        ]
    )

    max_run: int | None = 1024
    """Characters of the longest run of any kind (The Stack v2, section 3.1)."""
    max_share: float | None = 0.5
    """Share of characters in runs of one kind (The Stack v2, section 3.1)."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.LONG_RUN, "longest_run", at_most=self.max_run),
            Rule(Reason.HIGH_SHARE, "base64_share", at_most=self.max_share),
            Rule(Reason.HIGH_SHARE, "hexadecimal_share", at_most=self.max_share),
            Rule(Reason.HIGH_SHARE, "escape_share", at_most=self.max_share),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        runs = np.zeros((3, 2, len(batch)), np.int32)
        find_base64(batch.offsets, batch.text, _CLASSES, runs[0])
        find_hexadecimal(batch.offsets, batch.text, _CLASSES, runs[1])
        find_escapes(batch.offsets, batch.text, _CLASSES, runs[2])
        characters = line_measures(batch).characters
        columns = [pa.array(runs[:, 0].max(axis=0)), *(shares(kind[1], characters) for kind in runs)]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)


@kernel
def find_base64(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], classes: NDArray[np.uint8], runs: NDArray[np.int32]
) -> None:
    """Rows of `runs`: characters of the longest run, and of all, newlines within them included."""
    for document in range(offsets.shape[0] - 1):
        start = last = -1  # of the run: its first byte, and the byte after its last that is no newline
        length = 0  # of it without newlines
        for position in range(offsets[document], offsets[document + 1] + 1):
            inside = position < offsets[document + 1]
            if inside and classes[text[position]] & _BASE64:
                if length == 0:
                    start = position
                length += 1
                last = position + 1
            elif not inside or text[position] != 10:
                if length >= MIN_BASE64_CHARACTERS:
                    runs[0, document] = max(runs[0, document], last - start)
                    runs[1, document] += last - start
                length = 0


@kernel
def find_hexadecimal(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], classes: NDArray[np.uint8], runs: NDArray[np.int32]
) -> None:
    """Rows of `runs` as above, of runs of bytes such as `0x4f, 0x4B`, `4f 4b` and `\\x4f\\x4b`."""
    for document in range(offsets.shape[0] - 1):
        begin, end = offsets[document], offsets[document + 1]
        position = begin
        while position < end:
            size = 0
            kind = classes[text[position]]
            if text[position] == 0x5C or (
                kind & _HEXADECIMAL and (position == begin or not classes[text[position - 1]] & _NAMELIKE)
            ):
                size = hexadecimal_unit(text, classes, begin, position, end)
            if size == 0:
                position += 1
                continue
            start = position
            units = 0
            while size:
                units += 1
                position += size
                last = position
                position = after_separator(text, classes, position, end)
                size = hexadecimal_unit(text, classes, begin, position, end)
            if units >= MIN_UNITS:
                runs[0, document] = max(runs[0, document], last - start)
                runs[1, document] += last - start


@kernel
def hexadecimal_unit(text: NDArray[np.uint8], classes: NDArray[np.uint8], begin: int, position: int, end: int) -> int:
    """Bytes of the hexadecimal byte that is written at `position`, or 0 if none is."""
    digits = position
    if position + 4 <= end and text[position] == 0x5C and text[position + 1] == 0x78:
        return 4 if classes[text[position + 2]] & classes[text[position + 3]] & _HEXADECIMAL else 0
    if position + 4 <= end and text[position] == 0x30 and text[position + 1] | 0x20 == 0x78:
        digits += 2
    if digits + 2 > end or not classes[text[digits]] & classes[text[digits + 1]] & _HEXADECIMAL:
        return 0
    if position > begin and classes[text[position - 1]] & _NAMELIKE:
        return 0
    if digits + 2 < end and classes[text[digits + 2]] & _NAMELIKE:
        return 0
    return digits + 2 - position


@kernel
def after_separator(text: NDArray[np.uint8], classes: NDArray[np.uint8], position: int, end: int) -> int:
    """The position behind white space with at most one comma."""
    comma = False
    while position < end:
        if text[position] == 0x2C and not comma:
            comma = True
        elif not classes[text[position]] & _BLANK:
            break
        position += 1
    return position


@kernel
def find_escapes(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], classes: NDArray[np.uint8], runs: NDArray[np.int32]
) -> None:
    """Rows of `runs` as above, of runs of `\\u4f4b`."""
    for document in range(offsets.shape[0] - 1):
        end = offsets[document + 1]
        position = offsets[document]
        while position < end:
            if text[position] != 0x5C:
                position += 1
                continue
            start = position
            while position + 6 <= end and text[position] == 0x5C and text[position + 1] == 0x75:
                first = classes[text[position + 2]] & classes[text[position + 3]]
                if not first & classes[text[position + 4]] & classes[text[position + 5]] & _HEXADECIMAL:
                    break
                position += 6
            if position - start >= 6 * MIN_UNITS:
                runs[0, document] = max(runs[0, document], position - start)
                runs[1, document] += position - start
            position = max(position, start + 1)
