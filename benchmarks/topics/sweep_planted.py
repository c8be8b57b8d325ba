"""Forum posts and junk of a known share, pruned by three scores.

Two of them can tell junk from posts; `length` cannot.

    figure planted_clean_share     of the pool's tokens that are no junk
    figure planted_best_fraction   of the score that tells: the fraction of the lowest loss, in the largest pool
    figure planted_best_distance   between the two
"""

from __future__ import annotations

from harness import Benchmark
from pruning_pool import pool

QUICK = {"sizes": [400_000, 800_000], "seeds": 2, "fractions": [0.7, 0.4]}


def paragraphs(benchmark: Benchmark) -> list[str]:
    """Runs the sweep and tells of it."""
    sweep = pool(benchmark.real_data(), quick=benchmark.quick).sweep("planted", QUICK)
    clean = 1 - sweep.share("planted", "junk")
    largest = max(cell["size"] for cell in sweep.cells())
    best = sweep.best_fraction("fluency", largest, "ngram")
    benchmark.figure("planted_clean_share", clean)
    benchmark.figure("planted_best_fraction", best)
    benchmark.figure("planted_best_distance", abs(best - clean))
    told = (
        f"Of the pool's tokens, {clean:.1%} are forum posts, the rest words of mails in random order. `fluency`, the "
        "perplexity under a model of books, and `quality` can tell them apart; `length` cannot. Each cell trains on "
        f"three tenths of what its pool has. In the largest, the lowest mean loss of `fluency` is at {best:.0%}."
    )
    return ["## Planted junk", told, *sweep.paragraphs()]
