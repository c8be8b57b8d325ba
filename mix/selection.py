"""Which documents are in the dataset, decided from placements alone.

Each component's documents have a fixed order, by keyed hash of the id. A component gives whole passes over its train
documents and then a prefix of that order, cut where the units come closest to the aim: at most half a document away.
So a selection is two numbers for each component, `passes` and `cut`; a larger budget takes a superset; and neither the
number of workers nor the order of files matters. Validation documents are held out before, and those that the same
two numbers reach are taken, once. Held-out sets are taken whole.

Of several stages each goes on in that order where the one before it ended (`start`), so that they share no document.

Repetition is worth less than new text: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"
(arXiv:2305.16264), equation 5. `effective_units` is their D'.

Memory: histograms of 1,024 key ranges (100 kB a component), then the rows of one such range of each component.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import RecipeError
from corpusmill.documents.shards import read_batches
from corpusmill.mix.keys import HELD_OUT, KEYS, TRAIN, VALIDATION, below, selection_keys, splits_of
from corpusmill.mix.options import MixOptions, Unit
from corpusmill.mix.ratios import leaves_of, shares_of
from corpusmill.mix.slices import cases_by_source, check_values
from corpusmill.mix.targets import Targets, find_targets

REPETITION_DECAY = 15.387756
"""R*_D of Muennighoff et al. 2023, fitted on C4: the number of repetitions after which new ones are worth little."""

_RANGE_BITS = 10
_RANGES = 1 << _RANGE_BITS
_BATCH_ROWS = 1 << 18
_SHARDS_MULTIPLE = 8
_VALIDATION_SHARDS = 4  # so many times may a shard for validation be larger
# Rows of a supply's histograms; `_UNIQUE` counts each document's units once, however often it occurs in a pass.
_DOCUMENTS, _UNITS, _BYTES, _UNIQUE = range(4)


@dataclass(frozen=True, kw_only=True)
class ComponentSelection:
    """What is taken of a component. Units, documents and bytes are of the train split unless named otherwise.

    component               its name: a source, a slice, or a value of a column of one
    source                  the recipe's source that it belongs to
    ratio                   asked share of the budget
    asked                   units that the ratio asks (Hamilton's rounding)
    units, documents        taken, repeated passes counted
    text_bytes              taken, repeated passes counted
    unique_units            taken, each document counted once
    effective_units         what `units` are worth in units of new text
    available_units         one pass; documents that occur several times in it count as often
    available_documents     one pass
    passes                  whole passes
    cut                     documents with a selection key below it are taken once more (hexadecimal, up to 2^64)
    start                   documents with a selection key below it went to an earlier stage (hexadecimal)
    validation_*            what the validation split takes
    heldout_*               what the source's held-out set takes
    """

    component: str
    source: str
    ratio: float
    asked: int
    units: int
    documents: int
    text_bytes: int
    unique_units: int
    effective_units: float
    available_units: int
    available_documents: int
    passes: int
    cut: str
    start: str
    validation_units: int
    validation_documents: int
    validation_bytes: int
    heldout_units: int
    heldout_documents: int
    heldout_bytes: int

    @property
    def epochs(self) -> float:
        """Passes over the component, the last one perhaps in part."""
        return self.units / self.available_units if self.available_units else 0.0

    @property
    def copies(self) -> int:
        """Passes that take something."""
        return self.passes + (int(self.cut, 16) > 0)

    def taken(self, keys: NDArray[np.uint64], copy: int) -> NDArray[np.bool_]:
        """Which documents with these selection keys the pass number `copy` (from 0) takes."""
        if copy > self.passes:
            return np.zeros(len(keys), np.bool_)
        found = below(keys, KEYS if copy < self.passes else int(self.cut, 16))
        return found & ~below(keys, int(self.start, 16)) if copy == 0 else found


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The dataset that will be written: plain numbers, the same on every machine.

    shards      split -> its number of shards, in the order in which shards are counted
    """

    unit: Unit
    seed: int
    budget: int
    validation: float
    heldout: float
    shards: dict[str, int]
    components: tuple[ComponentSelection, ...]

    @property
    def units(self) -> int:
        """Units of the train split."""
        return sum(chosen.units for chosen in self.components)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the train split."""
        return sum(chosen.text_bytes for chosen in self.components)

    @property
    def has_slices(self) -> bool:
        """Whether a component is anything else than a whole source."""
        return any(chosen.component != chosen.source for chosen in self.components)

    def first_shard(self, split: str) -> int:
        """The number of a split's first shard, counted over all splits."""
        names = list(self.shards)
        return sum(self.shards[name] for name in names[: names.index(split)])

    def of(self, component: str) -> ComponentSelection:
        return {chosen.component: chosen for chosen in self.components}[component]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Selection:
        components = tuple(ComponentSelection(**component) for component in data["components"])
        return cls(**{**data, "components": components})


def heldout_split(source: str) -> str:
    """The name of a source's held-out set among the splits."""
    return f"heldout_{source}"


def effective_units(unique: float, total: float) -> float:
    """Units of new text that are worth as much as `total` units with `unique` different ones.

    >>> round(effective_units(1, 4), 3)
    3.726
    """
    if unique <= 0:
        return 0.0
    repetitions = total / unique - 1
    return unique + unique * REPETITION_DECAY * (1 - math.exp(-repetitions / REPETITION_DECAY))


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What one pass over a component has.

    classes     copies of a document in the pass -> units of such documents, each counted once; empty if not known
    """

    component: str
    source: str
    documents: int
    units: int
    text_bytes: int
    classes: dict[int, int]
    validation_documents: int
    heldout_documents: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What one pass over every component has: enough to plan a mix, without reading anything else.

    leaves      leaf of the ratios -> its components
    """

    leaves: dict[str, dict[str, Supply]]

    def of(self, component: str) -> Supply:
        for components in self.leaves.values():
            if component in components:
                return components[component]
        return Supply(
            component=component,
            source=component,
            documents=0,
            units=0,
            text_bytes=0,
            classes={},
            validation_documents=0,
            heldout_documents=0,
        )

    def sizes(self) -> dict[str, dict[str, int]]:
        """Leaf -> its components -> units."""
        return {
            leaf: {name: supply.units for name, supply in components.items()}
            for leaf, components in self.leaves.items()
        }

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Totals:
        return cls({leaf: {name: _supply(one) for name, one in own.items()} for leaf, own in data["leaves"].items()})


def _supply(data: Mapping[str, Any]) -> Supply:
    classes = {int(copies): units for copies, units in data["classes"].items()}  # JSON has its keys as strings
    return Supply(**{**data, "classes": classes})


class Supplies:
    """What the placements of every source hold, by component: the first of two passes over them."""

    def __init__(self, placed: Mapping[str, Sequence[Path]], options: MixOptions) -> None:
        """Reads the placements.

        Raises:
            RecipeError: if a ratio names no source, or a column has too many values to be components.
        """
        self._placed, self._options = placed, options
        self.cases = cases_by_source(options, placed)
        self.codes: dict[str, int] = {}
        self.sources: dict[str, str] = {}
        self._sums = np.zeros((0, 3, 4, _RANGES), np.int64)  # component, split, what, range
        self._classes: list[dict[int, int]] = []
        self._values: Counter[str] = Counter()  # of the column that divides a leaf
        for source, cases in self.cases.items():
            for case in cases:
                if case.by is None:
                    self._add(case.leaf, source)
            for rows in self.rows(source):
                self._count(rows)

    def rows(self, source: str) -> Iterator[Rows]:
        """Documents of a source that are in a component."""
        columns = ["component", "id_hash", "group_hash", "copies", "units", "text_bytes"]
        for path in self._placed[source]:
            with pq.ParquetFile(path) as file:
                for batch in read_batches(file, _BATCH_ROWS, columns):
                    inside = batch.filter(batch.column("component").is_valid())
                    if not inside.num_rows:
                        continue
                    names = inside.column("component").dictionary_encode()
                    codes = np.array([self._add(name, source) for name in names.dictionary.to_pylist()], np.int64)
                    hashes, groups, copies, units, text_bytes = (inside.column(name).to_numpy() for name in columns[1:])
                    options = self._options
                    yield Rows(
                        codes[names.indices.to_numpy()],
                        selection_keys(hashes, options.seed),
                        splits_of(groups, options.seed, options.validation, options.heldout),
                        copies.astype(np.int64),
                        units,
                        text_bytes,
                    )

    def totals(self) -> Totals:
        """The sums over all documents."""
        found: dict[str, dict[str, Supply]] = {}
        for cases in self.cases.values():
            for case in cases:
                inside = sorted(filter(case.holds, self.codes))
                found[case.leaf] = {component: self._supply(component) for component in inside}
        return Totals(found)

    def total(self, component: str, split: int) -> NDArray[np.int64]:
        """Documents, units, bytes and unique units of one pass."""
        return self.ranges(component, split).sum(axis=1)

    def ranges(self, component: str, split: int) -> NDArray[np.int64]:
        """Documents, units, bytes and unique units by range of keys: int64[4, 1024]."""
        if component not in self.codes:
            return np.zeros((4, _RANGES), np.int64)
        return self._sums[self.codes[component], split]

    def _supply(self, component: str) -> Supply:
        documents, units, text_bytes, _ = (int(number) for number in self.total(component, TRAIN))
        return Supply(
            component=component,
            source=self.sources[component],
            documents=documents,
            units=units,
            text_bytes=text_bytes,
            classes=dict(sorted(self._classes[self.codes[component]].items())),
            validation_documents=int(self.total(component, VALIDATION)[_DOCUMENTS]),
            heldout_documents=int(self.total(component, HELD_OUT)[_DOCUMENTS]),
        )

    def _add(self, component: str, source: str) -> int:
        if component not in self.codes:
            leaf, by_value, _ = component.partition("/")
            self._values[leaf] += bool(by_value)
            check_values(leaf, self._values[leaf])  # before memory goes to what nobody can want
            self.codes[component] = len(self.codes)
            self.sources[component] = source
            self._classes.append({})
            if len(self.codes) > len(self._sums):
                more = np.zeros((max(4, len(self._sums)), *self._sums.shape[1:]), np.int64)
                self._sums = np.concatenate([self._sums, more])
        return self.codes[component]

    def _count(self, rows: Rows) -> None:
        for code in np.unique(rows.codes).tolist():
            own = rows.where(rows.codes == code)
            train = own.where(own.splits == TRAIN)
            for copies in np.unique(train.copies).tolist():
                units = int(train.units[train.copies == copies].sum())
                self._classes[code][copies] = self._classes[code].get(copies, 0) + units
            for split in (TRAIN, VALIDATION, HELD_OUT):
                some = own.where(own.splits == split)
                ranges, sums = range_of(some.keys), self._sums[code, split]
                for what, weights in enumerate(some.weights()):
                    # Sums of a batch stay far below 2^53, so doubles hold them exactly.
                    sums[what] += np.bincount(ranges, weights, minlength=_RANGES).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Placements of some documents, as parallel arrays."""

    codes: NDArray[np.int64]
    keys: NDArray[np.uint64]
    splits: NDArray[np.int8]
    copies: NDArray[np.int64]
    units: NDArray[np.int64]
    text_bytes: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        return Rows(*(getattr(self, name)[mask] for name in self.__slots__))

    def weights(self) -> list[NDArray[np.int64]]:
        """Documents, units, bytes and unique units of each row; only for training does a document occur often."""
        copies = np.where(self.splits == TRAIN, self.copies, 1)
        return [copies, copies * self.units, copies * self.text_bytes, self.units]

    def sums(self) -> NDArray[np.int64]:
        return np.array([values.sum() for values in self.weights()], np.int64)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def range_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (keys >> np.uint64(64 - _RANGE_BITS)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far into a component's order a dataset reaches, and what lies before that, by split: int64[4]."""

    cut: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]


