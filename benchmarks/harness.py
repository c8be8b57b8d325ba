"""What the benchmark scripts share: arguments, races, figures, and their section of docs/benchmarks.md.

A script is run from anywhere as `python benchmarks/NAME.py [--quick] [--data FOLDER]`:

    benchmark = Benchmark.from_arguments("language", __doc__)
    timings = race({"ours": ours, "py3langid": library}, rounds=5)
    benchmark.figure("lid_vs_py3langid", timings.ratio("py3langid", "ours"))
    benchmark.write([table(["", "MB/s"], rows)])

Every figure is a line `figure NAME VALUE` on standard output. The section of docs/benchmarks.md between
`<!-- begin NAME -->` and `<!-- end NAME -->` is replaced in one step; a quick run leaves that of a full run alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from corpusmill.documents.shards import atomic_text

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BENCHMARKS = "# Benchmarks\n\nEach section is written by the script of its name in benchmarks/.\n"
_QUICK = "Quick run"  # how a section's last line begins


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each contender, one for each round."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        return median(self.seconds[name])

    def ratio(self, slower: str, faster: str) -> float:
        """How many times as long `slower` takes: the median over rounds, whose contenders ran under the same load."""
        return median(a / b for a, b in zip(self.seconds[slower], self.seconds[faster], strict=True))


def race(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> Timings:
    """Times the contenders in turn, `rounds` times, each round beginning with the next one.

    Each runs once before that, untimed: kernels are compiled, models loaded, files cached. Contenders of one thread are
    best timed by `time.process_time`, which leaves out what else the machine was doing.
    """
    return race_timed({name: _timed(run, clock) for name, run in contenders.items()}, rounds)


def race_timed(contenders: Mapping[str, Callable[[], float]], rounds: int = 5) -> Timings:
    """The same for contenders that time themselves, such as one in a child process: each returns its seconds."""
    names = list(contenders)
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(contenders[name]())
    return Timings(seconds)


def _timed(run: Callable[[], object], clock: Callable[[], float]) -> Callable[[], float]:
    def timed() -> float:
        begun = clock()
        run()
        return clock() - begun

    return timed


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One run of one script."""

    name: str
    """Also that of its section in the document."""
    quick: bool = False
    data: Path | None = None
    only: tuple[str, ...] = ()
    """The topics asked for; all where it is empty."""
    document: Path = DOCUMENT
    title: str = BENCHMARKS
    """What a new document begins with."""
    figures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_arguments(
        cls,
        name: str,
        description: str | None,
        arguments: Sequence[str] | None = None,
        topics: Sequence[str] = (),
    ) -> Benchmark:
        """Reads the command line that all scripts share; one that has several topics may run some of them."""
        parser = argparse.ArgumentParser(
            prog=f"{name}.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--quick", action="store_true", help="smaller input and fewer rounds, under a minute")
        parser.add_argument(
            "--data",
            type=Path,
            default=os.environ.get("CORPUSMILL_REALDATA"),
            help="folder of the unpacked real data (default: the environment variable CORPUSMILL_REALDATA)",
        )
        if topics:
            parser.add_argument("--only", action="append", choices=topics, default=[], help="this topic; repeatable")
        given = parser.parse_args(arguments)
        only = tuple(given.only) if topics else ()
        return cls(name=name, quick=given.quick, data=given.data, only=only)

    def real_data(self) -> Path:
        """The folder of the real data. Without one, the script ends with a message."""
        if self.data is None or not self.data.is_dir():
            raise SystemExit(
                f"{self.data or 'no folder'}: the real data is not there; name its folder with --data or in the "
                "environment variable CORPUSMILL_REALDATA"
            )
        return self.data

    def figure(self, name: str, value: float) -> None:
        """Prints and records one figure."""
        self.figures[name] = value
        print(f"figure {name} {value:.6g}", flush=True)

    def write(self, paragraphs: Sequence[str], topic: str | None = None) -> bool:
        """Replaces this script's section of the document, or its section on a topic, by Markdown paragraphs and a line
        on the run.

        Returns whether it did: a quick run does not take the place of a full one.
        """
        text = self.document.read_text() if self.document.exists() else self.title
        kind = _QUICK if self.quick else "Full run"
        script = f"benchmarks/{self.name}.py" + (f" --only {topic}" if topic else "")
        section = f"{self.name}_{topic}" if topic else self.name
        line = f"{kind} of {script} on {time.strftime('%Y-%m-%d')}: {machine()}."
        changed = with_section(text, section, "\n\n".join([*paragraphs, line]), keep_full=self.quick)
        if changed is None:
            print(f"{self.document}: keeps the section of a full run", file=sys.stderr)
            return False
        atomic_text(self.document, changed)
        return True


def with_section(text: str, name: str, body: str, *, keep_full: bool) -> str | None:
    """`text` with `body` as its section `name`, at the end if there is none yet.

    None if `keep_full` and the section that is there was not written by a quick run.

    Raises:
        ValueError: if the section's two marks are not there in order.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{body}\n{end}"
    if begin not in text and end not in text:
        return f"{text.rstrip()}\n\n{section}\n"
    before, opened, rest = text.partition(begin)
    old, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"docs/benchmarks.md: section {name} needs `{begin}` and then `{end}`")
    if keep_full and not old.strip().rpartition("\n")[2].startswith(_QUICK):
        return None
    return before + section + after


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Numbers are shortened to three digits; all columns but the first are set flush right.

    >>> print(table(["input", "MB/s"], [["prose", 71.23456]]))
    | input | MB/s |
    |---|---:|
    | prose | 71.2 |
    """
    lines = [list(header), *([shortened(cell) for cell in row] for row in rows)]
    rule = "|---|" + "---:|" * (len(header) - 1)
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([written[0], rule, *written[1:]])


def shortened(value: object) -> str:
    """A number with three digits and no exponent, anything else as it is.

    >>> shortened(1234567.0), shortened(0.00012345), shortened(3)
    ('1,234,567', '0.000123', '3')
    """
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2e}"


def machine() -> str:
    """The processor, the cores this process may use, and the Python."""
    model = platform.processor() or platform.machine()
    if (cpus := Path("/proc/cpuinfo")).exists():
        lines = (line.partition(":") for line in cpus.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}"


def child_environment() -> dict[str, str]:
    """Environment variables for child processes: ours, but .pyc files are kept, or cached kernels load slowly."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
