"""What a barrier task does: sidecars of the whole source in, verdicts for each part out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.barrier import ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.shards import storage_errors, write_table
from corpusmill.pipeline.phases import built
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.tasks import Counts

PART_VERDICTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("stage", pa.string()),  # null for a document that stays
        pa.field("reason", pa.string()),
        pa.field("kept_id", pa.string()),
        pa.field("similarity", pa.float32()),
        pa.field("cluster_size", pa.int32()),
    ]
)
_STANDING = pa.schema([("id", pa.string()), ("others", pa.int64())])
_MEMORY = "1GB"


@dataclass(frozen=True, slots=True)
class BarrierWork:
    """The arguments of a barrier task: the barriers at the end of one phase, in order, over all of its parts."""

    source: str
    barriers: tuple[StageSpec, ...]
    sidecars: tuple[tuple[Path, ...], ...]  # for each barrier, a file for each part
    documents: tuple[Path, ...]
    verdicts: tuple[Path, ...]  # written: one for each part
    workspace: Path


def run_barriers(work: BarrierWork) -> Counts:
    """Lets each barrier decide over what those before it left, and deals the verdicts out by part.

    Raises:
        StorageError: if the disk is full.
    """
    try:
        with storage_errors(work.workspace):
            return _decided(work)
    finally:
        shutil.rmtree(work.workspace, ignore_errors=True)


def _decided(work: BarrierWork) -> Counts:
    tables: list[pa.Table] = []
    standing = _STANDING.empty_table()
    excluded = pa.array([], pa.string())
    dropped: dict[str, dict[str, int]] = {}
    for spec, sidecars in zip(work.barriers, work.sidecars, strict=True):
        folder = work.workspace / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        decision = built(spec).decide(sidecars, excluded=excluded, read_texts=_reader(work.documents), workspace=folder)
        verdicts = decision.verdicts
        standing = _standing(standing, verdicts)
        excluded = pa.concat_arrays([excluded, verdicts["id"].combine_chunks().cast(pa.string())])
        tables.append(verdicts.append_column("stage", pa.repeat(pa.scalar(spec.name, pa.string()), verdicts.num_rows)))
        counts = verdicts["reason"].value_counts().to_pylist()
        dropped[spec.name] = {item["values"]: item["counts"] for item in counts}
        shutil.rmtree(folder)
    sizes = pa.table({"id": standing["id"], "cluster_size": pc.add(standing["others"], 1)})
    whole = pa.concat_tables([_shaped(table) for table in (*tables, sizes)])
    return {"dropped": dropped, "verdicts": _deal(whole, work)}


def _standing(before: pa.Table, verdicts: pa.Table) -> pa.Table:
    """For each document that stays in the place of others, how many: those of `before` and those that went now, with
    what they stood for themselves."""
    twins = verdicts.filter(pc.is_valid(verdicts["kept_id"]))
    stood = IdIndex(before["id"].combine_chunks()).find(twins["id"].combine_chunks())
    others = 1 + np.append(before["others"].to_numpy(), 0)[stood]  # place -1, of those that stood for none, is the 0
    stays = np.ones(before.num_rows, np.bool_)
    stays[stood[stood >= 0]] = False
    new = pa.table([twins["kept_id"], pa.array(others)], schema=_STANDING)
    both = pa.concat_tables([before.filter(pa.array(stays)), new])
    return both.group_by("id").aggregate([("others", "sum")]).rename_columns(_STANDING.names)


def _shaped(table: pa.Table) -> pa.Table:
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in PART_VERDICTS
    ]
    return pa.Table.from_arrays(columns, schema=PART_VERDICTS)


def _deal(verdicts: pa.Table, work: BarrierWork) -> dict[str, str]:
    """Writes each part's verdicts beside the others, from one join that may spill to disk; their hashes by part."""
    work.workspace.mkdir(parents=True, exist_ok=True)
    names = [str(path) for path in work.sidecars[0]]
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(work.workspace), "threads": 1}) as base:
        base.register("verdicts", verdicts)
        base.register("parts", pa.table({"name": names, "part": np.arange(len(names))}))
        found = base.sql(
            "select part, v.* from verdicts v "
            "join (select id, filename from read_parquet(?, filename = true)) s on s.id = v.id "
            "join parts on parts.name = s.filename order by part, v.id",
            params=[names],
        ).to_arrow_table()
    borders = np.searchsorted(found["part"].to_numpy(), np.arange(len(names) + 1)).tolist()
    hashes = {}
    for (start, end), target in zip(pairwise(borders), work.verdicts, strict=True):
        mine = found.slice(start, end - start).drop_columns(["part"])
        shard = write_table(target, mine.cast(PART_VERDICTS).to_batches(), PART_VERDICTS, row_group_rows=65_536)
        hashes[target.stem] = shard.sha256
    return hashes


def _reader(documents: Sequence[Path]) -> ReadTexts:
    def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
        wanted = IdIndex(pa.array(ids, pa.string()))  # a value set of Arrow's would be hashed anew for each row group
        for path in documents:
            with pq.ParquetFile(path) as file:
                for index in range(file.num_row_groups):
                    there = file.read_row_group(index, columns=["id"])["id"].combine_chunks()
                    here = wanted.find(there) >= 0
                    if not here.any():
                        continue
                    for batch in file.read_row_group(index).filter(pa.array(here)).combine_chunks().to_batches():
                        yield TextBatch(batch)

    return read_texts
