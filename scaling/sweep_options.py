"""What a recipe says under `sweep`: which pools are pruned by what, to which fractions, at which sizes, and how it is
seen what is left is worth.

    sweep:
      pools:
        web: {sources: [web]}
      scores:
        quality: {measure: quality.score}                       # keeps the highest
        middling: {measure: perplexity.perplexity, keep: middle}
        long: {measure: text_bytes}
      fractions: [0.8, 0.6, 0.4, 0.2]
      sizes: [4_000_000, 8_000_000, 16_000_000, 32_000_000]     # tokens of the unpruned pool
      heldout: {sources: [web, books, forum]}
      proxies:
        ngram: {}
        small: {kind: transformer, size: 1M}

Cells that keep everything, and those that keep documents by chance (`random`), are always there: without them nothing
can be said of a score. A grid over several sizes is what shows whether pruning changes the slope of the loss (Sorscher
et al. 2022, arXiv:2206.14486, section 2); several budgets, since no fraction is best for all (Goyal et al. 2024,
arXiv:2404.07177).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from corpusmill.documents.errors import RecipeError
from corpusmill.scaling.contract import ALL, RANDOM

Keep = Literal["high", "low", "middle"]
Regime = Literal["epochs", "tokens", "simulated"]

_FORBID = {"extra": "forbid"}
LEAST_SEEDS = 3
"""Below this, what differs between seeds says little of what differs between scores."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Documents that are pruned together."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID

    sources: tuple[str, ...]
    """Of the recipe."""
    where: str | None = None
    """An SQL condition over their columns and measures, as in `mix.slices`."""
    weights: dict[str, float] = field(default_factory=dict)
    """Held-out domain -> its weight in this pool's losses, instead of `heldout.weights`."""

    def chosen(self) -> dict[str, Any]:
        """What decides which documents it has, for fingerprints: cells and tables do not depend on the weights."""
        return {"is": "Pool", "sources": self.sources, "where": self.where}


