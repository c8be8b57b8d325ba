"""The FineWeb chain from end to end: `corpusmill run` against stock datatrove, on the same documents, in one run.

Language → Gopher repetition → Gopher quality → C4 → FineWeb quality → MinHash (14 × 8, 5-grams) → PII, with two workers
each: from Parquet text, and from WARC (ours extracts with its own engine, datatrove with trafilatura, as their FineWeb
recipes do). Both are commands, timed by the wall clock from their start to their end, taking turns.

Steady state is the slope: the seconds that a larger input takes more, over what it has more. Start-up (imports, loading
models and kernels, the executors) falls out of it. datatrove is some hundred times slower, so its two inputs are
smaller than ours; all are beginnings of one mixture, whose order is that of a hash. The larger of datatrove's inputs is
the smaller of ours: on that, both are compared with their start-up, and document by document.

    figure end_to_end_vs_datatrove                seconds a byte in steady state, datatrove's over ours, from Parquet
    figure end_to_end_vs_datatrove_cpu            the same in CPU seconds, which other load disturbs less
    figure end_to_end_vs_datatrove_with_start_up  seconds for the same input, start-up included
    figure end_to_end_mb_per_s                    ours, steady state, MB of text
    figure datatrove_mb_per_s                     datatrove's, steady state
    figure end_to_end_agreement                   share of documents that both keep, or both drop, in the end
    figure end_to_end_filter_agreement            the same before MinHash, which picks other twins
    figure warc_vs_datatrove                      seconds a page in steady state, from WARC
    figure warc_vs_datatrove_cpu                  the same in CPU seconds
    figure warc_vs_datatrove_with_start_up        seconds for the same pages, start-up included
    figure warc_pages_per_s                       ours, steady state
    figure peak_worker_mb                         the most memory that any worker of ours ever held (VmHWM)
    figure peak_worker_mb_small                   the same on the smaller Parquet input
    figure peak_worker_mb_large                   the same on the larger
    figure other_cores_busy                       cores that other processes kept busy meanwhile, on average; figures
                                                  by the wall clock can be trusted where this is near 0
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import pyarrow.dataset as ds
import yaml
from harness import Benchmark, child_environment, table
from peers_venv import peers_environment, peers_python
from processes import Usage, watched
from prose import Item, prose, write_parquet
from web_pages import write_pages

WORKERS = 2
SPLIT_BYTES = 4_000_000
"""Of our recipe: small enough that the smaller inputs, too, are cut into a task for each worker."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Input sizes, ascending: the first two are for datatrove, the last two for ours."""

    text_bytes: tuple[int, int, int]
    pages: tuple[int, int, int]
    rounds: int


QUICK = Plan(text_bytes=(100_000, 600_000, 12_000_000), pages=(20, 100, 600), rounds=1)
FULL = Plan(text_bytes=(4_000_000, 12_000_000, 96_000_000), pages=(300, 900, 2_900), rounds=3)


@dataclass(slots=True)
class Slope:
    """What one contender took for its two inputs, a usage for each round.

    Of several rounds the least counts: what else the machine does can only add to it.
    """

    sizes: tuple[int, int]
    usages: dict[int, list[Usage]] = field(default_factory=dict)

    def add(self, size: int, usage: Usage) -> None:
        self.usages.setdefault(size, []).append(usage)

    def least(self, size: int, attribute: str = "seconds") -> float:
        return min(float(getattr(usage, attribute)) for usage in self.usages[size])

    def per_unit(self, attribute: str = "seconds") -> float:
        """What one more byte or page takes."""
        small, large = self.sizes
        return (self.least(large, attribute) - self.least(small, attribute)) / (large - small)


@dataclass(frozen=True, slots=True)
class Race:
    """Both contenders over one kind of input."""

    ours: Slope
    theirs: Slope

    def steady(self, attribute: str = "seconds") -> float:
        """How many times as long datatrove takes for one more byte or page."""
        return self.theirs.per_unit(attribute) / self.ours.per_unit(attribute)

    def with_start_up(self) -> float:
        """How many times as long datatrove takes for the input that both had."""
        size = self.ours.sizes[0]
        return self.theirs.least(size) / self.ours.least(size)

    def all_usages(self) -> list[Usage]:
        return [usage for slope in (self.ours, self.theirs) for some in slope.usages.values() for usage in some]


def main() -> None:
    benchmark = Benchmark.from_arguments("end_to_end", __doc__)
    plan, data = (QUICK if benchmark.quick else FULL), benchmark.real_data()
    peers_python()
    with tempfile.TemporaryDirectory(prefix="end_to_end-") as folder:
        work = Path(folder)
        items = prose(data, plan.text_bytes[-1])
        texts = {size: beginning(items, size, work / f"text-{size}") for size in plan.text_bytes}
        pages = {size: work / f"warc-{size}" for size in plan.pages}
        write_pages(data, pages, WORKERS)
        run_ours("parquet", texts[plan.text_bytes[0]], work / "warm-up")  # compiles what is not compiled yet
        run_ours("warc", pages[plan.pages[0]], work / "warm-up")
        parquet = race("parquet", texts, plan.rounds, work)
        verdicts = compared(work, texts[plan.text_bytes[1]])
        warc = race("warc", pages, plan.rounds, work)
    report(benchmark, parquet, warc, verdicts)


