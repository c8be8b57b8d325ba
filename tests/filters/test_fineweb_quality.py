"""FineWeb's quality rules: titled cases, and datatrove's filter as the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import fineweb_quality_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.fineweb_quality import FineWebQuality, Reason

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "fineweb_quality.jsonl").read_text(encoding="utf-8").splitlines()
]
REASONS = {
    "empty": Reason.EMPTY,
    "line_punct_ratio": Reason.FEW_LINES_END_IN_PUNCTUATION,
    "short_line_ratio": Reason.SHORT_LINES,
    "char_dup_ratio": Reason.DUPLICATE_LINES,
    "list_ratio": Reason.LIST_LIKE,
}


def text_of(case: dict[str, Any]) -> str:
    return case["text"] if isinstance(case["text"], str) else "".join(piece * times for piece, times in case["text"])


def reasons_of(stage: FineWebQuality, texts: list[str]) -> list[str | None]:
    verdicts = stage.judge(stage.measure(TextBatch.of_texts(texts))).to_pylist()
    return [None if index is None else list(Reason)[index].value for index in verdicts]


def oracle(block: Any, text: str) -> str | None:
    verdict = block.filter(Document(text=text, id=""))
    return None if verdict is True else REASONS[verdict[1]].value


@pytest.fixture(scope="module")
def datatrove(words_of):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fineweb_quality_filter, "split_into_words", words_of)
        yield fineweb_quality_filter.FineWebQualityFilter


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_judged_as_its_title_says(case):
    assert reasons_of(FineWebQuality(**case["options"]), [text_of(case)]) == [case["reason"]]


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


@pytest.mark.realdata
def test_decisions_and_reasons_equal_datatroves_on_real_documents(datatrove, english_texts):
    ours = reasons_of(FineWebQuality(), english_texts)
    theirs = [oracle(datatrove(), text) for text in english_texts]
    assert len(english_texts) > 2500
    assert [row for row in range(len(ours)) if ours[row] != theirs[row]] == []
    assert {*ours} == {None, *(reason.value for reason in Reason)}  # every rule was tripped


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["one more line.", "words ", "\n", "a line that is much longer than thirty characters", "。\n", " \n", "."]
        ),
        max_size=30,
    ),
    st.integers(0, 40),
)
def test_decisions_equal_datatroves_on_hostile_text(datatrove, pieces, short):
    text = "".join(pieces)
    theirs = oracle(datatrove(short_line_length=short), text)
    assert reasons_of(FineWebQuality(short_line_characters=short), [text]) == [theirs]


def test_differs_from_the_plain_pattern_in_that_each_ideograph_is_a_word(monkeypatch):
    monkeypatch.setattr(fineweb_quality_filter, "split_into_words", lambda text, language: text.split())
    text = "山高水長。\n" * 1 + "流水不腐。\n" + "戶樞不蠹。"
    assert oracle(fineweb_quality_filter.FineWebQualityFilter(short_line_length=2), text) == Reason.LIST_LIKE
    assert reasons_of(FineWebQuality(short_line_characters=2), [text]) == [None]


def test_thresholds_do_not_change_what_is_measured():
    batch = TextBatch.of_texts([text_of(case) for case in CASES])
    off = FineWebQuality(
        min_punctuated_lines=None, max_short_lines=None, max_duplicate_line_characters=None, max_newlines_per_token=None
    )
    measures = FineWebQuality().measure(batch)
    assert off.measure(batch) == measures
    assert off.judge(measures).to_pylist() == [0 if not text_of(case).strip() else None for case in CASES]


def test_a_batch_of_no_documents_has_no_verdicts():
    assert reasons_of(FineWebQuality(), []) == []
