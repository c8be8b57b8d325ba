"""Plots are well-formed SVG whatever goes in, hold what they should, and have the same bytes each time."""

from __future__ import annotations

import copy
import doctest
import math
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.scaling.frontier.analysis import AnalysisOptions, analyse
from corpusmill.scaling.plots import axes, drawing, sweep_plots
from corpusmill.scaling.plots.axes import Scale
from corpusmill.scaling.plots.drawing import clean, cut, number, style, width
from corpusmill.scaling.plots.fit_plots import MOST_CURVES, Curve, Observation, loss_curves, predictions, residuals
from corpusmill.scaling.plots.layers import Band, Frame, Line, Points
from corpusmill.scaling.plots.panels import Entry, Panel, Picture, fitted
from corpusmill.scaling.plots.sweep_plots import fractions, frontier, styles_of
from tests.scaling import made_sweeps

HOSTILE = "</text><script>alert(1)</script>\u202e\x00\ud800&amp;\"'" + "W" * 300
SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "style", "text", "path", "g", "rect"}


def read(svg: str) -> ElementTree.Element:
    """The picture as XML, which is what it must be to stand in a file of its own."""
    root = ElementTree.fromstring(svg)
    tags = {item.tag.removeprefix(SVG) for item in root.iter()}
    assert tags <= ELEMENTS
    assert root.get("role") == "img"
    assert root[0].tag == SVG + "title"
    assert root[1].tag == SVG + "desc"
    assert root[1].text
    left, top, wide, tall = map(float, root.get("viewBox", "").split())
    assert (left, top, wide) == (0, 0, 720)
    for item in root.iter():
        for name, value in item.attrib.items():
            assert "nan" not in value
            assert "inf" not in value or name == "font-family"
            if name == "d":
                numbers = [float(found) for found in re.findall(r"-?[\d.]+", value)]
                assert all(re.fullmatch(r"-?\d+(\.\d\d?)?", found) for found in re.findall(r"-?[\d.]+", value))
                assert all(-50 <= one <= max(wide, tall) + 50 for one in numbers)
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in root.iter(SVG + "text")]


def told(root: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in root.iter(SVG + "title")]


@pytest.fixture(scope="module")
def panel() -> dict[str, Any]:
    cells = made_sweeps.cells()
    found: dict[str, Any] = analyse(cells, AnalysisOptions(draws=1000)).as_dict()["panels"][0]
    return found


def test_the_frontier_has_every_cell_and_a_panel_for_each_score(panel):
    root = read(frontier(panel))
    assert {"Frontiers", "quality", "length", "random", "kept tokens", "10%"} <= set(texts(root))
    for cell in panel["cells"]:
        assert any(f"{cell['loss']:.4f}" in one for one in told(root)), cell
    assert root.get("viewBox") == read(frontier(panel)).get("viewBox")


def test_a_floor_is_taken_off_all_losses(panel):
    low = min(cell["loss"] for cell in panel["cells"])
    whole, above = read(frontier(panel)), read(frontier(panel, floor=low - 0.1))
    assert f"loss above {low - 0.1:.3f}, bits per byte" in texts(above)
    assert not set(texts(whole)) & {"0.1", "0.2"}
    assert set(texts(above)) & {"0.1", "0.2"}
    read(frontier(panel, floor=10 * low))


def test_loss_against_fraction_has_a_panel_a_size_and_shades_what_cannot_be_told_from_the_best(panel):
    root = read(fractions(panel))
    assert {"1M tokens before pruning", "8M tokens before pruning", "0.4", "1"} <= set(texts(root))
    shaded = list(root.iter(SVG + "rect"))
    assert len(shaded) == len(panel["sizes"]) + 1  # and the legend's
    best = panel["best"][0]
    low, high = 100 * best["lowest_fraction"], 100 * best["highest_fraction"]
    assert any(one.startswith(f"{low:.3g}% to {high:.3g}%: not distinguishable") for one in told(root))


def test_filled_marks_are_those_that_cannot_be_told_from_the_best(panel):
    root = read(fractions(panel))
    same = sum(len(best["not_distinguishable"]) for best in panel["best"])
    marks = [item[-1].get("fill") for item in root.iter(SVG + "g") if any(part.tag == SVG + "title" for part in item)]
    assert sum(fill != "none" for fill in marks) == same
    assert len(marks) == len(panel["cells"])


def test_labels_do_not_overlap(panel):
    root = read(frontier(panel))
    boxes = []
    for item in root.iter(SVG + "text"):
        if item.get("font-size") == "10":
            x, y = float(item.get("x", 0)), float(item.get("y", 0))
            boxes.append((x, y - 9, x + width(item.text or "", 10), y))
    assert len(boxes) > 20
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[place + 1 :]:
            assert not (left < other[2] and other[0] < right and top < other[3] and other[1] < bottom)