_NOTHING = _Reached(0, np.zeros(4, np.int64), np.zeros(4, np.int64))


def select(placed: Mapping[str, Sequence[Path]], options: MixOptions) -> Selection:
    """Decides which documents the only dataset of a mix takes, from the placements of every part of its sources.

    Raises:
        RecipeError: if a ratio names no source, or the budget is too small for any document.
        ShortSourceError: if a source is short and the policy is `error`, or nothing else can fill the budget.
    """
    [selection] = select_stages(Supplies(placed, options), options).values()
    return selection


def select_stages(supplies: Supplies, options: MixOptions) -> dict[str, Selection]:
    """Decides which documents each dataset of a mix takes.

    Raises:
        RecipeError: as `select`.
        ShortSourceError: as `select`; documents that an earlier stage takes are not there for a later one.
    """
    totals = supplies.totals()
    used: dict[str, _Reached] = {}
    selections = {}
    for stage, asked in options.datasets().items():
        taken = {name: int(reached.train[_UNITS]) for name, reached in used.items()}
        targets, shares = targets_of(totals, asked, options, taken)
        starts = {name: used.get(name, _NOTHING) for name in shares}
        reached = _reach(supplies, {name: starts[name].train[_UNITS] + targets.aims[name] for name in shares})
        chosen = tuple(
            _chosen(totals.of(name), float(shares[name]), targets.asked[name], starts[name], reached[name], supplies)
            for name in shares
        )
        if not any(part.units for part in chosen):  # a document may have no unit: c4_lines can leave an empty text
            raise RecipeError(
                f"mix.budget: {targets.budget:,} {asked.unit} are less than half a document of every source; raise it"
            )
        selections[stage] = Selection(
            unit=asked.unit,
            seed=asked.seed,
            budget=targets.budget,
            validation=asked.validation,
            heldout=asked.heldout,
            shards=_shards(chosen, asked.shard_bytes),
            components=chosen,
        )
        if options.stages:
            used |= {
                name: _Reached(end.cut, end.train, end.validation)
                for name, (_, end) in reached.items()
                if not options.may_overlap(name)
            }
    return selections


