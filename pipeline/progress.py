"""How a run shows itself: a bar with rate and time left on a terminal, plain lines otherwise. All of it on stderr."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from corpusmill.pipeline.tasks import Outcome

SECONDS_BETWEEN_LINES = 5.0


class PlainProgress:
    """A line when a level begins and ends, and one every few seconds between."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._title = ""
        self._tasks = self._ended = self._size = self._read = self._fresh = 0
        self._began = self._spoke = 0.0

    def level(self, title: str, tasks: int, size: int) -> None:
        self._title, self._tasks, self._size = title, tasks, size
        self._ended = self._read = self._fresh = 0
        self._began = self._spoke = time.monotonic()

    def outcome(self, outcome: Outcome) -> None:
        self._ended += 1
        self._read += outcome.task.size
        if outcome.error is not None:
            self.say(f"failed: {outcome.task.key}: {outcome.error.strip().splitlines()[-1]}")
        if not outcome.reused:
            self._fresh += outcome.task.size
        now = time.monotonic()
        if self._ended == self._tasks or now - self._spoke >= SECONDS_BETWEEN_LINES:
            self._spoke = now
            self.say(self._line(now - self._began))

    def say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is held open."""

    def _line(self, seconds: float) -> str:
        line = f"{self._title}: {self._ended}/{self._tasks} tasks"
        if not self._fresh:
            return f"{line}, done before" if self._ended == self._tasks else line
        rate = self._fresh / max(seconds, 1e-3)
        line += f", {self._fresh / 1e6:.1f} MB at {rate / 1e6:.1f} MB/s"
        left = (self._size - self._read) / rate
        return line if self._ended == self._tasks else f"{line}, about {left:.0f} s left"


class BarProgress:
    """A bar a level, with rate and time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._bar: TaskID | None = None
        self._bars.start()

    def level(self, title: str, tasks: int, size: int) -> None:
        self._bar = self._bars.add_task(title, total=max(size, 1))
        if size == 0:
            self._bars.advance(self._bar, 1)

    def outcome(self, outcome: Outcome) -> None:
        if self._bar is not None:
            self._bars.advance(self._bar, outcome.task.size)
        if outcome.error is not None:
            self.say(f"failed: {outcome.task.key}: {outcome.error.strip().splitlines()[-1]}")

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def progress_for(stream: TextIO) -> PlainProgress | BarProgress:
    """Bars where a person watches, lines where a log is written."""
    return BarProgress(Console(file=stream)) if stream.isatty() else PlainProgress(stream)
