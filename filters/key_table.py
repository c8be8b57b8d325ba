"""A table of 64-bit keys, each with a number, in two arrays: what files hold, workers share and kernels look up in.

The keys are sorted, with gaps: a key's home is its place among all possible keys, scaled to the table, and it stands
there or, where that is taken, in the next free slot (linear probing, Knuth, The Art of Computer Programming 3, section
6.4, with the keys of a run in order). So a lookup is one access to memory, mostly, and the same keys make the same
table in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined

SLOTS_PER_KEY = 1.6
"""A lookup then reads 1.8 slots on average where the key is not there, nearly always of one cache line."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyTable:
    """Keys and their numbers, in slots.

    keys     uint64[n]   sorted but for 0, which marks an empty slot
    values   uint32[n]   the number of each slot's key
    slots    homes; there are more slots than that where the last run needs them
    """

    keys: NDArray[np.uint64]
    values: NDArray[np.uint32]
    slots: int


def key_table(keys: NDArray[np.uint64], values: NDArray[np.uint32]) -> KeyTable:
    """The table of these keys, which must be different and not 0, in any order.

    >>> table = key_table(np.array([2**63, 7], np.uint64), np.array([1, 2], np.uint32))
    >>> table.keys.tolist(), table.values.tolist(), table.slots
    ([7, 9223372036854775808, 0, 0], [2, 1, 0, 0], 3)
    """
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    slots = int(len(keys) * SLOTS_PER_KEY)
    homes = ((keys >> np.uint64(32)) * np.uint64(slots) >> np.uint64(32)).astype(np.int64)
    turns = np.arange(len(keys))
    places = np.maximum.accumulate(homes - turns) + turns
    length = max(slots, int(places[-1]) + 1 if len(places) else 0) + 1  # the last is empty: every search ends in it
    table = KeyTable(np.zeros(length, np.uint64), np.zeros(length, np.uint32), slots)
    table.keys[places], table.values[places] = keys, values
    return KeyTable(frozen(table.keys), frozen(table.values), slots)


@inlined
def slot_of(keys: NDArray[np.uint64], slots: int, key: np.uint64) -> int:
    """For kernels: the slot in which `key` stands, or -1."""
    slot = int64(((key >> uint64(32)) * uint64(slots)) >> uint64(32))
    while slot < keys.shape[0] and keys[slot] != 0 and keys[slot] < key:
        slot += 1
    return slot if slot < keys.shape[0] and keys[slot] == key else -1
