"""What the mean losses of configurations may be off by: how much they differ between seeds, from few seeds of many
configurations, and how much hangs on which documents are held out.

Three seeds say little of one configuration's variance, and a bootstrap over three seeds is too narrow: it draws from
ten resamples, and its variance is a third too small. What they say of all configurations together is much. So the
logarithm of a loss is taken apart by an analysis of variance,

    y[g, s] = mean[g] + shared[size, s] + along[score, size, s] + own[g, s]

since a seed decides on one pool for all configurations of a size, and a score keeps much the same documents at
neighbouring fractions. The variance of `own` follows powers of the size and of the fraction. As configurations differ
from that, each contrast's variance is moved towards what its own seeds say, with a weight that is estimated from how
widely the variances of configurations scatter: the empirical Bayes of Smyth 2004 ("Linear models and empirical Bayes
methods for assessing differential expression", Stat. Appl. Genet. Mol. Biol. 3:3, section 4), here for a covariance
instead of a variance, so that it holds for every contrast at once. What all cells of a size share is not pooled over
sizes, whose pools contain one another: it has as many degrees of freedom as there are seeds, less one.

All cells are evaluated on the same held-out documents, so no seed shows what others would have said. Where cells have
`heldout_errors` (scaling/folds.py), their covariance is added. What all configurations have in common of them is left
out: that these documents are harder than others is no error of any comparison.

`Noise.draws` are what the means' errors could have been: normal errors, times the uncertainty of their variance
(which makes Student's t of them). Intervals, and thresholds for many questions at once, are read off them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from corpusmill.scaling.frontier.grid import SAME, Floats, Grid, Integers

SMALLEST = SAME**2
"""Variance of a logarithm that counts as none."""
_SLOPES = (-2.0, 0.5)
"""Of the logarithm of a variance against that of the size or the fraction; -1 where documents count by their number."""
_USUAL_SLOPE, _SLOPE_SPREAD = -0.3, 0.3
"""Mean and standard deviation of what is expected of them, for grids too small to tell."""
_MOST_COMMON = 0.8
"""Share of a configuration's variance that it may have in common with the score's other fractions."""
_LEAST_RATIO = 1e-3
"""A smaller share of the modelled variance counts as this one: a pool that is used whole is the same for all seeds."""
_LEAST_PRIOR, _MOST_PRIOR = 1.0, 1e4


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the means of a grid may be off by."""

    means: Floats
    """Of the log losses of each configuration, cells that are missing allowed for."""
    draws: Floats
    """draws x configurations: errors of the means."""
    covariance: Floats
    """Of these errors, before the uncertainty of their own size is added."""
    seed_draws: Floats
    seed_covariance: Floats
    """The part of both that seeds have, without that of the choice of held-out documents."""
    seed: float
    """Standard deviation of what the cells of one seed and size share."""
    cell: float
    """Standard deviation of what is left of one cell, the root mean square over configurations."""
    degrees: float
    """Of freedom, of comparisons within a size."""
    heldout: float | None
    """Standard deviation of a mean by the choice of held-out documents, the root mean square over configurations; None
    where nothing tells."""

    def of_seeds(self) -> Noise:
        """Without what the choice of held-out documents does: for what is asked of these documents alone."""
        return replace(self, draws=self.seed_draws, covariance=self.seed_covariance, heldout=None)

    def standard_errors(self, contrasts: Floats) -> Floats:
        """Of rows of weights over the configurations."""
        variances = np.einsum("ij,jk,ik->i", contrasts, self.covariance, contrasts)
        return np.asarray(np.sqrt(np.maximum(variances, SMALLEST)))


