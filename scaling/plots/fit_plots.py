"""Plots of training runs and of fitted laws: loss curves, residuals, predicted against observed.

Each function returns one SVG element. What cannot be drawn (NaN, zero on a logarithmic axis) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpusmill.scaling.contract import RANDOM
from corpusmill.scaling.plots.axes import short, thinned
from corpusmill.scaling.plots.drawing import BASE, CONTROL, INK, Style, style
from corpusmill.scaling.plots.layers import Layer, Line, Point, Points
from corpusmill.scaling.plots.panels import Entry, Panel, Picture, fitted

MOST_CURVES = 24
WHOLE = "everything"
"""The group of runs that keep all."""
_INKED = {RANDOM: CONTROL, WHOLE: BASE}
_CURVE_POINTS = 120
_MOST_POINTS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The training loss of one run."""

    name: str
    """Of the run, for who points at its curve."""
    group: str
    """Runs of one group look alike; the legend names groups."""
    tokens: NDArray[np.int64]
    """Trained on so far; ascending."""
    loss: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a fit says of one run."""

    name: str
    predicted: float
    observed: float
    low: float | None = None
    """The prediction's interval, where there is one."""
    high: float | None = None
    marked: bool = False
    """Shown apart: the prior mixture, say."""


def loss_curves(curves: Sequence[Curve], *, title: str, runs: int | None = None, unit: str = "nats per token") -> str:
    """Training loss against tokens; steps are averaged, so that a curve has at most 120 points.

    Of more than `MOST_CURVES` curves some are shown, evenly chosen. `runs`: how many there are in all, where `curves`
    are a choice already.
    """
    runs = len(curves) if runs is None else runs
    chosen = [curves[place] for place in thinned(len(curves), MOST_CURVES)]
    styles = _styles([curve.group for curve in curves])
    layers = [
        Line(points=_averaged(curve.tokens, curve.loss), style=styles[curve.group], width=1.1, told=curve.name)
        for curve in chosen
    ]
    told = f"Training loss against tokens of {len(chosen)} of {runs} runs, each point a mean over steps."
    x, y = fitted(layers, x_log=True, least=0.05)
    panel = Panel(title="", across="tokens trained on", up=f"training loss, {unit}", layers=layers, x=x, y=y)
    groups = dict.fromkeys(curve.group for curve in chosen)
    legend = [Entry(name=group, style=styles[group], marked=False) for group in groups]
    more = f" ({len(chosen)} of {runs} runs)" if len(chosen) < runs else ""
    return Picture(title=title + more, told=told, panels=[panel], legend=legend, height=360).svg()


def residuals(
    parts: Mapping[str, Mapping[str, Sequence[Point]]], *, title: str, across: str, logarithmic: bool = True
) -> str:
    """Residuals of a fit, log of observed over predicted loss, against what was fitted on: a good fit leaves no shape.

    Args:
        parts: title of a panel -> name of a group -> (input, residual in log loss) for each run. Each panel has a
            vertical axis of its own.
        across: what the input is.
    """
    styles = _styles(name for groups in parts.values() for name in groups)
    panels = [
        _residuals(name, groups, styles, across=across, logarithmic=logarithmic) for name, groups in parts.items()
    ]
    legend = [Entry(name=name, style=styles[name], line=False) for groups in parts.values() for name in groups]
    count = sum(len(points) for groups in parts.values() for points in groups.values())
    told = f"Residuals of {count} runs around zero; positive: the loss was higher than the fit says."
    columns = 2 if len(panels) > 1 else 1
    return Picture(title=title, told=told, panels=panels, legend=legend, columns=columns, height=270).svg()


