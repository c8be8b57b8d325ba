"""What an export reads of a dataset, and what it refuses to read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from corpusmill.documents.errors import DamagedRunError, InputError, UsageError
from corpusmill.mix.exports.dataset import ExportedDataset


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "copied"))


def edited(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_all_splits_are_read_unless_some_are_named(dataset: Path) -> None:
    everything = ExportedDataset.open(dataset)
    assert [shard.stem for shard in everything.shards] == [
        "train-00000-of-00002",
        "train-00001-of-00002",
        "validation-00000-of-00001",
        "heldout_math-00000-of-00001",
    ]
    some = ExportedDataset.open(dataset, ["validation"])
    assert [shard.split for shard in some.shards] == ["validation"]
    assert some.identity != everything.identity


def test_an_unknown_split_is_refused_with_the_one_that_was_meant(dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"--split trian: .* has no such split; did you mean 'train'"):
        ExportedDataset.open(dataset, ["trian"])


def test_the_identity_follows_content_and_order(copied: Path) -> None:
    before = ExportedDataset.open(copied).identity
    shards = json.loads((copied / "manifest.json").read_text())["shards"]
    edited(copied, shards=shards[::-1])  # the manifest's order does not matter, the shards' names do
    assert ExportedDataset.open(copied).identity == before
    shards[0]["sha256"], shards[1]["sha256"] = shards[1]["sha256"], shards[0]["sha256"]
    edited(copied, shards=shards)
    assert ExportedDataset.open(copied).identity != before


def test_a_shard_that_is_missing_or_cut_short_is_said(copied: Path) -> None:
    shard = copied / "data" / "train-00001-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(DamagedRunError, match=r"train-00001-of-00002\.parquet: has .* bytes, and the manifest says"):
        ExportedDataset.open(copied)
    shard.unlink()
    with pytest.raises(DamagedRunError, match=r"train-00001-of-00002\.parquet: is missing"):
        ExportedDataset.open(copied)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no manifest of a dataset"),
        ('{"name": "a run", "sources": {}}', "is no manifest of a dataset"),
        (
            '{"name": "x", "shards": [], "schema_version": 99}',
            "has schema version 99, and this .* reads 1 and 2",
        ),
        ('{"name": "x", "shards": [{"name": "a"}], "schema_version": 2}', "lacks 'split'"),
        ('{"name": "x", "shards": [3], "schema_version": 2}', "lacks"),
        ('{"name": "x", "shards": [], "schema_version": 2}', "has no document in any split to export"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_said(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=said):
        ExportedDataset.open(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"split": "../../outside"},
        {"split": ".hidden"},
        {"split": ""},
        {"name": "data/-rf me.parquet"},
        {"name": "../copied.parquet"},
        {"name": "/etc/hostname"},
    ],
)
def test_a_manifest_cannot_lead_out_of_the_folders(copied: Path, change: dict[str, str]) -> None:
    shards = json.loads((copied / "manifest.json").read_text())["shards"]
    edited(copied, shards=[shards[0] | change, *shards[1:]])
    with pytest.raises(InputError, match="has a name that corpusmill never gives"):
        ExportedDataset.open(copied)


def test_two_shards_of_one_name_are_refused(copied: Path) -> None:
    shards = json.loads((copied / "manifest.json").read_text())["shards"]
    edited(copied, shards=[*shards, shards[0]])
    with pytest.raises(InputError, match="two shards have the same name"):
        ExportedDataset.open(copied)


def test_a_folder_without_a_dataset_names_those_inside(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no dataset, as it has no manifest\.json; give the folder that"):
        ExportedDataset.open(tmp_path)
    for stage in ("one", "two"):
        shutil.copytree(dataset, tmp_path / "dataset" / stage)
    with pytest.raises(InputError, match=r"did you mean .*/dataset/one or .*/dataset/two\?"):
        ExportedDataset.open(tmp_path)
