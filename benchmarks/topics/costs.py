"""What each stage costs: CPU milliseconds for a megabyte of English prose on one core.

Twice: on a fresh batch, where the stage finds words and lines itself, and on one where an earlier stage has found them,
as in a chain. Of barriers it is the observing, which sees every text; what they decide costs little and is measured in
other topics. Models, lists and benchmarks are made of the real data where a stage needs one. Writes the section "Cost"
of the pages in docs/filters/, too.

    figure cost_of_all_filters    the sum over all stages, ms a MB, with words and lines found before
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
from harness import DOCUMENT, Benchmark, machine, table, with_section
from prose import prose

from corpusmill.documents.barrier import Barrier
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import atomic_text
from corpusmill.filters.contract import Filter
from corpusmill.pipeline import registry
from corpusmill.pipeline.recipe import StageSpec

_ROWS = 1000
_PAGES = DOCUMENT.parent / "filters"
_BORROWED = ("datatrove_filter", "datatrove_formatter")  # they cost what datatrove's blocks cost


def speed(benchmark: Benchmark) -> list[str]:
    """Measures every stage below filters/."""
    data = benchmark.real_data()
    texts = [text for _, text in prose(data, 1_000_000 if benchmark.quick else 8_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    batches = [batch_of(texts[start : start + _ROWS], start) for start in range(0, len(texts), _ROWS)]
    rounds = 2 if benchmark.quick else 5
    rows: list[tuple[str, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        given = _options(data, Path(folder), texts)
        for name, path in registry.STAGES.items():
            if path.startswith("corpusmill.filters.") and name not in _BORROWED:
                stage = StageSpec(name, name, given.get(name, {}), name).build()
                stage.prepare()
                run = running(stage)
                run(batch_of(texts[:50], 0))
                fresh, found = (
                    1000 / mb * median(seconds_of(batches, run, segmented=segmented) for _ in range(rounds))
                    for segmented in (False, True)
                )
                rows.append((name, fresh, found))
    benchmark.figure("cost_of_all_filters", sum(found for _, _, found in rows))
    if not benchmark.quick:
        for name, fresh, found in rows:
            costs = [["on its own", fresh], ["with words and lines found before", found]]
            write_cost(_PAGES / f"{name}.md", table(["", "ms a MB"], costs), "benchmarks/filters.py --only costs")
    cells = [[f"`{name}`", fresh, found, 1000 / found if found >= 0.01 else "> 100,000"] for name, fresh, found in rows]
    return [
        "### What each stage costs",
        table(["stage", "ms a MB, on its own", "ms a MB, words and lines found", "that in MB/s"], cells),
        f"{mb:.0f} MB of English prose in {len(texts):,} documents (benchmarks/prose.py), one core, CPU time, medians. "
        "Barriers: observing alone.",
    ]


def batch_of(texts: list[str], first: int) -> TextBatch:
    """Documents with URLs and scores, as a chain would have filled them."""
    batch = TextBatch.of_texts(texts)
    urls = [f"https://www.site-{(first + row) % 97}.example.org/path/{first + row}.html" for row in range(len(texts))]
    scores = pa.array([0.5] * len(texts))
    return batch.with_column("url", pa.array(urls)).with_column("quality", scores).with_column("language_score", scores)


def seconds_of(batches: list[TextBatch], run: Callable[[TextBatch], object], *, segmented: bool) -> float:
    """CPU seconds over fresh batches, in which words and lines are found before where `segmented`."""
    fresh = [TextBatch(batch.documents) for batch in batches]
    if segmented:
        for batch in fresh:
            _ = batch.words, batch.lines, batch.paragraphs, batch.folded_hashes
    begun = time.process_time()
    for batch in fresh:
        run(batch)
    return time.process_time() - begun


def running(stage: Any) -> Callable[[TextBatch], object]:
    """What of a stage sees every text."""
    if isinstance(stage, Filter):
        return lambda batch: stage.judge(stage.measure(batch))
    if isinstance(stage, Barrier):

        def observe(batch: TextBatch) -> object:
            batch.measured = {name: pa.array([0.5] * len(batch)) for name in stage.needs()}
            return stage.observe(batch)

        return observe
    return stage.rewrite  # type: ignore[no-any-return]


def _options(data: Path, folder: Path, texts: list[str]) -> dict[str, dict[str, Any]]:
    """What stages need that have no default, made by the commands that users make it by."""
    reference = folder / "reference.jsonl"
    reference.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:500]))
    made = {name: str(folder / name) for name in ("blocked.index", "language.model", "toxicity.npz")}
    comments = ["--csv", data / "quality" / "surge_toxicity_en.csv", "--text-column", "text"]
    labels = ["--label-column", "is_toxic", "--positive-value", "Toxic"]
    for command in (
        ["urls", "build", data / "urls" / "ut1_blacklists" / "blacklists", "--out", made["blocked.index"]],
        ["train", "perplexity", "--texts", reference, "--out", made["language.model"]],
        ["train", "toxicity", *comments, *labels, "--out", made["toxicity.npz"]],
    ):
        whole = [sys.executable, "-m", "corpusmill.pipeline.command", *map(str, command)]
        subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    [words] = (data / "urls").rglob("ldnoobw/en")
    [items] = (data / "decontam").rglob("gsm8k/**/test.jsonl")
    return {
        "c4_bad_words": {"list": str(words)},
        "combined_quality": {"scores": ["quality", "language_score"]},
        "decontamination": {"benchmarks": {"gsm8k": {"paths": [str(items)], "fields": ["question", "answer"]}}},
        "perplexity": {"model": made["language.model"]},
        "score_cut": {"keep_share": 0.5},
        "toxicity": {"model": made["toxicity.npz"], "words": str(words)},
        "url": {"index": made["blocked.index"]},
    }


def write_cost(page: Path, costs: str, script: str) -> None:
    """Replaces the section on cost of a stage's page."""
    body = f"{costs}\n\nEnglish prose, one core, CPU time ({script}): {machine()}."
    changed = with_section(page.read_text(), "cost", body, keep_full=False)
    if changed is not None:
        atomic_text(page, changed)
