"""Do small runs rank pruning as large ones do? Decision accuracy and rank stability.

Decision accuracy is the share of pairs of configurations whose losses differ in the same direction in both runs
(Magnusson et al. 2025, DataDecide, arXiv:2504.11393, section 3: about 80 % from a single small scale). Spearman's and
Kendall's rank correlations say the same of whole rankings. All of it of mean losses, over two proxies at one size, and
over two sizes with one proxy.

**Not of the same documents.** A seed decides which documents make a pool, for every proxy, and the pool of a smaller
size is part of that of a larger one. So what is luck in the one run is luck in the other: five prunings that are all by
chance were ranked alike in 92 % of pairs by two n-gram tables. An experiment that is done again sees other documents.
So the first run is looked at with some of the seeds and the second with the others: half of those that both have, in
turns, and what comes out is the mean over these splits. Each side then knows less than all seeds do.
`shared_documents` says what the two sides see alike nevertheless: all, where there is one seed or the pool is used
whole. Held-out documents are always the same.

Many pairs differ by less than noise, and such a pair is a coin's toss. `decided` counts only those that the second
run's seeds tell apart by themselves, adjusted for all pairs. Intervals say how far the numbers move with the split, and
if the means' errors, which are those of fewer seeds, are drawn anew: as this adds noise to noise, rankings of
near-equals move down more than up.

Differs from the paper: there the larger run is taken for the truth; here it has errors, too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.scaling.frontier.best_fraction import pair_threshold
from corpusmill.scaling.frontier.grid import SAME, Asked, Configuration, Floats, Grid, Integers
from corpusmill.scaling.frontier.seed_noise import Noise
from corpusmill.scaling.laws.fit import Estimate

_FEWEST = 3
"""Configurations; a ranking of two says nothing."""
_DRAWS = 1000
_MOST_SPLITS = 20
_APART = 1.25
"""Times the training of the other that a larger proxy's takes at least, where nothing but the clock tells."""
Seeds = frozenset[int]
Booleans = NDArray[np.bool_]
Treatment = tuple[str, float]
"""A score and a fraction."""
Costs = Mapping[tuple[str, str, int, str, float], list[tuple[float | None, float]]]
"""(pool, proxy, size, score, fraction) -> FLOPs and seconds of each cell."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of two runs of the same configurations; the second is the larger, if either is."""

    configurations: int
    seeds: tuple[int, int]
    """On each side."""
    same_seeds: bool
    """Both sides have the same: there are no others."""
    shared_documents: float | None
    """Of the first run's documents, the share that is to be expected among the second's; None where nobody knows how
    large the whole pool is."""
    decision_accuracy: Estimate
    decided: Estimate | None
    """Of the pairs that the second tells apart; None where there are none."""
    spearman: Estimate
    kendall: Estimate


@dataclass(frozen=True, kw_only=True)
class OfProxies(Agreement):
    """Two proxies at one size."""

    pool: str
    size: int
    proxies: tuple[str, str]
    larger_by: str | None
    """`parameters`, `flops` or `seconds`: what says that the second is the larger; None: nothing does."""


@dataclass(frozen=True, kw_only=True)
class OfSizes(Agreement):
    """One proxy at two sizes."""

    pool: str
    proxy: str
    sizes: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A grid with its means and what they may be off by."""

    grid: Grid
    means: Floats
    noise: Noise | None
    confidence: float

    @cached_property
    def threshold(self) -> float:
        """The |t| from which a pair is told apart."""
        return math.inf if self.noise is None else pair_threshold(self.grid, self.noise, self.confidence)

    def treatments(self, size: int) -> set[Treatment]:
        return {(one.score, one.fraction) for one in self.grid.configurations if one.size == size}


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Differences of mean log losses between pairs of configurations, by some of a run's seeds; splits x pairs."""

    differences: Floats
    """NaN where these seeds do not have both."""
    widening: Floats
    """How many times as large as those of all seeds their errors are."""

    def drawn(self, errors: Floats, pairs: Integers, split: Integers) -> Floats:
        """Draws x pairs, with the errors of draws x configurations added, each draw to one split."""
        off = errors[:, pairs[:, 0]] - errors[:, pairs[:, 1]]
        return np.asarray(self.differences[split] + off * self.widening[split])


@dataclass(frozen=True, kw_only=True)
class _Alike:
    """How alike two rankings are, in each of several rows (splits or draws)."""

    accuracy: Floats
    decided: Floats
    """NaN where nothing is."""
    spearman: Floats


