"""Plots of a sweep: the frontier of loss against kept tokens, and loss against the fraction that was kept.

Both are drawn from a panel of `Analysis.as_dict()` (scaling/frontier/analysis.py has its shape), and each is one SVG
element. The frontier is drawn on logarithmic axes as in Sorscher et al. 2022 (arXiv:2206.14486, figure 1): there a
power law is a straight line, and a frontier that is steeper than that of random pruning shows as such. Loss against
fraction has a panel for each size, since no fraction is best for all budgets (Goyal et al. 2024, arXiv:2404.07177).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.plots.axes import short, thinned
from corpusmill.scaling.plots.drawing import BASE, CONTROL, Style, style
from corpusmill.scaling.plots.layers import Band, Layer, Line, Point, Points, Region
from corpusmill.scaling.plots.panels import Entry, Panel, Picture, fitted

Data = Mapping[str, Any]

_UNIT = "bits per byte"
_MOST_SCORES = 12
_MOST_SIZES = 9
_BESIDE = 0.01
"""How far, as a share of the axis, a score's mark stands beside the next one's: error bars must not cover another's."""
_LEAST_DECADES = 0.02
"""Of the vertical axis: a range of losses below 5 % is not blown up to a full panel."""


def frontier(panel: Data, *, floor: float = 0.0) -> str:
    """Kept tokens against loss, both logarithmic: the frontiers of all scores in one panel, then a panel for each score
    with the curves of all its fractions.

    Bands are those of the analysis; the dashed line is the power law of the control, and it ends where the control's
    data ends. Each cell bears its fraction where there is room; its numbers are shown to who points at it.

    Args:
        floor: is taken off all losses; a fitted loss that no data gets below. Losses up to it are left out.
    """
    styles, shown = styles_of(panel), _scores(panel)
    fronts = {front["score"]: front for front in panel["frontiers"] if front["score"] in shown}
    law = _control(panel, floor)
    overview = _overview(fronts, styles, law, floor)
    each = {score: _of_score(panel, score, fronts.get(score), styles[score], law, floor) for score in shown}
    everything = [*overview, *(layer for layers in each.values() for layer in layers)]
    x, y = fitted(everything, x_log=True, y_log=True, least=_LEAST_DECADES)
    up = f"loss, {_UNIT}" if not floor else f"loss above {floor:.3f}, {_UNIT}"
    panels = [Panel(title="Frontiers", across="kept tokens", up=up, layers=overview, x=x, y=y)]
    panels += [
        Panel(title=score, across="kept tokens", up=up, layers=layers, x=x, y=y) for score, layers in each.items()
    ]
    names = {score: "random, and its power law" if score == RANDOM else score for score in shown}
    legend = [Entry(name=name, style=styles[score]) for score, name in names.items()]
    legend.append(Entry(name="everything kept", style=BASE, line=False))
    told = (
        f"{_name(panel)}: loss against kept tokens on logarithmic axes, for {len(shown)} ways of pruning at "
        f"{len(panel['sizes'])} sizes; labels are the fraction kept."
    )
    return Picture(
        title=f"Frontier of {_name(panel)}" + (f", above a loss of {floor:.3f}" if floor else ""),
        told=told, panels=panels, legend=legend, columns=2, height=270,
        wide_first=True,
    ).svg()  # fmt: skip


def fractions(panel: Data) -> str:
    """Loss against the fraction kept, a panel for each size, a line for each score, with error bars.

    The shaded region is that of the fractions which the analysis cannot tell from the best; filled marks are the
    (score, fraction) of that region, open ones are worse.
    """
    styles, shown = styles_of(panel), _scores(panel)
    sizes = [panel["sizes"][place] for place in thinned(len(panel["sizes"]), _MOST_SIZES)]
    best = {one["size"]: one for one in panel["best"]}
    ticks = [fraction for fraction in panel["fractions"] if fraction > 0]
    layers = {size: _against_fraction(panel, size, shown, styles, best.get(size), ticks) for size in sizes}
    panels = []
    for size in sizes:
        x, y = fitted(layers[size], x_log=_wide(ticks), least=_least(layers[size]))
        panels.append(
            Panel(title=f"{short(size)} tokens before pruning", across="fraction kept", up=f"loss, {_UNIT}",
                  layers=layers[size], x=x, y=y, ticks=ticks)
        )  # fmt: skip
    legend = [Entry(name=score, style=styles[score]) for score in shown]
    legend.append(Entry(name="everything kept", style=BASE, line=False))
    if any(one["not_distinguishable"] for one in best.values()):
        legend += [
            Entry(name="open marks: worse than the best", style=CONTROL, line=False, filled=False),
            Entry(
                name="shaded: not distinguishable from the best", style=CONTROL, line=False, marked=False, shaded=True
            ),
        ]
    told = (
        f"{_name(panel)}: loss against the fraction kept, at {len(sizes)} of {len(panel['sizes'])} sizes, with error "
        "bars; the shaded region holds the fractions that cannot be told from the best."
    )
    return Picture(
        title=f"Loss against fraction, {_name(panel)}", told=told, panels=panels, legend=legend,
        columns=2 if len(panels) > 1 else 1, height=260,
    ).svg()  # fmt: skip


