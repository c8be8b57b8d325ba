"""The code_lines filter: its cases, and its kernels against plain Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.code_lines import CodeLines, Reason

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "code_lines.jsonl").read_text(encoding="utf-8").splitlines()
]
TEXTS = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from(["\n", "\r\n", "x_1 ", "@Generated", "é", "²", "文"])), max_size=30
)


def made(options: dict[str, Any]) -> CodeLines:
    return CodeLines(**{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    stage = made(case.get("options", {}))
    (verdict,) = stage.judge(stage.measure(TextBatch.of_texts([case["text"]]))).to_pylist()
    assert (None if verdict is None else list(Reason)[verdict]) == case["reason"]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


def test_the_rules_stand_in_the_order_of_the_reasons() -> None:
    assert [rule.reason for rule in CodeLines().rules()] == list(Reason)


@given(st.lists(TEXTS.map("".join), max_size=5))
@settings(max_examples=300, deadline=None)
def test_measures_are_those_of_plain_python(texts: list[str]) -> None:
    texts = [text.encode(errors="replace").decode() for text in texts]
    stage = CodeLines(marker_lines=3)
    for text, row in zip(texts, stage.measure(TextBatch.of_texts(texts)).to_pylist(), strict=True):
        lines = text.removesuffix("\n").split("\n") if text else []
        assert row["longest_line"] == max(map(len, lines), default=0)
        marked = [
            number
            for number, line in enumerate(lines[:3], 1)
            if any(marker in "".join(c.lower() if c.isascii() else c for c in line) for marker in stage.markers)
        ]
        assert row["marker_line"] == min(marked, default=0)
        if text:
            assert row["mean_line"] == pytest.approx(sum(map(len, lines)) / len(lines))
            # Python's own tables may be of another Unicode version than the project's; these are old characters.
            if all(ord(character) < 0x500 or character == "文" for character in text):
                assert row["alphanumeric_share"] == pytest.approx(sum(map(str.isalnum, text)) / len(text))
        else:
            assert row["mean_line"] is None
            assert row["alphanumeric_share"] is None


@pytest.mark.parametrize("marker", ["", "two\nlines"])
def test_a_marker_that_could_only_match_wrongly_is_refused(marker: str) -> None:
    with pytest.raises(RecipeError, match=r"code_lines.markers: an empty marker, or one of two lines"):
        CodeLines(markers=("ok", marker))


def test_means_are_numbers_and_never_nan() -> None:
    measures = CodeLines().measure(TextBatch.of_texts(["", "a", "\n"]))
    assert measures.schema == CodeLines.measures
    assert not any(math.isnan(value) for value in measures.column("mean_line").drop_null().to_pylist())
