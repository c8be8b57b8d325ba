"""Estimates n-gram models: modified Kneser-Ney smoothing, interpolated, out of core.

Chen & Goodman 1998 ("An empirical study of smoothing techniques for language modeling", section 3 and 4.1.6), in the
manner of Heafield et al. 2013 ("Scalable modified Kneser-Ney language model estimation", ACL): the n-grams of the
highest order are counted in sorted runs, which are merged once; everything else is made of that one stream. As there
(lmplz), n-grams that begin a sentence are counted as they occur, unigrams are interpolated with the uniform
distribution over all words and <unk>, counts of counts come from what is pruned, too, and the mass of pruned n-grams
goes to the lower order. Differs from lmplz:

- one sort instead of three: contexts are found by binary search among the sorted n-grams, not by sorting again;
- a word that occurs fewer than `min_count` times is pruned as n-grams are: it has the probability of <unk>, the
  uniform share, in every context. It is not counted as <unk>, which would make rare words likely;
- where counts of counts do not allow discounts (small or strange text), those of an order are .5, 1 and 1.5, as
  lmplz's `--discount_fallback`; lmplz asks for the option.

It works on arrays of word numbers, and knows nothing of text. The same sentences in the same order give the same model,
whatever the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.filters import ngram_kernels as kernels
from corpusmill.filters.ngram_kernels import ABSENT, BEGIN, BUCKET, EMPTY, PLACES, RESERVED, UNKNOWN, WORD_BITS
from corpusmill.filters.ngram_model import MAX_ORDER, MIN_ORDER, Ngrams
from corpusmill.filters.ngram_room import Room

MAX_WORDS = 1 << WORD_BITS
"""Different words, the three markers included."""
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
_SORTING_BYTES = 64  # for each n-gram in memory: two halves and a count, twice, and the halves as they came
_MERGING_BYTES = 128
_LEAST_NGRAMS = 1 << 12  # in memory at a time
_UNBOUNDED = 1 << 62
_BLOCK = 1 << 17  # n-grams in a step
_LOAD = 0.6  # of the tables: 48 MB/s at .5, 44 at .6, 33 at .8, where every third miss looks on

Run = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Level:
    """All n-grams of one order (ngram_kernels.py), above order 1 on disk. `adjusted` is what each is counted as."""

    suffixes: NDArray[np.uint32]
    words: NDArray[np.uint32]
    adjusted: NDArray[np.uint32]
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.words)


class NgramCounter:
    """Counts n-grams of sentences; more than fit in `memory` bytes are kept as sorted runs in `workspace`.

    Words have numbers from RESERVED on, without gaps. Without a workspace all stays in memory, whatever `memory` says:
    about 120 bytes for each word at order 5, the estimate included.
    """

    def __init__(self, order: int, workspace: Path | None, *, memory: int = 1 << 30) -> None:
        if not MIN_ORDER <= order <= MAX_ORDER:
            raise InputError(f"order: {order} is out of range; use {MIN_ORDER} to {MAX_ORDER}")
        self.order = order
        self.room = Room(workspace)
        self.memory = memory
        self.sentences = 0
        self.occurrences = np.zeros(RESERVED, np.int64)  # of each word
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
        self._n_waiting = 0
        self._runs: list[Run] = []
        self._most = _UNBOUNDED if workspace is None else max(memory // _SORTING_BYTES, _LEAST_NGRAMS)

    def add(self, ids: NDArray[np.uint32], offsets: NDArray[np.int64]) -> None:
        """Counts sentences: the words of sentence s are `ids[offsets[s]:offsets[s + 1]]`. Empty ones count, too.

        Raises:
            InputError: if a word's number is that of a marker, or too high.
        """
        if len(ids) and not RESERVED <= int(ids.min()) <= int(ids.max()) < MAX_WORDS:
            raise InputError(
                f"words: their numbers are {ids.min()} to {ids.max()}; they must be {RESERVED} to {MAX_WORDS - 1}"
            )
        found = np.bincount(ids, minlength=len(self.occurrences))
        found[: len(self.occurrences)] += self.occurrences
        self.occurrences = found
        self.sentences += len(offsets) - 1
        # One step for each so many sentences that their n-grams fit.
        ends = np.arange(len(offsets)) + (offsets - offsets[0])
        start = 0
        while start < len(offsets) - 1:
            end = int(np.searchsorted(ends, ends[start] + self._most - self._n_waiting, side="right")) - 1
            if end <= start:
                if self._n_waiting:
                    self._spill()
                    continue
                end = start + 1
            size = int(ends[end] - ends[start])
            high, low = np.empty(size, np.uint64), np.empty(size, np.uint64)
            kernels.pack(frozen(ids), frozen(offsets[start : end + 1]), self.order, high, low)
            self._waiting.append((high, low))
            self._n_waiting += size
            start = end

    def _sorted(self) -> Run:
        """The n-grams that wait, each once."""
        high = np.concatenate([part for part, _ in self._waiting] or [np.empty(0, np.uint64)])
        low = np.concatenate([part for _, part in self._waiting] or [np.empty(0, np.uint64)])
        self._waiting, self._n_waiting = [], 0
        return _merged(high, low, np.ones(len(high), np.int64))

    def _spill(self) -> None:
        high, low, counts = self._sorted()
        self._runs.append((self.room.stored(high), self.room.stored(low), self.room.stored(counts)))

    def blocks(self) -> Iterator[Run]:
        """All n-grams in order, each once, in blocks."""
        if not self._runs:
            yield self._sorted()
            return
        if self._n_waiting:
            self._spill()
        places = [0] * len(self._runs)
        step = max(self.memory // _MERGING_BYTES // len(self._runs), 1 << 10)
        while left := [run for run, place in enumerate(places) if place < len(self._runs[run][0])]:
            # Up to the least of the runs' n-grams `step` further on, no run has more than `step`.
            ends = {run: min(places[run] + step, len(self._runs[run][0])) for run in left}
            unfinished = [run for run in left if ends[run] < len(self._runs[run][0])]
            if unfinished:
                pivot = min(
                    (int(self._runs[run][0][ends[run]]), int(self._runs[run][1][ends[run]])) for run in unfinished
                )
                ends = {run: _before(self._runs[run], places[run], ends[run], pivot) for run in left}
            parts = [tuple(column[places[run] : ends[run]] for column in self._runs[run]) for run in left]
            for run in left:
                places[run] = ends[run]
            high, low, counts = (np.concatenate([part[column] for part in parts]) for column in range(3))
            yield _merged(high, low, counts)


def _before(run: Run, start: int, end: int, pivot: tuple[int, int]) -> int:
    """Where in `start` to `end` the n-grams of a run reach `pivot`."""
    high, low = run[0][start:end], run[1]
    first = start + int(np.searchsorted(high, np.uint64(pivot[0]), side="left"))
    last = start + int(np.searchsorted(high, np.uint64(pivot[0]), side="right"))
    return first + int(np.searchsorted(low[first:last], np.uint64(pivot[1]), side="left"))


def _merged(high: NDArray[np.uint64], low: NDArray[np.uint64], counts: NDArray[np.int64]) -> Run:
    """These n-grams in order, each once. The arrays are overwritten."""
    columns = high, low, counts
    others = np.empty_like(high), np.empty_like(low), np.empty_like(counts)
    high, low, counts = others if kernels.sort_n_grams(*columns, *others) else columns
    size = kernels.merge_equal(high, low, counts)
    return high[:size], low[:size], counts[:size]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A model, and what became of the n-grams of each order (the first is order 1, without the markers)."""

    ngrams: Ngrams
    word_slots: NDArray[np.uint32]
    """The slot of each word, by its number; ABSENT for rare ones."""
    found: tuple[int, ...]
    kept: tuple[int, ...]
    discounts: tuple[tuple[float, float, float], ...]


