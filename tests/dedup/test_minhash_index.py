"""Comparing documents with an index of signatures, against plain Python, and datasketch's LSH fed from it."""

import bisect
import json
import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dedup import minhash_index, seeking
from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.index import open_part
from corpusmill.dedup.key_join import find_keys
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.minhash_index import ShortSets, count_shared, order_equal_keys
from corpusmill.dedup.query import MinHashIndex
from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents import ids as ids_module
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import DamagedRunError, InputError, RecipeError, UsageError
from corpusmill.documents.shards import write_table

KEYS = st.lists(st.one_of(st.integers(0, 12), st.integers(2**64 - 3, 2**64 - 1)), max_size=60)


@given(KEYS, KEYS)
def test_keys_are_found_where_bisection_finds_them(asked, keys):
    asked, keys = sorted(asked), sorted(keys)
    firsts, ends = np.empty(len(asked), np.int64), np.empty(len(asked), np.int64)
    find_keys(frozen(np.array(asked, np.uint64)), frozen(np.array(keys, np.uint64)), firsts, ends)
    assert firsts.tolist() == [bisect.bisect_left(keys, key) for key in asked]
    assert ends.tolist() == [bisect.bisect_right(keys, key) for key in asked]


@given(st.lists(st.integers(0, 4), max_size=40), st.randoms(use_true_random=False))
def test_rows_of_equal_keys_are_put_in_order(keys, chance):
    keys = sorted(keys)
    order = chance.sample(range(2**20), len(keys))
    rows = chance.sample(range(len(keys)), len(keys))
    expected = [row for _, _, row in sorted((key, order[row], row) for key, row in zip(keys, rows))]
    found = np.array(rows, np.uint32)
    order_equal_keys(frozen(np.array(keys, np.uint64)), frozen(np.array(order, np.uint64)), found)
    assert found.tolist() == expected


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=9).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, min_size=1, max_size=6))
def test_short_sets_are_those_of_plain_python(left, right):
    def plain(texts: list[str]) -> list[set[int]]:
        shingles = shingles_of(TextBatch.of_texts(texts), 2, False)
        firsts = shingles.firsts.tolist()
        return [set((shingles.hashes[a:b] >> np.uint64(32)).tolist()) for a, b in pairwise(firsts)]

    one, two = (ShortSets.of(shingles_of(TextBatch.of_texts(texts), 2, False)) for texts in (left, right))
    again = ShortSets.of_column(pa.concat_arrays([two.column(), one.column()])[len(right) :])
    assert [again.values[a:b].tolist() for a, b in pairwise(again.ends)] == [sorted(s) for s in plain(left)]
    pairs = [(i, j) for i in range(len(left)) for j in range(len(right))]
    own, there = (frozen(np.array(numbers)) for numbers in zip(*pairs))
    shared = np.empty(len(pairs), np.int64)
    count_shared(one.ends, one.values, two.ends, two.values, own, there, shared)
    assert shared.tolist() == [len(plain(left)[i] & plain(right)[j]) for i, j in pairs]


def shingle_set(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[at : at + ngram]) for at in range(max(1, len(words) - ngram + 1))} if words else set()


def likeness(one: str, two: str, ngram: int, contained: bool) -> float:
    left, right = shingle_set(one, ngram), shingle_set(two, ngram)
    whole = min(len(left), len(right)) if contained else len(left | right)
    return len(left & right) / whole if whole else 0.0


EVERY_PAIR = {"ngram": 2, "permutations": 64, "bands": 64, "rows": 1, "margin": 1e9, "keep": "first_id"}
"""Parameters that propose all pairs that share a shingle, or nearly, and settle none by signatures."""


