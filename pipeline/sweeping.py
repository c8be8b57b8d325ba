"""A pruning sweep as tasks: prepare, tell what the grid costs, run its cells, and analyse what came of them.

scaling/<sweep>/cells/<cell>/…      what a proxy leaves: loss curves, logs of spikes
scaling/<sweep>/tasks/*.json        a marker a cell, with its row
scaling/<sweep>/cells.parquet       all rows (scaling/contract.py)
scaling/<sweep>/sweep.json          the options; the grid; what it was made from; how many cells were asked for; of each
                                    that is there: its folder, what it is, and what the proxy told
scaling/<sweep>/analysis.json       and plots/*.svg: pipeline/sweep_report.py

A cell's name ends with its fingerprint: of its own pool, score and proxy, of the token ids and of what is held out. So
what an earlier recipe trained stays, and is found again when the recipe asks for it again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpusmill.documents.shards import atomic_text, write_table
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.preparing import prepare
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run import Progress, curated_parts, finished_run
from corpusmill.pipeline.sweep_recipe import check_proxies, place_of, proxies_of, sweep_options, tokenizer_of
from corpusmill.pipeline.tasks import Counts, Outcome, Task, fingerprint
from corpusmill.scaling.cells import CellCost, asked_tokens, cells_of, cells_table, cost_of, run_cell
from corpusmill.scaling.contract import Proxy
from corpusmill.scaling.pools import Cell, heldout_counts, pool_tokens, sizes_of
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
    """How far a sweep is.

    missing  what has to be done before its cells, the first of it; empty where all is
    cells    cells done and cells in all, by proxy; empty where something is missing
    others   cells that are there and that this recipe does not ask for
    """

    missing: str
    cells: Mapping[str, tuple[int, int]]
    others: int


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
        regime = [
            getattr(options, key) for key in ("regime", "epochs", "tokens", "target_tokens", "target_pool_tokens")
        ]
        domains = {
            domain: [pool.chosen() for pool in options.pools.values() if domain in pool.sources]
            for domain in options.domains()
        }
        wanted = fingerprint(
            LAYOUT,
            prepared.basis,
            asdict(cell),
            [options.pools[cell.pool].chosen(), options.scores.get(cell.score)],
            [domains, options.heldout.max_tokens],
            regime,
            proxy.identity(),
        )
        name = f"{cell.proxy}-{cell.pool}-{cell.size}-{cell.score}-{cell.fraction:g}-{cell.seed}-{wanted}"
        return Task(
            key=f"scaling/{options.name}/{name}",
            function=f"{__name__}:{train_cell.__name__}",
            arguments=CellWork(prepared, cell, proxy, self.folder / "cells" / name),
            outputs=(),
            marker=self.folder / "tasks" / f"{name}.json",
            fingerprint=wanted,
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
    proxies = proxies_of(options, place_of(recipe, file))
    check_proxies(proxies, place_of(recipe, file))
    with finished_run(recipe, executor, progress, tells=False) as run:
        prepared = prepare(run.folder, run.parts, options, tokenizer_of(recipe, options), run.runner)
        if prepared is None:
            return None
        grid = Grid.of(run.folder, prepared, proxies)
        costs = tuple(grid.costs())
        tell(costs)
        if dry_run:
            return SweepResult(grid.folder, costs, False, ())
        outcomes: list[Outcome] = []
        try:
            for name in proxies:
                outcomes += run.runner.run(f"sweep: {name}", grid.tasks(name))
        finally:  # also of what an interrupted sweep has done
            write_results(grid, _ended(grid), run.manifest["content_hash"])
        _tell(run.folder, grid.folder)
        return SweepResult(grid.folder, costs, True, tuple(run.runner.failed))


def sweep_status(recipe: Recipe, file: Path | None = None) -> SweepStatus:
    """How far a sweep is, without doing anything.

    Raises:
        UsageError: if the recipe has not been run to its end.
        RecipeError: if the sweep cannot be used.
    """
    grid, missing, _ = _found(recipe, file)
    folder = recipe.runs / recipe.name / "scaling" / sweep_options(recipe, file).name
    there = {path.stem for path in (folder / "tasks").glob("*.json")}
    if grid is None:
        return SweepStatus(missing, {}, len(there))
    cells = {}
    for name in grid.proxies:
        tasks = grid.tasks(name)
        cells[name] = sum(task.done() is not None for task in tasks), len(tasks)
        there -= {task.marker.stem for task in tasks}
    return SweepStatus("", cells, len(there))


def collected(recipe: Recipe, file: Path | None = None) -> tuple[Grid, list[Outcome], str] | None:
    """The grid of a sweep, those of its cells that are done, wherever it was stopped, and the content hash of the run.
    None where what comes before the cells is not done any more.

    Raises:
        UsageError: if the recipe has not been run to its end.
        RecipeError: if the sweep cannot be used.
    """
    grid, _, content = _found(recipe, file)
    return None if grid is None else (grid, _ended(grid), content)


def _found(recipe: Recipe, file: Path | None) -> tuple[Grid | None, str, str]:
    """The grid of a sweep as it is prepared, what is missing where it is not, and the content hash of the run."""
    options = sweep_options(recipe, file)
    proxies = proxies_of(options, place_of(recipe, file))
    parts, manifest = curated_parts(recipe)
    folder, finder = recipe.runs / recipe.name, _Finder()
    prepared = prepare(folder, parts, options, tokenizer_of(recipe, options), finder)
    grid = None if prepared is None else Grid.of(folder, prepared, proxies)
    return grid, finder.missing, manifest["content_hash"]


def _ended(grid: Grid) -> list[Outcome]:
    """The cells that ended well, in the order of the grid."""
    found = [(task, task.done()) for name in grid.proxies for task in grid.tasks(name)]
    return [Outcome(task, counts, reused=True) for task, counts in found if counts is not None]


class _Finder:
    """Takes the place of a runner: what is done is found, and the first that is not is remembered."""

    def __init__(self) -> None:
        self.missing = ""

    def run(self, title: str, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcomes of an earlier run."""
        outcomes = []
        for task in tasks:
            counts = task.done()
            if counts is None:
                self.missing = self.missing or title
            outcomes.append(Outcome(task, counts or {}, error="not done yet" if counts is None else None, reused=True))
        return outcomes


