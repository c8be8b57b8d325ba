"""What stands between a grid's cells and what a reader takes them for: cells that are missing, pools and fractions that
whole documents do not come to, seeds that see the same documents, losses that do not differ, held-out documents that
are few.

Notes say what was found; sentences of the conclusion say what it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.folds import FOLDS
from corpusmill.scaling.frontier.conclusion import listed, tokens
from corpusmill.scaling.frontier.grid import SAME, Asked, Configuration, Floats, Grid
from corpusmill.scaling.frontier.seed_noise import Noise

_MOST_NAMED = 10
"""Missing cells in the notes."""
_OFF, _FAR_OFF = float(np.log(1.05)), float(np.log(1.5))
"""Tokens beside those asked for: from here on they are named, and from here on cells are not what they are called."""
_WHOLE = 0.98
"""Share of all tokens from which a pool is all of them: documents are whole."""
_OVERLAPPING = 0.5
"""... above which any two pools share documents."""


def notes(grid: Grid, noise: Noise | None, asked: Asked | None) -> list[str]:
    """What was found in a grid, each with its mend."""
    found = []
    lost = {seed for _, seed in grid.missing} - {*grid.seeds}
    gone = {one.size for one, _ in grid.missing} - {*grid.sizes}
    if len(grid.seeds) < 2:
        mend = "run those that are missing" if lost else "run more with `seeds`"
        found.append(f"one seed ({grid.seeds[0]}): no band; {mend}")
    elif noise is None and np.isnan(grid.log_loss).any(axis=1).all():
        found.append("no configuration has all its seeds: no band; run the missing cells")
    elif noise is None:
        found.append("the seeds give the same losses: no band; take pools smaller than the whole, or another proxy")
    if len(grid.sizes) < 2:
        mend = "run those that are missing" if gone else "name two `sizes` or more"
        found.append(f"one size ({grid.sizes[0]} tokens): no slope; {mend}")
    if RANDOM not in grid.scores:
        found.append("no random control: what is the score's doing cannot be told from what fewer tokens do")
    if ALL not in {one.score for one in grid.configurations}:
        found.append("no cell keeps everything: pruning cannot be held against not pruning")
    off = _off(grid)
    if (off > _OFF).any():
        count = int((off > _OFF).sum())
        cells = "1 cell is off its" if count == 1 else f"{count} cells are off their"
        found.append(f"{cells} size or fraction by more than 5 %: {_worst(grid)}")
    return [*found, *_missing(grid, lost, gone), *_overlaps(grid, noise, asked), *_heldout(grid, noise)]


def sentences(grid: Grid, asked: Asked | None) -> list[str]:
    """Of the conclusion."""
    weights = {} if asked is None else asked.weights.get(grid.pool, {})
    judged = [_judged(weights)] if len(weights) > 1 and any(weights.values()) else []
    off = _off(grid)
    if not (off > _OFF).any():
        return judged
    far = int((off > _FAR_OFF).sum())
    called = (
        f" {far} of them are off by more than a factor of 1.5 and are not what they are called; take larger sizes."
        if far
        else ""
    )
    return [
        *judged,
        f"Whole documents do not come to the sizes and fractions that were asked for: {int((off > _OFF).sum())} of "
        f"{int((~np.isnan(grid.log_loss)).sum())} cells are off by more than 5 %; the worst is {_worst(grid)}. Curves "
        f"are over the tokens that were kept.{called}",
    ]


def _judged(weights: Mapping[str, float]) -> str:
    """Which held-out domains the losses are of, and which not."""
    on = {domain: weight for domain, weight in weights.items() if weight}
    alike = max(on.values()) - min(on.values()) < SAME
    named = ", ".join(domain if alike else f"{domain} ({weight:.0%})" for domain, weight in on.items())
    off = ", ".join(domain for domain in weights if domain not in on)
    if len(on) == 1:
        told = f"Losses are those on held-out text of {named} alone"
    else:
        told = f"Losses are {'means' if alike else 'weighted means'} over held-out text of {named}"
    return f"{told}; {off} {'is' if len(weights) - len(on) == 1 else 'are'} not in them." if off else f"{told}."


def absent_panels(found: Iterable[Grid], asked: Asked | None) -> list[str]:
    """A note for each pool and proxy that was asked for and has no cell at all."""
    if asked is None:
        return []
    there = {(grid.pool, grid.proxy) for grid in found}
    return [
        f"missing: all cells of pool {pool}, proxy {proxy}; the rest was analysed"
        for pool in sorted(asked.pool_tokens)
        for proxy in sorted(asked.proxies)
        if (pool, proxy) not in there
    ]


def _off(grid: Grid) -> Floats:
    """By how much of a logarithm each cell's pool or fraction is not as asked, the larger of both; 0 if missing."""
    asked = np.array([[one.size, one.fraction] for one in grid.configurations])
    pool = np.log(grid.pool_of_cells / asked[:, :1])
    kept = np.log(grid.kept_of_cells / (asked[:, 1:] * grid.pool_of_cells))
    return np.asarray(np.nan_to_num(np.maximum(np.abs(pool), np.abs(kept))))


