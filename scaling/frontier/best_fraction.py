"""What pruning changes, and the best fraction of each budget, with all that noise does not tell from it.

There is no best fraction for all budgets (Goyal et al. 2024, arXiv:2404.07177): a size is a budget, and each has its
own. Nor is the configuration with the lowest mean the best one for certain: whoever looks at many takes the luckiest.
So every comparison here is adjusted for all that are made with it, by the largest of their |t| in draws of the means'
errors (Dunnett's and Tukey's procedures for correlated and unequal errors; Westfall & Young 1993). What is not told
apart from the best in this way is the confidence set of the best (Hsu 1996, Multiple Comparisons, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier.grid import Configuration, Floats, Grid
from corpusmill.scaling.frontier.seed_noise import SMALLEST, Noise
from corpusmill.scaling.laws.fit import Estimate


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Of two losses."""

    change: Estimate
    """Relative; negative: lower. The interval is adjusted for all comparisons of its kind."""
    shown: bool
    """The interval leaves out zero."""


@dataclass(frozen=True, kw_only=True)
class Effect(Comparison):
    """Of pruning."""

    score: str
    fraction: float
    size: int | None
    """None: the mean over all sizes that have both."""
    against: str
    """`random` (the same fraction, kept by chance) or `all`."""
    p_value: float | None
    """Adjusted; None for one seed."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A configuration that is not told apart from the best."""

    score: str
    fraction: float
    loss: float
    change: Estimate
    """Relative to the best, adjusted."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """Of one size."""

    size: int
    train_tokens: float | None
    """None where fractions differ in it."""
    kept_tokens: float
    score: str
    fraction: float
    loss: float
    not_distinguishable: list[Contender]
    """The best first."""
    lowest_fraction: float
    highest_fraction: float
    against_all: Comparison | None
    against_random: Comparison | None
    """At the same fraction."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Comparisons that are adjusted for one another: rows of weights over the configurations."""

    rows: Floats
    means: Floats
    noise: Noise | None
    confidence: float

    def compared(self) -> list[tuple[Comparison, float | None]]:
        """Each with its adjusted p-value."""
        values = self.rows @ self.means
        if self.noise is None:
            return [(Comparison(change=Estimate(float(np.expm1(value))), shown=False), None) for value in values]
        errors = self.noise.standard_errors(self.rows)
        largest = largest_t(self.noise.draws @ self.rows.T, errors)
        reach = float(np.quantile(largest, self.confidence)) * errors
        found: list[tuple[Comparison, float | None]] = []
        for value, error, far in zip(values, errors, reach, strict=True):
            change = Estimate(*(float(np.expm1(end)) for end in (value, value - far, value + far)))
            beyond = int((largest >= abs(value) / error).sum())
            p_value = (1 + beyond) / (1 + len(largest))
            found.append((Comparison(change=change, shown=bool(abs(value) > far)), p_value))
        return found


def largest_t(errors: Floats, standard_errors: Floats) -> Floats:
    """Of each draw (a row), the largest |error| / standard error."""
    return np.asarray(np.abs(errors / standard_errors).max(axis=1))


def effects(grid: Grid, means: Floats, noise: Noise | None, confidence: float) -> list[Effect]:
    """Every pruned configuration against chance at its fraction, and against keeping all; by size, and over sizes."""
    named: list[tuple[str, float, int | None, str]] = []
    rows: list[Floats] = []
    for kind in sorted({(one.score, -one.fraction) for one in grid.configurations if one.score != ALL}):
        score, fraction = kind[0], -kind[1]
        for against in (RANDOM, ALL):
            if against == score:
                continue
            singles = []
            for size in grid.sizes:
                row = _row(grid, score, fraction, size, against)
                if row is not None:
                    singles.append(row)
                    named.append((score, fraction, size, against))
            rows += singles
            if len(singles) > 1:
                rows.append(np.mean(singles, axis=0))
                named.append((score, fraction, None, against))
    if not rows:
        return []
    compared = Family(rows=np.array(rows), means=means, noise=noise, confidence=confidence).compared()
    return [
        Effect(
            score=score,
            fraction=fraction,
            size=size,
            against=against,
            p_value=p_value,
            change=one.change,
            shown=one.shown,
        )
        for (score, fraction, size, against), (one, p_value) in zip(named, compared, strict=True)
    ]


