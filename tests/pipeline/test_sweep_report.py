"""A sweep's results on the run's page and on the terminal, from its files alone."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.pipeline import sweep_tables
from corpusmill.pipeline.lock import locked
from corpusmill.pipeline.recipe import build, load_recipe
from corpusmill.pipeline.report import write_report
from corpusmill.pipeline.sweep_command import result_as_text
from corpusmill.pipeline.sweep_page import read_results, sections
from corpusmill.pipeline.sweep_plots import plots_of
from corpusmill.pipeline.sweep_recipe import sweep_options
from corpusmill.pipeline.sweep_report import (
    analyse_sweep,
    report_as_text,
    report_sweep,
    results_as_data,
    sweep_as_text,
)
from corpusmill.pipeline.sweep_tables import best_table, domains_table, estimate, multipliers_table, slopes_table
from corpusmill.pipeline.sweeping import SweepResult
from corpusmill.pipeline.tasks import Outcome, Task
from corpusmill.scaling.cells import CellCost
from corpusmill.scaling.proxies.command_proxy import CommandProxy
from corpusmill.scaling.sweep_options import SweepOptions
from tests.pipeline.test_report import ATTRIBUTES, TAGS, Page
from tests.scaling import made_sweeps

MORE = {"desc", "path", "style", "h4"}
LOOKS = {
    "d", "xmlns", "fill", "fill-opacity", "font-family", "font-size", "font-weight", "stroke", "stroke-dasharray",
    "stroke-opacity", "stroke-width", "transform",
}  # fmt: skip
GRID: dict[str, Any] = {
    "sizes": (1_000_000, 4_000_000),
    "fractions": (0.2, 0.4, 0.8),
    "proxies": ("ngram", "small"),
    "scores": ("quality",),
}


def write_sweep(folder: Path, cells: pa.Table, asked: int | None = None, told: dict[str, Any] | None = None) -> Path:
    """A sweep's folder as `sweep run` leaves it before the analysis."""
    folder.mkdir(parents=True)
    pq.write_table(cells, folder / "cells.parquet")
    known = [
        {
            **{key: row[key] for key in ("pool", "score", "fraction", "size", "seed", "proxy")},
            "folder": f"cells/{row['proxy']}-{row['size']}-{row['score']}-{row['fraction']:g}-{row['seed']}",
            "told": (told or {}) if row["proxy"] == "small" and row["seed"] == 1 else {},
        }
        for row in cells.to_pylist()
    ]
    held = {"web <b>": {"documents": 1200, "clusters": 900, "tokens": 83_000, "text_bytes": 250_000}}
    sweep = {"name": folder.name, "asked": asked or cells.num_rows, "heldout": held, "cells": known}
    (folder / "sweep.json").write_text(json.dumps(sweep))
    return folder


