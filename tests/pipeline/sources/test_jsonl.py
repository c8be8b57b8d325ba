from __future__ import annotations

import gzip
import json
import subprocess
import sys

import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.sources.contract import Origin
from corpusmill.pipeline.sources.jsonl import Jsonl

FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes, name: str = "a.jsonl"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


def line(number: int) -> bytes:
    return json.dumps({"text": f"Document {number}: " + str(number * 7919) * 30}).encode() + b"\n"


def test_keys_become_columns_and_the_others_metadata(read, write):
    record = {
        "content": "Grüße",
        "link": "https://example.org/",
        "date": "2024-01-02",
        "license": "MIT",
        "score": 0.5,
        "tags": ["a", None],
        "language": 7,
    }
    path = write(json.dumps(record).encode())
    [document] = read(Jsonl(text="content", url="link"), path, origin=Origin("notes", language="de")).documents
    assert document["text"] == "Grüße"
    assert document["url"] == "https://example.org/"
    assert (document["date"], document["license"], document["language"]) == ("2024-01-02", "MIT", "de")
    assert json.loads(document["metadata"]) == {"score": 0.5, "tags": ["a", None], "language": 7}


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        (b'{"text": "cut', "invalid_json", "Unterminated string"),
        (b"[" * 100_000, "invalid_json", "nested too deep"),
        (b"9" * 5000, "invalid_json", "Exceeds the limit"),
        (b'["a list"]', "not_an_object", "a JSON list"),
        (b'"a string"', "not_an_object", "a JSON string"),
        (b"null", "not_an_object", "a JSON null"),
        (b'{"body": "x", "id": 1}', "no_text", 'no key "text" with a text among: body, id'),
        (b'{"text": null}', "no_text", 'no key "text"'),
        (b'{"text": 12.5}', "text_not_string", '"text" is a JSON number'),
        (b'{"text": true}', "text_not_string", '"text" is a JSON boolean'),
        (b'{"text": ["x"]}', "text_not_string", '"text" is a JSON list'),
        (b'{"text": "caf\xe9"}', "invalid_utf8", "can't decode byte 0xe9 in position 13"),
        (b'{"text": "' + b"x" * 200_001 + b'"}', "too_large", "the line has more than 200,000 bytes"),
    ],
)
def test_a_bad_line_costs_itself(read, write, bad, reason, detail):
    result = read(Jsonl(max_record_bytes=200_000), write(line(0) + bad + b"\n" + line(1)))
    assert [text.split(":")[0] for text in result.texts] == ["Document 0", "Document 1"]
    [reject] = result.rejects
    assert (reject.stage, reject.reason, reject.offset) == ("read", reason, len(line(0)))
    assert detail in reject.detail


def test_blank_lines_marks_and_carriage_returns_are_no_records(read, write):
    content = b"\xef\xbb\xbf" + b'{"text": "a\\r\\nb"}\r\n' + b"\r\n \t\n" + b'{"text": "c\\u0000d\\ud800e"}'
    result = read(Jsonl(), write(content))
    assert result.texts == ["a\nb", "c�d�e"]
    assert result.rejects == []
    assert result.offsets == [0, content.index(b'{"text": "c')]


def test_an_empty_file_is_a_reject(read, write):
    assert read(Jsonl(), write(b"")).reasons == ["read/empty"]
    assert read(Jsonl(), write(gzip.compress(b""), "a.jsonl.gz")).reasons == ["read/empty"]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.jsonl.gz", gzip.compress),
        ("a.ndjson.zst", zstandard.compress),
        ("a.json.lz4", lz4.frame.compress),
        ("misnamed.jsonl", gzip.compress),
    ],
)
def test_compressed_files_give_the_same_documents_at_the_same_offsets(read, write, name, pack):
    content = b"".join(map(line, range(3000)))
    plain, packed = read(Jsonl(), write(content)), read(Jsonl(), write(pack(content), name))
    assert packed.texts == plain.texts
    assert packed.offsets == plain.offsets
    assert read(Jsonl(), write(pack(content), name), cuts=[100, 1000]).texts == plain.texts


