"""Embeddings of documents by a model that the user has: a static one, or a sentence encoder in ONNX.

    a folder with model.safetensors and tokenizer.json      static: model2vec's, or StaticEmbedding of
                                                            sentence-transformers
    a folder with model.onnx (or onnx/model.onnx) and tokenizer.json, or the path of the .onnx file

Nothing is downloaded. A static model (model2vec: Tulkens & van Dongen 2024) has a vector for each token; a document's
is their sum, each times its weight where the model has weights. Of an ONNX encoder it is the output
`sentence_embedding`, else the mean of the vectors of its tokens, else a pooled output. In both cases it is scaled to
length 1, and is 0 for a text without a token that the model knows.

A text's embedding is of `max_tokens` tokens at most. Of a text of more than 4 bytes for each of them (English has 4 to
5 a token, Chinese 3 to 4), excerpts are taken, at even distances from its beginning to its end: EXCERPTS of them, or
fewer that have EXCERPT_BYTES each. So texts that begin alike are not alike for that. An embedding does not depend on
the texts beside it: an ONNX encoder gets one at a time, since its last bits depend on the shape of a batch.

Differs from the package model2vec: the table is mapped into memory and not read, so workers share its pages; and the
package takes the beginning of a text.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import InputError

BYTES_A_TOKEN = 4
EXCERPT_BYTES = 256
EXCERPTS = 8

_WEIGHTS = "model.safetensors"
_ONNX = ("model.onnx", "onnx/model.onnx")
_TOKENIZER = "tokenizer.json"
_TABLES = ("embeddings", "embedding.weight")  # model2vec's name, sentence-transformers' name
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "I32": "<i4", "I64": "<i8"}
_FLOATS = ("F64", "F32", "F16", "I8")
_MOST_HEADER_BYTES = 100_000_000  # the format's own bound
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
_PROBE = "It was not the first letter of that week. " * 4


class Encoder(ABC):
    """Makes embeddings of texts."""

    dimensions: int

    @abstractmethod
    def encode(self, texts: pa.StringArray) -> NDArray[np.float32]:
        """float32[texts, dimensions]: vectors of length 1, or 0 where there is nothing to go by.

        Raises:
            InputError: if the model fails on a text, or gives what is no number.
        """


def load_encoder(model: Path, max_tokens: int | None = None) -> Encoder:
    """The encoder of a model, read and checked once a process, and again when a file of it is another.

    Args:
        max_tokens: of a text; None: what is usual for its kind.

    Raises:
        InputError: for a model that is missing, damaged or of another kind.
    """
    paths = model_files(model)
    states = [path.stat() for path in paths]
    return _loaded(paths, max_tokens, tuple((state.st_size, state.st_mtime_ns) for state in states))


def model_files(model: Path) -> tuple[Path, ...]:
    """The files of a model: first its weights, then its tokenizer, then what the weights refer to.

    Raises:
        InputError: if there is no model, or no tokenizer with it.
    """
    if model.is_file() and model.suffix == ".onnx":
        weights, folders = model, (model.parent, model.parent.parent)
    elif model.is_dir():
        found = [model / name for name in (_WEIGHTS, *_ONNX) if (model / name).is_file()]
        if not found:
            raise InputError(
                f"{model}: no model is in this folder; it should hold {_WEIGHTS} (static embeddings, such as "
                f"model2vec's) or {_ONNX[0]} (a sentence encoder), and {_TOKENIZER}"
            )
        if found[0].name == _WEIGHTS and len(found) > 1 and not _is_static(found[0]):
            found = found[1:]  # an encoder's folder has its weights in both formats
        weights, folders = found[0], (found[0].parent, model)
    else:
        kind = "is neither a folder nor an .onnx file" if model.exists() else "is not there"
        raise InputError(
            f"{model}: {kind}; name the folder of a model2vec or ONNX model that you have: nothing is downloaded"
        )
    tokenizers = [folder / _TOKENIZER for folder in folders if (folder / _TOKENIZER).is_file()]
    if not tokenizers:
        raise InputError(f"{weights}: no {_TOKENIZER} is beside it; put the one there that the model was made with")
    outside = sorted(weights.parent.glob(f"{weights.name}?data")) if weights.suffix == ".onnx" else []
    return weights, tokenizers[0], *outside


@lru_cache(maxsize=2)
def _loaded(paths: tuple[Path, ...], max_tokens: int | None, states: tuple[tuple[int, int], ...]) -> Encoder:
    kind: type[OnnxEncoder | StaticEncoder] = OnnxEncoder if paths[0].suffix == ".onnx" else StaticEncoder
    max_tokens = kind.usual_tokens if max_tokens is None else max_tokens
    encoder = kind(paths[0], _tokenizer(paths[1], max_tokens), max_tokens)
    encoder.encode(pa.array([_PROBE, ""]))
    return encoder


class StaticEncoder(Encoder):
    """A vector for each token of the vocabulary."""

    usual_tokens = 2048

    def __init__(self, path: Path, tokenizer: Any, max_tokens: int) -> None:
        tensors = _tensors(path)
        table = next((tensors[name] for name in _TABLES if name in tensors), None)
        if table is None or table.kind not in _FLOATS or len(table.shape) != 2 or 0 in table.shape:
            raise InputError(
                f"{path}: holds no static embeddings (a two-dimensional tensor `{_TABLES[0]}`), but "
                f"{_listed(tensors)}; of a transformer, export an ONNX file and name that"
            )
        self._path = path
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._table = table.mapped(path)
        self.dimensions = table.shape[1]
        ids = tokenizer.get_vocab(with_added_tokens=True).values()
        count = 1 + max(ids, default=0)
        self._rows = tensors["mapping"].mapped(path) if "mapping" in tensors else np.arange(len(self._table))
        self._weights = np.ones(count, np.float32)
        if "weights" in tensors:
            given = np.asarray(tensors["weights"].mapped(path), np.float32)
            if given.shape != self._rows.shape:
                raise InputError(f"{path}: has {len(given)} weights for {len(self._rows)} tokens; it is damaged")
            self._weights = given
        if len(self._rows) < count or self._rows.max() >= len(self._table) or self._rows.min() < 0:
            raise InputError(
                f"{path}: has vectors for {min(len(self._rows), len(self._table)):,} tokens, and the {_TOKENIZER} "
                f"beside it has {count:,}; take both from one model"
            )
        unknown = _unknown_token(tokenizer)
        if unknown is not None:
            self._weights = np.array(self._weights)
            self._weights[unknown] = 0

    def encode(self, texts: pa.StringArray) -> NDArray[np.float32]:
        from scipy.sparse import csr_array

        encodings = _encoded(self._path, self._tokenizer, texts, self._max_tokens, special=False)
        firsts = np.cumsum([0, *map(len, encodings)])
        tokens = np.fromiter((token for encoding in encodings for token in encoding.ids), np.int64, firsts[-1])
        used, places = np.unique(self._rows[tokens], return_inverse=True)
        counts = csr_array((self._weights[tokens], places, firsts), shape=(len(texts), len(used)))
        return _unit(self._path, counts @ self._table[used].astype(np.float32))


class OnnxEncoder(Encoder):
    """A sentence encoder that onnxruntime runs."""

    usual_tokens = 512

    def __init__(self, path: Path, tokenizer: Any, max_tokens: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"{path}: an ONNX model needs onnxruntime: pip install 'corpusmill[semantic]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # workers are processes
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own exceptions have no base of theirs
            raise InputError(f"{path}: is no ONNX model that can be run: {_first_line(error)}") from error
        self._path = path
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._kinds = {item.name: np.int32 if "int32" in item.type else np.int64 for item in self._session.get_inputs()}
        if "input_ids" not in self._kinds or not _INPUTS.issuperset(self._kinds):
            raise InputError(
                f"{path}: asks for {_listed(self._kinds)}, but a sentence encoder is given {_listed(sorted(_INPUTS))}"
            )
        tokens = tokenizer.encode(_PROBE).ids or [0]
        longest = np.resize(np.array(tokens, np.int64), max_tokens)
        names = [item.name for item in self._session.get_outputs()]
        runs = [[value.shape for value in self._run(some)] for some in (longest, longest[:1])]
        self._output = _output(path, names, *runs)
        self.dimensions = len(self._vector(longest))

    def encode(self, texts: pa.StringArray) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        encodings = _encoded(self._path, self._tokenizer, texts, self._max_tokens, special=True)
        for row, encoding in enumerate(encodings):
            if not all(encoding.special_tokens_mask):
                vectors[row] = self._vector(np.array(encoding.ids, np.int64))
        return _unit(self._path, vectors)

    def _vector(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        value = np.asarray(self._run(tokens)[self._output], np.float32)[0]
        return value if value.ndim == 1 else value.mean(axis=0)

    def _run(self, tokens: NDArray[np.int64]) -> Sequence[NDArray[Any]]:
        ones, zeros = np.ones_like(tokens), np.zeros_like(tokens)
        positions = np.arange(len(tokens))
        values = {"input_ids": tokens, "attention_mask": ones, "token_type_ids": zeros, "position_ids": positions}
        given = {name: values[name][None].astype(kind) for name, kind in self._kinds.items()}
        try:
            outputs: Sequence[NDArray[Any]] = self._session.run(None, given)
        except Exception as error:
            raise InputError(
                f"{self._path}: fails on {len(tokens)} tokens; lower max_tokens to what the model takes, or mend it: "
                f"{_first_line(error)}"
            ) from error
        return outputs


def _output(path: Path, names: Sequence[str], shapes: Sequence[Any], shapes_of_one: Sequence[Any]) -> int:
    """Which output is the embedding, or is to be averaged, by the shapes for many tokens and for one."""
    steady = [
        index
        for index, (many, one) in enumerate(zip(shapes, shapes_of_one, strict=True))
        if len(many) in (2, 3) and many[-1] == one[-1]
    ]
    pooled = [index for index in steady if len(shapes[index]) == 2]
    ranked = [
        *(index for index in pooled if names[index] == "sentence_embedding"),
        *(index for index in steady if index not in pooled),
        *pooled,
    ]
    if not ranked:
        raise InputError(f"{path}: none of its outputs ({_listed(names)}) is an embedding of a text or of its tokens")
    return ranked[0]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor in a file, from byte `begin` to `end`."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def fits(self) -> bool:
        """Whether it has as many bytes as its shape needs."""
        size = np.dtype(_KINDS[self.kind]).itemsize * math.prod(self.shape)
        return min(self.begin, *self.shape) >= 0 and self.end - self.begin == size > 0

    def mapped(self, path: Path) -> NDArray[Any]:
        return np.memmap(path, _KINDS[self.kind], "r", self.begin, self.shape)


def _tensors(path: Path) -> dict[str, _Tensor]:
    """The tensors of a safetensors file whose kinds are of use here: 8 bytes that say how long the header is, the
    header in JSON, the values.

    Raises:
        InputError: if it is none, or not all of one.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(_MOST_HEADER_BYTES, size - 8) else b""
    tensors = {}
    try:
        for name, entry in json.loads(header).items():
            if name != "__metadata__" and entry["dtype"] in _KINDS:
                begin, end = (8 + length + int(offset) for offset in entry["data_offsets"])
                tensors[name] = _Tensor(entry["dtype"], tuple(int(side) for side in entry["shape"]), begin, end)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{path}: is no safetensors file, or not all of one; fetch the model again") from error
    for name, tensor in tensors.items():
        if not tensor.fits or tensor.end > size:
            raise InputError(f"{path}: tensor `{name}` does not fit into the file; fetch the model again")
    return tensors


