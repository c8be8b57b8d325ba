"""What a sweep shows: curves, frontiers, slopes, multipliers, the best fraction of each budget, and how sure it all is.

`analyse(cells, options)` takes the table of `contract.CELLS` and gives an `Analysis`, whose `as_dict()` is plain JSON:

    version      2
    confidence   .95: of every interval below
    draws, seed  of the simulation behind the intervals
    conclusion   [sentence]: what is shown, what is not shown, and what the experiment cannot tell
    notes        [sentence]: what was left out of the whole table
    panels       [panel], one for each (pool, proxy), in order of their names
    agreement    {"proxies": [agreement], "sizes": [agreement]}

An *estimate* is {"value", "low", "high"}; low and high are null where nothing can be said (one seed). A panel:

    pool, proxy, parameters (null for a proxy that has none)
    sizes [int], fractions [float, ascending, 1 included], scores [string, without `all`; `random` last], seeds [int]
    notes        [sentence]: no slope, no band, missing cells, ...
    conclusion   [sentence]: of this panel alone
    claims       [{score, better_than_random, worse_than_random, better_than_all (booleans: shown at some fraction and
                 size), steeper, grows}] for each score but `random`, adjusted for all scores together
    missing      [{score, fraction, size, seed}]: cells that the grid has and the table has not; the grid is that of
                 sweep.json where it is known, else what the table's cells span
    noise        {seed, cell, degrees, heldout}: how much losses differ between seeds, as shares of the loss: what all
                 cells of a seed and size share, and what is left of a single cell; and by the choice of held-out
                 documents (null: not known); null for one seed
    cells        [{score, fraction, size, kept_tokens, train_tokens, epochs, seeds, loss, low, high, standard_error,
                   domains: {domain: {loss, standard_error}}}]
                 means over the seeds; low, high and standard_error null for one seed. They have in them what the choice
                 of held-out documents does to a cell beside the others of its panel; those of domains have not
    curves       [{score, fraction, size [], kept_tokens [], loss [], low [], high []}] over the sizes, ascending
    frontiers    [{score, kept_tokens [], loss [], low [], high [], fraction [], points}], `random` included: the lower
                 left envelope over kept tokens, on a logarithmic grid; `fraction` is that of the curve that leads;
                 points: [{fraction, size, kept_tokens, loss}], the cells than which none has less of both
    control      {kept_tokens [], loss [], low [], high [], degree, whole}: the curve through all cells that keep
                 everything or keep by chance, which the multipliers invert; whole: only those that keep everything are
                 on it, as the others have other epochs; null where there is none
    slopes       [{score, from_tokens, to_tokens, slope, control, difference, growth, steeper, grows, local}]: d ln
                 loss / d ln kept tokens along the frontier, of the control's over the same tokens, and their difference
                 (estimates; negative: steeper); growth: d ln multiplier / d ln kept tokens (estimate or null), 0 where
                 pruning is worth a constant factor of data; steeper: true, false (shallower), null (not shown),
                 grows: the same of growth: true, false (shrinks), null;
                 local: [{from_tokens, to_tokens, slope, control, difference}], pieces of the same range
    multipliers  [{score, fraction, size, compute, data, bound}]: tokens of the control at equal loss / the cell's, in
                 tokens trained on (null where the control's do not rise with its unique tokens) and in unique tokens
                 (estimates); bound: `within`, or `at_least`, `at_most` where more than 1 draw in 40 puts the loss
                 beyond all that the control reached: the values are then bounds that 39 draws in 40 keep to, and low
                 and high are null; one that may lie beyond both ends is left out
    effects      [{score, fraction, size, against, change, p_value, shown}]: relative change of the loss (estimate, its
                 interval adjusted for all effects of the sweep together; negative: better) against `random` or `all`;
                 size null: the mean over sizes; shown: the adjusted interval leaves out zero
    best         [best], one for each size, that is, for each budget; none where the losses of a size do not differ:
        size, train_tokens (null where it differs between fractions), kept_tokens, score, fraction, loss
        not_distinguishable  [{score, fraction, loss, change}]: all within noise of the best, the best first; change: an
                             adjusted estimate relative to the best
        lowest_fraction, highest_fraction    of those
        against_all, against_random          {change, shown} or null; random at the same fraction

An agreement (`proxies` at equal size, `sizes` with one proxy; of a and b the larger is b), of seeds that only one side
has, and so of other documents, averaged over the ways to split them:

    pool; size, proxies [a, b] and larger_by (`parameters`, `flops`, `seconds`: what says that b is the larger; null:
                         nothing does), or proxy and sizes [a, b]
    configurations       how many (score, fraction) both have
    seeds                [number of a's, of b's]
    same_seeds           true where there is one seed alone: then what is luck in a is luck in b, and all is overstated
    shared_documents     the share of a's documents that is to be expected among b's; null where the whole pool's size
                         is not known
    decision_accuracy    estimate: share of pairs of them whose losses differ in the same direction
    decided              estimate or null: the same, of the pairs that b tells apart
    spearman, kendall    estimates: rank correlations
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.documents.errors import RecipeError
from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier import caveats
from corpusmill.scaling.frontier.agreement import Run, over_proxies, over_sizes
from corpusmill.scaling.frontier.analysed import Agreements, Analysis, Curve, DomainLoss, Mean, Missing, Panel, Spread
from corpusmill.scaling.frontier.best_fraction import best_fractions, effects, is_better
from corpusmill.scaling.frontier.conclusion import concluded, summary
from corpusmill.scaling.frontier.frontier import control, control_curve, frontier
from corpusmill.scaling.frontier.grid import Asked, Floats, Grid, grids
from corpusmill.scaling.frontier.multipliers import multipliers
from corpusmill.scaling.frontier.seed_noise import Noise, measured_noise
from corpusmill.scaling.frontier.slopes import Slope, slopes

__all__ = ["VERSION", "Analysis", "AnalysisOptions", "Asked", "analyse"]

VERSION = 2
_FEWEST_DRAWS, _MOST_DRAWS = 200, 20_000


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """How intervals are made.

    Raises:
        RecipeError: if a value cannot be used.
    """

    draws: int = 2000
    """Of the means' errors. Fewer than 1,000 make the ends of intervals uncertain themselves."""
    seed: int = 0
    """Of those draws."""

    def __post_init__(self) -> None:
        if not _FEWEST_DRAWS <= self.draws <= _MOST_DRAWS:
            raise RecipeError(f"draws: {self.draws} must be from {_FEWEST_DRAWS} to {_MOST_DRAWS}")
        if self.seed < 0:
            raise RecipeError(f"seed: {self.seed} must be 0 or more")


