"""The oracles are huggingface_hub, which reads the card, and datasets, which loads what it names."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard

from corpusmill.mix.card import dataset_card, front_matter, hub_licenses
from tests.mix.conftest import Built


@pytest.fixture(scope="module")
def manifest(described: Built) -> dict[str, Any]:
    return dict(json.loads((described.folder / "manifest.json").read_text()))


def test_the_hubs_library_reads_the_card(described: Built, manifest: dict[str, Any]) -> None:
    card = DatasetCard.load(described.folder / "README.md")
    assert card.data.to_dict() == front_matter(manifest)
    assert card.data.license == ["cc-by-4.0", "mit", "unknown"]
    assert card.data.task_categories == ["text-generation"]
    assert sorted(card.data.language) == ["de", "en"]
    assert card.text.lstrip().startswith("# corpusmill-dataset")


def test_datasets_loads_what_the_card_names(described: Built, manifest: dict[str, Any], tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(described.folder), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        split: sums["rows"] for split, sums in manifest["splits"].items()
    }
    assert set(loaded) == {"train", "validation", "heldout_code", "heldout_web"}
    assert loaded["train"].column_names == [column["name"] for column in manifest["columns"]]


def test_every_component_stands_in_the_table_with_its_numbers(manifest: dict[str, Any]) -> None:
    text = dataset_card(manifest)
    for entry in manifest["components"]:
        share = f"{100 * entry['ratio']:.2f} | {100 * entry['achieved_ratio']:.2f}"
        name = entry["component"].replace("_", "\\_")
        assert f"| {name} | {share} | {entry['units']:,} |" in text
    assert "held out are" in text
    assert "`n_words` counts words." in text


def test_the_tokenizer_that_counted_is_named(manifest: dict[str, Any]) -> None:
    counted = {"name": "gpt2", "vocab_size": 50257, "fingerprint": "f" * 64}
    text = dataset_card(manifest | {"unit": "tokens", "unit_name": "tokens", "tokenizer": counted})
    assert f"`n_tokens` counts tokens with the tokenizer gpt2 (50,257 entries, fingerprint `{'f' * 16}`)." in text


def test_licences_are_listed_by_source(manifest: dict[str, Any]) -> None:
    text = dataset_card(manifest)
    for source, licenses in manifest["licenses"].items():
        for name, rows in licenses.items():
            assert f"| {source} | {name or 'not stated'} | {rows:,} |" in text


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ({"https://creativecommons.org/licenses/by-nc/4.0/": 1}, {"license": "cc-by-nc-4.0"}),
        ({"NOASSERTION": 1, "": 2}, {"license": "unknown"}),
        ({"My own! Licence (v2)": 1}, {"license": "other", "license_name": "my-own-licence-v2"}),
        ({"私": 1}, {"license": "other", "license_name": "other"}),
    ],
)
def test_licences_that_the_hub_does_not_know_by_their_name(stated: dict[str, int], wanted: dict[str, str]) -> None:
    assert hub_licenses(Counter(stated)) == wanted
    name = hub_licenses(Counter(stated)).get("license_name", "x")
    assert re.fullmatch(r"[a-z0-9.-]+", name)


def test_the_front_matter_is_plain_yaml(described: Built) -> None:
    _, front, body = (described.folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)
    assert "\n---" not in body
