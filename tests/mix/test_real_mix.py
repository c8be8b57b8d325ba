"""A mix of real text: the ratios, the order and the splits of what a trainer would read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import document_id
from corpusmill.mix.options import MixOptions
from tests.mix.conftest import Built, Documents, build

pytestmark = pytest.mark.realdata

RATIOS = {"terms": 0.4, "forum": 0.35, "law": 0.25}
BUDGET = 2_000_000
OPTIONS = MixOptions(
    ratios=dict(RATIOS),
    unit="words",
    budget=BUDGET,
    max_epochs=3,
    validation=0.1,
    shard_bytes=2_000_000,
    seed=11,
)


def documents(source: str, folder: Path, paths: Iterable[Path]) -> Documents:
    return [
        {
            "id": document_id(source, path.relative_to(folder).as_posix(), 0),
            "text": path.read_text("utf-8", "replace"),
            "source": source,
        }
        for path in sorted(paths)
        if path.is_file()
    ]


@pytest.fixture(scope="module")
def sources(realdata: Path) -> dict[str, Documents]:
    """Revisions of terms of service, which are near-duplicates in chains; posts; and laws."""
    terms, law = realdata / "neardup/opentermsarchive_revisions_contrib", realdata / "text/german_federal_laws_md"
    posts = realdata / "text/newsgroups20_bydate"
    return {
        "terms": documents("terms", terms, terms.rglob("*.md"))[:400],
        "forum": documents("forum", posts, posts.glob("*/sci.*/[0-9]*"))[:2500],
        "law": documents("law", law, law.rglob("*.md")),
    }


@pytest.fixture(scope="module")
def built(sources: dict[str, Documents], tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("real"), sources, OPTIONS, grouped=True)


def test_every_share_is_what_was_asked_to_within_half_a_document(built: Built) -> None:
    rows = built.rows()
    total = sum(row["n_words"] for row in rows)
    for source, ratio in RATIOS.items():
        own = [row["n_words"] for row in rows if row["source"] == source]
        asked = ratio * BUDGET
        assert abs(sum(own) / total - ratio) <= 0.001 or abs(sum(own) - asked) <= max(own) / 2
        assert abs(sum(own) - asked) <= max(own)


def test_the_order_of_the_sources_is_chance(built: Built) -> None:
    names = np.array([row["source"] for row in built.rows()])
    bounds = np.linspace(0, len(names), 31).astype(int)
    counts = [[int((names[a:b] == name).sum()) for name in RATIOS] for a, b in pairwise(bounds)]
    assert stats.chi2_contingency(counts).pvalue > 0.001


def test_neither_cuts_nor_order_of_parts_change_a_byte(
    built: Built, sources: dict[str, Documents], tmp_path: Path
) -> None:
    cuts = {"terms": [7, 200], "forum": [1, 2, 900, 1800], "law": [150]}
    assert build(tmp_path, sources, OPTIONS, cuts, backwards=True, grouped=True).shards == built.shards


def test_no_document_for_validation_is_like_one_for_training(
    built: Built, sources: dict[str, Documents], tmp_path: Path
) -> None:
    train, validation = built.rows("train"), built.rows("validation")
    assert not {row["id"] for row in train} & {row["id"] for row in validation}
    assert len(validation) > 100
    assert similar_pairs(train, validation) == 0
    # Where each document goes by itself, revisions of most texts are on both sides.
    alone = build(tmp_path, sources, OPTIONS)
    assert similar_pairs(alone.rows("train"), alone.rows("validation")) > 20


def similar_pairs(train: list[dict[str, Any]], validation: list[dict[str, Any]]) -> int:
    """Pairs of documents, one of each, that have 75 % of their 5-grams in common."""
    ours, theirs = ([own for _, own in sorted(dict(sets(rows)).items())] for rows in (train, validation))
    holders: dict[int, list[int]] = {}
    for number, hashes in enumerate(ours):
        for value in hashes[hashes % 16 == 0].tolist():  # sets that are alike share many of these
            holders.setdefault(value, []).append(number)
    found = 0
    for hashes in theirs:
        candidates = {number for value in hashes.tolist() for number in holders.get(value, ())}
        for number in candidates:
            shared = len(np.intersect1d(ours[number], hashes, assume_unique=True))
            found += shared / (len(ours[number]) + len(hashes) - shared) >= 0.75
    return found


def sets(rows: list[dict[str, Any]]) -> Iterator[tuple[str, np.ndarray]]:
    """The different shingles of each document by its id, as often as it stands there."""
    shingles = shingles_of(TextBatch.of_texts([row["text"] for row in rows]), 5, False)
    for row, own in zip(rows, np.split(shingles.hashes, shingles.firsts[1:-1]), strict=True):
        yield row["id"], np.unique(own)
