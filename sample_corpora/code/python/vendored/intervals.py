# SPDX-License-Identifier: MIT
"""Half-open integer intervals, kept sorted and disjoint."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class IntervalSet:
    """Keeps the union of the intervals that were added to it."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add [start, end); intervals that touch it are merged."""
        if start >= end:
            raise ValueError(f"empty interval [{start}, {end})")
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def __contains__(self, point: int) -> bool:
        index = bisect_right(self._starts, point) - 1
        return index >= 0 and point < self._ends[index]

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of [start, end) that are not covered."""
        position = start
        for left, right in zip(self._starts, self._ends, strict=True):
            if right <= position:
                continue
            if left >= end:
                break
            if left > position:
                yield position, left
            position = right
        if position < end:
            yield position, end

    def total(self) -> int:
        return sum(self._ends) - sum(self._starts)


if __name__ == "__main__":
    booked = IntervalSet()
    for pair in [(9, 11), (13, 15), (11, 12), (16, 17)]:
        booked.add(*pair)
    print(10 in booked, 12 in booked, list(booked.gaps(8, 18)), booked.total(), "slots")
