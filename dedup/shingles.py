"""Shingles: the hashes of every n words in a row, which near-duplicate search takes a document to be a set of.

Words count in lower case and without diacritics; words of punctuation alone do not count. A document with fewer words
than a shingle has is one shingle of all its words, so that it equals only documents with the same words; a document
without words has none. Hashes are 64 bits: among the 10^6 shingles of two very long documents, the chance that any two
are taken for one is 3e-8.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, DIGIT, PUNCTUATION
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import mixed

_PUNCTUATION, _ALPHA, _DIGIT = PUNCTUATION, ALPHA, DIGIT
_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_NUMBER = np.uint64(0x8EBC6AF09C88C6E3)  # the hash of every number, where numbers are folded


@dataclass(frozen=True, slots=True)
class Shingles:
    """Shingles of a batch, repeats included. Those of document d are `hashes[firsts[d] : firsts[d + 1]]`."""

    firsts: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    words: NDArray[np.int32]
    """Words that count, for each document."""


def shingles_of(batch: TextBatch, ngram: int, fold_numbers: bool) -> Shingles:
    """The shingles of `ngram` words of each document; with `fold_numbers`, all numbers are one word."""
    found = batch.words
    word_firsts, words = np.empty(len(batch) + 1, np.int32), np.empty(len(found.starts), np.uint64)
    count = keep_words(found.firsts, batch.folded_hashes, found.kinds, fold_numbers, word_firsts, words)
    firsts, hashes = np.empty(len(batch) + 1, np.int32), np.empty(count, np.uint64)
    count = join_words(frozen(word_firsts), frozen(words), ngram, firsts, hashes)
    return Shingles(frozen(firsts), frozen(hashes[:count]), np.diff(word_firsts))


@kernel
def keep_words(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    fold_numbers: bool,
    kept_firsts: NDArray[np.int32],
    kept: NDArray[np.uint64],
) -> int:
    """Leaves out words of punctuation alone; returns how many words are left."""
    count = 0
    for document in range(firsts.shape[0] - 1):
        kept_firsts[document] = count
        for word in range(firsts[document], firsts[document + 1]):
            kind = kinds[word]
            # Written in any case, and written over if it does not count: no branch predictor foresees punctuation
            # (1,070 -> 3,200 MB/s of prose).
            kept[count] = _NUMBER if fold_numbers and kind & _DIGIT and not kind & _ALPHA else hashes[word]
            count += 1 - (kind & _PUNCTUATION) // _PUNCTUATION
    kept_firsts[firsts.shape[0] - 1] = count
    return count


@kernel
def join_words(
    word_firsts: NDArray[np.int32],
    words: NDArray[np.uint64],
    ngram: int,
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> int:
    """Hashes every `ngram` words in a row, or all where there are fewer; returns the number of shingles.

    A shingle of words w1 ... wn is the polynomial n M^n + w1 M^(n-1) + ... + wn, mixed. The next one's is had from it
    by taking the first word's term off: one step for each word, whatever `ngram` is (1,100 -> 2,200 MB/s of prose).
    """
    count = 0
    for document in range(word_firsts.shape[0] - 1):
        firsts[document] = count
        length = min(ngram, word_firsts[document + 1] - word_firsts[document])
        if length == 0:
            continue
        top, tail = uint64(1), words[word_firsts[document]]
        for word in range(word_firsts[document] + 1, word_firsts[document] + length):
            top *= uint64(_MULTIPLIER)
            tail = tail * uint64(_MULTIPLIER) + words[word]
        lead = uint64(length) * top * uint64(_MULTIPLIER)
        hashes[count] = mixed(lead + tail)
        count += 1
        for word in range(word_firsts[document] + length, word_firsts[document + 1]):
            tail = (tail - words[word - length] * top) * uint64(_MULTIPLIER) + words[word]
            hashes[count] = mixed(lead + tail)
            count += 1
    firsts[word_firsts.shape[0] - 1] = count
    return count


def distinct(shingles: Shingles) -> NDArray[np.int32]:
    """How many different shingles each document has."""
    most = int(np.diff(shingles.firsts).max(initial=0))
    slots = np.empty(1 << (2 * most).bit_length(), np.uint64)
    counts = np.empty(len(shingles.words), np.int32)
    count_distinct(shingles.firsts, shingles.hashes, slots, counts)
    return counts


@kernel
def count_distinct(
    firsts: NDArray[np.int32], hashes: NDArray[np.uint64], slots: NDArray[np.uint64], counts: NDArray[np.int32]
) -> None:
    """Counts each document's different hashes. `slots` is scratch: a power of two, over twice the longest document."""
    for document in range(firsts.shape[0] - 1):
        size = 4
        while size <= 2 * (firsts[document + 1] - firsts[document]):
            size *= 2
        slots[:size] = uint64(0)
        mask = uint64(size - 1)
        count, zero = 0, 0
        for index in range(firsts[document], firsts[document + 1]):
            value = hashes[index]
            slot = value & mask
            while slots[slot] != value and slots[slot] != uint64(0):
                slot = (slot + uint64(1)) & mask
            if value == uint64(0):  # means an empty slot
                zero = 1
            elif slots[slot] != value:
                slots[slot] = value
                count += 1
        counts[document] = count + zero


