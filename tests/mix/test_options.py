from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.options import MixOptions, exact_shares

GOOD: dict[str, Any] = {"ratios": {"web": 0.7, "code": 0.3}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ratios": {"web": 0.7, "code": 0.2}},
            "mix.ratios: they sum to 0.9, not to 1; in the same proportions: {web: 0.777778, code: 0.222222}",
        ),
        ({"ratios": {"web": 1.00001}}, "mix.ratios.web: 1.00001 is no share; give a number from 0 to 1"),
        ({"ratios": {"web": float("nan")}}, "mix.ratios.web: nan is no share"),
        ({"ratios": {"web": "most"}}, "mix.ratios.web: 'most' is no share"),
        ({"ratios": {"web": True}}, "mix.ratios.web: True is no share"),
        ({"ratios": {"web": 0}}, "mix.ratios: they sum to 0, not to 1"),
        ({"ratios": {}}, "mix.ratios: no source is named; give each its share, such as {web: .8, code: .2}"),
        ({"budget": 0}, "mix.budget: 0 is no whole number of estimated_tokens above 0; leave it out for the largest"),
        ({"budget": 1.5}, "mix.budget: 1.5 is no whole number"),
        ({"unit": "token"}, "mix.unit: 'token' is not known; did you mean 'tokens'?"),
        (
            {"unit": "pages"},
            "mix.unit: 'pages' is not known; choose one of 'bytes', 'characters', 'documents', 'estimated_tokens'",
        ),
        ({"unit": "tokens"}, "mix.tokenizer: unit `tokens` counts with a tokenizer; give the path of a tokenizer.json"),
        ({"tokenizer": "t.json"}, "mix.tokenizer: 't.json' would not be used, as the unit is `estimated_tokens`"),
        ({"seed": "x"}, "mix.seed: 'x' is no whole number"),
        ({"max_epochs": 0}, "mix.max_epochs: 0 is no number above 0; 1 repeats nothing"),
        ({"when_short": "repeats", "max_epochs": 2}, "mix.when_short: 'repeats' is not known; did you mean 'repeat'?"),
        (
            {"when_short": "repeat"},
            "mix.when_short: `repeat` repeats nothing with max_epochs 1; set max_epochs above 1",
        ),
        ({"validation": 1}, "mix.validation: 1 is no share of documents; give 0 up to below 1, such as .01"),
        ({"shard_bytes": 0}, "mix.shard_bytes: 0 is not from 1 to 1,000,000,000"),
        ({"name": " "}, "mix.name: ' ' is no name"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_mend(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        MixOptions(**(GOOD | changes))
    assert message in str(raised.value)


def test_ratios_that_sum_to_one_within_a_millionth_are_scaled_exactly() -> None:
    options = MixOptions(ratios={"a": 0.3333333, "b": 0.3333333, "c": 0.3333333})
    shares = exact_shares(options.ratios)
    assert sum(shares.values()) == 1
    assert shares["a"] == Fraction(1, 3)
