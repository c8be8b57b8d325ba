"""The plan: a recipe's sources cut into phases at the barriers, and each phase into tasks.

    phase-1   read, extract, the stages before the first barrier; sidecars for it
    phase-2   what the barrier decided is applied; the stages up to the next barrier …
    curated   the documents of the last phase

A part is what became of one split of the input, through all phases. Which splits there are depends on the files and on
`split_bytes` alone, so results do not depend on the number of workers. A part is named after what it was read from, not
numbered, so that a file more or less leaves the names of the others' parts alone.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from corpusmill.documents.barrier import Barrier
from corpusmill.documents.codepoints import UNICODE_VERSION
from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.documents.shards import sha256_of
from corpusmill.pipeline.barriers import BarrierWork
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.phases import FirstInput, LaterInput, MapWork
from corpusmill.pipeline.recipe import Recipe, SourceSpec, StageSpec, build
from corpusmill.pipeline.sources.contract import ExtractReason, Origin, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.find import find_files
from corpusmill.pipeline.sources.registry import ALL_SUFFIXES, READERS, reader_for
from corpusmill.pipeline.tasks import Outcome, Task, fingerprint

_EXTRACTED = ("warc",)  # kinds whose records are pages, not text
_TASKS_A_SOURCE = 256
_SMALLEST_SPLIT, _LARGEST_SPLIT = 4 << 20, 256 << 20
_FILLS = {"quality": "quality", "language": "language", "language_score": "language"}  # columns by stages
LAYOUT = 4
"""Raised when phases write other files or columns, or count other things, than before."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Stages between two barriers, and the barriers that end them."""

    name: str
    stages: tuple[StageSpec, ...]
    barriers: tuple[StageSpec, ...]


