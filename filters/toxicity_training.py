"""Trains and evaluates the toxicity classifier: `corpusmill train toxicity`, `corpusmill evaluate toxicity`.

Comments come from a CSV file, by default with the columns of the Jigsaw Toxic Comment Classification Challenge (2018):
id, comment_text, toxic, severe_toxic, obscene, threat, insult, identity_hate. A comment is toxic if one of the columns
asked for says so; -1, with which Jigsaw marks comments that nobody judged, leaves it out.

Logistic regression (scikit-learn's liblinear: one thread, one result) over the features of toxicity_kernels.py, both
classes weighing the same. Equal comments count once, and those judged both ways not at all. Folds are drawn by a keyed
hash of the comment, so that they depend neither on the order nor on other comments: a model for each of five folds
scores the comments that it has not seen; these scores give the ROC AUC and calibrate the model (Platt 1999), which is
trained on all comments in the end.

Comments alone teach a model comments: what it knows from neither class, such as the prose of a book, it calls toxic one
time in three. So ordinary texts can be given, too, whose sentences are learned as not toxic, as Dixon et al. (2018,
doi:10.1145/3278721.3278729) gave articles of Wikipedia. All of them weigh as much as all comments that are not toxic.
On 1,000 comments and 20,000 sentences of old books that takes the share of Wikipedia's sentences that are called toxic
from .28 to .04 (docs/log.md).

Evaluation adds what a single figure hides: how often sentences that name a group of people, and sentences of medicine,
are taken for toxic. These sentences are ours (toxicity_probes.py), and none of them is toxic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters.quality_model import MAX_BITS, MIN_BITS
from corpusmill.filters.quality_training import ReliabilityRow, decisions_of, platt, reliability
from corpusmill.filters.toxicity_kernels import MIN_SENTENCE_WORDS, PRIOR_FEATURES
from corpusmill.filters.toxicity_model import ToxicityModel, feature_matrix, sentences_of
from corpusmill.filters.toxicity_probes import identity_sentences, medical_sentences

JIGSAW_TEXT, JIGSAW_LABEL, JIGSAW_POSITIVE = "comment_text", "toxic", "1"
FOLDS = 5
_UNJUDGED = "-1"
_MIN_COMMENTS = 20  # different ones, of each class
_MAX_ITERATIONS = 1000
_BATCH_CHARACTERS = 4_000_000
_BLOCK_BYTES = 64_000_000  # of CSV: no comment may be longer
_SHOWN = 8
_CLEAN_SHARE = 0.5  # of the weight of what is not toxic


@dataclass(frozen=True, slots=True)
class Comments:
    """Judged comments: different texts, and whether each is toxic."""

    texts: pa.StringArray
    toxic: NDArray[np.bool_]
    given: int
    """Rows that were judged, before equal and contradictory ones went."""


@dataclass(frozen=True, slots=True)
class TrainedToxicity:
    """A trained model and how it did on comments that its folds had not seen."""

    model: ToxicityModel
    auc: float
    """ROC AUC, five-fold cross-validated, of comments as wholes."""
    reliability: tuple[ReliabilityRow, ...]
    """Cross-validated scores in ten bins."""

    def save(self, path: Path) -> str:
        """Writes the model in one step; returns the file's sha256."""
        return self.model.save(path)


