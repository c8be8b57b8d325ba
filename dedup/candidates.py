"""What near-duplicate search reads of the documents that share a band with another, and the order they are settled in.

Most documents share none. So sidecars are read through once, and only those rows of them are held that are candidates:
their signatures go to a file, which is mapped; the rest stays in memory, about 100 bytes for each candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.dedup.keep import Keep, keep_fields, keep_order
from corpusmill.documents.ids import IdIndex, check_ids_fit, id_order, repeated_id
from corpusmill.documents.sidecars import Sidecars, observed_twice

_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Documents in the order in which they were observed, and the order in which they are settled.

    ids         string[n]
    signatures  uint16[n, values]    mapped from a file
    sizes       int32[n]             different shingles; null where the sidecars do not have them
    order       uint32[n]            component after component, each in keep order
    components  int64[components + 1] where each begins in `order`
    """

    ids: pa.StringArray
    signatures: NDArray[np.uint16]
    sizes: NDArray[np.int32] | None
    order: NDArray[np.uint32]
    components: NDArray[np.int64]


def signature_values(signatures: pa.FixedSizeBinaryArray, permutations: int) -> NDArray[np.uint16]:
    """uint16[documents, permutations], without a copy."""
    values = np.frombuffer(signatures.buffers()[1], "<u2").reshape(-1, permutations)
    return values[signatures.offset : signatures.offset + len(signatures)]


def read_candidates(
    sidecars: Sequence[Path],
    schema: pa.Schema,
    excluded: pa.StringArray,
    members: NDArray[np.uint32],
    components: NDArray[np.uint32],
    *,
    keep: Keep,
    permutations: int,
    file: Path,
) -> Candidates:
    """The members that are not excluded and have another in their component that is not, either.

    Args:
        members: rows of all sidecars, ascending.
        components: any number for each member's component.
        file: for the signatures.

    Raises:
        DamagedRunError: if two documents have the same id.
        UsageError: if there are more candidates than `decide` can hold.
    """
    sized = "shingles" in schema.names
    columns = ["id", *(["shingles"] if sized else []), *(field.name for field in keep_fields(keep))]
    parts = [pa.Table.from_batches([], pa.schema([schema.field(name) for name in columns]))]
    labels, gone = [np.empty(0, np.uint32)], IdIndex(excluded)
    begin = 0
    with open(file, "wb") as stream:
        for batch in Sidecars(sidecars, schema, pa.array([], pa.string())).batches([*columns, "signature"]):
            bounds = np.array([begin, begin + batch.num_rows], np.uint32)  # of one type, or all members are converted
            first, last = np.searchsorted(members, bounds)
            rows, label = members[first:last] - begin, components[first:last]
            begin += batch.num_rows
            if len(gone):
                present = gone.find(batch.column("id").take(pa.array(rows))) < 0
                rows, label = rows[present], label[present]
            labels.append(label)
            held, signatures = batch.select(columns), signature_values(batch.column("signature"), permutations)
            if len(rows) < batch.num_rows:  # else it is dear to copy them all: of templates, 20 % of the whole
                held, signatures = held.take(pa.array(rows)), signatures[rows]
            parts.append(pa.Table.from_batches([held]))
            stream.write(signatures.data)
    table, label = pa.concat_tables(parts), np.concatenate(labels)
    check_ids_fit("documents that share a band with another", table.column("id"))
    table = table.combine_chunks()
    del parts, labels
    ids = table.column("id").combine_chunks()
    if (twice := repeated_id(ids)) is not None:
        raise observed_twice(twice)
    order = _keep_ordered(table, ids, label, keep)
    label = label[order]
    firsts = np.flatnonzero(np.diff(label, prepend=~label[:1], append=~label[-1:]))
    alone = np.zeros(len(order), np.bool_)
    alone[firsts[:-1][np.diff(firsts) == 1]] = True  # what others there were is excluded
    order, label = order[~alone], label[~alone]
    firsts = np.flatnonzero(np.diff(label, prepend=~label[:1], append=~label[-1:]))
    values = np.memmap(file, np.uint16, "r") if len(ids) else np.empty(0, np.uint16)
    return Candidates(
        ids,
        values.reshape(-1, permutations),
        table.column("shingles").to_numpy() if sized else None,
        order.astype(np.uint32),
        firsts,
    )


def _keep_ordered(table: pa.Table, ids: pa.StringArray, components: NDArray[np.uint32], keep: Keep) -> NDArray[np.intp]:
    """The rows by component, then in keep order, which ends with the id."""
    directions = {name: direction == "descending" for name, direction in keep_order(keep) if name != "id"}
    keys = [_sortable(table.column(name), descending) for name, descending in directions.items()]
    return id_order(ids, components.astype(np.uint64), *keys)


def _sortable(column: pa.ChunkedArray, descending: bool) -> NDArray[np.uint64]:
    """Numbers that are in order where the column's values are; nulls come last."""
    values = column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0  # no -0.0
    bits = values.view(np.uint64)
    bits = np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))
    return np.where(column.is_null().to_numpy(), _LAST, ~bits if descending else bits)
