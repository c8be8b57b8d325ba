"""Runs in one folder, one after the other: nothing of an older recipe is left beside what a newer one made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.documents.errors import InputError
from corpusmill.filters.gopher_quality import GopherQuality
from corpusmill.pipeline.executors import Executor, Watch
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import RunResult, curated_parts, run_recipe
from corpusmill.pipeline.summary import status_as_data
from corpusmill.pipeline.tasks import Outcome, Runnable


class Failing(Executor):
    """Runs tasks in this process, but those whose key contains `mark` fail before they begin."""

    def __init__(self, mark: str | None = None) -> None:
        self.mark = mark

    def run(self, tasks: Sequence[Runnable], watch: Watch) -> list[Outcome]:
        fails = [self.mark is not None and self.mark in task.key for task in tasks]
        return [
            Outcome(task, error="killed") if failing else Outcome(task, counts=task.run())
            for task, failing in zip(tasks, fails, strict=True)
        ]


@pytest.fixture
def run(tmp_path: Path, quiet: Any) -> Any:
    """Runs stages over three files of three documents, some tasks of which may fail."""
    for name in "abc":
        lines = [json.dumps({"text": f"text {number} of {name} stands here"}) for number in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")

    def go(stages: Sequence[Any], failing: str | None = None) -> RunResult:
        data = {"name": "x", "runs": str(tmp_path / "runs"), "split_bytes": 150}
        data["sources"] = {"web": {"paths": "*.jsonl", "stages": list(stages)}}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data))
        return run_recipe(load_recipe(tmp_path / "recipe.yaml"), Failing(failing), quiet)

    return go


def rows(folder: Path) -> int:
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("*.parquet"))


STRICT = {"gopher_quality": {"min_words": 1000}}


@pytest.mark.parametrize("failing", ["phase-1/part-b", "phase-1/exact_dedup", "phase-2/part-b", "ledger/part-b"])
def test_what_an_older_recipe_made_of_a_part_goes_when_the_part_fails(run, failing):
    assert run(["exact_dedup"]).manifest["sources"]["web"]["documents_out"] == 9
    result = run([STRICT, "exact_dedup"], failing)
    assert [outcome.error for outcome in result.failed] == ["killed"]
    source = result.folder / "web"
    assert rows(source / "curated") == result.manifest["sources"]["web"]["documents_out"] == 0
    assert rows(source / "ledger") == {"phase-1/exact_dedup": 0}.get(failing, 6)
    assert run([STRICT, "exact_dedup"]).exit_code == 0
    assert rows(source / "ledger") == 9


def test_a_run_that_has_all_behind_it_reads_no_model_and_one_that_has_not_reads_it_before_it_removes_anything(
    run, monkeypatch, tmp_path
):
    first = run([STRICT, "exact_dedup"])
    before = {path: path.stat().st_mtime_ns for path in (first.folder / "web").rglob("*.*")}

    def gone(stage: GopherQuality) -> None:
        raise InputError(f"min_words {stage.min_words}: its model is gone")

    monkeypatch.setattr(GopherQuality, "prepare", gone)
    assert run([STRICT, "exact_dedup"]).manifest == first.manifest
    assert status_as_data(load_recipe(tmp_path / "recipe.yaml"))["state"] == "finished"
    with pytest.raises(InputError, match="min_words 999: its model is gone"):
        run([{"gopher_quality": {"min_words": 999}}])
    with pytest.raises(InputError, match="min_words 999: its model is gone"):
        status_as_data(load_recipe(tmp_path / "recipe.yaml"))
    assert {path: path.stat().st_mtime_ns for path in (first.folder / "web").rglob("*.*")} == before


def test_who_only_looks_at_what_is_done_leaves_what_another_run_may_be_writing(run, tmp_path):
    steps = run(["exact_dedup"]).folder / "web/phase-1/steps"
    (steps / "exact_dedup").mkdir(parents=True)
    curated_parts(load_recipe(tmp_path / "recipe.yaml"))
    assert steps.exists()
    run(["exact_dedup"])
    assert not steps.exists()
