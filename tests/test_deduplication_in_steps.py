"""Near-duplicate search in many tasks, between sources and with an index: whoever does it, in whatever order, and
wherever it was killed, it comes to the same."""

import contextlib
import hashlib
import os
import random
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
        "split_bytes": 25_000,
        "sources": {
            "web": {
                "paths": ["web-*.jsonl"],
                "stages": [{"minhash_dedup": {**shared, "update": str(index), "update_as": "web"}}],
            },
            "posts": {"paths": ["posts-*.jsonl"], "stages": [{"minhash_dedup": shared}]},
        },
    }


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


@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_workers_does_not_matter(corpus, undisturbed, tmp_path, workers):
    executor = LocalExecutor(workers)
    try:
        run_here(corpus, tmp_path / f"workers{workers}", executor)
    finally:
        executor.close()
    assert outcome_of(tmp_path / f"workers{workers}") == undisturbed


@pytest.mark.parametrize("documents", [7, 1_000_000])
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
    "verdicts are applied": "deduplicated/web/phase-2/documents/*",
}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", MOMENTS.values(), ids=MOMENTS)
def test_a_run_killed_while(corpus, undisturbed, executor, tmp_path, pattern):
    folder = tmp_path / "killed"
    path = write_recipe(corpus, recipe(folder / "index"), f"killed-{os.getpid()}.yaml")
    command = [*COMMAND, "run", str(path), "--runs", str(folder), "--workers", "2"]
    with subprocess.Popen(
        command, cwd=corpus, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and not next(folder.glob(pattern), None):
            assert time.monotonic() < deadline, f"{pattern}: was never there"
        time.sleep(random.Random(pattern).uniform(0, 0.02))
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        psutil.wait_procs(workers, timeout=20)
    check_whole(folder / "deduplicated")
    assert run_recipe(replace(load_recipe(path), runs=folder), executor, Silent()).exit_code == 0
    assert outcome_of(folder) == undisturbed
    assert not list(folder.rglob("*.partial-*"))
    assert not list(folder.glob("deduplicated/*/*/steps"))
