"""Bits per byte of a transformer on held-out documents.

The sum of -log2 p over all tokens and the end of each document, divided by the UTF-8 bytes of the texts; each document
is read by itself (packing.windows).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from corpusmill.scaling.contract import Tokens
from corpusmill.scaling.proxies.packing import windows
from corpusmill.scaling.proxies.transformer import Transformer, token_losses

_LOGITS = 1 << 24
"""In a batch, at most (but one window at least): 64 MB of float32, held about three times over."""


@torch.inference_mode()
def bits_per_byte(
    model: Transformer, heldout: Tokens, vocab_size: int, eos_id: int, context: int, device: torch.device
) -> float:
    """Of one domain, whose documents have at least one byte."""
    nats = torch.zeros((), dtype=torch.float64, device=device)
    for rows in windows(heldout, eos_id, context, max(_LOGITS // vocab_size, 1)):
        inputs = torch.from_numpy(rows.inputs).to(device)
        targets = torch.from_numpy(rows.targets).to(device)
        nats += token_losses(model, inputs, targets).sum(dtype=torch.float64)
    return float(nats) / math.log(2) / int(np.sum(heldout.text_bytes))
