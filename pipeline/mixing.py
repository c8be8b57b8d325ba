"""The mix as tasks: measure every curated part, select, scatter, gather into shards, score, publish.

mix/measured/<source>/part-*.parquet     what the selection must know of each document
mix/scattered/<source>/part-*.arrow      selected documents by shard; removed once the dataset stands
.dataset-<fingerprint>/                  the dataset while it is built; renamed to `dataset` when it is complete
mix/published.json                       which dataset stands at `dataset`
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from corpusmill.documents.shards import atomic_text, sha256_of
from corpusmill.mix.manifest import MANIFEST, finish, publish
from corpusmill.mix.measurement import measure_part
from corpusmill.mix.options import MixOptions
from corpusmill.mix.quality_score import LOSSES, combine, sampling_bits, score_part
from corpusmill.mix.selection import Selection, select
from corpusmill.mix.shuffle import ShardReport, Split, gather, scatter, shard_name
from corpusmill.mix.table import mix_table
from corpusmill.mix.units import load_tokenizer
from corpusmill.pipeline.recipe import Recipe, build
from corpusmill.pipeline.tasks import Counts, Outcome, Task, fingerprint

LAYOUT = 1
Parts = Mapping[str, Sequence[tuple[Path, Outcome]]]
"""For each source its curated parts, with the outcomes of the tasks that wrote them."""


class Runner(Protocol):
    """Who runs tasks and keeps the failures."""

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of `tasks`."""


@dataclass(frozen=True, slots=True)
class Measuring:
    part: Path
    out: Path
    options: MixOptions


@dataclass(frozen=True, slots=True)
class Scattering:
    part: Path
    measured: Path
    source: str
    selection: Selection
    out: Path


@dataclass(frozen=True, slots=True)
class Gathering:
    split: Split
    index: int
    scattered: tuple[Path, ...]
    selection: Selection
    folder: Path
    score: Path


def mix_options(recipe: Recipe) -> MixOptions | None:
    """The recipe's mix, checked against its sources; None where it has none.

    Raises:
        RecipeError: if a value cannot be used, or a ratio names no source.
        InputError: if the tokenizer cannot be read.
    """
    if recipe.mix is None:
        return None
    given = {"seed": recipe.seed, "name": recipe.name, **recipe.mix}
    if isinstance(given.get("tokenizer"), str):
        given["tokenizer"] = str(recipe.folder / given["tokenizer"])
    options = build(MixOptions, given, f"{recipe.file}: mix")
    options.check_sources([source.name for source in recipe.sources])
    if options.tokenizer is not None:
        load_tokenizer(options.tokenizer)
    return options


