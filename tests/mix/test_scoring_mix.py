from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.mix.options import MixOptions
from corpusmill.mix.quality_score import combine
from corpusmill.mix.scoring_mix import score_placed
from corpusmill.mix.selection import effective_units
from tests.mix.conftest import Built, make_documents, scored


def test_the_score_of_the_parts_is_that_of_the_dataset(mixed: Built, tmp_path: Path) -> None:
    score = scored(mixed, tmp_path)
    assert score.documents == len(mixed.rows())
    assert score.tokens == mixed.selection.units
    assert score.unit == "n_tokens"
    assert {name: own.tokens for name, own in score.components.items()} == {
        chosen.component: chosen.units for chosen in mixed.selection.components
    }


def test_repeated_passes_lose_what_they_are_not_worth(builder: Callable[..., Built], tmp_path: Path) -> None:
    options = MixOptions(ratios={"web": 1.0}, max_epochs=4, validation=0)
    built = builder({"web": make_documents("web", 200)}, options)
    score = scored(built, tmp_path)
    assert score.lost["epochs"] == pytest.approx(1 - effective_units(1, 4) / 4, abs=1e-6)
    assert score.lost["duplicates"] < 0.02  # a few of the made documents are "web 7" alone


@pytest.mark.parametrize(("passes", "apart"), [(1, 1e-9), (3, 1e-9), (0.4, 0.01), (1.5, 0.01), (2.5, 0.01)])
def test_copies_are_worth_what_the_selection_says(
    builder: Callable[..., Built], tmp_path: Path, passes: float, apart: float
) -> None:
    documents = [{**row, "cluster_size": 1 + number % 2} for number, row in enumerate(make_documents("web", 1500))]
    options = MixOptions(ratios={"web": 1.0}, rehydrate={1: 1, 2: 20}, max_epochs=max(1, passes), validation=0)
    if passes < 1:
        whole = builder({"web": documents}, options).selection.units
        options = replace(options, budget=int(whole * passes))
    built = builder({"web": documents}, options)
    [chosen] = built.selection.components
    assert chosen.epochs == pytest.approx(passes, abs=0.01)
    score = scored(built, tmp_path)
    assert score.lost["epochs"] == pytest.approx(1 - chosen.effective_units / chosen.units, abs=apart)


def test_a_part_that_is_not_taken_leaves_nothing_behind(builder: Callable[..., Built], tmp_path: Path) -> None:
    built = builder({"web": make_documents("web", 50)}, MixOptions(ratios={"web": 1.0}, validation=0.5))
    part = next(built.folder.parent.glob("*.parquet"))
    table = pq.read_table(part.with_suffix(".placed"))
    pq.write_table(table.set_column(4, "component", pa.nulls(len(table), pa.string())), tmp_path / "none.placed")
    score_placed(part, tmp_path / "none.placed", built.selection, tmp_path / "rows", grouped=False)
    assert combine([tmp_path / "rows"]).documents == 0
