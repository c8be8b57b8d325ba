"""The quality classifier: how well the default model ranks sources that it never saw, and how fast it is.

tools/train_default_quality.py makes the texts, those that the default model learned from and those of whole sources
that it never saw. Each unseen good source is held against each unseen bad one: the ROC AUC is the chance that a good
text of the one gets a higher score than a bad text of the other. The peer is a fastText classifier trained on the very
same texts with DCLM's settings (words and pairs of words, 100 dimensions, learning rate .1, 5 epochs; one thread).

    figure quality_auc_unseen_source           mean ROC AUC over all pairs of unseen sources
    figure quality_auc_worst_pair              the lowest of them
    figure quality_auc_unseen_source_fasttext  mean of the peer
    figure quality_auc_articles_over_ham       articles against mail that is no spam: what an earlier model got wrong
    figure quality_auc_spam                    good sources against spam, by a model made alike without any mail
    figure quality_mb_per_s                    text to score, one core, segmentation included
    figure quality_mb_per_s_shared             the same where other filters have found the words already
    figure quality_vs_fasttext                 how many times as fast as fastText on the peer's model
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
from harness import Benchmark, race, shortened, table, with_section
from numpy.typing import NDArray
from prose import prose
from sklearn.metrics import roc_auc_score

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import atomic_text, sha256_of
from corpusmill.filters.fasttext_model import FastTextModel
from corpusmill.filters.quality import DEFAULT_PATH
from corpusmill.filters.quality_model import QualityModel
from corpusmill.filters.quality_training import reliability, train_quality
from corpusmill.filters.training_texts import training_texts

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "train_default_quality.py"
CARD = ROOT / "docs" / "models" / "english_quality.md"

Score = Callable[[Sequence[str]], NDArray[np.float64]]
_BATCH = 500  # texts
_ARTICLES = ("scrapinghub_articles", "mozilla_articles")


def accuracy(benchmark: Benchmark) -> list[str]:
    """The tables of AUC; a full run also writes the model's card."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = ["--only-texts", "unseen", "--most", "60"] if benchmark.quick else ["--only-texts", "all"]
        command = [sys.executable, str(TOOL), "--data", str(benchmark.real_data()), "--texts", str(folder), *made]
        subprocess.run(command, check=True)
        sources = json.loads((folder / "sources.json").read_text())
        texts = {source["name"]: _read(folder, source) for source in sources}
        unseen = {kind: [s["name"] for s in sources if s["role"] == "unseen" and s["kind"] == kind] for kind in _KINDS}
        default = QualityModel.load(DEFAULT_PATH)
        scores = _scores(_by(default.scores), texts, [name for names in unseen.values() for name in names])
        found = _pairs(scores, unseen["good"], unseen["bad"])
        benchmark.figure("quality_auc_unseen_source", mean(found.values()))
        benchmark.figure("quality_auc_worst_pair", min(found.values()))
        over_ham = mean(_auc(scores[name], scores["ham"]) for name in _ARTICLES)
        benchmark.figure("quality_auc_articles_over_ham", over_ham)
        paragraphs = [
            f"ROC AUC of the default model for each pair of sources, none of which it saw: mean {_three(found)}, "
            f"worst {min(found.values()):.3f}. `ham` and `newsgroups` are neither good nor bad, and not in the mean.",
            _auc_table(scores, unseen),
            _reliability_table(scores, unseen),
        ]
        if benchmark.quick:
            return [_TITLE, *paragraphs]
        paragraphs += [_peer(benchmark, folder, texts, unseen, found), _without_mail(benchmark, folder, texts, unseen)]
        again = train_quality(_class(folder, "good"), _class(folder, "bad"))
        same = again.save(folder / "again.npz") == sha256_of(DEFAULT_PATH)
        _write_card(sources, default, paragraphs, reproduced=same)
        return [_TITLE, *paragraphs]


_TITLE = "### The default English quality model"
_KINDS = ("good", "bad", "neither")


