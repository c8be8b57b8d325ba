"""Shards are complete or absent, say what is in them, and hash alike however their documents are cut and ordered."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents import shards
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import StorageError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import (
    ContentHash,
    atomic_file,
    atomic_text,
    read_batches,
    remove_partial_files,
    sha256_of,
    write_table,
)


def documents(count: int, first: int = 0) -> pa.RecordBatch:
    return TextBatch.of_texts([f"text of document {number}\n" for number in range(first + count)]).documents.slice(
        first
    )


def everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_is_written_is_what_is_read(tmp_path):
    batches = [documents(5), documents(7, 5), documents(0), documents(1, 12)]
    shard = write_table(tmp_path / "deep" / "part.parquet", batches, DOCUMENT)
    table = pq.read_table(tmp_path / "deep" / "part.parquet")
    assert table.schema == DOCUMENT
    assert table == pa.Table.from_batches([documents(13)])
    assert shard.as_dict() == {
        "name": "part.parquet",
        "rows": 13,
        "file_bytes": (tmp_path / "deep" / "part.parquet").stat().st_size,
        "text_bytes": sum(len(text) for text in documents(13).column("text").to_pylist()),
        "sha256": hashlib.sha256((tmp_path / "deep" / "part.parquet").read_bytes()).hexdigest(),
        "content_hash": shard.content_hash,
    }
    assert len(shard.content_hash) == 32


def test_a_shard_of_no_documents_has_the_schema(tmp_path):
    shard = write_table(tmp_path / "part.parquet", [], DOCUMENT)
    assert (shard.rows, shard.text_bytes, shard.content_hash) == (0, 0, "0" * 32)
    assert pq.read_table(tmp_path / "part.parquet").schema == DOCUMENT


@pytest.mark.parametrize("sizes", [[2500], [1] * 40 + [2460], [1024, 1024, 452], [1000, 1000, 500]])
def test_row_groups_have_1024_rows_however_the_batches_are_cut(tmp_path, sizes):
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    whole = documents(2500)
    write_table(tmp_path / "a.parquet", [whole.slice(start, size) for start, size in zip(starts, sizes)], DOCUMENT)
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [1024, 1024, 452]


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_row_groups_of_long_texts_end_by_bytes_however_the_batches_are_cut(tmp_path, monkeypatch, cut):
    monkeypatch.setattr(shards, "ROW_GROUP_TEXT_BYTES", 1000)
    texts = ["a" * size for size in (999, 1, 1000, 400, 400, 400, 5000, *[10] * 30, 999, 0, 0)]
    whole = TextBatch.of_texts(texts).documents
    pieces = [whole.slice(start, cut) for start in range(0, len(texts), cut)]
    shard = write_table(tmp_path / "a.parquet", pieces, DOCUMENT, row_group_rows=20)
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == [2, 1, 3, 1, 20, 11, 2]
    assert pq.read_table(tmp_path / "a.parquet")["text"].to_pylist() == texts
    assert shard.rows == len(texts)


def test_documents_are_read_a_few_at_a_time_and_never_beyond_a_row_group(tmp_path):
    whole = documents(30)
    write_table(tmp_path / "a.parquet", [whole], DOCUMENT, row_group_rows=10)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        batches = list(read_batches(file, 7, ["id", "text"]))
    assert [batch.num_rows for batch in batches] == [7, 3] * 3
    assert pa.Table.from_batches(batches) == pa.Table.from_batches([whole]).select(["id", "text"])


def test_the_layout_is_zstd_with_a_page_index_and_dictionaries_for_columns_of_few_values_only(tmp_path):
    write_table(tmp_path / "a.parquet", [documents(10)], DOCUMENT)
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert all(column.has_offset_index and column.has_column_index for column in columns.values())
    assert columns["source"].has_dictionary_page
    assert not columns["text"].has_dictionary_page
    assert not columns["id"].has_dictionary_page


def test_metadata_travels_in_the_schema(tmp_path):
    write_table(tmp_path / "a.parquet", [documents(3)], DOCUMENT, metadata={"corpusmill": "1"})
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"corpusmill"] == b"1"


def test_a_table_without_ids_and_texts_is_written_without_a_content_hash(tmp_path):
    schema = pa.schema([("number", pa.int32())])
    shard = write_table(
        tmp_path / "a.parquet", [pa.record_batch([pa.array([1, 2], pa.int32())], schema=schema)], schema
    )
    assert (shard.rows, shard.text_bytes, shard.content_hash) == (2, 0, "0" * 32)


def test_an_exception_while_writing_leaves_no_file(tmp_path):
    def failing():
        yield documents(2000)
        raise RuntimeError("the reader failed")

    with pytest.raises(RuntimeError, match="the reader failed"):
        write_table(tmp_path / "a.parquet", failing(), DOCUMENT)
    assert everything_in(tmp_path) == []


def test_an_exception_while_writing_leaves_the_file_that_stood_there(tmp_path):
    write_table(tmp_path / "a.parquet", [documents(3)], DOCUMENT)
    before = sha256_of(tmp_path / "a.parquet")

    def interrupted():
        yield documents(9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "a.parquet", interrupted(), DOCUMENT)
    assert everything_in(tmp_path) == ["a.parquet"]
    assert sha256_of(tmp_path / "a.parquet") == before


def test_a_batch_of_another_schema_leaves_no_file(tmp_path):
    with pytest.raises(KeyError, match="id"):
        write_table(tmp_path / "a.parquet", [pa.record_batch([pa.array(["x"])], names=["text"])], DOCUMENT)
    assert everything_in(tmp_path) == []


def test_a_writer_that_is_killed_leaves_only_a_hidden_partial_file_which_is_swept_up(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from corpusmill.documents.batch import TextBatch\n"
        "from corpusmill.documents.schema import DOCUMENT\n"
        "from corpusmill.documents.shards import ShardWriter\n"
        "with ShardWriter(Path(sys.argv[1]), DOCUMENT) as writer:\n"
        "    writer.write(TextBatch.of_texts(['text'] * 5000).documents)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "unrelated").touch()
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "deep" / "a.parquet"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "deep" / "a.parquet").exists()
    assert [name.startswith(".a.parquet.partial-") for name in everything_in(tmp_path / "deep")] == [True]
    assert remove_partial_files(tmp_path) == 1
    assert everything_in(tmp_path) == ["unrelated"]
    assert remove_partial_files(tmp_path) == 0


def write_and_raise(path: Path, error: Exception) -> None:
    with atomic_file(path) as stream:
        stream.write(b"some")
        raise error


FULL = (
    "{}: no space left on its disk; free some or name another disk (`runs`, `--out`), then run the same command again: "
    "finished tasks are kept"
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=["full disk", "full quota"])
def test_a_full_disk_is_a_storage_error_that_says_what_to_do(tmp_path, number):
    path = tmp_path / "a.bin"
    with pytest.raises(StorageError, match=re.escape(FULL.format(path))):
        write_and_raise(path, OSError(number, os.strerror(number)))
    assert everything_in(tmp_path) == []


def test_a_disk_that_is_found_full_when_the_file_is_synced_is_a_storage_error(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=re.escape(FULL.format(tmp_path / "a.json"))):
        atomic_text(tmp_path / "a.json", "text")
    assert everything_in(tmp_path) == []


def test_another_error_of_the_system_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError):
        write_and_raise(tmp_path / "a.bin", PermissionError(errno.EACCES, "no"))
    assert everything_in(tmp_path) == []


def test_a_disk_that_fills_up_under_parquet_is_a_storage_error(tmp_path, monkeypatch):
    class FullStream:
        def __init__(self, stream):
            self.stream = stream

        def write(self, data):
            if self.stream.tell() > 10_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.stream.write(data)

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

    real_open = open
    monkeypatch.setattr(shards, "open", lambda *arguments: FullStream(real_open(*arguments)), raising=False)
    noise = [os.urandom(500).hex() for _ in range(5000)]
    with pytest.raises(StorageError, match="no space left"):
        write_table(tmp_path / "a.parquet", [TextBatch.of_texts(noise).documents], DOCUMENT)
    assert everything_in(tmp_path) == []


def test_a_small_text_file_is_replaced_in_one_step(tmp_path):
    atomic_text(tmp_path / "a.json", "one")
    atomic_text(tmp_path / "a.json", "zwei — 二")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "zwei — 二"
    assert everything_in(tmp_path) == ["a.json"]


@settings(max_examples=60)
@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=10, unique=True),
    st.randoms(use_true_random=False),
    st.integers(0, 10),
)
def test_the_content_hash_depends_neither_on_order_nor_on_how_documents_are_cut(texts, chance, cut):
    whole = TextBatch.of_texts(texts).documents
    shuffled = whole.take(pa.array(chance.sample(range(len(texts)), len(texts))))
    one, parts, sums = ContentHash(), ContentHash(), ContentHash()
    one.add(whole.column("id"), whole.column("text"))
    for part in (shuffled.slice(0, cut), shuffled.slice(cut)):
        parts.add(part.column("id"), part.column("text"))
        alone = ContentHash()
        alone.add(part.column("id"), part.column("text"))
        sums.add_hash(str(alone))
    assert str(one) == str(parts) == str(sums)
    assert str(ContentHash(str(one))) == str(one)


def test_the_content_hash_changes_with_every_id_and_text_and_with_their_pairing():
    def hashed(ids: list[str], texts: list[str]) -> str:
        content = ContentHash()
        content.add(pa.array(ids, pa.string()), pa.array(texts, pa.string()))
        return str(content)

    hashes = [
        hashed(["a", "b"], ["one", "two"]),
        hashed(["a", "b"], ["two", "one"]),
        hashed(["a", "c"], ["one", "two"]),
        hashed(["a", "b"], ["one", "twO"]),
        hashed(["a"], ["one"]),
        hashed(["a", "a"], ["one", "one"]),
        hashed(["a", "b", "c"], ["one", "two", ""]),
        hashed(["one", "two"], ["a", "b"]),
        hashed([], []),
    ]
    assert len(set(hashes)) == len(hashes)
