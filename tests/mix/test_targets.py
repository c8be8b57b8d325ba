from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import ShortSourceError
from corpusmill.mix.options import MixOptions, exact_shares
from corpusmill.mix.targets import Targets, find_targets, hamilton, largest_budget


def targets(mix: MixOptions, available: dict[str, int]) -> Targets:
    return find_targets(mix, dict(sorted(exact_shares(mix.ratios).items())), available)


weights = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6), min_size=1)


def options(**changes: Any) -> MixOptions:
    return MixOptions(**({"ratios": {"web": 0.75, "code": 0.25}, "unit": "bytes"} | changes))


@given(st.integers(0, 10**15), weights)
def test_hamilton_splits_the_whole_and_no_part_is_off_by_one(total: int, given_weights: dict[str, int]) -> None:
    shares = {name: Fraction(weight, sum(given_weights.values())) for name, weight in given_weights.items()}
    parts = hamilton(total, shares)
    assert sum(parts.values()) == total
    assert all(floor(total * shares[name]) <= parts[name] <= ceil(total * shares[name]) for name in shares)


@given(weights, st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**9), min_size=8), st.integers(1, 400))
def test_the_largest_budget_fits_and_one_unit_more_does_not(
    given_weights: dict[str, int], available: dict[str, int], hundredths: int
) -> None:
    shares = {name: Fraction(weight, sum(given_weights.values())) for name, weight in given_weights.items()}
    largest = largest_budget(shares, {name: Fraction(hundredths, 100) * available[name] for name in shares})
    fits = [all(budget * shares[s] <= Fraction(hundredths, 100) * available[s] for s in shares) for budget in
            (largest, largest + 1)]  # fmt: skip
    assert fits == [True, False]


def test_without_a_budget_the_largest_is_taken() -> None:
    found = targets(options(), {"web": 900, "code": 100})
    assert found.budget == 400
    assert found.asked == {"code": 100, "web": 300}


def test_a_short_source_is_an_error_that_says_what_is_missing_and_three_ways_to_mend_it() -> None:
    with pytest.raises(ShortSourceError) as raised:
        targets(options(budget=1000), {"web": 2000, "code": 100})
    assert str(raised.value) == (
        "mix: a budget of 1,000 UTF-8 bytes asks more of some sources than they have:\n"
        "  code: asked 250 (25 %), there are 100, missing 150\n"
        "Mend it in one of three ways:\n"
        "  budget: 400   (the largest that these ratios allow)\n"
        "  max_epochs: 2.5   (repeats what is short)\n"
        "  when_short: renormalise   (the others fill the budget: code 10 %, web 90 %)"
    )


@pytest.mark.parametrize("mend", [{"budget": 400}, {"max_epochs": 2.5}, {"when_short": "renormalise"}])
def test_each_mend_that_the_error_names_works(mend: dict[str, Any]) -> None:
    found = targets(options(**({"budget": 1000} | mend)), {"web": 2000, "code": 100})
    assert sum(found.aims.values()) == found.budget


def test_the_error_offers_no_mend_that_cannot_work() -> None:
    with pytest.raises(ShortSourceError) as raised:
        targets(options(budget=1000), {"web": 700, "code": 0})
    assert "give the empty sources documents, or take them out of the ratios" in str(raised.value)
    assert "max_epochs cannot help a source that has no documents" in str(raised.value)
    assert "when_short: renormalise with a budget of at most 700   (all sources together have no more)" in str(
        raised.value
    )


def test_renormalise_fills_the_budget_from_the_others_in_proportion() -> None:
    mix = options(ratios={"a": 0.5, "b": 0.3, "c": 0.2}, budget=1000, when_short="renormalise")
    found = targets(mix, {"a": 100, "b": 5000, "c": 5000})
    assert found.aims == {"a": 100, "b": 540, "c": 360}
    assert found.asked == {"a": 500, "b": 300, "c": 200}


def test_renormalise_that_fills_a_second_source_goes_on_with_the_rest() -> None:
    mix = options(ratios={"a": 0.5, "b": 0.3, "c": 0.2}, budget=1000, when_short="renormalise")
    assert targets(mix, {"a": 100, "b": 400, "c": 5000}).aims == {"a": 100, "b": 400, "c": 500}


def test_renormalise_beyond_all_sources_together_is_an_error() -> None:
    with pytest.raises(ShortSourceError, match="which is 300; lower the budget to 300 or raise max_epochs"):
        targets(options(budget=1000, when_short="renormalise"), {"web": 200, "code": 100})


def test_repeat_gives_its_passes_and_leaves_the_dataset_smaller() -> None:
    mix = options(budget=1000, when_short="repeat", max_epochs=2)
    assert targets(mix, {"web": 2000, "code": 100}).aims == {"code": 200, "web": 750}


def test_max_epochs_bounds_every_policy() -> None:
    available = {"web": 2000, "code": 100}
    assert targets(options(budget=800, max_epochs=2), available).aims["code"] == 200
    with pytest.raises(ShortSourceError, match=r"there are 200 in 2 passes, missing 1"):
        targets(options(budget=801, max_epochs=2), available)


def test_no_documents_at_all_is_an_error_that_names_the_source() -> None:
    with pytest.raises(ShortSourceError, match="no train document is left in code"):
        targets(options(), {"web": 2000, "code": 0})
