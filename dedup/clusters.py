"""Verified clusters: stars around the documents that stay, never chains.

Locality-sensitive hashing only proposes. Inside a component (banding.py) documents come in keep order, and each is
dropped if it is similar to one that stays, or stays itself. So every document that goes is similar to the one named as
its twin: A like B like C does not remove C for A unless A is like C.

What makes two documents similar (`Verification`): the share of places in which their signatures agree, where that is
clear; near the threshold the exact similarity of their shingles, from texts read again. Those are asked for in rounds:
a round settles every document that it can, in order, and lists the pairs that the others wait for.

Signatures estimate Jaccard similarity J. The containment of the smaller of two sets, of a and b members, in the larger
is J (a + b) / ((1 + J) min(a, b)), which grows with J: so the least containment is a least J for each pair, and the
estimate is as certain as there.

Cost. A document is compared with those ahead of it in its component that are not dropped: the first WINDOW of them,
and beyond those the first BUCKET in each of its bands. It asks for exact similarities to BUDGET of them at most, those
that stay and are most alike first, ASKS a round; a pair beyond that does not count. So a million copies of a template
cost a million comparisons, and no document costs more than WINDOW + bands * BUCKET comparisons of signatures a round
and BUDGET of sets. The bounds bind only where many documents that stay are much alike, too; then a duplicate may be
missed, but none is invented.

Memory: about 120 bytes for each document that shares a band with another; 24 for each exact similarity; and, in a
component of which more than WINDOW documents stay, 24 for each band of each of those.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import float32, int32, int64, uint64
from numpy.typing import NDArray

from corpusmill.dedup.banding import band_key
from corpusmill.documents.compiled import frozen, inlined, kernel

WINDOW = 64
BUCKET = 32
ASKS = 8
BUDGET = 32
ROUNDS = 16
"""After this many rounds, what is still unknown does not count. Seen: 4 on real text, 6 where all pairs are near the
threshold."""
PATIENCE = 2
"""Rounds in which a document that is similar to an undecided one waits for it instead of asking about others, too: then
copies of an undecided document mostly cost no text."""
_BATCH_DOCUMENTS = 65_536  # settled in one call, unless one component is larger

PENDING, KEPT, DROPPED = 0, 1, 2

_WINDOW, _BUCKET, _ASKS, _BUDGET = WINDOW, BUCKET, ASKS, BUDGET
_PENDING, _KEPT, _DROPPED = PENDING, KEPT, DROPPED

ExactSimilarity = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Exact similarities of pairs of documents, each given by its place in keep order."""


@dataclass(frozen=True, slots=True)
class Verification:
    """When two signatures of `values` values settle whether a pair is similar.

    The estimate of a pair whose Jaccard similarity J is just enough has the standard error sqrt(J (1 - J) / values).
    Two documents are similar without another look if it lies `margin` standard errors above, and not if it lies as far
    below.
    """

    min_similarity: float
    margin: float
    values: int
    contained: bool = False
    """Whether similarity is the containment of the smaller set in the larger; otherwise it is Jaccard's."""

    @property
    def accepted_from(self) -> int:
        """Values that agree in a pair that is similar without another look; more than there are where none is: if the
        margin reaches 1, equal signatures prove nothing. With containment: in a pair of sets of one size."""
        return int(agreement_limits(self.min_similarity, self.margin, self.values)[0])

    @property
    def rejected_below(self) -> int:
        """Fewer values that agree: not similar, without another look."""
        return int(agreement_limits(self.min_similarity, self.margin, self.values)[1])


@kernel
def agreement_limits(least: float, margin: float, values: int) -> tuple[int, int]:
    """How many values must agree in a pair to be similar without another look, if Jaccard similarity must be `least`;
    and of how many at least, not to be dissimilar without one."""
    distance = margin * math.sqrt(least * (1 - least) / values)
    above = least + distance
    return math.ceil(above * values) if above < 1 else values + 1, math.ceil((least - distance) * values)


@kernel
def least_jaccard(containment: float, one: int, two: int) -> float:
    """The Jaccard similarity of sets of these sizes, not both empty, if that of the smaller is contained so far."""
    shared = containment * min(one, two)
    return shared / (one + two - shared)


