import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.scaling.plots.axes import Scale, scale, short, thinned

ANY = st.lists(st.floats() | st.integers(-(10**300), 10**300).map(float), max_size=8)
HOSTILE = [
    [],
    [0.0],
    [-0.0, 0.0],
    [5e-324],
    [5e-324, 1.7e308],
    [-1.7e308, 1.7e308],
    [1e16, 1e16 + 2],
    [1.0, 1.0 + 2**-52],
    [math.nan, math.inf, -math.inf],
    [-3.0],
    [1e-7, 2e-7],
]


@pytest.mark.parametrize("values", HOSTILE)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_values_give_an_axis_with_two_to_some_ticks(values, logarithmic):
    check(values, logarithmic)


@given(ANY, st.booleans())
def test_an_axis_holds_whatever_can_be_shown_and_its_ticks_are_apart(values, logarithmic):
    check(values, logarithmic)


def check(values, logarithmic):
    axis = scale(values, logarithmic=logarithmic)
    assert math.isfinite(axis.low)
    assert math.isfinite(axis.high)
    assert axis.low < axis.high
    assert axis.low > 0 or not logarithmic
    for value in values:
        if math.isfinite(value) and 1e-140 < abs(value) < 1e140 and (value > 0 or not logarithmic):
            assert axis.has(value)
            assert 0 <= axis.place(value) <= 1
    for most in (3, 6, 10):
        ticks = axis.ticks(most)
        assert 1 <= len(ticks) <= most
        assert all(axis.has(tick.value) for tick in ticks)
        places = [axis.place(tick.value) for tick in ticks]
        assert places == sorted(set(places))
        assert len({tick.label for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "labels"),
    [
        (0, 1, False, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (1.93, 2.27, False, ["2.0", "2.1", "2.2"]),
        (-0.012, 0.011, False, ["-0.010", "-0.005", "0", "0.005", "0.010"]),
        (0, 2_600_000, False, ["0", "500k", "1M", "1.5M", "2M", "2.5M"]),
        (900_000, 70_000_000, True, ["1M", "2M", "5M", "10M", "20M", "50M"]),
        (2e3, 3e9, True, ["10k", "100k", "1M", "10M", "100M", "1B"]),
        (1.7, 2.6, True, ["1.8", "2.0", "2.2", "2.4", "2.6"]),
    ],
)
def test_ticks_are_steps_of_one_two_or_five(low, high, logarithmic, labels):
    axis = Scale(low=low, high=high, logarithmic=logarithmic)
    assert [tick.label for tick in axis.ticks(6)] == labels


def test_one_value_stands_in_the_middle():
    assert scale([3.5]).place(3.5) == pytest.approx(0.5)
    assert scale([2e6, 2e6], logarithmic=True).place(2e6) == pytest.approx(0.5)


def test_noise_alone_does_not_fill_an_axis_that_has_a_least_range():
    axis = scale([2.0001, 2.0002], least=0.1)
    assert axis.place(2.0002) - axis.place(2.0001) < 0.01


@given(st.floats(-1e149, 1e149).filter(lambda value: value == 0 or abs(value) > 1e-149))
def test_a_number_reads_as_itself(value):
    text = short(value)
    units = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    number = float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)
    assert number == pytest.approx(value, rel=6e-3)
    assert len(text) <= 10


@given(st.integers(0, 500), st.integers(1, 40))
def test_thinning_keeps_both_ends(count, most):
    kept = list(thinned(count, most))
    assert kept == sorted(set(kept))
    assert len(kept) == min(count, most) or len(kept) <= most
    assert not count or (kept[0] == 0 and (most == 1 or kept[-1] == count - 1))
