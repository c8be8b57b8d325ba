"""What the text rules measure, counted once per batch over its cached words, lines and paragraphs.

Three groups of counts, each int32, one entry per document; ratios are left to the filters that judge by them:

    word_counts        tokens, words, letters, hashes, bullets … (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1)
    repetition_counts  duplicated lines, paragraphs and n-grams (the same, appendix A.1.1, table A1)
    line_counts        lines ending in punctuation, short lines … (Penedo et al. 2024, arXiv:2406.17557, section 3.6)

What counts as a token, a word and a line follows datatrove 0.10.1, its word tokenizer replaced by `TextBatch.words`. A
**token** is one of the batch's words. A **word** is a token that is not punctuation throughout.

An n-gram can repeat only where both (n−1)-grams in it repeat. So the passes for n = 3 to 10 look only at what the pass
before left over, and tell n-grams apart by the names of the two (n−1)-grams in them: only 2-grams are made of words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import Spans, TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, LINE_BREAK, PUNCTUATION, TERMINAL, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import BLANK, decoded, mixed, width

Counts = NDArray[np.int32]
Value = TypeVar("Value")

_ALPHA, _LINE_BREAK, _PUNCTUATION, _WORD = ALPHA, LINE_BREAK, PUNCTUATION, WORD
_HASH_SIGN, _BULLET, _HYPHEN, _FULL_STOP, _ELLIPSIS, _SPACE = 0x23, 0x2022, 0x2D, 0x2E, 0x2026, 0x20

TOP_SIZES = (2, 3, 4)
"""Sizes of the n-grams whose most frequent one is measured."""
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
"""Sizes of the n-grams whose repetitions are measured."""


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Counts of `word_counts`, int32[documents] each."""

    tokens: Counts
    words: Counts
    letters: Counts  # characters of words
    alphabetic: Counts  # tokens with a letter
    stop_words: Counts  # different ones
    hashes: Counts  # signs #
    ellipses: Counts  # "…" and, without overlap, "..."
    lines: Counts  # as str.splitlines counts them
    bullet_lines: Counts  # first character, white space aside, is • or -
    ellipsis_lines: Counts  # last characters, white space aside, are … or ...


