"""Joins sorted keys with sorted keys that lie in a file: galloping, so that few pages of a large file are touched."""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import inlined, kernel


@kernel
def find_keys(
    asked: NDArray[np.uint64], keys: NDArray[np.uint64], firsts: NDArray[np.int64], ends: NDArray[np.int64]
) -> None:
    """Where each of `asked` stands in `keys`: its first place, and the one behind its last. Both are ascending.

    For a asked keys among k this takes a log(k / a) steps, however often one of them is repeated on either side.
    """
    place = 0
    for index in range(asked.shape[0]):
        if index > 0 and asked[index] == asked[index - 1]:
            firsts[index], ends[index] = firsts[index - 1], ends[index - 1]
            continue
        place = _first_not_below(keys, place, asked[index])
        firsts[index] = place
        if place < keys.shape[0] and keys[place] == asked[index]:
            if asked[index] == uint64(0xFFFFFFFFFFFFFFFF):
                place = keys.shape[0]
            else:
                place = _first_not_below(keys, place + 1, asked[index] + uint64(1))
        ends[index] = place


@inlined
def _first_not_below(keys: NDArray[np.uint64], start: int, wanted: np.uint64) -> int:
    """The first place from `start` on whose key is not below `wanted`; all keys before `start` are."""
    low, reach = start, 1
    while low + reach <= keys.shape[0] and keys[low + reach - 1] < wanted:
        low += reach
        reach *= 2
    high = min(low + reach - 1, keys.shape[0])
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
