"""Training of the transformer proxy: same losses every time, whatever happens on the way."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from corpusmill.documents.errors import CorpusmillError, DamagedRunError, InputError, RecipeError
from corpusmill.pipeline.recipe import build
from corpusmill.scaling.contract import Tokens, Trained, Training
from corpusmill.scaling.proxies import checkpoints, packing, transformer_training
from corpusmill.scaling.proxies.transformer import Transformer, token_losses
from corpusmill.scaling.proxies.transformer_evaluation import document_bits
from corpusmill.scaling.proxies.transformer_proxy import BATCH_TOKENS, LEARNING_RATES, TransformerProxy
from corpusmill.scaling.proxies.transformer_shapes import SHAPES, Shape
from tests.scaling.made_trainings import EOS, counting, tokens_of, training_of

VOCABULARY = 32
TINY = Shape(width=16, layers=2, heads=2, hidden=24)
OPTIONS: dict[str, Any] = {"size": "0.3M", "context": 16, "batch_tokens": 128, "learning_rate": 0.01, "device": "cpu"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "0.3M", TINY)


def proxy_of(**options: Any) -> TransformerProxy:
    return TransformerProxy(**{**OPTIONS, **options})


def training(folder: Path, tokens: int = 6000, seed: int = 0) -> Training:
    train = tokens_of(counting(60, 50, VOCABULARY, seed=1))
    heldout = {name: tokens_of(counting(6, 40, VOCABULARY, seed)) for seed, name in ((2, "a"), (3, "b"))}
    return training_of(folder, train, tokens, vocab_size=VOCABULARY, heldout=heldout, seed=seed)


def curve_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "curve.parquet").to_pylist()
    return rows


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def in_a_worker(folder: Path) -> tuple[Trained, bytes]:
    SHAPES["0.3M"] = TINY
    trained = proxy_of().run(training(folder))
    return trained, (folder / "curve.parquet").read_bytes()


@pytest.mark.parametrize("options", [{}, {"optimizer": "muon", "learning_rate": 0.02, "schedule": "wsd"}])
def test_a_planted_pattern_is_learnt(tmp_path: Path, options: dict[str, Any]) -> None:
    trained = proxy_of(**options).run(training(tmp_path, 40_000))
    curve = curve_of(tmp_path)
    assert curve[0]["loss"] == pytest.approx(math.log(VOCABULARY), rel=0.1)
    assert curve[-1]["loss"] < 0.5
    # 5 bits a token, two bytes each, is what knowing nothing costs; the first token of a document is never known.
    assert trained.bits_per_byte.keys() == {"a", "b"}
    assert all(0.06 < each < 0.6 for each in trained.bits_per_byte.values())
    assert trained.train_tokens == 40_000
    assert trained.parameters == TINY.parameters
    assert trained.flops == 40_000 * TINY.flops_per_token(VOCABULARY, 16)
    assert json.loads(json.dumps(trained.told))["steps"] == len(curve)


def test_the_curve_tells_of_every_step(tmp_path: Path) -> None:
    proxy_of(schedule="wsd").run(training(tmp_path))
    table = pq.read_table(tmp_path / "curve.parquet")
    assert table.schema.equals(transformer_training.CURVE)
    curve = table.to_pylist()
    assert [row["step"] for row in curve] == list(range(len(curve)))
    assert curve[-1]["tokens"] == 6000
    assert max(row["learning_rate"] for row in curve) == 0.01
    assert curve[-1]["learning_rate"] == pytest.approx(0.001)
    assert all(row["gradient_norm"] > 0 for row in curve)
    assert not (tmp_path / checkpoints.NAME).exists()


def test_the_same_training_gives_the_same_losses_on_one_worker_and_on_two(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    here = in_a_worker(tmp_path / "here")
    assert torch.get_num_threads() == threads
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        there = list(workers.map(in_a_worker, [tmp_path / "one", tmp_path / "two"]))
    for trained, curve in there:
        assert trained.bits_per_byte == here[0].bits_per_byte
        assert curve == here[1]


def test_another_seed_gives_another_start(tmp_path: Path) -> None:
    one = proxy_of().run(training(tmp_path / "0", 1000, seed=0))
    other = proxy_of().run(training(tmp_path / "1", 1000, seed=1))
    assert one.bits_per_byte != other.bits_per_byte


class _KilledError(Exception):
    pass


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Ends a run when a step's rows are asked for."""
    batch = transformer_training.Stream.batch

    def kill(step: int) -> None:
        def stopping(self: Any, number: int) -> Any:
            if number == step:
                raise _KilledError
            return batch(self, number)

        monkeypatch.setattr(transformer_training.Stream, "batch", stopping)

    yield kill
    monkeypatch.setattr(transformer_training.Stream, "batch", batch)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_with_the_same_losses(
    tmp_path: Path, killed_at: Callable[[int], None], optimizer: str
) -> None:
    proxy = proxy_of(optimizer=optimizer, checkpoint_every=10)
    whole = proxy.run(training(tmp_path / "whole"))
    killed_at(27)
    with pytest.raises(_KilledError):
        proxy.run(training(tmp_path / "killed"))
    assert (tmp_path / "killed" / checkpoints.NAME).exists()
    killed_at(-1)
    resumed = proxy.run(training(tmp_path / "killed"))
    assert resumed.told["resumed_at_step"] == 20
    assert resumed.bits_per_byte == whole.bits_per_byte
    assert (tmp_path / "killed/curve.parquet").read_bytes() == (tmp_path / "whole/curve.parquet").read_bytes()
    assert not (tmp_path / "killed" / checkpoints.NAME).exists()


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path: Path) -> None:
    proxy = proxy_of(checkpoint_every=10, keep_checkpoint=True)
    first = proxy.run(training(tmp_path / "here", 2000))
    assert proxy.run(training(tmp_path / "here", 2000)).told["resumed_at_step"] == first.told["steps"]
    other = proxy.run(training(tmp_path / "here", 2000, seed=1))
    assert other.told["resumed_at_step"] is None
    assert other.bits_per_byte == proxy.run(training(tmp_path / "afresh", 2000, seed=1)).bits_per_byte


