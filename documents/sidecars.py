"""Reading a barrier's sidecars as a stream, without the documents that an earlier barrier has dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Decision
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.shards import read_batches

BATCH_ROWS = 65_536
"""Rows in memory at a time: 15 MB of signatures."""


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


def decision(verdicts: pa.Table, clusters: pa.Table) -> Decision:
    """Both tables in their declared types, sorted by id."""
    return Decision(verdicts.cast(VERDICTS).sort_by("id"), clusters.cast(CLUSTERS).sort_by("id"))


def sidecar_rows(paths: Sequence[Path], schema: pa.Schema) -> int:
    """Rows in all files.

    Raises:
        DamagedRunError: if a file does not have the columns of `schema`.
    """
    rows = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, schema)
            rows += file.metadata.num_rows
    return rows


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
