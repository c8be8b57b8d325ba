"""The code_formats filter: its cases, and visible text against a parser."""

from __future__ import annotations

import html
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.filters.code_formats import CodeFormats, Reason

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, files, stage_of, verdicts_of

CASES = cases("code_formats")


class Visible(HTMLParser):
    """The text of a page by Python's parser, references left as they are written."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")


def visible(page: str) -> int:
    parser = Visible()
    parser.feed(page)
    parser.close()
    return len(re.sub(r"[\x00-\x20]+", " ", "".join(parser.parts)).strip(" "))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(CodeFormats, case), document_of(case)) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


def test_the_rules_stand_in_the_order_of_the_reasons() -> None:
    assert [rule.reason for rule in CodeFormats().rules()] == list(Reason)


TEXT = st.text("ab é\n\t漢", max_size=12)
ELEMENT = st.one_of(
    TEXT,
    TEXT.map(lambda text: f"<p class='x'>{text}</p>"),
    TEXT.map(lambda text: f"<!-- {text} <b> -->"),
    TEXT.map(lambda text: f"<script>if (a<b) {text}</script>"),
    TEXT.map(lambda text: f"<STYLE type=x>{text}</STYLE>"),
    TEXT.map(lambda text: f"{html.escape('<&')}{text} &#65; <br/>"),
    st.just("<!DOCTYPE html>"),
    st.just(" < 3 "),
)


@given(st.lists(st.lists(ELEMENT, max_size=8).map("".join), max_size=3))
@settings(max_examples=300)
def test_visible_text_is_what_a_parser_finds(pages: list[str]) -> None:
    measures = CodeFormats().measure(files(pages, ["a.html"] * len(pages)))
    assert measures.column("visible_characters").to_pylist() == [visible(page) for page in pages]


@given(st.text("<>!-/asScCrRiIpPtTyYlLeE \n", max_size=80))
@settings(max_examples=300)
def test_broken_markup_gives_some_number(page: str) -> None:
    (count,) = CodeFormats().measure(files([page], ["a.html"])).column("visible_characters").to_pylist()
    assert 0 <= count <= len(page)


@pytest.mark.realdata
def test_visible_text_of_real_pages_is_about_what_a_parser_finds(realdata: Path) -> None:
    folder = realdata / "web/mozilla_readability_pages"
    paths = sorted(folder.rglob("source.html"))[:40]
    assert len(paths) == 40
    pages = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    counts = CodeFormats().measure(files(pages, ["a.html"] * len(pages))).column("visible_characters").to_pylist()
    near = [abs(count - visible(page)) <= 0.02 * visible(page) for page, count in zip(pages, counts, strict=True)]
    assert sum(near) >= 38


@pytest.mark.parametrize(
    "page", ["<" * 1_000_000, "<!--" * 250_000, "<script>" * 125_000, "<script></" * 100_000, "<a" * 500_000]
)
def test_hostile_pages_take_time_that_grows_with_their_length_only(page: str) -> None:
    CodeFormats().measure(files(["a"], ["a.html"]))
    start = time.process_time()
    CodeFormats().measure(files([page], ["a.html"]))
    assert time.process_time() - start < 2
