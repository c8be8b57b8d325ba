"""What a barrier task does: sidecars of the whole source in, verdicts for each part out.

Stages of deduplication may have steps before that, each of many tasks, and may leave index parts behind
(dedup/contract.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.contract import Deduplication
from corpusmill.documents.barrier import Barrier, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import WipeOutError
from corpusmill.documents.ids import IdIndex, whole_ids
from corpusmill.documents.shards import storage_errors, write_table
from corpusmill.documents.sidecars import sidecar_rows
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
        pa.field("edited_by", pa.string()),  # the first barrier that cuts something out
        pa.field("edit_starts", pa.list_(pa.int32())),  # passages to cut, by all barriers, in order and apart
        pa.field("edit_ends", pa.list_(pa.int32())),
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
    done: Mapping[str, Mapping[str, tuple[Path, ...]]] = field(default_factory=dict)
    """By barrier and step: the files of its tasks."""
    seen: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """By barrier: index parts to compare with."""
    remembered: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """By barrier; written: index parts of what stays."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """The arguments of one task of a barrier's step."""

    barrier: StageSpec
    step: str
    task: int
    sidecars: tuple[Path, ...]
    seen: tuple[Path, ...]
    done: Mapping[str, tuple[Path, ...]]
    target: Path  # written


def run_step(work: StepWork) -> Counts:
    """Does one task of a step.

    Raises:
        StorageError: if the disk is full.
    """
    work.target.parent.mkdir(parents=True, exist_ok=True)
    with storage_errors(work.target):
        built(work.barrier).run_step(
            work.step, work.task, sidecars=work.sidecars, seen=work.seen, done=work.done, target=work.target
        )
    return {}


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
    measures: list[tuple[StageSpec, pa.Table]] = []
    edits: list[pa.Table] = []
    standing = _STANDING.empty_table()
    excluded = pa.array([], pa.string())
    dropped: dict[str, dict[str, int]] = {}
    alarms: dict[str, str] = {}
    for place, (spec, sidecars) in enumerate(zip(work.barriers, work.sidecars, strict=True)):
        folder = work.workspace / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        barrier = built(spec)
        decision = _decision(barrier, spec, sidecars, excluded, folder, work)
        verdicts = decision.verdicts
        if (alarm := _alarm(barrier, spec, sidecars, len(excluded), verdicts.num_rows)) is not None:
            alarms[spec.name] = alarm
        standing = _standing(standing, verdicts)
        excluded = whole_ids(f"documents that {spec.name} and the stages before it drop", excluded, verdicts["id"])
        for part in work.remembered.get(spec.name, ()):
            barrier.remember(sidecars, excluded, part, seen=work.seen.get(spec.name, ()))
        tables.append(verdicts.append_column("stage", pa.repeat(pa.scalar(spec.name, pa.string()), verdicts.num_rows)))
        if decision.measures is not None:
            measures.append((spec, decision.measures))
        cutter = pa.repeat(pa.scalar(spec.name, pa.string()), decision.edits.num_rows)
        places = pa.repeat(pa.scalar(place, pa.int32()), decision.edits.num_rows)
        edits.append(decision.edits.append_column("edited_by", cutter).append_column("place", places))
        counts = verdicts["reason"].value_counts().to_pylist()
        dropped[spec.name] = {item["values"]: item["counts"] for item in counts}
        shutil.rmtree(folder)
    sizes = pa.table({"id": standing["id"], "cluster_size": pc.add(standing["others"], 1).cast(pa.int32())})
    return {
        "dropped": dropped,
        "alarms": alarms,
        "verdicts": _deal(pa.concat_tables(tables), sizes, pa.concat_tables(edits), measures, work),
    }


def _decision(
    barrier: Barrier,
    spec: StageSpec,
    sidecars: Sequence[Path],
    excluded: pa.StringArray,
    workspace: Path,
    work: BarrierWork,
) -> Decision:
    more: dict[str, Any] = {}
    if isinstance(barrier, Deduplication):
        more = {"done": work.done.get(spec.name), "seen": work.seen.get(spec.name, ())}
    return barrier.decide(sidecars, excluded=excluded, read_texts=_reader(work.documents), workspace=workspace, **more)


def _alarm(barrier: Barrier, spec: StageSpec, sidecars: Sequence[Path], absent: int, gone: int) -> str | None:
    """What is to be said of a stage that took more than it should.

    Raises:
        WipeOutError: instead, if the stage asks for that.
    """
    if not isinstance(barrier, Deduplication) or barrier.max_dropped_share is None:
        return None
    came = sidecar_rows(sidecars, barrier.sidecar) - absent
    if gone <= barrier.max_dropped_share * came:
        return None
    told = (
        f"{spec.name} dropped {gone:,} of {came:,} documents ({gone / came:.0%}), more than max_dropped_share "
        f"({barrier.max_dropped_share:g})"
    )
    if barrier.on_wipe_out == "error":
        raise WipeOutError(f"{told}: set on_wipe_out to warn to see which, or raise the share")
    return f"{told}: read some of them (`corpusmill explain`, the report) before you use the rest, or raise it"


