"""Fits of Kaplan's laws, the law of quality and the law of repetition: published vectors and planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from corpusmill.documents.errors import InputError
from corpusmill.mix.quality_law import LANGUAGE_MODEL
from corpusmill.scaling.laws.kaplan_fit import constants, fit_kaplan, fit_kaplan_both, kaplan_formula
from corpusmill.scaling.laws.quality_fit import fit_quality, fit_quality_at_size
from corpusmill.scaling.laws.repetition_fit import fit_repetition
from corpusmill.scaling.planning.published import KAPLAN_PARAMETERS, KAPLAN_TOKENS
from corpusmill.scaling.planning.repeated import MUENNIGHOFF

SIZES, DATA = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 2e10, 5)))
PLANTED = {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}


def noisy(losses: np.ndarray, seed: int, noise: float = 0.003) -> np.ndarray:
    return losses * np.exp(noise * np.random.default_rng(seed).standard_normal(len(losses)))


@pytest.mark.parametrize(("scarce", "law"), [("N", KAPLAN_PARAMETERS), ("D", KAPLAN_TOKENS)])
def test_kaplans_law_of_one_thing_is_found_again(scarce: str, law: object) -> None:
    amounts = np.geomspace(1e6, 1e9, 8)
    losses = np.array([law.loss(amount) for amount in amounts])  # type: ignore[attr-defined]
    fit = fit_kaplan(scarce, amounts, losses)
    assert fit.value(f"{scarce}_c") == pytest.approx(law.scale, rel=1e-6)  # type: ignore[attr-defined]
    assert fit.value(f"alpha_{scarce}") == pytest.approx(law.exponent, rel=1e-8)  # type: ignore[attr-defined]
    assert fit.predict(**{scarce: 1e7}) == pytest.approx(law.loss(1e7))  # type: ignore[attr-defined]
    assert constants(fit).loss(1e7) == pytest.approx(law.loss(1e7))  # type: ignore[attr-defined]


def test_one_size_tells_nothing_of_kaplans_law() -> None:
    fit = fit_kaplan("N", [1e6, 1e6, 1e6], [3.0, 3.1, 3.05])
    assert fit.warnings[-1].startswith("The surface is flat: N is only ever 1e+06, so N_c and alpha_N cannot be told")
    with pytest.raises(InputError, match="'C' is not what it is about; N or D is"):
        fit_kaplan("C", [1e6, 1e7], [3.0, 2.9])


def test_kaplans_law_of_both_has_the_truth_in_its_intervals() -> None:
    found = [
        fit_kaplan_both(SIZES, DATA, noisy(kaplan_formula(PLANTED, {"N": SIZES, "D": DATA}), seed)).estimates
        for seed in range(25)
    ]
    for name, value in PLANTED.items():
        assert sum(estimates[name].covers(value) for estimates in found) >= 21


def test_kaplans_law_of_both_tells_nothing_apart_where_sizes_and_tokens_rise_together() -> None:
    sizes = np.geomspace(6e7, 1e10, 30)
    fit = fit_kaplan_both(sizes, 20 * sizes, noisy(kaplan_formula(PLANTED, {"N": sizes, "D": 20 * sizes}), 0))
    assert "N and D rise together (correlation of logarithms 1.0000), so N_c, D_c, alpha_N and" in fit.warnings[0]
    assert all(estimate.low is None for estimate in fit.estimates.values())


QUALITIES = [1.0, 0.9, 0.8, 0.75, 0.7, 0.6, 0.5]
TOKENS, QUALITY = (column.ravel() for column in np.meshgrid(np.repeat([1e8, 1e9, 1e10], 3), QUALITIES))


def test_the_published_law_of_quality_is_found_again() -> None:
    losses = np.array([LANGUAGE_MODEL.loss(*row) for row in zip(TOKENS, QUALITY, strict=True)])
    fit = fit_quality_at_size(TOKENS, QUALITY, losses, draws=100)
    law = fit.constants("again")
    assert law.loss(1e8, 1.0) == pytest.approx(4.418, abs=5e-4)
    assert law.loss(1e8, 0.5) == pytest.approx(4.732, abs=5e-4)
    assert law.gamma / law.beta == pytest.approx(1.01, abs=0.005)
    assert float(fit.predict(D=1e9, Q=0.75)) == pytest.approx(LANGUAGE_MODEL.loss(1e9, 0.75))


def test_the_law_of_quality_is_found_in_noise_at_one_size_and_at_three() -> None:
    losses = np.array([LANGUAGE_MODEL.loss(*row) for row in zip(TOKENS, QUALITY, strict=True)])
    fit = fit_quality_at_size(TOKENS, QUALITY, noisy(losses, 1), draws=200)
    for name, value in {"B": 1441.51, "beta": 0.396, "gamma": 0.401, "E": 3.439}.items():
        assert fit.estimates[name].covers(value), name
    sizes = np.tile([1e7, 1e8, 1e9], len(TOKENS) // 3)
    whole = fit_quality(sizes, TOKENS, QUALITY, noisy(losses - 1 + 300 / sizes**0.34, 2), draws=100)
    for name, value in {"A": 300, "alpha": 0.34, "gamma": 0.401, "E": 2.439}.items():
        assert whole.estimates[name].covers(value), name
    assert whole.predict(N=1e8, D=1e9, Q=0.8) == pytest.approx(
        LANGUAGE_MODEL.loss(1e9, 0.8) - 1 + 300 / 1e8**0.34, rel=0.005
    )


def test_one_quality_tells_no_gamma_and_none_is_above_one() -> None:
    fit = fit_quality_at_size(TOKENS, np.ones(len(TOKENS)), noisy(1441.51 / TOKENS**0.396 + 3.439, 3), draws=100)
    assert fit.warnings[0].startswith("The surface is flat: Q is only ever 1, so gamma cannot be told; that takes 2")
    assert fit.estimates["gamma"].low is None
    assert fit.estimates["beta"].covers(0.396)
    with pytest.raises(InputError, match=r"Q in row 1 is 1\.2; a quality is at most 1"):
        fit_quality_at_size([1e8, 1e9], [1.0, 1.2], [3.0, 2.0])


RUNS = [column.ravel() for column in np.meshgrid([1e8, 1e9, 7e9], [1e10, 5e10, 2e11], [1e9, 1e10, 1e11])]
REPEATED = np.array([MUENNIGHOFF.loss(*row) for row in zip(*RUNS, strict=True)])


def test_the_published_law_of_repetition_is_found_again() -> None:
    fit = fit_repetition(*RUNS, REPEATED, unrepeated=MUENNIGHOFF.unrepeated, draws=100)
    assert fit.value("R_D") == pytest.approx(15.387756, rel=1e-6)
    assert fit.value("R_N") == pytest.approx(5.309743, rel=1e-6)
    losses = fit.predict(N=[6.34e9, 8.67e9], D=[242e9, 178e9], U=25e9, extrapolate=True)
    assert losses == pytest.approx([2.2256440889984477, 2.2269634075087867], rel=1e-9)


def test_the_law_of_repetition_is_found_in_noise() -> None:
    fit = fit_repetition(*RUNS, noisy(REPEATED, 5), unrepeated=MUENNIGHOFF.unrepeated, draws=200)
    assert fit.estimates["R_D"].covers(15.387756)
    assert fit.estimates["R_N"].covers(5.309743)


def test_runs_that_repeat_nothing_tell_nothing_of_repetition() -> None:
    sizes, data, _ = RUNS
    losses = MUENNIGHOFF.unrepeated.E + 0 * sizes + 0.5
    fit = fit_repetition(sizes, data, data, losses, unrepeated=MUENNIGHOFF.unrepeated, draws=100)
    assert "The surface is flat: R_D changes no loss at these points." in fit.warnings
    assert fit.estimates["R_D"].low is None


def test_repeating_runs_of_one_ratio_do_not_tell_both_decays_apart() -> None:
    sizes = np.geomspace(6e7, 1e10, 30)
    ratio = np.where(20 * sizes > 1e9, 20.0, np.tile([5.0, 0.5], 15))  # runs that repeat nothing tell nothing
    losses = np.array([MUENNIGHOFF.loss(size, each * size, 1e9) for size, each in zip(sizes, ratio, strict=True)])
    fit = fit_repetition(sizes, ratio * sizes, np.full(30, 1e9), losses, unrepeated=MUENNIGHOFF.unrepeated)
    assert "N and D rise together (correlation of logarithms 1.0000), so R_D and R_N cannot" in fit.warnings[0]
    assert all(estimate.low is None for estimate in fit.estimates.values())
