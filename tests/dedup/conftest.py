from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Barrier, Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table


@dataclass
class Outcome:
    """A decision with documents named by their numbers instead of their ids."""

    decision: Decision
    gone: dict[int, int]  # document -> the one that stays in its place
    similarities: dict[int, float]
    cluster_sizes: dict[int, int]
    reads: list[list[int]] = field(default_factory=list)  # documents whose texts were read again, call by call
    seen: dict[int, str] = field(default_factory=dict)  # document -> the one of an index that it is like


def numbered(texts: Sequence[str], qualities: Sequence[float | None] | None = None) -> pa.RecordBatch:
    """Documents whose ids sort as their numbers do."""
    columns: dict[str, Any] = {column.name: pa.nulls(len(texts), column.type) for column in DOCUMENT}
    columns["id"] = pa.array([f"{number:08}" for number in range(len(texts))])
    columns["text"] = pa.array(texts, pa.string())
    columns["source"] = pa.array(["test"] * len(texts))
    if qualities is not None:
        columns["quality"] = pa.array(qualities, pa.float32())
    return pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENT.names], schema=DOCUMENT)


def steps_done(
    barrier: Any, sidecars: Sequence[Path], seen: Sequence[Path], folder: Path
) -> dict[str, tuple[Path, ...]]:
    """Runs a barrier's steps, each task by itself and the last one first."""
    done: dict[str, tuple[Path, ...]] = {}
    for step in barrier.steps([pq.read_metadata(path).num_rows for path in sidecars]):
        targets = tuple(folder / f"{step.name}-{task}.bin" for task in range(step.tasks))
        for task in reversed(range(step.tasks)):
            barrier.run_step(step.name, task, sidecars=sidecars, seen=seen, done=done, target=targets[task])
        done[step.name] = targets
    return done


@pytest.fixture
def remembered(tmp_path: Path) -> Callable[..., Path]:
    """Writes an index part of texts, with ids a0, a1 … or others, by a barrier that updates one; returns its folder."""

    def write(
        barrier: Any,
        texts: Sequence[str],
        *,
        gone: Sequence[int] = (),
        folder: Path | None = None,
        ids: Sequence[str] | None = None,
    ) -> Path:
        documents = numbered(texts)
        own = pa.array(ids or [f"a{number}" for number in range(len(texts))], pa.string())
        urls = pa.array([f"https://a.example/{number}" for number in range(len(texts))], pa.string())
        batch = TextBatch(documents).with_column("id", own).with_column("url", urls)
        sidecar = tmp_path / "remembered.parquet"
        write_table(sidecar, [barrier.observe(batch)], barrier.sidecar)
        place = folder or barrier.update_folder
        barrier.remember([sidecar], pa.array([f"a{number}" for number in gone], pa.string()), place)
        return place

    return write


@pytest.fixture
def decided(tmp_path: Path) -> Callable[..., Outcome]:
    """Runs a barrier over texts as a run would: sidecar files in `parts` of `order`, then the decision."""
    runs = 0

    def run(
        barrier: Barrier,
        texts: Sequence[str],
        *,
        qualities: Sequence[float | None] | None = None,
        order: Sequence[int] | None = None,
        parts: int = 1,
        excluded: Sequence[int] = (),
        unreadable: Sequence[int] = (),
        seen: Sequence[Path] = (),
        in_steps: bool = False,
    ) -> Outcome:
        nonlocal runs
        runs += 1
        folder = tmp_path / str(runs)
        workspace = folder / "workspace"
        workspace.mkdir(parents=True)
        documents = numbered(texts, qualities)
        shuffled = documents.take(pa.array(np.arange(len(texts)) if order is None else np.array(order), pa.int64()))
        bounds = np.linspace(0, len(texts), parts + 1).astype(int).tolist()
        sidecars = []
        for part, (begin, end) in enumerate(pairwise(bounds)):
            sidecars.append(folder / f"{part}.parquet")
            # A slice, so that kernels meet batches whose buffers begin before they do.
            observed = barrier.observe(TextBatch(shuffled.slice(begin, end - begin)))
            write_table(sidecars[-1], [observed], barrier.sidecar)
        reads: list[list[int]] = []

        def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
            wanted = sorted(map(int, ids), reverse=True)
            reads.append(wanted)
            readable = [number for number in wanted if number not in unreadable]
            for begin in range(0, len(readable), 100):
                yield TextBatch(documents.take(pa.array(readable[begin : begin + 100], pa.int64())))

        more: dict[str, Any] = {}
        if seen or in_steps:
            done = steps_done(barrier, sidecars, seen, folder) if in_steps else None
            more = {"seen": seen, "done": done}
        decision = barrier.decide(
            sidecars,
            excluded=pa.array([f"{number:08}" for number in excluded], pa.string()),
            read_texts=read_texts,
            workspace=workspace,
            **more,
        )
        assert decision.verdicts.schema == VERDICTS
        assert decision.clusters.schema == CLUSTERS
        assert set(decision.verdicts["reason"].to_pylist()) <= set(barrier.reasons)
        rows = decision.verdicts.to_pylist()
        assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
        sizes = decision.clusters.to_pylist()
        assert [row["id"] for row in sizes] == sorted({row["id"] for row in sizes})
        return Outcome(
            decision,
            {int(row["id"]): int(row["kept_id"]) for row in rows if not row["kept_id"].startswith("a")},
            {int(row["id"]): row["similarity"] for row in rows},
            {int(row["id"]): row["cluster_size"] for row in sizes},
            reads,
            {int(row["id"]): row["kept_id"] for row in rows if row["kept_id"].startswith("a")},
        )

    return run


@pytest.fixture(scope="session")
def static_model_of_real_text(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A model2vec model, trained on news and encyclopedia articles; and those."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from static_model import train

    articles = (realdata / "text/wikitext2_valid_test/wikitext-2/valid.txt").read_text("utf-8").split("\n = ")
    reports = sorted((realdata / "text/reuters21578_webtext_speeches/reuters/training").iterdir())[:2500]
    texts = [path.read_text("latin-1") for path in reports] + articles
    return train(texts, tmp_path_factory.mktemp("static"), vocabulary=6000, dimensions=64), texts
