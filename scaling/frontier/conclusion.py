"""The analysis in plain sentences: what is shown, what is not shown, and what such an experiment cannot tell.

A claim is "shown" only where its interval, adjusted for everything that was asked along with it, leaves out zero; with
no effect at all, one sweep in twenty at most claims any. Whether a frontier is steeper is asked only of a score that
is shown to be better than chance, so that this question does not count again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from corpusmill.scaling.contract import ALL, RANDOM
from corpusmill.scaling.frontier.agreement import Agreement
from corpusmill.scaling.frontier.analysed import Agreements, Claims, Panel
from corpusmill.scaling.frontier.best_fraction import Best, Comparison, Effect, is_better, named
from corpusmill.scaling.frontier.multipliers import Multiplier
from corpusmill.scaling.frontier.slopes import Slope
from corpusmill.scaling.laws.fit import Estimate

_COSTS = {"flops": "FLOPs", "seconds": "seconds of training"}
_ONCE = 1.01
"""Epochs that are one."""
_MANY_SHARED = 0.1
"""Of the documents of two runs: from here on it is told."""
_OVERSTATED = "{}: luck that they share counts as agreement, which is overstated."


def claims(panel: Panel) -> list[Claims]:
    """Of each score but the control."""
    found = []
    for score in panel.scores:
        if score == RANDOM:
            continue
        chance = [one for one in panel.effects if one.score == score and one.against == RANDOM]
        whole = [one for one in panel.effects if one.score == score and one.against == ALL]
        slope = next((one for one in panel.slopes if one.score == score), None)
        found.append(
            Claims(
                score=score,
                better_than_random=any(is_better(one) for one in chance),
                worse_than_random=any(one.shown and one.change.value > 0 for one in chance),
                better_than_all=any(is_better(one) for one in whole),
                steeper=None if slope is None else slope.steeper,
                grows=None if slope is None else slope.grows,
            )
        )
    return found


def concluded(panel: Panel, caveats: list[str]) -> Panel:
    """The panel with its claims and its sentences, `caveats` among them."""
    panel = replace(panel, claims=claims(panel))
    if not panel.best:
        return replace(panel, conclusion=[_level(panel), *caveats, *_unknown(panel)])
    sentences = [_score(panel, one) for one in panel.claims]
    sentences += [_best(panel, one) for one in panel.best]
    level = sorted(set(panel.sizes) - {one.size for one in panel.best})
    sentences += [f"A pool of {tokens(size)} tokens: losses do not differ, so none is the lowest." for size in level]
    sentences += [_slope(one, panel) for one in panel.slopes]
    sentences += [_multiplier(panel, one) for one in panel.claims if one.better_than_random]
    sentences = [sentence for sentence in sentences if sentence]
    return replace(panel, conclusion=[*sentences, *caveats, *_unknown(panel)])


def summary(panels: list[Panel], agreement: Agreements) -> list[str]:
    """Of all panels."""
    sentences = []
    for panel in panels:
        place = f"{panel.pool}, {panel.proxy}: "
        sentences += [place + sentence for sentence in panel.conclusion]
    for one in agreement.proxies:
        place = f"{one.pool}: {one.proxies[0]} and {one.proxies[1]} at {tokens(one.size)} tokens"
        larger = one.proxies[1]
        if one.larger_by is None:
            larger += " (which of them is the larger is not known)"
        elif one.larger_by != "parameters":
            larger += f" (the larger by its {_COSTS[one.larger_by]})"
        sentences.append(_agreed(place, one, one.proxies, larger))
    for other in agreement.sizes:
        if other.sizes == _widest(agreement, other.pool, other.proxy):
            small, large = (f"{tokens(size)} tokens" for size in other.sizes)
            place = f"{other.pool}, {other.proxy}: {tokens(other.sizes[0])} and {large}"
            sentences.append(_agreed(place, other, (small, large), large))
    if len({panel.proxy for panel in panels}) < 2:
        sentences.append("Only one proxy was run, so nothing is known of how another model would rank the fractions.")
    return sentences


def tokens(number: float) -> str:
    """A number of tokens in few letters.

    >>> tokens(1_500_000), tokens(64_000), tokens(999_999)
    ('1.5M', '64k', '1M')
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if float(f"{number:.3g}") >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "seed"), counted(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def listed(what: str, numbers: Collection[int]) -> str:
    """Numbers in words.

    >>> listed("seed", [2]), listed("seed", {2, 1})
    ('seed 2', 'seeds 1, 2')
    """
    return f"{what}{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"


def _level(panel: Panel) -> str:
    return (
        f"All losses of a size are the same, to 7 digits ({panel.cells[0].loss:.4g} bits per byte): no fraction is the "
        "best, and no score makes a difference; see whether the proxy measures what it trains."
    )


def _score(panel: Panel, claim: Claims) -> str:
    own = [one for one in panel.effects if one.score == claim.score and one.against == RANDOM]
    if not own:
        return f"{claim.score}: there is no random control beside it, so what is the score's doing is not known."
    if panel.noise is None:
        return f"{claim.score}: that it differs from keeping by chance is not shown: there is no band without seeds."
    better = [one for one in own if is_better(one)]
    worse = [one for one in own if one.shown and one.change.value > 0]
    parts = [f"{word} in {_counts(some, own)} (the largest: {_effect(some)})"
             for word, some in (("better", better), ("worse", worse)) if some]  # fmt: skip
    if parts:
        return f"{claim.score}: shown to be {' and '.join(parts)}, against keeping by chance."
    means = sum(one.size is None for one in own)
    among = f" ({counted(means, 'mean')} over sizes among them)" if means else ""
    return (
        f"{claim.score}: that it is better or worse than keeping by chance is not shown; the largest of "
        f"{counted(len(own), 'difference')}{among} is {_effect(own)}."
    )


def _counts(some: list[Effect], own: list[Effect]) -> str:
    """How many of the comparisons of single sizes, and apart from them how many of the means over sizes."""
    single, of_single = (sum(one.size is not None for one in effects) for effects in (some, own))
    text = f"{single} of {counted(of_single, 'comparison')}"
    if len(own) > of_single:
        text += f" of one size and {len(some) - single} of {counted(len(own) - of_single, 'mean')} over sizes"
    return text


def _effect(some: list[Effect]) -> str:
    one = max(some, key=lambda one: abs(one.change.value))
    where = "over all sizes" if one.size is None else f"of {tokens(one.size)} tokens"
    return f"{_percent(one.change)} of the loss, at fraction {one.fraction:.3g} {where}"


def _best(panel: Panel, best: Best) -> str:
    what = named(best.score, best.fraction)
    budget = f"A pool of {tokens(best.size)} tokens"
    if panel.noise is None:
        return f"{budget}: the lowest loss is that of {what}; without seeds that differ, others may be as good."
    others = len(best.not_distinguishable) - 1
    total = sum(1 for one in panel.cells if one.size == best.size)
    span = f"{best.lowest_fraction:.3g} to {best.highest_fraction:.3g}"
    if others:
        told = f"{others} of the other {total - 1} configurations (fractions {span}) are not told apart from it"
    else:
        told = f"it is told apart from all {total - 1} others"
    parts = [f"{budget}: the lowest loss is that of {what}; {told}."]
    if best.score != ALL:
        parts.append(_comparison("lower than that of keeping all", best.against_all))
    if best.score not in (ALL, RANDOM):
        parts.append(_comparison("lower than by chance at the same fraction", best.against_random))
    return " ".join(part for part in parts if part)


def _comparison(what: str, one: Comparison | None) -> str:
    if one is None:
        return ""
    if is_better(one):
        return f"Its loss is shown to be {what} ({_percent(one.change)})."
    return f"That its loss is {what} is not shown ({_percent(one.change)})."


def _slope(one: Slope, panel: Panel) -> str:
    if not any(claim.score == one.score and claim.better_than_random for claim in panel.claims):
        return (
            f"{one.score}: as it is not shown to be better than chance, neither is its frontier shown to be steeper "
            f"than the power law of unpruned data (difference of the slopes {_number(one.difference)})."
        )
    span = f"from {tokens(one.from_tokens)} to {tokens(one.to_tokens)} kept tokens"
    parts = (f"slope {_number(one.slope)}", f"the control's {_number(one.control)}")
    slopes = f"{', '.join(parts)}, difference {_number(one.difference)}, each interval by itself"
    if one.steeper is None:
        verdict = "that the frontier is steeper than the power law of unpruned data is not shown"
    else:
        verdict = f"the frontier is {'steeper' if one.steeper else 'shallower'} than the power law of unpruned data"
    growth = ""
    if one.growth is not None:
        shown = {True: "is shown to grow", False: "is shown to shrink", None: "is not shown to change"}[one.grows]
        growth = f" What it is worth in data {shown} with the kept tokens: as their power {_number(one.growth)}."
    return f"{one.score}: {verdict}, {span} ({slopes}).{growth}"


def _multiplier(panel: Panel, claim: Claims) -> str:
    own = [one for one in panel.multipliers if one.score == claim.score and one.size == max(panel.sizes)]
    own = [one for one in own if one.bound != "at_most"]
    if not own:
        return ""
    losses = {(one.score, one.fraction, one.size): one.loss for one in panel.cells}

    def rank(one: Multiplier) -> tuple[bool, float, float]:
        """How many times is known only where the control came to that loss, at whatever size."""
        return one.bound == "within", round(_times(one).value, 9), -losses[one.score, one.fraction, one.size]

    best = max(own, key=rank)
    control = "keeping all" if panel.control is not None and panel.control.whole else "the control"
    loss = f"the loss of its fraction {best.fraction:.3g} of {tokens(best.size)} tokens"
    what = "unique tokens" if best.compute is None else "tokens to train on"
    times = _times(best)
    if best.bound == "within":
        return f"{claim.score}: for {loss}, {control} needs {_number(times)} times the {what}."
    if times.value > 1:
        return f"{claim.score}: for {loss}, {control} needs at least {times.value:.3g} times the {what}."
    return f"{claim.score}: that {control} came to {loss} is not shown."


def _times(one: Multiplier) -> Estimate:
    """Of compute; of data where the control says nothing of compute."""
    return one.data if one.compute is None else one.compute


def _unknown(panel: Panel) -> list[str]:
    found = []
    lost = {one.seed for one in panel.missing} - {*panel.seeds}
    if lost:
        alone = "; of one seed there is no band, and nothing is shown" if len(panel.seeds) < 2 else ""
        found.append(f"All cells of {listed('seed', lost)} are missing{alone}.")
    elif len(panel.seeds) < 2:
        found.append("One seed: there is no band, and nothing is shown.")
    gone = [tokens(size) for size in sorted({one.size for one in panel.missing} - {*panel.sizes})]
    if gone:
        alone = "; of one size there is no slope, and no frontier over sizes" if len(panel.sizes) < 2 else ""
        found.append(f"All cells of {' and '.join(gone)} tokens are missing{alone}.")
    elif len(panel.sizes) < 2:
        found.append("One size: there is no slope, and no frontier over sizes.")
    if len(panel.seeds) > 1 and panel.noise is None:
        found.append("Seeds do not differ, or no configuration has two: there is no band, and nothing is shown.")
    if any(best.train_tokens is None for best in panel.best):
        found.append(
            "Within a size, smaller fractions were trained on fewer tokens: the best of a size is the best use of that "
            "pool, not of that compute, which is what multipliers are of."
        )
    if panel.parameters is None:
        most = max(one.epochs for one in panel.cells)
        once = f", and counts each token once where up to {most:.3g} epochs were asked for" if most > _ONCE else ""
        found.append(
            "The proxy has no number of parameters; if it counts n-grams, it does not see what repetition does to a "
            f"trained model{once}."
        )
    found.append(
        f"All this holds for this proxy and pools of {tokens(min(panel.sizes))} to {tokens(max(panel.sizes))} tokens; "
        "with other budgets another fraction may be best."
    )
    return found


def _widest(agreement: Agreements, pool: str, proxy: str) -> tuple[int, int]:
    pairs = [one.sizes for one in agreement.sizes if (one.pool, one.proxy) == (pool, proxy)]
    return max(pairs, key=lambda pair: pair[1] / pair[0])


def _agreed(place: str, one: Agreement, sides: tuple[str, str], larger: str) -> str:
    """A sentence of an agreement, and another one where it is overstated."""
    alike = f"{place} rank {_share(one.decision_accuracy)} of the pairs of configurations alike"
    if one.decided is not None:
        alike += f", and {_share(one.decided)} of those that are told apart by {larger}"
    if one.same_seeds:
        return f"{alike}. {_OVERSTATED.format('Both have one seed and so the same documents')}"
    a, b = one.seeds
    alike += f"; of {counted(a, 'seed')} of {sides[0]} beside {b} others of {sides[1]}."
    if one.shared_documents is None or one.shared_documents < _MANY_SHARED:
        return alike
    shared = f"{one.shared_documents:.0%} of the documents of {sides[0]} are to be expected in {sides[1]}, too"
    return f"{alike} {_OVERSTATED.format(shared)}"


def _share(one: Estimate) -> str:
    ends = "" if one.low is None or one.high is None else f" ({one.low:.0%} to {one.high:.0%})"
    return f"{one.value:.0%}{ends}"


def _percent(one: Estimate) -> str:
    ends = "" if one.low is None or one.high is None else f", {100 * one.low:+.2f} to {100 * one.high:+.2f} %"
    return f"{100 * one.value:+.2f} %{ends}"


def _number(one: Estimate) -> str:
    ends = "" if one.low is None or one.high is None else f" ({one.low:.3g} to {one.high:.3g})"
    return f"{one.value:.3g}{ends}"
