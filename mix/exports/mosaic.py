"""MosaicML Streaming's MDS shards, for llm-foundry, Composer and whatever reads a `StreamingDataset`.

Written after MDS version 2 as mosaicml-streaming 0.13.0 reads it (streaming/base/format/mds): the library itself holds
numpy below 2.2, and needs torch.

    <split>/<stem>.00000.mds.zstd    one shard, whole below 64 MiB before compression (records.py has its layout)
    <split>/index.json               all shards of the split, with sizes and SHA-1 of both forms

A shard's header is JSON with the columns in the order of their names. A record has the sizes of the columns that have
no fixed one, uint32 each, then the columns' bytes. Columns of `mosaic` are the dataset's: strings are `str`, measures
`float32`, counts `int32`; a null is the empty string or NaN, since MDS knows none.

`mosaic_tokens` has one column, `tokens`, as llm-foundry's converter has with tokens that are concatenated:
`ndarray:int32:<length>`, cut from the shard's documents one after another, EOS between them. There is no `text`, or
llm-foundry would tokenise that. Differs from the converter: the last block of a shard of the dataset is filled with EOS
instead of dropped.

Names of shards are the library's convention, not its rule: readers take them from the index. So a shard of the dataset
can be exported without a look at the others.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from corpusmill.documents.shards import atomic_text
from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer
from corpusmill.mix.exports.records import (
    FILE_BYTES,
    Blocks,
    Filling,
    Records,
    cells,
    fillings,
    joined,
    lengths,
    numbered,
    numbers,
    quoted,
    records_of,
    strings,
)

VERSION = 2
_ZSTD_LEVEL = 3
_HASH = "sha1"
_NUMBERS: Mapping[pa.DataType, type[np.generic]] = {
    pa.float32(): np.float32,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
}


class _MosaicWriter(Writer):
    """Shards of records; a subclass says which columns there are."""

    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self.columns = self.encodings()
        self._config = {
            "version": VERSION,
            "format": "mds",
            "compression": "zstd",
            "hashes": [_HASH],
            "size_limit": FILE_BYTES,
            "column_names": list(self.columns),
            "column_encodings": [encoding for encoding, _ in self.columns.values()],
            "column_sizes": [size for _, size in self.columns.values()],
        }
        self._header = json.dumps(self._config, sort_keys=True).encode()
        self._shards: list[dict[str, Any]] = []
        self._filling = Filling(self._shard, header_bytes=len(self._header))

    @abstractmethod
    def encodings(self) -> dict[str, tuple[str, int | None]]:
        """Encoding and fixed size of each column, by name."""

    @abstractmethod
    def records(self, documents: Documents) -> Records:
        """The samples of some documents."""

    def write(self, documents: Documents) -> None:
        self._filling.add(self.records(documents))

    def end(self) -> dict[str, Any]:
        self._filling.flush()
        return {"shards": self._shards}

    def _shard(self, pieces: Sequence[Records]) -> None:
        suffix = f".{len(self._shards):05d}.mds"
        name = self.place.stem + suffix
        samples, size, content = numbered(pieces, self._header)
        # The library decompresses in one call, which asks for the content's size in the frame.
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=size)
        stream = self.file(f"{suffix}.zstd")
        raw, zipped = hashlib.sha1(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
        zipped_bytes = 0
        for piece in content:
            raw.update(piece)
            compressed = compressor.compress(piece)
            zipped.update(compressed)
            zipped_bytes += stream.write(compressed)
        compressed = compressor.flush()
        zipped.update(compressed)
        zipped_bytes += stream.write(compressed)
        self._shards.append(
            {
                "samples": samples,
                "raw_data": {"basename": name, "bytes": size, "hashes": {_HASH: raw.hexdigest()}},
                "zip_data": {
                    "basename": f"{name}.zstd",
                    "bytes": zipped_bytes,
                    "hashes": {_HASH: zipped.hexdigest()},
                },
                **self._config,
            }
        )


class _TextWriter(_MosaicWriter):
    def encodings(self) -> dict[str, tuple[str, int | None]]:
        return {
            field.name: _encoding(field.type) for field in sorted(self.export.columns, key=lambda field: field.name)
        }

    def records(self, documents: Documents) -> Records:
        columns = []
        for name, (_, size) in self.columns.items():
            if size is None:
                columns.append(strings(documents, name))
            else:
                kind = _NUMBERS[documents.rows.schema.field(name).type]
                columns.append(cells(numbers(documents, name, kind)))
        free = [column for column, (_, size) in zip(columns, self.columns.values(), strict=True) if size is None]
        sizes = np.stack([lengths(column) for column in free], axis=1).astype("<u4")
        return joined([cells(sizes), *columns])


class _TokensWriter(_MosaicWriter):
    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._blocks = Blocks(export.sequence_length, export.token_facts)

    def encodings(self) -> dict[str, tuple[str, int | None]]:
        length = self.export.sequence_length
        return {"tokens": (f"ndarray:int32:{length}", 4 * length)}

    def records(self, documents: Documents) -> Records:
        return _of_blocks(self._blocks.add(documents.tokenised()[0]))

    def end(self) -> dict[str, Any]:
        self._filling.add(_of_blocks(self._blocks.last()))
        return {**super().end(), "filling": self._blocks.filling}


class Mosaic(Format):
    """Documents with their columns; llm-foundry tokenises `text` as it reads."""

    name = "mosaic"

    def writer(self, place: Place, export: Export) -> Writer:
        return _TextWriter(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        files = []
        for group in groups:
            shards = [shard for written in group.written for shard in written.facts["shards"]]
            index = group.folder / "index.json"
            atomic_text(index, json.dumps({"version": VERSION, "shards": shards}, sort_keys=True))
            files.append(index)
        return Finished(files=tuple(files), paste=tuple(self._paste(export, groups)))

    def _paste(self, export: Export, groups: Sequence[Group]) -> list[str]:
        lines = ["# llm-foundry", *([fillings(groups)] if self.needs_tokens else [])]
        for split in dict.fromkeys(group.split for group in groups):
            if split == "train":
                lines.append("train_loader:")
            else:  # there may be several: the validation split and held-out sets
                lines += [] if "eval_loader:" in lines else ["eval_loader:"]
                lines.append(f"- label: {quoted(split)}")
            lines += ["  dataset:", *(f"    {line}" for line in self._place(export, split, groups))]
        return lines

    def _place(self, export: Export, split: str, groups: Sequence[Group]) -> list[str]:
        """Where the samples of a split are, for one dataset of llm-foundry."""
        own = [group for group in groups if group.split == split]
        lines = [f"max_seq_len: {export.sequence_length}"] if self.needs_tokens else []
        if export.by is None:
            return [f"local: {quoted(str(export.folder.resolve()))}", f"split: {quoted(split)}", *lines]
        lines.append("streams:")
        for group in own:
            share = self._samples(group) / sum(map(self._samples, own))
            lines.append(f"  {quoted(group.name)}:")
            lines.append(f"    local: {quoted(str(group.folder.resolve()))}")
            # `proportion` draws: some samples twice, some never. `repeat: 1` reads each once.
            lines.append(f"    repeat: 1.0  # {100 * share:.4f} % of the samples")
        return lines

    def _samples(self, group: Group) -> int:
        return sum(shard["samples"] for written in group.written for shard in written.facts["shards"])


class MosaicTokens(Mosaic):
    """Blocks of tokens that fill a sequence each."""

    name = "mosaic_tokens"
    needs_tokens = True
    cuts_sequences = True

    def writer(self, place: Place, export: Export) -> Writer:
        return _TokensWriter(place, export)


def _encoding(kind: pa.DataType) -> tuple[str, int | None]:
    if kind in _NUMBERS:
        return np.dtype(_NUMBERS[kind]).name, np.dtype(_NUMBERS[kind]).itemsize
    return "str", None


def _of_blocks(blocks: np.ndarray[Any, np.dtype[np.int32]]) -> Records:
    return records_of(cells(blocks))
