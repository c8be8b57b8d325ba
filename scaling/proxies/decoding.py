"""Token ids back to texts, exactly, by the byte-level vocabulary of a tokenizer.json (Radford et al. 2019).

In such a vocabulary each character of a token stands for one byte, and a text is the bytes of its tokens, one after the
other. It is its text only where the tokenizer changed nothing before it looked: no normalizer, no space put in front,
no part of a text left out. What the file says of this is checked; so is that every text comes out in valid UTF-8 and as
long as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.mix.tokens import byte_signs
from corpusmill.scaling.contract import Tokens

_MEND = "use a byte-level BPE tokenizer without a normalizer, such as one of `corpusmill train tokenizer`"
_NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class ByteVocabulary:
    """The bytes of each token.

    source   the file, for messages
    flat     uint8: the bytes of all tokens, one after the other
    starts   int64[tokens]: where each begins
    lengths  int64[tokens]: bytes of each; -1 for an id that is no token
    """

    source: Path
    flat: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> ByteVocabulary:
        """The vocabulary of a tokenizer.json.

        Raises:
            InputError: if it cannot be read, or does not decode exactly.
        """
        try:
            data = json.loads(path.read_bytes())
            if reason := _inexact(data):
                raise InputError(f"{path}: texts cannot be had back exactly: {reason}; {_MEND}")
            content = _contents(data)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); name a tokenizer.json") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: is no tokenizer.json of the tokenizers library ({error}); {_MEND}") from error
        size = max(content, default=-1) + 1
        if min(content, default=0) < 0 or size > 4 * len(content) + 1024:
            raise InputError(f"{path}: its ids go from {min(content)} to {size - 1} for {len(content)} tokens; {_MEND}")
        lengths = np.full(size, _NO_TOKEN, np.int64)
        for identifier, token in content.items():
            lengths[identifier] = len(token)
        ends = np.cumsum(np.maximum(lengths, 0))
        flat = b"".join(content[identifier] for identifier in sorted(content))
        return cls(path, np.frombuffer(flat, np.uint8), ends - np.maximum(lengths, 0), lengths)

    def texts(self, tokens: Tokens, start: int, end: int) -> pa.StringArray:
        """The texts of documents `start` to `end`.

        Raises:
            InputError: if an id is no token, or a text is not what it was.
        """
        offsets = tokens.offsets[start : end + 1]
        ids = tokens.ids[offsets[0] : offsets[-1]].astype(np.int64)
        if len(ids) and (ids.max() >= len(self.lengths) or self.lengths[ids].min() < 0):
            wrong = next(each for each in ids.tolist() if each >= len(self.lengths) or self.lengths[each] < 0)
            raise InputError(f"{self.source}: has no token {wrong}, and the texts have; encode them with this file")
        lengths = self.lengths[ids]
        places = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        content = self.flat[np.repeat(self.starts[ids] - places[:-1], lengths) + np.arange(places[-1])]
        ends = places[offsets - offsets[0]]
        self._check_lengths(np.diff(ends), tokens, start, end)
        if ends[-1] > np.iinfo(np.int32).max:
            raise InputError(f"documents {start} to {end}: {ends[-1]} bytes of text are too many at a time; cut them")
        texts = pa.StringArray.from_buffers(end - start, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(content))
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.source}: documents come out that are no UTF-8 ({error}); {_MEND}") from error
        return texts

    def _check_lengths(self, found: NDArray[np.int64], tokens: Tokens, start: int, end: int) -> None:
        differing = np.flatnonzero(found != tokens.text_bytes[start:end])
        if len(differing):
            place = int(differing[0])
            raise InputError(
                f"{self.source}: texts cannot be had back exactly: document {tokens.documents[start + place]} had "
                f"{tokens.text_bytes[start + place]} bytes, and has {found[place]} now; {_MEND}"
            )


def _inexact(data: Mapping[str, Any]) -> str | None:
    """What in a tokenizer.json changes texts, or does not say how they are had back."""
    if data["model"]["type"] != "BPE":
        return f"its model is {data['model']['type']}"
    if data.get("normalizer") is not None:
        return f"its normalizer ({data['normalizer']['type']}) changes them"
    before = data.get("pre_tokenizer") or {"type": None}
    steps = before["pretokenizers"] if before["type"] == "Sequence" else [before]
    if [step["type"] for step in steps].count("ByteLevel") != 1:
        return "its pre-tokenizer does not write bytes (ByteLevel)"
    if any(step.get("add_prefix_space") for step in steps):
        return "its pre-tokenizer puts a space in front of them"
    return None


def _contents(data: Mapping[str, Any]) -> dict[int, bytes]:
    """Id -> bytes. What is no token of bytes is left out."""
    bytes_of = {sign: byte for byte, sign in enumerate(byte_signs())}
    found = {
        int(identifier): bytes(bytes_of[sign] for sign in token)
        for token, identifier in data["model"]["vocab"].items()
        if all(sign in bytes_of for sign in token)
    }
    found |= {int(token["id"]): token["content"].encode() for token in data.get("added_tokens", ())}
    return found
