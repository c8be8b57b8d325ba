"""The proxy transformer: a small decoder in the manner of Llama (Touvron et al. 2023, arXiv:2302.13971, section 2.2).

RMSNorm before each half of a block (Zhang & Sennrich 2019), rotary positions (Su et al. 2021, arXiv:2104.09864; base
10,000), SwiGLU (Shazeer 2020), no biases, no dropout, embeddings and head apart.

Start: normal with deviation sqrt(2 / (5·width)) (Nguyen & Salazar 2019, arXiv:1910.05895, section 2.2), and for what
adds to the residual stream that over sqrt(2·layers) (Radford et al. 2019, GPT-2, section 2.3).

Attention crosses documents: rows are packed, and a token sees whatever stands before it in its row, another document
and the `eos` between them, too, as in GPT-3 (Brown et al. 2020, appendix B: no masking by document). A mask by
document would cost the fused causal kernel, which on a CPU is most of what makes attention cheap; and as all cells of a
sweep are trained so, their differences stand. Evaluation never crosses (transformer_evaluation.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from corpusmill.scaling.proxies.packing import PADDING
from corpusmill.scaling.proxies.transformer_shapes import Shape

_ROTARY_BASE = 10_000.0
_EPSILON = 1e-6


class Block(nn.Module):
    """Attention, then SwiGLU, each added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.heads = shape.heads
        self.attention_norm = nn.RMSNorm(width, eps=_EPSILON)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.hidden_norm = nn.RMSNorm(width, eps=_EPSILON)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, stream: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        rows, length, width = stream.shape
        joint = self.queries_keys_values(self.attention_norm(stream))
        joint = joint.view(rows, length, 3, self.heads, width // self.heads)
        turned = rotated(joint[:, :, :2], cosines, sines)
        queries, keys, values = (each.transpose(1, 2) for each in (turned[:, :, 0], turned[:, :, 1], joint[:, :, 2]))
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        stream = stream + self.attended(seen.transpose(1, 2).reshape(rows, length, width))
        gate, up = self.gate_up(self.hidden_norm(stream)).chunk(2, dim=-1)
        return stream + self.down(F.silu(gate) * up)


class Transformer(nn.Module):
    """Token ids to logits of the next token.

    Args:
        shape: measures of the decoder.
        vocab_size: ids are below it.
        context: the longest row.
        seed: of the start, which is the same on every device.
    """

    def __init__(self, shape: Shape, vocab_size: int, context: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # torch's layers draw their own start, which is overwritten below
            self.embeddings = nn.Embedding(vocab_size, shape.width)
            self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
            self.norm = nn.RMSNorm(shape.width, eps=_EPSILON)
            self.head = nn.Linear(shape.width, vocab_size, bias=False)
        cosines, sines = rotary_tables(context, shape.width // shape.heads)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self._start(shape, seed)

    def forward(self, ids: Tensor) -> Tensor:
        """int64[rows, length] to [rows, length, vocab_size]."""
        length = ids.shape[1]
        stream = self.embeddings(ids)
        cosines = self.cosines[:length].to(stream.dtype)
        sines = self.sines[:length].to(stream.dtype)
        for block in self.blocks:
            stream = block(stream, cosines, sines)
        return self.head(self.norm(stream))

    def hidden_matrices(self) -> list[tuple[nn.Parameter, int]]:
        """The matrices of the blocks, and of how many matrices, one above the other, each is made."""
        return [
            pair
            for block in self.blocks
            for pair in (
                (block.queries_keys_values.weight, 3),
                (block.attended.weight, 1),
                (block.gate_up.weight, 2),
                (block.down.weight, 1),
            )
        ]

    def _start(self, shape: Shape, seed: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        deviation = math.sqrt(2 / (5 * shape.width))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                adds = name.endswith(("attended.weight", "down.weight"))
                scale = deviation / math.sqrt(2 * shape.layers) if adds else deviation
                nn.init.normal_(parameter, std=scale, generator=chance)


def rotary_tables(context: int, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32[context, 1, 1, head_width / 2]: of position times frequency."""
    frequencies = _ROTARY_BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.arange(context, dtype=torch.float64)[:, None, None, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rotated(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turns each pair (i, i + half) of the last axis by its angle; [rows, length, any, heads, head width]."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def token_losses(model: nn.Module, ids: Tensor, targets: Tensor) -> Tensor:
    """Nats of each target, float32[rows, length]; 0 where it is `PADDING`."""
    logits = model(ids).flatten(0, 1).float()
    return F.cross_entropy(logits, targets.flatten(), ignore_index=PADDING, reduction="none").view(targets.shape)
