"""What `corpusmill score` reads: a dataset of ours, or files of documents of any kind that sources have, but for pages.

Every reader of sources serves (pipeline/sources), so a line that is no JSON, a row group that is damaged or a text that
is no UTF-8 costs itself, and is told. Columns that the score needs besides the text: `id`, the count, and what the
documents are reported by. Of Parquet they come as columns, of other kinds from what the reader puts into `metadata`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError, UsageError, nearest
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.manifest import MANIFEST
from corpusmill.mix.scoring_rows import Piece
from corpusmill.mix.units import COUNT_COLUMNS
from corpusmill.pipeline.sources.contract import Chunk, Origin, Reader, ReadReason, Reject, SourceFile
from corpusmill.pipeline.sources.csv import Csv
from corpusmill.pipeline.sources.find import find_files
from corpusmill.pipeline.sources.jsonl import Jsonl
from corpusmill.pipeline.sources.parquet import Parquet
from corpusmill.pipeline.sources.registry import reader_for
from corpusmill.pipeline.sources.storage import file_system, is_remote, local_path
from corpusmill.pipeline.sources.text import Text

BYTES = "bytes"
"""The unit where there is no count column."""
COMPONENT, SOURCE = "component", "source"
"""Columns that documents are reported by where nobody names another: the first that is not null."""

_COUNTS = tuple(dict.fromkeys([*COUNT_COLUMNS.values(), "token_count"]))  # token_count: FineWeb's
_FOLDER_SUFFIXES = ((".parquet", ".pq"), tuple(name for name in Jsonl.suffixes if not name.startswith(".json.")))
_MOST_NAMES = 1000
_REJECTS_TOLD = 5
_EXPANSION = 4  # of compressed JSON lines, about
_WHOLE = 1 << 62  # bytes of a split: files are not cut


@dataclass(frozen=True, kw_only=True)
class ScoreInput:
    """What is read, and how.

    count         the column whose numbers are the tokens; None: the bytes of the text
    by            the columns that documents are reported by
    documents     about how many there are
    text_bytes    about how much text they have
    """

    files: tuple[SourceFile, ...]
    reader: type[Reader]
    field: str
    count: str | None
    by: tuple[str, ...]
    documents: int
    text_bytes: int


@dataclass(slots=True)
class Unread:
    """Records that could not be read: how many by reason, and the first of them."""

    reasons: Counter[str] = field(default_factory=Counter)
    first: list[Reject] = field(default_factory=list)

    def add(self, rejects: Sequence[Reject]) -> None:
        self.reasons.update(reject.reason for reject in rejects)
        self.first.extend(rejects[: _REJECTS_TOLD - len(self.first)])

    def as_dict(self) -> dict[str, Any]:
        first = [
            {"file": reject.file, "offset": reject.offset, "reason": str(reject.reason), "detail": reject.detail}
            for reject in self.first
        ]
        return {"reasons": {str(reason): number for reason, number in sorted(self.reasons.items())}, "first": first}


def find_input(paths: Sequence[str], *, field: str, count: str | None, by: str | None, split: str) -> ScoreInput:
    """Looks at what the paths name: datasets of ours, files, folders, globs or URLs.

    Args:
        count: the count column; "bytes": none; None: the one that is there.
        by: what documents are reported by; None: components or sources, where files say so.
        split: of a dataset of ours.

    Raises:
        InputError: if a path names nothing, or a column is not there or does not hold what it should.
    """
    files = _files(paths, split)
    reader = reader_for(files)
    if reader not in (Parquet, Jsonl, Csv, Text):
        raise InputError(
            f"{files[0].name}: {reader.kind} files hold pages, not documents; extract them first: `corpusmill run`"
        )
    if reader is Parquet:
        columns, documents, text_bytes = _parquet_facts(files, field)
    else:
        columns, documents, text_bytes = _peeked(files, reader, field)
    if count is None:
        count = next((name for name in _COUNTS if name in columns), BYTES)
    for option, name in (("--count", count if count != BYTES else None), ("--by", by)):
        if name is not None and name not in columns:
            raise InputError(f"{option}: {_no_column(files[0].name, name, columns)}")
    return ScoreInput(
        files=tuple(files),
        reader=reader,
        field=field,
        count=None if count == BYTES else count,
        by=(by,) if by else tuple(name for name in (COMPONENT, SOURCE) if name in columns),
        documents=documents,
        text_bytes=text_bytes,
    )


def read_pieces(given: ScoreInput, unread: Unread) -> Iterator[Piece]:
    """All documents, some at a time; what could not be read is added to `unread`.

    Raises:
        InputError: if a value of the count column is no whole number of 0 or more.
    """
    reader = _reader(given)
    labels: dict[str, None] = {}
    origin = Origin("score")
    for split in reader.splits(given.files, _WHOLE):
        for chunk in reader.read(split, origin):
            unread.add(chunk.rejects)
            if len(chunk.documents):
                yield _piece(chunk, given, labels)


def _files(paths: Sequence[str], split: str) -> list[SourceFile]:
    found: dict[str, SourceFile] = {}
    for path in paths:
        for file in _files_of(path, split):
            found.setdefault(file.uri, file)
    return sorted(found.values(), key=lambda file: (file.name, file.uri))


def _files_of(path: str, split: str) -> list[SourceFile]:
    base = Path.cwd()
    if not is_remote(path) and Path(local_path(path)).is_dir():
        folder = Path(local_path(path))
        if not (folder / MANIFEST).is_file() or not (folder / "data").is_dir():
            folder = folder / "dataset" if (folder / "dataset" / MANIFEST).is_file() else folder
        if (folder / MANIFEST).is_file() and (folder / "data").is_dir():
            shards = sorted(folder.glob(f"*/{split}-*-of-*.parquet"))
            if not shards:
                there = sorted({shard.name.rpartition("-of-")[0][:-6] for shard in folder.glob("*/*-of-*.parquet")})
                raise InputError(f"{folder}: has no split {split!r}; --split can be {', '.join(there) or 'none'}")
            return find_files([str(shard) for shard in shards], base=base, root=None, suffixes=Parquet.suffixes)
        stages = sorted(manifest.parent.name for manifest in folder.glob(f"dataset/*/{MANIFEST}"))
        if stages:
            raise InputError(f"{folder}: holds a dataset for each stage; name one: {folder / 'dataset' / stages[0]}")
        for suffixes in _FOLDER_SUFFIXES:
            if any(file.is_file() and file.name.lower().endswith(suffixes) for file in folder.rglob("*")):
                return find_files([path], base=base, root=None, suffixes=suffixes)
    return find_files([path], base=base, root=None, suffixes=(*Parquet.suffixes, *Jsonl.suffixes))


def _parquet_facts(files: Sequence[SourceFile], field: str) -> tuple[list[str], int, int]:
    """The columns that all files have, how many rows, and about how much text."""
    columns: list[str] | None = None
    documents = text_bytes = 0
    for file in files:
        try:
            with _opened(file) as stream, pq.ParquetFile(stream) as opened:
                schema, metadata = opened.schema_arrow, opened.metadata
        except (pa.ArrowException, OSError, ValueError):
            continue  # its reader tells of it
        if field not in schema.names:
            raise InputError(f"--field: {_no_column(file.name, field, schema.names)}")
        kind = schema.field(field).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(test(value) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)):
            textual = [each.name for each in schema if pa.types.is_string(each.type)]
            raise InputError(
                f"--field: the column {field!r} of {file.name} holds {kind}, no text; of text are "
                f"{', '.join(textual) or 'none'}"
            )
        columns = schema.names if columns is None else [name for name in columns if name in schema.names]
        documents += metadata.num_rows
        place = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path.split(".")[0] == field)
        text_bytes += sum(
            metadata.row_group(group).column(place).total_uncompressed_size for group in range(metadata.num_row_groups)
        )
    return columns or [], documents, text_bytes


def _peeked(files: Sequence[SourceFile], reader: type[Reader], field: str) -> tuple[list[str], int, int]:
    """The same from the first chunk: the keys that all its records have."""
    size = sum(file.size * (1 if _is_plain(file) else _EXPANSION) for file in files)
    whole = ScoreInput(
        files=tuple(files), reader=reader, field=field, count=None, by=(), documents=0, text_bytes=0
    )  # fmt: skip
    seen: list[str] = []
    for split in _reader(whole).splits(files, _WHOLE):
        for chunk in _reader(whole).read(split, Origin("score")):
            seen += [reject.detail for reject in chunk.rejects if reject.reason == ReadReason.NO_TEXT]
            if not len(chunk.documents):
                continue
            keys: dict[str, None] | None = None
            for record in _metadata(chunk):
                keys = {name: None for name in record if keys is None or name in keys}
            text_bytes = int(pc.sum(pc.binary_length(chunk.documents.column("text"))).as_py())
            return list(keys or ()), max(1, len(chunk.documents) * size // max(1, text_bytes)), size
    if seen:
        raise InputError(f"--field: {files[0].name} has {seen[0]}; name the key that holds the text")
    return [], 0, size


def _is_plain(file: SourceFile) -> bool:
    """Whether the file's name tells of no compression."""
    return not file.name.lower().endswith((".gz", ".zst", ".lz4"))


