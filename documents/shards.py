"""Parquet shards that are complete or absent: written beside the target, synced, then renamed.

Layout for readers (facts: Hugging Face, nanochat, torchtitan): zstd level 3, row groups of 1,024 documents (fewer where
these are books: whoever reads a row group holds it in memory), page index, no dictionary for text. Every shard reports
rows, bytes, sha256 and a content hash.

The content hash of a set of documents is the sum, modulo 2^128, of a 128-bit hash of each document's id and text: it
does not depend on order, sharding or compression, and hashes of parts add up to the hash of the whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents import segmentation
from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import StorageError

ROW_GROUP_ROWS = 1024
ROW_GROUP_TEXT_BYTES = 64_000_000
"""A row group ends with the document that reaches this many bytes of text, however few rows it has."""
ZSTD_LEVEL = 3
_HASH_BITS = 128
_PARTIAL = ".partial-"
# Arrow's, the system's and duckdb's words; the last stands where duckdb may not spill as much as it must.
_FULL_DISK_SIGNS = ("No space left", "quota exceeded", f"[errno {errno.ENOSPC}]", "max_temp_directory_size")


@dataclass(frozen=True, slots=True)
class Shard:
    """What is known of a finished file."""

    name: str
    rows: int
    file_bytes: int
    text_bytes: int
    sha256: str
    content_hash: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full disk or quota, whichever library met it, into a `StorageError` that says what to do."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
            sign in str(error) for sign in _FULL_DISK_SIGNS
        ):
            raise StorageError(
                f"{path}: no space left on its disk; free some or name another disk (`runs`, `--out`), then run the "
                "same command again: finished tasks are kept"
            ) from error
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that stands at `path` once the block has ended well, and never half written.

    Raises:
        StorageError: if the disk is full, or nothing can be written there.
    """
    partial = path.with_name(f".{path.name}{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
    with storage_errors(path):
        opened = _opened(partial, path)
        try:
            with opened as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
            _sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _opened(partial: Path, path: Path) -> IO[bytes]:
    try:
        with storage_errors(path):
            partial.parent.mkdir(parents=True, exist_ok=True)
            return open(partial, "wb")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}: {error.filename}); name another place, or mend its rights"
        ) from error


def atomic_text(path: Path, text: str) -> None:
    """Writes a small text file in one step."""
    with atomic_file(path) as stream:
        stream.write(text.encode())


