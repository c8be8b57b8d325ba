"""One Common Crawl dump on 64 cores: time, bytes and memory by stage, from measured rates. Writes docs/scale.md.

Nothing of that size was run. Rates are measured here, on one and four million planted signatures (clustering.py) and on
real prose, or read from docs/benchmarks.md; the rest is arithmetic, and each row shows its formula. What grew faster
than the documents between the two sizes is taken to go on growing by the same power.

    figure scale_hours              the whole dump on 64 cores, wall clock
    figure scale_alone_share        share of that in which one core works and the others wait
    figure scale_dedup_hours        MinHash alone: signatures, band keys, joins, decision
    figure scale_decide_gb          memory of the task that decides
    figure scale_disk_tb            all that is written
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from harness import DOCUMENT, Benchmark, child_environment, table
from planted_signatures import write_sidecars
from processes import watched
from prose import Item, prose, write_parquet
from topics.dedup_clusters import clustering
from web_pages import gzip_members

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import write_table

PAGE = DOCUMENT.with_name("scale.md")
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Dump:
    """What is assumed."""

    pages: float = 3e9
    """Pages of the dump."""

    documents: float = 2e8
    """Documents that the filters leave."""

    page_bytes: float = 30_000
    """Of a page's record in a WARC file, compressed. About 90 TB for 3e9 pages is what we recall of Common Crawl's
    announcements."""

    document_bytes: float = 3_000
    """Of a document's text."""

    duplicates: float = 0.26
    """Share of the documents that MinHash drops: as in the planted signatures."""

    rounds: int = 4
    """How often the barrier task reads texts again for pairs near the threshold: as seen on real text."""

    cores: int = 64


@dataclass(frozen=True, slots=True)
class Growth:
    """CPU seconds of something that was measured at two sizes."""

    documents: float
    seconds: float
    power: float

    @classmethod
    def of(cls, sizes: tuple[int, int], seconds: tuple[float, float]) -> Growth:
        power = math.log(seconds[1] / seconds[0]) / math.log(sizes[1] / sizes[0])
        return cls(sizes[1], seconds[1], max(1.0, power))

    def at(self, documents: float) -> float:
        return self.seconds * (documents / self.documents) ** self.power

    @property
    def each(self) -> float:
        """Microseconds a document at the larger of the sizes."""
        return self.seconds / self.documents * 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured. Seconds are CPU seconds of one core."""

    page: float
    """Seconds to read, extract, filter and sign a page: the FineWeb chain from WARC."""
    page_bytes: float
    """Of those pages' records, compressed."""
    signed_byte: float
    """Seconds to observe a byte of text, which is in the above for the documents that get so far."""
    spread: Growth
    joined: Growth
    decided: Growth
    dealt: Growth
    """What the barrier task does beyond deciding."""
    read_byte: float
    """Seconds to read a byte of text from the Parquet between two phases."""
    rewritten_byte: float
    """Seconds to read a byte of text from Parquet and to write it again, with its ledger."""
    mixed_byte: float
    sidecar: float
    """Bytes on disk a document, as the next three."""
    keys: float
    pairs: float
    ledger: float
    stored: float
    """Bytes in Parquet a byte of text."""
    worker_mb: float
    """The most memory of a worker that extracts and filters."""
    step_mb: float
    """The most memory of a task of a step."""
    decide_bytes: float
    """Memory of the barrier task a document, and below what it takes beside."""
    base_mb: float


def measure(benchmark: Benchmark, folder: Path) -> Measured:
    """The rates."""
    sizes = (200_000, 400_000) if benchmark.quick else (1_000_000, 4_000_000)
    small, large = (_clustered(folder / str(size), size) for size in sizes)
    own = (large["barrier_mb"] - small["barrier_mb"]) * 1e6 / (sizes[1] - sizes[0])
    grown = {name: Growth.of(sizes, (small[name], large[name])) for name in ("spread", "join", "decide", "deal")}
    passed = _passed_through(benchmark, folder)
    return Measured(
        page=2 / published("WARC, pages: corpusmill"),
        page_bytes=_page_bytes(benchmark),
        signed_byte=1e-6 / published("`minhash_dedup`, the whole sidecar"),
        spread=grown["spread"],
        joined=grown["join"],
        decided=grown["decide"],
        dealt=grown["deal"],
        read_byte=passed["reading"],
        rewritten_byte=passed["passing"],
        mixed_byte=passed["mixing"],
        sidecar=large["sidecar_bytes"] / sizes[1],
        keys=large["spread_bytes"] / sizes[1],
        pairs=large["join_bytes"] / sizes[1],
        ledger=passed["ledger"],
        stored=passed["stored"],
        worker_mb=float(found(r"the largest worker of ours held [\d,]+ MB on [\d.]+ MB of text, and ([\d,]+) MB")),
        step_mb=large["step_mb"],
        decide_bytes=own,
        base_mb=small["barrier_mb"] - own * sizes[0] / 1e6,
    )


