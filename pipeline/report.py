"""The report: one HTML page with the funnel, the reasons, the mix, Q, and samples of what was kept and dropped.

It is made from the manifest and the samples alone, so it can be made again without running anything. All text of
documents is hostile: the template escapes everything, and the page's policy forbids scripts, frames and every outside
address.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.samples import read_samples
from corpusmill.pipeline.summary import count, megabytes, share

_BAR_WIDTH = 320


def write_report(folder: Path) -> Path:
    """Writes report/index.html of a finished run and returns its path."""
    page = folder / "report" / "index.html"
    atomic_text(page, render(read_manifest(folder), folder))
    return page


def render(manifest: Mapping[str, Any], folder: Path) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("corpusmill.pipeline", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"count": count, "megabytes": megabytes}
    sources = [_source(name, source, folder / name) for name, source in manifest["sources"].items()]
    return environment.get_template("report.html").render(manifest=manifest, sources=sources, mix=manifest.get("mix"))


def _source(name: str, source: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    records = max(source["records"], 1)
    stages = []
    for stage in source["stages"]:
        dropped = stage["in"] - stage["kept"]
        reasons = [
            {"reason": reason, "count": number, "share": share(number, stage["in"])}
            for reason, number in stage["dropped"].items()
        ]
        stages.append(
            {
                **stage,
                "gone": dropped,
                "share": share(dropped, stage["in"]),
                "reasons": reasons,
                "kept_width": round(_BAR_WIDTH * stage["kept"] / records, 1),
                "gone_width": round(_BAR_WIDTH * dropped / records, 1),
            }
        )
    samples = read_samples(sorted(folder.glob("phase-*/samples/part-*.parquet")))
    shown = [
        {"stage": stage["stage"], "reason": reason, "samples": samples[stage["stage"], reason]}
        for stage in source["stages"]
        for reason in stage["dropped"]
        if (stage["stage"], reason) in samples
    ]
    kept = samples.get((None, None), [])
    return {**source, "name": name, "stages": stages, "dropped_samples": shown, "kept_samples": kept}
