"""Which documents the cells of a sweep train on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.mix.keys import HELD_OUT, TRAIN
from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.pools import Cell, check_heldout, check_scores, heldout_rows, pool_tokens, select, sizes_of
from corpusmill.scaling.sweep_options import Heldout, Pool, Score, SweepOptions

OPTIONS = SweepOptions(
    pools={"web": Pool(sources=("web",))},
    scores={"quality": Score(measure="quality.score")},
    sizes=(0.5, 1.0),
    proxies={"ngram": {}},
)
CELL = Cell(pool="web", score="quality", fraction=0.5, size=10**9, seed=0, proxy="ngram")


def table(count: int, **columns: Any) -> pa.Table:
    """Documents of one part of the source `web`, a token longer each, whose score is their number."""
    tokens = np.asarray(columns.get("tokens", np.arange(1, count + 1)), np.int64)
    return pa.table(
        {
            "source": pa.array(columns.get("source", ["web"] * count)),
            "id": [f"{number:04}" for number in range(count)],
            "id_hash": np.random.default_rng(7).integers(0, 2**63, count, dtype=np.uint64),
            "part": np.zeros(count, np.int32),
            "first": np.cumsum(tokens) - tokens,
            "tokens": tokens,
            "text_bytes": tokens * 3,
            "split": np.asarray(columns.get("split", [TRAIN] * count), np.int8),
            "pool.web": pa.array(columns.get("pool", [True] * count)),
            "score.quality": pa.array(columns.get("scores", np.arange(count, dtype=float)), pa.float64()),
        }
    )


def grouped(documents: pa.Table, *groups: int) -> pa.Table:
    return documents.append_column("group_hash", pa.array(groups, pa.uint64()))


def test_the_highest_scores_stay() -> None:
    chosen = select(table(40), CELL, "high", 1)
    assert chosen.pool_tokens == 820
    left = sorted(chosen.rows.tolist())
    assert left == list(range(left[0], 40))
    assert abs(chosen.kept_tokens - 410) <= 20


def test_the_lowest_scores_stay() -> None:
    left = sorted(select(table(40), CELL, "low", 1).rows.tolist())
    assert left == list(range(len(left)))


def test_the_middle_stays_with_as_many_tokens_on_either_side() -> None:
    documents = table(400)
    left = sorted(select(documents, replace(CELL, fraction=0.2), "middle", 1).rows.tolist())
    assert left == list(range(left[0], left[-1] + 1))
    tokens = documents["tokens"].to_numpy()
    below, above = tokens[: left[0]].sum(), tokens[left[-1] + 1 :].sum()
    assert abs(below - above) <= 2 * tokens.max()


def test_equal_scores_are_kept_by_chance_and_not_by_their_order() -> None:
    documents = table(200, scores=[1.0] * 200, tokens=[1] * 200)
    left = select(documents, CELL, "high", 1).rows
    assert len(left) == 100
    assert 60 < left.mean() < 140
    other = select(documents, replace(CELL, seed=1), "high", 1).rows
    assert set(left.tolist()) != set(other.tolist())


def test_the_control_keeps_as_many_tokens_as_a_score() -> None:
    documents = table(400)
    control = select(documents, replace(CELL, score=RANDOM), "high", 1)
    scored = select(documents, CELL, "high", 1)
    assert abs(control.kept_tokens - scored.kept_tokens) <= 400
    means = np.mean(control.rows), np.mean(scored.rows)
    assert means[0] < 240 < means[1]


def test_what_a_smaller_fraction_keeps_a_larger_one_keeps_too() -> None:
    documents = table(100)
    for score in ("quality", RANDOM):
        cell = replace(CELL, score=score)
        small = set(select(documents, replace(cell, fraction=0.2), "high", 1).rows.tolist())
        large = set(select(documents, replace(cell, fraction=0.6), "high", 1).rows.tolist())
        assert small < large


def test_a_smaller_pool_is_part_of_a_larger_one_of_the_same_seed() -> None:
    documents = table(100)
    everything = replace(CELL, score=ALL, fraction=1.0)
    small = select(documents, replace(everything, size=500), "high", 1)
    large = select(documents, replace(everything, size=2000), "high", 1)
    assert set(small.rows.tolist()) < set(large.rows.tolist())
    assert abs(small.pool_tokens - 500) <= 50
    other = select(documents, replace(everything, size=500, seed=1), "high", 1)
    assert set(other.rows.tolist()) != set(small.rows.tolist())


def test_the_order_of_training_is_not_that_of_the_scores() -> None:
    rows = select(table(300), CELL, "high", 1).rows
    assert abs(np.corrcoef(np.arange(len(rows)), rows)[0, 1]) < 0.2


def test_held_out_documents_are_never_trained_on() -> None:
    splits = [HELD_OUT if number % 4 == 0 else TRAIN for number in range(80)]
    documents = table(80, split=splits)
    for score in (ALL, RANDOM, "quality"):
        rows = select(documents, replace(CELL, score=score, fraction=1.0), "high", 1).rows
        assert not set(rows.tolist()) & set(range(0, 80, 4))
    assert set(heldout_rows(documents, OPTIONS)["web"].tolist()) == set(range(0, 80, 4))


def test_a_domain_is_cut_at_its_tokens() -> None:
    documents = table(80, split=[HELD_OUT] * 80)
    rows = heldout_rows(documents, replace(OPTIONS, heldout=Heldout(max_tokens=500)))["web"]
    assert abs(documents["tokens"].to_numpy()[rows].sum() - 500) <= 40


def test_of_a_source_that_a_pool_takes_a_part_of_that_part_is_held_out() -> None:
    documents = table(80, split=[HELD_OUT] * 80, pool=[number < 30 for number in range(80)])
    assert set(heldout_rows(documents, OPTIONS)["web"].tolist()) == set(range(30))


def test_a_domain_without_held_out_documents_is_refused() -> None:
    with pytest.raises(InputError, match=r"no document of web is held out; raise heldout.share"):
        heldout_rows(table(5), OPTIONS)


def test_sizes_are_tokens_or_shares_of_the_smallest_pool() -> None:
    documents = table(40)
    assert pool_tokens(documents, "web") == 820
    assert sizes_of(documents, replace(OPTIONS, sizes=(1.0, 100, 0.5))) == (100, 410, 820)
    with pytest.raises(RecipeError, match=r"821 tokens, and the pool web has 820 to train on"):
        sizes_of(documents, replace(OPTIONS, sizes=(100, 821)))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_score_that_is_null_is_refused_with_a_document(value: float | None) -> None:
    scores: list[float | None] = [*map(float, range(9)), value]
    with pytest.raises(InputError, match=r"quality.score is null for 1 of 10 documents of the pool web, such as 0009"):
        check_scores(table(10, scores=scores), OPTIONS)
    check_scores(table(10, scores=scores, pool=[True] * 9 + [False]), OPTIONS)


def test_a_held_out_source_with_a_near_duplicate_in_a_pool_is_refused() -> None:
    documents = table(
        4, source=["web", "web", "exam", "exam"], pool=[True, True, False, False], split=[0, 0, HELD_OUT, HELD_OUT]
    )
    check_heldout(grouped(documents, 1, 2, 3, 4), ["exam"])
    with pytest.raises(InputError, match="1 of 2 documents of exam have near-copies in the pools, such as 0003"):
        check_heldout(grouped(documents, 1, 2, 3, 2), ["exam"])


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(-3, 3)), min_size=1, max_size=40),
    st.floats(0.01, 1.0),
    st.sampled_from(["high", "low", "middle"]),
    st.integers(1, 2000),
)
def test_what_is_kept_is_as_near_to_the_fraction_as_whole_documents_allow(
    drawn: list[tuple[int, int]], fraction: float, keep: Any, size: int
) -> None:
    tokens = [count for count, _ in drawn]
    documents = table(len(drawn), tokens=tokens, scores=[float(score) for _, score in drawn])
    chosen = select(documents, replace(CELL, fraction=fraction, size=size), keep, 3)
    assert len(set(chosen.rows.tolist())) == len(chosen.rows) >= 1
    assert chosen.kept_tokens == documents["tokens"].to_numpy()[chosen.rows].sum()
    assert abs(chosen.pool_tokens - min(size, sum(tokens))) <= max(tokens)
    assert abs(chosen.kept_tokens - fraction * chosen.pool_tokens) <= max(tokens)
