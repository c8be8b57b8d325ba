"""Power laws with a floor: planted truth lies within the intervals, and what cannot be told is said."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.power_law import fit_power_law, fit_power_laws

X = np.repeat(np.geomspace(1e6, 1e9, 5), 3)
TRUTH = {"A": 40.0, "alpha": 0.28, "E": 2.0}


def noisy(losses: np.ndarray, seed: int, noise: float = 0.005) -> np.ndarray:
    return losses * np.exp(noise * np.random.default_rng(seed).standard_normal(len(losses)))


@pytest.mark.parametrize(("sizes", "largest"), [(5, 1e9), (4, 16e6)])
def test_planted_truth_lies_in_its_interval_in_93_of_100_draws(sizes: int, largest: float) -> None:
    x = np.repeat(np.geomspace(1e6, largest, sizes), 3)
    found = [fit_power_law(x, noisy(2 + 40 * x**-0.28, seed)).estimates for seed in range(1000, 1100)]
    for name, value in TRUTH.items():
        assert 93 <= sum(estimates[name].covers(value) for estimates in found) <= 99


def test_without_noise_the_truth_is_found() -> None:
    fit = fit_power_law(X, 2 + 40 * X**-0.28)
    assert fit.warnings == ()
    for name, value in TRUTH.items():
        assert fit.value(name) == pytest.approx(value, rel=1e-6)


@settings(max_examples=20)
@given(st.floats(0.05, 1.5), st.floats(0.0, 5.0), st.floats(0.05, 3.0))
def test_any_law_is_found_again(alpha: float, floor: float, drop: float) -> None:
    x = np.geomspace(1e3, 1e6, 7)
    losses = floor + drop * (x / 1e3) ** -alpha
    fit = fit_power_law(x, losses)
    assert fit.predict(x=x) == pytest.approx(losses, rel=1e-4)


def test_losses_that_do_not_bend_leave_the_floor_open() -> None:
    x = np.repeat(np.geomspace(1e6, 4e6, 4), 3)
    fit = fit_power_law(x, noisy(2 + 40 * x**-0.28, 3))
    floor = fit.estimates["E"]
    assert floor.low == 0
    assert floor.covers(2.0)
    assert "The interval of E reaches its bound, 0: the points do not tell it from that." in fit.warnings


def test_losses_that_do_not_fall_tell_no_exponent() -> None:
    fit = fit_power_law(X, noisy(np.full(len(X), 3.0), 1))
    exponent = fit.estimates["alpha"]
    assert exponent.low in (None, 0)
    assert any("alpha" in sentence for sentence in fit.warnings)


def test_a_known_floor_is_taken_as_it_is() -> None:
    losses = noisy(2 + 40 * X**-0.28, 4)
    free, known = fit_power_law(X, losses), fit_power_law(X, losses, floor=2.0)
    assert known.value("E") == 2
    assert known.estimates["E"].low is None
    widths = [fit.estimates["alpha"].high - fit.estimates["alpha"].low for fit in (free, known)]  # type: ignore[operator]
    assert widths[1] < widths[0] / 3
    with pytest.raises(InputError, match="a floor of 3 must be 0 or more, and below the least loss"):
        fit_power_law(X, losses, floor=3.0)
    with pytest.raises(InputError, match="a floor of nan"):
        fit_power_law(X, losses, floor=float("nan"))


def test_a_mean_with_its_number_of_seeds_is_fitted_as_the_seeds_are() -> None:
    losses = noisy(2 + 40 * X**-0.28, 6)
    seeds = fit_power_law(X, losses)
    logarithms = np.log(losses).reshape(5, 3).mean(axis=1)
    means = fit_power_law(np.geomspace(1e6, 1e9, 5), np.exp(logarithms), weights=np.full(5, 3))
    for name in TRUTH:
        assert means.value(name) == pytest.approx(seeds.value(name), rel=1e-4)


def test_predictions_have_intervals_that_hold_the_truth() -> None:
    places = {"x": 2e7}, {"x": 1e9}
    truth = [2 + 40 * place["x"] ** -0.28 for place in places]
    hits = [0, 0]
    for seed in range(2000, 2040):
        fit = fit_power_law(X, noisy(2 + 40 * X**-0.28, seed), draws=100, seed=seed)
        for at, place in enumerate(places):
            hits[at] += fit.predict_interval(**place).covers(truth[at])
    assert min(hits) >= 36
    alone = fit_power_law(X, noisy(2 + 40 * X**-0.28, 1))
    assert alone.predict_interval(x=2e7).low is None
    assert alone.estimates == fit_power_law(X, noisy(2 + 40 * X**-0.28, 1), draws=100).estimates


CURVES = np.tile(["web", "books"], 8)
SIZES = np.repeat(np.geomspace(1e6, 1e8, 4), 4)


def test_curves_share_what_they_are_told_to() -> None:
    losses = noisy(2 + np.where(CURVES == "web", 40, 60) * SIZES**-0.3, 7, 0.002)
    fit = partial(fit_power_laws, SIZES, losses, CURVES.tolist())
    apart, floors, both = fit(), fit(share=["E"]), fit(share=["E", "alpha"])
    assert apart.curves["web"].value("E") != apart.curves["books"].value("E")
    assert floors.curves["web"].value("E") == floors.curves["books"].value("E")
    assert floors.curves["web"].value("alpha") != floors.curves["books"].value("alpha")
    assert both.curves["web"].value("alpha") == both.curves["books"].value("alpha")
    for curve, scale in (("web", 40), ("books", 60)):
        assert both.curves[curve].estimates["A"].covers(scale)
        assert both.curves[curve].estimates["E"].covers(2)
        assert len(both.curves[curve].residuals) == 8

    def width(laws: object, curve: str) -> float:
        estimate = laws.curves[curve].estimates["E"]  # type: ignore[attr-defined]
        return float(estimate.high - estimate.low)

    assert width(both, "web") < width(apart, "web")
    drawn = fit(share=["E"], draws=100).curves["books"]
    assert drawn.draws is not None
    assert drawn.draws.shape == (100, 3)
    assert np.median(drawn.draws, axis=0) == pytest.approx([drawn.value(name) for name in ("A", "alpha", "E")], rel=0.1)


def test_a_shared_floor_lets_a_curve_of_two_sizes_be_told() -> None:
    kept = (CURVES == "web") | np.isin(SIZES, [1e6, 1e8])
    losses = 2 + np.where(CURVES == "web", 40, 60) * SIZES**-0.3
    noisy_losses = noisy(losses, 9, 0.001)[kept]
    alone = fit_power_laws(SIZES[kept], noisy_losses, CURVES[kept].tolist())
    assert [sentence for sentence in alone.warnings if "x of books is only ever 1e+06 and 1e+08" in sentence]
    shared = fit_power_laws(SIZES[kept], noisy_losses, CURVES[kept].tolist(), share=["E"])
    assert shared.warnings == ()
    assert shared.curves["books"].estimates["alpha"].covers(0.3)


def test_curves_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="2 names of curves for 16 losses"):
        fit_power_laws(SIZES, SIZES, ["a", "b"])
    with pytest.raises(InputError, match="'A' cannot be shared; E and alpha can"):
        fit_power_laws(SIZES, SIZES, CURVES.tolist(), share=["A"])
