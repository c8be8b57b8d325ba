"""Near-duplicate removal as a whole: parameters, proposals, decisions."""

import random
import time
from dataclasses import replace

import datasketch
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dedup import banding
from corpusmill.dedup.banding import Banding
from corpusmill.dedup.contract import Step
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents import sidecars
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"bands": 20, "rows": 6},
            "20 bands of 6 rows need 120 permutations, and there are 112; lower bands or rows, or",
        ),
        (
            {"permutations": 100},
            "14 bands of 8 rows need 112 permutations, and there are 100; .* permutations to 112 or",
        ),
        ({"threshold": 0.0}, "threshold: 0.0 is no similarity; it must be above 0 and at most 1, such as 0.75"),
        ({"threshold": 1.5}, "threshold: 1.5 is no similarity"),
        ({"min_similarity": 0}, "min_similarity: 0 is no similarity; it must be above 0 and at most 1"),
        ({"min_similarity": float("nan")}, "min_similarity: nan is no similarity"),
        (
            {"threshold": 0.8, "bands": 9},
            "threshold 0.8 chooses bands and rows, but 9 bands of 8 rows are asked for, too",
        ),
        ({"bands": 0}, "bands: 0 is too few; 1 or more are needed"),
        ({"ngram": -1}, "ngram: -1 is too few"),
        ({"margin": -0.5}, "margin: -0.5 is no number of standard errors; 3 is usual, 0 the least"),
        (
            {"margin": float("inf")},
            "margin: inf is no number of standard errors; 3 is usual, 0 the least, and with 1000",
        ),
        ({"permutations": 10**9}, "permutations: 1000000000 is too many; use at most 16384"),
        ({"permutations": 16_384, "bands": 2048}, "2048 bands are too many; use at most 1024 .* with more rows or a"),
        ({"permutations": 1500, "threshold": 0.001}, "bands are too many; use at most 1024 .* or a higher threshold"),
        ({"bands": 10**9}, "1000000000 bands of 8 rows need 8000000000 permutations"),
    ],
)
def test_parameters_that_cannot_be_are_refused_with_the_value_and_the_mend(options, message):
    with pytest.raises(RecipeError, match=rf"minhash_dedup.*{message}"):
        MinHashDedup(**options).prepare()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.75, 0.8, 0.9])
def test_a_threshold_chooses_the_bands_and_rows_that_datasketch_chooses(threshold):
    barrier = MinHashDedup(threshold=threshold, permutations=128)
    barrier.prepare()
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=128)
    assert barrier.banding == Banding(index.b, index.r)


def test_a_threshold_of_one_chooses_a_single_band_of_all_permutations():
    barrier = MinHashDedup(threshold=1.0)
    barrier.prepare()
    assert barrier.banding == Banding(1, 112)


def test_fineweb_s_parameters_are_the_default():
    MinHashDedup().prepare()
    assert MinHashDedup().banding == Banding(14, 8)
    assert MinHashDedup().ngram == 5


def similar_pair(chance: random.Random, words: int, changes: int) -> tuple[str, str]:
    text = [f"w{chance.randrange(100_000)}" for _ in range(words)]
    other = list(text)
    for place in chance.sample(range(words), changes):
        other[place] = "changed"
    return " ".join(text), " ".join(other)


def exact_jaccard(texts: list[str]) -> np.ndarray:
    """Similarity of each text at an even place to the next."""
    shingles = shingles_of(TextBatch.of_texts(texts), 5, False)
    sets = [set(shingles.hashes[begin:end].tolist()) for begin, end in zip(shingles.firsts[:-1], shingles.firsts[1:])]
    return np.array([len(one & two) / len(one | two) for one, two in zip(sets[::2], sets[1::2])])


