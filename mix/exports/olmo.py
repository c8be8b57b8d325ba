"""OLMo-core: plain arrays of ids, as the Dolma toolkit writes them.

Layout: OLMo-core, `src/olmo_core/data/numpy_dataset.py` and `data/utils.py` (`iter_document_indices`); columns of the
metadata: dolma, `python/dolma/tokenizer/data_types.py` (`MemmapMetadata`).

    <stem>.npy           ids of all documents, each ended by EOS: uint16, or uint32 for vocabularies above 65,536.
                         In spite of its name it has no header: numpy.memmap reads it, numpy.load does not
    <stem>.csv.gz        for each document: start, end (in tokens, EOS included), id, the dataset's shard, row in it
    <split>_mixture.yaml with `--by`: names, ratios and paths for SourceMixtureList.from_yaml

OLMo-core reads start and end and passes over the rest of a line. It cuts each file into sequences and leaves out what
remains; for the bounds of documents it looks for EOS where the array is local.

Differs from dolma: characters of an id that would end a field or a line are written as `_`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.shards import atomic_text
from corpusmill.mix.exports.contract import (
    Documents,
    Export,
    Finished,
    Format,
    Group,
    Place,
    TokenFacts,
    Writer,
    shares,
)

_GZIP_LEVEL = 6


class Olmo(Format):
    """`.npy` arrays for OLMo-core."""

    name = "olmo"
    needs_tokens = True

    def writer(self, place: Place, export: Export) -> Writer:
        return _Writer(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        files, paste = [], []
        for split, weights in shares(groups).items():
            patterns = {group: str(group.folder.resolve() / "*.npy") for group in weights}
            paste.append(f"# {split}")
            if export.by is None:
                paste += ["NumpyFSLDatasetConfig.glob(", *(f"    {pattern!r}," for pattern in patterns.values())]
            else:
                sources = [
                    {"source_name": group.name, "target_ratio": weight, "paths": [patterns[group]]}
                    for group, weight in weights.items()
                ]
                path = export.folder / f"{split}_mixture.yaml"
                # JSON is YAML.
                atomic_text(path, json.dumps({"sources": sources}, indent=1, ensure_ascii=False) + "\n")
                files.append(path)
                paste += [
                    "NumpyFSLDatasetConfig.from_src_mix(",
                    "    SourceMixtureDatasetConfig(",
                    f"        source_list=SourceMixtureList.from_yaml({str(path.resolve())!r}),",
                    f"        requested_tokens={sum(group.tokens for group in weights)},",
                    "        global_batch_size=...,",
                    "    ),",
                ]
            paste += _rest(export.token_facts)
        return Finished(files=tuple(files), paste=tuple(paste))


def _rest(facts: TokenFacts) -> list[str]:
    """What OLMo-core must be told of the ids, whatever the paths."""
    return [
        f"    tokenizer=TokenizerConfig(vocab_size={facts.vocab_size}, eos_token_id={facts.eos_id}, "
        f"pad_token_id={facts.eos_id}),",
        f"    dtype=NumpyDatasetDType.{np.dtype(facts.id_type).name},",
        "    sequence_length=...,",
        "    work_dir=...,",
        ")",
    ]


class _Writer(Writer):
    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._tokens = self.file(".npy")
        # No name and no time: the same documents give the same bytes.
        self._bounds = gzip.GzipFile("", "wb", _GZIP_LEVEL, self.file(".csv.gz"), mtime=0)
        self._written = 0

    def write(self, documents: Documents) -> None:
        tokens, ends = documents.tokenised()
        self._tokens.write(tokens.data)
        ends = ends + self._written
        starts = np.concatenate([np.array([self._written], np.int64), ends[:-1]])
        self._bounds.write(_lines(starts, ends, documents, self.place.stem).data)
        self._written += len(tokens)

    def end(self) -> dict[str, Any]:
        self._bounds.close()
        return {}


def _lines(starts: NDArray[np.int64], ends: NDArray[np.int64], documents: Documents, shard: str) -> NDArray[np.uint8]:
    """The lines of some documents, by Arrow: no Python object for any of them."""
    start, end, number = (pa.array(numbers).cast(pa.string()) for numbers in (starts, ends, documents.numbers))
    ids = pc.replace_substring_regex(documents.rows.column("id"), r'[\x00-\x1f",]', "_")
    lines = pc.binary_join_element_wise(start, end, ids, shard, number, ",")
    offsets, data = text_buffers(pc.binary_join_element_wise(lines, "", "\n"))
    return data[offsets[0] : offsets[-1]]
