"""`corpusmill explain`: one document's way through every stage, from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from corpusmill.documents.errors import UsageError
from corpusmill.filters.contract import Filter
from corpusmill.pipeline.recipe import StageSpec, parse_recipe
from corpusmill.pipeline.run import read_manifest

_SHOWN = ("id", "source", "file", "offset", "url", "text_bytes", "verdict", "stage", "reason", "kept_id", "similarity",
          "cluster_size", "detail")  # fmt: skip


def find_runs(folder: Path) -> list[Path]:
    """The finished runs below `folder`."""
    return sorted(path.parent for path in folder.glob("*/manifest.json"))


def explain_document(document: str, runs: Sequence[Path]) -> dict[str, Any]:
    """What the ledgers of `runs` say of a document, found by its id, the beginning of it, or its URL.

    Raises:
        UsageError: if no run knows it, or if several documents fit.
    """
    if not runs:
        raise UsageError("there is no run here; name one with --run FOLDER")
    for run in runs:
        manifest = read_manifest(run)
        for source in manifest["sources"]:
            rows = _rows(run / source / "ledger", document)
            if len(rows) > 1:
                ids = ", ".join(row["id"] for row in rows[:5])
                raise UsageError(f"{document}: fits several documents of {run / source}: {ids}")
            if rows:
                return _told(rows[0], run, manifest, source)
    places = ", ".join(str(run) for run in runs)
    raise UsageError(f"{document}: no document of this id or URL in {places}; ids stand in <source>/ledger/*.parquet")


def _rows(ledger: Path, document: str) -> list[dict[str, Any]]:
    files = sorted(str(path) for path in ledger.glob("part-*.parquet"))
    if not files:
        return []
    with duckdb.connect() as base:
        found = base.sql(
            "select * from read_parquet($1) where id = $2 or starts_with(id, $2) or url = $2 limit 20",
            params=[files, document],
        ).to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    # A page's request and metadata records have its URL, too; the page is what is asked for.
    pages = [row for row in rows if row["reason"] != "not_response"]
    return [row for row in rows if row["id"] == document] or pages or rows


def _told(row: Mapping[str, Any], run: Path, manifest: Mapping[str, Any], source: str) -> dict[str, Any]:
    recipe = parse_recipe(dict(manifest["recipe"]), run, "recipe.yaml")
    [spec] = [spec for spec in recipe.sources if spec.name == source]
    told = {name: row.get(name) for name in _SHOWN}
    return {"run": str(run), **told, "stages": _stages(row, spec.stages)}


def _stages(row: Mapping[str, Any], specs: Sequence[StageSpec]) -> list[dict[str, Any]]:
    """What each stage made of the document, until it was dropped."""
    told: list[dict[str, Any]] = []
    if row["stage"] in ("read", "extract"):
        return [{"stage": row["stage"], "verdict": "dropped", "reason": row["reason"]}]
    for spec in specs:
        stage = spec.build()
        dropped = row["stage"] == spec.name
        prefix = f"{spec.name}."
        measures = {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
        entry: dict[str, Any] = {"stage": spec.name, "verdict": "dropped" if dropped else "passed"}
        if dropped:
            entry["reason"] = row["reason"]
        entry["measures"] = measures
        entry["rules"] = _rules(stage, measures) if isinstance(stage, Filter) else []
        told.append(entry)
        if dropped:
            break
    return told


def _rules(stage: Filter, measures: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "reason": str(rule.reason),
            "measure": rule.measure,
            "value": measures.get(rule.measure),
            "at_least": rule.at_least,
            "at_most": rule.at_most,
        }
        for rule in stage.rules()
    ]


def explain_as_text(told: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{told['id']}  {told['url'] or ''}".rstrip(),
        f"from {told['file']} at {told['offset']}, {told['text_bytes']:,} bytes",
    ]
    if told["verdict"] == "kept":
        stands = f", stands for {told['cluster_size']} documents" if told["cluster_size"] else ""
        lines.append(f"kept in {told['run']}/{told['source']}/curated{stands}")
    else:
        lines.append(
            f"dropped by {told['stage']}: {told['reason']}" + (f" ({told['detail']})" if told["detail"] else "")
        )
    if told["kept_id"]:
        lines.append(f"in its place stays {told['kept_id']}, similarity {told['similarity']:.3f}")
    for entry in told["stages"]:
        lines.append(f"\n{entry['stage']}: {entry['verdict']}" + (f", {entry['reason']}" if "reason" in entry else ""))
        judged = {rule["measure"] for rule in entry.get("rules", ())}
        for rule in entry.get("rules", ()):
            bounds = [
                f"{sign} {rule[key]:g}" for key, sign in (("at_least", "≥"), ("at_most", "≤")) if rule[key] is not None
            ]
            mark = "  <- broken" if entry.get("reason") == rule["reason"] else ""
            lines.append(
                f"  {rule['measure']} = {_number(rule['value'])}  (must be {' and '.join(bounds) or 'anything'}){mark}"
            )
        for name, value in entry.get("measures", {}).items():
            if name not in judged and value not in (None, 0):
                lines.append(f"  {name} = {_number(value)}")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "not measured" if value is None else str(value)
