"""The published laws, held to the vectors of facts/science.md and to arithmetic that does not share their algebra."""

from __future__ import annotations

import csv
import doctest
import math
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning import amounts, budget, hardware, inference_aware, published, repeated
from corpusmill.scaling.planning.published import (
    BESIROGLU,
    HOFFMANN,
    KAPLAN_COMPUTE,
    KAPLAN_PARAMETERS,
    KAPLAN_TOKENS,
    LAWS,
    PF_DAY,
    SARDANA,
    ChinchillaLaw,
    PowerLaw,
    kaplan_growth,
)

laws = st.sampled_from(list(LAWS.values()))
budgets = st.floats(17, 27).map(lambda exponent: 10**exponent)


def test_chinchillas_budget_gives_the_tokens_per_parameter_of_each_set() -> None:
    # 18.38 with the printed constants, which the facts cut to 18.3
    assert BESIROGLU.tokens_per_parameter(5.88e23) == pytest.approx(18.3, abs=0.1)
    assert HOFFMANN.tokens_per_parameter(5.88e23) == pytest.approx(92.8, abs=0.05)


@pytest.mark.parametrize(("parameters", "tokens"), [(13e9, 5.77e11), (70e9, 4.26e12)])
def test_sardanas_baselines_are_chinchilla_optimal_by_their_constants(parameters: float, tokens: float) -> None:
    assert SARDANA.optimal_tokens(parameters) == pytest.approx(tokens, rel=2e-3)
    if parameters == 13e9:
        assert SARDANA.loss(parameters, SARDANA.optimal_tokens(parameters)) == pytest.approx(2.0453, abs=5e-5)


