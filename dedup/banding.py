"""Locality-sensitive hashing: which documents may be near-duplicates at all.

A signature is cut into bands of rows. Documents whose values agree in all rows of a band are joined, and documents
joined over any chain are one component (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4). A
pair of similarity s shares a band with probability 1 - (1 - s^rows)^bands. Components only propose: see clusters.py.

The work is cut so that it can be done side by side and out of core:

- **spread** takes some documents, computes their band keys, and writes them to one file, in order of partition: a band
  and a range of keys (`spread`);
- **join** takes some partitions out of all those files and writes pairs of documents with the same key: the first that
  has it, and each other one (`same_keys`). A partition is small enough for a hash table in the processor's cache, so
  nothing is sorted;
- a union-find puts all the pairs together (`Components`).

The same components come out whatever the files, tasks and their order. A key has 40 bits beside its band: among 10^8
documents, about 60,000 pairs are joined by chance, and told apart by their signatures.

A file of keys: int64[3] (1, blocks, partitions), then int64[blocks, partitions + 1] (where each partition of each
block begins, counted in keys), then uint64 keys: 32 bits of the key, and 32 of the document's number.

Disk: 8 bytes for each band of each document. Memory: 4 bytes for each document, and about 60 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numba import int64, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.segmentation import mixed, step

_RANGE_BITS = 8
RANGES = 1 << _RANGE_BITS
"""Ranges of keys of each band. With the band, they name a partition."""
BLOCK_ROWS = 131_072
"""Documents whose keys are put in order of partition together."""
PIECE_KEYS = 4_000_000
"""Keys in memory at a time while partitions are joined."""
MAX_DOCUMENTS = 2**32 - 1

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)  # no document has the number 2^32 - 1
_HEADER = 3
_VERSION = 1


def check_countable(documents: int) -> None:
    """Checks that documents can be numbered.

    Raises:
        UsageError: if there are too many.
    """
    if documents > MAX_DOCUMENTS:
        raise UsageError(
            f"{documents} documents are more than near-duplicate search takes at once ({MAX_DOCUMENTS}); "
            "split the source, for example by crawl"
        )


@dataclass(frozen=True, slots=True)
class Banding:
    """How signatures are cut."""

    bands: int
    rows: int

    @property
    def partitions(self) -> int:
        return self.bands * RANGES


Signatures = Iterable[tuple[NDArray[np.uint16], NDArray[np.bool_]]]
"""Batches of at most BLOCK_ROWS signatures, with the documents that can be joined at all: others only count."""


def spread(banding: Banding, batches: Signatures, first: int, documents: int, stream: IO[bytes]) -> None:
    """Writes a file of keys.

    Args:
        first: number of the first document.
        documents: at most as many come.
    """
    blocks = Blocks(banding, first, documents, stream)
    for signatures, usable in batches:
        blocks.add(signatures, usable)
    blocks.close()


class Blocks:
    """Collects keys of up to BLOCK_ROWS documents, puts them in order, and appends them to a file."""

    def __init__(self, banding: Banding, first: int, documents: int, stream: IO[bytes]) -> None:
        self._banding, self._first, self._stream = banding, first, stream
        blocks = max(1, -(-documents // BLOCK_ROWS))
        self._starts = np.zeros((blocks, banding.partitions + 1), np.int64)
        stream.write(np.array([_VERSION, blocks, banding.partitions], np.int64).data)
        stream.write(self._starts.data)
        size = min(BLOCK_ROWS, documents)
        self._keys = np.empty((banding.bands, size), np.uint64)
        self._usable = np.empty(size, np.bool_)
        self._waiting = self._block = self._written = 0

    def add(self, signatures: NDArray[np.uint16], usable: NDArray[np.bool_]) -> None:
        begin = 0
        while begin < len(signatures):
            end = min(len(signatures), begin + len(self._usable) - self._waiting)
            some = signatures[begin:end]
            band_keys(frozen(some), self._banding.bands, self._banding.rows, self._waiting, self._keys)
            self._usable[self._waiting : self._waiting + len(some)] = usable[begin:end]
            self._waiting += len(some)
            begin = end
            if self._waiting == len(self._usable):
                self._flush()

    def close(self) -> None:
        """Writes what waits, and where everything is."""
        self._flush()
        self._starts[self._block :] = self._written
        self._stream.seek(_HEADER * 8)
        self._stream.write(self._starts.data)

    def _flush(self) -> None:
        if self._waiting == 0:
            return
        elements = np.empty(self._banding.bands * self._waiting, np.uint64)
        starts = self._starts[self._block]
        order_keys(
            frozen(self._keys), frozen(self._usable[: self._waiting]), self._first + self._block * len(self._usable),
            starts, elements,
        )  # fmt: skip
        self._stream.write(elements[: starts[-1]].data)
        starts += self._written
        self._written = int(starts[-1])
        self._block += 1
        self._waiting = 0


def same_keys(banding: Banding, files: Sequence[Path], partitions: range) -> Iterator[NDArray[np.uint32]]:
    """uint32[n, 2] at a time: pairs of documents that have the same key in one of these partitions.

    Raises:
        DamagedRunError: if a file was written for other bands, or is not whole.
    """
    starts, owners = _starts(banding, files, partitions)
    sizes = np.diff(starts, axis=1)
    totals = sizes.sum(axis=0)
    for first, last in _runs(totals, PIECE_KEYS):
        # Several partitions are one piece; one that is larger than a piece comes in several.
        for begin, end in _runs(sizes[:, first:last].sum(axis=1), PIECE_KEYS):
            blocks = starts[begin:end, first : last + 1]
            elements = _loaded(banding, files, owners[begin:end], blocks)
            places = blocks - blocks[:, :1] + np.cumsum([0, *(blocks[:-1, -1] - blocks[:-1, 0])])[:, None]
            for partition in np.flatnonzero(totals[first:last] > 1).tolist():
                if begin == 0:
                    table, used = empty_table(int(totals[first + partition])), 0
                ends = places[:, partition + 1]
                pairs = np.empty((int((ends - places[:, partition]).sum()), 2), np.uint32)
                table, used, found = join_keys(
                    frozen(elements), frozen(places[:, partition]), frozen(ends), table, used, pairs
                )
                yield pairs[:found]


def read_pairs(file: Path) -> Iterator[NDArray[np.uint32]]:
    """The pairs of a file, as `same_keys` gave them, some at a time."""
    with open(file, "rb") as stream:
        while len(pairs := np.fromfile(stream, np.uint32, 2 * PIECE_KEYS)):
            yield pairs.reshape(-1, 2)


def _starts(banding: Banding, files: Sequence[Path], partitions: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the partitions begin and end in each block of each file, and the file of each block."""
    starts, owners = [np.empty((0, len(partitions) + 1), np.int64)], [np.empty(0, np.int64)]
    for number, path in enumerate(files):
        header = np.fromfile(path, np.int64, _HEADER)
        version, blocks, there = header.tolist() if len(header) == _HEADER else (0, 0, 0)
        if (version, there) != (_VERSION, banding.partitions):
            raise DamagedRunError(
                f"{path}: holds band keys of version {version} in {there} partitions, not of version {_VERSION} in "
                f"{banding.partitions}; remove it and run again"
            )
        size, expected = path.stat().st_size, 8 * (_HEADER + blocks * (there + 1))
        if size >= expected:
            table = np.memmap(path, np.int64, "r", _HEADER * 8, (blocks, there + 1))
            expected += 8 * int(table[-1, -1])
        if size != expected:
            raise DamagedRunError(f"{path}: has {size} bytes instead of {expected}; remove it and run again")
        starts.append(np.array(table[:, partitions.start : partitions.stop + 1]))
        owners.append(np.full(blocks, number))
    return np.concatenate(starts), np.concatenate(owners)


