"""Markdown of hostile text: names, languages and licences come from recipes and documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CUT = 200
_MARKUP = re.compile(r"([\\`*_\[\]<>|#&!~$])")


def escaped(text: str) -> str:
    """`text` as one line of Markdown that shows what it says: at most 200 characters, no markup, no HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split())[:_CUT])


def table(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A table. Whole numbers stand to the right, with commas, and so do strings of digits; other strings are escaped.

    >>> print(table(("name", "rows"), [("a|b", 1200)]))
    | name | rows |
    |---|---:|
    | a\\\\|b | 1,200 |
    """
    listed = [list(row) for row in rows]
    right = [bool(listed) and all(_is_number(row[column]) for row in listed) for column in range(len(head))]
    lines = [
        f"| {' | '.join(map(escaped, head))} |",
        f"|{'|'.join('---:' if number else '---' for number in right)}|",
        *(f"| {' | '.join(map(_cell, row))} |" for row in listed),
    ]
    return "\n".join(lines)


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else escaped(value)


def _is_number(value: str | int) -> bool:
    return isinstance(value, int) or value.replace(".", "", 1).isdigit()
