"""The ledger: one row for every record ever read, and what became of it.

    id            string   the document's id; records that never became documents have one, too
    source        string
    file          string   the input file, as the recipe's root names it
    offset        int64    where the record begins in it
    url           string
    text_bytes    int64    length of its text when it was read; 0 where there was none
    verdict       string   kept | dropped
    stage         string   the stage that dropped it
    reason        string   the rule that it broke, such as too_few_words
    kept_id       string   of a duplicate: the document that stays in its place, as far as that search saw; a later
                           stage may have dropped that one, too, and then its row says why
    similarity    float32  of a duplicate: to that document
    cluster_size  int32    of a document that stayed where duplicates went: how many it stands for, itself included;
                           not those that its duplicates stood for in an earlier phase
    detail        string   of an unreadable record: what the reader said
    <stage>.<measure>      what each stage measured; null where it was not reached

A phase writes a row for each record that it saw (`<source>/<phase>/ledger`); `merged` makes of them one row a record
(`<source>/ledger`). So for each source and stage: in = kept + dropped, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.schema import document_id
from corpusmill.documents.shards import ShardWriter, read_batches
from corpusmill.pipeline.sources.contract import Reject

KEPT, DROPPED = "kept", "dropped"

BASE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("url", pa.string()),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("kept_id", pa.string()),
        pa.field("similarity", pa.float32()),
        pa.field("cluster_size", pa.int32()),
        pa.field("detail", pa.string()),
    ]
)
# What a later phase knows better than an earlier one.
_LATER = ("verdict", "stage", "reason", "kept_id", "similarity")
ROW_GROUP_ROWS = 16_384
_BATCH_ROWS = 16_384


def ledger_schema(measures: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """The ledger's columns for stages with these measures, as (stage, schema) pairs in order."""
    fields = [pa.field(f"{stage}.{item.name}", item.type) for stage, schema in measures for item in schema]
    return pa.schema([*BASE, *fields])


