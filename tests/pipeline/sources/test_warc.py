from __future__ import annotations

import collections
import gzip
import io
import json
import random
import zlib

import lz4.frame
import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter
from fastwarc.warc import ArchiveIterator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.sources.contract import Origin
from corpusmill.pipeline.sources.find import find_files
from corpusmill.pipeline.sources.registry import READERS, kind_of
from corpusmill.pipeline.sources.warc import Warc, Wet

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes, name: str = "a.warc.gz"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


def numbers(result) -> list[int]:
    return [int(text.split("\n")[0].removeprefix("Text of page ").rstrip(".")) for text in result.texts]


def test_a_page_becomes_a_document_with_all_that_its_record_says(read, write, archive, tmp_path):
    folder = tmp_path / "CC-MAIN-2024-10"
    folder.mkdir()
    members = archive.members([archive.record("warcinfo", b"software: x\r\n"), archive.page(7)])
    path = folder / "part.warc.gz"
    path.write_bytes(b"".join(members))
    result = read(Warc(), path, origin=Origin("web", license="CC0-1.0", language="en"))
    [document] = result.documents
    assert document["text"].startswith("Text of page 7.")
    assert document["url"] == "https://example.org/7"
    assert document["date"] == "2024-03-05T10:00:00Z"
    assert (document["license"], document["language"]) == ("CC0-1.0", "en")
    assert json.loads(document["metadata"]) == {
        "title": "Page 7",
        "http_status": 200,
        "content_type": "text/html; charset=utf-8",
        "record_id": "urn:uuid:1",
        "dump": "CC-MAIN-2024-10",
    }
    assert result.offsets == [len(members[0])]
    assert result.reasons == ["read/not_response"]


@pytest.mark.parametrize(
    ("make", "reason", "detail"),
    [
        (lambda a: a.record("request", b"GET / HTTP/1.1\r\n\r\n"), "read/not_response", "request"),
        (lambda a: a.response(b"<p>x", status="404 Not Found"), "read/http_status", "404"),
        (lambda a: a.record("response", b"HTTP/1.1 what\r\n\r\n<p>x"), "read/http_status", "HTTP/1.1 what"),
        (lambda a: a.response(b"%PDF", content_type="application/pdf"), "read/not_html", "application/pdf"),
        (lambda a: a.response(b"{}", content_type=None), "read/not_html", "no content type"),
        (lambda a: a.record("response", b"1.2.3.4", Content_Type="text/dns"), "read/not_html", "no HTTP response"),
        (lambda a: a.response(b"\x89PNG\r\n\x1a\n\0\0\0"), "read/not_html", "holds binary data"),
        (lambda a: a.response(b" \r\n"), "read/empty", "the response has no body"),
        (lambda a: a.response(b"<html><script>1</script>"), "extract/empty", "0 characters of text"),
        (lambda a: a.response(b"<p>" + b"x" * 200_001), "read/too_large", "max_record_bytes is 200,000"),
        (
            lambda a: a.response(gzip.compress(bytes(20_000_000)), Content_Encoding="gzip"),
            "read/decompression_bomb",
            "max_expansion is 200",
        ),
        (
            lambda a: a.response(gzip.compress(str(list(range(60_000))).encode()), Content_Encoding="gzip"),
            "read/too_large",
            "over 200,000 bytes once its gzip encoding is undone",
        ),
        (
            lambda a: a.response(gzip.compress(random.Random(1).randbytes(999))[:-200], Content_Encoding="gzip"),
            "read/truncated_gzip",
            "the body ends within its gzip encoding",
        ),
        (
            lambda a: a.response(b"\xfe\xff\xfc" * 50, Content_Encoding="br"),
            "read/corrupt_gzip",
            "Content-Encoding: br: Invalid Data",
        ),
        (lambda a: a.response(b"<div>" * 100_000 + b"x"), "extract/too_deep", "100,000 elements deep"),
        (lambda a: a.response(b"<p>" + b"x" * 99_999), "extract/too_large", "max_html_bytes is 99,999"),
    ],
)
def test_a_record_that_is_no_page_is_a_reject_with_its_reason(read, write, archive, make, reason, detail):
    extraction = Extraction(max_html_bytes=99_999 if reason == "extract/too_large" else 5_000_000)
    most = 600_000 if reason == "extract/too_deep" else 200_000
    path = write(b"".join(archive.members([archive.page(1), make(archive), archive.page(2)])))
    result = read(Warc(max_record_bytes=most), path, origin=Origin("web", extraction=extraction))
    assert numbers(result) == [1, 2]
    assert result.reasons == [reason]
    assert detail in result.rejects[0].detail


