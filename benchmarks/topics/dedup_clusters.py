"""From MinHash signatures to clusters: a million, ten million, and a million copies of five templates.

`minhash_dedup` decides over Parquet sidecars with planted near-duplicates (planted_signatures.py), in a process of its
own (clustering.py), everything in: reading, band keys, joining, verification, clusters, verdicts. Once by `decide`
alone, and once by its steps, one task after another, whose verdicts must be the same. CPU seconds are of all threads.
Memory is the most that the process held beyond what it held before it began: its own (RssAnon), which is the figure,
and with pages of mapped files, which the system takes back when it needs them. No sidecar is held in memory whole, so
nothing is taken off for the data.

A quick run has 100,000 documents instead of a million and of ten, 25,000 and 100,000 copies of templates, and no peers;
its figures have 100k in their names.

    figure cluster_1m_cpu_s          a million documents, by `decide` alone
    figure cluster_1m_mb             memory meanwhile
    figure cluster_10m_cpu_s         ten million
    figure cluster_10m_mb            memory meanwhile
    figure cluster_vs_datatrove      datatrove's two stages, seconds for 100,000 of the same documents, over ours
    figure cluster_vs_datasketch     MinHashLSH in memory, the same way
    figure templates_1m_cpu_s        a million copies of five templates
    figure templates_1m_mb           memory meanwhile
    figure templates_250k_cpu_s      a quarter of them
    figure templates_250k_mb         memory meanwhile
    figure templates_growth          seconds of the million over those of the quarter; 4 is linear
    figure cluster_100k_cpu_s        a hundred thousand documents, in a quick run
    figure cluster_100k_mb           memory meanwhile
    figure templates_100k_cpu_s      a hundred thousand copies of five templates, in a quick run
    figure templates_100k_growth     their seconds over those of a quarter as many
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Benchmark, child_environment, table
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python
from planted_signatures import write_sidecars
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corpusmill.dedup.candidates import signature_values
from corpusmill.dedup.minhash import MinHashDedup

_BENCHMARKS = Path(__file__).resolve().parents[1]
_BANDS, _ROWS = MinHashDedup.bands, MinHashDedup.rows


def speed(benchmark: Benchmark) -> list[str]:
    """Measures ours at all sizes, and peers at what they can do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return _quick(benchmark, folder) if benchmark.quick else _full(benchmark, folder)


def _quick(benchmark: Benchmark, folder: Path) -> list[str]:
    for documents, kind in ((100_000, "crawl"), (25_000, "templates"), (100_000, "templates")):
        write_sidecars(folder / f"{kind}{documents}", documents, kind)
    with clustering() as run:
        whole = run(folder / "crawl100000", "inline")
        _check_same(whole, run(folder / "crawl100000", "tasks"))
        quarter, templates = (run(folder / f"templates{documents}", "inline") for documents in (25_000, 100_000))
    benchmark.figure("cluster_100k_cpu_s", whole["seconds"])
    benchmark.figure("cluster_100k_mb", whole["own_mb"])
    benchmark.figure("templates_100k_cpu_s", templates["seconds"])
    benchmark.figure("templates_100k_growth", templates["seconds"] / quarter["seconds"])
    rows = [_row("100,000", whole), _row("100,000 of five templates", templates)]
    return ["### From signatures to clusters", table(_HEADER, rows)]


_HEADER = ["documents", "CPU s", "own MB", "with mapped files, MB", "dropped"]


