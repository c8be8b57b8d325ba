"""A run that is killed, interrupted or cut otherwise comes to the same dataset; one that is changed does what changed.

And at no moment is there a partial file at a final path.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from corpusmill.pipeline.executors import Executor, LocalExecutor
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.sources import registry

sys.path.insert(0, str(Path(__file__).parent))
from small_corpus import (
    COMMAND,
    PoisonedText,
    Result,
    check_whole,
    corpusmill,
    ledger_rows,
    markers,
    quick_folder,
    small_recipe,
    write_corpus,
    write_jsonl,
    write_recipe,
)

TASKS, BEFORE_THE_MIX = 187, 68  # of the whole run
_CHANCE = random.Random(20)
MOMENTS = [_CHANCE.randrange(17 * tenth + 1, 17 * tenth + 18) for tenth in range(10)]
"""After how many tasks a run is killed; a moment later, by chance."""


@pytest.fixture(scope="module")
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def corpus():
    with quick_folder() as folder:
        write_corpus(folder)
        write_recipe(folder, small_recipe())
        yield folder


@pytest.fixture(scope="module")
def undisturbed(corpus, executor):
    """The folder of a finished run that nothing disturbed."""
    result, fresh = run_here(corpus / "recipe.yaml", corpus / "undisturbed", executor)
    assert len(fresh) == TASKS
    return result.folder


def run_here(recipe, runs, executor, *overrides):
    """Runs a recipe in this process, with workers that are there already."""
    loaded = replace(load_recipe(recipe, overrides), runs=runs)
    progress = Listening()
    return run_recipe(loaded, executor, progress), progress.fresh


class Listening:
    """Notes the keys of the tasks that were done now and not before."""

    def __init__(self):
        self.fresh = set()

    def level(self, title, tasks, size):
        pass

    def outcome(self, outcome):
        if not outcome.reused:
            self.fresh.add(outcome.task.key)

    def say(self, line):
        pass


@contextlib.contextmanager
def command_at_work(corpus, runs):
    """The real command in a process group of its own, which is gone in the end."""
    process = subprocess.Popen(
        [*COMMAND, "run", "recipe.yaml", "--runs", str(runs), "--workers", "2"],
        cwd=corpus, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_tasks(process, run, count):
    """Waits until so many tasks have ended, or the run has."""
    deadline = time.monotonic() + 120
    while process.poll() is None and len(markers(run)) < count:
        assert time.monotonic() < deadline, f"{run}: {count} tasks never ended"
        time.sleep(0.01)


def family(process):
    """The processes below the command: its fork server and such, and the workers."""
    with contextlib.suppress(psutil.NoSuchProcess):
        helpers = psutil.Process(process.pid).children()
        return helpers, [worker for helper in helpers for worker in helper.children()]
    return [], []


def kill(victim):
    """Kills a process; whether it was there."""
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
        return True
    return False


@pytest.mark.slow
def test_workers_killed_at_random_moments_cost_no_document(corpus, undisturbed, executor, tmp_path):
    chance = random.Random(5)
    with command_at_work(corpus, tmp_path) as process:
        killed = 0
        *_, last = moments = MOMENTS[::3]
        for moment in moments:
            wait_for_tasks(process, tmp_path / "small", moment)
            time.sleep(chance.uniform(0, 0.05))
            helpers, workers = family(process)
            # At last the fork server and the resource tracker, which the system may choose where memory runs out.
            for victim in chance.sample(workers, min(len(workers), 1)) if moment != last else helpers:
                killed += kill(victim)
        _, errors = process.communicate(timeout=120)
    assert killed >= 3
    assert "Traceback" not in errors
    check_whole(tmp_path / "small")
    if process.returncode != 0:  # chance met one task twice
        assert process.returncode == 3, errors
        assert "its worker was killed by SIGKILL" in errors
        assert run_here(corpus / "recipe.yaml", tmp_path, executor)[0].exit_code == 0
    assert Result.of(tmp_path / "small") == Result.of(undisturbed)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_is_whole_and_goes_on_to_the_same_dataset(
    corpus, undisturbed, executor, tmp_path
):
    """Six times, each where the one before was killed: the parent alone and the parent with its workers, in turn."""
    chance = random.Random(1)
    run = tmp_path / "small"
    killed, done = 0, {}
    for number, moment in enumerate(sorted(MOMENTS[1::3] + MOMENTS[2::3])):
        with command_at_work(corpus, tmp_path) as process:
            wait_for_tasks(process, run, moment)
            time.sleep(chance.uniform(0, 0.05))
            helpers, workers = family(process)
            for victim in [process, *(workers if number % 2 else [])]:
                kill(victim)
            if process.wait() == 0 or (run / "manifest.json").exists():  # it was quicker
                break
            killed += 1
            assert process.returncode == -signal.SIGKILL
            _, alive = psutil.wait_procs([*helpers, *workers], timeout=20)
            assert alive == []
        assert check_whole(run) >= moment
        times = {marker: marker.stat().st_mtime_ns for marker in markers(run) if "mix" not in marker.parts}
        assert done.items() <= times.items(), "a task was done again"
        done = times
    assert killed >= 4
    resumed, fresh = run_here(corpus / "recipe.yaml", tmp_path, executor)
    assert resumed.exit_code == 0
    assert len(fresh) <= TASKS - BEFORE_THE_MIX
    check_whole(run)
    assert Result.of(run) == Result.of(undisturbed)
    assert files_of(run) == files_of(undisturbed)


def files_of(run):
    """Names of all files of a run: nothing is missing, and no debris is left."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def times_of(run):
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in run.rglob("*.parquet")}