class Harm:
    """What unpickling would run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sign,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "rubbish", "cut"])
def test_a_checkpoint_from_elsewhere_runs_nothing_and_is_refused(tmp_path: Path, kind: str) -> None:
    proxy = proxy_of(checkpoint_every=10, keep_checkpoint=True)
    proxy.run(training(tmp_path, 1500))
    path, sign = tmp_path / checkpoints.NAME, tmp_path / "sign"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"run": Harm(sign)}))
    elif kind == "torch":
        torch.save({"run": "x", "model": Harm(sign)}, path)
    else:
        path.write_bytes(b"rubbish" if kind == "rubbish" else path.read_bytes()[:-200])
    with pytest.raises(DamagedRunError, match=r"checkpoint\.pt: is no checkpoint .* remove it"):
        proxy.run(training(tmp_path, 1500))
    assert not sign.exists()


def poisoned(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Rows that hold token 31 have a loss that is no finite number."""

    def losses(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        bad = (inputs == 31).any(dim=1, keepdim=True)
        return token_losses(model, inputs, targets) * torch.where(bad, value, 1.0)

    monkeypatch.setattr(transformer_training, "token_losses", losses)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_without_a_finite_loss_is_skipped_and_logged_with_its_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    poisoned(monkeypatch, value)
    documents = [[1 + number % 7] * 40 for number in range(60)]
    documents[33] = [5] * 20 + [31] + [5] * 19
    tokens = tokens_of(documents)
    trained = proxy_of().run(training_of(tmp_path, tokens, 2400, vocab_size=VOCABULARY))
    [event] = events_of(tmp_path)
    assert event["kind"] == "non_finite"
    assert event["loss"] is None
    assert "d33" in event["worst"]
    assert set(event["worst"]) <= set(event["documents"])
    assert len(event["worst"]) <= 2
    assert len(event["documents"]) <= 16  # of 60: two a row
    assert trained.told["skipped_steps"] == 1
    assert all(map(math.isfinite, trained.bits_per_byte.values()))
    assert [row["step"] for row in curve_of(tmp_path) if not math.isfinite(row["loss"])] == [event["step"]]


def test_several_bad_steps_in_a_row_end_the_run_and_name_their_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, math.nan)
    documents = [[1, 2] * 20 for _ in range(30)] + [[31] * 40 for _ in range(30)]
    with pytest.raises(CorpusmillError, match=r"broke down.*in 5 steps in a row.*learning_rate \(0\.01\).*d30, d31"):
        proxy_of().run(training_of(tmp_path, tokens_of(documents), 2400, vocab_size=VOCABULARY))
    assert [event["kind"] for event in events_of(tmp_path)] == ["non_finite"] * 5
    assert len(curve_of(tmp_path)) == events_of(tmp_path)[-1]["step"] + 1


