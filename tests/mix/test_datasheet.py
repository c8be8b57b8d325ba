from __future__ import annotations

import json
from typing import Any

import pytest

from corpusmill.mix.datasheet import TO_FILL, datasheet
from tests.mix.conftest import Built

SECTIONS = [
    "Motivation",
    "Composition",
    "Collection",
    "Preprocessing and cleaning",
    "Uses",
    "Distribution",
    "Maintenance",
]


@pytest.fixture(scope="module")
def manifest(described: Built) -> dict[str, Any]:
    return dict(json.loads((described.folder / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def sheet(manifest: dict[str, Any]) -> str:
    return datasheet(manifest)


def test_it_lies_beside_the_card(described: Built, sheet: str) -> None:
    assert (described.folder / "DATASHEET.md").read_text() == sheet


def test_it_has_the_sections_of_the_paper_and_an_answer_to_every_question(sheet: str) -> None:
    assert [line.removeprefix("## ") for line in sheet.splitlines() if line.startswith("## ")] == SECTIONS
    paragraphs = sheet.split("\n\n")
    questions = [place for place, text in enumerate(paragraphs) if text.startswith("**")]
    assert len(questions) > 25
    assert all(not paragraphs[place + 1].startswith(("**", "##")) for place in questions)


def test_it_tells_what_the_manifest_knows(sheet: str, manifest: dict[str, Any]) -> None:
    rows = manifest["splits"]["train"]["rows"]
    assert f"| train | {rows:,} |" in sheet
    assert "| decontamination | 900 | 100 | contaminated 97, too\\_little\\_left 3 | 800 |" in sheet
    assert "- web: pii dropped 0 documents and rewrote 12 documents." in sheet
    assert "No stage looked for personal data in code." in sheet
    assert "No stage looked for offensive text in web, code." in sheet
    assert "Benchmarks were sought in the documents of web against arc." in sheet
    assert f"| web | decontamination | arc.jsonl | {'ab' * 32} |" in sheet
    assert "| web | 1 | 1,000 | CC-MAIN-2024-10 | CC0-1.0 |" in sheet
    assert manifest["content_hash"] in sheet
    assert "near-duplicates are in one split" in sheet
    other = manifest | {"options": manifest["options"] | {"split_by": "document"}}
    assert "Near-duplicates of a document may be in another split." in datasheet(other)


def test_what_only_a_person_knows_is_marked(sheet: str) -> None:
    assert sheet.count(TO_FILL) >= 10


def test_without_a_run_it_says_less_and_nothing_wrong(manifest: dict[str, Any]) -> None:
    bare = manifest | {
        "stages": {}, "inputs": {}, "models": [], "decontamination": [], "curation": {}, "versions": {},
        "recipe_hash": None, "quality": None,
    }  # fmt: skip
    sheet = datasheet(bare)
    assert "No benchmark was sought in it" in sheet
    assert "No stage looked" not in sheet


def test_hostile_names_stay_text(manifest: dict[str, Any]) -> None:
    name = "x |\n# <script>alert(1)</script>"
    sheet = datasheet(manifest | {"name": name, "licenses": {name: {name: 3}}})
    assert "<script" not in sheet.replace("\\<script", "")
    assert "\n# <" not in sheet
