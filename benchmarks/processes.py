"""Commands and what they take: seconds by the wall clock, CPU seconds of all their processes, and peak memory.

Linux only: /proc says it of processes that are no children of ours, too, such as those of a fork server.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command took."""

    seconds: float
    cpu_seconds: float
    worker_mb: float
    """The most memory (VmHWM) that any of its processes held, that of the command itself apart."""
    other_cores: float
    """Cores that the rest of the machine kept busy meanwhile, on average."""
    memory_mb: float = 0.0
    """The most memory that all its processes held at a time: pages of their own, so no mapped files."""


def watched(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Usage:
    """Runs a command in a session of its own, by which its processes are known; what it says goes to `log`.

    What a process took in its last fifth of a second is not counted to its CPU seconds.
    """
    seen: dict[int, tuple[float, float]] = {}
    held: list[float] = [0.0]
    ended = threading.Event()
    with open(log, "wb") as stream:
        begun, busy_before = time.perf_counter(), _busy_seconds()
        process = subprocess.Popen(
            command, env=dict(environment), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        watcher = threading.Thread(target=_watch, args=(process.pid, seen, held, ended))
        watcher.start()
        code = process.wait()
        seconds, busy = time.perf_counter() - begun, _busy_seconds() - busy_before
        ended.set()
        watcher.join()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{log.read_text(errors='replace')[-4000:]}")
    workers = [peak for pid, (_, peak) in seen.items() if pid != process.pid]
    cpu_seconds = sum(cpu for cpu, _ in seen.values())
    other_cores = max(busy - cpu_seconds, 0.0) / seconds
    return Usage(seconds, cpu_seconds, max(workers, default=0.0), other_cores, max(held))


def _busy_seconds() -> float:
    """CPU seconds that all processes of the machine have taken, with what its host took from it."""
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, _first_line("/proc/stat").split()[1:9])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def _first_line(path: str) -> str:
    with open(path) as stream:
        return stream.readline()


def _watch(session: int, seen: dict[int, tuple[float, float]], held: list[float], ended: threading.Event) -> None:
    """Keeps the last CPU seconds and peak MB of each process of a session, and the MB that all held at each look."""
    tick = os.sysconf("SC_CLK_TCK")
    while not ended.wait(_POLL_SECONDS):
        held.append(0.0)
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) != session:
                    continue
                status = Path(f"/proc/{entry}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            told = dict(line.split(":", 1) for line in status.splitlines())
            if "VmHWM" in told:  # a zombie has none
                seen[int(entry)] = ((int(fields[11]) + int(fields[12])) / tick, int(told["VmHWM"].split()[0]) / 1e3)
                held[-1] += sum(int(told[name].split()[0]) for name in ("RssAnon", "RssShmem")) / 1e3
