"""What lies behind the words of a command, as far as they name files.

A trainer that was edited gives other losses under the same command. So a command is taken for the same only while the
files that its words name have the same content. What those files import or read in turn, nobody sees.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from corpusmill.documents.shards import sha256_of

LARGEST = 64 << 20
"""Bytes of a file that is known by its content; a larger one is known by its size alone."""


def named_files(words: Sequence[str]) -> dict[str, str]:
    """Word -> the SHA-256 of the file that it names, or how large the file is if that is more than `LARGEST` or it may
    not be read. The first word is looked for as a shell would; of `--config=FILE`, the file counts.

    >>> list(named_files(["sh", "-c", "exit"]))
    ['sh']
    """
    found = {}
    for place, word in enumerate(words):
        paths = (word, word.partition("=")[2]) if place else (shutil.which(word) or "",)
        for path in paths:
            if (state := _state(path)) is not None:
                found[word] = state
    return found


def _state(path: str) -> str | None:
    try:
        there = os.stat(path)
    except (OSError, ValueError):  # no path at all, such as a program in one word
        return None
    if not stat.S_ISREG(there.st_mode):
        return None
    if there.st_size > LARGEST or not os.access(path, os.R_OK):
        return f"{there.st_size} bytes"
    return _content(path, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=256)
def _content(path: str, size: int, modified: int) -> str:
    """Kept, since every cell of a grid asks."""
    return sha256_of(Path(path))
