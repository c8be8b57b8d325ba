"""Locality-sensitive hashing: which documents may be near-duplicates at all.

A signature is cut into bands of rows. Documents whose values agree in all rows of a band are joined, and documents
joined over any chain are one component (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4). A
pair of similarity s shares a band with probability 1 - (1 - s^rows)^bands. Components only propose: see clusters.py.

Band keys do not stay in memory. They go to files, one for each band and range of keys (radix partitions), and each file
is sorted by itself: 168 bytes of disk for each document at 14 bands; in memory 5 bytes for each document, and 80 MB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import UsageError
from corpusmill.documents.segmentation import mixed, step

PARTITION_ROWS = 2_000_000
"""Keys of one file, about: what is sorted at a time."""
_MAX_DOCUMENTS = 2**32 - 1


class Bands:
    """Collects the band keys of signatures, then joins documents that share one.

    Args:
        documents: how many will be added, at most; sets the number of partitions, which no result depends on.
    """

    def __init__(self, bands: int, rows: int, *, documents: int, folder: Path) -> None:
        if documents > _MAX_DOCUMENTS:
            raise UsageError(
                f"{documents} documents are more than near-duplicate search takes at once ({_MAX_DOCUMENTS}); "
                "split the source, for example by crawl"
            )
        self._bands, self._rows = bands, rows
        self._radix_bits = max(0, (documents - 1) // PARTITION_ROWS).bit_length()
        self._folder = folder
        self._documents = 0

    def add(self, signatures: NDArray[np.uint16], usable: NDArray[np.bool_]) -> None:
        """Takes the next documents in; those that are not `usable` are counted but share no band with any."""
        partitions = self._bands << self._radix_bits
        size = len(signatures) * self._bands
        ends, keys, documents = np.zeros(partitions, np.int64), np.empty(size, np.uint64), np.empty(size, np.uint32)
        spread_keys(
            frozen(signatures), frozen(usable), self._documents, self._bands, self._rows, self._radix_bits,
            ends, keys, documents,
        )  # fmt: skip
        begin = 0
        for partition, end in enumerate(ends.tolist()):
            if end > begin:
                for kind, values in (("keys", keys), ("documents", documents)):
                    with open(self._folder / f"{partition}.{kind}", "ab") as stream:
                        stream.write(values[begin:end].data)
            begin = end
        self._documents += len(signatures)

    def components(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Documents that share a band with another, ascending, and the least document of each one's component."""
        parents = np.arange(self._documents, dtype=np.uint32)
        for partition in range(self._bands << self._radix_bits):
            keys_file, documents_file = (self._folder / f"{partition}.{kind}" for kind in ("keys", "documents"))
            if not keys_file.exists():
                continue
            keys, documents = np.fromfile(keys_file, np.uint64), np.fromfile(documents_file, np.uint32)
            order = np.argsort(keys)
            unite(frozen(keys[order]), frozen(documents[order]), parents)
            keys_file.unlink()
            documents_file.unlink()
        members = np.empty(self._documents, np.uint32)
        count = find_members(parents, members)
        return members[:count], parents[members[:count]]


@inlined
def band_key(signature: NDArray[np.uint16], band: int, rows: int) -> np.uint64:
    """64-bit hash of the values of one band, and of the band's number."""
    value = uint64(band + 1)
    for row in range(band * rows, (band + 1) * rows):
        value = step(value, uint64(signature[row]))
    return mixed(value)


@kernel
def spread_keys(
    signatures: NDArray[np.uint16],
    usable: NDArray[np.bool_],
    first_document: int,
    bands: int,
    rows: int,
    radix_bits: int,
    ends: NDArray[np.int64],
    keys: NDArray[np.uint64],
    documents: NDArray[np.uint32],
) -> None:
    """Writes all band keys and their documents, partition after partition; `ends` says where each partition ends.

    The partition of a key is its band and its `radix_bits` highest bits.
    """
    unordered = np.empty((bands, signatures.shape[0]), np.uint64)
    for row in range(signatures.shape[0]):
        if usable[row]:
            for band in range(bands):
                key = band_key(signatures[row], band, rows)
                unordered[band, row] = key
                ends[_partition(key, band, radix_bits)] += 1
    total = 0
    for partition in range(ends.shape[0]):
        total, ends[partition] = total + ends[partition], total
    for band in range(bands):
        for row in range(signatures.shape[0]):
            if usable[row]:
                key = unordered[band, row]
                partition = _partition(key, band, radix_bits)
                keys[ends[partition]] = key
                documents[ends[partition]] = first_document + row
                ends[partition] += 1


@inlined
def _partition(key: np.uint64, band: int, radix_bits: int) -> int:
    # A shift by 64 is undefined, so the first bit goes separately.
    return (band << radix_bits) + int((key >> uint64(1)) >> uint64(63 - radix_bits))


@kernel
def unite(keys: NDArray[np.uint64], documents: NDArray[np.uint32], parents: NDArray[np.uint32]) -> None:
    """Joins the documents of equal neighbouring keys. The root of a component is its least document."""
    for index in range(1, keys.shape[0]):
        if keys[index] == keys[index - 1]:
            one, two = _root(parents, documents[index - 1]), _root(parents, documents[index])
            if one < two:
                parents[two] = one
            else:
                parents[one] = two


@inlined
def _root(parents: NDArray[np.uint32], document: np.uint32) -> np.uint32:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@kernel
def find_members(parents: NDArray[np.uint32], members: NDArray[np.uint32]) -> int:
    """Points each document at its root, and lists those that are not alone; returns their number."""
    alone = np.ones(parents.shape[0], np.bool_)
    for document in range(parents.shape[0]):
        # The root is never behind, so it has been settled when its documents come.
        root = parents[parents[document]]
        parents[document] = root
        if root != document:
            alone[root] = alone[document] = False
    count = 0
    for document in range(parents.shape[0]):
        if not alone[document]:
            members[count] = uint32(document)
            count += 1
    return count