def test_a_run_is_alone_in_its_folder_and_ctrl_c_ends_it_with_a_line(corpus, undisturbed, executor, tmp_path):
    with command_at_work(corpus, tmp_path) as process:
        wait_for_tasks(process, tmp_path / "small", 30)
        os.kill(process.pid, signal.SIGSTOP)
        second = corpusmill("run", "recipe.yaml", "--runs", tmp_path, cwd=corpus)
        os.kill(process.pid, signal.SIGCONT)
        assert second.returncode == 2
        assert second.stderr == (
            f"corpusmill: {tmp_path}/small: another run (process {process.pid}) is at work in this folder; wait for "
            "it, or give this recipe another `name`\n"
        )
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("corpusmill: interrupted; run the same command again to go on\n")
    assert "Traceback" not in errors
    assert not [path for path in tmp_path.rglob("*") if ".partial-" in path.name]
    check_whole(tmp_path / "small")
    resumed, fresh = run_here(corpus / "recipe.yaml", tmp_path, executor)
    assert resumed.exit_code == 0
    assert len(fresh) <= TASKS - 30
    assert Result.of(tmp_path / "small") == Result.of(undisturbed)


def test_ctrl_c_as_the_workers_begin_shows_no_traceback(corpus, tmp_path):
    with command_at_work(corpus, tmp_path) as process:
        deadline = time.monotonic() + 60
        while not family(process)[1]:
            assert time.monotonic() < deadline, "no worker ever began"
        # The whole group gets a Ctrl-C once; a worker may be at any step of its beginning then.
        for _ in range(100):
            for worker in family(process)[1]:
                worker.send_signal(signal.SIGINT)
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    *before, last = errors.splitlines()
    assert last == "corpusmill: interrupted; run the same command again to go on"
    # Where loading kernels is slow, the run says so; where it is quick, the first tasks have ended.
    assert [line for line in before if not re.match(r"compiling kernels|[a-z]+( \d+)?: \d+ of \d+ tasks?", line)] == []


def test_a_worker_in_the_midst_of_native_code_ends_with_its_parent(tmp_path):
    note = tmp_path / "worker"
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from corpusmill.pipeline.executors import LocalExecutor
from small_corpus import Hold

if __name__ == "__main__":
    LocalExecutor(1).run([Hold(Path({str(note)!r}))], lambda outcome: None)
"""
    )
    with subprocess.Popen([sys.executable, str(program)]) as parent:
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text()):
            assert time.monotonic() < deadline, "the worker never began"
            time.sleep(0.02)
        worker = psutil.Process(int(note.read_text()))
        time.sleep(0.2)
        parent.kill()
    time.sleep(1)
    with contextlib.suppress(psutil.NoSuchProcess):
        ended = worker.status() == psutil.STATUS_ZOMBIE  # whoever inherits it may take its time to bury it
        worker.kill()
        assert ended


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_does_not_matter(corpus, undisturbed, tmp_path, workers):
    executor = LocalExecutor(workers)
    try:
        run_here(corpus / "recipe.yaml", tmp_path, executor)
    finally:
        executor.close()
    assert Result.of(tmp_path / "small") == Result.of(undisturbed)
    assert ledger_rows(tmp_path / "small") == ledger_rows(undisturbed)


@pytest.mark.parametrize(
    "overrides",
    [
        ("sources.web.paths=[crawl-2.warc.gz, crawl-0.warc.gz, crawl-1.warc.gz]",
         "sources.posts.paths=[posts-1.jsonl, posts-0.jsonl]"),
        ("split_bytes=9000",),
        ("split_bytes=64000000",),
    ],
    ids=["order of paths", "small splits", "large splits"],
)  # fmt: skip
def test_neither_the_order_of_the_inputs_nor_their_cut_matters(corpus, undisturbed, executor, tmp_path, overrides):
    run_here(corpus / "recipe.yaml", tmp_path, executor, *overrides)
    assert Result.of(tmp_path / "small") == Result.of(undisturbed)
    assert ledger_rows(tmp_path / "small") == ledger_rows(undisturbed)


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of the finished run, with the times of its files."""
    shutil.copytree(undisturbed, tmp_path / "small")
    return tmp_path / "small"


