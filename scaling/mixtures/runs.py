"""One run of a mixture search: which documents make a mixture, and what a proxy's losses on it are.

A run is small beside the training that it stands for, and would never repeat what that repeats. So each component is
first cut down to the part of its documents that the run is of that training (simulated epoching): then a share that is
read four times there is read four times here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit as student_quantile

from corpusmill.documents.errors import InputError
from corpusmill.mix.keys import TRAIN, keyed
from corpusmill.scaling.cells import trained_on
from corpusmill.scaling.contract import Proxy
from corpusmill.scaling.folds import ByFold, errors
from corpusmill.scaling.mixtures.law import INTERVAL
from corpusmill.scaling.mixtures.proposal import Interval
from corpusmill.scaling.pools import POOL, nearest_prefix
from corpusmill.scaling.prepared import Prepared

Floats = NDArray[np.float64]

NONE = -1
"""The component of documents that are in none."""

Stream = Literal["prior", "mixture", "prior-again", "proposal"]
"""What a run is of a search; those of the last two come after the proposal."""


def seed_of(stream: Stream, number: int) -> int:
    """The seed of a run, which no other run of a search has, however many there are of each kind.

    >>> seed_of("mixture", 0), seed_of("mixture", 1)
    (1, 5)
    """
    kinds = get_args(Stream)
    return len(kinds) * number + kinds.index(stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A run of a mixture.

    components  pools of the table of documents; a document is of the first that it is in
    shares      of the tokens to train on, for each component
    tokens      to train on
    part        of each component's documents that are there for it, 0 to 1
    seed        decides which these are, their order, and the proxy's start
    """

    components: tuple[str, ...]
    shares: tuple[float, ...]
    tokens: int
    part: float
    seed: int


def component_of(documents: pa.Table, components: Sequence[str]) -> NDArray[np.int64]:
    """The component of each document that may be trained on, as its place in `components`; NONE of all others."""
    found = np.full(len(documents), NONE, np.int64)
    free = documents.column("split").to_numpy() == TRAIN
    for number, name in enumerate(components):
        mine = free & documents.column(POOL + name).to_numpy()
        found[mine] = number
        free &= ~mine
    return found


def tokens_of(documents: pa.Table, components: Sequence[str]) -> dict[str, int]:
    """Tokens of each component that may be trained on."""
    place = component_of(documents, components)
    tokens = documents.column("tokens").to_numpy()
    return {name: int(tokens[place == number].sum()) for number, name in enumerate(components)}


