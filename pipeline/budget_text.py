"""The answer of `corpusmill budget` for a terminal of 100 columns, each part with its source."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from corpusmill.mix.quality_law import LANGUAGE_MODEL
from corpusmill.pipeline.budget_command import Told
from corpusmill.pipeline.summary import counted, table
from corpusmill.scaling.planning import inference_aware, pruned
from corpusmill.scaling.planning.amounts import amount
from corpusmill.scaling.planning.budget import PENALTY_SOURCE, QUALITY_SOURCE, Ask, Kind, Plan, Supply, Verdict
from corpusmill.scaling.planning.hardware import Rental
from corpusmill.scaling.planning.pruned import PanelBudget, Pruned
from corpusmill.scaling.planning.repeated import MUENNIGHOFF

WIDTH = 100
_FAR = 10.0
"""A budget so many times larger than the sweep's is worth a warning."""
_MORE = 1.05
"""So many times the tokens for the loss of new ones are worth a word."""


def told_as_text(told: Told) -> str:
    """All of it."""
    parts = [_asked(told.ask, told.plans)]
    if told.plans:
        parts.append(_models(told.ask, told.plans))
        if told.ask.unique is not None:
            parts.append(_data(told.ask, told.plans))
        if told.ask.rental is not None:
            parts.append(_costs(told.ask.rental, told.plans))
    parts += [_panel(panel, told) for panel in told.sweeps]
    if told.rows:
        parts.append(_rows(told))
        if not told.plans:
            parts.append("\n".join(_wrapped(_sources(told.ask), "")))
    if told.plans and told.ask.unique is not None:
        parts.append(_verdicts(told.ask, told.plans))
    if told.notes:
        parts.append("\n".join(_wrapped(told.notes, "")))
    return "\n\n".join(part for part in parts if part)


def _sources(ask: Ask) -> list[str]:
    """What a table alone has to say of its columns."""
    found = []
    if ask.unique is not None:
        found.append(
            f"loss then: with repetition ({PENALTY_SOURCE}) and Q ({QUALITY_SOURCE}), for {_pool(ask, ask.unique)}"
        )
    if ask.rental is not None:
        found.append(f"device-hours: {_device(ask.rental)}")
    return found


def _asked(ask: Ask, plans: Sequence[Plan]) -> str:
    known = [
        f"{amount(value)} {what}"
        for value, what in (
            (ask.parameters if plans else None, "parameters"),
            (ask.tokens, "tokens"),
            (ask.flops, "FLOPs of training"),
        )
        if value is not None
    ]
    if ask.loss is not None:
        known.append(f"a loss of {ask.loss:.4g} nats a token")
    if ask.inference_tokens:
        known.append(f"{amount(ask.inference_tokens)} tokens of inference")
    if ask.unique is not None:
        known.append(_pool(ask, ask.unique))
    return "\n".join(_wrapped([f"Asked: {', '.join(known) or 'a table'}"], ""))


def _pool(ask: Ask, unique: float) -> str:
    quality = "" if ask.quality is None else f" of Q {ask.quality:.3g}"
    return f"{amount(unique)} unique tokens{quality}"


def _label(plan: Plan) -> str:
    return f"{plan.law.name}, {plan.kind}"


def _short_label(plan: Plan) -> str:
    """Of a plan to follow: those as asked are the same for every set of constants."""
    return str(plan.kind) if plan.kind is Kind.ASKED else _label(plan)


