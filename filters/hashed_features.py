"""Sets of hashed features: what the linear classifiers of quality and toxicity make of words.

A feature is the highest bits of a 64-bit hash, an index into a table of 2^bits weights. It is there or not: each is
listed once, with the help of a set that has a bit for every feature and is clear before and after.
"""

from __future__ import annotations

import numpy as np
from numba import uint8, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.segmentation import mixed, step

_HASH_BITS = 64


@inlined
def taken(hashed: np.uint64, bits: int, seen: NDArray[np.uint8], features: NDArray[np.uint32], count: int) -> int:
    """Lists a feature that is not listed yet; returns how many there are."""
    feature = hashed >> uint64(_HASH_BITS - bits)
    byte, bit = feature >> uint64(3), uint8(1) << uint8(feature & uint64(7))
    if seen[byte] & bit:
        return count
    seen[byte] |= bit
    features[count] = feature
    return count + 1


@kernel
def words_and_pairs(
    hashes: NDArray[np.uint64],
    first: int,
    last: int,
    bits: int,
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
) -> int:
    """Lists words `first` to `last`, each before the pair that it ends; returns how many features there are."""
    count = 0
    before = uint64(0)
    for word in range(first, last):
        value = hashes[word]
        count = taken(value, bits, seen, features, count)
        if word > first:
            count = taken(mixed(step(before, value)), bits, seen, features, count)
        before = value
    return count


@kernel
def clear(seen: NDArray[np.uint8], features: NDArray[np.uint32], count: int) -> None:
    """Takes the features that are listed out of the set."""
    for index in range(count):
        seen[features[index] >> 3] = 0


@kernel
def weight(table: NDArray[np.int16], features: NDArray[np.uint32], count: int) -> int:
    """The sum of the features' weights. Of integers, so it is exact."""
    total = 0
    for index in range(count):
        total += table[features[index]]
    return total
