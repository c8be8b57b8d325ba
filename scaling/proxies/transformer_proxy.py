"""The transformer as a proxy of a sweep: its options, and what it costs. Imports torch when it runs, not before.

    proxies:
      small: {kind: transformer, size: 1M, optimizer: adamw, schedule: wsd}

What a run leaves in its folder:

    curve.parquet   step int64, tokens int64 (of documents, so far), loss float64 (nats a token, before the step),
                    learning_rate float64, gradient_norm float64 (before clipping)
    events.jsonl    skipped steps and spikes, with their documents (training_events.py)
    checkpoint.pt   while it runs, or for good with `keep_checkpoint`
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Literal, get_args

from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.scaling.contract import Cost, Trained, Training
from corpusmill.scaling.proxies.transformer_shapes import SHAPES, Shape, Size

Optimizer = Literal["adamw", "muon"]

LEARNING_RATES: dict[Optimizer, dict[Size, float]] = {
    "adamw": {"0.3M": 6e-3, "1M": 3e-3, "4M": 2e-3, "15M": 1.2e-3, "60M": 8e-4},
    "muon": {"0.3M": 0.05, "1M": 0.05, "4M": 0.02, "15M": 0.02, "60M": 0.02},
}
"""The highest rates. Of 0.3M and 1M they are the best of a small sweep (docs/log.md); of the others, custom: lower for
wider models with AdamW, the author's .02 with Muon."""
BATCH_TOKENS: dict[Size, int] = {"0.3M": 2048, "1M": 2048, "4M": 4096, "15M": 16_384, "60M": 32_768}
"""In a step. Small, as the runs of proxies are short: 500,000 tokens are 244 steps of 2,048."""
_HARMLESS = ("checkpoint_every", "keep_checkpoint", "peak_flops")  # options that no loss depends on
_LEAST_CONTEXT, _MOST_CONTEXT = 8, 1 << 16


