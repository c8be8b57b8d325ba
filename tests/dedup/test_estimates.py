"""How far signatures tell the similarity of two sets: beside datasketch, over pairs whose similarity is known."""

import datasketch
import numpy as np
import pytest

from corpusmill.dedup.shingles import Shingles
from corpusmill.dedup.signatures import signatures_of
from corpusmill.documents.compiled import frozen

PAIRS = 320
VALUES = 112


@pytest.fixture(scope="module")
def estimates() -> dict[tuple[int, float], tuple[np.ndarray, np.ndarray]]:
    """For 32 and 64 bits and some similarities: our estimates of PAIRS pairs of sets, and datasketch's of the same."""
    chance = np.random.default_rng(11)
    found = {}
    for bits, scheme in ((32, "affine32"), (64, "affine64")):
        for size, shared in ((150, 100), (160, 140), (400, 100)):
            ours, theirs = [], []
            for seed in range(PAIRS):
                union = chance.integers(0, 2**64, 2 * size - shared, np.uint64)
                pair = union[:size], union[size - shared :]
                firsts = np.array([0, size, 2 * size], np.int32)
                shingles = Shingles(frozen(firsts), frozen(np.concatenate(pair)), np.diff(firsts))
                one, two = signatures_of(shingles, VALUES, seed, bits)
                ours.append(np.mean(one == two))
                sketches = []
                for own in pair:
                    sketch = datasketch.MinHash(VALUES, seed=seed, scheme=scheme, hashfunc=int)
                    sketch.update_batch((own >> np.uint64(64 - bits)).tolist())
                    sketches.append(sketch)
                theirs.append(sketches[0].jaccard(sketches[1]))
            found[bits, shared / (2 * size - shared)] = np.array(ours), np.array(theirs)
    return found


@pytest.mark.parametrize("bits", [32, 64])
def test_estimates_have_the_bias_and_the_spread_of_datasketch_s(estimates, bits):
    for (width, exact), (ours, theirs) in estimates.items():
        if width == bits:
            deviation = (exact * (1 - exact) / VALUES) ** 0.5
            of_the_mean = deviation / PAIRS**0.5
            assert abs(ours.mean() - exact) < 4 * of_the_mean
            assert abs(ours.mean() - theirs.mean()) < 4 * 2**0.5 * of_the_mean
            # The logarithm of a ratio of two standard deviations has the standard error 1 / sqrt(PAIRS - 1).
            assert abs(np.log(ours.std() / theirs.std())) < 4 / (PAIRS - 1) ** 0.5
            assert abs(np.log(ours.std() / deviation)) < 4 / (2 * (PAIRS - 1)) ** 0.5


def test_neighbouring_seeds_give_permutations_that_have_nothing_in_common(estimates):
    for ours, _ in estimates.values():
        assert abs(np.corrcoef(ours[:-1], ours[1:])[0, 1]) < 4 / PAIRS**0.5