def write_curve(folder: Path, losses: np.ndarray) -> None:
    folder.mkdir(parents=True)
    tokens = 4096 * np.arange(1, len(losses) + 1)
    table = {"step": tokens // 4096, "tokens": tokens, "loss": losses, "learning_rate": losses, "gradient_norm": losses}
    pq.write_table(pa.table(table), folder / "curve.parquet")


@pytest.fixture(scope="module")
def run(small_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with an analysed sweep, two of whose cells left loss curves."""
    run = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(small_run.folder, run)
    told = {"spikes": 2, "skipped_steps": 0, "tokens_per_second": 12_345.0}
    folder = write_sweep(run / "scaling" / "sweep", made_sweeps.cells(**GRID), told=told)
    for name in ("small-4000000-quality-0.4-1", "small-4000000-random-0.4-1"):
        write_curve(folder / "cells" / name, 3 + 20 * np.arange(1.0, 200.0) ** -0.5)
    event = {"step": 17, "kind": "spike", "documents": ["a", "b"], "worst": ["<b>evil\u202e</b>"]}
    (folder / "cells" / "small-4000000-quality-0.4-1" / "events.jsonl").write_text(json.dumps(event) + "\n")
    analyse_sweep(run, folder)
    return run


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page((run / "report" / "index.html").read_text())


def test_the_page_begins_with_the_conclusion_and_has_all_tables(run: Path, page: Page) -> None:
    analysis = json.loads((run / "scaling" / "sweep" / "analysis.json").read_text())
    assert page.text.index("How much is worth keeping: sweep") < page.text.index("Best fraction of each budget")
    for panel in analysis["panels"]:
        assert panel["conclusion"]
        for sentence in panel["conclusion"]:
            assert page.text.count(sentence) >= 1
            assert page.text.index(sentence) < page.text.index("Cost and seeds")
    for heading in (
        "Best fraction of each budget", "Compute multipliers", "Slopes of the frontiers",
        "Losses by held-out domain, 4M tokens before pruning", "Would a smaller experiment have decided alike?",
        "Cost and seeds", "Trouble in training", "Frontier of web, ngram", "Loss against fraction, web, small",
        "Loss curves, web, small", "Losses beside the power law of random pruning, web, ngram",
    ):  # fmt: skip
        assert heading in page.text, heading
    assert "12.3k" in page.text  # tokens a second
    assert "Held out: web <b> 83k tokens (documents: 1,200, clusters of near-duplicates: 900)." in page.text


def test_trouble_in_training_names_the_cell_and_the_documents(page: Page) -> None:
    assert (
        "cells/small-4000000-quality-0.4-1 : 2 spikes; first at step 17, in documents <b>evil U+202E </b>" in page.text
    )


def test_the_page_stays_self_contained_and_without_scripts(run: Path, page: Page) -> None:
    source = (run / "report" / "index.html").read_text()
    assert page.tags <= TAGS | MORE
    assert page.attributes <= ATTRIBUTES | LOOKS
    assert all(target.startswith("#") for target in page.targets)
    assert {target[1:] for target in page.targets} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "url(" not in source
    assert "\u202e" not in source


def test_whoever_writes_the_page_writes_the_sweeps_into_it(run: Path) -> None:
    page = run / "report" / "index.html"
    first = page.read_bytes()
    page.unlink()
    assert write_report(run).read_bytes() == first


def test_a_run_without_a_sweep_has_nothing_of_it(small_run: Any) -> None:
    assert sections(small_run.folder) == []
    assert "worth keeping" not in (small_run.folder / "report" / "index.html").read_text()


def test_plots_are_files_of_their_own_and_old_ones_go(run: Path) -> None:
    plots = run / "scaling" / "sweep" / "plots"
    names = {path.name for path in plots.iterdir()}
    assert names == {
        f"{kind}-web-{proxy}.svg"
        for kind in ("frontier", "floor", "fractions", "residuals")
        for proxy in ("ngram", "small")
    } | {"curves-web-small.svg"}
    for path in plots.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    before = {path.name: path.read_bytes() for path in plots.iterdir()}
    (plots / "frontier-gone-ngram.svg").write_text("old")
    analyse_sweep(run, plots.parent)
    assert {path.name: path.read_bytes() for path in plots.iterdir()} == before


def test_the_text_has_the_conclusion_the_best_fractions_and_the_page(run: Path) -> None:
    text = sweep_as_text(run / "scaling" / "sweep", 100)
    assert max(map(len, text.splitlines())) <= 120
    assert "quality 40%" in text
    assert str(run / "report" / "index.html") in text
    analysis = json.loads((run / "scaling" / "sweep" / "analysis.json").read_text())
    _, *parts, last = re.split(
        "^web, ngram\n-{10}$|^web, small\n-{10}$|^Of the whole sweep:$", text, flags=re.MULTILINE
    )
    for panel, part in zip(analysis["panels"], parts, strict=True):
        assert "Best fraction of each budget:" in part
        told = " ".join(part.split())
        assert all(f"- {' '.join(sentence.split())}" in told for sentence in panel["conclusion"])
    assert "web: ngram and small at 4M tokens rank" in " ".join(last.split())
    assert "Held out: web <b> 83k tokens (documents: 1,200, clusters" in text
    assert text.count("web, small") == 2, "the heading, and how its sizes agree"


def test_cells_that_are_not_there_are_told_of(run: Path, small_run: Any, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    cells = made_sweeps.cells(**GRID | {"proxies": ("ngram",)})
    folder = write_sweep(tmp_path / "run" / "scaling" / "half", cells, asked=cells.num_rows + 5)
    analyse_sweep(tmp_path / "run", folder)
    told = f"{cells.num_rows} of {cells.num_rows + 5} cells are there"
    assert sweep_as_text(folder, 100).startswith(told)
    assert told in (tmp_path / "run" / "report" / "index.html").read_text()
    assert told not in sweep_as_text(run / "scaling" / "sweep", 100)


def test_one_seed_and_one_size_are_reported_without_bands(small_run: Any, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    cells = made_sweeps.cells(**GRID | {"proxies": ("ngram",), "seeds": 1, "sizes": (1_000_000,)})
    folder = write_sweep(tmp_path / "run" / "scaling" / "one", cells)
    analyse_sweep(tmp_path / "run", folder)
    [panel] = read_results(folder).analysis["panels"]
    assert slopes_table(panel) is None
    assert domains_table(panel) is not None
    assert all("(" not in cell for row in best_table(panel).rows for cell in row)
    assert "Best fraction of each budget" in sweep_as_text(folder, 100)


def test_a_table_has_a_column_for_each_size_and_a_row_for_each_treatment(run: Path) -> None:
    panel = read_results(run / "scaling" / "sweep").analysis["panels"][0]
    table = multipliers_table(panel)
    assert table is not None
    assert table.head == ("kept", "1M", "4M")
    assert tuple(row[0] for row in table.rows if "quality" in row[0]) == ("quality 20%", "quality 40%", "quality 80%")
    assert all(len(row) == 3 for row in table.rows)
    assert [row[0] for row in best_table(panel).rows] == ["1M", "4M"]
    domains = domains_table(panel)
    assert domains is not None
    assert domains.head == ("kept", "loss", "books", "forum")


def test_an_estimate_reads_with_its_interval_or_without() -> None:
    assert estimate({"value": 0.5, "low": 0.25, "high": 0.75}, sign=False) == "0.5 (0.25 to 0.75)"
    assert estimate({"value": 0.012, "low": None, "high": None}, percent=True) == "+1.2%"
    assert estimate(None) == "–"
    assert doctest.testmod(sweep_tables).failed == 0


def sweeping(folder: Path, small_run: Any) -> Path:
    """A recipe whose run is a copy of the small one, and which has a sweep."""
    recipe = yaml.safe_load(small_run.recipe.read_text())
    source = recipe["sources"] and next(iter(recipe["sources"]))
    recipe["sweep"] = {
        "pools": {"web": {"sources": [source]}},
        "scores": {"long": {"measure": "text_bytes"}},
        "sizes": [0.5, 1],
        "proxies": {"ngram": {}},
    }
    recipe["runs"] = str(folder / "runs")
    path = folder / small_run.recipe.name
    shutil.copytree(small_run.folder, folder / "runs" / small_run.folder.name)
    for other in small_run.recipe.parent.iterdir():
        if other.is_file():
            shutil.copy(other, folder)
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_the_command_analyses_anew_what_is_there(small_run: Any, tmp_path: Path) -> None:
    recipe = load_recipe(sweeping(tmp_path, small_run))
    run = recipe.runs / recipe.name
    with pytest.raises(UsageError, match=r"no cell of this recipe's sweep is done; `corpusmill sweep run` makes them"):
        report_sweep(recipe)
    folder = write_sweep(run / "scaling" / "sweep", made_sweeps.cells(**GRID | {"proxies": ("ngram",)}))
    data = results_as_data(report_sweep(recipe))
    assert data["report"] == str(run / "report" / "index.html")
    assert len(data["plots"]) == 4
    assert data["conclusion"] == json.loads((folder / "analysis.json").read_text())["conclusion"]
    assert "How much is worth keeping" in (run / "report" / "index.html").read_text()
    with (
        locked(run, "run", taken="{process}", unusable="{reason}"),
        pytest.raises(UsageError, match="is at work in this folder; wait for it"),
    ):
        report_sweep(recipe)


DEEP = b"[" * 200_000
ODD: list[Any] = ["many", {"of": 1}, [1], True, -3, 1e308, float("nan"), 10**400, None, "\ud800\u202e<b>"]


def copied(run: Path, folder: Path) -> Path:
    """A copy of a finished run with its sweep `sweep`, and that sweep once more as `other`."""
    shutil.copytree(run, folder / "run")
    shutil.copytree(run / "scaling" / "sweep", folder / "run" / "scaling" / "other")
    return folder / "run"


def test_results_of_an_earlier_recipe_or_run_are_reported_with_that_word(small_run: Any, tmp_path: Path) -> None:
    path = sweeping(tmp_path, small_run)
    recipe = load_recipe(path)
    run = recipe.runs / recipe.name
    folder = write_sweep(run / "scaling" / "sweep", made_sweeps.cells(**GRID | {"proxies": ("ngram",)}))
    sweep = json.loads((folder / "sweep.json").read_text())
    now = json.loads((run / "manifest.json").read_text())["content_hash"]
    options = json.loads(json.dumps(asdict(sweep_options(recipe))))
    earlier = "These are the results of an earlier recipe: "
    for made, made_from, remarks in (
        (options, now, []),
        ({**options, "name": "other"}, now, []),
        ({}, None, []),
        ({**options, "sizes": [0.25], "seeds": 2}, now,
         [earlier + "sizes and seeds differ; `corpusmill sweep run` makes them anew"]),
        ({**options, "regime": "tokens"}, "another",
         [earlier + "regime differs; `corpusmill sweep run` makes them anew",
          "These results were made from an earlier state of this run; `corpusmill sweep run` makes them anew"]),
    ):  # fmt: skip
        (folder / "sweep.json").write_text(json.dumps({**sweep, "options": made, "run": made_from}))
        results = report_sweep(recipe)
        assert results_as_data(results)["remarks"] == remarks
        assert report_as_text(results, 100).startswith("\n\n".join([*remarks, "web, ngram\n"]))


def failed(folder: Path, cells: int, of: int, proxy: object = None) -> SweepResult:
    """A sweep some of whose cells failed."""
    cost = CellCost(proxy="ngram", cells=of, train_tokens=1, flops=None, seconds=None)
    error = "Traceback:\n  of many lines\nthe command ended with 3: \x1b[31mno memory"
    work = SimpleNamespace(proxy=proxy)
    task = Task("scaling/sweep/ngram-1", "", work, (), folder / "tasks" / "ngram-1.json", "")
    return SweepResult(folder, (cost,), True, tuple(Outcome(task, error=error) for _ in range(cells)))


def test_what_failed_is_told_with_the_first_error_and_where_to_look(run: Path) -> None:
    folder = run / "scaling" / "none"
    text = result_as_text(failed(folder, 12, 12), 100)
    assert text == (
        "12 of 12 cells failed; mend the cause, then run the same command again: it tries only these. The first:\n"
        "  scaling/sweep/ngram-1: the command ended with 3: ?[31mno memory\n"
        f"What they left: {folder / 'cells'}"
    )
    assert failed(folder, 12, 12).exit_code == 3
    told = result_as_text(failed(folder, 12, 12, CommandProxy(command="train {dataset} {out}")), 100)
    assert told.removeprefix(text).startswith("\nOf a command, only the files that its words name are looked at")
    folder = run / "scaling" / "sweep"
    assert result_as_text(failed(folder, 2, 12), 100) == text.replace("12 of 12", "2 of 12").replace(
        "none", "sweep"
    ) + "\n\n" + sweep_as_text(folder, 100)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("analysis.json", b"{", "cannot be read"),
        ("analysis.json", b"[]", "is no JSON object"),
        ("analysis.json", DEEP, "cannot be read (maximum recursion depth"),
        ("analysis.json", b"\xff", "cannot be read"),
        ("analysis.json", b'{"version": 99}', "is of version 99, not 2; `corpusmill sweep report` makes it anew"),
        ("sweep.json", None, "cannot be read"),
        ("sweep.json", DEEP, "cannot be read (maximum recursion depth"),
        ("sweep.json", b'{"asked": 3, "cells": [{"told": "much"}]}', "has no `asked` and `cells` as a sweep writes"),
        ("sweep.json", b'{"asked": 3, "cells": [], "heldout": {"web": 3}}', "has no `asked` and `cells` as a sweep"),
        ("cells.parquet", b"PAR1", "cannot be read"),
        ("cells/small-4000000-quality-0.4-1/curve.parquet", b"no", "is no loss curve"),
    ],
)
def test_a_damaged_file_is_named_in_the_place_of_its_sweep_and_all_else_stands(
    run: Path, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    copy = copied(run, tmp_path)
    path = copy / "scaling" / "sweep" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    text = Page(write_report(copy).read_text()).text
    assert f"It cannot be shown: {path}" in text
    assert told in text
    assert text.index("How much is worth keeping: other") < text.index("Best fraction of each budget")
    assert len(sections(copy)[0]["panels"]) == 2


def test_a_file_that_no_results_are_as_large_as_is_not_read(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    with (copy / "scaling" / "sweep" / "analysis.json").open("r+b") as stream:
        stream.truncate(100_000_001)
    assert "is larger than 100,000,000 bytes" in sections(copy)[1]["unreadable"]


@pytest.mark.parametrize("key", ["conclusion", "notes", "confidence", "panels", "agreement"])
def test_an_analysis_with_odd_values_keeps_no_page_from_being_written(run: Path, tmp_path: Path, key: str) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("cells"))
    path = tmp_path / "run" / "scaling" / "sweep" / "analysis.json"
    analysis = json.loads(path.read_text())
    for odd in ODD[:: 1 if key == "conclusion" else 3]:
        path.write_text(json.dumps({**analysis, key: odd}))
        assert "How much is worth keeping: sweep" in write_report(tmp_path / "run").read_text(encoding="utf-8")


def test_what_trainers_tell_under_our_names_is_shown_only_if_it_is_such_a_number(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    path = copy / "scaling" / "sweep" / "sweep.json"
    sweep = json.loads(path.read_text())
    keys = ("spikes", "skipped_steps", "tokens_per_second", "model_flop_utilisation")
    for place, cell in enumerate(sweep["cells"]):
        cell["told"] = dict.fromkeys(keys, ODD[place % len(ODD)])
    sweep["cells"][0]["told"] = {"spikes": 3, "skipped_steps": "many"}
    path.write_text(json.dumps(sweep))
    told = sections(copy)[1]
    assert "unreadable" not in told
    assert [event["told"] for event in told["events"]["shown"]] == ["3 spikes"]
    assert "3 spikes" in Page(write_report(copy).read_text()).text


def test_a_log_that_is_none_is_told_of_in_its_place(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "scaling", tmp_path / "scaling")
    cell = "cells/small-4000000-quality-0.4-1"
    path = tmp_path / "scaling" / "sweep" / cell / "events.jsonl"
    for content in (b"{}", DEEP, b"\xff", b'{"step": 1, "worst": [1]}'):
        path.write_bytes(content)
        [section] = sections(tmp_path)
        [first] = [event["first"] for event in section["events"]["shown"] if event["cell"] == cell]
        assert first.startswith("events.jsonl is no log of events (")


def test_a_sweep_none_of_whose_cells_is_left_is_told_of(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    path = copy / "scaling" / "sweep" / "cells.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    text = Page(write_report(copy).read_text()).text
    assert f"It cannot be shown: {path}: holds no cell; `corpusmill sweep run` tells what failed" in text
    assert "How much is worth keeping: other" in text


def test_a_folder_that_no_sweep_is_called_by_is_none(run: Path, tmp_path: Path) -> None:
    for name in ("s w", "<b>", "shared.old", os.fsdecode(b"\xff")):
        (tmp_path / "scaling" / name).mkdir(parents=True)
        (tmp_path / "scaling" / name / "analysis.json").write_text("{}")
    assert sections(tmp_path) == []


def test_a_sweep_of_an_earlier_state_of_the_run_is_told_of(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    path = copy / "scaling" / "sweep" / "sweep.json"
    sweep = json.loads(path.read_text())
    now = json.loads((copy / "manifest.json").read_text())["content_hash"]
    told = "It was made from an earlier state of this run; corpusmill sweep run makes it anew."
    for made_from, earlier in ((now, False), ("other", True)):
        path.write_text(json.dumps({**sweep, "run": made_from}))
        assert (told in Page(write_report(copy).read_text()).text) is earlier


def test_a_sweep_without_a_cell_is_refused(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "scaling" / "sweep", made_sweeps.cells(**GRID).slice(0, 0), asked=3)
    with pytest.raises(UsageError, match="holds no cell"):
        analyse_sweep(tmp_path, folder)


def test_the_recipe_in_the_docs_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling" / "sweeps.md").read_text()
    recipe = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    options = build(SweepOptions, recipe["sweep"], "docs/scaling/sweeps.md")
    treatments = options.treatments()
    assert len(treatments) == 1 + (len(options.scores) + 1) * len(options.fractions)
    assert f"| `{options.regime}` (default) |" in page


def test_a_floor_is_drawn_only_where_it_is_told_from_none(run: Path) -> None:
    panel = read_results(run / "scaling" / "sweep").analysis["panels"][0]
    drawn = plots_of(run, panel, []).floor
    assert drawn is not None
    found = float(drawn.split("above a loss of ")[1].split("<")[0])
    assert found == pytest.approx(1.2, abs=0.1)  # what the cells were made from
    straight = {**panel, "cells": [{**cell, "loss": 30 * cell["kept_tokens"] ** -0.2} for cell in panel["cells"]]}
    assert plots_of(run, straight, []).floor is None
    assert plots_of(run, {**panel, "cells": panel["cells"][:3]}, []).floor is None


def test_the_text_refuses_an_analysis_of_another_version(run: Path, tmp_path: Path) -> None:
    folder = copied(run, tmp_path) / "scaling" / "sweep"
    (folder / "analysis.json").write_text('{"version": 99}')
    with pytest.raises(DamagedRunError, match="is of version 99, not 2; `corpusmill sweep report` makes it anew"):
        sweep_as_text(folder, 100)


def test_an_analysis_of_the_version_before_is_made_anew_and_not_shown(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    path = copy / "scaling" / "sweep" / "analysis.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    told = f"{path}: is of version 1, not 2; `corpusmill sweep report` makes it anew"
    assert sections(copy)[1]["unreadable"] == told
    analyse_sweep(copy, path.parent)
    assert "unreadable" not in sections(copy)[1]
