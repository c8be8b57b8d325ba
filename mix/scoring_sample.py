"""What is wrong with the documents of a sample: two passes over their texts.

The first pass gathers what a document is judged by: the evidence of corruption (mix/evidence.py), MinHash signatures
and the hashes of lines. The second measures each document, and what needs all of them (near copies, overlap) is
settled then. Memory: 260 bytes a document, 8 bytes a line of four words and more, and 40 bytes a run of which 1 in
2^`run_bits` is kept, never the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.mix.corruption import KINDS, corruption
from corpusmill.mix.near_copies import VALUES, near_copies, near_signatures
from corpusmill.mix.repetition import RepeatedLines, line_hashes, repetition

Texts = Callable[[], Iterator[TextBatch]]
"""The texts of the sample, the same in the same order at each call."""

_KEPT_RUN_BYTES = 40_000_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """For each document of the sample, by its place there. Shares are of its bytes, 0 to 1.

    is_near     bool[n]: whether it is a near copy of one that is preferred
    near        float64[n]: how many near copies it stands for: 0, 1, or more where a sample misses some of them
    corrupted   float64[n, kinds]: shares lost to each of KINDS
    lines       float64[n]: share in repeated lines
    repetition  float64[n]: share of the rest in runs that the document has had before
    overlap     float64[n]: share of the rest in runs that a document has which is preferred
    """

    near: NDArray[np.float64]
    is_near: NDArray[np.bool_]
    corrupted: NDArray[np.float64]
    lines: NDArray[np.float64]
    repetition: NDArray[np.float64]
    overlap: NDArray[np.float64]


def run_bits(text_bytes: int) -> int:
    """How thinly runs are kept of so much text: about 5 million.

    >>> run_bits(1_000_000), run_bits(10**9)
    (0, 5)
    """
    return max(0, (text_bytes // _KEPT_RUN_BYTES).bit_length())


def measure_sample(texts: Texts, text_hash: NDArray[np.uint64], *, by_similarity: bool) -> Measured:
    """Measures the documents.

    Args:
        text_hash: of each document; all differ.
        by_similarity: whether a pair of similarity J had a chance of J only to be in the sample together.
    """
    count = len(text_hash)
    signatures, worded = np.empty((count, VALUES), np.uint16), np.empty(count, np.bool_)
    sizes = np.empty(count, np.int64)
    hashes = [np.empty(0, np.uint64)]
    start = 0
    for batch in texts():
        own = slice(start, start + len(batch))
        hashes.append(line_hashes(batch))  # finds the words, which the signatures then use
        signatures[own], worded[own] = near_signatures(batch)
        sizes[own] = np.diff(batch.offsets)
        start += len(batch)
    lines = RepeatedLines.among(np.concatenate(hashes), count)
    del hashes

    corrupted, in_lines, repeated = np.empty((count, len(KINDS))), np.empty(count), np.empty(count)
    runs_of, kept_of, bits = np.empty(count, np.int64), np.empty(count, np.int64), run_bits(int(sizes.sum()))
    kept_runs = [np.empty(0, np.uint64)]
    start = 0
    for batch in texts():
        own = slice(start, start + len(batch))
        corrupted[own] = corruption(batch.offsets, batch.text)
        in_lines[own], others = lines.shares(batch)
        firsts, runs, repeated[own] = repetition(batch.words, others)
        runs_of[own] = np.diff(firsts)
        kept = (runs >> np.uint64(8)) & np.uint64((1 << bits) - 1) == 0  # the lowest bit is always set
        kept_runs.append(runs[kept])
        kept_of[own] = np.diff(np.concatenate([[0], np.cumsum(kept)])[firsts])
        start += len(batch)

    order = np.lexsort((text_hash, -sizes, np.round(corrupted.sum(axis=1), 6)))  # the preferred first
    twins, similarity = near_copies(signatures, worded, order)
    is_near = twins >= 0
    runs = np.concatenate(kept_runs)
    kept_firsts, again = np.concatenate([[0], np.cumsum(kept_of)]), np.empty(count, np.int64)
    table = np.zeros(1 << (2 * len(runs)).bit_length(), np.uint64)
    count_again(frozen(kept_firsts), frozen(runs), frozen(order), frozen(is_near), table, again)
    return Measured(
        near=np.where(is_near, 1 / np.maximum(similarity, 0.5) if by_similarity else 1.0, 0.0),
        is_near=is_near,
        corrupted=corrupted,
        lines=in_lines,
        repetition=repeated,
        overlap=again * float(1 << bits) / np.maximum(runs_of, 1),
    )


@kernel
def count_again(
    firsts: NDArray[np.int64],
    runs: NDArray[np.uint64],
    order: NDArray[np.int64],
    passed_over: NDArray[np.bool_],
    table: NDArray[np.uint64],
    again: NDArray[np.int64],
) -> None:
    """How many runs of each document a document has, too, that is before it in `order`.

    Args:
        firsts: int64[documents + 1]; the runs of document d, none of them 0, are `firsts[d]` to `firsts[d + 1]`.
        passed_over: documents whose runs do not count.
        table: scratch, zero; a power of two of slots, more than there are runs.
    """
    mask = uint64(table.shape[0] - 1)
    for place in range(order.shape[0]):
        document = order[place]
        again[document] = 0
        if passed_over[document]:
            continue
        for index in range(firsts[document], firsts[document + 1]):
            slot = runs[index] >> uint64(16) & mask
            while table[slot] != 0 and table[slot] != runs[index]:
                slot = (slot + uint64(1)) & mask
            if table[slot] == 0:
                table[slot] = runs[index]
            else:
                again[document] += 1
