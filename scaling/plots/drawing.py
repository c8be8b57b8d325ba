"""SVG in small pieces: numbers, escaped text, marks and the styles by which series are told apart.

A plot must be readable in print without colour and to the colour-blind. So each series has a mark and a dash of its
own beside its colour, which is one of Okabe and Ito's eight (Color Universal Design, 2008; the yellow is left out, as
it cannot be seen on white). Ink is `currentColor`, so a plot is dark on a light page and light on a dark one. There
are no scripts, no ids that could meet those of another plot on the page, and nothing from outside.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from corpusmill.documents.printable import printable

INK = "currentColor"
FONT = 12
"""Pixels."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = ("square", "triangle", "diamond", "down", "right", "left")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4")


@dataclass(frozen=True, slots=True)
class Style:
    """How a series looks."""

    colour: str
    mark: str
    dash: str = ""


CONTROL = Style(INK, "circle", "5 4")
"""Of the random control."""
BASE = Style(INK, "star")
"""Of what has no score: everything is kept."""


def style(index: int) -> Style:
    """The style of the series with this number. After six, colours repeat with other marks and dashes."""
    turn, place = divmod(index, len(_COLOURS))
    shifted = (place + 1 + turn) % len(_MARKS) if turn else place
    return Style(_COLOURS[place], _MARKS[shifted], _DASHES[shifted])


def number(value: float) -> str:
    """A coordinate: two decimals at most, so that the same plot has the same bytes everywhere.

    >>> number(1.0), number(-0.001), number(2.345678)
    ('1', '0', '2.35')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def clean(text: str) -> str:
    """Names of others, without controls and what reorders text; what XML forbids is among these.

    >>> clean("a\\u202eb\\x00")
    'a?b?'
    """
    return printable(str(text))


def element(name: str, *children: str, **attributes: str | float) -> str:
    """An element; `_` in an attribute's name is a hyphen. Children are markup already; attributes are escaped here."""
    told = "".join(
        f' {key.strip("_").replace("_", "-")}="{number(value) if isinstance(value, int | float) else escape(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def title(text: str) -> str:
    """What a reader is told who points at something."""
    return element("title", escape(clean(text)))


def words(
    text: str, x: float, y: float, *, anchor: str = "start", size: int = FONT, bold: bool = False, turned: bool = False
) -> str:
    """A line of text whose baseline begins, has its middle, or ends at (x, y)."""
    attributes: dict[str, str | float] = {"x": x, "y": y, "fill": INK, "font_size": size}
    if anchor != "start":
        attributes["text_anchor"] = anchor
    if bold:
        attributes["font_weight"] = "bold"
    if turned:
        attributes["transform"] = f"rotate(-90 {number(x)} {number(y)})"
    return element("text", escape(clean(text)), **attributes)


def width(text: str, size: int = FONT) -> float:
    """About how wide a text is, in pixels: fonts differ, so rather too much than too little."""
    return size * sum(_em(character) for character in text)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in "ijl.,:;|'! ()[]-/tfrI":
        return 0.4
    return 0.92 if character in "mwMW@%—" else 0.66 if character.isupper() else 0.6


def cut(text: str, room: float, size: int = FONT) -> str:
    """As much of a text as has room, with an ellipsis where something is left out."""
    text = clean(text[:200])  # no line has room for more
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def path(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """The `d` of straight lines from point to point."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{steps}Z" if closed else f"M{steps}"


def mark(style: Style, x: float, y: float, *, size: float = 3.6, filled: bool = True) -> str:
    """A series' mark at a point; `size` is about half of its width."""
    shape = _shape(style.mark, x, y, size)
    fill = style.colour if filled else "none"
    return element("path", d=shape, fill=fill, stroke=style.colour, stroke_width=1.4)


def _shape(name: str, x: float, y: float, r: float) -> str:
    if name == "circle":
        one = f"a{number(r)} {number(r)} 0 1 0"
        return f"M{number(x - r)} {number(y)}{one} {number(2 * r)} 0{one} {number(-2 * r)} 0Z"
    if name == "star":
        turns = [math.pi * (step / 5 - 0.5) for step in range(10)]
        reach = [1.5 * r if step % 2 == 0 else 0.6 * r for step in range(10)]
        corners = [(x + far * math.cos(turn), y + far * math.sin(turn)) for turn, far in zip(turns, reach, strict=True)]
        return path(corners, closed=True)
    around = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        "down": [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
        "right": [(1.2, 0), (-0.9, 1.15), (-0.9, -1.15)],
        "left": [(-1.2, 0), (0.9, 1.15), (0.9, -1.15)],
        "diamond": [(0, -1.3), (1.1, 0), (0, 1.3), (-1.1, 0)],
    }[name]
    return path([(x + r * right, y + r * down) for right, down in around], closed=True)
