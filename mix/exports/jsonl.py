"""JSON lines, compressed: what datatrove, dolma, DCLM, NeMo Curator, levanter and most scripts read.

    <split>/<stem>.jsonl.zst    `jsonl`: zstd, level 3, one frame
    <split>/<stem>.jsonl.gz     `jsonl_gz`: for readers without zstd; several times as slow to write

json_rows.py says what stands in a line. A line ends with a line feed, and control characters in texts are escaped, so
that no text can begin a line of its own.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import IO, ClassVar

import zstandard

from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer
from corpusmill.mix.exports.json_rows import json_rows
from corpusmill.mix.exports.records import quoted

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6


class _LinesWriter(Writer):
    def __init__(self, place: Place, export: Export, suffix: str) -> None:
        super().__init__(place, export)
        self._lines = _compressed(self.file(suffix), suffix)
        self._open.enter_context(self._lines)

    def write(self, documents: Documents) -> None:
        self._lines.write(json_rows(documents.rows, end=b"\n").data.data)


class JsonLines(Format):
    """A JSON object a line, zstd."""

    name = "jsonl"
    suffix: ClassVar[str] = ".jsonl.zst"

    def writer(self, place: Place, export: Export) -> Writer:
        return _LinesWriter(place, export, self.suffix)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        paste = ["# datatrove"]
        paste += [f"JsonlReader({str(group.folder.resolve())!r})" for group in groups]
        paste += ["# levanter", "data:"]
        if export.by is None:
            return Finished(paste=(*paste, *self._urls(groups, "  ")))
        paste.append("  configs:")
        by_name = {name: [group for group in groups if group.name == name] for name in _names(groups)}
        for name, own in by_name.items():
            paste += [f"    {quoted(name)}:", *self._urls(own, "      ")]
        paste.append("  train_weights:")
        train = {group.name: group.text_bytes for group in groups if group.split == "train"}
        paste += [f"    {quoted(name)}: {train.get(name, 0) / max(1, sum(train.values())):.6f}" for name in by_name]
        return Finished(paste=tuple(paste))

    def _urls(self, groups: Sequence[Group], margin: str) -> list[str]:
        """Patterns of the files for training and for validation; levanter takes held-out sets as more of the latter."""
        lines = []
        for key in ("train_urls", "validation_urls"):
            found = [
                str(group.folder.resolve() / f"*{self.suffix}")
                for group in groups
                if (group.split == "train") == (key == "train_urls")
            ]
            lines.append(f"{margin}{key}: [{', '.join(map(quoted, found))}]")
        return lines


class JsonLinesGzip(JsonLines):
    """A JSON object a line, gzip."""

    name = "jsonl_gz"
    suffix = ".jsonl.gz"


def _names(groups: Sequence[Group]) -> list[str | None]:
    return list(dict.fromkeys(group.name for group in groups))


def _compressed(stream: IO[bytes], suffix: str) -> gzip.GzipFile | zstandard.ZstdCompressionWriter:
    if suffix.endswith(".gz"):
        # Without a name and a time in its header, so that the same documents are the same bytes.
        return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0)
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).stream_writer(stream, closefd=False)
