"""What near-duplicate search is held against: all similar pairs, and pairs that were read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WORDS = st.sampled_from(["one", "two", "three", "four", "five"])
TEXTS = st.lists(st.lists(WORDS, max_size=14).map(" ".join), max_size=12)


@pytest.fixture(scope="module")
def topic() -> Iterator[ModuleType]:
    """topics/near_duplicates.py, imported as it is when run: beside the others."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("topics.near_duplicates")
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - before:
        if BENCHMARKS in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


def shingles(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[first : first + ngram]) for first in range(max(1, len(words) - ngram + 1))} if words else set()


@pytest.mark.parametrize("containment", [False, True])
@given(texts=TEXTS, similarity=st.sampled_from([0.1, 0.5, 0.6, 0.75, 0.8, 1.0]), ngram=st.integers(1, 3))
def test_all_similar_pairs_are_those_that_counting_each_pair_gives(
    topic: ModuleType, texts: list[str], similarity: float, ngram: int, containment: bool
) -> None:
    sets = [shingles(text, ngram) for text in texts]
    expected = {}
    for one, two in combinations(range(len(texts)), 2):
        if sets[one] and sets[two]:
            whole = min(len(sets[one]), len(sets[two])) if containment else len(sets[one] | sets[two])
            value = len(sets[one] & sets[two]) / whole
            if value >= similarity:
                expected[one, two] = value
    pairs = topic.similar_pairs(texts, similarity, ngram=ngram, containment=containment)
    found = dict(zip(zip(pairs.left.tolist(), pairs.right.tolist()), pairs.similarities.tolist()))
    assert found == expected


def test_a_removal_is_right_if_a_document_stays_that_is_like_it(topic: ModuleType) -> None:
    # 0 like 1 like 2, but 0 unlike 2; 3 like 4; 5 is alone.
    left, right, similarities = np.array([0, 1, 3]), np.array([1, 2, 4]), np.array([0.9, 0.76, 0.8])
    truth = topic.SimilarPairs(left, right, similarities, np.ones(6, np.int64))
    score = topic._score(6, truth, [0, 1, 5])
    assert (score.pairs, score.found, score.removed, score.wrong) == (2, 1, 3, 2)  # 0 went for 1, which went, too
    assert topic._score(6, truth, [1, 4]).precision == 1
    assert topic._score(6, truth, [1, 4]).recall == 1


def test_a_licence_is_told_from_its_versions_and_from_others(topic: ModuleType) -> None:
    licence, relation = topic.licence, topic.relation
    assert licence("spdx/src/GPL-2.0-only.xml") == licence("google/licenses/GPL-2.0.header.txt") == "gpl-2.0"
    assert licence("google/v2/assets/License/BSD-3-Clause/sun.txt") == "bsd-3-clause"
    assert licence("google/v2/scenarios/114431182") == ""
    assert relation("gpl-2.0", "gpl-2.0") == relation("", "mit") == "the same"
    assert relation("gpl-2.0", "agpl-3.0") == relation("cc-by-2.0", "cc-by-nc-2.0") == "a version or variant"
    assert relation("autoconf-exception-2.0", "gpl-2.0-with-autoconf-exception") == "a version or variant"
    assert relation("mpl-2.0", "mvt-1.1") == "another family"


def test_judged_pairs_hold_hashes_and_judgements_and_no_text(topic: ModuleType) -> None:
    rows = [json.loads(line) for line in topic.JUDGED.read_text().splitlines()]
    assert len(rows) > 250
    assert len({(row["set"], row["one"], row["two"]) for row in rows}) == len(rows)
    for row in rows:
        assert list(row) == ["set", "one", "two", "judged", "kind"]
        assert re.fullmatch("[0-9a-f]{16}", row["one"])
        assert re.fullmatch("[0-9a-f]{16}", row["two"])
        assert row["one"] < row["two"]
        assert row["judged"] in topic.JUDGEMENTS
        assert row["set"] in ("newswire", "pages", "posts", "terms")
        assert re.fullmatch("[a-z ,]{5,40}", row["kind"])


@pytest.mark.realdata
def test_every_edition_of_a_book_but_the_excerpt_is_like_the_others(topic: ModuleType, realdata: Path) -> None:
    books = topic.duplicate_sets.books(realdata, 2)
    editions = [name.partition("|")[2] for name in books.names]
    pairs = topic.similar_pairs(books.texts, 0.75)
    assert {(editions[one], editions[two]) for one, two in zip(pairs.left, pairs.right)} == {
        (one, two) for one, two in combinations(topic.duplicate_sets.EDITIONS, 2) if two != "excerpt"
    }
    assert len(pairs) == 2 * 6
