"""How a group's share is dealt out among its members by their sizes: naturally, by temperature, or by UniMax.

- `natural`: p ∝ n. What a mix of everything there is would have.
- `temperature`: p ∝ n^(1/T). Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale"
  (arXiv:1911.02116), section 3.1, with the exponent .3 (T = 3.33). It lifts what is small, however often that repeats
  it.
- `unimax`: Chung et al. 2023, "UniMax: Fairer and More Effective Language Sampling for Large-Scale Multilingual
  Pretraining" (arXiv:2304.09151), algorithm 1. As even as it can be without any member being read more than a number
  of times. Differs from the paper: the paper scales what could be given to probabilities that sum to 1; here the parts
  are shares of the budget, so that the cap holds for that budget, and what no member can take stays out.

Sizes are in the unit of the mix. Shares are exact fractions, the same on every machine: where a power is not exact, it
is rounded to 12 significant digits, which mathematical libraries agree on, before it becomes a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from corpusmill.documents.errors import RecipeError

_DIGITS = 12


def natural(sizes: Mapping[str, int]) -> dict[str, Fraction]:
    """Shares in proportion to the sizes; they sum to 1.

    Raises:
        RecipeError: if a size is negative, or none is above 0.

    >>> natural({"de": 1, "en": 3})
    {'de': Fraction(1, 4), 'en': Fraction(3, 4)}
    """
    _check_sizes(sizes)
    total = sum(sizes.values())
    return {name: Fraction(size, total) for name, size in sorted(sizes.items())}


def temperature(sizes: Mapping[str, int], temperature: float) -> dict[str, Fraction]:
    """Shares in proportion to size^(1/temperature); they sum to 1. A size of 0 gets nothing.

    Args:
        sizes: each member's units.
        temperature: above 0. 1 is `natural`; the higher, the more even.

    Raises:
        RecipeError: if a size is negative, none is above 0, or the temperature is no number above 0.

    >>> shares = temperature({"en": 10**12, "de": 10**11, "is": 10**9}, 3.33)
    >>> {name: round(100 * float(share), 1) for name, share in shares.items()}
    {'de': 30.8, 'en': 61.5, 'is': 7.7}
    """
    _check_sizes(sizes)
    if not _is_number(temperature) or not 0 < temperature < math.inf:
        raise RecipeError(f"temperature: {temperature!r} is no number above 0; 1 keeps the sizes' proportions, 3 evens")
    if temperature == 1:
        return natural(sizes)
    largest = max(sizes.values())
    # Relative to the largest no power overflows.
    weights = {name: _rounded(math.pow(size / largest, 1 / temperature)) for name, size in sorted(sizes.items())}
    total = sum(weights.values(), Fraction())
    return {name: weight / total for name, weight in weights.items()}


def unimax(sizes: Mapping[str, int], budget: int, max_epochs: float) -> dict[str, Fraction]:
    """Shares of `budget`, as even as they can be with at most `max_epochs` passes over any member.

    The members are served from the smallest on (equal sizes by name): each gets the part of the remaining budget that
    would be its own if all that are left got the same, or its `max_epochs` passes where that is less. The shares sum to
    less than 1 where all members together have less than the budget. What a member gets grows with the budget and never
    shrinks, so that a larger dataset contains a smaller one.

    Args:
        sizes: each member's units in one pass.
        budget: units to deal out, at least 1.
        max_epochs: most passes over a member, above 0.

    Raises:
        RecipeError: if a size is negative, none is above 0, or another number is out of its range.

    >>> unimax({"de": 40, "en": 1000, "is": 5}, budget=100, max_epochs=2)
    {'de': Fraction(9, 20), 'en': Fraction(9, 20), 'is': Fraction(1, 10)}
    """
    _check_sizes(sizes)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise RecipeError(f"unimax: a budget of {budget!r} cannot be dealt out; give a whole number above 0")
    if not _is_number(max_epochs) or not 0 < max_epochs < math.inf:
        raise RecipeError(f"unimax: max_epochs {max_epochs!r} is no number above 0; 1 repeats nothing, 4 costs little")
    passes = Fraction(str(max_epochs))
    left = Fraction(budget)
    given: dict[str, Fraction] = {}
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        given[name] = min(left / (len(sizes) - len(given)), passes * sizes[name])
        left -= given[name]
    return {name: given[name] / budget for name in sorted(given)}


def _rounded(number: float) -> Fraction:
    return Fraction(f"{number:.{_DIGITS - 1}e}")


def _check_sizes(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise RecipeError(f"{name}: {size!r} is no size; sizes are whole numbers of units, 0 or more")
    if not any(sizes.values()):
        raise RecipeError(
            f"{', '.join(sorted(sizes)) or 'the group'}: nothing is there to share among them; give them documents, or "
            "take the group out of the mix"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