def found(pattern: str) -> str:
    """What docs/benchmarks.md says, recorded by a full run of another script.

    Raises:
        SystemExit: if it does not say so.
    """
    match = re.search(pattern, DOCUMENT.read_text())
    if match is None:
        raise SystemExit(f"{DOCUMENT}: has no text like {pattern!r}; run the script that writes it")
    return match[1].replace(",", "")


def published(row: str) -> float:
    """The first number of a row of docs/benchmarks.md."""
    return float(found(rf"\| {re.escape(row)} \| ([\d.,]+) \|"))


def _clustered(folder: Path, size: int) -> dict[str, float]:
    """CPU seconds, bytes and memory of the steps, the decision and the barrier task, each in a process of its own."""
    paths = write_sidecars(folder, size, "crawl")
    with clustering() as run:
        alone = run(folder, "tasks")
    with clustering() as run:
        barrier = run(folder, "barrier")
    told = {step["name"]: step["seconds"] for step in alone["steps"]}
    told |= {f"{step['name']}_bytes": step["mb"] * 1e6 for step in alone["steps"]}
    return told | {
        "decide": alone["alone"],
        "deal": max(barrier["alone"] - alone["alone"], 0.01 * alone["alone"]),
        "barrier_mb": barrier["alone_mb"],
        "step_mb": max(step["memory"] for step in alone["steps"]),
        "sidecar_bytes": sum(path.stat().st_size for path in paths),
    }


def _page_bytes(benchmark: Benchmark) -> float:
    archive = (benchmark.real_data() / "warc" / "pages.warc.gz").read_bytes()
    return len(archive) / sum(1 for _ in gzip_members(archive))


def _reading(items: list[Item], file: Path) -> float:
    """CPU seconds to read the texts once as the barrier task reads them: whole row groups."""
    texts = [text for _, text in items]
    batches = [TextBatch.of_texts(texts[row : row + 1000]).documents for row in range(0, len(texts), 1000)]
    write_table(file, batches, batches[0].schema, compression="lz4")
    begun = time.process_time()
    with pq.ParquetFile(file) as opened:
        for group in range(opened.num_row_groups):
            opened.read_row_group(group)
    return time.process_time() - begun


def _passed_through(benchmark: Benchmark, folder: Path) -> dict[str, float]:
    """What `corpusmill run` takes for a byte of text.

    passing, mixing    CPU seconds without any stage, and of the mix: slopes between two sizes, without start-up
    reading            CPU seconds to read it again from the Parquet between two phases
    stored             bytes of curated Parquet a byte of text
    ledger             bytes of the ledger a document, after all stages of `fineweb`
    """
    sizes = (2_000_000, 8_000_000) if benchmark.quick else (16_000_000, 80_000_000)
    items = prose(benchmark.real_data(), sizes[1])
    seconds: dict[str, list[float]] = {"passed": [], "mixed": []}
    told: dict[str, float] = {}
    for size in sizes:
        taken, total = [], 0
        for item in items:
            if total >= size:
                break
            taken.append(item)
            total += len(item[1].encode())
        source = folder / f"text_{size}"
        write_parquet(taken, source, 8)
        for kind, taking in seconds.items():
            run = _run(folder, f"{kind}_{size}", source, [], {"ratios": {"web": 1.0}} if kind == "mixed" else None)
            taking.append(run[0])
            told["stored"] = _size(run[1] / "web" / "curated") / total
        told["reading"] = _reading(taken, folder / "texts.parquet") / total
        if size == sizes[0]:
            _, place = _run(folder, "fineweb", source, "fineweb", None)
            told["ledger"] = _size(place / "web" / "ledger") / len(taken)
    more = sizes[1] - sizes[0]
    passing, both = ((large - small) / more for small, large in seconds.values())
    return told | {"passing": passing, "mixing": max(both - passing, 0.0)}


def _run(
    folder: Path, name: str, source: Path, stages: str | list[str], mix: dict[str, Any] | None
) -> tuple[float, Path]:
    """CPU seconds of a run over Parquet files, and its folder."""
    web = {"paths": [str(source / "*.parquet")], "stages": stages}
    recipe = {"name": name, "runs": str(folder / "runs"), "sources": {"web": web}} | ({"mix": mix} if mix else {})
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "corpusmill.pipeline.command", "run", str(file), "--workers", "2"]
    return watched(command, child_environment(), folder / "log.txt").cpu_seconds, folder / "runs" / name


