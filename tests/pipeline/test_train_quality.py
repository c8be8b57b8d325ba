"""`corpusmill train quality`: both engines through the command, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import fasttext_training
from corpusmill.filters.quality import Quality
from corpusmill.pipeline.command import app

GOOD = ("harbour", "ferry", "morning", "letter", "river", "garden")
BAD = ("casino", "bonus", "click", "winner", "free", "offer")


def written(folder: Path, name: str, words: tuple[str, ...], count: int, field: str = "text") -> Path:
    rows = [{field: f"the {words[n % 6]} and the {words[(n * 5 + n // 6) % 6]} of day {n}"} for n in range(count)]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(folder: Path, out: str, *more: str, good: int = 60, bad: int = 60, field: str = "text") -> Result:
    paths = written(folder, "good", GOOD, good, field), written(folder, "bad", BAD, bad, field)
    given = ["--positive", str(paths[0]), "--negative", str(paths[1]), "--out", str(folder / out)]
    return CliRunner().invoke(app, ["train", "quality", *given, *more])


@pytest.mark.parametrize(
    ("out", "engine", "label"),
    [
        ("m.npz", "sklearn", None),
        ("m.bin", "fasttext", "hq"),
    ],
)
def test_each_engine_writes_a_model_that_the_stage_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, engine: str, label: str | None
) -> None:
    if engine == "fasttext":
        pytest.importorskip("fasttext")
        # Of the same kind, and not 800 MB large.
        small = partial(fasttext_training.train_fasttext, buckets=20_000)
        monkeypatch.setattr(fasttext_training, "train_fasttext", small)
    told = train(tmp_path, out, "--engine", engine, "--json")
    assert told.exit_code == 0, told.output
    data: dict[str, Any] = json.loads(told.stdout)
    assert data["engine"] == engine
    assert data["roc_auc"] > 0.9
    assert data["sha256"] == sha256_of(tmp_path / out)
    assert sum(row["documents"] for row in data["reliability"]) > 0
    stage = Quality(model=str(tmp_path / out), label=label, sha256=data["sha256"])
    stage.prepare()
    good, bad = stage.measure(TextBatch.of_texts(["the harbour and the ferry", "the casino and the bonus"])).column(0)
    assert good.as_py() > bad.as_py()


def test_what_was_written_is_said_with_how_to_use_it(tmp_path: Path) -> None:
    told = train(tmp_path, "m.npz")
    assert "held-out ROC AUC 1.0000" in told.stdout
    assert f"use it as `quality: {{model: {tmp_path / 'm.npz'}}}`" in told.stdout


def test_the_field_of_the_text_is_named(tmp_path: Path) -> None:
    assert train(tmp_path, "m.npz", "--field", "body", field="body").exit_code == 0


@pytest.mark.parametrize(
    ("out", "more", "counts", "message"),
    [
        ("m.bin", (), (60, 60), "the models of --engine sklearn are .npz files; name it so"),
        ("m.npz", ("--engine", "fasttext"), (60, 60), "the models of --engine fasttext are .bin or .ftz files"),
        ("m.npz", (), (60, 0), "negative texts: 0 different ones are too few to train on"),
        ("m.npz", (), (0, 60), "positive texts: 0 different ones are too few to train on"),
        ("m.npz", ("--field", "body"), (60, 60), 'good.jsonl: line 1 has no string "body"; name the field'),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    tmp_path: Path, out: str, more: tuple[str, ...], counts: tuple[int, int], message: str
) -> None:
    told = train(tmp_path, out, *more, good=counts[0], bad=counts[1])
    assert told.exit_code == 2
    assert message in told.output
    assert not (tmp_path / out).exists()