def targets_of(
    totals: Totals, asked: MixOptions, options: MixOptions, used: Mapping[str, int]
) -> tuple[Targets, dict[str, Fraction]]:
    """The targets of one dataset, and the shares that they follow.

    Args:
        asked: the dataset's own options.
        options: the mix's.
        used: component -> units that earlier stages took of it.
    """
    limits = {leaf.name: leaf.max_epochs for leaf in leaves_of(asked.ratios)}
    shares = shares_of(asked.ratios, totals.sizes(), asked.budget, asked.max_epochs)
    available, passes, apart = {}, {}, []
    for name in shares:
        available[name] = totals.of(name).units - used.get(name, 0)
        own = limits.get(name, limits.get(name.partition("/")[0]))
        most = Fraction(str(asked.max_epochs if own is None else own))
        passes[name] = most
        if options.stages and not options.may_overlap(name):
            passes[name] = min(Fraction(1), most)
            apart.append(name)
    return find_targets(asked, shares, available, passes, apart), shares


def shard_count(text_bytes: int, shard_bytes: int) -> int:
    """Shards for so much text: at least one, and from eight on a multiple of eight, as trainers' ranks come in eights.

    >>> [shard_count(size, 100) for size in (0, 250, 801)]
    [1, 3, 16]
    """
    count = max(1, -(-text_bytes // shard_bytes))
    return count if count < _SHARDS_MULTIPLE else -(-count // _SHARDS_MULTIPLE) * _SHARDS_MULTIPLE


def _shards(chosen: Sequence[ComponentSelection], shard_bytes: int) -> dict[str, int]:
    shards = {"train": shard_count(sum(part.text_bytes for part in chosen), shard_bytes)}
    if any(part.validation_documents for part in chosen):
        # nanochat takes the last file for validation and trains on all others: one file, as long as memory allows.
        held = sum(part.validation_bytes for part in chosen)
        shards["validation"] = shard_count(held, _VALIDATION_SHARDS * shard_bytes)
    for source in sorted({part.source for part in chosen if part.heldout_documents}):
        held = sum(part.heldout_bytes for part in chosen if part.source == source)
        shards[heldout_split(source)] = shard_count(held, shard_bytes)
    return shards


def _chosen(
    supply: Supply, ratio: float, asked: int, start: _Reached, end: tuple[int, _Reached], supplies: Supplies
) -> ComponentSelection:
    passes, reached = end
    every, held = supplies.total(supply.component, TRAIN), supplies.total(supply.component, VALIDATION)
    apart = supplies.total(supply.component, HELD_OUT)
    taken = passes * every + reached.train - start.train
    validation = held if passes else reached.validation
    validation = validation - start.validation
    cut = reached.cut
    unique = int(every[_UNIQUE] if passes else reached.train[_UNIQUE]) - int(start.train[_UNIQUE])
    if cut == KEYS:  # a pass that is whole: after it, nothing is taken
        passes, cut = passes + 1, 0
    return ComponentSelection(
        component=supply.component,
        source=supply.source,
        ratio=ratio,
        asked=asked,
        units=int(taken[_UNITS]),
        documents=int(taken[_DOCUMENTS]),
        text_bytes=int(taken[_BYTES]),
        unique_units=unique,
        effective_units=_worth(supply, unique, int(taken[_UNITS])),
        available_units=supply.units,
        available_documents=supply.documents,
        passes=passes,
        cut=f"{cut:x}",
        start=f"{start.cut:x}",
        validation_units=int(validation[_UNITS]),
        validation_documents=int(validation[_DOCUMENTS]),
        validation_bytes=int(validation[_BYTES]),
        heldout_units=int(apart[_UNITS]),
        heldout_documents=int(apart[_DOCUMENTS]),
        heldout_bytes=int(apart[_BYTES]),
    )


def _worth(supply: Supply, unique: int, units: int) -> float:
    """D' of what is taken, in classes of equal repetition; a part of a pass has of each class what a whole one has."""
    whole = sum(supply.classes.values())
    if not whole or not unique:
        return 0.0
    passes = units / (supply.units * unique / whole)
    shares = {copies: unique * units_once / whole for copies, units_once in supply.classes.items()}
    return sum(effective_units(once, once * copies * passes) for copies, once in shares.items())


def _reach(supplies: Supplies, aims: Mapping[str, Fraction]) -> dict[str, tuple[int, _Reached]]:
    """For each component, the whole passes and the cut after them whose train units are closest to its aim."""
    found: dict[str, tuple[int, _Reached]] = {}
    crossing: dict[int, tuple[str, int, Fraction, int]] = {}  # code -> component, passes, rest, range
    for name, aim in aims.items():
        available = int(supplies.total(name, TRAIN)[_UNITS])
        passes, rest = divmod(aim, available) if available else (0, Fraction(0))
        if rest == 0:
            found[name] = (int(passes), _NOTHING)
            if passes:  # the last whole pass is told as one that ends at its last key
                found[name] = (int(passes) - 1, _whole(supplies, name))
            continue
        before = np.cumsum(supplies.ranges(name, TRAIN)[_UNITS])
        at = int(np.searchsorted(before, math.floor(rest), side="right"))  # the first range that ends beyond the aim
        if at == _RANGES:
            found[name] = (int(passes), _whole(supplies, name))
        else:
            crossing[supplies.codes[name]] = (name, int(passes), Fraction(rest), at)
    inside: dict[int, list[Rows]] = {code: [] for code in crossing}
    if crossing:
        wanted = np.full(len(supplies.codes), -1, np.int64)
        for code, (_, _, _, at) in crossing.items():
            wanted[code] = at
        for source in {supplies.sources[name] for name, *_ in crossing.values()}:
            for rows in supplies.rows(source):
                near = rows.where(range_of(rows.keys) == wanted[rows.codes])
                for code in np.unique(near.codes).tolist():
                    inside[code].append(near.where(near.codes == code))
    for code, (name, passes, rest, at) in crossing.items():
        found[name] = (passes, _crossed(supplies, name, Rows.joined(inside[code]), rest, at))
    return found


def _whole(supplies: Supplies, name: str) -> _Reached:
    return _Reached(KEYS, supplies.total(name, TRAIN), supplies.total(name, VALIDATION))


def _crossed(supplies: Supplies, name: str, rows: Rows, rest: Fraction, at: int) -> _Reached:
    """The cut in range `at` of the keys, whose rows are given."""
    train, held = rows.where(rows.splits == TRAIN), rows.where(rows.splits == VALIDATION)
    ranges, held_ranges = supplies.ranges(name, TRAIN), supplies.ranges(name, VALIDATION)
    base = ranges[:, :at].sum(axis=1)
    cut = _closest_cut(train, rest - int(base[_UNITS]), at)
    if cut > int(train.keys.max()) and at == int(np.flatnonzero(ranges[_DOCUMENTS])[-1]):
        return _whole(supplies, name)
    base_held = held_ranges[:, :at].sum(axis=1)
    return _Reached(
        cut, base + train.where(below(train.keys, cut)).sums(), base_held + held.where(below(held.keys, cut)).sums()
    )


def _closest_cut(rows: Rows, aim: Fraction, crossing: int) -> int:
    """The cut within a range of keys. Documents of equal keys stay together; of two cuts as close, the smaller wins."""
    order = np.argsort(rows.keys, kind="stable")
    keys, sums = rows.keys[order], np.cumsum((rows.units * rows.copies)[order])
    last_of_key = np.append(keys[1:] != keys[:-1], True)
    keys, sums = keys[last_of_key], sums[last_of_key]
    over = int(np.searchsorted(sums, math.floor(aim), side="right"))
    under_sum = int(sums[over - 1]) if over else 0
    if over < len(sums) and int(sums[over]) - aim < aim - under_sum:
        over += 1
    return int(keys[over - 1]) + 1 if over else crossing << (64 - _RANGE_BITS)
