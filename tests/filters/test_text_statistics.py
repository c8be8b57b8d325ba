"""The text statistics against plain-Python twins, on random and hostile text."""

from __future__ import annotations

import re
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, PUNCTUATION, TERMINAL
from corpusmill.filters.text_statistics import (
    DUPLICATE_SIZES,
    TOP_SIZES,
    line_counts,
    per_document,
    ratio,
    repetition_counts,
    word_counts,
)

STOP_WORDS = ("the", "of", "a", "漢")
CHARACTERS = " \n\n\r\t\x0b\x1d\x85\u2028\xa0aAb1_.…#•-!。é漢ไ😀\u0301"
TEXTS = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=80),
    st.lists(st.sampled_from(["the ", "of ", "a ", "b\n", ". ", "\n\n", "ab c ", "... ", "- x\r\n"]), max_size=60).map(
        "".join
    ),
)
BATCHES = st.lists(TEXTS, max_size=4)


def class_bit(character: str, bit: int) -> bool:
    return bool(CLASSES[ord(character)] & bit)


def duplicates_twin(pieces: list[str]) -> tuple[int, int, int]:
    met: set[str] = set()
    duplicates = [piece for piece in pieces if piece in met or met.add(piece)]
    return len(pieces), len(duplicates), sum(map(len, duplicates))


def top_twin(words: list[str], n: int) -> int:
    grams = [" ".join(words[place : place + n]) for place in range(len(words) - n + 1)]
    gram, times = Counter(grams).most_common(1)[0] if grams else ("", 0)
    return len(gram) * times


def repeated_twin(words: list[str], n: int) -> int:
    met: set[tuple[str, ...]] = set()
    total = place = 0
    while place + n <= len(words):
        gram = tuple(words[place : place + n])
        if gram in met:
            total += sum(map(len, gram))
            place += n
        else:
            met.add(gram)
            place += 1
    return total


@settings(max_examples=300)
@given(BATCHES)
@example(["", "...", "\r\n", "a....\r\n…\n\n - •\n..", "•a\u2028\x85-\n", "a ... \n  ", "#…#", ". . .", "a.\n.."])
def test_word_counts_are_those_of_the_twin(words_of, texts):
    counts = word_counts(TextBatch.of_texts(texts), STOP_WORDS)
    for row, text in enumerate(texts):
        tokens = words_of(text)
        words = [token for token in tokens if not all(class_bit(character, PUNCTUATION) for character in token)]
        lines = text.splitlines()
        assert {name: int(getattr(counts, name)[row]) for name in counts.__dataclass_fields__} == {
            "tokens": len(tokens),
            "words": len(words),
            "letters": sum(map(len, words)),
            "alphabetic": sum(any(character.isalpha() for character in token) for token in tokens),
            "stop_words": len({*STOP_WORDS} & {*tokens}),
            "hashes": text.count("#"),
            "ellipses": text.count("...") + text.count("…"),
            "lines": len(lines),
            "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines),
            "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines),
        }


@settings(max_examples=300)
@given(BATCHES)
@example(["", "\n", "\n\na\n\n", "a\n\na\n \n\na", "a a a a a a a a a a a a a a", "a b a b a b c a b", "ab c ab c"])
@example(["x y x y y x y x x y", "one two three four five six one two three four five six"])
def test_repetition_counts_are_those_of_the_twin(words_of, texts):
    counts = repetition_counts(TextBatch.of_texts(texts))
    for row, text in enumerate(texts):
        words = words_of(text)
        assert counts.characters[row] == len(text)
        assert (
            counts.paragraphs[row],
            counts.duplicate_paragraphs[row],
            counts.duplicate_paragraph_characters[row],
        ) == duplicates_twin(re.split(r"\n{2,}", text.strip()))
        assert (
            counts.lines[row],
            counts.duplicate_lines[row],
            counts.duplicate_line_characters[row],
        ) == duplicates_twin(re.split(r"\n+", text))
        assert {n: int(counts.top[n][row]) for n in counts.top} == {n: top_twin(words, n) for n in TOP_SIZES}
        assert {n: int(counts.duplicates[n][row]) for n in counts.duplicates} == {
            n: repeated_twin(words, n) for n in DUPLICATE_SIZES
        }


