"""What the command prints: the funnel of each source, the mix, Q; the plan; the status.

Plain text, aligned, no wider than it is told where reasons can be cut off; the whole is in the manifest and the report.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpusmill.documents.errors import UsageError
from corpusmill.pipeline.plan import SourcePlan, phases_in_order, plan_sources, prepare_all
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.tasks import Outcome, Task, fingerprint

if TYPE_CHECKING:  # importing scikit-learn takes most of a second, and only `train` needs it
    from corpusmill.filters.quality_training import ReliabilityRow

WIDTH = 120
"""Columns, where nobody says how many there are."""
_LOSSES = {
    "epochs": "repeated passes",
    "duplicates": "exact duplicates",
    "near_duplicates": "near duplicates",
    "mojibake": "mojibake",
    "unreadable": "unreadable characters",
    "non_language": "text of no language",
    "garbled": "garbled words",
    "shuffled": "shuffled words",
    "boilerplate": "menus and notices",
    "truncated": "broken ends",
    "repeated_lines": "lines that many documents have",
    "repetition": "repetition within documents",
    "overlap": "overlap between documents",
}
"""The parts of 1 - Q (mix/quality_score.py), in words."""
_NEARLY = 0.98  # whole documents rarely fill a pass exactly


def table(head: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """A plain table: the first column to the left, the others to the right. `widths`: the least of each column."""
    lines = [list(head), *(list(row) for row in rows)]
    least = [*widths, *(0 for _ in head[len(widths) :])]
    wide = [max(least[column], *(len(line[column]) for line in lines)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    )


def count(number: int) -> str:
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "task"), counted(1200, "task")
    ('1 task', '1,200 tasks')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(number: float) -> str:
    """Bytes in the unit that leaves one to three digits before the point.

    >>> size(4), size(6785), size(35_200_000), size(1e12)
    ('4 bytes', '6.8 kB', '35.2 MB', '1.0 TB')
    """
    if number < 1000:
        return counted(round(number), "byte")
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:,.1f} TB"


def share(part: float, whole: float) -> str:
    """A share in percent; one that is there but small does not read as none.

    >>> share(1, 3), share(0, 3), share(1, 30_000), share(29_999, 30_000), share(0, 0)
    ('33.3%', '0.0%', '<0.1%', '>99.9%', '–')
    """
    if not whole:
        return "–"
    part = part / whole
    if 0 < part < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= part < 1 else f"{part:.1%}"


def fired(stage: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The reasons for which a stage of the manifest dropped documents, most first."""
    return sorted((item for item in stage["dropped"].items() if item[1]), key=lambda item: (-item[1], item[0]))


def rewrites(stage: Mapping[str, Any]) -> list[tuple[str, int]]:
    """What a rewriting stage of the manifest counted, in its own order."""
    return [item for item in stage["rewritten"]["measures"].items() if item[1]]


def listed(items: Sequence[tuple[str, int]], room: int, noun: str = "reason") -> str:
    """Names with numbers, as many as fit into `room` columns, but at least one; then how many are left out.

    >>> listed([("empty", 12), ("too_long", 3), ("binary", 1)], 24)
    'empty 12, 2 more reasons'
    """
    texts = [f"{name} {number:,}" for name, number in items]
    for shown in range(len(texts), 1, -1):
        line = ", ".join([*texts[:shown], *_left_out(len(texts) - shown, noun)])
        if len(line) <= room:
            return line
    return ", ".join([*texts[:1], *_left_out(len(texts) - 1, noun)])


def _left_out(number: int, noun: str) -> list[str]:
    return [counted(number, f"more {noun}")] if number > 0 else []


def summary(manifest: Mapping[str, Any], folder: Path, width: int = WIDTH) -> str:
    """What a finished run came to: each source's funnel, the mix, Q, and where things are."""
    blocks = [*_funnels(manifest["sources"], width)]
    datasets = manifest["mix"]["datasets"] if "mix" in manifest else []
    blocks += _datasets(datasets, width)
    if manifest["alarms"]:
        blocks.append("\n".join(f"alarm: {alarm['source']}: {alarm['told']}" for alarm in manifest["alarms"]))
    if "mix_error" in manifest:
        blocks.append(f"no mix: {manifest['mix_error']}")
    blocks += _failures(manifest)
    places = [f"report:   {folder / 'report' / 'index.html'}"]
    blocks.append("\n".join([*_places(datasets, folder), *places]))
    return "\n\n".join(blocks)


