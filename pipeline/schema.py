"""The JSON schema of recipes, made from the dataclasses that the recipe's keys configure.

Types, defaults and required keys are pydantic's reading of the fields; descriptions are the docstrings below them.
Limits that a class checks itself are not in it: `corpusmill plan` checks those.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from corpusmill.mix.options import MixOptions
from corpusmill.pipeline import registry
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.sources.registry import READERS
from corpusmill.scaling.sweep_options import SweepOptions

_NAME = "^[a-z][a-z0-9_]{0,63}$"


def recipe_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a recipe file."""
    definitions = {f"stage_{name}": _of(registry.stage_class(name)) for name in registry.STAGES}
    definitions |= {f"read_{kind}": _of(reader) for kind, reader in READERS.items()}
    definitions |= {"extraction": _of(Extraction), "mix": _of(MixOptions), "sweep": _of(SweepOptions)}
    definitions |= {"source": _source(), "stage": _stage()}
    definitions["mix"]["anyOf"] = [{"required": [key]} for key in ("ratios", "preset", "stages")]
    for definition in list(definitions.values()):
        definitions |= definition.pop("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "corpusmill recipe",
        "description": "What is read, through which stages, into what mix, and what sweeps try with it.",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "sources"],
        "properties": {
            "name": {"type": "string", "pattern": _NAME, "description": "The run's folder below `runs`."},
            "seed": _optional("integer", "Every choice comes from it and from the documents' ids.", default=0),
            "runs": _optional("string", "Folder that the run's folder is made in.", default="runs"),
            "split_bytes": _optional(
                "integer", "Bytes of input for a task, about; null: by the source's size.", default=None, minimum=1
            ),
            "sources": {
                "type": "object",
                "description": "Where documents come from, each with its stages; names are yours to choose.",
                "minProperties": 1,
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": _ref("source"),
            },
            "mix": _or_null(_ref("mix"), "The dataset that is made of the sources; none without it."),
            "sweep": _or_null(_ref("sweep"), "Which pools `corpusmill sweep` prunes, and by what."),
        },
        "$defs": definitions,
    }


def _source() -> dict[str, Any]:
    kinds = [
        {
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"properties": {"read": _or_null(_ref(f"read_{kind}"))}},
        }
        for kind in READERS
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["paths"],
        "properties": {
            "paths": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
                "description": "Local paths, folders, globs, ${VARIABLES} and fsspec URLs.",
            },
            "kind": {
                "enum": [*READERS, None],
                "description": "How files are read; guessed from their names if left out.",
            },
            "root": _optional("string", "Folder that file names in ids are relative to; default: the recipe's."),
            "license": _optional("string", "SPDX expression, where the whole source has one."),
            "language": _optional("string", "ISO 639 code, where the source is of one language."),
            "read": {
                "anyOf": [*(_ref(f"read_{kind}") for kind in READERS), {"type": "null"}],
                "description": "How files are read: keys of its kind.",
            },
            "extract": _or_null(_ref("extraction"), "How pages become text; of WARC files alone."),
            "stages": {
                "anyOf": [
                    {"enum": list(registry.PUBLISHED)},
                    {"type": "array", "items": _ref("stage")},
                    {"type": "null"},
                ],
                "description": "What documents go through, in order; or the name of a published recipe.",
            },
        },
        "allOf": kinds,
    }


def _stage() -> dict[str, Any]:
    options = {name: _or_null(_ref(f"stage_{name}")) for name in registry.STAGES}
    names = {"enum": list(registry.PUBLISHED)}
    changed = {
        "type": "object",
        "additionalProperties": False,
        "required": ["recipe"],
        "properties": {
            "recipe": names,
            "with": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {name: {"type": "object"} for name in registry.STAGES},
                "description": "Values to change, by stage.",
            },
        },
    }
    published = {"anyOf": [names, changed], "description": "A published recipe's stages, in this place."}
    return {
        "anyOf": [
            {"enum": list(registry.STAGES)},
            {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {"use": published, "datatrove": _ref("stage_datatrove_filter"), **options},
            },
        ]
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _optional(kind: str, description: str, **more: Any) -> dict[str, Any]:
    """A key that may be left out, or be null, which is the same."""
    return {"type": [kind, "null"], "description": description, **more}


def _or_null(schema: dict[str, Any], description: str | None = None) -> dict[str, Any]:
    whole: dict[str, Any] = {"anyOf": [schema, {"type": "null"}]}
    return whole | {"description": description} if description else whole


def _of(kind: Any) -> dict[str, Any]:
    """A dataclass's schema, with unknown keys refused as the recipe refuses them."""
    schema: dict[str, Any] = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    _describe(schema, kind)
    for part in _parts(kind):
        _describe(schema.get("$defs", {}).get(part.__name__, {}), part)
    about = inspect.cleandoc(kind.__doc__ or "").partition("\n\nRaises:")[0]
    return {**schema, "description": about, "additionalProperties": False}


def _describe(schema: dict[str, Any], kind: Any) -> None:
    described = field_docs(kind)
    for name, of_field in schema.get("properties", {}).items():
        of_field.pop("title", None)
        if name in described:
            of_field["description"] = described[name]


def _parts(kind: Any) -> Iterator[Any]:
    """The dataclasses that a dataclass's fields are made of."""
    waiting = [hint for name, hint in get_type_hints(kind).items() if name in kind.__dataclass_fields__]
    while waiting:
        hint = waiting.pop()
        if dataclasses.is_dataclass(hint):
            yield hint
        waiting += get_args(hint)


def field_docs(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, inherited ones included, as one line each.

    One below several fields in a row is of all of them.
    """
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        above: list[str] = []
        for statement in body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    above.append(name)
                case ast.Expr(value=ast.Constant(value=str(text))):
                    docs |= dict.fromkeys(above, " ".join(text.split()))
                    above = []
                case _:
                    above = []
    return docs
