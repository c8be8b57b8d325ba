import doctest
import io
import time
from dataclasses import dataclass

import pytest
from rich.console import Console

from corpusmill.pipeline import progress as module
from corpusmill.pipeline.progress import BarProgress, PlainProgress, progress_for
from corpusmill.pipeline.tasks import Outcome


@dataclass
class Named:
    size: int = 1_000_000
    key: str = "web/phase-1/00000"


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


def plain(*outcomes, seconds_between=0.0, size=4_000_000, tasks=4):
    stream = io.StringIO()
    progress = PlainProgress(stream, seconds_between=60)
    progress.level("phase 1", tasks, size)
    progress._seconds_between = seconds_between  # behind the opening line, whose time is not come
    for outcome in outcomes:
        progress.outcome(outcome)
    progress.close()
    return stream.getvalue().splitlines()


def test_a_level_ends_with_a_line_of_tasks_bytes_and_rate():
    lines = plain(*[Outcome(Named())] * 4, seconds_between=60)
    assert len(lines) == 1
    assert lines[0].startswith("phase 1: 4 of 4 tasks, 4.0 MB at ")
    assert lines[0].endswith("/s")


def test_between_there_is_a_line_every_few_seconds_with_the_time_left():
    lines = plain(*[Outcome(Named())] * 2)
    assert [line.split(",")[0] for line in lines] == ["phase 1: 1 of 4 tasks", "phase 1: 2 of 4 tasks"]
    assert lines[0].endswith("left")
    assert "about" in lines[0]


def test_what_was_done_before_is_said_and_is_no_part_of_the_rate():
    assert plain(*[Outcome(Named(), reused=True)] * 4)[-1] == "phase 1: 4 of 4 tasks, done before"
    mixed = plain(*[Outcome(Named(), reused=True)] * 3, Outcome(Named()))
    assert mixed[-1].startswith("phase 1: 4 of 4 tasks, 1.0 MB at ")


def test_a_level_that_gives_no_result_for_long_says_what_there_is_to_do():
    stream = io.StringIO()
    progress = PlainProgress(stream, seconds_between=0.05)
    progress.level("duplicates", 2, 3_000_000)
    deadline = time.monotonic() + 20
    while not stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    progress.close()
    assert stream.getvalue() == "duplicates: 0 of 2 tasks done, 3.0 MB to read\n"


def test_a_level_without_tasks_says_nothing():
    stream = io.StringIO()
    progress = PlainProgress(stream, seconds_between=0.0)
    progress.level("ledger", 0, 0)
    progress.close()
    time.sleep(0.05)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("Traceback\n  File x\nValueError: no\n", "failed: web/phase-1/00000: ValueError: no"),
        (" ", "failed: web/phase-1/00000: it did not say why"),
    ],
)
def test_a_failed_task_is_named_at_once(error, line):
    assert plain(Outcome(Named(), error=error), seconds_between=60) == [line]
    assert line in bars(Outcome(Named(), error=error))


def bars(*outcomes, size=4_000_000, tasks=4):
    stream = io.StringIO()
    progress = BarProgress(Console(file=stream, force_terminal=True, width=110, color_system=None))
    progress.level("phase 1", tasks, size)
    for outcome in outcomes:
        progress.outcome(outcome)
    progress.say("a [line] of its own")
    progress.close()
    return stream.getvalue()


def test_bars_show_tasks_bytes_rate_and_time_left():
    text = bars(*[Outcome(Named())] * 3)
    assert "3/4 tasks" in text
    assert "3.0/4.0 MB" in text
    assert "/s, " in text
    assert " left" in text
    assert "a [line] of its own" in text


def test_a_finished_bar_shows_its_time():
    assert "/s in 1 s" in bars(*[Outcome(Named())] * 4)


def test_a_bar_of_what_was_done_before_says_so():
    assert "done before" in bars(*[Outcome(Named(), reused=True)] * 4)
    assert "done before" in bars(size=0, tasks=0)


def test_a_log_gets_lines_and_a_terminal_gets_bars():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(progress_for(io.StringIO()), PlainProgress)
    bar = progress_for(Terminal())
    bar.close()
    assert isinstance(bar, BarProgress)