def _loaded(
    banding: Banding, files: Sequence[Path], owners: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """The keys of some partitions, block after block."""
    counts = starts[:, -1] - starts[:, 0]
    elements = np.empty(int(counts.sum()), np.uint64)
    place = 0
    for owner in np.unique(owners).tolist():
        blocks = np.flatnonzero(owners == owner)
        with open(files[owner], "rb") as stream:
            header = np.fromfile(stream, np.int64, _HEADER)
            base = 8 * (_HEADER + int(header[1]) * (banding.partitions + 1))
            for block in blocks.tolist():
                stream.seek(base + 8 * int(starts[block, 0]))
                count = int(counts[block])
                elements[place : place + count] = np.fromfile(stream, np.uint64, count)
                place += count
    return elements


def _runs(sizes: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Cuts items into runs of at most `most` together; one that is larger is a run of its own."""
    begin, total = 0, 0
    for place, size in enumerate(sizes.tolist()):
        if place > begin and total + size > most:
            yield begin, place
            begin, total = place, 0
        total += size
    if begin < len(sizes):
        yield begin, len(sizes)


class Components:
    """Documents joined over any chain of pairs."""

    def __init__(self, documents: int) -> None:
        self._parents = np.arange(documents, dtype=np.uint32)

    def join(self, pairs: NDArray[np.uint32]) -> None:
        unite(frozen(pairs), self._parents)

    def members(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Documents that are joined with another, ascending, and the least document of each one's component."""
        members = np.empty(len(self._parents), np.uint32)
        count = find_members(self._parents, members)
        found = members[:count].copy()
        return found, self._parents[found]


@inlined
def band_key(signature: NDArray[np.uint16], band: int, rows: int) -> np.uint64:
    """64-bit hash of the values of one band, and of the band's number."""
    value = uint64(band + 1)
    row, end = uint64(band * rows), uint64((band + 1) * rows)
    while row + uint64(4) <= end:  # one load
        block = uint64(signature[row]) | uint64(signature[row + uint64(1)]) << uint64(16)
        block |= uint64(signature[row + uint64(2)]) << uint64(32) | uint64(signature[row + uint64(3)]) << uint64(48)
        value = step(value, block)
        row += uint64(4)
    while row < end:
        value = step(value, uint64(signature[row]))
        row += uint64(1)
    return mixed(value)


@kernel
def band_keys(signatures: NDArray[np.uint16], bands: int, rows: int, at: int, keys: NDArray[np.uint64]) -> None:
    """Writes the keys of each signature to `keys[band, at:]`."""
    for document in range(signatures.shape[0]):
        for band in range(bands):
            keys[band, at + document] = band_key(signatures[document], band, rows)


@kernel
def order_keys(
    keys: NDArray[np.uint64],
    usable: NDArray[np.bool_],
    first: int,
    starts: NDArray[np.int64],
    elements: NDArray[np.uint64],
) -> None:
    """Puts the keys of usable documents in order of partition, with the documents' numbers; says where each begins.

    The partition of a key is its band and its highest bits; the next 32 bits are kept.
    """
    places = np.empty(RANGES, np.int64)
    total = 0
    for band in range(keys.shape[0]):
        places[:] = 0
        for row in range(usable.shape[0]):
            places[keys[band, row] >> uint64(64 - _RANGE_BITS)] += int64(usable[row])
        for part in range(RANGES):
            starts[band * RANGES + part] = total
            total, places[part] = total + places[part], total
        for row in range(usable.shape[0]):
            if usable[row]:
                key = keys[band, row]
                part = key >> uint64(64 - _RANGE_BITS)
                kept = (key >> uint64(32 - _RANGE_BITS)) & uint64(0xFFFFFFFF)
                elements[places[part]] = (kept << uint64(32)) | uint64(first + row)
                places[part] += 1
    starts[keys.shape[0] * RANGES] = total


@kernel
def join_keys(
    elements: NDArray[np.uint64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    table: NDArray[np.uint64],
    used: int,
    pairs: NDArray[np.uint32],
) -> tuple[NDArray[np.uint64], int, int]:
    """Looks up the keys of some slices of `elements` in an open hash table, which holds the first document of each key.

    Writes a pair of documents for each key that is there, and takes the others in. Returns the table, how many slots
    of it are used, and the number of pairs.
    """
    found = 0
    for piece in range(begins.shape[0]):
        index = begins[piece]
        while index < ends[piece]:
            if 2 * used >= table.shape[0]:
                table = _grown(table)
            index, used, found = _take_in(elements, index, ends[piece], table, used, pairs, found)
    return table, used, found


# A kernel of its own: where the table may be replaced, numba counts its owners at every look into it.
@kernel
def _take_in(
    elements: NDArray[np.uint64],
    index: int,
    end: int,
    table: NDArray[np.uint64],
    used: int,
    pairs: NDArray[np.uint32],
    found: int,
) -> tuple[int, int, int]:
    """Goes on until the table is half full; returns the place reached, the slots used and the pairs found."""
    while index < end and 2 * used < table.shape[0]:
        slot = _slot(table, elements[index])
        if table[slot] == _EMPTY:
            table[slot] = elements[index]
            used += 1
        else:
            pairs[found, 0], pairs[found, 1] = uint32(table[slot]), uint32(elements[index])
            found += 1
        index += 1
    return index, used, found


def empty_table(keys: int) -> NDArray[np.uint64]:
    """A hash table for up to `keys` keys; it grows where a partition has many that differ."""
    return np.full(1 << max(4, (2 * min(keys, PIECE_KEYS)).bit_length()), _EMPTY, np.uint64)


@inlined
def _slot(table: NDArray[np.uint64], element: np.uint64) -> np.uint64:
    """Where the key of `element` stands, or the empty slot where it would."""
    mask = uint64(table.shape[0] - 1)
    key = element >> uint64(32)
    slot = key & mask
    while table[slot] != _EMPTY and table[slot] >> uint64(32) != key:
        slot = (slot + uint64(1)) & mask
    return slot


@kernel
def _grown(table: NDArray[np.uint64]) -> NDArray[np.uint64]:
    larger = np.full(2 * table.shape[0], _EMPTY, np.uint64)
    for slot in range(table.shape[0]):
        if table[slot] != _EMPTY:
            larger[_slot(larger, table[slot])] = table[slot]
    return larger


@kernel
def unite(pairs: NDArray[np.uint32], parents: NDArray[np.uint32]) -> None:
    """Joins the documents of each pair. The root of a component is its least document."""
    for pair in range(pairs.shape[0]):
        one, two = root(parents, pairs[pair, 0]), root(parents, pairs[pair, 1])
        if one < two:
            parents[two] = one
        else:
            parents[one] = two


@inlined
def root(parents: NDArray[np.uint32], document: np.uint32) -> np.uint32:
    """The least document of a component, or of the part of it that has been put together so far."""
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
        least = parents[parents[document]]
        parents[document] = least
        if least != document:
            alone[least] = alone[document] = False
    count = 0
    for document in range(parents.shape[0]):
        if not alone[document]:
            members[count] = uint32(document)
            count += 1
    return count