def run_mix(
    folder: Path, options: MixOptions, parts: Parts, runner: Runner, inputs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Writes the dataset of a run, or finds it written. Returns what the run's
    manifest says of it; None if a task failed.

    Raises:
        ShortSourceError: if a source is short and the policy is `error`.
    """
    measured = _measure(folder, options, parts, runner)
    if measured is None:
        return None
    selection = select({name: [task.arguments.out for task in tasks] for name, tasks in measured.items()}, options)
    counted = {name: [task.fingerprint for task in tasks] for name, tasks in measured.items()}
    wanted = fingerprint(LAYOUT, options, selection.as_dict(), counted)
    published = folder / "mix" / "published.json"
    final = folder / "dataset"
    if not _stands(published, final, wanted):
        building = folder / f".dataset-{wanted}"
        for older in folder.glob(".dataset-*"):
            if older != building and older.name != ".dataset-retired":
                shutil.rmtree(older)
        shards = _shuffle(folder, building, measured, selection, wanted, runner)
        if shards is None:
            return None
        reports = [ShardReport.from_dict(outcome.counts["shard"]) for outcome in shards]
        score = combine([done.task.arguments.score for done in shards if done.task.arguments.split == "train"])
        finish(building, options, selection, reports, score, inputs)
        publish(building, final)
        atomic_text(published, json.dumps({"fingerprint": wanted}))
    _remove_spent(folder)
    return _told(final, options, selection)


def _measure(folder: Path, options: MixOptions, parts: Parts, runner: Runner) -> dict[str, list[Task]] | None:
    counting = options.measuring()
    tokenizer = sha256_of(Path(options.tokenizer)) if options.tokenizer else None
    tasks = {
        source: [
            Task(
                key=f"mix/measure/{source}/{path.stem}",
                function="corpusmill.pipeline.mixing:measure",
                arguments=Measuring(path, folder / "mix" / "measured" / source / path.name, options),
                outputs=(folder / "mix" / "measured" / source / path.name,),
                marker=folder / "mix" / "tasks" / f"measure-{source}-{path.stem}.json",
                fingerprint=fingerprint(LAYOUT, {**counting, "tokenizer": tokenizer}, outcome.task.fingerprint),
                size=outcome.counts["bytes_out"],
            )
            for path, outcome in found
        ]
        for source, found in parts.items()
    }
    every = [task for found in tasks.values() for task in found]
    _remove_others(folder, every)
    ended = runner.run("mix: count", every)
    return tasks if _all_well(ended) else None


def _shuffle(
    folder: Path,
    building: Path,
    measured: Mapping[str, Sequence[Task]],
    selection: Selection,
    wanted: str,
    runner: Runner,
) -> list[Outcome] | None:
    """Scatters every part and gathers every shard; the outcomes of the gathering, or None if a task failed."""
    scattering = [
        Task(
            key=f"mix/scatter/{source}/{task.arguments.part.stem}",
            function="corpusmill.pipeline.mixing:scatter_part",
            arguments=Scattering(task.arguments.part, task.arguments.out, source, selection, out),
            outputs=(out,),
            marker=folder / "mix" / "tasks" / f"scatter-{source}-{task.arguments.part.stem}.json",
            fingerprint=fingerprint(LAYOUT, wanted, task.fingerprint),
            size=task.size,
        )
        for source, tasks in measured.items()
        if source in {chosen.source for chosen in selection.sources}
        for task in tasks
        for out in [folder / "mix" / "scattered" / source / f"{task.arguments.part.stem}.arrow"]
    ]
    if not _all_well(runner.run("mix: scatter", scattering)):
        return None
    scattered = tuple(task.arguments.out for task in scattering)
    splits: list[tuple[Split, int]] = [("train", index) for index in range(selection.train_shards)]
    splits += [("validation", index) for index in range(selection.validation_shards)]
    gathering = [
        Task(
            key=f"mix/gather/{split}/{index:05d}",
            function="corpusmill.pipeline.mixing:gather_shard",
            arguments=Gathering(split, index, scattered, selection, building, score),
            outputs=(building / shard_name(split, index, selection), score),
            marker=folder / "mix" / "tasks" / f"gather-{split}-{index:05d}.json",
            fingerprint=fingerprint(LAYOUT, wanted, split, index),
            size=selection.text_bytes // len(splits),
        )
        for split, index in splits
        for score in [folder / "mix" / "scores" / f"{split}-{index:05d}.npz"]
    ]
    gathered = runner.run("mix: gather", gathering)
    return gathered if _all_well(gathered) else None


def _remove_others(folder: Path, tasks: Sequence[Task]) -> None:
    """Removes measurements of parts that are not in the mix any more."""
    wanted = {path for task in tasks for path in (task.marker, *task.outputs)}
    for path in (*folder.glob("mix/measured/*/*"), *folder.glob("mix/tasks/measure-*")):
        if path not in wanted:
            path.unlink()


def _remove_spent(folder: Path) -> None:
    """Removes what only served to build the dataset, markers first; a run that was killed here left the rest to us."""
    for marker in (*folder.glob("mix/tasks/scatter-*"), *folder.glob("mix/tasks/gather-*")):
        marker.unlink()
    for spent in (folder / "mix" / "scattered", folder / "mix" / "scores", *folder.glob(".dataset-*")):
        shutil.rmtree(spent, ignore_errors=True)


def _all_well(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.error is None for outcome in outcomes)


def measure(work: Measuring) -> Counts:
    """A task: what the selection must know of each document of a part."""
    return {"rows": measure_part(work.part, work.out, work.options).rows}


def scatter_part(work: Scattering) -> Counts:
    """A task: the selected documents of a part, by shard."""
    scatter(work.part, work.measured, work.source, work.selection, work.out)
    return {}


def gather_shard(work: Gathering) -> Counts:
    """A task: one shard in its order, and what it adds to the dataset's score."""
    report = gather(work.split, work.index, work.scattered, work.selection, work.folder)
    score_part(work.folder / report.name, work.score, bits=sampling_bits(work.selection.text_bytes))
    return {"shard": report.as_dict()}


def _stands(published: Path, final: Path, wanted: str) -> bool:
    try:
        kept = json.loads(published.read_text())
        manifest = json.loads((final / MANIFEST).read_text())
        return bool(kept["fingerprint"] == wanted) and all(
            (final / shard["name"]).stat().st_size == shard["file_bytes"] for shard in manifest["shards"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Absent, cut short or somebody else's: it is made again.
        return False


def _told(final: Path, options: MixOptions, selection: Selection) -> dict[str, Any]:
    """What the run's manifest says of the dataset."""
    manifest = json.loads((final / MANIFEST).read_text())
    rows = [
        [
            row.source,
            f"{row.asked:.2%}",
            f"{row.achieved:.2%}",
            f"{row.units:,}",
            f"{row.documents:,}",
            f"{row.epochs:.2f}",
            f"{row.available:,}",
        ]
        for row in mix_table(selection)
    ]
    return {
        "unit": manifest["unit_name"],
        "table": {"head": ["source", "asked", "achieved", "units", "documents", "epochs", "available"], "rows": rows},
        "sources": manifest["sources"],
        "documents": sum(split["rows"] for split in manifest["splits"].values()),
        "shards": len(manifest["shards"]),
        "content_hash": manifest["content_hash"],
        "quality": {
            "q": manifest["quality"]["q"],
            "definition": manifest["quality"]["definition"],
            "parts": {name: manifest["quality"][name] for name in LOSSES},
        },
    }
