"""Where the chapters of a book begin, so that a book can be read as one document for each.

A heading is a Markdown heading of level 1 to 3, or a line of its own, behind a blank one, such as `CHAPTER IV. The
Storm`, `Kapitel 3` or `Chapitre premier`. Headings with little text between them (a title, a part, its first chapter)
belong to what follows.
"""

from __future__ import annotations

import re

_HEADING = re.compile(
    r"^(?:\#{1,3}[ \t]+\S[^\n]{0,200}"
    r"|(?:(?<=\n\n)|(?<=\n \n)|\A)[ \t]*[*_]{0,2}"
    r"(?:chapter|book|part|letter|canto|act|kapitel|buch|teil|chapitre|livre|partie|"
    r"capítulo|libro|parte|capitolo|capitulo)[ \t]+(?:[ivxlcdm]{1,8}|\d{1,3}|[a-zà-ü]{2,12}(?:-[a-z]{2,8})?)(?![^\W_])"
    r"[^\n]{0,80}(?=\n\s*\n|\n?\Z))",
    re.IGNORECASE | re.MULTILINE,
)


def chapter_starts(text: str, min_characters: int) -> list[int]:
    """The places at which `text` is cut, in characters; the first is 0.

    Args:
        text: a book.
        min_characters: a chapter has at least as many; a shorter one is joined to the next, the last to the one before.

    >>> chapter_starts("# A\\n\\nOne.\\n\\n# B\\n\\nTwo.\\n", 5)
    [0, 11]
    """
    starts = [0]
    for found in _HEADING.finditer(text):
        body = found.start() - starts[-1]
        if body < min_characters or _bare(text[starts[-1] : found.start()]) < min_characters // 2:
            continue
        starts.append(found.start())
    if len(starts) > 1 and len(text) - starts[-1] < min_characters:
        starts.pop()
    return starts


def _bare(text: str) -> int:
    """Characters of a piece without its headings."""
    return len(_HEADING.sub("", text[:20_000]).strip())
