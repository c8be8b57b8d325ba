import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corpusmill.pipeline import executors, run
from corpusmill.pipeline.command import app
from corpusmill.pipeline.tasks import Outcome

COMMAND = Path(sys.executable).with_name("corpusmill")


@pytest.fixture
def ask(monkeypatch, inline_executor):
    """Calls the command in this process, with tasks in this process, too."""
    monkeypatch.setattr(executors, "LocalExecutor", lambda workers: inline_executor)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_waits_for_nothing_heavy():
    heavy = {"duckdb", "jinja2", "numba", "numpy", "pyarrow", "pydantic", "rich", "scipy", "sklearn", "torch", "yaml"}
    code = (
        "import sys; from corpusmill.pipeline import command; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(command.app, ['--help']).exit_code == 0; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "[]\n"


def test_help_names_every_command(ask):
    told = ask("--help")
    assert told.exit_code == 0
    for name in ("run", "plan", "status", "explain", "schema", "init", "train"):
        assert f"\n  {name} " in told.stdout


def test_a_run_prints_its_summary_on_stdout_and_its_progress_on_stderr(ask, tmp_path, write_recipe):
    told = ask("run", write_recipe(tmp_path))
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("posts: 3 of 10 records kept")
    assert "phase 1: 2 of 2 tasks" in told.stderr
    assert "\nended after " in told.stderr
    assert "tasks" not in told.stdout


def test_json_stands_alone_on_stdout(ask, small_run):
    for command, key in (("run", "sources"), ("plan", "sources"), ("status", "state")):
        told = ask(command, small_run.recipe, "--json")
        assert told.exit_code == 0
        assert key in json.loads(told.stdout)
    assert json.loads(ask("run", small_run.recipe, "--json").stdout)["run"] == str(small_run.folder)
    explained = ask("explain", "https://a.example/mail", "--run", small_run.folder, "--json")
    assert json.loads(explained.stdout)["verdict"] == "kept"
    assert json.loads(ask("schema").stdout)["title"] == "corpusmill recipe"


def test_where_runs_go_can_be_said(ask, tmp_path, write_recipe):
    told = ask("status", write_recipe(tmp_path), "--runs", tmp_path / "elsewhere", "--set", "name=other")
    assert told.stdout.startswith(f"{tmp_path}/elsewhere/other: not begun, 0 of 8 tasks done")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "nowhere.yaml"], "corpusmill: nowhere.yaml: no such recipe; `corpusmill init` writes"),
        (["explain", "abc"], "corpusmill: there is no finished run below ./runs; name one with --run FOLDER"),
        (["run"], "Missing argument 'RECIPE'"),
        (["rnu"], "No such command 'rnu'"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_a_line_on_stderr(ask, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    told = ask(*arguments)
    assert told.exit_code == 2
    assert message in told.stderr
    assert told.stdout == ""


def test_no_workers_are_too_few(small_run):
    told = CliRunner().invoke(app, ["run", str(small_run.recipe), "--workers", "0"])
    assert (told.exit_code, told.stderr) == (2, "corpusmill: --workers 0: must be at least 1\n")


def test_a_source_that_is_short_ends_with_1(ask, tmp_path, write_recipe):
    told = ask("run", write_recipe(tmp_path), "--set", "mix.budget=1000000")
    assert told.exit_code == 1
    assert "\ncorpusmill: " in told.stderr
    assert "when_short: renormalise" in told.stderr  # one of the ways to mend it
    assert told.stdout == ""


def test_failed_tasks_end_with_3_after_the_summary(tmp_path, monkeypatch, write_recipe, inline_executor):
    class Failing(type(inline_executor)):
        def run(self, tasks, watch):
            fine = super().run([task for task in tasks if not task.key.startswith("notes/")], watch)
            failed = [Outcome(task, error="ValueError: no\n") for task in tasks if task.key.startswith("notes/")]
            by_key = {outcome.task.key: outcome for outcome in [*fine, *failed]}
            return [by_key[task.key] for task in tasks]

    monkeypatch.setattr(executors, "LocalExecutor", lambda workers: Failing())
    told = CliRunner().invoke(app, ["run", str(write_recipe(tmp_path))])
    assert told.exit_code == 3, told.output
    assert "1 task failed; run the same command again" in told.stdout
    [line] = [line for line in told.stdout.splitlines() if line.startswith("  notes/phase-1/part-")]
    assert line.endswith(": ValueError: no")
    assert "posts: 3 of 10 records kept" in told.stdout


def test_an_interrupted_run_ends_with_130_and_says_how_to_go_on(ask, monkeypatch, small_run):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_recipe", interrupted)
    told = ask("run", small_run.recipe)
    assert (told.exit_code, told.stdout) == (130, "")
    assert told.stderr == "corpusmill: interrupted; run the same command again to go on\n"


def test_a_folder_that_may_not_be_written_is_named(ask, monkeypatch, small_run):
    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied", "/runs/small")

    monkeypatch.setattr(run, "run_recipe", forbidden)
    told = ask("run", small_run.recipe)
    assert (told.exit_code, told.stderr) == (1, "corpusmill: /runs/small: may not be read or written by this user\n")


def test_init_writes_a_recipe_that_plan_understands(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ask("init").stdout == "wrote recipe.yaml; edit its paths, then: corpusmill plan recipe.yaml\n"
    missing = ask("plan", "recipe.yaml")
    assert missing.exit_code == 2
    assert "recipe.yaml: sources.web.paths: crawl/*.warc.gz: matches no file" in missing.stderr
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl/a.warc.gz").touch()
    (tmp_path / "repositories").mkdir()
    (tmp_path / "repositories/a.py").write_text("print()\n")
    planned = ask("plan", "recipe.yaml")
    assert planned.exit_code == 0, planned.output
    assert "web: 1 warc file" in planned.stdout
    assert not (tmp_path / "runs").exists()


def test_init_overwrites_nothing(ask, tmp_path):
    (tmp_path / "recipe.yaml").write_text("mine")
    told = ask("init", tmp_path / "recipe.yaml")
    assert told.exit_code == 2
    assert "is there already" in told.stderr
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_a_reader_that_leaves_early_is_no_error():
    asked = subprocess.Popen([COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.stdout.readline() == "{\n"
    asked.stdout.close()
    assert asked.stderr.read() == ""
    asked.wait()


def test_the_quality_classifier_is_trained_and_its_figures_are_printed(ask, tmp_path):
    good = [{"text": f"The orchard was quiet in the {n}th week, and the apples slowly turned red."} for n in range(60)]
    bad = [{"text": f"BUY cheap followers now {n} best deal click casino bonus free"} for n in range(60)]
    for name, rows in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = ["--positive", tmp_path / "good.jsonl", "--negative", tmp_path / "bad.jsonl", "--out", tmp_path / "m.npz"]
    told = ask("train", "quality", *given)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("held-out ROC AUC 1.0000\nscore ")
    data = json.loads(ask("train", "quality", *given, "--json").stdout)
    assert data["sha256"] in told.stdout
