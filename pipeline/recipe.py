"""The recipe: what is read, through which stages, into what mix. A YAML file, checked before any work starts.

    name: crawl
    seed: 0
    sources:
      web:
        paths: [crawl/*.warc.gz]       # local paths, folders, globs, ${VARIABLES}, fsspec URLs
        kind: warc                     # guessed from the names where it is left out
        license: null
        read: {max_record_bytes: 10_000_000}
        extract: {engine: resiliparse}
        stages:
          - language: {keep: [en], min_score: 0.65}
          - use: fineweb               # the stages of a published recipe, in their place
          - use: {recipe: c4, with: {c4: {min_sentences: 2}}}    # the same with some values changed
          - datatrove: {block: GopherQualityFilter, args: {min_doc_words: 80}}    # a filter or formatter of datatrove
          - pii
    mix:
      ratios: {web: 1.0}

Keys that nobody reads are refused, with the nearest key that exists. Values are checked against the types and limits of
the dataclass that they configure; that dataclass is also where defaults live.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from corpusmill.documents.errors import RecipeError, UsageError, nearest
from corpusmill.pipeline import registry

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a source: its name in the ledger, the table's name, and its parameters as the recipe gives them."""

    name: str
    stage: str
    options: Mapping[str, Any]
    place: str

    def build(self) -> Any:
        """The stage with its parameters checked.

        Raises:
            RecipeError: if a key or value does not fit, naming the place in the recipe.
        """
        return build(registry.stage_class(self.stage), self.options, self.place)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source: where from, how read, through which stages."""

    name: str
    paths: tuple[str, ...]
    kind: str | None
    root: str | None
    license: str | None
    language: str | None
    read: Mapping[str, Any]
    extract: Mapping[str, Any]
    stages: tuple[StageSpec, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe with its keys checked; `resolved` is the whole of it as plain data, overrides and defaults included."""

    name: str
    seed: int
    runs: Path
    split_bytes: int | None  # None: by the size of each source (plan.automatic_split)
    sources: tuple[SourceSpec, ...]
    mix: Mapping[str, Any] | None
    sweep: Mapping[str, Any] | None
    folder: Path
    file: str
    resolved: Mapping[str, Any] = field(repr=False)


_RECIPE_KEYS = ("name", "seed", "runs", "split_bytes", "sources", "mix", "sweep")
_SOURCE_KEYS = ("paths", "kind", "root", "license", "language", "read", "extract", "stages")
_BEYOND_INTEGERS = 2**63
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What sources, slices, sweeps and the like may be called: folders and columns have these names."""
_TAKEN = ("dataset", "mix", "report", "scaling")  # folders of a run beside its sources'


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: the YAML file; relative paths in it are relative to its folder.
        overrides: `path.to.key=value` strings, such as `sources.web.stages.language.min_score=0.8`.

    Raises:
        RecipeError: naming the place, the value and the mend.
    """
    data = read_yaml(path)
    for override in overrides:
        apply_override(data, override)
    return parse_recipe(data, path.resolve().parent, path.name)


def parse_recipe(data: dict[str, Any], folder: Path, file: str) -> Recipe:
    """Checks a recipe that is already plain data."""
    place = f"{file}: "
    check_keys(data, _RECIPE_KEYS, file)
    name = _expect(data, "name", str, file, required=True)
    if not NAME.fullmatch(name):
        raise RecipeError(f"{place}name: {name!r} must be lower-case letters, digits and _, and begin with a letter")
    sources = _expect(data, "sources", dict, file, required=True)
    if not sources:
        raise RecipeError(f"{place}sources: names no source; add at least one")
    mix = _expect(data, "mix", dict, file)
    sweep = _expect(data, "sweep", dict, file)
    split_bytes = _expect(data, "split_bytes", int, file)
    if split_bytes is not None and split_bytes < 1:
        raise RecipeError(f"{place}split_bytes: {split_bytes} must be at least 1")
    return Recipe(
        name=name,
        seed=_expect(data, "seed", int, file, default=0),
        runs=Path(_expect(data, "runs", str, file, default="runs")),
        split_bytes=split_bytes,
        sources=tuple(_source(key, value, f"{file}: sources.{key}") for key, value in sources.items()),
        mix=mix,
        sweep=sweep,
        folder=folder,
        file=file,
        resolved=data,
    )


