from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizers.normalizers import Lowercase

from corpusmill.documents.errors import InputError
from corpusmill.mix import tokens as tokens_module
from corpusmill.mix.pretokens import CL100K, GPT2, LETTER, MARK, O200K, Pattern, regex_of
from corpusmill.mix.tokens import PROBE, PUBLISHED, Tokens, byte_signs, check_stored_counts, load_tokens
from tests.mix import made_tokenizers
from tests.mix.made_tokenizers import (
    HARD_CHARACTERS,
    PATTERNS,
    changed,
    composing,
    ranks,
    ranks_file,
    saved,
    trained,
    with_added,
)

OURS = Pattern(family=CL100K, letters=LETTER | MARK, digits=3)
WRITTEN = [pattern for pattern in PATTERNS if not pattern.tail_whole]  # no tokenizer.json has the other
TEXTS = [
    PROBE,
    "",
    "a",
    "a\x00b\x00\x00",
    "<|endoftext|> said <|endoftext|><pad>",
    "x" * 5000 + " " * 5000 + "\n" * 5000 + "1" * 5000,
    "no space " + "ab" * 30_000,
    "\u0378 unassigned \uffff \U000e0080",
    "👩‍👩‍👧❤️🏳️‍🌈 e\u0301\u0327\u0301 " * 50,
    "日本語です。中文，没有空格。" * 100,
]
# tiktoken's own patterns, from its module of encodings.
TIKTOKEN_PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
    r"|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k_base": regex_of(Pattern(family=O200K, digits=3)),
}


@cache
def loaded(path: str) -> Tokens:
    """`load_tokens` keeps a few; these tests go round and round over many."""
    return load_tokens(path)


@cache
def library(path: str) -> Any:
    """The file as the library reads it, with special tokens taken as text."""
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    return tokenizer


def lists(tokens: Tokens, texts: list[str]) -> list[list[int]]:
    ids, offsets = tokens.encode(pa.array(texts, pa.string()))
    assert offsets[0] == 0
    assert np.diff(offsets).tolist() == tokens.count(pa.array(texts, pa.string())).tolist()
    return [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]


