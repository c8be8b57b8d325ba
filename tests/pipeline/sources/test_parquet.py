from __future__ import annotations

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.documents.schema import document_id
from corpusmill.pipeline.sources.contract import Origin, SourceFile
from corpusmill.pipeline.sources.parquet import Parquet

TEXTS = [f"Text number {number}. " + "x" * (number % 50) for number in range(1000)]


@pytest.fixture
def write(tmp_path):
    def write_file(columns, name="a.parquet", **options):
        path = tmp_path / name
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write_file


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_text_of_every_type_is_read(read, write, kind):
    path = write({"text": pa.array(TEXTS, pa.string()).cast(kind)}, row_group_size=300)
    result = read(Parquet(), path)
    assert result.texts == TEXTS
    assert result.offsets == list(range(1000))
    assert result.documents[5]["id"] == document_id("web", "a.parquet", 5)


def test_columns_come_along_where_they_are_there(read, write):
    path = write(
        {
            "content": ["a", "b"],
            "url": ["https://example.org/", None],
            "date": pa.array([1, 2], pa.date32()),
            "license": ["MIT", None],
            "score": [0.5, None],
            "tags": [["x"], [b"\xff"]],
        }
    )
    reader = Parquet(text="content", metadata=("score", "tags"))
    first, second = read(reader, path, origin=Origin("web", license="CC0-1.0", language="en")).documents
    assert (first["url"], first["date"], first["license"], first["language"]) == (
        "https://example.org/",
        "1970-01-02",
        "MIT",
        "en",
    )
    assert json.loads(first["metadata"]) == {"score": 0.5, "tags": ["x"]}
    assert (second["url"], second["license"]) == (None, "CC0-1.0")
    assert json.loads(second["metadata"]) == {"tags": ["�"]}


def test_rows_that_are_no_documents_are_rejects(read, write):
    values = [b"good", None, b"caf\xe9", b"x" * 101, b"a\r\nb\0"]
    result = read(Parquet(max_record_bytes=100), write({"text": pa.array(values, pa.binary())}))
    assert result.texts == ["good", "a\nb�"]
    assert result.offsets == [0, 4]
    assert [(reject.offset, reject.reason) for reject in result.rejects] == [
        (1, "no_text"),
        (2, "invalid_utf8"),
        (3, "too_large"),
    ]
    assert result.rejects[1].detail.startswith("'utf-8' codec can't decode byte 0xe9 in position 3")
    assert result.rejects[2].detail == "101 bytes; max_record_bytes is 100"


def test_numbers_are_no_text(read, write):
    result = read(Parquet(), write({"text": [1, None]}))
    assert [(reject.reason, reject.detail) for reject in result.rejects] == [
        ("text_not_string", 'the column "text" is int64'),
        ("no_text", "null"),
    ]


def test_a_file_without_the_column_says_which_it_has(read, write):
    [reject] = read(Parquet(), write({"content": ["a"], "id": [1]})).rejects
    assert (reject.reason, reject.detail) == ("no_text", 'no column "text" (or several) among: content, id')


def test_a_file_with_the_column_twice_is_refused(read, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    assert read(Parquet(), path).reasons == ["read/no_text"]


def test_a_damaged_row_group_costs_itself(read, write):
    noise = random.Random(5)
    texts = [noise.randbytes(100).hex() for _ in range(900)]
    path = write({"text": texts}, row_group_size=300, compression="zstd", write_page_checksum=True)
    metadata = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    middle = metadata.row_group(1).column(0)
    place = middle.dictionary_page_offset + middle.total_compressed_size // 2
    content[place : place + 50] = bytes(50)
    path.write_bytes(content)
    result = read(Parquet(), path)
    assert result.texts == texts[:300] + texts[600:]
    [reject] = result.rejects
    assert (reject.reason, reject.offset) == ("corrupt_parquet", 300)
    assert reject.detail.startswith("row group 1, 300 of its 300 rows: ")


@pytest.mark.parametrize("keep", [0, 3, 500, -1, -200])
def test_a_truncated_file_is_one_reject(read, write, keep):
    path = write({"text": TEXTS})
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    result = read(Parquet(), path)
    assert result.documents == []
    [reject] = result.rejects
    if keep == 0:
        assert (reject.reason, reject.detail) == ("empty", "the file has no byte")
    else:
        assert reject.reason == "corrupt_parquet"
        assert "Parquet" in reject.detail


def test_large_files_are_cut_at_row_groups_and_small_ones_put_together(make_read, write, tmp_path):
    paths = [write({"text": TEXTS}, "a.parquet", row_group_size=100, compression="none")]
    paths += [write({"text": TEXTS[:3]}, f"{name}.parquet") for name in "bc"]
    files = [SourceFile(str(path), path.name, path.stat().st_size, "") for path in paths]
    splits = Parquet().splits(files, 12_000)
    assert len(splits) > 3
    ranges = [(split.pieces[0].start, split.pieces[0].stop) for split in splits[:-1]]
    assert ranges[0][0] == 0
    assert ranges[-1][1] is None
    assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
    assert [piece.file.name for piece in splits[-1].pieces] == ["b.parquet", "c.parquet"]
    assert make_read(Parquet(), splits, Origin("web")).texts == TEXTS + TEXTS[:3] * 2


def test_a_chunk_is_bounded_whatever_the_file_promises(write):
    path = write({"text": pa.array(["y" * 1_000_000] * 40).dictionary_encode()})
    [split] = Parquet().splits([SourceFile(str(path), "a", path.stat().st_size, "")], 1 << 40)
    chunks = list(Parquet().read(split, Origin("web")))
    assert sum(chunk.documents.num_rows for chunk in chunks) == 40
    assert max(chunk.documents.column("text").nbytes for chunk in chunks) < 9_000_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
    lost=st.integers(0, 40),
    junk=st.one_of(st.none(), st.binary(max_size=60)),
)
def test_no_bytes_make_the_reader_raise(read, tmp_path, changes, lost, junk):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS[:200], "url": TEXTS[:200]}), path, row_group_size=50)
    content = bytearray(path.read_bytes())
    for place, change in changes:
        content[int(place * (len(content) - 1))] ^= change
    content = content[: len(content) - lost] if junk is None else b"PAR1" + junk + b"PAR1"
    path.write_bytes(content)
    read(Parquet(), path)
