"""From sidecars of `minhash_dedup` to clusters, in a process of its own; started by topics/dedup_clusters.py.

Makes everything ready on a few documents and prints `ready`. For each line `FOLDER inline|tasks` on standard input it
clusters FOLDER/*.parquet, by `decide` alone or by the stage's steps and `decide`, and prints one JSON object:

    seconds     CPU seconds in all
    steps       of each step: its name, tasks, CPU seconds of all tasks and of the longest, MB of its files
    alone       CPU seconds of `decide`
    dropped     how many documents go
    verdicts    a hash of the verdicts
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from planted_signatures import write_sidecars

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.barrier import Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.sidecars import sidecar_rows

_STAGE = MinHashDedup()


def clustered(sidecars: Sequence[Path], workspace: Path, *, tasks: bool) -> dict[str, Any]:
    """Runs the steps, where asked for and where the stage has any, and decides."""
    steps: list[dict[str, Any]] = []
    files: dict[str, list[Path]] = {}
    begun = time.process_time()
    rows = [sidecar_rows([path], _STAGE.sidecar) for path in sidecars]
    for step in _STAGE.steps(rows) if tasks else ():
        targets = [workspace / f"{step.name}-{task}" for task in range(step.tasks)]
        seconds = []
        for task, target in enumerate(targets):
            before = time.process_time()
            _STAGE.run_step(step.name, task, sidecars=sidecars, seen=(), done=files, target=target)
            seconds.append(time.process_time() - before)
        files[step.name] = targets
        mb = sum(target.stat().st_size for target in targets) / 1e6
        told = {"name": step.name, "tasks": step.tasks, "longest": max(seconds), "seconds": sum(seconds), "mb": mb}
        steps.append(told)
    before = time.process_time()
    folder = workspace / "decide"
    folder.mkdir()
    decision = _STAGE.decide(
        sidecars, excluded=pa.array([], pa.string()), read_texts=_no_text, workspace=folder, done=files or None
    )
    ended = time.process_time()
    return {
        "seconds": ended - begun,
        "steps": steps,
        "alone": ended - before,
        "dropped": decision.verdicts.num_rows,
        "verdicts": _digest(decision),
    }


def _no_text(ids: Sequence[str]) -> Iterator[TextBatch]:
    raise SystemExit(
        f"{len(ids)} texts were asked for, and there are none: the planted signatures are not clear enough"
    )


def _digest(decision: Decision) -> str:
    hashed = hashlib.sha256()
    for column in decision.verdicts.combine_chunks().columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                hashed.update(buffer or b"")
    return hashed.hexdigest()[:16]


def main() -> None:
    """Gets ready, and answers each line with a run."""
    with tempfile.TemporaryDirectory() as folder:
        few = write_sidecars(Path(folder) / "few", 1000, "crawl")
        clustered(few, Path(folder), tasks=False)
    print("ready", flush=True)
    for line in sys.stdin:
        place, mode = line.split()
        with tempfile.TemporaryDirectory(dir=place) as folder:
            sidecars = sorted(Path(place).glob("*.parquet"))
            print(json.dumps(clustered(sidecars, Path(folder), tasks=mode == "tasks")), flush=True)


if __name__ == "__main__":
    main()
