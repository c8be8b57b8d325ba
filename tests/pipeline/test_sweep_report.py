"""A sweep's results on the run's page and on the terminal, from its files alone."""

from __future__ import annotations

import doctest
import json
import shutil
from pathlib import Path
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
from corpusmill.pipeline.sweep_page import read_results, sections
from corpusmill.pipeline.sweep_plots import plots_of
from corpusmill.pipeline.sweep_report import analyse_sweep, report_sweep, results_as_data, sweep_as_text
from corpusmill.pipeline.sweep_tables import best_table, domains_table, estimate, multipliers_table, slopes_table
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
    sweep = {"name": folder.name, "asked": asked or cells.num_rows, "cells": known}
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
    assert "Best fraction of each budget, web, ngram:" in text
    assert "Best fraction of each budget, web, small:" in text
    assert "quality 40%" in text
    assert str(run / "report" / "index.html") in text
    told = json.loads((run / "scaling" / "sweep" / "analysis.json").read_text())["conclusion"]
    whole = " ".join(text.split())
    assert all(" ".join(sentence.split()) in whole for sentence in told)


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
    assert domains.head == ("kept", "all domains", "books", "forum")


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
    with pytest.raises(UsageError, match=r"has no cells .*`corpusmill sweep run` makes them"):
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


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("analysis.json", b"{", "cannot be read"),
        ("analysis.json", b"[]", "is no JSON object"),
        ("sweep.json", None, "cannot be read"),
        ("cells.parquet", b"PAR1", "cannot be read"),
        ("cells/small-4000000-quality-0.4-1/curve.parquet", b"no", "is no loss curve"),
        ("cells/small-4000000-quality-0.4-1/events.jsonl", b"{}", "is no log of events"),
    ],
)
def test_a_damaged_file_is_named_with_its_mend(
    run: Path, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    shutil.copytree(run / "scaling", tmp_path / "scaling")
    path = tmp_path / "scaling" / "sweep" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedRunError, match=told) as raised:
        sections(tmp_path)
    assert str(path) in str(raised.value)


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


def test_an_analysis_of_another_version_is_told_of_and_keeps_no_page_from_being_written(
    run: Path, small_run: Any, tmp_path: Path
) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    shutil.copytree(run / "scaling", tmp_path / "run" / "scaling")
    folder = tmp_path / "run" / "scaling" / "sweep"
    (folder / "analysis.json").write_text('{"version": 99}')
    page = Page(write_report(tmp_path / "run").read_text())
    assert "It was analysed by another version of corpusmill" in page.text
    with pytest.raises(DamagedRunError, match="is of version 99, not 1; `corpusmill sweep report` makes it anew"):
        sweep_as_text(folder, 100)
