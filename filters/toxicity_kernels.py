"""Kernels of the toxicity stage: sentences, and the features of a sentence.

A sentence is a range of a document's words. It ends with its line; behind a sign that ends sentences and the closing
signs on it, if white space follows and it has three words (so `Mr. Hyde` is whole); behind such a sign of a script
without spaces (`。`); and after 128 words in any case.

Features of a sentence: its folded words, each two neighbours, and each four neighbouring characters of what stands
between white space and has a letter, one space around it. For the last, characters are folded, more than two equal ones
in a row are two, and digits and signs are the letters that they are drawn for (`$h1t`). In five-fold cross-validation
on 1,000 comments the characters raised the ROC AUC from .89 to .94 (docs/log.md).
"""

from __future__ import annotations

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import ALPHA, PUNCTUATION, SOLO, TERMINAL, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import decoded, mixed, step, width
from corpusmill.filters.hashed_features import clear, taken, weight, words_and_pairs

MAX_SENTENCE_WORDS = 128
MIN_SENTENCE_WORDS = 3
_ALPHA, _PUNCTUATION, _SOLO, _TERMINAL, _WORD = ALPHA, PUNCTUATION, SOLO, TERMINAL, WORD
_SPACE, _NEWLINE = 0x20, 0x0A
_CHARACTERS_SEED = np.uint64(0x5851F42D4C957F2D)


def _drawn() -> NDArray[np.uint32]:
    """uint32[128]: the letter that a digit or sign is drawn for; every other character for itself."""
    table = np.arange(128, dtype=np.uint32)
    for sign, letter in zip("013457@$!*", "oieastasi*", strict=True):
        table[ord(sign)] = ord(letter)
    return frozen(table)


DRAWN = _drawn()
PRIOR_FEATURES = 30
"""Added to a sentence's features before their vector is set to length 1: what a sentence of few says counts less.
Without them, `Joe`, `>>` and rows of dashes were the most toxic sentences of newsgroups (docs/log.md)."""


@inlined
def _breaks_line(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a line ends between two words."""
    found = False
    for position in range(start, end):
        found |= text[position] == _NEWLINE
    return found


@kernel
def find_sentences(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    sentence_firsts: NDArray[np.int32],
    bounds: NDArray[np.int32],
) -> int:
    """Finds the sentences of a batch's words; returns their number.

    Those of document d are `sentence_firsts[d]` to `sentence_firsts[d + 1]`; sentence s has the words `bounds[s]` to
    `bounds[s + 1]`.
    """
    found = 0
    for document in range(firsts.shape[0] - 1):
        sentence_firsts[document] = found
        begun = firsts[document]
        last = firsts[document + 1]
        ended = False  # behind a sign that ends sentences
        for word in range(begun, last):
            if kinds[word] & _TERMINAL:
                ended = True
            elif not kinds[word] & _PUNCTUATION:
                ended = False
            done = word + 1 == last or word + 1 - begun == MAX_SENTENCE_WORDS
            if not done:
                gap = ends[word] < starts[word + 1]
                if gap and _breaks_line(text, ends[word], starts[word + 1]):
                    done = True
                elif ended and gap:
                    done = word + 1 - begun > MIN_SENTENCE_WORDS
                elif ended and kinds[word + 1] & _SOLO:
                    done = not classes[decoded(text, starts[word])] & _SOLO and text[starts[word]] >= 0x80
            if done:
                bounds[found] = begun
                found += 1
                begun = word + 1
                ended = False
    sentence_firsts[firsts.shape[0] - 1] = found
    bounds[found] = firsts[firsts.shape[0] - 1]
    return found


@inlined
def _kept_sign(byte: np.uint8) -> bool:
    """Signs that stand for letters at the ends of words, too: `@`, `$`, `*`."""
    return byte == 0x40 or byte == 0x24 or byte == 0x2A


@kernel
def distinct_features(
    text: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    drawn: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    first: int,
    last: int,
    bits: int,
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
) -> int:
    """Lists the different features of words `first` to `last`; returns their number.

    `seen`, a bit for each feature, is clear before and after.
    """
    count = words_and_pairs(hashes, first, last, bits, seen, features)
    word = first
    while word < last:
        stop = word + 1
        letters = kinds[word] & _ALPHA != 0
        while stop < last and ends[stop - 1] == starts[stop]:
            letters |= kinds[stop] & _ALPHA != 0
            stop += 1
        begin, end = word, stop
        word = stop
        while begin < end and not kinds[begin] & _WORD and not _kept_sign(text[starts[begin]]):
            begin += 1
        while begin < end and not kinds[end - 1] & _WORD and not _kept_sign(text[starts[end - 1]]):
            end -= 1
        if begin == end or not letters:
            continue
        window = uint64(_SPACE)
        one = two = uint32(0)
        symbols = 1
        position, after = starts[begin], ends[end - 1]
        while position < after:
            code = fold[decoded(text, position)]
            position += width(text[position])
            if code < 128:
                code = drawn[code]
            if code == one and code == two:
                continue
            two, one = one, code
            window = (window << uint64(16)) | (uint64(code) & uint64(0xFFFF))
            symbols += 1
            if symbols >= 4:
                count = taken(mixed(step(uint64(_CHARACTERS_SEED), window)), bits, seen, features, count)
        window = (window << uint64(16)) | uint64(_SPACE)
        count = taken(mixed(step(uint64(_CHARACTERS_SEED), window)), bits, seen, features, count)
    clear(seen, features, count)
    return count


@kernel
def decide_ranges(
    text: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    drawn: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    bounds: NDArray[np.int32],
    bits: int,
    table: NDArray[np.int16],
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
    decisions: NDArray[np.float64],
) -> None:
    """The dot product of each range's feature vector (each 1 / sqrt(features + PRIOR_FEATURES)) with the weights."""
    for row in range(bounds.shape[0] - 1):
        count = distinct_features(
            text, fold, drawn, starts, ends, kinds, hashes, bounds[row], bounds[row + 1], bits, seen, features
        )
        decisions[row] = weight(table, features, count) / np.sqrt(count + PRIOR_FEATURES)


@kernel
def range_features(
    text: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    drawn: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    bounds: NDArray[np.int32],
    bits: int,
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
    row_ends: NDArray[np.int64],
    columns: NDArray[np.int32],
) -> None:
    """The features of each range, as the rows of a sparse matrix: `columns` up to each of `row_ends`."""
    written = 0
    for row in range(bounds.shape[0] - 1):
        count = distinct_features(
            text, fold, drawn, starts, ends, kinds, hashes, bounds[row], bounds[row + 1], bits, seen, features
        )
        for index in range(count):
            columns[written + index] = features[index]
        written += count
        row_ends[row] = written


@kernel
def summarise(
    sentence_firsts: NDArray[np.int32],
    scores: NDArray[np.float64],
    threshold: float,
    highest: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> None:
    """The highest score of each document's sentences, and the share of them with `threshold` or more; NaN for none."""
    for document in range(sentence_firsts.shape[0] - 1):
        first, last = sentence_firsts[document], sentence_firsts[document + 1]
        toxic = 0
        highest[document] = shares[document] = np.nan
        for sentence in range(first, last):
            if sentence == first or scores[sentence] > highest[document]:
                highest[document] = scores[sentence]
            toxic += 1 if scores[sentence] >= threshold else 0
        if last > first:
            shares[document] = toxic / (last - first)
