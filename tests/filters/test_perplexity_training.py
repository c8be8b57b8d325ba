"""Training of language models from texts: words, options, the command, and that its bytes are always the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters import perplexity_training
from corpusmill.filters.ngram_kernels import RESERVED
from corpusmill.filters.ngram_model import LanguageModel, Sentences
from corpusmill.filters.perplexity_training import Vocabulary, pruning, train_perplexity
from corpusmill.pipeline.command import app

TEXTS = ["The mill stood by the river.\nThe river was low.", "In 1893 it was sold.", "", "The town stood still."]


def random_texts(count: int, seed: int, words: int = 3000) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in chance.zipf(1.3, chance.integers(1, 200)) % words) for _ in range(count)]


def saved(texts: list[str], path: Path, size: int = 2, **options: Any) -> str:
    batches = (pa.array(texts[place : place + size], pa.string()) for place in range(0, len(texts), size))
    with train_perplexity(batches, **options) as trained:
        return trained.save(path)


def unknown(model: LanguageModel, text: str) -> int:
    """Words of a text that a model does not know."""
    return int(model.sums(model.sentences(TextBatch.of_texts([text])))[1][0])


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "É", "é", "12", "34", "文", "long_word", ".", "..."]), max_size=12))
)
@settings(max_examples=100, deadline=None)
def test_words_are_numbered_as_they_appear(lines: list[list[str]]) -> None:
    vocabulary = Vocabulary(folded=True)
    expected: dict[str, int] = {}
    for line in lines:
        batch = TextBatch.of_texts([" ".join(line)])
        spelling = [{"É": "e", "é": "e", "12": "00", "34": "00", "...": "."}.get(word, word) for word in line]
        found = vocabulary.numbers(batch, Sentences.of(batch, folded=True))
        assert found.tolist() == [expected.setdefault(word, RESERVED + len(expected)) for word in spelling]
    assert vocabulary.words[RESERVED:] == list(expected)


def test_the_table_of_words_grows() -> None:
    vocabulary = Vocabulary(folded=False)
    batch = TextBatch.of_texts([" ".join(f"w{number}" for number in [*range(100_000), *range(100_000)])])
    numbers = vocabulary.numbers(batch, Sentences.of(batch, folded=False))
    assert numbers.tolist() == [RESERVED + number for number in range(100_000)] * 2
    assert len(vocabulary.keys) == 100_000 + RESERVED


def test_more_words_than_a_packed_n_gram_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity_training, "MAX_WORDS", 100)
    with pytest.raises(InputError, match="more than 97 different words were found; give fewer texts"):
        train_perplexity([pa.array(["w" + " w".join(map(str, range(98)))])])


def test_the_same_texts_give_the_same_bytes_whatever_the_batches_and_the_memory(tmp_path: Path) -> None:
    texts = random_texts(300, 1)
    digest = saved(texts, tmp_path / "a")
    assert saved(texts, tmp_path / "b", size=77, memory=1) == digest
    assert saved([*texts, texts[0]], tmp_path / "c") != digest


def test_the_scratch_folder_is_empty_afterwards(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    saved(random_texts(100, 2), tmp_path / "m", scratch=tmp_path / "scratch", memory=1)
    with pytest.raises(InputError):
        train_perplexity([pa.array([""])], scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_facts_say_what_the_model_learned_from() -> None:
    with train_perplexity([pa.array(TEXTS)], order=3, language="en", prune=(0, 0, 1)) as trained:
        facts, model = trained.model.facts, trained.model
    assert (facts["texts"], facts["sentences"], facts["words"], facts["language"]) == (4, 4, 23, "en")
    assert facts["bytes"] == sum(map(len, TEXTS))
    assert len(facts["found"]) == len(facts["kept"]) == 3
    assert facts["kept"][2] < facts["found"][2]
    assert set(model.words.to_pylist()) >= {"<unk>", "<s>", "</s>", "mill", "0000"}


def test_rare_words_are_unknown() -> None:
    with train_perplexity([pa.array(TEXTS)], min_count=2) as trained:
        assert set(trained.model.words.to_pylist()) == {"<unk>", "<s>", "</s>", "the", "river", "stood", "was", "."}
        assert unknown(trained.model, "the mill was sold") == 2


def test_a_model_of_words_as_they_are_knows_one_spelling() -> None:
    with train_perplexity([pa.array(TEXTS)], folded=False) as trained:
        assert [unknown(trained.model, text) for text in ("The mill 1893", "THE mill 1984")] == [0, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "min_count: 0 is out of range; use 1 or more"),
        ({"prune": (1, 0)}, "prune: 1 0: give a number, 0 or more"),
        ({"order": 6}, "order: 6 is out of range; use 2 to 5"),
    ],
)
def test_a_setting_out_of_range_is_refused_before_a_text_is_read(options: dict[str, Any], message: str) -> None:
    def texts() -> Any:
        pytest.fail("a text was read")
        yield

    with pytest.raises(InputError, match=message):
        train_perplexity(texts(), **options)


def test_thresholds_of_a_command_line_are_numbers() -> None:
    assert pruning("0 0 1") == pruning("0,0,1") == (0, 0, 1)
    with pytest.raises(InputError, match='--prune: "few" are not numbers'):
        pruning("few")


def test_the_command_trains_a_model(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in TEXTS))
    command = ["train", "perplexity", "--texts", str(tmp_path / "texts.jsonl"), "--out", str(tmp_path / "m"), "--json"]
    more = ["--order", "3", "--field", "body", "--language", "en", "--arpa", str(tmp_path / "m.arpa")]
    found = CliRunner().invoke(app, [*command, *more])
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    model = LanguageModel.load(tmp_path / "m")
    assert said["words"] == model.facts["words"] == 23
    assert said["order"] == model.ngrams.order == 3
    assert (tmp_path / "m.arpa").read_text().startswith("\\data\\\nngram 1=")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--texts", "nowhere/*.txt"], "there is no such file, folder or glob"),
        (["--order", "9"], "order: 9 is out of range"),
        (["--min-count", "50"], "none occurs 50 times"),
        (["--scratch", "nowhere"], "nowhere; name a folder that can be written"),
    ],
)
def test_the_command_says_what_cannot_be_done(more: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXTS[0])
    command = ["train", "perplexity", "--texts", str(tmp_path / "a.txt"), "--out", str(tmp_path / "m"), *more]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 2
    assert message in found.output
    assert not (tmp_path / "m").exists()
