"""fastText's supervised models (.bin and .ftz), read and applied without the fastText package.

The format is fastText 0.9.2's (`fasttext.cc`, `dictionary.cc`, `matrix.cc`, `productquantizer.cc`): a header, a
dictionary, the input matrix with a row for each word and bucket of n-grams, and the output matrix with a row for each
label. Matrices may be quantised (Joulin et al. 2016, "FastText.zip", arXiv:1612.03651), and buckets be pruned. All four
losses are read: softmax, hierarchical softmax, negative sampling and one-vs-all.

Differs from fastText: rows that are not quantised stay in the file, which is mapped into memory and shared by all
workers. Where there are fewer labels than dimensions, the rows are multiplied by the output matrix when the model is
loaded: the mean of the products is the product of the mean. What the kernels differ in, fasttext_kernels.py says.

A file is checked before anything follows it: sizes against its length, the dictionary's order, the tree, and that
numbers are finite (some fastText wheels write models that are not).
"""

from __future__ import annotations

import mmap
import struct
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters.fasttext_kernels import (
    HIERARCHICAL_SOFTMAX,
    MAX_SUBWORD,
    NEGATIVE_SAMPLING,
    ONE_VS_ALL,
    SOFTMAX,
    Features,
    Scorer,
    choose_groups,
    choose_labels,
    embed,
    empty_cache,
    find_entries,
    index_entries,
)

LABEL_PREFIX = "__label__"

_MAGIC, _OLD_VERSION, _VERSION = 793712314, 11, 12
_SUPERVISED = 3
_CODES = 256
_MAX_PRUNED_BUCKETS = 1 << 27
_DENSE_BYTES = 1 << 27  # quantised rows are unpacked up to this size: to add one is then five times as fast
_BLOCK_ROWS = 1 << 16
_MAX_ROWS = (1 << 31) - 1
_ENTRY_BYTES = 10  # the least that a word of the dictionary takes: its end, count and type


