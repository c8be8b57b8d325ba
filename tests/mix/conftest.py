"""What the tests of the mix share: made documents, and the whole way from them to a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.schema import DOCUMENT, document_id
from corpusmill.documents.shards import write_table
from corpusmill.mix.groups import find_groups, sketch_part
from corpusmill.mix.manifest import finish
from corpusmill.mix.measurement import measure_part
from corpusmill.mix.options import MixOptions, Slice
from corpusmill.mix.placement import place_part
from corpusmill.mix.quality_score import QualityScore, combine
from corpusmill.mix.scoring_mix import score_placed
from corpusmill.mix.selection import Selection, select
from corpusmill.mix.shuffle import ShardReport, gather, scatter
from corpusmill.mix.slices import cases_by_source
from corpusmill.mix.tokens import load_tokens

Documents = list[dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """A mixed dataset without its manifest."""

    folder: Path
    options: MixOptions
    selection: Selection
    shards: list[ShardReport]

    def rows(self, split: str = "train") -> list[dict[str, Any]]:
        """All rows of a split in reading order."""
        return [row for path in sorted(self.folder.glob(f"*/{split}-*")) for row in pq.read_table(path).to_pylist()]


def make_documents(source: str, count: int, seed: int = 1, longest: int = 400) -> Documents:
    """Documents of random lengths with some text of several scripts, languages and licences."""
    random = Random(f"{source}/{seed}")
    return [
        {
            "id": document_id(source, "file", row),
            "text": f"{source} {row} " + "wörter 文字 " * random.randint(0, longest // 15),
            "source": source,
            "language": random.choice(["en", "de", None]),
            "license": random.choice(["MIT", "CC-BY-4.0", None]),
            "url": f"https://example.org/{row}",
            "quality": random.random(),
        }
        for row in range(count)
    ]


def write_part(path: Path, documents: Documents, row_group_rows: int = 1024) -> Path:
    write_table(path, [pa.RecordBatch.from_pylist(documents, schema=DOCUMENT)], DOCUMENT, row_group_rows=row_group_rows)
    return path


def write_ledger(path: Path, documents: Documents) -> None:
    """A ledger that keeps the documents; with `cluster_size` they stand for so many."""
    rows = [{"id": row["id"], "verdict": "kept", "cluster_size": row.get("cluster_size")} for row in documents]
    schema = pa.schema([("id", pa.string()), ("verdict", pa.string()), ("cluster_size", pa.int32())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def build(
    folder: Path,
    sources: Mapping[str, Documents],
    options: MixOptions,
    cuts: Mapping[str, Sequence[int]] | None = None,
    backwards: bool = False,
    grouped: bool = False,
) -> Built:
    """Mixes the documents, each source's parts cut at the given rows, tasks in the given or the opposite order; splits
    are by near-duplicates where `grouped` says so."""
    parts: dict[str, list[Path]] = {}
    groups = folder / "groups.parquet" if grouped else None
    placed: dict[str, list[Path]] = {}
    divided = cases_by_source(options, sources)
    for source, documents in sources.items():
        borders = [0, *sorted((cuts or {}).get(source, [])), len(documents)]
        parts[source], placed[source] = [], []
        for number, (start, end) in enumerate(pairwise(borders)):
            part = write_part(folder / f"{source}-{number}.parquet", documents[start:end])
            if options.rehydrate:
                write_ledger(part.with_suffix(".ledger"), documents[start:end])
            measure_part(part, part.with_suffix(".measured"), options)
            parts[source].append(part)
            placed[source].append(part.with_suffix(".placed"))
    every = [(source, part) for source, own in parts.items() for part in own]
    if groups is not None:
        for _, part in every:
            sketch_part(part, part.with_suffix(".sketch"))
        find_groups([part.with_suffix(".sketch") for _, part in every], groups, folder / "workspace")
    for source, part in every:
        measured, place = (part.with_suffix(suffix) for suffix in (".measured", ".placed"))
        ledger = part.with_suffix(".ledger") if options.rehydrate else None
        place_part(part, measured, ledger, groups, divided.get(source, ()), options.copies(), place)
    step = -1 if backwards else 1
    selection = select({source: files[::step] for source, files in placed.items()}, options)
    scattered = []
    for source in divided:
        for part, place in zip(parts[source], placed[source], strict=True):
            out = part.with_suffix(".scattered")
            scatter(part, place, selection, out)
            scattered.append(out)
    dataset = folder / "dataset"
    counted = load_tokens(options.tokenizer).fingerprint if options.tokenizer else None
    shards = [
        gather(split, index, scattered[::step], selection, dataset, counted)
        for split, count in selection.shards.items()
        for index in range(count)
    ]
    return Built(dataset, options, selection, shards)


def scored(built: Built, folder: Path) -> QualityScore:
    """The score of a built dataset, from its parts."""
    noted = []
    for part in sorted(built.folder.parent.glob("*.parquet")):
        noted.append(folder / f"{part.stem}.rows")
        score_placed(part, part.with_suffix(".placed"), built.selection, noted[-1], grouped=False)
    return combine(noted)


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    """`build` in a new folder at each call."""

    def in_new_folder(*arguments: Any, **options: Any) -> Built:
        return build(tmp_path_factory.mktemp("mix"), *arguments, **options)

    return in_new_folder


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A dataset of three sources, one of them repeated, in several shards with a validation split."""
    sources = {
        "web": make_documents("web", 1500),
        "code": make_documents("code", 300),
        "math": make_documents("math", 90),
    }
    options = MixOptions(
        ratios={"web": 0.6, "code": 0.25, "math": 0.15}, max_epochs=2.5, validation=0.05, shard_bytes=40_000, seed=7
    )
    return build(tmp_path_factory.mktemp("mixed"), sources, options, {"web": [400, 401, 1100]})


