"""Draw a uniform sample of lines from a stream whose length is not known."""

import random
import sys
from collections.abc import Iterable


def sample(stream: Iterable[str], size: int, seed: int) -> list[str]:
    """Return `size` items, each subset being equally likely.

    The n-th item enters with probability size / n and pushes out a random one.
    """
    generator = random.Random(seed)
    kept: list[str] = []
    for number, item in enumerate(stream, start=1):
        if len(kept) < size:
            kept.append(item)
            continue
        place = generator.randrange(number)
        if place < size:
            kept[place] = item
    return kept


def check_fairness(trials: int = 20_000) -> float:
    """The largest deviation, in percent, from an equal share for each of ten items."""
    counts = [0] * 10
    for trial in range(trials):
        for item in sample([str(digit) for digit in range(10)], 3, seed=trial):
            counts[int(item)] += 1
    expected = trials * 3 / 10
    return max(abs(count - expected) for count in counts) / expected * 100


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    sys.stdout.writelines(sample(sys.stdin, wanted, seed=20))
