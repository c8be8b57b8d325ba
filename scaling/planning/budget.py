"""Which model, on how many tokens, whether the data suffices, and what it costs: the published laws put together.

A question (`Ask`) names one or two of parameters, tokens, FLOPs of training and loss. Each set of Chinchilla's
constants answers it by itself, with up to three plans:

    as asked        where two of the four fix the model and its tokens
    optimal         the least loss for those FLOPs, or the fewest FLOPs for that loss or size
                    (scaling/planning/published.py)
    with inference  the fewest FLOPs of training and inference for the loss of the first of these
                    (scaling/planning/inference_aware.py)

The data of a plan are judged in three steps, each by its own paper:

    epochs          tokens / unique tokens
    D'              what that is worth in new tokens (Muennighoff et al. 2023; scaling/planning/repeated.py)
    D' · Q^(γ/β)    what it is worth in tokens of quality 1 (Subramanyam et al. 2025, fit of the language model;
                    mix/quality_law.py)

The loss then expected is the plan's law at its parameters and that many tokens. No paper fitted all three at once: it
is an estimate, and `PENALTY_SOURCE` says which law tells the cost of repetition alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from corpusmill.documents.errors import UsageError
from corpusmill.mix.quality_law import LANGUAGE_MODEL
from corpusmill.mix.selection import effective_units
from corpusmill.scaling.planning.hardware import Bill, Rental
from corpusmill.scaling.planning.inference_aware import INFERENCE_FLOPS, cheapest_for_loss
from corpusmill.scaling.planning.published import BESIROGLU, HOFFMANN, TRAINING_FLOPS, ChinchillaLaw
from corpusmill.scaling.planning.repeated import MUENNIGHOFF, tokens_worth

MAX_EPOCHS = 4.0
"""Passes over the data where nothing is said: up to four cost little (Muennighoff et al. 2023, section 5)."""
PENALTY_SOURCE = MUENNIGHOFF.unrepeated.source
QUALITY_SOURCE = "Subramanyam et al. 2025, arXiv:2510.03313, Huber fit of the language model"
_CONTRADICTION = 0.05
"""By how much 6 · parameters · tokens may differ from FLOPs that are named, too."""
_NOTHING = "nothing to solve: give --params, --tokens, --flops or --loss, such as --params 7B"
_ROUNDING = 1e-9
"""A loss above its floor by no more than this share of it has too few digits left to be solved for."""
_WHOLE = 1.005
"""Epochs that count as one pass, and what may be too much of the passes allowed."""


class Kind(StrEnum):
    """How a plan was come by."""

    ASKED = "as asked"
    OPTIMAL = "optimal"
    INFERENCE = "with inference"


class Verdict(StrEnum):
    """Whether a plan's data suffices."""

    SUFFICES = "suffices"
    REPEATED = "suffices with repetition"
    SHORT = "short"
    POOR = "not worth it"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is known, and what is wanted.

    Raises:
        UsageError: if a number is out of its range, they contradict each other, or nothing can be solved.
    """

    parameters: float | None = None
    """Of the model."""
    tokens: float | None = None
    """To train on, repetitions included."""
    flops: float | None = None
    """Of training."""
    loss: float | None = None
    """Nats a token to reach."""
    inference_tokens: float = 0.0
    """Read and written over the model's life."""
    unique: float | None = None
    """Different tokens at hand; None: data is not judged."""
    quality: float | None = None
    """Q of these tokens, in (0, 1]; None: not known, and taken as 1."""
    max_epochs: float = MAX_EPOCHS
    """Passes that one would make at most."""
    laws: tuple[ChinchillaLaw, ...] = (BESIROGLU, HOFFMANN)
    """Each answers by itself."""
    rental: Rental | None = None
    """Devices that train; None: costs are not told."""

    def __post_init__(self) -> None:
        for option, value in (
            ("--params", self.parameters),
            ("--tokens", self.tokens),
            ("--flops", self.flops),
            ("--loss", self.loss),
            ("--unique-tokens", self.unique),
        ):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{option}: {value!r} is no number above 0; give one, such as 7e9 or 7B")
        if not 0 <= self.inference_tokens < math.inf:
            raise UsageError(f"--inference-tokens: {self.inference_tokens!r} is no number of tokens; give 0 or more")
        if self.quality is not None and not 0 < self.quality <= 1:
            raise UsageError(
                f"--q: {self.quality!r} is not in (0, 1]; Q is the share of tokens that are neither corrupted nor "
                "redundant, as `corpusmill score` measures it"
            )
        if self.unique is not None and self.known_quality < 1 and self.unique * self.quality_worth < 1:
            raise UsageError(
                f"--q: {self.quality!r} leaves less than one token of Q 1 of {self.unique:.3g}; Q is a share such as .8"
            )
        if not 1 <= self.max_epochs < math.inf:
            raise UsageError(f"--epochs-max: {self.max_epochs!r} is no number of passes; 1 repeats nothing")
        if not self.laws:
            raise UsageError("--constants: none named; give besiroglu, hoffmann, sardana or both")
        self._check_solvable()

    def _check_solvable(self) -> None:
        if self.loss is not None and self.flops is not None:
            raise UsageError(
                "--loss and --flops: for so many FLOPs there is one least loss, and for a loss one least number of "
                "FLOPs; leave one out"
            )
        if self.parameters is None and self.tokens is None and self.flops is None and self.loss is None:
            raise UsageError(_NOTHING)
        if self.parameters is not None and self.tokens is not None:
            if self.loss is not None:
                raise UsageError(
                    "--loss: parameters and tokens already say what loss comes out; leave one of the three out"
                )
            spent = TRAINING_FLOPS * self.parameters * self.tokens
            if self.flops is not None and abs(spent / self.flops - 1) > _CONTRADICTION:
                raise UsageError(
                    f"--flops: {self.flops:.3g} contradicts --params and --tokens, whose training takes "
                    f"6 · N · D = {spent:.3g}; leave one of the three out"
                )

    @property
    def known_quality(self) -> float:
        """Q, or 1 where nobody knows."""
        return 1.0 if self.quality is None else self.quality

    @property
    def quality_worth(self) -> float:
        """Q^(γ/β): tokens of quality 1 that a token of this quality is worth."""
        worth: float = self.known_quality ** (LANGUAGE_MODEL.gamma / LANGUAGE_MODEL.beta)
        return worth


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What the unique tokens are to a plan."""

    unique: float
    """Different tokens."""
    epochs: float
    """Passes over them; below 1 some are left over."""
    effective: float
    """D': new tokens that are worth as much."""
    clean: float
    """D' · Q^(γ/β): tokens of quality 1 that are worth as much."""
    loss: float
    """Nats a token of the plan's law at so many tokens instead."""
    beyond: tuple[str, ...]
    """Whether these are fewer than any that the law was fitted on."""
    penalty: float
    """Share by which repetition raises the loss, by Muennighoff's law and constants."""
    ceiling: float
    """Tokens of quality 1 that no number of passes is worth more than."""
    equal_tokens: float | None
    """Tokens to train on, repetitions included, to be worth the plan's tokens of quality 1; None: none are enough."""
    verdict: Verdict
    """Short: the plan's tokens cannot be had in the passes allowed. Not worth it: after no number of passes is the data
    worth the plan's tokens of quality 1."""
    short_by: float
    """Unique tokens that are missing for the passes allowed; 0 where none are."""
    advised: tuple[float, float] | None
    """Parameters and tokens that Muennighoff's law has for these FLOPs and this data; None where nothing repeats."""
    saturated: bool
    """Whether half of the FLOPs would do as well on this data, by that law."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A model and its training."""

    law: ChinchillaLaw
    """By whose constants."""
    kind: Kind
    """How it was come by."""
    parameters: float
    """Of the model."""
    tokens: float
    """To train on."""
    loss: float
    """Nats a token, if all tokens are new and of quality 1."""
    training_flops: float
    """6 N D."""
    inference_flops: float
    """2 N for each token of inference."""
    change: float | None
    """Of all FLOPs, relative to the plan whose loss this is: as asked, else optimal; only with inference."""
    beyond: tuple[str, ...]
    """What lies outside of the range that the law was fitted on."""
    supply: Supply | None
    """None where no unique tokens are named."""
    bill: Bill | None
    """Of the training; None where no hardware is named."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "law": self.law.name, "tokens_per_parameter": self.tokens / self.parameters}


def solve(ask: Ask) -> tuple[Plan, ...]:
    """The plans of each law, in the order of the laws; each law's last plan is the one to follow.

    Raises:
        UsageError: if a law cannot reach the loss that is asked, or cannot tell a plan's loss from its floor.

    >>> for plan in solve(Ask(parameters=7e9, inference_tokens=2e12, laws=(BESIROGLU,))):
    ...     print(f"{plan.kind}: {plan.parameters:.3g} parameters, {plan.tokens:.3g} tokens")
    optimal: 7e+09 parameters, 1.44e+11 tokens
    with inference: 2.85e+09 parameters, 5.46e+11 tokens
    """
    return tuple(plan for law in ask.laws for plan in _plans(ask, law))


def solve_range(ask: Ask, sizes: Sequence[float]) -> tuple[tuple[Plan, ...], ...]:
    """Each size's plans: for each law the one to follow, for a model as good as an optimal one of that size."""
    asks = [replace(ask, parameters=size, tokens=None, flops=None, loss=None) for size in sizes]
    return tuple(tuple(_plans(one, law)[-1] for law in ask.laws) for one in asks)


