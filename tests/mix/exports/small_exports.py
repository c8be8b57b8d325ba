"""What the tests of export formats share: hostile documents, and the way of an export through a format by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.mix.exports import format_named
from corpusmill.mix.exports.contract import By, Documents, Export, Finished, Group, Place, TokenFacts, Written

COLUMNS = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("quality", pa.float32()),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("license", pa.string()),
    ]
)
EOS = 7
TOKENS = TokenFacts(name="small", fingerprint="0" * 64, vocab_size=1000, eos="<end>", eos_id=EOS)

HOSTILE = (
    "",
    "\0",
    "a\rb\r\nc\n",
    "\r",
    '"}\n{"text": "another"}',
    "\\u0041\\",
    "\x1b[2J\x7f\x85\u2028\u2029\ufeff",
    "../../etc/passwd.txt",
    "ustar\0" + "00" * 300,
    # What litdata takes for the end of an Arrow footer, and for the beginning of a framed chunk.
    "ARROW1" + "\x0c\0\0\0LDARW01\0",
    "LDFZ01\0\0",
    "文字 wörter 🙂",
    "x" * 511,
    "x" * 512,
    "x" * 513,
)
"""Texts that would be something else to a reader if they were not kept apart."""
HOSTILE_IDS = ("a/b.c", "..", ".", "", "x" * 300, "\0", "a\nb", "-rf", "a,b;c", "ü", "C:\\x")


def rows(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Documents: hostile ones, then ordinary ones; some ids and nearly all measures missing or repeated."""
    return [
        {
            "text": HOSTILE[n] if n < len(HOSTILE) else f"Document {n}. " + "word " * (n * 7919 % 97),
            "id": HOSTILE_IDS[n % len(HOSTILE_IDS)] if n < 30 else f"id{n // 2}",
            "source": ("web", "code", "math")[n % 3],
            "url": None if n % 4 == 0 else f"https://example.org/{n}?a=1&b=2",
            "language": None if n % 5 == 0 else "en",
            "language_score": None if n % 5 == 0 else n / (n + 1),
            "quality": (None, 0.25, 1.0, 1e-7, float("inf"))[n % 5],
            "n_tokens": n,
            "license": None if n % 2 else 'MIT "x"',
        }
        for n in range(first, first + count)
    ]


def tokens_of(row: dict[str, Any]) -> list[int]:
    """Ids that tell the documents apart, EOS at the end."""
    return [8 + (row["n_tokens"] * 31 + place) % 900 for place in range(len(row["text"]) % 53)] + [EOS]


def stream_of(some: Sequence[dict[str, Any]]) -> list[int]:
    """The ids of documents one after another."""
    return list(chain(*map(tokens_of, some)))


def documents(some: Sequence[tuple[int, dict[str, Any]]]) -> Documents:
    """Rows of a shard, with their numbers in it, as a format gets them."""
    numbers, found = zip(*some, strict=True)
    ids = [tokens_of(row) for row in found]
    return Documents(
        rows=pa.RecordBatch.from_pylist(list(found), schema=COLUMNS),
        numbers=np.array(numbers, np.int64),
        tokens=np.array(list(chain(*ids)), np.uint16),
        ends=np.cumsum([len(part) for part in ids]).astype(np.int64),
    )


def export_by_hand(
    folder: Path,
    name: str,
    shards: Sequence[Sequence[dict[str, Any]]],
    *,
    batch: int = 50,
    by: By | None = None,
    splits: Sequence[str] = ("train",),
    sequence_length: int = 16,
) -> tuple[Path, Finished]:
    """Takes the shards, as those of each split, through a format; the format's folder, and what it finished."""
    kind = format_named(name)
    out = folder / name
    export = Export(folder=out, dataset="small", by=by, columns=COLUMNS, tokens=TOKENS, sequence_length=sequence_length)
    found: dict[tuple[str, str | None], list[Written]] = {}
    for split, (index, shard) in product(splits, enumerate(shards)):
        stem = f"{split}-{index:05d}-of-{len(shards):05d}"
        for group in sorted({row[by] for row in shard}) if by else [None]:
            own = [(number, row) for number, row in enumerate(shard) if group is None or row[by] == group]
            with kind.writer(Place(split=split, group=group, stem=stem, **places(out, split, group)), export) as writer:
                for start in range(0, len(own), batch):
                    writer.write(documents(own[start : start + batch]))
            written = Written(
                stem=stem,
                documents=len(own),
                text_bytes=sum(len(row["text"].encode()) for _, row in own),
                tokens=sum(len(tokens_of(row)) for _, row in own),
                files={str(path.relative_to(out)): path.stat().st_size for path in writer.paths},
                facts=writer.facts,
            )
            found.setdefault((split, group), []).append(written)
    made = [
        Group(split=split, name=group, written=tuple(written), **places(out, split, group))
        for (split, group), written in found.items()
    ]
    return out, kind.finish(export, made)


def places(out: Path, split: str, group: str | None) -> dict[str, Path]:
    inner = Path(split, *filter(None, [group]))
    return {"folder": out / inner, "parts": out / ".parts" / inner}


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A row as formats without null give it back; NaN as None, since NaN differs from itself."""
    known = {}
    for field in COLUMNS:
        value = row[field.name]
        if pa.types.is_floating(field.type):
            known[field.name] = None if value is None or value != value else float(np.float32(value))
        else:
            known[field.name] = "" if value is None else value
    return known


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
