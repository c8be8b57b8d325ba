"""RedPajama-V2's signals: each against plain Python, and no document dropped."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.redpajama import Reason, RedPajamaSignals

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, verdicts_of

PIECES = st.sampled_from(
    ["the ", "THE ", "Cat", "a1 ", "22 ", ". ", "! ", "...", "{", "}", "#", "\n", " ", "lorem ipsum ", "é"]
)


@pytest.mark.parametrize("case", cases("redpajama_signals"), ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, str | None]) -> None:
    assert list(Reason) == []
    assert verdicts_of(RedPajamaSignals(), document_of(case)) == [case["reason"]]


@given(st.lists(st.lists(PIECES, max_size=30).map("".join), max_size=3))
@settings(max_examples=300)
@example(["the cat sat. THE CAT SAT... {lorem Ipsum}", "", "..."])
def test_signals_are_those_of_plain_python(texts: list[str]) -> None:
    for text, row in zip(texts, RedPajamaSignals().measure(TextBatch.of_texts(texts)).to_pylist(), strict=True):
        words = re.findall(r"\w+", text)
        folded = [word.lower().replace("é", "e") for word in words]
        times = Counter(folded)
        assert row["rps_doc_word_count"] == len(words)
        assert row["rps_doc_num_sentences"] == len(re.findall(r"\b[^.!?]+[.!?]*", text))
        if text:
            assert row["rps_doc_curly_bracket"] == pytest.approx(len(re.findall("[{}]", text)) / len(text))
            assert row["rps_doc_lorem_ipsum"] == pytest.approx(text.lower().count("lorem ipsum") / len(text))
        if words:
            shares = [count / len(words) for count in times.values()]
            assert row["rps_doc_mean_word_length"] == pytest.approx(sum(map(len, words)) / len(words))
            assert row["rps_doc_frac_unique_words"] == pytest.approx(len(times) / len(words))
            assert row["rps_doc_unigram_entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares))
            capitals = sum(bool(re.fullmatch("[A-Z]+", word)) for word in words)
            assert row["rps_doc_frac_all_caps_words"] == pytest.approx(capitals / len(words))
            bare = sum(not re.search(r"[^\W\d_]", word) for word in words)
            assert row["rps_doc_frac_no_alph_words"] == pytest.approx(bare / len(words))
            signs = text.count("#") + sum(len(run) // 3 for run in re.findall(r"\.+", text))
            assert row["rps_doc_symbol_to_word_ratio"] == pytest.approx(signs / len(words))
            spaced = sum(map(len, words)) + len(words) - 1
            pairs = Counter(pairwise(folded))
            best = max(((pairs[pair], -place, pair) for place, pair in enumerate(pairs)), default=(0, 0, ("", "")))
            top = best[0] * (sum(map(len, best[2])) + 1) if best[0] > 1 else None
            if top is not None and list(pairs.values()).count(best[0]) == 1:
                assert row["rps_doc_frac_chars_top_2gram"] == pytest.approx(top / spaced)
        else:
            assert row["rps_doc_unigram_entropy"] is None
            assert row["rps_doc_frac_chars_top_2gram"] is None


def test_repeated_passages_are_measured_in_any_case_and_punctuation() -> None:
    (row,) = (
        RedPajamaSignals()
        .measure(TextBatch.of_texts(["One two three four five! ONE, two: three four five."]))
        .to_pylist()
    )
    assert row["rps_doc_frac_chars_dupe_5grams"] == pytest.approx(0.5)
    assert row["rps_doc_frac_chars_dupe_6grams"] == 0


def test_every_signal_has_its_published_name() -> None:
    assert all(name.startswith("rps_doc_") for name in RedPajamaSignals.measures.names)
    assert len(RedPajamaSignals.measures.names) == 20
