"""The mix as tasks: measure every curated part, find near-duplicates, place, select, scatter, gather, score, publish.

mix/measured/<source>/part-*.parquet     units of each document
mix/sketches/<source>/part-*.parquet     signatures; only where near-duplicates must not be divided among splits
mix/groups.parquet                       near-duplicates, from all sketches
mix/placed/<source>/part-*.parquet       what the selection must know of each document
mix/totals.json                          what one pass over each component has: `corpusmill mix --dry-run` reads it
mix/scattered/<source>/part-*.arrow      selected documents by shard; removed once the dataset stands
mix/notes/<source>/part-*.parquet        what Q is made of; removed, too
.dataset-<fingerprint>/                  what is built; renamed to `dataset` when all of it is complete
mix/published/*.json                     what stands where

A mix with stages writes one dataset after the other, each to a folder of its stage's name below `dataset`, and puts
them there together: until then an older dataset stands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from corpusmill.documents.shards import atomic_text
from corpusmill.mix.groups import find_groups, sketch_part
from corpusmill.mix.licenses import count_licenses
from corpusmill.mix.manifest import MANIFEST, SCHEMA_VERSION, check_free, finish, publish
from corpusmill.mix.measurement import measure_part
from corpusmill.mix.options import MixOptions
from corpusmill.mix.placement import place_part
from corpusmill.mix.quality_score import LOSSES, combine
from corpusmill.mix.ratios import with_presets
from corpusmill.mix.scoring_mix import score_placed
from corpusmill.mix.selection import Selection, Supplies, Totals, select_stages
from corpusmill.mix.shuffle import ShardReport, gather, scatter, shard_name
from corpusmill.mix.slices import Case, cases_by_source, check_cases
from corpusmill.mix.table import mix_table
from corpusmill.mix.tokens import PUBLISHED, Tokens, load_tokens
from corpusmill.pipeline.recipe import Recipe, build
from corpusmill.pipeline.tasks import Counts, Outcome, Task, fingerprint

LAYOUT = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A curated part of a source, its ledger, and the outcome of the task that wrote it."""

    documents: Path
    ledger: Path
    outcome: Outcome


Parts = Mapping[str, Sequence[Part]]
"""The parts of each source."""


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
class Sketching:
    part: Path
    out: Path


@dataclass(frozen=True, slots=True)
class Grouping:
    sketches: tuple[Path, ...]
    out: Path
    workspace: Path


@dataclass(frozen=True, slots=True)
class Placing:
    part: Path
    measured: Path
    ledger: Path
    groups: Path | None
    source: str
    cases: tuple[Case, ...]
    copies: Mapping[int, int]
    out: Path


@dataclass(frozen=True, slots=True)
class Scattering:
    part: Path
    placed: Path
    selection: Selection
    out: Path


@dataclass(frozen=True, slots=True)
class Gathering:
    split: str
    index: int
    scattered: tuple[Path, ...]
    selection: Selection
    folder: Path
    tokenizer: str | None


@dataclass(frozen=True, slots=True)
class Noting:
    part: Path
    placed: Path
    selection: Selection
    grouped: bool
    out: Path


@dataclass(frozen=True, slots=True)
class Scoring:
    notes: tuple[Path, ...]


def mix_options(recipe: Recipe) -> MixOptions | None:
    """The recipe's mix with its presets, checked against its sources and stages; None where it has none.

    Raises:
        RecipeError: if a value cannot be used, a ratio names no source or slice, or a condition cannot be asked.
        InputError: if the tokenizer cannot be read.
    """
    if recipe.mix is None:
        return None
    given = {"seed": recipe.seed, "name": recipe.name, **recipe.mix}
    if isinstance(given.get("tokenizer"), str):
        name, equals, file = given["tokenizer"].partition("=")
        own = name in PUBLISHED  # else the equals sign is the file's
        given["tokenizer"] = f"{name}{equals}{recipe.folder / file}" if own else str(recipe.folder / given["tokenizer"])
    sources = [source.name for source in recipe.sources]
    options = build(MixOptions, given, f"{recipe.file}: mix")
    options = with_presets(options, [*sources, *options.slices])
    for name, cases in cases_by_source(options, sources).items():
        [source] = [source for source in recipe.sources if source.name == name]
        measured = {f"{spec.name}.{item.name}": item.type for spec in source.stages for item in spec.build().measures}
        check_cases(cases, pa.schema(measured.items()), name)
    if options.tokenizer is not None:
        load_tokens(options.tokenizer)
    return options


