"""The mixture law on RegMix's published runs, and on planted laws.

RegMix (Liu et al. 2024, arXiv:2407.01492) published 512 runs of 1M parameters on mixtures of 17 domains, and runs of
1M, 60M and 1B parameters on other mixtures. The law is fitted to the former and ranks the latter by their loss on
Pile-CC. Ranks are Spearman's, times 100.

    figure regmix_rank_512              rank correlation with the 64 runs of 1B, by all 512 runs
    figure regmix_rank_64               ... by 64 of them: mean over random subsets
    figure regmix_rank_64_worst         ... the worst of these subsets
    figure mixture_coverage             share of planted losses that lie in the law's 95 % intervals
    figure mixture_gain_coverage        share of planted gains of a proposal that lie in the corrected 95 % interval
    figure mixture_no_effect_not_shown  share of searches without any effect of which none is claimed
    figure mixture_fit_seconds          CPU seconds of a fit to 512 runs, 1 loss, with 400 bootstrap draws
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
from harness import Benchmark, table
from numpy.typing import NDArray
from scipy.stats import spearmanr

from corpusmill.scaling.mixtures.design import design
from corpusmill.scaling.mixtures.law import Law, fit_mixture_law
from corpusmill.scaling.mixtures.proposal import propose

Floats = NDArray[np.float64]

TARGET = "metric/the_pile_pile_cc_val_loss"
_RUNS = (34, 64, 128)
_TESTS = {"test_1m": "1M", "test_60m": "60M", "test_1B": "1B"}
_PLANTED = (("4 components, strong", 4, 1.0), ("8 components, middling", 8, 0.5), ("4 components, none", 4, 0.0))
_NOISE = 0.005


def laws(benchmark: Benchmark) -> list[str]:
    """Ranks published mixtures, then counts how often intervals hold what was planted."""
    folder = benchmark.real_data() / "laws"
    subsets, draws = (4, 10) if benchmark.quick else (20, 100)
    rows, seconds = ranked(folder, subsets)
    large = {row[0]: row[3] for row in rows}
    benchmark.figure("regmix_rank_512", large["512"][0])
    benchmark.figure("regmix_rank_64", large["64"][0])
    benchmark.figure("regmix_rank_64_worst", large["64"][1])
    benchmark.figure("mixture_fit_seconds", seconds)
    planted = {shape: held(components, effect, draws) for shape, components, effect in _PLANTED}
    predicted, gained, _ = np.mean(list(planted.values()), axis=0)
    benchmark.figure("mixture_coverage", float(predicted))
    benchmark.figure("mixture_gain_coverage", float(gained))
    benchmark.figure("mixture_no_effect_not_shown", 1 - planted["4 components, none"][2])
    return [
        "### The mixture law",
        table(
            ["runs of 1M", "ranks 256 of 1M", "256 of 60M", "64 of 1B"],
            [[runs, *(shown(*of_test) for of_test in of_tests)] for runs, *of_tests in rows],
        ),
        f"RegMix's runs, loss on Pile-CC, 17 domains; Spearman's rank correlation, times 100. Of fewer runs than all, "
        f"the mean over {subsets} random subsets, and the worst in brackets.",
        table(
            ["planted", "losses in their intervals", "gains in theirs", "proposals shown better"],
            [[shape, *(f"{share:.0%}" for share in shares)] for shape, shares in planted.items()],
        ),
        f"{draws} searches each: 4 runs a component and 3 of the prior, three losses, noise of {_NOISE} (slopes "
        "with a standard deviation of 1, .5 and 0). Intervals are to hold 95 %; without an effect 5 % may be found.",
    ]


def ranked(folder: Path, subsets: int) -> tuple[list[tuple[str, *tuple[tuple[float, float], ...]]], float]:
    """Mean and worst rank correlation with each test, for each number of runs; and the seconds of the largest fit."""
    shares, losses = _read(folder, "train_1m")
    names = [str(number) for number in range(shares.shape[1])]
    tests = {name: _read(folder, name) for name in _TESTS}
    seconds = 0.0

    def ranks(rows: NDArray[np.int64], draws: int) -> list[float]:
        nonlocal seconds
        began = time.process_time()
        fit = fit_mixture_law(shares[rows], losses[rows, None], components=names, names=["cc"], draws=draws)
        seconds = time.process_time() - began
        return [
            100 * float(spearmanr(fit.predict(mixtures, outside=True).loss[:, 0], measured).statistic)
            for mixtures, measured in tests.values()
        ]

    found = []
    for runs in _RUNS:
        some = np.array(
            [ranks(np.random.default_rng(seed).permutation(len(shares))[:runs], 2) for seed in range(subsets)]
        )
        found.append((str(runs), *zip(some.mean(axis=0).tolist(), some.min(axis=0).tolist(), strict=True)))
    whole = ranks(np.arange(len(shares)), 400)
    return [*found, (str(len(shares)), *((rank, rank) for rank in whole))], seconds


def held(components: int, effect: float, draws: int) -> tuple[float, float, float]:
    """Shares of planted losses and gains that lie in their intervals, and of proposals that are said to be better."""
    predicted, gained, better = [], [], []
    for seed in range(draws):
        random = np.random.default_rng([seed, components])
        prior = random.dirichlet(np.full(components, 5.0))
        caps = np.minimum(1, prior * random.uniform(1.2, 6, components))
        truth = Law(floor=random.uniform(0.8, 1.2, 3), slopes=random.normal(0, 1, (3, components)) * effect - 0.3)
        shares = design(prior, caps, seed=seed).shares
        losses = truth.at(shares) + random.normal(0, _NOISE, (len(shares), 3))
        names = [str(number) for number in range(components)]
        fit = fit_mixture_law(shares, losses, components=names, names=["a", "b", "c"], draws=200, seed=seed)
        wanted = shares[random.permutation(len(shares))[:5]]
        expected = fit.predict(wanted)
        real = truth.at(wanted)
        predicted.append(np.mean((expected.low <= real) & (real <= expected.high)))
        proposal = propose(fit, prior, caps=caps, weights=np.ones(3), simulated=1000, seed=seed)
        gain = float((truth(proposal.shares) - truth(prior)).mean())
        gained.append(proposal.difference.low <= gain <= proposal.difference.high)
        better.append(proposal.difference.high < 0)
    return float(np.mean(predicted)), float(np.mean(gained)), float(np.mean(better))


def shown(mean: float, worst: float) -> str:
    return f"{mean:.1f}" if mean == worst else f"{mean:.1f} ({worst:.1f})"


def _read(folder: Path, name: str) -> tuple[Floats, Floats]:
    """Mixtures and their losses on the target."""
    split, _, size = name.partition("_")
    head, mixtures = _rows(folder / f"regmix_{split}_mixture_{size}.csv")
    head, losses = _rows(folder / f"regmix_{split}_pile_loss_{size}.csv")
    column = head.index(TARGET) - 1
    return np.array(list(mixtures.values())), np.array([losses[run][column] for run in mixtures])


def _rows(path: Path) -> tuple[list[str], dict[int, list[float]]]:
    with open(path, newline="") as stream:
        head, *rows = list(csv.reader(stream))
    return head, {int(row[0]): [float(value) for value in row[1:]] for row in rows}
