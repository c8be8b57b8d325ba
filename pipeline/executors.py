"""Executors: where tasks run. A task knows nothing of them.

`LocalExecutor` runs tasks in processes of this machine. A worker that dies (`kill -9`, out of memory, a crash in native
code) costs its task one retry in a fresh worker, never a hang and never another task's result. A task that fails
twice is reported and the others go on; what a task refuses itself (`CorpusmillError`) is not tried again. Workers
end with their parent, however that ends.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from corpusmill.documents.errors import CorpusmillError, StorageError, UsageError
from corpusmill.pipeline.tasks import Counts, Outcome, Runnable

Watch = Callable[[Outcome], None]


ATTEMPTS = 2
START_ATTEMPTS = 5


class Executor(ABC):
    """Runs tasks that do not depend on one another, in any order."""

    @abstractmethod
    def run(self, tasks: Sequence[Runnable], watch: Watch) -> list[Outcome]:
        """One outcome for each task, in the order of `tasks`; `watch` sees each as it comes.

        Raises:
            StorageError: if the disk is full; what was finished is kept.
            UsageError: if a task found its input unusable.
        """

    def close(self) -> None:
        """Ends the workers."""


class Refusal(str):
    """An error that a task gives on purpose: a second attempt would end as the first."""

    __slots__ = ()


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    lifeline: Connection
    position: int | None = None  # of the task in hand
    started: float = 0.0

    def stop(self) -> None:
        self.pipe.close()
        self.lifeline.close()
        self.process.join(timeout=2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class LocalExecutor(Executor):
    """Runs tasks in `workers` processes, started when first needed and kept until `close`."""

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"--workers {workers}: must be at least 1")
        self._limit = workers
        self._workers: list[_Worker] = []
        # A fork server forks from a process that has one thread and has the heavy imports behind it.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["corpusmill.pipeline.worker_imports"])

    def run(self, tasks: Sequence[Runnable], watch: Watch) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        attempts = [0] * len(tasks)
        # The largest first, so that the last worker does not start on the longest task.
        waiting = deque(sorted(range(len(tasks)), key=lambda position: (-tasks[position].size, position)))
        while len(outcomes) < len(tasks):
            self._hand_out(tasks, waiting, attempts)
            busy = [worker for worker in self._workers if worker.position is not None]
            ready = wait([worker.pipe for worker in busy] + [worker.process.sentinel for worker in busy])
            for worker in busy:
                if worker.pipe not in ready and worker.process.sentinel not in ready:
                    continue
                position = worker.position
                assert position is not None  # a busy worker has a task
                error, counts = self._answer(worker)
                if error is not None and attempts[position] < ATTEMPTS and not isinstance(error, Refusal):
                    waiting.appendleft(position)
                    continue
                outcome = Outcome(
                    tasks[position], counts=counts, error=error, seconds=time.monotonic() - worker.started
                )
                outcomes[position] = outcome
                watch(outcome)
        return [outcomes[position] for position in range(len(tasks))]

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def _hand_out(self, tasks: Sequence[Runnable], waiting: deque[int], attempts: list[int]) -> None:
        idle = [worker for worker in self._workers if worker.position is None]
        while waiting and (idle or len(self._workers) < self._limit):
            worker = idle.pop() if idle else self._start()
            position = waiting.popleft()
            try:
                worker.pipe.send(tasks[position])
            except OSError:  # it died while idle; nothing of the task was begun
                self._discard(worker)
                waiting.appendleft(position)
                continue
            worker.position, worker.started = position, time.monotonic()
            attempts[position] += 1

    def _answer(self, worker: _Worker) -> tuple[str | None, Counts]:
        """What the worker says of its task: an error or counts. A dead worker's task gets an error that names the
        signal."""
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(timeout=5)
            code = worker.process.exitcode
            self._discard(worker)
            how = (
                f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
            )
            return f"its worker {how}; if memory ran out, lower split_bytes or --workers", {}
        worker.position = None
        if isinstance(answer, StorageError | UsageError):
            self.close()
            raise answer
        if isinstance(answer, str):
            return answer, {}
        return None, answer

    def _start(self) -> _Worker:
        """A new worker.

        Raises:
            CorpusmillError: if the system lets none be started.
        """
        for attempt in range(START_ATTEMPTS):
            try:
                return self._started()
            except (EOFError, OSError) as error:
                # The fork server was killed just when it was asked. Once it is seen to be dead, another is started.
                reason = error
                time.sleep(0.1 * (attempt + 1))
        raise CorpusmillError(
            f"no worker can be started ({type(reason).__name__}: {reason}); see to memory and open files, then run the "
            "same command again"
        ) from reason

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        lifeline, alive = self._context.Pipe(duplex=False)
        _start_fork_server()
        process = self._context.Process(target=serve, args=(theirs, lifeline), daemon=True)
        process.start()
        theirs.close()
        lifeline.close()
        worker = _Worker(process, ours, alive)
        self._workers.append(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.stop()


def _start_fork_server() -> None:
    """Starts the process that workers are forked from, with Ctrl-C blocked, as it will be in each of them.

    Ctrl-C goes to every process of the terminal's group, and a worker that met it before `serve` would end with a
    traceback. The parent decides what comes of it.
    """
    resource_tracker.ensure_running()  # by itself it would unblock the signal again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def serve(pipe: Connection, lifeline: Connection) -> None:
    """A worker's life: tasks in, counts or an error out, until the parent is gone."""
    _end_with_parent(lifeline)
    _use_one_core()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            answer = task.run()
        except (StorageError, UsageError) as error:
            answer = error
        except CorpusmillError as error:
            answer = Refusal(error)
        except Exception:  # noqa: BLE001  (whatever it is, it is this task's result, and is reported)
            answer = traceback.format_exc(limit=-6)
        pipe.send(answer)


def _end_with_parent(lifeline: Connection) -> None:
    """Has the system end this process by SIGIO when the parent's end of the pipe closes.

    A thread that waited for that would need the interpreter's lock, which native code may hold for seconds; by then the
    next run may be at work on the same files.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if lifeline.poll():  # it was gone before
        os._exit(1)


def _use_one_core() -> None:
    """One worker is one core: the libraries' own threads would fight over it."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
