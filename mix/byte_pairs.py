"""Byte-pair encoding by compiled kernels: bytes to ids, each distinct pretoken merged once and remembered.

The merging is that of the tokenizers library (Sennrich et al. 2016, arXiv:1508.07909, on bytes): of all adjacent pairs
that the vocabulary merges, the one of the lowest rank goes first, and of equal ones the leftmost. Pairs wait in a heap,
so that a megabyte without a space costs n·log n.

Words follow Zipf's law, so that nearly every pretoken has been merged before: its ids stand in a table that is looked
up by the pretoken's bytes (compared in full: documents are hostile, and hashes collide). The table is bounded, and
begins anew when it is full. What is in it changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import int64, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import block_at, hashed_bytes, mixed
from corpusmill.mix.pretokens import Pattern, character_classes, has_unknown, piece_end, plain_word_end

LONGEST_REMEMBERED = 128
"""Bytes of the longest pretoken that is remembered; longer ones are seldom met twice."""
HARD = -1
"""The count of a text that the kernels leave to the tokenizer's own library: it has characters they do not know."""

_SLOTS = 1 << 20  # half of them are filled before the memory begins anew: some 40 MB then
_WORDS_OF_ENTRY = 6  # of 64 bits, on average: room in the arena
_ENTRIES, _USED, _EMPTY = 0, 1, np.uint64(0xFFFFFFFFFFFFFFFF)  # places in the state; the key of no pair
_SYMBOL, _NEXT, _PREVIOUS, _RANK = range(4)  # rows of the scratch that merging needs
_NEVER = 1 << 40  # a rank beyond all
_LONGEST_REMEMBERED = LONGEST_REMEMBERED
_SHORT_BITS = 14  # 256 kB of short pretokens that were met last: the cache nearest to the core but one
_ID_BITS = 18
_SPREAD = np.uint64(0x9FB21C651E98DF25)


@dataclass(frozen=True, kw_only=True)
class Merges:
    """What a byte-level BPE vocabulary says.

    bytes_to_ids  the id of each single byte, 256 of them
    pairs         (left id, right id) -> (rank, id of both together)
    whole         pretokens that have an id of their own before anything is merged, by their bytes
    pattern       how text is cut into pretokens
    """

    bytes_to_ids: Sequence[int]
    pairs: Mapping[tuple[int, int], tuple[int, int]]
    whole: Mapping[bytes, int]
    pattern: Pattern


