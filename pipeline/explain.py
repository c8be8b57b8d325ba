"""`corpusmill explain`: one document's way through every stage, from the ledger."""

from __future__ import annotations

import dataclasses
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from corpusmill.documents.errors import UsageError
from corpusmill.filters.contract import Filter, Rule
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.summary import WIDTH, count, size

_SHOWN = ("id", "source", "file", "offset", "url", "text_bytes", "verdict", "stage", "reason", "kept_id", "similarity",
          "cluster_size", "detail")  # fmt: skip
_MEMORY = "1GB"
_FITTING = 20
_BOUNDS = (("at_least", "≥"), ("at_most", "≤"))


def find_runs(folder: Path) -> list[Path]:
    """The finished runs below `folder`, the latest first."""
    manifests = sorted(folder.glob("*/manifest.json"), key=lambda path: (-path.stat().st_mtime_ns, path))
    return [path.parent for path in manifests]


def explain_document(document: str, runs: Sequence[Path]) -> dict[str, Any]:
    """What the ledgers of `runs` say of a document, found by its id, the beginning of it, or its URL.

    The first run that knows it answers.

    Raises:
        UsageError: if no run knows it, or if several documents fit.
    """
    if not document:
        raise UsageError("no document is named; give its id, the beginning of one, or a URL")
    if not runs:
        raise UsageError("there is no finished run below ./runs; name one with --run FOLDER")
    for run in runs:
        manifest = read_manifest(run)
        rows = [row for source in manifest["sources"] for row in _rows(run / source / "ledger", document)]
        rows = [row for row in rows if row["id"] == document] or rows
        if len(rows) > 1:
            raise UsageError(f"{document}: fits several records of {run}; name one by its id:\n{_choice(rows)}")
        if rows:
            return _told(rows[0], run, manifest)
    places = ", ".join(str(run) for run in runs)
    raise UsageError(
        f"{document}: no document of this id or URL in {places}; ids stand in <source>/ledger/*.parquet and the report"
    )


def recipe_stages(manifest: Mapping[str, Any], run: Path, source: str) -> tuple[StageSpec, ...]:
    """The stages that a run's manifest names for a source, with the values that were in force.

    Raises:
        UsageError: if the manifest is of an older version, which did not name them.
    """
    if "stages" not in manifest:
        raise UsageError(f"{run}: was made by an older version of corpusmill; run the recipe again")
    place = f"{run / 'manifest.json'}: stages.{source}"
    return tuple(
        StageSpec(item["name"], item["stage"], item["options"], f"{place}.{item['name']}")
        for item in manifest["stages"][source]
    )


class Ledgers:
    """Ledgers to be asked in SQL, on one database for all questions: to make one takes longer than most answers."""

    def __init__(self) -> None:
        self._base = duckdb.connect(config={"memory_limit": _MEMORY})

    def rows(self, ledger: Path, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that a query finds in a source's `ledger`; none if it has no file yet."""
        files = sorted(str(path) for path in ledger.glob("part-*.parquet"))
        if not files:
            return []
        self._base.execute(f"create or replace view ledger as select * from read_parquet({_quoted(files)})")
        answer = self._base.sql(query, params=parameters)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]

    def close(self) -> None:
        self._base.close()


def ledger_rows(ledger: Path, query: str, **parameters: Any) -> list[dict[str, Any]]:
    """What `Ledgers.rows` answers, for who asks once."""
    with closing(Ledgers()) as ledgers:
        return ledgers.rows(ledger, query, **parameters)


def _quoted(names: Sequence[str]) -> str:
    """A list of strings as SQL; a view takes no parameters."""
    return "[" + ", ".join("'" + name.replace("'", "''") + "'" for name in names) + "]"


