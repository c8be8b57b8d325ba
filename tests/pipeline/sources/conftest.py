"""Archives and tables made by hand, and a way to read any file whole."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from corpusmill.documents.schema import DOCUMENT
from corpusmill.pipeline.sources.contract import Origin, Piece, Reader, Reject, SourceFile, Split


@dataclass
class Read:
    """What a reader made of a file."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [document["text"] for document in self.documents]

    @property
    def reasons(self) -> list[str]:
        return [f"{reject.stage}/{reject.reason}" for reject in self.rejects]


def source_file(path: Path) -> SourceFile:
    return SourceFile(str(path), path.name, path.stat().st_size, "")


def read_splits(reader: Reader, splits: Sequence[Split], origin: Origin) -> Read:
    result = Read()
    for split in splits:
        for chunk in reader.read(split, origin):
            assert chunk.documents.schema == DOCUMENT
            chunk.documents.validate(full=True)
            assert len(chunk.files) == len(chunk.offsets) == chunk.documents.num_rows
            result.documents += chunk.documents.to_pylist()
            result.offsets += chunk.offsets.to_pylist()
            result.files += chunk.files.to_pylist()
            result.rejects += chunk.rejects
    for document in result.documents:
        assert "\0" not in document["text"]
        assert "\r" not in document["text"]
    ids = [document["id"] for document in result.documents]
    assert len(set(ids)) == len(ids)
    return result


@pytest.fixture(scope="session")
def read() -> Callable[..., Read]:
    """Reads a file as one split, or cut at the given byte positions."""

    def read_file(reader: Reader, path: Path, *, cuts: Sequence[int] = (), origin: Origin | None = None) -> Read:
        file = source_file(path)
        if cuts:
            bounds = [0, *sorted(set(cuts) - {0})]
            splits = [Split((Piece(file, *ends),), 0) for ends in zip(bounds, [*bounds[1:], None])]
        else:
            splits = reader.splits([file], 1 << 40)
        return read_splits(reader, splits, origin or Origin("web"))

    return read_file


@dataclass(frozen=True)
class Archive:
    """Records and members of web archives."""

    @staticmethod
    def record(kind: str, content: bytes, **headers: str) -> bytes:
        fields = {
            "WARC-Type": kind,
            "WARC-Record-ID": "<urn:uuid:1>",
            "WARC-Date": "2024-03-05T10:00:00Z",
            **{name.replace("_", "-"): value for name, value in headers.items()},
            "Content-Length": str(len(content)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + content + b"\r\n\r\n"

    @staticmethod
    def response(
        body: bytes,
        *,
        status: str = "200 OK",
        content_type: str | None = "text/html; charset=utf-8",
        url: str = "https://example.org/",
        **headers: str,
    ) -> bytes:
        fields = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
        content = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
        return Archive.record("response", content, WARC_Target_URI=url, Content_Type="application/http")

    @staticmethod
    def page(number: int) -> bytes:
        """A page that holds `Text of page <number>.`, and enough that differs to compress to some hundred bytes."""
        noise = " ".join(str(number * step * 7919 % 99991) for step in range(1, 80))
        html = (
            f"<html><head><title>Page {number}</title></head><body><p>Text of page {number}.</p><p>{noise}</p></body>"
        )
        return Archive.response(html.encode(), url=f"https://example.org/{number}")

    @staticmethod
    def members(records: Sequence[bytes]) -> list[bytes]:
        return [gzip.compress(record, mtime=0) for record in records]

    @staticmethod
    def arc_record(url: str, content: bytes, media: str = "text/html") -> bytes:
        return f"{url} 192.0.2.1 20080619143015 {media} {len(content)}\n".encode() + content + b"\n"


@pytest.fixture(scope="session")
def archive() -> Archive:
    return Archive()


@pytest.fixture(scope="session")
def make_read() -> Callable[..., Read]:
    return read_splits
