"""Reader `parquet`: a row is a document. Columns stay columns: no Python object is made of a row.

Splits are ranges of row groups; offsets are row numbers. Text may be string, large_string, dictionary or binary.
Where the data of a row group does not decode, the rows that are left of it are one reject, and the next row group
goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.pipeline.sources.contract import (
    CHUNK_TEXT_BYTES,
    Chunk,
    Origin,
    Piece,
    Reader,
    ReadReason,
    Reject,
    SourceFile,
    Split,
)
from corpusmill.pipeline.sources.gathering import (
    MAX_RECORD_BYTES,
    as_json,
    check_bounds,
    clean_texts,
    cut,
    document_ids,
    printable,
)
from corpusmill.pipeline.sources.storage import file_system, is_remote, local_path

_MAX_ROWS = 8192
_COLUMNS = ("url", "date", "language", "license")


@dataclass(frozen=True, kw_only=True)
class Parquet(Reader):
    """Documents of Parquet files."""

    kind: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    text: str = "text"
    """The column that holds the text."""
    url: str | None = "url"
    date: str | None = "date"
    language: str | None = "language"
    license: str | None = "license"
    """Columns that become other columns of the document, where the file has them; values are cast to strings."""
    metadata: tuple[str, ...] = ()
    """Columns that go to `metadata`. These cost a Python object a row."""
    max_record_bytes: int = MAX_RECORD_BYTES
    """A longer text is `too_large`."""

    def __post_init__(self) -> None:
        check_bounds(self.kind, self.max_record_bytes)

    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """Files that are larger than `split_bytes` are cut into ranges of row groups."""
        splits: list[Split] = []
        for split in cut(files, split_bytes, lambda file: True):
            first = split.pieces[0]
            if len(split.pieces) > 1 or (first.start, first.stop) == (0, None):
                splits.append(split)
            elif first.start == 0:
                splits.extend(_row_group_ranges(first.file, split_bytes))
        return splits

    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        for piece in split.pieces:
            yield from self._read_piece(piece, origin)

    def _read_piece(self, piece: Piece, origin: Origin) -> Iterator[Chunk]:
        import pyarrow.parquet as pq

        name = piece.file.name
        if piece.file.size == 0:
            yield _rejects_alone([Reject(name, 0, "read", ReadReason.EMPTY, "the file has no byte")])
            return
        with _opened(piece.file) as stream:
            try:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                names = [column for column, count in Counter(file.schema_arrow.names).items() if count == 1]
                groups = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
            except (pa.ArrowException, OSError, ValueError) as error:
                yield _rejects_alone([Reject(name, 0, "read", ReadReason.CORRUPT_PARQUET, printable(str(error)))])
                return
            if self.text not in names:
                detail = f'no column "{self.text}" (or several) among: {", ".join(sorted(names))}'
                yield _rejects_alone([Reject(name, 0, "read", ReadReason.NO_TEXT, printable(detail))])
                return
            asked = [getattr(self, column) for column in _COLUMNS]
            wanted = dict.fromkeys([self.text, *(column for column in (*asked, *self.metadata) if column in names)])
            row = sum(groups[: piece.start])
            for group in range(piece.start, len(groups) if piece.stop is None else min(piece.stop, len(groups))):
                yield from self._read_group(file, group, row, groups[group], list(wanted), name, origin)
                row += groups[group]

    def _read_group(
        self, file: Any, group: int, row: int, rows: int, columns: list[str], name: str, origin: Origin
    ) -> Iterator[Chunk]:
        end = row + rows
        size = max(1, file.metadata.row_group(group).total_byte_size // max(1, rows))
        batches = file.iter_batches(
            batch_size=max(1, min(_MAX_ROWS, CHUNK_TEXT_BYTES // size)),
            row_groups=[group],
            columns=columns,
            use_threads=False,
        )
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                detail = f"row group {group}, {end - row:,} of its {rows:,} rows: {error}"
                reject = Reject(name, row, "read", ReadReason.CORRUPT_PARQUET, printable(detail))
                yield _rejects_alone([reject])
                return
            if batch is None:
                return
            for start, stop in _parts(batch.column(self.text)):
                yield self._chunk(batch.slice(start, stop - start), row + start, name, origin)
            row += batch.num_rows

    def _chunk(self, batch: pa.RecordBatch, row: int, name: str, origin: Origin) -> Chunk:
        numbers = np.arange(row, row + batch.num_rows, dtype=np.int64)
        texts, wrong = self._texts(batch.column(self.text))
        rejects = [
            Reject(name, int(numbers[at]), "read", reason, detail) for at, (reason, detail) in sorted(wrong.items())
        ]
        if wrong:
            keep = np.ones(batch.num_rows, np.bool_)
            keep[list(wrong)] = False
            mask = pa.array(keep)
            batch, texts, numbers = batch.filter(mask), texts.filter(mask), numbers[keep]
        count = len(numbers)
        columns: dict[str, pa.Array] = {
            "id": document_ids(origin.source, name, numbers.tolist()),
            "text": clean_texts(texts),
            "source": pa.repeat(pa.scalar(origin.source, pa.string()), count),
            "metadata": self._metadata(batch),
        }
        for column in _COLUMNS:
            asked = getattr(self, column)
            values = _as_strings(batch.column(asked)) if asked in batch.schema.names else None
            default = getattr(origin, column, None)
            if values is None:
                columns[column] = pa.array([default], pa.string()).take(pa.array(np.zeros(count, np.int32)))
            else:
                columns[column] = values if default is None else pc.fill_null(values, default)
        documents = pa.RecordBatch.from_arrays(
            [columns.get(field.name, pa.nulls(count, field.type)) for field in DOCUMENT], schema=DOCUMENT
        )
        files = pa.repeat(pa.scalar(name, pa.string()), count)
        return Chunk(documents, files, pa.array(numbers, pa.int64()), tuple(rejects))

    def _texts(self, values: pa.Array) -> tuple[pa.StringArray, dict[int, tuple[ReadReason, str]]]:
        """The texts (empty where they are wrong), and what is wrong by row."""
        wrong: dict[int, tuple[ReadReason, str]] = {}
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if not _is_textual(values.type):
            detail = f'the column "{self.text}" is {values.type}'
            nulls = _rows(values.is_null())
            wrong = {int(at): (ReadReason.NO_TEXT, "null") for at in nulls}
            wrong |= {int(at): (ReadReason.TEXT_NOT_STRING, detail) for at in _rows(values.is_valid())}
            return pa.array([""] * len(values), pa.string()), wrong
        for at in _rows(values.is_null()):
            wrong[int(at)] = ReadReason.NO_TEXT, "null"
        lengths = pc.fill_null(pc.binary_length(values), 0)
        for at in _rows(pc.greater(lengths, self.max_record_bytes)):
            detail = f"{lengths[int(at)].as_py():,} bytes; max_record_bytes is {self.max_record_bytes:,}"
            wrong[int(at)] = ReadReason.TOO_LARGE, detail
        if wrong:
            good = np.ones(len(values), np.bool_)
            good[list(wrong)] = False
            values = pc.if_else(pa.array(good), values, pa.scalar(b"", pa.binary()).cast(values.type))
        texts = values.cast(pa.binary()).cast(pa.string(), safe=False)
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            contents = texts.cast(pa.binary()).to_pylist()
            for at, content in enumerate(contents):
                try:
                    content.decode()
                except UnicodeDecodeError as error:
                    wrong[at] = ReadReason.INVALID_UTF8, printable(str(error))
                    contents[at] = b""
            texts = pa.array(contents, pa.binary()).cast(pa.string())
        return texts, wrong

    def _metadata(self, batch: pa.RecordBatch) -> pa.Array:
        present = [column for column in self.metadata if column in batch.schema.names]
        if not present:
            return pa.nulls(batch.num_rows, pa.string())
        rows = batch.select(present).to_pylist()
        return pa.array([as_json({key: _plain(value) for key, value in row.items()}) for row in rows], pa.string())


def _row_group_ranges(file: SourceFile, split_bytes: int) -> list[Split]:
    """The row groups of a large file, in splits of about `split_bytes`; a damaged file is one split, as it is."""
    import pyarrow.parquet as pq

    try:
        with _opened(file) as stream:
            metadata = pq.ParquetFile(stream).metadata
            sizes = [
                sum(
                    metadata.row_group(group).column(column).total_compressed_size
                    for column in range(metadata.num_columns)
                )
                for group in range(metadata.num_row_groups)
            ]
    except (pa.ArrowException, OSError, ValueError):
        return [Split((Piece(file),), file.size)]
    splits = []
    start = size = 0
    for group, bytes_of_group in enumerate(sizes):
        if group > start and size + bytes_of_group > split_bytes:
            splits.append(Split((Piece(file, start, group),), size))
            start, size = group, 0
        size += bytes_of_group
    splits.append(Split((Piece(file, start, None),), size))
    return splits


def _opened(file: SourceFile) -> Any:
    try:
        if is_remote(file.uri):
            system, path = file_system(file.uri)
            return system.open(path, "rb")
        return open(local_path(file.uri), "rb")
    except OSError as error:
        raise InputError(f"{file.uri}: cannot be opened any more: {error}") from error


def _rejects_alone(rejects: list[Reject]) -> Chunk:
    return Chunk(
        pa.RecordBatch.from_pylist([], schema=DOCUMENT),
        pa.array([], pa.string()),
        pa.array([], pa.int64()),
        tuple(rejects),
    )


def _parts(texts: pa.Array) -> Iterator[tuple[int, int]]:
    """Ranges of rows that hold about CHUNK_TEXT_BYTES, whatever the file's figures promised."""
    if pa.types.is_dictionary(texts.type) and _is_textual(texts.type.value_type):
        lengths = pc.binary_length(texts.dictionary).take(texts.indices)
    elif _is_textual(texts.type):
        lengths = pc.binary_length(texts)
    else:
        lengths = pa.repeat(pa.scalar(0), len(texts))
    ends = np.cumsum(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + CHUNK_TEXT_BYTES)) + 1
        yield start, min(stop, len(texts))
        start = stop


def _rows(mask: pa.Array) -> NDArray[np.int64]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def _is_textual(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _as_strings(values: pa.Array) -> pa.Array:
    """A column as strings; null where its type has none (a list, a struct) or its bytes are no UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        strings = values.cast(pa.string())
        strings.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(values), pa.string())
    return strings


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