@kernel
def containment_of(jaccard: float, one: int, two: int) -> float:
    """The containment of the smaller of two sets of these sizes in the larger, at a Jaccard similarity."""
    return min(1.0, jaccard * (one + two) / ((1 + jaccard) * max(1, min(one, two))))


@dataclass(frozen=True, slots=True)
class Stars:
    """Which documents stay, by place in keep order."""

    twins: NDArray[np.int32]
    """The document that stays in the place of each; -1 where it stays itself."""
    similarities: NDArray[np.float32]
    """To the twin: the exact one where it was needed, else the signatures' estimate. 0 where there is no twin."""


def settle(
    signatures: NDArray[np.uint16],
    documents: NDArray[np.uint32],
    components: NDArray[np.int64],
    *,
    bands: int,
    rows: int,
    verification: Verification,
    exact_similarity: ExactSimilarity,
    sizes: NDArray[np.int32] | None = None,
) -> Stars:
    """Decides which documents of each component stay.

    Args:
        signatures: uint16[all documents, values]; may be mapped from a file.
        documents: rows of `signatures`, component after component, each in keep order.
        components: int64[components + 1]: where each begins in `documents`.
        sizes: different shingles of each row of `signatures`; needed for containment alone.
    """
    if sizes is None:
        sizes = np.zeros(0, np.int32)
    count = len(documents)
    states, twins = np.zeros(count, np.uint8), np.full(count, -1, np.int32)
    similarities, seen = np.zeros(count, np.float32), np.empty(count, np.int32)
    pairs, known = np.empty(0, np.uint64), np.empty(0, np.float64)
    limits = np.array([bands, rows, verification.accepted_from, verification.rejected_below])
    undecided = np.arange(len(components) - 1)
    for round_number in range(ROUNDS + 1):
        pair_firsts = np.searchsorted(pairs >> np.uint64(32), np.arange(count + 1, dtype=np.uint64))
        asked: list[NDArray[np.uint64]] = []
        seen.fill(-1)
        for some in _batches(components, undecided):
            size = int((components[some + 1] - components[some]).sum())
            asks = np.empty(size * ASKS, np.uint64)
            found = settle_components(
                frozen(signatures), frozen(sizes), frozen(documents), frozen(components), frozen(some), frozen(limits),
                verification.min_similarity, verification.margin, verification.contained,
                round_number < ROUNDS, round_number < PATIENCE,
                frozen(pair_firsts), frozen(pairs), frozen(known), states, twins, similarities, seen, asks,
            )  # fmt: skip
            asked.append(asks[:found].copy())
        new = np.concatenate([np.empty(0, np.uint64), *asked])
        if len(new) == 0:
            break
        new.sort()
        places = (new >> np.uint64(32)).astype(np.int64), (new & np.uint64(0xFFFFFFFF)).astype(np.int64)
        pairs, known = np.concatenate([pairs, new]), np.concatenate([known, exact_similarity(*places)])
        order = np.argsort(pairs, kind="stable")
        pairs, known = pairs[order], known[order]
        undecided = np.unique(np.searchsorted(components, places[0], side="right") - 1)
    return Stars(twins, similarities)