def estimate(
    counter: NgramCounter,
    keys: NDArray[np.uint64] | None = None,
    *,
    min_count: int = 1,
    prune: Sequence[int] = (),
    vocabulary: int | None = None,
) -> Estimate:
    """Makes the model of what was counted. It lies in a file of the counter's workspace, if there is one, until saved.

    Args:
        counter: has counted; it is used up.
        keys: uint64[words]: what the words are called when they are scored (hashes); default: their numbers.
        min_count: words of fewer occurrences are <unk>, and n-grams with them are pruned.
        prune: for order 1, 2 …: n-grams of so many occurrences or fewer are pruned; the last holds for higher orders.
        vocabulary: there are so many words and no others, counted or not. The uniform share is theirs and the
            sentence's end's, nothing is kept for <unk>, and what was not counted is scored as one that has that share.

    Raises:
        InputError: if nothing was counted or nothing would be left, or thresholds fall, or the vocabulary is too small.
    """
    least = thresholds(prune, counter.order)
    if vocabulary is not None and vocabulary < len(counter.occurrences) - RESERVED:
        raise InputError(
            f"vocabulary: {vocabulary} is too small; word numbers go up to the {len(counter.occurrences) - RESERVED}th"
        )
    rare = counter.occurrences < max(min_count, int(least[1]) + 1)
    rare[:RESERVED] = False
    if rare[RESERVED:].all():
        raise InputError(
            f"{len(rare) - RESERVED} different words were found, and none occurs {max(min_count, int(least[1]) + 1)} "
            "times; give more texts, or lower min_count"
        )
    levels = _unfolded(counter, rare, least)
    room = counter.room
    sizes = tuple(int(np.count_nonzero(level.kept)) for level in levels)
    ngrams = _empty_tables(room, sizes)
    names = np.arange(len(rare), dtype=np.uint64) if keys is None else keys
    slots = np.full(len(rare), ABSENT, np.uint32)
    chosen = np.empty(sizes[0], np.uint32)
    if kernels.insert(ngrams.table, 0, int(ngrams.buckets[1]), frozen(names[levels[0].kept]), chosen) < sizes[0]:
        raise InputError("words: two have the same key; their hash functions are no good")
    slots[levels[0].kept] = chosen
    ngrams = replace(ngrams, unknown=int(slots[UNKNOWN]))

    # Who shares the uniform distribution: words and </s>; with an open vocabulary <unk>, too.
    sharers = len(levels[0]) - RESERVED + 2 if vocabulary is None else vocabulary + 1
    discounts = _weighed(levels, slots, ngrams, room, sharers)
    return Estimate(
        ngrams=replace(ngrams, table=frozen(ngrams.table)),
        word_slots=slots,
        found=(len(levels[0]) - RESERVED, *(len(level) for level in levels[1:])),
        kept=(sizes[0] - RESERVED, *sizes[1:]),
        discounts=tuple(discounts),
    )


