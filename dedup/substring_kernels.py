"""The kernels of repeated substrings: fingerprints by winnowing, hashes of windows, a table of where each begins first.

A text is a sequence of **units**: bytes (uint8), or words (the uint64 hash of each; punctuation marks that touch are
one). The kernels that read units are compiled once for each of the two. A **window** is `length` units in a row, a
**gram** is fewer, `gram` units in a row; both are hashed by a rolling polynomial modulo 2^64 over well mixed units.

**Fingerprints** are chosen by robust winnowing (Schleimer, Wilkerson and Aiken 2003, "Winnowing: local algorithms for
document fingerprinting", SIGMOD, section 5.1): of each window's grams, one with the smallest hash is chosen, the one
that was chosen already if it is among them, else the right-most. So two equal windows always have a fingerprint in
common, about 2 in every (length - gram + 2) grams are chosen, and a text that repeats one character chooses no more.
A fingerprint **reigns** over the windows for which it was chosen; they are in a row.
"""

from __future__ import annotations

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.segmentation import mixed

Units = NDArray[np.uint8] | NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)  # of polynomials; any odd number with well spread bits
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_STORED = np.uint64(0xBF58476D1CE4E5B9)
_WORD = WORD


@inlined
def _symbol(unit: np.uint64) -> np.uint64:
    """A unit as the polynomial's coefficient: bytes are small numbers that follow one another, and would cancel."""
    return mixed((uint64(unit) + uint64(1)) * uint64(_MULTIPLIER))


@inlined
def _power(exponent: int) -> np.uint64:
    value = uint64(1)
    for _ in range(exponent):
        value *= uint64(_BASE)
    return value


@kernel
def join_marks(
    word_firsts: NDArray[np.int32],
    word_starts: NDArray[np.int32],
    word_ends: NDArray[np.int32],
    word_hashes: NDArray[np.uint64],
    word_kinds: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    marks: NDArray[np.bool_],
) -> int:
    """Makes punctuation marks that touch one another one unit; returns how many units there are.

    Args:
        firsts, starts, ends, hashes: written, for units what the others are for words.
        marks: written; which units are punctuation.
    """
    found = 0
    for document in range(word_firsts.shape[0] - 1):
        firsts[document] = found
        for word in range(word_firsts[document], word_firsts[document + 1]):
            mark = word_kinds[word] & _WORD == 0
            if mark and found > firsts[document] and marks[found - 1] and ends[found - 1] == word_starts[word]:
                ends[found - 1] = word_ends[word]
                hashes[found - 1] = mixed(hashes[found - 1] * uint64(_BASE) + word_hashes[word])  # `.)` is not `).`
                continue
            starts[found], ends[found], marks[found] = word_starts[word], word_ends[word], mark
            hashes[found] = word_hashes[word]
            found += 1
    firsts[word_firsts.shape[0] - 1] = found
    return found


@kernel
def winnow(
    units: Units,
    firsts: NDArray[np.int32],
    gram: int,
    width: int,
    ring: NDArray[np.uint64],
    found_firsts: NDArray[np.int32],
    values: NDArray[np.uint64],
    since: NDArray[np.int32],
) -> int:
    """The fingerprints of each document, in order; how many there are, or -1 if the arrays are too short for them.

    Args:
        firsts: int32[documents + 1]; the units of document d are `units[firsts[d] : firsts[d + 1]]`.
        width: grams in a window. Documents with fewer grams have no window, and no fingerprint.
        ring: scratch; its length is a power of two and at least `width`.
        found_firsts: written; the fingerprints of document d are from `found_firsts[d]` to `found_firsts[d + 1]`.
        values: written; the hash of each, mixed once more: smallest hashes are small, and what is stored is to spread.
        since: written; where the first window begins over which each reigns; the next one's begins where it ends.
    """
    mask = ring.shape[0] - 1
    leaving = _power(gram)
    found = 0
    for document in range(firsts.shape[0] - 1):
        found_firsts[document] = found
        begin = firsts[document]
        grams = firsts[document + 1] - begin - gram + 1
        if grams < width:
            continue
        value = uint64(0)
        for unit in range(begin, begin + gram - 1):
            value = value * uint64(_BASE) + _symbol(units[unit])
        least = -1  # which gram is chosen
        for place in range(grams):
            value = value * uint64(_BASE) + _symbol(units[begin + place + gram - 1])
            if place:
                value -= leaving * _symbol(units[begin + place - 1])
            hashed = mixed(value)
            ring[place & mask] = hashed
            window = place - width + 1
            if window < 0:
                continue
            if least < window:  # it has left the window, or there was none: the right-most of the smallest
                least = window
                for other in range(window + 1, place + 1):
                    if ring[other & mask] <= ring[least & mask]:
                        least = other
            elif hashed < ring[least & mask]:
                least = place
            else:
                continue
            if found == values.shape[0]:
                return -1
            values[found] = mixed(ring[least & mask] * uint64(_STORED))
            since[found] = begin + window
            found += 1
    found_firsts[firsts.shape[0] - 1] = found
    return found


