"""Whether two runs rank alike is asked of seeds that only one of them has, and which run is the larger of its cost."""

import doctest

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.planted_sweeps import PlantedSweep, nothing, peaked
from corpusmill.scaling.contract import CELLS
from corpusmill.scaling.frontier import conclusion
from corpusmill.scaling.frontier.agreement import _MOST_SPLITS, _halves, _splits
from corpusmill.scaling.frontier.analysis import AnalysisOptions, Asked, analyse

SIZES = (60_000, 120_000)
CHANCE = ("random", "a", "b", "c", "d")
OPTIONS = AnalysisOptions(draws=200)
SWEEP = PlantedSweep(scores={"a": peaked(0.4, 1.5)}, sizes=(1_000_000, 2_000_000), fractions=(0.6, 0.4, 0.2))


def made(loss, *, seeds=3, proxies=("one", "two"), scores=CHANCE, **more):
    """Cells at fraction .5 whose loss is `exp(loss(proxy, size, score, seed))`."""
    rows = [
        {
            "pool": "web", "score": score, "fraction": 0.5, "size": size, "pool_tokens": size,
            "kept_tokens": size // 2, "kept_documents": size // 1000, "train_tokens": size // 2, "epochs": 1.0,
            "seed": seed, "proxy": proxy, "parameters": None, "flops": None, "seconds": 1.0,
            "loss": float(np.exp(loss(proxy, size, score, seed))),
            **{name: value[proxy] for name, value in more.items()},
        }
        for proxy in proxies for size in SIZES for score in scores for seed in range(seeds)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=CELLS)


def lucky(draw):
    """Prunings that are by chance alone: a seed's documents are what both proxies and both sizes have in common."""
    rng = np.random.default_rng(draw)
    luck = {(score, seed): rng.normal(0, 0.01) for score in CHANCE for seed in range(10)}
    return lambda proxy, size, score, seed: luck[score, seed] + rng.normal(0, 0.001)


def agreed(cells, asked=None):
    found = analyse(cells, OPTIONS, asked).agreement
    return found.proxies, found.sizes


def test_luck_that_two_runs_share_is_no_agreement():
    values = {"proxies": [], "sizes": []}
    for draw in range(25):
        for kind, found in zip(values, agreed(made(lucky(draw))), strict=True):
            values[kind] += [one.decision_accuracy.value for one in found]
            assert {(one.seeds, one.same_seeds) for one in found} == {((1, 2), False)}
    assert np.mean(values["proxies"]) == pytest.approx(0.5, abs=0.1)  # the same seeds rank 95 % of the pairs alike
    assert np.mean(values["sizes"]) == pytest.approx(0.5, abs=0.1)


def test_prunings_that_differ_are_ranked_alike_by_other_seeds_too():
    rank = {score: 0.05 * place for place, score in enumerate(CHANCE)}
    noise = lucky(0)
    proxies, sizes = agreed(made(lambda *cell: rank[cell[2]] + noise(*cell)))
    for one in (*proxies, *sizes):
        assert one.decision_accuracy.value == 1.0
        assert one.decided.value == 1.0
        assert one.spearman.value == pytest.approx(1.0)
        assert one.kendall.value == 1.0


def test_one_seed_has_the_same_documents_and_the_conclusion_says_so():
    found = analyse(made(lucky(0), seeds=1), OPTIONS)
    one = found.agreement.proxies[0]
    assert (one.seeds, one.same_seeds, one.shared_documents) == ((1, 1), True, 1.0)
    assert one.decision_accuracy.low is None
    told = [sentence for sentence in found.conclusion if "rank" in sentence]
    assert len(told) == 4
    assert all("one seed and so the same documents: luck that they share counts as agreement, which is overstated"
               in sentence for sentence in told)  # fmt: skip


def test_the_conclusion_names_the_seeds_of_each_side():
    told = [sentence for sentence in analyse(made(lucky(0)), OPTIONS).conclusion if " rank " in sentence]
    assert told[0].startswith("web: one and two at 60k tokens rank ")
    assert told[0].endswith("; of 1 seed of one beside 2 others of two.")
    assert told[-1].startswith("web, two: 60k and 120k tokens rank ")
    assert told[-1].endswith("; of 1 seed of 60k tokens beside 2 others of 120k tokens.")