def read_comments(
    path: Path,
    *,
    text_column: str = JIGSAW_TEXT,
    label_columns: Sequence[str] = (JIGSAW_LABEL,),
    positive_value: str = JIGSAW_POSITIVE,
) -> Comments:
    """Reads judged comments from a CSV file (plain or .gz).

    Raises:
        InputError: if the file is missing or no CSV, lacks a column, or has comments of one class alone.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such CSV file of comments")
    columns = [text_column, *label_columns]
    try:
        table = pv.read_csv(
            path,
            read_options=pv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pv.ParseOptions(newlines_in_values=True),
            convert_options=pv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); restore it, or write it anew as UTF-8") from error
    for column in columns:
        if column not in table.column_names:
            raise InputError(
                f'{path}: has no column "{column}", but {", ".join(table.column_names[:_SHOWN])}; name the columns '
                "with --text-column and --label-column"
            )
    labels = [table[column].combine_chunks() for column in label_columns]
    judged = np.ones(len(table), np.bool_)
    toxic = np.zeros(len(table), np.bool_)
    for values in labels:
        judged &= pc.not_equal(values, _UNJUDGED).to_numpy(zero_copy_only=False)
        toxic |= pc.equal(values, positive_value).to_numpy(zero_copy_only=False)
    texts = table[text_column].combine_chunks()
    judged &= pc.greater(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0).to_numpy(zero_copy_only=False)
    given = int(judged.sum())
    for wanted, name in ((toxic, "toxic"), (~toxic, "not toxic")):
        if not (wanted & judged).any():
            found = ", ".join(sorted({value for values in labels for value in values.unique().to_pylist()})[:_SHOWN])
            raise InputError(
                f"{path}: of {given:,} judged comments none is {name}; {' and '.join(label_columns)} hold {found}, and "
                f'"{positive_value}" means toxic: name another with --positive-value'
            )
    return _different(texts.filter(pa.array(judged)), toxic[judged], given)


def _different(texts: pa.StringArray, toxic: NDArray[np.bool_], given: int) -> Comments:
    """Each text once, in the order of its hash, without those judged both ways."""
    keys = _keys(texts)
    order = np.argsort(keys, kind="stable")
    keys, toxic = keys[order], toxic[order]
    new = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    votes = np.add.reduceat(toxic.astype(np.int64), new)
    agreed = (votes == 0) | (votes == np.diff(np.append(new, len(keys))))
    chosen = new[agreed]
    return Comments(texts.take(pa.array(order[chosen])), toxic[chosen], given)


def _keys(texts: pa.StringArray) -> NDArray[np.uint64]:
    """uint64[texts]: equal for equal texts."""
    return TextBatch(pa.RecordBatch.from_arrays([texts], names=["text"])).document_hashes[0]


def train_toxicity(
    comments: Comments,
    *,
    clean: Iterable[pa.StringArray] = (),
    seed: int = 0,
    bits: int = 20,
    inverse_regularization: float = 1.0,
    min_comments: int = 2,
    max_clean: int = 20_000,
) -> TrainedToxicity:
    """Trains a classifier that tells toxic comments from others.

    Args:
        comments: judged comments.
        clean: batches of ordinary texts, whose sentences are taken for not toxic.
        seed: decides the folds, and which sentences are taken where there are too many.
        bits: the table of weights has 2^bits entries, 8 to 26.
        inverse_regularization: scikit-learn's C.
        min_comments: a feature of fewer comments gets no weight, which makes the model small.
        max_clean: different clean sentences; of more, a sample is taken.

    Raises:
        InputError: if a class has too few different comments, or a setting is out of its range.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise InputError(f"bits: {bits} is out of range; use {MIN_BITS} to {MAX_BITS}")
    for wanted, name in ((comments.toxic, "toxic"), (~comments.toxic, "other")):
        if int(wanted.sum()) < _MIN_COMMENTS:
            raise InputError(
                f"{name} comments: {int(wanted.sum())} different ones are too few to learn from; give "
                f"{_MIN_COMMENTS} or more"
            )
    sentences = _clean_sentences(clean, seed, max_clean)
    ordinary = _normal(_features(sentences, bits))
    rows, labels = _normal(_features(comments.texts, bits)), comments.toxic.astype(np.int8)
    folds = folds_of(comments.texts, seed)
    settings = (bits, inverse_regularization, min_comments)
    decisions = np.empty(len(labels), np.float64)
    for fold in range(FOLDS):
        unseen = folds == fold
        part = _fitted(rows[~unseen], labels[~unseen], ordinary, *settings)
        decisions[unseen] = decisions_of(rows[unseen], part)
    auc = float(roc_auc_score(labels, decisions))
    slope, offset = platt(decisions, labels)
    facts = {
        "clean_sentences": len(sentences),
        "comments": {"given": comments.given, "different": len(labels), "toxic": int(labels.sum())},
        "cross_validated_auc": auc,
        "inverse_regularization": inverse_regularization,
        "min_comments": min_comments,
        "seed": seed,
    }
    model = replace(_fitted(rows, labels, ordinary, *settings), slope=slope, offset=offset, facts=facts)
    return TrainedToxicity(model, auc, reliability(model.probabilities(decisions), labels))


