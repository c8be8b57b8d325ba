"""Which mixture to train on: the one of least predicted loss that stays near the prior and within epoch caps.

    minimise  Σ_i w_i · L_i(x) + λ · Σ_j x_j ln(x_j / prior_j)   over shares x with low_j ≤ x_j ≤ high_j

Olmix (Ai2) states it so: laws of exponentials, λ of .05 to .1, caps of four epochs. Laws are convex
(scaling/mixtures/law.py) and so is the divergence, so there is one optimum. It is found by mirror descent with the
entropy as its distance (Beck and Teboulle 2003, Operations Research Letters 31(3)): the divergence is kept whole in
each step, which ends in a cut at the bounds, and the Frank–Wolfe gap bounds how far the loss is from the optimum. All
bootstrap draws go down together.

How sure it is: each bootstrap draw of the law has its own optimum. The ratios' intervals are theirs. The loss that the
proposal is predicted to win is too good on average, since the proposal was chosen by the same fit; so the interval of
the difference to the prior is made of what each draw's optimum claims beyond what it gives by the law that the draw
came from (the optimism of Efron and Gong 1983, The American Statistician 37(1)), which moves it and widens it. Where
the runs show that the law misses them by more than noise (`MixtureFit.miss`), intervals of losses and of differences
are wider by that, over domains as if it missed all to the same side.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.design import CONCENTRATIONS, check_prior, draw, within_bounds
from corpusmill.scaling.mixtures.law import INTERVAL, Law, MixtureFit, interval, widened

Floats = NDArray[np.float64]

DIVERGENCE = 0.05
"""λ, in units of the loss. Olmix: .05 to .1."""
GAP = 1e-6
"""The descent ends where the loss is at most so far from the optimum."""
SIMULATED, BEST = 100_000, 128
"""RegMix: draws, and how many of the best are averaged."""

NEAR = 0.1
"""Of the tokens in all: so far from the prior, at most, its runs may be, which are made of whole documents."""
SAME = 1e-3
"""Mixtures nearer than this, in all shares together, are one."""
_STEPS = 5000
_CHECKED = 20  # steps between looks at the gap
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with the bounds of its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether zero is outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """What a component is to have.

    prior     its share now
    proposed  its share in the proposal, with the interval that the draws of the law give
    cap       the most that it could have
    held_by   `cap`, `tried` or `least` where the proposal ends at the most that there is, at the most that was tried,
              or at the least
    regmix    its share by RegMix's way
    """

    component: str
    prior: float
    proposed: Interval
    cap: float
    held_by: str | None
    regmix: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A mixture beside the prior.

    loss          predicted, of the proposal: the weighted mean over domains
    prior_loss    predicted, of the prior
    difference    of the two, for the choice among mixtures corrected; below 0 is better
    by_domain     the same for each domain, not corrected
    regmix_loss   predicted, of the mixture that RegMix's way finds
    """

    ratios: tuple[Ratio, ...]
    loss: Interval
    prior_loss: Interval
    difference: Interval
    by_domain: dict[str, Interval]
    regmix_loss: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def shares(self) -> Floats:
        return np.array([ratio.proposed.estimate for ratio in self.ratios])

    @property
    def stays(self) -> bool:
        """Whether it is the prior."""
        return sum(abs(ratio.proposed.estimate - ratio.prior) for ratio in self.ratios) <= SAME


