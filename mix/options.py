"""What a recipe says under `mix`: how much of each source, in which unit, and what to do when a source is short.

    mix:
      ratios:
        web: {share: .6, by: language, balance: temperature, temperature: 3.33}    # its languages
        web_edu: .1                                                                # a slice, below
        code: .2
        books: {share: .1, of: {novels: .7, letters: .3}, max_epochs: 4}           # a group of two sources
      slices:
        web_edu: {source: web, where: "quality > .8 and language = 'en'"}
      budget: 10_000_000_000
      unit: tokens
      tokenizer: tokenizer.json

What has a share is a component: a whole source, a slice of one, or a value of a column of one (`web/de`). A document is
in one component at most: that of the first slice whose condition it meets, else its source's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, get_args

from corpusmill.documents.errors import RecipeError, nearest
from corpusmill.mix.licenses import LicensePolicy

Unit = Literal["estimated_tokens", "tokens", "words", "bytes", "characters", "documents"]
WhenShort = Literal["error", "renormalise", "repeat"]
Balance = Literal["natural", "temperature", "unimax"]
SplitBy = Literal["cluster", "document"]

RATIO_TOLERANCE = 1e-6
"""How far from 1 the ratios may sum; within it they are scaled to 1 exactly."""
MAX_SHARD_BYTES = 1_000_000_000
"""A shard is put in order in memory, and readers' string columns have 32-bit offsets."""
FINEWEB_2 = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}
"""FineWeb-2's rehydration (Penedo et al. 2025, section 5): least cluster size -> copies."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share that is divided further: among a column's values, or among other components."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    share: float
    """Of what stands around it, 0 to 1."""
    by: str | None = None
    """A column, such as `language`: each of its values is a component, as in `web/de`."""
    of: dict[str, float | Share] | tuple[str, ...] | None = None
    """Members of a group: a mapping with their shares of it, which sum to 1, or a list, which `balance` divides."""
    balance: Balance = "natural"
    """How values or listed members share: `natural` by size; `temperature` by size^(1/temperature); `unimax` evenly, as
    far as each lasts for `max_epochs` passes (Chung et al. 2023, UniMax)."""
    temperature: float = 3.33
    """1 is natural; the larger, the more even."""
    max_epochs: float | None = None
    """The most passes over each component here, instead of the mix's."""

    def __post_init__(self) -> None:
        if self.by is not None and self.of is not None:
            raise RecipeError("`by` and `of` exclude each other; give the member of a group its own `by`")
        if not _is_number(self.temperature) or self.temperature <= 0:
            raise RecipeError(f"temperature: {self.temperature!r} is no number above 0; 3.33 suits many languages")
        if self.max_epochs is not None and (not _is_number(self.max_epochs) or self.max_epochs <= 0):
            raise RecipeError(f"max_epochs: {self.max_epochs!r} is no number above 0; 1 repeats nothing")
        if self.of is not None and not self.of:
            raise RecipeError("of: names no member; list the components of the group")