def _row(grid: Grid, score: str, fraction: float, size: int, against: str) -> Floats | None:
    own = grid.number(score, fraction, size)
    other = grid.number(against, 1.0 if against == ALL else fraction, size)
    if own is None or other is None:
        return None
    row = np.zeros(len(grid))
    row[own], row[other] = 1.0, -1.0
    return row


def pair_threshold(grid: Grid, noise: Noise, confidence: float) -> float:
    """The |t| that all differences between two configurations of one size, in all sizes, stay below together."""
    largest = np.zeros(len(noise.draws))
    spread = np.diag(noise.covariance)
    for size in grid.sizes:
        of = grid.of_size(size)
        for number, one in enumerate(of[:-1]):
            others = of[number + 1 :]
            variances = spread[one] + spread[others] - 2 * noise.covariance[one, others]
            errors = noise.draws[:, one, None] - noise.draws[:, others]
            largest = np.maximum(largest, largest_t(errors, np.sqrt(np.maximum(variances, SMALLEST))))
    return float(np.quantile(largest, confidence))


def best_fractions(grid: Grid, means: Floats, noise: Noise | None, confidence: float) -> list[Best]:
    """The best of each size whose losses differ; differences are adjusted for all pairs in all sizes."""
    threshold = None if noise is None else pair_threshold(grid, noise, confidence)
    return [_best(grid, size, means, noise, threshold) for size in grid.sizes if not grid.is_level(size)]


def _best(grid: Grid, size: int, means: Floats, noise: Noise | None, threshold: float | None) -> Best:
    of = sorted(grid.of_size(size).tolist(), key=lambda i: means[i])
    best = of[0]
    one = grid.configurations[best]
    contenders = []
    for i in of:
        compared = _against(means, noise, threshold, i, best)
        if i == best or not compared.shown:
            other = grid.configurations[i]
            loss = float(np.exp(means[i]))
            contenders.append(Contender(score=other.score, fraction=other.fraction, loss=loss, change=compared.change))
    if threshold is None:  # one seed: nobody knows what else may be best
        contenders = contenders[:1]
    fractions = [contender.fraction for contender in contenders]
    trained = grid.train_tokens[of]
    whole = grid.number(ALL, 1.0, size)
    chance = grid.number(RANDOM, one.fraction, size)
    return Best(
        size=size,
        train_tokens=float(trained.mean()) if trained.max() <= 1.01 * trained.min() else None,
        kept_tokens=float(grid.kept_tokens[best]),
        score=one.score,
        fraction=one.fraction,
        loss=float(np.exp(means[best])),
        not_distinguishable=contenders,
        lowest_fraction=min(fractions),
        highest_fraction=max(fractions),
        against_all=None if whole in (None, best) else _against(means, noise, threshold, best, whole),
        against_random=None if chance in (None, best) else _against(means, noise, threshold, best, chance),
    )


def _against(means: Floats, noise: Noise | None, threshold: float | None, i: int, j: int) -> Comparison:
    """The configuration i, relative to j."""
    value = float(means[i] - means[j])
    if noise is None or threshold is None:
        return Comparison(change=Estimate(float(np.expm1(value))), shown=False)
    row = np.zeros((1, len(means)))
    row[0, i] += 1.0
    row[0, j] -= 1.0
    far = threshold * float(noise.standard_errors(row)[0])
    ends = (value, value - far, value + far) if i != j else (0.0, 0.0, 0.0)
    return Comparison(change=Estimate(*(float(np.expm1(end)) for end in ends)), shown=abs(value) > far)


def is_better(one: Comparison | None) -> bool:
    """Whether a lower loss is shown."""
    return one is not None and one.shown and one.change.value < 0


def named(score: str, fraction: float) -> str:
    """For sentences."""
    return str(Configuration(0, score, fraction))