CONFIDENCE = 0.95
"""Of every interval. Verdicts share what is left of it among the panels."""


def analyse(cells: pa.Table, options: AnalysisOptions | None = None, asked: Asked | None = None) -> Analysis:
    """All that a sweep's cells say.

    Args:
        asked: for what the sweep was to be, so that whole seeds that are missing are called so, and pools that are used
            whole are known.

    Raises:
        InputError: if the table is none of cells, or a cell has a loss that no cell can have; it is named.
    """
    options = options or AnalysisOptions()
    found = grids(cells, asked)
    confidence = 1 - (1 - CONFIDENCE) / len(found)
    panels, runs = [], []
    for number, grid in enumerate(found):
        noise = measured_noise(grid, draws=options.draws, seed=options.seed + number)
        means = np.nanmean(grid.log_loss, axis=1) if noise is None else noise.means
        panels.append(_panel(grid, means, noise, confidence, asked))
        of_seeds = None if noise is None else noise.of_seeds()  # both sides of an agreement see the same documents
        runs.append(Run(grid=grid, means=means, noise=of_seeds, confidence=confidence))
    agreement = Agreements(proxies=over_proxies(runs, cells, asked), sizes=over_sizes(runs, asked))
    holes = sum(len(panel.missing) for panel in panels)
    notes = [f"{holes} cells of the grid are missing; all else was analysed."] if holes else []
    return Analysis(
        version=VERSION,
        confidence=CONFIDENCE,
        draws=options.draws,
        seed=options.seed,
        conclusion=summary(panels, agreement),
        notes=[*notes, *caveats.absent_panels(found, asked)],
        panels=panels,
        agreement=agreement,
    )


