"""A sweep's results: the analysis of its cells, its plots, the run's page, and the text on the terminal.

scaling/<sweep>/analysis.json   scaling/frontier/analysis.py has its shape
scaling/<sweep>/plots/*.svg     pipeline/sweep_plots.py has their names
report/index.html               of the run; pipeline/sweep_page.py is the sweep's part
"""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline import sweep_tables as tables
from corpusmill.pipeline.lock import locked
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.report import write_report
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.summary import table
from corpusmill.pipeline.sweep_page import (
    Results,
    incomplete,
    is_earlier,
    overall_conclusion,
    read_cells,
    read_results,
    read_sweep,
)
from corpusmill.pipeline.sweep_plots import plots_of, write_plots
from corpusmill.pipeline.sweep_recipe import sweep_options
from corpusmill.pipeline.sweeping import Grid, collected, write_results
from corpusmill.pipeline.tasks import Outcome
from corpusmill.scaling.frontier.analysis import AnalysisOptions, Asked, analyse
from corpusmill.scaling.plots.axes import short
from corpusmill.scaling.sweep_options import SweepOptions


def analyse_sweep(run: Path, folder: Path) -> None:
    """Analyses a sweep's cells anew; writes analysis.json, the plots and the run's page.

    Args:
        run: the folder of the run.
        folder: that of the sweep in it, which has cells.parquet and sweep.json.

    Raises:
        UsageError: if there are no cells.
        DamagedRunError: if a file of the sweep cannot be read.
    """
    analysis = analyse(read_cells(folder), AnalysisOptions(), _asked(folder / "sweep.json")).as_dict()
    atomic_text(folder / "analysis.json", json.dumps(analysis, indent=1, allow_nan=False) + "\n")
    results = read_results(folder)
    write_plots(folder, [(panel, plots_of(folder, panel, results.sweep["cells"])) for panel in analysis["panels"]])
    write_report(run)


_ASKED = TypeAdapter(Asked)


def _asked(path: Path) -> Asked | None:
    """What the sweep was to be; None where its sweep.json does not say, as older ones do not."""
    again = "`corpusmill sweep run` makes it anew"
    try:
        grid = json.loads(path.read_bytes()).get("grid")
        return None if grid is None else _ASKED.validate_python(grid)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(["grid", *map(str, first["loc"])])
        raise DamagedRunError(f"{path}: {place}: {first['msg']}; {again}") from error
    except (OSError, ValueError, AttributeError) as error:
        raise DamagedRunError(f"{path}: cannot be read ({error}); {again}") from error


def report_sweep(recipe: Recipe, file: Path | None = None) -> Results:
    """What `corpusmill sweep report` does: analyses the cells that are there, those of a stopped sweep included.

    Args:
        file: with the sweep's options, instead of the recipe's `sweep`.

    Raises:
        UsageError: if the sweep has no cells, or a command is at work in the run's folder.
        RecipeError: if the recipe's sweep cannot be used.
    """
    options = sweep_options(recipe, file)
    run = recipe.runs / recipe.name
    folder = run / "scaling" / options.name
    taken = "process {process} is at work in this folder; wait for it"
    unusable = "the run's folder cannot be written ({reason}); mend its rights"
    with locked(run, str(run), taken=taken, unusable=unusable):
        # Of a run that has changed since, the cells that there were are shown, with a remark.
        foreign = 0
        with contextlib.suppress(UsageError):
            foreign = _collect(recipe, file)
        if not (folder / "cells.parquet").is_file():
            raise UsageError(f"{folder}: no cell of this recipe's sweep is done; `corpusmill sweep run` makes them")
        analyse_sweep(run, folder)
    results = read_results(folder)
    remarks = [*_remarks(results, options, read_manifest(run).get("content_hash"))]
    if foreign:
        remarks.append(
            f"{foreign} of these cells are not what would be trained here: another device or version, or a file of a "
            "command that is not the same; `corpusmill sweep run` would train them again"
        )
    return replace(results, remarks=tuple(remarks))


def _collect(recipe: Recipe, file: Path | None) -> int:
    """Writes the table of the cells that are done and that the recipe asks for. Nothing where what comes before them is
    not done any more, or none is done.

    A proxy may be another where somebody only looks: `device: auto` where there is no GPU, a command's file that is not
    the same. Then results of the same recipe stay as they are.

    Returns:
        of how many cells there are results that this machine would train again.

    Raises:
        UsageError: if the recipe has not been run to its end.
        RecipeError: if the sweep cannot be used.
    """
    found = collected(recipe, file)
    if found is None:
        return 0
    grid, ended, content = found
    foreign = _foreign(grid, ended, content)
    if ended and not foreign:
        write_results(grid, ended, content)
    return foreign