@dataclass(frozen=True, slots=True)
class RepetitionCounts:
    """Counts of `repetition_counts`, int32[documents] each."""

    characters: Counts  # of the whole text
    paragraphs: Counts
    duplicate_paragraphs: Counts  # equal to an earlier one
    duplicate_paragraph_characters: Counts
    lines: Counts  # runs of "\n" separate them
    duplicate_lines: Counts
    duplicate_line_characters: Counts
    top: dict[int, Counts]  # n -> characters of the most frequent n-gram, all occurrences together
    duplicates: dict[int, Counts]  # n -> characters in n-grams that occurred before, without overlap


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Counts of `line_counts`, int32[documents] each. Lines of nothing but white space are left out."""

    lines: Counts
    punctuated: Counts  # last character ends a sentence
    short: Counts
    duplicate_characters: Counts  # of lines equal to an earlier one
    characters: Counts  # of the whole text without its "\n"
    newlines: Counts
    tokens: Counts


def word_counts(batch: TextBatch, stop_words: tuple[str, ...]) -> WordCounts:
    """Counts over words and over the lines of `str.splitlines`.

    Args:
        batch: the documents.
        stop_words: words whose presence is counted, matched exactly, upper and lower case apart.
    """

    def count() -> WordCounts:
        words, documents = batch.words, len(batch)
        tokens = np.zeros((5, documents), np.int32)
        signs = np.zeros((5, documents), np.int32)
        stop_hashes = TextBatch.of_texts(stop_words).words.hashes
        count_tokens(words.firsts, words.characters, words.hashes, words.kinds, stop_hashes, tokens)
        count_signs(batch.offsets, batch.text, CLASSES, words.firsts, words.starts, words.ends, words.kinds, signs)
        return WordCounts(*(frozen(row) for row in tokens), *(frozen(row) for row in signs))

    return _shared(batch, ("word_counts", stop_words), count)


def repetition_counts(batch: TextBatch) -> RepetitionCounts:
    """Counts of duplicated lines, paragraphs and n-grams of words."""

    def count() -> RepetitionCounts:
        words, lines, paragraphs = batch.words, batch.lines, batch.paragraphs
        ends = np.zeros(len(lines.starts), np.bool_)
        ends[lines.firsts[:-1]] = ends[lines.firsts[1:] - 1] = True
        grams = np.zeros((len(TOP_SIZES) + len(DUPLICATE_SIZES), len(batch)), np.int32)
        count_n_grams(words.firsts, words.characters, words.hashes, grams)
        sizes = dict(zip((*TOP_SIZES, *DUPLICATE_SIZES), (frozen(row) for row in grams), strict=True))
        return RepetitionCounts(
            text_characters(batch),
            *_duplicates(paragraphs, np.ones(len(paragraphs.starts), np.bool_)),
            # re.split by runs of "\n" leaves an empty piece at either end of a text that has "\n" there.
            *_duplicates(lines, (lines.characters > 0) | ends),
            {n: sizes[n] for n in TOP_SIZES},
            {n: sizes[n] for n in DUPLICATE_SIZES},
        )

    return _shared(batch, ("repetition_counts",), count)


def line_counts(batch: TextBatch, short_line_characters: int) -> LineCounts:
    """Counts over the lines between `\\n`.

    Args:
        batch: the documents.
        short_line_characters: a line of as many characters or fewer is short.
    """

    def count() -> LineCounts:
        lines = batch.lines
        filled = (lines.kinds & BLANK) == 0
        punctuated = (lines.kinds & TERMINAL) != 0
        short = filled & (lines.characters <= short_line_characters)
        newlines = np.diff(lines.firsts) - np.int32(1)
        counted, _, duplicate_characters = _duplicates(lines, filled)
        return LineCounts(
            counted,
            per_document(punctuated, lines.firsts),
            per_document(short, lines.firsts),
            duplicate_characters,
            frozen(text_characters(batch) - newlines),
            frozen(newlines),
            frozen(np.diff(batch.words.firsts)),
        )

    return _shared(batch, ("line_counts", short_line_characters), count)


def text_characters(batch: TextBatch) -> Counts:
    """int32[documents]: length of each text in code points."""
    lines = batch.lines
    return frozen(per_document(lines.characters, lines.firsts) + np.diff(lines.firsts) - np.int32(1))


def per_document(values: NDArray[Any], firsts: NDArray[np.int32]) -> Counts:
    """Sums `values`, one for each span, over the spans of each document."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return frozen((sums[firsts[1:]] - sums[firsts[:-1]]).astype(np.int32))


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> pa.DoubleArray:
    """float64: `part / whole`; null, which breaks no rule, where `whole` is 0."""
    nothing = whole == 0
    return pa.array(part / np.where(nothing, 1, whole), pa.float64(), mask=nothing)


def _shared(batch: TextBatch, key: tuple[Any, ...], count: Callable[[], Value]) -> Value:
    name = repr(key)
    if name not in batch.cache:
        batch.cache[name] = count()
    return batch.cache[name]


def _duplicates(spans: Spans, counted: NDArray[np.bool_]) -> tuple[Counts, Counts, Counts]:
    """Spans that count, those equal to an earlier one, and the characters of the latter."""
    counts = np.zeros((3, len(spans.firsts) - 1), np.int32)
    count_duplicates(spans.firsts, spans.characters, spans.hashes, frozen(counted), counts)
    return frozen(counts[0]), frozen(counts[1]), frozen(counts[2])


@kernel
def count_duplicates(
    firsts: NDArray[np.int32],
    characters: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    counted: NDArray[np.bool_],
    counts: NDArray[np.int32],
) -> None:
    """Rows of `counts`: spans that are `counted`; those of them equal to an earlier one; characters of these."""
    table = np.empty(_table_size(_longest(firsts)), np.int32)
    for document in range(firsts.shape[0] - 1):
        mask = _cleared(table, firsts[document + 1] - firsts[document])
        spans = duplicates = duplicate_characters = 0
        for span in range(firsts[document], firsts[document + 1]):
            if not counted[span]:
                continue
            spans += 1
            slot = hashes[span] & mask
            while table[slot] >= 0 and hashes[table[slot]] != hashes[span]:
                slot = (slot + uint64(1)) & mask
            if table[slot] >= 0:
                duplicates += 1
                duplicate_characters += characters[span]
            else:
                table[slot] = span
        counts[0, document] = spans
        counts[1, document] = duplicates
        counts[2, document] = duplicate_characters


