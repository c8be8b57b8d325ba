"""Containment of the smaller set in the larger: sizes, estimates, exact values, decisions."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup.clusters import Verification, agreement_limits, containment_of, least_jaccard, settle
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.shingles import Shingles, ShingleSets, distinct, shingles_of
from corpusmill.dedup.signatures import signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen

SETS = st.lists(st.lists(st.sampled_from([0, 1, 2, 2**32, 2**63, 2**64 - 1]), max_size=9), min_size=1, max_size=6)


def shingles(documents: list[list[int]]) -> Shingles:
    firsts = np.cumsum([0, *map(len, documents)]).astype(np.int32)
    hashes = np.array([value for document in documents for value in document], np.uint64)
    return Shingles(frozen(firsts), frozen(hashes), np.diff(firsts))


@given(SETS)
def test_different_shingles_are_counted_as_python_counts_them(documents):
    assert distinct(shingles(documents)).tolist() == [len(set(document)) for document in documents]


@given(SETS)
def test_exact_containment_equals_that_of_python_sets(tmp_path_factory, documents):
    sets = ShingleSets(tmp_path_factory.mktemp("sets") / "shingles.bin")
    sets.add(shingles(documents))
    left, right = (places.ravel() for places in np.indices((len(documents), len(documents))))
    plain = [
        len(set(documents[one]) & set(documents[two])) / (min(len(set(documents[one])), len(set(documents[two]))) or 1)
        for one, two in zip(left, right)
    ]
    assert sets.containment(left, right).tolist() == plain


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 1))
def test_containment_and_jaccard_similarity_of_a_pair_are_told_from_one_another(one, two, containment):
    jaccard = least_jaccard(containment, one, two)
    shared = containment * min(one, two)
    assert jaccard == pytest.approx(shared / (one + two - shared))
    assert containment_of(jaccard, one, two) == pytest.approx(containment)
    assert 0 < jaccard <= containment


@pytest.mark.parametrize(("smaller", "larger", "shared"), [(100, 100, 80), (100, 300, 90), (60, 90, 45)])
def test_the_estimate_of_containment_has_no_bias_and_the_error_that_its_limits_assume(smaller, larger, shared):
    """300 pairs: what is contained just enough is settled wrongly as often as at three standard errors."""
    chance = np.random.default_rng(shared)
    exact = shared / smaller
    least = least_jaccard(exact, smaller, larger)
    accepted_from, rejected_below = agreement_limits(least, 2.0, 112)
    agreeing = []
    for seed in range(300):
        union = chance.integers(0, 2**64, smaller + larger - shared, np.uint64)
        pair = shingles([union[:smaller].tolist(), union[smaller - shared :].tolist()])
        one, two = signatures_of(pair, 112, seed, 64)
        agreeing.append(int(np.count_nonzero(one == two)))
    estimates = [containment_of(agree / 112, smaller, larger) for agree in agreeing]
    slope = (smaller + larger) / (smaller * (1 + least) ** 2)  # of containment over Jaccard similarity
    error = slope * (least * (1 - least) / 112) ** 0.5
    assert abs(np.mean(estimates) - exact) < 4 * error / 300**0.5 + 0.01  # the curve bends a little
    assert 0.8 * error < np.std(estimates) < 1.25 * error
    outside = np.mean([agree >= accepted_from or agree < rejected_below for agree in agreeing])
    assert 0.01 < outside < 0.09


def test_what_is_contained_far_enough_by_signatures_goes_without_a_look_at_texts():
    """Half of the larger set's values are the smaller one's: Jaccard .5, containment 1."""
    signatures = np.tile(np.arange(112, dtype=np.uint16), (3, 1))
    signatures[1, :56] += 1000
    signatures[2, :108] += 2000
    stars = settle(
        signatures,
        np.arange(3, dtype=np.uint32),
        np.array([0, 3]),
        bands=14,
        rows=8,
        verification=Verification(0.7, 3.0, 112, contained=True),
        exact_similarity=None,
        sizes=np.array([200, 100, 100], np.int32),
    )
    assert stars.twins.tolist() == [-1, 0, -1]
    assert stars.similarities.tolist() == [0.0, 1.0, 0.0]


def quotation(chance: random.Random, words: int, quoted: int) -> tuple[str, str]:
    """A text, and one of as many words of its beginning with some others behind them."""
    text = [f"w{chance.randrange(100_000)}" for _ in range(words)]
    short = text[:quoted] + [f"w{chance.randrange(100_000)}" for _ in range(chance.randrange(25))]
    return " ".join(text), " ".join(short)


def test_what_stands_in_a_longer_document_goes_as_far_as_it_is_proposed(decided):
    chance = random.Random(0)
    texts = [text for _ in range(300) for text in quotation(chance, 200, chance.randrange(70, 150))]
    found = shingles_of(TextBatch.of_texts(texts), 5, False)
    sets = [set(found.hashes[begin:end].tolist()) for begin, end in zip(found.firsts[:-1], found.firsts[1:])]
    pairs = list(zip(sets[::2], sets[1::2]))
    exact = np.array([len(one & two) / min(len(one), len(two)) for one, two in pairs])
    jaccard = np.array([len(one & two) / len(one | two) for one, two in pairs])
    many = {"similarity": "containment", "min_similarity": 0.8, "bands": 37, "rows": 3, "keep": "longest"}
    outcome = decided(MinHashDedup(**many), texts)
    gone = np.isin(np.arange(300), [document // 2 for document in outcome.gone])
    assert all(kept == document - 1 for document, kept in outcome.gone.items())
    assert not gone[exact < 0.8].any()
    likely = 1 - (1 - jaccard**3) ** 37 > 0.99
    assert np.count_nonzero(likely & (exact > 0.8)) > 100
    assert gone[likely & (exact > 0.8)].mean() > 0.98
    read = {document // 2 for reads in outcome.reads for document in reads}
    for document, similarity in outcome.similarities.items():
        assert abs(similarity - exact[document // 2]) < (1e-6 if document // 2 in read else 0.25)
    # By Jaccard similarity, the same documents stay.
    assert not decided(MinHashDedup(**{**many, "similarity": "jaccard"}), texts).gone
