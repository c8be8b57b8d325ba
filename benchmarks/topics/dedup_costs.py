"""What each stage of deduplication costs: observing, CPU milliseconds for a megabyte of English prose on one core, and
deciding, for a thousand documents.

Observing is measured on a fresh batch, where the stage finds words and lines itself, and on one where an earlier stage
has found them. Deciding reads the sidecars of all these texts from disk, and texts again where the stage asks for any;
documents of other sources and earlier runs, which some stages can compare with, are left out. A quick run leaves out
`semantic_dedup`, for which a model must be made. Writes the section "Cost" of the pages in docs/dedup/, too.

    figure dedup_observe_ms_per_mb    exact_dedup and minhash_dedup together, words found before
    figure dedup_decide_ms_per_1000   the same two, deciding, for a thousand documents
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
from harness import DOCUMENT, Benchmark, table
from prose import prose
from static_model import train
from topics.costs import batch_of, running, seconds_of, write_cost

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.shards import write_table
from corpusmill.pipeline import registry
from corpusmill.pipeline.recipe import StageSpec

_ROWS = 1000
_PAGES = DOCUMENT.parent / "dedup"
_USUAL = ("exact_dedup", "minhash_dedup")


def speed(benchmark: Benchmark) -> list[str]:
    """Measures every stage below dedup/."""
    quick = benchmark.quick
    texts = [text for _, text in prose(benchmark.real_data(), 1_000_000 if quick else 16_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    batches = _batches(texts)
    rounds = 2 if quick else 5
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage in _stages(folder, texts, quick=quick):
            run = running(stage)
            run(batch_of(texts[:50], 0))
            fresh, found = (
                1000 / mb * median(seconds_of(batches, run, segmented=segmented) for _ in range(rounds))
                for segmented in (False, True)
            )
            sidecar = folder / f"{stage.name}.parquet"
            write_table(sidecar, [stage.observe(TextBatch(batch.documents)) for batch in batches], stage.sidecar)
            _decide(stage, sidecar, batches, folder)
            deciding = 1e6 / len(texts) * median(_decide(stage, sidecar, batches, folder) for _ in range(rounds))
            rows[stage.name] = [fresh, found, deciding, sidecar.stat().st_size / len(texts)]
    benchmark.figure("dedup_observe_ms_per_mb", sum(rows[name][1] for name in _USUAL))
    benchmark.figure("dedup_decide_ms_per_1000", sum(rows[name][2] for name in _USUAL))
    if not quick:
        for name, (fresh, found, deciding, size) in rows.items():
            costs = [
                ["observing, ms a MB, on its own", fresh],
                ["the same with words and lines found before", found],
                ["deciding, ms a thousand documents", deciding],
                ["sidecar, bytes a document", size],
            ]
            write_cost(_PAGES / f"{name}.md", table(["", "CPU time"], costs), "benchmarks/dedup.py --only dedup_costs")
    header = ["stage", "ms a MB, on its own", "words and lines found", "deciding, ms a thousand documents"]
    return [
        "### What stages of deduplication cost",
        table([*header, "sidecar, bytes a document"], [[f"`{name}`", *costs] for name, costs in rows.items()]),
        f"{mb:.0f} MB of English prose in {len(texts):,} documents (benchmarks/prose.py), real near-duplicates among "
        "them, one core, CPU time, medians. Deciding reads the sidecars from disk, and texts again where it asks for "
        "any. `semantic_dedup` has a small model of word vectors here (benchmarks/static_model.py).",
    ]


def _batches(texts: Sequence[str]) -> list[TextBatch]:
    """Batches whose ids are different everywhere."""
    return [
        batch_of(list(texts[start : start + _ROWS]), start).with_column(
            "id", pa.array([f"{row:024x}" for row in range(start, min(start + _ROWS, len(texts)))])
        )
        for start in range(0, len(texts), _ROWS)
    ]


def _stages(folder: Path, texts: Sequence[str], *, quick: bool) -> Iterator[Any]:
    """The stages, ready. `semantic_dedup` gets a small model made of the texts; what it costs depends on the model."""
    for name, path in registry.STAGES.items():
        if path.startswith("corpusmill.dedup.") and not (quick and name == "semantic_dedup"):
            options: dict[str, Any] = {}
            if name == "semantic_dedup":
                options = {"model": str(train(texts[:500], folder / "model", vocabulary=2000, dimensions=64))}
            stage: Any = StageSpec(name, name, options, name).build()
            stage.prepare()
            yield stage


def _decide(stage: Any, sidecar: Path, batches: Sequence[TextBatch], folder: Path) -> float:
    """CPU seconds of `decide`, with its steps done in it."""

    def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
        wanted = IdIndex(pa.array(ids, pa.string()))
        for batch in batches:
            here = wanted.find(batch.documents.column("id")) >= 0
            if here.any():
                yield TextBatch(batch.documents).kept(here)

    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        begun = time.process_time()
        stage.decide([sidecar], excluded=pa.array([], pa.string()), read_texts=read_texts, workspace=Path(workspace))
        return time.process_time() - begun
