"""What held-out documents cost a transformer in bits: the sum of -log2 p over the tokens and the end of each, which is
read by itself (packing.windows).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from corpusmill.scaling.contract import Tokens
from corpusmill.scaling.proxies.packing import windows
from corpusmill.scaling.proxies.transformer import Transformer, token_losses

_LOGITS = 1 << 24
"""In a batch, at most (but one window at least): 64 MB of float32, held about three times over."""


@torch.inference_mode()
def document_bits(
    model: Transformer, heldout: Tokens, vocab_size: int, eos_id: int, context: int, device: torch.device
) -> NDArray[np.float64]:
    """Of each document."""
    nats = np.zeros(len(heldout))
    for rows, documents in windows(heldout, eos_id, context, max(_LOGITS // vocab_size, 1)):
        inputs = torch.from_numpy(rows.inputs).to(device)
        targets = torch.from_numpy(rows.targets).to(device)
        of_rows = token_losses(model, inputs, targets).sum(dim=1, dtype=torch.float64)
        np.add.at(nats, documents, of_rows.cpu().numpy())
    return nats / math.log(2)