def _models(ask: Ask, plans: Sequence[Plan]) -> str:
    head = ["Model", "parameters", "tokens", "tokens/param", "loss", "train FLOPs"]
    if ask.inference_tokens:
        head += ["+ inference", "saved"]
    rows = []
    for plan in plans:
        row = [
            _label(plan),
            amount(plan.parameters),
            amount(plan.tokens),
            f"{plan.tokens / plan.parameters:,.1f}",
            f"{plan.loss:.3f}",
            f"{plan.training_flops:.2e}",
        ]
        if ask.inference_tokens:
            row += [
                f"{plan.training_flops + plan.inference_flops:.2e}",
                "" if plan.change is None else f"{-100 * plan.change:z.1f} %",
            ]
        rows.append(row)
    laws = {plan.law.name: plan.law for plan in plans}
    notes = [f"{name}: {law.source}" for name, law in laws.items()]
    notes.append(
        "Loss in nats a token, if all tokens are new and of Q 1. Each line holds by its own constants; losses of "
        "different sets are not to be compared"
    )
    kinds = {plan.kind for plan in plans}
    if Kind.ASKED in kinds:
        notes.append("optimal: the least loss for the FLOPs of what is asked (Hoffmann et al. 2022, equation 4)")
    if Kind.INFERENCE in kinds:
        base = "as asked" if Kind.ASKED in kinds else "optimal"
        notes.append(
            f"with inference: the loss of `{base}` for the fewest FLOPs of training and inference together "
            f"({inference_aware.SOURCE})"
        )
    notes += [f"Extrapolated: {_label(plan)}: {'; '.join(plan.beyond)}" for plan in plans if plan.beyond]
    return _part(head, rows, notes)


def _data(ask: Ask, plans: Sequence[Plan]) -> str:
    supplies = [(plan, plan.supply) for plan in plans if plan.supply is not None]
    clean = ask.known_quality < 1
    head = ["Data", "epochs", "worth in new tokens", *(["of Q 1"] if clean else []), "loss then", "by repetition"]
    rows = []
    for plan, supply in supplies:
        rows.append(
            [
                _label(plan),
                _epochs(supply.epochs),
                amount(supply.effective),
                *([amount(supply.clean)] if clean else []),
                f"{supply.loss:.3f}",
                f"{100 * supply.penalty:+.2f} %",
            ]
        )
    first = supplies[0][1]
    notes = [
        "worth: repeated tokens count less and less, and no number of passes makes "
        f"{_pool(ask, first.unique)} worth more than {amount(first.ceiling)}{' of Q 1' if clean else ''} "
        f"({PENALTY_SOURCE})"
    ]
    if clean:
        exponent = LANGUAGE_MODEL.gamma / LANGUAGE_MODEL.beta
        notes.append(f"of Q 1: times Q^{exponent:.3f} ({QUALITY_SOURCE})")
    notes += [
        "loss then: by the line's constants, at so many tokens; no paper fitted all of this at once",
        "by repetition: how much it raises the loss by Muennighoff's law, with its own constants",
    ]
    notes += [
        f"Extrapolated: loss then of {_label(plan)}: {beyond}" for plan, supply in supplies for beyond in supply.beyond
    ]
    advised = {
        plan.training_flops: supply.advised
        for plan, supply in supplies
        if supply.advised is not None and not supply.saturated
    }
    if advised:
        models = [
            f"for {flops:.3g} FLOPs {amount(parameters)} parameters on {amount(tokens)} tokens "
            f"({_epochs(tokens / first.unique)} epochs)"
            for flops, (parameters, tokens) in advised.items()
        ]
        notes.append(f"With this data, and without inference, that law would train {'; '.join(models)}")
    notes += [
        f"{_label(plan)}: this data cannot use so many FLOPs; by that law half of them do as well"
        for plan, supply in supplies
        if supply.saturated
    ]
    return _part(head, rows, notes)


def _costs(rental: Rental, plans: Sequence[Plan]) -> str:
    one = rental.accelerator
    head = ["Training cost", "device-hours"]
    head += [] if rental.devices is None else [f"days on {rental.devices:,}"]
    head += [] if rental.price is None else ["money"]
    head += [] if one.watts is None else ["MWh"]
    rows = []
    for plan in plans:
        if plan.bill is None:
            continue
        row = [_label(plan), f"{plan.bill.hours:,.0f}"]
        row += [] if plan.bill.days is None else [f"{plan.bill.days:,.1f}"]
        row += [] if plan.bill.money is None else [f"{plan.bill.money:,.0f}"]
        row += [] if plan.bill.megawatt_hours is None else [f"{plan.bill.megawatt_hours:,.1f}"]
        rows.append(row)
    notes = [_device(rental)]
    if rental.price is not None:
        notes.append(f"money: at {rental.price:g} for an hour of one, as given")
    if one.watts is not None:
        notes.append(
            f"MWh: at {one.watts:g} W each all the time, times a PUE of {rental.pue:g}; without hosts and network"
        )
    return _part(head, rows, notes)


