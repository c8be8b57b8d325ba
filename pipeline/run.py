"""A run: the plan's tasks, level by level, then the mix, the manifest and the report.

runs/<name>/
  recipe.yaml  manifest.json
  <source>/<phase>/{documents,ledger,sidecars,verdicts,tasks}/
  <source>/curated/part-*.parquet
  <source>/ledger/part-*.parquet
  dataset/  report/index.html
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from corpusmill.dedup.contract import Step
from corpusmill.documents.errors import (
    CorpusmillError,
    InputError,
    RecipeError,
    ShortSourceError,
    UsageError,
)
from corpusmill.documents.shards import ContentHash, atomic_text, remove_partial_files
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.lock import locked
from corpusmill.pipeline.manifest import failures, run_manifest, write_manifest
from corpusmill.pipeline.mixing import Part, Parts, mix_options, run_mix
from corpusmill.pipeline.plan import SourcePlan, plan_sources, prepare_all
from corpusmill.pipeline.recipe import Recipe, StageSpec
from corpusmill.pipeline.tasks import Outcome, Task
from corpusmill.pipeline.warm_up import warm_up


class Progress(Protocol):
    """Who is told how a run goes."""

    def level(self, title: str, tasks: int, size: int) -> None:
        """A set of tasks begins: how many, and the bytes that they read."""

    def outcome(self, outcome: Outcome) -> None:
        """A task has ended, or was found done."""

    def say(self, line: str) -> None:
        """Something worth a line."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    folder: Path
    manifest: dict[str, Any]
    failed: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        return 3 if self.failed else 0


@dataclass(slots=True)
class _Progressing:
    """A source on its way: which parts have come through, and what they counted."""

    plan: SourcePlan
    parts: dict[int, Outcome]
    barrier: Outcome | None
    maps: list[dict[int, Outcome]]
    barriers: list[Outcome | None]


def run_recipe(recipe: Recipe, executor: Executor, progress: Progress) -> RunResult:
    """Runs a recipe, or goes on with it where an earlier run stopped.

    Raises:
        CorpusmillError: for what no task can be blamed for: a recipe, an input, a full disk, a source that is short.
    """
    folder = recipe.runs / recipe.name
    options = mix_options(recipe)
    plans = plan_sources(recipe, folder, prepare=False)
    if not _is_done(recipe, plans):  # where nothing is left to do, no model and no list has to be read
        prepare_all(plans)
    with _locked(folder), _leaving_nothing_partial(folder, executor):
        remove_partial_files(folder)
        _remove_gone_sources(folder, plans)
        for plan in plans:
            _clear(plan)
        extractions = [plan.origin.extraction for plan in plans if plan.origin.extraction is not None]
        runner = Runner(folder, executor, progress, [spec for plan in plans for spec in plan.stages()], extractions)
        sources = [_Progressing(plan, {}, None, [], []) for plan in plans]
        _Phases(sources, runner).run()
        _remove_outdated(sources)
        _merge_ledgers(sources, runner)
        manifest = run_manifest(recipe, [(s.plan, s.maps, s.barriers) for s in sources], runner.failed)
        if not runner.failed:
            manifest["content_hash"] = _content_hash(sources)
        short: CorpusmillError | None = None
        if options is not None:
            try:
                mix = run_mix(folder, options, _curated(sources), runner, manifest, folder / "dataset")
                manifest |= {"mix": mix} if mix is not None else {}
            except (ShortSourceError, RecipeError) as error:
                # What is curated stands; the funnel and the ledger show where the documents went.
                short = error
                manifest["mix_error"] = str(error)
            manifest["failed"] = failures(runner.failed)
        _tell(folder, recipe, manifest)
        # Where tasks have failed, what they would have given may be all that the mix lacks.
        if short is not None and not runner.failed:
            raise short
    return RunResult(folder, manifest, tuple(runner.failed))


def _tell(folder: Path, recipe: Recipe, manifest: dict[str, Any]) -> None:
    """Writes what is known of a run: its recipe, its manifest and its report."""
    from corpusmill.pipeline.report import write_report

    atomic_text(folder / "recipe.yaml", yaml.safe_dump(dict(recipe.resolved), sort_keys=False, allow_unicode=True))
    write_manifest(folder, manifest)
    write_report(folder)