def expected(path: str, texts: list[str]) -> list[list[int]]:
    return [library(path).encode(text, add_special_tokens=False).ids for text in texts]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A tokenizer.json for each pattern, and variants of ours."""
    folder = tmp_path_factory.mktemp("tokenizers")
    found = [saved(folder / str(number), trained(pattern)) for number, pattern in enumerate(WRITTEN)]
    ours = trained(OURS)
    found.append(saved(folder / "nfc", composing(ours)))
    found.append(saved(folder / "whole", changed(ours, ignore_merges=True)))
    found.append(saved(folder / "added", with_added(ours, "<pad>", "  ")))
    found.append(saved(folder / "special", with_added(ours, "<pad>", "[TOOL]", special=True)))
    return found


@pytest.fixture(scope="module")
def ours(files: list[str]) -> str:
    return files[WRITTEN.index(OURS)]


def test_all_byte_level_tokenizers_of_known_patterns_are_encoded_by_kernels(files: list[str]) -> None:
    assert [loaded(path).engine for path in files] == ["compiled"] * len(files)


def test_ids_are_the_librarys_on_hard_texts(files: list[str]) -> None:
    for path in files:
        assert lists(loaded(path), TEXTS) == expected(path, TEXTS), path


@given(st.lists(st.lists(st.sampled_from(HARD_CHARACTERS), max_size=20).map("".join), max_size=5))
@settings(max_examples=60)
def test_ids_are_the_librarys_on_mixed_up_characters(files: list[str], texts: list[str]) -> None:
    for path in files:
        assert lists(loaded(path), texts) == expected(path, texts), path


@given(st.lists(st.text(max_size=40), max_size=5))
@settings(max_examples=60)
def test_ids_are_the_librarys_on_any_text(files: list[str], texts: list[str]) -> None:
    for path in files[-6:]:
        assert lists(loaded(path), texts) == expected(path, texts), path


@pytest.mark.realdata
def test_ids_are_the_librarys_on_real_texts_of_many_languages(files: list[str], realdata: Path) -> None:
    folder = realdata / "langid" / "lingua_testdata_75lang" / "sentences"
    texts = [path.read_text(encoding="utf-8")[:1500] for path in sorted(folder.glob("*.txt"))]
    assert len(texts) > 70
    code = [path.read_text() for path in sorted(Path(tokens_module.__file__).parent.glob("*.py"))[::4]]
    for path in files:
        assert lists(loaded(path), texts + code) == expected(path, texts + code), path


def test_nulls_large_strings_and_slices_are_counted(ours: str) -> None:
    tokens = load_tokens(ours)
    texts = pa.array(["zero", None, "one two", "", "three"], pa.large_string())
    whole = tokens.count(texts).tolist()
    assert whole[1] == whole[3] == 0
    assert tokens.count(texts.slice(1, 3)).tolist() == whole[1:4]
    assert tokens.count(texts.cast(pa.string()).slice(2)).tolist() == whole[2:]
    assert tokens.count(pa.array([], pa.string())).tolist() == []
    assert tokens.encode(pa.array([], pa.string()))[1].tolist() == [0]


def test_texts_beyond_a_slice_are_joined_in_order(ours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = load_tokens(ours)
    texts = [f"text {number} \u0378" if number % 5 == 0 else f"text {number}" for number in range(300)]
    whole = lists(tokens, texts)
    monkeypatch.setattr(tokens_module, "_SLICE_BYTES", 50)
    monkeypatch.setattr(tokens_module, "_SLICE_ROWS", 7)
    assert lists(tokens, texts) == whole


def test_text_that_is_no_utf8_is_refused(ours: str) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"a\xff\xf0"], pa.binary()).buffers())
    with pytest.raises(InputError, match=r"texts 0 to 0: not all are UTF-8"):
        load_tokens(ours).count(broken)


def test_special_tokens_in_a_text_are_text(files: list[str]) -> None:
    tokens = load_tokens(files[-1])
    assert tokens.token_id("<|endoftext|>") == tokens.eos_id == 0
    for text in ("<|endoftext|>", "<pad>", "[TOOL]"):
        [ids] = lists(tokens, [text])
        assert len(ids) > 1
        assert not {0, tokens.token_id("<pad>"), tokens.token_id("[TOOL]")} & set(ids)


def test_bytes_are_written_as_gpt2_writes_them() -> None:
    assert dict(enumerate(byte_signs())) == made_tokenizers.byte_signs()


def test_a_tokenizer_that_has_forgotten_encodes_the_same(ours: str) -> None:
    tokens = load_tokens(ours)
    before = lists(tokens, TEXTS)
    tokens.forget()
    assert lists(tokens, TEXTS) == before


def test_tokens_know_the_bytes_that_they_stand_for(ours: str) -> None:
    tokens = load_tokens(ours)
    assert tokens.token_bytes is not None
    ids, offsets = tokens.encode(pa.array(TEXTS))
    sums = [int(tokens.token_bytes[ids[start:end]].sum()) for start, end in pairwise(offsets.tolist())]
    assert sums == [len(text.encode()) for text in TEXTS]


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[str, Any]]:
    """For each of three names NAME=FILE and tiktoken's encoding, of ranks that are not the published ones."""
    found = {}
    for name, pattern in TIKTOKEN_PATTERNS.items():
        known = PUBLISHED[name]
        own = ranks(trained(known.pattern))
        content = ranks_file(own)
        special = {text: len(own) + number for number, text in enumerate(known.special)}
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(PUBLISHED, name, replace(known, sha256=digest, special=special))
        (tmp_path / f"{name}.tiktoken").write_bytes(content)
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=own, special_tokens=special)
        found[name] = f"{name}={tmp_path / name}.tiktoken", encoding
    return found


