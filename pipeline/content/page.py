"""The main content of a page: which pieces of its text to keep, and how they are put together.

Two passes of boosted trees over all pieces of a page. The first knows each piece's own words, place, ancestors and
neighbours (pipeline/content/features.py), the second the first's scores of all pieces around it: stacked sequential
learning (Cohen and Carvalho 2005), as in Web2Text (Vogels et al. 2018), where a hidden Markov model does the second
step. Trained on gold texts of real pages by tools/train_content_model.py; docs/extraction.md says on which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, kernel
from corpusmill.pipeline.content.elements import HINT_SHIFT, Break, Place
from corpusmill.pipeline.content.features import NAMES, context, features
from corpusmill.pipeline.content.forest import Model
from corpusmill.pipeline.content.scan import Piece, Scan, decoded_references, scan

Favor = Literal["balance", "precision", "recall"]

THRESHOLDS: dict[Favor, float] = {"balance": 0.5, "precision": 0.7, "recall": 0.3}
"""How likely main content a piece must be to be kept; chosen on the pages trained on, by cross-validation."""
LEAST_LIKELY = 0.2
"""A page without a piece as likely as this has no main content."""
FEW_PIECES = 6
"""A page of so many pieces has nothing that stands around its content."""
PART_PIECES = 20_000
"""So many pieces are judged at once; real pages have a few hundred."""
LITTLE_TEXT = 500
"""A text of fewer characters is compared with what the page says to readers without scripts."""
TITLE_BYTES = 4_000
_COMMENT_HINT = 2
_START, _END, _BREAK, _ITEM = int(Piece.START), int(Piece.END), int(Piece.BREAK), int(Piece.ITEM)
_LIST = int(Place.LIST)
_CELL, _LINE, _PARAGRAPH = int(Break.CELL), int(Break.LINE), int(Break.PARAGRAPH)
_SEPARATOR_BYTES = 6  # the longest: an empty line and a bullet
_PROSE, _LINK_SHARE = NAMES.index("is_prose"), NAMES.index("link_share")
_OUTSIDE = int(Place.NAV | Place.FOOTER | Place.ASIDE | Place.BUTTON)
_NOT_READ = int(Place.NAV | Place.BUTTON | Place.HIDDEN | Place.FORM)


def main_text(html: bytes, model: Model, *, favor: Favor = "balance", comments: bool = False) -> tuple[str, str]:
    """The main content of a page in UTF-8, and its title.

    Paragraphs are separated by an empty line, items of lists and rows of tables by a line's end, cells by a tab; items
    begin with a bullet. Preformatted text keeps its white space.

    Args:
        html: the page.
        model: of `forest.load`.
        favor: whether a doubtful piece is kept.
        comments: whether readers' comments are kept, too: prose in elements that say so.
    """
    text, title = _main_text(html, model, favor, comments, noscript=False)
    if len(text) < LITTLE_TEXT and b"<noscript" in html:
        # Some sites put the article itself there, for readers without scripts such as us.
        other, _ = _main_text(html, model, favor, comments, noscript=True)
        text = other if len(other) > 2 * len(text) + LITTLE_TEXT else text
    return text, title


def _main_text(html: bytes, model: Model, favor: Favor, comments: bool, *, noscript: bool) -> tuple[str, str]:
    page = scan(html, noscript=noscript)
    start, end = page.title
    title = decoded_references(html[start : min(end, start + TITLE_BYTES)])
    if not len(page.pieces):
        return "", title
    likely, measured = scored(page, title, model)
    outside = (measured[:, 1] >= 0.5) | (page.places & np.uint64(_OUTSIDE) != 0)
    kept = chosen(likely, outside, THRESHOLDS[favor])
    if comments:
        hint = np.uint64(1 << (HINT_SHIFT + _COMMENT_HINT))
        readable = (page.places & hint != 0) & (page.places & np.uint64(_NOT_READ) == 0)
        kept |= readable & (measured[:, 0] > 0)
    return joined(page, kept), title


def chosen(likely: NDArray[np.float32], outside: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Which pieces are kept.

    A page of few pieces is a fragment, and kept whole but for what is `outside` the content by its elements. Of a page
    whose every piece is unlikely, those that are about as likely as the likeliest are kept: a page unlike those trained
    on is not lost.
    """
    largest = float(likely.max())
    if len(likely) <= FEW_PIECES:
        kept: NDArray[np.bool_] = ~outside
    elif largest >= threshold:
        kept = likely >= threshold
    elif largest >= LEAST_LIKELY:
        kept = likely >= 0.6 * largest
    else:
        kept = np.zeros(len(likely), np.bool_)
    return kept


def scored(page: Scan, title: str, model: Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How likely each piece is main content, and of the first pass' features whether it is prose and its link share.

    A page of very many pieces is judged in parts, since its features would fill the memory.
    """
    likely, measured = [], []
    for start in range(0, max(1, len(page.pieces)), PART_PIECES):
        rows = slice(start, start + PART_PIECES)
        part = replace(page, pieces=frozen(page.pieces[rows]), places=frozen(page.places[rows]))
        first = features(part, title, model.lexicon)
        scores = model.second.scores(context(part, first, model.first.scores(first)))
        likely.append(np.reciprocal(1 + np.exp(-scores)))
        measured.append(first[:, [_PROSE, _LINK_SHARE]])
    return np.concatenate(likely), np.concatenate(measured)


def joined(page: Scan, kept: NDArray[np.bool_]) -> str:
    """The text of the pieces that are kept."""
    out = np.empty(len(page.text) + _SEPARATOR_BYTES * len(page.pieces), np.uint8)
    size = _join(page.text, page.pieces, page.places, frozen(kept.astype(np.uint8)), out)
    return out[:size].tobytes().decode("utf-8", "replace")


@kernel
def _join(
    text: NDArray[np.uint8],
    pieces: NDArray[np.int32],
    places: NDArray[np.uint64],
    kept: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> int:
    size = 0
    between = 0
    last = -1
    for piece in range(len(pieces)):
        between = max(between, pieces[piece, _BREAK])
        if not kept[piece]:
            continue
        item = pieces[piece, _ITEM] != 0
        if last >= 0:
            if between == _CELL and last < piece - 1:
                between = _LINE
            if item and places[last] & np.uint64(_LIST):
                between = _LINE
            if between == _CELL:
                out[size] = 9
                size += 1
            else:
                out[size] = 10
                size += 1
                if between == _PARAGRAPH:
                    out[size] = 10
                    size += 1
        if item:
            out[size] = 0xE2
            out[size + 1] = 0x80
            out[size + 2] = 0xA2
            out[size + 3] = 32
            size += 4
        for at in range(pieces[piece, _START], pieces[piece, _END]):
            out[size] = text[at]
            size += 1
        between = 0
        last = piece
    return size
