"""The compute multiplier: how many times as many tokens the control needs for the same loss.

As DatologyAI reports its curations: the baseline's compute at equal metric, divided by the curated data's. The proxy is
the same, so compute is tokens trained on; the multiplier of data is that of unique tokens. Both are read off the
control's curve (frontier.py) within its range only: where the draws of the means' errors put a loss below all that the
control reached, there is no upper end, and what is given is "at least". A control that was trained on equally many
tokens everywhere says nothing of compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier.frontier import ControlCurve, estimate
from corpusmill.scaling.frontier.grid import Floats, Grid
from corpusmill.scaling.frontier.seed_noise import Noise
from corpusmill.scaling.laws.fit import Estimate

Flags = NDArray[np.bool_]
Bound = Literal["within", "at_least", "at_most"]
_TAIL = 0.025
"""Share of the draws that may lie beyond an end of an interval."""


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """Of one configuration."""

    score: str
    fraction: float
    size: int
    compute: Estimate | None
    """None where the control's tokens trained on do not rise with its unique tokens."""
    data: Estimate
    bound: Bound
    """`at_least`, `at_most`: the values are bounds, and have no interval."""


def multipliers(grid: Grid, curve: ControlCurve, means: Floats, noise: Noise | None) -> list[Multiplier]:
    """Of all configurations but those of the control, and those that may lie beyond either end of its curve."""
    log_losses = means[None] if noise is None else np.concatenate([means[None], means + noise.draws])
    values = curve.values(log_losses)
    found = []
    for i, one in enumerate(grid.configurations):
        if one.score in (ALL, RANDOM):
            continue
        bound = _bound(log_losses[:, i] < values[:, -1], log_losses[:, i] > values[:, 0])
        if bound is None:
            continue
        kept = curve.inverse(values, log_losses[:, i : i + 1])[:, 0]
        data = kept - np.log(grid.kept_tokens[i])
        compute = np.interp(kept, curve.places, curve.train) - np.log(grid.train_tokens[i])
        found.append(
            Multiplier(
                score=one.score,
                fraction=one.fraction,
                size=one.size,
                compute=_exponential(compute, bound) if curve.rises else None,
                data=_exponential(data, bound),
                bound=bound,
            )
        )
    return found


def _bound(below: Flags, above: Flags) -> Bound | None:
    """By which draws of a loss are below all that the control reached, and which above; None: too many of both.

    The first of each is that of the means, which speak where there are no draws.
    """
    low, high = (float(beyond[min(len(beyond) - 1, 1) :].mean()) > _TAIL for beyond in (below, above))
    if low and high:
        return None
    return "at_least" if low else "at_most" if high else "within"


def _exponential(logs: Floats, bound: Bound) -> Estimate:
    """Of the first value with an interval by the others; a bound is the end of that interval that is known."""
    if len(logs) == 1:
        return Estimate(float(np.exp(logs[0])))
    if bound != "within":
        return Estimate(float(np.exp(np.quantile(logs[1:], _TAIL if bound == "at_least" else 1 - _TAIL))))
    one = estimate(float(logs[0]), logs[1:])
    ends = [None if end is None else float(np.exp(end)) for end in (one.low, one.high)]
    return Estimate(float(np.exp(one.value)), *ends)
