"""What a sweep's analysis says of cells that are not what a reader would take them for."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.planted_sweeps import PlantedSweep, nothing, peaked
from corpusmill.scaling.contract import ERRORS
from corpusmill.scaling.frontier.analysis import AnalysisOptions, Asked, analyse

SWEEP = PlantedSweep(scores={"a": peaked(0.4, 1.5)}, sizes=(1_000_000, 2_000_000, 4_000_000))
OPTIONS = AnalysisOptions(draws=200)
SAMPLE_UNKNOWN = (
    "no cell tells what single held-out documents cost: bands do not include what other documents would have said"
)


def asked(sweep=SWEEP, **more):
    given = {
        "sizes": sweep.sizes, "seeds": tuple(range(sweep.seeds)), "treatments": tuple(sweep.kinds()),
        "proxies": (sweep.proxy,), "pool_tokens": {"web": 40_000_000}, **more,
    }  # fmt: skip
    return Asked(**given)


def changed(change, sweep=SWEEP):
    cells = sweep.cells(0)
    return pa.Table.from_pylist([row for row in cells.to_pylist() if change(row) is not False], schema=cells.schema)


def only(found, words):
    (one,) = [one for one in found if words in one]
    return one


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"web": 1.0}, None),
        ({"web": 0.5, "law": 0.5}, "Losses are means over held-out text of web, law."),
        ({"web": 1.0, "law": 0}, "Losses are those on held-out text of web alone; law is not in them."),
        (
            {"web": 0.75, "law": 0.25, "mail": 0, "books": 0},
            "Losses are weighted means over held-out text of web (75%), law (25%); mail, books are not in them.",
        ),
    ],
)
def test_the_conclusion_names_the_domains_that_a_pool_is_judged_on(weights, sentence):
    [panel] = analyse(SWEEP.cells(0), OPTIONS, asked(weights={"web": weights, "books": {"books": 1}})).panels
    assert [one for one in panel.conclusion if one.startswith("Losses are")] == ([sentence] if sentence else [])


def test_what_was_asked_for_changes_no_panel_where_all_of_it_is_there():
    assert analyse(SWEEP.cells(0), OPTIONS, asked()).panels == analyse(SWEEP.cells(0), OPTIONS).panels


def test_a_seed_that_is_missing_altogether_is_called_missing():
    found = analyse(changed(lambda row: row["seed"] != 1), OPTIONS, asked())
    panel = found.panels[0]
    assert len(panel.missing) == 3 * 9
    assert {one.seed for one in panel.missing} == {1}
    assert [note for note in panel.notes if note.startswith("missing")] == [
        "missing: all cells of seed 1; the rest was analysed"
    ]
    assert "All cells of seed 1 are missing." in panel.conclusion
    assert found.notes == ["27 cells of the grid are missing; all else was analysed."]


def test_all_seeds_but_one_missing_is_not_one_seed_asked_for():
    panel = analyse(changed(lambda row: row["seed"] == 0), OPTIONS, asked()).panels[0]
    assert only(panel.conclusion, "missing") == (
        "All cells of seeds 1, 2 are missing; of one seed there is no band, and nothing is shown."
    )
    assert not any(sentence.startswith("One seed") for sentence in panel.conclusion)
    assert panel.notes[0] == "one seed (0): no band; run those that are missing"


def test_a_size_and_a_treatment_that_are_missing_altogether_are_called_missing():
    def left(row):
        return row["size"] == 1_000_000 and (row["score"], row["fraction"]) != ("a", 0.2)

    panel = analyse(changed(left), OPTIONS, asked()).panels[0]
    assert [note for note in panel.notes if note.startswith("missing")] == [
        "missing: all cells of 2000000 tokens; the rest was analysed",
        "missing: all cells of 4000000 tokens; the rest was analysed",
        "missing: all cells of a 0.2; the rest was analysed",
    ]
    assert len(panel.missing) == 3 * (9 + 9 + 1)
    assert panel.notes[0] == "one size (1000000 tokens): no slope; run those that are missing"
    assert "All cells of 2M and 4M tokens are missing; of one size there is no slope" in " ".join(panel.conclusion)


def test_a_proxy_without_any_cell_is_called_missing():
    found = analyse(SWEEP.cells(0), OPTIONS, asked(proxies=("planted", "small")))
    assert found.notes == ["missing: all cells of pool web, proxy small; the rest was analysed"]


def test_pools_and_fractions_that_are_not_as_asked_are_named_with_the_worst():
    def large(row):
        if (row["score"], row["size"], row["seed"]) == ("random", 1_000_000, 1):
            row["pool_tokens"] = 1_600_000
            row["kept_tokens"] = 1_600_000 if row["fraction"] == 0.2 else round(row["fraction"] * 1_600_000)
            row["train_tokens"] = row["kept_tokens"]

    panel = analyse(changed(large), OPTIONS).panels[0]
    worst = "random 0.2 of 1M tokens, seed 1, which keeps 100 % of 1.6M tokens"
    assert f"4 cells are off their size or fraction by more than 5 %: {worst}" in panel.notes
    said = only(panel.conclusion, "Whole documents")
    assert f"4 of 81 cells are off by more than 5 %; the worst is {worst}." in said
    assert "4 of them are off by more than a factor of 1.5 and are not what they are called" in said
    kept = [one.kept_tokens for one in panel.cells if (one.score, one.fraction, one.size) == ("random", 0.2, 1_000_000)]
    assert kept == [pytest.approx((200_000 + 1_600_000 + 200_000) / 3)]


def test_what_is_off_by_little_is_named_without_alarm_and_by_less_not_at_all():
    by_ten = analyse(changed(lambda row: row.update(pool_tokens=round(1.1 * row["size"]))), OPTIONS).panels[0]
    assert "factor of 1.5" not in only(by_ten.conclusion, "Whole documents")
    by_four = analyse(changed(lambda row: row.update(kept_tokens=round(0.96 * row["kept_tokens"]))), OPTIONS).panels[0]
    assert not any("Whole documents" in sentence for sentence in by_four.conclusion)


def test_a_pool_that_is_used_whole_is_known_by_its_tokens_and_not_by_its_losses():
    panel = analyse(SWEEP.cells(0), OPTIONS, asked(pool_tokens={"web": 4_050_000})).panels[0]
    assert "at 4000000 tokens the pool is used whole" in only(panel.notes, "at 4000000 tokens")
    assert not any("at 2000000 tokens" in note for note in panel.notes)


def test_above_half_of_the_pool_seeds_share_documents():
    panel = analyse(SWEEP.cells(0), OPTIONS, asked(pool_tokens={"web": 5_000_000})).panels[0]
    # Two pools of 80 % share 60 % of everything at least, which is 75 % of each.
    assert "is 80% of all there is, so any two share at least 75% of their" in only(panel.notes, "at 4000000 tokens")


def test_equal_losses_of_different_pools_are_not_called_a_whole_pool():
    def same(row):
        if row["size"] == 1_000_000:
            row["loss"] = 2.0 + row["fraction"]

    cells = changed(same)
    known = only(analyse(cells, OPTIONS, asked()).panels[0].notes, "at 1000000 tokens")
    assert "though their pools are not the same" in known
    assert "as where the pool is used whole" in only(analyse(cells, OPTIONS).panels[0].notes, "at 1000000 tokens")


def test_losses_that_do_not_differ_have_no_best_no_slope_and_no_multiplier():
    def always(row):
        row["loss"] = 1.5 * (1 + 1e-15 * (row["seed"] + row["size"] % 7 + row["fraction"]))

    found = analyse(changed(always), OPTIONS)
    panel = found.panels[0]
    assert (panel.best, panel.slopes, panel.multipliers) == ([], [], [])
    assert panel.conclusion[0].startswith("All losses of a size are the same, to 7 digits (1.5 bits per byte)")
    assert not any("lowest" in sentence or "frontier is" in sentence for sentence in found.conclusion)
    assert found.agreement.sizes == []
    assert {len(line.points) for line in panel.frontiers} == {1}


def test_a_size_whose_losses_do_not_differ_has_no_best_and_the_others_have():
    panel = analyse(changed(lambda row: row.update(loss=1.5) if row["size"] == 1_000_000 else None), OPTIONS).panels[0]
    assert [one.size for one in panel.best] == [2_000_000, 4_000_000]
    assert "A pool of 1M tokens: losses do not differ, so none is the lowest." in panel.conclusion


def test_idle_scores_are_no_caveat():
    panel = analyse(PlantedSweep(scores={"idle": nothing}).cells(0), OPTIONS).panels[0]
    assert panel.notes == [SAMPLE_UNKNOWN]


def test_cells_that_tell_nothing_of_held_out_documents_are_counted_with_a_mend():
    cells = PlantedSweep(scores={"idle": nothing}).cells(0)
    kind = pa.list_(pa.list_(pa.float64()))
    errors = pa.array([None, *([[0.1, -0.1]] for _ in range(len(cells) - 1))], kind)
    [note] = analyse(cells.append_column(ERRORS, errors), OPTIONS).panels[0].notes
    assert note.startswith(f"1 of {len(cells)} cells do not tell what single held-out documents cost")
    assert note.endswith("remove their files from the sweep's `tasks`")


@pytest.mark.parametrize(
    ("clusters", "note"),
    [(30, None), (3, "a held-out domain has 3 clusters of documents alone, which makes bands wide")],
)
def test_held_out_documents_are_a_caveat_where_they_are_few(clusters, note):
    rng = np.random.default_rng(0)
    cells = PlantedSweep(scores={"idle": nothing}).cells(0)
    kind = pa.list_(pa.list_(pa.float64()))
    rows = [row | {ERRORS: [rng.normal(0, 1e-3, clusters).tolist()]} for row in cells.to_pylist()]
    panel = analyse(pa.Table.from_pylist(rows, schema=cells.schema.append(pa.field(ERRORS, kind))), OPTIONS).panels[0]
    assert [one.split(";")[0] for one in panel.notes] == ([note] if note else [])
    share = 1e-3 / np.mean([cell.loss for cell in panel.cells])
    assert panel.noise.heldout == pytest.approx(share * np.sqrt(clusters / 3), rel=0.2)  # a mean over three seeds