def _foreign(grid: Grid, ended: Sequence[Outcome], content: str) -> int:
    """How many cells of the same recipe and run have results, and are not found."""
    try:
        sweep = read_sweep(grid.folder)
    except DamagedRunError:  # there is none, or it cannot be read: it is written anew
        return 0
    if sweep.get("run") != content or _changed(sweep, grid.prepared.options):
        return 0
    names = {Path(cell["folder"]).name for cell in sweep["cells"]} - {outcome.task.marker.stem for outcome in ended}
    return sum((grid.folder / "tasks" / f"{name}.json").is_file() for name in names)


def _changed(sweep: Mapping[str, Any], options: SweepOptions) -> list[str]:
    """The options that were others when sweep.json was written; those that it does not tell are taken for the same."""
    told = sweep.get("options")
    made = told if isinstance(told, dict) else {}
    asked = json.loads(json.dumps(asdict(options)))
    return [key for key, value in asked.items() if key != "name" and made.get(key, value) != value]


def _remarks(results: Results, options: SweepOptions, content: str | None) -> Iterator[str]:
    """That they are not of this recipe, or not of the run as it is now."""
    others = _changed(results.sweep, options)
    again = "`corpusmill sweep run` makes them anew"
    if others:
        differ = "differs" if len(others) == 1 and not others[0].endswith("s") else "differ"
        yield f"These are the results of an earlier recipe: {' and '.join(others)} {differ}; {again}"
    if is_earlier(results, content):
        yield f"These results were made from an earlier state of this run; {again}"


def results_as_data(results: Results) -> dict[str, Any]:
    """A sweep's analysis and where its plots and the run's page are, for machines."""
    run = results.folder.parent.parent
    return {
        "folder": str(results.folder),
        "report": str(run / "report" / "index.html"),
        "plots": [str(path) for path in sorted((results.folder / "plots").glob("*.svg"))],
        "remarks": list(results.remarks),
        **results.analysis,
    }


def report_as_text(results: Results, width: int) -> str:
    """What `corpusmill sweep report` prints: whether it is of another recipe, then what the sweep came to."""
    return "\n\n".join([*results.remarks, sweep_as_text(results.folder, width)])


def sweep_as_text(folder: Path, width: int) -> str:
    """What a sweep came to, for the terminal: each pool and proxy below its own heading, then what is said of all.

    Raises:
        DamagedRunError: if a file is missing or not what it should be.
    """
    results = read_results(folder)
    analysis = results.analysis
    blocks = [incomplete(results)]
    for panel in analysis["panels"]:
        blocks += _panel_blocks(panel, results.sweep["cells"], width)
    overall = _wrapped([*overall_conclusion(analysis), *analysis["notes"]], width)
    blocks.append("\n".join(["Of the whole sweep:", *overall]) if overall else "")
    blocks.append("\n".join(textwrap.wrap(tables.heldout_told(results.sweep), width)))
    run = folder.parent.parent
    blocks.append(f"report:   {run / 'report' / 'index.html'}\nplots:    {folder / 'plots'}")
    return "\n\n".join(block for block in blocks if block)


def _panel_blocks(panel: Mapping[str, Any], told: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    name = f"{panel['pool']}, {panel['proxy']}"
    yield "\n".join([name, "-" * len(name), *_wrapped(panel["conclusion"], width)])
    best = tables.best_table(panel, told)
    keep = [place for place, head in enumerate(best.head) if not head.startswith("not distinguishable")]
    rows = [[row[place] for place in keep] for row in best.rows]
    if rows:
        lines = ["Best fraction of each budget:", table([best.head[place] for place in keep], rows)]
        lines.append("Not distinguishable from it:")
        for one in panel["best"]:
            near = f"{short(one['size'])}: {tables.undistinguished(panel, one)}"
            lines += textwrap.wrap(near, width, initial_indent="  ", subsequent_indent="    ")
        yield "\n".join(lines)
    if panel["notes"]:
        yield "\n".join(["To bear in mind:", *_wrapped(panel["notes"], width)])


def _wrapped(sentences: Sequence[str], width: int) -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, width, initial_indent="- ", subsequent_indent="  ")
    ]
