from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from corpusmill.mix.fertility import measure
from corpusmill.mix.pretokens import CL100K, Pattern
from corpusmill.mix.tokenizer_samples import ROW
from corpusmill.mix.tokens import load_tokens
from tests.mix.made_tokenizers import HARD_CHARACTERS, saved, trained


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("small"), trained(Pattern(family=CL100K, digits=3)))


def rows(texts: list[str], source: str = "web", language: str | None = "en") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"text": text, "source": source, "language": language} for text in texts], schema=ROW
    )


library = cache(Tokenizer.from_file)


def split_words(path: str, text: str) -> int:
    """The twin: words with the end of a token inside, by the library's offsets of characters."""
    ends = {end for _, end in library(path).encode(text).offsets}
    return sum(any(word.start() < end < word.end() for end in ends) for word in re.finditer(r"\w+", text))


@given(st.lists(st.sampled_from(["unseen", "words", "pages", "Größe", "x1", " ", ",", "\n"]), max_size=30).map("".join))
def test_split_words_are_those_with_a_border_of_tokens_inside(path: str, text: str) -> None:
    [counted] = measure([load_tokens(path)], [rows([text])]).counted.values()
    assert counted.split == [split_words(path, text)]
    assert counted.words == len(re.findall(r"\w+", text))
    assert counted.tokens == [len(library(path).encode(text).ids)]


def test_counts_are_by_source_and_language_and_sum_up(path: str) -> None:
    tokens = load_tokens(path)
    mixed = pa.Table.from_batches([rows(["one two"]), rows(["drei"], language="de"), rows(["x = 1"], "code", None)])
    found = measure([tokens, tokens], mixed.combine_chunks().to_batches())
    assert set(found.counted) == {("web", "en"), ("web", "de"), ("code", "")}
    assert {source: counted.words for source, counted in found.by_source().items()} == {"web": 3, "code": 2}
    data = found.as_dict()
    assert data["total"]["documents"] == 3
    assert data["total"]["text_bytes"] == 16
    assert data["total"]["tokens"] == [sum(row["tokens"][0] for row in data["rows"])] * 2
    assert data["rows"][0]["tokens_per_word"][0] == data["rows"][0]["tokens"][0] / 2
    assert 0 < data["tokenizers"][0]["vocabulary_used"] < 0.01


def test_empty_texts_have_no_ratios(path: str) -> None:
    [row] = measure([load_tokens(path)], [rows(["", "..."])]).as_dict()["rows"]
    assert (row["tokens_per_word"], row["words_split"]) == ([None], [None])


def test_hard_texts_are_measured(path: str) -> None:
    [counted] = measure([load_tokens(path)], [rows(HARD_CHARACTERS)]).counted.values()
    assert counted.split[0] is not None
    assert 0 <= counted.split[0] <= counted.words


def test_tokenizers_whose_ids_are_no_bytes_have_no_share_of_split_words(tmp_path: Path) -> None:
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    [counted] = measure([load_tokens(saved(tmp_path, made.to_str()))], [rows(["one two"])]).counted.values()
    assert (counted.tokens, counted.split) == ([2], [None])
