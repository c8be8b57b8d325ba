"""Judging a run again by other thresholds: the same as a run with them would say, as far as the ledger knows."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.documents.errors import UsageError
from corpusmill.pipeline.command import app
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.rejudge import rejudge, rejudge_as_text
from corpusmill.pipeline.run import run_recipe

TEXTS = [" ".join(f"word{number}" for number in range(length)) for length in (2, 3, 4, 5, 6, 7, 8, 9)]
TEXTS += ["word0 word1 word2 word3 word4 ######## ########", TEXTS[-1]]
OFF = {"min_stop_words": None, "min_alphabetic_tokens": None, "min_mean_word_length": None}


def recipe_of(folder, name, *stages):
    path = folder / "in.jsonl"
    if not path.exists():
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    recipe = {"name": name, "runs": str(folder / "runs"), "sources": {"web": {"paths": ["in.jsonl"], "stages": stages}}}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return load_recipe(folder / "recipe.yaml")


def rules(least, most):
    return {"gopher_quality": {"min_words": least, "max_words": most, "max_hashes_per_token": None, **OFF}}


@pytest.fixture
def run(tmp_path, inline_executor, quiet):
    recipe = recipe_of(tmp_path, "before", rules(4, 8), "exact_dedup", {"gopher_quality": {**OFF, "min_words": 5}})
    return run_recipe(recipe, inline_executor, quiet).folder


def reasons(folder):
    rows = pq.read_table(folder / "web" / "ledger").to_pylist()
    return Counter(f"{row['stage']}/{row['reason']}" if row["stage"] else "kept" for row in rows)


def test_a_stricter_threshold_gives_what_a_run_with_it_gives(run, tmp_path, inline_executor, quiet):
    stricter = recipe_of(tmp_path, "after", rules(7, 8), "exact_dedup", {"gopher_quality": {**OFF, "min_words": 5}})
    real = reasons(run_recipe(stricter, inline_executor, quiet).folder)
    told = rejudge(run, ["web.gopher_quality.min_words=7"])["sources"]["web"]
    predicted = reasons(run)
    for move in told["moves"]:
        predicted[move["from"]] -= move["documents"]
        predicted[move["to"]] += move["documents"]
    assert +predicted == real
    assert told["kept_now"] == real["kept"] < told["kept_before"]
    assert told["undecided"] == 0


def test_a_document_that_passes_now_is_undecided_where_later_stages_have_not_seen_it(run):
    told = rejudge(run, ["web.gopher_quality.min_words=null"])["sources"]["web"]
    assert told["moves"] == [{"from": "gopher_quality/too_few_words", "to": "undecided", "documents": 2}]
    told = rejudge(run, ["web.gopher_quality_2.min_words=1"])["sources"]["web"]
    assert told["moves"] == [{"from": "gopher_quality_2/too_few_words", "to": "kept", "documents": 1}]


def test_a_stage_can_give_another_reason_and_two_changes_apply_in_order(run):
    told = rejudge(run, ["web.gopher_quality.max_words=3", "web.gopher_quality.min_words=0"])["sources"]["web"]
    assert {(move["from"], move["to"], move["documents"]) for move in told["moves"]} == {
        ("kept", "gopher_quality/too_many_words", 4),
        ("gopher_quality/too_few_words", "undecided", 2),
        ("gopher_quality_2/too_few_words", "gopher_quality/too_many_words", 1),
        ("gopher_quality_2/too_many_hashes", "gopher_quality/too_many_words", 1),
    }


def test_documents_on_both_sides_of_the_new_threshold_are_shown_with_their_texts(run):
    told = rejudge(run, ["*.gopher_quality.min_words=6"], samples=2)
    [side] = told["sources"]["web"]["samples"]
    assert [row["value"] for row in side["kept"]] == [6, 7]
    assert [row["value"] for row in side["dropped"]] == [5, 5]
    assert all(row["text"].startswith("word0 word1") for row in (*side["kept"], *side["dropped"]))
    text = rejudge_as_text(told)
    assert "gopher_quality.min_words 4 -> 6" in text
    assert "passes 6" in text
    assert "goes   5" in text


def test_those_that_stand_for_duplicates_are_counted(tmp_path, inline_executor, quiet):
    folder = run_recipe(recipe_of(tmp_path, "twins", rules(1, 100), "exact_dedup"), inline_executor, quiet).folder
    told = rejudge(folder, ["web.gopher_quality.max_words=8"])["sources"]["web"]
    assert told["stood_for"] == 1
    assert "1 of those that would go stand for duplicates" in rejudge_as_text(
        rejudge(folder, ["web.gopher_quality.max_words=8"])
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("min_words=3", "write SOURCE.STAGE.FIELD=VALUE"),
        ("wep.gopher_quality.min_words=3", "the run has no source 'wep'; did you mean \"web\""),
        ("web.gopher_qualty.min_words=3", "web has no stage 'gopher_qualty'; did you mean \"gopher_quality\""),
        ("*.pii.kinds=[email]", "no source has a stage 'pii'"),
        ("web.gopher_quality.min_word=3", "has no field 'min_word'; did you mean \"min_words\""),
        ("web.gopher_quality.min_words=many", "min_words"),
        ("web.gopher_quality.min_words=[", "the value is no YAML"),
        ("web.exact_dedup.normalization=x", "exact_dedup has no field|decides over the whole source"),
    ],
)
def test_a_change_that_cannot_be_judged_is_refused_with_the_mend(run, change, message):
    with pytest.raises(UsageError, match=message):
        rejudge(run, [change])


def test_barriers_that_would_see_other_documents_are_named(run):
    told = rejudge(run, ["web.gopher_quality.min_words=7"])
    assert told["sources"]["web"]["over_the_source"] == ["exact_dedup"]
    assert "exact_dedup would see other documents" in rejudge_as_text(told)
    for change in ("web.gopher_quality_2.min_words=7", "web.gopher_quality.min_words=4"):  # behind it; nothing moves
        assert rejudge(run, [change])["sources"]["web"]["over_the_source"] == []


def test_fewer_samples_than_none_and_a_run_that_is_a_file_are_refused(run):
    with pytest.raises(UsageError, match="--samples -1: must be 0 or more"):
        rejudge(run, ["web.gopher_quality.min_words=7"], samples=-1)
    with pytest.raises(UsageError, match="no finished run here"):
        rejudge(run / "manifest.json", ["web.gopher_quality.min_words=7"])


def test_what_changes_the_measure_must_be_run(tmp_path, inline_executor, quiet):
    folder = run_recipe(recipe_of(tmp_path, "lines", "fineweb_quality"), inline_executor, quiet).folder
    with pytest.raises(UsageError, match="measures depends on short_line_characters, so texts must be read"):
        rejudge(folder, ["web.fineweb_quality.short_line_characters=10"])


def test_the_command_prints_text_or_json(run):
    arguments = ["rejudge", str(run), "--set", "web.gopher_quality.min_words=7", "--samples", "0"]
    assert "kept 4 -> 2 of 10" in CliRunner().invoke(app, arguments).stdout
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert data["sources"]["web"]["kept_now"] == 2
    assert CliRunner().invoke(app, ["rejudge", str(run)]).exit_code == 2