@given(laws, budgets)
@settings(deadline=None)
def test_no_other_model_of_the_budget_has_a_lower_loss(law: ChinchillaLaw, flops: float) -> None:
    parameters, tokens = law.optimum(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    best = law.loss(parameters, tokens)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
        assert law.loss(parameters * factor, tokens / factor) > best


@given(laws, budgets)
@settings(deadline=None)
def test_every_way_to_ask_for_an_optimum_finds_the_same_one(law: ChinchillaLaw, flops: float) -> None:
    parameters, tokens = law.optimum(flops)
    assert law.optimal_tokens(parameters) == pytest.approx(tokens, rel=1e-6)
    assert law.optimal_parameters(tokens) == pytest.approx(parameters, rel=1e-6)
    loss = law.loss(parameters, tokens)
    assert law.optimum_for_loss(loss) == pytest.approx((parameters, tokens), rel=1e-6)
    assert law.tokens_for_loss(parameters, loss) == pytest.approx(tokens, rel=1e-6)
    assert law.parameters_for_loss(tokens, loss) == pytest.approx(parameters, rel=1e-6)


def test_a_set_names_its_paper_and_the_sets_stay_apart() -> None:
    assert all(law.paper and law.place and law.source.startswith(law.paper) for law in LAWS.values())
    assert len({(law.A, law.B, law.E, law.alpha, law.beta) for law in LAWS.values()}) == len(LAWS)
    assert ChinchillaLaw(A=1, B=1, E=0, alpha=0.5, beta=0.5).source == "own fit"


def test_what_lies_outside_of_the_fit_is_named_with_its_factor() -> None:
    assert BESIROGLU.beyond(1e9, 2e10) == []
    found = {beyond.what: beyond for beyond in BESIROGLU.beyond(7e9, 1e13)}
    assert set(found) == {"tokens", "tokens per parameter"}
    assert found["tokens"].factor == pytest.approx(1e13 / 3.18e11)
    (small,) = BESIROGLU.beyond(1e7, 1e9)
    assert small.what == "parameters"
    assert small.factor == pytest.approx(5.73)
    assert str(small) == "10M parameters are 5.73 times below the least of the fit (57.3M)"
    assert ChinchillaLaw(A=1, B=1, E=0, alpha=0.5, beta=0.5).beyond(1, 1) == []


@pytest.mark.realdata
def test_the_fits_range_is_that_of_the_extracted_points(realdata: Path) -> None:
    with open(realdata / "laws" / "chinchilla_svg_extracted_data.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = [[float(row[name]) for name in ("loss", "Model Size", "Training FLOP")] for row in rows]
    points = sorted(columns)[:-5]
    parameters = [size for _, size, _ in points]
    tokens = [flops / (6 * size) for _, size, flops in points]
    ratios = [many / size for many, size in zip(tokens, parameters, strict=True)]
    fitted = BESIROGLU.fitted
    assert fitted is not None
    for stated, found in (
        (fitted.parameters, parameters),
        (fitted.tokens, tokens),
        (fitted.tokens_per_parameter, ratios),
    ):
        assert stated == pytest.approx((min(found), max(found)), rel=2e-3)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_no_law_can_take_is_refused_by_name(bad: float) -> None:
    for ask in (
        lambda: HOFFMANN.loss(bad, 1e9),
        lambda: HOFFMANN.loss(1e9, bad),
        lambda: HOFFMANN.optimum(bad),
        lambda: HOFFMANN.optimal_tokens(bad),
        lambda: HOFFMANN.optimal_parameters(bad),
        lambda: KAPLAN_TOKENS.loss(bad),
        lambda: kaplan_growth(bad),
        lambda: ChinchillaLaw(A=bad, B=1, E=1, alpha=0.3, beta=0.3),
        lambda: ChinchillaLaw(A=1, B=1, E=1, alpha=0.3, beta=bad),
    ):
        with pytest.raises(UsageError, match="no number above 0"):
            ask()
    if bad:
        with pytest.raises(UsageError, match="floor"):
            ChinchillaLaw(A=1, B=1, E=bad, alpha=0.3, beta=0.3)


def test_a_loss_below_the_floor_is_out_of_reach_and_the_floor_is_named() -> None:
    with pytest.raises(UsageError, match=r"1\.8172"):
        BESIROGLU.optimum_for_loss(1.8)
    floor = BESIROGLU.E + BESIROGLU.A / 1e9**BESIROGLU.alpha
    with pytest.raises(UsageError, match="1e\\+09 parameters"):
        BESIROGLU.tokens_for_loss(1e9, floor)
    with pytest.raises(UsageError, match="1e\\+10 tokens"):
        BESIROGLU.parameters_for_loss(1e10, 1.9)
    with pytest.raises(UsageError, match="nan"):
        BESIROGLU.optimum_for_loss(math.nan)


@pytest.mark.parametrize("law", [KAPLAN_PARAMETERS, KAPLAN_TOKENS, KAPLAN_COMPUTE], ids=lambda law: law.what)
def test_kaplans_laws_say_one_nat_at_their_scale_and_can_be_turned_around(law: PowerLaw) -> None:
    assert law.loss(law.scale) == pytest.approx(1)
    assert law.amount(law.loss(1e9)) == pytest.approx(1e9)
    assert law.loss(2e9) / law.loss(1e9) == pytest.approx(2**-law.exponent)


def test_compute_is_counted_in_petaflop_days() -> None:
    # GPT-3's 3.14e23 FLOPs are 3.64e3 PF-days (Brown et al. 2020, arXiv:2005.14165, table D.1)
    assert pytest.approx(3.64e3, rel=2e-3) == 3.14e23 / PF_DAY
    assert KAPLAN_COMPUTE.loss(3.14e23 / PF_DAY) == pytest.approx((3.1e8 / 3.64e3) ** 0.05, rel=1e-3)


def test_kaplan_puts_most_of_new_compute_into_the_model() -> None:
    size, data = kaplan_growth(1000)
    assert size * data == pytest.approx(1000)
    assert size == pytest.approx(1000**0.73)


@pytest.mark.parametrize("module", [amounts, budget, hardware, inference_aware, published, repeated])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
