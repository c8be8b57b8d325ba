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
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, DIGIT, FOLD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import counts_as_word, folded_words, mixed

_ALPHA, _DIGIT = ALPHA, DIGIT
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
    firsts, sizes = np.empty(len(batch) + 1, np.int32), np.empty(len(batch), np.int32)
    if batch.words_are_found:
        found = batch.words
        longest = int(np.diff(found.firsts).max(initial=0))
        words, hashes = np.empty(longest, np.uint64), np.empty(len(found.starts), np.uint64)
        count = shingle_words(
            found.firsts, batch.folded_hashes, found.kinds, ngram, fold_numbers, words, sizes, firsts, hashes
        )
    else:
        longest = int(np.diff(batch.offsets).max(initial=0))
        words, kinds = np.empty(longest, np.uint64), np.empty(longest, np.uint8)
        for room in (batch.n_bytes // 2, batch.n_bytes):  # few texts have a word in every two bytes
            hashes = np.empty(room, np.uint64)
            count = shingle_texts(
                batch.offsets, batch.text, CLASSES, FOLD, ngram, fold_numbers, words, kinds, sizes, firsts, hashes
            )
            if count >= 0:
                break
    return Shingles(frozen(firsts), frozen(hashes[:count]), sizes)


@kernel
def shingle_words(
    word_firsts: NDArray[np.int32],
    word_hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    ngram: int,
    fold_numbers: bool,
    words: NDArray[np.uint64],
    sizes: NDArray[np.int32],
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> int:
    """Shingles of documents whose words have been found; returns how many. `words` is room for the longest's."""
    end = 0
    for document in range(sizes.shape[0]):
        count = 0
        for word in range(word_firsts[document], word_firsts[document + 1]):
            words[count] = _NUMBER if fold_numbers and is_number(kinds[word]) else word_hashes[word]
            count += counts_as_word(kinds[word])
        sizes[document], firsts[document] = count, end
        end = join_words(words, count, ngram, hashes, end)
    firsts[sizes.shape[0]] = end
    return end


@kernel
def shingle_texts(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    ngram: int,
    fold_numbers: bool,
    words: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    sizes: NDArray[np.int32],
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> int:
    """Shingles of documents whose words nobody has asked for; returns how many, or -1 if there is no room for them.

    `words` and `kinds` are room for the longest's. They stay in the processor's cache: on prose and one core, 300 MB/s
    with the signatures, where finding all words first makes 200, and 116 in a process that gives the memory of each
    batch back to the system.
    """
    end = 0
    for document in range(sizes.shape[0]):
        count = folded_words(text, classes, fold, offsets[document], offsets[document + 1], words, kinds)
        if end + count > hashes.shape[0]:
            return -1
        if fold_numbers:
            for word in range(count):
                if is_number(kinds[word]):
                    words[word] = _NUMBER
        sizes[document], firsts[document] = count, end
        end = join_words(words, count, ngram, hashes, end)
    firsts[sizes.shape[0]] = end
    return end


@inlined
def is_number(kind: np.uint8) -> bool:
    """Whether a word of these class bits has digits and no letter."""
    return (kind & (_DIGIT | _ALPHA)) == _DIGIT


@inlined
def join_words(words: NDArray[np.uint64], count: int, ngram: int, hashes: NDArray[np.uint64], end: int) -> int:
    """Hashes every `ngram` words in a row, or all where there are fewer; returns the new end of `hashes`.

    A shingle of words w1 ... wn is the polynomial n M^n + w1 M^(n-1) + ... + wn, mixed. The next one's is had from it
    by taking the first word's term off: one step for each word, whatever `ngram` is (1,100 -> 2,200 MB/s of prose).
    """
    length = min(ngram, count)
    if length == 0:
        return end
    top, tail = uint64(1), words[0]
    for word in range(1, length):
        top *= uint64(_MULTIPLIER)
        tail = tail * uint64(_MULTIPLIER) + words[word]
    lead = uint64(length) * top * uint64(_MULTIPLIER)
    hashes[end] = mixed(lead + tail)
    for word in range(length, count):
        end += 1
        tail = (tail - words[word - length] * top) * uint64(_MULTIPLIER) + words[word]
        hashes[end] = mixed(lead + tail)
    return end + 1


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
        shared = shared_values(sets, one, one_end, sets, two, two_end)
        whole = smaller if contained else both - shared
        similarities[pair] = shared / whole if whole else 0.0


@inlined
def shared_values(
    ones: NDArray[np.unsignedinteger[Any]],
    one: int,
    one_end: int,
    twos: NDArray[np.unsignedinteger[Any]],
    two: int,
    two_end: int,
) -> int:
    """How many values stand both in `ones[one:one_end]` and in `twos[two:two_end]`, which are ascending sets."""
    shared = 0
    while one < one_end and two < two_end:
        a, b = ones[one], twos[two]
        shared += a == b
        one += a <= b
        two += b <= a
    return shared
