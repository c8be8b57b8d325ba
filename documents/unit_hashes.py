"""Hashes of lines and paragraphs by their words alone, for whoever compares them across documents.

As CCNet compares paragraphs (Wenzek et al. 2020, arXiv:1911.00359, section 3.2): case, diacritics, punctuation and
white space do not matter; digits do, unless they are asked to be as good as 0. Differs from CCNet: the words are
compared and not the characters, so that "e-mail" is "e mail" and not "email".
"""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import Spans, TextBatch
from corpusmill.documents.codepoints import CLASSES, DIGIT, FOLD, WORD
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import decoded, mixed, step, width

_DIGIT, _WORD = DIGIT, WORD
_ZERO = 0x30


def unit_hashes(batch: TextBatch, units: Spans, *, digits: bool = True) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """The hash of each unit's words, and how many there are; a unit without a word has the hash 0.

    Args:
        units: the batch's lines or paragraphs.
        digits: whether they matter; else each counts as 0.
    """
    words = batch.words
    hashes, counts = np.empty(len(units.starts), np.uint64), np.empty(len(units.starts), np.int32)
    of_words = batch.folded_hashes if digits else _without_digits(batch)
    hash_units(units.firsts, units.ends, words.firsts, words.starts, words.kinds, of_words, hashes, counts)
    return hashes, counts


def _without_digits(batch: TextBatch) -> NDArray[np.uint64]:
    words, hashes = batch.words, batch.folded_hashes.copy()
    hash_numbers(batch.text, CLASSES, FOLD, words.starts, words.ends, words.kinds, hashes)
    return frozen(hashes)


@kernel
def hash_units(
    firsts: NDArray[np.int32],
    ends: NDArray[np.int32],
    word_firsts: NDArray[np.int32],
    word_starts: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    words: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    counts: NDArray[np.int32],
) -> None:
    """Hashes each unit by the hashes of its words, punctuation left out, and counts these."""
    for document in range(firsts.shape[0] - 1):
        word = word_firsts[document]
        for unit in range(firsts[document], firsts[document + 1]):
            value = uint64(0)
            count = 0
            while word < word_firsts[document + 1] and word_starts[word] < ends[unit]:
                if kinds[word] & _WORD:
                    value = step(value, words[word])
                    count += 1
                word += 1
            hashes[unit] = mixed(value)
            counts[unit] = count


@kernel
def hash_numbers(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
) -> None:
    """Replaces the hashes of words with a digit by hashes of the folded words with a 0 for each digit."""
    for word in range(starts.shape[0]):
        if kinds[word] & _DIGIT:
            value = uint64(0)
            position = starts[word]
            while position < ends[word]:
                code = decoded(text, position)
                value = step(value, uint64(_ZERO if classes[code] & _DIGIT else fold[code]))
                position += width(text[position])
            hashes[word] = mixed(value)
