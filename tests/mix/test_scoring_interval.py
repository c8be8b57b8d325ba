from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from corpusmill.mix.scoring_interval import bootstrap


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[..., 1] / sums[..., 0])


def drawn(count: int, seed: int, part: float) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    sizes = generator.lognormal(0, 1, count)
    return np.stack([sizes, sizes * (generator.random(count) < part)], axis=1)


@pytest.mark.parametrize("count", [200, 5000])
def test_about_nineteen_of_twenty_intervals_hold_the_truth(count: int) -> None:
    held = 0
    for seed in range(100):
        low, high = bootstrap(drawn(count, seed, 0.2), np.arange(count, dtype=np.uint64), share, 0.01)
        held += low <= 0.2 <= high
    assert 88 <= held <= 99


def test_more_documents_make_it_narrower_and_so_does_a_larger_share() -> None:
    def width(count: int, of_all: float) -> float:
        low, high = bootstrap(drawn(count, 1, 0.2), np.arange(count, dtype=np.uint64), share, of_all)
        return high - low

    assert width(6400, 0.01) == pytest.approx(width(400, 0.01) / 4, rel=0.4)
    assert width(400, 0.75) == pytest.approx(width(400, 0) / 2, rel=1e-6)
    assert width(400, 1) == 0


def test_documents_of_one_key_are_drawn_together() -> None:
    columns = drawn(4000, 1, 0.2)
    alone = bootstrap(columns, np.arange(4000, dtype=np.uint64), share, 0)
    together = bootstrap(np.repeat(columns[:400], 10, axis=0), np.repeat(np.arange(400, dtype=np.uint64), 10), share, 0)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_a_sample_without_any_loss_is_not_taken_for_certain() -> None:
    columns = np.stack([np.ones(300), np.ones(300)], axis=1)
    assert bootstrap(columns, np.arange(300, dtype=np.uint64), share, 0) == (pytest.approx(0.99), 1)
    columns[:, 1] = 0
    assert bootstrap(columns, np.arange(300, dtype=np.uint64), share, 0) == (0, pytest.approx(0.01))


def test_it_depends_on_neither_order_nor_run() -> None:
    columns, keys = drawn(3000, 2, 0.3), np.arange(3000, dtype=np.uint64)
    first = bootstrap(columns, keys, share, 0.1)
    assert bootstrap(columns[::-1], keys[::-1], share, 0.1) == pytest.approx(first, abs=1e-12)