@kernel
def mark_known(
    values: NDArray[np.uint64],
    known: NDArray[np.uint64],
    homes: NDArray[np.int64],
    shift: int,
    there: NDArray[np.bool_],
) -> None:
    """Which of `values` are among `known` (ascending). Those whose bits from `shift` up are h stand from `homes[h]`."""
    for index in range(values.shape[0]):
        value = values[index]
        home = value >> uint64(shift)
        there[index] = False
        for place in range(homes[home], homes[home + uint64(1)]):
            if known[place] == value:
                there[index] = True
                break


@kernel
def copy_units(units: Units, firsts: NDArray[np.int32], bases: NDArray[np.int64], all_units: Units) -> None:
    """Copies each document's units to where they stand among those of all."""
    for document in range(firsts.shape[0] - 1):
        shift = bases[document] - firsts[document]
        for unit in range(firsts[document], firsts[document + 1]):
            all_units[unit + shift] = units[unit]


@kernel
def hash_windows(
    units: Units,
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    length: int,
    offset: NDArray[np.int64],
    records: NDArray[np.uint64],
) -> None:
    """Hashes the windows that begin in runs of units.

    Args:
        begins, ends: of each run: where its first window begins, and the one after its last would.
        offset: what is added to the place of a run's units to make it a place among all units.
        records: written; uint64[windows, 2], hash and place of each.
    """
    leaving = _power(length)
    count = 0
    for run in range(begins.shape[0]):
        value = uint64(0)
        for unit in range(begins[run], begins[run] + length - 1):
            value = value * uint64(_BASE) + _symbol(units[unit])
        for begin in range(begins[run], ends[run]):
            value = value * uint64(_BASE) + _symbol(units[begin + length - 1])
            if begin > begins[run]:
                value -= leaving * _symbol(units[begin - 1])
            hashed = mixed(value)
            records[count, 0] = hashed if hashed else uint64(1)  # 0 marks an empty slot of the table
            records[count, 1] = uint64(begin + offset[run])
            count += 1


@kernel
def deal_rows(
    rows: NDArray[np.uint64], parts: NDArray[np.uint16], places: NDArray[np.int64], dealt: NDArray[np.uint64]
) -> None:
    """Copies rows to where their parts are: `places[part]` is where the next row of a part goes; it is moved on."""
    for row in range(rows.shape[0]):
        place = places[parts[row]]
        places[parts[row]] = place + 1
        for column in range(rows.shape[1]):
            dealt[place, column] = rows[row, column]


# Where windows of each hash begin: `keys` is an open hash table with linear probing, 0 for an empty slot, a power of
# two long; `places`, the first and the last place of each key.


@inlined
def _slot(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """Where `key` stands, or would."""
    mask = uint64(keys.shape[0] - 1)
    slot = (key * uint64(_STORED)) >> uint64(20) & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + uint64(1)) & mask
    return slot


@kernel
def enter_windows(records: NDArray[np.uint64], keys: NDArray[np.uint64], places: NDArray[np.uint64]) -> int:
    """Takes windows (hash and place) into the table, which must have room; returns how many keys were new."""
    new = 0
    for record in range(records.shape[0]):
        key, place = records[record, 0], records[record, 1]
        slot = _slot(keys, key)
        if keys[slot] == 0:
            keys[slot] = key
            places[slot, 0], places[slot, 1] = place, place
            new += 1
        elif place < places[slot, 0]:
            places[slot, 0] = place
        elif place > places[slot, 1]:
            places[slot, 1] = place
    return new


@kernel
def enter_table(
    keys: NDArray[np.uint64], places: NDArray[np.uint64], to_keys: NDArray[np.uint64], to_places: NDArray[np.uint64]
) -> None:
    """Moves a table into a larger, empty one."""
    for slot in range(keys.shape[0]):
        if keys[slot]:
            to = _slot(to_keys, keys[slot])
            to_keys[to] = keys[slot]
            to_places[to, 0], to_places[to, 1] = places[slot, 0], places[slot, 1]