def _panel(grid: Grid, means: Floats, noise: Noise | None, confidence: float, asked: Asked | None) -> Panel:
    curve = control_curve(grid, noise)
    against = effects(grid, means, noise, confidence)
    better = {one.score for one in against if one.against == RANDOM and is_better(one)}
    steep: list[Slope] = []
    without: list[str] = []
    if len(grid.sizes) > 1 and not grid.is_level():
        steep, without = slopes(grid, curve, means, noise, confidence=confidence, shown=better)
    cells = _cells(grid, means, noise)
    return concluded(
        Panel(
            pool=grid.pool,
            proxy=grid.proxy,
            parameters=grid.parameters,
            sizes=list(grid.sizes),
            fractions=list(grid.fractions),
            scores=list(grid.scores),
            seeds=list(grid.seeds),
            notes=[*caveats.notes(grid, noise, asked), *without],
            conclusion=[],
            claims=[],
            missing=[
                Missing(score=one.score, fraction=one.fraction, size=one.size, seed=seed) for one, seed in grid.missing
            ],
            noise=None
            if noise is None
            else Spread(seed=noise.seed, cell=noise.cell, degrees=noise.degrees, heldout=noise.heldout),
            cells=cells,
            curves=_curves(grid, cells),
            frontiers=[frontier(grid, score, means, noise) for score in grid.scores],
            control=None if curve is None else control(curve, means, noise),
            slopes=steep,
            multipliers=[] if curve is None or grid.is_level() else multipliers(grid, curve, means, noise),
            effects=against,
            best=best_fractions(grid, means, noise, confidence),
        ),
        caveats.sentences(grid, asked),
    )


def _cells(grid: Grid, means: Floats, noise: Noise | None) -> list[Mean]:
    taken = (~np.isnan(grid.log_loss)).sum(axis=1)
    found = []
    for i, one in enumerate(grid.configurations):
        low = high = error = None
        if noise is not None:
            ends = np.quantile(noise.draws[:, i], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            low, high = float(np.exp(means[i] - ends[1])), float(np.exp(means[i] - ends[0]))
            error = float(np.exp(means[i]) * np.sqrt(noise.covariance[i, i]))
        found.append(
            Mean(
                score=one.score,
                fraction=one.fraction,
                size=one.size,
                kept_tokens=float(grid.kept_tokens[i]),
                train_tokens=float(grid.train_tokens[i]),
                epochs=float(grid.epochs[i]),
                seeds=int(taken[i]),
                loss=float(np.exp(means[i])),
                low=low,
                high=high,
                standard_error=error,
                domains={name: _domain(values[i]) for name, values in grid.domains.items()},
            )
        )
    return found


def _domain(losses: Floats) -> DomainLoss:
    there = losses[~np.isnan(losses)]
    error = float(there.std(ddof=1) / np.sqrt(len(there))) if len(there) > 1 else None
    return DomainLoss(loss=float(there.mean()) if len(there) else None, standard_error=error)


def _curves(grid: Grid, cells: list[Mean]) -> list[Curve]:
    found = []
    for score in (ALL, *grid.scores):
        fractions = {one.fraction for one in grid.configurations if one.score == score}
        for fraction in sorted(fractions, reverse=True):
            of = [cells[i] for i in grid.curve(score, fraction)]
            banded = all(one.low is not None for one in of)
            found.append(
                Curve(
                    score=score,
                    fraction=fraction,
                    size=[one.size for one in of],
                    kept_tokens=[one.kept_tokens for one in of],
                    loss=[one.loss for one in of],
                    low=[one.low for one in of if one.low is not None] if banded else None,
                    high=[one.high for one in of if one.high is not None] if banded else None,
                )
            )
    return found