def _is_static(path: Path) -> bool:
    return not set(_TABLES).isdisjoint(_tensors(path))


def _tokenizer(path: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer  # loads in a second

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{path}: is no Hugging Face tokenizer.json: {_first_line(error)}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _encoded(path: Path, tokenizer: Any, texts: pa.StringArray, max_tokens: int, *, special: bool) -> Sequence[Any]:
    try:
        encodings: Sequence[Any] = tokenizer.encode_batch_fast(excerpts(texts, max_tokens), add_special_tokens=special)
    except Exception as error:  # bare, as above: of a word that it does not know and has no token for
        raise InputError(f"{path}: its tokenizer fails on a text: {_first_line(error)}") from error
    return encodings


def excerpts(texts: pa.StringArray, max_tokens: int) -> list[str]:
    """Of each text, what its embedding is of: the whole of it, or excerpts from its beginning to its end.

    >>> [len(text) for text in excerpts(pa.array(["short", "long " * 10_000]), 512)]
    [5, 2055]
    """
    room = BYTES_A_TOKEN * max_tokens
    count = max(1, min(EXCERPTS, room // EXCERPT_BYTES))
    size = room // count
    offsets, content = text_buffers(texts)
    taken = []
    for begin, end in pairwise(offsets.tolist()):
        if end - begin <= room:
            taken.append(content[begin:end].tobytes())
        else:
            starts = [begin + (end - size - begin) * number // max(1, count - 1) for number in range(count)]
            taken.append(b" ".join(content[start : start + size].tobytes() for start in starts))
    return [text.decode("utf-8", "ignore") for text in taken]  # a character may be cut in two


def _unknown_token(tokenizer: Any) -> int | None:
    """The token that stands for all that the vocabulary does not have."""
    name = getattr(tokenizer.model, "unk_token", None)
    token = json.loads(tokenizer.to_str())["model"].get("unk_id") if name is None else tokenizer.token_to_id(name)
    return None if token is None else int(token)


def _unit(path: Path, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise InputError(f"{path}: gives embeddings that are no numbers; the model is damaged: fetch it again")
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "") or "nothing"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
