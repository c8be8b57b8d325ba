"""Where a dataset comes from, out of what its run knows: the part of its manifest that no shard tells.

    recipe           as it was resolved; `recipe_hash` is its fingerprint
    versions         of Python, Unicode's tables and the libraries
    stages           for each source: its stages in order, with every value that was in force
    inputs           for each source: the licence that the recipe states, and its files: name and size; of a store also
                     URI and etag; of Common Crawl also the dump
    models           files that stages read, models and lists: source, stage, file, SHA-256
    decontamination  for each stage that sought benchmarks: source, stage, benchmarks
    curation         for each source: records, and for each stage how many documents came, were dropped for each reason,
                     and were left
    alarms           stages of deduplication that took more of a source than they should

What tells of the machine is left out or cut: times of change of local files, and the folders of files that stages read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

_SOUGHT = "decontamination"


def provenance(run: Mapping[str, Any], sources: Collection[str]) -> dict[str, Any]:
    """The part of a dataset's manifest that is of its run.

    Args:
        run: the run's manifest (pipeline/manifest.py); empty where there was no run.
        sources: those that the dataset has documents of; of others only the recipe tells.
    """
    recipe = run.get("recipe", {})
    stages = {
        source: [_stage(stage) for stage in own] for source, own in run.get("stages", {}).items() if source in sources
    }
    return {
        "recipe": recipe,
        "recipe_hash": run.get("recipe_hash"),
        "versions": run.get("versions", {}),
        "stages": stages,
        "inputs": {
            source: {
                "license": recipe.get("sources", {}).get(source, {}).get("license"),
                "files": [{key: value for key, value in file.items() if key != "identity"} for file in files],
            }
            for source, files in run.get("inputs", {}).items()
            if source in sources
        },
        "models": [
            {"source": source, "stage": stage["name"], **file}
            for source, own in stages.items()
            for stage in own
            for file in stage.get("files", ())
        ],
        "decontamination": [
            {"source": source, "stage": stage["name"], "benchmarks": sorted(stage["options"].get("benchmarks", {}))}
            for source, own in stages.items()
            for stage in own
            if stage["stage"] == _SOUGHT
        ],
        "curation": {
            source: {key: value for key, value in funnel.items() if key != "shards"}
            for source, funnel in run.get("sources", {}).items()
            if source in sources
        },
        "alarms": [alarm for alarm in run.get("alarms", []) if alarm["source"] in sources],
    }


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    names = {file["file"] for file in stage.get("files", ())}
    return {**stage, "options": _without_folders(stage["options"], names)}


def _without_folders(value: Any, names: Collection[str]) -> Any:
    """`value` with each absolute path of a file of these names cut to its name."""
    if isinstance(value, str):
        path = PurePosixPath(value)
        return path.name if path.is_absolute() and path.name in names else value
    if isinstance(value, Mapping):
        return {key: _without_folders(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item, names) for item in value]
    return value
