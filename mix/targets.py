"""How many units each source is to give: Hamilton's rounding, the policies for short sources, and their errors.

A source can give `max_epochs` passes over its train documents, and is short when its share of the budget is more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from corpusmill.documents.errors import ShortSourceError
from corpusmill.mix.options import MixOptions
from corpusmill.mix.units import UNIT_NAMES


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is asked of each source, in units of the train split.

    budget  the recipe's, or the largest possible where the recipe has none
    asked   source -> the ratio's part of the budget; they sum to the budget
    aims    source -> the exact number that whole documents are to come close to, after the policy for short sources
    """

    budget: int
    asked: dict[str, int]
    aims: dict[str, Fraction]


def hamilton(total: int, shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Splits `total` by shares that sum to 1 into whole numbers that sum to it, each less than 1 off its exact part.

    Alexander Hamilton 1792, the method of largest remainders; equal remainders go by name.

    >>> hamilton(10, {"code": Fraction(1, 3), "web": Fraction(2, 3)})
    {'code': 3, 'web': 7}
    """
    parts = {name: floor(total * share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (parts[name] - total * shares[name], name))
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def largest_budget(shares: Mapping[str, Fraction], available: Mapping[str, int], max_epochs: float) -> int:
    """The most units that keep the ratios with at most `max_epochs` passes over any source."""
    passes = Fraction(str(max_epochs))
    return min(floor(passes * available[source] / share) for source, share in shares.items())


def find_targets(options: MixOptions, available: Mapping[str, int]) -> Targets:
    """What each source is to give, when one pass over it has `available` units of train documents.

    The aims are exact fractions and not Hamilton's whole numbers: those can shrink by one unit when the budget grows
    (the Alabama paradox), and then a larger dataset would not contain the smaller one.

    Raises:
        ShortSourceError: if the policy does not allow what the ratios ask.
    """
    shares = options.shares()
    largest = largest_budget(shares, available, options.max_epochs)
    budget = largest if options.budget is None else options.budget
    if budget == 0:
        raise ShortSourceError(_nothing_message(options, shares, available))
    wanted = {source: budget * share for source, share in shares.items()}
    passes = Fraction(str(options.max_epochs))
    limits = {source: passes * available[source] for source in shares}
    aims = wanted
    if budget > largest:
        match options.when_short:
            case "error":
                raise ShortSourceError(_short_message(options, budget, largest, wanted, limits, available))
            case "renormalise":
                if budget > sum(limits.values()):
                    raise ShortSourceError(_exhausted_message(options, budget, limits))
                aims = _refilled(budget, shares, limits)
            case "repeat":
                aims = {source: min(wanted[source], limits[source]) for source in shares}
    return Targets(budget=budget, asked=hamilton(budget, shares), aims=aims)


def _refilled(budget: int, shares: Mapping[str, Fraction], limits: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Fills the budget in proportion to the shares, no source beyond its limit; the limits must suffice."""
    aims: dict[str, Fraction] = {}
    open_sources = dict(shares)
    while open_sources:
        scale = (budget - sum(aims.values(), Fraction())) / sum(open_sources.values(), Fraction())
        full = [source for source, share in open_sources.items() if scale * share > limits[source]]
        if not full:
            aims.update({source: scale * share for source, share in open_sources.items()})
            break
        for source in full:
            aims[source] = limits[source]
            del open_sources[source]
    return {source: aims[source] for source in shares}


def _short_message(
    options: MixOptions,
    budget: int,
    largest: int,
    wanted: Mapping[str, Fraction],
    limits: Mapping[str, Fraction],
    available: Mapping[str, int],
) -> str:
    unit = UNIT_NAMES[options.unit]
    short = [source for source in wanted if wanted[source] > limits[source]]
    lines = [f"mix: a budget of {budget:,} {unit} asks more of some sources than they have:"]
    for source in short:
        asked, there = ceil(wanted[source]), floor(limits[source])
        passes = "" if options.max_epochs == 1 else f" in {options.max_epochs:g} passes"
        lines.append(
            f"  {source}: asked {asked:,} ({100 * float(wanted[source] / budget):.4g} %), there are {there:,}{passes}, "
            f"missing {asked - there:,}"
        )
    lines.append("Mend it in one of three ways:")
    if largest:
        lines.append(f"  budget: {largest}   (the largest that these ratios allow)")
    else:
        lines.append("  give the empty sources documents, or take them out of the ratios")
    if all(available[source] for source in short):
        needed = max(wanted[source] / available[source] for source in short)
        lines.append(f"  max_epochs: {ceil(needed * 100) / 100:g}   (repeats what is short)")
    else:
        lines.append("  max_epochs cannot help a source that has no documents")
    if budget <= sum(limits.values()):
        aims = _refilled(budget, options.shares(), limits)
        mix = ", ".join(f"{source} {100 * float(aim / budget):.4g} %" for source, aim in aims.items())
        lines.append(f"  when_short: renormalise   (the others fill the budget: {mix})")
    else:
        total = floor(sum(limits.values()))
        lines.append(
            f"  when_short: renormalise with a budget of at most {total}   (all sources together have no more)"
        )
    return "\n".join(lines)


def _exhausted_message(options: MixOptions, budget: int, limits: Mapping[str, Fraction]) -> str:
    total = floor(sum(limits.values()))
    return (
        f"mix.budget: {budget:,} {UNIT_NAMES[options.unit]} are more than all sources of the mix have together with "
        f"max_epochs {options.max_epochs:g}, which is {total:,}; lower the budget to {total} or raise max_epochs"
    )


def _nothing_message(options: MixOptions, shares: Mapping[str, Fraction], available: Mapping[str, int]) -> str:
    empty = [source for source in shares if not available[source]]
    if empty:
        return (
            f"mix.ratios: no train document is left in {', '.join(empty)}, so that no budget keeps the ratios; give it "
            "documents, lower `validation`, or take it out of the ratios"
        )
    return "mix.ratios: the sources have too little for one unit in these ratios; give them documents"
