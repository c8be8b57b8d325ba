"""What the characters of a text tell of its corruption: a compiled walk over them, window by window.

Three kinds, in this order where several meet:

    mojibake      text that was read in another code page than it was written in: "fÃ¼r", "donâ€™t", "Ïðèâåò"
                  (mix/misread.py has the marks)
    unreadable    replacement characters, control characters, private-use and non-characters
    non_language  runs of letters and digits that no language has: long words without a vowel, digests, base64

A token (what stands between white space; an ideograph is one of its own) with a defect counts with all its bytes. A
window of about WINDOW_BYTES counts as lost in proportion to its share of such bytes, wholly from RUINED on: text of
which every fiftieth word is garbled is not what anybody wants to train on, and a book with one bad page has lost a
page. Subramanyam et al. 2025 (arXiv:2510.03313) count a sample as corrupted as a whole; windows do the same for long
texts.

What this does not see: random but pronounceable words, shuffled words.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
from numba import int64, uint8, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import CLASSES, SOLO, SPACE
from corpusmill.documents.compiled import frozen, inlined, kernel, trailing_zeros
from corpusmill.documents.segmentation import block_at, decoded, digits_of, letters_of, width
from corpusmill.mix.misread import is_rare_ideograph, misread_length

KINDS = ("mojibake", "unreadable", "non_language")

WINDOW_BYTES = 2048
"""Bytes without white space that are judged together; half of them more, rather than a short window at the end."""
LONGEST_TOKEN = 8_192
"""Bytes after which a token ends that has no white space, so that a window is no larger."""
RUINED = 0.02
"""Share of a window's bytes in mojibake or unreadable tokens from which all of it is lost."""
NON_LANGUAGE_NATURAL = 0.03
"""Share of a window's bytes that code, tables and formulas may have in non-language runs."""
NON_LANGUAGE_RUINED = 0.08
"""Share from which all of the window is lost."""
RARE_NATURAL = 0.08
"""Share of a window's bytes that rare ideographs may have in Cantonese, old texts and lists of names."""
RARE_RUINED = 0.2
"""Share from which all of the window is lost."""

_LONG_WITHOUT_VOWEL = 6  # letters; "rhythm" has a y, and "strncpy" is what NON_LANGUAGE_NATURAL is for
_LONG_DIGEST = 32  # letters and digits: MD5 in hexadecimal and longer
_LONG_MIXED_DIGEST = 20  # small and capital letters and digits: base64

_SPACE, _SOLO = SPACE, SOLO
_HIGH = np.uint64(0x8080808080808080)
_EN_QUAD = 0x2000  # nobody writes one: it is the space of UTF-16 in the wrong byte order
_SMALL, _CAPITAL, _DIGIT, _VOWEL = 1, 2, 4, 8


def _ascii_kinds() -> NDArray[np.uint8]:
    kinds = np.zeros(256, np.uint8)
    for characters, kind in ((ascii_lowercase, _SMALL), (ascii_uppercase, _CAPITAL), (digits, _DIGIT)):
        kinds[list(characters.encode())] = kind
    kinds[list(b"aeiouyAEIOUY")] |= _VOWEL
    return frozen(kinds)


_ASCII = _ascii_kinds()  # 0: neither letter nor digit
_CP1252 = frozen(
    np.array([ord(bytes([byte]).decode("cp1252", "replace")) for byte in range(0x80, 0xA0)], np.uint32)
)  # the character of each byte from 0x80 to 0x9F; 0xFFFD where there is none
_FOLLOWING = frozen(
    np.array(
        [
            chr(byte) in "\x85\x8a\x8c\x8e\x91\x92\x93\x94\x96\x97\x9a\x9c\x9e\x9f\xa0\xab\xad\xb4\xb7\xbb"
            for byte in range(256)
        ]
    )
)
"""Continuation bytes that stand for quotes, dashes, dots and spaces, which follow any letter in sound text, too, or for
letters that follow accented ones ("áššu" in Northern Sami)."""


@inlined
def continuation_byte(code: np.uint32) -> int:
    """The byte from 0x80 to 0xBF that Latin-1 or cp1252 shows as this character; 0 if there is none."""
    if uint32(0x80) <= code <= uint32(0xBF):
        return int64(code)
    if code < uint32(0x152) or code > uint32(0x2122) or code == uint32(0xFFFD):
        return 0
    for byte in range(32):
        if _CP1252[byte] == code:
            return 0x80 + byte
    return 0


