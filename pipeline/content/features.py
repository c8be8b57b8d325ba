"""What the classifier knows of each piece of text: its words, its element and class names, its ancestors' and its
neighbours' text, its place on the page.

Text and link density and the neighbours' are Kohlschütter et al. 2010 ("Boilerplate Detection using Shallow Text
Features"), weights of ancestors Readability's. Lengths are in *units*: a code point is one, an ideograph, kana or
Hangul syllable three, so that an alphabet and a syllabary measure about the same.
"""

from __future__ import annotations

import math

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, kernel
from corpusmill.pipeline.content.elements import HINT_SHIFT, HINTS, NUMBERS, Place
from corpusmill.pipeline.content.scan import Node, Piece, Scan

WORD_BITS = 14
"""How many bits of a word's hash a lexicon goes by."""
_ANCESTORS = 4
_NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
_SHARES = (0.5, 0.7, 0.9)
_OF_PLACE = 22
_OF_HINTS = len(HINTS)

_OWN = (
    "log_units",
    "words",
    "word_length",
    "link_share",
    "links",
    "strong_share",
    "digit_share",
    "upper_share",
    "comma_share",
    "symbol_share",
    "ends_sentence",
    "ends_colon",
    "begins_upper",
    "stops",
    "is_prose",
    "same_text",
    "title_share",
    "break",
    "images",
    "tags",
    "is_item",
    "element",
    "heading_level",
    "depth",
    "position",
    "text_before",
    "prose_before",
    "log_prose_after",
    "since_prose",
    "until_prose",
    "since_heading",
    "log_group",
    "group_mean",
    "group_links",
    "group_prose",
    "page_pieces",
    "page_units",
    "page_links",
    "page_prose",
    "is_cjk",
    "lexical_mean",
    "lexical_lowest",
    "lexical_first",
    "lexical_last",
)
_OF_ANCESTOR = ("log_units", "link_share", "prose_share", "mean_units", "own_share", "from_start")
_OF_NEIGHBOUR = ("log_units", "link_share", "is_prose", "near", "ends_sentence")
_INSIDE = ("inside", "levels")

NAMES = (
    *_OWN,
    *(f"place_{bit}" for bit in range(_OF_PLACE)),
    *(f"own_hint_{bit}" for bit in range(_OF_HINTS)),
    *(f"hint_{bit}" for bit in range(_OF_HINTS)),
    *(f"ancestor_{level}_{name}" for level in range(_ANCESTORS) for name in _OF_ANCESTOR),
    *(f"neighbour_{offset}_{name}" for offset in _NEIGHBOURS for name in _OF_NEIGHBOUR),
    *(f"core_{share}_{name}" for share in _SHARES for name in _INSIDE),
)
"""The columns of `features`, in order."""

_START, _END, _NODE, _BREAK = int(Piece.START), int(Piece.END), int(Piece.NODE), int(Piece.BREAK)
_LINK_BYTES, _LINKS, _STRONG_BYTES = int(Piece.LINK_BYTES), int(Piece.LINKS), int(Piece.STRONG_BYTES)
_IMAGES, _TAGS, _ITEM = int(Piece.IMAGES), int(Piece.TAGS), int(Piece.ITEM)
_PARENT, _ELEMENT, _DEPTH = int(Node.PARENT), int(Node.ELEMENT), int(Node.DEPTH)
_HINTS, _SIGNATURE = int(Node.HINTS), int(Node.SIGNATURE)
_HEADING = int(Place.HEADING)
_H1 = NUMBERS["h1"]
_PLACE_FROM = len(_OWN)
_OWN_HINTS_FROM = _PLACE_FROM + _OF_PLACE
_HINTS_FROM = _OWN_HINTS_FROM + _OF_HINTS
_ANCESTORS_FROM = _HINTS_FROM + _OF_HINTS
_NEIGHBOURS_FROM = _ANCESTORS_FROM + _ANCESTORS * len(_OF_ANCESTOR)
_CORE_FROM = _NEIGHBOURS_FROM + len(_NEIGHBOURS) * len(_OF_NEIGHBOUR)
_PROSE_UNITS = 50
_FNV, _FNV_START = 0x100000001B3, 0xCBF29CE484222325

_UNITS, _WORDS, _DIGITS, _UPPERS, _COMMAS, _SYMBOLS, _STOPS, _ENDS, _COLON, _BEGINS, _WIDE, _TITLE, _HASH = range(13)