@dataclass(frozen=True, slots=True)
class Mix:
    """A mix of a run: its options, and the folder that it works in."""

    folder: Path
    options: MixOptions
    parts: Parts

    @property
    def cases(self) -> dict[str, tuple[Case, ...]]:
        return cases_by_source(self.options, self.parts)

    def measuring(self) -> dict[str, list[Task]]:
        """The tasks that count units, by source, in the order of its parts."""
        options = self.options
        counting = {"unit": options.unit, "tokenizer": tokens.fingerprint if (tokens := self.tokens()) else None}
        return {
            source: [
                self._task(
                    f"measure/{source}/{part.documents.stem}",
                    measure,
                    Measuring(part.documents, self._file("measured", source, part), options),
                    (self._file("measured", source, part),),
                    fingerprint(LAYOUT, counting, part.outcome.task.fingerprint),
                    part.outcome.counts["bytes_out"],
                )
                for part in self.parts[source]
            ]
            for source in self.cases
        }

    def tokens(self) -> Tokens | None:
        return load_tokens(self.options.tokenizer) if self.options.tokenizer is not None else None

    def sketching(self) -> list[Task]:
        """The tasks that make signatures; none where splits may divide near-duplicates, or there is one split."""
        options = self.options
        if options.split_by == "document" or not (options.validation or options.heldout):
            return []
        return [
            self._task(
                f"sketch/{source}/{part.documents.stem}",
                sketch,
                Sketching(part.documents, self._file("sketches", source, part)),
                (self._file("sketches", source, part),),
                fingerprint(LAYOUT, "sketch", part.outcome.task.fingerprint),
                part.outcome.counts["bytes_out"],
            )
            for source in self.cases
            for part in self.parts[source]
        ]

    def grouping(self, sketching: Sequence[Task]) -> Task:
        """The task that finds near-duplicates."""
        out = self.folder / "mix" / "groups.parquet"
        workspace = self.folder / "mix" / "workspace"
        sketches = tuple(task.arguments.out for task in sketching)
        return self._task(
            "groups",
            group,
            Grouping(sketches, out, workspace),
            (out,),
            fingerprint(LAYOUT, [task.fingerprint for task in sketching]),
            sum(task.size for task in sketching),
        )

    def placing(self, measuring: Mapping[str, Sequence[Task]], grouping: Task | None) -> dict[str, list[Task]]:
        """The tasks that place documents, by source, in the order of its parts."""
        found: dict[str, list[Task]] = {}
        for source, cases in self.cases.items():
            for part, measured in zip(self.parts[source], measuring[source], strict=True):
                out = self._file("placed", source, part)
                work = Placing(
                    part.documents,
                    measured.arguments.out,
                    part.ledger,
                    grouping.arguments.out if grouping else None,
                    source,
                    cases,
                    self.options.copies(),
                    out,
                )
                wanted = fingerprint(
                    LAYOUT, measured.fingerprint, grouping and grouping.fingerprint, cases, work.copies
                )
                found.setdefault(source, []).append(
                    self._task(f"place/{source}/{part.documents.stem}", place, work, (out,), wanted, measured.size)
                )
        return found

    def remember(self, totals: Totals, placing: Mapping[str, Sequence[Task]]) -> None:
        """Keeps what was counted, for plans."""
        kept = {"fingerprint": self._counted(placing), **totals.as_dict()}
        atomic_text(self._totals, json.dumps(kept, indent=1) + "\n")

    def remembered(self, placing: Mapping[str, Sequence[Task]]) -> Totals | None:
        """What an earlier mix of these components counted; None if there was none."""
        try:
            kept = json.loads(self._totals.read_text())
            return Totals.from_dict(kept) if kept["fingerprint"] == self._counted(placing) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, cut short or somebody else's: it is counted again

    @property
    def _totals(self) -> Path:
        return self.folder / "mix" / "totals.json"

    def _counted(self, placing: Mapping[str, Sequence[Task]]) -> str:
        options = self.options
        tasks = {source: [task.fingerprint for task in own] for source, own in placing.items()}
        return fingerprint(LAYOUT, options.seed, options.validation, options.heldout, tasks)

    def _file(self, kind: str, source: str, part: Part) -> Path:
        return self.folder / "mix" / kind / source / part.documents.name

    def _task(
        self, name: str, function: Any, arguments: Any, outputs: tuple[Path, ...], wanted: str, size: int
    ) -> Task:
        return Task(
            key=f"mix/{name}",
            function=f"{__name__}:{function.__name__}",
            arguments=arguments,
            outputs=outputs,
            marker=self.folder / "mix" / "tasks" / f"{name.replace('/', '-')}.json",
            fingerprint=wanted,
            size=size,
        )

    def remove_others(self, tasks: Sequence[Task]) -> None:
        """Removes what was made of parts that are not in the mix any more."""
        wanted = {path for task in tasks for path in (task.marker, *task.outputs)}
        kinds = ("measured", "sketches", "placed")
        stale = [path for kind in kinds for path in self.folder.glob(f"mix/{kind}/*/*")]
        stale += [path for kind in ("measure", "sketch", "place") for path in self.folder.glob(f"mix/tasks/{kind}-*")]
        for path in stale:
            if path not in wanted:
                path.unlink()


