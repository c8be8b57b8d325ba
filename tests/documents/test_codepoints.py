"""The table of code points against Python's own Unicode data and datatrove's sets."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from corpusmill.documents import codepoints
from corpusmill.documents.codepoints import CLASSES, FOLD

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != codepoints.UNICODE_VERSION,
    reason=f"the table is of Unicode {codepoints.UNICODE_VERSION}, this Python of {unicodedata.unidata_version}",
)


def holding(bit: int) -> set[str]:
    return {chr(code) for code in np.flatnonzero(CLASSES & bit)}


@same_unicode
@pytest.mark.parametrize(
    ("bit", "predicate"),
    [
        (codepoints.SPACE, str.isspace),
        (codepoints.WORD, re.compile(r"\w").match),
        (codepoints.ALPHA, str.isalpha),
        (codepoints.DIGIT, str.isdigit),
        (codepoints.LINE_BREAK, lambda character: len(f"a{character}b".splitlines()) == 2),
    ],
    ids=["space", "word", "alpha", "digit", "line break"],
)
def test_a_bit_is_set_where_python_says_so(bit, predicate):
    assert holding(bit) == {character for character in CHARACTERS if predicate(character)}


def test_punctuation_is_what_fineweb_counts_as_punctuation():
    assert holding(codepoints.PUNCTUATION) == PUNCTUATION_SET


def test_what_ends_a_sentence_is_what_fineweb_lets_a_line_end_in():
    assert holding(codepoints.TERMINAL) == set(TERMINAL_PUNCTUATION)


def test_line_breaks_are_white_space_and_no_word_character_is():
    assert holding(codepoints.LINE_BREAK) <= holding(codepoints.SPACE)
    assert not holding(codepoints.WORD) & holding(codepoints.SPACE)


def test_characters_of_scripts_without_spaces_stand_alone_and_no_others_do():
    solo = holding(codepoints.SOLO)
    assert set("漢字かなカナไทยລາວខ្មែរမြန်မာ") & holding(codepoints.WORD) <= solo
    assert solo <= holding(codepoints.WORD)
    assert not solo & set("abcéяαأबा한글0_")
    assert all(ord(character) >= 0x80 for character in solo)


@same_unicode
def test_folding_is_idempotent_lowers_and_strips_diacritics():
    assert np.array_equal(FOLD[FOLD], FOLD) or not np.flatnonzero(FOLD[FOLD] != FOLD).size
    assert "".join(chr(FOLD[ord(character)]) for character in "ÀÉîÖñÇŠж Й Ω") == "aeioncsж и ω"


def test_surrogates_have_no_class():
    assert not CLASSES[0xD800:0xE000].any()


def test_the_tables_cannot_be_written_to():
    for table in (CLASSES, FOLD):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1
