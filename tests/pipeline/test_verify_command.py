from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from corpusmill.mix.verify import Verification
from corpusmill.pipeline.command import app
from corpusmill.pipeline.verify_command import verification_as_text

run = CliRunner().invoke


def test_the_dataset_of_a_run_is_verified_with_exit_code_0(small_run: Any) -> None:
    answer = run(app, ["verify", str(small_run.folder / "dataset")])
    assert answer.exit_code == 0, answer.output
    assert ": all is as its manifest says\n" in answer.output
    assert " and their SHA-256\n" in answer.output
    assert "posts " in answer.output
    near = run(app, ["verify", str(small_run.folder / "dataset"), "--near-duplicates"])
    assert "  near    no near-duplicates in two splits\n" in near.output
    quick = run(app, ["verify", str(small_run.folder / "dataset"), "--quick"])
    assert "as far as --quick looks" in quick.output


def test_a_spoilt_dataset_ends_with_exit_code_1_and_says_what_to_do(small_run: Any, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(small_run.folder / "dataset", tmp_path / "dataset"))
    (dataset / "README.md").write_text("changed")
    answer = run(app, ["verify", str(dataset)])
    assert answer.exit_code == 1
    assert "- files: README.md: its SHA-256 is " in answer.output
    assert "mend: take this file again from where the dataset was made" in answer.output
    [told] = json.loads(run(app, ["verify", str(dataset), "--json"]).output)
    assert told["ok"] is False
    assert {(problem["check"], problem["place"]) for problem in told["problems"]} == {
        ("files", "README.md"),
        ("card", "README.md"),
    }


def test_what_is_no_dataset_ends_with_exit_code_2(small_run: Any) -> None:
    answer = run(app, ["verify", str(small_run.folder)])
    assert answer.exit_code == 2
    assert "did you mean" in answer.output


def test_hostile_names_do_not_reach_the_terminal_as_they_are() -> None:
    told = Verification(dataset="d", quick=False)
    told.add("files", "a\x1b[2J\n", "b\u202e", "mend it")
    text = verification_as_text([told], 80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.splitlines()[0] == "d: 1 problem"


def test_long_problems_are_wrapped_to_the_terminal() -> None:
    told = Verification(dataset="d", quick=False, shares={"c" * 5: 1.0}, asked={"c" * 5: 1.0})
    told.add("files", "f", "word " * 100, "mend " * 50)
    assert max(map(len, verification_as_text([told], 60).splitlines())) <= 60


def test_presets_are_shown_and_an_unknown_one_names_the_nearest() -> None:
    assert "smollm3_stage1" in run(app, ["presets"]).output
    assert "arXiv:2302.13971" in run(app, ["presets", "llama1"]).output
    assert json.loads(run(app, ["presets", "llama3", "--json"]).output)["shares"]["code"] == 0.17
    assert len(json.loads(run(app, ["presets", "--json"]).output)) == 10
    wrong = run(app, ["presets", "lama1"])
    assert wrong.exit_code == 2
    assert "did you mean 'llama1'?" in wrong.output
