from __future__ import annotations

import functools
import http.server
import re
import sys
import threading
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import InputError
from corpusmill.pipeline.sources import storage
from corpusmill.pipeline.sources.contract import Origin, SourceFile
from corpusmill.pipeline.sources.find import find_files
from corpusmill.pipeline.sources.jsonl import Jsonl
from corpusmill.pipeline.sources.parquet import Parquet
from corpusmill.pipeline.sources.registry import READERS, kind_of, reader_for
from corpusmill.pipeline.sources.storage import StoredFile
from corpusmill.pipeline.sources.text import Text
from corpusmill.pipeline.sources.warc import Warc

SUFFIXES = (".txt", ".md")


@pytest.fixture
def tree(tmp_path):
    for name in ("b.txt", "a.txt", "sub/c.md", "sub/deep/d.TXT", "sub/e.jpg", ".hidden.txt", ".git/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "g.partial-17.txt").write_text("half")
    return tmp_path


def names(files) -> list[str]:
    return [file.name for file in files]


def find(paths, base, root=None):
    return find_files(paths, base=base, root=root, suffixes=SUFFIXES)


def test_a_folder_gives_its_files_by_suffix_without_hidden_and_partial_ones(tree):
    assert names(find(["."], tree)) == ["a.txt", "b.txt", "sub/c.md", "sub/deep/d.TXT"]


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a.txt"], ["a.txt"]),
        (["b.txt", "a.txt", "./b.txt", "*.txt"], ["a.txt", "b.txt"]),
        (["**/*.md"], ["sub/c.md"]),
        (["sub/**/*"], ["sub/c.md", "sub/deep/d.TXT", "sub/e.jpg"]),
        (["sub/e.jpg"], ["sub/e.jpg"]),
        (["${CORPUS}/c.md"], ["sub/c.md"]),
    ],
)
def test_paths_globs_and_variables_find_each_file_once(tree, monkeypatch, paths, found):
    monkeypatch.setenv("CORPUS", str(tree / "sub"))
    assert names(find(paths, tree)) == found


def test_names_are_relative_to_the_root_where_they_lie_below_it(tree):
    assert names(find(["sub"], tree, root="sub")) == ["c.md", "deep/d.TXT"]
    assert names(find(["../b.txt"], tree / "sub")) == [str(tree / "b.txt")]


def test_the_identity_changes_with_the_content(tree):
    [before] = find(["a.txt"], tree)
    (tree / "a.txt").write_text("other content")
    [after] = find(["a.txt"], tree)
    assert before.identity != after.identity
    assert after.size == 13


def test_a_missing_path_names_the_nearest_folder_and_a_close_match(tree):
    with pytest.raises(InputError) as error:
        find(["sub/deep/d.txt/x"], tree)
    message = str(error.value)
    assert (
        message == f'sub/deep/d.txt/x: matches no file: there is no "d.txt" in {tree}/sub/deep; did you mean "d.TXT"?'
    )


def test_a_glob_and_a_folder_that_match_nothing_say_so(tree):
    with pytest.raises(InputError, match=re.escape(f'sub/*.csv: matches no file: there is no "*.csv" in {tree}/sub')):
        find(["sub/*.csv"], tree)
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: matches no file: the folder .*/empty has none that ends in .txt"):
        find(["empty"], tree)


def test_a_variable_that_is_not_set_is_named(tree, monkeypatch):
    monkeypatch.setenv("CORPUS_DIR", "x")
    monkeypatch.delenv("CORPUS_DIT", raising=False)
    with pytest.raises(InputError) as error:
        find(["${CORPUS_DIT}/a"], tree)
    assert str(error.value) == (
        "${CORPUS_DIT}/a: the environment variable CORPUS_DIT is not set; export it, or write the path; "
        'did you mean "${CORPUS_DIR}"?'
    )


def test_names_that_are_no_utf8_are_shown_and_stay_apart(tree):
    for odd in (b"caf\xe9.txt", b"caf\xe8.txt"):
        with open(str(tree).encode() + b"/" + odd, "wb") as stream:
            stream.write(b"text")
    files = find(["caf*.txt"], tree)
    assert [file.name for file in files] == [r"caf\xe8.txt", r"caf\xe9.txt"]
    [split] = Text().splits(files, 100)
    [chunk] = Text().read(split, Origin("x"))
    assert chunk.documents.column("text").to_pylist() == ["text"] * 2
    assert len(set(chunk.documents.column("id").to_pylist())) == 2


def test_s3_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=re.escape("pip install corpusmill[s3]")):
        find(["s3://bucket/a.txt"], tmp_path)


def test_an_unknown_protocol_is_refused(tmp_path):
    with pytest.raises(InputError, match="paths are local, or URLs such as s3://"):
        find(["gopherus://x/a.txt"], tmp_path)


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_stores_are_searched_and_read_like_disks(memory, tmp_path, archive, make_read):
    pages = b"".join(archive.members([archive.page(number) for number in range(40)]))
    memory.pipe({"/crawl/a.warc.gz": pages, "/crawl/.x.warc.gz": b"x", "/crawl/sub/b.warc.gz": pages})
    found = find_files(["memory://crawl"], base=tmp_path, root="memory://crawl", suffixes=Warc.suffixes)
    assert names(found) == ["a.warc.gz", "sub/b.warc.gz"]
    assert (
        find_files(["memory://crawl/*.gz"], base=tmp_path, root=None, suffixes=())[0].name
        == "memory:///crawl/.x.warc.gz"
    )
    result = make_read(Warc(), Warc().splits(found, 3000), Origin("web"))
    assert len(result.texts) == 80
    memory.rm("/crawl/a.warc.gz")
    with pytest.raises(InputError, match=r"memory:///crawl/a\.warc\.gz: is not there any more"):
        make_read(Warc(), Warc().splits(found, 3000), Origin("web"))


