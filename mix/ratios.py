"""The tree of ratios: which leaves it has, and how its shares become exact shares of components.

A leaf is what documents can be of: a source or a slice, whole or by a column's values. A whole one is one component, of
the leaf's name; one by values has a component for each, `leaf/value`, known only when the documents have been counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.balance import natural, temperature, unimax
from corpusmill.mix.options import MixOptions, Ratios, Share, Stage, exact_shares
from corpusmill.mix.presets import WORST, find_preset, resolve, stage_budgets, worst


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of the tree.

    name        a source or a slice
    by          the column whose values are components, if any
    max_epochs  the most passes over each of its components; None: the mix's
    place       where the recipe says so
    """

    name: str
    by: str | None
    max_epochs: float | None
    place: str


def with_presets(options: MixOptions, names: Collection[str]) -> MixOptions:
    """The options with the ratios that their presets stand for.

    Args:
        names: sources and slices.

    Raises:
        RecipeError: if there is no such preset, or nothing stands for one of its categories.
    """
    mapping = options.preset_sources
    if options.stages:
        stages = tuple(
            stage
            if stage.preset is None
            else replace(stage, preset=None, ratios=dict(resolve(find_preset(stage.preset), names, mapping)))
            for stage in options.stages
        )
        return replace(options, stages=stages)
    if options.preset is None:
        return options
    if options.preset == WORST:
        plain = {name: given.share if isinstance(given, Share) else given for name, given in options.ratios.items()}
        turned: dict[str, float | Share] = {}
        for name, share in worst(plain).items():
            given = options.ratios[name]
            turned[name] = replace(given, share=share) if isinstance(given, Share) else share
        return replace(options, preset=None, ratios=turned)
    preset = find_preset(options.preset)
    if not preset.stages:
        return replace(options, preset=None, ratios=dict(resolve(preset, names, mapping)))
    if options.budget is None:
        raise RecipeError(
            f"mix.budget: is missing; {preset.name} has {len(preset.stages)} stages, which divide a budget between them"
        )
    budgets = stage_budgets(preset, options.budget)
    phases = tuple(
        Stage(name=name, ratios=dict(resolve(find_preset(name), names, mapping)), budget=budgets[name])
        for name in preset.stages
    )
    return replace(options, preset=None, budget=None, stages=phases)


def leaves_of(ratios: Ratios, place: str = "mix.ratios", max_epochs: float | None = None) -> Iterator[Leaf]:
    """The leaves with a share above 0, in the recipe's order.

    Raises:
        RecipeError: if a leaf stands twice.
    """
    seen = set()
    for leaf in _leaves(ratios, place, max_epochs):
        if leaf.name in seen:
            raise RecipeError(
                f"{leaf.place}: {leaf.name!r} has a share elsewhere, too; give it one, or make slices of it"
            )
        seen.add(leaf.name)
        yield leaf


def _leaves(ratios: Ratios, place: str, max_epochs: float | None) -> Iterator[Leaf]:
    for name, given in ratios.items():
        here = f"{place}.{name}"
        if not isinstance(given, Share):
            if given:
                yield Leaf(name, None, max_epochs, here)
            continue
        most = max_epochs if given.max_epochs is None else given.max_epochs
        if not given.share:
            continue
        if given.of is None:
            yield Leaf(name, given.by, most, here)
        elif isinstance(given.of, dict):
            yield from _leaves(given.of, f"{here}.of", most)
        else:
            for member in given.of:
                yield Leaf(member, None, most, f"{here}.of")


def shares_of(
    ratios: Ratios, sizes: Mapping[str, Mapping[str, int]], budget: int | None, max_epochs: float
) -> dict[str, Fraction]:
    """Each component's share of the budget; they sum to 1. Components without one are left out.

    Args:
        sizes: leaf -> its components -> units of one pass.
        budget: units of the dataset; `unimax` needs it.

    Raises:
        RecipeError: if a group is to be balanced by `unimax` and there is no budget.
    """
    divided = _divided(ratios, Fraction(1), sizes, budget, max_epochs, "mix.ratios")
    return dict(sorted((name, share) for name, share in divided if share))


def _divided(
    ratios: Ratios,
    whole: Fraction,
    sizes: Mapping[str, Mapping[str, int]],
    budget: int | None,
    max_epochs: float,
    place: str,
) -> Iterator[tuple[str, Fraction]]:
    plain = {name: given.share if isinstance(given, Share) else given for name, given in ratios.items()}
    for name, part in exact_shares(plain).items():
        given, share = ratios[name], whole * part
        if not isinstance(given, Share) or (given.of is None and given.by is None):
            yield name, share
            continue
        most = max_epochs if given.max_epochs is None else given.max_epochs
        if isinstance(given.of, dict):
            yield from _divided(given.of, share, sizes, budget, most, f"{place}.{name}.of")
            continue
        if given.of is not None:
            members = {member: sum(sizes.get(member, {}).values()) for member in given.of}
        else:
            members = dict(sizes.get(name, {})) or {name: 0}
        for member, of_group in _balanced(given, members, share, budget, most, f"{place}.{name}").items():
            yield member, share * of_group


def _balanced(
    given: Share, members: Mapping[str, int], share: Fraction, budget: int | None, max_epochs: float, place: str
) -> dict[str, Fraction]:
    """The members' shares of their group, which sum to 1 even where UniMax leaves some of the budget: to be short is
    for `when_short` to judge."""
    if not any(members.values()):
        return {name: Fraction(1, len(members)) for name in members}
    match given.balance:
        case "natural":
            return natural(members)
        case "temperature":
            return temperature(members, given.temperature)
        case "unimax":
            if budget is None:
                raise RecipeError(f"{place}.balance: unimax divides a budget, and mix.budget is missing; give it one")
            found = unimax(members, max(1, floor(share * budget)), max_epochs)
            total = sum(found.values(), Fraction())
            return {name: part / total for name, part in found.items()}
