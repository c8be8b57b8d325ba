"""Chinchilla's parametric fit: the published one again from its points, and what some points cannot tell."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.chinchilla_fit import STARTS, ChinchillaFit, fit_chinchilla

PLAIN_HUBER = {"A": 477.84, "B": 2143.9, "E": 1.8172, "alpha": 0.3473, "beta": 0.3672}
PUBLISHED = {"A": (285, 744), "B": (1042, 5810), "E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}


def planted(sizes: np.ndarray, data: np.ndarray, noise: float = 0.003) -> np.ndarray:
    chance = np.exp(noise * np.random.default_rng(0).standard_normal(len(sizes)))
    return (1.8172 + 482.01 / sizes**0.3478 + 2085.43 / data**0.3658) * chance


def grid(sizes: list[float], data: list[float]) -> tuple[np.ndarray, np.ndarray]:
    first, second = (column.ravel() for column in np.meshgrid(sizes, data))
    return first, second


@pytest.fixture(scope="module")
def fit(realdata: Path) -> ChinchillaFit:
    with open(realdata / "laws" / "chinchilla_svg_extracted_data.csv", newline="") as stream:
        rows = [
            [float(row[name]) for name in ("Model Size", "Training FLOP", "loss")] for row in csv.DictReader(stream)
        ]
    sizes, flops, losses = np.array(rows).T
    return fit_chinchilla(sizes, flops / (6 * sizes), losses, drop_largest=5, draws=300)


@pytest.mark.realdata
def test_the_published_constants_come_out_of_the_published_points(fit: ChinchillaFit) -> None:
    assert len(fit.residuals) == 240
    assert len(fit.dropped) == 5
    assert fit.warnings == ()
    for name, value in PLAIN_HUBER.items():
        assert fit.value(name) == pytest.approx(value, rel=0.001)
    assert fit.objective <= 0.00101828


@pytest.mark.realdata
def test_the_bootstrap_gives_the_published_intervals(fit: ChinchillaFit) -> None:
    for name, (low, high) in PUBLISHED.items():
        estimate = fit.estimates[name]
        assert estimate.low is not None
        assert estimate.high is not None
        overlap = min(high, estimate.high) - max(low, estimate.low)
        assert overlap >= 0.85 * (max(high, estimate.high) - min(low, estimate.low)), name


@pytest.mark.realdata
def test_the_constants_know_their_range(fit: ChinchillaFit) -> None:
    law = fit.constants("again")
    assert law.tokens_per_parameter(5.88e23) == pytest.approx(18.3, abs=0.8)
    assert law.loss(70e9, 1.4e12) == pytest.approx(float(fit.predict(N=70e9, D=1.4e12, extrapolate=True)))
    assert [beyond.what for beyond in law.beyond(70e9, 1.4e12)] == ["parameters", "tokens"]
    interval = fit.predict_interval(N=1e9, D=2e10)
    assert interval.covers(interval.value)
    assert interval.high is not None
    assert interval.low is not None
    assert (interval.high - interval.low) / interval.value < 0.01


def test_there_are_the_starts_of_the_paper() -> None:
    assert STARTS.shape == (4500, 5)
    assert [sorted(set(column.tolist())) for column in STARTS.T] == [
        [0, 5, 10, 15, 20, 25],
        [0, 5, 10, 15, 20, 25],
        [-1, -0.5, 0, 0.5, 1],
        [0, 0.5, 1, 1.5, 2],
        [0, 0.5, 1, 1.5, 2],
    ]


def test_one_model_size_is_flat_in_its_parameters_and_not_in_those_of_the_data() -> None:
    sizes, data = grid([1e8], np.geomspace(1e8, 1e11, 12).tolist())
    fit = fit_chinchilla(sizes, data, planted(sizes, data), draws=100)
    assert fit.warnings[0].startswith(
        "The surface is flat: N is only ever 1e+08, so A, alpha and E cannot be told apart"
    )
    assert [name for name, estimate in fit.estimates.items() if estimate.low is None] == ["A", "E", "alpha"]
    with pytest.raises(InputError, match=r"no constants for a budget.* N is only ever 1e\+08"):
        fit.constants()
    assert fit.value("beta") == pytest.approx(0.3658, rel=0.1)


def test_one_number_of_tokens_is_flat_in_the_parameters_of_the_data() -> None:
    sizes, data = grid(np.geomspace(1e7, 1e10, 12).tolist(), [1e10])
    fit = fit_chinchilla(sizes, data, planted(sizes, data), draws=100)
    assert fit.warnings[0].startswith(
        "The surface is flat: D is only ever 1e+10, so B, beta and E cannot be told apart"
    )
    assert [name for name, estimate in fit.estimates.items() if estimate.low is None] == ["B", "E", "beta"]
    assert fit.value("alpha") == pytest.approx(0.3478, rel=0.1)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    sizes, data = grid([1e7, 1e8, 1e9], [1e8, 1e9, 1e10, 1e11])
    losses = planted(sizes, data)
    first, again, other = (fit_chinchilla(sizes, data, losses, draws=100, seed=seed) for seed in (1, 1, 2))
    assert first.estimates == again.estimates
    assert first.estimates["A"].value == other.estimates["A"].value
    assert first.estimates["A"].high != other.estimates["A"].high


def test_largest_losses_are_left_out_and_named() -> None:
    sizes, data = grid([1e7, 1e8, 1e9], [1e8, 1e9, 1e10, 1e11])
    losses = planted(sizes, data)
    losses[[3, 7]] = 9.0, 8.0
    fit = fit_chinchilla(sizes, data, losses, drop_largest=2, draws=100)
    assert fit.dropped == (3, 7)
    assert len(fit.residuals) == 10
    assert fit.value("E") == pytest.approx(1.8172, rel=0.05)
    with pytest.raises(InputError, match="drop_largest = 12 of 12 points"):
        fit_chinchilla(sizes, data, losses, drop_largest=12)
    with pytest.raises(InputError, match="4 points cannot tell 5 parameters"):
        fit_chinchilla(sizes, data, losses, drop_largest=8)


@pytest.mark.parametrize("power", [1.0, 1.1])
def test_sizes_and_tokens_that_rise_together_have_no_intervals_and_no_constants(power: float) -> None:
    sizes = np.geomspace(6e7, 1e10, 30)
    data = 20 * sizes**power
    fit = fit_chinchilla(sizes, data, planted(sizes, data), draws=100)
    assert fit.warnings[0] == (
        "The surface is flat: N and D rise together (correlation of logarithms 1.0000), so A, B, E, alpha and beta "
        "cannot be told apart; add runs of other D / N."
    )
    assert all(estimate.low is None for estimate in fit.estimates.values())
    with pytest.raises(InputError, match=r"no constants for a budget.* N and D rise together"):
        fit.constants()
    assert fit.predict_interval(N=1e9, D=20 * 1e9**power).low is not None


def test_isoflop_runs_and_runs_of_two_ratios_are_told_apart() -> None:
    flops, way = (column.ravel() for column in np.meshgrid([1e19, 1e20, 1e21], np.geomspace(0.3, 3, 7)))
    isoflop = np.sqrt(flops / 120) * way
    line = np.geomspace(6e7, 1e10, 30)
    for sizes, data in ((isoflop, flops / 6 / isoflop), (line, line * np.tile([20, 200], 15))):
        fit = fit_chinchilla(sizes, data, planted(sizes, data), draws=100)
        assert not any("rise together" in sentence for sentence in fit.warnings)
        assert all(estimate.low is not None for estimate in fit.estimates.values())
        fit.constants()