def supply(ask: Ask, law: ChinchillaLaw, parameters: float, tokens: float, unique: float) -> Supply:
    """What `unique` tokens of the asked quality are to a training on `tokens`."""
    worth = ask.quality_worth
    used = min(unique, tokens)
    effective = effective_units(used, tokens)
    clean = effective * worth
    epochs = tokens / unique
    flops = TRAINING_FLOPS * parameters * tokens
    repeated, short = epochs > _WHOLE, epochs > _WHOLE * ask.max_epochs
    equal_tokens = tokens_worth(tokens / worth, unique)
    if short:
        verdict = Verdict.SHORT
    elif equal_tokens is None:
        verdict = Verdict.POOR
    else:
        verdict = Verdict.REPEATED if repeated else Verdict.SUFFICES
    return Supply(
        unique=unique,
        epochs=epochs,
        effective=effective,
        clean=clean,
        loss=law.loss(parameters, clean),
        beyond=tuple(
            str(beyond) for beyond in law.beyond(parameters, clean) if beyond.what == "tokens" and clean < beyond.bound
        ),
        penalty=MUENNIGHOFF.penalty(parameters, tokens, unique),
        ceiling=MUENNIGHOFF.ceiling * unique * worth,
        equal_tokens=equal_tokens,
        verdict=verdict,
        short_by=tokens / ask.max_epochs - unique if short else 0.0,
        advised=MUENNIGHOFF.optimum(flops, unique) if repeated else None,
        saturated=repeated and MUENNIGHOFF.saturated(flops, unique),
    )


