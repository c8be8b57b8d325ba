"""Minimises Huber losses of scaling laws: many starts, or many bootstrap draws, at once.

    objective(θ) = Σ_i w_i · Huber_δ(ln L(x_i; θ) − ln L_i),    Huber_δ(r) = r²/2 up to |r| = δ, then δ(|r| − δ/2)

It is a sum: on the mean, L-BFGS stops early. Two steps:

1. `descend` takes all starts at once down by Levenberg and Marquardt's method, whose weights are Huber's (iteratively
   reweighted least squares: at every step the objective's quadratic majoriser). numpy works on arrays of
   [sets, points, parameters], so thousands of starts, and thousands of bootstrap draws, cost seconds.
2. `polish` takes the best on: with L-BFGS-B, analytic gradient and the objective scaled to 1 at the start, where
   Huber's loss has slowed the descent; for least squares, by more steps of the descent, which converges fast then.

Published fits run L-BFGS from each start alone (Hoffmann et al. 2022, arXiv:2203.15556, section D.3; Besiroglu et al.
2024, arXiv:2404.10102): the same objective and the same optimum, a minute's work for one fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK = 2_000_000
"""Numbers in one array of derivatives: 16 MB."""
_STALLED = 2
"""Steps in a row that gain less than the tolerance before a set of parameters counts as arrived."""
_FIRST_DAMPING = 1e-4
_LARGEST_DAMPING = 1e14
_POLISHED = 6
"""Ends of descents that are taken on."""


class Surface(Protocol):
    """A law at the points of the data, for many sets of parameters at once."""

    def __call__(self, theta: Floats) -> tuple[Floats, Floats]:
        """ln L float64[sets, points], and its derivatives float64[sets, points, parameters], at theta
        float64[sets, parameters]."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The box in which the parameters lie; float64[parameters] or float64[sets, parameters] each."""

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Descent:
    """Where each start ended.

    theta       float64[sets, parameters]
    objective   float64[sets]; infinite where the law had no finite value
    arrived     bool[sets]: whether it stopped because there was nothing more to gain
    """

    theta: Floats
    objective: Floats
    arrived: NDArray[np.bool_]


def huber(residuals: Floats, weights: Floats, delta: float) -> Floats:
    """The objective for residuals float64[sets, points].

    >>> huber(np.array([[0.5, 2.0]]), np.ones(2), 1.0).tolist()
    [1.625]
    """
    size = np.abs(residuals)
    inner = np.minimum(size, delta)
    # δ·(|r| − δ) where r is beyond δ, and 0 within; written so that δ may be infinite.
    outer = np.where(size > delta, inner * (size - inner), 0.0)
    total: Floats = (weights * (0.5 * inner * inner + outer)).sum(axis=-1)
    return np.where(np.isfinite(total), total, np.inf)


def slopes(residuals: Floats, delta: float) -> Floats:
    """Huber's derivative: the residual, cut at ±δ."""
    return np.clip(residuals, -delta, delta)


