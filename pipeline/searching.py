"""A mixture search as tasks: prepare, run proxies on designed mixtures, fit the law, propose, and run the proposal.

scaling/search/runs/<run>/…             what a proxy leaves
scaling/search/tasks/*.json             a marker a run, with its shares and losses
scaling/search/search-<proxy>.json      all runs of a proxy's last search, the law's figures and the proposal

The components are the leaves of the recipe's ratios, and the prior is what its mix would have of each. A leaf that is
divided by a column's values in their natural proportions is one component, and stays so.

Ratios are shares of the mix's unit; a proxy and its law know tokens. So prior and caps become shares of tokens before
mixtures are drawn, and the proposal becomes shares of units (scaling/mixtures/scale.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.errors import CorpusmillError, InputError, RecipeError, UsageError, nearest
from corpusmill.documents.shards import atomic_text
from corpusmill.mix.options import MixOptions, Ratios, Share
from corpusmill.mix.ratios import leaves_of
from corpusmill.mix.slices import cases_by_source
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.mix_command import plan_mix
from corpusmill.pipeline.mixing import mix_options
from corpusmill.pipeline.preparing import prepare
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run import FinishedRun, Progress, finished_run
from corpusmill.pipeline.sweep_recipe import check_proxies, place_of, proxies_of, sweep_options, tokenizer_of
from corpusmill.pipeline.tasks import Counts, Outcome, Task, fingerprint
from corpusmill.scaling.contract import Cost, Proxy
from corpusmill.scaling.mixtures.design import REPEATS, Design, check_numbers, design
from corpusmill.scaling.mixtures.law import MixtureFit, fit_mixture_law
from corpusmill.scaling.mixtures.proposal import DIVERGENCE, Interval, Proposal, check_divergence, propose
from corpusmill.scaling.mixtures.runs import (
    Stream,
    Trial,
    confirmed,
    heldout_difference,
    pooled_variance,
    run_trial,
    seed_of,
    tokens_of,
)
from corpusmill.scaling.mixtures.scale import Scale
from corpusmill.scaling.mixtures.whole_documents import Achieved, achieved, check_prior_runs
from corpusmill.scaling.prepared import Prepared
from corpusmill.scaling.proxies.ngram_proxy import NgramProxy
from corpusmill.scaling.sweep_options import Pool, SweepOptions

Floats = NDArray[np.float64]

LAYOUT = 1
NAME = "search"
TOKENS = 2_000_000
"""Of a run, unless the mix itself has less: an n-gram model takes a second, a transformer of a million parameters some
minutes on a core."""
_BYTES_A_TOKEN = 3  # of text, about: for progress alone
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is searched for, in units of the mix.

    components  in the order in which documents are divided among them
    prior       share of each in the recipe's mix
    epochs      the most passes over each
    available   units of one pass
    budget      units
    """

    components: tuple[str, ...]
    prior: Floats
    epochs: Floats
    available: Floats
    budget: float
    unit: str
    sweep: SweepOptions

    @property
    def most(self) -> Floats:
        """Units of each component that a mix can have. The recipe's own is possible, whatever rounding says."""
        return np.maximum(self.epochs * self.available, self.prior * self.budget)

    def bounds(self, scale: Scale) -> tuple[Floats, Floats]:
        """The prior, and the most that each component can have of the tokens of the recipe's mix: shares of tokens."""
        prior = scale.of_tokens(self.prior)
        caps = np.minimum(1.0, self.epochs * scale.tokens / scale.whole(self.prior, self.budget))
        return prior, np.maximum(caps, prior)

    def budget_for(self, shares: Floats) -> int:
        """The budget, or what `most` allows at these shares of units if that is less."""
        return math.floor(min(self.budget, float((self.most / shares).min())) + _ROUNDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCost:
    """What a search costs, before it is started.

    runs   of the design, repeats of the prior included
    after  runs of the prior and of the proposal that come after it
    """

    proxy: str
    runs: int
    after: int
    tokens: int
    flops: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search came to; without `proposal`, only its cost and design were asked for.

    scale         what the question's units are in tokens, which design, law and proposal are of
    confirmation  proposal less prior in runs that the proposal was not chosen by
    noise         standard deviation of the loss between runs of one mixture; None from a single one
    unseen        whether the proposal repeats a component, and the proxy does not see repetition
    sampled       whether the confirmation knows that held-out documents are a sample
    notes         how far whole documents are from the mixtures, where that is far
    """

    folder: Path
    question: Question
    scale: Scale
    cost: SearchCost
    design: Design
    fit: MixtureFit | None = None
    proposal: Proposal | None = None
    confirmation: Interval | None = None
    noise: float | None = None
    unseen: bool = False
    sampled: bool = False
    notes: tuple[str, ...] = ()
    failed: tuple[Outcome, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.failed else 0

    @property
    def stays(self) -> bool:
        """Whether the proposal is the prior."""
        return self.proposal is not None and self.proposal.stays

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """Of new runs, on the proposal."""
        if self.confirmation is None or not self.confirmation.shown:
            return "not shown"
        return "better" if self.confirmation.high < 0 else "worse"


@dataclass(frozen=True, slots=True)
class TrialWork:
    prepared: Prepared
    trial: Trial
    proxy: Proxy
    folder: Path


def question_of(recipe: Recipe) -> Question:
    """What a search among the components of a recipe's mix is about.

    Raises:
        UsageError: if the recipe has no mix, or has not been run to its end.
        RecipeError: if the mix has stages or one component, or divides a component otherwise than by size.
        ShortSourceError: as the mix itself.
    """
    options = mix_options(recipe)
    if options is None:
        raise UsageError(f"{recipe.file}: has no `mix`; say in it which ratios the search begins with")
    if options.stages:
        raise RecipeError(f"{recipe.file}: mix.stages: a search is of one dataset; give it a recipe with one stage")
    limits = {leaf.name: leaf.max_epochs for leaf in leaves_of(options.ratios)}
    if len(limits) < 2:
        raise RecipeError(f"{recipe.file}: mix.ratios: {', '.join(limits)} alone leaves nothing to search for")
    for place, share in shares_within(options.ratios):
        if share.by is not None and share.balance != "natural":
            raise RecipeError(
                f"{recipe.file}: mix.ratios.{place}.balance: a search has {place} by {share.by} in its natural "
                f"proportions, not by {share.balance}; make a slice of each value that matters, or take `balance` out"
            )
    plan = plan_mix(recipe)
    units, available = dict.fromkeys(limits, 0.0), dict.fromkeys(limits, 0.0)
    for row in plan.datasets[0].rows:
        leaf = row["component"].partition("/")[0]
        units[leaf] += row["units"]
        available[leaf] += row["available"]
    for leaf, amount in available.items():
        if not amount or not units[leaf]:
            raise InputError(
                f"{leaf}: nothing of it would be in the mix; take it out of mix.ratios, or raise the budget"
            )
    pools = _pools(recipe, options, limits)
    ordered = tuple(pools)
    budget = sum(units.values())
    prior = np.array([units[leaf] / budget for leaf in ordered])
    most = np.array([options.max_epochs if limits[leaf] is None else limits[leaf] for leaf in ordered], np.float64)
    has = np.array([available[leaf] for leaf in ordered])
    return Question(
        components=ordered,
        prior=prior,
        epochs=most,
        available=has,
        budget=budget,
        unit=plan.unit,
        sweep=_sweep(recipe, pools),
    )


def run_search(
    recipe: Recipe,
    executor: Executor,
    progress: Progress,
    *,
    proxy: str | None = None,
    tokens: int | None = None,
    mixtures: int | None = None,
    seeds: int = REPEATS,
    divergence: float = DIVERGENCE,
    dry_run: bool = False,
    tell: Callable[[SearchResult], None] = lambda begun: None,
) -> SearchResult | None:
    """Searches a mixture for a run that has ended, or goes on with it. None if what comes before its runs failed.

    Args:
        proxy: its name in the recipe's `sweep`; None: the first.
        tokens: of a run.
        mixtures: how many different ones.
        seeds: runs of the prior, and of both the prior and the proposal afterwards.
        divergence: how strongly the proposal is held to the prior.
        dry_run: prepare, and tell what it costs.
        tell: is given the search with its cost before the runs start.

    Raises:
        UsageError: if the recipe has not been run to its end, or an option cannot be used.
        InputError: if a number is out of its range, or whole documents make other mixtures of the runs.
    """
    check_divergence(divergence)
    if tokens is not None and tokens < 1:
        raise UsageError(f"--tokens {tokens:,}: a run is of 1 token or more; leave it out for what the mix allows")
    question = question_of(recipe)
    check_numbers(len(question.components), mixtures, seeds)
    name, chosen = _proxy(recipe, question.sweep, proxy)
    check_proxies({name: chosen}, place_of(recipe))
    with finished_run(recipe, executor, progress, tells=False) as run:
        prepared = prepare(run.folder, run.parts, question.sweep, tokenizer_of(recipe, question.sweep), run.runner)
        if prepared is None:
            return None
        scale = _scale(prepared, question)
        search = _Search(run, question, prepared, name, chosen, *_size(question, scale, tokens))
        begun = search.begun(scale, mixtures, seeds)
        tell(begun)
        return begun if dry_run else search.result(begun, seeds, divergence)


@dataclass(frozen=True, slots=True)
class _Search:
    run: FinishedRun
    question: Question
    prepared: Prepared
    name: str
    proxy: Proxy
    tokens: int
    part: float

    @property
    def folder(self) -> Path:
        return self.run.folder / "scaling" / NAME

    def cost(self, runs: int, after: int) -> SearchCost:
        each: Cost = self.proxy.cost(self.tokens, self.prepared.vocab_size)
        total = runs + after
        return SearchCost(
            proxy=self.name,
            runs=runs,
            after=after,
            tokens=self.tokens,
            flops=None if each.flops is None else each.flops * total,
            seconds=None if each.seconds is None else each.seconds * total,
        )

    def result(self, begun: SearchResult, seeds: int, divergence: float) -> SearchResult:
        """Runs the design, proposes, and runs the proposal."""
        shares, prior = begun.design.shares, begun.design.prior
        asked, caps = self.question.bounds(begun.scale)
        tasks = [self._task(one, *place) for one, place in zip(shares, _places(prior), strict=True)]
        outcomes = self.run.runner.run("search: mixtures", tasks)
        well = [
            (outcome.counts, bool(is_prior))
            for outcome, is_prior in zip(outcomes, prior, strict=True)
            if not outcome.error
        ]
        if len(well) < len(outcomes) and len(well) < len(self.question.components):
            raise CorpusmillError(
                f"{self.folder}: {len(outcomes) - len(well)} of {len(outcomes)} runs failed: {_error(outcomes)}"
            )
        domains = self.prepared.options.domains()
        weights = np.array([self.prepared.options.weight_of()[domain] for domain in domains])
        fit = fit_mixture_law(
            [counts["shares"] for counts, _ in well],
            [[counts["losses"][domain] for domain in domains] for counts, _ in well],
            components=self.question.components,
            names=domains,
            seed=self.question.sweep.seed,
        )
        proposal = propose(
            fit,
            asked,
            caps=caps,
            weights=weights,
            divergence=divergence,
            seed=self.question.sweep.seed,
        )
        ended = replace(begun, fit=fit, proposal=proposal)
        after: list[Outcome] = []
        if not ended.stays:
            again = [
                task
                for number in range(seeds)
                for task in (self._task(asked, "prior-again", number), self._task(proposal.shares, "proposal", number))
            ]
            after = self.run.runner.run("search: the proposal", again)
        new = [[one.counts for one in after[side::2] if not one.error] for side in (0, 1)]
        runs = [[counts for counts, is_prior in well if is_prior], *new]
        groups = [[_loss(counts, domains, weights) for counts in group] for group in runs]
        before, proposed = ([counts.get("folds") for counts in side] for side in new)
        heldout = heldout_difference(before, proposed, dict(zip(domains, weights.tolist(), strict=True)))
        ended = replace(
            ended,
            confirmation=confirmed(groups[1], groups[2], groups[:1], heldout) if groups[1] and groups[2] else None,
            sampled=bool(heldout),
            noise=_noise(groups),
            unseen=isinstance(self.proxy, NgramProxy)
            and bool((proposal.shares * self.tokens > self.part * begun.scale.tokens).any()),
            notes=(*begun.notes, *_notes([one for one in after if not one.error])),
            failed=tuple(self.run.runner.failed),
        )
        ran = [counts for counts, _ in well] + [one.counts for one in after if not one.error]
        data = {**as_data(ended, ran), "run": self.run.manifest["content_hash"]}
        atomic_text(self.folder / f"search-{self.name}.json", json.dumps(data, indent=1) + "\n")
        _tell(self.run.folder)
        return ended

    def begun(self, scale: Scale, mixtures: int | None, seeds: int) -> SearchResult:
        """The search before its runs.

        Raises:
            InputError: if a run would have no document, or runs of the prior would be far from it.
        """
        prior, caps = self.question.bounds(scale)
        planned = design(prior, caps, mixtures=mixtures, repeats=seeds, seed=self.question.sweep.seed)
        trials = [self._trial(one, *place) for one, place in zip(planned.shares, _places(planned.prior), strict=True)]
        documents, seed = self.prepared.documents, self.prepared.options.seed
        check_prior_runs(documents, trials[:seeds], seed)
        return SearchResult(
            folder=self.folder,
            question=self.question,
            scale=scale,
            cost=self.cost(len(trials), 2 * seeds),
            design=planned,
            notes=achieved(documents, trials, seed).notes("runs"),
        )

    def _trial(self, shares: Floats, stream: Stream, number: int) -> Trial:
        return Trial(
            components=self.question.components,
            shares=tuple(shares.tolist()),
            tokens=self.tokens,
            part=self.part,
            seed=seed_of(stream, number),
        )

    def _task(self, shares: Floats, stream: Stream, number: int) -> Task:
        prepared, options = self.prepared, self.prepared.options
        trial = self._trial(shares, stream, number)
        pools = {name: pool.chosen() for name, pool in options.pools.items()}
        documents = fingerprint(prepared.basis, pools, options.scores)  # whatever else is in their table
        heldout = [options.domains(), options.heldout.max_tokens]
        wanted = fingerprint(LAYOUT, documents, trial, self.proxy.identity(), heldout)
        name = f"{self.name}-{stream}-{number}-{wanted}"
        return Task(
            key=f"scaling/{NAME}/{name}",
            function=f"{__name__}:{train_trial.__name__}",
            arguments=TrialWork(prepared, trial, self.proxy, self.folder / "runs" / name),
            outputs=(),
            marker=self.folder / "tasks" / f"{name}.json",
            fingerprint=wanted,
            size=_BYTES_A_TOKEN * self.tokens,
        )


def _tell(run: Path) -> None:
    """Writes the run's page, which tells of the search."""
    from corpusmill.pipeline.report import write_report  # not in the processes that train

    write_report(run)


def train_trial(work: TrialWork) -> Counts:
    """A task: one run."""
    return run_trial(work.prepared, work.trial, work.proxy, work.folder)


def as_data(result: SearchResult, runs: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A search as JSON data; `runs` as they ended. Shares are of tokens, but those `in_units`, which a recipe has."""
    question, fit = result.question, result.fit
    prior, caps = question.bounds(result.scale)
    data: dict[str, Any] = {
        "components": list(question.components),
        "prior": prior.tolist(),
        "caps": caps.tolist(),
        "tokens": result.scale.tokens.tolist(),
        "available": question.available.tolist(),
        "budget": question.budget,
        "unit": question.unit,
        "in_units": {"prior": question.prior.tolist()},
        "cost": asdict(result.cost),
        "design": result.design.shares.tolist(),
        "weights": dict(question.sweep.weight_of()),
        "notes": list(result.notes),
    }
    if fit is not None and result.proposal is not None:
        proposed = result.scale.of_units(result.proposal.shares)
        data["in_units"] |= {"proposed": proposed.tolist(), "budget": question.budget_for(proposed)}
        data |= {
            "law": {
                "losses": list(fit.losses),
                "floor": fit.law.floor.tolist(),
                "slopes": fit.law.slopes.tolist(),
                "error": fit.error.tolist(),
                "spread": fit.spread.tolist(),
            },
            "proposal": asdict(result.proposal),
            "stays": result.stays,
            "confirmation": None if result.confirmation is None else _finite(result.confirmation),
            "noise": result.noise,
            "repetition_unseen": result.unseen,
            "heldout_sampled": result.sampled,
            "failed": len(result.failed),
        }
    if runs is None:
        return data
    # What folds cost stays in the runs' markers: sixty numbers a domain, which nobody reads here.
    return {**data, "runs": [{key: value for key, value in run.items() if key != "folds"} for run in runs]}


def _finite(given: Interval) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in asdict(given).items()}


def _pools(recipe: Recipe, options: MixOptions, leaves: Mapping[str, Any]) -> dict[str, Pool]:
    """A pool a leaf. A document is of the first that it is in, which is what slices are to their source."""
    cases = cases_by_source(options, [source.name for source in recipe.sources])
    return {
        case.leaf: Pool(sources=(source,), where=case.where)
        for source, own in cases.items()
        for case in own
        if case.leaf in leaves
    }


def _sweep(recipe: Recipe, pools: Mapping[str, Pool]) -> SweepOptions:
    """The recipe's `sweep` with the components as its pools; its own pools, scores and sizes are of no account here."""
    if recipe.sweep is None:
        options = SweepOptions(
            pools=dict(pools), scores={}, sizes=(1.0,), proxies={"ngram": {}}, seed=recipe.seed, name=NAME
        )
    else:
        given = sweep_options(recipe)
        options = SweepOptions(
            pools=dict(pools),
            scores={},
            sizes=(1.0,),
            proxies=given.proxies,
            heldout=given.heldout,
            tokenizer=given.tokenizer,
            seed=given.seed,
            name=NAME,
        )
    for leaf, pool in pools.items():
        for source in pool.sources:
            if source in options.heldout.whole:
                raise RecipeError(
                    f"{place_of(recipe)}.heldout.whole: {source!r} is held out entirely, and the component {leaf} "
                    "of mix.ratios is of it; take it out of one of them, or name it under sweep.heldout.sources, "
                    "which holds a share of it out"
                )
    try:
        options.check({source.name: source for source in recipe.sources})
    except RecipeError as error:
        raise RecipeError(f"{place_of(recipe)}.{error}") from error
    return options


def shares_within(ratios: Ratios, place: str = "") -> Iterator[tuple[str, Share]]:
    """Each share that is a mapping, with where it stands in the ratios."""
    for name, share in ratios.items():
        if isinstance(share, Share):
            yield place + name, share
            if isinstance(share.of, dict):
                yield from shares_within(share.of, f"{place}{name}.of.")


def _places(prior: NDArray[np.bool_]) -> list[tuple[Stream, int]]:
    """What each run of a design is: a repeat of the prior, or a mixture, and which."""
    repeats = int(prior.sum())
    streams: list[tuple[Stream, int]] = [("prior", number) for number in range(repeats)]
    return streams + [("mixture", number) for number in range(1, len(prior) - repeats + 1)]


def _proxy(recipe: Recipe, options: SweepOptions, name: str | None) -> tuple[str, Proxy]:
    proxies = proxies_of(options, place_of(recipe))
    wanted = next(iter(proxies)) if name is None else name
    if wanted not in proxies:
        near = nearest(wanted, proxies)
        mend = f"did you mean {near!r}?" if near else f"sweep.proxies has {', '.join(proxies)}"
        raise UsageError(f"--proxy: no proxy is called {wanted!r}; {mend}")
    return wanted, proxies[wanted]


def _scale(prepared: Prepared, question: Question) -> Scale:
    has = tokens_of(prepared.documents, question.components)
    for name, count in has.items():
        if not count:
            raise InputError(f"{name}: all of its documents are held out, or have no text; lower sweep.heldout.share")
    return Scale(units=question.available, tokens=np.array(list(has.values()), np.float64))


def _size(question: Question, scale: Scale, tokens: int | None) -> tuple[int, float]:
    """Tokens of a run, and the part of the whole training that they are."""
    whole = max(1, int(scale.whole(question.prior, question.budget)))
    wanted = min(TOKENS, whole) if tokens is None else tokens
    if not 1 <= wanted <= whole:
        raise UsageError(f"--tokens {wanted:,}: a run is of 1 to {whole:,} tokens, which is what the mix itself has")
    return wanted, wanted / whole


def _loss(counts: Mapping[str, Any], domains: Sequence[str], weights: Floats) -> float:
    return float(np.array([counts["losses"][domain] for domain in domains]) @ weights)


def _notes(after: Sequence[Outcome]) -> tuple[str, ...]:
    """How far the runs that came after the proposal are from their mixtures."""
    if not after:
        return ()
    trials = [one.task.arguments.trial for one in after]
    return Achieved(
        components=trials[0].components,
        asked=np.array([trial.shares for trial in trials]),
        shares=np.array([one.counts["shares"] for one in after]),
    ).notes("new runs")


def _noise(groups: Sequence[Sequence[float]]) -> float | None:
    variance, free = pooled_variance(groups)
    return math.sqrt(variance) if free else None


def _error(outcomes: Sequence[Outcome]) -> str:
    return next(outcome.error.strip().splitlines()[-1] for outcome in outcomes if outcome.error)
