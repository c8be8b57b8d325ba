"""The n-gram proxy: what a cell costs, what KenLM makes of the same model, and how the loss falls with more text.

Pieces of books and of newsgroup posts, in random order, as ids of a byte-level BPE with 4,096 tokens; a twentieth
of the pieces are held out, each source a domain.

    figure ngram_tokens_per_s         tokens trained on in a CPU second, order 5, the largest cell
    figure ngram_scored_per_s         held-out tokens scored in a CPU second by that model
    figure ngram_bytes_a_token        peak memory of that cell beyond what its tokens take
    figure ngram_small_cell_ms        CPU time of a whole cell of 25,000 tokens (about 100 kB)
    figure ngram_junk_costs           how much a cell's loss rises with as much shuffled text again, %
    figure ngram_copies_cost          how much it rises when every document is there twice, %
    figure ngram_kenlm_difference     largest relative difference of a domain's bits per byte from KenLM's
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow as pa
from harness import Benchmark, shortened, table
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python

from corpusmill.filters.ngram_kernels import ABSENT, RESERVED
from corpusmill.filters.ngram_model import LanguageModel, write_arpa
from corpusmill.mix.tokens import load_tokens
from corpusmill.scaling.contract import Tokens, Training, per_byte
from corpusmill.scaling.proxies.ngram_proxy import NgramProxy

PEER = Path(__file__).resolve().parents[1] / "peer_kenlm.py"
VOCABULARY = 4096
PIECE = 20_000  # characters
SEED = 5
_ROUNDS = 3


def proxy(benchmark: Benchmark) -> list[str]:
    """Costs by size and order, and KenLM's agreement."""
    most = 1_000_000 if benchmark.quick else 10_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training = _training(benchmark.real_data(), folder, most)
        NgramProxy().run(_of(training, 10_000))  # compiles
        sizes = [size for size in (100_000, 1_000_000, 10_000_000) if size <= most]
        rows = [_row(training, order, size) for order in (2, 3, 4, 5) for size in sizes]
        largest = rows[-1]
        memory = _memory(training, folder)
        small = median(_seconds(_of(training, 25_000)) for _ in range(7))
        difference, scored = _difference(training, folder, 20_000 if benchmark.quick else 100_000)
        added = _added(training, most // 10)
    benchmark.figure("ngram_tokens_per_s", most / largest[2])
    benchmark.figure("ngram_scored_per_s", largest[3])
    benchmark.figure("ngram_bytes_a_token", memory)
    benchmark.figure("ngram_small_cell_ms", 1000 * small)
    benchmark.figure("ngram_junk_costs", added["shuffled tokens"])
    benchmark.figure("ngram_copies_cost", added["the same documents again"])
    benchmark.figure("ngram_kenlm_difference", difference)
    return [
        "### The n-gram proxy",
        f"Interpolated modified Kneser-Ney over {VOCABULARY:,} byte-BPE ids, one process, CPU seconds. The largest "
        f"cell of order 5 takes {memory:.0f} bytes of memory a token beyond its tokens; a cell of 25,000 tokens takes "
        f"{1000 * small:.0f} ms with its evaluation. Newsgroups profit most from more text: posts quote one another.",
        table(
            ["order and tokens", "bits per byte: books", "newsgroups", "training, s", "tokens/s", "scored, tokens/s"],
            [
                [f"order {order}, {size:,}", f"{books:.3f}", f"{posts:.3f}", seconds, f"{size / seconds:,.0f}", scoring]
                for (order, size), (books, posts), seconds, scoring in rows
            ],
        ),
        f"What becomes of the loss, the mean of both domains, when as much again is added to {most // 10:,} tokens:",
        table(["added", "change of the loss, %"], [[what, f"{change:+.2f}"] for what, change in added.items()]),
        f"KenLM 0.3.0 reads the model of {scored[0]:,} tokens as an ARPA file, and gives {scored[1]:,} held-out tokens "
        f"and ends the same bits per byte; the largest relative difference is {shortened(difference)}.",
    ]


def _training(data: Path, folder: Path, most: int) -> Training:
    """Pieces of text as ids, with a tokenizer of their own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    chance = random.Random(SEED)
    text = data / "text"
    sources = {
        "books": (sorted((text / "books_classic_markdown_a").rglob("*.md")), "utf-8"),
        "newsgroups": (sorted(p for p in (text / "newsgroups20_bydate").rglob("*") if p.is_file()), "latin-1"),
    }
    pieces: dict[str, list[str]] = {}
    for source, (paths, encoding) in sources.items():
        chance.shuffle(paths)
        pieces[source] = []
        for path in paths:
            content = path.read_bytes().decode(encoding, "replace")
            pieces[source] += [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
            if sum(map(len, pieces[source])) > 2.1 * most:  # of four characters a token, and half of the tokens
                break
        chance.shuffle(pieces[source])
    held = {source: found[: max(1, len(found) // 20)] for source, found in pieces.items()}
    train = [piece for source, found in pieces.items() for piece in found[len(held[source]) :]]
    chance.shuffle(train)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        train[:300],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return Training(
        train=_encoded(train, path),
        heldout={source: _encoded(found, path) for source, found in held.items()},
        tokens=most,
        vocab_size=VOCABULARY,
        eos_id=0,
        tokenizer=path,
        seed=0,
        folder=folder,
    )


def _encoded(texts: list[str], tokenizer: Path) -> Tokens:
    array = pa.array(texts, pa.string())
    ids, offsets = load_tokens(str(tokenizer)).encode(array)
    n_bytes = np.array([len(text.encode()) for text in texts], np.int64)
    return Tokens(ids.astype(np.uint16), offsets, n_bytes, pa.array([str(number) for number in range(len(texts))]))


def _of(training: Training, tokens: int) -> Training:
    """A smaller cell."""
    return dataclasses.replace(training, tokens=tokens)


def _seconds(training: Training) -> float:
    begun = time.process_time()
    NgramProxy().run(training)
    return time.process_time() - begun


def _row(training: Training, order: int, size: int) -> tuple[tuple[int, int], tuple[float, float], float, float]:
    """Order and size, losses, CPU seconds of training, and tokens scored in a CPU second."""
    cell, ngrams = _of(training, size), NgramProxy(order=order)
    begun = time.process_time()
    made = ngrams.model(cell)
    trained = time.process_time()
    for _ in range(_ROUNDS):
        found = per_byte(ngrams.bits(made, cell), cell.heldout)
    scoring = (time.process_time() - trained) / _ROUNDS
    scored = sum(int(held.offsets[-1]) for held in cell.heldout.values())
    return (order, size), (found["books"], found["newsgroups"]), trained - begun, scored / scoring


def _added(training: Training, tokens: int) -> dict[str, float]:
    """What is added to a cell of about so many tokens, as much as there is -> the change of its loss in per cent."""
    train = training.train
    documents = [train.ids[train.offsets[d] : train.offsets[d + 1]] for d in range(len(train))]
    count = int(np.searchsorted(train.offsets, tokens))
    first, others = documents[:count], documents[count : 2 * count]
    generator = np.random.default_rng(SEED)
    adding = {
        "other documents": others,
        "the same documents again": first,
        "shuffled tokens": [generator.permutation(document) for document in others],
        "random tokens": [generator.integers(1, VOCABULARY, len(document)) for document in others],
    }
    alone = _mean_loss(training, first)
    return {what: 100 * (_mean_loss(training, [*first, *more]) / alone - 1) for what, more in adding.items()}


def _mean_loss(training: Training, documents: Sequence[NDArray[Any]]) -> float:
    ends = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    nameless = pa.array([""] * len(documents))
    train = Tokens(np.concatenate(documents).astype(np.uint16), ends, np.zeros(len(documents), np.int64), nameless)
    cell = dataclasses.replace(training, train=train, tokens=int(ends[-1]))
    return mean(NgramProxy().run(cell).bits_per_byte.values())


def _memory(training: Training, folder: Path) -> float:
    """Peak memory of a cell, for each token, beyond what there was before it; in a process of its own."""
    path = folder / "ids.npz"
    np.savez(path, ids=training.train.ids, offsets=training.train.offsets)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (path, training.tokens)) / training.tokens


def _peak(path: Path, tokens: int) -> int:
    stored = np.load(path, allow_pickle=False)
    offsets = stored["offsets"]
    empty = np.zeros(len(offsets) - 1, np.int64)
    documents = pa.array([""] * len(empty))
    train = Tokens(stored["ids"], offsets, empty, documents)
    cell = Training(
        train=train, heldout={}, tokens=10_000, vocab_size=VOCABULARY, eos_id=0, tokenizer=path, seed=0, folder=path
    )
    NgramProxy().run(cell)
    before = _most_memory()
    NgramProxy().run(_of(cell, tokens))
    return _most_memory() - before


def _most_memory() -> int:
    """Bytes that this process had at most. `ru_maxrss` begins with what the process had that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _difference(training: Training, folder: Path, tokens: int) -> tuple[float, tuple[int, int]]:
    """The largest relative difference of a domain's bits per byte, and how many tokens were trained on and scored."""
    cell = _of(training, tokens)
    made, ours = NgramProxy().model(cell), NgramProxy().run(cell).bits_per_byte
    numbers = np.flatnonzero(made.word_slots != ABSENT)
    numbers = numbers[np.argsort(made.word_slots[numbers])]
    markers = ("<unk>", "<s>", "</s>")
    words = [markers[number] if number < RESERVED else f"t{number}" for number in numbers.tolist()]
    model = LanguageModel(
        ngrams=made.ngrams, folded=False, word_slots=made.word_slots[numbers], words=pa.array(words), facts={}
    )
    write_arpa(model, folder / "model.arpa")
    difference, scored = 0.0, 0
    for domain, held in cell.heldout.items():
        documents = [held.ids[held.offsets[d] : held.offsets[d + 1]].tolist() for d in range(len(held))]
        # The end of documents is id 0, which none of them holds: id 1 is the first word.
        lines = [" ".join(f"t{each - 1 + RESERVED}" for each in document) for document in documents]
        (folder / "lines.json").write_text(json.dumps({"lines": lines, "documents": []}))
        command = [str(peers_python()), str(PEER), str(folder / "model.arpa"), str(folder / "lines.json")]
        answer = subprocess.run(
            command,
            input="scores\n",
            capture_output=True,
            text=True,
            check=True,
            env=peers_environment(),
        )
        theirs = [score for line in json.loads(answer.stdout) for score in line]
        bits = -sum(theirs) * np.log2(10) / held.text_bytes.sum()
        difference = max(difference, abs(bits / ours[domain] - 1))
        scored += len(theirs)
    return difference, (tokens, scored)
