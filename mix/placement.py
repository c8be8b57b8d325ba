"""Placing documents: for each document of a curated part, what the selection must know of it, and no text.

A placement is a Parquet file, row for row beside its part:

    id          string, not null
    id_hash     uint64, not null    from which the order follows in which documents are taken (mix/keys.py)
    units       int64, not null     in the mix's unit
    text_bytes  int64, not null     UTF-8 bytes of the text
    component   string              what the document counts for in the mix; null: nothing
    group_hash  uint64, not null    of its near-duplicates, as one of them; decides its split
    copies      int32, not null     how often it occurs in one pass

It depends on neither seed nor shares, so that another mix of the same components does not make it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import write_table
from corpusmill.mix.groups import look_up
from corpusmill.mix.measurement import MEASUREMENT, ROW_GROUP_ROWS
from corpusmill.mix.slices import CURATED, LEDGER, Case, columns_used, components

PLACEMENT = pa.schema(
    [
        *MEASUREMENT,
        pa.field("component", pa.string()),
        pa.field("group_hash", pa.uint64(), nullable=False),
        pa.field("copies", pa.int32(), nullable=False),
    ]
)
_KEPT = "kept"


def place_part(
    part: Path,
    measured: Path,
    ledger: Path | None,
    groups: Path | None,
    cases: Sequence[Case],
    copies: Mapping[int, int],
    out: Path,
) -> None:
    """Writes the placement of a curated part.

    Args:
        ledger: of the part; only a condition on measures, or `copies`, looks at it.
        groups: from `find_groups`; None: each document is alone.
        copies: least cluster size -> copies in one pass.

    Raises:
        DamagedRunError: if the files are not of the same documents.
        RecipeError: if a condition fails on a document.
        StorageError: if the disk is full.
    """
    measurement = pq.read_table(measured)
    rows = rows_of(part, ledger, cases, ["cluster_size"] if copies else [])
    if not rows.column("id").equals(measurement.column("id")):
        raise DamagedRunError(f"{measured}: does not measure the documents of {part}; run the same command again")
    component = components(rows, cases)
    hashes = measurement.column("id_hash").to_numpy()
    placed = measurement.append_column(PLACEMENT.field("component"), component)
    placed = placed.append_column(
        PLACEMENT.field("group_hash"), pa.array(hashes if groups is None else look_up(groups, hashes))
    )
    placed = placed.append_column(PLACEMENT.field("copies"), _copies(rows, copies))
    write_table(out, placed.to_batches(), PLACEMENT, row_group_rows=ROW_GROUP_ROWS)


def bytes_by_component(
    part: Path, ledger: Path, cases: Sequence[Case], copies: Mapping[int, int]
) -> dict[str, tuple[int, int]]:
    """Documents and bytes of text of each component in a curated part, without reading texts.

    The bytes are those of the texts as they came in: what rewriters changed afterwards is not known to the ledger.
    """
    rows = rows_of(part, ledger, cases, ["text_bytes", *(["cluster_size"] if copies else [])])
    repeated = _copies(rows, copies)
    counted = pa.table(
        {
            "component": components(rows, cases),
            "documents": repeated,
            "bytes": pc.multiply(rows.column("text_bytes"), repeated),
        }
    )
    sums = counted.group_by("component").aggregate([("documents", "sum"), ("bytes", "sum")])
    return {
        row["component"]: (row["documents_sum"], row["bytes_sum"])
        for row in sums.to_pylist()
        if row["component"] is not None
    }


def rows_of(part: Path, ledger: Path | None, cases: Sequence[Case], more: Sequence[str]) -> pa.Table:
    """The columns that the cases look at, `id`, and the columns `more`, of a curated part's documents.

    Raises:
        DamagedRunError: if the files are not of the same documents.
    """
    curated = [name for name in CURATED.names if name in {*columns_used(cases, CURATED.names), *more} - {"id"}]
    rows = pq.read_table(part, columns=["id", *curated])
    if ledger is None:
        return rows
    with pq.ParquetFile(ledger) as file:
        names = [name for name in file.schema_arrow.names if name in LEDGER.names or "." in name]
        used = list(dict.fromkeys([*columns_used(cases, names), *(name for name in more if name in names)]))
        if not used:
            return rows
        table = file.read(columns=["id", "verdict", *used])
    kept = table.filter(pc.equal(table.column("verdict"), _KEPT))
    if not kept.column("id").combine_chunks().equals(rows.column("id").combine_chunks()):
        raise DamagedRunError(f"{ledger}: does not keep the documents of {part}; run the same command again")
    for name in used:
        rows = rows.append_column(name, kept.column(name))
    return rows


def _copies(rows: pa.Table, copies: Mapping[int, int]) -> pa.Array:
    if not copies:
        return pa.array(np.ones(len(rows), np.int32))
    sizes = rows.column("cluster_size").fill_null(1).to_numpy()
    least = sorted(copies)
    of_range = np.array([1, *(copies[size] for size in least)], np.int32)
    places = np.searchsorted(np.array(least), sizes, side="right")
    return pa.array(of_range[places])
