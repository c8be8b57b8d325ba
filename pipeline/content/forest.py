"""Gradient-boosted trees as arrays, and the kernel that walks them.

A forest is trained by tools/train_content_model.py (scikit-learn's histogram gradient boosting; Friedman 2001, "Greedy
Function Approximation") and kept as plain arrays in an .npz file: no pickle, no scikit-learn at run time.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import InputError
from corpusmill.pipeline.content.features import CONTEXT_NAMES, NAMES, WORD_BITS

SHIPPED = Path(__file__).with_name("model.npz")
KIND = "corpusmill content 1"
_ARRAYS = {"roots": np.int32, "column": np.int16, "threshold": np.float32, "left": np.int32, "right": np.int32}
_PASSES = {"first": NAMES, "second": CONTEXT_NAMES}


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees as arrays. A node is a place in them; a leaf has column -1 and its value as the threshold."""

    base: float
    roots: NDArray[np.int32]
    column: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    _depths: NDArray[np.int32] = field(init=False, repr=False)
    """Of each tree, the steps to its deepest leaf."""
    _columns: NDArray[np.int16] = field(init=False, repr=False)
    """As `column`, but 0 for a leaf."""
    _next: NDArray[np.int32] = field(init=False, repr=False)
    """Where a node leads: [right, left] of each, and of a leaf itself twice."""

    def __post_init__(self) -> None:
        nodes = np.arange(len(self.column), dtype=np.int32)
        leaf = self.column < 0
        following = np.stack([np.where(leaf, nodes, self.right), np.where(leaf, nodes, self.left)], axis=1)
        steps = np.zeros(len(nodes), np.int32)
        for node in np.flatnonzero(~leaf)[::-1]:  # children stand behind their parents
            steps[node] = 1 + max(steps[self.left[node]], steps[self.right[node]])
        object.__setattr__(self, "_depths", frozen(steps[self.roots]))
        object.__setattr__(self, "_columns", frozen(np.maximum(self.column, 0)))
        object.__setattr__(self, "_next", frozen(following.ravel().astype(np.int32)))

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-odds of each row."""
        totals = np.full(len(rows), self.base)
        _walk(frozen(rows), self.roots, self._depths, self._columns, self.threshold, self._next, totals)
        return frozen(totals.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Model:
    """A lexicon (log-odds of words, see `features.features`) and the trees of both passes."""

    lexicon: NDArray[np.float32]
    first: Forest
    second: Forest


def save(path: Path, model: Model) -> None:
    """Writes a model."""
    arrays: dict[str, Any] = {"kind": np.array(KIND), "lexicon": model.lexicon.astype(np.float16)}
    for name, columns in _PASSES.items():
        forest: Forest = getattr(model, name)
        arrays[f"{name}.columns"] = np.array(columns)
        arrays[f"{name}.base"] = np.array(forest.base)
        arrays |= {f"{name}.{array}": getattr(forest, array).astype(kind) for array, kind in _ARRAYS.items()}
    np.savez_compressed(path, **arrays)


def load(path: Path = SHIPPED) -> Model:
    """Reads a model, once a process.

    Raises:
        InputError: if it is missing, truncated, not such a model, or made for other features.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: the content model cannot be read: {error.strerror}") from error
    return _loaded(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _loaded(path: Path, size: int, modified: int) -> Model:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no content model, or a damaged one: {error}") from error
    if str(arrays.get("kind")) != KIND:
        raise InputError(f'{path}: no content model of kind "{KIND}"; tools/train_content_model.py makes one')
    lexicon = arrays.get("lexicon")
    if lexicon is None or lexicon.shape != (1 << WORD_BITS,):
        raise InputError(f"{path}: the content model lacks its lexicon of {1 << WORD_BITS:,} words")
    first, second = (_forest(path, arrays, name, columns) for name, columns in _PASSES.items())
    return Model(frozen(lexicon.astype(np.float32)), first, second)


def _forest(path: Path, arrays: dict[str, NDArray[Any]], name: str, columns: tuple[str, ...]) -> Forest:
    missing = [key for key in (*_ARRAYS, "columns", "base") if f"{name}.{key}" not in arrays]
    if missing:
        raise InputError(f"{path}: the content model lacks {name}.{missing[0]}")
    if tuple(arrays[f"{name}.columns"].tolist()) != columns:
        raise InputError(f"{path}: the content model was trained on other features; train it anew")
    found = {key: arrays[f"{name}.{key}"].astype(kind) for key, kind in _ARRAYS.items()}
    nodes = len(found["column"])
    inner = found["column"] >= 0
    place = np.arange(nodes)
    sound = (
        all(len(found[key]) == nodes for key in ("threshold", "left", "right"))
        and nodes > 0
        and bool((found["column"] < len(columns)).all())
        and bool(((found["roots"] >= 0) & (found["roots"] < nodes)).all())
        # Children stand behind their parents, so a walk ends.
        and all(bool(((found[side] > place) & (found[side] < nodes))[inner].all()) for side in ("left", "right"))
    )
    if not sound:
        raise InputError(f"{path}: the trees of the content model point outside of it")
    return Forest(base=float(arrays[f"{name}.base"]), **{key: frozen(array) for key, array in found.items()})


@inlined
def _down(
    rows: NDArray[np.float32],
    row: int,
    columns: NDArray[np.int16],
    threshold: NDArray[np.float32],
    following: NDArray[np.int32],
    node: int,
) -> int:
    """The node after `node` on a row's way. Places are unsigned: a signed one is asked each time if it is negative."""
    left = rows[row, uint64(columns[node])] <= threshold[node]
    return uint64(following[(node << uint64(1)) + uint64(left)])


@kernel
def _walk(
    rows: NDArray[np.float32],
    roots: NDArray[np.int32],
    depths: NDArray[np.int32],
    columns: NDArray[np.int16],
    threshold: NDArray[np.float32],
    following: NDArray[np.int32],
    totals: NDArray[np.float64],
) -> None:
    """Adds each tree's value to each row's total.

    Four rows go down a tree side by side, each as many steps as the tree is deep (a leaf leads to itself): there is no
    branch to be guessed, and none waits for another's reads.
    """
    end = uint64(len(rows))
    for tree in range(len(roots)):
        root, depth = uint64(roots[tree]), depths[tree]
        row = uint64(0)
        while row + uint64(4) <= end:
            second, third, fourth = row + uint64(1), row + uint64(2), row + uint64(3)
            a = b = c = d = root
            for _ in range(depth):
                a = _down(rows, row, columns, threshold, following, a)
                b = _down(rows, second, columns, threshold, following, b)
                c = _down(rows, third, columns, threshold, following, c)
                d = _down(rows, fourth, columns, threshold, following, d)
            totals[row] += threshold[a]
            totals[second] += threshold[b]
            totals[third] += threshold[c]
            totals[fourth] += threshold[d]
            row += uint64(4)
        while row < end:
            a = root
            for _ in range(depth):
                a = _down(rows, row, columns, threshold, following, a)
            totals[row] += threshold[a]
            row += uint64(1)
