from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.near_copies import BANDS, LEAST_AGREEMENT, ROWS, VALUES, near_copies, near_signatures


def plain(signatures: NDArray[np.uint16], usable: NDArray[np.bool_], order: list[int]) -> list[bool]:
    """Whether each document is a near copy, by comparing it with the first that stays of each of its bands."""
    stays: dict[tuple[int, bytes], int] = {}
    found = [False] * len(signatures)
    for document in order:
        if not usable[document]:
            continue
        bands = [(band, signatures[document, band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]
        for band in bands:
            if band in stays:
                found[document] = (signatures[document] == signatures[stays[band]]).sum() >= LEAST_AGREEMENT
                if found[document]:
                    break
        else:
            for band in bands:
                stays.setdefault(band, document)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_kernel_equals_its_plain_twin(made: list[tuple[int, int, bool]], chance: random.Random) -> None:
    bases = np.arange(3 * VALUES, dtype=np.uint16).reshape(3, VALUES)
    signatures = np.empty((len(made), VALUES), np.uint16)
    for row, (base, changed, _) in enumerate(made):
        signatures[row] = bases[base]
        signatures[row, chance.sample(range(VALUES), changed)] = 60_000 + row
    usable = np.array([words for _, _, words in made], np.bool_)
    order = list(range(len(made)))
    chance.shuffle(order)
    twins = near_copies(signatures, usable, np.array(order, np.int64))
    assert (twins >= 0).tolist() == plain(signatures, usable, order)


def found(texts: list[str], order: list[int] | None = None) -> list[int]:
    signatures, worded = near_signatures(TextBatch.of_texts(texts))
    return near_copies(signatures, worded, np.array(order or range(len(texts)), np.int64)).tolist()


def words(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"w{chance.randrange(10**6)}" for _ in range(count)]


@pytest.mark.parametrize("count", [60, 300, 3000])
def test_a_copy_with_one_word_of_fifty_changed_is_a_near_copy(count: int) -> None:
    texts = []
    for seed in range(20):
        text = words(count, seed)
        changed = [f"x{place}" if place % 50 == 25 else word for place, word in enumerate(text)]
        texts += [" ".join(text), " ".join(changed)]
    assert found(texts) == [-1 if place % 2 == 0 else place - 1 for place in range(40)]


def test_texts_that_share_a_third_of_their_words_are_none() -> None:
    shared = words(100, 1)
    assert found([" ".join(shared + words(200, seed)) for seed in range(2, 12)]) == [-1] * 10


def test_the_preferred_document_stays_and_texts_without_words_are_copies_of_none() -> None:
    text = " ".join(words(100, 1))
    assert found([text, f"{text} end", "!!!", "???"], [1, 0, 2, 3]) == [1, -1, -1, -1]


def test_a_chain_loses_what_is_like_a_revision_that_stays() -> None:
    text = words(400, 1)
    chain = [" ".join([*words(step * 60, 9), *text[step * 60 :]]) for step in range(5)]
    twins = found(chain)
    assert twins[0] == -1
    assert any(twin >= 0 for twin in twins)
    assert all(twin < 0 or twins[twin] < 0 for twin in twins)
    assert twins.count(-1) > 1