@pytest.mark.parametrize("hash_bits", [64, 32])
def test_similar_pairs_are_found_and_only_those(decided, hash_bits):
    """400 pairs of all similarities: of those of .8 and more 97 % are found; what is below .75 never is."""
    chance = random.Random(0)
    texts = [text for _ in range(400) for text in similar_pair(chance, 200, chance.randrange(12))]
    exact = exact_jaccard(texts)
    outcome = decided(MinHashDedup(hash_bits=hash_bits), texts)
    assert all(gone // 2 == kept // 2 for gone, kept in outcome.gone.items())
    found = np.isin(np.arange(400), [gone // 2 for gone in outcome.gone])
    assert np.count_nonzero(exact >= 0.8) > 150
    assert found[exact >= 0.8].mean() >= 0.97
    assert np.count_nonzero(exact < 0.75) > 100
    assert not found[exact < 0.75].any()
    near = {document // 2 for reads in outcome.reads for document in reads}
    for gone, similarity in outcome.similarities.items():
        error = abs(similarity - exact[gone // 2])
        assert error < (1e-6 if gone // 2 in near else 0.2)


def test_proposals_are_as_often_as_those_of_datasketch(decided):
    """With nothing to verify, pairs are found as often as MinHashLSH of the same bands and rows finds them."""
    chance = random.Random(1)
    texts = [text for _ in range(400) for text in similar_pair(chance, 60, 2)]
    ours = len(decided(MinHashDedup(min_similarity=0.01, margin=0.0, bands=10, rows=8), texts).gone)
    index = datasketch.MinHashLSH(num_perm=112, params=(10, 8))
    theirs = 0
    for number, text in enumerate(texts):
        words = text.split()
        shingles = {" ".join(words[first : first + 5]).encode() for first in range(len(words) - 4)}
        sketch = datasketch.MinHash(112, scheme="affine64", hashfunc=datasketch.hashfunc.sha1_hash64)
        sketch.update_batch(sorted(shingles))
        theirs += number % 2 and number - 1 in index.query(sketch)
        index.insert(number, sketch)
    assert 100 < theirs < 390
    assert abs(ours - theirs) < 4 * (400 * 0.5 * 0.5 * 2) ** 0.5


PARTS = st.sampled_from(["a b c d e f", "g h i j k l", "m n o p q r", "s t u v w x", "y z 1 2 3 4", "5 6 7 8 9 0"])
DOCUMENTS = st.lists(
    st.tuples(st.lists(PARTS, max_size=8).map(" ".join), st.sampled_from([None, 0.1, 0.2])), min_size=1, max_size=25
)


@given(DOCUMENTS, st.randoms(use_true_random=False), st.integers(2, 4), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_decision_does_not_depend_on_the_order_of_rows_and_files(decided, documents, chance, parts, data):
    texts, qualities = zip(*documents)
    barrier = MinHashDedup(ngram=2, bands=28, rows=4, keep=data.draw(st.sampled_from(["best_quality", "longest"])))
    first = decided(barrier, texts, qualities=qualities)
    order = chance.sample(range(len(texts)), len(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banding, "BLOCK_ROWS", 4)
        patch.setattr(banding, "PIECE_KEYS", 100)
        patch.setattr(sidecars, "BATCH_ROWS", 3)
        again = decided(barrier, texts, qualities=qualities, order=order, parts=parts)
    assert again.decision.verdicts.equals(first.decision.verdicts)
    assert again.decision.clusters.equals(first.decision.clusters)
    assert set(first.gone.values()).isdisjoint(first.gone)
    assert sum(first.cluster_sizes.values()) == len(first.gone) + len(first.cluster_sizes)


@pytest.mark.parametrize("group", [1, 60, 500])
@pytest.mark.parametrize("piece", [50, 10_000])
def test_steps_in_any_number_of_tasks_decide_as_one_call_does(decided, monkeypatch, group, piece):
    chance = random.Random(3)
    texts = [text for _ in range(60) for text in similar_pair(chance, 100, chance.randrange(5))]
    barrier = MinHashDedup(bands=7, keep="first_id")
    whole = decided(barrier, texts, excluded=[0, 7])
    assert len(whole.gone) > 30
    monkeypatch.setattr(banding, "PIECE_KEYS", piece)
    order = chance.sample(range(len(texts)), len(texts))
    small_tasks = replace(barrier, task_documents=group)
    stepped = decided(small_tasks, texts, excluded=[0, 7], order=order, parts=5, in_steps=True)
    assert stepped.decision.verdicts.equals(whole.decision.verdicts)
    assert stepped.decision.clusters.equals(whole.decision.clusters)


def test_steps_are_cut_by_rows_into_whole_sidecars_and_runs_of_partitions():
    barrier = MinHashDedup()
    assert barrier.steps([100_000, 99_999]) == ()
    assert barrier.steps([400_000] * 5) == (Step("spread", 2), Step("join", 7))
    assert barrier.steps([0, 5_000_000, 0]) == (Step("spread", 2), Step("join", 18))
    assert barrier.steps([3_000_000_000]) == (Step("spread", 1), Step("join", 14 * 256))


def test_two_hundred_thousand_copies_of_five_templates_are_five_clusters_in_seconds(decided):
    chance = random.Random(0)
    templates = [" ".join(f"w{chance.randrange(5000)}" for _ in range(60)) for _ in range(5)]
    texts = [f"{templates[number % 5]} copy {number}" for number in range(200_000)]
    barrier = MinHashDedup(keep="first_id")
    decided(barrier, texts[:10])  # compiles
    begin = time.process_time()
    outcome = decided(barrier, texts)
    assert time.process_time() - begin < 20
    # An estimate is not exact: a few hundred copies may look less alike than they are, and are then compared by text.
    assert sum(map(len, outcome.reads)) < 2000
    assert outcome.cluster_sizes == dict.fromkeys(range(5), 40_000)
    assert all(gone % 5 == kept for gone, kept in outcome.gone.items())


def test_near_copies_of_templates_cost_no_more_each_the_more_there_are(decided):
    """One word of 60 is another in each copy: copies have a similarity of about .84, which signatures leave open."""
    chance = random.Random(0)
    templates = [[f"w{chance.randrange(5000)}" for _ in range(60)] for _ in range(5)]
    texts = []
    for number in range(20_000):
        words = list(templates[number % 5])
        words[chance.randrange(60)] = f"other{number}"
        texts.append(" ".join(words))
    barrier = MinHashDedup(keep="first_id")
    seconds = []
    for some in (texts[:50], texts[:5000], texts):
        begin = time.process_time()
        outcome = decided(barrier, some)
        seconds.append(time.process_time() - begin)
        read = [document for reads in outcome.reads for document in reads]
        assert len(read) == len(set(read))
    assert len(outcome.gone) > 19_900
    assert all(gone % 5 == kept % 5 for gone, kept in outcome.gone.items())
    assert seconds[2] < 10 * seconds[1]  # four times as many documents; quadratic would be 16


def test_texts_are_read_again_once_and_only_near_the_threshold(decided):
    chance = random.Random(5)
    clear = [text for _ in range(20) for text in similar_pair(chance, 300, 1)]
    near = [text for _ in range(20) for text in similar_pair(chance, 300, 8)]
    outcome = decided(MinHashDedup(), clear + near)
    read = [document for reads in outcome.reads for document in reads]
    assert len(read) == len(set(read)) > 20
    assert min(read) >= 40
    assert sorted(outcome.gone)[:20] == [pair * 2 + (pair * 2 not in outcome.gone) for pair in range(20)]


def test_a_document_that_cannot_be_read_again_is_an_error_that_names_it(decided):
    texts = list(similar_pair(random.Random(0), 300, 8))
    with pytest.raises(DamagedRunError, match="1 documents were observed but cannot be read again, such as '00000001'"):
        decided(MinHashDedup(), texts, unreadable=[1])


def test_all_removals_can_be_verified_by_text(decided):
    chance = random.Random(7)
    texts = [text for _ in range(30) for text in similar_pair(chance, 200, 2)]
    outcome = decided(MinHashDedup(margin=1e9), texts)
    exact = exact_jaccard(texts)
    assert len(outcome.gone) > 25
    assert {gone: pytest.approx(exact[gone // 2], abs=1e-6) for gone in outcome.gone} == outcome.similarities
