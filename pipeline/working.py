"""What a command that runs tasks works with: the processes of this machine, and a progress on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from corpusmill.pipeline import executors
from corpusmill.pipeline.progress import ClosingProgress, progress_for


@contextmanager
def working(workers: int | None) -> Iterator[tuple[executors.Executor, ClosingProgress]]:
    """An executor of so many processes (None: one for each core) and its progress; both are closed at the end.

    Raises:
        UsageError: if `workers` is below 1.
    """
    executor = executors.LocalExecutor(cores() if workers is None else workers)
    with closing(progress_for(sys.stderr)) as progress, closing(executor):
        yield executor, progress


def cores() -> int:
    """Of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
