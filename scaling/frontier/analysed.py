"""What an analysis finds, as dataclasses whose fields are the keys that scaling/frontier/analysis.py describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from corpusmill.scaling.frontier.agreement import OfProxies, OfSizes
from corpusmill.scaling.frontier.best_fraction import Best, Effect
from corpusmill.scaling.frontier.frontier import Control, Frontier
from corpusmill.scaling.frontier.multipliers import Multiplier
from corpusmill.scaling.frontier.slopes import Slope


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A cell that the grid has and the table has not."""

    score: str
    fraction: float
    size: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much losses differ between seeds and by the choice of held-out documents, as shares of the loss."""

    seed: float
    """Standard deviation of what all cells of a seed and size share."""
    cell: float
    """... and of what is left of a single cell."""
    degrees: float
    """Of freedom, of comparisons within a size."""
    heldout: float | None
    """Standard deviation of a configuration's mean by the choice of held-out documents, beside the others of its grid;
    null where proxies do not tell the losses of documents."""


@dataclass(frozen=True, kw_only=True)
class DomainLoss:
    """On one held-out domain."""

    loss: float | None
    standard_error: float | None


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A configuration's mean over its seeds."""

    score: str
    fraction: float
    size: int
    kept_tokens: float
    train_tokens: float
    epochs: float
    seeds: int
    loss: float
    low: float | None
    high: float | None
    standard_error: float | None
    domains: Mapping[str, DomainLoss]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One score and fraction over the sizes."""

    score: str
    fraction: float
    size: list[int]
    kept_tokens: list[float]
    loss: list[float]
    low: list[float] | None
    high: list[float] | None


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What is shown of one score, adjusted for all that was asked."""

    score: str
    better_than_random: bool
    worse_than_random: bool
    better_than_all: bool
    steeper: bool | None
    """Than the control; False: shallower. None: not shown, or no slope."""
    grows: bool | None
    """What pruning is worth in data, with the data; False: it shrinks. None: not shown, or not known."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pool and one proxy."""

    pool: str
    proxy: str
    parameters: int | None
    sizes: list[int]
    fractions: list[float]
    scores: list[str]
    seeds: list[int]
    notes: list[str]
    conclusion: list[str]
    claims: list[Claims]
    missing: list[Missing]
    noise: Spread | None
    cells: list[Mean]
    curves: list[Curve]
    frontiers: list[Frontier]
    control: Control | None
    slopes: list[Slope]
    multipliers: list[Multiplier]
    effects: list[Effect]
    best: list[Best]


@dataclass(frozen=True, kw_only=True)
class Agreements:
    """Of rankings."""

    proxies: list[OfProxies]
    sizes: list[OfSizes]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All of a sweep."""

    version: int
    confidence: float
    draws: int
    seed: int
    conclusion: list[str]
    notes: list[str]
    panels: list[Panel]
    agreement: Agreements

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return dict(_plain(asdict(self)))


def _plain(value: Any) -> Any:
    """Without tuples, and without the numbers that JSON has not: they would stand for something that is not known."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
