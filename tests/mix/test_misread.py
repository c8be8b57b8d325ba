from __future__ import annotations

import re
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.compiled import frozen
from corpusmill.mix import misread as module
from corpusmill.mix.characters import windows_of
from corpusmill.mix.misread import PAGES, is_rare_ideograph, misread_length


def in_page(character: str, page: str) -> int:
    """The byte that `page` shows as this character, or 0."""
    if ord(character) >= 0x2600:
        return 0
    try:
        byte = character.encode(page)[0]
    except UnicodeEncodeError:
        return 0
    return byte if byte >= 0x80 else 0


def is_quote(character: str) -> bool:
    return unicodedata.category(character) in ("Pi", "Pf", "Pd", "Zs") or character in "„‚…­´¨¸·"


def is_intruder(character: str) -> bool:
    name = unicodedata.name(character, "")
    mathematical = unicodedata.category(character) == "Sm" and character not in "·×"
    named = name.startswith(("CYRILLIC ", "GREEK ", "BOX ", "BLOCK ", "SUPERSCRIPT LATIN "))
    return "\x7f" < character < "\u2600" and (named or mathematical)


def is_marked(character: str) -> bool:
    return ord(character) < 0x2600 and bool(module._MARKS[ord(character)])


def sequences(text: str, start: int, at: int) -> int:
    found = 0
    for pages in ([page] for page in PAGES):
        end, count, sure, weak = at, 0, False, False
        while end < len(text) and count < module._LONGEST:
            (page,) = pages
            lead = in_page(text[end], page)
            latin = text[end].islower() and text[end] < "\u0250"
            if not 0xC2 <= lead <= 0xEF or latin or (page == "cp866" and lead >= 0xE0):
                break
            rest = text[end + 1 : end + (2 if lead < 0xE0 else 3)]
            if len(rest) < (1 if lead < 0xE0 else 2) or not all(0x80 <= in_page(c, page) < 0xC0 for c in rest):
                break
            sure |= not all(map(is_quote, rest))
            weak |= is_quote(text[end])
            end += 1 + len(rest)
            count += 1
        needed = 3 if weak else 2
        beside = re.match("[a-z]", text[end:]) or (at > start and re.match("[a-z]", text[at - 1]))
        if sure and (count >= needed or (beside and count >= needed - 1)):
            found = max(found, end - at)
    return found


def intruders(text: str, start: int, at: int) -> int:
    if at == start or not "a" <= text[at - 1] <= "z":
        return 0

    def ideograph(character: str) -> bool:
        data = character.encode("gbk", "ignore")
        return len(data) == 2 and 0xC2 <= data[0] < 0xE0 and 0x80 <= data[1] < 0xC0 and "㐀" <= character <= "鿿"

    end = at
    while end < min(len(text), at + 3) and text[end] >= "\x80":
        if end == at and not (ideograph(text[end]) or is_intruder(text[end])):
            return 0
        if end > at and not is_marked(text[end]):
            return 0
        end += 1
        if ideograph(text[end - 1]):
            break
    lone = end == at + 1 and unicodedata.name(text[at], "").startswith(("CYRILLIC SMALL", "CYRILLIC CAPITAL"))
    return end - at if not lone and re.match("[a-z]", text[end:]) else 0


SMALL = "".join(chr(c) for c in range(0x400, 0x530) if unicodedata.name(chr(c), "").startswith("CYRILLIC SMALL"))
CAPITAL = "".join(chr(c) for c in range(0x400, 0x530) if unicodedata.name(chr(c), "").startswith("CYRILLIC CAPITAL"))


def plain(text: str, start: int, at: int) -> int:
    """The kernel's twin: characters of `text` from `at` that show a wrong code page."""
    for way in (sequences, intruders):
        length = way(text, start, at)
        if length:
            return length
    accents = re.compile("[À-ÖØ-öø-ÿ]{1,64}").match(text, at)
    if accents and len(accents[0]) >= 5 and len({ord(letter) % 32 for letter in accents[0]}) >= 4:
        return len(accents[0])
    inverted = re.compile(f"[{SMALL}][{CAPITAL}]{{2,}}(?![{SMALL}])").match(text, at)
    if inverted and not (at > start and text[at - 1] in SMALL + CAPITAL):
        return len(inverted[0])
    around = text[at - 1] + text[at + 1] if start < at < len(text) - 1 else ""
    if text[at] in "¡¹³¿¼¾¥¯£" and re.fullmatch("[a-z]{2}", around):
        return 1
    line = unicodedata.name(text[at], "").startswith(("BOX DRAWINGS", "BLOCK ", "FULL BLOCK")) or text[at] in "░▒▓"
    if (text[at] in "¤¦§©¬®°±µ¶†‡‰€™" or line) and around and all(c in SMALL + CAPITAL for c in around):
        return 1
    return 0


