"""The plan: a recipe's sources cut into phases at the barriers, and each phase into tasks.

    phase-1   read, extract, the stages before the first barrier; sidecars for it
    phase-2   what the barrier decided is applied; the stages up to the next barrier …
    curated   the documents of the last phase

A part is what became of one split of the input, through all phases. Which splits there are depends on the files and on
`split_bytes` alone, so results do not depend on the number of workers. A part is named after what it was read from, not
numbered, so that a file more or less leaves the names of the others' parts alone.

A source's barrier may have to wait for another source's (`precedence`, dedup/contract.py): it compares what came
through with what stayed there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from corpusmill.dedup.contract import PART_FILE, Deduplication, RememberingDeduplication, Step
from corpusmill.documents.barrier import Barrier
from corpusmill.documents.codepoints import UNICODE_VERSION
from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.documents.shards import sha256_of
from corpusmill.pipeline.barriers import BarrierWork, StepWork
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.phases import FirstInput, LaterInput, MapWork
from corpusmill.pipeline.recipe import Recipe, SourceSpec, StageSpec, build
from corpusmill.pipeline.sources.contract import ExtractReason, Origin, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.find import expanded, find_files
from corpusmill.pipeline.sources.registry import ALL_SUFFIXES, READERS, reader_for
from corpusmill.pipeline.tasks import Outcome, Task, fingerprint

_EXTRACTED = ("warc",)  # kinds whose records are pages, not text
_TASKS_A_SOURCE = 256
_SMALLEST_SPLIT, _LARGEST_SPLIT = 4 << 20, 256 << 20
_FILLS = {"quality": "quality", "language": "language", "language_score": "language"}  # columns by stages
LAYOUT = 5
"""Raised when phases write other files or columns, or count other things, than before."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Stages between two barriers, and the barriers that end them."""

    name: str
    stages: tuple[StageSpec, ...]
    barriers: tuple[StageSpec, ...]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Another source's barrier that one has to wait for."""

    source: str
    phase: int
    part: Path | None  # the index part that it leaves for this one to compare with; None: they update the same index


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
    earlier: Mapping[str, tuple[Earlier, ...]] = field(default_factory=dict)  # by barrier
    looked_up: frozenset[str] = frozenset()  # barriers whose index part another source compares with

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(split.size for split in self.splits)

    def prepare(self) -> None:
        """Loads and checks the models and lists of its stages, so that no task is begun for nothing.

        Raises:
            RecipeError, InputError: for whatever would stop the run later.
        """
        if self.origin.extraction is not None:
            self.origin.extraction.prepare()
        for spec in self.stages():
            spec.build().prepare()

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

    def index_part(self, phase: int, barrier: str) -> Path:
        return self.folder / self.phases[phase].name / "index_parts" / barrier

    def steps_folder(self, phase: int) -> Path:
        return self.folder / self.phases[phase].name / "steps"

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
                models = [file_sha256(path) for path in files]
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

    def waits_for(self, phase: int) -> list[Earlier]:
        """The barriers of other sources that those of a phase cannot do without."""
        return [earlier for spec in self.phases[phase].barriers for earlier in self.earlier.get(spec.name, ())]

    def is_remembered(self, phase: int) -> bool:
        """Whether others are compared with what stays after a phase's barriers: sources of this run, or later runs."""
        return any(
            spec.name in self.looked_up or self._updated(spec) is not None for spec in self.phases[phase].barriers
        )

    def _updated(self, spec: StageSpec) -> Path | None:
        """The index part of later runs that a barrier leaves."""
        barrier = spec.build()
        return barrier.update_folder if isinstance(barrier, RememberingDeduplication) else None

    def steps(self, phase: int, parts: Mapping[int, Outcome]) -> dict[str, Sequence[Step]]:
        """The steps of a phase's barriers, by barrier."""
        rows = [outcome.counts["documents_out"] for outcome in parts.values()]
        barriers = ((spec.name, spec.build()) for spec in self.phases[phase].barriers)
        return {name: barrier.steps(rows) for name, barrier in barriers if isinstance(barrier, Deduplication)}

    def step_tasks(
        self,
        phase: int,
        parts: Mapping[int, Outcome],
        steps: Mapping[str, Sequence[Step]],
        number: int,
        others: Mapping[tuple[str, int], Outcome],
    ) -> list[Task]:
        """The tasks of step `number` of each of a phase's barriers that has so many."""
        tasks = []
        for spec in self.phases[phase].barriers:
            own = steps.get(spec.name, ())
            if number >= len(own):
                continue
            step = own[number]
            seen = self._seen(spec, others)
            sidecars = tuple(self.sidecar(phase, spec.name, part) for part in parts)
            identity = fingerprint(self._barrier_print([spec], parts, seen), own[: number + 1])
            for task, target in enumerate(self._step_files(phase, spec, step)):
                work = StepWork(
                    barrier=spec, step=step.name, task=task, sidecars=sidecars, seen=tuple(seen),
                    done={before.name: self._step_files(phase, spec, before) for before in own[:number]}, target=target,
                )  # fmt: skip
                tasks.append(
                    Task(
                        key=f"{self.name}/{self.phases[phase].name}/{spec.name}/{target.stem}",
                        function="corpusmill.pipeline.barriers:run_step",
                        arguments=work,
                        outputs=(target,),
                        marker=target.with_suffix(".json"),
                        fingerprint=identity,
                        size=sum(path.stat().st_size for path in sidecars) // step.tasks,
                    )
                )
        return tasks

    def _step_files(self, phase: int, spec: StageSpec, step: Step) -> tuple[Path, ...]:
        folder = self.steps_folder(phase) / spec.name
        return tuple(folder / f"{step.name}-{task:05}.bin" for task in range(step.tasks))

    def _seen(self, spec: StageSpec, others: Mapping[tuple[str, int], Outcome]) -> list[Path]:
        """The index parts that a barrier compares with: of sources before it, then of earlier runs."""
        barrier = spec.build()
        parts = [
            earlier.part
            for earlier in self.earlier.get(spec.name, ())
            if earlier.part is not None and (earlier.source, earlier.phase) in others  # the source may be empty
        ]
        return [*parts, *(barrier.seen() if isinstance(barrier, RememberingDeduplication) else ())]

    def _barrier_print(self, specs: Sequence[StageSpec], parts: Mapping[int, Outcome], seen: Iterable[Path]) -> str:
        """Of all that the decisions of these barriers depend on. `seen`: the index parts that they compare with."""
        markers = [folder / PART_FILE for folder in seen]
        return fingerprint(
            LAYOUT,
            [_identity(spec) for spec in specs],
            [parts[part].task.fingerprint for part in parts],
            [file_sha256(marker) for marker in markers],
        )

    def barrier_task(
        self,
        phase: int,
        parts: Mapping[int, Outcome],
        steps: Mapping[str, Sequence[Step]],
        others: Mapping[tuple[str, int], Outcome],
    ) -> Task | None:
        """The task of a phase's barriers over the parts that came through it; None where it has none.

        Args:
            steps: of its barriers, by name, as `steps` gave them.
            others: the barriers of other sources that have been decided, by source and phase.
        """
        here = self.phases[phase]
        if not here.barriers or not parts:
            return None
        own = {spec.name: self.index_part(phase, spec.name) for spec in here.barriers if spec.name in self.looked_up}
        updated = {spec.name: folder for spec in here.barriers if (folder := self._updated(spec)) is not None}
        seen = {spec.name: tuple(self._seen(spec, others)) for spec in here.barriers}
        work = BarrierWork(
            source=self.name,
            barriers=here.barriers,
            sidecars=tuple(tuple(self.sidecar(phase, spec.name, part) for part in parts) for spec in here.barriers),
            documents=tuple(self.documents(phase, part) for part in parts),
            verdicts=tuple(self.verdicts(phase, part) for part in parts),
            workspace=self.folder / here.name / "workspace",
            done={
                spec.name: {step.name: self._step_files(phase, spec, step) for step in steps[spec.name]}
                for spec in here.barriers
                if steps.get(spec.name)
            },
            seen=seen,
            remembered={
                spec.name: tuple(folders[spec.name] for folders in (own, updated) if spec.name in folders)
                for spec in here.barriers
            },
        )
        return Task(
            key=f"{self.name}/{here.name}/{'+'.join(spec.name for spec in here.barriers)}",
            function="corpusmill.pipeline.barriers:run_barriers",
            arguments=work,
            outputs=(*work.verdicts, *(folder / PART_FILE for folder in own.values())),
            marker=self.marker(phase, "barriers"),
            fingerprint=self._barrier_print(here.barriers, parts, chain(*seen.values())),
            size=sum(path.stat().st_size for paths in work.sidecars for path in paths),
            replaced=tuple(folder / PART_FILE for folder in updated.values()),
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
        """Every file that this plan may write below the source's folder, but for those that `may_hold` tells of;
        anything else there is of an older plan."""
        files: set[Path] = set()
        for part in range(len(self.splits)):
            files |= self.merged_files(part)
            for phase in range(len(self.phases)):
                files |= {*self.phase_files(phase, part), self.verdicts(phase, part), self.marker(phase, "barriers")}
        return files

    def may_hold(self, path: Path) -> bool:
        """Whether a file below the source's folder may be of a step that was not finished, or of an index part."""
        return any(
            path.parent == self.steps_folder(phase) / spec.name
            or (spec.name in self.looked_up and path.is_relative_to(self.index_part(phase, spec.name)))
            for phase, here in enumerate(self.phases)
            for spec in here.barriers
        )

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


def plan_sources(recipe: Recipe, run: Path, *, prepare: bool = True) -> tuple[SourcePlan, ...]:
    """Finds every input, checks every stage and model, and cuts the work. Writes nothing.

    Args:
        prepare: load and check models; not needed to look at what has been done.

    Raises:
        RecipeError, InputError: for whatever would stop the run later.
    """
    plans = _ordered([_plan_source(recipe, spec, run / spec.name) for spec in recipe.sources], run)
    if prepare:
        prepare_all(plans)
    return plans


def prepare_all(plans: Iterable[SourcePlan]) -> None:
    """`SourcePlan.prepare` of each.

    Raises:
        RecipeError, InputError: for whatever would stop the run later.
    """
    for plan in plans:
        plan.prepare()


def _ordered(plans: Sequence[SourcePlan], run: Path) -> tuple[SourcePlan, ...]:
    """Says of each barrier which other source's it has to wait for, and of each whether it is waited for.

    Raises:
        RecipeError: where sources wait for one another, or name a source that cannot be waited for.
    """
    by_name = {plan.name: plan for plan in plans}
    earlier: dict[str, dict[str, list[Earlier]]] = {plan.name: {} for plan in plans}
    looked_up: dict[str, set[str]] = {plan.name: set() for plan in plans}
    for plan in plans:
        for _, spec, barrier in _remembering(plan):
            for source in _before(plan, spec, barrier):
                other, phase = _same_stage(by_name, source, plan, spec)
                earlier[plan.name].setdefault(spec.name, []).append(
                    Earlier(source, phase, other.index_part(phase, spec.name))
                )
                looked_up[source].add(spec.name)
    order = phases_in_order([_with_order(plan, earlier, looked_up) for plan in plans])
    ranks = {place: rank for rank, place in enumerate(order)}
    for index, uses in _uses_of_indexes(plans).items():
        _check_uses(index, uses, run)
        for use in uses:
            for update in uses:
                # What only reads an index waits for all that the recipe adds to it: the next run would see that, too.
                if update is use or not update.updates:
                    continue
                if not use.updates or ranks[update.place] < ranks[use.place]:
                    earlier[use.source].setdefault(use.spec.name, []).append(Earlier(update.source, update.phase, None))
    ordered = tuple(_with_order(plan, earlier, looked_up) for plan in plans)
    phases_in_order(ordered)
    return ordered


def _with_order(
    plan: SourcePlan, earlier: Mapping[str, Mapping[str, Sequence[Earlier]]], looked_up: Mapping[str, set[str]]
) -> SourcePlan:
    return replace(
        plan,
        earlier={name: tuple(those) for name, those in earlier[plan.name].items()},
        looked_up=frozenset(looked_up[plan.name]),
    )


def phases_in_order(plans: Sequence[SourcePlan]) -> list[tuple[str, int]]:
    """An order in which every source's phases can be done, one after the other.

    Raises:
        RecipeError: if the sources wait for one another in a circle.
    """
    order: list[tuple[str, int]] = []
    at = {plan.name: 0 for plan in plans}
    moved = True
    while moved:
        moved = False
        for plan in plans:
            phase = at[plan.name]
            if phase < len(plan.phases) and all(at[one.source] > one.phase for one in plan.waits_for(phase)):
                order.append((plan.name, phase))
                at[plan.name] += 1
                moved = True
    stuck = [plan for plan in plans if at[plan.name] < len(plan.phases)]
    if stuck:
        spec = stuck[0].phases[at[stuck[0].name]].barriers[0]
        raise RecipeError(
            f"{spec.place}: {', '.join(plan.name for plan in stuck)} wait for one another; name the sources in the "
            "same order in every `precedence`, and read an index in none that comes before one that updates it"
        )
    return order


@dataclass(frozen=True, slots=True)
class _Use:
    """A barrier that reads or updates an index."""

    source: str
    phase: int
    spec: StageSpec
    barrier: RememberingDeduplication
    updates: bool

    @property
    def place(self) -> tuple[str, int]:
        return self.source, self.phase


def _uses_of_indexes(plans: Sequence[SourcePlan]) -> dict[Path, list[_Use]]:
    """For each index, the barriers that read or update it."""
    uses: dict[Path, list[_Use]] = {}
    for plan in plans:
        for phase, spec, barrier in _remembering(plan):
            updated = Path(barrier.update).resolve() if barrier.update is not None else None
            read = {Path(index).resolve() for index in barrier.against}
            for index in sorted({*read, *([updated] if updated is not None else [])}):
                uses.setdefault(index, []).append(_Use(plan.name, phase, spec, barrier, index == updated))
    return uses


def _check_uses(index: Path, uses: Sequence[_Use], run: Path) -> None:
    """Sees to it that the barriers of a recipe which use one index do not spoil it for one another.

    Raises:
        RecipeError: naming the two that do.
    """
    if index.is_relative_to(run.resolve()):
        raise RecipeError(
            f"{uses[0].spec.place}: the index {index} lies in the run's own folder, which a run clears; give it another"
        )
    for use, other in combinations(uses, 2):
        if use.updates and other.updates and use.barrier.update_as == other.barrier.update_as:
            raise RecipeError(
                f'{other.spec.place}.update_as: {use.spec.place} writes "{use.barrier.update_as}" of {index}, too, and '
                "one would replace the other; give them two names"
            )
        if use.source == other.source and (use.updates or other.updates):
            raise RecipeError(
                f"{other.spec.place}: {use.spec.place} uses the index {index}, too, and would find its own documents "
                "there; give each stage of a source an index of its own"
            )
        if type(use.barrier) is not type(other.barrier) or use.barrier.comparable != other.barrier.comparable:
            raise RecipeError(
                f"{other.spec.place}: {use.spec.place} uses the index {index}, too, but with other parameters; give "
                "both the same, or each an index of its own"
            )


def _remembering(plan: SourcePlan) -> Iterator[tuple[int, StageSpec, RememberingDeduplication]]:
    for phase, here in enumerate(plan.phases):
        for spec in here.barriers:
            barrier = spec.build()
            if isinstance(barrier, RememberingDeduplication):
                yield phase, spec, barrier


def _before(plan: SourcePlan, spec: StageSpec, barrier: RememberingDeduplication) -> Sequence[str]:
    """The sources that come before one in a barrier's `precedence`."""
    if not barrier.precedence:
        return ()
    if plan.name not in barrier.precedence:
        raise RecipeError(
            f'{spec.place}.precedence: names {", ".join(barrier.precedence)}, but not "{plan.name}" itself; put it '
            "at its place among them"
        )
    return barrier.precedence[: barrier.precedence.index(plan.name)]


def _same_stage(
    plans: Mapping[str, SourcePlan], source: str, plan: SourcePlan, spec: StageSpec
) -> tuple[SourcePlan, int]:
    """Where another source has the same stage."""
    if source not in plans:
        near = nearest(source, plans)
        mend = f'did you mean "{near}"?' if near else f"there are: {', '.join(plans)}"
        raise RecipeError(f'{spec.place}.precedence: there is no source "{source}"; {mend}')
    for phase, other, barrier in _remembering(plans[source]):
        if other.name != spec.name:
            continue
        own = spec.build()
        if type(barrier) is not type(own):
            raise RecipeError(
                f'{spec.place}.precedence: {spec.name} of "{source}" is another stage ({other.place}); give both the '
                "same"
            )
        here, there = ({**one.comparable, "precedence": one.precedence} for one in (own, barrier))
        if differing := [name for name in here if here[name] != there.get(name)]:
            raise RecipeError(
                f'{spec.place}.precedence: {", ".join(differing)} of "{source}" and "{plan.name}" differ '
                f"({other.place}); documents can be compared only by the same parameters"
            )
        return plans[source], phase
    raise RecipeError(
        f'{spec.place}.precedence: source "{source}" has no stage {spec.name}; give it the same one, or take it out'
    )


def _plan_source(recipe: Recipe, spec: SourceSpec, folder: Path) -> SourcePlan:
    reader_class, files = _inputs(recipe, spec)
    reader = build(reader_class, spec.read, f"{spec.place}.read")
    extraction = build(Extraction, spec.extract, f"{spec.place}.extract") if reader.kind in _EXTRACTED else None
    if spec.extract and extraction is None:
        raise RecipeError(f"{spec.place}.extract: {reader.kind} files hold text already; take this key out")
    stages = [_seeded(stage, recipe) for stage in spec.stages]
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
    """A field's value with its relative paths made relative to the recipe's folder, and environment variables in them
    filled in, as in the paths of sources.

    Fields say what is a path in their metadata: `path=True` all their strings, also in lists and as the values of
    mappings; `path=("paths",)` those below such keys. `names` are strings that are none: models that we ship.
    """
    if isinstance(value, str):
        return value if value in names or (keys and not below) else str(folder / expanded(value))
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
        fields |= {"sidecar": str(stage.sidecar), "needs": tuple(stage.needs())}  # `keep` decides what they hold, too
    content = [file_sha256(path) for path in stage.files()]
    return {"name": spec.name, "stage": spec.stage, "version": stage.version, "fields": fields, "files": content}


def file_sha256(path: Path) -> str:
    """The SHA-256 of a model or list, which is read once in a process unless it changes."""
    return _file_hash(path, path.stat().st_mtime_ns)


@lru_cache
def _file_hash(path: Path, mtime: int) -> str:
    return sha256_of(path)
