"""How much of each document is corrupted, and how.

    mojibake      text that was read in another code page than it was written in: "fÃ¼r", "donâ€™t", "Ïðèâåò"
    unreadable    replacement characters, control characters, private-use and non-characters
    non_language  runs of letters and digits that no language has: long words without a vowel, digests, base64
    garbled       words that no other document has, where most are known: random vocabulary, misread words
    shuffled      sound words in an order that is no order
    boilerplate   lines of menus, buttons and notices
    truncated     the sentence in which the text breaks off

A document is judged in windows of about 2,048 bytes, so a book with one bad page loses a page. A window can be lost in
part; what one kind has taken of it is not taken by the next, in the order above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.characters import windows_of
from corpusmill.mix.evidence import Evidence, streams_of
from corpusmill.mix.layout import layout_losses

KINDS = ("mojibake", "unreadable", "non_language", "garbled", "shuffled", "boilerplate", "truncated")


def corrupted_shares(batch: TextBatch, evidence: Evidence | None = None) -> NDArray[np.float64]:
    """float64[documents, kinds]: the share of each document's bytes without white space that is lost to each of KINDS.

    Args:
        evidence: what a first pass over the dataset found (`evidence.Gathering`); without it `garbled` and `shuffled`
            are not looked for.
    """
    windows = windows_of(batch.offsets, batch.text)
    losses = np.zeros((len(windows.documents), len(KINDS)))
    losses[:, :3] = windows.losses
    if evidence is not None:
        judged = evidence.judged(streams_of(batch, windows))
        losses[:, 3] = judged[:, 0] * (1 - losses[:, :3].sum(axis=1))
        losses[:, 4] = judged[:, 1] * (1 - losses[:, :4].sum(axis=1))
    losses[:, 5:] = layout_losses(batch, windows)
    for kind in (5, 6):
        losses[:, kind] *= 1 - losses[:, :kind].sum(axis=1)
    shares = np.zeros((len(batch), len(KINDS)))
    np.add.at(shares, windows.documents, losses * windows.sizes[:, None])
    totals = np.bincount(windows.documents, windows.sizes, len(batch))
    return shares / np.maximum(totals, 1)[:, None]
