"""The pages of stages say what the code says: every measure, every field with its default, every reason."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from corpusmill.pipeline import registry

ROOT = Path(__file__).resolve().parents[1]
HEADINGS = ["Source", "Differs from the source", "Measures", "Thresholds", "Reasons", "Agreement", "Cost"]
STAGES = list(registry.STAGES)


def page_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_stage_pages", ROOT / "tools" / "write_stage_pages.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = page_tool()


def sections(name: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", TOOL.page_of(name).read_text(), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_page(name: str) -> None:
    page = sections(name)
    assert page[""].startswith(f"# {name}\n")
    assert [heading for heading in page if heading] == HEADINGS
    assert all(page[heading].strip() for heading in HEADINGS)
    assert "<!-- begin cost -->" in page["Cost"]
    assert "<!-- end cost -->" in page["Cost"]


@pytest.mark.parametrize("name", STAGES)
def test_a_page_names_every_measure_with_its_type(name: str) -> None:
    kind = registry.stage_class(name)
    told = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", sections(name)["Measures"], flags=re.MULTILINE)
    assert {measure: of_it.strip() for measure, of_it in told} == {item.name: str(item.type) for item in kind.measures}


@pytest.mark.parametrize("name", STAGES)
def test_a_page_has_the_thresholds_and_reasons_of_the_code(name: str) -> None:
    text = TOOL.page_of(name).read_text()
    assert text == TOOL.with_sections(text, registry.stage_class(name)), "run tools/write_stage_pages.py"


def test_no_page_is_of_a_stage_that_is_not_there() -> None:
    pages = {path for folder in ("filters", "dedup") for path in (ROOT / "docs" / folder).glob("*.md")}
    assert pages - {ROOT / "docs" / "dedup" / "index.md"} == {TOOL.page_of(name) for name in STAGES}