@inlined
def _owner(bases: NDArray[np.int64], place: int) -> int:
    """The document in which `place` lies."""
    low, high = 0, bases.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if bases[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@kernel
def find_repeats(
    records: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    places: NDArray[np.uint64],
    bases: NDArray[np.int64],
    length: int,
    within: bool,
    later: bool,
    repeats: NDArray[np.uint64],
) -> int:
    """The windows that begin at another place, too, and do not overlap there; how many they are.

    Args:
        bases: where each document begins, and the end of the last.
        within: another place in the same document counts.
        later: another place behind it counts, not only one before it.
        repeats: written; uint64[records, 2], the place of each, and the other place.
    """
    found = 0
    for record in range(records.shape[0]):
        place = int64(records[record, 1])
        slot = _slot(keys, records[record, 0])
        first, last = int64(places[slot, 0]), int64(places[slot, 1])
        before, behind = place - length, place + length  # the other place is not between them
        if not within and first < last:
            document = _owner(bases, place)
            before, behind = bases[document] - 1, bases[document + 1]
        if first <= before:
            other = first
        elif later and last >= behind:
            other = last
        else:
            continue
        repeats[found, 0], repeats[found, 1] = uint64(place), uint64(other)
        found += 1
    return found


@kernel
def verify_repeats(units: Units, low: int, length: int, others: NDArray[np.int64]) -> None:
    """Sets to -1 what hashes alone made equal: `others[i]` is the other place of the window at `low + i`, or -1."""
    follows = False  # whether the window before is equal to the one before the other place
    for index in range(others.shape[0]):
        other, place = others[index], low + index
        if other < 0:
            follows = False
            continue
        first = length - 1 if follows and others[index - 1] == other - 1 else 0
        follows = True
        for unit in range(first, length):
            if units[place + unit] != units[other + unit]:
                follows = False
                others[index] = -1
                break


@kernel
def join_windows(
    low: int, length: int, others: NDArray[np.int64], passage: NDArray[np.int64], passages: NDArray[np.int64]
) -> int:
    """Passages: windows that are repeated and overlap, joined; how many have ended.

    Args:
        others: as for `verify_repeats`.
        passage: start, end and other place of the one that is open (start -1: none is); written.
        passages: written; int64[n, 3], the same of those that have ended.
    """
    found = 0
    for index in range(others.shape[0]):
        if others[index] < 0:
            continue
        place = low + index
        if passage[0] >= 0 and place < passage[1]:
            passage[1] = place + length
            continue
        if passage[0] >= 0:
            passages[found] = passage
            found += 1
        passage[0], passage[1], passage[2] = place, place + length, others[index]
    return found


@kernel
def word_borders(
    text: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    marks: NDArray[np.bool_],
    documents: NDArray[np.int64],
    passages: NDArray[np.int64],
    borders: NDArray[np.int64],
) -> None:
    """Where passages of words are to be cut, so that what is left reads as a text.

    Marks at a passage's ends stay where they touch a word that stays: a full stop, a bracket, an apostrophe. Of the
    white space before and behind the passage, one stays: that with more line breaks, else any, else that before.

    Args:
        documents: of each passage.
        passages: int64[n, 2]; its first unit, and the one after its last.
        borders: written; int64[n, 2], bytes of `text`.
    """
    for row in range(documents.shape[0]):
        document, begin, end = documents[row], passages[row, 0], passages[row, 1]
        before = begin > firsts[document]
        behind = end < firsts[document + 1]
        if before and marks[begin] and not marks[begin - 1] and ends[begin - 1] == starts[begin]:
            begin += 1
        if behind and marks[end - 1] and not marks[end] and ends[end - 1] == starts[end]:
            end -= 1
        if not before and not behind:
            borders[row, 0], borders[row, 1] = offsets[document], offsets[document + 1]
        elif not before:
            borders[row, 0], borders[row, 1] = starts[begin], starts[end]
        elif not behind:
            borders[row, 0], borders[row, 1] = ends[begin - 1], ends[end - 1]
        else:
            gap, next_gap = starts[begin] - ends[begin - 1], starts[end] - ends[end - 1]
            lines, next_lines = _lines(text, ends[begin - 1], starts[begin]), _lines(text, ends[end - 1], starts[end])
            if next_lines > lines or (next_lines == lines and gap == 0 and next_gap > 0):
                borders[row, 0], borders[row, 1] = ends[begin - 1], ends[end - 1]
            else:
                borders[row, 0], borders[row, 1] = starts[begin], starts[end]


@inlined
def _lines(text: NDArray[np.uint8], start: int, end: int) -> int:
    count = 0
    for position in range(start, end):
        count += text[position] == 0x0A
    return count


@kernel
def character_borders(
    text: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    documents: NDArray[np.int64],
    passages: NDArray[np.int64],
    borders: NDArray[np.int64],
) -> None:
    """Shrinks passages of bytes to whole characters; one that holds none becomes empty."""
    for row in range(documents.shape[0]):
        start, end = passages[row, 0], passages[row, 1]
        while start < end and text[start] & 0xC0 == 0x80:
            start += 1
        if end < offsets[documents[row] + 1]:
            while end > start and text[end] & 0xC0 == 0x80:
                end -= 1
        borders[row, 0], borders[row, 1] = start, end
