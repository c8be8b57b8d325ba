"""The plots of a sweep as SVG files, and inline in the run's page: both are drawn anew from its results.

plots/frontier-<pool>-<proxy>.svg    loss against kept tokens, with what was fitted to random pruning
plots/floor-<pool>-<proxy>.svg       the same above the control's fitted floor, where that is told from none
plots/fractions-<pool>-<proxy>.svg   loss against the fraction kept
plots/residuals-<pool>-<proxy>.svg   what is left of the losses beside the control's fitted curve
plots/curves-<pool>-<proxy>.svg      training losses, where the proxy left some
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import atomic_text
from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.plots.axes import short, thinned
from corpusmill.scaling.plots.fit_plots import MOST_CURVES, WHOLE, Curve, loss_curves, residuals
from corpusmill.scaling.plots.layers import Point
from corpusmill.scaling.plots.sweep_plots import fractions, frontier

_FEWEST_FOR_A_FLOOR = 8
"""Cells: a fit of three numbers to fewer says little of any."""
_SAFE = re.compile(r"[a-z0-9_]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plots:
    """The pictures of one panel of the analysis; None where there is nothing to draw."""

    frontier: str
    floor: str | None
    fractions: str
    residuals: str | None
    curves: str | None

    def items(self) -> Iterator[tuple[str, str]]:
        """Name and picture of those that there are."""
        found = {name: getattr(self, name) for name in ("frontier", "floor", "fractions", "residuals", "curves")}
        return ((name, svg) for name, svg in found.items() if svg is not None)


def plots_of(folder: Path, panel: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> Plots:
    """The pictures of a panel of the analysis.

    Args:
        folder: of the sweep.
        told: the cells of sweep.json.

    Raises:
        DamagedRunError: if a loss curve cannot be read.
    """
    own = [cell for cell in told if (cell["pool"], cell["proxy"]) == (panel["pool"], panel["proxy"])]
    order = {score: place for place, score in enumerate(panel["scores"])}  # of the colours in all plots
    own.sort(key=lambda cell: order.get(cell["score"], -1))
    name = f"{panel['pool']}, {panel['proxy']}"
    return Plots(
        frontier=frontier(panel),
        floor=_above_floor(panel),
        fractions=fractions(panel),
        residuals=_residuals(panel, f"Losses beside the power law of random pruning, {name}"),
        curves=_curves(folder, own, f"Loss curves, {name}"),
    )


def write_plots(folder: Path, pictures: Sequence[tuple[Mapping[str, Any], Plots]]) -> list[Path]:
    """Writes a sweep's plots/ from the panels of its analysis and their pictures; plots of an earlier analysis go."""
    paths = []
    for panel, plots in pictures:
        for name, svg in plots.items():
            path = folder / "plots" / f"{name}-{_safe(panel['pool'])}-{_safe(panel['proxy'])}.svg"
            atomic_text(path, svg + "\n")
            paths.append(path)
    for old in set((folder / "plots").glob("*.svg")) - set(paths):
        old.unlink()
    return paths


def _safe(name: str) -> str:
    """A name as part of a file's: itself, where the recipe's rule of names holds."""
    return name if _SAFE.fullmatch(name) else sha256(name.encode("utf-8", "replace")).hexdigest()[:16]


def _above_floor(panel: Mapping[str, Any]) -> str | None:
    """The frontier above the loss that no amount of data gets below: there a power law with a floor is a straight line.

    The floor is fitted to the cells that keep everything or keep by chance, and its interval must leave out zero.
    """
    from corpusmill.scaling.laws.power_law import fit_power_law  # scipy takes a second, and most runs have no sweep

    cells = [cell for cell in panel["cells"] if cell["score"] in (ALL, RANDOM)]
    if len(cells) < _FEWEST_FOR_A_FLOOR:
        return None
    weights = [cell["seeds"] for cell in cells]
    fit = fit_power_law([cell["kept_tokens"] for cell in cells], [cell["loss"] for cell in cells], weights=weights)
    floor = fit.estimates["E"]
    return None if not floor.low or floor.high is None else frontier(panel, floor=floor.value)


def _residuals(panel: Mapping[str, Any], title: str) -> str | None:
    """Of all cells within the control's range: what random pruning is off by says how far to trust the curve, what a
    score is off by is its effect at equal tokens."""
    control = panel["control"]
    if control is None or len(control["kept_tokens"]) < 2:
        return None
    x, y = np.log(control["kept_tokens"]), np.log(control["loss"])
    groups: dict[str, list[Point]] = {score: [] for score in (ALL, *panel["scores"])}
    for cell in panel["cells"]:
        place = math.log(cell["kept_tokens"])
        if x[0] <= place <= x[-1]:
            off = math.log(cell["loss"]) - float(np.interp(place, x, y))
            groups[cell["score"]].append((float(cell["kept_tokens"]), off))
    fitted = {WHOLE: groups.pop(ALL), **({RANDOM: groups.pop(RANDOM)} if RANDOM in groups else {})}
    parts = {"What the curve was fitted to": fitted, **({"Scores at equal tokens": groups} if groups else {})}
    return residuals(parts, title=title, across="kept tokens")


def _curves(folder: Path, cells: Sequence[Mapping[str, Any]], title: str) -> str | None:
    """The loss curves that there are; of many runs, only those that are shown are read."""
    there = [(cell, path) for cell in cells if (path := folder / cell["folder"] / "curve.parquet").is_file()]
    if not there:
        return None
    found = []
    for cell, path in (there[place] for place in thinned(len(there), MOST_CURVES)):
        table = _read(path)
        what = WHOLE if cell["score"] == ALL else f"{cell['score']} {100 * cell['fraction']:.3g}%"
        found.append(
            Curve(
                name=f"{what} of {short(cell['size'])}, seed {cell['seed']}",
                group=WHOLE if cell["score"] == ALL else cell["score"],
                tokens=table["tokens"].to_numpy(),
                loss=table["loss"].to_numpy(),
            )
        )
    return loss_curves(found, title=title, runs=len(there))


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, columns=["tokens", "loss"])
        return table.cast(pa.schema([("tokens", pa.int64()), ("loss", pa.float64())]))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DamagedRunError(
            f"{path}: is no loss curve with columns `tokens` and `loss` ({error}); remove the file and run "
            "`corpusmill sweep report` again"
        ) from error
