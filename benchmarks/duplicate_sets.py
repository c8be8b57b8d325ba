"""Sets of the shared real data in which documents are much alike, each with what is known of it.

terms      872 revisions of terms of service and privacy policies, in many languages; a folder is one document's
           history, its files in order of date (Open Terms Archive)
licences   2,291 texts: SPDX's licences as XML and as text, Google's variants, headers and test files
articles   2,500 news articles with 20 planted copies (McCormick's MinHash set); smaller ones of 1,000 and 100
books      whole books, and editions of them that are made here: there are no two of one title in the data
pages      3,033 web pages of hundreds of sites and the result pages of 18 search engines, after extraction
newswire   10,788 Reuters reports
posts      18,847 posts to newsgroups, with headers, quotes and signatures
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.sources.contract import Origin, SourceFile
from corpusmill.pipeline.sources.warc import Warc

_BOOK_BYTES = 400_000  # longer ones are left out: peers take seconds for each
_SPELLINGS = {
    "to-day": "today",
    "to-morrow": "tomorrow",
    "to-night": "tonight",
    "colour": "color",
    "honour": "honor",
    "favour": "favor",
    "grey": "gray",
    "towards": "toward",
    "shew": "show",
    "any one": "anyone",
    "every one": "everyone",
    "some one": "someone",
}
_SPELLING = re.compile(rf"\b({'|'.join(_SPELLINGS)})\b", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class DuplicateSet:
    """Documents by name, in a fixed order."""

    name: str
    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> DuplicateSet:
        """For a quick run."""
        return DuplicateSet(self.name, self.names[:count], self.texts[:count])


def terms(realdata: Path) -> DuplicateSet:
    return _of_files("terms", realdata / "neardup" / "opentermsarchive_revisions_contrib", "*/*/*.md")


def licences(realdata: Path) -> DuplicateSet:
    return _of_files("licences", realdata / "neardup" / "license_texts_spdx_google", "**/*")


def newswire(realdata: Path) -> DuplicateSet:
    return _of_files("newswire", realdata / "text" / "reuters21578_webtext_speeches", "reuters/*/*", "latin-1")


def posts(realdata: Path) -> DuplicateSet:
    return _of_files("posts", realdata / "text" / "newsgroups20_bydate", "*/*/*", "latin-1")


def articles(realdata: Path, size: int = 2500) -> DuplicateSet:
    path = realdata / "neardup" / "minhash_articles_truth" / f"articles_{size}.train"
    rows = [line.partition(" ") for line in path.read_text().splitlines()]
    return DuplicateSet("articles", [name for name, _, _ in rows], [text for _, _, text in rows])


def planted_articles(realdata: Path, size: int = 2500) -> set[frozenset[str]]:
    """The pairs of articles of which one is a copy."""
    path = realdata / "neardup" / "minhash_articles_truth" / f"articles_{size}.truth"
    return {frozenset(line.split()) for line in path.read_text().splitlines()}


def books(realdata: Path, most: int | None = None) -> DuplicateSet:
    """Each book as it is and in every edition of `EDITIONS`, as `AUTHOR/TITLE|EDITION`; only the `most` first ones."""
    whole = _of_files("books", realdata / "text" / "books_classic_markdown_a", "*/*.md")
    found = DuplicateSet("books")
    short = [pair for pair in zip(whole.names, whole.texts, strict=True) if len(pair[1]) <= _BOOK_BYTES]
    for name, text in short[:most]:
        for edition, make in EDITIONS.items():
            found.names.append(f"{name}|{edition}")
            found.texts.append(make(text))
    return found


def pages(realdata: Path) -> DuplicateSet:
    """Main content of web pages, by URL; those of search engines come last."""
    archives = [realdata / "warc" / "pages.warc.gz", *sorted((realdata / "warc" / "aql_serp_warc_a").glob("*.warc.gz"))]
    found = [page for archive in archives for page in _pages_of(archive)]
    return DuplicateSet("pages", [name for name, _ in found], [text for _, text in found])


def _pages_of(archive: Path) -> Iterator[tuple[str, str]]:
    reader, origin = Warc(), Origin("web", extraction=Extraction(engine="content"))
    file = SourceFile(str(archive), archive.name, archive.stat().st_size, "")
    for split in reader.splits([file], file.size):
        for chunk in reader.read(split, origin):
            yield from zip(
                chunk.documents.column("url").to_pylist(), chunk.documents.column("text").to_pylist(), strict=True
            )


def _of_files(name: str, folder: Path, pattern: str, encoding: str = "utf-8") -> DuplicateSet:
    paths = sorted(path for path in folder.glob(pattern) if path.is_file() and path.name != ".complete")
    if not paths:
        raise SystemExit(f"{folder}: has no {pattern}; name the folder of the real data with --data")
    names = [path.relative_to(folder).as_posix() for path in paths]
    return DuplicateSet(name, names, [path.read_text(encoding, "replace") for path in paths])


def _wrapped_anew(text: str) -> str:
    """Lines of about 60 characters, no Markdown headings, and another publisher's matter before and after."""
    lines = []
    for paragraph in _PARAGRAPH.split(re.sub(r"^#+\s*", "", text, flags=re.MULTILINE)):
        line = ""
        for word in paragraph.split():
            if line and len(line) + len(word) >= 60:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        lines += [line, ""]
    before = "This copy was set for readers on small screens. It may be passed on by anybody, for any purpose.\n\n" * 10
    return before + "\n".join(lines) + "\nThe end of this copy. Corrections are welcome; please name the page.\n"


def _without_a_tenth(text: str) -> str:
    """Without a tenth in a row, such as a chapter that was censored."""
    paragraphs = _PARAGRAPH.split(text)
    begin = len(paragraphs) // 3
    return "\n\n".join(paragraphs[:begin] + paragraphs[begin + len(paragraphs) // 10 :])


def _respelled(text: str) -> str:
    return _SPELLING.sub(lambda found: _SPELLINGS[found.group().lower()], text)


def _first_third(text: str) -> str:
    """An excerpt: not the same book, but contained in it."""
    return text[: len(text) // 3]


EDITIONS: dict[str, Callable[[str], str]] = {
    "first": str,
    "wrapped anew": _wrapped_anew,
    "a tenth cut": _without_a_tenth,
    "spelled anew": _respelled,
    "excerpt": _first_third,
}
"""Of a book. All but the excerpt are near-duplicates of one another."""
SETS: Sequence[Callable[[Path], DuplicateSet]] = (terms, licences, articles, books, pages, newswire, posts)
