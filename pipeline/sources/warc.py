"""Readers of web archives: `warc` (WARC and ARC files of crawls) and `wet` (Common Crawl's extracted text).

Of a WARC, the responses with status 200 and HTML, XHTML or plain text go on; every other record is a reject under its
reason. Of a WET, the conversion records go on.

Columns: `url` is the target URI, `date` the record's date. `metadata` holds, where known,

    title         string   the page's title
    http_status   int
    content_type  string   as the server sent it
    record_id     string   WARC-Record-ID
    dump          string   Common Crawl's dump, where the file's path names it: CC-MAIN-2024-10
    languages     string   WET: WARC-Identified-Content-Language
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from corpusmill.pipeline.extraction import Extraction, ExtractReject
from corpusmill.pipeline.sources.archive import Record, Unreadable, fields, opens_record, records
from corpusmill.pipeline.sources.contract import Chunk, Origin, Piece, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.decoding import MAX_EXPANSION, MemberDamageError, Members, expanded, form_at, form_of
from corpusmill.pipeline.sources.gathering import (
    MAX_RECORD_BYTES,
    Gathering,
    as_json,
    check_bounds,
    clean_text,
    cut,
    gathered,
)
from corpusmill.pipeline.sources.storage import StoredFile

DUMP = re.compile(r"CC-MAIN-\d{4}(?:-\d{2,4})?")
"""Common Crawl's name of a dump, as its files' paths have it."""
_STATUS = re.compile(rb"(?:HTTP/\S+[ \t]+){1,2}(\d{3})\b")  # some tools wrote the version twice
_HTTP_HEAD_BYTES = 64 << 10
_PAGE_TYPES = ("text/html", "application/xhtml+xml", "text/plain")
_EXTRACTION = Extraction()
_CODINGS = ("gzip", "x-gzip", "deflate", "br", "zstd")
_MARKUP = re.compile(rb"\s*(?:<!doctype\s+html|<html|<head|<body|<meta|<title|<!--)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _ArchiveReader(Reader):
    """What both readers share: files in, records through `_take`, chunks out."""

    max_record_bytes: int = MAX_RECORD_BYTES
    """A record with more content than this is `too_large` and not read. The same bound holds once it is decoded."""
    max_expansion: float = MAX_EXPANSION
    """Decoded over compressed bytes; above it, once 10 MB have come, a member or body is a `decompression_bomb`."""

    def __post_init__(self) -> None:
        check_bounds(self.kind, self.max_record_bytes, self.max_expansion)

    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """Gzipped files are cut into byte ranges; the others are a split each, however large."""
        return cut(files, split_bytes, lambda file: form_of(file) == "gzip")

    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        return gathered(split, origin, self._read_piece)

    def _read_piece(self, file: StoredFile, piece: Piece, gathering: Gathering) -> Iterator[None]:
        name = piece.file.name
        members = Members(file, form_at(file), opens_record, self.max_expansion)
        dump = DUMP.search(piece.file.uri)
        # Beyond the bound, the head of a response is still read: it may say that the record is no page at all.
        most = max(self.max_record_bytes, _HTTP_HEAD_BYTES)
        for record in records(members, piece.start, piece.stop, most):
            if isinstance(record, Unreadable):
                gathering.reject(name, record.offset, record.reason, record.detail, url=record.url)
            else:
                self._take(record, name, dump.group() if dump else None, gathering)
            yield

    @abstractmethod
    def _take(self, record: Record, name: str, dump: str | None, gathering: Gathering) -> None:
        """Makes a document or a reject of a record."""

    def _too_large(self, record: Record, name: str, gathering: Gathering) -> bool:
        if record.length <= self.max_record_bytes:
            return False
        detail = f"{record.length:,} bytes; max_record_bytes is {self.max_record_bytes:,}"
        gathering.reject(name, record.offset, ReadReason.TOO_LARGE, detail, url=_url(record))
        return True


@dataclass(frozen=True, kw_only=True)
class Warc(_ArchiveReader):
    """Pages of WARC and ARC files (.gz, .zst, .lz4 or plain)."""

    kind: ClassVar[str] = "warc"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{kind}{form}" for kind in ("warc", "arc") for form in ("", ".gz", ".zst", ".lz4")
    )

    def _take(self, record: Record, name: str, dump: str | None, gathering: Gathering) -> None:
        page = self._page(record)
        if isinstance(page, tuple):
            gathering.reject(name, record.offset, *page, url=_url(record))
            return
        if self._too_large(record, name, gathering):
            return
        try:
            payload = self._payload(record, page)
        except MemberDamageError as damage:
            gathering.reject(name, record.offset, damage.reason, damage.detail, url=_url(record))
            return
        if not payload or payload.isspace():
            gathering.reject(name, record.offset, ReadReason.EMPTY, "the response has no body", url=_url(record))
            return
        if b"\0" in payload[:1024] and not payload.startswith((b"\xff\xfe", b"\xfe\xff")) and not _is_utf16(payload):
            detail = f"says {page.media}, holds binary data: {payload[:12]!r}"
            gathering.reject(name, record.offset, ReadReason.NOT_HTML, detail, url=_url(record))
            return
        extracted = (gathering.origin.extraction or _EXTRACTION).extract(payload, page.content_type)
        if isinstance(extracted, ExtractReject):
            gathering.reject(name, record.offset, extracted.reason, extracted.detail, url=_url(record), stage="extract")
            return
        metadata = {
            "title": extracted.title,
            "http_status": 200,
            "content_type": page.headers.get("content-type"),
            "record_id": _record_id(record),
            "dump": dump,
        }
        gathering.add(
            extracted.text,
            name,
            record.offset,
            url=_url(record),
            date=record.headers.get("warc-date") or None,
            metadata=as_json(metadata),
        )

    def _page(self, record: Record) -> _Page | tuple[ReadReason, str]:
        """The HTTP response that a record holds, or why it holds no page."""
        if record.kind != "response":
            return ReadReason.NOT_RESPONSE, record.kind or "no WARC-Type"
        if not record.content.startswith(b"HTTP/"):
            return ReadReason.NOT_HTML, f"no HTTP response: {record.headers.get('content-type', '')}"
        end, body = _end_of_head(record.content)
        head = record.content[:end]
        status = _STATUS.match(head)
        if status is None or status.group(1) != b"200":
            first_line = head.split(b"\n")[0][:40]
            return ReadReason.HTTP_STATUS, (status.group(1) if status else first_line).decode("utf-8", "replace")
        headers = fields(head)
        content_type = headers.get("content-type") or record.headers.get("warc-identified-payload-type") or ""
        media = content_type.partition(";")[0].strip().lower()
        if not media and (body == record.length or _MARKUP.match(record.content, body)):
            media = "text/html"
        if media not in _PAGE_TYPES:
            return ReadReason.NOT_HTML, media or "no content type"
        return _Page(headers, body, media, content_type or media)

    def _payload(self, record: Record, page: _Page) -> bytes:
        """The response's body without transfer and content encoding.

        Common Crawl and browsers' archives store bodies decoded and leave the header as it came, so a header is
        believed only where the body agrees.

        Raises:
            MemberDamageError: if the encoding does not decode, or over the bounds.
        """
        body = record.content[page.body :]
        if "chunked" in page.headers.get("transfer-encoding", "").lower():
            body = _without_chunks(body)
        codings = [part.strip() for part in page.headers.get("content-encoding", "").lower().split(",")]
        for coding in reversed(codings[:3]):
            if coding not in _CODINGS:
                continue
            try:
                body = expanded(body, coding, self.max_record_bytes, self.max_expansion)
            except MemberDamageError as damage:
                if damage.reason is not ReadReason.CORRUPT_GZIP or not _is_text(body):
                    raise
        return body


@dataclass(frozen=True, slots=True)
class _Page:
    headers: dict[str, str]
    body: int  # where it begins in the record's content
    media: str
    content_type: str


@dataclass(frozen=True, kw_only=True)
class Wet(_ArchiveReader):
    """Texts of WET files."""

    kind: ClassVar[str] = "wet"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{kind}{form}" for kind in ("warc.wet", "wet") for form in ("", ".gz", ".zst", ".lz4")
    )

    def _take(self, record: Record, name: str, dump: str | None, gathering: Gathering) -> None:
        if record.kind != "conversion":
            detail = record.kind or "no WARC-Type"
            gathering.reject(name, record.offset, ReadReason.NOT_RESPONSE, detail, url=_url(record))
        elif not self._too_large(record, name, gathering):
            try:
                text = clean_text(record.content.decode())
            except UnicodeDecodeError as error:
                gathering.reject(name, record.offset, ReadReason.INVALID_UTF8, str(error), url=_url(record))
                return
            if not text.strip():
                gathering.reject(name, record.offset, ReadReason.EMPTY, "the record has no text", url=_url(record))
                return
            metadata = {
                "record_id": _record_id(record),
                "dump": dump,
                "languages": record.headers.get("warc-identified-content-language"),
            }
            date = record.headers.get("warc-date") or None
            gathering.add(text, name, record.offset, url=_url(record), date=date, metadata=as_json(metadata))


def _url(record: Record) -> str | None:
    return record.headers.get("warc-target-uri", "").strip("<>") or None  # WARC 1.0 tools wrote <…>


def _record_id(record: Record) -> str | None:
    return record.headers.get("warc-record-id", "").strip("<>") or None


def _end_of_head(response: bytes) -> tuple[int, int]:
    """Where an HTTP head ends and where the body begins. Some servers end lines with a bare line feed."""
    crlf = response.find(b"\r\n\r\n", 0, _HTTP_HEAD_BYTES)
    bare = response.find(b"\n\n", 0, crlf if crlf >= 0 else _HTTP_HEAD_BYTES)
    if bare >= 0:
        return bare, bare + 2
    end = min(len(response), _HTTP_HEAD_BYTES)
    return (crlf, crlf + 4) if crlf >= 0 else (end, end)


def _without_chunks(body: bytes) -> bytes:
    """The body without HTTP/1.1 chunks (RFC 9112, section 7.1); as it is where it has none.

    Of a body that ends within a chunk, what is there.
    """
    parts: list[bytes] = []
    position = 0
    while (line_end := body.find(b"\n", position, position + 300)) >= 0:
        size = body[position:line_end].partition(b";")[0].strip()
        try:
            length = int(size, 16) if size.isalnum() else -1
        except ValueError:
            length = -1
        if length < 0:
            break
        if length == 0:
            return b"".join(parts)
        parts.append(body[line_end + 1 : line_end + 1 + length])
        position = line_end + 1 + length
        position += 2 if body.startswith(b"\r\n", position) else 1
        if position >= len(body):
            return b"".join(parts)
    return b"".join(parts) if len(parts) > 1 else body


def _is_text(body: bytes) -> bool:
    """Whether a body that should be encoded is not."""
    if _MARKUP.match(body):
        return True
    try:
        body[:4096].decode()
    except UnicodeDecodeError as error:
        return error.start > len(body[:4096]) - 4 > 0
    return True


def _is_utf16(payload: bytes) -> bool:
    """Whether NULs alternate with markup, as they do in UTF-16 without a mark."""
    head = payload[:64]
    return head[1::2].count(0) > len(head) // 3 or head[::2].count(0) > len(head) // 3
