"""What the scanner knows of HTML's elements, character references and of class names, as tables for its kernel.

Which start tag ends which open element follows the HTML standard's tree construction (13.2.6), as far as text needs
it. Character references are the standard's (13.5), from Python's `html.entities`. The hints are words that class
names, ids and roles hold, as in Readability (Mozilla, Apache-2.0), with more kinds of them.
"""

from __future__ import annotations

import html.entities
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen


class Kind(IntFlag):
    """How an element behaves when tags are opened and closed."""

    INLINE = 1
    LOOSE = 2
    """Blocks that a list item's start tag looks past: address, div, p."""
    BLOCK = 4
    CELL = 8
    TABLE = 16
    VOID = 32
    RAW = 64
    """Its content is text up to its own end tag, and none of the page's."""
    FOREIGN = 128
    """Of svg and math: a slash at a tag's end closes the element."""


class Group(IntFlag):
    """Elements that end one another."""

    P = 1
    ITEM = 2
    TERM = 4
    ROW = 8
    CELL = 16
    ROWS = 32
    HEAD = 64
    HEADING = 128
    LINK = 256


class Break(IntEnum):
    """What stands between two pieces of text; the larger one counts."""

    NONE = 0
    CELL = 1
    LINE = 2
    PARAGRAPH = 3


class Place(IntFlag):
    """Where text stands: bits that all descendants of an element inherit. Hints follow from `HINT_SHIFT` on."""

    LINK = 1
    SKIPPED = 2
    PREFORMATTED = 4
    NAV = 8
    HEADER = 16
    FOOTER = 32
    ASIDE = 64
    MAIN = 128
    ARTICLE = 256
    FORM = 512
    LIST = 1024
    TABLE = 2048
    QUOTE = 4096
    HEADING = 8192
    FIGURE = 1 << 14
    CAPTION = 1 << 15
    BUTTON = 1 << 16
    HIDDEN = 1 << 17
    STRONG = 1 << 18
    PARAGRAPH = 1 << 19
    DEFINITION = 1 << 20
    CODE = 1 << 21


HINT_SHIFT = 22

HINTS: tuple[tuple[str, ...], ...] = (
    ("article", "story", "entry", "hentry", "_post", "blogpost", "news", "artikel", "articulo", "statya"),
    ("content", "body", "text", "_main", "prose", "_copy_", "inhalt", "contenu", "conteudo"),
    ("comment", "disqus", "reply", "respon", "kommentar", "discussion", "reactie", "komentar"),
    ("nav", "menu", "breadcrumb", "pagination", "pager", "_tabs", "crumb", "sitemap"),
    ("sidebar", "aside", "widget", "_rail", "column", "_side", "secondary", "complementary", "rightcol", "leftcol"),
    (
        "related",
        "recommend",
        "_more",
        "popular",
        "trending",
        "similar",
        "readnext",
        "teaser",
        "promo",
        "latest",
        "also",
    ),
    ("share", "sharing", "social", "follow", "facebook", "twitter", "addthis", "_like", "whatsapp", "bookmark"),
    ("sponsor", "advert", "_ad_", "_ads_", "outbrain", "taboola", "banner", "_dfp", "adsense", "adslot", "anzeige"),
    ("byline", "author", "_date", "time_", "_time", "meta", "_info_", "dateline", "publish", "writer", "posted"),
    ("caption", "credit", "photo", "image", "gallery", "slide", "carousel", "picture", "media", "video", "player"),
    ("headline", "title", "heading", "titel", "titre", "_hed_"),
    ("footer", "copyright", "_foot", "legal", "disclaimer", "imprint", "contentinfo", "colophon"),
    ("newsletter", "subscri", "signup", "login", "register", "_form", "search", "contact"),
    ("cookie", "consent", "gdpr", "modal", "popup", "overlay", "paywall", "alert", "notice", "dialog", "lightbox"),
    ("_tag", "categor", "topic", "_label", "keyword", "schlagwort"),
    ("hidden", "_sr_only", "screen_reader", "visually", "display_none", "visibility_hidden", "_hide", "invisible"),
    ("lead", "intro", "summary", "abstract", "_deck", "standfirst", "excerpt", "subtitle", "subhead", "_dek", "chapo"),
    ("links", "_list", "items", "_index", "listing", "archive"),
    ("quote", "zitat", "callout", "highlight", "infobox", "factbox", "_box"),
    ("message", "postbody", "thread", "answer", "question", "forum", "_topic_body", "_post_text"),
    ("header", "masthead", "topbar", "_logo", "brand", "_head_"),
    ("tool", "print", "email", "button", "_btn", "action", "icon", "rating", "vote", "counter"),
    ("footnote", "references", "reflist", "bibliograph", "_toc", "_note"),
)
"""Words by kind. `_` is the edge of a word: any run of what is no letter, or an end of the value."""

