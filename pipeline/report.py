"""The report: one HTML page with the mix and Q, what sweeps have shown, and of each source the funnel, the reasons,
measures and samples.

It is made from the manifest, the ledgers, the samples and the results of sweeps alone, so it can be made again without
running anything. All text of documents is hostile: the template escapes everything, characters that would change how
the text around them is shown are written out, and the page's policy forbids scripts, frames, forms and every outside
address.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline.explain import Ledgers, number, recipe_stages
from corpusmill.pipeline.histograms import Histogram, bars, histograms
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.samples import SAMPLES_PER_REASON, read_samples
from corpusmill.pipeline.search_page import search_sections
from corpusmill.pipeline.summary import count, counted, fired, heldout_rows, loss_name, rewrites, share, size
from corpusmill.pipeline.sweep_page import sections

_BAR_WIDTH = 320
_CHART_WIDTH, _CHART_HEIGHT = 320, 90
_SHOWN_CHARACTERS = 2000
_UNREADABLE = ("read", "extract")
# Controls, and what reorders or hides text: bidi marks, embeddings and isolates, separators, the byte order mark, tags;
# halves of surrogate pairs, which JSON can hold and no page.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def write_report(folder: Path) -> Path:
    """Writes report/index.html of a finished run and returns its path."""
    page = folder / "report" / "index.html"
    atomic_text(page, render(read_manifest(folder), folder))
    return page


def render(manifest: Mapping[str, Any], folder: Path) -> str:
    """The page as text."""
    with closing(Ledgers()) as ledgers:
        sources = [_source(name, source, manifest, folder, ledgers) for name, source in manifest["sources"].items()]
    return _template().render(
        manifest=manifest,
        folder=folder,
        sources=sources,
        sweeps=sections(folder, manifest.get("content_hash")),
        searches=search_sections(folder, manifest.get("content_hash")),
        datasets=[_dataset(dataset) for dataset in manifest.get("mix", {}).get("datasets", [])],
        counted=counted,
        share=share,
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("corpusmill.pipeline", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"count": count, "size": size, "shown": shown, "number": number}
    return environment.get_template("report.html")


def shown(text: object, characters: int = _SHOWN_CHARACTERS) -> Markup:
    """Text of others as HTML that shows it as it is: escaped, cut, with controls written out.

    >>> shown("<b>\\u202eevil")
    Markup('&lt;b&gt;<span class="control">U+202E</span>evil')
    """
    whole = str(text)
    safe = str(escape(whole[:characters]))
    safe = _CONTROL.sub(lambda match: f'<span class="control">U+{ord(match.group()):04X}</span>', safe)
    left = len(whole) - characters
    more = f'<span class="control">… {counted(left, "more character")}</span>' if left > 0 else ""
    return Markup(safe + more)  # all of it was escaped above


def _dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    parts = [{"name": loss_name(name), "value": value} for name, value in dataset["quality"]["parts"].items()]
    splits = dataset["splits"]
    held = {"validation": splits.get("validation", 0), "heldout": heldout_rows(dataset)}
    return {**dataset, "losses": parts, "train": splits["train"], **held}


def _source(
    name: str, source: Mapping[str, Any], manifest: Mapping[str, Any], run: Path, ledgers: Ledgers
) -> dict[str, Any]:
    specs = recipe_stages(manifest, run, name)
    dropped = {stage["stage"]: stage["dropped"] for stage in source["stages"]}
    return {
        **source,
        "name": name,
        "stages": [_stage(stage, max(source["records"], 1)) for stage in source["stages"]],
        "silent": [f"{stage}/{reason}" for stage, reasons in dropped.items() for reason, n in reasons.items() if not n],
        "charts": [_chart(histogram) for histogram in histograms(ledgers, run / name / "ledger", specs, dropped)],
        **_samples(run / name, source["stages"], ledgers),
    }


def _stage(stage: Mapping[str, Any], records: int) -> dict[str, Any]:
    gone = stage["in"] - stage["kept"]
    reasons = [{"reason": reason, "count": n, "share": share(n, stage["in"])} for reason, n in fired(stage)]
    return {
        **stage,
        "gone": gone,
        "share": share(gone, stage["in"]),
        "reasons": reasons,
        "changes": rewrites(stage) if "rewritten" in stage else None,
        "kept_width": round(_BAR_WIDTH * stage["kept"] / records, 1),
        "gone_width": round(_BAR_WIDTH * gone / records, 1),
    }


def _chart(histogram: Histogram) -> dict[str, Any]:
    lines = [
        {
            "x": round(_CHART_WIDTH * histogram.place(value), 1),
            "sign": "≥" if kind == "at_least" else "≤",
            "value": value,
        }
        for kind, value in histogram.bounds
    ]
    return {
        "stage": histogram.stage,
        "measure": histogram.measure,
        "documents": sum(histogram.counts),
        "broken": sum(histogram.broken),
        "highest": histogram.highest,
        "logarithmic": histogram.logarithmic,
        "bars": bars(histogram, _CHART_WIDTH, _CHART_HEIGHT),
        "lines": lines,
    }


def _samples(source: Path, stages: Sequence[Mapping[str, Any]], ledgers: Ledgers) -> dict[str, Any]:
    """Samples of what each reason dropped and of what was kept, with what the ledger says of each. Those of parts that
    failed in a later phase are left out: they have no ledger yet."""
    samples = read_samples(sorted(source.glob("phase-*/samples/part-*.parquet")))
    known = _rows_of(ledgers, source / "ledger", [sample["id"] for group in samples.values() for sample in group])
    found = {
        key: [{**known[sample["id"]], **sample} for sample in group if sample["id"] in known]
        for key, group in samples.items()
    }
    found |= _unreadable(ledgers, source / "ledger")
    groups = [
        {"stage": stage["stage"], "reason": reason, "count": n, "samples": found[stage["stage"], reason]}
        for stage in stages
        for reason, n in fired(stage)
        if found.get((stage["stage"], reason))
    ]
    return {"dropped_samples": groups, "kept_samples": found.get((None, None), [])}


def _rows_of(ledgers: Ledgers, ledger: Path, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The ledger's rows of these documents, by id."""
    query = 'select id, url, file, "offset", detail, kept_id, similarity from ledger where id in (select unnest($ids))'
    return {row["id"]: row for row in ledgers.rows(ledger, query, ids=list(ids))}


def _unreadable(ledgers: Ledgers, ledger: Path) -> dict[tuple[str | None, str | None], list[dict[str, Any]]]:
    """For each reason of reading and extraction, the records with the smallest ids: a random sample, as ids are
    hashes."""
    rows = ledgers.rows(
        ledger,
        'select stage, reason, id, url, file, "offset", detail, kept_id, similarity from ledger '
        f"where stage in {_UNREADABLE} "
        f"qualify row_number() over (partition by stage, reason order by id) <= {SAMPLES_PER_REASON} order by id",
    )
    found: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["stage"], row["reason"]), []).append({**row, "text": None, "text_bytes": 0})
    return found
