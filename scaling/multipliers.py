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
    log_losses = means[None] if noise is None else np.concatenate([means[None], means + noise.draws])
    values = curve.values(log_losses)
    found = []
    for i, one in enumerate(grid.configurations):
        if one.score in (ALL, RANDOM):
            continue
        bound: Bound = "within"
        if means[i] < values[0, -1]:
            bound = "at_least"
        elif means[i] > values[0, 0]:
            bound = "at_most"
        kept = curve.inverse(values, log_losses[:, i : i + 1])[:, 0]
        data = kept - np.log(grid.kept_tokens[i])
        compute = np.interp(kept, curve.places, curve.train) - np.log(grid.train_tokens[i])
        found.append(
            Multiplier(
                score=one.score,
                fraction=one.fraction,
                size=one.size,
                compute=_exponential(compute, bound),
                data=_exponential(data, bound),
                bound=bound,
            )
        )
    return found


def _exponential(logs: Floats, bound: Bound) -> Estimate:
    """Of the first value, with an interval by the others where the loss lies within the control's range."""
    one = estimate(float(logs[0]), logs[1:] if bound == "within" and len(logs) > 1 else None)
    ends = [None if end is None else float(np.exp(end)) for end in (one.low, one.high)]
    return Estimate(float(np.exp(one.value)), *ends)
