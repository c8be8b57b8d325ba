"""Web pages with all that stands on them, forum posts, mail and books, pruned by three scores.

Nothing was filtered, and held-out sets are of the same kinds.

    figure real_pool_mb          UTF-8 text of the pool, without what is held out
    figure real_cells            training runs
    figure real_effects_better   comparisons with the control in which a score was shown to be better
    figure real_effects_worse    in which it was shown to be worse
"""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import Benchmark
from pruning_pool import pool

LEAST = 0.4  # of the fractions whose documents are told by source
QUICK = {"sizes": [500_000, 1_000_000], "seeds": 2, "fractions": [0.6]}


def paragraphs(benchmark: Benchmark) -> list[str]:
    """Runs the sweep and tells of it."""
    sweep = pool(benchmark.real_data(), quick=benchmark.quick).sweep("real", QUICK)
    documents = pq.read_table(sweep.folder / "documents.parquet")
    mine = documents.filter(pc.and_(documents["pool.raw"], pc.equal(documents["split"], 0)))
    megabytes = pc.sum(mine["text_bytes"]).as_py() / 1e6
    effects = [
        effect
        for panel in sweep.analysis["panels"]
        for effect in panel["effects"]
        if effect["against"] == "random" and effect["shown"] and effect["size"] is not None
    ]
    better = sum(effect["change"]["value"] < 0 for effect in effects)
    benchmark.figure("real_pool_mb", megabytes)
    benchmark.figure("real_cells", len(sweep.cells()))
    benchmark.figure("real_effects_better", better)
    benchmark.figure("real_effects_worse", len(effects) - better)
    told = (
        f"{len(mine):,} documents, {megabytes:.0f} MB: pages with their menus and notices, posts, mails with headers "
        "and quotations, books by chapter; nothing was filtered. The loss is the mean over the four."
    )
    taken = "What a score keeps of the four, in the largest pool, says most of what it does to a loss over all of them:"
    fraction = min(cell["fraction"] for cell in sweep.cells() if cell["fraction"] >= LEAST)
    return ["## Real text as it comes", told, taken, sweep.kept_by_source("raw", fraction), *sweep.paragraphs()]
