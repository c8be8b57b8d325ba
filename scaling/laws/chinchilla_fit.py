"""Chinchilla's parametric fit: L(N, D) = E + A/N^α + B/D^β.

Hoffmann et al. 2022 (arXiv:2203.15556, section D.3, equation 10) minimise

    Σ Huber_δ(LSE(a − α ln N, b − β ln D, e) − ln L),    A = exp(a), B = exp(b), E = exp(e), δ = 0.001

by L-BFGS from a grid of starts, and Besiroglu et al. 2024 (arXiv:2404.10102) do so again on the points of its figure 4,
less the five of largest loss, with intervals by bootstrap. The sum is minimised, not the mean, on which L-BFGS stopped
early in the original.

Differs from them: all starts go down together by Levenberg and Marquardt's method, and L-BFGS takes the best on
(scaling/laws/descent.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.descent import Floats
from corpusmill.scaling.laws.diagnosis import Apart, Need, Parameter
from corpusmill.scaling.laws.fit import Fit, checked, grid, solve
from corpusmill.scaling.laws.log_sum import LogSum, terms
from corpusmill.scaling.planning.published import ChinchillaLaw, FitRange

LAW = "Chinchilla's law"
DELTA = 1e-3
DRAWS = 400
PARAMETERS = (
    Parameter(name="A", low=-10, high=60, logarithm=True),
    Parameter(name="B", low=-10, high=60, logarithm=True),
    Parameter(name="E", low=-20, high=5, logarithm=True),
    Parameter(name="alpha", low=0, high=5),
    Parameter(name="beta", low=0, high=5),
)

NEEDS = (
    Need(input="N", values=3, parameters=("A", "alpha", "E")),
    Need(input="D", values=3, parameters=("B", "beta", "E")),
)
APARTS = (Apart(inputs=("N", "D"), parameters=("A", "B", "E", "alpha", "beta")),)
STARTS = grid(
    np.arange(0.0, 30.0, 5.0),
    np.arange(0.0, 30.0, 5.0),
    np.arange(-1.0, 1.5, 0.5),
    np.arange(0.0, 2.5, 0.5),
    np.arange(0.0, 2.5, 0.5),
)
"""4,500 starts: a and b in 0, 5, …, 25; e in −1, −0.5, …, 1; α and β in 0, 0.5, …, 2 (section D.3 of the paper)."""


@dataclass(frozen=True, kw_only=True)
class ChinchillaFit(Fit):
    """A fit whose inputs are N (parameters) and D (tokens).

    dropped  rows of the data that were left out as the largest losses
    flat     those of the warnings that say what the points cannot tell apart
    """

    dropped: tuple[int, ...] = ()
    flat: tuple[str, ...] = ()

    def constants(self, name: str = "own fit") -> ChinchillaLaw:
        """As a set of constants for a budget, which knows its range.

        Raises:
            InputError: if the surface is flat: one of many sets of constants would say what is best.
            UsageError: if an exponent is 0.
        """
        if self.flat:
            raise InputError(f"{LAW}: these points give no constants for a budget. {' '.join(self.flat)}")
        return ChinchillaLaw(
            A=self.value("A"),
            B=self.value("B"),
            E=self.value("E"),
            alpha=self.value("alpha"),
            beta=self.value("beta"),
            name=name,
            fitted=FitRange(
                parameters=self.inputs["N"], tokens=self.inputs["D"], tokens_per_parameter=self.ratios["D", "N"]
            ),
        )


def fit_chinchilla(
    parameters: ArrayLike,
    tokens: ArrayLike,
    losses: ArrayLike,
    *,
    drop_largest: int = 0,
    delta: float = DELTA,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
) -> ChinchillaFit:
    """Fits A, B, E, α and β to runs.

    Args:
        parameters: of each run's model.
        tokens: that each run was trained on.
        losses: in nats a token, or any other unit, in which A, B and E then are.
        drop_largest: so many of the largest losses are left out; the published fits leave out 5 of 245.
        draws: of the bootstrap.
        groups: what the bootstrap draws as a whole, such as a name for each model; None: single runs.

    Raises:
        InputError: if a column has another length, a value is no positive number, or fewer than five points are left.
    """
    observed = checked(LAW, "loss", losses)
    count = len(observed)
    sizes, data = checked(LAW, "N", parameters, count), checked(LAW, "D", tokens, count)
    if groups is not None and len(groups) != count:
        raise InputError(f"{LAW}: {len(groups)} groups for {count} losses; give one for each run")
    if not 0 <= drop_largest < max(count, 1):
        raise InputError(f"{LAW}: drop_largest = {drop_largest} of {count} points; keep at least five")
    order = np.argsort(-observed, kind="stable")
    dropped, kept = np.sort(order[:drop_largest]), np.sort(order[drop_largest:])
    observed, sizes, data = observed[kept], sizes[kept], data[kept]
    inputs = {"N": sizes, "D": data}
    solution = solve(
        LAW,
        PARAMETERS,
        chinchilla_surface(sizes, data),
        observed,
        STARTS,
        inputs=inputs,
        needs=NEEDS,
        aparts=APARTS,
        delta=delta,
        groups=None if groups is None else np.asarray(groups)[kept],
        draws=draws,
        seed=seed,
        steps=60,
    )
    return ChinchillaFit.of(
        solution, LAW, chinchilla_formula, inputs, ("D", "N"), dropped=tuple(dropped.tolist()), flat=solution.flat
    )


def chinchilla_surface(sizes: Floats, data: Floats) -> LogSum:
    """ln L at these points, for θ = (ln A, ln B, ln E, α, β)."""
    columns: list[Mapping[int, float | Floats]] = [{0: 1.0, 3: -np.log(sizes)}, {1: 1.0, 4: -np.log(data)}, {2: 1.0}]
    return LogSum(*terms(len(sizes), len(PARAMETERS), *columns))


def chinchilla_formula(values: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
    """The law itself."""
    by_size = values["A"] / inputs["N"] ** values["alpha"]
    return np.asarray(values["E"] + by_size + values["B"] / inputs["D"] ** values["beta"])
