"""Repetition, held to the authors' numbers and to a search that knows nothing of the law's form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.mix.selection import effective_units
from corpusmill.scaling.planning.repeated import MUENNIGHOFF, tokens_worth


def test_the_authors_losses_are_reproduced_to_the_last_digits() -> None:
    assert MUENNIGHOFF.loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, abs=1e-12)
    assert MUENNIGHOFF.loss(8.67e9, 178e9, 25e9) == pytest.approx(2.2269634075087867, abs=1e-12)


def test_the_authors_optimum_is_found() -> None:
    # Theirs lies on a grid: .05 % beside ours, and at their tokens the loss is not below ours.
    parameters, tokens = MUENNIGHOFF.optimum(1e22, 25e9)
    assert tokens == pytest.approx(237.337e9, rel=1e-3)
    assert tokens / 25e9 == pytest.approx(9.4935, rel=1e-3)
    assert parameters == pytest.approx(7.0224e9, rel=1e-3)
    theirs = MUENNIGHOFF.loss(1e22 / 6 / 237.337e9, 237.337e9, 25e9)
    assert MUENNIGHOFF.loss(parameters, tokens, 25e9) <= theirs
    assert MUENNIGHOFF.loss(parameters, tokens, 25e9) == pytest.approx(theirs, abs=1e-6)


def test_epochs_are_worth_what_the_paper_says_and_end_at_a_ceiling() -> None:
    worth = [effective_units(1, epochs) for epochs in (2, 4, 8, 16, 40)]
    assert worth == pytest.approx([1.968, 3.726, 6.624, 10.582, 15.167], abs=6e-4)
    assert effective_units(1, 1e6) == pytest.approx(MUENNIGHOFF.ceiling)
    assert pytest.approx(16.388, abs=5e-4) == MUENNIGHOFF.ceiling


def test_four_epochs_cost_about_half_a_percent() -> None:
    assert MUENNIGHOFF.penalty(8.7e9, 4 * 44e9, 44e9) == pytest.approx(0.005, abs=0.0025)
    assert MUENNIGHOFF.penalty(8.7e9, 44e9, 44e9) == 0
    assert MUENNIGHOFF.penalty(8.7e9, 44e9, 1e12) == 0


@pytest.mark.parametrize("flops", [1e18, 1e22, 1e24])
@pytest.mark.parametrize("unique", [1e9, 25e9, 1e13])
def test_no_other_model_of_the_budget_is_better_on_the_same_data(flops: float, unique: float) -> None:
    parameters, tokens = MUENNIGHOFF.optimum(flops, unique)
    assert 6 * parameters * tokens == pytest.approx(flops)
    best = MUENNIGHOFF.loss(parameters, tokens, unique)
    for other in np.geomspace(1e6, 1e18, 1500):
        assert MUENNIGHOFF.loss(flops / 6 / other, other, unique) >= best - 1e-12


def test_with_plenty_of_data_the_optimum_is_that_without_repetition() -> None:
    assert MUENNIGHOFF.optimum(1e20, 1e15) == pytest.approx(MUENNIGHOFF.unrepeated.optimum(1e20), rel=1e-3)


def test_a_budget_that_the_data_cannot_use_is_named() -> None:
    assert MUENNIGHOFF.saturated(1e26, 1e9)
    assert not MUENNIGHOFF.saturated(1e22, 25e9)


@given(st.floats(1, 12).map(lambda power: 10**power), st.floats(0.1, 16.3))
@settings(deadline=None)
def test_tokens_worth_new_ones_turn_the_decay_around(unique: float, times: float) -> None:
    tokens = tokens_worth(times * unique, unique)
    assert tokens is not None
    worth = effective_units(unique, tokens) if tokens > unique else tokens
    assert worth == pytest.approx(times * unique, rel=1e-6)


def test_above_the_ceiling_no_repetition_is_enough() -> None:
    assert tokens_worth(MUENNIGHOFF.ceiling * 1e9, 1e9) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    for ask in (
        lambda: MUENNIGHOFF.loss(bad, 1e9, 1e9),
        lambda: MUENNIGHOFF.loss(1e9, bad, 1e9),
        lambda: MUENNIGHOFF.loss(1e9, 1e9, bad),
        lambda: MUENNIGHOFF.optimum(bad, 1e9),
        lambda: MUENNIGHOFF.optimum(1e20, bad),
        lambda: tokens_worth(1e9, bad),
        lambda: tokens_worth(bad, 1e9),
    ):
        with pytest.raises(UsageError, match="no number above 0"):
            ask()