def styles_of(panel: Data) -> dict[str, Style]:
    """How each score of a panel looks, the same in all plots of a sweep."""
    found = {score: style(index) for index, score in enumerate(score for score in panel["scores"] if score != RANDOM)}
    return {**found, RANDOM: CONTROL, ALL: BASE}


def _scores(panel: Data) -> list[str]:
    """Those that are drawn: the first twelve, and the control."""
    scores = [score for score in panel["scores"] if score != RANDOM]
    return [*scores[:_MOST_SCORES], *(score for score in panel["scores"] if score == RANDOM)]


def _overview(
    fronts: Mapping[str, Data], styles: Mapping[str, Style], law: Sequence[Layer], floor: float
) -> list[Layer]:
    """The frontiers of all scores: bands below, then lines, then the cells that make them."""
    layers: list[Layer] = [_band(front, styles[score], floor) for score, front in fronts.items()]
    layers += law
    layers += [
        Line(points=_line(front, floor), style=styles[score], width=2)
        for score, front in fronts.items()
        if score != RANDOM  # the power law is its line
    ]
    return layers + [layer for score, front in fronts.items() for layer in _corners(score, front, styles[score], floor)]


def _corners(score: str, front: Data, looks: Style, floor: float) -> list[Layer]:
    """The cells that make a frontier. Fractions of the control tell nothing: chance keeps what it keeps."""
    parts = [point for point in front["points"] if point["fraction"] < 1]
    whole = [point for point in front["points"] if point["fraction"] >= 1]
    return [
        Points(
            points=[_place(point, floor) for point in parts],
            style=looks,
            labels=[_percent(point["fraction"]) for point in parts] if score != RANDOM else (),
            told=[_told(score, point) for point in parts],
        ),
        Points(points=[_place(point, floor) for point in whole], style=BASE, told=[_told(ALL, one) for one in whole]),
    ]


def _of_score(
    panel: Data, score: str, front: Data | None, looks: Style, law: Sequence[Layer], floor: float
) -> list[Layer]:
    """The curves of one score, one for each fraction, its frontier, and the control's power law."""
    curves = [curve for curve in panel["curves"] if curve["score"] == score]
    whole = [curve for curve in panel["curves"] if curve["score"] == ALL]
    layers: list[Layer] = [] if front is None else [_band(front, looks, floor)]
    layers += law
    layers += [
        Line(points=_line(curve, floor), style=Style(looks.colour, looks.mark), width=1, faint=True,
             told=f"{score}, {_percent(curve['fraction'])} kept")
        for curve in curves
    ]  # fmt: skip
    if front is not None and score != RANDOM:
        layers.append(Line(points=_line(front, floor), style=looks, width=2))
    for curve in [*whole, *curves]:
        rows = [dict(zip(("size", "kept_tokens", "loss"), row, strict=True), fraction=curve["fraction"])
                for row in zip(curve["size"], curve["kept_tokens"], curve["loss"], strict=True)]  # fmt: skip
        kept = curve["score"] == ALL
        layers.append(
            Points(
                points=[_place(row, floor) for row in rows],
                style=BASE if kept else looks,
                lows=[value - floor for value in _ends(curve, "low")],
                highs=[value - floor for value in _ends(curve, "high")],
                labels=["" if kept else _percent(row["fraction"]) for row in rows],
                told=[_told(curve["score"], row) for row in rows],
                size=3.0,
            )
        )
    return layers


