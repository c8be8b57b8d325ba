"""Compressed files as members (gzip members, zstd and lz4 frames; a plain file is one member), with damage contained.

A member that does not decode costs itself: `next_opening` finds where the next one begins. fastwarc cannot serve
here: at a damaged member its iterator raises and cannot go on, at a truncated one it ends without a word (2.0.1).

All decoding is bounded: at most PIECE_BYTES come at a time (zstd: 33 MB at worst), and a member that expands beyond
`max_expansion` is given up once EXPANSION_FLOOR bytes of it have come.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Protocol

from corpusmill.pipeline.sources.contract import ReadReason, SourceFile
from corpusmill.pipeline.sources.storage import StoredFile

PIECE_BYTES = 1 << 20
EXPANSION_FLOOR = 10_000_000
MAX_EXPANSION = 200.0
"""Default bound of decoded over compressed bytes. Real pages reach some 50, gzip at most 1,032."""

_MAGIC = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}
_SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".lz4": "lz4"}
_ZSTD_STEP = 256  # a compressed block of 4 bytes may hold 128 KB, and zstandard has no bound of its own
_HEAD_BYTES = 1024
_LEAST_MEMBER, _SMALL_MEMBER = 20, 1 << 20  # bytes of a gzip member without content, and of one decoded at once
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # zstd and lz4 frames that hold no content
_DICTIONARY = 0x184D2A5D  # the dictionary of a .warc.zst, in front of all frames


class MemberDamageError(Exception):
    """A member that cannot be decoded to its end. Caught by readers and turned into a reject."""

    def __init__(self, reason: ReadReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Find(Enum):
    """What stands at a position of a file."""

    END = "the end of the file"
    OPENS = "a member that begins a record"
    CONTINUES = "a member that begins in the midst of a record"
    DAMAGED = "nothing that decodes"


def form_of(file: SourceFile) -> str:
    """How a file is compressed, by its name: `gzip`, `zstd`, `lz4` or `plain`."""
    name = file.name.lower()
    return next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), "plain")


def form_at(file: StoredFile) -> str:
    """How a file is compressed, by its first bytes: names are wrong now and then."""
    head = file.bytes_at(0, 4)
    if int.from_bytes(head, "little") in _SKIPPABLE:
        return "lz4" if form_of(file.file) == "lz4" else "zstd"
    return next((form for form, magic in _MAGIC.items() if head.startswith(magic)), "plain")


class _Decoder(Protocol):
    """One member's decoder, as zlib has it."""

    @property
    def eof(self) -> bool: ...

    def feed(self, compressed: memoryview) -> tuple[bytes, int]:
        """Some decoded bytes, and how many of `compressed` they took."""


class _Gzip:
    def __init__(self) -> None:
        self._state = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._state.eof

    def feed(self, compressed: memoryview) -> tuple[bytes, int]:
        compressed = compressed[:65536]
        decoded = self._state.decompress(compressed, PIECE_BYTES)
        left = len(self._state.unused_data) if self._state.eof else len(self._state.unconsumed_tail)
        return decoded, len(compressed) - left


class _Zstd:
    def __init__(self, dictionary: bytes | None) -> None:
        import zstandard

        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._state = zstandard.ZstdDecompressor(dict_data=known).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._state.eof)

    def feed(self, compressed: memoryview) -> tuple[bytes, int]:
        parts: list[bytes] = []
        taken = size = 0
        while taken < len(compressed) and size < PIECE_BYTES and not self._state.eof:
            step = compressed[taken : taken + _ZSTD_STEP]
            parts.append(self._state.decompress(step))
            size += len(parts[-1])
            taken += len(step) - len(self._state.unused_data)
        return b"".join(parts), taken


class _Lz4:
    def __init__(self) -> None:
        import lz4.frame

        self._state = lz4.frame.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._state.eof)

    def feed(self, compressed: memoryview) -> tuple[bytes, int]:
        # The decoder keeps what it has not yet decoded, so it gets more only when it asks.
        step = bytes(compressed[:65536]) if self._state.needs_input else b""
        decoded = self._state.decompress(step, max_length=PIECE_BYTES)
        return decoded, len(step) - len(self._state.unused_data or b"")