def test_all_text_stays_within_the_picture(panel):
    for svg in (frontier(panel), fractions(panel)):
        root = read(svg)
        tall = float(root.get("height", 0))
        for item in root.iter(SVG + "text"):
            x, y = float(item.get("x", 0)), float(item.get("y", 0))
            room = width(item.text or "", int(item.get("font-size", 12)))
            if item.get("transform") is None:
                start = {"middle": x - room / 2, "end": x - room}.get(item.get("text-anchor", ""), x)
                assert start >= 0, item.text
                assert start + room <= 720 + 8, item.text
            assert 0 < y < tall


def test_series_differ_by_mark_and_dash_as_well_as_by_colour():
    first = [style(place) for place in range(6)]
    for kind in ("colour", "mark", "dash"):
        assert len({getattr(one, kind) for one in first}) == 6
    assert len({(one.colour, one.mark) for one in map(style, range(30))}) == 30
    found = styles_of({"scores": ["b", "a", "random"]})
    assert found["b"] == style(0)
    assert found["random"].colour == "currentColor"


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_have_no_bands_and_a_plot_nevertheless(seeds):
    cells = made_sweeps.cells(seeds=seeds, sizes=(1_000_000, 2_000_000))
    panel = analyse(cells, AnalysisOptions(draws=1000)).as_dict()["panels"][0]
    read(frontier(panel))
    read(fractions(panel))


@pytest.mark.parametrize(
    "grid",
    [
        {"sizes": (1_000_000,)},
        {"sizes": (1_000_000,), "fractions": (0.5,), "scores": ()},
        {"sizes": (1_000_000, 2_000_000), "fractions": (0.001, 0.01, 0.1), "scores": ("quality",)},
        {"noise": 0.0},
    ],
)
def test_small_and_odd_grids_are_drawn(grid):
    for panel in analyse(made_sweeps.cells(**grid), AnalysisOptions(draws=1000)).as_dict()["panels"]:
        read(frontier(panel))
        read(fractions(panel))


def test_more_scores_than_colours_and_more_sizes_than_panels_are_drawn():
    scores = tuple(f"score_{number}" for number in range(14))
    sizes = tuple(1_000_000 * 2**power for power in range(10))
    cells = made_sweeps.cells(scores=scores, sizes=sizes, fractions=(0.5,), seeds=2)
    panel = analyse(cells, AnalysisOptions(draws=1000)).as_dict()["panels"][0]
    root = read(frontier(panel))
    assert texts(root).count("score_1") == 2  # its panel and the legend
    assert len([text for text in texts(read(fractions(panel))) if "before pruning" in text]) == 9


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 0.0, -1.0, 1e308, 5e-324])
def test_a_loss_that_cannot_be_drawn_is_left_out(panel, value):
    spoilt = copy.deepcopy(panel)
    for cell in spoilt["cells"][::3]:
        cell["loss"] = cell["low"] = cell["high"] = value
    for curve in [*spoilt["curves"], *spoilt["frontiers"], spoilt["control"]]:
        curve["loss"][0] = curve["low"][0] = curve["high"][-1] = value
    read(frontier(spoilt))
    read(fractions(spoilt))


def test_an_empty_panel_is_an_empty_picture(panel):
    bare = {key: [] if isinstance(value, list) else value for key, value in panel.items()} | {"control": None}
    read(frontier(bare))
    read(fractions(bare))


def test_hostile_names_are_shown_as_text(panel):
    spoilt = copy.deepcopy(panel) | {"pool": HOSTILE, "proxy": HOSTILE}
    for item in [*spoilt["cells"], *spoilt["curves"], *spoilt["frontiers"], *spoilt["best"]]:
        item["score"] = HOSTILE if item["score"] == "quality" else item["score"]
    spoilt["scores"] = [HOSTILE if score == "quality" else score for score in spoilt["scores"]]
    for svg in (frontier(spoilt), fractions(spoilt)):
        root = read(svg)
        assert "<script" not in svg
        assert "\u202e" not in svg
        assert any(text.startswith("</text><script>alert(1)") for text in texts(root))


def test_the_same_results_give_the_same_bytes(panel):
    assert frontier(panel) == frontier(copy.deepcopy(panel))
    assert fractions(panel) == fractions(copy.deepcopy(panel))


VALUES = st.floats() | st.sampled_from([0.0, 1.0, 1.0, -1.0, 1e-320, 1.7e308])


