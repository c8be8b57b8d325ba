"""The part of the run's page that tells of its mixture searches, made from scaling/search/search-<proxy>.json alone
(pipeline/searching.py writes them): the proposed ratios, what they are predicted to be worth and what new runs found,
and how well the mixture law predicts the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from corpusmill.documents.errors import DamagedRunError
from corpusmill.pipeline.recipe import NAME
from corpusmill.pipeline.sweep_page import read_object
from corpusmill.pipeline.sweep_tables import Table
from corpusmill.scaling.plots.fit_plots import Observation, predictions

_MEND = "`corpusmill mix search` makes it anew"
_SAME = 0.005
"""Shares nearer than this are one mixture: a run has whole documents, so never quite the shares that were asked for."""


HELD = {"cap": "no more is there", "tried": "no more was tried", "least": "no less was tried", None: ""}
"""What is said of what holds a proposed ratio."""


def ratio_interval(low: float, high: float, held_by: str | None) -> str:
    """The interval of a proposed ratio. Where every draw of the law ends at the bound that holds it, there is none.

    >>> ratio_interval(0.2, 0.31, "least"), ratio_interval(0.2, 0.2, "least")
    ('20.00% to 31.00%', 'all at the bound')
    """
    lowest, highest = f"{low:.2%}", f"{high:.2%}"
    return "all at the bound" if held_by is not None and lowest == highest else f"{lowest} to {highest}"


def search_sections(run: Path, content: str | None = None) -> list[dict[str, Any]]:
    """What the page shows of the last mixture search of each proxy, by name; of one that cannot be shown, why.

    Args:
        content: the content hash of the run's curated documents; None: not known.
    """
    paths = {path.stem.removeprefix("search-"): path for path in (run / "scaling" / "search").glob("search-*.json")}
    return [_section_or_why(name, paths[name], content) for name in sorted(paths) if NAME.fullmatch(name)]


def _section_or_why(name: str, path: Path, content: str | None) -> dict[str, Any]:
    try:
        return {"name": name, **_section(read_object(path, _MEND), content)}
    except DamagedRunError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001  (whatever is in the file, the run's page is written)
        why = f"{path}: is no result of a mixture search ({type(error).__name__}: {error}); {_MEND}"
    return {"name": name, "unreadable": why}


def _section(data: Mapping[str, Any], content: str | None) -> dict[str, Any]:
    proposal, cost = data["proposal"], data["cost"]
    return {
        "earlier": content is not None and data["run"] != content,
        "about": f"{cost['proxy']}, {cost['tokens']:,} tokens a run, {len(data['runs']):,} runs",
        "ratios": _ratios(data),
        "worth": _worth(data),
        "warnings": [str(warning) for warning in (*proposal["warnings"], *data["notes"])],
        # scaling/plots/drawing.py has escaped all text in it.
        "plot": Markup(predictions(observations(data), title="Mixture law: predicted and observed losses")),
    }


def observations(data: Mapping[str, Any]) -> list[Observation]:
    """Predicted and observed loss of each run: the weighted mean over the domains. Runs of the prior and of the
    proposal are marked; the law was not fitted to those of the proposal."""
    from corpusmill.scaling.mixtures.law import Law  # scipy takes a second, and most runs have no search

    names, law = data["law"]["losses"], data["law"]
    fitted = Law(floor=np.array(law["floor"]), slopes=np.array(law["slopes"]))
    weights = np.array([data["weights"][name] for name in names])
    shares = np.array([one["shares"] for one in data["runs"]])
    predicted = fitted.at(shares) @ weights
    observed = np.array([[one["losses"][name] for name in names] for one in data["runs"]]) @ weights
    apart = {"prior": data["prior"], "proposal": [one["proposed"]["estimate"] for one in data["proposal"]["ratios"]]}
    found = []
    for place, mixture in enumerate(shares):
        name = next((name for name, other in apart.items() if np.abs(mixture - other).max() < _SAME), None)
        found.append(
            Observation(
                name=name or f"mixture {place + 1}",
                predicted=float(predicted[place]),
                observed=float(observed[place]),
                marked=name is not None,
            )
        )
    return found


def _ratios(data: Mapping[str, Any]) -> Table:
    unit, in_units = data["unit"], data["in_units"]
    rows = [
        (
            one["component"],
            f"{one['prior']:.2%}",
            f"{one['proposed']['estimate']:.2%}",
            ratio_interval(one["proposed"]["low"], one["proposed"]["high"], one["held_by"]),
            f"{one['cap']:.2%}",
            HELD[one["held_by"]],
            f"{prior:.2%}",
            f"{proposed:.2%}",
        )
        for one, prior, proposed in zip(
            data["proposal"]["ratios"], in_units["prior"], in_units["proposed"], strict=True
        )
    ]
    return Table(
        title="Proposed ratios",
        head=(
            "component",
            "prior",
            "proposed",
            "95% interval",
            "at most",
            "held by",
            "prior, units",
            "proposed, units",
        ),
        rows=tuple(rows),
        note="Shares of the proxy's tokens, and in the last two columns of the mix's units, which a recipe has: "
        f"{unit}. At most: what the epochs allowed and the text there is make possible.",
    )


def _worth(data: Mapping[str, Any]) -> Table:
    proposal = data["proposal"]
    rows = [
        ("prior, predicted", *_told(proposal["prior_loss"]), ""),
        ("proposal, predicted", *_told(proposal["loss"]), ""),
        ("difference, predicted", "–", "–", "is the prior")
        if data["stays"]
        else ("difference, predicted", *_told(proposal["difference"]), _verdict(proposal["difference"])),
        ("difference, in new runs", *_told(data["confirmation"]), _verdict(data["confirmation"])),
    ]
    return Table(
        title="What the proposal is worth",
        head=("bits per byte", "loss", "95% interval", "proposal"),
        rows=tuple(rows),
        note="The predicted difference is corrected for the choice among mixtures. New runs of both were made "
        "after the proposal; they decide. All this holds for the proxy and its tokens.",
    )


def _told(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None or found["estimate"] is None:
        return "–", "–"
    if found["low"] is None or found["high"] is None:
        return f"{found['estimate']:.4f}", "–"
    return f"{found['estimate']:.4f}", f"{found['low']:.4f} to {found['high']:.4f}"


def _verdict(found: Mapping[str, Any] | None) -> str:
    """Of a difference whose bounds may be unknown."""
    low, high = (None, None) if found is None else (found["low"], found["high"])
    if high is not None and high < 0:
        return "better"
    return "worse" if low is not None and low > 0 else "not shown"
