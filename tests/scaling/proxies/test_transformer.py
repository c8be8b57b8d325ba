"""The model and Muon: facts that hold for any weights."""

from __future__ import annotations

import pytest
import torch

from corpusmill.scaling.proxies import optimizers
from corpusmill.scaling.proxies.transformer import Transformer, rotary_tables, rotated
from corpusmill.scaling.proxies.transformer_shapes import SHAPES, Shape, Size

TINY = Shape(width=16, layers=2, heads=2, hidden=24)


@pytest.fixture
def model() -> Transformer:
    return Transformer(TINY, vocab_size=32, context=16, seed=1)


@pytest.mark.parametrize("size", ["0.3M", "1M", "4M", "15M", "60M"])
def test_a_size_has_the_parameters_of_its_name(size: Size) -> None:
    shape = SHAPES[size]
    with torch.device("meta"):
        model = torch.nn.ModuleList(Transformer(shape, 8, 8, seed=0).blocks)
    counted = sum(parameter.numel() for parameter in model.parameters()) + shape.width
    assert counted == shape.parameters
    assert counted == pytest.approx(float(size.rstrip("M")) * 1e6, rel=0.05)


def test_flops_are_those_of_the_matrix_products() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = Transformer(TINY, vocab_size=32, context=16, seed=1)
    ids = torch.randint(32, (3, 16))
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(ids).sum().backward()
    # torch counts all of the attention's square, and not the norms.
    norms = 6 * (2 * TINY.layers + 1) * TINY.width
    beyond = 12 * TINY.layers * TINY.width * (16 - (16 + 1) / 2)
    assert counter.get_total_flops() == 3 * 16 * (TINY.flops_per_token(32, 16) - norms + beyond)


def test_a_later_token_changes_no_earlier_logit(model: Transformer) -> None:
    ids = torch.randint(32, (1, 16), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 32
    before, after = model(ids), model(changed)
    assert torch.equal(before[0, :9], after[0, :9])
    assert not torch.allclose(before[0, 9:], after[0, 9:])


def test_every_parameter_gets_a_gradient(model: Transformer) -> None:
    ids = torch.randint(32, (4, 16), generator=torch.Generator().manual_seed(0))
    model(ids).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_rotary_products_depend_on_distance_alone() -> None:
    cosines, sines = rotary_tables(64, 8)
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).double()

    def turned(vector: torch.Tensor) -> torch.Tensor:
        return rotated(vector.expand(1, 64, 1, 1, 8), cosines.double(), sines.double())[0, :, 0, 0]

    products = turned(query) @ turned(key).T
    for distance in (0, 1, 7, 40):
        along = products.diagonal(-distance)
        assert torch.allclose(along, along[:1].expand_as(along), atol=1e-5)
    assert products[0, 0] != pytest.approx(float(products[7, 0]), abs=1e-3)


def test_the_start_follows_from_the_seed_and_leaves_other_chance_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (Transformer(TINY, 32, 16, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert not torch.equal(one["head.weight"], one["embeddings.weight"])


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (8, 40), (40, 8)])
def test_newton_schulz_brings_singular_values_near_one(rows: int, columns: int) -> None:
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(0)) * 100
    near = optimizers.orthogonal(matrices)
    values = torch.linalg.svdvals(near)
    assert near.shape == matrices.shape
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    likeness = torch.nn.functional.cosine_similarity(near.flatten(1), (left @ right).flatten(1))
    assert likeness.min() > 0.95


def test_muon_takes_stacked_matrices_apart() -> None:
    chance = torch.Generator().manual_seed(0)
    gradients = [torch.randn(6, 4, generator=chance) * scale for scale in (1.0, 1000.0)]
    stacked = torch.nn.Parameter(torch.zeros(12, 4))
    alone = [torch.nn.Parameter(torch.zeros(6, 4)) for _ in gradients]
    stacked.grad = torch.cat(gradients)
    for parameter, gradient in zip(alone, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizers.Muon([{"params": [stacked], "parts": 2}], rate=0.1, weight_decay=0.0).step()
    optimizers.Muon([{"params": alone, "parts": 1}], rate=0.1, weight_decay=0.0).step()
    assert torch.allclose(stacked, torch.cat(alone), atol=1e-6)


def test_muon_goes_where_the_library_goes() -> None:
    library = getattr(torch.optim, "Muon", None)
    if library is None:
        pytest.skip("torch has had Muon since 2.9")
    chance = torch.Generator().manual_seed(0)
    start = torch.randn(24, 16, generator=chance)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    steps = [
        (ours, optimizers.Muon([{"params": [ours], "parts": 1}], rate=0.02, weight_decay=0.1)),
        (theirs, library([theirs], lr=0.02, weight_decay=0.1, momentum=0.95)),
    ]
    for _ in range(4):
        gradient = torch.randn(24, 16, generator=chance)
        for parameter, optimizer in steps:
            parameter.grad = gradient.clone()
            optimizer.step()
    # The library iterates in bfloat16.
    assert torch.allclose(ours, theirs, atol=2e-3)
    assert not torch.allclose(ours, start, atol=2e-2)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_each_parameter_has_one_optimiser_and_norms_and_embeddings_do_not_decay(
    model: Transformer, kind: optimizers.Kind
) -> None:
    made = optimizers.made_for(model, kind, 0.02, 0.001, 0.1)
    groups = [group for optimizer in made for group in optimizer.param_groups]
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if "norm" in name or "embeddings" in name else 0.1), name
    optimizers.set_rate(made, 0.5)
    rates = {group["lr"] for group in groups}
    assert rates == ({0.01} if kind == "adamw" else {0.01, 0.0005})
