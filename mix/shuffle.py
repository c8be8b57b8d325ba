"""The global shuffle, out of core: scatter every part by ranges of the shuffle key, then gather each range as a shard.

Every copy of a document has a shuffle key of its own (mix/keys.py). A shard is a range of keys, its rows sorted by
key, so there is exactly one order of the dataset for a seed and a selection. The text is written twice: once to the
scattered files, once to the shards.

A scattered file is an Arrow IPC file of runs. A run is a piece of a part, in one pass or several, sorted by key and cut
at the borders of the shards: one record batch for each shard, train shards first, empty ones included. So the batch of
shard s in run r is number r * shards + s, and to read it is one seek.

Memory: `scatter` holds RUN_BYTES of text, twice; `gather` holds one shard's text, twice until it is put together.

A shard's columns (`dataset_schema`):

    text            string, not null
    id              string, not null    the document's; copies of a document share it
    source          string, not null    the recipe's name
    component       string, not null    what the row counts for in the mix; only where that is not always the source
    url             string
    language        string
    language_score  float32
    quality         float32
    n_tokens        int32, not null     n_words, n_bytes or n_characters where the mix counts those; n_bytes where it
                                        counts documents
    license         string

The schema's metadata has `corpusmill.unit`: `estimated_tokens` tells that n_tokens is an estimate; and, where tokens
were counted, `corpusmill.tokenizer`, the fingerprint of what counted them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import (
    ROW_GROUP_ROWS,
    ROW_GROUP_TEXT_BYTES,
    atomic_file,
    storage_errors,
    write_table,
)
from corpusmill.mix.keys import HELD_OUT, TRAIN, VALIDATION, range_starts, shuffle_keys
from corpusmill.mix.options import Unit
from corpusmill.mix.part_rows import PartRows
from corpusmill.mix.selection import Selection, heldout_split
from corpusmill.mix.units import COUNT_COLUMNS

RUN_BYTES = 64_000_000
"""Text of a run, about."""
_PASSES = 1 << 20
"""More than there are passes: a pass and a copy of a document in it make one number."""

_CARRIED = ("text", "id", "source", "url", "language", "language_score", "quality", "license")
_PLACED = ("id", "id_hash", "group_hash", "component", "copies", "units")
_SCATTERED = pa.schema(
    [
        pa.field("shuffle_key", pa.uint64(), nullable=False),
        pa.field("copy", pa.int32(), nullable=False),
        pa.field("units", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("quality", pa.float32()),
        pa.field("license", pa.string()),
    ]
)
_READ_ROWS = 256  # books have about a megabyte each


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What is known of a shard of the dataset; the manifest is made of these.

    name        relative to the dataset's folder, such as `data/train-00000-of-00008.parquet`
    units       in the mix's unit
    documents   by source, language and licence: `{"source": {"web": 12}, …}`; null is the empty name
    """

    split: str
    name: str
    rows: int
    file_bytes: int
    text_bytes: int
    characters: int
    units: int
    sha256: str
    content_hash: str
    documents: dict[str, dict[str, int]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ShardReport:
        return cls(**data)


def dataset_schema(unit: Unit, *, components: bool = False) -> pa.Schema:
    """The columns of a shard, for a mix that counts `unit`; with its components where they are not its sources."""
    count = COUNT_COLUMNS[unit]
    fields = {field.name: field for field in _SCATTERED}
    fields[count] = pa.field(count, pa.int32(), nullable=False)
    names = ["text", "id", "source", "component", "url", "language", "language_score", "quality", count, "license"]
    return pa.schema([fields[name] for name in names if components or name != "component"])


def shard_name(split: str, index: int, selection: Selection) -> str:
    """The path of a shard in the dataset's folder.

    Readers sort names, and "train" comes before "validation": nanochat takes the last file as its validation set. So
    held-out sets lie in a folder of their own.
    """
    return shard_pattern(split).replace("*", f"{index:05d}-of-{selection.shards[split]:05d}")


def shard_pattern(split: str) -> str:
    """The paths of all shards of a split, with a `*`."""
    folder = "data" if split in ("train", "validation") else "heldout"
    return f"{folder}/{split}-*.parquet"


def scatter(part: Path, placed: Path, selection: Selection, out: Path) -> None:
    """Writes the selected documents of a curated part, with their copies, in runs that `gather` finds by shard.

    Row groups without a selected document are not read.

    Raises:
        DamagedRunError: if the placement is another part's.
        StorageError: if the disk is full.
    """
    placement = pq.read_table(placed, columns=list(_PLACED))
    rows = PartRows.of(placement, selection)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pq.ParquetFile(part) as file,
        atomic_file(out) as stream,
        storage_errors(out),
        pa.ipc.new_file(stream, _SCATTERED, options=options) as writer,
    ):
        if file.metadata.num_rows != len(placement):
            raise DamagedRunError(_mismatch(part, placed))
        for table, first in _pieces(file, rows.wanted):
            its = placement.slice(first, len(table))
            if not table.column("id").equals(its.column("id")):
                raise DamagedRunError(_mismatch(part, placed))
            table = table.append_column("component", its.column("component").combine_chunks())
            for run in _runs(table, rows.piece(first, len(table)), selection):
                for batch in run:
                    writer.write_batch(batch)


