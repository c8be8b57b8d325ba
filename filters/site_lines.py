"""site_lines: measures how much of a page are lines that its site repeats on other pages: menus, notices, footers.

A line is **repeated** if it stands on at least `min_pages` pages of its host, and on at least `min_share` of them.
Lines are compared as CCNet compares paragraphs (Wenzek et al. 2020, arXiv:1911.00359, section 3.2): in lower case and
without diacritics and punctuation. Lines without a word do not count.

Differs from CCNet: repetition is counted within a host and by its share of pages, so that a quote or a song that many
sites have is no boilerplate; digits are kept, since "Chapter 3" and "Chapter 4" head what their pages have of their
own; nothing is cut: it is a measure, with a rule that is off by default.

The host is that of `url`, in lower case, without user, port and "www."; documents without one are taken for pages of
one site, their source. Duplicate pages make all their lines repeated: remove duplicates first.

It is a barrier. Sidecar, one row for each document:

    id          string
    host        string
    lines       list<uint64>   hashes of the lines with a word, in order
    characters  list<int32>    code points of each

`decide` is a query of duckdb, which spills to the workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.barrier import VERDICTS, Barrier, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.hosts import hosts
from corpusmill.documents.sidecars import check_observed_once, dropped, sidecar_database, sidecar_rows
from corpusmill.documents.unit_hashes import unit_hashes

_MEMORY_LIMIT = "1GB"  # of duckdb's buffers


class Reason(StrEnum):
    REPEATED_LINES = "repeated_lines"


@dataclass(frozen=True, kw_only=True)
class SiteLines(Barrier):
    """Measures the share of a page's lines and characters that its site repeats, and drops above a share if asked."""

    name: ClassVar[str] = "site_lines"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("pages", pa.int64()),  # of the host; this and the others null where they are below `min_pages`
            pa.field("repeated_lines", pa.float64()),  # share of the lines with a word; null where there are none
            pa.field("repeated_characters", pa.float64()),  # share of the characters of these lines
        ]
    )
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("host", pa.string(), nullable=False),
            pa.field("lines", pa.list_(pa.uint64()), nullable=False),
            pa.field("characters", pa.list_(pa.int32()), nullable=False),
        ]
    )
    judged_fields: ClassVar[frozenset[str]] = frozenset({"min_pages", "min_share", "max_repeated_characters"})

    min_pages: int = 5
    """Pages of a host that must have a line; hosts with fewer are not measured."""
    min_share: float = 0.1
    """Share of the host's pages that must have a line."""
    max_repeated_characters: float | None = None
    """Drops pages above this share of repeated characters; None: measures only."""

    def __post_init__(self) -> None:
        if self.min_pages < 2:
            raise RecipeError(f"site_lines.min_pages: {self.min_pages} must be at least 2; one page repeats nothing")
        for name in ("min_share", "max_repeated_characters"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise RecipeError(f"site_lines.{name}: {share} is no share; use 0 to 1")

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        lines = batch.lines
        hashes, words = unit_hashes(batch, lines)
        wordy = words > 0
        firsts = np.concatenate(([0], np.cumsum(wordy)))[lines.firsts].astype(np.int32)
        bounds = pa.array(firsts)
        columns = [
            batch.documents.column("id"),
            hosts(batch.documents),
            pa.ListArray.from_arrays(bounds, pa.array(hashes[wordy])),
            pa.ListArray.from_arrays(bounds, pa.array(lines.characters[wordy])),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def decide(
        self, sidecars: Sequence[Path], *, excluded: pa.StringArray, read_texts: ReadTexts, workspace: Path
    ) -> Decision:
        if sidecar_rows(sidecars, self.sidecar) == 0:
            nothing = pa.schema([VERDICTS.field("id"), *self.measures]).empty_table()
            return Decision(VERDICTS.empty_table(), measures=nothing)
        with sidecar_database(sidecars, excluded, workspace, memory_limit=_MEMORY_LIMIT) as connection:
            check_observed_once(connection)
            connection.execute(_HOSTS.format(pages=self.min_pages))
            connection.execute(_REPEATED.format(pages=self.min_pages, share=self.min_share))
            measures = connection.sql(_MEASURES).to_arrow_table()
        measures = measures.cast(pa.schema([VERDICTS.field("id"), *self.measures]))
        return Decision(self._verdicts(measures), measures=measures)

    def _verdicts(self, measures: pa.Table) -> pa.Table:
        if self.max_repeated_characters is None:
            return VERDICTS.empty_table()
        above = pc.fill_null(pc.greater(measures["repeated_characters"], self.max_repeated_characters), False)
        return dropped(measures.filter(above)["id"], Reason.REPEATED_LINES)


_HOSTS = """
CREATE TEMP TABLE hosts AS SELECT host, count(*) AS pages FROM present GROUP BY host HAVING count(*) >= {pages}
"""
_REPEATED = """
CREATE TEMP TABLE repeated AS
WITH standing AS (SELECT host, pages, unnest(list_distinct(lines)) AS line FROM present JOIN hosts USING (host))
SELECT host, line FROM standing GROUP BY host, pages, line
HAVING count(*) >= {pages} AND count(*) >= {share}::DOUBLE * pages
"""
# Sums of integers, so that the order in which they are added up does not matter.
_MEASURES = """
WITH all_lines AS (
    SELECT id, host, unnest(lines) AS line, unnest(characters) AS n FROM present SEMI JOIN hosts USING (host)
), sums AS (
    SELECT a.id, count(*) AS n_lines, sum(n) AS n_characters, count(r.line) AS n_repeated,
           sum(CASE WHEN r.line IS NOT NULL THEN n ELSE 0 END) AS n_repeated_characters
    FROM all_lines a LEFT JOIN repeated r ON r.host = a.host AND r.line = a.line GROUP BY a.id
)
SELECT p.id, pages, n_repeated::DOUBLE / n_lines AS repeated_lines,
       n_repeated_characters::DOUBLE / n_characters AS repeated_characters
FROM present p JOIN hosts USING (host) LEFT JOIN sums ON sums.id = p.id ORDER BY p.id
"""
