"""The index of exact duplicates: fingerprints of what earlier runs kept, in order.

A part (index.py) has these arrays, all in the order of `first`, `second`, `length` and id, as are its documents:

    first    uint64   hash of the normalised text
    second   uint64   another
    length   int32    of the normalised text

A document is in the part if all three agree. Its fingerprints are sorted and joined with the mapped ones, a batch at a
time; 20 bytes on disk for each document beside its id and address. The part is written in the order that a query of
duckdb gives, which spills to the part's folder what does not fit in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.dedup.index import Form, IndexPart, PartWriter
from corpusmill.dedup.key_join import find_keys
from corpusmill.dedup.seeking import MATCHES, of_parts, open_parts
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.sidecars import Sidecars, sidecar_database, sidecar_rows

KIND = "exact"
FIELDS = ("first", "second", "length")
_TYPES = ("uint64", "uint64", "int32")
_IN_ORDER = "SELECT id, source, url, first, second, length FROM present ORDER BY first, second, length, id"
_BATCH_ROWS = 65_536


def exact_form(normalisation: str, version: int) -> Form:
    """What parts must have in common for their fingerprints to be equal where texts are."""
    return Form.of(KIND, {"normalisation": normalisation, "version": version})


def write_exact_part(writer: PartWriter, sidecars: Sequence[Path], schema: pa.Schema, gone: pa.StringArray) -> None:
    """Writes the rows of sidecars that are not `gone` into a part."""
    workspace = writer.folder / "workspace"
    workspace.mkdir()
    with (
        writer.documents() as documents,
        writer.array("first", _TYPES[0]) as first,
        writer.array("second", _TYPES[1]) as second,
        writer.array("length", _TYPES[2]) as length,
    ):
        if sidecar_rows(sidecars, schema):
            with sidecar_database(sidecars, gone, workspace) as connection:
                for batch in connection.sql(_IN_ORDER).to_arrow_reader(_BATCH_ROWS):
                    documents.add(batch)
                    for name, array in zip(FIELDS, (first, second, length), strict=True):
                        array.add(batch.column(name).to_numpy())
    shutil.rmtree(workspace)


def seek_exact(rows: Sidecars, seen: Sequence[Path], form: Form) -> pa.Table:
    """Rows of MATCHES: the documents of sidecars that a part has, each with the first part that has it.

    Raises:
        InputError: if a part is damaged or of another form.
    """
    parts = open_parts(seen, form)
    found = [MATCHES.empty_table()]
    for batch in rows.batches(FIELDS) if parts else ():
        asked = [batch.column(name).to_numpy() for name in FIELDS]
        places = np.full((batch.num_rows, 2), -1, np.int64)  # part, row
        for number, part in enumerate(parts):
            open_ = np.flatnonzero(places[:, 0] < 0)
            hits = _rows_in(part, [values[open_] for values in asked])
            places[open_[hits >= 0]] = np.stack([np.full(len(hits), number), hits], 1)[hits >= 0]
        matched = np.flatnonzero(places[:, 0] >= 0)
        columns = [batch.column("id").take(pa.array(matched)), *places[matched].T, np.ones(len(matched))]
        found.append(pa.table(columns, names=MATCHES.names).cast(MATCHES))
    return of_parts(pa.concat_tables(found), parts)


def _rows_in(part: IndexPart, asked: Sequence[NDArray[np.uint64 | np.int32]]) -> NDArray[np.int64]:
    """int64[asked]: the row of each fingerprint in a part, or -1."""
    part.check_shapes(dict.fromkeys(FIELDS, (part.rows,)))
    order = np.argsort(asked[0], kind="stable")
    first, second, length = (frozen(values[order]) for values in asked)
    firsts, ends, rows = (np.empty(len(order), np.int64) for _ in range(3))
    find_keys(first, frozen(part.array("first")), firsts, ends)
    find_rest(frozen(firsts), frozen(ends), second, length, frozen(part.array("second")), frozen(part.array("length")),
              rows)  # fmt: skip
    found = np.empty_like(rows)
    found[order] = rows
    return found


@kernel
def find_rest(
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
    second: NDArray[np.uint64],
    length: NDArray[np.int32],
    seconds: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    rows: NDArray[np.int64],
) -> None:
    """The first place, among those where the first hash agrees, at which second and length agree, too; or -1."""
    for index in range(firsts.shape[0]):
        rows[index] = -1
        for place in range(firsts[index], ends[index]):
            if seconds[place] == second[index] and lengths[place] == length[index]:
                rows[index] = place
                break
