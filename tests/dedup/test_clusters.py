"""Banding, union and stars against plain Python."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup import banding, clusters
from corpusmill.dedup.banding import (
    Banding,
    Components,
    band_keys,
    check_countable,
    read_pairs,
    same_keys,
    spread,
)
from corpusmill.dedup.clusters import Verification, settle
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.ids import IdIndex, repeated_id

SIGNATURES = st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=25)


def components(
    signatures: list[list[int]],
    bands: int,
    rows: int,
    folder: Path,
    *,
    batch: int = 7,
    files: int = 1,
    tasks: int = 1,
    backwards: bool = False,
    unusable: int = 9,
) -> dict[int, int]:
    """Document -> the least of its component, for those that are not alone. Those that begin with `unusable` are so."""
    banding = Banding(bands, rows)
    values = np.array(signatures, np.uint16)
    bounds = np.linspace(0, len(values), files + 1).astype(int).tolist()
    keys = [folder / f"{number}.keys" for number in range(files)]
    for path, (first, last) in zip(keys, pairwise(bounds)):
        some = (values[begin : min(begin + batch, last)] for begin in range(first, last, batch))
        with open(path, "wb") as stream:
            spread(banding, ((each, each[:, 0] != unusable) for each in some), first, last - first, stream)
    joined = Components(len(values))
    cuts = np.linspace(0, banding.partitions, tasks + 1).astype(int).tolist()
    for first, last in list(pairwise(cuts))[:: -1 if backwards else 1]:
        with open(folder / "pairs", "wb") as stream:
            for pairs in same_keys(banding, keys, range(first, last)):
                stream.write(pairs.data)
        for pairs in read_pairs(folder / "pairs"):
            joined.join(pairs)
    members, roots = joined.members()
    return dict(zip(members.tolist(), roots.tolist()))


def plain_components(signatures: list[list[int]], bands: int, rows: int) -> dict[int, int]:
    sets = [{document} for document in range(len(signatures))]
    for band in range(bands):
        buckets: dict[tuple[int, ...], int] = {}
        for document, signature in enumerate(signatures):
            if signature[0] < 9:
                other = buckets.setdefault(tuple(signature[band * rows : (band + 1) * rows]), document)
                together = sets[document] | sets[other]
                for each in together:
                    sets[each] = together
    return {document: min(own) for document, own in enumerate(sets) if len(own) > 1}


@given(SIGNATURES, st.sampled_from([(2, 3), (3, 2), (1, 6), (6, 1), (1, 5)]), st.integers(1, 3), st.integers(1, 5))
@settings(deadline=None)
def test_components_equal_those_of_plain_python(tmp_path_factory, signatures, shape, files, tasks):
    signatures = [[9, *signature[1:]] if signature[:2] == [0, 1] else signature for signature in signatures]
    folder = tmp_path_factory.mktemp("bands")
    assert components(signatures, *shape, folder, files=files, tasks=tasks) == plain_components(signatures, *shape)


@pytest.mark.parametrize(("block", "piece"), [(30, 10), (64, 1000), (1000, 1)])
def test_components_do_not_depend_on_blocks_pieces_files_and_tasks(tmp_path, monkeypatch, block, piece):
    signatures = np.random.default_rng(0).integers(0, 3, (400, 6)).tolist()
    whole = components(signatures, 2, 3, tmp_path)
    monkeypatch.setattr(banding, "BLOCK_ROWS", block)
    monkeypatch.setattr(banding, "PIECE_KEYS", piece)
    many = components(signatures, 2, 3, tmp_path, batch=64, files=5, tasks=3, backwards=True)
    assert many == whole == plain_components(signatures, 2, 3)


def test_a_table_of_keys_grows_where_a_partition_has_more_that_differ_than_expected(tmp_path, monkeypatch):
    """Rows of one value each: the second half repeats the first, and a table begins with room for four keys."""
    signatures = [[value] for value in [*range(5000), *range(5000)]]
    monkeypatch.setattr(banding, "PIECE_KEYS", 4)
    joined = components(signatures, 1, 1, tmp_path, batch=1000, unusable=9999)
    assert joined == {document: document % 5000 for document in range(10_000)}


def test_keys_of_other_bands_are_an_error_that_names_the_file(tmp_path):
    with open(tmp_path / "keys", "wb") as stream:
        spread(Banding(2, 3), [], 0, 0, stream)
    with pytest.raises(DamagedRunError, match=r"keys: holds band keys of version 1 in 512 partitions, not .* in 768"):
        next(same_keys(Banding(3, 2), [tmp_path / "keys"], range(3)))


@pytest.mark.parametrize(
    ("size", "message"), [(-1, r"has \d+ bytes instead of \d+"), (100, "has 100 bytes"), (10, "of version 0")]
)
def test_a_file_of_keys_that_is_cut_short_is_an_error_that_names_it(tmp_path, size, message):
    whole = tmp_path / "whole"
    with open(whole, "wb") as stream:
        spread(Banding(2, 3), [(np.zeros((5, 6), np.uint16), np.ones(5, np.bool_))], 0, 5, stream)
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(DamagedRunError, match=rf"cut: .*{message}.*; remove it and run again"):
        next(same_keys(Banding(2, 3), [whole, cut], range(512)))


def plain_band_key(values: list[int], band: int, rows: int) -> int:
    mask = 2**64 - 1
    own = values[band * rows : (band + 1) * rows]
    whole = len(own) - len(own) % 4
    blocks = [sum(value << 16 * place for place, value in enumerate(own[at : at + 4])) for at in range(0, whole, 4)]
    key = band + 1
    for block in [*blocks, *own[whole:]]:
        key = (key ^ block) * 0x9FB21C651E98DF25 & mask
        key ^= key >> 32
    key ^= key >> 32
    key = key * 0xD6E8FEB86659FD93 & mask
    return key ^ key >> 29


@given(
    st.lists(st.lists(st.integers(0, 2**16 - 1), min_size=12, max_size=12), min_size=1, max_size=5),
    st.sampled_from([(1, 12), (2, 6), (3, 4), (4, 3), (2, 5), (12, 1)]),
)
@settings(deadline=None)
def test_band_keys_equal_those_of_plain_python(signatures, shape):
    keys = np.zeros((shape[0], len(signatures) + 2), np.uint64)
    band_keys(frozen(np.array(signatures, np.uint16)), *shape, 1, keys)
    expected = [[plain_band_key(values, band, shape[1]) for values in signatures] for band in range(shape[0])]
    assert keys[:, 1:-1].tolist() == expected
    assert not keys[:, [0, -1]].any()


def test_band_keys_stay_what_indexes_have_written():
    keys = np.empty((2, 1), np.uint64)
    band_keys(frozen(np.arange(16, dtype=np.uint16)[None]), 2, 8, 0, keys)
    assert [hex(key) for key in keys[:, 0].tolist()] == ["0xd8ba41929fc9c9b8", "0xa061d9ec218d114c"]


def test_more_documents_than_can_be_numbered_are_an_error_that_says_how_to_go_on():
    with pytest.raises(
        UsageError, match=r"5000000000 documents are more than .* split the source, for example by crawl"
    ):
        check_countable(5_000_000_000)


class Exact:
    """Exact similarities by a table, and what was asked for."""

    def __init__(self, signatures: np.ndarray, seed: int) -> None:
        self.signatures, self.seed, self.asked = signatures, seed, []

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        assert (right < left).all()
        self.asked.append(set(zip(left.tolist(), right.tolist())))
        return np.array([self.of(*pair) for pair in zip(left.tolist(), right.tolist())])

    def of(self, left: int, right: int) -> float:
        """The estimate and some error."""
        error = np.random.default_rng([self.seed, left, right]).uniform(-0.2, 0.2)
        return float(np.clip(np.mean(self.signatures[left] == self.signatures[right]) + error, 0, 1))


def settled(signatures, verification, exact, starts=None, bands=3, rows=2):
    count = len(signatures)
    return settle(
        np.array(signatures, np.uint16),
        np.arange(count, dtype=np.uint32),
        np.array([0, count] if starts is None else starts),
        bands=bands,
        rows=rows,
        verification=verification,
        exact_similarity=exact,
    )


@given(SIGNATURES, st.integers(0, 3), st.sampled_from([0.4, 0.6]), st.sampled_from([0.0, 0.5, 1.0]))
@settings(deadline=None)
def test_stars_equal_those_of_plain_python(signatures, seed, min_similarity, margin):
    """In keep order: a document goes if it is similar to one that stays."""
    verification = Verification(min_similarity, margin, 6)
    exact = Exact(np.array(signatures), seed)
    stars = settled(signatures, verification, exact)

    def similarity(left: int, right: int) -> float:
        agree = sum(one == two for one, two in zip(signatures[left], signatures[right]))
        if agree < verification.rejected_below:
            return 0.0
        return agree / 6 if agree >= verification.accepted_from else exact.of(left, right)

    kept: list[int] = []
    for document in range(len(signatures)):
        if all(similarity(document, other) < min_similarity for other in kept):
            kept.append(document)
    assert np.flatnonzero(stars.twins < 0).tolist() == kept
    for document in np.flatnonzero(stars.twins >= 0).tolist():
        twin = int(stars.twins[document])
        assert twin in kept
        assert stars.similarities[document] == np.float32(similarity(document, twin)) >= np.float32(min_similarity)
    pairs = [pair for asked in exact.asked for pair in asked]
    assert len(pairs) == len(set(pairs))


@given(SIGNATURES, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_a_component_is_settled_as_if_it_were_alone(signatures, cut, seed):
    cut = min(cut, len(signatures))
    verification = Verification(0.5, 0.0, 6)
    starts = [0, cut] if cut == len(signatures) else [0, cut, len(signatures)]
    both = settled(signatures, verification, Exact(np.array(signatures), seed), starts)
    first = settled(signatures[:cut], verification, Exact(np.array(signatures[:cut]), seed))
    assert both.twins[:cut].tolist() == first.twins.tolist()
    assert (both.twins[cut:] < 0).tolist() == [twin < cut for twin in both.twins[cut:].tolist()] or (
        both.twins[cut:][both.twins[cut:] >= 0] >= cut
    ).all()


def test_beyond_the_window_documents_meet_through_their_bands():
    """Three hundred unlike documents fill the window; then copies of all of them come."""
    chance = np.random.default_rng(0)
    signatures = chance.integers(0, 2**16, (300, 112)).astype(np.uint16)
    stars = settled(np.concatenate([signatures, signatures]), Verification(0.75, 3, 112), None, bands=14, rows=8)
    assert stars.twins.tolist() == [-1] * 300 + list(range(300))


def alike(count: int, similarity: float, seed: int = 0) -> np.ndarray:
    """Signatures each pair of which agrees in that share of places."""
    chance = np.random.default_rng(seed)
    base = chance.integers(0, 2**16, 112)
    return np.where(chance.random((count, 112)) < similarity**0.5, base, chance.integers(0, 2**16, (count, 112)))


@pytest.mark.parametrize("similarity", [0.3, 0.7, 0.78])
def test_work_stays_linear_where_thousands_of_documents_are_nearly_alike(similarity):
    signatures = alike(4000, similarity).astype(np.uint16)
    asked = []

    def exact(left, right):
        asked.append(left)
        return np.mean(signatures[left] == signatures[right], axis=1)

    stars = settled(signatures, Verification(0.75, 3, 112), exact, bands=14, rows=8)
    _, per_document = np.unique(np.concatenate([np.empty(0, np.int64), *asked]), return_counts=True)
    assert len(asked) <= clusters.ROUNDS
    assert per_document.max(initial=0) <= clusters.BUDGET
    gone = np.flatnonzero(stars.twins >= 0)
    assert (stars.twins[stars.twins[gone]] < 0).all()
    assert (np.mean(signatures[gone] == signatures[stars.twins[gone]], axis=1) >= 0.75).all()
    assert (similarity > 0.7) == (len(gone) > 2000)


def test_copies_of_an_undecided_document_wait_for_it_instead_of_asking_for_their_texts():
    """Document 1 is near the threshold of 0, and a thousand others equal 1."""
    signatures = np.tile(np.arange(112, dtype=np.uint16), (1002, 1))
    signatures[0, :28] = 60_000
    asked = defaultdict(int)

    def exact(left, right):
        for one in left.tolist():
            asked[one] += 1
        return np.full(len(left), 0.7)

    stars = settled(signatures, Verification(0.75, 3, 112), exact, bands=14, rows=8)
    assert stars.twins.tolist() == [-1, -1] + [1] * 1000
    assert asked == {1: 1}


@pytest.mark.parametrize(
    ("min_similarity", "margin", "accepted_from", "rejected_below"),
    [(0.75, 3.0, 98, 71), (0.75, 0.0, 84, 84), (1.0, 3.0, 113, 112), (0.99, 3.0, 113, 108), (0.01, 3.0, 5, -2)],
)
def test_signatures_settle_a_pair_only_where_they_are_clear(min_similarity, margin, accepted_from, rejected_below):
    verification = Verification(min_similarity, margin, 112)
    assert (verification.accepted_from, verification.rejected_below) == (accepted_from, rejected_below)


@given(st.lists(st.text(max_size=4), max_size=20, unique=True), st.lists(st.text(max_size=4), max_size=20))
@settings(deadline=None)
def test_ids_are_found_where_they_stand(ids, asked):
    found = IdIndex(pa.array(ids, pa.string())).find(pa.array(asked, pa.string()))
    assert found.tolist() == [ids.index(one) if one in ids else -1 for one in asked]
    assert repeated_id(pa.array(ids, pa.string())) is None
    repeated = repeated_id(pa.array(ids + asked, pa.string()))
    assert (repeated is None) == (len(set(ids + asked)) == len(ids + asked))
    assert repeated is None or (ids + asked).count(repeated) > 1
