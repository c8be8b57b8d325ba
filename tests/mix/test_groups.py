"""Groups of near-duplicates: what is together, whatever source, part or order it came in, and what is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup.banding import Components
from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import write_table
from corpusmill.mix import groups
from corpusmill.mix.groups import (
    BANDS,
    GROUPS,
    LEAST_AGREEMENT,
    ROWS,
    SKETCH,
    VALUES,
    WINDOW,
    GroupCounts,
    assemble,
    find_groups,
    join_bands,
    join_similar,
    look_up,
    sketch,
    sketch_part,
    write_groups,
)
from corpusmill.mix.keys import VALIDATION, splits_of

VOCABULARY = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def prose(chance: Random, words: int) -> list[str]:
    return [chance.choice(VOCABULARY) + chance.choice(VOCABULARY) for _ in range(words)]


def grouped(folder: Path, sketches: Sequence[pa.RecordBatch]) -> tuple[GroupCounts, dict[int, int]]:
    """Groups of sketches, each a file; the counts, and every row of the result."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"sketch-{number}.parquet" for number in range(len(sketches))]
    for path, rows in zip(paths, sketches, strict=True):
        write_table(path, [rows], SKETCH)
    counts = find_groups(paths, folder / "groups.parquet", folder / "work")
    table = pq.read_table(folder / "groups.parquet")
    assert table.schema.remove_metadata() == GROUPS
    return counts, dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def of_texts(folder: Path, texts: Sequence[str]) -> list[set[int]]:
    """The groups of these texts, by their numbers; those that are alone, too."""
    rows = sketch(TextBatch.of_texts(texts))
    grouped(folder, [rows])
    found = look_up(folder / "groups.parquet", rows.column("id_hash").to_numpy()).tolist()
    return [{row for row, own in enumerate(found) if own == group} for group in dict.fromkeys(found)]


def test_a_chain_of_revisions_is_one_group_though_its_ends_are_unlike(tmp_path: Path):
    chance = Random(1)
    revisions = [prose(chance, 400)]
    for step in range(12):
        revisions.append(list(revisions[-1]))
        revisions[-1][30 * step : 30 * step + 30] = prose(chance, 30)
    others = [prose(chance, 400) for _ in range(20)]
    found = of_texts(tmp_path, [" ".join(words) for words in (*revisions, *others)])
    assert found == [set(range(13)), *({row} for row in range(13, 33))]


