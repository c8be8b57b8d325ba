"""What the points of a fit cannot tell, in plain sentences.

A surface is **flat** where parameters can change together without changing a loss. Three tests: an input takes fewer
values than the law needs (two model sizes cannot tell a floor from a slope); two inputs rise together (where all runs
have 20 tokens a parameter, whatever N explains, D explains as well, and the terms can change places); and an
eigenvector of the correlations between the law's derivatives at the optimum has next to no eigenvalue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from corpusmill.scaling.laws.descent import Floats

FLAT = 1e-7
"""Share of the largest eigenvalue below which one counts as none. On points that tell all of them apart, Chinchilla's
five parameters have 2e-5; where all models have one size, 1e-16."""
TOGETHER = 0.99
"""Correlation of logarithms from which two inputs rise together. Planted laws at 30 sizes from 6e7 to 1e10, noise of
.3 %: at 1, .9999 and .9995, 15 to 55 of 100 intervals of Chinchilla's constants hold the truth, at .998 95 do; of
Kaplan's 75 at .998 and 90 at .984. IsoFLOP designs, where one falls as the other rises, are far below."""
_CULPRIT = 0.2  # share of a flat direction from which a parameter is named
_AT_BOUND = 1e-6  # of the distance between the bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One that a law fits.

    name       as in the formula
    low, high  where it may lie
    logarithm  whether its logarithm is what is fitted
    """

    name: str
    low: float
    high: float
    logarithm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How many different values of an input a law needs, for which of its parameters."""

    input: str
    values: int
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Two inputs that must not rise together, and the parameters that cannot be told where they do."""

    inputs: tuple[str, str]
    parameters: tuple[str, ...]


def unmet(needs: Sequence[Need], inputs: Mapping[str, Floats]) -> list[tuple[str, tuple[str, ...]]]:
    """Sentences on inputs that take too few values, each with the parameters that it leaves open."""
    found = []
    for need in needs:
        values = np.unique(inputs[need.input])
        if len(values) >= need.values:
            continue
        shown = " and ".join(f"{value:.4g}" for value in values)
        told = "told apart" if len(need.parameters) > 1 else "told"
        sentence = (
            f"The surface is flat: {need.input} is only ever {shown}, so {_listed(need.parameters)} cannot be {told}; "
            f"that takes {need.values} different values."
        )
        found.append((sentence, need.parameters))
    return found


def rising_together(aparts: Sequence[Apart], inputs: Mapping[str, Floats]) -> list[tuple[str, tuple[str, ...]]]:
    """Sentences on inputs that rise together, each with the parameters that these leave open."""
    found = []
    for apart in aparts:
        first, second = (np.log(inputs[name]) for name in apart.inputs)
        if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
            continue
        alike = float(np.corrcoef(first, second)[0, 1])
        if alike >= TOGETHER:
            left, right = apart.inputs
            sentence = (
                f"The surface is flat: {left} and {right} rise together (correlation of logarithms {alike:.4f}), so "
                f"{_listed(apart.parameters)} cannot be told apart; add runs of other {right} / {left}."
            )
            found.append((sentence, apart.parameters))
    return found


def flat_directions(
    derivatives: Floats, weights: Floats, parameters: Sequence[Parameter]
) -> list[tuple[str, tuple[str, ...]]]:
    """Sentences on parameters that change no loss at the points, or that these cannot tell apart; with their names."""
    matrix = (derivatives * weights[:, None]).T @ derivatives
    size = np.sqrt(np.diag(matrix))
    idle = ~(size > 1e-9 * max(float(size.max()), 1e-300))
    found: list[tuple[str, tuple[str, ...]]] = [
        (f"The surface is flat: {parameter.name} changes no loss at these points.", (parameter.name,))
        for parameter, still in zip(parameters, idle, strict=True)
        if still
    ]
    moving = np.flatnonzero(~idle)
    if len(moving) < 2:
        return found
    correlations = matrix[np.ix_(moving, moving)] / np.outer(size[moving], size[moving])
    values, vectors = np.linalg.eigh(correlations)
    for value, vector in zip(values, vectors.T, strict=True):
        if value < FLAT * values[-1]:
            names = tuple(parameters[moving[place]].name for place in np.flatnonzero(np.abs(vector) > _CULPRIT))
            found.append((f"The surface is flat: these points cannot tell {_listed(names)} apart.", names))
    return found


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def few_points(law: str, count: int, parameters: Sequence[Parameter]) -> list[str]:
    """A sentence if there are fewer points than parameters and two more."""
    if count >= len(parameters) + 2:
        return []
    rest = "" if count > len(parameters) else ", so the law passes through all of them and there are no intervals"
    return [f"{count} points for {len(parameters)} parameters of the {law}{rest}; add runs."]


def at_bounds(
    theta: Floats, low: Floats | None, high: Floats | None, parameters: Sequence[Parameter], unknown: set[str]
) -> list[str]:
    """Sentences on parameters that lie at a bound, and on intervals that reach one; not on those that are unknown."""
    sentences = []
    for place, parameter in enumerate(parameters):
        if parameter.name in unknown:
            continue
        near = _AT_BOUND * (parameter.high - parameter.low)
        for bound in (parameter.low, parameter.high):
            shown = f"{np.exp(bound):.4g}" if parameter.logarithm else f"{bound:.4g}"
            if abs(theta[place] - bound) <= near:
                sentences.append(f"{parameter.name} lies at its bound, {shown}: the points would take it further.")
            elif (low is not None and abs(low[place] - bound) <= near) or (
                high is not None and abs(high[place] - bound) <= near
            ):
                sentences.append(
                    f"The interval of {parameter.name} reaches its bound, {shown}: the points do not tell it from that."
                )
    return sentences
