"""The segmentation kernels: words, lines and paragraphs of a batch of documents, found once for every stage.

A word is a match of the regular expression `\\w+|[^\\w\\s]` by Unicode's rules, except that each ideograph, kana or
character of a script written without spaces (`codepoints.SOLO`) is a word of its own. A line ends at `\\n`. A paragraph is
what `\\n{2,}` separates in the stripped text (Rae et al. 2021, arXiv:2112.11446, appendix A.1, as datatrove reads it).

Spans are byte positions in the batch's UTF-8 buffer. Hashes are 64 bits: at 10^6 different words in a batch, the chance of
any collision is below 3e-8.
"""

from __future__ import annotations

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import LINE_BREAK, PUNCTUATION, SOLO, SPACE, TERMINAL, WORD
from corpusmill.documents.compiled import inlined, kernel

# Odd constants of a good avalanche (the finaliser is Stafford's "Mix13", 2011, shortened by a step).
_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_FINAL = np.uint64(0xD6E8FEB86659FD93)
_SEED = np.uint64(0x2545F4914F6CDD1D)

_SPACE, _WORD, _PUNCTUATION, _TERMINAL, _SOLO = SPACE, WORD, PUNCTUATION, TERMINAL, SOLO
BLANK = LINE_BREAK  # of a line: nothing in it but white space. The bit of line breaks has no other use there.


@inlined
def mixed(value: np.uint64) -> np.uint64:
    """Spreads every bit of `value` over all 64."""
    value ^= value >> uint64(32)
    value *= uint64(_FINAL)
    value ^= value >> uint64(29)
    return value


@inlined
def step(value: np.uint64, symbol: np.uint64) -> np.uint64:
    """Takes one more byte or code point into a running hash."""
    return (value ^ symbol) * uint64(_MULTIPLIER)


@inlined
def width(lead: np.uint8) -> int:
    """Bytes of the UTF-8 character that begins with `lead`."""
    if lead < 0x80:
        return 1
    if lead < 0xE0:
        return 2
    if lead < 0xF0:
        return 3
    return 4


@inlined
def decoded(text: NDArray[np.uint8], position: int) -> np.uint32:
    """The code point at `position`, which must be the first byte of a character of valid UTF-8."""
    lead = uint32(text[position])
    if lead < 0x80:
        return lead
    second = uint32(text[position + 1]) & uint32(0x3F)
    if lead < 0xE0:
        return ((lead & uint32(0x1F)) << uint32(6)) | second
    third = uint32(text[position + 2]) & uint32(0x3F)
    if lead < 0xF0:
        return ((lead & uint32(0x0F)) << uint32(12)) | (second << uint32(6)) | third
    fourth = uint32(text[position + 3]) & uint32(0x3F)
    return ((lead & uint32(0x07)) << uint32(18)) | (second << uint32(12)) | (third << uint32(6)) | fourth