def test_documents_of_one_template_are_not_glued_together(tmp_path: Path):
    """Each shares a third of its words with all others, in one place, and half of them have a near-duplicate."""
    chance = Random(2)
    template = prose(chance, 100)
    pages = [template + prose(chance, 200) for _ in range(1500)]
    copies = [page[:-3] + prose(chance, 3) for page in pages[::2]]
    found = of_texts(tmp_path, [" ".join(words) for words in (*pages, *copies)])
    copy_of = {row: {row, 1500 + row // 2} if row % 2 == 0 else {row} for row in range(1500)}
    assert found == list(copy_of.values())


def test_equal_texts_are_one_group_across_sources_and_parts(tmp_path: Path):
    texts = ["one two three four five six seven", "a word or two", "—", "", "something else that stands alone here"]
    parts = []
    for source in ("web", "code", "math"):
        path = tmp_path / f"{source}.parquet"
        batch = TextBatch.of_texts(texts if source == "web" else texts[:4], source)
        write_table(path, [batch.documents], batch.documents.schema)
        parts.append(path)
    sketches = [path.with_suffix(".sketch") for path in parts]
    for part, out in zip(parts, sketches, strict=True):
        assert sketch_part(part, out).rows == pq.read_metadata(part).num_rows
    out = tmp_path / "groups.parquet"
    counts = find_groups(sketches, out, tmp_path / "work")
    assert counts == GroupCounts(documents=13, grouped=12, groups=4, largest=3)
    assert counts.as_dict() == {"documents": 13, "grouped": 12, "groups": 4, "largest": 3}
    hashes = [pq.read_table(path).column("id_hash").to_numpy() for path in sketches]
    web, code, math = (look_up(out, own) for own in hashes)
    assert (web[:4] == code).all()
    assert (web[:4] == math).all()
    assert web[:4].tolist() == [min(own[row] for own in hashes) for row in range(4)]
    assert web[4] == hashes[0][4]
    assert not (tmp_path / "work").exists() or not list((tmp_path / "work").iterdir())


def test_short_documents_are_together_by_their_words_and_wordless_ones_by_their_text(tmp_path: Path):
    texts = ["Hello, world", "hello world!", "hello there", "...", "....", "...", "", ""]
    assert of_texts(tmp_path, texts) == [{0, 1}, {2}, {3, 5}, {4}, {6, 7}]


@pytest.fixture(scope="module")
def families() -> pa.RecordBatch:
    """Sketches of 60 families of one to forty documents, and of one of 200 copies."""
    chance = Random(3)
    texts = []
    for family in range(60):
        own = prose(chance, chance.randint(3, 300))
        for _ in range(1 + family % 40):
            changed = list(own)
            for _ in range(len(own) // 40):
                changed[chance.randrange(len(own))] = "another"
            texts.append(" ".join(changed))
    texts += ["the same words over and over in every copy"] * 200
    return sketch(TextBatch.of_texts(texts))


@pytest.mark.parametrize("cuts", [(), (1,), (17, 17, 400, 900)])
def test_groups_depend_on_neither_parts_nor_their_order_nor_pieces_nor_tasks(
    tmp_path: Path, families: pa.RecordBatch, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    counts, expected = grouped(tmp_path / "whole", [families])
    assert counts.groups > 50
    parts = [families.slice(begin, end - begin) for begin, end in pairwise([0, *cuts, families.num_rows])]
    assert grouped(tmp_path / "cut", parts[::-1]) == (counts, expected)
    shuffled = families.take(pa.array(np.random.default_rng(1).permutation(families.num_rows)))
    monkeypatch.setattr(groups, "PIECE_KEYS", 100)
    assert grouped(tmp_path / "shuffled", [shuffled]) == (counts, expected)
    assemble([tmp_path / "shuffled" / "sketch-0.parquet"], tmp_path / "tasks")
    files = []
    for begin, end in ((0, 1), (1, 20), (20, BANDS)):
        files.append(tmp_path / f"pairs-{begin}")
        join_bands(tmp_path / "tasks", range(begin, end), files[-1])
    assert write_groups(tmp_path / "tasks", files[::-1], tmp_path / "again.parquet") == counts
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "shuffled" / "groups.parquet").read_bytes()


def test_a_group_hash_is_the_smallest_id_hash_and_rows_are_sorted_and_no_document_in_them_is_alone(
    tmp_path: Path, families: pa.RecordBatch
):
    counts, found = grouped(tmp_path, [families])
    assert list(found) == sorted(found)
    members: dict[int, list[int]] = {}
    for identity, group in found.items():
        members.setdefault(group, []).append(identity)
    assert all(group == min(own) for group, own in members.items())
    sizes = [len(own) for own in members.values()]
    assert min(sizes) > 1
    assert counts == GroupCounts(documents=families.num_rows, grouped=sum(sizes), groups=len(sizes), largest=max(sizes))


def sketches_of(signatures: np.ndarray, hashes: Iterable[int] | None = None) -> pa.RecordBatch:
    values = pa.Array.from_buffers(
        SKETCH.field("signature").type, len(signatures), [None, pa.py_buffer(np.ascontiguousarray(signatures, "<u2"))]
    )
    own = np.arange(len(signatures)) if hashes is None else np.array(list(hashes))
    return pa.RecordBatch.from_arrays([pa.array(own.astype(np.uint64)), values], schema=SKETCH)


def test_documents_of_one_id_are_in_one_group_with_what_either_is_like(tmp_path: Path):
    chance = np.random.default_rng(4)
    one, two, three = chance.integers(0, 1 << 16, (3, VALUES))
    rows = sketches_of(np.stack([one, two, one, two, three, three]), [10, 10, 5, 7, 9, 9])
    counts, found = grouped(tmp_path, [rows])
    assert found == {5: 5, 7: 5, 10: 5}
    assert counts == GroupCounts(documents=4, grouped=3, groups=1, largest=3)


def test_nothing_makes_no_groups(tmp_path: Path):
    assert grouped(tmp_path / "none", []) == (GroupCounts(documents=0, grouped=0, groups=0, largest=0), {})
    empty = sketches_of(np.empty((0, VALUES), np.uint16))
    assert grouped(tmp_path / "empty", [empty, empty])[1] == {}
    some = np.array([3, 1], np.uint64)
    assert look_up(tmp_path / "empty" / "groups.parquet", some).tolist() == [3, 1]
    lone = sketches_of(np.arange(VALUES, dtype=np.uint16)[None])
    assert grouped(tmp_path / "one", [lone]) == (GroupCounts(documents=1, grouped=0, groups=0, largest=1), {})


def test_a_file_that_is_no_sketch_is_named(tmp_path: Path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id_hash": pa.array([1], pa.uint64())}), path)
    with pytest.raises(DamagedRunError, match=r"other\.parquet: is no sketch of 112 values .* remove it and run again"):
        find_groups([path], tmp_path / "groups.parquet", tmp_path)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    documents=st.integers(1, WINDOW),
    bases=st.integers(1, 4),
    agreeing=st.sampled_from([0.6, 0.75, 0.8, 0.95]),
)
def test_groups_are_the_components_of_pairs_that_share_a_band_and_agree_enough(
    tmp_path_factory: pytest.TempPathFactory, seed: int, documents: int, bases: int, agreeing: float
):
    chance = np.random.default_rng(seed)
    signatures = chance.integers(0, 1 << 16, (bases, VALUES))[chance.integers(0, bases, documents)]
    signatures = np.where(chance.random(signatures.shape) < agreeing, signatures, chance.integers(0, 3, VALUES))
    signatures = signatures.astype(np.uint16)
    components = Components(len(signatures))
    for one, two in combinations(range(len(signatures)), 2):
        same = signatures[one] == signatures[two]
        if same.sum() >= LEAST_AGREEMENT and same.reshape(BANDS, ROWS).all(axis=1).any():
            components.join(np.array([[one, two]], np.uint32))
    members, least = components.members()
    _, found = grouped(tmp_path_factory.mktemp("random"), [sketches_of(signatures)])
    assert found == dict(zip(members.tolist(), least.tolist(), strict=True))


def join_similar_in_python(packed, order, signatures, parents, pairs):
    def root_of(document: int) -> int:
        while parents[document] != document:
            document = int(parents[document])
        return document

    count = 0
    for place, own in enumerate(packed.tolist()):
        for other in packed[place + 1 : place + 1 + WINDOW].tolist():
            one, two = own & 0xFFFFFFFF, other & 0xFFFFFFFF
            roots = root_of(one), root_of(two)
            agree = int((signatures[order[one]] == signatures[order[two]]).sum())
            if own >> 32 == other >> 32 and roots[0] != roots[1] and agree >= LEAST_AGREEMENT:
                pairs[count] = one, two
                count += 1
                parents[max(roots)] = min(roots)
    return count


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), documents=st.integers(1, 90), keys=st.integers(1, 4), bases=st.integers(1, 5))
def test_the_kernel_joins_what_its_plain_twin_joins(seed: int, documents: int, keys: int, bases: int):
    chance = np.random.default_rng(seed)
    signatures = chance.integers(0, 1 << 16, (bases, VALUES))[chance.integers(0, bases, documents)]
    noise = chance.random(signatures.shape) > 0.78
    signatures = np.where(noise, chance.integers(0, 1 << 16, signatures.shape), signatures).astype(np.uint16)
    order = chance.permutation(documents).astype(np.uint32)
    packed = chance.integers(0, keys, documents).astype(np.uint64) << np.uint64(32)
    packed = np.sort(packed | np.arange(documents, dtype=np.uint64))
    found = []
    for function in (join_similar, join_similar_in_python):
        inputs = [packed.copy(), order.copy(), signatures.copy()]
        for array in inputs:
            array.flags.writeable = False
        parents, pairs = np.arange(documents, dtype=np.uint32), np.empty((documents, 2), np.uint32)
        found.append(pairs[: function(*inputs, parents, pairs)].tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize(("similarity", "least", "most"), [(0.75, 0.995, 1.0), (0.7, 0.96, 1.0), (0.45, 0.0, 0.01)])
def test_pairs_are_joined_as_often_as_the_docstring_says(tmp_path: Path, similarity: float, least: float, most: float):
    chance = np.random.default_rng(5)
    ones = chance.integers(0, 1 << 16, (3000, VALUES))
    twos = np.where(chance.random(ones.shape) < similarity, ones, chance.integers(0, 1 << 16, ones.shape))
    counts, found = grouped(tmp_path, [sketches_of(np.concatenate([ones, twos]))])
    assert counts.largest == 2
    assert least <= len(found) / 6000 <= most


def test_near_duplicates_are_found_in_a_bucket_far_larger_than_the_window(tmp_path: Path):
    """Every band key that a pair shares is also that of 300 others, as a template's is; no other pair is similar."""
    chance = np.random.default_rng(6)
    documents = chance.integers(0, 1 << 16, (3000, VALUES))
    documents[:, :ROWS] = np.arange(3000)[:, None] % 10
    documents[:, ROWS : 2 * ROWS] = np.arange(3000)[:, None] // 10 % 10
    twins = documents[:100].copy()
    twins[:, 2 * ROWS :: ROWS] = chance.integers(0, 1 << 16, (100, BANDS - 2))
    counts, _ = grouped(tmp_path, [sketches_of(np.concatenate([documents, twins]))])
    assert counts == GroupCounts(documents=3100, grouped=200, groups=100, largest=2)


def exact_similarities(texts: Sequence[str]) -> dict[tuple[int, int], float]:
    """Of all pairs that share a shingle of every eighth which at most 16 documents have."""
    shingles = shingles_of(TextBatch.of_texts(texts), 5, False)
    sets = [np.unique(shingles.hashes[a:b]) for a, b in pairwise(shingles.firsts.tolist())]
    rows = np.repeat(np.arange(len(sets)), [len(own) for own in sets])
    hashes = np.concatenate(sets)
    order = np.argsort(hashes, kind="stable")
    order = order[hashes[order] % 8 == 0]
    hashes, rows = hashes[order], rows[order]
    pairs: set[tuple[int, int]] = set()
    starts = np.flatnonzero(np.insert(hashes[1:] != hashes[:-1], 0, True))
    for begin, end in zip(starts.tolist(), np.append(starts[1:], len(hashes)).tolist(), strict=True):
        if 1 < end - begin <= 16:
            pairs.update(combinations(rows[begin:end].tolist(), 2))
    found = {}
    for one, two in pairs:
        shared = len(np.intersect1d(sets[one], sets[two], assume_unique=True))
        found[one, two] = shared / max(1, len(sets[one]) + len(sets[two]) - shared)
    return found


@pytest.mark.realdata
def test_no_pair_of_revisions_or_licences_that_are_alike_is_in_two_splits(realdata: Path, tmp_path: Path):
    folders = ("neardup/opentermsarchive_revisions_contrib", "neardup/license_texts_spdx_google")
    texts = [
        path.read_text("utf-8", "replace")
        for folder in folders
        for path in sorted((realdata / folder).rglob("*"))
        if path.is_file() and path.suffix in (".md", ".txt")
    ]
    rows = sketch(TextBatch.of_texts(texts))
    counts, _ = grouped(tmp_path, [rows])
    ids = rows.column("id_hash").to_numpy()
    found = look_up(tmp_path / "groups.parquet", ids)
    similarities = exact_similarities(texts)
    alike = [pair for pair, similarity in similarities.items() if similarity >= 0.75]
    assert len(alike) > 1000
    assert all(found[one] == found[two] for one, two in alike)
    for seed in range(5):
        split, by_id = (splits_of(hashes, seed, 0.2, 0.0) == VALIDATION for hashes in (found, ids))
        assert not any(split[one] != split[two] for one, two in alike)
        assert sum(by_id[one] != by_id[two] for one, two in alike) > 100
    # Nor is everything one group: the terms of one service are not those of another.
    assert counts.largest < 0.05 * counts.documents
    unlike = [(one, two) for (one, two), similarity in similarities.items() if similarity < 0.3]
    assert np.mean([found[one] == found[two] for one, two in unlike]) < 0.05