def _full(benchmark: Benchmark, folder: Path) -> list[str]:
    runs: dict[str, dict[str, Any]] = {}
    steps: list[list[object]] = []
    for documents, kind, name, rounds in (
        (1_000_000, "crawl", "cluster_1m", 5),
        (10_000_000, "crawl", "cluster_10m", 1),
        (1_000_000, "templates", "templates_1m", 3),
        (250_000, "templates", "templates_250k", 3),
    ):
        place = folder / name
        write_sidecars(place, documents, kind)
        with clustering() as run:
            inline = [run(place, "inline") for _ in range(rounds)]
        inline[0]["seconds"] = median(one["seconds"] for one in inline)
        runs[name] = inline[0]
        benchmark.figure(f"{name}_cpu_s", inline[0]["seconds"])
        benchmark.figure(f"{name}_mb", inline[0]["own_mb"])
        with clustering() as run:
            tasks = run(place, "tasks")
        _check_same(inline[0], tasks)
        steps += _step_rows(f"{documents:,}" + (" of five templates" if kind == "templates" else ""), tasks)
        if name != "cluster_1m":
            shutil.rmtree(place)
    growth = runs["templates_1m"]["seconds"] / runs["templates_250k"]["seconds"]
    benchmark.figure("templates_growth", growth)
    ours = [
        _row("1,000,000", runs["cluster_1m"]),
        _row("10,000,000", runs["cluster_10m"]),
        _row("250,000 of five templates", runs["templates_250k"]),
        _row("1,000,000 of five templates", runs["templates_1m"]),
    ]
    return [
        "### From signatures to clusters",
        table(_HEADER, ours),
        "`minhash_dedup` from Parquet sidecars to verdicts, in one process, CPU seconds of all threads. Memory is the "
        "most beyond what the process held before it began (libraries and compiled kernels). Three documents of ten "
        "have near-duplicates, in clusters of 2 to 1,000; one of twenty shares a band with another and nothing else.",
        "The same by the stage's steps, one task after another; what is not in a step runs alone. The verdicts are the "
        "same:",
        table(["documents", "part", "tasks", "CPU s, all tasks", "longest task", "own MB", "on disk, MB"], steps),
        *_peers(benchmark, folder / "cluster_1m", folder / "peers", runs["cluster_1m"]["seconds"]),
    ]


def _row(name: str, run: dict[str, Any]) -> list[object]:
    return [name, run["seconds"], run["own_mb"], run["all_mb"], run["dropped"]]


def _step_rows(name: str, run: dict[str, Any]) -> list[list[object]]:
    steps: list[list[object]] = [
        [name, f"step `{step['name']}`", step["tasks"], step["seconds"], step["longest"], step["memory"], step["mb"]]
        for step in run["steps"]
    ]
    return [*steps, [name, "`decide`", 1, run["alone"], run["alone"], run["alone_mb"], ""]]


def _check_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    if one["verdicts"] != two["verdicts"]:
        raise SystemExit("minhash_dedup: its steps lead to other verdicts than `decide` alone")


