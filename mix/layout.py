"""What the lines of a text tell of its corruption: boilerplate that an extraction left in, and a broken end.

    boilerplate  MENU_LINES and more short lines in a row, none of which ends as sentences and verses do. Most of them
                 begin with a capital (or a letter of a script that has none) and hold no digit and no sign of code. And
                 a line of short pieces between " | ", "»", "›", "•" or "·"
    truncated    what follows the last end of a sentence in a document, where it is half a sentence: BROKEN_WORDS and
                 more, half of them without a capital, the last character a letter, a comma or a hyphen

Only the bytes of these lines and of that half sentence count. Lists of names are lines of a menu to this rule; poems,
code and tables of numbers are not. Common Crawl's usual rules for lines (Raffel et al. 2020, arXiv:1910.10683; Penedo
et al. 2023, arXiv:2306.01116) need lists of phrases in each language, and drop what they meet; this only counts.
"""

from __future__ import annotations

import numpy as np
from numba import uint8, uint32
from numpy.typing import NDArray

from corpusmill.documents.batch import Spans, TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, FOLD, SPACE, TERMINAL, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.segmentation import BLANK, decoded, last_character, width
from corpusmill.mix.characters import Windows

KINDS = ("boilerplate", "truncated")

MENU_LINES = 6
"""Short lines in a row that are a menu. Stanzas have more words, and their lines end in commas."""
MENU_BYTES = 40
"""Bytes of a line of a menu at most."""
MENU_ITEMS = 0.6
"""Share of a menu's lines that begin with a capital, or a letter of a script without, and hold no digit or sign."""
PIECES = 4
"""Pieces of a line that is a menu of its own."""
PIECE_BYTES = 24
"""Bytes of such a piece at most, on average."""
ROW_BYTES = 600
"""Bytes of such a line at most: longer ones are paragraphs."""
BROKEN_WORDS = 6
"""Words of a broken sentence at least."""
BROKEN_BYTES = 500
"""Bytes of a broken sentence at most: longer ones are lists and code."""

_ALPHA, _SPACE, _TERMINAL, _WORD, _BLANK = ALPHA, SPACE, TERMINAL, WORD, BLANK
_OTHER, _SHORT, _MENU_ITEM, _MENU_ROW = 0, 1, 2, 3


def _table(characters: str) -> NDArray[np.bool_]:
    found = np.zeros(128, np.bool_)
    found[list(characters.encode())] = True
    return frozen(found)


_SIGNS = _table('=(){}[]<>\\_;|*#$@^~`"+%0123456789')  # of code, mark-up, formulas and tables
_ENDS = _table(".,:;!?-")  # of lines of prose, verse and lists


@inlined
def is_separator(code: np.uint32) -> bool:
    return code in (uint32(0x7C), uint32(0xBB), uint32(0x203A), uint32(0x2022), uint32(0xB7))  # | » › • ·


@kernel
def line_kind(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], fold: NDArray[np.uint32], start: int, end: int
) -> tuple[int, int]:
    """What the line is, which is not blank, and its bytes without white space.

    Returns:
        _MENU_ROW, _MENU_ITEM, _SHORT (and may stand between items), or _OTHER; and the bytes.
    """
    if end - start > ROW_BYTES:
        return _OTHER, 0
    filled = 0
    separators = 0
    signs = False
    letters = False
    capital = False
    spaced = True  # the character before is white space
    first = True
    position = start
    last = uint8(0)
    while position < end:
        size = width(text[position])
        code = decoded(text, position)
        kind = classes[code]
        if kind & _SPACE:
            spaced = True
            position += size
            continue
        if first and kind & _WORD:  # a bullet comes before it
            # Scripts without case fold to themselves as capitals do not.
            capital = (kind & _ALPHA) != 0 and (fold[code] != code or size > 2)
            first = False
        after = position + size
        beyond = after < end and classes[decoded(text, after)] & _SPACE
        if spaced and beyond and filled > 0 and is_separator(code):
            separators += 1
        signs |= bool(code < 128 and _SIGNS[code])
        letters |= (kind & _ALPHA) != 0
        filled += size
        last = text[position]
        spaced = False
        position = after
    if separators >= PIECES - 1 and filled <= PIECE_BYTES * (separators + 1) and last != 0x7C:  # a table's last is |
        return _MENU_ROW, filled
    sentence = (last < 128 and _ENDS[last]) or classes[decoded(text, last_character(text, start, end))] & _TERMINAL
    if filled > MENU_BYTES or sentence:
        return _OTHER, filled
    return _MENU_ITEM if capital and letters and not signs else _SHORT, filled


