"""Which documents are in the dataset, decided from measurements alone.

Each source's documents have a fixed order, by keyed hash of the id. A source gives whole passes over its train
documents and then a prefix of that order, cut where the units come closest to the aim: at most half a document away.
So a selection is two numbers for each source, `passes` and `cut`; a larger budget takes a superset; and neither the
number of workers nor the order of files matters. Validation documents are held out before, and those that the same
two numbers reach are taken, once.

Repetition is worth less than new text: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"
(arXiv:2305.16264), equation 5. `effective_units` is their D'.

Memory: histograms of 65,536 key ranges (3 MB a source), then the rows of one such range (1/65,536 of the source).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import RecipeError
from corpusmill.documents.shards import read_batches
from corpusmill.mix.keys import KEYS, below, held_out, selection_keys
from corpusmill.mix.options import MixOptions, Unit
from corpusmill.mix.targets import Targets, find_targets

REPETITION_DECAY = 15.387756
"""R*_D of Muennighoff et al. 2023, fitted on C4: the number of repetitions after which new ones are worth little."""

_RANGE_BITS = 16
_RANGES = 1 << _RANGE_BITS
_BATCH_ROWS = 1 << 18
_SHARDS_MULTIPLE = 8


@dataclass(frozen=True, kw_only=True)
class SourceSelection:
    """What is taken of a source. Units, documents and bytes are of the train split unless named otherwise.

    ratio                   asked share of the budget
    asked                   units that the ratio asks (Hamilton's rounding)
    units, documents        taken, repeated passes counted
    text_bytes              taken, repeated passes counted
    unique_units            taken, each document counted once
    available_units         one pass
    available_documents     one pass
    passes                  whole passes
    cut                     documents with a selection key below it are taken once more (hexadecimal, up to 2^64)
    validation_*            what the validation split takes
    """

    source: str
    ratio: float
    asked: int
    units: int
    documents: int
    text_bytes: int
    unique_units: int
    available_units: int
    available_documents: int
    passes: int
    cut: str
    validation_units: int
    validation_documents: int
    validation_bytes: int

    @property
    def epochs(self) -> float:
        """Passes over the source, the last one perhaps in part."""
        return self.units / self.available_units if self.available_units else 0.0

    @property
    def effective_units(self) -> float:
        """What the units are worth in units of new text."""
        return effective_units(self.unique_units, self.units)

    @property
    def copies(self) -> int:
        """Most copies of a document in the train split."""
        return self.passes + (int(self.cut, 16) > 0)

    def taken(self, keys: NDArray[np.uint64], copy: int) -> NDArray[np.bool_]:
        """Which documents with these selection keys the pass number `copy` (from 0) takes."""
        if copy < self.passes:
            return np.ones(len(keys), np.bool_)
        return below(keys, int(self.cut, 16) if copy == self.passes else 0)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The dataset that will be written: plain numbers, the same on every machine."""

    unit: Unit
    seed: int
    budget: int
    validation: float
    train_shards: int
    validation_shards: int
    sources: tuple[SourceSelection, ...]

    @property
    def units(self) -> int:
        """Units of the train split."""
        return sum(source.units for source in self.sources)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the train split."""
        return sum(source.text_bytes for source in self.sources)

    def of(self, source: str) -> SourceSelection:
        return {chosen.source: chosen for chosen in self.sources}[source]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Selection:
        sources = tuple(SourceSelection(**source) for source in data["sources"])
        return cls(**{**data, "sources": sources})


def effective_units(unique: float, total: float) -> float:
    """Units of new text that are worth as much as `total` units with `unique` different ones.

    >>> round(effective_units(1, 4), 3)
    3.726
    """
    if unique <= 0:
        return 0.0
    repetitions = total / unique - 1
    return unique + unique * REPETITION_DECAY * (1 - math.exp(-repetitions / REPETITION_DECAY))


def select(measured: Mapping[str, Sequence[Path]], options: MixOptions) -> Selection:
    """Decides which documents are taken, from the measurements of every part of every source in the ratios.

    Raises:
        RecipeError: if a ratio names no source, or the budget is too small for any document.
        ShortSourceError: if a source is short and the policy is `error`, or nothing else can fill the budget.
    """
    options.check_sources(measured)
    supplies = {source: _supply(measured[source], options) for source in options.shares()}
    targets = find_targets(options, {source: int(supply.train[_UNITS].sum()) for source, supply in supplies.items()})
    sources = tuple(_choose(source, supplies[source], measured[source], targets, options) for source in supplies)
    if not any(source.units for source in sources):  # a document may have no unit: c4_lines can leave an empty text
        raise RecipeError(
            f"mix.budget: {targets.budget:,} {options.unit} are less than half a document of every source; raise it"
        )
    selection = Selection(
        unit=options.unit,
        seed=options.seed,
        budget=targets.budget,
        validation=options.validation,
        train_shards=0,
        validation_shards=0,
        sources=sources,
    )
    return replace(
        selection,
        train_shards=shard_count(selection.text_bytes, options.shard_bytes),
        validation_shards=shard_count(sum(source.validation_bytes for source in sources), options.shard_bytes)
        if any(source.validation_documents for source in sources)
        else 0,
    )


def shard_count(text_bytes: int, shard_bytes: int) -> int:
    """Shards for so much text: at least one, and from eight on a multiple of eight, as trainers' ranks come in eights.

    >>> [shard_count(size, 100) for size in (0, 250, 801)]
    [1, 3, 16]
    """
    count = max(1, -(-text_bytes // shard_bytes))
    return count if count < _SHARDS_MULTIPLE else -(-count // _SHARDS_MULTIPLE) * _SHARDS_MULTIPLE


# Rows of a supply's histograms.
_DOCUMENTS, _UNITS, _BYTES = range(3)


@dataclass(frozen=True, slots=True)
class _Supply:
    """Documents, units and bytes of a source by the first bits of the selection key: int64[3, 65,536] a split."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Measurements of some documents, as parallel arrays."""

    keys: NDArray[np.uint64]
    held: NDArray[np.bool_]
    units: NDArray[np.int64]
    text_bytes: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.keys[mask], self.held[mask], self.units[mask], self.text_bytes[mask])

    def sums(self) -> NDArray[np.int64]:
        return np.array([len(self.keys), self.units.sum(), self.text_bytes.sum()], np.int64)


