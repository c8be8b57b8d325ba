"""The segmentation kernels: words, lines and paragraphs of a batch of documents, found once for every stage.

A word is a match of the regular expression `\\w+|[^\\w\\s]` by Unicode's rules, except that each ideograph, kana or
character of a script written without spaces (`codepoints.SOLO`) is a word of its own. A line ends at `\\n`. A
paragraph is what `\\n{2,}` separates in the stripped text (Rae et al. 2021, arXiv:2112.11446, appendix A.1, as
datatrove reads it).

Spans are byte positions in the batch's UTF-8 buffer. Hashes are 64 bits: at 10^6 different words in a batch, the
chance of any collision is below 3e-8.

The kernels read eight bytes at a time where they can, and count places in unsigned numbers where that spares numba's
check for negative ones (390 → 450 MB/s). Words of up to eight ASCII characters, nine of ten in English, are classified,
delimited and hashed without a loop, whose end no branch predictor can foresee (272 → 423 MB/s).
"""

from __future__ import annotations

import numpy as np
from numba import uint8, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import ALPHA, DIGIT, LINE_BREAK, PUNCTUATION, SOLO, SPACE, TERMINAL, WORD
from corpusmill.documents.compiled import inlined, kernel, ones, trailing_zeros

# Odd constants of a good avalanche (the finaliser is Stafford's "Mix13", 2011, shortened by a step).
_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_FINAL = np.uint64(0xD6E8FEB86659FD93)
_SEED = np.uint64(0x2545F4914F6CDD1D)

# A block is eight bytes of text, the first in the lowest place; these are blocks of eight equal bytes.
_EACH = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)

_ALPHA, _DIGIT, _PUNCTUATION, _SOLO, _SPACE, _TERMINAL, _WORD = ALPHA, DIGIT, PUNCTUATION, SOLO, SPACE, TERMINAL, WORD
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
    """Takes one more symbol (a byte, a code point, a block, another hash) into a running hash."""
    value = (value ^ symbol) * uint64(_MULTIPLIER)
    return value ^ (value >> uint64(32))


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