def run_mix(
    folder: Path, options: MixOptions, parts: Parts, runner: Runner, inputs: Mapping[str, Any], final: Path
) -> dict[str, Any] | None:
    """Writes the datasets of a run, or finds them written. Returns what the run's manifest says of them; None if a task
    failed.

    Raises:
        ShortSourceError: if a source is short and the policy is `error`.
        RecipeError: if a licence is denied, or a condition fails on a document.
    """
    check_free(final)
    mix = Mix(folder, options, parts)
    measuring, sketching = mix.measuring(), mix.sketching()
    grouping = mix.grouping(sketching) if sketching else None
    placing = mix.placing(measuring, grouping)
    counting = [task for own in measuring.values() for task in own] + sketching
    placed = [task for own in placing.values() for task in own]
    mix.remove_others([*counting, *placed])
    if not all_well(runner.run("mix: count", counting)):
        return None
    if grouping is not None and not all_well(runner.run("mix: near-duplicates", [grouping])):
        return None
    ended = runner.run("mix: place", placed)
    if not all_well(ended):
        return None
    options.licenses.check(_licenses(ended))
    supplies = Supplies({source: [task.arguments.out for task in own] for source, own in placing.items()}, options)
    mix.remember(supplies.totals(), placing)
    selections = select_stages(supplies, options)
    documents = {source: [task.fingerprint for task in own] for source, own in placing.items()}
    tokens = mix.tokens()
    counter = tokens.fingerprint if tokens else None  # wherever its file lies
    chosen = {
        stage: [replace(asked, tokenizer=counter), selections[stage].as_dict()]
        for stage, asked in options.datasets().items()
    }
    wanted = fingerprint(LAYOUT, SCHEMA_VERSION, chosen, documents)
    place = _Place(folder, final, wanted)
    datasets = [
        _Dataset(mix, asked, selections[stage], wanted, stage, place.building / stage, tokens)
        for stage, asked in options.datasets().items()
    ]
    if not place.stands():
        place.tidy()
        if not all(dataset.write(placing, runner, inputs) for dataset in datasets):
            return None
        place.publish()
    place.tidy()
    _remove_spent(folder)
    return {"datasets": [dataset.told(final, place.from_run) for dataset in datasets]}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the datasets of a mix go, and where they are built."""

    run: Path
    final: Path
    wanted: str

    @property
    def from_run(self) -> str:
        """The place from the run's folder, which can be moved."""
        return os.path.relpath(self.final, self.run)

    @property
    def building(self) -> Path:
        return self.final.with_name(f".{self.final.name}-{self.wanted}")

    @property
    def _record(self) -> Path:
        return self.run / "mix" / "published" / f"{fingerprint(self.from_run)}.json"

    def stands(self) -> bool:
        """Whether what is wanted is there, every file with its size."""
        try:
            kept = json.loads(self._record.read_text())
            return bool(kept["fingerprint"] == self.wanted and kept["files"] == _sizes(self.final))
        except (OSError, ValueError, KeyError, TypeError):
            return False  # absent, cut short or somebody else's: it is made again

    def publish(self) -> None:
        publish(self.building, self.final)
        atomic_text(self._record, json.dumps({"fingerprint": self.wanted, "files": _sizes(self.final)}, indent=1))

    def tidy(self) -> None:
        """Removes what other mixes that were never finished have built here. Other names are somebody else's."""
        ours = re.compile(rf"\.{re.escape(self.final.name)}-[0-9a-f]{{16}}(-retired)?")
        for older in self.final.parent.glob(".*"):
            if ours.fullmatch(older.name) and older != self.building and older.is_dir() and not older.is_symlink():
                shutil.rmtree(older)


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True, slots=True)
class _Dataset:
    """One dataset on its way to its place."""

    mix: Mix
    options: MixOptions
    selection: Selection
    wanted: str
    stage: str
    folder: Path
    tokens: Tokens | None

    def write(self, placing: Mapping[str, Sequence[Task]], runner: Runner, inputs: Mapping[str, Any]) -> bool:
        """Writes it; False if a task failed."""
        shards = self._shuffle(placing, runner)
        quality = self._score(placing, runner) if shards is not None else None
        if shards is None or quality is None:
            return False
        reports = [ShardReport.from_dict(outcome.counts["shard"]) for outcome in shards]
        tokens = self.tokens
        counted = (
            {"name": tokens.name, "fingerprint": tokens.fingerprint, "vocab_size": tokens.vocab_size}
            if tokens
            else None
        )
        finish(self.folder, self.options, self.selection, reports, quality, inputs, counted)
        return True

    def _shuffle(self, placing: Mapping[str, Sequence[Task]], runner: Runner) -> list[Outcome] | None:
        """Scatters every part and gathers every shard; the outcomes of the gathering, or None if a task failed."""
        selection, spent = self.selection, self.mix.folder / "mix" / "scattered" / self.stage
        scattering = [
            self._task(
                f"scatter/{source}/{task.arguments.part.stem}",
                scatter_part,
                Scattering(task.arguments.part, task.arguments.out, selection, out),
                (out,),
                (task.fingerprint,),
                task.size,
            )
            for source, task in self._wanted(placing)
            for out in [spent / source / f"{task.arguments.part.stem}.arrow"]
        ]
        scattered = tuple(task.arguments.out for task in scattering)
        splits = [(split, index) for split, count in selection.shards.items() for index in range(count)]
        counted = self.tokens.fingerprint if self.tokens else None
        gathering = [
            self._task(
                f"gather/{split}/{index:05d}",
                gather_shard,
                Gathering(split, index, scattered, selection, self.folder, counted),
                (self.folder / shard_name(split, index, selection),),
                (split, index),
                selection.text_bytes // len(splits),
            )
            for split, index in splits
        ]
        # Of an earlier stage that is written, an interrupted mix has left nothing that is scattered.
        needed = any(task.done() is None for task in gathering)
        if needed and not all_well(runner.run("mix: scatter", scattering)):
            return None
        gathered = runner.run("mix: gather", gathering)
        if not all_well(gathered):
            return None
        shutil.rmtree(spent, ignore_errors=True)
        return gathered

    def _score(self, placing: Mapping[str, Sequence[Task]], runner: Runner) -> dict[str, Any] | None:
        """Q of the train split, from the curated documents; None if a task failed."""
        spent = self.mix.folder / "mix" / "notes" / self.stage
        noting = [
            self._task(
                f"note/{source}/{task.arguments.part.stem}",
                note_part,
                Noting(task.arguments.part, task.arguments.out, self.selection, task.arguments.groups is not None, out),
                (out,),
                (task.fingerprint,),
                task.size,
            )
            for source, task in self._wanted(placing)
            for out in [spent / source / f"{task.arguments.part.stem}.parquet"]
        ]
        notes = tuple(task.arguments.out for task in noting)
        scoring = self._task("score", score, Scoring(notes), (), (), sum(task.size for task in noting))
        if scoring.done() is None and not all_well(runner.run("mix: note for Q", noting)):
            return None
        [scored] = runner.run("mix: Q", [scoring])
        if scored.error is not None:
            return None
        shutil.rmtree(spent, ignore_errors=True)
        return dict(scored.counts["quality"])

    def _wanted(self, placing: Mapping[str, Sequence[Task]]) -> list[tuple[str, Task]]:
        """The placements of the sources that the dataset takes from."""
        sources = {chosen.source for chosen in self.selection.components}
        return [(source, task) for source, tasks in placing.items() if source in sources for task in tasks]

    def _task(
        self, name: str, function: Any, arguments: Any, outputs: tuple[Path, ...], depends: tuple[Any, ...], size: int
    ) -> Task:
        wanted = fingerprint(LAYOUT, self.wanted, os.path.relpath(self.folder, self.mix.folder), *depends)
        kind, slash, rest = name.partition("/")
        name = f"{kind}/{self.stage}{slash}{rest}" if self.stage else name
        return self.mix._task(name, function, arguments, outputs, wanted, size)

    def told(self, final: Path, from_run: str) -> dict[str, Any]:
        """What the run's manifest says of it, when it stands at `final`."""
        manifest = json.loads((final / self.stage / MANIFEST).read_text())
        rows = [
            [
                row.component,
                f"{row.asked:.2%}",
                f"{row.achieved:.2%}",
                f"{row.units:,}",
                f"{row.effective:,.0f}",
                f"{row.documents:,}",
                f"{row.epochs:.2f}",
                f"{row.available:,}",
            ]
            for row in mix_table(self.selection)
        ]
        return {
            "stage": self.stage,
            "folder": os.path.normpath(os.path.join(from_run, self.stage)),
            "max_epochs": self.options.max_epochs,
            "unit": manifest["unit_name"],
            "budget": self.options.budget,
            "table": {"head": TABLE_HEAD, "rows": rows},
            "components": manifest["components"],
            "splits": {name: split["rows"] for name, split in manifest["splits"].items()},
            "shards": len(manifest["shards"]),
            "content_hash": manifest["content_hash"],
            "quality": {
                "q": manifest["quality"]["q"],
                "definition": manifest["quality"]["definition"],
                "parts": {name: manifest["quality"][name] for name in LOSSES},
            },
        }


