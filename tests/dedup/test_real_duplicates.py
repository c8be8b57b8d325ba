"""Real near-duplicates: news with planted copies, revisions of terms of service, families of licences, books."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.batch import TextBatch

pytestmark = pytest.mark.realdata


def shingle_sets(texts: list[str]) -> list[np.ndarray]:
    shingles = shingles_of(TextBatch.of_texts(texts), 5, False)
    return [np.unique(shingles.hashes[begin:end]) for begin, end in zip(shingles.firsts[:-1], shingles.firsts[1:])]


def jaccard(one: np.ndarray, two: np.ndarray) -> float:
    shared = len(np.intersect1d(one, two, assume_unique=True))
    return shared / max(1, len(one) + len(two) - shared)


@pytest.mark.parametrize("size", [100, 1000, 2500])
def test_all_planted_pairs_of_articles_are_found_and_no_others(decided, realdata: Path, size):
    folder = realdata / "neardup" / "minhash_articles_truth"
    rows = [line.split(" ", 1) for line in (folder / f"articles_{size}.train").read_text().splitlines()]
    names = [name for name, _ in rows]
    truth = {frozenset(line.split()) for line in (folder / f"articles_{size}.truth").read_text().splitlines()}
    outcome = decided(MinHashDedup(), [text for _, text in rows], parts=3)
    assert len(truth) == {100: 5, 1000: 10, 2500: 20}[size]
    assert {frozenset((names[gone], names[kept])) for gone, kept in outcome.gone.items()} == truth


def test_adjacent_revisions_are_found_and_every_removal_is_as_similar_as_it_has_to_be(decided, realdata: Path):
    files = sorted((realdata / "neardup" / "opentermsarchive_revisions_contrib").rglob("*.md"))
    texts = [file.read_text() for file in files]
    sets = shingle_sets(texts)
    gone = decided(MinHashDedup(), texts, parts=2).gone
    similarities = [jaccard(sets[one], sets[two]) for one, two in gone.items()]
    assert len(gone) > 500
    assert min(similarities) >= 0.75
    adjacent = [
        later
        for later in range(1, len(files))
        if files[later].parent == files[later - 1].parent and jaccard(sets[later - 1], sets[later]) >= 0.8
    ]
    assert len(adjacent) > 500
    assert np.mean([later in gone or later - 1 in gone for later in adjacent]) >= 0.97
    # No chains: in a history whose last revision is unlike the first, neither goes for the other, though each revision
    # is like the next.
    begins = [row for row in range(len(files)) if row == 0 or files[row].parent != files[row - 1].parent]
    ends = [(begin, end - 1) for begin, end in pairwise([*begins, len(files)])]
    unlike = [(first, last) for first, last in ends if jaccard(sets[first], sets[last]) < 0.75]
    assert len(unlike) > 90
    assert not [(first, last) for first, last in unlike if gone.get(last) == first or gone.get(first) == last]


def test_the_clusters_do_not_depend_on_the_order_of_documents_nor_on_the_number_of_tasks(decided, realdata: Path):
    revisions = sorted((realdata / "neardup" / "opentermsarchive_revisions_contrib").rglob("*.md"))[:200]
    reports = sorted((realdata / "text" / "reuters21578_webtext_speeches" / "reuters" / "training").iterdir())[:2000]
    texts = [file.read_bytes().decode("utf-8", "replace") for file in [*revisions, *reports]]
    first = decided(MinHashDedup(), texts).decision
    assert first.verdicts.num_rows > 100
    for parts in (1, 2, 5):
        shuffled = np.random.default_rng(parts).permutation(len(texts))
        for in_steps in (False, True):
            small_tasks = MinHashDedup(task_documents=500)
            other = decided(small_tasks, texts, order=shuffled, parts=parts, in_steps=in_steps).decision
            assert other.verdicts.equals(first.verdicts)
            assert other.clusters.equals(first.clusters)


def test_editions_of_a_book_are_found_and_no_other_book(decided, realdata: Path):
    folder = realdata / "text" / "books_classic_markdown_a"
    files = [file for file in sorted(folder.rglob("*.md")) if file.stat().st_size < 300_000]
    texts = []
    for file in files:
        book = file.read_text()
        paragraphs = re.split(r"\n\s*\n", book)
        tenth = len(paragraphs) // 10
        texts += [
            book,
            "Set anew for small screens.\n\n" + "\n".join(" ".join(part.split()) for part in paragraphs),
            "\n\n".join(paragraphs[: 4 * tenth] + paragraphs[5 * tenth :]),
            re.sub(r"\b(to)-(day|night|morrow)\b", r"\1\2", re.sub(r"\Bour\b", "or", book)),
        ]
    gone = decided(MinHashDedup(), texts).gone
    assert len(files) > 25
    assert {row // 4 for row in gone} == set(range(len(files)))
    assert all(row // 4 == kept // 4 for row, kept in gone.items())
    assert len(gone) == 3 * len(files)


def test_licences_that_differ_stay_apart_and_every_removal_is_as_similar_as_it_has_to_be(decided, realdata: Path):
    folder = realdata / "neardup" / "license_texts_spdx_google"
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".txt", ".xml"))
    texts = [file.read_text(errors="replace") for file in files]
    sets = shingle_sets(texts)
    outcome = decided(MinHashDedup(), texts)
    assert len(outcome.gone) > 500
    similarities = {document: jaccard(sets[document], sets[kept]) for document, kept in outcome.gone.items()}
    assert min(similarities.values()) >= 0.75
    # Three standard errors of an estimate of .75; what was counted exactly is closer.
    assert all(abs(similarity - similarities[gone]) < 0.125 for gone, similarity in outcome.similarities.items())
    names = [file.name for file in files]
    chosen = [
        "GPL-2.0-only.txt",
        "GPL-3.0-only.txt",
        "LGPL-2.1-only.txt",
        "MPL-2.0.txt",
        "Apache-2.0.txt",
        "EPL-2.0.txt",
    ]
    stand_for = {outcome.gone.get(names.index(name), names.index(name)) for name in chosen}
    assert len(stand_for) == len(chosen)
