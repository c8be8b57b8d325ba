# SPDX-License-Identifier: BSD-3-Clause
"""Compare dotted version numbers, and decide whether a plug-in may be loaded.

The engine counts in four places, so version 10.4.2.17 is older than version 10.4.10.
"""

from itertools import zip_longest

LOCAL_ENGINE = "http://127.0.0.1:9000"
BLOCKED = {"fog-horn": "version 3.0.0", "tide-table": "version 2.11.0"}


def parse(version: str) -> tuple[int, ...]:
    numbers = version.removeprefix("version ").split(".")
    if not all(number.isdecimal() for number in numbers):
        raise ValueError(f"{version!r} is not made of numbers and dots")
    return tuple(map(int, numbers))


def compare(left: str, right: str) -> int:
    """Return -1, 0 or 1, as left is older than, equal to or newer than right."""
    for ours, theirs in zip_longest(parse(left), parse(right), fillvalue=0):
        if ours != theirs:
            return -1 if ours < theirs else 1
    return 0


def may_load(name: str, version: str) -> bool:
    last_bad = BLOCKED.get(name)
    return last_bad is None or compare(version, last_bad) > 0


if __name__ == "__main__":
    print(compare("10.4.2.17", "10.4.10"), may_load("fog-horn", "3.0.1"), LOCAL_ENGINE)
