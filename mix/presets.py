"""Published mixes by name (`presets.yaml`, each with its source), who stands for their categories, and a control.

A preset says `{web: 85, code: 12, math: 3}` and a recipe has sources of its own: `resolve` says which of them stands
for which category. A preset of several stages names a preset for each; their datasets have budgets in proportion to
the published ones.

`worst` is no table but a control, as Olmix runs one (a mix that should lose): the shares of a mix handed out in
reverse. Where a model trained on it is no worse than one trained on the mix, the experiment cannot tell mixes apart
(too small, too few seeds, the wrong measure), and what it says of finer differences is noise.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from corpusmill.documents.errors import RecipeError, nearest
from corpusmill.mix.targets import hamilton

WORST = "worst"
"""The preset that turns a recipe's own ratios around."""
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published mix."""

    name: str
    """What recipes call it."""
    title: str
    """What people call it."""
    source: str
    """The paper or page, and the place in it."""
    shares: Mapping[str, Fraction]
    """Category -> share of the tokens; they sum to 1. Empty where the preset has stages."""
    epochs: Mapping[str, float]
    """Category -> published passes over its data; empty where none are published."""
    stages: tuple[str, ...]
    """Names of the presets of its stages, in the order of training; mostly none."""
    budget: int | None
    """Published tokens of this mix or stage."""
    note: str
    """What one should know; may be empty."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data; shares as numbers."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "shares": {category: round(float(share), _DIGITS) for category, share in self.shares.items()},
            "epochs": dict(self.epochs),
            "stages": list(self.stages),
            "budget": self.budget,
            "note": self.note,
        }


def names() -> tuple[str, ...]:
    """The presets, in the order of their publication; `worst` is none of them."""
    return tuple(_presets())


def find_preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        RecipeError: if there is none; it names the one that is close.
    """
    if name not in _presets():
        known = (*names(), WORST)
        close = nearest(str(name), known)
        mend = f"did you mean {close!r}?" if close else f"there are {', '.join(known)}"
        raise RecipeError(f"mix.preset: {name!r} is no preset; {mend}")
    return _presets()[name]


def resolve(preset: Preset, sources: Collection[str], mapping: Mapping[str, str | None] | None) -> dict[str, float]:
    """The preset as ratios of a recipe's sources; they sum to 1.

    A category goes to the source that `mapping` names, or to the one of its own name. Categories that go to the same
    source add up. One that is mapped to None is left out, and the others keep their proportions.

    Args:
        preset: one without stages.
        sources: names that can have a share.
        mapping: category -> source; the recipe's `mix.preset_sources`.

    Raises:
        RecipeError: if a category has no source, the mapping names a category or source that is not there, nothing is
            left, or the preset has stages.
    """
    if preset.stages:
        raise RecipeError(
            f"mix.preset: {preset.name!r} has stages, each with a mix of its own; here goes one of "
            f"{', '.join(preset.stages)}"
        )
    given = dict(mapping or {})
    for category, source in given.items():
        _check_known("mix.preset_sources", category, preset.shares, f"category of {preset.name}")
        if source is not None:
            _check_known(f"mix.preset_sources.{category}", source, sources, "source of the recipe")
    found = {category: given.get(category, category if category in sources else "") for category in preset.shares}
    missing = [category for category, source in found.items() if source == ""]
    if missing:
        raise RecipeError(_missing_message(preset, found, missing, sources))
    ratios: dict[str, Fraction] = {}
    for category, source in found.items():
        if source is not None:
            ratios[source] = ratios.get(source, Fraction()) + preset.shares[category]
    if not ratios:
        raise RecipeError("mix.preset_sources: every category is mapped to null, and nothing is left to mix")
    total = sum(ratios.values())
    return {source: round(float(ratio / total), _DIGITS) for source, ratio in ratios.items()}


def stage_budgets(preset: Preset, budget: int) -> dict[str, int]:
    """A budget dealt out among the stages of a preset as published: stage -> units, in the order of training.

    >>> stage_budgets(find_preset("smollm3"), 111)
    {'smollm3_stage1': 80, 'smollm3_stage2': 20, 'smollm3_stage3': 11}
    """
    published = {name: find_preset(name).budget or 0 for name in preset.stages}
    total = sum(published.values())
    parts = hamilton(budget, {name: Fraction(size, total) for name, size in published.items()})
    return {name: parts[name] for name in preset.stages}


def worst(shares: Mapping[str, float]) -> dict[str, float]:
    """The same shares the other way round: the largest goes to whom had the smallest, and so on. Ties go by name.

    Raises:
        RecipeError: if all shares are equal: turned around, the mix is the same, and no control.

    >>> worst({"web": 0.8, "code": 0.15, "math": 0.05})
    {'web': 0.05, 'code': 0.15, 'math': 0.8}
    """
    if len(set(shares.values())) < 2:
        raise RecipeError(
            "mix.preset: `worst` turns unequal ratios around, and these are all the same; compare with other ratios"
        )
    ascending = sorted(shares, key=lambda name: (shares[name], name))
    reverse = dict(zip(ascending, sorted(shares.values(), reverse=True), strict=True))
    return {name: reverse[name] for name in shares}


def presets_as_text() -> str:
    """All presets as lines: name, what it is, and its shares."""
    lines = []
    for preset in _presets().values():
        mix = " > ".join(preset.stages) if preset.stages else _percent(preset.shares)
        lines += [f"{preset.name:<16}{preset.title}", f"{'':<16}{mix}"]
    lines += [f"{WORST:<16}A control: the recipe's own ratios in reverse", ""]
    lines += ["`corpusmill presets NAME` shows a preset's source and how a recipe uses it."]
    return "\n".join(lines)


def presets_as_data(name: str | None) -> list[dict[str, Any]] | dict[str, Any]:
    """All presets, or the one of this name, for machines.

    Raises:
        RecipeError: if there is none of this name.
    """
    if name is None:
        return [preset.as_dict() for preset in _presets().values()]
    return find_preset(name).as_dict()


def preset_as_text(name: str) -> str:
    """One preset with its source, and the lines of a recipe that use it.

    Raises:
        RecipeError: if there is none of this name.
    """
    if name == WORST:
        return _WORST_TEXT
    preset = find_preset(name)
    lines = [f"{preset.name}: {preset.title}", f"source: {preset.source}"]
    if preset.note:
        lines += textwrap.wrap(f"note: {preset.note}", 118, subsequent_indent="      ")
    if preset.budget:
        lines.append(f"tokens: {preset.budget:,}")
    lines.append("")
    for stage in preset.stages:
        part = find_preset(stage)
        lines.append(f"  {stage:<20}{part.budget or 0:>20,} tokens   {_percent(part.shares)}")
    if preset.shares:
        width = max(map(len, preset.shares))
        lines.append(f"  {'category':<{width}}  {'%':>6}{'  epochs' if preset.epochs else ''}")
    for category, share in preset.shares.items():
        epochs = f"{preset.epochs[category]:>8.2f}" if category in preset.epochs else ""
        lines.append(f"  {category:<{width}}  {100 * float(share):>6.1f}{epochs}")
    categories = preset.shares or find_preset(preset.stages[0]).shares
    others = [f"    {category}: {_EXAMPLES[category]}" for category in categories if category in _EXAMPLES]
    lines += [
        "",
        "In a recipe: a category goes to the source (or other component) of its name, or to the one that",
        "`preset_sources` names; null leaves it out, and the others keep their proportions.",
        "",
        "mix:",
        f"  preset: {preset.name}",
        *(["  preset_sources:", *others] if others else []),
    ]
    return "\n".join(lines)


_EXAMPLES = {
    **dict.fromkeys(("commoncrawl", "c4", "dclm", "general", "english"), "web"),
    **dict.fromkeys(("github", "starcoder"), "code"),
    **dict.fromkeys(("math_reasoning", "openwebmath", "algebraic_stack"), "math"),
    **dict.fromkeys(("scientific", "pes2o"), "papers"),
}
_WORST_TEXT = """worst: a control
source: Olmix (Ai2) runs a mix that should lose beside those that should win

