"""What whole documents make of the mixtures that are asked for.

A run is of whole documents (scaling/mixtures/runs.py), so that its shares are not quite those of its mixture: with few
tokens or long documents a small component comes out at twice its share, or at nothing. That is known before anything is
trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.proposal import NEAR
from corpusmill.scaling.mixtures.runs import Trial, mixed_rows

Floats = NDArray[np.float64]

NOTED = 0.05
"""Of the tokens in all: a run that is further from its mixture is worth a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """Shares of the tokens, as they were asked for and as whole documents have them: float64[runs, components]."""

    components: tuple[str, ...]
    asked: Floats
    shares: Floats

    @property
    def away(self) -> Floats:
        """By how much each run differs from its mixture, in all shares together: float64[runs]."""
        return np.asarray(np.abs(self.shares - self.asked).sum(axis=1))

    def notes(self, runs: str) -> tuple[str, ...]:
        """What people should know of it, as sentences; `runs` is what the runs are called."""
        found, count = [], len(self.asked)
        if far := int((self.away > NOTED).sum()):
            found.append(
                f"further than {NOTED:.0%} of the tokens from the mixture that was asked for: {far} of {count} {runs}, "
                f"{self.away.max():.1%} at most, since they are of whole documents; more --tokens come nearer"
            )
        for name, asked, shares in zip(self.components, self.asked.T, self.shares.T, strict=True):
            none = (shares == 0) & (asked > 0)
            if none.any():
                found.append(
                    f"{name}: no document of it in {none.sum()} of {count} {runs}, where up to "
                    f"{asked[none].max():.2%} were asked for; what a model loses without any does not say what a "
                    "little is worth. More --tokens give each run some"
                )
        return tuple(found)


def achieved(documents: pa.Table, trials: Sequence[Trial], seed: int) -> Achieved:
    """What the runs will have.

    Raises:
        InputError: if a run would have no document.
    """
    tokens = np.array([mixed_rows(documents, trial, seed)[1] for trial in trials], np.float64)
    return Achieved(
        components=trials[0].components,
        asked=np.array([trial.shares for trial in trials]),
        shares=tokens / tokens.sum(axis=1, keepdims=True),
    )


def check_prior_runs(documents: pa.Table, trials: Sequence[Trial], seed: int) -> None:
    """Checks that runs of the prior are near it, else nothing can be compared with it.

    Raises:
        InputError: if half of them are not; it says how many tokens are enough.
    """
    found = achieved(documents, trials, seed)
    if np.median(found.away) <= NEAR:
        return
    middle = int(np.argsort(found.away, kind="stable")[len(trials) // 2])
    worst = int(np.abs(found.shares - found.asked)[middle].argmax())
    name, [first, *_] = found.components[worst], trials
    most = round(first.tokens / first.part)
    enough = _enough(documents, trials, seed, most)
    mend = (
        f"so do all numbers of tokens up to the {most:,} that the mix itself has: read {name} in shorter documents, "
        "raise its ratio or the budget, or take it out of mix.ratios"
        if enough is None
        else f"--tokens {enough:,} come near enough"
    )
    raise InputError(
        f"--tokens {first.tokens:,}: in whole documents, half of the runs of the prior differ from it by more than "
        f"{NEAR:.0%} of the tokens, such as by {found.away[middle]:.1%} where {name} has "
        f"{found.shares[middle, worst]:.2%} instead of {found.asked[middle, worst]:.2%}; {mend}"
    )


def _enough(documents: pa.Table, trials: Sequence[Trial], seed: int, most: int) -> int | None:
    """The first doubling of the tokens at which runs of the prior are near it; None if none is up to `most`."""
    tokens = trials[0].tokens
    while tokens < most:
        tokens = min(2 * tokens, most)
        larger = [replace(trial, tokens=tokens, part=tokens / most) for trial in trials]
        if np.median(achieved(documents, larger, seed).away) <= NEAR:
            return tokens
    return None
