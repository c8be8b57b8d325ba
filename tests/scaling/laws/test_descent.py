"""The minimiser: Huber's loss as it is defined, gradients that are true, and ends that others find, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from corpusmill.scaling.laws.chinchilla_fit import chinchilla_surface
from corpusmill.scaling.laws.descent import (
    Bounds,
    Floats,
    Surface,
    descend,
    huber,
    objective_and_gradient,
    polish,
)
from corpusmill.scaling.laws.kaplan_fit import kaplan_surface
from corpusmill.scaling.laws.pool_mixing import epoch_growth, pool_surface
from corpusmill.scaling.laws.repetition_fit import repetition_surface
from corpusmill.scaling.planning.published import BESIROGLU

SIZES = np.array([1e6, 3e7, 1e9, 1e9, 2e10])
DATA = np.array([1e8, 1e8, 2e9, 5e10, 1e12])
MEMBERS = np.array([0, 1, 0, 1, 1])


def chinchilla() -> tuple[Surface, Floats, Floats]:
    return chinchilla_surface(SIZES, DATA), np.array([2.0, 2.0, -1.0, 0.1, 0.1]), np.array([8.0, 9.0, 1.0, 0.6, 0.6])


def kaplan() -> tuple[Surface, Floats, Floats]:
    return kaplan_surface(SIZES, DATA), np.array([20.0, 20.0, 0.03, 0.03]), np.array([35.0, 35.0, 0.3, 0.3])


def repetition() -> tuple[Surface, Floats, Floats]:
    unique = np.array([1e7, 1e8, 1e8, 1e9, 1e9])
    return repetition_surface(SIZES, DATA, unique, BESIROGLU), np.array([-1.0, -1.0]), np.array([4.0, 4.0])


def pools() -> tuple[Surface, Floats, Floats]:
    growth = epoch_growth(DATA / 1e7, np.array([9e10, 1e10])[MEMBERS] / 1e7)
    low = np.array([-1.0, 0.0, -0.5, -0.5, -1.0, -1.0])
    return pool_surface(growth, MEMBERS, 2), low, np.array([3.0, 2.0, -0.01, -0.01, 3.0, 3.0])


SURFACES = [chinchilla, kaplan, repetition, pools]


@pytest.mark.parametrize("made", SURFACES)
@given(data=st.data())
def test_the_gradient_is_that_of_finite_differences(
    made: Callable[[], tuple[Surface, Floats, Floats]], data: st.DataObject
) -> None:
    surface, low, high = made()
    shares = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(low), max_size=len(low))))
    theta = low + shares * (high - low)
    observed = np.log(np.array([4.1, 3.7, 3.0, 2.6, 2.2]))
    delta = data.draw(st.sampled_from([1e-3, 0.2, np.inf]))
    weights = np.array(data.draw(st.lists(st.floats(0, 5), min_size=5, max_size=5)))
    _, gradient = objective_and_gradient(surface, observed, theta, delta=delta, weights=weights)
    for place in range(len(theta)):
        step = np.zeros(len(theta))
        step[place] = 1e-6
        above, below = (
            objective_and_gradient(surface, observed, theta + sign * step, delta=delta, weights=weights)[0]
            for sign in (1, -1)
        )
        assert gradient[place] == pytest.approx((above - below) / 2e-6, rel=2e-4, abs=1e-5)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 3)), min_size=1, max_size=9),
    st.sampled_from([1e-3, 0.5, 2.0, np.inf]),
)
def test_hubers_loss_is_squares_near_zero_and_sizes_beyond(rows: list[tuple[float, float]], delta: float) -> None:
    total = 0.0
    for residual, weight in rows:
        if abs(residual) <= delta:
            total += weight * residual * residual / 2
        else:
            total += weight * delta * (abs(residual) - delta / 2)
    residuals, weights = (np.array(column) for column in zip(*rows, strict=True))
    assert huber(residuals[None], weights, delta)[0] == pytest.approx(total, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("delta", [1e-3, np.inf])
def test_a_descent_ends_where_a_general_minimiser_does(delta: float) -> None:
    generator = np.random.default_rng(3)
    sizes, data = (column.ravel() for column in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6)))
    surface = chinchilla_surface(sizes, data)
    truth = np.array([6.0, 7.5, 0.6, 0.34, 0.36])
    observed = surface(truth[None])[0][0] + 0.004 * generator.standard_normal(len(sizes))
    bounds = Bounds(np.full(5, -5.0), np.full(5, 30.0))
    descent = descend(surface, observed, truth[None] + 0.2, bounds, delta=delta)
    _, ours = polish(surface, observed, descent, bounds, delta=delta)

    def objective(theta: Floats) -> float:
        return 1e6 * objective_and_gradient(surface, observed, theta, delta=delta)[0]

    found = minimize(objective, truth, method="Nelder-Mead", options={"maxiter": 2500, "xatol": 1e-9, "fatol": 1e-12})
    assert ours <= found.fun / 1e6 * (1 + 1e-6)


def test_parameters_stay_within_their_bounds() -> None:
    surface = chinchilla_surface(SIZES, DATA)
    observed = np.log(np.array([4.1, 3.7, 3.0, 2.6, 2.2]))
    bounds = Bounds(np.array([0.0, 0.0, -1.0, 0.0, 0.2]), np.array([5.0, 5.0, 0.1, 0.5, 0.2]))
    found = descend(surface, observed, np.random.default_rng(0).uniform(-50, 50, (40, 5)), bounds).theta
    assert (found >= bounds.low).all()
    assert (found <= bounds.high).all()


def test_a_set_of_parameters_does_not_depend_on_those_beside_it() -> None:
    surface = chinchilla_surface(SIZES, DATA)
    observed = np.log(np.array([4.1, 3.7, 3.0, 2.6, 2.2]))
    bounds = Bounds(np.full(5, -5.0), np.full(5, 30.0))
    starts = np.random.default_rng(1).uniform(0, 3, (9, 5))
    together = descend(surface, observed, starts, bounds, steps=10)
    for place, start in enumerate(starts):
        alone = descend(surface, observed, start[None], bounds, steps=10)
        assert alone.objective[0] == pytest.approx(together.objective[place], rel=1e-6)


def test_starts_without_a_finite_loss_are_left_and_none_at_all_is_refused() -> None:
    def surface(theta: Floats) -> tuple[Floats, Floats]:
        with np.errstate(invalid="ignore"):
            root = np.sqrt(theta)
        return np.repeat(root, 3, axis=1), np.repeat((0.5 / root)[:, :, None], 3, axis=1)

    observed, bounds = np.array([1.0, 1.1, 0.9]), Bounds(np.array([-9.0]), np.array([9.0]))
    descent = descend(surface, observed, np.array([[-1.0], [4.0]]), bounds)
    assert polish(surface, observed, descent, bounds)[0] == pytest.approx([1.0])
    with pytest.raises(ValueError, match="a finite value at none of the starts"):
        polish(surface, observed, descend(surface, observed, np.array([[-1.0]]), bounds), bounds)
