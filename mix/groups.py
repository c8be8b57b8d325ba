"""Groups of near-duplicates over all sources of a mix, so that a split takes all of a group or none of it.

A group is a connected component: documents joined over any chain of similar pairs, whatever their sources. Where one
revision of a page follows the other, all of them are one group, though the first is unlike the last. (Deduplication
makes stars instead, dedup/clusters.py: there, a chain would remove too much. Here it only decides what stays together.)

A pair is similar when its MinHash signatures (dedup/signatures.py; 112 values over 5-grams of words) share one of 28
bands of 4 values, and agree in LEAST_AGREEMENT values. So the chance that a pair is joined directly is, by its Jaccard
similarity (the probability of a common band, times the binomial one of enough agreement):

    .80    1.0000        .65    .85        .50    .012
    .75     .9997        .60    .47        .45    .0004
    .70     .986         .55    .12        .40    .000004

FineWeb's 14 bands of 8 would see .77 of the pairs at .75. That is enough to thin a corpus out, and not to keep a
validation set apart from it. Bands alone would glue templates together: with them, documents that have a third of
their 5-grams in common often share one. They are told apart by their signatures. Templates that make up half of their
documents are one group.

Not promised: that an excerpt is in the group of its book (Jaccard similarity is low there), nor that a pair is found
among thousands of documents which share its bands and are not like it: of those that share a band, each is compared
with the next WINDOW in the order of the values that follow.

Words count as they do for shingles (dedup/shingles.py): case, diacritics and punctuation do not matter. A document with
fewer than five of them is in one group with those of the same words; one without any, with those of the same text.

The steps, each a function on files that any worker can do:

    sketch_part   a task for each curated part: the signature of each document, from its text
    assemble      one task: all sketches in one file of signatures and one of band keys
    join_bands    a task for some bands: pairs that are similar, as few as join what is to be joined
    write_groups  one task: the components

or the last three in one go, `find_groups`. Documents are numbered by the order of their id hashes, and everything is
done in that order: the groups depend on neither workers nor parts nor their order. Two documents of one id are in one
group.

A sketch, row for row beside its part:

    id_hash    uint64, not null    mix/keys.py
    signature  fixed_size_binary[224], not null

Groups, sorted by id_hash; documents that are alone have no row:

    id_hash     uint64, not null
    group_hash  uint64, not null    the smallest id_hash of the group

Memory: `sketch_part` and `assemble` a batch; `join_bands` and `write_groups` 25 bytes for each document; the signatures
are mapped. Disk: 224 bytes for each document in its sketch, and 344 more until the groups stand. Ten million of them,
a third of them near-duplicates or of one template: 23 CPU seconds from sketches to groups, 475 MB at the most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.dedup.banding import Components, check_countable, read_pairs, root
from corpusmill.dedup.candidates import signature_values
from corpusmill.dedup.clusters import agreement
from corpusmill.dedup.shingles import Shingles, shingles_of
from corpusmill.dedup.signatures import VALUE_BYTES, signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import Shard, atomic_file, read_batches, write_table
from corpusmill.mix.keys import id_hashes

BANDS, ROWS = 28, 4
VALUES = BANDS * ROWS
"""Of a signature."""
LEAST_AGREEMENT = 68
"""Values, of 112, in which the signatures of similar documents agree: .61 of them, as three standard errors below a
similarity of .75 lie at .63 and of .70 at .57. Higher values lose pairs (at 73, one of 130 at .75), lower ones glue
templates together (at 62, one pair in eight at .50)."""
WINDOW = 32
"""Documents behind each one of the same band key that it is compared with."""
PIECE_KEYS = 4_000_000
"""Keys that are put in order at a time, about."""

SKETCH = pa.schema(
    [
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("signature", pa.binary(VALUE_BYTES * VALUES), nullable=False),
    ]
)
GROUPS = pa.schema(
    [pa.field("id_hash", pa.uint64(), nullable=False), pa.field("group_hash", pa.uint64(), nullable=False)]
)

_NGRAM = 5
_SEED = 0
_BATCH_ROWS = 1024
_ROW_GROUP_ROWS = 1 << 16
_KEY_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: odd, near 2^64 / golden ratio
_WINDOW, _LEAST_AGREEMENT = WINDOW, LEAST_AGREEMENT
_HASHES, _SIGNATURES, _KEYS = "id_hashes.bin", "signatures.bin", "keys.bin"


@dataclass(frozen=True, kw_only=True)
class GroupCounts:
    """What came of the search.

    documents  with different ids
    grouped    not alone
    groups     of two documents or more
    largest    documents of the largest group
    """

    documents: int
    grouped: int
    groups: int
    largest: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def sketch_part(part: Path, out: Path) -> Shard:
    """Writes the sketch of one curated part.

    Raises:
        StorageError: if the disk is full.
    """
    with pq.ParquetFile(part) as file:
        batches = (sketch(TextBatch(batch)) for batch in read_batches(file, _BATCH_ROWS, ["id", "text"]))
        return write_table(out, batches, SKETCH, row_group_rows=_ROW_GROUP_ROWS, compression="none")


def sketch(batch: TextBatch) -> pa.RecordBatch:
    """The rows of SKETCH of a batch with `id` and `text`, for those who have read the text anyway."""
    shingles = shingles_of(batch, _NGRAM, False)
    signatures = signatures_of(shingles, VALUES, _SEED, 64)
    wordless = np.flatnonzero(shingles.words == 0)
    if len(wordless):
        texts, _ = batch.document_hashes
        whole = Shingles(
            frozen(np.arange(len(wordless) + 1, dtype=np.int32)), frozen(texts[wordless]), shingles.words[wordless]
        )
        signatures[wordless] = signatures_of(whole, VALUES, _SEED, 64)
    stored = pa.py_buffer(signatures.astype("<u2", copy=False))
    columns = [
        pa.array(id_hashes(batch.documents.column("id"))),
        pa.Array.from_buffers(SKETCH.field("signature").type, len(batch), [None, stored]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SKETCH)


def find_groups(sketches: Sequence[Path], out: Path, workspace: Path) -> GroupCounts:
    """Writes the groups of all documents of these sketches.

    Args:
        workspace: a folder for what is needed meanwhile; nothing of it is left.

    Raises:
        DamagedRunError: if a file is no sketch.
        UsageError: if there are more documents than can be numbered.
        StorageError: if the disk is full.
    """
    folder, pairs = workspace / "assembled", workspace / "pairs.bin"
    assemble(sketches, folder)
    join_bands(folder, range(BANDS), pairs)
    counts = write_groups(folder, [pairs], out)
    for path in (pairs, *folder.iterdir()):
        path.unlink()
    folder.rmdir()
    return counts


def assemble(sketches: Sequence[Path], folder: Path) -> None:
    """Writes what `join_bands` and `write_groups` read, in the order of the sketches.

    id_hashes.bin   uint64[documents]
    signatures.bin  uint16[documents, 112]
    keys.bin        uint32[28, documents]   a hash of each band's values

    Raises:
        DamagedRunError, UsageError, StorageError: as `find_groups`.
    """
    documents = sum(_rows_of(path) for path in sketches)
    check_countable(documents)
    first = 0
    with (
        atomic_file(folder / _HASHES) as hashes,
        atomic_file(folder / _SIGNATURES) as signatures,
        atomic_file(folder / _KEYS) as keys,
    ):
        for path in sketches:
            with pq.ParquetFile(path) as file:
                for batch in read_batches(file, _ROW_GROUP_ROWS):
                    values = signature_values(batch.column("signature"), VALUES)
                    hashes.write(batch.column("id_hash").to_numpy().data)
                    signatures.write(values.data)
                    for band, own in enumerate(_band_keys(values)):
                        keys.seek(4 * (band * documents + first))
                        keys.write(own.data)
                    first += len(values)


def join_bands(folder: Path, bands: range, out: Path) -> None:
    """Writes pairs of similar documents, by their numbers; dedup/banding.py reads them (`read_pairs`).

    Raises:
        StorageError: if the disk is full.
    """
    order = _numbered(np.fromfile(folder / _HASHES, np.uint64))
    parents = np.arange(len(order), dtype=np.uint32)
    with atomic_file(out) as stream:
        if len(order) == 0:  # an empty file cannot be mapped
            return
        signatures = np.memmap(folder / _SIGNATURES, np.uint16, "r").reshape(-1, VALUES)
        for band in bands:
            keys = np.memmap(folder / _KEYS, np.uint32, "r", 4 * band * len(order), (len(order),))[order]
            for bucketed in _buckets(keys):
                _bring_likely_pairs_together(bucketed, order, signatures, band)
                pairs = np.empty((len(bucketed), 2), np.uint32)
                count = join_similar(frozen(bucketed), frozen(order), frozen(signatures), parents, pairs)
                stream.write(pairs[:count].data)


def write_groups(folder: Path, pairs: Sequence[Path], out: Path) -> GroupCounts:
    """Puts the pairs of all bands together and writes the groups.

    Raises:
        StorageError: if the disk is full.
    """
    hashes = np.fromfile(folder / _HASHES, np.uint64)
    hashes.sort()
    components = Components(len(hashes))
    for path in pairs:
        for some in read_pairs(path):
            components.join(some)
    same = np.flatnonzero(hashes[1:] == hashes[:-1]).astype(np.uint32)
    components.join(np.column_stack([same, same + np.uint32(1)]))
    members, least = components.members()
    first = np.ones(len(members), np.bool_)
    first[1:] = hashes[members[1:]] != hashes[members[:-1]]
    members, least = members[first], least[first]
    sizes = np.bincount(least, minlength=len(hashes))
    together = sizes[least] > 1
    members, least = members[together], least[together]
    sizes = sizes[sizes > 1]
    found = pa.RecordBatch.from_arrays([pa.array(hashes[members]), pa.array(hashes[least])], schema=GROUPS)
    write_table(out, [found], GROUPS, row_group_rows=_ROW_GROUP_ROWS)
    return GroupCounts(
        documents=len(hashes) - len(same),
        grouped=len(members),
        groups=len(sizes),
        largest=int(sizes.max(initial=1 if len(hashes) else 0)),
    )


def look_up(groups: Path, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The group hash of each document by its id hash; of one that is alone, the id hash itself."""
    status = groups.stat()
    members, group_hashes = _groups_of(groups, status.st_size, status.st_mtime_ns)
    if len(members) == 0:
        return hashes.copy()
    places = np.minimum(np.searchsorted(members, hashes), len(members) - 1)
    return np.where(members[places] == hashes, group_hashes[places], hashes)


