"""A page's pieces of text and the elements that they stand in, by one pass over its bytes.

A **piece** is text between two block boundaries, line breaks included. White space is collapsed as browsers do, save
in preformatted text; character references are decoded, and soft hyphens left out. The text of scripts, styles,
drop-down lists and the like is left out. A **node** is an element that begins a block.

Differs from the HTML standard's tree construction: text that a table may not hold stays where it stands (no foster
parenting), formatting elements are not opened again after a block that closed them, an element deeper than
`DEPTH` has no node. The order of the text is that of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import int32, int64, uint8, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, kernel
from corpusmill.pipeline.content import elements
from corpusmill.pipeline.content.elements import Break, Group, Kind, Place

DEPTH = 4096
"""Elements that may be open at once; what is opened beyond is text without structure."""


class Piece(IntEnum):
    """The columns of `Scan.pieces`."""

    START = 0
    END = 1
    NODE = 2
    BREAK = 3
    LINK_BYTES = 4
    LINKS = 5
    STRONG_BYTES = 6
    IMAGES = 7
    """Pictures since the piece before."""
    TAGS = 8
    """Tags since the piece before began."""
    POSITION = 9
    """The byte of the page at which it begins."""
    ITEM = 10
    """Whether it is the first of a list item."""


class Node(IntEnum):
    """The columns of `Scan.nodes`."""

    PARENT = 0
    ELEMENT = 1
    DEPTH = 2
    HINTS = 3
    SIGNATURE = 4
    """A hash of its name and its class, digits apart."""


PIECE_COLUMNS, NODE_COLUMNS = len(Piece), len(Node)

_START, _END, _NODE, _BREAK, _LINK_BYTES, _LINKS = range(6)
_STRONG_BYTES, _IMAGES, _TAGS, _POSITION, _ITEM = range(6, 11)
_PARENT, _ELEMENT, _DEPTH, _HINTS, _SIGNATURE = range(5)

_LINK, _SKIPPED, _PREFORMATTED, _STRONG = (
    np.uint64(place) for place in (Place.LINK, Place.SKIPPED, Place.PREFORMATTED, Place.STRONG)
)
_HIDDEN = np.uint64(Place.HIDDEN)
_INLINE, _VOID, _RAW, _FOREIGN = int(Kind.INLINE), int(Kind.VOID), int(Kind.RAW), int(Kind.FOREIGN)
_BELOW_CELLS = int(Kind.INLINE | Kind.LOOSE | Kind.BLOCK)
_BELOW_TABLES = int(_BELOW_CELLS | Kind.CELL)
_ANYTHING = int(_BELOW_TABLES | Kind.TABLE)
_IN_ITEM = int(Kind.INLINE | Kind.LOOSE)
_GROUPS = len(Group)
_ITEM_GROUPS = int(Group.ITEM | Group.TERM)
_TABLE_GROUPS = int(Group.ROW | Group.CELL | Group.ROWS)
_PARAGRAPH, _LINE = int(Break.PARAGRAPH), int(Break.LINE)
_HINT_SHIFT = elements.HINT_SHIFT
_HIDDEN_HINT = 1 << elements.HIDDEN_HINT
_A, _P, _BR, _LI, _BODY, _HTML, _IMG, _INPUT, _TITLE, _RT, _RP = (
    elements.NUMBERS[name] for name in ("a", "p", "br", "li", "body", "html", "img", "input", "title", "rt", "rp")
)
_NAME_SHIFT, _NAME_MULTIPLIER = 64 - elements.NAME_BITS, elements.NAME_MULTIPLIER
_NAME_MASK = (1 << elements.NAME_BITS) - 1
_REFERENCE_SHIFT, _REFERENCE_MASK = 64 - elements.REFERENCE_BITS, (1 << elements.REFERENCE_BITS) - 1
_LETTERS = elements.REFERENCE_LETTERS
_CLASS, _ID, _ROLE, _STYLE, _HREF, _HIDDEN_ATTRIBUTE, _ARIA_HIDDEN, _ITEMPROP = (
    elements.as_number(name) for name in ("class", "id", "role", "style", "href", "hidden", "aria-hidden", "itemprop")
)
_FNV, _FNV_START = 0x100000001B3, 0xCBF29CE484222325


@dataclass(frozen=True, slots=True)
class Scan:
    """What stands on a page."""

    text: NDArray[np.uint8]
    """UTF-8; the pieces one behind the other."""
    pieces: NDArray[np.int32]
    """A row for each piece; `Piece` names the columns."""
    places: NDArray[np.uint64]
    """Where each piece stands: `Place`, and the hints of all elements around it."""
    nodes: NDArray[np.int32]
    """A row for each element that begins a block, parents first; `Node` names the columns. Row 0 is the page."""
    title: tuple[int, int]
    """The bytes of the page between the title's tags."""


