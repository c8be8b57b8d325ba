import doctest

import pytest

from corpusmill.filters.quality_training import ReliabilityRow
from corpusmill.pipeline import summary as module
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.summary import (
    listed,
    plan_as_data,
    plan_as_text,
    reliability_table,
    status_as_data,
    status_as_text,
    summary,
    table,
)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


def test_a_table_has_its_first_column_on_the_left_and_the_others_on_the_right():
    text = table(("stage", "came"), [("pii", "7"), ("language", "1,234")])
    assert text.splitlines() == [
        "stage      came",
        "pii           7",
        "language  1,234",
    ]


@pytest.mark.parametrize(
    ("room", "line"),
    [
        (99, "long 12, short 3, empty 1"),
        (25, "long 12, short 3, empty 1"),
        (24, "long 12, 2 more reasons"),
        (3, "long 12, 2 more reasons"),
    ],
)
def test_reasons_are_cut_at_the_width_and_the_rest_is_counted(room, line):
    assert listed([("long", 12), ("short", 3), ("empty", 1)], room) == line


def test_no_line_of_a_funnel_is_wider_than_asked(small_run):
    for width in (80, 120):
        funnel = summary(small_run.manifest, small_run.folder, width).split("\n\nmix")[0]
        assert max(map(len, funnel.splitlines())) <= width


def test_the_funnel_names_what_came_what_went_and_why(small_run):
    lines = summary(small_run.manifest, small_run.folder).splitlines()
    assert lines[0] == "posts: 3 of 10 records kept (30.0%), 594 bytes of 1.1 MB of text"
    assert lines[2].split() == ["read", "10", "2", "20.0%", "invalid_json", "1,", "no_text", "1"]
    [rewriting] = [line for line in lines if line.startswith("  pii")]
    assert rewriting.split() == ["pii", "5", "–", "rewrote", "1:", "email", "1"]


def test_the_columns_of_all_sources_are_in_line(small_run):
    heads = [line for line in summary(small_run.manifest, small_run.folder).splitlines() if "came" in line]
    assert len(heads) == 2
    assert len({line.index("came") for line in heads}) == 1


def test_the_mix_q_and_the_places_of_the_results_come_last(small_run):
    text = summary(small_run.manifest, small_run.folder)
    assert "no budget was set: notes and posts, read once, set the size" in text
    assert "Q = 0.857, the share of the training tokens that are neither corrupted nor redundant" in text
    assert "lost to unreadable characters 10.1%" in text
    places = text.splitlines()[-2:]
    assert places[0].startswith(f"dataset:  {small_run.folder / 'dataset'}  (15 documents for training, 1 shard)")
    assert places[1] == f"report:   {small_run.folder / 'report' / 'index.html'}"


def test_a_run_without_a_mix_has_no_word_of_one(small_run):
    manifest = {key: value for key, value in small_run.manifest.items() if key != "mix"}
    text = summary(manifest, small_run.folder)
    assert "Q = " not in text
    assert "dataset:" not in text


def test_failed_tasks_are_named_with_the_last_line_of_their_error(small_run):
    failed = [{"task": "posts/phase-1/00000", "error": "Traceback:\n  deep\nValueError: no\n"}]
    text = summary({**small_run.manifest, "failed": failed, "mix_error": "posts is short"}, small_run.folder)
    assert "1 task failed; run the same command again" in text
    assert "  posts/phase-1/00000: ValueError: no" in text
    assert "no mix: posts is short" in text


def test_a_plan_says_what_is_read_in_which_phases_and_writes_nothing(tmp_path, write_recipe):
    path = write_recipe(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = plan_as_data(load_recipe(path))
    text = plan_as_text(data)
    assert sorted(tmp_path.rglob("*")) == before
    assert "posts: 1 jsonl file, 1.1 MB, in 1 task a phase" in text
    assert "  phase-1   gopher_quality\n            then over all of posts: exact_dedup" in text
    assert "notes: 12 text files, " in text
    assert "ratios    posts 50.0%, notes 50.0%" in text
    assert [phase["barriers"] for phase in data["sources"]["posts"]["phases"]] == [
        ["exact_dedup"], ["minhash_dedup"], [],
    ]  # fmt: skip


def test_a_status_goes_from_not_begun_to_finished_and_back_when_the_recipe_changes(tmp_path, write_recipe, small_run):
    begun = status_as_data(load_recipe(write_recipe(tmp_path)))
    assert (begun["state"], begun["done"], begun["dataset"]) == ("not begun", 0, False)
    done = status_as_data(load_recipe(small_run.recipe))
    assert (done["state"], done["done"], done["tasks"], done["dataset"]) == ("finished", 8, 8, True)
    assert status_as_text(done).splitlines()[-1] == "  mix    the dataset stands"
    changed = status_as_data(load_recipe(small_run.recipe, ["sources.posts.stages.pii.kinds=[email, ipv4]"]))
    assert (changed["state"], changed["done"], changed["dataset"]) == ("not finished", 4, False)
    rows = {row["phase"]: row["done"] for row in changed["sources"]["posts"]}
    assert rows == {
        "phase-1": 1, "exact_dedup": 1, "phase-2": 0, "minhash_dedup": 0, "phase-3": 0, "ledger": 0,
    }  # fmt: skip


def test_a_run_whose_mix_alone_changes_is_not_finished(small_run):
    changed = status_as_data(load_recipe(small_run.recipe, ["mix.ratios={posts: 0.4, notes: 0.6}"]))
    assert (changed["state"], changed["done"]) == ("not finished", changed["tasks"])


def test_the_reliability_table_has_a_row_a_bin():
    rows = [ReliabilityRow(low=0.1, high=0.2, documents=1200, mean_score=0.15, positive_share=0.125)]
    assert reliability_table(rows).splitlines()[1].split() == ["0.1", "to", "0.2", "1,200", "0.150", "0.125"]
