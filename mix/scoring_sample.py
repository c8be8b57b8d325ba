"""What is wrong with the documents of a sample: three passes over their texts.

The first gathers MinHash signatures, the hashes of lines and what is corrupted at sight, by which near copies are told
from the document that is preferred to them; the second, from documents that are no near copies, the evidence by which
other corruption is judged (mix/evidence.py); the third measures each document. Memory: 50 MB, 260 bytes a document, 8
bytes a line of four words and more, and 40 bytes a run, of which 1 in 2^`run_bits` is kept. Never the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.mix import evidence
from corpusmill.mix.corruption import KINDS, corrupted_shares
from corpusmill.mix.keys import KEYS, below, keyed
from corpusmill.mix.near_copies import VALUES, near_copies, near_signatures
from corpusmill.mix.repetition import RepeatedLines, line_hashes, repetition

Texts = Callable[[], Iterator[TextBatch]]
"""The texts of the sample, the same in the same order at each call."""

_KEPT_RUN_BYTES = 40_000_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """For each document of the sample, by its place there. Shares are of its bytes, 0 to 1.

    is_near     bool[n]: whether it is a near copy of one that is preferred
    corrupted   float64[n, kinds]: shares lost to each of KINDS
    lines       float64[n]: share in repeated lines
    repetition  float64[n]: share of the rest in runs that the document has had before
    overlap     float64[n]: share of the rest in runs that a document has which is preferred
    """

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


def measure_sample(texts: Texts, text_hash: NDArray[np.uint64], text_bytes: int) -> Measured:
    """Measures the documents.

    Args:
        text_hash: of each document; all differ.
        text_bytes: of all of them.
    """
    sketches = _sketched(texts, len(text_hash))
    order = np.lexsort((text_hash, -sketches.sizes, np.round(sketches.damage, 6)))  # the preferred first
    is_near = near_copies(sketches.signatures, sketches.worded, order) >= 0
    share = min(1.0, evidence.SAMPLED_TEXT_BYTES / max(1, text_bytes))
    known = _evidence(texts, ~is_near & below(keyed(text_hash, 0, "evidence"), int(share * KEYS)))
    found = _findings(texts, len(text_hash), known, sketches.lines, run_bits(text_bytes))
    return Measured(
        is_near=is_near,
        corrupted=found.corrupted,
        lines=found.in_lines,
        repetition=found.repeated,
        overlap=_again(found, order, is_near) / np.maximum(found.expected, 1e-9),
    )


@dataclass(frozen=True, slots=True)
class _Sketches:
    """What the first pass makes of the documents: MinHash signatures, which have words, bytes, the share that is
    corrupted at sight, without regard to others; and repeated lines."""

    signatures: NDArray[np.uint16]
    worded: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    damage: NDArray[np.float64]
    lines: RepeatedLines


def _sketched(texts: Texts, count: int) -> _Sketches:
    signatures, worded = np.empty((count, VALUES), np.uint16), np.empty(count, np.bool_)
    sizes, damage, hashes = np.empty(count, np.int64), np.empty(count), [np.empty(0, np.uint64)]
    for own, batch in _placed(texts):
        hashes.append(line_hashes(batch))  # finds the words, which the signatures then use
        signatures[own], worded[own] = near_signatures(batch)
        sizes[own] = np.diff(batch.offsets)
        damage[own] = corrupted_shares(batch).sum(axis=1)
    return _Sketches(signatures, worded, sizes, damage, RepeatedLines.among(np.concatenate(hashes), count))


def _evidence(texts: Texts, witnesses: NDArray[np.bool_]) -> evidence.Evidence:
    """What some of the documents tell. Near copies must not be among them: they would vouch for those that stay."""
    gathering = evidence.Gathering()
    for own, batch in _placed(texts):
        if witnesses[own].any():
            gathering.add(batch.kept(witnesses[own]))
    return gathering.evidence()


@dataclass(frozen=True, slots=True)
class _Findings:
    """What the third pass finds in each document.

    runs      uint64[k]: hashes of those kept, document after document
    kept      int64[n]: how many of these are the document's
    expected  float64[n]: how many of its runs would be kept on average
    """

    corrupted: NDArray[np.float64]
    in_lines: NDArray[np.float64]
    repeated: NDArray[np.float64]
    runs: NDArray[np.uint64]
    kept: NDArray[np.int64]
    expected: NDArray[np.float64]


def _findings(texts: Texts, count: int, known: evidence.Evidence, lines: RepeatedLines, bits: int) -> _Findings:
    corrupted, in_lines, repeated = np.empty((count, len(KINDS))), np.empty(count), np.empty(count)
    kept_of, expected, kept_runs = np.empty(count, np.int64), np.empty(count), [np.empty(0, np.uint64)]
    for own, batch in _placed(texts):
        corrupted[own] = corrupted_shares(batch, known)
        in_lines[own], others = lines.shares(batch)
        firsts, runs, repeated[own] = repetition(batch.words, others)
        kept = (runs >> np.uint64(8)) & np.uint64((1 << bits) - 1) == 0  # the lowest bit is always set
        kept_runs.append(runs[kept])
        kept_of[own] = np.diff(np.concatenate([[0], np.cumsum(kept)])[firsts])
        expected[own] = np.diff(firsts) / (1 << bits)
    return _Findings(corrupted, in_lines, repeated, np.concatenate(kept_runs), kept_of, expected)


def _again(found: _Findings, order: NDArray[np.int64], is_near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many kept runs of each document a document has, too, that is preferred and no near copy."""
    firsts, again = np.concatenate([[0], np.cumsum(found.kept)]), np.empty(len(order), np.int64)
    table = np.zeros(1 << (2 * len(found.runs)).bit_length(), np.uint64)
    count_again(frozen(firsts), frozen(found.runs), frozen(order), frozen(is_near), table, again)
    return again


def _placed(texts: Texts) -> Iterator[tuple[slice, TextBatch]]:
    """The batches, and which places their documents have in the sample."""
    start = 0
    for batch in texts():
        yield slice(start, start + len(batch)), batch
        start += len(batch)


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
