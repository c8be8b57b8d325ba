"""JSON lines, compressed: what datatrove, dolma, DCLM, NeMo Curator, levanter and most scripts read.

    <split>/<stem>.jsonl.zst    `jsonl`: zstd, level 3, one frame
    <split>/<stem>.jsonl.gz     `jsonl_gz`: for readers without zstd; four times as slow to write

json_rows.py says what stands in a line. A line ends with a line feed, and control characters in texts are escaped, so
that no text can begin a line of its own.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import IO, ClassVar

import zstandard

from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer
from corpusmill.mix.exports.json_rows import json_rows
from corpusmill.mix.exports.records import joined, of_ends

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6


class _LinesWriter(Writer):
    def __init__(self, place: Place, export: Export, suffix: str) -> None:
        super().__init__(place, export)
        self._lines = _compressed(self.file(suffix), suffix)
        self._open.enter_context(self._lines)

    def write(self, documents: Documents) -> None:
        rows = json_rows(documents.rows)
        self._lines.write(joined([of_ends(rows.ends, rows.data), b"\n"]).data.data)


class JsonLines(Format):
    """A JSON object a line, zstd."""

    name = "jsonl"
    suffix: ClassVar[str] = ".jsonl.zst"

    def writer(self, place: Place, export: Export) -> Writer:
        return _LinesWriter(place, export, self.suffix)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        paste = []
        for group in groups:
            pattern = f"*{self.suffix}"
            named = f"{group.split}, {group.name}" if group.name else group.split
            paste.append(
                f"# {named}: {group.documents:,} documents. datatrove: "
                f"JsonlReader({json.dumps(str(group.folder.resolve()))}, glob_pattern={json.dumps(pattern)})"
            )
            key = "train_urls" if group.split == "train" else "validation_urls"
            paste.append(f"{key}: [{json.dumps(str(group.folder.resolve() / pattern))}]  # levanter")
        return Finished(paste=tuple(paste))


class JsonLinesGzip(JsonLines):
    """A JSON object a line, gzip."""

    name = "jsonl_gz"
    suffix = ".jsonl.gz"


def _compressed(stream: IO[bytes], suffix: str) -> gzip.GzipFile | zstandard.ZstdCompressionWriter:
    if suffix.endswith(".gz"):
        # Without a name and a time in its header, so that the same documents are the same bytes.
        return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0)
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).stream_writer(stream, closefd=False)
