"""What `corpusmill budget` does: its options as a question to scaling/planning/budget.py, and the answer as data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import InputError, UsageError, nearest
from corpusmill.mix.manifest import MANIFEST
from corpusmill.scaling.planning.amounts import amount, read_amount, read_range
from corpusmill.scaling.planning.budget import MAX_EPOCHS, Ask, Kind, Plan, solve, solve_range
from corpusmill.scaling.planning.hardware import PUE, UTILISATION, Rental, find_accelerator
from corpusmill.scaling.planning.pruned import Found, PanelBudget, panel_budgets, read_sweeps
from corpusmill.scaling.planning.published import BESIROGLU, HOFFMANN, LAWS, ChinchillaLaw

BOTH = "both"
TOKEN_UNITS = ("tokens", "estimated_tokens")
_TABLE = (1e9, 1e11)
_AROUND = 10.0
"""A table without a range goes from so many times less than the parameters asked to so many times more."""
_STEPS = (1, 2, 5)
_MOST_ROWS = 60


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command's options as typed; None where one is left out."""

    params: str | None = None
    tokens: str | None = None
    flops: str | None = None
    loss: float | None = None
    inference_tokens: str | None = None
    unique_tokens: str | None = None
    dataset: Path | None = None
    q: float | None = None
    epochs_max: float | None = None
    constants: str = BOTH
    hardware: str | None = None
    utilisation: float | None = None
    price: float | None = None
    gpus: int | None = None
    pue: float | None = None
    run: Path | None = None
    sweep: str | None = None
    table: bool = False
    sizes: str | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """The answer.

    plans   of each set of constants; empty where only a table was asked
    rows    of the table: for each size the plan of each set of constants; empty where none was asked
    sizes   of the rows
    sweeps  what the pruning fractions of the run's sweeps mean
    notes   assumptions and warnings, as sentences
    """

    ask: Ask
    plans: tuple[Plan, ...]
    sizes: tuple[float, ...]
    rows: tuple[tuple[Plan, ...], ...]
    sweeps: tuple[PanelBudget, ...]
    notes: tuple[str, ...]

    @property
    def to_follow(self) -> tuple[Plan, ...]:
        """Of each set of constants the plan with inference, else the one as asked, else the optimal one.

        Where these are one model on one number of tokens, as those that are asked, it stands here once.
        """
        ranks = (Kind.OPTIMAL, Kind.ASKED, Kind.INFERENCE)
        chosen = {plan.law.name: plan for plan in sorted(self.plans, key=lambda plan: ranks.index(plan.kind))}
        different: dict[tuple[float, float], Plan] = {}
        for plan in chosen.values():
            different.setdefault((plan.parameters, plan.tokens), plan)
        return tuple(different.values())

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        asked = asdict(self.ask)
        laws = asked.pop("laws")
        if not self.plans:
            asked["parameters"] = None
        return {
            "asked": asked,
            "constants": {law["name"]: law for law in laws},
            "plans": [plan.as_dict() for plan in self.plans],
            "table": [
                {"as_good_as": size, "plans": [plan.as_dict() for plan in row]}
                for size, row in zip(self.sizes, self.rows, strict=True)
            ],
            "sweeps": [asdict(panel) for panel in self.sweeps],
            "notes": list(self.notes),
        }


def budget(options: Options) -> Told:
    """Answers what the options ask.

    Raises:
        UsageError: if an option cannot be used, or options contradict each other.
        InputError: if the dataset or the run is not what it should be.
    """
    rental = _rental(options)
    unique, quality, notes = _data(options)
    given = {
        "parameters": _amount(options.params, "--params"),
        "tokens": _amount(options.tokens, "--tokens"),
        "flops": _amount(options.flops, "--flops"),
        "loss": options.loss,
    }
    only_table = not any(value is not None for value in given.values()) and (options.table or options.sizes is not None)
    if only_table and options.run is not None:
        raise UsageError("--run: for which model? give --params, --tokens, --flops or --loss beside the table")
    sizes = _sizes(options, given["parameters"])
    ask = Ask(
        **(given | ({"parameters": sizes[0]} if only_table else {})),
        inference_tokens=_amount(options.inference_tokens, "--inference-tokens", zero=True) or 0.0,
        unique=unique,
        quality=quality,
        max_epochs=MAX_EPOCHS if options.epochs_max is None else options.epochs_max,
        laws=_laws(options.constants),
        rental=rental,
    )
    if options.sweep is not None and options.run is None:
        raise UsageError(f"--sweep {options.sweep}: of which run? give --run, such as --run runs/web")
    sweeps = {} if options.run is None else read_sweeps(options.run, options.sweep)
    told = Told(
        ask=ask,
        plans=() if only_table else solve(ask),
        sizes=sizes,
        rows=solve_range(ask, sizes),
        sweeps=(),
        notes=(*notes, *_notes(options, ask), *_without_best(sweeps)),
    )
    return replace(told, sweeps=panel_budgets(ask, told.to_follow, sweeps))


