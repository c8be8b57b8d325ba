from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import ROW_GROUP_ROWS
from corpusmill.mix import shuffle
from corpusmill.mix.keys import id_hashes, shuffle_keys
from corpusmill.mix.measurement import measure_part
from corpusmill.mix.options import MixOptions, Unit
from corpusmill.mix.placement import place_part
from corpusmill.mix.selection import select
from corpusmill.mix.shuffle import dataset_schema, gather, scatter
from corpusmill.mix.slices import cases_by_source
from tests.mix.conftest import Built, build, make_documents, write_part

SOURCES = {"web": make_documents("web", 260), "code": make_documents("code", 60)}
OPTIONS = MixOptions(ratios={"web": 0.7, "code": 0.3}, max_epochs=2.3, validation=0.1, shard_bytes=8_000, seed=5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("whole"), SOURCES, OPTIONS)


@given(
    web=st.lists(st.integers(0, 260), max_size=5),
    code=st.lists(st.integers(0, 60), max_size=3),
    backwards=st.booleans(),
    run_bytes=st.sampled_from([1, 3_000, 64_000_000]),
)
@settings(max_examples=12, deadline=None)
def test_neither_the_cut_of_the_parts_nor_the_order_of_tasks_changes_a_byte(
    builder: Callable[..., Built], whole: Built, web: list[int], code: list[int], backwards: bool, run_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "RUN_BYTES", run_bytes)
        other = builder(SOURCES, OPTIONS, {"web": web, "code": code}, backwards)
    assert other.shards == whole.shards  # names, counts, sha256 and content hashes


def test_another_seed_gives_another_order_and_other_documents(builder: Callable[..., Built], whole: Built) -> None:
    other = builder(SOURCES, MixOptions(**(OPTIONS.as_dict() | {"seed": 6})))
    assert [row["id"] for row in other.rows()] != [row["id"] for row in whole.rows()]
    assert {row["id"] for row in other.rows("validation")} != {row["id"] for row in whole.rows("validation")}


def test_the_dataset_has_exactly_what_was_selected(mixed: Built) -> None:
    for split, prefix in (("train", ""), ("validation", "validation_")):
        rows = mixed.rows(split)
        for source in mixed.selection.components:
            own = [row for row in rows if row["source"] == source.source]
            assert len(own) == getattr(source, prefix + "documents")
            assert sum(row["n_tokens"] for row in own) == getattr(source, prefix + "units")
            assert sum(len(row["text"].encode()) for row in own) == getattr(
                source, "text_bytes" if split == "train" else "validation_bytes"
            )


def test_no_document_is_in_two_splits_and_validation_has_each_once(mixed: Built) -> None:
    train, validation = ([row["id"] for row in mixed.rows(split)] for split in ("train", "validation"))
    assert not set(train) & set(validation)
    assert len(set(validation)) == len(validation) > 0


def test_copies_of_a_document_differ_by_one_at_most_and_lie_apart(mixed: Built) -> None:
    for source in mixed.selection.components:
        places = [place for place, row in enumerate(mixed.rows()) if row["source"] == source.source]
        ids = [row["id"] for row in mixed.rows() if row["source"] == source.source]
        copies = Counter(ids)
        assert set(copies.values()) <= {source.passes, source.passes + 1}
        if source.passes > 1:
            first = {identity: place for place, identity in zip(reversed(places), reversed(ids), strict=True)}
            last = dict(zip(ids, places, strict=True))
            gaps = [last[identity] - first[identity] for identity in first]
            assert sum(gaps) / len(gaps) > len(mixed.rows()) / 10


def test_rows_are_in_the_order_of_their_shuffle_keys(whole: Built) -> None:
    ids = pa.array([row["id"] for row in whole.rows()], pa.string())
    copies = range(max(source.copies for source in whole.selection.components))
    keys_of_copies = [shuffle_keys(id_hashes(ids), OPTIONS.seed, copy).tolist() for copy in copies]
    # Each row has the key of one of its document's copies, so the smallest that still ascends must always be there.
    last = -1
    for possible in zip(*keys_of_copies, strict=True):
        last = min(key for key in possible if key > last)