def _standing(before: pa.Table, verdicts: pa.Table) -> pa.Table:
    """For each document that stays in the place of others, how many: those of `before` and those that went now, with
    what they stood for themselves."""
    # The same document in an index is no other one that it could stand for.
    other = pc.not_equal(verdicts["kept_id"], verdicts["id"])
    twins = verdicts.filter(pc.fill_null(other, False))
    stood = IdIndex(before["id"].combine_chunks()).find(twins["id"].combine_chunks())
    others = 1 + np.append(before["others"].to_numpy(), 0)[stood]  # place -1, of those that stood for none, is the 0
    stays = np.ones(before.num_rows, np.bool_)
    stays[stood[stood >= 0]] = False
    new = pa.table([twins["kept_id"], pa.array(others)], schema=_STANDING)
    both = pa.concat_tables([before.filter(pa.array(stays)), new])
    return both.group_by("id").aggregate([("others", "sum")]).rename_columns(_STANDING.names)


def part_schema(barriers: Sequence[StageSpec]) -> pa.Schema:
    """The columns of a part's verdicts: PART_VERDICTS, and what the barriers measured as `<stage>.<measure>`."""
    measures = [pa.field(f"{spec.name}.{item.name}", item.type) for spec in barriers for item in built(spec).measures]
    return pa.schema([*PART_VERDICTS, *measures])


# Edits of a document that overlap or touch become one.
_EDITS = """
    with reached as (
        select *, max("end") over (partition by id order by start, "end" rows between unbounded preceding and
                                   1 preceding) as before from edits
    ), numbered as (
        select *, sum(case when before is null or start > before then 1 else 0 end)
                  over (partition by id order by start, "end" rows unbounded preceding) as passage from reached
    ), passages as (
        select id, min(start) as start, max("end") as "end", arg_min(edited_by, place) as edited_by,
               min(place) as place
        from numbered group by id, passage
    )
    select id, arg_min(edited_by, place) as edited_by, list(start order by start) as edit_starts,
           list("end" order by start) as edit_ends
    from passages group by id
"""


def _deal(
    verdicts: pa.Table,
    sizes: pa.Table,
    edits: pa.Table,
    measures: Sequence[tuple[StageSpec, pa.Table]],
    work: BarrierWork,
) -> dict[str, str]:
    """Writes each part's verdicts beside the others, from one join that may spill to disk; their hashes by part."""
    work.workspace.mkdir(parents=True, exist_ok=True)
    names = [str(path) for path in work.sidecars[0]]
    schema = part_schema(work.barriers)
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(work.workspace), "threads": 1}) as base:
        base.register("verdicts", verdicts)
        base.register("sizes", sizes)
        base.register("edits", edits)
        base.register("parts", pa.table({"name": names, "part": np.arange(len(names))}))
        tables = ["verdicts", "sizes", "cuts"]
        base.execute(f"create temp table cuts as {_EDITS}")
        for number, (spec, table) in enumerate(measures):
            kept = table.rename_columns([n if n == "id" else f"{spec.name}.{n}" for n in table.column_names])
            base.register(f"measures_{number}", kept)
            tables.append(f"measures_{number}")
        joins = " ".join(f"left join {table} on {table}.id = s.id" for table in tables)
        there = {name for table in (verdicts, sizes) for name in table.column_names}
        there |= {"edited_by", "edit_starts", "edit_ends"}
        there |= {f"{spec.name}.{name}" for spec, table in measures for name in table.column_names}
        columns = ", ".join(f'"{name}"' for name in schema.names if name != "id" and name in there)
        found = base.sql(
            f"select part, s.id as id, {columns} from (select id, filename from read_parquet(?, filename = true)) s "
            f"join parts on parts.name = s.filename {joins} "
            f"where {' or '.join(f'{table}.id is not null' for table in tables)} order by part, s.id",
            params=[names],
        ).to_arrow_table()
    borders = np.searchsorted(found["part"].to_numpy(), np.arange(len(names) + 1)).tolist()
    hashes = {}
    for (start, end), target in zip(pairwise(borders), work.verdicts, strict=True):
        mine = _shaped(found.slice(start, end - start), schema)
        shard = write_table(target, mine.to_batches(), schema, row_group_rows=65_536)
        hashes[target.stem] = shard.sha256
    return hashes


def _shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


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