def test_a_learning_rate_far_too_high_fails_instead_of_giving_a_number(tmp_path: Path) -> None:
    with pytest.raises(CorpusmillError, match=r"in 5 steps in a row.* lower learning_rate"):
        proxy_of(learning_rate=1e30).run(training(tmp_path))
    with pytest.raises(CorpusmillError, match="the trained model's loss is no finite number"):
        proxy_of(learning_rate=1e38).run(training(tmp_path, tokens=50))  # one step, whose loss is that of the start


def test_a_spike_is_logged_with_its_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SHUFFLED_STEPS", 1)  # so that it comes when something has been learnt
    chance = np.random.default_rng(0)
    documents = counting(400, 50, 16, seed=1)
    documents[370] = chance.integers(16, VOCABULARY, 128).tolist()
    tokens = tokens_of(documents)
    trained = proxy_of().run(training_of(tmp_path, tokens, 20_000, vocab_size=VOCABULARY))
    events = events_of(tmp_path)
    assert {event["kind"] for event in events} == {"spike"}
    assert all("d370" in event["worst"] for event in events)
    assert all(event["loss"] > event["median"] for event in events)
    assert trained.told["spikes"] == len(events) <= 2


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100])
def test_a_model_that_knows_nothing_needs_the_bits_of_a_uniform_guess(length: int) -> None:
    model = Transformer(TINY, VOCABULARY, 16, seed=0)
    torch.nn.init.zeros_(model.head.weight)
    heldout = tokens_of([[3] * length, [], [4] * 5])
    found = document_bits(model, heldout, VOCABULARY, EOS, 16, torch.device("cpu"))
    assert found == pytest.approx(math.log2(VOCABULARY) * np.array([length + 1, 1, 6]))


def test_evaluation_is_that_of_each_document_alone() -> None:
    model = Transformer(TINY, VOCABULARY, 16, seed=0)
    documents = counting(5, 13, VOCABULARY, seed=4)
    nats = []
    for document in documents:
        ids = torch.tensor([[EOS, *document]])
        nats.append(float(token_losses(model, ids, torch.tensor([[*document, EOS]])).detach().double().sum()))
    found = document_bits(model, tokens_of(documents), VOCABULARY, EOS, 16, torch.device("cpu"))
    assert found == pytest.approx(np.array(nats) / math.log(2), rel=1e-6)