def test_a_truncated_gzip_file_gives_what_can_be_decoded(read, write):
    content = gzip.compress(b"".join(map(line, range(3000))))
    result = read(Jsonl(), write(content[: len(content) // 2], "a.jsonl.gz"))
    assert 1000 < len(result.texts) < 2000
    assert result.texts == [json.loads(line(number))["text"] for number in range(len(result.texts))]
    assert result.reasons[0] == "read/truncated_gzip"
    assert result.rejects[0].detail == "gzip: the file ends within the member at byte 0"
    assert result.reasons[1:] in ([], ["read/invalid_json"])


def test_a_damaged_member_is_a_reject_and_the_next_member_goes_on(read, write):
    members = [gzip.compress(b"".join(map(line, range(start, start + 100)))) for start in (0, 100, 200)]
    members[1] = members[1][:-8] + bytes(8)
    members[1] = members[1][:200] + b"\xff" * 60 + members[1][260:]
    result = read(Jsonl(), write(b"".join(members), "a.jsonl.gz"))
    numbers = [int(text.split(":")[0].split()[1]) for text in result.texts]
    assert numbers[:100] == list(range(100))
    assert numbers[-100:] == list(range(200, 300))
    assert "read/corrupt_gzip" in result.reasons
    [reject] = [reject for reject in result.rejects if reject.reason == "corrupt_gzip"]
    assert reject.detail.startswith(
        f"gzip: the member at byte {len(members[0])} does not decode: Error -3 while decompressing data"
    )


def test_a_gzip_bomb_is_given_up(read, write):
    bomb = gzip.compress(bytes(100_000_000))
    result = read(Jsonl(), write(gzip.compress(line(0)) + bomb + gzip.compress(line(1)), "a.jsonl.gz"))
    assert len(result.texts) == 2
    assert result.reasons[0] == "read/decompression_bomb"


def test_a_bound_that_cannot_work_is_refused():
    with pytest.raises(RecipeError, match=r"read\.jsonl\.max_record_bytes: 0 is not between 1 and"):
        Jsonl(max_record_bytes=0)
    with pytest.raises(RecipeError, match=r"read\.jsonl\.max_expansion: 1 is not above 1"):
        Jsonl(max_expansion=1)


@FEW
@given(
    lines=st.lists(
        st.sampled_from([b"", b"{", line(1), line(23456), b'{"text": "x"}\n', b'{"text":"\\n"}']), max_size=30
    ),
    cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=15),
)
def test_any_cut_of_a_file_gives_the_same_records_in_the_same_order(read, tmp_path, lines, cuts):
    path = tmp_path / "cut.jsonl"
    path.write_bytes(b"\n".join(lines))
    whole = read(Jsonl(max_record_bytes=100), path)
    if path.stat().st_size:
        parts = read(Jsonl(max_record_bytes=100), path, cuts=cuts)
        assert (parts.documents, parts.offsets, parts.rejects) == (whole.documents, whole.offsets, whole.rejects)


@FEW
@given(
    content=st.binary(max_size=400), start=st.sampled_from([b"", line(1), gzip.compress(line(2)), b"\x28\xb5\x2f\xfd"])
)
def test_no_bytes_make_the_reader_raise(read, tmp_path, content, start):
    path = tmp_path / "a.jsonl"
    path.write_bytes(start + content)
    read(Jsonl(), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "name", "head", "tail"),
    [
        ("Jsonl(max_record_bytes=300_000_000)", "a.jsonl", b'{"text": "', b'"}'),
        ("Text(max_record_bytes=300_000_000)", "a.txt", b"", b""),
        ("Jsonl()", "a.jsonl", b'{"text": "', b'"}'),
        ("Text()", "a.txt", b"", b""),
    ],
)
def test_a_document_of_200_mb_costs_little_more_than_twice_its_size(tmp_path, reader, name, head, tail):
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.write(head)
        for _ in range(200):
            stream.write(b"words " * 166_667)
        stream.write(tail)
    program = f"""
import resource, sys
from corpusmill.pipeline.sources.contract import *
from corpusmill.pipeline.sources.jsonl import Jsonl
from corpusmill.pipeline.sources.text import Text
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reader = {reader}
[split] = reader.splits([SourceFile(sys.argv[1], "a", {path.stat().st_size}, "")], 1 << 40)
chunks = [(chunk.documents.num_rows, chunk.rejects) for chunk in reader.read(split, Origin("x"))]
print(chunks[0][0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    documents, kilobytes = map(int, done.stdout.split())
    kept = "300" in reader
    assert documents == int(kept)
    assert kilobytes < (470_000 if kept else 40_000)
