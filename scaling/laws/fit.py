"""What every fit of a scaling law has in common: estimates with intervals, warnings, and no silent extrapolation.

A law gives its parameters (scaling/laws/diagnosis.py), its starts and its `Surface` (ln L and its derivatives); `solve`
does the rest: it refuses data that cannot be fitted, finds the optimum (scaling/laws/descent.py), gives intervals
(scaling/laws/intervals.py), and says in plain sentences what the data do not tell. A `Fit` predicts within the range of
its points; beyond it, only who says `extrapolate=True` gets an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from corpusmill.documents.errors import CorpusmillError, InputError
from corpusmill.scaling.laws.descent import Bounds, Floats, Surface, descend, polish
from corpusmill.scaling.laws.diagnosis import (
    Apart,
    Need,
    Parameter,
    at_bounds,
    few_points,
    flat_directions,
    rising_together,
    unmet,
)
from corpusmill.scaling.laws.intervals import Draws, bootstrap, profile, simulate

FEW_GROUPS = 8
"""Groups below which a bootstrap over them is said to be too narrow."""
FEWEST_DRAWS, LARGEST_DRAWS = 100, 20_000
"""Of fewer, percentiles 2.5 and 97.5 are chance: of two draws they can leave out the estimate itself."""
FEW_STARTS = 200
"""Of more starts, only the best quarter goes on after the first steps."""
_FIRST_STEPS = 12
_SLACK = 1e-9  # of a value: what rounding may put beyond the range

Formula = Callable[[Mapping[str, float], Mapping[str, Floats]], Floats]
"""The law: values of its parameters and of its inputs give losses."""


class ExtrapolationError(CorpusmillError):
    """A prediction was asked for beyond the points of the fit. Who wants it nevertheless says `extrapolate=True`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted value.

    low, high  the ends of its 95 % interval; None where none can be given
    """

    value: float
    low: float | None = None
    high: float | None = None

    def covers(self, value: float) -> bool:
        """Whether `value` lies in the interval. Without an interval, nothing does."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g} (no interval)"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law with what the data say of it.

    law        its name
    estimates  by the parameter's name, in the formula's order
    residuals  ln of the predicted less ln of the observed loss, for each point that was fitted
    objective  the sum that was minimised
    inputs     name -> (lowest, highest) of the points
    ratios     (name, name) -> the same of one input over another, where a law is as little known beyond it
    warnings   plain sentences: what the data do not tell; empty where nothing is amiss
    draws      of the parameters, float64[draws, parameters]: bootstrapped, or simulated; None where none were asked for
    formula    the law
    """

    law: str
    estimates: Mapping[str, Estimate]
    residuals: Floats
    objective: float
    inputs: Mapping[str, tuple[float, float]]
    ratios: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    draws: Floats | None = field(default=None, repr=False, compare=False)
    formula: Formula = field(repr=False, compare=False)

    @classmethod
    def of(
        cls,
        solution: Solution,
        law: str,
        formula: Formula,
        inputs: Mapping[str, Floats],
        *ratios: tuple[str, str],
        **more: Any,
    ) -> Self:
        """A fit of what `solve` found.

        Args:
            inputs: of all points, of which the ranges are kept.
            ratios: (name, name) of the inputs whose ratio has a range, too.
            more: fields that only the fit of this law has.
        """
        return cls(
            law=law,
            estimates=solution.estimates,
            residuals=solution.residuals,
            objective=solution.objective,
            inputs=spans(inputs),
            ratios=_ratio_spans(inputs, ratios),
            warnings=solution.warnings,
            draws=solution.draws,
            formula=formula,
            **more,
        )

    def value(self, name: str) -> float:
        """The estimate of one parameter, without its interval."""
        return self.estimates[name].value

    @property
    def error(self) -> float:
        """The root mean square of the residuals: 0.01 is about 1 % of the loss."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def predict(self, *, extrapolate: bool = False, **inputs: ArrayLike) -> Floats:
        """Losses at these inputs, which are broadcast against one another.

        Raises:
            ExtrapolationError: if an input lies beyond the points of the fit, unless `extrapolate`.
            InputError: if an input is missing, unknown, or no positive number.
        """
        given = self._checked(inputs, extrapolate)
        return self.formula({name: estimate.value for name, estimate in self.estimates.items()}, given)

    def predict_interval(self, *, extrapolate: bool = False, **inputs: float) -> Estimate:
        """The loss at one place, with the interval of the mean loss there: percentiles over the draws; none without."""
        given = self._checked(inputs, extrapolate)
        value = float(self.predict(extrapolate=extrapolate, **inputs))
        if self.draws is None:
            return Estimate(value)
        names = list(self.estimates)
        losses = [float(self.formula(dict(zip(names, draw.tolist(), strict=True)), given)) for draw in self.draws]
        low, high = np.percentile(losses, [2.5, 97.5])
        return Estimate(value, float(low), float(high))

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "law": self.law,
            "estimates": {
                name: {"value": estimate.value, "low": estimate.low, "high": estimate.high}
                for name, estimate in self.estimates.items()
            },
            "inputs": {name: list(ends) for name, ends in self.inputs.items()},
            "points": len(self.residuals),
            "error": self.error,
            "objective": self.objective,
            "warnings": list(self.warnings),
        }

    def _checked(self, inputs: Mapping[str, ArrayLike], extrapolate: bool) -> dict[str, Floats]:
        if inputs.keys() != self.inputs.keys():
            raise InputError(
                f"{self.law}: a prediction takes {', '.join(self.inputs)}, not {', '.join(inputs) or 'nothing'}"
            )
        given = {}
        for name, ends in self.inputs.items():
            values = np.asarray(inputs[name], np.float64)
            if not np.all(np.isfinite(values) & (values > 0)):
                raise InputError(f"{self.law}: {name} = {inputs[name]!r} must be positive and finite")
            if not extrapolate:
                require_within(self.law, name, values, ends)
            given[name] = values
        for (upper, lower), ends in self.ratios.items():
            if not extrapolate:
                require_within(self.law, f"{upper} / {lower}", given[upper] / given[lower], ends)
        return given


