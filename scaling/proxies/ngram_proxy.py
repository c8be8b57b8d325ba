"""An n-gram model of token ids as a proxy: seconds a cell, no parameters to tune, the same losses every time.

Interpolated modified Kneser-Ney (Chen & Goodman 1998, sections 3 and 4.1.6), estimated and scored as perplexity models
are (filters/ngram_training.py, filters/ngram_model.py), with a closed vocabulary: orders are interpolated down to a
uniform distribution over all ids, so that each has a probability and they sum to one. A document is one sequence, whose
end is predicted and paid for; no context reaches beyond it. Differs from the papers: an id of the end inside a text
ends it there, as it would for a transformer that reads the same ids.

What it can stand for is limited, and told: a count does not see repetition (twice the same text is the same model but
for the discounts), and nothing beyond four tokens back is seen at all.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters.ngram_kernels import RESERVED
from corpusmill.filters.ngram_model import MAX_ORDER, MIN_ORDER
from corpusmill.filters.ngram_training import MAX_WORDS, Estimate, NgramCounter, estimate
from corpusmill.scaling.contract import Cost, Tokens, Trained, Training, per_byte

_SECONDS = {2: 1.5e-7, 3: 1.6e-7, 4: 3.2e-7, 5: 4.4e-7}
"""CPU seconds for each token to train on, by order: `benchmarks/proxies.py`, 10M tokens of prose, one core of an AMD
EPYC. To measure the machine at hand would take longer than a small cell does."""
_SECONDS_EACH = 0.05
"""A training run, however small, with its evaluation."""


@dataclass(frozen=True, kw_only=True)
class NgramProxy:
    """An n-gram model with interpolated modified Kneser-Ney smoothing; scaling/contract.py's `Proxy`.

    Raises:
        RecipeError: if the order is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    order: int = 5
    """Tokens of the longest n-gram, 2 to 5: how many before each are seen, and that one. Training takes about 120
    bytes of memory a token at order 5."""

    def __post_init__(self) -> None:
        if not MIN_ORDER <= self.order <= MAX_ORDER:
            raise RecipeError(f"order: {self.order} is out of range; use {MIN_ORDER} to {MAX_ORDER}")

    def run(self, training: Training) -> Trained:
        """Counts, estimates, and scores the held-out documents. It draws nothing by chance, and writes nothing.

        Raises:
            InputError: if there is nothing to train on, or an id does not fit the vocabulary, or a held-out domain is
                empty.
        """
        begun = time.perf_counter()
        made = self.model(training)
        trained = time.perf_counter()
        bits = self.bits(made, training)
        available = int(training.train.offsets[-1] - training.train.offsets[0])
        told: dict[str, Any] = {
            "order": self.order,
            "counted_tokens": min(training.tokens, available),
            "ngrams": list(made.kept),
            "discounts": [list(each) for each in made.discounts],
            "train_seconds": trained - begun,
            "evaluate_seconds": time.perf_counter() - trained,
        }
        if training.tokens > available:
            told["repetition"] = "not seen"
        return Trained(
            bits_per_byte=per_byte(bits, training.heldout),
            train_tokens=training.tokens,
            told=told,
            bits=bits,
        )

    def model(self, training: Training) -> Estimate:
        """The model of the documents to train on. Its words are `_numbered`.

        Raises:
            InputError: as `run`.
        """
        numbers, offsets, _ = _numbered(*_cut(training.train, training.tokens), "train", training)
        if not len(numbers):
            raise InputError("the documents to train on have no token; keep more of them, or look at their texts")
        counter = NgramCounter(self.order, None)
        counter.add(numbers, offsets)
        # One of the ids is the end of a document, which the model has beside its words.
        return estimate(counter, vocabulary=training.vocab_size - 1)

    def bits(self, made: Estimate, training: Training) -> dict[str, NDArray[np.float64]]:
        """Of each document of each held-out domain.

        Raises:
            InputError: as `run`.
        """
        return {domain: _bits(made, held, domain, training) for domain, held in training.heldout.items()}

    def cost(self, tokens: int, vocab_size: int) -> Cost:
        """Seconds as one machine had them, whatever the vocabulary; floating-point operations mean nothing here."""
        return Cost(seconds=_SECONDS_EACH + tokens * _SECONDS[self.order], flops=None)

    def identity(self) -> NgramProxy:
        """All that it is."""
        return self

    def check(self) -> None:
        """It runs everywhere."""


def _cut(tokens: Tokens, most: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Ids and offsets of the first documents, up to `most` tokens: the last one may be cut, and ends there.

    Raises:
        InputError: if `most` is below 1.
    """
    if most < 1:
        raise InputError(f"{most} tokens to train on are too few; train on 1 or more")
    offsets = tokens.offsets
    end = int(offsets[0]) + most
    if end < offsets[-1]:
        offsets = np.minimum(offsets[: np.searchsorted(offsets, end) + 1], end)
    return tokens.ids, offsets


def _numbered(
    ids: NDArray[Any], offsets: NDArray[np.int64], name: str, training: Training
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Documents as sentences of a model: numbers of words, where each sentence begins, and which is the first of each
    document.

    Words are numbered from RESERVED on, the end of a document left out. Where it stands inside a text, this is two.

    Raises:
        InputError: if an id does not fit the vocabulary.
    """
    vocab_size, eos = training.vocab_size, training.eos_id
    ids, offsets = ids[offsets[0] : offsets[-1]], offsets - offsets[0]
    if not 0 <= eos < vocab_size <= MAX_WORDS - RESERVED:
        raise InputError(
            f"vocabulary of {vocab_size} tokens with {eos} as the end of documents: give 2 to {MAX_WORDS - RESERVED} "
            "tokens, with the end among them"
        )
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        raise InputError(
            f"{name}: has token ids from {ids.min()} to {ids.max()}, and the vocabulary {vocab_size}; encode the texts "
            "with this tokenizer"
        )
    ends = np.flatnonzero(ids == eos)
    inside = np.searchsorted(ends, offsets)  # ends of texts before each document
    firsts = np.arange(len(offsets)) + inside
    if len(ends):
        before = offsets - inside  # among the ids that are left
        offsets = np.sort(np.concatenate([before, ends - np.arange(len(ends))]))
        ids = np.delete(ids, ends)
    numbers = ids.astype(np.uint32) + np.uint32(RESERVED)
    numbers -= ids > eos
    return numbers, offsets, firsts


def _bits(made: Estimate, heldout: Tokens, domain: str, training: Training) -> NDArray[np.float64]:
    if heldout.text_bytes.sum() < 1:
        raise InputError(f"heldout.{domain}: has no text; name another domain, or hold out more")
    numbers, offsets, firsts = _numbered(heldout.ids, heldout.offsets, f"heldout.{domain}", training)
    sums, _ = made.ngrams.sums(numbers.astype(np.uint64), offsets, firsts)
    bits: NDArray[np.float64] = -sums / math.log10(2)
    return bits
