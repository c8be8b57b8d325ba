"""Curated documents as token ids, beside their parts: a cell of a sweep reads these, and no text.

<part>.npy       uint16 (uint32 for more than 65,536 tokens): the ids of all documents, one after the other
<part>.parquet   row for row beside the part:
    id          string, not null
    id_hash     uint64, not null    from which every choice follows (mix/keys.py)
    first       int64, not null     where the document's ids begin
    tokens      int64, not null
    text_bytes  int64, not null     UTF-8 bytes of its text
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import atomic_file, read_batches, write_table
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.tokens import load_tokens
from corpusmill.scaling.contract import Tokens

ENCODED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("first", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
    ]
)
_BATCH_ROWS = 1024
_SHORT = 1 << 16  # vocabularies up to this many tokens fit uint16


def encode_part(part: Path, tokenizer: Path, ids: Path, index: Path) -> int:
    """Writes the ids of one curated part and their index. Returns how many tokens there are.

    Raises:
        InputError: if the tokenizer cannot be read.
        StorageError: if the disk is full.
    """
    tokens = load_tokens(str(tokenizer))
    kind = np.uint16 if tokens.vocab_size <= _SHORT else np.uint32
    encoded: list[NDArray[Any]] = []

    def rows() -> Iterator[pa.RecordBatch]:
        first = 0
        with pq.ParquetFile(part) as file:
            for batch in read_batches(file, _BATCH_ROWS, ["id", "text"]):
                flat, offsets = tokens.encode(batch.column("text"))
                encoded.append(flat.astype(kind))
                columns = [
                    batch.column("id"),
                    pa.array(id_hashes(batch.column("id"))),
                    pa.array(first + offsets[:-1]),
                    pa.array(np.diff(offsets)),
                    pc.binary_length(batch.column("text")).cast(pa.int64()),
                ]
                first += len(flat)
                yield pa.RecordBatch.from_arrays(columns, schema=ENCODED)

    write_table(index, rows(), ENCODED)
    whole = np.concatenate([np.zeros(0, kind), *encoded])
    with atomic_file(ids) as stream:
        np.save(stream, whole, allow_pickle=False)
    return len(whole)


def gather(files: Sequence[Path], rows: pa.Table) -> Tokens:
    """The tokens of documents, in the order of `rows`.

    Args:
        files: of ids.
        rows: `part` (which of the files), `first`, `tokens`, `text_bytes` and `id` of each document.

    Raises:
        DamagedRunError: if a file is shorter than its index says.
    """
    parts = rows.column("part").to_numpy()
    firsts, counts = rows.column("first").to_numpy(), rows.column("tokens").to_numpy()
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    mapped = {int(part): np.load(files[part], mmap_mode="r", allow_pickle=False) for part in np.unique(parts)}
    out = np.empty(int(offsets[-1]), np.result_type(np.uint16, *(ids.dtype for ids in mapped.values())))
    for part, ids in mapped.items():
        mine = np.flatnonzero(parts == part)
        if len(mine) and int((firsts[mine] + counts[mine]).max()) > len(ids):
            raise DamagedRunError(f"{files[part]}: is shorter than its index says; run the same command again")
        places = _ranges(offsets[mine], counts[mine])
        out[places] = ids[_ranges(firsts[mine], counts[mine])]
    return Tokens(
        ids=out,
        offsets=offsets,
        text_bytes=rows.column("text_bytes").to_numpy(),
        documents=rows.column("id").combine_chunks(),
    )


def _ranges(firsts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """first, first + 1, … of each range, one range after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(firsts - before, counts) + np.arange(int(counts.sum()))
