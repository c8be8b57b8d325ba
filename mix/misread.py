"""Characters that show that a text was read in another code page than it was written in.

Six marks, each of which sound text hardly has:

    sequences   two characters or three that stand for bytes of one character of UTF-8, in one of PAGES: "Гј", "├╝"
                ("mojibake" of cp1252 and Latin-1 is told by characters.mojibake_length, which needs fewer of them)
    intruders   Greek, Cyrillic, lines or mathematical signs within a word of Latin letters: "f├╝r", "itвЂ™s", "f眉r"
    accents     five accented Latin letters in a row, four of them different: "Ïðèâåò" is Cyrillic in Latin-1
    case        a small Cyrillic letter before capitals alone: "оПХБЕР" is KOI8-R in cp1251, or the other way round
    signs       a sign such as ¤, § or ¬ between two Cyrillic letters, ³ or ¹ between two small letters, or lines
                between letters: "ЏаЁўҐв" is cp866 in cp1251, "w³asny" is cp1250 in cp1252
    ideographs  beyond the commonest 3,755 of GB 2312, 5,401 of Big5 and 2,965 of JIS X 0208: UTF-16 in the wrong byte
                order, or two bytes of another page read as one character

What it does not see: pages that differ in few letters which both have ("dìtì" is Czech in cp1252).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
from numba import int64, uint32
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import decoded, last_character, width

PAGES = ("cp1250", "cp1251", "cp1253", "cp437", "cp850", "cp866", "koi8-r", "mac-roman")

_KNOWN = 0x2600  # code points below have an entry in _MARKS
_LEAD2, _LEAD3, _CONTINUATION = 0, 8, 16  # the first of a bit for each page
_TYPOGRAPHIC = 1 << 24
_INTRUDER = 1 << 25
_CYRILLIC_SMALL = 1 << 26
_CYRILLIC_CAPITAL = 1 << 27
_ACCENTED = 1 << 28
_SIGN = 1 << 29  # between Cyrillic letters
_DIGIT_SIGN = 1 << 30  # between small letters
_LINE = 1 << 31  # between letters
_EACH_PAGE = (1 << len(PAGES)) - 1
_ACCENTS = 5  # Bora has four, as in "mewááóí"
_INTRUDERS = 3
_LONGEST = 64  # sequences or letters that are looked at from one place: rows of a million may be sound at each


def _marks() -> NDArray[np.uint32]:
    marks = np.zeros(_KNOWN, np.uint32)
    for number, page in enumerate(PAGES):
        for byte in range(0x80, 0xF0):
            character = bytes([byte]).decode(page, "ignore")
            if character and ord(character) < _KNOWN:
                first = _CONTINUATION if byte < 0xC0 else _LEAD2 if byte < 0xE0 else _LEAD3
                # In cp866 two thirds of the alphabet are continuations, and the rest are leads of three bytes. Small
                # Latin letters lead nothing, but stand before others in sound text: "bıçak", "ášš".
                sound = (page == "cp866" and first == _LEAD3) or (character.islower() and character < "\u0250")
                if byte not in (0xC0, 0xC1) and (first == _CONTINUATION or not sound):
                    marks[ord(character)] |= np.uint32(1 << (first + number))
    for code in range(0x80, _KNOWN):
        character = chr(code)
        name, category = unicodedata.name(character, ""), unicodedata.category(character)
        bits = 0
        if category in ("Pi", "Pf", "Pd", "Zs") or character in "„‚…­´¨¸·":
            bits |= _TYPOGRAPHIC
        if name.startswith(("CYRILLIC ", "GREEK ", "BOX ", "BLOCK ", "SUPERSCRIPT LATIN ")) or (
            category == "Sm" and character not in "·×"
        ):
            bits |= _INTRUDER
        if name.startswith("CYRILLIC CAPITAL"):
            bits |= _CYRILLIC_CAPITAL
        if name.startswith("CYRILLIC SMALL"):
            bits |= _CYRILLIC_SMALL
        if 0xC0 <= code <= 0xFF and category in ("Lu", "Ll"):
            bits |= _ACCENTED
        if character in "¤¦§©¬®°±µ¶†‡‰€™":
            bits |= _SIGN
        if character in "¡¹³¿¼¾¥¯£":
            bits |= _DIGIT_SIGN
        if name.startswith(("BOX DRAWINGS", "BLOCK ", "FULL BLOCK", "LIGHT SHADE", "MEDIUM SHADE", "DARK SHADE")):
            bits |= _LINE
        marks[code] |= np.uint32(bits)
    return frozen(marks)


def _common_ideographs() -> Iterator[str]:
    """The first level of each standard, which has the commonest characters."""
    for lead in range(0xB0, 0xD8):
        yield bytes(byte for trail in range(0xA1, 0xFF) for byte in (lead, trail)).decode("gb2312", "ignore")
    for lead in range(0xA4, 0xC7):
        trails = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
        yield "".join(bytes([lead, trail]).decode("big5", "ignore") for trail in trails)
    for lead in range(0xB0, 0xD0):
        yield bytes(byte for trail in range(0xA1, 0xFF) for byte in (lead, trail)).decode("euc-jp", "ignore")


_FIRST_IDEOGRAPH, _LAST_IDEOGRAPH = 0x3400, 0x9FFF


def _rare_ideographs() -> NDArray[np.bool_]:
    rare = np.ones(_LAST_IDEOGRAPH + 1 - _FIRST_IDEOGRAPH, np.bool_)
    codes = np.array([ord(character) for row in _common_ideographs() for character in row])
    rare[codes[(codes >= _FIRST_IDEOGRAPH) & (codes <= _LAST_IDEOGRAPH)] - _FIRST_IDEOGRAPH] = False
    return frozen(rare)


def _utf8_in_gbk() -> NDArray[np.bool_]:
    found = np.zeros(_LAST_IDEOGRAPH + 1 - _FIRST_IDEOGRAPH, np.bool_)
    for lead in range(0xC2, 0xE0):
        characters = bytes(byte for trail in range(0x80, 0xC0) for byte in (lead, trail)).decode("gbk", "ignore")
        codes = np.array([ord(character) for character in characters])
        found[codes[(codes >= _FIRST_IDEOGRAPH) & (codes <= _LAST_IDEOGRAPH)] - _FIRST_IDEOGRAPH] = True
    return frozen(found)


_MARKS = _marks()
_RARE = _rare_ideographs()
_UTF8_IN_GBK = _utf8_in_gbk()


@inlined
def marks_of(code: np.uint32) -> np.uint32:
    return _MARKS[code] if code < uint32(_KNOWN) else uint32(0)


@kernel
def marks_at(text: NDArray[np.uint8], position: int) -> np.uint32:
    return marks_of(decoded(text, position))


@inlined
def is_rare_ideograph(code: np.uint32) -> bool:
    """Whether it is none of the common ideographs; those of the supplementary planes are not."""
    if uint32(_FIRST_IDEOGRAPH) <= code <= uint32(_LAST_IDEOGRAPH):
        return bool(_RARE[code - uint32(_FIRST_IDEOGRAPH)])
    return uint32(0x20000) <= code <= uint32(0x3FFFF)


@inlined
def is_utf8_in_gbk(code: np.uint32) -> bool:
    """Whether GBK shows two bytes that are a character of UTF-8 as this ideograph: "眉" for "ü"."""
    if uint32(_FIRST_IDEOGRAPH) <= code <= uint32(_LAST_IDEOGRAPH):
        return bool(_UTF8_IN_GBK[code - uint32(_FIRST_IDEOGRAPH)])
    return False


@inlined
def is_small(text: NDArray[np.uint8], position: int, end: int) -> bool:
    """Whether a small ASCII letter stands there."""
    return position < end and 0x61 <= text[position] <= 0x7A


@kernel
def sequences_length(text: NDArray[np.uint8], start: int, position: int, end: int) -> int:
    """Bytes of the sequences of UTF-8 in one of PAGES that begin at `position`; 0 if what is there may be sound.

    One sequence is enough next to a small ASCII letter, else there must be two; three where a lead is a quote or dash,
    as Mac Roman has them. One continuation at least must be none of those, as they follow any letter.
    """
    first = marks_at(text, position)
    after = position + width(text[position])
    pages = (first | first >> uint32(_LEAD3)) & uint32(_EACH_PAGE)
    if after < end:
        pages &= marks_at(text, after) >> uint32(_CONTINUATION)
    longest = 0
    page = 0
    while pages >> uint32(page):
        if pages >> uint32(page) & uint32(1):
            longest = max(longest, sequences_in_page(text, start, position, end, page))
        page += 1
    return longest


@kernel
def sequences_in_page(text: NDArray[np.uint8], start: int, position: int, end: int, page: int) -> int:
    """What `sequences_length` finds in one of PAGES."""
    probe = position
    count = 0
    sure = False
    needed = 2
    while probe < end and count < _LONGEST:
        first = marks_at(text, probe) >> uint32(page)
        rest = 1 if first & uint32(1 << _LEAD2) else 2 if first & uint32(1 << _LEAD3) else 0
        after = probe + width(text[probe])
        quotes = True
        for _ in range(rest):
            marks = marks_at(text, after) if after < end else uint32(0)
            if not marks >> uint32(page + _CONTINUATION) & uint32(1):
                rest = 0
                break
            quotes &= (marks & uint32(_TYPOGRAPHIC)) != 0
            after += width(text[after])
        if rest == 0:
            break
        sure |= not quotes
        needed = 3 if marks_at(text, probe) & uint32(_TYPOGRAPHIC) else needed
        probe = after
        count += 1
    beside = (position > start and is_small(text, position - 1, end)) or is_small(text, probe, end)
    return probe - position if sure and (count >= needed or (beside and count >= needed - 1)) else 0


@kernel
def intruders_length(text: NDArray[np.uint8], start: int, position: int, end: int) -> int:
    """Bytes of up to three intruders at `position` between two small ASCII letters; 0 if there are none.

    A single Cyrillic letter is none: it is mostly one that looks like the Latin letter.
    """
    if position == start or not is_small(text, position - 1, end):
        return 0
    probe = position
    for _ in range(_INTRUDERS):
        if probe >= end or text[probe] < 0x80:
            break
        code = decoded(text, probe)
        marks = marks_of(code)
        ideograph = is_utf8_in_gbk(code)
        if probe == position and not (ideograph or marks & uint32(_INTRUDER)):
            return 0
        if probe > position and marks == 0:
            return 0
        probe += width(text[probe])
        if ideograph:
            break
    lone = probe == position + 2 and marks_at(text, position) & uint32(_CYRILLIC_SMALL | _CYRILLIC_CAPITAL)
    return probe - position if not lone and is_small(text, probe, end) else 0


@kernel
def accents_length(text: NDArray[np.uint8], position: int, end: int) -> int:
    """Bytes of the accented Latin letters in a row at `position`; 0 if these are few or alike."""
    probe = position
    seen = uint32(0)
    while (
        probe + 1 < min(end, position + 2 * _LONGEST)
        and text[probe] == 0xC3
        and marks_at(text, probe) & uint32(_ACCENTED)
    ):
        # The 64 letters fall on 32 bits, so that a capital and its small letter are one.
        seen |= uint32(1) << uint32(text[probe + 1] & 0x1F)
        probe += 2
    different = 0
    while seen:
        seen &= seen - uint32(1)
        different += 1
    return probe - position if probe - position >= 2 * _ACCENTS and different >= _ACCENTS - 1 else 0


@kernel
def inverted_length(text: NDArray[np.uint8], start: int, position: int, end: int) -> int:
    """Bytes of a word at `position` of a small Cyrillic letter and two or more capitals; 0 if it is none."""
    cyrillic = uint32(_CYRILLIC_SMALL | _CYRILLIC_CAPITAL)
    if position > start and marks_at(text, last_character(text, start, position)) & cyrillic:
        return 0
    if not marks_at(text, position) & uint32(_CYRILLIC_SMALL):
        return 0
    probe = position + 2
    while probe < end and text[probe] >= 0x80 and marks_at(text, probe) & uint32(_CYRILLIC_CAPITAL):
        probe += 2
    if probe - position < 6:
        return 0
    if probe < end and text[probe] >= 0x80 and marks_at(text, probe) & uint32(_CYRILLIC_SMALL):
        return 0
    return probe - position


@kernel
def sign_length(text: NDArray[np.uint8], start: int, position: int, end: int) -> int:
    """Bytes of the sign at `position` if it parts letters as no sign does; else 0."""
    code = decoded(text, position)
    marks = marks_of(code)
    after = position + width(text[position])
    if position == start or after >= end:
        return 0
    if marks & uint32(_DIGIT_SIGN) and is_small(text, position - 1, end) and is_small(text, after, end):
        return after - position
    if not marks & uint32(_SIGN | _LINE) or text[position - 1] < 0x80 or text[after] < 0x80:
        return 0
    before = last_character(text, start, position)
    cyrillic = uint32(_CYRILLIC_SMALL | _CYRILLIC_CAPITAL)
    both = marks_at(text, before) & cyrillic and marks_at(text, after) & cyrillic
    return after - position if both else 0


@kernel
def misread_length(text: NDArray[np.uint8], start: int, position: int, end: int) -> int:
    """Bytes at `position`, which is no ASCII, that show a wrong code page; 0 if none do.

    Args:
        start: where the token begins; what stands before is not looked at.
    """
    code = decoded(text, position)
    marks = marks_of(code)
    if marks == 0 and not uint32(_FIRST_IDEOGRAPH) <= code <= uint32(_LAST_IDEOGRAPH):
        return 0
    length = int64(0)
    if marks & uint32(_EACH_PAGE << _LEAD2 | _EACH_PAGE << _LEAD3):
        length = sequences_length(text, start, position, end)
    if length == 0:
        length = intruders_length(text, start, position, end)
    if length == 0 and marks & uint32(_ACCENTED):
        length = accents_length(text, position, end)
    if length == 0 and marks & uint32(_CYRILLIC_SMALL):
        length = inverted_length(text, start, position, end)
    if length == 0 and marks & uint32(_SIGN | _DIGIT_SIGN | _LINE):
        length = sign_length(text, start, position, end)
    return length
