"""Any trainer as a proxy: a command that reads a folder of texts and writes a JSON file of losses.

    proxies:
      ours:
        kind: command
        command: python train.py --data {dataset} --seed {seed} --tokens {tokens} --losses {out}
        timeout: 7200
        version: 1

scaling/proxies/command_dataset.py says what lies in `{dataset}`, scaling/proxies/command_losses.py what is to be
written to `{out}`.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.documents.printable import printable_line
from corpusmill.scaling.contract import Cost, Trained, Training
from corpusmill.scaling.proxies import supervised
from corpusmill.scaling.proxies.command_dataset import written
from corpusmill.scaling.proxies.command_files import named_files
from corpusmill.scaling.proxies.command_losses import TrainerError, read_losses

DATASET, LOSSES = "dataset", "losses.json"
STDOUT, STDERR = "stdout.txt", "stderr.txt"
_NEEDED = ("dataset", "out")
_PLACEHOLDERS = (*_NEEDED, "seed", "tokens")
_LAST_BYTES, _LAST_LINES = 1024, 4  # of what a failed command said


@dataclass(frozen=True, kw_only=True)
class CommandProxy:
    """A command that trains and evaluates; scaling/contract.py's `Proxy`.

    It runs in the folder in which corpusmill runs, with its environment, without a shell. What it prints is kept in
    `stdout.txt` and `stderr.txt` of the cell's folder. Processes that it leaves behind are killed.

    Raises:
        RecipeError: if the command cannot be read, or has no place for the dataset or the losses.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    command: str
    """Words as a shell would read them. `{dataset}` (a folder), `{out}` (the file to write), `{seed}` and `{tokens}`
    (to train on, repetitions included) are put in; the first two must be there."""
    timeout: float | None = None
    """Seconds after which it is ended, and the cell fails. None: it may take as long as it likes."""
    version: str | int | float | None = None
    """Raise it when something changes that losses depend on and no word of the command names: cells of another version
    are not taken for those of this one."""
    keep: bool = False
    """Whether the dataset stays when the command has ended well. After a failure it always does."""

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise RecipeError(f"command: {self.command!r} cannot be read ({error}); close its quotation") from error
        if not words or not words[0]:
            raise RecipeError("command: is empty; give the command that trains")
        for name in re.findall(r"\{(\w+)\}", self.command):
            if name not in _PLACEHOLDERS and (near := nearest(name, _PLACEHOLDERS)):
                raise RecipeError(f"command: nothing is put in for {{{name}}}; did you mean {{{near}}}?")
        for name in _NEEDED:
            if f"{{{name}}}" not in self.command:
                raise RecipeError(f"command: {self.command!r} does not say where {{{name}}} goes; add it")
        if self.timeout is not None and not (math.isfinite(self.timeout) and self.timeout > 0):
            raise RecipeError(f"timeout: {self.timeout} must be above 0 seconds, or null for none")

    def run(self, training: Training) -> Trained:
        """Writes the dataset, runs the command, reads the losses, and removes the dataset.

        Raises:
            InputError: if the command is not found, or the tokenizer does not give texts back exactly.
            TrainerError: if the command fails or takes too long, a file that its words name changes meanwhile, or its
                losses cannot be used.
            StorageError: if the disk is full.
        """
        self.check()
        dataset, out = training.folder / DATASET, training.folder / LOSSES
        for left in (dataset, out):  # by an attempt that failed or was killed
            _remove(left)
        facts = written(training, dataset)
        words = shlex.split(self.command)
        named = named_files(words)
        begun = time.monotonic()
        self._call(self._words(training, dataset, out), training.folder)
        seconds = time.monotonic() - begun
        _check_unchanged(named, named_files(words))
        text_bytes = {domain: each["text_bytes"] for domain, each in facts["heldout"].items()}
        trained = read_losses(out, text_bytes, training.tokens)
        if not self.keep:
            _remove(dataset)
        return replace(trained, told={**trained.told, "command_seconds": seconds})

    def identity(self) -> dict[str, Any]:
        """The command, what its words name (scaling/proxies/command_files.py), and the version; all else behind it,
        nobody sees."""
        words = shlex.split(self.command)
        return {"command": self.command, "files": named_files(words), "version": self.version}

    def cost(self, tokens: int, vocab_size: int) -> Cost:
        """Nobody knows."""
        return Cost(seconds=None, flops=None)

    def check(self) -> None:
        """Looks for the command.

        Raises:
            InputError: if it is not there, or cannot be run.
        """
        name = shlex.split(self.command)[0]
        if shutil.which(name) is None:
            raise InputError(
                f"command: {name!r} is not found, or cannot be run; install it, name its path, or make it executable"
            )

    def _words(self, training: Training, dataset: Path, out: Path) -> list[str]:
        values = {
            "dataset": str(dataset.absolute()),
            "out": str(out.absolute()),
            "seed": str(training.seed),
            "tokens": str(training.tokens),
        }
        pattern = re.compile(r"\{(" + "|".join(values) + r")\}")
        return [pattern.sub(lambda match: values[match[1]], word) for word in shlex.split(self.command)]

    def _call(self, words: Sequence[str], folder: Path) -> None:
        again = f"its dataset is kept, so call it by hand: {shlex.join(words)}"
        try:
            code = supervised.run(words, folder / STDOUT, folder / STDERR, self.timeout)
        except TimeoutError as error:
            raise TrainerError(
                f"the command was ended after {self.timeout:g} s; {_last_words(folder)}; raise `timeout` or train on "
                f"less; {again}"
            ) from error
        except OSError as error:
            raise InputError(f"the command cannot be started ({error.strerror}): {shlex.join(words)}") from error
        if code:
            how = f"ended with {code}" if code > 0 else f"was killed by signal {-code}"
            raise TrainerError(f"the command {how}; {_last_words(folder)}; {again}")


def _remove(path: Path) -> None:
    """Removes a file or a folder; a trainer may have made one of the other, or removed it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Otherwise no cell would be found again: they are those of a command whose files are as they were."""
    changed = [word for word in {**before, **after} if before.get(word) != after.get(word)]
    if changed:
        raise TrainerError(
            f"{printable_line(changed[0])}: changed while the command ran, whose words name it, so its cells would be "
            "trained anew each time; let the command write where no word names it, such as beside {out}, and edit a "
            "trainer only when no sweep runs"
        )


def _last_words(folder: Path) -> str:
    """The last lines that a command wrote to stderr, or else to stdout, as one line: a sweep shows no more of each."""
    for name in (STDERR, STDOUT):
        with open(folder / name, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _LAST_BYTES))
            text = stream.read().decode(errors="replace")
        lines = [printable_line(line) for line in text.splitlines()]
        if last := [line for line in lines if line][-_LAST_LINES:]:
            return f"{folder / name} ends: {' / '.join(last)}"
    return f"it said nothing ({folder / STDERR})"
