"""Where each document's score stands among those of the whole source: what score_cut and combined_quality ask.

Documents with a score are put in order from the lowest to the highest, equal scores by id; each takes as much room as
it weighs. A document's place is the share of all weight that lies before its own middle, above 0 and below 1. So "the
best tenth by words" has a tenth of the words, give or take half a document, and places do not depend on how the source
was split.

Scores that are null or no number have no place, and take no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError

Unit = Literal["documents", "words", "characters", "bytes"]
"""What a share is a share of. Words are those of the segmentation, punctuation included: about as many as tokens."""


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


def place_query(score: str, within: str | None = None) -> str:
    """SQL for `id` and `place` of each row of `present` where `score` is not null, among all or those of its `within`.

    Sums are of integers, so they are exact.
    """
    partition = f"PARTITION BY {within}" if within else ""
    return f"""
        SELECT id, (2 * sum(weight) OVER before - weight)::DOUBLE / (2 * sum(weight) OVER whole)::DOUBLE AS place
        FROM present WHERE {score} IS NOT NULL
        WINDOW before AS ({partition} ORDER BY {score}, id ROWS UNBOUNDED PRECEDING), whole AS ({partition})
    """
