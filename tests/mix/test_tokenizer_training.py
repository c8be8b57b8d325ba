from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import InputError, UsageError
from corpusmill.mix.pretokens import character_classes, copy_short_pieces
from corpusmill.mix.tokenizer_samples import find_corpora
from corpusmill.mix.tokenizer_training import LONGEST_PIECE, TokenizerOptions, TrainedTokenizer, train
from corpusmill.mix.tokens import PROBE, load_tokens

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Paragraphs of this repository's pages, and one with an endless piece."""
    path = tmp_path_factory.mktemp("corpus") / "pages.jsonl"
    pages = [page for file in sorted(REPOSITORY.glob("docs/**/*.md")) for page in file.read_text().split("\n\n")]
    path.write_text("".join(json.dumps({"text": page}) + "\n" for page in [*pages, "before " + "ab" * 5000 + " after"]))
    return f"pages={path}"


def made(corpus: str, out: Path, **options: object) -> TrainedTokenizer:
    wanted = TokenizerOptions(**{"vocab_size": 2000, **options})  # type: ignore[arg-type]
    return train(find_corpora([corpus]), out, wanted)


@pytest.fixture(scope="module")
def folder(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "mine"
    made(corpus, out)
    return out


def test_a_trained_tokenizer_gives_back_what_it_encodes(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    assert tokenizer.get_vocab_size() == 2000
    assert tokenizer.decode(tokenizer.encode(PROBE).ids, skip_special_tokens=False) == PROBE
    tokens = load_tokens(str(folder / "tokenizer.json"))
    assert (tokens.name, tokens.engine, tokens.eos_id, tokens.token_id("<|pad|>")) == ("mine", "compiled", 0, 1)


def test_the_same_texts_give_the_same_bytes_in_any_order(corpus: str, folder: Path, tmp_path: Path) -> None:
    path = Path(corpus.partition("=")[2])
    (tmp_path / "pages.jsonl").write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    made(f"pages={tmp_path / 'pages.jsonl'}", tmp_path / "again")
    names = ["fertility.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_another_seed_draws_another_sample(corpus: str, folder: Path, tmp_path: Path) -> None:
    trained = made(corpus, tmp_path, seed=3, sample_bytes=60_000, vocab_size=600)
    other = made(corpus, tmp_path / "other", seed=4, sample_bytes=60_000, vocab_size=600)
    assert 55_000 < trained.sample["pages"] <= 60_000
    assert trained.tokens.fingerprint != other.tokens.fingerprint


@pytest.mark.parametrize(
    ("digits", "expected"), [("individual", ["1"] * 7), ("groups3", ["111", "111", "1"]), ("none", ["1111111"])]
)
def test_digits_stand_as_asked(corpus: str, tmp_path: Path, digits: str, expected: list[str]) -> None:
    made(corpus, tmp_path, digits=digits, vocab_size=400)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("1111111")] == expected
    assert load_tokens(str(tmp_path / "tokenizer.json")).engine == "compiled"


def test_marks_belong_to_their_words(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert len(tokenizer.pre_tokenizer.pre_tokenize_str("हिन्दी")) == 1


def test_endless_pieces_are_not_learned_from(corpus: str, folder: Path, tmp_path: Path) -> None:
    facts = json.loads((folder / "fertility.json").read_text())
    assert facts["left_out_bytes"] == 10_001  # with the space before it
    assert "abab" not in Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()


def test_only_long_pieces_are_left_out_of_a_text() -> None:
    texts = pa.array(["", "x" * 999 + " y", "a " + "b" * LONGEST_PIECE + " c", "日" * 400, "ok"]).slice(1)
    offsets, text = text_buffers(texts)
    kept, ends = np.empty(5000, np.uint8), np.empty(4, np.int64)
    pattern = TokenizerOptions().pattern
    letters = np.uint8(pattern.letters)
    classes = character_classes()
    copy_short_pieces(offsets, text, classes, pattern.family, letters, pattern.digits, False, LONGEST_PIECE, kept, ends)
    starts = [0, *ends[:-1].tolist()]
    found = [bytes(kept[start:end]).decode() for start, end in zip(starts, ends.tolist(), strict=True)]
    assert found == ["x" * 999 + " y", "a c", "", "ok"]


def test_the_config_names_the_special_tokens_parts(corpus: str, tmp_path: Path) -> None:
    specials = ("<|begin_of_text|>", "<|endoftext|>", "<|padding|>", "<|im_start|>")
    made(corpus, tmp_path, special_tokens=specials, vocab_size=400)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert [config[f"{part}_token"] for part in ("bos", "eos", "pad")] == list(specials[:3])
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [tokenizer.token_to_id(token) for token in specials] == [0, 1, 2, 3]
    made(corpus, tmp_path, special_tokens=("</s>",), vocab_size=400)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert [config[f"{part}_token"] for part in ("bos", "eos", "pad")] == ["</s>"] * 3


def test_fertility_is_measured_on_texts_that_were_not_trained_on(folder: Path) -> None:
    facts = json.loads((folder / "fertility.json").read_text())
    [row] = facts["fertility"]["rows"]
    assert (row["source"], row["language"]) == ("pages", None)
    assert row["text_bytes"] == facts["held_out"]["pages"] > 1000
    assert 1 < row["tokens_per_word"][0] < 4
    assert 0 < row["words_split"][0] < 1
    assert facts["fingerprint"] == load_tokens(str(folder / "tokenizer.json")).fingerprint


def test_a_vocabulary_that_the_text_cannot_fill_is_refused_with_the_size_that_it_can(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one two one two"}\n' * 20)
    given = f"a={tmp_path / 'a.jsonl'}"
    with pytest.raises(InputError, match=r"300 bytes of text support 26\d tokens, not 2,000") as caught:
        made(given, tmp_path / "out", seed=1)
    assert not (tmp_path / "out").exists()
    reached = int(str(caught.value).split("ask for at most ")[1].split(",")[0])
    assert made(given, tmp_path / "out", vocab_size=reached, seed=1).tokens.vocab_size == reached


def test_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(InputError, match="the sample has no text to train on"):
        made(str(tmp_path / "a.jsonl"), tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("vocab_size", 258, "258 cannot be trained; all bytes and 2 special tokens are 258"),
        ("vocab_size", 2_000_000, "the most is 1,048,576"),
        ("digits", "pairs", "'pairs' is not known; choose one of individual, groups3, none"),
        ("special_tokens", (), "name at least one"),
        ("special_tokens", ("<a>", "<a>"), "each once"),
        ("special_tokens", ("a",), "'a' would be met in ordinary text"),
        ("sample_bytes", 0, "more than 0 megabytes"),
    ],
)
def test_options_are_checked(option: str, value: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        TokenizerOptions(**{option: value})  # type: ignore[arg-type]
