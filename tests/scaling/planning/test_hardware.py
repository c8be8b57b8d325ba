"""Accelerators and what training on them costs."""

from __future__ import annotations

import math

import pytest

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning.hardware import PUE, UTILISATION, Rental, accelerators, find_accelerator


def test_every_accelerator_has_a_source_and_a_believable_rate_and_power() -> None:
    found = accelerators()
    assert len(found) >= 12
    for one in found:
        assert one.source
        assert one.title
        assert 1e14 < one.peak_flops < 1e16
        assert one.watts is None or 200 <= one.watts <= 2000
        # FLOP per joule; data sheets that count sparsity or whole boards would fall out of it
        assert one.watts is None or 3e11 < one.peak_flops / one.watts < 3e12


def test_no_two_accelerators_share_a_name() -> None:
    names = [name for one in accelerators() for name in (one.name, *one.aliases)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("H100", "h100-sxm"), ("h100 pcie", "h100-pcie"), ("A100_40GB_SXM", "a100-40gb-sxm"), (" TPU v5e ", "tpu-v5e")],
)
def test_a_name_is_found_however_it_is_spelled(spelled: str, name: str) -> None:
    assert find_accelerator(spelled).name == name


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean mi300x\?"):
        find_accelerator("mi300")
    with pytest.raises(UsageError, match="there are a100-40gb-sxm"):
        find_accelerator("?")


def test_a_bill_is_plain_arithmetic() -> None:
    rental = Rental(accelerator=find_accelerator("a100"), devices=10, utilisation=0.5, price=2, pue=1.5)
    bill = rental.bill(312e12 * 3600)  # one hour at the peak
    assert bill.hours == pytest.approx(2)
    assert bill.days == pytest.approx(2 / 10 / 24)
    assert bill.money == pytest.approx(4)
    assert bill.megawatt_hours == pytest.approx(2 * 400 * 1.5 / 1e6)


def test_what_is_not_known_is_not_told() -> None:
    rental = Rental(accelerator=find_accelerator("tpu-v5p"))
    assert (rental.utilisation, rental.pue) == (UTILISATION, PUE)
    bill = rental.bill(1e20)
    assert bill.hours > 0
    assert bill.days is bill.money is bill.megawatt_hours is None


@pytest.mark.parametrize(
    ("option", "field", "bad"),
    [
        *(("--utilisation", "utilisation", bad) for bad in (0.0, -0.1, 1.1, 40.0, math.nan)),
        *(("--pue", "pue", bad) for bad in (0.9, math.nan, math.inf)),
        *(("--price", "price", bad) for bad in (-1.0, math.nan, math.inf)),
        *(("--gpus", "devices", bad) for bad in (0, -8)),
    ],
)
def test_terms_that_cannot_be_are_refused_by_their_option(option: str, field: str, bad: float) -> None:
    with pytest.raises(UsageError, match=option):
        Rental(accelerator=find_accelerator("h100"), **{field: bad})