def propose(
    fit: MixtureFit,
    prior: Floats,
    *,
    caps: Floats,
    weights: Floats,
    divergence: float = DIVERGENCE,
    seed: int = 0,
    simulated: int = SIMULATED,
) -> Proposal:
    """The mixture to train on, among those that are between what was tried.

    Args:
        caps: the most that each component can have.
        weights: of the losses, float64[losses]; they are scaled to 1.
        divergence: λ.
        seed: of RegMix's draws.
        simulated: how many these are.

    Raises:
        InputError: if a number is out of its range, or the prior is above a cap or was not run.
    """
    check_prior(prior, caps)
    check_divergence(divergence)
    if weights.shape != (len(fit.losses),) or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise InputError(f"weights: {weights.tolist()} are no weights, one of 0 or more for each of {len(fit.losses)}")
    weights = weights / weights.sum()
    away = float(np.abs(fit.shares - prior).sum(axis=1).min())
    if away > NEAR:
        raise InputError(f"prior: the nearest run differs by {away:.1%} of the tokens; let the prior be among the runs")
    tried = fit.shares.max(axis=0)
    low, high = np.minimum(fit.shares.min(axis=0), prior), np.maximum(np.minimum(caps, tried), prior)
    best = minimise(_one(fit.law), weights, prior, divergence, low, high)[0]
    drawn = minimise(fit.draws, weights, prior, divergence, low, high)
    shares_low, shares_high = (np.clip(bound, low, high) for bound in interval(drawn, best))
    regmix = _best_of_many(fit.law, prior, np.minimum(caps, high), weights, simulated, seed)
    ratios = tuple(
        Ratio(
            component=name,
            prior=float(prior[j]),
            proposed=Interval(estimate=float(best[j]), low=float(shares_low[j]), high=float(shares_high[j])),
            cap=float(min(caps[j], 1.0)),
            held_by=_held_by(float(best[j]), float(caps[j]), float(tried[j]), float(low[j])),
            regmix=float(regmix[j]),
        )
        for j, name in enumerate(fit.components)
    )
    gains = fit.draws(best) - fit.draws(prior)
    gain = fit.law(best) - fit.law(prior)
    lows, highs = widened(gain, *interval(gains, gain), fit.miss)
    by_domain = {
        name: Interval(estimate=float(gain[i]), low=float(lows[i]), high=float(highs[i]))
        for i, name in enumerate(fit.losses)
    }
    proposal = Proposal(
        ratios=ratios,
        loss=_loss(fit, best, weights),
        prior_loss=_loss(fit, prior, weights),
        difference=_difference(fit, best, drawn, prior, weights),
        by_domain=by_domain,
        regmix_loss=float(fit.law(regmix) @ weights),
        warnings=fit.warnings,
    )
    beyond = None if proposal.stays else fit.outside(best)
    return proposal if beyond is None else replace(proposal, warnings=(*fit.warnings, f"the proposal: {beyond}"))


def check_divergence(divergence: float) -> None:
    """Checks a λ.

    Raises:
        InputError: if it is no number of 0 or more.
    """
    if not (np.isfinite(divergence) and divergence >= 0):
        raise InputError(f"divergence: {divergence} is no number of 0 or more; {DIVERGENCE} is usual")


def minimise(law: Law, weights: Floats, prior: Floats, divergence: float, low: Floats, high: Floats) -> Floats:
    """The best mixture of each draw of the law: float64[draws, components].

    Args:
        law: floor float64[draws, losses], slopes float64[draws, losses, components].
        weights: of the losses.
        divergence: λ, 0 or more.
        low: bounds of the shares, with the prior between them.
        high: bounds of the shares.
    """
    at = np.tile(np.clip(prior, low, high), (len(law.floor), 1))
    pace = np.ones(len(at))
    ended = np.zeros(len(at), np.bool_)
    value, gradient = _predicted(law, at, weights)
    for step in range(_STEPS):
        if step % _CHECKED == 0:
            ended = _gap(at, gradient + divergence * np.log(np.maximum(at, 1e-300) / prior), low, high) <= GAP
            if ended.all():
                break
        # argmin <g, x> + λ·KL(x‖prior) + KL(x‖at) / pace within the bounds.
        inverse = 1 / (1 / pace + divergence)[:, None]
        logs = inverse * (divergence * np.log(prior) + np.log(np.maximum(at, 1e-300)) / pace[:, None] - gradient)
        tried = within_bounds(logs - logs.max(axis=1, keepdims=True), low, high)
        tried_value, tried_gradient = _predicted(law, tried, weights)
        moved = tried - at
        bound = value + (gradient * moved).sum(axis=1) + _divergence(tried, at) / pace
        good = (tried_value <= bound + 1e-12 * np.abs(value)) & ~ended
        at[good], value[good], gradient[good] = tried[good], tried_value[good], tried_gradient[good]
        pace = np.clip(np.where(good, pace * 1.3, pace / 2), 1e-9, 1e6)
    return at


