"""What the score notes of every row, with the texts of a sample: a file for each part of a dataset.

One row for each row of the part, or for a document that occurs several times in the dataset:

    id_hash    uint64, not null    mix/keys.py
    text_hash  uint64, not null    of the text's bytes
    key        uint64, not null    rows of one key are in the sample together: see below
    copies     int32, not null     how often it occurs
    tokens     int64, not null     the row's count, or its text's bytes where there is none; of one occurrence
    text_bytes int64, not null
    component  string              what the row is reported under, if anything
    sampled    bool, not null      whether the row is in the sample
    text       string              null where it is not

A row is in the sample when a keyed hash of its `key` is small, so a larger share takes a superset, and neither parts
nor their order matter. Near copies must be in it together, or it would not show them. So the key is, by `Keys`:

    groups   the near-duplicate group (mix/groups.py), where these are known
    minhash  the smallest hash of the document's 3-grams: a pair of Jaccard similarity J shares it with probability J,
             for which the score makes up by counting the pairs that it sees 1/J times
    texts    the hash of the text: exact copies alone are together
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.dedup.shingles import shingles_of
from corpusmill.dedup.signatures import minima_64, permutations
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import atomic_file, read_batches
from corpusmill.mix.keys import KEYS, below, keyed

Keys = Literal["groups", "minhash", "texts"]

ROWS = pa.schema(
    [
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("text_hash", pa.uint64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("copies", pa.int32(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("component", pa.string()),
        pa.field("sampled", pa.bool_(), nullable=False),
        pa.field("text", pa.string()),
    ]
)

_NUMBERS = ("id_hash", "text_hash", "key", "copies", "tokens", "text_bytes")
_KEYS, _SHARE, _UNIT = "corpusmill.keys", "corpusmill.share", "corpusmill.unit"
_ROWS_AT_ONCE = 1 << 16
_NGRAM = 3
_MINHASH_SEED = 1
"""Another than that of the signatures (mix/near_copies.py), so that who is in the sample says nothing of those."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a dataset.

    texts       string[n]
    id_hash     uint64[n]
    tokens      int64[n]; None: the bytes of the texts
    components  string[n], or None
    key         uint64[n], or None: as `Sampling.keys` says
    copies      int32[n], or None: 1 of each
    """

    texts: pa.StringArray
    id_hash: NDArray[np.uint64]
    tokens: NDArray[np.int64] | None = None
    components: pa.StringArray | None = None
    key: NDArray[np.uint64] | None = None
    copies: NDArray[np.int32] | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which rows are in the sample.

    share  of the keys, 0 to 1
    keys   what the keys are
    """

    share: float = 1.0
    keys: Keys = "texts"

    def taken(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return below(keyed(keys, 0, "score"), int(self.share * KEYS))


def write_rows(pieces: Iterable[Piece], out: Path, sampling: Sampling, unit: str) -> None:
    """Writes the file of a part.

    Args:
        unit: what `tokens` count.

    Raises:
        StorageError: if the disk is full.
    """
    schema = ROWS.with_metadata({_KEYS: sampling.keys, _SHARE: repr(sampling.share), _UNIT: unit})
    # A piece is a row group: whoever reads one holds no more text than was held here.
    with atomic_file(out) as stream, pq.ParquetWriter(stream, schema, compression="lz4", use_dictionary=False) as file:
        for piece in pieces:
            file.write_batch(_noted(piece, sampling).replace_schema_metadata(schema.metadata))


def _noted(piece: Piece, sampling: Sampling) -> pa.RecordBatch:
    count = len(piece.texts)
    batch = TextBatch(pa.RecordBatch.from_arrays([piece.texts], ["text"]))
    text_hash = batch.document_hashes[0]
    key = piece.key
    if key is None:
        key = _minhash_keys(batch, text_hash) if sampling.keys == "minhash" else text_hash
    taken, sizes = sampling.taken(key), np.diff(batch.offsets).astype(np.int64)
    columns = [
        pa.array(piece.id_hash),
        pa.array(text_hash),
        pa.array(key),
        pa.array(np.ones(count, np.int32) if piece.copies is None else piece.copies),
        pa.array(sizes if piece.tokens is None else piece.tokens),
        pa.array(sizes),
        pa.nulls(count, pa.string()) if piece.components is None else piece.components,
        pa.array(taken),
        piece.texts if taken.all() else pc.if_else(pa.array(taken), piece.texts, pa.scalar(None, pa.string())),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)


def _minhash_keys(batch: TextBatch, text_hash: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shingles = shingles_of(batch, _NGRAM, False)
    minima = np.empty((len(batch), 1), np.uint64)
    minima_64(shingles.firsts, shingles.hashes, *permutations(1, _MINHASH_SEED), minima)
    return np.where(shingles.words > 0, minima[:, 0], text_hash)


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
    tokens: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    component: NDArray[np.int64]
    components: tuple[str, ...]
    sampled: NDArray[np.bool_]
    sampling: Sampling
    unit: str

    @classmethod
    def read(cls, parts: Sequence[Path]) -> Rows:
        """Raises: DamagedRunError: if the parts were not written in one way."""
        arrays: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_NUMBERS, "component", "sampled")}
        numbers: dict[str, int] = {}
        told: set[tuple[str, ...]] = set()
        for part in parts:
            with pq.ParquetFile(part) as file:
                metadata = file.schema_arrow.metadata or {}
                told.add(tuple(metadata.get(name.encode(), b"").decode() for name in (_KEYS, _SHARE, _UNIT)))
                for batch in read_batches(file, _ROWS_AT_ONCE, [*_NUMBERS, "component", "sampled"]):
                    for name in _NUMBERS:
                        arrays[name].append(batch.column(name).to_numpy())
                    arrays["component"].append(_numbered(batch.column("component"), numbers))
                    arrays["sampled"].append(batch.column("sampled").to_numpy(zero_copy_only=False))
        if len(told) > 1:
            raise DamagedRunError(f"{parts[0].parent}: its parts were noted in different ways; remove them, run again")
        keys, share, unit = next(iter(told), ("texts", "1.0", "bytes"))
        joined = {name: _joined(found, _KIND[name]) for name, found in arrays.items()}
        # The numbers of components must not depend on the order of parts.
        names = tuple(sorted(numbers))
        renumbered = np.array([*(names.index(name) for name in numbers), -1], np.int64)
        joined["component"] = renumbered[joined["component"]]
        sampling = Sampling(share=float(share), keys=keys)  # type: ignore[arg-type]  # what write_rows wrote
        return cls(**joined, components=names, sampling=sampling, unit=unit)

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
