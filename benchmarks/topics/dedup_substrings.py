"""Repeated substrings beside a suffix array: the same passages, and how fast each finds what it needs for them.

The suffix array is made by libdivsufsort (through pydivsufsort), and sorting the suffixes is all of it that is timed:
not the common prefixes, ranges and cuts that come behind it. Of ours, everything is: words, fingerprints, the sidecar
on disk, the decision with its cuts.

    figure substring_mb_per_s         text to cuts, words, MB a CPU second
    figure substring_bytes_mb_per_s   the same for bytes
    figure substring_vs_divsufsort    how many times as long sorting the suffixes of the same bytes takes (words)
    figure substring_sidecar_share    bytes of sidecar for each byte of text (words)
    figure substring_memory_mb        how much the process grew, words, 40 MB of text (quick: 3)
    figure substring_disagreements    documents whose passages a suffix array finds otherwise
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pydivsufsort
from harness import Benchmark, race, table
from numpy.typing import NDArray
from prose import prose

from corpusmill.dedup.substrings import SubstringDedup
from corpusmill.documents.barrier import Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.shards import write_table

_BATCH_BYTES = 4_000_000
_MB, _QUICK_MB = 40, 3
_SORTED_MB, _QUICK_SORTED_MB = 20, 2
_STAGES = {"words": SubstringDedup(), "bytes": SubstringDedup(unit="bytes")}


def speed(benchmark: Benchmark) -> list[str]:
    """Text to cuts, beside the sorting of suffixes alone; what the sidecar and the memory take."""
    texts = [text for _, text in prose(benchmark.real_data(), (_QUICK_MB if benchmark.quick else _MB) * 1_000_000)]
    batches = _batches(texts)
    megabytes = sum(batch.n_bytes for batch in map(TextBatch, batches)) / 1e6
    together = np.frombuffer(bytearray(b"\xff").join(text.encode() for text in texts), np.uint8)
    contenders: dict[str, Callable[[], object]] = {
        f"{unit}, text to cuts": lambda stage=stage: _decided(stage, batches) for unit, stage in _STAGES.items()
    }
    contenders["suffixes sorted, no more"] = lambda: pydivsufsort.divsufsort(together)
    timings = race(contenders, rounds=2 if benchmark.quick else 5, clock=time.process_time)
    words, of_bytes, suffixes = contenders
    shares = {name: _sidecar_share(stage, batches) for name, stage in zip((words, of_bytes), _STAGES.values())}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:  # one that has held nothing before
        memory = child.submit(_peak_mb, texts).result()
    benchmark.figure("substring_mb_per_s", megabytes / timings.median(words))
    benchmark.figure("substring_bytes_mb_per_s", megabytes / timings.median(of_bytes))
    benchmark.figure("substring_vs_divsufsort", timings.ratio(suffixes, words))
    benchmark.figure("substring_sidecar_share", shares[words])
    benchmark.figure("substring_memory_mb", memory)
    rows = [
        [name, megabytes / timings.median(name), timings.ratio(suffixes, name), shares.get(name, "")]
        for name in contenders
    ]
    return [
        f"### Repeated substrings\n\n{megabytes:.0f} MB of prose in {len(texts):,} documents, passages of 50 words or "
        "bytes; in one thread, CPU time.",
        table(["", "MB/s", "times as fast", "sidecar, bytes a byte"], rows),
        f"For words, the process grew by {memory:.0f} MB at most, mapped files included. A suffix array needs the text "
        "and four bytes for each byte of it in memory (eight above 2 GB), however little of it repeats.",
    ]


def accuracy(benchmark: Benchmark) -> list[str]:
    """The same repeated units as a suffix array finds, and what goes from the shared data's collections."""
    size = _QUICK_SORTED_MB if benchmark.quick else _SORTED_MB
    texts = [text for _, text in prose(benchmark.real_data(), size * 1_000_000)]
    batches = _batches(texts)
    rows = []
    for unit, length in (("bytes", 50), ("bytes", 200), ("words", 50)):
        stage = SubstringDedup(unit=unit, min_length=length, action="mark")
        measures = _decided(stage, batches).measures
        assert measures is not None
        ours = dict(zip(measures["id"].to_pylist(), measures["repeated_units"].to_pylist(), strict=True))
        units = [stage.units(TextBatch.of_texts([text])) for text in texts]
        documents = [found[firsts[0] : firsts[-1]] for found, firsts in units]
        theirs = {f"{number:08}": count for number, count in _by_suffixes(documents, length).items()}
        differ = sum(ours.get(name) != theirs.get(name) for name in ours.keys() | theirs.keys())
        total = sum(map(len, documents))
        rows.append([f"{length} {unit}", len(ours), sum(ours.values()) / total, sum(theirs.values()) / total, differ])
    benchmark.figure("substring_disagreements", sum(row[-1] for row in rows))
    return [
        f"### Repeated substrings\n\nThe first {size} MB of the benchmarks' prose, {len(texts):,} documents (books cut "
        "into pages, posts, news, revisions of terms of service). Repeated is the share of the text in passages that "
        "stand in an earlier document, or earlier in their own; by ours, and by a suffix array (libdivsufsort "
        "with Kasai's common prefixes).",
        table(["passages of", "documents with one", "repeated", "by suffix array", "documents that differ"], rows),
    ]


