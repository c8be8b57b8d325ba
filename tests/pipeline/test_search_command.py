"""What a search says: only what new runs have shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpusmill.documents.errors import CorpusmillError
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.search_command import conclusion, cost_as_text, search_as_text, write_recipe
from corpusmill.pipeline.searching import Question, SearchCost, SearchResult
from corpusmill.scaling.mixtures.design import design
from corpusmill.scaling.mixtures.law import Law, fit_mixture_law
from corpusmill.scaling.mixtures.proposal import Interval, propose
from corpusmill.scaling.mixtures.runs import confirmed
from corpusmill.scaling.mixtures.scale import Scale
from corpusmill.scaling.sweep_options import Pool, SweepOptions

PRIOR = np.array([0.7, 0.3])


@pytest.fixture(scope="module")
def result() -> SearchResult:
    caps = np.array([1.0, 0.8])
    made = design(PRIOR, caps)
    truth = Law(floor=np.array([1.0]), slopes=np.array([[0.2, -0.9]]))
    noise = np.random.default_rng(0).normal(0, 0.003, (len(made.shares), 1))
    fit = fit_mixture_law(
        made.shares, truth.at(made.shares) + noise, components=("web", "code"), names=("web",), draws=50
    )
    pools = {name: Pool(sources=(name,)) for name in ("web", "code")}
    return SearchResult(
        folder=Path("search"),
        question=Question(
            components=("web", "code"),
            prior=PRIOR,
            epochs=np.array([4.0, 4.0]),
            available=np.array([1e6, 2e5]),
            budget=1e6,
            unit="tokens",
            sweep=SweepOptions(pools=pools, scores={}, sizes=(1.0,), proxies={"ngram": {}}),
        ),
        scale=Scale(units=np.array([1e6, 2e5]), tokens=np.array([1e6, 2e5])),
        cost=SearchCost(proxy="small", runs=11, after=6, tokens=50_000, flops=3e12, seconds=None),
        design=made,
        fit=fit,
        proposal=propose(fit, PRIOR, caps=caps, weights=np.ones(1), simulated=1000),
        noise=0.003,
    )


def confirmed_by(result: SearchResult, low: float, high: float) -> SearchResult:
    return replace(result, confirmation=Interval(estimate=(low + high) / 2, low=low, high=high))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.2, -0.1, "better than the prior, for small trained on 50,000 tokens: shown by new runs"),
        (0.1, 0.2, "worse than the prior, for small trained on 50,000 tokens: shown by new runs. Keep the prior."),
        (-0.2, 0.1, "is not shown, for small trained on 50,000 tokens: the law predicts it, and new runs are too few"),
    ],
)
def test_new_runs_have_the_last_word(result: SearchResult, low: float, high: float, words: str) -> None:
    assert words in conclusion(confirmed_by(result, low, high))


def test_without_new_runs_nothing_is_shown(result: SearchResult) -> None:
    assert conclusion(result).startswith("That another mixture is better than the prior is not shown")
    assert "new runs: none, the proposal or the prior failed" in search_as_text(result)


def test_nothing_is_shown_of_a_proposal_that_is_the_prior(result: SearchResult) -> None:
    assert result.fit is not None
    same = propose(result.fit, PRIOR, caps=np.array([1.0, 0.8]), weights=np.ones(1), divergence=1e9, simulated=1000)
    told = search_as_text(replace(result, proposal=same))
    assert "predicted difference: none, the proposal is the prior\n" in told
    assert "new runs: none, the proposal is the prior\n" in told
    assert ": shown" not in told


def test_the_recipe_of_a_proposal_that_is_the_prior_is_not_written(result: SearchResult, tmp_path: Path) -> None:
    assert result.fit is not None
    (tmp_path / "r.yaml").write_text("name: r\nsources: {web: {paths: [web.jsonl]}}\n")
    same = propose(result.fit, PRIOR, caps=np.array([1.0, 0.8]), weights=np.ones(1), divergence=1e9, simulated=1000)
    with pytest.raises(CorpusmillError, match=r"is not written: the proposal is the mixture that r\.yaml has; keep"):
        write_recipe(load_recipe(tmp_path / "r.yaml"), replace(result, proposal=same), tmp_path / "new.yaml")
    assert not (tmp_path / "new.yaml").exists()


def test_one_run_of_each_has_no_interval(result: SearchResult) -> None:
    told = search_as_text(replace(result, confirmation=confirmed([1.0], [0.5]), noise=None))
    assert "tells no losses of single held-out documents" in told
    assert "tells no losses" not in search_as_text(replace(result, confirmation=confirmed([1.0], [0.5]), sampled=True))
    assert "-0.5000 (no interval: one run of each): not shown\n" in told
    assert "inf" not in told


def test_what_ends_at_its_cap_says_so(result: SearchResult) -> None:
    told = search_as_text(confirmed_by(result, -0.2, -0.1))
    code, in_units = [line for line in told.splitlines() if line.startswith("code")]
    assert len(in_units.split()) == 3
    assert "no more is there" in code or "no more was tried" in code
    web = next(line for line in told.splitlines() if line.startswith("web"))
    assert "no less was tried" in web


def test_the_cost_says_what_nobody_knows(result: SearchResult) -> None:
    assert cost_as_text(result.cost, 4) == (
        "search: 11 runs of 50,000 tokens, and 6 of the prior and the proposal, with small: nobody knows how long, "
        "3e+12 FLOPs"
    )
