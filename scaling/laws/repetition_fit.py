"""What repetition costs, fitted: R*_D and R*_N of Muennighoff et al. 2023 (arXiv:2305.16264, section 3.1, appendix A).

    L(N, D, U) = E + A / N'^α + B / D'^β
    D' = U + U·R*_D·(1 − exp(−R_D / R*_D)),  R_D = D / U − 1,  and U at most D
    N' likewise of U_N, R*_N and R_N = N / U_N − 1,  U_N = min(N, the size that trains best on U)

Like the paper, it takes the law of unrepeated data as known (`ChinchillaFit.constants`, or published constants) and
fits how fast repetitions, and parameters beyond what the unique data can use, lose their worth. Runs that repeat
nothing say nothing of R*_D; runs that all have 20 tokens a parameter do not tell R*_D from R*_N. Huber's loss of 0.001
on log losses, intervals by bootstrap. The law forward, with the paper's constants, is scaling/planning/repeated.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpusmill.scaling.laws.chinchilla_fit import DELTA, DRAWS
from corpusmill.scaling.laws.descent import Floats, Surface
from corpusmill.scaling.laws.diagnosis import Apart, Parameter
from corpusmill.scaling.laws.fit import Fit, checked, grid, solve
from corpusmill.scaling.planning.published import ChinchillaLaw

LAW = "law of repetition"
_STARTS = (0.5, 2.0, 5.0, 15.0, 50.0)
PARAMETERS = (
    Parameter(name="R_D", low=-7, high=9, logarithm=True),
    Parameter(name="R_N", low=-7, high=9, logarithm=True),
)


def fit_repetition(
    parameters: ArrayLike,
    tokens: ArrayLike,
    unique: ArrayLike,
    losses: ArrayLike,
    *,
    unrepeated: ChinchillaLaw,
    delta: float = DELTA,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
) -> Fit:
    """Fits R_D (R*_D) and R_N (R*_N); predictions take N, D and U.

    Args:
        tokens: trained on, repetitions included.
        unique: different tokens at hand.
        unrepeated: the law where nothing is repeated, in the unit of the losses.

    Raises:
        InputError: if a value is no positive number, or there are fewer than two points.
    """
    observed = checked(LAW, "loss", losses)
    count = len(observed)
    given = {"N": parameters, "D": tokens, "U": unique}
    inputs = {name: checked(LAW, name, values, count) for name, values in given.items()}
    repeating = inputs["D"] > inputs["U"]
    solution = solve(
        LAW,
        PARAMETERS,
        repetition_surface(inputs["N"], inputs["D"], inputs["U"], unrepeated),
        observed,
        grid(np.log(_STARTS), np.log(_STARTS)),
        inputs={name: values[repeating] for name, values in inputs.items()},
        aparts=[Apart(inputs=("N", "D"), parameters=("R_D", "R_N"))],
        delta=delta,
        groups=groups,
        draws=draws,
        seed=seed,
    )

    def formula(values: Mapping[str, float], at: Mapping[str, Floats]) -> Floats:
        theta = np.log([[values["R_D"], values["R_N"]]])
        columns = [column.ravel() for column in np.broadcast_arrays(at["N"], at["D"], at["U"])]
        logarithms, _ = repetition_surface(columns[0], columns[1], columns[2], unrepeated)(theta)
        return np.asarray(np.exp(logarithms[0]).reshape(np.broadcast_shapes(*(column.shape for column in at.values()))))

    return Fit.of(solution, LAW, formula, inputs, ("D", "U"), ("N", "U"))


def repetition_surface(sizes: Floats, data: Floats, unique: Floats, law: ChinchillaLaw) -> Surface:
    """ln L at these points, for θ = (ln R*_D, ln R*_N)."""
    used = np.minimum(unique, data)
    best = (law.alpha * law.A * used**law.beta / (law.beta * law.B)) ** (1 / law.alpha)
    used_size = np.minimum(best, sizes)

    def surface(theta: Floats) -> tuple[Floats, Floats]:
        worth, by_decay = _worth(used, data, np.exp(theta[:, :1]))
        worth_size, by_size_decay = _worth(used_size, sizes, np.exp(theta[:, 1:]))
        by_data, by_size = law.B / worth**law.beta, law.A / worth_size**law.alpha
        loss = law.E + by_data + by_size
        derivatives = np.stack(
            [
                -law.beta * by_data / worth * by_decay / loss,
                -law.alpha * by_size / worth_size * by_size_decay / loss,
            ],
            axis=2,
        )
        return np.log(loss), derivatives

    return surface


def _worth(used: Floats, total: Floats, decay: Floats) -> tuple[Floats, Floats]:
    """U + U·R*·(1 − exp(−R / R*)), and its derivative by ln R*."""
    repetitions = total / used - 1
    left = np.exp(-repetitions / decay)
    return used + used * decay * (1 - left), used * (decay * (1 - left) - repetitions * left)
