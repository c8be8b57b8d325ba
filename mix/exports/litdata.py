"""LitData's chunks, for LitGPT, PyTorch Lightning and whatever reads its `StreamingDataset`.

Written after the layout that litdata 0.2.76 reads (streaming/writer.py and item_loader.py), in the form that it has had
since 2023: uncompressed chunks, pickle nowhere.

    <split>/<stem>-<n>.bin    below 64 MiB (records.py has the layout); readers take names from the index
    <split>/index.json        the chunks, and how their records are read

`litdata` has tokens for the library's `TokensLoader`: each record is a block of sequence_length + 1 tokens, int32
(LitGPT's blocks are one longer than what the model sees, for the shifted targets), cut from a shard's documents one
after another, EOS between them. The loader takes as many whole blocks of its own size from a chunk as there are, so
with that size each token is read once. The last block of a shard of the dataset is filled with EOS.

`litdata_text` has a record for each document: the sizes of all columns, uint32 each, then their bytes; strings in
UTF-8, measures float64, counts int64, little-endian. It becomes a dict. A null is the empty string or NaN. The count is
the last column: the library looks for a footer in a chunk's last bytes, and those are then not the text's to choose.

`updated_at` of the index, which tells readers that their cache is old, is a hash of the chunks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.documents.shards import atomic_text
from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer
from corpusmill.mix.exports.records import (
    FILE_BYTES,
    Blocks,
    Filling,
    Records,
    cells,
    fillings,
    in_reading_order,
    joined,
    lengths,
    numbered,
    numbers,
    records_of,
    strings,
)

_INT32_TENSOR = "no_header_tensor:16"
"""A tensor of one dimension without a header; 16 is torch.int32 in the library's table."""
_LEAF: Mapping[str, Any] = {"type": None, "context": None, "children_spec": []}


class _ChunkWriter(Writer):
    """Chunks of records."""

    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._chunks: list[dict[str, Any]] = []
        self._filling = Filling(self._chunk)

    def end(self) -> dict[str, Any]:
        self._filling.flush()
        return {"chunks": self._chunks}

    def add(self, records: Records) -> None:
        self._filling.add(records)

    def tokens_of(self, records: int) -> int | None:
        """How many tokens a chunk of so many records has."""
        return None

    def _chunk(self, pieces: Sequence[Records]) -> None:
        suffix = f"-{len(self._chunks)}.bin"
        records, size, content = numbered(pieces)
        stream = self.file(suffix)
        digest = hashlib.sha256()
        for piece in content:
            stream.write(piece)
            digest.update(piece)
        self._chunks.append(
            {
                "filename": self.place.stem + suffix,
                "chunk_size": records,
                "chunk_bytes": size,
                "dim": self.tokens_of(records),
                "sha256": digest.hexdigest(),
            }
        )


class _TokensWriter(_ChunkWriter):
    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._length = export.sequence_length + 1
        self._blocks = Blocks(self._length, export.token_facts)

    def tokens_of(self, records: int) -> int:
        return records * self._length

    def write(self, documents: Documents) -> None:
        self.add(records_of(cells(self._blocks.add(documents.tokenised()[0]))))

    def end(self) -> dict[str, Any]:
        self.add(records_of(cells(self._blocks.last())))
        return {**super().end(), "filling": self._blocks.filling}


class _TextWriter(_ChunkWriter):
    def write(self, documents: Documents) -> None:
        columns = []
        for name in in_reading_order(self.export.columns):
            kind = self.export.columns.field(name).type
            if pa.types.is_string(kind):
                columns.append(strings(documents, name))
            elif pa.types.is_floating(kind):
                columns.append(cells(numbers(documents, name, np.float64)))
            else:
                columns.append(cells(numbers(documents, name, np.int64)))
        sizes = np.stack([lengths(column) for column in columns], axis=1).astype("<u4")
        self.add(joined([cells(sizes), *columns]))


class LitData(Format):
    """Tokens in blocks, for `TokensLoader`."""

    name = "litdata"
    needs_tokens = True
    cuts_sequences = True

    def writer(self, place: Place, export: Export) -> Writer:
        return _TokensWriter(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        files = []
        for group in groups:
            chunks = [dict(chunk) for written in group.written for chunk in written.facts["chunks"]]
            sums = "".join(chunk.pop("sha256") for chunk in chunks)
            index = {
                "chunks": chunks,
                "config": {**self.config(export), "chunk_bytes": FILE_BYTES, "chunk_size": None,
                           "compression": None, "encryption": None},
                "updated_at": hashlib.sha256(sums.encode()).hexdigest()[:32],
            }  # fmt: skip
            path = group.folder / "index.json"
            atomic_text(path, json.dumps(index, sort_keys=True))
            files.append(path)
        return Finished(files=tuple(files), paste=tuple(self._paste(export, groups)))

    def config(self, export: Export) -> dict[str, Any]:
        """How the records are read."""
        return {
            "data_format": [_INT32_TENSOR],
            "data_spec": json.dumps([1, _LEAF]),
            "item_loader": "TokensLoader",
        }

    def loader(self, export: Export) -> str:
        """The argument that readers of these records give, in Python."""
        return f", item_loader=TokensLoader(block_size={export.sequence_length + 1})"

    def _paste(self, export: Export, groups: Sequence[Group]) -> list[str]:
        names = "StreamingDataset" + (", TokensLoader" if self.needs_tokens else "")
        lines = [f"from litdata import {names}" + (", CombinedStreamingDataset" if export.by else "")]
        lines += [fillings(groups)] if self.needs_tokens else []
        for split in dict.fromkeys(group.split for group in groups):
            own = [group for group in groups if group.split == split]
            made = [f"StreamingDataset({str(group.folder.resolve())!r}{self.loader(export)})" for group in own]
            variable = re.sub(r"\W", "_", split)
            if export.by is None:
                lines.append(f"{variable} = {made[0]}")
            else:
                # Without weights the library reads every record once; with weights it stops at the first end.
                total = sum(map(self._records, own))
                shares = ", ".join(f"{self._records(group) / total:.6f}" for group in own)
                lines.append(f"{variable} = CombinedStreamingDataset([")
                lines += [f"    {dataset}," for dataset in made]
                lines.append(f"])  # each record once; for other shares: weights=[{shares}], iterate_over_all=False")
        return lines

    def _records(self, group: Group) -> int:
        return sum(chunk["chunk_size"] for written in group.written for chunk in written.facts["chunks"])


class LitDataText(LitData):
    """Documents with their columns, as dicts."""

    name = "litdata_text"
    needs_tokens = False
    cuts_sequences = False

    def writer(self, place: Place, export: Export) -> Writer:
        return _TextWriter(place, export)

    def config(self, export: Export) -> dict[str, Any]:
        names = in_reading_order(export.columns)
        spec = {"type": "builtins.dict", "context": json.dumps(names), "children_spec": [_LEAF] * len(names)}
        return {
            "data_format": [_serializer(export.columns.field(name).type) for name in names],
            "data_spec": json.dumps([1, spec]),
            "item_loader": "PyTreeLoader",
        }

    def loader(self, export: Export) -> str:
        return ""


def _serializer(kind: pa.DataType) -> str:
    return "str" if pa.types.is_string(kind) else "float" if pa.types.is_floating(kind) else "int"