def _clean_sentences(texts: Iterable[pa.StringArray], seed: int, most: int) -> pa.StringArray:
    """Different sentences of `texts`, the `most` of lowest hash; those of under three words say too little."""
    chosen = pa.array([], pa.string())
    for batch_texts in texts:
        for batch in _batches(batch_texts):
            bounds = sentences_of(batch).bounds
            words = batch.words
            long = np.flatnonzero(np.diff(bounds) >= MIN_SENTENCE_WORDS)
            spans = zip(words.starts[bounds[long]].tolist(), words.ends[bounds[long + 1] - 1].tolist(), strict=True)
            found = pa.array([batch.text[start:end].tobytes().decode() for start, end in spans], pa.string())
            everything = pa.concat_arrays([chosen, found])
            _, first = np.unique(_seeded_keys(everything, seed), return_index=True)
            chosen = everything.take(pa.array(first[:most]))
    return chosen


def folds_of(texts: pa.StringArray, seed: int) -> NDArray[np.int64]:
    """int64[texts]: the fold of each text, 0 to FOLDS - 1, by a hash keyed with the seed."""
    return ((_seeded_keys(texts, seed) >> np.uint64(32)) % np.uint64(FOLDS)).astype(np.int64)


def _seeded_keys(texts: pa.StringArray, seed: int) -> NDArray[np.uint64]:
    """uint64[texts]: equal for equal texts, in another order for each seed."""
    with np.errstate(over="ignore"):
        return (_keys(texts) ^ np.uint64(seed % 2**64)) * np.uint64(0x9E3779B97F4A7C15)


def _features(texts: pa.StringArray, bits: int) -> csr_matrix:
    """The features of each comment as a whole, each 1."""
    return vstack(
        [csr_matrix((0, 1 << bits), dtype=np.uint8)]
        + [feature_matrix(batch, batch.words.firsts, bits) for batch in _batches(texts)],
        format="csr",
    )


def _batches(texts: pa.StringArray) -> list[TextBatch]:
    lengths = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False))
    cuts = np.searchsorted(lengths, np.arange(_BATCH_CHARACTERS, lengths[-1] if len(lengths) else 0, _BATCH_CHARACTERS))
    bounds = np.unique(np.concatenate(([0], cuts, [len(texts)])))
    return [
        TextBatch(pa.RecordBatch.from_arrays([texts[int(first) : int(last)]], names=["text"]))
        for first, last in pairwise(bounds)
    ]


def _normal(rows: csr_matrix) -> csr_matrix:
    """Feature vectors as the kernels weigh them."""
    counts = np.diff(rows.indptr)
    rows = rows.astype(np.float64)
    rows.data = np.repeat(1 / np.sqrt(counts + PRIOR_FEATURES), counts)
    rows.sort_indices()
    return rows


