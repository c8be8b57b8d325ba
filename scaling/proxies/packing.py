"""Documents as rows for a transformer: the packed rows of training, the windows of evaluation. No work per token.

Training sees one stream: `eos`, a document, `eos`, the next, and so on, cut into rows of `context` inputs, each of
whose targets is the token after it. So every token and every end of a document is a target once an epoch. The first
epoch has the documents in the order given; each later one is permuted by the seed; the last is cut where the asked
tokens are reached. Rows are shuffled among `SHUFFLED_STEPS` steps by the seed: eight rows in a row are one document of
2,000 tokens, and what the optimiser learns from such a batch is that document.

Evaluation takes each document for itself, after one `eos`. One that is longer than the context is read in windows half
a context apart, and each window counts what the one before did not reach: no token is judged on less than half a
context where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpusmill.scaling.contract import Tokens

PADDING = -100
"""A target that counts for nothing; what torch's cross-entropy takes for it, too."""
SHUFFLED_STEPS = 256
"""Rows of so many steps are shuffled together."""
_OF_DOCUMENTS, _OF_ROWS = 0, 1  # what a seed is for
_MOST_EPOCHS = 64  # 16 bytes a document each


@dataclass(frozen=True, slots=True)
class Rows:
    """Input for a model, and what it should say: int64[rows, length] each."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Epoch:
    order: NDArray[np.int64]  # documents as they come
    starts: NDArray[np.int64]  # where the `eos` before each stands, from the epoch's first; at last the epoch's length


class Stream:
    """The rows of one training run.

    Args:
        train: documents, at least one token in all.
        tokens: to train on, at least 1; ends of documents not counted.
        eos_id: stands before each document and behind the last.
        seed: of the order in later epochs.
        context: inputs in a row.
        rows: in a batch; the last batch may have fewer.
    """

    def __init__(self, train: Tokens, tokens: int, eos_id: int, seed: int, context: int, rows: int) -> None:
        self._train = train
        self._eos_id = eos_id
        self._seed = seed
        self._context = context
        self._rows = rows
        self._lengths = np.diff(train.offsets)
        self._tokens = int(self._lengths.sum())  # of an epoch
        self._length = self._tokens + len(train)  # of an epoch, with the ends of documents
        self._kept: dict[int, _Epoch] = {}
        self._block: tuple[int, NDArray[np.int64]] | None = None
        self.targets = self._reach(tokens) - 1
        """In the whole run, ends of documents counted."""
        self.steps = -(-self.targets // (context * rows))

    def batch(self, step: int) -> Rows:
        """The rows of a step, counted from 0."""
        numbers = self._numbers(step)
        inputs = np.full((len(numbers), self._context), self._eos_id, np.int64)
        targets = np.full((len(numbers), self._context), PADDING, np.int64)
        for row, number in enumerate(numbers):
            first, end = self._bounds(number)
            ids = np.concatenate([self._ids(*piece) for piece in self._pieces(first, end + 1)])
            inputs[row, : end - first] = ids[:-1]
            targets[row, : end - first] = ids[1:]
        return Rows(inputs, targets)

    def tokens_in(self, step: int) -> int:
        """How many of a step's targets are tokens of documents; the others are their ends."""
        bounds = (self._bounds(number) for number in self._numbers(step))
        return sum(self._tokens_before(end + 1) - self._tokens_before(first + 1) for first, end in bounds)

    def documents(self, step: int, row: int | None = None) -> NDArray[np.int64]:
        """Which documents stand in a step, or in one row of it, each once, in the order given."""
        numbers = self._numbers(step)
        # A row's last target is left out: if it is an `eos`, it ends a document of the row, else its `eos` is an input.
        found = [
            epoch.order[np.searchsorted(epoch.starts, first, "right") - 1 : np.searchsorted(epoch.starts, end)]
            for number in (numbers if row is None else numbers[row : row + 1])
            for epoch, first, end in self._pieces(*self._bounds(number))
        ]
        return np.unique(np.concatenate(found))

    def _numbers(self, step: int) -> list[int]:
        """The places in the stream of a step's rows."""
        block, inside = divmod(step, SHUFFLED_STEPS)
        if self._block is None or self._block[0] != block:
            first = block * SHUFFLED_STEPS * self._rows
            count = min(SHUFFLED_STEPS * self._rows, -(-self.targets // self._context) - first)
            order = np.random.default_rng([self._seed, _OF_ROWS, block]).permutation(count)
            self._block = block, first + order
        numbers: list[int] = self._block[1][inside * self._rows : (inside + 1) * self._rows].tolist()
        return numbers

    def _bounds(self, number: int) -> tuple[int, int]:
        """Places in the stream of a row's first input and of its last target."""
        return number * self._context, min((number + 1) * self._context, self.targets)

    def _tokens_before(self, place: int) -> int:
        """How many of the stream's tokens before a place are documents'."""
        number, inside = divmod(place, self._length)
        return number * self._tokens + inside - int(np.searchsorted(self._epoch(number).starts[:-1], inside))

    def _reach(self, tokens: int) -> int:
        """How long the stream is: until `tokens` tokens have come, and an `eos` if the last of them ends a document."""
        whole, rest = divmod(tokens, self._tokens)
        if not rest:
            return whole * self._length + 1
        epoch = self._epoch(whole)
        until = np.cumsum(self._lengths[epoch.order])
        last = int(np.searchsorted(until, rest))
        missing = int(until[last]) - rest
        return whole * self._length + int(epoch.starts[last + 1]) - missing + (missing == 0)

    def _pieces(self, first: int, end: int) -> Iterator[tuple[_Epoch, int, int]]:
        """The epochs that places of the stream lie in, with the places as each epoch counts them."""
        for number in range(first // self._length, (end - 1) // self._length + 1):
            begin = number * self._length
            yield self._epoch(number), max(first - begin, 0), min(end - begin, self._length)

    def _ids(self, epoch: _Epoch, first: int, end: int) -> NDArray[Any]:
        places = np.arange(first, end)
        which = np.searchsorted(epoch.starts, places, "right") - 1
        inside = places - epoch.starts[which]
        sources = self._train.offsets[epoch.order[which]] + inside - 1
        return np.where(inside == 0, self._eos_id, self._train.ids[sources])

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._kept:
            order = np.arange(len(self._train), dtype=np.int64)
            if number:
                order = np.random.default_rng([self._seed, _OF_DOCUMENTS, number]).permutation(order)
            starts = np.concatenate([[0], np.cumsum(self._lengths[order] + 1)])
            # Shuffled rows lie in several epochs, which are kept where they are not too many to hold.
            needed = 2 + SHUFFLED_STEPS * self._rows * self._context // self._length
            while len(self._kept) >= min(needed, _MOST_EPOCHS):
                del self._kept[min(self._kept)]
            self._kept[number] = _Epoch(order, starts)
        return self._kept[number]


def windows(tokens: Tokens, eos_id: int, context: int, most: int) -> Iterator[tuple[Rows, NDArray[np.int64]]]:
    """The windows of documents, each token and each end of a document a target once; and which document each is of.

    Args:
        tokens: the documents.
        eos_id: before and behind each.
        context: inputs of the longest window.
        most: inputs in a batch, at least; windows of like lengths come together, the longest first.
    """
    targets = np.diff(tokens.offsets) + 1
    stride = max(context // 2, 1)
    count = 1 + np.maximum(-(-(targets - context) // stride), 0)
    document = np.repeat(np.arange(len(tokens)), count)
    number = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    start = number * stride
    length = np.minimum(targets[document] - start, context)
    counted = np.where(number == 0, 0, context - stride)  # from this input on
    order = np.argsort(-length, kind="stable")
    at = 0
    while at < len(order):
        longest = int(length[order[at]])
        chosen = order[at : at + max(most // longest, 1)]
        at += len(chosen)
        inside = np.arange(longest)
        places = start[chosen, None] + inside
        ends = targets[document[chosen], None] - 1
        sources = tokens.offsets[document[chosen], None] + places
        last = len(tokens.ids) - 1
        inputs = np.where((places == 0) | (places > ends), eos_id, tokens.ids[np.clip(sources - 1, 0, last)])
        said = np.where(places == ends, eos_id, tokens.ids[np.clip(sources, 0, last)]).astype(np.int64)
        said[(places > ends) | (inside < counted[chosen, None])] = PADDING
        yield Rows(inputs.astype(np.int64), said), document[chosen]
