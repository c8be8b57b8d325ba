"""Shingles and signatures against plain Python, and against datasketch."""

import random
from itertools import pairwise

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.shingles import Shingles, ShingleSets, shingles_of
from corpusmill.dedup.signatures import minima_32, minima_64, permutations, signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, DIGIT, PUNCTUATION
from corpusmill.documents.compiled import frozen

WORDS = st.sampled_from(["a", "B", "é", "12", "3", "x1", "...", "—", "漢字", "_", "$", "ไทย", "\n\n"])
TEXTS = st.lists(st.one_of(st.lists(WORDS, max_size=12).map(" ".join), st.text(max_size=30)), min_size=1, max_size=8)
MASK = 2**64 - 1
# The first three permutations of seed 0. If they change, no stored signature can be compared with a new one.
GOLDEN = [
    "0x79d2d71c938bb521", "0x3d799f404a28d61d", "0xa11cbeab57227053",
    "0x987bc1b0402e7c94", "0x177d1516fdf3e48d", "0xd91efda3ed60f84",
]  # fmt: skip


def mixed(value: int) -> int:
    value ^= value >> 32
    value = value * 0xD6E8FEB86659FD93 & MASK
    return value ^ (value >> 29)


def plain_shingles(batch: TextBatch, ngram: int, fold_numbers: bool) -> list[list[int]]:
    result = []
    hashes, kinds = batch.folded_hashes.tolist(), batch.words.kinds.tolist()
    for begin, end in pairwise(batch.words.firsts.tolist()):
        words = []
        for word in range(begin, end):
            if kinds[word] & PUNCTUATION:
                continue
            number = fold_numbers and kinds[word] & DIGIT and not kinds[word] & ALPHA
            words.append(0x8EBC6AF09C88C6E3 if number else hashes[word])
        length = min(ngram, len(words))
        shingles = []
        for first in range(len(words) - length + 1 if length else 0):
            value = length
            for word in words[first : first + length]:
                value = (value * 0x9FB21C651E98DF25 + word) & MASK
            shingles.append(mixed(value))
        result.append(shingles)
    return result


def split(shingles: Shingles) -> list[list[int]]:
    return [shingles.hashes[begin:end].tolist() for begin, end in pairwise(shingles.firsts.tolist())]


@given(TEXTS, st.integers(1, 6), st.booleans())
@settings(deadline=None)
def test_shingles_equal_those_of_plain_python(texts, ngram, fold_numbers):
    batch = TextBatch.of_texts(texts)
    assert split(shingles_of(batch, ngram, fold_numbers)) == plain_shingles(batch, ngram, fold_numbers)


@given(TEXTS, st.integers(1, 6), st.booleans())
@settings(deadline=None)
def test_shingles_are_the_same_where_words_were_found_before(texts, ngram, fold_numbers):
    fresh, found = TextBatch.of_texts(texts), TextBatch.of_texts(texts)
    assert not fresh.words_are_found
    _ = found.words
    assert found.words_are_found
    one, two = shingles_of(fresh, ngram, fold_numbers), shingles_of(found, ngram, fold_numbers)
    assert not fresh.words_are_found
    assert split(one) == split(two)
    assert one.words.tolist() == two.words.tolist()


def test_a_text_of_more_words_than_half_its_bytes_has_all_its_shingles():
    batch = TextBatch.of_texts(["a×" * 999, "× ×"])
    assert [len(row) for row in split(shingles_of(batch, 3, False))] == [1996, 1]


@given(TEXTS, st.integers(1, 20), st.integers(0, 5), st.sampled_from([32, 64]))
@settings(deadline=None)
def test_signatures_equal_those_of_plain_python(texts, count, seed, bits):
    shingles = shingles_of(TextBatch.of_texts(texts), 3, False)
    multipliers, increments = (values.tolist() for values in permutations(count, seed))
    expected = []
    for own in split(shingles):
        hashes = own if bits == 64 else [value >> 32 for value in own]
        modulus = 2**bits
        minima = [
            min((value * a % modulus + b) % modulus for value in hashes) if hashes else modulus - 1
            for a, b in zip(multipliers, (b % modulus for b in increments))
        ]
        expected.append([mixed(value) >> 48 for value in minima])
    assert signatures_of(shingles, count, seed, bits).tolist() == expected


@pytest.mark.parametrize(("bits", "scheme"), [(64, "affine64"), (32, "affine32")])
def test_minima_equal_those_of_datasketch_with_the_same_permutations(bits, scheme):
    kind, kernel = (np.uint64, minima_64) if bits == 64 else (np.uint32, minima_32)
    multipliers, increments = (values.astype(kind) for values in permutations(112, 1))
    shingles = shingles_of(TextBatch.of_texts([" ".join(f"w{n * n % 71}" for n in range(90)), "one"]), 5, False)
    ours = np.empty((2, 112), kind)
    kernel(shingles.firsts, shingles.hashes, frozen(multipliers), frozen(increments), ours)
    for own, minima in zip(split(shingles), ours):
        theirs = datasketch.MinHash(112, scheme=scheme, permutations=(multipliers, increments), hashfunc=int)
        # datasketch mixes what comes in; ours is mixed already, so its step is undone first.
        theirs.update_batch([unmixed(value >> (64 - bits), bits) for value in own])
        assert theirs.hashvalues.tolist() == minima.tolist()


