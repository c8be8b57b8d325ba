"""Runs the small corpus on a disk that is full, and that gets a little more room again and again.

    full_disk.py DISK CORPUS

DISK is the mount point of a small disk of our own. Prints a JSON list with an object for each attempt: the room that
there was in bytes, the exit code, the message, and the names of partial files that were left. In the end the
dataset must be that of a run on a large disk.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from small_corpus import Result, check_whole, corpusmill

from corpusmill.documents.errors import StorageError
from corpusmill.pipeline.executors import LocalExecutor
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe

STEP = 1_200_000


def leave(room: int, disk: Path) -> None:
    """Fills the disk until so many bytes are left."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    space = os.statvfs(disk)
    with open(ballast, "wb") as stream:
        stream.write(bytes(space.f_bavail * space.f_frsize - room))


def attempts(disk: Path, corpus: Path) -> list[dict[str, Any]]:
    """The command on the full disk; then runs in this process, each with more room."""
    runs = disk / "runs"
    found: list[dict[str, Any]] = []

    def note(room: int, code: int, message: str) -> None:
        if (runs / "small").is_dir():
            check_whole(runs / "small")
        partial = [str(path) for path in disk.rglob("*") if ".partial-" in path.name or "workspace" in path.name]
        found.append({"room": room, "code": code, "message": message, "partial": partial})

    leave(0, disk)
    ended = corpusmill("run", "recipe.yaml", "--runs", runs, cwd=corpus)
    note(0, ended.returncode, ended.stderr)
    executor = LocalExecutor(2)
    recipe = replace(load_recipe(corpus / "recipe.yaml"), runs=runs)
    while found[-1]["code"] != 0:
        leave(STEP, disk)
        try:
            note(STEP, run_recipe(recipe, executor, PlainProgress()).exit_code, "")
        except StorageError as error:
            note(STEP, error.exit_code, str(error))
    elsewhere = run_recipe(replace(recipe, runs=corpus / "runs"), executor, PlainProgress())
    assert Result.of(runs / "small") == Result.of(elsewhere.folder)
    executor.close()
    return found


if __name__ == "__main__":
    print(json.dumps(attempts(Path(sys.argv[1]), Path(sys.argv[2]))))
