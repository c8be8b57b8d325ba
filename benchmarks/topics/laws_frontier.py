"""The analysis of sweeps on planted truth: do its intervals hold it, and does it keep silent where there is nothing?

Losses are drawn from a known surface (planted_sweeps.py), with noise as in real sweeps: 3 scores, 5 fractions, 4 sizes,
3 seeds. One score is worth a growing factor of data, one a constant factor, one nothing. The truth of a frontier's
slope is that of the losses without noise over the same tokens. Then sweeps in which no score is worth anything, and
some in which one of three is worth little.

    figure frontier_coverage         share of draws in which the true slope of a frontier lies in its interval
    figure frontier_local_coverage   ... of its pieces
    figure frontier_against_control  ... of the difference from the control's slope
    figure multiplier_coverage       ... of the factor of data that a configuration is worth
    figure best_fraction_coverage    share of budgets whose best is among those that are not told apart from it
    figure no_effect_not_shown       share of sweeps without any effect of which none is claimed
    figure effect_shown              share of sweeps with a small effect (one score worth 2 % of data) that is claimed
    figure steeper_shown             share of draws in which the frontier that is steeper is said to be
    figure analysis_seconds          an analysis of 204 cells
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from harness import Benchmark, table
from planted_sweeps import PlantedSweep, nothing, peaked

from corpusmill.scaling.contract import RANDOM
from corpusmill.scaling.frontier.analysed import Panel
from corpusmill.scaling.frontier.analysis import CONFIDENCE, AnalysisOptions, analyse
from corpusmill.scaling.frontier.best_fraction import effects, is_better
from corpusmill.scaling.frontier.frontier import envelope
from corpusmill.scaling.frontier.grid import Grid, grids
from corpusmill.scaling.frontier.seed_noise import measured_noise
from corpusmill.scaling.frontier.slopes import Piece, least_squares_slope
from corpusmill.scaling.laws.fit import Estimate

EFFECTS = PlantedSweep(
    scores={
        "growing": peaked(0.4, 1.5, 0.15, 0.9),
        "constant": peaked(0.6, 1.5, 0.0, 0.9),
        "idle": nothing,
    }
)
NOTHING = PlantedSweep(scores={"first": nothing, "second": nothing, "third": nothing})
SMALL = (1.005, 1.01, 1.02, 1.04)
"""Worth in data of one score of three, at its best fraction."""
_STEPS = 33
_OPTIONS = AnalysisOptions(draws=1000)


@dataclass
class _Shares:
    """How often what."""

    seen: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, *right: bool) -> None:
        self.seen[name].extend(right)

    def of(self, name: str) -> float:
        return float(np.mean(self.seen[name])) if self.seen[name] else float("nan")


def laws(benchmark: Benchmark) -> list[str]:
    """Draws, and what they came to."""
    draws = 4 if benchmark.quick else 100
    shares = _Shares()
    truth = grids(EFFECTS.truth())[0]
    for draw in range(draws):
        _effects(shares, truth, analyse(EFFECTS.cells(draw), _OPTIONS).panels[0])
        shares.add("silent", not _claims(analyse(NOTHING.cells(draw), _OPTIONS).panels[0]))
        for gain in SMALL:
            shares.add(f"small {gain}", _small(gain, draw))
    cells = EFFECTS.cells(0)
    began = time.process_time()
    analyse(cells)
    seconds = time.process_time() - began
    benchmark.figure("frontier_coverage", shares.of("slope"))
    benchmark.figure("frontier_local_coverage", shares.of("local slope"))
    benchmark.figure("frontier_against_control", shares.of("difference"))
    benchmark.figure("multiplier_coverage", shares.of("multiplier"))
    benchmark.figure("best_fraction_coverage", shares.of("best"))
    benchmark.figure("no_effect_not_shown", shares.of("silent"))
    benchmark.figure("effect_shown", shares.of("small 1.02"))
    benchmark.figure("steeper_shown", shares.of("growing steeper"))
    benchmark.figure("analysis_seconds", seconds)
    rows = [
        ["slope of the frontier", shares.of("slope"), shares.of("local slope")],
        ["slope of the control over the same tokens", shares.of("control"), shares.of("local control")],
        ["their difference", shares.of("difference"), shares.of("local difference")],
        ["loss along the frontier", shares.of("band"), ""],
        ["a configuration's mean loss", shares.of("cell"), ""],
        ["its multiplier of data", shares.of("multiplier"), ""],
        ["the best configuration, among those not told apart", shares.of("best"), ""],
    ]
    said = [
        [score, *(shares.of(f"{score} {claim}") for claim in ("better", "steeper", "grows"))]
        for score in EFFECTS.scores
    ]
    return [
        f"Intervals of 95 % on planted truth: {len(cells)} cells a sweep, {draws} sweeps. Share that holds the truth:",
        table(["", "whole", "local"], rows),
        "Share of these sweeps that claim of a score: it is better than chance somewhere; its frontier is steeper "
        "than the power law; what it is worth in data grows with the data. `growing` is worth 1.5 times the data at "
        "its best fraction and more by a power of 0.15 of the size, `constant` 1.5 times at all sizes, `idle` nothing.",
        table(["", "better", "steeper", "grows"], said),
        f"Without any effect, nothing is claimed of {shares.of('silent'):.0%} of {draws} sweeps. How many claim a "
        "score to be better than chance, if one of three is worth so much more data at its best fraction:",
        table(
            ["worth in data", *(f"{gain - 1:.1%}" for gain in SMALL)],
            [["shown", *(shares.of(f"small {gain}") for gain in SMALL)]],
        ),
    ]


def _claims(panel: Panel) -> bool:
    """Whether anything is said for or against a score."""
    return any(
        one.better_than_random or one.worse_than_random or one.better_than_all or one.steeper is not None or one.grows
        for one in panel.claims
    )


def _small(gain: float, draw: int) -> bool:
    """Whether the score that is worth a little is shown to be better than chance, with the thresholds of `analyse`."""
    sweep = PlantedSweep(scores={"small": peaked(0.4, gain, 0.0, 2.0), "second": nothing, "third": nothing})
    grid = grids(sweep.cells(draw))[0]
    noise = measured_noise(grid, draws=_OPTIONS.draws, seed=_OPTIONS.seed)
    if noise is None:
        raise SystemExit("a sweep of three seeds has no noise: planted_sweeps.py is broken")
    found = effects(grid, noise.means, noise, CONFIDENCE)
    return any(one.score == "small" and one.against == RANDOM and is_better(one) for one in found)


def _effects(shares: _Shares, truth: Grid, panel: Panel) -> None:
    for slope in panel.slopes:
        _piece(shares, truth, slope.score, slope, "")
        for piece in slope.local:
            _piece(shares, truth, slope.score, piece, "local ")
    for claim in panel.claims:
        shares.add(f"{claim.score} better", claim.better_than_random)
        shares.add(f"{claim.score} steeper", claim.steeper is True)
        shares.add(f"{claim.score} grows", claim.grows is True)
    for cell in panel.cells:
        loss = EFFECTS.loss(cell.score, cell.fraction, cell.size)
        shares.add("cell", Estimate(cell.loss, cell.low, cell.high).covers(loss))
    for one in panel.multipliers:
        if one.bound == "within":
            shares.add("multiplier", one.data.covers(EFFECTS.scores[one.score](one.fraction, one.size / 1e6)))
    for line in panel.frontiers:
        means = truth.log_loss[:, 0]
        real = np.exp(envelope(truth, line.score, means[None], np.log(line.kept_tokens))[0][0])
        shares.add("band", *((np.array(line.low) <= real) & (real <= np.array(line.high))).tolist())
    for best in panel.best:
        right = min(EFFECTS.kinds(), key=lambda kind: EFFECTS.loss(*kind, best.size))
        shares.add("best", right in [(one.score, one.fraction) for one in best.not_distinguishable])


def _piece(shares: _Shares, truth: Grid, score: str, piece: Piece, kind: str) -> None:
    places = np.linspace(np.log(piece.from_tokens), np.log(piece.to_tokens), _STEPS)
    means = truth.log_loss[:, 0]
    own, control = (
        float(least_squares_slope(places, envelope(truth, name, means[None], places)[0])[0]) for name in (score, RANDOM)
    )
    shares.add(f"{kind}slope", piece.slope.covers(own))
    shares.add(f"{kind}control", piece.control.covers(control))
    shares.add(f"{kind}difference", piece.difference.covers(own - control))