@kernel
def mojibake_length(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Bytes of the mojibake character that begins at `position`; 0 if none does.

    It is a lead byte (U+00C2 to U+00F4) and as many continuation bytes as that asks for. In sound text a capital "Â" or
    "Ã" hardly meets any of those; after other letters, quotes and dashes do not count alone ("è…»", "daß“").
    """
    if text[position] != 0xC3 or position + 1 >= end:
        return 0
    lead = int64(text[position + 1]) + int64(0x40)
    if lead < 0xC2 or lead > 0xF4:
        return 0
    needed = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
    sure = lead <= 0xC3
    probe = position + 2
    for number in range(needed):
        if probe >= end:
            return 0
        byte = continuation_byte(decoded(text, probe))
        if byte == 0 or (number == 0 and ((lead == 0xE0 and byte < 0xA0) or (lead == 0xF0 and byte < 0x90))):
            return 0
        sure |= not _FOLLOWING[byte]
        probe += width(text[probe])
    return probe - position if sure else 0


@inlined
def is_unreadable(code: np.uint32) -> bool:
    """Whether a character that is no white space says nothing to a reader."""
    if code < uint32(0x20) or uint32(0x7F) <= code < uint32(0xA0) or code == uint32(0xFFFD):
        return True
    if uint32(0xE000) <= code <= uint32(0xF8FF) or uint32(0xFDD0) <= code <= uint32(0xFDEF):
        return True
    return (code & uint32(0xFFFE)) == uint32(0xFFFE) or code >= uint32(0xF0000)


@kernel
def non_language_length(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Bytes of the run of ASCII letters and digits at `position`, negative where it is like no word of a language."""
    seen = uint8(0)
    capitals = 0
    probe = position
    while probe < end:
        kind = _ASCII[text[probe]]
        if kind == 0:
            break
        seen |= kind
        capitals += (kind & uint8(_CAPITAL)) != 0
        probe += 1
    length = probe - position
    letters = seen & uint8(_SMALL | _CAPITAL)
    has_digits = (seen & uint8(_DIGIT)) != 0
    no_vowel = (seen & uint8(_VOWEL)) == 0 and not has_digits and capitals <= 1 and length >= _LONG_WITHOUT_VOWEL
    mixed = length >= _LONG_MIXED_DIGEST and letters == uint8(_SMALL | _CAPITAL) and has_digits
    digest = length >= _LONG_DIGEST and letters != 0 and has_digits
    return -length if no_vowel or mixed or digest else length


@inlined
def write_losses(
    losses: NDArray[np.float64], size: int, garbled: int, rare: int, unreadable: int, strange: int
) -> None:
    """The shares of a window of `size` bytes that are lost to each kind."""
    too_rare = (rare / size - RARE_NATURAL) / (RARE_RUINED - RARE_NATURAL)
    to_mojibake = min(1.0, garbled / (RUINED * size) + max(0.0, too_rare))
    to_unreadable = min(1.0 - to_mojibake, unreadable / (RUINED * size))
    beyond = (strange / size - NON_LANGUAGE_NATURAL) / (NON_LANGUAGE_RUINED - NON_LANGUAGE_NATURAL)
    losses[0] = to_mojibake
    losses[1] = to_unreadable
    losses[2] = min(1.0 - to_mojibake - to_unreadable, max(0.0, beyond))


@kernel
def judge_windows(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    documents: NDArray[np.int32],
    starts: NDArray[np.int32],
    sizes: NDArray[np.int32],
    losses: NDArray[np.float64],
) -> int:
    """Cuts documents into windows and judges each; fills the arrays of `Windows`, and returns how many there are."""
    found = 0
    for document in range(offsets.shape[0] - 1):
        position = offsets[document]
        end = offsets[document + 1]
        begin = position
        window = garbled = unreadable = strange = rare = 0
        while position < end:
            # One token: mojibake (1), unreadable (2), or neither, with the bytes of its runs that are no language.
            start = position
            defect = 0
            while position < end and position - start < LONGEST_TOKEN:
                byte = text[position]
                if _ASCII[byte]:
                    # Most runs are short, and none of those is strange: 168 -> 230 MB/s of prose.
                    block = block_at(text, position, end)
                    other = ~(letters_of(block) | digits_of(block)) & uint64(_HIGH)
                    short = trailing_zeros(other) >> 3
                    if short < _LONG_WITHOUT_VOWEL:
                        position += short
                        continue
                    run = non_language_length(text, position, end)
                    strange -= min(run, 0)
                    position += abs(run)
                    continue
                length = mojibake_length(text, position, end)
                if length == 0 and byte >= 0x80:
                    length = misread_length(text, start, position, end)
                if length:
                    defect = 1
                    position += length
                    continue
                code = decoded(text, position)
                kind = classes[code]
                if kind & _SPACE or (kind & _SOLO and position > start):
                    break
                position += width(byte)
                rare += 3 if is_rare_ideograph(code) else 0
                if is_unreadable(code) and defect == 0:
                    defect = 2
                if kind & _SOLO:
                    break
            size = position - start
            garbled += size if defect == 1 else 0
            unreadable += size if defect == 2 else 0
            window += size
            while position < end:
                code = decoded(text, position)
                if not classes[code] & _SPACE:
                    break
                if code == uint32(_EN_QUAD):
                    garbled += 3
                    window += 3
                position += width(text[position])
            if (window >= WINDOW_BYTES and end - position >= WINDOW_BYTES // 2) or (position >= end and window > 0):
                documents[found] = document
                starts[found] = begin
                sizes[found] = window
                write_losses(losses[found], window, garbled, rare, unreadable, strange)
                found += 1
                begin = position
                window = garbled = unreadable = strange = rare = 0
    return found


@dataclass(frozen=True, slots=True)
class Windows:
    """Parts of a batch's documents that are judged each on its own, in order. White space alone makes none.

    documents  int32[n]       document of each
    starts     int32[n]       first byte; it ends where the next begins, or its document
    sizes      int32[n]       bytes without white space (en quads are none)
    losses     float64[n, 3]  share that is lost to each of KINDS
    """

    documents: NDArray[np.int32]
    starts: NDArray[np.int32]
    sizes: NDArray[np.int32]
    losses: NDArray[np.float64]


def windows_of(offsets: NDArray[np.int32], text: NDArray[np.uint8]) -> Windows:
    """The windows of documents, judged by their characters."""
    room = len(offsets) + int(offsets[-1] - offsets[0]) // WINDOW_BYTES
    documents, starts, sizes = (np.empty(room, np.int32) for _ in range(3))
    losses = np.empty((room, len(KINDS)), np.float64)
    count = judge_windows(offsets, text, CLASSES, documents, starts, sizes, losses)
    return Windows(*(frozen(array[:count]) for array in (documents, starts, sizes, losses)))
