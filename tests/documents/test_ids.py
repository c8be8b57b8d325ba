"""Ids in order, against Python's own sorting."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from corpusmill.documents.ids import id_order

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