@dataclass(frozen=True, slots=True)
class LedgerWork:
    """The arguments of the task that makes one row a record."""

    phases: tuple[Path, ...]
    out: Path


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """All that will be done for one source."""

    name: str
    folder: Path
    reader: Reader
    origin: Origin
    files: tuple[SourceFile, ...]
    splits: tuple[Split, ...]
    parts: tuple[str, ...]  # the name of each split's part
    phases: tuple[Phase, ...]

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(split.size for split in self.splits)

    def documents(self, phase: int, part: int) -> Path:
        last = phase == len(self.phases) - 1
        folder = self.folder / "curated" if last else self.folder / self.phases[phase].name / "documents"
        return folder / f"{self.parts[part]}.parquet"

    def ledger(self, phase: int, part: int) -> Path:
        return self.folder / self.phases[phase].name / "ledger" / f"{self.parts[part]}.parquet"

    def samples(self, phase: int, part: int) -> Path:
        return self.folder / self.phases[phase].name / "samples" / f"{self.parts[part]}.parquet"

    def sidecar(self, phase: int, barrier: str, part: int) -> Path:
        return self.folder / self.phases[phase].name / "sidecars" / barrier / f"{self.parts[part]}.parquet"

    def verdicts(self, phase: int, part: int) -> Path:
        return self.folder / self.phases[phase].name / "verdicts" / f"{self.parts[part]}.parquet"

    def merged_ledger(self, part: int) -> Path:
        return self.folder / "ledger" / f"{self.parts[part]}.parquet"

    def ledger_marker(self, part: int) -> Path:
        # Not below ledger/: readers take that folder as one table.
        return self.folder / "tasks" / f"ledger-{self.parts[part]}.json"

    def marker(self, phase: int, name: str) -> Path:
        return self.folder / self.phases[phase].name / "tasks" / f"{name}.json"

    def stages(self) -> list[StageSpec]:
        """Every stage in order, as it will be built."""
        return [spec for phase in self.phases for spec in (*phase.stages, *phase.barriers)]

    def reasons(self) -> dict[str, list[str]]:
        """Every stage in order with every reason that it can give, so that a report can start each at zero."""
        declared: dict[str, list[str]] = {"read": [str(reason) for reason in ReadReason]}
        if self.origin.extraction is not None:
            declared["extract"] = [str(reason) for reason in ExtractReason]
        for spec in self.stages():
            declared[spec.name] = [str(reason) for reason in getattr(spec.build(), "reasons", ())]
        return declared

    def map_tasks(self, phase: int, before: Mapping[int, Outcome], barrier: Outcome | None) -> dict[int, Task]:
        """The map tasks of a phase, by part: for later phases, of the parts that came through the one before."""
        here = self.phases[phase]
        identity = (
            LAYOUT,
            UNICODE_VERSION,
            self.name,
            [_identity(spec) for spec in here.stages],
            [_identity(spec, observing=True) for spec in here.barriers],
            [spec.name for spec in (self.phases[phase - 1].barriers if phase else ())],
        )
        tasks = {}
        for part in range(len(self.splits)) if phase == 0 else before:
            source: FirstInput | LaterInput
            origin: tuple[Any, ...]
            if phase == 0:
                split = self.splits[part]
                source = FirstInput(self.reader, split, self.origin)
                pieces = [(piece.file.name, piece.file.identity, piece.start, piece.stop) for piece in split.pieces]
                files = self.origin.extraction.files() if self.origin.extraction is not None else ()
                models = [_file_hash(path, path.stat().st_mtime_ns) for path in files]
                origin = (self.reader.version, self.reader, self.origin, pieces, models)
                size = split.size
            else:
                source = LaterInput(self.documents(phase - 1, part), self.verdicts(phase - 1, part))
                assert barrier is not None  # a later phase begins where a barrier ended well
                # By the verdicts themselves: a part for which nothing was decided otherwise need not be done again.
                origin = (before[part].task.fingerprint, barrier.counts["verdicts"][self.parts[part]])
                size = before[part].counts["bytes_out"]
            work = MapWork(
                source=self.name,
                input=source,
                stages=here.stages,
                decided=self.phases[phase - 1].barriers if phase else (),
                barriers=here.barriers,
                documents=self.documents(phase, part),
                ledger=self.ledger(phase, part),
                samples=self.samples(phase, part),
                sidecars={spec.name: self.sidecar(phase, spec.name, part) for spec in here.barriers},
                last=phase == len(self.phases) - 1,
            )
            tasks[part] = Task(
                key=f"{self.name}/{here.name}/{self.parts[part]}",
                function="corpusmill.pipeline.phases:run_map",
                arguments=work,
                outputs=(work.documents, work.ledger, work.samples, *work.sidecars.values()),
                marker=self.marker(phase, self.parts[part]),
                fingerprint=fingerprint(identity, origin),
                size=size,
            )
        return tasks

    def barrier_task(self, phase: int, parts: Mapping[int, Outcome]) -> Task | None:
        """The task of a phase's barriers over the parts that came through it; None where it has none."""
        here = self.phases[phase]
        if not here.barriers or not parts:
            return None
        work = BarrierWork(
            source=self.name,
            barriers=here.barriers,
            sidecars=tuple(tuple(self.sidecar(phase, spec.name, part) for part in parts) for spec in here.barriers),
            documents=tuple(self.documents(phase, part) for part in parts),
            verdicts=tuple(self.verdicts(phase, part) for part in parts),
            workspace=self.folder / here.name / "workspace",
        )
        return Task(
            key=f"{self.name}/{here.name}/{'+'.join(spec.name for spec in here.barriers)}",
            function="corpusmill.pipeline.barriers:run_barriers",
            arguments=work,
            outputs=work.verdicts,
            marker=self.marker(phase, "barriers"),
            fingerprint=fingerprint(
                LAYOUT, [_identity(spec) for spec in here.barriers], [parts[part].task.fingerprint for part in parts]
            ),
            size=sum(path.stat().st_size for paths in work.sidecars for path in paths),
        )

    def ledger_tasks(self, last: Mapping[int, Outcome]) -> dict[int, Task]:
        """The tasks that make one ledger row a record, for the parts that came through every phase."""
        tasks = {}
        for part, outcome in last.items():
            work = LedgerWork(
                tuple(self.ledger(phase, part) for phase in range(len(self.phases))), self.merged_ledger(part)
            )
            tasks[part] = Task(
                key=f"{self.name}/ledger/{self.parts[part]}",
                function="corpusmill.pipeline.plan:merge_ledger",
                arguments=work,
                outputs=(work.out,),
                marker=self.ledger_marker(part),
                fingerprint=fingerprint(LAYOUT, outcome.task.fingerprint),
                size=outcome.counts["bytes_in"],
            )
        return tasks

    def expected_files(self) -> set[Path]:
        """Every file that this plan may write below the source's folder; anything else there is of an older plan."""
        files: set[Path] = set()
        for part in range(len(self.splits)):
            files |= self.merged_files(part)
            for phase in range(len(self.phases)):
                files |= {*self.phase_files(phase, part), self.verdicts(phase, part), self.marker(phase, "barriers")}
        return files

    def phase_files(self, phase: int, part: int) -> set[Path]:
        """What the map task of a part writes."""
        sidecars = [self.sidecar(phase, spec.name, part) for spec in self.phases[phase].barriers]
        written = self.documents(phase, part), self.ledger(phase, part), self.samples(phase, part)
        return {*written, *sidecars, self.marker(phase, self.parts[part])}

    def merged_files(self, part: int) -> set[Path]:
        """What the ledger task of a part writes."""
        return {self.merged_ledger(part), self.ledger_marker(part)}