def _residuals(
    name: str, groups: Mapping[str, Sequence[Point]], styles: Mapping[str, Style], *, across: str, logarithmic: bool
) -> Panel:
    layers: list[Layer] = []
    for group, points in groups.items():
        shown = [points[place] for place in thinned(len(points), _MOST_POINTS)]
        percent = [(x, 100 * value) for x, value in shown]
        told = [f"{group}: {value:+.2f} % at {short(x)}" for x, value in percent]
        layers.append(Points(points=percent, style=styles[group], told=told, size=3.2))
    x, _ = fitted(layers, x_log=logarithmic)
    layers.insert(0, Line(points=[(x.low, 0), (x.high, 0)], style=Style(INK, "circle"), width=1, faint=True))
    _, y = fitted(layers, x_log=logarithmic, least=0.2)
    return Panel(title=name, across=across, up="residual, % of the loss", layers=layers, x=x, y=y)


def predictions(observations: Sequence[Observation], *, title: str, unit: str = "bits per byte") -> str:
    """Predicted against observed loss: the nearer to the diagonal, the better. Marked runs are filled and labelled."""
    plain, apart = Style(style(0).colour, "circle"), style(1)
    layers: list[Layer] = []
    for marked, looks in ((False, plain), (True, apart)):
        shown = [one for one in observations if one.marked is marked]
        shown = [shown[place] for place in thinned(len(shown), _MOST_POINTS)]
        bars = all(one.low is not None and one.high is not None for one in shown)
        layers.append(
            Points(
                points=[(one.observed, one.predicted) for one in shown],
                style=looks,
                lows=[one.low or 0.0 for one in shown] if bars else (),
                highs=[one.high or 0.0 for one in shown] if bars else (),
                told=[f"{one.name}: predicted {one.predicted:.4f}, observed {one.observed:.4f}" for one in shown],
                labels=_once([one.name[:24] if marked else "" for one in shown]),
                filled=[marked] * len(shown),
            )
        )
    x, _ = fitted([_square(layers)])
    layers.insert(0, Line(points=[(x.low, x.low), (x.high, x.high)], style=Style(INK, "circle", "5 4"), width=1))
    told = f"Predicted against observed loss of {len(observations)} runs; the dashed line is where both are equal."
    panel = Panel(title="", across=f"observed, {unit}", up=f"predicted, {unit}", layers=layers, x=x, y=x)
    legend = [Entry(name="predicted = observed", style=Style(INK, "circle", "5 4"), marked=False)]
    return Picture(title=title, told=told, panels=[panel], legend=legend, height=420).svg()


def _once(labels: Sequence[str]) -> list[str]:
    """Runs of one mixture are labelled once."""
    return [label if label not in labels[:place] else "" for place, label in enumerate(labels)]


def _square(layers: Sequence[Layer]) -> Line:
    """All values of both axes, as one line: both axes are the same."""
    both = [value for layer in layers for point in layer.shown() if np.isfinite(point).all() for value in point]
    return Line(points=[(value, value) for value in both], style=CONTROL)


def _styles(names: Iterable[str]) -> dict[str, Style]:
    """Those of the plots of a sweep, where names are its scores in its order."""
    coloured = [name for name in dict.fromkeys(names) if name not in _INKED]
    return _INKED | {name: style(index) for index, name in enumerate(coloured)}


def _averaged(tokens: NDArray[np.int64], loss: NDArray[np.float64]) -> list[Point]:
    """Means over stretches of steps that look equally long on a logarithmic axis. Steps without a loss are left out."""
    usable = np.isfinite(loss) & (tokens > 0)
    x, y = tokens[usable].astype(np.float64), loss[usable]
    if len(x) <= _CURVE_POINTS:
        return list(zip(x.tolist(), y.tolist(), strict=True))
    edges = np.geomspace(x[0], x[-1], _CURVE_POINTS + 1)
    places = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _CURVE_POINTS - 1)
    counts = np.bincount(places, minlength=_CURVE_POINTS)
    there = counts > 0
    means = [np.bincount(places, values, _CURVE_POINTS)[there] / counts[there] for values in (x, y)]
    return list(zip(means[0].tolist(), means[1].tolist(), strict=True))