def _device(rental: Rental) -> str:
    one = rental.accelerator
    peak = f"{one.title}: {one.peak_flops / 1e12:,.4g} TFLOP/s in dense bf16 ({one.source})"
    return f"{peak}, {100 * rental.utilisation:.3g} % of it used"


def _panel(panel: PanelBudget, told: Told) -> str:
    plans = told.to_follow
    head = ["Kept", "unique tokens"]
    for plan in plans:
        head += [f"epochs, {plan.kind if plan.kind is Kind.ASKED else plan.law.name}", "worth"]
    head.append("in the sweep")
    rows = []
    for one in panel.fractions:
        row = [f"{100 * one.fraction:.3g} %", amount(one.unique)]
        for supply in one.supplies:
            row += [_epochs(supply.epochs), amount(supply.clean)]
        rows.append([*row, one.standing])
    notes = [
        f"Sweep {_printable(panel.sweep)} of {_printable(panel.pool)}, proxy {_printable(panel.proxy)}, at its budget "
        f"nearest to yours: {amount(panel.tokens)} tokens. What is kept is not assumed to have a higher Q",
        *_state(panel),
        *(_standing(panel, one) for one in panel.fractions if one.scores and one.fraction < 1),
    ]
    if not panel.same_tokens:
        notes.append(
            "Careful: in that sweep what kept less was trained on less; your plan trains on as many tokens whatever is "
            "kept, and repeats them"
        )
    if panel.factor > _FAR:
        notes.append(
            f"Careful: that is {amount(panel.factor)} times less than what is planned here. Which fraction is best "
            f"changes with the budget, since kept tokens are repeated sooner ({pruned.SOURCE}); take it as a hint"
        )
    notes += _fraction_verdicts(panel, told)
    for plan in plans:
        least = plan.tokens / told.ask.max_epochs / (told.ask.unique or math.inf)
        if least <= 1:
            notes.append(
                f"{_short_label(plan)}: for at most {told.ask.max_epochs:g} epochs, keep {100 * least:.3g} % or more"
            )
    return _part(head, rows, notes)


def _state(panel: PanelBudget) -> list[str]:
    """Whether the sweep is whole, and of the run as it is."""
    if panel.cells is None or panel.missing_cells is None:
        return ["Careful: whether cells of this sweep are missing, or the run has changed since, is not known"]
    found = []
    if panel.missing_cells:
        found.append(
            f"Careful: {panel.missing_cells:,} of {counted(panel.cells, 'cell')} of this sweep are missing; corpusmill "
            "sweep run goes on with them"
        )
    if panel.earlier:
        found.append(
            "Careful: the run had other documents when it was swept; corpusmill sweep run makes the sweep anew"
        )
    elif panel.earlier is None:
        found.append("Careful: whether the run has changed since it was swept is not known")
    return found or [f"That sweep is whole ({counted(panel.cells, 'cell')}), and of the run as it is"]


def _all_is_as_good(panel: PanelBudget) -> bool:
    return any(one.fraction == 1 and one.standing == "within noise" for one in panel.fractions)


def _standing(panel: PanelBudget, one: Pruned) -> str:
    """Of a fraction with a score that is the best, or not told apart from it."""
    kept = f"{100 * one.fraction:.3g} % is"
    if one.standing != "best":
        return f"{kept} {one.standing} by {_printable(', '.join(one.scores))}"
    others = [_printable(score) for score in one.scores if score != panel.best_score]
    others += ["keeping all"] if _all_is_as_good(panel) else []
    said = f"{kept} best by {_printable(panel.best_score)}"
    if not others:
        return said
    return f"{said}; {' and '.join(others)} {'is' if len(others) == 1 else 'are'} not told apart from it"


