"""The part of the run's page that tells of its sweeps, made from their files alone.

So whoever writes the run's page (`corpusmill run`, `mix`, `sweep run`, `sweep report`) writes what its sweeps have
shown into it as well. Read are analysis.json (scaling/frontier/analysis.py has its shape), sweep.json
(pipeline/sweeping.py), cells.parquet (scaling/contract.py), and the loss curves and logs that proxies left. Trainers of
others write some of these, and any can be damaged: then the page says so in the sweep's place, and all else stands.
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

from corpusmill.documents.errors import CorpusmillError, DamagedRunError, UsageError
from corpusmill.pipeline import sweep_tables as tables
from corpusmill.pipeline.recipe import NAME
from corpusmill.pipeline.summary import counted
from corpusmill.pipeline.sweep_plots import Plots, plots_of

VERSION = 2
"""Of the analysis that is understood here."""
_MOST_EVENTS = 20
_MOST_DOCUMENTS = 5
_MOST_TIMES = 10**12
"""What is told above this is no count of events."""
_MOST_BYTES = 100_000_000
"""Of a file of results. Thousands of cells come to a few million."""
_LINE = 1_000_000
"""Characters of a log's line that are read."""
_ANALYSED = "`corpusmill sweep report` makes it anew"
_SWEPT = "`corpusmill sweep run` makes it anew"
_CELL: dict[str, Any] = {
    "folder": str, "pool": str, "score": str, "fraction": int | float, "size": int, "seed": int, "proxy": str,
    "told": dict,
}  # fmt: skip
"""A cell in sweep.json."""
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
    remarks: tuple[str, ...] = ()
    """What is to be known first: that they are of an earlier recipe, or of an earlier state of the run."""


def read_results(folder: Path) -> Results:
    """The results of a sweep that has been analysed.

    Raises:
        DamagedRunError: if a file is missing or not what it should be.
    """
    analysis = read_object(folder / "analysis.json", _ANALYSED)
    if analysis.get("version") != VERSION:
        told = f"{analysis.get('version')!r:.40}"
        raise DamagedRunError(f"{folder / 'analysis.json'}: is of version {told}, not {VERSION}; {_ANALYSED}")
    return Results(folder=folder, analysis=analysis, sweep=read_sweep(folder), cells=read_cells(folder))


def read_sweep(folder: Path) -> dict[str, Any]:
    """sweep.json of a sweep's folder.

    Raises:
        DamagedRunError: if it is missing or not what it should be.
    """
    sweep = read_object(folder / "sweep.json", _SWEPT)
    _check_sweep(folder / "sweep.json", sweep)
    return sweep


def sections(run: Path, content: str | None = None) -> list[dict[str, Any]]:
    """What the run's page shows of each sweep that has been analysed, by name; of one that cannot be shown, why.

    Args:
        content: the content hash of the run's curated documents; None: not known.
    """
    folders = sorted(path.parent for path in (run / "scaling").glob("*/analysis.json"))
    return [_section_or_why(folder, content) for folder in folders if NAME.fullmatch(folder.name)]


def _section_or_why(folder: Path, content: str | None) -> dict[str, Any]:
    try:
        return _section(read_results(folder), content)
    except CorpusmillError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001  (whatever is in a sweep's files, the run's page is written)
        why = f"{folder}: its results are not of the form that they should have ({type(error).__name__}: {error}); "
        why += _SWEPT
    return {"name": folder.name, "unreadable": why}


def overall_conclusion(analysis: Mapping[str, Any]) -> list[str]:
    """What an analysis concludes beside what it says of single panels."""
    told = {f"{panel['pool']}, {panel['proxy']}: {one}" for panel in analysis["panels"] for one in panel["conclusion"]}
    return [sentence for sentence in analysis["conclusion"] if sentence not in told]


def is_earlier(results: Results, content: str | None) -> bool:
    """Whether they were made when the run had other curated documents; not where nobody knows."""
    made_from = results.sweep.get("run")
    return None not in (made_from, content) and made_from != content


def _section(results: Results, content: str | None) -> dict[str, Any]:
    analysis = results.analysis
    apart = len(analysis["panels"]) > 1  # then what is said of one panel stands with it
    overall = overall_conclusion(analysis) if apart else analysis["conclusion"]
    return {
        "name": results.folder.name,
        "earlier": is_earlier(results, content),
        "incomplete": incomplete(results),
        "conclusion": _sentences(overall),
        "notes": _sentences(analysis["notes"]),
        "confidence": f"{analysis['confidence']:.0%}",
        "heldout": tables.heldout_told(results.sweep),
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
        "conclusion": _sentences(panel["conclusion"]) if apart else [],
        "notes": _sentences(panel["notes"]),
        "plots": _inline(plots),
        "best": tables.best_table(panel, results.sweep["cells"]),
        "tables": _there(tables.slopes_table(panel), tables.domains_table(panel)),
        "multipliers": tables.multipliers_table(panel),
    }


def _sentences(found: Sequence[object]) -> list[str]:
    return [str(sentence) for sentence in found]


def _inline(plots: Plots) -> dict[str, Markup]:
    """As markup: scaling/plots/drawing.py has escaped all text in them."""
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
        told = ", ".join(counted(number, words) for words, number in counts.items() if _is_count(number))
        if told:
            found.append({"cell": cell["folder"], "told": told})
    shown = [{**one, "first": _first_event(folder / one["cell"] / "events.jsonl")} for one in found[:_MOST_EVENTS]]
    return {"count": len(found), "shown": shown}


def _is_count(told: object) -> bool:
    """Under these names a trainer of others may tell anything."""
    return isinstance(told, int) and not isinstance(told, bool) and 0 < told < _MOST_TIMES


def _first_event(path: Path) -> str:
    """The first line of a log (scaling/proxies/training_events.py) in words; empty where the proxy keeps none."""
    try:
        with path.open() as stream:
            event = json.loads(stream.readline(_LINE))
        return f"first at step {event['step']}, in documents {', '.join(event['worst'][:_MOST_DOCUMENTS])}"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{path.name} is no log of events ({type(error).__name__}: {error})"


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


def read_object(path: Path, mend: str) -> dict[str, Any]:
    """A JSON object from a file of results.

    Raises:
        DamagedRunError: if it is none; `mend` says how to get a new one.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DamagedRunError(f"{path}: is larger than {_MOST_BYTES:,} bytes, which no results are; {mend}")
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRunError(f"{path}: cannot be read ({error}); {mend}") from error
    if not isinstance(data, dict):
        raise DamagedRunError(f"{path}: is no JSON object; {mend}")
    return data


def _check_sweep(path: Path, sweep: Mapping[str, Any]) -> None:
    """What is read of sweep.json has the types that pipeline/sweeping.py gives it."""
    cells = sweep.get("cells")
    known = isinstance(cells, list) and all(
        isinstance(cell, dict) and all(isinstance(cell.get(key), kind) for key, kind in _CELL.items()) for cell in cells
    )
    heldout = sweep.get("heldout", {})
    counted = isinstance(heldout, dict) and all(
        isinstance(of, dict) and all(isinstance(of.get(key), int) for key in ("documents", "clusters", "tokens"))
        for of in heldout.values()
    )
    if not (known and counted) or not isinstance(sweep.get("asked"), int):
        raise DamagedRunError(f"{path}: has no `asked` and `cells` as a sweep writes them; {_SWEPT}")
