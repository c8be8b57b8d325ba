"""Gopher's, C4's and FineWeb's rules against datatrove's filters of the same names, as they are shipped.

Both judge the same English prose, in one thread each, in turns, by CPU seconds; every filter sees every text. Ours find
words, lines and paragraphs once for all four; datatrove's each call spaCy's tokenizer, in a process of its own. C4 of
ours judges and edits (`c4`, `c4_lines`), as datatrove's one filter does. datatrove is given fewer texts of the same
mixture, since it takes a second for a quarter of a megabyte.

    figure filters_vs_datatrove    how many times as fast the four together are
    figure filters_mb_per_s        ours, all four, one core, segmentation included
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harness import Benchmark, race_timed, table
from peers_venv import peers_environment, peers_python
from prose import prose

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.c4 import C4, C4Lines
from corpusmill.filters.contract import Filter
from corpusmill.filters.fineweb_quality import FineWebQuality
from corpusmill.filters.gopher_quality import GopherQuality
from corpusmill.filters.gopher_repetition import GopherRepetition

_ROWS = 1000
_STAGES: dict[str, tuple[Filter | C4Lines, ...]] = {
    "gopher_repetition": (GopherRepetition(),),
    "gopher_quality": (GopherQuality(),),
    "c4": (C4(), C4Lines()),
    "fineweb_quality": (FineWebQuality(),),
}


def speed(benchmark: Benchmark) -> list[str]:
    """Races the four filters, and each of them."""
    quick = benchmark.quick
    ours = [text for _, text in prose(benchmark.real_data(), 2_000_000 if quick else 16_000_000)]
    theirs = [text for _, text in prose(benchmark.real_data(), 150_000 if quick else 1_000_000)]
    mb, mb_theirs = (sum(len(text.encode()) for text in texts) / 1e6 for texts in (ours, theirs))
    batches = [ours[start : start + _ROWS] for start in range(0, len(ours), _ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.parquet"
        pq.write_table(pa.table({"text": theirs}), path)
        with subprocess.Popen(
            [peers_python(), Path(__file__).parents[1] / "peer_filters.py", path],
            env=peers_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            latest: dict[str, list[float]] = {name: [] for name in _STAGES}

            def datatrove() -> float:
                print("go", file=child.stdin, flush=True)
                seconds = json.loads(child.stdout.readline())
                for name, value in seconds.items():
                    latest[name].append(value)
                return float(sum(seconds.values())) / mb_theirs

            contenders: dict[str, Callable[[], float]] = {"all": lambda: _seconds(batches, list(_STAGES)) / mb}
            contenders |= {name: (lambda name=name: _seconds(batches, [name]) / mb) for name in _STAGES}
            timings = race_timed({**contenders, "datatrove": datatrove}, rounds=2 if quick else 5)
            child.terminate()
    ratio = timings.ratio("datatrove", "all")
    benchmark.figure("filters_vs_datatrove", ratio)
    benchmark.figure("filters_mb_per_s", 1 / timings.median("all"))
    rows: list[list[object]] = []
    for name in _STAGES:
        rounds = sorted(latest[name][1:])
        their = rounds[len(rounds) // 2] / mb_theirs
        rows.append([f"`{name}` alone", 1 / timings.median(name), 1 / their, their / timings.median(name)])
    rows.append(["all four", 1 / timings.median("all"), 1 / timings.median("datatrove"), ratio])
    return [
        "### Gopher's, C4's and FineWeb's rules against stock datatrove 0.10.1",
        table(["", "ours, MB/s a core", "datatrove, MB/s a core", "times as fast"], rows),
        f"English prose of benchmarks/prose.py, {mb:.1f} MB for ours and {mb_theirs:.2f} MB for datatrove; CPU "
        "seconds, medians of rounds in turn. Ours find words and lines once for all four, so the four alone take "
        "longer.",
    ]


def _seconds(batches: list[list[str]], names: list[str]) -> float:
    """CPU seconds from bare texts to verdicts."""
    made = [TextBatch.of_texts(texts) for texts in batches]
    begun = time.process_time()
    for batch in made:
        for name in names:
            for stage in _STAGES[name]:
                if isinstance(stage, Filter):
                    stage.judge(stage.measure(batch))
                else:
                    stage.rewrite(batch)
    return time.process_time() - begun