def _rows(ledger: Path, document: str) -> list[dict[str, Any]]:
    rows = ledger_rows(
        ledger,
        "select * from ledger where id = $document or starts_with(id, $document) or url = $document "
        f"order by id limit {_FITTING}",
        document=document,
    )
    # A page's request and metadata records have its URL, too; the page is what is asked for.
    pages = [row for row in rows if row["reason"] != "not_response"]
    return [row for row in rows if row["id"] == document] or pages or rows


def _choice(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"  {row['id']}  {row['source']}, {_outcome(row)}, {_place(row)}" for row in rows[:5]]
    more = "" if len(rows) <= 5 else f"\n  and {len(rows) - 5}{' or more' if len(rows) >= _FITTING else ''} others"
    return "\n".join(lines) + more


def _outcome(row: Mapping[str, Any]) -> str:
    return "kept" if row["verdict"] == "kept" else f"dropped by {row['stage']}: {row['reason']}"


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['file']} at {row['offset']:,}" if row["offset"] else str(row["file"])


def _told(row: Mapping[str, Any], run: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: row.get(name) for name in _SHOWN}
    specs = recipe_stages(manifest, run, row["source"])
    return {
        "run": str(run),
        **told,
        "kept": _twin(row, run),
        "dataset": _in_dataset(row, run, manifest),
        "stages": _stages(row, specs),
    }


def _in_dataset(row: Mapping[str, Any], run: Path, manifest: Mapping[str, Any]) -> dict[str, int] | None:
    """In which files of the dataset a kept document stands, and how often; None if it was not there to be taken."""
    datasets = manifest["mix"]["datasets"] if "mix" in manifest else []
    taken = {part["source"] for dataset in datasets for part in dataset["components"]}
    if row["verdict"] != "kept" or row["source"] not in taken:
        return None
    files = {
        str(file): f"{dataset['stage']}/{file.name}" if dataset["stage"] else file.name
        for dataset in datasets
        for folder in ("data", "heldout")
        for file in sorted((run / dataset["folder"] / folder).glob("*.parquet"))
    }
    with duckdb.connect(config={"memory_limit": _MEMORY}) as base:
        found = base.sql(
            "select filename, count(*) from read_parquet($files, filename = true) where id = $id "
            "group by all order by all",
            params={"files": list(files), "id": row["id"]},
        ).fetchall()
    return {files[name]: rows for name, rows in found}


def _twin(row: Mapping[str, Any], run: Path) -> dict[str, Any] | None:
    """Of a duplicate: where the document that stays in its place comes from, and what became of it later. None where it
    is of another run."""
    if row["kept_id"] is None:
        return None
    query = 'select id, source, url, file, "offset", verdict, stage, reason from ledger where id = $id'
    own = run / row["source"] / "ledger"
    for ledger in (own, *sorted(path for path in run.glob("*/ledger") if path != own)):
        if found := ledger_rows(ledger, query, id=row["kept_id"]):
            return found[0]
    return None


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
        entry["parameters"] = _parameters(stage)
        told.append(entry)
        if dropped:
            break
    return told


