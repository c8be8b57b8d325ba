"""How each trainer reads its data, in a few lines each: what it opens, in which order, and what a rank gets.

The rules are those of the trainers' own loaders: nanochat `dataset.py` and `dataloader.py`; levanter
`data/sharded_datasource.py`; datatrove's `utils/dataset.py`, which nanotron reads through; Megatron-LM
`core/datasets/indexed_dataset.py`; OLMo-core `data/numpy_dataset.py`; mosaicml-streaming `base/format/mds` and
llm-foundry `data/text_data.py`; litdata `streaming/item_loader.py`. None of them is imported here: each reader follows
the documented layout alone, and takes nothing that is ours for granted.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import zstandard


def nanochat(folder: Path, split: str, rank: int = 0, world_size: int = 1) -> Iterator[str]:
    """Parquet files in the order of their names, the last one for validation; ranks take row groups in turn."""
    paths = sorted(name for name in os.listdir(folder) if name.endswith(".parquet"))
    for name in paths[:-1] if split == "train" else paths[-1:]:
        file = pq.ParquetFile(folder / name)
        for group in range(rank, file.num_row_groups, world_size):
            yield from file.read_row_group(group).column("text").to_pylist()


def levanter(url: str, start: int = 0) -> Iterator[str]:
    """A Parquet file or compressed JSON lines by URL, from a row on, as a resumed cache build reads it."""
    if url.endswith(".parquet"):
        with fsspec.open(url, "rb") as stream:
            file = pq.ParquetFile(stream)
            first = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if first + rows > start:
                    table = file.read_row_group(group, columns=["text"]).slice(max(0, start - first))
                    yield from table.column("text").to_pylist()
                first += rows
        return
    with fsspec.open(url, "r", compression="infer") as stream:
        for number, line in enumerate(stream):
            if number >= start:
                yield json.loads(line)["text"]


def mosaic(folder: Path) -> Iterator[dict[str, Any]]:
    """Samples of an MDS folder in the order of its index; sizes and hashes are checked as `validate_hash` would."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        stored = shard["zip_data"] or shard["raw_data"]
        data = (folder / stored["basename"]).read_bytes()
        _check(stored, data)
        if shard["zip_data"]:
            data = zstandard.ZstdDecompressor().decompress(data)
            _check(shard["raw_data"], data)
        (count,) = struct.unpack_from("<I", data)
        assert count == shard["samples"]
        offsets = np.frombuffer(data, "<u4", count + 1, 4)
        header = json.loads(data[4 * (count + 2) : offsets[0]])
        assert header["column_names"] == shard["column_names"] == sorted(shard["column_names"])
        for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            yield _mds_sample(shard, data[begin:end])


def _check(stored: dict[str, Any], data: bytes) -> None:
    assert stored["bytes"] == len(data)
    for name, digest in stored["hashes"].items():
        assert hashlib.new(name, data).hexdigest() == digest


def _mds_sample(shard: dict[str, Any], data: bytes) -> dict[str, Any]:
    place = 0
    sizes = []
    for size in shard["column_sizes"]:
        if size is None:
            (size,) = struct.unpack_from("<I", data, place)
            place += 4
        sizes.append(size)
    sample = {}
    for name, encoding, size in zip(shard["column_names"], shard["column_encodings"], sizes, strict=True):
        value = data[place : place + size]
        place += size
        if encoding == "str":
            sample[name] = value.decode()
        elif encoding.startswith("ndarray:"):
            _, kind, shape = encoding.split(":")
            sample[name] = np.frombuffer(value, kind).reshape([int(length) for length in shape.split(",")])
        else:
            sample[name] = np.frombuffer(value, encoding)[0].item()
    assert place == len(data)
    return sample