def remove_partial_files(folder: Path) -> int:
    """Removes what killed writers left below `folder`; returns how many files that were."""
    leftovers = [path for path in folder.rglob(f".*{_PARTIAL}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def sha256_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_hashes(ids: pa.Array, texts: pa.Array) -> NDArray[np.uint64]:
    """uint64[n, 2]: a 128-bit hash of each document's id and text."""
    hashes = np.empty((len(ids), 2), np.uint64)
    parts = []
    for values in (ids, texts):
        first, second = np.empty(len(ids), np.uint64), np.empty(len(ids), np.uint64)
        segmentation.hash_documents(*text_buffers(values), first, second)
        parts.append((first, second))
    (id_first, id_second), (text_first, text_second) = parts
    with np.errstate(over="ignore"):
        hashes[:, 0] = (id_first * np.uint64(0x9E3779B97F4A7C15)) ^ text_first
        hashes[:, 1] = (id_second * np.uint64(0xBF58476D1CE4E5B9)) ^ text_second
    return hashes


class ContentHash:
    """The order-independent hash of a growing set of documents."""

    def __init__(self, hexadecimal: str = "0") -> None:
        self._sum = int(hexadecimal, 16)

    def add(self, ids: pa.Array, texts: pa.Array) -> None:
        hashes = content_hashes(ids, texts)
        high, low = (sum(column.tolist()) for column in (hashes[:, 0], hashes[:, 1]))
        self._sum = (self._sum + (high << 64) + low) % (1 << _HASH_BITS)

    def add_hash(self, hexadecimal: str) -> None:
        self._sum = (self._sum + int(hexadecimal, 16)) % (1 << _HASH_BITS)

    def __str__(self) -> str:
        return f"{self._sum:032x}"


class ShardWriter:
    """Writes one Parquet file atomically. As a context manager: the file stands only if the block ended well.

    Batches of any size go in; row groups of `row_group_rows` come out, or of fewer that have ROW_GROUP_TEXT_BYTES of
    text. Where they end depends on the documents alone.

    Raises:
        StorageError: if the disk is full.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        row_group_rows: int = ROW_GROUP_ROWS,
        compression: str = "zstd",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.path = path
        self.schema = schema.with_metadata(metadata) if metadata else schema
        self.row_group_rows = row_group_rows
        self._compression = compression
        self._hash = ContentHash()
        self._hashed = {"id", "text"} <= set(schema.names)
        self._rows = self._text_bytes = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        self.shard: Shard | None = None

    def __enter__(self) -> ShardWriter:
        self._file = atomic_file(self.path)
        self._stream = self._file.__enter__()
        plain = [field.name for field in self.schema if field.type == pa.string() and field.name in _FEW_VALUES]
        self._writer = pq.ParquetWriter(
            self._stream,
            self.schema,
            compression=self._compression,
            compression_level=ZSTD_LEVEL if self._compression == "zstd" else None,
            use_dictionary=plain,
            write_page_index=True,
            write_statistics=True,
        )
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        if self._hashed:
            self._hash.add(batch.column("id"), batch.column("text"))
            text_bytes = int(np.diff(text_buffers(batch.column("text"))[0][[0, -1]])[0])
            self._text_bytes += text_bytes
            self._waiting_bytes += text_bytes
        self._rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if self._waiting_rows >= self.row_group_rows or self._waiting_bytes >= ROW_GROUP_TEXT_BYTES:
            self._flush(everything=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._flush(everything=True)
                self._writer.close()
            except BaseException as failure:
                self._file.__exit__(type(failure), failure, failure.__traceback__)
                raise
            self._file.__exit__(None, None, None)
            self.shard = Shard(
                self.path.name,
                self._rows,
                self.path.stat().st_size,
                self._text_bytes,
                sha256_of(self.path),
                str(self._hash),
            )
        else:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._file.__exit__(kind, error, trace)

    def _flush(self, *, everything: bool) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self.schema.remove_metadata())
        ends = self._group_ends(table)
        if everything and table.num_rows > (ends[-1] if ends else 0):
            ends.append(table.num_rows)
        with storage_errors(self.path):
            for start, end in pairwise([0, *ends]):
                group = table.slice(start, end - start)
                self._writer.write_table(group.replace_schema_metadata(self.schema.metadata))
        rest = table.slice(ends[-1]) if ends else table
        self._waiting = rest.to_batches()
        self._waiting_rows = rest.num_rows
        self._waiting_bytes = pc.sum(pc.binary_length(rest["text"])).as_py() or 0 if self._hashed else 0

    def _group_ends(self, table: pa.Table) -> list[int]:
        """The rows after which a row group is full."""
        sizes = np.cumsum(pc.binary_length(table["text"]).to_numpy(), dtype=np.int64) if self._hashed else None
        ends: list[int] = []
        start = 0
        while True:
            end = start + self.row_group_rows
            if sizes is not None:
                before = int(sizes[start - 1]) if start else 0
                end = min(end, int(np.searchsorted(sizes, before + ROW_GROUP_TEXT_BYTES)) + 1)
            if end > table.num_rows:
                return ends
            ends.append(end)
            start = end


def write_table(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, **options: Any) -> Shard:
    """Writes batches to one Parquet file in one step and says what is in it."""
    with ShardWriter(path, schema, **options) as writer:
        for batch in batches:
            writer.write(batch)
    assert writer.shard is not None  # set by the writer's clean exit
    return writer.shard


def read_batches(file: pq.ParquetFile, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A file's rows in order, at most `rows` at a time; in memory is one row group.

    `iter_batches` over a whole file holds all of it in the end, and fills a batch from several row groups.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, [group], None if columns is None else list(columns), use_threads=False)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Columns whose few values a dictionary shrinks. For text, ids and urls it costs time and gains nothing.
_FEW_VALUES = {"source", "language", "license", "file", "stage", "reason", "verdict", "date"}
