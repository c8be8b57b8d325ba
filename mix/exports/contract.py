"""What a format of export is: writers that take a shard's documents batch by batch, and a last step that closes it.

An export goes through the dataset shard by shard. A shard's documents are read (and tokenised) once and pushed to the
writers of every format, in the dataset's order; with `--by`, each source or component has a writer of its own. When all
shards are written, `finish` makes what belongs to the whole (indexes, joined files) and says what to paste into the
trainer's configuration.

    OUT/<format>/export.json                        what this is an export of; in the end its files and lines to paste
    OUT/<format>/<split>/<stem><suffix>             stem: that of the dataset's shard, `train-00000-of-00008`
    OUT/<format>/<split>/<group>/<stem><suffix>     with `--by`
    OUT/<format>/.parts/...                         the same below it: files that `finish` joins; removed at the end
    OUT/<format>/.shards/<stem>.json                which shards are written; removed at the end

A shard in which a group has no document has no writer for it, so no empty file is ever written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.shards import atomic_file

By = Literal["source", "component"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The tokens of an export.

    name          of the tokenizer, for people
    fingerprint   SHA-256 of the vocabulary's content
    vocab_size    ids are below it
    eos           the token that ends every document, and `eos_id`
    """

    name: str
    fingerprint: str
    vocab_size: int
    eos: str
    eos_id: int

    @property
    def id_type(self) -> type[np.uint16 | np.uint32]:
        """The smaller of the types that datatrove and OLMo-core read that holds every id."""
        return np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    @property
    def id_bytes(self) -> int:
        return np.dtype(self.id_type).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What all writers of a format share.

    folder            the format's own, `OUT/<format>`
    dataset           the dataset's name
    by                what the documents are parted by, if they are
    columns           the dataset's columns, as its shards declare them
    tokens            None where no format needs them
    sequence_length   tokens that the trainer's model sees at a time, for formats whose samples are cut to it
    """

    folder: Path
    dataset: str
    by: By | None
    columns: pa.Schema
    tokens: TokenFacts | None
    sequence_length: int = 2048

    @property
    def token_facts(self) -> TokenFacts:
        """`tokens`, for formats that need them."""
        if self.tokens is None:
            raise TypeError(f"{self.folder}: the export has no tokens, and its format needs them")
        return self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one writer writes: the documents of one group (None: all of them) in one shard of the dataset.

    folder   where its files go, `OUT/<format>/<split>` or `OUT/<format>/<split>/<group>`
    parts    the same place below `OUT/<format>/.parts`, for files that only `finish` reads
    stem     of the dataset's shard: names of files begin with it
    """

    split: str
    group: str | None
    folder: Path
    parts: Path
    stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Some documents, in order; a few megabytes of text.

    rows      the dataset's columns (`Export.columns`)
    numbers   each document's row in the dataset's shard
    tokens    the ids of all documents, one after another, each document's end marked by one EOS; of `id_type`.
              None where no format needs tokens
    ends      for each document, where it ends in `tokens`, EOS included
    """

    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
    tokens: NDArray[np.unsignedinteger[Any]] | None = None
    ends: NDArray[np.int64] | None = None

    def tokenised(self) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.int64]]:
        """`tokens` and `ends`, for formats that need them."""
        if self.tokens is None or self.ends is None:
            raise TypeError("the documents have no tokens, and their format needs them")
        return self.tokens, self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a writer wrote.

    documents, text_bytes, tokens   counted by the export; tokens with EOS, 0 where there are none
    files                           path from the format's folder -> bytes
    facts                           what the writer's `end` returned: JSON data
    """

    stem: str
    documents: int
    text_bytes: int
    tokens: int
    files: Mapping[str, int]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """What `finish` gets for each split and group: its writers' work in the order of the shards, never empty."""

    split: str
    name: str | None
    folder: Path
    parts: Path
    written: tuple[Written, ...]

    @property
    def documents(self) -> int:
        return sum(part.documents for part in self.written)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.written)

    @property
    def text_bytes(self) -> int:
        return sum(part.text_bytes for part in self.written)


def in_order(splits: Collection[str]) -> list[str]:
    """Splits as people look for them.

    >>> in_order(["heldout_web", "validation", "train"])
    ['train', 'validation', 'heldout_web']
    """
    usual = ("train", "validation")
    return sorted(splits, key=lambda split: (usual.index(split) if split in usual else len(usual), split))


def shares(groups: Sequence[Group]) -> dict[str, dict[Group, float]]:
    """For each split its groups with their shares of its tokens.

    With these weights a trainer that reads as many tokens as the split has reads every group about once.
    """
    own = {split: [group for group in groups if group.split == split] for split in in_order({g.split for g in groups})}
    totals = {split: sum(group.tokens for group in found) for split, found in own.items()}
    return {split: {group: group.tokens / totals[split] for group in found} for split, found in own.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What `finish` made.

    files   paths of the files that it wrote (those of the writers are known)
    paste   lines for the trainer's configuration, with absolute paths, as they are shown to people
    """

    files: tuple[Path, ...] = ()
    paste: tuple[str, ...] = ()


class Writer(ABC):
    """Writes the documents of one `Place`. As a context manager: its files stand only if the block ended well."""

    def __init__(self, place: Place, export: Export) -> None:
        self.place = place
        self.export = export
        self.paths: list[Path] = []
        self.facts: dict[str, Any] = {}
        self._open = ExitStack()

    def file(self, suffix: str, *, part: bool = False) -> IO[bytes]:
        """Opens `<stem><suffix>` for writing, among the parts or where it stays. Call it from `__init__`, `write` or
        `end`; it is closed, synced and renamed for you.

        Raises:
            StorageError: if the disk is full, or nothing can be written there.
        """
        path = (self.place.parts if part else self.place.folder) / f"{self.place.stem}{suffix}"
        stream = self._open.enter_context(atomic_file(path))
        self.paths.append(path)
        return stream

    @abstractmethod
    def write(self, documents: Documents) -> None:
        """Writes the next documents; called at least once."""

    def end(self) -> dict[str, Any]:
        """Writes what comes after the last document. Returns JSON data for `finish`."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self.facts = self.end()
            except BaseException as failure:
                self._open.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._open.__exit__(kind, error, trace)


class Format(ABC):
    """One trainer's files. It has no state: what it needs it is given."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Goes up when the files change; an older export is then made anew."""
    needs_tokens: ClassVar[bool] = False
    cuts_sequences: ClassVar[bool] = False
    """Whether its files depend on `Export.sequence_length`."""

    @abstractmethod
    def writer(self, place: Place, export: Export) -> Writer:
        """A writer for the documents of one group in one shard."""

    @abstractmethod
    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        """Writes what belongs to the whole. It may be called again after a kill, with the same groups, which come split
        by split (`in_order`), then by name.

        Raises:
            StorageError: if the disk is full.
        """
