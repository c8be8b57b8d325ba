"""`corpusmill mix`: other datasets of a run that has ended, and what a mix would be, without making it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from corpusmill.documents.errors import UsageError
from corpusmill.mix.options import MixOptions
from corpusmill.mix.placement import bytes_by_component
from corpusmill.mix.selection import Supply, Totals, effective_units, targets_of
from corpusmill.mix.slices import Case
from corpusmill.mix.units import BYTES_PER_ESTIMATED_TOKEN, UNIT_NAMES
from corpusmill.pipeline.mixing import Mix, Part, mix_options
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run import curated_parts
from corpusmill.pipeline.summary import table

_BYTES_A_UNIT = {"tokens": BYTES_PER_ESTIMATED_TOKEN, "estimated_tokens": BYTES_PER_ESTIMATED_TOKEN, "words": 6}
"""About so many bytes of text make a unit; bytes and characters are taken for the same."""


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """What a dataset would be.

    rows        for each component: component, asked share, units, available units, epochs, effective units
    """

    stage: str
    budget: int
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class MixPlan:
    """What `corpusmill mix --dry-run` tells.

    counted     whether units were counted by an earlier mix, or are estimated from the bytes that the run told of
    """

    unit: str
    counted: bool
    datasets: tuple[PlannedDataset, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "counted": self.counted,
            "datasets": [{"stage": one.stage, "budget": one.budget, "rows": list(one.rows)} for one in self.datasets],
        }


def plan_mix(recipe: Recipe) -> MixPlan:
    """Plans the mix of a run that has ended from what its manifests and ledgers say.

    Raises:
        UsageError: if the recipe has no mix, or has not been run to its end.
        ShortSourceError: as the mix itself would.
    """
    options = mix_options(recipe)
    if options is None:
        raise UsageError(f"{recipe.file}: has no `mix`; say in it which ratios the dataset is to have")
    parts, _ = curated_parts(recipe)
    mix = Mix(recipe.runs / recipe.name, options, parts)
    sketching = mix.sketching()
    placing = mix.placing(mix.measuring(), mix.grouping(sketching) if sketching else None)
    known = mix.remembered(placing)
    totals = known if known is not None else _estimated(mix)
    used: dict[str, int] = {}
    datasets = []
    for stage, asked in options.datasets().items():
        targets, shares = targets_of(totals, asked, options, used)
        rows = [_row(totals.of(name), float(share), float(targets.aims[name])) for name, share in shares.items()]
        rows.sort(key=lambda row: (-row["asked"], row["component"]))
        datasets.append(PlannedDataset(stage, targets.budget, tuple(rows)))
        if options.stages:
            for name, aim in targets.aims.items():
                if not options.may_overlap(name):
                    used[name] = used.get(name, 0) + int(aim)
    return MixPlan(UNIT_NAMES[options.unit], known is not None, tuple(datasets))


def plan_as_text(plan: MixPlan) -> str:
    """The same for people."""
    blocks = []
    for dataset in plan.datasets:
        title = f"{dataset.stage}: " if dataset.stage else ""
        rows = [
            [
                row["component"],
                f"{row['asked']:.2%}",
                f"{row['units']:,.0f}",
                f"{row['effective']:,.0f}",
                f"{row['epochs']:.2f}",
                f"{row['available']:,}",
            ]
            for row in dataset.rows
        ]
        head = ["component", "asked", "units", "worth in new text", "epochs", "available"]
        blocks.append(f"{title}{dataset.budget:,} {plan.unit}\n{table(head, rows)}")
    if not plan.counted:
        blocks.append("Units are estimated from bytes: this mix's components have not been counted yet.")
    return "\n\n".join(blocks)


def _row(supply: Supply, asked: float, units: float) -> dict[str, Any]:
    return {
        "component": supply.component,
        "source": supply.source,
        "asked": asked,
        "units": units,
        "available": supply.units,
        "epochs": units / supply.units if supply.units else 0.0,
        "effective": effective_units(min(units, supply.units), units),
    }


def _estimated(mix: Mix) -> Totals:
    """What the components have, by the bytes that the ledgers tell of."""
    options, leaves = mix.options, {}
    for source, cases in mix.cases.items():
        found: dict[str, tuple[int, int]] = {}
        for part in mix.parts[source]:
            for component, (documents, text_bytes) in _counted(part, cases, options).items():
                before = found.get(component, (0, 0))
                found[component] = (before[0] + documents, before[1] + text_bytes)
        for case in cases:
            leaves[case.leaf] = {
                component: _supply(component, source, *sums, options)
                for component, sums in sorted(found.items())
                if case.holds(component)
            }
    return Totals(leaves)


def _counted(part: Part, cases: Sequence[Case], options: MixOptions) -> Mapping[str, tuple[int, int]]:
    if [case.where or case.by for case in cases] == [None] and not options.copies():
        counts = part.outcome.counts
        return {cases[0].leaf: (counts["shard"]["rows"], counts["bytes_out"])}
    return bytes_by_component(part.documents, part.ledger, cases, options.copies())


def _supply(component: str, source: str, documents: int, text_bytes: int, options: MixOptions) -> Supply:
    left = 1 - Fraction(str(options.validation)) - Fraction(str(options.heldout))
    units = documents if options.unit == "documents" else text_bytes // _BYTES_A_UNIT.get(options.unit, 1)
    return Supply(
        component=component,
        source=source,
        documents=int(documents * left),
        units=int(units * left),
        text_bytes=int(text_bytes * left),
        classes={},
        validation_documents=int(documents * options.validation),
        heldout_documents=int(documents * options.heldout),
    )