def _fitted(
    comments: csr_matrix,
    toxic: NDArray[np.int8],
    clean: csr_matrix,
    bits: int,
    inverse_regularization: float,
    min_comments: int,
) -> ToxicityModel:
    """A model whose probabilities are not calibrated yet."""
    rows = vstack([comments, clean], format="csr")
    labels = np.concatenate((toxic, np.zeros(clean.shape[0], np.int8)))
    features = np.flatnonzero(np.bincount(rows.indices, minlength=1 << bits) >= min_comments)
    if len(features) == 0:
        raise InputError(f"no word stands in {min_comments} of {len(labels)} comments; give more comments")
    # Both classes weigh the same, and within that of what is not toxic, comments and clean sentences.
    share = _CLEAN_SHARE if clean.shape[0] else 0.0
    n_toxic = int(toxic.sum())
    weights_of = np.where(toxic == 1, 0.5 / n_toxic, 0.5 * (1 - share) / (len(toxic) - n_toxic))
    weights_of = np.concatenate((weights_of, np.full(clean.shape[0], 0.5 * share / max(clean.shape[0], 1))))
    # What is rare may weigh more (inverse document frequency); as a factor of the weight it costs nothing to score.
    counts = np.bincount(rows.indices, minlength=1 << bits)[features]
    rarity = 1 + np.log((1 + len(labels)) / (1 + counts))
    regression = LogisticRegression(
        C=inverse_regularization, solver="liblinear", max_iter=_MAX_ITERATIONS, random_state=0
    ).fit(rows[:, features] @ diags(rarity).tocsr(), labels, sample_weight=weights_of * len(labels))
    return ToxicityModel.of_coefficients(bits, features, regression.coef_[0] * rarity, float(regression.intercept_[0]))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model does on judged comments and on sentences that are not toxic.

    A comment's score is that of its most toxic sentence, as the stage's `max_score` is.
    """

    comments: int
    toxic: int
    auc: float
    threshold: float
    precision: float
    recall: float
    identity_rates: dict[str, tuple[int, float]]
    """Of each group's sentences: how many there are, and the share taken for toxic."""
    medical: tuple[int, float]

    @property
    def identity_rate(self) -> float:
        """The share of all identity sentences that are taken for toxic."""
        counts = list(self.identity_rates.values())
        return sum(count * rate for count, rate in counts) / sum(count for count, _ in counts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "comments": self.comments,
            "toxic": self.toxic,
            "roc_auc": self.auc,
            "threshold": self.threshold,
            "precision": self.precision,
            "recall": self.recall,
            "identity_false_positive_rate": self.identity_rate,
            "identity_false_positive_rates": {name: rate for name, (_, rate) in self.identity_rates.items()},
            "medical_false_positive_rate": self.medical[1],
        }


def evaluate_toxicity(model: ToxicityModel, comments: Comments, *, threshold: float = 0.9) -> Evaluation:
    """Evaluates a model on judged comments and on our probes.

    Comments that the model was trained on flatter it: give others, or read the cross-validated AUC of its training.
    """
    scores = highest_scores(model, comments.texts)
    flagged = scores >= threshold
    hits = int((flagged & comments.toxic).sum())

    def rate(sentences: Sequence[str]) -> tuple[int, float]:
        return len(sentences), float((highest_scores(model, pa.array(sentences)) >= threshold).mean())

    return Evaluation(
        comments=len(scores),
        toxic=int(comments.toxic.sum()),
        auc=float(roc_auc_score(comments.toxic, scores)),
        threshold=threshold,
        precision=hits / max(int(flagged.sum()), 1),
        recall=hits / int(comments.toxic.sum()),
        identity_rates={group: rate(sentences) for group, sentences in identity_sentences().items()},
        medical=rate(medical_sentences()),
    )


def highest_scores(model: ToxicityModel, texts: pa.StringArray) -> NDArray[np.float64]:
    """The score of each text's most toxic sentence; 0 where there is none."""
    found = []
    for batch in _batches(texts):
        sentences = sentences_of(batch)
        scores = np.append(model.sentence_scores(batch, sentences), 0.0)
        firsts = sentences.firsts
        highest = np.maximum.reduceat(scores, firsts[:-1]) if len(batch) else scores[:0]
        found.append(np.where(firsts[1:] > firsts[:-1], highest, 0.0))
    return np.concatenate(found) if found else np.empty(0, np.float64)


def evaluation_text(found: Evaluation) -> str:
    """An evaluation as lines for a person."""
    rows = [
        ("comments", f"{found.comments:,}, of them {found.toxic:,} toxic"),
        ("ROC AUC", f"{found.auc:.4f}"),
        (f"precision at {found.threshold:g}", f"{found.precision:.3f}"),
        (f"recall at {found.threshold:g}", f"{found.recall:.3f}"),
        ("taken for toxic, though they are not:", ""),
        *((f"  {group}", f"{rate:.3f} of {count} sentences") for group, (count, rate) in found.identity_rates.items()),
        ("  all groups", f"{found.identity_rate:.3f}"),
        ("  medicine", f"{found.medical[1]:.3f} of {found.medical[0]} sentences"),
    ]
    return "\n".join(f"{name:<28}{value}".rstrip() for name, value in rows)
