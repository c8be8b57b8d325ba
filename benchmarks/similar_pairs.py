"""All pairs of documents whose exact similarity is high: the truth that near-duplicate search is held against.

No sampling is involved. Of two sets with Jaccard similarity t, the |A| - ceil(t |A|) + 1 rarest members of each hold a
common one (prefix filtering: Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007), so pairs that share none
of those are left out; where t is containment, one of those of the smaller set is anywhere in the larger. All others are
counted in full, by products of sparse matrices of ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.batch import TextBatch

_BATCH = 1_000
_PAIRS = 20_000  # counted at a time
_ROWS = 512  # of the candidates' matrix at a time


@dataclass(frozen=True, slots=True)
class SimilarPairs:
    """Pairs `left[i] < right[i]` with their exact similarities, and the different n-grams of all documents."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarities: NDArray[np.float64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    def of_at_least(self, similarity: float) -> SimilarPairs:
        chosen = self.similarities >= similarity
        return SimilarPairs(self.left[chosen], self.right[chosen], self.similarities[chosen], self.sizes)


def similar_pairs(
    texts: Sequence[str], similarity: float, *, ngram: int = 5, fold_numbers: bool = False, containment: bool = False
) -> SimilarPairs:
    """All pairs of at least this similarity, by their sets of word n-grams (dedup/shingles.py).

    Args:
        containment: of the smaller set in the larger, instead of Jaccard similarity.
    """
    sets = _sets(texts, ngram, fold_numbers)
    sizes = np.diff(sets.indptr).astype(np.int64)
    left, right = _candidates(sets, sizes, similarity, containment)
    shared = _shared(sets, left, right)
    smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
    similarities = shared / (smaller if containment else smaller + larger - shared)
    return SimilarPairs(left, right, similarities, sizes).of_at_least(similarity)


def _shared(sets: sparse.csr_array, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    shared = np.zeros(len(left), np.int64)
    for begin in range(0, len(left), _PAIRS):
        some = slice(begin, begin + _PAIRS)
        shared[some] = sets[left[some]].multiply(sets[right[some]]).sum(axis=1)
    return shared


def _sets(texts: Sequence[str], ngram: int, fold_numbers: bool) -> sparse.csr_array:
    """A row of ones for each document; columns are n-grams, the rarest first."""
    hashes, documents = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for begin in range(0, len(texts), _BATCH):
        shingles = shingles_of(TextBatch.of_texts(texts[begin : begin + _BATCH]), ngram, fold_numbers)
        hashes.append(shingles.hashes)
        documents.append(np.repeat(np.arange(len(shingles.words)) + begin, np.diff(shingles.firsts)))
    distinct, numbers = np.unique(np.concatenate(hashes), return_inverse=True)
    shape = len(texts), len(distinct)
    sets = sparse.csr_array((np.ones(len(numbers), np.int32), (np.concatenate(documents), numbers)), shape)
    sets.sum_duplicates()
    sets.data[:] = 1
    frequencies = np.bincount(sets.indices, minlength=len(distinct))
    ranks = np.empty(len(distinct), sets.indices.dtype)
    ranks[np.argsort(frequencies, kind="stable")] = np.arange(len(distinct))
    ranked = sparse.csr_array((sets.data, ranks[sets.indices], sets.indptr), shape)
    ranked.sort_indices()
    return ranked


def _candidates(
    sets: sparse.csr_array, sizes: NDArray[np.int64], similarity: float, containment: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of which the smaller set shares one of its rarest n-grams with the larger, and whose sizes allow the
    similarity."""
    prefixes = np.where(sizes > 0, sizes - np.ceil(similarity * sizes - 1e-9).astype(np.int64) + 1, 0)
    place = np.arange(len(sets.indices)) - np.repeat(sets.indptr[:-1], sizes)
    within = place < np.repeat(prefixes, sizes)
    firsts = np.concatenate([[0], np.cumsum(prefixes)])
    prefix = sparse.csr_array((sets.data[within], sets.indices[within], firsts), sets.shape)
    # An n-gram of one document joins no pair. The larger set has a common one among its own rarest, too, if both have
    # few others.
    common = np.bincount(sets.indices, minlength=sets.shape[1]) > 1
    prefix = prefix[:, common]
    transposed = (sets[:, common] if containment else prefix).T.tocsr()
    nothing = np.empty(0, np.int64)
    found = [(nothing, nothing)]
    for begin in range(0, sets.shape[0], _ROWS):
        shared = (prefix[begin : begin + _ROWS] @ transposed).tocoo()
        one, two = shared.row.astype(np.int64) + begin, shared.col.astype(np.int64)
        chosen = (sizes[one] < sizes[two]) | ((sizes[one] == sizes[two]) & (one < two))
        if not containment:
            chosen &= sizes[one] >= similarity * sizes[two] - 1e-9
        found.append((np.minimum(one, two)[chosen], np.maximum(one, two)[chosen]))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])
