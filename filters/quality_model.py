"""The model of the quality stage: a linear classifier over hashed words and pairs of words, and its kernels.

Features: the hashes of a document's folded words (lower case, no diacritics) and of each two neighbours, as indices
into a table of 2^bits weights. A feature is there or not, and the vector has length 1: over five pairs of sources
that training had not seen, presence reached a mean ROC AUC of .866, plain counts .860, log(1 + count) .844
(docs/log.md).

A model is an `.npz` file without pickle:

    format      int64          1
    settings    str            JSON: what features are made of: `bits`, and `hashes`, a sign of the hash functions
    facts       str            JSON: what it was trained on and how it fared
    features    uint32[n]      indices of the weights that are not zero, sorted
    weights     int16[n]       in units of `scale`
    scale, intercept           float64
    slope, offset              float64: probability = 1 / (1 + exp(-(slope * decision + offset)))
    digest      str            sha256 of all the others
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import atomic_file
from corpusmill.filters.hashed_features import clear, weight, words_and_pairs

FORMAT = 1
MIN_BITS, MAX_BITS = 8, 26
_SIGN_BITS = 20
_MAX_WEIGHT = 32767


# What a file that is no model, or a damaged one, makes numpy and zipfile raise; the second line: where the header of an
# array promises more than there can be, or is none.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error,
               MemoryError, OverflowError, SyntaxError, tokenize.TokenError)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityModel:
    """A linear classifier of documents.

    bits        the table has 2^bits weights
    features    uint32[n]: indices of the weights that are not zero, sorted
    weights     int16[n], in units of `scale`
    slope, offset    from the decision to the log odds (Platt 1999)
    facts       what it was trained on: numbers and texts for a person
    """

    kind: ClassVar[str] = "quality"
    """What it judges. A subclass has other features, and `sign` tells theirs."""

    bits: int
    features: NDArray[np.uint32]
    weights: NDArray[np.int16]
    scale: float
    intercept: float
    slope: float
    offset: float
    facts: Mapping[str, Any]

    @cached_property
    def table(self) -> NDArray[np.int16]:
        """int16[2^bits]: the weights, in units of `scale`."""
        table = np.zeros(1 << self.bits, np.int16)
        table[self.features] = self.weights
        return frozen(table)

    def decisions(self, batch: TextBatch) -> NDArray[np.float64]:
        """The classifier's linear function of each document; positive is good."""
        decisions = np.empty(len(batch), np.float64)
        decide(batch.words.firsts, batch.folded_hashes, self.bits, self.table, *scratch(batch, self.bits), decisions)
        return self.scale * decisions + self.intercept

    def probabilities(self, decisions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities of the positive class."""
        odds = self.slope * decisions + self.offset
        return np.asarray(0.5 * (1 + np.tanh(odds / 2)), np.float64)  # the logistic function, without overflow

    def scores(self, batch: TextBatch) -> NDArray[np.float64]:
        """Probability of the positive class for each document."""
        return self.probabilities(self.decisions(batch))

    @classmethod
    def of_coefficients(
        cls, bits: int, features: NDArray[np.int64], coefficients: NDArray[np.float64], intercept: float
    ) -> Self:
        """A model of a linear function, in 16 bits a weight. Its probabilities are not calibrated yet."""
        scale = float(np.abs(coefficients).max()) / _MAX_WEIGHT or 1.0
        weights = np.rint(coefficients / scale).astype(np.int16)
        kept = weights != 0
        return cls(
            bits=bits,
            features=features[kept].astype(np.uint32),
            weights=weights[kept],
            scale=scale,
            intercept=intercept,
            slope=1.0,
            offset=0.0,
            facts={},
        )

    def save(self, path: Path) -> str:
        """Writes the model in one step; returns the file's sha256. The same model gives the same bytes."""
        arrays = self._arrays()
        stream = io.BytesIO()
        np.savez_compressed(stream, digest=np.array(_digest(arrays)), **arrays)
        content = stream.getvalue()
        with atomic_file(path) as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads and checks a model.

        Raises:
            InputError: if the file is missing, damaged, of another kind or of another version.
        """
        again = f"train it anew with `corpusmill train {cls.kind}`"
        if not path.is_file():
            raise InputError(f"{path}: there is no such {cls.kind} model; make one with `corpusmill train {cls.kind}`")
        try:
            with open(path, "rb") as stream:
                stored = np.load(stream, allow_pickle=False)
                if not isinstance(stored, NpzFile):
                    raise InputError(f"{path}: is a single array and no {cls.kind} model; {again}")
                arrays = {name: stored[name] for name in stored.files}
        except _UNREADABLE as error:
            # numpy's own words say how to open a pickle, which no user of ours should.
            why = "it is or holds a pickle" if "allow_pickle" in str(error) else error
            raise InputError(
                f"{path}: is no {cls.kind} model, or a damaged one ({why}); restore it or {again}"
            ) from error
        version = arrays.get("format", np.array("none"))
        if version.shape != () or version.dtype.kind != "i" or int(version) != FORMAT:
            raise InputError(
                f"{path}: its format is {version}, and {cls.kind} models here are of format {FORMAT}; {again}"
            )
        if str(arrays.pop("digest", "")) != _digest(arrays):
            raise InputError(f"{path}: differs from the {cls.kind} model that was written there; restore it or {again}")
        settings = json.loads(str(arrays["settings"]))
        if (kind := settings.get("kind", QualityModel.kind)) != cls.kind:
            raise InputError(f"{path}: is a {kind} model and no {cls.kind} model; name another, or {again}")
        if settings.get("hashes") != cls.sign():
            raise InputError(f"{path}: its words were hashed by another version of corpusmill than this; {again}")
        return cls(
            bits=int(settings["bits"]),
            features=arrays["features"],
            weights=arrays["weights"],
            scale=float(arrays["scale"]),
            intercept=float(arrays["intercept"]),
            slope=float(arrays["slope"]),
            offset=float(arrays["offset"]),
            facts=json.loads(str(arrays["facts"])),
        )

    @staticmethod
    def sign() -> str:
        """What the features of some words are: a model whose sign is another cannot be used."""
        return hashes_sign()

    def _arrays(self) -> dict[str, Any]:
        settings = {"bits": self.bits, "hashes": self.sign()}
        if self.kind != QualityModel.kind:
            settings["kind"] = self.kind
        return {
            "format": np.array(FORMAT, np.int64),
            "settings": np.array(json.dumps(settings, sort_keys=True)),
            "facts": np.array(json.dumps(dict(self.facts), sort_keys=True)),
            "features": self.features,
            "weights": self.weights,
            **{name: np.array(getattr(self, name), np.float64) for name in ("scale", "intercept", "slope", "offset")},
        }


def hashes_sign() -> str:
    """What the hash functions make of some words: another sign means that a model's features are others now."""
    batch = TextBatch(pa.RecordBatch.from_pydict({"text": ["Ça va, 7 ÆON words! 文字 and_so on"]}))
    row_ends, columns = np.empty(1, np.int64), np.empty(2 * len(batch.words.starts), np.int32)
    feature_rows(batch.words.firsts, batch.folded_hashes, _SIGN_BITS, *scratch(batch, _SIGN_BITS), row_ends, columns)
    return hashlib.sha256(columns[: row_ends[0]].astype("<i4").tobytes()).hexdigest()[:16]


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def scratch(batch: TextBatch, bits: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """What the kernels below work in: a clear set of features, and room for those of the longest document."""
    longest = int(np.diff(batch.words.firsts).max(initial=0))
    return np.zeros((1 << bits) // 8, np.uint8), np.empty(2 * longest, np.uint32)


@kernel
def decide(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    bits: int,
    table: NDArray[np.int16],
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
    decisions: NDArray[np.float64],
) -> None:
    """The dot product of each document's feature vector (of length 1; 0 for an empty one) with the weights."""
    for document in range(firsts.shape[0] - 1):
        count = words_and_pairs(hashes, firsts[document], firsts[document + 1], bits, seen, features)
        clear(seen, features, count)
        decisions[document] = weight(table, features, count) / np.sqrt(count) if count else 0.0


@kernel
def feature_rows(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    bits: int,
    seen: NDArray[np.uint8],
    features: NDArray[np.uint32],
    row_ends: NDArray[np.int64],
    columns: NDArray[np.int32],
) -> None:
    """The features of each document, as the rows of a sparse matrix: `columns` up to each of `row_ends`."""
    written = 0
    for document in range(firsts.shape[0] - 1):
        count = words_and_pairs(hashes, firsts[document], firsts[document + 1], bits, seen, features)
        clear(seen, features, count)
        for index in range(count):
            columns[written + index] = features[index]
        written += count
        row_ends[document] = written