def changed_files(run, before):
    """Which files of a run are new or were written again, and which are gone."""
    after = times_of(run)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def phases_of(fresh):
    return {"/".join(key.split("/")[:2]) for key in fresh}


MIXING = {f"mix/{kind}" for kind in ("measure", "sketch", "groups", "place", "scatter", "gather", "note", "score")}


def test_the_same_recipe_again_does_nothing(corpus, executor, finished):
    before = times_of(finished)
    _, fresh = run_here(corpus / "recipe.yaml", finished.parent, executor)
    assert fresh == set()
    assert changed_files(finished, before) == set()


def test_a_changed_threshold_of_a_late_stage_leaves_earlier_phases_alone(corpus, executor, finished):
    before = times_of(finished)
    _, fresh = run_here(
        corpus / "recipe.yaml", finished.parent, executor, "sources.posts.stages.gopher_quality.min_words=110"
    )
    assert {phase for phase in phases_of(fresh) if not phase.startswith("mix/")} == {"posts/phase-2", "posts/ledger"}
    touched = changed_files(finished, before)
    assert not [name for name in touched if "phase-1" in name or name.startswith(("web", "books", "notes"))]
    assert {key for key in fresh if key.startswith("mix/measure/")} == {
        key for key in fresh if key.startswith("mix/measure/posts/")
    }


def test_a_changed_similarity_leaves_the_signatures_alone(corpus, undisturbed, executor, finished):
    before = times_of(finished)
    _, fresh = run_here(
        corpus / "recipe.yaml", finished.parent, executor, "sources.web.stages.minhash_dedup.min_similarity=0.95"
    )
    assert "web/phase-2/minhash_dedup" in fresh
    assert phases_of(fresh) <= {"web/phase-2", "web/phase-3", "web/ledger"} | MIXING
    touched = changed_files(finished, before)
    assert not [name for name in touched if "/sidecars/" in name or "/phase-2/documents/" in name]
    assert Result.of(finished).curated != Result.of(undisturbed).curated


def test_a_changed_budget_leaves_everything_before_the_mix_alone(corpus, undisturbed, executor, finished):
    before = times_of(finished)
    _, fresh = run_here(corpus / "recipe.yaml", finished.parent, executor, "mix.budget=30000")
    assert phases_of(fresh) == {"mix/scatter", "mix/gather", "mix/note", "mix/score"}
    assert {name.split("/")[0] for name in changed_files(finished, before)} == {"dataset"}
    check_whole(finished)
    assert Result.of(finished).curated == Result.of(undisturbed).curated
    _, back = run_here(corpus / "recipe.yaml", finished.parent, executor)
    assert phases_of(back) == {"mix/scatter", "mix/gather", "mix/note", "mix/score"}
    assert Result.of(finished) == Result.of(undisturbed)
    assert files_of(finished) == files_of(undisturbed)


def test_an_added_file_costs_its_own_parts_the_barriers_and_what_they_decide_otherwise(executor, tmp_path):
    write_corpus(tmp_path)
    path = write_recipe(tmp_path, small_recipe(mix=None))
    run_here(path, tmp_path, executor)
    before = times_of(tmp_path / "small")
    write_jsonl(tmp_path / "posts-00.jsonl", ["A text like no other, of a new file. " * 9])
    _, fresh = run_here(path, tmp_path, executor, "sources.posts.paths=[posts-0.jsonl, posts-1.jsonl, posts-00.jsonl]")
    [part] = {key.split("/")[-1] for key in fresh} - {"exact_dedup+minhash_dedup"}
    assert part.startswith("part-posts-00-")
    assert fresh == {
        f"posts/phase-1/{part}", "posts/phase-1/exact_dedup+minhash_dedup", f"posts/phase-2/{part}",
        f"posts/ledger/{part}",
    }  # fmt: skip
    touched = changed_files(tmp_path / "small", before)
    assert {name for name in touched if "/verdicts/" not in name} == {
        name for name in times_of(tmp_path / "small") if part in name and "/verdicts/" not in name
    }


