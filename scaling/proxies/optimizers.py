"""AdamW and Muon for the proxy transformer.

AdamW (Loshchilov & Hutter 2019): decay apart from the gradient, betas .9 and .95 (Brown et al. 2020, appendix B); norms
and embeddings do not decay.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): the momentum of each hidden matrix is made nearly
orthogonal by five steps of a quintic Newton-Schulz iteration before it is applied; embeddings, head and norms are left
to AdamW. A step is scaled by sqrt(max(1, rows / columns)), as in the author's code. Differs from it: matrices of one
shape are iterated together; queries, keys and values, which lie in one matrix, are taken apart first (the author's
advice), and so are gate and up; in float32 on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from corpusmill.scaling.proxies.transformer import Transformer

Kind = Literal["adamw", "muon"]
BETAS = (0.9, 0.95)
MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
RATE = "highest_rate"
"""Key of a group's learning rate before the schedule."""


def made_for(
    model: Transformer, kind: Kind, rate: float, adamw_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """The optimisers of all parameters, each parameter in one.

    Args:
        kind: what the hidden matrices get.
        rate: the highest learning rate of `kind`.
        adamw_rate: that of AdamW, where `kind` is muon.
        weight_decay: of the hidden matrices and the head.
    """
    hidden = model.hidden_matrices()
    of_blocks = {id(parameter) for parameter, _ in hidden}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in of_blocks]
    still = [parameter for parameter in rest if parameter is not model.head.weight]
    if kind == "adamw":
        decaying = [parameter for parameter, _ in hidden] + [model.head.weight]
        return [_adamw(decaying, still, rate, weight_decay)]
    groups = [
        {"params": [parameter for parameter, count in hidden if count == parts], "parts": parts} for parts in (1, 2, 3)
    ]
    muon = Muon(groups, rate=rate, weight_decay=weight_decay)
    return [muon, _adamw([model.head.weight], still, adamw_rate, weight_decay)]


def set_rate(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Sets the rates of the step that comes."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group[RATE] * factor


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal.

    Args:
        groups: `params` and `parts`: of how many matrices, one above the other, each parameter of the group is made.
        rate: highest learning rate.
        weight_decay: apart from the gradient.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, RATE: rate, "weight_decay": weight_decay, "parts": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step for all matrices. Takes no closure."""
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor, float]]] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
                ahead = torch.lerp(parameter.grad, momentum, MOMENTUM)  # Nesterov's
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                for matrix, towards in zip(parameter.chunk(group["parts"]), ahead.chunk(group["parts"]), strict=True):
                    by_shape.setdefault(tuple(matrix.shape), []).append((matrix, towards, group["lr"]))
        for (rows, columns), parts in by_shape.items():
            updates = orthogonal(torch.stack([towards for _, towards, _ in parts]))
            scale = max(1.0, rows / columns) ** 0.5
            for (matrix, _, rate), update in zip(parts, updates, strict=True):
                matrix.sub_(update, alpha=rate * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """Near the orthogonal factor of each matrix's polar decomposition: singular values come out between .68 and 1.13.

    Args:
        matrices: [count, rows, columns].
    """
    a, b, c = _QUINTIC
    near = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = near.shape[1] > near.shape[2]
    if tall:
        near = near.mT
    near = near / (near.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = near @ near.mT
        near = a * near + (b * gram + c * (gram @ gram)) @ near
    return (near.mT if tall else near).to(matrices.dtype)


def _adamw(
    decaying: list[nn.Parameter], still: list[nn.Parameter], rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    groups = [
        {"params": decaying, "weight_decay": weight_decay, RATE: rate},
        {"params": still, "weight_decay": 0.0, RATE: rate},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)
