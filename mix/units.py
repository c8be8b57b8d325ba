"""Counting what a mix counts: estimated tokens, tokens, words, bytes or characters, for each document of a batch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.mix.options import Unit

BYTES_PER_ESTIMATED_TOKEN = 4

UNIT_NAMES: dict[Unit, str] = {
    "estimated_tokens": "estimated tokens (UTF-8 bytes / 4)",
    "tokens": "tokens",
    "words": "words",
    "bytes": "UTF-8 bytes",
    "characters": "characters",
}
"""How a unit is called where people read it."""

COUNT_COLUMNS: dict[Unit, str] = {
    "estimated_tokens": "n_tokens",
    "tokens": "n_tokens",
    "words": "n_words",
    "bytes": "n_bytes",
    "characters": "n_characters",
}
"""The dataset's column with a document's units. The schema's metadata tells whether `n_tokens` is an estimate."""


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
            return _count_tokens(batch.texts, str(tokenizer))
        case "words":
            return np.diff(batch.words.firsts).astype(np.int64)
        case "bytes":
            return sizes
        case "characters":
            return pc.utf8_length(batch.texts).to_numpy(zero_copy_only=False).astype(np.int64)


def _count_tokens(texts: pa.StringArray, path: str) -> NDArray[np.int64]:
    encodings = load_tokenizer(path).encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
    return np.fromiter((len(encoding) for encoding in encodings), np.int64, len(encodings))


def load_tokenizer(path: str) -> Any:
    """A tokenizer that counts whole texts, whatever truncation and padding its file asks for. Loaded once, and again
    when the file is another.

    Raises:
        InputError: if there is no such file, or it is no tokenizer.
    """
    if not Path(path).is_file():
        raise InputError(f"mix.tokenizer: {path} is no file; give the path of a Hugging Face tokenizer.json")
    status = Path(path).stat()
    return _loaded(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _loaded(path: str, size: int, changed: int) -> Any:
    from tokenizers import Tokenizer  # loads in a second, and most mixes need none

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"mix.tokenizer: {path} is no Hugging Face tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