def beginning(items: Sequence[Item], size: int, folder: Path) -> Path:
    """The first documents that have `size` bytes together, as one Parquet file for each worker."""
    taken: list[Item] = []
    total = 0
    for item in items:
        if total >= size:
            break
        taken.append(item)
        total += len(item[1].encode())
    write_parquet(taken, folder, WORKERS)
    return folder


def race(kind: str, inputs: Mapping[int, Path], rounds: int, work: Path) -> Race:
    """Runs both over their inputs in turn, `rounds` times. The outputs for the input of both stay in `work`."""
    small, middle, large = inputs
    ours, theirs = Slope((middle, large)), Slope((small, middle))
    for _ in range(rounds):
        for size in (small, middle):
            theirs.add(size, run_datatrove(kind, inputs[size], work / f"datatrove-{kind}"))
        for size in (large, middle):
            ours.add(size, run_ours(kind, inputs[size], work / f"ours-{kind}"))
    return Race(ours, theirs)


def run_ours(kind: str, source: Path, work: Path) -> Usage:
    """The published recipe `fineweb`, as the command runs it."""
    _empty(work)
    recipe = {
        "name": "fineweb",
        "split_bytes": SPLIT_BYTES,
        "sources": {"web": {"paths": [str(source)], "kind": kind, "stages": [{"use": "fineweb"}]}},
    }
    path = work / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "corpusmill.pipeline.command", "run", str(path), "--workers", str(WORKERS)]
    return watched([*command, "--runs", str(work / "runs")], child_environment(), work / "log.txt")


def run_datatrove(kind: str, source: Path, work: Path) -> Usage:
    """datatrove_chain.py in the peers' environment."""
    _empty(work)
    script = Path(__file__).with_name("datatrove_chain.py")
    command = [str(peers_python()), str(script), kind, str(source), str(work)]
    return watched(command, peers_environment(), work / "log.txt")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What both made of the same documents, as sets of the names of those that stayed."""

    n_documents: int
    ours_filtered: frozenset[str]
    theirs_filtered: frozenset[str]
    ours: frozenset[str]
    theirs: frozenset[str]
    dropped_by_ours: Counter[str]
    """Of those that only datatrove's filters kept: how many each rule of ours dropped, as stage/reason."""

    @property
    def agreement(self) -> float:
        return 1 - len(self.ours ^ self.theirs) / self.n_documents

    @property
    def filter_agreement(self) -> float:
        return 1 - len(self.ours_filtered ^ self.theirs_filtered) / self.n_documents


