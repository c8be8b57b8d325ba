"""The published recipes say what their papers say, their stages fit together, and they run on real documents."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from corpusmill.filters.c4 import LineRules
from corpusmill.filters.refinedweb_lines import LineCorrections
from corpusmill.pipeline import registry
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import StageSpec, load_recipe, published_stages
from corpusmill.pipeline.run import run_recipe

INPUT = {
    "fineweb": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "gopher": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "c4": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "dclm": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "refinedweb": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "ccnet": ("quality/onestop_english_3levels", "**/*.txt", {}),
    "fineweb2": ("langid/lingua_testdata_75lang/sentences", "*.txt", {}),
    "redpajama": ("text/german_federal_laws_md", "*/*/*.md", {}),
    "books": ("text/books_classic_markdown_a", "*/*.md", {"read": {"split": "chapters"}}),
    "math": ("text/math_stacks_project_latex", "*.tex", {}),
    "code": (Path(__file__).parents[2], "filters/*.py", {"kind": "code", "license": "Apache-2.0"}),
}
"""For each recipe: real documents of its kind (code: our own), and what else the source says."""


@pytest.mark.parametrize("name", ["fineweb", "c4"])
def test_c4_judges_documents_by_the_line_rules_that_will_edit_them(name: str) -> None:
    stages = {
        stage: StageSpec(stage, stage, options, place).build()
        for stage, options, place in published_stages(name, "test")
    }
    judge, editor = stages["c4"], stages["c4_lines"]
    for rule in dataclasses.fields(LineRules):
        assert getattr(judge, rule.name) == getattr(editor, rule.name), rule.name


def test_refinedweb_judges_documents_by_the_line_rules_that_will_edit_them() -> None:
    stages = {
        stage: StageSpec(stage, stage, options, place).build()
        for stage, options, place in published_stages("refinedweb", "test")
    }
    for rule in dataclasses.fields(LineCorrections):
        assert getattr(stages["refinedweb"], rule.name) == getattr(stages["refinedweb_lines"], rule.name), rule.name


@pytest.mark.parametrize("name", registry.PUBLISHED)
def test_a_recipe_names_its_source_and_every_stage_of_it_can_be_built(name: str) -> None:
    text = (files("corpusmill.pipeline.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    head = text.partition("stages:")[0]
    assert "arXiv:" in head or "doi:" in head
    stages = published_stages(name, "test")
    assert len(stages) >= 2
    for stage, options, place in stages:
        built = StageSpec(stage, stage, options, place).build()
        built.prepare()


def test_every_file_of_recipes_is_published_and_documented() -> None:
    folder = Path(str(files("corpusmill.pipeline.recipes")))
    assert {path.stem for path in folder.glob("*.yaml")} == set(registry.PUBLISHED) == set(INPUT)
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in registry.PUBLISHED)


@pytest.mark.realdata
def test_every_recipe_runs_on_real_documents_of_its_kind(
    realdata: Path, tmp_path: Path, inline_executor: Executor, quiet: PlainProgress
) -> None:
    sources = {}
    for name, (folder, pattern, more) in INPUT.items():
        found = sorted(path for path in (realdata / folder).glob(pattern) if path.stat().st_size < 400_000)
        paths = [str(path) for path in found[:75]]
        assert len(paths) > 20, name
        sources[name] = {"paths": paths, "stages": name} | more
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "published", "runs": str(tmp_path / "runs"), "sources": sources}))
    result = run_recipe(load_recipe(recipe), inline_executor, quiet)
    assert not result.failed
    for name in INPUT:
        counts = result.manifest["sources"][name]
        dropped = sum(sum(stage["dropped"].values()) for stage in counts["stages"])
        assert counts["records"] == counts["documents_out"] + dropped > 20, name
        assert counts["documents_out"] > 0, name
