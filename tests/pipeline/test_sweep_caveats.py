"""What a sweep was to be, and what its cells are not, as the terminal and the page have it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from corpusmill.documents.errors import DamagedRunError
from corpusmill.pipeline.sweep_report import analyse_sweep, sweep_as_text
from tests.pipeline.test_sweep_report import write_sweep
from tests.scaling import made_sweeps

SIZES = (1_000_000, 4_000_000)
ASKED = {
    "sizes": list(SIZES), "seeds": [0, 1, 2], "proxies": ["ngram"], "pool_tokens": {"web": 5_000_000},
    "treatments": [["all", 1.0], *([score, part] for score in ("quality", "random") for part in (0.8, 0.2))],
}  # fmt: skip


@pytest.fixture
def run(small_run: Any, tmp_path: Path) -> Path:
    shutil.copytree(small_run.folder, tmp_path / "run")
    return tmp_path / "run"


def swept(run: Path, grid: Any, cells: pa.Table) -> Path:
    folder = write_sweep(run / "scaling" / "sweep", cells)
    path = folder / "sweep.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "grid": grid}))
    return folder


def cells() -> pa.Table:
    return made_sweeps.cells(scores=("quality",), sizes=SIZES, fractions=(0.2, 0.8))


def test_the_terminal_tells_of_a_lost_seed_and_of_pools_that_overlap(run: Path) -> None:
    whole = cells()
    folder = swept(run, ASKED, whole.filter(pc.not_equal(whole["seed"], 2)))
    analyse_sweep(run, folder)
    text = sweep_as_text(folder, 200)
    for words in (
        "- All cells of seed 2 are missing.",
        "- 10 cells of the grid are missing; all else was analysed.",
        "To bear in mind:",
        "- missing: all cells of seed 2; the rest was analysed",
        "- at 4000000 tokens each seed's pool is 80% of all there is, so any two share at least 75% of their tokens",
    ):
        assert words in text.replace("web, ngram: ", "").replace("web, ", ""), words


def test_losses_that_do_not_differ_leave_a_page_and_a_text(run: Path) -> None:
    rows = [{**row, "loss": 1.5} for row in cells().to_pylist()]
    folder = swept(run, ASKED, pa.Table.from_pylist(rows, schema=cells().schema))
    analyse_sweep(run, folder)
    assert json.loads((folder / "analysis.json").read_text())["panels"][0]["best"] == []
    text = sweep_as_text(folder, 200)
    assert "All losses of a size are the same" in text
    assert "Best fraction" not in text
    assert "All losses of a size are the same" in (run / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("grid", "place"),
    [([], "grid"), ({**ASKED, "sizes": "many"}, "grid.sizes"),
     ({**ASKED, "pool_tokens": {"web": None}}, "grid.pool_tokens.web")],
)  # fmt: skip
def test_a_grid_that_is_none_is_a_damaged_file(tmp_path: Path, grid: Any, place: str) -> None:
    folder = swept(tmp_path, grid, cells())
    with pytest.raises(DamagedRunError, match=rf"sweep\.json: {place}: Input .*sweep run. makes it anew"):
        analyse_sweep(tmp_path, folder)


def test_a_sweep_json_that_is_no_json_is_a_damaged_file(tmp_path: Path) -> None:
    folder = swept(tmp_path, ASKED, cells())
    (folder / "sweep.json").write_text("[1]")
    with pytest.raises(DamagedRunError, match=r"sweep\.json: cannot be read"):
        analyse_sweep(tmp_path, folder)