def test_a_source_taken_out_of_the_recipe_leaves_no_ledger(corpus, executor, finished):
    recipe = small_recipe(mix=None)
    del recipe["sources"]["books"]
    run_here(write_recipe(corpus, recipe, "fewer.yaml"), finished.parent, executor)
    assert {path.parent.parent.name for path in finished.glob("*/ledger/*.parquet")} == {"web", "posts", "notes"}


def test_a_changed_run_that_is_given_up_leaves_no_manifest_of_what_stood_before(corpus, executor, finished):
    def give_up():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(corpus / "recipe.yaml", finished.parent, Meddling(executor, give_up), "mix.budget=30000")
    assert not (finished / "manifest.json").exists()
    check_whole(finished)


class Meddling(Executor):
    """Another executor, before whose first task `meddle` is called: behind the plan's back."""

    def __init__(self, executor, meddle):
        self._executor = executor
        self._meddle = meddle

    def run(self, tasks, watch):
        meddle, self._meddle = self._meddle, lambda: None
        meddle()
        return self._executor.run(tasks, watch)


def test_a_file_that_goes_during_the_run_costs_its_own_parts_until_it_is_back(undisturbed, executor, tmp_path):
    write_corpus(tmp_path)
    path = write_recipe(tmp_path, small_recipe())
    file, aside = tmp_path / "crawl-1.warc.gz", tmp_path / "aside"
    result, fresh = run_here(path, tmp_path, Meddling(executor, lambda: file.rename(aside)))
    assert result.exit_code == 3
    failed = {outcome.task.key for outcome in result.failed}
    assert failed
    assert all(key.startswith("web/phase-1/part-crawl-1-") for key in failed)
    for outcome in result.failed:
        assert outcome.error == f"{file}: cannot be opened any more: No such file or directory"
    assert "content_hash" not in result.manifest
    assert "web/phase-3" in phases_of(fresh)
    assert {item["task"] for item in result.manifest["failed"]} == failed
    check_whole(tmp_path / "small")
    aside.rename(file)
    result, fresh = run_here(path, tmp_path, executor)
    assert result.exit_code == 0
    assert {key for key in fresh if "/phase-1/part-" in key} == failed
    assert Result.of(tmp_path / "small") == Result.of(undisturbed)


def test_a_document_that_kills_every_worker_is_reported_and_the_others_are_done(executor, tmp_path, monkeypatch):
    write_corpus(tmp_path)
    (tmp_path / "notes" / "poison.txt").write_text("deadly")
    (tmp_path / "notes" / "armed").touch()
    monkeypatch.setitem(registry.READERS, "text", PoisonedText)
    path = write_recipe(tmp_path, small_recipe(mix=None, split_bytes=6000))
    result, fresh = run_here(path, tmp_path, executor)
    assert result.exit_code == 3
    [failed] = result.failed
    assert failed.error == "its worker was killed by SIGKILL; if memory ran out, lower split_bytes or --workers"
    notes = {key for key in fresh if key.startswith("notes/phase-1/")}
    assert len(notes) >= 3
    assert {key.replace("phase-1", "ledger") for key in notes - {failed.task.key}} <= fresh
    (tmp_path / "notes" / "armed").unlink()
    result, fresh = run_here(path, tmp_path, executor)
    assert result.exit_code == 0
    assert fresh == {failed.task.key, failed.task.key.replace("phase-1", "ledger")}


def test_an_input_that_cannot_be_opened_ends_the_command_with_3_and_its_name(tmp_path):
    write_jsonl(tmp_path / "good.jsonl", ["A text of a good file."])
    with socket.socket(socket.AF_UNIX) as unreadable:  # it is there, and nobody can open it, root neither
        unreadable.bind(str(tmp_path / "bad.jsonl"))
        write_recipe(tmp_path, {"name": "r", "split_bytes": 10, "sources": {"s": {"paths": ["*.jsonl", "bad.jsonl"]}}})
        ended = corpusmill("run", "recipe.yaml", cwd=tmp_path)
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr + ended.stdout
    message = f"{tmp_path}/bad.jsonl: cannot be opened any more: No such device or address"
    assert message in ended.stderr
    assert message in ended.stdout
    assert "run the same command again" in ended.stdout
    assert [row[1] for row in ledger_rows(tmp_path / "runs" / "r")] == ["kept"]
