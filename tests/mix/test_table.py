from __future__ import annotations

import pytest

from corpusmill.mix.selection import effective_units
from corpusmill.mix.table import mix_table
from tests.mix.conftest import Built


def test_the_table_has_a_row_for_each_source_the_largest_first(mixed: Built) -> None:
    rows = mix_table(mixed.selection)
    assert [row.source for row in rows] == ["web", "code", "math"]
    assert sum(row.achieved for row in rows) == pytest.approx(1)
    documents = [row["source"] for row in mixed.rows()]
    for row in rows:
        assert row.documents == documents.count(row.source)
        assert row.asked == mixed.options.ratios[row.source]
        assert row.epochs == row.units / row.available
        assert row.effective == pytest.approx(effective_units(min(row.units, row.available), row.units))


def test_a_source_that_is_repeated_is_worth_less_than_its_units(mixed: Built) -> None:
    math = mix_table(mixed.selection)[-1]
    assert math.epochs == pytest.approx(2.5, abs=0.05)
    assert math.available < math.effective < math.units
