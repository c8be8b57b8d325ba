"""A dataset folder written by hand as the mix writes it, and a small byte-level tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpusmill.documents.shards import write_table
from corpusmill.mix.tokens import load_tokens

EOS = "<|endoftext|>"
SOURCES = ("web", "code", "math")
COMPONENTS = {"web": ("web/de", "web/en"), "code": ("code",), "math": ("math",)}


def make_tokenizer(path: Path, size: int = 600) -> Path:
    """Trains a byte-level BPE tokenizer on a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for text in texts(400, 3) if text], trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return path


def texts(count: int, seed: int) -> list[str]:
    """Texts of several scripts, some of them empty."""
    chance = Random(seed)
    words = ["the", "mill", "grinds", "wörter", "文字", "def f(x):\n", "\\alpha", "1234", "  ", "slowly", "🙂", "\n\n"]
    return [" ".join(chance.choices(words, k=chance.randint(0, 120))) for _ in range(count)]


def write_dataset(
    folder: Path,
    tokenizer: Path,
    shards: Mapping[str, Sequence[int]],
    *,
    unit: str = "tokens",
    components: bool = True,
    edit: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Writes a dataset whose splits have shards of so many rows. `edit`: texts in the place of a shard's first."""
    tokens = load_tokens(str(tokenizer))
    count = "n_tokens" if unit == "tokens" else "n_bytes"
    fields = [
        pa.field("text", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        *([pa.field("component", pa.string())] if components else []),
        pa.field("url", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("quality", pa.float32()),
        pa.field(count, pa.int32(), nullable=False),
        pa.field("license", pa.string()),
    ]
    schema = pa.schema(fields)
    metadata = {"corpusmill.unit": unit, "corpusmill.seed": "7"}
    if unit == "tokens":
        metadata["corpusmill.tokenizer"] = tokens.fingerprint
    told = []
    for split, sizes in shards.items():
        for index, rows in enumerate(sizes):
            place = "data" if split in ("train", "validation") else "heldout"
            stem = f"{split}-{index:05d}-of-{len(sizes):05d}"
            some = pa.array([*(edit or {}).get(stem, ()), *texts(rows, hash_of(stem))][:rows], pa.string())
            chance = Random(stem)
            sources = [chance.choice(SOURCES) for _ in range(rows)]
            columns: dict[str, Any] = {field.name: [None] * rows for field in schema}
            columns |= {
                "text": some,
                "id": [f"{stem}/{row}" for row in range(rows)],
                "source": sources,
                count: tokens.count(some).astype(np.int32)
                if unit == "tokens"
                else [len(text.encode()) for text in some.to_pylist()],
            }
            if components:  # a null stands for the whole source
                columns["component"] = [chance.choice(COMPONENTS[s]) if s == "web" else None for s in sources]
            batch = pa.RecordBatch.from_arrays(
                [pa.array(columns[field.name], field.type) for field in schema], schema=schema
            )
            shard = write_table(folder / place / f"{stem}.parquet", [batch], schema, metadata=metadata)
            told.append(
                {
                    **shard.as_dict(),
                    "name": f"{place}/{stem}.parquet",
                    "split": split,
                    "units": sum(batch.column(count).to_pylist()),
                }
            )
    manifest = {"schema_version": 2, "name": "small", "unit": unit, "shards": told}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def hash_of(stem: str) -> int:
    return sum(byte * 257**place for place, byte in enumerate(stem.encode()))