def build(kind: type[Built], options: Mapping[str, Any], place: str) -> Built:
    """An object of dataclass `kind` with `options` as its fields.

    Raises:
        RecipeError: if a key is no field or a value does not fit its type or limits.
    """
    fields = {item.name: item for item in dataclasses.fields(kind) if item.init}  # type: ignore[arg-type]
    check_keys(options, tuple(fields), place)
    missing = [
        name
        for name, item in fields.items()
        if name not in options and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(f"{place}: needs {' and '.join(missing)}")
    for key, value in options.items():
        if isinstance(value, float) and math.isnan(value):  # as a bound it would break nothing, without a word
            raise RecipeError(f"{place}.{key}: {value} is no number; give one, or null where that turns it off")
        if isinstance(value, int) and not -_BEYOND_INTEGERS <= value < _BEYOND_INTEGERS:  # kernels take 64 bits
            raise RecipeError(f"{place}.{key}: {value} is beyond 64 bits; give a number from -2^63 to 2^63 - 1")
    try:
        adapter: TypeAdapter[Built] = _adapter(kind)  # type: ignore[arg-type]
        return adapter.validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        # Of a field that may be of several kinds, there is an error for each; the deepest is of the kind that is meant.
        first = max(
            (each for each in error.errors() if each["loc"][:1] == first["loc"][:1]), key=lambda e: len(e["loc"])
        )
        where = ".".join(_steps(first["loc"], options))
        if first["type"] in ("tuple_type", "list_type") and isinstance(first["input"], str):
            raise RecipeError(f"{place}.{where}: use a list: [{first['input']}]") from error
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{place}.{where}: {message}, not {first['input']!r}".replace("..", ".")) from error
    except (RecipeError, ValueError) as error:
        raise RecipeError(f"{place}: {error}") from error
    except PydanticUserError as error:
        raise TypeError(f"{kind} cannot be configured by a recipe: {error}") from error


def _steps(loc: Sequence[Any], options: Any) -> Iterator[str]:
    """The keys that lead to an error, without the names of the kinds that pydantic puts between them."""
    for step in loc:
        if (isinstance(options, Mapping) and step in options) or (isinstance(options, list) and isinstance(step, int)):
            options = options[step]
        elif step != loc[-1] or not str(step).isidentifier():
            continue
        yield str(step)


@lru_cache(maxsize=256)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """What reads a dataclass's fields. Made once: a plan builds each stage several times, at 3 ms for a new one."""
    return TypeAdapter(kind)


def check_keys(data: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    """Refuses keys that nobody reads, with the nearest key that exists."""
    known = tuple(known)
    for key in data:
        if key not in known:
            near = nearest(str(key), known)
            mend = f'did you mean "{near}"?' if near else f"known keys: {', '.join(known)}"
            raise RecipeError(f'{place}: unknown key "{key}"; {mend}')


def apply_override(data: dict[str, Any], override: str) -> None:
    """Sets one value of a recipe's plain data from `path.to.key=value`. Stages are reached by index or by name.

    Raises:
        UsageError: if the path does not lead through what is there.
    """
    path, equals, text = override.partition("=")
    steps = re.sub(r"\[(\d+)\]", r".\1", path).split(".")
    if not equals or not all(steps):
        raise UsageError(f"--set {override}: write path.to.key=value, such as sources.web.license=CC-BY-4.0")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is no YAML: {error}") from error
    here: Any = data
    for depth, step in enumerate(steps[:-1]):
        here = _descend(here, step, f"--set {override}: {'.'.join(steps[: depth + 1])}")
    _assign(here, steps[-1], value, f"--set {override}")


def _descend(here: Any, step: str, place: str) -> Any:
    if isinstance(here, dict):
        if here.get(step) is None:
            here[step] = {}
        return here[step]
    if isinstance(here, list):
        position = _position(here, step, place)
        item = here[position]
        if isinstance(item, str):
            item = here[position] = {item: {}}
        if not step.isdigit() and isinstance(item, dict):
            item[step] = item[step] or {}
            return item[step]
        return item
    raise UsageError(f"{place}: there is nothing below this value")


def _position(stages: list[Any], step: str, place: str) -> int:
    if step.isdigit():
        if int(step) < len(stages):
            return int(step)
        raise UsageError(f"{place}: there are {len(stages)} entries, counted from 0")
    names = [item if isinstance(item, str) else next(iter(item), "") for item in stages if isinstance(item, str | dict)]
    if step in names:
        return names.index(step)
    near = nearest(step, names)
    raise UsageError(f"{place}: no stage of that name here" + (f'; did you mean "{near}"?' if near else ""))


def _assign(here: Any, step: str, value: Any, place: str) -> None:
    if isinstance(here, dict):
        here[step] = value
    elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
        here[int(step)] = value
    elif isinstance(here, list) and not step.isdigit():
        here[_position(here, step, place)] = {step: value}
    else:
        raise UsageError(f"{place}: there is no {step} to set")


def _source(name: str, data: Any, place: str) -> SourceSpec:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RecipeError(f"{place}: a source's name is lower-case letters, digits and _, and begins with a letter")
    if name in _TAKEN:
        raise RecipeError(f"{place}: a run has a folder of that name of its own; call the source otherwise")
    if not isinstance(data, dict):
        raise RecipeError(f"{place}: must be a mapping with `paths` and `stages`, not {data!r}")
    check_keys(data, _SOURCE_KEYS, place)
    paths = data.get("paths")
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise RecipeError(f"{place}.paths: must be a path, glob or URL, or a list of them, not {data.get('paths')!r}")
    return SourceSpec(
        name=name,
        paths=tuple(paths),
        kind=_expect(data, "kind", str, place),
        root=_expect(data, "root", str, place),
        license=_expect(data, "license", str, place),
        language=_expect(data, "language", str, place),
        read=_expect(data, "read", dict, place, default={}),
        extract=_expect(data, "extract", dict, place, default={}),
        stages=_stages(data.get("stages") or [], f"{place}.stages"),
        place=place,
    )


def _stages(data: Any, place: str) -> tuple[StageSpec, ...]:
    items = [{"use": data}] if isinstance(data, str) else data
    if not isinstance(items, list):
        raise RecipeError(f"{place}: must be a list of stages or the name of a published recipe, not {data!r}")
    specs: list[StageSpec] = []
    for index, item in enumerate(items):
        for stage, options, where in _stage_items(item, f"{place}[{index}]"):
            taken = [spec.name for spec in specs]
            name = stage if stage not in taken else f"{stage}_{1 + sum(spec.stage == stage for spec in specs)}"
            specs.append(StageSpec(name, stage, options, where))
    return tuple(specs)


def _stage_items(item: Any, place: str) -> list[tuple[str, Mapping[str, Any], str]]:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        raise RecipeError(f"{place}: a stage is a name, or one name with its options, not {item!r}")
    [(stage, options)] = item.items()
    if stage == "use":
        return _used(options, place)
    if stage == "datatrove":
        return _datatrove(options, f"{place}.datatrove")
    if stage not in registry.STAGES:
        near = nearest(str(stage), registry.STAGES)
        mend = f'did you mean "{near}"?' if near else f"stages: {', '.join(registry.STAGES)}"
        raise RecipeError(f'{place}: no stage is called "{stage}"; {mend}')
    if options is not None and not isinstance(options, dict):
        raise RecipeError(f"{place}.{stage}: its options must be a mapping, not {options!r}")
    return [(stage, options or {}, f"{place}.{stage}")]


def _used(options: Any, place: str) -> list[tuple[str, Mapping[str, Any], str]]:
    """The stages of the published recipe that `use` names, with the values that it changes."""
    if not isinstance(options, dict):
        options = {"recipe": options}
    check_keys(options, ("recipe", "with"), f"{place}.use")
    name, changes = options.get("recipe"), options.get("with") or {}
    stages = published_stages(name, place)
    if not isinstance(changes, dict) or not all(isinstance(values, dict) for values in changes.values()):
        raise RecipeError(f"{place}.use.with: must map stages to their changed values, not {changes!r}")
    check_keys(changes, [stage for stage, _, _ in stages], f"{place}.use.with")
    return [(stage, {**given, **changes.get(stage, {})}, f"{place}.{name}{at}") for stage, given, at in stages]


def _datatrove(options: Any, place: str) -> list[tuple[str, Mapping[str, Any], str]]:
    """A block of datatrove as the stage of its kind, or, of a filter that edits, as two."""
    if not isinstance(options, dict) or not isinstance(options.get("block"), str):
        raise RecipeError(f"{place}: needs `block`, the name of a filter or formatter of datatrove")
    from corpusmill.filters.datatrove_block import is_formatter

    try:
        formatter = is_formatter(options["block"])
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    if formatter:
        return [("datatrove_formatter", options, place)]
    edited = [("datatrove_formatter", options, place)] if options.get("edits") else []
    return [("datatrove_filter", options, place), *edited]


def published_stages(name: Any, place: str) -> list[tuple[str, Mapping[str, Any], str]]:
    """The stages of a published recipe, as (stage, options, place within it)."""
    if name not in registry.PUBLISHED:
        near = nearest(str(name), registry.PUBLISHED)
        mend = f'did you mean "{near}"?' if near else f"published recipes: {', '.join(registry.PUBLISHED)}"
        raise RecipeError(f'{place}: no published recipe is called "{name}"; {mend}')
    text = (files("corpusmill.pipeline.recipes") / f"{name}.yaml").read_text()
    stages = _load_yaml(text, f"{name}.yaml")["stages"]
    found = []
    for index, item in enumerate(stages):
        found += [(stage, options, f"[{index}].{stage}") for stage, options, _ in _stage_items(item, f"[{index}]")]
    return found


def _expect(
    data: Mapping[str, Any], key: str, kind: type, place: str, *, default: Any = None, required: bool = False
) -> Any:
    value = data.get(key)
    if value is None:
        if required:
            raise RecipeError(f"{place}: needs `{key}`")
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        nouns = {str: "text", int: "a whole number", dict: "a mapping"}
        joint = ": " if place.endswith((".yaml", ".yml")) else "."
        raise RecipeError(f"{place}{joint}{key}: must be {nouns[kind]}, not {value!r}")
    return value


class _Loader(yaml.SafeLoader):
    """YAML without tags of Python's, that refuses a key given twice, and takes 2e12 for a number as YAML 1.2 does."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if isinstance(key, str | int | float) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            if isinstance(key, str | int | float):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+\Z"),
    list("-+.0123456789"),
)


def _load_yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: is no valid YAML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{name}: is nested too deep to read") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The plain data of a YAML file that holds a mapping.

    Raises:
        RecipeError: if it is not there or is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")]) if path.parent.is_dir() else None
        mend = f"did you mean {path.with_name(near)}?" if near else "`corpusmill init` writes a recipe to start from"
        raise RecipeError(f"{path}: no such recipe; {mend}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from error
    data = _load_yaml(text, path.name)
    if not isinstance(data, dict):
        raise RecipeError(f"{path.name}: must be a mapping such as `name: …`, not {type(data).__name__}")
    return data
