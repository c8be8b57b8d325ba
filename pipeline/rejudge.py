"""`corpusmill rejudge`: what other thresholds would have done, from a run's ledger, without reading texts.

The ledger holds what every filter measured of every document that reached it. So a filter's new verdict on those is
certain. What is not in it: what later stages would have measured of a document that now passes and was dropped then
(it is `undecided`, unless no later stage could drop it); which duplicate would stay in the place of one that now goes
(`stood_for` counts those); and where later barriers that compare the documents of a source (shares, percentiles, what
is common) would draw their lines among others (`over_the_source` names them).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from corpusmill.documents.barrier import Barrier
from corpusmill.documents.errors import RecipeError, UsageError, nearest
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.printable import printable_line
from corpusmill.documents.shards import read_batches
from corpusmill.filters.contract import Filter, Rewriter, Rule
from corpusmill.pipeline.explain import in_force, ledger_rows, number, recipe_stages
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.summary import count, share, size, table

SAMPLES = 5
_EXCERPT = 160
_BATCH_ROWS = 65_536
KEPT = "kept"
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Change:
    """One new value: of which stage of which source."""

    source: str
    spec: StageSpec  # as the run had it
    field: str
    value: Any


@dataclass(slots=True)
class _Stage:
    """A stage of the source that is judged again."""

    position: int
    spec: StageSpec
    before: Filter
    now: Filter
    certain: bool  # no later stage could drop a document that passes


def rejudge(run: Path, changes: Sequence[str], samples: int = SAMPLES) -> dict[str, Any]:
    """What would change in a finished run with other thresholds.

    Args:
        run: its folder.
        changes: `source.stage.field=value`, the stage as the ledger calls it; `*` as the source is every source that
            has the stage.
        samples: how many documents to show on each side of each new threshold.

    Raises:
        UsageError: if a change names what is not there, or what cannot be judged again from measures.
    """
    if samples < 0:
        raise UsageError(f"--samples {samples}: must be 0 or more")
    manifest = read_manifest(run)
    asked = [change for text in changes for change in _parsed(text, manifest, run)]
    if not asked:
        raise UsageError(
            "nothing to change; give --set SOURCE.STAGE.FIELD=VALUE, such as web.gopher_quality.min_words=80"
        )
    sources = dict.fromkeys(change.source for change in asked)
    return {
        "run": str(run),
        "changes": [
            {
                "source": change.source,
                "stage": change.spec.name,
                "field": change.field,
                "before": _plain(getattr(change.spec.build(), change.field)),
                "now": _plain(change.value),
            }
            for change in asked
        ],
        "sources": {
            source: _source(run, source, manifest, [change for change in asked if change.source == source], samples)
            for source in sources
        },
    }


def _parsed(text: str, manifest: Mapping[str, Any], run: Path) -> Iterator[Change]:
    path, equals, value = text.partition("=")
    steps = path.strip().split(".")
    if not equals or len(steps) != 3 or not all(steps):
        raise UsageError(f"--set {text}: write SOURCE.STAGE.FIELD=VALUE, such as web.gopher_quality.min_words=80")
    source, stage, field = steps
    known = list(manifest["sources"])
    if source != "*" and source not in known:
        raise UsageError(f"--set {text}: the run has no source {source!r}{_mend(source, known)}")
    try:
        given = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {text}: the value is no YAML: {error}") from error
    found = False
    for name in known if source == "*" else [source]:
        specs = {spec.name: spec for spec in recipe_stages(manifest, run, name)}
        if stage in specs:
            found = True
            yield _checked(Change(name, specs[stage], field, given), text)
        elif source != "*":
            raise UsageError(f"--set {text}: {name} has no stage {stage!r}{_mend(stage, list(specs))}")
    if not found:
        raise UsageError(f"--set {text}: no source has a stage {stage!r}")


def _checked(change: Change, text: str) -> Change:
    stage = change.spec.build()
    fields = [item.name for item in dataclasses.fields(stage) if item.init]
    if change.field not in fields:
        raise UsageError(
            f"--set {text}: {change.spec.stage} has no field {change.field!r}{_mend(change.field, fields)}"
        )
    if isinstance(stage, Rewriter):
        raise UsageError(f"--set {text}: {change.spec.stage} rewrites texts and judges none; run the recipe again")
    if not isinstance(stage, Filter):
        raise UsageError(
            f"--set {text}: {change.spec.stage} decides over the whole source; run the recipe with the new value: what "
            "it observed is kept, and only what follows is done anew"
        )
    if not stage.is_judged(change.field):
        raise UsageError(
            f"--set {text}: what {change.spec.stage} measures depends on {change.field}, so texts must be read; run "
            "the recipe with the new value"
        )
    return change


def _mend(word: str, known: Sequence[str]) -> str:
    near = nearest(word, known)
    return f'; did you mean "{near}"?' if near else f"; there are: {', '.join(known)}"


def _source(
    run: Path, source: str, manifest: Mapping[str, Any], changes: Sequence[Change], samples: int
) -> dict[str, Any]:
    specs = recipe_stages(manifest, run, source)
    stages = _stages(specs, changes)
    ledger = run / source / "ledger"
    tally = _Tally([spec.name for spec in specs])
    for path in sorted(ledger.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in read_batches(file, _BATCH_ROWS, _columns(stages)):
                tally.add(batch, stages)
    sides = [side for stage in stages for side in _sides(run, source, stage, samples)] if samples else []
    told = tally.told()
    later = specs[stages[0].position + 1 :] if told["moves"] else ()
    barriers = [spec.name for spec in later if isinstance(spec.build(), Barrier)]
    return {**told, "over_the_source": barriers, "samples": sides}


def _stages(specs: Sequence[StageSpec], changes: Sequence[Change]) -> list[_Stage]:
    stages = []
    for position, spec in enumerate(specs):
        new = {change.field: change.value for change in changes if change.spec.name == spec.name}
        if not new:
            continue
        changed = dataclasses.replace(spec, options={**spec.options, **new})
        try:
            now = changed.build()
        except RecipeError as error:
            raise UsageError(f"--set {spec.name}: {error}") from error
        later = [type(item.build()) for item in specs[position + 1 :]]
        certain = all(issubclass(kind, Rewriter) for kind in later)
        stages.append(_Stage(position, changed, spec.build(), now, certain))
    return stages


def _columns(stages: Sequence[_Stage]) -> list[str]:
    measures = [f"{stage.spec.name}.{name}" for stage in stages for name in stage.now.measures.names]
    return ["text_bytes", "stage", "reason", "cluster_size", *measures]


class _Tally:
    """What became of the records, and what would have."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._positions = {"read": -2, "extract": -1} | {name: place for place, name in enumerate(stages)}
        self._end = len(stages)
        self._moves: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._records = self._stood_for = 0

    def add(self, batch: pa.RecordBatch, stages: Sequence[_Stage]) -> None:
        was = np.array([self._positions[name] if name else self._end for name in batch.column("stage").to_pylist()])
        before = _fates(batch)
        now = before.copy()
        open_ = np.ones(batch.num_rows, np.bool_)
        for stage in stages:
            here = open_ & (was >= stage.position)
            verdicts = _verdicts(stage.now, stage.spec.name, batch)
            broken = here & (verdicts >= 0)
            names = np.array([f"{stage.spec.name}/{reason}" for reason in stage.now.reasons], object)
            now[broken] = names[verdicts[broken]]
            freed = here & (verdicts < 0) & (was == stage.position)
            now[freed] = KEPT if stage.certain else UNDECIDED
            open_ &= ~(broken | freed)
        sizes = batch.column("text_bytes").to_numpy()
        clusters = pc.fill_null(batch.column("cluster_size"), 1).to_numpy()
        self._records += batch.num_rows
        self._moves.update(zip(before.tolist(), now.tolist(), strict=True))
        for fates, key in ((before, "before"), (now, "now")):
            self._bytes[key] += int(sizes[fates == KEPT].sum())
        gone = (before == KEPT) & (now != KEPT)
        self._stood_for += int((clusters[gone] > 1).sum())

    def told(self) -> dict[str, Any]:
        """Counts, and each move from one fate to another."""
        moves = sorted(((a, b, n) for (a, b), n in self._moves.items() if a != b), key=lambda move: (-move[2], move))
        before = sum(n for (a, _), n in self._moves.items() if a == KEPT)
        now = sum(n for (_, b), n in self._moves.items() if b == KEPT)
        return {
            "records": self._records,
            "kept_before": before,
            "kept_now": now,
            "undecided": sum(n for (_, b), n in self._moves.items() if b == UNDECIDED),
            "bytes_before": self._bytes["before"],
            "bytes_now": self._bytes["now"],
            "stood_for": self._stood_for,
            "moves": [{"from": a, "to": b, "documents": n} for a, b, n in moves],
        }


