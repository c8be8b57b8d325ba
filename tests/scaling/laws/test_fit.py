"""What all fits share: refusals, predictions within their range, and sentences on what the points cannot tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import ArrayLike

from corpusmill.documents.errors import CorpusmillError, InputError, UsageError
from corpusmill.scaling.laws.chinchilla_fit import fit_chinchilla
from corpusmill.scaling.laws.diagnosis import FLAT, Parameter, flat_directions
from corpusmill.scaling.laws.fit import Estimate, ExtrapolationError, Fit, grid
from corpusmill.scaling.laws.power_law import fit_power_law
from corpusmill.scaling.laws.quality_fit import fit_quality_at_size

X = np.geomspace(1e6, 1e9, 6)
LOSSES = 2 + 40 * X**-0.28


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_power_law(X, LOSSES * np.exp(0.003 * np.random.default_rng(5).standard_normal(6)))


@pytest.mark.parametrize(
    ("x", "losses", "says"),
    [
        (X, [3, 2, np.nan, 2, 2, 2], "loss in row 2 is nan"),
        (X, [3, 2, 0, 2, 2, 2], "loss in row 2 is 0"),
        (X, [3, 2, 2, 2, -1, 2], "loss in row 4 is -1"),
        (X, [np.inf, 2, 2, 2, 2, 2], "loss in row 0 is inf"),
        (-X, LOSSES, "x in row 0 is -1e\\+06"),
        (X[:5], LOSSES, "x has 5 rows where the losses have 6"),
        (X.reshape(2, 3), LOSSES, "x must be one column of numbers"),
        ([], [], "there is no loss at all"),
        ([1e6], [3], "1 points cannot tell 3 parameters \\(A, alpha, E\\)"),
        ([1e6, 1e7], [3, 2], "2 points cannot tell 3 parameters"),
    ],
)
def test_data_that_cannot_be_fitted_is_refused_by_row(x: ArrayLike, losses: ArrayLike, says: str) -> None:
    with pytest.raises(InputError, match=says):
        fit_power_law(x, losses)


def test_weights_must_be_positive_and_as_many() -> None:
    with pytest.raises(InputError, match="weight in row 1 is 0"):
        fit_power_law(X, LOSSES, weights=[1, 0, 1, 1, 1, 1])
    with pytest.raises(InputError, match="weight has 2 rows where the losses have 6"):
        fit_power_law(X, LOSSES, weights=[1, 1])


def test_groups_must_be_as_many_as_points() -> None:
    with pytest.raises(InputError, match="2 groups for 6 losses"):
        fit_quality_at_size(X, np.ones(6), LOSSES, groups=["a", "b"])
    with pytest.raises(InputError, match="2 groups for 6 losses"):
        fit_chinchilla(X, X, LOSSES, groups=["a", "b"])


def test_intervals_of_hubers_loss_need_the_bootstrap() -> None:
    with pytest.raises(InputError, match="give 100 draws or more"):
        fit_quality_at_size(X, np.ones(6), LOSSES, draws=0)


def test_predictions_lie_on_the_law_within_the_range(fit: Fit) -> None:
    expected = fit.value("E") + fit.value("A") * np.array([1e6, 3e7, 1e9]) ** -fit.value("alpha")
    assert fit.predict(x=[1e6, 3e7, 1e9]) == pytest.approx(expected)
    assert fit.residuals == pytest.approx(np.log(fit.predict(x=X)) - np.log(LOSSES), abs=0.02)


@pytest.mark.parametrize("x", [9.9e5, 1.01e9, [1e7, 1e12]])
def test_beyond_the_range_only_who_asks_gets_an_answer(fit: Fit, x: ArrayLike) -> None:
    with pytest.raises(
        ExtrapolationError, match=r"power law: x = .* lies beyond .* 1e\+06 to 1e\+09; add a run"
    ) as hit:
        fit.predict(x=x)
    assert isinstance(hit.value, CorpusmillError)
    assert not isinstance(hit.value, UsageError)
    assert np.isfinite(fit.predict(x=x, extrapolate=True)).all()


def test_a_pair_of_inputs_that_was_never_seen_together_is_beyond_the_range_too() -> None:
    sizes = np.repeat(np.geomspace(1e7, 1e9, 5), 4)
    data = sizes * np.tile([10.0, 20.0, 40.0, 80.0], 5)
    fit = fit_chinchilla(sizes, data, 1.8 + 480 / sizes**0.35 + 2100 / data**0.37, draws=100)
    with pytest.raises(ExtrapolationError, match=r"D / N = 1 lies beyond the points of the fit, 10 to 80"):
        fit.predict(N=5e8, D=5e8)
    assert fit.predict(N=5e8, D=5e8, extrapolate=True) > fit.predict(N=5e8, D=1e10)


def test_a_prediction_takes_the_inputs_of_the_law(fit: Fit) -> None:
    with pytest.raises(InputError, match="a prediction takes x, not D"):
        fit.predict(D=1e7)
    with pytest.raises(InputError, match="x = nan must be positive"):
        fit.predict(x=np.nan, extrapolate=True)
    with pytest.raises(InputError, match="x = 0 must be positive"):
        fit.predict(x=0, extrapolate=True)


def test_a_fit_is_json(fit: Fit) -> None:
    told = json.loads(json.dumps(fit.as_dict()))
    assert told["estimates"]["E"]["value"] == fit.value("E")
    assert told["inputs"] == {"x": [1e6, pytest.approx(1e9)]}
    assert told["points"] == 6


def test_an_estimate_says_its_interval() -> None:
    assert str(Estimate(2.0, 1.5, 2.25)) == "2 [1.5, 2.25]"
    assert str(Estimate(2.0)) == "2 (no interval)"
    assert Estimate(2.0, 1.5, 2.25).covers(1.5)
    assert not Estimate(2.0, 1.5, 2.25).covers(2.26)
    assert not Estimate(2.0).covers(2.0)


def test_as_many_points_as_parameters_give_no_interval_and_a_warning() -> None:
    fit = fit_power_law(X[:3], LOSSES[:3])
    assert [estimate.low for estimate in fit.estimates.values()] == [None] * 3
    assert "3 points for 3 parameters of the power law, so the law passes through all of them" in fit.warnings[0]


def test_one_point_more_than_parameters_has_an_interval_and_a_warning() -> None:
    fit = fit_power_law(X[:4], LOSSES[:4] * np.array([1, 1.001, 0.999, 1]))
    assert fit.estimates["A"].low is not None
    assert fit.warnings[0] == "4 points for 3 parameters of the power law; add runs."


def test_two_sizes_tell_no_floor_however_many_seeds() -> None:
    fit = fit_power_law([1e6] * 4 + [1e8] * 4, [3.0, 3.01, 3.02, 2.99, 2.5, 2.51, 2.5, 2.52])
    [sentence] = fit.warnings
    assert sentence == (
        "The surface is flat: x is only ever 1e+06 and 1e+08, so A, alpha and E cannot be told apart; that takes 3 "
        "different values."
    )
    assert all(estimate.low is None for estimate in fit.estimates.values())


def test_few_groups_are_said_to_make_intervals_too_narrow() -> None:
    data, quality = np.tile([1e8, 1e9, 1e10], 6), np.tile(np.repeat([1.0, 0.7], 3), 3)
    losses = (1441.51 / (data**0.396 * quality**0.401) + 3.439) * np.exp(
        0.002 * np.random.default_rng(0).standard_normal(18)
    )
    fit = fit_quality_at_size(data, quality, losses, groups=np.repeat(["a", "b", "c"], 6), draws=100)
    assert "The bootstrap draws 3 groups, so few that its intervals are too narrow." in fit.warnings
    assert not any("narrow" in sentence for sentence in fit_quality_at_size(data, quality, losses, draws=100).warnings)


def test_draws_that_cannot_be_fitted_are_counted() -> None:
    data, quality = np.tile([1e8, 1e9, 1e10], 2), np.repeat([1.0, 0.7], 3)
    losses = 1441.51 / (data**0.396 * quality**0.401) + 3.439
    fit = fit_quality_at_size(data, quality, losses, draws=100)
    [sentence] = [sentence for sentence in fit.warnings if "bootstrap" in sentence]
    assert sentence.endswith("of 100 bootstrap draws could not be fitted and are left out.")
    assert fit.draws is not None
    assert int(sentence.split()[0]) == 100 - len(fit.draws) > 0


def test_a_bootstrap_most_of_whose_draws_cannot_be_fitted_gives_no_interval() -> None:
    data, quality = np.array([1e8, 1e9, 1e10, 1e8]), np.array([1.0, 1.0, 1.0, 0.7])
    fit = fit_quality_at_size(data, quality, 1441.51 / (data**0.396 * quality**0.401) + 3.439, draws=100)
    [sentence] = [sentence for sentence in fit.warnings if sentence.endswith("could not be fitted and are left out.")]
    assert 50 < int(sentence.split()[0]) <= 100
    assert "Too few bootstrap draws could be fitted: there are no intervals." in fit.warnings
    assert [estimate.low for estimate in fit.estimates.values()] == [None] * 4
    assert fit.draws is None


@pytest.mark.parametrize("draws", [-1, 1, 2, 99, 20_001])
def test_draws_without_measure_are_refused(draws: int) -> None:
    with pytest.raises(InputError, match=f"{draws:,} draws; ask for 100 to 20,000"):
        fit_power_law(X, LOSSES, draws=draws)
    with pytest.raises(InputError, match=f"{draws:,} draws; ask for 100 to 20,000"):
        fit_quality_at_size(X, np.ones(6), LOSSES, draws=draws)


def test_bounds_that_are_reached_are_named() -> None:
    noise = np.exp(0.01 * np.random.default_rng(8).standard_normal(6))
    fit = fit_power_law(X, 40 * X**-0.28 * noise)
    assert any(sentence.startswith("The interval of E reaches its bound, 0") for sentence in fit.warnings) or any(
        sentence.startswith("E lies at its bound, 0") for sentence in fit.warnings
    )
    rising = fit_power_law(X, 2 + X / 1e10)
    assert any(sentence.startswith("alpha lies at its bound, 0") for sentence in rising.warnings)


def test_directions_in_which_nothing_changes_are_found() -> None:
    parameters = [Parameter(name=name, low=-1, high=1) for name in "pqrs"]
    generator = np.random.default_rng(2)
    columns = generator.standard_normal((20, 4))
    assert flat_directions(columns, np.ones(20), parameters) == []
    columns[:, 2] = 3 * columns[:, 0]
    [(sentence, names)] = flat_directions(columns, np.ones(20), parameters)
    assert names == ("p", "r")
    assert sentence == "The surface is flat: these points cannot tell p and r apart."
    columns[:, 3] = 0
    assert [names for _, names in flat_directions(columns, np.ones(20), parameters)] == [("s",), ("p", "r")]
    nearly = columns.copy()
    nearly[:, 2] += 30 * np.sqrt(FLAT) * generator.standard_normal(20)
    assert [names for _, names in flat_directions(nearly, np.ones(20), parameters)] == [("s",)]


def test_a_grid_has_every_combination() -> None:
    assert len(grid([0, 1, 2], [5, 6], [7.5])) == 6
