"""JSON lines, read back by datatrove's reader, by Hugging Face datasets and by line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
import zstandard
from datatrove.pipeline.readers import JsonlReader

from tests.mix.exports.small_exports import bytes_of, export_by_hand, rows

SHARDS = [rows(120), rows(80, first=120)]
EVERY = SHARDS[0] + SHARDS[1]


def lines_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data).splitlines()
    with zstandard.ZstdDecompressor().stream_reader(data) as stream:
        return stream.read().split(b"\n")[:-1]


@pytest.mark.parametrize(("name", "suffix"), [("jsonl", ".jsonl.zst"), ("jsonl_gz", ".jsonl.gz")])
def test_every_document_is_a_line_of_its_shard(tmp_path: Path, name: str, suffix: str) -> None:
    out, _ = export_by_hand(tmp_path, name, SHARDS)
    for index, shard in enumerate(SHARDS):
        found = [json.loads(line) for line in lines_of(out / f"train/train-{index:05d}-of-00002{suffix}")]
        assert [(row["id"], row["text"], row["source"], row["url"]) for row in found] == [
            (row["id"], row["text"], row["source"], row["url"]) for row in shard
        ]


@pytest.mark.parametrize("name", ["jsonl", "jsonl_gz"])
def test_datatrove_reads_every_document_but_the_empty_ones(tmp_path: Path, name: str) -> None:
    out, _ = export_by_hand(tmp_path, name, SHARDS)
    read = list(JsonlReader(str(out / "train")).run())
    expected = [row for row in EVERY if row["text"]]  # the reader leaves out what has no text
    assert [(document.id, document.text) for document in read] == [(row["id"], row["text"]) for row in expected]
    assert [document.metadata["source"] for document in read] == [row["source"] for row in expected]
    assert [document.metadata["n_tokens"] for document in read] == [row["n_tokens"] for row in expected]


@pytest.mark.parametrize("name", ["jsonl", "jsonl_gz"])
def test_the_same_documents_are_the_same_bytes_however_they_come(tmp_path: Path, name: str) -> None:
    once, _ = export_by_hand(tmp_path / "a", name, SHARDS, batch=200)
    again, _ = export_by_hand(tmp_path / "b", name, SHARDS, batch=200)
    assert bytes_of(once) == bytes_of(again)
    pieces, _ = export_by_hand(tmp_path / "c", name, SHARDS, batch=7)
    for path in (once / "train").iterdir():
        assert lines_of(path) == lines_of(pieces / "train" / path.name)


def test_groups_have_folders_of_their_own(tmp_path: Path) -> None:
    out, finished = export_by_hand(tmp_path, "jsonl", SHARDS, by="source")
    for source in ("web", "code", "math"):
        lines = [json.loads(line) for path in sorted((out / "train" / source).iterdir()) for line in lines_of(path)]
        assert [line["text"] for line in lines] == [row["text"] for row in EVERY if row["source"] == source]
    told = yaml.safe_load("\n".join(finished.paste[finished.paste.index("# levanter") :]))
    assert told["data"]["configs"]["web"] == {
        "train_urls": [str(out / "train/web/*.jsonl.zst")], "validation_urls": [],
    }  # fmt: skip
    sizes = {s: sum(len(row["text"].encode()) for row in EVERY if row["source"] == s) for s in ("code", "math", "web")}
    shares = {source: size / sum(sizes.values()) for source, size in sizes.items()}
    assert told["data"]["train_weights"] == pytest.approx(shares, abs=1e-6)


def test_levanters_lines_to_paste_are_its_configuration(tmp_path: Path) -> None:
    out, finished = export_by_hand(tmp_path, "jsonl", SHARDS)
    told = yaml.safe_load("\n".join(finished.paste[finished.paste.index("# levanter") :]))
    assert told == {"data": {"train_urls": [str(out / "train/*.jsonl.zst")], "validation_urls": []}}
