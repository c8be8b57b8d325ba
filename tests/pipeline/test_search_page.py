"""A mixture search on the run's page, from its file alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpusmill.pipeline.report import write_report
from corpusmill.pipeline.search_page import observations, search_sections
from tests.pipeline.test_report import Page

FLOOR = [0.9, 1.1]
SLOPES = [[0.2, -0.6], [-0.4, 0.3]]


def searched(confirmation: dict[str, float | None] | None = None) -> dict[str, Any]:
    """What a search between two components leaves, with losses that are the law's own."""
    mixtures = [[0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]
    runs = []
    for shares in mixtures:
        losses = np.array(FLOOR) + np.exp(np.array(SLOPES) @ np.array(shares))
        runs.append({"shares": shares, "losses": dict(zip(("books", "forum"), losses.tolist(), strict=True))})
    interval = {"estimate": -0.02, "low": -0.03, "high": -0.01}
    ratios = [
        {"component": name, "prior": 0.5, "proposed": {"estimate": share, "low": share - 0.1, "high": share + 0.1},
         "cap": 1.0, "held_by": held, "regmix": share}
        for name, share, held in (("web", 0.3, None), ("<b>books", 0.7, "cap"))
    ]  # fmt: skip
    return {
        "components": ["web", "<b>books"],
        "prior": [0.5, 0.5],
        "unit": "documents",
        "in_units": {"prior": [0.9, 0.1], "proposed": [0.8, 0.2], "budget": 100},
        "stays": False,
        "weights": {"books": 0.5, "forum": 0.5},
        "cost": {"proxy": "ngram", "runs": 3, "after": 1, "tokens": 20_000, "flops": None, "seconds": 1.0},
        "law": {"losses": ["books", "forum"], "floor": FLOOR, "slopes": SLOPES},
        "proposal": {"ratios": ratios, "loss": interval, "prior_loss": interval, "difference": interval,
                     "by_domain": {}, "regmix_loss": 1.9, "warnings": ["few runs"]},
        "confirmation": confirmation,
        "notes": ["runs are off"],
        "run": "e55b",
        "runs": runs,
    }  # fmt: skip


def test_the_page_has_the_ratios_their_worth_and_the_laws_predictions(small_run: Any, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    folder = tmp_path / "run" / "scaling" / "search"
    folder.mkdir(parents=True)
    (folder / "search-ngram.json").write_text(json.dumps(searched({"estimate": 0.001, "low": -0.01, "high": 0.01})))
    page = Page(write_report(tmp_path / "run").read_text())
    assert "Mixture search" in page.text
    assert "<b>books 50.00% 70.00% 60.00% to 80.00% 100.00% no more is there 10.00% 20.00%" in page.text
    assert "in the last two columns of the mix's units, which a recipe has: documents." in page.text
    assert "difference, predicted -0.0200 -0.0300 to -0.0100 better" in page.text
    assert "difference, in new runs 0.0010 -0.0100 to 0.0100 not shown" in page.text
    assert "few runs" in page.text
    assert "runs are off" in page.text
    assert "Mixture law: predicted and observed losses" in page.text
    assert "#search" in page.targets
    assert len(page.ids) == len(set(page.ids))


def test_the_page_shows_the_search_of_each_proxy_and_which_are_of_an_earlier_state(
    small_run: Any, tmp_path: Path
) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    folder = tmp_path / "run" / "scaling" / "search"
    folder.mkdir(parents=True)
    content = json.loads((tmp_path / "run" / "manifest.json").read_text())["content_hash"]
    made = {"ngram": "{", "small": json.dumps({**searched(), "run": content}), "tiny": json.dumps(searched())}
    for name, text in made.items():
        (folder / f"search-{name}.json").write_text(text)
    sections = search_sections(tmp_path / "run", content)
    assert [section["name"] for section in sections] == ["ngram", "small", "tiny"]
    assert [section.get("earlier") for section in sections] == [None, False, True]
    page = Page(write_report(tmp_path / "run").read_text())
    for said in ("It cannot be shown", "It was made from an earlier state of this run", "Mixture search"):
        assert page.text.count(said) == 1
    assert page.text.count("Proposed ratios") == 2
    assert len(page.ids) == len(set(page.ids))


def test_a_proposal_that_is_the_prior_is_neither_better_nor_worse(tmp_path: Path) -> None:
    folder = tmp_path / "scaling" / "search"
    folder.mkdir(parents=True)
    (folder / "search-ngram.json").write_text(json.dumps({**searched(), "stays": True}))
    (section,) = search_sections(tmp_path)
    assert section["worth"].rows[2] == ("difference, predicted", "–", "–", "is the prior")


def test_predictions_are_the_laws_and_the_prior_and_the_proposal_are_marked() -> None:
    found = observations(searched())
    assert [one.name for one in found] == ["prior", "mixture 2", "mixture 3", "proposal"]
    assert [one.marked for one in found] == [True, False, False, True]
    for one in found:
        assert one.predicted == pytest.approx(one.observed)


@pytest.mark.parametrize(
    ("confirmation", "verdict"),
    [
        (None, "not shown"),
        ({"estimate": -0.1, "low": None, "high": None}, "not shown"),
        ({"estimate": -0.1, "low": -0.2, "high": -0.05}, "better"),
        ({"estimate": 0.1, "low": 0.05, "high": 0.2}, "worse"),
    ],
)
def test_new_runs_decide(confirmation: dict[str, float | None] | None, verdict: str, tmp_path: Path) -> None:
    folder = tmp_path / "scaling" / "search"
    folder.mkdir(parents=True)
    (folder / "search-ngram.json").write_text(json.dumps(searched(confirmation)))
    (section,) = search_sections(tmp_path)
    assert section["worth"].rows[-1][-1] == verdict


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "[" * 200_000,
        json.dumps({**searched(), "runs": [{"shares": [1.0]}]}),
        json.dumps({**searched(), "runs": None}),
        json.dumps({**searched(), "weights": [1, 2]}),
        json.dumps({**searched(), "proposal": "none"}),
        json.dumps({**searched(), "law": {"losses": ["books", "forum"], "floor": "low", "slopes": SLOPES}}),
        json.dumps({**searched(), "prior": [0.5, {}]}),
    ],
)
def test_a_damaged_file_is_named_with_its_mend_and_the_page_is_written(
    content: str, small_run: Any, tmp_path: Path
) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "scaling" / "search" / "search-ngram.json"
    assert search_sections(tmp_path / "run") == []
    path.parent.mkdir(parents=True)
    path.write_text(content)
    text = Page(write_report(tmp_path / "run").read_text()).text
    assert f"It cannot be shown: {path}: " in text
    assert "`corpusmill mix search` makes it anew" in text


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e308, -1e308])
def test_odd_numbers_keep_no_page_from_being_written(odd: float, small_run: Any, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    folder = tmp_path / "run" / "scaling" / "search"
    folder.mkdir(parents=True)
    whole = searched()
    for changed in (
        {**whole, "prior": [odd, odd]},
        {**whole, "law": {**whole["law"], "floor": [odd, odd]}},
        {**whole, "runs": [{"shares": [odd, 0.5], "losses": {"books": odd, "forum": odd}}]},
        {**whole, "proposal": {**whole["proposal"], "warnings": ["\ud800"]}},
    ):
        (folder / "search-ngram.json").write_text(json.dumps(changed))
        assert "Mixture search" in write_report(tmp_path / "run").read_text(encoding="utf-8")
