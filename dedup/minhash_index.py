"""The index of near-duplicates: signatures of what earlier runs kept, with their band keys in order.

A part (index.py) of n documents with words has these arrays:

    signatures    uint16[n, permutations]
    sizes         int32[n]          different shingles
    order         uint64[n]         hash of the id; among documents that are equally similar the lower one counts
    keys          uint64[bands, n]  the band keys of each band, ascending
    rows          uint32[bands, n]  whose they are; equal keys in `order`
    shingle_ends  int64[n + 1]      the different shingles of document d are shingles[shingle_ends[d] :
    shingles      uint32[]          shingle_ends[d + 1]], ascending, 32 bits of the hash of each

The last two are there unless the stage says `index_shingles: false`. A document is compared with those that share a
band with it, as within a source (clusters.py): signatures settle what is clear, shingles what is near the threshold. In
a part without shingles the signatures' estimate settles all: a pair counts from `min_similarity` on.

Differs from the comparison within a source: of each shingle 32 bits are compared instead of 64 (two sets of 1,000
shingles have one in common by chance in 4,300 pairs of sets); and where a key has more than PER_KEY documents
in a part, a document meets the first PER_KEY of them in `order`, for each of its bands.

Cost: keys are joined by galloping, a batch of documents at a time, over mapped files, so that memory does not grow with
the index; a document costs at most bands * PER_KEY comparisons of signatures in each part, and CANDIDATES of sets.
A million copies of a template cost a million times that, on either side. Disk: 2 * permutations + 12 * bands + 12 bytes
for each document (404 at 112 permutations and 14 bands), 4 for each different shingle, its id and its address.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import int32, uint32, uint64
from numpy.typing import NDArray

from corpusmill.dedup.banding import band_keys
from corpusmill.dedup.candidates import signature_values
from corpusmill.dedup.clusters import Verification, agreement, agreement_limits, containment_of, least_jaccard
from corpusmill.dedup.index import Form, IndexPart, PartWriter
from corpusmill.dedup.key_join import find_keys
from corpusmill.dedup.seeking import MATCHES, check_parts, of_parts
from corpusmill.dedup.shingles import Shingles, shared_values, shingles_of
from corpusmill.documents.barrier import ReadTexts
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.ids import IdIndex, id_hashes, repeated_id, whole_ids
from corpusmill.documents.sidecars import Sidecars, observed_twice

KIND = "minhash"
PER_KEY = 128
"""Among 20,000 pages of one template, 32 found .948 of documents of similarity .85, 128 .955, 512 .975, all .989."""
CANDIDATES = 8
"""Of a document: those most alike by signature, over all parts."""
SHINGLES = pa.field("shingle_set", pa.list_(pa.uint32()), nullable=False)
"""Column of a sidecar: a document's different shingles, ascending, 32 bits of each."""
_SORTED_KEYS = 4_000_000  # sorted at a time
_BATCH_ROWS = 65_536
_BATCH_SHINGLES = 32_000_000  # 128 MB; of pages of 400 words, _BATCH_ROWS have fewer