def test_a_pool_that_most_documents_are_taken_from_is_shared_by_all_seeds():
    cells = made(lucky(0))
    asked = Asked(sizes=SIZES, seeds=(0, 1, 2), treatments=tuple((score, 0.5) for score in CHANCE),
                  proxies=("one", "two"), pool_tokens={"web": 150_000})  # fmt: skip
    proxies, sizes = agreed(cells, asked)
    assert [one.shared_documents for one in proxies] == [pytest.approx(0.4), pytest.approx(0.8)]
    assert [one.shared_documents for one in sizes] == [pytest.approx(0.8)] * 2
    told = analyse(cells, OPTIONS, asked).conclusion
    assert any("80% of the documents of 60k tokens are to be expected in 120k tokens, too" in one for one in told)


@pytest.mark.parametrize(
    ("more", "larger_by", "order"),
    [
        ({}, None, ("one", "two")),
        ({"parameters": {"one": 9, "two": 8}, "seconds": {"one": 1.0, "two": 5.0}}, "parameters", ("two", "one")),
        ({"parameters": {"one": 9, "two": None}, "flops": {"one": 1e9, "two": 2e9}}, "flops", ("one", "two")),
        ({"flops": {"one": 1e9, "two": None}, "seconds": {"one": 3.0, "two": 2.0}}, "seconds", ("two", "one")),
        ({"seconds": {"one": 1.2, "two": 1.0}}, None, ("one", "two")),
    ],
)
def test_the_larger_proxy_is_known_by_its_parameters_or_by_what_it_cost(more, larger_by, order):
    found = analyse(made(lucky(0), **more), OPTIONS)
    assert {(one.larger_by, one.proxies) for one in found.agreement.proxies} == {(larger_by, order)}


def test_which_run_tells_pairs_apart_is_named_and_not_called_larger_where_nobody_knows():
    rank = {score: 0.05 * place for place, score in enumerate(CHANCE)}
    noise = lucky(0)
    words = {None: "(which of them is the larger is not known)", "seconds": "(the larger by its seconds of training)"}
    for larger_by, seconds in ((None, 1.0), ("seconds", 2.0)):
        cells = made(lambda *cell: rank[cell[2]] + noise(*cell), seconds={"one": 1.0, "two": seconds})
        told = next(one for one in analyse(cells, OPTIONS).conclusion if one.startswith("web: one and two"))
        assert f"of those that are told apart by two {words[larger_by]}" in told


def test_seeds_are_split_in_every_way_if_they_are_few_and_in_twenty_if_they_are_many():
    three = _splits(frozenset({0, 1, 2}), frozenset({0, 1, 2}))
    assert three == [({0}, {1, 2}), ({1}, {0, 2}), ({2}, {0, 1})]
    assert len(_halves([0, 1, 2, 3, 4, 5])) == 20
    many = _halves(list(range(30)))
    assert 10 < len(many) <= _MOST_SPLITS
    assert {len(half) for half in many} == {15}
    assert many == _halves(list(range(30)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({0}, {0}, [({0}, {0})]),
        ({0}, {0, 1}, [({0}, {1})]),
        ({0, 1}, {0}, [({1}, {0})]),
        ({0, 1}, {2}, [({0, 1}, {2})]),
        ({0, 1, 2}, {1, 2, 3}, [({0, 1}, {2, 3}), ({0, 2}, {1, 3})]),
    ],
)
def test_a_seed_that_only_one_run_has_stays_with_it(first, second, expected):
    assert _splits(frozenset(first), frozenset(second)) == expected


def test_a_missing_cell_leaves_its_pairs_to_the_other_seeds():
    rows = [
        row
        for row in SWEEP.cells(0).to_pylist()
        if (row["score"], row["fraction"], row["size"], row["seed"]) != ("a", 0.4, 1_000_000, 0)
    ]
    (one,) = analyse(pa.Table.from_pylist(rows, schema=CELLS), OPTIONS).agreement.sizes
    (whole,) = analyse(SWEEP.cells(0), OPTIONS).agreement.sizes
    assert one.configurations == whole.configurations == 7
    assert one.decision_accuracy.value == pytest.approx(whole.decision_accuracy.value, abs=0.1)


def test_with_more_seeds_on_each_side_the_interval_is_narrower():
    def agreement(seeds):
        sweep = PlantedSweep(scores={"a": peaked(0.4, 1.05), "b": nothing}, sizes=SIZES, seeds=seeds)
        return analyse(sweep.cells(0), OPTIONS).agreement.sizes[0]

    few, many = agreement(2), agreement(12)
    assert (few.seeds, many.seeds) == ((1, 1), (6, 6))
    assert many.decision_accuracy.high - many.decision_accuracy.low < (
        few.decision_accuracy.high - few.decision_accuracy.low
    )


def test_examples_in_docstrings_hold():
    assert doctest.testmod(conclusion).failed == 0
