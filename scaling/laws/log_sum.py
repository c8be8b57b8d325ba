"""Laws that are sums of powers: ln L = ln Σ_k exp(x_k · θ), each term's logarithm being linear in the parameters.

Chinchilla's law is of that form, with θ = (ln A, ln B, ln E, α, β) and the terms (1, 0, 0, −ln N, 0),
(0, 1, 0, 0, −ln D) and (0, 0, 1, 0, 0); so is the law with a quality Q. The largest exponent is taken out of the sum,
so that no start overflows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from corpusmill.scaling.laws.descent import Floats


class LogSum:
    """Such a law at given points.

    terms  float64[points, parameters] for each term: what the parameters are multiplied by in its exponent
    """

    def __init__(self, *terms: Floats) -> None:
        self.terms = np.stack(terms)

    def __call__(self, theta: Floats) -> tuple[Floats, Floats]:
        exponents = np.einsum("kip,sp->ksi", self.terms, theta, optimize=True)
        largest = exponents.max(axis=0)
        shares = np.exp(exponents - largest)
        total = shares.sum(axis=0)
        shares /= total
        return largest + np.log(total), np.einsum("ksi,kip->sip", shares, self.terms, optimize=True)


def terms(points: int, parameters: int, *columns: Mapping[int, float | Floats]) -> list[Floats]:
    """Arrays for `LogSum`: for each term, parameter -> what it is multiplied by, at all points or at each.

    >>> [term.tolist() for term in terms(2, 2, {0: 1.0}, {1: np.array([3.0, 4.0])})]
    [[[1.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 4.0]]]
    """
    made = []
    for column in columns:
        array = np.zeros((points, parameters))
        for parameter, values in column.items():
            array[:, parameter] = values
        made.append(array)
    return made