def speed(benchmark: Benchmark) -> list[str]:
    """Races our scorer against fastText on prose."""
    texts = [text for _, text in prose(benchmark.real_data(), 2_000_000 if benchmark.quick else 16_000_000)]
    few = texts[:: 1 if benchmark.quick else 8]
    mb, mb_few = (sum(len(text.encode()) for text in part) / 1e6 for part in (texts, few))
    arrays = [pa.array(texts[start : start + _BATCH], pa.string()) for start in range(0, len(texts), _BATCH)]
    model = QualityModel.load(DEFAULT_PATH)
    found = [_batch(array) for array in arrays]
    for batch in found:
        _ = batch.folded_hashes
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "peer.bin"
        half = len(few) // 2
        # What it is trained on matters nothing for its speed; the number of buckets does, and a quick run has fewer.
        library = _trained(path, few[:half], few[half:], buckets=100_000 if benchmark.quick else 2_000_000)
        reader = FastTextModel.load(path)
        lines = [text.replace("\n", " ") + "\n" for text in few]
        batch_few = pa.array(few, pa.string())
        timings = race(
            {
                "cold": lambda: [model.scores(_batch(array)) for array in arrays],
                "shared": lambda: [model.scores(batch) for batch in found],
                "fasttext": lambda: [library.f.predict(line, 2, 0.0, "strict") for line in lines],
                "reader": lambda: reader.probability_of(_batch(batch_few), "good"),
            },
            rounds=3 if benchmark.quick else 7,
            clock=time.process_time,
        )
    rates = {name: mb / timings.median(name) for name in ("cold", "shared")}
    rates |= {name: mb_few / timings.median(name) for name in ("fasttext", "reader")}
    benchmark.figure("quality_mb_per_s", rates["cold"])
    benchmark.figure("quality_mb_per_s_shared", rates["shared"])
    benchmark.figure("quality_vs_fasttext", rates["cold"] / rates["fasttext"])
    rows = [
        ["`quality`, default model, from text", rates["cold"]],
        ["`quality`, words already found", rates["shared"]],
        ["fastText's package, model of DCLM's settings", rates["fasttext"]],
        ["`quality` with that same fastText model", rates["reader"]],
    ]
    return [
        "### Quality scoring against fastText",
        f"{len(texts):,} English documents, {mb:.1f} MB (fastText: {mb_few:.1f} MB of them), one core, CPU seconds.",
        table(["", "MB/s"], rows),
    ]


def _batch(texts: pa.Array) -> TextBatch:
    return TextBatch(pa.RecordBatch.from_arrays([texts], names=["text"]))


def _read(folder: Path, source: Mapping[str, Any]) -> list[str]:
    path = folder / source["role"] / source["kind"] / f"{source['name']}.jsonl"
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def _class(folder: Path, kind: str, *, without: str = "") -> Iterable[pa.StringArray]:
    paths = sorted((folder / "training" / kind).glob("*.jsonl"))
    return training_texts([str(path) for path in paths if path.stem != without])


def _by(score: Callable[[TextBatch], NDArray[np.float64]]) -> Score:
    return lambda texts: np.concatenate(
        [score(TextBatch.of_texts(texts[start : start + _BATCH])) for start in range(0, len(texts), _BATCH)]
    )


def _scores(score: Score, texts: Mapping[str, list[str]], names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    return {name: score(texts[name]) for name in names}


def _auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    return float(roc_auc_score(np.repeat([1, 0], [len(good), len(bad)]), np.concatenate([good, bad])))


def _pairs(
    scores: Mapping[str, NDArray[np.float64]], good: Iterable[str], bad: Sequence[str]
) -> dict[tuple[str, str], float]:
    return {(one, other): _auc(scores[one], scores[other]) for one in good for other in bad}


def _three(found: Mapping[tuple[str, str], float]) -> str:
    return f"{mean(found.values()):.3f}"


def _auc_table(scores: Mapping[str, NDArray[np.float64]], unseen: Mapping[str, Sequence[str]]) -> str:
    others = [*unseen["bad"], *unseen["neither"]]
    rows: list[list[object]] = [
        [f"`{good}`", *(f"{_auc(scores[good], scores[other]):.3f}" for other in others), _median(scores[good])]
        for good in unseen["good"]
    ]
    rows.append(["median score", *(_median(scores[other]) for other in others), ""])
    return table(["good \\ bad", *(f"`{other}`" for other in others), "median score"], rows)


def _median(scores: NDArray[np.float64]) -> str:
    return f"{np.median(scores):.2f}"


def _reliability_table(scores: Mapping[str, NDArray[np.float64]], unseen: Mapping[str, Sequence[str]]) -> str:
    kinds = [np.concatenate([scores[name] for name in unseen[kind]]) for kind in ("good", "bad")]
    labels = np.repeat(np.array([1, 0], np.int8), [len(kind) for kind in kinds])
    rows = [
        [f"{row.low:.1f} to {row.high:.1f}", row.documents, f"{row.mean_score:.2f}", f"{row.positive_share:.2f}"]
        for row in reliability(np.concatenate(kinds), labels)
    ]
    return table(["score on unseen sources", "texts", "mean score", "share good (classes weighing the same)"], rows)


def _trained(path: Path, good: Sequence[str], bad: Sequence[str], *, buckets: int = 2_000_000) -> Any:
    """fastText's own classifier by DCLM's settings, saved at `path`."""
    lines = [f"__label__{label} {' '.join(text.split())}\n" for label, texts in (("good", good), ("bad", bad))
             for text in texts]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(lines))
    file = path.with_suffix(".txt")
    file.write_text("".join(lines[number] for number in order), encoding="utf-8")
    model = fasttext.train_supervised(
        str(file), dim=100, lr=0.1, epoch=5, wordNgrams=2, bucket=buckets, minCount=1, thread=1, verbose=0
    )
    model.save_model(str(path))
    return model


