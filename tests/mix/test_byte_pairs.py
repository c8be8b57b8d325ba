from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.batch import text_buffers
from corpusmill.mix import byte_pairs
from corpusmill.mix.byte_pairs import HARD, Encoder, Merges
from corpusmill.mix.pretokens import GPT2, Pattern

LETTERS = "abc"
PATTERN = Pattern(family=GPT2)


def merged(word: bytes, pairs: Mapping[tuple[int, int], tuple[int, int]]) -> list[int]:
    """The twin: the lowest rank first, of equal ones the leftmost, one pair at a time."""
    ids = list(word)
    while found := [(pairs[pair][0], place) for place, pair in enumerate(pairwise(ids)) if pair in pairs]:
        _, place = min(found)
        ids[place : place + 2] = [pairs[ids[place], ids[place + 1]][1]]
    return ids


@st.composite
def vocabularies(draw: st.DrawFn) -> dict[tuple[int, int], tuple[int, int]]:
    """Merges of three letters and of what was merged before, in any order of ranks."""
    count = draw(st.integers(0, 12))
    ranks = draw(st.permutations(range(count)))
    known = list(LETTERS.encode())
    pairs: dict[tuple[int, int], tuple[int, int]] = {}
    for number in range(count):
        pair = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        if pair not in pairs:
            pairs[pair] = ranks[number], 256 + number
            known.append(256 + number)
    return pairs


def encoder(pairs: Mapping[tuple[int, int], tuple[int, int]], whole: Mapping[bytes, int] | None = None) -> Encoder:
    return Encoder(Merges(bytes_to_ids=range(256), pairs=pairs, whole=whole or {}, pattern=PATTERN))


def encoded(some: Encoder, texts: list[str]) -> list[list[int]]:
    counts, ids = some.encode(*text_buffers(pa.array(texts, pa.string())), keep=True)
    ends = np.cumsum(np.maximum(counts, 0)).tolist()
    return [ids[start:end].tolist() for start, end in pairwise([0, *ends])]


@given(vocabularies(), st.lists(st.text(LETTERS, max_size=200), max_size=4))
def test_pairs_are_merged_by_rank_and_then_from_the_left(
    pairs: dict[tuple[int, int], tuple[int, int]], words: list[str]
) -> None:
    some = encoder(pairs)
    expected = [merged(word.encode(), pairs) for word in words]
    assert encoded(some, words) == expected
    assert encoded(some, words) == expected  # from memory
    counts, none = some.encode(*text_buffers(pa.array(words, pa.string())), keep=False)
    assert counts.tolist() == [len(ids) for ids in expected]
    assert len(none) == 0


def test_what_is_remembered_changes_nothing_even_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = {(97, 98): (0, 256), (256, 99): (1, 257)}
    words = [f"{'abc' * (number % 7)}{number} " for number in range(3000)]
    roomy = encoded(encoder(pairs), words)
    monkeypatch.setattr(byte_pairs, "_SLOTS", 16)
    narrow = encoder(pairs, {b"abcabc": 300})
    assert encoded(encoder(pairs), words) == roomy
    assert encoded(narrow, ["abcabc", *words, "abcabc"])[0] == [300]
    assert encoded(narrow, ["abcabc abc"]) == [[300, 32, 257]]  # after it was emptied many times


def test_pretokens_that_begin_alike_are_told_apart() -> None:
    some = encoder({(97, 97): (0, 256)})
    words = ["a" * length for length in range(1, 140)] + ["a" * 8 + "\0", "a" * 7 + "\0", "b\0", "b\0\0", "b"]
    expected = [merged(word.encode(), {(97, 97): (0, 256)}) for word in words]
    for _ in range(2):
        assert encoded(some, [word.replace("\0", "\0") for word in words]) == expected


def test_a_text_with_characters_that_no_class_is_known_of_is_left_to_others() -> None:
    counts, ids = encoder({}).encode(*text_buffers(pa.array(["ab", "a\u0378", "", "c"])), keep=True)
    assert counts.tolist() == [2, HARD, 0, 1]
    assert bytes(ids.astype(np.uint8)) == b"abc"


def test_a_slice_of_an_array_is_read_from_its_own_beginning() -> None:
    texts = pa.array(["xx", "ab", "c"]).slice(1)
    counts, ids = encoder({}).encode(*text_buffers(texts), keep=True)
    assert (counts.tolist(), bytes(ids.astype(np.uint8))) == ([2, 1], b"abc")


@pytest.mark.parametrize("text", ["ab" * 500_000, "a" * 1_000_000, " " * 1_000_000, "abcacb" * 160_000 + " "])
def test_a_megabyte_without_a_space_takes_no_more_than_its_share_of_time(text: str) -> None:
    pairs = {(97, 98): (0, 256), (256, 256): (1, 257), (97, 97): (2, 258), (258, 258): (3, 259), (32, 32): (4, 260)}
    some = encoder(pairs)
    encoded(some, ["ab" * 100])
    began = time.process_time()
    counts, _ = some.encode(*text_buffers(pa.array([text])), keep=False)
    assert time.process_time() - began < 5  # half a second; quadratic would be hours
    assert 0 < counts[0] < len(text)