class ChunkLedger:
    """The rows of one chunk of documents while the stages go over it.

    `alive` holds the rows that are still in, in order; each stage's results are for those.
    """

    def __init__(self, documents: pa.RecordBatch, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows = documents.num_rows
        sizes = pc.binary_length(documents.column("text")).cast(pa.int64())
        self._columns: dict[str, pa.Array] = {
            "id": documents.column("id"),
            "source": documents.column("source"),
            "url": documents.column("url"),
            "text_bytes": sizes,
        }
        self.alive: NDArray[np.int64] = np.arange(self._rows)
        self._stage = np.full(self._rows, None, object)
        self._reason = np.full(self._rows, None, object)

    def set(self, name: str, values: pa.Array) -> None:
        """Fills a column of all rows."""
        self._columns[name] = values

    def column(self, name: str) -> pa.Array:
        """A measure of all rows, null where it was not taken."""
        return self._columns.get(name) or pa.nulls(self._rows, self._schema.field(name).type)

    def record(self, stage: str, measures: pa.RecordBatch) -> None:
        """Keeps what `stage` measured of the rows that are alive."""
        places = np.full(self._rows, -1, np.int64)
        places[self.alive] = np.arange(len(self.alive))
        indices = pa.array(places, mask=places < 0)
        for name, column in zip(measures.schema.names, measures.columns, strict=True):
            self._columns[f"{stage}.{name}"] = column.take(indices)

    def drop(self, stage: str, reasons: NDArray[Any], gone: NDArray[np.bool_]) -> None:
        """Ends the rows where `gone` is true (of those alive), each for its reason."""
        rows = self.alive[gone]
        self._stage[rows] = stage
        self._reason[rows] = reasons[gone]
        self.alive = self.alive[~gone]

    def rows(self) -> pa.RecordBatch:
        """The chunk's rows, complete."""
        stages = pa.array(self._stage, pa.string())
        self._columns["stage"] = stages
        self._columns["reason"] = pa.array(self._reason, pa.string())
        self._columns["verdict"] = pc.if_else(stages.is_null(), KEPT, DROPPED)
        columns = [
            self._columns[field.name].cast(field.type)
            if field.name in self._columns
            else pa.nulls(self._rows, field.type)
            for field in self._schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def reject_rows(rejects: Sequence[Reject], source: str, schema: pa.Schema) -> pa.RecordBatch:
    """Ledger rows of the records that did not become documents."""
    values: dict[str, list[Any]] = {
        "id": [document_id(source, reject.file, reject.offset) for reject in rejects],
        "source": [source] * len(rejects),
        "file": [reject.file for reject in rejects],
        "offset": [reject.offset for reject in rejects],
        "url": [reject.url for reject in rejects],
        "text_bytes": [0] * len(rejects),
        "verdict": [DROPPED] * len(rejects),
        "stage": [reject.stage for reject in rejects],
        "reason": [str(reject.reason) for reject in rejects],
        "detail": [reject.detail or None for reject in rejects],
    }
    columns = [
        pa.array(values[field.name], field.type) if field.name in values else pa.nulls(len(rejects), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def merged(phases: Sequence[Path], out: Path) -> dict[str, int]:
    """Makes one row a record from the ledgers of a part's phases, in order; returns the counts by verdict.

    A phase's rows are those that the phase before kept, in their order, so that all are read side by side, a few at a
    time.

    Raises:
        DamagedRunError: if they are not.
    """
    kept = rows = 0
    with ExitStack() as open_files:
        first, *others = (open_files.enter_context(pq.ParquetFile(path)) for path in phases)
        later = [_Rows(path, file) for path, file in zip(phases[1:], others, strict=True)]
        measures = [item for file in others for item in file.schema_arrow if item.name not in BASE.names]
        schema = pa.schema([*first.schema_arrow, *measures])
        with ShardWriter(out, schema, row_group_rows=ROW_GROUP_ROWS) as writer:
            for batch in read_batches(first, _BATCH_ROWS):
                whole = _side_by_side(batch, later, schema)
                writer.write(whole)
                kept += int(pc.sum(pc.equal(whole.column("verdict"), KEPT)).as_py())
                rows += len(whole)
            for phase in later:
                phase.end()
    return {KEPT: kept, DROPPED: rows - kept}


class _Rows:
    """The rows of a phase's ledger, as many at a time as are asked for."""

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self._path = path
        self._batches = read_batches(file, _BATCH_ROWS)
        self._waiting = file.schema_arrow.empty_table()

    def of(self, ids: pa.StringArray) -> pa.Table:
        """The next rows, which must be those of the documents with these ids."""
        while len(self._waiting) < len(ids) and (batch := next(self._batches, None)) is not None:
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([batch])])
        rows, self._waiting = self._waiting.slice(0, len(ids)), self._waiting.slice(len(ids))
        if not rows["id"].equals(pa.chunked_array([ids])):
            raise self._damaged()
        return rows.combine_chunks()

    def end(self) -> None:
        """Checks that every row has been asked for."""
        if len(self._waiting) or next(self._batches, None) is not None:
            raise self._damaged()

    def _damaged(self) -> DamagedRunError:
        return DamagedRunError(
            f"{self._path}: has not the documents that the phase before kept; remove it and run the same command again"
        )


def _side_by_side(batch: pa.RecordBatch, later: Sequence[_Rows], schema: pa.Schema) -> pa.RecordBatch:
    """Rows of the first phase with what the later ones know of those that were kept."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for phase in later:
        here = np.flatnonzero(pc.equal(columns["verdict"], KEPT).to_numpy(zero_copy_only=False))
        found = phase.of(columns["id"].take(pa.array(here)))
        places = np.full(batch.num_rows, -1, np.int64)
        places[here] = np.arange(len(here))
        seen = pa.array(places >= 0)
        indices = pa.array(places, mask=places < 0)
        for name in found.column_names:
            values = found[name].combine_chunks().take(indices)
            if name in _LATER:
                columns[name] = pc.if_else(seen, values, columns[name])
            elif name == "cluster_size":
                both = pc.subtract(pc.add(columns[name], values), pa.scalar(1, pa.int32()))
                columns[name] = pc.coalesce(both, values, columns[name])
            elif name not in BASE.names:
                columns[name] = values
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
