"""The tables of a sweep, as text in cells: for the page and for the terminal.

All are made of `Analysis.as_dict()` (scaling/frontier/analysis.py has its shape), but for the cost, which is of the
cells. Differences that are not shown read "not shown", and not as a number that somebody may take for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.progress import duration
from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.plots.axes import short

Data = Mapping[str, Any]
_COUNTED = "1M of 3M trained on: the proxy counted 1M tokens, each once, where 3M were asked for. "
_LEAST_SEEN = 0.99
"""Share of the tokens asked for from which a proxy counted all of them: the last document may be cut."""
_NONE = "–"
_MOST = 1e100
"""What is told above this is no speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is ready to be shown."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def estimate(found: Data | None, *, percent: bool = False, sign: bool = True, form: str = ".3g") -> str:
    """An estimate with its interval.

    >>> estimate({"value": -0.031, "low": -0.04, "high": -0.022}, percent=True)
    '-3.1% (-4.0 to -2.2)'
    >>> estimate({"value": 2.13, "low": None, "high": None}, sign=False)
    '2.13'
    """
    if found is None or found["value"] is None:
        return _NONE
    scale, form = (100, f"{'+' if sign else ''}.1f") if percent else (1, f"{'+' if sign else ''}{form}")
    text = f"{scale * found['value']:{form}}" + "%" * percent
    if found["low"] is None or found["high"] is None:
        return text
    return f"{text} ({scale * found['low']:{form}} to {scale * found['high']:{form}})"


def what(score: str, fraction: float) -> str:
    """A treatment in words.

    >>> what("quality", 0.4), what("all", 1.0)
    ('quality 40%', 'everything')
    """
    return "everything" if score == ALL else f"{score} {_percent(fraction)}"


def best_table(panel: Data, told: Sequence[Data] = ()) -> Table:
    """The best fraction of each budget, beside what it cannot be told from.

    Args:
        told: the cells of sweep.json, for how many tokens proxies told that they counted.
    """
    worth = {_key(one): one for one in panel["multipliers"]}
    asked = {_key(cell): cell["train_tokens"] for cell in panel["cells"]}
    here = [cell for cell in told if (cell["pool"], cell["proxy"]) == (panel["pool"], panel["proxy"])]
    rows = []
    for best in panel["best"]:
        key = _key(best)
        rows.append(
            (
                short(best["size"]),
                _trained(asked[key], [cell for cell in here if _key(cell) == key], np.mean),
                what(best["score"], best["fraction"]),
                f"{best['loss']:.4f}",
                undistinguished(panel, best),
                _against(best["against_all"]),
                _against(best["against_random"]),
                multiplied(worth.get(key), "compute"),
            )
        )
    return Table(
        title="Best fraction of each budget",
        head=(
            "pool", "trained on", "best", "loss", "not distinguishable", "against everything", "against random",
            "compute multiplier",
        ),
        rows=tuple(rows),
        note=f"Pool: tokens before pruning. {_counting(row[1] for row in rows)}Changes of the loss are relative, with "
        "intervals that hold for all comparisons together; where one holds zero, no change is shown. All this holds "
        "for the budget and the proxy.",
    )  # fmt: skip


def undistinguished(panel: Data, best: Data) -> str:
    """The fractions that noise alone may have put behind the best, by score."""
    found: dict[str, list[float]] = {}
    for one in best["not_distinguishable"]:
        found.setdefault(one["score"], []).append(one["fraction"])
    if len(best["not_distinguishable"]) < 2:
        return "nothing else" if found else _NONE  # the best is one of them
    return "; ".join(
        "everything" if score == ALL else f"{score} {_stretches(fractions, panel['fractions'])}"
        for score, fractions in found.items()
    )


def _stretches(fractions: Iterable[float], grid: Sequence[float]) -> str:
    """Neighbours of the grid as one stretch."""
    places = sorted(grid.index(fraction) for fraction in fractions)
    told = []
    for _, run in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
        ends = [grid[place] for _, place in run]
        told.append(_percent(ends[0]) if len(ends) == 1 else f"{_percent(ends[0])} to {_percent(ends[-1])}")
    return ", ".join(told)


def multiplied(found: Data | None, kind: str) -> str:
    """How many times the control's tokens a treatment is worth."""
    if found is None or found[kind] is None or found[kind]["value"] is None:
        return _NONE
    value = found[kind]
    bound = {"at_least": "at least ", "at_most": "at most "}.get(found["bound"], "")
    spread = "" if value["low"] is None else f" ({value['low']:.2f} to {value['high']:.2f})"
    return f"{bound}{value['value']:.2f}×{spread}"


