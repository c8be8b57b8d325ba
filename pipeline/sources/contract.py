"""The contract of sources: how files become chunks of documents, with every record accounted for.

A source's files are cut into **splits**, the units of work. The cut depends on the files and on `split_bytes` alone,
never on the number of workers, so that results do not either. A reader turns a split into **chunks**: documents, where
each came from, and the records that could not become documents, each with its reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

if TYPE_CHECKING:
    from corpusmill.pipeline.extraction import Extraction

CHUNK_TEXT_BYTES = 4_000_000
"""About how much text a chunk holds: enough to amortise a kernel's call, little enough to stay near the cache."""


class ReadReason(StrEnum):
    """Why a record did not become a document. In the ledger as `read/<reason>`."""

    NOT_RESPONSE = "not_response"  # warcinfo, request, metadata, revisit …
    HTTP_STATUS = "http_status"
    NOT_HTML = "not_html"  # nor XHTML nor plain text
    EMPTY = "empty"  # a file or payload without a byte
    TOO_LARGE = "too_large"  # over max_record_bytes
    BOMB = "decompression_bomb"
    TRUNCATED_GZIP = "truncated_gzip"  # and other compressed streams that end early
    CORRUPT_GZIP = "corrupt_gzip"  # and other compressed streams that do not decode
    CORRUPT_WARC = "corrupt_warc"
    CORRUPT_PARQUET = "corrupt_parquet"
    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    NO_TEXT = "no_text"  # the text field is absent or null
    TEXT_NOT_STRING = "text_not_string"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_CSV = "invalid_csv"
    BINARY = "binary"  # a file of code or text that holds neither


class ExtractReason(StrEnum):
    """Why a page gave no text. In the ledger as `extract/<reason>`."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_SLOW = "too_slow"  # CPU time, not wall-clock
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that did not become a document."""

    file: str
    offset: int
    stage: str  # "read" or "extract"
    reason: str
    detail: str = ""  # what the library said, at most 200 characters
    url: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An input file as the plan found it."""

    uri: str  # where it is read from: a local path or an fsspec URL
    name: str  # as ids and the ledger call it: relative to the source's root where it lies below it
    size: int  # bytes
    identity: str  # size with mtime, or the store's etag: what a fingerprint needs


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file. `start` and `stop` count what its reader counts (bytes or row groups); None: to the end."""

    file: SourceFile
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """A unit of work: some pieces of files, in order, and the bytes that they hold on disk."""

    pieces: tuple[Piece, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a reader yields.

    documents   record batch of `schema.DOCUMENT`
    files       string[n]: the name of each document's file
    offsets     int64[n]: where its record begins there (bytes; for Parquet the row; 0 where a file is a document)
    rejects     records that did not become documents
    """

    documents: pa.RecordBatch
    files: pa.StringArray
    offsets: pa.Int64Array
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a reader must know of the source that it serves."""

    source: str
    license: str | None = None
    language: str | None = None
    extraction: Extraction | None = None  # how pages become text; None: with the defaults


class Reader(ABC):
    """Subclasses are `@dataclass(frozen=True, kw_only=True)`; their fields are the recipe's keys below `read`."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]]
    """Names (lower case) that tell this kind when the recipe does not."""

    @abstractmethod
    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """Cuts the files (sorted by name) into units of about `split_bytes`. Reads headers and footers at most."""

    @abstractmethod
    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        """The split's records in file order, about CHUNK_TEXT_BYTES a chunk.

        Every record of the split is a document or a reject; a file that cannot be opened any more raises
        `InputError`, and nothing else that input does may raise.
        """