def mix_summary(manifest: Mapping[str, Any], folder: Path, width: int = WIDTH) -> str:
    """What `corpusmill mix` came to: the datasets, Q, and where they are."""
    datasets = manifest["mix"]["datasets"] if "mix" in manifest else []
    blocks = [*_datasets(datasets, width), *_failures(manifest)]
    return "\n\n".join([*blocks, *(["\n".join(_places(datasets, folder))] if datasets else [])])


def _datasets(datasets: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    return [block for dataset in datasets for block in (_mix(dataset), _q(dataset["quality"], width))]


def _failures(manifest: Mapping[str, Any]) -> list[str]:
    if not manifest["failed"]:
        return []
    told = [f"  {item['task']}: {item['error'].strip().splitlines()[-1]}" for item in manifest["failed"]]
    number = counted(len(told), "task")
    return ["\n".join([f"{number} failed; run the same command again to try only what failed:", *told])]


def _places(datasets: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    return [f"dataset:  {place(folder, dataset)}  ({_rows(dataset)})" for dataset in datasets]


_HEAD = ("stage", "came", "dropped", "share")


def _funnels(sources: Mapping[str, Any], width: int) -> list[str]:
    """A block for each source, their columns in line with one another."""
    rows = {name: [_funnel_row(stage) for stage in source["stages"]] for name, source in sources.items()}
    cells = [_HEAD, *(row for of_source in rows.values() for row in of_source)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    indent, room = 2, width - 2 - sum(widths) - 2 * len(_HEAD)
    blocks = []
    for name, source in sources.items():
        notes = ["why", *(_why(stage, room) for stage in source["stages"])]
        lines = table(_HEAD, rows[name], widths).splitlines()
        whole = sum(widths) + 2 * (len(_HEAD) - 1)
        told = [" " * indent + f"{line.ljust(whole)}  {note}".rstrip() for line, note in zip(lines, notes, strict=True)]
        kept = f"{source['documents_out']:,} of {counted(source['records'], 'record')} kept"
        text = f"{size(source['bytes_out'])} of {size(source['bytes_in'])} of text"
        blocks.append(
            "\n".join([f"{name}: {kept} ({share(source['documents_out'], source['records'])}), {text}", *told])
        )
    return blocks


def _funnel_row(stage: Mapping[str, Any]) -> tuple[str, str, str, str]:
    came = count(stage["in"])
    if "rewritten" in stage:
        return (stage["stage"], came, "–", "")
    dropped = stage["in"] - stage["kept"]
    return (stage["stage"], came, count(dropped), share(dropped, stage["in"]) if stage["in"] else "")


def _why(stage: Mapping[str, Any], room: int) -> str:
    if "rewritten" not in stage:
        reasons = fired(stage)
        cut = [("cut", stage["cut"])] if stage.get("cut") else []
        return listed([*reasons, *cut], room) if reasons or cut else ""
    changed = stage["rewritten"]["documents"]
    if not changed:
        return "rewrote none"
    head = f"rewrote {changed:,}: "
    return head + listed(rewrites(stage), room - len(head), "count")


def place(folder: Path, dataset: Mapping[str, Any]) -> Path:
    """Where a dataset of a run lies."""
    return Path(os.path.normpath(folder / dataset["folder"]))


def heldout_rows(dataset: Mapping[str, Any]) -> int:
    """Documents of a dataset that are held out by source: all splits but those that every dataset may have."""
    return sum(rows for name, rows in dataset["splits"].items() if name not in ("train", "validation"))


def _rows(dataset: Mapping[str, Any]) -> str:
    splits = dataset["splits"]
    parts = [f"{counted(splits['train'], 'document')} for training"]
    if splits.get("validation"):
        parts.append(f"{splits['validation']:,} for validation")
    if heldout := heldout_rows(dataset):
        parts.append(f"{heldout:,} held out by source")
    return ", ".join([*parts, counted(dataset["shards"], "shard")])


def _mix(dataset: Mapping[str, Any]) -> str:
    title = f"mix of {dataset['stage']}" if dataset["stage"] else "mix"
    lines = [f"{title}, in {dataset['unit']}", _indented(table(dataset["table"]["head"], dataset["table"]["rows"]))]
    most = float(dataset["max_epochs"])
    used_up = [part["component"] for part in dataset["components"] if part["epochs"] >= _NEARLY * most]
    if dataset["budget"] is None and used_up:
        passes = "once" if most == 1 else f"{most:g} times"
        lines.append(f"  no budget was set: {' and '.join(used_up)}, read {passes}, set the size")
    return "\n".join(lines)


def _q(quality: Mapping[str, Any], width: int) -> str:
    lost = [(loss_name(name), value) for name, value in quality["parts"].items() if value >= 0.0005]
    lost.sort(key=lambda item: -item[1])
    head = f"Q = {quality['q']:.3f}"
    meaning = "the share of the training tokens that are neither corrupted nor redundant"
    if not lost:
        return f"{head}, {meaning}"
    told = "lost to " + ", ".join(f"{name} {value:.1%}" for name, value in lost)
    return f"{head}, {meaning};\n" + textwrap.fill(told, width, initial_indent="  ", subsequent_indent="  ")


def loss_name(name: str) -> str:
    """A part of 1 - Q in words."""
    return _LOSSES.get(name, name.replace("_", " "))


def plan_as_data(recipe: Recipe) -> dict[str, Any]:
    """What a run would read and do. Writes nothing."""
    from corpusmill.pipeline.mixing import mix_options

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
    options = mix_options(recipe)
    mix = options and {
        "datasets": {
            stage: {
                "ratios": asked.as_dict()["ratios"],
                "budget": asked.budget,
                "max_epochs": asked.max_epochs,
                "when_short": asked.when_short,
            }
            for stage, asked in options.datasets().items()
        },
        "slices": {name: part.where for name, part in options.slices.items()},
        "unit": options.unit,
        "validation": options.validation,
        "heldout": options.heldout,
    }
    return {"run": str(folder), "seed": recipe.seed, "sources": sources, "mix": mix}


def plan_as_text(data: Mapping[str, Any], width: int = WIDTH) -> str:
    blocks = [f"run folder: {data['run']}, seed {data['seed']}"]
    for name, source in data["sources"].items():
        cut = counted(source["splits"], "task")
        files = counted(source["files"], f"{source['kind']} file")
        lines = [f"{name}: {files}, {size(source['bytes'])}, in {cut} a phase"]
        for phase in source["phases"]:
            lines += _filled(phase["name"], ", ".join(phase["stages"]) or _nothing(phase), width)
            if phase["barriers"]:
                lines += _filled("", f"then over all of {name}: {', '.join(phase['barriers'])}", width)
        blocks.append("\n".join(lines))
    mix = data["mix"]
    for stage, dataset in mix["datasets"].items() if mix else ():
        budget = f"{dataset['budget']:,}" if dataset["budget"] is not None else "as many as the ratios allow"
        most = "1 pass" if dataset["max_epochs"] == 1 else f"{dataset['max_epochs']:g} passes"
        rules = f"at most {most} over a source; when one is short: {dataset['when_short']}"
        lines = _filled("ratios", _ratios(dataset["ratios"]), width)
        lines += _filled("budget", f"{budget}, in {mix['unit']}; {rules}", width)
        for name, where in mix["slices"].items():
            lines += _filled("slice", f"{name}: {where}", width)
        lines += _filled("held out", f"{mix['validation']:.1%} of the documents, for validation", width)
        if mix["heldout"]:
            lines += _filled("", f"{mix['heldout']:.1%} of each source's, as a set of its own", width)
        blocks.append("\n".join([f"mix of {stage}" if stage else "mix", *lines]))
    return "\n\n".join(blocks)


def _ratios(ratios: Mapping[str, Any]) -> str:
    parts = []
    for name, given in ratios.items():
        if not isinstance(given, Mapping):
            parts.append(f"{name} {given:.1%}")
            continue
        balance = given["balance"] + (f" {given['temperature']:g}" if given["balance"] == "temperature" else "")
        if given["by"]:
            inner = f" by {given['by']} ({balance})"
        elif isinstance(given["of"], Mapping):
            inner = f" ({_ratios(given['of'])})"
        else:
            inner = f" ({' and '.join(given['of'])}, {balance})" if given["of"] else ""
        parts.append(f"{name} {given['share']:.1%}{inner}")
    return ", ".join(parts)


def _nothing(phase: Mapping[str, Any]) -> str:
    return "no stage" if phase["barriers"] or phase["name"] == "phase-1" else "writes what is left"


def _filled(label: str, text: str, width: int) -> list[str]:
    """Text in lines that stand in from a label."""
    indent = 12
    first = f"  {label}".ljust(indent)
    return textwrap.wrap(
        text, max(width, 40), initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False
    )


def status_as_data(recipe: Recipe) -> dict[str, Any]:
    """For each source and phase, how many tasks are done. Tasks whose inputs are not there yet count as left."""
    folder = recipe.runs / recipe.name
    plans = plan_sources(recipe, folder, prepare=False)
    try:
        sources = _statuses(plans)
    except FileNotFoundError:  # a model or list; the stage that needs it says which, and what to do
        prepare_all(plans)
        raise
    rows = [row for of_source in sources.values() for row in of_source]
    tasks, done = sum(row["tasks"] for row in rows), sum(row["done"] for row in rows)
    if done < tasks:  # those that are done had their models; those that are left would fail for want of them
        prepare_all(plans)
    manifest = _manifest(folder)
    ended = manifest is not None and manifest["recipe_hash"] == fingerprint(recipe.resolved) and done == tasks
    return {
        "run": str(folder),
        "state": "finished" if ended else "not finished" if done else "not begun",
        "tasks": tasks,
        "done": done,
        "failed": len(manifest["failed"]) if manifest else 0,
        "sources": sources,
        "dataset": bool(ended and manifest and "mix" in manifest) if recipe.mix is not None else None,
    }


def _manifest(folder: Path) -> dict[str, Any] | None:
    from corpusmill.pipeline.run import read_manifest

    try:
        return read_manifest(folder)
    except UsageError:  # there is none, which is what a status is asked for
        return None


def _statuses(sources: Sequence[SourcePlan]) -> dict[str, list[dict[str, Any]]]:
    """For each source, how many tasks of each of its phases are done."""
    walks = {source.name: _Walk(source) for source in sources}
    decided: dict[tuple[str, int], Outcome] = {}
    for name, phase in phases_in_order(sources):
        walks[name].pass_phase(phase, decided)
    return {name: walk.rows_with_ledger() for name, walk in walks.items()}


class _Walk:
    """A source's tasks, phase by phase, as far as an earlier run has done them."""

    def __init__(self, source: SourcePlan) -> None:
        self.source = source
        self._rows: list[dict[str, Any]] = []
        self._parts: dict[int, Outcome] = {}
        self._barrier: Outcome | None = None
        self._open_before = False

    def pass_phase(self, phase: int, decided: dict[tuple[str, int], Outcome]) -> None:
        """Looks at a phase, after those before it. `decided`: the barriers of all sources that are done; this one's is
        added."""
        source, here = self.source, self.source.phases[phase]
        tasks = {} if self._open_before else source.map_tasks(phase, self._parts, self._barrier)
        self._parts = _done(tasks)
        self._rows.append({"phase": here.name, "tasks": len(source.splits), "done": len(self._parts)})
        self._open_before = self._open_before or len(self._parts) < len(source.splits)
        if here.barriers:
            earlier = {(one.source, one.phase) for one in source.waits_for(phase)}
            waits = self._open_before or not earlier <= decided.keys()
            task = None if waits else source.barrier_task(phase, self._parts, {}, decided)
            self._barrier = _done({0: task}).get(0) if task is not None else None
            name = "+".join(spec.name for spec in here.barriers)
            self._rows.append({"phase": name, "tasks": 1, "done": int(self._barrier is not None)})
            self._open_before = self._open_before or self._barrier is None
        if self._barrier is not None:
            decided[source.name, phase] = self._barrier

    def rows_with_ledger(self) -> list[dict[str, Any]]:
        merged = {} if self._open_before else _done(self.source.ledger_tasks(self._parts))
        return [*self._rows, {"phase": "ledger", "tasks": len(self.source.splits), "done": len(merged)}]


def _done(tasks: Mapping[int, Task]) -> dict[int, Outcome]:
    """The tasks that an earlier run has done, by part."""
    found = {part: (task, task.done()) for part, task in tasks.items()}
    return {part: Outcome(task, counts, reused=True) for part, (task, counts) in found.items() if counts is not None}


def status_as_text(data: Mapping[str, Any]) -> str:
    head = f"{data['run']}: {data['state']}, {data['done']:,} of {counted(data['tasks'], 'task')} done"
    if data["failed"]:
        head += f"; {data['failed']:,} failed when it last ran"
    rows = {
        name: ", ".join(f"{row['phase']} {row['done']:,}/{row['tasks']:,}" for row in source)
        for name, source in data["sources"].items()
    }
    if data["dataset"] is not None:
        rows["mix"] = "the dataset stands" if data["dataset"] else "the dataset is to be made"
    longest = max(map(len, rows))
    return "\n".join([head, *(f"  {name.ljust(longest)}  {told}" for name, told in rows.items())])


def reliability_table(bins: Sequence[ReliabilityRow], positive: str = "good") -> str:
    """How often held-out texts of each score were `positive` ones: a calibrated score says its own share."""
    rows = [
        (f"{row.low:.1f} to {row.high:.1f}", count(row.documents), f"{row.mean_score:.3f}", f"{row.positive_share:.3f}")
        for row in bins
    ]
    return table(("score", "texts", "mean score", f"share {positive}"), rows)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