@lru_cache(maxsize=2)
def _groups_of(path: Path, size: int, changed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Kept, since a worker looks up the documents of many parts."""
    table = pq.read_table(path)
    return table.column("id_hash").to_numpy(), table.column("group_hash").to_numpy()


def _rows_of(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(SKETCH):
            raise DamagedRunError(f"{path}: is no sketch of {VALUES} values a document; remove it and run again")
        return file.metadata.num_rows


def _band_keys(values: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """uint32[28, documents]. Two bands that differ share a key once in 2^32; signatures tell them apart."""
    codes = np.ascontiguousarray(values.view(np.uint64).T)
    return ((codes * _KEY_MULTIPLIER) >> np.uint64(32)).astype(np.uint32)


def _numbered(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The row of each document by its number."""
    return np.argsort(hashes, kind="stable").astype(np.uint32)


def _buckets(keys: NDArray[np.uint32]) -> Iterator[NDArray[np.uint64]]:
    """Documents that share a key with another, sorted by key and then number, each as 32 bits of both; in pieces that
    cut no bucket."""
    bits = max(0, (len(keys) // PIECE_KEYS).bit_length())
    ranges = keys >> np.uint32(32 - bits) if bits else np.zeros(len(keys), np.uint32)
    for piece in range(1 << bits):
        numbers = np.flatnonzero(ranges == piece).astype(np.uint64)
        packed = keys[numbers].astype(np.uint64) << np.uint64(32) | numbers
        packed.sort()
        same = _same_key(packed)
        yield packed[np.append(same, False) | np.insert(same, 0, False)] if len(packed) else packed


def _same_key(packed: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each document, but the last, has the key of the next."""
    keys = packed >> np.uint64(32)
    return keys[1:] == keys[:-1]


def _bring_likely_pairs_together(
    packed: NDArray[np.uint64], order: NDArray[np.uint32], signatures: NDArray[np.uint16], band: int
) -> None:
    """Orders the documents of each bucket that is larger than the window by their values in the next two bands."""
    starts = np.flatnonzero(np.insert(~_same_key(packed), 0, True)) if len(packed) else np.zeros(0, np.int64)
    sizes = np.diff(starts, append=len(packed))
    large = np.repeat(sizes > WINDOW + 1, sizes)
    crowded = packed[large]
    rows = order[crowded & np.uint64(0xFFFFFFFF)]
    codes = signatures.view(np.uint64)
    nearest, near = (codes[rows, (band + ahead) % BANDS] for ahead in (1, 2))
    packed[large] = crowded[np.lexsort((crowded, near, nearest, crowded >> np.uint64(32)))]


@kernel
def join_similar(
    packed: NDArray[np.uint64],
    order: NDArray[np.uint32],
    signatures: NDArray[np.uint16],
    parents: NDArray[np.uint32],
    pairs: NDArray[np.uint32],
) -> int:
    """Compares each document with the next ones of its key, and joins those that are similar and not yet joined.

    Args:
        packed: key and number of documents, bucket after bucket.
        order: the row in `signatures` of each number.
        parents: of all numbers, as dedup/banding.py has them.
        pairs: takes what is joined.

    Returns:
        The number of pairs.
    """
    count = 0
    for place in range(packed.shape[0]):
        one = uint32(packed[place])
        end = min(packed.shape[0], place + 1 + _WINDOW)
        for other in range(place + 1, end):
            if packed[other] >> uint64(32) != packed[place] >> uint64(32):
                break
            two = uint32(packed[other])
            first, second = root(parents, one), root(parents, two)
            if first == second:
                continue
            if agreement(signatures[order[one]], signatures[order[two]]) >= _LEAST_AGREEMENT:
                pairs[count, 0], pairs[count, 1] = one, two
                count += 1
                parents[max(first, second)] = min(first, second)
    return count