It has no shares of its own: it hands out the recipe's ratios in reverse, the largest to the source that had the
smallest. Train on it as on the mix. Where it does not lose, the experiment cannot tell mixes apart.

mix:
  preset: worst
  ratios: {web: 0.8, code: 0.15, math: 0.05}    # mixes web 5 %, code 15 %, math 80 %"""


@cache
def _presets() -> Mapping[str, Preset]:
    text = (files("corpusmill.mix") / "presets.yaml").read_text(encoding="utf-8")
    return MappingProxyType({name: _preset(name, entry) for name, entry in yaml.safe_load(text).items()})


def _preset(name: str, entry: Mapping[str, Any]) -> Preset:
    if "ranges" in entry:
        middles = {category: Fraction(low + high, 2) for category, (low, high) in entry["ranges"].items()}
    else:
        middles = {category: Fraction(str(share)) for category, share in entry.get("shares", {}).items()}
    total = sum(middles.values())
    return Preset(
        name=name,
        title=entry["title"],
        source=entry["source"],
        shares=MappingProxyType({category: share / total for category, share in middles.items()}),
        epochs=MappingProxyType(entry.get("epochs", {})),
        stages=tuple(entry.get("stages", ())),
        budget=entry.get("budget"),
        note=entry.get("note", ""),
    )


def _percent(shares: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{category} {100 * float(share):.3g} %" for category, share in shares.items())


def _check_known(place: str, name: str, known: Iterable[str], what: str) -> None:
    choices = sorted(known)
    if name not in choices:
        close = nearest(str(name), choices)
        mend = f"did you mean {close!r}?" if close else f"there are {', '.join(choices)}"
        raise RecipeError(f"{place}: {name!r} is no {what}; {mend}")


def _missing_message(
    preset: Preset, found: Mapping[str, str | None], missing: Collection[str], sources: Collection[str]
) -> str:
    known = sorted(sources)
    line = {
        category: source if source else nearest(category, known) or _likely(category, known) or "SOURCE"
        for category, source in found.items()
        if source is not None and source != category
    }
    written = ", ".join(f"{category}: {source}" for category, source in line.items())
    dropped = ", ".join(f"{category}: null" for category, source in found.items() if source is None)
    return (
        f"mix.preset: {preset.name} has categories that no source of the recipe stands for: {', '.join(missing)}; the "
        f"sources are {', '.join(known)}. Say which one does:\n"
        f"  preset_sources: {{{', '.join(filter(None, (written, dropped)))}}}\n"
        "or `null` for a category to leave it out, and the others keep their proportions"
    )


def _likely(category: str, sources: Collection[str]) -> str | None:
    example = _EXAMPLES.get(category)
    return example if example in sources else None
