"""The cells of one pool and one proxy as a grid: configurations down, seeds across.

A **configuration** is a (score, fraction, size). Losses are logarithms from here on: what a seed does to a loss and
what pruning does to it are both shares of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.scaling.contract import ALL, CELLS, ERRORS, LOSS, RANDOM

SAME = 1e-7
"""A relative difference that counts as none: the rounding of float32."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_KEY = ("pool", "proxy", "score", "fraction", "size", "seed")
_POSITIVE = ("fraction", "size", "pool_tokens", "kept_tokens", "train_tokens", "epochs", "loss")
_NUMBERS = ("loss", "pool_tokens", "kept_tokens", "train_tokens")
_MOST_CELLS = 200_000
_MOST_CONFIGURATIONS, _MOST_OF_A_SIZE = 1000, 150
"""Of one pool and proxy: all pairs of a size are compared, in thousands of draws."""


@dataclass(frozen=True, order=True, slots=True)
class Configuration:
    """What cells that differ in their seed alone have in common."""

    size: int
    score: str
    fraction: float

    def __str__(self) -> str:
        return "keeping all" if self.score == ALL else f"{self.score} {self.fraction:.3g}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a sweep was to be; `grid` in its sweep.json. Without it, what is wholly missing is not known to be so."""

    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    treatments: tuple[tuple[str, float], ...]
    """(score, fraction) of each cell of a size."""
    proxies: tuple[str, ...]
    pool_tokens: Mapping[str, int]
    """Pool -> all its tokens that can be trained on."""
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Pool -> the weight of each held-out domain in its losses."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One pool and one proxy."""

    pool: str
    proxy: str
    parameters: int | None
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    """By size, then score (`all` first, `random` last), then fraction, descending."""
    log_loss: Floats
    """configurations x seeds; NaN where a cell is missing."""
    heldout_errors: tuple[Floats, ...]
    """For each domain, configurations x errors: of the mean log losses, by the choice of held-out documents
    (scaling/folds.py). Empty where a cell does not have them."""
    without_errors: int
    """Cells that do not have them."""
    domains: Mapping[str, Floats]
    """Held-out domain -> its losses (no logarithms), in the same shape."""
    kept_tokens: Floats
    """Of each configuration: the mean over seeds."""
    train_tokens: Floats
    kept_of_cells: Floats
    """In the shape of `log_loss`."""
    pool_of_cells: Floats
    """... tokens before pruning, as came out."""
    missing: tuple[tuple[Configuration, int], ...]
    """Cells that the grid should have and has not, with their seeds: of each curve, at each size."""

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted({one.size for one in self.configurations}))

    @property
    def fractions(self) -> tuple[float, ...]:
        return tuple(sorted({one.fraction for one in self.configurations}))

    @property
    def scores(self) -> tuple[str, ...]:
        """Without `all`; the control comes last."""
        return tuple(sorted({one.score for one in self.configurations} - {ALL}, key=_score_order))

    @property
    def epochs(self) -> Floats:
        return self.train_tokens / self.kept_tokens

    def of_size(self, size: int) -> Integers:
        """The numbers of the configurations of a size."""
        return np.array([i for i, one in enumerate(self.configurations) if one.size == size], np.int64)

    def is_level(self, size: int | None = None) -> bool:
        """Whether several configurations, of a size or all, have losses that do not differ."""
        losses = self.log_loss if size is None else self.log_loss[self.of_size(size)]
        return len(losses) > 1 and bool(np.nanmax(losses) - np.nanmin(losses) < SAME)

    def number(self, score: str, fraction: float, size: int) -> int | None:
        """Where a configuration stands; None if it is missing."""
        wanted = Configuration(size, score, fraction)
        return self.configurations.index(wanted) if wanted in self.configurations else None

    def curve(self, score: str, fraction: float) -> Integers:
        """The numbers of one curve's configurations, from the smallest kept size to the largest."""
        found = [i for i, one in enumerate(self.configurations) if (one.score, one.fraction) == (score, fraction)]
        return np.array(sorted(found, key=lambda i: self.kept_tokens[i]), np.int64)

    def curves_of(self, score: str) -> list[Integers]:
        """The curves of a score, by fraction from 1 down; that of keeping everything is each score's."""
        kinds = {(one.score, one.fraction) for one in self.configurations if one.score in (score, ALL)}
        return [self.curve(*kind) for kind in sorted(kinds, key=lambda kind: -kind[1])]


def grids(cells: pa.Table, asked: Asked | None = None) -> list[Grid]:
    """One grid for each (pool, proxy) that has cells, in the order of their names.

    Raises:
        InputError: if the table lacks columns, has no rows or too many, has a cell twice, or a value that no cell can
            have; the message names the cell.
    """
    table = _checked(cells)
    kinds = sorted({(row["pool"], row["proxy"]) for row in table.select(["pool", "proxy"]).to_pylist()})
    return [_grid(table.filter((pc.field("pool") == a) & (pc.field("proxy") == b)), a, b, asked) for a, b in kinds]


