"""Panels with axes, and the picture that is made of them: a grid of panels over one legend.

Labels of points are placed one after the other, each at the first place around its mark where it covers no mark, no
other label and as little as possible of the lines; a label without such a place is left out. So labels never overlap,
and what was left out is in the text shown at the mark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from corpusmill.scaling.plots.axes import Scale, scale
from corpusmill.scaling.plots.drawing import FONT, INK, Style, cut, element, mark, number, path, title, width, words
from corpusmill.scaling.plots.layers import Frame, Layer, Line, Point, Region

WIDTH = 720
"""Of every picture, in pixels."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 42  # around a panel's frame: labels of the axes, and the title
_HEADING = 26
_LABEL = 10
_LEGEND_LINE = 20
_LEGEND_MARK = 34
_MOST_LEGEND = 16
_STYLE = ".plot{color:#1d2a33}@media(prefers-color-scheme:dark){.plot{color:#e4eaee}}"

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    across: str
    """What the horizontal axis shows."""
    up: str
    """What the vertical axis shows."""
    layers: Sequence[Layer]
    """From the back to the front."""
    x: Scale
    y: Scale
    ticks: Sequence[float] = ()
    """Of the horizontal axis, where steps of 1, 2 and 5 are not what readers look for."""

    def draw(self, box: Box, *, up: bool = True) -> list[str]:
        """Its elements within `box`; `up`: whether it is said what the vertical axis shows."""
        left, top, right, bottom = box
        above = _TOP if self.title else 8
        frame = Frame(
            left=left + _LEFT, top=top + above, width=right - left - _LEFT - _RIGHT,
            height=bottom - top - above - _BOTTOM, x=self.x, y=self.y,
        )  # fmt: skip
        parts = self._axes(frame)
        if self.title:
            name = cut(self.title, right - left - _LEFT, FONT + 1)
            parts.append(words(name, frame.left, top + 16, size=FONT + 1, bold=True))
        parts.append(words(self.across, frame.left + frame.width / 2, bottom - 6, anchor="middle"))
        if up:
            parts.append(words(self.up, left + 12, frame.top + frame.height / 2, anchor="middle", turned=True))
        parts += [part for layer in self.layers for part in layer.draw(frame)]
        return [*parts, *_labels(self.layers, frame)]

    def _axes(self, frame: Frame) -> list[str]:
        right, bottom = frame.left + frame.width, frame.top + frame.height
        parts, lines, small = [], [], [[(frame.left, frame.top), (frame.left, bottom), (right, bottom)]]
        for tick in self.y.ticks(max(3, int(frame.height / 38))):
            y = bottom - frame.height * self.y.place(tick.value)
            lines.append([(frame.left, y), (right, y)])
            parts.append(words(tick.label, frame.left - 6, y + 4, anchor="end", size=FONT - 1))
        for value, label in self._across(frame):
            x = frame.left + frame.width * self.x.place(value)
            small.append([(x, bottom), (x, bottom + 4)])
            parts.append(words(label, x, bottom + 16, anchor="middle", size=FONT - 1))
        grid = element("path", d="".join(map(path, lines)), fill="none", stroke=INK, stroke_opacity=0.13)
        axes = element("path", d="".join(map(path, small)), fill="none", stroke=INK, stroke_opacity=0.55)
        return [*([grid] if lines else []), axes, *parts]

    def _across(self, frame: Frame) -> Iterable[tuple[float, str]]:
        """Ticks of the horizontal axis, without those whose labels would touch."""
        if not self.ticks:
            ticks = self.x.ticks(max(3, int(frame.width / 62)))
            wanted = [(tick.value, tick.label) for tick in ticks]
        else:
            wanted = [(value, f"{value:.3g}") for value in sorted(set(self.ticks), reverse=True) if self.x.has(value)]
        taken: list[tuple[float, float]] = []
        for value, label in wanted:
            middle, half = self.x.place(value) * frame.width, width(label, FONT - 1) / 2 + 2
            if all(middle + half <= left or middle - half >= right for left, right in taken):
                taken.append((middle - half, middle + half))
                yield value, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the legend."""

    name: str
    style: Style
    line: bool = True
    marked: bool = True
    filled: bool = True
    shaded: bool = False
    """A piece of a shaded region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Panels in rows, with a legend below them."""

    title: str
    told: str
    """What is to be seen, for who cannot see it."""
    panels: Sequence[Panel]
    legend: Sequence[Entry] = ()
    columns: int = 1
    height: float = 330
    """Of a panel."""
    wide_first: bool = False
    """The first panel has a row of its own, a third taller than the others."""

    def svg(self) -> str:
        """The whole as one SVG element that also stands alone as a file."""
        parts, top = self._rows()
        legend, bottom = _legend(self.legend, top)
        heading = words(cut(self.title, WIDTH - 24, FONT + 2), 12, 18, size=FONT + 2, bold=True)
        return element(
            "svg", title(self.title), element("desc", _escaped(self.told)), element("style", _STYLE), heading,
            *parts, *legend, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {number(bottom)}",
            width=WIDTH, height=bottom, role="img", class_="plot", font_family="system-ui,sans-serif",
        )  # fmt: skip

    def _rows(self) -> tuple[list[str], float]:
        rest = list(self.panels)
        rows = [[rest.pop(0)]] if self.wide_first and rest else []
        rows += [rest[start : start + self.columns] for start in range(0, len(rest), self.columns)]
        parts: list[str] = []
        top: float = _HEADING
        for place, row in enumerate(rows):
            alone = self.wide_first and place == 0
            tall = self.height * 4 / 3 if alone else self.height
            each = WIDTH / (1 if alone else self.columns)
            for column, panel in enumerate(row):
                parts += panel.draw((column * each, top, (column + 1) * each, top + tall), up=column == 0)
            top += tall
        return parts, top


def _escaped(text: str) -> str:
    return title(text).removeprefix("<title>").removesuffix("</title>")


def _legend(entries: Sequence[Entry], top: float) -> tuple[list[str], float]:
    """Entries from left to right in as many lines as they need; how far down they reach."""
    shown = list(entries[:_MOST_LEGEND])
    parts: list[str] = []
    x, y = 12.0, top + 14
    for entry in shown:
        name = cut(entry.name, 300)
        room = _LEGEND_MARK + width(name) + 14
        if x + room > WIDTH and x > 12:
            x, y = 12.0, y + _LEGEND_LINE
        if entry.shaded:
            parts += Region(low=0, high=1).draw(_key(x, y - 4, 12))
        if entry.line:
            parts += Line(points=[(0, 0), (1, 0)], style=entry.style).draw(_key(x, y - 4))
        if entry.marked:
            parts.append(mark(entry.style, x + 13, y - 4, filled=entry.filled))
        parts.append(words(name, x + _LEGEND_MARK - 2, y))
        x += room
    if len(entries) > len(shown):
        parts.append(words(f"and {len(entries) - len(shown)} more", 12, y + _LEGEND_LINE))
        y += _LEGEND_LINE
    return parts, (y + 12 if entries else top)


def _key(x: float, y: float, height: float = 1) -> Frame:
    """The frame in which a legend's line or region from 0 to 1 is drawn."""
    return Frame(left=x, top=y - height / 2, width=26, height=height, x=Scale(low=0, high=1), y=Scale(low=-1, high=1))


