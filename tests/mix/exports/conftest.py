"""What the tests of exports share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mix.exports.small_dataset import make_tokenizer, write_dataset


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer.json."""
    return make_tokenizer(tmp_path_factory.mktemp("small_tokenizer") / "tokenizer.json")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """A dataset with two train shards, one for validation and a held-out one, counted by `tokenizer`."""
    shards = {"train": (300, 250), "validation": (40,), "heldout_math": (25,)}
    return write_dataset(tmp_path_factory.mktemp("small_dataset") / "dataset", tokenizer, shards)
