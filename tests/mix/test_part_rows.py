from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mix.keys import TRAIN
from corpusmill.mix.part_rows import PartRows
from corpusmill.mix.placement import PLACEMENT
from tests.mix.conftest import Built


def test_each_document_counts_as_often_as_the_train_split_has_it(mixed: Built) -> None:
    rows = [row["id"] for row in mixed.rows()]
    found: dict[str, int] = {}
    for placed in mixed.folder.parent.glob("*.placed"):
        table = pq.read_table(placed)
        times = PartRows.of(table, mixed.selection).times_in_train(mixed.selection).tolist()
        found |= dict(zip(table.column("id").to_pylist(), times, strict=True))
    assert {name: times for name, times in found.items() if times} == {name: rows.count(name) for name in set(rows)}


def test_copies_by_cluster_size_count_as_repeated_passes(mixed: Built) -> None:
    row = {"units": 5, "text_bytes": 9, "copies": 3}
    rows = [
        {**row, "id": "a", "id_hash": 1, "component": "web", "group_hash": 7},
        {**row, "id": "b", "id_hash": 2, "component": None, "group_hash": 8},
    ]
    placement = pa.Table.from_pylist(rows, schema=PLACEMENT)
    times = PartRows.of(placement, mixed.selection).times_in_train(mixed.selection)
    single = placement.set_column(6, "copies", pa.array([1, 1], pa.int32()))
    once = PartRows.of(single, mixed.selection).times_in_train(mixed.selection)
    assert once[0] > 0
    assert times.tolist() == [3 * once[0], 0]
    assert times.dtype == np.int32


def test_the_passes_that_the_shuffle_writes_are_those_that_the_score_counts(mixed: Built) -> None:
    passes = range(max(chosen.copies for chosen in mixed.selection.components) + 1)
    counted = 0
    for placed in mixed.folder.parent.glob("*.placed"):
        rows = PartRows.of(pq.read_table(placed), mixed.selection)
        train = rows.splits == TRAIN
        written = sum((rows.taken(copy, mixed.selection) & train).astype(np.int64) for copy in passes)
        assert (written * rows.copies == rows.times_in_train(mixed.selection)).all()
        counted += int(rows.times_in_train(mixed.selection).sum())
    assert counted == len(mixed.rows())


def test_a_piece_says_of_its_rows_what_the_whole_says(mixed: Built) -> None:
    placed = min(mixed.folder.parent.glob("*.placed"))
    rows, table = PartRows.of(pq.read_table(placed), mixed.selection), pq.read_table(placed)
    piece = rows.piece(3, 5)
    again = PartRows.of(table.slice(3, 5), mixed.selection)
    for name in PartRows.__slots__:
        assert getattr(piece, name).tolist() == getattr(again, name).tolist() == getattr(rows, name)[3:8].tolist()