def gather(
    split: str,
    index: int,
    scattered: Sequence[Path],
    selection: Selection,
    folder: Path,
    tokenizer: str | None = None,
) -> ShardReport:
    """Writes one shard from the scattered files of every part, in any order, below the dataset's folder.

    Args:
        tokenizer: the fingerprint of what counted tokens.

    Raises:
        StorageError: if the disk is full.
    """
    number = selection.first_shard(split) + index
    table = pa.Table.from_batches(_scattered_batches(scattered, number, selection), _SCATTERED).combine_chunks()
    schema = dataset_schema(selection.unit, components=selection.has_slices)
    name = shard_name(split, index, selection)
    metadata = {"corpusmill.unit": selection.unit, "corpusmill.seed": str(selection.seed)}
    if tokenizer is not None:
        metadata["corpusmill.tokenizer"] = tokenizer
    batches = _shard_batches(table, _order(table), schema, selection.unit)
    shard = write_table(folder / name, batches, schema, metadata=metadata)
    counted = ["source", "language", "license", *(["component"] if selection.has_slices else [])]
    return ShardReport(
        split=split,
        name=name,
        rows=shard.rows,
        file_bytes=shard.file_bytes,
        text_bytes=shard.text_bytes,
        characters=pc.sum(pc.utf8_length(table.column("text"))).as_py() or 0,
        units=pc.sum(table.column("units")).as_py() or 0,
        sha256=shard.sha256,
        content_hash=shard.content_hash,
        documents={column: _counts(table.column(column)) for column in counted},
    )


def _pieces(file: pq.ParquetFile, wanted: NDArray[np.bool_]) -> Iterator[tuple[pa.Table, int]]:
    """Tables of about RUN_BYTES of text, each with the number of its first row, of the row groups with a wanted row."""
    waiting: list[pa.RecordBatch] = []
    first = row = size = 0
    for group in range(file.num_row_groups):
        end = row + file.metadata.row_group(group).num_rows
        needed = bool(wanted[row:end].any())
        if waiting and not needed:
            yield _joined(waiting), first
            size = 0
        if needed:
            for batch in file.iter_batches(_READ_ROWS, row_groups=[group], columns=list(_CARRIED), use_threads=False):
                if not waiting:
                    first = row
                waiting.append(batch)
                row += batch.num_rows
                size += batch.column("text").nbytes
                if size >= RUN_BYTES:
                    yield _joined(waiting), first
                    size = 0
        row = end
    if waiting:
        yield _joined(waiting), first


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    """The batches as one chunk, since to take rows out of many puts these together each time; the list is left empty,
    or their memory would be held, too."""
    table = pa.Table.from_batches(batches).combine_chunks()
    batches.clear()
    return table


def _runs(table: pa.Table, rows: PartRows, selection: Selection) -> Iterator[list[pa.RecordBatch]]:
    """Runs of at most RUN_BYTES of text, unless a single pass over the piece has more."""
    sizes = pc.binary_length(table.column("text")).to_numpy()
    waiting: list[tuple[NDArray[np.int64], int]] = []
    size = 0
    for places, occurrence in _occurrences(rows, selection):
        own = int(sizes[places].sum(dtype=np.int64))
        if waiting and size + own > RUN_BYTES:
            yield _run(table, rows, waiting, selection)
            waiting, size = [], 0
        waiting.append((places, occurrence))
        size += own
    if waiting:
        yield _run(table, rows, waiting, selection)


