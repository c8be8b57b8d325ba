"""Documents that are large, empty or made of what a layout itself uses, through every format that holds documents."""

from __future__ import annotations

import ast
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from corpusmill.mix.exports import records
from corpusmill.mix.exports.contract import By
from tests.mix.exports.small_exports import HOSTILE, bytes_of, export_by_hand, rows
from tests.trainers import reading

LARGE = {
    "control characters": "\0\x1f" * 5_000_000,
    "quotes": '"\\' * 5_000_000,
    "one letter": "x" * 10_000_000,
    "ideographs": "文" * 4_000_000,
}


def lines(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".zst":
            with open(path, "rb") as stream, zstandard.ZstdDecompressor().stream_reader(stream) as reader:
                found += [json.loads(line)["text"] for line in reader.read().split(b"\n")[:-1]]
    return found


def members(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.iterdir()):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                if member.name.endswith(".txt"):
                    found.append(content.read().decode())
    return found


READERS: dict[str, Callable[[Path], list[str]]] = {
    "mosaic": lambda folder: [sample["text"] for sample in reading.mosaic(folder)],
    "litdata_text": lambda folder: [record["text"] for record in reading.litdata_records(folder)],
    "jsonl": lines,
    "webdataset": members,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=list(LARGE))
@pytest.mark.parametrize("name", READERS)
def test_a_document_of_ten_megabytes_comes_back_between_its_neighbours(tmp_path: Path, name: str, text: str) -> None:
    some = [{**row, "text": text} if n == 1 else row for n, row in enumerate(rows(3, first=40))]
    out, _ = export_by_hand(tmp_path, name, [some])
    assert READERS[name](out / "train") == [row["text"] for row in some]


@pytest.mark.parametrize("name", READERS)
def test_every_hostile_text_comes_back_alone_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(records, "FILE_BYTES", 1)  # each document has a shard of its own, its text at the borders
    some = rows(len(HOSTILE))
    out, _ = export_by_hand(tmp_path, name, [some])
    assert READERS[name](out / "train") == list(HOSTILE)


@pytest.mark.parametrize("name", READERS)
def test_nothing_stands_at_a_final_place_when_a_writer_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("corpusmill.documents.shards.os.fsync", full)
    with pytest.raises(Exception, match="no space left"):
        export_by_hand(tmp_path, name, [rows(30)])
    assert bytes_of(tmp_path) == {}


@pytest.mark.parametrize("by", [None, "source"])
def test_lines_to_paste_name_folders_of_any_name(tmp_path: Path, by: By | None) -> None:
    place = tmp_path / 'it\'s "mine" 🙂 #1: ü'
    for name in ("litdata", "litdata_text", "webdataset"):
        _, finished = export_by_hand(place, name, [rows(30)], by=by)
        calls = [node for node in ast.walk(ast.parse("\n".join(finished.paste))) if isinstance(node, ast.Call)]
        values = {node.value for call in calls for node in ast.walk(call) if isinstance(node, ast.Constant)}
        assert any(str(place / name / "train") in str(value) for value in values)
    for name in ("mosaic", "mosaic_tokens", "jsonl", "jsonl_gz"):
        _, finished = export_by_hand(place, name, [rows(30)], by=by)
        lines = [line for line in finished.paste if not line.startswith("JsonlReader")]
        assert str(place / name) in strings_of(yaml.safe_load("\n".join(lines)))


def strings_of(told: Any) -> str:
    """All strings of a document, one after another."""
    if isinstance(told, dict):
        return "".join(map(strings_of, told.values()))
    return "".join(map(strings_of, told)) if isinstance(told, list) else str(told)