def _fraction_verdicts(panel: PanelBudget, told: Told) -> list[str]:
    """What to keep; nothing where keeping all is not told apart from the best."""
    best = next((one for one in panel.fractions if one.standing == "best"), None)
    if best is None or _all_is_as_good(panel):
        return []
    return [
        f"Keeping {100 * best.fraction:.3g} %, the sweep's best: {_label(plan)}: {_verdict(told.ask, plan, supply)}"
        for plan, supply in zip(told.to_follow, best.supplies, strict=True)
    ]


def _rows(told: Told) -> str:
    ask = told.ask
    parts = []
    for place, law in enumerate(ask.laws):
        head = [law.name, *(["parameters"] if ask.inference_tokens else []), "tokens", "loss"]
        head += ["epochs", "loss then"] if ask.unique is not None else []
        head.append("FLOPs")
        if ask.rental is not None:
            head += ["device-hours", *([] if ask.rental.price is None else ["money"])]
        rows = []
        for size, plans in zip(told.sizes, told.rows, strict=True):
            plan = plans[place]
            row = [amount(size), *([amount(plan.parameters)] if ask.inference_tokens else []), amount(plan.tokens)]
            row.append(f"{plan.loss:.3f}")
            if plan.supply is not None:
                row += [_epochs(plan.supply.epochs), f"{plan.supply.loss:.3f}"]
            row.append(f"{plan.training_flops:.2e}")
            if plan.bill is not None:
                row.append(f"{plan.bill.hours:,.0f}")
                row += [] if plan.bill.money is None else [f"{plan.bill.money:,.0f}"]
            rows.append(row)
        kind = "A row for each size: the optimal model"
        if ask.inference_tokens:
            kind += f"'s loss for the fewest FLOPs of training and inference ({inference_aware.SOURCE})"
        notes = [f"{kind}, by {law.source}"]
        beyond = sum(bool(plans[place].beyond) for plans in told.rows)
        if beyond:
            notes.append(f"Extrapolated: {beyond} of {len(told.rows)} rows lie outside of what the law was fitted on")
        parts.append(_part(head, rows, notes))
    return "\n\n".join(parts)


def _verdicts(ask: Ask, plans: Sequence[Plan]) -> str:
    lines = [f"{_label(plan)}: {_verdict(ask, plan, plan.supply)}" for plan in plans if plan.supply is not None]
    return "\n".join(["Verdict", *_wrapped(lines)])


def _verdict(ask: Ask, plan: Plan, supply: Supply) -> str:
    if supply.verdict is Verdict.SUFFICES:
        said = f"the data suffices ({100 * supply.epochs:.3g} % of it is read)"
    elif supply.verdict is Verdict.REPEATED:
        said = f"the data suffices with {_epochs(supply.epochs)} epochs"
    elif supply.verdict is Verdict.POOR:
        missing = "quality" if supply.epochs < MUENNIGHOFF.ceiling else "new tokens"
        said = f"short of {missing}: after {_epochs(supply.epochs)} epochs it is worth {amount(supply.clean)} of Q 1"
    else:
        said = (
            f"short by {amount(supply.short_by)} unique tokens: {amount(plan.tokens)} would take "
            f"{_epochs(supply.epochs)} epochs, and {ask.max_epochs:g} are allowed"
        )
    if supply.equal_tokens is None:
        return f"{said}; no number of epochs makes it worth {amount(plan.tokens)} new tokens of Q 1"
    extra = supply.equal_tokens / plan.tokens
    if extra < _MORE:
        return said
    epochs = supply.equal_tokens / supply.unique
    if epochs > ask.max_epochs:
        return f"{said}; the full loss would take {_epochs(epochs)} epochs, more than the {ask.max_epochs:g} allowed"
    return (
        f"{said}; for the full loss of {plan.loss:.3f}, train on {amount(supply.equal_tokens)} "
        f"({_epochs(epochs)} epochs, {extra:.3g} times the FLOPs)"
    )


def _epochs(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.1f}" if number < 1000 else amount(number)


def _printable(text: str) -> str:
    """A name from a file that may be anybody's, on one line of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)[:60]


def _part(head: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str]) -> str:
    return "\n".join([table(head, rows), *_wrapped(notes)])


def _wrapped(sentences: Iterable[str], indent: str = "  ") -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