def features(page: Scan, title: str, lexicon: NDArray[np.float32]) -> NDArray[np.float32]:
    """A row for each piece; `NAMES` names the columns.

    Args:
        page: what stands on the page.
        title: the page's title.
        lexicon: by `WORD_BITS` of a word's hash, how much the word speaks for main content (log-odds).
    """
    out = np.zeros((len(page.pieces), len(NAMES)), np.float32)
    _features(
        page.text,
        page.pieces,
        page.places,
        page.nodes,
        frozen(np.frombuffer(title.encode(), np.uint8)),
        lexicon,
        np.empty(len(page.text) + 1, np.uint16),
        np.zeros(len(page.pieces) + 1, np.int32),
        out,
    )
    return out


def words(page: Scan) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """The words of all pieces as places in a lexicon, and where each piece's begin (one more than there are pieces)."""
    found, starts = np.empty(len(page.text) + 1, np.uint16), np.zeros(len(page.pieces) + 1, np.int32)
    out = np.zeros((len(page.pieces), len(NAMES)), np.float32)
    lexicon = frozen(np.zeros(1 << WORD_BITS, np.float32))
    empty = frozen(np.zeros(0, np.uint8))
    _features(page.text, page.pieces, page.places, page.nodes, empty, lexicon, found, starts, out)
    return found[: starts[-1]], starts


@kernel
def _log(value: float) -> float:
    return math.log(1.0 + max(value, 0.0))


@kernel
def _letter(text: NDArray[np.uint8], at: int) -> bool:
    """Whether a byte belongs to a word: ASCII letters and digits, and all beyond ASCII but general punctuation."""
    symbol = text[at]
    return (97 <= (symbol | 32) <= 122) or (48 <= symbol <= 57) or symbol >= 0x80


@kernel
def _words_of_title(title: NDArray[np.uint8], table: NDArray[np.uint64]) -> int:
    """Fills a table of the title's words' hashes; returns how many there are."""
    count = 0
    at = 0
    mask = uint64(len(table) - 1)
    while at < len(title) and 2 * count < len(table):
        if not _letter(title, at):
            at += 1
            continue
        value = uint64(_FNV_START)
        lead = title[at]
        begin = at
        while at < len(title) and _letter(title, at):
            if at > begin and (title[at] & 0xC0) != 0x80 and (0xE3 <= lead <= 0xED or 0xE3 <= title[at] <= 0xED):
                break
            value = (value ^ uint64(title[at] | 32)) * uint64(_FNV)
            at += 1
        slot = (value >> uint64(32)) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + uint64(1)) & mask
        table[slot] = value
        count += 1
    return count


