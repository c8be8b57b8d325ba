"""The mixture law: how the loss on each held-out domain follows from the shares that were trained on.

    L_i(r) = c_i + k_i · exp(Σ_j t_ij · r_j)

Ye et al. 2024, "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance"
(arXiv:2403.16952), section 3. The shares r_j sum to 1, so that ln k_i can be added to every t_ij without changing
anything; here it is, and a law has one parameter a component and its floor c_i, which is 0 or more.

Differs from the paper: the paper minimises Huber's loss from many starts. Here

- Huber's threshold is 1.345 robust standard deviations of the residuals, so that a run gone wrong counts little,
  whatever the unit of the loss;
- what the t_ij of one loss differ from their mean is held down by a ridge, as if they were drawn from a normal
  distribution. Cross-validation chooses its width: the widest that is as good as the best, for all that the runs can
  tell, since a narrow one bends the law;
- intervals come from the wild bootstrap (Wu 1986, Annals of Statistics 14(4)): the mixtures stay, and each run's
  residuals, divided by 1 − its leverage, change their sign or not, those of all losses together;
- where runs of one mixture show how large noise is, a test of lack of fit (Montgomery, Peck and Vining, "Introduction
  to Linear Regression Analysis", section 4.5) asks whether the law misses unseen runs by more than that. If so, it
  warns, and what it misses by widens intervals of predictions: a bootstrap knows only of laws of this form.

All fits of one call (starts, folds, draws) go down together by Levenberg and Marquardt's method, as arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri as fisher_quantile
from scipy.special import ndtri as normal_quantile
from scipy.special import stdtrit as student_quantile

from corpusmill.documents.errors import InputError
from corpusmill.scaling.mixtures.descent import EXPONENT, HUBER, MAD, Fitted, fit_all, leverages, starts

Floats = NDArray[np.float64]

WIDTHS = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""Of the distribution that the t_ij of a loss are held to; the smallest says that the mixture does not matter."""
FOLDS = 10
DRAWS = 400
INTERVAL = 0.95
SUM_TOLERANCE = 0.01
"""How far from 1 shares may sum; published tables round to three digits. They are scaled to 1."""

