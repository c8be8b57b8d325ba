"""Clusters of embeddings by k-means, and within each the documents that stay: stars, never chains.

K-means is spherical: a vector belongs to the centroid that it has the highest cosine similarity to. Centroids are those
of scikit-learn's MiniBatchKMeans on a sample of at most SAMPLE vectors, scaled to length 1. A cluster of more than
LARGEST vectors is parted again in the same way, at most DEPTH times, so that comparing all with all within clusters
stays cheap; copies of few vectors cannot be parted, and need not be: they go at the first comparison.

Cost, for n vectors in k clusters of about equal size: n * k products of two vectors to assign them, and at most
n * n / 2k to compare them. A vector is compared with those of its cluster that stay, LARGEST of them at most. Memory:
the sample and the centroids as float32, and a block of BLOCK by CHUNK similarities.

Everything runs on one thread: with more, sums and with them the last bits would depend on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import int32
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, kernel

SAMPLE = 131_072
LARGEST = 32_768
DEPTH = 3
BLOCK = 1024
CHUNK = 8192
_NOT_ALIKE = np.float32(-2)
_ROUNDING = 1e-6  # of a product of two float32 vectors of length 1: equal ones count as equal


class Vectors:
    """Embeddings in a file: float16[documents, dimensions], each of length 1."""

    def __init__(self, stored: NDArray[np.float16]) -> None:
        self._stored = stored

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some of them, their lengths made 1 again after the rounding to float16."""
        found = self._stored[rows].astype(np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which cluster each of some vectors is in."""

    labels: NDArray[np.int32]
    """Of each vector; clusters count from 0, and none is empty."""
    nearness: NDArray[np.float32]
    """Cosine similarity of each vector to the centroid of its cluster."""


def clustered(vectors: Vectors, rows: NDArray[np.int64], count: int, seed: int) -> Clusters:
    """Parts the vectors in `rows` into about `count` clusters; the same ones for the same rows in the same order."""
    from threadpoolctl import threadpool_limits

    labels, nearness = np.zeros(len(rows), np.int32), np.ones(len(rows), np.float32)
    with threadpool_limits(limits=1):
        _part(vectors, rows, np.arange(len(rows)), count, seed, DEPTH, labels, nearness)
    return Clusters(np.unique(labels, return_inverse=True)[1].astype(np.int32), nearness)


def _part(
    vectors: Vectors,
    rows: NDArray[np.int64],
    members: NDArray[np.int64],
    count: int,
    seed: int,
    depth: int,
    labels: NDArray[np.int32],
    nearness: NDArray[np.float32],
) -> None:
    """Labels the members, which all have one label, with that and new ones."""
    centres = _centres(vectors, rows[members], count, seed)
    own = np.empty(len(members), np.int32)
    for begin in range(0, len(members), BLOCK):
        block = slice(begin, begin + BLOCK)
        alike = vectors[rows[members[block]]] @ centres.T
        own[block] = alike.argmax(axis=1)
        nearness[members[block]] = alike.max(axis=1)
    labels[members] = own + labels.max() + 1
    order = np.argsort(own, kind="stable")
    parts = np.split(members[order], np.flatnonzero(np.diff(own[order])) + 1)
    for part in parts:
        if len(part) > LARGEST and len(parts) > 1 and depth > 1:
            _part(vectors, rows, part, -(-4 * len(part) // LARGEST), seed, depth - 1, labels, nearness)


def _centres(vectors: Vectors, rows: NDArray[np.int64], count: int, seed: int) -> NDArray[np.float32]:
    """float32[at most count, dimensions]: centroids of length 1."""
    from sklearn.cluster import MiniBatchKMeans  # takes a second

    # Ids are hashes and rows are in their order, so that every so many of them are a sample by chance.
    sample = vectors[rows[:: -(-len(rows) // SAMPLE)]]
    different = np.unique(sample, axis=0)
    if len(different) <= count:
        return different
    means = MiniBatchKMeans(count, n_init=1, batch_size=max(BLOCK, count), random_state=seed % 2**32).fit(sample)
    centres = means.cluster_centers_.astype(np.float32)
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return np.divide(centres, lengths, out=np.zeros_like(centres), where=lengths > 0)


def settle(
    vectors: Vectors,
    rows: NDArray[np.int64],
    lengths: NDArray[np.float32],
    firsts: NDArray[np.int64],
    *,
    min_similarity: float,
    min_length_ratio: float = 0.0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Decides which documents of each cluster stay.

    Args:
        rows: of vectors, cluster after cluster, each in keep order: a document goes if it is similar to one before it
            that stays, and of a length not too different.
        lengths: of the documents, in the same order.
        firsts: int64[clusters + 1]: where each begins in `rows`.

    Returns:
        For each, the place in `rows` of the most similar document that stays before it, or -1 where it stays itself;
        and the similarity to that, or 0.
    """
    from threadpoolctl import threadpool_limits

    twins, alike = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.float32)
    least = float(np.float32(min_similarity - _ROUNDING))  # as numpy and the kernel both compare it
    with threadpool_limits(limits=1):
        for first, end in pairwise(firsts.tolist()):
            own = slice(first, end)
            found = _settle_cluster(vectors, rows[own], lengths[own], least, min_length_ratio, alike[own])
            twins[own] = np.where(found < 0, found, first + found)
    return twins, alike


