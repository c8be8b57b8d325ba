"""Designs: the prior first, within the caps, spread out, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.design import concentrations, default_mixtures, design, draw, within

PRIOR = np.array([0.6, 0.3, 0.08, 0.02])
FREE = np.ones(4)


def test_the_prior_comes_first_and_again_with_other_seeds() -> None:
    made = design(PRIOR, FREE, repeats=3)
    assert made.prior.tolist() == [True] * 3 + [False] * (default_mixtures(4) - 1)
    assert (made.shares[:3] == PRIOR).all()
    assert len(np.unique(made.shares.round(9), axis=0)) == default_mixtures(4) == 17


def test_the_same_seed_makes_the_same_design_and_another_makes_another() -> None:
    first, again, other = (design(PRIOR, FREE, seed=seed).shares for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_mixtures_and_more_repeats_keep_those_of_fewer() -> None:
    few, many = (design(PRIOR, FREE, mixtures=count, repeats=1, seed=3).shares for count in (6, 30))
    assert np.array_equal(many[:6], few)
    assert np.array_equal(design(PRIOR, FREE, mixtures=6, repeats=4, seed=3).shares[3:], few)


def test_concentrations_fill_the_range_evenly_by_logarithm() -> None:
    found = concentrations(65)
    assert len(set(found.tolist())) == 65
    assert np.sort(found) == pytest.approx(np.geomspace(0.1, 5, 65))
    assert concentrations(3) == pytest.approx([0.1, 5, 0.5**0.5])


def test_a_design_is_farther_apart_than_plain_draws() -> None:
    def closest(shares: np.ndarray) -> float:  # type: ignore[type-arg]
        roots = np.sqrt(shares)
        apart = ((roots[:, None] - roots[None]) ** 2).sum(axis=2) + 9 * np.eye(len(shares))
        return float(np.median(apart.min(axis=1)))

    random = np.random.default_rng(0)
    plain = [closest(np.vstack([PRIOR, draw(PRIOR, FREE, np.geomspace(0.1, 5, 16), random)])) for _ in range(20)]
    assert closest(design(PRIOR, FREE, repeats=1).shares) > max(plain)


def test_every_component_is_tried_with_much_and_with_little() -> None:
    shares = design(PRIOR, FREE).shares
    assert (shares.max(axis=0) > 0.5).all()
    assert shares.min(axis=0) == pytest.approx(0.1 * PRIOR, rel=0.01), "a tenth of the prior stays"


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=12),
    room=st.lists(st.floats(1.2, 30.0), min_size=12, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_mixture_is_above_a_cap_and_all_sum_to_one(weights: list[float], room: list[float], seed: int) -> None:
    prior = np.array(weights) / sum(weights)
    caps = np.minimum(prior * room[: len(prior)], 1.0)
    shares = design(prior, caps, mixtures=8, seed=seed).shares
    assert (shares <= caps + 1e-12).all()
    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(2, 6))
def test_within_bounds_no_mixture_is_nearer_than_the_one_found(data: st.DataObject, count: int) -> None:
    numbers = st.lists(st.floats(0.01, 1.0), min_size=count, max_size=count)
    shares = np.array(data.draw(numbers))
    shares /= shares.sum()
    low = np.array(data.draw(numbers)) * 0.5 / count
    high = np.array(data.draw(numbers)) + 1.0 / count
    found = within(shares[None], low, high)[0]
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert (found >= low - 1e-12).all()
    assert (found <= high + 1e-12).all()
    ratio = found / shares
    free = (found > low + 1e-7) & (found < high - 1e-7)
    if (
        free.any()
    ):  # one factor for all that no bound holds; what is held low had a smaller one, what is held high a larger
        factor = ratio[free].mean()
        assert ratio[free] == pytest.approx(factor, rel=1e-5)
        assert (ratio[found <= low + 1e-7] >= factor * (1 - 1e-5)).all()
        assert (ratio[found >= high - 1e-7] <= factor * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    ("prior", "caps", "message"),
    [
        ([0.6, 0.4], [0.5, 1.0], "component 0: has a share of 60.000% in the prior, and at most 50.000%"),
        ([1.0], [1.0], "2 to 200 components"),
        ([0.5, 0.6], [1.0, 1.0], "are no shares above 0 that sum to 1"),
        ([1.0, 0.0], [1.0, 1.0], "are no shares above 0"),
        ([0.5, 0.5], [1.0, float("nan")], "caps"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(prior: list[float], caps: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        design(np.array(prior), np.array(caps))


def test_too_few_runs_are_refused_with_how_many_would_do() -> None:
    with pytest.raises(InputError, match="3 mixtures: give 4 to 10000; 17 suit 4 components"):
        design(PRIOR, FREE, mixtures=3)


def test_caps_that_leave_nothing_to_choose_are_refused() -> None:
    with pytest.raises(InputError, match="no other mixture"):
        design(PRIOR, PRIOR)
