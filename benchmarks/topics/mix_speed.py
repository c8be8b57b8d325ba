"""How fast a mix is written, and in how much memory; and the tokens of its texts beside datatrove's.

`corpusmill mix` over the curated sources of mixes.yaml, each read as often as two budgets take (20 GB of rows from 155
MB of text): scatter, gather, manifest. Steady state is the slope between the two. A new text costs more, once: its
units are counted, its near-duplicates sought, its quality noted; those have a rate of their own. Beside the mix: the
same rows drawn with replacement by weight, one by one, from lists in memory, and written as JSON lines or as Parquet.

Tokens: some of the same texts, BPE of 32,000 tokens, CPU seconds; datatrove's DocumentTokenizer writes them, too.

    figure mix_mb_per_s              text written, two workers, steady state by the wall clock
    figure mix_mb_per_s_cpu          the same by CPU seconds, two cores: what a machine with nothing else to do makes
    figure mix_peak_mb               the most memory that all processes of the larger mix held together
    figure mix_peak_mb_small         the same of the smaller
    figure mix_new_text_mb_per_s     text that was not mixed before: counted, sketched and placed, a core
    figure mix_vs_jsonl              how many times as fast as sampling in Python to JSON lines, a core
    figure mix_vs_parquet            the same to Parquet of our layout
    figure tokens_vs_datatrove       how many times as long datatrove's DocumentTokenizer takes for their tokens
    figure other_cores_busy_mix      cores that other processes kept busy meanwhile
"""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from harness import Benchmark, race, race_timed, table
from peers_venv import peers_environment, peers_python
from processes import Usage, watched
from real_mixes import Workplace, workplace

from corpusmill.mix.groups import find_groups, sketch_part
from corpusmill.mix.measurement import measure_part
from corpusmill.mix.options import MixOptions
from corpusmill.mix.placement import place_part
from corpusmill.mix.slices import cases_by_source
from corpusmill.mix.tokens import load_tokens

WORKERS = 2
_TOKEN_ROWS = 25  # every so many documents is tokenised


