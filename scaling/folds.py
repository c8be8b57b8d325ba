"""How far a cell's loss hangs on which documents happen to be held out.

Held-out documents are a sample, and what helps on them may not help on the others: seeds do not see that, since all
cells are evaluated on the same ones. So the clusters of near-duplicates of each domain are dealt into folds, and the
loss is computed again without each of them: the delete-a-group jackknife (Kott 2001, "The Delete-a-Group Jackknife",
Journal of Official Statistics 17:521). Here the deviations themselves are kept, scaled so that the sum of the products
of two cells' deviations is the covariance of their losses, and of each with itself its variance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from corpusmill.mix.keys import keyed

FOLDS = 30
"""Of a domain, at most."""

Floats = NDArray[np.float64]
ByFold = dict[str, list[float]]
"""`bits` and `bytes` of each fold of a domain."""


def deal(group_hashes: NDArray[np.uint64], seed: int) -> NDArray[np.int64]:
    """The fold of each document: whole clusters, as many in each fold as in the others, or one more.

    Args:
        group_hashes: of the documents' clusters.

    >>> deal(np.array([7, 7, 9, 7], np.uint64), 0).tolist()
    [1, 1, 0, 1]
    """
    groups, place = np.unique(group_hashes, return_inverse=True)
    ranks = np.empty(len(groups), np.int64)
    ranks[np.argsort(keyed(groups, seed, "sweep/folds"), kind="stable")] = np.arange(len(groups))
    return np.asarray(ranks % FOLDS)[place]


def by_fold(bits: Floats, text_bytes: NDArray[np.int64], folds: NDArray[np.int64]) -> ByFold:
    """Sums of each fold, as JSON data.

    Args:
        bits: float64[documents].
        text_bytes: int64[documents].
        folds: of each document, as `deal` numbers them.
    """
    return {
        "bits": np.bincount(folds, bits).tolist(),
        "bytes": np.bincount(folds, text_bytes).tolist(),
    }


def errors(folds: Mapping[str, ByFold], weights: Mapping[str, float]) -> list[list[float]] | None:
    """The deviations of a cell's loss, by domain; None where one with a weight has a single fold, which tells nothing.

    Args:
        folds: what `by_fold` gives, by domain.
        weights: of the domains, which sum to 1.
    """
    found: list[list[float]] = []
    for domain, weight in weights.items():
        if not weight:
            continue
        bits, text_bytes = np.array(folds[domain]["bits"]), np.array(folds[domain]["bytes"])
        bits, text_bytes = bits[text_bytes > 0], text_bytes[text_bytes > 0]
        if len(bits) < 2:
            return None
        without = weight * (bits.sum() - bits) / (text_bytes.sum() - text_bytes)
        deviations: Floats = (without - without.mean()) * np.sqrt(1 - 1 / len(bits))
        found.append(deviations.tolist())
    return found
