"""Mojibake: titled cases, damage undone in any language, and sound text of many languages left as it is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters import mojibake
from corpusmill.filters.mojibake import Mojibake, find_suspects, repaired, sequences

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "mojibake.jsonl").read_text(encoding="utf-8").splitlines()
]


def garbled(text: str, encoding: str = "cp1252") -> str:
    """`text` as one sees it who takes its UTF-8 for another encoding; bytes that this lacks become controls."""
    found = []
    for byte in text.encode():
        try:
            found.append(bytes([byte]).decode(encoding))
        except UnicodeDecodeError:
            found.append(chr(byte))
    return "".join(found)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_repaired_as_its_title_says(case):
    texts, measures = Mojibake(**case["options"]).rewrite(TextBatch.of_texts(["sound", case["text"], "für"]))
    assert texts.to_pylist() == ["sound", case["left"], "für"]
    assert measures.to_pylist()[1] == {"sequences": case["sequences"], "controls": case["controls"]}
    assert measures.to_pylist()[::2] == [{"sequences": 0, "controls": 0}] * 2


def test_every_kind_of_damage_has_a_case():
    assert any(case["sequences"] for case in CASES)
    assert any(case["controls"] for case in CASES)
    assert {case["options"].get("engine", "own") for case in CASES} == {"own", "ftfy"}


@settings(max_examples=300)
@given(
    st.lists(
        st.text(st.characters(min_codepoint=0xA0, max_codepoint=0x2FFF, categories=["L", "Sc"]), min_size=1), min_size=4
    ).map(" and ".join),
    st.sampled_from(["cp1252", "latin-1"]),
    st.booleans(),
)
def test_garbled_text_comes_back(text, encoding, twice):
    damaged = garbled(text, encoding)
    if twice:
        damaged = garbled(damaged, encoding)
    if sequences(text) or not any(mojibake._is_sure(match) for match in mojibake._SEQUENCE.finditer(garbled(text))):
        return
    assert repaired(damaged) == text


@settings(max_examples=300)
@given(st.text(st.sampled_from("abc ÂÃÄÅÉéèßàïðô€™“”’…–\x80\x8d\x93\x85\xa0»«¼¿šžŸ\ufffd中я\n"), max_size=60))
def test_a_repair_leaves_fewer_sequences_and_is_the_inverse_of_damage(text):
    after = repaired(text)
    assert repaired(after) == after or sequences(repaired(after)) < sequences(after)
    if after == text:
        return
    controls = len(re.findall("[\x80-\x9f]", text)) - len(re.findall("[\x80-\x9f]", after))
    assert sequences(after) < sequences(text) or controls > 0
    ascii_before, ascii_after = (re.sub(r"[^\x00-\x7f]", "", whole) for whole in (text, after))
    assert ascii_before == ascii_after


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from("ab ÂÃÉéàïðô€™“\x85\x93\xa0»¼šß中😀"), max_size=12), max_size=6))
def test_the_kernel_suspects_what_the_pattern_finds(texts):
    batch = TextBatch.of_texts(["é", *texts])
    batch = TextBatch(batch.documents.slice(1))
    suspect = np.empty(len(batch), np.uint8)
    find_suspects(batch.offsets, batch.text, mojibake._BYTE_TABLE, suspect)
    for text, found in zip(texts, suspect.tolist()):
        wanted = mojibake._SEQUENCE.search(text) or re.search("[\x80-\x9f]", text)
        assert found == (2 if wanted else 0 if text.isascii() else 1)


def test_hostile_text_takes_time_in_proportion_to_its_length():
    for piece in ("Ã", "Ã©é", "ð€€", "â€™", "É”", "é\n", "\x81\x93"):
        begun = time.process_time()
        repaired(piece * 30_000)
        assert time.process_time() - begun < 3


def test_a_missing_ftfy_is_named_before_any_work_starts(monkeypatch):
    monkeypatch.setattr(mojibake, "find_spec", lambda name: None)
    Mojibake().prepare()
    with pytest.raises(InputError, match=r"ftfy is not installed; install it with `pip install 'corpusmill\[ftfy\]'`"):
        Mojibake(engine="ftfy").prepare()


def declarations(realdata: Path) -> Iterator[str]:
    """The Declaration of Human Rights in several hundred languages, without mark-up."""
    for path in sorted((realdata / "langid/udhr_declarations_html").rglob("*.html")):
        yield re.sub(r"<[^>]*>", "", path.read_text("utf-8", "replace"))


@pytest.mark.realdata
def test_declarations_in_hundreds_of_languages_come_back_and_are_left_alone_when_sound(realdata):
    texts = [text for text in declarations(realdata) if not text.isascii()][::3]
    assert len(texts) > 100
    # Two of them hold C1 controls, which are the damage that this stage is for.
    sound = [text for text in texts if not re.search("[\x80-\x9f]", text)]
    assert len(texts) - len(sound) <= 2
    assert [text for text in sound if repaired(text) != text] == []
    back = [repaired(garbled(text)) == text for text in sound]
    assert sum(back) / len(back) > 0.99
