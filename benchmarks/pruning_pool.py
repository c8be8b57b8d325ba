"""The pool of the pruning experiment, curated and swept by the command as a user would; docs/experiments/pruning/ has
its recipes.

A folder that CORPUSMILL_SWEEPS names is kept, and what is done there is not done again.
"""

from __future__ import annotations

import atexit
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import copyfile
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from harness import child_environment, table

from corpusmill.scaling.contract import ERRORS
from corpusmill.scaling.pools import Cell, select

EXPERIMENT = Path(__file__).resolve().parent.parent / "docs" / "experiments" / "pruning"
JUNK = 9_000
"""Documents."""
LONGEST_WORD = 30
"""Letters; longer ones are pieces of encoded attachments."""
QUICK_PATHS = {
    "forum": "['${REALDATA}/text/newsgroups20_bydate/*test*/**/[0-9]*']",
    "books": "['${REALDATA}/text/books_classic_markdown_a/[A-C]*']",
    "mail": "['${REALDATA}/quality/spamassassin_mail_a/spam-*/*.txt']",
}
"""Inputs that have to do where it has to be quick."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Where the pool lies.

    realdata   the folder of the real data
    folder     of models, junk and the run
    quick      whether a part of the inputs, and smaller sweeps, have to do
    """

    realdata: Path
    folder: Path
    quick: bool

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "pruning"

    def sweep(self, name: str, quick: Mapping[str, Any]) -> Sweep:
        """Runs a sweep, or finds it run.

        Args:
            quick: the values of its file that are others where it has to be quick.
        """
        file = EXPERIMENT / f"{name}.yaml"
        if self.quick:
            changed = {**yaml.safe_load(file.read_text()), **quick}
            file = self.folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump(changed))
        self.command("sweep", "run", str(EXPERIMENT / "recipe.yaml"), "--sweep", str(file), "--runs", self.runs)
        return Sweep(self.run / "scaling" / name, self.quick)

    @property
    def runs(self) -> str:
        return str(self.folder / "runs")

    def command(self, *arguments: str) -> None:
        """Runs `corpusmill`; ends with what it said if it fails."""
        sets = [
            argument
            for source, paths in QUICK_PATHS.items()
            for argument in ("--set", f"sources.{source}.paths={paths}")
        ]
        given = [*arguments, *(sets if self.quick and arguments[0] in ("run", "sweep") else [])]
        environment = child_environment() | {"REALDATA": str(self.realdata), "WORK": str(self.folder)}
        command = [sys.executable, "-m", "corpusmill.pipeline.command", *given]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SystemExit(f"corpusmill {' '.join(arguments)}: {ended.stderr.strip()[-2000:]}")


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that has been run."""

    folder: Path
    quick: bool

    @property
    def analysis(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "analysis.json").read_text())
        return found

    def cells(self) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / "cells.parquet").to_pylist()

    def best_fraction(self, score: str, size: int, proxy: str) -> float:
        """The fraction of the lowest mean loss of one score, keeping everything included."""
        losses: dict[float, list[float]] = {}
        for cell in self.cells():
            if cell["size"] == size and cell["proxy"] == proxy and cell["score"] in (score, "all"):
                losses.setdefault(cell["fraction"], []).append(cell["loss"])
        return min(losses, key=lambda fraction: sum(losses[fraction]) / len(losses[fraction]))

    def share(self, pool: str, source: str) -> float:
        """Of the pool's tokens to train on, those that are of a source."""
        documents = pq.read_table(self.folder / "documents.parquet")
        mine = documents.filter(pc.and_(documents[f"pool.{pool}"], pc.equal(documents["split"], 0)))
        whole = pc.sum(mine["tokens"]).as_py()
        return float(pc.sum(mine.filter(pc.equal(mine["source"], source))["tokens"]).as_py() / whole)

    def kept_by_source(self, pool: str, fraction: float) -> str:
        """What each score keeps of the sources, in the largest pool: shares of the kept tokens."""
        documents = pq.read_table(self.folder / "documents.parquet").combine_chunks()
        told = json.loads((self.folder / "sweep.json").read_text())
        options = told["options"]
        size = max(cell["size"] for cell in told["cells"])
        sources = options["pools"][pool]["sources"]
        rows = []
        for score, chosen in [("all", 1.0), *((name, fraction) for name in (*options["scores"], "random"))]:
            cell = Cell(pool=pool, score=score, fraction=chosen, size=size, seed=0, proxy="")
            keep = options["scores"].get(score, {"keep": "high"})["keep"]
            kept = documents.take(select(documents, cell, keep, options["seed"]).rows)
            whole = pc.sum(kept["tokens"]).as_py()
            shares = [
                (pc.sum(kept.filter(pc.equal(kept["source"], source))["tokens"]).as_py() or 0) / whole
                for source in sources
            ]
            rows.append([f"{score} {chosen:.0%}", *(f"{share:.0%}" for share in shares)])
        return table(["kept", *sources], rows)

    def paragraphs(self) -> list[str]:
        """What it showed; beside the page, its raw table and plots, unless it was a quick one."""
        name, analysis, found = self.folder.name, self.analysis, self.cells()
        written = ["\n".join(f"- {sentence}" for sentence in analysis["conclusion"])]
        notes = [f"- {panel['proxy']}: {note}" for panel in analysis["panels"] for note in panel["notes"]]
        if notes:
            written.append("\n".join(["To bear in mind:", "", *notes]))
        for panel in analysis["panels"]:
            title = (
                f"Loss in bits per byte, {panel['proxy']}: means over {len(panel['seeds'])} seeds, by size of the pool"
            )
            written += [f"{title}.", _losses(panel)]
        cost = sum(cell["seconds"] for cell in found)
        written.append(f"{len(found)} cells, {cost / 60:.0f} minutes of one core's time.")
        if not self.quick:
            _write_csv(EXPERIMENT / f"{name}.csv", found)
            plots = sorted((self.folder / "plots").glob("frontier-*.svg"))
            for plot in plots:
                copyfile(plot, EXPERIMENT / f"{name}-{plot.name}")
            links = " ".join(f"![Frontier]({name}-{plot.name})" for plot in plots)
            written.append(f"Recipe: [{name}.yaml]({name}.yaml). Raw table: [{name}.csv]({name}.csv).\n\n{links}")
        return written


