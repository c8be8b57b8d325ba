"""Runs a command that may start others, and leaves none of them behind: not when it ends, not when it is too slow, and
not when this process is killed.

The command leads a session and process group of its own, which is killed as a whole. A worker of ours may end by a
signal that nobody can catch, so a small shell waits for the end of this process, too: it reads from a pipe that the
system closes then, and kills the group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

GRACE = 5.0
"""Seconds between asking a command to end (SIGTERM) and ending it (SIGKILL)."""
_KILL_WHEN_CLOSED = 'read -r line; kill -s KILL -- "-$1"'


def run(words: Sequence[str], stdout: Path, stderr: Path, timeout: float | None) -> int:
    """The exit code of a command, negative for a signal that ended it. What it prints goes to files.

    Raises:
        OSError: if it cannot be started.
        TimeoutError: if it takes more than `timeout` seconds. It is asked to end, then it is ended.
    """
    with open(stdout, "wb") as out, open(stderr, "wb") as err:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
    try:
        with _killed_with_us(process.pid):
            return process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        raise TimeoutError from error
    finally:
        _signal(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _killed_with_us(group: int) -> Iterator[None]:
    """While this is open, the end of this process is the end of the group."""
    command = ["/bin/sh", "-c", _KILL_WHEN_CLOSED, "sh", str(group)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as watcher:
        try:
            yield
        finally:
            watcher.kill()  # before its pipe is closed


def _signal(group: int, number: int) -> None:
    """Signals a process group, if any of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