def curated_parts(recipe: Recipe) -> tuple[Parts, dict[str, Any]]:
    """The curated parts of a run that has ended, and its manifest, without doing anything.

    Raises:
        UsageError: if the recipe has not been run to its end.
        InputError: if a model or list that it was run with is gone.
    """
    folder = recipe.runs / recipe.name
    try:
        sources = _ended(recipe, plan_sources(recipe, folder, prepare=False))
        manifest = run_manifest(recipe, [(s.plan, s.maps, s.barriers) for s in sources], [])
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: is not there any more, and without it nobody knows what {folder} was made with; put it "
            "back, or run the recipe again without it"
        ) from error
    manifest["content_hash"] = _content_hash(sources)
    return _curated(sources), manifest


def _ended(recipe: Recipe, plans: Sequence[SourcePlan]) -> list[_Progressing]:
    """The sources of a run that has ended, by what its tasks have left.

    Raises:
        UsageError: if it has not ended.
        FileNotFoundError: if a model or list that it was run with is gone.
    """
    sources = [_Progressing(plan, {}, None, [], []) for plan in plans]
    done = _Done(recipe)
    _Phases(sources, done).run()
    _merge_ledgers(sources, done)
    return sources


def _is_done(recipe: Recipe, plans: Sequence[SourcePlan]) -> bool:
    try:
        _ended(recipe, plans)
    except (UsageError, OSError):
        return False
    return True


def mix_recipe(
    recipe: Recipe, executor: Executor, progress: Progress, out: Path | None = None, *, fresh: bool = False
) -> RunResult:
    """Mixes the curated sources of a run that has ended.

    Args:
        out: the dataset's folder; the run's own stays as it is. None: in the place of the run's own, which the run's
            manifest and report then tell of.
        fresh: forget what an interrupted mix has left.

    Raises:
        UsageError: if the recipe has no mix, or has not been run to its end.
        CorpusmillError: as `run_recipe`.
    """
    options = mix_options(recipe)
    if options is None:
        raise UsageError(f"{recipe.file}: has no `mix`; say in it which ratios the dataset is to have")
    with finished_run(recipe, executor, progress, tells=out is None) as run:
        folder, manifest = run.folder, run.manifest
        if fresh:
            for left in ("tasks", "published"):
                shutil.rmtree(folder / "mix" / left, ignore_errors=True)
        mix = run_mix(folder, options, run.parts, run.runner, manifest, out or folder / "dataset")
        manifest |= {"mix": mix} if mix is not None else {}
        manifest["failed"] = failures(run.runner.failed)
        if out is None:
            _tell(folder, recipe, manifest)
    return RunResult(folder, manifest, tuple(run.runner.failed))


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has ended, for who makes more of it.

    parts     its curated parts
    manifest  what its tasks came to
    runner    runs further tasks, and keeps the failures
    """

    folder: Path
    parts: Parts
    manifest: dict[str, Any]
    runner: Runner


@contextlib.contextmanager
def finished_run(recipe: Recipe, executor: Executor, progress: Progress, *, tells: bool) -> Iterator[FinishedRun]:
    """A run that has ended, with nobody else at work in it.

    Args:
        tells: whether the run's manifest tells of what is going to be made.

    Raises:
        UsageError: if the recipe has not been run to its end.
    """
    folder = recipe.runs / recipe.name
    with _locked(folder), _leaving_nothing_partial(folder, executor):
        remove_partial_files(folder)
        parts, manifest = curated_parts(recipe)
        yield FinishedRun(folder, parts, manifest, Runner(folder, executor, progress, [], [], tells=tells))


class _Runs(Protocol):
    """What the phases need of a runner."""

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of `tasks`."""

    def decided(self, steps: Path) -> None:
        """Barriers have been decided whose steps are in this folder."""


class _Done:
    """Takes the place of a runner where everything has been done."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcomes of an earlier run."""
        outcomes = []
        for task in tasks:
            counts = task.done()
            if counts is None:
                raise UsageError(
                    f"{self._recipe.file}: {task.key} has not been done yet, or from other inputs; first "
                    f"`corpusmill run {self._recipe.file}`, with the same --runs and --set"
                )
            outcomes.append(Outcome(task, counts, reused=True))
        return outcomes

    def decided(self, steps: Path) -> None:
        """Whoever only looks leaves them: another run may be writing them anew."""


