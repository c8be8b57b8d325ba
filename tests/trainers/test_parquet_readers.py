"""The dataset's own Parquet files, as the trainers that take them read them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from datasets.distributed import split_dataset_by_node

from tests.trainers import reading
from tests.trainers.conftest import SPLITS, Dataset

RANKS = [1, 2, 3, 8]


def streamed(dataset: Dataset, split: str, cache: Path) -> Any:
    """As torchtitan and levanter load a dataset that is a folder."""
    return datasets.load_dataset(str(dataset.folder), split=split, streaming=True, cache_dir=str(cache))


def test_the_dataset_is_large_enough_to_prove_something(mixed: Dataset) -> None:
    files = [pq.ParquetFile(path) for path in sorted(mixed.folder.glob("data/*.parquet"))]
    assert len(files) >= 4
    assert all(file.num_row_groups >= 2 for file in files[:-1])
    assert len(mixed.rows("validation")) > 50
    passes = Counter(row["id"] for row in mixed.rows("train"))
    assert set(passes.values()) == {1, 2}
    assert {row["component"] for row in mixed.rows("train")} == {"web", "notes", "code", "books"}


def test_hugging_face_streams_every_split_with_the_columns_that_the_card_declares(
    mixed: Dataset, tmp_path: Path
) -> None:
    loaded = datasets.load_dataset(str(mixed.folder), streaming=True, cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "validation", "heldout_web", "heldout_code", "heldout_books"}
    for split, rows in loaded.items():
        assert list(rows) == mixed.rows(split)
        assert rows.features is not None
        assert rows.features["text"].dtype == "string"
        assert rows.info.splits[split].num_examples == len(mixed.rows(split))


def test_hugging_face_loads_it_with_every_check_of_its_own(mixed: Dataset, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(mixed.folder), cache_dir=str(tmp_path), verification_mode="all_checks")
    for split in SPLITS:
        assert loaded[split]["text"][:] == mixed.texts(split)  # nanotron's text_column_name


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("split", SPLITS)
def test_torchtitans_nodes_share_the_documents(mixed: Dataset, tmp_path: Path, split: str, ranks: int) -> None:
    whole = streamed(mixed, split, tmp_path)
    parts = [[sample["text"] for sample in split_dataset_by_node(whole, rank, ranks)] for rank in range(ranks)]
    assert Counter(text for part in parts for text in part) == Counter(mixed.texts(split))
    assert all(parts)


def test_torchtitan_goes_on_where_its_checkpoint_was(mixed: Dataset, tmp_path: Path) -> None:
    first = split_dataset_by_node(streamed(mixed, "train", tmp_path), 1, 2)
    seen = []
    for sample in first:
        seen.append(sample["text"])
        if len(seen) == 1_500:  # within the second row group
            state = first.state_dict()
            break
    again = split_dataset_by_node(streamed(mixed, "train", tmp_path), 1, 2)
    again.load_state_dict(state)
    rest = [sample["text"] for sample in again]
    assert seen + rest == [sample["text"] for sample in split_dataset_by_node(streamed(mixed, "train", tmp_path), 1, 2)]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_nanochats_ranks_share_the_row_groups(mixed: Dataset, split: str, ranks: int) -> None:
    """nanochat's `train` is every file but the last, and the last one is its `val`."""
    parts = [list(reading.nanochat(mixed.folder / "data", split, rank, ranks)) for rank in range(ranks)]
    assert Counter(text for part in parts for text in part) == Counter(mixed.texts(split))


def test_nanochat_validates_on_no_document_that_it_trains_on(mixed: Dataset) -> None:
    trained = {row["id"] for row in mixed.rows("train")}
    assert not trained & {row["id"] for split in SPLITS[1:] for row in mixed.rows(split)}
    assert len(list(mixed.folder.glob("data/validation-*"))) == 1  # or it would train on all of them but the last


@pytest.mark.parametrize("start", [0, 1, 1_023, 1_024, 1_025])
def test_levanter_reads_files_by_url_from_any_row_on(mixed: Dataset, start: int) -> None:
    for path in sorted(mixed.folder.glob("data/train-*.parquet")):
        expected = pq.read_table(path, columns=["text"]).column("text").to_pylist()
        assert list(reading.levanter(path.resolve().as_uri(), start)) == expected[start:]
