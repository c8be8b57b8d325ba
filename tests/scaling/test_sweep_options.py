"""What a recipe may say under `sweep`."""

from __future__ import annotations

from typing import Any

import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.recipe import build
from corpusmill.pipeline.tasks import fingerprint
from corpusmill.scaling.sweep_options import Pool, SweepOptions

GIVEN: dict[str, Any] = {
    "pools": {"web": {"sources": ["web", "forum"]}},
    "scores": {"quality": {"measure": "quality.score"}, "length": {"measure": "text_bytes", "keep": "low"}},
    "sizes": [1000, 2000],
    "proxies": {"ngram": {}},
    "fractions": [0.5, 0.8, 1.0],
}


def options(**changes: Any) -> SweepOptions:
    return build(SweepOptions, {**GIVEN, **changes}, "recipe.yaml: sweep")


def test_keeping_everything_and_the_control_are_always_there() -> None:
    assert options().treatments() == (
        ("all", 1.0),
        ("quality", 0.8),
        ("quality", 0.5),
        ("length", 0.8),
        ("length", 0.5),
        ("random", 0.8),
        ("random", 0.5),
    )


def test_domains_are_the_sources_of_the_pools_unless_they_are_named() -> None:
    assert options().domains() == ("web", "forum")
    named = options(heldout={"sources": ["books"], "whole": ["exam"], "weights": {"books": 3, "exam": 1}})
    assert named.domains() == ("books", "exam")
    assert named.sources() == ("web", "forum", "books", "exam")
    assert named.weight_of() == {"books": 0.75, "exam": 0.25}


def test_a_pool_is_judged_on_its_own_sources_whatever_other_pools_there_are() -> None:
    web = {"sources": ["web", "forum"]}
    alone = options(heldout={"whole": ["exam"]})
    beside = options(pools={"web": web, "books": {"sources": ["books"]}}, heldout={"whole": ["exam"]})
    judged = {"web": 1 / 3, "forum": 1 / 3, "exam": 1 / 3}
    assert alone.weight_of("web") == judged
    assert beside.weight_of("web") == {**judged, "books": 0}
    assert beside.weight_of("books") == {"web": 0, "forum": 0, "books": 0.5, "exam": 0.5}
    assert set(beside.weight_of().values()) == {0.25}, "mixtures of all pools are judged on all"


def test_domains_and_weights_that_are_named_hold_for_every_pool_but_one_that_names_its_own() -> None:
    pools = {"web": {"sources": ["web"], "weights": {"web": 3, "books": 1}}, "forum": {"sources": ["forum"]}}
    named = options(pools=pools, heldout={"sources": ["web", "books"]})
    assert named.weight_of("forum") == {"web": 0.5, "books": 0.5}
    assert named.weight_of("web") == {"web": 0.75, "books": 0.25}
    weighted = options(pools=pools, heldout={"sources": ["web", "books"], "weights": {"books": 1}})
    assert weighted.weight_of("forum") == {"web": 0, "books": 1}
    assert weighted.weight_of("web") == {"web": 0.75, "books": 0.25}


def test_weights_are_no_part_of_what_fingerprints_know_of_a_pool() -> None:
    pool = Pool(sources=("web", "forum"), where="words > 3", weights={"web": 2.0})
    assert fingerprint(pool.chosen()) == "a759165765d02879", "as before there were weights"


@pytest.mark.parametrize(
    ("regime", "trained"),
    [
        ({}, 500),
        ({"epochs": 2}, 1000),
        ({"regime": "tokens"}, 1000),
        ({"regime": "tokens", "epochs": 3}, 3000),
        ({"regime": "tokens", "tokens": 700}, 700),
        # A thousandth of the target's pool: a thousandth of its tokens, so what is half as much is repeated as there.
        ({"regime": "simulated", "target_tokens": 5e6, "target_pool_tokens": 1_000_000}, 5000),
    ],
)
def test_regimes_say_what_a_cell_trains_on(regime: dict[str, Any], trained: int) -> None:
    assert options(**regime).train_tokens(pool_tokens=1000, kept_tokens=500) == trained


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pools": {}}, "pools: is empty"),
        ({"pools": {"web": {"sources": []}}}, "pools.web.sources: is empty"),
        ({"proxies": {}}, "proxies: is empty"),
        ({"sizes": []}, "sizes: is empty"),
        ({"sizes": [0]}, "sizes: 0.0 must be"),
        ({"sizes": [1.5]}, "sizes: 1.5 must be a whole number"),
        ({"sizes": [10, 10]}, "name each once"),
        ({"fractions": [1.5]}, "fractions: 1.5 must be"),
        ({"fractions": [0.5, 0]}, "fractions: 0.0 must be"),
        ({"seeds": 0}, "seeds: 0 must be at least 1"),
        ({"epochs": 0}, "epochs: 0.0 must be above 0"),
        ({"scores": {"random": {"measure": "x"}}}, "scores.random: is always there"),
        ({"scores": {"all": {"measure": "x"}}}, "scores.all: is always there"),
        ({"tokens": 5}, "belongs to `regime: tokens`"),
        ({"regime": "simulated"}, "target_tokens: `regime: simulated` needs it"),
        ({"target_tokens": 5}, "belongs to `regime: simulated`"),
        ({"heldout": {"share": 0}}, "heldout.share: 0.0"),
        ({"heldout": {"sources": ["a"], "whole": ["a"]}}, "a stands twice under `sources` and `whole`"),
        ({"heldout": {"sources": ["a", "a"]}}, "a stands twice"),
        ({"pools": {"web": {"sources": ["web", "web"]}}}, "web, web: name each once"),
        ({"heldout": {"weights": {"web": -1}}}, "heldout.weights.web: -1.0"),
        ({"heldout": {"weights": {"web": 0}}}, "are all 0"),
        ({"pools": {"web": {"sources": ["web"], "weights": {"web": -1}}}}, "pools.web.weights.web: -1.0"),
        ({"heldout": {"shares": 0.1}}, "shares"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        options(**changes)


def test_names_are_checked_against_the_recipe() -> None:
    options().check({"web": None, "forum": None})
    with pytest.raises(RecipeError, match=r"pools.web.sources: 'forum' is no source of the recipe; there are web"):
        options().check({"web": None})
    both = options(heldout={"whole": ["forum"]})
    with pytest.raises(RecipeError, match="forum is held out entirely and trained on in the pool web"):
        both.check({"web": None, "forum": None})
    with pytest.raises(RecipeError, match=r"weights.books: is no held-out domain"):
        options(heldout={"weights": {"books": 1}}).check({"web": None, "forum": None})
    with pytest.raises(RecipeError, match=r"pools.web.weights.books: is no held-out domain: web"):
        options(pools={"web": {"sources": ["web"], "weights": {"books": 1}}}).check({"web": None})
