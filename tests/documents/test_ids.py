"""Ids in order, against Python's own sorting; and more of them than an array holds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpusmill.documents import ids as module
from corpusmill.documents.errors import UsageError
from corpusmill.documents.ids import id_order, taken_ids, whole_ids

IDS = st.one_of(
    st.text(max_size=12), st.text("ab\0é", min_size=6, max_size=12), st.integers(0, 999).map("{:024x}".format)
)


@given(st.lists(IDS, unique=True, max_size=40))
@example(["a", "a\0", "", "\0", "a" * 8, "a" * 9, "a" * 8 + "\0"])
def test_ids_are_in_the_order_of_their_bytes(ids: list[str]) -> None:
    order = id_order(pa.array(ids, pa.string()))
    assert [ids[place] for place in order] == sorted(ids, key=str.encode)


def test_equal_ids_keep_their_order() -> None:
    assert id_order(pa.array(["b", "a", "b", "a"])).tolist() == [1, 3, 0, 2]


def test_a_part_of_an_array_is_ordered_by_itself() -> None:
    assert id_order(pa.array(["z", "c", "b", "a"])[1:]).tolist() == [2, 1, 0]


def test_more_ids_than_an_array_holds_are_an_error_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    first, more = pa.array(["x" * 99, "a" * 20])[1:], pa.chunked_array([["b" * 10], [], [None]], pa.string())
    monkeypatch.setattr(module, "MAX_ID_BYTES", 30)
    assert whole_ids("documents", first, more).to_pylist() == ["a" * 20, "b" * 10, None]
    monkeypatch.setattr(module, "MAX_ID_BYTES", 29)
    with pytest.raises(
        UsageError, match=r"ids of 3 documents have 30 bytes, more than the 29 .*; split the source, for"
    ):
        whole_ids("documents", first, more)


def test_ids_of_no_column_are_none() -> None:
    assert whole_ids("documents").to_pylist() == []


def test_ids_are_taken_in_as_many_chunks_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_TAKEN", 2)
    ids = pa.array(["z", "a", "b", "c"], pa.large_string())[1:]
    taken = taken_ids(ids, np.array([2, 0, 1, 1, 0]))
    assert taken.to_pylist() == ["c", "a", "b", "b", "a"]
    assert (taken.num_chunks, taken.type) == (3, pa.string())
    assert taken_ids(ids, np.array([], np.int64)).type == pa.string()