@dataclass(frozen=True, kw_only=True)
class TransformerProxy:
    """A small decoder-only transformer (transformer.py), trained anew for each cell."""

    size: Size = "1M"
    """Parameters without embeddings and head."""
    optimizer: Optimizer = "adamw"
    """`muon` is for the matrices of the blocks; the rest keeps AdamW."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """Of the learning rate, fitted to each run's length (schedules.py)."""
    context: int = 256
    """Tokens in a row."""
    batch_tokens: int | None = None
    """In a step; cut to whole rows, at least one. Default: by size (`BATCH_TOKENS`)."""
    learning_rate: float | None = None
    """The highest one, of `optimizer`. Default: by size (`LEARNING_RATES`)."""
    weight_decay: float = 0.1
    """Of matrices, apart from the gradient; norms and embeddings have none."""
    warmup: float = 0.05
    """Share of the steps."""
    decay: float = 0.2
    """Share of the steps in which `wsd` decays."""
    final_rate: float = 0.1
    """What the last step gets of the highest rate."""
    clip: float = 1.0
    """The longest gradient; longer ones are shortened to it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU if there is one."""
    threads: int = 1
    """On a CPU. Fixed, as sums come out differently in their last bits with another number."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights are float32. `auto`: bfloat16 on a GPU, float32 on a CPU."""
    compile: Literal["auto"] | bool = "auto"
    """By torch.compile. `auto`: on a GPU; it takes a minute and gains a third."""
    checkpoint_every: int | None = 1000
    """Steps; null for none."""
    keep_checkpoint: bool = False
    """Keeps the last one when the run is done: the trained model."""
    spike_deviations: float = 6.0
    """A loss so many robust deviations above the running median goes into the log of events."""
    max_bad_steps: int = 5
    """So many steps without a finite loss and gradient in a row end the run."""
    peak_flops: float | None = None
    """Of the device, a second, in `dtype`: what utilisation is a share of. Default: by the name of the GPU."""

    def __post_init__(self) -> None:
        if self.size not in SHAPES:
            near = nearest(str(self.size), get_args(Size))
            mend = f'did you mean "{near}"?' if near else f"sizes are {', '.join(get_args(Size))}"
            raise RecipeError(f"size: {self.size!r} is no size of this model; {mend}")
        if not _LEAST_CONTEXT <= self.context <= _MOST_CONTEXT:
            raise RecipeError(f"context: {self.context} is not within {_LEAST_CONTEXT} to {_MOST_CONTEXT}; 256 suits")
        for name, least in (("batch_tokens", 1), ("checkpoint_every", 1), ("threads", 1), ("max_bad_steps", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RecipeError(f"{name}: {value} must be at least {least}")
        for name in ("learning_rate", "clip", "spike_deviations", "peak_flops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise RecipeError(f"{name}: {value} must be a finite number above 0")
        for name in ("weight_decay", "warmup", "decay", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name}: {getattr(self, name)} is no share; give a number from 0 to 1")

    @property
    def shape(self) -> Shape:
        return SHAPES[self.size]

    @property
    def device_here(self) -> Literal["cpu", "cuda"]:
        """What `device` comes to on this machine."""
        if self.device == "auto":
            return "cuda" if _gpu_is_here() else "cpu"
        return self.device

    @property
    def dtype_here(self) -> Literal["float32", "bfloat16"]:
        """What `dtype` comes to on this machine."""
        if self.dtype == "auto":
            return "bfloat16" if self.device_here == "cuda" else "float32"
        return self.dtype

    @property
    def compiled_here(self) -> bool:
        """What `compile` comes to on this machine."""
        return self.device_here == "cuda" if self.compile == "auto" else self.compile

    @property
    def rows(self) -> int:
        """In a batch."""
        return max((self.batch_tokens or BATCH_TOKENS[self.size]) // self.context, 1)

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.learning_rate or LEARNING_RATES[self.optimizer][self.size]

    @property
    def adamw_rate(self) -> float:
        """The highest learning rate of what Muon leaves to AdamW."""
        return self.rate if self.optimizer == "adamw" else LEARNING_RATES["adamw"][self.size]

    def run(self, training: Training) -> Trained:
        """Trains and evaluates.

        Raises:
            InputError: if the training cannot be used as it stands: no token, an id beyond the vocabulary.
            CorpusmillError: if loss or gradient were no finite numbers for several steps in a row.
            DamagedRunError: if the folder holds a checkpoint that cannot be read.
        """
        self.check()
        from corpusmill.scaling.proxies import transformer_training

        return transformer_training.run(self, training)

    def cost(self, tokens: int, vocab_size: int) -> Cost:
        """Of training, by the time that a few steps take here; evaluation is not in it. On a GPU these steps are not
        compiled, so that it is rather too much."""
        self.check()
        flops = tokens * self.shape.flops_per_token(vocab_size, self.context)
        return Cost(seconds=tokens / _tokens_per_second(self, vocab_size), flops=flops)

    def identity(self) -> dict[str, Any]:
        """Its options with what `auto` and the defaults come to here: a GPU's losses are no CPU's, least of all in
        another precision."""
        options = {key: value for key, value in asdict(self).items() if key not in _HARMLESS}
        return {
            **options,
            "shape": asdict(self.shape),
            "batch_tokens": self.rows * self.context,
            "learning_rate": self.rate,
            "adamw_rate": self.adamw_rate,
            "device": self.device_here,
            "dtype": self.dtype_here,
            "compile": self.compiled_here,
        }

    def check(self) -> None:
        """Looks whether it can run here.

        Raises:
            InputError: if torch is not installed, or a GPU is asked for and there is none.
        """
        if importlib.util.find_spec("torch") is None:
            raise InputError(
                'proxy transformer: torch is not installed; `pip install "corpusmill[proxy]"`, or use an n-gram proxy'
            )
        if self.device == "cuda" and not _gpu_is_here():
            raise InputError(
                "proxy transformer: device: cuda: torch finds no GPU here; use `auto` or `cpu`, or install a build of "
                f"torch for it (this is {version('torch')})"
            )


def _gpu_is_here() -> bool:
    if importlib.util.find_spec("torch") is None:  # `sweep status` asks, and runs nothing
        return False
    import torch

    return torch.cuda.is_available()


@lru_cache(maxsize=64)
def _tokens_per_second(proxy: TransformerProxy, vocab_size: int) -> float:
    from corpusmill.scaling.proxies import transformer_training

    return transformer_training.tokens_per_second(proxy, vocab_size)
