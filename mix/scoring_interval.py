"""How far a share that a sample shows may be from that of the whole: the bootstrap (Efron 1979), by groups.

Documents that came into the sample together are drawn together. Groups are dealt into at most BUCKETS buckets by a hash
of their key first: their sums vary as those of groups do, and a draw costs the same whatever the sample. Draws are
hashed numbers, as numpy's generators may change their streams.

Differs from Efron: the sample is a share f of a finite whole, so the deviations are shrunk by sqrt(1 - f) (Cochran
1977, Sampling Techniques, section 2.6); a whole that was read to its end has no interval. What a sample happens to
have nothing of, the bootstrap cannot see: ends are moved by 3/n, n the groups (the rule of three: at most so much with
a chance of 95 %), where a share is 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from corpusmill.mix.keys import keyed

BUCKETS = 1000
DRAWS = 1000
LEVEL = 0.95

Estimate = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From sums, float64[…, columns], to an estimate of each, float64[…]."""


def bootstrap(
    columns: NDArray[np.float64], keys: NDArray[np.uint64], estimate: Estimate, share: float
) -> tuple[float, float]:
    """The two ends of the interval of an estimate between 0 and 1.

    Args:
        columns: float64[documents, columns], whose sums are estimated from.
        keys: documents of one key are drawn together.
        share: of the whole that the sample is.
    """
    centre = float(estimate(columns.sum(axis=0)))
    groups, places = np.unique(keys, return_inverse=True)
    buckets = min(BUCKETS, len(groups))
    bucket = places if buckets == len(groups) else (keyed(groups, 0, "bucket") % np.uint64(buckets)).astype(int)[places]
    sums = np.stack([np.bincount(bucket, column, buckets) for column in columns.T], axis=1)
    deviations = (estimate(_times(buckets) @ sums) - centre) * np.sqrt(max(0.0, 1 - share))
    low, high = centre + np.quantile(deviations, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    unseen = 3 / len(groups) * np.sqrt(max(0.0, 1 - share))
    if centre >= 1 - 1e-12:
        low = 1 - unseen
    if centre <= 1e-12:
        high = unseen
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


@lru_cache(maxsize=2)
def _times(buckets: int) -> NDArray[np.float64]:
    """float64[DRAWS, buckets]: how often each draw has each bucket."""
    drawn = keyed(np.arange(DRAWS * buckets, dtype=np.uint64), 0, "bootstrap") % np.uint64(buckets)
    places = np.repeat(np.arange(DRAWS), buckets) * buckets + drawn.astype(np.int64)
    return np.bincount(places, minlength=DRAWS * buckets).reshape(DRAWS, buckets).astype(np.float64)
