"""Books: cases of both stages, measures of scans against plain Python, and real books that must stay whole."""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.books import BookMatter, OcrNoise, Reason, body_of

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

MATTER, NOISE = cases("book_matter"), cases("ocr_noise")


def whole(text: str | list[tuple[str, int]]) -> str:
    return text if isinstance(text, str) else "".join(piece * times for piece, times in text)


@pytest.mark.parametrize("case", MATTER, ids=lambda case: case["title"])
def test_matter_is_cut_as_the_title_says(case: dict[str, Any]) -> None:
    texts, measures = BookMatter(**case.get("options", {})).rewrite(TextBatch.of_texts([whole(case["text"])]))
    assert texts.to_pylist() == [whole(case["new_text"])]
    assert {name: count for name, count in measures.to_pylist()[0].items() if count} == case["measures"]


def test_every_measure_of_the_rewriter_has_a_case() -> None:
    assert {name for case in MATTER for name in case["measures"]} == {*BookMatter.measures.names}


@pytest.mark.parametrize("case", NOISE, ids=lambda case: case["title"])
def test_a_scan_is_judged_as_its_title_says(case: dict[str, Any]) -> None:
    assert verdicts_of(stage_of(OcrNoise, case), document_of(case)) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in NOISE} - {None} == set(Reason)
    assert [rule.reason for rule in OcrNoise().rules()] == list(Reason)


ODD = set("^~\\<=+{}§¬¦¤¢©®\ufffd■")
WORDS = ("a", "b", "T", "x1y", "c0me", "19th", "1880s", "CC0", "é", "漢", "well")
PIECES = st.sampled_from((*WORDS, "'", "’", "^", "=", "■", "\ufffd", "©", "-", ",", " ", " ", "\n", "«"))
MARKERS = ("*** START OF THE PROJECT GUTENBERG EBOOK A ***", "*** END OF THE PROJECT GUTENBERG EBOOK A ***")
FRONT = ("CONTENTS", "1. a", "2. b", "3. c", "Produced by X", "Transcriber's Note", "", "prose " * 40)


@given(st.lists(st.lists(PIECES, max_size=25).map("".join), max_size=3))
@settings(max_examples=400)
def test_measures_are_those_of_plain_python(texts: list[str]) -> None:
    batch = TextBatch.of_texts(texts)
    for text, row in zip(texts, OcrNoise().measure(batch).to_pylist(), strict=True):
        found = list(re.finditer(r"漢|[^\W漢]+|[^\w\s]", text))
        words = [match for match in found if re.match(r"\w", match.group())]
        single = sum(
            bool(re.fullmatch(r"[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]", match.group()))
            and text[match.start() - 1 : match.start()] not in ("'", "’")
            and text[match.end() : match.end() + 1] not in ("'", "’")
            for match in words
        )
        broken = sum(
            bool(re.search(r"[a-z]", word := match.group()))
            and bool(re.search(r"[A-Za-z].*[0-9]", word) or re.search(r"[0-9](?:.*[A-Za-z]){3}", word))
            for match in words
        )
        for before, sign, after in zip(found, found[1:], found[2:], strict=False):
            touching = before.end() == sign.start() and sign.end() == after.start()
            inside = touching and sign.group() in "^=,\\" and sign not in words
            broken += (
                inside and bool(re.search(r"[^\W\d]", before.group())) and bool(re.search(r"[^\W\d]", after.group()))
            )
        odd = sum(match.group() in ODD for match in found)
        lines = [line.rstrip(" ") for line in text.split("\n") if line.rstrip(" ")]
        hyphens = sum(bool(re.search(r"(?:[A-Za-z]|[^\x00-\x7f])-\Z", line)) for line in lines)
        count = len(words)
        assert row == {
            "single_characters": pytest.approx(single / count) if count else None,
            "odd_signs": pytest.approx(odd / count) if count else None,
            "broken_words": pytest.approx(broken / count) if count else None,
            "hyphenated_lines": pytest.approx(hyphens / len(lines)) if lines else None,
        }


@given(st.lists(st.sampled_from(MARKERS + FRONT), max_size=14).map("\n".join))
@settings(max_examples=300)
def test_what_is_left_of_a_book_is_a_part_of_it(text: str) -> None:
    (left,), measures = BookMatter().rewrite(TextBatch.of_texts([text]))
    start, end = body_of(text)
    assert 0 <= start <= end <= len(text)
    lines = iter(text.split("\n"))
    assert all(line in lines for line in str(left).split("\n") if line)
    assert min(measures.to_pylist()[0].values()) >= 0


@pytest.fixture(scope="module")
def books(realdata: Path) -> list[str]:
    paths = sorted((realdata / "text/books_classic_markdown_a").glob("*/*.md"))[::3]
    return [path.read_text(encoding="utf-8") for path in paths]


@pytest.mark.realdata
def test_clean_books_are_kept_and_stay_whole(books: list[str]) -> None:
    batch = TextBatch.of_texts(books)
    assert verdicts_of(OcrNoise(), batch) == [None] * len(books)
    assert BookMatter().rewrite(batch)[0].to_pylist() == books


@pytest.mark.realdata
def test_books_with_noise_planted_as_scanners_make_it_are_dropped(books: list[str]) -> None:
    chance = random.Random(5)
    swaps = {"e": "c", "l": "1", "o": "0", "i": ";", "m": "ni", "h": "li", "t": "^", "s": "5", "a": "*", "r": ","}
    spoilt = [
        "".join(swaps.get(letter, letter) if chance.random() < 0.06 else letter for letter in book[20_000:50_000])
        for book in books
        if len(book) > 60_000
    ]
    assert len(spoilt) > 20
    assert None not in verdicts_of(OcrNoise(), TextBatch.of_texts(spoilt))


@pytest.mark.parametrize("unit", ["***", f"{MARKERS[0]}\n", "contents\n1. a\n", "Produced by\n", "i. ", "| "])
def test_hostile_books_take_time_that_grows_with_their_length_only(unit: str) -> None:
    start = time.process_time()
    BookMatter().rewrite(TextBatch.of_texts(["gutenberg contents " + unit * (1_000_000 // len(unit))]))
    assert time.process_time() - start < 5