@pytest.mark.parametrize("contained", [False, True])
@pytest.mark.parametrize("told", [False, True])
@given(st.lists(WORDS, max_size=12), st.lists(WORDS, max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_an_index_has_goes_as_plain_python_says(
    decided, remembered, tmp_path_factory, contained, told, known, asked, min_similarity
):
    index = str(tmp_path_factory.mktemp("index"))
    similarity = "containment" if contained else "jaccard"
    options = {**EVERY_PAIR, "similarity": similarity, "min_similarity": min_similarity}
    part = remembered(MinHashDedup(**options, update=index, update_as="one"), known)
    own = {"update": index, "update_as": "two"} if told else {}
    outcome = decided(MinHashDedup(**options, against=(index,), **own), asked, seen=[part])
    best = [max([likeness(text, other, 2, contained) for other in known], default=0.0) for text in asked]
    sure = {number for number, each in enumerate(best) if each >= min_similarity}
    assert outcome.seen.keys() == sure
    for number, name in outcome.seen.items():
        assert likeness(asked[number], known[int(name[1:])], 2, contained) == pytest.approx(best[number])
        assert outcome.similarities[number] == pytest.approx(best[number])


def variants(chance: random.Random, count: int, words: int = 200) -> list[str]:
    """Texts in families of four that differ by some words."""
    texts = []
    while len(texts) < count:
        text = [f"w{chance.randrange(100_000)}" for _ in range(words)]
        for _ in range(4):
            other = list(text)
            for place in chance.sample(range(words), chance.randrange(5)):
                other[place] = f"x{chance.randrange(1000)}"
            texts.append(" ".join(other))
    return texts[:count]


@pytest.fixture
def families(remembered, tmp_path) -> tuple[str, list[Path], list[str]]:
    """An index of two parts, and texts that are like some of them."""
    index = str(tmp_path / "index")
    texts = variants(random.Random(3), 240)
    parts = [
        remembered(MinHashDedup(update=index, update_as="one"), texts[0::4], gone=[1]),
        remembered(MinHashDedup(update=index, update_as="two"), texts[1::4]),
    ]
    return index, parts, [*texts[2::4], *texts[3::4], *variants(random.Random(4), 32)]


def test_the_decision_does_not_depend_on_the_order_the_parts_and_the_steps(decided, families, monkeypatch):
    index, parts, texts = families
    for own in ({}, {"update": index, "update_as": "three"}):
        barrier = MinHashDedup(against=(index,), keep="first_id", **own)
        assert barrier.seen() == parts
        first = decided(barrier, texts, seen=parts)
        assert len(first.seen) > 80
        assert set(first.seen).isdisjoint(first.gone)
        assert len(first.gone) > 5
        monkeypatch.setattr(minhash_index, "_BATCH_ROWS", 7)
        monkeypatch.setattr(seeking, "_SEEK_ROWS", 40)
        order = random.Random(0).sample(range(len(texts)), len(texts))
        for options in ({"order": order, "parts": 4}, {"parts": 5, "in_steps": True}):
            again = decided(barrier, texts, seen=parts, **options)
            assert again.decision.verdicts.equals(first.decision.verdicts)
            assert again.decision.clusters.equals(first.decision.clusters)
        monkeypatch.undo()


def test_keys_of_a_part_are_in_order_however_they_were_cut(remembered, tmp_path, monkeypatch):
    texts = [*variants(random.Random(1), 40), *["the same words again and again"] * 20]
    whole = open_part(remembered(MinHashDedup(update=str(tmp_path / "a"), update_as="one"), texts))
    monkeypatch.setattr(minhash_index, "_SORTED_KEYS", 5)
    monkeypatch.setattr(minhash_index, "_BATCH_ROWS", 16)
    cut = open_part(remembered(MinHashDedup(update=str(tmp_path / "b"), update_as="one"), texts))
    assert cut.files == whole.files
    keys, rows = (whole.array(name).reshape(14, -1) for name in ("keys", "rows"))
    order = whole.array("order")
    for band in range(14):
        assert sorted(rows[band].tolist()) == list(range(60))
        pairs = list(zip(keys[band].tolist(), order[rows[band]].tolist()))
        assert pairs == sorted(pairs)


def test_the_part_does_not_hold_what_went_nor_what_has_no_word(remembered, tmp_path):
    folder = remembered(
        MinHashDedup(update=str(tmp_path / "i"), update_as="one"), ["a b", "", "c d", "...", "e"], gone=[2]
    )
    part = open_part(folder)
    rows = part.documents(np.arange(part.rows)).to_pylist()
    assert rows == [{"id": f"a{n}", "source": "test", "url": f"https://a.example/{n}"} for n in (0, 4)]


def test_texts_are_read_again_only_near_the_threshold_and_not_where_the_sidecar_has_shingles(decided, families):
    index, parts, texts = families
    without = decided(MinHashDedup(against=(index,)), texts, seen=parts)
    told = decided(MinHashDedup(against=(index,), update=index, update_as="three"), texts, seen=parts)
    assert told.seen == without.seen
    assert told.similarities == without.similarities
    read = set().union(*without.reads)
    assert 5 < len(read) < 100
    assert not set(told.seen) & set().union(*told.reads)


def test_a_document_that_cannot_be_read_again_is_an_error_that_names_it(decided, families):
    index, parts, texts = families
    near = sorted(decided(MinHashDedup(against=(index,)), texts, seen=parts).reads[0])
    with pytest.raises(DamagedRunError, match=rf"1 documents were observed but cannot be read .* '{near[0]:08}'"):
        decided(MinHashDedup(against=(index,)), texts, seen=parts, unreadable=near[:1])


def test_without_shingles_estimates_settle_all(decided, remembered, tmp_path):
    index = str(tmp_path / "index")
    texts = variants(random.Random(9), 200)
    part = remembered(MinHashDedup(update=index, update_as="one", index_shingles=False), texts[::2])
    assert not open_part(part).has("shingles")
    outcome = decided(MinHashDedup(against=(index,), keep="first_id"), texts[1::2], seen=[part])
    exact = {n: likeness(texts[1::2][n], texts[::2][int(name[1:])], 5, False) for n, name in outcome.seen.items()}
    assert len(exact) > 60
    assert all(abs(outcome.similarities[n] - similarity) < 0.2 for n, similarity in exact.items())
    assert all(outcome.similarities[n] >= 0.75 for n in exact)
    assert min(exact.values()) < 0.75  # which is what the shingles are for


def test_sets_of_long_documents_are_gathered_in_arrays_that_can_hold_them():
    """Shingles of no width stand for 2^31 of four bytes."""
    count = 2**30

    def batch(number: int) -> pa.RecordBatch:
        sets = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count))
        return pa.record_batch([pa.array([str(number)]), sets], names=["id", "shingle_set"])

    found = list(minhash_index._gathered(map(batch, range(5)), 65_536))
    assert [name for each in found for name in each.column("id").to_pylist()] == list("01234")
    assert all(len(each.column("shingle_set").flatten()) < 2**31 for each in found)
    few = [pa.record_batch([pa.array(["a"])], names=["id"])] * 3
    assert [each.num_rows for each in minhash_index._gathered(iter(few), 2)] == [2, 1]


