"""The run's manifest: everything that a run did, as JSON.

schema_version, tool, recipe (resolved) and its hash, seeds, python and library versions
stages         for each source: its stages in order, with every value that was in force, and the SHA-256 of the models
               and lists that it read
inputs         for each source: files with size and identity (size with time of change, or the store's etag), and of
               Common Crawl's the dump
sources        for each source: records, stages in order with what came, what each rule dropped and what was left; of
               those that rewrite also how many documents they changed, and the sums of their measures
alarms         stages of deduplication that took more of a source than their `max_dropped_share`
failed         tasks that failed, with what they said
content_hash   of all curated documents, whatever their order; absent while tasks are failed
mix            the dataset: ratios asked and achieved, shards, Q
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from corpusmill.documents.codepoints import UNICODE_VERSION
from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline import registry
from corpusmill.pipeline.plan import SourcePlan, file_sha256
from corpusmill.pipeline.recipe import Recipe, StageSpec
from corpusmill.pipeline.sources.contract import SourceFile
from corpusmill.pipeline.sources.storage import is_remote
from corpusmill.pipeline.sources.warc import DUMP
from corpusmill.pipeline.tasks import Outcome, fingerprint

SCHEMA_VERSION = 2
_LIBRARIES = (
    "corpusmill",
    "numba",
    "numpy",
    "pyarrow",
    "duckdb",
    "fastwarc",
    "resiliparse",
    "py3langid",
    "scikit-learn",
    "tokenizers",
)

Travelled = tuple[SourcePlan, Sequence[Mapping[int, Outcome]], Sequence[Outcome | None]]


def run_manifest(recipe: Recipe, sources: Sequence[Travelled], failed: Sequence[Outcome]) -> dict[str, Any]:
    """The manifest of the sources' part of a run."""
    planned = {plan.name: {spec.name: spec for spec in plan.stages()} for plan, _, _ in sources}
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": f"corpusmill {version('corpusmill')}",
        "recipe": dict(recipe.resolved),
        "recipe_hash": fingerprint(recipe.resolved),
        "seed": recipe.seed,
        "stages": {
            source.name: [_described(spec, planned[source.name][spec.name], recipe.seed) for spec in source.stages]
            for source in recipe.sources
        },
        "versions": {
            "python": platform.python_version(),
            "unicode_table": UNICODE_VERSION,
            **{name: version(name) for name in _LIBRARIES},
        },
        "inputs": {plan.name: [input_entry(file) for file in plan.files] for plan, _, _ in sources},
        "sources": {plan.name: _funnel(plan, maps, barriers) for plan, maps, barriers in sources},
        "alarms": [
            {"source": plan.name, "stage": stage, "told": told}
            for plan, _, barriers in sources
            for outcome in barriers
            if outcome is not None and outcome.error is None
            for stage, told in outcome.counts["alarms"].items()
        ],
        "failed": failures(failed),
    }


def _described(spec: StageSpec, planned: StageSpec, seed: int) -> dict[str, Any]:
    """A stage with every value that was in force: published recipes and defaults are those of this version.

    Args:
        planned: the same with paths from the recipe's folder on.
    """
    stage = spec.build()
    options = {item.name: getattr(stage, item.name) for item in dataclasses.fields(stage) if item.init}
    if "seed" in options and "seed" not in spec.options:
        options["seed"] = seed
    files = [{"file": path.name, "sha256": file_sha256(path)} for path in planned.build().files()]
    return {
        "name": spec.name,
        "stage": spec.stage,
        "options": json.loads(json.dumps(options, default=_plain)),
        **({"files": files} if files else {}),
    }


def input_entry(file: SourceFile) -> dict[str, Any]:
    """What the manifest says of an input file.

    >>> input_entry(SourceFile("s3://cc/CC-MAIN-2024-10/a.gz", "a.gz", 12, "12-5d41"))["etag"]
    '5d41'
    """
    found: dict[str, Any] = {"file": file.name, "size": file.size, "identity": file.identity}
    if is_remote(file.uri):
        found["uri"] = file.uri
        if tag := file.identity.partition("-")[2]:
            found["etag"] = tag
    if dump := DUMP.search(file.uri):
        found["dump"] = dump.group()
    return found


def _plain(value: Any) -> Any:
    """What a recipe would say for a value of a stage's field."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return str(value)


def failures(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The failed tasks, with what they said."""
    return [{"task": outcome.task.key, "error": outcome.error} for outcome in outcomes]


def _funnel(
    plan: SourcePlan, maps: Sequence[Mapping[int, Outcome]], barriers: Sequence[Outcome | None]
) -> dict[str, Any]:
    """A source's stages in order: documents in, dropped by reason (declared reasons start at zero), documents out."""
    dropped: dict[str, Counter[str]] = {}
    ended = [outcome for by_part in maps for outcome in by_part.values() if outcome.error is None]
    for outcome in ended:
        for stage, reasons in outcome.counts["dropped"].items():
            dropped.setdefault(stage, Counter()).update(reasons)
    first = [outcome.counts for outcome in maps[0].values() if outcome.error is None]
    last = [outcome.counts for outcome in maps[-1].values() if outcome.error is None]
    records = left = sum(counts["records"] for counts in first)
    rewritten, cut = _rewritten(plan, ended), _cut(plan, ended)
    stages: list[dict[str, Any]] = []
    for stage, reasons in plan.reasons().items():
        gone = {reason: dropped.get(stage, Counter())[reason] for reason in reasons}
        gone |= {reason: count for reason, count in dropped.get(stage, Counter()).items() if reason not in gone}
        stages.append({"stage": stage, "in": left, "dropped": gone, "kept": left - sum(gone.values())})
        if stage in rewritten:
            stages[-1]["rewritten"] = rewritten[stage]
        if stage in cut:
            stages[-1]["cut"] = cut[stage]
        left -= sum(gone.values())
    return {
        "records": records,
        "bytes_in": sum(counts["bytes_in"] for counts in first),
        "documents_out": sum(counts["documents_out"] for counts in last),
        "bytes_out": sum(counts["bytes_out"] for counts in last),
        "stages": stages,
        "shards": [counts["shard"] for counts in last],
    }


def _rewritten(plan: SourcePlan, ended: Sequence[Outcome]) -> dict[str, Any]:
    """For each stage that rewrites, the sums of what its tasks counted."""
    whole: dict[str, Any] = {
        spec.name: {"documents": 0, "measures": dict.fromkeys(spec.build().measures.names, 0)}
        for spec in plan.stages()
        if spec.stage in registry.REWRITERS
    }
    for outcome in ended:
        for stage, counts in outcome.counts["rewritten"].items():
            if stage not in whole:  # a barrier's cuts
                continue
            whole[stage]["documents"] += counts["documents"]
            for name, count in counts["measures"].items():
                whole[stage]["measures"][name] += count
    return whole


def _cut(plan: SourcePlan, ended: Sequence[Outcome]) -> dict[str, int]:
    """For each barrier, how many documents it cut something out of; none that cut nothing."""
    barriers = {spec.name for spec in plan.stages() if spec.stage in registry.BARRIERS}
    whole: Counter[str] = Counter()
    for outcome in ended:
        for stage in barriers & outcome.counts["rewritten"].keys():
            whole[stage] += outcome.counts["rewritten"][stage]["documents"]
    return dict(whole)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes manifest.json in one step."""
    atomic_text(folder / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
