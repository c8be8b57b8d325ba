"""The filter that drops documents with much personal data in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.pii import Pii
from corpusmill.filters.pii_count import PiiCount, Reason

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "pii_count.jsonl").read_text(encoding="utf-8").splitlines()
]


def verdict(text: str, **options: Any) -> str | None:
    stage = PiiCount(**options)
    measures = stage.measure(TextBatch.of_texts([text]))
    assert measures.schema == PiiCount.measures
    index = stage.judge(measures)[0].as_py()
    return None if index is None else list(Reason)[index].value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    options = {
        key: tuple(value) if isinstance(value, list) else value for key, value in case.get("options", {}).items()
    }
    assert verdict(case["text"], **options) == case["reason"]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} >= {reason.value for reason in Reason}


def test_hits_are_the_sum_of_what_the_rewriter_counts() -> None:
    batch = TextBatch.of_texts([case["text"] for case in CASES])
    measures = PiiCount().measure(batch).to_pylist()
    _, replaced = Pii().rewrite(batch)
    for mine, its in zip(measures, replaced.to_pylist(), strict=True):
        assert mine == {**its, "hits": sum(its.values())}


def test_errors_name_the_stage() -> None:
    with pytest.raises(RecipeError, match=r'pii_count\.national_ids: "XX" is no country'):
        PiiCount(national_ids=("XX",))
