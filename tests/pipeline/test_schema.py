import dataclasses
from pathlib import Path

import jsonschema
import pytest
import yaml

from corpusmill.pipeline import registry
from corpusmill.pipeline.recipe import parse_recipe
from corpusmill.pipeline.schema import field_docs, recipe_schema
from corpusmill.pipeline.sources.registry import READERS

ROOT = Path(__file__).parents[2]
MINIMAL = {"name": "small", "sources": {"web": {"paths": ["*.jsonl"]}}}


@pytest.fixture(scope="module")
def schema():
    return recipe_schema()


@pytest.fixture(scope="module")
def errors(schema):
    """What an editor would say of a recipe."""
    validator = jsonschema.Draft202012Validator(schema)
    return lambda data: [error.message for error in validator.iter_errors(data)]


def source(**changes):
    return {**MINIMAL, "sources": {"web": {"paths": "x", **changes}}}


def test_it_is_a_json_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "path", ["sample_corpora/recipe.yaml", "benchmarks/real.yaml", "pipeline/templates/recipe.yaml"]
)
def test_the_recipes_of_this_repository_are_accepted(errors, path):
    assert errors(yaml.safe_load((ROOT / path).read_text())) == []


@pytest.mark.parametrize("name", registry.PUBLISHED)
def test_published_recipes_are_accepted_by_name_and_in_full(errors, name):
    stages = yaml.safe_load((ROOT / f"pipeline/recipes/{name}.yaml").read_text())["stages"]
    for given in (name, [{"use": name}], stages):
        assert errors(source(stages=given)) == []


GOOD = [
    MINIMAL,
    {**MINIMAL, "seed": None, "mix": None},
    source(stages=None, license=None, kind=None),
    source(stages=["pii", {"pii": None}, {"language": {"keep": ["en"], "min_score": None}}]),
    source(kind="jsonl", read={"text": "body"}),
    source(read={"max_record_bytes": 5}),
    source(extract={"engine": "trafilatura"}),
]
BAD = [
    {"name": "small"},
    {**MINIMAL, "sauces": {}},
    {**MINIMAL, "name": "No Good"},
    {**MINIMAL, "seed": "seven"},
    {**MINIMAL, "split_bytes": 0},
    {**MINIMAL, "sources": {}},
    {**MINIMAL, "sources": {"Web": {"paths": "x"}}},
    {**MINIMAL, "mix": "web"},
    {**MINIMAL, "mix": {"ratios": {"web": "half"}}},
    {**MINIMAL, "mix": {"ratio": {"web": 1}}},
    {**MINIMAL, "mix": {"budget": 5}},
    source(path="x"),
    source(paths=[]),
    source(kind="word"),
    source(stages="fine_web"),
    source(stages=["gofer_quality"]),
    source(stages=[{"use": "fine_web"}]),
    source(stages=[{"pii": {}, "c4": {}}]),
    source(stages=[{}]),
    source(stages=[{"gopher_quality": {"min_word": 20}}]),
    source(stages=[{"gopher_quality": {"min_words": "many"}}]),
    source(stages=[{"language": {"keep": "en"}}]),
    source(stages=["quality", {"combined_quality": {}}]),
    source(kind="jsonl", read={"delimiter": ";"}),
    source(extract={"engine": "lynx"}),
]


@pytest.mark.parametrize("data", GOOD, ids=str)
def test_what_the_recipe_accepts_the_schema_accepts(errors, data):
    parse_recipe(data, ROOT, "recipe.yaml")
    assert errors(data) == []


@pytest.mark.parametrize("data", BAD, ids=str)
def test_unknown_keys_and_wrong_types_are_refused(errors, data):
    assert errors(data) != []


def test_every_key_is_described(schema):
    places = {"recipe": schema, **schema["$defs"]}
    silent = [
        f"{place}.{key}"
        for place, definition in places.items()
        if place != "stage"
        for key, value in definition.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []


def test_every_stage_and_reader_is_there_with_its_defaults(schema):
    for name in registry.STAGES:
        kind = registry.stage_class(name)
        definition = schema["$defs"][f"stage_{name}"]
        fields = {item.name: item for item in dataclasses.fields(kind) if item.init}
        assert definition["properties"].keys() == fields.keys()
        required = {name for name, item in fields.items() if item.default is dataclasses.MISSING}
        assert set(definition.get("required", ())) == required
    assert {f"read_{kind}" for kind in READERS} <= schema["$defs"].keys()


@dataclasses.dataclass
class Base:
    """What is shared."""

    low: int = 1
    high: int = 2
    """Both ends
    of it."""
    bare: int = 3

    def method(self) -> None:
        """No field."""


@dataclasses.dataclass
class Derived(Base):
    low: int = 5
    """Another low end."""


def test_docstrings_below_fields_are_read_shared_ones_and_inherited_ones_too():
    assert field_docs(Base) == {"low": "Both ends of it.", "high": "Both ends of it."}
    assert field_docs(Derived) == {"low": "Another low end.", "high": "Both ends of it."}
