"""`corpusmill suggest`: thresholds proposed from how the measures of a run are spread over its documents.

After data-juicer's analyser (Chen et al. 2024, arXiv:2309.02033, section 5), which shows the spread of every statistic
and sets each bound three standard deviations from the mean. Differs from it: by default a bound is a quantile, because
most measures are skewed, and each is set so that it alone keeps a given share; the documents counted are those that
reached the stage. A proposal says what is rare in this data, not what is bad: read the documents on both sides
(`corpusmill rejudge`) before it is taken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from corpusmill.documents.errors import RecipeError, UsageError
from corpusmill.filters.contract import Filter, Rule
from corpusmill.pipeline.explain import ledger_rows, number, recipe_stages
from corpusmill.pipeline.run import read_manifest
from corpusmill.pipeline.summary import count, share, table

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_DIGITS = 3
_PROBES = (0.5, 1, 2)  # for a bound that is off: values that most thresholds may have


def suggest(run: Path, *, keep: float = 0.98, sigma: float | None = None) -> dict[str, Any]:
    """For each source and each threshold of its filters: the measure's spread, and a proposed value.

    Args:
        run: a finished run's folder.
        keep: the share of the documents that each threshold alone would keep.
        sigma: propose mean ± so many standard deviations instead.

    Raises:
        UsageError: if `keep` or `sigma` is no such number.
    """
    if not 0 < keep < 1:
        raise UsageError(f"--keep {keep}: must be a share between 0 and 1, such as 0.98")
    if sigma is not None and not 0 < sigma < math.inf:
        raise UsageError(f"--sigma {sigma}: must be above 0 and finite, such as 3")
    manifest = read_manifest(run)
    sources = {}
    for source in manifest["sources"]:
        thresholds = [
            _Threshold(spec.name, spec.stage, stage, *found)
            for spec in recipe_stages(manifest, run, source)
            if isinstance(stage := spec.build(), Filter)
            for found in fields_of_rules(stage)
        ]
        sources[source] = _proposals(run / source / "ledger", thresholds, keep, sigma) if thresholds else []
    return {"run": str(run), "keep": None if sigma is not None else keep, "sigma": sigma, "sources": sources}


def fields_of_rules(stage: Filter) -> Iterator[tuple[str, Rule, str]]:
    """Which field sets which bound: (field, rule, `at_least` or `at_most`), found by changing one field at a time."""
    for item in dataclasses.fields(stage):  # type: ignore[arg-type]
        if not item.init or not stage.is_judged(item.name):
            continue
        before = stage.rules()
        for after in _changed(stage, item.name, getattr(stage, item.name)):
            moved = [
                (new, kind)
                for old, new in zip(before, after, strict=True)
                for kind in ("at_least", "at_most")
                if getattr(old, kind) != getattr(new, kind)
            ]
            if moved:
                rule, kind = moved[0]
                yield item.name, rule, kind
                break


def _changed(stage: Filter, field: str, value: Any) -> Iterator[Sequence[Rule]]:
    """The rules of a stage with another value of `field`, for values that it takes, as many as it had before."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return
    for probe in _PROBES if value is None else (value / 2, value + 1, value - 1):
        try:
            rules = dataclasses.replace(stage, **{field: probe}).rules()  # type: ignore[type-var]
        except (RecipeError, ValueError):
            continue
        if len(rules) == len(stage.rules()):
            yield rules


