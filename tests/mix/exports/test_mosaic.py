"""MDS shards, read back by the documented layout."""

from __future__ import annotations

import json
import math
import struct
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zstandard

from corpusmill.mix.exports import records
from tests.mix.exports.small_exports import EOS, bytes_of, export_by_hand, rows, stream_of, without_nulls
from tests.trainers import reading

SHARDS = [rows(120), rows(80, first=120)]
EVERY = SHARDS[0] + SHARDS[1]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 2,000 bytes."""
    monkeypatch.setattr(records, "FILE_BYTES", 2_000)


def read(folder: Path) -> list[dict]:
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in sample.items()}
        for sample in reading.mosaic(folder)
    ]


def test_every_document_comes_back_with_all_its_columns(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "mosaic", SHARDS)
    assert read(out / "train") == [dict(sorted(without_nulls(row).items())) for row in EVERY]


@pytest.mark.usefixtures("small_shards")
def test_shards_are_no_larger_than_the_limit_unless_one_document_is(tmp_path: Path) -> None:
    long = [*rows(60), {**rows(1)[0], "text": "y" * 5_000}, *rows(60, first=60)]
    out, _ = export_by_hand(tmp_path, "mosaic", [long, SHARDS[1]])
    assert read(out / "train") == [dict(sorted(without_nulls(row).items())) for row in long + SHARDS[1]]
    shards = json.loads((out / "train/index.json").read_text())["shards"]
    assert len(shards) > 10
    for shard in shards:
        assert shard["raw_data"]["bytes"] <= 2_000 or shard["samples"] == 1
    # Each is as full as it can be: the first document of the next shard of the same stem would not have fitted.
    for shard, after in pairwise(shards):
        if shard["raw_data"]["basename"].split(".")[0] == after["raw_data"]["basename"].split(".")[0]:
            assert shard["raw_data"]["bytes"] + 4 + first_record_bytes(out / "train", after) > 2_000


def first_record_bytes(folder: Path, shard: dict[str, Any]) -> int:
    data = zstandard.ZstdDecompressor().decompress((folder / shard["zip_data"]["basename"]).read_bytes())
    begin, end = struct.unpack_from("<2I", data, 4)
    return int(end - begin)


@pytest.mark.usefixtures("small_shards")
def test_shards_do_not_depend_on_how_documents_come(tmp_path: Path) -> None:
    for name in ("mosaic", "mosaic_tokens"):
        once, _ = export_by_hand(tmp_path / "a", name, SHARDS, batch=200)
        pieces, _ = export_by_hand(tmp_path / "b", name, SHARDS, batch=7)
        assert bytes_of(once) == bytes_of(pieces)


def test_tokens_fill_sequences_and_none_is_lost(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "mosaic_tokens", SHARDS, sequence_length=48)
    samples = read(out / "train")
    assert {tuple(sample) for sample in samples} == {("tokens",)}
    found = [sample["tokens"].tolist() for sample in samples]
    assert {len(block) for block in found} == {48}
    expected = []
    for shard in SHARDS:
        stream = stream_of(shard)
        expected += stream + [EOS] * (-len(stream) % 48)
    assert list(chain(*found)) == expected


def test_groups_become_streams_whose_samples_are_read_once(tmp_path: Path) -> None:
    out, finished = export_by_hand(tmp_path, "mosaic", SHARDS, by="source")
    for source in ("web", "code", "math"):
        found = [sample["text"] for sample in read(out / "train" / source)]
        assert found == [row["text"] for row in EVERY if row["source"] == source]
    told = yaml.safe_load("\n".join(finished.paste))["train_loader"]["dataset"]["streams"]
    assert told == {s: {"local": str(out / "train" / s), "repeat": 1.0} for s in ("code", "math", "web")}
    assert "        repeat: 1.0  # 33.5000 % of the samples" in finished.paste


def test_lines_to_paste_are_a_configuration_with_every_split(tmp_path: Path) -> None:
    splits = ("train", "validation", "heldout_math")
    out, finished = export_by_hand(tmp_path, "mosaic_tokens", SHARDS, splits=splits, sequence_length=48)
    told = yaml.safe_load("\n".join(finished.paste))
    placed = {split: {"local": str(out), "split": split, "max_seq_len": 48} for split in splits}
    assert told == {
        "train_loader": {"dataset": placed["train"]},
        "eval_loader": [{"label": split, "dataset": placed[split]} for split in splits[1:]],
    }
    for split in splits:
        assert len(read(out / split)) > 0


def test_finishing_twice_writes_the_same(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "mosaic", SHARDS)
    before = bytes_of(out)
    export_by_hand(tmp_path, "mosaic", SHARDS)
    assert bytes_of(out) == before


def test_llm_foundry_finds_sequences_of_the_type_that_it_converts(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "mosaic_tokens", SHARDS, sequence_length=16)
    sample = next(reading.mosaic(out / "train"))
    assert sample["tokens"].dtype == np.int32
    assert sample["tokens"].shape == (16,)
