"""Tasks: pure functions from named inputs and parameters to files, which can be run twice.

A task writes each output beside its target and renames it; then it writes its marker, which holds its fingerprint, the
size of each output (the hash of those that others may replace) and the counts that it returned. A task whose marker
carries the fingerprint that the plan expects, and whose outputs are there as it says, is done. So a changed recipe can
never meet old output, and a killed run goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, Protocol

from corpusmill.documents.shards import atomic_text, sha256_of

Counts = dict[str, Any]
"""What a task says of its work: JSON data, kept in its marker."""


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work.

    key           unique in a run, such as `web/phase-1/part-crawl-8f3b2a1c9d0e4f55`
    function      `module:name` of a function that takes `arguments` and returns `Counts`
    arguments     picklable
    outputs       every file that the function writes
    marker        the JSON file that says that it is done
    fingerprint   of everything that the outputs depend on
    size          bytes of input, for progress
    replaced      outputs that others look at, too, such as an index: the function puts the new one in the place of an
                  older one, which stays until then
    """

    key: str
    function: str
    arguments: Any
    outputs: tuple[Path, ...]
    marker: Path
    fingerprint: str
    size: int = 0
    replaced: tuple[Path, ...] = ()

    def done(self) -> Counts | None:
        """The counts of the finished task; None if it is not done, or was done from other inputs."""
        try:
            kept = json.loads(self.marker.read_text())
            sizes = kept["outputs"]
            if kept["fingerprint"] != self.fingerprint or sizes != self._sizes():
                return None
            counts: Counts = kept["counts"]
            return counts
        except (OSError, ValueError, KeyError, TypeError):
            # A marker that is absent, or that somebody else wrote, means: not done.
            return None

    def run(self) -> Counts:
        """Does the work in this process. What an older fingerprint left is removed first."""
        self.forget()
        module, _, name = self.function.partition(":")
        counts: Counts = getattr(import_module(module), name)(self.arguments)
        marker = {"task": self.key, "fingerprint": self.fingerprint, "outputs": self._sizes(), "counts": counts}
        atomic_text(self.marker, json.dumps(marker, indent=1))
        return counts

    def _sizes(self) -> dict[str, int | str]:
        """Bytes of each output, by its path from the marker's folder: a run's folder can be moved."""
        found: dict[Path, int | str] = {path: path.stat().st_size for path in self.outputs}
        found |= {path: sha256_of(path) for path in self.replaced}
        return {os.path.relpath(path, self.marker.parent): state for path, state in found.items()}

    def forget(self) -> None:
        """Removes the marker first, then the outputs: half a removal reads as not done."""
        for path in (self.marker, *self.outputs):
            path.unlink(missing_ok=True)


class Runnable(Protocol):
    """What an executor needs of a task. It is sent to a worker, so it can be pickled."""

    @property
    def key(self) -> str: ...

    @property
    def size(self) -> int: ...

    def run(self) -> Counts: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. `error` is None where it ended well; `reused` where an earlier run had done it."""

    task: Any  # the Runnable; a Task wherever a plan made it
    counts: Counts = field(default_factory=dict)
    error: str | None = None
    reused: bool = False
    seconds: float = 0.0


def fingerprint(*parts: Any) -> str:
    """64 bits of SHA-256 over the canonical JSON of `parts`; dataclasses count with their class and fields."""
    text = json.dumps(parts, default=_plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {"is": type(value).__qualname__, **fields}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} cannot enter a fingerprint")