def _proposals(
    ledger: Path, thresholds: Sequence[_Threshold], keep: float, sigma: float | None
) -> list[dict[str, Any]]:
    tails = [1 - keep, keep]
    spreads = ", ".join(
        f"count({t.column}) as documents_{n}, {t.broken(t.now)} as dropped_{n}, avg({t.column}) as mean_{n}, "
        f"stddev_pop({t.column}) as deviation_{n}, quantile_cont({t.column}, {list(QUANTILES)}) as spread_{n}, "
        f"quantile_disc({t.column}, {tails}) as tails_{n}"
        for n, t in enumerate(thresholds)
    )
    found = ledger_rows(ledger, f"select {spreads} from ledger")
    rows = []
    for n, threshold in enumerate(thresholds if found else ()):
        if not found[0][f"documents_{n}"]:
            continue
        low, high = found[0][f"tails_{n}"]
        if sigma is not None:
            mean, deviation = found[0][f"mean_{n}"], found[0][f"deviation_{n}"]
            low, high = mean - sigma * deviation, mean + sigma * deviation
        upwards = threshold.side == "at_most"
        rows.append(
            {
                "stage": threshold.stage,
                "kind": threshold.kind,
                "field": threshold.field,
                "measure": threshold.rule.measure,
                "now": threshold.now,
                "documents": found[0][f"documents_{n}"],
                "drops": found[0][f"dropped_{n}"],
                "spread": dict(zip(map(str, QUANTILES), found[0][f"spread_{n}"], strict=True)),
                "proposed": _loosened(high if upwards else max(low, 0.0), upwards=upwards, whole=threshold.whole),
                "threshold": threshold,
            }
        )
    if rows:
        drops = ", ".join(f"{row['threshold'].broken(row['proposed'])} as dropped_{n}" for n, row in enumerate(rows))
        [then] = ledger_rows(ledger, f"select {drops} from ledger")
        for n, row in enumerate(rows):
            row["would_drop"] = then[f"dropped_{n}"]
            del row["threshold"]
    return rows


@dataclass(frozen=True, slots=True)
class _Threshold:
    """A field of a stage that bounds one of its measures."""

    stage: str
    kind: str  # the stage's name in a recipe: without the number that a second one gets in the ledger
    filter: Filter
    field: str
    rule: Rule
    side: str  # at_least or at_most

    @property
    def now(self) -> float | None:
        value: float | None = getattr(self.filter, self.field)
        return value

    @property
    def column(self) -> str:
        return f'cast("{self.stage}.{self.rule.measure}" as double)'

    @property
    def whole(self) -> bool:
        """Whether the measure is a count."""
        return str(self.filter.measures.field(self.rule.measure).type).startswith(("int", "uint"))

    def broken(self, bound: float | None) -> str:
        """SQL for how many documents lie beyond a bound."""
        sign = "<" if self.side == "at_least" else ">"
        return f"count(*) filter (where {self.column} {sign} {float(bound)!r})" if bound is not None else "0"


def _loosened(value: float, *, upwards: bool, whole: bool) -> float | int:
    """A bound with few digits, that drops no more than `value` would.

    >>> _loosened(0.123456, upwards=True, whole=False), _loosened(0.123456, upwards=False, whole=False)
    (0.124, 0.123)
    >>> _loosened(1234.5, upwards=True, whole=True), _loosened(0.0, upwards=False, whole=False)
    (1240, 0.0)
    """
    rounded = math.ceil if upwards else math.floor
    if value == 0 or not math.isfinite(value):
        return 0 if whole else 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    if whole:
        unit = max(unit, 1.0)
        return int(rounded(value / unit) * unit)
    digits = max(0, -math.floor(math.log10(unit)))
    return round(rounded(round(value / unit, 6)) * unit, digits)


def suggest_as_text(told: Mapping[str, Any]) -> str:
    """The same for people: a table for each source, then the lines for its recipe."""
    rule = f"mean ± {told['sigma']:g} deviations" if told["sigma"] else f"each alone keeps {told['keep']:.1%}"
    blocks = [f"proposed from how the measures of {told['run']} are spread: {rule}"]
    for source, rows in told["sources"].items():
        if not rows:
            continue
        head = (source, "now", "drops", "1 %", "median", "99 %", "proposed", "would drop")
        body = [
            (
                f"{row['stage']}.{row['field']}",
                "off" if row["now"] is None else number(row["now"]),
                share(row["drops"], row["documents"]),
                *(number(row["spread"][at]) for at in ("0.01", "0.5", "0.99")),
                number(row["proposed"]),
                f"{count(row['would_drop'])} ({share(row['would_drop'], row['documents'])})",
            )
            for row in rows
        ]
        stages: dict[str, dict[str, dict[str, Any]]] = {}
        for row in rows:
            stages.setdefault(row["stage"], {}).setdefault(row["kind"], {})[row["field"]] = row["proposed"]
        lines = yaml.safe_dump({"stages": list(stages.values())}, sort_keys=False)
        blocks += [table(head, body), f"as stages of {source}:\n\n{lines}".rstrip()]
    return "\n\n".join(blocks)