def _rules(stage: Filter, measures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules in force, with what they judged."""
    return [
        {
            "reason": str(rule.reason),
            "measure": rule.measure,
            "value": measures.get(rule.measure),
            "at_least": rule.at_least,
            "at_most": rule.at_most,
        }
        for rule in stage.rules()
        if in_force(rule)
    ]


def in_force(rule: Rule) -> bool:
    """Whether a rule has a bound at all."""
    return rule.at_least is not None or rule.at_most is not None


def _parameters(stage: Any) -> dict[str, Any]:
    fields = {item.name: getattr(stage, item.name) for item in dataclasses.fields(stage) if item.init}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def explain_as_text(told: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [told["id"]]
    if told["url"]:
        lines.append(f"  {told['url']}")
    lines.append(f"  from {_place(told)}" + (f", {size(told['text_bytes'])} of text" if told["text_bytes"] else ""))
    if told["verdict"] == "kept":
        stands = f"; it stands for {told['cluster_size']:,} documents" if told["cluster_size"] else ""
        lines.append(f"  kept, in {told['run']}/{told['source']}/curated{stands}")
        if told["dataset"] is not None:
            files = ", ".join(name + (f" ({rows} times)" if rows > 1 else "") for name, rows in told["dataset"].items())
            lines.append(f"  in the dataset: {files}" if files else "  the mix did not take it: its source has more")
    else:
        lines.append(f"  {_outcome(told)}" + (f" ({told['detail']})" if told["detail"] else ""))
        if told["kept_id"]:
            lines += _twin_lines(told)
    for entry in told["stages"]:
        lines += _stage_lines(entry)
    return "\n".join(lines)


def _twin_lines(told: Mapping[str, Any]) -> list[str]:
    twin = told["kept"]
    similarity = "" if told["similarity"] is None else f", similarity {told['similarity']:.3f}"
    lines = [f"  in its place stayed {told['kept_id']}{similarity}"]
    if twin is None:
        lines.append("    of an earlier run: `corpusmill dedup query` says where its index has it")
    else:
        elsewhere = "" if twin["source"] == told["source"] else f" of source {twin['source']}"
        lines.append(
            f"    {twin['url'] or _place(twin)}{elsewhere}"
            + ("" if twin["verdict"] == "kept" else f"; {_outcome(twin)}")
        )
        lines.append(f"    corpusmill explain {told['kept_id']} --run {shlex.quote(told['run'])}")
    return lines


def _stage_lines(entry: Mapping[str, Any]) -> list[str]:
    if "measures" not in entry:  # it did not become a document
        return []
    dropped = entry["verdict"] == "dropped"
    lines = ["", f"{entry['stage']}: {entry['verdict']}" + (f", {entry['reason']}" if dropped else "")]
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for rule in entry["rules"]:
        rules.setdefault(rule["measure"], []).append(rule)
    rows = []
    for name, value in entry["measures"].items():
        here = rules.get(name, [])
        if not here and not value:
            continue  # a count of nothing, or not measured, and nobody asks
        broken = [rule for rule in here if _breaks(rule)]
        first = any(rule["reason"] == entry.get("reason") for rule in broken)
        mark = "  <- broken" if first else "  <- beyond, too" if broken else ""
        bounds = [f"{sign} {number(rule[key])}" for rule in here for key, sign in _BOUNDS if rule[key] is not None]
        near = [rule[key] for rule in here for key, _ in _BOUNDS if rule[key] is not None]
        rows.append((name, number(value, near), " and ".join(bounds), mark))
    wide = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    lines += [
        f"  {name.ljust(wide[0])}  {value.rjust(wide[1])}  {bounds}{mark}".rstrip()
        for name, value, bounds, mark in rows
    ]
    if dropped and not any("<- broken" in line for line in lines):
        # No threshold did it; then what the stage was told says why.
        given = "; ".join(f"{name} {_plain(value)}" for name, value in entry["parameters"].items())
        lines += textwrap.wrap(f"set: {given}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _breaks(rule: Mapping[str, Any]) -> bool:
    value = rule["value"]
    return value is not None and (
        (rule["at_least"] is not None and value < rule["at_least"])
        or (rule["at_most"] is not None and value > rule["at_most"])
    )


def number(value: Any, apart_from: Sequence[float] = ()) -> str:
    """A measure for people: four digits, or as many as tell it from bounds that it does not equal.

    >>> number(0.123456), number(100_000), number(0.64996, [0.65]), number(None)
    ('0.1235', '100,000', '0.64996', 'not measured')
    """
    if value is None:
        return "not measured"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or float(value).is_integer():
        return count(int(value))
    for digits in (4, 6, 8):
        text = f"{value:.{digits}g}"
        if not any(float(text) == bound != value for bound in apart_from):
            return text
    return repr(value)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "off" if value is None else str(value)
