"""Comparing a source with index parts (index.py): as a step that many tasks share, or within `decide`.

Each task of the step takes some of the sidecars and writes what it found of their documents in the parts. Documents
that are found go with the reason `seen_before`, before any others are compared; their verdict names the document in the
index.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.contract import Step, StepFiles
from corpusmill.dedup.index import DOCUMENT_SCHEMA, Form, IndexPart, open_part
from corpusmill.documents.barrier import VERDICTS
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import IdIndex

MATCHES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of a document here
        pa.field("part", pa.int32(), nullable=False),  # which of the parts it was compared with
        pa.field("row", pa.int64(), nullable=False),  # of the document there
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)


SEEK = "seek"
"""The step that compares sidecars with parts; each of its tasks takes some of the sidecars."""
_SEEK_ROWS = 2_000_000  # of a task, about


def seek_steps(rows: Sequence[int]) -> Sequence[Step]:
    """The step `seek`, for sidecars of so many rows."""
    return (Step(SEEK, len(_groups(rows))),)


def sidecars_of(sidecars: Sequence[Path], task: int) -> Sequence[Path]:
    """The sidecars that a task of the step takes."""
    begin, end = _groups([pq.read_metadata(path).num_rows for path in sidecars])[task]
    return sidecars[begin:end]


def _groups(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Cuts sidecars into runs of about `_SEEK_ROWS`: the first of each and the one behind its last."""
    groups, begin, size = [], 0, 0
    for number, count in enumerate(rows):
        size += count
        if size >= _SEEK_ROWS:
            groups.append((begin, number + 1))
            begin, size = number + 1, 0
    if begin < len(rows) or not groups:
        groups.append((begin, len(rows)))
    return groups


def step_matches(done: StepFiles, excluded: pa.StringArray, schema: pa.Schema) -> pa.Table:
    """What the tasks of the step have found, without the excluded documents."""
    found = pa.concat_tables([schema.empty_table(), *(pq.read_table(path) for path in done.get(SEEK, ()))])
    gone = IdIndex(excluded).find(found["id"].combine_chunks()) >= 0
    return found.filter(pa.array(~gone))


DOCUMENT_FIELDS = tuple(field for field in DOCUMENT_SCHEMA if field.name != "id")
"""Columns of a sidecar whose rows go into an index."""


def document_columns(batch: TextBatch) -> list[pa.Array]:
    """The columns of DOCUMENT_FIELDS for the documents of a batch."""
    return [batch.documents.column(field.name) for field in DOCUMENT_FIELDS]


def open_parts(seen: Sequence[Path], form: Form) -> list[IndexPart]:
    """The parts in these folders.

    Raises:
        InputError: if one is missing, damaged or of another form.
    """
    parts = [open_part(folder) for folder in seen]
    for part in parts:
        form.check(part.form, part.folder)
    return parts


def seen_verdicts(matches: pa.Table, seen: Sequence[Path], reason: StrEnum) -> pa.Table:
    """Rows of VERDICTS for documents that go because a part has them; `matches` has each of them once."""
    tables = [VERDICTS.empty_table()]
    for number, folder in enumerate(seen):
        here = matches.filter(pc.equal(matches["part"], number))
        if here.num_rows:
            kept = open_part(folder).documents(here["row"].to_numpy())["id"]
            why = pa.repeat(pa.scalar(str(reason), pa.string()), here.num_rows)
            tables.append(pa.table([here["id"], why, kept, here["similarity"]], schema=VERDICTS))
    return pa.concat_tables(tables).combine_chunks()