def mixing(benchmark: Benchmark) -> list[str]:
    """Measures both."""
    budgets = (30_000_000, 100_000_000) if benchmark.quick else (2_000_000_000, 20_000_000_000)
    place = workplace(benchmark.real_data(), quick=benchmark.quick)
    parts = place.curated()
    _mixed(place, budgets[0] // 10)  # counts, so that both that are timed find it done
    usages = [_mixed(place, budget) for budget in budgets]
    with tempfile.TemporaryDirectory(prefix="mix_speed-") as scratch:
        new_text = _new_text(parts["books"], Path(scratch))
        tokens = _tokens(benchmark, place, Path(scratch))
    sampled = _sampling(_rows(parts), 20_000_000 if benchmark.quick else 300_000_000)
    more, seconds, cpu_seconds = (
        (budgets[1] - budgets[0]) / 1e6,
        usages[1].seconds - usages[0].seconds,
        usages[1].cpu_seconds - usages[0].cpu_seconds,
    )
    rate, a_core = more / seconds, more / cpu_seconds
    others = (usages[0].other_cores + usages[1].other_cores) / 2
    benchmark.figure("mix_mb_per_s", rate)
    benchmark.figure("mix_mb_per_s_cpu", WORKERS * a_core)
    benchmark.figure("mix_peak_mb", usages[1].memory_mb)
    benchmark.figure("mix_peak_mb_small", usages[0].memory_mb)
    benchmark.figure("mix_new_text_mb_per_s", new_text)
    benchmark.figure("mix_vs_jsonl", a_core / sampled["JSON lines"])
    benchmark.figure("mix_vs_parquet", a_core / sampled["Parquet"])
    benchmark.figure("other_cores_busy_mix", others)
    return [
        f"### Mixing\n\n`corpusmill mix` with {WORKERS} workers over real text, read again and again until the dataset "
        f"has {budgets[0] / 1e9:g} and {budgets[1] / 1e9:g} GB. Steady state is the slope between both: {rate:.0f} "
        f"MB/s by the wall clock, while other processes kept {others:.1f} cores busy; by CPU seconds {a_core:.0f} MB/s "
        f"a core, which is {WORKERS * a_core:.0f} on {WORKERS} cores of their own. Text that was not mixed before is "
        f"counted, sketched for its near-duplicates and placed first, at {new_text:.0f} MB/s a core.",
        table(
            ["dataset", "seconds", "CPU seconds", "most memory of all processes, MB", "of one, MB"],
            [
                [f"{budget / 1e9:g} GB", usage.seconds, usage.cpu_seconds, usage.memory_mb, usage.worker_mb]
                for budget, usage in zip(budgets, usages, strict=True)
            ],
        ),
        "Beside it, sampling as loaders do: a source by weight, a document of it, with replacement, from lists in "
        "memory; neither shuffled further, nor hashed, nor counted; zstd 3 both.",
        table(
            ["", "MB/s a core", "times as fast"],
            [
                ["corpusmill mix", a_core, 1.0],
                *([f"sampling to {name}", its, a_core / its] for name, its in sampled.items()),
            ],
        ),
        *tokens,
    ]


def _mixed(place: Workplace, budget: int) -> Usage:
    """Mixes so many bytes of all sources, each in proportion to its size, and removes what it wrote."""
    everything = {"all": {"share": 1.0, "of": sorted(place.curated())}}
    chosen = {"unit": "bytes", "tokenizer": None, "preset": None, "preset_sources": {}, "ratios": everything}
    out = place.folder / "mixed"
    command = place.command("mix", {**chosen, "budget": budget, "max_epochs": 1000}, "--out", str(out), workers=WORKERS)
    usage = watched(command, place.environment, place.folder / "log.txt")
    shutil.rmtree(out)
    return usage


def _rows(parts: Mapping[str, list[Path]]) -> dict[str, list[dict[str, object]]]:
    columns = ["text", "id", "source", "url", "language", "language_score", "quality", "license"]
    return {
        source: [row for path in own for row in pq.read_table(path, columns=columns).to_pylist()]
        for source, own in parts.items()
    }


def _new_text(parts: Sequence[Path], folder: Path) -> float:
    """MB/s of what is done once for each text."""
    chosen = MixOptions(ratios={"books": 1.0}, unit="bytes")
    cases = cases_by_source(chosen, ["books"])["books"]
    begun = time.process_time()
    for part in parts:
        measure_part(part, folder / f"{part.stem}.measured", chosen)
        sketch_part(part, folder / f"{part.stem}.sketch")
    find_groups([folder / f"{part.stem}.sketch" for part in parts], folder / "groups", folder / "workspace")
    for part in parts:
        place_part(part, folder / f"{part.stem}.measured", None, folder / "groups", cases, {}, folder / part.name)
    seconds = time.process_time() - begun
    sizes = [pc.sum(pq.read_table(folder / part.name, columns=["text_bytes"])["text_bytes"]) for part in parts]
    return sum(size.as_py() for size in sizes) / 1e6 / seconds


def _sampling(rows: Mapping[str, list[dict[str, object]]], budget: int) -> dict[str, float]:
    """MB/s of each way to write `budget` bytes of drawn rows."""

    def drawn() -> Iterator[dict[str, object]]:
        chance = random.Random(1)
        names = list(rows)
        weights = [sum(len(str(row["text"])) for row in rows[name]) for name in names]
        size = 0
        while size < budget:
            row = chance.choice(rows[chance.choices(names, weights)[0]])
            size += len(str(row["text"]))
            yield row

    def to_json() -> None:
        stream = zstandard.ZstdCompressor(level=3).stream_writer(io.BytesIO())
        for row in drawn():
            stream.write(json.dumps(row).encode() + b"\n")
        stream.close()

    def to_parquet() -> None:
        writer: pq.ParquetWriter | None = None
        waiting: list[dict[str, object]] = []
        for row in drawn():
            waiting.append(row)
            if len(waiting) == 1024:
                batch = pa.Table.from_pylist(waiting)
                writer = writer or pq.ParquetWriter(io.BytesIO(), batch.schema, compression="zstd", compression_level=3)
                writer.write_table(batch.cast(writer.schema))
                waiting = []
        if writer is not None:
            writer.close()

    ways: dict[str, Callable[[], None]] = {"JSON lines": to_json, "Parquet": to_parquet}
    timings = race(ways, 3, clock=time.process_time)
    return {name: budget / 1e6 / timings.median(name) for name in ways}


def _tokens(benchmark: Benchmark, place: Workplace, work: Path) -> list[str]:
    """Tokenises some texts, ours in memory, datatrove's into its file."""
    tables = [pq.read_table(path, columns=["text"])["text"] for own in place.curated().values() for path in own]
    texts = pa.array([text for column in tables for text in column.to_pylist()[::_TOKEN_ROWS]], pa.string())
    size = texts.nbytes / 1e6
    pq.write_table(pa.table({"text": texts}), work / "texts.parquet")
    tokens = load_tokens(str(place.tokenizer))
    found: dict[str, int] = {}

    def encode() -> float:
        tokens.forget()
        begun = time.process_time()
        ids, _ = tokens.encode(texts)
        found["corpusmill"] = len(ids)
        return time.process_time() - begun

    script = Path(__file__).parent.parent / "peer_tokens.py"
    peer = [
        str(peers_python()),
        str(script),
        str(work / "texts.parquet"),
        str(place.tokenizer),
        str(work / "datatrove"),
    ]
    with subprocess.Popen(
        peer,
        env=peers_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:

        def by_datatrove() -> float:
            print("go", file=child.stdin, flush=True)
            answer = json.loads(child.stdout.readline())
            found["datatrove"] = answer["tokens"] - len(texts)  # an end of text each
            return float(answer["seconds"])

        contenders = {"corpusmill": encode, "datatrove": by_datatrove}
        timings = race_timed(contenders, 1 if benchmark.quick else 3)
    if len(set(found.values())) != 1:
        raise SystemExit(f"the tokenizers do not agree: {found}")
    benchmark.figure("tokens_vs_datatrove", timings.ratio("datatrove", "corpusmill"))
    return [
        f"### Tokens beside datatrove\n\n{size:.0f} MB of the same sources as ids of a byte-level BPE, "
        f"{found['corpusmill']:,} tokens by both; CPU seconds. datatrove's DocumentTokenizer writes them as well, as "
        "its example has it.",
        table(
            ["", "MB/s a core", "times as fast"],
            [[name, size / timings.median(name), timings.ratio(name, "corpusmill")] for name in contenders],
        ),
    ]
