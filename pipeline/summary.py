"""What the command prints: the funnel of each source, the mix, Q; the plan; the status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpusmill.filters.quality_training import ReliabilityRow
from corpusmill.pipeline.plan import SourcePlan, plan_sources
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.tasks import Outcome, Task


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def count(number: int) -> str:
    return f"{number:,}"


def megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"


def share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def funnel_rows(source: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """A row for each stage: what came, what was dropped, its share, and the reasons that did it, most first."""
    rows = []
    for stage in source["stages"]:
        dropped = stage["in"] - stage["kept"]
        if not stage["dropped"]:
            rows.append((stage["stage"], count(stage["in"]), "rewrites", "", ""))
            continue
        reasons = sorted((item for item in stage["dropped"].items() if item[1]), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{reason} {number:,}" for reason, number in reasons[:4])
        more = f", {len(reasons) - 4} more reasons" if len(reasons) > 4 else ""
        rows.append((stage["stage"], count(stage["in"]), count(dropped), share(dropped, stage["in"]), named + more))
    return rows


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """What a finished run came to."""
    blocks = []
    for name, source in manifest["sources"].items():
        kept = f"{source['documents_out']:,} of {source['records']:,} records kept, {megabytes(source['bytes_out'])}"
        head = ("stage", "came", "dropped", "share", "reasons")
        lines = table(head[:4], [row[:4] for row in funnel_rows(source)]).splitlines()
        notes = ["reasons", *(row[4] for row in funnel_rows(source))]
        lines = [
            f"{line.ljust(max(map(len, lines)))}  {note}".rstrip() for line, note in zip(lines, notes, strict=True)
        ]
        blocks.append("\n".join([f"{name}: {kept}", *(f"  {line}" for line in lines)]))
    mix = manifest.get("mix")
    if mix:
        blocks.append(f"mix, in {mix['unit']}\n" + _indented(table(mix["table"]["head"], mix["table"]["rows"])))
        quality = mix["quality"]
        parts = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in quality["parts"].items())
        blocks.append(f"Q = {quality['q']:.3f}; lost to: {parts}")
        blocks.append(f"dataset: {folder / 'dataset'}  ({mix['documents']:,} documents, {mix['shards']} shards)")
    if "mix_error" in manifest:
        blocks.append(f"no mix, as long as tasks are failed: {manifest['mix_error']}")
    if manifest["failed"]:
        blocks.append(
            f"{len(manifest['failed'])} tasks failed; run the same command again to try only these:\n"
            + "\n".join(f"  {item['task']}: {item['error'].strip().splitlines()[-1]}" for item in manifest["failed"])
        )
    blocks.append(f"report:  {folder / 'report' / 'index.html'}")
    return "\n\n".join(blocks)


def plan_as_data(recipe: Recipe) -> dict[str, Any]:
    """What a run would read and do. Writes nothing."""
    folder = recipe.runs / recipe.name
    sources = {}
    for source in plan_sources(recipe, folder):
        sources[source.name] = {
            "kind": source.reader.kind,
            "files": len(source.files),
            "bytes": source.size,
            "splits": len(source.splits),
            "phases": [
                {
                    "name": phase.name,
                    "stages": [s.name for s in phase.stages],
                    "barriers": [s.name for s in phase.barriers],
                }
                for phase in source.phases
            ],
        }
    from corpusmill.pipeline.mixing import mix_options

    options = mix_options(recipe)
    return {"run": str(folder), "sources": sources, "mix": dict(options.ratios) if options is not None else None}


def plan_as_text(data: Mapping[str, Any]) -> str:
    blocks = [f"run folder: {data['run']}"]
    for name, source in data["sources"].items():
        lines = [
            f"{name}: {source['files']} {source['kind']} files, {megabytes(source['bytes'])}, {source['splits']} tasks"
        ]
        for phase in source["phases"]:
            stages = ", ".join(phase["stages"]) or "no stage"
            ends = f"; then over the whole source: {', '.join(phase['barriers'])}" if phase["barriers"] else ""
            lines.append(f"  {phase['name']}: {stages}{ends}")
        blocks.append("\n".join(lines))
    if data["mix"]:
        blocks.append("mix: " + ", ".join(f"{name} {part:.1%}" for name, part in data["mix"].items()))
    return "\n\n".join(blocks)


def status_as_data(recipe: Recipe) -> dict[str, Any]:
    """For each source and phase, how many tasks are done. Tasks whose inputs are not there yet count as left."""
    folder = recipe.runs / recipe.name
    sources = {source.name: _source_status(source) for source in plan_sources(recipe, folder)}
    return {"run": str(folder), "sources": sources, "finished": (folder / "manifest.json").is_file()}


def _source_status(source: SourcePlan) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    parts: dict[int, Outcome] = {}
    barrier: Outcome | None = None
    open_before = False
    for phase, here in enumerate(source.phases):
        names = {"phase": here.name, "tasks": len(source.splits)}
        if open_before:
            rows.append({**names, "done": 0})
            continue
        tasks = source.map_tasks(phase, parts, barrier)
        done = {part: outcome for part, task in tasks.items() if (outcome := _done(task)) is not None}
        rows.append({**names, "done": len(done)})
        parts, open_before = done, len(done) < len(tasks)
        task = None if open_before else source.barrier_task(phase, parts)
        if here.barriers:
            barrier = _done(task) if task is not None else None
            rows.append(
                {"phase": "+".join(spec.name for spec in here.barriers), "tasks": 1, "done": int(barrier is not None)}
            )
            open_before = open_before or barrier is None
    return rows


def _done(task: Task) -> Outcome | None:
    counts = task.done()
    return Outcome(task, counts, reused=True) if counts is not None else None


def status_as_text(data: Mapping[str, Any]) -> str:
    rows = [
        (f"{name}/{row['phase']}", count(row["done"]), count(row["tasks"] - row["done"]))
        for name, source in data["sources"].items()
        for row in source
    ]
    ended = "finished" if data["finished"] else "not finished"
    return f"{data['run']}: {ended}\n" + _indented(table(("", "done", "left"), rows))


def reliability_table(bins: Sequence[ReliabilityRow]) -> str:
    """How often held-out texts of each score were good ones: a calibrated score says its own share."""
    rows = [
        (f"{row.low:.1f} to {row.high:.1f}", count(row.documents), f"{row.mean_score:.3f}", f"{row.positive_share:.3f}")
        for row in bins
    ]
    return table(("score", "texts", "mean score", "share good"), rows)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
