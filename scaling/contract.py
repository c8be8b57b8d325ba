"""What sweeps, proxies and the analysis say to one another.

A **cell** of a sweep is one training run of one proxy: a pool, cut down to a size, pruned by a score to a fraction,
trained on with a seed, and evaluated on held-out sets that no cell ever trains on. Its outcome is a row of `CELLS`, to
which a column `loss.<domain>` is added for each held-out domain, and `heldout_errors` where the proxy tells the loss of
each document.

    pool            string   the pool's name
    score           string   what it was pruned by; `all` where the fraction is 1, `random` for the control
    fraction        float64  of the pool's tokens that were kept, as asked
    size            int64    tokens of the unpruned pool, as asked
    pool_tokens     int64    ... as came out, in whole documents
    kept_tokens     int64    unique tokens that were left to train on
    kept_documents  int64
    train_tokens    int64    tokens trained on, repetitions included; those asked for where an n-gram table counts once
    epochs          float64  train_tokens / kept_tokens
    seed            int64    decides which documents make the pool of that size, their order, and the proxy's start
    proxy           string   the proxy's name in the recipe
    parameters      int64    without embeddings; null for a model that has none, such as an n-gram table
    flops           float64  of training; null where nobody knows
    seconds         float64  of training and evaluation, by the clock
    loss            float64  bits per byte: the weighted mean over the domains
    heldout_errors  a list of float64 for each domain with a weight; bits per byte. The sum of the products of two
                    cells' errors is the covariance that their losses have since the held-out documents are a sample
                    (scaling/folds.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

CELLS = pa.schema(
    [
        pa.field("pool", pa.string(), nullable=False),
        pa.field("score", pa.string(), nullable=False),
        pa.field("fraction", pa.float64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("pool_tokens", pa.int64(), nullable=False),
        pa.field("kept_tokens", pa.int64(), nullable=False),
        pa.field("kept_documents", pa.int64(), nullable=False),
        pa.field("train_tokens", pa.int64(), nullable=False),
        pa.field("epochs", pa.float64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("proxy", pa.string(), nullable=False),
        pa.field("parameters", pa.int64()),
        pa.field("flops", pa.float64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
    ]
)
ALL = "all"
"""The score of cells that keep everything."""
RANDOM = "random"
"""The control: documents are kept by chance."""
LOSS = "loss."
"""What the columns of losses by domain begin with."""
ERRORS = "heldout_errors"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Documents as token ids.

    ids         uint16 or uint32, flat: one document after the other, without special tokens
    offsets     int64, one more than documents: document i is ids[offsets[i]:offsets[i + 1]]
    text_bytes  int64: UTF-8 bytes of each document's text
    documents   the documents' ids (a string array)
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    documents: pa.Array

    def __len__(self) -> int:
        return len(self.text_bytes)


@dataclass(frozen=True, slots=True)
class Training:
    """One training run.

    train        the documents, in the order in which they come
    heldout      domain -> documents that no run trains on
    tokens       to train on, end-of-document tokens not counted: less than `train` has cuts it short, more repeats it
    vocab_size   token ids are below this number
    eos_id       stands between documents
    tokenizer    the tokenizer.json that the ids are of; for who wants the texts again
    seed         of the proxy's start, and of the order in later epochs
    folder       exists; checkpoints, the loss curve (`curve.parquet`) and logs go there
    """

    train: Tokens
    heldout: Mapping[str, Tokens]
    tokens: int
    vocab_size: int
    eos_id: int
    tokenizer: Path
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run came to.

    bits_per_byte  domain -> (sum of -log2 p over all tokens and ends of documents) / UTF-8 bytes
    train_tokens   tokens trained on, repetitions included
    parameters     without embeddings; None for a model that has none
    flops          of training; None where nobody knows
    told           more for people, as JSON data: spikes, throughput, utilisation
    bits           domain -> float64[documents], the sum of -log2 p of each held-out document; nothing where only the
                   domain's sum is known: then nobody knows what another choice of documents would have changed
    """

    bits_per_byte: Mapping[str, float]
    train_tokens: int
    parameters: int | None = None
    flops: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    bits: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training run of a number of tokens costs, before it is started; `None` where nobody knows."""

    seconds: float | None
    flops: float | None


def per_byte(bits: Mapping[str, NDArray[np.float64]], heldout: Mapping[str, Tokens]) -> dict[str, float]:
    """Bits per byte of each domain, of the bits of its documents."""
    return {domain: float(bits[domain].sum()) / int(tokens.text_bytes.sum()) for domain, tokens in heldout.items()}


class Proxy(Protocol):
    """A model that stands for a larger one: a frozen dataclass of options, made from the recipe, and picklable."""

    def run(self, training: Training) -> Trained:
        """Trains, evaluates, and leaves in `training.folder` what it wants kept. The same training gives the same
        losses, on any number of workers."""

    def cost(self, tokens: int, vocab_size: int) -> Cost:
        """Of one training run on one worker."""

    def identity(self) -> Any:
        """What its losses depend on: the options as they come out on this machine, without those that change no loss;
        as a dataclass or JSON data. Runs of proxies with the same identity are taken for one another."""

    def check(self) -> None:
        """Raises InputError with the mend if it cannot run here: a package is missing, a command is not found."""
