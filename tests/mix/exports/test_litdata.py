"""LitData's chunks, read back by the documented layout."""

from __future__ import annotations

import json
import math
from itertools import chain
from pathlib import Path

import pytest

from corpusmill.mix.exports import records
from tests.mix.exports.small_exports import EOS, HOSTILE, bytes_of, export_by_hand, rows, stream_of, without_nulls
from tests.trainers import reading

SHARDS = [rows(120), rows(80, first=120)]
EVERY = SHARDS[0] + SHARDS[1]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 2,000 bytes."""
    monkeypatch.setattr(records, "FILE_BYTES", 2_000)


def read(folder: Path) -> list[dict]:
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}
        for record in reading.litdata_records(folder)
    ]


@pytest.mark.usefixtures("small_chunks")
def test_every_document_comes_back_as_a_dict(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "litdata_text", SHARDS)
    assert read(out / "train") == [without_nulls(row) for row in EVERY]
    chunks = json.loads((out / "train/index.json").read_text())["chunks"]
    assert len(chunks) > 10
    assert all(chunk["chunk_bytes"] <= 2_000 or chunk["chunk_size"] == 1 for chunk in chunks)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_looks_like_the_end_or_the_beginning_of_another_layout(tmp_path: Path, text: str) -> None:
    out, _ = export_by_hand(tmp_path, "litdata_text", [[{**rows(1)[0], "text": text, "license": text}]])
    assert [record["text"] for record in reading.litdata_records(out / "train")] == [text]


@pytest.mark.usefixtures("small_chunks")
def test_a_loader_with_the_models_length_reads_every_token_once(tmp_path: Path) -> None:
    out, finished = export_by_hand(tmp_path, "litdata", SHARDS, sequence_length=16)
    assert len(json.loads((out / "train/index.json").read_text())["chunks"]) > 5
    expected = []
    for shard in SHARDS:
        stream = stream_of(shard)
        expected += stream + [EOS] * (-len(stream) % 17)
    found = [block.tolist() for block in reading.litdata_tokens(out / "train", 17)]
    assert list(chain(*found)) == expected
    assert any("TokensLoader(block_size=17)" in line for line in finished.paste)
    added = len(expected) - sum(len(stream_of(shard)) for shard in SHARDS)
    assert f"# the last block of each file of the dataset is filled up with EOS: {added:,} in all" in finished.paste


@pytest.mark.usefixtures("small_chunks")
def test_another_length_loses_less_than_a_block_for_each_chunk(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "litdata", SHARDS, sequence_length=16)
    chunks = json.loads((out / "train/index.json").read_text())["chunks"]
    found = sum(len(block) for block in reading.litdata_tokens(out / "train", 50))
    assert sum(chunk["dim"] for chunk in chunks) - 50 * len(chunks) < found


@pytest.mark.parametrize("name", ["litdata", "litdata_text"])
def test_chunks_do_not_depend_on_how_documents_come(tmp_path: Path, name: str) -> None:
    once, _ = export_by_hand(tmp_path / "a", name, SHARDS, batch=200)
    pieces, _ = export_by_hand(tmp_path / "b", name, SHARDS, batch=7)
    assert bytes_of(once) == bytes_of(pieces)


def test_readers_hear_that_the_chunks_are_others(tmp_path: Path) -> None:
    stamps = set()
    for number, shards in enumerate((SHARDS, SHARDS, SHARDS[:1])):
        out, _ = export_by_hand(tmp_path / str(number), "litdata_text", shards)
        stamps.add(json.loads((out / "train/index.json").read_text())["updated_at"])
    assert len(stamps) == 2


def test_groups_are_combined_and_their_shares_told(tmp_path: Path) -> None:
    out, finished = export_by_hand(tmp_path, "litdata_text", SHARDS, by="source")
    for source in ("web", "code", "math"):
        found = [record["text"] for record in reading.litdata_records(out / "train" / source)]
        assert found == [row["text"] for row in EVERY if row["source"] == source]
    assert "weights=[0.335000, 0.330000, 0.335000]" in finished.paste[-1]