def test_fewer_tokens_than_a_row_are_trained_on(tmp_path: Path) -> None:
    trained = proxy_of(schedule="wsd").run(training(tmp_path, tokens=3))
    assert trained.train_tokens == 3
    assert [row["tokens"] for row in curve_of(tmp_path)] == [3]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokens": 0}, "0 tokens to train on; give at least 1"),
        ({"eos_id": VOCABULARY}, "eos_id 32 is not below the vocabulary's 32 tokens"),
        ({"train": tokens_of([[1, 99]])}, "documents to train on: token id 99 is not below"),
        ({"train": tokens_of([])}, "documents to train on: have no token"),
        ({"train": tokens_of([[], []])}, "documents to train on: have no token"),
        ({"heldout": {}}, "nothing is held out"),
        ({"heldout": {"mail": tokens_of([])}}, "held-out domain mail: have no token"),
        ({"heldout": {"mail": tokens_of([[1]], [0])}}, "held-out domain mail: has no text"),
    ],
)
def test_a_training_that_cannot_be_used_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match=message):
        proxy_of().run(replace(training(tmp_path), **changed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "2M"}, "size"),
        ({"context": 4}, "context: 4 is not within 8 to 65536"),
        ({"threads": 0}, "threads: 0 must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0 must be a finite number above 0"),
        ({"final_rate": 2.0}, "final_rate: 2.0 is no share"),
        ({"optimiser": "muon"}, 'unknown key "optimiser"; did you mean "optimizer"'),
        ({"schedule": "linear"}, "schedule"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(TransformerProxy, options, "sweep.yaml: proxies.small")


def test_a_recipe_makes_a_proxy_that_travels_to_workers() -> None:
    proxy = build(TransformerProxy, {"size": "4M", "optimizer": "muon", "compile": False}, "sweep.yaml: proxies.small")
    assert pickle.loads(pickle.dumps(proxy)) == proxy  # noqa: S301 - our own
    assert proxy.rate == LEARNING_RATES["muon"]["4M"]
    assert proxy.adamw_rate == LEARNING_RATES["adamw"]["4M"]
    assert proxy.rows * proxy.context == BATCH_TOKENS["4M"]


def test_cost_is_exact_in_flops_and_measured_in_seconds() -> None:
    proxy = proxy_of()
    cost = proxy.cost(10**6, VOCABULARY)
    assert cost.flops == 10**6 * TINY.flops_per_token(VOCABULARY, 16)
    assert cost.seconds is not None
    assert 0 < cost.seconds < math.inf
    assert proxy.cost(2 * 10**6, VOCABULARY).seconds == 2 * cost.seconds  # timed once


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device: cuda: torch finds no GPU here"):
        proxy_of(device="cuda").check()
    proxy_of(device="auto").check()


def test_runs_are_taken_for_one_another_where_nothing_differs_that_losses_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    default = TransformerProxy(size="1M")
    same = TransformerProxy(
        size="1M", device="cpu", dtype="float32", compile=False, learning_rate=3e-3, peak_flops=1e12
    )
    assert default.identity() == same.identity()
    for other in ({"threads": 2}, {"dtype": "bfloat16"}, {"optimizer": "muon"}, {"clip": 0.5}, {"size": "0.3M"}):
        assert TransformerProxy(**{"size": "1M", **other}).identity() != default.identity()
    on_cpu = default.identity()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = default.identity()
    assert (on_gpu["device"], on_gpu["dtype"], on_gpu["compile"]) == ("cuda", "bfloat16", True)
    assert on_gpu != on_cpu
    assert json.loads(json.dumps(on_gpu)) == on_gpu


def test_without_torch_the_extra_is_named_and_nothing_else_asks_for_it() -> None:
    script = """
from importlib.machinery import PathFinder
class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else PathFinder.find_spec(name, path, target)
import sys
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
from corpusmill.documents.errors import InputError
from corpusmill.scaling.proxies.transformer_proxy import TransformerProxy
for ask in (lambda proxy: proxy.check(), lambda proxy: proxy.cost(1, 2), lambda proxy: proxy.run(None)):
    try:
        ask(TransformerProxy())
    except InputError as error:
        print(error)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.count('pip install "corpusmill[proxy]"') == 3


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [("NVIDIA H200", 989.5), ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA H100 80GB HBM3", 989.5), ("Riva TNT2", None)],
)
def test_a_gpu_is_known_by_the_name_that_it_gives_itself(
    monkeypatch: pytest.MonkeyPatch, name: str, teraflops: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    found = transformer_training._peak(torch.device("cuda"), torch.bfloat16)
    assert found == (None if teraflops is None else teraflops * 1e12)


def test_many_events_still_name_their_worst_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, math.nan)
    monkeypatch.setattr(transformer_training, "MOST_DETAILED", 2)
    train: Tokens = tokens_of([[1, 2, 3, 4, 5, 6] * 4, [31, 1, 2]])
    proxy_of(batch_tokens=16, max_bad_steps=99).run(training_of(tmp_path, train, 200, vocab_size=VOCABULARY))
    events = events_of(tmp_path)
    assert len(events) >= 5
    assert [bool(event["documents"]) for event in events] == [True, True] + [False] * (len(events) - 2)
    assert all("d1" in event["worst"] for event in events)
