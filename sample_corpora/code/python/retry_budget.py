# SPDX-License-Identifier: BSD-3-Clause
"""Retry a call with exponential pauses, under one budget shared by all callers.

A retry costs a token; a success earns a fraction of one. When a service is really
down, the tokens run out and callers fail at once in place of hammering on the door.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class RetryBudget:
    def __init__(self, tokens: float = 10.0, earned_per_success: float = 0.1) -> None:
        self._capacity = tokens
        self._tokens = tokens
        self._earned = earned_per_success
        self._lock = threading.Lock()

    def spend(self) -> bool:
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def earn(self) -> None:
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._earned)


def call_with_retries(
    function: Callable[[], T],
    budget: RetryBudget,
    *,
    attempts: int = 4,
    first_pause: float = 0.05,
    retry_on: tuple[type[Exception], ...] = (OSError,),
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call the function until it succeeds, attempts run out or the budget is spent."""
    pause = first_pause
    for attempt in range(1, attempts + 1):
        try:
            result = function()
        except retry_on:
            if attempt == attempts or not budget.spend():
                raise
            sleep(pause * random.uniform(0.5, 1.5))
            pause *= 2
        else:
            budget.earn()
            return result
    raise ValueError("attempts must be at least 1")
