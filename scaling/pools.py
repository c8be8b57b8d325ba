"""Which documents a cell of a sweep trains on. It reads what the ledger knows of each document, and no text.

The table of documents, a row a curated document of every source that the sweep looks at:

    source          string
    id              string
    id_hash         uint64   from which every choice follows (mix/keys.py)
    part            int32    which file of token ids it is in (scaling/encoded.py)
    first           int64    where they begin
    tokens          int64
    text_bytes      int64
    group_hash      uint64   of its cluster of near-duplicates
    split           int8     mix/keys.py's TRAIN or HELD_OUT: whole clusters of near-duplicates, over all sources
    pool.<name>     bool     whether it is in this pool
    score.<name>    float64  null outside the pools
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.mix.keys import HELD_OUT, TRAIN, keyed
from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.sweep_options import Keep, SweepOptions

POOL, SCORE = "pool.", "score."

DOCUMENTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("first", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("group_hash", pa.uint64(), nullable=False),
        pa.field("split", pa.int8(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training run of a sweep; scaling/contract.py says what its fields are."""

    pool: str
    score: str
    fraction: float
    size: int
    seed: int
    proxy: str


@dataclass(frozen=True, slots=True)
class Selected:
    """What a cell trains on: rows of the table of documents, in training order."""

    rows: NDArray[np.int64]
    pool_tokens: int
    kept_tokens: int


def select(documents: pa.Table, cell: Cell, keep: Keep, seed: int) -> Selected:
    """The documents of a cell. The pool of a smaller size is part of that of a larger one of the same seed; what a
    smaller fraction keeps is kept by a larger one, too.

    Args:
        keep: which end of the score stays; of no account for `all` and `random`.
        seed: the sweep's. With the cell's it decides which documents make the pool, and in which order they come.
    """
    in_pool = pc.and_(documents.column(POOL + cell.pool), pc.equal(documents.column("split"), TRAIN))
    rows = np.flatnonzero(in_pool.to_numpy())
    hashes = documents.column("id_hash").to_numpy()[rows]
    tokens = documents.column("tokens").to_numpy()[rows]
    drawn = np.argsort(keyed(hashes, seed, f"sweep/pool/{cell.seed}"), kind="stable")
    drawn = drawn[: _prefix(tokens[drawn], cell.size)]
    pool_tokens = int(tokens[drawn].sum())
    if cell.score != ALL:
        chance = keyed(hashes[drawn], seed, f"sweep/prune/{cell.seed}")
        if cell.score == RANDOM:
            order = np.argsort(chance, kind="stable")
        else:
            scores = documents.column(SCORE + cell.score).to_numpy()[rows[drawn]]
            order = _ranked(scores, tokens[drawn], chance, keep)
        drawn = drawn[order[: _prefix(tokens[drawn][order], cell.fraction * pool_tokens)]]
    shuffled = np.argsort(keyed(hashes[drawn], seed, f"sweep/order/{cell.seed}"), kind="stable")
    kept = drawn[shuffled]
    return Selected(rows[kept], pool_tokens, int(tokens[kept].sum()))


def _ranked(
    scores: NDArray[np.float64], tokens: NDArray[np.int64], chance: NDArray[np.uint64], keep: Keep
) -> NDArray[np.int64]:
    """The documents, those first that stay longest. Equal scores come by chance."""
    upward = np.lexsort((chance, scores))
    if keep == "low":
        return upward
    if keep == "high":
        return np.lexsort((chance, -scores))
    # How far each is from the median, in tokens that lie between.
    middles = np.cumsum(tokens[upward]) - tokens[upward] / 2
    return upward[np.argsort(np.abs(middles - tokens.sum() / 2), kind="stable")]


def _prefix(tokens: NDArray[np.int64], wanted: float) -> int:
    """How many of the first documents come nearest to `wanted` tokens: one at least."""
    return max(1, nearest_prefix(np.cumsum(tokens), wanted))


def nearest_prefix(ends: NDArray[np.int64], wanted: float) -> int:
    """How many of the first documents come nearest to `wanted` tokens, the fewer where two are as near.

    Args:
        ends: tokens up to the end of each document.
    """
    place = int(np.searchsorted(ends, wanted))
    if place >= len(ends):
        return len(ends)
    before = int(ends[place - 1]) if place else 0
    return place if wanted - before <= ends[place] - wanted else place + 1


