"""The code_lines filter: its cases, and its kernels against plain Python."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.code_lines import CodeLines, Reason

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, files, stage_of, verdicts_of

CASES = cases("code_lines")
TEXTS = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from(["\n", "\r\n", "x_1 ", "@Generated", "é", "²", "文"])), max_size=30
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(CodeLines, case), document_of(case)) == [case["reason"]]


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
        assert row["lines"] == len(lines)
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
                assert row["alphabetic_share"] == pytest.approx(sum(map(str.isalpha, text)) / len(text))
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


def test_the_name_tells_which_bound_of_length_applies() -> None:
    text = "word " * 300 + "\n"
    batch = files([text] * 4, ["a.md", "a.py", None, "a.html"])
    assert verdicts_of(CodeLines(), batch) == [None, "long_line", "long_line", None]
    assert verdicts_of(CodeLines(long_line_languages=()), batch) == ["long_line"] * 4
