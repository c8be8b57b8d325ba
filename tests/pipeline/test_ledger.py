import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.schema import document_id
from corpusmill.documents.shards import write_table
from corpusmill.pipeline import ledger
from corpusmill.pipeline.ledger import BASE, ChunkLedger, ledger_schema, merged, reject_rows
from corpusmill.pipeline.sources.contract import Reject

MEASURES = pa.schema([("length", pa.int32())])
SCHEMA = ledger_schema([("first", MEASURES), ("second", MEASURES)])
TEXTS = ["a", "bb", "ccc", "dddd", "漢字"]


def page_of(texts=TEXTS):
    return ChunkLedger(TextBatch.of_texts(texts).documents, SCHEMA)


def lengths(values):
    return pa.record_batch([pa.array(values, pa.int32())], schema=MEASURES)


def rows_of(page):
    return page.rows().to_pylist()


def test_its_columns_are_the_base_and_each_stages_measures():
    assert SCHEMA.names == [*BASE.names, "first.length", "second.length"]


def test_what_nobody_dropped_is_kept_with_the_bytes_that_came():
    rows = rows_of(page_of())
    assert [row["verdict"] for row in rows] == ["kept"] * 5
    assert [row["text_bytes"] for row in rows] == [1, 2, 3, 4, 6]
    assert {row["stage"] for row in rows} == {None}


def test_measures_are_those_of_the_documents_that_reached_the_stage():
    page = page_of()
    page.record("first", lengths([1, 2, 3, 4, 5]))
    page.drop("first", np.array([None, "long", None, "long", None], object), np.array([0, 1, 0, 1, 0], bool))
    page.record("second", lengths([10, 30, 50]))
    page.drop("second", np.array([None, None, "odd"], object), np.array([0, 0, 1], bool))
    rows = rows_of(page)
    assert [row["first.length"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["second.length"] for row in rows] == [10, None, 30, None, 50]
    assert [(row["verdict"], row["stage"], row["reason"]) for row in rows] == [
        ("kept", None, None), ("dropped", "first", "long"), ("kept", None, None), ("dropped", "first", "long"),
        ("dropped", "second", "odd"),
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.data())
def test_any_drops_by_any_stages_agree_with_plain_python(data):
    count = data.draw(st.integers(0, 8))
    page = page_of([f"text {number}" for number in range(count)])
    alive, ended, measured = list(range(count)), {}, {}
    for stage in ("first", "second"):
        page.record(stage, lengths([100 + row for row in alive]))
        measured |= {(stage, row): 100 + row for row in alive}
        gone = data.draw(st.lists(st.booleans(), min_size=len(alive), max_size=len(alive)))
        page.drop(stage, np.array([f"{stage} {row}" for row in alive], object), np.array(gone, bool))
        ended |= {row: (stage, f"{stage} {row}") for row, out in zip(alive, gone, strict=True) if out}
        alive = [row for row, out in zip(alive, gone, strict=True) if not out]
    for number, row in enumerate(rows_of(page)):
        assert (row["stage"], row["reason"]) == ended.get(number, (None, None))
        assert row["verdict"] == ("dropped" if number in ended else "kept")
        for stage in ("first", "second"):
            assert row[f"{stage}.length"] == measured.get((stage, number))


def test_a_record_that_is_no_document_has_a_row_with_an_id_its_place_and_what_the_reader_said():
    rejects = [
        Reject("a.warc.gz", 12, "read", "http_status", "404", "https://a.example/"),
        Reject("a.warc.gz", 900, "extract", "empty"),
    ]
    rows = reject_rows(rejects, "web", SCHEMA).to_pylist()
    assert [row["id"] for row in rows] == [document_id("web", "a.warc.gz", offset) for offset in (12, 900)]
    assert rows[0] | {"id": ""} == {
        "id": "", "source": "web", "file": "a.warc.gz", "offset": 12, "url": "https://a.example/", "text_bytes": 0,
        "verdict": "dropped", "stage": "read", "reason": "http_status", "kept_id": None, "similarity": None,
        "cluster_size": None, "detail": "404", "first.length": None, "second.length": None,
    }  # fmt: skip
    assert rows[1]["detail"] is None


def phase(folder, number, ids, schema=BASE, **columns):
    """A phase's ledger, with nulls where nothing is given."""
    given = {
        "id": ids, "source": ["web"] * len(ids), "text_bytes": [7] * len(ids), "verdict": ["kept"] * len(ids),
        **columns,
    }  # fmt: skip
    arrays = [pa.array(given.get(field.name, [None] * len(ids)), field.type) for field in schema]
    path = folder / f"{number}.parquet"
    write_table(path, [pa.RecordBatch.from_arrays(arrays, schema=schema)], schema)
    return path


@pytest.fixture
def three_phases(tmp_path):
    """a..e came; b goes in the first phase, c as a duplicate of a in the second, d of a in the third."""
    one = phase(
        tmp_path, 1, list("abcde"), ledger_schema([("first", MEASURES)]),
        verdict=["kept", "dropped", "kept", "kept", "kept"], stage=[None, "first", None, None, None],
        reason=[None, "long", None, None, None], **{"first.length": [1, 2, 3, 4, 5]},
    )  # fmt: skip
    two = phase(
        tmp_path, 2, list("acde"), ledger_schema([("second", MEASURES)]),
        verdict=["kept", "dropped", "kept", "kept"], stage=[None, "exact", None, None],
        reason=[None, "duplicate", None, None], kept_id=[None, "a", None, None], similarity=[None, 1, None, None],
        cluster_size=[2, None, None, None], **{"second.length": [10, None, 40, 50]},
    )  # fmt: skip
    three = phase(
        tmp_path, 3, list("ade"), verdict=["kept", "dropped", "kept"], stage=[None, "near", None],
        reason=[None, "near_duplicate", None], kept_id=[None, "a", None], similarity=[None, 0.5, None],
        cluster_size=[2, None, None],
    )  # fmt: skip
    return [one, two, three]


def test_the_ledgers_of_the_phases_become_one_row_a_record(three_phases, tmp_path):
    assert merged(three_phases, tmp_path / "whole.parquet") == {"kept": 2, "dropped": 3}
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "whole.parquet").to_pylist()}
    assert list(rows) == list("abcde")
    assert {name: (row["stage"], row["kept_id"]) for name, row in rows.items()} == {
        "a": (None, None), "b": ("first", None), "c": ("exact", "a"), "d": ("near", "a"), "e": (None, None),
    }  # fmt: skip
    assert [row["first.length"] for row in rows.values()] == [1, 2, 3, 4, 5]
    assert [row["second.length"] for row in rows.values()] == [10, None, None, 40, 50]
    assert rows["c"]["similarity"] == 1
    assert rows["d"]["similarity"] == 0.5


