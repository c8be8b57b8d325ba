from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.documents.schema import document_id
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.quality_score import LOSSES, SAMPLE_BYTES, QualityScore, combine, sampling_bits
from corpusmill.mix.scoring_rows import Piece, Sampling, write_rows
from corpusmill.mix.selection import effective_units

Texts = list[str]


def novel(count: int, seed: int = 1, words: int = 400) -> Texts:
    """Documents that share their words, each of which mostly has one of a few behind it, and no run of them."""
    source, language = random.Random(seed), random.Random(0)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    vocabulary = sorted({"".join(language.choices(syllables, k=1 + number % 4)) for number in range(3000)})
    weights = [1 / (rank + 5) for rank in range(len(vocabulary))]
    behind = {word: language.choices(vocabulary, weights, k=8) for word in vocabulary}
    found = []
    for _ in range(count):
        text = [source.choice(vocabulary)]
        while len(text) < words:
            text.append(source.choice(behind[text[-1]]) if source.random() < 0.7 else source.choice(vocabulary))
        found.append(" ".join(text))
    return found


def score(
    folder: Path, texts: Texts, ids: list[str] | None = None, parts: int = 2, tokens: list[int] | None = None
) -> QualityScore:
    """The score of a dataset of these texts, cut into parts."""
    hashes = id_hashes(pa.array(ids or [document_id("web", "", row) for row in range(len(texts))], pa.string()))
    partials = []
    for part in range(parts):
        piece = Piece(
            texts=pa.array(texts[part::parts], pa.string()),
            id_hash=hashes[part::parts],
            tokens=None if tokens is None else np.array(tokens[part::parts], np.int64),
        )
        partials.append(folder / f"{part}.rows")
        write_rows([piece], partials[-1], Sampling(), "bytes" if tokens is None else "n_tokens")
    return combine(partials)


def garbled(text: str) -> str:
    return text.replace("a", "Ã¤")