HIDDEN_HINT = 15
"""The kind that also a style attribute may give, and a `hidden` attribute gives."""

_I, _L, _B = Kind.INLINE, Kind.LOOSE, Kind.BLOCK
_PARAGRAPH, _LINE, _CELL = Break.PARAGRAPH, Break.LINE, Break.CELL


class _Table:
    """Elements by number; number 0 is an element that is not known, and inline."""

    def __init__(self) -> None:
        self.names = [""]
        self.kind: list[int] = [_I]
        self.breaks: list[int] = [Break.NONE]
        self.group: list[int] = [0]
        self.ends: list[int] = [0]
        self.place: list[int] = [0]

    def add(
        self, names: str, kind: int, breaks: int = Break.NONE, *, group: int = 0, ends: int = 0, place: int = 0
    ) -> None:
        for name in names.split():
            self.names.append(name)
            self.kind.append(kind)
            self.breaks.append(breaks)
            self.group.append(group)
            self.ends.append(ends)
            self.place.append(place)


def _elements() -> _Table:
    table = _Table()
    add = table.add
    flow = Group.P | Group.HEAD
    add("html body", _B)
    add("head", _B, group=Group.HEAD, place=Place.SKIPPED)
    add("p", _L, _PARAGRAPH, group=Group.P, ends=flow, place=Place.PARAGRAPH)
    add("div", _L, _LINE, ends=flow)
    add("address", _L, _PARAGRAPH, ends=flow)
    add("section dir center fieldset details hgroup", _B, _PARAGRAPH, ends=flow)
    add("summary legend dialog", _B, _LINE, ends=flow)
    add("article", _B, _PARAGRAPH, ends=flow, place=Place.ARTICLE)
    add("main", _B, _PARAGRAPH, ends=flow, place=Place.MAIN)
    add("aside", _B, _PARAGRAPH, ends=flow, place=Place.ASIDE)
    add("nav menu", _B, _PARAGRAPH, ends=flow, place=Place.NAV)
    add("header", _B, _PARAGRAPH, ends=flow, place=Place.HEADER)
    add("footer", _B, _PARAGRAPH, ends=flow, place=Place.FOOTER)
    add("form", _B, _LINE, ends=flow, place=Place.FORM)
    add("h1 h2 h3 h4 h5 h6", _B, _PARAGRAPH, group=Group.HEADING, ends=flow | Group.HEADING, place=Place.HEADING)
    add("ul ol", _B, _PARAGRAPH, ends=flow, place=Place.LIST)
    add("li", _B, _LINE, group=Group.ITEM, ends=flow | Group.ITEM)
    add("dl", _B, _PARAGRAPH, ends=flow, place=Place.DEFINITION)
    add("dt dd", _B, _LINE, group=Group.TERM, ends=flow | Group.TERM)
    add("blockquote", _B, _PARAGRAPH, ends=flow, place=Place.QUOTE)
    add("pre listing plaintext", _B, _PARAGRAPH, ends=flow, place=Place.PREFORMATTED)
    add("figure", _B, _PARAGRAPH, ends=flow, place=Place.FIGURE)
    add("figcaption", _B, _LINE, ends=flow, place=Place.CAPTION)
    add("table", Kind.TABLE, _PARAGRAPH, ends=flow, place=Place.TABLE)
    add("caption", _B, _LINE, ends=Group.ROW | Group.CELL, place=Place.CAPTION)
    add("thead tbody tfoot", _B, _LINE, group=Group.ROWS, ends=Group.ROWS | Group.ROW | Group.CELL)
    add("tr", _B, _LINE, group=Group.ROW, ends=Group.ROW | Group.CELL)
    add("td th", Kind.CELL, _CELL, group=Group.CELL, ends=Group.CELL)
    add("a", _I, group=Group.LINK, ends=Group.LINK)
    add("b strong", _I, place=Place.STRONG)
    add("code tt kbd samp", _I, place=Place.CODE)
    add("i em u s small big font span q cite sub sup time abbr label strike nobr mark del ins var dfn bdi bdo", _I)
    add("ruby rb acronym data output blink", _I)
    add("rt rp", _I, place=Place.SKIPPED)
    add("button", _B, _LINE, place=Place.BUTTON)
    add("svg math", _I | Kind.FOREIGN, place=Place.SKIPPED)
    skipped = "noscript select datalist template object applet canvas audio video frameset"
    add(skipped, _I, place=Place.SKIPPED)
    add("br", Kind.VOID, _LINE)
    add("hr", Kind.VOID, _PARAGRAPH, ends=flow)
    add("img input", Kind.VOID)
    add("area base col embed link meta param source track wbr basefont bgsound keygen command", Kind.VOID)
    add("script style textarea xmp iframe noembed noframes title", Kind.RAW)
    return table


