"""The estimate of n-gram models against modified Kneser-Ney in plain Python, and what it does with its memory."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.filters import ngram_kernels as kernels
from corpusmill.filters.ngram_kernels import ABSENT, BEGIN, END, RESERVED, UNKNOWN
from corpusmill.filters.ngram_model import Ngrams
from corpusmill.filters.ngram_training import (
    FALLBACK_DISCOUNTS,
    MAX_WORDS,
    Estimate,
    NgramCounter,
    _discounts,
    estimate,
)

Sentence = list[int]
WORDS = st.integers(RESERVED, RESERVED + 6)
SENTENCES = st.lists(st.lists(WORDS, max_size=8), min_size=1, max_size=12).filter(any)


class PlainKneserNey:
    """Interpolated modified Kneser-Ney as the papers have it, with dictionaries (order first to last word)."""

    def __init__(self, sentences: Sequence[Sentence], order: int, min_count: int, prune: Sequence[int]) -> None:
        self.order = order
        raw: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for sentence in sentences:
            tokens = [BEGIN, *sentence, END]
            for end in range(1, len(tokens)):
                for n in range(1, min(order, end + 1) + 1):
                    raw[n][tuple(tokens[end + 1 - n : end + 1])] += 1
        self.types = set(range(RESERVED, max(itertools.chain.from_iterable(sentences)) + 1)) | {END, UNKNOWN}
        self.rare = {word for word in self.types - {END, UNKNOWN} if raw[1][word,] < max(min_count, prune[0] + 1)}
        self.adjusted: list[dict[tuple[int, ...], int]] = [{} for _ in range(order + 1)]
        for n in range(1, order + 1):
            lefts = defaultdict(set)
            for gram in raw[n + 1] if n < order else ():
                lefts[gram[1:]].add(gram[0])
            self.adjusted[n] = {
                gram: count if n == order or gram[0] == BEGIN else len(lefts[gram]) for gram, count in raw[n].items()
            }
        self.kept = {
            gram
            for n in range(1, order + 1)
            for gram, count in raw[n].items()
            if gram == (END,) or (count > prune[n - 1] and self.rare.isdisjoint(gram))
        }
        self.discounts = [self._discounts(n) for n in range(1, order + 1)]
        self.by_context: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
        for n in range(1, order + 1):
            for gram in self.adjusted[n]:
                self.by_context[gram[:-1]].append(gram)

    def _discounts(self, n: int) -> list[float]:
        times = Counter(self.adjusted[n].values())
        found = [0.5, 1.0, 1.5]
        if all(times[k] for k in (1, 2, 3, 4)):
            share = times[1] / (times[1] + 2 * times[2])
            usual = [k - (k + 1) * share * times[k + 1] / times[k] for k in (1, 2, 3)]
            if all(0 < discount <= k for k, discount in enumerate(usual, 1)):
                found = usual
        return [0.0, *found]

    def probability(self, context: tuple[int, ...], word: int) -> float:
        n = len(context) + 1
        if n > 1 and context not in self.kept and context != (BEGIN,):
            return self.probability(context[1:], word)
        grams = self.by_context[context]
        if not grams:
            return self.probability(context[1:], word)
        adjusted, discounts = self.adjusted[n], self.discounts[n - 1]
        total = sum(adjusted[gram] for gram in grams)
        freed = sum(discounts[min(adjusted[gram], 3)] if gram in self.kept else adjusted[gram] for gram in grams)
        gram = (*context, word)
        own = (adjusted[gram] - discounts[min(adjusted[gram], 3)]) / total if gram in self.kept else 0.0
        lower = self.probability(context[1:], word) if n > 1 else 1 / len(self.types)
        return own + freed / total * lower

    def scored(self, sentence: Sentence) -> list[float]:
        tokens = [BEGIN, *sentence, END]
        found = []
        for place in range(1, len(tokens)):
            context = tuple(tokens[max(0, place - self.order + 1) : place])
            found.append(self.probability(context, tokens[place]))
        return found


def arrays(sentences: Sequence[Sentence]) -> tuple[np.ndarray, np.ndarray]:
    words = np.array([word for sentence in sentences for word in sentence], np.uint32)
    return words, np.cumsum([0, *map(len, sentences)], dtype=np.int64)


def trained(
    sentences: Sequence[Sentence], order: int, *, min_count: int = 1, prune: Sequence[int] = (), memory: int = 1 << 30
) -> Estimate:
    with TemporaryDirectory() as folder:
        counter = NgramCounter(order, Path(folder), memory=memory)
        for part in (sentences[::2], sentences[1::2]):
            counter.add(*arrays(part))
        return estimate(counter, min_count=min_count, prune=prune)


def scored(model: Ngrams, sentences: Sequence[Sentence]) -> np.ndarray:
    """Probabilities of all words and ends."""
    words, offsets = arrays(sentences)
    return 10.0 ** model.token_scores(words.astype(np.uint64), offsets).astype(np.float64)


@given(
    SENTENCES,
    st.lists(st.lists(st.integers(RESERVED, RESERVED + 9), max_size=8), min_size=1, max_size=4),
    st.integers(2, 5),
    st.integers(1, 3),
    st.sampled_from([(0, 0, 0, 0, 0), (0, 0, 1, 1, 1), (0, 1, 1, 2, 2), (1, 1, 1, 1, 1)]),
)
@settings(max_examples=150, deadline=None)
def test_probabilities_are_those_of_plain_kneser_ney(
    sentences: list[Sentence], others: list[Sentence], order: int, min_count: int, prune: tuple[int, ...]
) -> None:
    plain = PlainKneserNey(sentences, order, min_count, prune)
    if plain.rare >= plain.types - {END, UNKNOWN}:
        with pytest.raises(InputError, match="none occurs"):
            trained(sentences, order, min_count=min_count, prune=prune[:order])
        return
    made = trained(sentences, order, min_count=min_count, prune=prune[:order])
    for asked in (sentences, others):
        expected = [value for sentence in asked for value in plain.scored(sentence)]
        assert scored(made.ngrams, asked) == pytest.approx(expected, rel=1e-5)
    assert made.kept == tuple(sum(len(gram) == n for gram in plain.kept) - (n == 1) for n in range(1, order + 1))
    assert np.array(made.discounts) == pytest.approx(np.array(plain.discounts)[:, 1:])


@given(SENTENCES, st.integers(2, 5), st.integers(1, 2), st.sampled_from([(), (0, 0, 1), (0, 1, 2)]), st.data())
@settings(max_examples=60, deadline=None)
def test_probabilities_after_any_words_sum_to_one(
    sentences: list[Sentence], order: int, min_count: int, prune: tuple[int, ...], data: st.DataObject
) -> None:
    counts = Counter(itertools.chain.from_iterable(sentences))
    if max(counts.values()) < min_count:
        return
    made = trained(sentences, order, min_count=min_count, prune=prune[:order])
    before = data.draw(st.lists(WORDS, max_size=5))
    types = range(RESERVED, max(counts) + 1)
    ends = np.cumsum([len(before) + 2] * len(types))
    words = scored(made.ngrams, [[*before, word] for word in types])[ends - 2]  # a rare word has what <unk> has
    ending = scored(made.ngrams, [before])[-1]
    unknown = scored(made.ngrams, [[*before, max(counts) + 1]])[len(before)]
    assert words.sum() + ending + unknown == pytest.approx(1.0, abs=1e-5)


@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 255, 256, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)] * 2)))
@settings(max_examples=200, deadline=None)
def test_packed_n_grams_are_sorted_and_equal_ones_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    pairs = [*pairs, *pairs[::2]]
    high, low = (np.array([pair[half] for pair in pairs], np.uint64) for half in (0, 1))
    columns = high, low, np.arange(len(pairs))
    others = tuple(np.empty_like(column) for column in columns)
    found = others if kernels.sort_n_grams(*columns, *others) else columns
    expected = sorted(range(len(pairs)), key=lambda index: pairs[index])
    assert found[2].tolist() == expected
    assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == sorted(pairs)


def zipf_sentences(count: int, seed: int) -> list[Sentence]:
    random = np.random.default_rng(seed)
    return [(RESERVED + np.minimum(random.zipf(1.4, random.integers(0, 30)), 3000)).tolist() for _ in range(count)]


def test_the_memory_changes_nothing() -> None:
    sentences = zipf_sentences(6000, 1)
    whole, pieces = (trained(sentences, 4, prune=(0, 0, 1), memory=memory) for memory in (1 << 30, 1))
    assert pieces.found == whole.found
    assert min(whole.found) > 1000
    assert (pieces.ngrams.table == whole.ngrams.table).all()


def test_a_sentence_longer_than_the_memory_is_counted(tmp_path: Path) -> None:
    sentence = zipf_sentences(1, 3)[0] * 1000
    assert len(sentence) > 10_000
    small, large = (trained([sentence, [RESERVED]], 3, memory=memory) for memory in (1, 1 << 30))
    assert (small.ngrams.table == large.ngrams.table).all()


def test_runs_lie_in_the_workspace(tmp_path: Path) -> None:
    counter = NgramCounter(3, tmp_path, memory=1)
    counter.add(*arrays(zipf_sentences(2000, 2)))
    assert len(list(tmp_path.iterdir())) >= 3
    blocks = list(counter.blocks())
    assert len(blocks) > 1
    keys = [(int(high), int(low)) for block in blocks for high, low in zip(*block[:2], strict=True)]
    assert keys == sorted(set(keys))
    assert sum(int(counts.sum()) for _, _, counts in blocks) == counter.occurrences.sum() + counter.sentences


def test_without_a_workspace_all_stays_in_memory_and_the_model_is_the_same() -> None:
    sentences = zipf_sentences(3000, 4)
    counter = NgramCounter(4, None, memory=1)
    counter.add(*arrays(sentences))
    in_memory = estimate(counter)
    with TemporaryDirectory() as folder:
        counter = NgramCounter(4, Path(folder), memory=1)
        counter.add(*arrays(sentences))
        in_files = estimate(counter)
        assert (in_memory.ngrams.table == in_files.ngrams.table).all()
    assert in_memory.discounts == in_files.discounts


@pytest.mark.parametrize("vocabulary", [6, 40])
def test_the_probabilities_of_a_closed_vocabulary_sum_to_one(vocabulary: int) -> None:
    counter = NgramCounter(3, None)
    counter.add(*arrays([[3, 4, 5, 4, 3], [5, 8, 5], [4, 4, 4, 3, 5]]))
    ngrams = estimate(counter, vocabulary=vocabulary).ngrams
    for context in ([], [4], [5, 4], [7], [8, 5], [30, 4]):
        words = range(RESERVED, RESERVED + vocabulary)
        probabilities = [scored(ngrams, [[*context, word]])[len(context)] for word in words]
        assert min(probabilities) > 0
        assert sum(probabilities) + scored(ngrams, [context])[-1] == pytest.approx(1, abs=1e-6)


def test_a_vocabulary_that_has_fewer_words_than_were_counted_is_refused() -> None:
    counter = NgramCounter(3, None)
    counter.add(*arrays([[3, 4, 5, 8]]))
    with pytest.raises(InputError, match=r"vocabulary: 5 is too small; word numbers go up to the 6th"):
        estimate(counter, vocabulary=5)


def test_a_discount_of_nothing_gives_way_to_the_usual_ones() -> None:
    # What is counted twice would lose 2 - 3 * 1/3 * 2 / 1 = 0, and what was not seen would have no probability.
    assert _discounts(np.repeat(np.arange(1, 5), (1, 1, 2, 1)).astype(np.uint32)) == FALLBACK_DISCOUNTS
    assert _discounts(np.repeat(np.arange(1, 5), (2, 2, 2, 1)).astype(np.uint32)) == pytest.approx((1 / 3, 1, 7 / 3))


def test_offsets_may_begin_anywhere(tmp_path: Path) -> None:
    words, offsets = arrays([[3, 4], [5], [4, 4, 3]])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    part, whole = NgramCounter(2, tmp_path / "a"), NgramCounter(2, tmp_path / "b")
    part.add(words[2:], offsets[1:] - 2)
    whole.add(words, offsets)
    assert part.occurrences.tolist() == [0, 0, 0, 1, 2, 1]
    assert whole.occurrences.tolist() == [0, 0, 0, 2, 3, 1]


@pytest.mark.parametrize("words", [[2], [MAX_WORDS]])
def test_numbers_of_markers_and_numbers_too_high_are_refused(words: list[int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"words: their numbers are .*; they must be 3 to"):
        NgramCounter(3, tmp_path).add(np.array(words, np.uint32), np.array([0, 1]))


@pytest.mark.parametrize("order", [1, 6])
def test_an_order_out_of_range_is_refused(order: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"order: {order} is out of range; use 2 to 5"):
        NgramCounter(order, tmp_path)


@pytest.mark.parametrize("prune", [(0, 1, 0), (-1,), (0, 0, 0, 0)])
def test_thresholds_that_fall_are_refused(prune: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="none lower than the one before"):
        trained([[3]], 3, prune=prune)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 different words were found"):
        trained([[], []], 3)


def test_a_word_that_never_occurs_among_the_numbers_is_unknown() -> None:
    made = trained([[3, 5], [3]], 3)
    assert made.word_slots[4] == ABSENT
    assert scored(made.ngrams, [[4]])[0] == scored(made.ngrams, [[99]])[0]


def test_words_of_equal_keys_are_refused(tmp_path: Path) -> None:
    counter = NgramCounter(2, tmp_path)
    counter.add(*arrays([[3, 4]]))
    with pytest.raises(InputError, match="two have the same key"):
        estimate(counter, np.array([0, 1, 2, 7, 7], np.uint64))


@pytest.mark.parametrize("prune", [(0,), (0, 0, 1)])
def test_discounts_come_from_counts_of_counts_where_these_allow_it(prune: tuple[int, ...]) -> None:
    sentences = [sentence for sentence in zipf_sentences(600, 4) if sentence]
    made, plain = trained(sentences, 3, prune=prune), PlainKneserNey(sentences, 3, 1, (*prune, *[prune[-1]] * 3))
    assert all(tuple(discounts[1:]) != (0.5, 1.0, 1.5) for discounts in plain.discounts)
    assert np.array(made.discounts) == pytest.approx(np.array(plain.discounts)[:, 1:])
    expected = [value for sentence in sentences[:100] for value in plain.scored(sentence)]
    assert scored(made.ngrams, sentences[:100]) == pytest.approx(expected, rel=1e-5)
