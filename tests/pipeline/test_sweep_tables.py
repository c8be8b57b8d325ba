"""The tables of a sweep, from analyses that the tests know."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from corpusmill.pipeline.sweep_tables import (
    agreement_table,
    best_table,
    cost_table,
    domains_table,
    multipliers_table,
    slopes_table,
)
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


def told_of(rows: list[dict[str, Any]], counted: Any) -> list[dict[str, Any]]:
    """The cells of sweep.json, each with what its proxy told that it counted."""
    return [{**row, "told": {"counted_tokens": counted(row)}} for row in rows]


def test_what_a_proxy_counted_stands_before_the_tokens_that_were_asked_for() -> None:
    rows = [{**row, "train_tokens": 3_000_000, "epochs": 3e6 / row["kept_tokens"]} for row in made_sweeps.cells(
        **GRID | {"sizes": (1_000_000,)}).to_pylist()]  # fmt: skip
    cells = pa.Table.from_pylist(rows, schema=made_sweeps.schema())
    found = analyse(cells, OPTIONS)
    panel = found.as_dict()["panels"][0]
    kept = {"quality 40%": "400k", "quality 80%": "800k", "random 80%": "800k", "everything": "1M"}
    told = told_of(rows, lambda row: row["kept_tokens"])
    row = best_table(panel, told).rows[0]
    assert row[1] == f"{kept[row[2]]} of 3M"
    for table in (best_table(panel, told), cost_table(cells, told)):
        assert "the proxy counted 1M tokens, each once, where 3M were asked for" in table.note
    for table in (best_table(panel), cost_table(cells, [])):
        assert "counted" not in table.note
    assert cost_table(cells, told).rows[0][4] == "10.2M of 45M"
    assert any("counts each token once where up to 7.5 epochs were asked for" in one for one in found.conclusion)
    for odd in ("many", None, True, float("nan"), -1, 3_000_000):
        assert best_table(panel, told_of(rows, lambda row, odd=odd: odd)).rows[0][1] == "3M"
        assert cost_table(cells, told_of(rows, lambda row, odd=odd: odd)).rows[0][4] == "45M"


def test_one_epoch_needs_no_word() -> None:
    assert not any("counts each token once" in one for one in analyse(made_sweeps.cells(**GRID), OPTIONS).conclusion)


def test_every_row_of_a_table_is_as_wide_as_its_head() -> None:
    cells = made_sweeps.cells(**GRID, proxies=("ngram", "small"))
    found = analyse(cells, OPTIONS).as_dict()
    panel = found["panels"][0]
    tables = [agreement_table(found["agreement"]), best_table(panel), cost_table(cells, []), domains_table(panel),
              multipliers_table(panel), slopes_table(panel)]  # fmt: skip
    for table in tables:
        assert table is not None
        assert {len(row) for row in table.rows} == {len(table.head)}, table.title
