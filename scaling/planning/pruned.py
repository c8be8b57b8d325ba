"""What the pruning fractions of a finished sweep would mean for a real budget.

A sweep's analysis (`runs/<name>/scaling/<sweep>/analysis.json`, scaling/frontier/analysis.py) says for each of its
budgets which fraction of the pool was best. Here that of the budget nearest to a plan's tokens is taken, and each
fraction is applied to the plan's unique tokens: what is left, how often it would be read, what that is worth. Its
sweep.json (pipeline/sweeping.py), beside the run's manifest, tells whether cells are missing or the run has changed.

Goyal et al. 2024, "Scaling Laws for Data Filtering" (arXiv:2404.07177): the best filter depends on the compute, since
pruned data is repeated sooner. Proxies train on far fewer tokens than the plan, so their ranking may not hold there;
`Pruned.factor` says how far away it was seen. What remains after pruning may have a higher Q than the whole; it is not
assumed to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from corpusmill.documents.errors import InputError, UsageError, nearest
from corpusmill.scaling.planning.budget import Ask, Plan, Supply, supply

ANALYSIS, SWEEP = "analysis.json", "sweep.json"
SOURCE = "Goyal et al. 2024, arXiv:2404.07177"
_MOST_BYTES = 200_000_000
Fraction = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A score and a fraction of it."""

    score: str
    fraction: Fraction


@dataclass(frozen=True, kw_only=True)
class Best:
    """What a sweep found best at one budget."""

    size: Tokens
    train_tokens: Tokens | None
    score: str
    fraction: Fraction
    not_distinguishable: tuple[Choice, ...]

    @property
    def tokens(self) -> float:
        """That the proxies were trained on; where that differs between fractions, the size of the pool."""
        return self.size if self.train_tokens is None else self.train_tokens


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A pool and a proxy."""

    pool: str
    proxy: str
    fractions: tuple[Fraction, ...]
    best: tuple[Best, ...]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Of a sweep, as far as it is read here."""

    version: Literal[1, 2]
    """1: what it says of agreement, which is not read here, is of the same documents."""
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What sweep.json says of how a sweep was made, as far as it is read here."""

    asked: int
    cells: tuple[Any, ...]
    run: str | None = None
    """The content hash of the run's curated documents."""


@dataclass(frozen=True, kw_only=True)
class Now:
    """What a run's manifest says of its state, as far as it is read here."""

    content_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A sweep of a run."""

    analysis: Analysis
    cells: int | None
    """That it was to have; None: not known."""
    missing_cells: int | None
    """Of these."""
    earlier: bool | None
    """Whether the run had other documents then."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A fraction of the unique tokens, for each plan."""

    fraction: float
    """That is kept."""
    unique: float
    """Tokens that are left."""
    supplies: tuple[Supply, ...]
    """What they are to each plan."""
    standing: Literal["best", "within noise", "worse"]
    """In the sweep, at its nearest budget, by the score that stands best there. Within noise: not told apart from the
    best."""
    scores: tuple[str, ...]
    """Those whose fraction is the best or within noise of it."""


@dataclass(frozen=True, kw_only=True)
class PanelBudget:
    """What one panel of a sweep means for the plans."""

    sweep: str
    """The sweep's name."""
    cells: int | None
    """That it was to have; None: not known."""
    missing_cells: int | None
    """Of these."""
    earlier: bool | None
    """Whether the run had other documents then."""
    pool: str
    """What it pruned."""
    proxy: str
    """What it trained."""
    tokens: float
    """The sweep's budget that is nearest to the plans'."""
    factor: float
    """How many times the first plan's tokens are more than that."""
    best_score: str
    """That stands best there, at the fraction that does; `all` where everything is kept."""
    same_tokens: bool
    """Whether the sweep trained on equally many tokens whatever was kept, as a plan does."""
    fractions: tuple[Pruned, ...]
    """The largest first."""