def require_within(law: str, name: str, values: Floats, ends: tuple[float, float]) -> None:
    """Raises ExtrapolationError if one of the values lies beyond the ends."""
    low, high = ends
    beyond = (values < low * (1 - _SLACK)) | (values > high * (1 + _SLACK))
    if np.any(beyond):
        first = float(np.atleast_1d(values)[np.atleast_1d(beyond)][0])
        raise ExtrapolationError(
            f"{law}: {name} = {first:.6g} lies beyond the points of the fit, {low:.6g} to {high:.6g}; add a run "
            "there, or ask again with extrapolate=True if you trust the law that far"
        )


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What `solve` found, in the formula's own units.

    theta      the optimum as it was fitted: logarithms where a parameter says so
    draws      of the parameters; None without any
    flat       those of the warnings that say what the points cannot tell apart
    """

    theta: Floats
    objective: float
    estimates: dict[str, Estimate]
    residuals: Floats
    draws: Floats | None
    warnings: tuple[str, ...]
    flat: tuple[str, ...]


def solve(
    law: str,
    parameters: Sequence[Parameter],
    surface: Surface,
    losses: ArrayLike,
    starts: Floats,
    *,
    inputs: Mapping[str, Floats],
    needs: Sequence[Need] = (),
    aparts: Sequence[Apart] = (),
    delta: float = np.inf,
    weights: ArrayLike | None = None,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    draws: int = 0,
    seed: int = 0,
    steps: int = 200,
) -> Solution:
    """Fits a law to losses. What the points cannot tell gets a warning, and no interval.

    Args:
        losses: observed, at the points of the surface.
        starts: float64[sets, parameters], logarithms where a parameter says so.
        inputs: of the law, at the points that `needs` and `aparts` are about.
        needs: how many values of the inputs the law needs.
        aparts: inputs that must not rise together.
        delta: where Huber's loss turns from squares to sizes; infinite for least squares.
        weights: of the points; 1 each where None.
        groups: points of one group are drawn together by the bootstrap.
        draws: of the bootstrap, 100 or more; for least squares, whose intervals are profiles, of simulated losses, for
            the intervals of predictions, or 0 for none.
        seed: of the draws.
        steps: of the descent from each start.

    Raises:
        InputError: if there are fewer points than parameters, too few or too many draws, or a loss or weight is no
            positive number.
    """
    observed = np.log(checked(law, "loss", losses))
    count = len(observed)
    if count < len(parameters):
        raise InputError(
            f"{law}: {count} points cannot tell {len(parameters)} parameters "
            f"({', '.join(parameter.name for parameter in parameters)}); add runs, or fit a law with fewer"
        )
    if draws == 0 and np.isfinite(delta):
        raise InputError(
            f"{law}: with delta = {delta:g}, intervals come from the bootstrap alone; give {FEWEST_DRAWS} draws or more"
        )
    if draws and not FEWEST_DRAWS <= draws <= LARGEST_DRAWS:
        raise InputError(f"{law}: {draws:,} draws; ask for {FEWEST_DRAWS} to {LARGEST_DRAWS:,}, fewer hold no interval")
    given = np.ones(count) if weights is None else checked(law, "weight", weights, count)
    if groups is not None and len(groups) != count:
        raise InputError(f"{law}: {len(groups)} groups for {count} losses; give one for each run")
    bounds = Bounds(
        np.array([parameter.low for parameter in parameters], np.float64),
        np.array([parameter.high for parameter in parameters], np.float64),
    )
    with threadpool_limits(limits=1):  # of matrices so small, a second thread takes longer and changes last bits
        theta, objective = _optimum(law, surface, observed, starts, bounds, delta, given, steps)
        found: Draws | None = None
        low: Floats | None = None
        high: Floats | None = None
        if draws and np.isfinite(delta):
            found = bootstrap(
                surface, observed, theta, bounds, delta=delta, weights=given, draws=draws, seed=seed, groups=groups
            )
            if len(found.theta) >= max(2, draws // 2):
                low, high = found.ends()
        elif count > len(parameters):
            low, high = profile(surface, observed, theta, bounds, weights=given)
            if draws:
                found = simulate(surface, observed, theta, bounds, weights=given, draws=draws, seed=seed)
    predicted, derivatives = surface(theta[None])
    flat = [*unmet(needs, inputs), *rising_together(aparts, inputs)]
    flat = flat or flat_directions(derivatives[0], given, parameters)
    unknown = {name for _, names in flat for name in names}
    warnings = [*few_points(law, count, parameters), *(sentence for sentence, _ in flat)]
    if found is not None:
        warnings += _on_draws(found, draws, groups)
    warnings += at_bounds(theta, low, high, parameters, unknown)
    logarithms = np.array([parameter.logarithm for parameter in parameters])
    return Solution(
        theta=theta,
        objective=objective,
        estimates={
            parameter.name: Estimate(
                _natural(theta, logarithms, place),
                None if low is None or parameter.name in unknown else _natural(low, logarithms, place),
                None if high is None or parameter.name in unknown else _natural(high, logarithms, place),
            )
            for place, parameter in enumerate(parameters)
        },
        residuals=predicted[0] - observed,
        draws=None if found is None or low is None else np.where(logarithms, np.exp(found.theta), found.theta),
        warnings=tuple(warnings),
        flat=tuple(sentence for sentence, _ in flat),
    )


def _optimum(
    law: str,
    surface: Surface,
    observed: Floats,
    starts: Floats,
    bounds: Bounds,
    delta: float,
    weights: Floats,
    steps: int,
) -> tuple[Floats, float]:
    if len(starts) > FEW_STARTS:
        begun = descend(surface, observed, starts, bounds, delta=delta, weights=weights, steps=_FIRST_STEPS)
        kept = max(FEW_STARTS, len(starts) // 4)
        starts = begun.theta[np.argsort(begun.objective, kind="stable")[:kept]]
    descent = descend(surface, observed, starts, bounds, delta=delta, weights=weights, steps=steps)
    try:
        return polish(surface, observed, descent, bounds, delta=delta, weights=weights)
    except ValueError as error:
        raise InputError(f"{law}: {error}; look for inputs of extreme size") from error


def _on_draws(found: Draws, draws: int, groups: Sequence[object] | NDArray[np.generic] | None) -> list[str]:
    """Sentences on a bootstrap that says less than it seems to."""
    sentences = []
    if groups is not None and (kinds := len(np.unique(np.asarray(groups)))) < FEW_GROUPS:
        sentences.append(f"The bootstrap draws {kinds} groups, so few that its intervals are too narrow.")
    if found.failed:
        sentences.append(f"{found.failed} of {draws} bootstrap draws could not be fitted and are left out.")
    if len(found.theta) < max(2, draws // 2):
        sentences.append("Too few bootstrap draws could be fitted: there are no intervals.")
    return sentences


def checked(law: str, name: str, values: ArrayLike, count: int | None = None) -> Floats:
    """A column of positive, finite numbers.

    Raises:
        InputError: if it is not, which names the first row that is wrong.
    """
    column = np.asarray(values, np.float64)
    if column.ndim != 1:
        raise InputError(f"{law}: {name} must be one column of numbers, not an array of shape {column.shape}")
    if not len(column):
        raise InputError(f"{law}: there is no {name} at all; give a value for each run")
    if count is not None and len(column) != count:
        raise InputError(f"{law}: {name} has {len(column)} rows where the losses have {count}; give one for each run")
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if len(wrong):
        raise InputError(
            f"{law}: {name} in row {wrong[0]} is {column[wrong[0]]:g}, and must be positive and finite; "
            "leave out runs that failed"
        )
    return column


def spans(inputs: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """The range of each input."""
    return {name: (float(values.min()), float(values.max())) for name, values in inputs.items()}


def _ratio_spans(
    inputs: Mapping[str, Floats], pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[float, float]]:
    ratios = {(upper, lower): inputs[upper] / inputs[lower] for upper, lower in pairs}
    return {pair: (float(values.min()), float(values.max())) for pair, values in ratios.items()}


def grid(*axes: ArrayLike) -> Floats:
    """Every combination: float64[sets, axes].

    >>> grid([0, 1], [5]).tolist()
    [[0.0, 5.0], [1.0, 5.0]]
    """
    meshes = np.meshgrid(*[np.asarray(axis, np.float64) for axis in axes], indexing="ij")
    return np.stack([mesh.ravel() for mesh in meshes], axis=1)


def _natural(theta: Floats, logarithms: NDArray[np.bool_], place: int) -> float:
    return float(np.exp(theta[place]) if logarithms[place] else theta[place])
