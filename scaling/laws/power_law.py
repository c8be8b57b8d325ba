"""A power law with a floor: L(x) = E + A·x^−α, for one curve or for several that share E or α.

The form of Henighan et al. 2020 (arXiv:2010.14701, equation 1.1): x is whatever grows (tokens, documents, parameters,
FLOPs), E is what no x takes away. Points may repeat: seeds of one size are so many points.

Least squares in log loss, intervals by profile (scaling/laws/intervals.py). Where the points do not bend enough to show
a floor, the interval of E reaches 0 and a warning says so: then α with a floor and α without one are both possible, and
lie in the interval of α.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.descent import Floats, Surface
from corpusmill.scaling.laws.diagnosis import Need, Parameter
from corpusmill.scaling.laws.fit import Estimate, Fit, checked, grid, solve, spans

LAW = "power law"
LARGEST_EXPONENT = 5.0
_FLOORS = (0.0, 0.4, 0.7, 0.9, 0.99)  # starts, as shares of the least loss
_EXPONENTS = (0.03, 0.1, 0.25, 0.5, 1.0, 2.0)
_LARGEST_CURVES = 200


@dataclass(frozen=True, kw_only=True)
class PowerLaws:
    """Several curves that were fitted together.

    curves     each as a fit of its own, with the residuals of its points; what is shared is the same in all
    shared     names of the parameters that are one for all curves
    warnings   of the whole; also in every curve
    objective  of the whole
    """

    curves: Mapping[str, Fit]
    shared: tuple[str, ...]
    warnings: tuple[str, ...]
    objective: float


def fit_power_law(
    x: ArrayLike,
    losses: ArrayLike,
    *,
    floor: float | None = None,
    weights: ArrayLike | None = None,
    draws: int = 0,
    seed: int = 0,
) -> Fit:
    """Fits A, alpha and E to one curve; predictions take `x`.

    Args:
        x: what grows, one value for each point.
        losses: in any unit, which A and E then have.
        floor: E, where it is known (0: a power law without a floor); None fits it.
        weights: of the points, such as the number of seeds where losses are means; 1 each where None.
        draws: of simulated losses, for the intervals of predictions (`Fit.predict_interval`); 200 will do.
        seed: of the draws.

    Raises:
        InputError: if a value is no positive number, there are fewer points than parameters, or the floor is not below
            all losses.
    """
    count = len(checked(LAW, "loss", losses))
    return fit_power_laws(x, losses, [""] * count, floor=floor, weights=weights, draws=draws, seed=seed).curves[""]


def fit_power_laws(
    x: ArrayLike,
    losses: ArrayLike,
    curves: Sequence[str],
    *,
    share: Sequence[str] = (),
    floor: float | None = None,
    weights: ArrayLike | None = None,
    draws: int = 0,
    seed: int = 0,
) -> PowerLaws:
    """Fits several curves at once, each with an A of its own.

    Args:
        curves: the name of each point's curve.
        share: "E", "alpha" or both: one value for all curves. Shared floors can be told with fewer points a curve.
    """
    observed = checked(LAW, "loss", losses)
    count = len(observed)
    values = checked(LAW, "x", x, count)
    if len(curves) != count:
        raise InputError(f"{LAW}: {len(curves)} names of curves for {count} losses; give one for each point")
    if unknown := sorted(set(share) - {"E", "alpha"}):
        raise InputError(f"{LAW}: {unknown[0]!r} cannot be shared; E and alpha can")
    if floor is not None and not 0 <= floor < observed.min():
        raise InputError(f"{LAW}: a floor of {floor:g} must be 0 or more, and below the least loss, {observed.min():g}")
    names, members = np.unique(np.asarray(curves, dtype=str), return_inverse=True)
    if len(names) > _LARGEST_CURVES:
        raise InputError(f"{LAW}: {len(names)} curves in one fit; fit at most {_LARGEST_CURVES} together")
    layout = _Layout.of(names.tolist(), members, observed, tuple(share), floor)
    solution = solve(
        LAW,
        layout.parameters,
        layout.surface(np.log(values), members),
        observed,
        layout.starts(np.log(values), observed, members),
        inputs={_input(name): values[members == place] for place, name in enumerate(names.tolist())},
        needs=layout.needs(),
        weights=weights,
        draws=draws,
        seed=seed,
    )
    fits = {}
    for place, name in enumerate(names.tolist()):
        own = members == place
        estimates = {
            "A": solution.estimates[layout.parameters[layout.scales[place]].name],
            "alpha": solution.estimates[layout.parameters[layout.exponents[place]].name],
            "E": Estimate(floor)
            if floor is not None
            else solution.estimates[layout.parameters[layout.floors[place]].name],
        }
        fits[name] = Fit(
            law=LAW,
            estimates=estimates,
            residuals=solution.residuals[own],
            objective=solution.objective,
            inputs=spans({"x": values[own]}),
            warnings=solution.warnings,
            draws=None if solution.draws is None else layout.of_curve(solution.draws, place),
            formula=power_law,
        )
    return PowerLaws(curves=fits, shared=tuple(share), warnings=solution.warnings, objective=solution.objective)


def power_law(values: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
    """The law itself."""
    return np.asarray(values["E"] + values["A"] * inputs["x"] ** -values["alpha"])


def _input(curve: str) -> str:
    return f"x of {curve}" if curve else "x"


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where each curve's parameters stand among those that are fitted.

    scales, exponents, floors  for each curve, the place of its ln A, α and E; no floors where E is known
    """

    names: list[str]
    parameters: tuple[Parameter, ...]
    scales: list[int]
    exponents: list[int]
    floors: list[int]
    floor: float

    @classmethod
    def of(
        cls, names: list[str], members: NDArray[np.intp], losses: Floats, share: tuple[str, ...], floor: float | None
    ) -> _Layout:
        parameters: list[Parameter] = []

        def add(parameter: str, make: Callable[[str, float], Parameter]) -> list[int]:
            """One for all curves, or one for each."""
            if parameter in share:
                parameters.append(make(parameter, float(losses.min())))
                return [len(parameters) - 1] * len(names)
            first = len(parameters)
            for place, name in enumerate(names):
                called = f"{parameter} of {name}" if name else parameter
                parameters.append(make(called, float(losses[members == place].min())))
            return list(range(first, len(parameters)))

        scales = add("A", lambda name, _: Parameter(name=name, low=-200, high=300, logarithm=True))
        exponents = add("alpha", lambda name, _: Parameter(name=name, low=0, high=LARGEST_EXPONENT))
        floors = [] if floor is not None else add("E", lambda name, least: Parameter(name=name, low=0, high=least))
        return cls(
            names=names,
            parameters=tuple(parameters),
            scales=scales,
            exponents=exponents,
            floors=floors,
            floor=floor or 0.0,
        )

    def surface(self, logarithms: Floats, members: NDArray[np.intp]) -> Surface:
        """ln(E + exp(a − α ln x)), each point with the parameters of its curve."""
        points = np.arange(len(logarithms))
        scales, exponents = np.array(self.scales)[members], np.array(self.exponents)[members]
        floors = np.array(self.floors)[members] if self.floors else None

        def evaluate(theta: Floats) -> tuple[Floats, Floats]:
            power = np.exp(theta[:, scales] - theta[:, exponents] * logarithms)
            loss = power + (self.floor if floors is None else theta[:, floors])
            derivatives = np.zeros((*loss.shape, len(self.parameters)))
            share = power / loss
            derivatives[:, points, scales] = share
            derivatives[:, points, exponents] = -share * logarithms
            if floors is not None:
                derivatives[:, points, floors] = 1 / loss
            return np.log(loss), derivatives

        return evaluate

    def starts(self, logarithms: Floats, losses: Floats, members: NDArray[np.intp]) -> Floats:
        """A grid of floors and exponents, with the A that goes through the middle of each curve's points."""
        made = []
        for share, exponent in grid((0.0,) if not self.floors else _FLOORS, _EXPONENTS).tolist():
            theta = np.zeros(len(self.parameters))
            theta[self.exponents] = exponent
            for curve, place in enumerate(self.scales):
                own = members == curve
                below = self.floor if not self.floors else share * self.parameters[self.floors[curve]].high
                theta[place] = np.mean(np.log(losses[own] - below) + exponent * logarithms[own])
                if self.floors:
                    theta[self.floors[curve]] = below
            made.append(theta)
        return np.array(made)

    def of_curve(self, draws: Floats, curve: int) -> Floats:
        """A, α and E of one curve among all parameters: float64[draws, 3]."""
        floors = draws[:, self.floors[curve]] if self.floors else np.full(len(draws), self.floor)
        return np.stack([draws[:, self.scales[curve]], draws[:, self.exponents[curve]], floors], axis=1)

    def needs(self) -> list[Need]:
        """Three sizes for a curve that has E and α of its own; two for one of these; one where both are shared."""
        needs = []
        for curve, name in enumerate(self.names):
            own = [self.scales[curve]]
            own += [self.exponents[curve]] * (len(self.names) == 1 or self.exponents.count(self.exponents[curve]) == 1)
            if self.floors and (len(self.names) == 1 or self.floors.count(self.floors[curve]) == 1):
                own.append(self.floors[curve])
            named = tuple(self.parameters[place].name for place in own)
            needs.append(Need(input=_input(name), values=len(own), parameters=named))
        return needs
