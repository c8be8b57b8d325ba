import doctest
import json
from itertools import pairwise

import pytest

from corpusmill.documents.errors import UsageError
from corpusmill.pipeline import explain as module
from corpusmill.pipeline.explain import explain_as_text, explain_document, find_runs, ledger_rows, recipe_stages


def url(name):
    return f"https://a.example/{name}"


@pytest.fixture
def told(small_run):
    return lambda name: explain_document(name, [small_run.folder])


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


def test_a_document_is_found_by_its_id_the_beginning_of_it_and_its_url(told):
    by_url = told(url("mail"))
    assert told(by_url["id"]) == by_url
    assert told(by_url["id"][:10]) == by_url


def test_a_kept_document_went_through_every_stage_and_stands_in_the_dataset(told):
    kept = told(url("mail"))
    assert kept["verdict"] == "kept"
    assert [entry["stage"] for entry in kept["stages"]] == ["gopher_quality", "exact_dedup", "pii", "minhash_dedup"]
    assert kept["dataset"] == {"train-00000-of-00001.parquet": 1}
    text = explain_as_text(kept)
    assert "in the dataset: train-00000-of-00001.parquet" in text
    assert "pii: passed\n  email  1" in text


def test_a_dropped_document_shows_the_broken_rule_with_its_threshold_and_ends_there(told):
    dropped = told(url("short"))
    assert [(entry["stage"], entry["verdict"]) for entry in dropped["stages"]] == [("gopher_quality", "dropped")]
    text = explain_as_text(dropped)
    assert "dropped by gopher_quality: too_few_words" in text
    [broken] = [line for line in text.splitlines() if line.endswith("<- broken")]
    assert broken.split() == ["words", "2", "≥", "5", "and", "≤", "100,000", "<-", "broken"]
    assert "anything" not in text  # rules that are off are left out


def test_a_duplicate_names_its_twin_and_what_became_of_it(told):
    duplicate = told(url("story again"))
    assert duplicate["kept_id"] == told(url("story"))["id"]
    text = explain_as_text(duplicate)
    assert f"in its place stayed {duplicate['kept_id']}, similarity 1.000" in text
    assert f"{url('story')}; dropped by minhash_dedup: near_duplicate" in text


def test_a_barrier_says_what_it_was_set_to_with_the_recipes_seed(told):
    entry = told(url("story"))["stages"][-1]
    assert entry["reason"] == "near_duplicate"
    assert (entry["parameters"]["ngram"], entry["parameters"]["seed"]) == (3, 3)
    assert "ngram 3; permutations 112" in " ".join(explain_as_text(told(url("story"))).split())


def test_the_best_of_a_cluster_says_how_many_it_stands_for(told):
    assert "it stands for 3 documents" in explain_as_text(told(url("story, one word")))


def test_an_unreadable_record_shows_what_the_reader_said(small_run, told):
    [row] = ledger_rows(small_run.folder / "posts/ledger", "select id from ledger where reason = 'invalid_json'")
    text = explain_as_text(told(row["id"]))
    assert "dropped by read: invalid_json (" in text
    assert "posts.jsonl at 1," in text


def test_an_answer_is_json(told):
    assert json.loads(json.dumps(told(url("mail"))))["id"] == told(url("mail"))["id"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "no document is named"),
        ("0123456789", "0123456789: no document of this id or URL in "),
        ("https://a.example/nowhere", "no document of this id or URL"),
        ("x' or '1'='1", "no document of this id or URL"),
    ],
)
def test_what_is_not_found_is_refused(told, document, message):
    with pytest.raises(UsageError, match=message.replace("'", ".")):
        told(document)


def test_a_beginning_that_fits_several_lists_them(small_run, told):
    rows = ledger_rows(small_run.folder / "notes/ledger", "select id from ledger order by id")
    twice = next(a["id"][0] for a, b in pairwise(rows) if a["id"][0] == b["id"][0])
    with pytest.raises(UsageError, match="fits several records") as caught:
        told(twice)
    assert "notes, kept, " in str(caught.value)


def test_without_a_run_it_says_how_to_name_one(tmp_path):
    with pytest.raises(UsageError, match="--run FOLDER"):
        explain_document("a", find_runs(tmp_path))
    with pytest.raises(UsageError, match="no finished run here"):
        explain_document("a", [tmp_path])


def test_runs_are_found_the_latest_first(tmp_path):
    import os

    for name, time in (("a", 300), ("b", 100), ("c", 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
        os.utime(tmp_path / name / "manifest.json", (time, time))
    (tmp_path / "unfinished").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["a", "c", "b"]


def test_the_stages_of_a_manifest_are_those_of_the_recipe(small_run):
    names = [spec.name for spec in recipe_stages(small_run.manifest, small_run.folder, "posts")]
    assert names == ["gopher_quality", "exact_dedup", "pii", "minhash_dedup"]


def test_a_folder_without_a_ledger_has_no_rows(tmp_path):
    assert ledger_rows(tmp_path, "select * from ledger") == []