class Runner:
    """Runs tasks that are not done yet, and keeps the failures."""

    def __init__(
        self,
        folder: Path,
        executor: Executor,
        progress: Progress,
        stages: Sequence[StageSpec],
        extractions: Sequence[Extraction],
        *,
        tells: bool = True,
    ) -> None:
        self._folder = folder
        self._tells = tells  # whether the run's manifest tells of what these tasks write
        self._executor = executor
        self._progress = progress
        self._stages, self._extractions = stages, extractions
        self._cold = bool(stages or extractions)  # whose kernels nobody has asked for yet
        self.failed: list[Outcome] = []

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of `tasks`; what an earlier run did is taken from its markers."""
        done = {task.key: Outcome(task, counts, reused=True) for task in tasks if (counts := task.done()) is not None}
        waiting = [task for task in tasks if task.key not in done]
        if waiting and self._tells:  # from here on it would tell of other files than those that are there
            (self._folder / "manifest.json").unlink(missing_ok=True)
        if waiting and self._cold:
            warm_up(self._stages, self._executor, self._progress.say, self._extractions)
            self._cold = False
        self._progress.level(title, len(tasks), sum(task.size for task in tasks))
        for outcome in done.values():
            self._progress.outcome(outcome)
        fresh = self._executor.run(waiting, self._progress.outcome) if waiting else []
        done |= {outcome.task.key: outcome for outcome in fresh}
        failed = [outcome for outcome in fresh if outcome.error is not None]
        for outcome in failed:  # a worker may die before the task has removed what an older recipe left
            outcome.task.forget()
        self.failed += failed
        return [done[task.key] for task in tasks]

    def decided(self, steps: Path) -> None:
        """Removes the steps: nobody reads them any more."""
        shutil.rmtree(steps, ignore_errors=True)


class _Phases:
    """Takes every source through its phases: the map tasks of all that can go on together, then their barriers.

    A source whose barrier has to wait for another's stays behind until that has been decided.
    """

    def __init__(self, sources: Sequence[_Progressing], runner: _Runs) -> None:
        self._sources = sources
        self._runner = runner
        self._decided: dict[tuple[str, int], Outcome] = {}
        self._failed_in: dict[str, int] = {}  # the first phase of which something failed, by source
        self._passed: set[tuple[str, int]] = set()  # nobody has to wait for these any longer

    def run(self) -> None:
        while going := [source for source in self._sources if len(source.barriers) < len(source.plan.phases)]:
            self._map([source for source in going if len(source.maps) == len(source.barriers)])
            self._decide([source for source in going if self._waits_for(source) <= self._passed])

    def _waits_for(self, source: _Progressing) -> set[tuple[str, int]]:
        return {(one.source, one.phase) for one in source.plan.waits_for(len(source.barriers))}

    def _map(self, sources: Sequence[_Progressing]) -> None:
        """The map tasks of each source's next phase."""
        if not sources:
            return
        numbers = {len(source.maps) + 1 for source in sources}
        title = f"phase {min(numbers)}" if len(numbers) == 1 else f"phases {min(numbers)}–{max(numbers)}"
        wanted = [source.plan.map_tasks(len(source.maps), source.parts, source.barrier) for source in sources]
        tasks = [task for by_part in wanted for task in by_part.values()]
        ended = {outcome.task.key: outcome for outcome in self._runner.run(title, tasks)}
        for source, by_part in zip(sources, wanted, strict=True):
            outcomes = {part: ended[task.key] for part, task in by_part.items()}
            source.maps.append(outcomes)
            source.parts = {part: outcome for part, outcome in outcomes.items() if outcome.error is None}
            if len(source.parts) < len(outcomes):
                self._failed_in.setdefault(source.plan.name, len(source.maps) - 1)

    def _decide(self, sources: Sequence[_Progressing]) -> None:
        """The barriers at the end of each source's phase, after their steps."""
        for source in sources:
            phase = len(source.barriers)
            unknown = any(self._failed_in.get(other, math.inf) <= at for other, at in self._waits_for(source))
            # What it is to be compared with, or what others are, is not known, and a wrong decision is worse than none.
            if unknown or (source.plan.name in self._failed_in and source.plan.is_remembered(phase)):
                self._fail(source)
        steps = [source.plan.steps(len(source.barriers), source.parts) for source in sources]
        tasks = [
            source.plan.barrier_task(len(source.barriers), source.parts, own, self._decided)
            for source, own in zip(sources, steps, strict=True)
        ]
        waiting = [
            (source, own)
            for source, own, task in zip(sources, steps, tasks, strict=True)
            if task is not None and task.done() is None
        ]
        unprepared = self._prepare(waiting)
        wanted = [
            task
            for source, task in zip(sources, tasks, strict=True)
            if task is not None and source.plan.name not in unprepared
        ]
        ended = {outcome.task.key: outcome for outcome in self._runner.run("decisions", wanted)} if wanted else {}
        for source, task in zip(sources, tasks, strict=True):
            place = source.plan.name, len(source.barriers)
            source.barrier = ended.get(task.key) if task is not None else None
            if source.barrier is not None and source.barrier.error is None:
                self._decided[place] = source.barrier
                self._runner.decided(source.plan.steps_folder(place[1]))
            elif task is not None:
                self._fail(source)
            source.barriers.append(source.barrier)
            self._passed.add(place)

    def _fail(self, source: _Progressing) -> None:
        source.parts = {}
        self._failed_in.setdefault(source.plan.name, len(source.barriers))

    def _prepare(self, waiting: Sequence[tuple[_Progressing, Mapping[str, Sequence[Step]]]]) -> set[str]:
        """Runs the steps of barriers, one after the other; the names of the sources where a task of them failed."""
        failed: set[str] = set()
        for number in range(max((len(own) for _, steps in waiting for own in steps.values()), default=0)):
            tasks = {
                task.key: (source.plan.name, task)
                for source, steps in waiting
                if source.plan.name not in failed
                for task in source.plan.step_tasks(len(source.barriers), source.parts, steps, number, self._decided)
            }
            names = sorted({task.arguments.step for _, task in tasks.values()})
            for outcome in self._runner.run(" and ".join(names), [task for _, task in tasks.values()]) if tasks else ():
                if outcome.error is not None:
                    failed.add(tasks[outcome.task.key][0])
        return failed


