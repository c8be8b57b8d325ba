"""What `corpusmill sweep` prints: the cost of the grid before it starts, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from corpusmill.documents.printable import printable_line
from corpusmill.pipeline.manifest import failures
from corpusmill.pipeline.progress import duration
from corpusmill.pipeline.summary import counted, table
from corpusmill.pipeline.sweeping import SweepResult, SweepStatus
from corpusmill.scaling.cells import CellCost
from corpusmill.scaling.proxies.command_proxy import CommandProxy

_COMMANDS = (
    "Of a command, only the files that its words name are looked at: where one changed, all cells of it are trained "
    "anew. If you change any other file, raise the proxy's `version`, or trainers are compared and not data."
)
_PREFIXES = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


def costs_as_text(costs: Sequence[CellCost], workers: int) -> str:
    """What the whole grid costs, those cells included that are done.

    >>> from corpusmill.scaling.cells import CellCost
    >>> cost = CellCost(proxy="small", cells=12, train_tokens=24_000_000, flops=1.44e14, seconds=240.0)
    >>> print(costs_as_text([cost], 2))
    proxy  cells  tokens to train on  FLOPs  about
    small     12          24,000,000  144 T  2 min
    """
    rows = [
        [
            cost.proxy,
            f"{cost.cells:,}",
            f"{cost.train_tokens:,}",
            _prefixed(cost.flops),
            "unknown" if cost.seconds is None else duration(cost.seconds / min(workers, max(cost.cells, 1))),
        ]
        for cost in costs
    ]
    return table(["proxy", "cells", "tokens to train on", "FLOPs", "about"], rows)


def result_as_data(result: SweepResult) -> dict[str, Any]:
    """What a sweep cost and where its results are, for machines."""
    return {
        "folder": str(result.folder),
        "ran": result.ran,
        "cost": [asdict(cost) for cost in result.costs],
        "failed": failures(result.failed),
    }


def status_as_text(status: SweepStatus) -> str:
    """How far a sweep is."""
    others = f"{counted(status.others, 'cell')} of other recipes of this sweep" if status.others else ""
    if status.missing:
        told = f'not prepared, or from another recipe: the first that is missing is "{status.missing}"; '
        told += "`corpusmill sweep run` does it, and finds again the cells that are still right"
        return f"{told} ({others})" if others else told
    lines = [f"{name}: {done:,} of {counted(cells, 'cell')} done" for name, (done, cells) in status.cells.items()]
    return "\n".join([*lines, *([f"beside them: {others}"] if others else [])])


def result_as_text(result: SweepResult, width: int) -> str:
    """What a sweep came to: first what failed, then, unless all did, what the others have shown."""
    from corpusmill.pipeline.sweep_report import sweep_as_text

    if not result.failed:
        return sweep_as_text(result.folder, width)
    asked = sum(cost.cells for cost in result.costs)
    first = result.failed[0]
    told = printable_line(str(first.error).strip().splitlines()[-1])
    failed = (
        f"{len(result.failed):,} of {counted(asked, 'cell')} failed; mend the cause, then run the same command again: "
        f"it tries only these. The first:\n  {first.task.key}: {told}\n"
        f"What they left: {result.folder / 'cells'}"
    )
    if any(isinstance(one.task.arguments.proxy, CommandProxy) for one in result.failed):
        failed += f"\n{_COMMANDS}"
    return failed if len(result.failed) == asked else f"{failed}\n\n{sweep_as_text(result.folder, width)}"


def _prefixed(flops: float | None) -> str:
    if flops is None:
        return ""
    for size, prefix in _PREFIXES:
        if flops >= size:
            return f"{flops / size:,.3g} {prefix}"
    return f"{flops:,.0f}"
