"""Learning rates over a run, fitted to its length: what part of the highest rate each step gets.

`cosine`: warm-up, then half a cosine down to `final` at the last step (Hoffmann et al. 2022, arXiv:2203.15556,
appendix B: a cosine longer than the run costs loss, so it ends where the run ends).
`wsd`: warm-up, a stable part, and a decay over the last share of the steps along 1 - sqrt(progress), the best of the
shapes compared by Hägele et al. 2024, arXiv:2405.18392, section 4.2; the name is of Hu et al. 2024, arXiv:2404.06395.

Differs from both: the warm-up is a share of the steps, as runs here differ in length a thousandfold, and it never takes
more than `MAX_WARMUP` steps nor more than a third of a very short run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cosine", "wsd"]
MAX_WARMUP = 500
"""Steps; AdamW's second moments (beta .95) have settled long before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The rate of each step of one run, as a share of the highest."""

    kind: Kind
    steps: int
    """Of the whole run."""
    warmup: float
    """Share of the steps that rise to the highest rate."""
    decay: float
    """Share of the steps that fall, for `wsd`."""
    final: float
    """What the last step gets."""

    @property
    def warmup_steps(self) -> int:
        return min(math.ceil(self.warmup * self.steps), MAX_WARMUP, self.steps // 3)

    def factor(self, step: int) -> float:
        """The share at a step, counted from 0.

        >>> run = Schedule(kind="cosine", steps=101, warmup=0.0, decay=0.2, final=0.1)
        >>> [round(run.factor(step), 3) for step in (0, 50, 100)]
        [1.0, 0.55, 0.1]
        """
        risen = self.warmup_steps
        if step < risen:
            return (step + 1) / (risen + 1)
        falling = self.steps - risen
        if self.kind == "wsd":
            falling = min(falling, math.ceil(self.decay * self.steps))
        first = self.steps - falling  # of those that fall; in a cosine it has the full rate itself
        if step < first:
            return 1.0
        if self.kind == "wsd":
            share = 1.0 - math.sqrt((step - first + 1) / falling)
        else:
            share = 0.5 * (1.0 + math.cos(math.pi * (step - first) / max(falling - 1, 1)))
        return self.final + (1.0 - self.final) * share
