"""What an external trainer is given: texts, the tokenizer, and a page of facts.

dataset/
  train-00000.parquet       id, text: in training order
  heldout/<domain>.parquet  id, text
  tokenizer.json            that the sweep's tokens are counted with; a trainer may use one of its own
  run.json                  all of it by name, with numbers: see `written`
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from corpusmill.documents.shards import ROW_GROUP_ROWS, atomic_text, storage_errors, write_table
from corpusmill.scaling.contract import Tokens, Training
from corpusmill.scaling.proxies.decoding import ByteVocabulary

FORMAT = 1
TRAIN = "train-00000.parquet"
_TEXTS = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("text", pa.string(), nullable=False)])
_TOKENS_AT_A_TIME = 1 << 20


def written(training: Training, dataset: Path) -> dict[str, Any]:
    """Writes the folder, and returns what run.json says.

        {"format": 1, "seed": 0, "tokens": 1000000, "vocab_size": 4096, "eos_id": 0, "tokenizer": "tokenizer.json",
         "train": {"path": "train-00000.parquet", "documents": 510, "tokens": 250000, "text_bytes": 1000000},
         "heldout": {"web": {"path": "heldout/web.parquet", "documents": …, "tokens": …, "text_bytes": …}}}

    The first `tokens` is what is to be trained on, by the count of tokenizer.json: more than `train` has means that it
    is to be repeated, less that not all of it is used. Paths are below the folder.

    Raises:
        InputError: if the tokenizer does not give the texts back exactly.
        StorageError: if the disk is full.
    """
    vocabulary = ByteVocabulary.read(training.tokenizer)
    paths = {domain: f"heldout/{quote(domain, safe=' ')}.parquet" for domain in training.heldout}
    facts = {
        "format": FORMAT,
        "seed": training.seed,
        "tokens": training.tokens,
        "vocab_size": training.vocab_size,
        "eos_id": training.eos_id,
        "tokenizer": "tokenizer.json",
        "train": _write(training.train, vocabulary, dataset, TRAIN),
        "heldout": {
            domain: _write(held, vocabulary, dataset, paths[domain]) for domain, held in training.heldout.items()
        },
    }
    with storage_errors(dataset):
        shutil.copyfile(training.tokenizer, dataset / "tokenizer.json")
    atomic_text(dataset / "run.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return facts


def _write(tokens: Tokens, vocabulary: ByteVocabulary, dataset: Path, name: str) -> dict[str, Any]:
    write_table(dataset / name, _batches(tokens, vocabulary), _TEXTS)
    return {
        "path": name,
        "documents": len(tokens),
        "tokens": int(tokens.offsets[-1] - tokens.offsets[0]),
        "text_bytes": int(tokens.text_bytes.sum()),
    }


def _batches(tokens: Tokens, vocabulary: ByteVocabulary) -> Iterator[pa.RecordBatch]:
    """Some documents at a time: ROW_GROUP_ROWS at most, or one with many tokens."""
    start = 0
    while start < len(tokens):
        full = int(np.searchsorted(tokens.offsets, tokens.offsets[start] + _TOKENS_AT_A_TIME, side="right")) - 1
        end = min(max(full, start + 1), start + ROW_GROUP_ROWS, len(tokens))
        ids = tokens.documents.slice(start, end - start).cast(pa.string())
        yield pa.RecordBatch.from_arrays([ids, vocabulary.texts(tokens, start, end)], schema=_TEXTS)
        start = end
