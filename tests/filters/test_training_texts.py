"""Texts are read out of files of every kind that is named, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpusmill.documents.errors import InputError
from corpusmill.filters.training_texts import training_texts

ROWS = [{"text": f"text {number}", "body": f"body {number}"} for number in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
EXPECTED = [row["text"] for row in ROWS]


def read(*paths: Path | str, field: str = "text") -> list[str]:
    return [text for batch in training_texts([str(path) for path in paths], field=field) for text in batch.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES + b"\n"),
        ("a.ndjson", LINES),
        ("a.jsonl.gz", gzip.compress(LINES[:41], mtime=0) + gzip.compress(LINES[41:], mtime=0)),
        ("a.jsonl.zst", zstandard.compress(LINES[:41]) + zstandard.compress(LINES[41:])),
    ],
)
def test_json_lines_are_read_plain_or_compressed(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == EXPECTED
    assert read(tmp_path / name, field="body")[0] == "body 0"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_is_read_and_nulls_are_passed_over(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"text": pa.array([*EXPECTED, None], kind)}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == EXPECTED


def test_a_text_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo", encoding="utf-8")
    (tmp_path / "b.md").write_text("# drei ä", encoding="utf-8")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"four"))
    (tmp_path / "d.pdf").write_bytes(b"%PDF")
    assert read(tmp_path) == ["one\n\ntwo", "# drei ä", "four"]
    assert read(f"{tmp_path}/*.txt", tmp_path / "b.md") == ["one\n\ntwo", "# drei ä"]


def test_long_inputs_come_in_several_batches(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": "x" * 1_000_000}) + "\n" for _ in range(10)))
    assert [len(batch) for batch in training_texts([str(tmp_path / "a.jsonl")])] == [4, 4, 2]


def test_half_a_pair_of_surrogates_is_no_reason_to_stop(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud83d of a pair"}\n')
    assert [batch.to_pylist() for batch in training_texts([str(tmp_path / "a.jsonl")])] == [["half \ufffd of a pair"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a.jsonl: line 2 is no JSON"),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000, r"a.jsonl: line 1 is no JSON"),
        ("a.jsonl", b'{"text": "x", "n": ' + b"1" * 5000 + b"}", r"a.jsonl: line 1 is no JSON"),
        ("a.jsonl", b'["text"]\n', r'a.jsonl: line 1 has no string "text"; name the field'),
        ("a.jsonl", b'{"text": 7}\n', r'a.jsonl: line 1 has no string "text"'),
        ("a.jsonl", b'{"text": "\xff"}\n', r"a.jsonl: is no UTF-8"),
        ("a.txt", b"\xff\xfe", r"a.txt: is no UTF-8 .*; convert it"),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-12], r"a.jsonl.gz: cannot be read to its end"),
        ("a.jsonl.zst", zstandard.compress(LINES * 9)[:-9], r"a.jsonl.zst: cannot be read to its end"),
        ("a.parquet", b"PAR1 nothing PAR1", r"a.parquet: cannot be read to its end"),
        ("a.docx", b"", r"a.docx: training texts are read from .txt, .md, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


def test_a_parquet_file_without_the_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["a"], "text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r'a.parquet: has no string column "text", but content, text; name the right one'
    ):
        read(tmp_path / "a.parquet")


def test_paths_that_match_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file, folder or glob of training texts"):
        read(tmp_path / "*.jsonl")
    with pytest.raises(InputError, match="holds no training texts; they are"):
        read(tmp_path)
