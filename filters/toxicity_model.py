"""The model of the toxicity stage: the quality model's form over the features of toxicity_kernels.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, FOLD
from corpusmill.documents.compiled import frozen
from corpusmill.filters import toxicity_kernels as kernels
from corpusmill.filters.quality_model import QualityModel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_SIGN_BITS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """The sentences of a batch: those of document d are `firsts[d]` to `firsts[d + 1]`, and sentence s has the words
    `bounds[s]` to `bounds[s + 1]`."""

    firsts: NDArray[np.int32]
    bounds: NDArray[np.int32]


def sentences_of(batch: TextBatch) -> Sentences:
    """The sentences, as toxicity_kernels.py says what one is. A document without words has none."""
    words = batch.words
    firsts, bounds = np.empty(len(batch) + 1, np.int32), np.empty(len(words.starts) + 1, np.int32)
    found = kernels.find_sentences(
        batch.text, CLASSES, words.firsts, words.starts, words.ends, words.kinds, firsts, bounds
    )
    return Sentences(frozen(firsts), frozen(bounds[: found + 1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class ToxicityModel(QualityModel):
    """A linear classifier of sentences, whose positive class is the toxic one."""

    kind: ClassVar[str] = "toxicity"

    def decisions(self, batch: TextBatch) -> NDArray[np.float64]:
        """The classifier's linear function of each document as a whole; positive is toxic."""
        return self.range_decisions(batch, batch.words.firsts)

    def range_decisions(self, batch: TextBatch, bounds: NDArray[np.int32]) -> NDArray[np.float64]:
        """The linear function of each range of words, from `bounds[r]` to `bounds[r + 1]`."""
        decisions = np.empty(len(bounds) - 1, np.float64)
        kernels.decide_ranges(
            *_inputs(batch), bounds, self.bits, self.table, *_scratch(batch, bounds, self.bits), decisions
        )
        return self.scale * decisions + self.intercept

    def sentence_scores(self, batch: TextBatch, sentences: Sentences) -> NDArray[np.float64]:
        """The probability that each sentence is toxic."""
        return self.probabilities(self.range_decisions(batch, sentences.bounds))

    @staticmethod
    def sign() -> str:
        return _sign()


@lru_cache(maxsize=1)
def _sign() -> str:
    batch = TextBatch(pa.RecordBatch.from_pydict({"text": ["Ça va, y0u $tup1d ÆON woooords! 文字 and_so on"]}))
    columns = feature_matrix(batch, batch.words.firsts, _SIGN_BITS).indices
    return hashlib.sha256(columns.astype("<i4").tobytes()).hexdigest()[:16]


def feature_matrix(batch: TextBatch, bounds: NDArray[np.int32], bits: int) -> csr_matrix:
    """The features of each range of words, each 1: uint8[ranges, 2^bits]."""
    from scipy.sparse import csr_matrix  # in 0.2 s, which who only looks words up need not wait for

    row_ends = np.empty(len(bounds) - 1, np.int64)
    columns = np.empty(4 * len(batch.words.starts) + batch.n_bytes, np.int32)
    kernels.range_features(*_inputs(batch), bounds, bits, *_scratch(batch, bounds, bits), row_ends, columns)
    ends = np.concatenate((np.zeros(1, np.int64), row_ends))
    taken = columns[: ends[-1]].copy()
    return csr_matrix((np.ones(len(taken), np.uint8), taken, ends), shape=(len(row_ends), 1 << bits))


def _inputs(
    batch: TextBatch,
) -> tuple[
    NDArray[np.uint8],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.uint8],
    NDArray[np.uint64],
]:
    """What the kernels read of a batch."""
    words = batch.words
    return batch.text, FOLD, kernels.DRAWN, words.starts, words.ends, words.kinds, batch.folded_hashes


def _scratch(batch: TextBatch, bounds: NDArray[np.int32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """What the kernels work in: a clear set of features, and room for those of the longest range."""
    words = batch.words
    filled = bounds[1:] > bounds[:-1]
    first, last = bounds[:-1][filled], bounds[1:][filled]
    room = 4 * (last - first) + words.ends[last - 1] - words.starts[first]
    return np.zeros((1 << bits) // 8, np.uint8), np.empty(int(room.max(initial=0)), np.uint32)
