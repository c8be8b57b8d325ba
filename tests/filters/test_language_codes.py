"""Codes of languages and scripts: every way to write one means the same, and what belongs to what is ISO 639-3's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters import langid
from corpusmill.filters.language_codes import (
    WIKIPEDIA,
    Code,
    facts,
    macrolanguage_of,
    names_of,
    parsed,
    unknown_language,
)
from corpusmill.filters.scripts import NO_SCRIPT, main_scripts, table


@pytest.mark.parametrize(
    ("label", "language", "script"),
    [
        ("en", "eng", None),
        ("eng", "eng", None),
        ("EN", "eng", None),
        ("eng_Latn", "eng", "Latn"),
        ("zh-hans", "zho", "Hans"),
        ("als", "als", None),
        ("sh", "hbs", None),
        ("iw", "heb", None),
        ("zxx", "zxx", None),
        ("pt_BR", "pt_BR", None),
        ("", "", None),
        ("en ", "en ", None),
    ],
)
def test_a_label_means_a_language_and_perhaps_a_script(label: str, language: str, script: str | None) -> None:
    assert parsed(label) == Code(language, script)


def test_wikipedias_names_are_other_languages_than_iso_639_s() -> None:
    assert parsed("als", WIKIPEDIA) == Code("gsw")
    assert parsed("de", WIKIPEDIA) == Code("deu")


@given(st.sampled_from(sorted(facts())), st.sampled_from([None, "Latn", "Cyrl"]))
def test_what_is_written_means_the_same_when_it_is_read(language: str, script: str | None) -> None:
    code = Code(language, script)
    assert parsed(code.written("iso639_3")) == code
    assert parsed(code.written("iso639_1")).language == language


def test_every_code_of_two_letters_belongs_to_one_language() -> None:
    short = [row.part1 for row in facts().values() if row.part1]
    assert len(short) == len(set(short)) >= 180
    assert all(len(code) == 2 for code in short)
    assert {row.macrolanguage for row in facts().values()} - {""} <= set(facts())


@pytest.mark.parametrize(
    ("language", "merged"),
    [
        ("cmn", "zho"),
        ("yue", "zho"),
        ("arz", "ara"),
        ("nno", "nor"),
        ("nob", "nor"),
        ("nor", "nor"),
        ("zsm", "msa"),
        ("ind", "ind"),  # has a code of its own, "id"
        ("hrv", "hrv"),
        ("cnr", "hbs"),
        ("eng", "eng"),
        ("tlh", "tlh"),
    ],
)
def test_a_language_is_merged_into_its_macrolanguage_unless_it_has_a_short_code(language: str, merged: str) -> None:
    assert macrolanguage_of(Code(language, "Latn")) == Code(merged, "Latn")


@pytest.mark.parametrize(
    ("value", "mend"),
    [
        ("zh", "which tells cmn, yue apart; name those, or add `merge: macrolanguages`"),
        ("nob", 'did you mean "no"?'),
        ("arabic", 'did you mean "ara_Arab"?'),
        ("en-US", 'did you mean "en"?'),
        ("klingon", "which knows ara_Arab, cmn, en, no, yue"),
    ],
)
def test_an_unknown_language_is_answered_with_what_may_be_meant(value: str, mend: str) -> None:
    names = names_of(["en", "no", "cmn", "yue", "ara_Arab"])
    assert unknown_language(value, names) == f'"{value}" is no language of this model' + (
        f"; {mend}" if mend.startswith("did") else f", {mend}"
    )


def test_of_a_model_of_thousands_the_error_names_some() -> None:
    many = {f"q{first}{second}": "" for first in "abcdefghijklmnop" for second in "abcdefghijklmnopqrst"}
    assert unknown_language("klingon", many).endswith(" and 280 more")


def test_every_language_of_py3langid_is_a_code_that_is_written_as_it_was() -> None:
    written = {code: parsed(code).written("iso639_1") for code in langid.LANGUAGES}
    assert {code: other for code, other in written.items() if code != other} == {"kik": "ki"}


# Scripts


def plain_script(text: str) -> str:
    """The plain twin of `find_scripts`."""
    names, scripts = table()
    numbers = [int(scripts[ord(character)]) for character in text if scripts[ord(character)]]
    return names[min(set(numbers), key=lambda number: (-numbers.count(number), number))] if numbers else NO_SCRIPT


@given(st.lists(st.text() | st.text("aZ é1ж字かカ한ก \u0301", max_size=40), max_size=6))
def test_the_script_is_that_of_most_letters(texts: list[str]) -> None:
    found = main_scripts(TextBatch.of_texts(texts))
    assert [table()[0][number] for number in found] == [plain_script(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", "Zyyy"),
        ("12, 34!", "Zyyy"),
        ("abc жзийк", "Cyrl"),
        ("ab жз", "Latn"),
        ("漢字", "Hani"),
        ("한국어", "Hang"),
        ("ひらがな カナ", "Hira"),
        ("हिन्दी", "Deva"),
        ("ﷺ", "Arab"),
        ("𐐀𐐁", "Dsrt"),
    ],
)
def test_texts_in_known_scripts(text: str, script: str) -> None:
    [number] = main_scripts(TextBatch.of_texts([text]))
    assert table()[0][number] == script
