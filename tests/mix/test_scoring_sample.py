from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.mix.scoring_sample import Measured, count_again, measure_sample, run_bits


@given(st.lists(st.lists(st.integers(1, 12), max_size=8), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_kernel_equals_its_plain_twin(documents: list[list[int]], chance: random.Random) -> None:
    order = list(range(len(documents)))
    chance.shuffle(order)
    passed_over = [chance.random() < 0.3 for _ in documents]
    seen: set[int] = set()
    expected = [0] * len(documents)
    for document in order:
        if not passed_over[document]:
            for run in documents[document]:
                expected[document] += run in seen
                seen.add(run)
    runs = np.array([run for own in documents for run in own], np.uint64) << np.uint64(16)
    firsts = np.concatenate([[0], np.cumsum([len(own) for own in documents])]).astype(np.int64)
    again = np.empty(len(documents), np.int64)
    table = np.zeros(1 << (2 * len(runs)).bit_length(), np.uint64)
    count_again(
        frozen(firsts), frozen(runs), frozen(np.array(order, np.int64)), frozen(np.array(passed_over)), table, again
    )
    assert again.tolist() == expected


def made(count: int, words: int = 200, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    vocabulary = ["".join(chance.choices(syllables, k=1 + number % 4)) for number in range(2000)]
    weights = [1 / (rank + 5) for rank in range(2000)]
    return [" ".join(chance.choices(vocabulary, weights, k=words)) for _ in range(count)]


def measured(texts: list[str], *, cut: int = 64) -> Measured:
    def batches() -> Iterator[TextBatch]:
        for start in range(0, len(texts), cut):
            yield TextBatch.of_texts(texts[start : start + cut])

    hashes = np.concatenate([batch.document_hashes[0] for batch in batches()])
    return measure_sample(batches, hashes, sum(len(text.encode()) for text in texts))


def test_of_near_copies_the_least_corrupted_stays() -> None:
    texts = made(60)
    texts[0] = texts[0].replace("ba", "be")
    broken = texts[0] + " fÃ¼r grÃ¶ÃŸer donâ€™t"
    found = measured([broken, *texts])
    assert found.is_near.tolist() == [True] + [False] * 60
    assert found.corrupted[0].sum() > found.corrupted[1].sum()


def test_of_equally_sound_near_copies_the_longest_stays() -> None:
    texts = made(60)
    found = measured([*texts, texts[5] + " and an end"])
    assert found.is_near.nonzero()[0].tolist() == [5]


def test_a_passage_of_a_document_that_is_preferred_is_overlap() -> None:
    texts = made(50, 400)
    quoting = " ".join(texts[0].split()[:100] + made(1, 100, 9)[0].split())
    found = measured([*texts, quoting])
    assert found.overlap[50] == pytest.approx(0.5, abs=0.05)
    assert (found.overlap[:50] == 0).all()
    assert not found.is_near.any()


def test_runs_of_near_copies_are_not_counted_again_as_overlap() -> None:
    texts = made(40)
    found = measured([*texts, *(text + " end" for text in texts)])
    assert found.is_near.sum() == 40
    assert found.overlap.sum() == 0


def test_what_is_found_depends_on_neither_batches_nor_order() -> None:
    texts = [*made(70), *(text + " end" for text in made(10))]
    one, other = measured(texts), measured(texts[::-1], cut=7)
    for name in ("is_near", "corrupted", "lines", "repetition", "overlap"):
        assert np.allclose(getattr(one, name), getattr(other, name)[::-1])


def test_runs_are_kept_the_thinner_the_more_there_are() -> None:
    assert run_bits(10_000_000) == 0
    assert all(10**power / 8 / 2 ** run_bits(10**power) < 6e6 for power in range(6, 13))