@settings(max_examples=60)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=12), st.booleans(), st.booleans(), st.text())
def test_any_numbers_and_names_make_a_picture(rows, x_log, y_log, name):
    points = [(x, y) for x, y, _, _ in rows]
    layers = [
        Band(xs=[x for x, _ in points], lows=[row[2] for row in rows], highs=[row[3] for row in rows], style=style(0)),
        Line(points=points, style=style(1), told=name),
        Points(
            points=points,
            style=style(2),
            lows=[row[2] for row in rows],
            highs=[row[3] for row in rows],
            labels=[name] * len(rows),
            told=[name] * len(rows),
        ),
    ]
    x, y = fitted(layers, x_log=x_log, y_log=y_log)
    panels = [Panel(title=name, across=name[:30], up=name[:30], layers=layers, x=x, y=y)]
    legend = [Entry(name=name, style=style(0))] * 20
    read(Picture(title=name, told="x" + name, panels=panels, legend=legend).svg())


def test_a_line_has_a_gap_where_a_value_is_missing():
    frame = Frame(left=0, top=0, width=10, height=10, x=Scale(low=0, high=4), y=Scale(low=0, high=4))
    parts = list(Line(points=[(0, 0), (1, 1), (2, math.nan), (3, 3), (4, 4)], style=style(0)).draw(frame))
    assert [re.search('d="([^"]*)"', part).group(1) for part in parts] == ["M0 10L2.5 7.5", "M7.5 2.5L10 0"]


def test_numbers_have_two_decimals_at_most():
    assert [number(value) for value in (0.0, -0.001, 1 / 3, 100.0, -2.5)] == ["0", "0", "0.33", "100", "-2.5"]


@given(st.text(), st.floats(0, 300))
def test_cut_text_fits_its_room(text, room):
    found = cut(text, room)
    assert width(found) <= max(room, width("…"))
    assert found == clean(text) or found.endswith("…")


def curves(count: int, steps: int = 500) -> list[Curve]:
    tokens = np.arange(1, steps + 1) * 4096
    return [
        Curve(
            name=f"run {number}", group=f"score_{number % 3}", tokens=tokens, loss=3 + 30 * tokens**-0.3 + number / 50
        )
        for number in range(count)
    ]


def test_loss_curves_are_thinned_and_say_so():
    root = read(loss_curves(curves(60), title="Loss curves"))
    assert "Loss curves (24 of 60 runs)" in texts(root)
    lines = [item for item in root.iter(SVG + "path") if len(item)]
    assert len(lines) == MOST_CURVES
    assert all(item.get("d", "").count("L") < 121 for item in lines)
    assert {"run 0", "run 59"} <= set(told(root))


def test_curves_with_nothing_to_draw_are_drawn_as_nothing():
    empty = Curve(name="none", group="a", tokens=np.empty(0, np.int64), loss=np.empty(0))
    spoilt = Curve(name="spoilt", group="a", tokens=np.array([0, 1, 2]), loss=np.array([1.0, math.nan, math.inf]))
    for found in ([], [empty], [spoilt], [*curves(1, 1), empty]):
        read(loss_curves(found, title="Loss curves"))


def test_a_thinned_curve_keeps_its_level():
    root = read(loss_curves(curves(1, 3000), title="Loss curves"))
    [line] = [item for item in root.iter(SVG + "path") if len(item)]
    heights = [float(found) for found in re.findall(r"[ML][\d.]+ ([\d.]+)", line.get("d", ""))]
    assert heights == sorted(heights)  # the loss falls, so the line goes down the page, without jumps back
    assert len(heights) > 50


def test_residuals_stand_around_a_line_at_zero():
    groups = {"random": [(1e6, 0.01), (2e6, 0.02), (4e6, math.nan)], "quality": [(1e6, 0.05)]}
    root = read(residuals({"": groups}, title="Residuals", across="kept tokens"))
    assert {"0", "random", "quality", "residual, % of the loss"} <= set(texts(root))
    assert "quality: +5.00 % at 1M" in told(root)
    read(residuals({}, title="Residuals", across="x"))
    read(residuals({"one": {}, "two": {"random": [(0.0, 0.0)]}}, title="Residuals", across="x", logarithmic=False))


def test_predictions_show_intervals_and_name_the_marked_one():
    runs = [
        Observation(name=f"mixture {n}", predicted=2 + n / 10, observed=2.05 + n / 10, low=1.9, high=2.9)
        for n in range(5)
    ]
    prior = Observation(name="prior", predicted=2.2, observed=2.21, marked=True)
    root = read(predictions([*runs, prior], title="Mixture law"))
    assert {"prior", "predicted = observed"} <= set(texts(root))
    assert "mixture 1: predicted 2.1000, observed 2.1500" in told(root)
    for found in ([], [prior], [Observation(name="x", predicted=math.nan, observed=2.0)], runs[:1] * 3):
        read(predictions(found, title="Mixture law"))


@pytest.mark.parametrize("module", [axes, drawing, sweep_plots])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0
