"""Named sizes of the proxy transformer, and what they cost to train. Knows nothing of torch.

A size is the number of parameters without the embeddings and the head (Kaplan et al. 2020, arXiv:2001.08361, section
2.1), so it does not depend on the vocabulary. Names are true within 5 %.

FLOPs of training are 6 for each parameter that multiplies a token (2 forward, 4 backward; Kaplan et al., table 1):
those of the blocks and of the head, but not the embeddings, which are looked up; and for attention 12 for each unit of
width, layer and token that is looked at, which in a causal window of `context` tokens is half of it on average.
Differs from 6·N·D: in proxies the head (width times vocabulary) is as large as a third of the blocks or more, and is
counted here; N remains without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Size = Literal["0.3M", "1M", "4M", "15M", "60M"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A decoder's measures."""

    width: int
    """Of the residual stream."""
    layers: int
    heads: int
    """Divide the width; each has an even width, for rotary positions turn pairs."""
    hidden: int
    """Width inside SwiGLU, which has three matrices of width times hidden."""

    @property
    def parameters(self) -> int:
        """Without embeddings and head.

        >>> SHAPES["1M"].parameters
        1004928
        """
        block = 4 * self.width**2 + 3 * self.width * self.hidden + 2 * self.width
        return self.layers * block + self.width

    def flops_per_token(self, vocab_size: int, context: int) -> float:
        """Of training."""
        attention = 12 * self.layers * self.width * (context + 1) / 2
        return 6.0 * (self.parameters + self.width * vocab_size) + attention


SHAPES: dict[Size, Shape] = {
    "0.3M": Shape(width=96, layers=3, heads=3, hidden=224),
    "1M": Shape(width=128, layers=5, heads=4, hidden=352),
    "4M": Shape(width=256, layers=5, heads=4, hidden=704),
    "15M": Shape(width=384, layers=8, heads=6, hidden=1088),
    "60M": Shape(width=640, layers=12, heads=10, hidden=1728),
}
