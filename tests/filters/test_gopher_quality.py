"""Gopher's quality rules: titled cases, and datatrove's filter as the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import gopher_quality_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.gopher_quality import GopherQuality, Reason

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "gopher_quality.jsonl").read_text(encoding="utf-8").splitlines()
]
REASONS = {
    "gopher_short_doc": Reason.TOO_FEW_WORDS,
    "gopher_long_doc": Reason.TOO_MANY_WORDS,
    "gopher_below_avg_threshold": Reason.SHORT_WORDS,
    "gopher_above_avg_threshold": Reason.LONG_WORDS,
    "gopher_too_many_hashes": Reason.TOO_MANY_HASHES,
    "gopher_too_many_ellipsis": Reason.TOO_MANY_ELLIPSES,
    "gopher_too_many_bullets": Reason.TOO_MANY_BULLETS,
    "gopher_too_many_end_ellipsis": Reason.TOO_MANY_ELLIPSIS_LINES,
    "gopher_below_alpha_threshold": Reason.TOO_FEW_ALPHABETIC_WORDS,
    "gopher_enough_stop_words": Reason.TOO_FEW_STOP_WORDS,
}


def text_of(case: dict[str, Any]) -> str:
    return case["text"] if isinstance(case["text"], str) else "".join(piece * times for piece, times in case["text"])


def reasons_of(stage: GopherQuality, texts: list[str]) -> list[str | None]:
    verdicts = stage.judge(stage.measure(TextBatch.of_texts(texts))).to_pylist()
    return [None if index is None else list(Reason)[index].value for index in verdicts]


def oracle(block: Any, text: str) -> str | None:
    verdict = block.filter(Document(text=text, id=""))
    return None if verdict is True else REASONS[verdict[1]].value


@pytest.fixture
def datatrove(monkeypatch, words_of):
    monkeypatch.setattr(gopher_quality_filter, "split_into_words", words_of)
    return gopher_quality_filter.GopherQualityFilter


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_judged_as_its_title_says(case):
    options = {key: tuple(value) if key == "stop_words" else value for key, value in case["options"].items()}
    assert reasons_of(GopherQuality(**options), [text_of(case)]) == [case["reason"]]


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


@pytest.mark.realdata
def test_decisions_and_reasons_equal_datatroves_on_real_documents(datatrove, english_texts):
    ours = reasons_of(GopherQuality(), english_texts)
    theirs = [oracle(datatrove(), text) for text in english_texts]
    assert len(english_texts) > 2500
    assert [row for row in range(len(ours)) if ours[row] != theirs[row]] == []
    assert len(set(ours)) >= 7  # most rules were tripped


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["the ", "of ", "word ", "a", "42 ", "#", "... ", "… ", "\n- ", "\r\n", "\n• ", "! ", "漢字 ", "\u2028"]
        ),
        min_size=1,
        max_size=40,
    )
)
def test_decisions_equal_datatroves_on_hostile_text(words_of, pieces):
    text = "".join(pieces)
    if not any(word.isalnum() for word in words_of(text)):
        return  # where it divides by zero
    real = gopher_quality_filter.split_into_words
    gopher_quality_filter.split_into_words = words_of
    try:
        theirs = oracle(gopher_quality_filter.GopherQualityFilter(min_doc_words=3, min_avg_word_length=2), text)
    finally:
        gopher_quality_filter.split_into_words = real
    assert reasons_of(GopherQuality(min_words=3, min_mean_word_length=2), [text]) == [theirs]


def test_differs_from_datatrove_where_there_is_no_word_at_all(datatrove):
    options = {"min_doc_words": None, "min_avg_word_length": None, "max_avg_word_length": None}
    with pytest.raises(ZeroDivisionError), pytest.warns(RuntimeWarning):
        datatrove(**options).filter(Document(text="", id=""))
    assert reasons_of(GopherQuality(min_words=None), ["", "\n \n"]) == [Reason.TOO_FEW_STOP_WORDS] * 2
    assert reasons_of(GopherQuality(min_words=None, min_stop_words=None), ["", "\n \n"]) == [None, None]


def test_differs_from_datatrove_in_that_a_threshold_of_zero_is_a_threshold(datatrove):
    text = "# " + "the words of a text " * 20
    assert oracle(datatrove(max_symbol_word_ratio=0), text) is None
    assert reasons_of(GopherQuality(max_hashes_per_token=0), [text]) == [Reason.TOO_MANY_HASHES]


def test_differs_from_the_plain_pattern_in_that_each_ideograph_is_a_word(monkeypatch):
    monkeypatch.setattr(gopher_quality_filter, "split_into_words", lambda text, language: text.split())
    text = "漢字" * 30
    assert oracle(gopher_quality_filter.GopherQualityFilter(), text) == Reason.TOO_FEW_WORDS
    assert GopherQuality().measure(TextBatch.of_texts([text])).column("words").to_pylist() == [60]


def test_thresholds_do_not_change_what_is_measured():
    batch = TextBatch.of_texts([text_of(case) for case in CASES])
    strict = GopherQuality(min_words=10**6, max_mean_word_length=0, min_stop_words=9)
    assert strict.measure(batch) == GopherQuality().measure(batch)
    assert strict.judge(GopherQuality().measure(batch)).to_pylist() == [0] * len(CASES)


def test_every_rule_can_be_turned_off():
    off = GopherQuality(
        min_words=None, max_words=None, min_mean_word_length=None, max_mean_word_length=None, max_hashes_per_token=None,
        max_ellipses_per_token=None, max_bullet_lines=None, max_ellipsis_lines=None, min_alphabetic_tokens=None,
        min_stop_words=None,
    )  # fmt: skip
    assert reasons_of(off, [text_of(case) for case in CASES]) == [None] * len(CASES)


@pytest.mark.parametrize(("stop_word", "words"), [("don't", 3), ("of the", 2), ("", 0)])
def test_a_stop_word_that_could_never_be_met_is_refused(stop_word, words):
    with pytest.raises(RecipeError, match=rf'gopher_quality\.stop_words: "{stop_word}" is {words} words'):
        GopherQuality(stop_words=("the", stop_word)).prepare()
    GopherQuality().prepare()


def test_a_batch_of_no_documents_has_no_verdicts():
    assert reasons_of(GopherQuality(), []) == []
