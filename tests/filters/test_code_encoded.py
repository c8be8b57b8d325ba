"""The code_encoded filter: its cases, and its kernels against regular expressions."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.code_encoded import CodeEncoded, Reason

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

CASES = cases("code_encoded")
BASE64 = re.compile(rb"[a-zA-Z0-9+/=](?:\n*[a-zA-Z0-9+/=])*")
UNIT = rb"(?:\\x[0-9a-fA-F]{2}|(?<![\w\x80-\xff])(?:0[xX])?[0-9a-fA-F]{2}(?![\w\x80-\xff]))"
HEXADECIMAL = re.compile(UNIT + rb"(?:[ \t\r\n]*,?[ \t\r\n]*" + UNIT + rb"){7,}")
ESCAPES = re.compile(rb"(?:\\u[0-9a-fA-F]{4}){8,}")
PIECES = st.sampled_from(
    ["0x1f", "1F", "\\x2a", "2a", ",", ", ", " ", "\n", "\\u12aF", "\\u12", "\\", "x", "é", "A" * 30, "zz/+=", "_", "0"]
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(CodeEncoded, case), document_of(case)) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


@given(st.lists(st.lists(st.tuples(PIECES, st.integers(1, 12)), max_size=12), max_size=3))
@settings(max_examples=400)
@example([[("\\x2a", 8)], [("0x1f", 1), (", ", 1)] * 9, [("\\u12aF", 9), ("x", 1), ("\\u12aF", 8)]])
def test_runs_are_those_of_regular_expressions(documents: list[list[tuple[str, int]]]) -> None:
    texts = ["".join(piece * times for piece, times in document) for document in documents]
    for text, row in zip(texts, CodeEncoded().measure(TextBatch.of_texts(texts)).to_pylist(), strict=True):
        content = text.encode()
        runs = [
            [run for run in BASE64.findall(content) if len(run.replace(b"\n", b"")) >= 64],
            [match.group() for match in HEXADECIMAL.finditer(content)],
            [match.group() for match in ESCAPES.finditer(content)],
        ]
        assert row["longest_run"] == max((len(run) for kind in runs for run in kind), default=0)
        for name, kind in zip(("base64", "hexadecimal", "escape"), runs, strict=True):
            share = sum(map(len, kind)) / len(text) if text else None
            assert row[f"{name}_share"] == (None if share is None else pytest.approx(share)), name


@pytest.mark.parametrize(
    "text", ["0x" * 500_000, "1f" + " " * 1_000_000, "\\x" * 500_000, "\\u1" * 300_000, "aa " * 300_000]
)
def test_hostile_text_takes_time_that_grows_with_its_length_only(text: str) -> None:
    CodeEncoded().measure(TextBatch.of_texts(["a"]))
    start = time.process_time()
    CodeEncoded().measure(TextBatch.of_texts([text]))
    assert time.process_time() - start < 2  # 0.02 s
