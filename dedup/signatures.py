"""MinHash signatures (Broder 1997, "On the resemblance and containment of documents").

A signature holds, for each of k permutations of the shingle hashes, the least value that a document's shingles take.
The share of places in which two signatures agree estimates the Jaccard similarity J of the two sets, with standard
error sqrt(J (1 - J) / k).

A permutation is affine, x -> a x + b modulo 2^64 (or 2^32, as an option) with odd a, like the schemes affine64 and
affine32 of datasketch 2; shingle hashes are mixed beforehand. Differs from both: of each value 16 bits are stored,
taken from a hash of the whole, which makes a signature of 112 values 224 bytes (b-bit minwise hashing, Li and König
2010, arXiv:0910.3349, with b = 16: two values that differ look equal once in 65,536, which raises the estimate by less
than 0.00002).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.dedup.shingles import Shingles
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import mixed

VALUE_BYTES = 2
"""Of each value in a stored signature."""


@lru_cache
def permutations(count: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Multipliers (odd) and increments, uint64[count] each; the 32-bit permutations are their low halves.

    The first n of a larger count are those of n. Drawn by hashing, since numpy's generators may change their streams.
    """
    drawn = np.frombuffer(
        b"".join(hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=16).digest() for index in range(count)), "<u8"
    ).reshape(count, 2)
    return frozen(drawn[:, 0] | np.uint64(1)), frozen(drawn[:, 1])


def signatures_of(shingles: Shingles, count: int, seed: int, hash_bits: int) -> NDArray[np.uint16]:
    """uint16[documents, count]: the stored signatures. A document without shingles has one like any other without."""
    multipliers, increments = permutations(count, seed)
    if hash_bits == 64:
        minima = np.empty((len(shingles.words), count), np.uint64)
        minima_64(shingles.firsts, shingles.hashes, multipliers, increments, minima)
    else:
        halves = np.empty((len(shingles.words), count), np.uint32)
        low = [frozen(values.astype(np.uint32)) for values in (multipliers, increments)]
        minima_32(shingles.firsts, shingles.hashes, low[0], low[1], halves)
        minima = halves.astype(np.uint64)
    signatures = np.empty(minima.shape, np.uint16)
    shorten(frozen(minima), signatures)
    return signatures


# Eight shingles at a time: each multiplier and increment is then loaded once for eight products, and each minimum read
# and written once. On prose and one core of a Zen 5: 1,430 MB/s of text; four at a time 1,200, one at a time 420.
@kernel
def minima_64(
    firsts: NDArray[np.int32],
    shingles: NDArray[np.uint64],
    multipliers: NDArray[np.uint64],
    increments: NDArray[np.uint64],
    minima: NDArray[np.uint64],
) -> None:
    """The least value of each permutation over each document's shingles; 2^64 - 1 where there are none."""
    for document in range(firsts.shape[0] - 1):
        least = minima[document]
        least[:] = uint64(0xFFFFFFFFFFFFFFFF)
        shingle, end = firsts[document], firsts[document + 1]
        while shingle + 8 <= end:
            s, t, u, v = shingles[shingle], shingles[shingle + 1], shingles[shingle + 2], shingles[shingle + 3]
            w, x, y, z = shingles[shingle + 4], shingles[shingle + 5], shingles[shingle + 6], shingles[shingle + 7]
            for k in range(multipliers.shape[0]):
                a, b = multipliers[k], increments[k]
                one = min(min(s * a + b, t * a + b), min(u * a + b, v * a + b))
                two = min(min(w * a + b, x * a + b), min(y * a + b, z * a + b))
                least[k] = min(least[k], min(one, two))
            shingle += 8
        while shingle < end:
            for k in range(multipliers.shape[0]):
                least[k] = min(least[k], shingles[shingle] * multipliers[k] + increments[k])
            shingle += 1


@kernel
def minima_32(
    firsts: NDArray[np.int32],
    shingles: NDArray[np.uint64],
    multipliers: NDArray[np.uint32],
    increments: NDArray[np.uint32],
    minima: NDArray[np.uint32],
) -> None:
    """As `minima_64`, over the high halves of the shingles."""
    for document in range(firsts.shape[0] - 1):
        least = minima[document]
        least[:] = uint32(0xFFFFFFFF)
        shingle, end = firsts[document], firsts[document + 1]
        while shingle + 4 <= end:
            s, t = uint32(shingles[shingle] >> uint64(32)), uint32(shingles[shingle + 1] >> uint64(32))
            u, v = uint32(shingles[shingle + 2] >> uint64(32)), uint32(shingles[shingle + 3] >> uint64(32))
            for k in range(multipliers.shape[0]):
                a, b = multipliers[k], increments[k]
                # A product of two uint32 is a uint64 to numba; cast back, or nothing is vectorised.
                one = min(uint32(uint32(s * a) + b), uint32(uint32(t * a) + b))
                two = min(uint32(uint32(u * a) + b), uint32(uint32(v * a) + b))
                least[k] = min(least[k], min(one, two))
            shingle += 4
        while shingle < end:
            s = uint32(shingles[shingle] >> uint64(32))
            for k in range(multipliers.shape[0]):
                least[k] = min(least[k], uint32(uint32(s * multipliers[k]) + increments[k]))
            shingle += 1


@kernel
def shorten(minima: NDArray[np.uint64], signatures: NDArray[np.uint16]) -> None:
    """16 bits of a hash of each value. Bits of the value itself would not do: two documents of one shingle each whose
    hashes agree in the low 16 bits agree there under every permutation, so they would look equal."""
    for document in range(minima.shape[0]):
        for k in range(minima.shape[1]):
            signatures[document, k] = mixed(minima[document, k]) >> uint64(48)