def over_proxies(runs: Sequence[Run], cells: pa.Table, asked: Asked | None = None) -> list[OfProxies]:
    """Each pair of proxies that share a pool, at each size that both have; the larger is second.

    Args:
        cells: for what the training of each cost.
    """
    costs = _costs(cells)
    found = []
    for one, other in combinations(runs, 2):
        if one.grid.pool != other.grid.pool:
            continue
        for size in sorted(set(one.grid.sizes) & set(other.grid.sizes)):
            larger_by, first, second = _ordered(one, other, size, costs)
            agreed = _agreement(first, size, second, size, asked)
            if agreed is not None:
                proxies = (first.grid.proxy, second.grid.proxy)
                pool = one.grid.pool
                found.append(OfProxies(**vars(agreed), pool=pool, size=size, proxies=proxies, larger_by=larger_by))
    return found


def over_sizes(runs: Sequence[Run], asked: Asked | None = None) -> list[OfSizes]:
    """Each pair of sizes of each run."""
    found = []
    for run in runs:
        for small, large in combinations(run.grid.sizes, 2):
            agreed = _agreement(run, small, run, large, asked)
            if agreed is not None:
                found.append(OfSizes(**vars(agreed), pool=run.grid.pool, proxy=run.grid.proxy, sizes=(small, large)))
    return found


def _costs(cells: pa.Table) -> Costs:
    found = defaultdict(list)
    names = ("pool", "proxy", "size", "score", "fraction", "flops", "seconds")
    for *cell, flops, seconds in zip(*(cells[name].to_pylist() for name in names), strict=True):
        found[tuple(cell)].append((flops, seconds))
    return found


def _ordered(one: Run, other: Run, size: int, costs: Costs) -> tuple[str | None, Run, Run]:
    """What says which proxy is the larger, and both with that one last; by name where nothing says it."""
    both = sorted(one.treatments(size) & other.treatments(size))
    first, second = (
        [cost for kind in both for cost in costs[run.grid.pool, run.grid.proxy, size, *kind]] for run in (one, other)
    )
    for name, low, high, apart in (
        ("parameters", one.grid.parameters, other.grid.parameters, 1.0),
        ("flops", _mean([flops for flops, _ in first]), _mean([flops for flops, _ in second]), 1.0),
        ("seconds", _mean([seconds for _, seconds in first]), _mean([seconds for _, seconds in second]), _APART),
    ):
        if low is not None and high is not None and max(low, high) > apart * min(low, high):
            return (name, one, other) if low < high else (name, other, one)
    return (None, one, other) if one.grid.proxy < other.grid.proxy else (None, other, one)


def _mean(values: Sequence[float | None]) -> float | None:
    """None if one is not known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _agreement(first: Run, first_size: int, second: Run, second_size: int, asked: Asked | None) -> Agreement | None:
    both = sorted(first.treatments(first_size) & second.treatments(second_size))
    if len(both) < _FEWEST:
        return None
    of_first, of_second = _places(first.grid, both, first_size), _places(second.grid, both, second_size)
    if min(np.ptp(first.means[of_first]), np.ptp(second.means[of_second])) < SAME:
        return None  # losses that do not differ have no order
    seeds = _seeds(first.grid, of_first), _seeds(second.grid, of_second)
    splits = _splits(*seeds)
    pairs = np.array(list(combinations(range(len(both)), 2)), np.int64)
    a = _side(first.grid, of_first[pairs], [one for one, _ in splits])
    b = _side(second.grid, of_second[pairs], [other for _, other in splits])
    known = ~np.isnan(a.differences + b.differences)
    if not known.any():
        return None
    decided = known & _told_apart(second, of_second[pairs], b)
    means = _alike(a.differences, b.differences, decided, pairs)
    draws = None
    if first.noise is not None and second.noise is not None:
        errors = first.noise.draws[0::2][:_DRAWS], second.noise.draws[1::2][:_DRAWS]  # never the same draws twice
        split = np.arange(min(map(len, errors))) % len(splits)
        drawn_a = a.drawn(errors[0][: len(split)], of_first[pairs], split)
        drawn_b = b.drawn(errors[1][: len(split)], of_second[pairs], split)
        draws = _alike(drawn_a, drawn_b, decided[split], pairs)
    accuracy = _estimate(means.accuracy, None if draws is None else draws.accuracy)
    ends = accuracy.low, accuracy.high
    same_seeds = bool(splits[0][0] & splits[0][1])
    return Agreement(
        configurations=len(both),
        seeds=(len(splits[0][0]), len(splits[0][1])),
        same_seeds=same_seeds,
        shared_documents=1.0 if same_seeds else _shared_documents(second.grid, of_second, asked),
        decision_accuracy=accuracy,
        decided=_estimate(means.decided, None if draws is None else draws.decided) if decided.any() else None,
        spearman=_estimate(means.spearman, None if draws is None else draws.spearman),
        kendall=Estimate(2 * accuracy.value - 1, *(None if end is None else 2 * end - 1 for end in ends)),
    )


def _places(grid: Grid, treatments: Sequence[Treatment], size: int) -> Integers:
    at = {one: i for i, one in enumerate(grid.configurations)}
    return np.array([at[Configuration(size, *kind)] for kind in treatments], np.int64)


def _seeds(grid: Grid, of: Integers) -> Seeds:
    """Those that any of these configurations has."""
    return frozenset(seed for j, seed in enumerate(grid.seeds) if not np.isnan(grid.log_loss[of, j]).all())


def _splits(first: Seeds, second: Seeds) -> list[tuple[Seeds, Seeds]]:
    """The seeds of each side: no seed stands on both, but where each has the same one alone."""
    both = first & second
    found = [(first - both | half, second - half) for half in _halves(sorted(both))]
    if not found[0][0]:  # the first has one seed, which the second has, too
        found = [(first, second - both)]
    return found if found[0][1] else [(first, second)]


def _halves(seeds: Sequence[int]) -> list[Seeds]:
    """Half of the seeds, the smaller where they are odd: each half that there is, or those of `_MOST_SPLITS` draws."""
    size = len(seeds) // 2
    if math.comb(len(seeds), size) <= _MOST_SPLITS:
        return [frozenset(half) for half in combinations(seeds, size)]
    rng = np.random.default_rng(0)
    drawn = (rng.permutation(np.array(seeds))[:size].tolist() for _ in range(_MOST_SPLITS))
    return [frozenset(half) for half in sorted({tuple(sorted(half)) for half in drawn})]


def _side(grid: Grid, pairs: Integers, splits: Sequence[Seeds]) -> _Side:
    """Pairs are of the grid's configurations. Where a cell is missing, a pair is compared by the seeds that it has."""
    between = grid.log_loss[pairs[:, 0]] - grid.log_loss[pairs[:, 1]]
    there = ~np.isnan(between)
    chosen = np.array([[seed in split for seed in grid.seeds] for split in splits], np.float64)
    counts = chosen @ there.T.astype(np.float64)
    sums = chosen @ np.where(there, between, 0.0).T
    return _Side(
        differences=np.where(counts > 0, sums / np.maximum(counts, 1), np.nan),
        widening=np.sqrt(len(grid.seeds) / np.maximum(counts, 1)),
    )


