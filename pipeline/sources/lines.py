"""Lines of a file of text, plain or compressed, for the readers of JSON lines and CSV."""

from __future__ import annotations

from collections.abc import Iterator

from corpusmill.pipeline.sources.contract import ReadReason
from corpusmill.pipeline.sources.decoding import MemberDamageError, Members
from corpusmill.pipeline.sources.gathering import Gathering

_BLANK = b" \t\r\n"


def decoded_blocks(members: Members, start: int, name: str, gathering: Gathering) -> Iterator[bytes]:
    """A file's content. A member that is damaged is a reject, and the next one goes on, on a line of its own.

    Args:
        start: where to begin in a plain file; a compressed one is read from its beginning.
    """
    position: int | None = start if members.form == "plain" else members.first
    decoded = start
    nothing = True
    while position is not None and members.file.view(position):
        at = position
        try:
            for block, at in members.pieces(position):  # noqa: B007  where the last piece ended
                nothing = nothing and not block
                decoded += len(block)
                yield block
            position = at
        except MemberDamageError as damage:
            nothing = False
            # Where in the decoded file something is missing: no line begins there, so the row's id is its own.
            gathering.reject(name, decoded, damage.reason, damage.detail)
            decoded += 1
            yield b"\n"
            position = members.next_opening(position + 1)
    if nothing and members.form != "plain":
        gathering.reject(name, 0, ReadReason.EMPTY, "nothing is compressed in the file")


def lines_of(
    blocks: Iterator[bytes], start: int, stop: int | None, most: int, *, blank: bool = False
) -> Iterator[tuple[int, list[bytes] | None]]:
    """Lines without their line feed, with their offsets; None for one of more than `most` bytes, which is not held.

    A line comes as its parts, from different blocks. Whoever joins them may clear the list, so that a line of hundreds
    of megabytes is there once.

    Args:
        start: offset of the first block.
        stop: lines that begin here or after belong to another split.
        blank: whether blank lines come, too.
    """
    parts: list[bytes] = []
    size = 0
    begin = position = start
    for block in blocks:
        at = 0
        while (end := block.find(b"\n", at)) >= 0:
            if stop is not None and begin >= stop:
                return
            size += end - at
            if size > most:
                yield begin, None
            else:
                parts.append(block[at:end])
                if blank or not _are_blank(parts):
                    yield begin, parts
            parts.clear()
            size = 0
            at = end + 1
            begin = position + at
        if stop is not None and begin >= stop:
            return
        position += len(block)
        size += len(block) - at
        if size > most:
            parts.clear()
        elif at < len(block):
            parts.append(block[at:])
    if size > most:
        yield begin, None
    elif parts and (blank or not _are_blank(parts)):
        yield begin, parts


def decodes(head: bytes) -> bool:
    """Whether what a member begins with may be text: a header's few bytes also stand in compressed data by chance."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 or error.start < 3  # it may begin or be cut off within a character
    return True


def _are_blank(parts: list[bytes]) -> bool:
    return parts[0][:1] in (b"", b" ", b"\t", b"\r") and not any(part.strip(_BLANK) for part in parts)