def _worst(grid: Grid) -> str:
    """The cell that is furthest off, in words."""
    i, j = np.unravel_index(int(np.argmax(_off(grid))), grid.log_loss.shape)
    one, pool, kept = grid.configurations[i], float(grid.pool_of_cells[i, j]), float(grid.kept_of_cells[i, j])
    return (
        f"{one} of {tokens(one.size)} tokens, seed {grid.seeds[j]}, which keeps {100 * kept / pool:.3g} % of "
        f"{tokens(pool)} tokens"
    )


def _missing(grid: Grid, seeds: set[int], sizes: set[int]) -> list[str]:
    """Cells by name, but for all those of `seeds` and `sizes`, and of a treatment, which have one note each."""
    kinds = {(one.score, one.fraction) for one, _ in grid.missing}
    kinds -= {(one.score, one.fraction) for one in grid.configurations}
    found = [f"missing: all cells of {listed('seed', seeds)}"] if seeds else []
    found += [f"missing: all cells of {size} tokens" for size in sorted(sizes)]
    found += [f"missing: all cells of {Configuration(0, *kind)}" for kind in sorted(kinds)]
    single = [
        f"missing: {one} at {one.size} tokens, seed {seed}"
        for one, seed in grid.missing
        if seed not in seeds and one.size not in sizes and (one.score, one.fraction) not in kinds
    ]
    found = [f"{note}; the rest was analysed" for note in (*found, *single[:_MOST_NAMED])]
    if len(single) > _MOST_NAMED:
        found.append(f"missing: {len(single) - _MOST_NAMED} more cells, all named under `missing`")
    return found


def _heldout(grid: Grid, noise: Noise | None) -> list[str]:
    """What is not known of the held-out documents as a sample, or known from few."""
    if noise is None:
        return []
    if noise.heldout is None:
        cells = int((~np.isnan(grid.log_loss)).sum())
        told, mend = "no cell tells", ""
        if grid.without_errors < cells:
            told = f"{grid.without_errors} of {cells} cells do not tell"
            mend = "; to train those again, remove their files from the sweep's `tasks`"
        missed = "bands do not include what other documents would have said"
        return [f"{told} what single held-out documents cost: {missed}{mend}"]
    fewest = min(domain.shape[1] for domain in grid.heldout_errors)
    if fewest >= FOLDS:
        return []
    return [
        f"a held-out domain has {fewest} clusters of documents alone, which makes bands wide; raise `heldout.share` or "
        "`heldout.max_tokens`"
    ]


def _overlaps(grid: Grid, noise: Noise | None, asked: Asked | None) -> list[str]:
    """Sizes at which seeds see the same documents: by their tokens where those of the whole pool are known."""
    total = None if asked is None else asked.pool_tokens.get(grid.pool)
    found = []
    for size in grid.sizes if len(grid.seeds) > 1 else ():
        of = grid.of_size(size)
        share = 0.0 if total is None else float(np.nanmin(grid.pool_of_cells[of])) / total
        spread = np.nanmax(grid.log_loss[of], axis=1) - np.nanmin(grid.log_loss[of], axis=1)
        if share >= _WHOLE:
            found.append(
                f"at {size} tokens the pool is used whole: seeds differ in order and start alone, so bands there do "
                "not include what another pool would have done"
            )
        elif share > _OVERLAPPING:
            found.append(
                f"at {size} tokens each seed's pool is {share:.0%} of all there is, so any two share at least "
                f"{2 - 1 / share:.0%} of their tokens: bands there include only a part of what another pool would do"
            )
        elif noise is not None and np.median(spread) < SAME:
            reason = "as where the pool is used whole" if total is None else "though their pools are not the same"
            found.append(
                f"at {size} tokens most seeds give the same loss, {reason}: bands there do not include what another "
                "pool would have done"
            )
    return found