@contextmanager
def clustering() -> Iterator[Callable[[Path, str], dict[str, Any]]]:
    """A process of clustering.py, as a function of a folder and a mode."""
    with subprocess.Popen(
        [sys.executable, _BENCHMARKS / "clustering.py"],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:

        def answer() -> str:
            line = child.stdout.readline() if child.stdout else ""
            if not line:
                raise SystemExit("benchmarks/clustering.py ended; it says why above")
            return line

        def run(folder: Path, mode: str) -> dict[str, Any]:
            print(folder, mode, file=child.stdin, flush=True)
            answered: dict[str, Any] = json.loads(answer())
            return answered

        answer()
        try:
            yield run
        finally:
            child.terminate()


def _peers(benchmark: Benchmark, million: Path, folder: Path, our_million: float) -> list[str]:
    """The same signatures in other hands, and our seconds for all of them."""
    folder.mkdir()
    paths = sorted(million.glob("*.parquet"))
    parts = [pq.read_table(path, columns=["signature"])["signature"].combine_chunks() for path in paths]
    signatures = np.concatenate([signature_values(part, _BANDS * _ROWS) for part in parts])
    np.save(folder / "signatures.npy", signatures[:100_000])
    ours = _of_some(paths[0], folder / "ours")
    sizes = {"datatrove": (10_000, 30_000, 100_000), "datasketch": (10_000, 30_000, 100_000)}
    seconds = {name: _peer_seconds(folder / "signatures.npy", name, counts) for name, counts in sizes.items()}
    benchmark.figure("cluster_vs_datatrove", seconds["datatrove"][-1] / ours)
    benchmark.figure("cluster_vs_datasketch", seconds["datasketch"][-1] / ours)
    joined, bare = _duckdb(signatures), _numpy(signatures)
    rows: list[list[object]] = [["`minhash_dedup`, from Parquet to verdicts", "", "", ours, our_million]]
    for name, said in (
        ("datatrove", "datatrove 0.10.1, buckets and cluster"),
        ("datasketch", "datasketch 2.0.0, `MinHashLSH` in memory"),
    ):
        counts, taken = sizes[name], seconds[name]
        power = math.log(taken[-1] / taken[-2]) / math.log(counts[-1] / counts[-2])
        rows.append([said, *taken, f"{taken[-1] * 10**power:,.0f} (extrapolated, power {power:.2f})"])
    rows.append(["duckdb 2.0.0, join of keys in memory, and SciPy's components", "", "", "", joined])
    rows.append(["NumPy, keys sorted in memory, and SciPy's components", "", "", "", bare])
    return [
        "Others on the same signatures, 14 bands of 8 rows, CPU seconds. None of them verifies what it joins or reads "
        "Parquet; datatrove begins with sorted files, datasketch with its objects, duckdb and NumPy with band keys:",
        table(["", "10,000", "30,000", "100,000", "1,000,000"], rows),
    ]


def _of_some(sidecar: Path, folder: Path) -> float:
    """Our seconds for the 100,000 documents of one sidecar."""
    folder.mkdir()
    (folder / sidecar.name).symlink_to(sidecar)
    with clustering() as run:
        return float(median(run(folder, "inline")["seconds"] for _ in range(3)))


def _peer_seconds(file: Path, name: str, counts: Sequence[int]) -> list[float]:
    with subprocess.Popen(
        [peers_python(), _BENCHMARKS / "peer_clusters.py", file],
        env=peers_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("the peer was started with pipes")
        taken = []
        for count in (1000, *counts):  # the first makes ready
            print(name, count, file=child.stdin, flush=True)
            taken.append(float(json.loads(child.stdout.readline())["seconds"]))
        child.terminate()
    return taken[1:]


def _keys(signatures: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """uint64[bands, documents]: a hash of each band."""
    halves = np.ascontiguousarray(signatures).view(np.uint64).reshape(len(signatures), _BANDS, 2)
    return np.ascontiguousarray((halves[:, :, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, :, 1]).T)


def _duckdb(signatures: NDArray[np.uint16]) -> float:
    keys = _keys(signatures)
    count = len(signatures)
    with duckdb.connect(config={"threads": 1}) as base:
        columns = {"band": np.repeat(np.arange(_BANDS, dtype=np.uint8), count), "key": keys.reshape(-1)}
        base.register("given", pa.table(columns | {"document": np.tile(np.arange(count, dtype=np.uint32), _BANDS)}))
        base.execute("create table keys as from given")
        begun = time.process_time()
        pairs = base.execute(
            "with firsts as (select band, key, min(document) as first from keys group by all having count(*) > 1) "
            "select first, document from keys join firsts using (band, key) where document <> first"
        ).fetchnumpy()
        _components(pairs["first"], pairs["document"], count)
        return time.process_time() - begun


def _numpy(signatures: NDArray[np.uint16]) -> float:
    keys = _keys(signatures)
    begun = time.process_time()
    ones, others = [], []
    for band in keys:
        order = np.argsort(band)
        same = np.flatnonzero(band[order[1:]] == band[order[:-1]])
        ones.append(order[same])
        others.append(order[same + 1])
    _components(np.concatenate(ones), np.concatenate(others), len(signatures))
    return time.process_time() - begun


def _components(ones: NDArray[Any], others: NDArray[Any], count: int) -> None:
    connected_components(coo_array((np.ones(len(ones), np.bool_), (ones, others)), (count, count)), directed=False)
