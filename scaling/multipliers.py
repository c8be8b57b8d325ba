"""The compute multiplier: how many times as many tokens the control needs for the same loss.

As DatologyAI reports its curations: the baseline's compute at equal metric, divided by the curated data's. The proxy is
the same, so compute is tokens trained on; the multiplier of data is that of unique tokens. Both are read off the
control's curve (frontier.py) within its range only: a loss below all that the control reached gives "at least".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.fit import Estimate
from corpusmill.scaling.frontier import ControlCurve, estimate
from corpusmill.scaling.grid import Floats, Grid
from corpusmill.scaling.seed_noise import Noise

Bound = Literal["within", "at_least", "at_most"]


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """Of one configuration."""

    score: str
    fraction: float
    size: int
    compute: Estimate
    data: Estimate
    bound: Bound


def multipliers(grid: Grid, curve: ControlCurve, means: Floats, noise: Noise | None) -> list[Multiplier]:
    """Of all configurations but those of the control."""
    value = curve.values(means[None])[0]
    drawn = None if noise is None else curve.values(means + noise.draws)
    found = []
    for i, one in enumerate(grid.configurations):
        if one.score in (ALL, RANDOM):
            continue
        bound: Bound = "within"
        if means[i] < value[-1]:
            bound = "at_least"
        elif means[i] > value[0]:
            bound = "at_most"
        kept = float(curve.inverse(value, means[i]))
        data = kept - float(np.log(grid.kept_tokens[i]))
        compute = float(np.interp(kept, curve.places, curve.train) - np.log(grid.train_tokens[i]))
        data_draws = compute_draws = None
        if noise is not None and drawn is not None and bound == "within":
            losses = means[i] + noise.draws[:, i]
            places = np.array([curve.inverse(row, loss) for row, loss in zip(drawn, losses, strict=True)])
            data_draws = places - np.log(grid.kept_tokens[i])
            compute_draws = np.interp(places, curve.places, curve.train) - np.log(grid.train_tokens[i])
        found.append(
            Multiplier(
                score=one.score,
                fraction=one.fraction,
                size=one.size,
                compute=_exponential(estimate(compute, compute_draws)),
                data=_exponential(estimate(data, data_draws)),
                bound=bound,
            )
        )
    return found


def _exponential(one: Estimate) -> Estimate:
    ends = [None if end is None else float(np.exp(end)) for end in (one.low, one.high)]
    return Estimate(float(np.exp(one.value)), *ends)
