"""Plans: each set of constants by itself, the data judged in steps, contradictions refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.mix.selection import effective_units
from corpusmill.scaling.planning.budget import Ask, Kind, Plan, Verdict, solve, solve_range
from corpusmill.scaling.planning.hardware import Rental, find_accelerator
from corpusmill.scaling.planning.inference_aware import cheapest_like_parameters
from corpusmill.scaling.planning.published import BESIROGLU, HOFFMANN, SARDANA


def only(ask: Ask, kind: Kind = Kind.OPTIMAL) -> Plan:
    (plan,) = [plan for plan in solve(ask) if plan.kind is kind]
    return plan


def besiroglu(**asked: Any) -> Ask:
    return Ask(laws=(BESIROGLU,), **asked)


def test_each_set_of_constants_answers_by_itself() -> None:
    plans = {plan.law.name: plan for plan in solve(Ask(flops=5.88e23))}
    assert plans["besiroglu"].tokens / plans["besiroglu"].parameters == pytest.approx(18.4, abs=0.05)
    assert plans["hoffmann"].tokens / plans["hoffmann"].parameters == pytest.approx(92.8, abs=0.05)
    assert plans["hoffmann"].loss == HOFFMANN.loss(plans["hoffmann"].parameters, plans["hoffmann"].tokens)
    assert plans["besiroglu"] == solve(besiroglu(flops=5.88e23))[0]


def test_every_single_quantity_leads_to_the_same_optimum() -> None:
    first = only(besiroglu(flops=1e22))
    for ask in (
        besiroglu(parameters=first.parameters),
        besiroglu(tokens=first.tokens),
        besiroglu(loss=first.loss),
    ):
        plan = only(ask)
        assert (plan.parameters, plan.tokens) == pytest.approx((first.parameters, first.tokens), rel=1e-6)


def test_two_quantities_fix_the_model_and_the_optimum_stands_beside_it() -> None:
    loss = BESIROGLU.loss(7e9, 1e12)
    for ask in (
        besiroglu(parameters=7e9, tokens=1e12),
        besiroglu(parameters=7e9, flops=4.2e22),
        besiroglu(tokens=1e12, flops=4.2e22),
        besiroglu(parameters=7e9, loss=loss),
        besiroglu(tokens=1e12, loss=loss),
        besiroglu(parameters=7e9, tokens=1e12, flops=4.3e22),
    ):
        asked, optimal = solve(ask)
        assert (asked.kind, optimal.kind) == (Kind.ASKED, Kind.OPTIMAL)
        assert (asked.parameters, asked.tokens) == pytest.approx((7e9, 1e12), rel=1e-6)
        assert optimal.training_flops == pytest.approx(asked.training_flops)
        assert optimal.loss < asked.loss


def test_with_inference_the_loss_stays_and_the_flops_are_sardanas() -> None:
    plan = only(Ask(parameters=13e9, inference_tokens=2e12, laws=(SARDANA,)), Kind.INFERENCE)
    best = cheapest_like_parameters(SARDANA, 13e9, 2e12)
    assert plan.training_flops + plan.inference_flops == pytest.approx(best.flops)
    assert plan.change == pytest.approx(-0.174, abs=1e-3)
    assert plan.beyond
    asked = solve(besiroglu(parameters=7e9, tokens=1e12, inference_tokens=1e13))
    assert asked[-1].loss == pytest.approx(asked[0].loss)


@pytest.mark.parametrize(
    ("parameters", "tokens", "inference", "change"), [(3e9, 6e11, 2e12, 0), (70e9, 1e11, 1e11, -0.54)]
)
def test_what_is_saved_is_saved_of_the_model_asked(
    parameters: float, tokens: float, inference: float, change: float
) -> None:
    asked, _, best = solve(besiroglu(parameters=parameters, tokens=tokens, inference_tokens=inference))
    total = [plan.training_flops + plan.inference_flops for plan in (asked, best)]
    assert best.change == pytest.approx(total[1] / total[0] - 1)
    assert best.change == pytest.approx(change, abs=5e-3)


@pytest.mark.parametrize(
    ("unique", "verdict", "short_by"),
    [
        (2e12, Verdict.SUFFICES, 0),
        (1e12, Verdict.SUFFICES, 0),
        (0.998e12, Verdict.SUFFICES, 0),
        (0.5e12, Verdict.REPEATED, 0),
        (0.25e12, Verdict.REPEATED, 0),
        (0.1e12, Verdict.SHORT, 0.15e12),
    ],
)
def test_the_verdict_counts_passes(unique: float, verdict: Verdict, short_by: float) -> None:
    found = only(besiroglu(parameters=7e9, tokens=1e12, unique=unique), Kind.ASKED).supply
    assert found is not None
    assert found.verdict is verdict
    assert found.short_by == pytest.approx(short_by)
    assert found.epochs == pytest.approx(1e12 / unique)
    assert (found.advised is None) == (verdict is Verdict.SUFFICES)


def test_repetition_and_quality_both_take_from_what_tokens_are_worth() -> None:
    plan = only(besiroglu(parameters=7e9, tokens=1e12, unique=5e11, quality=0.8), Kind.ASKED)
    found = plan.supply
    assert found is not None
    assert found.effective == pytest.approx(effective_units(5e11, 1e12))
    assert found.clean == pytest.approx(found.effective * 0.8 ** (0.401 / 0.396))
    assert found.loss == pytest.approx(BESIROGLU.loss(7e9, found.clean))
    assert found.loss > plan.loss
    assert found.ceiling == pytest.approx(16.387756 * 5e11 * 0.8 ** (0.401 / 0.396))
    assert found.equal_tokens is not None
    equal = only(besiroglu(parameters=7e9, tokens=found.equal_tokens, unique=5e11, quality=0.8), Kind.ASKED).supply
    assert equal is not None
    assert equal.loss == pytest.approx(plan.loss)


def test_new_data_of_quality_one_changes_nothing() -> None:
    plan = only(besiroglu(parameters=7e9, unique=1e15))
    assert plan.supply is not None
    assert plan.supply.loss == plan.loss
    assert plan.supply.penalty == 0
    assert plan.supply.equal_tokens == plan.tokens


def test_where_no_number_of_passes_is_enough_it_is_said() -> None:
    found = only(besiroglu(parameters=7e9, tokens=1e12, unique=1e10), Kind.ASKED).supply
    assert found is not None
    assert found.equal_tokens is None
    assert found.saturated is False
    assert found.verdict is Verdict.SHORT
    poor = only(besiroglu(parameters=7e9, tokens=4e11, unique=5e11, quality=0.01), Kind.ASKED).supply
    assert poor is not None
    assert (poor.equal_tokens, poor.verdict, poor.short_by) == (None, Verdict.POOR, 0)
    tiny = only(besiroglu(parameters=7e9, tokens=1e13, unique=1e7), Kind.ASKED).supply
    assert tiny is not None
    assert tiny.saturated


def test_the_bill_is_that_of_the_training() -> None:
    rental = Rental(accelerator=find_accelerator("h100"), price=2)
    plan = only(besiroglu(parameters=7e9, inference_tokens=1e12, rental=rental), Kind.INFERENCE)
    assert plan.bill == rental.bill(plan.training_flops)


def test_a_range_has_each_size_once_for_each_set_with_the_plan_to_follow() -> None:
    rows = solve_range(Ask(parameters=7e9, unique=1e11), [1e9, 1e10])
    assert [[(plan.law.name, plan.parameters) for plan in row] for row in rows] == [
        [("besiroglu", 1e9), ("hoffmann", 1e9)],
        [("besiroglu", 1e10), ("hoffmann", 1e10)],
    ]
    ((cheapest,),) = solve_range(besiroglu(flops=1e22, inference_tokens=1e12), [7e9])
    assert cheapest.kind is Kind.INFERENCE
    assert cheapest.loss == pytest.approx(BESIROGLU.loss(7e9, BESIROGLU.optimal_tokens(7e9)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing to solve: give --params"),
        ({"parameters": 7e9, "tokens": 1e12, "flops": 1e22}, "--flops: 1e\\+22 contradicts.*4.2e\\+22"),
        ({"parameters": 7e9, "tokens": 1e12, "loss": 2.0}, "--loss: "),
        ({"loss": 2.0, "flops": 1e22}, "--loss and --flops"),
        ({"parameters": 0.0}, "--params: 0.0"),
        ({"parameters": math.nan}, "--params: nan"),
        ({"tokens": -1.0}, "--tokens: -1.0"),
        ({"flops": math.inf}, "--flops: inf"),
        ({"parameters": 7e9, "unique": 0.0}, "--unique-tokens"),
        ({"parameters": 7e9, "inference_tokens": -1.0}, "--inference-tokens"),
        ({"parameters": 7e9, "quality": 0.0}, "--q: 0.0"),
        ({"parameters": 7e9, "quality": 1.1}, "--q: 1.1"),
        (
            {"parameters": 7e9, "unique": 5e11, "quality": 1e-300},
            r"--q: 1e-300 leaves less than one token.*5e\+11; Q is",
        ),
        ({"parameters": 7e9, "unique": 5e11, "quality": 5e-324}, "--q: 5e-324 leaves less than one token"),
        ({"parameters": 7e9, "quality": math.nan}, "--q: nan"),
        ({"parameters": 7e9, "max_epochs": 0.5}, "--epochs-max"),
        ({"parameters": 7e9, "laws": ()}, "--constants"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_option(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Ask(**asked)


def test_a_loss_out_of_reach_names_the_set_that_cannot() -> None:
    with pytest.raises(UsageError, match=r"besiroglu.*1\.8172"):
        solve(Ask(loss=1.75))
    assert solve(Ask(loss=1.75, laws=(HOFFMANN,)))


def test_a_loss_that_is_its_floor_is_not_blamed_on_a_question_that_named_none() -> None:
    with pytest.raises(
        UsageError, match=r"^--inference-tokens: 1e\+90 parameters.*1\.8172, the floor of besiroglu.*smaller"
    ):
        solve(besiroglu(parameters=1e90, inference_tokens=1e90))
    assert solve(besiroglu(parameters=1e90))
    for parameters in (1e20, 1e30):
        first, best = solve(besiroglu(parameters=parameters, inference_tokens=1e30))
        assert best.loss == pytest.approx(first.loss)


@given(
    st.floats(6, 13).map(lambda power: 10**power),
    st.floats(6, 15).map(lambda power: 10**power),
    st.floats(0.01, 1),
    st.floats(0, 1e14),
)
@settings(deadline=None, max_examples=40)
def test_any_question_in_range_is_answered_with_finite_numbers(
    parameters: float, unique: float, quality: float, inference: float
) -> None:
    for plan in solve(Ask(parameters=parameters, unique=unique, quality=quality, inference_tokens=inference)):
        found = plan.supply
        assert found is not None
        assert all(
            math.isfinite(number)
            for number in (plan.tokens, plan.loss, found.loss, found.penalty, found.clean, found.short_by)
        )
        assert found.clean <= found.effective <= plan.tokens * (1 + 1e-12)
        assert found.loss >= plan.loss * (1 - 1e-12)
        assert found.clean <= found.ceiling * (1 + 1e-12)
        assert (found.short_by > 0) == (found.verdict is Verdict.SHORT)
