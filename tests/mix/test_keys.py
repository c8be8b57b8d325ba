from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.documents.schema import document_id
from corpusmill.mix.keys import (
    HELD_OUT,
    KEYS,
    TRAIN,
    VALIDATION,
    below,
    id_hashes,
    keyed,
    range_starts,
    selection_keys,
    shuffle_keys,
    splits_of,
)


@pytest.fixture(scope="module")
def hashes() -> np.ndarray:
    return id_hashes(pa.array([document_id("web", "file", row) for row in range(50_000)], pa.string()))


def test_keys_are_spread_evenly_and_differ_by_seed_and_purpose(hashes: np.ndarray) -> None:
    series = [
        selection_keys(hashes, 1),
        selection_keys(hashes, 2),
        shuffle_keys(hashes, 1, 0),
        shuffle_keys(hashes, 1, 1),
    ]
    for keys in series:
        counts = np.bincount((keys >> np.uint64(56)).astype(np.int64), minlength=256)
        expected = len(keys) / 256
        assert ((counts - expected) ** 2 / expected).sum() < 255 + 5 * np.sqrt(2 * 255)  # chi-square, five sigma
    as_numbers = [keys.astype(np.float64) for keys in series]
    assert np.abs(np.corrcoef(as_numbers) - np.eye(4)).max() < 0.03


def test_keyed_is_a_permutation(hashes: np.ndarray) -> None:
    assert len(np.unique(keyed(hashes, 3, "any"))) == len(np.unique(hashes)) == len(hashes)


def test_known_keys_never_change() -> None:
    hashes = id_hashes(pa.array([document_id("web", "crawl/a.warc.gz", 0)], pa.string()))
    assert selection_keys(hashes, 0).tolist() == [1294331835199813486]
    assert shuffle_keys(hashes, 0, 1).tolist() == [14848430729383181562]


def test_the_held_out_shares_are_as_asked_and_a_larger_one_contains_a_smaller(hashes: np.ndarray) -> None:
    small, large = (splits_of(hashes, 1, share, 0.2) for share in (0.01, 0.1))
    assert 0.008 < (small == VALIDATION).mean() < 0.012
    assert 0.095 < (large == VALIDATION).mean() < 0.105
    assert not ((small == VALIDATION) & (large != VALIDATION)).any()
    assert 0.19 < (small == HELD_OUT).mean() < 0.21
    assert (splits_of(hashes, 1, 0.0, 0.0) == TRAIN).all()


def test_below_takes_bounds_from_nothing_to_everything() -> None:
    keys = np.array([0, 5, KEYS - 1], np.uint64)
    assert [below(keys, bound).tolist() for bound in (0, 5, 6, KEYS)] == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize("count", [1, 3, 7, 8, 1000])
def test_ranges_of_keys_are_equal_and_begin_at_zero(count: int) -> None:
    starts = [*range_starts(count).tolist(), KEYS]
    widths = {end - start for start, end in pairwise(starts)}
    assert starts[0] == 0
    assert max(widths) - min(widths) <= 1