def _weighed(
    levels: Sequence[Level], word_slots: NDArray[np.uint32], ngrams: Ngrams, room: Room, sharers: int
) -> list[tuple[float, float, float]]:
    """Fills the tables, whose words are there already; returns the discounts of each order."""
    discounts = [_discounts(levels[0].adjusted)]
    probabilities, slots = _unigrams(levels[0], discounts[0], sharers), word_slots
    contexts = levels[0].words
    for n, (below, level) in enumerate(pairwise(levels), 2):
        discounts.append(_discounts(level.adjusted))
        contexts = level.words if n == 2 else _contexts(room, level, below, contexts, len(levels[n - 3]))
        cuts = frozen(np.array([0.0, *discounts[-1]]))
        totals, backoffs = room.zeros(np.float64, len(below)), room.zeros(np.float64, len(below))
        kernels.add_masses(frozen(contexts), frozen(level.adjusted), frozen(level.kept), cuts, totals, backoffs)
        kernels.share(frozen(totals), backoffs)
        kernels.fill(frozen(slots), frozen(probabilities), frozen(backoffs), ngrams.base(n - 1), ngrams.values)
        own, own_slots = room.zeros(np.float64, len(level)), room.zeros(np.uint32, len(level))
        kernels.interpolate(
            frozen(level.suffixes),
            frozen(contexts),
            frozen(level.adjusted),
            frozen(level.kept),
            cuts,
            frozen(totals),
            frozen(backoffs),
            frozen(probabilities),
            own,
        )
        kernels.insert_level(
            frozen(level.suffixes),
            frozen(level.words),
            frozen(level.kept),
            frozen(slots),
            frozen(word_slots),
            ngrams.base(n),
            int(ngrams.buckets[n]),
            ngrams.table,
            own_slots,
        )
        probabilities, slots = own, own_slots
    # Nothing is longer than the last order, so its n-grams are no contexts.
    ones = frozen(np.ones(len(levels[-1])))
    kernels.fill(frozen(slots), frozen(probabilities), ones, ngrams.base(len(levels)), ngrams.values)
    return discounts


def thresholds(prune: Sequence[int], order: int) -> NDArray[np.int64]:
    """Occurrences that are too few, by order (index 0 is not used).

    Raises:
        InputError: if they fall, or are more than there are orders.
    """
    given = list(prune)[:order] or [0]
    all_orders = [0, *given, *[given[-1]] * (order - len(given))]
    if len(prune) > order or any(a > b for a, b in pairwise(all_orders)):
        raise InputError(
            f"prune: {' '.join(map(str, prune))}: give a number, 0 or more, for each of {order} orders at most, and "
            "none lower than the one before: an n-gram can be kept only where its parts are"
        )
    return np.array(all_orders, np.int64)


