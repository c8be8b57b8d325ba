"""Pools whose worth decays as they are repeated, and what mixtures of them will do.

    y_k = a · n_1^{b_1} · Π_{j=2..k} (n_j / n_{j−1})^{b_j} + d,    b_j = b · (1/2)^{(j−1)/τ}

Goyal et al. 2024 (arXiv:2404.07177): n_j is what has been seen by the end of epoch j (samples there, tokens here). Each
pool has its own utility b < 0, which halves every τ epochs; a and d are the same for all pools. A mixture of p pools is
a pool of their joint size with

    b_j = the mean of its pools' b_j,    each τ being p times as long,

since a mixture's epoch is p times a pool's: so mixtures are predicted from runs on single pools. Filtering therefore
depends on compute: the best pool alone wins at first, more pools win once it has been repeated.

[S] the formula, from overviews of the paper; the rule for mixtures and what is shared were
read in the authors' code (locuslab/scaling_laws_data_filtering). Differs from both: all pools are fitted at once by
least squares in log loss, with intervals, where they search a grid pool by pool; pools of unequal size weigh by their
size, and τ grows by the size of the mixture over that of the pool, which for equal pools is theirs. n may be counted in
a `unit`: in their code, which has a = 1, that is a fitted number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.laws.descent import Floats, Surface
from corpusmill.scaling.laws.diagnosis import Need, Parameter
from corpusmill.scaling.laws.fit import Estimate, checked, grid, require_within, solve

LAW = "law of pools"
LARGEST_EPOCHS = 1000
_LARGEST_POOLS = 50
_UTILITIES = (0.05, 0.15, 0.4)
_HALF_LIVES = (1.0, 4.0, 20.0)
_FLOORS = (0.0, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What one pool is worth.

    tokens     in one epoch
    utility    b, below 0: the exponent of its first epoch
    half_life  τ: epochs after which a repetition is worth half as much
    longest    epochs that were fitted: mixtures are predicted up to as many
    """

    tokens: float
    utility: Estimate
    half_life: Estimate
    longest: float


@dataclass(frozen=True, kw_only=True)
class PoolFit:
    """All pools, fitted together.

    scale, floor  a and d
    unit          n is tokens divided by it
    pools         by name
    seen          the fewest and the most tokens of a run
    residuals     ln of the predicted less ln of the observed loss, for each point
    warnings      plain sentences: what the data do not tell
    """

    scale: Estimate
    floor: Estimate
    unit: float
    pools: Mapping[str, Pool]
    seen: tuple[float, float]
    residuals: Floats
    warnings: tuple[str, ...]

    def predict(self, pools: Sequence[str], tokens: float, *, extrapolate: bool = False) -> float:
        """The loss after training on so many tokens of these pools put together.

        Raises:
            InputError: if a pool is not known or named twice.
            ExtrapolationError: beyond the tokens, or the epochs, of the runs that were fitted, unless `extrapolate`.
        """
        if not pools or len(set(pools)) < len(pools):
            raise InputError(f"{LAW}: {list(pools)!r} must be different pools, one at least")
        if unknown := sorted(set(pools) - self.pools.keys()):
            raise InputError(f"{LAW}: there is no pool {unknown[0]!r}; there are {', '.join(self.pools)}")
        total = sum(self.pools[name].tokens for name in pools)
        amount = checked(LAW, "tokens", [tokens])
        if not extrapolate:
            require_within(LAW, "tokens", amount, self.seen)
            for name in pools:
                longest = self.pools[name].longest
                require_within(LAW, f"epochs of {name}", amount / total, (0.0, longest))
        growth = epoch_growth(amount / self.unit, np.array([total / self.unit]))[0]
        decay = np.arange(len(growth))
        exponent = np.zeros(len(growth))
        for name in pools:
            pool = self.pools[name]
            share = pool.tokens / total
            exponent += share * pool.utility.value * 0.5 ** (decay * share / pool.half_life.value)
        return float(self.floor.value + self.scale.value * np.exp(exponent @ growth))

    def best(self, tokens: float, *, extrapolate: bool = False) -> tuple[str, ...]:
        """The best of: the pool of most utility, it and the next, and so on, as a filter would let them in."""
        order = sorted(self.pools, key=lambda name: self.pools[name].utility.value)
        beginnings = [tuple(order[: count + 1]) for count in range(len(order))]
        return min(beginnings, key=lambda pools: self.predict(pools, tokens, extrapolate=extrapolate))