def multipliers_table(panel: Data) -> Table | None:
    """Compute multipliers of all treatments at all sizes (None: the control has no curve to compare with)."""
    found = {_key(one): one for one in panel["multipliers"]}
    treatments = [pair for pair in _treatments(panel) if any(key[:2] == pair for key in found)]
    if not treatments:
        return None
    rows = [
        (what(*pair), *(multiplied(found.get((*pair, size)), "compute") for size in panel["sizes"]))
        for pair in treatments
    ]
    return Table(
        title="Compute multipliers",
        head=("kept", *(short(size) for size in panel["sizes"])),
        rows=tuple(rows),
        note="Tokens that random pruning has to train on for the same loss, over those of the treatment; columns are "
        "pools by tokens before pruning. Beyond what the control reached it is a bound.",
    )


def slopes_table(panel: Data) -> Table | None:
    """How steep each frontier is beside the control (None: fewer than two sizes)."""
    words = {True: "steeper", False: "shallower", None: "not shown"}
    rows = [
        (
            one["score"],
            f"{short(one['from_tokens'])} to {short(one['to_tokens'])}",
            estimate(one["slope"], form=".3f"),
            estimate(one["control"], form=".3f"),
            estimate(one["difference"], form=".3f"),
            words[one["steeper"]],
        )
        for one in panel["slopes"]
    ]
    if not rows:
        return None
    return Table(
        title="Slopes of the frontiers",
        head=("score", "kept tokens", "slope", "of random pruning", "difference", "steeper?"),
        rows=tuple(rows),
        note="Slope: d ln loss / d ln kept tokens; the more negative, the more each doubling of the data is worth.",
    )


def domains_table(panel: Data) -> Table | None:
    """Losses by held-out domain at the largest size: of everything, and of each score's best fraction."""
    size = max(panel["sizes"], default=None)
    cells = {(cell["score"], cell["fraction"]): cell for cell in panel["cells"] if cell["size"] == size}
    leaders = [
        min((cell for cell in cells.values() if cell["score"] == score), key=lambda cell: cell["loss"], default=None)
        for score in (ALL, *panel["scores"])
    ]
    shown = [cell for cell in leaders if cell is not None]
    domains = list(dict.fromkeys(domain for cell in shown for domain in cell["domains"]))
    if size is None or not domains:
        return None
    rows = [
        (what(cell["score"], cell["fraction"]), f"{cell['loss']:.4f}",
         *(_domain(cell["domains"].get(domain)) for domain in domains))
        for cell in shown
    ]  # fmt: skip
    return Table(
        title=f"Losses by held-out domain, {short(size)} tokens before pruning",
        head=("kept", "loss", *domains),
        rows=tuple(rows),
        note="Bits per byte, with the standard error over seeds; of each score the fraction with the lowest loss, "
        "which is the mean over the domains that the pool is judged on: the conclusion names them.",
    )


def heldout_told(sweep: Data) -> str:
    """What losses are measured on, in a sentence; empty where an older sweep does not say.

    >>> heldout_told({"heldout": {"web": {"documents": 120, "clusters": 1, "tokens": 83_000}}})
    'Held out: web 83k tokens (documents: 120, clusters of near-duplicates: 1).'
    """
    domains = [
        f"{domain} {short(of['tokens'])} tokens (documents: {of['documents']:,}, clusters of near-duplicates: "
        f"{of['clusters']:,})"
        for domain, of in sweep.get("heldout", {}).items()
    ]
    return f"Held out: {'; '.join(domains)}." if domains else ""


def agreement_table(agreement: Data) -> Table | None:
    """Whether one proxy, or one size, decides as another does."""
    rows = [
        (one["pool"], f"{one['proxies'][0]} and {one['proxies'][1]}", f"at {short(one['size'])}", *_agreed(one))
        for one in agreement["proxies"]
    ] + [
        (one["pool"], one["proxy"], f"{short(one['sizes'][0])} and {short(one['sizes'][1])}", *_agreed(one))
        for one in agreement["sizes"]
    ]
    if not rows:
        return None
    return Table(
        title="Would a smaller experiment have decided alike?",
        head=(
            "pool", "proxy", "tokens", "treatments", "seeds", "same documents", "pairs decided alike",
            "of those told apart", "Spearman",
        ),
        rows=tuple(rows),
        note="Decision accuracy: the share of pairs of treatments whose order is the same in both. Seeds: of the first "
        "beside others of the second, which so sees other documents, in the mean over the ways to split them. Same "
        "documents: the share of the first's that are to be expected in the second, too; luck that is shared counts as "
        "agreement. Told apart: by the second.",
    )  # fmt: skip


