"""docs/recipes.md lists every stage and every published recipe, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from corpusmill.pipeline import registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"


def test_the_page_lists_every_stage_once() -> None:
    listed = re.findall(r"^\| \[`(\w+)`\]\(", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(registry.STAGES)


def test_the_page_lists_every_published_recipe_once() -> None:
    listed = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]*(?:arXiv|doi):", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(registry.PUBLISHED)


def test_links_lead_to_files_that_are_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text())
    assert len(targets) > len(registry.STAGES)
    assert not [target for target in targets if not (PAGE.parent / target).exists()]