def test_ids_are_tiktokens_for_its_encodings(encodings: dict[str, tuple[str, Any]]) -> None:
    texts = [text for text in TEXTS if len(text) < 9000] + ["tail  \n ", "tail\n\n", "  ", "\n "]
    for name, (spec, encoding) in encodings.items():
        tokens = load_tokens(spec)
        assert (tokens.name, tokens.engine, tokens.why) == (name, "compiled", "")
        assert lists(tokens, texts) == [encoding.encode_ordinary(text) for text in texts]
        assert tokens.vocab_size == encoding.n_vocab
        assert tokens.eos_id == encoding.eot_token
        assert tokens.token_id(" the") == encoding.encode_single_token(" the")
        assert tokens.token_id("no token of it") is None
        assert tokens.token_bytes is not None
        assert tokens.token_bytes[tokens.token_id(" the")] == 4


def test_the_published_encodings_are_tiktokens() -> None:
    import inspect

    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public)
    for name, published in PUBLISHED.items():
        assert name == "gpt2" or published.sha256 in source
        own = inspect.getsource(getattr(openai_public, name))
        for token, identifier in published.special.items():
            assert str(identifier) in own, token
    for name, pattern in TIKTOKEN_PATTERNS.items():
        assert name == "o200k_base" or pattern in source.replace('"""\n    r"""', "")


def test_a_file_of_ranks_must_be_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(b"IQ== 0\n")
    with pytest.raises(InputError, match=r"is not the file that cl100k_base was published with: its SHA-256 is \w{64}"):
        load_tokens(f"cl100k_base={path}")
    with pytest.raises(InputError, match=r"gpt2 needs its file of ranks, and nothing is downloaded; give it as gpt2="):
        load_tokens("gpt2")
    with pytest.raises(InputError, match=r"none\.tiktoken is no file; gpt2 needs"):
        load_tokens(f"gpt2={tmp_path / 'none.tiktoken'}")
    with pytest.raises(InputError, match=r"'cl100k' is no encoding of tiktoken .* did you mean 'cl100k_base'\?"):
        load_tokens(f"cl100k={path}")


@pytest.mark.parametrize(("content", "problem"), [(b"IQ== 0\n", "no token for the byte 0x00"), (b"no\n", "line 1")])
def test_a_damaged_file_of_ranks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(PUBLISHED, "gpt2", replace(PUBLISHED["gpt2"], sha256=digest))
    (tmp_path / "ranks").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        load_tokens(f"gpt2={tmp_path / 'ranks'}")


def test_other_tokenizers_are_encoded_by_the_library_which_says_why(tmp_path: Path) -> None:
    pages = ["one two three", "Grüße 日本"] * 20
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer, wordpiece.pre_tokenizer = Lowercase(), pre_tokenizers.BertPreTokenizer()
    wordpiece.train_from_iterator(pages, trainers.WordPieceTrainer(vocab_size=80, special_tokens=["[UNK]", "[SEP]"]))
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("o", -1.0)], unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    spaced = Tokenizer.from_str(trained(OURS))
    spaced.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    lower = Tokenizer.from_str(trained(OURS))
    lower.normalizer = Lowercase()
    cases = [(wordpiece, "WordPiece, not BPE"), (unigram, "Unigram"), (spaced, "pre-tokenizer"), (lower, "normalised")]
    for number, (tokenizer, why) in enumerate(cases):
        path = saved(tmp_path / str(number), tokenizer.to_str())
        tokens = load_tokens(path)
        assert tokens.engine == "tokenizers"
        assert why in tokens.why
        assert lists(tokens, TEXTS[:4]) == expected(path, TEXTS[:4])
        assert tokens.eos_id is not None
    assert load_tokens(str(tmp_path / "0" / "tokenizer.json")).token_bytes is None
    no_unknown = saved(tmp_path / "strict", Tokenizer(models.Unigram([("a", 0.0)])).to_str())
    with pytest.raises(InputError, match="the vocabulary cannot encode a text: "):
        load_tokens(no_unknown).count(pa.array(["b"]))


def test_the_library_encodes_where_the_kernels_would_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "known_pattern", lambda regex: Pattern(family=GPT2))
    path = saved(tmp_path, trained(OURS))
    tokens = load_tokens(path)
    assert (tokens.engine, tokens.why) == ("tokenizers", "our kernels gave other ids than the library")
    assert lists(tokens, TEXTS) == expected(path, TEXTS)


