"""The table of ratios asked and achieved: the same rows for the command line, the dataset card and the report."""

from __future__ import annotations

from dataclasses import dataclass

from corpusmill.mix.selection import Selection


@dataclass(frozen=True, kw_only=True)
class MixRow:
    """One component of a mix.

    asked       share of the budget, 0 to 1
    achieved    share of the train split's units, 0 to 1
    units       of the train split, repeated passes counted
    effective   what they are worth in units of new text (Muennighoff et al. 2023)
    documents   rows of the train split
    epochs      passes over the component
    available   units of one pass
    """

    component: str
    source: str
    asked: float
    achieved: float
    units: int
    effective: float
    documents: int
    epochs: float
    available: int


def mix_table(selection: Selection) -> list[MixRow]:
    """A row for each component of the mix, the largest first."""
    total = selection.units
    rows = [
        MixRow(
            component=chosen.component,
            source=chosen.source,
            asked=chosen.ratio,
            achieved=chosen.units / total if total else 0.0,
            units=chosen.units,
            effective=chosen.effective_units,
            documents=chosen.documents,
            epochs=chosen.epochs,
            available=chosen.available_units,
        )
        for chosen in selection.components
    ]
    return sorted(rows, key=lambda row: (-row.asked, row.component))
