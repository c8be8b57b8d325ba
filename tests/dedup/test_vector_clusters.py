"""Clusters of vectors and the stars in them, against plain Python."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup import vector_clusters
from corpusmill.dedup.vector_clusters import Limits, Vectors, clustered, crowding_of, settle
from corpusmill.documents.compiled import frozen


def stored(values: np.ndarray) -> Vectors:
    return Vectors((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16))


def topics(seed: int, count: int, topic_count: int = 12, noise: float = 0.1) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.normal(size=(topic_count, 16))[chance.integers(topic_count, size=count)] + noise * chance.normal(
        size=(count, 16)
    )


def plain_stars(vectors: np.ndarray, least: float) -> tuple[list[int], list[float]]:
    """Each document in order: the most similar one that stays before it, or none."""
    twins: list[int] = []
    alike: list[float] = []
    for place, vector in enumerate(vectors):
        staying = [other for other in range(place) if twins[other] < 0]
        similar = [float(vectors[other] @ vector) for other in staying]
        found = bool(similar) and max(similar) >= least
        twins.append(staying[int(np.argmax(similar))] if found else -1)
        alike.append(max(similar) if found else 0.0)
    return twins, alike


@pytest.mark.parametrize(("block", "chunk"), [(1024, 8192), (7, 3), (1, 1)])
@pytest.mark.parametrize("least", [0.8, 0.97])
def test_stars_are_those_of_plain_python_whatever_the_blocks(monkeypatch, block, chunk, least):
    monkeypatch.setattr(vector_clusters, "BLOCK", block)
    monkeypatch.setattr(vector_clusters, "CHUNK", chunk)
    vectors = stored(topics(0, 150))
    rows = np.random.default_rng(1).permutation(150)
    firsts = np.array([0, 50, 51, 120, 150])
    twins, alike = settle(vectors, rows, np.ones(150), firsts, Limits(least))
    for first, end in pairwise(firsts.tolist()):
        expected, similarities = plain_stars(vectors[rows[first:end]], least)
        assert [twin - first if twin >= 0 else -1 for twin in twins[first:end]] == expected
        assert np.allclose(alike[first:end], similarities, atol=1e-5)
    assert 0 < np.count_nonzero(twins >= 0) < 150


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 9), st.sampled_from([0.3, 0.5, 0.9]))
def test_a_block_is_settled_as_in_plain_python(seed, size, kept, least):
    chance = np.random.default_rng(seed)
    whole = np.round(chance.random((size, size)), 2).astype(np.float32)
    best = np.round(chance.random(size), 2).astype(np.float32)
    which = chance.integers(0, max(1, kept), size=size).astype(np.int32)
    undecided = np.flatnonzero(best < least).astype(np.int32)
    expected_best, expected_which, expected_stays = best.copy(), which.copy(), []
    for one in range(size):
        for number, other in enumerate(undecided.tolist()):
            if other < one and expected_stays[other] and whole[one, other] > expected_best[one]:
                expected_best[one], expected_which[one] = whole[one, other], kept + number
        expected_stays.append(float(expected_best[one]) < least)
    stays = np.zeros(size, np.bool_)
    among = frozen(whole[:, undecided])
    vector_clusters.settle_block(among, frozen(undecided), least, kept, best, which, stays)
    assert stays.tolist() == expected_stays
    assert best.tolist() == expected_best.tolist()
    assert which.tolist() == expected_which.tolist()


def test_a_chain_of_small_steps_leads_nowhere():
    """Each is like the next, but only those like the first go with it."""
    angles = np.arange(10) * 0.1
    vectors = stored(np.column_stack([np.cos(angles), np.sin(angles)]))
    twins, alike = settle(vectors, np.arange(10), np.ones(10), np.array([0, 10]), Limits(np.cos(0.25)))
    assert twins.tolist() == [-1, 0, 0, -1, 3, 3, -1, 6, 6, -1]
    assert np.allclose(alike[[1, 2]], np.cos([0.1, 0.2]), atol=1e-3)


@pytest.mark.parametrize("block", [1024, 2])
def test_texts_of_very_different_lengths_are_no_twins(monkeypatch, block):
    monkeypatch.setattr(vector_clusters, "BLOCK", block)
    vectors = stored(np.ones((6, 4)))
    lengths = np.array([100, 49, 201, 50, 200, 99], np.float32)
    twins, _ = settle(vectors, np.arange(6), lengths, np.array([0, 6]), Limits(0.9, 0.5))
    assert twins.tolist() == [-1, -1, -1, 0, 0, 0]
    anything, _ = settle(vectors, np.arange(6), lengths, np.array([0, 6]), Limits(0.9))
    assert anything.tolist() == [-1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("block", [1024, 7])
def test_how_crowded_it_is_around_a_vector_is_the_similarity_to_its_eighth_neighbour(monkeypatch, block):
    monkeypatch.setattr(vector_clusters, "BLOCK", block)
    vectors = stored(topics(8, 100))
    rows = np.random.default_rng(0).permutation(100)
    alike = vectors[rows] @ vectors[rows].T
    np.fill_diagonal(alike, -2)
    assert np.allclose(crowding_of(vectors, rows), np.sort(alike, axis=1)[:, -8], atol=1e-6)
    assert (crowding_of(vectors, rows[:8]) == -1).all()
    monkeypatch.setattr(vector_clusters, "CROWD", 34)  # so that every third is in the sample
    assert np.allclose(crowding_of(vectors, rows), np.sort(alike[:, ::3], axis=1)[:, -8], atol=1e-6)


def test_in_a_crowd_being_alike_is_not_enough_but_being_equal_is():
    """Two pairs of the same similarity, one of them among forty texts of one kind; and a copy of one of those."""
    chance = np.random.default_rng(0)
    kind = np.concatenate([np.ones((40, 1)), 0.35 * chance.normal(size=(40, 60)) / np.sqrt(60)], axis=1)
    pair = np.zeros((2, 61))
    pair[:, 1:] = chance.normal(size=60)
    pair[1, 1:] += 0.33 * chance.normal(size=60)
    vectors = stored(np.concatenate([kind, pair, kind[3:4]]))
    rows, lengths, firsts = np.arange(43), np.ones(43), np.array([0, 43])
    plain, _ = settle(vectors, rows, lengths, firsts, Limits(0.85))
    assert np.count_nonzero(plain >= 0) > 30
    assert plain[41] == 40
    twins, _ = settle(vectors, rows, lengths, firsts, Limits(0.85, max_distance_ratio=0.4))
    assert {int(gone): int(twins[gone]) for gone in np.flatnonzero(twins >= 0)} == {41: 40, 42: 3}


def test_copies_of_one_text_go_however_many_they_are():
    vectors = stored(np.concatenate([np.repeat(topics(9, 3), 20, axis=0), topics(10, 50)]))
    limits = Limits(0.9, max_distance_ratio=0.4)
    twins, _ = settle(vectors, np.arange(110), np.ones(110), np.array([0, 110]), limits)
    assert twins[:60].tolist() == [-1, *[0] * 19, -1, *[20] * 19, -1, *[40] * 19]


def test_equal_vectors_are_similar_at_1():
    vectors = stored(np.repeat(topics(2, 30), 2, axis=0))
    twins, alike = settle(vectors, np.arange(60), np.ones(60), np.array([0, 60]), Limits(1.0))
    assert (twins[1::2] == np.arange(0, 60, 2)).all()
    assert (alike[1::2] <= 1).all()
    assert (alike[1::2] > 1 - 1e-6).all()


def test_vectors_are_in_the_cluster_whose_centroid_is_nearest_and_topics_stay_together():
    values = topics(3, 1000)
    vectors = stored(values)
    parts = clustered(vectors, np.arange(1000), 30, seed=0)
    assert sorted(set(parts.labels.tolist())) == list(range(parts.labels.max() + 1))
    assert 12 <= parts.labels.max() + 1 <= 30
    chance = np.random.default_rng(3)
    chance.normal(size=(12, 16))
    topic = chance.integers(12, size=1000)
    for label in range(parts.labels.max() + 1):
        assert len(set(topic[parts.labels == label].tolist())) == 1
        members = vectors[np.flatnonzero(parts.labels == label)]
        centre = members.mean(axis=0) / np.linalg.norm(members.mean(axis=0))
        assert np.abs(members @ centre - parts.nearness[parts.labels == label]).max() < 0.05


def test_a_large_cluster_is_parted_again_until_pieces_are_small(monkeypatch):
    monkeypatch.setattr(vector_clusters, "LARGEST", 100)
    vectors = stored(topics(4, 2000))
    whole = clustered(vectors, np.arange(2000), 2, seed=0)
    sizes = np.bincount(whole.labels)
    assert sizes.sum() == 2000
    assert sizes.min() > 0
    assert len(sizes) > 20
    assert sizes.max() <= 200  # as far as the depth allows


def test_no_more_than_so_many_that_stay_are_compared_with(monkeypatch):
    monkeypatch.setattr(vector_clusters, "LARGEST", 5)
    monkeypatch.setattr(vector_clusters, "BLOCK", 4)
    vectors = stored(np.concatenate([np.eye(16)[:12], np.eye(16)[:12]]))
    twins, _ = settle(vectors, np.arange(24), np.ones(24), np.array([0, 24]), Limits(0.9))
    assert twins[12:].tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1, -1, -1, -1]


def test_the_seed_and_the_rows_alone_decide_whatever_the_threads():
    from threadpoolctl import threadpool_limits

    vectors = stored(topics(5, 3000, topic_count=300, noise=0.5))
    once = clustered(vectors, np.arange(3000), 50, seed=1)
    with threadpool_limits(limits=2):
        again = clustered(vectors, np.arange(3000), 50, seed=1)
    assert once.labels.tobytes() == again.labels.tobytes()
    assert once.nearness.tobytes() == again.nearness.tobytes()
    assert clustered(vectors, np.arange(3000), 50, seed=2).labels.tobytes() != once.labels.tobytes()


def test_copies_of_few_vectors_cost_linear_time_and_memory():
    """100,000 copies of five vectors are five clusters, and each of them a star around its first."""
    rows = np.arange(100_000)
    vectors = stored(np.tile(topics(6, 5, topic_count=5), (20_000, 1)))
    begun = time.process_time()
    parts = clustered(vectors, rows, 316, seed=0)
    order = np.argsort(parts.labels, kind="stable")
    firsts = np.flatnonzero(np.diff(parts.labels[order], prepend=-1, append=-1))
    twins, _ = settle(vectors, order, np.ones(100_000), firsts, Limits(0.99))
    assert len(firsts) == 6
    assert np.count_nonzero(twins < 0) == 5
    assert time.process_time() - begun < 10


def test_one_vector_is_one_cluster():
    parts = clustered(stored(topics(7, 1)), np.arange(1), 10, seed=0)
    assert parts.labels.tolist() == [0]
    assert parts.nearness[0] > 0.999
