"""Amounts as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning.amounts import amount, read_amount, read_range


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7e9", 7e9),
        ("7B", 7e9),
        ("7b", 7e9),
        ("500M", 5e8),
        ("2T", 2e12),
        ("1.5 T", 1.5e12),
        (".5B", 5e8),
        ("12k", 12_000),
        ("7_000_000", 7e6),
        ("7,000,000", 7e6),
        ("7,500B", 7.5e12),
        ("1,234.5M", 1.2345e9),
        ("7.", 7),
        ("1E22", 1e22),
        ("1e+22", 1e22),
        (" 3 ", 3),
    ],
)
def test_amounts_are_read_as_they_are_written(text: str, value: float) -> None:
    assert read_amount(text, "--x") == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "B", "-7B", "7X", "nan", "inf", "1e-3", "7 B B", "7\u212a", "0", "0B", "1e9e9", "7\n8", "7_B", "7__0"),
        *("7,", "7,000,00", "7,000_000", "7000,000,000", "1.234,5B"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--params: "):
        read_amount(text, "--params")


@pytest.mark.parametrize(
    ("text", "mend"),
    [("7,5B", "7.5B"), ("0,500B", "0.500B"), ("1,5e12", "1.5e12"), (",5T", ".5T"), ("1,2345", "1.2345")],
)
def test_a_decimal_comma_is_refused_with_the_point_that_is_meant(text: str, mend: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--params: {text!r}: a comma only parts thousands; write {mend}")):
        read_amount(text, "--params")


def test_zero_is_an_amount_only_where_it_may_be_one() -> None:
    for text in ("0", "0.0", "0B", "0e9", ".0"):
        assert read_amount(text, "--x", zero=True) == 0
    with pytest.raises(UsageError, match=r"--x: '0\.0' is not above 0"):
        read_amount("0.0", "--x")
    with pytest.raises(UsageError, match="too large"):
        read_amount("9" * 400, "--x", zero=True)


@given(st.floats(1, 1e30))
def test_what_is_shown_is_the_number_in_three_digits(value: float) -> None:
    assert read_amount(amount(value), "--x") == pytest.approx(value, rel=5.1e-3)
    assert len(amount(value)) <= 8


def test_a_range_has_two_ends_that_rise() -> None:
    assert read_range("1e9:100B", "--range") == (1e9, 1e11)
    for bad in ("1B", "2B:1B", "1B:1B", ":", "1B:", "1B:2B:3B"):
        with pytest.raises(UsageError, match="--range"):
            read_range(bad, "--range")