def compared(work: Path, source: Path) -> Verdicts:
    """Reads the last outputs of both over `source`."""
    parts = sorted((work / "ours-parquet" / "runs" / "fineweb" / "web" / "ledger").glob("part-*.parquet"))
    ledger = ds.dataset([str(part) for part in parts], format="parquet")
    rows = {row["url"]: row for row in ledger.to_table(["url", "stage", "reason"]).to_pylist()}
    folder = work / "datatrove-parquet"
    filtered: set[str] = set()
    for path in sorted((folder / "filtered").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            filtered.update(json.loads(line)["id"] for line in stream)
    curated = ds.dataset(folder / "curated", format="parquet").to_table(["id"])["id"].to_pylist()
    ours_filtered = frozenset(url for url, row in rows.items() if row["stage"] in (None, "minhash_dedup"))
    return Verdicts(
        n_documents=ds.dataset(source, format="parquet").count_rows(),
        ours_filtered=ours_filtered,
        theirs_filtered=frozenset(filtered),
        ours=frozenset(url for url, row in rows.items() if row["stage"] is None),
        theirs=frozenset(curated),
        dropped_by_ours=Counter("{stage}/{reason}".format(**rows[url]) for url in filtered - ours_filtered),
    )


def report(benchmark: Benchmark, parquet: Race, warc: Race, verdicts: Verdicts) -> None:
    """Prints the figures and writes the section."""
    small, large = (max(u.worker_mb for u in parquet.ours.usages[size]) for size in parquet.ours.sizes)
    of_pages = max(u.worker_mb for some in warc.ours.usages.values() for u in some)
    others = fmean(usage.other_cores for usage in [*parquet.all_usages(), *warc.all_usages()])
    parquet_cpu, warc_cpu = parquet.steady("cpu_seconds"), warc.steady("cpu_seconds")
    benchmark.figure("end_to_end_vs_datatrove", parquet.steady())
    benchmark.figure("end_to_end_vs_datatrove_cpu", parquet_cpu)
    benchmark.figure("end_to_end_vs_datatrove_with_start_up", parquet.with_start_up())
    benchmark.figure("end_to_end_mb_per_s", 1e-6 / parquet.ours.per_unit())
    benchmark.figure("datatrove_mb_per_s", 1e-6 / parquet.theirs.per_unit())
    benchmark.figure("end_to_end_agreement", verdicts.agreement)
    benchmark.figure("end_to_end_filter_agreement", verdicts.filter_agreement)
    benchmark.figure("warc_vs_datatrove", warc.steady())
    benchmark.figure("warc_vs_datatrove_cpu", warc_cpu)
    benchmark.figure("warc_vs_datatrove_with_start_up", warc.with_start_up())
    benchmark.figure("warc_pages_per_s", 1 / warc.ours.per_unit())
    benchmark.figure("peak_worker_mb", max(small, large, of_pages))
    benchmark.figure("peak_worker_mb_small", small)
    benchmark.figure("peak_worker_mb_large", large)
    benchmark.figure("other_cores_busy", others)
    rounds = len(next(iter(parquet.ours.usages.values())))
    benchmark.write(
        [
            "### The FineWeb chain from end to end, against stock datatrove 0.10.1",
            "`corpusmill run` with `use: fineweb` and datatrove's own FineWeb example on its local executor, "
            f"{WORKERS} workers each; wall clock of the whole command, taking turns, the fastest of {rounds}. Steady "
            "state is the slope between two inputs: what the larger takes more, over what it has more, so that "
            "start-up falls out. datatrove's inputs are smaller than ours, of the same mixture; with start-up, both "
            f"are compared on the same input. Other processes kept {others:.1f} cores busy meanwhile. In CPU seconds, "
            "which that disturbs less, ours is in steady state "
            f"{parquet_cpu:.0f} times as fast from Parquet and {warc_cpu:.0f} times from WARC.",
            table(_HEADER, [*_rows("Parquet, MB of text", parquet, 1e6), *_rows("WARC, pages", warc, 1)]),
            _compared(verdicts),
            f"Memory: the largest worker of ours held {small:.0f} MB on {parquet.ours.sizes[0] / 1e6:g} MB of text, "
            f"and {large:.0f} MB on {parquet.ours.sizes[1] / 1e6:g} MB.",
            _ABOUT,
        ]
    )


_HEADER = ["", "steady state, a second", "smaller input", "seconds", "larger input", "seconds"]
_ABOUT = (
    "The input is benchmarks/prose.py's mixture of the shared real data, and its pages.warc.gz. datatrove runs as "
    "it is shipped, with spaCy's blank English tokenizer and sentencizer, and the blocks and options of its "
    "examples/fineweb.py. What differs from the example: lid.176.ftz, the quantised form of the language model, "
    "lies in its cache in place of lid.176.bin, which cannot be downloaded here; the language is given as `en`; "
    "the URL filter, the writers of dropped documents and the token counter are left out, in its favour; PII is "
    "replaced, and Parquet written, at the end. Ours writes its ledger, a row for every document with every "
    "measure, in the time given. Its kernels are compiled before the first run."
)


def _rows(name: str, race: Race, unit: float) -> list[list[object]]:
    def row(contender: str, slope: Slope) -> list[object]:
        small, large = slope.sizes
        rate = 1 / unit / slope.per_unit()
        inputs = [value for size in (small, large) for value in (f"{size / unit:g}", slope.least(size))]
        return [f"{name}: {contender}", rate, *inputs]

    ratio: list[object] = [f"{name}: times as fast", race.steady(), "with start-up", race.with_start_up(), "", ""]
    return [row("corpusmill", race.ours), row("datatrove", race.theirs), ratio]


def _compared(verdicts: Verdicts) -> str:
    most = ", ".join(f"{rule} {count:,}" for rule, count in verdicts.dropped_by_ours.most_common(4))
    return (
        f"Of {verdicts.n_documents:,} documents that both had, ours keeps {len(verdicts.ours):,} and datatrove "
        f"{len(verdicts.theirs):,}; {verdicts.agreement:.1%} meet the same end, {verdicts.filter_agreement:.1%} before "
        f"MinHash. Dropped by our filters alone: {len(verdicts.theirs_filtered - verdicts.ours_filtered):,}"
        f"{f' ({most})' if most else ''}; by datatrove's alone: "
        f"{len(verdicts.ours_filtered - verdicts.theirs_filtered):,}. Words differ: ours are `\\w+|[^\\w\\s]`, so "
        "`don't` is three tokens and `--` two, where spaCy's are two and one. A smaller share of ours has a letter in "
        "it, and Gopher's rule on that share, at 0.8, drops more; its n-grams repeat more where signs draw a line."
    )


if __name__ == "__main__":
    main()
