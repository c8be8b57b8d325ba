"""Shares of a mix's units as shares of its tokens, and back.

A recipe's ratios are shares of its unit, which may be documents; a law is of shares of tokens. Where components differ
in tokens a unit the two differ: a tenth of the documents, each nine times longer than others, is half of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What one pass over each component has.

    units   above 0
    tokens  above 0
    """

    units: Floats
    tokens: Floats

    def of_tokens(self, shares: Floats) -> Floats:
        """Shares of units as shares of tokens.

        >>> scale = Scale(units=np.array([90.0, 10.0]), tokens=np.array([900.0, 900.0]))
        >>> scale.of_tokens(np.array([0.9, 0.1])).round(9).tolist()
        [0.5, 0.5]
        """
        amounts = shares * self.tokens / self.units
        return np.asarray(amounts / amounts.sum())

    def of_units(self, shares: Floats) -> Floats:
        """Shares of tokens as shares of units.

        >>> scale = Scale(units=np.array([90.0, 10.0]), tokens=np.array([900.0, 900.0]))
        >>> scale.of_units(np.array([0.5, 0.5])).round(9).tolist()
        [0.9, 0.1]
        """
        amounts = shares * self.units / self.tokens
        return np.asarray(amounts / amounts.sum())

    def whole(self, shares: Floats, budget: float) -> float:
        """Tokens of so many units that these shares of units divide."""
        return float((shares * budget * self.tokens / self.units).sum())