@dataclass(frozen=True, kw_only=True)
class MinHashParameters:
    """How signatures and their bands are made."""

    ngram: int
    fold_numbers: bool
    permutations: int
    seed: int
    hash_bits: int
    bands: int
    rows: int
    version: int
    """Of the stage."""

    @property
    def form(self) -> Form:
        return Form.of(KIND, {name: getattr(self, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class ShortSets:
    """Sets of shingles by 32 bits of each; that of document d is `values[ends[d] : ends[d + 1]]`, ascending."""

    ends: NDArray[np.int64]
    values: NDArray[np.uint32]

    @classmethod
    def of(cls, shingles: Shingles) -> ShortSets:
        values, ends = np.empty(len(shingles.hashes), np.uint32), np.zeros(len(shingles.words) + 1, np.int64)
        count = shorten_sets(shingles.firsts, shingles.hashes, values, ends)
        return cls(frozen(ends), frozen(values[:count]))

    @classmethod
    def of_column(cls, column: pa.ListArray) -> ShortSets:
        offsets = column.offsets.to_numpy().astype(np.int64)
        return cls(frozen(offsets - offsets[0]), frozen(column.flatten().to_numpy()))

    @classmethod
    def of_part(cls, part: IndexPart) -> ShortSets:
        return cls(frozen(part.array("shingle_ends")), frozen(part.array("shingles")))

    def column(self) -> pa.ListArray:
        """As the values of SHINGLES."""
        return pa.ListArray.from_arrays(pa.array(self.ends, pa.int32()), pa.array(self.values)).cast(SHINGLES.type)

    @property
    def sizes(self) -> NDArray[np.int32]:
        return np.diff(self.ends).astype(np.int32)

    def similarities(
        self, part: IndexPart, own: NDArray[np.int64], rows: NDArray[np.int64], *, contained: bool
    ) -> NDArray[np.float64]:
        """Jaccard similarity, or containment of the smaller, of pairs of sets: these by number, and rows of a part.

        Raises:
            InputError: if the part cannot have these sets.
        """
        others = ShortSets.of_part(part)
        begins, ends = others.ends[rows], others.ends[rows + 1]
        if len(rows) and not (begins.min() >= 0 and (begins <= ends).all() and ends.max() <= len(others.values)):
            raise part.damaged("shingle_ends", f"has bounds that are out of order, or beyond {len(others.values):,}")
        shared = np.empty(len(own), np.int64)
        count_shared(self.ends, self.values, others.ends, others.values, frozen(own), frozen(rows), shared)
        one, two = self.ends[own + 1] - self.ends[own], ends - begins
        whole = np.minimum(one, two) if contained else one + two - shared
        similarities: NDArray[np.float64] = shared / np.maximum(whole, 1)
        return similarities


def write_minhash_part(writer: PartWriter, rows: Sidecars, parameters: MinHashParameters, *, shingles: bool) -> None:
    """Writes the rows of sidecars into a part. Documents without words are like none, and are left out.

    Args:
        shingles: whether the sidecars have the column SHINGLES; otherwise they have `shingles`, the number of different
            ones.
    """
    size_column = SHINGLES.name if shingles else "shingles"
    with ExitStack() as files:
        documents = files.enter_context(writer.documents())
        signatures = files.enter_context(writer.array("signatures", "uint16", [parameters.permutations]))
        sizes = files.enter_context(writer.array("sizes", "int32"))
        order = files.enter_context(writer.array("order", "uint64"))
        if shingles:
            values = files.enter_context(writer.array("shingles", "uint32"))
            ends = files.enter_context(writer.array("shingle_ends", "int64"))
            ends.add(np.zeros(1, np.int64))
        total = 0
        for batch in rows.batches(["signature", "words", "source", "url", size_column]):
            spoken = batch.filter(pa.array(batch.column("words").to_numpy() > 0))
            documents.add(spoken)
            signatures.add(signature_values(spoken.column("signature"), parameters.permutations))
            order.add(id_hashes(spoken.column("id"))[0])
            if shingles:
                sets = ShortSets.of_column(spoken.column(size_column))
                sizes.add(sets.sizes)
                values.add(sets.values)
                ends.add(total + sets.ends[1:])
                total += int(sets.ends[-1])
            else:
                sizes.add(spoken.column(size_column).to_numpy())
    _write_keys(writer, parameters)


def _write_keys(writer: PartWriter, parameters: MinHashParameters) -> None:
    """Writes `keys` and `rows`. Keys go to a file for each band and range of keys first, and each is sorted by itself:
    about 120 MB of memory, however many there are."""
    signatures = writer.mapped("signatures")
    order = frozen(writer.mapped("order"))
    radix_bits = max(0, (len(order) - 1) // _SORTED_KEYS).bit_length()
    workspace = writer.folder / "workspace"
    workspace.mkdir()
    for begin in range(0, len(signatures), _BATCH_ROWS):
        some = frozen(signatures[begin : begin + _BATCH_ROWS])
        keys = np.empty((parameters.bands, len(some)), np.uint64)
        band_keys(some, parameters.bands, parameters.rows, 0, keys)
        documents = np.arange(begin, begin + len(some), dtype=np.uint32)
        for band in range(parameters.bands):
            _append_by_range(workspace, band, radix_bits, keys[band], documents)
    with writer.array("keys", "uint64") as all_keys, writer.array("rows", "uint32") as all_rows:
        for band in range(parameters.bands):
            for place in range(1 << radix_bits):
                keys_file, rows_file = (workspace / f"{band}-{place}.{kind}" for kind in ("keys", "rows"))
                if keys_file.exists():
                    found, owners = np.fromfile(keys_file, np.uint64), np.fromfile(rows_file, np.uint32)
                    ascending = np.argsort(found)
                    found, owners = found[ascending], owners[ascending]
                    order_equal_keys(frozen(found), order, owners)
                    all_keys.add(found)
                    all_rows.add(owners)
    shutil.rmtree(workspace)


def _append_by_range(
    workspace: Path, band: int, radix_bits: int, keys: NDArray[np.uint64], documents: NDArray[np.uint32]
) -> None:
    """Appends keys and their documents to the files of a band, by the highest `radix_bits` of the key."""
    # A shift by 64 is undefined, so the first bit goes separately.
    places = (keys >> np.uint64(1)) >> np.uint64(63 - radix_bits)
    ascending = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[ascending], np.arange((1 << radix_bits) + 1, dtype=np.uint64))
    for place, (begin, end) in enumerate(pairwise(bounds.tolist())):
        for kind, values in (("keys", keys), ("rows", documents)) if end > begin else ():
            with open(workspace / f"{band}-{place}.{kind}", "ab") as stream:
                stream.write(values[ascending[begin:end]].data)


PROPOSALS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of a document here; its rows stand together, the likest first
        pa.field("part", pa.int32(), nullable=False),  # which of the parts it was compared with
        pa.field("row", pa.int64(), nullable=False),  # of the document there
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("settled", pa.bool_(), nullable=False),  # False: an estimate that proves nothing
    ]
)


def seek_minhash(
    rows: Sidecars,
    parts: Sequence[IndexPart],
    parameters: MinHashParameters,
    verification: Verification,
    *,
    shingles: bool,
) -> pa.Table:
    """Rows of PROPOSALS: documents in the parts that are like those of sidecars, or may be.

    Args:
        shingles: whether the sidecars have the column SHINGLES: then all is settled here.
    """
    found = [PROPOSALS.empty_table()]
    columns = ["signature", "words"]
    columns += [SHINGLES.name] if shingles else ["shingles"] if verification.contained else []
    for batch in _gathered(rows.batches(columns), _BATCH_ROWS) if parts else ():
        sets = ShortSets.of_column(batch.column(SHINGLES.name)) if shingles else None
        if sets is not None:
            sizes = sets.sizes
        elif verification.contained:
            sizes = batch.column("shingles").to_numpy()
        else:
            sizes = np.zeros(batch.num_rows, np.int32)
        asked = Asked(
            signature_values(batch.column("signature"), parameters.permutations),
            sizes,
            batch.column("words").to_numpy() > 0,
        )
        proposed = candidates(asked, parts, parameters, verification, most=CANDIDATES, per_key=PER_KEY).reduced()
        if sets is not None:
            proposed = proposed.proved(sets, parts, verification).reduced()
        found.append(proposed.table(batch.column("id")))
    return of_parts(pa.concat_tables(found), parts)


def _gathered(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least so many, or of _BATCH_SHINGLES: of keys sought together, fewer pages are
    read twice."""
    waiting: list[pa.RecordBatch] = []
    waiting_rows = waiting_shingles = 0
    for batch in batches:
        waiting.append(batch)
        waiting_rows += batch.num_rows
        waiting_shingles += _shingle_count(batch)
        if waiting_rows >= rows or waiting_shingles >= _BATCH_SHINGLES:
            yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
            waiting, waiting_rows, waiting_shingles = [], 0, 0
    if waiting:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def _shingle_count(batch: pa.RecordBatch) -> int:
    """How many shingles a batch holds: an array of sets holds fewer than 2^31."""
    return len(batch.column(SHINGLES.name).flatten()) if SHINGLES.name in batch.schema.names else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Documents to look for."""

    signatures: NDArray[np.uint16]
    sizes: NDArray[np.int32]
    """Different shingles; needed for containment alone."""
    usable: NDArray[np.bool_]
    """Others are like none."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """Pairs of a document that was asked for and one of a part, by the former and then the likest first."""

    asked: NDArray[np.int64]
    parts: NDArray[np.int32]
    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]
    settled: NDArray[np.bool_]

    def kept(self, mask: NDArray[np.bool_]) -> Proposed:
        return Proposed(
            self.asked[mask], self.parts[mask], self.rows[mask], self.similarities[mask], self.settled[mask]
        )

    def proved(self, sets: ShortSets, parts: Sequence[IndexPart], verification: Verification) -> Proposed:
        """With the exact similarity of what is not settled, and without the pairs that it is too small for.

        Args:
            sets: of the documents that were asked for.
        """
        similarities = self.similarities.copy()
        for number, part in enumerate(parts):
            open_here = np.flatnonzero(~self.settled & (self.parts == number))
            if len(open_here):
                similarities[open_here] = sets.similarities(
                    part, self.asked[open_here], self.rows[open_here], contained=verification.contained
                )
        settled = np.ones(len(similarities), np.bool_)
        found = Proposed(self.asked, self.parts, self.rows, similarities, settled)
        return found.kept(self.settled | (similarities >= verification.min_similarity))

    def reduced(self) -> Proposed:
        """Without the pairs that make no difference any more: of a document all of whose pairs are settled, or whose
        likest is, one is left, the likest."""
        first = np.diff(self.asked, prepend=-1) != 0
        group = np.cumsum(first) - 1
        closed = np.ones(np.count_nonzero(first), np.bool_)
        closed[group[~self.settled]] = False
        closed |= self.settled[first]
        order = np.lexsort((np.arange(len(group)), -np.where(self.settled, self.similarities, -1), group))
        likest = np.zeros(len(group), np.bool_)
        likest[order[first]] = True  # groups begin at the same places in either order
        return self.kept(likest | ~closed[group])

    def table(self, ids: pa.StringArray) -> pa.Table:
        """Rows of PROPOSALS; `ids` are those of the documents that were asked for."""
        columns = [ids.take(pa.array(self.asked)), self.parts, self.rows, self.similarities, self.settled]
        return pa.table(columns, names=PROPOSALS.names).cast(PROPOSALS)


def candidates(
    asked: Asked,
    parts: Sequence[IndexPart],
    parameters: MinHashParameters,
    verification: Verification,
    *,
    most: int,
    per_key: int,
) -> Proposed:
    """Documents of the parts that are like those asked for by their signatures, or may be: at most `most` of each."""
    count, bands = len(asked.signatures), parameters.bands
    keys = np.empty((bands, count), np.uint64)
    signatures, sizes = frozen(asked.signatures), frozen(asked.sizes)
    band_keys(signatures, bands, parameters.rows, 0, keys)
    found = np.zeros(count, np.int64)
    estimates, settled = np.empty((count, most), np.float64), np.empty((count, most), np.bool_)
    owners, rows = np.empty((count, most), np.int32), np.empty((count, most), np.int64)
    ranges = np.empty((count, bands, 2), np.int64)
    orders = [np.argsort(own) for own in keys]
    for number, part in enumerate(parts):
        _check_shapes(part, parameters)
        there = part.array("keys").reshape(bands, -1)
        for band, order in enumerate(orders):
            firsts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
            find_keys(frozen(keys[band][order]), frozen(there[band]), firsts, ends)
            ranges[order, band, 0], ranges[order, band, 1] = firsts, ends
        limits = verification.min_similarity, verification.margin
        if not part.has("shingles"):  # estimates must settle all
            limits = verification.min_similarity, 0.0
        whole = compare_with_part(
            signatures, sizes, frozen(asked.usable), frozen(ranges),
            frozen(part.array("signatures")), frozen(part.array("sizes")), frozen(part.array("order")),
            frozen(part.array("rows").reshape(bands, -1)), number, per_key, *limits, verification.contained,
            part.has("shingles"), found, estimates, settled, owners, rows,
        )  # fmt: skip
        if not whole:
            raise part.damaged("rows", f"names documents beyond the {part.rows:,} of the part")
    there_are = np.arange(most) < found[:, None]
    return Proposed(
        np.repeat(np.arange(count), found), owners[there_are], rows[there_are], estimates[there_are], settled[there_are]
    )


def _check_shapes(part: IndexPart, parameters: MinHashParameters) -> None:
    rows, keys = part.rows, parameters.bands * part.rows
    shapes: dict[str, tuple[int, ...]] = {"signatures": (rows, parameters.permutations), "sizes": (rows,)}
    shapes |= {"order": (rows,), "keys": (keys,), "rows": (keys,)}
    part.check_shapes(shapes | {"shingle_ends": (rows + 1,)} if part.has("shingles") else shapes)


def seen_before(
    proposals: pa.Table,
    parts: Sequence[IndexPart],
    parameters: MinHashParameters,
    verification: Verification,
    read_texts: ReadTexts,
) -> pa.Table:
    """Rows of MATCHES: one for each document of PROPOSALS that is like one of a part, from texts where need be.

    Raises:
        DamagedRunError: if a document cannot be read again, or was observed twice.
        InputError: if a part is damaged, or another than that compared with.
        UsageError: if the ids of the documents do not fit in one array.
    """
    check_parts(proposals, parts)
    named = whole_ids("documents that an index may have", proposals["id"]).dictionary_encode()
    proposed = Proposed(
        named.indices.to_numpy().astype(np.int64),
        *(proposals[name].to_numpy() for name in ("part", "row", "similarity", "settled")),
    )
    if not proposed.settled.all():
        proposed = _proved_by_text(proposed, named.dictionary, parts, parameters, verification, read_texts)
    found = proposed.reduced().table(named.dictionary)
    if (twice := repeated_id(found["id"].combine_chunks())) is not None:
        raise observed_twice(twice)
    return of_parts(found.select(MATCHES.names).cast(MATCHES), parts)


def _proved_by_text(
    proposed: Proposed,
    ids: pa.StringArray,
    parts: Sequence[IndexPart],
    parameters: MinHashParameters,
    verification: Verification,
    read_texts: ReadTexts,
) -> Proposed:
    """As Proposed.proved, with the sets of texts that are read again."""
    unsettled = np.flatnonzero(~proposed.settled)
    wanted = np.unique(proposed.asked[unsettled])
    wanted_ids = ids.take(pa.array(wanted))
    index, missing = IdIndex(wanted_ids), np.ones(len(wanted), np.bool_)
    # Pairs stand by document: those of wanted[n] are unsettled[starts[n] : starts[n + 1]].
    starts = np.searchsorted(proposed.asked[unsettled], np.append(wanted, len(ids)))
    similarities, settled = proposed.similarities.copy(), proposed.settled.copy()
    for batch in read_texts(wanted_ids.to_pylist()):
        places = index.find(batch.documents.column("id"))
        sets = ShortSets.of(shingles_of(batch.kept(places >= 0), parameters.ngram, parameters.fold_numbers))
        places = places[places >= 0]
        missing[places] = False
        counts = starts[places + 1] - starts[places]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs = unsettled[np.repeat(starts[places], counts) + within]
        own = np.repeat(np.arange(len(places)), counts)
        for number, part in enumerate(parts):
            here = proposed.parts[pairs] == number
            if here.any():
                similarities[pairs[here]] = sets.similarities(
                    part, own[here], proposed.rows[pairs[here]], contained=verification.contained
                )
        settled[pairs] = True
    if missing.any():
        raise DamagedRunError(
            f"minhash_dedup: {np.count_nonzero(missing)} documents were observed but cannot be read again, such as "
            f"{wanted_ids[int(np.argmax(missing))].as_py()!r}; their files were removed or changed during the run: run "
            "it again"
        )
    found = Proposed(proposed.asked, proposed.parts, proposed.rows, similarities, settled)
    return found.kept(proposed.settled | (similarities >= verification.min_similarity))


@kernel
def shorten_sets(
    firsts: NDArray[np.int32], shingles: NDArray[np.uint64], values: NDArray[np.uint32], ends: NDArray[np.int64]
) -> int:
    """Writes the different high halves of each document's shingles, ascending; returns how many there are in all."""
    count = 0
    for document in range(firsts.shape[0] - 1):
        own = values[count : count + firsts[document + 1] - firsts[document]]
        for index in range(own.shape[0]):
            own[index] = uint32(shingles[firsts[document] + index] >> uint64(32))
        own.sort()
        begin = count
        for index in range(own.shape[0]):
            if index == 0 or own[index] != values[count - 1]:
                values[count] = own[index]
                count += 1
        ends[document + 1] = ends[document] + count - begin
    return count


@kernel
def count_shared(
    own_ends: NDArray[np.int64],
    own_values: NDArray[np.uint32],
    ends: NDArray[np.int64],
    values: NDArray[np.uint32],
    own: NDArray[np.int64],
    there: NDArray[np.int64],
    shared: NDArray[np.int64],
) -> None:
    """How many values each pair of sets has in common, one of either collection."""
    for pair in range(own.shape[0]):
        one, one_end = own_ends[own[pair]], own_ends[own[pair] + 1]
        two, two_end = ends[there[pair]], ends[there[pair] + 1]
        shared[pair] = shared_values(own_values, one, one_end, values, two, two_end)


@kernel
def order_equal_keys(keys: NDArray[np.uint64], order: NDArray[np.uint64], rows: NDArray[np.uint32]) -> None:
    """Puts the rows of equal keys in `order`, in place."""
    begin = 0
    while begin < keys.shape[0]:
        end = begin + 1
        while end < keys.shape[0] and keys[end] == keys[begin]:
            end += 1
        if end - begin > 1:
            own = rows[begin:end].copy()
            ranks = np.empty(own.shape[0], np.uint64)
            for index in range(own.shape[0]):
                ranks[index] = order[own[index]]
            ascending = np.argsort(ranks)
            for index in range(own.shape[0]):
                rows[begin + index] = own[ascending[index]]
        begin = end


@kernel
def compare_with_part(
    signatures: NDArray[np.uint16],
    sizes: NDArray[np.int32],
    usable: NDArray[np.bool_],
    ranges: NDArray[np.int64],
    signatures_there: NDArray[np.uint16],
    sizes_there: NDArray[np.int32],
    order: NDArray[np.uint64],
    rows_there: NDArray[np.uint32],
    part: int,
    per_key: int,
    min_similarity: float,
    margin: float,
    contained: bool,
    provable: bool,
    found: NDArray[np.int64],
    estimates: NDArray[np.float64],
    settled: NDArray[np.bool_],
    owners: NDArray[np.int32],
    rows: NDArray[np.int64],
) -> bool:
    """Compares each document with those of a part that share a band with it, and keeps the likest, over all parts so
    far. `ranges[document, band]` are the places in `rows_there[band]` of those with the same key; `provable`: whether
    what the margin leaves open can be settled by sets. Returns False where `rows_there` names a document that the part
    does not have."""
    bands, values = rows_there.shape[0], signatures.shape[1]
    own = np.empty(bands * per_key, np.uint32)
    for document in range(signatures.shape[0]):
        if not usable[document]:
            continue
        count = 0
        for band in range(bands):
            begin = ranges[document, band, 0]
            for place in range(begin, min(ranges[document, band, 1], begin + per_key)):
                own[count] = rows_there[band, place]
                count += 1
        if count > 1:
            own[:count].sort()
        if count > 0 and own[count - 1] >= sizes_there.shape[0]:
            return False
        accepted_from, rejected_below = agreement_limits(min_similarity, margin, values)
        for index in range(count):
            row = own[index]
            if index > 0 and row == own[index - 1]:
                continue
            agree = agreement(signatures[document], signatures_there[row])
            estimate = agree / values
            if contained:
                least = least_jaccard(min_similarity, sizes[document], sizes_there[row])
                accepted_from, rejected_below = agreement_limits(least, margin, values)
                estimate = containment_of(estimate, sizes[document], sizes_there[row])
            if agree < rejected_below:
                continue
            place = min(found[document], estimates.shape[1])
            while place > 0 and _comes_first(
                estimate, part, order[row], estimates[document, place - 1], owners[document, place - 1],
                order, rows[document, place - 1],
            ):  # fmt: skip
                place -= 1
            if place == estimates.shape[1]:
                continue
            found[document] = min(found[document] + 1, estimates.shape[1])
            for later in range(found[document] - 1, place, -1):
                estimates[document, later] = estimates[document, later - 1]
                settled[document, later] = settled[document, later - 1]
                owners[document, later] = owners[document, later - 1]
                rows[document, later] = rows[document, later - 1]
            estimates[document, place] = estimate
            settled[document, place] = agree >= accepted_from or not provable
            owners[document, place] = int32(part)
            rows[document, place] = row
    return True


@inlined
def _comes_first(
    estimate: float,
    part: int,
    rank: np.uint64,
    other_estimate: float,
    other_part: int,
    order: NDArray[np.uint64],
    other_row: int,
) -> bool:
    """Whether a document is liker than another, or as like and before it: in an earlier part, or there in `order`."""
    if estimate != other_estimate:
        return estimate > other_estimate
    return part == other_part and rank < order[other_row]
