"""Errands for executors, in a module that worker processes can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import InputError, StorageError


@dataclass(frozen=True)
class Errand:
    """Does `what` and answers with its number; `notes` counts the attempts."""

    number: int
    what: str
    notes: Path
    size: int = 0

    @property
    def key(self) -> str:
        return f"{self.what}-{self.number}"

    def attempts(self) -> int:
        return len(list(self.notes.glob(f"{self.key}.*")))

    def run(self) -> dict[str, Any]:
        attempt = self.attempts() + 1
        (self.notes / f"{self.key}.{attempt}").touch()
        match self.what:
            case "die-once" if attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                os._exit(7)
            case "fail":
                raise ValueError(f"no luck with {self.number}")
            case "fail-once" if attempt == 1:
                raise OSError("the store hiccupped")
            case "full":
                raise StorageError("disk is full")
            case "unusable":
                raise InputError("model.npz: is no model")
            case "sleep":
                time.sleep(0.2)
        return {"number": self.number, "pid": os.getpid()}