def cost_table(cells: pa.Table, told: Sequence[Data]) -> Table:
    """What the cells cost, by proxy, and how much their losses differ between seeds.

    Args:
        told: the cells of sweep.json, for what proxies told of their speed, and of how many tokens they counted.
    """
    rows = []
    for proxy in cells["proxy"].unique().sort().to_pylist() if cells.num_rows else []:
        own = cells.filter(pc.equal(cells["proxy"], proxy))
        mine = [cell for cell in told if cell["proxy"] == proxy]
        flops = None if own["flops"].null_count else pc.sum(own["flops"]).as_py()
        rows.append(
            (
                proxy,
                _NONE if own["parameters"].null_count else short(pc.max(own["parameters"]).as_py()),
                f"{own.num_rows:,}",
                f"{len(own['seed'].unique())}",
                _trained(pc.sum(own["train_tokens"]).as_py(), mine, np.sum),
                _NONE if flops is None else f"{flops:.2e}",
                duration(pc.sum(own["seconds"]).as_py()),
                _median(mine, "tokens_per_second", short),
                _median(mine, "model_flop_utilisation", lambda share: f"{share:.0%}"),
                _spread(own),
            )
        )
    return Table(
        title="Cost and seeds",
        head=(
            "proxy",
            "parameters",
            "cells",
            "seeds",
            "tokens trained on",
            "FLOPs",
            "of one worker",
            "tokens a second",
            "of peak FLOPs",
            "seeds differ by",
        ),
        rows=tuple(rows),
        note=f"Parameters without embeddings. {_counting(row[4] for row in rows)}Seeds differ by: the standard "
        "deviation of the loss between seeds, as a share of it; the median over the cells.",
    )


def _key(one: Data) -> tuple[str, float, int]:
    return one["score"], one["fraction"], one["size"]


def _trained(asked: float, told: Sequence[Data], of: Callable[[list[float]], float]) -> str:
    """Tokens trained on, as they were asked for; where all cells told of fewer that they counted, these before them.

    Args:
        of: mean or sum, as `asked` is.
    """
    counted = _numbers(told, "counted_tokens")
    if not counted or len(counted) < len(told) or of(counted) >= _LEAST_SEEN * asked:
        return short(asked)
    return f"{short(float(of(counted)))} of {short(asked)}"


def _counting(trained: Iterable[str]) -> str:
    """What has to be said of a column of `_trained`: nothing where all tokens that were asked for were counted."""
    return _COUNTED if any(" of " in one for one in trained) else ""


def _median(told: Sequence[Data], key: str, form: Callable[[float], str]) -> str:
    """Of what cells told under `key`."""
    known = _numbers(told, key)
    return form(float(np.median(known))) if known else _NONE


def _numbers(told: Sequence[Data], key: str) -> list[float]:
    """What cells told under `key`: trainers of others tell anything."""
    values = [cell["told"].get(key) for cell in told]
    return [
        value
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MOST
    ]


def _spread(cells: pa.Table) -> str:
    keys = ["pool", "score", "fraction", "size"]
    groups = cells.group_by(keys).aggregate([("loss", "stddev", pc.VarianceOptions(ddof=1)), ("loss", "mean")])
    shares = groups["loss_stddev"].to_numpy() / groups["loss_mean"].to_numpy()
    shares = shares[np.isfinite(shares)]
    return f"{100 * float(np.median(shares)):.2f}%" if len(shares) else _NONE


def _agreed(one: Data) -> tuple[str, ...]:
    decided = estimate(one["decided"], percent=True, sign=False)
    seeds = "the same" if one["same_seeds"] else "{} and {} others".format(*one["seeds"])
    shared = one["shared_documents"]
    return (
        f"{one['configurations']}",
        seeds,
        _NONE if shared is None else f"{shared:.0%}",
        estimate(one["decision_accuracy"], percent=True, sign=False),
        decided,
        estimate(one["spearman"], sign=False),
    )


def _treatments(panel: Data) -> list[tuple[str, float]]:
    order = {score: place for place, score in enumerate([ALL, *panel["scores"]])}
    found = {(cell["score"], cell["fraction"]) for cell in panel["cells"]}
    return sorted(found, key=lambda pair: (order.get(pair[0], len(order)), pair[0] == RANDOM, pair[1]))


def _against(found: Data | None) -> str:
    if found is None:
        return _NONE
    return estimate(found["change"], percent=True) if found["shown"] else "not shown"


def _domain(found: Data | None) -> str:
    if found is None or found["loss"] is None:
        return _NONE
    error = found["standard_error"]
    return f"{found['loss']:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}%"
