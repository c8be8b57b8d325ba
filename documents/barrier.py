"""The contract of barriers: stages that must see the whole source before they can judge.

A barrier observes each batch of documents and writes a small sidecar row for each (hashes, signatures, scores). When
all are there, it decides from the sidecars who goes, what is cut out of whom, and what the ledger is told of them.
Texts are read again only for the few documents that it asks for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from corpusmill.documents.batch import TextBatch

VERDICTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # a document that goes
        pa.field("reason", pa.string(), nullable=False),  # a value of the barrier's `reasons`
        pa.field("kept_id", pa.string()),  # the twin that stays in its place
        pa.field("similarity", pa.float32()),  # to the twin; 1 for exact duplicates
    ]
)
CLUSTERS = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("cluster_size", pa.int32(), nullable=False)]
)
"""For each document that stays and had twins: how many documents it stands for, itself included."""
EDITS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),  # first byte, counted in the document's text as it was observed
        pa.field("end", pa.int32(), nullable=False),  # byte after the last
    ]
)
"""Passages to cut out of documents that stay. They may overlap, and begin and end between characters."""

ReadTexts = Callable[[Sequence[str]], Iterator[TextBatch]]
"""Batches of the documents with these ids, in any order; used for the few pairs that sidecars cannot settle."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a barrier decided: rows of VERDICTS, CLUSTERS and EDITS, each sorted by id.

    `measures` has `id` and the columns of the barrier's `measures`, one row for each document of which there is
    something to say, whether it stays or goes.
    """

    verdicts: pa.Table
    clusters: pa.Table = field(default_factory=CLUSTERS.empty_table)
    measures: pa.Table | None = None
    edits: pa.Table = field(default_factory=EDITS.empty_table)


class Barrier(ABC):
    """Subclasses are `@dataclass(frozen=True, kw_only=True)`; their fields are the recipe's keys."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reasons: ClassVar[type[StrEnum]]
    sidecar: ClassVar[pa.Schema]
    """Begins with `id` (string). Fixed by the class or, where it depends on parameters, a property."""

    measures: ClassVar[pa.Schema] = pa.schema([])
    """What `decide` says of documents; the ledger has each as `<stage>.<measure>`."""

    judged_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that `decide` reads and `observe` does not: when only they change, sidecars stay good."""

    def prepare(self) -> None:
        """Checks parameters that need more than their types, before any work starts (RecipeError)."""

    def files(self) -> Sequence[Path]:
        """Files whose content the result depends on; they enter the fingerprint."""
        return ()

    def needs(self) -> Sequence[str]:
        """Measures of earlier stages that `observe` reads in `batch.measured`, such as `perplexity.perplexity`."""
        return ()

    def columns(self) -> Sequence[str]:
        """Document columns that `observe` cannot do without and that an earlier stage must fill, such as `quality`."""
        return ()

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        """Checks the types of what it `needs`, by name, before any work starts (RecipeError)."""

    @abstractmethod
    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        """One sidecar row for each document."""

    @abstractmethod
    def decide(
        self, sidecars: Sequence[Path], *, excluded: pa.StringArray, read_texts: ReadTexts, workspace: Path
    ) -> Decision:
        """Who goes. The same whatever the order of sidecars and rows.

        Args:
            sidecars: Parquet files of `sidecar` rows.
            excluded: ids that an earlier barrier of the same phase has dropped; they count as absent.
            read_texts: reads documents again by id.
            workspace: an empty folder for what does not fit in memory; the caller removes it.
        """