def dataset_tokens(folder: Path) -> tuple[float, float | None, str]:
    """A dataset's different tokens, its Q without what repeated passes lose (None if not measured), and its unit.

    Raises:
        InputError: if it is no dataset of ours, or counts something else than tokens.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        unit = str(manifest["unit_name"])
        counted = str(manifest["options"]["unit"])
        unique = math.fsum(float(component["unique_units"]) for component in manifest["components"])
        measured = manifest["quality"]
        quality = None if measured is None else min(1.0, float(measured["q"]) / (1 - float(measured["epochs"])))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: has no {MANIFEST}; name a dataset that `corpusmill run` or `mix` finished"
        ) from error
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{path}: is no manifest of this version ({type(error).__name__}: {error}); mix the dataset anew, or give "
            "--unique-tokens"
        ) from error
    if unique <= 0:
        raise InputError(f"{path}: its components have no tokens for training; mix it anew, or give --unique-tokens")
    if counted not in TOKEN_UNITS:
        raise InputError(
            f"{path}: counts {unit}, not tokens; give --unique-tokens, or mix it with `unit: tokens` and a tokenizer"
        )
    return unique, quality, unit


def _amount(text: str | None, option: str, *, zero: bool = False) -> float | None:
    return None if text is None else read_amount(text, option, zero=zero)


def _laws(text: str) -> tuple[ChinchillaLaw, ...]:
    found: dict[str, ChinchillaLaw] = {}
    for name in (name.strip().lower() for name in text.split(",") if name.strip()):
        if name == BOTH:
            found |= {law.name: law for law in (BESIROGLU, HOFFMANN)}
        elif name in LAWS:
            found[name] = LAWS[name]
        else:
            close = nearest(name, [*LAWS, BOTH])
            mend = f"did you mean {close}?" if close else f"there are {', '.join(LAWS)} and {BOTH}"
            raise UsageError(f"--constants: {name!r} is no published set; {mend}")
    return tuple(found.values())


def _rental(options: Options) -> Rental | None:
    terms = {
        "--utilisation": options.utilisation,
        "--price": options.price,
        "--gpus": options.gpus,
        "--pue": options.pue,
    }
    if options.hardware is None:
        for option, value in terms.items():
            if value is not None:
                raise UsageError(f"{option}: says nothing without --hardware; name it, such as --hardware h100")
        return None
    return Rental(
        accelerator=find_accelerator(options.hardware),
        devices=options.gpus,
        utilisation=UTILISATION if options.utilisation is None else options.utilisation,
        price=options.price,
        pue=PUE if options.pue is None else options.pue,
    )


def _data(options: Options) -> tuple[float | None, float | None, list[str]]:
    """Unique tokens, Q, and what is to be said of them."""
    if options.unique_tokens is not None and options.dataset is not None:
        raise UsageError("--unique-tokens and --dataset: both say how many tokens there are; leave one out")
    if options.dataset is not None:
        unique, measured, unit = dataset_tokens(options.dataset)
        notes = [f"{options.dataset} has {unique:,.0f} different {unit} for training."]
        if options.q is None and measured is not None:
            notes.append(f"Its Q was measured as {measured:.3f}; what its repeated passes lose is left out of that.")
        return unique, options.q if options.q is not None else measured, notes
    unique_tokens = _amount(options.unique_tokens, "--unique-tokens")
    if unique_tokens is None:
        for option, given in (("--q", options.q), ("--epochs-max", options.epochs_max), ("--run", options.run)):
            if given is not None:
                raise UsageError(f"{option}: of which data? give --unique-tokens, such as 500B, or --dataset")
    return unique_tokens, options.q, []


def _notes(options: Options, ask: Ask) -> list[str]:
    notes = []
    if ask.unique is not None and ask.quality is None:
        notes.append("Q is not known and taken as 1; `corpusmill score` measures it, --q says it.")
    if ask.rental is not None:
        assumed = []
        if options.utilisation is None:
            assumed.append(f"--utilisation {UTILISATION} (of the peak)")
        if options.pue is None and ask.rental.accelerator.watts is not None:
            assumed.append(f"--pue {PUE}")
        if assumed:
            notes.append(f"Assumed: {' and '.join(assumed)}.")
        if ask.rental.accelerator.watts is None:
            notes.append(f"Energy is not told: no rated power of {ask.rental.accelerator.title} is published.")
    return notes


def _without_best(sweeps: Mapping[str, Found]) -> list[str]:
    return [
        f"Sweep {name} says nothing of {panel.pool} with {panel.proxy}: it found no best fraction."
        for name, sweep in sweeps.items()
        for panel in sweep.analysis.panels
        if not panel.best
    ]


def _sizes(options: Options, parameters: float | None) -> tuple[float, ...]:
    """The rows of the table: 1, 2, 5, 10, … times a power of ten, and the ends."""
    if options.sizes is not None:
        low, high = read_range(options.sizes, "--range")
    elif not options.table:
        return ()
    elif parameters is None:
        low, high = _TABLE
    else:
        low, high = parameters / _AROUND, parameters * _AROUND
    return rows_between(low, high, () if parameters is None else (parameters,))


def rows_between(low: float, high: float, also: Sequence[float] = ()) -> tuple[float, ...]:
    """The ends, the round numbers between them, and those of `also` that lie there.

    Raises:
        UsageError: if the range is so wide that there are too many.

    >>> [amount(size) for size in rows_between(7e8, 7e9)]
    ['700M', '1B', '2B', '5B', '7B']
    """
    found = {low, high, *(size for size in also if low < size < high)}
    for power in count(math.floor(math.log10(low))):
        if 10.0**power > high:
            break
        found |= {step * 10.0**power for step in _STEPS if low < step * 10.0**power < high}
        if len(found) > _MOST_ROWS:
            raise UsageError(
                f"--range: {amount(low)} to {amount(high)} makes more than {_MOST_ROWS} rows; take a narrower one"
            )
    return tuple(sorted(found))
