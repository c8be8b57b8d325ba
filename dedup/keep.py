"""Which document of a set of duplicates stays: an order over documents, the same whatever the order of rows.

Every sidecar carries what the order looks at:

    bytes    int32    length of the text in UTF-8
    quality  float32  score of the quality stage; null where there is none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from corpusmill.documents.batch import TextBatch

Keep = Literal["first_id", "longest", "best_quality"]

KEEP_ORDER: Mapping[Keep, tuple[tuple[str, str], ...]] = {
    "first_id": (("id", "ascending"),),
    "longest": (("bytes", "descending"), ("id", "ascending")),
    "best_quality": (("quality", "descending"), ("bytes", "descending"), ("id", "ascending")),
}
"""Sort keys; the first document in that order stays. A document without quality comes after all that have one. Ids are
unique, so there are no ties."""

KEEP_FIELDS = (pa.field("bytes", pa.int32(), nullable=False), pa.field("quality", pa.float32()))


def keep_columns(batch: TextBatch) -> list[pa.Array]:
    """The columns of KEEP_FIELDS for the documents of a batch."""
    quality = batch.documents.column("quality").to_numpy(zero_copy_only=False)
    # from_pandas makes NaN null: a score that is not a number is no score, and would sort as the best one in duckdb.
    return [pa.array(np.diff(batch.offsets), pa.int32()), pa.array(quality, pa.float32(), from_pandas=True)]
