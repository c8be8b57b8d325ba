"""Sidecars of `minhash_dedup` for as many documents as are wanted, with planted near-duplicates.

A document is a copy of one of many bases. The values of a base's signature are random; a copy has up to six of 112
replaced, so that any two copies share two bands at least and agree in 100 values at least: they are found and settled
by their signatures, and no text is needed. Two kinds:

    crawl        seven documents of ten are alone; the others come in clusters of 2, 3, ... 1,000 whose numbers fall
                 with the square of the size. One document of twenty is no copy, but shares one band with a base and
                 nothing else: what locality-sensitive hashing proposes and signatures refuse.
    templates    all are copies of five bases
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.shards import write_table

FILE_ROWS = 100_000
"""Documents of one sidecar: what a map task of some hundred megabytes of text leaves."""
_BANDS, _ROWS = MinHashDedup.bands, MinHashDedup.rows
_VALUES = _BANDS * _ROWS
_REPLACED = 6
_LONE, _DECOYS = 0.7, 0.05
_LARGEST = 1000
_DIGITS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)

Kind = Literal["crawl", "templates"]


def write_sidecars(folder: Path, documents: int, kind: Kind, seed: int = 0) -> list[Path]:
    """Writes them as files of FILE_ROWS rows."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    bases, decoys = _bases(documents, kind, generator)
    paths = []
    for first in range(0, documents, FILE_ROWS):
        rows = slice(first, first + FILE_ROWS)
        signatures = planted(bases[rows], decoys[rows], generator)
        path = folder / f"{first // FILE_ROWS:05d}.parquet"
        schema = MinHashDedup().sidecar  # written as the pipeline writes sidecars
        write_table(path, [_batch(signatures, generator)], schema, row_group_rows=16_384, compression="lz4")
        paths.append(path)
    return paths


def _bases(documents: int, kind: Kind, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The base of each document, and whether it is a decoy of it."""
    if kind == "templates":
        return generator.integers(0, 5, documents), np.zeros(documents, np.bool_)
    sizes = np.arange(2, _LARGEST + 1)
    weights = 1 / sizes.astype(np.float64) ** 2
    clusters = generator.choice(sizes, documents // 4, p=weights / weights.sum())
    clusters = clusters[: int(np.searchsorted(np.cumsum(clusters), (1 - _LONE) * documents))]
    lone = np.arange(len(clusters), len(clusters) + documents - int(clusters.sum()))
    bases = generator.permutation(np.concatenate([np.repeat(np.arange(len(clusters)), clusters), lone]))
    return bases, generator.random(documents) < _DECOYS


def planted(bases: NDArray[np.int64], decoys: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.uint16]:
    """uint16[documents, 112]: copies of the bases, or values that share one band with them."""
    count = len(bases)
    values = bases.astype(np.uint64)[:, None] * np.uint64(_VALUES) + np.arange(_VALUES, dtype=np.uint64)
    values = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(31)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    own = (values >> np.uint64(48)).astype(np.uint16)
    signatures = own.copy()
    places = generator.integers(0, _VALUES, (count, _REPLACED))
    signatures[np.arange(count)[:, None], places] = generator.integers(0, 1 << 16, places.shape, np.uint16)
    rows = np.flatnonzero(decoys)
    kept = own[rows].reshape(-1, _BANDS, _ROWS)
    other = generator.integers(0, 1 << 16, kept.shape, np.uint16)
    band = generator.integers(0, _BANDS, len(rows))
    other[np.arange(len(rows)), band] = kept[np.arange(len(rows)), band]
    signatures[rows] = other.reshape(-1, _VALUES)
    return signatures


def _batch(signatures: NDArray[np.uint16], generator: np.random.Generator) -> pa.RecordBatch:
    """Sidecar rows with random ids of 24 hex digits, as documents have."""
    count = len(signatures)
    digits = _DIGITS[generator.integers(0, 256, (count, 12), np.uint8)].reshape(-1)
    offsets = np.arange(0, 24 * count + 1, 24, dtype=np.int32)
    given = {
        "id": pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(digits)]),
        "signature": pa.Array.from_buffers(pa.binary(2 * _VALUES), count, [None, pa.py_buffer(signatures)]),
        "words": pa.array(generator.integers(50, 2000, count).astype(np.int32)),
        "bytes": pa.array(generator.integers(300, 12_000, count).astype(np.int32)),
        "quality": pa.array(generator.random(count).astype(np.float32)),
    }
    schema = MinHashDedup().sidecar
    return pa.RecordBatch.from_arrays([given[name] for name in schema.names], schema=schema)
