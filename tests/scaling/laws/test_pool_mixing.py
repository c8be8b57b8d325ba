"""Pools that wear out: the law by its definition, planted truth, and mixtures that no run has seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.fit import ExtrapolationError
from corpusmill.scaling.laws.pool_mixing import PoolFit, epoch_growth, fit_pools, pool_surface

POOLS = {"best": (-0.16, 6.7), "good": (-0.125, 8.5), "fair": (-0.1, 5.3)}
SIZE = 12.8e6


def by_definition(pools: list[str], tokens: float, scale: float = 1.0, floor: float = 0.1) -> float:
    """The authors' rule for pools of one size, an epoch at a time, n in millions."""
    whole, seen, epoch, loss = SIZE * len(pools), 0.0, 0, scale
    while seen < tokens:
        reached = min(whole * (epoch + 1), tokens)
        decayed = [POOLS[pool][0] * 0.5 ** (epoch / (POOLS[pool][1] * len(pools))) for pool in pools]
        loss *= (reached / (seen or 1e6)) ** np.mean(decayed)
        seen, epoch = reached, epoch + 1
    return floor + loss


RUNS = [(name, tokens) for name in POOLS for tokens in np.geomspace(2e6, 1.3e8, 12).tolist()]
NAMES, TOKENS = [name for name, _ in RUNS], np.array([tokens for _, tokens in RUNS])
LOSSES = np.array([by_definition([name], tokens) for name, tokens in RUNS])


def fitted(losses: np.ndarray) -> PoolFit:
    return fit_pools(NAMES, TOKENS, losses, pool_tokens=dict.fromkeys(POOLS, SIZE), unit=1e6)


@pytest.fixture(scope="module")
def fit() -> PoolFit:
    return fitted(LOSSES)


def test_without_noise_every_pool_is_found_again(fit: PoolFit) -> None:
    assert fit.warnings == ()
    assert fit.scale.value == pytest.approx(1, rel=1e-5)
    assert fit.floor.value == pytest.approx(0.1, rel=1e-4)
    for name, (utility, half_life) in POOLS.items():
        assert fit.pools[name].utility.value == pytest.approx(utility, rel=1e-4)
        assert fit.pools[name].half_life.value == pytest.approx(half_life, rel=1e-4)


@pytest.mark.parametrize("pools", [["best"], ["best", "good"], ["fair", "best", "good"]])
@pytest.mark.parametrize("tokens", [3e6, 3.2e7, 1.3e8])
def test_mixtures_that_no_run_has_seen_are_predicted(fit: PoolFit, pools: list[str], tokens: float) -> None:
    assert fit.predict(pools, tokens) == pytest.approx(by_definition(pools, tokens), rel=1e-5)


def test_more_compute_lets_more_pools_in(fit: PoolFit) -> None:
    assert fit.best(1e7) == ("best",)
    assert fit.best(6.4e8, extrapolate=True) == ("best", "good")


def test_unequal_pools_weigh_by_their_size(fit: PoolFit) -> None:
    halved = fit_pools(NAMES, TOKENS, LOSSES, pool_tokens={**dict.fromkeys(POOLS, SIZE), "fair": 1.0 * SIZE}, unit=1e6)
    assert halved.predict(["best", "fair"], 2e7) == pytest.approx(fit.predict(["best", "fair"], 2e7))
    larger = PoolFit(**{**vars(fit), "pools": {**fit.pools, "fair": _resized(fit, "fair", 100 * SIZE)}})
    utility = larger.predict(["best", "fair"], 1.2e7)
    assert abs(utility - fit.predict(["fair"], 1.2e7)) < 0.05 * abs(utility - fit.predict(["best"], 1.2e7))


def _resized(fit: PoolFit, name: str, tokens: float) -> object:
    pool = fit.pools[name]
    return type(pool)(tokens=tokens, utility=pool.utility, half_life=pool.half_life, longest=pool.longest)


def test_planted_truth_lies_in_the_intervals() -> None:
    hits = dict.fromkeys(POOLS, 0)
    for seed in range(20):
        noise = np.exp(0.003 * np.random.default_rng(seed).standard_normal(len(LOSSES)))
        found = fitted(LOSSES * noise).pools
        for name, (_, half_life) in POOLS.items():
            hits[name] += found[name].half_life.covers(half_life)
    assert min(hits.values()) >= 17


def test_a_pool_that_is_never_repeated_has_no_half_life() -> None:
    fresh = TOKENS < SIZE
    few = [name for name, kept in zip(NAMES, fresh, strict=True) if kept]
    fit = fit_pools(few, TOKENS[fresh], LOSSES[fresh], pool_tokens=dict.fromkeys(POOLS, SIZE), unit=1e6)
    assert "The surface is flat: tau of best changes no loss at these points." in fit.warnings
    assert fit.pools["best"].half_life.low is None


def test_beyond_the_runs_only_who_asks_gets_an_answer(fit: PoolFit) -> None:
    with pytest.raises(ExtrapolationError, match="tokens = 2e"):
        fit.predict(["best"], 2e8)
    assert fit.predict(["best"], 2e8, extrapolate=True) == pytest.approx(by_definition(["best"], 2e8), rel=1e-4)


@pytest.mark.parametrize(
    ("pools", "says"),
    [([], "must be different pools"), (["best", "best"], "must be different"), (["web"], "there is no pool 'web'")],
)
def test_mixtures_that_cannot_be_are_refused(fit: PoolFit, pools: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fit.predict(pools, 1e7)


def test_runs_that_cannot_be_fitted_are_refused() -> None:
    with pytest.raises(InputError, match="pool_tokens has no 'best'"):
        fit_pools(NAMES, TOKENS, LOSSES, pool_tokens={})
    with pytest.raises(InputError, match="1 names of pools for 36 losses"):
        fit_pools(["best"], TOKENS, LOSSES, pool_tokens={"best": 1.0})
    with pytest.raises(InputError, match="epochs; at most 1,000"):
        fit_pools(NAMES, TOKENS, LOSSES, pool_tokens=dict.fromkeys(POOLS, 1.0))
    with pytest.raises(InputError, match="unit in row 0 is 0"):
        fit_pools(NAMES, TOKENS, LOSSES, pool_tokens=dict.fromkeys(POOLS, SIZE), unit=0)


@given(st.floats(1.0, 300.0), st.floats(2.0, 50.0), st.floats(-1.0, -0.01), st.floats(0.3, 30.0))
def test_the_surface_is_the_product_over_epochs(amount: float, size: float, utility: float, half_life: float) -> None:
    growth = epoch_growth(np.array([amount]), np.array([size]))
    surface = pool_surface(growth, np.array([0]), 1)
    loss, previous, epoch = 2.0, 1.0, 0
    while previous < amount or epoch == 0:
        reached = min(size * (epoch + 1), amount)
        loss *= (reached / previous) ** (utility * 0.5 ** (epoch / half_life))
        previous, epoch = reached, epoch + 1
    found, _ = surface(np.array([[np.log(2.0), 0.5, utility, np.log(half_life)]]))
    assert np.exp(found[0, 0]) == pytest.approx(0.5 + loss, rel=1e-9)
