"""Clusters of embeddings by k-means, and within each the documents that stay: stars, never chains.

K-means is spherical: a vector belongs to the centroid that it has the highest cosine similarity to. Centroids are those
of scikit-learn's MiniBatchKMeans on a sample of at most SAMPLE vectors, scaled to length 1. A cluster of more than
LARGEST vectors is parted again in the same way, at most DEPTH times, so that comparing all with all within clusters
stays cheap; copies of few vectors cannot be parted, and need not be: they go at the first comparison.

Cost, for n vectors in k clusters of about equal size: n * k products of two vectors to assign them, and at most
n * n / 2k to compare them. A vector is compared with those of its cluster that stay, LARGEST of them at most. Memory:
the sample and the centroids as float32, and a block of BLOCK by CHUNK similarities.

What is similar (`Limits`): a cosine alone says little, since whole kinds of text are alike to a model. To a static one,
half of 22,000 pages, posts and reports were as similar to some other one as four fifths of rewritten articles are to
their originals. What says more is the distance (1 - cosine) of two texts as a share of that to texts of their kind: to
their NEIGHBOURS-th nearest (docs/log.md has the figures). It is the ratio test by which Lowe 2004 ("Distinctive image
features", section 7.1) matches keypoints, with a later neighbour than the second, since a text may have several twins,
and with the mean of both sides.

Everything runs on one thread: with more, sums and with them the last bits would depend on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import int32
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, kernel

SAMPLE = 131_072
LARGEST = 32_768
DEPTH = 3
BLOCK = 1024
CHUNK = 8192
NEIGHBOURS = 8
CROWD = 4096
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


@dataclass(frozen=True, slots=True)
class Limits:
    """When two documents are similar."""

    min_similarity: float
    """Of their vectors."""
    min_length_ratio: float = 0.0
    """Of the shorter one to the longer one; 0: any."""
    max_distance_ratio: float | None = None
    """Of their distance to the mean of their distances to the NEIGHBOURS-th nearest of their cluster (of a sample of
    CROWD of it). None: off."""


class _Texts(NamedTuple):
    """Some documents: what is looked at to say whether they are similar to others."""

    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32]
    crowding: NDArray[np.float32]

    def part(self, chosen: slice | NDArray[np.integer[Any]]) -> _Texts:
        return _Texts(self.vectors[chosen], self.lengths[chosen], self.crowding[chosen])

    def joined(self, others: _Texts) -> _Texts:
        return _Texts(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


def settle(
    vectors: Vectors, rows: NDArray[np.int64], lengths: NDArray[np.float32], firsts: NDArray[np.int64], limits: Limits
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Decides which documents of each cluster stay.

    Args:
        rows: of vectors, cluster after cluster, each in keep order: a document goes if it is similar to one before it
            that stays.
        lengths: of the documents, in the same order.
        firsts: int64[clusters + 1]: where each begins in `rows`.

    Returns:
        For each, the place in `rows` of the most similar document that stays before it, or -1 where it stays itself;
        and the similarity to that, or 0.
    """
    from threadpoolctl import threadpool_limits

    twins, alike = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.float32)
    with threadpool_limits(limits=1):
        for first, end in pairwise(firsts.tolist()):
            own = slice(first, end)
            found = _settle_cluster(vectors, rows[own], lengths[own], limits, alike[own])
            twins[own] = np.where(found < 0, found, first + found)
    return twins, alike


def _settle_cluster(
    vectors: Vectors,
    rows: NDArray[np.int64],
    lengths: NDArray[np.float32],
    limits: Limits,
    alike: NDArray[np.float32],
) -> NDArray[np.int64]:
    """The twin of each document of a cluster by its place in that, or -1; fills `alike`."""
    least = float(np.float32(limits.min_similarity - _ROUNDING))  # as numpy and the kernel both compare it
    crowding = np.full(len(rows), -1, np.float32) if limits.max_distance_ratio is None else crowding_of(vectors, rows)
    twins = np.full(len(rows), -1, np.int64)
    kept, places = _Texts(vectors[rows[:0]], lengths[:0], crowding[:0]), np.empty(0, np.int64)
    for begin in range(0, len(rows), BLOCK):
        here = slice(begin, begin + BLOCK)
        block = _Texts(vectors[rows[here]], lengths[here], crowding[here])
        best, which = _nearest(block, kept, limits)
        undecided = np.flatnonzero(best < least).astype(np.int32)
        among = _similarities(block, block.part(undecided), limits)
        stays = np.zeros(len(best), np.bool_)
        settle_block(frozen(among), frozen(undecided), least, len(places), best, which, stays)
        going, fresh = np.flatnonzero(~stays), np.flatnonzero(stays)
        twins[begin + going] = np.concatenate([places, begin + undecided])[which[going]]
        alike[begin + going] = np.minimum(best[going], 1)
        fresh = fresh[: LARGEST - len(places)]
        kept, places = kept.joined(block.part(fresh)), np.concatenate([places, begin + fresh])
    return twins


def crowding_of(vectors: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Similarity of each of a cluster's vectors to the NEIGHBOURS-th nearest other one of a sample of the cluster; -1
    where there are not so many."""
    step = -(-len(rows) // CROWD)
    crowd = vectors[rows[::step]]
    crowding = np.full(len(rows), -1, np.float32)
    if len(crowd) > NEIGHBOURS:
        for begin in range(0, len(rows), BLOCK):
            alike = vectors[rows[begin : begin + BLOCK]] @ crowd.T
            places = np.arange(begin, begin + len(alike))
            sampled = places % step == 0
            alike[sampled, places[sampled] // step] = _NOT_ALIKE  # itself
            crowding[places] = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
    return crowding


def _nearest(block: _Texts, kept: _Texts, limits: Limits) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Similarity and number of the most similar one of `kept` for each of the block; below all, if there is none."""
    best, which = np.full(len(block.lengths), _NOT_ALIKE, np.float32), np.zeros(len(block.lengths), np.int32)
    for begin in range(0, len(kept.lengths), CHUNK):
        alike = _similarities(block, kept.part(slice(begin, begin + CHUNK)), limits)
        numbers = alike.argmax(axis=1)
        highest = np.take_along_axis(alike, numbers[:, None], axis=1)[:, 0]
        better = highest > best
        best[better], which[better] = highest[better], begin + numbers[better]
    return best, which


def _similarities(texts: _Texts, others: _Texts, limits: Limits) -> NDArray[np.float32]:
    """Cosines of each to each other one, and _NOT_ALIKE where lengths or neighbours speak against them."""
    alike = texts.vectors @ others.vectors.T
    if limits.min_length_ratio:
        ratio = np.float32(limits.min_length_ratio)
        alike[texts.lengths[:, None] < ratio * others.lengths] = _NOT_ALIKE
        alike[others.lengths < ratio * texts.lengths[:, None]] = _NOT_ALIKE
    if limits.max_distance_ratio is not None:
        usual = 1 - (texts.crowding[:, None] + others.crowding) / 2
        alike[1 - alike > np.float32(limits.max_distance_ratio) * usual + np.float32(_ROUNDING)] = _NOT_ALIKE
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
