import random
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup.exact import ExactDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, SPACE

SPACES_AND_LETTERS = " \t\n\r\x0b\x1c\x85\xa0\u2028\u3000aAáé漢\0"
HOSTILE = st.text(st.one_of(st.sampled_from(SPACES_AND_LETTERS), st.characters(exclude_categories=["Cs"])))


def fingerprints(barrier: ExactDedup, texts: list[str]) -> list[tuple[int, int, int]]:
    observed = barrier.observe(TextBatch.of_texts(texts))
    return list(zip(*(observed.column(name).to_pylist() for name in ("first", "second", "length"))))


@given(st.lists(HOSTILE, min_size=1, max_size=20))
@settings(deadline=None)
def test_white_space_is_normalised_as_plain_python_does_it(texts):
    spaced = ["".join(" " if CLASSES[ord(c)] & SPACE else c for c in text) for text in texts]
    plain = [" ".join(filter(None, text.split(" "))) for text in spaced]
    barrier = ExactDedup(normalisation="whitespace")
    found = fingerprints(barrier, texts)
    assert found == fingerprints(barrier, plain)
    assert [length for _, _, length in found] == [len(text.encode()) for text in plain]
    assert len(set(found)) == len(set(plain))


@given(st.lists(HOSTILE, min_size=1, max_size=20))
@settings(deadline=None)
def test_without_normalisation_fingerprints_differ_exactly_where_texts_do(texts):
    assert len(set(fingerprints(ExactDedup(), texts))) == len(set(texts))


@given(st.lists(st.sampled_from("aAáÁbB.,!-"), max_size=6), st.lists(st.sampled_from("aAáÁbB.,!-"), max_size=6))
@settings(deadline=None)
def test_folded_texts_are_equal_where_their_words_are_in_lower_case_and_without_diacritics(left, right):
    def plain(words: list[str]) -> list[str]:
        return [unicodedata.normalize("NFD", word.lower())[0] for word in words]

    one, two = fingerprints(ExactDedup(normalisation="folded"), [" ".join(left), "  ".join(right)])
    assert (one == two) == (plain(left) == plain(right))


@given(st.lists(HOSTILE, max_size=8))
@settings(deadline=None)
def test_the_fingerprint_of_a_document_does_not_depend_on_the_others_of_its_batch(texts):
    for normalisation in ("none", "whitespace", "folded"):
        barrier = ExactDedup(normalisation=normalisation)
        assert fingerprints(barrier, texts) == [fingerprints(barrier, [text])[0] for text in texts]


def test_the_decision_is_that_of_a_plain_dictionary_whatever_the_order_and_the_parts(decided):
    chance = random.Random(3)
    texts = [chance.choice(["red", "green", "blue", f"only {n}"]) for n in range(60)]
    qualities = [chance.choice([None, 0.25, 0.75]) for _ in texts]
    best: dict[str, int] = {}
    for number in sorted(range(60), key=lambda n: (-1.0 if qualities[n] is None else -qualities[n] - 2, n)):
        best.setdefault(texts[number], number)
    expected = {number: best[text] for number, text in enumerate(texts) if best[text] != number}
    first = decided(ExactDedup(), texts, qualities=qualities)
    assert first.gone == expected
    assert set(first.similarities.values()) == {1.0}
    for parts in (2, 7):
        order = chance.sample(range(60), 60)
        again = decided(ExactDedup(), texts, qualities=qualities, order=order, parts=parts)
        assert again.decision.verdicts.equals(first.decision.verdicts)
        assert again.decision.clusters.equals(first.decision.clusters)


def test_no_text_is_read_again(decided):
    assert decided(ExactDedup(), ["same", "same"]).reads == []


def test_ten_thousand_copies_are_one_cluster(decided):
    outcome = decided(ExactDedup(), ["copy"] * 10_000 + ["other"], parts=3)
    assert outcome.cluster_sizes == {0: 10_000}
    assert np.unique(list(outcome.gone.values())).tolist() == [0]
