"""Trains the quality classifier: `corpusmill train quality --positive … --negative … --out model.npz`.

Logistic regression (scikit-learn's liblinear, which has one thread and so one result) over the features of
quality_model.py, with both classes weighing the same. Texts that are equal count once; one that stands in both classes
says nothing, and is left out. A share of each class is held out, chosen by a keyed hash of the text, so that the choice
depends neither on the order nor on the other texts. Half of the held-out texts calibrate the decisions (Platt 1999,
"Probabilistic outputs for support vector machines", with its smoothed targets), and the other half tell how good that
is.

The same texts and the same seed give the same bytes, in whatever order and batches they come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters.quality_model import MAX_BITS, MIN_BITS, QualityModel, feature_rows, scratch

_BATCH_CHARACTERS = 4_000_000
_MIN_DOCUMENTS = 20  # different ones, of each class: four are held out, two for calibration and two for evaluation
_RELIABILITY_BINS = 10
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """What became of the documents whose score fell between two bounds; both classes weigh the same."""

    low: float
    high: float
    documents: int
    mean_score: float
    positive_share: float


@dataclass(frozen=True, slots=True)
class TrainedQuality:
    """A trained model and how it did on documents that it was not trained on."""

    model: QualityModel
    auc: float
    """ROC AUC on all held-out texts."""
    reliability: tuple[ReliabilityRow, ...]
    """Scores of the held-out texts that did not calibrate them, in ten bins; empty bins are left out."""

    def save(self, path: Path) -> str:
        """Writes the model in one step; returns the file's sha256."""
        return self.model.save(path)


def train_quality(
    positive: Iterable[pa.StringArray],
    negative: Iterable[pa.StringArray],
    *,
    seed: int = 0,
    bits: int = 20,
    held_out: float = 0.2,
    inverse_regularization: float = 10.0,
    min_documents: int = 2,
    max_documents: int = 50_000,
) -> TrainedQuality:
    """Trains a classifier that tells `positive` texts from `negative` ones.

    Args:
        positive: batches of texts; nulls and empty texts are passed over.
        negative: the same.
        seed: decides which texts are held out, and which are taken where there are too many.
        bits: the table of weights has 2^bits entries, 8 to 26.
        held_out: share of each class that is not trained on.
        inverse_regularization: scikit-learn's C; ten was best on sources that training had not seen (docs/log.md).
        min_documents: a feature of fewer training texts gets no weight, which makes the model small.
        max_documents: different texts of each class; of more, a sample is taken, which bounds memory.

    Raises:
        InputError: if a class has too few different texts, or a setting is out of its range.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise InputError(f"bits: {bits} is out of range; use {MIN_BITS} to {MAX_BITS}")
    if not 0.05 <= held_out <= 0.5:
        raise InputError(f"held_out: {held_out} is out of range; use 0.05 to 0.5")
    good = _Class("positive", bits, seed, max_documents).taken(positive)
    bad = _Class("negative", bits, seed, max_documents).taken(negative)
    contradictions = good.without(bad.keys)
    bad.without(good.dropped)
    for texts in (good, bad):
        if len(texts.keys) < _MIN_DOCUMENTS:
            raise InputError(
                f"{texts.name} texts: {len(texts.keys)} different ones are too few to train on and to test with; give "
                f"{_MIN_DOCUMENTS} or more that do not stand among the others, too"
            )
    parts = [texts.parts(held_out) for texts in (good, bad)]
    training, calibration, evaluation = (_joined(parts[0][part], parts[1][part]) for part in range(3))
    uncalibrated = _fitted(*training, bits, inverse_regularization, min_documents)
    calibration_decisions, evaluation_decisions = (
        decisions_of(rows, uncalibrated) for rows, _ in (calibration, evaluation)
    )
    slope, offset = platt(calibration_decisions, calibration[1])
    labels = np.concatenate((calibration[1], evaluation[1]))
    auc = float(roc_auc_score(labels, np.concatenate((calibration_decisions, evaluation_decisions))))
    facts = {
        "contradictions": contradictions,
        "held_out_auc": auc,
        "held_out_documents": len(labels),
        "inverse_regularization": inverse_regularization,
        "min_documents": min_documents,
        "negative": {"documents": bad.given, "different": len(bad.keys)},
        "positive": {"documents": good.given, "different": len(good.keys)},
        "seed": seed,
    }
    model = replace(uncalibrated, slope=slope, offset=offset, facts=facts)
    return TrainedQuality(model, auc, reliability(model.probabilities(evaluation_decisions), evaluation[1]))


class _Class:
    """The features of one class's different texts, sorted by key: a hash of text and seed."""

    def __init__(self, name: str, bits: int, seed: int, most: int) -> None:
        self.name = name
        self.given = 0
        self.keys = np.empty(0, np.uint64)
        self.dropped = np.empty(0, np.uint64)
        self._rows = csr_matrix((0, 1 << bits), dtype=np.uint8)
        self._bits, self._seed, self._most = bits, seed, most

    def taken(self, batches: Iterable[pa.StringArray]) -> _Class:
        """Reads the class. Features of no more than `most` texts and a batch are kept while reading."""
        keys, rows, waiting = [self.keys], [self._rows], 0
        for texts in batches:
            batch = _batch(texts)
            self.given += len(batch)
            keys.append(_keys(batch, self._seed))
            rows.append(_rows(batch, self._bits))
            waiting += len(batch)
            if waiting > self._most:
                self._merge(keys, rows)
                keys, rows, waiting = [self.keys], [self._rows], 0
        self._merge(keys, rows)
        return self

    def _merge(self, keys: list[NDArray[np.uint64]], rows: list[csr_matrix]) -> None:
        self.keys, first = np.unique(np.concatenate(keys), return_index=True)
        self.keys = self.keys[: self._most]
        self._rows = vstack(rows, format="csr")[first[: self._most]]

    def without(self, others: NDArray[np.uint64]) -> int:
        """Removes the texts that the other class has, too; returns how many."""
        shared = np.isin(self.keys, others)
        self.dropped = self.keys[shared]
        self.keys, self._rows = self.keys[~shared], self._rows[~shared]
        return int(shared.sum())

    def parts(self, held_out: float) -> tuple[csr_matrix, csr_matrix, csr_matrix]:
        """Rows for training, calibration and evaluation."""
        half = max(2, round(len(self.keys) * held_out / 2))
        return self._rows[2 * half :], self._rows[:half], self._rows[half : 2 * half]