def measured(text: str, start: int, at: int) -> int:
    data = np.frombuffer(text.encode(), np.uint8)
    begin, place = len(text[:start].encode()), len(text[:at].encode())
    length = int(misread_length(data, begin, place, len(data)))
    return len(data[place : place + length].tobytes().decode())


letters = st.text("aezAß üöéÀÏðèâåòñ³¤§—’»眉和愀├╝┘оПХБЕРРџСЂвЂ™ΓΌΣ√ºїЎў\xa0", min_size=1, max_size=8)
garbled = st.builds(
    lambda text, page: text.encode().decode(page, "ignore") or "ü",
    st.text("aeü öß€“приветΓειά中文", min_size=1, max_size=5),
    st.sampled_from([*PAGES, "gbk", "cp1252"]),
)


@given(st.lists(st.one_of(letters, garbled, st.text(min_size=1, max_size=4)), min_size=1, max_size=5).map("".join))
@settings(max_examples=400, deadline=None)
def test_the_kernel_equals_its_plain_twin(text: str) -> None:
    for at, character in enumerate(text):
        if character >= "\x80":
            for start in {0, at}:
                assert measured(text, start, at) == plain(text, start, at), (text, start, at)


@pytest.mark.parametrize(("written", "read"), [
    ("utf-8", "cp1250"), ("utf-8", "cp1251"), ("utf-8", "cp1253"), ("utf-8", "cp437"), ("utf-8", "cp850"),
    ("utf-8", "koi8-r"), ("utf-8", "gbk"), ("cp1252", "cp437"), ("utf-8", "mac-roman"),
])  # fmt: skip
def test_a_word_of_latin_letters_that_was_misread_is_marked(written: str, read: str) -> None:
    text = "das Gefühl".encode(written).decode(read)
    assert any(measured(text, 4, at) for at in range(4, len(text)) if text[at] >= "\x80")


@pytest.mark.parametrize(("written", "read"), [
    ("utf-8", "cp1251"), ("utf-8", "koi8-r"), ("utf-8", "cp866"), ("cp1251", "latin-1"), ("cp1251", "koi8-r"),
    ("koi8-r", "cp1251"), ("cp866", "cp1251"),
])  # fmt: skip
def test_a_cyrillic_word_that_was_misread_is_marked(written: str, read: str) -> None:
    text = "Приветливый город".encode(written).decode(read)
    assert any(measured(text, 0, at) for at in range(len(text)) if text[at] >= "\x80")


@pytest.mark.parametrize(
    "text",
    [
        "bıçakla", "náššuvnna", "l’égalité", "të’ëxtë", "mewááóítyuri", "iPhone和iPad", "PayРal", "tәlimat",
        "сочинение", "ВЕЛИКАЯ", "раба", "«слово»", "Łódź", "mężczyzna", "měšťan", "πρωί", "α”»", "x²", "m³", "¿qué",
        "Сіль", "Þýðing", "jäääär", "│text│", "中文和英文",
    ],
)  # fmt: skip
def test_sound_words_are_not_marked(text: str) -> None:
    assert [measured(text, 0, at) for at in range(len(text)) if text[at] >= "\x80"] == [0] * sum(
        character >= "\x80" for character in text
    )


@pytest.mark.parametrize("row", ["Ñ–", "é", "Ð»", "а", "眉", "√", "бА"])
def test_long_rows_take_time_in_proportion(row: str) -> None:
    data = np.frombuffer((row * 200_000).encode(), np.uint8)
    windows_of(frozen(np.array([0, 0], np.int32)), data)  # compiles
    began = time.process_time()
    windows_of(frozen(np.array([0, len(data)], np.int32)), data)
    assert time.process_time() - began < 5


def test_ideographs_of_everyday_are_common_and_those_of_wrong_byte_order_rare() -> None:
    assert not any(is_rare_ideograph(np.uint32(ord(character))) for character in "委員会は火曜日我们这个国家國家學習")
    swapped = "committee".encode("utf-16-le").decode("utf-16-be")
    assert sum(is_rare_ideograph(np.uint32(ord(character))) for character in swapped) >= len(swapped) / 2
