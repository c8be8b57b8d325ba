"""The pages of docs/filters/ say what the code says: every measure, every field with its default, every reason."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from corpusmill.pipeline import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "filters"
HEADINGS = ["Source", "Differs from the source", "Measures", "Thresholds", "Reasons", "Agreement", "Cost"]
FILTERS = [name for name, path in registry.STAGES.items() if path.startswith("corpusmill.filters.")]


def sections(name: str) -> dict[str, str]:
    text = (PAGES / f"{name}.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_has_its_page(name: str) -> None:
    page = sections(name)
    assert page[""].startswith(f"# {name}\n")
    assert [heading for heading in page if heading] == HEADINGS
    assert all(page[heading].strip() for heading in HEADINGS)
    assert "<!-- begin cost -->" in page["Cost"]
    assert "<!-- end cost -->" in page["Cost"]


@pytest.mark.parametrize("name", FILTERS)
def test_a_page_names_every_measure_with_its_type(name: str) -> None:
    kind = registry.stage_class(name)
    told = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", sections(name)["Measures"], flags=re.MULTILINE)
    assert {measure: of_it.strip() for measure, of_it in told} == {item.name: str(item.type) for item in kind.measures}


@pytest.mark.parametrize("name", FILTERS)
def test_a_page_has_the_thresholds_and_reasons_of_the_code(name: str) -> None:
    spec = importlib.util.spec_from_file_location("write_filter_pages", ROOT / "tools" / "write_filter_pages.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (PAGES / f"{name}.md").read_text()
    assert text == tool.with_sections(text, registry.stage_class(name)), "run tools/write_filter_pages.py"


def test_no_page_is_of_a_stage_that_is_not_there() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} <= set(registry.STAGES)
