"""Records of WARC and ARC files, whatever is broken around them.

WARC 1.0 and 1.1 (ISO 28500:2017), and ARC version 1 (Internet Archive, 1996), the form of crawls before 2009. Records
are parsed here and not by fastwarc: its iterator cannot go on behind damage, ends without a word where a file is
truncated, and knows no ARC; it is the oracle of the tests.

A file is walked in runs: a run is a member that opens with a record, and the members behind it that do not. With the
usual gzip member for each record, a run is a record; in a file that was compressed as a whole, it is the file. A
split owns the runs that begin in its byte range, so that any cut of a file gives the same records. (A gzipped WARC
stored within a record, and so little compressible that its bytes stand there as they are, would be taken for part of
the file by a split that begins within it.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from corpusmill.pipeline.sources.contract import ReadReason
from corpusmill.pipeline.sources.decoding import Find, MemberDamageError, Members

HOLD_BYTES = 16 << 20
"""A run is decoded this far before its first record goes on: so a damaged member is known before any of it is used."""
_MAX_HEADER_BYTES = 64 << 10
_LINE_BREAKS = b"\r\n"
# URL, IP address, date and time, media type, length. Some crawlers wrote spaces into the URL, some no media type.
_ARC_HEADER = re.compile(
    rb"([a-zA-Z][a-zA-Z0-9+.-]{0,20}:[^\r\n]{0,8000}?) (\S{1,64}) (\d{8,14}) (?:([^\r\n]{0,200}?) )?(\d{1,15})\r?\n"
)
_NEXT_RECORD = re.compile(
    rb"\n(?:WARC/\d\.\d+\r?\n|https?://[^\r\n]{1,2000} [\d.]{7,15} \d{14} [^\r\n]{1,200} \d{1,12}\n)"
)
_OVERLAP = 4096  # at least the longest match of it


@dataclass(slots=True)
class Record:
    """A record as it stands in the archive, before anything is made of it."""

    offset: int
    kind: str  # WARC-Type; in ARC files "response", or "warcinfo" for the version block
    headers: dict[str, str]  # names in lower case
    content: bytes = b""
    length: int = 0  # of the content, which is cut short where it is over the bound


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands where a record should be."""

    offset: int
    reason: ReadReason
    detail: str
    url: str | None = None


def opens_record(head: bytes) -> bool:
    """Whether decoded bytes are the beginning of a WARC or ARC record."""
    head = head.lstrip(_LINE_BREAKS)
    return head.startswith(b"WARC/") or _ARC_HEADER.match(head) is not None


@dataclass(slots=True)
class _Run:
    """The decoded bytes of a run, pulled as they are needed.

    `data[at:]` is what has been decoded and not yet used; `gone` bytes of the run stood before `data`.
    """

    members: Members
    start: int
    stop: int = 0  # position in the file that decoding has reached
    data: bytes = b""
    at: int = 0
    gone: int = 0
    ended: bool = False
    damage: MemberDamageError | None = None
    records: int = 0  # that it has given
    _decoded: int = 0
    _sound: int = 0  # bytes of members that were decoded to their end
    _pieces: Iterator[tuple[bytes, int]] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self.stop = self.start
        self._pieces = self.members.pieces(self.start)

    @property
    def position(self) -> int:
        """Bytes of the run before the next record."""
        return self.gone + self.at

    def hold(self) -> None:
        """Decodes the run's first HOLD_BYTES. Of a member that turns out to be corrupt nothing is used."""
        parts = []
        while self._decoded < HOLD_BYTES and (piece := self._next()) is not None:
            parts.append(piece)
        self.data = b"".join(parts)
        if self.damage is not None and self.damage.reason is not ReadReason.TRUNCATED_GZIP:
            self.data = self.data[: self._sound]

    def available(self, size: int) -> int:
        """Makes up to `size` unused bytes ready; returns how many there are (fewer only at the run's end)."""
        if len(self.data) - self.at < size and not self.ended:
            parts = [self.data[self.at :]]
            self.gone += self.at
            self.at = 0
            ready = len(parts[0])
            while ready < size and (piece := self._next()) is not None:
                parts.append(piece)
                ready += len(piece)
            self.data = b"".join(parts)
        return len(self.data) - self.at

    def peek(self, size: int) -> bytes:
        self.available(size)
        return self.data[self.at : self.at + size]

    def take(self, size: int) -> bytes:
        taken = self.peek(size)
        self.at += len(taken)
        return taken

    def skip(self, size: int) -> int:
        """Leaves out `size` bytes without holding them; returns how many there were."""
        left = size
        while left > 0 and (ready := self.available(1)):
            step = min(left, ready)
            self.at += step
            left -= step
        return size - left

    def skip_line_breaks(self) -> None:
        while self.available(1) and self.data[self.at] in _LINE_BREAKS:
            self.at += 1

    def seek_record(self) -> bool:
        """Goes to the next WARC record's first line; false if there is none in the run."""
        while self.available(_MAX_HEADER_BYTES):
            found = _NEXT_RECORD.search(self.data, self.at)
            if found:
                self.at = found.start() + 1
                return True
            self.at = len(self.data) if self.ended else max(self.at, len(self.data) - _OVERLAP)
        return False

    def _next(self) -> bytes | None:
        while not self.ended:
            try:
                piece, self.stop = next(self._pieces)
            except MemberDamageError as damage:
                self.damage, self.ended = damage, True
            except StopIteration:
                self._sound = self._decoded
                if self.members.at(self.stop) is Find.CONTINUES:
                    self._pieces = self.members.pieces(self.stop)
                else:
                    self.ended = True
            else:
                self._decoded += len(piece)
                if piece:
                    return piece
        return None