def _reader(given: ScoreInput) -> Reader:
    if given.reader is Parquet:
        # Its columns are strings whatever they were, and no Python object is made of a row.
        columns: dict[str, str | None] = {"date": given.count, "language": None, "license": None}
        columns |= dict(zip(("language", "license"), given.by, strict=False))
        return Parquet(text=given.field, url="id", **columns)  # type: ignore[arg-type]
    if given.reader is Text:
        return Text()
    kind = Csv if given.reader is Csv else Jsonl
    return kind(text=given.field, url=None, date=None, language=None, license=None)


def _piece(chunk: Chunk, given: ScoreInput, labels: dict[str, None]) -> Piece:
    documents = chunk.documents
    if given.reader is Parquet:
        values: Mapping[str, pa.Array] = dict(
            zip(given.by, map(documents.column, ("language", "license")), strict=False)
        )
        ids, counts = documents.column("url"), documents.column("date")
    else:
        records = _metadata(chunk)
        values = {name: pa.array([_plain(record.get(name)) for record in records], pa.string()) for name in given.by}
        ids = pa.array([_plain(record.get("id")) for record in records], pa.string())
        counts = pa.array([_plain(record.get(given.count)) for record in records], pa.string()) if given.count else None
    return Piece(
        texts=documents.column("text"),
        id_hash=id_hashes(pc.coalesce(ids, documents.column("id"))),
        tokens=_whole_numbers(counts, given.count, chunk) if given.count and counts is not None else None,
        components=_limited(pc.coalesce(*values.values()), labels, given.by) if values else None,
    )