def merge_ledger(work: LedgerWork) -> dict[str, Any]:
    """One row a record, from the ledgers of a part's phases."""
    from corpusmill.pipeline.ledger import merged

    return dict(merged(work.phases, work.out))


def plan_sources(recipe: Recipe, run: Path) -> tuple[SourcePlan, ...]:
    """Finds every input, checks every stage and model, and cuts the work. Writes nothing.

    Raises:
        RecipeError, InputError: for whatever would stop the run later.
    """
    return tuple(_plan_source(recipe, spec, run / spec.name) for spec in recipe.sources)


def _plan_source(recipe: Recipe, spec: SourceSpec, folder: Path) -> SourcePlan:
    reader_class, files = _inputs(recipe, spec)
    reader = build(reader_class, spec.read, f"{spec.place}.read")
    extraction = build(Extraction, spec.extract, f"{spec.place}.extract") if reader.kind in _EXTRACTED else None
    if spec.extract and extraction is None:
        raise RecipeError(f"{spec.place}.extract: {reader.kind} files hold text already; take this key out")
    if extraction is not None:
        extraction.prepare()
    stages = [_seeded(stage, recipe) for stage in spec.stages]
    for stage in stages:
        stage.build().prepare()
    splits = tuple(reader.splits(files, recipe.split_bytes or automatic_split(files)))
    return SourcePlan(
        name=spec.name,
        folder=folder,
        reader=reader,
        origin=Origin(spec.name, spec.license, spec.language, extraction),
        files=tuple(files),
        splits=splits,
        parts=tuple(_part_name(split) for split in splits),
        phases=_phases(stages),
    )


def _part_name(split: Split) -> str:
    """A part's name: the first file's, as far as it is plain and short, and a hash of all that the split holds."""
    base = split.pieces[0].file.name.rsplit("/", 1)[-1].split(".")[0]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", base)[:40]
    return f"part-{readable}-{fingerprint([(piece.file.name, piece.start, piece.stop) for piece in split.pieces])}"


