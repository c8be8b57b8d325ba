"""The planted pool again, with transformers of two sizes.

Do they say what the n-gram model says, and do they agree?

    figure transformer_cells               training runs
    figure transformer_decision_accuracy   share of pairs of treatments that both sizes rank alike, mean over pool sizes
    figure transformer_best_fraction       of the larger one, in the largest pool: the fraction of the lowest loss
"""

from __future__ import annotations

from harness import Benchmark
from pruning_pool import pool

QUICK = {"sizes": [20_000, 40_000], "seeds": 1, "fractions": [0.6]}


def paragraphs(benchmark: Benchmark) -> list[str]:
    """Runs the sweep and tells of it."""
    sweep = pool(benchmark.real_data(), quick=benchmark.quick).sweep("transformers", QUICK)
    cells = sweep.cells()
    largest = max(cell["size"] for cell in cells)
    agreements = [found["decision_accuracy"]["value"] for found in sweep.analysis["agreement"]["proxies"]]
    benchmark.figure("transformer_cells", len(cells))
    benchmark.figure("transformer_decision_accuracy", sum(agreements) / len(agreements))
    benchmark.figure("transformer_best_fraction", sweep.best_fraction("fluency", largest, "larger"))
    told = (
        "The same pool and held-out posts, abundant data again, decoder-only transformers of 0.3M and 1M "
        "parameters without embeddings. These are small models, small pools and one machine's CPU: what they rank "
        "alike need not be what larger ones would."
    )
    return ["## Transformers of two sizes", told, *sweep.paragraphs()]