def _plans(ask: Ask, law: ChinchillaLaw) -> list[Plan]:
    plans = []
    model = _asked_model(ask, law)
    if model is not None:
        plans.append(_plan(ask, law, Kind.ASKED, *model))
        optimum = law.optimum(TRAINING_FLOPS * model[0] * model[1])
    else:
        optimum = _optimum(ask, law)
    plans.append(_plan(ask, law, Kind.OPTIMAL, *optimum))
    if ask.inference_tokens:
        _check_above_floor(plans[0])
        best = cheapest_for_loss(law, plans[0].loss, ask.inference_tokens)
        change = best.flops / (plans[0].training_flops + plans[0].inference_flops) - 1
        plans.append(_plan(ask, law, Kind.INFERENCE, best.parameters, best.tokens, change))
    return plans


def _check_above_floor(plan: Plan) -> None:
    if plan.loss - plan.law.E < _ROUNDING * plan.loss:
        raise UsageError(
            f"--inference-tokens: {plan.parameters:.3g} parameters on {plan.tokens:.3g} tokens have a loss too near to "
            f"{plan.law.E:.4f}, the floor of {plan.law.name}, to look for a cheaper model of it; ask for a smaller "
            "model or a higher loss, or leave it out"
        )


def _asked_model(ask: Ask, law: ChinchillaLaw) -> tuple[float, float] | None:
    """Parameters and tokens where two of the four quantities fix them."""
    if ask.parameters is not None:
        if ask.tokens is not None:
            return ask.parameters, ask.tokens
        if ask.flops is not None:
            return ask.parameters, ask.flops / TRAINING_FLOPS / ask.parameters
        if ask.loss is not None:
            return ask.parameters, law.tokens_for_loss(ask.parameters, ask.loss)
    elif ask.tokens is not None:
        if ask.flops is not None:
            return ask.flops / TRAINING_FLOPS / ask.tokens, ask.tokens
        if ask.loss is not None:
            return law.parameters_for_loss(ask.tokens, ask.loss), ask.tokens
    return None


def _optimum(ask: Ask, law: ChinchillaLaw) -> tuple[float, float]:
    """Parameters and tokens for the one quantity that is asked."""
    if ask.parameters is not None:
        return ask.parameters, law.optimal_tokens(ask.parameters)
    if ask.tokens is not None:
        return law.optimal_parameters(ask.tokens), ask.tokens
    if ask.flops is not None:
        return law.optimum(ask.flops)
    if ask.loss is not None:
        return law.optimum_for_loss(ask.loss)
    raise UsageError(_NOTHING)


def _plan(
    ask: Ask, law: ChinchillaLaw, kind: Kind, parameters: float, tokens: float, change: float | None = None
) -> Plan:
    flops = TRAINING_FLOPS * parameters * tokens
    return Plan(
        law=law,
        kind=kind,
        parameters=parameters,
        tokens=tokens,
        loss=law.loss(parameters, tokens),
        training_flops=flops,
        inference_flops=INFERENCE_FLOPS * parameters * ask.inference_tokens,
        change=change,
        beyond=tuple(str(beyond) for beyond in law.beyond(parameters, tokens)),
        supply=None if ask.unique is None else supply(ask, law, parameters, tokens, ask.unique),
        bill=None if ask.rental is None else ask.rental.bill(flops),
    )