class Members:
    """A file as a sequence of members. `form`: `gzip`, `zstd`, `lz4` or `plain`.

    Args:
        opens: whether decoded bytes are the beginning of a record. A record that goes over the end of its member is
            continued by the next member unless that one opens a record itself.
    """

    def __init__(
        self, file: StoredFile, form: str, opens: Callable[[bytes], bool], max_expansion: float = MAX_EXPANSION
    ) -> None:
        self.file = file
        self.form = form
        self.max_expansion = max_expansion
        self._opens = opens
        self._dictionary: bytes | None = None
        self._seen: tuple[int, Find] = -1, Find.END
        self._ahead: tuple[int, tuple[bytes, int] | None] = -1, None
        self.first = 0
        """Where the first member begins: behind a dictionary, if there is one."""
        if form in ("zstd", "lz4"):
            self._skip_frames()

    def pieces(self, position: int) -> Iterator[tuple[bytes, int]]:
        """The member at `position`, decoded: pieces, each with the position in the file that decoding has reached.

        Raises:
            MemberDamageError: where it stops to decode.
        """
        if self.form == "plain":
            while view := self.file.view(position):
                position += len(view)
                yield bytes(view), position
            return
        if self.form == "gzip" and (member := self._at_once(position)) is not None:
            self._ahead = -1, None
            yield member
            return
        begin = position
        decoded_bytes = 0
        decoder = self._decoder()
        while not decoder.eof:
            view = self.file.view(position)
            try:
                decoded, taken = decoder.feed(view)
            except _errors(self.form) as error:
                raise MemberDamageError(
                    ReadReason.CORRUPT_GZIP, f"{self.form}: the member at byte {begin} does not decode: {error}"
                ) from error
            if not view and not decoded and not decoder.eof:
                raise MemberDamageError(
                    ReadReason.TRUNCATED_GZIP, f"{self.form}: the file ends within the member at byte {begin}"
                )
            position += taken
            decoded_bytes += len(decoded)
            if decoded_bytes > max(EXPANSION_FLOOR, self.max_expansion * (position - begin)):
                raise MemberDamageError(
                    ReadReason.BOMB,
                    f"{self.form}: {position - begin:,} bytes of the member at byte {begin} expand to more than "
                    f"{decoded_bytes:,}; max_expansion is {self.max_expansion:g}",
                )
            if decoded or decoder.eof:
                yield decoded, position

    def _at_once(self, position: int) -> tuple[bytes, int] | None:
        """A small gzip member, decoded by fastwarc at twice zlib's speed; None where it is not small and sound.

        It must end where the next one seems to begin and have the length that its trailer names (fastwarc verifies
        the checksum, and is silent where a member is cut short).
        """
        if self._ahead[0] != position:
            self._ahead = position, self._small_member(position)
        return self._ahead[1]

    def _small_member(self, position: int) -> tuple[bytes, int] | None:
        from fastwarc.stream_io import GzipReader

        end = self.file.find(_MAGIC["gzip"], position + _LEAST_MEMBER, position + _SMALL_MEMBER)
        if end is None:
            end = self.file.file.size
            if end - position > _SMALL_MEMBER:
                return None
        member = self.file.bytes_at(position, end - position)
        size = int.from_bytes(member[-4:], "little")
        if size > EXPANSION_FLOOR:
            return None
        try:
            decoded = GzipReader(io.BytesIO(member)).read(size + 1)
        except OSError:
            return None
        return (decoded, end) if len(decoded) == size else None

    def at(self, position: int) -> Find:
        """What stands at `position`, by its first decoded bytes."""
        if self._seen[0] != position:
            self._seen = position, self._look(position)
        return self._seen[1]

    def _look(self, position: int) -> Find:
        if not (view := self.file.view(position)):
            return Find.END
        if self.form == "plain":
            return Find.OPENS if self._opens(bytes(view[:_HEAD_BYTES])) else Find.CONTINUES
        head = b""
        try:
            if self.form == "gzip" and (member := self._at_once(position)) is not None:
                head = member[0][:_HEAD_BYTES]
            elif self.form == "gzip":
                head = zlib.decompressobj(31).decompress(self.file.bytes_at(position, _HEAD_BYTES), _HEAD_BYTES)
            else:
                for piece, _ in self.pieces(position):
                    head += piece
                    if len(head) >= _HEAD_BYTES:
                        break
        except zlib.error:
            return Find.DAMAGED
        except MemberDamageError:
            if not head:
                return Find.DAMAGED
        return Find.OPENS if self._opens(head) else Find.CONTINUES

    def next_opening(self, position: int) -> int | None:
        """Where the first member that opens a record begins, at `position` or after."""
        if self.form == "plain":
            return None
        found = self.file.find(_MAGIC[self.form], position)
        while found is not None and self.at(found) is not Find.OPENS:
            found = self.file.find(_MAGIC[self.form], found + 1)
        return found

    def _decoder(self) -> _Decoder:
        if self.form == "gzip":
            return _Gzip()
        return _Zstd(self._dictionary) if self.form == "zstd" else _Lz4()

    def _skip_frames(self) -> None:
        while len(head := self.file.bytes_at(self.first, 8)) == 8:
            magic, size = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
            if magic not in _SKIPPABLE:
                return
            if magic == _DICTIONARY and self.first == 0 and size <= EXPANSION_FLOOR:
                self._dictionary = self._plain_dictionary(self.file.bytes_at(8, size))
            self.first += 8 + size

    def _plain_dictionary(self, content: bytes) -> bytes | None:
        """The dictionary, which may be a zstd frame itself; None where it is damaged: then no frame decodes."""
        if not content.startswith(_MAGIC["zstd"]):
            return content
        try:
            return _Zstd(None).feed(memoryview(content))[0]
        except _errors("zstd"):
            return None


