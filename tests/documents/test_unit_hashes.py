"""Hashes of lines by their words: equal if and only if the words are, however they are written."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.unit_hashes import unit_hashes

LINES = st.lists(
    st.lists(
        st.sampled_from(["word", "Word", "wörd", "x1", "X2", "10", "20", "٣", "-", "...", "漢字", "über", "a_b"]),
        max_size=4,
    ).map(" ".join),
    max_size=8,
)
FOLDED = str.maketrans("öü", "ou")


def words_of(line: str, digits: bool) -> list[str]:
    words = re.findall(r"[漢字]|\w+", line.lower().translate(FOLDED))
    return words if digits else [re.sub(r"\d", "0", word) for word in words]


@given(LINES, st.booleans(), st.integers(0, 3))
@example(["word x1", "Word - X2", "10 20", "٣٣ 10"], False, 0)
def test_lines_have_equal_hashes_if_and_only_if_their_words_are_equal(lines, digits, cut):
    batch = TextBatch.of_texts(["before", "\n".join(lines[:cut]), "\n".join(lines[cut:])])
    batch = TextBatch(batch.documents.slice(1))
    found = [*"\n".join(lines[:cut]).split("\n"), *"\n".join(lines[cut:]).split("\n")]
    hashes, counts = unit_hashes(batch, batch.lines, digits=digits)
    words = [tuple(words_of(line, digits)) for line in found]
    assert counts.tolist() == [len(of_line) for of_line in words]
    assert [value == 0 for value in hashes.tolist()] == [not of_line for of_line in words]
    assert len(set(hashes.tolist())) == len(set(words))


def test_paragraphs_are_hashed_over_their_line_breaks():
    batch = TextBatch.of_texts(["one\ntwo\n\nthree", "One, two!\n\n\n\nfour"])
    hashes, counts = unit_hashes(batch, batch.paragraphs)
    assert counts.tolist() == [2, 1, 2, 1]
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 3


@pytest.mark.parametrize("digits", [True, False])
def test_a_number_is_no_other_word(digits):
    batch = TextBatch.of_texts(["x1\nx\n1\n0\nx 1"])
    hashes, _ = unit_hashes(batch, batch.lines, digits=digits)
    assert len(set(hashes.tolist())) == (5 if digits else 4)