class _MalformedError(ValueError):
    """The file is no model, or not a whole one; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What a model says of itself, in the file's order."""

    dim: int
    word_ngrams: int
    loss: int
    buckets: int
    shortest: int
    longest: int
    entries: int
    words: int
    labels: int
    pruned: int
    """How many buckets a pruned model has left; -1 if it is not pruned."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """A matrix in the file as it is, wherever it begins there."""

    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.values.shape[0]), int(self.values.shape[1])

    def dense(self, start: int, end: int) -> NDArray[np.float32]:
        """Rows `start` to `end`."""
        return self.values[start:end]


@dataclass(frozen=True, slots=True)
class _Quantised:
    """A matrix by a product quantiser: a row is its gain times the centroids of its parts, cut to `width`.

    codes       uint8[rows, parts]
    centroids   float32[parts, 256, part's width]
    gains       float32[rows]
    """

    width: int
    codes: NDArray[np.uint8]
    centroids: NDArray[np.float32]
    gains: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.codes), self.width

    def dense(self, start: int, end: int) -> NDArray[np.float32]:
        """Rows `start` to `end`, unpacked."""
        parts = self.centroids[np.arange(len(self.centroids)), self.codes[start:end]]
        return parts.reshape(len(parts), -1)[:, : self.width] * self.gains[start:end, None]


class _Reader:
    """Reads a mapped file from its beginning, and never past its end."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.position = 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """The next numbers, by `struct`'s letters; little-endian and without gaps."""
        layout = "<" + layout
        taken = self.array(np.dtype(np.uint8), struct.calcsize(layout))
        return struct.unpack(layout, taken.tobytes())

    def array(self, kind: np.dtype[Any], *shape: int) -> NDArray[Any]:
        """The next array, in place. Not copied, so not aligned either."""
        size = kind.itemsize
        for length in shape:
            if length < 0:
                raise _MalformedError(f"a matrix has the size {length}")
            size *= length
        if size > len(self.data) - self.position:
            raise _MalformedError(
                f"it ends after {len(self.data):,} bytes, before the {size:,} bytes that its sizes promise from "
                f"{self.position:,}"
            )
        found = self.data[self.position : self.position + size]
        self.position += size
        return found.view(kind).reshape(shape)

    def flag(self) -> bool:
        [value] = self.numbers("B")
        if value > 1:
            raise _MalformedError(f"a yes or no at byte {self.position - 1:,} is {value}")
        return bool(value)

    def matrix(self, quantised: bool) -> _Plain | _Quantised:
        if not quantised:
            rows, width = self.numbers("qq")
            return _Plain(self.array(np.dtype("<f4"), rows, width))
        with_gains = self.flag()
        rows, width, size = self.numbers("qqi")
        codes = self.array(np.dtype(np.uint8), size)
        centroids = self.centroids(width)
        if size != rows * len(centroids):
            raise _MalformedError(f"a quantised matrix of {rows:,} rows and {len(centroids)} parts has {size:,} codes")
        gains = np.ones(rows, np.float32)
        if with_gains:
            steps = self.array(np.dtype(np.uint8), rows)
            gains = self.centroids(1)[0, :, 0][steps]
        return _Quantised(width, codes.reshape(rows, len(centroids)), centroids, gains)

    def centroids(self, width: int) -> NDArray[np.float32]:
        """float32[parts, 256, part's width] of the next product quantiser; the last part is filled up with zeros."""
        dim, parts, length, last = self.numbers("iiii")
        if dim != width or not 0 < length <= dim or parts != -(-dim // length) or last != dim - (parts - 1) * length:
            raise _MalformedError(f"{parts} parts of {length} and {last} do not make up {dim} or {width} dimensions")
        values = self.array(np.dtype("<f4"), _CODES * dim)
        centroids = np.zeros((parts, _CODES, length), np.float32)
        whole = (parts - 1) * _CODES * length
        centroids[:-1] = values[:whole].reshape(parts - 1, _CODES, length)
        centroids[-1, :, :last] = values[whole:].reshape(_CODES, last)
        _check_finite(centroids)
        return centroids


def _check_finite(values: NDArray[np.float32]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(values.sum(dtype=np.float64)) if values.size else True
    if not finite:
        raise _MalformedError(
            "it holds numbers that are not finite, as some fastText packages write them; train it anew with "
            "fasttext-wheel 0.9.2 and thread=1"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FastTextModel:
    """A supervised model. `load` reads one.

    labels      as the file has them, without `__label__`
    """

    labels: tuple[str, ...]
    features: Features
    scorer: Scorer
    width: int
    caches: threading.local = field(default_factory=threading.local, repr=False)

    @classmethod
    def load(cls, path: str | Path, sha256: str | None = None) -> FastTextModel:
        """Reads and checks a model; the same file is read once a process.

        Args:
            path: a .bin or .ftz file of fastText.
            sha256: what the file's must be; None takes whichever is there.

        Raises:
            InputError: if the file is missing, damaged, no classifier, or another one than `sha256` says.
        """
        path = Path(path)
        try:
            state = path.stat()
        except OSError as error:
            raise InputError(f"{path}: cannot be read as a fastText model: {error.strerror}") from error
        if not path.is_file():
            raise InputError(f"{path}: is a folder and no fastText model; name the .bin or .ftz file")
        if sha256 is not None:
            found = _sha256(path, state.st_size, state.st_mtime_ns)
            if found != sha256.lower():
                raise InputError(
                    f"{path}: its sha256 is {found}, but the recipe asks for {sha256}; restore the model, or change "
                    "sha256 if the new one is meant"
                )
        return _loaded(path, state.st_size, state.st_mtime_ns)

    def means(self, batch: TextBatch) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """float32[documents, width]: the mean of each text's rows; int32[documents]: how many these were."""
        means, counts = np.empty((len(batch), self.width), np.float32), np.empty(len(batch), np.int32)
        embed(batch.offsets, batch.text, self.features, *self._cache(), means, counts)
        return frozen(means), frozen(counts)

    def _cache(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.float32]]:
        """This thread's cache of tokens: kernels run beside each other."""
        if not hasattr(self.caches, "tokens"):
            self.caches.tokens = empty_cache(self.width)
        return self.caches.tokens

    def probabilities(self, batch: TextBatch) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The most probable label of each document, as an index into `labels`, and its probability.

        A text without any feature of the model gets -1 and 0.
        """
        labels, probabilities = np.empty(len(batch), np.int32), np.empty(len(batch), np.float64)
        choose_labels(*self.means(batch), self.scorer, labels, probabilities)
        return labels, probabilities

    def grouped(self, batch: TextBatch, group_of: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The same for groups of labels, whose probabilities are added up.

        Args:
            batch: the documents.
            group_of: int32[labels], the number of each label's group; -1 for a label that does not count.
        """
        groups, probabilities = np.empty(len(batch), np.int32), np.empty(len(batch), np.float64)
        choose_groups(*self.means(batch), self.scorer, frozen(group_of), groups, probabilities)
        return groups, probabilities

    def probability_of(self, batch: TextBatch, label: str) -> NDArray[np.float64]:
        """The probability of one label (with or without `__label__`) for each document; 0 without features.

        Raises:
            InputError: if the model has no such label.
        """
        name = label.removeprefix(LABEL_PREFIX)
        if name not in self.labels:
            known = ", ".join(self.labels[:20]) + (", …" if len(self.labels) > 20 else "")
            raise InputError(f'"{label}" is no label of this model, which has {known}')
        group_of = np.full(len(self.labels), -1, np.int32)
        group_of[self.labels.index(name)] = 0
        return self.grouped(batch, group_of)[1]


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, modified: int) -> str:
    return sha256_of(path)


@lru_cache(maxsize=4)
def _loaded(path: Path, size: int, modified: int) -> FastTextModel:
    """The model at `path`; size and time of change tell whether it is still the one that was read."""
    if size == 0:
        raise InputError(f"{path}: is empty and no fastText model; fetch it anew")
    try:
        with open(path, "rb") as file:
            data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        return _read(data)
    except _MalformedError as error:
        raise InputError(f"{path}: cannot be used as a fastText model: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a fastText model: {error.strerror}") from error


def _read(data: NDArray[np.uint8]) -> FastTextModel:
    reader = _Reader(data)
    header = _header(reader)
    starts, ends = _entries(reader, header)
    keys, ids, end = _index(data, starts, ends)
    pruned = reader.array(np.dtype("<i4"), max(header.pruned, 0), 2)
    quantised = reader.flag()
    inputs = reader.matrix(quantised)
    if header.pruned >= 0 and not quantised:
        raise _MalformedError("its buckets are pruned, but its input matrix is not quantised; fetch the newer file")
    output_quantised = reader.flag() and quantised
    outputs = reader.matrix(output_quantised)
    if reader.position != len(data):
        raise _MalformedError(f"{len(data) - reader.position:,} bytes follow its end; fetch it anew")
    rows = header.words + (header.buckets if header.pruned < 0 else header.pruned)
    for matrix, name, wanted in ((inputs, "input", rows), (outputs, "output", header.labels)):
        if matrix.shape != (wanted, header.dim):
            raise _MalformedError(
                f"its {name} matrix has {matrix.shape[0]:,} rows of {matrix.shape[1]:,}, where {wanted:,} of "
                f"{header.dim:,} belong"
            )
    order, held, before = _held(pruned, header)
    output = outputs.dense(0, header.labels)
    _check_finite(output)
    tree = _tree(_counts(data, ends[header.words :]), header)
    packed = _packed(inputs, output, header.words, order)
    return FastTextModel(
        labels=_labels(data, starts[header.words :], ends[header.words :]),
        features=Features(
            keys=frozen(keys),
            ids=frozen(ids),
            words=header.words,
            end=end,
            shortest=header.shortest,
            longest=header.longest,
            word_ngrams=header.word_ngrams,
            buckets=0 if header.pruned == 0 else header.buckets,
            held=frozen(held),
            before=frozen(before),
            rows=packed.rows,
            codes=packed.codes,
            centroids=packed.centroids,
            gains=packed.gains,
        ),
        scorer=Scorer(packed.output, header.loss, *tree),
        width=packed.width,
    )


def _header(reader: _Reader) -> _Header:
    try:
        magic, version = reader.numbers("ii")
    except _MalformedError as error:
        raise _MalformedError("it is too short to be one") from error
    if magic != _MAGIC:
        raise _MalformedError("it does not begin as one; name a .bin or .ftz file that fastText has written")
    if version not in (_OLD_VERSION, _VERSION):
        raise _MalformedError(f"its format is {version}, and {_OLD_VERSION} and {_VERSION} are known")
    dim, _, _, _, _, word_ngrams, loss, kind, buckets, shortest, longest, _ = reader.numbers("12i")
    reader.numbers("d")
    entries, words, labels, _, pruned = reader.numbers("iiiqq")
    if kind != _SUPERVISED:
        raise _MalformedError("it holds word vectors and no classifier; name a model of `train_supervised`")
    if loss not in (HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL):
        raise _MalformedError(f"its loss has the number {loss}, and 1 to 4 are known")
    if labels < 1 or words < 0 or entries != words + labels or dim < 1 or buckets < 0:
        raise _MalformedError(
            f"{dim} dimensions, {words} words, {labels} labels and {buckets} buckets make up no model"
        )
    if not -1 <= pruned <= buckets or (pruned >= 0 and buckets > _MAX_PRUNED_BUCKETS):
        raise _MalformedError(f"{pruned} of its {buckets} buckets are said to be left")
    if words + buckets > _MAX_ROWS:
        raise _MalformedError(f"{words:,} words and {buckets:,} buckets are over {_MAX_ROWS:,}, the rows that are read")
    if max(word_ngrams, longest) > MAX_SUBWORD:
        raise _MalformedError(
            f"n-grams of up to {word_ngrams} words and {longest} characters; {MAX_SUBWORD} is the most"
        )
    if version == _OLD_VERSION:
        longest = 0  # supervised models of that format have no character n-grams, whatever the file says
    return _Header(dim, word_ngrams, loss, buckets, shortest, longest, entries, words, labels, pruned)


def _entries(reader: _Reader, header: _Header) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the words and labels of the dictionary begin and end."""
    if header.entries * _ENTRY_BYTES > len(reader.data) - reader.position:
        raise _MalformedError(f"it ends before the {header.entries:,} words that it promises")
    starts, ends = np.empty(header.entries, np.int64), np.empty(header.entries, np.int64)
    labels = np.empty(header.entries, np.bool_)
    position = find_entries(reader.data, reader.position, starts, ends, labels)
    if position < 0:
        raise _MalformedError("it ends within its dictionary")
    if labels[: header.words].any() or not labels[header.words :].all():
        raise _MalformedError("its dictionary does not list words first and then labels")
    reader.position = position
    return frozen(starts), frozen(ends)


def _index(
    data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32], int]:
    """The hash table of `Features`, at most half full, and the number of `</s>`."""
    size = 1 << (2 * len(starts)).bit_length()
    keys, ids = np.zeros(size, np.uint64), np.empty(size, np.int32)
    return keys, ids, index_entries(data, starts, ends, keys, ids)


def _counts(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[int]:
    """How often the labels stood in the training texts."""
    places = ends[:, None] + np.arange(1, 9)
    return [int(count) for count in data[places].view("<i8")[:, 0]]


def _labels(data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[str, ...]:
    names = [data[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
    try:
        return tuple(name.decode().removeprefix(LABEL_PREFIX) for name in names)
    except UnicodeDecodeError as error:
        raise _MalformedError(f"a label is no UTF-8: {error.object!r}") from error


def _held(
    pruned: NDArray[np.int32], header: _Header
) -> tuple[NDArray[np.int64] | None, NDArray[np.uint64], NDArray[np.int32]]:
    """Which buckets a pruned model has left: `held` and `before` of `Features`, and their rows in that order.

    None and empty arrays if all buckets are there, or none.
    """
    if header.pruned <= 0:
        return None, np.empty(0, np.uint64), np.empty(0, np.int32)
    buckets, rows = pruned[:, 0].astype(np.int64), pruned[:, 1].astype(np.int64)
    if buckets.min() < 0 or buckets.max() >= header.buckets or rows.min() < 0 or rows.max() >= len(rows):
        raise _MalformedError("a bucket that was not pruned points outside the matrix")
    order = np.argsort(buckets, kind="stable")
    if (np.diff(buckets[order]) == 0).any():
        raise _MalformedError("a bucket has two rows")
    held = np.zeros(-(-header.buckets // 64), np.uint64)
    np.bitwise_or.at(held, buckets >> 6, np.uint64(1) << (buckets & 63).astype(np.uint64))
    counts = np.bitwise_count(held)
    return rows[order], held, (np.cumsum(counts) - counts).astype(np.int32)


def _tree(counts: list[int], header: _Header) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """`lefts`, `rights` and `turns` of `Scorer`: the Huffman tree of the labels' counts, as fastText builds it."""
    labels = header.labels
    if header.loss != HIERARCHICAL_SOFTMAX:
        return frozen(np.empty(0, np.int32)), frozen(np.empty(0, np.int32)), frozen(np.arange(labels, dtype=np.int32))
    lefts, rights = np.full(2 * labels - 1, -1, np.int32), np.full(2 * labels - 1, -1, np.int32)
    weights = counts + [0] * (labels - 1)
    leaf, inner = labels - 1, labels
    for node in range(labels, 2 * labels - 1):
        children = []
        for _ in range(2):
            if leaf >= 0 and (inner >= node or weights[leaf] < weights[inner]):
                children.append(leaf)
                leaf -= 1
            else:
                children.append(inner)
                inner += 1
        lefts[node], rights[node] = children
        weights[node] = sum(weights[child] for child in children)
    turns, waiting, turn = np.empty(labels, np.int32), [2 * labels - 2], 0
    while waiting:
        node = waiting.pop()
        if node < labels:
            turns[node] = turn
            turn += 1
        else:
            waiting += [int(rights[node]), int(lefts[node])]
    return frozen(lefts), frozen(rights), frozen(turns)


@dataclass(frozen=True, slots=True)
class _Packed:
    """Both matrices in the form that the kernels take: see `Features` and `Scorer`."""

    width: int
    rows: NDArray[np.float32]
    codes: NDArray[np.uint8]
    centroids: NDArray[np.float32]
    gains: NDArray[np.float32]
    output: NDArray[np.float32]


def _packed(
    inputs: _Plain | _Quantised, output: NDArray[np.float32], words: int, order: NDArray[np.int64] | None
) -> _Packed:
    """Folds the output matrix into the rows where that makes them shorter, and unpacks the rows where they are few.

    Rows after the first `words` come in the order `order`.
    """
    n_rows, width = inputs.shape
    n_labels = len(output)
    places = None if order is None else np.concatenate((np.arange(words), words + order))
    if n_labels < width:
        rows = np.empty((n_rows, n_labels), np.float32)
        for start in range(0, n_rows, _BLOCK_ROWS):
            rows[start : start + _BLOCK_ROWS] = inputs.dense(start, start + _BLOCK_ROWS) @ output.T
        _check_finite(rows)
        return _dense(rows if places is None else rows[places], np.empty((0, n_labels), np.float32))
    if isinstance(inputs, _Plain):
        for start in range(0, n_rows, _BLOCK_ROWS):
            _check_finite(inputs.dense(start, start + _BLOCK_ROWS))
        return _dense(inputs.values, output.T)
    if n_rows * width * 4 <= _DENSE_BYTES:
        rows = inputs.dense(0, n_rows)
        return _dense(rows if places is None else rows[places], output.T)
    filled = inputs.centroids.shape[0] * inputs.centroids.shape[2]
    return _Packed(
        width=filled,
        rows=_unaligned(np.empty((0, filled), np.float32)),
        codes=frozen(inputs.codes if places is None else inputs.codes[places]),
        centroids=frozen(inputs.centroids),
        gains=frozen(inputs.gains if places is None else inputs.gains[places]),
        output=frozen(np.pad(output.T, ((0, filled - width), (0, 0)))),
    )


def _dense(rows: NDArray[np.float32], output: NDArray[np.float32]) -> _Packed:
    return _Packed(
        width=rows.shape[1],
        rows=_unaligned(rows),
        codes=frozen(np.empty((0, 0), np.uint8)),
        centroids=frozen(np.empty((0, 0, 0), np.float32)),
        gains=frozen(np.empty(0, np.float32)),
        output=frozen(output),
    )


def _unaligned(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A read-only view that kernels take for unaligned, so that rows in a file and in memory are one type to them."""
    view = frozen(array)
    view.setflags(align=False)
    return view
