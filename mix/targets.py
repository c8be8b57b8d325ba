"""How many units each component is to give: Hamilton's rounding, the policies for short ones, and their errors.

A component can give `max_epochs` passes over its train documents, and is short when its share of the budget is more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from corpusmill.documents.errors import ShortSourceError
from corpusmill.mix.options import MixOptions
from corpusmill.mix.units import UNIT_NAMES


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is asked of each component, in units of the train split.

    budget  the recipe's, or the largest possible where the recipe has none
    asked   component -> the ratio's part of the budget; they sum to the budget
    aims    component -> the exact number that whole documents are to come close to, after the policy for short ones
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


def largest_budget(shares: Mapping[str, Fraction], limits: Mapping[str, Fraction]) -> int:
    """The most units that keep the ratios within what each component can give."""
    return min(floor(limits[name] / share) for name, share in shares.items())


def find_targets(
    options: MixOptions,
    shares: Mapping[str, Fraction],
    available: Mapping[str, int],
    passes: Mapping[str, Fraction] | None = None,
    apart: Collection[str] = (),
) -> Targets:
    """What each component is to give, when one pass over it has `available` units of train documents.

    The aims are exact fractions and not Hamilton's whole numbers: those can shrink by one unit when the budget grows
    (the Alabama paradox), and then a larger dataset would not contain the smaller one.

    Args:
        shares: of the budget; they sum to 1.
        passes: the most over each component; default: the mix's `max_epochs`.
        apart: components that have no more passes because stages are to share none of their documents.

    Raises:
        ShortSourceError: if the policy does not allow what the ratios ask.
    """
    passes = passes or dict.fromkeys(shares, Fraction(str(options.max_epochs)))
    limits = {name: passes[name] * available[name] for name in shares}
    short = _Shortage(options, shares, available, passes, limits, apart)
    largest = largest_budget(shares, limits)
    budget = largest if options.budget is None else options.budget
    if budget == 0:
        raise ShortSourceError(short.of_everything())
    wanted = {name: budget * share for name, share in shares.items()}
    aims = wanted
    if budget > largest:
        match options.when_short:
            case "error":
                raise ShortSourceError(short.of_some(budget, largest, wanted))
            case "renormalise":
                if budget > sum(limits.values()):
                    raise ShortSourceError(short.of_all(budget))
                aims = _refilled(budget, shares, limits)
            case "repeat":
                aims = {name: min(wanted[name], limits[name]) for name in shares}
    return Targets(budget=budget, asked=hamilton(budget, shares), aims=aims)


def _refilled(budget: int, shares: Mapping[str, Fraction], limits: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Fills the budget in proportion to the shares, no component beyond its limit; the limits must suffice."""
    aims: dict[str, Fraction] = {}
    still = dict(shares)
    while still:
        scale = (budget - sum(aims.values(), Fraction())) / sum(still.values(), Fraction())
        full = [name for name, share in still.items() if scale * share > limits[name]]
        if not full:
            aims.update({name: scale * share for name, share in still.items()})
            break
        for name in full:
            aims[name] = limits[name]
            del still[name]
    return {name: aims[name] for name in shares}


@dataclass(frozen=True, slots=True)
class _Shortage:
    """What is said where components have less than is asked of them."""

    options: MixOptions
    shares: Mapping[str, Fraction]
    available: Mapping[str, int]
    passes: Mapping[str, Fraction]
    limits: Mapping[str, Fraction]
    apart: Collection[str]

    def of_some(self, budget: int, largest: int, wanted: Mapping[str, Fraction]) -> str:
        unit = UNIT_NAMES[self.options.unit]
        short = [name for name in wanted if wanted[name] > self.limits[name]]
        lines = [f"mix: a budget of {budget:,} {unit} asks more of some sources than they have:"]
        for name in short:
            asked, there = ceil(wanted[name]), floor(self.limits[name])
            passes = "" if self.passes[name] == 1 else f" in {float(self.passes[name]):g} passes"
            lines.append(
                f"  {name}: asked {asked:,} ({100 * float(self.shares[name]):.4g} %), there are {there:,}{passes}, "
                f"missing {asked - there:,}"
            )
        lines.append("Mend it in one of three ways:")
        if largest:
            lines.append(f"  budget: {largest}   (the largest that these ratios allow)")
        else:
            lines.append("  give the empty sources documents, or take them out of the ratios")
        stuck = [name for name in short if name in self.apart]
        if stuck:
            lines.append(f"  overlap: [{', '.join(stuck)}]   (stages may read the same documents; `true` for all)")
        elif all(self.available[name] for name in short):
            needed = max(wanted[name] / self.available[name] for name in short)
            lines.append(f"  max_epochs: {ceil(needed * 100) / 100:g}   (repeats what is short)")
        else:
            lines.append("  max_epochs cannot help a source that has no documents")
        total = floor(sum(self.limits.values()))
        if budget <= total:
            aims = _refilled(budget, self.shares, self.limits)
            mix = ", ".join(f"{name} {100 * float(aim / budget):.4g} %" for name, aim in aims.items())
            lines.append(f"  when_short: renormalise   (the others fill the budget: {mix})")
        else:
            lines.append(
                f"  when_short: renormalise with a budget of at most {total}   (all sources together have no more)"
            )
        return "\n".join(lines)

    def of_all(self, budget: int) -> str:
        total = floor(sum(self.limits.values()))
        return (
            f"mix.budget: {budget:,} {UNIT_NAMES[self.options.unit]} are more than all sources of the mix have "
            f"together with max_epochs {self.options.max_epochs:g}, which is {total:,}; lower the budget to {total} or "
            "raise max_epochs"
        )

    def of_everything(self) -> str:
        empty = [name for name in self.shares if not self.available[name]]
        if not empty:
            return "mix.ratios: the sources have too little for one unit in these ratios; give them documents"
        conditions = "".join(
            f"; no document meets {part.where!r}" for name, part in self.options.slices.items() if name in empty
        )
        return (
            f"mix.ratios: no train document is left in {', '.join(empty)}, so that no budget keeps the ratios"
            f"{conditions}; give it documents, lower `validation`, or take it out of the ratios"
        )