def records(members: Members, start: int, stop: int | None, max_bytes: int) -> Iterator[Record | Unreadable]:
    """The records of the runs that begin in `[start, stop)`, in order.

    Args:
        max_bytes: how much of a record's content is read; `Record.length` tells its true length.
    """
    position = members.first if start == 0 else members.next_opening(max(start, members.first))
    while position is not None:
        found = members.at(position)
        if found is Find.END or (stop is not None and position >= stop and found is Find.OPENS):
            return
        run = _Run(members, position)
        run.hold()
        yield from _records_of_run(run, plain=members.form == "plain", max_bytes=max_bytes)
        if run.damage is not None:
            # The first record of a truncated run may be sound: what is lost comes behind it, with an id of its own.
            yield Unreadable(position + run.records, run.damage.reason, run.damage.detail)
            position = members.next_opening(position + 1)
            if position is not None and stop is not None and position >= stop:
                return
        else:
            position = run.stop


def _records_of_run(run: _Run, *, plain: bool, max_bytes: int) -> Iterator[Record | Unreadable]:
    run.skip_line_breaks()
    while run.available(1):
        # The offset of a member; for the records behind the first one, a byte further each, so that ids differ.
        offset = run.position if plain else run.start + run.records
        if not plain and offset + 1 >= run.stop:
            run.damage = MemberDamageError(ReadReason.BOMB, "more records than bytes in a compressed member")
            return
        record = _record(run, offset, max_bytes)
        run.skip_line_breaks()  # this reads on to the member's end, where its checksum is verified
        if record is None:
            return
        run.records += 1
        yield record


def _record(run: _Run, offset: int, max_bytes: int) -> Record | Unreadable | None:
    """The record at the run's position; None where the run's own damage says what is wrong."""
    head = run.peek(8)
    record = _warc_header(run, offset) if head.startswith(b"WARC/") else _arc_header(run, offset)
    if record is None:
        if run.damage is not None and run.available(_MAX_HEADER_BYTES) < _MAX_HEADER_BYTES:
            run.at = len(run.data)
            return None
        what = "the header does not end, or names no length" if head.startswith(b"WARC/") else f"not a record: {head!r}"
        if not run.seek_record() and run.damage is not None:
            return None
        return Unreadable(offset, ReadReason.CORRUPT_WARC, what)
    record.content = run.take(min(record.length, max_bytes))
    there = len(record.content) + run.skip(record.length - len(record.content))
    if there < record.length:
        if run.damage is not None:
            return None
        return Unreadable(
            offset,
            ReadReason.CORRUPT_WARC,
            f"the record ends after {there:,} of {record.length:,} bytes",
            record.headers.get("warc-target-uri"),
        )
    return record


def _warc_header(run: _Run, offset: int) -> Record | None:
    end = -1
    for size in (4096, _MAX_HEADER_BYTES):
        ready = run.available(size)
        crlf = run.data.find(b"\r\n\r\n", run.at, run.at + size)
        bare = run.data.find(b"\n\n", run.at, run.at + size if crlf < 0 else crlf)
        end = crlf + 4 if bare < 0 <= crlf else bare + 2
        if crlf >= 0 or bare >= 0 or ready < size:
            break
    if end <= run.at + 1:
        return None
    headers = fields(run.data[run.at : end])
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) <= 15):
        return None
    run.at = end
    return Record(offset, headers.get("warc-type", "").lower(), headers, length=int(length))


def _arc_header(run: _Run, offset: int) -> Record | None:
    run.available(8192)
    match = _ARC_HEADER.match(run.data, run.at, run.at + 8400)
    if match is None:
        return None
    url, address, moment, media, length = (
        group.decode("utf-8", "replace") if group else "" for group in match.groups()
    )
    run.at = match.end()
    kind = "warcinfo" if url.startswith("filedesc:") else "response"
    headers = {
        "warc-target-uri": url,
        "warc-ip-address": address,
        "warc-date": _arc_date(moment),
        "content-type": media,
    }
    return Record(offset, kind, headers, length=int(length))


def _arc_date(moment: str) -> str:
    """ISO 8601 of an ARC date, which is 14 digits (some crawlers: 8 to 12)."""
    parts = [moment[:4], *(moment[place : place + 2] or "00" for place in range(4, 14, 2))]
    year, month, day, hour, minute, second = parts
    return f"{year}-{month}-{day}T{hour:0<2}:{minute:0<2}:{second:0<2}Z"


def fields(block: bytes) -> dict[str, str]:
    """Header fields of a block whose first line is a version or status line. The first of equal names counts.

    >>> fields(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/html;\\r\\n charset=utf-8\\r\\n\\r\\n")
    {'content-type': 'text/html; charset=utf-8'}
    """
    found: dict[str, str] = {}
    name = ""
    for line in block.decode("utf-8", "replace").split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            if name:
                found[name] += " " + line.strip()
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon else ""
        if name in found:
            name = ""
        elif name:
            found[name] = value.strip()
    return found