_ELEMENTS = _elements()
NUMBERS = {name: number for number, name in enumerate(_ELEMENTS.names) if name}
KIND = frozen(np.array(_ELEMENTS.kind, np.uint8))
BREAK = frozen(np.array(_ELEMENTS.breaks, np.uint8))
GROUP = frozen(np.array(_ELEMENTS.group, np.int32))
ENDS = frozen(np.array(_ELEMENTS.ends, np.int32))
PLACE = frozen(np.array(_ELEMENTS.place, np.uint64))
PLACE_WITH_NOSCRIPT = frozen(np.where(np.array(_ELEMENTS.names) == "noscript", np.uint64(0), PLACE))
"""The same where what is shown without scripts is read, too."""

NAME_BITS = 10
NAME_MULTIPLIER = 0x9E3779B97F4A7C15


def as_number(name: str) -> int:
    """A name's first eight letters as a little-endian number, as the scanner reads them."""
    return int.from_bytes(name.encode()[:8], "little")


def _name_table() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Names by open addressing, and the numbers of their elements."""
    names, numbers = np.zeros(1 << NAME_BITS, np.uint64), np.zeros(1 << NAME_BITS, np.uint8)
    for name, number in NUMBERS.items():
        value = as_number(name)
        place = (value * NAME_MULTIPLIER % 2**64) >> (64 - NAME_BITS)
        while names[place] not in (0, value):
            place = (place + 1) % len(names)
        names[place], numbers[place] = value, number
    return frozen(names), frozen(numbers)


NAMES, NUMBER_OF = _name_table()


def _hint_automaton() -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    """Aho and Corasick's automaton over the hints: the next state by state and letter (26: the edge of a word), and
    the kinds of hints that end in a state."""
    rows: list[list[int]] = [[-1] * 27]
    found = [0]
    for kind, words in enumerate(HINTS):
        for word in words:
            state = 0
            for letter in word:
                symbol = ord(letter) - 97 if "a" <= letter <= "z" else 26
                if rows[state][symbol] < 0:
                    rows[state][symbol] = len(rows)
                    rows.append([-1] * 27)
                    found.append(0)
                state = rows[state][symbol]
            found[state] |= 1 << kind
    fallback = [0] * len(rows)
    queue = [0]
    for state in queue:
        for symbol in range(27):
            after, other = rows[state][symbol], rows[fallback[state]][symbol] if state else -1
            if after < 0:
                rows[state][symbol] = max(0, other)
            else:
                fallback[after] = max(0, other) if state else 0
                found[after] |= found[fallback[after]]
                queue.append(after)
    return frozen(np.array(rows, np.int16)), frozen(np.array(found, np.uint32))


HINT_STEPS, HINT_FOUND = _hint_automaton()

REFERENCE_BITS = 13
REFERENCE_LETTERS = 32
"""No name is longer."""


def _reference_table() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Named character references by their names' hash (FNV-1a, 64 bits): the UTF-8 of each as a little-endian number,
    with its length in the highest byte. Names without their semicolon stand there as such."""
    keys, values = np.zeros(1 << REFERENCE_BITS, np.uint64), np.zeros(1 << REFERENCE_BITS, np.uint64)
    for name, text in html.entities.html5.items():
        value = 0xCBF29CE484222325
        for byte in name.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
        place = value >> (64 - REFERENCE_BITS)
        while keys[place]:
            place = (place + 1) % len(keys)
        encoded = text.encode()
        keys[place], values[place] = value, int.from_bytes(encoded, "little") | len(encoded) << 56
    return frozen(keys), frozen(values)


REFERENCES, REFERENCE_TEXTS = _reference_table()

WINDOWS_1252 = frozen(np.array([ord(bytes([code]).decode("cp1252", "replace")) for code in range(128, 160)], np.uint32))
"""What the numbers 128 to 159 mean as character references."""
