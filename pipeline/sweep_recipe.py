"""The recipe's `sweep`, checked against its sources and what their stages measure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.mix.slices import CURATED, LEDGER, Case, check_cases
from corpusmill.pipeline.recipe import NAME, Recipe, build, read_yaml
from corpusmill.scaling.contract import Proxy
from corpusmill.scaling.prepared import SIZES
from corpusmill.scaling.proxies.kinds import proxy_class
from corpusmill.scaling.sweep_options import SweepOptions

_TAKEN = ("shared", "search", "workspace")  # folders of `scaling` beside its sweeps'


def sweep_options(recipe: Recipe, file: Path | None = None) -> SweepOptions:
    """What the sweep is.

    Args:
        file: a YAML file with what would stand below `sweep`, instead of the recipe's own.

    Raises:
        RecipeError: if there is none, a value cannot be used, a source is unknown or has no such measure.
    """
    given: Any = recipe.sweep if file is None else read_yaml(file)
    place = place_of(recipe, file)
    if given is None:
        raise RecipeError(
            f"{recipe.file}: has no `sweep`; name pools, scores, sizes and proxies in it, or a file by --sweep"
        )
    named = {"seed": recipe.seed, "name": "sweep" if file is None else file.stem, **given}
    options = build(SweepOptions, named, place)
    if not NAME.fullmatch(options.name):
        raise RecipeError(f"{place}.name: {options.name!r} must be lower-case letters, digits and _")
    if options.name in _TAKEN:
        raise RecipeError(f"{place}.name: scaling/{options.name} is a folder of its own; call the sweep otherwise")
    for kind in ("pools", "scores", "proxies"):
        for name in getattr(options, kind):
            if not NAME.fullmatch(name):
                raise RecipeError(f"{place}.{kind}: {name!r} must be lower-case letters, digits and _")
    sources = {source.name: source for source in recipe.sources}
    try:
        options.check(sources)
    except RecipeError as error:
        raise RecipeError(f"{place}.{error}") from error
    for name, pool in options.pools.items():
        for source in pool.sources:
            measured = measures_of(recipe, source)
            check_cases([Case(name, pool.where, None)], measured, source, f"{place}.pools")
            for score, asked in options.scores.items():
                _check_measure(f"{place}.scores.{score}.measure", asked.measure, measured, source)
    proxies_of(options, place)
    return options


def measures_of(recipe: Recipe, source: str) -> pa.Schema:
    """What the stages of a source measure, as `stage.measure`."""
    [spec] = [spec for spec in recipe.sources if spec.name == source]
    return pa.schema(
        [pa.field(f"{stage.name}.{item.name}", item.type) for stage in spec.stages for item in stage.build().measures]
    )


def proxies_of(options: SweepOptions, place: str) -> dict[str, Proxy]:
    """The proxies by name.

    Raises:
        RecipeError: if a kind is unknown or an option cannot be used.
    """
    found = {}
    for name, given in options.proxies.items():
        where = f"{place}.proxies.{name}"
        asked = dict(given or {})
        kind = asked.pop("kind", name)
        found[name] = build(proxy_class(kind, where), asked, where)
    return found


def check_proxies(proxies: Mapping[str, Proxy], place: str) -> None:
    """Looks whether all proxies can run here.

    Args:
        place: of the sweep that names them (`place_of`).

    Raises:
        InputError: naming the first that cannot.
    """
    for name, proxy in proxies.items():
        try:
            proxy.check()
        except InputError as error:
            raise InputError(f"{place}.proxies.{name}: {error}") from error


def place_of(recipe: Recipe, file: Path | None = None) -> str:
    """Where the sweep's options stand: in its file, or else in the recipe."""
    return f"{recipe.file}: sweep" if file is None else str(file)


def tokenizer_of(recipe: Recipe, options: SweepOptions) -> Path | None:
    """The tokenizer that the sweep names; None: it trains one."""
    file = options.tokenizer.file
    return None if file is None else (recipe.folder / file).resolve()


def _check_measure(place: str, measure: str, measured: pa.Schema, source: str) -> None:
    schema = pa.schema([*CURATED, *LEDGER, *measured, *(pa.field(name, pa.int64()) for name in SIZES)])
    numbers = [
        item.name for item in schema if pa.types.is_integer(item.type) or pa.types.is_floating(item.type)
        or pa.types.is_boolean(item.type)
    ]  # fmt: skip
    if measure not in numbers:
        near = nearest(measure, numbers)
        mend = f"did you mean {near!r}?" if near else f"there are {', '.join(dict.fromkeys(numbers))}"
        raise RecipeError(f"{place}: {measure!r} is no number that is known of the documents of {source}; {mend}")