def changed(part: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Damages an array of a part: the size stays."""
    values = np.fromfile(part / f"{name}.bin", open_part(part).files[f"{name}.bin"]["type"])
    change(values)
    values.tofile(part / f"{name}.bin")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rows", lambda values: values.fill(2**32 - 1), r"rows\.bin: names documents beyond the 59 of the part \(`c"),
        ("rows", lambda values: values.fill(59), r"rows\.bin: names documents beyond the 59 of the part"),
        ("shingle_ends", lambda values: values.fill(2**62), r"shingle_ends\.bin: has bounds that are out of order, or"),
        ("shingle_ends", lambda values: values.fill(-(2**40)), r"shingle_ends\.bin: has bounds"),
        ("shingle_ends", lambda values: values.__setitem__(slice(None), values[::-1].copy()), "has bounds that are"),
    ],
)  # fmt: skip
def test_values_of_a_damaged_array_that_cannot_be_are_an_error_that_names_it(decided, families, name, change, message):
    index, parts, texts = families
    changed(parts[0], name, change)
    told = {"update": index, "update_as": "three"}
    for options in ({}, told):
        with pytest.raises(InputError, match=message):
            decided(MinHashDedup(against=(index,), margin=1e9, **options), texts, seen=parts)
    with pytest.raises(InputError, match=message):
        MinHashIndex.open(Path(index)).similar(TextBatch.of_texts(texts))


@pytest.mark.parametrize("name", ["keys", "signatures", "sizes", "order", "rows", "shingle_ends"])
def test_arrays_whose_shapes_do_not_agree_are_an_error(decided, families, name):
    index, parts, texts = families
    facts = json.loads((parts[0] / "part.json").read_text())
    file = parts[0] / f"{name}.bin"
    values = np.fromfile(file, facts["files"][file.name]["type"])[:-112]
    values.tofile(file)
    shape = facts["files"][file.name]["shape"]
    shape[0] = len(values) // (112 if name == "signatures" else 1)
    facts["files"][file.name]["bytes"] = values.nbytes
    (parts[0] / "part.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=rf"part\.json: gives {name}\.bin the shape .* instead of .* damaged"):
        decided(MinHashDedup(against=(index,)), texts, seen=parts)


@pytest.mark.parametrize("stage", [MinHashDedup, ExactDedup])
def test_a_part_that_is_replaced_between_the_step_and_the_decision_is_an_error(remembered, tmp_path, stage):
    index = str(tmp_path / "index")
    barrier = stage(against=(index,))
    seen = [remembered(stage(update=index, update_as="one"), ["a b c", "d e f"])]
    sidecar, found = tmp_path / "own.parquet", tmp_path / "seek.bin"
    write_table(sidecar, [barrier.observe(TextBatch.of_texts(["d e f", "x"]))], barrier.sidecar)
    work = {"sidecars": [sidecar], "seen": seen}
    barrier.run_step("seek", 0, **work, done={}, target=found)

    def decide(seen: list[Path]) -> list[str]:
        outcome = barrier.decide(
            [sidecar], seen=seen, done={"seek": [found]}, excluded=pa.array([], pa.string()),
            read_texts=lambda ids: iter(()), workspace=tmp_path,
        )  # fmt: skip
        return outcome.verdicts["kept_id"].to_pylist()

    assert decide(seen) == ["a1"]
    other = remembered(stage(update=index, update_as="two"), ["x"])
    with pytest.raises(InputError, match="parts of an index have changed since the step seek: run again"):
        decide([*seen, other])
    remembered(stage(update=index, update_as="one"), ["d e f", "a b c"])
    with pytest.raises(InputError, match="parts/one: was replaced while it was read, by another run: run again"):
        decide(seen)


@pytest.mark.parametrize("stage", [MinHashDedup, ExactDedup])
def test_the_same_documents_under_another_name_are_an_error_that_says_so(decided, remembered, tmp_path, stage):
    index = str(tmp_path / "index")
    texts = [f"text {number}" for number in range(10)]
    known = [*texts[:6], *(f"other {number}" for number in range(20))]
    ids = [f"{number:08}" for number in range(26)]
    part = remembered(stage(update=index, update_as="one"), known, ids=ids)
    message = r'6 of the 10 documents of this run are in the index as "one" already, .* use `update_as: one`, or take'
    for in_steps in (False, True):
        with pytest.raises(InputError, match=message):
            decided(stage(against=(index,)), texts, seen=[part], in_steps=in_steps)
    assert decided(stage(against=(index,)), [*texts, "one", "two"], seen=[part]).decision.verdicts.num_rows == 6
    part = remembered(stage(update=index, update_as="two"), known)
    assert len(decided(stage(against=(index,)), texts, seen=[part]).seen) == 6
    alone = remembered(stage(precedence=("a", "b")), known, ids=ids, folder=tmp_path / "run" / "parts" / "alone")
    assert decided(stage(precedence=("a", "b")), texts, seen=[alone]).decision.verdicts.num_rows == 6


@pytest.mark.parametrize("stage", [MinHashDedup, ExactDedup])
def test_more_ids_than_an_array_holds_are_an_error_and_those_of_the_index_are_read_in_turn(
    decided, remembered, tmp_path, stage, monkeypatch
):
    index = str(tmp_path / "index")
    texts = [f"text {number}" for number in range(10)]
    part = remembered(stage(update=index, update_as="one"), texts)
    whole = decided(stage(against=(index,)), texts[::-1], seen=[part])
    monkeypatch.setattr(seeking, "_TOLD_ROWS", 3)
    for in_steps in (False, True):
        cut = decided(stage(against=(index,)), texts[::-1], seen=[part], in_steps=in_steps)
        assert cut.decision.verdicts.equals(whole.decision.verdicts)
    monkeypatch.setattr(ids_module, "MAX_ID_BYTES", 79)
    with pytest.raises(UsageError, match=r"the ids of 10 documents that an index .* have 80 bytes, more than the 79"):
        decided(stage(against=(index,)), texts, seen=[part])


def test_an_excluded_document_is_not_looked_up(decided, families):
    index, parts, texts = families
    whole = decided(MinHashDedup(against=(index,)), texts, seen=parts)
    gone = sorted(whole.seen)[:3]
    for in_steps in (False, True):
        some = decided(MinHashDedup(against=(index,)), texts, seen=parts, excluded=gone, in_steps=in_steps)
        assert some.seen == {number: name for number, name in whole.seen.items() if number not in gone}


def test_copies_of_templates_on_both_sides_cost_no_quadratic_work(decided, remembered, tmp_path):
    chance = random.Random(0)
    templates = [" ".join(f"w{chance.randrange(5000)}" for _ in range(60)) for _ in range(5)]
    index = str(tmp_path / "index")
    decided(MinHashDedup(against=(index,)), ["a"], seen=[remembered(MinHashDedup(update=index, update_as="a"), ["a"])])
    begin = time.process_time()
    known = [f"{templates[number % 5]} copy {number}" for number in range(10_000)]
    part = remembered(MinHashDedup(update=index, update_as="one"), known)
    outcome = decided(MinHashDedup(against=(index,)), [f"{text} again" for text in known], seen=[part])
    assert len(outcome.seen) == 10_000
    assert all(number % 5 == int(name[1:]) % 5 for number, name in outcome.seen.items())
    assert time.process_time() - begin < 15


def test_a_copy_is_found_among_thousands_that_are_somewhat_alike(decided, remembered, tmp_path):
    """Pages of one template, none of which is a near-duplicate of another, and then each with one more word."""
    chance = random.Random(2)
    template = [f"w{number}" for number in range(300)]
    known = []
    for _ in range(2_000):
        page = list(template)
        for place in chance.sample(range(300), 6):
            page[place] = f"x{chance.randrange(10**9)}"
        known.append(" ".join(page))
    index = str(tmp_path / "index")
    part = remembered(MinHashDedup(update=index, update_as="one"), known)
    keys = np.sort(open_part(part).array("keys").reshape(14, -1), axis=1)
    assert max(np.unique(band, return_counts=True)[1].max() for band in keys) > minhash_index.PER_KEY
    asked = known[:200]
    outcome = decided(
        MinHashDedup(against=(index,), min_similarity=0.95), [f"{text} more" for text in asked], seen=[part]
    )
    assert outcome.seen == {number: f"a{number}" for number in range(200)}


def test_parameters_of_memory_that_cannot_be_are_refused(tmp_path, remembered):
    index = str(tmp_path / "index")
    remembered(MinHashDedup(update=index, update_as="one"), ["a b c"])
    with pytest.raises(RecipeError, match=r'minhash_dedup\.update_as: "a/b" is no name of an index part'):
        MinHashDedup(update=index, update_as="a/b").prepare()
    with pytest.raises(
        InputError, match=r"index: was made with other parameters \(ngram 5 there, 4 here; seed 0 there"
    ):
        MinHashDedup(against=(index,), ngram=4, seed=1).prepare()
    with pytest.raises(InputError, match=r"other parameters \(bands 14 there, 7 here\)"):
        MinHashDedup(update=index, update_as="two", bands=7).prepare()
    with pytest.raises(InputError, match="nowhere: there is no index"):
        MinHashDedup(against=(str(tmp_path / "nowhere"),)).prepare()
    (tmp_path / "index" / "parts" / "one" / "keys.bin").write_bytes(b"")
    (tmp_path / "index" / "parts" / "one" / "part.json").touch()
    with pytest.raises(InputError, match=r"parts/one/keys\.bin: has 0 bytes instead of 112; the index part is damaged"):
        MinHashDedup(against=(index,)).prepare()


def names(found: Sequence) -> list[tuple[str, str]]:
    return [(each.part, each.id) for each in found]


def test_a_question_is_answered_as_the_stage_decides(decided, families):
    index, parts, texts = families
    stage = decided(MinHashDedup(against=(index,), margin=1e9), texts, seen=parts)
    answers = MinHashIndex.open(Path(index)).similar(TextBatch.of_texts(texts), min_similarity=0.75)
    assert {number: found[0].id for number, found in enumerate(answers) if found} == stage.seen
    for number, found in enumerate(answers):
        assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)
        if found:
            assert found[0].exact
            assert found[0].similarity == pytest.approx(stage.similarities[number], abs=1e-6)
            assert found[0].url == f"https://a.example/{found[0].id[1:]}"


def test_questions_to_parts_without_shingles_are_answered_by_estimates(remembered, tmp_path):
    index = str(tmp_path / "index")
    remembered(MinHashDedup(update=index, update_as="one", index_shingles=False), ["a b c d e f g", "h i j"])
    [[found], []] = MinHashIndex.open(Path(index)).similar(TextBatch.of_texts(["A b, c d e f g!", "..."]))
    assert (found.similarity, found.exact, found.id) == (1.0, False, "a0")


def test_datasketch_finds_what_a_question_finds(families):
    index, _, texts = families
    opened = MinHashIndex.open(Path(index))
    lsh, sketch = opened.to_datasketch()
    answers = opened.similar(TextBatch.of_texts(texts), min_similarity=0.01, top=1000)
    assert sum(map(len, answers)) > 100
    for text, found in zip(texts, answers):
        assert set(names(found)) == set(lsh.query(sketch(text)))
    estimates = [sketch(text).jaccard(sketch(texts[0])) for text in texts[:2]]
    assert estimates[0] == 1.0
    assert estimates[1] < 0.2


def test_an_index_of_another_kind_or_version_answers_no_question(remembered, tmp_path):
    index = tmp_path / "exact"
    remembered(ExactDedup(update=str(index), update_as="one"), ["a"])
    with pytest.raises(
        InputError, match="is an index of exact fingerprints, which knows equal texts and no similar ones"
    ):
        MinHashIndex.open(index)
    index = tmp_path / "minhash"
    remembered(MinHashDedup(update=str(index), update_as="one"), ["a"])
    file = index / "index.json"
    whole = file.read_text()
    for old, new, message in (
        ('"version": 1', '"version": 99', r"version 99 there, 1 here"),
        ('"ngram": 5', '"ngram": "5"', "says '5' of ngram, which is no number"),
        ('"ngram": 5,', "", "says None of ngram"),
    ):
        file.write_text(whole.replace(old, new))
        with pytest.raises(InputError, match=message):
            MinHashIndex.open(index)