@pytest.mark.parametrize("version", ["HTTP/1.1 200 OK", "HTTP/1.1 HTTP/1.1 200 OK", "HTTP/2 200"])
def test_status_lines_are_read_as_tools_write_them(read, write, archive, version):
    content = f"{version}\r\nContent-Type: text/html\r\n\r\n<p>Good morning to you all.".encode()
    result = read(Warc(), write(archive.record("response", content), "a.warc"))
    assert result.texts == ["Good morning to you all."]


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


BODY = "<html><body><p>Ein Straßenname: Äußere Brücke, 12.</p></body></html>".encode()
raw = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Transfer_Encoding": "chunked"}, chunked(BODY)),
        ({"Transfer_Encoding": "chunked"}, BODY),
        ({"Content_Encoding": "gzip"}, gzip.compress(BODY, mtime=0)),
        ({"Content_Encoding": "gzip"}, BODY),
        ({"Content_Encoding": "br"}, BODY),
        ({"Content_Encoding": "deflate"}, zlib.compress(BODY)),
        ({"Content_Encoding": "deflate"}, raw.compress(BODY) + raw.flush()),
        ({"Content_Encoding": "zstd"}, zstandard.compress(BODY)),
        ({"Content_Encoding": "br"}, None),
        ({"Content_Encoding": "deflate, gzip"}, gzip.compress(zlib.compress(BODY), mtime=0)),
        ({"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}, chunked(gzip.compress(BODY, mtime=0))),
    ],
)
def test_bodies_come_out_of_their_encodings_and_stay_as_they_are_where_they_have_none(
    read, write, archive, headers, body
):
    if body is None:
        sink = io.BytesIO()
        writer = BrotliWriter(sink)
        writer.write(BODY)
        writer.close()
        body = sink.getvalue()
    result = read(Warc(), write(archive.response(body, **headers), "a.warc"))
    assert result.texts == ["Ein Straßenname: Äußere Brücke, 12."]


def test_plain_text_goes_on_as_it_is(read, write, archive):
    record = archive.response(b"1 < 2 &amp; so on\r\n" + b"x" * 1024 + b"\0 line\n", content_type="TEXT/PLAIN")
    assert read(Warc(), write(record, "a.warc")).texts == ["1 < 2 &amp; so on\n" + "x" * 1024 + "� line"]


@pytest.mark.parametrize("bit", [3, 40, 200, -6, -2])
def test_a_flipped_bit_costs_its_member_and_no_other(read, write, archive, bit):
    members = archive.members([archive.page(number) for number in range(5)])
    damaged = bytearray(members[2])
    damaged[bit] ^= 0x10
    members[2] = bytes(damaged)
    result = read(Warc(), write(b"".join(members)))
    assert numbers(result) == [0, 1, 3, 4]
    [reject] = result.rejects
    assert reject.reason in ("corrupt_gzip", "truncated_gzip")
    assert reject.offset == len(members[0]) + len(members[1])
    assert reject.detail.startswith("gzip: ")


def test_what_zlib_said_stands_in_the_ledger(read, write, archive):
    members = archive.members([archive.page(number) for number in range(3)])
    members[1] = members[1][:-8] + bytes(4) + members[1][-4:]
    [reject] = read(Warc(), write(b"".join(members))).rejects
    assert reject.reason == "corrupt_gzip"
    assert reject.detail == (
        f"gzip: the member at byte {len(members[0])} does not decode: "
        "Error -3 while decompressing data: incorrect data check"
    )


def test_a_truncated_file_costs_the_member_in_which_it_ends(read, write, archive):
    members = archive.members([archive.page(number) for number in range(3)])
    start = len(members[0]) + len(members[1])
    result = read(Warc(), write(b"".join(members)[:-100]))
    assert numbers(result) == [0, 1]
    assert result.reasons == ["read/truncated_gzip"]
    assert result.rejects[0].detail == f"gzip: the file ends within the member at byte {start}"


def test_bytes_that_are_no_member_cost_themselves(read, write, archive):
    members = archive.members([archive.page(number) for number in range(3)])
    result = read(Warc(), write(members[0] + b"\x1f\x8b\x08 an error page </html>" + members[1] + members[2]))
    assert numbers(result) == [0, 1, 2]
    assert result.reasons == ["read/corrupt_gzip"]


def test_a_gzip_bomb_is_given_up(read, write, archive):
    bomb = gzip.compress(archive.record("response", bytes(100_000_000)))
    members = archive.members([archive.page(1), archive.page(2)])
    result = read(Warc(), write(members[0] + bomb + members[1]))
    assert numbers(result) == [1, 2]
    assert result.reasons == ["read/decompression_bomb"]
    assert "max_expansion is 200" in result.rejects[0].detail


def test_an_empty_file_is_a_reject(read, write):
    result = read(Warc(), write(b""))
    assert [(reject.reason, reject.detail) for reject in result.rejects] == [("empty", "the file has no byte")]


