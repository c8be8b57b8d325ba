"""What readers share: cutting files into splits, cleaning texts, and gathering records into chunks.

A text is valid UTF-8 without U+0000, and its lines end in `\\n`. What cannot stand in such a text (NUL, lone
surrogates, undecodable bytes) becomes U+FFFD, as in WHATWG HTML's preprocessing, so that damage stays visible to
filters. Nothing else is changed: no Unicode normalisation, since NFC is not what the tokenizers of published models
were trained behind, and datatrove and DCLM do not normalise either.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.errors import RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.pipeline.sources.contract import (
    CHUNK_TEXT_BYTES,
    Chunk,
    Origin,
    Piece,
    ReadReason,
    Reject,
    SourceFile,
    Split,
)
from corpusmill.pipeline.sources.storage import StoredFile

MAX_RECORD_BYTES = 10_000_000
"""Default bound of one record's bytes. The longest book of our test corpora has 3.3 MB."""
_MAX_DETAIL = 200
_MAX_REJECTS = 10_000  # a chunk is handed on when it holds so many, whatever its text
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST = 1_000_000_000  # text offsets are 32 bits; half of it, since a rewriter may lengthen a text


def check_bounds(kind: str, max_record_bytes: int, max_expansion: float = 2.0) -> None:
    """Refuses bounds that cannot work.

    Raises:
        RecipeError: naming the field.
    """
    if not 1 <= max_record_bytes <= _LARGEST:
        raise RecipeError(f"read.{kind}.max_record_bytes: {max_record_bytes} is not between 1 and {_LARGEST:,}")
    if not max_expansion > 1:
        raise RecipeError(f"read.{kind}.max_expansion: {max_expansion} is not above 1")


