"""Runs of a mixture search: which documents make a mixture, and what new runs show."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from corpusmill.documents.errors import InputError
from corpusmill.mix.keys import HELD_OUT, TRAIN
from corpusmill.scaling.mixtures.runs import (
    NONE,
    Trial,
    component_of,
    confirmed,
    heldout_difference,
    mixed_rows,
    tokens_of,
)

NAMES = ("late", "web", "code")


def documents(counts: tuple[int, ...] = (20, 60, 40), tokens: int = 10) -> pa.Table:
    """Documents of three components; every tenth is held out, and what is `late` is in `web`, too."""
    place = np.repeat(np.arange(len(counts)), counts)
    total = len(place)
    return pa.table(
        {
            "id": pa.array([f"d{number}" for number in range(total)]),
            "id_hash": pa.array(np.random.default_rng(1).integers(0, 2**63, total).astype(np.uint64)),
            "tokens": pa.array(np.full(total, tokens, np.int64)),
            "split": pa.array(np.where(np.arange(total) % 10 == 0, HELD_OUT, TRAIN).astype(np.int8)),
            "pool.late": pa.array(place == 0),
            "pool.web": pa.array(place <= 1),
            "pool.code": pa.array(place == 2),
        }
    )


def trial(shares: tuple[float, ...] = (0.2, 0.5, 0.3), tokens: int = 300, part: float = 1.0, seed: int = 0) -> Trial:
    return Trial(components=NAMES, shares=shares, tokens=tokens, part=part, seed=seed)


def test_a_document_is_of_the_first_component_that_it_is_in_and_of_none_if_it_is_held_out() -> None:
    table = documents()
    place = component_of(table, NAMES)
    assert [int((place == number).sum()) for number in range(3)] == [18, 54, 36]
    assert set(place[table.column("split").to_numpy() == HELD_OUT].tolist()) == {NONE}
    assert tokens_of(table, NAMES) == {"late": 180, "web": 540, "code": 360}


def test_a_mixture_has_the_shares_that_were_asked_for() -> None:
    rows, achieved = mixed_rows(documents(), trial(), seed=7)
    assert achieved.tolist() == [60, 150, 90]
    assert len(rows) == len(set(rows.tolist())) == 30


def test_what_is_read_several_times_comes_in_whole_passes_and_a_part_of_one() -> None:
    rows, achieved = mixed_rows(documents(), trial((0.9, 0.1, 0.0), tokens=500), seed=7)
    assert achieved.tolist() == [450, 50, 0]
    times = np.bincount(rows, minlength=20)[:20]
    assert sorted(times.tolist()) == [0] * 2 + [2] * 9 + [3] * 9


def test_a_run_of_a_tenth_of_the_training_sees_a_tenth_of_each_component() -> None:
    rows, achieved = mixed_rows(documents(), trial((0.2, 0.5, 0.3), tokens=300, part=0.1), seed=7)
    assert achieved.sum() == 300
    different: dict[str, set[int]] = {name: set() for name in NAMES}
    for row, place in zip(rows.tolist(), component_of(documents(), NAMES)[rows].tolist(), strict=True):
        different[NAMES[place]].add(row)
    assert {name: len(found) for name, found in different.items()} == {"late": 2, "web": 5, "code": 4}


def test_another_seed_takes_other_documents_and_the_same_seed_the_same() -> None:
    first, again, other = (mixed_rows(documents(), trial(seed=seed), seed=7)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda given: sum(given) > 0.1),
    tokens=st.integers(1, 3000),
    part=st.floats(0.001, 1.0),
)
def test_shares_are_at_most_half_a_document_away(weights: list[float], tokens: int, part: float) -> None:
    shares = tuple(weight / sum(weights) for weight in weights)
    asked = trial(shares, tokens, part)
    if max(shares) * tokens <= 5:
        with pytest.raises(InputError, match="less than half a document of every component"):
            mixed_rows(documents(), asked, seed=0)
        return
    rows, achieved = mixed_rows(documents(), asked, seed=0)
    assert (np.abs(achieved - np.array(shares) * tokens) <= 5 + 1e-6).all()
    assert 10 * len(rows) == achieved.sum()


def test_a_component_without_a_token_cannot_have_a_share() -> None:
    with pytest.raises(InputError, match="code: has no token to train on"):
        mixed_rows(documents(counts=(20, 60, 0)), trial(), seed=0)


def test_a_difference_beyond_the_noise_is_shown_and_one_within_is_not() -> None:
    assert confirmed([1.00, 1.01, 0.99], [0.90, 0.91, 0.89]).shown
    assert not confirmed([1.00, 1.10, 0.90], [0.97, 1.07, 0.87]).shown


def test_the_interval_of_new_runs_is_that_of_the_t_test() -> None:
    first, second = [1.0, 1.3, 1.1], [0.7, 0.9, 0.6, 0.8]
    expected = ttest_ind(second, first).confidence_interval(0.95)
    found = confirmed(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_run_each_says_nothing_of_noise() -> None:
    found = confirmed([1.0], [0.5])
    assert found.estimate == -0.5
    assert math.isinf(found.low)
    assert not found.shown
    assert confirmed([1.0], [0.5], [[1.0, 1.001, 0.999]]).shown


def test_a_difference_that_hangs_on_the_choice_of_held_out_documents_is_not_shown():
    prior, proposal = [1.00, 1.01, 0.99], [0.90, 0.91, 0.89]
    seeds = confirmed(prior, proposal)
    few = confirmed(prior, proposal, heldout=[np.full(30, 0.002) * np.resize([1, -1], 30)])
    many = confirmed(prior, proposal, heldout=[np.full(30, 0.02) * np.resize([1, -1], 30)])
    assert seeds.estimate == few.estimate == many.estimate
    assert seeds.high - seeds.low < few.high - few.low < many.high - many.low
    assert few.shown
    assert not many.shown


def test_errors_by_held_out_documents_are_those_of_the_difference_and_not_of_both_runs():
    rng = np.random.default_rng(0)
    hard, sizes = rng.normal(1.2, 0.3, 25), np.full(25, 500.0)

    def run(less):
        return {"web": {"bits": (sizes * (hard - less)).tolist(), "bytes": sizes.tolist()}}

    weights = {"web": 1.0}
    [same] = heldout_difference([run(0.0), run(0.1)], [run(0.2)], weights)
    assert np.abs(same).max() < 1e-12
    luck = rng.normal(0, 0.05, 25)
    [apart] = heldout_difference([run(0.0)], [run(luck)], weights)
    assert np.square(apart).sum() == pytest.approx(luck.var(ddof=1) / 25)
    assert heldout_difference([run(0.0), None], [run(0.1)], weights) == []
