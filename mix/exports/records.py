"""Records made of columns, row by row, and files of numbered records: what MDS, LitData, JSON lines and tar share.

A record is the bytes of one document in a file. They are made for a whole batch at once: each part of a record is a
column (`cells` makes one of numbers), and `joined` strings the columns together row by row.

MDS shards and LitData chunks have one layout (`numbered`), integers little-endian:

    count       uint32
    offsets     uint32[count + 1]    where each record begins, from the start of the file; the last: where it ends
    header      bytes                MDS: JSON that declares the columns; LitData: none
    records     bytes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.errors import UsageError
from corpusmill.mix.exports.contract import Documents, Group, TokenFacts
from corpusmill.mix.units import COUNT_COLUMNS

FILE_BYTES = 1 << 26
"""Bytes of an MDS shard or a LitData chunk, before compression: the default of both libraries. A larger document has a
file of its own."""
_LARGEST = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Records:
    """Records one after another: `data`, uint8, and where each ends in it, int64."""

    ends: NDArray[np.int64]
    data: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ends)

    def part(self, start: int, end: int) -> Records:
        first = int(self.ends[start - 1]) if start else 0
        last = int(self.ends[end - 1]) if end else 0
        return Records(self.ends[start:end] - first, self.data[first:last])


def joined(parts: Sequence[pa.Array | bytes]) -> Records:
    """Records that consist, row by row, of `parts`: columns of strings or bytes without nulls, or the same bytes for
    every row."""
    columns = [
        pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part.cast(pa.large_binary())
        for part in parts
    ]
    rows = pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.large_binary()))
    return records_of(rows)


def records_of(rows: pa.LargeBinaryArray) -> Records:
    """The values of an array without nulls as records."""
    _, offsets, data = rows.buffers()
    if len(rows) == 0:
        return Records(np.zeros(0, np.int64), np.zeros(0, np.uint8))
    borders = np.frombuffer(offsets, np.int64)[rows.offset : rows.offset + len(rows) + 1]
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return Records(borders[1:] - borders[0], content[borders[0] : borders[-1]])


def cells(values: NDArray[Any]) -> pa.LargeBinaryArray:
    """The bytes of each row of an array of one or two dimensions: a column of cells of one width."""
    rows = np.ascontiguousarray(values)
    count = len(rows)
    width = rows.nbytes // count if count else 0
    return of_ends(np.arange(1, count + 1, dtype=np.int64) * width, rows.reshape(-1).view(np.uint8))


def of_ends(ends: NDArray[np.int64], data: NDArray[np.uint8]) -> pa.LargeBinaryArray:
    """A column whose cells end at `ends` in `data`."""
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)


def lengths(column: pa.Array) -> NDArray[np.int64]:
    """Bytes of each string."""
    return pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.int64)


def strings(documents: Documents, name: str) -> pa.Array:
    """A column of strings with "" for null, for formats that know no null."""
    return pc.fill_null(documents.rows.column(name), "")


def numbers(documents: Documents, name: str, kind: type[np.generic]) -> NDArray[Any]:
    """A column of numbers with NaN, or 0 where they are integers, for null."""
    column = documents.rows.column(name)
    filling = float("nan") if pa.types.is_floating(column.type) else 0
    return pc.fill_null(column, filling).to_numpy(zero_copy_only=False).astype(kind)


def in_reading_order(columns: pa.Schema) -> list[str]:
    """The names of a dataset's columns, the count of units last: numbers end a record that hostile text began."""
    return sorted(columns.names, key=lambda name: name in COUNT_COLUMNS.values())


class Filling:
    """Parts records into files of at most FILE_BYTES, the records' own places in the file's index counted.

    `write` gets the records of a full file, in pieces.
    """

    def __init__(self, write: Callable[[Sequence[Records]], None], *, header_bytes: int = 0) -> None:
        self._write = write
        self._empty = 8 + header_bytes
        self._waiting: list[Records] = []
        self._bytes = self._empty

    def add(self, records: Records) -> None:
        start = 0
        while start < len(records):
            before = int(records.ends[start - 1]) if start else 0
            sizes = records.ends[start:] - before + 4 * np.arange(1, len(records) - start + 1)
            fitting = int(np.searchsorted(sizes, FILE_BYTES - self._bytes, side="right"))
            if fitting == 0 and not self._waiting:
                fitting = 1  # larger than a file may be: it has one of its own
            if fitting:
                self._waiting.append(records.part(start, start + fitting))
                self._bytes += int(sizes[fitting - 1])
                start += fitting
            if start < len(records):
                self.flush()

    def flush(self) -> None:
        """Hands on what waits, if anything does."""
        if self._waiting:
            pieces, self._waiting, self._bytes = self._waiting, [], self._empty
            self._write(pieces)


def numbered(pieces: Sequence[Records], header: bytes = b"") -> tuple[int, int, Iterator[memoryview | bytes]]:
    """A file of numbered records: how many there are, how many bytes it has, and its content piece by piece.

    Raises:
        UsageError: if a document is too large for offsets of 32 bits.
    """
    sizes = np.concatenate([np.diff(piece.ends, prepend=0) for piece in pieces])
    count = len(sizes)
    first = 4 * (count + 2) + len(header)
    total = first + int(sizes.sum())
    if total > _LARGEST:
        raise UsageError(
            f"a document of {int(sizes.max()):,} bytes is larger than what this format can address, 4 GB; cut it before"
        )
    offsets = np.concatenate([np.full(1, first, np.int64), first + np.cumsum(sizes)])
    content = [np.uint32(count).tobytes(), offsets.astype("<u4").tobytes(), header]
    return count, total, iter([*content, *(piece.data.data for piece in pieces)])


def quoted(text: str | None) -> str:
    """A string as JSON and YAML write it, for lines that are pasted."""
    return json.dumps(text, ensure_ascii=False)


def fillings(groups: Sequence[Group]) -> str:
    """What to say of the EOS that fill last blocks, as a comment for Python and YAML."""
    total = sum(written.facts["filling"] for group in groups for written in group.written)
    return f"# the last block of each file of the dataset is filled up with EOS: {total:,} in all"


class Blocks:
    """Cuts the tokens of a writer's documents, one after another, into blocks of one length.

    Blocks cross the ends of documents. The last block is filled up with EOS, so that no token is lost.
    """

    def __init__(self, length: int, facts: TokenFacts) -> None:
        self._length = length
        self._eos = facts.eos_id
        self._rest = np.zeros(0, np.int32)
        self.filling = 0
        """How many EOS filled the last block."""

    def add(self, tokens: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int32]:
        """The blocks that are full, int32[n, length]."""
        stream = np.concatenate([self._rest, tokens.astype(np.int32)])
        full = len(stream) // self._length * self._length
        self._rest = stream[full:].copy()
        return stream[:full].reshape(-1, self._length)

    def last(self) -> NDArray[np.int32]:
        """The block that is not full, filled up; none if nothing is left."""
        if not len(self._rest):
            return np.zeros((0, self._length), np.int32)
        self.filling = self._length - len(self._rest)
        block = np.concatenate([self._rest, np.full(self.filling, self._eos, np.int32)])
        self._rest = self._rest[:0]
        return block.reshape(1, -1)
