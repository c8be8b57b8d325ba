"""Kaplan's laws: the loss where one thing is scarce, and where parameters and tokens both are.

    L(N) = (N_c / N)^α_N        L(D) = (D_c / D)^α_D        L(N, D) = [(N_c / N)^(α_N / α_D) + D_c / D]^α_D

Kaplan et al. 2020 (arXiv:2001.08361, equations 1.1, 1.2 and 1.5); N is without embeddings. The laws have no floor, so
they must fail for large N and D; where losses bend towards one, scaling/laws/power_law.py or Chinchilla's law fits
them.

Least squares in log loss, intervals by profile (scaling/laws/intervals.py); the paper says of neither how it was done.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.descent import Floats, Surface
from corpusmill.scaling.laws.diagnosis import Apart, Need, Parameter
from corpusmill.scaling.laws.fit import Fit, checked, grid, solve
from corpusmill.scaling.planning.published import PowerLaw

LAW = "Kaplan's law"
_SCALES = (10.0, 20.0, 30.0, 40.0)  # starts of ln N_c and ln D_c
_EXPONENTS = (0.02, 0.05, 0.1, 0.2, 0.5)
_UNITS = {"N": "parameters without embeddings", "D": "tokens"}


def fit_kaplan(scarce: str, amounts: ArrayLike, losses: ArrayLike) -> Fit:
    """Fits L(N) or L(D) to runs in which the other was plenty: estimates `N_c` and `alpha_N`, or `D_c` and `alpha_D`.

    Args:
        scarce: "N" or "D".

    Raises:
        InputError: if it is neither, a value is no positive number, or there are fewer than two points.
    """
    if scarce not in _UNITS:
        raise InputError(f"{LAW}: {scarce!r} is not what it is about; N or D is")
    observed = checked(LAW, "loss", losses)
    values = checked(LAW, scarce, amounts, len(observed))
    logarithms = np.log(values)
    scale, exponent = f"{scarce}_c", f"alpha_{scarce}"

    def surface(theta: Floats) -> tuple[Floats, Floats]:
        beyond = theta[:, :1] - logarithms
        powers = np.broadcast_to(theta[:, 1:], beyond.shape)
        return powers * beyond, np.stack([powers, beyond], axis=2)

    def formula(found: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
        return np.asarray((found[scale] / inputs[scarce]) ** found[exponent])

    solution = solve(
        LAW,
        (
            Parameter(name=scale, low=-50, high=300, logarithm=True),
            Parameter(name=exponent, low=0, high=5),
        ),
        surface,
        observed,
        grid(_SCALES, _EXPONENTS),
        inputs={scarce: values},
        needs=[Need(input=scarce, values=2, parameters=(scale, exponent))],
    )
    return Fit.of(solution, LAW, formula, {scarce: values})


def constants(fit: Fit) -> PowerLaw:
    """A fit of L(N) or L(D) as constants for a budget."""
    [scarce] = fit.inputs
    return PowerLaw(scale=fit.value(f"{scarce}_c"), exponent=fit.value(f"alpha_{scarce}"), what=_UNITS[scarce])


def fit_kaplan_both(parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike) -> Fit:
    """Fits L(N, D): estimates `N_c`, `D_c`, `alpha_N` and `alpha_D`.

    Raises:
        InputError: if a value is no positive number, or there are fewer than four points.
    """
    observed = checked(LAW, "loss", losses)
    inputs = {
        "N": checked(LAW, "N", parameters, len(observed)),
        "D": checked(LAW, "D", tokens, len(observed)),
    }
    solution = solve(
        LAW,
        (
            Parameter(name="N_c", low=-50, high=300, logarithm=True),
            Parameter(name="D_c", low=-50, high=300, logarithm=True),
            Parameter(name="alpha_N", low=0, high=5),
            Parameter(name="alpha_D", low=1e-4, high=5),
        ),
        kaplan_surface(inputs["N"], inputs["D"]),
        observed,
        grid(_SCALES, _SCALES, _EXPONENTS, _EXPONENTS),
        inputs=inputs,
        needs=[
            Need(input="N", values=2, parameters=("N_c", "alpha_N")),
            Need(input="D", values=2, parameters=("D_c", "alpha_D")),
        ],
        aparts=[Apart(inputs=("N", "D"), parameters=("N_c", "D_c", "alpha_N", "alpha_D"))],
    )
    return Fit.of(solution, LAW, kaplan_formula, inputs, ("D", "N"))


def kaplan_surface(sizes: Floats, data: Floats) -> Surface:
    """ln L(N, D) at these points, for θ = (ln N_c, ln D_c, α_N, α_D)."""
    log_sizes, log_data = np.log(sizes), np.log(data)

    def surface(theta: Floats) -> tuple[Floats, Floats]:
        size_scale, data_scale, size_power, data_power = (theta[:, place, None] for place in range(4))
        by_size, by_data = size_scale - log_sizes, data_scale - log_data
        ratio = size_power / data_power
        total = np.logaddexp(ratio * by_size, by_data)
        share = np.exp(ratio * by_size - total)
        derivatives = np.stack(
            [
                share * size_power,
                data_power * np.exp(by_data - total),
                share * by_size,
                total - share * ratio * by_size,
            ],
            axis=2,
        )
        return data_power * total, derivatives

    return surface


def kaplan_formula(values: Mapping[str, float], inputs: Mapping[str, Floats]) -> Floats:
    """L(N, D) itself."""
    ratio = values["alpha_N"] / values["alpha_D"]
    inner = (values["N_c"] / inputs["N"]) ** ratio + values["D_c"] / inputs["D"]
    return np.asarray(inner ** values["alpha_D"])