def _batches(texts: Sequence[str]) -> list[pa.RecordBatch]:
    """Documents in batches of some megabytes, their ids in order."""
    batches, waiting, size, count = [], [], 0, 0
    for number, text in enumerate(texts):
        waiting.append(text)
        size += len(text)
        if size >= _BATCH_BYTES or number == len(texts) - 1:
            documents = TextBatch.of_texts(waiting).documents
            ids = pa.array([f"{count + place:08}" for place in range(len(waiting))])
            batches.append(documents.set_column(0, documents.schema.field("id"), ids))
            count, waiting, size = count + len(waiting), [], 0
    return batches


def _decided(stage: SubstringDedup, batches: Sequence[pa.RecordBatch]) -> Decision:
    """Everything from texts to the decision, as a run does it."""

    def read_texts(ids: Sequence[str]) -> Iterator[TextBatch]:
        wanted = IdIndex(pa.array(ids, pa.string()))
        for documents in batches:
            here = wanted.find(documents.column("id")) >= 0
            if here.any():
                yield TextBatch(documents.filter(pa.array(here)))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workspace").mkdir()
        sidecar = _written(stage, batches, folder)
        return stage.decide(
            [sidecar], excluded=pa.array([], pa.string()), read_texts=read_texts, workspace=folder / "workspace"
        )


def _written(stage: SubstringDedup, batches: Sequence[pa.RecordBatch], folder: Path) -> Path:
    path = folder / "sidecar.parquet"
    observed = (stage.observe(TextBatch(documents)) for documents in batches)
    write_table(path, observed, stage.sidecar, row_group_rows=16_384, compression="lz4")
    return path


def _sidecar_share(stage: SubstringDedup, batches: Sequence[pa.RecordBatch]) -> float:
    with tempfile.TemporaryDirectory() as name:
        size = _written(stage, batches, Path(name)).stat().st_size
    return size / sum(TextBatch(documents).n_bytes for documents in batches)


def _peak_mb(texts: Sequence[str]) -> float:
    """The most memory that this process held from text to cuts, over what it held before. Linux only."""
    batches = _batches(texts)
    _decided(_STAGES["words"], _batches([texts[0] * 2] * 2))  # libraries and kernels are there
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
    before = _memory_mb("VmRSS")
    _decided(_STAGES["words"], batches)
    return _memory_mb("VmHWM") - before


def _memory_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e3


def _by_suffixes(documents: Sequence[NDArray[np.generic]], length: int) -> dict[int, int]:
    """Units of each document that are in a window that begins at an earlier place and has ended there."""
    firsts = np.cumsum([0, *(len(units) + 1 for units in documents)])
    kinds, numbers = np.unique(np.concatenate(documents), return_inverse=True)
    whole = np.zeros(firsts[-1], np.uint8 if len(kinds) < 256 else np.int32)  # 0 behind each document
    whole[np.delete(np.arange(len(whole)), firsts[1:] - 1)] = numbers + 1
    order = pydivsufsort.divsufsort(whole)
    common = pydivsufsort.kasai(whole, order)  # of each suffix and the next one in order
    owner = np.searchsorted(firsts, order, side="right") - 1
    inside = order + length < firsts[owner + 1]
    groups = np.append(0, np.cumsum(common[: len(order) - 1] < length))[inside]
    places = order[inside].astype(np.int64)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    earliest = np.repeat(np.minimum.reduceat(places, starts), np.diff(np.append(starts, len(places))))
    repeated = places[earliest + length <= places]
    edges = np.zeros(len(whole) + 1, np.int64)
    np.add.at(edges, repeated, 1)
    np.add.at(edges, repeated + length, -1)
    covered = np.add.reduceat((np.cumsum(edges[:-1]) > 0).astype(np.int64), firsts[:-1])
    return {number: count for number, count in enumerate(covered.tolist()) if count}