def test_a_document_stands_for_the_duplicates_of_every_phase(three_phases, tmp_path):
    merged(three_phases, tmp_path / "whole.parquet")
    sizes = pq.read_table(tmp_path / "whole.parquet", columns=["id", "cluster_size"]).to_pylist()
    assert {row["id"]: row["cluster_size"] for row in sizes} == {"a": 3, "b": None, "c": None, "d": None, "e": None}


def test_one_phase_is_its_own_ledger(three_phases, tmp_path):
    merged(three_phases[:1], tmp_path / "whole.parquet")
    assert pq.read_table(tmp_path / "whole.parquet").equals(pq.read_table(three_phases[0]))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_ledgers_are_read_a_few_rows_at_a_time(three_phases, tmp_path, monkeypatch, rows):
    merged(three_phases, tmp_path / "whole.parquet")
    monkeypatch.setattr(ledger, "_BATCH_ROWS", rows)
    assert merged(three_phases, tmp_path / "again.parquet") == {"kept": 2, "dropped": 3}
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


@pytest.mark.parametrize("ids", ["ade", "acd", "acdee", "caed", "abcd", ""])
def test_a_later_ledger_of_other_documents_is_an_error(three_phases, tmp_path, ids):
    other = phase(tmp_path, 4, list(ids), ledger_schema([("second", MEASURES)]))
    with pytest.raises(DamagedRunError, match=r"4\.parquet: has not the documents that the phase before kept"):
        merged([three_phases[0], other], tmp_path / "whole.parquet")


def test_a_record_that_failed_at_the_place_of_a_document_keeps_its_own_verdict(tmp_path):
    one = phase(tmp_path, 1, ["a", "a"], verdict=["kept", "dropped"], stage=[None, "read"], reason=[None, "no_text"])
    two = phase(tmp_path, 2, ["a"])
    assert merged([one, two], tmp_path / "whole.parquet") == {"kept": 1, "dropped": 1}


def test_parts_without_records_have_empty_ledgers(tmp_path):
    empty = [phase(tmp_path, number, []) for number in range(2)]
    assert merged(empty, tmp_path / "whole.parquet") == {"kept": 0, "dropped": 0}