def _fates(batch: pa.RecordBatch) -> NDArray[Any]:
    names = pc.binary_join_element_wise(batch.column("stage"), batch.column("reason"), "/")
    return np.asarray(pc.fill_null(names, KEPT).to_numpy(zero_copy_only=False), object)


def _verdicts(stage: Filter, name: str, batch: pa.RecordBatch) -> NDArray[np.int8]:
    """int8[rows]: the index of the reason for which a filter drops each row, -1 where it does not."""
    columns = [batch.column(f"{name}.{item.name}").cast(item.type) for item in stage.measures]
    schema = pa.schema([item.with_nullable(True) for item in stage.measures])
    verdicts = stage.judge(pa.RecordBatch.from_arrays(columns, schema=schema))
    return np.asarray(pc.fill_null(verdicts, -1).to_numpy(zero_copy_only=False), np.int8)


def _sides(run: Path, source: str, stage: _Stage, samples: int) -> Iterator[dict[str, Any]]:
    """For each bound that moved: the documents nearest to it on either side, with the beginnings of their texts."""
    old = set(_bounds(stage.before.rules()))
    for reason, measure, kind, bound in _bounds(stage.now.rules()):
        if (reason, measure, kind, bound) in old:
            continue
        column = f'"{stage.spec.name}.{measure}"'
        sides = {}
        for side, sign in (
            ("kept", ">=" if kind == "at_least" else "<="),
            ("dropped", "<" if kind == "at_least" else ">"),
        ):
            rows = ledger_rows(
                run / source / "ledger",
                f"select id, url, file, verdict, stage, reason, {column} as value from ledger "
                f"where {column} {sign} {bound!r} order by abs({column} - {bound!r}), id limit {int(samples)}",
            )
            sides[side] = [{**row, "text": None} for row in rows]
        texts = _texts(run / source, [row["id"] for rows in sides.values() for row in rows])
        for rows in sides.values():
            for row in rows:
                row["text"] = texts.get(row["id"])
        yield {"stage": stage.spec.name, "reason": reason, "measure": measure, kind: bound, **sides}