def _batches(components: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cuts components into runs of about `_BATCH_DOCUMENTS` documents."""
    sizes = components[chosen + 1] - components[chosen]
    numbers = np.cumsum(sizes) // _BATCH_DOCUMENTS
    return np.split(chosen, np.flatnonzero(np.diff(numbers)) + 1) if len(chosen) else []


@kernel
def settle_components(
    signatures: NDArray[np.uint16],
    sizes: NDArray[np.int32],
    documents: NDArray[np.uint32],
    components: NDArray[np.int64],
    chosen: NDArray[np.int64],
    limits: NDArray[np.int64],
    min_similarity: float,
    margin: float,
    contained: bool,
    may_ask: bool,
    patient: bool,
    pair_firsts: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    known: NDArray[np.float64],
    states: NDArray[np.uint8],
    twins: NDArray[np.int32],
    similarities: NDArray[np.float32],
    seen: NDArray[np.int32],
    asks: NDArray[np.uint64],
) -> int:
    """One round over the chosen components: settles what it can, writes the pairs asked for, returns their number.

    A pair is (later place << 32) | earlier place. `seen` is scratch: the last document that met each as a candidate.
    """
    bands, rows, accepted_from, rejected_below = limits[0], limits[1], limits[2], limits[3]
    window = np.empty(_WINDOW, np.int32)
    candidates = np.empty(_WINDOW + bands * _BUCKET, np.int32)
    alike = np.empty(candidates.shape[0], np.float64)
    n_asked = 0
    for component in chosen:
        n_window = 0
        slots, lists, nodes, n_nodes = _empty_table(0)
        for place in range(components[component], components[component + 1]):
            if states[place] == _DROPPED:
                continue
            signature = signatures[documents[place]]
            if states[place] == _PENDING:
                for index in range(n_window):
                    candidates[index] = window[index]
                    seen[window[index]] = place
                count = n_window
                if n_nodes:
                    count = _add_from_table(signature, bands, rows, slots, lists, nodes, place, seen, candidates, count)
                known_from, known_to = pair_firsts[place], pair_firsts[place + 1]
                for index in range(count):
                    other = documents[candidates[index]]
                    agree = agreement(signature, signatures[other])
                    estimate = agree / signature.shape[0]
                    if contained:
                        one, two = sizes[documents[place]], sizes[other]
                        least = least_jaccard(min_similarity, one, two)
                        accepted_from, rejected_below = agreement_limits(least, margin, signature.shape[0])
                        estimate = containment_of(estimate, one, two)
                    if rejected_below <= agree < accepted_from:
                        wanted = _pair(place, candidates[index])
                        alike[index] = _known(pairs[known_from:known_to], known[known_from:known_to], wanted, estimate)
                    else:
                        alike[index] = estimate if agree >= accepted_from else 0.0
                twin, waits, unknown = _judged(candidates[:count], alike[:count], states, min_similarity)
                if twin >= 0:
                    states[place], twins[place] = _DROPPED, candidates[twin]
                    similarities[place] = float32(alike[twin])
                    continue
                to_ask = min(unknown, _ASKS, _BUDGET - (known_to - known_from)) if may_ask else 0
                if not waits and to_ask == 0:
                    states[place] = _KEPT
                elif not (waits and patient):
                    for _ in range(to_ask):
                        best = _most_promising(candidates[:count], alike[:count], states)
                        asks[n_asked] = _pair(place, candidates[best])
                        alike[best] = 0.0
                        n_asked += 1
            if n_window < _WINDOW:
                window[n_window] = place
                n_window += 1
            else:
                if 2 * (n_nodes + bands) > slots.shape[0]:
                    slots, lists, nodes = _grown_table(slots, lists, nodes, n_nodes, bands)
                n_nodes = _put_into_table(signature, bands, rows, slots, lists, nodes, n_nodes, place)
    return n_asked


@inlined
def _pair(place: int, other: int) -> np.uint64:
    return (uint64(place) << uint64(32)) | uint64(other)


@inlined
def agreement(one: NDArray[np.uint16], two: NDArray[np.uint16]) -> int:
    """How many values two signatures have in common."""
    count = int32(0)
    for value in range(one.shape[0]):
        count += int32(one[value] == two[value])
    return count


@kernel
def _known(pairs: NDArray[np.uint64], known: NDArray[np.float64], wanted: np.uint64, estimate: float) -> float:
    """The exact similarity of a pair; where it has not been asked for yet, minus its estimate."""
    for pair in range(pairs.shape[0]):
        if pairs[pair] == wanted:
            return known[pair]
    return -estimate


@kernel
def _judged(
    candidates: NDArray[np.int32], alike: NDArray[np.float64], states: NDArray[np.uint8], min_similarity: float
) -> tuple[int, bool, int]:
    """What the similarities to the candidates (negative: not known) say: the index of the most similar one that stays,
    or -1; whether an undecided one is similar; how many are not known."""
    twin, waits, unknown = -1, False, 0
    for index in range(candidates.shape[0]):
        if alike[index] < 0:
            unknown += 1
        elif alike[index] >= min_similarity:
            if states[candidates[index]] == _PENDING:
                waits = True
            elif (
                twin < 0
                or alike[index] > alike[twin]
                or (alike[index] == alike[twin] and candidates[index] < candidates[twin])
            ):
                twin = index
    return twin, waits, unknown


@kernel
def _most_promising(candidates: NDArray[np.int32], alike: NDArray[np.float64], states: NDArray[np.uint8]) -> int:
    """Which of the candidates whose similarity is not known to ask about: those that stay before undecided ones, then
    the most alike, then the first in keep order."""
    best = -1
    for index in range(candidates.shape[0]):
        if alike[index] >= 0:
            continue
        if best < 0:
            best = index
            continue
        stays, best_stays = states[candidates[index]] == _KEPT, states[candidates[best]] == _KEPT
        if stays != best_stays:
            best = index if stays else best
        elif alike[index] != alike[best]:
            best = index if alike[index] < alike[best] else best
        elif candidates[index] < candidates[best]:
            best = index
    return best


# Documents beyond the window, by band key: `slots` of an open hash table hold keys; `lists`, a slot's first node (-1:
# the slot is empty) and the length of its list; `nodes`, a place and the next node.


@kernel
def _add_from_table(
    signature: NDArray[np.uint16],
    bands: int,
    rows: int,
    slots: NDArray[np.uint64],
    lists: NDArray[np.int32],
    nodes: NDArray[np.int32],
    place: int,
    seen: NDArray[np.int32],
    candidates: NDArray[np.int32],
    count: int,
) -> int:
    """Appends the documents that share a band with this one, each once; returns how many candidates there are then."""
    for band in range(bands):
        node = lists[_slot(slots, lists, band_key(signature, band, rows)), 0]
        while node >= 0:
            other = nodes[node, 0]
            if seen[other] != place:
                seen[other] = place
                candidates[count] = other
                count += 1
            node = nodes[node, 1]
    return count


@kernel
def _put_into_table(
    signature: NDArray[np.uint16],
    bands: int,
    rows: int,
    slots: NDArray[np.uint64],
    lists: NDArray[np.int32],
    nodes: NDArray[np.int32],
    n_nodes: int,
    place: int,
) -> int:
    """Adds a document to the lists of its bands that have room; returns how many nodes there are then."""
    for band in range(bands):
        key = band_key(signature, band, rows)
        slot = _slot(slots, lists, key)
        if lists[slot, 1] < _BUCKET:
            nodes[n_nodes, 0], nodes[n_nodes, 1] = place, lists[slot, 0]
            slots[slot], lists[slot, 0] = key, n_nodes
            lists[slot, 1] += 1
            n_nodes += 1
    return n_nodes


@kernel
def _empty_table(capacity: int) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32], int]:
    """Slots, lists and nodes for `capacity` keys, and the number of nodes in use."""
    lists = np.empty((capacity, 2), np.int32)
    for slot in range(capacity):
        lists[slot, 0], lists[slot, 1] = -1, 0
    return np.empty(capacity, np.uint64), lists, np.empty((capacity // 2, 2), np.int32), 0


@kernel
def _slot(slots: NDArray[np.uint64], lists: NDArray[np.int32], key: np.uint64) -> int:
    """Where `key` stands, or the empty slot where it would."""
    mask = slots.shape[0] - 1
    slot = int64(key & uint64(mask))
    while lists[slot, 0] >= 0 and slots[slot] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _grown_table(
    slots: NDArray[np.uint64], lists: NDArray[np.int32], nodes: NDArray[np.int32], n_nodes: int, n_more: int
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]:
    """A table with room for `n_more` nodes, never more than half full."""
    capacity = 1024
    while capacity < 4 * (n_nodes + n_more):
        capacity *= 2
    new_slots, new_lists, new_nodes, _ = _empty_table(capacity)
    for slot in range(slots.shape[0]):
        if lists[slot, 0] >= 0:
            new = _slot(new_slots, new_lists, slots[slot])
            new_slots[new] = slots[slot]
            new_lists[new, 0], new_lists[new, 1] = lists[slot, 0], lists[slot, 1]
    for node in range(n_nodes):  # a slice assignment would take 2 s more to compile
        new_nodes[node, 0], new_nodes[node, 1] = nodes[node, 0], nodes[node, 1]
    return new_slots, new_lists, new_nodes
