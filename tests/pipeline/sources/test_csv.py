from __future__ import annotations

import csv
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.sources.csv import Csv


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes, name: str = "a.csv"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_rows_become_documents_with_quotes_and_line_breaks(read, write, pack):
    content = b'\xef\xbb\xbfid,text,url\r\n1,"a ""b"",\r\nc",https://example.org/\r\n\r\n2,d,\r\n'
    result = read(Csv(), write(pack(content)))
    assert result.texts == ['a "b",\nc', "d"]
    assert [document["url"] for document in result.documents] == ["https://example.org/", None]
    assert [json.loads(document["metadata"]) for document in result.documents] == [{"id": "1"}, {"id": "2"}]
    assert result.offsets == [content.index(b"1,"), content.index(b"2,d")]
    assert result.rejects == []


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", None), ("a.csv", "\t")])
def test_a_tab_stands_between_the_fields_of_tsv(read, write, name, delimiter):
    assert read(Csv(delimiter=delimiter), write(b"text\tx\na,b\tc\n", name)).texts == ["a,b"]


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (b"1\n", "invalid_csv", "1 fields, where the first row names 2 columns"),
        (b"1,2,3\n", "invalid_csv", "3 fields, where the first row names 2 columns"),
        (b"1,\n", "no_text", '"text" is empty'),
        (b"1,caf\xe9\n", "invalid_utf8", "can't decode byte 0xe9"),
        (b"1," + b"x" * 2000 + b"\n", "too_large", "a row of more than 1,000 bytes; is a quote not closed?"),
        (b'1,"' + b"x\n" * 600, "too_large", "a row of more than 1,000 bytes; is a quote not closed?"),
        (b"1,a\rb\n", "invalid_csv", "new-line character seen in unquoted field"),
    ],
)
def test_a_bad_row_costs_itself(read, write, row, reason, detail):
    result = read(Csv(max_record_bytes=1000), write(b"id,text\n0,first\n" + row + b"2,last\n"))
    assert result.texts[0] == "first"
    assert result.texts[-1] == "last"
    assert result.rejects[0].reason == reason
    assert detail in result.rejects[0].detail
    assert result.rejects[0].offset == len(b"id,text\n0,first\n")


def test_a_table_without_the_column_says_which_it_has(read, write):
    [reject] = read(Csv(), write(b"id,body\n1,a\n")).rejects
    assert (reject.reason, reject.detail) == ("no_text", 'no column "text" among: id, body')


def test_an_empty_file_is_a_reject(read, write):
    assert read(Csv(), write(b"")).reasons == ["read/empty"]


def test_a_delimiter_is_one_character():
    with pytest.raises(RecipeError, match=r"read\.csv\.delimiter: ';;' is not one character"):
        Csv(delimiter=";;")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.text('",\n\r\0ab', max_size=60).map(str.encode)))
def test_no_bytes_make_the_reader_raise(read, tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,b\n" + content)
    read(Csv(max_record_bytes=50), path)


def test_a_small_bound_of_ours_is_none_for_others_who_read_csv(read, write):
    before = csv.field_size_limit()
    read(Csv(max_record_bytes=20), write(b"text\nshort\n" + b"x" * 100 + b"\n"))
    assert csv.field_size_limit() == before
