"""JSON written by kernels: the same as the standard library's, for every text."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mix.exports.json_rows import json_rows, json_strings
from tests.mix.exports.small_exports import COLUMNS, HOSTILE, rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    '\0\x01\x1f\x7f"\\/\b\f\n\r\t\u2028é', max_size=40
)


def written(some: list[dict], **options: bool) -> list[bytes]:
    records = json_rows(pa.RecordBatch.from_pylist(some, schema=COLUMNS), **options)
    return [bytes(records.part(n, n + 1).data) for n in range(len(records))]


@given(st.lists(TEXT | st.none(), max_size=8), st.integers(0, 3))
def test_strings_are_escaped_as_the_standard_library_does(texts: list[str | None], first: int) -> None:
    column = pa.array(texts, pa.string()).slice(first)
    found = [cell.decode() for cell in json_strings(column).to_pylist()]
    assert found == [json.dumps(text, ensure_ascii=False) for text in texts[first:]]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_comes_back_as_it_was(text: str) -> None:
    row = {**rows(1)[0], "text": text}
    (line,) = written([row])
    assert json.loads(line)["text"] == text
    assert not set(line) & set(range(32))  # no raw line break or other control character


def test_a_line_has_what_readers_look_for() -> None:
    row = {**rows(1)[0], "text": "Text", "id": "a", "url": "u", "quality": 0.5, "language_score": None, "license": None}
    (line,) = written([row])
    assert json.loads(line) == {
        "id": "a", "text": "Text", "source": "web", "url": "u", "language": None, "license": None, "quality": 0.5,
        "metadata": {"language_score": None, "n_tokens": 0},
    }  # fmt: skip


def test_the_text_can_be_left_out() -> None:
    (line,) = written(rows(1), text=False)
    assert "text" not in json.loads(line)


@given(st.lists(st.floats(width=32) | st.none(), min_size=1, max_size=8))
def test_numbers_read_back_the_same_and_what_is_no_number_is_null(values: list[float | None]) -> None:
    lines = written([{**rows(1)[0], "quality": value} for value in values])
    for line, value in zip(lines, values, strict=True):
        found = json.loads(line)["quality"]
        if value is None or not math.isfinite(value):
            assert found is None
        else:
            assert isinstance(found, float)
            assert np.float32(found) == np.float32(value)