def _peer(
    benchmark: Benchmark,
    folder: Path,
    texts: Mapping[str, list[str]],
    unseen: Mapping[str, Sequence[str]],
    ours: Mapping[tuple[str, str], float],
) -> str:
    path = folder / "peer.bin"
    good, bad = ([text for batch in _class(folder, kind) for text in batch.to_pylist()] for kind in ("good", "bad"))
    _trained(path, good, bad)
    reader = FastTextModel.load(path)  # its probabilities are fastText's: tests/filters/test_fasttext_model.py
    scores = _scores(
        _by(lambda batch: reader.probability_of(batch, "good")), texts, [*unseen["good"], *unseen["bad"], "ham"]
    )
    theirs = _pairs(scores, unseen["good"], unseen["bad"])
    benchmark.figure("quality_auc_unseen_source_fasttext", mean(theirs.values()))
    size = path.stat().st_size
    rows = [
        ["ours", _three(ours), f"{min(ours.values()):.3f}", f"{DEFAULT_PATH.stat().st_size / 1e6:.2f} MB"],
        ["fastText, DCLM's settings", _three(theirs), f"{min(theirs.values()):.3f}", f"{size / 1e6:,.0f} MB"],
    ]
    return table(["trained on the same texts", "mean AUC", "worst pair", "model"], rows)


def _without_mail(
    benchmark: Benchmark, folder: Path, texts: Mapping[str, list[str]], unseen: Mapping[str, Sequence[str]]
) -> str:
    """Spam is in the training texts, so that it must be judged by a model that was made without it."""
    model = train_quality(_class(folder, "good"), _class(folder, "bad", without="spam")).model
    scores = _scores(_by(model.scores), texts, [*unseen["good"], "spam", "ham"])
    found = _pairs(scores, unseen["good"], ["spam"])
    benchmark.figure("quality_auc_spam", mean(found.values()))
    return (
        f"By a model made alike but without any mail, the good sources stand above spam with a mean AUC of "
        f"{_three(found)} (worst {min(found.values()):.3f}), and mail that is no spam with one of "
        f"{_auc(scores['ham'], scores['spam']):.3f}: spam is told from articles, hardly from other mail."
    )


def _write_card(
    sources: Sequence[Mapping[str, Any]], model: QualityModel, paragraphs: Sequence[str], *, reproduced: bool
) -> None:
    """Renews the sections of the model's card that are figures."""
    rows = [
        [f"`{s['name']}`", s["role"], s["kind"], s["what"], f"`{s['pack']}`", s["licence"], s["texts"], s["characters"]]
        for s in sources
    ]
    facts = model.facts
    text = CARD.read_text()
    sections = {
        "file": [
            f"`filters/models/english_quality.npz`, {DEFAULT_PATH.stat().st_size:,} bytes, sha256 "
            f"`{sha256_of(DEFAULT_PATH)}`, {len(model.features):,} weights in a table of {1 << model.bits:,}. Trained "
            f"anew from the same data, its bytes were {'the same' if reproduced else 'others'}.",
            f"Held-out pieces of the training sources: ROC AUC {shortened(float(facts['held_out_auc']))} on "
            f"{facts['held_out_documents']:,} of them (an upper bound: pieces of one text stand on both sides).",
        ],
        "sources": [table(["source", "role", "class", "what", "pack", "licence", "texts", "characters"], rows)],
        "unseen": list(paragraphs),
    }
    for name, body in sections.items():
        changed = with_section(text, name, "\n\n".join(body), keep_full=False)
        text = changed if changed is not None else text
    atomic_text(CARD, text)
