"""Comparing a source with index parts (index.py): as a step that many tasks share, or within `decide`.

Each task of the step takes some of the sidecars and writes what it found of their documents in the parts. Documents
that are found go with the reason `seen_before`, before any others are compared; their verdict names the document in the
index.

What is found names parts and rows by number. It bears a note of the parts that it is of (`of_parts`), since another run
can replace one before the decision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.contract import Step, StepFiles
from corpusmill.dedup.index import DOCUMENT_SCHEMA, INDEX_FILE, Form, IndexPart, open_part, replaced
from corpusmill.documents.barrier import VERDICTS
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.documents.ids import IdIndex, check_ids_fit
from corpusmill.documents.sidecars import sidecar_runs

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
_TOLD_ROWS = 1_000_000  # of a part whose ids are read at a time
_NOTE = b"parts"


def seek_steps(rows: Sequence[int]) -> Sequence[Step]:
    """The step `seek`, for sidecars of so many rows."""
    return (Step(SEEK, len(_groups(rows))),)


def sidecars_of(sidecars: Sequence[Path], rows: Sequence[int], task: int) -> Sequence[Path]:
    """The sidecars, of so many rows, that a task of the step takes."""
    begin, end = _groups(rows)[task]
    return sidecars[begin:end]


def _groups(rows: Sequence[int]) -> list[tuple[int, int]]:
    return sidecar_runs(rows, _SEEK_ROWS)


def step_matches(done: StepFiles, excluded: pa.StringArray, schema: pa.Schema) -> pa.Table:
    """What the tasks of the step have found, without the excluded documents.

    Raises:
        InputError: if they were compared with different parts.
    """
    tables = [pq.read_table(path) for path in done.get(SEEK, ())]
    if len({_note(table) for table in tables}) > 1:
        raise InputError(f"{done[SEEK][0].parent}: another run has changed an index during the step {SEEK}: run again")
    found = pa.concat_tables([schema.empty_table(), *tables])
    index = IdIndex(excluded)
    present = [pa.array(index.find(chunk) < 0) for chunk in found["id"].chunks]
    found = found.filter(pa.chunked_array(present, pa.bool_()))
    return found.replace_schema_metadata(tables[0].schema.metadata if tables else None)


def of_parts(found: pa.Table, parts: Sequence[IndexPart]) -> pa.Table:
    """What was found in these parts, with a note of them."""
    return found.replace_schema_metadata({_NOTE: json.dumps([part.identity for part in parts])})


def check_parts(found: pa.Table, parts: Sequence[IndexPart]) -> None:
    """Checks that these are the parts that something was found in.

    Raises:
        InputError: naming the first that is another.
    """
    if (note := _note(found)) is None:
        return
    identities = json.loads(note)
    if len(parts) != len(identities):
        raise InputError(
            f"{len(identities)} parts of indexes were compared with, and {len(parts)} are there now: the parts of an "
            f"index have changed since the step {SEEK}: run again"
        )
    for part, identity in zip(parts, identities, strict=True):
        if part.identity != identity:
            raise replaced(part.folder)


def _note(found: pa.Table) -> bytes | None:
    return (found.schema.metadata or {}).get(_NOTE)


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


def seen_verdicts(
    matches: pa.Table, seen: Sequence[Path], reason: StrEnum, *, documents: int | None = None
) -> pa.Table:
    """Rows of VERDICTS for documents that go because a part has them; `matches` has each of them once.

    Args:
        documents: of the source; None: not known, and nothing is said where they are in an index under another name.

    Raises:
        InputError: if a part is another than that compared with, or has most of the documents under their own ids.
        UsageError: if the ids of the documents do not fit in one array.
    """
    check_ids_fit("documents that an index has", matches["id"])
    parts = [open_part(folder) for folder in seen]
    check_parts(matches, parts)
    tables = [VERDICTS.empty_table()]
    for number, part in enumerate(parts):
        here = matches.filter(pc.equal(matches["part"], number)).sort_by("row")
        same = 0
        for begin in range(0, here.num_rows, _TOLD_ROWS):
            some = here.slice(begin, _TOLD_ROWS)
            kept = part.documents(some["row"].to_numpy(), ["id"])["id"]
            same += pc.sum(pc.equal(some["id"], kept)).as_py()
            why = pa.repeat(pa.scalar(str(reason), pa.string()), some.num_rows)
            tables.append(pa.table([some["id"], why, kept, some["similarity"]], schema=VERDICTS))
        if documents is not None:
            _check_name(part, same, documents)
    return pa.concat_tables(tables)


def _check_name(part: IndexPart, same: int, documents: int) -> None:
    """Checks that a part of an index is not that of the very same documents, which would all go."""
    index = part.folder.parent.parent
    if 2 * same > documents and (index / INDEX_FILE).exists():
        raise InputError(
            f'{index}: {same:,} of the {documents:,} documents of this run are in the index as "{part.label}" already, '
            f"under the very same ids; use `update_as: {part.label}`, or take the index out of `against`"
        )