Ratios = Mapping[str, float | Share]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a source."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: str
    where: str
    """An SQL condition over the curated columns (id, url, date, language, language_score, quality, license, metadata,
    text_bytes), the ledger's (file, cluster_size) and the stages' measures (`gopher_quality.words`)."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One of several datasets for the phases of a training."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    """Its folder below `dataset`."""
    ratios: dict[str, float | Share] = field(default_factory=dict)
    """As the mix's."""
    preset: str | None = None
    """A published mix instead of `ratios`."""
    budget: int | None = None
    """Units of its train split."""
    max_epochs: float | None = None
    """The most passes over any component; default: the mix's."""
    when_short: WhenShort | None = None
    """Default: the mix's."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise RecipeError(
                f"mix.stages: {self.name!r} is no name of a stage; use lower-case letters, digits and _, a letter first"
            )


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """The mix that a recipe asks for.

    The budget is what a trainer reads: the units of the train split, repeated passes included. Validation documents
    are held out of every source before that.

    Raises:
        RecipeError: if a value cannot be used, or the ratios do not sum to 1.
    """

    ratios: dict[str, float | Share] = field(default_factory=dict)
    """Component -> share of the budget. They sum to 1. A mapping instead of a number divides a share further."""
    preset: str | None = None
    """A published mix (`corpusmill presets`) instead of `ratios`; `worst` turns given ratios round, as a control."""
    preset_sources: dict[str, str | None] = field(default_factory=dict)
    """Category of the preset -> component that stands for it, where they are called otherwise; null leaves it out."""
    slices: dict[str, Slice] = field(default_factory=dict)
    """Parts of sources that ratios can name. A document is in the first whose condition it meets, and then not in what
    the ratios give to its whole source."""
    stages: tuple[Stage, ...] = ()
    """Several datasets, one for each phase of a training, instead of `ratios` and `budget`."""
    overlap: bool | tuple[str, ...] = False
    """Whether stages may share documents: none, all, or the components listed. What may not is read at most once."""
    budget: int | None = None
    """Units of the train split. None: the largest that the ratios and `max_epochs` allow."""
    unit: Unit = "estimated_tokens"
    """What ratios and budget count. `estimated_tokens` is a quarter of a document's UTF-8 bytes, rounded up."""
    tokenizer: str | None = None
    """Path of a Hugging Face `tokenizer.json`, or `NAME=FILE` of a tiktoken vocabulary, such as
    `cl100k_base=cl100k_base.tiktoken`; needed for `tokens`, and only there."""
    seed: int = 0
    """Decides which documents are taken, which are held out, and the order of the rows."""
    max_epochs: float = 1.0
    """The most passes over any component. 1: nothing is repeated."""
    when_short: WhenShort = "error"
    """What happens when a component's share is more than `max_epochs` passes over it. `error`: nothing is mixed.
    `renormalise`: it gives its `max_epochs` passes, and the others fill the budget in proportion to their ratios.
    `repeat`: it gives its `max_epochs` passes, and the dataset stays that much smaller than the budget."""
    rehydrate: bool | dict[int, int] = False
    """How often a document that stands for a cluster of duplicates occurs in one pass: least cluster size -> copies.
    `true` is FineWeb-2's table: {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}."""
    validation: float = 0.01
    """Share of documents held out as the validation split, by a keyed hash. 0: no such split."""
    heldout: float = 0.0
    """Share of each source's documents held out as a set of its own, for sweeps and per-domain losses."""
    split_by: SplitBy = "cluster"
    """What is held out as a whole: `cluster`, so that no near-duplicate of a document for training is held out, or
    `document`, which spares the search for them."""
    licenses: LicensePolicy = field(default_factory=LicensePolicy)
    """Licences that may not be in the dataset."""
    shard_bytes: int = 100_000_000
    """UTF-8 bytes of text in a shard, about; zstd makes the file two to four times smaller."""
    name: str = "corpusmill-dataset"
    """The dataset's name, in its card and manifest."""

    def __post_init__(self) -> None:
        self._check_asked()
        _check_choice("unit", self.unit, get_args(Unit))
        _check_choice("when_short", self.when_short, get_args(WhenShort))
        _check_choice("split_by", self.split_by, get_args(SplitBy))
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
        if self.when_short == "repeat" and self.max_epochs <= 1 and not self.stages:
            raise RecipeError(
                f"mix.when_short: `repeat` repeats nothing with max_epochs {self.max_epochs:g}; set max_epochs "
                "above 1, such as 4"
            )
        for key in ("validation", "heldout"):
            share = getattr(self, key)
            if not _is_number(share) or not 0 <= share < 1:
                raise RecipeError(f"mix.{key}: {share!r} is no share of documents; give 0 up to below 1, such as .01")
        if self.validation + self.heldout >= 1:
            raise RecipeError(
                f"mix.heldout: {self.heldout!r} and validation {self.validation!r} leave nothing to train on; lower it"
            )
        if not _is_whole(self.shard_bytes) or not 1 <= self.shard_bytes <= MAX_SHARD_BYTES:
            raise RecipeError(
                f"mix.shard_bytes: {self.shard_bytes!r} is not from 1 to {MAX_SHARD_BYTES:,}; 100,000,000 suits most"
            )
        if not isinstance(self.name, str) or not self.name.strip():
            raise RecipeError(f"mix.name: {self.name!r} is no name")
        for name in self.slices:
            if not _NAME.fullmatch(name):
                raise RecipeError(
                    f"mix.slices.{name}: is no name of a slice; use lower-case letters, digits and _, a letter first"
                )
        for size, copies in self.copies().items():
            if not _is_whole(size) or size < 1 or not _is_whole(copies) or copies < 1:
                raise RecipeError(
                    f"mix.rehydrate: {{{size!r}: {copies!r}}} must be a cluster size and a number of copies, from 1"
                )

    def _check_asked(self) -> None:
        if not self.stages:
            if self.preset is None or self.ratios:
                check_ratios(self.ratios, "mix.ratios")
            if self.preset is not None and self.ratios and self.preset != "worst":
                raise RecipeError(f"mix.preset: {self.preset!r} and `ratios` exclude each other; take one of them out")
            return
        if self.ratios or self.preset is not None or self.budget is not None:
            raise RecipeError("mix.stages: `ratios`, `preset` and `budget` stand in each stage then; move them there")
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise RecipeError(f"mix.stages: {name!r} stands twice; give each stage a name of its own")
        for stage in self.stages:
            if (stage.preset is None) == (not stage.ratios):
                raise RecipeError(f"mix.stages.{stage.name}: give it either `ratios` or a `preset`")
            if stage.ratios:
                check_ratios(stage.ratios, f"mix.stages.{stage.name}.ratios")

    def copies(self) -> dict[int, int]:
        """Least cluster size -> copies of a document in one pass; empty where every document occurs once."""
        if isinstance(self.rehydrate, bool):
            return dict(FINEWEB_2) if self.rehydrate else {}
        return dict(sorted(self.rehydrate.items()))

    def may_overlap(self, component: str) -> bool:
        """Whether stages may share documents of a component (or of those of a column's values, by their prefix)."""
        if isinstance(self.overlap, bool):
            return self.overlap
        return component in self.overlap or component.partition("/")[0] in self.overlap

    def datasets(self) -> dict[str, MixOptions]:
        """Each dataset that is to be written, by its stage's name; the only one's is empty."""
        if not self.stages:
            return {"": self}
        return {
            stage.name: replace(
                self,
                ratios=stage.ratios,
                preset=stage.preset,
                budget=stage.budget,
                stages=(),
                max_epochs=self.max_epochs if stage.max_epochs is None else stage.max_epochs,
                when_short=self.when_short if stage.when_short is None else stage.when_short,
                name=f"{self.name}-{stage.name}",
            )
            for stage in self.stages
        }

    def measuring(self) -> dict[str, Any]:
        """What `measure_part` depends on: these values, and the tokenizer's content, belong in its fingerprint."""
        return {"unit": self.unit, "tokenizer": self.tokenizer}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_ratios(ratios: object, place: str) -> None:
    """Checks that shares are numbers from 0 to 1 that sum to 1, in nested groups, too.

    Raises:
        RecipeError: if not.
    """
    if not isinstance(ratios, dict) or not ratios:
        raise RecipeError(f"{place}: no source is named; give each its share, such as {{web: .8, code: .2}}")
    shares = {}
    for name, ratio in ratios.items():
        share = ratio.share if isinstance(ratio, Share) else ratio
        if not _is_number(share) or not 0 <= share <= 1:
            raise RecipeError(f"{place}.{name}: {share!r} is no share; give a number from 0 to 1")
        if isinstance(ratio, Share) and isinstance(ratio.of, dict):
            check_ratios(ratio.of, f"{place}.{name}.of")
        shares[name] = share
    total = math.fsum(shares.values())
    if abs(total - 1) > RATIO_TOLERANCE:
        if total == 0:
            raise RecipeError(f"{place}: they sum to 0, not to 1; give at least one source a share")
        scaled = ", ".join(f"{name}: {share / total:.6g}" for name, share in shares.items())
        raise RecipeError(f"{place}: they sum to {total:.9g}, not to 1; in the same proportions: {{{scaled}}}")


def exact_shares(shares: Mapping[str, float]) -> dict[str, Fraction]:
    """Shares as exact numbers that sum to 1.

    >>> exact_shares({"web": 0.7, "code": 0.3})["web"]
    Fraction(7, 10)
    """
    exact = {name: Fraction(str(share)) for name, share in shares.items()}
    total = sum(exact.values())
    return {name: share / total for name, share in exact.items()}


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = nearest(str(value), choices)
        mend = f"did you mean {close!r}?" if close else f"choose one of {listed(choices)}"
        raise RecipeError(f"mix.{key}: {value!r} is not known; {mend}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def listed(names: Collection[str]) -> str:
    """Names for a message, in order."""
    return ", ".join(repr(name) for name in sorted(names))
