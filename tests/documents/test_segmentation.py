"""The segmentation kernels against plain-Python twins made of `re` and `str`, on random and hostile text."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import Spans, TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, DIGIT, FOLD, PUNCTUATION, SOLO, SPACE, TERMINAL, WORD
from corpusmill.documents.segmentation import BLANK

# Characters that `re` of this Python sees as the table does: all, where both are of the same Unicode version.
AGREED = [
    chr(code)
    for code in range(0x110000)
    if not 0xD800 <= code < 0xE000
    and unicodedata.category(chr(code)) != "Cn"
    and (re.match(r"\w", chr(code)) is not None) == bool(CLASSES[code] & WORD)
    and chr(code).isspace() == bool(CLASSES[code] & SPACE)
]
TRICKY = (
    " \n\n\n\r\t\x0b\x0c\x1c\x1f\x85\u2028\xa0\u3000aAzZ09_.!?\"'-#•…—éß漢字かナไทยລາວ한글"
    "أبजя\u0301\u200b\u200d\x00\x7f😀𝒳𠀀²Ⅷ"
)
TEXTS = st.one_of(
    st.text(st.sampled_from(TRICKY), max_size=60),
    st.text(st.sampled_from("ab1_ .\n"), max_size=60),
    st.text(st.sampled_from(AGREED), max_size=30),
)
SOLO_CHARACTERS = {chr(code) for code in np.flatnonzero(CLASSES & SOLO)}


def classes_of(text: str) -> list[int]:
    return [int(CLASSES[ord(character)]) for character in text]


def words_twin(text: str) -> list[str]:
    words = []
    for match in re.finditer(r"\w+|[^\w\s]", text):
        run = ""
        for character in match[0]:
            if character in SOLO_CHARACTERS:
                words += [run] * bool(run) + [character]
                run = ""
            else:
                run += character
        words += [run] * bool(run)
    return words


def kind_twin(word: str) -> int:
    kinds = classes_of(word)
    union = int(np.bitwise_or.reduce(kinds))
    every = int(np.bitwise_and.reduce(kinds))
    return (union & ~PUNCTUATION) | (every & PUNCTUATION)


def texts_of(batch: TextBatch, spans: Spans, row: int) -> list[str]:
    part = slice(spans.firsts[row], spans.firsts[row + 1])
    return [
        bytes(batch.text[start:end]).decode() for start, end in zip(spans.starts[part], spans.ends[part], strict=True)
    ]


def check_lengths_and_hashes(batch: TextBatch, spans: Spans) -> None:
    texts = [text for row in range(len(batch)) for text in texts_of(batch, spans, row)]
    assert spans.characters.tolist() == [len(text) for text in texts]
    assert len({(text, value) for text, value in zip(texts, spans.hashes.tolist(), strict=True)}) == len(set(texts))
    assert len(set(spans.hashes.tolist())) == len(set(texts))


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=4))
@example(["", " ", "\n"])
@example(["don’t stop_", "naïve café", "abcdefgh", "abcdefghi jklmnopq", "12345678_", "abcdefgé"])
@example(["漢字kanji漢", "aไทยb", "...!!!???" * 5])
@example(["e\u0301 \u0301", "a\u200db"])
def test_words_are_the_matches_of_the_pattern_with_solo_characters_apart(texts):
    batch = TextBatch.of_texts(texts)
    words = batch.words
    assert [texts_of(batch, words, row) for row in range(len(texts))] == [words_twin(text) for text in texts]
    assert words.kinds.tolist() == [kind_twin(word) for text in texts for word in words_twin(text)]
    check_lengths_and_hashes(batch, words)


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=4))
@example(["a\n\n b \n", "\n", "", " \u3000\n\xa0", "ends.\nends。\nends. \n…"])
@example(["1234567\n12345678\n123456789\n", "é" * 9 + "\n" + "😀" * 5])
def test_lines_are_what_str_split_finds(texts):
    batch = TextBatch.of_texts(texts)
    lines = batch.lines
    expected = [text.split("\n") for text in texts]
    assert [texts_of(batch, lines, row) for row in range(len(texts))] == expected
    kinds = [
        BLANK if not line.strip() else int(CLASSES[ord(line[-1])]) & TERMINAL for text in expected for line in text
    ]
    assert lines.kinds.tolist() == kinds
    check_lengths_and_hashes(batch, lines)


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=4))
@example(["a\n\nb\n\n\nc", "\n\na\n \n\nb\u2028\n", "", "\n\n", "a\n\n", "a\nb\n\n\n\n c"])
def test_paragraphs_are_what_re_split_finds_in_the_stripped_text(texts):
    batch = TextBatch.of_texts(texts)
    paragraphs = batch.paragraphs
    expected = [re.split(r"\n{2,}", text.strip()) for text in texts]
    assert [texts_of(batch, paragraphs, row) for row in range(len(texts))] == expected
    check_lengths_and_hashes(batch, paragraphs)


@settings(max_examples=300)
@given(TEXTS)
@example("NAÏVE Straße ǅ İstanbul ABCDEFGH ABCDEFGHI ÅNGSTRÖM Ⅷ ΑΒΓΔΕΖΗΘΙ 𝒳Ａ")
def test_a_word_folds_to_the_hash_that_its_folded_text_has(text):
    words = words_twin(text)
    # Each folded word stands as a line, whose hash is of its bytes whatever they are.
    folded = "\n".join("".join(chr(FOLD[ord(character)]) for character in word) for word in words)
    expected = TextBatch.of_texts([folded]).lines.hashes.tolist() if words else []
    assert TextBatch.of_texts([text]).folded_hashes.tolist() == expected


def test_upper_case_and_diacritics_fold_away():
    folded = TextBatch.of_texts(["Élan ÉLAN elan Zürich zurich"]).folded_hashes.tolist()
    assert folded[0] == folded[1] == folded[2] != folded[3] == folded[4]


def test_a_word_of_ascii_has_the_kinds_of_its_characters():
    words = TextBatch.of_texts(["word w0rd 42 _ ! é1"]).words
    assert words.kinds.tolist() == [
        WORD | ALPHA,
        WORD | ALPHA | DIGIT,
        WORD | DIGIT,
        WORD | PUNCTUATION,
        PUNCTUATION | TERMINAL,
        WORD | ALPHA | DIGIT,
    ]


@settings(max_examples=200)
@given(st.lists(st.one_of(TEXTS, st.text(st.sampled_from("ab"), max_size=20)), max_size=12))
def test_two_documents_have_equal_hashes_if_and_only_if_their_bytes_are_equal(texts):
    first, second = TextBatch.of_texts(texts).document_hashes
    for hashes in (first.tolist(), second.tolist()):
        assert len(set(zip(texts, hashes, strict=True))) == len(set(texts)) == len(set(hashes))
    assert not set(first.tolist()) & set(second.tolist())


def test_a_word_of_whole_blocks_ends_with_its_document():
    words = TextBatch.of_texts(["abcdefgh", "ijklmnop" * 2, "q"]).words
    assert words.characters.tolist() == [8, 16, 1]
    assert words.hashes[0] == TextBatch.of_texts(["abcdefgh"]).words.hashes[0]


def test_zero_bytes_at_the_end_tell_documents_and_lines_apart():
    texts = ["a" + "\0" * count for count in range(20)]
    batch = TextBatch.of_texts(texts)
    assert len(set(batch.document_hashes[0].tolist())) == len(texts)
    assert len(set(batch.document_hashes[1].tolist())) == len(texts)
    assert len(set(batch.lines.hashes.tolist())) == len(texts)


@pytest.mark.parametrize("spans", ["words", "lines", "paragraphs"])
def test_hashes_do_not_depend_on_where_a_text_stands_in_its_batch(spans):
    text = "A few words, in two\n\nparagraphs — naïve ones 漢字."
    alone = getattr(TextBatch.of_texts([text]), spans).hashes
    batch = TextBatch.of_texts(["x", text, "yy", text])
    among = getattr(batch, spans)
    for row in (1, 3):
        assert among.hashes[among.firsts[row] : among.firsts[row + 1]].tolist() == alone.tolist()


def test_a_million_different_words_have_different_hashes():
    words = TextBatch.of_texts([" ".join(f"w{number:x}" for number in range(1_000_000))]).words
    assert len(np.unique(words.hashes)) == 1_000_000
    assert len(np.unique(words.hashes >> np.uint64(24))) > 999_000  # the high bits alone tell nearly all apart
    assert len(np.unique(words.hashes & np.uint64(0xFFFFFFFFFF))) > 999_000  # and the low ones