@kernel
def count_tokens(
    firsts: NDArray[np.int32],
    characters: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    stop_hashes: NDArray[np.uint64],
    counts: NDArray[np.int32],
) -> None:
    """Rows of `counts`: tokens, words, their characters, tokens with a letter, different stop words."""
    sieve = uint64(0)  # lets a token pass that ends in the same six bits as some stop word's hash
    for stop_hash in stop_hashes:
        sieve |= uint64(1) << (stop_hash & uint64(63))
    met = np.full(stop_hashes.shape[0], -1, np.int32)
    for document in range(firsts.shape[0] - 1):
        first, last = firsts[document], firsts[document + 1]
        words = letters = alphabetic = stop_words = 0
        for token in range(first, last):
            alphabetic += (kinds[token] & _ALPHA) != 0
            word = (kinds[token] & _PUNCTUATION) == 0
            words += word
            letters += characters[token] if word else 0
        for token in range(first, last):
            if (sieve >> (hashes[token] & uint64(63))) & uint64(1):
                for index in range(stop_hashes.shape[0]):
                    if stop_hashes[index] == hashes[token] and met[index] != document:
                        met[index] = document
                        stop_words += 1
                if stop_words == stop_hashes.shape[0]:
                    break
        counts[0, document] = last - first
        counts[1, document] = words
        counts[2, document] = letters
        counts[3, document] = alphabetic
        counts[4, document] = stop_words


@kernel
def count_signs(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    counts: NDArray[np.int32],
) -> None:
    """Rows of `counts`: signs #, ellipses, lines of `str.splitlines`, those with a bullet, those ending in an ellipsis.

    Walks from token to token. Only the white space between them can break a line, and only a token of one character
    that is no word character can be a sign.
    """
    for document in range(offsets.shape[0] - 1):
        signs = ellipses = lines = bullet_lines = ellipsis_lines = 0
        position = offsets[document]
        line_has_text = False  # any character at all
        line_has_token = False
        trailing = False  # the line's last token ends an ellipsis
        dots = 0
        for token in range(firsts[document], firsts[document + 1] + 1):
            stop = starts[token] if token < firsts[document + 1] else offsets[document + 1]
            if stop - position > 1 or (stop > position and text[position] != _SPACE):
                while position < stop:
                    code = decoded(text, position)
                    size = width(text[position])
                    if not classes[code] & _LINE_BREAK:
                        line_has_text = True
                    else:
                        if code == 13 and position + 1 < stop and text[position + 1] == 10:
                            size = 2
                        lines += 1
                        ellipsis_lines += trailing
                        line_has_text = line_has_token = trailing = False
                    position += size
                dots = 0
            elif stop > position:
                line_has_text = True
                dots = 0
            if token == firsts[document + 1]:
                break
            position = ends[token]
            line_has_text = True
            if kinds[token] & _WORD:
                line_has_token = True
                trailing = False
                dots = 0
                continue
            code = decoded(text, stop)
            if not line_has_token and code in (_BULLET, _HYPHEN):
                bullet_lines += 1
            line_has_token = True
            signs += code == _HASH_SIGN
            dots = dots + 1 if code == _FULL_STOP else 0
            ellipses += code == _ELLIPSIS or (dots > 0 and dots % 3 == 0)
            trailing = code == _ELLIPSIS or dots >= 3
        counts[0, document] = signs
        counts[1, document] = ellipses
        counts[2, document] = lines + line_has_text
        counts[3, document] = bullet_lines
        counts[4, document] = ellipsis_lines + trailing


@kernel
def count_n_grams(
    firsts: NDArray[np.int32], characters: NDArray[np.int32], hashes: NDArray[np.uint64], counts: NDArray[np.int32]
) -> None:
    """Rows of `counts`: characters of the most frequent 2-, 3- and 4-gram, then in repeated 5- to 10-grams.

    For each document and n, in turn:
        places  where the n-grams begin that may occur more than once, in order; the first `left` entries count
        keys    as long as `places`: equal for equal n-grams
        named   as long as `places`: the first place of the same n-gram, which is its name from now on
        times   by name: how often the n-gram occurs
        twins   by token: the name of the n-gram that begins there if it occurs more than once, else -1
    """
    longest = _longest(firsts)
    table = np.empty(_table_size(longest), np.int32)
    places = np.empty(longest, np.int32)
    keys = np.empty(longest, np.uint64)
    named = np.empty(longest, np.int32)
    times = np.empty(longest, np.int32)
    twins = np.empty(longest + 1, np.int32)
    for document in range(firsts.shape[0] - 1):
        first = firsts[document]
        tokens = firsts[document + 1] - first
        twins[: tokens + 1] = -1
        left = 0
        for n in range(2, min(10, tokens) + 1):
            left = pairs_of_words(hashes, first, tokens, places, keys) if n == 2 else pairs(twins, left, places, keys)
            name_pairs(keys, places, left, table, named, times)
            if n < 5:
                counts[n - 2, document] = _top_characters(characters, first, n, named, left, times)
            else:
                counts[n - 2, document] = _repeated_characters(characters, first, n, places, named, left, times)
            left = keep_repeated(named, times, left, places, twins)