def _unfolded(counter: NgramCounter, rare: NDArray[np.bool_], least: NDArray[np.int64]) -> list[Level]:
    """The levels of all orders."""
    order = counter.order
    continuations = np.zeros(len(rare), np.int64)
    window, state = np.full(order, -1, np.int64), np.zeros((order + 1, 4), np.int64)
    suffixes, words, adjusted = (np.empty((order + 1, _BLOCK + 1), np.uint32) for _ in range(3))
    kept = np.empty((order + 1, _BLOCK + 1), np.bool_)
    written = np.zeros(order + 1, np.int64)
    types = (np.uint32, np.uint32, np.uint32, np.bool_)
    columns = {n: [counter.room.column(kind) for kind in types] for n in range(2, order + 1)}
    for block in _pieces(counter.blocks()):
        high, low, counts = (frozen(column) for column in block)
        kernels.unfold(
            high,
            low,
            counts,
            order,
            frozen(rare),
            frozen(least),
            continuations,
            window,
            state,
            suffixes,
            words,
            adjusted,
            kept,
            written,
        )
        for n in columns:
            for column, part in zip(columns[n], (suffixes, words, adjusted, kept), strict=True):
                column.add(part[n, : written[n]])
    first = Level(
        np.empty(0, np.uint32),
        np.arange(len(rare), dtype=np.uint32),
        np.minimum(continuations, ABSENT).astype(np.uint32),
        ~rare,
    )
    return [first, *(Level(*(column.whole() for column in columns[n])) for n in columns)]


def _pieces(blocks: Iterable[Run]) -> Iterator[Run]:
    """Blocks of at most `_BLOCK` n-grams, and an empty one at the end."""
    for high, low, counts in blocks:
        for start in range(0, len(high), _BLOCK):
            end = start + _BLOCK
            yield high[start:end], low[start:end], counts[start:end]
    yield np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64)


def _discounts(adjusted: NDArray[np.uint32]) -> tuple[float, float, float]:
    """What is taken from n-grams counted once, twice, and more often (Chen & Goodman 1998, equation 17)."""
    counts = np.zeros(5, np.int64)
    for start in range(0, len(adjusted), _BLOCK):
        counts += np.bincount(np.minimum(adjusted[start : start + _BLOCK], 5), minlength=6)[:5]
    if counts[1:].all():
        share = counts[1] / (counts[1] + 2 * counts[2])
        found = [count - (count + 1) * share * counts[count + 1] / counts[count] for count in (1, 2, 3)]
        # Of a context whose n-grams lose nothing, nothing would be left for others.
        if all(0 < discount <= count for count, discount in enumerate(found, 1)):
            return float(found[0]), float(found[1]), float(found[2])
    return FALLBACK_DISCOUNTS


def _unigrams(level: Level, discounts: tuple[float, float, float], sharers: int) -> NDArray[np.float64]:
    """Probabilities of single words, where `sharers` share the uniform distribution.

    <s> is never predicted, and has 1 as kenlm has it.
    """
    counts = level.adjusted.astype(np.float64)
    cut = np.where(level.kept, np.array([0.0, *discounts])[np.minimum(level.adjusted, 3)], counts)
    uniform = cut.sum() / counts.sum() / sharers
    probabilities: NDArray[np.float64] = (counts - cut) / counts.sum() + uniform
    probabilities[BEGIN] = 1.0
    return probabilities


def _contexts(
    room: Room, level: Level, below: Level, contexts_below: NDArray[np.uint32], n_two_below: int
) -> NDArray[np.uint32]:
    """The context of each n-gram of a level, as an index into the level below."""
    firsts = np.zeros(n_two_below + 1, np.int64)
    kernels.count_suffixes(frozen(below.suffixes), firsts)
    contexts = room.zeros(np.uint32, len(level))
    kernels.find_contexts(
        frozen(level.suffixes),
        frozen(level.words),
        frozen(contexts_below),
        frozen(firsts),
        frozen(below.words),
        contexts,
    )
    return contexts


def _empty_tables(room: Room, sizes: Sequence[int]) -> Ngrams:
    """Tables with room for n-grams of each order."""
    buckets = np.array([0, *(int(size / (PLACES * _LOAD)) + 1 for size in sizes)], np.int64)
    table = room.zeros(np.uint64, int(buckets.sum()) * BUCKET)
    table.reshape(-1, BUCKET)[:, :PLACES] = EMPTY
    return Ngrams(table=table, buckets=frozen(buckets), counts=tuple(sizes), unknown=0)
