"""How sound texts are corrupted for the calibration of the quality score."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TEXTS = [
    f"Number {number} of the reports says that the bridge, which the town has waited for, will be built in spring. "
    f"Nobody asked for whom. {number * 7} people came to the meeting; most of them left early, “as always”." * 3
    for number in range(60)
]


@pytest.fixture(scope="module")
def corruptors() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield importlib.import_module("corruptors")


@pytest.fixture
def ways(corruptors: ModuleType) -> dict[str, object]:
    return {
        "paper": corruptors.random_tokens(corruptors.byte_level_bpe(TEXTS, 400)),
        "shuffled": corruptors.shuffled,
        "ocr": corruptors.ocr_noise(),
        "encodings": corruptors.wrongly_encoded,
        "truncated": corruptors.truncated,
        "boilerplate": corruptors.with_boilerplate,
    }


@pytest.mark.parametrize("way", ["paper", "shuffled", "ocr", "encodings", "truncated", "boilerplate"])
def test_more_is_corrupted_by_adding_and_alike_each_time(
    way: str, corruptors: ModuleType, ways: dict[str, object]
) -> None:
    few, touched_few = corruptors.corrupted(TEXTS, 0.2, ways[way])
    many, touched_many = corruptors.corrupted(TEXTS, 0.5, ways[way])
    assert not (touched_few & ~touched_many).any()
    sizes = np.array([len(text.encode()) for text in TEXTS])
    assert sizes[touched_many].sum() / sizes.sum() == pytest.approx(0.5, abs=0.02)
    for row, text in enumerate(TEXTS):
        assert (few[row] == text) == (not touched_few[row])
        assert not touched_few[row] or few[row] == many[row]
    assert corruptors.corrupted(TEXTS, 0.5, ways[way])[0] == many


def test_half_of_the_tokens_become_others(corruptors: ModuleType) -> None:
    tokenizer = corruptors.byte_level_bpe(TEXTS, 400)
    text = "".join(TEXTS)
    found = corruptors.random_tokens(tokenizer)(text, random.Random(1))
    words = set(text.split())
    assert 0.1 < sum(word in words for word in found.split()) / len(found.split()) < 0.6


def test_shuffled_words_are_the_same_words(corruptors: ModuleType) -> None:
    found = corruptors.shuffled(TEXTS[0], random.Random(1))
    assert sorted(found.split()) == sorted(TEXTS[0].split())
    assert found.split() != TEXTS[0].split()


def test_ocr_noise_has_about_its_rate(corruptors: ModuleType) -> None:
    text = "".join(TEXTS)
    found = corruptors.ocr_noise(0.1)(text, random.Random(1))
    same = np.mean([word in set(text.split()) for word in found.split()])
    assert 0.5 < same < 0.8  # .9 ** 4.5 = .62


def test_a_misreading_garbles_a_tenth_of_the_words_at_least(corruptors: ModuleType) -> None:
    for row, text in enumerate(TEXTS):
        found = corruptors.wrongly_encoded(text, random.Random(row))
        assert len(set(text.split()) & set(found.split())) <= 0.9 * len(set(text.split()))


def test_a_truncated_text_is_a_beginning_that_ends_within_a_word(corruptors: ModuleType) -> None:
    for row, text in enumerate(TEXTS):
        found = corruptors.truncated(text, random.Random(row))
        assert text.startswith(found)
        assert found[-1].isalpha()
        assert text[len(found)].isalpha()
