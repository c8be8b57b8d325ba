"""The kernel that finds what keys, currency addresses and a few identity numbers are made of: long unbroken tokens.

A **token** is a run of letters, digits, `_` and `-`. In prose hardly one is as long as 16 bytes, so the kernel reads
every tenth byte and looks around itself only where that byte may belong to a token of ten. What a token begins with,
and how many letters and digits it has, decides whether a validator (pii_secrets.py, pii_currencies.py) is worth a call.
"""

from __future__ import annotations

import numpy as np
from numba import int64, uint32
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel

# What a token may be, in the same numbers as the candidates of pii_kernels.py.
SECRET, PEM, CURRENCY, FISCAL, ENTROPY = (1 << bit for bit in range(16, 21))

UPPER, LOWER, DIGIT, JOINT = 1, 2, 4, 8
_ANY = UPPER | LOWER | DIGIT | JOINT
_STRIDE = 10  # bytes of the shortest token that matters, `-----BEGIN`
_MIN_TOKEN = 16
_MAX_TOKEN = 4096  # a longer one is data
_ADDRESS_BYTES = (25, 111)  # the shortest Bitcoin address; an extended key


def _token_marks() -> NDArray[np.uint8]:
    marks = np.zeros(256, np.uint8)
    for characters, mark in (
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", UPPER),
        ("abcdefghijklmnopqrstuvwxyz", LOWER),
        ("0123456789", DIGIT),
        ("_-", JOINT),
    ):
        marks[list(characters.encode())] = mark
    return frozen(marks)


TOKEN_MARKS = _token_marks()
"""uint8[256]: the class of each byte that a token may have; 0 for the others."""


def anchor(start: bytes) -> int:
    """The first three bytes of a token as one number.

    >>> hex(anchor(b"ghp_"))
    '0x676870'
    """
    return start[0] << 16 | start[1] << 8 | start[2]


@inlined
def _anchored(anchors: NDArray[np.uint32], text: NDArray[np.uint8], start: int) -> bool:
    """Whether the three bytes at `start` are in `anchors`, which is sorted."""
    wanted = int64(text[start]) << 16 | int64(text[start + 1]) << 8 | int64(text[start + 2])
    low = 0
    high = anchors.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if anchors[middle] < uint32(wanted):
            low = middle + 1
        else:
            high = middle
    return low < anchors.shape[0] and anchors[low] == uint32(wanted)


@inlined
def _behind_a_mark(
    text: NDArray[np.uint8], start: int, begin: int, length: int, upper: int, lower: int, digits: int
) -> bool:
    """Whether what stands before a token is how a few services write theirs: `SG.`, `ya29.`, `hvs.`, a bot's `123:`,
    or the last part of a path that looks random."""
    if start - begin < 3:
        return False
    mark = text[start - 1]
    last = text[start - 2]
    if mark == 0x2E:
        return last == 0x47 or last == 0x39 or last == 0x73
    if mark == 0x3A:
        return 0x30 <= last <= 0x39 and length == 35
    if mark == 0x2F:
        mixed = upper > 0 and lower > 0 and digits > 0
        return mixed and ((length == 24 and upper + lower + digits == 24) or length >= 60)
    return False


@inlined
def _is_base58(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether letters and digits lack the four that base58 leaves out: 0, O, I and l."""
    for place in range(start, stop):
        byte = text[place]
        if byte == 0x30 or byte == 0x4F or byte == 0x49 or byte == 0x6C:
            return False
    return True


@inlined
def _pem_begins(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether a token is `-----BEGIN`."""
    if stop - start != 10 or text[start] != 0x2D or text[start + 4] != 0x2D:
        return False
    return text[start + 5] == 0x42 and text[start + 6] == 0x45 and text[start + 7] == 0x47 and text[stop - 1] == 0x4E


@kernel
def find_tokens(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    wanted: int,
    anchors: NDArray[np.uint32],
    kinds: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> int:
    """Fills the arrays with the tokens worth a validator; returns how many there are, though they be more than fit.

    Every byte is read at most twice: the look back ends where the last token did.
    """
    capacity = kinds.shape[0]
    found = 0
    counts = np.zeros(_ANY + 1, np.int64)
    for document in range(offsets.shape[0] - 1):
        begin = offsets[document]
        end = offsets[document + 1]
        done = begin  # no token that matters begins before
        position = begin + _STRIDE - 1
        while position < end:
            if marks[text[position]] == 0:
                done = position + 1
                position += _STRIDE
                continue
            start = position
            while start > done and marks[text[start - 1]]:
                start -= 1
            stop = position + 1
            while stop < end and marks[text[stop]]:
                stop += 1
            done = stop
            position = stop + _STRIDE
            length = stop - start
            if length < _STRIDE or length > _MAX_TOKEN:
                continue
            hits = 0
            if wanted & PEM and _pem_begins(text, start, stop):
                hits |= PEM
            if length >= _MIN_TOKEN:
                counts[UPPER] = counts[LOWER] = counts[DIGIT] = 0
                for place in range(start, stop):
                    counts[marks[text[place]]] += 1
                upper = counts[UPPER]
                lower = counts[LOWER]
                digits = counts[DIGIT]
                plain = upper + lower + digits == length
                anchored = _anchored(anchors, text, start)
                if wanted & SECRET and (anchored or _behind_a_mark(text, start, begin, length, upper, lower, digits)):
                    hits |= SECRET
                if (
                    wanted & CURRENCY
                    and plain
                    and digits
                    and _ADDRESS_BYTES[0] <= length <= _ADDRESS_BYTES[1]
                    and (anchored or text[start + 1] == 0x78 or (upper and lower and _is_base58(text, start, stop)))
                ):
                    hits |= CURRENCY
                if wanted & FISCAL and plain and length == 16 and digits == 7 and (upper == 9 or lower == 9):
                    hits |= FISCAL
                if wanted & ENTROPY and digits and upper + lower and start > begin:
                    before = text[start - 1]
                    if before == 0x22 or before == 0x27 or before == 0x60:
                        hits |= ENTROPY
            while hits:
                bit = hits & -hits
                hits ^= bit
                if found < capacity:
                    kinds[found], starts[found], ends[found] = bit, start, stop
                found += 1
    return found