def _errors(form: str) -> tuple[type[Exception], ...]:
    """What the form's library raises for bytes that do not decode."""
    if form == "gzip":
        return (zlib.error,)
    if form == "lz4":
        return (RuntimeError,)
    import zstandard

    return (zstandard.ZstdError,)


def expanded(payload: bytes, encoding: str, most: int, max_expansion: float) -> bytes:
    """An HTTP body without its content encoding.

    Raises:
        MemberDamageError: if it does not decode, is over `most` bytes or expands beyond `max_expansion`.
    """
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(payload, encoding, most, max_expansion)
    if encoding == "zstd":
        return _read_bounded(_zstd_pieces(payload), most, max_expansion, encoding)
    return _read_bounded(_brotli_pieces(payload), most, max_expansion, encoding)


def _inflated(payload: bytes, encoding: str, most: int, max_expansion: float) -> bytes:
    # "deflate" means zlib by RFC 9110, and raw deflate to some servers.
    modes = (31,) if encoding != "deflate" else (15, -15)
    for mode in modes:
        try:
            return _read_bounded(_inflated_pieces(payload, encoding, mode), most, max_expansion, encoding)
        except zlib.error as error:
            if mode == modes[-1]:
                raise MemberDamageError(ReadReason.CORRUPT_GZIP, f"Content-Encoding: {encoding}: {error}") from error
    raise ValueError(encoding)


def _inflated_pieces(payload: bytes, encoding: str, mode: int) -> Iterator[tuple[bytes, int]]:
    state = zlib.decompressobj(mode)
    rest = payload
    while rest and not state.eof:
        piece = state.decompress(rest, PIECE_BYTES)
        rest = state.unconsumed_tail
        yield piece, len(payload) - len(rest)
    if not state.eof:
        raise MemberDamageError(ReadReason.TRUNCATED_GZIP, f"the body ends within its {encoding} encoding")


def _zstd_pieces(payload: bytes) -> Iterator[tuple[bytes, int]]:
    decoder = _Zstd(None)
    view = memoryview(payload)
    while view and not decoder.eof:
        try:
            decoded, taken = decoder.feed(view)
        except _errors("zstd") as error:
            raise MemberDamageError(ReadReason.CORRUPT_GZIP, f"Content-Encoding: zstd: {error}") from error
        view = view[taken:]
        yield decoded, len(payload) - len(view)
    if not decoder.eof:
        raise MemberDamageError(ReadReason.TRUNCATED_GZIP, "the body ends within its zstd encoding")


def _brotli_pieces(payload: bytes) -> Iterator[tuple[bytes, int]]:
    from fastwarc.stream_io import BrotliReader

    reader = BrotliReader(io.BytesIO(payload))
    try:
        while piece := reader.read(PIECE_BYTES):
            yield piece, len(payload)  # it reads ahead, and does not say how far it has come
    except OSError as error:
        raise MemberDamageError(ReadReason.CORRUPT_GZIP, f"Content-Encoding: br: {error}") from error


def _read_bounded(pieces: Iterator[tuple[bytes, int]], most: int, max_expansion: float, encoding: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    for piece, taken in pieces:
        parts.append(piece)
        size += len(piece)
        if size > min(most, EXPANSION_FLOOR) and size > max_expansion * taken:
            raise MemberDamageError(
                ReadReason.BOMB,
                f"{encoding}: {taken:,} bytes expand to more than {size:,}; max_expansion is {max_expansion:g}",
            )
        if size > most:
            raise MemberDamageError(ReadReason.TOO_LARGE, f"over {most:,} bytes once its {encoding} encoding is undone")
    return b"".join(parts)