def _against_fraction(
    panel: Data, size: int, shown: Sequence[str], styles: Mapping[str, Style], best: Data | None, ticks: Sequence[float]
) -> list[Layer]:
    cells = [cell for cell in panel["cells"] if cell["size"] == size]
    whole = [cell for cell in cells if cell["score"] == ALL]
    same = set() if best is None else {(one["score"], one["fraction"]) for one in best["not_distinguishable"]}
    layers: list[Layer] = []
    if best is not None and best["not_distinguishable"]:
        layers.append(_region(best["lowest_fraction"], best["highest_fraction"], ticks))
    ends = [(cell["fraction"], _number(cell["loss"])) for cell in whole]
    for place, score in enumerate(shown):
        own = sorted((cell for cell in cells if cell["score"] == score), key=lambda cell: cell["fraction"])
        step = _BESIDE * (place - (len(shown) - 1) / 2)
        points = [(_beside(cell["fraction"], ticks, step), _number(cell["loss"])) for cell in own]
        layers.append(Line(points=[*points, *ends], style=styles[score], width=1.3))
        layers.append(_measured(own, points, styles[score], same))
    return [*layers, _measured(whole, ends, BASE, same)]


def _beside(fraction: float, ticks: Sequence[float], step: float) -> float:
    """A fraction, shifted by a share of the axis."""
    low, high = min(ticks, default=1.0), max(ticks, default=1.0)
    return fraction * (high / low) ** step if _wide(ticks) else fraction + step * (high - low)


def _wide(ticks: Sequence[float]) -> bool:
    """Whether fractions are shown on a logarithmic axis."""
    return bool(ticks) and max(ticks) > 20 * min(ticks)


def _measured(cells: Sequence[Data], points: Sequence[Point], looks: Style, same: set[tuple[str, float]]) -> Points:
    """Means over seeds. Open marks are those outside `same`; without any there, all are filled."""
    return Points(
        points=points,
        style=looks,
        lows=[_number(cell["low"]) for cell in cells],
        highs=[_number(cell["high"]) for cell in cells],
        told=[_told(cell["score"], cell) for cell in cells],
        filled=[(cell["score"], cell["fraction"]) in same for cell in cells] if same else (),
        size=4,
    )


def _region(low: float, high: float, ticks: Sequence[float]) -> Region:
    """From half-way to the next lower fraction to half-way to the next higher one."""
    below = max((tick for tick in ticks if tick < low), default=low)
    above = min((tick for tick in ticks if tick > high), default=high)
    pad = 0.03 * (max(ticks) - min(ticks)) if ticks else 0.0
    told = f"{_percent(low)} to {_percent(high)}: not distinguishable from the best"
    return Region(low=(low + below) / 2 if below < low else low - pad,
                  high=(high + above) / 2 if above > high else high + pad, told=told)  # fmt: skip


def _control(panel: Data, floor: float) -> list[Layer]:
    """The power law of random pruning and of keeping everything, within what was measured."""
    control = panel["control"]
    return [] if control is None else [Line(points=_line(control, floor), style=CONTROL, width=1.6)]


def _band(front: Data, looks: Style, floor: float) -> Band:
    lows, highs = _ends(front, "low"), _ends(front, "high")
    return Band(
        xs=front["kept_tokens"] if lows else [],
        lows=[value - floor for value in lows],
        highs=[value - floor for value in highs],
        style=looks,
    )


def _line(curve: Data, floor: float) -> list[Point]:
    return [(_number(x), _number(y) - floor) for x, y in zip(curve["kept_tokens"], curve["loss"], strict=True)]


def _ends(curve: Data, name: str) -> list[float]:
    """The lower or upper ends of intervals; none where one seed gives none."""
    return [_number(value) for value in curve[name] or ()]


def _place(point: Data, floor: float) -> Point:
    return _number(point["kept_tokens"]), _number(point["loss"]) - floor


def _told(score: str, point: Data) -> str:
    what = "everything" if score == ALL else f"{score}, {_percent(point['fraction'])}"
    return f"{what} kept of {short(point['size'])}: {short(point['kept_tokens'])} tokens, {_number(point['loss']):.4f}"


def _percent(fraction: float) -> str:
    """A share in percent, to as few digits as say it.

    >>> _percent(0.2), _percent(0.125), _percent(0.001)
    ('20%', '12.5%', '0.1%')
    """
    return f"{100 * fraction:.3g}%"


def _least(layers: Iterable[Layer]) -> float:
    """The shortest vertical axis: 2 % of the loss."""
    values = [y for layer in layers for _, y in layer.shown() if math.isfinite(y)]
    return 0.02 * max(map(abs, values), default=0.0)


def _number(value: float | None) -> float:
    """NaN, which no axis shows, for what is not known."""
    return math.nan if value is None else value


def _name(panel: Data) -> str:
    return f"{panel['pool']}, {panel['proxy']}"
