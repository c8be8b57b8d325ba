"""What goes wrong while a proxy trains, and on which documents: steps that were skipped, and spikes of the loss.

`events.jsonl`, one object a line:

    step             int     counted from 0
    kind             str     `non_finite`: loss or gradient was no finite number, and the step was skipped;
                             `spike`: the loss stood far above its running median
    loss             float   nats a token; null where it is no finite number
    median           float   of the losses before; null where there are none
    gradient_norm    float   before clipping; null where it is no finite number
    documents        [str]   ids of all documents in the step's batch; empty behind the thousandth event
    worst            [str]   those of the row with the highest loss, or of the first whose loss is no finite number

A spike is a loss more than k robust deviations (1.4826 times the median absolute deviation) above the median of the
last 64 finite losses. Differs from thresholds on the mean and standard deviation: those move with the spikes they look
for.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from corpusmill.documents.shards import atomic_text

MOST_DETAILED = 1000
"""Events that name all of their batch: what is always wrong needs no more."""
_WINDOW = 64
_LEAST = 16
"""Losses that must be known before any is called a spike."""
_NORMAL = 1.4826
"""Median absolute deviations in a standard deviation of a normal distribution."""
_LEAST_DEVIATION = 0.005
"""Of the median: losses that hardly vary at all would make spikes of nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A line of events.jsonl."""

    step: int
    kind: Literal["non_finite", "spike"]
    loss: float | None
    median: float | None
    gradient_norm: float | None
    documents: Sequence[str]
    worst: Sequence[str]


class SpikeWatch:
    """Knows the last losses.

    Args:
        deviations: how many robust deviations above the median make a spike.
        losses: of the steps before, where a run goes on.
    """

    def __init__(self, deviations: float, losses: Iterable[float] = ()) -> None:
        self._deviations = deviations
        self._last: deque[float] = deque((loss for loss in losses if math.isfinite(loss)), maxlen=_WINDOW)

    @property
    def median(self) -> float | None:
        return median(self._last) if self._last else None

    def is_spike(self, loss: float) -> bool:
        """Whether this finite loss, the next, is a spike. It is remembered either way."""
        spike = False
        if len(self._last) >= _LEAST:
            middle = median(self._last)
            deviation = _NORMAL * median(abs(each - middle) for each in self._last)
            spike = loss > middle + self._deviations * max(deviation, _LEAST_DEVIATION * middle)
        self._last.append(loss)
        return spike


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Writes the file in one step."""
    atomic_text(path, "".join(json.dumps(asdict(event), ensure_ascii=False) + "\n" for event in events))


def finite(value: float) -> float | None:
    """JSON has no word for infinity."""
    return value if math.isfinite(value) else None
