from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from corpusmill.documents.compiled import frozen
from corpusmill.mix.pretokens import (
    BREAK,
    CL100K,
    GPT2_REGEX,
    LETTER,
    LOWER,
    MARK,
    NUMBER,
    O200K_REGEX,
    UNKNOWN,
    UPPER,
    WHITE,
    Pattern,
    character_classes,
    has_unknown,
    known_pattern,
    piece_end,
    plain_word_end,
    regex_of,
)
from tests.mix.made_tokenizers import HARD_CHARACTERS, PATTERNS, library_splitter

LIBRARY = [(pattern, library_splitter(pattern)) for pattern in PATTERNS]
KNOWN = [piece for piece in HARD_CHARACTERS if all(unicodedata.category(sign) != "Cn" for sign in piece)]
LLAMA3 = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)


def buffer(text: str) -> Any:
    return frozen(np.frombuffer(text.encode(), np.uint8))


def pieces(pattern: Pattern, text: str) -> list[str]:
    content, found, start = buffer(text), [], 0
    while start < len(content):
        stop = piece_end(
            content,
            start,
            len(content),
            character_classes(),
            pattern.family,
            np.uint8(pattern.letters),
            pattern.digits,
            pattern.tail_whole,
        )
        assert stop > start
        assert plain_word_end(content, start, len(content), pattern.family) in (start, stop)
        found.append(bytes(content[start:stop]).decode())
        start = stop
    return found


@given(st.lists(st.sampled_from(KNOWN), max_size=25).map("".join))
@settings(max_examples=400)
def test_pieces_are_those_that_the_library_finds_by_the_regular_expression(text: str) -> None:
    for pattern, library in LIBRARY:
        assert pieces(pattern, text) == [piece for piece, _ in library.pre_tokenize_str(text)], pattern


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60))
def test_pieces_of_any_text_are_the_librarys(text: str) -> None:
    for pattern, library in LIBRARY:
        assert pieces(pattern, text) == [piece for piece, _ in library.pre_tokenize_str(text)], pattern


def test_pieces_of_endless_runs_are_the_librarys() -> None:
    for run in ("a", "A", " ", "\n", "1", "-", "ا", "\u0301", " \n", "aA", "中A", "\t"):
        for pattern, library in LIBRARY:
            text = run * 2000 + "x"
            assert pieces(pattern, text) == [piece for piece, _ in library.pre_tokenize_str(text)], (pattern, run)


def test_patterns_are_known_by_their_regular_expressions() -> None:
    assert known_pattern(LLAMA3) == Pattern(family=CL100K, digits=3)
    assert known_pattern(LLAMA3.replace("{1,3}", "")) == Pattern(family=CL100K, digits=1)
    assert known_pattern(LLAMA3 + "|x") is None
    for regex in (GPT2_REGEX, O200K_REGEX):
        assert regex_of(known_pattern(regex)) == regex  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "regex"),
    [
        (LETTER, r"\p{L}"),
        (MARK, r"\p{M}"),
        (NUMBER, r"\p{N}"),
        (WHITE, r"\s"),
        (UPPER, r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"),
        (LOWER, r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"),
        (BREAK, r"[\r\n]"),
    ],
)
def test_classes_are_the_librarys_wherever_python_knows_the_character(kind: int, regex: str) -> None:
    classes = character_classes()
    known = [code for code in range(0x110000) if not classes[code] & UNKNOWN and not 0xD800 <= code < 0xE000]
    known = [code for code in known if code < 0xE000 or code in (0xE000, 0xF8FF) or 0xF900 <= code < 0xF0000]
    splitter = pre_tokenizers.Split(Regex(regex), "removed")
    left = {sign for piece, _ in splitter.pre_tokenize_str("".join(map(chr, known))) for sign in piece}
    assert {code for code in known if not classes[code] & kind} == set(map(ord, left))


def test_characters_that_python_does_not_know_are_seen() -> None:
    classes = character_classes()
    for text, wanted in (("plain", False), ("中文 😀", False), ("a\u0378", True), ("\uffff", True), ("\ue000", False)):
        content = buffer(text)
        assert has_unknown(content, 0, len(content), classes) == wanted, text
    assert not has_unknown(buffer("\u0378ab"), 2, 4, classes)