def automatic_split(files: Sequence[SourceFile]) -> int:
    """Bytes of a split where the recipe names none: for about 256 tasks a source, from 4 MiB to 256 MiB each.

    By powers of two, so that a source that grows keeps its parts until it has doubled.

    >>> [automatic_split([SourceFile("a", "a", size, "")]) >> 20 for size in (10**6, 2 * 10**9, 10**10, 10**12)]
    [4, 8, 64, 256]
    """
    share = -(-sum(file.size for file in files) // _TASKS_A_SOURCE)
    return min(max(1 << max(share - 1, 0).bit_length(), _SMALLEST_SPLIT), _LARGEST_SPLIT)


def _inputs(recipe: Recipe, spec: SourceSpec) -> tuple[type[Reader], list[SourceFile]]:
    """The reader of a source, named or guessed, and the files that it reads."""
    if spec.kind is not None and spec.kind not in READERS:
        near = nearest(spec.kind, READERS)
        mend = f'did you mean "{near}"?' if near else f"kinds: {', '.join(READERS)}"
        raise RecipeError(f'{spec.place}.kind: nothing reads "{spec.kind}"; {mend}')
    suffixes = READERS[spec.kind].suffixes if spec.kind is not None else ALL_SUFFIXES
    try:
        files = find_files(spec.paths, base=recipe.folder, root=spec.root, suffixes=suffixes)
        return READERS[spec.kind] if spec.kind is not None else reader_for(files), files
    except InputError as error:
        raise InputError(f"{spec.place}.paths: {error}") from error


def _phases(stages: Sequence[StageSpec]) -> tuple[Phase, ...]:
    """Cuts stages at barriers. Those in a row share a phase, and a last phase applies what the last of them decided."""
    phases: list[Phase] = []
    maps: list[StageSpec] = []
    barriers: list[StageSpec] = []
    filled: set[str] = set()

    def end_phase() -> None:
        phases.append(Phase(f"phase-{len(phases) + 1}", tuple(maps), tuple(barriers)))
        maps.clear()
        barriers.clear()

    for spec in stages:
        built = spec.build()
        if isinstance(built, Barrier):
            if missing := [column for column in built.columns() if column not in filled]:
                raise RecipeError(
                    f"{spec.place}: no stage before it fills the document's column {missing[0]}; put one that does "
                    f"before it, such as {_FILLS[missing[0]]}"
                )
            if any(name.rpartition(".")[0] in [before.name for before in barriers] for name in built.needs()):
                # It reads what a barrier in a row with it measures, which is known in the next phase only.
                end_phase()
            _check_needs(built, spec, [*(phases[-1].barriers if phases else ()), *maps])
            barriers.append(spec)
            continue
        filled |= set(getattr(built, "annotations", ()))
        if barriers:
            end_phase()
        maps.append(spec)
    end_phase()
    if phases[-1].barriers:
        end_phase()
    return tuple(phases)


def _check_needs(barrier: Barrier, spec: StageSpec, stages: Sequence[StageSpec]) -> None:
    """Sees to it that what a barrier reads is measured in its own phase, or by the barriers that ended the one before:
    only then is it at hand.

    Raises:
        RecipeError: naming the measure and those that there are.
    """
    measured = {f"{stage.name}.{item.name}": item.type for stage in stages for item in stage.build().measures}
    for name in barrier.needs():
        if name not in measured:
            near = nearest(name, measured)
            mend = f'did you mean "{near}"?' if near else f"there are: {', '.join(measured) or 'none'}"
            raise RecipeError(
                f"{spec.place}: {name} is measured by no stage between this one and the barrier before it; {mend}"
            )
    try:
        barrier.accept({name: measured[name] for name in barrier.needs()})
    except RecipeError as error:
        raise RecipeError(f"{spec.place}.{error}") from error


def _seeded(spec: StageSpec, recipe: Recipe) -> StageSpec:
    """Fills what a stage takes from the recipe as a whole: its seed, and its folder for relative paths."""
    kind = type(spec.build())
    options = dict(spec.options)
    for item in dataclasses.fields(kind):
        if item.name == "seed":
            options.setdefault("seed", recipe.seed)
        if (paths := item.metadata.get("path")) and item.name in options:
            keys = paths if isinstance(paths, tuple) else ()
            options[item.name] = _anchored(options[item.name], recipe.folder, keys, item.metadata.get("names", ()))
    return replace(spec, options=options)


def _anchored(value: Any, folder: Path, keys: tuple[str, ...], names: tuple[str, ...], *, below: bool = False) -> Any:
    """A field's value with its relative paths made relative to the recipe's folder.

    Fields say what is a path in their metadata: `path=True` all their strings, also in lists and as the values of
    mappings; `path=("paths",)` those below such keys. `names` are strings that are none: models that we ship.
    """
    if isinstance(value, str):
        return value if value in names or (keys and not below) else str(folder / value)
    if isinstance(value, list | tuple):
        return [_anchored(item, folder, keys, names, below=below) for item in value]
    if isinstance(value, dict):
        return {key: _anchored(item, folder, keys, names, below=below or key in keys) for key, item in value.items()}
    return value


def _identity(spec: StageSpec, *, observing: bool = False) -> dict[str, Any]:
    """What a stage's output depends on. `observing`: what a barrier's sidecars depend on."""
    stage = spec.build()
    fields = {item.name: getattr(stage, item.name) for item in dataclasses.fields(stage) if item.init}
    if observing:
        fields = {name: value for name, value in fields.items() if name not in type(stage).judged_fields}
    content = [_file_hash(path, path.stat().st_mtime_ns) for path in stage.files()]
    return {"name": spec.name, "stage": spec.stage, "version": stage.version, "fields": fields, "files": content}


@lru_cache
def _file_hash(path: Path, mtime: int) -> str:
    return sha256_of(path)
