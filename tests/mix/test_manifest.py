from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.shards import ContentHash
from corpusmill.mix.card import HUB_LICENSES, hub_licenses, size_category
from corpusmill.mix.manifest import finish, publish
from corpusmill.mix.markdown import escaped
from corpusmill.mix.options import MixOptions
from corpusmill.mix.quality_score import QualityScore
from corpusmill.mix.table import mix_table
from tests.mix.conftest import Built, make_documents, scored


@pytest.fixture(scope="module")
def quality(mixed: Built, tmp_path_factory: pytest.TempPathFactory) -> QualityScore:
    return scored(mixed, tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="module")
def finished(mixed: Built, quality: QualityScore) -> dict[str, Any]:
    return finish(
        mixed.folder, mixed.options, mixed.selection, mixed.shards[::-1], quality.as_dict(), {"recipe": {"name": "abc"}}
    )


def front_matter(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front)


def test_sha256sum_confirms_every_file(mixed: Built, finished: dict[str, Any]) -> None:
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=mixed.folder, check=True, capture_output=True, text=True
    )
    files = {str(path.relative_to(mixed.folder)) for path in mixed.folder.rglob("*") if path.is_file()}
    assert {line.removesuffix(": OK") for line in checked.stdout.splitlines()} == files - {"SHA256SUMS"}


def test_the_manifest_says_what_the_shards_hold(mixed: Built, finished: dict[str, Any]) -> None:
    assert json.loads((mixed.folder / "manifest.json").read_text()) == json.loads(json.dumps(finished))
    content = ContentHash()
    for shard in finished["shards"]:
        table = pq.read_table(mixed.folder / shard["name"])
        assert shard["rows"] == len(table)
        assert shard["sha256"] == hashlib.sha256((mixed.folder / shard["name"]).read_bytes()).hexdigest()
        content.add(table.column("id").combine_chunks(), table.column("text").combine_chunks())
    assert finished["content_hash"] == str(content)
    assert [shard["name"] for shard in finished["shards"]] == sorted(shard["name"] for shard in finished["shards"])
    assert finished["splits"]["train"]["rows"] == len(mixed.rows())
    assert finished["splits"]["train"]["units"] == mixed.selection.units
    assert finished["recipe"] == {"name": "abc"}
    assert sum(sum(counts.values()) for counts in finished["licenses"].values()) == sum(
        shard.rows for shard in mixed.shards
    )
    assert sum(component["achieved_ratio"] for component in finished["components"]) == pytest.approx(1)
    assert finished["options"]["ratios"] == mixed.options.ratios
    assert finished["quality"]["q"] < 1


def test_the_manifest_is_the_same_however_often_it_is_written(
    mixed: Built, finished: dict[str, Any], quality: QualityScore
) -> None:
    before = (mixed.folder / "SHA256SUMS").read_bytes()
    finish(mixed.folder, mixed.options, mixed.selection, mixed.shards, quality.as_dict(), {"recipe": {"name": "abc"}})
    assert (mixed.folder / "SHA256SUMS").read_bytes() == before


def test_the_cards_front_matter_has_what_the_hub_reads(mixed: Built, finished: dict[str, Any]) -> None:
    front = front_matter(mixed.folder)
    rows, held = len(mixed.rows()), len(mixed.rows("validation"))
    assert front["configs"] == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "validation", "path": "data/validation-*.parquet"},
            ],
        }
    ]
    for entry in front["configs"][0]["data_files"]:
        assert list(mixed.folder.glob(entry["path"]))
    assert front["task_categories"] == ["text-generation"]
    assert front["size_categories"] == [size_category(rows + held)] == ["1K<n<10K"]
    assert front["license"] == ["cc-by-4.0", "mit", "unknown"]
    assert front["language"] == ["de", "en"] or front["language"] == ["en", "de"]
    assert {split["name"]: split["num_examples"] for split in front["dataset_info"]["splits"]} == {
        "train": rows,
        "validation": held,
    }
    features = {feature["name"]: feature["dtype"] for feature in front["dataset_info"]["features"]}
    assert features == {
        **dict.fromkeys(["text", "id", "source", "url", "language", "license"], "string"),
        **dict.fromkeys(["language_score", "quality"], "float32"),
        "n_tokens": "int32",
    }
    assert front["dataset_info"]["download_size"] == sum(
        path.stat().st_size for path in (mixed.folder / "data").iterdir()
    )


def test_the_card_shows_the_mix_and_the_score(mixed: Built, finished: dict[str, Any], quality: QualityScore) -> None:
    text = (mixed.folder / "README.md").read_text()
    for row in mix_table(mixed.selection):
        assert f"| {row.component} | {100 * row.asked:.2f} | {100 * row.achieved:.2f} | {row.units:,} |" in text
    assert f"Q = {quality.q:.3f}." in text
    assert "estimated tokens (UTF-8 bytes / 4)" in text


def test_hostile_names_stay_text(builder: Callable[..., Built]) -> None:
    documents = [
        document | {"license": "x |\n# <script>alert(1)</script>", "language": "e: [n", "source": "web"}
        for document in make_documents("web", 30)
    ]
    options = MixOptions(ratios={"web": 1.0}, validation=0, name="a: [b]\n---\n# <b>c</b>")
    built = builder({"web": documents}, options)
    finish(built.folder, options, built.selection, built.shards)
    front = front_matter(built.folder)
    assert front["pretty_name"] == "a: [b] --- # <b>c</b>"
    assert front["license"] == "other"
    assert "language" not in front
    body = (built.folder / "README.md").read_text().split("---\n", 2)[2]
    assert "<script>" not in body.replace(r"\<script\>", "")
    assert "| x \\| \\# \\<script\\>alert(1)\\</script\\> | 30 |" in body
    assert "Not scored." in body


