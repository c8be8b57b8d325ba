"""Thresholds proposed from a run's ledger."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpusmill.documents.errors import UsageError
from corpusmill.filters.contract import Filter
from corpusmill.pipeline import registry
from corpusmill.pipeline.command import app
from corpusmill.pipeline.recipe import load_recipe, parse_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.suggest import _loosened, fields_of_rules, suggest, suggest_as_text

STAGES = [{"gopher_quality": {"min_words": 5, "max_words": None}}, "fineweb_quality", "gopher_quality"]


NEEDED = {
    "c4_bad_words": {"list": Path("words")},
    "datatrove_filter": {"block": "RegexFilter"},
    "perplexity": {"model": "language.model"},
    "toxicity": {"model": "toxicity.npz"},
    "url": {"index": "lists.index"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, inline_executor, quiet):
    folder = tmp_path_factory.mktemp("suggest")
    texts = [" ".join(["the", "of", *(f"word{n}" for n in range(length))]) + "." for length in range(1, 201)]
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = {
        "name": "run",
        "runs": str(folder / "runs"),
        "sources": {"web": {"paths": ["in.jsonl"], "stages": STAGES}},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return run_recipe(load_recipe(folder / "recipe.yaml"), inline_executor, quiet).folder


def row_of(told, field):
    [row] = [row for row in told["sources"]["web"] if row["field"] == field and row["stage"] == "gopher_quality"]
    return row


def test_each_threshold_alone_keeps_the_share_asked_for(run):
    for keep in (0.5, 0.9, 0.98):
        for row in suggest(run, keep=keep)["sources"]["web"]:
            assert row["would_drop"] <= (1 - keep) * row["documents"] + 1e-9, row
        words = row_of(suggest(run, keep=keep), "max_words")
        assert words["would_drop"] >= (1 - keep) * words["documents"] - 10


def test_what_a_threshold_drops_now_is_counted_and_one_that_is_off_gets_a_proposal(run):
    told = suggest(run)
    assert row_of(told, "min_words")["now"] == 5
    assert row_of(told, "min_words")["drops"] == 2
    assert row_of(told, "max_words")["now"] is None
    assert row_of(told, "max_words")["drops"] == 0
    assert 190 <= row_of(told, "max_words")["proposed"] <= 202


def test_deviations_from_the_mean_are_another_way(run):
    words = row_of(suggest(run, sigma=1.0), "max_words")
    mean, deviation = 102.5, 57.7
    assert words["proposed"] == pytest.approx(mean + deviation, abs=2)


def test_the_lines_printed_are_stages_that_a_recipe_takes(run, tmp_path):
    text = suggest_as_text(suggest(run))
    lines = yaml.safe_load("stages:" + text.rpartition("\nstages:")[2])
    recipe = parse_recipe({"name": "x", "sources": {"web": {"paths": "in.jsonl", **lines}}}, tmp_path, "recipe.yaml")
    names = [spec.build().name for spec in recipe.sources[0].stages]
    assert names == ["gopher_quality", "fineweb_quality", "gopher_quality"]  # in the ledger the last has a number


@pytest.mark.parametrize("name", [*registry.FILTERS])
def test_every_threshold_of_a_filter_is_found_by_its_field(name):
    stage: Filter = registry.stage_class(name)(**NEEDED.get(name, {}))
    if type(stage).judge is not Filter.judge:
        return
    judged = {item.name for item in dataclasses.fields(stage) if stage.is_judged(item.name)}
    thresholds = {name for name in judged if not isinstance(getattr(stage, name), bool)}  # a yes or no bounds nothing
    found = {field: (rule, kind) for field, rule, kind in fields_of_rules(stage)}
    assert thresholds <= found.keys()
    for field, (rule, kind) in found.items():
        if getattr(stage, field) is not None:
            assert getattr(stage, field) in [
                getattr(known, kind) for known in stage.rules() if known.measure == rule.measure
            ]


@given(st.floats(1e-6, 1e6), st.booleans(), st.booleans())
def test_a_rounded_bound_drops_no_more_than_the_exact_one(value, upwards, whole):
    rounded = _loosened(value, upwards=upwards, whole=whole)
    slack = 1e-6 * value
    assert rounded >= value - slack if upwards else rounded <= value + slack
    if not whole:
        assert abs(rounded - value) <= 0.011 * value


def test_numbers_that_make_no_sense_are_refused(run):
    with pytest.raises(UsageError, match=r"--keep 1\.5: must be a share between 0 and 1"):
        suggest(run, keep=1.5)
    for sigma in (-1, float("inf")):
        with pytest.raises(UsageError, match=f"--sigma {sigma}: must be above 0 and finite"):
            suggest(run, sigma=sigma)
    assert CliRunner().invoke(app, ["suggest", str(run), "--keep", "2"]).exit_code == 2
    assert json.loads(CliRunner().invoke(app, ["suggest", str(run), "--json"]).stdout)["keep"] == 0.98