def test_dropout_is_for_training_models_and_not_for_counting(tmp_path: Path, ours: str) -> None:
    path = saved(tmp_path, changed(Path(ours).read_text(), dropout=0.9))
    tokens = load_tokens(path)
    assert tokens.engine == "compiled"
    assert lists(tokens, TEXTS) == expected(ours, TEXTS)
    assert tokens.fingerprint == load_tokens(ours).fingerprint


def test_the_fingerprint_is_of_what_decides_ids(tmp_path: Path, ours: str) -> None:
    text = Path(ours).read_text()
    same = [
        json.dumps(json.loads(text), indent=3),
        json.dumps(json.loads(text) | {"truncation": None, "version": "1.0"}),
    ]
    padded = Tokenizer.from_str(text)
    padded.enable_padding(length=8)
    padded.enable_truncation(4)
    same.append(padded.to_str())
    prints = {load_tokens(saved(tmp_path / str(n), some)).fingerprint for n, some in enumerate(same)}
    assert prints == {load_tokens(ours).fingerprint}
    for number, other in enumerate([with_added(text, "x"), composing(text), changed(text, ignore_merges=True)]):
        assert load_tokens(saved(tmp_path / f"other{number}", other)).fingerprint not in prints


def test_the_config_beside_it_says_what_ends_a_text(tmp_path: Path) -> None:
    path = saved(tmp_path, with_added(trained(OURS), "[END]", special=True))
    assert load_tokens(path).eos_id == 0
    config = tmp_path / "tokenizer_config.json"
    for eos, wanted in (("[END]", 3000), ({"content": "[END]"}, 3000), ("absent", None)):
        config.write_text(json.dumps({"eos_token": eos, "model_max_length": str(wanted)}))
        assert load_tokens(path).eos_id == wanted
    config.write_text("[]")
    with pytest.raises(InputError, match=r"tokenizer_config\.json is no JSON object"):
        load_tokens(path)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json is no file; give the path of a Hugging Face tokenizer\.json"):
        load_tokens(str(tmp_path / "none.json"))
    for content in (b"{}", b"\xff", b"[" * 100_000, b'{"model": {"type": "BPE"}}'):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.json is no Hugging Face tokenizer\.json"):
            load_tokens(str(tmp_path / "bad.json"))


def test_a_tokenizer_is_named_after_its_folder(tmp_path: Path, ours: str) -> None:
    shutil.copy(ours, tmp_path / "mine.json")
    assert load_tokens(str(tmp_path / "mine.json")).name == "mine"
    assert load_tokens(ours).name == Path(ours).parent.name


def dataset(folder: Path, unit: str, fingerprint: str | None, texts: list[str], counts: list[int]) -> Path:
    metadata = {"corpusmill.unit": unit} | ({"corpusmill.tokenizer": fingerprint} if fingerprint else {})
    table = pa.table({"text": texts, "n_tokens": pa.array(counts, pa.int32())}).replace_schema_metadata(metadata)
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    return folder


def test_stored_counts_are_checked_by_fingerprint_and_by_counting(tmp_path: Path, ours: str) -> None:
    tokens = load_tokens(ours)
    texts = ["one two", "three"]
    counts = tokens.count(pa.array(texts)).tolist()
    own = tokens.fingerprint
    assert check_stored_counts(dataset(tmp_path / "a", "tokens", own, texts, counts), tokens)
    assert not check_stored_counts(dataset(tmp_path / "b", "estimated_tokens", None, texts, counts), tokens)
    with pytest.raises(InputError, match=f"counted with the tokenizer {'0' * 64}, and .* is {own}; name the tokenizer"):
        check_stored_counts(dataset(tmp_path / "c", "tokens", "0" * 64, texts, counts), tokens)
    with pytest.raises(InputError, match="counted with the tokenizer unknown"):
        check_stored_counts(dataset(tmp_path / "d", "tokens", None, texts, counts), tokens)
    with pytest.raises(InputError, match=r"row 1 has n_tokens 99"):
        check_stored_counts(dataset(tmp_path / "e", "tokens", own, texts, [counts[0], 99]), tokens)
    with pytest.raises(InputError, match=r"has no data/\*\.parquet"):
        check_stored_counts(tmp_path / "f", tokens)
