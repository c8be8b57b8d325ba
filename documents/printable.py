"""Text of others on a terminal: what is not printable (escapes, controls, line ends, bidi marks) becomes `?`.

A document, and so a name or a value taken out of one, may hold sequences that move the cursor, set a window's title or
show the text around them in another order.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with each sign that is not printable (`str.isprintable`) as `?`, as long as it was.

    >>> printable("web/\\x1b[2J café\\n")
    'web/?[2J café?'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def printable_line(text: str) -> str:
    """The same on one line: a run of white space becomes one space, and none is left at the ends.

    >>> printable_line("  two\\n lines\\x07")
    'two lines?'
    """
    return printable(" ".join(text.split()))
