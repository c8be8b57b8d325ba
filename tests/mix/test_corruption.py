from __future__ import annotations

import importlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.corruption import KINDS, corrupted_shares
from corpusmill.mix.evidence import Gathering


def test_a_document_loses_each_byte_at_most_once_and_an_empty_one_none() -> None:
    shares = corrupted_shares(TextBatch.of_texts(["", " \n", "\ufffd" * 100, "Ã¼Ã¤" * 50, "abc"]))
    assert shares.shape == (5, len(KINDS))
    assert shares.sum(axis=1).tolist() == pytest.approx([0, 0, 1, 1, 0])


def test_without_evidence_words_are_not_judged() -> None:
    words = re.findall(r"\w+", "the committee met on Tuesday to discuss the plans for a new bridge over the river") * 30
    random.Random(1).shuffle(words)
    assert corrupted_shares(TextBatch.of_texts([" ".join(words)])).sum() == 0


def test_evidence_of_nothing_judges_nothing() -> None:
    evidence = Gathering().evidence()
    assert np.all(corrupted_shares(TextBatch.of_texts(["one two three " * 50]), evidence) == 0)


def test_a_part_of_a_batch_is_judged_as_it_is_in_the_whole() -> None:
    texts = ["", "Ã¼Ã¤ " * 900, "a sound text\n" * 90, "Home\nNews\nJobs\nSport\nVideo\nAbout\n", "\ufffd" * 50]
    whole = TextBatch.of_texts(texts)
    part = TextBatch(whole.documents.slice(1, 3))
    gathering = Gathering()
    gathering.add(part)
    evidence = gathering.evidence()
    assert np.array_equal(corrupted_shares(part, evidence), corrupted_shares(whole, evidence)[1:4])
    assert corrupted_shares(TextBatch.of_texts([]), evidence).shape == (0, len(KINDS))


# Against sound text that was spoilt.


@pytest.fixture(scope="module")
def corruptors(monkeypatch_module: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/corruptors.py, whose folder is no package."""
    monkeypatch_module.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("corruptors")


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def clean(corruptors: ModuleType, realdata: Path) -> list[str]:
    """Pages of books, articles and news, 300 of each."""
    chance = random.Random(1)
    return [text for texts in corruptors.clean_texts(realdata).values() for text in chance.sample(texts, 300)]


def rate(texts: list[str]) -> float:
    """The share of the bytes that is lost, by the texts' own evidence."""
    batches = [TextBatch.of_texts(texts[start : start + 300]) for start in range(0, len(texts), 300)]
    gathering = Gathering()
    for batch in batches:
        gathering.add(batch)
    evidence = gathering.evidence()
    lost = sum(float(np.diff(batch.offsets) @ corrupted_shares(batch, evidence).sum(axis=1)) for batch in batches)
    return lost / sum(batch.n_bytes for batch in batches)


@pytest.mark.realdata
def test_clean_real_text_loses_at_most_one_and_a_half_per_cent(clean: list[str]) -> None:
    assert rate(clean) <= 0.015


@pytest.mark.realdata
@pytest.mark.parametrize(("way", "most"), [("paper", 0.02), ("shuffled", 0.05), ("ocr", 0.05), ("encodings", 0.05)])
def test_the_share_lost_is_the_share_that_was_spoilt(
    way: str, most: float, clean: list[str], corruptors: ModuleType
) -> None:
    corruptor = {
        "paper": lambda: corruptors.random_tokens(corruptors.byte_level_bpe(clean, 16_000)),
        "shuffled": lambda: corruptors.shuffled,
        "ocr": corruptors.ocr_noise,
        "encodings": lambda: corruptors.wrongly_encoded,
    }[way]()
    rates = [0.0]
    for share in (0.1, 0.3, 0.5):
        texts, touched = corruptors.corrupted(clean, share, corruptor)
        sizes = np.array([len(text.encode()) for text in texts])
        rates.append(rate(texts))
        assert rates[-1] == pytest.approx(sizes[touched].sum() / sizes.sum(), abs=most)
    assert rates == sorted(rates)


@pytest.mark.realdata
def test_a_truncated_text_and_one_with_boilerplate_lose_something(clean: list[str], corruptors: ModuleType) -> None:
    for way, least, most in ((corruptors.truncated, 0.005, 0.1), (corruptors.with_boilerplate, 0.05, 0.5)):
        spoilt = [way(text, random.Random(row)) for row, text in enumerate(clean)]
        kind = "truncated" if way is corruptors.truncated else "boilerplate"
        shares = corrupted_shares(TextBatch.of_texts(spoilt))[:, KINDS.index(kind)]
        assert least < shares.mean() < most
        assert np.mean(shares > 0) > 0.6