def test_a_broken_header_costs_its_record(read, write, archive):
    broken = archive.page(1).replace(b"Content-Length", b"Content-Langth")
    content = archive.page(0) + broken + archive.page(2)
    for path in (write(content, "a.warc"), write(gzip.compress(content), "b.warc.gz")):
        result = read(Warc(), path)
        assert numbers(result) == [0, 2]
        assert result.reasons == ["read/corrupt_warc"]
        assert result.rejects[0].detail == "the header does not end, or names no length"


def test_a_plain_file_that_ends_early_costs_its_last_record(read, write, archive):
    content = archive.page(0) + archive.page(1)
    result = read(Warc(), write(content[:-50], "a.warc"))
    assert numbers(result) == [0]
    assert result.reasons == ["read/corrupt_warc"]
    assert result.rejects[0].detail.startswith("the record ends after ")
    assert result.rejects[0].url == "https://example.org/1"


def test_a_record_over_the_bound_is_passed_over_and_not_held(read, write, archive):
    huge = archive.response(b"<p>" + b"x" * 30_000_000)
    result = read(Warc(), write(archive.page(0) + huge + archive.page(1), "a.warc"))
    assert numbers(result) == [0, 1]
    assert result.reasons == ["read/too_large"]


def packed(records: list[bytes], form: str) -> bytes:
    whole = b"".join(records)
    if form == "plain":
        return whole
    if form == "member":
        return b"".join(gzip.compress(record) for record in records)
    if form == "one member":
        return gzip.compress(whole)
    if form == "blocks":  # as bgzip does it: members that end where they will, and an empty one at the end
        return b"".join(
            gzip.compress(whole[start : start + 777]) for start in range(0, len(whole), 777)
        ) + gzip.compress(b"")
    if form == "zstd":
        return b"".join(zstandard.compress(record) for record in records)
    if form == "one zstd":
        return zstandard.compress(whole)
    return b"".join(lz4.frame.compress(record) for record in records)


@pytest.mark.parametrize("form", ["plain", "member", "one member", "blocks", "zstd", "one zstd", "lz4"])
def test_every_form_of_compression_gives_the_same_pages(read, write, archive, form):
    content = packed([archive.page(number) for number in range(9)], form)
    suffix = {"plain": "", "zstd": ".zst", "one zstd": ".zst", "lz4": ".lz4"}.get(form, ".gz")
    for name in (f"a.warc{suffix}", "misnamed.warc"):
        result = read(Warc(), write(content, name))
        assert numbers(result) == list(range(9))
        assert result.reasons == []


@pytest.mark.parametrize("compressed", [True, False])
def test_a_zstd_file_with_a_dictionary_in_front_is_read(read, write, archive, compressed):
    records = [archive.page(number) for number in range(50)]
    dictionary = zstandard.train_dictionary(2000, records)
    content = dictionary.as_bytes()
    if compressed:
        content = zstandard.compress(content)
    frame = (0x184D2A5D).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    result = read(Warc(), write(frame + b"".join(map(compressor.compress, records)), "a.warc.zst"))
    assert numbers(result) == list(range(50))


@pytest.mark.parametrize(("name", "pack"), [("a.warc.zst", zstandard.compress), ("a.warc.lz4", lz4.frame.compress)])
def test_a_damaged_frame_costs_itself(read, write, archive, name, pack):
    frames = [pack(archive.page(number)) for number in range(4)]
    frames[1] = frames[1][:30] + b"\xff" * 40 + frames[1][70:]
    result = read(Warc(), write(b"".join(frames)[:-20], name))
    assert numbers(result) == [0, 2]
    assert [reject.offset for reject in result.rejects] == [len(frames[0]), sum(map(len, frames[:3]))]
    assert result.rejects[1].reason == "truncated_gzip"


@pytest.mark.parametrize("compress", [True, False])
def test_arc_files_are_read(read, write, archive, compress):
    block = b"1 0 Archive\nURL IP-address Archive-date Content-type Archive-length\n"
    html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Old</title><p>A page of the year 2008.</p>"
    records = [
        archive.arc_record("filedesc://a.arc", block, "text/plain"),
        archive.arc_record("dns:example.org", b"20080619143015\nexample.org. 7200 IN A 192.0.2.1\n", "text/dns"),
        archive.arc_record("http://example.org/a b", html),
        archive.arc_record("http://example.org/gone", html.replace(b"200 OK", b"410 Gone")),
    ]
    if compress:
        records = archive.members(records)
    result = read(Warc(), write(b"".join(records), "a.arc.gz" if compress else "a.arc"))
    [document] = result.documents
    assert document["text"] == "A page of the year 2008."
    assert document["url"] == "http://example.org/a b"
    assert document["date"] == "2008-06-19T14:30:15Z"
    assert result.reasons == ["read/not_response", "read/not_html", "read/http_status"]