@inlined
def last_character(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Where the last character of `text[start:end]`, which must not be empty, begins."""
    position = end - 1
    while position > start and (text[position] & 0xC0) == 0x80:
        position -= 1
    return position


@inlined
def block_at(text: NDArray[np.uint8], position: int, end: int) -> np.uint64:
    """The bytes from `position`, which is below `end`: at most eight, none at or after `end`, zeros for the rest."""
    if position + 8 <= text.shape[0]:  # may read beyond `end`, but not beyond the buffer: one load
        block = uint64(0)
        for byte in range(8):
            block |= uint64(text[uint64(position) + uint64(byte)]) << uint64(8 * byte)
        return lowest_bytes(block, end - position)
    block = uint64(0)
    for byte in range(min(8, end - position)):
        block |= uint64(text[position + byte]) << uint64(8 * byte)
    return block


@inlined
def lowest_bytes(block: np.uint64, count: int) -> np.uint64:
    """The first `count` bytes (one or more: a shift by 64 is undefined) of a block, zeros for the rest."""
    return block & (uint64(0xFFFFFFFFFFFFFFFF) >> uint64(64 - 8 * min(count, 8)))


@inlined
def hashed_bytes(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """Hash of the bytes from `start` to `end`: the same for the same bytes, wherever they stand."""
    value = uint64(_SEED)
    for position in range(start, end, 8):
        value = step(value, block_at(text, position, end))
    return mixed(value + uint64(end - start))


@inlined
def hashed_sign(sign: np.uint8) -> np.uint64:
    """The hash of one byte. Numba counts references wherever `text` is handed on, and signs are one word in seven."""
    return mixed(step(uint64(_SEED), uint64(sign)) + uint64(1))


@inlined
def character_count(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Code points in `text[start:end]`: bytes that continue no character."""
    continuing = 0
    for position in range(start, end, 8):
        block = block_at(text, position, end)
        continuing += ones(block & ~(block << uint64(1)) & uint64(_HIGH))
    return end - start - continuing


@inlined
def places_of(block: np.uint64, byte: int) -> np.uint64:
    """The high bit of each byte that equals `byte` (not 0): sure for the lowest, and there is none if there is none."""
    other = block ^ (uint64(byte) * uint64(_EACH))
    return (other - uint64(_EACH)) & ~other & uint64(_HIGH)


@inlined
def next_newline(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Where the next `\\n` stands, or `end`."""
    while position < end:
        places = places_of(block_at(text, position, end), 0x0A)
        if places:
            return position + (trailing_zeros(places) >> 3)
        position += 8
    return end


@inlined
def letters_of(block: np.uint64) -> np.uint64:
    """The high bit of each byte that is an ASCII letter."""
    lower = (block | (uint64(0x20) * uint64(_EACH))) & uint64(_LOW)
    above = lower + uint64(0x80 - 0x61) * uint64(_EACH)
    beyond = lower + uint64(0x80 - 0x7B) * uint64(_EACH)
    return above & ~beyond & ~block & uint64(_HIGH)


@inlined
def digits_of(block: np.uint64) -> np.uint64:
    """The high bit of each byte that is an ASCII digit."""
    low = block & uint64(_LOW)
    above = low + uint64(0x80 - 0x30) * uint64(_EACH)
    beyond = low + uint64(0x80 - 0x3A) * uint64(_EACH)
    return above & ~beyond & ~block & uint64(_HIGH)


@inlined
def underscores_of(block: np.uint64) -> np.uint64:
    """The high bit of each byte that is `_`."""
    other = (block & uint64(_LOW)) ^ (uint64(0x5F) * uint64(_EACH))
    return ~(other + uint64(_LOW)) & ~block & uint64(_HIGH)


@inlined
def ascii_kind(letters: np.uint64, digits: np.uint64) -> np.uint8:
    """The class bits of a word of ASCII characters, from whether any is a letter, and any a digit."""
    kind = uint8(_WORD)
    if letters:
        kind |= uint8(_ALPHA)
    if digits:
        kind |= uint8(_DIGIT)
    if not letters | digits:
        kind |= uint8(_PUNCTUATION)
    return kind


@inlined
def any_word(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> tuple[int, np.uint8, int]:
    """Where the word ends that begins at `start`, its class bits (see `find_words`) and its length in characters.

    One character of white space is a word here, and SPACE among its bits.
    """
    kind = classes[decoded(text, start)]
    position = start + width(text[start])
    length = 1
    every = kind
    if kind & _WORD and not kind & _SOLO:
        while position < end:
            more = classes[decoded(text, position)]
            if not more & _WORD or more & _SOLO:
                break
            kind |= more
            every &= more
            length += 1
            position += width(text[position])
    return position, (kind & ~_PUNCTUATION) | (every & _PUNCTUATION), length


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
    """Fills the word arrays and returns the number of words, or -1 if the arrays are too short for them.

    `kinds` is the union of the class bits of a word's characters, but PUNCTUATION is set only where all of them have
    it.
    """
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        position = offsets[document]
        end = offsets[document + 1]
        while position < end:
            start = position
            lead = text[uint64(start)]
            kind = classes[lead] if lead < 0x80 else uint8(0)
            if kind & _SPACE:
                position += 1
                continue
            if found == starts.shape[0]:
                return -1
            if kind & _WORD:
                value = uint64(_SEED)
                all_letters = all_digits = uint64(0)
                while True:
                    block = block_at(text, position, end)
                    letters, digits = letters_of(block), digits_of(block)
                    foreign = ~(letters | digits | underscores_of(block)) & uint64(_HIGH)
                    length = trailing_zeros(foreign) >> 3
                    inside = uint64(0xFFFFFFFFFFFFFFFF) >> uint64(64 - 8 * length)
                    if length == 0:
                        break
                    all_letters |= letters & inside
                    all_digits |= digits & inside
                    value = step(value, block & inside)
                    position += length
                    if length < 8 or position == end:
                        break
                if position == end or text[uint64(position)] < 0x80:
                    kind = ascii_kind(all_letters, all_digits)
                    starts[uint64(found)] = start
                    ends[uint64(found)] = position
                    characters[uint64(found)] = position - start
                    hashes[uint64(found)] = mixed(value + uint64(position - start))
                    kinds[uint64(found)] = kind
                    found += 1
                    continue
            elif lead < 0x80:
                starts[uint64(found)] = start
                ends[uint64(found)] = position = start + 1
                characters[uint64(found)] = 1
                hashes[uint64(found)] = hashed_sign(lead)
                kinds[uint64(found)] = kind
                found += 1
                continue
            position, kind, length = any_word(text, classes, start, end)
            if kind & _SPACE:
                continue
            starts[uint64(found)] = start
            ends[uint64(found)] = position
            characters[uint64(found)] = length
            hashes[uint64(found)] = hashed_bytes(text, start, position)
            kinds[uint64(found)] = kind
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
    """Hashes of the words in lower case and without diacritics: each is the hash that the folded word itself has."""
    for word in range(starts.shape[0]):
        start, end = starts[word], ends[word]
        # The first block, which is mostly the only one, apart from the others: 750 -> 1,050 MB/s.
        block = block_at(text, start, end)
        high = block
        # Bit 0x20 makes a letter small, and 0x80 >> 2 is that bit.
        value = step(uint64(_SEED), block | (letters_of(block) >> uint64(2)))
        position = start + 8
        while position < end:
            block = block_at(text, position, end)
            high |= block
            value = step(value, block | (letters_of(block) >> uint64(2)))
            position += 8
        if high & uint64(_HIGH):
            hashes[word] = hashed_folded(text, fold, start, end)
        else:
            hashes[word] = mixed(value + uint64(end - start))


@inlined
def counts_as_word(kind: np.uint8) -> int:
    """1, or 0 for a word of punctuation alone.

    What does not count is written and then written over: no branch predictor foresees punctuation (leaving it out:
    1,070 -> 3,200 MB/s of prose).
    """
    return int(not kind & _PUNCTUATION)


@kernel
def folded_words(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    start: int,
    end: int,
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> int:
    """Folded hashes and kinds of the words of one text, those of punctuation alone left out; returns how many.

    They are what `find_words` and `fold_words` find, in one pass in which nothing else is written for a word: for those
    who need the words of a text once, where nobody else does. The arrays have room for a word in every byte.
    """
    found = 0
    position = start
    while position < end:
        first = position
        lead = text[uint64(position)]
        kind = classes[lead] if lead < 0x80 else uint8(0)
        if kind & _SPACE:
            position += 1
            continue
        if kind & _WORD:
            value = uint64(_SEED)
            all_letters = all_digits = uint64(0)
            while True:
                block = block_at(text, position, end)
                letters, digits = letters_of(block), digits_of(block)
                foreign = ~(letters | digits | underscores_of(block)) & uint64(_HIGH)
                length = trailing_zeros(foreign) >> 3
                inside = uint64(0xFFFFFFFFFFFFFFFF) >> uint64(64 - 8 * length)
                if length == 0:
                    break
                all_letters |= letters & inside
                all_digits |= digits & inside
                value = step(value, (block | (letters >> uint64(2))) & inside)
                position += length
                if length < 8 or position == end:
                    break
            if position == end or text[uint64(position)] < 0x80:
                hashes[uint64(found)] = mixed(value + uint64(position - first))
                kind = ascii_kind(all_letters, all_digits)
                kinds[uint64(found)] = kind
                found += counts_as_word(kind)
                continue
        elif lead < 0x80:
            hashes[uint64(found)] = hashed_sign(lead)
            kinds[uint64(found)] = kind
            found += counts_as_word(kind)
            position += 1
            continue
        position, kind, length = any_word(text, classes, first, end)
        if not kind & _SPACE:
            hashes[uint64(found)] = hashed_folded(text, fold, first, position)
            kinds[uint64(found)] = kind
            found += counts_as_word(kind)
    return found


@kernel
def hashed_folded(text: NDArray[np.uint8], fold: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """The hash (`hashed_bytes`) of what the characters from `start` to `end` fold to."""
    value = uint64(_SEED)
    block = uint64(0)
    length = 0
    position = start
    while position < end:
        code = fold[decoded(text, position)]
        position += width(text[position])
        size = 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
        for byte in range(size):
            rest = size - 1 - byte
            bits = code >> uint32(6 * rest)
            if byte > 0:
                bits = uint32(0x80) | (bits & uint32(0x3F))
            elif size > 1:
                bits |= uint32(0xF00 >> size) & uint32(0xFF)
            block |= uint64(bits) << uint64(8 * (length & 7))
            length += 1
            if length & 7 == 0:
                value = step(value, block)
                block = uint64(0)
    if length & 7:
        value = step(value, block)
    return mixed(value + uint64(length))


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
        start, behind = offsets[document], offsets[document + 1]
        while True:
            # next_newline, hashed_bytes and character_count in one pass over the blocks: 770 -> 1,270 MB/s.
            value = uint64(_SEED)
            continuing = 0
            end = start
            while end < behind:
                block = block_at(text, end, behind)
                newlines = places_of(block, 0x0A)
                if newlines:
                    size = trailing_zeros(newlines) >> 3
                    if size:
                        block = lowest_bytes(block, size)
                        value = step(value, block)
                        continuing += ones(block & ~(block << uint64(1)) & uint64(_HIGH))
                    end += size
                    break
                value = step(value, block)
                continuing += ones(block & ~(block << uint64(1)) & uint64(_HIGH))
                end += 8
            end = min(end, behind)
            if after_space(text, classes, start, end) == end:
                kinds[found] = BLANK
            else:
                kinds[found] = classes[decoded(text, last_character(text, start, end))] & _TERMINAL
            starts[found] = start
            ends[found] = end
            characters[found] = end - start - continuing
            hashes[found] = mixed(value + uint64(end - start))
            found += 1
            if end == behind:
                break
            start = end + 1
    firsts[offsets.shape[0] - 1] = found
    return found


@kernel
def after_space(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> int:
    """Where `text[start:end]` begins when white space is stripped from its left."""
    while start < end and classes[decoded(text, start)] & _SPACE:
        start += width(text[start])
    return start


@kernel
def before_space(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> int:
    """Where `text[start:end]` ends when white space is stripped from its right."""
    while end > start:
        last = last_character(text, start, end)
        if not classes[decoded(text, last)] & _SPACE:
            break
        end = last
    return end


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
    """Fills the paragraph arrays and returns the number of paragraphs; an empty document has one, as `re.split`
    counts."""
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        start = after_space(text, classes, offsets[document], offsets[document + 1])
        last = before_space(text, classes, start, offsets[document + 1])
        while True:
            # What is stripped does not end in a newline, so there is a byte after each.
            end = next_newline(text, start, last)
            while end < last and text[end + 1] != 0x0A:
                end = next_newline(text, end + 1, last)
            starts[found] = start
            ends[found] = end
            characters[found] = character_count(text, start, end)
            hashes[found] = hashed_bytes(text, start, end)
            kinds[found] = 0
            found += 1
            if end == last:
                break
            start = end
            while text[start] == 0x0A:
                start += 1
    firsts[offsets.shape[0] - 1] = found
    return found


@kernel
def hash_documents(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], first: NDArray[np.uint64], second: NDArray[np.uint64]
) -> None:
    """Two independent 64-bit hashes of each document's bytes, eight bytes a step."""
    for document in range(offsets.shape[0] - 1):
        start = offsets[document]
        end = offsets[document + 1]
        one = uint64(_SEED) ^ uint64(end - start)
        two = uint64(0xA0761D6478BD642F) + uint64(end - start)
        for position in range(start, end, 8):
            block = block_at(text, position, end)
            one = step(one, block)
            two = (two ^ block) * uint64(0xE7037ED1A0B428DB)
            two ^= two >> uint64(29)
        first[document] = mixed(one)
        second[document] = mixed(two * uint64(0x8EBC6AF09C88C6E3))