@kernel
def pairs_of_words(
    hashes: NDArray[np.uint64], first: int, tokens: int, places: NDArray[np.int32], keys: NDArray[np.uint64]
) -> int:
    """The places and keys of a document's 2-grams; returns their number."""
    for place in range(tokens - 1):
        places[place] = place
        keys[place] = mixed(hashes[first + place]) + hashes[first + place + 1]
    return tokens - 1


@kernel
def pairs(twins: NDArray[np.int32], left: int, places: NDArray[np.int32], keys: NDArray[np.uint64]) -> int:
    """Leaves in `places` the n-grams whose two (n−1)-grams repeat, and makes keys of their names; returns their number.

    `twins` is -1 everywhere afterwards. No branch: half of the guesses would be wrong.
    """
    kept = 0
    for index in range(left):
        place = places[index]
        places[kept] = place
        keys[kept] = (uint64(twins[place]) << uint64(32)) | uint64(np.uint32(twins[place + 1]))
        kept += twins[place + 1] >= 0
        twins[place] = -1
    return kept


@kernel
def name_pairs(
    keys: NDArray[np.uint64],
    places: NDArray[np.int32],
    left: int,
    table: NDArray[np.int32],
    named: NDArray[np.int32],
    times: NDArray[np.int32],
) -> None:
    """Names each n-gram by the first place with the same key, and counts how often it occurs."""
    mask = _cleared(table, left)
    for index in range(left):
        key = keys[index]
        slot = mixed(key) & mask
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = index
            times[places[index]] = 0
        name = places[table[slot]]
        times[name] += 1
        named[index] = name


@kernel
def keep_repeated(
    named: NDArray[np.int32], times: NDArray[np.int32], left: int, places: NDArray[np.int32], twins: NDArray[np.int32]
) -> int:
    """Leaves in `places` the n-grams that occur more than once, their names in `twins`; returns their number."""
    kept = 0
    for index in range(left):
        place, name = places[index], named[index]
        repeated = times[name] > 1
        twins[place] = name if repeated else -1
        places[kept] = place
        kept += repeated
    return kept


@inlined
def _top_characters(
    characters: NDArray[np.int32], first: int, n: int, named: NDArray[np.int32], left: int, times: NDArray[np.int32]
) -> int:
    """Characters of all occurrences of the most frequent n-gram, the first of equals, with a space between words."""
    best, most = 0, 1
    for index in range(left):
        if times[named[index]] > most:
            best, most = named[index], times[named[index]]
    return (_n_gram_characters(characters, first + best, n) + n - 1) * most


@inlined
def _repeated_characters(
    characters: NDArray[np.int32],
    first: int,
    n: int,
    places: NDArray[np.int32],
    named: NDArray[np.int32],
    left: int,
    times: NDArray[np.int32],
) -> int:
    """Characters of the n-grams that occurred before, read from left to right; after one, reading goes on behind it."""
    total = resume = 0
    for index in range(left):
        place, name = places[index], named[index]
        if place < resume:
            continue
        if times[name] > 0:
            times[name] = -times[name]  # met
        else:
            total += _n_gram_characters(characters, first + place, n)
            resume = place + n
    for index in range(left):
        times[named[index]] = abs(times[named[index]])
    return total


@inlined
def _n_gram_characters(characters: NDArray[np.int32], start: int, n: int) -> int:
    total = 0
    for token in range(start, start + n):
        total += characters[token]
    return total


@inlined
def _longest(firsts: NDArray[np.int32]) -> int:
    """Spans of the document that has the most."""
    longest = 0
    for document in range(firsts.shape[0] - 1):
        longest = max(longest, firsts[document + 1] - firsts[document])
    return longest


@inlined
def _table_size(entries: int) -> int:
    """A power of two, at least twice as many slots as entries."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@inlined
def _cleared(table: NDArray[np.int32], entries: int) -> np.uint64:
    """Empties as much of the table as `entries` need, and returns the mask for it."""
    size = _table_size(entries)
    table[:size] = -1
    return uint64(size - 1)
