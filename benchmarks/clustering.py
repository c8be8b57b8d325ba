"""From sidecars of `minhash_dedup` to clusters, in a process of its own; started by topics/dedup_clusters.py.

Makes everything ready on a few documents and prints `ready`. For each line `FOLDER MODE` on standard input it clusters
FOLDER/*.parquet and prints one JSON object. Modes: `inline`, by `decide` alone; `tasks`, by the stage's steps and
`decide`; `barrier`, the same by the pipeline's barrier task, which deals the verdicts out by part, too.

    seconds     CPU seconds in all
    steps       of each step: its name, tasks, CPU seconds of all tasks and of the longest, MB of its files, memory
    alone       CPU seconds of `decide`, or of the barrier task
    own_mb      the most memory of its own (RssAnon) that the process held beyond what it held before it began
    all_mb      the same with pages of mapped files (VmRSS), which the system takes back when it needs them
    alone_mb    as own_mb, while `decide` or the barrier task ran
    dropped     how many documents go
    verdicts    a hash of the verdicts (not of a barrier task)
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from planted_signatures import write_sidecars

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.barrier import Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.sidecars import sidecar_rows
from corpusmill.pipeline.barriers import BarrierWork, run_barriers
from corpusmill.pipeline.recipe import StageSpec

_STAGE = MinHashDedup()
_POLL_SECONDS = 0.02


class Memory:
    """The most that this process holds while something runs, in MB beyond what it held at first. A context manager."""

    def __init__(self) -> None:
        self._before = self._most = _held()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self.own = self.all = 0.0

    def __enter__(self) -> Memory:
        self._watcher.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._watcher.join()

    def during(self, run: Callable[[], Any]) -> tuple[Any, float]:
        """What `run` returns, and the most memory of its own meanwhile."""
        self._most = _held()
        result = run()
        self._look()
        return result, self._most[0] - self._before[0]

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        now = _held()
        self._most = (max(self._most[0], now[0]), max(self._most[1], now[1]))
        self.own = max(self.own, now[0] - self._before[0])
        self.all = max(self.all, now[1] - self._before[1])


def _held() -> tuple[float, float]:
    lines = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
    held = {name: float(value.split()[0]) * 1024 / 1e6 for name, _, value in lines if name in ("RssAnon", "VmRSS")}
    return held["RssAnon"], held["VmRSS"]


def clustered(sidecars: Sequence[Path], workspace: Path, mode: str) -> dict[str, Any]:
    """Runs the steps, where asked for and where the stage has any, and decides."""
    with Memory() as memory:
        answer = _clustered(sidecars, workspace, mode, memory)
    return answer | {"own_mb": memory.own, "all_mb": memory.all}


def _clustered(sidecars: Sequence[Path], workspace: Path, mode: str, memory: Memory) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    files: dict[str, tuple[Path, ...]] = {}
    begun = time.process_time()
    rows = [sidecar_rows([path], _STAGE.sidecar) for path in sidecars]
    for step in _STAGE.steps(rows) if mode != "inline" else ():
        targets = tuple(workspace / f"{step.name}-{task}" for task in range(step.tasks))
        seconds, memories = [], []
        for task, target in enumerate(targets):
            before = time.process_time()

            def run(step: str = step.name, task: int = task, target: Path = target) -> None:
                _STAGE.run_step(step, task, sidecars=sidecars, seen=(), done=files, target=target)

            memories.append(memory.during(run)[1])
            seconds.append(time.process_time() - before)
        files[step.name] = targets
        steps.append(
            {
                "name": step.name,
                "tasks": step.tasks,
                "longest": max(seconds),
                "seconds": sum(seconds),
                "mb": sum(target.stat().st_size for target in targets) / 1e6,
                "memory": max(memories),
            }
        )
    before = time.process_time()
    told, alone = memory.during(lambda: (_barrier if mode == "barrier" else _decided)(sidecars, workspace, files))
    ended = time.process_time()
    return {"seconds": ended - begun, "steps": steps, "alone": ended - before, "alone_mb": alone} | told


def _decided(sidecars: Sequence[Path], workspace: Path, files: dict[str, tuple[Path, ...]]) -> dict[str, Any]:
    folder = workspace / "decide"
    folder.mkdir()
    excluded = pa.array([], pa.string())
    decision = _STAGE.decide(sidecars, excluded=excluded, read_texts=_no_text, workspace=folder, done=files or None)
    return {"dropped": decision.verdicts.num_rows, "verdicts": _digest(decision)}


def _barrier(sidecars: Sequence[Path], workspace: Path, files: dict[str, tuple[Path, ...]]) -> dict[str, Any]:
    (workspace / "verdicts").mkdir()
    counts = run_barriers(
        BarrierWork(
            source="web",
            barriers=(StageSpec(_STAGE.name, _STAGE.name, {}, _STAGE.name),),
            sidecars=(tuple(sidecars),),
            documents=(),
            verdicts=tuple(workspace / "verdicts" / path.name for path in sidecars),
            workspace=workspace / "work",
            done={_STAGE.name: files} if files else {},
            seen={},
            remembered={},
        )
    )
    return {"dropped": sum(counts["dropped"][_STAGE.name].values())}


def _no_text(ids: Sequence[str]) -> Iterator[TextBatch]:
    raise SystemExit(f"{len(ids)} texts were asked for: the planted signatures are not as clear as they should be")


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
        clustered(few, Path(folder), "inline")
        clustered(few, Path(folder), "barrier")
    print("ready", flush=True)
    for line in sys.stdin:
        place, mode = line.split()
        with tempfile.TemporaryDirectory(dir=place) as folder:
            answer = clustered(sorted(Path(place).glob("*.parquet")), Path(folder), mode)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