def mixed_rows(documents: pa.Table, trial: Trial, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents of a trial in training order, as rows of the table, and the tokens of each component: whole passes
    over it and a part of one, cut where the tokens come nearest to the share.

    Raises:
        InputError: if a component with a share has no token.
    """
    place = component_of(documents, trial.components)
    hashes, tokens = documents.column("id_hash").to_numpy(), documents.column("tokens").to_numpy()
    taken: list[NDArray[np.int64]] = []
    keys: list[NDArray[np.uint64]] = []
    achieved = np.zeros(len(trial.components), np.int64)
    for number, (name, share) in enumerate(zip(trial.components, trial.shares, strict=True)):
        wanted = share * trial.tokens
        rows = np.flatnonzero(place == number)
        rows = rows[np.argsort(keyed(hashes[rows], seed, f"search/pool/{trial.seed}"), kind="stable")]
        ends = np.cumsum(tokens[rows])
        if not len(ends) or not ends[-1]:
            if share > 0:
                raise InputError(f"{name}: has no token to train on; raise its documents or take it out of the mix")
            continue
        rows = rows[: max(1 + int(np.flatnonzero(ends)[0]), nearest_prefix(ends, trial.part * ends[-1]))]
        ends = ends[: len(rows)]
        passes, rest = divmod(wanted, int(ends[-1]))
        counts = [len(rows)] * int(passes) + [nearest_prefix(ends, rest)]
        for copy, count in enumerate(counts):
            if count:
                taken.append(rows[:count])
                keys.append(keyed(hashes[rows[:count]], seed, f"search/order/{trial.seed}/{copy}"))
                achieved[number] += int(ends[count - 1])
    if not achieved.sum():
        raise InputError(f"{trial.tokens} tokens are less than half a document of every component; raise --tokens")
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.concatenate(taken)[order], achieved


def run_trial(prepared: Prepared, trial: Trial, proxy: Proxy, folder: Path) -> dict[str, Any]:
    """Trains a proxy on a mixture and evaluates it. Returns what came out, as JSON data: `shares` of the tokens as they
    came out in whole documents, `losses` by domain, what `folds` of the held-out documents cost (None where the proxy
    does not tell), `train_tokens`, `seed`, `seconds`, `flops` and what it `told`.

    Args:
        folder: where the proxy may leave files; it is there only if it does.

    Raises:
        ProxyError: if a loss is missing or no number.
    """
    began = time.monotonic()
    rows, achieved = mixed_rows(prepared.documents, trial, prepared.options.seed)
    trained, losses, by_fold = trained_on(prepared, rows, int(achieved.sum()), trial.seed, proxy, folder)
    return {
        "shares": (achieved / achieved.sum()).tolist(),
        "losses": losses,
        "folds": by_fold,
        "train_tokens": trained.train_tokens,
        "seed": trial.seed,
        "seconds": time.monotonic() - began,
        "flops": trained.flops,
        "told": dict(trained.told),
    }


def confirmed(
    prior: Sequence[float],
    proposal: Sequence[float],
    others: Sequence[Sequence[float]] = (),
    heldout: Sequence[Floats] = (),
) -> Interval:
    """The difference of the mean losses of runs that the proposal was not chosen by: proposal less prior.

    Args:
        prior: losses of runs of the prior that differ in their seed alone; one at least.
        proposal: losses of such runs of the proposal.
        others: groups of further such runs, which tell of the noise only.
        heldout: what `heldout_difference` found.

    Student's t, with one variance for all groups, and with that of the choice of held-out documents added (Welch's
    degrees of freedom). Without two runs of any group there is no interval: it is infinite.

    >>> confirmed([1.0, 1.2], [0.5, 0.7]).shown
    False
    """
    groups = [np.asarray(group, np.float64) for group in (prior, proposal, *others)]
    difference = float(groups[1].mean() - groups[0].mean())
    variance, free = pooled_variance(groups)
    if not free:
        return Interval(estimate=difference, low=-math.inf, high=math.inf)
    parts = [(variance * (1 / len(groups[0]) + 1 / len(groups[1])), free)]
    parts += [(float((domain**2).sum()), len(domain) - 1) for domain in heldout]
    whole = sum(part for part, _ in parts)
    degrees = whole**2 / sum(part**2 / known for part, known in parts) if whole else free
    reach = float(student_quantile(degrees, (1 + INTERVAL) / 2)) * math.sqrt(whole)
    return Interval(estimate=difference, low=difference - reach, high=difference + reach)


def heldout_difference(
    prior: Sequence[Mapping[str, ByFold] | None],
    proposal: Sequence[Mapping[str, ByFold] | None],
    weights: Mapping[str, float],
) -> list[Floats]:
    """By domain, the errors that the difference of both has since held-out documents are a sample (scaling/folds.py);
    nothing where a run does not tell.

    Args:
        prior: what `folds` of each run says.
        proposal: the same.
        weights: of the domains.
    """
    sides = []
    for side in (prior, proposal):
        found = [None if run is None else errors(run, weights) for run in side]
        known = [run for run in found if run is not None]
        if not known or len(known) < len(found):
            return []
        sides.append([np.mean(domain, axis=0) for domain in zip(*known, strict=True)])
    return [np.asarray(after - before) for before, after in zip(*sides, strict=True)]


def pooled_variance(groups: Sequence[Sequence[float] | NDArray[np.float64]]) -> tuple[float, int]:
    """One variance for all groups of runs, each about its own mean, and its degrees of freedom; 0 and 0 where no group
    has two runs."""
    given = [np.asarray(group, np.float64) for group in groups if len(group)]
    free = sum(len(group) - 1 for group in given)
    if not free:
        return 0.0, 0
    return sum(float(((group - group.mean()) ** 2).sum()) for group in given) / free, free
