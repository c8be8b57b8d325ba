from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.repetition import (
    LINE_DOCUMENTS,
    LINE_SHARE,
    LINE_WORDS,
    RUN_WORDS,
    RepeatedLines,
    line_hashes,
    repetition,
)


def plain(text: str, length: int = RUN_WORDS) -> tuple[int, float]:
    """How many runs are new to the document, and the share of its words' bytes in runs that are not."""
    words = re.findall(r"\w+", text)
    size = min(length, len(words))
    seen: set[tuple[str, ...]] = set()
    covered = [False] * len(words)
    for start in range(len(words) - size + 1 if words else 0):
        run = tuple(words[start : start + size])
        if run in seen:
            covered[start : start + size] = [True] * size
        seen.add(run)
    total = sum(len(word.encode()) for word in words)
    again = sum(len(word.encode()) for word, hit in zip(words, covered, strict=True) if hit)
    return len(seen), again / total if total else 0.0


texts = st.lists(st.sampled_from(["one", "two", "drei", "vier", "été", ".", "\n", "!?"]), max_size=120).map(" ".join)
patterns = st.tuples(texts, st.integers(1, 6)).map(lambda pair: (pair[0] + " ") * pair[1])


@given(st.lists(st.one_of(texts, patterns), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_the_kernel_equals_its_plain_twin(documents: list[str]) -> None:
    firsts, runs, repeated = repetition(TextBatch.of_texts(documents).words)
    expected = [plain(document) for document in documents]
    assert np.diff(firsts).tolist() == [count for count, _ in expected]
    assert len(runs) == firsts[-1]
    assert np.allclose(repeated, [share for _, share in expected])


def test_text_without_words_has_no_runs() -> None:
    firsts, runs, repeated = repetition(TextBatch.of_texts(["", "!!! ???", "\n\n"]).words)
    assert firsts.tolist() == [0, 0, 0, 0]
    assert len(runs) == 0
    assert repeated.tolist() == [0, 0, 0]


def test_a_repeated_paragraph_counts_from_its_second_time_on() -> None:
    paragraph = " ".join(f"word{number}" for number in range(50))
    _, _, repeated = repetition(
        TextBatch.of_texts([paragraph, f"{paragraph}\n\n{paragraph}", f"{paragraph}. " * 4]).words
    )
    assert repeated.tolist() == pytest.approx([0, 1 / 2, 3 / 4])


def test_the_same_run_has_the_same_hash_in_every_document() -> None:
    shared = " ".join(f"word{number}" for number in range(RUN_WORDS))
    firsts, runs, _ = repetition(TextBatch.of_texts([f"before {shared}", f"{shared}, after that", "x"]).words)
    first, second = (set(runs[firsts[number] : firsts[number + 1]].tolist()) for number in (0, 1))
    assert len(first & second) == 1


def test_a_short_phrase_is_no_repetition() -> None:
    text = " ".join(f"at the end of the day it is number{number}" for number in range(100))
    assert repetition(TextBatch.of_texts([text]).words)[2][0] == 0


def plain_lines(documents: list[str]) -> list[float]:
    """The share of each document's bytes in lines of enough words that enough documents have, less one of each."""
    lines = [document.split("\n") for document in documents]
    having = Counter(line for own in lines for line in set(own) if len(re.findall(r"\w+", line)) >= LINE_WORDS)
    many = {line: count for line, count in having.items() if count >= max(LINE_DOCUMENTS, LINE_SHARE * len(documents))}
    shares = []
    for own in lines:
        lost = sum(len(line.encode()) * (1 - 1 / many[line]) for line in own if line in many)
        shares.append(lost / max(1, sum(len(line.encode()) for line in own)))
    return shares


some_lines = st.sampled_from(["a menu of four words", "été wörter stehen hier so", "too short", "", "...!", "home"])


@given(st.lists(st.lists(some_lines, max_size=4).map("\n".join), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_repeated_lines_are_those_of_a_plain_count(documents: list[str]) -> None:
    batch = TextBatch.of_texts(documents)
    shares, _ = RepeatedLines.among(line_hashes(batch), len(documents)).shares(batch)
    assert np.allclose(shares, plain_lines(documents))


def test_words_of_repeated_lines_are_told_from_the_others() -> None:
    batch = TextBatch.of_texts([f"the same line stands here\nnumber {number} is its own" for number in range(20)])
    lines = RepeatedLines.among(line_hashes(batch), 20)
    assert lines.documents.tolist() == [20]
    shares, others = lines.shares(batch)
    assert others.reshape(20, -1).tolist() == [[False] * 5 + [True] * 5] * 20
    assert 0.5 < shares[0] < 0.6


def test_a_line_that_one_document_has_often_is_none_that_many_have() -> None:
    batch = TextBatch.of_texts(["the same line stands here\n" * 50, *["another text of its own"] * 3])
    shares, others = RepeatedLines.among(line_hashes(batch), 4).shares(batch)
    assert shares.tolist() == [0] * 4
    assert others.all()


def test_of_a_large_collection_more_documents_must_have_a_line() -> None:
    batch = TextBatch.of_texts(["thank you very much indeed"] * 15)
    assert len(RepeatedLines.among(line_hashes(batch), 15).hashes) == 1
    assert len(RepeatedLines.among(line_hashes(batch), 1_000_000).hashes) == 0


def test_words_that_do_not_count_are_passed_over() -> None:
    first, second = (" ".join(f"{name}{number}" for number in range(20)) for name in "ab")
    batch = TextBatch.of_texts([f"{first} {second} {first}"])
    counted = np.arange(60) < 40
    assert repetition(batch.words)[2][0] > 0.3
    assert repetition(batch.words, counted)[2][0] == 0
