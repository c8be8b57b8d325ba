"""Drops documents whose text another document has, too, after a named normalisation.

Two documents are duplicates when two independent 64-bit hashes of the normalised text and its length agree. For 10^9
different texts the chance that any two are taken for one is below 2e-21. One document of each set stays (`keep`).
Not so with `folded`: there both hashes run over one 64-bit hash of each word. Among 10^9 different words the chance
that any two have the same is .03, and texts that differ in such words alone are then taken for one.

Sidecar, one row for each document:

    id       string
    first    uint64   hash of the normalised text
    second   uint64   another
    length   int32    of the normalised text: bytes; with `folded`, words
    bytes    int32    of the text as it stands
    quality  float32
                      and what else `keep` looks at (dedup/keep.py)

    source   string   with `update` or `precedence` alone, for the index part that it writes (exact_index.py)
    url      string   the same

Documents that a part of an index has go first, whatever the `keep` order; the others are compared with one another.

`decide` is a query of duckdb, which spills to the workspace. For 10 million documents it takes at most 1 GB, besides
the decision itself (about 90 bytes for each document that goes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numba import uint64
from numpy.typing import NDArray

from corpusmill.dedup.contract import Step, StepFiles
from corpusmill.dedup.exact_index import exact_form, seek_exact, write_exact_part
from corpusmill.dedup.index import Form
from corpusmill.dedup.keep import Keep, accept_keep, keep_columns, keep_fields, keep_needs, keep_sql
from corpusmill.dedup.remembering import IndexedDeduplication
from corpusmill.dedup.seeking import (
    DOCUMENT_FIELDS,
    MATCHES,
    document_columns,
    seek_steps,
    seen_verdicts,
    sidecars_of,
    step_matches,
)
from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, SPACE
from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.ids import whole_ids
from corpusmill.documents.segmentation import decoded, mixed, step, width
from corpusmill.documents.shards import write_table
from corpusmill.documents.sidecars import (
    Sidecars,
    check_observed_once,
    decision,
    sidecar_counts,
    sidecar_database,
    sidecar_rows,
)

_SPACE = SPACE
_OTHER_MULTIPLIER = np.uint64(0xE7037ED1A0B428DB)
_OTHER_SEED = np.uint64(0xA0761D6478BD642F)


class ExactReason(StrEnum):
    SEEN_BEFORE = "seen_before"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, kw_only=True)
class ExactDedup(IndexedDeduplication):
    """Keeps one document of each set with the same normalised text."""

    name: ClassVar[str] = "exact_dedup"
    reasons: ClassVar[type[StrEnum]] = ExactReason
    judged_fields: ClassVar[frozenset[str]] = IndexedDeduplication.judged_fields | {"keep"}

    normalisation: Literal["none", "whitespace", "folded"] = "none"
    """What may differ. none: nothing, bytes are compared; whitespace: its kind and amount, and any at the ends; folded:
    white space, case and diacritics (the sequence of words, punctuation included, is compared)."""

    keep: Keep = "best_quality"
    """Which document stays: best_quality, longest, earliest, first_id, or {measure: …, order: ascending | descending};
    dedup/keep.py tells how ties end."""

    @property
    def sidecar(self) -> pa.Schema:
        return pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("first", pa.uint64(), nullable=False),
                pa.field("second", pa.uint64(), nullable=False),
                pa.field("length", pa.int32(), nullable=False),
                *keep_fields(self.keep),
                *(DOCUMENT_FIELDS if self.remembers else ()),
            ]
        )

    @property
    def form(self) -> Form:
        return exact_form(self.normalisation, self.version)

    def needs(self) -> Sequence[str]:
        return keep_needs(self.keep)

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        accept_keep(self.keep, needed)

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        first, second, length = self._fingerprints(batch)
        columns = [batch.documents.column("id"), pa.array(first), pa.array(second), pa.array(length)]
        columns += keep_columns(batch, self.keep)
        columns += document_columns(batch) if self.remembers else []
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def steps(self, rows: Sequence[int]) -> Sequence[Step]:
        return seek_steps(rows) if self.against or self.precedence else ()

    def run_step(
        self, step: str, task: int, *, sidecars: Sequence[Path], seen: Sequence[Path], done: StepFiles, target: Path
    ) -> None:
        nobody = pa.array([], pa.string())
        some = sidecars_of(sidecars, sidecar_counts(sidecars, self.sidecar), task)
        found = seek_exact(Sidecars(some, self.sidecar, nobody), seen, self.form)
        write_table(target, found.to_batches(), found.schema)

    def decide(
        self,
        sidecars: Sequence[Path],
        *,
        excluded: pa.StringArray,
        read_texts: ReadTexts,
        workspace: Path,
        done: StepFiles | None = None,
        seen: Sequence[Path] = (),
    ) -> Decision:
        if (documents := sidecar_rows(sidecars, self.sidecar)) == 0:
            return decision(VERDICTS.empty_table(), CLUSTERS.empty_table())
        matches = (
            seek_exact(Sidecars(sidecars, self.sidecar, excluded), seen, self.form)
            if done is None
            else step_matches(done, excluded, MATCHES)
        )
        known = seen_verdicts(matches, seen, ExactReason.SEEN_BEFORE, documents=documents)
        absent = whole_ids("documents that go before they are compared here", excluded, known["id"])
        with sidecar_database(sidecars, absent, workspace) as connection:
            connection.execute(_TWINS.format(order=keep_sql(self.keep)))
            check_observed_once(connection, "twins")
            verdicts = connection.sql(_GOING, params={"reason": str(ExactReason.DUPLICATE)}).to_arrow_table()
            clusters = connection.sql(_STAYING).to_arrow_table()
        return decision(pa.concat_tables([known, verdicts.cast(VERDICTS)]), clusters)

    def remember(
        self, sidecars: Sequence[Path], gone: pa.StringArray, folder: Path, *, seen: Sequence[Path] | None = None
    ) -> None:
        with self.new_part(folder, seen) as writer:
            write_exact_part(writer, sidecars, self.sidecar, gone)

    def _fingerprints(self, batch: TextBatch) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int32]]:
        if self.normalisation == "none":
            first, second = batch.document_hashes
            return first, second, np.diff(batch.offsets)
        first, second = np.empty(len(batch), np.uint64), np.empty(len(batch), np.uint64)
        length = np.empty(len(batch), np.int32)
        if self.normalisation == "whitespace":
            hash_spaced(batch.offsets, batch.text, CLASSES, first, second, length)
        else:
            hash_sequences(batch.words.firsts, batch.folded_hashes, first, second, length)
        return first, second, length


_TWINS = """
CREATE TEMP TABLE twins AS
WITH repeated AS (SELECT first, second, length FROM present GROUP BY ALL HAVING count(*) > 1)
SELECT id, first_value(id) OVER (same ORDER BY {order}) AS kept_id, count(*) OVER (same) AS cluster_size
FROM present SEMI JOIN repeated USING (first, second, length)
WINDOW same AS (PARTITION BY first, second, length)
"""
_GOING = "SELECT id, $reason AS reason, kept_id, 1::FLOAT AS similarity FROM twins WHERE id <> kept_id"
_STAYING = "SELECT id, cluster_size::INTEGER AS cluster_size FROM twins WHERE id = kept_id"


@kernel
def hash_spaced(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    length: NDArray[np.int32],
) -> None:
    """Hashes each text as if every run of white space in it were one space, and none stood at its ends."""
    for document in range(offsets.shape[0] - 1):
        one, two = uint64(0), uint64(_OTHER_SEED)
        taken = 0
        spaced = False
        position = offsets[document]
        while position < offsets[document + 1]:
            code = decoded(text, position)
            size = width(text[position])
            position += size
            if classes[code] & _SPACE:
                spaced = taken > 0
                continue
            if spaced:
                one, two = _taken_in(one, two, uint64(32))
                taken += 1
                spaced = False
            one, two = _taken_in(one, two, uint64(code))
            taken += size
        first[document], second[document], length[document] = mixed(one), mixed(two), taken


@kernel
def hash_sequences(
    firsts: NDArray[np.int32],
    words: NDArray[np.uint64],
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    length: NDArray[np.int32],
) -> None:
    """Hashes each document's sequence of word hashes."""
    for document in range(firsts.shape[0] - 1):
        one, two = uint64(0), uint64(_OTHER_SEED)
        for word in range(firsts[document], firsts[document + 1]):
            one, two = _taken_in(one, two, words[word])
        first[document], second[document] = mixed(one), mixed(two)
        length[document] = firsts[document + 1] - firsts[document]


@inlined
def _taken_in(one: np.uint64, two: np.uint64, symbol: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Both running hashes with one more symbol."""
    two = (two ^ symbol) * uint64(_OTHER_MULTIPLIER)
    return step(one, symbol), two ^ (two >> uint64(29))
