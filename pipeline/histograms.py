"""How what the filters measured is spread, and where their thresholds lie: counts from a source's ledger.

Shown are, of each filter, the measures whose rules dropped the most, and scores. A measure that stays within
LINEAR_UP_TO has bins of equal width from 0 on; one that goes beyond has them over log10(1 + value).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.filters.contract import Filter, Rule
from corpusmill.pipeline.explain import Ledgers, in_force
from corpusmill.pipeline.recipe import StageSpec

BINS = 40
LINEAR_UP_TO = 50.0
_OF_A_STAGE = 3
_ALWAYS = "score"


@dataclass(frozen=True, slots=True)
class Histogram:
    """One measure of one stage over the documents that reached it.

    stage, measure   its name in the ledger, in two
    highest          where the last bin ends; the first begins at 0
    logarithmic      whether bins are over log10(1 + value)
    counts           documents in each bin
    broken           of those, how many lie beyond a bound
    bounds           the thresholds, as (`at_least` or `at_most`, value)
    """

    stage: str
    measure: str
    highest: float
    logarithmic: bool
    counts: tuple[int, ...]
    broken: tuple[int, ...]
    bounds: tuple[tuple[str, float], ...]

    def place(self, value: float) -> float:
        """Where a value lies on the axis, 0 to 1."""
        return min(max(self._scaled(value) / (self._scaled(self.highest) or 1), 0.0), 1.0)

    def edge(self, index: int) -> float:
        """The value at which bin `index` begins."""
        at = self._scaled(self.highest) * index / len(self.counts)
        return 10**at - 1 if self.logarithmic else at

    def _scaled(self, value: float) -> float:
        return math.log10(1 + max(value, 0.0)) if self.logarithmic else value


def histograms(
    ledgers: Ledgers, ledger: Path, specs: Sequence[StageSpec], dropped: Mapping[str, Mapping[str, int]]
) -> list[Histogram]:
    """The histograms of a source.

    Args:
        ledgers: who is asked.
        ledger: the folder of its merged ledger.
        specs: its stages.
        dropped: for each stage, documents by reason.
    """
    wanted = [chosen for spec in specs for chosen in _chosen(spec, dropped.get(spec.name, {}))]
    if not wanted:
        return []
    columns = [f'"{stage}.{measure}"' for stage, measure, _ in wanted]
    highest = ", ".join(f"max({column}) as m{index}" for index, column in enumerate(columns))
    ends = ledgers.rows(ledger, f"select {highest} from ledger")
    if not ends:
        return []
    return [
        _histogram(ledgers, ledger, column, *chosen, float(end))
        for column, chosen, end in zip(columns, wanted, ends[0].values(), strict=True)
        if end is not None
    ]


def _chosen(spec: StageSpec, dropped: Mapping[str, int]) -> Iterator[tuple[str, str, tuple[tuple[str, float], ...]]]:
    """Of a filter: the measures to show, each with its stage and bounds, in the order of its rules."""
    stage = spec.build()
    if not isinstance(stage, Filter):
        return
    rules: dict[str, list[Rule]] = {}
    for rule in stage.rules():
        if in_force(rule):
            rules.setdefault(rule.measure, []).append(rule)
    weight = {name: sum(dropped.get(str(rule.reason), 0) for rule in of_it) for name, of_it in rules.items()}
    most = sorted((name for name in rules if weight[name]), key=lambda name: -weight[name])[:_OF_A_STAGE]
    for name, of_it in rules.items():
        if name in most or name == _ALWAYS:
            bounds = [("at_least", rule.at_least) for rule in of_it] + [("at_most", rule.at_most) for rule in of_it]
            yield spec.name, name, tuple((kind, float(value)) for kind, value in bounds if value is not None)


def _histogram(
    ledgers: Ledgers,
    ledger: Path,
    column: str,
    stage: str,
    measure: str,
    bounds: tuple[tuple[str, float], ...],
    highest: float,
) -> Histogram:
    highest = max(highest, *(value for _, value in bounds))
    logarithmic = highest > LINEAR_UP_TO
    if not logarithmic:
        highest = 1.0 if highest <= 1 else math.ceil(highest)
    scaled, end = (f"log10(1 + {column})", math.log10(1 + highest)) if logarithmic else (column, highest)
    beyond = " or ".join(f"{column} {'<' if kind == 'at_least' else '>'} {value!r}" for kind, value in bounds)
    rows = ledgers.rows(
        ledger,
        f"select least(greatest(cast(floor({scaled} / {end!r} * {BINS}) as integer), 0), {BINS - 1}) as bin, "
        f"count(*) as documents, count(*) filter (where {beyond}) as broken "
        f"from ledger where {column} is not null group by bin",
    )
    counts, broken = [0] * BINS, [0] * BINS
    for row in rows:
        counts[row["bin"]], broken[row["bin"]] = row["documents"], row["broken"]
    return Histogram(stage, measure, highest, logarithmic, tuple(counts), tuple(broken), bounds)


def bars(histogram: Histogram, width: float, height: float) -> list[dict[str, Any]]:
    """The bars of a drawing: heights grow with the logarithm of the count, so that few documents are seen, too."""
    most = math.log1p(max(histogram.counts))
    step = width / len(histogram.counts)
    drawn = []
    for index, (documents, broken) in enumerate(zip(histogram.counts, histogram.broken, strict=True)):
        if documents:
            tall = max(height * math.log1p(documents) / most, 1.0)
            drawn.append(
                {
                    "x": round(index * step, 1),
                    "width": round(step - 1, 1),
                    "tall": round(tall, 1),
                    "gone": round(tall * broken / documents, 1),
                    "documents": documents,
                    "low": histogram.edge(index),
                    "high": histogram.edge(index + 1),
                }
            )
    return drawn
