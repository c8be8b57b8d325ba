"""Is the frontier steeper than the power law of unpruned data? (Sorscher et al. 2022, arXiv:2206.14486, section 2.)

The slope is d ln loss / d ln kept tokens along the envelope of a score, by least squares over points that lie evenly in
the logarithm; that of the control is taken in the same way over the same tokens, from the envelope of the cells that
keep all or keep by chance, so that what the grid and the minimum do to the one they do to the other. Only the range is
looked at where neither envelope is cut short (`frontier.free_range`).

A loss has a floor that no data lower. So a frontier that is worth a constant factor of data is a little flatter than
the control at the same tokens, as its loss is nearer to the floor. `growth` is free of that: the slope of ln multiplier
against ln kept tokens, where the multiplier is the control's tokens at equal loss. It is 0 for a constant factor of
data, and positive where pruning is worth the more, the more data there are.

Differs from the paper: there the axis is the test error, whose floor is taken for zero.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier.frontier import ControlCurve, envelope, estimate, free_range, interval
from corpusmill.scaling.frontier.grid import Floats, Grid
from corpusmill.scaling.frontier.seed_noise import Noise
from corpusmill.scaling.laws.fit import Estimate

_STEPS = 33
_LEAST_RANGE = float(np.log(1.5))
"""Of kept tokens: a slope over less than this factor is of noise."""
_PIECE = float(np.log(2.0))
"""Each local slope is over at least a doubling."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Slopes over a range of kept tokens."""

    from_tokens: float
    to_tokens: float
    slope: Estimate
    control: Estimate
    difference: Estimate
    """Negative where the frontier is steeper."""


@dataclass(frozen=True, kw_only=True)
class Slope(Piece):
    """Of one score."""

    score: str
    growth: Estimate | None
    """Of ln multiplier; None where too little of the range has one."""
    steeper: bool | None
    """By `difference`. False: shallower, and not only for being nearer to the floor. None: not shown."""
    grows: bool | None
    """By `growth`: whether pruning is worth more, the more data there are. False: less. None: not shown."""
    local: list[Piece]


def slopes(
    grid: Grid,
    curve: ControlCurve | None,
    means: Floats,
    noise: Noise | None,
    *,
    confidence: float,
    shown: Collection[str],
) -> tuple[list[Slope], list[str]]:
    """Of all scores but the control, and a sentence for each score that has none.

    `confidence` is that of the verdict over all scores together. A score that is not among `shown`, those that are
    better than chance somewhere, gets no verdict: its frontier is the control's, as far as anybody can tell.
    """
    found, notes = [], []
    rows = means[None] if noise is None else np.concatenate([means[None], means + noise.draws])
    scores = [score for score in grid.scores if score != RANDOM]
    alone = 1 - (1 - confidence) / max(2 * len(scores), 1)
    reference = RANDOM if RANDOM in grid.scores else ALL
    for score in scores:
        ranges = [free_range(grid, name, means, noise) for name in (score, reference)]
        low, high = max(pair[0] for pair in ranges), min(pair[1] for pair in ranges)
        if high - low < _LEAST_RANGE:
            notes.append(
                f"{score}: no slope, since the curves that lead its frontier cover too narrow a range of kept tokens "
                "in common; sizes further apart would show one"
            )
            continue
        places = np.linspace(low, high, _STEPS)
        own, control = (envelope(grid, name, rows, places)[0] for name in (score, reference))
        whole, difference = _piece(places, own, control)
        growth = None if curve is None else _growth(curve, rows, places, own)
        steeper = grows = None
        if score in shown:
            rising = _rising(difference, alone)
            grows = None if growth is None else _rising(growth, alone)
            steeper = None if rising is None or (rising and growth is not None and grows is not False) else not rising
        pieces = max(1, min(len(grid.sizes) - 1, int((high - low) / _PIECE)))
        bounds = np.linspace(0, _STEPS - 1, pieces + 1).round().astype(int)
        cuts = [slice(a, b + 1) for a, b in pairwise(bounds)]
        found.append(
            Slope(
                score=score,
                from_tokens=whole.from_tokens,
                to_tokens=whole.to_tokens,
                slope=whole.slope,
                control=whole.control,
                difference=whole.difference,
                growth=None if growth is None else _first(growth),
                steeper=steeper,
                grows=grows,
                local=[_piece(places[cut], own[:, cut], control[:, cut])[0] for cut in cuts],
            )
        )
    return found, notes


def least_squares_slope(places: Floats, values: Floats) -> Floats:
    """Of each row of values.

    >>> least_squares_slope(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 0.5, 0.0]]))
    array([-0.5])
    """
    centred = places - places.mean()
    return np.asarray(values @ centred / (centred @ centred))


def _piece(places: Floats, own: Floats, control: Floats) -> tuple[Piece, Floats]:
    slope, reference = least_squares_slope(places, own), least_squares_slope(places, control)
    difference = slope - reference
    piece = Piece(
        from_tokens=float(np.exp(places[0])),
        to_tokens=float(np.exp(places[-1])),
        slope=_first(slope),
        control=_first(reference),
        difference=_first(difference),
    )
    return piece, difference


def _first(values: Floats) -> Estimate:
    return estimate(float(values[0]), values[1:] if len(values) > 1 else None)


def _rising(values: Floats, confidence: float) -> bool | None:
    """Whether a value, the first, is shown to be above zero (True) or below (False)."""
    if len(values) == 1:
        return None
    below, above = interval(values[:1], values[1:, None], confidence)
    return True if below[0] > 0 else (False if above[0] < 0 else None)


def _growth(curve: ControlCurve, rows: Floats, places: Floats, own: Floats) -> Floats | None:
    """The slope of ln multiplier, over the part of the range whose losses the control reached as well."""
    values = curve.values(rows)
    inside = (own[0] > values[0, -1]) & (own[0] < values[0, 0])
    if inside.sum() < 3 or np.ptp(places[inside]) < _LEAST_RANGE:
        return None
    logs = curve.inverse(values, own[:, inside])
    return least_squares_slope(places[inside], logs - places[inside])
