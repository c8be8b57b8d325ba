"""The mixture law: planted laws come back, published runs are ranked, and what is not known is not said."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.descent import HUBER, fit_all
from corpusmill.scaling.mixtures.law import Law, MixtureFit, checked_shares, fit_mixture_law

Floats = NDArray[np.float64]
NAMES = ("web", "code", "books", "mail")
LOSSES = ("prose", "source")
TRUTH = Law(
    floor=np.array([0.9, 0.6]),
    slopes=np.array([[-1.2, 0.6, -0.8, -0.2], [0.5, -1.5, 0.4, 0.1]]),
)


def planted(noise: float, runs: int = 17, seed: int = 3, truth: Law = TRUTH) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(truth.slopes.shape[1], 0.7), runs)
    return shares, truth.at(shares) + random.normal(0, noise, (runs, len(truth.floor)))


def fitted(shares: Floats, losses: Floats, draws: int = 100) -> MixtureFit:
    return fit_mixture_law(shares, losses, components=NAMES, names=LOSSES, draws=draws)


def test_a_planted_law_without_noise_comes_back_exactly() -> None:
    fit = fitted(*planted(noise=0.0, runs=30))
    assert fit.law.floor == pytest.approx(TRUTH.floor, abs=1e-3)
    assert fit.law.slopes == pytest.approx(TRUTH.slopes, abs=5e-3)
    assert np.abs(fit.residuals).max() < 1e-4
    assert not fit.warnings


def test_intervals_of_predictions_hold_the_planted_loss_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(20):
        shares, losses = planted(noise=0.01, seed=seed)
        wanted = shares[:6]
        predicted = fitted(shares, losses).predict(wanted)
        truth = TRUTH.at(wanted)
        held.append((predicted.low <= truth) & (truth <= predicted.high))
    assert 0.88 <= np.mean(held) <= 0.995


def test_the_law_that_cross_validation_found_is_the_one_that_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a width as narrow as this, a descent from elsewhere ends at a law without a floor that is off by 8.
    monkeypatch.setattr("corpusmill.scaling.mixtures.law.WIDTHS", (0.1,))
    steep = Law(floor=np.array([1.03]), slopes=np.array([[-1.26, 0.13, -1.04, 2.67]]))
    shares, losses = planted(noise=0.0025, runs=19, seed=1, truth=steep)
    fit = fit_mixture_law(shares, losses, components=NAMES, names=["prose"], draws=2)
    assert fit.error[0] < 0.02
    assert np.abs(fit.residuals).max() < 0.02


def bent(shares: Floats) -> Floats:
    """Losses that no law of exponentials gives: they rise ever more steeply where a component runs out."""
    affinity = np.array([[0.9, 0.05, 0.3, 0.1], [0.02, 0.9, 0.05, 0.1]])
    return np.asarray(1 + (shares @ affinity.T + 0.02) ** -0.5)


def with_repeats(noise: float, seed: int, of: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    shares = np.concatenate([np.tile([0.4, 0.2, 0.3, 0.1], (3, 1)), random.dirichlet(np.full(4, 0.7), 16)])
    shares[:3] += [[0.0, 0.0, 0.0, 0.0], [0.001, -0.001, 0.0, 0.0], [0.0, 0.0, 0.001, -0.001]]  # whole documents
    return shares, of(shares) + random.normal(0, noise, (len(shares), 2))


def test_where_the_law_misses_by_more_than_runs_of_one_mixture_differ_it_says_so_and_intervals_are_wider() -> None:
    missed, held, narrow = [], [], []
    for seed in range(10):
        shares, losses = with_repeats(0.002, seed, bent)
        fit = fitted(shares, losses)
        missed.append(fit.miss > 0)
        for name, miss, error in zip(LOSSES, fit.miss, fit.error, strict=True):
            says = f"{name}: the law misses unseen runs by {error:.4g} where runs of one mixture differ by"
            assert any(warning.startswith(says) for warning in fit.warnings) == (miss > 0)
        unseen = np.random.default_rng(100 + seed).dirichlet(np.full(4, 2.0), 20)
        truth = bent(unseen)
        predicted, alone = (
            fit.predict(unseen, outside=True),
            replace(fit, miss=np.zeros(2)).predict(unseen, outside=True),
        )
        held.append((predicted.low <= truth) & (truth <= predicted.high))
        narrow.append((alone.low <= truth) & (truth <= alone.high))
    assert np.mean(missed) >= 0.85
    assert np.mean(held) >= 0.9
    assert np.mean(narrow) <= 0.75


def test_a_law_that_fits_as_well_as_noise_lets_it_is_seldom_said_to_miss() -> None:
    missed = [fitted(*with_repeats(0.01, seed, TRUTH.at), draws=2).miss > 0 for seed in range(40)]
    assert np.mean(missed) <= 0.15


def test_without_runs_of_one_mixture_no_miss_is_claimed() -> None:
    shares, losses = with_repeats(0.002, 0, bent)
    assert not fitted(shares[2:], losses[2:]).miss.any()


def test_a_run_gone_wrong_counts_little() -> None:
    shares, losses = planted(noise=0.002, runs=24)
    spoilt = losses.copy()
    spoilt[5] += 3.0
    clean, robust = fitted(shares, losses), fitted(shares, spoilt)
    even = np.full((1, 4), 0.25)
    assert robust.law.at(even) == pytest.approx(clean.law.at(even), abs=0.01)
    assert robust.residuals[5].min() > 2.5


def test_the_fit_is_where_its_objective_is_least() -> None:
    shares, losses = planted(noise=0.01)
    ends = fit_all(
        shares, losses.T, np.ones_like(losses.T), np.full(2, 0.1), np.tile([0.0, 0.0, 0.0, 0.0, 0.5], (2, 1))
    )

    def objective(theta: Floats, which: int) -> float:
        off = (theta[-1] + np.exp(shares @ theta[:-1]) - losses[:, which]) / ends.scale[which]
        size = np.abs(off)
        robust = np.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2)).sum()
        return float(robust + 0.05 * ((theta[:-1] - theta[:-1].mean()) ** 2).sum())

    random = np.random.default_rng(0)
    for which in range(2):
        least = objective(ends.theta[which], which)
        assert ends.objective[which] == pytest.approx(least)
        for _ in range(200):
            moved = ends.theta[which] + random.normal(0, 0.01, 5)
            assert objective(moved, which) > least - 1e-6


def test_a_loss_that_does_not_depend_on_the_mixture_is_called_flat() -> None:
    random = np.random.default_rng(8)
    shares = random.dirichlet(np.ones(4), 17)
    fit = fitted(shares, 1.5 + random.normal(0, 0.01, (17, 2)))
    assert [warning.split(";")[0] for warning in fit.warnings] == ["prose: flat", "source: flat"]


def test_fewer_runs_than_parameters_are_told_of() -> None:
    assert any("5 parameters" in warning for warning in fitted(*planted(noise=0.01, runs=5)).warnings)


def test_the_same_seed_gives_the_same_fit() -> None:
    shares, losses = planted(noise=0.01)
    first, second = fitted(shares, losses), fitted(shares, losses)
    assert np.array_equal(first.draws.slopes, second.draws.slopes)
    assert np.array_equal(first.width, second.width)


def test_a_mixture_outside_of_what_was_tried_is_refused_unless_told() -> None:
    shares, losses = planted(noise=0.01)
    narrow = 0.5 * shares + 0.125
    fit = fitted(narrow, losses)
    corner = [[1.0, 0.0, 0.0, 0.0]]
    with pytest.raises(InputError, match=r"web has a share of 100.000%, and was tried from .* only"):
        fit.predict(corner)
    assert fit.predict(corner, outside=True).loss.shape == (1, 2)
    assert fit.outside(narrow.mean(axis=0)) is None


def test_shares_that_were_tried_but_never_together_are_outside() -> None:
    random = np.random.default_rng(1)
    alike = random.uniform(0.1, 0.4, 20)
    other = random.uniform(0.05, 0.15, 20)
    pairs = np.stack([alike, alike + random.uniform(-0.01, 0.01, 20), other, 1 - 2 * alike - other], axis=1)
    pairs = pairs.clip(0.0) / pairs.clip(0.0).sum(axis=1, keepdims=True)
    fit = fitted(pairs, TRUTH.at(pairs))
    assert fit.outside(np.array([0.35, 0.15, 0.1, 0.4])) == (
        "its shares were tried, but not together, nor anything between such mixtures"
    )


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([[0.5, 0.5, 0.1, 0.1]], "are no shares"),
        ([[1.1, -0.1, 0.0, 0.0]], "are no shares"),
        ([[float("nan"), 0.5, 0.5, 0.0]], "are no shares"),
        ([[0.5, 0.5]], "has no share for each of 4"),
    ],
)
def test_what_are_no_shares_is_refused(shares: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_shares(shares, NAMES)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0, -1.0])
def test_what_is_no_loss_is_refused_with_its_run(loss: float) -> None:
    shares, losses = planted(noise=0.01)
    losses[3, 1] = loss
    with pytest.raises(InputError, match=r"run 3: .* is no loss on source"):
        fitted(shares, losses)


def test_one_mixture_over_and_over_shows_no_law() -> None:
    with pytest.raises(InputError, match="1 different ones show no law"):
        fitted(np.full((9, 4), 0.25), np.full((9, 2), 1.0))


def read(path: Path) -> dict[int, list[float]]:
    with open(path, newline="") as stream:
        rows = list(csv.reader(stream))
    return {int(row[0]): [float(value) for value in row[1:]] for row in rows[1:]}


def published(realdata: Path, name: str) -> tuple[Floats, Floats]:
    split, size = name.split("_")
    shares = read(realdata / "laws" / f"regmix_{split}_mixture_{size}.csv")
    losses = read(realdata / "laws" / f"regmix_{split}_pile_loss_{size}.csv")
    return np.array(list(shares.values())), np.array([losses[run] for run in shares])


@pytest.mark.realdata
def test_regmix_runs_of_a_million_parameters_rank_mixtures_of_a_billion(realdata: Path) -> None:
    shares, losses = published(realdata, "train_1m")
    unseen, expected = published(realdata, "test_1B")
    with open(realdata / "laws" / "regmix_train_pile_loss_1m.csv") as stream:
        web = next(csv.reader(stream)).index("metric/the_pile_pile_cc_val_loss") - 1
    names = [str(number) for number in range(shares.shape[1])]

    def rank(rows: NDArray[np.int64]) -> float:
        fit = fit_mixture_law(shares[rows], losses[rows][:, [web]], components=names, names=["web"], draws=2)
        predicted = fit.predict(unseen, outside=True).loss[:, 0]
        return 100 * float(spearmanr(predicted, expected[:, web]).statistic)

    assert rank(np.arange(512)) >= 98
    few = [rank(np.random.default_rng(seed).permutation(512)[:64]) for seed in range(5)]
    assert np.mean(few) >= 97.5
