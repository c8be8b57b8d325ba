"""A sweep of a run that has ended: prepared, run, resumed, refused. The proxy is the n-gram model."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.documents.errors import InputError, RecipeError, UsageError
from corpusmill.mix.keys import HELD_OUT
from corpusmill.pipeline.executors import LocalExecutor
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import Recipe, load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.sweep_command import status_as_text
from corpusmill.pipeline.sweep_report import report_sweep
from corpusmill.pipeline.sweeping import SweepResult, SweepStatus, run_sweep, sweep_status
from corpusmill.scaling.folds import FOLDS
from corpusmill.scaling.proxies.ngram_proxy import NgramProxy

SYLLABLES = ["ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sta", "ver"]
SWEEP: dict[str, Any] = {
    "pools": {"web": {"sources": ["web"]}},
    "scores": {"length": {"measure": "gopher_quality.words"}},
    "fractions": [0.5],
    "sizes": [4000, 0.9],
    "seeds": 2,
    "heldout": {"share": 0.2, "sources": ["web", "notes"], "max_tokens": 3000},
    "tokenizer": {"vocab_size": 300},
    "proxies": {"ngram": {"order": 3}},
}


def sentences(chance: random.Random, count: int) -> str:
    """Sentences of a small language, whose words are of two or three syllables."""

    def word() -> str:
        return "".join(chance.choice(SYLLABLES) for _ in range(chance.randint(2, 3)))

    return " ".join(f"{word().capitalize()} {word()} {word()}." for _ in range(count))


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalExecutor]:
    """Two processes for all sweeps here: to start them takes longer than to sweep."""
    with closing(LocalExecutor(2)) as executor:
        yield executor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, workers: LocalExecutor) -> Path:
    """A run of two sources that has ended."""
    chance = random.Random(11)
    folder = tmp_path_factory.mktemp("swept")
    web = [
        {"id": f"w{n}", "text": sentences(chance, chance.randint(10, 30)), "language": "en" if n % 9 else "de"}
        for n in range(150)
    ]
    notes = [{"id": f"n{n}", "text": sentences(chance, 20)} for n in range(40)]
    notes.append({"id": "copied", "text": web[0]["text"]})
    for name, rows in (("web", web), ("notes", notes)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = run_recipe(recipe_in(folder, {}), workers, PlainProgress())
    kept = {name: source["documents_out"] for name, source in ended.manifest["sources"].items()}
    assert kept == {"web": 150, "notes": 41}
    return folder


def recipe_in(folder: Path, sweep: Mapping[str, Any]) -> Recipe:
    loose = {"min_words": 1, "min_stop_words": 0, "max_mean_word_length": 30, "min_alphabetic_tokens": 0.5}
    recipe = {
        "name": "swept",
        "seed": 5,
        "runs": str(folder / "runs"),
        "sources": {
            "web": {
                "paths": ["web.jsonl"],
                "stages": [{"gopher_quality": loose}, {"quality": {"languages": ["en"], "min_score": None}}],
            },
            "notes": {"paths": ["notes.jsonl"]},
        },
        **({"sweep": {**SWEEP, **sweep}} if sweep is not None else {}),
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return load_recipe(path)


def sweep_in(folder: Path, workers: LocalExecutor, **changes: Any) -> SweepResult:
    result = run_sweep(recipe_in(folder, changes), workers, PlainProgress())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def swept(folder: Path, workers: LocalExecutor) -> SweepResult:
    """The sweep of `SWEEP`, which has ended."""
    return sweep_in(folder, workers)


@pytest.fixture
def copied(folder: Path, workers: LocalExecutor, swept: SweepResult) -> Callable[[str], Path]:
    """Makes another sweep, which has ended as `swept` did, and of which no cell was trained again."""

    def copy(name: str) -> Path:
        shutil.copytree(swept.folder, swept.folder.parent / name)
        prepared = run_sweep(recipe_in(folder, {"name": name}), workers, PlainProgress(), dry_run=True)
        assert prepared is not None
        return prepared.folder

    return copy


def test_a_sweep_gives_a_row_for_every_cell(swept: SweepResult) -> None:
    assert swept.exit_code == 0
    table = pq.read_table(swept.folder / "cells.parquet")
    rows = table.to_pylist()
    sizes = sorted(set(table["size"].to_pylist()))
    assert sizes[0] == 4000
    asked = {
        (score, fraction, size, seed)
        for score, fraction in [("all", 1.0), ("length", 0.5), ("random", 0.5)]
        for size in sizes
        for seed in (0, 1)
    }
    assert {(row["score"], row["fraction"], row["size"], row["seed"]) for row in rows} == asked
    for row in rows:
        assert row["proxy"] == "ngram"
        assert row["parameters"] is None
        assert abs(row["kept_tokens"] - row["fraction"] * row["pool_tokens"]) < 400
        assert row["train_tokens"] == row["kept_tokens"]
        assert row["loss"] == pytest.approx((row["loss.web"] + row["loss.notes"]) / 2)
        assert 0.5 < row["loss"] < 8
    everything = {(row["size"], row["seed"]): row["loss"] for row in rows if row["score"] == "all"}
    assert all(everything[sizes[1], seed] < everything[sizes[0], seed] for seed in (0, 1)), "more data, less loss"
    told = json.loads((swept.folder / "sweep.json").read_text())
    assert told["asked"] == len(told["cells"]) == 12
    assert told["grid"]["weights"] == {"web": {"web": 0.5, "notes": 0.5}}
    documents = pq.read_table(swept.folder / "documents.parquet")
    notes = documents.filter(pc.and_(pc.equal(documents["source"], "notes"), pc.equal(documents["split"], HELD_OUT)))
    assert told["heldout"]["notes"]["documents"] == len(notes)
    assert told["heldout"]["notes"]["tokens"] == pc.sum(notes["tokens"]).as_py()
    assert abs(told["heldout"]["web"]["tokens"] - 3000) < 300, "as `max_tokens` has it, in whole documents"
    folds = [min(each["clusters"], FOLDS) for each in told["heldout"].values()]
    assert all([len(domain) for domain in row["heldout_errors"]] == folds for row in rows)
    assert all(0 < np.sum(np.square(np.concatenate(row["heldout_errors"]))) ** 0.5 < row["loss"] / 4 for row in rows)


def test_longer_documents_are_what_the_score_keeps(swept: SweepResult) -> None:
    rows = pq.read_table(swept.folder / "cells.parquet").to_pylist()
    documents = {(row["score"], row["size"], row["seed"]): row["kept_documents"] for row in rows}
    for (score, size, seed), count in documents.items():
        if score == "length":
            assert count < documents["random", size, seed] < documents["all", size, seed]


def test_a_second_run_trains_nothing(folder: Path, workers: LocalExecutor, swept: SweepResult) -> None:
    markers = {path: path.stat().st_mtime_ns for path in (swept.folder / "tasks").glob("*.json")}
    assert len(markers) == 12
    sweep_in(folder, workers)
    assert {path: path.stat().st_mtime_ns for path in markers} == markers
    assert "ngram: 12 of 12 cells done" in status_as_text(sweep_status(recipe_in(folder, {})))


def test_only_what_changed_is_run_again(folder: Path, workers: LocalExecutor, copied: Callable[[str], Path]) -> None:
    gone, *kept = sorted((copied("changing") / "tasks").glob("*.json"))
    written = [path.stat().st_mtime_ns for path in kept]
    gone.unlink()

    def status(**changes: Any) -> SweepStatus:
        return sweep_status(recipe_in(folder, {"name": "changing", **changes}))

    assert status().cells == {"ngram": (11, 12)}
    assert status(seeds=3).cells == {"ngram": (11, 18)}
    # Other proxies are other cells; what is held out is another table of documents.
    assert status(proxies={"ngram": {"order": 2}}).cells == {"ngram": (0, 12)}
    assert status(proxies={"ngram": {"order": 2}}).others == 11
    assert status(heldout={**SWEEP["heldout"], "share": 0.3}).missing == "scaling: tokenizer"
    sweep_in(folder, workers, name="changing")
    assert gone.exists()
    assert [path.stat().st_mtime_ns for path in kept] == written


def test_another_score_or_weight_trains_no_cell_again(
    folder: Path, workers: LocalExecutor, copied: Callable[[str], Path]
) -> None:
    before = losses_in(copied("growing"))
    more = {"length": {"measure": "gopher_quality.words"}, "tokens": {"measure": "tokens", "keep": "low"}}
    weights = {**SWEEP["heldout"], "weights": {"notes": 3, "web": 1}}
    result = sweep_in(folder, workers, name="growing", scores=more, heldout=weights)
    trained = {path.stem.split("-")[3] for path in (result.folder / "tasks").glob("*.json")}
    assert trained == {"all", "length", "random", "tokens"}
    assert len(list((result.folder / "tasks").glob("*.json"))) == 16
    rows = pq.read_table(result.folder / "cells.parquet").to_pylist()
    assert len(rows) == 16
    for row in rows:
        assert row["loss"] == pytest.approx((row["loss.web"] + 3 * row["loss.notes"]) / 4)
    assert set(before) <= set(losses_in(result.folder))
    # The first recipe finds its own cells again.
    again = sweep_status(recipe_in(folder, {"name": "growing"}))
    assert again.cells in ({"ngram": (12, 12)}, {}), "prepared, or its table of documents has to be written again"
    sweep_in(folder, workers, name="growing")
    assert len(list((result.folder / "tasks").glob("*.json"))) == 16


def losses_in(folder: Path) -> list[tuple[Any, ...]]:
    rows = pq.read_table(folder / "cells.parquet").to_pylist()
    return [(row["score"], row["fraction"], row["size"], row["seed"], row["loss.web"]) for row in rows]


def test_what_is_done_of_a_stopped_sweep_can_be_collected(folder: Path, copied: Callable[[str], Path]) -> None:
    stopped = copied("stopped")
    for path in ("cells.parquet", "sweep.json"):
        (stopped / path).unlink()
    for marker in sorted((stopped / "tasks").glob("*.json"))[:5]:
        marker.unlink()
    assert report_sweep(recipe_in(folder, {"name": "stopped"})).analysis["panels"]
    assert len(pq.read_table(stopped / "cells.parquet")) == 7
    told = json.loads((stopped / "sweep.json").read_text())
    assert (told["asked"], len(told["cells"])) == (12, 7)
    assert told["grid"]["seeds"] == [0, 1]
    assert told["grid"]["treatments"] == [["all", 1.0], ["length", 0.5], ["random", 0.5]]
    assert told["grid"]["pool_tokens"]["web"] > max(told["grid"]["sizes"])


def test_results_stay_where_somebody_only_looks_and_would_train_other_cells(
    folder: Path, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = copied("elsewhere")
    before = (elsewhere / "cells.parquet").read_bytes()
    monkeypatch.setattr(NgramProxy, "identity", lambda self: {"device": "another"})
    results = report_sweep(recipe_in(folder, {"name": "elsewhere"}))
    assert (elsewhere / "cells.parquet").read_bytes() == before
    [remark] = results.remarks
    assert remark.startswith("12 of these cells are not what would be trained here")
    monkeypatch.undo()
    assert report_sweep(recipe_in(folder, {"name": "elsewhere"})).remarks == ()


def test_a_sweep_without_a_cell_that_ended_well_leaves_no_older_results(
    folder: Path, workers: LocalExecutor, copied: Callable[[str], Path]
) -> None:
    calls = folder / "calls"
    failing = {"ngram": {"kind": "command", "command": f"sh -c 'echo x >> {calls}; exit 3' {{dataset}} {{out}}"}}
    copied("failing")
    result = sweep_in(folder, workers, name="failing", proxies=failing)
    assert result.exit_code == 3
    assert len(result.failed) == 12
    assert calls.read_text().count("x") == 12, "what refuses is not tried twice"
    assert not any(
        (result.folder / name).exists() for name in ("cells.parquet", "analysis.json", "plots", "sweep.json")
    )


def test_any_number_of_workers_gives_the_same_losses(folder: Path, swept: SweepResult) -> None:
    def losses(result: SweepResult) -> list[tuple[Any, ...]]:
        rows = pq.read_table(result.folder / "cells.parquet").to_pylist()
        return [tuple(value for key, value in row.items() if key != "seconds") for row in rows]

    with closing(LocalExecutor(1)) as alone:
        assert losses(sweep_in(folder, alone, name="alone")) == losses(swept)


def test_the_cost_is_told_before_a_cell_is_run(folder: Path, workers: LocalExecutor) -> None:
    seen: list[Any] = []
    recipe = recipe_in(folder, {"name": "dry"})
    result = run_sweep(recipe, workers, PlainProgress(), dry_run=True, tell=seen.extend)
    assert result is not None
    assert not result.ran
    [cost] = seen
    assert (cost.proxy, cost.cells) == ("ngram", 12)
    assert not (result.folder / "tasks").exists()


def test_no_document_is_both_held_out_and_trained_on(folder: Path, swept: SweepResult) -> None:
    documents = pq.read_table(swept.folder / "documents.parquet")
    held = documents.filter(pc.equal(documents["split"], 2))
    assert 20 <= len(held) <= 60
    # "copied" has the text of w0: they are of one cluster, and so of one side.
    sides = {row["id"]: row["split"] for row in documents.to_pylist()}
    ids = pq.read_table(next((folder / "runs/swept/web/curated").glob("*.parquet")), columns=["id", "text"]).to_pylist()
    notes = pq.read_table(next((folder / "runs/swept/notes/curated").glob("*.parquet")), columns=["id", "text"])
    twins = {row["text"]: row["id"] for row in ids}
    pairs = [(row["id"], twins[row["text"]]) for row in notes.to_pylist() if row["text"] in twins]
    assert len(pairs) == 1
    assert all(sides[one] == sides[other] for one, other in pairs)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"scores": {"q": {"measure": "quality.score"}}},
            InputError,
            r"scores.q: quality.score is null for \d+ of 150",
        ),
        ({"scores": {"q": {"measure": "qualty.score"}}}, RecipeError, "did you mean 'quality.score'"),
        ({"scores": {"q": {"measure": "url"}}}, RecipeError, "'url' is no number"),
        ({"pools": {"web": {"sources": ["wep"]}}}, RecipeError, "'wep' is no source of the recipe"),
        (
            {"pools": {"web": {"sources": ["web"], "where": "wurds > 3"}}},
            RecipeError,
            r"sweep.pools.web.where: .*wurds",
        ),
        ({"heldout": {"whole": ["notes"]}}, InputError, "1 of 41 documents of notes have near-copies in the pools"),
        ({"heldout": {"whole": ["web"]}}, RecipeError, "web is held out entirely and trained on"),
        ({"sizes": [1000, 10_000_000]}, RecipeError, r"10,000,000 tokens, and the pool web has \d\d,\d{3} to train on"),
        ({"proxies": {"n": {"kind": "ngramm"}}}, RecipeError, 'did you mean "ngram"'),
        ({"proxies": {"ngram": {"ordr": 3}}}, RecipeError, 'proxies.ngram: unknown key "ordr"; did you mean "order"'),
        ({"tokenizer": {"vocab_size": 30_000}}, InputError, r"sweep.tokenizer: vocab_size: .* support"),
        ({"tokenizer": {"vocab_size": 10}}, RecipeError, "sweep.tokenizer: vocab_size: 10 cannot be trained; all"),
        ({"tokenizer": {"sample_bytes": 0}}, RecipeError, "tokenizer.sample_bytes: 0 must be at least 1"),
        (
            {"proxies": {"ours": {"kind": "command", "command": "nosuch {dataset} {out}"}}},
            InputError,
            r"^recipe.yaml: sweep.proxies.ours: command: 'nosuch' is not found",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused(
    folder: Path, workers: LocalExecutor, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sweep_in(folder, workers, name="refused", **changes)


def test_a_held_out_set_that_is_empty_is_refused_before_the_cost_is_told(folder: Path, workers: LocalExecutor) -> None:
    recipe = recipe_in(folder, {"name": "refused", "heldout": {"share": 0.0002}})
    with pytest.raises(InputError, match=r"no document of web is held out; raise heldout.share \(0.0002\)"):
        run_sweep(recipe, workers, PlainProgress(), dry_run=True)


def test_a_run_that_has_not_ended_is_not_swept(folder: Path, workers: LocalExecutor, tmp_path: Path) -> None:
    for name in ("web", "notes"):
        (tmp_path / f"{name}.jsonl").write_text((folder / f"{name}.jsonl").read_text())
    with pytest.raises(UsageError, match="first `corpusmill run"):
        sweep_in(tmp_path, workers)


def test_a_recipe_without_a_sweep_says_so(folder: Path, workers: LocalExecutor) -> None:
    path = folder / "plain.yaml"
    path.write_text(yaml.safe_dump({"name": "swept", "sources": {"web": {"paths": ["web.jsonl"]}}}))
    with pytest.raises(RecipeError, match="has no `sweep`; name pools"):
        run_sweep(load_recipe(path), workers, PlainProgress())


def test_a_sweep_may_stand_in_a_file_of_its_own(folder: Path, workers: LocalExecutor) -> None:
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, "sizes": [0.5, 1.0]}))
    result = run_sweep(recipe_in(folder, {}), workers, PlainProgress(), file=path)
    assert result is not None
    assert result.folder.name == "other"
    assert len(pq.read_table(result.folder / "cells.parquet")) == 12


def test_losses_of_a_pool_are_of_its_own_sources_and_other_weights_train_no_cell_again(
    folder: Path, workers: LocalExecutor
) -> None:
    def losses(**weights: Any) -> list[dict[str, Any]]:
        pools = {"web": {"sources": ["web"], **weights}, "notes": {"sources": ["notes"]}}
        few = {"scores": {}, "sizes": [2000], "seeds": 1, "heldout": {"share": 0.2}}
        result = sweep_in(folder, workers, name="pools", pools=pools, **few)
        assert len(list((result.folder / "tasks").glob("*.json"))) == 4
        rows = pq.read_table(result.folder / "cells.parquet").to_pylist()
        return sorted(rows, key=lambda row: (row["pool"], row["score"]))

    *notes, everything, chance = losses()
    assert [row["loss"] for row in notes] == [row["loss.notes"] for row in notes]
    assert [row["loss"] for row in (everything, chance)] == [row["loss.web"] for row in (everything, chance)]
    *_, weighted = losses(weights={"web": 1, "notes": 3})
    assert weighted["seconds"] == chance["seconds"]
    assert weighted["loss"] == pytest.approx((chance["loss.web"] + 3 * chance["loss.notes"]) / 4)
