"""The fractions of a sweep, applied to a real budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.scaling.planning.budget import Ask, Verdict, solve
from corpusmill.scaling.planning.pruned import panel_budgets, read_sweeps
from corpusmill.scaling.planning.published import BESIROGLU


def best(size: int, fraction: float, train_tokens: int | None, *others: tuple[str, float]) -> dict[str, Any]:
    near = [{"score": score, "fraction": kept, "loss": 1.0, "change": None} for score, kept in others]
    return {
        "size": size,
        "train_tokens": train_tokens,
        "kept_tokens": size,
        "score": "quality",
        "fraction": fraction,
        "loss": 1.0,
        "not_distinguishable": [{"score": "quality", "fraction": fraction, "loss": 1.0, "change": None}, *near],
        "lowest_fraction": fraction,
        "highest_fraction": 1.0,
        "against_all": None,
        "against_random": None,
    }


def analysis(*budgets: dict[str, Any]) -> dict[str, Any]:
    panel = {"pool": "web", "proxy": "ngram", "parameters": None, "fractions": [0.25, 0.5, 1.0], "best": list(budgets)}
    return {"version": 1, "confidence": 0.95, "conclusion": [], "notes": [], "panels": [panel]}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "scaling" / "kept"
    folder.mkdir(parents=True)
    told = analysis(best(10**6, 0.25, None), best(10**9, 0.5, 2 * 10**9, ("all", 1.0)))
    (folder / "analysis.json").write_text(json.dumps(told))
    return tmp_path


def test_each_fraction_says_what_is_left_and_how_often_it_is_read(run: Path) -> None:
    ask = Ask(parameters=7e9, tokens=1e12, unique=1e12, quality=0.9, laws=(BESIROGLU,))
    (panel,) = panel_budgets(ask, solve(ask)[:1], read_sweeps(run))
    assert (panel.sweep, panel.pool, panel.proxy) == ("kept", "web", "ngram")
    assert [one.fraction for one in panel.fractions] == [1.0, 0.5, 0.25]
    assert [one.unique for one in panel.fractions] == [1e12, 5e11, 2.5e11]
    assert [one.supplies[0].epochs for one in panel.fractions] == pytest.approx([1, 2, 4])
    worth = [one.supplies[0].clean for one in panel.fractions]
    assert worth == sorted(worth, reverse=True)
    assert panel.fractions[2].supplies[0].verdict is Verdict.REPEATED


def test_the_sweeps_nearest_budget_speaks_and_its_distance_is_told(run: Path) -> None:
    ask = Ask(parameters=7e9, tokens=1e12, unique=1e12, laws=(BESIROGLU,))
    (panel,) = panel_budgets(ask, solve(ask)[:1], read_sweeps(run))
    assert panel.tokens == 2e9  # tokens trained on, not the pool's size
    assert panel.factor == pytest.approx(500)
    assert panel.best_score == "quality"
    assert panel.same_tokens
    assert [one.standing for one in panel.fractions] == ["within noise", "best", "worse"]
    assert [one.scores for one in panel.fractions] == [("all",), ("quality",), ()]
    small = Ask(parameters=1e6, tokens=1e6, unique=1e6, laws=(BESIROGLU,))
    (panel,) = panel_budgets(small, solve(small)[:1], read_sweeps(run))
    assert panel.tokens == 1e6
    assert not panel.same_tokens
    assert [one.standing for one in panel.fractions] == ["worse", "worse", "best"]


def test_a_panel_that_found_no_best_is_left_out(run: Path) -> None:
    (run / "scaling" / "kept" / "analysis.json").write_text(json.dumps(analysis()))
    ask = Ask(parameters=7e9, unique=1e12)
    assert panel_budgets(ask, solve(ask), read_sweeps(run)) == ()


def made(folder: Path, content: str, **sweep: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps({"content_hash": content}))
    (folder / "scaling" / "kept" / "sweep.json").write_text(json.dumps({"asked": 3, "cells": [{}, {}], **sweep}))


def test_missing_cells_and_a_run_that_has_changed_since_are_told_of_a_sweep(run: Path) -> None:
    ask = Ask(parameters=7e9, unique=1e12, laws=(BESIROGLU,))

    def told() -> tuple[int | None, int | None, bool | None]:
        (panel,) = panel_budgets(ask, solve(ask), read_sweeps(run))
        return panel.cells, panel.missing_cells, panel.earlier

    assert told() == (None, None, None), "there is no sweep.json"
    made(run, "now", run="then")
    assert told() == (3, 1, True)
    made(run, "now", run="now", cells=[{}, {}, {}])
    assert told() == (3, 0, False)
    made(run, "now", run=None)
    assert told() == (3, 1, None)
    made(run, "now", run="now")
    (run / "manifest.json").unlink()
    assert told() == (3, 1, None)


@pytest.mark.parametrize(("file", "said"), [("sweep.json", "asked: .*sweep run"), ("manifest.json", "run makes it")])
def test_what_a_sweep_was_made_from_is_refused_where_it_cannot_be_read(run: Path, file: str, said: str) -> None:
    made(run, "now", run="now")
    path = run / file if file == "manifest.json" else run / "scaling" / "kept" / file
    path.write_text('{"asked": "many", "cells": [], "content_hash": 7}')
    with pytest.raises(InputError, match=rf"{file}: .*{said}"):
        read_sweeps(run)


def test_one_sweep_of_a_run_can_be_chosen_whatever_the_others_are(run: Path) -> None:
    other = run / "scaling" / "other"
    other.mkdir()
    (other / "analysis.json").write_text("{")
    assert list(read_sweeps(run, "kept")) == ["kept"]
    with pytest.raises(UsageError, match=r"--sweep: .* has no analysed sweep 'keep'; did you mean 'kept'\?"):
        read_sweeps(run, "keep")


def test_a_run_without_an_analysis_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="corpusmill sweep run"):
        read_sweeps(tmp_path)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", "it: "),
        (json.dumps({**analysis(), "version": 3}), "version"),
        (json.dumps(analysis(best(10**6, 1.5, None))), r"panels\.0\.best\.0\.fraction"),
        (json.dumps(analysis(best(0, 0.5, None))), r"panels\.0\.best\.0\.size"),
        (json.dumps(analysis(best(10**6, 0.5, -5))), "train_tokens"),
    ],
)
def test_an_analysis_that_is_none_is_refused_at_its_place(run: Path, broken: str, said: str) -> None:
    (run / "scaling" / "kept" / "analysis.json").write_text(broken)
    with pytest.raises(InputError, match=said):
        read_sweeps(run)