def _merge_ledgers(sources: Sequence[_Progressing], runner: _Runs) -> None:
    tasks = [task for source in sources for task in source.plan.ledger_tasks(source.parts).values()]
    runner.run("ledger", tasks)


def _curated(sources: Sequence[_Progressing]) -> Parts:
    """The curated parts of every source."""
    return {
        source.plan.name: [
            Part(source.plan.documents(len(source.plan.phases) - 1, part), source.plan.merged_ledger(part), outcome)
            for part, outcome in source.parts.items()
        ]
        for source in sources
    }


def _content_hash(sources: Sequence[_Progressing]) -> str:
    """The order-independent hash of every curated document of every source."""
    whole = ContentHash()
    for source in sources:
        for outcome in source.parts.values():
            whole.add_hash(outcome.counts["shard"]["content_hash"])
    return str(whole)


@contextlib.contextmanager
def _leaving_nothing_partial(folder: Path, executor: Executor) -> Iterator[None]:
    """Ends the workers of a run that is given up, and removes what they were writing: on a full disk it counts."""
    try:
        yield
    except BaseException:
        executor.close()
        remove_partial_files(folder)
        for workspace in (*folder.glob("*/phase-*/workspace"), *folder.glob("*/workspace")):
            shutil.rmtree(workspace, ignore_errors=True)
        raise


def _remove_gone_sources(folder: Path, plans: Sequence[SourcePlan]) -> None:
    """Removes the folders of sources that the recipe had once: `*/ledger/*.parquet` must be this recipe's alone."""
    names = {plan.name for plan in plans}
    for phase in folder.glob("*/phase-1/tasks"):
        source = phase.parent.parent
        if source.name not in names:
            shutil.rmtree(source)


def _clear(plan: SourcePlan) -> None:
    """Removes what older plans left in the source's folder."""
    if not plan.folder.is_dir():
        return
    expected = plan.expected_files()
    for path in sorted(plan.folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # a folder with something in it stays
                path.rmdir()
        elif path not in expected and not plan.may_hold(path):
            path.unlink()


def _remove_outdated(sources: Sequence[_Progressing]) -> None:
    """Removes what an older recipe's run left of parts that did not come through this one: reports, readers of
    `curated` and of the ledger take all files that are there."""
    for source in sources:
        plan = source.plan
        for part in range(len(plan.splits)):
            gone = set() if part in source.parts else plan.merged_files(part)
            for phase, outcomes in enumerate(source.maps):
                if part not in outcomes or outcomes[part].error is not None:
                    gone |= plan.phase_files(phase, part)
            for path in gone:
                path.unlink(missing_ok=True)


def _locked(folder: Path) -> AbstractContextManager[None]:
    """One run at a time in a folder."""
    return locked(
        folder,
        str(folder),
        taken="another run (process {process}) is at work in this folder; wait for it, or give this recipe another "
        "`name`",
        unusable="the run's folder cannot be made or written ({reason}); point `runs` in the recipe, or --runs, at a "
        "folder that can",
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished run.

    Raises:
        UsageError: if there is none.
    """
    path = folder / "manifest.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder}: no finished run here (no manifest.json); `corpusmill run` makes one") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON ({error}); run the recipe again") from error
    return data
