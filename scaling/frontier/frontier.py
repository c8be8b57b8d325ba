"""The frontier of loss against kept tokens: the lower left envelope of a score's curves (Sorscher et al. 2022,
arXiv:2206.14486, section 2 and figure 3).

A curve is one score and fraction over the pool's sizes, a straight line between sizes in the logarithms of kept tokens
and of loss; keeping everything is a curve of every score. At a number of kept tokens, the envelope is the lowest curve
that is there, or what fewer tokens reached already. Curves are interpolated and never extended, so at either end fewer
of them compete; `free_range` is where that does not matter.

Differs from the paper: there, the frontier is read off the plot.

All functions take log losses as draws x configurations (one row for the means), so that what is computed for the means
is computed in the same way for each draw of their errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier.grid import SAME, Floats, Grid, Integers
from corpusmill.scaling.frontier.seed_noise import Noise
from corpusmill.scaling.laws.fit import Estimate

STEPS = 49
"""Points of a frontier as it is reported."""
_SAME_PLACE = 1e-3  # of a logarithm: sizes in whole documents differ by that much
_SAME_EPOCHS = 1.05
"""Documents are whole, so that passes over them differ a little where they should be as many."""
_CLEAR = 2.0  # standard errors between a curve that ends and those that go on, from which its end counts


@dataclass(frozen=True, kw_only=True)
class Point:
    """A configuration than which none has both fewer tokens and a lower loss."""

    fraction: float
    size: int
    kept_tokens: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The envelope of one score, on a logarithmic grid of kept tokens."""

    score: str
    kept_tokens: list[float]
    loss: list[float]
    low: list[float] | None
    high: list[float] | None
    """Ends of the interval at each point by itself; None for one seed."""
    fraction: list[float]
    """Of the curve that is lowest there."""
    points: list[Point]


def weights_at(grid: Grid, curve: Integers, places: Floats) -> Floats:
    """Rows of weights over the configurations that interpolate a curve at logarithms of kept tokens; NaN beyond it."""
    ends = np.log(grid.kept_tokens[curve])
    rows = np.zeros((len(places), len(grid)))
    inside = (places >= ends[0] - _SAME_PLACE) & (places <= ends[-1] + _SAME_PLACE)
    if len(curve) == 1:
        rows[:, curve[0]] = 1.0
    else:
        right = np.clip(np.searchsorted(ends, places), 1, len(curve) - 1)
        gap = np.maximum(ends[right] - ends[right - 1], 1e-12)
        share = np.clip((places - ends[right - 1]) / gap, 0.0, 1.0)
        rows[np.arange(len(places)), curve[right]] = share
        rows[np.arange(len(places)), curve[right - 1]] = 1 - share
    rows[~inside] = np.nan
    return rows


def envelope(grid: Grid, score: str, log_losses: Floats, places: Floats) -> tuple[Floats, Integers]:
    """The envelope at ascending logarithms of kept tokens, draws x places, and which of the score's curves is lowest.

    Infinite where no curve of the score reaches. The leaders are those of the first row.
    """
    curves = grid.curves_of(score)
    starts = np.array([min(np.log(grid.kept_tokens[curve]).min() for curve in curves)])
    every = np.unique(np.concatenate([places, starts, *(np.log(grid.kept_tokens[curve]) for curve in curves)]))
    every = every[every <= places[-1]]
    lowest = np.full((len(log_losses), len(every)), np.inf)
    leader = np.zeros(len(every), np.int64)
    for number, curve in enumerate(curves):
        rows = weights_at(grid, curve, every)
        there = ~np.isnan(rows[:, 0])
        values = log_losses @ rows[there].T
        leader[there] = np.where(values[0] < lowest[0, there], number, leader[there])
        lowest[:, there] = np.minimum(lowest[:, there], values)
    falling = lowest[0] <= np.minimum.accumulate(lowest[0])
    reached = np.maximum.accumulate(np.where(falling, np.arange(len(every)), 0))
    at = np.searchsorted(every, places)
    return np.minimum.accumulate(lowest, axis=1)[:, at], leader[reached[at]]


