"""Near copies among documents in memory: which documents are much like one that is preferred to them.

MinHash signatures (dedup/signatures.py; 112 values over 3-grams of words). Two documents are near copies when half of
the values agree, an estimated Jaccard similarity of .5: two thirds of the 3-grams of each are the other's, as where one
word in eight was changed. They are compared when they share one of 28 bands of 4 values, as pairs of similarity .5 do
with a chance of .84, of .6 with .98.

Clusters are stars: in the given order, a document is a near copy if it is like one before it that is none, and so is
preferred. So a chain of revisions loses what is like a revision that stays, and no more.

Differs from mix/groups.py, which keeps chains together, asks for more agreement, and works out of core.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from corpusmill.dedup.banding import band_keys
from corpusmill.dedup.clusters import agreement
from corpusmill.dedup.shingles import shingles_of
from corpusmill.dedup.signatures import signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel

BANDS, ROWS = 28, 4
VALUES = BANDS * ROWS
"""Of a signature."""
LEAST_AGREEMENT = 56
"""Values of 112 that agree in near copies. With 5-grams and .55, of planted copies with one word of 20 changed .63
were found, with 3-grams and .5 it is .98; in books and articles as they are, neither finds any."""

_NGRAM = 3
_SEED = 0
_HASH_BITS = 64


def near_signatures(batch: TextBatch) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """The signature of each document, and whether it has a word at all."""
    shingles = shingles_of(batch, _NGRAM, False)
    return signatures_of(shingles, VALUES, _SEED, _HASH_BITS), shingles.words > 0


def near_copies(
    signatures: NDArray[np.uint16], usable: NDArray[np.bool_], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each document the one before it in `order` that it is a near copy of, or -1.

    Args:
        signatures: uint16[documents, VALUES].
        usable: documents that can be a near copy at all.
        order: all documents, the preferred first.
    """
    twins = np.full(len(signatures), -1, np.int64)
    if len(signatures):
        buckets, count = _buckets(signatures, usable)
        stays = np.full(count, -1, np.int64)
        find_twins(frozen(signatures), frozen(order), frozen(buckets), LEAST_AGREEMENT, stays, twins)
    return twins


def _buckets(signatures: NDArray[np.uint16], usable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """int64[documents, BANDS]: the number of the documents' bucket in each band, -1 where it is alone; and how many
    buckets there are."""
    keys = np.empty((BANDS, len(signatures)), np.uint64)
    band_keys(frozen(signatures), BANDS, ROWS, 0, keys)
    buckets = np.full((len(signatures), BANDS), -1, np.int64)
    count = 0
    candidates = np.flatnonzero(usable)
    for band in range(BANDS):
        order = candidates[np.argsort(keys[band, candidates], kind="stable")]
        values = keys[band, order]
        first = np.ones(len(values), np.bool_)
        first[1:] = values[1:] != values[:-1]
        numbers = np.cumsum(first) - 1
        shared = np.bincount(numbers, minlength=1)[numbers] > 1 if len(numbers) else numbers.astype(np.bool_)
        buckets[order[shared], band] = count + numbers[shared]
        count += int(first.sum())
    return buckets, count


@kernel
def find_twins(
    signatures: NDArray[np.uint16],
    order: NDArray[np.int64],
    buckets: NDArray[np.int64],
    least: int,
    stays: NDArray[np.int64],
    twins: NDArray[np.int64],
) -> None:
    """Fills `twins`. `stays` is scratch, -1 throughout: the first of each bucket that is no near copy."""
    for place in range(order.shape[0]):
        document = order[place]
        last = -1
        for band in range(buckets.shape[1]):
            bucket = buckets[document, band]
            if bucket < 0:
                continue
            other = stays[bucket]
            if other >= 0 and other != last:
                if agreement(signatures[document], signatures[other]) >= least:
                    twins[document] = other
                    break
                last = other
        if twins[document] < 0:
            for band in range(buckets.shape[1]):
                bucket = buckets[document, band]
                if bucket >= 0 and stays[bucket] < 0:
                    stays[bucket] = document