def _occurrences(rows: PartRows, selection: Selection) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The places of the rows that each pass takes, and in it each copy of a document; and a number for both."""
    most = int(rows.copies.max(initial=1))
    for copy in range(max(chosen.copies for chosen in selection.components)):
        taken = rows.taken(copy, selection)
        for again in range(most):
            if again:
                taken &= (rows.splits == TRAIN) & (rows.copies > again)
            places = np.flatnonzero(taken)
            if len(places):
                yield places, again * _PASSES + copy


def _run(
    table: pa.Table, rows: PartRows, occurrences: Sequence[tuple[NDArray[np.int64], int]], selection: Selection
) -> list[pa.RecordBatch]:
    """A batch for each shard."""
    places = np.concatenate([own for own, _ in occurrences])
    copies = np.repeat([number for _, number in occurrences], [len(own) for own, _ in occurrences]).astype(np.int32)
    keys = np.concatenate([shuffle_keys(rows.hashes[own], selection.seed, number) for own, number in occurrences])
    shards = _shards_of(keys, rows.splits[places], rows.chosen[places], selection)
    order = np.lexsort((keys, shards))
    places, shards = places[order], shards[order]
    run = table.take(pa.array(places))
    columns = {name: run.column(name) for name in (*_CARRIED, "component")}
    columns |= {"shuffle_key": keys[order], "copy": copies[order], "units": rows.units[places]}
    ready = pa.table([columns[name] for name in _SCATTERED.names], _SCATTERED).combine_chunks()
    borders = np.searchsorted(shards, np.arange(sum(selection.shards.values()) + 1))
    return [_one_batch(ready.slice(start, end - start)) for start, end in pairwise(borders.tolist())]


def _shards_of(
    keys: NDArray[np.uint64], splits: NDArray[np.int8], chosen: NDArray[np.int64], selection: Selection
) -> NDArray[np.int64]:
    """The number of each row's shard, counted over all splits."""
    shards = np.zeros(len(keys), np.int64)
    for split, count in selection.shards.items():
        if split == "train":
            own = splits == TRAIN
        elif split == "validation":
            own = splits == VALIDATION
        else:
            of_source = np.array([heldout_split(part.source) == split for part in selection.components])
            own = (splits == HELD_OUT) & of_source[chosen]
        shards[own] = selection.first_shard(split) + np.searchsorted(range_starts(count), keys[own], side="right") - 1
    return shards


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], _SCATTERED)


def _scattered_batches(scattered: Sequence[Path], number: int, selection: Selection) -> Iterator[pa.RecordBatch]:
    shards = sum(selection.shards.values())
    for path in scattered:
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as reader:
            for batch in range(number, reader.num_record_batches, shards):
                yield reader.get_batch(batch)


def _order(table: pa.Table) -> pa.Array:
    keys = [("shuffle_key", "ascending"), ("id", "ascending"), ("copy", "ascending")]
    return pc.sort_indices(table.select([name for name, _ in keys]), keys)


def _shard_batches(table: pa.Table, order: pa.Array, schema: pa.Schema, unit: Unit) -> Iterator[pa.RecordBatch]:
    """The rows in order, as batches of the shard's schema of a row group each or less."""
    sizes = np.cumsum(pc.binary_length(table.column("text")).take(order).to_numpy().astype(np.int64))
    start = 0
    while start < len(order):
        before = sizes[start - 1] if start else 0
        end = int(np.searchsorted(sizes, before + ROW_GROUP_TEXT_BYTES)) + 1
        rows = table.take(order[start : min(end, start + ROW_GROUP_ROWS)])
        units = pc.binary_length(rows.column("text")) if unit == "documents" else rows.column("units")
        columns = [rows.column(name) if name in rows.column_names else units for name in schema.names]
        arrays = [column.combine_chunks().cast(field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        start += len(rows)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts = Counter({value["values"] or "": value["counts"] for value in column.value_counts().to_pylist()})
    return dict(sorted(counts.items()))


def _mismatch(part: Path, placed: Path) -> str:
    return f"{placed}: is not of the documents of {part}; remove both and run the same command again"