def heldout_rows(documents: pa.Table, options: SweepOptions) -> dict[str, NDArray[np.int64]]:
    """The held-out documents of each domain, in the order of their keys, `max_tokens` of each at most. Of a source that
    pools take a part of, they are of that part.

    Raises:
        InputError: if a domain has none.
    """
    held = documents.column("split").to_numpy() == HELD_OUT
    tokens, hashes = documents.column("tokens").to_numpy(), documents.column("id_hash").to_numpy()
    found = {}
    for domain in options.domains():
        wanted = held & pc.equal(documents.column("source"), domain).to_numpy()
        pools = [documents.column(POOL + name) for name, pool in options.pools.items() if domain in pool.sources]
        if pools:
            wanted &= np.any([pool.to_numpy() for pool in pools], axis=0)
        rows = np.flatnonzero(wanted)
        rows = rows[np.argsort(keyed(hashes[rows], options.seed, "sweep/heldout"), kind="stable")]
        rows = rows[: _prefix(tokens[rows], options.heldout.max_tokens)] if len(rows) else rows
        if not tokens[rows].any():
            raise InputError(
                f"sweep.heldout: no document of {domain} is held out; raise heldout.share ({options.heldout.share}), "
                "or name a domain that has more documents"
            )
        found[domain] = rows
    return found


def heldout_counts(documents: pa.Table, options: SweepOptions) -> dict[str, dict[str, int]]:
    """How many `documents`, `clusters` of near-duplicates, `tokens` and `text_bytes` each held-out domain has.

    Raises:
        InputError: if a domain has none.
    """
    tokens, text_bytes = documents.column("tokens").to_numpy(), documents.column("text_bytes").to_numpy()
    groups = documents.column("group_hash").to_numpy()
    return {
        domain: {
            "documents": len(rows),
            "clusters": len(np.unique(groups[rows])),
            "tokens": int(tokens[rows].sum()),
            "text_bytes": int(text_bytes[rows].sum()),
        }
        for domain, rows in heldout_rows(documents, options).items()
    }


def sizes_of(documents: pa.Table, options: SweepOptions) -> tuple[int, ...]:
    """The sizes in tokens, upwards.

    Raises:
        RecipeError: if a pool has less.
    """
    available = {name: pool_tokens(documents, name) for name in options.pools}
    smallest = min(available, key=available.__getitem__)
    sizes = []
    for size in options.sizes:
        tokens = int(size) if size > 1 else int(size * available[smallest])
        if tokens < 1:
            raise RecipeError(f"sweep.pools.{smallest}: has no token to train on; look at the run's report")
        if tokens > available[smallest]:
            raise RecipeError(
                f"sweep.sizes: {tokens:,} tokens, and the pool {smallest} has {available[smallest]:,} to train on, "
                "beside what is held out; name smaller sizes, or shares such as 0.5 and 1"
            )
        sizes.append(tokens)
    return tuple(sorted(dict.fromkeys(sizes)))


def pool_tokens(documents: pa.Table, pool: str) -> int:
    """Tokens of a pool that can be trained on."""
    mine = pc.and_(documents.column(POOL + pool), pc.equal(documents.column("split"), TRAIN))
    return pc.sum(pc.if_else(mine, documents.column("tokens"), 0)).as_py() or 0


def check_scores(documents: pa.Table, options: SweepOptions) -> None:
    """Checks that every document of a pool has every score.

    Raises:
        InputError: naming the score, how many have none, and one of them.
    """
    for pool in options.pools:
        mine = documents.filter(documents.column(POOL + pool))
        for name, score in options.scores.items():
            values = mine.column(SCORE + name)
            missing = pc.or_kleene(pc.is_null(values, nan_is_null=True), pc.is_inf(values.fill_null(math.inf)))
            count = pc.sum(missing).as_py() or 0
            if count:
                example = mine.filter(missing).column("id")[0].as_py()
                raise InputError(
                    f"sweep.scores.{name}: {score.measure} is null for {count:,} of {len(mine):,} documents of the "
                    f"pool {pool}, such as {example}; a document without a score can be neither kept nor dropped by "
                    f"it. Narrow the pool by `where: {score.measure} is not null`, or take another score"
                )


def check_heldout(documents: pa.Table, whole: Iterable[str]) -> None:
    """Checks that no document of a source that is held out entirely has a near-duplicate among those to train on.

    Args:
        whole: the sources that are held out entirely.

    Raises:
        InputError: naming a document.
    """
    splits, groups = documents.column("split").to_numpy(), documents.column("group_hash").to_numpy()
    trained = np.zeros(len(documents), np.bool_)
    for name in documents.column_names:
        if name.startswith(POOL):
            trained |= documents.column(name).to_numpy()
    trained &= splits == TRAIN
    for source in whole:
        mine = np.flatnonzero(pc.equal(documents.column("source"), source).to_numpy())
        overlapping = mine[np.isin(groups[mine], groups[trained])]
        if len(overlapping):
            held = overlapping[0]
            near = np.flatnonzero(trained & (groups == groups[held]))[0]
            ids = documents.column("id")
            raise InputError(
                f"sweep.heldout.whole: {len(overlapping):,} of {len(mine):,} documents of {source} have near-copies "
                f"in the pools, such as {ids[held]} and {ids[near]}; losses on them would reward what was copied. "
                f"Remove them from one side (a stage with `against` or `precedence`), or name {source} under "
                "heldout.sources, which holds out whole clusters"
            )
