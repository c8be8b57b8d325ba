"""The perplexity filter: what it measures, which model it takes, and what it refuses."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters.ngram_model import LanguageModel, Sentences
from corpusmill.filters.perplexity import Perplexity, Reason
from corpusmill.filters.perplexity_training import train_perplexity

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "perplexity.jsonl").read_text(encoding="utf-8").splitlines()
]
ENGLISH = """The mill stood by the river, and the river fed the mill.
In 1893 the miller sold it; the new miller came from the town in May.
The river was low that year. The mill stood still, and so did the town.
"""
GERMAN = """Die Mühle stand am Fluss, und der Fluss trieb die Mühle.
Im Jahr 1893 verkaufte der Müller sie; der neue Müller kam im Mai aus der Stadt.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for name, text in (("en", ENGLISH), ("de", GERMAN)):
        with train_perplexity([pa.array([text])], order=4, prune=()) as trained:
            trained.save(place / name)
    return place


def of_languages(texts: list[str], languages: list[str | None]) -> TextBatch:
    return TextBatch.of_texts(texts).with_column("language", pa.array(languages, pa.string()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any], folder: Path) -> None:
    stage = Perplexity(model=str(folder / "en"), **case.get("options", {}))
    (verdict,) = stage.judge(stage.measure(TextBatch.of_texts([case["text"]]))).to_pylist()
    assert (None if verdict is None else list(Reason)[verdict]) == case["reason"]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


def test_perplexity_is_over_words_and_one_for_each_line(folder: Path) -> None:
    text = "The mill stood.\n\nThe sea was low.\n"
    model = LanguageModel.load(folder / "en")
    sentences = Sentences.of(TextBatch.of_texts([text]), folded=True)
    scores = model.ngrams.token_scores(sentences.keys, sentences.offsets).astype(np.float64)
    assert len(scores) == 9 + 2
    measures = Perplexity(model=str(folder / "en")).measure(TextBatch.of_texts([text]))
    assert measures.schema == Perplexity.measures
    [row] = measures.to_pylist()
    assert row["perplexity"] == pytest.approx(np.exp(-np.log(10) * scores.sum() / (9 + 2)))
    assert row["unknown_share"] == pytest.approx(1 / 9)
    assert row["words"] == 9


def test_a_rule_of_signs_weighs_as_one_sign(folder: Path) -> None:
    texts = ["The mill stood.\n" + rule for rule in ("-", "-" * 70, "~", "~" * 70)]
    rows = Perplexity(model=str(folder / "en")).measure(TextBatch.of_texts(texts)).to_pylist()
    assert rows[0] == rows[1]
    assert rows[2] == rows[3]
    assert rows[0]["words"] == 5


def test_a_document_is_measured_as_it_is_alone(folder: Path) -> None:
    chance = random.Random(3)
    words = (ENGLISH + " sea Évreux 7 \n").split(" ")
    texts = [" ".join(chance.choices(words, k=chance.randrange(0, 400))) for _ in range(40)]
    stage = Perplexity(model=str(folder / "en"))
    together = stage.measure(TextBatch.of_texts(texts)).to_pylist()
    assert together == [stage.measure(TextBatch.of_texts([text])).to_pylist()[0] for text in texts]
    batch = TextBatch.of_texts(texts)
    assert stage.measure(TextBatch(batch.documents.slice(7, 9))).to_pylist() == together[7:16]


def test_a_document_without_words_has_no_measure(folder: Path) -> None:
    rows = Perplexity(model=str(folder / "en")).measure(TextBatch.of_texts(["", " \n\n", "the"])).to_pylist()
    assert rows[0] == rows[1] == {"perplexity": None, "unknown_share": None, "words": None}
    assert rows[2]["perplexity"] > 1


def test_a_batch_of_no_documents_is_measured(folder: Path) -> None:
    assert Perplexity(model=str(folder / "en")).measure(TextBatch.of_texts([])).num_rows == 0


def test_each_language_has_its_model_and_others_none(folder: Path) -> None:
    stage = Perplexity(models={"en": str(folder / "en"), "de": str(folder / "de")})
    text = "Die Mühle stand am Fluss."
    batch = of_languages([text, text, text, text, "The mill."], ["de", "en", "fr", None, "en"])
    rows = stage.measure(batch).to_pylist()
    german, english = (
        Perplexity(model=str(folder / name)).measure(TextBatch.of_texts([text])).to_pylist()[0] for name in ("de", "en")
    )
    assert rows[0] == german
    assert rows[1] == english
    assert german["perplexity"] < english["perplexity"]
    assert rows[2] == rows[3] == {"perplexity": None, "unknown_share": None, "words": None}
    assert rows[4]["perplexity"] is not None
    assert stage.judge(stage.measure(batch)).null_count == 5


