"""What lies in a panel: lines, bands, points with errors, shaded regions.

A layer holds values, not places: its panel puts them on the axes. What no axis can show (NaN, infinity, zero on a
logarithmic axis) is left out, and a line has a gap there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from corpusmill.scaling.plots.axes import Scale
from corpusmill.scaling.plots.drawing import INK, Style, element, mark, path, title

Point = tuple[float, float]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A panel's rectangle in pixels, and its axes."""

    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    def across(self, value: float) -> float | None:
        """Where a value of the horizontal axis lies; None if the axis cannot show it."""
        return self.left + self.width * self.x.place(value) if self.x.has(value) else None

    def place(self, x: float, y: float) -> Point | None:
        """Where a point lies; None if the axes cannot show it."""
        across = self.across(x)
        if across is None or not self.y.has(y):
            return None
        return across, self.top + self.height * (1 - self.y.place(y))


class Layer(Protocol):
    """Something drawn in a panel."""

    def shown(self) -> Iterable[Point]:
        """What the axes must make room for."""

    def marks(self) -> Iterable[tuple[float, float, str]]:
        """Points that labels must not cover, with their own labels; empty where one has none."""

    def draw(self, frame: Frame) -> Iterator[str]:
        """Its elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Straight lines from point to point."""

    points: Sequence[Point]
    style: Style
    width: float = 1.5
    faint: bool = False
    told: str = ""
    """What a reader is told who points at it."""

    def shown(self) -> Iterable[Point]:
        return self.points

    def marks(self) -> Iterable[tuple[float, float, str]]:
        return ()

    def draw(self, frame: Frame) -> Iterator[str]:
        looks: dict[str, str | float] = {"fill": "none", "stroke": self.style.colour, "stroke_width": self.width}
        if self.style.dash:
            looks["stroke_dasharray"] = self.style.dash
        if self.faint:
            looks["stroke_opacity"] = 0.45
        for run in runs([frame.place(x, y) for x, y in self.points]):
            if len(run) > 1:
                yield element("path", *([title(self.told)] if self.told else []), d=path(run), **looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The room between two lines over the same places."""

    xs: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    style: Style

    def shown(self) -> Iterable[Point]:
        yield from zip(self.xs, self.lows, strict=True)
        yield from zip(self.xs, self.highs, strict=True)

    def marks(self) -> Iterable[tuple[float, float, str]]:
        return ()

    def draw(self, frame: Frame) -> Iterator[str]:
        pairs = [
            None if (bottom := frame.place(x, low)) is None or (top := frame.place(x, high)) is None else (bottom, top)
            for x, low, high in zip(self.xs, self.lows, self.highs, strict=True)
        ]
        for run in runs(pairs):
            outline = [low for low, _ in run] + [high for _, high in reversed(run)]
            if len(run) > 1:
                yield element("path", d=path(outline, closed=True), fill=self.style.colour, fill_opacity=0.16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Marks, each with an error bar, a label and a text of its own where these are given."""

    points: Sequence[Point]
    style: Style
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    """Ends of the error bars, in the order of the points."""
    labels: Sequence[str] = ()
    """Written beside the marks where there is room."""
    told: Sequence[str] = ()
    filled: Sequence[bool] = ()
    """Open marks where it is False; by default all are filled."""
    size: float = 3.6

    def shown(self) -> Iterable[Point]:
        yield from self.points
        for ends in (self.lows, self.highs):
            yield from ((x, end) for (x, _), end in zip(self.points, ends, strict=False))

    def marks(self) -> Iterable[tuple[float, float, str]]:
        labels = self.labels or [""] * len(self.points)
        return ((x, y, label) for (x, y), label in zip(self.points, labels, strict=True))

    def draw(self, frame: Frame) -> Iterator[str]:
        for index, (x, y) in enumerate(self.points):
            at = frame.place(x, y)
            if at is None:
                continue
            parts = [title(self.told[index])] if self.told else []
            if self.lows and self.highs:
                low, high = frame.place(x, self.lows[index]), frame.place(x, self.highs[index])
                if low is not None and high is not None:
                    parts.append(_error_bar(low, high, self.style.colour))
            parts.append(mark(self.style, *at, size=self.size, filled=not self.filled or self.filled[index]))
            yield element("g", *parts) if len(parts) > 1 else parts[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the horizontal axis, shaded from top to bottom, with a dashed edge: shading alone is lost in print."""

    low: float
    high: float
    told: str = ""

    def shown(self) -> Iterable[Point]:
        return ()

    def marks(self) -> Iterable[tuple[float, float, str]]:
        return ()

    def draw(self, frame: Frame) -> Iterator[str]:
        left, right = (frame.across(max(frame.x.low, min(frame.x.high, end))) for end in (self.low, self.high))
        if left is not None and right is not None:
            children = [title(self.told)] if self.told else []
            box: dict[str, str | float] = {"x": left, "y": frame.top, "width": right - left, "height": frame.height}
            edge: dict[str, str | float] = {"stroke": INK, "stroke_opacity": 0.35, "stroke_dasharray": "2 3"}
            yield element("rect", *children, fill=INK, fill_opacity=0.08, **box, **edge)


def _error_bar(low: Point, high: Point, colour: str, cap: float = 2.5) -> str:
    (x, bottom), (_, top) = low, high
    strokes = [[(x, bottom), (x, top)], [(x - cap, bottom), (x + cap, bottom)], [(x - cap, top), (x + cap, top)]]
    return element("path", d="".join(map(path, strokes)), fill="none", stroke=colour, stroke_width=1)


def runs(items: Iterable[Item | None]) -> Iterator[list[Item]]:
    """The stretches without a None."""
    run: list[Item] = []
    for item in items:
        if item is not None:
            run.append(item)
        elif run:
            yield run
            run = []
    if run:
        yield run