def cut(files: Sequence[SourceFile], split_bytes: int, divisible: Callable[[SourceFile], bool]) -> list[Split]:
    """Splits of about `split_bytes`: files that are larger and divisible in equal byte ranges, small ones together."""
    splits: list[Split] = []
    together: list[Piece] = []
    size = 0
    for file in files:
        parts = math.ceil(file.size / split_bytes) if divisible(file) else 1
        if together and (parts > 1 or size + file.size > split_bytes):
            splits.append(Split(tuple(together), size))
            together, size = [], 0
        if parts > 1:
            bounds = [file.size * part // parts for part in range(parts)]
            for start, stop in zip(bounds, [*bounds[1:], None]):
                splits.append(Split((Piece(file, start, stop),), (stop or file.size) - start))
        else:
            together.append(Piece(file))
            size += file.size
    if together:
        splits.append(Split(tuple(together), size))
    return splits


def clean_text(text: str) -> str:
    """`text` as a document's text may be: lines end in `\\n`, and U+FFFD stands for NUL and lone surrogates.

    >>> clean_text("a\\r\\nb\\rc\\0")
    'a\\nb\\nc\\ufffd'
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "�")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = _SURROGATE.sub("�", text)
    return text


def clean_texts(texts: pa.StringArray) -> pa.StringArray:
    """`clean_text` of a whole array of valid UTF-8, without a copy where there is nothing to clean."""
    data = texts.buffers()[2]
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if (content == 13).any():
        texts = pc.replace_substring(pc.replace_substring(texts, "\r\n", "\n"), "\r", "\n")
    if (content == 0).any():
        texts = pc.replace_substring(texts, "\0", "�")
    return texts


def document_ids(source: str, file: str, offsets: Sequence[int]) -> pa.StringArray:
    """`schema.document_id` for many records of one file."""
    start = hashlib.blake2b(f"{source}\0{file}\0".encode(), digest_size=12)
    ids = []
    for offset in offsets:
        state = start.copy()
        state.update(b"%d" % offset)
        ids.append(state.hexdigest())
    return pa.array(ids, pa.string())


def as_json(metadata: dict[str, Any]) -> str | None:
    """A JSON object without the members that are null; None where nothing is left."""
    filled = {key: value for key, value in metadata.items() if value is not None}
    if not filled:
        return None
    # A lone surrogate is written as an escape: the column stays valid UTF-8 and nothing is lost.
    text = json.dumps(filled, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(filled, separators=(",", ":"))


class Gathering:
    """Records of a split on their way into chunks."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._empty()

    def _empty(self) -> None:
        self._texts: list[str] = []
        self._files: list[str] = []
        self._offsets: list[int] = []
        self._columns: dict[str, list[str | None]] = {
            name: [] for name in ("url", "date", "language", "license", "metadata")
        }
        self._rejects: list[Reject] = []
        self._size = 0

    def add(
        self,
        text: str,
        file: str,
        offset: int,
        *,
        url: str | None = None,
        date: str | None = None,
        language: str | None = None,
        license: str | None = None,  # noqa: A002  the column's name
        metadata: str | None = None,
    ) -> None:
        """Takes a document; `text` must have gone through `clean_text`."""
        self._texts.append(text)
        self._files.append(file)
        self._offsets.append(offset)
        columns = self._columns
        columns["url"].append(url)
        columns["date"].append(date)
        columns["language"].append(language if language is not None else self.origin.language)
        columns["license"].append(license if license is not None else self.origin.license)
        columns["metadata"].append(metadata)
        self._size += len(text)

    def reject(
        self, file: str, offset: int, reason: str, detail: str = "", *, url: str | None = None, stage: str = "read"
    ) -> None:
        """Takes a record that is no document."""
        self._rejects.append(Reject(file, offset, stage, str(reason), printable(detail), url))

    def full(self) -> bool:
        """Whether it is time to hand on a chunk."""
        return self._size >= CHUNK_TEXT_BYTES or len(self._rejects) >= _MAX_REJECTS

    def chunks(self, *, everything: bool = False) -> Iterator[Chunk]:
        """A chunk, if it is time for one (or, with `everything`, if there is anything at all)."""
        if not (self.full() or (everything and (self._texts or self._rejects))):
            return
        texts, self._texts = self._texts, []
        columns: dict[str, pa.Array] = {"text": pa.array(texts, pa.string())}
        del texts  # a text of hundreds of megabytes should not be there twice for long
        count = len(self._offsets)
        columns["id"] = self._ids()
        columns["source"] = pa.repeat(pa.scalar(self.origin.source, pa.string()), count)
        columns |= {name: pa.array(values, pa.string()) for name, values in self._columns.items()}
        documents = pa.RecordBatch.from_arrays(
            [columns.get(field.name, pa.nulls(count, field.type)) for field in DOCUMENT], schema=DOCUMENT
        )
        files = pa.array(self._files, pa.string())
        offsets = pa.array(self._offsets, pa.int64())
        rejects = tuple(self._rejects)
        self._empty()
        yield Chunk(documents, files, offsets, rejects)

    def _ids(self) -> pa.StringArray:
        parts = []
        start = 0
        for end in range(1, len(self._files) + 1):
            if end == len(self._files) or self._files[end] != self._files[start]:
                parts.append(document_ids(self.origin.source, self._files[start], self._offsets[start:end]))
                start = end
        return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def printable(text: str) -> str:
    """`text` on one line, at most 200 characters, fit for a ledger."""
    return _SURROGATE.sub("�", " ".join(text.replace("\0", "�").split()))[:_MAX_DETAIL]


def gathered(
    split: Split, origin: Origin, read_piece: Callable[[StoredFile, Piece, Gathering], Iterator[None]]
) -> Iterator[Chunk]:
    """The chunks of a split whose pieces `read_piece` reads: it yields whenever a chunk may have become full."""
    gathering = Gathering(origin)
    for piece in split.pieces:
        with StoredFile(piece.file) as file:
            if not file.view(0):
                gathering.reject(piece.file.name, 0, ReadReason.EMPTY, "the file has no byte")
                continue
            for _ in read_piece(file, piece, gathering):
                yield from gathering.chunks()
    yield from gathering.chunks(everything=True)
