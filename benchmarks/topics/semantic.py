"""What semantic_dedup finds of rewritten news, and what it takes for rewritten, by a static model trained here.

Rewritten: the 189 articles of OneStopEnglish, each by its editors in three reading levels; nine of its files hold the
text of another title, as reading them shows, and are counted to the article that they are. Planted: the pairs of
minhash_articles. Both lie among prose (benchmarks/prose.py), of which no labels are known. The model is trained on that
prose, and on none of the labelled texts (benchmarks/static_model.py).

    figure semantic_recall_paraphrases          rewritings that go, of those that could for another of their article
    figure semantic_precision                   labelled texts that go for their own article or pair, of those that go
    figure semantic_precision_of_the_rule        the same by the paper's rule, at the same similarity
    figure semantic_recall_clusters             recall with as many clusters as the square root of the texts
    figure semantic_mb_per_s                    embedding, one core, in MB of text that came
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from harness import Benchmark, race, table
from prose import prose
from static_model import train

from corpusmill.dedup.semantic import SemanticDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table

_LEVELS = {"Adv-Txt": "adv", "Int-Txt": "int", "Ele-Txt": "ele"}
# Level and title of a file -> the title of the text in it.
_MISFILED = {
    ("ele", "wnl arctic ramadan"): "arctic mapping",
    ("ele", "royal baby"): "skydiver",
    ("ele", "wnl the millenials"): "e-cigarettes",
    ("ele", "wnl tributes"): "e-cigarettes",
    ("adv", "wnl tributes"): "e-cigarettes",
    ("int", "wnl use of e-cig"): "e-cigarettes",
    ("int", "wnl tributes"): "bb king",
    ("adv", "wnl use of e-cig"): "bb king",
    ("ele", "wnl use of e-cig"): "bb king",
}
_ROWS = 1000


def accuracy(benchmark: Benchmark) -> list[str]:
    """Recall and precision with and without the ratio, and with more clusters."""
    data = benchmark.real_data()
    quick = benchmark.quick
    items = [item for item in prose(data, 800_000 if quick else 40_000_000) if "minhash_articles" not in item[0]]
    labelled = dict(_rewritten(data)) | dict(_planted(data, 100 if quick else 2500))
    texts = {name: text for name, (_, text) in labelled.items()}
    labels = {name: label for name, (label, _) in labelled.items()}
    with tempfile.TemporaryDirectory() as folder:
        size = 700_000 if quick else 12_000_000
        model = train(list(_until(items, size)), Path(folder) / "model",
                      vocabulary=6000 if quick else 16_000, dimensions=64 if quick else 256)  # fmt: skip
        stage = SemanticDedup(model=str(model), keep="longest", max_dropped_share=None)
        sidecars = _observed(stage, texts | dict(items), Path(folder))
        count = len(texts) + len(items)
        settings = {
            "0.90, ratio 0.3 (default)": stage,
            "0.90, ratio 0.4": replace(stage, max_distance_ratio=0.4),
            "0.90, ratio 0.5": replace(stage, max_distance_ratio=0.5),
            "0.80, ratio 0.3": replace(stage, min_similarity=0.8),
            "0.90, no ratio (the paper's rule)": replace(stage, max_distance_ratio=None),
            "0.95, no ratio": replace(stage, min_similarity=0.95, max_distance_ratio=None),
            f"0.90, ratio 0.3, {round(count**0.5)} clusters": replace(stage, clusters=round(count**0.5)),
        }
        found = {name: _judged(setting, sidecars, labels, len(items)) for name, setting in settings.items()}
    first, *_, rule, _, last = found.values()
    rewritten, planted = (sum(name.startswith(kind) for name in labels) for kind in ("onestop", "article"))
    benchmark.figure("semantic_recall_paraphrases", first["rewritten found"])
    benchmark.figure("semantic_precision", first["precision"])
    benchmark.figure("semantic_precision_of_the_rule", rule["precision"])
    benchmark.figure("semantic_recall_clusters", last["rewritten found"])
    return [
        "### Semantic near-duplicates (`semantic_dedup`)",
        table(["min_similarity", *first], [[name, *values.values()] for name, values in found.items()]),
        f"Rewritten: {rewritten} texts of OneStopEnglish in three reading levels; planted: the pairs in {planted:,} of "
        f"minhash_articles; both among {len(items):,} pieces of prose. Precision: of the labelled texts that go. The "
        "model is a static one, trained here on prose alone: the figures are about the rule, and not about the best "
        "model for it. What goes of the prose was read, not counted: with the ratio mostly posts that quote one "
        "another, and texts on one subject; without it pages of novels, and earnings reports of different firms.",
    ]


def speed(benchmark: Benchmark) -> list[str]:
    """Embedding, and deciding on embeddings."""
    items = prose(benchmark.real_data(), 600_000 if benchmark.quick else 8_000_000)
    texts = [text for _, text in items]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        size = 300_000 if benchmark.quick else 2_000_000
        model = train(list(_until(items, size)), Path(folder) / "model", vocabulary=3000, dimensions=64)
        stage = SemanticDedup(model=str(model))
        documents = TextBatch.of_texts(texts).documents
        rounds = 2 if benchmark.quick else 5
        timings = race({"embedding": lambda: stage.observe(TextBatch(documents))}, rounds, clock=time.process_time)
    benchmark.figure("semantic_mb_per_s", mb / timings.median("embedding"))
    return [
        "### Semantic near-duplicates (`semantic_dedup`)",
        f"A static model makes embeddings of {mb / timings.median('embedding'):.1f} MB of text a second (CPU time; "
        f"{mb:.1f} MB of prose). Most of it is the tokenizer's.",
    ]


def _until(items: list[tuple[str, str]], size: int) -> Iterator[str]:
    for _, text in items:
        if (size := size - len(text)) < 0:
            return
        yield text


def _rewritten(data: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for folder, level in _LEVELS.items():
        whole = data / "quality/onestop_english_3levels/Texts-SeparatedByReadingLevel" / folder
        for path in sorted(whole.glob("*.txt")):
            title = path.stem.rsplit("-", 1)[0].strip().lower()
            text = path.read_text("utf-8-sig", "replace").removeprefix("Intermediate")
            yield f"onestop {level} {path.stem}", (f"onestop {_MISFILED.get((level, title), title)}", text)


def _planted(data: Path, count: int) -> Iterator[tuple[str, tuple[str, str]]]:
    whole = data / "neardup/minhash_articles_truth"
    pairs = [line.split() for line in (whole / f"articles_{count}.truth").read_text().splitlines()]
    label = {name: f"pair {one}" for one, other in pairs for name in (one, other)}
    for line in (whole / f"articles_{count}.train").read_text().splitlines():
        name, _, text = line.partition(" ")
        yield f"article {name}", (label.get(name, f"article {name}"), text)


def _observed(stage: SemanticDedup, texts: Mapping[str, str], folder: Path) -> list[Path]:
    paths = []
    names, contents = list(texts), list(texts.values())
    for begin in range(0, len(names), _ROWS):
        batch = TextBatch.of_texts(contents[begin : begin + _ROWS])
        columns = [batch.documents.column(field.name) for field in DOCUMENT]
        columns[0] = pa.array(names[begin : begin + _ROWS])
        batch = TextBatch(pa.RecordBatch.from_arrays(columns, schema=DOCUMENT))
        paths.append(folder / f"{begin}.parquet")
        write_table(paths[-1], [stage.observe(batch)], stage.sidecar)
    return paths


def _judged(stage: SemanticDedup, sidecars: list[Path], labels: Mapping[str, str], unlabelled: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as workspace:
        verdicts = stage.decide(
            sidecars, excluded=pa.array([], pa.string()), read_texts=lambda ids: iter(()), workspace=Path(workspace)
        ).verdicts
    gone = dict(zip(verdicts["id"].to_pylist(), verdicts["kept_id"].to_pylist(), strict=True))
    right = {name for name, kept in gone.items() if name in labels and labels[name] == labels.get(kept)}

    def share(kind: str) -> float:
        own = [label for name, label in labels.items() if name.startswith(kind)]
        return sum(name.startswith(kind) for name in right) / (len(own) - len(set(own)))

    labelled = [name for name in gone if name in labels]
    return {
        "rewritten found": share("onestop"),
        "planted found": share("article"),
        "precision": len(right) / max(1, len(labelled)),
        "of the prose": (len(gone) - len(labelled)) / unlabelled,
    }
