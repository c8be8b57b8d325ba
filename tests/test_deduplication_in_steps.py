"""Near-duplicate search in many tasks, between sources and with an index: whoever does it, in whatever order, and
wherever it was killed, it comes to the same."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from corpusmill.pipeline.executors import LocalExecutor
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe

sys.path.insert(0, str(Path(__file__).parent))
from small_corpus import COMMAND, check_whole, ledger_rows, quick_folder, texts, write_jsonl, write_recipe

COLUMNS = ("id", "verdict", "stage", "reason", "kept_id", "similarity", "cluster_size")
REASONS = {"near_duplicate", "seen_before"}


class Silent:
    def level(self, title, tasks, size): ...

    def outcome(self, outcome): ...

    def say(self, line): ...


def recipe(index: Path, **options):
    shared = {"precedence": ["posts", "web"], "task_documents": 40, "max_dropped_share": None, **options}
    return {
        "name": "deduplicated",
        "split_bytes": 50_000,
        "sources": {
            "web": {
                "paths": ["web-*.jsonl"],
                "stages": [{"minhash_dedup": {**shared, "update": str(index), "update_as": "web"}}],
            },
            "posts": {"paths": ["posts-*.jsonl"], "stages": [{"minhash_dedup": shared}]},
        },
    }


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def corpus():
    with quick_folder() as folder:
        web, posts = texts(11, 240), texts(12, 200)
        for number in range(3):
            write_jsonl(folder / f"web-{number}.jsonl", [*web[number::3], *posts[number::7]])
            write_jsonl(folder / f"posts-{number}.jsonl", posts[number::3])
        yield folder


@pytest.fixture(scope="module")
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def run_here(corpus, folder, executor, **options):
    path = write_recipe(corpus, recipe(folder / "index", **options), f"{folder.name}.yaml")
    result = run_recipe(replace(load_recipe(path), runs=folder), executor, Silent())
    assert result.exit_code == 0
    return result.folder


def outcome_of(folder):
    """All that a run left which must not depend on how it went."""
    run = folder / "deduplicated"
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("index/**/*"))
        if path.is_file()
    }
    return ledger_rows(run, COLUMNS), files


@pytest.fixture(scope="module")
def undisturbed(corpus, executor):
    folder = corpus / "undisturbed"
    run = run_here(corpus, folder, executor)
    assert not list(run.glob("*/*/steps"))
    rows, files = outcome_of(folder)
    found = {row[3] for row in rows}
    assert found >= REASONS
    assert len([name for name in files if name.endswith("part.json")]) == 1
    return rows, files


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_does_not_matter(corpus, undisturbed, tmp_path, workers):
    executor = LocalExecutor(workers)
    try:
        run_here(corpus, tmp_path / f"workers{workers}", executor)
    finally:
        executor.close()
    assert outcome_of(tmp_path / f"workers{workers}") == undisturbed


@pytest.mark.parametrize("documents", [15, 1_000_000])
def test_neither_does_the_number_of_tasks(corpus, undisturbed, executor, tmp_path, documents):
    run_here(corpus, tmp_path / f"tasks{documents}", executor, task_documents=documents)
    assert outcome_of(tmp_path / f"tasks{documents}")[0] == undisturbed[0]


STEPS = "deduplicated/posts/phase-1/steps/minhash_dedup"
MOMENTS = {
    "band keys are spread": f"{STEPS}/spread-*.bin",
    "band keys are joined": f"{STEPS}/join-*.bin",
    "a source is decided": "deduplicated/posts/phase-1/workspace/*",
    "what stays is written down": "deduplicated/posts/phase-1/index_parts/*/*",
    "the next source looks it up": "deduplicated/web/phase-1/steps/minhash_dedup/seek-*.bin",
    "the index is updated": "index/parts/*",
    "verdicts are applied": "deduplicated/web/curated/*",
}


@pytest.fixture(scope="module")
def cut_short(corpus):
    """A folder for a run that is cut short, and for each moment a copy of what the disk held then.

    One command is held at each moment while its files are copied, and killed at the last: what is on the disk is what
    `kill -9` would have left at the same moment, and only one command has to start.
    """
    place = corpus / "killed"
    path = write_recipe(corpus, recipe(place / "index"), "killed.yaml")
    copies = {}
    for _ in range(5):  # some moments last milliseconds, and on a busy machine one may pass unseen
        shutil.rmtree(place, ignore_errors=True)
        watch_until_killed(path, place, copies)
        if len(copies) == len(MOMENTS):
            break
    return place, path, copies


def watch_until_killed(path, place, copies):
    """Adds a copy of `place` for each moment that is not among `copies` yet; then kills the command."""
    with subprocess.Popen(
        [*COMMAND, "run", str(path), "--runs", str(place), "--workers", "2"],
        cwd=path.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        workers = []
        deadline = time.monotonic() + 120
        try:
            while len(copies) < len(MOMENTS) and process.poll() is None:
                assert time.monotonic() < deadline, f"never seen: {MOMENTS.keys() - copies.keys()}"
                here = [one for one in MOMENTS if one not in copies and next(place.glob(MOMENTS[one]), None)]
                if here:
                    workers = hold(process)
                    for moment in here:
                        copies[moment] = shutil.copytree(place, path.parent / "copies" / str(len(copies)))
                    if len(copies) < len(MOMENTS):
                        os.killpg(process.pid, signal.SIGCONT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            psutil.wait_procs(workers, timeout=20)


def hold(process):
    """Stops a command and its workers, and returns these when nothing of them runs any more."""
    os.killpg(process.pid, signal.SIGSTOP)
    command = psutil.Process(process.pid)
    workers = command.children(recursive=True)
    still = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    while any(member.status() not in still for member in (command, *workers)):
        time.sleep(0.001)
    return workers


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_while(undisturbed, cut_short, executor, moment):
    place, path, copies = cut_short
    shutil.rmtree(place, ignore_errors=True)
    copies[moment].rename(place)
    assert next(place.glob(MOMENTS[moment]))
    check_whole(place / "deduplicated")
    assert run_recipe(replace(load_recipe(path), runs=place), executor, Silent()).exit_code == 0
    assert outcome_of(place) == undisturbed
    assert not list(place.rglob("*.partial-*"))
    assert not list(place.glob("deduplicated/*/*/steps"))