def _losses(panel: Mapping[str, Any]) -> str:
    """A row a treatment, a column a size."""
    means = {(cell["score"], cell["fraction"], cell["size"]): cell for cell in panel["cells"]}
    treatments = sorted({(score, fraction) for score, fraction, _ in means}, key=lambda one: (one[0], -one[1]))
    rows = [
        [
            f"{score} {fraction:.0%}",
            *(
                f"{means[score, fraction, size]['loss']:.4f}" if (score, fraction, size) in means else "–"
                for size in panel["sizes"]
            ),
        ]
        for score, fraction in treatments
    ]
    return table(["kept", *(f"{size:,} tokens" for size in panel["sizes"])], rows)


def _write_csv(path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    """All columns but the lists of errors, which no CSV can hold."""
    names = [name for name in cells[0] if name != ERRORS]
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        for cell in cells:
            values = [cell[name] for name in names]
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


@cache
def pool(realdata: Path, *, quick: bool) -> Pool:
    """The pool, curated; once for all topics that run in this process."""
    kept = os.environ.get("CORPUSMILL_SWEEPS")
    if kept and not quick:
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        scratch = tempfile.TemporaryDirectory(prefix="sweeps-")
        atexit.register(scratch.cleanup)
        folder = Path(scratch.name)
    made = Pool(realdata, folder, quick)
    texts = {
        "english": realdata / "text" / "wikitext2_valid_test" / "wikitext-2" / "*.txt",
        "books": realdata / "text" / "books_classic_markdown_a" / ("[A-C]*/*.md" if quick else "**/*.md"),
    }
    for name, reference in texts.items():
        out = folder / f"{name}.ngrams"
        if not out.exists():
            made.command("train", "perplexity", "--texts", str(reference), "--language", "en", "--out", str(out))
    if not (folder / "junk.jsonl").exists():
        write_junk(realdata, folder / "junk.jsonl", JUNK // 3 if quick else JUNK)
    made.command("run", str(EXPERIMENT / "recipe.yaml"), "--runs", made.runs)
    return made


def write_junk(realdata: Path, out: Path, count: int) -> None:
    """Words of real mails in random order, in documents about as long as posts. No mail is in the pool that it is
    planted in, or among what is held out there."""
    chance = random.Random(5)
    mails = sorted((realdata / "quality" / "spamassassin_mail_a").rglob("*.txt"))
    words = [word for path in mails for word in path.read_text("latin-1").split() if len(word) <= LONGEST_WORD]
    with open(out, "w") as stream:
        for number in range(count):
            text = " ".join(chance.choices(words, k=chance.randint(50, 400)))
            stream.write(json.dumps({"id": f"junk-{number}", "text": text}) + "\n")
