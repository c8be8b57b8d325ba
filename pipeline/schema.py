"""The JSON schema of recipes, made from the dataclasses that the recipe's keys configure."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from corpusmill.mix.options import MixOptions
from corpusmill.pipeline import registry
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.recipe import DEFAULT_SPLIT_BYTES
from corpusmill.pipeline.sources.registry import READERS


def recipe_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a recipe file."""
    definitions = {f"stage_{name}": _of(registry.stage_class(name)) for name in registry.STAGES}
    definitions |= {f"read_{kind}": _of(reader) for kind, reader in READERS.items()}
    definitions |= {"extraction": _of(Extraction), "mix": _of(MixOptions)}
    for definition in list(definitions.values()):
        definitions |= definition.pop("$defs", {})
    stage = {
        "anyOf": [
            {"enum": list(registry.STAGES)},
            _one_key("use", {"enum": list(registry.PUBLISHED)}),
            *(
                _one_key(name, {"anyOf": [{"$ref": f"#/$defs/stage_{name}"}, {"type": "null"}]})
                for name in registry.STAGES
            ),
        ]
    }
    source = {
        "type": "object",
        "additionalProperties": False,
        "required": ["paths"],
        "properties": {
            "paths": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
            "kind": {"enum": list(READERS), "description": "How files are read; guessed from their names if left out."},
            "root": {"type": "string", "description": "Folder that file names in ids are relative to."},
            "license": {"type": ["string", "null"], "description": "SPDX expression."},
            "language": {
                "type": ["string", "null"],
                "description": "ISO 639 code, where the source is of one language.",
            },
            "read": {"anyOf": [{"$ref": f"#/$defs/read_{kind}"} for kind in READERS]},
            "extract": {"$ref": "#/$defs/extraction"},
            "stages": {"anyOf": [{"enum": list(registry.PUBLISHED)}, {"type": "array", "items": stage}]},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "corpusmill recipe",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "sources"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
            "seed": {"type": "integer", "default": 0},
            "runs": {"type": "string", "default": "runs", "description": "Folder that the run's folder is made in."},
            "split_bytes": {"type": "integer", "minimum": 1, "default": DEFAULT_SPLIT_BYTES},
            "sources": {"type": "object", "minProperties": 1, "additionalProperties": source},
            "mix": {"$ref": "#/$defs/mix"},
        },
        "$defs": definitions,
    }


def _of(kind: Any) -> dict[str, Any]:
    """A dataclass's schema, with unknown keys refused as the recipe refuses them."""
    schema = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    return {**schema, "additionalProperties": False}


def _one_key(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": [key], "properties": {key: value}}
