"""The transformer proxy beside a bare PyTorch loop of the same model, in CPU seconds of one thread.

The proxy does all that a cell of a sweep asks of it: packs documents, fits the schedule, looks for spikes, logs, writes
a checkpoint at the end of its steps and the loss curve, and evaluates (a few held-out documents). The loop has the same
model, AdamW and clipping, and rows of random tokens that lie ready; it logs nothing. Text is prose, as ids of a
byte-level BPE with 2,048 tokens; rows of 256 tokens, 2,048 in a step.

    figure proxy_vs_bare_loop          how many times as long the proxy takes, at the size where it fares worse
    figure proxy_tokens_per_s_0_3m     tokens in a CPU second of the proxy with 0.3M parameters
    figure proxy_tokens_per_s_1m       the same with 1M
    figure proxy_bfloat16_speedup      1M: how many times as long float32 takes
    figure proxy_muon_slowdown         1M: how many times as long Muon takes as AdamW
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from harness import Benchmark, race, table
from prose import prose
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpusmill.mix.tokens import load_tokens
from corpusmill.scaling.contract import Tokens, Training
from corpusmill.scaling.proxies.transformer import Transformer
from corpusmill.scaling.proxies.transformer_proxy import TransformerProxy

VOCABULARY = 2048
CONTEXT, BATCH = 256, 2048
_HELD_OUT = 5


def proxy(benchmark: Benchmark) -> list[str]:
    """Throughput, and the loop's."""
    steps, rounds = (5, 2) if benchmark.quick else (15, 3)
    small, large = (
        TransformerProxy(size=size, context=CONTEXT, batch_tokens=BATCH, device="cpu", checkpoint_every=steps - 1)
        for size in ("0.3M", "1M")
    )
    tokens = steps * BATCH
    rows: list[list[object]] = []
    ratios: dict[str, float] = {}
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        training = _training(benchmark.real_data(), Path(name), tokens)
        for options in (small, large):
            contenders: dict[str, Callable[[], object]] = {
                "ours": lambda options=options: options.run(training),
                "loop": lambda options=options: _bare_loop(options, steps),
            }
            if options is large:
                contenders["bfloat16"] = lambda: replace(large, dtype="bfloat16").run(training)
                contenders["Muon"] = lambda: replace(large, optimizer="muon").run(training)
            timings = race(contenders, rounds, clock=time.process_time)
            for contender in contenders:
                share = timings.ratio(contender, "loop")
                seconds = timings.median(contender)
                flops = tokens * options.shape.flops_per_token(VOCABULARY, CONTEXT)
                rows.append([f"{options.size}, {contender}", tokens / seconds, flops / seconds / 1e9, share])
            ratios[options.size] = timings.ratio("ours", "loop")
            speeds[options.size] = tokens / timings.median("ours")
            if options is large:
                benchmark.figure("proxy_bfloat16_speedup", timings.ratio("ours", "bfloat16"))
                benchmark.figure("proxy_muon_slowdown", timings.ratio("Muon", "ours"))
    benchmark.figure("proxy_vs_bare_loop", max(ratios.values()))
    benchmark.figure("proxy_tokens_per_s_0_3m", speeds["0.3M"])
    benchmark.figure("proxy_tokens_per_s_1m", speeds["1M"])
    return [
        "### The transformer proxy",
        f"{tokens:,} tokens of prose, {VOCABULARY:,} tokens in the vocabulary, rows of {CONTEXT}, {BATCH:,} tokens a "
        f"step, one thread, torch {torch.__version__}; CPU seconds. Ours packs, logs, writes a checkpoint and the "
        "curve, and evaluates a few documents; the loop has the same model and optimiser, random rows that lie ready, "
        "and nothing else.",
        table(["parameters, contender", "tokens/s", "GFLOP/s", "time, the loop's = 1"], rows),
    ]


def _bare_loop(options: TransformerProxy, steps: int) -> None:
    """What people write first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    model = Transformer(options.shape, VOCABULARY, CONTEXT, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.1, fused=True)
    inputs, targets = torch.randint(VOCABULARY, (2, steps, BATCH // CONTEXT, CONTEXT))
    for step in range(steps):
        logits = model(inputs[step])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[step].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)


def _training(data: Path, folder: Path, tokens: int) -> Training:
    texts = [text for _, text in prose(data, max(1_000_000, 6 * tokens))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts[:300], trainer)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return Training(
        train=_encoded(texts[_HELD_OUT:], path),
        heldout={"prose": _encoded([text[:500] for text in texts[:_HELD_OUT]], path)},
        tokens=tokens,
        vocab_size=VOCABULARY,
        eos_id=0,
        tokenizer=path,
        seed=0,
        folder=folder,
    )


def _encoded(texts: list[str], tokenizer: Path) -> Tokens:
    ids, offsets = load_tokens(str(tokenizer)).encode(pa.array(texts, pa.string()))
    n_bytes = np.array([len(text.encode()) for text in texts], np.int64)
    return Tokens(ids.astype(np.uint16), offsets, n_bytes, pa.array([str(number) for number in range(len(texts))]))