def _batch(texts: pa.StringArray) -> TextBatch:
    texts = texts.filter(pc.greater(pc.binary_length(texts), 0))
    return TextBatch(pa.RecordBatch.from_arrays([texts.cast(pa.string())], names=["text"]))


def _keys(batch: TextBatch, seed: int) -> NDArray[np.uint64]:
    """uint64[documents]: equal for equal texts, in another order for each seed."""
    with np.errstate(over="ignore"):
        keys = batch.document_hashes[0] ^ (np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15))
        for shift in (32, 29):
            keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(0xD6E8FEB86659FD93)
    return np.asarray(keys ^ (keys >> np.uint64(32)), np.uint64)


def _rows(batch: TextBatch, bits: int) -> csr_matrix:
    """The features of each text, each 1."""
    row_ends = np.empty(len(batch), np.int64)
    columns = np.empty(2 * len(batch.words.starts), np.int32)
    feature_rows(batch.words.firsts, batch.folded_hashes, bits, *scratch(batch, bits), row_ends, columns)
    columns = columns[: row_ends[-1] if len(batch) else 0]
    bounds = np.concatenate((np.zeros(1, np.int64), row_ends))
    return csr_matrix((np.ones(len(columns), np.uint8), columns.copy(), bounds), shape=(len(batch), 1 << bits))


def _joined(positive: csr_matrix, negative: csr_matrix) -> tuple[csr_matrix, NDArray[np.int8]]:
    """Feature vectors of length 1, and 1 for each positive one, 0 for each negative."""
    rows = vstack([positive, negative], format="csr", dtype=np.float64)
    counts = np.diff(rows.indptr)
    rows.data = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    rows.sort_indices()
    return rows, np.repeat(np.array([1, 0], np.int8), (positive.shape[0], negative.shape[0]))


def _fitted(
    rows: csr_matrix, labels: NDArray[np.int8], bits: int, inverse_regularization: float, min_documents: int
) -> QualityModel:
    """A model whose probabilities are not calibrated yet."""
    features = np.flatnonzero(np.bincount(rows.indices, minlength=1 << bits) >= min_documents)
    if len(features) == 0:
        raise InputError(
            f"no word stands in {min_documents} of {len(labels)} training texts; give more texts or lower min_documents"
        )
    regression = LogisticRegression(
        C=inverse_regularization, class_weight="balanced", solver="liblinear", max_iter=_MAX_ITERATIONS, random_state=0
    ).fit(rows[:, features], labels)
    return QualityModel.of_coefficients(bits, features, regression.coef_[0], float(regression.intercept_[0]))


def decisions_of(rows: csr_matrix, model: QualityModel) -> NDArray[np.float64]:
    """The linear function of each row of features."""
    return np.asarray(rows[:, model.features] @ model.weights.astype(np.float64) * model.scale + model.intercept)


def platt(decisions: NDArray[np.float64], labels: NDArray[np.int8]) -> tuple[float, float]:
    """Slope and offset of the log odds, with both classes weighing the same; the slope is never negative.

    Targets are (n + 1) / (n + 2) and 1 / (n + 2) instead of 1 and 0, so that separable classes have a finite slope.
    """
    counts = np.bincount(labels, minlength=2)
    targets = np.where(labels == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
    weights = 1 / counts[labels]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = parameters[0] * decisions + parameters[1]
        value = float(np.sum(weights * (np.logaddexp(0, odds) - targets * odds)))
        error = weights * (0.5 * (1 + np.tanh(odds / 2)) - targets)
        return value, np.array([np.sum(error * decisions), np.sum(error)])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def reliability(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> tuple[ReliabilityRow, ...]:
    """How often documents of about the same score are positive, were both classes equally common."""
    weights = 1 / np.bincount(labels, minlength=2)[labels]
    bins = np.minimum((scores * _RELIABILITY_BINS).astype(np.int64), _RELIABILITY_BINS - 1)
    return tuple(
        ReliabilityRow(
            low=part / _RELIABILITY_BINS,
            high=(part + 1) / _RELIABILITY_BINS,
            documents=int(inside.sum()),
            mean_score=float(np.average(scores[inside], weights=weights[inside])),
            positive_share=float(np.average(labels[inside], weights=weights[inside])),
        )
        for part in range(_RELIABILITY_BINS)
        if (inside := bins == part).any()
    )
