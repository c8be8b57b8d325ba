"""Other datasets of a run that has ended: planned, mixed elsewhere, with slices, groups, stages and held-out sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import RecipeError, ShortSourceError, UsageError
from corpusmill.pipeline.executors import LocalExecutor
from corpusmill.pipeline.mix_command import plan_as_text, plan_mix
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import Recipe, load_recipe
from corpusmill.pipeline.run import mix_recipe, run_recipe

WORDS = [
    "river",
    "stone",
    "letter",
    "garden",
    "window",
    "market",
    "summer",
    "bridge",
    "harbour",
    "mountain",
    "teacher",
    "station",
]
RECIPE = """
name: small
sources:
  web:
    paths: [web.jsonl]
    license: CC0-1.0
    stages: [{gopher_quality: {min_words: 5, min_stop_words: 0, max_mean_word_length: 30}}]
  code:
    paths: [code.jsonl]
mix:
  ratios: {web: .8, code: .2}
  unit: words
  validation: .1
"""


def sentence(source: str, number: int) -> str:
    """A text that shares no five words in a row with another."""
    return " ".join(f"{WORDS[(number * 7 + place * 5) % 12]}{number}x{place}{source}" for place in range(30))


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(2)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, executor: LocalExecutor) -> Path:
    """A folder with a finished run of 400 and 100 documents. Every tenth page has a near copy."""
    folder = tmp_path_factory.mktemp("mixes")
    with open(folder / "web.jsonl", "w") as stream:
        for number in range(400):
            text = sentence("web", number - number % 10 if number % 10 == 9 else number)
            text = text if number % 10 != 9 else text + " and one more word"
            stream.write(json.dumps({"text": text, "language": ["en", "de", "fr", "en"][number % 4]}) + "\n")
    with open(folder / "code.jsonl", "w") as stream:
        for number in range(100):
            stream.write(json.dumps({"text": sentence("code", number), "license": "MIT"}) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    assert run_recipe(recipe(folder), executor, PlainProgress()).exit_code == 0
    return folder


def recipe(folder: Path, *overrides: str) -> Recipe:
    return replace(load_recipe(folder / "recipe.yaml", overrides), runs=folder / "runs")


def mixed(folder: Path, executor: LocalExecutor, out: Path, *overrides: str) -> list[dict[str, Any]]:
    result = mix_recipe(recipe(folder, *overrides), executor, PlainProgress(), out)
    assert result.exit_code == 0
    return list(result.manifest["mix"]["datasets"])


def rows(dataset: Path, split: str) -> list[dict[str, Any]]:
    return [row for path in sorted(dataset.glob(f"*/{split}-*")) for row in pq.read_table(path).to_pylist()]


def test_another_mix_goes_elsewhere_and_leaves_the_run_as_it_is(
    folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    run = folder / "runs" / "small"
    before = {path: path.read_bytes() for path in (run / "manifest.json", run / "dataset" / "manifest.json")}
    [dataset] = mixed(folder, executor, tmp_path / "even", "mix.ratios={web: .5, code: .5}", "mix.budget=3000")
    assert {path: path.read_bytes() for path in before} == before
    assert [part["achieved_ratio"] for part in dataset["components"]] == pytest.approx([0.5, 0.5], abs=0.01)
    assert sum(row["n_words"] for row in rows(tmp_path / "even", "train")) == pytest.approx(3000, abs=30)
    assert json.loads((tmp_path / "even" / "manifest.json").read_text())["components"][0]["component"] == "code"


def test_no_near_copy_of_a_train_document_is_held_out(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    mixed(folder, executor, tmp_path / "whole", "mix.ratios={web: 1}", "mix.validation=.3", "mix.heldout=.1")
    splits = {split: rows(tmp_path / "whole", split) for split in ("train", "validation", "heldout_web")}
    assert sum(map(len, splits.values())) == 400
    firsts = {split: {" ".join(row["text"].split()[:30]) for row in own} for split, own in splits.items()}
    assert not firsts["train"] & firsts["validation"]
    assert not firsts["train"] & firsts["heldout_web"]
    assert not firsts["validation"] & firsts["heldout_web"]
    together = [text for own in splits.values() for text in (" ".join(row["text"].split()[:30]) for row in own)]
    assert len(set(together)) == 360  # so 40 documents are near copies, each with its own in one split


def test_slices_by_measures_and_groups_by_language(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    [dataset] = mixed(
        folder,
        executor,
        tmp_path / "sliced",
        'mix.slices={long: {source: web, where: "gopher_quality.words > 32"}}',
        "mix.ratios={long: .05, web: {share: .75, by: language, balance: temperature, temperature: 1000}, code: .2}",
        "mix.budget=4000",
    )
    achieved = {part["component"]: part["achieved_ratio"] for part in dataset["components"]}
    assert achieved == pytest.approx(
        {"code": 0.2, "long": 0.05, "web/de": 0.25, "web/en": 0.25, "web/fr": 0.25}, abs=0.01
    )
    for row in rows(tmp_path / "sliced", "train"):
        assert (len(row["text"].split()) > 32) == (row["component"] == "long")
        if row["component"].startswith("web/"):
            assert row["component"] == f"web/{row['language']}"


def test_stages_are_datasets_side_by_side_that_share_nothing(
    folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    stages = (
        "mix={unit: words, validation: .1, stages: [{name: first, budget: 5000, ratios: {web: .9, code: .1}}, "
        "{name: decay, budget: 2000, ratios: {web: .3, code: .7}}]}"
    )
    datasets = mixed(folder, executor, tmp_path / "staged", stages)
    assert [dataset["stage"] for dataset in datasets] == ["first", "decay"]
    ids = [{row["id"] for split in ("train", "validation") for row in rows(tmp_path / "staged" / stage, split)}
           for stage in ("first", "decay")]  # fmt: skip
    assert not ids[0] & ids[1]
    assert all(ids)


def test_a_run_that_changes_to_stages_and_back_leaves_no_older_dataset(
    folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    stages = "mix={unit: words, stages: [{name: first, budget: 2000, ratios: {web: 1}}]}"
    dataset = tmp_path / "runs" / "small" / "dataset"
    for overrides, there in ([stages], {"first"}), ([], {"data", "manifest.json"}), ([stages], {"first"}):
        again = replace(load_recipe(folder / "recipe.yaml", overrides), runs=tmp_path / "runs")
        assert run_recipe(again, executor, PlainProgress()).exit_code == 0
        names = {path.name for path in dataset.iterdir()}
        assert there <= names
        assert ("data" in names) == ("data" in there)
        assert not [name for name in names if name.startswith(".")]


def test_a_plan_says_what_the_mix_then_holds(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    asked = ("mix.ratios={web: {share: .6, by: language}, code: .4}", "mix.budget=3000")
    estimated = plan_mix(recipe(folder, *asked))
    assert not estimated.counted
    [dataset] = mixed(folder, executor, tmp_path / "planned", *asked)
    planned = plan_mix(recipe(folder, *asked))
    assert planned.counted
    for row in planned.datasets[0].rows:
        [part] = [part for part in dataset["components"] if part["component"] == row["component"]]
        assert row["available"] == part["available_units"]
        assert row["asked"] == pytest.approx(part["ratio"])
        assert row["units"] == pytest.approx(part["units"], abs=20)
        assert row["epochs"] == pytest.approx(part["epochs"], abs=0.1)
    for rough, row in zip(estimated.datasets[0].rows, planned.datasets[0].rows, strict=True):
        assert rough["component"] == row["component"]
        assert rough["available"] == pytest.approx(row["available"], rel=2)  # its words are long
    text = plan_as_text(planned)
    assert text.startswith("3,000 words\n")
    assert "web/de" in text
    assert "estimated from bytes" in plan_as_text(estimated)


def test_a_plan_fails_as_the_mix_would(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    with pytest.raises(ShortSourceError, match=r"code: asked 10,000 \(50 %\), there are"):
        plan_mix(recipe(folder, "mix.ratios={web: .5, code: .5}", "mix.budget=20000"))
    with pytest.raises(ShortSourceError, match=r"code: asked 10,000 \(50 %\), there are"):
        mixed(folder, executor, tmp_path / "short", "mix.ratios={web: .5, code: .5}", "mix.budget=20000")
    assert not (tmp_path / "short").exists()


def test_a_denied_licence_stops_the_mix(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"code: 100 documents have 'MIT' \(denied by 'MIT'\)"):
        mixed(folder, executor, tmp_path / "denied", "mix.licenses={deny: [MIT]}")
    assert mixed(folder, executor, tmp_path / "web", "mix.licenses={deny: [MIT]}", "mix.ratios={web: 1}")


@pytest.mark.parametrize("overrides", [("sources.web.stages.gopher_quality.min_words=31",), ("mix=null",)])
def test_what_has_not_been_run_is_not_mixed(
    folder: Path, executor: LocalExecutor, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match=r"has not been done yet|has no `mix`"):
        mixed(folder, executor, tmp_path / "none", *overrides)
    with pytest.raises(UsageError, match=r"has not been done yet|has no `mix`"):
        plan_mix(recipe(folder, *overrides))


def test_the_same_mix_is_found_and_fresh_makes_it_anew(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    out = tmp_path / "again"
    mixed(folder, executor, out, "mix.budget=2000")
    shard = next(out.glob("data/train-*"))
    before = shard.stat().st_mtime_ns, shard.read_bytes()
    mixed(folder, executor, out, "mix.budget=2000")
    assert (shard.stat().st_mtime_ns, shard.read_bytes()) == before
    mix_recipe(recipe(folder, "mix.budget=2000"), executor, PlainProgress(), out, fresh=True)
    assert shard.stat().st_mtime_ns > before[0]
    assert shard.read_bytes() == before[1]


def test_a_folder_of_somebody_else_is_not_overwritten(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is in the way of the dataset and is none itself; move it elsewhere"):
        mixed(folder, executor, tmp_path / "mine", "mix.budget=2000")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_two_mixes_of_one_run_do_not_remove_each_other(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    [one] = mixed(folder, executor, tmp_path / "one", "mix.budget=1000")
    [two] = mixed(folder, executor, tmp_path / "two", "mix.budget=2000")
    ids = [{row["id"] for row in rows(tmp_path / name, "train")} for name in ("one", "two")]
    assert ids[0] < ids[1]  # a larger budget contains a smaller one
    assert one["content_hash"] != two["content_hash"]


def test_what_lies_beside_a_dataset_is_nobody_elses_to_remove(
    folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    (tmp_path / ".even-mine").mkdir()
    (tmp_path / ".even-mine" / "thesis.txt").write_text("years of work")
    (tmp_path / ".even-notes").write_text("more work")
    mixed(folder, executor, tmp_path / "even", "mix.budget=1000")
    assert (tmp_path / ".even-mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".even-mine", ".even-notes", "even"]


def test_a_mix_that_cannot_be_leaves_the_older_dataset(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    mixed(folder, executor, tmp_path / "kept", "mix.budget=1000")
    before = (tmp_path / "kept" / "manifest.json").read_bytes()
    impossible = "mix={unit: words, stages: [{name: first, budget: 900_000_000, ratios: {web: 1}}]}"
    with pytest.raises(ShortSourceError):
        mixed(folder, executor, tmp_path / "kept", impossible)
    assert (tmp_path / "kept" / "manifest.json").read_bytes() == before


def test_stages_take_the_place_of_a_single_dataset_elsewhere_too_and_back(
    folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stages = "mix={unit: words, stages: [{name: first, budget: 900, ratios: {web: 1}}]}"
    for overrides, there in (["mix.budget=1000"], "data"), ([stages], "first"), (["mix.budget=1000"], "data"):
        mixed(folder, executor, out, *overrides)
        names = {path.name for path in out.iterdir()}
        assert there in names
        assert len({"data", "first"} & names) == 1


def test_a_card_that_was_removed_is_written_again(folder: Path, executor: LocalExecutor, tmp_path: Path) -> None:
    mixed(folder, executor, tmp_path / "out", "mix.budget=1000")
    (tmp_path / "out" / "README.md").unlink()
    mixed(folder, executor, tmp_path / "out", "mix.budget=1000")
    assert (tmp_path / "out" / "README.md").is_file()