@kernel
def broken_end(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], fold: NDArray[np.uint32], start: int, end: int
) -> tuple[int, int]:
    """Where the half sentence begins at which a text breaks off, and its bytes without white space; 0 if none."""
    while end > start and classes[decoded(text, last_character(text, start, end))] & _SPACE:
        end = last_character(text, start, end)
    if end == start:
        return end, 0
    last = text[end - 1]
    if not (classes[decoded(text, last_character(text, start, end))] & _ALPHA or last == 0x2C or last == 0x2D):
        return end, 0
    position = end
    words = 0
    capitals = 0
    filled = 0
    while position > start and end - position <= BROKEN_BYTES:
        before = last_character(text, start, position)
        code = decoded(text, before)
        kind = classes[code]
        if kind & _TERMINAL:
            broken = words >= BROKEN_WORDS and 2 * capitals <= words
            return position, filled if broken else 0
        if not kind & _SPACE:
            filled += position - before
            alone = before == start or classes[decoded(text, last_character(text, start, before))] & _SPACE
            if kind & _ALPHA and alone:
                words += 1
                capitals += int(fold[code] != code and code < 0x250)
        position = before
    return end, 0


@kernel
def judge_layout(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    window_documents: NDArray[np.int32],
    window_starts: NDArray[np.int32],
    lost: NDArray[np.float64],
) -> None:
    """Adds to float64[windows, 2] the bytes of boilerplate and of broken sentences, by the window they begin in.

    Args:
        firsts: int32[documents + 1], and the other arrays of lines: see `Spans`.
    """
    window = 0
    windows = window_documents.shape[0]
    for document in range(offsets.shape[0] - 1):
        while window < windows and window_documents[window] < document:
            window += 1
        if window == windows or window_documents[window] != document:
            continue
        here = window
        line = firsts[document]
        last = firsts[document + 1]
        while line < last:
            # A run of items of menus, with the blank lines between them; then the line that ends it.
            run = line
            items = 0
            lines = 0
            kind = _OTHER
            filled = 0
            while line < last:
                if kinds[line] & _BLANK == 0:
                    kind, filled = line_kind(text, classes, fold, starts[line], ends[line])
                    if kind != _MENU_ITEM and kind != _SHORT:
                        break
                    items += kind == _MENU_ITEM
                    lines += 1
                line += 1
            if items >= MENU_LINES and items >= MENU_ITEMS * lines:
                for item in range(run, line):
                    if kinds[item] & _BLANK:
                        continue
                    while here + 1 < windows and window_documents[here + 1] == document:
                        if window_starts[here + 1] > starts[item]:
                            break
                        here += 1
                    lost[here, 0] += line_kind(text, classes, fold, starts[item], ends[item])[1]
            if line < last:
                if kind == _MENU_ROW:
                    while here + 1 < windows and window_documents[here + 1] == document:
                        if window_starts[here + 1] > starts[line]:
                            break
                        here += 1
                    lost[here, 0] += filled
                line += 1
        begin, filled = broken_end(text, classes, fold, offsets[document], offsets[document + 1])
        if filled:
            while here + 1 < windows and window_documents[here + 1] == document and window_starts[here + 1] <= begin:
                here += 1
            lost[here, 1] += filled


def layout_losses(batch: TextBatch, windows: Windows) -> NDArray[np.float64]:
    """float64[windows, 2]: the share of each window that is lost to each of KINDS."""
    lines: Spans = batch.lines
    lost = np.zeros((len(windows.documents), len(KINDS)))
    judge_layout(
        batch.offsets,
        batch.text,
        CLASSES,
        FOLD,
        lines.firsts,
        lines.starts,
        lines.ends,
        lines.kinds,
        windows.documents,
        windows.starts,
        lost,
    )
    return np.minimum(lost / np.maximum(windows.sizes, 1)[:, None], 1.0)
