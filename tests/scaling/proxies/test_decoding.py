"""Token ids back to texts: exactly, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.scaling.proxies.decoding import ByteVocabulary
from tests.scaling.encoded_texts import encoded, tokenizer_json

HARD = [
    "",
    "Größe, naïve",
    "日本語です\u3000。",
    "😀\u200d❤\ufe0f",
    "a\r\n\tb\x00\x7f",
    "<|endoftext|> in a text",
    "e\u0301\u0327",
]


def vocabulary(folder: Path, **changed: Any) -> ByteVocabulary:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(tokenizer_json()), **changed}))
    return ByteVocabulary.read(path)


def test_texts_come_back_as_they_were(tmp_path: Path) -> None:
    found = vocabulary(tmp_path).texts(encoded(HARD), 0, len(HARD))
    assert found.to_pylist() == HARD


@given(st.lists(st.text(max_size=40), max_size=8), st.data())
def test_any_documents_in_a_row_come_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(texts)))
    end = data.draw(st.integers(start, len(texts)))
    known = vocabulary(tmp_path_factory.getbasetemp())
    assert known.texts(encoded(texts), start, end).to_pylist() == texts[start:end]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"normalizer": {"type": "NFC"}}, "its normalizer \\(NFC\\) changes them"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "its model is WordPiece"),
        ({"pre_tokenizer": None}, "does not write bytes"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "does not write bytes"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "puts a space in front"),
        ({"model": {"type": "BPE"}}, r"is no tokenizer\.json"),
        ({"model": {"type": "BPE", "vocab": {"a": 1 << 40}}}, "its ids go from 0 to 1099511627776"),
        ({"model": None}, r"is no tokenizer\.json"),
        ({"added_tokens": [{"id": -1, "content": "x"}]}, "its ids go from -1"),
    ],
)
def test_tokenizers_that_change_texts_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        vocabulary(tmp_path, **changed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is no tokenizer\.json"):
        ByteVocabulary.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        ByteVocabulary.read(tmp_path / "other.json")


def test_a_text_that_lost_bytes_is_named(tmp_path: Path) -> None:
    tokens = encoded(["one", "two", "three"])
    tokens.text_bytes[1] += 1
    with pytest.raises(InputError, match="document d1 had 4 bytes, and has 3 now"):
        vocabulary(tmp_path).texts(tokens, 0, 3)


def test_ids_of_another_vocabulary_are_named(tmp_path: Path) -> None:
    tokens = replace(encoded(["ab"]), ids=np.array([5, 60_000], np.uint16), offsets=np.array([0, 2]))
    with pytest.raises(InputError, match="has no token 60000"):
        vocabulary(tmp_path).texts(tokens, 0, 1)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    tokens = encoded(["é"])
    apart = replace(tokens, offsets=np.array([0, 1, 2]), text_bytes=np.array([1, 1]))
    known = vocabulary(tmp_path)
    if len(tokens.ids) == 1:
        pytest.fail("the tokenizer has é as one token; take a rarer character")
    with pytest.raises(InputError, match="no UTF-8"):
        known.texts(apart, 0, 2)