@dataclass(frozen=True, kw_only=True)
class Score:
    """What documents are pruned by."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID

    measure: str
    """A number that a stage measured, such as `quality.score` or `perplexity.perplexity`; a column of the curated
    documents, such as `language_score`; `text_bytes`, or `tokens`."""
    keep: Keep = "high"
    """Which end stays: the highest values, the lowest, or those nearest to the median in rank."""


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """What losses are measured on: clusters of near-duplicates of which no cell trains on any document.

    Documents are chosen by their id alone, so they are independent of every score.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID

    share: float = 0.05
    """Of the clusters of all sources."""
    sources: tuple[str, ...] = ()
    """Whose held-out documents make a domain each; of a source that pools take a part of, that part. Empty: all sources
    of the pools."""
    whole: tuple[str, ...] = ()
    """Sources that are held out entirely, a domain each. None of their documents may have a near-duplicate among the
    documents to train on."""
    max_tokens: int = 250_000
    """Of each domain. Each cell is evaluated on them; the more clusters they are of, the narrower the bands."""
    weights: dict[str, float] = field(default_factory=dict)
    """Domain -> its weight in the losses of every pool that names no weights of its own. Empty: a pool is judged on its
    own sources and on those of `whole`, each weighing the same; on all domains if `sources` names them."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            raise RecipeError(f"heldout.share: {self.share} must be above 0 and at most 0.5")
        if self.max_tokens < 1:
            raise RecipeError(f"heldout.max_tokens: {self.max_tokens} must be at least 1")
        named = [*self.sources, *self.whole]
        for domain in named:
            if named.count(domain) > 1:
                raise RecipeError(f"heldout: {domain} stands twice under `sources` and `whole`; name it once")
        _check_weights(self.weights, "heldout.weights")


@dataclass(frozen=True, kw_only=True)
class ProxyTokenizer:
    """One vocabulary for all cells. Few thousand tokens: a proxy's embeddings are not what it is judged by."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID

    vocab_size: int = 4096
    """Byte-level BPE, trained on a sample of what may be trained on, of all pools."""
    sample_bytes: int = 20_000_000
    """UTF-8 bytes of text to train it on, at most."""
    file: str | None = None
    """A tokenizer.json to use instead; relative to the recipe."""

    def __post_init__(self) -> None:
        if self.sample_bytes < 1:
            raise RecipeError(f"tokenizer.sample_bytes: {self.sample_bytes} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """A grid of cells: pools x sizes x (scores x fractions) x seeds x proxies.

    Raises:
        RecipeError: if a value cannot be used.
    """

    pools: dict[str, Pool]
    """By name. Each is swept by itself."""
    scores: dict[str, Score]
    """By name; `random` is added."""
    sizes: tuple[float, ...]
    """Tokens of the unpruned pool: whole numbers, or, up to 1, shares of what the smallest pool has. Smaller pools are
    parts of larger ones. Two at least: one size cannot show a slope."""
    proxies: dict[str, dict[str, Any]]
    """By name: `kind` (`ngram`, `transformer` or `command`; default: the name) and its options."""
    fractions: tuple[float, ...] = (0.8, 0.6, 0.4, 0.2)
    """Of a pool's tokens that stay. 1 is added."""
    seeds: int = LEAST_SEEDS
    """Runs of each cell, each with documents of its own in pools smaller than the whole."""
    regime: Regime = "epochs"
    """What all cells of a size share. `epochs`: passes over what is kept, so fewer tokens are less compute. `tokens`:
    compute; a smaller fraction is repeated more often. `simulated`: the repetition that the target run would have: a
    pool of that size, of `target_pool_tokens`, is trained on for its part of `target_tokens`."""
    epochs: float = 1.0
    """Passes: over what is kept under `epochs`, over the unpruned pool under `tokens`."""
    tokens: int | None = None
    """To train on in each cell, under `tokens`. None: `epochs` passes over the unpruned pool."""
    target_tokens: int | None = None
    """What the run that matters trains on, under `simulated`."""
    target_pool_tokens: int | None = None
    """What that run has before pruning."""
    heldout: Heldout = field(default_factory=Heldout)
    tokenizer: ProxyTokenizer = field(default_factory=ProxyTokenizer)
    seed: int = 0
    """From it and the documents' ids every choice follows. None given: the recipe's."""
    name: str = "sweep"
    """The folder of its results below `scaling` in the run's."""

    def __post_init__(self) -> None:
        for key in ("pools", "sizes", "proxies"):
            if not getattr(self, key):
                raise RecipeError(f"{key}: is empty; name at least one")
        for reserved in (ALL, RANDOM):
            if reserved in self.scores:
                raise RecipeError(f"scores.{reserved}: is always there; call yours otherwise")
        for name, pool in self.pools.items():
            if not pool.sources:
                raise RecipeError(f"pools.{name}.sources: is empty; name at least one")
            if len(set(pool.sources)) < len(pool.sources):
                raise RecipeError(f"pools.{name}.sources: {', '.join(pool.sources)}: name each once")
            _check_weights(pool.weights, f"pools.{name}.weights")
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise RecipeError(f"fractions: {fraction} must be above 0 and at most 1")
        for size in self.sizes:
            if not (math.isfinite(size) and size > 0) or (size > 1 and size != int(size)):
                raise RecipeError(f"sizes: {size} must be a whole number of tokens, or a share up to 1")
        if len(set(self.sizes)) < len(self.sizes) or len(set(self.fractions)) < len(self.fractions):
            raise RecipeError("sizes and fractions: name each once")
        if self.seeds < 1:
            raise RecipeError(f"seeds: {self.seeds} must be at least 1; {LEAST_SEEDS} or more give an interval")
        if not (math.isfinite(self.epochs) and self.epochs > 0):
            raise RecipeError(f"epochs: {self.epochs} must be above 0")
        self._check_regime()

    def _check_regime(self) -> None:
        if self.tokens is not None and (self.regime != "tokens" or self.tokens < 1):
            raise RecipeError(f"tokens: {self.tokens} belongs to `regime: tokens`, and must be at least 1")
        targets = {"target_tokens": self.target_tokens, "target_pool_tokens": self.target_pool_tokens}
        for key, value in targets.items():
            if self.regime == "simulated" and (value is None or value < 1):
                raise RecipeError(f"{key}: `regime: simulated` needs it, at least 1")
            if self.regime != "simulated" and value is not None:
                raise RecipeError(f"{key}: {value} belongs to `regime: simulated`")

    def train_tokens(self, pool_tokens: int, kept_tokens: int) -> int:
        """What a cell trains on, repetitions included."""
        if self.regime == "epochs":
            return max(1, round(self.epochs * kept_tokens))
        if self.regime == "tokens":
            return self.tokens if self.tokens is not None else max(1, round(self.epochs * pool_tokens))
        if self.target_tokens is None or self.target_pool_tokens is None:
            raise RecipeError("target_tokens and target_pool_tokens: `regime: simulated` needs both")
        return max(1, round(self.target_tokens * pool_tokens / self.target_pool_tokens))

    def treatments(self) -> tuple[tuple[str, float], ...]:
        """(score, fraction) of every cell of a size: everything once, then each score, then the control."""
        pruned = [fraction for fraction in sorted(self.fractions, reverse=True) if fraction < 1]
        return ((ALL, 1.0), *((score, fraction) for score in (*self.scores, RANDOM) for fraction in pruned))

    def domains(self) -> tuple[str, ...]:
        """The held-out domains, each a source."""
        pooled = dict.fromkeys(source for pool in self.pools.values() for source in pool.sources)
        return (*(self.heldout.sources or tuple(pooled)), *self.heldout.whole)

    def sources(self) -> tuple[str, ...]:
        """All sources that are looked at."""
        pooled = [source for pool in self.pools.values() for source in pool.sources]
        return tuple(dict.fromkeys([*pooled, *self.domains()]))

    def weight_of(self, pool: str | None = None) -> Mapping[str, float]:
        """Domain -> its weight, which sum to 1. What other pools there are does not matter.

        Args:
            pool: whose losses they are of; None: of mixtures of all pools.
        """
        domains, given, judged = self.domains(), self.heldout.weights, self.domains()
        if pool is not None:
            given = self.pools[pool].weights or given
            judged = judged if self.heldout.sources else (*self.pools[pool].sources, *self.heldout.whole)
        weights = {domain: given.get(domain, 0.0) if given else float(domain in judged) for domain in domains}
        total = sum(weights.values())
        return {domain: weight / total for domain, weight in weights.items()}

    def check(self, sources: Mapping[str, Any]) -> None:
        """Checks the names against the recipe's sources.

        Raises:
            RecipeError: if one is unknown, or a source is held out whole and in a pool.
        """
        places = {f"pools.{name}.sources": pool.sources for name, pool in self.pools.items()}
        places |= {"heldout.sources": self.heldout.sources, "heldout.whole": self.heldout.whole}
        for place, named in places.items():
            for source in named:
                if source not in sources:
                    raise RecipeError(f"{place}: {source!r} is no source of the recipe; there are {', '.join(sources)}")
        for name, pool in self.pools.items():
            both = sorted(set(pool.sources) & set(self.heldout.whole))
            if both:
                raise RecipeError(
                    f"heldout.whole: {both[0]} is held out entirely and trained on in the pool {name}; take it out of "
                    "one of them, or name it under heldout.sources, which holds a share of it out"
                )
        weights = {f"pools.{name}.weights": pool.weights for name, pool in self.pools.items()}
        for place, given in {"heldout.weights": self.heldout.weights, **weights}.items():
            for domain in given:
                if domain not in self.domains():
                    raise RecipeError(f"{place}.{domain}: is no held-out domain: {', '.join(self.domains())}")


def _check_weights(weights: Mapping[str, float], place: str) -> None:
    for domain, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise RecipeError(f"{place}.{domain}: {weight} must be 0 or more")
    if weights and not any(weights.values()):
        raise RecipeError(f"{place}: are all 0; give at least one domain a weight")