_EDGE = 0.005  # shares so close to what was tried count as tried: runs are made of whole documents
_LEVERAGE = 0.95  # of a run that a fit follows wholly; its residual says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Laws of several losses, and of several draws of each."""

    floor: Floats
    """c: float64[..., losses]."""
    slopes: Floats
    """t + ln k: float64[..., losses, components]."""

    def __call__(self, shares: Floats) -> Floats:
        """Losses float64[..., losses] at one mixture float64[components] of each draw, or at the same for all."""
        exponent = np.minimum((self.slopes * shares[..., None, :]).sum(-1), EXPONENT)
        return np.asarray(self.floor + np.exp(exponent))

    def at(self, shares: Floats) -> Floats:
        """Losses float64[..., mixtures, losses] of each draw at many mixtures float64[mixtures, components]."""
        exponent = np.minimum(np.matmul(self.slopes, shares.T), EXPONENT)
        return np.swapaxes(self.floor[..., None] + np.exp(exponent), -1, -2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Losses float64[mixtures, losses] with the bounds of their intervals. They are of the law, not of a single run,
    which has noise of its own."""

    loss: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureFit:
    """A fitted mixture law, with all that says how far to trust it."""

    components: tuple[str, ...]
    losses: tuple[str, ...]
    shares: Floats
    """Of the runs: float64[runs, components]."""
    observed: Floats
    """Losses of the runs: float64[runs, losses]."""
    law: Law
    """The estimates: floor float64[losses], slopes float64[losses, components]."""
    draws: Law
    """The same of every bootstrap draw: float64[draws, losses] and float64[draws, losses, components]."""
    residuals: Floats
    """Observed less fitted: float64[runs, losses]."""
    scale: Floats
    """Robust standard deviation of the residuals of each loss, for the degrees of freedom."""
    width: Floats
    """That cross-validation chose of `WIDTHS`, for each loss."""
    error: Floats
    """Cross-validated root mean square error of each loss."""
    miss: Floats
    """Standard deviation of what the law misses unseen runs by beyond noise, for each loss; 0 where runs of one mixture
    do not show that it does, or there are none."""
    spread: Floats
    """Standard deviation of each loss over the runs: what the law is to be better than."""
    warnings: tuple[str, ...] = field(default=())

    def predict(self, shares: ArrayLike, *, outside: bool = False) -> Prediction:
        """Losses at mixtures float64[mixtures, components], with intervals.

        Args:
            outside: predict mixtures outside of what was tried, too.

        Raises:
            InputError: if shares are no shares, or one is outside of what was tried.
        """
        wanted = checked_shares(shares, self.components)
        if not outside:
            for row, mixture in enumerate(wanted):
                if reason := self.outside(mixture):
                    raise InputError(
                        f"mixture {row}: {reason}; nothing is known of losses there. Run mixtures like it, or say that "
                        "the law shall be followed beyond them (outside=True)"
                    )
        loss = self.law.at(wanted)
        low, high = widened(loss, *interval(self.draws.at(wanted), loss), self.miss)
        return Prediction(loss=loss, low=low, high=high)

    def outside(self, mixture: Floats) -> str | None:
        """Why a mixture is outside of what was tried; None if it is inside.

        Inside is each share between the least and the most that a run had, and a leverage that is not above that of
        all runs (the hull of Montgomery, Peck and Vining, "Introduction to Linear Regression Analysis", section 3.8).
        """
        for name, share, low, high in zip(
            self.components, mixture, self.shares.min(axis=0), self.shares.max(axis=0), strict=True
        ):
            if not low - _EDGE <= share <= high + _EDGE:
                return f"{name} has a share of {share:.3%}, and was tried from {low:.3%} to {high:.3%} only"
        inverse = np.linalg.pinv(self.shares.T @ self.shares, hermitian=True)
        most = np.einsum("ni,ij,nj->n", self.shares, inverse, self.shares).max()
        if mixture @ inverse @ mixture > most + _EDGE:
            return "its shares were tried, but not together, nor anything between such mixtures"
        return None


def interval(draws: Floats, estimate: ArrayLike, share: float = INTERVAL) -> tuple[Floats, Floats]:
    """The bounds that hold the middle `share` of draws, which are along the first axis, moved so that the draws' median
    is the estimate: what refits of noisier data are off by together is no news of the estimate."""
    low, middle, high = np.quantile(draws, [(1 - share) / 2, 0.5, (1 + share) / 2], axis=0)
    return np.asarray(estimate + low - middle), np.asarray(estimate + high - middle)


def widened(estimate: ArrayLike, low: ArrayLike, high: ArrayLike, miss: ArrayLike) -> tuple[Floats, Floats]:
    """The bounds of an interval to which an error of the standard deviation `miss` is added.

    >>> low, high = widened(1.0, 0.997, 1.0, 0.004 / 1.96)
    >>> low.round(4).tolist(), high.round(4).tolist()
    (0.995, 1.004)
    """
    more = float(normal_quantile((1 + INTERVAL) / 2)) * np.asarray(miss, np.float64)
    below, above = np.subtract(estimate, low), np.subtract(high, estimate)
    return np.asarray(estimate - np.hypot(below, more)), np.asarray(estimate + np.hypot(above, more))


def checked_shares(shares: ArrayLike, components: Sequence[str], tolerance: float = SUM_TOLERANCE) -> Floats:
    """Mixtures float64[mixtures, components], each scaled to the sum 1.

    Raises:
        InputError: if they are none.
    """
    given = np.atleast_2d(np.asarray(shares, np.float64))
    if given.ndim != 2 or given.shape[1] != len(components):
        raise InputError(f"mixtures: an array of shape {given.shape} has no share for each of {len(components)}")
    if not len(components):
        raise InputError("mixtures: there is no component; name at least two")
    wrong = ~np.isfinite(given).all(axis=1) | (given < 0).any(axis=1)
    wrong |= ~(np.abs(np.where(np.isfinite(given), given, 0).sum(axis=1) - 1) <= tolerance)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"mixture {row}: {given[row].tolist()} are no shares; give numbers of 0 or more that sum to 1")
    return np.asarray(given / given.sum(axis=1, keepdims=True))


def fit_mixture_law(
    shares: ArrayLike,
    losses: ArrayLike,
    *,
    components: Sequence[str],
    names: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
) -> MixtureFit:
    """Fits the law of each loss.

    Args:
        shares: of the runs, float64[runs, components].
        losses: of the runs, float64[runs, losses], above 0.
        components: their names.
        names: of the losses.
        draws: of the bootstrap; at least 2.
        seed: of the folds and the draws.

    Raises:
        InputError: if the tables are no shares and losses, or there are fewer than three different mixtures.
    """
    given = checked_shares(shares, components)
    observed = _checked_losses(losses, len(given), names)
    if draws < 2:
        raise InputError(f"draws: {draws} give no interval; {DRAWS} do")
    random = np.random.default_rng(seed)
    different = len(np.unique(given.round(9), axis=0))
    if different < 3:
        raise InputError(
            f"mixtures: {different} different ones show no law; run at least {4 * len(components) + 1} of them"
        )
    targets = np.ascontiguousarray(observed.T)
    # Of a narrow width, descents can end beside the optimum that this one leads to: the fit starts as those that chose.
    start = starts(given, targets, np.ones(len(targets)))
    width, validated = _chosen_widths(given, observed, start, random)
    fitted = fit_all(given, targets, np.ones_like(targets), width**-2.0, start)
    residuals = observed - fitted.predicted.T
    law = Law(floor=fitted.theta[:, -1], slopes=fitted.theta[:, :-1])
    bootstrapped = _bootstrap(given, fitted, targets, width**-2.0, draws, random)
    error = np.sqrt(((observed - validated) ** 2).mean(axis=0))
    differ, miss = _lack_of_fit(given, observed, error)
    return MixtureFit(
        components=tuple(components),
        losses=tuple(names),
        shares=given,
        observed=observed,
        law=law,
        draws=bootstrapped,
        residuals=residuals,
        scale=fitted.scale,
        width=width,
        error=error,
        miss=miss,
        spread=observed.std(axis=0),
        warnings=(
            *_warnings(different, components, names, width, error, observed),
            *(
                f"{name}: the law misses unseen runs by {error[place]:.4g} where runs of one mixture differ by "
                f"{differ[place]:.4g}: its predictions are rough, and their intervals are widened by that"
                for place, name in enumerate(names)
                if miss[place]
            ),
        ),
    )


def _checked_losses(losses: ArrayLike, runs: int, names: Sequence[str]) -> Floats:
    given = np.asarray(losses, np.float64)
    if given.shape != (runs, len(names)) or not len(names):
        raise InputError(f"losses: an array of shape {given.shape} has no {len(names)} losses of {runs} runs")
    wrong = ~(np.isfinite(given) & (given > 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"run {row}: {given[row, column]} is no loss on {names[column]}; leave out runs that failed or diverged"
        )
    return given


def _warnings(
    different: int,
    components: Sequence[str],
    names: Sequence[str],
    width: Floats,
    error: Floats,
    observed: Floats,
) -> list[str]:
    found = []
    parameters = len(components) + 1
    if different <= parameters:
        found.append(
            f"{different} different mixtures for {parameters} parameters: what the law says rests on the ridge; "
            f"{4 * len(components) + 1} are usual"
        )
    unseen = observed.std(axis=0)
    for name, of_law, of_mean, chosen in zip(names, error, unseen, width, strict=True):
        if of_law >= of_mean or chosen == min(WIDTHS):
            found.append(
                f"{name}: flat; on runs that it has not seen the law is off by {of_law:.4g}, and the mean of all runs "
                f"by {of_mean:.4g}: that the mixture matters for this loss is not shown"
            )
    return found


def _lack_of_fit(shares: Floats, observed: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Of each loss, the standard deviation of runs of one mixture, and what the law misses by beyond that where a test
    shows it.

    The test is of the cross-validated error, which for a law that fits, with p parameters, is √(n / (n − p)) of noise.
    """
    runs, losses = observed.shape
    mixtures: list[list[int]] = []
    for run, mixture in enumerate(shares):
        same = [of_one for of_one in mixtures if np.abs(shares[of_one[0]] - mixture).max() <= _EDGE]
        if same:
            same[0].append(run)
        else:
            mixtures.append([run])
    free = runs - len(mixtures)
    parameters = shares.shape[1] + 1
    left = len(mixtures) - parameters
    if free < 1 or left < 1:
        return np.zeros(losses), np.zeros(losses)
    within = sum(((observed[one] - observed[one].mean(axis=0)) ** 2).sum(axis=0) for one in mixtures) / free
    most = within * float(fisher_quantile(left, free, INTERVAL)) * runs / (runs - parameters)
    return np.sqrt(within), np.where(error**2 > most, np.sqrt(np.maximum(error**2 - within, 0.0)), 0.0)


def _chosen_widths(
    shares: Floats, observed: Floats, start: Floats, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """The width with the least error on runs left out, for each loss, and the predictions of these runs
    float64[runs, losses]."""
    runs, losses = observed.shape
    folds = min(FOLDS, runs)
    fold = random.permutation(np.arange(runs) % folds)
    widths, targets = np.array(WIDTHS), observed.T
    # Fits by width, fold and loss.
    weights = np.repeat((fold[None, :] != np.arange(folds)[:, None]).astype(np.float64), losses, axis=0)
    weights = np.tile(weights, (len(widths), 1))
    repeated = np.tile(targets, (len(widths) * folds, 1))
    ridge = np.repeat(widths**-2.0, folds * losses)
    fitted = fit_all(shares, repeated, weights, ridge, np.tile(start, (len(widths) * folds, 1)))
    predicted = fitted.predicted.reshape(len(widths), folds, losses, runs)
    unseen = predicted[:, fold, :, np.arange(runs)]  # float64[runs, widths, losses]
    off = unseen - observed[:, None, :]
    # A run gone wrong must not choose: errors beyond Huber's threshold count by their size alone.
    size = np.abs(off)
    limit = HUBER * MAD * np.median(size, axis=0).min(axis=0)[None, None, :]
    robust = np.where(size <= limit, 0.5 * size**2, limit * (size - 0.5 * limit))
    least = robust.mean(axis=0).argmin(axis=0)
    more = robust - robust[:, least, np.arange(losses)][:, None, :]
    # WIDTHS come widest first: the first that is as good as the best, for all that the runs can tell.
    best = (more.mean(axis=0) <= more.std(axis=0) / math.sqrt(runs)).argmax(axis=0)
    return widths[best], unseen[:, best, np.arange(losses)]


def _bootstrap(
    shares: Floats, fitted: Fitted, targets: Floats, ridge: Floats, draws: int, random: np.random.Generator
) -> Law:
    """The law fitted again to what the runs might have given."""
    losses, runs = targets.shape
    leverage = leverages(shares, fitted, ridge)
    free = max(1, runs - shares.shape[1] - 1)
    # So few runs say less of the noise than a normal distribution would have it.
    wider = float(student_quantile(free, (1 + INTERVAL) / 2) / normal_quantile((1 + INTERVAL) / 2))
    residuals = wider * (targets - fitted.predicted) / (1 - np.minimum(leverage, _LEVERAGE))
    signs = random.choice(np.array([-1.0, 1.0]), (draws, 1, runs))
    again = (fitted.predicted[None] + signs * residuals[None]).reshape(draws * losses, runs)
    again = np.maximum(again, 1e-3 * targets.min())
    ended = fit_all(
        shares,
        again,
        np.ones_like(again),
        np.tile(ridge, draws),
        np.tile(fitted.theta, (draws, 1)),
        np.tile(fitted.scale, draws),
    )
    theta = ended.theta.reshape(draws, losses, -1)
    return Law(floor=theta[..., -1], slopes=theta[..., :-1])