@kernel
def _count(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    titles: NDArray[np.uint64],
    found: NDArray[np.uint16],
    first_word: int,
    out: NDArray[np.float64],
) -> int:
    """Counts of one piece, and a hash of its letters. Writes its words' places in the lexicon from `first_word` on, and
    returns the place behind the last."""
    units = words = digits = uppers = commas = symbols = stops = wide = known = 0
    whole = uint64(_FNV_START)
    value = uint64(_FNV_START)
    in_word = alone = False
    mask = uint64(len(titles) - 1)
    first = 0
    last = last_but_one = 0
    at = start
    while at < end:
        symbol = int64(text[at])
        if symbol < 0x80:
            code, step = symbol, 1
        elif symbol < 0xE0:
            code, step = symbol, 2
        elif symbol < 0xF0:
            code = ((symbol & 15) << 12) | ((int64(text[at + 1]) & 63) << 6) | (int64(text[at + 2]) & 63)
            step = 3
        else:
            code, step = 0x1F000, 4
        broad = step == 3 and 0x2E80 <= code < 0xD7B0 and not 0x3000 <= code <= 0x303F
        general = step == 3 and (0x2000 <= code < 0x2070 or 0x3000 <= code <= 0x303F or 0xFF00 <= code < 0xFF20)
        word = broad or (step > 1 and not general) or 97 <= (symbol | 32) <= 122 or 48 <= symbol <= 57
        if in_word and (not word or broad or alone):
            slot = (value >> uint64(32)) & mask
            while titles[slot] != 0 and titles[slot] != value:
                slot = (slot + uint64(1)) & mask
            known += titles[slot] == value
            found[first_word] = value >> uint64(64 - WORD_BITS)
            first_word += 1
            in_word = False
        alone = broad
        units += 3 if broad else 1
        wide += broad
        if word:
            if not in_word:
                words += 1
                in_word = True
                value = uint64(_FNV_START)
            for place in range(at, at + step):
                value = (value ^ uint64(text[place] | 32)) * uint64(_FNV)
            if step == 1:
                digits += symbol <= 57
                uppers += 65 <= symbol <= 90
            elif step == 2:
                uppers += symbol == 0xCE or (symbol == 0xD0 and 0x90 <= text[at + 1] < 0xB0)
        elif symbol != 32:
            comma = symbol == 44 or code == 0x3001 or code == 0xFF0C
            stop = symbol == 46 or symbol == 33 or symbol == 63 or code == 0x3002 or code == 0xFF01 or code == 0xFF1F
            commas += comma
            stops += stop or code == 0x2026
            symbols += not (comma or stop)
        whole = (whole ^ uint64(symbol | 32)) * uint64(_FNV)
        if first == 0:
            first = code
        if code != 32:
            last_but_one = last
            last = code
        at += step
    if in_word:
        slot = (value >> uint64(32)) & mask
        while titles[slot] != 0 and titles[slot] != value:
            slot = (slot + uint64(1)) & mask
        known += titles[slot] == value
        found[first_word] = value >> uint64(64 - WORD_BITS)
        first_word += 1
    if last == 34 or last == 39 or last == 41 or last == 0x201D or last == 0x2019 or last == 0xBB or last == 0x300D:
        last = last_but_one if last_but_one < 48 or last_but_one > 122 else last
    ends = last == 46 or last == 33 or last == 63 or last == 0x2026 or last == 0x3002 or last == 0xFF01
    out[_UNITS] = units
    out[_WORDS] = words
    out[_DIGITS] = digits
    out[_UPPERS] = uppers
    out[_COMMAS] = commas
    out[_SYMBOLS] = symbols
    out[_STOPS] = stops
    out[_ENDS] = ends or last == 0xFF1F
    out[_COLON] = last == 58 or last == 0xFF1A
    out[_BEGINS] = 65 <= first <= 90 or first == 0xCE or first == 0xD0
    out[_WIDE] = wide
    out[_TITLE] = known
    out[_HASH] = float(int64(whole >> uint64(12)))
    return first_word


