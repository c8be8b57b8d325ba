"""Sweeps whose truth is known: losses by formula, with the noise of seeds and pools, as tables of cells.

    L = floor + scale * (kept tokens * worth(score, fraction, size)) ** -exponent

A score's worth is that of a pruned token beside one kept by chance. Noise is on the logarithm of the loss, as it is in
real sweeps: a seed decides on one pool, which all cells of that seed share, in part over sizes; a score keeps much the
same documents at each fraction; the fewer documents, the more chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.scaling.contract import ALL, CELLS, RANDOM

Worth = Callable[[float, float], float]
"""Of a fraction and of a size in units of the smallest."""


def peaked(best: float, gain: float, growth: float = 0.0, width: float = 0.5) -> Worth:
    """Worth `gain` at the fraction `best`, growing with a power of the size; less at other fractions, 1 at 1."""

    def worth(fraction: float, size: float) -> float:
        if fraction >= 1:
            return 1.0
        return float((gain * size**growth) ** (1 - (np.log(fraction / best) / width) ** 2))

    return worth


def nothing(fraction: float, size: float) -> float:
    """A score that is no better than chance."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class PlantedSweep:
    """A grid and its truth."""

    scores: Mapping[str, Worth]
    sizes: tuple[int, ...] = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
    fractions: tuple[float, ...] = (0.8, 0.6, 0.4, 0.2)
    seeds: int = 3
    floor: float = 0.6
    scale: float = 20.0
    exponent: float = 0.25
    pool_noise: float = 0.004
    """Standard deviation of what all cells of a seed share; half of its variance is the same at all sizes."""
    score_noise: float = 0.001
    """... of what all fractions of a score and seed share at a size."""
    cell_noise: float = 0.0015
    """... of one cell that keeps a million tokens; it falls with their fourth root."""
    proxy: str = "planted"

    def kinds(self) -> list[tuple[str, float]]:
        pruned = [(score, fraction) for score in (*self.scores, RANDOM) for fraction in self.fractions]
        return [(ALL, 1.0), *pruned]

    def loss(self, score: str, fraction: float, size: int) -> float:
        """The truth."""
        worth = self.scores.get(score, nothing)(fraction, size / self.sizes[0])
        return float(self.floor + self.scale * (fraction * size * worth) ** -self.exponent)

    def cells(self, draw: int) -> pa.Table:
        """One draw of the table."""
        rng = np.random.default_rng([7, draw])
        rows = []
        for seed in range(self.seeds):
            lasting = rng.normal(0, self.pool_noise * np.sqrt(0.5))
            for size in self.sizes:
                pool = lasting + rng.normal(0, self.pool_noise * np.sqrt(0.5))
                along = {score: rng.normal(0, self.score_noise) for score in (ALL, *self.scores, RANDOM)}
                for score, fraction in self.kinds():
                    kept = fraction * size
                    own = rng.normal(0, self.cell_noise * (kept / 1e6) ** -0.25)
                    rows.append(self._row(score, fraction, size, seed, pool + along[score] + own))
        return pa.Table.from_pylist(rows, schema=CELLS)

    def truth(self) -> pa.Table:
        """The table without noise, of one seed."""
        return pa.Table.from_pylist(
            [self._row(score, fraction, size, 0, 0.0) for size in self.sizes for score, fraction in self.kinds()],
            schema=CELLS,
        )

    def _row(self, score: str, fraction: float, size: int, seed: int, noise: float) -> dict[str, object]:
        kept = round(fraction * size)
        return {
            "pool": "web",
            "score": score,
            "fraction": fraction,
            "size": size,
            "pool_tokens": size,
            "kept_tokens": kept,
            "kept_documents": max(1, kept // 500),
            "train_tokens": kept,
            "epochs": 1.0,
            "seed": seed,
            "proxy": self.proxy,
            "parameters": None,
            "flops": None,
            "seconds": 1.0,
            "loss": self.loss(score, fraction, size) * float(np.exp(noise)),
        }
