"""`corpusmill budget`, as a person and a machine meet it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from corpusmill.documents.errors import InputError
from corpusmill.pipeline.budget_command import Options, budget, dataset_tokens, rows_between
from corpusmill.pipeline.command import app

ISSUE = ["--params", "7e9", "--inference-tokens", "2e12", "--unique-tokens", "5e11", "--q", ".8"]


def answer(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["budget", *arguments])
    return result.exit_code, result.stdout, result.stderr


def told(*arguments: str) -> dict[str, Any]:
    code, out, error = answer(*arguments, "--json")
    assert code == 0, error
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def manifest(folder: Path, unit: str = "tokens", **changes: Any) -> Path:
    components = [{"component": "a", "unique_units": 300_000_000}, {"component": "b", "unique_units": 200_000_000}]
    content = {
        "unit_name": unit,
        "options": {"unit": unit},
        "components": components,
        "quality": {"q": 0.6, "epochs": 0.25},
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


def test_the_issues_question_is_answered_in_a_hundred_columns_with_every_part() -> None:
    code, out, error = answer(*ISSUE, "--hardware", "h100", "--price", "2.5", "--gpus", "1024", "--table")
    assert code == 0, error
    assert max(len(line) for line in out.splitlines()) <= 100
    for part in ("Model", "Data", "Training cost", "Verdict", "days on 1,024", "MWh", "money"):
        assert part in out
    for source in ("2203.15556", "2404.10102", "2401.00448", "2305.16264", "2510.03313", "data sheet"):
        assert source in out
    assert "besiroglu, with inference" in out
    assert "hoffmann, optimal" in out
    assert "Extrapolated" in out
    assert "Assumed: --utilisation 0.4 (of the peak) and --pue 1.2." in out


def test_json_has_the_same_numbers() -> None:
    found = told(*ISSUE, "--hardware", "h100", "--range", "1B:10B")
    assert [(plan["law"], plan["kind"]) for plan in found["plans"]] == [
        ("besiroglu", "optimal"),
        ("besiroglu", "with inference"),
        ("hoffmann", "optimal"),
        ("hoffmann", "with inference"),
    ]
    assert set(found["constants"]) == {"besiroglu", "hoffmann"}
    assert found["constants"]["hoffmann"]["alpha"] == 0.34
    assert found["asked"]["unique"] == 5e11
    assert [row["as_good_as"] for row in found["table"]] == [1e9, 2e9, 5e9, 7e9, 1e10]
    assert found["plans"][0]["supply"]["verdict"] == "suffices"
    assert found["plans"][0]["bill"]["hours"] > 0


def test_amounts_can_be_written_in_letters() -> None:
    assert told("--params", "7B", "--inference-tokens", "2T", "--unique-tokens", "500B", "--q", ".8") == told(*ISSUE)


def test_both_may_stand_beside_another_set_of_constants() -> None:
    constants = told("--params", "7B", "--constants", "both,sardana")["constants"]
    assert list(constants) == ["besiroglu", "hoffmann", "sardana"]
    assert list(told("--params", "7B", "--constants", "hoffmann,BOTH")["constants"]) == ["hoffmann", "besiroglu"]


def test_no_inference_may_be_written_in_any_way() -> None:
    for zero in ("0", "0.0", "0T"):
        assert told("--params", "7B", "--inference-tokens", zero) == told("--params", "7B")


def test_the_verdict_is_plain() -> None:
    _, out, _ = answer("--params", "7B", "--tokens", "1T", "--unique-tokens", "400B", "--constants", "besiroglu")
    assert "besiroglu, as asked: the data suffices with 2.50 epochs" in out
    _, out, _ = answer("--params", "7B", "--tokens", "1T", "--unique-tokens", "100B", "--constants", "besiroglu")
    assert "short by 150B unique tokens: 1T would take 10.0 epochs, and 4 are allowed" in " ".join(out.split())
    _, out, _ = answer("--params", "7B", "--tokens", "1T", "--unique-tokens", "100B", "--epochs-max", "10")
    assert "besiroglu, as asked: the data suffices with 10.0 epochs" in out


def test_a_verdict_advises_no_more_epochs_than_are_allowed() -> None:
    asked = ("--params", "7B", "--tokens", "400B", "--constants", "besiroglu", "--unique-tokens")
    flat = " ".join(answer(*asked, "100B")[1].split())
    assert "with 4.00 epochs; the full loss would take 4.34 epochs, more than the 4 allowed" in flat
    flat = " ".join(answer(*asked, "100B", "--epochs-max", "5")[1].split())
    assert "for the full loss of 2.118, train on 434B (4.34 epochs, 1.08 times the FLOPs)" in flat


def test_data_that_no_number_of_epochs_makes_worth_it_does_not_suffice() -> None:
    asked = ("--params", "7B", "--tokens", "400B", "--constants", "besiroglu", "--unique-tokens")
    flat = " ".join(answer(*asked, "500B", "--q", ".01")[1].split())
    assert "as asked: short of quality: after 0.80 epochs it is worth 3.77B of Q 1; no number of epochs" in flat
    flat = " ".join(answer(*asked, "20B", "--epochs-max", "30")[1].split())
    assert "as asked: short of new tokens: after 20.0 epochs it is worth" in flat


def test_a_loss_on_far_too_little_data_is_said_to_be_extrapolated() -> None:
    _, out, _ = answer("--params", "1B", "--unique-tokens", "1M", "--constants", "besiroglu")
    assert "16.4M tokens are 50 times below the least of the fit" in " ".join(out.split())
    assert "this data cannot use so many FLOPs" in out


def test_a_quality_that_is_not_known_is_said_to_be_taken_as_one() -> None:
    assert "Q is not known and taken as 1" in answer("--params", "7B", "--unique-tokens", "1T")[1]
    assert "Q is not known" not in answer("--params", "7B", "--unique-tokens", "1T", "--q", "1")[1]


def test_a_table_alone_needs_no_question_and_names_its_sources() -> None:
    code, out, error = answer("--table", "--unique-tokens", "100B", "--hardware", "b200")
    assert code == 0, error
    assert max(len(line) for line in out.splitlines()) <= 100
    for source in ("2203.15556", "2404.10102", "2305.16264", "2510.03313", "HGX B200 data sheet"):
        assert source in out
    assert "Verdict" not in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("1B ", "100B "))] == ["1B", "100B"] * 2
    assert told("--table")["asked"]["parameters"] is None


def test_an_accelerator_without_published_power_tells_no_energy() -> None:
    _, out, _ = answer("--params", "7B", "--hardware", "tpu-v5p")
    assert "MWh" not in out
    assert "Energy is not told" in out


def test_tokens_and_quality_can_come_from_a_dataset(tmp_path: Path) -> None:
    assert dataset_tokens(manifest(tmp_path)) == (5e8, pytest.approx(0.8), "tokens")
    found = told("--params", "1B", "--dataset", str(tmp_path))
    assert found["asked"]["unique"] == 5e8
    assert found["asked"]["quality"] == pytest.approx(0.8)
    assert "repeated passes" in found["notes"][1]
    assert told("--params", "1B", "--dataset", str(tmp_path), "--q", ".5")["asked"]["quality"] == 0.5
    assert dataset_tokens(manifest(tmp_path, quality=None))[1] is None


def test_a_dataset_that_is_none_or_counts_no_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        dataset_tokens(tmp_path)
    for changes, said in (
        ({"components": 3}, "is no manifest of this version"),
        ({"components": []}, "no tokens for training"),
        ({"quality": {"q": 0.5, "epochs": 1.0}}, "is no manifest"),
    ):
        with pytest.raises(InputError, match=said):
            dataset_tokens(manifest(tmp_path, **changes))
    with pytest.raises(InputError, match="counts words, not tokens"):
        dataset_tokens(manifest(tmp_path, "words"))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="is no manifest"):
        dataset_tokens(tmp_path)


def test_a_sweeps_fractions_stand_beside_the_plan(tmp_path: Path) -> None:
    folder = tmp_path / "scaling" / "s\x1b[1m"
    folder.mkdir(parents=True)
    best = {"size": 10**7, "train_tokens": None, "score": "quality", "fraction": 0.5, "not_distinguishable": []}
    panel = {"pool": "web", "proxy": "ngram", "fractions": [0.5, 1.0], "best": [best]}
    (folder / "analysis.json").write_text(json.dumps({"version": 1, "panels": [panel]}))
    arguments = ("--params", "7B", "--tokens", "1T", "--unique-tokens", "1T", "--run", str(tmp_path))
    code, out, error = answer(*arguments)
    assert code == 0, error
    assert "\x1b" not in out
    assert "epochs, as asked" in out
    flat = " ".join(out.split())
    assert "50 % 500B 2.00 984B best" in flat
    assert "100K times less than what is planned here" in flat
    assert "2404.07177" in flat
    assert "what kept less was trained on less" in flat
    assert told(*arguments)["sweeps"][0]["factor"] == pytest.approx(1e5)


def test_a_sweep_that_is_stale_or_not_whole_is_said_to_be(tmp_path: Path) -> None:
    best = {"size": 10**11, "train_tokens": 10**11, "score": "quality", "fraction": 0.5, "not_distinguishable": []}
    panel = {"pool": "web", "proxy": "ngram", "fractions": [0.5, 1.0], "best": [best]}
    sweeps = {
        "old": ("then", [{}], [panel]),
        "whole": ("now", [{}, {}], [panel, {**panel, "pool": "mail", "best": []}]),
    }
    for name, (run, cells, panels) in sweeps.items():
        folder = tmp_path / "scaling" / name
        folder.mkdir(parents=True)
        (folder / "analysis.json").write_text(json.dumps({"version": 1, "panels": panels}))
        (folder / "sweep.json").write_text(json.dumps({"asked": 2, "cells": cells, "run": run}))
    (tmp_path / "manifest.json").write_text(json.dumps({"content_hash": "now"}))
    arguments = ("--params", "7B", "--tokens", "1T", "--unique-tokens", "1T", "--run", str(tmp_path), "--sweep")
    flat = " ".join(answer(*arguments, "old")[1].split())
    assert "Careful: 1 of 2 cells of this sweep are missing; corpusmill sweep run goes on with them" in flat
    assert "Careful: the run had other documents when it was swept" in flat
    assert "Sweep whole" not in flat
    flat = " ".join(answer(*arguments, "whole")[1].split())
    assert "That sweep is whole (2 cells), and of the run as it is" in flat
    assert "Sweep whole says nothing of mail with ngram: it found no best fraction." in flat
    (panel,) = told(*arguments, "old")["sweeps"]
    assert (panel["cells"], panel["missing_cells"], panel["earlier"]) == (2, 1, True)


def swept(folder: Path, *near: tuple[str, float]) -> str:
    """What is said of 2T tokens on 1T after a sweep whose best is quality at .8, not told apart from `near`."""
    folder = folder / "scaling" / "s"
    folder.mkdir(parents=True)
    best = {"size": 10**11, "train_tokens": 10**11, "score": "quality", "fraction": 0.8}
    best["not_distinguishable"] = [{"score": score, "fraction": kept} for score, kept in (("quality", 0.8), *near)]
    panel = {"pool": "web", "proxy": "ngram", "fractions": [0.6, 0.8, 1.0], "best": [best]}
    (folder / "analysis.json").write_text(json.dumps({"version": 1, "panels": [panel]}))
    _, out, _ = answer("--params", "7B", "--tokens", "2T", "--unique-tokens", "1T", "--run", str(folder.parents[1]))
    return " ".join(out.split())


def test_what_a_sweep_does_not_tell_from_its_best_is_not_called_best(tmp_path: Path) -> None:
    flat = swept(tmp_path / "a", ("quality", 0.6), ("random", 0.8), ("all", 1.0))
    assert "80 % is best by quality; random and keeping all are not told apart from it" in flat
    assert "60 % is within noise by quality" in flat
    assert "the sweep's best" not in flat
    flat = swept(tmp_path / "b", ("random", 0.8))
    assert "80 % is best by quality; random is not told apart from it" in flat
    assert "Keeping 80 %, the sweep's best: besiroglu, as asked: the data suffices with 2.50 epochs" in flat
    assert "told apart" not in swept(tmp_path / "c")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to solve"),
        (["--params", "7X"], "--params: '7X'"),
        (["--params", "-7B"], "--params"),
        (["--params", "7B", "--tokens", "1T", "--flops", "1e21"], "contradicts"),
        (["--params", "7B", "--unique-tokens", "1T", "--q", "80"], "--q: 80.0 is not in"),
        (["--params", "7B", "--q", ".8"], "--q: of which data"),
        (["--params", "7B", "--epochs-max", "2"], "--epochs-max: of which data"),
        (["--params", "7B", "--run", "."], "--run: of which data"),
        (["--params", "7B", "--sweep", "s"], "--sweep s: of which run? give --run"),
        (["--params", "7B", "--hardware", "h10"], "did you mean"),
        (["--params", "7B", "--gpus", "8"], "--gpus: says nothing without --hardware"),
        (["--params", "7B", "--constants", "hofman"], "did you mean hoffmann"),
        (["--params", "7B", "--constants", "gpt"], "there are besiroglu"),
        (["--params", "7,5B"], "write 7.5B"),
        (["--params", "7B", "--constants", "both,gpt"], "'gpt' is no published set; there are besiroglu"),
        (["--params", "7B", "--constants", ","], "--constants: none named"),
        (["--params", "7B", "--unique-tokens", "1T", "--dataset", "."], "leave one out"),
        (["--table", "--range", "1:1e60"], "more than 60 rows"),
        (["--table", "--range", "1B"], "is no range"),
        (["--table", "--unique-tokens", "1T", "--run", "."], "--run: for which model"),
        (["--loss", "1.7"], "out of reach"),
        (["--loss", "nan"], "--loss: nan"),
    ],
)
def test_what_cannot_be_used_ends_with_code_2_and_a_line_that_names_it(arguments: list[str], said: str) -> None:
    code, out, error = answer(*arguments)
    assert code == 2
    assert out == ""
    assert said in error
    assert "Traceback" not in error


def test_a_tables_sizes_are_round_numbers_its_ends_and_what_is_asked() -> None:
    assert rows_between(7e8, 7e9, [3e9, 9e9]) == (7e8, 1e9, 2e9, 3e9, 5e9, 7e9)
    assert budget(Options(params="7B", table=True)).sizes[0] == pytest.approx(7e8)
    assert 7e9 in budget(Options(params="7B", table=True)).sizes


def test_the_manifest_of_a_real_dataset_is_read(small_run: Any) -> None:
    dataset = small_run.folder / "dataset"
    manifest = json.loads((dataset / "manifest.json").read_text())
    unique, quality, unit = dataset_tokens(dataset)
    assert unique == sum(component["unique_units"] for component in manifest["components"])
    assert quality is not None
    assert manifest["quality"]["q"] <= quality <= 1
    assert unit == "estimated tokens (UTF-8 bytes / 4)"


def test_the_page_shows_what_the_command_prints() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling" / "budget.md").read_text()
    (command,) = re.findall(r"^    corpusmill budget (.*)$", page, re.MULTILINE)
    _, out, _ = answer(*shlex.split(command))
    assert "\n".join(f"    {line}".rstrip() for line in out.rstrip().splitlines()) in page
