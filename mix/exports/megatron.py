"""Megatron-LM, Megatron Core and NeMo: one indexed dataset (`.bin` and `.idx`) for each split, or each group of one.

Layout: Megatron Core, `megatron/core/datasets/indexed_dataset.py`; all numbers little-endian.

    PREFIX.bin   ids of all documents, each ended by EOS (`--append-eod`): uint16 below 65,500 ids, int32 from there on
    PREFIX.idx   9 bytes     MMIDIDX, two zeros
                 uint64      version 1
                 uint8       type of the ids: 8 uint16, 4 int32
                 uint64      sequences; here each document is one
                 uint64      entries of the last array, one more than documents
                 int32[n]    tokens of each sequence
                 int64[n]    where each sequence begins in the .bin, in bytes
                 int64[n+1]  the first sequence of each document, and the end
    blend.json   for `--per-split-data-args-path`: weights and prefixes of train, valid (validation) and test (all
                 held-out splits); null where there is none

PREFIX is `OUT/megatron/<split>_text_document`, with `--by` `OUT/megatron/<split>/<group>_text_document`. The shards are
written as parts and joined at the end, so that a split is one dataset for Megatron; the parts need the space of the
tokens once more until then.
"""

from __future__ import annotations

import json
import shlex
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.documents.shards import atomic_file, atomic_text
from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer

HEADER, VERSION = b"MMIDIDX\x00\x00", 1
_SMALL_VOCABULARY = 65_500
_TYPE_CODES = {"<u2": 8, "<i4": 4}
_COPY_BYTES = 1 << 24
_OPTIONS = {"train": "train", "validation": "valid"}  # what Megatron calls our splits; all others are its test split
_NEMO = {"valid": "validation"}


class Megatron(Format):
    """Indexed datasets for Megatron's data loaders."""

    name = "megatron"
    needs_tokens = True

    def writer(self, place: Place, export: Export) -> Writer:
        return _Writer(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        kind = _id_type(export.token_facts.vocab_size)
        files = [path for group in groups for path in _join(group, kind)]
        by_option: dict[str, list[Group]] = {}
        for group in groups:
            by_option.setdefault(_OPTIONS.get(group.split, "test"), []).append(group)
        blends = {option: _blend(own) for option, own in by_option.items()}
        blend = export.folder / "blend.json"
        atomic_text(blend, _json({option: blends.get(option) for option in (*_OPTIONS.values(), "test")}, indent=1))
        paste = [f"# Megatron-LM; or all at once: --per-split-data-args-path {shlex.quote(str(blend.resolve()))}"]
        paste += [f"--{option}-data-path {shlex.join(own)}" for option, own in blends.items()]
        named = {_NEMO.get(option, option): own for option, own in blends.items()}
        paste += ["# NeMo: PreTrainingDataModule(paths=...)", _json(named).rstrip()]
        return Finished(files=(*files, blend), paste=tuple(paste))


class _Writer(Writer):
    """Writes the parts of a shard: its ids, and the length of each document as int32."""

    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._type = _id_type(export.token_facts.vocab_size)
        self._tokens, self._sizes = self.file(".bin", part=True), self.file(".sizes", part=True)

    def write(self, documents: Documents) -> None:
        tokens, ends = documents.tokenised()
        self._tokens.write(tokens.astype(self._type, copy=False).data)
        self._sizes.write(np.diff(ends, prepend=0).astype("<i4").data)

    def end(self) -> dict[str, Any]:
        return {}


def _blend(groups: Sequence[Group]) -> list[str]:
    """Weights and prefixes in turn; of a single dataset the prefix alone."""
    prefixes = [str(_prefix(group).resolve()) for group in groups]
    if len(groups) == 1:
        return prefixes
    total = sum(group.tokens for group in groups)
    weights = [f"{group.tokens / total:.6f}" for group in groups]
    return [part for pair in zip(weights, prefixes, strict=True) for part in pair]


def _json(data: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(data, indent=indent, ensure_ascii=False) + "\n"


def _join(group: Group, kind: str) -> tuple[Path, Path]:
    """Joins the parts of a group. The index is written shard by shard: three times over their lengths."""
    prefix = _prefix(group)
    binary, index = prefix.with_name(f"{prefix.name}.bin"), prefix.with_name(f"{prefix.name}.idx")
    with atomic_file(binary) as stream:
        for part in group.written:
            with open(group.parts / f"{part.stem}.bin", "rb") as ids:
                shutil.copyfileobj(ids, stream, _COPY_BYTES)
    with atomic_file(index) as stream:
        documents = group.documents
        stream.write(HEADER + struct.pack("<QBQQ", VERSION, _TYPE_CODES[kind], documents, documents + 1))
        for part in group.written:
            stream.write(_lengths(group, part.stem).data)
        begin = 0
        for part in group.written:
            ends = begin + np.cumsum(_lengths(group, part.stem), dtype="<i8") * np.dtype(kind).itemsize
            stream.write(np.concatenate([np.array([begin], "<i8"), ends[:-1]]).data)
            begin = int(ends[-1])
        number = 0
        for part in group.written:
            stream.write(np.arange(number, number + part.documents, dtype="<i8").data)
            number += part.documents
        stream.write(struct.pack("<q", number))
    return binary, index


def _lengths(group: Group, stem: str) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.fromfile(group.parts / f"{stem}.sizes", "<i4")


def _prefix(group: Group) -> Path:
    return group.folder.with_name(f"{group.folder.name}_text_document")


def _id_type(vocab_size: int) -> str:
    """What Megatron's own preprocessing takes for a vocabulary of this size."""
    return "<u2" if vocab_size < _SMALL_VOCABULARY else "<i4"