def with_a_word_changed_in(text: str, every: int) -> str:
    words = text.split()
    words[every // 2 :: every] = [f"other{place}" for place in range(len(words[every // 2 :: every]))]
    return " ".join(words)


def test_sound_text_scores_one(tmp_path: Path) -> None:
    result = score(tmp_path, novel(200))
    assert result.q == pytest.approx(1)
    assert result.documents == 200


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_planted_duplicates_cost_their_share(tmp_path: Path, share: float) -> None:
    texts = novel(200)
    copies = random.Random(2).choices(texts, k=round(200 * share / (1 - share)))
    result = score(tmp_path, texts + copies)
    truth = sum(map(len, copies)) / sum(map(len, texts + copies))
    assert result.lost["duplicates"] == pytest.approx(truth, abs=1e-9)
    assert result.q == pytest.approx(1 - truth, abs=0.001)


def test_epoch_copies_are_told_from_duplicates(tmp_path: Path) -> None:
    texts = novel(100, words=50)
    ids = [document_id("web", "", row) for row in range(100)]
    result = score(tmp_path, [*texts, *texts, texts[0]], [*ids, *ids, document_id("web", "other", 0)])
    size, copy = sum(map(len, texts)), len(texts[0])
    worth = effective_units(size + copy, 2 * size + copy) / (2 * size + copy)
    assert result.lost["epochs"] == pytest.approx(1 - worth)
    assert 0.015 < result.lost["epochs"] < 0.017
    assert result.lost["duplicates"] in (
        pytest.approx(worth * copy / (2 * size + copy)),
        pytest.approx(worth * 2 * copy / (2 * size + copy)),  # the new id comes first, and so it stays
    )


def test_a_pass_that_was_cut_counts_with_the_whole_ones(tmp_path: Path) -> None:
    texts, ids = novel(100, words=50), [document_id("web", "", row) for row in range(100)]
    result = score(tmp_path, [*texts, *texts, *texts[:50]], [*ids, *ids, *ids[:50]])
    unique, total = sum(map(len, texts)), 2 * sum(map(len, texts)) + sum(map(len, texts[:50]))
    assert result.lost["epochs"] == pytest.approx(1 - effective_units(unique, total) / total)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_document_that_is_repeated_alone_is_worth_little_whatever_stands_beside_it(
    tmp_path: Path, passes: int
) -> None:
    texts, ids = novel(300, words=50), [document_id("web", "", row) for row in range(300)]
    result = score(tmp_path, [*texts * passes, *texts[:1] * 300], [*ids * passes, *ids[:1] * 300])
    first, others = len(texts[0]), sum(map(len, texts[1:]))
    worth = effective_units(first, first * (passes + 300)) + effective_units(others, others * passes)
    assert result.lost["epochs"] == pytest.approx(1 - worth / (first * (passes + 300) + others * passes))
    assert effective_units(first, first * (passes + 300)) < 16.4 * first
    assert result.lost["duplicates"] == 0


def test_a_document_of_two_components_is_worth_the_same_in_both(tmp_path: Path) -> None:
    texts = novel(2, words=50)
    names = ["books", "web"]
    for name in names:
        piece = Piece(
            texts=pa.array(texts[:1] * 4 + texts[1:]),
            id_hash=np.array([0, 0, 0, 0, 1], np.uint64),
            components=pa.array([name] * 5),
            tokens=np.array([10, 10, 10, 10, 60], np.int64),
        )
        write_rows([piece], tmp_path / name, Sampling(), "n_tokens")
    worth = effective_units(10, 80) / 80 * 40 + effective_units(60, 120) / 120 * 60
    for parts in (names, names[::-1]):
        result = combine([tmp_path / name for name in parts])
        found = {name: own.lost["epochs"] for name, own in result.components.items()}
        assert found == pytest.approx(dict.fromkeys(names, 1 - worth / 100))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_garbled_documents_cost_their_share(tmp_path: Path, share: float) -> None:
    texts = novel(200)
    bad = round(200 * share)
    texts = [garbled(text) for text in texts[:bad]] + texts[bad:]
    sizes = [len(text.encode()) for text in texts]
    result = score(tmp_path, texts)
    assert result.lost["mojibake"] == pytest.approx(sum(sizes[:bad]) / sum(sizes), abs=0.001)


def test_repetition_within_documents_costs_its_share(tmp_path: Path) -> None:
    result = score(tmp_path, [f"{text}\n{text}" for text in novel(50)])
    assert result.lost["repetition"] == pytest.approx(0.5, abs=0.001)
    assert result.q == pytest.approx(0.5, abs=0.001)


def test_near_duplicates_are_lost_as_a_whole(tmp_path: Path) -> None:
    texts = novel(300)
    near = [with_a_word_changed_in(text, every=40) for text in texts[:100]]
    result = score(tmp_path, texts + near)
    assert result.lost["duplicates"] == 0
    assert result.lost["near_duplicates"] == pytest.approx(0.25, abs=0.005)
    assert result.q == pytest.approx(0.75, abs=0.005)


def test_passages_of_another_document_are_overlap(tmp_path: Path) -> None:
    texts = novel(100)
    mixed = [f"{text[: len(text) // 4]} {new}" for text, new in zip(texts, novel(100, 5), strict=True)]
    result = score(tmp_path, texts + mixed)
    truth = sum(len(text) // 4 for text in texts) / sum(map(len, texts + mixed))
    assert result.lost["near_duplicates"] == 0
    assert result.lost["overlap"] == pytest.approx(truth, abs=0.02)  # no run counts that goes over the end


def test_each_token_is_lost_once(tmp_path: Path) -> None:
    base = novel(60)
    bad = [garbled(text) + "\n" + garbled(text) for text in base[:20]]
    result = score(tmp_path, base + bad + bad + base[:5])
    assert result.q == pytest.approx(1 - sum(result.losses().values()))
    assert 0 < result.q < 1
    assert set(result.losses()) == set(LOSSES)
    assert result.corruption + result.redundancy == pytest.approx(1 - result.q)


def test_the_score_depends_on_neither_parts_nor_order(tmp_path: Path) -> None:
    texts = novel(60) + [garbled(text) for text in novel(20, 2)] + novel(20)
    ids = [document_id("web", "", row) for row in range(len(texts))]
    first = score(tmp_path, texts, ids, parts=1)
    second = score(tmp_path, texts[::-1], ids[::-1], parts=3)
    assert first.losses() == pytest.approx(second.losses(), abs=1e-12)


def test_tokens_are_the_datasets_count_where_it_has_one(tmp_path: Path) -> None:
    text = novel(2)
    result = score(tmp_path, [*text, text[0]], ["a", "b", "c"], tokens=[10, 60, 30])
    assert (result.tokens, result.unit) == (100, "n_tokens")
    assert result.lost["duplicates"] in (pytest.approx(0.3), pytest.approx(0.1))  # the lower hash of an id stays


def test_nothing_scores_one_with_nothing_lost(tmp_path: Path) -> None:
    for texts in ([], ["", ""]):
        result = score(tmp_path, texts)
        assert (result.q, result.tokens, sum(result.losses().values())) == (1, 0, 0)


def test_a_sample_without_a_document_says_nothing(tmp_path: Path) -> None:
    texts = novel(3)
    piece = Piece(texts=pa.array([*texts, texts[0]]), id_hash=np.arange(4, dtype=np.uint64))
    write_rows([piece], tmp_path / "rows", Sampling(share=1e-9), "bytes")
    result = combine([tmp_path / "rows"])
    assert result.sampled_documents == 0
    assert (result.low, result.high) == (0, pytest.approx(1 - result.lost["duplicates"]))


def test_a_component_without_a_document_in_the_sample_may_score_anything(tmp_path: Path) -> None:
    names = pa.array(["large"] * 999 + ["small"])
    piece = Piece(texts=pa.array(novel(1000, words=60)), id_hash=np.arange(1000, dtype=np.uint64), components=names)
    write_rows([piece], tmp_path / "rows", Sampling(share=0.1), "bytes")
    result = combine([tmp_path / "rows"])
    small = result.components["small"]
    assert (small.sampled_documents, small.low, small.high) == (0, 0, 1)
    assert result.low is not None
    assert 0.9 < result.low <= result.q


def test_both_of_the_papers_estimators_agree_where_little_is_lost(tmp_path: Path) -> None:
    texts = novel(200)
    result = score(tmp_path, [*texts, *texts[:5]])
    assert result.q < result.exponential
    assert result.exponential == pytest.approx(result.q, abs=(1 - result.q) ** 2)


def test_plain_data_of_a_score_is_json_and_has_every_part(tmp_path: Path) -> None:
    data = score(tmp_path, novel(20)).as_dict()
    assert json.loads(json.dumps(data)) == data
    assert set(LOSSES) <= set(data)
    assert data["interval"] is None


def test_a_dataset_is_sampled_the_thinner_the_larger_it_is() -> None:
    assert sampling_bits(SAMPLE_BYTES) == 0
    for power in range(8, 15):
        sampled = 10**power / 2 ** sampling_bits(10**power)
        assert min(SAMPLE_BYTES / 2, 10**power) <= sampled <= SAMPLE_BYTES


def real_texts(folder: Path, pattern: str, size: int) -> Iterator[str]:
    for path in sorted(folder.glob(pattern)):
        text = path.read_text(errors="replace")
        for start in range(0, len(text), size):
            yield text[start : start + size]


@pytest.mark.realdata
def test_clean_real_text_scores_high_and_planted_defects_cost_their_share(realdata: Path, tmp_path: Path) -> None:
    books = list(real_texts(realdata / "text/books_classic_markdown_a", "Jack London/*.md", 5000))
    wiki = list(real_texts(realdata / "text/wikitext2_valid_test", "*/*.txt", 4000))
    laws = list(real_texts(realdata / "text/german_federal_laws_md", "b/*/index.md", 10**9))[:60]
    assert score(tmp_path, books).q > 0.98
    assert score(tmp_path, wiki).q > 0.97
    planted = books[: len(books) // 4]
    truth = sum(len(text.encode()) for text in planted) / sum(len(text.encode()) for text in books + planted)
    assert score(tmp_path, books + planted).q == pytest.approx(1 - truth, abs=0.02)
    broken = [text.encode().decode("latin-1") for text in laws[:30]] + laws[30:]
    share = sum(len(text.encode()) for text in broken[:30]) / sum(len(text.encode()) for text in broken)
    assert score(tmp_path, laws).lost["mojibake"] < 0.001
    assert score(tmp_path, broken).lost["mojibake"] == pytest.approx(share, abs=0.02)


def pages(folder: Path, pattern: str) -> Iterator[str]:
    """Texts of 4,000 characters and a little more, which end with a paragraph."""
    for path in sorted(folder.glob(pattern)):
        page = ""
        for paragraph in path.read_text(errors="replace").split("\n\n"):
            page += f"{paragraph}\n\n"
            if len(page) > 4000:
                yield page
                page = ""


@pytest.mark.realdata
def test_shuffled_words_and_near_copies_in_real_text_cost_their_share_together(realdata: Path, tmp_path: Path) -> None:
    books = list(pages(realdata / "text/books_classic_markdown_a", "[B-H]*/*.md"))[::5]
    chance = random.Random(3)
    found = []
    for share in (0.0, 0.2, 0.4):
        texts = [
            " ".join(chance.sample(words := text.split(), len(words))) for text in books[: int(share * len(books))]
        ]
        texts += books[len(texts) :]
        copies = (
            [with_a_word_changed_in(text, every=50) for text in texts[:: max(1, round(2 / share))]] if share else []
        )
        good = sum(len(text.encode()) for text in texts[int(share * len(books)) :])
        found.append(score(tmp_path, texts + copies).q)
        assert found[-1] == pytest.approx(good / sum(len(text.encode()) for text in texts + copies), abs=0.03)
    assert found == sorted(found, reverse=True)
