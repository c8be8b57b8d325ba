"""Real mixes: nine datasets, three published presets in three sizes, and what holds of each. Writes docs/mixes.md.

The sources are curated once (mixes.yaml), then mixed nine times, in tokens. Each dataset is read back and checked: the
ratios; the splits (no id in two, and no two documents, one of each, that share 75 % of their 5-grams: all pairs that
share one at all are compared, but for 5-grams of a thousand documents); the order (counts of the components in 64
windows of rows are as even as chance has it). One mix is made again by one worker, from its counting on. Beside ours:
the same pool sampled document by document, with replacement, as loaders do that weigh sources.

    figure ratio_error_points        the largest difference of a component's share from what was asked, over nine mixes
    figure ratio_error_points_large  the same over the largest three, where a document weighs little
    figure ratio_error_documents     the largest difference from the units asked, in longest documents; at best ½
    figure sampled_error_points      by sampling, where weights are shares of the documents drawn
    figure sampled_error_points_mean by sampling, where weights are corrected by each source's mean length
    figure split_ids_shared          documents that are in two splits, of nine mixes
    figure split_pairs_similar       near-duplicates across splits, of nine mixes
    figure window_chi2_p_min         the least p of the nine orders; in one run of 11 chance has it below .01
    figure workers_same_content      1 if one worker makes the same bytes as two
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import DOCUMENT, Benchmark, table
from numpy.typing import NDArray
from real_mixes import SIMILAR, Dataset, in_two_splits, workplace

PAGE = DOCUMENT.with_name("mixes.md")
TITLE = (
    "# Mixes\n\nWhat was asked and what came out, on real data. This page is written by `benchmarks/mix.py --only "
    "mix_tables`; the sources and their chains are in [benchmarks/mixes.yaml](../benchmarks/mixes.yaml).\n"
)
PRESETS: dict[str, dict[str, str | None]] = {
    "llama1": {
        "commoncrawl": "web",
        "c4": "news",
        "github": "code",
        "wikipedia": None,  # there is none here
        "arxiv": "math",
        "stackexchange": "forum",
    },
    "llama3": {"general": "web", "math_reasoning": "math", "multilingual": "law"},
    "smollm2_decay": {"textbooks": "books"},
}
"""Preset -> who stands for which category; one of a source's own name needs no word."""
MAX_EPOCHS = 16
_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is kept of a dataset.

    rows      for each component: what the table shows
    sampled   largest error in points where weights are shares of documents, and where they are corrected
    repeated  share of the documents drawn that had been drawn before
    """

    preset: str
    budget: int
    rows: list[list[object]]
    points: float
    documents: float
    p: float
    shared_ids: int
    similar: int
    compared: int
    validation: int
    content_hash: str
    files: list[str]
    sampled: tuple[float, float]


def mixing(benchmark: Benchmark) -> list[str]:
    """Mixes, checks and tells."""
    budgets = [400_000] if benchmark.quick else [1_000_000, 10_000_000, 50_000_000]
    presets = ["llama3"] if benchmark.quick else list(PRESETS)
    place = workplace(benchmark.real_data(), quick=benchmark.quick)
    told = []
    for preset in presets:
        for budget in budgets:
            dataset = Dataset.read(place.mix(options(preset, budget), f"{preset}-{budget}"))
            told.append(_told(preset, budget, dataset, place.units()))
    chosen = told[-1]
    again = place.mix(options(chosen.preset, chosen.budget), "again", workers=1, fresh=True)
    same = _of(again) == (chosen.content_hash, chosen.files)
    return _report(benchmark, told, same)


def options(preset: str, budget: int) -> dict[str, Any]:
    return {"preset": preset, "preset_sources": PRESETS[preset], "budget": budget, "max_epochs": MAX_EPOCHS}


def _told(preset: str, budget: int, dataset: Dataset, units: Mapping[str, NDArray[np.int64]]) -> Told:
    total = int(dataset.units.sum())
    rows: list[list[object]] = []
    for name, entry in dataset.asked.items():
        own, documents, longest = dataset.counted(name)
        rows.append(
            [
                name,
                f"{100 * entry['ratio']:.2f}",
                f"{100 * own / total:.2f}",
                entry["asked"],
                own,
                documents,
                longest,
                f"{entry['epochs']:.2f}",
                round(entry["effective_units"]),
            ]
        )
    shared_ids, similar, compared = in_two_splits(dataset.folder)
    points, in_documents = dataset.errors()
    content_hash, files = _of(dataset.folder)
    ratios = {name: entry["ratio"] for name, entry in dataset.asked.items()}
    return Told(
        preset=preset,
        budget=budget,
        rows=rows,
        points=points,
        documents=in_documents,
        p=dataset.windows_p(),
        shared_ids=shared_ids,
        similar=similar,
        compared=compared,
        validation=dataset.manifest["splits"]["validation"]["rows"],
        content_hash=content_hash,
        files=files,
        sampled=(
            _sampled_error(units, ratios, budget, corrected=False),
            _sampled_error(units, ratios, budget, corrected=True),
        ),
    )


def _of(folder: Path) -> tuple[str, list[str]]:
    """The content hash of a dataset, and the sums of its shards."""
    manifest = Dataset.read(folder).manifest
    return manifest["content_hash"], sorted(shard["sha256"] for shard in manifest["shards"])


def _sampled_error(
    units: Mapping[str, NDArray[np.int64]], ratios: Mapping[str, float], budget: int, *, corrected: bool
) -> float:
    """The largest difference of a share of the tokens from what was asked, in points, where a source is drawn by weight
    and then a document of it, until the budget is full; the median of some seeds."""
    names = list(ratios)
    weights = np.array([ratios[name] for name in names])
    if corrected:
        weights = weights / [units[name].mean() for name in names]
    errors = []
    for seed in range(_SEEDS):
        chance = np.random.default_rng(seed)
        drawn = chance.choice(len(names), budget // 20, p=weights / weights.sum())  # no source has 20 tokens a document
        sizes = np.empty(len(drawn), np.int64)
        for number, name in enumerate(names):
            own = drawn == number
            sizes[own] = chance.choice(units[name], int(own.sum()))
        end = int(np.searchsorted(np.cumsum(sizes), budget)) + 1
        shares = np.bincount(drawn[:end], sizes[:end], minlength=len(names)) / sizes[:end].sum()
        errors.append(100 * float(np.abs(shares - [ratios[name] for name in names]).max()))
    return float(np.median(errors))


def _report(benchmark: Benchmark, told: Sequence[Told], same: bool) -> list[str]:
    largest = max(one.budget for one in told)
    points = max(one.points for one in told)
    large = max(one.points for one in told if one.budget == largest)
    documents = max(one.documents for one in told)
    by_documents, by_mean = (max(one.sampled[column] for one in told) for column in (0, 1))
    shared_ids, similar = sum(one.shared_ids for one in told), sum(one.similar for one in told)
    p = min(one.p for one in told)
    benchmark.figure("ratio_error_points", points)
    benchmark.figure("ratio_error_points_large", large)
    benchmark.figure("ratio_error_documents", documents)
    benchmark.figure("sampled_error_points", by_documents)
    benchmark.figure("sampled_error_points_mean", by_mean)
    benchmark.figure("split_ids_shared", shared_ids)
    benchmark.figure("split_pairs_similar", similar)
    benchmark.figure("window_chi2_p_min", p)
    benchmark.figure("workers_same_content", float(same))
    checks = table(
        [
            "preset and budget", "largest error, points", "in documents", "sampled, points", "corrected by mean length",
            "p of the windows", "validation documents", "pairs compared", "ids in two splits", "near-duplicates in two",
        ],
        [
            [
                f"{one.preset}, {one.budget:,}", one.points, one.documents, *one.sampled, one.p, one.validation,
                one.compared, one.shared_ids, one.similar,
            ]
            for one in told
        ],
    )  # fmt: skip
    replace(benchmark, document=PAGE, title=TITLE).write(_page(told, checks, same), "mix_tables")
    return [
        f"### Real mixes\n\n{len(told)} datasets of real text, in tokens, each read back: the tables of asked and "
        f"achieved are in [mixes.md](mixes.md). A component's share is at most {points:.3f} percentage points from "
        f"what was asked, {large:.4f} in those of {largest:,} tokens; the units differ by {documents:.2f} of a "
        "component's longest document at most. Sampling the same pool with replacement misses by "
        f"{by_documents:.1f} points where weights are shares of documents, and by {by_mean:.2f} where each source's "
        f"mean length is known. {shared_ids} ids and {similar} near-duplicates are in two splits. The windows of rows "
        f"have p = {p:.2f} at the least. One worker and two made {'the same' if same else 'OTHER'} bytes.",
    ]


def _page(told: Sequence[Told], checks: str, same: bool) -> list[str]:
    head = [
        "component", "asked, %", "achieved, %", "tokens asked", "tokens", "documents", "longest document", "epochs",
        "worth in new text",
    ]  # fmt: skip
    paragraphs = [
        "## What holds of each\n\nAchieved shares are within 0.1 percentage points, or the units within half a "
        "document of what was asked, whichever is more: documents are never cut. What is *sampled* is how far a loader "
        "misses on the same pool, where a source is drawn by weight and then a document with replacement. Two "
        f"documents are near-duplicates from a Jaccard similarity of {SIMILAR} of their 5-grams; every pair across "
        "train and validation that shares a 5-gram was compared. The p is that of counts of components in 64 windows "
        "of rows, if their order is chance. "
        + ("One worker, and two, made the same bytes." if same else "ONE WORKER AND TWO MADE OTHER BYTES."),
        checks,
    ]
    for preset in dict.fromkeys(one.preset for one in told):
        stand = ", ".join(f"{ours or 'nobody'} for {theirs}" for theirs, ours in PRESETS[preset].items())
        paragraphs.append(f"## {preset}\n\nHere {stand}.")
        for one in told:
            if one.preset == preset:
                paragraphs += [f"### {one.budget:,} tokens", table(head, one.rows)]
    return paragraphs
