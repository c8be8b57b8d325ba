"""The math_density filter: its cases, its kernel against plain Python, and real texts of both kinds."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.math_density import MathDensity, Reason, count_mathematics

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

CASES = cases("math_density")
SYMBOL = re.compile("[±×÷\u2190-\u22ff\u27c0-\u27ff\u2900-\u2aff\U0001d400-\U0001d7ff]")
FORMULA = re.compile(
    rb"\$\$(?!\$)(?:(?!\n\n)[^$]|(?<=\\)\$)*?(?<!\\)\$\$"
    rb"|\$(?![\x00-\x20$])(?:(?!\n\n)[^$]|(?<=\\)\$)*?(?<![\\\x00-\x20])\$"
    rb"|\\\(.*?\\\)|\\\[.*?\\\]"
    rb"|\\begin\{(?P<name>equa|alig|gath|math|eqna).*?\\end\{(?P=name)[^}]*(?:\}|\Z)",
    re.DOTALL,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(MathDensity, case), document_of(case)) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


def counted_by_python(text: str) -> list[int]:
    """The four counts by regular expressions; what they call a formula must have a TeX sign, or be one letter."""
    content = text.encode()
    characters = position = formulas = 0
    while position < len(content):
        found = FORMULA.match(content, position)
        if found is None or not is_formula(found.group()):
            position += 1
            continue
        characters += len(found.group().decode())
        formulas += 1
        position = found.end()
    return [characters, len(re.findall(r"\\[a-zA-Z]", text)), len(SYMBOL.findall(text)), formulas]


def is_formula(found: bytes) -> bool:
    if not found.startswith(b"$"):
        return True
    body = found.strip(b"$")
    return bool(re.search(rb"[\\^_=<>]", body)) or bool(
        re.search(rb"[a-zA-Z]", body) if found.startswith(b"$$") else re.fullmatch(rb"[a-zA-Z]", body)
    )


MARKS = (
    "$",
    "$$",
    "x",
    "é",
    "∑",
    "𝑥",
    " ",
    "\n",
    "\\alpha",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "_1",
    "^",
    "=",
    "5",
    ", ",
    "}",
)
ENVIRONMENTS = (
    "\\begin{equation}",
    "\\end{equation}",
    "\\begin{align*}",
    "\\end{align*}",
    "\\begin{proof}",
    "\\end{eq",
)
PIECES = st.sampled_from(MARKS + ENVIRONMENTS)


@given(st.lists(st.lists(PIECES, max_size=14).map("".join), max_size=4))
@settings(max_examples=500)
@example(["$x$ $5$ $a=1$ $ b=2$ $c=3 $", "$$x$$ $$5$$", "a $\\$ b=1$", "\\begin{equation}x\\end{equation"])
def test_counts_are_those_of_regular_expressions(texts: list[str]) -> None:
    batch = TextBatch.of_texts(texts)
    counts = np.zeros((4, len(texts)), np.int32)
    count_mathematics(batch.offsets, batch.text, counts)
    assert counts.T.tolist() == [counted_by_python(text) for text in texts]


@pytest.mark.realdata
def test_textbooks_are_kept_and_other_prose_is_not(realdata: Path) -> None:
    def kept(folder: str, pattern: str, encoding: str = "utf-8") -> float:
        paths = sorted(path for path in (realdata / folder).rglob(pattern) if path.is_file())[
            :: 3 if "book" in folder else 1
        ]
        texts = [path.read_bytes().decode(encoding, "replace")[:20_000] for path in paths[:150]]
        assert len(texts) > 10
        return verdicts_of(MathDensity(), TextBatch.of_texts(texts)).count(None) / len(texts)

    assert kept("text/math_stacks_project_latex", "*.tex") > 0.98
    assert kept("text/books_classic_markdown_a", "[A-J]*/*.md") == 0
    assert kept("text/newsgroups20_bydate", "20news-bydate-test/sci.*/*1", "latin-1") < 0.01


@pytest.mark.parametrize("unit", ["$", "$x", "\\(", "\\begin{align}", "$$ ", "\\["])
def test_hostile_text_takes_time_that_grows_with_its_length_only(unit: str) -> None:
    MathDensity().measure(TextBatch.of_texts(["a"]))
    start = time.process_time()
    MathDensity().measure(TextBatch.of_texts([unit * (1_000_000 // len(unit))]))
    assert time.process_time() - start < 5