def test_wet_files_give_their_texts(read, write, archive):
    records = [
        archive.record("warcinfo", b"x"),
        archive.record("conversion", "Grüße\r\naus Bonn\n".encode(), WARC_Target_URI="<https://example.org/>",
                       WARC_Identified_Content_Language="deu"),
        archive.record("conversion", b"\xff\xfe"),
        archive.record("conversion", b""),
    ]  # fmt: skip
    result = read(Wet(), write(b"".join(archive.members(records)), "a.warc.wet.gz"))
    [document] = result.documents
    assert (document["text"], document["url"]) == ("Grüße\naus Bonn\n", "https://example.org/")
    assert json.loads(document["metadata"])["languages"] == "deu"
    assert result.reasons == ["read/not_response", "read/invalid_utf8", "read/empty"]


def test_a_large_gzipped_file_is_cut_and_small_ones_are_put_together(archive, write, tmp_path):
    for name in ("b.warc.gz", "c.warc.gz", "d.warc.gz"):
        write(bytes(40), name)
    write(bytes(1000), "a.warc.gz")
    write(bytes(1000), "e.warc")
    files = find_files([str(tmp_path)], base=tmp_path, root=None, suffixes=Warc.suffixes)
    splits = Warc().splits(files, 300)
    cuts = [[(piece.file.name[0], piece.start, piece.stop) for piece in split.pieces] for split in splits]
    assert cuts == [
        [("a", 0, 250)],
        [("a", 250, 500)],
        [("a", 500, 750)],
        [("a", 750, None)],
        [("b", 0, None), ("c", 0, None), ("d", 0, None)],
        [("e", 0, None)],
    ]


@FEW
@given(
    cuts=st.lists(st.integers(1, 12_000), min_size=1, max_size=12),
    form=st.sampled_from(["member", "one member", "blocks"]),
    damage=st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 255)), max_size=2),
    lost=st.integers(0, 300),
)
def test_any_cut_of_a_file_gives_the_same_records_in_the_same_order(read, archive, tmp_path, cuts, form, damage, lost):
    content = bytearray(packed([archive.page(number) for number in range(24)], form))
    for place, change in damage:
        content[place % len(content)] ^= change
    path = tmp_path / "cut.warc.gz"
    path.write_bytes(content[: len(content) - lost])
    whole, parts = read(Warc(), path), read(Warc(), path, cuts=cuts)
    assert parts.documents == whole.documents
    assert parts.rejects == whole.rejects


@FEW
@given(st.data())
def test_no_bytes_make_the_readers_raise(read, archive, tmp_path, data):
    good = b"".join(archive.members([archive.page(1), archive.response(BODY, Content_Encoding="br")]))
    arc = archive.arc_record("http://a.org/", b"HTTP/1.0 200 OK\n\n<p>x")
    start = data.draw(
        st.sampled_from([b"", good, archive.page(3), arc, b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"WARC/1.0\n"])
    )
    content = bytearray(start + data.draw(st.binary(max_size=300)) + data.draw(st.sampled_from([b"", good, arc])))
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / data.draw(st.sampled_from(["a.warc", "a.warc.gz", "a.arc", "a.warc.zst"]))
    path.write_bytes(content)
    result = read(Warc(), path)
    assert len(result.documents) + len(result.rejects) >= 1 or not content.strip(b"\r\n\0")
    read(Wet(), path)


@pytest.mark.realdata
def test_every_archive_of_the_real_data_is_read_and_counted_as_fastwarc_counts(read, realdata):
    files = find_files([str(realdata / "warc")], base=realdata, root=None, suffixes=Warc.suffixes + Wet.suffixes)
    files = [file for file in files if file.size < 10_000_000]
    assert len(files) > 50
    total = collections.Counter()
    for file in files:
        reader = READERS[kind_of(file.name)]()
        result = read(reader, realdata / file.name)
        total["documents"] += len(result.documents)
        assert len(result.documents) + len(result.rejects) >= 1
        if ".arc" not in file.name:
            counted = sum(1 for _ in ArchiveIterator(file.uri, parse_http=False))
            assert len(result.documents) + len(result.rejects) == counted, file.name
    assert total["documents"] > 400


@pytest.mark.realdata
def test_an_arc_file_gives_the_pages_of_the_same_crawl_as_warc(read, realdata):
    folder = realdata / "warc" / "aut_warc_arc"
    warc, arc = (read(Warc(), folder / kind / f"example.{kind}.gz") for kind in ("warc", "arc"))
    assert arc.texts == warc.texts
    assert [document["url"] for document in arc.documents] == [document["url"] for document in warc.documents]