def unmixed(value: int, bits: int) -> int:
    """What MurmurHash3's finaliser turns into `value`."""
    shifts, multipliers = {
        64: ((33, 33, 33), (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)),
        32: ((16, 13, 16), (0x85EBCA6B, 0xC2B2AE35)),
    }[bits]

    def unshifted(value: int, shift: int) -> int:
        result = value
        for _ in range(bits // shift):
            result = value ^ (result >> shift)
        return result

    value = unshifted(value, shifts[2])
    value = value * pow(multipliers[1], -1, 2**bits) % 2**bits
    value = unshifted(value, shifts[1])
    value = value * pow(multipliers[0], -1, 2**bits) % 2**bits
    return unshifted(value, shifts[0])


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize(("size", "shared"), [(4, 2), (40, 10), (400, 300), (400, 390)])
def test_the_estimate_has_no_bias_and_the_spread_of_a_binomial(bits, size, shared):
    """300 pairs of sets of known similarity, each with its own permutations."""
    chance = np.random.default_rng(size + shared)
    exact = shared / (2 * size - shared)
    estimates = []
    for seed in range(300):
        union = chance.integers(0, 2**64, 2 * size - shared, np.uint64)
        hashes = np.concatenate([union[:size], union[size - shared :]])
        shingles = Shingles(
            frozen(np.array([0, size, 2 * size], np.int32)), frozen(hashes), np.array([size] * 2, np.int32)
        )
        one, two = signatures_of(shingles, 112, seed, bits)
        estimates.append(float(np.mean(one == two)))
    deviation = (exact * (1 - exact) / 112) ** 0.5
    assert abs(np.mean(estimates) - exact) < 4 * deviation / 300**0.5
    assert 0.8 * deviation < np.std(estimates) < 1.3 * deviation


def test_different_documents_of_one_shingle_do_not_look_alike():
    texts = [f"word{number}" for number in range(3000)]
    signatures = signatures_of(shingles_of(TextBatch.of_texts(texts), 5, False), 112, 0, 64)
    assert len(np.unique(signatures[:, :2], axis=0)) == 3000
    assert np.mean(signatures[:1500] == signatures[1500:]) < 0.0002


def test_a_seed_names_its_permutations_for_ever():
    multipliers, increments = permutations(3, 0)
    assert permutations(112, 0)[0][:3].tolist() == multipliers.tolist()
    assert permutations(3, 1)[0].tolist() != multipliers.tolist()
    assert [hex(value) for value in (*multipliers.tolist(), *increments.tolist())] == GOLDEN
    assert np.all(permutations(112, 5)[0] % np.uint64(2) == 1)


@given(st.lists(st.lists(st.integers(0, 12), max_size=10), min_size=2, max_size=6), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_exact_similarities_equal_those_of_python_sets(tmp_path_factory, documents, cut):
    sets = ShingleSets(tmp_path_factory.mktemp("sets") / "shingles.bin")
    for batch in (documents[:cut], documents[cut:]):
        firsts = np.cumsum([0, *map(len, batch)]).astype(np.int32)
        hashes = np.array([value for document in batch for value in document], np.uint64)
        sets.add(Shingles(frozen(firsts), frozen(hashes), np.diff(firsts)))
    assert len(sets) == len(documents)
    left, right = (places.ravel() for places in np.indices((len(documents), len(documents))))
    plain = [
        len(set(documents[one]) & set(documents[two])) / (len(set(documents[one]) | set(documents[two])) or 1)
        for one, two in zip(left, right)
    ]
    assert sets.jaccard(left, right).tolist() == plain


def test_word_order_and_word_boundaries_matter():
    texts = [
        "one two three four five",
        "five four three two one",
        "onetwo three four five six",
        "one twothree four five six",
    ]
    assert len({tuple(own) for own in split(shingles_of(TextBatch.of_texts(texts), 5, False))}) == 4


def test_case_and_diacritics_do_not_matter():
    one, two = split(shingles_of(TextBatch.of_texts(["Élève à l'école où naît", "eleve a L'ECOLE ou nait"]), 3, False))
    assert one == two


def test_the_sidecar_does_not_depend_on_the_batch_a_document_is_in():
    chance = random.Random(0)
    texts = [" ".join(chance.choices("abcdefgh", k=chance.randrange(12))) for _ in range(30)]
    barrier = MinHashDedup()
    whole = barrier.observe(TextBatch.of_texts(texts)).column("signature").to_pylist()
    sliced = TextBatch(TextBatch.of_texts(texts).documents.slice(11, 7))
    assert barrier.observe(sliced).column("signature").to_pylist() == whole[11:18]
