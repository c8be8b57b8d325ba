"""Gopher's repetition rules: titled cases, and datatrove's filter as the oracle."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import gopher_repetition_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.gopher_repetition import GopherRepetition, Reason

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "gopher_repetition.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
REASONS = {
    "empty": Reason.EMPTY,
    "dup_para_frac": Reason.DUPLICATE_PARAGRAPH_FRACTION,
    "dup_para_char_frac": Reason.DUPLICATE_PARAGRAPH_CHARACTERS,
    "dup_line_frac": Reason.DUPLICATE_LINE_FRACTION,
    "dup_line_char_frac": Reason.DUPLICATE_LINE_CHARACTERS,
    **{f"top_{n}_gram": Reason(f"top_{n}_gram") for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": Reason(f"duplicate_{n}_grams") for n in range(5, 11)},
}


def text_of(case: dict[str, Any]) -> str:
    return case["text"] if isinstance(case["text"], str) else "".join(piece * times for piece, times in case["text"])


def reasons_of(stage: GopherRepetition, texts: list[str]) -> list[str | None]:
    verdicts = stage.judge(stage.measure(TextBatch.of_texts(texts))).to_pylist()
    return [None if index is None else list(Reason)[index].value for index in verdicts]


def oracle(block: Any, text: str) -> str | None:
    verdict = block.filter(Document(text=text, id=""))
    return None if verdict is True else REASONS[verdict[1]].value


@pytest.fixture(scope="module")
def datatrove(words_of):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gopher_repetition_filter, "split_into_words", words_of)
        yield gopher_repetition_filter.GopherRepetitionFilter


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_judged_as_its_title_says(case):
    assert reasons_of(GopherRepetition(**case["options"]), [text_of(case)]) == [case["reason"]]


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


@pytest.mark.realdata
def test_decisions_and_reasons_equal_datatroves_on_real_documents(datatrove, english_texts):
    ours = reasons_of(GopherRepetition(), english_texts)
    theirs = [oracle(datatrove(), text) for text in english_texts]
    assert len(english_texts) > 2500
    assert [row for row in range(len(ours)) if ours[row] != theirs[row]] == []
    assert len(set(ours)) >= 10  # most rules were tripped


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["one ", "two, ", "three ", "four. ", "\n", "\n\n", "five 漢字 ", " \n"]), max_size=60))
def test_decisions_equal_datatroves_on_hostile_text(datatrove, pieces):
    text = "".join(pieces)
    assert reasons_of(GopherRepetition(), [text]) == [oracle(datatrove(), text)]


def test_differs_from_datatrove_in_that_n_grams_are_sequences_of_words(datatrove):
    # The second half has other words than the first, but the same letters.
    text = "ab c de f gh " + "a bc d ef gh "
    assert oracle(datatrove(top_n_grams=()), text) == Reason.DUPLICATE_5_GRAMS
    assert reasons_of(GopherRepetition(max_top_2_gram=None, max_top_3_gram=None, max_top_4_gram=None), [text]) == [None]


def test_differs_from_datatrove_in_that_a_threshold_of_zero_is_a_threshold(datatrove):
    text = "One line.\nAnother line, a longer one by far.\nOne line."
    assert oracle(datatrove(dup_line_frac=0, top_n_grams=()), text) is None
    assert reasons_of(GopherRepetition(max_duplicate_line_fraction=0), [text]) == [Reason.DUPLICATE_LINE_FRACTION]


def test_differs_from_the_plain_pattern_in_that_each_ideograph_is_a_word(monkeypatch):
    monkeypatch.setattr(gopher_repetition_filter, "split_into_words", lambda text, language: text.split())
    text = "山高水長" * 8
    assert oracle(gopher_repetition_filter.GopherRepetitionFilter(), text) is None
    assert reasons_of(GopherRepetition(), [text]) == [Reason.TOP_2_GRAM]


def test_thresholds_do_not_change_what_is_measured_and_each_can_be_turned_off():
    batch = TextBatch.of_texts([text_of(case) for case in CASES])
    names = [field.name for field in fields(GopherRepetition)]
    off = GopherRepetition(**dict.fromkeys(names))
    assert len(names) == len(Reason) - 1
    assert off.measure(batch) == GopherRepetition().measure(batch)
    verdicts = off.judge(off.measure(batch)).to_pylist()
    assert verdicts == [0 if text_of(case) == "" else None for case in CASES]


def test_measures_are_named_like_the_reasons_they_give():
    assert GopherRepetition.measures.names == ["characters", *(reason.value for reason in Reason if reason != "empty")]


def test_a_batch_of_no_documents_has_no_verdicts():
    assert reasons_of(GopherRepetition(), []) == []
