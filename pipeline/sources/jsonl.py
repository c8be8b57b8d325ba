"""Reader `jsonl`: one JSON object a line (.jsonl, .ndjson, .json; plain, .gz, .zst or .lz4).

A line that is no object with a text costs itself; so does a damaged gzip member (of a line that was cut in two, the
rest is `invalid_json`). Offsets are bytes of the decoded file. Plain files are cut into byte ranges: a split owns the
lines that begin in its range. Keys that have no column go to `metadata` as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from corpusmill.pipeline.sources.contract import Chunk, Origin, Piece, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.decoding import MAX_EXPANSION, Members, form_at, form_of
from corpusmill.pipeline.sources.gathering import (
    MAX_RECORD_BYTES,
    Gathering,
    as_json,
    check_bounds,
    clean_text,
    cut,
    gathered,
)
from corpusmill.pipeline.sources.lines import decoded_blocks, decodes, lines_of
from corpusmill.pipeline.sources.storage import StoredFile

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Jsonl(Reader):
    """Documents of JSON lines."""

    kind: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{kind}{form}" for kind in ("jsonl", "ndjson", "json") for form in ("", ".gz", ".zst", ".lz4")
    )

    text: str = "text"
    """The key that holds the text."""
    url: str | None = "url"
    date: str | None = "date"
    language: str | None = "language"
    license: str | None = "license"
    """Keys of other columns; a value that is no string, and all other keys, go to `metadata`. None: no key."""
    max_record_bytes: int = MAX_RECORD_BYTES
    """A longer line is `too_large`; it is passed over without being held."""
    max_expansion: float = MAX_EXPANSION
    """Decoded over compressed bytes; above it, once 10 MB have come, a member is a `decompression_bomb`."""

    def __post_init__(self) -> None:
        check_bounds(self.kind, self.max_record_bytes, self.max_expansion)

    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """Plain files are cut into byte ranges; compressed ones are a split each, however large."""
        return cut(files, split_bytes, lambda file: form_of(file) == "plain")

    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        return gathered(split, origin, self._read_piece)

    def _read_piece(self, file: StoredFile, piece: Piece, gathering: Gathering) -> Iterator[None]:
        name = piece.file.name
        form = form_at(file)
        start, stop = piece.start, piece.stop
        if form != "plain":
            if start > 0:  # its name promised plain text, so it was cut; the first split has it all
                return
            stop = None
        elif start > 0:  # the line that goes over the cut belongs to the split before
            line_end = file.find(b"\n", start - 1)
            start = piece.file.size if line_end is None else line_end + 1
        members = Members(file, form, decodes, self.max_expansion)
        blocks = decoded_blocks(members, start, name, gathering)
        for offset, parts in lines_of(blocks, start, stop, self.max_record_bytes):
            if parts is None:
                detail = f"the line has more than {self.max_record_bytes:,} bytes, which is max_record_bytes"
                gathering.reject(name, offset, ReadReason.TOO_LARGE, detail)
            else:
                self._take(parts, name, offset, gathering)
            yield

    def _take(self, parts: list[bytes], name: str, offset: int, gathering: Gathering) -> None:
        line = b"".join(parts)
        parts.clear()
        if offset == 0:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            string = line.decode()
        except UnicodeDecodeError as error:
            gathering.reject(name, offset, ReadReason.INVALID_UTF8, str(error))
            return
        del line
        try:
            record = json.loads(string)
        except RecursionError:
            gathering.reject(name, offset, ReadReason.INVALID_JSON, "nested too deep")
            return
        except ValueError as error:
            gathering.reject(name, offset, ReadReason.INVALID_JSON, str(error))
            return
        del string
        if not isinstance(record, dict):
            gathering.reject(name, offset, ReadReason.NOT_AN_OBJECT, f"a JSON {_kind_of(record)}")
            return
        text = record.pop(self.text, None)
        if not isinstance(text, str):
            if text is None:
                detail = f'no key "{self.text}" with a text among: {", ".join(list(record)[:8])}'
                gathering.reject(name, offset, ReadReason.NO_TEXT, detail)
            else:
                detail = f'"{self.text}" is a JSON {_kind_of(text)}'
                gathering.reject(name, offset, ReadReason.TEXT_NOT_STRING, detail)
            return
        columns: dict[str, str] = {}
        for column in ("url", "date", "language", "license"):
            key = getattr(self, column)
            if key is not None and isinstance(record.get(key), str):
                columns[column] = clean_text(record.pop(key))
        gathering.add(clean_text(text), name, offset, metadata=as_json(record) if record else None, **columns)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


_KINDS = ((str, "string"), (list, "list"), (dict, "object"))
