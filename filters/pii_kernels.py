"""The kernels of PII: one pass over a batch's bytes that finds candidates, and one that writes the new texts.

Personal data is rare, and its validators (pii_validators.py) are slow, so the first pass decides by bytes alone where
one is worth calling. It stops only at `@`, digits and `:`. Digits are read as **chains**: groups of digits between
short separators, such as `212-555-0100`. A **shape** is the lengths of some neighbouring groups, here (3, 3, 4); only
shapes that a wanted kind can have become candidates. Every byte is read a bounded number of times, whatever the text.

Keys and addresses of currencies are looked for by another kernel, in pii_token_kernels.py.
"""

from __future__ import annotations

import numpy as np
from numba import int32, int64, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel

# What a candidate may be. One bit each, so that a set of wanted kinds is a number. PHONE is written as in one country,
# INTERNATIONAL with `+`; LABELLED is any number that a word may name, NATIONAL and NAMED are numbers of persons, of
# which the latter count behind a word only.
EMAIL, IPV4, IPV6, PHONE, CARD, IBAN, SSN, INTERNATIONAL, LABELLED, NATIONAL, NINO, NAMED = (
    1 << bit for bit in range(12)
)

_AT, _DIGIT, _COLON, _HEX, _LOCAL, _DOMAIN, _ALNUM = (1 << bit for bit in range(7))
_STOPS = _AT | _DIGIT | _COLON
_LOCAL_BYTES = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_BYTES = 255  # RFC 5321, 4.5.3.1.2
_IPV6_BYTES = 45  # eight groups of which the last two are written as IPv4
_NUMBER_BYTES = 40  # of a phone number: 15 digits (ITU-T E.164), separators and an extension's beginning
_MIN_DIGITS = 7  # of whatever is found by its shape
_MAX_LABELLED_DIGITS = 24  # 15 digits, and what else stands in the same chain
_MAX_GROUPS = 7  # of a shape; a group's length takes eight bits of an uint64


def _marks() -> NDArray[np.uint8]:
    marks = np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte)
        alphanumeric = byte < 128 and character.isalnum()
        for bit, holds in (
            (_AT, character == "@"),
            (_DIGIT, character in "0123456789"),
            (_COLON, character == ":"),
            (_HEX, character in "0123456789abcdefABCDEF"),
            (_LOCAL, alphanumeric or byte >= 128 or character in "._%+&'-"),
            (_DOMAIN, alphanumeric or byte >= 128 or character in ".-"),
            (_ALNUM, alphanumeric),
        ):
            if holds:
                marks[byte] |= bit
    return frozen(marks)


MARKS = _marks()
"""uint8[256]: what each byte can be a part of."""


def packed(groups: tuple[int, ...]) -> int:
    """A shape as one number, eight bits for each group.

    >>> hex(packed((3, 3, 4)))
    '0x30304'
    """
    number = 0
    for length in groups:
        number = number << 8 | length
    return number


