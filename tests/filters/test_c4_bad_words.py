"""The c4_bad_words filter: its cases, plain Python, and datatrove's filter as the oracle."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters.c4_bad_words import C4BadWords, Reason
from corpusmill.filters.phrases import automaton, count_phrases

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "c4_bad_words.jsonl").read_text(encoding="utf-8").splitlines()
]
LISTS = {
    "en": ["blasted", "Teufel", "dang", "dang it", "go hang", "égout", "☠", "", " "],
    "ja": ["呪", "sm"],
    "README.md": ["word"],
    "LICENSE": ["license"],
}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name, words in LISTS.items():
        (tmp_path / name).write_text("\n".join(words), encoding="utf-8")
    return tmp_path


def in_language(texts: list[str], languages: list[str | None]) -> TextBatch:
    return TextBatch.of_texts(texts).with_column("language", pa.array(languages, pa.string()))


def verdicts_of(stage: C4BadWords, batch: TextBatch) -> list[str | None]:
    verdicts = stage.judge(stage.measure(batch)).to_pylist()
    return [None if index is None else list(Reason)[index].value for index in verdicts]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any], lists: Path) -> None:
    options = {
        key: tuple(value) if isinstance(value, list) else value for key, value in case.get("options", {}).items()
    }
    stage = C4BadWords(list=lists, **options)
    stage.prepare()
    assert verdicts_of(stage, in_language([case["text"]], [case.get("language")])) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


WORDS = st.text("abé ☠_", min_size=1, max_size=4)


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(st.text("abé ☠_\n", max_size=30), max_size=4), st.booleans())
@settings(max_examples=300)
def test_places_are_counted_as_plain_python_counts_them(words: list[str], texts: list[str], apart: bool) -> None:
    batch = TextBatch.of_texts(texts)
    made = automaton([word.encode() for word in words])
    wanted, counted = frozen(np.ones(len(texts), np.bool_)), np.zeros(len(texts), np.int32)
    tables = (made.columns, made.steps, made.longest, made.shorter, made.lengths)
    count_phrases(batch.offsets, batch.text, CLASSES, *tables, wanted, apart, counted)
    for text, count in zip(texts, counted.tolist(), strict=True):
        before, after = (r"(?<!\w)", r"(?!\w)") if apart else ("", "")
        found = [re.finditer(rf"{before}(?=({re.escape(word)}){after})", text) for word in words]
        ends = {match.end(1) for matches in found for match in matches}
        assert count == len(ends)


@pytest.mark.realdata
def test_decisions_equal_datatroves_on_real_documents(realdata: Path, english_texts: list[str], tmp_path: Path) -> None:
    """datatrove's lists are given in small letters: it does not find what is listed otherwise, as its page says."""
    source = realdata / "urls/badwords_psl_easylist/ldnoobw"
    for path in source.iterdir():
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8").lower(), encoding="utf-8")
    documents: list[tuple[str, str]] = [(text, "en") for text in english_texts]
    for language in ("ar", "cs", "da", "de", "eo", "es", "fi", "fr", "hi", "it", "ja", "ko", "pl", "ru", "tr", "zh"):
        path = next((realdata / "langid/lingua_testdata_75lang").rglob(f"sentences/{language}.txt"))
        documents += [(line, language) for line in path.read_text(encoding="utf-8").splitlines()[:600]]
        # Sentences are clean; so that each list is met, its own words stand in some of them.
        words = [word for word in (tmp_path / language).read_text(encoding="utf-8").splitlines() if word]
        documents += [(f"x {word.upper() if row % 2 else word}{', y' * (row % 3)}", language)
                      for row, word in enumerate(words)]  # fmt: skip
    stage = C4BadWords(list=tmp_path)
    stage.prepare()
    ours = verdicts_of(stage, in_language(*map(list, zip(*documents, strict=True))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(c4_filters, "cached_asset_path_or_download",
                      lambda url, **_: tmp_path / url.rpartition("/")[2])  # fmt: skip
        oracle = c4_filters.C4BadWordsFilter()
        theirs = [oracle.filter(Document(text=text, id="", metadata={"language": language}))
                  for text, language in documents]  # fmt: skip
    differing = [
        (language, text[:80])
        for (text, language), our, their in zip(documents, ours, theirs, strict=True)
        if (our is None) != (their is True)
    ]
    assert differing == []
    assert ours.count("bad_words") > 1500
    assert ours.count(None) > 8000


def test_the_share_that_is_kept_depends_on_seed_and_id_alone(lists: Path) -> None:
    batch = TextBatch.of_texts(["blasted"] * 2000)
    stage = C4BadWords(list=lists, keep_fraction=0.3)
    verdicts = verdicts_of(stage, batch)
    assert 0.26 < verdicts.count(None) / 2000 < 0.34
    sliced = TextBatch(batch.documents.slice(500, 100))
    assert verdicts_of(stage, sliced) == verdicts[500:600]
    assert verdicts_of(C4BadWords(list=lists, keep_fraction=0.3, seed=1), batch) != verdicts
    more = verdicts_of(C4BadWords(list=lists, keep_fraction=0.5), batch)
    assert all(now is None for before, now in zip(verdicts, more, strict=True) if before is None)


def test_one_file_serves_all_languages(lists: Path) -> None:
    stage = C4BadWords(list=lists / "en")
    stage.prepare()
    assert verdicts_of(stage, in_language(["blasted", "blasted"], ["cy", None])) == ["bad_words", "bad_words"]


def test_thresholds_do_not_change_what_is_measured(lists: Path) -> None:
    batch = TextBatch.of_texts(["blasted", "fine"])
    assert C4BadWords(list=lists).measure(batch) == C4BadWords(list=lists, max_bad_words=5, keep_fraction=0.5).measure(
        batch
    )
    assert len(verdicts_of(C4BadWords(list=lists), TextBatch.of_texts([]))) == 0


def test_only_files_named_like_languages_are_lists(lists: Path) -> None:
    assert [path.name for path in C4BadWords(list=lists).files()] == ["en", "ja"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", None, "holds no list; name a file, or a folder"),
        ("de", b"wort", 'has no list "en"; it has de'),
        ("en", b"\xff\xfe", "is no UTF-8 text"),
        ("en", b" \n\n", "has no word; remove it"),
        ("en", b"x" * 4_000_001, "a list of words has 4,000,000 at most"),
    ],
)
def test_a_broken_list_is_refused_before_any_work(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        C4BadWords(list=tmp_path).prepare()
    with pytest.raises(InputError, match="holds no list"):
        C4BadWords(list=tmp_path / "absent").prepare()


def test_a_share_beyond_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"keep_fraction: 1.5 is no share"):
        C4BadWords(list=tmp_path, keep_fraction=1.5)