def _limited(names: pa.StringArray, labels: dict[str, None], by: Sequence[str]) -> pa.StringArray:
    """The names, unless they are too many to be reported by."""
    labels |= dict.fromkeys(name for name in pc.unique(names).to_pylist() if name is not None)
    if len(labels) > _MOST_NAMES:
        raise UsageError(
            f"--by: {' and '.join(by)} has more than {_MOST_NAMES:,} different values; name a column with fewer, such "
            "as language"
        )
    return names


def _whole_numbers(values: pa.StringArray, name: str, chunk: Chunk) -> NDArray[np.int64]:
    good = pc.fill_null(pc.match_substring_regex(values, r"^[0-9]{1,18}(\.0*)?$"), False)
    if not pc.all(good).as_py():
        row = int(np.flatnonzero(~good.to_numpy(zero_copy_only=False))[0])
        raise InputError(
            f"--count: the column {name!r} is {values[row].as_py() or 'null'} in {chunk.files[row].as_py()} at "
            f"{chunk.offsets[row].as_py():,}, no whole number of tokens; name another, or `--count {BYTES}`"
        )
    return pc.replace_substring_regex(values, r"\.0*$", "").cast(pa.int64()).to_numpy()


def _metadata(chunk: Chunk) -> list[dict[str, Any]]:
    return [json.loads(record) if record else {} for record in chunk.documents.column("metadata").to_pylist()]


def _plain(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict | list | bool) else str(value)


def _opened(file: SourceFile) -> Any:
    if is_remote(file.uri):
        system, path = file_system(file.uri)
        return system.open(path, "rb")
    return open(local_path(file.uri), "rb")


def _no_column(file: str, name: str, columns: Sequence[str]) -> str:
    near = nearest(name, columns)
    mend = f"; did you mean {near!r}?" if near else ""
    return f"{file} has no column {name!r} but {', '.join(columns) or 'none'}{mend}"
