"""What `corpusmill mix search` prints, and the recipe that it writes."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from corpusmill.documents.errors import CorpusmillError, UsageError
from corpusmill.documents.shards import atomic_text
from corpusmill.mix.ratios import leaves_of
from corpusmill.pipeline.mixing import mix_options
from corpusmill.pipeline.progress import duration
from corpusmill.pipeline.recipe import Recipe, parse_recipe
from corpusmill.pipeline.search_page import HELD, ratio_interval
from corpusmill.pipeline.searching import SearchCost, SearchResult, shares_within
from corpusmill.pipeline.summary import table
from corpusmill.scaling.mixtures.proposal import Interval

_PARTS = 100_000
"""Shares are written to five decimals."""


def cost_as_text(cost: SearchCost, workers: int) -> str:
    """What a search costs, what is done already included.

    >>> cost_as_text(SearchCost(proxy="ngram", runs=15, after=6, tokens=50_000, flops=None, seconds=60.0), 2)
    'search: 15 runs of 50,000 tokens, and 6 of the prior and the proposal, with ngram: about 30 s'
    """
    seconds = "nobody knows how long" if cost.seconds is None else f"about {duration(cost.seconds / max(1, workers))}"
    flops = "" if cost.flops is None else f", {cost.flops:.3g} FLOPs"
    return (
        f"search: {cost.runs:,} runs of {cost.tokens:,} tokens, and {cost.after} of the prior and the proposal, with "
        f"{cost.proxy}: {seconds}{flops}"
    )


def begun_as_text(begun: SearchResult, workers: int) -> str:
    """What is said before the runs start."""
    return "\n".join([cost_as_text(begun.cost, workers), *(f"note: {note}" for note in begun.notes)])


def search_as_text(result: SearchResult) -> str:
    """What a search came to, for people."""
    if result.proposal is None or result.fit is None:
        return _design_as_text(result)
    proposal, fit = result.proposal, result.fit
    rows = [
        [
            ratio.component,
            f"{ratio.prior:.2%}",
            f"{ratio.proposed.estimate:.2%}",
            ratio_interval(ratio.proposed.low, ratio.proposed.high, ratio.held_by),
            f"{ratio.cap:.2%}",
            HELD[ratio.held_by],
            f"{ratio.regmix:.2%}",
        ]
        for ratio in proposal.ratios
    ]
    question = result.question
    proposed = result.scale.of_units(proposal.shares)
    in_units = [
        [name, f"{prior:.2%}", f"{share:.2%}"]
        for name, prior, share in zip(question.components, question.prior, proposed, strict=True)
    ]
    head = ["component (tokens)", "prior", "proposed", "95 % interval", "at most", "held by", "RegMix"]
    errors = [
        [name, f"{error:.4f}", f"{spread:.4f}", _interval(proposal.by_domain[name])]
        for name, error, spread in zip(fit.losses, fit.error, fit.spread, strict=True)
    ]
    noise = "unknown: there is one run of each" if result.noise is None else f"{result.noise:.4f}"
    lines = [
        table(head, rows),
        "",
        table([f"component ({question.unit})", "prior", "proposed"], in_units),
        "",
        table(["bits per byte on", "law's error", "spread of runs", "proposal less prior"], errors),
        "",
        f"predicted: proposal {_interval(proposal.loss)}, prior {_interval(proposal.prior_loss)} bits per byte; "
        f"RegMix's mean of the best {proposal.regmix_loss:.4f}",
        "predicted difference: none, the proposal is the prior"
        if result.stays
        else f"predicted difference, corrected for the choice: {_judged(proposal.difference)}",
        f"noise between runs of one mixture: {noise}",
    ]
    if result.confirmation is None:
        lines.append(f"new runs: none, the proposal {'is the prior' if result.stays else 'or the prior failed'}")
    else:
        lines.append(f"difference in {result.cost.after} new runs: {_judged(result.confirmation)}")
    lines += ["", conclusion(result), *(f"note: {warning}" for warning in (*proposal.warnings, *result.notes))]
    if result.unseen:
        lines.append(
            f"note: {result.cost.proxy} does not see that text is repeated; only max_epochs keeps repetition in bounds"
        )
    if result.confirmation is not None and not result.sampled:
        lines.append(
            f"note: {result.cost.proxy} tells no losses of single held-out documents, so the difference's interval "
            "does not hold what other documents would have said"
        )
    return "\n".join(lines)


def conclusion(result: SearchResult) -> str:
    """One sentence on what is shown."""
    if result.proposal is None:
        return "nothing was run"
    about = f"for {result.cost.proxy} trained on {result.cost.tokens:,} tokens"
    if result.confirmation is None:
        return f"That another mixture is better than the prior is not shown, {about}."
    if result.verdict == "better":
        return f"The proposal is better than the prior, {about}: shown by new runs. Larger models are another question."
    if result.verdict == "worse":
        return f"The proposal is worse than the prior, {about}: shown by new runs. Keep the prior."
    by_law = (
        "the law predicts it, and new runs are too few or too noisy"
        if result.proposal.difference.high < 0
        else "not by the law either"
    )
    return f"That the proposal is better than the prior is not shown, {about}: {by_law}."


def write_recipe(recipe: Recipe, result: SearchResult, out: Path) -> None:
    """Writes the recipe with the proposed ratios and the budget that was searched at, or what the epochs allow of it.
    All else is as it was, values set on the command line included.

    Raises:
        UsageError: if the file is there already, or is not beside the recipe, whose paths are relative to its folder.
        CorpusmillError: if the proposal is the mixture that the recipe has, or new runs have shown that it is worse.
    """
    check_out(recipe, out)
    if result.proposal is None:
        raise UsageError(f"{out}: nothing was proposed; run the search without --dry-run")
    if result.stays:
        raise CorpusmillError(
            f"{out}: is not written: the proposal is the mixture that {recipe.file} has; keep that, or give the search "
            "more --mixtures or --seeds"
        )
    if result.verdict == "worse":
        raise CorpusmillError(f"{out}: is not written: new runs show that the proposal is worse; keep {recipe.file}")
    options = mix_options(recipe)
    if options is None:
        raise UsageError(f"{recipe.file}: has no `mix`")
    question = result.question
    proposed = result.scale.of_units(result.proposal.shares)
    budget = question.budget_for(proposed)
    shares = rounded(
        dict(zip(question.components, proposed.tolist(), strict=True)),
        dict(zip(question.components, (question.most / budget).tolist(), strict=True)),
    )
    given = {place.rpartition(".")[2]: share for place, share in shares_within(options.ratios)}
    ratios: dict[str, Any] = {}
    for leaf in leaves_of(options.ratios):
        more = {"max_epochs": leaf.max_epochs} if leaf.max_epochs is not None else {}
        if leaf.by is not None:
            kept = asdict(given[leaf.name])
            more |= {key: kept[key] for key in ("by", "balance", "temperature")}
        ratios[leaf.name] = {"share": shares[leaf.name], **more} if more else shares[leaf.name]
    data = copy.deepcopy(dict(recipe.resolved))
    mix = {key: value for key, value in data["mix"].items() if key not in ("preset", "preset_sources", "ratios")}
    data["mix"] = {"ratios": ratios, **mix, "budget": budget}
    parse_recipe(copy.deepcopy(data), recipe.folder, out.name)
    comment = [
        f"# {recipe.file} with the ratios that `corpusmill mix search` proposed.",
        f"# {conclusion(result)}",
        f"# Predicted loss {_interval(result.proposal.loss)}, of the former ratios "
        f"{_interval(result.proposal.prior_loss)} bits per byte.",
    ]
    if budget < math.floor(question.budget):
        comment.append(
            f"# The budget was {question.budget:,.0f} {question.unit}; at these ratios max_epochs allows less."
        )
    atomic_text(out, "\n".join([*comment, yaml.safe_dump(data, sort_keys=False, allow_unicode=True)]))


def check_out(recipe: Recipe, out: Path) -> None:
    """Checks, before anything is run, that a recipe can be written there.

    Raises:
        UsageError: if not.
    """
    if out.exists():
        raise UsageError(f"{out}: is there already; name another file, or move it away first")
    if out.resolve().parent != recipe.folder:
        raise UsageError(
            f"{out}: the recipe's paths are relative to {recipe.folder}; name a file there, such as "
            f"{recipe.folder / out.name}"
        )


def rounded(shares: Mapping[str, float], caps: Mapping[str, float]) -> dict[str, float]:
    """Shares to five decimals that sum to 1, none above its cap if that can be.

    >>> rounded({"web": 2 / 3, "code": 1 / 3}, {"web": 2 / 3, "code": 1.0})
    {'web': 0.66666, 'code': 0.33334}
    """
    parts = {name: int(np.floor(share * _PARTS)) for name, share in shares.items()}
    left = _PARTS - sum(parts.values())
    by_rest = sorted(shares, key=lambda name: (parts[name] - shares[name] * _PARTS, name))
    roomy = [name for name in by_rest if (parts[name] + 1) / _PARTS <= caps[name]] or by_rest
    for place in range(left):
        parts[roomy[place % len(roomy)]] += 1
    return {name: part / _PARTS for name, part in parts.items()}


def next_step(recipe: Recipe, result: SearchResult, out: Path) -> str:
    """What to do with the recipe that was written."""
    if result.verdict == "better":
        return f"wrote {out}; next: corpusmill mix {out}"
    return f"wrote {out}, but that it is better than {recipe.file} is not shown; more --seeds or --tokens may tell"


def _design_as_text(result: SearchResult) -> str:
    question = result.question
    rows = [
        ["prior" if prior else str(number), *(f"{share:.2%}" for share in shares)]
        for number, (shares, prior) in enumerate(zip(result.design.shares, result.design.prior, strict=True))
    ]
    _, caps = question.bounds(result.scale)
    most = ["at most", *(f"{cap:.2%}" for cap in caps)]
    return table(["mixture (tokens)", *question.components], [most, *rows])


def _interval(one: Interval) -> str:
    if not math.isfinite(one.low) or not math.isfinite(one.high):
        return f"{one.estimate:.4f} (no interval: one run of each)"
    return f"{one.estimate:.4f} ({one.low:.4f} to {one.high:.4f})"


def _judged(one: Interval) -> str:
    return f"{_interval(one)}: {'shown' if one.shown else 'not shown'}"