def fit_pools(
    pools: Sequence[str],
    tokens: ArrayLike,
    losses: ArrayLike,
    *,
    pool_tokens: Mapping[str, float],
    unit: float = 1.0,
) -> PoolFit:
    """Fits a, d, and each pool's utility and half-life to runs on single pools.

    Args:
        pools: the name of the pool of each run.
        tokens: trained on, repetitions included.
        pool_tokens: of one epoch of each pool.
        unit: n is tokens divided by it; at n = 1, all pools have one loss.

    Raises:
        InputError: if a value is no positive number, a pool has no size, or there are fewer points than parameters.
    """
    observed = checked(LAW, "loss", losses)
    amounts = checked(LAW, "tokens", tokens, len(observed))
    if len(pools) != len(observed):
        raise InputError(f"{LAW}: {len(pools)} names of pools for {len(observed)} losses; give one for each run")
    checked(LAW, "unit", [unit])
    names, members = np.unique(np.asarray(pools, dtype=str), return_inverse=True)
    if len(names) > _LARGEST_POOLS:
        raise InputError(f"{LAW}: {len(names)} pools in one fit; fit at most {_LARGEST_POOLS} together")
    if missing := [name for name in names.tolist() if name not in pool_tokens]:
        raise InputError(f"{LAW}: pool_tokens has no {missing[0]!r}; give the tokens of one epoch of each pool")
    sizes = checked(LAW, "pool_tokens", [pool_tokens[name] for name in names.tolist()])
    parameters = [
        Parameter(name="a", low=-50, high=100, logarithm=True),
        Parameter(name="d", low=0, high=float(observed.min())),
        *(Parameter(name=f"b of {name}", low=-5, high=0) for name in names.tolist()),
        *(Parameter(name=f"tau of {name}", low=-4, high=9, logarithm=True) for name in names.tolist()),
    ]
    growth = epoch_growth(amounts / unit, sizes[members] / unit)
    inputs = {f"tokens of {name}": amounts[members == place] for place, name in enumerate(names.tolist())}
    solution = solve(
        LAW,
        parameters,
        pool_surface(growth, members, len(names)),
        observed,
        _starts(growth, observed, len(names)),
        inputs=inputs,
        needs=[
            Need(input=name, values=2, parameters=(f"b of {pool}", f"tau of {pool}"))
            for name, pool in zip(inputs, names.tolist(), strict=True)
        ],
    )
    return PoolFit(
        scale=solution.estimates["a"],
        floor=solution.estimates["d"],
        unit=unit,
        pools={
            name: Pool(
                tokens=float(size),
                utility=solution.estimates[f"b of {name}"],
                half_life=solution.estimates[f"tau of {name}"],
                longest=float(inputs[f"tokens of {name}"].max() / size),
            )
            for name, size in zip(names.tolist(), sizes, strict=True)
        },
        seen=(float(amounts.min()), float(amounts.max())),
        residuals=solution.residuals,
        warnings=solution.warnings,
    )


def epoch_growth(amounts: Floats, sizes: Floats) -> Floats:
    """ln n_1, and ln(n_j / n_{j−1}) for later epochs: float64[points, epochs], 0 where an epoch is not begun.

    >>> np.exp(epoch_growth(np.array([5.0]), np.array([2.0]))).round(6).tolist()
    [[2.0, 2.0, 1.25]]
    """
    epochs = int(np.ceil((amounts / sizes).max()))
    if epochs > LARGEST_EPOCHS:
        raise InputError(f"{LAW}: {epochs:,} epochs; at most {LARGEST_EPOCHS:,} are reckoned with")
    ends = np.minimum(sizes[:, None] * np.arange(1, epochs + 1), amounts[:, None])
    logarithms = np.log(ends)
    return np.diff(logarithms, axis=1, prepend=0.0)


def pool_surface(growth: Floats, members: NDArray[np.intp], pools: int) -> Surface:
    """ln y at the points, for θ = (ln a, d, each pool's b, each pool's ln τ)."""
    points = np.arange(len(members))
    epochs = np.arange(growth.shape[1])

    def surface(theta: Floats) -> tuple[Floats, Floats]:
        utilities, half_lives = theta[:, 2 + members], np.exp(theta[:, 2 + pools + members])
        halvings = epochs / half_lives[:, :, None]
        decayed = 0.5**halvings * growth
        reached = decayed.sum(axis=2)
        power = np.exp(theta[:, :1] + utilities * reached)
        loss = theta[:, 1:2] + power
        share = power / loss
        derivatives = np.zeros((*loss.shape, theta.shape[1]))
        derivatives[:, :, 0] = share
        derivatives[:, :, 1] = 1 / loss
        derivatives[:, points, 2 + members] = share * reached
        slowed = np.log(2) * (halvings * decayed).sum(axis=2)
        derivatives[:, points, 2 + pools + members] = share * utilities * slowed
        return np.log(loss), derivatives

    return surface


def _starts(growth: Floats, losses: Floats, pools: int) -> Floats:
    """A grid over what pools have in common, with the a that goes through the middle of the points."""
    made = []
    for share, utility, half_life in grid(_FLOORS, _UTILITIES, _HALF_LIVES).tolist():
        reached = (0.5 ** (np.arange(growth.shape[1]) / half_life) * growth).sum(axis=1)
        floor = share * losses.min()
        scale = np.mean(np.log(losses - floor) + utility * reached)
        made.append([scale, floor, *[-utility] * pools, *[np.log(half_life)] * pools])
    return np.array(made)
