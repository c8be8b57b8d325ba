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
    nothing = True
    while position is not None and members.file.view(position):
        at = position
        try:
            for block, at in members.pieces(position):  # noqa: B007  where the last piece ended
                nothing = nothing and not block
                yield block
            position = at
        except MemberDamageError as damage:
            nothing = False
            gathering.reject(name, position, damage.reason, damage.detail)
            yield b"\n"
            position = members.next_opening(position + 1)
    if nothing and members.form != "plain":
        gathering.reject(name, 0, ReadReason.EMPTY, "nothing is compressed in the file")


def lines_of(
    blocks: Iterator[bytes], start: int, stop: int | None, most: int, *, blank: bool = False
) -> Iterator[tuple[int, bytes | None]]:
    """Lines without their line feed, with their offsets; None for one of more than `most` bytes, which is not held.

    Args:
        start: offset of the first block.
        stop: lines that begin here or after belong to another split.
        blank: whether blank lines come, too.
    """
    rest: list[bytes] = []  # the beginning of a line that goes on in the next block
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
                line = b"".join([*rest, block[at:end]]) if rest else block[at:end]
                rest.clear()
                if blank or not _is_blank(line):
                    yield begin, line
                del line
            rest.clear()
            size = 0
            at = end + 1
            begin = position + at
        if stop is not None and begin >= stop:
            return
        position += len(block)
        size += len(block) - at
        if size > most:
            rest.clear()
        elif at < len(block):
            rest.append(block[at:])
    if size > most:
        yield begin, None
    elif size and (blank or not _is_blank(b"".join(rest))):
        line = b"".join(rest)
        rest.clear()
        yield begin, line


def decodes(head: bytes) -> bool:
    """Whether what a member begins with may be text: a header's few bytes also stand in compressed data by chance."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 or error.start < 3  # it may begin or be cut off within a character
    return True


def _is_blank(line: bytes) -> bool:
    return line[:1] in (b"", b" ", b"\t", b"\r") and not line.strip(_BLANK)
