from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.options import MixOptions, Share, Slice
from corpusmill.mix.slices import (
    MAX_VALUES,
    Case,
    cases_by_source,
    check_cases,
    check_values,
    columns_used,
    components,
)

MEASURES = pa.schema([("gopher_quality.words", pa.int32()), ("perplexity.perplexity", pa.float64())])
ROWS = pa.table(
    {
        "language": ["de", "en", None, "en", "de"],
        "quality": pa.array([0.9, 0.9, 0.9, 0.1, None], pa.float32()),
        "gopher_quality.words": pa.array([10, 200, 300, 50, 70], pa.int32()),
        "license": ["MIT", "it's", None, "MIT", "MIT"],
    }
)


def sliced(**slices: str) -> MixOptions:
    own = {name: Slice(source="web", where=where) for name, where in slices.items()}
    return MixOptions(ratios=dict.fromkeys([*own, "web"], 1 / (1 + len(own))), slices=own)


def found(options: MixOptions) -> list[str | None]:
    return components(ROWS, cases_by_source(options, ["web"])["web"]).to_pylist()


def test_a_document_goes_to_the_first_slice_that_it_meets_and_else_to_its_source() -> None:
    options = sliced(good="quality > .8", german="language = 'de'")
    assert found(options) == ["good", "good", "good", "web", "german"]


def test_the_order_of_the_slices_decides() -> None:
    options = sliced(german="language = 'de'", good="quality > .8")
    assert found(options) == ["german", "good", "good", "web", "german"]


def test_what_no_ratio_names_is_in_no_component() -> None:
    options = MixOptions(ratios={"good": 1.0}, slices={"good": Slice(source="web", where="quality > .8")})
    assert found(options) == ["good", "good", "good", None, None]


def test_a_slice_without_a_share_takes_nothing() -> None:
    options = MixOptions(ratios={"web": 1.0}, slices={"good": Slice(source="web", where="quality > .8")})
    assert found(options) == ["web"] * 5


def test_a_condition_on_null_is_not_met() -> None:
    assert found(sliced(some="not (quality > .8)")) == ["web", "web", "web", "some", "web"]


def test_measures_are_named_as_in_the_ledger_and_strings_are_left_alone() -> None:
    assert found(sliced(long="gopher_quality.words between 60 and 250")) == ["web", "long", "web", "web", "long"]
    assert found(sliced(odd="license = 'gopher_quality.words' or license = 'it''s'")) == ["web", "odd"] + ["web"] * 3
    assert found(sliced(quoted='"gopher_quality.words" = 300')) == ["web", "web", "quoted", "web", "web"]


def test_a_comment_at_the_end_of_a_condition_harms_nothing() -> None:
    assert found(sliced(good="quality > .8 -- as the classifier has it")) == ["good"] * 3 + ["web"] * 2


def test_values_of_a_column_are_components_and_null_is_unknown() -> None:
    options = MixOptions(ratios={"web": Share(share=1.0, by="language")})
    assert found(options) == ["web/de", "web/en", "web/unknown", "web/en", "web/de"]


def test_a_hostile_value_is_one_short_line() -> None:
    rows = pa.table({"language": ["\x1b[31m\nde", " ", "x" * 500]})
    [red, empty, long] = components(rows, [Case("web", None, "language")]).to_pylist()
    assert red == "web/[31m de"
    assert empty == "web/unknown"
    assert long == "web/" + "x" * 100


def test_the_order_of_rows_is_kept_for_many() -> None:
    numbers = pa.array(range(300_000), pa.int32())
    rows = pa.table({"gopher_quality.words": numbers})
    named = components(rows, [Case("even", "gopher_quality.words % 2 = 0", None), Case("web", None, None)])
    assert named.to_pylist() == ["even", "web"] * 150_000


def test_only_the_columns_that_are_used_are_read() -> None:
    cases = [Case("a", "gopher_quality.words > 5 and lower(license) = 'language'", None), Case("b", None, "date")]
    names = ["license", "language", "date", "gopher_quality.words", "c4.sentences"]
    assert columns_used(cases, names) == ["license", "date", "gopher_quality.words"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("qualty > .8", "the documents of web have no column 'qualty'; did you mean 'quality'?"),
        ("gopher_quality.word > 8", "no column 'gopher_quality.word'; did you mean 'gopher_quality.words'?"),
        ("quality >", "mix.slices.good.where: 'quality >' is no SQL condition"),
        ("sum(quality) > 3", "is no condition: Binder Error: WHERE clause cannot contain aggregates"),
        ("row_number() over () < 3", "is no condition: Binder Error: WHERE clause cannot contain window functions"),
        ("id in (select * from 'secrets.csv')", "is no"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused_before_any_work(where: str, message: str) -> None:
    cases = cases_by_source(sliced(good=where), ["web"])["web"]
    with pytest.raises(RecipeError) as raised:
        check_cases(cases, MEASURES, "web")
    assert message in str(raised.value)


def test_a_column_to_divide_by_must_be_there() -> None:
    with pytest.raises(RecipeError, match=r"web\.by: the documents of web have no column 'lang'; did you mean 'lang"):
        check_cases([Case("web", None, "lang")], MEASURES, "web")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (MixOptions(ratios={"wob": 1.0}), "mix.ratios.wob: 'wob' is no source or slice of the recipe; did you mean 'w"),
        (sliced(code="true"), "mix.slices.code: a source has that name"),
        (
            MixOptions(ratios={"web": 1.0}, slices={"good": Slice(source="wbe", where="true")}),
            "mix.slices.good.source: 'wbe' is no source",
        ),
    ],
)
def test_names_that_nobody_has_are_refused(options: MixOptions, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        cases_by_source(options, ["web", "code"])
    assert message in str(raised.value)


def test_stages_must_divide_a_leaf_alike() -> None:
    stages: Any = (
        {"name": "one", "ratios": {"web": 1.0}},
        {"name": "two", "ratios": {"web": {"share": 1, "by": "url"}}},
    )
    from corpusmill.pipeline.recipe import build

    options = build(MixOptions, {"stages": stages}, "recipe.yaml: mix")
    with pytest.raises(RecipeError, match=r"mix\.stages\.two\.ratios\.web\.by: 'url', and None in an earlier stage"):
        cases_by_source(options, ["web"])


def test_too_many_values_are_no_components() -> None:
    check_values("web", MAX_VALUES)
    with pytest.raises(RecipeError, match=r"mix\.ratios\.web\.by: the column has more than 1,000 values, and a comp"):
        check_values("web", MAX_VALUES + 1)


def test_a_condition_that_fails_on_a_document_says_which_one_and_why() -> None:
    with pytest.raises(RecipeError, match=r"mix\.slices: bad: language::INT > 3: fails on a document: Conversion"):
        components(ROWS, [Case("bad", "language::INT > 3", None)])


@pytest.mark.parametrize(
    ("by", "component", "held"),
    [
        (None, "web", True),
        (None, "web/de", False),
        ("language", "web/de", True),
        ("language", "web/", True),
        ("language", "web", True),
        ("language", "web2/de", False),
        ("language", "books/web", False),
    ],
)
def test_a_leaf_holds_its_own_components_alone(by: str | None, component: str, held: bool) -> None:
    assert Case("web", None, by).holds(component) is held
