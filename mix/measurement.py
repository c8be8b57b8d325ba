"""Measuring a curated part: what the selection must know of each document, and no text.

A measurement is a Parquet file, row for row beside its part:

    id          string, not null
    id_hash     uint64, not null    from which every key follows (mix/keys.py)
    units       int64, not null     in the mix's unit
    text_bytes  int64, not null     UTF-8 bytes of the text

It depends on neither seed nor ratios, so that another mix of the same documents does not count them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import Shard, read_batches, write_table
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.options import MixOptions
from corpusmill.mix.units import count_units

MEASUREMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("units", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
    ]
)
ROW_GROUP_ROWS = 1 << 16
_BATCH_ROWS = 256


def measure_part(part: Path, out: Path, options: MixOptions) -> Shard:
    """Writes the measurement of one curated part.

    Raises:
        InputError: if the tokenizer cannot be read.
        StorageError: if the disk is full.
    """
    with pq.ParquetFile(part) as file:
        return write_table(out, _measured(file, options), MEASUREMENT, row_group_rows=ROW_GROUP_ROWS)


def _measured(file: pq.ParquetFile, options: MixOptions) -> Iterator[pa.RecordBatch]:
    for documents in read_batches(file, _BATCH_ROWS, ["id", "text"]):
        batch = TextBatch(documents)
        ids = documents.column("id")
        columns = [
            ids,
            pa.array(id_hashes(ids)),
            pa.array(count_units(batch, options.unit, options.tokenizer)),
            pa.array(np.diff(batch.offsets).astype(np.int64)),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=MEASUREMENT)
