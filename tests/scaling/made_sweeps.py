"""Cells of a sweep as a real one gives them, from a law that the tests know."""

import numpy as np
import pyarrow as pa

from corpusmill.scaling.contract import ALL, CELLS, RANDOM

FRACTIONS = (0.1, 0.2, 0.4, 0.6, 0.8)
SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
USEFUL = 0.45
"""The share of a pool that is text; the rest is junk, which `quality` sees and `length` sees in part."""


def cells(
    *,
    scores=("quality", "length"),
    fractions=FRACTIONS,
    sizes=SIZES,
    seeds=3,
    proxies=("ngram",),
    pools=("web",),
    noise=0.004,
    seed=0,
):
    rng = np.random.default_rng(seed)
    treatments = [(ALL, 1.0), *((score, fraction) for score in (*scores, RANDOM) for fraction in fractions)]
    rows = []
    for pool in pools:
        for depth, proxy in enumerate(proxies):
            for size in sizes:
                shared = rng.normal(0, noise, seeds)
                for score, fraction in treatments:
                    own = shared + rng.normal(0, noise / 3, seeds)
                    rows += [row(pool, score, fraction, size, n, proxy, depth, own[n]) for n in range(seeds)]
    return pa.Table.from_pylist(rows, schema=schema())


def schema(domains=("books", "forum")):
    return pa.schema([*CELLS, *(pa.field(f"loss.{domain}", pa.float64()) for domain in domains)])


def row(pool, score, fraction, size, seed, proxy, depth, change):
    kept = round(size * fraction)
    skill = {"quality": 1.0, "length": 0.4}.get(score, 0.0)
    chosen = min(1.0, USEFUL / fraction)
    good = kept * ((1 - skill) * USEFUL + skill * chosen)
    junk = (kept - good) / kept
    loss = (1.2 + (45 - 5 * depth) * good**-0.28) * (1 + 0.05 * junk) * np.exp(change)
    return {
        "pool": pool, "score": score, "fraction": fraction, "size": size, "pool_tokens": size, "kept_tokens": kept,
        "kept_documents": kept // 500 + 1, "train_tokens": kept, "epochs": 1.0, "seed": seed, "proxy": proxy,
        "parameters": None if proxy == "ngram" else 300_000 * 3**depth,
        "flops": None if proxy == "ngram" else 6.0 * 300_000 * 3**depth * kept, "seconds": kept / 1e6,
        "loss": loss, "loss.books": loss * 0.96, "loss.forum": loss * 1.04,
    }  # fmt: skip
