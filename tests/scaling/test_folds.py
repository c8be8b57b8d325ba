"""Held-out documents as a sample: folds, and what they say of a loss's error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.scaling.folds import FOLDS, by_fold, deal, errors


@given(st.lists(st.integers(0, 60), min_size=1, max_size=200), st.integers(0, 3))
def test_clusters_stay_whole_and_folds_have_as_many_of_them(groups: list[int], seed: int) -> None:
    folds = deal(np.array(groups, np.uint64), seed)
    of = dict(zip(groups, folds.tolist(), strict=True))
    assert [of[group] for group in groups] == folds.tolist()
    counts = np.bincount(list(of.values()))
    assert len(counts) == min(FOLDS, len(of))
    assert counts.max() - counts.min() <= 1


def test_with_one_document_in_a_fold_the_jackknife_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(3)
    bits, sizes = rng.gamma(3, 100, 25), np.full(25, 200)
    found = errors({"web": by_fold(bits, sizes, np.arange(25))}, {"web": 1.0})
    assert found is not None
    assert np.square(found).sum() == pytest.approx(np.var(bits / 200, ddof=1) / 25)


def test_the_covariance_of_two_cells_is_that_over_samples_of_documents() -> None:
    rng = np.random.default_rng(5)
    weights = {"web": 0.75, "books": 0.25, "unused": 0.0}
    found = []
    for _ in range(200):
        cells: list[dict[str, dict[str, list[float]]]] = [{}, {}]
        for domain in ("web", "books"):
            sizes = rng.integers(100, 1000, 300)
            hard = rng.normal(1.2, 0.2, 300)  # for both cells
            place = deal(rng.integers(0, 2**60, 300).astype(np.uint64), 0)
            for cell in cells:
                cell[domain] = by_fold(sizes * (hard + rng.normal(0, 0.1, 300)), sizes, place)
        one, other = (np.concatenate(errors(cell, weights) or []) for cell in cells)
        found.append([one @ one, one @ other, (one - other) @ (one - other)])
    sizes = np.arange(100, 1000)
    each = (0.75**2 + 0.25**2) * np.mean(sizes**2) / np.mean(sizes) ** 2 / 300
    assert np.mean(found, axis=0) == pytest.approx(each * np.array([0.05, 0.04, 0.02]), rel=0.08)


def test_a_single_cluster_says_nothing_and_empty_documents_are_none() -> None:
    bits, sizes = np.array([8.0, 9.0, 1.0]), np.array([4, 5, 0])
    assert errors({"web": by_fold(bits[:1], sizes[:1], np.array([0]))}, {"web": 1.0}) is None
    assert errors({"web": by_fold(bits, sizes, np.array([0, 0, 1]))}, {"web": 1.0}) is None
    found = errors({"web": by_fold(bits, sizes, np.array([0, 1, 2]))}, {"web": 1.0})
    assert found is not None
    assert len(found[0]) == 2
