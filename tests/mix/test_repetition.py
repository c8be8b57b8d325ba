from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.repetition import RUN_WORDS, repetition


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
