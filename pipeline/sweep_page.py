"""The part of the run's page that tells of its sweeps, made from their files alone.

So whoever writes the run's page (`corpusmill run`, `mix`, `sweep run`, `sweep report`) writes what its sweeps have
shown into it as well. Read are analysis.json (scaling/analysis.py has its shape), sweep.json (pipeline/sweeping.py),
cells.parquet (scaling/contract.py) and the loss curves that proxies left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.pipeline import sweep_tables as tables
from corpusmill.pipeline.summary import counted
from corpusmill.pipeline.sweep_plots import Plots, plots_of

VERSION = 1
"""Of the analysis that is understood here."""
_MOST_EVENTS = 20
_MOST_DOCUMENTS = 5
_TROUBLE = {"spikes": "spike", "skipped_steps": "skipped step"}
"""What proxies tell of a training that went ill, and what it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a sweep left in its folder."""

    folder: Path
    analysis: Mapping[str, Any]
    sweep: Mapping[str, Any]
    """sweep.json: what was asked for, and what each cell told."""
    cells: pa.Table


def read_results(folder: Path) -> Results:
    """The results of a sweep that has been analysed.

    Raises:
        DamagedRunError: if a file is missing or not what it should be.
    """
    analysis, sweep = _json(folder / "analysis.json"), _json(folder / "sweep.json")
    if not _readable(folder):
        raise DamagedRunError(
            f"{folder / 'analysis.json'}: is of version {analysis.get('version')!r}, not {VERSION}; "
            "`corpusmill sweep report` makes it anew"
        )
    return Results(folder=folder, analysis=analysis, sweep=sweep, cells=read_cells(folder))


def sections(run: Path) -> list[dict[str, Any]]:
    """What the run's page shows of each sweep that has been analysed, by name; of an analysis of another version, that.

    Raises:
        DamagedRunError: if a file of one is not what it should be.
    """
    found = sorted(path.parent for path in (run / "scaling").glob("*/analysis.json"))
    return [_section(read_results(folder)) if _readable(folder) else {"name": folder.name} for folder in found]


def _readable(folder: Path) -> bool:
    return _json(folder / "analysis.json").get("version") == VERSION


def _section(results: Results) -> dict[str, Any]:
    analysis = results.analysis
    told = {f"{panel['pool']}, {panel['proxy']}: {one}" for panel in analysis["panels"] for one in panel["conclusion"]}
    apart = len(analysis["panels"]) > 1  # then what is said of one panel stands with it
    overall = [sentence for sentence in analysis["conclusion"] if not (apart and sentence in told)]
    return {
        "name": results.folder.name,
        "incomplete": incomplete(results),
        "conclusion": overall,
        "notes": analysis["notes"],
        "confidence": f"{analysis['confidence']:.0%}",
        "panels": [_panel(results, panel, apart=apart) for panel in analysis["panels"]],
        "tables": _there(
            tables.agreement_table(analysis["agreement"]), tables.cost_table(results.cells, results.sweep["cells"])
        ),
        "events": _events(results.folder, results.sweep["cells"]),
    }


def _panel(results: Results, panel: Mapping[str, Any], *, apart: bool) -> dict[str, Any]:
    """`apart`: its conclusion stands with it, and not with the sweep's."""
    plots = plots_of(results.folder, panel, results.sweep["cells"])
    return {
        "name": f"{panel['pool']}, {panel['proxy']}",
        "conclusion": panel["conclusion"] if apart else [],
        "notes": panel["notes"],
        "plots": _inline(plots),
        "best": tables.best_table(panel),
        "tables": _there(tables.slopes_table(panel), tables.domains_table(panel)),
        "multipliers": tables.multipliers_table(panel),
    }


def _inline(plots: Plots) -> dict[str, Markup]:
    """As markup: scaling/drawing.py has escaped all text in them."""
    return {name: Markup(svg) for name, svg in plots.items()}


def _there(*found: tables.Table | None) -> list[tables.Table]:
    return [one for one in found if one is not None]


def incomplete(results: Results) -> str:
    """What is said of a sweep some of whose cells are not there; empty if all are."""
    asked, there = results.sweep["asked"], results.cells.num_rows
    if there >= asked:
        return ""
    return f"{there:,} of {counted(asked, 'cell')} are there; running the sweep again goes on with the others."


def _events(folder: Path, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What went wrong in training: of each cell that told of it, how often, and the first event with its documents."""
    found = []
    for cell in cells:
        counts = {words: cell["told"].get(key) for key, words in _TROUBLE.items()}
        told = ", ".join(counted(number, words) for words, number in counts.items() if number)
        if told:
            found.append({"cell": cell["folder"], "told": told})
    shown = [{**one, "first": _first_event(folder / one["cell"] / "events.jsonl")} for one in found[:_MOST_EVENTS]]
    return {"count": len(found), "shown": shown}


def _first_event(path: Path) -> str:
    """The first line of a log (scaling/training_events.py) in words; empty where the proxy keeps none."""
    try:
        with path.open() as stream:
            event = json.loads(stream.readline())
        return f"first at step {event['step']}, in documents {', '.join(event['worst'][:_MOST_DOCUMENTS])}"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedRunError(f"{path}: is no log of events ({error}); remove the file, then run it again") from error


def read_cells(folder: Path) -> pa.Table:
    """All cells of a sweep.

    Raises:
        UsageError: if there are none.
        DamagedRunError: if they cannot be read.
    """
    path = folder / "cells.parquet"
    try:
        cells = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DamagedRunError(f"{path}: cannot be read ({error}); `corpusmill sweep run` makes it anew") from error
    if not cells.num_rows:
        raise UsageError(f"{path}: holds no cell; `corpusmill sweep run` tells what failed")
    return cells


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DamagedRunError(f"{path}: cannot be read ({error}); `corpusmill sweep run` makes it anew") from error
    if not isinstance(data, dict):
        raise DamagedRunError(f"{path}: is no JSON object; `corpusmill sweep run` makes it anew")
    return data
