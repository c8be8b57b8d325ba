import json
import random
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup import seeking
from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.exact_index import find_rest
from corpusmill.dedup.key_join import find_keys
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents import ids
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, SPACE
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import CorpusmillError, InputError, UsageError
from corpusmill.documents.shards import write_table

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


def test_what_an_index_has_goes_whatever_the_order_the_parts_and_the_steps(decided, remembered, tmp_path, monkeypatch):
    monkeypatch.setattr(seeking, "_SEEK_ROWS", 20)
    chance = random.Random(5)
    old = [f"text {chance.randrange(60)}" for _ in range(40)]
    older = [f"text {chance.randrange(60)}" for _ in range(40)]
    index = str(tmp_path / "index")
    parts = [
        remembered(ExactDedup(update=index, update_as=label), texts, gone=gone)
        for label, texts, gone in (("one", older, [0, 1]), ("two", old, []))
    ]
    texts = [f"text {number}" for number in chance.sample(range(60), 60)]
    expected = {}
    for number, each in enumerate(texts):
        for known in ([None, None, *older[2:]], old):
            if number not in expected and each in known:
                expected[number] = {f"a{place}" for place, other in enumerate(known) if other == each}
    barrier = ExactDedup(against=(index,))
    assert barrier.seen() == parts
    first = decided(barrier, texts, seen=parts)
    assert first.seen.keys() == expected.keys()
    assert all(first.seen[number] in expected[number] for number in expected)
    assert first.gone == {}
    for order, cut, in_steps in ((chance.sample(range(60), 60), 3, False), (None, 2, True), (range(60)[::-1], 7, True)):
        again = decided(barrier, texts, seen=parts, order=order, parts=cut, in_steps=in_steps)
        assert again.decision.verdicts.equals(first.decision.verdicts)


def test_an_excluded_document_is_not_looked_up(decided, remembered, tmp_path):
    part = remembered(ExactDedup(update=str(tmp_path / "index"), update_as="one"), ["a", "b"])
    for in_steps in (False, True):
        outcome = decided(
            ExactDedup(against=(str(tmp_path / "index"),)), ["a", "b", "b"], excluded=[1], seen=[part],
            in_steps=in_steps,
        )  # fmt: skip
        assert outcome.seen == {0: "a0", 2: "a1"}


@pytest.mark.parametrize("barrier", [ExactDedup(), MinHashDedup()], ids=["exact_dedup", "minhash_dedup"])
@pytest.mark.parametrize(
    ("texts", "excluded", "whose"),
    [
        (["a b"] * 5, [], "5 documents that share a band|4 documents that (stay, each|go or)"),
        (["a b", "c d", "e f", "g h"], [0, 1, 2, 3], "4 documents that go before they are compared here"),
    ],
)
def test_more_ids_than_an_array_holds_are_an_error_that_says_whose(
    decided, monkeypatch, barrier, texts, excluded, whose
):
    """Each id has 8 bytes; Arrow's own limit is 2 GB."""
    monkeypatch.setattr(ids, "MAX_ID_BYTES", 24)
    with pytest.raises(UsageError, match=rf"the ids of ({whose}).* more than the 24 .*; split the source, for example"):
        decided(barrier, texts, excluded=excluded)
    decided(barrier, texts[:3], excluded=excluded[:3])


HASHES = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])


@given(st.lists(st.tuples(HASHES, HASHES, st.integers(0, 2)), max_size=20),
       st.lists(st.tuples(HASHES, HASHES, st.integers(0, 2)), max_size=20))  # fmt: skip
def test_fingerprints_are_found_as_a_plain_dictionary_finds_them(known, asked):
    known.sort()
    rows = np.array(known, np.uint64).reshape(-1, 3)
    order = np.argsort(np.array([first for first, _, _ in asked], np.uint64), kind="stable")
    wanted = np.array(asked, np.uint64).reshape(-1, 3)[order]
    firsts, ends, found = (np.empty(len(asked), np.int64) for _ in range(3))
    find_keys(frozen(wanted[:, 0]), frozen(rows[:, 0]), firsts, ends)
    find_rest(frozen(firsts), frozen(ends), frozen(wanted[:, 1]), frozen(wanted[:, 2].astype(np.int32)),
              frozen(rows[:, 1]), frozen(rows[:, 2].astype(np.int32)), found)  # fmt: skip
    assert found.tolist() == [known.index(each) if each in known else -1 for each in (asked[n] for n in order)]


def test_arrays_whose_shapes_do_not_agree_are_an_error(decided, remembered, tmp_path):
    index = str(tmp_path / "index")
    for name in ("first", "second", "length"):
        part = remembered(ExactDedup(update=index, update_as="one"), ["a", "b", "c"])
        file = part / f"{name}.bin"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
        facts = json.loads((part / "part.json").read_text())
        facts["files"][file.name] |= {"bytes": file.stat().st_size, "shape": [1]}
        (part / "part.json").write_text(json.dumps(facts))
        with pytest.raises(InputError, match=rf"gives {name}\.bin the shape \(1,\) instead of \(3,\); the ind"):
            decided(ExactDedup(against=(index,)), ["c"], seen=[part])


def test_an_index_that_cannot_be_written_is_an_error_before_any_document_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    for stage in (ExactDedup, MinHashDedup):
        with pytest.raises(InputError, match="file: is no folder, and the index"):
            stage(update=str(tmp_path / "file" / "index"), update_as="one").prepare()


@pytest.mark.parametrize("stage", [ExactDedup, MinHashDedup])
def test_an_index_that_another_run_has_updated_since_it_was_looked_at_takes_up_nothing(remembered, tmp_path, stage):
    index = str(tmp_path / "index")
    here = stage(against=(index,), update=index, update_as="here")
    looked = here.seen()
    remembered(stage(update=index, update_as="other"), ["a"])
    sidecar = tmp_path / "own.parquet"
    write_table(sidecar, [here.observe(TextBatch.of_texts(["a"]))], here.sidecar)
    with pytest.raises(CorpusmillError, match="another run has added other to the index meanwhile"):
        here.remember([sidecar], pa.array([], pa.string()), here.update_folder, seen=looked)
    assert [path.parent.name for path in (tmp_path / "index").rglob("part.json")] == ["other"]
