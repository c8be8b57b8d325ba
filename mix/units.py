"""Counting what a mix counts: tokens, estimated tokens, words, bytes, characters or documents, for each of a batch."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.options import Unit
from corpusmill.mix.tokens import load_tokens

BYTES_PER_ESTIMATED_TOKEN = 4

UNIT_NAMES: dict[Unit, str] = {
    "estimated_tokens": "estimated tokens (UTF-8 bytes / 4)",
    "tokens": "tokens",
    "words": "words",
    "bytes": "UTF-8 bytes",
    "characters": "characters",
    "documents": "documents",
}
"""How a unit is called where people read it."""

COUNT_COLUMNS: dict[Unit, str] = {
    "estimated_tokens": "n_tokens",
    "tokens": "n_tokens",
    "words": "n_words",
    "bytes": "n_bytes",
    "characters": "n_characters",
    "documents": "n_bytes",
}
"""The dataset's column that tells a document's size: its units, but for `documents`, which are one each. The schema's
metadata tells whether `n_tokens` is an estimate."""


def count_units(batch: TextBatch, unit: Unit, tokenizer: str | None) -> NDArray[np.int64]:
    """Units of each document.

    Raises:
        InputError: if the tokenizer cannot be read.
    """
    sizes = np.diff(batch.offsets).astype(np.int64)
    match unit:
        case "estimated_tokens":
            return -(-sizes // BYTES_PER_ESTIMATED_TOKEN)
        case "tokens":
            return load_tokens(str(tokenizer)).count(batch.texts)
        case "words":
            return np.diff(batch.words.firsts).astype(np.int64)
        case "bytes":
            return sizes
        case "characters":
            return pc.utf8_length(batch.texts).to_numpy(zero_copy_only=False).astype(np.int64)
        case "documents":
            return np.ones(len(sizes), np.int64)