@kernel
def _features(
    text: NDArray[np.uint8],
    pieces: NDArray[np.int32],
    places: NDArray[np.uint64],
    nodes: NDArray[np.int32],
    title: NDArray[np.uint8],
    lexicon: NDArray[np.float32],
    found: NDArray[np.uint16],
    starts: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    count = len(pieces)
    titles = np.zeros(256, np.uint64)
    _words_of_title(title, titles)
    counts = np.zeros((count, 13), np.float64)
    links = np.zeros(count, np.float64)
    prose = np.zeros(count, np.float64)
    node_units = np.zeros(len(nodes), np.float64)
    node_links = np.zeros(len(nodes), np.float64)
    node_prose = np.zeros(len(nodes), np.float64)
    node_pieces = np.zeros(len(nodes), np.int32)
    node_first = np.full(len(nodes), count, np.int32)
    all_units = all_links = all_prose = all_wide = 0.0
    for piece in range(count):
        start, end, node = pieces[piece, _START], pieces[piece, _END], pieces[piece, _NODE]
        starts[piece + 1] = _count(text, start, end, titles, found, starts[piece], counts[piece])
        units = counts[piece, _UNITS]
        links[piece] = min(1.0, pieces[piece, _LINK_BYTES] / (end - start))
        signs = counts[piece, _COMMAS] + counts[piece, _STOPS]
        if units >= _PROSE_UNITS and links[piece] < 0.4 and signs >= 1 and not places[piece] & uint64(_HEADING):
            prose[piece] = units
        node_units[node] += units
        node_links[node] += units * links[piece]
        node_prose[node] += prose[piece]
        node_pieces[node] += 1
        node_first[node] = min(node_first[node], piece)
        all_units += units
        all_links += units * links[piece]
        all_prose += prose[piece]
        all_wide += counts[piece, _WIDE]
    own_prose = node_prose.copy()
    for node in range(len(nodes) - 1, 0, -1):
        parent = nodes[node, _PARENT]
        node_units[parent] += node_units[node]
        node_links[parent] += node_links[node]
        node_prose[parent] += node_prose[node]
        node_pieces[parent] += node_pieces[node]
        node_first[parent] = min(node_first[parent], node_first[node])
    # The innermost element with half, .7 and .9 of the page's prose.
    core = np.zeros(3, np.int32)
    for node in range(len(nodes)):
        for index in range(3):
            if node_prose[node] > 0 and node_prose[node] >= _SHARES[index] * all_prose:
                core[index] = node
    # Pieces whose elements look alike, and pieces of the same text.
    size = 16
    while size < 2 * count + 2:
        size *= 2
    slots = np.full(size, -1, np.int32)
    keys = np.zeros(size, np.int64)
    groups = np.zeros((size, 4), np.float64)
    group_of = np.zeros(count, np.int32)
    texts = np.zeros(size, np.float64)
    text_count = np.zeros(size, np.int32)
    text_of = np.zeros(count, np.int32)
    for piece in range(count):
        node = pieces[piece, _NODE]
        parent = max(0, nodes[node, _PARENT])
        key = int64(nodes[node, _SIGNATURE]) * 31 + int64(nodes[parent, _SIGNATURE])
        slot = ((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & uint64(size - 1)
        while slots[slot] >= 0 and keys[slot] != key:
            slot = (slot + uint64(1)) & uint64(size - 1)
        slots[slot] = piece
        keys[slot] = key
        group_of[piece] = slot
        units = counts[piece, _UNITS]
        groups[slot, 0] += 1
        groups[slot, 1] += units
        groups[slot, 2] += units * links[piece]
        groups[slot, 3] += prose[piece]
        value = counts[piece, _HASH] + 1
        slot = (uint64(value) >> uint64(8)) & uint64(size - 1)
        while texts[slot] != 0 and texts[slot] != value:
            slot = (slot + uint64(1)) & uint64(size - 1)
        texts[slot] = value
        text_count[slot] += 1
        text_of[piece] = slot
    before = prose_before = 0.0
    since_prose = since_heading = 0
    until = np.zeros(count, np.int32)
    far = 60
    for piece in range(count - 1, -1, -1):
        until[piece] = far
        far = 0 if prose[piece] > 0 else min(far + 1, 60)
    since_prose = since_heading = 60
    for piece in range(count):
        row = out[piece]
        start, end, node = pieces[piece, _START], pieces[piece, _END], pieces[piece, _NODE]
        units, words = counts[piece, _UNITS], max(1.0, counts[piece, _WORDS])
        place = places[piece]
        element = nodes[node, _ELEMENT]
        slot = group_of[piece]
        row[0] = _log(units)
        row[1] = _log(words)
        row[2] = units / words
        row[3] = links[piece]
        row[4] = pieces[piece, _LINKS]
        row[5] = min(1.0, pieces[piece, _STRONG_BYTES] / (end - start))
        row[6] = counts[piece, _DIGITS] / units
        row[7] = counts[piece, _UPPERS] / units
        row[8] = counts[piece, _COMMAS] / units
        row[9] = counts[piece, _SYMBOLS] / units
        row[10] = counts[piece, _ENDS]
        row[11] = counts[piece, _COLON]
        row[12] = counts[piece, _BEGINS]
        row[13] = counts[piece, _STOPS]
        row[14] = prose[piece] > 0
        row[15] = text_count[text_of[piece]]
        row[16] = counts[piece, _TITLE] / words
        row[17] = pieces[piece, _BREAK]
        row[18] = pieces[piece, _IMAGES]
        row[19] = pieces[piece, _TAGS]
        row[20] = pieces[piece, _ITEM]
        row[21] = element
        row[22] = element - _H1 + 1 if place & uint64(_HEADING) and _H1 <= element < _H1 + 6 else 0
        row[23] = nodes[node, _DEPTH]
        row[24] = piece / count
        row[25] = before / max(1.0, all_units)
        row[26] = prose_before / max(1.0, all_prose)
        row[27] = _log(all_prose - prose_before)
        row[28] = since_prose
        row[29] = until[piece]
        row[30] = since_heading
        row[31] = _log(groups[slot, 0])
        row[32] = _log(groups[slot, 1] / groups[slot, 0])
        row[33] = groups[slot, 2] / max(1.0, groups[slot, 1])
        row[34] = groups[slot, 3] / max(1.0, all_prose)
        row[35] = _log(count)
        row[36] = _log(all_units)
        row[37] = all_links / max(1.0, all_units)
        row[38] = _log(all_prose)
        row[39] = all_wide / max(1.0, all_units)
        if starts[piece + 1] > starts[piece]:
            total = lowest = 0.0
            for word in range(starts[piece], starts[piece + 1]):
                total += lexicon[found[word]]
                lowest = min(lowest, lexicon[found[word]])
            row[40] = total / (starts[piece + 1] - starts[piece])
            row[41] = lowest
            row[42] = lexicon[found[starts[piece]]]
            row[43] = lexicon[found[starts[piece + 1] - 1]]
        for bit in range(_OF_PLACE):
            row[_PLACE_FROM + bit] = (place >> uint64(bit)) & uint64(1)
        parent = max(0, nodes[node, _PARENT])
        own_hints = nodes[node, _HINTS] | nodes[parent, _HINTS]
        for bit in range(_OF_HINTS):
            row[_OWN_HINTS_FROM + bit] = (own_hints >> bit) & 1
            row[_HINTS_FROM + bit] = (place >> uint64(HINT_SHIFT + bit)) & uint64(1)
        # Ancestors, each with more text than the one before.
        ancestor = node
        seen = 0.0
        column = _ANCESTORS_FROM
        for _ in range(_ANCESTORS):
            while ancestor > 0 and node_units[ancestor] <= seen * 1.1:
                ancestor = nodes[ancestor, _PARENT]
            seen = max(1.0, node_units[ancestor])
            row[column] = _log(seen)
            row[column + 1] = node_links[ancestor] / seen
            row[column + 2] = node_prose[ancestor] / max(1.0, all_prose)
            row[column + 3] = _log(seen / max(1, node_pieces[ancestor]))
            row[column + 4] = own_prose[ancestor] / max(1.0, node_prose[ancestor])
            row[column + 5] = (piece - node_first[ancestor]) / max(1, node_pieces[ancestor])
            column += 6
        column = _NEIGHBOURS_FROM
        for offset in _NEIGHBOURS:
            other = piece + offset
            if 0 <= other < count:
                row[column] = _log(counts[other, _UNITS])
                row[column + 1] = links[other]
                row[column + 2] = prose[other] > 0
                beside = pieces[other, _NODE]
                row[column + 3] = 2 if beside == node else 1 if nodes[beside, _PARENT] == nodes[node, _PARENT] else 0
                row[column + 4] = counts[other, _ENDS]
            column += 5
        # How far above the piece the path to the page's prose branches off.
        column = _CORE_FROM
        for index in range(3):
            target = core[index]
            ancestor = node
            levels = 0
            while ancestor > target:
                ancestor = nodes[ancestor, _PARENT]
                levels += 1
            row[column] = ancestor == target
            row[column + 1] = min(levels, 40)
            column += 2
        before += units
        prose_before += prose[piece]
        since_prose = 0 if prose[piece] > 0 else min(since_prose + 1, 60)
        since_heading = 0 if place & uint64(_HEADING) else min(since_heading + 1, 60)


_CONTEXT_OWN = ("score", "units", "link_share", "is_prose", "break", "heading", "position", "same_text", "title_share")
_CONTEXT_OFFSETS = (-4, -3, -2, -1, 1, 2, 3, 4)
_OF_CONTEXT = ("group_mean", "page_mean", "page_largest", "share_before", "share_after", "run_before", "run_after")
CONTEXT_NAMES = (
    *_CONTEXT_OWN,
    *(f"score_{offset}" for offset in _CONTEXT_OFFSETS),
    *(f"beside_{offset}" for offset in _CONTEXT_OFFSETS),
    *(f"ancestor_{level}_{name}" for level in range(_ANCESTORS) for name in ("mean", "share", "kept")),
    *_OF_CONTEXT,
)
"""The columns of `context`, in order."""
_OWN_COLUMNS = frozen(
    np.array(
        [NAMES.index(name) for name in ("log_units", "link_share", "is_prose", "break", "heading_level", "position")]
        + [NAMES.index(name) for name in ("same_text", "title_share")],
        np.int32,
    )
)


def context(page: Scan, measured: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the second pass knows of each piece: the first pass' scores of it, its neighbours, its ancestors' text and
    the pieces that look like it."""
    out = np.zeros((len(page.pieces), len(CONTEXT_NAMES)), np.float32)
    _context(page.pieces, page.nodes, frozen(measured), _OWN_COLUMNS, frozen(scores), out)
    return out


@kernel
def _context(
    pieces: NDArray[np.int32],
    nodes: NDArray[np.int32],
    measured: NDArray[np.float32],
    columns: NDArray[np.int32],
    scores: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    count = len(pieces)
    weight = np.zeros(count, np.float64)
    likely = np.zeros(count, np.float64)
    node_weight = np.zeros(len(nodes), np.float64)
    node_likely = np.zeros(len(nodes), np.float64)
    node_pieces = np.zeros(len(nodes), np.int32)
    node_kept = np.zeros(len(nodes), np.int32)
    whole = whole_likely = largest = 0.0
    for piece in range(count):
        node = pieces[piece, _NODE]
        weight[piece] = math.exp(measured[piece, 0]) - 1.0
        likely[piece] = weight[piece] / (1.0 + math.exp(-scores[piece]))
        node_weight[node] += weight[piece]
        node_likely[node] += likely[piece]
        node_pieces[node] += 1
        node_kept[node] += scores[piece] > 0
        whole += weight[piece]
        whole_likely += likely[piece]
        largest = max(largest, likely[piece])
    for node in range(len(nodes) - 1, 0, -1):
        parent = nodes[node, _PARENT]
        node_weight[parent] += node_weight[node]
        node_likely[parent] += node_likely[node]
        node_pieces[parent] += node_pieces[node]
        node_kept[parent] += node_kept[node]
    size = 16
    while size < 2 * count + 2:
        size *= 2
    slots = np.full(size, -1, np.int32)
    keys = np.zeros(size, np.int64)
    groups = np.zeros((size, 2), np.float64)
    group_of = np.zeros(count, np.int32)
    run = np.zeros(count, np.int32)
    length = 0
    for piece in range(count - 1, -1, -1):
        run[piece] = length
        length = length + 1 if scores[piece] > 0 else 0
    for piece in range(count):
        node = pieces[piece, _NODE]
        parent = max(0, nodes[node, _PARENT])
        key = int64(nodes[node, _SIGNATURE]) * 31 + int64(nodes[parent, _SIGNATURE])
        slot = ((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & uint64(size - 1)
        while slots[slot] >= 0 and keys[slot] != key:
            slot = (slot + uint64(1)) & uint64(size - 1)
        slots[slot] = piece
        keys[slot] = key
        group_of[piece] = slot
        groups[slot, 0] += weight[piece]
        groups[slot, 1] += likely[piece]
    before = 0.0
    length = 0
    for piece in range(count):
        row = out[piece]
        node = pieces[piece, _NODE]
        row[0] = scores[piece]
        for index in range(len(columns)):
            row[1 + index] = measured[piece, columns[index]]
        column = 9
        for offset in _CONTEXT_OFFSETS:
            other = piece + offset
            if 0 <= other < count:
                beside = pieces[other, _NODE]
                row[column] = scores[other]
                row[column + 8] = 2 if beside == node else 1 if nodes[beside, _PARENT] == nodes[node, _PARENT] else 0
            else:
                row[column] = -9
            column += 1
        column += 8
        ancestor = node
        seen = 0.0
        for _ in range(_ANCESTORS):
            while ancestor > 0 and node_weight[ancestor] <= seen * 1.1:
                ancestor = nodes[ancestor, _PARENT]
            seen = max(1.0, node_weight[ancestor])
            row[column] = node_likely[ancestor] / seen
            row[column + 1] = node_likely[ancestor] / max(1.0, whole_likely)
            row[column + 2] = node_kept[ancestor] / max(1, node_pieces[ancestor])
            column += 3
        slot = group_of[piece]
        row[column] = groups[slot, 1] / max(1.0, groups[slot, 0])
        row[column + 1] = whole_likely / max(1.0, whole)
        row[column + 2] = _log(largest)
        row[column + 3] = before / max(1.0, whole_likely)
        row[column + 4] = 1 - (before + likely[piece]) / max(1.0, whole_likely)
        row[column + 5] = min(length, 40)
        row[column + 6] = min(run[piece], 40)
        before += likely[piece]
        length = length + 1 if scores[piece] > 0 else 0
