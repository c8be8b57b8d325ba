"""Reading a barrier's sidecars, as a stream or a database, without what an earlier barrier has dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Decision
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.ids import IdIndex, check_ids_fit, id_order, whole_ids
from corpusmill.documents.shards import read_batches

BATCH_ROWS = 65_536
"""Rows in memory at a time: 15 MB of signatures."""
MEMORY_LIMIT = "512MB"
"""Of duckdb's buffers; what it takes beyond them stays below as much again."""
_THREADS = 2  # each has buffers of its own


class Sidecars:
    """The rows of sidecar files whose documents are present, in one fixed order.

    Raises:
        DamagedRunError: if a file does not have the columns of `schema`.
    """

    def __init__(self, paths: Sequence[Path], schema: pa.Schema, excluded: pa.StringArray) -> None:
        self._paths = paths
        self._excluded = IdIndex(excluded)
        self.rows_at_most = sidecar_rows(paths, schema)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches with `columns`, `id` first; every call gives the same rows in the same order."""
        wanted = ["id", *(column for column in columns if column != "id")]
        for path in self._paths:
            with pq.ParquetFile(path) as file:
                for batch in read_batches(file, BATCH_ROWS, wanted):
                    present = batch.select(wanted)
                    if len(self._excluded):
                        present = present.filter(pa.array(self._excluded.find(present.column("id")) < 0))
                    if present.num_rows:
                        yield present


def sidecar_database(
    sidecars: Sequence[Path], excluded: pa.StringArray, workspace: Path, *, memory_limit: str = MEMORY_LIMIT
) -> duckdb.DuckDBPyConnection:
    """A database with the rows of the sidecars, without the excluded documents, as the view `present`.

    It writes to the workspace what does not fit into `memory_limit`. No order is kept: queries say theirs.
    """
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{memory_limit}'")
    connection.execute("SET temp_directory = $folder", {"folder": str(workspace)})
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET threads = {_THREADS}")
    connection.register("excluded", pa.table({"id": excluded}))
    connection.read_parquet([str(path) for path in sidecars]).create_view("observed")
    connection.execute("CREATE TEMP VIEW present AS SELECT * FROM observed ANTI JOIN excluded USING (id)")
    return connection


def check_observed_once(connection: duckdb.DuckDBPyConnection, table: str = "present") -> None:
    """Checks that no id stands in a table twice.

    Raises:
        DamagedRunError: naming the first that does.
    """
    query = f"SELECT id FROM {table} GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1"
    if repeated := connection.execute(query).fetchone():
        raise observed_twice(repeated[0])


def dropped(ids: pa.StringArray | pa.ChunkedArray, reasons: StrEnum | pa.StringArray) -> pa.Table:
    """Rows of VERDICTS of documents that are nobody's twins: all for one reason, or each for its own."""
    if isinstance(reasons, StrEnum):
        reasons = pa.repeat(pa.scalar(str(reasons), pa.string()), len(ids))
    nothing = pa.nulls(len(ids), pa.string()), pa.nulls(len(ids), pa.float32())
    return pa.table([ids, reasons, *nothing], schema=VERDICTS)


def decision(verdicts: pa.Table, clusters: pa.Table) -> Decision:
    """Both tables in their declared types, sorted by id.

    Raises:
        UsageError: if the ids of those that go, or of those that stay in their place, do not fit in one array.
    """
    verdicts, clusters = verdicts.cast(VERDICTS), clusters.cast(CLUSTERS)
    check_ids_fit("documents that stay, each time that one goes for them,", verdicts.column("kept_id"))
    sorted_tables = (
        table.take(pa.array(id_order(whole_ids("documents that go or have a twin", table.column("id")))))
        for table in (verdicts, clusters)
    )
    return Decision(*sorted_tables)


def sidecar_rows(paths: Sequence[Path], schema: pa.Schema) -> int:
    """Rows in all files.

    Raises:
        DamagedRunError: if a file does not have the columns of `schema`.
    """
    return sum(sidecar_counts(paths, schema))


def sidecar_counts(paths: Sequence[Path], schema: pa.Schema) -> list[int]:
    """Rows in each file.

    Raises:
        DamagedRunError: if a file does not have the columns of `schema`.
    """
    counts = []
    for path in paths:
        written = path.stat()
        counts.append(_rows_of(path, schema, written.st_size, written.st_mtime_ns))
    return counts


def sidecar_runs(rows: Sequence[int], about: int) -> list[tuple[int, int]]:
    """Cuts sidecars of so many rows into runs of about as many as said: the first of each and the one behind its last.

    >>> sidecar_runs([4, 4, 4, 4], 10), sidecar_runs([], 10)
    ([(0, 3), (3, 4)], [(0, 0)])
    """
    numbers = np.cumsum([0, *rows[:-1]]) // about
    return list(pairwise([0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]))


@lru_cache(maxsize=1 << 17)
def _rows_of(path: Path, schema: pa.Schema, size: int, changed: int) -> int:
    """Kept, since every task of a step asks for the rows of all sidecars."""
    with pq.ParquetFile(path) as file:
        _check_columns(path, file.schema_arrow, schema)
        return file.metadata.num_rows


def observed_twice(identity: str) -> DamagedRunError:
    """The error for an id that stands in the sidecars twice: one of its rows would be a duplicate of the other."""
    return DamagedRunError(
        f"sidecars: document {identity!r} was observed more than once; remove the source's sidecars and run again"
    )


def _check_columns(path: Path, found: pa.Schema, declared: pa.Schema) -> None:
    for field in declared:
        index = found.get_field_index(field.name)
        kind = found.field(index).type if index >= 0 else "absent"
        if kind != field.type:
            raise DamagedRunError(
                f"{path}: column {field.name!r} is {kind}, not {field.type}: it was written with other parameters; "
                "remove it and run again"
            )