def _one(law: Law) -> Law:
    return Law(floor=law.floor[None], slopes=law.slopes[None])


def _predicted(law: Law, shares: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The weighted loss float64[draws] and its gradient float64[draws, components], each draw at its own mixture."""
    losses = law(shares)
    above = (losses - law.floor) * weights
    return losses @ weights, np.matmul(above[:, None, :], law.slopes)[:, 0]


def _gap(at: Floats, gradient: Floats, low: Floats, high: Floats) -> Floats:
    """Frank and Wolfe's: by how much at most the loss is above the optimum."""
    order = np.argsort(gradient, axis=1, kind="stable")
    room = np.take_along_axis(np.broadcast_to(high - low, at.shape), order, axis=1)
    filled = np.cumsum(room, axis=1)
    given = np.clip(1 - low.sum() - (filled - room), 0, room)
    corner = np.take_along_axis(gradient, order, axis=1) * given
    return np.asarray((gradient * (at - low)).sum(axis=1) - corner.sum(axis=1))


def _divergence(shares: Floats, other: Floats) -> Floats:
    ratio = np.maximum(shares, 1e-300) / np.maximum(other, 1e-300)
    return np.asarray((shares * np.log(ratio) - shares + other).sum(axis=1))


def _loss(fit: MixtureFit, shares: Floats, weights: Floats) -> Interval:
    loss = float(fit.law(shares) @ weights)
    low, high = widened(loss, *interval(fit.draws(shares) @ weights, loss), fit.miss @ weights)
    return Interval(estimate=loss, low=float(low), high=float(high))


def _difference(fit: MixtureFit, best: Floats, drawn: Floats, prior: Floats, weights: Floats) -> Interval:
    """Proposal less prior, with what the choice claims too much taken out."""
    found = float((fit.law(best) - fit.law(prior)) @ weights)
    claimed = (fit.draws(drawn) - fit.draws(prior)) @ weights
    given = np.array([(fit.law(one) - fit.law(prior)) @ weights for one in drawn])
    optimism = claimed - given
    low, high = np.quantile(optimism, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    estimate = found - float(optimism.mean())
    # The law was fitted to several runs of the prior: what it misses is the other one.
    bounds = widened(estimate, found - float(high), found - float(low), fit.miss @ weights)
    return Interval(estimate=estimate, low=float(bounds[0]), high=float(bounds[1]))


def _best_of_many(law: Law, prior: Floats, caps: Floats, weights: Floats, simulated: int, seed: int) -> Floats:
    """RegMix's way: the mean of the best of many mixtures that are drawn as those that were run."""
    random = np.random.default_rng(seed)
    lowest, highest = np.log(CONCENTRATIONS)
    drawn, losses = [], []
    for first in range(0, simulated, _CHUNK):
        count = min(_CHUNK, simulated - first)
        concentrations = np.exp(random.uniform(lowest, highest, count))
        some = draw(prior, caps, concentrations, random)
        drawn.append(some)
        losses.append(law.at(some) @ weights)
    order = np.argsort(np.concatenate(losses), kind="stable")[:BEST]
    return np.asarray(np.concatenate(drawn)[order].mean(axis=0))


def _held_by(share: float, cap: float, most: float, least: float) -> str | None:
    edge = 1e-4
    if share >= cap - edge:
        return "cap"
    if share >= most - edge:
        return "tried"
    return "least" if share <= least + edge else None
