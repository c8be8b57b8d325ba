"""A sweep's analysis as others read it: its shape, what it refuses, what it leaves out, and what it claims."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from benchmarks.planted_sweeps import PlantedSweep, nothing, peaked
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.scaling.contract import CELLS
from corpusmill.scaling.frontier import analysis as module
from corpusmill.scaling.frontier.agreement import _ranks
from corpusmill.scaling.frontier.analysis import AnalysisOptions, analyse
from corpusmill.scaling.frontier.best_fraction import effects
from corpusmill.scaling.frontier.conclusion import tokens
from corpusmill.scaling.frontier.grid import grids
from corpusmill.scaling.frontier.seed_noise import measured_noise

SWEEP = PlantedSweep(scores={"steep": peaked(0.4, 1.5, 0.15, 0.9), "idle": nothing})
OPTIONS = AnalysisOptions(draws=400)


@pytest.fixture(scope="module")
def found():
    return analyse(SWEEP.cells(0), OPTIONS).as_dict()


@pytest.fixture(scope="module")
def panel(found):
    return found["panels"][0]


def changed(cells, change):
    """The cells with `change(row)` done to each; a row for which it returns False is left out."""
    rows = [row for row in cells.to_pylist() if change(row) is not False]
    return pa.Table.from_pylist(rows, schema=cells.schema)


def with_changed(name, value):
    """The cells with a value of the fifth changed."""
    rows = SWEEP.cells(0).to_pylist()
    rows[4][name] = value
    return pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in CELLS]))


def sentences(found, start=""):
    return [one for one in found["conclusion"] if start in one]


def test_it_is_plain_json_with_every_key_that_the_docstring_names(found, panel):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for record in (found, panel, *(panel[name][0] for name in panel if panel[name] and isinstance(panel[name], list)
                                   and isinstance(panel[name][0], dict))):  # fmt: skip
        for key in record:
            assert key in module.__doc__, key


def test_the_same_cells_in_another_order_give_the_same_bytes(found):
    cells = SWEEP.cells(0)
    shuffled = cells.take(np.random.default_rng(0).permutation(len(cells)))
    assert json.dumps(analyse(shuffled, OPTIONS).as_dict()) == json.dumps(found)


def test_a_real_effect_is_claimed_and_an_idle_score_is_not(found, panel):
    idle, steep = panel["claims"]
    assert (idle["score"], steep["score"]) == ("idle", "steep")
    assert not any(idle[claim] for claim in ("better_than_random", "worse_than_random", "better_than_all"))
    assert idle["steeper"] is None
    assert steep["better_than_random"]
    assert steep["grows"]
    assert "is not shown" in sentences(found, "idle: that it is better or worse than keeping by chance")[0]
    assert "shown to be better" in sentences(found, "steep: shown")[0]
    assert sentences(found, "Only one proxy")


def test_each_budget_has_its_best_with_all_that_is_not_told_apart_from_it(panel):
    assert [best["size"] for best in panel["best"]] == list(SWEEP.sizes)
    for best in panel["best"]:
        right = min(SWEEP.kinds(), key=lambda kind: SWEEP.loss(*kind, best["size"]))
        contenders = [(one["score"], one["fraction"]) for one in best["not_distinguishable"]]
        assert right in contenders
        assert contenders[0] == (best["score"], best["fraction"])
        assert best["lowest_fraction"] <= best["fraction"] <= best["highest_fraction"]
        assert best["train_tokens"] is None  # one epoch of each fraction


def test_a_budget_of_equal_training_names_its_tokens():
    found = analyse(changed(SWEEP.cells(0), lambda row: row.update(train_tokens=5_000_000)), OPTIONS)
    assert {best.train_tokens for best in found.panels[0].best} == {5_000_000.0}


def test_one_seed_has_no_band_and_shows_nothing():
    found = analyse(changed(SWEEP.cells(0), lambda row: row["seed"] == 0), OPTIONS).as_dict()
    panel = found["panels"][0]
    assert panel["noise"] is None
    assert "one seed (0): no band" in panel["notes"][0]
    assert {line["low"] is None for line in panel["frontiers"]} == {True}
    assert {one["shown"] for one in panel["effects"]} == {False}
    assert not any(claim["better_than_random"] for claim in panel["claims"])
    assert sentences(found, "One seed: there is no band, and nothing is shown.")
    assert not sentences(found, "is shown to be lower")


def test_one_size_has_no_slope_and_says_so():
    found = analyse(changed(SWEEP.cells(0), lambda row: row["size"] == 4_000_000), OPTIONS).as_dict()
    panel = found["panels"][0]
    assert panel["slopes"] == []
    assert panel["control"] is not None  # by chance, at several fractions
    assert any("one size (4000000 tokens): no slope" in note for note in panel["notes"])
    assert sentences(found, "One size: there is no slope")
    assert len(panel["best"]) == 1


def test_a_single_cell_is_analysed_for_what_it_is():
    found = analyse(SWEEP.cells(0).slice(0, 1), OPTIONS).as_dict()
    assert found["panels"][0]["best"][0]["score"] == "all"
    assert found["panels"][0]["effects"] == []


def test_without_a_control_nothing_is_laid_to_the_score():
    found = analyse(changed(SWEEP.cells(0), lambda row: row["score"] != "random"), OPTIONS).as_dict()
    assert any("no random control" in note for note in found["panels"][0]["notes"])
    assert len(sentences(found, "there is no random control beside it")) == 2


def test_without_cells_that_keep_everything_the_rest_is_analysed():
    found = analyse(changed(SWEEP.cells(0), lambda row: row["score"] != "all"), OPTIONS).as_dict()
    panel = found["panels"][0]
    assert any("no cell keeps everything" in note for note in panel["notes"])
    assert {one["against"] for one in panel["effects"]} == {"random"}
    assert panel["slopes"]


def test_a_missing_cell_is_named_and_the_rest_is_analysed(panel):
    def here(row):
        return (row["score"], row["fraction"], row["size"], row["seed"]) != ("steep", 0.4, 2_000_000, 1)

    found = analyse(changed(SWEEP.cells(0), here), OPTIONS).as_dict()
    part = found["panels"][0]
    assert part["missing"] == [{"score": "steep", "fraction": 0.4, "size": 2_000_000, "seed": 1}]
    assert "missing: steep 0.4 at 2000000 tokens, seed 1; the rest was analysed" in part["notes"]
    assert found["notes"] == ["1 cells of the grid are missing; all else was analysed."]
    assert len(part["slopes"]) == len(panel["slopes"])


def test_a_configuration_that_is_missing_altogether_is_named_too():
    part = analyse(
        changed(SWEEP.cells(0), lambda row: (row["score"], row["size"]) != ("idle", 8_000_000)), OPTIONS
    ).panels[0]
    assert len(part.missing) == 4 * 3
    assert {(one.score, one.size) for one in part.missing} == {("idle", 8_000_000)}


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", float("nan")), ("loss", float("inf")), ("loss", 0.0), ("loss", -1.0), ("kept_tokens", 0), ("loss", None),
     ("fraction", 1.5), ("fraction", float("nan")), ("epochs", float("inf")), ("size", -5)],
)  # fmt: skip
def test_a_value_that_no_cell_can_have_is_refused_with_the_cell(name, value):
    with pytest.raises(InputError, match=rf"cells: {name} of pool web, proxy planted, score .*, seed 0 .*run the cell"):
        analyse(with_changed(name, value), OPTIONS)


def test_a_loss_of_a_domain_that_is_not_finite_is_refused_and_a_null_is_not():
    cells = SWEEP.cells(0)
    losses = np.array(cells["loss"].to_pylist())
    with_domain = cells.append_column("loss.books", pa.array([None, *losses[1:]]))
    books = analyse(with_domain, OPTIONS).as_dict()["panels"][0]["cells"][0]["domains"]["books"]
    assert books["loss"] == pytest.approx(losses[[i for i in range(len(cells)) if _same(cells, i)][1:]].mean())
    losses[3] = np.inf
    with pytest.raises(InputError, match=r"loss\.books of pool web"):
        analyse(cells.append_column("loss.books", pa.array(losses)), OPTIONS)


def _same(cells, i):
    return (cells["score"][i].as_py(), cells["size"][i].as_py()) == ("all", 1_000_000)


def test_a_cell_that_is_there_twice_is_refused():
    cells = SWEEP.cells(0)
    with pytest.raises(InputError, match=r"score all, fraction 1\.0, size 1000000, seed 0 is there twice"):
        analyse(pa.concat_tables([cells, cells.slice(0, 1)]), OPTIONS)


@pytest.mark.parametrize(("score", "fraction"), [("steep", 1.0), ("all", 0.5)])
def test_a_score_that_does_not_go_with_its_fraction_is_refused(score, fraction):
    rows = SWEEP.cells(0).to_pylist()
    rows[0].update(score=score, fraction=fraction)
    with pytest.raises(InputError, match="does not go with its score"):
        analyse(pa.Table.from_pylist(rows, schema=CELLS), OPTIONS)


def test_a_table_that_is_none_of_cells_is_refused():
    with pytest.raises(InputError, match="column fraction is missing"):
        analyse(SWEEP.cells(0).drop_columns(["fraction"]), OPTIONS)
    many = PlantedSweep(scores={f"s{i}": nothing for i in range(40)}, sizes=(1000,)).truth()
    with pytest.raises(InputError, match=r"165 of one size; .* leave some scores or fractions out"):
        analyse(many, OPTIONS)
    with pytest.raises(InputError, match="0 rows"):
        analyse(SWEEP.cells(0).slice(0, 0), OPTIONS)
    cells = SWEEP.cells(0)
    words = cells.set_column(cells.schema.get_field_index("size"), "size", pa.array(["x"] * len(cells)))
    with pytest.raises(InputError, match="not of its type"):
        analyse(words, OPTIONS)


@pytest.mark.parametrize("options", [{"draws": 10}, {"draws": 10**6}, {"seed": -1}])
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(RecipeError):
        AnalysisOptions(**options)


def test_two_proxies_are_two_panels_whose_rankings_are_compared():
    small = changed(SWEEP.cells(0), lambda row: row.update(parameters=1_000_000))
    large = changed(SWEEP.cells(1), lambda row: row.update(proxy="large", parameters=4_000_000))
    found = analyse(pa.concat_tables([large, small]), OPTIONS).as_dict()
    assert [panel["proxy"] for panel in found["panels"]] == ["large", "planted"]
    assert [one["proxies"] for one in found["agreement"]["proxies"]] == [["planted", "large"]] * 4
    for one in found["agreement"]["proxies"]:
        accuracy = one["decision_accuracy"]
        assert 0.8 < accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
        assert (one["seeds"], one["same_seeds"], one["larger_by"]) == ([1, 2], False, "parameters")
        assert one["kendall"]["value"] == pytest.approx(2 * accuracy["value"] - 1)
        assert one["decided"]["value"] >= accuracy["value"]
    assert len(found["agreement"]["sizes"]) == 2 * 6
    assert not sentences(found, "Only one proxy")


def test_a_reversed_ranking_is_reversed():
    small = SWEEP.cells(0)
    large = changed(small, lambda row: row.update(proxy="large", parameters=9, loss=1 / row["loss"]))
    one = analyse(pa.concat_tables([small, large]), OPTIONS).agreement.proxies[0]
    assert one.decision_accuracy.value < 0.1
    assert one.spearman.value < -0.95
    assert one.decided.value == 0.0


def test_ranks_are_those_of_scipy():
    values = np.array([3.0, 1.0, 1.0, 2.0])
    pairs = np.array(list(combinations(range(4), 2)))
    ranks = (_ranks(np.sign(values[pairs[:, 0]] - values[pairs[:, 1]])[None], pairs)[0] + len(values) + 1) / 2
    assert ranks.tolist() == rankdata(values).tolist()


def test_more_questions_make_each_answer_harder():
    cells = SWEEP.cells(0)
    wide = grids(cells)[0]
    few = grids(changed(cells, lambda row: row["score"] != "idle" and row["fraction"] in (1.0, 0.4)))[0]
    widths = []
    for grid in (wide, few):
        noise = measured_noise(grid, draws=2000, seed=0)
        found = effects(grid, noise.means, noise, 0.95)
        one = next(one for one in found if (one.score, one.fraction, one.size) == ("steep", 0.4, 1_000_000))
        row = np.zeros((1, len(grid)))
        row[0, grid.number("steep", 0.4, 1_000_000)], row[0, grid.number("random", 0.4, 1_000_000)] = 1.0, -1.0
        widths.append((one.change.high - one.change.low) / noise.standard_errors(row)[0])
    assert widths[0] > widths[1]


def test_without_any_effect_little_is_ever_claimed():
    sweep = PlantedSweep(scores={"first": nothing, "second": nothing, "third": nothing})
    claimed = 0
    for draw in range(40):
        grid = grids(sweep.cells(draw))[0]
        noise = measured_noise(grid, draws=600, seed=0)
        found = effects(grid, noise.means, noise, 0.95)
        claimed += any(one.shown and (one.against == "random" or one.change.value < 0) for one in found)
    assert claimed <= 5  # of 40 at 5 %: 2 are expected, and 6 or more come in one case of 70


def test_numbers_of_tokens_are_short():
    assert [tokens(n) for n in (5, 999, 1000, 12_345, 999_999, 2e12)] == ["5", "999", "1k", "12.3k", "1M", "2T"]


def test_the_docs_page_names_what_is_there():
    page = (Path(__file__).parents[3] / "docs" / "scaling" / "frontier.md").read_text()
    for name in ("analyse", "AnalysisOptions", "as_dict", "laws_frontier"):
        assert name in page
