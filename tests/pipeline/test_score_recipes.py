"""score_cut and combined_quality in recipes: what they need is checked in the plan, and handed on by a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.plan import plan_sources
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe


def recipe(folder: Path, stages: str) -> Path:
    words = ["It was the first letter of that week. " * (number % 7) + "word " * number for number in range(1, 41)]
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in words))
    path = folder / "recipe.yaml"
    path.write_text(f"name: cut\nruns: {folder}/runs\nsources:\n  web:\n    paths: [in.jsonl]\n    stages:\n{stages}")
    return path


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("      - language\n      - score_cut: {measure: language.language, min_score: 1}\n",
         r"stages\[1\]\.score_cut\.measure: language\.language is string and no number"),
        ("      - language\n      - score_cut: {measure: language.scores, min_score: 1}\n",
         r'language\.scores is measured by no stage .* did you mean "language\.score"\?'),
        ("      - language\n      - combined_quality: {scores: [language, perplexity]}\n",
         r"perplexity\.score is measured by no stage between this one and the barrier before it"),
        ("      - language\n      - score_cut: {keep_share: 0.1}\n      - quality\n",
         r"stages\[1\]\.score_cut: no stage before it fills the document's column quality; put one that does before"),
        ("      - combined_quality: {scores: [language, quality]}\n", r"language\.score is measured by no stage"),
    ],
)  # fmt: skip
def test_a_measure_that_is_not_there_is_named_before_any_work(tmp_path: Path, stages: str, message: str) -> None:
    path = recipe(tmp_path, stages)
    with pytest.raises(RecipeError, match=message):
        plan_sources(load_recipe(path), tmp_path / "runs" / "cut")


def test_a_run_cuts_by_what_a_barrier_in_a_row_with_it_measured(
    tmp_path: Path, inline_executor: Any, quiet: Any
) -> None:
    path = recipe(
        tmp_path,
        "      - language: {keep: [en], min_score: 0}\n"
        "      - fineweb_quality: {min_punctuated_lines: 0, max_short_lines: 1}\n"
        "      - combined_quality: {scores: [fineweb_quality.punctuated_lines, language], bins: 4, unit: documents}\n"
        "      - score_cut: {measure: combined_quality.bin, keep_share: 0.25}\n",
    )
    result = run_recipe(load_recipe(path), inline_executor, quiet)
    assert result.exit_code == 0, result.manifest
    ledger = pq.read_table(result.folder / "web" / "ledger").to_pylist()
    binned = [row for row in ledger if row["combined_quality.bin"] is not None]
    assert {row["combined_quality.bin"] for row in binned} <= {0, 1, 2, 3}
    kept = [row for row in binned if row["verdict"] == "kept"]
    assert len(kept) == round(len(binned) / 4)
    lowest = min(row["combined_quality.bin"] for row in kept)
    assert all(row["combined_quality.bin"] <= lowest for row in binned if row["stage"] == "score_cut")
    assert all(row["score_cut.place"] > 0.75 for row in kept)
