"""Where the estimate of an n-gram model keeps its arrays: in files of a folder, or in memory.

In files, the arrays are mapped, and the system decides what of them stays in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.shards import storage_errors


class Room:
    """Makes arrays: in files of `folder`, which somebody else removes; in memory where it is None."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._made = 0

    def zeros(self, kind: type[np.generic], size: int) -> NDArray[Any]:
        """Zeros to write to."""
        if (path := self._new_path()) is None:
            return np.zeros(size, kind)
        with storage_errors(path):
            return np.asarray(np.memmap(path, kind, "w+", shape=max(size, 1)))[:size]

    def stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array that is not changed any more."""
        column = self.column(array.dtype.type)
        column.add(array)
        return column.whole()

    def column(self, kind: type[np.generic]) -> Column:
        """An array that comes in parts."""
        return Column(self._new_path(), kind)

    def _new_path(self) -> Path | None:
        self._made += 1
        return None if self._folder is None else self._folder / f"array-{self._made:05d}"


class Column:
    """An array of unknown length that is written from its beginning to its end."""

    def __init__(self, path: Path | None, kind: type[np.generic]) -> None:
        self._path = path
        self._kind = kind
        self._parts: list[NDArray[Any]] = []
        self._length = 0

    def add(self, part: NDArray[Any]) -> None:
        """Takes a copy of `part`."""
        self._length += len(part)
        if self._path is None:
            self._parts.append(part.copy())
            return
        with storage_errors(self._path), open(self._path, "ab") as file:
            part.tofile(file)

    def whole(self) -> NDArray[Any]:
        """All of it. It is asked for once, at the end."""
        if self._path is not None and self._length:
            return np.asarray(np.memmap(self._path, self._kind, "r"))
        parts, self._parts = self._parts, []
        return np.concatenate(parts) if parts else np.empty(0, self._kind)