RUN: dict[str, Any] = {
    "recipe": {"name": "small", "sources": {
        "web": {"paths": ["crawl/*.gz"], "license": "CC0-1.0"}, "code": {"paths": ["src"]}}},
    "recipe_hash": "0123456789abcdef",
    "versions": {"python": "3.11.7", "corpusmill": "0.1.0"},
    "stages": {
        "web": [
            {"name": "decontamination", "stage": "decontamination", "options": {
                "benchmarks": {"arc": {"paths": ["/data/private/arc.jsonl"], "fields": ["question"]}}, "n": 8},
             "files": [{"file": "arc.jsonl", "sha256": "ab" * 32}]},
            {"name": "pii", "stage": "pii", "options": {"kinds": ["email"], "prefix": "/not/a/file"}},
        ],
        "code": [],
    },
    "inputs": {
        "web": [{"file": "CC-MAIN-2024-10/a.warc.gz", "size": 1000, "identity": "1000-xyz", "uri": "s3://commoncrawl/a",
                 "etag": "xyz", "dump": "CC-MAIN-2024-10"}],
        "code": [{"file": "a.py", "size": 10, "identity": "10-1795356205300010442"}],
    },
    "sources": {
        "web": {"records": 900, "bytes_in": 5000, "documents_out": 800, "bytes_out": 4000, "shards": [{}], "stages": [
            {"stage": "read", "in": 900, "dropped": {"empty": 0}, "kept": 900},
            {"stage": "decontamination", "in": 900, "dropped": {"contaminated": 97, "too_little_left": 3}, "kept": 800},
            {"stage": "pii", "in": 800, "dropped": {}, "kept": 800, "rewritten": {"documents": 12, "measures": {}}},
        ]},
        "code": {"records": 200, "bytes_in": 10, "documents_out": 200, "bytes_out": 10, "shards": [{}], "stages": [
            {"stage": "read", "in": 200, "dropped": {}, "kept": 200}]},
    },
    "alarms": [],
    "failed": [],
}  # fmt: skip
"""What a run hands over of itself (pipeline/manifest.py)."""


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A finished dataset with all that can be in one: slices, held-out sets, repeated passes, a score, a run."""
    folder = tmp_path_factory.mktemp("described")
    options = MixOptions(
        ratios={"web": 0.4, "web_best": 0.2, "code": 0.4},
        slices={"web_best": Slice(source="web", where="quality > .8")},
        unit="words",
        max_epochs=3,
        validation=0.05,
        heldout=0.04,
        shard_bytes=40_000,
        seed=5,
    )
    built = build(folder, {"web": make_documents("web", 800), "code": make_documents("code", 200)}, options)
    finish(built.folder, options, built.selection, built.shards, scored(built, folder / "noted").as_dict(), RUN)
    return built