def test_croissant_lists_every_shard_with_its_sum_and_every_column(mixed: Built, finished: dict[str, Any]) -> None:
    data = json.loads((mixed.folder / "croissant.json").read_text())
    assert data["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert data["@type"] == "sc:Dataset"
    files = {item["@id"]: item for item in data["distribution"] if item["@type"] == "cr:FileObject"}
    assert {name: item["sha256"] for name, item in files.items()} == {s.name: s.sha256 for s in mixed.shards}
    assert all((mixed.folder / item["contentUrl"]).is_file() for item in files.values())
    sets = {item["@id"]: item for item in data["distribution"] if item["@type"] == "cr:FileSet"}
    columns = pq.read_schema(mixed.folder / mixed.shards[0].name).names
    for record_set, split in zip(data["recordSet"], ("train", "validation"), strict=True):
        assert record_set["@id"] == split
        assert [field["source"]["extract"]["column"] for field in record_set["field"]] == columns
        for field in record_set["field"]:
            pattern = sets[field["source"]["fileSet"]["@id"]]["includes"]
            assert {str(path.relative_to(mixed.folder)) for path in mixed.folder.glob(pattern)} == {
                shard.name for shard in mixed.shards if shard.split == split
            }


def test_a_missing_shard_or_another_count_ends_with_a_message(mixed: Built, tmp_path: Path) -> None:
    with pytest.raises(DamagedRunError, match=r"0 of \d+ shards are there, missing \['data/train-00000"):
        finish(tmp_path, mixed.options, mixed.selection, mixed.shards)
    wrong = [replace(mixed.shards[0], rows=mixed.shards[0].rows + 1), *mixed.shards[1:]]
    with pytest.raises(DamagedRunError, match=r"the train split has [\d,]+ documents, and [\d,]+ were selected"):
        finish(mixed.folder, mixed.options, mixed.selection, wrong)


def test_licences_are_the_hubs() -> None:
    assert hub_licenses(Counter({"Apache-2.0": 1})) == {"license": "apache-2.0"}
    assert hub_licenses(Counter({"": 1})) == {"license": "unknown"}
    assert hub_licenses(Counter({"GPL-2.0-only": 1, "ODC-By-1.0": 1, "MIT AND X": 1})) == {
        "license": ["gpl-2.0", "odc-by", "other"]
    }
    assert hub_licenses(Counter()) == {"license": "unknown"}
    assert {"cc-by-nc-4.0", "cc-by-nd-4.0", "agpl-3.0", "unlicense"} <= HUB_LICENSES


def test_escaping_keeps_one_line_and_its_length() -> None:
    assert escaped("a|b\n`c`") == r"a\|b \`c\`"
    assert len(escaped("x" * 1000)) == 200


def make_dataset(folder: Path, content: str) -> Path:
    (folder / "data").mkdir(parents=True)
    for name in ("manifest.json", "data/train-00000-of-00001.parquet", "SHA256SUMS"):
        (folder / name).write_text(content)
    return folder


def whole(folder: Path) -> str:
    """The content of a dataset that has all its files from one writing."""
    (content,) = {path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert len(list(folder.rglob("*"))) == 4
    return content


def test_publishing_replaces_the_older_dataset(tmp_path: Path) -> None:
    final = make_dataset(tmp_path / "dataset", "old")
    publish(make_dataset(tmp_path / ".dataset-1", "new"), final)
    assert whole(final) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    publish(tmp_path / ".dataset-1", final)  # what a rerun does
    assert whole(final) == "new"


@pytest.mark.parametrize("moment", range(6))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_moment_leaves_a_whole_dataset_or_a_rerun_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, when: str
) -> None:
    final = make_dataset(tmp_path / "dataset", "old")
    make_dataset(tmp_path / ".dataset-1-retired", "older")  # what an earlier kill left
    building = make_dataset(tmp_path / ".dataset-1", "new")
    steps = iter(range(100))

    def killed_at_the_moment(function: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: Any, **keywords: Any) -> None:
            now = next(steps) == moment
            if now and when == "before":
                raise KeyboardInterrupt
            function(*arguments, **keywords)
            if now:
                raise KeyboardInterrupt

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed_at_the_moment(os.rename))
        patch.setattr(shutil, "rmtree", killed_at_the_moment(shutil.rmtree))
        try:
            publish(building, final)
            assert moment >= 4  # there are four such steps
        except KeyboardInterrupt:
            assert (final.exists() and whole(final) in ("old", "new")) or whole(building) == "new"
    publish(building, final)
    assert whole(final) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_publishing_refuses_what_is_not_finished_and_what_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(DamagedRunError, match="there is no finished dataset here, nor at"):
        publish(tmp_path / "none", tmp_path / "dataset")
    (tmp_path / "half").mkdir()
    with pytest.raises(DamagedRunError, match="has no SHA256SUMS, so it is not finished"):
        publish(tmp_path / "half", tmp_path / "dataset")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.tex").write_text("mine")
    building = make_dataset(tmp_path / ".dataset-1", "new")
    with pytest.raises(UsageError, match="is in the way of the dataset and is none itself; move it elsewhere"):
        publish(building, tmp_path / "dataset")
    assert (tmp_path / "dataset" / "thesis.tex").read_text() == "mine"
