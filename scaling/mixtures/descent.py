"""Fits of mixture laws: many at once, each of its own losses, runs and ridge.

    objective(t, c) = Σ_run Huber((c + exp(t·r) − loss) / scale) + ridge / 2 · Σ_j (t_j − mean t)²

Levenberg and Marquardt's method, whose weights are Huber's, on arrays of [fits, runs, parameters]. The parameters of a
fit are the slopes t of all components and the floor c, which stays between 0 and the lowest loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError

Floats = NDArray[np.float64]

HUBER = 1.345
"""Huber's threshold in standard deviations: 95 % as efficient as least squares on normal residuals."""
MAD = 1.4826
"""Of a normal distribution: standard deviation / median absolute deviation."""
EXPONENT = 60.0
"""exp of more is no loss."""

_STARTS = (0.3, 0.6, 0.85, 0.95)
"""Floors to start from, as shares of the lowest loss."""
_ROUNDS, _REFITTED = 5, 2
"""Rounds of a fit, each with the residuals' scale taken anew; of one that starts at the fitted law with its scale."""
_STEPS = 12
"""Steps of a round."""
_LEAST_SCALE = 1e-7
"""Of the residuals, as a share of the loss: below that there is only rounding."""
_CHUNK = 4_000_000
"""Numbers in one array of derivatives: 32 MB."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where fits ended: theta float64[fits, components + 1], the floor last; objective and scale float64[fits];
    predicted float64[fits, runs]."""

    theta: Floats
    objective: Floats
    scale: Floats
    predicted: Floats

    def take(self, places: NDArray[np.int64]) -> Fitted:
        return Fitted(*(getattr(self, name)[places] for name in self.__slots__))


def starts(shares: Floats, targets: Floats, ridge: Floats) -> Floats:
    """The best of several descents with different floors, for each target: float64[targets, components + 1]."""
    ends = []
    for start in _STARTS:
        floor = start * targets.min(axis=1)
        slopes = _log_linear(shares, targets - floor[:, None])
        theta = np.concatenate([slopes, floor[:, None]], axis=1)
        ends.append(fit_all(shares, targets, np.ones_like(targets), ridge, theta))
    # With a scale of their own each, the ends compare by the likelihood, of which the scale's logarithm is part.
    scores = np.array([end.objective + targets.shape[1] * np.log(end.scale) for end in ends])
    best = scores.argmin(axis=0)
    return np.array([ends[which].theta[target] for target, which in enumerate(best)])


def _log_linear(shares: Floats, above: Floats) -> Floats:
    """Slopes of the least squares of ln(loss − floor): float64[targets, components]."""
    components = shares.shape[1]
    matrix = shares.T @ shares + 1e-3 * np.eye(components)
    logs = np.log(above)
    mean = logs.mean(axis=1, keepdims=True)
    return np.asarray(mean + np.linalg.solve(matrix, shares.T @ (logs - mean).T).T)


