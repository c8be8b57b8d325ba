"""Which mixtures proxies are to be trained on: draws around a prior, spread out, within epoch caps.

RegMix (Liu et al. 2024, "RegMix: Data Mixture as Regression for Language Model Pre-training", arXiv:2407.01492,
section 3.1) draws mixtures from Dirichlet(concentration · prior), with concentrations from .1, which gives nearly all
to one component, to 5, which stays near the prior. Differs from the paper: each concentration is used once; each
mixture is the one of several draws that is farthest (Hellinger's distance) from all before it, so that more mixtures
keep those of fewer; and the prior itself comes first, several times, with other seeds: what these runs differ by is
noise. Every mixture keeps a tenth of the
prior: without that, a component like no other has a share of 0 in some runs, and a loss there that no smooth law
reaches from what a hundredth of it gives (docs/log.md).

The mixture law has a parameter a component and one more (scaling/mixtures/law.py), so the runs that it takes grow
linearly with the components. The default, 4 a component and 1, leaves three quarters of the runs to tell noise by. On
RegMix's published runs 64 for 17 components, which is about that, rank mixtures nearly as well as all 512 on average;
half of them do not (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError

Floats = NDArray[np.float64]

CONCENTRATIONS = (0.1, 5.0)
KEPT = 0.1
"""Of the prior, in every mixture."""
CANDIDATES = 64
"""Draws from which each mixture is chosen."""
REPEATS = 3
"""Runs of the prior. Fewer than two tell nothing of noise."""
MAX_COMPONENTS, MAX_MIXTURES = 200, 10_000
_LEAST = 1e-12  # a share that a Dirichlet draw rounds to 0 could not be raised to what others' caps leave
_HALVINGS = 100
_LEAST_ROOM = 1e-3  # of the budget, that caps must leave to choose
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Design:
    """The mixtures to run.

    shares  float64[runs, components]; each sums to 1
    prior   bool[runs]: which of them are the prior
    """

    shares: Floats
    prior: NDArray[np.bool_]


def default_mixtures(components: int) -> int:
    """Different mixtures for the law of so many components."""
    return 4 * components + 1


def design(
    prior: Floats, caps: Floats, *, mixtures: int | None = None, repeats: int = REPEATS, seed: int = 0
) -> Design:
    """The mixtures to run.

    Args:
        prior: shares above 0 that sum to 1.
        caps: the most that each component can have; 1 where there is enough of it.
        mixtures: how many different ones, the prior among them; None: `default_mixtures`.
        repeats: runs of the prior.

    Raises:
        InputError: if the prior is none or above a cap, the caps leave nothing to choose, or a number is out of range.
    """
    check_prior(prior, caps)
    count = check_numbers(len(prior), mixtures, repeats)
    if caps.sum() < 1 + _LEAST_ROOM:
        raise InputError(
            "caps: all components together are there for the budget only just, which leaves no other mixture than the "
            "prior; lower the budget or raise max_epochs"
        )
    random = np.random.default_rng(seed)
    chosen = [prior]
    for concentration in concentrations(count - 1):
        drawn = draw(prior, caps, np.full(CANDIDATES, concentration), random)
        nearest = np.min([_distance(drawn, one) for one in chosen], axis=0)
        chosen.append(drawn[int(nearest.argmax())])
    shares = np.array([prior] * (repeats - 1) + chosen)
    return Design(shares, np.arange(len(shares)) < repeats)


def check_numbers(components: int, mixtures: int | None, repeats: int) -> int:
    """How many mixtures a design of so many components has.

    Raises:
        InputError: if a number is out of range.
    """
    count = default_mixtures(components) if mixtures is None else mixtures
    if not 4 <= count <= MAX_MIXTURES:
        raise InputError(
            f"{count} mixtures: give 4 to {MAX_MIXTURES}; {default_mixtures(components)} suit {components} components"
        )
    if repeats < 1:
        raise InputError(f"repeats: {repeats} runs of the prior leave nothing to compare with; give 1 or more")
    return count


def concentrations(count: int) -> Floats:
    """Both ends of the range, its middle by logarithm, its quarters, and so on (van der Corput's sequence).

    However many follow, the first are the same.

    >>> concentrations(4).round(2).tolist()
    [0.1, 5.0, 0.71, 0.27]
    """
    places = [0.0, 1.0, *(_mirrored(number) for number in range(1, count - 1))][:count]
    low, high = np.log(CONCENTRATIONS)
    return np.asarray(np.exp(low + (high - low) * np.array(places)))


def _mirrored(number: int) -> float:
    """A number's binary digits, turned round behind the point."""
    digits = f"{number:b}"
    return int(digits[::-1], 2) / (1 << len(digits))


def draw(prior: Floats, caps: Floats, concentrations: Floats, random: np.random.Generator) -> Floats:
    """One mixture within the caps for each concentration: float64[concentrations, components]."""
    gammas = random.standard_gamma(concentrations[:, None] * prior[None, :])
    drawn = np.maximum(gammas, _LEAST * prior)
    room = (np.minimum(caps, 1.0) - KEPT * prior) / (1 - KEPT)
    spread = within(drawn / drawn.sum(axis=1, keepdims=True), np.zeros_like(prior), room)
    return KEPT * prior + (1 - KEPT) * spread


def within(shares: Floats, low: Floats, high: Floats) -> Floats:
    """The nearest mixtures between the bounds, by Kullback and Leibler's divergence from `shares`.

    They are `shares` times one factor each, cut at the bounds: what is above a cap goes to the others in proportion.

    Args:
        shares: above 0 wherever they are to be raised, float64[mixtures, components].
        low: bounds; they sum to at most 1.
        high: bounds; they sum to at least 1.

    >>> within(np.array([[0.8, 0.1, 0.1]]), np.zeros(3), np.array([0.5, 1.0, 0.3])).round(9).tolist()
    [[0.5, 0.25, 0.25]]
    """
    return within_bounds(np.log(np.maximum(shares, np.finfo(np.float64).tiny)), low, high)


def within_bounds(logs: Floats, low: Floats, high: Floats) -> Floats:
    """`within`, of the logarithms of shares up to a factor: these may be too far apart for numbers to hold them."""
    # At the first factor every share is at its lower bound or below all of these; at the other, at its upper.
    lowest = (np.log(np.maximum(low, 1e-300)) - logs).min(axis=1)
    highest = (np.log(high.clip(1e-300)) - logs).max(axis=1)
    for _ in range(_HALVINGS):
        middle = (lowest + highest) / 2
        over = _cut(logs + middle[:, None], low, high).sum(axis=1) > 1
        lowest, highest = np.where(over, lowest, middle), np.where(over, middle, highest)
    found = _cut(logs + ((lowest + highest) / 2)[:, None], low, high)
    # What rounding has left goes where there is room.
    rest = 1 - found.sum(axis=1, keepdims=True)
    room = np.where(rest > 0, high - found, found - low)
    found += rest * room / np.maximum(room.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(np.clip(found, low, high))


def _cut(logs: Floats, low: Floats, high: Floats) -> Floats:
    return np.asarray(np.clip(np.exp(np.clip(logs, -745.0, 1.0)), low, high))  # bounds above 1 are as good as 1


def check_prior(prior: Floats, caps: Floats) -> None:
    """Checks a prior and caps.

    Raises:
        InputError: if the prior is no mixture of at least two components, or it is above a cap.
    """
    if prior.ndim != 1 or not 2 <= len(prior) <= MAX_COMPONENTS or caps.shape != prior.shape:
        raise InputError(
            f"a search is among 2 to {MAX_COMPONENTS} components, not {prior.shape}; give the mix more than one ratio"
        )
    if not (np.isfinite(prior).all() and (prior > 0).all() and abs(prior.sum() - 1) < 1e-6):
        raise InputError(f"prior: {prior.tolist()} are no shares above 0 that sum to 1")
    if not ((caps >= 0).all() and not np.isnan(caps).any()):
        raise InputError(f"caps: {caps.tolist()} are no numbers of 0 or more")
    over = np.flatnonzero(prior > caps + _ROUNDING)
    if len(over):
        worst = int(over[0])
        raise InputError(
            f"component {worst}: has a share of {prior[worst]:.3%} in the prior, and at most {caps[worst]:.3%} can be "
            "had; lower its share or the budget, or raise max_epochs"
        )


def _distance(shares: Floats, other: Floats) -> Floats:
    """Hellinger's: 0 for the same mixture, 1 where nothing is shared."""
    return np.asarray(np.sqrt(np.maximum(0.0, 1 - np.sqrt(shares * other).sum(axis=1))))