def test_a_missing_object_of_a_store_is_named(memory, tmp_path):
    with pytest.raises(InputError, match="memory://nowhere: matches no file at memory://nowhere"):
        find(["memory://nowhere"], tmp_path)


def test_parquet_is_read_from_a_store(memory, tmp_path, make_read):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    memory.pipe("/a.parquet", path.read_bytes())
    found = find_files(["memory://a.parquet"], base=tmp_path, root=None, suffixes=())
    assert make_read(Parquet(), Parquet().splits(found, 10), Origin("x")).texts == ["a", "b"]


class _WithRanges(http.server.SimpleHTTPRequestHandler):
    """A server that answers ranges, and "slow down" to the first request of each."""

    slow: set[str] = set()  # noqa: RUF012  shared on purpose

    def do_GET(self):
        wanted = self.headers.get("Range")
        if wanted and wanted not in self.slow:
            self.slow.add(wanted)
            self.send_error(503)
            return
        if not wanted:
            super().do_GET()
            return
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        content = Path(self.translate_path(self.path)).read_bytes()[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class _WithoutRanges(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("handler", [_WithRanges, _WithoutRanges])
def test_files_are_read_from_a_web_server(handler, tmp_path, monkeypatch, make_read):
    monkeypatch.setattr(storage, "REMOTE_BLOCK_BYTES", 1000)
    monkeypatch.setattr(storage, "_PAUSES", (0.01, 0.01))
    content = b"".join(b'{"text": "line %d"}\n' % number for number in range(300))
    (tmp_path / "a.jsonl").write_bytes(content)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        found = find_files([f"{address}/a.jsonl"], base=tmp_path, root=address, suffixes=())
        assert [(file.name, file.size) for file in found] == [("a.jsonl", len(content))]
        result = make_read(Jsonl(), Jsonl().splits(found, 1500), Origin("web"))
        assert result.texts == [f"line {number}" for number in range(300)]
        with pytest.raises(InputError, match=f"{address}/b.jsonl: matches no file"):
            find_files([f"{address}/b.jsonl"], base=tmp_path, root=None, suffixes=())
    finally:
        server.shutdown()
        server.server_close()


def test_a_store_that_stays_away_is_an_error_after_some_attempts(memory, monkeypatch):
    monkeypatch.setattr(storage, "_PAUSES", (0.0, 0.0))

    def refuse(*arguments, **options):
        raise ConnectionError("slow down")

    with StoredFile(SourceFile("memory://a", "a", 5, "")) as file:
        monkeypatch.setattr(type(memory), "cat_file", refuse)
        with pytest.raises(InputError, match=re.escape("memory://a: cannot be read at byte 0, 3 attempts: ")):
            file.view(0)


def test_a_local_file_that_went_away_is_an_error(tmp_path):
    gone = SourceFile(str(tmp_path / "gone.txt"), "gone.txt", 3, "")
    with pytest.raises(InputError, match=r"gone\.txt: cannot be opened any more: No such file or directory"):
        list(Text().read(Text().splits([gone], 10)[0], Origin("x")))


@pytest.mark.parametrize("block", [3, 7, 64])
def test_patterns_are_found_over_the_ends_of_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr(storage, "LOCAL_BLOCK_BYTES", block)
    content = b"..abc....ab.abcabc.bc.a"
    path = tmp_path / "a"
    path.write_bytes(content)
    with StoredFile(SourceFile(str(path), "a", len(content), "")) as file:
        for start in range(len(content) + 2):
            for stop in (None, 5, 13, 15):
                found = content.find(b"abc", start)
                expected = None if found < 0 or (stop is not None and found >= stop) else found
                assert file.find(b"abc", start, stop) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.warc.gz", "warc"),
        ("a.ARC", "warc"),
        ("CC-MAIN-1.warc.wet.gz", "wet"),
        ("a.jsonl.zst", "jsonl"),
        ("a.json", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.tsv.gz", "csv"),
        ("README.md", "text"),
        ("cmakelists.txt", "code"),
        ("a.py", "code"),
        ("a.xyz", None),
    ],
)
def test_names_tell_the_reader(name, kind):
    assert kind_of(name) == kind


def test_a_reader_is_found_or_the_message_says_why_not():
    def files(*found):
        return [SourceFile(name, name, 1, "") for name in found]

    assert reader_for(files("a.warc.gz", "b.arc")) is Warc
    with pytest.raises(InputError, match=r"a.xyz: its name does not tell how to read it; add `kind:` \(warc, wet"):
        reader_for(files("a.txt", "a.xyz"))
    with pytest.raises(InputError, match=r"files of several kinds in one source: a.txt \(text\), b.py \(code\)"):
        reader_for(files("a.txt", "b.py"))
    assert all(reader().kind == kind for kind, reader in READERS.items())
