"""What a recipe says under `mix`: how much of each source, in which unit, and what to do when a source is short."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from corpusmill.documents.errors import RecipeError, nearest

Unit = Literal["estimated_tokens", "tokens", "words", "bytes", "characters"]
WhenShort = Literal["error", "renormalise", "repeat"]

RATIO_TOLERANCE = 1e-6
"""How far from 1 the ratios may sum; within it they are scaled to 1 exactly."""
MAX_SHARD_BYTES = 1_000_000_000
"""A shard is put in order in memory, and readers' string columns have 32-bit offsets."""


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """The mix that a recipe asks for.

    The budget is what a trainer reads: the units of the train split, repeated passes included. Validation documents
    are held out of every source before that.

    Raises:
        RecipeError: if a value cannot be used, or the ratios do not sum to 1.
    """

    ratios: dict[str, float]
    """Source -> share of the budget. They sum to 1."""
    budget: int | None = None
    """Units of the train split. None: the largest that the ratios and `max_epochs` allow."""
    unit: Unit = "estimated_tokens"
    """What ratios and budget count. `estimated_tokens` is a quarter of a document's UTF-8 bytes, rounded up."""
    tokenizer: str | None = None
    """Path of a Hugging Face `tokenizer.json`; needed for `tokens`, and only there."""
    seed: int = 0
    """Decides which documents are taken, which are held out, and the order of the rows."""
    max_epochs: float = 1.0
    """The most passes over any source. 1: nothing is repeated."""
    when_short: WhenShort = "error"
    """What happens when a source's share is more than `max_epochs` passes over it. `error`: nothing is mixed.
    `renormalise`: it gives its `max_epochs` passes, and the others fill the budget in proportion to their ratios.
    `repeat`: it gives its `max_epochs` passes, and the dataset stays that much smaller than the budget."""
    validation: float = 0.01
    """Share of documents held out as the validation split, by a keyed hash of the id. 0: no such split."""
    shard_bytes: int = 100_000_000
    """UTF-8 bytes of text in a shard, about; zstd makes the file two to four times smaller."""
    name: str = "corpusmill-dataset"
    """The dataset's name, in its card and manifest."""

    def __post_init__(self) -> None:
        _check_ratios(self.ratios)
        _check_choice("unit", self.unit, get_args(Unit))
        _check_choice("when_short", self.when_short, get_args(WhenShort))
        if self.budget is not None and (not _is_whole(self.budget) or self.budget < 1):
            raise RecipeError(
                f"mix.budget: {self.budget!r} is no whole number of {self.unit} above 0; leave it out for the largest "
                "that the ratios allow"
            )
        if self.unit == "tokens" and self.tokenizer is None:
            raise RecipeError(
                "mix.tokenizer: unit `tokens` counts with a tokenizer; give the path of a tokenizer.json, or use unit "
                "`estimated_tokens` (bytes / 4)"
            )
        if self.unit != "tokens" and self.tokenizer is not None:
            raise RecipeError(
                f"mix.tokenizer: {self.tokenizer!r} would not be used, as the unit is `{self.unit}`; set `unit: tokens`"
            )
        if not _is_whole(self.seed):
            raise RecipeError(f"mix.seed: {self.seed!r} is no whole number")
        if not _is_number(self.max_epochs) or self.max_epochs <= 0:
            raise RecipeError(f"mix.max_epochs: {self.max_epochs!r} is no number above 0; 1 repeats nothing")
        if self.when_short == "repeat" and self.max_epochs <= 1:
            raise RecipeError(
                f"mix.when_short: `repeat` repeats nothing with max_epochs {self.max_epochs:g}; set max_epochs "
                "above 1, such as 4"
            )
        if not _is_number(self.validation) or not 0 <= self.validation < 1:
            raise RecipeError(
                f"mix.validation: {self.validation!r} is no share of documents; give 0 up to below 1, such as .01"
            )
        if not _is_whole(self.shard_bytes) or not 1 <= self.shard_bytes <= MAX_SHARD_BYTES:
            raise RecipeError(
                f"mix.shard_bytes: {self.shard_bytes!r} is not from 1 to {MAX_SHARD_BYTES:,}; 100,000,000 suits most"
            )
        if not isinstance(self.name, str) or not self.name.strip():
            raise RecipeError(f"mix.name: {self.name!r} is no name")

    def check_sources(self, names: Collection[str]) -> None:
        """Checks that every ratio is a source's.

        Raises:
            RecipeError: if not; it names the sources that are close.
        """
        for source in self.ratios:
            if source not in names:
                close = nearest(source, names)
                mend = f"did you mean {close!r}?" if close else f"the sources are {_listed(names)}"
                raise RecipeError(f"mix.ratios.{source}: the recipe has no source of this name; {mend}")

    def shares(self) -> dict[str, Fraction]:
        """The ratios as exact numbers that sum to 1, sources in alphabetical order; those of 0 are left out.

        >>> MixOptions(ratios={"web": 0.7, "code": 0.3}).shares()["web"]
        Fraction(7, 10)
        """
        exact = {source: Fraction(str(self.ratios[source])) for source in sorted(self.ratios)}
        total = sum(exact.values())
        return {source: ratio / total for source, ratio in exact.items() if ratio}

    def measuring(self) -> dict[str, Any]:
        """What `measure_part` depends on: these values, and the tokenizer's content, belong in its fingerprint."""
        return {"unit": self.unit, "tokenizer": self.tokenizer}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _check_ratios(ratios: object) -> None:
    if not isinstance(ratios, dict) or not ratios:
        raise RecipeError("mix.ratios: no source is named; give each its share, such as {web: .8, code: .2}")
    for source, ratio in ratios.items():
        if not _is_number(ratio) or not 0 <= ratio <= 1:
            raise RecipeError(f"mix.ratios.{source}: {ratio!r} is no share; give a number from 0 to 1")
    total = math.fsum(ratios.values())
    if abs(total - 1) > RATIO_TOLERANCE:
        if total == 0:
            raise RecipeError("mix.ratios: they sum to 0, not to 1; give at least one source a share")
        scaled = ", ".join(f"{source}: {ratio / total:.6g}" for source, ratio in ratios.items())
        raise RecipeError(f"mix.ratios: they sum to {total:.9g}, not to 1; in the same proportions: {{{scaled}}}")


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = nearest(str(value), choices)
        mend = f"did you mean {close!r}?" if close else f"choose one of {_listed(choices)}"
        raise RecipeError(f"mix.{key}: {value!r} is not known; {mend}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