_ANALYSIS, _MADE, _NOW = TypeAdapter(Analysis), TypeAdapter(Made), TypeAdapter(Now)
_Read = TypeVar("_Read")


def read_sweeps(run: Path, name: str | None = None) -> dict[str, Found]:
    """The sweeps of a run that were analysed, by their names.

    Args:
        name: of the one that is wanted; None: all.

    Raises:
        InputError: if there are none, or one cannot be read.
        UsageError: if none has that name.
    """
    paths = {path.parent.name: path for path in sorted((run / "scaling").glob(f"*/{ANALYSIS}")) if path.is_file()}
    if not paths:
        raise InputError(
            f"{run}: has no scaling/*/{ANALYSIS}; name the folder of a run whose sweep was analysed (corpusmill sweep "
            "run, then corpusmill sweep report)"
        )
    if name is not None:
        if name not in paths:
            near = nearest(name, paths)
            mend = f"did you mean {near!r}?" if near else f"there are {', '.join(paths)}"
            raise UsageError(f"--sweep: {run} has no analysed sweep {name!r}; {mend}")
        paths = {name: paths[name]}
    now = run / "manifest.json"
    content = _read(now, _NOW, "corpusmill run makes it anew").content_hash if now.is_file() else None
    return {sweep: _found(path, content) for sweep, path in paths.items()}


def _found(path: Path, content: str | None) -> Found:
    analysis = _read(path, _ANALYSIS, "make it anew with corpusmill sweep report")
    file = path.parent / SWEEP
    if not file.is_file():
        return Found(analysis=analysis, cells=None, missing_cells=None, earlier=None)
    made = _read(file, _MADE, "make it anew with corpusmill sweep run")
    return Found(
        analysis=analysis,
        cells=made.asked,
        missing_cells=max(0, made.asked - len(made.cells)),
        earlier=None if None in (made.run, content) else made.run != content,
    )


def _read(path: Path, kind: TypeAdapter[_Read], mend: str) -> _Read:
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: has more than {_MOST_BYTES:,} bytes, as no results have; {mend}")
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {place or 'it'}: {first['msg']}; {mend}") from error


def panel_budgets(ask: Ask, plans: Sequence[Plan], sweeps: Mapping[str, Found]) -> tuple[PanelBudget, ...]:
    """For each panel of each sweep what its fractions mean for the plans; panels that found no best are left out."""
    if ask.unique is None or not plans:
        return ()
    found = []
    for name, sweep in sweeps.items():
        for panel in sweep.analysis.panels:
            if panel.best:
                closest = min(panel.best, key=lambda best: abs(math.log(best.tokens / plans[0].tokens)))
                found.append(
                    PanelBudget(
                        sweep=name,
                        cells=sweep.cells,
                        missing_cells=sweep.missing_cells,
                        earlier=sweep.earlier,
                        pool=panel.pool,
                        proxy=panel.proxy,
                        tokens=closest.tokens,
                        factor=plans[0].tokens / closest.tokens,
                        best_score=closest.score,
                        same_tokens=closest.train_tokens is not None,
                        fractions=tuple(
                            _pruned(ask, plans, ask.unique, fraction, closest)
                            for fraction in sorted(set(panel.fractions), reverse=True)
                        ),
                    )
                )
    return tuple(found)


def _pruned(ask: Ask, plans: Sequence[Plan], unique: float, fraction: float, best: Best) -> Pruned:
    left = fraction * unique
    near = {choice.score for choice in best.not_distinguishable if choice.fraction == fraction}
    is_best = fraction == best.fraction
    return Pruned(
        fraction=fraction,
        unique=left,
        supplies=tuple(supply(ask, plan.law, plan.parameters, plan.tokens, left) for plan in plans),
        standing="best" if is_best else "within noise" if near else "worse",
        scores=tuple(sorted(near | ({best.score} if is_best else set()))),
    )
