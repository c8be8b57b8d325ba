"""The scaling law with a quality: L(N, D, Q) = A/N^α + B/(D^β·Q^γ) + E, Q between 0 and 1.

Subramanyam, Chen and Grossman 2025 (arXiv:2510.03313): Q is the share of the data that is not corrupted and not
redundant, and with Q = 1 it is Chinchilla's law. They trained one model size, so that E and A/N^α are one number:
`fit_quality_at_size` fits B, β, γ and that floor, and gives the `QualityLaw` of mix/quality_law.py; `fit_quality` fits
all six.

As their Huber fit: Huber's loss of 0.001 on log losses. Intervals by bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpusmill.documents.errors import InputError
from corpusmill.mix.quality_law import QualityLaw
from corpusmill.scaling.laws.chinchilla_fit import DELTA, DRAWS
from corpusmill.scaling.laws.descent import Floats
from corpusmill.scaling.laws.diagnosis import Need, Parameter
from corpusmill.scaling.laws.fit import Fit, checked, grid, solve
from corpusmill.scaling.laws.log_sum import LogSum, terms

LAW = "law of quality"
_A = Parameter(name="A", low=-10, high=60, logarithm=True)
_B = Parameter(name="B", low=-10, high=60, logarithm=True)
_E = Parameter(name="E", low=-20, high=5, logarithm=True)
_ALPHA = Parameter(name="alpha", low=0, high=5)
_BETA = Parameter(name="beta", low=0, high=5)
_GAMMA = Parameter(name="gamma", low=-5, high=5)
_SCALES = (0.0, 6.0, 12.0, 24.0)
_FLOORS = (-1.0, 0.0, 1.0)
_EXPONENTS = (0.1, 0.4, 1.0)
_NEEDS = (
    Need(input="D", values=3, parameters=("B", "beta", "E")),
    Need(input="Q", values=2, parameters=("gamma",)),
)


@dataclass(frozen=True, kw_only=True)
class QualityFit(Fit):
    """A fit at one model size; its inputs are D and Q."""

    def constants(self, name: str = "own fit") -> QualityLaw:
        """As the law that gives effective tokens."""
        return QualityLaw(
            name=name, b=self.value("B"), beta=self.value("beta"), gamma=self.value("gamma"), floor=self.value("E")
        )


def fit_quality_at_size(
    tokens: ArrayLike,
    qualities: ArrayLike,
    losses: ArrayLike,
    *,
    delta: float = DELTA,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
) -> QualityFit:
    """Fits B, beta, gamma and E to runs of one model size; E holds A/N^α.

    Raises:
        InputError: if a value is no positive number, a quality is above 1, or there are fewer than four points.
    """
    observed, inputs = _columns(losses, {"D": tokens, "Q": qualities})
    data, quality = np.log(inputs["D"]), np.log(inputs["Q"])
    columns: list[Mapping[int, float | Floats]] = [{0: 1.0, 2: -data, 3: -quality}, {1: 1.0}]
    solution = solve(
        LAW,
        (_B, _E, _BETA, _GAMMA),
        LogSum(*terms(len(observed), 4, *columns)),
        observed,
        grid(_SCALES, _FLOORS, _EXPONENTS, _EXPONENTS),
        inputs=inputs,
        needs=_NEEDS,
        delta=delta,
        groups=groups,
        draws=draws,
        seed=seed,
    )
    return QualityFit.of(solution, LAW, quality_at_size, inputs)


def fit_quality(
    parameters: ArrayLike,
    tokens: ArrayLike,
    qualities: ArrayLike,
    losses: ArrayLike,
    *,
    delta: float = DELTA,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
) -> Fit:
    """Fits A, B, E, alpha, beta and gamma to runs of several model sizes.

    Raises:
        InputError: if a value is no positive number, a quality is above 1, or there are fewer than six points.
    """
    observed, inputs = _columns(losses, {"N": parameters, "D": tokens, "Q": qualities})
    size, data, quality = (np.log(inputs[name]) for name in ("N", "D", "Q"))
    columns: list[Mapping[int, float | Floats]] = [{0: 1.0, 3: -size}, {1: 1.0, 4: -data, 5: -quality}, {2: 1.0}]
    solution = solve(
        LAW,
        (_A, _B, _E, _ALPHA, _BETA, _GAMMA),
        LogSum(*terms(len(observed), 6, *columns)),
        observed,
        grid(_SCALES, _SCALES, _FLOORS, _EXPONENTS, _EXPONENTS, _EXPONENTS),
        inputs=inputs,
        needs=(Need(input="N", values=3, parameters=("A", "alpha", "E")), *_NEEDS),
        delta=delta,
        groups=groups,
        draws=draws,
        seed=seed,
        steps=60,
    )
    return Fit.of(solution, LAW, quality_formula, inputs)


def quality_at_size(values: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
    """The law at one model size."""
    worth = inputs["D"] ** values["beta"] * inputs["Q"] ** values["gamma"]
    return np.asarray(values["B"] / worth + values["E"])


def quality_formula(values: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
    """The law itself."""
    return np.asarray(values["A"] / inputs["N"] ** values["alpha"] + quality_at_size(values, inputs))


def _columns(losses: ArrayLike, given: Mapping[str, ArrayLike]) -> tuple[Floats, dict[str, Floats]]:
    observed = checked(LAW, "loss", losses)
    inputs = {name: checked(LAW, name, values, len(observed)) for name, values in given.items()}
    above = np.flatnonzero(inputs["Q"] > 1)
    if len(above):
        raise InputError(f"{LAW}: Q in row {above[0]} is {inputs['Q'][above[0]]:g}; a quality is at most 1")
    return observed, inputs