def litdata_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Records of a LitData folder that become dicts."""
    index = json.loads((folder / "index.json").read_text())
    config = index["config"]
    version, spec = json.loads(config["data_spec"])
    assert (version, spec["type"], config["item_loader"]) == (1, "builtins.dict", "PyTreeLoader")
    names = json.loads(spec["context"])
    for chunk in index["chunks"]:
        data = (folder / chunk["filename"]).read_bytes()
        assert chunk["chunk_bytes"] == len(data)
        assert data[-8:] != b"LDARW01\0"  # else the library reads an Arrow footer instead
        count, *offsets = struct.unpack_from(f"<{chunk['chunk_size'] + 2}I", data)
        assert count == chunk["chunk_size"]
        for begin in offsets[:-1]:
            sizes = struct.unpack_from(f"<{len(names)}I", data, begin)
            place = begin + 4 * len(names)
            record = {}
            for name, kind, size in zip(names, config["data_format"], sizes, strict=True):
                value = data[place : place + size]
                place += size
                record[name] = (
                    value.decode() if kind == "str" else struct.unpack("<q" if kind == "int" else "<d", value)[0]
                )
            yield record


def litdata_tokens(folder: Path, block_size: int) -> Iterator[np.ndarray]:
    """Blocks as `TokensLoader` cuts them: what does not fill a block at the end of a chunk is left out."""
    index = json.loads((folder / "index.json").read_text())
    assert index["config"]["item_loader"] == "TokensLoader"
    assert index["config"]["data_format"] == ["no_header_tensor:16"]  # torch.int32
    for chunk in index["chunks"]:
        data = (folder / chunk["filename"]).read_bytes()
        first = 4 * (chunk["chunk_size"] + 2)
        for block in range(chunk["dim"] // block_size):
            yield np.frombuffer(data, np.int32, block_size, first + 4 * block * block_size)


def megatron(prefix: Path) -> list[np.ndarray]:
    """The documents of an MMIDIDX pair: `.idx` says where sequences of `.bin` begin and which of them are documents."""
    with open(prefix.with_name(prefix.name + ".idx"), "rb") as stream:
        assert stream.read(9) == b"MMIDIDX\x00\x00"
        (version,) = struct.unpack("<Q", stream.read(8))
        (code,) = struct.unpack("<B", stream.read(1))
        sequences, document_count = struct.unpack("<QQ", stream.read(16))
        lengths = np.frombuffer(stream.read(4 * sequences), np.int32)
        pointers = np.frombuffer(stream.read(8 * sequences), np.int64)
        documents = np.frombuffer(stream.read(8 * document_count), np.int64)
        assert not stream.read()
    assert version == 1
    kind = np.dtype({1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float64, 7: np.float32,
                     8: np.uint16}[code])  # fmt: skip
    tokens = np.memmap(prefix.with_name(prefix.name + ".bin"), kind, "r")
    assert pointers[0] == 0
    assert np.array_equal(np.diff(pointers), lengths[:-1].astype(np.int64) * kind.itemsize)
    assert int(lengths.sum()) == len(tokens)
    found = []
    for start, end in zip(documents[:-1].tolist(), documents[1:].tolist(), strict=True):
        first = int(pointers[start]) // kind.itemsize
        found.append(np.array(tokens[first : first + int(lengths[start:end].sum())]))
    return found


def olmo_core(tokens: Path, bounds: Path, kind: type[np.unsignedinteger[Any]]) -> list[np.ndarray]:
    """The documents of a headerless token file, by the bounds that stand beside it."""
    data = np.memmap(tokens, kind, "r")
    with gzip.open(bounds, "rt", newline="") as stream:
        rows = [(int(row[0]), int(row[1])) for row in csv.reader(stream)]
    assert rows[0][0] == 0
    assert rows[-1][1] == len(data)
    assert all(end == start for (_, end), (start, _) in pairwise(rows))
    return [np.array(data[start:end]) for start, end in rows]


def nanotron(tokens: Path) -> list[np.ndarray]:
    """The documents of a `.ds` file: `.ds.metadata` tells the size of a token, `.ds.index` where documents end."""
    name, size = tokens.with_name(tokens.name + ".metadata").read_text().splitlines()[0].rsplit("|", 1)
    assert name
    data = np.memmap(tokens, {"2": np.uint16, "4": np.uint32}[size], "r")
    ends = np.fromfile(tokens.with_name(tokens.name + ".index"), np.uint64).astype(np.int64)
    assert ends[-1] == len(data)
    return [np.array(data[start:end]) for start, end in pairwise([0, *ends.tolist()])]