def descend(
    surface: Surface,
    observed: Floats,
    starts: Floats,
    bounds: Bounds,
    *,
    delta: float = np.inf,
    weights: Floats | None = None,
    steps: int = 200,
    tolerance: float = 1e-9,
) -> Descent:
    """Levenberg and Marquardt's method from every start, within the bounds.

    Args:
        observed: ln L, float64[points], or float64[sets, points] where each set has its own.
        starts: float64[sets, parameters].
        weights: float64[points], or float64[sets, points] where each set has its own, as bootstrap draws have.
        tolerance: the gain, as a share of the objective, below which a step counts for nothing.
    """
    sets, parameters = starts.shape
    points = observed.shape[-1]
    observed = np.broadcast_to(observed, (sets, points))
    weights = np.broadcast_to(np.ones(points) if weights is None else weights, (sets, points))
    low, high = (np.broadcast_to(side, starts.shape) for side in (bounds.low, bounds.high))
    size = max(1, _CHUNK // (points * parameters))
    parts = []
    for first in range(0, sets, size):
        cut = slice(first, first + size)
        parts.append(
            _descend(
                surface, observed[cut], starts[cut], Bounds(low[cut], high[cut]), weights[cut], delta, steps, tolerance
            )
        )
    theta, objective, arrived = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Descent(theta, objective, arrived)


def _descend(
    surface: Surface,
    observed: Floats,
    starts: Floats,
    bounds: Bounds,
    weights: Floats,
    delta: float,
    steps: int,
    tolerance: float,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    theta = np.clip(starts, bounds.low, bounds.high)
    with np.errstate(all="ignore"):
        predicted, derivatives = surface(theta)
        residuals = predicted - observed
        objective = huber(residuals, weights, delta)
    damping = np.full(len(theta), _FIRST_DAMPING)
    stalled = np.zeros(len(theta), np.int64)
    going = np.flatnonzero(np.isfinite(objective))
    for _ in range(steps):
        if not len(going):
            break
        at, low, high = theta[going], bounds.low[going], bounds.high[going]
        with np.errstate(all="ignore"):
            step = _step(
                derivatives[going], residuals[going], weights[going], delta, damping[going], at, Bounds(low, high)
            )
            tried = np.clip(at + step, low, high)
            tried = np.where(np.isfinite(tried), tried, at)
            predicted, tried_derivatives = surface(tried)
            tried_residuals = predicted - observed[going]
            reached = huber(tried_residuals, weights[going], delta)
        usable = np.isfinite(reached) & np.isfinite(tried_derivatives).all(axis=(1, 2))
        better = usable & (reached < objective[going])
        gain = np.where(better, objective[going] - reached, 0.0)
        small = gain <= tolerance * objective[going]
        moved = going[better]
        theta[moved], objective[moved] = tried[better], reached[better]
        residuals[moved], derivatives[moved] = tried_residuals[better], tried_derivatives[better]
        damping[going] *= np.where(better, 0.1, 6.0)
        damping = np.maximum(damping, 1e-12)
        stalled[going] = np.where(small, stalled[going] + 1, 0)
        # A refused step says only that it was too long, until the damping is so large that none is short enough.
        stalled[going[~better & (damping[going] < 1e8)]] -= 1
        going = going[(stalled[going] < _STALLED) & (damping[going] < _LARGEST_DAMPING)]
    arrived = np.isfinite(objective)
    arrived[going] = False
    return theta, objective, arrived


def _step(
    derivatives: Floats,
    residuals: Floats,
    weights: Floats,
    delta: float,
    damping: Floats,
    at: Floats,
    bounds: Bounds,
) -> Floats:
    """The damped Gauss–Newton step of each set; parameters that press against a bound stay."""
    size = np.abs(residuals)
    curvature = weights * np.where(size > delta, delta / np.maximum(size, 1e-300), 1.0)
    weighted = derivatives * curvature[:, :, None]
    gradient = np.einsum("sip,si->sp", weighted, residuals)
    matrix = np.matmul(weighted.transpose(0, 2, 1), derivatives)
    held = ((at <= bounds.low) & (gradient > 0)) | ((at >= bounds.high) & (gradient < 0)) | (bounds.low == bounds.high)
    gradient[held] = 0.0
    matrix[held] = 0.0
    matrix.transpose(0, 2, 1)[held] = 0.0
    diagonal = np.einsum("spp->sp", matrix)
    scale = np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300)
    index = np.arange(matrix.shape[1])
    matrix[:, index, index] += damping[:, None] * scale + held
    bad = ~np.isfinite(matrix).all(axis=(1, 2)) | ~np.isfinite(gradient).all(axis=1)
    matrix[bad], gradient[bad] = np.eye(matrix.shape[1]), 0.0
    # Equilibrated, so that logarithms of coefficients and exponents weigh alike.
    root = np.sqrt(np.maximum(matrix[:, index, index], 1e-300))
    matrix /= root[:, :, None] * root[:, None, :]
    matrix[:, index, index] += 1e-14
    solved: Floats = np.linalg.solve(matrix, (-gradient / root)[:, :, None])[:, :, 0] / root
    return solved


def polish(
    surface: Surface,
    observed: Floats,
    descent: Descent,
    bounds: Bounds,
    *,
    delta: float = np.inf,
    weights: Floats | None = None,
) -> tuple[Floats, float]:
    """The best end of a descent after L-BFGS-B from the best few, and the objective there.

    Raises:
        ValueError: if the law had a finite value at none of the starts.
    """
    given = np.ones(len(observed)) if weights is None else weights
    order = np.argsort(descent.objective, kind="stable")[:_POLISHED]
    if not np.isfinite(descent.objective[order[0]]):
        raise ValueError("the law has a finite value at none of the starts")
    starts = descent.theta[order[np.isfinite(descent.objective[order])]]
    if np.isinf(delta):
        ends = descend(surface, observed, starts, bounds, weights=given, tolerance=1e-14)
        place = int(np.argmin(ends.objective))
        return ends.theta[place], float(ends.objective[place])
    best, least = starts[0], float(descent.objective[order[0]])
    for start in starts:
        found, reached = _lbfgs(surface, observed, start, bounds, delta, given)
        if reached < least:
            best, least = found, reached
    return best, least


def _lbfgs(
    surface: Surface, observed: Floats, start: Floats, bounds: Bounds, delta: float, weights: Floats
) -> tuple[Floats, float]:
    from scipy.optimize import minimize  # a quarter of a second, which runs of a search would wait for

    def objective(theta: Floats) -> tuple[float, Floats]:
        value, gradient = objective_and_gradient(surface, observed, theta, delta=delta, weights=weights)
        return value * scale, gradient * scale

    first, _ = objective_and_gradient(surface, observed, start, delta=delta, weights=weights)
    scale = 1.0 / max(first, 1e-30)
    with np.errstate(all="ignore"):
        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(bounds.low.tolist(), bounds.high.tolist(), strict=True)),
            options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 20},
        )
    return np.asarray(found.x, np.float64), float(found.fun) / scale


def objective_and_gradient(
    surface: Surface, observed: Floats, theta: Floats, *, delta: float = np.inf, weights: Floats | None = None
) -> tuple[float, Floats]:
    """The objective at one set of parameters, and its gradient."""
    given = np.ones(len(observed)) if weights is None else weights
    predicted, derivatives = surface(theta[None])
    residuals = predicted[0] - observed
    value = float(huber(residuals[None], given, delta)[0])
    return value, (given * slopes(residuals, delta)) @ derivatives[0]
