from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, SOLO, WORD
from corpusmill.documents.compiled import frozen
from corpusmill.mix import evidence as module
from corpusmill.mix.characters import windows_of
from corpusmill.mix.corruption import KINDS, corrupted_shares
from corpusmill.mix.evidence import (
    NAMED,
    PAIRED,
    Evidence,
    Gathering,
    Streams,
    language_groups,
    measured,
    strange_from,
    streams_of,
)


class Language:
    """A language made up: its words have syllables of its letters, and each word has few that follow it."""

    def __init__(self, seed: int, consonants: str = "bdfgklmnprstvz", vowels: str = "aeiou", size: int = 1500) -> None:
        self.chance = random.Random(seed)
        self.consonants, self.vowels = consonants, vowels
        self.words = sorted({self.word() for _ in range(size)})
        self.chance.shuffle(self.words)
        ranks = [1 / (rank + 2) for rank in range(len(self.words))]
        self.followers = [self.chance.choices(range(len(self.words)), ranks, k=12) for _ in self.words]

    def word(self) -> str:
        syllables = self.chance.choices([1, 2, 3], [3, 4, 2])[0]
        return "".join(self.chance.choice(self.consonants) + self.chance.choice(self.vowels) for _ in range(syllables))

    def text(self, words: int = 300) -> str:
        found, word = [], self.chance.randrange(len(self.words))
        for _ in range(words):
            found.append(self.words[word])
            word = self.chance.choice(self.followers[word])
        return " ".join(found)


def gathered(texts: list[str]) -> Evidence:
    gathering = Gathering()
    for start in range(0, len(texts), 50):
        gathering.add(TextBatch.of_texts(texts[start : start + 50]))
    return gathering.evidence()


def shares(texts: list[str], evidence: Evidence) -> dict[str, list[float]]:
    found = corrupted_shares(TextBatch.of_texts(texts), evidence)
    return dict(zip(KINDS, found.T.tolist(), strict=True))


def all_lost(texts: list[str], evidence: Evidence) -> np.ndarray:
    return corrupted_shares(TextBatch.of_texts(texts), evidence).sum(axis=1)


def mixed_up(text: str, seed: int) -> str:
    words = text.split()
    random.Random(seed).shuffle(words)
    return " ".join(words)


def with_random_letters(text: str, seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) if chance.random() < 0.4 else word
        for word in text.split()
    )


# Kernels and their twins.

words_of_text = st.lists(
    st.sampled_from(["der", "die", "12", "3.5", "über", "straße", "東", "京", "bridge", ".", ",", "river's"]),
    max_size=25,
)


