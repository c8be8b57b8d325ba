"""Repetition: lines that many documents have, and runs of words that a document or another one has had before.

A **repeated line** stands in many documents: menus, notices, headings and signatures. Lines of fewer than LINE_WORDS
words do not count, as no document says less with them.

A **run** is RUN_WORDS words in a row, whatever punctuation and line ends lie between: so repeated lines, paragraphs,
menus and phrases are all found by one rule, and a language's common phrases are too short for it. A document with
fewer words is one run. Punctuation tokens are no words here, as formulas and code repeat long rows of them by nature:
with them, 32 % of the Stacks project's LaTeX and 12 % of Python's standard library would count as repeated, and
without them 11 % and 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import Spans, TextBatch
from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import mixed

RUN_WORDS = 13
"""GPT-3's length for matching texts (Brown et al. 2020, arXiv:2005.14165, appendix C)."""

LINE_WORDS = 4
"""Words proper that a line must have to count as repeated."""
LINE_DOCUMENTS = 10
"""Documents that must have a line."""
LINE_SHARE = 1e-4
"""Share of the documents that must have it, where these are more: in a large enough collection, "Thank you very much."
is ten times a line of its own."""

_BASE = np.uint64(0x9FB21C651E98DF25)


@kernel
def find_runs(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    length: int,
    runs: NDArray[np.uint64],
    repeated: NDArray[np.float64],
) -> None:
    """Fills `runs` and `repeated`.

    runs      uint64[words]       hash of the run that begins at each word where it is new to its document, else 0
    repeated  float64[documents]  share of the words' bytes that belong to a run which the document has had before
    """
    longest = 0
    for document in range(firsts.shape[0] - 1):
        longest = max(longest, firsts[document + 1] - firsts[document])
    slots = 16
    while slots < 2 * longest:
        slots *= 2
    table = np.zeros(slots, np.uint64)
    power = uint64(1)
    for _ in range(length - 1):
        power *= uint64(_BASE)
    for document in range(firsts.shape[0] - 1):
        first = firsts[document]
        end = firsts[document + 1]
        runs[first:end] = 0
        repeated[document] = 0.0
        size = min(length, end - first)
        if size == 0:
            continue
        used = 16
        while used < 2 * (end - first):
            used *= 2
        table[:used] = 0
        rolling = uint64(0)
        for word in range(first, first + size - 1):
            rolling = rolling * uint64(_BASE) + hashes[word]
        covered = first  # words before it are counted
        total = 0
        again = 0
        for word in range(first, end):
            total += ends[word] - starts[word]
        for word in range(first, end - size + 1):
            rolling = rolling * uint64(_BASE) + hashes[word + size - 1]
            value = mixed(rolling) | uint64(1)  # 0 marks an empty slot
            rolling -= hashes[word] * power
            slot = value >> uint64(8) & uint64(used - 1)
            while table[slot] != 0 and table[slot] != value:
                slot = (slot + uint64(1)) & uint64(used - 1)
            if table[slot] == 0:
                table[slot] = value
                runs[word] = value
            else:
                for inside in range(max(covered, word), word + size):
                    again += ends[inside] - starts[inside]
                covered = word + size
        repeated[document] = again / total


def repetition(
    words: Spans, counted: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.float64]]:
    """What `find_runs` finds among the words proper.

    Args:
        counted: which words count; the others are passed over as if they were not there. None: all.

    Returns:
        firsts    int32[documents + 1]   the runs of document d are `firsts[d]` to `firsts[d + 1]`
        runs      uint64[n]              hash of each run that is new to its document
        repeated  float64[documents]     share of the words' bytes in runs which the document has had before
    """
    proper = (words.kinds & WORD) != 0
    if counted is not None:
        proper &= counted
    firsts = np.concatenate([[0], np.cumsum(proper)])[words.firsts].astype(np.int32)
    hashes, starts, ends = (frozen(array[proper]) for array in (words.hashes, words.starts, words.ends))
    runs = np.empty(len(hashes), np.uint64)
    repeated = np.empty(len(firsts) - 1, np.float64)
    find_runs(frozen(firsts), hashes, starts, ends, RUN_WORDS, runs, repeated)
    new = runs != 0
    return np.concatenate([[0], np.cumsum(new)])[firsts].astype(np.int32), runs[new], repeated


def line_hashes(batch: TextBatch) -> NDArray[np.uint64]:
    """The hashes of the lines that count, once for each document that has them."""
    lines = batch.lines
    counted = _are_counted(batch)
    hashes, documents = lines.hashes[counted], _documents_of(lines)[counted]
    order = np.lexsort((documents, hashes))
    hashes, documents = hashes[order], documents[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
    return hashes[new]


@dataclass(frozen=True, slots=True)
class RepeatedLines:
    """Lines that many documents have.

    hashes     uint64[n], ascending
    documents  int64[n]: how many have each
    """

    hashes: NDArray[np.uint64]
    documents: NDArray[np.int64]

    @classmethod
    def among(cls, hashes: NDArray[np.uint64], documents: int) -> RepeatedLines:
        """Those among the `line_hashes` of so many documents."""
        values, counts = np.unique(hashes, return_counts=True)
        many = counts >= max(LINE_DOCUMENTS, LINE_SHARE * documents)
        return cls(values[many], counts[many])

    def shares(self, batch: TextBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The share of each document's bytes in lines that are repeated, and which words stand in none.

        A line that c documents have is lost to c - 1 of them, so each has 1 - 1/c of it counted.
        """
        lines = batch.lines
        sizes = (lines.ends - lines.starts).astype(np.float64)
        places = np.minimum(np.searchsorted(self.hashes, lines.hashes), max(0, len(self.hashes) - 1))
        again = np.zeros(len(sizes), np.bool_)
        if len(self.hashes):
            again = (self.hashes[places] == lines.hashes) & _are_counted(batch)
        lost = np.zeros(len(sizes))
        lost[again] = (sizes * (1 - 1 / self.documents[places]))[again] if again.any() else 0.0
        owners = _documents_of(lines)
        totals = np.bincount(owners, sizes, len(batch))
        found = np.bincount(owners, lost, len(batch))
        line_of_word = np.searchsorted(lines.starts, batch.words.starts, side="right") - 1
        return found / np.maximum(totals, 1), ~again[line_of_word]


def _documents_of(lines: Spans) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(lines.firsts) - 1), np.diff(lines.firsts))


def _are_counted(batch: TextBatch) -> NDArray[np.bool_]:
    """Which lines have enough words to count."""
    words = batch.words
    starts = words.starts[(words.kinds & WORD) != 0]
    first, behind = (np.searchsorted(starts, places) for places in (batch.lines.starts, batch.lines.ends))
    return (behind - first) >= LINE_WORDS