class ShingleSets:
    """Sets of shingles in a file: exact similarities without holding texts in memory.

    8 bytes on disk for each distinct shingle; in memory, 8 bytes for each document.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, shingles: Shingles) -> None:
        """Appends the documents of a batch; they are numbered on from the last."""
        sets, sizes = shingles.hashes.copy(), np.empty(len(shingles.words), np.int64)
        count = sort_sets(shingles.firsts, sets, sizes)
        with open(self._file, "ab") as stream:
            stream.write(sets[:count].data)
        self._ends.frombytes((self._ends[-1] + np.cumsum(sizes)).tobytes())

    def jaccard(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shared shingles over all shingles of each pair of documents, by number."""
        return self._compared(left, right, contained=False)

    def containment(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shared shingles over those of the smaller set of each pair."""
        return self._compared(left, right, contained=True)

    def _compared(self, left: NDArray[np.int64], right: NDArray[np.int64], *, contained: bool) -> NDArray[np.float64]:
        similarities = np.empty(len(left), np.float64)
        ends = np.array(self._ends, np.int64)
        # An empty file cannot be mapped.
        sets = np.memmap(self._file, np.uint64, "r") if ends[-1] else np.empty(0, np.uint64)
        compare_sets(frozen(ends), frozen(sets), frozen(left), frozen(right), contained, similarities)
        return similarities


@kernel
def sort_sets(firsts: NDArray[np.int32], shingles: NDArray[np.uint64], sizes: NDArray[np.int64]) -> int:
    """Sorts each document's shingles, drops repeats and closes the gaps, in place; returns how many are left."""
    count = 0
    for document in range(firsts.shape[0] - 1):
        own = shingles[firsts[document] : firsts[document + 1]]
        own.sort()
        begin = count
        for index in range(own.shape[0]):
            if index == 0 or own[index] != shingles[count - 1]:
                shingles[count] = own[index]
                count += 1
        sizes[document] = count - begin
    return count


@kernel
def compare_sets(
    ends: NDArray[np.int64],
    sets: NDArray[np.uint64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    contained: bool,
    similarities: NDArray[np.float64],
) -> None:
    """Jaccard similarity of pairs of sorted sets, or the containment of the smaller; set d is `sets[ends[d] : ends[d +
    1]]`. 0 where nothing is to be shared."""
    for pair in range(left.shape[0]):
        one, one_end = ends[left[pair]], ends[left[pair] + 1]
        two, two_end = ends[right[pair]], ends[right[pair] + 1]
        smaller, both = min(one_end - one, two_end - two), one_end - one + two_end - two
        shared = 0
        while one < one_end and two < two_end:
            a, b = sets[one], sets[two]
            shared += a == b
            one += a <= b
            two += b <= a
        whole = smaller if contained else both - shared
        similarities[pair] = shared / whole if whole else 0.0
