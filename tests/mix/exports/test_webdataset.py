"""WebDataset's tar files, read back by the webdataset library, by tarfile and by tar itself."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mix.exports.webdataset import headers
from tests.mix.exports.small_exports import bytes_of, export_by_hand, rows

SHARDS = [rows(120), rows(80, first=120)]
EVERY = SHARDS[0] + SHARDS[1]


@given(st.lists(st.tuples(st.integers(0, 9_999_999_999), st.integers(0, 2**33 - 1)), min_size=1, max_size=4))
def test_a_header_is_the_one_that_tarfile_writes(members: list[tuple[int, int]]) -> None:
    places, sizes = (np.array(column, np.int64) for column in zip(*members, strict=True))
    found = headers("00012", places, b".json", sizes)
    for row, (place, size) in zip(found, members, strict=True):
        info = tarfile.TarInfo(f"00012-{place:010d}.json")
        info.size = size
        assert bytes(row) == info.tobuf(tarfile.USTAR_FORMAT)


def test_tarfile_finds_every_document_and_what_is_known_of_it(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "webdataset", SHARDS)
    for index, shard in enumerate(SHARDS):
        with tarfile.open(out / f"train/train-{index:05d}-of-00002.tar") as tar:
            members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
        assert [name for name, _ in members] == [
            f"{index:05d}-{n:010d}{kind}" for n in range(len(shard)) for kind in (".txt", ".json")
        ]
        assert [content.decode() for _, content in members[::2]] == [row["text"] for row in shard]
        assert [json.loads(content)["id"] for _, content in members[1::2]] == [row["id"] for row in shard]


def test_tar_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "webdataset", SHARDS[:1])
    path = out / "train/train-00000-of-00001.tar"
    assert path.stat().st_size % 10_240 == 0
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 2 * len(SHARDS[0])
    assert listed.stderr == ""


@pytest.mark.parametrize("by", [None, "source"])
def test_the_library_reads_the_pasted_urls(tmp_path: Path, by: str | None) -> None:
    _, finished = export_by_hand(tmp_path, "webdataset", SHARDS, by=by)
    made: dict = {}
    exec("\n".join(finished.paste), made)
    loaders = made["train"] if by else {"all": made["train"]}
    assert len(loaders) == (3 if by else 1)
    read = [sample for loader in loaders.values() for sample in loader]
    if by:  # without regard to the order, and every sample once
        mixed = sorted(known["metadata"]["n_tokens"] for _, known in made["train_mixed"])
        assert mixed == sorted(row["n_tokens"] for row in EVERY)
    by_number = sorted(read, key=lambda sample: sample[1]["metadata"]["n_tokens"])
    assert [text for text, _ in by_number] == [row["text"] for row in EVERY]
    assert [known["url"] for _, known in by_number] == [row["url"] for row in EVERY]


def test_keys_are_unique_in_the_whole_dataset_though_ids_are_not(tmp_path: Path) -> None:
    out, _ = export_by_hand(tmp_path, "webdataset", SHARDS)
    paths = [str(path) for path in sorted((out / "train").iterdir())]
    keys = [sample["__key__"] for sample in webdataset.WebDataset(paths, shardshuffle=False)]
    assert len(set(keys)) == len(keys) == len(EVERY)
    assert len({row["id"] for row in EVERY}) < len(EVERY)


def test_the_same_documents_are_the_same_bytes_however_they_come(tmp_path: Path) -> None:
    once, _ = export_by_hand(tmp_path / "a", "webdataset", SHARDS, batch=200)
    pieces, _ = export_by_hand(tmp_path / "b", "webdataset", SHARDS, batch=7)
    assert bytes_of(once) == bytes_of(pieces)
