"""All pairs of documents whose exact Jaccard similarity is high: the truth that near-duplicate search is held against.

No hashing of sets is involved. Of two sets with similarity t, the |A| - ceil(t |A|) + 1 rarest members of each hold a
common one (prefix filtering: Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007), so pairs that share none
of those are left out, and all others are counted in full, by products of sparse matrices of ones.
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
    """Pairs `left[i] < right[i]` with their exact similarities."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)

    def of_at_least(self, similarity: float) -> SimilarPairs:
        chosen = self.similarities >= similarity
        return SimilarPairs(self.left[chosen], self.right[chosen], self.similarities[chosen])


def similar_pairs(
    texts: Sequence[str], similarity: float, *, ngram: int = 5, fold_numbers: bool = False
) -> SimilarPairs:
    """All pairs of at least this similarity, by their sets of word n-grams (dedup/shingles.py)."""
    sets = _sets(texts, ngram, fold_numbers)
    left, right = _candidates(sets, similarity)
    values = exact_similarities(sets, left, right)
    return SimilarPairs(left, right, values).of_at_least(similarity)


def exact_similarities(
    sets: sparse.csr_array, left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of pairs of rows; 0 where both are empty."""
    sizes = np.diff(sets.indptr).astype(np.int64)
    shared = np.zeros(len(left), np.int64)
    for begin in range(0, len(left), _PAIRS):
        some = slice(begin, begin + _PAIRS)
        shared[some] = sets[left[some]].multiply(sets[right[some]]).sum(axis=1)
    return shared / np.maximum(sizes[left] + sizes[right] - shared, 1)


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


def _candidates(sets: sparse.csr_array, similarity: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that share one of their rarest n-grams, and whose sizes allow the similarity."""
    sizes = np.diff(sets.indptr).astype(np.int64)
    prefixes = np.where(sizes > 0, sizes - np.ceil(similarity * sizes - 1e-9).astype(np.int64) + 1, 0)
    place = np.arange(len(sets.indices)) - np.repeat(sets.indptr[:-1], sizes)
    within = place < np.repeat(prefixes, sizes)
    firsts = np.concatenate([[0], np.cumsum(prefixes)])
    prefix = sparse.csr_array((sets.data[within], sets.indices[within], firsts), sets.shape)
    # An n-gram of one document joins no pair.
    frequencies = np.bincount(prefix.indices, minlength=sets.shape[1])
    prefix = prefix[:, frequencies > 1]
    transposed = prefix.T.tocsr()
    nothing = np.empty(0, np.int64)
    found = [(nothing, nothing)]
    for begin in range(0, sets.shape[0], _ROWS):
        shared = (prefix[begin : begin + _ROWS] @ transposed).tocoo()
        left, right = shared.row.astype(np.int64) + begin, shared.col.astype(np.int64)
        chosen = (left < right) & (
            np.minimum(sizes[left], sizes[right]) >= similarity * np.maximum(sizes[left], sizes[right]) - 1e-9
        )
        found.append((left[chosen], right[chosen]))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])