def measured_noise(grid: Grid, *, draws: int, seed: int) -> Noise | None:
    """The noise of a grid; None where nothing measures it: one seed, or seeds that change nothing."""
    filled, present = _filled(grid)
    configurations, seeds = filled.shape
    # Where a pool is used whole, all seeds may give one and the same loss. That is one look at it, not several.
    copied = (np.ptp(filled, axis=1) < SAME) & (present.sum(axis=1) > 1)
    taken = np.where(copied, 1, present.sum(axis=1))
    if taken.max() < 2:
        return None
    means = filled.mean(axis=1)
    parts = _parts(grid, filled - means[:, None], ~copied)
    shared, own = parts.shared, parts.own
    variances, common, prior = _model(grid, parts, int((~present[~copied]).sum()))
    degrees = prior + seeds - 1
    weight = prior / degrees
    within = (1 - weight) * (own @ own.T) / (seeds - 1) + weight * np.diag(variances - common)
    rng = np.random.default_rng(seed)
    errors = rng.standard_normal((draws, configurations)) * np.sqrt(weight * (variances - common))
    errors += rng.standard_normal((draws, seeds)) @ own.T * np.sqrt((1 - weight) / (seeds - 1))
    for of in _groups(grid, np.ones(configurations, bool)):
        root = np.sqrt(weight * common[of])
        within[np.ix_(of, of)] += np.outer(root, root)
        errors[:, of] += rng.standard_normal((draws, 1)) * root
    errors *= np.sqrt(degrees / rng.chisquare(degrees, (draws, 1))) / np.sqrt(taken)
    together = rng.standard_normal((draws, seeds)) @ shared.T / np.sqrt((seeds - 1) * seeds)
    together *= np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, (draws, 1)))
    live = parts.live if parts.live.any() else ~copied
    covariance = within / np.sqrt(np.outer(taken, taken)) + shared @ shared.T / ((seeds - 1) * seeds)
    of_seeds = errors + together
    # What all configurations have in common is no error of any comparison.
    heldout = [domain - domain.mean(axis=0) for domain in grid.heldout_errors]
    chosen = np.zeros_like(of_seeds)
    for domain in heldout:
        freedom = domain.shape[1] - 1
        scales = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1)))
        chosen += rng.standard_normal((draws, domain.shape[1])) @ domain.T * scales
    return Noise(
        means=means,
        draws=of_seeds + chosen,
        covariance=covariance + sum(domain @ domain.T for domain in heldout),
        seed_draws=of_seeds,
        seed_covariance=covariance,
        seed=float(np.sqrt((shared[~copied] ** 2).sum(axis=1).mean() / (seeds - 1))),
        cell=float(np.sqrt((own[live] ** 2).sum(axis=1).mean() / (seeds - 1))),
        degrees=degrees,
        heldout=float(np.sqrt(sum((domain**2).sum(axis=1).mean() for domain in heldout))) if heldout else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What is left of log losses when their means are taken off, in two parts; configurations x seeds."""

    shared: Floats
    own: Floats
    """Made larger by what taking off the shared part took from it."""
    live: NDArray[np.bool_]
    """Configurations whose `own` says something of noise: not copies, and not alone in their size."""
    freedom: float


def _parts(grid: Grid, rest: Floats, varied: NDArray[np.bool_]) -> _Parts:
    sizes = np.array([one.size for one in grid.configurations])
    shared, own = np.zeros_like(rest), np.zeros_like(rest)
    live = np.zeros(len(rest), bool)
    freedom = 0.0
    for size in np.unique(sizes):
        of = (sizes == size) & varied
        count = int(of.sum())
        if count:
            shared[of] = rest[of].mean(axis=0)
        if count > 1:
            own[of] = (rest[of] - shared[of]) * np.sqrt(count / (count - 1))
            live |= of
            freedom += (count - 1) * (rest.shape[1] - 1)
    return _Parts(shared=shared, own=own, live=live, freedom=freedom)


def _filled(grid: Grid) -> tuple[Floats, NDArray[np.bool_]]:
    """Log losses with missing cells put in as their configuration's mean plus their seed's effect at their size."""
    present = ~np.isnan(grid.log_loss)
    filled = np.where(present, grid.log_loss, np.nanmean(grid.log_loss, axis=1, keepdims=True))
    if present.all():
        return filled, present
    sizes = np.array([one.size for one in grid.configurations])
    for _ in range(200):  # least squares of an incomplete two-way table, by turns
        means = filled.mean(axis=1, keepdims=True)
        guess = np.empty_like(filled)
        for size in np.unique(sizes):
            of = sizes == size
            guess[of] = means[of] + (filled[of] - means[of]).mean(axis=0)
        filled = np.where(present, grid.log_loss, guess)
    return filled, present


def _model(grid: Grid, parts: _Parts, missing: int) -> tuple[Floats, Floats, float]:
    """The variances of `own`, the part of them that a score's fractions share, and how far this model is trusted."""
    own, degrees = parts.own, parts.own.shape[1] - 1
    each = (own**2).sum(axis=1) / degrees
    variances = _trend(grid, each, parts.live, degrees)
    freedom = max(parts.freedom - missing, 1.0)
    sizes = np.array([one.size for one in grid.configurations])
    beside = {size: int((parts.live & (sizes == size)).sum()) for size in grid.sizes}
    groups = [of for of in _groups(grid, parts.live) if len(of) < beside[sizes[of[0]]]]
    ratios = (each / variances)[parts.live]
    if not groups:
        return variances, np.zeros_like(variances), min(_prior_degrees(ratios, degrees), freedom)
    # The mean over a score's fractions varies more than independent cells would let it: that is what they share.
    # Taking off the shared part took more from a mean over several than `own` was made larger by.
    taken = np.array([(beside[sizes[of[0]]] - 1) / (beside[sizes[of[0]]] - len(of)) for of in groups])
    seen = taken * [float((own[of].mean(axis=0) ** 2).sum() / degrees) for of in groups]
    expected = np.array([variances[of].sum() / len(of) ** 2 for of in groups])
    common = np.minimum(max(0.0, float((seen - expected).mean())), _MOST_COMMON * variances)
    modelled = [(np.sqrt(common[of]).sum() ** 2 + (variances - common)[of].sum()) / len(of) ** 2 for of in groups]
    ratios = np.concatenate([ratios, seen / np.array(modelled)])
    # What scores share is known from fewer numbers than the rest (Satterthwaite 1946).
    share = float((common / variances)[parts.live].mean())
    between = max(len(groups) - len({sizes[of[0]] for of in groups}), 1) * degrees
    freedom = 1 / (share**2 / between + (1 - share) ** 2 / freedom)
    return variances, common, min(_prior_degrees(ratios, degrees), freedom)


def _groups(grid: Grid, chosen: NDArray[np.bool_]) -> list[Integers]:
    """The chosen configurations of each score and size that has several."""
    kinds = sorted({(one.size, one.score) for one in grid.configurations})
    found = [
        [i for i, one in enumerate(grid.configurations) if chosen[i] and (one.size, one.score) == kind]
        for kind in kinds
    ]
    return [np.array(of, np.int64) for of in found if len(of) > 1]


def _trend(grid: Grid, variances: Floats, live: NDArray[np.bool_], degrees: int) -> Floats:
    """Variances along powers of the size and of the fraction: a gamma regression with a logarithmic link.

    The fraction has a power of its own: the fewer documents stay, the more of what stays is chance, in any pool.
    """
    if not live.any():
        return np.full_like(variances, SMALLEST)
    seen = variances[live]
    mean = max(float(seen.mean()), SMALLEST)
    columns = np.log([[one.size, one.fraction] for one in grid.configurations])
    levels = columns - columns[live].mean(axis=0)

    def unlikeliness(slopes: Floats) -> float:
        fit = np.log(np.mean(seen / mean * np.exp(-levels[live] @ slopes)) + SMALLEST)
        return float(len(seen) * degrees / 2 * fit + ((slopes - _USUAL_SLOPE) ** 2).sum() / (2 * _SLOPE_SPREAD**2))

    bounds = [_SLOPES if np.ptp(column) > 0 else (0.0, 0.0) for column in levels[live].T]
    slopes = optimize.minimize(unlikeliness, np.zeros(2), method="L-BFGS-B", bounds=bounds).x
    shape = np.exp(levels @ slopes)
    return np.asarray(np.maximum(shape * np.mean(seen / shape[live]), SMALLEST))


def _prior_degrees(ratios: Floats, degrees: int) -> float:
    """How many degrees of freedom the model is worth, from how widely variances scatter about it (Smyth's d0).

    The logarithm of a variance with `degrees` scatters by trigamma(degrees / 2) if the model is right; what is more
    than that is trigamma(d0 / 2).
    """
    excess = float(np.var(np.log(np.maximum(ratios, _LEAST_RATIO)), ddof=1)) if len(ratios) > 2 else 0.0
    excess -= float(special.polygamma(1, degrees / 2))
    if excess <= special.polygamma(1, _MOST_PRIOR / 2):
        return _MOST_PRIOR
    if excess >= special.polygamma(1, _LEAST_PRIOR / 2):
        return _LEAST_PRIOR
    return float(optimize.brentq(lambda prior: special.polygamma(1, prior / 2) - excess, _LEAST_PRIOR, _MOST_PRIOR))