def scan(html: bytes, *, noscript: bool = False) -> Scan:
    """The pieces and nodes of a page in UTF-8, if wished with what `<noscript>` holds."""
    tags = html.count(b"<") + 2
    text = np.empty(len(html) + len(html) // 2 + 64, np.uint8)
    pieces = np.empty((tags, PIECE_COLUMNS), np.int32)
    places = np.empty(tags, np.uint64)
    nodes = np.empty((tags, NODE_COLUMNS), np.int32)
    size, piece_count, node_count, title_start, title_end = _scan(
        frozen(np.frombuffer(html, np.uint8)),
        elements.NAMES,
        elements.NUMBER_OF,
        elements.KIND,
        elements.BREAK,
        elements.GROUP,
        elements.ENDS,
        elements.PLACE_WITH_NOSCRIPT if noscript else elements.PLACE,
        elements.HINT_STEPS,
        elements.HINT_FOUND,
        elements.REFERENCES,
        elements.REFERENCE_TEXTS,
        elements.WINDOWS_1252,
        text,
        pieces,
        places,
        nodes,
    )
    return Scan(
        frozen(text[:size]),
        frozen(pieces[:piece_count]),
        frozen(places[:piece_count]),
        frozen(nodes[:node_count]),
        (title_start, title_end),
    )


def decoded_references(text: bytes) -> str:
    """A text whose character references are decoded and whose white space is collapsed, such as a title.

    >>> decoded_references(b" A &amp;  B ")
    'A & B'
    """
    out = np.empty(len(text) + len(text) // 2 + 64, np.uint8)
    size = _plain(
        frozen(np.frombuffer(text, np.uint8)),
        elements.REFERENCES,
        elements.REFERENCE_TEXTS,
        elements.WINDOWS_1252,
        out,
    )
    return out[:size].tobytes().decode("utf-8", "replace")


@kernel
def _is_letter(symbol: int) -> bool:
    return 97 <= (symbol | 32) <= 122


@kernel
def _write_code(code: int, out: NDArray[np.uint8], size: int) -> int:
    """Writes a code point as UTF-8 behind `size`."""
    if code < 0x80:
        out[size] = code
        return size + 1
    if code < 0x800:
        out[size] = 0xC0 | code >> 6
        out[size + 1] = 0x80 | code & 63
        return size + 2
    if code < 0x10000:
        out[size] = 0xE0 | code >> 12
        out[size + 1] = 0x80 | code >> 6 & 63
        out[size + 2] = 0x80 | code & 63
        return size + 3
    out[size] = 0xF0 | code >> 18
    out[size + 1] = 0x80 | code >> 12 & 63
    out[size + 2] = 0x80 | code >> 6 & 63
    out[size + 3] = 0x80 | code & 63
    return size + 4


@kernel
def _reference(
    html: NDArray[np.uint8],
    at: int,
    end: int,
    references: NDArray[np.uint64],
    texts: NDArray[np.uint64],
    windows: NDArray[np.uint32],
    out: NDArray[np.uint8],
    size: int,
) -> tuple[int, int]:
    """Writes what the character reference at `at` (its ampersand) means behind `size`.

    Returns where it ends, and the new size; `at` itself where there is no reference.
    """
    place = at + 1
    if place < end and html[place] == 35:  # a number
        place += 1
        base = 10
        if place < end and (html[place] | 32) == 120:
            base = 16
            place += 1
        code = 0
        digits = 0
        while place < end:
            symbol = int64(html[place])
            if 48 <= symbol <= 57:
                digit = symbol - 48
            elif base == 16 and 97 <= (symbol | 32) <= 102:
                digit = (symbol | 32) - 87
            else:
                break
            code = min(code * base + digit, 0x110000)
            digits += 1
            place += 1
        if digits == 0:
            return at, size
        if place < end and html[place] == 59:
            place += 1
        if 128 <= code < 160:
            code = int64(windows[code - 128])
        if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            code = 0xFFFD
        return place, _write_code(code, out, size)
    value = uint64(_FNV_START)
    found = -1
    found_end = at
    while place < end and place - at <= _LETTERS:
        symbol = int64(html[place])
        if not (_is_letter(symbol) or 48 <= symbol <= 57 or symbol == 59):
            break
        value = (value ^ uint64(symbol)) * uint64(_FNV)
        place += 1
        slot = int64(value >> uint64(_REFERENCE_SHIFT))
        while references[slot] != 0 and references[slot] != value:
            slot = (slot + 1) & _REFERENCE_MASK
        if references[slot] == value:
            found = slot
            found_end = place
        if symbol == 59:
            break
    if found < 0:
        return at, size
    packed = texts[found]
    for _ in range(int64(packed >> uint64(56))):
        out[size] = uint8(packed & uint64(255))
        packed >>= uint64(8)
        size += 1
    return found_end, size


@kernel
def _is_soft_hyphen(html: NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether U+00AD stands at `at` between two letters.

    Behind signs that begin garbled UTF-8 (`Ã` and U+00AD for `í`) it is half of a letter, which a stage may mend.
    """
    if at < 2 or at + 2 >= end or html[at + 1] != 0xAD:
        return False
    lead, last, after = html[at - 2], html[at - 1], html[at + 2]
    garbled = (lead == 0xC3 and last < 0xA0) or lead == 0xC2 or (at > 2 and html[at - 3] == 0xE2)
    return (last < 0x80 or not garbled) and (after < 0x80 or 0xC3 <= after < 0xE0)


@kernel
def _is_space(html: NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether U+00A0 stands at `at`, and not right behind `Â` or `Ã`: there it is half of a garbled `à` or space."""
    if at + 1 >= end or html[at + 1] != 0xA0:
        return False
    return at < 2 or html[at - 2] != 0xC3 or not 0x82 <= html[at - 1] <= 0x83


@kernel
def _run(
    html: NDArray[np.uint8],
    at: int,
    end: int,
    preformatted: bool,
    references: NDArray[np.uint64],
    texts: NDArray[np.uint64],
    windows: NDArray[np.uint32],
    out: NDArray[np.uint8],
    start: int,
    size: int,
    pending: bool,
) -> tuple[int, bool]:
    """Writes the text between two tags behind `size`, in a piece that begins at `start`.

    `pending` says that white space came last, which is written before the next letter. Returns the new size and it.
    """
    while at < end:
        symbol = html[at]
        if symbol <= 32 or (symbol == 0xC2 and _is_space(html, at, end)):
            step = 1 if symbol <= 32 else 2
            if preformatted and (symbol == 9 or symbol == 10 or symbol == 32 or step == 2):
                if size > start or symbol != 10:  # an empty first line is none
                    out[size] = symbol if step == 1 else 32
                    size += 1
            else:
                pending = True
            at += step
            continue
        if symbol == 0xC2 and not preformatted and _is_soft_hyphen(html, at, end):
            at += 2
            continue
        if pending:
            if size > start:
                out[size] = 32
                size += 1
            pending = False
        if symbol == 38:
            before = size
            after, size = _reference(html, at, end, references, texts, windows, out, size)
            if after > at:
                at = after
                first = out[before]
                if size == before + 2 and first == 0xC2 and out[before + 1] == 0xAD and not preformatted:
                    size = before
                    continue
                blank = size == before + 1 and first <= 32
                if blank or (size == before + 2 and first == 0xC2 and out[before + 1] == 0xA0):
                    size = before
                    if preformatted:
                        out[size] = first if first == 10 or first == 9 else 32
                        size += 1
                    else:
                        if size > start and out[size - 1] == 32:
                            size -= 1
                        pending = True
                continue
        out[size] = symbol
        size += 1
        at += 1
    return size, pending


@kernel
def _plain(
    html: NDArray[np.uint8],
    references: NDArray[np.uint64],
    texts: NDArray[np.uint64],
    windows: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> int:
    size, _ = _run(html, 0, len(html), False, references, texts, windows, out, 0, 0, False)
    return size


@kernel
def _name(html: NDArray[np.uint8], at: int, limit: int) -> tuple[np.uint64, int]:
    """The name at `at`, of letters, digits, hyphens and colons, as a number of its first eight; and where it ends."""
    name = uint64(0)
    letters = 0
    while at < limit:
        symbol = uint64(html[at])
        if 65 <= symbol <= 90:
            symbol |= uint64(32)
        if symbol <= 32 or symbol == 47 or symbol == 62 or symbol == 61:
            break
        if letters < 8:
            name |= symbol << uint64(8 * letters)
        letters += 1
        at += 1
    return name, at


@kernel
def _hints(
    html: NDArray[np.uint8], at: int, end: int, steps: NDArray[np.int16], found: NDArray[np.uint32]
) -> tuple[int, np.uint64]:
    """The kinds of hints in a value, and a hash of its letters."""
    state = int64(steps[0, 26])
    hints = int64(found[state])
    edge = True
    value = uint64(_FNV_START)
    for place in range(at, end):
        letter = int64(html[place] | 32) - 97
        if 0 <= letter < 26:
            state = int64(steps[state, letter])
            value = (value ^ uint64(letter)) * uint64(_FNV)
            edge = False
        elif not edge:
            state = int64(steps[state, 26])
            edge = True
        hints |= int64(found[state])
    if not edge:
        hints |= int64(found[int64(steps[state, 26])])
    return hints, value


@kernel
def _attributes(
    html: NDArray[np.uint8], at: int, closing: bool, steps: NDArray[np.int16], found: NDArray[np.uint32]
) -> tuple[int, int, np.uint64, bool, bool, bool]:
    """Reads a tag from the end of its name to its end.

    Returns the place of its `>`, the kinds of hints, a hash of the class, whether there is an address, whether it is
    hidden, and whether it ends in a slash. An end tag's attributes are passed over.
    """
    size = len(html)
    hints = 0
    signature = uint64(0)
    href = False
    hidden = False
    slash = False
    while at < size and html[at] != 62:
        symbol = html[at]
        if symbol <= 32 or symbol == 47:
            slash = symbol == 47
            at += 1
            continue
        slash = False
        attribute, at = _name(html, at + (symbol == 61), size)
        while at < size and html[at] <= 32:
            at += 1
        if at >= size or html[at] != 61:
            hidden |= attribute == uint64(_HIDDEN_ATTRIBUTE)
            continue
        at += 1
        while at < size and html[at] <= 32:
            at += 1
        value = at
        if at < size and (html[at] == 34 or html[at] == 39):
            quote = html[at]
            at += 1
            value = at
            while at < size and html[at] != quote:
                at += 1
            value_end = at
            at += 1
        else:
            while at < size and html[at] > 32 and html[at] != 62:
                at += 1
            value_end = at
        if closing:
            continue
        if attribute == uint64(_CLASS):
            more, signature = _hints(html, value, value_end, steps, found)
            hints |= more
        elif attribute == uint64(_ID) or attribute == uint64(_ROLE) or attribute == uint64(_ITEMPROP):
            more, _ = _hints(html, value, value_end, steps, found)
            hints |= more
        elif attribute == uint64(_STYLE):
            more, _ = _hints(html, value, value_end, steps, found)
            hidden |= (more & _HIDDEN_HINT) != 0
        elif attribute == uint64(_ARIA_HIDDEN):
            hidden |= value < value_end and (html[value] | 32) == 116
        elif attribute == uint64(_HREF):
            href = True
        elif attribute == uint64(_HIDDEN_ATTRIBUTE):
            hidden = True
    return at, hints, signature, href, hidden, slash


@kernel
def _after_comment(html: NDArray[np.uint8], at: int) -> int:
    """Where what begins with `<!`, `<?` or `</` and is no tag ends, from behind that sign."""
    size = len(html)
    if html[at] == 33 and at + 2 < size and html[at + 1] == 45 and html[at + 2] == 45:
        at += 3
        while at < size and not (html[at] == 62 and html[at - 1] == 45 and html[at - 2] == 45):
            at += 1
    else:
        while at < size and html[at] != 62:
            at += 1
    return at + 1


@kernel
def _end_of_raw(html: NDArray[np.uint8], at: int, name: np.uint64) -> int:
    """Where the end tag of a script or the like begins, whose content begins at `at`; the page's end if it has none."""
    size = len(html)
    while at < size:
        if html[at] == 60 and at + 2 < size and html[at + 1] == 47 and _is_letter(int64(html[at + 2])):
            ended, _ = _name(html, at + 2, min(size, at + 12))
            if ended == name:
                break
        at += 1
    return at


@kernel
def _open_place(
    open_elements: NDArray[np.uint8],
    top: int,
    group: NDArray[np.int32],
    kind: NDArray[np.uint8],
    target: int,
    element: int,
    passed: int,
) -> int:
    """The place in the stack of the innermost open element of a group, or of this number; -1 where an element that may
    not be passed stands before."""
    for place in range(top, 0, -1):
        other = open_elements[place]
        if (target != 0 and group[other] & target) or (target == 0 and other == element):
            return place
        if not kind[other] & passed:
            return -1
    return -1


@kernel
def _scan(
    html: NDArray[np.uint8],
    names: NDArray[np.uint64],
    number_of: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    break_of: NDArray[np.uint8],
    group: NDArray[np.int32],
    ends: NDArray[np.int32],
    place_of: NDArray[np.uint64],
    hint_steps: NDArray[np.int16],
    hint_found: NDArray[np.uint32],
    references: NDArray[np.uint64],
    texts: NDArray[np.uint64],
    windows: NDArray[np.uint32],
    text: NDArray[np.uint8],
    pieces: NDArray[np.int32],
    places: NDArray[np.uint64],
    nodes: NDArray[np.int32],
) -> tuple[int, int, int, int, int]:
    size = len(html)
    open_elements = np.zeros(DEPTH, np.uint8)
    open_places = np.zeros(DEPTH, np.uint64)
    open_nodes = np.zeros(DEPTH, np.int32)
    open_count = np.zeros(256, np.int32)
    open_groups = np.zeros(16, np.int32)
    top = 0
    nodes[0, :] = 0
    nodes[0, _PARENT] = -1
    node_count = 1
    piece_count = 0
    out = start = 0
    pending = False
    broken = _PARAGRAPH
    began = False
    links = link_bytes = strong_bytes = images = tags = 0
    item = False
    piece_item = False
    title_start = title_end = 0
    at = 0
    while at < size:
        # Text up to the next tag.
        run = at
        while at < size:
            if html[at] == 60 and at + 1 < size:
                after = html[at + 1]
                if _is_letter(int64(after)) or after == 47 or after == 33 or after == 63:
                    break
            at += 1
        here = open_places[top]
        if at > run and not here & _SKIPPED:
            before = out
            out, pending = _run(
                html, run, at, here & _PREFORMATTED != 0, references, texts, windows, text, start, out, pending
            )
            if out > before:
                if not began:
                    began = True
                    piece_item = item
                    item = False
                    places[piece_count] = here
                    pieces[piece_count, _NODE] = open_nodes[top]
                    pieces[piece_count, _POSITION] = run
                    pieces[piece_count, _BREAK] = broken
                    pieces[piece_count, _TAGS] = tags
                    tags = 0
                if here & _LINK:
                    link_bytes += out - before
                if here & _STRONG:
                    strong_bytes += out - before
        if at >= size:
            break
        # A tag, a comment, or what is neither.
        at += 1
        closing = html[at] == 47
        at += closing
        if at >= size:
            break
        if not _is_letter(int64(html[at])):
            at = _after_comment(html, at)
            continue
        name, at = _name(html, at, size)
        slot = int64((name * uint64(_NAME_MULTIPLIER)) >> uint64(_NAME_SHIFT))
        while names[slot] != 0 and names[slot] != name:
            slot = (slot + 1) & _NAME_MASK
        element = int64(number_of[slot])
        tags += 1
        at, hints, signature, href, hidden, slash = _attributes(html, at, closing, hint_steps, hint_found)
        at += 1
        breaks = int64(break_of[element])
        if kind[element] & _RAW:
            if closing:
                continue
            content = at
            at = _end_of_raw(html, at, name)
            if element == _TITLE and title_end == 0:
                title_start = content
                title_end = at
            while at < size and html[at] != 62:
                at += 1
            at += 1
            continue
        if element == _HTML or (element == _BODY and closing):
            continue
        if closing and element in (_BR, _P) and open_count[element] == 0:
            closing = False
        into = top
        if closing:
            if open_count[element] == 0:
                continue
            if kind[element] & _INLINE:
                passed = _INLINE
            elif group[element] & _TABLE_GROUPS:
                passed = _BELOW_TABLES
            elif kind[element] & _BELOW_CELLS:
                passed = _BELOW_CELLS
            else:
                passed = _ANYTHING
            found = _open_place(open_elements, top, group, kind, 0, element, passed)
            if found > 0:
                into = found - 1
            elif not kind[element] & _INLINE:
                continue
        elif ends[element]:
            wanted = ends[element]
            for bit in range(_GROUPS):
                if wanted & (1 << bit) and open_groups[bit] > 0:
                    if (1 << bit) & _ITEM_GROUPS:
                        passed = _IN_ITEM
                    elif (1 << bit) & _TABLE_GROUPS:
                        passed = _BELOW_TABLES
                    else:
                        passed = _INLINE
                    found = _open_place(open_elements, into, group, kind, 1 << bit, 0, passed)
                    if found > 0:
                        into = found - 1
        # Close what ends here.
        for place in range(top, into, -1):
            other = open_elements[place]
            open_count[other] -= 1
            for bit in range(_GROUPS):
                if group[other] & (1 << bit):
                    open_groups[bit] -= 1
            breaks = max(breaks, int64(break_of[other]))
        top = into
        if breaks > 0:
            if began and out > start:
                while out > start and text[out - 1] <= 32:
                    out -= 1
            if began and out > start:
                pieces[piece_count, _START] = start
                pieces[piece_count, _END] = out
                pieces[piece_count, _LINK_BYTES] = link_bytes
                pieces[piece_count, _LINKS] = links
                pieces[piece_count, _STRONG_BYTES] = strong_bytes
                pieces[piece_count, _IMAGES] = images
                pieces[piece_count, _ITEM] = piece_item
                piece_count += 1
                broken = 0
                links = link_bytes = strong_bytes = images = 0
            if element == _BR and broken >= _LINE:
                breaks = _PARAGRAPH
            broken = max(broken, breaks)
            start = out
            began = False
            pending = False
        if closing or kind[element] & _VOID:
            if element in (_IMG, _INPUT):
                images += element == _IMG
                pending = True
            continue
        if place_of[element] & _SKIPPED and element != _RT and element != _RP:
            pending = True
        here = open_places[top]
        if slash and (kind[element] & _FOREIGN or here & _SKIPPED):
            continue
        if top + 1 >= DEPTH:
            continue
        parent = open_nodes[top]
        here |= place_of[element]
        if element == _A and href:
            here |= _LINK
            links += 1
        if element == _BODY:
            hints = 0
        if hidden:
            here |= _HIDDEN
        here |= uint64(hints) << uint64(_HINT_SHIFT)
        top += 1
        open_elements[top] = element
        open_places[top] = here
        open_count[element] += 1
        for bit in range(_GROUPS):
            if group[element] & (1 << bit):
                open_groups[bit] += 1
        if element == _LI:
            item = True
        if kind[element] & _INLINE:
            open_nodes[top] = parent
            continue
        nodes[node_count, _PARENT] = parent
        nodes[node_count, _ELEMENT] = element
        nodes[node_count, _DEPTH] = nodes[parent, _DEPTH] + 1
        nodes[node_count, _HINTS] = hints
        mixed = (signature + uint64(element)) * uint64(_NAME_MULTIPLIER)
        nodes[node_count, _SIGNATURE] = int32(mixed >> uint64(33))
        open_nodes[top] = node_count
        node_count += 1
    while out > start and text[out - 1] <= 32:
        out -= 1
    if began and out > start:
        pieces[piece_count, _START] = start
        pieces[piece_count, _END] = out
        pieces[piece_count, _LINK_BYTES] = link_bytes
        pieces[piece_count, _LINKS] = links
        pieces[piece_count, _STRONG_BYTES] = strong_bytes
        pieces[piece_count, _IMAGES] = images
        pieces[piece_count, _ITEM] = piece_item
        piece_count += 1
    return out, piece_count, node_count, title_start, title_end