def test_the_stage_names_its_files(folder: Path) -> None:
    assert Perplexity(model="a.model").files() == (Path("a.model"),)
    assert Perplexity(models={"en": "a", "de": "b"}).files() == (Path("a"), Path("b"))


def test_a_worker_gets_the_stage_without_its_models(folder: Path) -> None:
    stage = Perplexity(models={"en": str(folder / "en")}, sha256={"en": sha256_of(folder / "en")})
    stage.prepare()
    sent = pickle.dumps(stage)
    assert len(sent) < 1000
    again = pickle.loads(sent)  # noqa: S301
    assert again == stage
    batch = of_languages(["the mill"], ["en"])
    assert again.measure(batch) == stage.measure(batch)


def test_a_model_of_the_sha256_asked_for_is_taken(folder: Path) -> None:
    Perplexity(model=str(folder / "en"), sha256=sha256_of(folder / "en").upper()).prepare()


@pytest.mark.parametrize(
    "options", [{"model": "en", "sha256": "00ff"}, {"models": {"x": "de", "y": "en"}, "sha256": {"y": "00ff"}}]
)
def test_a_model_of_another_sha256_is_refused(options: dict[str, Any], folder: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"en: its sha256 is [0-9a-f]{64}, but the recipe asks for 00ff"):
        Perplexity(**options).prepare()


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere: there is no such model; make one with"):
        Perplexity(models={"en": "nowhere"}).prepare()


def test_a_model_that_was_trained_anew_is_loaded_anew(tmp_path: Path) -> None:
    batch, found = TextBatch.of_texts(["the mill"]), []
    for text in (ENGLISH, GERMAN):
        with train_perplexity([pa.array([text])], order=3) as trained:
            trained.save(tmp_path / "m")
        found.append(Perplexity(model=str(tmp_path / "m")).measure(batch).column("unknown_share")[0].as_py())
    assert found == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either `model`, a path, or `models`"),
        ({"model": "a", "models": {"en": "b"}}, "give either `model`, a path, or `models`"),
        ({"models": {}}, "give either `model`, a path, or `models`"),
        ({"model": "a", "sha256": {"en": "0"}}, "sha256: is one text with `model`"),
        ({"models": {"en": "a"}, "sha256": "0"}, "sha256: is one text with `model`"),
        ({"models": {"en": "a"}, "sha256": {"de": "0"}}, "sha256: 'de' is no language of `models`"),
        ({"model": "a", "max_perplexity": 0.5}, "max_perplexity: 0.5 is no perplexity; use 1 or more"),
        ({"model": "a", "min_perplexity": float("nan")}, "min_perplexity: nan is no perplexity"),
        ({"model": "a", "max_perplexity": float("inf")}, "max_perplexity: inf is no perplexity"),
        ({"model": "a", "min_perplexity": 9, "max_perplexity": 8}, "min_perplexity: 9 is above max_perplexity, 8"),
        ({"model": "a", "max_unknown_share": 1.5}, "max_unknown_share: 1.5 is no share; use 0 to 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Perplexity(**options)


@pytest.mark.realdata
def test_real_text_is_likelier_than_the_same_words_shuffled_and_than_garbage(realdata: Path, tmp_path: Path) -> None:
    books = sorted((realdata / "text" / "books_classic_markdown_a").rglob("*.md"))
    with train_perplexity([pa.array([book.read_text()]) for book in books[:8]]) as trained:
        trained.save(tmp_path / "m")
    stage = Perplexity(model=str(tmp_path / "m"))
    pages = [text[start : start + 3000] for text in [books[-1].read_text()] for start in range(3000, 63_000, 3000)]
    chance = random.Random(1)
    shuffled = [" ".join(chance.sample(page.split(), len(page.split()))) for page in pages]
    garbage = (realdata / "quality" / "ungoliant_garbage.txt").read_text().splitlines()
    garbage = ["\n".join(garbage[start : start + 20]) for start in range(0, 400, 20)]
    good, mixed, bad = (
        stage.measure(TextBatch.of_texts(texts)).column("perplexity").to_numpy() for texts in (pages, shuffled, garbage)
    )
    assert (good < mixed).all()
    assert good.max() < np.median(bad)
