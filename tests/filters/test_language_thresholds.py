"""Thresholds by language: cases, tables of the user, and the three filters that they are made of."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters.fineweb_quality import FineWebQuality
from corpusmill.filters.gopher_quality import GopherQuality
from corpusmill.filters.gopher_repetition import GopherRepetition
from corpusmill.filters.language_thresholds import LanguageThresholds, Reason, Thresholds, rules_of

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

CASES = cases("language_thresholds")
TABLE = """
xx_Latn: {dup_line_frac: null, top_n_grams: [], dup_n_grams: []}
xy_Latn: {max_doc_words: 50}
xz_Latn: {min_avg_word_length: 0}
"""


def spoken(texts: list[str], languages: list[str | None], score: float | None = 1.0) -> TextBatch:
    batch = TextBatch.of_texts(texts).with_column("language", pa.array(languages, pa.string()))
    return batch.with_column("language_score", pa.array([score] * len(texts), pa.float32()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text(TABLE)
    options = case.get("options", {}) | ({"table": tmp_path / "table.yaml"} if case.get("table") else {})
    stage = stage_of(LanguageThresholds, {"options": options})
    stage.prepare()
    (text,) = document_of(case).texts.to_pylist()
    assert verdicts_of(stage, spoken([text], [case["language"]], case["score"])) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


def test_rules_stand_in_the_order_of_the_reasons() -> None:
    order = list(Reason)
    places = [order.index(rule.reason) for rule in rules_of(Thresholds())]
    assert places == sorted(places)


def test_the_numbers_that_ship_are_complete_and_of_the_form_of_fineweb_2() -> None:
    table = LanguageThresholds()._entries()
    assert len(table) == 14
    for name, entry in table.items():
        assert re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", name)
        assert 0.6 < float(entry.language_score or 0) < 1
        assert [n for n, _ in entry.top_n_grams] == [2, 3, 4]
        assert [n for n, _ in entry.dup_n_grams] == [5, 6, 7, 8, 9, 10]
        assert len(entry.stopwords) >= 8


def test_macrolanguages_and_their_parts_find_one_another() -> None:
    batch = spoken(["x"] * 6, ["zh", "cmn_Hani", "ar", "arb_Arab", "deu_Cyrl", "zho_Hant"])
    entries = LanguageThresholds().measure(batch).column("entry").to_pylist()
    assert entries == ["cmn_Hani", "cmn_Hani", "arb_Arab", "arb_Arab", None, None]


def test_the_measures_are_those_of_the_filters_they_come_from() -> None:
    texts = [case["text"] for case in CASES if isinstance(case["text"], str)]
    batch = spoken(texts, ["de"] * len(texts))
    measures = LanguageThresholds().measure(batch)
    form, repetition = FineWebQuality().measure(batch), GopherRepetition().measure(batch)
    quality = GopherQuality(stop_words=("der", "die")).measure(batch)
    for name in ("punctuated_lines", "duplicate_line_characters", "newlines_per_token"):
        assert measures.column(name) == form.column(name)
    for name in ("duplicate_line_fraction", "top_2_gram", "top_4_gram", "duplicate_5_grams", "duplicate_10_grams"):
        assert measures.column(name) == repetition.column(name)
    for name in ("words", "mean_word_length", "hashes_per_token", "bullet_lines", "alphabetic_tokens"):
        assert measures.column(name) == quality.column(name)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["de", "fr", "xx", None]),
            st.lists(st.sampled_from(["der", "die", "Der", "und", "le", "l", "la", "cat"]), max_size=9),
        ),
        max_size=5,
    )
)
@settings(max_examples=200)  # fmt: skip
def test_stop_words_are_counted_by_each_language(documents: list[tuple[str | None, list[str]]]) -> None:
    stage = LanguageThresholds()
    batch = spoken([" ".join(words) for _, words in documents], [language for language, _ in documents])
    lists = {"de": {"der", "die", "und"}, "fr": {"le", "la", "l"}}  # of the words above
    expected = [len(lists[language] & set(words)) if language in lists else None for language, words in documents]
    assert stage.measure(batch).column("stop_words").to_pylist() == expected


def test_a_table_of_the_user_comes_before_what_ships(tmp_path: Path) -> None:
    text = CASES[0]["text"]
    (tmp_path / "own.yaml").write_text("deu_Latn: {min_doc_words: 500}\ncym: {stopwords: [y, yr, a]}\n")
    stage = LanguageThresholds(table=tmp_path / "own.yaml")
    assert verdicts_of(stage, spoken([text] * 2, ["de", "cy"])) == ["too_few_words", "too_few_stop_words"]
    assert stage.files() == (tmp_path / "own.yaml",)


def test_the_folder_of_fineweb_2_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "deu_Latn.yml").write_text("dup_n_grams:\n- - 5\n  - 0.141\nlanguage_score: 0.999\nstopwords:\n- der\n")
    stage = LanguageThresholds(table=tmp_path)
    stage.prepare()
    assert verdicts_of(stage, spoken([CASES[0]["text"]], ["de"], 0.99)) == ["low_language_score"]
    (tmp_path / "deu_Latn.yml").write_text("language_score: 0.9\nstopwords:\n- der\n- die\n")
    assert verdicts_of(stage, spoken([CASES[0]["text"]], ["de"], 0.99)) == [None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there; name a YAML file or a folder"),
        (b"a: [", "is no YAML"),
        (b"\xff", "is no YAML"),
        (b"- 1", "must map languages"),
        (b"", "must map languages"),
        (b"deu: {min_words: 3}", 'deu: unknown key "min_words"; known ones'),
        (b"deu: {new_line_ratio: yes}", "deu.new_line_ratio: True is not what new_line_ratio can be"),
        (b"deu: {stopwords: der}", "deu.stopwords: 'der' is not what stopwords can be"),
        (b"deu: {dup_n_grams: [[2, 0.1]]}", "deu.dup_n_grams"),
        (b"x" * 5_000_001, "a table has 5,000,000 at most"),
    ],
)
def test_a_broken_table_is_refused_before_any_work(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "table.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        LanguageThresholds(table=path).prepare()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no file such as deu_Latn.yml"):
        LanguageThresholds(table=tmp_path).prepare()