def _told_apart(run: Run, pairs: Integers, side: _Side) -> Booleans:
    """Which pairs differ by more than the noise of the side's seeds; splits x pairs."""
    if run.noise is None:
        return np.zeros(side.differences.shape, np.bool_)
    rows = np.zeros((len(pairs), len(run.grid)))
    at = np.arange(len(pairs))
    rows[at, pairs[:, 0]], rows[at, pairs[:, 1]] = 1.0, -1.0
    errors = run.noise.standard_errors(rows) * side.widening
    return np.asarray(np.abs(side.differences) > run.threshold * errors)


def _alike(a: Floats, b: Floats, decided: Booleans, pairs: Integers) -> _Alike:
    """Of differences, rows x pairs: a pair counts 1 if it differs in the same direction in both, one half if it does
    not differ in one of them."""
    signs = np.sign(a), np.sign(b)
    same = (signs[0] * signs[1] + 1) / 2
    return _Alike(
        accuracy=_mean_where(same, ~np.isnan(same)),
        decided=_mean_where(same, decided),
        spearman=_correlation(*(_ranks(np.nan_to_num(one), pairs) for one in signs)),
    )


def _mean_where(values: Floats, counted: Booleans) -> Floats:
    """Of each row; NaN where nothing is counted."""
    counts = counted.sum(axis=1)
    return np.where(counts > 0, np.where(counted, values, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _ranks(signs: Floats, pairs: Integers) -> Floats:
    """Of the configurations, in each row, less their mean: of how many others a loss is above, less below how many."""
    ends = np.zeros((len(pairs), int(pairs.max()) + 1))
    at = np.arange(len(pairs))
    ends[at, pairs[:, 0]], ends[at, pairs[:, 1]] = 1.0, -1.0
    return np.asarray(signs @ ends)


def _correlation(a: Floats, b: Floats) -> Floats:
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.where(scale > 0, (a * b).sum(axis=1) / np.where(scale > 0, scale, 1.0), 0.0))


def _estimate(found: Floats, drawn: Floats | None) -> Estimate:
    """The mean of what splits say, with the ends of what draws say."""
    value = float(np.nanmean(found))
    if drawn is None or np.isnan(drawn).all():
        return Estimate(value)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _shared_documents(grid: Grid, of: Integers, asked: Asked | None) -> float | None:
    """The share of the whole pool that the second run takes: so likely is any document of the first among its own."""
    total = None if asked is None else asked.pool_tokens.get(grid.pool)
    return None if total is None else min(1.0, float(np.nanmean(grid.pool_of_cells[of])) / total)
