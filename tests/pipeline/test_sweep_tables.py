"""The tables of a sweep, from analyses that the tests know."""

from __future__ import annotations

from typing import Any

from corpusmill.pipeline.sweep_tables import agreement_table
from corpusmill.scaling.frontier.analysis import AnalysisOptions, Asked, analyse
from tests.scaling import made_sweeps

GRID: dict[str, Any] = {"sizes": (1_000_000, 4_000_000), "fractions": (0.4, 0.8), "scores": ("quality",)}
OPTIONS = AnalysisOptions(draws=200)


def test_an_agreement_is_told_with_the_seeds_of_each_side_and_the_documents_that_both_have() -> None:
    asked = Asked(sizes=GRID["sizes"], seeds=(0, 1, 2), treatments=(), proxies=(), pool_tokens={"web": 5_000_000})
    found = analyse(made_sweeps.cells(**GRID), OPTIONS, asked).as_dict()
    table = agreement_table(found["agreement"])
    assert table is not None
    [row] = table.rows
    told = dict(zip(table.head, row, strict=True))
    assert (told["seeds"], told["same documents"]) == ("1 and 2 others", "80%")
    unknown = agreement_table(analyse(made_sweeps.cells(**GRID), OPTIONS).as_dict()["agreement"])
    assert unknown is not None
    assert unknown.rows[0][5] == "–"
    alone = agreement_table(analyse(made_sweeps.cells(**GRID, seeds=1), OPTIONS).as_dict()["agreement"])
    assert alone is not None
    assert alone.rows[0][4:6] == ("the same", "100%")
