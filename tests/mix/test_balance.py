from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.balance import natural, temperature, unimax

THREE = {"en": 10**12, "de": 10**11, "is": 10**9}

sizes_of_members = st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.integers(0, 10**14), max_size=8).filter(
    lambda sizes: any(sizes.values())
)


def percent(shares: dict[str, Fraction]) -> dict[str, float]:
    return {name: round(100 * float(share), 1) for name, share in shares.items()}


def test_temperature_gives_the_published_shares() -> None:
    shares = temperature(THREE, 3.33)
    assert percent(shares) == {"de": 30.8, "en": 61.5, "is": 7.7}
    epochs = {name: 10**12 * float(share) / THREE[name] for name, share in shares.items()}
    assert epochs == pytest.approx({"en": 0.615, "de": 3.08, "is": 77.2}, rel=2e-3)


def test_temperature_one_is_natural_and_a_high_one_is_even() -> None:
    assert temperature(THREE, 1) == natural(THREE) == {name: Fraction(THREE[name], 1101 * 10**9) for name in THREE}
    assert percent(temperature(THREE, 10_000)) == dict.fromkeys(THREE, 33.3)


def test_a_tiny_temperature_gives_all_to_the_largest() -> None:
    assert temperature(THREE, 0.001) == {"de": 0, "en": 1, "is": 0}


@given(sizes_of_members, st.floats(0.05, 100))
def test_temperature_follows_the_sizes_and_sums_to_one(sizes: dict[str, int], heat: float) -> None:
    shares = temperature(sizes, heat)
    assert sum(shares.values()) == 1
    assert list(shares) == sorted(sizes)
    by_size = sorted(sizes, key=lambda name: sizes[name])
    assert [shares[name] for name in by_size] == sorted(shares.values())
    assert all(shares[name] == 0 for name in sizes if sizes[name] == 0)
    logs = {name: math.log(size) / heat for name, size in sizes.items() if size}
    weights = {name: math.exp(log - max(logs.values())) for name, log in logs.items()}
    for name, weight in weights.items():
        assert float(shares[name]) == pytest.approx(weight / math.fsum(weights.values()), rel=1e-9, abs=1e-300)


def test_unimax_is_even_but_for_what_is_small() -> None:
    shares = unimax({"de": 40, "en": 1000, "is": 5}, budget=100, max_epochs=2)
    assert shares == {"is": Fraction(10, 100), "de": Fraction(45, 100), "en": Fraction(45, 100)}


def test_unimax_leaves_out_what_nobody_can_take() -> None:
    assert sum(unimax({"a": 10, "b": 20}, budget=100, max_epochs=1.5).values()) == Fraction(45, 100)


def test_unimax_with_room_for_all_is_uniform() -> None:
    assert unimax(THREE, budget=9, max_epochs=1) == dict.fromkeys(THREE, Fraction(1, 3))


def by_water_level(sizes: dict[str, int], budget: int, epochs: Fraction) -> dict[str, Fraction]:
    """UniMax told differently: every member is filled up to one level or its cap, and the level uses up the budget."""
    caps = {name: epochs * size for name, size in sizes.items()}
    if sum(caps.values()) <= budget:
        return caps
    for level in sorted({Fraction(), *caps.values()}):
        full = sum(cap for cap in caps.values() if cap <= level)
        higher = [name for name, cap in caps.items() if cap > level]
        exact = (budget - full) / Fraction(len(higher)) if higher else level
        if all(caps[name] >= exact for name in higher) and exact >= level:
            return {name: min(cap, exact) for name, cap in caps.items()}
    raise AssertionError("no level")


@given(sizes_of_members, st.integers(1, 10**15), st.sampled_from([0.5, 1, 1.1, 4]))
def test_unimax_fills_all_to_one_level(sizes: dict[str, int], budget: int, epochs: float) -> None:
    given_out = {name: share * budget for name, share in unimax(sizes, budget, epochs).items()}
    assert given_out == by_water_level(sizes, budget, Fraction(str(epochs)))


@given(sizes_of_members, st.integers(1, 10**15), st.integers(1, 10**15), st.sampled_from([0.5, 1, 4]))
def test_a_larger_budget_never_takes_from_a_member(sizes: dict[str, int], one: int, other: int, epochs: float) -> None:
    small, large = sorted([one, other])
    before, after = unimax(sizes, small, epochs), unimax(sizes, large, epochs)
    assert all(after[name] * large >= before[name] * small for name in sizes)


@pytest.mark.parametrize(
    ("deal", "message"),
    [
        (lambda: temperature(THREE, 0), "temperature: 0 is no number above 0"),
        (lambda: temperature(THREE, math.nan), "temperature: nan is no number"),
        (lambda: temperature(THREE, True), "temperature: True is no number"),
        (lambda: natural({"de": 0, "en": 0}), "de, en: nothing is there to share"),
        (lambda: natural({}), "the group: nothing is there"),
        (lambda: natural({"de": -1}), "de: -1 is no size"),
        (lambda: unimax(THREE, 0, 1), "a budget of 0 cannot be dealt out"),
        (lambda: unimax(THREE, 10, 0), "max_epochs 0 is no number above 0"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(deal: Callable[[], object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        deal()