class Encoder:
    """Encodes texts with one vocabulary. Not for two threads at a time."""

    def __init__(self, merges: Merges) -> None:
        self._pattern = merges.pattern
        self._bytes_to_ids = frozen(np.array(merges.bytes_to_ids, np.int64))
        self._pairs = _pair_table(merges.pairs)
        whole = [(content, identifier) for content, identifier in merges.whole.items() if content]
        slots = max(_SLOTS, 1 << (4 * len(whole)).bit_length())
        reserved = sum(2 + -(-len(content) // 8) for content, _ in whole)
        # A slot holds a pretoken's hash and its place in the arena, where stand its length, the number of its ids (in
        # one word), its bytes and its ids.
        self._hashes = np.zeros(slots, np.uint64)
        self._places = np.full(slots, -1, np.int32)
        self._arena = np.zeros(slots // 2 * _WORDS_OF_ENTRY + reserved, np.uint64)
        self._state = np.zeros(2, np.int64)
        self._longest = max([LONGEST_REMEMBERED, *(len(content) for content, _ in whole)])
        for content, identifier in whole:
            remember_whole(
                frozen(np.frombuffer(content, np.uint8)),
                identifier,
                self._hashes,
                self._places,
                self._arena,
                self._state,
            )
        # Pretokens of up to eight bytes once more, each in the one place where it can be: their bytes, and packed_ids.
        self._short = np.zeros((2, 1 << _SHORT_BITS), np.uint64)
        self._base = (self._hashes.copy(), self._places.copy(), self._state.copy()) if whole else None

    def encode(
        self, offsets: NDArray[np.int32], text: NDArray[np.uint8], *, keep: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """The number of ids of each text, HARD for some, and all ids one after another (none unless `keep`)."""
        counts = np.empty(len(offsets) - 1, np.int64)
        ids = np.empty(int(offsets[-1] - offsets[0]) if keep else self._longest, np.uint32)
        document = written = 0
        while document < len(counts):
            document, written = encode_texts(
                offsets,
                text,
                document,
                character_classes(),
                self._pattern.family,
                np.uint8(self._pattern.letters),
                self._pattern.digits,
                self._pattern.tail_whole,
                self._bytes_to_ids,
                self._pairs,
                self._longest,
                self._hashes,
                self._places,
                self._arena,
                self._state,
                self._short,
                keep,
                ids,
                written,
                counts,
            )
            if document < len(counts):
                self.forget()
        return counts, ids[:written]

    def forget(self) -> None:
        """Empties the memory of all but the vocabulary's whole pretokens."""
        if self._base is None:
            self._places[:] = -1
            self._state[:] = 0
        else:
            self._hashes[:], self._places[:], self._state[:] = self._base


def _pair_table(pairs: Mapping[tuple[int, int], tuple[int, int]]) -> NDArray[np.uint64]:
    """An open-addressing table: left << 32 | right, and beside it rank << 32 | id; _EMPTY where there is no pair."""
    sides = np.array(list(pairs.keys()), np.uint64).reshape(-1, 2)
    results = np.array(list(pairs.values()), np.uint64).reshape(-1, 2)
    table = np.full((1 << max(4, (2 * len(pairs)).bit_length()), 2), _EMPTY)
    half = np.uint64(32)
    fill_pairs(frozen(sides[:, 0] << half | sides[:, 1]), frozen(results[:, 0] << half | results[:, 1]), table)
    return frozen(table)


@kernel
def fill_pairs(some: NDArray[np.uint64], results: NDArray[np.uint64], pairs: NDArray[np.uint64]) -> None:
    """Puts pairs and what they give into the empty table."""
    mask = uint64(pairs.shape[0] - 1)
    for pair in range(some.shape[0]):
        slot = mixed(some[pair] * uint64(_SPREAD)) & mask
        while pairs[slot, 0] != uint64(_EMPTY):
            slot = (slot + uint64(1)) & mask
        pairs[slot, 0] = some[pair]
        pairs[slot, 1] = results[pair]


@inlined
def found_pair(left: int, right: int, pairs: NDArray[np.uint64]) -> int:
    """Rank << 32 | id of what two neighbours give; negative if they are not merged."""
    key = (uint64(left) << uint64(32)) | uint64(right)
    mask = uint64(pairs.shape[0] - 1)
    slot = mixed(key * uint64(_SPREAD)) & mask
    while pairs[slot, 0] != key:
        if pairs[slot, 0] == uint64(_EMPTY):
            return -1
        slot = (slot + uint64(1)) & mask
    return int64(pairs[slot, 1])


@inlined
def pushed(heap: NDArray[np.int64], size: int, entry: int) -> int:
    """Puts an entry on the heap, whose least entry is its first; returns its new size."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if heap[parent] <= entry:
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = entry
    return size + 1


@inlined
def popped(heap: NDArray[np.int64], size: int) -> int:
    """Takes the first entry off a heap that has any; returns its new size."""
    size -= 1
    last = heap[size]
    place = 0
    child = 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if last <= heap[child]:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = last
    return size


@kernel
def merge(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    bytes_to_ids: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    scratch: NDArray[np.int64],
    heap: NDArray[np.int64],
    ids: NDArray[np.uint32],
    first: int,
) -> int:
    """Writes the ids of one pretoken to `ids[first:]` and returns their number.

    `scratch` is int64[4, n] and `heap` int64[3 n] for pretokens of up to n bytes. A part is known by the place of its
    first byte; the heap holds rank << 32 | place of the left part, and entries whose pair has changed are passed over.
    """
    length = end - start
    size = 0
    for place in range(length):
        scratch[_SYMBOL, place] = bytes_to_ids[text[start + place]]
        scratch[_NEXT, place] = place + 1
        scratch[_PREVIOUS, place] = place - 1
    for place in range(length):
        scratch[_RANK, place] = _NEVER
        if place + 1 < length:
            found = found_pair(scratch[_SYMBOL, place], scratch[_SYMBOL, place + 1], pairs)
            if found >= 0:
                scratch[_RANK, place] = found >> 32
                size = pushed(heap, size, ((found >> 32) << 32) | place)
    while size > 0:
        least = heap[0]
        size = popped(heap, size)
        left = least & 0xFFFFFFFF
        if scratch[_RANK, left] != least >> 32:
            continue
        right = scratch[_NEXT, left]
        after = scratch[_NEXT, right]
        scratch[_SYMBOL, left] = found_pair(scratch[_SYMBOL, left], scratch[_SYMBOL, right], pairs) & 0xFFFFFFFF
        scratch[_NEXT, left] = after
        scratch[_RANK, right] = _NEVER
        scratch[_RANK, left] = _NEVER
        if after < length:
            scratch[_PREVIOUS, after] = left
            found = found_pair(scratch[_SYMBOL, left], scratch[_SYMBOL, after], pairs)
            if found >= 0:
                scratch[_RANK, left] = found >> 32
                size = pushed(heap, size, ((found >> 32) << 32) | left)
        before = scratch[_PREVIOUS, left]
        if before >= 0:
            scratch[_RANK, before] = _NEVER
            found = found_pair(scratch[_SYMBOL, before], scratch[_SYMBOL, left], pairs)
            if found >= 0:
                scratch[_RANK, before] = found >> 32
                size = pushed(heap, size, ((found >> 32) << 32) | before)
    count = 0
    place = 0
    while place < length:
        ids[first + count] = uint32(scratch[_SYMBOL, place])
        count += 1
        place = scratch[_NEXT, place]
    return count


@kernel
def merge_long(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    bytes_to_ids: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    ids: NDArray[np.uint32],
    first: int,
    keep: bool,
) -> int:
    """The same for a pretoken of any length; with `keep` false, nothing is written."""
    length = end - start
    scratch = np.empty((4, length), np.int64)
    heap = np.empty(3 * length, np.int64)
    if keep:
        return merge(text, start, end, bytes_to_ids, pairs, scratch, heap, ids, first)
    nowhere = np.empty(length, np.uint32)
    return merge(text, start, end, bytes_to_ids, pairs, scratch, heap, nowhere, 0)


@inlined
def slot_of(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    key: np.uint64,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int32],
    arena: NDArray[np.uint64],
) -> np.uint64:
    """The slot of a pretoken, or the empty one where it belongs."""
    mask = uint64(places.shape[0] - 1)
    slot = key & mask
    while places[slot] >= 0:
        if hashes[slot] == key:
            place = uint64(places[slot])
            same = (arena[place] >> uint64(32)) == uint64(end - start)
            position = start
            while same and position < end:
                place += uint64(1)
                same = arena[place] == block_at(text, position, end)
                position += 8
            if same:
                break
        slot = (slot + uint64(1)) & mask
    return slot


@inlined
def remember(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    key: np.uint64,
    slot: np.uint64,
    ids: NDArray[np.uint32],
    first: int,
    count: int,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int32],
    arena: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Puts a pretoken and its ids into its empty slot, if there is room."""
    used = state[_USED]
    needed = 1 + ((end - start + 7) >> 3) + count
    if used + needed > arena.shape[0] or 2 * state[_ENTRIES] >= places.shape[0]:
        state[_ENTRIES] = places.shape[0]  # full
        return
    hashes[slot] = key
    places[slot] = used
    arena[used] = (uint64(end - start) << uint64(32)) | uint64(count)
    place = used + 1
    for position in range(start, end, 8):
        arena[place] = block_at(text, position, end)
        place += 1
    for number in range(count):
        arena[place + number] = uint64(ids[first + number])
    state[_USED] = used + needed
    state[_ENTRIES] += 1


@kernel
def remember_whole(
    text: NDArray[np.uint8],
    identifier: int,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int32],
    arena: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Remembers a text as a pretoken that has an id of its own."""
    ids = np.array([identifier], np.uint32)
    key = hashed_bytes(text, 0, text.shape[0])
    slot = slot_of(text, 0, text.shape[0], key, hashes, places, arena)
    remember(text, 0, text.shape[0], key, slot, ids, 0, 1, hashes, places, arena, state)


@kernel
def learn(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    key: np.uint64,
    slot: np.uint64,
    bytes_to_ids: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    scratch: NDArray[np.int64],
    heap: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    places: NDArray[np.int32],
    arena: NDArray[np.uint64],
    state: NDArray[np.int64],
    ids: NDArray[np.uint32],
    first: int,
) -> int:
    """Merges a pretoken that is not remembered, and remembers it; writes its ids to `ids[first:]`, returns their
    number."""
    count = merge(text, start, end, bytes_to_ids, pairs, scratch, heap, ids, first)
    if end - start <= _LONGEST_REMEMBERED:
        remember(text, start, end, key, slot, ids, first, count, hashes, places, arena, state)
    return count


@inlined
def packed_ids(length: int, ids: NDArray[np.uint32], first: int, count: int) -> np.uint64:
    """A pretoken's length, and up to three small ids with their number, in one word; 0 if they do not fit."""
    packed = (uint64(length) << uint64(60)) | (uint64(count) << uint64(56))
    if count > 3:
        return uint64(0)
    for number in range(count):
        if ids[first + number] >= uint32(1 << _ID_BITS):
            return uint64(0)
        packed |= uint64(ids[first + number]) << uint64(_ID_BITS * number)
    return packed


@kernel
def encode_texts(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    document: int,
    classes: NDArray[np.uint8],
    family: int,
    letters: np.uint8,
    digits: int,
    tail_whole: bool,
    bytes_to_ids: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    longest: int,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int32],
    arena: NDArray[np.uint64],
    state: NDArray[np.int64],
    short: NDArray[np.uint64],
    keep: bool,
    ids: NDArray[np.uint32],
    written: int,
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Encodes texts from number `document` on; returns the number of the first that is left, and of ids written.

    It ends early, after a text, when the memory is full. Unless `keep`, `ids` has room for those of one pretoken.
    """
    scratch = np.empty((4, longest), np.int64)
    heap = np.empty(3 * longest, np.int64)
    while document < counts.shape[0] and state[_ENTRIES] < places.shape[0]:
        position = int64(offsets[document])
        end = int64(offsets[document + 1])
        total = int64(0)
        if has_unknown(text, position, end, classes):
            total = int64(HARD)
            position = end
        while position < end:
            stop = plain_word_end(text, position, end, family)
            if stop == position:
                stop = piece_end(text, position, end, classes, family, letters, digits, tail_whole)
            length = stop - position
            count = int64(-1)
            block = place = uint64(0)
            if length == 1:
                ids[written] = uint32(bytes_to_ids[text[position]])
                count = int64(1)
            elif length <= 8:
                block = block_at(text, position, stop)
                place = (block * uint64(_SPREAD)) >> uint64(64 - _SHORT_BITS)
                packed = short[1, place]
                if short[0, place] == block and packed >> uint64(60) == uint64(length):
                    count = int64(packed >> uint64(56)) & 3
                    for number in range(count):
                        ids[written + number] = uint32(packed) & uint32((1 << _ID_BITS) - 1)
                        packed >>= uint64(_ID_BITS)
            elif length > longest:
                count = merge_long(text, position, stop, bytes_to_ids, pairs, ids, written, keep)
            if count < 0:
                key = hashed_bytes(text, position, stop)
                slot = slot_of(text, position, stop, key, hashes, places, arena)
                if places[slot] >= 0:
                    entry = int64(places[slot])
                    count = int64(arena[entry] & uint64(0xFFFFFFFF))
                    entry += 1 + ((length + 7) >> 3)
                    for number in range(count):
                        ids[written + number] = uint32(arena[entry + number])
                else:  # out of line: numba counts references to each array that is handed on, some 100 ns for these
                    count = learn(
                        text, position, stop, key, slot, bytes_to_ids, pairs, scratch, heap,
                        hashes, places, arena, state, ids, written,
                    )  # fmt: skip
                if length <= 8:
                    short[0, place] = block
                    short[1, place] = packed_ids(length, ids, written, count)
            total += count
            if keep:
                written += count
            position = stop
        counts[document] = total
        document += 1
    return document, written
