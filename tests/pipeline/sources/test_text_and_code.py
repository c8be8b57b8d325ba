from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.filters.code_languages import LANGUAGES, language_of
from corpusmill.pipeline.sources.code import Code
from corpusmill.pipeline.sources.contract import Origin, SourceFile
from corpusmill.pipeline.sources.text import Text


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes, name: str = "a.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


def test_a_text_file_is_a_document(read, write):
    result = read(Text(), write(b"\xef\xbb\xbf# Title\r\n\r\nGr\xc3\xbc\xc3\x9fe\0"))
    assert result.texts == ["# Title\n\nGrüße�"]
    assert result.offsets == [0]
    assert json.loads(result.documents[0]["metadata"]) == {"path": "a.txt"}


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "empty", "the file has no byte"),
        (b"\xef\xbb\xbf", "empty", "the file has no byte"),
        (b"caf\xe9", "invalid_utf8", "can't decode byte 0xe9 in position 3"),
        (b"x" * 1001, "too_large", "1,001 bytes; max_record_bytes is 1,000"),
    ],
)
def test_a_file_that_is_no_text_is_a_reject(read, write, content, reason, detail):
    [reject] = read(Text(max_record_bytes=1000), write(content)).rejects
    assert reject.reason == reason
    assert detail in reject.detail


def test_code_knows_its_language_and_its_path(read, write):
    [document] = read(Code(), write(b"fn main() {}\n", "main.rs")).documents
    assert json.loads(document["metadata"]) == {"path": "main.rs", "programming_language": "Rust"}


def test_a_binary_file_among_code_is_a_reject(read, write):
    [reject] = read(Code(), write(b"#!\0\x01", "a.out.sh")).rejects
    assert (reject.reason, reject.detail) == ("binary", "a NUL at byte 2")


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("src/a.PY", "Python"),
        ("Makefile", "Makefile"),
        ("x/CMakeLists.txt", "CMake"),
        ("notes.txt", "Text"),
        ("LICENSE", None),
        ("a.h", "C"),
        ("py", None),
    ],
)
def test_languages_are_told_by_names(name, language):
    assert language_of(name) == language


def test_no_ending_tells_two_languages():
    endings = [ending for group in LANGUAGES.values() for ending in group.split()]
    assert len(endings) == len(set(endings))


def test_many_files_make_one_split_in_order(make_read, tmp_path):
    files = []
    for number in range(30):
        path = tmp_path / f"{number:02}.md"
        path.write_text(f"Chapter {number}")
        files.append(SourceFile(str(path), path.name, path.stat().st_size, ""))
    splits = Text().splits(files, 100)
    assert [len(split.pieces) for split in splits] == [11, 10, 9]
    result = make_read(Text(), splits, Origin("books"))
    assert result.texts == [f"Chapter {number}" for number in range(30)]
    assert result.files == [file.name for file in files]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
def test_no_bytes_make_the_readers_raise(read, tmp_path, content):
    path = tmp_path / "a.c"
    path.write_bytes(content)
    for reader in (Text(), Code()):
        result = read(reader, path)
        assert len(result.documents) + len(result.rejects) == 1