def _bounds(rules: Sequence[Rule]) -> Iterator[tuple[str, str, str, float]]:
    for rule in rules:
        if in_force(rule):
            for kind in ("at_least", "at_most"):
                if (bound := getattr(rule, kind)) is not None:
                    yield str(rule.reason), rule.measure, kind, bound


def _texts(source: Path, ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of these documents' texts, of those that were kept or are among the run's samples."""
    wanted = IdIndex(pa.array(ids, pa.string()))
    found: dict[str, str] = {}
    for path in (
        *sorted(source.glob("phase-*/samples/part-*.parquet")),
        *sorted(source.glob("curated/part-*.parquet")),
    ):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if len(found) == len(ids):
                    return found
                here = wanted.find(file.read_row_group(group, columns=["id"])["id"].combine_chunks()) >= 0
                if here.any():
                    rows = file.read_row_group(group, columns=["id", "text"]).filter(pa.array(here))
                    starts = pc.utf8_slice_codeunits(rows["text"], 0, _EXCERPT)
                    found |= dict(zip(rows["id"].to_pylist(), starts.to_pylist(), strict=True))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def rejudge_as_text(told: Mapping[str, Any]) -> str:
    """The same for people."""
    blocks = []
    for name, source in told["sources"].items():
        changes = [change for change in told["changes"] if change["source"] == name]
        lines = [f"{name}: " + "; ".join(f"{c['stage']}.{c['field']} {c['before']} -> {c['now']}" for c in changes)]
        difference = source["kept_now"] - source["kept_before"]
        lines.append(
            f"  kept {count(source['kept_before'])} -> {count(source['kept_now'])} of {count(source['records'])} "
            f"({difference:+,}; {share(source['kept_now'], source['records'])}), "
            f"{size(source['bytes_before'])} -> {size(source['bytes_now'])}"
        )
        if source["undecided"]:
            lines.append(
                f"  {count(source['undecided'])} more would pass here; what later stages say of them needs their texts"
            )
        if source["stood_for"]:
            lines.append(
                f"  {count(source['stood_for'])} of those that would go stand for duplicates, one of which would stay"
            )
        if source["over_the_source"]:
            names = ", ".join(source["over_the_source"])
            lines.append(f"  {names} would see other documents, and may decide otherwise on the rest")
        rows = [(f"  {move['from']}", move["to"], count(move["documents"])) for move in source["moves"]]
        if rows:
            lines.append(table(("  was", "would be", "documents"), rows))
        else:
            lines.append("  nothing would change")
        for side in source["samples"]:
            lines += _side_lines(side)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _side_lines(side: Mapping[str, Any]) -> list[str]:
    kind = "at_least" if "at_least" in side else "at_most"
    bound = side[kind]
    lines = ["", f"  {side['stage']}/{side['reason']}: {side['measure']} {'≥' if kind == 'at_least' else '≤'} {bound}"]
    for name, word in (("kept", "passes"), ("dropped", "goes")):
        for row in side[name]:
            now = row["verdict"] if row["verdict"] == KEPT else f"{row['stage']}/{row['reason']}"
            lines.append(
                f"    {word:6} {number(row['value'], [bound])}  {row['id']}  was {now}  {row['url'] or row['file']}"
            )
            text = printable_line(row["text"] or "")
            if text:
                lines.append(f"           {text}")
    return lines
