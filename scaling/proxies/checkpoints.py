"""Checkpoints of a training run: one file, whole or absent, read without running anything that is in it.

`checkpoint.pt` is torch's own zip of tensors and plain data, written beside and renamed, and read with
`weights_only=True`, which knows no other classes: a file from elsewhere cannot run code. It says of which run it is;
one of another run (other options, documents or seed) is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import atomic_file
from corpusmill.scaling.contract import Training

NAME = "checkpoint.pt"


def identity(options: Mapping[str, Any], training: Training) -> str:
    """A hash of all that decides how a run goes."""
    train = training.train
    told = {
        "options": dict(options),
        "tokens": training.tokens,
        "vocab_size": training.vocab_size,
        "eos_id": training.eos_id,
        "seed": training.seed,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for array in (train.ids, train.offsets):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save(folder: Path, run: str, state: Mapping[str, Any]) -> None:
    """Writes the checkpoint of the run with this identity in one step."""
    with atomic_file(folder / NAME) as stream:
        torch.save({"run": run, **state}, stream)


def load(folder: Path, run: str) -> dict[str, Any] | None:
    """The state that the run left; None if there is none, or if it is another run's.

    Raises:
        DamagedRunError: if the file is not what `save` writes.
    """
    path = folder / NAME
    if not path.exists():
        return None
    damaged = f"{path}: is no checkpoint of a training run; remove it, and the run begins anew"
    if not zipfile.is_zipfile(path):  # torch would try to read it as an older format
        raise DamagedRunError(damaged)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["run"]
    except (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedRunError(damaged) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DamagedRunError(damaged) from error
    return state if found == run else None


def remove(folder: Path) -> None:
    """Removes the checkpoint, if there is one."""
    (folder / NAME).unlink(missing_ok=True)