def fit_all(
    shares: Floats, targets: Floats, weights: Floats, ridge: Floats, start: Floats, scale: Floats | None = None
) -> Fitted:
    """Fits of targets float64[fits, runs] with weights of 0 or 1 (a run left out, or not), from one start each.

    The objective is the sum of Huber's losses of residual / scale, plus ridge / 2 · the sum of squares of what slopes
    differ from their mean. Without a scale given, it is taken from the residuals, again and again.
    """
    size = max(1, _CHUNK // (shares.shape[0] * (shares.shape[1] + 1)))
    parts = []
    for first in range(0, len(targets), size):
        cut = slice(first, first + size)
        parts.append(
            _fit_some(shares, targets[cut], weights[cut], ridge[cut], start[cut], None if scale is None else scale[cut])
        )
    return Fitted(*(np.concatenate([getattr(part, name) for part in parts]) for name in Fitted.__slots__))


def _fit_some(
    shares: Floats, targets: Floats, weights: Floats, ridge: Floats, start: Floats, scale: Floats | None
) -> Fitted:
    theta = np.array(start)
    highest = targets.min(axis=1)
    theta[:, -1] = np.clip(theta[:, -1], 0, highest)
    penalty = _penalty(shares.shape[1])
    for _ in range(_ROUNDS if scale is None else _REFITTED):
        used = _scale(shares, targets, weights, theta) if scale is None else scale
        objective = _descended(shares, targets, weights, ridge, used, penalty, theta, highest)
    return Fitted(theta, objective, used, _predicted(shares, theta))


def _predicted(shares: Floats, theta: Floats) -> Floats:
    return np.asarray(np.exp(np.minimum(theta[:, :-1] @ shares.T, EXPONENT)) + theta[:, -1:])


def _scale(shares: Floats, targets: Floats, weights: Floats, theta: Floats) -> Floats:
    """A robust standard deviation of the residuals of each fit, for the degrees of freedom."""
    size = np.abs(_predicted(shares, theta) - targets)
    counted = weights.sum(axis=1)
    median = np.nanmedian(np.where(weights > 0, size, np.nan), axis=1)
    free = np.maximum(counted - theta.shape[1], counted / 4)
    floor = _LEAST_SCALE * np.median(targets, axis=1)
    return np.asarray(np.maximum(MAD * median * np.sqrt(counted / free), floor))


def leverages(shares: Floats, fitted: Fitted, ridge: Floats) -> Floats:
    """How far each run draws the law to itself, 0 to 1: float64[losses, runs]."""
    derivatives = _derivatives(shares, fitted.predicted - fitted.theta[:, -1:]) / fitted.scale[:, None, None]
    matrix = np.matmul(derivatives.transpose(0, 2, 1), derivatives) + ridge[:, None, None] * _penalty(shares.shape[1])
    inverse = np.linalg.pinv(matrix, hermitian=True)
    return np.asarray((np.matmul(derivatives, inverse) * derivatives).sum(axis=2))


def _derivatives(shares: Floats, above: Floats) -> Floats:
    """Of the loss by slopes and floor: float64[fits, runs, components + 1]."""
    found = np.ones((*above.shape, shares.shape[1] + 1))
    np.multiply(above[:, :, None], shares[None], out=found[:, :, :-1])
    return found


def _penalty(components: int) -> Floats:
    """Of what the slopes differ from their mean; the floor is free."""
    matrix = np.zeros((components + 1, components + 1))
    matrix[:-1, :-1] = np.eye(components) - 1 / components
    return matrix


def _descended(
    shares: Floats,
    targets: Floats,
    weights: Floats,
    ridge: Floats,
    scale: Floats,
    penalty: Floats,
    theta: Floats,
    highest: Floats,
) -> Floats:
    """Moves theta downhill in place; returns the objective where it ends."""

    def value(at: Floats) -> tuple[Floats, Floats]:
        residuals = (_predicted(shares, at) - targets) / scale[:, None]
        size = np.abs(residuals)
        robust = np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER))
        held = 0.5 * ridge * np.einsum("fi,ij,fj->f", at, penalty, at)
        return (weights * robust).sum(axis=1) + held, residuals

    damping = np.full(len(theta), 1e-3)
    objective, residuals = value(theta)
    diagonal = np.arange(theta.shape[1])
    for _ in range(_STEPS):
        derivatives = _derivatives(shares, residuals * scale[:, None] + targets - theta[:, -1:])
        derivatives /= scale[:, None, None]
        bend = weights * np.minimum(1.0, HUBER / np.maximum(np.abs(residuals), 1e-300))
        weighted = derivatives * bend[:, :, None]
        matrix = np.matmul(weighted.transpose(0, 2, 1), derivatives) + ridge[:, None, None] * penalty
        gradient = np.matmul(residuals[:, None, :], weighted)[:, 0] + ridge[:, None] * (theta @ penalty)
        at_bound = ((theta[:, -1] <= 0) & (gradient[:, -1] > 0)) | ((theta[:, -1] >= highest) & (gradient[:, -1] < 0))
        gradient[at_bound, -1] = 0.0
        matrix[at_bound, -1, :] = matrix[at_bound, :, -1] = 0.0
        largest = matrix[:, diagonal, diagonal].max(axis=1, keepdims=True)
        matrix[:, diagonal, diagonal] += damping[:, None] * matrix[:, diagonal, diagonal] + 1e-12 * largest + 1e-300
        step = np.linalg.solve(matrix, -gradient[:, :, None])[:, :, 0]
        tried = theta + step
        tried[:, -1] = np.clip(tried[:, -1], 0, highest)
        reached, tried_residuals = value(tried)
        better = reached < objective
        theta[better], objective[better], residuals[better] = tried[better], reached[better], tried_residuals[better]
        damping = np.clip(np.where(better, damping / 5, damping * 8), 1e-12, 1e12)
    if not math.isfinite(float(objective.sum())):
        raise InputError("losses: the law has no finite value near them; give losses in bits per byte or nats")
    return objective
