"""Books read by the chapter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.sources.chapters import chapter_starts
from corpusmill.pipeline.sources.text import Text

PROSE = "The ferry left late that morning because the captain had lost his keys.\n"


@pytest.mark.parametrize(
    "heading",
    ["# One", "### II. The Keys", "CHAPTER IV", "Chapter the Second", "  Chapter 12. Of Bread", "Kapitel 3",
     "CHAPITRE PREMIER",
     "Capítulo 2", "Capitolo III", "_Letter 4_"],
)  # fmt: skip
def test_a_chapter_begins_at_its_heading(heading: str) -> None:
    book = f"{PROSE * 3}\n{heading}\n\n{PROSE * 3}"
    (first, second) = chapter_starts(book, 50)
    assert (first, book[second:].startswith(heading)) == (0, True)


@pytest.mark.parametrize(
    "line", ["Chapter and verse were quoted", "#hashtag", "#### Small heading", "Chapter 3 was,\nthey said"]
)
def test_other_lines_begin_none(line: str) -> None:
    assert chapter_starts(f"{PROSE * 3}\n{line}\n{PROSE * 3}", 50) == [0]


def test_headings_in_a_row_belong_to_the_chapter_behind_them() -> None:
    book = f"# Title\n\n## Author\n\n## Part I\n\n## Chapter 1\n\n{PROSE * 3}\n## Chapter 2\n\n{PROSE * 3}"
    starts = chapter_starts(book, 100)
    assert [book[start:].split("\n")[0] for start in starts] == ["# Title", "## Chapter 2"]


def test_a_short_last_chapter_is_joined_to_the_one_before() -> None:
    assert chapter_starts(f"# A\n\n{PROSE * 3}\n# B\n\nShort.", 50) == [0]


@given(
    st.lists(st.sampled_from(["# A\n", "\n", PROSE, "CHAPTER I\n", "é漢\n", " "]), max_size=30).map("".join),
    st.integers(1, 200),
)
def test_chapters_are_the_whole_book_in_order(book: str, least: int) -> None:
    starts = chapter_starts(book, least)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(end - start >= least for start, end in pairwise(starts))


def test_the_reader_makes_a_document_of_each_chapter_with_ids_of_their_own(
    read: Callable[..., Any], tmp_path: Path
) -> None:
    book = f"# Eins\n\nÄ {PROSE * 3}\n# Zwei\n\n{PROSE * 3}"
    (tmp_path / "book.md").write_text(book, encoding="utf-8")
    found = read(Text(split="chapters", min_chapter_characters=50), tmp_path / "book.md")
    assert "".join(found.texts) == book
    assert [text.split("\n")[0] for text in found.texts] == ["# Eins", "# Zwei"]
    assert found.offsets == [0, len(found.texts[0].encode())]


def test_a_wrong_way_to_split_is_refused() -> None:
    with pytest.raises(RecipeError, match="use chapters, or leave it out"):
        Text(split="pages")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="min_chapter_characters: 0 must be at least 1"):
        Text(min_chapter_characters=0)


@pytest.mark.realdata
def test_real_books_fall_into_their_chapters(realdata: Path) -> None:
    folder = realdata / "text/books_classic_markdown_a"
    for name, chapters in (("Louisa May Alcott/Little Men.md", 21), ("E.M. Forster/A Room with a View.md", 20)):
        starts = chapter_starts((folder / name).read_text(encoding="utf-8"), 500)
        assert abs(len(starts) - chapters) <= 1, name
