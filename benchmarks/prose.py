"""Prose from the shared real data, as documents: what the benchmarks of whole chains read.

Books (cut into pages of about 4 kB), newsgroup posts, news agency reports, film reviews, speeches, forum posts, terms
of service in their revisions (real near-duplicates), news articles with planted near-duplicates, and the gold texts of
web pages in five languages. Mostly English, 106 MB in 47,000 documents.

Documents come in the order of a hash, so that any beginning of the list is the same mixture; up to four neighbours stay
together, so that a small slice has near-duplicates, too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("id", pa.string()), ("url", pa.string()), ("text", pa.string())])

_PAGE = 4_000  # characters after which a book's page ends, at the next paragraph
_NEIGHBOURS = 4
_POLICIES = 4  # of so many policies one is taken, with all its revisions: legal text is no fifth of what people write
_TAG = re.compile(r"<[^>]*>")

Item = tuple[str, str]  # a name that is its document's own, and the text


def prose(realdata: Path, n_bytes: int) -> list[Item]:
    """The first documents of the mixture, until they have `n_bytes` of text."""
    runs: list[tuple[bytes, list[Item]]] = []
    for source in (_books, _posts, _reports, _forums, _terms, _articles, _web):
        items = [(name, text) for name, text in source(realdata) if text.strip()]
        for start in range(0, len(items), _NEIGHBOURS):
            run = items[start : start + _NEIGHBOURS]
            runs.append((blake2b(run[0][0].encode(), digest_size=8).digest(), run))
    runs.sort(key=lambda run: run[0])
    taken: list[Item] = []
    size = 0
    for _, run in runs:
        for item in run:
            if size >= n_bytes:
                return taken
            taken.append(item)
            size += len(item[1].encode())
    if size < n_bytes:
        raise SystemExit(f"{realdata}: holds {size} bytes of prose, and {n_bytes} were asked for")
    return taken


def write_parquet(items: list[Item], folder: Path, files: int) -> int:
    """Writes the documents as `files` Parquet files of about equal size. Returns the bytes of text."""
    folder.mkdir(parents=True)
    for index in range(files):
        share = items[index::files]
        names = [name for name, _ in share]
        table = pa.table({"id": names, "url": names, "text": [text for _, text in share]}, schema=SCHEMA)
        pq.write_table(table, folder / f"{index:05d}.parquet", compression="zstd", row_group_size=1_024)
    return sum(len(text.encode()) for _, text in items)


def _read(path: Path, encoding: str = "utf-8") -> str:
    return path.read_text(encoding, "replace")  # which makes \n of \r\n


def _name(path: Path, realdata: Path) -> str:
    return f"file:{path.relative_to(realdata).as_posix()}"


def _files(realdata: Path, folder: str, pattern: str) -> list[Path]:
    found = sorted(path for path in (realdata / folder).glob(pattern) if path.is_file() and path.stat().st_size)
    if not found:
        raise SystemExit(f"{realdata / folder}: has no {pattern}; name the folder of the real data with --data")
    return found


def _books(realdata: Path) -> Iterator[Item]:
    for path in _files(realdata, "text/books_classic_markdown_a", "*/*.md"):
        page: list[str] = []
        pages = 0
        for paragraph in _read(path).split("\n\n"):
            page.append(paragraph)
            if sum(map(len, page)) >= _PAGE:
                yield f"{_name(path, realdata)}#{pages}", "\n\n".join(page)
                page, pages = [], pages + 1
        yield f"{_name(path, realdata)}#{pages}", "\n\n".join(page)


def _posts(realdata: Path) -> Iterator[Item]:
    for path in _files(realdata, "text/newsgroups20_bydate", "*/*/*"):
        yield _name(path, realdata), _read(path, "latin-1").partition("\n\n")[2]


def _reports(realdata: Path) -> Iterator[Item]:
    folder = "text/reuters21578_webtext_speeches"
    for pattern in ("reuters/*/*", "movie_reviews/*/*", "state_union/*", "inaugural/*"):
        for path in _files(realdata, folder, pattern):
            yield _name(path, realdata), _read(path, "latin-1")


def _forums(realdata: Path) -> Iterator[Item]:
    for path in _files(realdata, "text/stackexchange_posts_a", "*/Posts.xml"):
        for row in ElementTree.parse(path).getroot():
            yield f"{_name(path, realdata)}#{row.get('Id')}", html.unescape(_TAG.sub("", row.get("Body") or ""))


def _terms(realdata: Path) -> Iterator[Item]:
    revisions = _files(realdata, "neardup/opentermsarchive_revisions_contrib", "*/*/*.md")
    policies = sorted({path.parent for path in revisions})[::_POLICIES]
    for path in revisions:
        if path.parent in policies:
            yield _name(path, realdata), _read(path)


def _articles(realdata: Path) -> Iterator[Item]:
    for path in _files(realdata, "neardup/minhash_articles_truth", "*_2500.train"):
        for line in _read(path).splitlines():
            name, _, text = line.partition(" ")
            yield f"{_name(path, realdata)}#{name}", text


def _web(realdata: Path) -> Iterator[Item]:
    for path in _files(realdata, "web/daniel_multilingual_html_gold", "*/reference/*"):
        yield _name(path, realdata), html.unescape(_TAG.sub("", _read(path)))
