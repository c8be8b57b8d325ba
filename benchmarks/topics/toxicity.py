"""The toxicity classifier on judged comments, beside plain baselines, and what it takes for toxic that is not.

Accuracy: surge-ai's 1,000 social-media comments, half of them toxic; five folds, the same for all. The baselines are
scikit-learn's TF-IDF (words; words and pairs; four characters within words) with logistic regression, each with its
default of C = 1 and with our 10. No off-the-shelf classifier is beside it: those that are good need a download of their
weights. Clean sentences are of 80 old books. Probes are ours (filters/toxicity_probes.py). False alarms
on ordinary text: sentences of Wikipedia articles, which no model saw.

    figure toxicity_auc                    ROC AUC, five-fold cross-validated, comments and clean sentences
    figure toxicity_auc_comments_only      the same, trained on comments alone
    figure toxicity_auc_tfidf              the best of the baselines
    figure toxicity_fpr_identity           share of identity sentences taken for toxic at .9
    figure toxicity_fpr_medical            of medical sentences
    figure toxicity_fpr_wikipedia          of Wikipedia's sentences
    figure toxicity_mb_per_s               measuring English prose by model and list, one core, words found before
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from harness import Benchmark, race, table
from prose import prose
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.toxicity import Toxicity
from corpusmill.filters.toxicity_model import ToxicityModel
from corpusmill.filters.toxicity_training import (
    FOLDS,
    Comments,
    TrainedToxicity,
    evaluate_toxicity,
    folds_of,
    highest_scores,
    read_comments,
    train_toxicity,
)
from corpusmill.filters.training_texts import training_texts

_THRESHOLDS = (0.5, 0.7, 0.9)


@cache
def _comments(data: Path) -> Comments:
    path = data / "quality" / "surge_toxicity_en.csv"
    return read_comments(path, text_column="text", label_columns=("is_toxic",), positive_value="Toxic")


@cache
def _trained(data: Path, clean: bool, quick: bool) -> TrainedToxicity:
    paths = sorted((data / "text" / "books_classic_markdown_a").rglob("*.md"))
    books = training_texts([str(path) for path in paths[: 5 if quick else None]]) if clean else ()
    return train_toxicity(_comments(data), clean=books, max_clean=2_000 if quick else 20_000)


def accuracy(benchmark: Benchmark) -> list[str]:
    """Cross-validates the classifier and its baselines, and counts false alarms."""
    data = benchmark.real_data()
    comments = _comments(data)
    baselines = {
        "TF-IDF of words": lambda: TfidfVectorizer(),
        "TF-IDF of words and pairs": lambda: TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        "TF-IDF of four characters": lambda: TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True),
    }
    plain = {
        f"{name}, C = {strength}": _baseline_auc(comments, vectors, strength)
        for name, vectors in baselines.items()
        for strength in ((10,) if benchmark.quick else (1, 10))
    }
    with_clean, alone = _trained(data, True, benchmark.quick), _trained(data, False, benchmark.quick)
    benchmark.figure("toxicity_auc", with_clean.auc)
    benchmark.figure("toxicity_auc_comments_only", alone.auc)
    benchmark.figure("toxicity_auc_tfidf", max(plain.values()))
    rows = [
        ["corpusmill, with clean sentences", with_clean.auc],
        ["corpusmill, comments alone", alone.auc],
        *([name, auc] for name, auc in plain.items()),
    ]
    articles = [path.read_text(encoding="utf-8") for path in sorted(_wikipedia(data).rglob("*")) if path.is_file()]
    sentences = [line for article in articles for line in article.split(" . ") if len(line.split()) > 4]
    sentences = sentences[:: 40 if benchmark.quick else 2]
    alarms = []
    for name, trained in (("with clean sentences", with_clean), ("comments alone", alone)):
        model = trained.model
        ordinary = highest_scores(model, pa.array(sentences))
        for threshold in _THRESHOLDS:
            told = evaluate_toxicity(model, comments, threshold=threshold)
            share = float((ordinary >= threshold).mean())
            worst = max(told.identity_rates, key=lambda group: told.identity_rates[group][1])
            alarms.append([
                f"{name}, {threshold}", _unseen_recall(trained, threshold), told.identity_rate,
                f"{worst} {told.identity_rates[worst][1]:.2f}", told.medical[1], share,
            ])  # fmt: skip
            if trained is with_clean and threshold == Toxicity(words="w").sentence_threshold:
                benchmark.figure("toxicity_fpr_identity", told.identity_rate)
                benchmark.figure("toxicity_fpr_medical", told.medical[1])
                benchmark.figure("toxicity_fpr_wikipedia", share)
    return [
        f"### Toxicity\n\nROC AUC on {len(comments.texts):,} comments, five-fold cross-validated.",
        table(["", "ROC AUC"], rows),
        "Recall on comments that a fold had not seen, and the shares of harmless sentences that are taken for toxic.",
        table(["training, threshold", "recall", "identity", "worst group", "medicine", "Wikipedia"], alarms),
    ]


def _wikipedia(data: Path) -> Path:
    return data / "text" / "wikitext2_valid_test" / "wikitext-2"


def _unseen_recall(trained: TrainedToxicity, threshold: float) -> float:
    """Of the toxic comments, the share whose cross-validated score reaches the threshold: by the table's bins."""
    toxic = {row.low: row.documents * row.positive_share for row in trained.reliability}
    return sum(count for low, count in toxic.items() if low >= threshold - 1e-9) / sum(toxic.values())


def _baseline_auc(comments: Comments, vectors: Callable[[], TfidfVectorizer], strength: float) -> float:
    texts, folds = np.array(comments.texts.to_pylist(), object), folds_of(comments.texts, 0)
    decisions = np.empty(len(texts))
    for fold in range(FOLDS):
        unseen = folds == fold
        model = make_pipeline(vectors(), LogisticRegression(C=strength, solver="liblinear", random_state=0))
        model.fit(texts[~unseen], comments.toxic[~unseen])
        decisions[unseen] = model.decision_function(texts[unseen])
    return float(roc_auc_score(comments.toxic, decisions))


def speed(benchmark: Benchmark) -> list[str]:
    """Measures prose by model and list."""
    data = benchmark.real_data()
    texts = [text for _, text in prose(data, 1_000_000 if benchmark.quick else 8_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    batch = TextBatch.of_texts(texts)
    _ = batch.words, batch.folded_hashes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        _trained(data, True, benchmark.quick).save(path)
        words = str(data / "urls" / "badwords_psl_easylist" / "ldnoobw" / "en")
        stages = {
            "model and list": Toxicity(model=str(path), words=words),
            "model": Toxicity(model=str(path)),
            "list": Toxicity(words=words),
        }
        timings = race(
            {name: _measuring(stage, batch) for name, stage in stages.items()},
            rounds=3 if benchmark.quick else 5,
            clock=time.process_time,
        )
        weights = len(ToxicityModel.load(path).features)
    rates = {name: mb / timings.median(name) for name in stages}
    benchmark.figure("toxicity_mb_per_s", rates["model and list"])
    return [
        f"### Toxicity\n\n{mb:.1f} MB of English prose, words found before; a model of {weights:,} weights.",
        table(["", "MB/s a core"], [[name, rate] for name, rate in rates.items()]),
    ]


def _measuring(stage: Toxicity, batch: TextBatch) -> Callable[[], object]:
    return lambda: stage.measure(batch)
