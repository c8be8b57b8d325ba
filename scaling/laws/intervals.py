"""95 % intervals of fitted parameters: by profile, or by bootstrap.

**Profile** (Bates & Watts 1988, Nonlinear Regression Analysis, chapter 6), for least squares in log loss: a value
belongs to the interval if, with the parameter held there and all others refitted, the sum of squares S grows by less
than t² · S_min / (n − p), t being Student's quantile for n − p degrees of freedom. It needs no symmetry, is right for
few points, and runs to the bound where the data do not hold the parameter.

**Bootstrap**, for Huber losses and many points: points, or whole groups of them such as seeds, are drawn with
replacement, the fit is repeated from the optimum, and the interval lies between the percentiles 2.5 and 97.5. It is too
narrow for few points: 3 seeds of 4 sizes take the profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri as normal_quantile
from scipy.special import stdtrit as student_quantile

from corpusmill.scaling.laws.descent import Bounds, Floats, Surface, descend

LEVEL = 0.95
_TAIL = 50 * (1 - LEVEL)  # per cent at either end
_TURNS = 40  # in the search for an interval's ends
_ENOUGH = 2e-3  # of an interval's half width: how well its ends are known
_EXACT = 1e-24  # a squared residual below this is rounding


@dataclass(frozen=True, slots=True)
class Draws:
    """Bootstrap draws that came to an end.

    theta   float64[draws, parameters]
    failed  how many did not, and are left out
    """

    theta: Floats
    failed: int

    def ends(self) -> tuple[Floats, Floats]:
        """The interval of each parameter."""
        low, high = np.percentile(self.theta, [_TAIL, 100 - _TAIL], axis=0)
        return low, high


def resampled_weights(
    points: int, draws: int, generator: np.random.Generator, groups: Sequence[object] | NDArray[np.generic] | None
) -> Floats:
    """How often each draw has each point: float64[draws, points]; the points of a group come together."""
    if groups is None:
        members = np.arange(points)
        count = points
    else:
        names, members = np.unique(np.asarray(groups), return_inverse=True)
        count = len(names)
    counts = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    return counts[:, members].astype(np.float64)


def bootstrap(
    surface: Surface,
    observed: Floats,
    optimum: Floats,
    bounds: Bounds,
    *,
    delta: float,
    weights: Floats,
    draws: int,
    seed: int,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    steps: int = 150,
) -> Draws:
    """Refits resampled points from the optimum. A draw that has fewer different points than parameters failed."""
    generator = np.random.default_rng(seed)
    counts = resampled_weights(len(observed), draws, generator, groups)
    enough = (counts > 0).sum(axis=1) >= len(optimum)
    if not enough.any():
        return Draws(np.empty((0, len(optimum))), draws)
    descent = descend(
        surface,
        observed,
        np.tile(optimum, (int(enough.sum()), 1)),
        bounds,
        delta=delta,
        weights=counts[enough] * weights,
        steps=steps,
        tolerance=1e-6,
    )
    # One that crept on to the last step is where its interval needs it; one without a value is nowhere.
    kept = np.isfinite(descent.objective)
    return Draws(descent.theta[kept], draws - int(kept.sum()))


def simulate(
    surface: Surface, observed: Floats, optimum: Floats, bounds: Bounds, *, weights: Floats, draws: int, seed: int
) -> Draws:
    """Refits losses drawn around the optimum, with noise as large as Student's quantile makes it for so few points.

    For predictions of a least-squares fit: percentiles of the draws' losses are the interval of the mean loss.
    """
    free = len(observed) - len(optimum)
    predicted, _ = surface(optimum[None])
    variance = float(weights @ (predicted[0] - observed) ** 2) / free
    tail = 0.5 + LEVEL / 2
    size = np.sqrt(variance / weights) * float(student_quantile(free, tail) / normal_quantile(tail))
    noise = np.random.default_rng(seed).standard_normal((draws, len(observed)))
    starts = np.tile(optimum, (draws, 1))
    descent = descend(surface, predicted[0] + size * noise, starts, bounds, weights=weights, steps=60, tolerance=1e-5)
    kept = np.isfinite(descent.objective)
    return Draws(descent.theta[kept], draws - int(kept.sum()))


def profile(
    surface: Surface, observed: Floats, optimum: Floats, bounds: Bounds, *, weights: Floats
) -> tuple[Floats, Floats]:
    """The ends of each parameter's interval, at most the bounds.

    All ends are searched for at once: a set of parameters for each side of each interval, that parameter held.
    """
    count = len(optimum)
    free = len(observed) - count
    predicted, derivatives = surface(optimum[None])
    residuals = predicted[0] - observed
    least = max(float(weights @ residuals**2), _EXACT * len(observed))
    rise = least * float(student_quantile(free, 0.5 + LEVEL / 2)) ** 2 / free
    held = np.repeat(np.arange(count), 2)
    lanes = np.arange(2 * count)
    side = np.tile([-1.0, 1.0], count)
    limit = np.where(side < 0, bounds.low[held], bounds.high[held])
    reach = np.abs(limit - optimum[held])
    inside, outside = np.zeros(2 * count), np.full(2 * count, np.inf)
    # The root of the growth of S, 1 at the interval's end, is nearly linear in the distance from the optimum.
    root_inside, root_outside = np.zeros(2 * count), np.full(2 * count, np.inf)
    guess = _linear_reach(derivatives[0], weights, rise)[held]
    distance = np.minimum(np.where(guess > 0, guess, reach), reach)
    done = np.zeros(2 * count, np.bool_)
    starts = np.tile(optimum, (2 * count, 1))
    for _ in range(_TURNS):
        low, high = np.tile(bounds.low, (2 * count, 1)), np.tile(bounds.high, (2 * count, 1))
        value = np.where(distance >= reach, limit, optimum[held] + side * distance)
        low[lanes, held] = high[lanes, held] = np.clip(value, bounds.low[held], bounds.high[held])
        going = ~done
        found = descend(
            surface,
            observed,
            starts[going],
            Bounds(low[going], high[going]),
            weights=weights,
            steps=60,
            tolerance=1e-5,
        )
        root = np.full(2 * count, np.nan)
        root[going] = np.sqrt(np.maximum(2 * found.objective - least, 0.0) / rise)
        near, far = going & (root <= 1), going & (root > 1)
        starts[going] = np.where(near[going, None], found.theta, starts[going])
        inside, root_inside = np.where(near, distance, inside), np.where(near, root, root_inside)
        outside, root_outside = np.where(far, distance, outside), np.where(far, root, root_outside)
        done |= near & ((distance >= reach) | (root > 1 - _ENOUGH))
        done |= far & (root < 1 + _ENOUGH)
        done |= np.isfinite(outside) & (outside - inside <= 1e-6 * outside)
        if done.all():
            break
        with np.errstate(invalid="ignore"):
            share = (1 - root_inside) / (root_outside - root_inside)
            between = inside + np.clip(np.where(share > 0, share, 0.5), 0.05, 0.95) * (outside - inside)
        next_distance = np.where(np.isfinite(outside), between, np.minimum(np.maximum(2 * distance, 1e-9), reach))
        distance = np.where(done, distance, next_distance)
    ends = np.where(distance >= reach, limit, optimum[held] + side * distance)
    return ends[0::2], ends[1::2]


def _linear_reach(derivatives: Floats, weights: Floats, rise: float) -> Floats:
    """How far each parameter goes while the sum of squares grows by `rise`, were the law linear; 0 if nobody knows."""
    matrix = (derivatives * weights[:, None]).T @ derivatives
    size = np.sqrt(np.diag(matrix))
    if not np.all(size > 0):
        return np.zeros(len(size))
    inverse = np.linalg.pinv(matrix / np.outer(size, size), hermitian=True)
    return np.asarray(np.sqrt(np.maximum(rise * np.diag(inverse), 0.0)) / size)
