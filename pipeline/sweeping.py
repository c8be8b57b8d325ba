"""A pruning sweep as tasks: prepare, tell what the grid costs, run its cells, and analyse what came of them.

scaling/<sweep>/cells/<cell>/…      what a proxy leaves: loss curves, logs of spikes
scaling/<sweep>/tasks/*.json        a marker a cell, with its row
scaling/<sweep>/cells.parquet       all rows (scaling/contract.py)
scaling/<sweep>/sweep.json          the options; how many cells were asked for; of each that is there: its folder, what
                                    it is, and what the proxy told
scaling/<sweep>/analysis.json       and plots/*.svg: pipeline/sweep_report.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from corpusmill.documents.errors import UsageError
from corpusmill.documents.shards import atomic_text, write_table
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.preparing import prepare
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run import Progress, curated_parts, finished_run
from corpusmill.pipeline.sweep_recipe import proxies_of, sweep_options, tokenizer_of
from corpusmill.pipeline.tasks import Counts, Outcome, Task, fingerprint
from corpusmill.scaling.cells import CellCost, asked_tokens, cells_of, cells_table, cost_of, run_cell
from corpusmill.scaling.contract import Proxy
from corpusmill.scaling.pools import Cell, sizes_of
from corpusmill.scaling.prepared import Prepared

LAYOUT = 1
_TOLD = ("pool", "score", "fraction", "size", "seed", "proxy", "told")


@dataclass(frozen=True, slots=True)
class CellWork:
    prepared: Prepared
    cell: Cell
    proxy: Proxy
    folder: Path


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep came to.

    folder  of its results
    costs   of the whole grid, by proxy, before it was started
    ran     whether its cells were run, or only the cost was asked for
    """

    folder: Path
    costs: tuple[CellCost, ...]
    ran: bool
    failed: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        return 3 if self.failed else 0


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """How far a sweep is: cells done and cells in all, by proxy; None where what comes before them is not done."""

    prepared: bool
    cells: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a sweep as tasks."""

    folder: Path
    prepared: Prepared
    proxies: Mapping[str, Proxy]
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, run: Path, prepared: Prepared, proxies: Mapping[str, Proxy]) -> Grid:
        """The grid of a prepared sweep.

        Raises:
            RecipeError: if a pool has less than a size asks for.
        """
        options = prepared.options
        cells = tuple(cells_of(options, sizes_of(prepared.documents, options)))
        return cls(run / "scaling" / options.name, prepared, proxies, cells)

    def tasks(self, proxy: str) -> list[Task]:
        """Those of one proxy, in the order of the grid."""
        return [self._task(cell) for cell in self.cells if cell.proxy == proxy]

    def costs(self) -> list[CellCost]:
        return cost_of(self.prepared.options, self.cells, self.proxies, self.prepared.vocab_size)

    def _task(self, cell: Cell) -> Task:
        prepared, proxy = self.prepared, self.proxies[cell.proxy]
        options = prepared.options
        name = f"{cell.proxy}-{cell.pool}-{cell.size}-{cell.score}-{cell.fraction:g}-{cell.seed}"
        regime = [
            getattr(options, key) for key in ("regime", "epochs", "tokens", "target_tokens", "target_pool_tokens")
        ]
        heldout = [options.domains(), options.heldout.max_tokens, options.weight_of()]
        return Task(
            key=f"scaling/{options.name}/{name}",
            function=f"{__name__}:{train_cell.__name__}",
            arguments=CellWork(prepared, cell, proxy, self.folder / "cells" / name),
            outputs=(),
            marker=self.folder / "tasks" / f"{name}.json",
            fingerprint=fingerprint(LAYOUT, prepared.fingerprint, asdict(cell), proxy, regime, heldout),
            size=_BYTES_A_TOKEN * asked_tokens(cell, options),
        )


_BYTES_A_TOKEN = 3  # of text, about, with a small vocabulary: for progress alone


def run_sweep(
    recipe: Recipe,
    executor: Executor,
    progress: Progress,
    *,
    file: Path | None = None,
    dry_run: bool = False,
    tell: Callable[[Sequence[CellCost]], None] = lambda costs: None,
) -> SweepResult | None:
    """Runs the sweep of a run that has ended, or goes on with it. None if what comes before its cells failed.

    Args:
        file: with the sweep's options, instead of the recipe's `sweep`.
        dry_run: prepare, and tell what the grid costs.
        tell: is given the cost of the grid before it starts.

    Raises:
        UsageError: if the recipe has not been run to its end.
        RecipeError, InputError: if the sweep cannot be done as asked.
    """
    options = sweep_options(recipe, file)
    proxies = proxies_of(options, f"{recipe.file}: sweep")
    for proxy in proxies.values():
        proxy.check()
    with finished_run(recipe, executor, progress, tells=False) as run:
        prepared = prepare(run.folder, run.parts, options, tokenizer_of(recipe, options), run.runner)
        if prepared is None:
            return None
        grid = Grid.of(run.folder, prepared, proxies)
        costs = tuple(grid.costs())
        tell(costs)
        if dry_run:
            return SweepResult(grid.folder, costs, False, ())
        outcomes = [
            outcome for name in proxies for outcome in run.runner.run(f"sweep: {name}", grid.tasks(name))
        ]  # fmt: skip
        write_results(grid, outcomes)
        _tell(run.folder, grid.folder)
        return SweepResult(grid.folder, costs, True, tuple(run.runner.failed))


def sweep_status(recipe: Recipe, file: Path | None = None) -> SweepStatus:
    """How far a sweep is, without doing anything.

    Raises:
        UsageError: if the recipe has not been run to its end.
    """
    options = sweep_options(recipe, file)
    proxies = proxies_of(options, f"{recipe.file}: sweep")
    parts, _ = curated_parts(recipe)
    folder = recipe.runs / recipe.name
    try:
        prepared = prepare(folder, parts, options, tokenizer_of(recipe, options), _Found())
    except UsageError:
        prepared = None
    if prepared is None:
        return SweepStatus(False, {})
    grid = Grid.of(folder, prepared, proxies)
    found = {}
    for name in proxies:
        tasks = grid.tasks(name)
        found[name] = sum(task.done() is not None for task in tasks), len(tasks)
    return SweepStatus(True, found)


class _Found:
    """Takes the place of a runner: what is done is found, what is not is an error of its task."""

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        found = [(task, task.done()) for task in tasks]
        return [
            Outcome(task, counts, reused=True) if counts is not None else Outcome(task, error="not done yet")
            for task, counts in found
        ]


def train_cell(work: CellWork) -> Counts:
    return run_cell(work.prepared, work.cell, work.proxy, work.folder)


def write_results(grid: Grid, outcomes: Sequence[Outcome]) -> None:
    """Writes the table of all cells that ended well, and what they told."""
    options = grid.prepared.options
    well = [outcome for outcome in outcomes if outcome.error is None]
    rows = [outcome.counts for outcome in well]
    table = cells_table(rows, options.domains())
    write_table(grid.folder / "cells.parquet", table.to_batches(), table.schema)
    told = [
        {
            "folder": str(outcome.task.arguments.folder.relative_to(grid.folder)),
            **{key: outcome.counts[key] for key in _TOLD},
        }
        for outcome in well
    ]
    sweep = {
        "name": options.name,
        "options": json.loads(json.dumps(asdict(options))),
        "vocab_size": grid.prepared.vocab_size,
        "domains": dict(options.weight_of()),
        "asked": len(grid.cells),
        "cells": told,
    }
    atomic_text(grid.folder / "sweep.json", json.dumps(sweep, indent=1) + "\n")


def _tell(run: Path, folder: Path) -> None:
    """Analyses the sweep, and writes its plots and the run's page."""
    from corpusmill.pipeline.sweep_report import analyse_sweep

    if pq.read_metadata(folder / "cells.parquet").num_rows:
        analyse_sweep(run, folder)
