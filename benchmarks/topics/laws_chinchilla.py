"""Chinchilla's parametric fit on the points of Hoffmann et al.'s figure 4, as Besiroglu et al. extracted them, and how
often intervals hold planted truth.

    figure chinchilla_relative_error  largest relative error of A, B, E, alpha and beta against the plain Huber optimum
    figure chinchilla_objective       the sum of Huber losses there; published optimum .00101827
    figure chinchilla_least_overlap   of a bootstrap interval with the published one: what both have, over their union
    figure chinchilla_seconds         CPU seconds of one core for the fit and 400 bootstrap draws
    figure power_law_coverage         share of planted A, alpha and E that lie in their 95 % intervals
"""

from __future__ import annotations

import csv
import time

import numpy as np
from harness import Benchmark, table

from corpusmill.scaling.laws.chinchilla_fit import ChinchillaFit, fit_chinchilla
from corpusmill.scaling.laws.power_law import fit_power_law

# Facts: the plain Huber optimum on the 240 points, and the 95 % intervals of 4,000 bootstrap draws by Besiroglu et al.
_OPTIMUM = {"A": 477.84, "B": 2143.9, "E": 1.8172, "alpha": 0.3473, "beta": 0.3672}
_PUBLISHED = {"A": (285, 744), "B": (1042, 5810), "E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
_DROPPED = 5
_PLANTED = {"A": 40.0, "alpha": 0.28, "E": 2.0}
_SHAPES = (("5 sizes over 1,000 times", 5, 1e9), ("4 sizes over 16 times", 4, 16e6))
_NOISE = 0.005


def laws(benchmark: Benchmark) -> list[str]:
    """Fits the points, then curves whose truth is known."""
    with open(benchmark.real_data() / "laws" / "chinchilla_svg_extracted_data.csv", newline="") as stream:
        names = ("Model Size", "Training FLOP", "loss")
        rows = [[float(row[name]) for name in names] for row in csv.DictReader(stream)]
    sizes, flops, losses = np.array(rows).T
    draws = 100 if benchmark.quick else 400
    began = time.process_time()
    fit = fit_chinchilla(sizes, flops / (6 * sizes), losses, drop_largest=_DROPPED, draws=draws)
    seconds = time.process_time() - began
    errors = {name: abs(fit.value(name) / value - 1) for name, value in _OPTIMUM.items()}
    overlaps = {name: overlap(_interval(fit, name), ends) for name, ends in _PUBLISHED.items()}
    benchmark.figure("chinchilla_relative_error", max(errors.values()))
    benchmark.figure("chinchilla_objective", fit.objective)
    benchmark.figure("chinchilla_least_overlap", min(overlaps.values()))
    benchmark.figure("chinchilla_seconds", seconds)
    fitted = [
        [name, f"{value:g}", f"{fit.value(name):.5g}", f"{errors[name]:.3%}"]
        + [_shown(ends) for ends in (_interval(fit, name), _PUBLISHED[name])]
        for name, value in _OPTIMUM.items()
    ]
    covered = {shape: coverage(sizes, largest, 20 if benchmark.quick else 400) for shape, sizes, largest in _SHAPES}
    benchmark.figure("power_law_coverage", float(np.mean([list(shares.values()) for shares in covered.values()])))
    return [
        "### Chinchilla's parametric fit, and intervals of power laws",
        table(["", "plain Huber optimum", "ours", "error", "ours, 95 %", "published, 95 %"], fitted),
        f"{len(fit.residuals)} points, {len(fit.dropped)} of largest loss left out; 4,500 starts and {draws} bootstrap "
        f"draws in {seconds:.1f} CPU seconds of one core. Objective {fit.objective:.8f}. Warnings: "
        f"{' '.join(fit.warnings) or 'none'}.",
        table(
            ["planted power law, 3 seeds a size", *_PLANTED],
            [[shape, *(f"{share:.1%}" for share in shares.values())] for shape, shares in covered.items()],
        ),
        f"How often 95 % intervals (profiles) of L = 2 + 40·x^−0.28 with {_NOISE:.1%} of noise hold the truth.",
    ]


def coverage(sizes: int, largest: float, draws: int) -> dict[str, float]:
    """The share of draws in which each parameter's interval holds what was planted."""
    x = np.repeat(np.geomspace(1e6, largest, sizes), 3)
    truth = _PLANTED["E"] + _PLANTED["A"] * x ** -_PLANTED["alpha"]
    hits = dict.fromkeys(_PLANTED, 0)
    for seed in range(draws):
        noise = np.random.default_rng(seed).standard_normal(len(x))
        fit = fit_power_law(x, truth * np.exp(_NOISE * noise))
        for name, value in _PLANTED.items():
            hits[name] += fit.estimates[name].covers(value)
    return {name: count / draws for name, count in hits.items()}


def overlap(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The part of two intervals' union that both have; negative where a gap lies between them."""
    shared = min(first[1], second[1]) - max(first[0], second[0])
    return shared / (max(first[1], second[1]) - min(first[0], second[0]))


def _interval(fit: ChinchillaFit, name: str) -> tuple[float, float]:
    estimate = fit.estimates[name]
    if estimate.low is None or estimate.high is None:
        raise SystemExit(f"{name} has no interval: {' '.join(fit.warnings)}")
    return estimate.low, estimate.high


def _shown(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"
