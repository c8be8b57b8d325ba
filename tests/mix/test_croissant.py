"""The oracle is mlcroissant, MLCommons' own reader."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.mix.conftest import Built

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pyparsing's old names, in a library of a library
    import mlcroissant


pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # mlcroissant's way of calling pandas


@pytest.fixture(scope="module")
def read(described: Built) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlcroissant.Dataset(jsonld=described.folder / "croissant.json")


def test_mlcroissant_finds_no_error_and_misses_only_what_a_person_must_say(read: Any) -> None:
    issues = read.metadata.ctx.issues
    assert not issues.errors
    told = " ".join(sorted(map(str, issues.warnings)))
    assert len(issues.warnings) == 2, told
    assert "citeAs" in told
    assert "datePublished" in told


def test_mlcroissant_reads_every_row_of_every_split(read: Any, described: Built) -> None:
    splits = ["train", "validation", "heldout_code", "heldout_web"]
    assert sorted(record_set.uuid for record_set in read.metadata.record_sets) == sorted(splits)
    for split in splits:
        found = [
            {
                key.removeprefix(f"{split}/"): value.decode() if isinstance(value, bytes) else value
                for key, value in row.items()
            }
            for row in read.records(split)
        ]
        paths = sorted(described.folder.glob(f"*/{split}-*.parquet"))
        assert paths
        wanted = [row for path in paths for row in pq.read_table(path).to_pylist()]
        keys = ["id", "text", "source", "component", "n_words"]
        assert sorted([row[key] for key in keys] for row in found) == sorted(
            [row[key] for key in keys] for row in wanted
        )


def test_another_content_is_another_version(described: Built) -> None:
    data = json.loads((described.folder / "croissant.json").read_text())
    manifest = json.loads((described.folder / "manifest.json").read_text())
    assert data["version"] == f"1.0.0+{manifest['content_hash'][:16]}"
