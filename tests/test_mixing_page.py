"""docs/mixing.md: what it shows can be asked for, and what can be asked for it names."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from corpusmill.mix.options import Balance, MixOptions, Share, Unit, WhenShort
from corpusmill.mix.presets import find_preset
from corpusmill.mix.ratios import with_presets
from corpusmill.mix.slices import cases_by_source
from corpusmill.pipeline.recipe import build

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mixing.md"
SOURCES = ["web", "code", "math", "novels", "letters", "wiki", "papers", "books"]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_is_a_mix(number: int) -> None:
    given: dict[str, Any] = yaml.safe_load(EXAMPLES[number])["mix"]
    options = with_presets(build(MixOptions, given, "page"), [*SOURCES, *given.get("slices", {})])
    assert cases_by_source(options, SOURCES)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("name", [*(item.name for item in dataclasses.fields(MixOptions)), "temperature", "by", "of"])
def test_every_key_is_told(name: str) -> None:
    told_elsewhere = {"seed", "name", "shard_bytes"}
    assert name in told_elsewhere or re.search(rf"\b{name}\b", PAGE.read_text())


@pytest.mark.parametrize("value", [*get_args(Unit), *get_args(WhenShort), *get_args(Balance)])
def test_every_choice_is_told(value: str) -> None:
    assert f"`{value}`" in PAGE.read_text()


def test_the_presets_that_it_names_are_there() -> None:
    for name in re.findall(r"preset: (\w+)", PAGE.read_text()):
        assert name == "worst" or find_preset(name)
    assert Share.__dataclass_fields__["temperature"].default == 3.33


def test_links_lead_to_files_that_are_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text())
    assert not [target for target in targets if not (PAGE.parent / target).exists()]
