"""What the score notes of every row, with the texts of a sample: a file for each part of a dataset.

One row for each row of the part, or for a document that occurs several times in the dataset:

    id_hash    uint64, not null    mix/keys.py
    text_hash  uint64, not null    of the text's bytes
    key        uint64, not null    rows of one key are in the sample together: see below
    copies     int32, not null     how often it occurs
    per_pass   int32, not null     how often one pass over its component has it; 0 where that is not known
    tokens     int64, not null     the row's count, or its text's bytes where there is none; of one occurrence
    text_bytes int64, not null
    component  string              what the row is reported under, if anything
    sampled    bool, not null      whether the row is in the sample
    text       string              null where it is not

A row is in the sample when a keyed hash of its `key` is small, so a larger share takes a superset, and neither parts
nor their order matter. Near copies must be in it together, or it would not show them: so the key is the document's
near-duplicate group. Where that is not known, it is the hash of the text, and a sample then shows exact copies alone.
Groups of documents that are no part of a mix are found from sketches (`write_sketch`; mix/groups.py), by text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import atomic_file, read_batches, write_table
from corpusmill.mix.groups import SKETCH, look_up
from corpusmill.mix.keys import KEYS, below, keyed
from corpusmill.mix.near_copies import near_signatures

ROWS = pa.schema(
    [
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("text_hash", pa.uint64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("copies", pa.int32(), nullable=False),
        pa.field("per_pass", pa.int32(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("component", pa.string()),
        pa.field("sampled", pa.bool_(), nullable=False),
        pa.field("text", pa.string()),
    ]
)

_NUMBERS = ("id_hash", "text_hash", "key", "copies", "per_pass", "tokens", "text_bytes")
_SHARE, _UNIT = "corpusmill.share", "corpusmill.unit"
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a dataset.

    texts       string[n]
    id_hash     uint64[n]
    tokens      int64[n]; None: the bytes of the texts
    components  string[n], or None
    key         uint64[n], or None: that of the text
    copies      int32[n], or None: 1 of each
    per_pass    int32[n], or None: not known
    """

    texts: pa.StringArray
    id_hash: NDArray[np.uint64]
    tokens: NDArray[np.int64] | None = None
    components: pa.StringArray | None = None
    key: NDArray[np.uint64] | None = None
    copies: NDArray[np.int32] | None = None
    per_pass: NDArray[np.int32] | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which rows are in the sample.

    share  of the keys, 0 to 1
    """

    share: float = 1.0

    def taken(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return below(keyed(keys, 0, "score"), int(self.share * KEYS))


def write_sketch(pieces: Iterable[Piece], out: Path) -> None:
    """Writes what `groups.find_groups` finds groups of texts from, by hash of the text. Texts without words have none.

    The signatures are those of mix/near_copies.py, so the groups have its near copies, but for some of a Jaccard
    similarity below .6.

    Raises:
        StorageError: if the disk is full.
    """
    write_table(out, map(_sketched, pieces), SKETCH, row_group_rows=_ROWS_AT_ONCE, compression="none")


def _sketched(piece: Piece) -> pa.RecordBatch:
    batch = TextBatch(pa.RecordBatch.from_arrays([piece.texts], ["text"]))
    signatures, worded = near_signatures(batch)
    stored = pa.py_buffer(signatures[worded].astype("<u2", copy=False))
    hashes = batch.document_hashes[0][worded]
    signature = pa.Array.from_buffers(SKETCH.field("signature").type, len(hashes), [None, stored])
    return pa.RecordBatch.from_arrays([pa.array(hashes), signature], schema=SKETCH)


def write_rows(pieces: Iterable[Piece], out: Path, sampling: Sampling, unit: str, groups: Path | None = None) -> None:
    """Writes the file of a part.

    Args:
        unit: what `tokens` count.
        groups: found from sketches; keys of pieces that have none.

    Raises:
        StorageError: if the disk is full.
    """
    schema = ROWS.with_metadata({_SHARE: repr(sampling.share), _UNIT: unit})
    # A piece is a row group: whoever reads one holds no more text than was held here.
    with atomic_file(out) as stream, pq.ParquetWriter(stream, schema, compression="lz4", use_dictionary=False) as file:
        for piece in pieces:
            file.write_batch(_noted(piece, sampling, groups).replace_schema_metadata(schema.metadata))


def _noted(piece: Piece, sampling: Sampling, groups: Path | None) -> pa.RecordBatch:
    count = len(piece.texts)
    batch = TextBatch(pa.RecordBatch.from_arrays([piece.texts], ["text"]))
    text_hash = batch.document_hashes[0]
    key = piece.key
    if key is None:
        key = text_hash if groups is None else look_up(groups, text_hash)
    taken, sizes = sampling.taken(key), np.diff(batch.offsets).astype(np.int64)
    columns = [
        pa.array(piece.id_hash),
        pa.array(text_hash),
        pa.array(key),
        pa.array(np.ones(count, np.int32) if piece.copies is None else piece.copies),
        pa.array(np.zeros(count, np.int32) if piece.per_pass is None else piece.per_pass),
        pa.array(sizes if piece.tokens is None else piece.tokens),
        pa.array(sizes),
        pa.nulls(count, pa.string()) if piece.components is None else piece.components,
        pa.array(taken),
        piece.texts if taken.all() else pc.if_else(pa.array(taken), piece.texts, pa.scalar(None, pa.string())),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows of a dataset, parts in the given order, as parallel arrays.

    component  int64[n]: index into `components`, -1 where the row has none
    sampled    bool[n]: whether the row's text is there
    """

    id_hash: NDArray[np.uint64]
    text_hash: NDArray[np.uint64]
    key: NDArray[np.uint64]
    copies: NDArray[np.int64]
    per_pass: NDArray[np.int64]
    tokens: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    component: NDArray[np.int64]
    components: tuple[str, ...]
    sampled: NDArray[np.bool_]
    sampling: Sampling
    unit: str

    @classmethod
    def read(cls, parts: Sequence[Path]) -> Rows:
        """The rows of all parts.

        Raises:
            DamagedRunError: if they were not written in one way.
        """
        arrays: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_NUMBERS, "component", "sampled")}
        numbers: dict[str, int] = {}
        told: set[tuple[str, ...]] = set()
        for part in parts:
            with pq.ParquetFile(part) as file:
                metadata = file.schema_arrow.metadata or {}
                told.add(tuple(metadata.get(name.encode(), b"").decode() for name in (_SHARE, _UNIT)))
                for batch in read_batches(file, _ROWS_AT_ONCE, [*_NUMBERS, "component", "sampled"]):
                    for name in _NUMBERS:
                        arrays[name].append(batch.column(name).to_numpy())
                    arrays["component"].append(_numbered(batch.column("component"), numbers))
                    arrays["sampled"].append(batch.column("sampled").to_numpy(zero_copy_only=False))
        if len(told) > 1:
            raise DamagedRunError(f"{parts[0].parent}: its parts were noted in different ways; remove them, run again")
        share, unit = next(iter(told), ("1.0", "bytes"))
        joined = {name: _joined(found, _KIND[name]) for name, found in arrays.items()}
        # The numbers of components must not depend on the order of parts.
        names = tuple(sorted(numbers))
        renumbered = np.array([*(names.index(name) for name in numbers), -1], np.int64)
        joined["component"] = renumbered[joined["component"]]
        return cls(**joined, components=names, sampling=Sampling(share=float(share)), unit=unit)

    def __len__(self) -> int:
        return len(self.tokens)


_KIND: dict[str, Any] = {
    **dict.fromkeys(_NUMBERS[:3], np.uint64),
    **dict.fromkeys((*_NUMBERS[3:], "component"), np.int64),
    "sampled": np.bool_,
}


def sampled_texts(parts: Sequence[Path], wanted: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], TextBatch]]:
    """The texts of the rows that are `wanted`, in order, with the numbers of their rows."""
    start = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in read_batches(file, _ROWS_AT_ONCE, ["text"]):
                rows = start + np.flatnonzero(wanted[start : start + batch.num_rows])
                if len(rows):
                    texts = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows - start))
                    yield rows, TextBatch(texts)
                start += batch.num_rows


def _numbered(names: pa.StringArray, numbers: dict[str, int]) -> NDArray[np.int64]:
    encoded = names.dictionary_encode()
    places = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
    return np.array([*places, -1], np.int64)[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]


def _joined(arrays: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *arrays]).astype(kind, copy=False)