TABLE_HEAD = ["component", "asked", "achieved", "units", "worth in new text", "documents", "epochs", "available"]


def _licenses(placed: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Documents by component and licence."""
    sums: dict[str, dict[str, int]] = {}
    for outcome in placed:
        for component, licenses in outcome.counts["licenses"].items():
            own = sums.setdefault(component, {})
            for name, documents in licenses.items():
                own[name] = own.get(name, 0) + documents
    return sums


def _remove_spent(folder: Path) -> None:
    """Removes what only served to build the datasets, markers first; a run that was killed here left the rest to us."""
    for kind in ("scatter", "gather", "note", "score"):
        for marker in folder.glob(f"mix/tasks/{kind}*"):
            marker.unlink()
    for spent in ("scattered", "notes", "workspace"):
        shutil.rmtree(folder / "mix" / spent, ignore_errors=True)


def all_well(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.error is None for outcome in outcomes)


def measure(work: Measuring) -> Counts:
    """A task: the units of each document of a part."""
    return {"rows": measure_part(work.part, work.out, work.options).rows}


def sketch(work: Sketching) -> Counts:
    """A task: the signature of each document of a part."""
    return {"rows": sketch_part(work.part, work.out).rows}


def group(work: Grouping) -> Counts:
    """A task: near-duplicates among all documents of the sketches."""
    return find_groups(work.sketches, work.out, work.workspace).as_dict()


def place(work: Placing) -> Counts:
    """A task: what the selection must know of each document of a part."""
    place_part(work.part, work.measured, work.ledger, work.groups, work.cases, work.copies, work.out)
    return {"licenses": {name: dict(own) for name, own in count_licenses(work.part, work.out, work.source).items()}}


def scatter_part(work: Scattering) -> Counts:
    """A task: the selected documents of a part, by shard."""
    scatter(work.part, work.placed, work.selection, work.out)
    return {}


def gather_shard(work: Gathering) -> Counts:
    """A task: one shard in its order."""
    return {
        "shard": gather(work.split, work.index, work.scattered, work.selection, work.folder, work.tokenizer).as_dict()
    }


def note_part(work: Noting) -> Counts:
    """A task: what the score must know of a part."""
    score_placed(work.part, work.placed, work.selection, work.out, grouped=work.grouped)
    return {}


def score(work: Scoring) -> Counts:
    """A task: the dataset's Q."""
    return {"quality": combine(work.notes).as_dict()}