def _checked(cells: pa.Table) -> pa.Table:
    absent = [name for name in CELLS.names if name not in cells.schema.names]
    if absent:
        raise InputError(f"cells: column {absent[0]} is missing; give the table that `corpusmill sweep run` wrote")
    if not 0 < len(cells) <= _MOST_CELLS:
        raise InputError(f"cells: {len(cells)} rows; an analysis needs at least 1 and takes at most {_MOST_CELLS}")
    domains = [name for name in cells.schema.names if name.startswith(LOSS)]
    table = cells.select([*CELLS.names, *domains])
    types = [*(field.with_nullable(True) for field in CELLS), *(pa.field(name, pa.float64()) for name in domains)]
    if ERRORS in cells.schema.names:
        table = table.append_column(ERRORS, cells[ERRORS])
        types.append(pa.field(ERRORS, pa.list_(pa.list_(pa.float64()))))
    try:
        table = table.cast(pa.schema(types))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"cells: a column is not of its type ({error}); see scaling/contract.py") from error
    for name in CELLS.names:
        if name not in ("parameters", "flops"):
            _refuse(table, pc.is_null(table[name]), name, "is null")
    for name in _POSITIVE:
        bad = pc.invert(pc.and_(pc.greater(table[name], 0), pc.is_finite(table[name])))
        _refuse(table, bad, name, "is not a number above 0")
    _refuse(table, pc.greater(table["fraction"], 1), "fraction", "is above 1")
    mislabelled = pc.xor(pc.equal(table["score"], ALL), pc.equal(table["fraction"], 1.0))
    _refuse(
        table, mislabelled, "fraction", f"does not go with its score: `{ALL}` keeps everything, and nothing else does"
    )
    for name in domains:
        _refuse(table, pc.invert(pc.is_finite(table[name].fill_null(0.0))), name, "is not a finite number")
    seen = table.group_by(list(_KEY)).aggregate([([], "count_all")])
    twice = seen.filter(pc.field("count_all") > 1)
    if len(twice):
        raise InputError(f"cells: {_named(twice.slice(0, 1))} is there twice; an analysis takes each cell once")
    return table


def _refuse(table: pa.Table, bad: Any, column: str, what: str) -> None:
    found = table.filter(bad)
    if len(found):
        value = found[column][0].as_py()
        raise InputError(
            f"cells: {column} of {_named(found.slice(0, 1))} {what} ({value}); remove this row and run the cell again"
        )


def _named(row: pa.Table) -> str:
    return ", ".join(f"{name} {row[name][0].as_py()}" for name in _KEY)


def _score_order(score: str) -> tuple[int, str]:
    return ({ALL: 0, RANDOM: 2}.get(score, 1), score)


def _grid(table: pa.Table, pool: str, proxy: str, asked: Asked | None) -> Grid:
    rows = table.to_pylist()
    seeds = tuple(sorted({row["seed"] for row in rows}))
    found = {Configuration(row["size"], row["score"], row["fraction"]) for row in rows}
    ordered = tuple(sorted(found, key=_order))
    at = {one: i for i, one in enumerate(ordered)}
    most = Counter(one.size for one in ordered).most_common(1)[0][1]
    if len(ordered) > _MOST_CONFIGURATIONS or most > _MOST_OF_A_SIZE:
        raise InputError(
            f"cells: pool {pool}, proxy {proxy}: {len(ordered)} configurations, {most} of one size; an analysis takes "
            f"at most {_MOST_CONFIGURATIONS}, {_MOST_OF_A_SIZE} of one size: leave some scores or fractions out"
        )
    shape = (len(ordered), len(seeds))
    domains = [name for name in table.schema.names if name.startswith(LOSS)]
    values = {name: np.full(shape, np.nan) for name in (*_NUMBERS, *domains)}
    for row in rows:
        place = at[Configuration(row["size"], row["score"], row["fraction"])], seeds.index(row["seed"])
        for name, array in values.items():
            array[place] = np.nan if row[name] is None else row[name]
    there = {(one, seed) for one in ordered for j, seed in enumerate(seeds) if not np.isnan(values["loss"][at[one], j])}
    every = sorted(set(seeds).union(asked.seeds if asked else ()))
    absent = [(one, seed) for one in _rectangle(found, asked) for seed in every if (one, seed) not in there]
    parameters = {row["parameters"] for row in rows if row["parameters"] is not None}
    return Grid(
        pool=pool,
        proxy=proxy,
        parameters=max(parameters, default=None),
        seeds=seeds,
        configurations=ordered,
        log_loss=np.log(values["loss"]),
        heldout_errors=_heldout_errors(rows, at),
        without_errors=sum(row.get(ERRORS) is None for row in rows),
        domains={name.removeprefix(LOSS): values[name] for name in domains},
        kept_tokens=np.nanmean(values["kept_tokens"], axis=1),
        train_tokens=np.nanmean(values["train_tokens"], axis=1),
        kept_of_cells=values["kept_tokens"],
        pool_of_cells=values["pool_tokens"],
        missing=tuple(absent),
    )


def _heldout_errors(rows: list[dict[str, Any]], at: Mapping[Configuration, int]) -> tuple[Floats, ...]:
    """The mean over seeds of each configuration's errors, as shares of the losses, domain by domain."""
    lengths = {tuple(len(domain) for domain in row.get(ERRORS) or ()) for row in rows}
    if len(lengths) > 1:
        return ()
    found = tuple(np.zeros((len(at), length)) for length in lengths.pop())
    places = [at[Configuration(row["size"], row["score"], row["fraction"])] for row in rows]
    counts = np.bincount(places, minlength=len(at))
    for row, place in zip(rows, places, strict=True):
        for errors, own in zip(found, row.get(ERRORS) or (), strict=True):
            errors[place] += np.array(own) / row["loss"] / counts[place]
    return found


def _order(one: Configuration) -> tuple[int, tuple[int, str], float]:
    return (one.size, _score_order(one.score), -one.fraction)


def _rectangle(found: Collection[Configuration], asked: Asked | None) -> list[Configuration]:
    """What the grid should have: each curve at each size, of those that are there and those that were asked for."""
    sizes = {one.size for one in found}.union(asked.sizes if asked else ())
    curves = {(one.score, one.fraction) for one in found}.union(asked.treatments if asked else ())
    return sorted((Configuration(size, *curve) for size in sizes for curve in curves), key=_order)
