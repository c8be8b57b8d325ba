from contextlib import closing

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpusmill.pipeline.explain import Ledgers, recipe_stages
from corpusmill.pipeline.histograms import BINS, Histogram, bars, histograms


@pytest.fixture(scope="module")
def ledgers():
    with closing(Ledgers()) as opened:
        yield opened


@pytest.fixture(scope="module")
def drawn(small_run, ledgers):
    specs = recipe_stages(small_run.manifest, small_run.folder, "posts")
    dropped = {stage["stage"]: stage["dropped"] for stage in small_run.manifest["sources"]["posts"]["stages"]}
    return histograms(ledgers, small_run.folder / "posts/ledger", specs, dropped)


def test_measures_of_rules_that_dropped_something_are_shown(drawn):
    assert [(found.stage, found.measure) for found in drawn] == [("gopher_quality", "words")]
    assert drawn[0].bounds == (("at_least", 5.0), ("at_most", 100_000.0))


def test_bins_hold_every_document_that_reached_the_stage(drawn, small_run):
    [words] = drawn
    [part] = (small_run.folder / "posts/ledger").glob("part-*.parquet")
    values = pq.read_table(part)["gopher_quality.words"].drop_null().to_numpy()
    edges = [words.edge(index) for index in range(BINS + 1)]
    expected, _ = np.histogram(np.log10(1 + values), bins=np.log10(1 + np.array(edges)))
    assert words.logarithmic
    assert list(words.counts) == expected.tolist()
    assert sum(words.broken) == int(((values < 5) | (values > 100_000)).sum()) == 2


def test_a_share_is_drawn_from_0_to_1():
    share = Histogram("language", "score", 1.0, False, (3,) + (0,) * 38 + (7,), (3,) + (0,) * 39, (("at_least", 0.65),))
    assert share.place(0.65) == 0.65
    assert share.edge(20) == 0.5
    low, high = bars(share, 320, 90)
    assert (low["x"], low["gone"], low["tall"]) == (0, low["tall"], low["tall"])
    assert (high["tall"], high["gone"], high["documents"]) == (90, 0, 7)


def test_a_source_without_filters_or_ledger_has_none(small_run, ledgers, tmp_path):
    notes = recipe_stages(small_run.manifest, small_run.folder, "notes")
    assert histograms(ledgers, small_run.folder / "notes/ledger", notes, {}) == []
    posts = recipe_stages(small_run.manifest, small_run.folder, "posts")
    assert histograms(ledgers, tmp_path, posts, {"gopher_quality": {"too_few_words": 1}}) == []
