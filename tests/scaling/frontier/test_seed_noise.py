"""What seeds differ by, and that errors drawn from it are as large as they should be."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.planted_sweeps import PlantedSweep, nothing
from corpusmill.scaling.contract import ERRORS
from corpusmill.scaling.frontier.grid import grids
from corpusmill.scaling.frontier.seed_noise import measured_noise

SWEEP = PlantedSweep(scores={"a": nothing, "b": nothing})


def noise_of(cells, draws=1000, seed=0):
    return measured_noise(grids(cells)[0], draws=draws, seed=seed)


def test_the_same_seed_draws_the_same_errors_and_another_does_not():
    cells = SWEEP.cells(0)
    assert np.array_equal(noise_of(cells).draws, noise_of(cells).draws)
    assert not np.array_equal(noise_of(cells).draws, noise_of(cells, seed=1).draws)


def test_what_seeds_share_and_what_a_cell_has_of_its_own_are_told_apart():
    found = [noise_of(SWEEP.cells(draw)) for draw in range(12)]
    assert np.sqrt(np.mean([one.seed**2 for one in found])) == pytest.approx(0.004, rel=0.35)
    assert np.sqrt(np.mean([one.cell**2 for one in found])) == pytest.approx(0.002, rel=0.2)


def test_a_difference_within_a_size_is_surer_than_a_loss():
    sweep = PlantedSweep(scores={"a": nothing}, pool_noise=0.02)
    row = np.zeros((2, len(grids(sweep.cells(0))[0])))
    row[0, 1] = 1.0
    row[1, 1], row[1, 2] = 1.0, -1.0
    errors = np.array([noise_of(sweep.cells(draw), draws=200).standard_errors(row) for draw in range(8)])
    alone, difference = np.sqrt((errors**2).mean(axis=0))
    assert alone == pytest.approx(0.02 / np.sqrt(3), rel=0.4)
    assert difference < alone / 4


def test_draws_have_the_covariance_that_is_told_and_heavier_tails():
    noise = noise_of(SWEEP.cells(0), draws=20_000)
    row = np.zeros((1, len(noise.means)))
    row[0, 3], row[0, 5] = 1.0, -1.0
    t = (noise.draws @ row.T)[:, 0] / noise.standard_errors(row)
    assert t.std() == pytest.approx(np.sqrt(noise.degrees / (noise.degrees - 2)), rel=0.03)
    assert abs(t.mean()) < 0.03


def test_a_loss_itself_is_known_as_well_as_few_seeds_say():
    noise = noise_of(PlantedSweep(scores={"a": nothing}, pool_noise=0.02).cells(0), draws=20_000)
    t = noise.draws[:, 0] / np.sqrt(noise.covariance[0, 0])
    # Student's t with 2 degrees of freedom: 4.3 at 97.5 %, where the normal law has 1.96.
    assert np.quantile(t, 0.975) == pytest.approx(4.3, rel=0.12)


def on_documents(cells, draw, spread=0.01, folds=20):
    """These cells evaluated on a sample of documents, on which a score does better or worse than on all of them."""
    rng = np.random.default_rng([7, draw])
    rows = cells.to_pylist()
    hard = rng.normal(0, 0.1, folds)  # the same for all cells
    luck = {score: rng.normal(0, spread * np.sqrt(folds), folds) for score in sorted({row["score"] for row in rows})}
    for row in rows:
        effect = hard + luck[row["score"]]
        row["loss"] *= 1 + effect.mean()
        without = (effect.sum() - effect) / (folds - 1)
        row[ERRORS] = [(row["loss"] * (without - without.mean()) * np.sqrt(1 - 1 / folds)).tolist()]
    return pa.Table.from_pylist(rows, schema=cells.schema.append(pa.field(ERRORS, pa.list_(pa.list_(pa.float64())))))


def test_what_held_out_documents_do_to_a_score_is_in_the_errors_and_what_they_do_to_all_is_not():
    found = {True: [], False: []}
    for draw in range(40):
        cells = on_documents(SWEEP.cells(draw), draw)
        for known, table in ((True, cells), (False, cells.drop_columns([ERRORS]))):
            grid = grids(table)[0]
            noise = measured_noise(grid, draws=400, seed=0)
            row = np.zeros((1, len(grid)))
            row[0, grid.number("a", 0.4, SWEEP.sizes[-1])] = 1.0
            row[0, grid.number("random", 0.4, SWEEP.sizes[-1])] = -1.0
            found[known].append(float(row[0] @ noise.means) / noise.standard_errors(row)[0])
            assert (noise.heldout is None) == (not known)
    assert np.std(found[True]) == pytest.approx(1, rel=0.3)
    assert np.std(found[False]) > 3
    assert noise_of(cells).heldout == pytest.approx(0.01, rel=0.5)
    of_losses = np.sqrt(np.diag(noise_of(cells).covariance))
    assert of_losses.max() < 0.03  # documents that are hard for all add .02 to .03 to a loss alone


def test_few_held_out_documents_leave_heavy_tails():
    noise = noise_of(on_documents(SWEEP.cells(0), 0, folds=2), draws=20_000)
    row = np.zeros(len(noise.means))
    row[1], row[-1] = 1.0, -1.0
    t = noise.draws @ row / noise.standard_errors(row[None])[0]
    assert np.quantile(t, 0.975) > 7  # Student's with one degree of freedom has 12.7; a part is of seeds


def test_cells_of_which_some_know_nothing_of_documents_count_as_if_none_did():
    cells = on_documents(SWEEP.cells(0), 0)
    errors = cells[ERRORS].to_pylist()
    errors[5] = None
    kind = pa.list_(pa.list_(pa.float64()))
    cells = cells.drop_columns([ERRORS]).append_column(ERRORS, pa.array(errors, kind))
    assert noise_of(cells).heldout is None


def test_fewer_kept_tokens_are_noisier_where_they_are():
    sweep = PlantedSweep(scores={"a": nothing, "b": nothing}, score_noise=0.0, cell_noise=0.003)
    grid = grids(sweep.cells(1))[0]
    noise = measured_noise(grid, draws=400, seed=0)
    small, large = grid.number("a", 0.2, 1_000_000), grid.number("a", 0.8, 8_000_000)
    assert _own(noise, grid, small) > 1.3 * _own(noise, grid, large)


def _own(noise, grid, i):
    row = np.zeros((1, len(grid)))
    row[0, i] = 1.0
    row[0, grid.of_size(grid.configurations[i].size)] -= 1 / len(grid.of_size(grid.configurations[i].size))
    return noise.standard_errors(row)[0]


def test_a_missing_cell_changes_the_means_less_than_its_seed_does():
    cells = SWEEP.cells(0)
    gone = pc.and_(pc.and_(pc.equal(cells["score"], "a"), pc.equal(cells["seed"], 2)), pc.equal(cells["fraction"], 0.4))
    whole, part = noise_of(cells), noise_of(cells.filter(pc.invert(gone)))
    assert np.abs(whole.means - part.means).max() < 0.003
    naive = np.nanmean(grids(cells.filter(pc.invert(gone)))[0].log_loss, axis=1)
    assert np.abs(whole.means - part.means).max() < np.abs(whole.means - naive).max()


def test_seeds_that_give_the_same_loss_are_one_look():
    rows = SWEEP.cells(0).to_pylist()
    first = {}
    for row in rows:
        if row["size"] == SWEEP.sizes[-1] and row["score"] != "random":
            row["loss"] = first.setdefault((row["score"], row["fraction"]), row["loss"])
    grid = grids(SWEEP.cells(0).from_pylist(rows, schema=SWEEP.cells(0).schema))[0]
    noise = measured_noise(grid, draws=400, seed=0)
    copied = grid.number("a", 0.4, SWEEP.sizes[-1])
    random = grid.number("random", 0.4, SWEEP.sizes[-1])
    row = np.zeros((2, len(grid)))
    row[0, copied], row[0, random] = 1.0, -1.0
    row[1, grid.number("a", 0.4, SWEEP.sizes[0])], row[1, grid.number("random", 0.4, SWEEP.sizes[0])] = 1.0, -1.0
    there, elsewhere = noise.standard_errors(row)
    assert there > 0.5 * elsewhere


@pytest.mark.parametrize("same", [True, False])
def test_without_anything_to_measure_noise_by_there_is_none(same):
    cells = SWEEP.truth()
    if same:  # two seeds that change nothing
        rows = [*cells.to_pylist(), *({**row, "seed": 1} for row in cells.to_pylist())]
        cells = cells.from_pylist(rows, schema=cells.schema)
    assert noise_of(cells) is None