@given(st.lists(words_of_text.map(" ".join), min_size=1, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_stream_of_words_equals_its_plain_twin(texts: list[str], joined: bool) -> None:
    batch = TextBatch.of_texts([text.replace(" ", "") if joined else text for text in texts])
    windows = windows_of(batch.offsets, batch.text)
    streams = streams_of(batch, windows)
    words, found = batch.words, []
    for window, start in enumerate(windows.starts):
        later = windows.starts[window + 1] if window + 1 < len(windows.starts) else batch.offsets[-1]
        before = None
        of_window = []
        for word in range(len(words.starts)):
            if start <= words.starts[word] < later and words.kinds[word] & WORD:
                apart = before is not None and (
                    words.starts[word] > words.ends[before] or bool(words.kinds[word] & SOLO)
                )
                named = bool(words.kinds[word] & ALPHA)
                hashed = int(batch.folded_hashes[word]) if named else int(module._NUMBER)
                of_window.append((hashed, NAMED * named + PAIRED * apart))
                before = word
        found.append(of_window)
    assert [
        list(zip(streams.words[first:last].tolist(), streams.flags[first:last].tolist(), strict=True))
        for first, last in zip(streams.firsts[:-1], streams.firsts[1:], strict=True)
    ] == found


def plain_class(folds: int) -> int:
    return sum(folds > bound for bound in (0, 2, 7, 15, 27))


def plain_measures(streams: Streams, usual: np.ndarray, sums: np.ndarray) -> list[list[float]]:
    """The twin of `learn` and `measure_windows`: sets of folds, and sums one by one."""
    folds: dict[int, set[int]] = {}
    pair_folds: dict[tuple[int, int], set[int]] = {}
    windows = [range(first, last) for first, last in zip(streams.firsts[:-1], streams.firsts[1:], strict=True)]
    for window, places in enumerate(windows):
        for place in places:
            word = int(streams.words[place])
            folds.setdefault(word, set()).add(int(streams.folds[window]))
            if streams.flags[place] & PAIRED:
                pair = (int(streams.words[place - 1]), word)
                pair_folds.setdefault(pair, set()).add(int(streams.folds[window]) % 16)
    found = []
    for window, places in enumerate(windows):
        own = int(streams.folds[window])
        text = [int(streams.words[place]) for place in places]
        flags = [int(streams.flags[place]) for place in places]
        seen = [len(folds[word] - {own}) for word in text]
        strange = sum(
            bool(flag & NAMED) and count == 0 and text.count(word) == 1
            for word, count, flag in zip(text, seen, flags, strict=True)
        )
        firsts = [place - 1 for place, flag in enumerate(flags) if flag & PAIRED]
        order = [place + 1 for place in firsts]
        expected = sum(usual[plain_class(seen[place]), plain_class(seen[place + 1])] ** 2 for place in firsts)
        totals, state = [], 0x2545F4914F6CDD1D + len(firsts)
        for arrangement in range(3):
            for pair in range(len(order) - 1, 0, -1) if arrangement else ():
                state = (state * 0x5851F42D4C957F2D + 0x14057B7EF767814F) % 2**64
                other = ((state >> 32) * (pair + 1)) >> 32
                order[pair], order[other] = order[other], order[pair]
            totals.append(0.0)
            for first, second in zip(firsts, order, strict=True):
                others = pair_folds.get((text[first], text[second]), set()) - {own % 16}
                kinds = plain_class(seen[first]), plain_class(seen[second])
                totals[-1] += usual[kinds] * math.log2(1 + len(others))
                sums[*kinds, 2 * (arrangement > 0)] += math.log2(1 + len(others))
                sums[*kinds, 2 * (arrangement > 0) + 1] += 1
        named = sum(bool(flag & NAMED) for flag in flags)
        found.append([named, strange, totals[0] - (totals[1] + totals[2]) / 2, expected, totals[2] - totals[1]])
    return found


@given(st.lists(st.lists(st.integers(0, 12), max_size=30), min_size=1, max_size=8), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_the_measures_equal_their_plain_twin(texts: list[list[int]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    hashes = chance.integers(1, 2**64, 13, np.uint64)  # 13 words fall on 13 slots
    flags = [[PAIRED * (place > 0 and word % 5 > 0) + NAMED * (word % 4 > 0) for place, word in enumerate(text)]
             for text in texts]  # fmt: skip
    streams = Streams(
        frozen(np.cumsum([0, *map(len, texts)]).astype(np.int32)),
        frozen(np.array([hashes[word] for text in texts for word in text], np.uint64)),
        frozen(np.array([flag for row in flags for flag in row], np.uint8)),
        frozen(chance.integers(0, 32, len(texts)).astype(np.uint8)),
        frozen(np.zeros(len(texts), np.int32)),
    )
    words, pairs = np.zeros(1 << module.WORD_BITS, np.uint32), np.zeros(1 << module.PAIR_BITS, np.uint16)
    module.learn(streams.firsts, streams.folds, streams.words, streams.flags, words, pairs)
    usual = frozen(chance.random((6, 6)))
    sums, found = measured(streams, frozen(words), frozen(pairs), usual, frozen(np.ones(len(texts), np.bool_)))
    expected_sums = np.zeros((6, 6, 4))
    assert np.allclose(found, plain_measures(streams, usual, expected_sums))
    assert np.allclose(sums, expected_sums)


@given(st.lists(st.text("aü東🙂 ", max_size=12), min_size=1, max_size=5), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_beginnings_end_between_characters(texts: list[str], most: int) -> None:
    batch = TextBatch.of_texts(texts)
    ends = np.empty(len(texts), np.int32)
    module.find_beginnings(batch.offsets, batch.text, most, ends)
    expected = [text.encode()[:most].decode("utf-8", "ignore") for text in texts]
    assert [
        batch.text[start:end].tobytes().decode() for start, end in zip(batch.offsets[:-1], ends, strict=True)
    ] == expected


# What it is for.


@pytest.fixture(scope="module")
def sound() -> list[str]:
    language = Language(1)
    return [language.text() for _ in range(300)]


def test_sound_text_of_a_language_that_nobody_knows_loses_nothing(sound: list[str]) -> None:
    found = shares(sound, gathered(sound))
    assert {kind: max(values) for kind, values in found.items() if kind != "truncated"} == dict.fromkeys(KINDS[:6], 0)


@pytest.mark.parametrize("count", [15, 75, 150])
def test_shuffled_documents_are_told_from_the_others(sound: list[str], count: int) -> None:
    texts = [mixed_up(text, number) for number, text in enumerate(sound[:count])] + sound[count:]
    found = shares(texts, gathered(texts))["shuffled"]
    assert np.mean(found[:count]) > 0.95
    assert np.mean(found[count:]) < 0.02


@pytest.mark.parametrize("count", [15, 75, 150])
def test_documents_of_random_words_are_told_from_the_others(sound: list[str], count: int) -> None:
    texts = [with_random_letters(text, number) for number, text in enumerate(sound[:count])] + sound[count:]
    lost = all_lost(texts, gathered(texts))
    assert np.mean(lost[:count]) > 0.95
    assert np.mean(lost[count:]) < 0.02


def test_copies_of_a_garbled_document_do_not_vouch_for_it(sound: list[str]) -> None:
    garbled = [with_random_letters(text, number) for number, text in enumerate(sound[:20])]
    texts = garbled * 5 + sound[20:]
    assert np.mean(all_lost(garbled, gathered(texts))) > 0.95


def test_a_second_language_is_not_garbled_because_it_is_rarer(sound: list[str]) -> None:
    other = Language(2, "бвгдклмнпрст", "аеиоу", size=6000)
    texts = sound + [other.text() for _ in range(60)]
    found = np.array([shares(texts, gathered(texts))[kind] for kind in ("garbled", "shuffled")])
    assert found.sum(axis=0)[300:].mean() < 0.05


def test_a_book_with_shuffled_pages_loses_these_pages(sound: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_SAMPLED", 200)
    pages = [mixed_up(text, 1) if number in (3, 4) else text for number, text in enumerate(sound[:20])]
    found = shares([" ".join(pages)], gathered(sound[20:]))
    assert 0.05 < found["shuffled"][0] < 0.2


def test_evidence_depends_neither_on_order_nor_on_copies_nor_on_batches(sound: list[str]) -> None:
    one, other = gathered(sound), gathered([*sound[::-1], *sound[:70]])
    assert np.array_equal(one.words, other.words)
    assert np.array_equal(one.pairs, other.pairs)
    assert np.array_equal(one.known, other.known)
    assert (one.chance, one.languages) == (other.chance, other.languages)


def test_large_samples_are_thinned_alike_in_any_order(sound: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLED_WINDOWS", 60)
    monkeypatch.setattr(module, "MIN_SAMPLED", 60)
    one, other = gathered(sound), gathered(sound[::-1])
    assert (one.chance, one.languages) == (other.chance, other.languages)
    assert one.languages != gathered(sound[:150]).languages


def test_too_few_windows_say_nothing(sound: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert gathered(sound[: module.MIN_SAMPLED]).languages
    assert gathered(sound[: module.MIN_SAMPLED - 1]).languages == {}
    monkeypatch.setattr(module, "MIN_SAMPLED", 1)
    few = [mixed_up(text, 1) for text in sound[: module.MIN_WINDOWS - 1]]
    assert gathered(few).languages == {}


def test_spoilt_characters_are_no_evidence(sound: list[str]) -> None:
    assert not gathered(["\ufffd" + text.replace(" ", " \ufffd") for text in sound[:60]]).words.any()


def test_a_label_counts_to_the_language_whose_words_it_has() -> None:
    chance = np.random.default_rng(1)

    def windows(language: int, low: int, high: int, count: int) -> list[tuple[int, np.ndarray]]:
        return [(language, chance.integers(low, high, 100).astype(np.uint64)) for _ in range(count)]

    rows = [*windows(5, 0, 150, 50), *windows(7, 0, 150, 3), *windows(9, 1000, 1150, 20), *windows(2, 1000, 1150, 4)]
    streams = Streams(
        frozen(np.arange(0, 100 * len(rows) + 1, 100, dtype=np.int32)),
        frozen(np.concatenate([words for _, words in rows])),
        frozen(np.full(100 * len(rows), NAMED, np.uint8)),
        frozen(np.zeros(len(rows), np.uint8)),
        frozen(np.array([language for language, _ in rows], np.int32)),
    )
    assert language_groups(streams).tolist() == [5] * 53 + [9] * 24


def test_strange_windows_are_parted_from_sound_ones_in_the_middle() -> None:
    chance = np.random.default_rng(1)
    sound, strange = chance.normal(0.02, 0.005, 600), chance.normal(0.2, 0.02, 400)
    assert strange_from(np.concatenate([sound, strange])) == pytest.approx(0.11, abs=0.005)


def test_windows_of_one_kind_are_not_parted() -> None:
    usual = np.random.default_rng(1).normal(0.16, 0.05, 1000)
    assert strange_from(usual) > usual.max()


def test_copies_in_the_dataset_do_not_make_the_rest_strange() -> None:
    chance = np.random.default_rng(1)
    copies, rest = np.zeros(300), chance.normal(0.17, 0.02, 700)
    assert strange_from(np.concatenate([copies, rest])) > rest.max()