def _settle_cluster(
    vectors: Vectors,
    rows: NDArray[np.int64],
    lengths: NDArray[np.float32],
    least: float,
    min_length_ratio: float,
    alike: NDArray[np.float32],
) -> NDArray[np.int64]:
    """The twin of each document of a cluster by its place in that, or -1; fills `alike`."""
    twins = np.full(len(rows), -1, np.int64)
    kept, places = vectors[rows[:0]], np.empty(0, np.int64)
    for begin in range(0, len(rows), BLOCK):
        here = slice(begin, begin + BLOCK)
        block, sizes = vectors[rows[here]], lengths[here]
        best, which = _nearest(block, sizes, kept, lengths[places], min_length_ratio)
        undecided = np.flatnonzero(best < least).astype(np.int32)
        among = _similarities(block, sizes, block[undecided], sizes[undecided], min_length_ratio)
        stays = np.zeros(len(block), np.bool_)
        settle_block(frozen(among), frozen(undecided), least, len(kept), best, which, stays)
        going, fresh = np.flatnonzero(~stays), np.flatnonzero(stays)
        twins[begin + going] = np.concatenate([places, begin + undecided])[which[going]]
        alike[begin + going] = np.minimum(best[going], 1)
        fresh = fresh[: LARGEST - len(places)]
        kept, places = np.concatenate([kept, block[fresh]]), np.concatenate([places, begin + fresh])
    return twins


def _nearest(
    block: NDArray[np.float32],
    sizes: NDArray[np.float32],
    kept: NDArray[np.float32],
    kept_sizes: NDArray[np.float32],
    min_length_ratio: float,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Similarity and number of the most similar vector in `kept` for each of the block; below all, if there is none."""
    best, which = np.full(len(block), _NOT_ALIKE, np.float32), np.zeros(len(block), np.int32)
    for begin in range(0, len(kept), CHUNK):
        part = slice(begin, begin + CHUNK)
        alike = _similarities(block, sizes, kept[part], kept_sizes[part], min_length_ratio)
        numbers = alike.argmax(axis=1)
        highest = np.take_along_axis(alike, numbers[:, None], axis=1)[:, 0]
        better = highest > best
        best[better], which[better] = highest[better], begin + numbers[better]
    return best, which


def _similarities(
    vectors: NDArray[np.float32],
    lengths: NDArray[np.float32],
    others: NDArray[np.float32],
    other_lengths: NDArray[np.float32],
    min_length_ratio: float,
) -> NDArray[np.float32]:
    """Cosines of each to each other one, and _NOT_ALIKE where lengths are too different."""
    alike = vectors @ others.T
    if min_length_ratio:
        alike[lengths[:, None] < np.float32(min_length_ratio) * other_lengths] = _NOT_ALIKE
        alike[other_lengths < np.float32(min_length_ratio) * lengths[:, None]] = _NOT_ALIKE
    return alike


@kernel
def settle_block(
    among: NDArray[np.float32],
    undecided: NDArray[np.int32],
    least: float,
    kept: int,
    best: NDArray[np.float32],
    which: NDArray[np.int32],
    stays: NDArray[np.bool_],
) -> None:
    """Decides on a block in order, given the most similar one of earlier blocks that stays.

    Args:
        among: float32[block, undecided]: similarities within the block.
        undecided: places in the block of those that are similar to none of the earlier blocks; rising.
        kept: how many stay of the earlier blocks.
        best, which: the most similar before each; those of the block count from `kept` on, in the order of `undecided`.
    """
    for one in range(among.shape[0]):
        for number in range(undecided.shape[0]):
            other = undecided[number]
            if other >= one:
                break
            if stays[other] and among[one, number] > best[one]:
                best[one] = among[one, number]
                which[one] = int32(kept + number)
        stays[one] = best[one] < least
