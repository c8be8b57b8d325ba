"""What a sweep's conclusion counts."""

from benchmarks.planted_sweeps import PlantedSweep, nothing, peaked
from corpusmill.scaling.frontier.analysis import AnalysisOptions, analyse

OPTIONS = AnalysisOptions(draws=200)


def of_score(score, worth, sizes):
    sweep = PlantedSweep(scores={score: worth}, sizes=sizes, fractions=(0.4,))
    return next(one for one in analyse(sweep.cells(0), OPTIONS).panels[0].conclusion if one.startswith(score))


def test_the_mean_over_sizes_is_counted_apart_from_the_comparisons_of_one_size():
    told = of_score("worse", peaked(0.4, 0.5), (1_000_000, 2_000_000))
    assert told.startswith("worse: shown to be worse in 2 of 2 comparisons of one size and 1 of 1 mean over sizes (the")
    told = of_score("better", peaked(0.4, 2.0), (1_000_000, 2_000_000, 4_000_000))
    assert "shown to be better in 3 of 3 comparisons of one size and 1 of 1 mean over sizes" in told


def test_of_one_size_there_is_no_mean_over_sizes():
    told = of_score("better", peaked(0.4, 2.0), (1_000_000,))
    assert "shown to be better in 1 of 1 comparison (the largest" in told


def test_what_is_not_shown_tells_how_many_differences_are_means_over_sizes():
    told = of_score("idle", nothing, (1_000_000, 2_000_000))
    assert "is not shown; the largest of 3 differences (1 mean over sizes among them) is" in told
