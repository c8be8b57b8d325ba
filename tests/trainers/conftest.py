"""A small dataset that the command mixed from the sample corpora, and its exports: what all trainers are to read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.mix.exports.small_dataset import make_tokenizer
from tests.small_corpus import corpusmill, quick_folder, write_recipe

# Before any of Hugging Face's libraries is imported: nothing is looked up, everything is on this disk.
os.environ["HF_HUB_OFFLINE"] = "1"

CORPORA = Path(__file__).parents[2] / "sample_corpora"
RECIPE: dict[str, Any] = {
    "name": "trainers",
    "seed": 3,
    "sources": {
        "web": {"paths": ["web.jsonl"], "license": "CC0-1.0", "stages": []},
        "code": {"paths": ["code.jsonl"], "license": "CC0-1.0", "stages": []},
        "books": {"paths": ["books.jsonl"], "stages": []},
    },
    "mix": {
        "ratios": {"web": 0.45, "notes": 0.1, "code": 0.2, "books": 0.25},
        "slices": {"notes": {"source": "web", "where": "text_bytes < 60"}},
        "unit": "tokens",
        "tokenizer": "tokenizer.json",
        "max_epochs": 1.5,
        "validation": 0.05,
        "heldout": 0.02,
        "shard_bytes": 160_000,
    },
}


SPLITS = ("train", "validation", "heldout_web")


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, and its rows as pyarrow alone reads them."""

    folder: Path

    def shards(self, split: str) -> list[Path]:
        return sorted(self.folder.glob(f"*/{split}-*.parquet"))

    def rows(self, split: str) -> list[dict[str, Any]]:
        return [row for path in self.shards(split) for row in pq.read_table(path).to_pylist()]

    def rows_of_shards(self, split: str) -> list[int]:
        """How many rows each shard of a split has."""
        return [pq.read_metadata(path).num_rows for path in self.shards(split)]

    def texts(self, split: str) -> list[str]:
        return [row["text"] for row in self.rows(split)]


def pieces(folder: str, pattern: str, border: str) -> Iterator[str]:
    """The texts of a sample corpus in short documents, so that a shard has several row groups."""
    for path in sorted((CORPORA / folder).rglob(pattern)):
        text = path.read_bytes().decode("utf-8", "replace")
        yield from (piece for piece in re.split(border, text) if piece.strip())


def write_lines(path: Path, texts: Sequence[str]) -> None:
    lines = (json.dumps({"text": text, "url": f"https://{path.stem}.example/{n}"}) for n, text in enumerate(texts))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def tokenizer(workplace: Path) -> Path:
    """What the mix counts with and what the exports are tokenised by."""
    return make_tokenizer(workplace / "tokenizer.json")


@pytest.fixture(scope="session")
def mixed(tokenizer: Path, workplace: Path) -> Dataset:
    """Three sources, one with a slice, some repeated in part, in several train shards of several row groups each."""
    write_lines(workplace / "web.jsonl", list(pieces("web/pages", "*.txt", r"(?<=[.!?])\s|\n")))
    write_lines(workplace / "code.jsonl", list(pieces("code", "*.*", r"\n(?=\S)")))
    write_lines(workplace / "books.jsonl", list(pieces("books", "*.md", r"(?<=[.!?])\s|\n\n")))
    recipe = write_recipe(workplace, RECIPE)
    ran = corpusmill("run", recipe, "--workers", "1", cwd=workplace)
    assert ran.returncode == 0, ran.stderr
    return Dataset(workplace / "runs/trainers/dataset")
