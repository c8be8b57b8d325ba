"""How a run shows itself: a bar with rate and time left on a terminal, plain lines otherwise. All of it on stderr."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, ProgressColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as Bar
from rich.text import Text

from corpusmill.pipeline.run import Progress
from corpusmill.pipeline.summary import count, counted, size
from corpusmill.pipeline.tasks import Outcome

SECONDS_BETWEEN_LINES = 5.0


class ClosingProgress(Progress, Protocol):
    """A progress that gives back what it holds."""

    def close(self) -> None:
        """Ends it; the terminal is as it was."""


class PlainProgress:
    """A line when a level ends, and one every few seconds before; the first says what there is to do."""

    def __init__(self, stream: TextIO | None = None, seconds_between: float = SECONDS_BETWEEN_LINES) -> None:
        self._stream = stream or sys.stderr
        self._seconds_between = seconds_between
        self._title = ""
        self._tasks = self._ended = self._size = self._read = self._fresh = 0
        self._began = self._spoke = 0.0
        self._opening: threading.Timer | None = None

    def level(self, title: str, tasks: int, size: int) -> None:
        self._title, self._tasks, self._size = title, tasks, size
        self._ended = self._read = self._fresh = 0
        self._began = self._spoke = time.monotonic()
        self._open(None)
        if tasks:
            self._open(threading.Timer(self._seconds_between, self._begin))

    def outcome(self, outcome: Outcome) -> None:
        self._ended += 1
        self._read += outcome.task.size
        if outcome.error is not None:
            self.say(failure(outcome))
        if not outcome.reused:
            self._fresh += outcome.task.size
        now = time.monotonic()
        if self._ended == self._tasks or now - self._spoke >= self._seconds_between:
            self._open(None)
            self._spoke = now
            self.say(self._line(now - self._began))

    def say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        self._open(None)

    def _open(self, timer: threading.Timer | None) -> None:
        """Takes back the opening line that has not been said, and sets the next one."""
        if self._opening is not None:
            self._opening.cancel()
        self._opening = timer
        if timer is not None:
            timer.daemon = True
            timer.start()

    def _begin(self) -> None:
        left = self._size - self._read
        self.say(f"{self._title}: {self._ended:,} of {counted(self._tasks, 'task')} done, {size(left)} to read")

    def _line(self, seconds: float) -> str:
        line = f"{self._title}: {self._ended:,} of {counted(self._tasks, 'task')}"
        done = self._ended == self._tasks
        if not self._fresh:
            return f"{line}, done before" if done else line
        rate = self._fresh / max(seconds, 1e-3)
        line += f", {size(self._fresh)} at {size(rate)}/s"
        return line if done else f"{line}, about {duration((self._size - self._read) / rate)} left"


class _Pace(ProgressColumn):
    """Rate and time left, from what this run has read: what was done before took no time.

    rich's own columns leave the first of a bar's tasks out of the rate, which is most of it where tasks are few.
    """

    def render(self, task: Bar) -> Text:
        fresh, seconds = task.completed - task.fields["reused"], task.fields["seconds"]
        if task.finished:
            return Text(f"{size(fresh / seconds)}/s in {duration(seconds)}" if fresh and seconds else "done before")
        if not fresh or not seconds:
            return Text("")
        left = (task.total or 0) - task.completed
        since = max((task.elapsed or 0) - seconds, 0)
        return Text(f"{size(fresh / seconds)}/s, {duration(left * seconds / fresh - since)} left")


class BarProgress:
    """A bar a level, with tasks, rate and time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"), BarColumn(bar_width=24), TextColumn("{task.fields[tasks]:>16}"),
            DownloadColumn(), _Pace(), console=console,
        )  # fmt: skip
        self._bar: TaskID | None = None
        self._tasks = self._ended = self._reused = 0
        self._began = 0.0
        self._bars.start()

    def level(self, title: str, tasks: int, size: int) -> None:
        self._tasks, self._ended, self._reused = tasks, 0, 0
        self._began = time.monotonic()
        self._bar = self._bars.add_task(title, total=max(size, 1), tasks=self._counted(), reused=0, seconds=0.0)
        if size == 0:
            self._bars.advance(self._bar, 1)

    def outcome(self, outcome: Outcome) -> None:
        self._ended += 1
        if self._bar is not None:
            self._reused += outcome.task.size if outcome.reused else 0
            seconds = time.monotonic() - self._began
            self._bars.update(
                self._bar, advance=outcome.task.size, tasks=self._counted(), reused=self._reused, seconds=seconds
            )
        if outcome.error is not None:
            self.say(failure(outcome))

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()

    def _counted(self) -> str:
        return f"{count(self._ended)}/{counted(self._tasks, 'task')}"


def failure(outcome: Outcome) -> str:
    """A failed task and the last line of what it said."""
    lines = (outcome.error or "").strip().splitlines()
    return f"failed: {outcome.task.key}: {lines[-1] if lines else 'it did not say why'}"


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(0.4), duration(59.6), duration(200), duration(7300), duration(100_000)
    ('1 s', '1 min', '3 min', '2 h 2 min', '27 h 47 min')
    """
    whole = max(round(seconds), 1)
    if whole < 59.5:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def progress_for(stream: TextIO) -> ClosingProgress:
    """Bars where a person watches, lines where a log is written."""
    return BarProgress(Console(file=stream)) if stream.isatty() else PlainProgress(stream)