@kernel
def find_words(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    characters: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> int:
    """Fills the word arrays (as long as the text has bytes, at most) and returns the number of words.

    `kinds` is the union of the class bits of a word's characters, but PUNCTUATION is set only where all of them have it.
    """
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        position = offsets[document]
        end = offsets[document + 1]
        while position < end:
            start = position
            lead = text[position]
            code = uint32(lead) if lead < 0x80 else decoded(text, position)
            kind = classes[code]
            position += width(lead)
            if kind & _SPACE:
                continue
            value = step(uint64(_SEED), uint64(code))
            length = 1
            every = kind
            if kind & _WORD and not kind & _SOLO:
                while position < end:
                    lead = text[position]
                    code = uint32(lead) if lead < 0x80 else decoded(text, position)
                    more = classes[code]
                    if not more & _WORD or more & _SOLO:
                        break
                    value = step(value, uint64(code))
                    kind |= more
                    every &= more
                    length += 1
                    position += width(lead)
            starts[found] = start
            ends[found] = position
            characters[found] = length
            hashes[found] = mixed(value)
            kinds[found] = (kind & ~_PUNCTUATION) | (every & _PUNCTUATION)
            found += 1
    firsts[offsets.shape[0] - 1] = found
    return found


@kernel
def fold_words(
    text: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> None:
    """Hashes of the words in lower case and without diacritics."""
    for word in range(starts.shape[0]):
        value = uint64(_SEED)
        position = starts[word]
        end = ends[word]
        while position < end:
            value = step(value, uint64(fold[decoded(text, position)]))
            position += width(text[position])
        hashes[word] = mixed(value)


@inlined
def hashed_bytes(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    value = uint64(_SEED)
    for position in range(start, end):
        value = step(value, uint64(text[position]))
    return mixed(value + uint64(end - start))


@inlined
def character_count(text: NDArray[np.uint8], start: int, end: int) -> int:
    count = 0
    for position in range(start, end):
        count += (text[position] & 0xC0) != 0x80
    return count


@kernel
def find_lines(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    characters: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> int:
    """Fills the line arrays and returns the number of lines: one more than a document has `\\n`, as `str.split` counts.

    `kinds` has BLANK where a line is white space only, and TERMINAL where its last character ends a sentence.
    """
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        position = offsets[document]
        end = offsets[document + 1]
        while True:
            start = position
            blank = True
            last = uint32(0)
            length = 0
            while position < end and text[position] != 10:
                last = decoded(text, position)
                if not classes[last] & _SPACE:
                    blank = False
                length += 1
                position += width(text[position])
            starts[found] = start
            ends[found] = position
            characters[found] = length
            hashes[found] = hashed_bytes(text, start, position)
            kinds[found] = BLANK if blank else classes[last] & _TERMINAL
            found += 1
            if position >= end:
                break
            position += 1
    firsts[offsets.shape[0] - 1] = found
    return found


@kernel
def find_paragraphs(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    characters: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> int:
    """Fills the paragraph arrays and returns the number of paragraphs; an empty document has one, as `re.split` counts."""
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        position = offsets[document]
        end = offsets[document + 1]
        while position < end and classes[decoded(text, position)] & _SPACE:
            position += width(text[position])
        last = position
        probe = position
        while probe < end:
            size = width(text[probe])
            if not classes[decoded(text, probe)] & _SPACE:
                last = probe + size
            probe += size
        end = last
        while True:
            start = position
            while position < end and not (text[position] == 10 and position + 1 < end and text[position + 1] == 10):
                position += 1
            starts[found] = start
            ends[found] = position
            characters[found] = character_count(text, start, position)
            hashes[found] = hashed_bytes(text, start, position)
            kinds[found] = 0
            found += 1
            if position >= end:
                break
            while text[position] == 10:
                position += 1
    firsts[offsets.shape[0] - 1] = found
    return found


@kernel
def hash_documents(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], first: NDArray[np.uint64], second: NDArray[np.uint64]
) -> None:
    """Two independent 64-bit hashes of each document's bytes, eight bytes a step."""
    for document in range(offsets.shape[0] - 1):
        position = offsets[document]
        end = offsets[document + 1]
        one = uint64(_SEED) ^ uint64(end - position)
        two = uint64(0xA0761D6478BD642F) + uint64(end - position)
        while position + 8 <= end:
            block = uint64(0)
            for byte in range(8):
                block |= uint64(text[position + byte]) << uint64(8 * byte)
            one = (one ^ block) * uint64(_MULTIPLIER)
            one ^= one >> uint64(32)
            two = (two ^ block) * uint64(0xE7037ED1A0B428DB)
            two ^= two >> uint64(29)
            position += 8
        block = uint64(0)
        shift = uint64(0)
        while position < end:
            block |= uint64(text[position]) << shift
            shift += uint64(8)
            position += 1
        first[document] = mixed((one ^ block) * uint64(_MULTIPLIER))
        second[document] = mixed((two ^ block) * uint64(0x8EBC6AF09C88C6E3))