def train_cell(work: CellWork) -> Counts:
    return run_cell(work.prepared, work.cell, work.proxy, work.folder)


def write_results(grid: Grid, ended: Sequence[Outcome], content_hash: str) -> None:
    """Writes the table of all cells that ended well, and what they told. Without any, older results go."""
    options = grid.prepared.options
    if not ended:
        for name in ("analysis.json", "cells.parquet", "sweep.json"):
            (grid.folder / name).unlink(missing_ok=True)
        shutil.rmtree(grid.folder / "plots", ignore_errors=True)
        return
    weights = {name: options.weight_of(name) for name in options.pools}
    table = cells_table([outcome.counts for outcome in ended], weights)
    write_table(grid.folder / "cells.parquet", table.to_batches(), table.schema)
    sweep = {
        "name": options.name,
        "options": asdict(options),
        "fingerprint": grid.prepared.fingerprint,
        "run": content_hash,
        "vocab_size": grid.prepared.vocab_size,
        "heldout": heldout_counts(grid.prepared.documents, options),
        "grid": {
            "sizes": sorted({cell.size for cell in grid.cells}),
            "seeds": list(range(options.seeds)),
            "treatments": [list(treatment) for treatment in options.treatments()],
            "proxies": list(grid.proxies),
            "pool_tokens": {name: pool_tokens(grid.prepared.documents, name) for name in options.pools},
            "weights": weights,
        },
        "asked": len(grid.cells),
        "cells": [
            {
                "folder": str(outcome.task.arguments.folder.relative_to(grid.folder)),
                **{key: outcome.counts[key] for key in _TOLD},
            }
            for outcome in ended
        ],
    }
    atomic_text(grid.folder / "sweep.json", json.dumps(sweep, indent=1) + "\n")


def _tell(run: Path, folder: Path) -> None:
    """Analyses the sweep, and writes its plots and the run's page."""
    from corpusmill.pipeline.report import write_report
    from corpusmill.pipeline.sweep_report import analyse_sweep

    if (folder / "cells.parquet").exists():
        analyse_sweep(run, folder)
    else:
        write_report(run)
