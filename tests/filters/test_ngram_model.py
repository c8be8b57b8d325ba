"""The file of a language model, its tables and kernels against plain Python, and its ARPA file against KenLM."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import ngram_kernels as kernels
from corpusmill.filters import ngram_model
from corpusmill.filters.ngram_kernels import ABSENT, BLOCK, BUCKET, EMPTY, PLACES
from corpusmill.filters.ngram_model import LanguageModel, Sentences, spelled, write_arpa
from corpusmill.filters.perplexity_training import train_perplexity

TEXT = """The mill stood by the river, and the river fed the mill.
In 1893 the miller sold it; the new miller came from Évreux in May.

The river was low that year. The mill stood still, and so did the town.
"""
WORDS = st.sampled_from(["the", "The", "mill", "river", "1893", "2001", "Évreux", "tower", ".", "文", "x" * 40, "\n"])
TEXTS = st.lists(WORDS, max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def model() -> Iterator[LanguageModel]:
    with train_perplexity([pa.array([TEXT])], order=4, prune=()) as trained:
        yield trained.model


def saved(model: LanguageModel, path: Path) -> Path:
    model.save(path)
    return path


def arpa_of(model: LanguageModel, path: Path) -> tuple[int, dict[tuple[str, ...], tuple[float, float]]]:
    """An ARPA file by plain Python: its order, and log10 of probability and backoff weight of each n-gram."""
    write_arpa(model, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "\\data\\"
    assert lines[-1] == "\\end\\"
    counts = {int(line[6]): int(line.partition("=")[2]) for line in lines if line.startswith("ngram ")}
    entries = {}
    for line in lines:
        if "\t" in line:
            value, gram, *backoff = line.split("\t")
            entries[tuple(gram.split(" "))] = float(value), float(backoff[0]) if backoff else 0.0
    assert {n: sum(len(gram) == n for gram in entries) for n in counts} == counts
    return len(counts), entries


def plain_scores(order: int, entries: dict[tuple[str, ...], tuple[float, float]], words: list[str]) -> list[float]:
    """log10 probabilities of the words of a sentence and its end, with backoff (Katz 1987) as ARPA files mean it."""
    tokens = ["<s>", *(word if (word,) in entries else "<unk>" for word in words), "</s>"]

    def probability(context: tuple[str, ...], word: str) -> float:
        if (*context, word) in entries:
            return entries[(*context, word)][0]
        return entries.get(context, (0.0, 0.0))[1] + probability(context[1:], word)

    return [
        probability(tuple(tokens[max(0, place - order + 1) : place]), tokens[place]) for place in range(1, len(tokens))
    ]


@given(st.lists(TEXTS, max_size=5))
@settings(max_examples=150, deadline=None)
def test_scores_are_those_of_the_arpa_file_read_by_plain_python(
    model: LanguageModel, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    order, entries = arpa_of(model, tmp_path_factory.getbasetemp() / "plain.arpa")
    batch = TextBatch.of_texts(texts)
    sentences = Sentences.of(batch, folded=True)
    expected = [[plain_scores(order, entries, words) for words in model.tokens(text)] for text in texts]
    scores = model.ngrams.token_scores(sentences.keys, sentences.offsets)
    assert scores == pytest.approx([value for text in expected for words in text for value in words], abs=1e-5)
    sums, unknown = model.sums(model.sentences(batch))
    assert sums == pytest.approx([sum(map(sum, text)) for text in expected], abs=1e-4)
    assert np.diff(sentences.firsts).tolist() == [len(text) for text in expected]
    assert sentences.counts.tolist() == [sum(map(len, text)) - len(text) for text in expected]
    missing = [sum((word,) not in entries for words in model.tokens(text) for word in words) for text in texts]
    assert unknown.tolist() == missing


def test_scores_do_not_depend_on_where_a_block_of_positions_ends(model: LanguageModel) -> None:
    text = " ".join(TEXT.split()) + " "
    long = TextBatch.of_texts([text * (3 * BLOCK // len(text.split()))])
    sentences = Sentences.of(long, folded=True)
    period = len(TextBatch.of_texts([text]).words.starts)
    scores = model.ngrams.token_scores(sentences.keys, sentences.offsets)
    assert len(scores) > 3 * BLOCK
    for place in range(2 * period, len(scores) - period, period):
        assert (scores[place : place + period] == scores[period : 2 * period]).all()


@given(st.sets(st.integers(0, 2**64 - 2), min_size=1, max_size=60), st.lists(st.integers(0, 2**64 - 2), max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_table_finds_what_was_put_into_it_and_nothing_else(known: set[int], others: list[int]) -> None:
    buckets = -(-(len(known) + 1) // PLACES)  # nearly full, so that keys overflow, round its end, too
    table = np.full((1 + buckets) * BUCKET, EMPTY, np.uint64)
    keys, slots = np.array(sorted(known), np.uint64), np.empty(len(known), np.uint32)
    assert kernels.insert(table, BUCKET, buckets, frozen(keys), slots) == len(known)
    assert len(set(slots.tolist())) == len(known)
    sought = np.array([*sorted(known), *others], np.uint64)
    answers = np.empty(len(sought), np.uint32)
    kernels.look_up(sought, len(sought), frozen(table), BUCKET, buckets, np.empty(len(sought), np.int64), answers)
    where = dict(zip(sorted(known), slots.tolist(), strict=True))
    assert answers.tolist() == [where.get(key, int(ABSENT)) for key in sought.tolist()]


def test_a_full_table_ends_the_search() -> None:
    table = np.full(2 * BUCKET, EMPTY, np.uint64)
    keys, slots = np.arange(2 * PLACES, dtype=np.uint64), np.empty(2 * PLACES, np.uint32)
    assert kernels.insert(table, 0, 2, frozen(keys), slots) == 2 * PLACES
    answers = np.empty(1, np.uint32)
    kernels.look_up(np.array([99], np.uint64), 1, frozen(table), 0, 2, np.empty(1, np.int64), answers)
    assert answers.tolist() == [int(ABSENT)]


SIGNS = st.lists(st.sampled_from(["the", "É", "1893", "-", "--", ".", " ", "\n", "~~~~", "文", "__"]), max_size=30).map(
    "".join
)


def plain_sentences(text: str, *, folded: bool) -> list[list[str]]:
    """Lines and their words by plain Python, a run of one sign as one word."""
    lines = []
    for line in text.split("\n"):
        found = [match.group() for match in re.finditer(r"文|[^\W文]+|([^\w\s])\1*", line)]
        if found:
            lines.append([spelled(word if word.isalnum() or "_" in word else word[0], folded=folded) for word in found])
    return lines


@given(st.lists(st.one_of(TEXTS, SIGNS), max_size=5), st.booleans())
@settings(max_examples=200, deadline=None)
def test_sentences_are_the_lines_that_have_words_and_a_run_of_one_sign_is_one_word(
    texts: list[str], folded: bool
) -> None:
    batch = TextBatch.of_texts(texts)
    sentences = Sentences.of(batch, folded=folded)
    expected = [plain_sentences(text, folded=folded) for text in texts]
    assert np.diff(sentences.firsts).tolist() == [len(lines) for lines in expected]
    assert np.diff(sentences.offsets).tolist() == [len(words) for lines in expected for words in lines]
    spelling = [word for lines in expected for words in lines for word in words]
    assert sentences.keys.tolist() == [TextBatch.of_texts([word]).words.hashes[0] for word in spelling]
    content = bytes(batch.text)
    starts, ends = batch.words.starts[sentences.words], batch.words.ends[sentences.words]
    found = [spelled(content[a:b].decode(), folded=folded) for a, b in zip(starts, ends, strict=True)]
    assert found == spelling


def test_words_are_folded_only_where_the_model_says_so() -> None:
    texts = ["Évian in 1893", "evian in 2001"]
    same, other = (
        [Sentences.of(TextBatch.of_texts([text]), folded=folded).keys.tolist() for text in texts]
        for folded in (True, False)
    )
    assert same[0] == same[1]
    assert [a == b for a, b in zip(*other, strict=True)] == [False, True, False]
    assert spelled("Évian", folded=False) == "Évian"


def test_a_number_longer_than_any_is_as_one_of_32_digits() -> None:
    keys = Sentences.of(TextBatch.of_texts(["1" * 33 + " " + "2" * 32 + " " + "3" * 31]), folded=True).keys.tolist()
    assert keys[0] == keys[1] != keys[2]
    assert spelled("1" * 33, folded=True) == "0" * 32


def test_a_saved_model_is_read_back_as_it_was(model: LanguageModel, tmp_path: Path) -> None:
    digest = model.save(tmp_path / "a.model")
    again = LanguageModel.load(tmp_path / "a.model")
    assert digest == sha256_of(tmp_path / "a.model")
    assert (again.ngrams.table == model.ngrams.table).all()
    assert (again.folded, again.facts, again.words) == (model.folded, json.loads(json.dumps(model.facts)), model.words)
    assert again.save(tmp_path / "b.model") == digest
    batch = TextBatch.of_texts([TEXT, "", "another river"])
    assert [part.tolist() for part in again.sums(again.sentences(batch))] == [
        part.tolist() for part in model.sums(model.sentences(batch))
    ]


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04", b"corpusmill n-gram model\n" + b"\xff" * 8])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.model").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.model: is no n-gram model of `corpusmill train perplexity`"):
        LanguageModel.load(tmp_path / "m.model")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.model: there is no such model; make one with"):
        LanguageModel.load(tmp_path / "none.model")


def test_wherever_a_model_is_cut_short_it_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    content = saved(model, tmp_path / "a.model").read_bytes()
    for length in [*range(0, 300, 11), *range(300, len(content), 997), len(content) - 1]:
        (tmp_path / "cut.model").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut\.model: is (damaged or was cut short|no n-gram model)"):
            LanguageModel.load(tmp_path / "cut.model")


def test_wherever_a_byte_is_changed_a_model_is_refused_or_the_same(model: LanguageModel, tmp_path: Path) -> None:
    content = saved(model, tmp_path / "a.model").read_bytes()
    sentences = model.sentences(TextBatch.of_texts([TEXT]))
    sums = model.sums(sentences)[0]
    refused = 0
    places = [*range(0, 1200, 13), *range(4096, len(content), 4096)]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0x55
        (tmp_path / "changed.model").write_bytes(changed)
        try:
            again = LanguageModel.load(tmp_path / "changed.model")
        except InputError:
            refused += 1
        else:
            assert again.sums(sentences)[0] == sums
    assert refused > len(places) / 2


@pytest.mark.parametrize(
    "change",
    [
        {"buckets": np.array([0, 1, 1, 1, 10**9])},
        {"buckets": np.array([0, -1, 1, 1, 1])},
        {"buckets": np.array([0, 2**61 + 1, 1, 1, 1])},
        {"counts": (1, 2)},
        {"unknown": 10**6},
        {"unknown": -1},
    ],
    ids=str,
)
def test_tables_that_would_be_read_beyond_their_ends_are_refused(
    model: LanguageModel, tmp_path: Path, change: dict[str, Any]
) -> None:
    replace(model, ngrams=replace(model.ngrams, **change)).save(tmp_path / "m.model")
    with pytest.raises(InputError, match=r"m\.model: is damaged or was cut short"):
        LanguageModel.load(tmp_path / "m.model")


@pytest.mark.parametrize("text", ["Infinity", "1e400", "-1"])
def test_sizes_that_are_no_sizes_are_refused(model: LanguageModel, tmp_path: Path, text: str) -> None:
    content = saved(model, tmp_path / "m.model").read_bytes()
    begin = content.index(b'"table": ') + len(b'"table": ')
    end = content.index(b",", begin)
    length = int.from_bytes(content[24:32], "little") + len(text) - (end - begin)
    header = content[32:begin] + text.encode() + content[end:]
    (tmp_path / "m.model").write_bytes(content[:24] + length.to_bytes(8, "little") + header)
    with pytest.raises(InputError, match=r"m\.model: is damaged or was cut short"):
        LanguageModel.load(tmp_path / "m.model")


def test_a_model_of_another_version_is_refused(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ngram_model, "FORMAT", 2)
        model.save(tmp_path / "m.model")
    with pytest.raises(InputError, match="its format is 2, and models here are of format 1; train it anew"):
        LanguageModel.load(tmp_path / "m.model")


def test_a_model_of_other_hash_functions_is_refused(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ngram_model, "hashes_sign", lambda: "0123456789abcdef")
        model.save(tmp_path / "m.model")
    with pytest.raises(InputError, match="its words were hashed by another version of corpusmill than this; train it"):
        LanguageModel.load(tmp_path / "m.model")


def test_a_word_that_kenlm_reads_as_a_space_is_left_out_of_the_arpa_file(tmp_path: Path) -> None:
    with train_perplexity([pa.array(["a \x00 b \x01 a b"] * 3)], order=3, prune=()) as trained:
        _, entries = arpa_of(trained.model, tmp_path / "m.arpa")
    assert ("a", "b") in entries
    assert {word for gram in entries for word in gram} == {"a", "b", "<s>", "</s>", "<unk>"}


@pytest.mark.realdata
def test_kenlm_computes_the_same_from_the_arpa_file(realdata: Path, tmp_path: Path) -> None:
    """KenLM stands in our environment, or in one whose interpreter CORPUSMILL_KENLM_PYTHON names."""
    python = os.environ.get("CORPUSMILL_KENLM_PYTHON")
    if python is None:
        pytest.importorskip("kenlm")
    books = sorted((realdata / "text" / "books_classic_markdown_a").rglob("*.md"))
    test = (realdata / "text" / "wikitext2_valid_test" / "wikitext-2" / "test.txt").read_text()
    with train_perplexity([pa.array([book.read_text()]) for book in books[:6]], prune=(0, 0, 1)) as trained:
        model = trained.model
        write_arpa(model, tmp_path / "m.arpa")
        lines = model.tokens(test)
        batch = TextBatch.of_texts([test])
        sentences = Sentences.of(batch, folded=True)
        ours = model.ngrams.token_scores(sentences.keys, sentences.offsets)
        [of_document] = model.sums(sentences)[0]
    assert len(lines) >= 2000
    (tmp_path / "lines.json").write_text(json.dumps([" ".join(words) for words in lines]))
    scorer = (
        "import json, kenlm, sys; model = kenlm.Model(sys.argv[1]); lines = json.load(open(sys.argv[2]));"
        "print(json.dumps([[score for score, _, _ in model.full_scores(line)] for line in lines]))"
    )
    command = [python or sys.executable, "-c", scorer, str(tmp_path / "m.arpa"), str(tmp_path / "lines.json")]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = [score for line in json.loads(found.stdout.splitlines()[-1]) for score in line]
    assert len(theirs) == len(ours)
    assert np.abs(ours - np.array(theirs)).max() <= 1e-4
    assert of_document == pytest.approx(sum(theirs), abs=1e-4)