def _labels(layers: Sequence[Layer], frame: Frame) -> list[str]:
    marks = [(frame.place(x, y), label) for layer in reversed(layers) for x, y, label in layer.marks()]
    seen = [(at, label) for at, label in marks if at is not None]
    if not any(label for _, label in seen):
        return []
    taken: list[Box] = [(x - 4.5, y - 4.5, x + 4.5, y + 4.5) for (x, y), _ in seen]
    strokes = [point for layer in layers if isinstance(layer, Line) for point in _along(layer, frame)]
    parts = []
    for (x, y), label in seen:
        if not label:
            continue
        room = width(label, _LABEL)
        free = [box for box in _around(x, y, room) if _within(box, frame) and not any(_meet(box, one) for one in taken)]
        if free:
            box = min(free, key=lambda box: sum(box[0] <= a <= box[2] and box[1] <= b <= box[3] for a, b in strokes))
            taken.append(box)
            parts.append(words(label, box[0], box[3] - 2, size=_LABEL))
    return parts


def _around(x: float, y: float, room: float) -> list[Box]:
    """Where a label may stand, best first: above, below, at the sides, at the corners."""
    tall, far = _LABEL + 1.0, 5.5
    corners = [
        (x - room / 2, y - far - tall), (x - room / 2, y + far),
        (x + far, y - tall / 2), (x - far - room, y - tall / 2),
        (x + far, y - far - tall + 3), (x + far, y + far - 3),
        (x - far - room, y - far - tall + 3), (x - far - room, y + far - 3),
    ]  # fmt: skip
    return [(left, top, left + room, top + tall) for left, top in corners]


def _within(box: Box, frame: Frame) -> bool:
    left, top, right, bottom = box
    return (
        left > frame.left and right < frame.left + frame.width + _RIGHT - 2
        and top > frame.top - 6 and bottom < frame.top + frame.height
    )  # fmt: skip


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _along(line: Line, frame: Frame) -> Iterable[Point]:
    """Points of a line, some pixels apart."""
    places = [frame.place(x, y) for x, y in line.points]
    for start, end in pairwise(places):
        if start is None or end is None:
            continue
        steps = max(1, int(math.dist(start, end) / 5))
        for step in range(steps + 1):
            share = step / steps
            yield start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def fitted(
    layers: Sequence[Layer], *, x_log: bool = False, y_log: bool = False, least: float = 0.0
) -> tuple[Scale, Scale]:
    """The axes that show all of some layers. `least`: the shortest range of the vertical one (`axes.scale`)."""
    points = [
        (x, y)
        for layer in layers
        for x, y in layer.shown()
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not x_log) and (y > 0 or not y_log)
    ]
    across = scale((x for x, _ in points), logarithmic=x_log)
    return across, scale((y for _, y in points), logarithmic=y_log, least=least)