def _rows(files: Sequence[Path], options: MixOptions) -> Iterator[_Rows]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in read_batches(file, _BATCH_ROWS, ["id_hash", "units", "text_bytes"]):
                hashes, units, text_bytes = (batch.column(name).to_numpy() for name in batch.schema.names)
                held = held_out(hashes, options.seed, options.validation)
                yield _Rows(selection_keys(hashes, options.seed), held, units, text_bytes)


def _range_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (keys >> np.uint64(64 - _RANGE_BITS)).astype(np.int64)


def _supply(files: Sequence[Path], options: MixOptions) -> _Supply:
    supply = _Supply(np.zeros((3, _RANGES), np.int64), np.zeros((3, _RANGES), np.int64))
    for rows in _rows(files, options):
        for histogram, some in ((supply.train, rows.where(~rows.held)), (supply.validation, rows.where(rows.held))):
            ranges = _range_of(some.keys)
            histogram[_DOCUMENTS] += np.bincount(ranges, minlength=_RANGES)
            # Sums of a batch stay far below 2^53, so doubles hold them exactly.
            histogram[_UNITS] += np.bincount(ranges, some.units, minlength=_RANGES).astype(np.int64)
            histogram[_BYTES] += np.bincount(ranges, some.text_bytes, minlength=_RANGES).astype(np.int64)
    return supply


def _choose(
    source: str, supply: _Supply, files: Sequence[Path], targets: Targets, options: MixOptions
) -> SourceSelection:
    every, held = supply.train.sum(axis=1), supply.validation.sum(axis=1)
    available = int(every[_UNITS])
    passes, rest = divmod(targets.aims[source], available) if available else (0, Fraction(0))
    cut, prefix, held_prefix = _prefix(supply, files, Fraction(rest), options)
    if cut == KEYS:
        passes, cut, prefix = passes + 1, 0, np.zeros(3, np.int64)
    taken = passes * every + prefix
    validation = held if passes else held_prefix
    return SourceSelection(
        source=source,
        ratio=options.ratios[source],
        asked=targets.asked[source],
        units=int(taken[_UNITS]),
        documents=int(taken[_DOCUMENTS]),
        text_bytes=int(taken[_BYTES]),
        unique_units=available if passes else int(prefix[_UNITS]),
        available_units=available,
        available_documents=int(every[_DOCUMENTS]),
        passes=int(passes),
        cut=f"{cut:x}",
        validation_units=int(validation[_UNITS]),
        validation_documents=int(validation[_DOCUMENTS]),
        validation_bytes=int(validation[_BYTES]),
    )


def _prefix(
    supply: _Supply, files: Sequence[Path], aim: Fraction, options: MixOptions
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The cut whose train documents have units closest to `aim`, with their sums and those of validation documents."""
    if aim == 0:
        return 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    before = np.cumsum(supply.train[_UNITS])
    crossing = int(np.searchsorted(before, math.floor(aim), side="right"))  # the first range that ends beyond the aim
    if crossing == _RANGES:
        return KEYS, supply.train.sum(axis=1), supply.validation.sum(axis=1)
    inside = [rows.where(_range_of(rows.keys) == crossing) for rows in _rows(files, options)]
    train = _joined([rows.where(~rows.held) for rows in inside])
    held = _joined([rows.where(rows.held) for rows in inside])
    base = supply.train[:, :crossing].sum(axis=1)
    cut = _closest_cut(train, aim - int(base[_UNITS]), crossing)
    if cut > int(train.keys.max()) and crossing == int(np.flatnonzero(supply.train[_DOCUMENTS])[-1]):
        return KEYS, supply.train.sum(axis=1), supply.validation.sum(axis=1)
    base_held = supply.validation[:, :crossing].sum(axis=1)
    return cut, base + train.where(below(train.keys, cut)).sums(), base_held + held.where(below(held.keys, cut)).sums()


def _closest_cut(rows: _Rows, aim: Fraction, crossing: int) -> int:
    """The cut within a range of keys. Documents of equal keys stay together; of two cuts as close, the smaller wins."""
    order = np.argsort(rows.keys, kind="stable")
    keys, sums = rows.keys[order], np.cumsum(rows.units[order])
    last_of_key = np.append(keys[1:] != keys[:-1], True)
    keys, sums = keys[last_of_key], sums[last_of_key]
    over = int(np.searchsorted(sums, math.floor(aim), side="right"))
    under_sum = int(sums[over - 1]) if over else 0
    if over < len(sums) and int(sums[over]) - aim < aim - under_sum:
        over += 1
    return int(keys[over - 1]) + 1 if over else crossing << (64 - _RANGE_BITS)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.held for part in parts]),
        np.concatenate([part.units for part in parts]),
        np.concatenate([part.text_bytes for part in parts]),
    )