def _size(folder: Path) -> int:
    files = list(folder.rglob("*.parquet"))
    if not files:
        raise SystemExit(f"{folder}: the run left no Parquet there")
    return sum(path.stat().st_size for path in files)


@dataclass(frozen=True, slots=True)
class Part:
    """One stage of the dump."""

    name: str
    formula: str
    core_seconds: float
    cores: int
    inside: bool = False
    """Whether its time is in that of the part before it."""

    @property
    def seconds(self) -> float:
        return self.core_seconds / self.cores


@dataclass(frozen=True, slots=True)
class Estimate:
    """The dump at the measured rates."""

    dump: Dump
    rate: Measured

    @property
    def text(self) -> float:
        """Bytes of text that the filters leave."""
        return self.dump.documents * self.dump.document_bytes

    @property
    def left(self) -> float:
        """Bytes of text that stay."""
        return self.text * (1 - self.dump.duplicates)

    @property
    def parts(self) -> list[Part]:
        """Time by stage."""
        dump, rate, cores = self.dump, self.rate, self.dump.cores
        signing, applying = self.text * rate.signed_byte, self.text * rate.rewritten_byte
        again = dump.rounds * self.text * rate.read_byte
        extracting = dump.pages * rate.page * dump.page_bytes / rate.page_bytes
        return [
            Part("read, extract, filter, sign", "pages × seconds a page × their size", extracting, cores),
            Part("of that, signing", "bytes of text × seconds a byte", signing, cores, inside=True),
            Part("spread band keys", "grown from what was measured", rate.spread.at(dump.documents), cores),
            Part("join band keys", "grown from what was measured", rate.joined.at(dump.documents), cores),
            Part("texts near the threshold", "rounds × bytes of text × seconds a byte", again, 1),
            Part("decide", "grown from what was measured", rate.decided.at(dump.documents), 1),
            Part("deal verdicts out", "grown from what was measured", rate.dealt.at(dump.documents), 1),
            Part("apply: read, write curated", "bytes of text × seconds a byte", applying, cores),
            Part("mix", "bytes that stay × seconds a byte", self.left * rate.mixed_byte, cores),
        ]

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts if not part.inside)

    @property
    def alone(self) -> float:
        """Seconds in which one core works and the others wait."""
        return sum(part.seconds for part in self.parts if part.cores == 1)

    @property
    def dedup(self) -> float:
        """Seconds of near-duplicate search."""
        return sum(part.seconds for part in self.parts[1:7])

    @property
    def decide_gb(self) -> float:
        return (self.rate.base_mb + self.rate.decide_bytes * self.dump.documents / 1e6) / 1e3

    @property
    def written(self) -> dict[str, tuple[str, float]]:
        """Formula and bytes of what is written."""
        dump, rate = self.dump, self.rate
        return {
            "documents between the two phases": ("bytes of text × share in Parquet", self.text * rate.stored),
            "ledger": ("pages × bytes a row", dump.pages * rate.ledger),
            "sidecars": ("documents × bytes", dump.documents * rate.sidecar),
            "band keys": ("documents × bytes", dump.documents * rate.keys),
            "pairs of equal keys": ("documents × bytes", dump.documents * rate.pairs),
            "curated": ("bytes that stay × share in Parquet", self.left * rate.stored),
            "mix: scattered, gathered": ("twice the curated", 2 * self.left * rate.stored),
        }

    @property
    def written_bytes(self) -> float:
        return sum(size for _, size in self.written.values())


def write_up(estimate: Estimate) -> list[str]:
    """The page's generated part."""
    return [*_inputs(estimate.dump), *_rates(estimate.rate), *_time(estimate), *_bytes(estimate), *_memory(estimate)]


def _inputs(dump: Dump) -> list[str]:
    rows: list[list[object]] = [
        ["pages of the dump", f"{dump.pages:.0e}"],
        ["documents that the filters leave", f"{dump.documents:.0e}"],
        ["bytes of a page's WARC record, compressed", dump.page_bytes],
        ["bytes of a document's text", dump.document_bytes],
        ["rounds in which the barrier task reads texts again", dump.rounds],
        ["share of the documents that MinHash drops", dump.duplicates],
        ["cores", dump.cores],
    ]
    return ["## Assumed", table(["", "value"], rows)]


