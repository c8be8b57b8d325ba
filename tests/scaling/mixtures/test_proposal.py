"""Proposals: the optimum of a grid, never above a cap, and no gain where there is none."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.design import design
from corpusmill.scaling.mixtures.law import Law, MixtureFit, fit_mixture_law
from corpusmill.scaling.mixtures.proposal import Proposal, minimise, propose

Floats = NDArray[np.float64]
PRIOR = np.array([0.5, 0.3, 0.2])
FREE = np.ones(3)
NAMES = ("web", "code", "books")
TRUTH = Law(floor=np.array([0.9, 0.7]), slopes=np.array([[-1.5, 0.4, -0.6], [0.5, -1.4, 0.2]]))


def grid(steps: int, low: Floats, high: Floats) -> Floats:
    points = [
        (first / steps, second / steps, (steps - first - second) / steps)
        for first, second in itertools.product(range(steps + 1), repeat=2)
        if first + second <= steps
    ]
    found = np.array(points)
    return found[((found >= low - 1e-12) & (found <= high + 1e-12)).all(axis=1)]


def objective(law: Law, shares: Floats, weights: Floats, divergence: float) -> Floats:
    logs = np.log(np.maximum(shares, 1e-300) / PRIOR)
    return np.asarray(law.at(shares) @ weights + divergence * (shares * logs).sum(axis=1))


@settings(max_examples=40, deadline=None)
@given(
    slopes=st.lists(st.floats(-4, 1.5), min_size=6, max_size=6),
    weight=st.floats(0, 1),
    divergence=st.sampled_from([0.0, 0.02, 0.1, 1.0]),
    cap=st.floats(0.55, 1.0),
)
def test_no_mixture_of_a_grid_is_better_than_the_one_found(
    slopes: list[float], weight: float, divergence: float, cap: float
) -> None:
    law = Law(floor=np.array([1.0, 0.5]), slopes=np.array(slopes).reshape(2, 3))
    weights, low, high = np.array([weight, 1 - weight]), np.zeros(3), np.array([cap, 0.9, 0.5])
    some = Law(floor=law.floor[None], slopes=law.slopes[None])
    found = minimise(some, weights, PRIOR, divergence, low, high)
    assert (found <= high + 1e-12).all()
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-9)
    best = objective(law, grid(60, low, high), weights, divergence).min()
    assert objective(law, found, weights, divergence)[0] <= best + 1e-5


def test_of_two_shares_that_a_bound_leaves_little_the_better_one_gets_it() -> None:
    law = Law(floor=np.zeros((1, 1)), slopes=np.array([[[-0.02, 0.0, -1.3]]]))
    found = minimise(law, np.ones(1), PRIOR, 0.0, np.zeros(3), np.array([0.55, 0.9, 0.5]))
    assert found[0] == pytest.approx([0.5, 0.0, 0.5], abs=1e-4)


def test_each_draw_has_its_own_optimum() -> None:
    draws = Law(floor=np.zeros((2, 1)), slopes=np.array([[[-3.0, 0.0, 0.0]], [[0.0, -3.0, 0.0]]]))
    found = minimise(draws, np.ones(1), PRIOR, 0.01, np.zeros(3), FREE)
    assert found[0].argmax() == 0
    assert found[1].argmax() == 1
    alone = minimise(Law(floor=draws.floor[1:], slopes=draws.slopes[1:]), np.ones(1), PRIOR, 0.01, np.zeros(3), FREE)
    assert found[1] == pytest.approx(alone[0], abs=1e-3)


def searched(
    truth: Law, caps: Floats = FREE, noise: float = 0.004, seed: int = 0, **options: float
) -> tuple[MixtureFit, Proposal]:
    runs = design(PRIOR, caps, seed=seed)
    random = np.random.default_rng(seed)
    losses = truth.at(runs.shares) + random.normal(0, noise, (len(runs.shares), 2))
    fit = fit_mixture_law(runs.shares, losses, components=NAMES, names=("prose", "source"), draws=80, seed=seed)
    return fit, propose(fit, PRIOR, caps=caps, weights=np.ones(2), simulated=4000, **options)


def test_a_better_mixture_is_found_and_said_to_be_better() -> None:
    _, proposal = searched(TRUTH)
    best = minimise(
        Law(floor=TRUTH.floor[None], slopes=TRUTH.slopes[None]), np.full(2, 0.5), PRIOR, 0.05, np.zeros(3), FREE
    )[0]
    assert proposal.shares == pytest.approx(best, abs=0.05)
    for ratio, share in zip(proposal.ratios, best, strict=True):
        assert ratio.proposed.low - 0.02 <= share <= ratio.proposed.high + 0.02
    gain = float((TRUTH(proposal.shares) - TRUTH(PRIOR)).mean())
    assert gain < -0.01
    assert proposal.difference.shown
    assert proposal.difference.low <= gain <= proposal.difference.high
    assert proposal.loss.estimate < proposal.prior_loss.estimate
    assert proposal.regmix_loss < proposal.prior_loss.estimate


def test_what_the_law_misses_widens_the_intervals_of_losses_and_of_differences() -> None:
    fit, sure = searched(TRUTH)
    rough = propose(replace(fit, miss=np.array([0.1, 0.3])), PRIOR, caps=FREE, weights=np.ones(2), simulated=4000)
    assert sure.difference.shown
    assert not rough.difference.shown
    for name in ("loss", "prior_loss", "difference"):
        narrow, wide = getattr(sure, name), getattr(rough, name)
        assert wide.estimate == narrow.estimate
        assert wide.high - wide.low == pytest.approx(2 * 1.96 * 0.2, rel=0.01)
    for name, miss in (("prose", 0.1), ("source", 0.3)):
        wide = rough.by_domain[name]
        assert wide.high - wide.low == pytest.approx(2 * 1.96 * miss, rel=0.02)


def test_where_the_mixture_does_not_matter_nothing_is_shown() -> None:
    flat = Law(floor=np.array([0.9, 0.7]), slopes=np.full((2, 3), -0.5))
    shown = [searched(flat, seed=seed)[1].difference.shown for seed in range(20)]
    assert sum(shown) <= 3


def test_a_component_of_which_there_is_no_more_is_held_by_its_cap() -> None:
    only = Law(floor=np.array([0.9, 0.7]), slopes=np.array([[0.3, -2.0, 0.3], [0.3, -2.0, 0.3]]))
    caps = np.array([1.0, 0.4, 1.0])
    _, proposal = searched(only, caps=caps)
    assert proposal.shares[1] == pytest.approx(0.4)
    assert [ratio.held_by for ratio in proposal.ratios] == [None, "cap", None]
    assert all(ratio.regmix <= cap + 1e-9 for ratio, cap in zip(proposal.ratios, caps, strict=True))


@settings(max_examples=15, deadline=None)
@given(
    room=st.lists(st.floats(1.05, 4.0), min_size=3, max_size=3),
    slopes=st.lists(st.floats(-6, 2), min_size=6, max_size=6),
)
def test_caps_are_never_broken(room: list[float], slopes: list[float]) -> None:
    caps = np.minimum(PRIOR * room, 1.0)
    truth = Law(floor=np.array([0.9, 0.7]), slopes=np.array(slopes).reshape(2, 3))
    runs = design(PRIOR, caps, mixtures=8).shares
    fit = fit_mixture_law(runs, truth.at(runs), components=NAMES, names=("prose", "source"), draws=4)
    proposal = propose(fit, PRIOR, caps=caps, weights=np.ones(2), simulated=500)
    assert (proposal.shares <= caps + 1e-9).all()
    assert all(ratio.regmix <= ratio.cap + 1e-9 for ratio in proposal.ratios)
    assert all(ratio.proposed.high <= ratio.cap + 1e-9 for ratio in proposal.ratios)


def test_more_divergence_stays_nearer_to_the_prior() -> None:
    far, near = (searched(TRUTH, divergence=strength)[1].shares for strength in (0.001, 1.0))
    assert np.abs(near - PRIOR).sum() < np.abs(far - PRIOR).sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"divergence": -1.0}, "divergence"), ({"weights": np.zeros(2)}, "weights"), ({"weights": np.ones(3)}, "weights")],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    fit, _ = searched(TRUTH)
    with pytest.raises(InputError, match=message):
        propose(fit, PRIOR, **{"caps": FREE, "weights": np.ones(2), **options})  # type: ignore[arg-type]


def test_a_prior_that_was_never_run_is_refused() -> None:
    shares = design(PRIOR, FREE).shares[3:]
    far = shares[np.abs(shares - PRIOR).sum(axis=1) > 0.1]
    fit = fit_mixture_law(far, TRUTH.at(far), components=NAMES, names=("prose", "source"), draws=4)
    with pytest.raises(InputError, match="let the prior be among the runs"):
        propose(fit, PRIOR, caps=FREE, weights=np.ones(2), simulated=500)


def test_a_prior_at_its_cap_of_which_runs_had_a_little_less_can_be_searched_from() -> None:
    caps = np.array([0.5, 1.0, 1.0])
    shares = design(PRIOR, caps).shares
    shares[:, 0] *= 0.995
    shares /= shares.sum(axis=1, keepdims=True)
    fit = fit_mixture_law(shares, TRUTH.at(shares), components=NAMES, names=("prose", "source"), draws=4)
    proposal = propose(fit, PRIOR, caps=caps, weights=np.ones(2), simulated=500)
    assert proposal.shares[0] <= 0.5 + 1e-9


def test_a_component_of_which_no_less_was_tried_says_so() -> None:
    unwanted = Law(floor=np.array([0.9, 0.7]), slopes=np.array([[2.0, -2.0, -2.0], [2.0, -2.0, -2.0]]))
    fit, proposal = searched(unwanted)
    assert proposal.shares[0] == pytest.approx(fit.shares[:, 0].min())
    assert proposal.ratios[0].held_by == "least"


def test_a_proposal_that_is_the_prior_is_not_said_to_be_beyond_what_was_tried() -> None:
    shares = design(PRIOR, FREE).shares
    shares[:, 2] = np.maximum(shares[:, 2], 0.26)  # whole documents: never as few as the prior asks for
    shares /= shares.sum(axis=1, keepdims=True)
    fit = fit_mixture_law(shares, TRUTH.at(shares), components=NAMES, names=("prose", "source"), draws=4)
    assert fit.shares[:, 2].min() > 0.2
    assert fit.outside(PRIOR) is not None
    proposal = propose(fit, PRIOR, caps=FREE, weights=np.ones(2), simulated=500, divergence=1e9)
    assert proposal.stays
    assert proposal.warnings == fit.warnings
    assert not propose(fit, PRIOR, caps=FREE, weights=np.ones(2), simulated=500).stays
