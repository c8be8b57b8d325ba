"""What a barrier task does: sidecars of the whole source in, verdicts for each part out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.contract import ReadTexts
from corpusmill.documents.batch import TextBatch
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
    sizes: Counter[str] = Counter()
    excluded = pa.array([], pa.string())
    dropped: dict[str, dict[str, int]] = {}
    for spec, sidecars in zip(work.barriers, work.sidecars, strict=True):
        folder = work.workspace / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        decision = built(spec).decide(sidecars, excluded=excluded, read_texts=_reader(work.documents), workspace=folder)
        verdicts = decision.verdicts
        for gone, kept in zip(verdicts["id"].to_pylist(), verdicts["kept_id"].to_pylist(), strict=True):
            sizes[kept] += 1 + sizes.pop(gone, 0)
        excluded = pa.concat_arrays([excluded, verdicts["id"].combine_chunks().cast(pa.string())])
        named = verdicts.append_column("stage", pa.array([spec.name] * verdicts.num_rows, pa.string()))
        tables.append(named.append_column("cluster_size", pa.nulls(verdicts.num_rows, pa.int32())))
        counts = verdicts["reason"].value_counts().to_pylist()
        dropped[spec.name] = {item["values"]: item["counts"] for item in counts}
        shutil.rmtree(folder)
    standing = pa.table({"id": list(sizes), "cluster_size": [1 + count for count in sizes.values()]})
    whole = pa.concat_tables(
        [_shaped(table) for table in (*tables, standing.cast(pa.schema([PART_VERDICTS[0], PART_VERDICTS[5]])))]
    )
    return {"dropped": dropped, "verdicts": _deal(whole, work)}


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
        if names:
            found = base.sql(
                "select s.filename as part, v.* from verdicts v "
                "join (select id, filename from read_parquet(?, filename = true)) s on s.id = v.id "
                "order by part, v.id",
                params=[names],
            ).to_arrow_table()
    hashes = {}
    for name, target in zip(names, work.verdicts, strict=True):
        mine = found.filter(pc.equal(found["part"], name)).drop_columns(["part"])
        shard = write_table(target, mine.cast(PART_VERDICTS).to_batches(), PART_VERDICTS, row_group_rows=65_536)
        hashes[target.stem] = shard.sha256
    return hashes


def _reader(documents: Sequence[Path]) -> ReadTexts:
    def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
        wanted = pa.array(ids, pa.string())
        for path in documents:
            file = pq.ParquetFile(path)
            for index in range(file.num_row_groups):
                here = pc.is_in(file.read_row_group(index, columns=["id"])["id"], value_set=wanted)
                if not pc.any(here).as_py():
                    continue
                for batch in file.read_row_group(index).filter(here).combine_chunks().to_batches():
                    yield TextBatch(batch)

    return read_texts
