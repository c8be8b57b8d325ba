"""What a page would cost its parser, estimated by a scan of its tags at about 1 GB/s, before it is parsed.

An HTML parser is native code that cannot be interrupted, and a few kilobytes can keep it busy for minutes: elements
nested 100,000 deep, hundreds of formatting elements that are never closed and so are opened again in each paragraph
(HTML standard, "reconstruct the active formatting elements"), or one tag with 200,000 attributes. Resiliparse 2.0.1
took 4.7 s and 769 MB for 29 KB of the second kind, and did not come back within 40 s from the others.

The estimate depends on the page alone, so the same pages are dropped on every machine.
"""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel

STEPS_PER_SECOND = 40_000_000
"""Steps in a second of CPU time, from pages of each hostile kind; ordinary pages need fewer than they are counted."""
_TAG_STEPS = 40  # 1 µs for a tag
_CLONE_STEPS = 100  # 2.4 µs for a formatting element that is opened again

# Names by their first eight letters in lower case, as little-endian numbers.
_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
_OPTIONAL_END = (
    *("p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup"),
    *("rb", "rt", "rp", "rtc", "body", "html", "head"),
)
"""A new one ends the last, so these do not nest by themselves."""
_FORMATTING = ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
_RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""Elements whose content is text up to their own end tag."""


_FLAT, _REOPENED, _TEXT = 1, 2, 4
_MULTIPLIER = 0x9E3779BBD4F4D1BD  # spreads the names over the table's 256 places without a collision
_SHIFT = 56


def _table() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Names by the place that the multiplier gives them, and what is known of each."""
    names, kinds = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    for group, kind in ((_VOID, _FLAT), (_OPTIONAL_END, _FLAT), (_FORMATTING, _REOPENED), (_RAW, _TEXT)):
        for name in group:
            number = int.from_bytes(name.encode()[:8], "little")
            place = number * _MULTIPLIER % 2**64 >> _SHIFT
            names[place] = number
            kinds[place] |= kind
    return frozen(names), frozen(kinds)


_NAMES, _KINDS = _table()


def cost_of(html: bytes) -> tuple[int, int]:
    """How deep a page nests, and how many steps its parser would take, both at most about."""
    words = np.frombuffer(html, np.uint64, count=len(html) // 8)
    depth, steps = _cost(frozen(np.frombuffer(html, np.uint8)), frozen(words), _NAMES, _KINDS)
    return int(depth), int(steps)


@inlined
def _find(html: NDArray[np.uint8], words: NDArray[np.uint64], at: int, symbol: int) -> int:
    """Where `symbol` stands next, at `at` or after; the page's length where it does not. Eight bytes at a time."""
    pattern = uint64(symbol) * uint64(0x0101010101010101)
    while at < len(html) and html[at] != symbol and at % 8 != 0:
        at += 1
    if at < len(html) and html[at] != symbol:
        word = at // 8
        while word < len(words):
            other = words[word] ^ pattern  # a byte of it is zero where the symbol stands
            if ((other - uint64(0x0101010101010101)) & ~other & uint64(0x8080808080808080)) != 0:
                break
            word += 1
        at = word * 8
        while at < len(html) and html[at] != symbol:
            at += 1
    return at


@inlined
def _name(html: NDArray[np.uint8], at: int) -> tuple[np.uint64, int]:
    """An element's name at `at`, as a number, and its length."""
    name = uint64(0)
    letters = 0
    while at + letters < len(html):
        symbol = uint64(html[at + letters])
        lower = symbol | uint64(32)
        if not (97 <= lower <= 122 or (letters > 0 and 48 <= symbol <= 57)):
            break
        if letters < 8:
            name |= (lower if symbol >= 65 else symbol) << uint64(8 * letters)
        letters += 1
    return name, letters


@inlined
def _end_of_tag(html: NDArray[np.uint8], at: int) -> tuple[int, int, bool]:
    """Of the tag whose name ends at `at`: where it ends, how many attributes it has, whether it ends in a slash."""
    attributes = 0
    last = 32
    while at < len(html) and html[at] != 62:  # >
        symbol = int(html[at])
        if (symbol == 34 or symbol == 39) and last == 61:  # a quote behind an equals sign
            at += 1
            while at < len(html) and html[at] != symbol:
                at += 1
            last = symbol
        elif symbol > 32:
            attributes += last <= 32 or last == 47
            last = symbol
        elif last != 61:  # white space may follow an equals sign
            last = symbol
        at += 1
    return at, attributes, last == 47


@kernel
def _cost(
    html: NDArray[np.uint8],
    words: NDArray[np.uint64],
    names: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> tuple[int, int]:
    size = len(html)
    depth = deepest = steps = formatting = 0
    at = _find(html, words, 0, 60)  # <
    while at + 1 < size:
        at += 1
        if html[at] == 33 and at + 2 < size and html[at + 1] == 45 and html[at + 2] == 45:  # a comment: <!-- … -->
            at = _find(html, words, at + 3, 62)
            while at < size and not (html[at - 1] == 45 and html[at - 2] == 45):
                at = _find(html, words, at + 1, 62)
            at = _find(html, words, at, 60)
            continue
        closing = html[at] == 47  # /
        at += closing
        name, letters = _name(html, at)
        if letters == 0:
            at = _find(html, words, at, 60)
            continue
        at, attributes, slash = _end_of_tag(html, at + letters)
        steps += _TAG_STEPS + depth + attributes * attributes // 4
        place = (name * uint64(_MULTIPLIER)) >> uint64(_SHIFT)
        kind = kinds[place] if names[place] == name else 0
        if not kind & _REOPENED:
            steps += _CLONE_STEPS * formatting
        elif closing:
            formatting = max(0, formatting - 1)
        else:
            formatting += 1
        if closing:
            if not kind & _FLAT:
                depth = max(0, depth - 1)
        elif not slash and not kind & _FLAT:
            depth += 1
            deepest = max(deepest, depth)
        if not closing and kind & _TEXT:  # goes on at its own end tag
            at = _find(html, words, at, 60)
            while at + 2 < size and not (html[at + 1] == 47 and _name(html, at + 2)[0] == name):
                at = _find(html, words, at + 1, 60)
        at = _find(html, words, at, 60)
    return deepest, steps
