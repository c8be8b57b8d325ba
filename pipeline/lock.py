"""One command at a time in a folder that it writes: the lock goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from corpusmill.documents.errors import StorageError, UsageError
from corpusmill.documents.shards import storage_errors


@contextmanager
def locked(folder: Path, name: str, *, taken: str, unusable: str) -> Iterator[None]:
    """Holds a folder, which is made if need be, by the file `.lock` in it, which names the process.

    Args:
        name: what messages call the folder.
        taken: the message of who finds it held; `{process}` in it is the holder's number.
        unusable: that of who cannot make or write it; `{reason}` in it is the system's word.

    Raises:
        UsageError: if another process holds it.
        StorageError: if it cannot be made or written.
    """
    with _lock_file(folder, name, unusable) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = stream.read().decode("ascii", "replace").strip() or "unknown"
            raise UsageError(f"{name}: " + taken.format(process=process)) from error
        with storage_errors(folder):
            stream.truncate()
            stream.write(str(os.getpid()).encode())
        yield


def _lock_file(folder: Path, name: str, unusable: str) -> IO[bytes]:
    """The lock's file. Unbuffered: a full disk is met here, not later."""
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            return open(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
    except OSError as error:
        raise StorageError(f"{name}: " + unusable.format(reason=error.strerror)) from error
