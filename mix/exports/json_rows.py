"""Rows of a dataset as JSON objects, a whole batch at once.

    {"id": …, "text": …, "source": …, "url": …, "language": …, "license": …, "quality": …,
     "metadata": {"component": …, "language_score": …, "n_tokens": …}}

These are the names that dolma (id, text, source, metadata), datatrove (which makes everything but id and text metadata)
and DCLM (text, url) read. Every object has every key, with null where nothing is known, so that readers that infer
columns from the first lines find the same ones in all. Only what RFC 8259 asks for is escaped; the rest stays UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.mix.exports.records import Records, joined, of_ends

_NULL = pa.scalar(b"null", pa.large_binary())
_TOP = ("id", "text", "source", "url", "language", "license", "quality")
_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_ESCAPES = np.zeros(256, np.uint8)
"""0: a byte stays; 1: it becomes \\u00XX; otherwise the letter behind the backslash."""
_ESCAPES[:32] = 1
for _character, _letter in _SHORT.items():
    _ESCAPES[ord(_character)] = ord(_letter)
_ESCAPES = frozen(_ESCAPES)


def json_rows(rows: pa.RecordBatch, *, text: bool = True, end: bytes = b"") -> Records:
    """One JSON object in a line for each row, and `end` behind it; without the text if that is not wanted."""
    names = [name for name in _TOP if name in rows.schema.names and (text or name != "text")]
    others = [name for name in rows.schema.names if name not in _TOP]
    return joined(
        [
            b"{",
            *_members(rows, names),
            b', "metadata": {',
            *_members(rows, others),
            b"}}" + end,
        ]
    )


def json_strings(column: pa.StringArray) -> pa.LargeBinaryArray:
    """Strings as JSON writes them, in quotes; null for null."""
    offsets, text = text_buffers(pc.fill_null(column, ""))
    ends = np.empty(len(column), np.int64)
    measure_escapes(offsets, text, _ESCAPES, ends)
    ends = np.cumsum(ends)
    escaped = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    write_escapes(offsets, text, _ESCAPES, escaped)
    quoted = of_ends(ends, escaped)
    return pc.if_else(column.is_valid(), quoted, _NULL) if column.null_count else quoted


def _members(rows: pa.RecordBatch, names: Sequence[str]) -> list[pa.Array | bytes]:
    parts: list[pa.Array | bytes] = []
    for number, name in enumerate(names):
        column = rows.column(name)
        parts.append(f'{", " if number else ""}"{name}": '.encode())
        parts.append(json_strings(column) if pa.types.is_string(column.type) else _json_numbers(column))
    return parts


def _json_numbers(column: pa.Array) -> pa.Array:
    """Numbers as JSON writes them: the shortest that read back the same; null for null and for what is no number."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
        written = column.cast(pa.string())
        whole = pc.match_substring_regex(written, r"^-?\d+$")
        # "3.0", lest a reader take the column for one of integers.
        written = pc.if_else(whole, pc.binary_join_element_wise(written, ".0", ""), written)
    else:
        written = column.cast(pa.string())
    return pc.fill_null(written, "null")


@kernel
def measure_escapes(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], escapes: NDArray[np.uint8], sizes: NDArray[np.int64]
) -> None:
    """sizes[d]: bytes of document d as a JSON string, quotes included."""
    for document in range(len(sizes)):
        size = 2
        for place in range(offsets[document], offsets[document + 1]):
            escape = escapes[text[place]]
            size += 1 if escape == 0 else 6 if escape == 1 else 2
        sizes[document] = size


@kernel
def write_escapes(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], escapes: NDArray[np.uint8], out: NDArray[np.uint8]
) -> None:
    """Writes the documents as JSON strings, one after another; `out` is as long as they are."""
    at = 0
    for document in range(len(offsets) - 1):
        out[at] = 34
        at += 1
        for place in range(offsets[document], offsets[document + 1]):
            byte = text[place]
            escape = escapes[byte]
            if escape == 0:
                out[at] = byte
                at += 1
                continue
            out[at] = 92
            if escape == 1:
                out[at + 1] = 117
                out[at + 2] = 48
                out[at + 3] = 48
                out[at + 4] = 48 + (byte >> 4)
                low = byte & 15
                out[at + 5] = low + (48 if low < 10 else 87)
                at += 6
            else:
                out[at + 1] = escape
                at += 2
        out[at] = 34
        at += 1