def frontier(grid: Grid, score: str, means: Floats, noise: Noise | None) -> Frontier:
    """The envelope over all that the score's curves span, with a band."""
    curves = grid.curves_of(score)
    kept = np.log(grid.kept_tokens[np.concatenate(curves)])
    places = np.linspace(kept.min(), kept.max(), STEPS if np.ptp(kept) > _SAME_PLACE else 1)
    value, leader = envelope(grid, score, means[None], places)
    low = high = None
    if noise is not None:
        drawn = envelope(grid, score, means + noise.draws, places)[0]
        below, above = interval(value[0], drawn)
        low, high = np.exp(below).tolist(), np.exp(above).tolist()
    return Frontier(
        score=score,
        kept_tokens=np.exp(places).tolist(),
        loss=np.exp(value[0]).tolist(),
        low=low,
        high=high,
        fraction=[grid.configurations[curves[i][0]].fraction for i in leader],
        points=_points(grid, curves, means),
    )


def interval(value: Floats, drawn: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The basic bootstrap's interval, which also takes back the bias of a minimum; `value` itself is never left out."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return np.minimum(2 * value - high, value), np.maximum(2 * value - low, value)


def estimate(value: float, drawn: Floats | None, confidence: float = 0.95) -> Estimate:
    """A value with the interval that its draws give."""
    if drawn is None:
        return Estimate(value)
    low, high = interval(np.array([value]), drawn[:, None], confidence)
    return Estimate(value, float(low[0]), float(high[0]))


def _points(grid: Grid, curves: list[Integers], means: Floats) -> list[Point]:
    found: list[Point] = []
    lowest = np.inf
    for i in sorted(np.concatenate(curves).tolist(), key=lambda i: (grid.kept_tokens[i], means[i])):
        if means[i] < lowest - SAME:
            lowest = means[i]
            one = grid.configurations[i]
            loss = float(np.exp(means[i]))
            found.append(Point(fraction=one.fraction, size=one.size, kept_tokens=float(grid.kept_tokens[i]), loss=loss))
    return found


def free_range(grid: Grid, score: str, means: Floats, noise: Noise | None) -> tuple[float, float]:
    """Logarithms of the kept tokens between which the envelope is not cut short by where curves begin and end.

    A curve that is clearly the lowest where it ends would have gone on being it, had the pool been larger; so the
    envelope beyond says nothing of pruning. Likewise where a curve begins. The range may be empty.
    """
    curves = grid.curves_of(score)
    ends = [(np.log(grid.kept_tokens[c[0]]), np.log(grid.kept_tokens[c[-1]])) for c in curves]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    for curve, (first, last) in zip(curves, ends, strict=True):
        earlier = [c for c, end in zip(curves, ends, strict=True) if end[0] < first - _SAME_PLACE]
        later = [c for c, end in zip(curves, ends, strict=True) if end[1] > last + _SAME_PLACE]
        if _leads(grid, curve, earlier, first, means, noise):
            low = max(low, first)
        if _leads(grid, curve, later, last, means, noise):
            high = min(high, last)
    return low, high


def _leads(
    grid: Grid, curve: Integers, others: list[Integers], place: float, means: Floats, noise: Noise | None
) -> bool:
    """Whether a curve is clearly below all `others` that are there at a place, or the only one that is there.

    Without any others, the place is an end of the whole envelope, and nothing is cut.
    """
    here = weights_at(grid, curve, np.array([place]))
    rows = [weights_at(grid, other, np.array([place])) for other in others]
    rows = [row for row in rows if not np.isnan(row[0, 0])]
    if not rows:
        return bool(others)
    gaps = np.concatenate(rows) - here
    clear = 0.0 if noise is None else _CLEAR * noise.standard_errors(gaps)
    return bool(np.all(gaps @ means > clear))


@dataclass(frozen=True, kw_only=True)
class Control:
    """The curve through cells that keep everything or keep by chance, on a logarithmic grid of kept tokens."""

    kept_tokens: list[float]
    loss: list[float]
    low: list[float] | None
    high: list[float] | None
    degree: int
    """Of the polynomial in logarithms."""
    whole: bool
    """Only cells that keep everything are on it, as keeping by chance has other epochs."""


@dataclass(frozen=True, kw_only=True)
class ControlCurve:
    """The control, ready to be read either way.

    Keeping by chance is a smaller pool, so both kinds of cells lie on one curve, as long as all are trained on for
    equally many epochs; otherwise only those that keep everything count.
    """

    places: Floats
    """Ascending logarithms of kept tokens."""
    weights: Floats
    """places x configurations: the fitted values as sums of log losses."""
    train: Floats
    """Logarithms of the tokens trained on at the places."""
    degree: int
    whole: bool
    """Only cells that keep everything are on it."""

    @property
    def rises(self) -> bool:
        """Whether more unique tokens are more tokens trained on, here, so that the curve is one of compute, too."""
        return bool(np.ptp(self.train) > np.ptp(self.places) / 2)

    def values(self, log_losses: Floats) -> Floats:
        """draws x places; never rising."""
        return np.minimum.accumulate(log_losses @ self.weights.T, axis=1)

    def inverse(self, values: Floats, log_losses: Floats) -> Floats:
        """Logarithms of the kept tokens at which `values` reach losses, row by row; the ends of the curve beyond them.

        Both have a row for each draw; `log_losses` and what is returned have as many columns as were asked for.
        """
        found = np.empty_like(log_losses)
        rows = np.arange(len(values))
        for column, wanted in enumerate(log_losses.T):
            right = np.clip((values > wanted[:, None]).sum(axis=1), 1, len(self.places) - 1)
            upper, lower = values[rows, right - 1], values[rows, right]
            share = (upper - wanted) / np.maximum(upper - lower, 1e-15)
            step = self.places[right] - self.places[right - 1]
            found[:, column] = self.places[right - 1] + np.clip(share, 0.0, 1.0) * step
        return found


def control_curve(grid: Grid, noise: Noise | None) -> ControlCurve | None:
    """A polynomial in logarithms, of the third degree at most; None if it has not two different numbers of tokens."""
    whole = [i for i, one in enumerate(grid.configurations) if one.score == ALL]
    both = [i for i, one in enumerate(grid.configurations) if one.score in (ALL, RANDOM)]
    if not both:
        return None
    epochs = grid.epochs[both]
    alone = bool(epochs.max() > _SAME_EPOCHS * epochs.min())
    chosen = np.array(whole if alone else both, np.int64)
    kept = np.log(grid.kept_tokens[chosen])
    distinct = 1 + int((np.diff(np.sort(kept)) > 0.05).sum())
    if distinct < 2:
        return None
    degree = 3 if distinct >= 8 else min(2, distinct - 1)
    # By seeds alone: where the others of the grid lie is nothing to the control.
    spread = np.ones(len(chosen)) if noise is None else np.sqrt(np.diag(noise.seed_covariance)[chosen])
    middle, reach = kept.mean(), np.ptp(kept)
    design = np.vander((kept - middle) / reach, degree + 1) / spread[:, None]
    places = np.linspace(kept.min(), kept.max(), 2 * STEPS + 1)
    weights = np.zeros((len(places), len(grid)))
    weights[:, chosen] = np.vander((places - middle) / reach, degree + 1) @ np.linalg.pinv(design) / spread
    order = np.argsort(kept)
    train = np.interp(places, kept[order], np.log(grid.train_tokens[chosen])[order])
    return ControlCurve(places=places, weights=weights, train=train, degree=degree, whole=alone)


def control(curve: ControlCurve, means: Floats, noise: Noise | None) -> Control:
    """As it is reported."""
    value = curve.values(means[None])[0]
    low = high = None
    if noise is not None:
        below, above = interval(value, curve.values(means + noise.draws))
        low, high = np.exp(below).tolist(), np.exp(above).tolist()
    return Control(
        kept_tokens=np.exp(curve.places).tolist(),
        loss=np.exp(value).tolist(),
        low=low,
        high=high,
        degree=curve.degree,
        whole=curve.whole,
    )
