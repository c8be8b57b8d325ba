"""The cheapest model over its life, held to the rows of Sardana et al. and to a search that knows no derivative."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning.inference_aware import (
    cheapest_for_loss,
    cheapest_like_budget,
    cheapest_like_parameters,
)
from corpusmill.scaling.planning.published import BESIROGLU, LAWS, SARDANA, ChinchillaLaw


def test_the_paper_s_13b_row_is_reproduced() -> None:
    found = cheapest_like_parameters(SARDANA, 13e9, 2e12)
    assert found.loss == pytest.approx(2.0453, abs=5e-5)
    assert found.baseline_tokens == pytest.approx(5.77e11, rel=2e-3)
    assert found.parameters == pytest.approx(6.97e9, rel=1e-3)
    assert found.tokens == pytest.approx(1.248e12, rel=1e-3)
    assert found.baseline_flops == pytest.approx(9.70e22, rel=1e-3)
    assert found.flops == pytest.approx(8.00e22, rel=1e-3)
    assert found.change == pytest.approx(-0.174, abs=1e-3)


@pytest.mark.parametrize(
    ("baseline", "inference", "parameters", "more_data", "change"),
    [(7e9, 1e11, 6.0e9, 1.18, -0.009), (30e9, 1e13, 13.6e9, 2.84, -0.28), (70e9, 1e13, 41.6e9, 1.86, -0.12)],
)
def test_the_paper_s_other_rows_are_reproduced(
    baseline: float, inference: float, parameters: float, more_data: float, change: float
) -> None:
    found = cheapest_like_parameters(SARDANA, baseline, inference)
    assert found.parameters == pytest.approx(parameters, rel=2e-3)
    assert found.tokens / found.baseline_tokens == pytest.approx(more_data, rel=5e-3)
    assert found.change == pytest.approx(change, abs=1e-3)


def test_the_70b_row_is_trained_on_almost_eight_trillion_tokens() -> None:
    found = cheapest_like_parameters(SARDANA, 70e9, 1e13)
    assert found.baseline_tokens == pytest.approx(4.26e12, rel=2e-3)
    assert found.tokens == pytest.approx(7.92e12, rel=1e-3)


@given(
    st.sampled_from(list(LAWS.values())),
    st.floats(8, 12).map(lambda power: 10**power),
    st.floats(8, 15).map(lambda power: 10**power),
)
@settings(deadline=None, max_examples=60)
def test_no_other_model_of_the_loss_is_cheaper(law: ChinchillaLaw, baseline: float, inference: float) -> None:
    found = cheapest_like_parameters(law, baseline, inference)
    assert law.loss(found.parameters, found.tokens) == pytest.approx(found.loss, rel=1e-9)
    assert found.flops == pytest.approx(found.parameters * (6 * found.tokens + 2 * inference))
    assert found.flops <= found.baseline_flops * (1 + 1e-9)
    for tokens in found.tokens * np.geomspace(0.7, 1.5, 9):
        if law.loss(1e30, tokens) < found.loss:
            parameters = law.parameters_for_loss(tokens, found.loss)
            assert parameters * (6 * tokens + 2 * inference) >= found.flops * (1 - 1e-9)


def test_without_inference_the_cheapest_model_is_chinchillas() -> None:
    found = cheapest_like_budget(BESIROGLU, 1e22, 0)
    assert (found.parameters, found.tokens) == pytest.approx(BESIROGLU.optimum(1e22), rel=1e-6)
    assert found.change == pytest.approx(0, abs=1e-9)
    assert found.inference_flops == 0


def test_over_training_beyond_the_fit_is_said() -> None:
    assert cheapest_like_parameters(BESIROGLU, 1e9, 1e10).beyond == []
    named = {beyond.what for beyond in cheapest_like_parameters(BESIROGLU, 7e9, 1e15).beyond}
    assert named == {"tokens", "tokens per parameter"}


def test_inference_without_end_still_has_an_answer() -> None:
    found = cheapest_for_loss(BESIROGLU, 2.0, 1e30)
    assert math.isfinite(found.flops)
    assert BESIROGLU.loss(found.parameters, found.tokens) == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_tokens_of_inference_that_are_no_number_are_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="inference tokens"):
        cheapest_for_loss(BESIROGLU, 2.0, bad)


def test_a_loss_out_of_reach_is_refused() -> None:
    with pytest.raises(UsageError, match="out of reach"):
        cheapest_for_loss(BESIROGLU, 1.8, 1e12)