@inlined
def _separator_end(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Where the next group of digits begins, if one to three separators lead to it; else -1.

    Separators are space, `-`, `.`, `/`, parentheses, no-break spaces, and the dashes U+2010 to U+2013. Two spaces in a
    row are none: that is a table's gap.
    """
    blank = False
    for _ in range(3):
        if position >= end:
            return -1
        byte = text[position]
        if byte == 0x20:
            if blank:
                return -1
            blank = True
            position += 1
        elif byte == 0x2D or byte == 0x2E or byte == 0x2F or byte == 0x28 or byte == 0x29:
            blank = False
            position += 1
        elif byte == 0xC2 and text[position + 1] == 0xA0:
            if blank:
                return -1
            blank = True
            position += 2
        elif (
            byte == 0xE2
            and text[position + 1] == 0x80
            and (0x90 <= text[position + 2] <= 0x93 or text[position + 2] == 0xAF)
        ):
            blank = False
            position += 3
        else:
            return -1
        if position < end and 0x30 <= text[position] <= 0x39:
            return position
    return -1


@inlined
def _shape_kinds(shapes: NDArray[np.uint64], kinds: NDArray[np.uint32], shape: np.uint64) -> np.uint32:
    """The kinds of `shape`, 0 if it has none. `shapes` is sorted."""
    low = 0
    high = shapes.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if shapes[middle] < shape:
            low = middle + 1
        else:
            high = middle
    if low < shapes.shape[0] and shapes[low] == shape:
        return kinds[low]
    return uint32(0)


@inlined
def _email_start(text: NDArray[np.uint8], marks: NDArray[np.uint8], at: int, begin: int) -> int:
    """First byte of what may be a local part before the `@` at `at`: one byte more than it may have, at most."""
    start = at
    while start > begin and at - start <= _LOCAL_BYTES and marks[text[start - 1]] & _LOCAL:
        start -= 1
    return start


@inlined
def _email_end(text: NDArray[np.uint8], marks: NDArray[np.uint8], at: int, end: int) -> int:
    """The byte after what may be a domain behind the `@` at `at`; `at` itself if it has no dot within."""
    stop = at + 1
    dotted = False
    while stop < end and stop - at <= _DOMAIN_BYTES and marks[text[stop]] & _DOMAIN:
        dotted |= text[stop] == 0x2E and stop > at + 1
        stop += 1
    return stop if dotted else at


@inlined
def _iban_end(
    text: NDArray[np.uint8], marks: NDArray[np.uint8], lengths: NDArray[np.uint8], digits: int, begin: int, end: int
) -> int:
    """The byte after what may be an IBAN whose check digits stand at `digits`; -1 if there is none."""
    start = digits - 2
    if start < begin or digits + 1 >= end or not marks[text[digits + 1]] & _DIGIT:
        return -1
    first = int64(text[start]) & 0xDF
    second = int64(text[start + 1]) & 0xDF
    if first < 65 or first > 90 or second < 65 or second > 90:
        return -1
    if start > begin and (marks[text[start - 1]] & _ALNUM or text[start - 1] == 0x5F or text[start - 1] == 0x2B):
        return -1
    length = lengths[(first - 65) * 26 + second - 65]
    if length == 0:
        return -1
    position = start
    count = 0
    while position < end:
        if marks[text[position]] & _ALNUM:
            count += 1
            position += 1
            if count == length:
                return -1 if position < end and (marks[text[position]] & _ALNUM or text[position] == 0x5F) else position
        elif text[position] == 0x20 and text[position - 1] != 0x20:
            position += 1
        elif text[position] == 0xC2 and text[position + 1] == 0xA0:
            position += 2
        else:
            return -1
    return -1


@inlined
def _nino_start(text: NDArray[np.uint8], marks: NDArray[np.uint8], first: int, begin: int) -> int:
    """Where two letters begin that stand alone before the digits at `first`, perhaps behind a space; -1 if none do."""
    start = first - 2 - (first > begin and text[first - 1] == 0x20)
    if start < begin or (start > begin and marks[text[start - 1]] & _ALNUM):
        return -1
    for place in range(start, start + 2):
        if not 0x41 <= int64(text[place]) & 0xDF <= 0x5A:
            return -1
    return start


@inlined
def _nino_end(text: NDArray[np.uint8], marks: NDArray[np.uint8], stop: int, end: int) -> int:
    """The byte after a letter A to D that stands alone behind the digits that end at `stop`; -1 if there is none."""
    position = stop + (stop < end and text[stop] == 0x20)
    if position >= end or not 0x41 <= int64(text[position]) & 0xDF <= 0x44:
        return -1
    if position + 1 < end and marks[text[position + 1]] & _ALNUM:
        return -1
    return position + 1


@kernel
def find_candidates(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    wanted: int,
    iban_lengths: NDArray[np.uint8],
    shapes: NDArray[np.uint64],
    shape_kinds: NDArray[np.uint32],
    kinds: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> int:
    """Fills the arrays of candidates and returns how many there are, though they be more than fit.

    An email's span is its `@`, local part and domain as far as bytes tell; the others are exact.
    """
    capacity = kinds.shape[0]
    found = 0
    group_starts = np.empty(8, np.int32)
    for document in range(offsets.shape[0] - 1):
        begin = offsets[document]
        end = offsets[document + 1]
        position = begin
        colons_done = begin
        while position < end:
            mark = marks[text[position]]
            if not mark & _STOPS:
                position += 1
                continue
            if mark & _AT:
                if wanted & EMAIL:
                    start = _email_start(text, marks, position, begin)
                    stop = _email_end(text, marks, position, end)
                    if start < position < stop:
                        if found < capacity:
                            kinds[found], starts[found], ends[found] = EMAIL, start, stop
                        found += 1
                position += 1
                continue
            if mark & _COLON:
                if wanted & IPV6 and position >= colons_done:
                    start = position
                    while start > begin and position - start < 5 and marks[text[start - 1]] & _HEX:
                        start -= 1
                    stop = position
                    colons = 0
                    double = 0
                    while stop < end and (marks[text[stop]] & (_HEX | _COLON) or text[stop] == 0x2E):
                        if text[stop] == 0x3A:
                            colons += 1
                            double += text[stop - 1] == 0x3A if stop > position else 0
                        stop += 1
                    colons_done = stop
                    while stop - start > 1 and (
                        text[stop - 1] == 0x2E or (text[stop - 1] == 0x3A and text[stop - 2] != 0x3A)
                    ):
                        colons -= text[stop - 1] == 0x3A
                        stop -= 1
                    if stop - start <= _IPV6_BYTES and 2 <= colons <= 8 and (double == 1 or colons >= 6):
                        if found < capacity:
                            kinds[found], starts[found], ends[found] = IPV6, start, stop
                        found += 1
                position += 1
                continue

            if wanted & IBAN:
                stop = _iban_end(text, marks, iban_lengths, position, begin, end)
                if stop >= 0:
                    if found < capacity:
                        kinds[found], starts[found], ends[found] = IBAN, position - 2, stop
                    found += 1
            first = position
            shape = uint64(0)
            groups = 0
            digits = 0
            octets = 0  # groups so far in `1.2.3`; far more than four once a group is too long for one
            while True:
                group_starts[groups & 7] = position
                while position < end and marks[text[position]] & _DIGIT:
                    position += 1
                length = position - group_starts[groups & 7]
                groups += 1
                digits += length
                shape = shape << uint64(8) | uint64(min(length, 255))
                octets += 1 if length <= 3 else 100
                following = _separator_end(text, position, end)
                if digits >= _MIN_DIGITS:
                    taken = uint64(0)
                    for back in range(1, min(groups, _MAX_GROUPS) + 1):
                        taken = taken << uint64(8) | uint64(255)
                        hits = int64(_shape_kinds(shapes, shape_kinds, shape & taken))
                        while hits:
                            bit = hits & -hits
                            hits ^= bit
                            if found < capacity:
                                kinds[found], starts[found], ends[found] = (
                                    bit,
                                    group_starts[(groups - back) & 7],
                                    position,
                                )
                            found += 1
                dotted = following == position + 1 and text[position] == 0x2E
                if octets == 4 and not dotted and wanted & IPV4:
                    if found < capacity:
                        kinds[found], starts[found], ends[found] = IPV4, group_starts[(groups - 4) & 7], position
                    found += 1
                if following < 0:
                    break
                if not dotted:
                    octets = 0
                position = following
            if wanted & INTERNATIONAL and digits >= _MIN_DIGITS and first > begin:
                start = first - 1
                if text[start] == 0x28 and start > begin:
                    start -= 1
                if text[start] == 0x2B:
                    if found < capacity:
                        stop = min(position, start + _NUMBER_BYTES)
                        kinds[found], starts[found], ends[found] = INTERNATIONAL, start, stop
                    found += 1
            if wanted & LABELLED and _MIN_DIGITS <= digits <= _MAX_LABELLED_DIGITS:
                if found < capacity:
                    kinds[found], starts[found], ends[found] = LABELLED, first, min(position, first + _NUMBER_BYTES)
                found += 1
            if wanted & NINO and (shape == uint64(6) or shape == uint64(0x020202)):
                start = _nino_start(text, marks, first, begin)
                stop = _nino_end(text, marks, position, end)
                if start >= 0 and stop >= 0:
                    if found < capacity:
                        kinds[found], starts[found], ends[found] = NINO, start, stop
                    found += 1
    return found


@kernel
def replaced_size(
    offsets: NDArray[np.int32], starts: NDArray[np.int32], ends: NDArray[np.int32], sizes: NDArray[np.int32]
) -> int:
    """Bytes of the texts of `offsets` once each span has become `sizes` bytes."""
    total = int64(offsets[offsets.shape[0] - 1]) - int64(offsets[0])
    for span in range(starts.shape[0]):
        total += sizes[span] - (ends[span] - starts[span])
    return total


@kernel
def replace_spans(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    sizes: NDArray[np.int32],
    origins: NDArray[np.int32],
    placeholders: NDArray[np.uint8],
    new_offsets: NDArray[np.int32],
    new_text: NDArray[np.uint8],
) -> None:
    """Writes the texts with each span (sorted, disjoint, none across documents) replaced by a placeholder.

    Placeholder s is `placeholders[origins[s] : origins[s] + sizes[s]]`.
    """
    written = 0
    span = 0
    for document in range(offsets.shape[0] - 1):
        new_offsets[document] = int32(written)
        position = offsets[document]
        end = offsets[document + 1]
        while span < starts.shape[0] and starts[span] < end:
            length = starts[span] - position
            new_text[written : written + length] = text[position : position + length]
            written += length
            for byte in range(sizes[span]):
                new_text[written + byte] = placeholders[origins[span] + byte]
            written += sizes[span]
            position = ends[span]
            span += 1
        length = end - position
        new_text[written : written + length] = text[position : position + length]
        written += length
    new_offsets[offsets.shape[0] - 1] = int32(written)
