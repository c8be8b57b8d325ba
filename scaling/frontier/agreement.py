"""Do small runs rank pruning as large ones do? Decision accuracy and rank stability.

Decision accuracy is the share of pairs of configurations whose losses differ in the same direction in both runs
(Magnusson et al. 2025, DataDecide, arXiv:2504.11393, section 3: about 80 % from a single small scale). Spearman's and
Kendall's rank correlations say the same of whole rankings. All of it of mean losses, over two proxies at one size, and
over two sizes with one proxy.

Many pairs differ by less than noise, and such a pair is a coin's toss. `decided` counts only those that the larger run
tells apart, adjusted for all pairs. Intervals say how far the numbers move if the means' errors are drawn anew: as this
adds noise to noise, rankings of near-equals move down more than up.

Differs from the paper: there the larger run is taken for the truth; here it has errors, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from corpusmill.scaling.frontier.best_fraction import pair_threshold
from corpusmill.scaling.frontier.grid import SAME, Floats, Grid, Integers
from corpusmill.scaling.frontier.seed_noise import Noise
from corpusmill.scaling.laws.fit import Estimate

_FEWEST = 3
"""Configurations; a ranking of two says nothing."""
_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of two runs of the same configurations; the second is the larger."""

    configurations: int
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

    def drawn(self, of: Integers) -> Floats:
        """Means in the first row, and draws below."""
        means = self.means[None, of]
        return means if self.noise is None else np.concatenate([means, means + self.noise.draws[:_DRAWS, of]])

    def decided(self, of: Integers, pairs: Integers) -> np.typing.NDArray[np.bool_]:
        """Which pairs differ by more than noise."""
        if self.noise is None:
            return np.zeros(len(pairs), bool)
        rows = np.zeros((len(pairs), len(self.grid)))
        at = np.arange(len(pairs))
        rows[at, of[pairs[:, 0]]], rows[at, of[pairs[:, 1]]] = 1.0, -1.0
        threshold = pair_threshold(self.grid, self.noise, self.confidence)
        return np.asarray(np.abs(rows @ self.means) > threshold * self.noise.standard_errors(rows))


def over_proxies(runs: list[Run]) -> list[OfProxies]:
    """Each pair of proxies that share a pool, at each size that both have; the one with more parameters is second."""
    found = []
    for one, other in combinations(runs, 2):
        if one.grid.pool != other.grid.pool:
            continue
        first, second = sorted((one, other), key=lambda run: (run.grid.parameters or 0, run.grid.proxy))
        for size in sorted(set(one.grid.sizes) & set(other.grid.sizes)):
            agreed = _agreement(first, size, second, size)
            if agreed is not None:
                proxies = (first.grid.proxy, second.grid.proxy)
                found.append(OfProxies(**vars(agreed), pool=one.grid.pool, size=size, proxies=proxies))
    return found


def over_sizes(runs: list[Run]) -> list[OfSizes]:
    """Each pair of sizes of each run."""
    found = []
    for run in runs:
        for small, large in combinations(run.grid.sizes, 2):
            agreed = _agreement(run, small, run, large)
            if agreed is not None:
                found.append(OfSizes(**vars(agreed), pool=run.grid.pool, proxy=run.grid.proxy, sizes=(small, large)))
    return found


def _agreement(first: Run, first_size: int, second: Run, second_size: int) -> Agreement | None:
    kinds = [
        {(one.score, one.fraction) for one in run.grid.configurations if one.size == size}
        for run, size in ((first, first_size), (second, second_size))
    ]
    both = sorted(kinds[0] & kinds[1])
    if len(both) < _FEWEST:
        return None
    places = [
        np.array([run.grid.number(score, fraction, size) for score, fraction in both], np.int64)
        for run, size in ((first, first_size), (second, second_size))
    ]
    values = [run.drawn(of) for run, of in zip((first, second), places, strict=True)]
    if min(np.ptp(one[0]) for one in values) < SAME:
        return None  # losses that do not differ have no order
    rows = min(len(one) for one in values)
    a, b = values[0][:rows], values[1][:rows]
    pairs = np.array(list(combinations(range(len(both)), 2)), np.int64)
    same = _same_direction(a, b, pairs)
    decided = second.decided(places[1], pairs)
    return Agreement(
        configurations=len(both),
        decision_accuracy=_of_draws(same.mean(axis=1)),
        decided=_of_draws(same[:, decided].mean(axis=1)) if decided.any() else None,
        spearman=_of_draws(_correlation(_ranks(a), _ranks(b))),
        kendall=_of_draws(2 * same.mean(axis=1) - 1),
    )


def _same_direction(a: Floats, b: Floats, pairs: Integers) -> Floats:
    """Rows x pairs: 1 where both differ in the same direction, one half where one of them does not differ at all."""
    product = np.sign(a[:, pairs[:, 0]] - a[:, pairs[:, 1]]) * np.sign(b[:, pairs[:, 0]] - b[:, pairs[:, 1]])
    return np.asarray((product + 1) / 2)


def _ranks(values: Floats) -> Floats:
    """Of each row; equal values share the mean of their ranks."""
    return np.asarray((np.sign(values[:, :, None] - values[:, None, :])).sum(axis=2), np.float64)


def _correlation(a: Floats, b: Floats) -> Floats:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.where(scale > 0, (a * b).sum(axis=1) / np.where(scale > 0, scale, 1.0), 0.0))


def _of_draws(values: Floats) -> Estimate:
    value = float(values[0])
    if len(values) == 1:
        return Estimate(value)
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value))