def _rates(rate: Measured) -> list[str]:
    planted, chain, texts = "here, planted signatures", "benchmarks/end_to_end.py", "here, prose"
    times: list[list[object]] = [
        [f"a page of {rate.page_bytes:,.0f} bytes through the FineWeb chain, from WARC", rate.page * 1e3, "ms", chain],
        ["signing text, in the above", rate.signed_byte * 1e9, "ms a MB", "benchmarks/dedup.py"],
    ]
    for name, growth in (
        ("spreading band keys", rate.spread),
        ("joining them", rate.joined),
        ("deciding", rate.decided),
        ("dealing verdicts out by part", rate.dealt),
    ):
        times.append([f"{name} (growing by the power {growth.power:.2f})", growth.each, "µs a document", planted])
    times += [
        ["reading text between two phases", rate.read_byte * 1e9, "ms a MB", texts],
        ["reading and writing text and its ledger, no stage", rate.rewritten_byte * 1e9, "ms a MB", texts],
        ["the mix", rate.mixed_byte * 1e9, "ms a MB", texts],
    ]
    space: list[list[object]] = [
        ["a sidecar", rate.sidecar, "bytes a document", planted],
        ["band keys", rate.keys, "bytes a document", planted],
        ["pairs of equal keys", rate.pairs, "bytes a document", planted],
        ["a row of the ledger, all measures of `fineweb` in it", rate.ledger, "bytes", texts],
        ["text in Parquet", rate.stored, "bytes a byte", texts],
        ["memory of the barrier task", rate.decide_bytes, "bytes a document", planted],
        ["the same without any document", rate.base_mb, "MB", planted],
        ["memory of a worker that extracts and filters", rate.worker_mb, "MB", chain],
        ["memory of a task that spreads or joins", rate.step_mb, "MB", planted],
    ]
    header = ["value", "unit", "measured"]
    return ["## Measured", table(["CPU time of one core", *header], times), table(["space", *header], space)]


def _time(estimate: Estimate) -> list[str]:
    hours = estimate.seconds / _HOUR
    rows: list[list[object]] = [
        [part.name, part.formula, part.core_seconds / _HOUR, part.cores, part.seconds / _HOUR,
         f"{part.seconds / estimate.seconds:.2%}"]
        for part in estimate.parts
    ]  # fmt: skip
    busy = sum(part.core_seconds for part in estimate.parts if not part.inside)
    rows.append(["all", "", busy / _HOUR, "", hours, "100%"])
    doubled = (estimate.seconds - estimate.alone) / 2 + estimate.alone
    return [
        f"## Time on {estimate.dump.cores} cores",
        table(["stage", "formula", "core hours", "cores", "hours", "share of all"], rows),
        f"Of {hours:.1f} hours, one core works alone for {estimate.alone / 60:.0f} minutes, "
        f"{estimate.alone / estimate.seconds:.2%}. By Amdahl's law the cores do the work of "
        f"{busy / estimate.seconds:.1f}; twice as many would take {doubled / _HOUR:.1f} hours.",
    ]


def _bytes(estimate: Estimate) -> list[str]:
    dump = estimate.dump
    reading = dump.pages * dump.page_bytes
    rows: list[list[object]] = [["read: the dump", "pages × bytes a page", reading / 1e12]]
    rows += [[f"written: {name}", formula, size / 1e12] for name, (formula, size) in estimate.written.items()]
    rows.append(["all that is written", "", estimate.written_bytes / 1e12])
    rate = reading / estimate.parts[0].seconds
    return [
        "## Bytes",
        table(["", "formula", "TB"], rows),
        f"To read the dump in the time of its stage takes {rate / 1e9:.2f} GB a second, "
        f"{rate / dump.cores / 1e6:.0f} MB for each core.",
    ]


def _memory(estimate: Estimate) -> list[str]:
    cores, rate = estimate.dump.cores, estimate.rate
    rows: list[list[object]] = [
        [name, each, count, each * count]
        for name, each, count in (
            ("extract and filter", rate.worker_mb / 1e3, cores),
            ("spread, join", rate.step_mb / 1e3, cores),
            ("decide and deal out", estimate.decide_gb, 1),
        )
    ]
    return ["## Memory", table(["tasks", "GB each", "side by side", "GB together"], rows)]


def main() -> None:
    """Measures, computes and writes."""
    given = Benchmark.from_arguments("scale", __doc__)
    benchmark = Benchmark(name="scale", quick=given.quick, data=given.data, document=PAGE)
    benchmark.real_data()
    with tempfile.TemporaryDirectory() as folder:
        estimate = Estimate(Dump(), measure(benchmark, Path(folder)))
    benchmark.figure("scale_hours", estimate.seconds / _HOUR)
    benchmark.figure("scale_alone_share", estimate.alone / estimate.seconds)
    benchmark.figure("scale_dedup_hours", estimate.dedup / _HOUR)
    benchmark.figure("scale_decide_gb", estimate.decide_gb)
    benchmark.figure("scale_disk_tb", estimate.written_bytes / 1e12)
    benchmark.write(write_up(estimate))


if __name__ == "__main__":
    main()