@settings(max_examples=300)
@given(BATCHES, st.integers(0, 6))
@example(["", "\n \n", "a\na\n\n b \n b \n", "é。\n漢漢。\n. \n."], 2)
def test_line_counts_are_those_of_the_twin(words_of, texts, short):
    counts = line_counts(TextBatch.of_texts(texts), short)
    for row, text in enumerate(texts):
        lines = [line for line in text.split("\n") if line.strip()]
        assert {name: int(getattr(counts, name)[row]) for name in counts.__dataclass_fields__} == {
            "lines": len(lines),
            "punctuated": sum(class_bit(line[-1], TERMINAL) for line in lines),
            "short": sum(len(line) <= short for line in lines),
            "duplicate_characters": duplicates_twin(lines)[2],
            "characters": len(text.replace("\n", "")),
            "newlines": text.count("\n"),
            "tokens": len(words_of(text)),
        }


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(-9, 9), max_size=6), max_size=6))
def test_sums_are_made_document_by_document(rows):
    firsts = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    assert per_document(np.array([value for row in rows for value in row], np.int64), firsts).tolist() == [
        sum(row) for row in rows
    ]


def test_a_ratio_to_nothing_is_null():
    assert ratio(np.array([1, 0, 3]), np.array([2, 0, 0])).to_pylist() == [0.5, None, None]


def test_words_count_by_the_last_document_that_met_a_stop_word_too():
    counts = word_counts(TextBatch.of_texts(["the of the", "the", "", "of of", "the of"]), ("the", "of"))
    assert counts.stop_words.tolist() == [2, 1, 0, 1, 2]


def test_counts_are_made_once_for_equal_parameters():
    batch = TextBatch.of_texts(["the word of it"])
    assert word_counts(batch, ("the",)) is word_counts(batch, ("the",))
    assert word_counts(batch, ("the",)) is not word_counts(batch, ("of",))
    assert line_counts(batch, 3) is line_counts(batch, 3)
    assert line_counts(batch, 3) is not line_counts(batch, 4)
    assert repetition_counts(batch) is repetition_counts(batch)


def test_counts_are_the_same_for_a_slice_of_a_batch():
    texts = ["the first ... text\n", "the second of two\n\n- the second of two", "漢字 #3"]
    whole = TextBatch.of_texts(["before", *texts, "after"])
    sliced, fresh = TextBatch(whole.documents.slice(1, 3)), TextBatch.of_texts(texts)
    for count in (lambda batch: word_counts(batch, STOP_WORDS), lambda batch: line_counts(batch, 9), repetition_counts):
        ours, expected = count(sliced), count(fresh)
        for name in expected.__dataclass_fields__:
            np.testing.assert_equal(getattr(ours, name), getattr(expected, name))


@pytest.mark.parametrize(
    "text",
    [
        "a " * 500_000,
        "a b " * 250_000,
        "." * 1_000_000,
        "\n" * 1_000_000,
        "a\n\n" * 300_000,
        "aé" * 300_000,
        "漢" * 300_000,
    ],
    ids=["one word", "two words", "full stops", "newlines", "paragraphs", "one long word", "ideographs"],
)
def test_hostile_repetition_takes_time_that_grows_with_the_text_only(text):
    warm_up = TextBatch.of_texts(["a"])
    word_counts(warm_up, STOP_WORDS), repetition_counts(warm_up), line_counts(warm_up, 30)
    start = time.process_time()
    batch = TextBatch.of_texts([text])
    word_counts(batch, STOP_WORDS), repetition_counts(batch), line_counts(batch, 30)
    assert time.process_time() - start < 5  # 0.1 s; one step for each pair of words would take minutes


def test_what_is_shared_cannot_be_written_to():
    batch = TextBatch.of_texts(["the word"])
    for counts in (word_counts(batch, STOP_WORDS), line_counts(batch, 30)):
        for name in counts.__dataclass_fields__:
            assert not getattr(counts, name).flags.writeable
    assert not any(array.flags.writeable for array in repetition_counts(batch).top.values())
