"""Trains one proxy transformer and evaluates it.

A step: rows from the stream, loss, gradient, clipping, optimiser. A step whose loss or gradient is no finite number is
skipped and logged with its documents, and so is a spike, which is not skipped: clipping bounds what it does. On a CPU
the same training gives the same losses to the bit, since the number of threads is an option and every generator is
seeded; a run that is killed and started again goes on at its last checkpoint, and gives the same losses, too.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from corpusmill.documents.errors import CorpusmillError, InputError
from corpusmill.documents.shards import atomic_file
from corpusmill.scaling.contract import Tokens, Trained, Training, per_byte
from corpusmill.scaling.planning.hardware import accelerators
from corpusmill.scaling.proxies import checkpoints, optimizers
from corpusmill.scaling.proxies.packing import Rows, Stream
from corpusmill.scaling.proxies.schedules import Schedule
from corpusmill.scaling.proxies.training_events import MOST_DETAILED, Event, SpikeWatch, finite, write_events
from corpusmill.scaling.proxies.transformer import Transformer, token_losses
from corpusmill.scaling.proxies.transformer_evaluation import document_bits

if TYPE_CHECKING:
    from corpusmill.scaling.proxies.transformer_proxy import TransformerProxy

CURVE = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("gradient_norm", pa.float64(), nullable=False),
    ]
)
_TIMED_SECONDS = 1.5
_MOST_TIMED = 20


def run(options: TransformerProxy, training: Training) -> Trained:
    """As TransformerProxy.run."""
    _check(training)
    device = torch.device(options.device_here)
    begun = time.perf_counter()
    with _threads(options.threads):
        trainer = Trainer(options, training, device)
        trainer.train()
        trained = time.perf_counter()
        bits = {
            domain: document_bits(trainer.model, held, training.vocab_size, training.eos_id, options.context, device)
            for domain, held in training.heldout.items()
        }
        evaluated = time.perf_counter()
        trainer.finish()  # not before: whoever is killed while evaluating need not train again
    losses = per_byte(bits, training.heldout)
    if not all(map(math.isfinite, losses.values())):
        raise CorpusmillError(
            f"{training.folder}: training broke down: the trained model's loss is no finite number; lower "
            f"learning_rate ({options.rate:g})"
        )
    per_token = options.shape.flops_per_token(training.vocab_size, options.context)
    return Trained(
        bits_per_byte=losses,
        train_tokens=training.tokens,
        parameters=options.shape.parameters,
        flops=training.tokens * per_token,
        told={
            **trainer.told(per_token),
            "training_seconds": trained - begun,
            "evaluation_seconds": evaluated - trained,
        },
        bits=bits,
    )


class Trainer:
    """One run, from its start or its last checkpoint to its last step.

    Args:
        options: the proxy's.
        training: what to train on; checked.
        device: where.
    """

    def __init__(self, options: TransformerProxy, training: Training, device: torch.device) -> None:
        self.options = options
        self.training = training
        self.device = device
        self.stream = Stream(
            training.train, training.tokens, training.eos_id, training.seed, options.context, options.rows
        )
        self.schedule = Schedule(
            kind=options.schedule,
            steps=self.stream.steps,
            warmup=options.warmup,
            decay=options.decay,
            final=options.final_rate,
        )
        self.model, self.optimizers = _made(options, training.vocab_size, training.seed, device)
        self.step = 0
        self.tokens = 0
        self.curve: list[tuple[int, int, float, float, float]] = []
        self.events: list[Event] = []
        self.seconds: list[float] = []  # of each full step in this process
        self.resumed_at: int | None = None
        self._bad = 0  # steps without a finite loss and gradient, in a row
        self._identity = ""
        if options.checkpoint_every is not None:
            self._identity = checkpoints.identity(options.identity(), training)
            self._resume()
        self._watch = SpikeWatch(options.spike_deviations, (row[2] for row in self.curve))
        self._forward = _Forward(self.model, options, device)

    def train(self) -> None:
        """All steps that are left; writes the curve and the events.

        Raises:
            CorpusmillError: if several steps in a row had no finite loss and gradient.
        """
        every = self.options.checkpoint_every
        batch = self._on_device(self.stream.batch(self.step)) if self.step < self.stream.steps else None
        while batch is not None:
            begun = time.perf_counter()
            batch = self._one_step(*batch)
            # The first step warms up, the last may be short.
            if batch is not None and self.step > (self.resumed_at or 0) + 1:
                self.seconds.append(time.perf_counter() - begun)
            if every is not None and self.step % every == 0 and batch is not None:
                checkpoints.save(self.training.folder, self._identity, self._state())
        self._write()

    def finish(self) -> None:
        """What is left of the checkpoint when all is done: nothing, or the trained model."""
        if self.options.keep_checkpoint:
            checkpoints.save(self.training.folder, self._identity, self._state())
        else:
            checkpoints.remove(self.training.folder)

    def told(self, flops_per_token: float) -> dict[str, Any]:
        """For people."""
        # Of tokens and ends of documents: what the machine does, not what is learnt from.
        full = self.options.rows * self.options.context
        speed = full / median(self.seconds) if self.seconds else None
        peak = self.options.peak_flops or _peak(self.device, _dtype(self.options))
        kinds = [event.kind for event in self.events]
        return {
            "steps": self.stream.steps,
            "tokens_per_second": speed,
            "model_flop_utilisation": speed * flops_per_token / peak if speed and peak else None,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "dtype": self.options.dtype_here,
            "learning_rate": self.options.rate,
            "batch_tokens": full,
            "last_loss": self._watch.median,
            "spikes": kinds.count("spike"),
            "skipped_steps": kinds.count("non_finite"),
            "resumed_at_step": self.resumed_at,
        }

    def _one_step(self, inputs: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor, int] | None:
        """Takes a step and returns the next batch, which is fetched while a GPU works on this one."""
        factor = self.schedule.factor(self.step)
        optimizers.set_rate(self.optimizers, factor)
        losses = self._forward(inputs, targets)
        loss = losses.sum() / count
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        told = torch.stack([loss.detach(), norm])
        step, self.step = self.step, self.step + 1
        self.tokens += self.stream.tokens_in(step)
        following = self._on_device(self.stream.batch(self.step)) if self.step < self.stream.steps else None
        nats, length = told.tolist()  # waits for the GPU, once a step
        self.curve.append((step, self.tokens, nats, self.options.rate * factor, length))
        if math.isfinite(nats) and math.isfinite(length):
            self._bad = 0
            for optimizer in self.optimizers:
                optimizer.step()
            middle = self._watch.median
            if self._watch.is_spike(nats):
                self._log("spike", step, losses, middle)
        else:
            self._bad += 1
            self._log("non_finite", step, losses, self._watch.median)
            if self._bad >= self.options.max_bad_steps:
                self._fail()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return following

    def _log(self, kind: Literal["non_finite", "spike"], step: int, losses: Tensor, middle: float | None) -> None:
        by_row = losses.detach().sum(dim=1).cpu().numpy()
        worst = int(np.argmax(np.where(np.isfinite(by_row), by_row, np.inf)))
        _, _, nats, _, length = self.curve[-1]
        self.events.append(
            Event(
                step=step,
                kind=kind,
                loss=finite(nats),
                median=middle,
                gradient_norm=finite(length),
                documents=self._names(self.stream.documents(step)) if len(self.events) < MOST_DETAILED else [],
                worst=self._names(self.stream.documents(step, worst)),
            )
        )

    def _names(self, documents: Any) -> list[str]:
        names: list[str] = self.training.train.documents.take(pa.array(documents)).to_pylist()
        return names

    def _fail(self) -> None:
        self._write()
        bad = self.events[-self._bad :]
        names = list(dict.fromkeys(name for event in bad for name in event.worst))
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise CorpusmillError(
            f"{self.training.folder}: training broke down: loss or gradient was no finite number in {self._bad} steps "
            f"in a row, from step {bad[0].step}; lower learning_rate ({self.options.rate:g}), or look at the documents "
            f"in events.jsonl ({listed})"
        )

    def _on_device(self, rows: Rows) -> tuple[Tensor, Tensor, int]:
        inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
        count = int(np.count_nonzero(rows.targets >= 0))
        if self.device.type == "cuda":
            inputs, targets = (each.pin_memory().to(self.device, non_blocking=True) for each in (inputs, targets))
        return inputs, targets, count

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "tokens": self.tokens,
            "bad": self._bad,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "curve": self.curve,
            "events": [asdict(event) for event in self.events],
        }

    def _resume(self) -> None:
        state = checkpoints.load(self.training.folder, self._identity)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step = self.resumed_at = state["step"]
        self.tokens = state["tokens"]
        self._bad = state["bad"]
        self.curve = list(state["curve"])
        self.events = [Event(**event) for event in state["events"]]

    def _write(self) -> None:
        columns = zip(*self.curve, strict=True)
        table = pa.Table.from_arrays([pa.array(each, kind) for each, kind in zip(columns, CURVE.types)], schema=CURVE)
        with atomic_file(self.training.folder / "curve.parquet") as stream:
            pq.write_table(table, stream, compression="zstd")
        write_events(self.training.folder / "events.jsonl", self.events)


class _Forward:
    """Losses of rows, in the chosen precision, compiled where that is asked for and the rows are a whole batch."""

    def __init__(self, model: Transformer, options: TransformerProxy, device: torch.device, *, eager: bool = False):
        self._model = model
        self._rows = options.rows
        self._dtype = _dtype(options)
        self._device = device
        compiled = options.compiled_here and not eager
        self._whole: Any = torch.compile(token_losses, dynamic=False) if compiled else token_losses

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        # Another shape would be compiled anew, for one step.
        losses = self._whole if len(inputs) == self._rows else token_losses
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            found: Tensor = losses(self._model, inputs, targets)
        return found


def tokens_per_second(options: TransformerProxy, vocab_size: int) -> float:
    """By a few steps on random tokens, not compiled."""
    device = torch.device(options.device_here)
    with _threads(options.threads):
        model, made = _made(options, vocab_size, 0, device)
        forward = _Forward(model, options, device, eager=True)
        chance = torch.Generator().manual_seed(0)
        ids = torch.randint(vocab_size, (options.rows, options.context + 1), generator=chance).to(device)
        seconds: list[float] = []
        begun = time.perf_counter()
        while not seconds or (len(seconds) <= _MOST_TIMED and time.perf_counter() - begun < _TIMED_SECONDS):
            first = time.perf_counter()
            loss = forward(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), options.clip).item()
            for optimizer in made:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - first)
    return options.rows * options.context / median(seconds[1:] or seconds)  # the first warms up


def _made(
    options: TransformerProxy, vocab_size: int, seed: int, device: torch.device
) -> tuple[Transformer, list[torch.optim.Optimizer]]:
    model = Transformer(options.shape, vocab_size, options.context, seed).to(device)
    return model, optimizers.made_for(model, options.optimizer, options.rate, options.adamw_rate, options.weight_decay)


def _dtype(options: TransformerProxy) -> torch.dtype:
    return torch.bfloat16 if options.dtype_here == "bfloat16" else torch.float32


def _peak(device: torch.device, dtype: torch.dtype) -> float | None:
    """FLOP/s of the GPU, by its name, where hardware.py knows it: the accelerator whose name has most words in it."""
    if device.type != "cuda" or dtype != torch.bfloat16:  # what is published there is of bfloat16
        return None
    words = set(
        re.split(r"[\s_-]+", torch.cuda.get_device_name(device).lower().replace("sxm4", "sxm").replace("sxm5", "sxm"))
    )
    known = [
        (len(parts), one.peak_flops)
        for one in accelerators()
        for name in (one.name, *one.aliases)
        if (parts := set(name.split("-"))) <= words
    ]
    return max(known)[1] if known else None


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(training: Training) -> None:
    """Refuses a training that cannot be used as it stands.

    Raises:
        InputError: with what is wrong.
    """
    place = f"{training.folder}: "
    if training.tokens < 1:
        raise InputError(f"{place}{training.tokens} tokens to train on; give at least 1")
    if not 0 <= training.eos_id < training.vocab_size:
        raise InputError(f"{place}eos_id {training.eos_id} is not below the vocabulary's {training.vocab_size} tokens")
    _check_ids(training.train, training.vocab_size, f"{place}documents to train on")
    for domain, tokens in training.heldout.items():
        _check_ids(tokens, training.vocab_size, f"{place}held-out domain {domain}")
        if not np.sum(tokens.text_bytes) > 0:
            raise InputError(f"{place}held-out domain {domain}: has no text; leave it out")
    if not training.heldout:
        raise InputError(f"{place}nothing is held out; a sweep compares losses on held-out documents")


def _check_ids(tokens: Tokens, vocab_size: int, place: str) -> None:
    used = tokens.ids[int(tokens.offsets[0]) : int(tokens.offsets[-1])]
    if not len(used):
        raise InputError(f"{place}: have no token; check what the cell selects")
    if (highest := int(used.max())) >= vocab_size:
        raise InputError(
            f"{place}: token id {highest} is not below the vocabulary's {vocab_size}; encode them with its tokenizer"
        )
