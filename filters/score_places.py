"""Where each document's score stands among those of the whole source: what score_cut and combined_quality ask.

Documents with a score are put in order from the lowest to the highest, equal scores by id; each takes as much room as
it weighs. A document's place is the share of all weight that lies before its own middle, above 0 and below 1. So "the
best tenth by words" has a tenth of the words, give or take half a document, and places do not depend on how the source
was split.

Scores that are null or no number have no place, and take no room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.barrier import VERDICTS
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.sidecars import observed_twice

Unit = Literal["documents", "words", "characters", "bytes"]
"""What a share is a share of. Words are those of the segmentation, punctuation included: about as many as tokens."""

_MEMORY_LIMIT = "512MB"  # of duckdb's buffers; beyond it, it writes to the workspace
_THREADS = 2  # each has buffers of its own


def weights(batch: TextBatch, unit: Unit) -> pa.Int64Array:
    """What each document weighs, at least 1: an empty one has a place, too."""
    if unit == "documents":
        return pa.array(np.ones(len(batch), np.int64))
    if unit == "words":
        return pa.array(np.maximum(np.diff(batch.words.firsts), 1), pa.int64())
    counts = pc.utf8_length(batch.texts) if unit == "characters" else pc.binary_length(batch.texts)
    return pc.max_element_wise(counts.cast(pa.int64()), pa.scalar(1, pa.int64()))


def finite(scores: pa.Array) -> pa.Array:
    """Scores as float64, null where they are no number."""
    values = scores.cast(pa.float64())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def numbers_only(needed: Mapping[str, pa.DataType], key: str) -> None:
    """Checks that every measure named below `key` is one that can be put in order.

    Raises:
        RecipeError: naming the first that is not.
    """
    for name, kind in needed.items():
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise RecipeError(f"{key}: {name} is {kind} and no number; name a measure that is")


def dropped(ids: pa.StringArray, reasons: StrEnum | pa.StringArray) -> pa.Table:
    """Rows of VERDICTS: all for one reason, or each for its own."""
    if isinstance(reasons, StrEnum):
        reasons = pa.repeat(pa.scalar(str(reasons), pa.string()), len(ids))
    nothing = pa.nulls(len(ids), pa.string()), pa.nulls(len(ids), pa.float32())
    return pa.table([ids, reasons, *nothing], schema=VERDICTS)


def open_sidecars(sidecars: Sequence[Path], excluded: pa.StringArray, workspace: Path) -> duckdb.DuckDBPyConnection:
    """A database with the rows of the sidecars as the view `observed`, without the excluded documents.

    Raises:
        DamagedRunError: if a document was observed twice.
    """
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
    connection.execute("SET temp_directory = $folder", {"folder": str(workspace)})
    connection.execute(f"SET threads = {_THREADS}")
    connection.register("excluded", pa.table({"id": excluded}))
    connection.read_parquet([str(path) for path in sidecars]).create_view("everything")
    connection.execute("CREATE VIEW observed AS FROM everything ANTI JOIN excluded USING (id)")
    repeated = connection.execute("SELECT id FROM observed GROUP BY id HAVING count(*) > 1 LIMIT 1").fetchone()
    if repeated:
        connection.close()
        raise observed_twice(repeated[0])
    return connection


def place_query(score: str, within: str | None = None) -> str:
    """SQL for `id` and `place` of each row of `observed` where `score` is not null, among all or those of its `within`.

    Sums are of integers, so they are exact.
    """
    partition = f"PARTITION BY {within}" if within else ""
    return f"""
        SELECT id, (2 * sum(weight) OVER before - weight)::DOUBLE / (2 * sum(weight) OVER whole)::DOUBLE AS place
        FROM observed WHERE {score} IS NOT NULL
        WINDOW before AS ({partition} ORDER BY {score}, id ROWS UNBOUNDED PRECEDING), whole AS ({partition})
    """