def test_every_row_group_is_one_that_readers_like(mixed: Built) -> None:
    schema = dataset_schema("estimated_tokens")
    for shard in mixed.shards:
        with pq.ParquetFile(mixed.folder / shard.name) as file:
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
            assert max(group.num_rows for group in groups) <= ROW_GROUP_ROWS
            assert groups[0].column(0).compression == "ZSTD"
            assert groups[0].column(0).has_offset_index
            assert file.schema_arrow.equals(schema)
            assert file.schema_arrow.metadata[b"corpusmill.unit"] == b"estimated_tokens"
            assert file.read().column("text").null_count == 0
            assert file.metadata.num_rows == shard.rows


def test_names_sort_with_validation_last_and_shards_come_in_eights(mixed: Built) -> None:
    names = sorted(path.name for path in (mixed.folder / "data").iterdir())
    train = [name for name in names if name.startswith("train")]
    assert len(train) == mixed.selection.shards["train"]
    assert len(train) % 8 == 0
    assert names == [*train, *(name for name in names if name.startswith("validation-"))]
    assert names[0] == f"train-00000-of-{len(train):05d}.parquet"
    assert sorted(shard.name for shard in mixed.shards) == [f"data/{name}" for name in names]


def test_reports_count_what_the_files_hold(mixed: Built) -> None:
    for shard in mixed.shards:
        rows = pq.read_table(mixed.folder / shard.name).to_pylist()
        assert shard.rows == len(rows)
        assert shard.characters == sum(len(row["text"]) for row in rows)
        assert shard.text_bytes == sum(len(row["text"].encode()) for row in rows)
        assert shard.units == sum(row["n_tokens"] for row in rows)
        assert shard.documents["license"] == Counter(row["license"] or "" for row in rows)


@pytest.mark.parametrize(
    ("unit", "column"), [("words", "n_words"), ("bytes", "n_bytes"), ("characters", "n_characters")]
)
def test_the_count_column_is_named_for_what_it_counts(builder: Callable[..., Built], unit: Unit, column: str) -> None:
    rows = builder({"web": SOURCES["web"][:20]}, MixOptions(ratios={"web": 1.0}, unit=unit)).rows()
    assert "n_tokens" not in rows[0]
    if unit == "characters":
        assert all(row[column] == len(row["text"]) for row in rows)


def test_no_validation_split_means_no_such_file(builder: Callable[..., Built]) -> None:
    built = builder({"web": SOURCES["web"][:50]}, MixOptions(ratios={"web": 1.0}, validation=0))
    assert len(built.rows()) == 50
    assert {shard.split for shard in built.shards} == {"train"}


def test_row_groups_without_a_selected_document_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = make_documents("web", 200)
    part = write_part(tmp_path / "part.parquet", documents, row_group_rows=1)
    options = MixOptions(ratios={"web": 1.0}, unit="words", budget=500, validation=0, shard_bytes=10**6)
    placed = placement(part, options)
    selection = select({"web": [placed]}, options)
    read: list[int] = []
    original = pq.ParquetFile.iter_batches

    def spying(file: pq.ParquetFile, *arguments: object, **keywords: object) -> object:
        read.extend(keywords["row_groups"])  # type: ignore[arg-type]
        return original(file, *arguments, **keywords)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spying)
    scatter(part, placed, selection, tmp_path / "scattered")
    report = gather("train", 0, [tmp_path / "scattered"], selection, tmp_path)
    assert len(read) == report.rows == selection.of("web").documents < 100
    taken = {row["id"] for row in pq.read_table(tmp_path / report.name).to_pylist()}
    assert taken == {documents[index]["id"] for index in read}


def placement(part: Path, options: MixOptions) -> Path:
    """The placement of the only part of `web`."""
    measured, placed = part.with_suffix(".measured"), part.with_suffix(".placed")
    measure_part(part, measured, options)
    place_part(part, measured, None, None, cases_by_source(options, ["web"])["web"], {}, placed)
    return placed


@pytest.mark.parametrize("count", [99, 100])
def test_a_placement_of_another_part_is_refused(tmp_path: Path, count: int) -> None:
    part = write_part(tmp_path / "part.parquet", make_documents("web", 100))
    other = write_part(tmp_path / "other.parquet", make_documents("law", count))
    options = MixOptions(ratios={"web": 1.0})
    placed = placement(other, options)
    selection = select({"web": [placed]}, options)
    with pytest.raises(DamagedRunError, match=r"is not of the documents of .*part\.parquet; remove both"):
        scatter(part, placed, selection, tmp_path / "scattered")
    assert not (tmp_path / "scattered").exists()
