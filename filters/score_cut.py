"""score_cut: keeps the part of a source whose scores are highest, lowest or between, by any measure taken before.

A score is a measure of an earlier stage of the same phase (`perplexity.perplexity`), or one of the document's columns
`quality` and `language_score`. What is kept is said in one of three ways:

    bounds        {measure: quality, min_score: 0.7}
    a share       {measure: quality, keep_share: 0.1, unit: words, direction: high}
    percentiles   {measure: perplexity.perplexity, percentiles: [30, 60], keep: [head, middle], by: language}

Shares after DCLM (Li et al. 2024, arXiv:2406.11794, section 4.4), which keeps the documents in the top tenth of its
classifier's scores. Differs from it: the tenth can be one of words or bytes, and is exact where scores are equal (by
id) instead of a threshold found on a sample.

Percentiles after CCNet (Wenzek et al. 2020, arXiv:1911.00359, section 3.4, with the numbers of its released code): per
language, the head below the 30th percentile of perplexity, the middle up to the 60th, the tail above. Differs from it:
the percentiles are those of the source itself, not of a sample of one dump. They count from the lowest score, so of a
measure where high is good the tail is the best.

Documents without a score (null) stay, and count for nothing.

Sidecar, one row for each document:

    id        string
    language  string    empty where all languages are cut together
    score     float64
    weight    int64     in `unit`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.barrier import VERDICTS, Barrier, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.sidecars import check_observed_once, dropped, sidecar_database, sidecar_rows
from corpusmill.filters.score_places import Unit, finite, numbers_only, place_query, weights

COLUMNS = ("quality", "language_score")
"""The document's own columns that can be cut by."""
Band = Literal["head", "middle", "tail"]
_BANDS: Mapping[int, tuple[Band, ...]] = {1: ("head", "tail"), 2: ("head", "middle", "tail")}


class Reason(StrEnum):
    LOW_SCORE = "low_score"
    HIGH_SCORE = "high_score"
    MIDDLE_SCORE = "middle_score"


@dataclass(frozen=True, kw_only=True)
class ScoreCut(Barrier):
    """Keeps the documents whose scores are in a part of the source's."""

    name: ClassVar[str] = "score_cut"
    reasons: ClassVar[type[StrEnum]] = Reason
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            pa.field("score", pa.float64()),
            pa.field("weight", pa.int64(), nullable=False),
        ]
    )
    measures: ClassVar[pa.Schema] = pa.schema([pa.field("place", pa.float64())])
    judged_fields: ClassVar[frozenset[str]] = frozenset(
        {"min_score", "max_score", "keep_share", "direction", "percentiles", "keep"}
    )

    measure: str = "quality"
    """`<stage>.<measure>` of an earlier stage between this one and the barrier before it, or a document column."""
    by: Literal["language"] | None = None
    """`language`: shares and percentiles are those of each language by itself; null: of the whole source."""
    unit: Unit = "documents"
    """What shares and percentiles count: documents, words, characters or bytes."""
    min_score: float | None = None
    """Scores below are dropped; null: off."""
    max_score: float | None = None
    """Scores above are dropped; null: off."""
    keep_share: float | None = None
    """Share that is kept, above 0 and up to 1; null: off."""
    direction: Literal["high", "low", "middle"] = "high"
    """Which scores `keep_share` keeps."""
    percentiles: tuple[float, ...] = ()
    """One or two places, 0 to 100, that part the scores, lowest first, into head and tail or head, middle and tail."""
    keep: tuple[Band, ...] = ()
    """Which of those parts are kept."""

    def __post_init__(self) -> None:
        if not self.needs() and self.measure not in COLUMNS:
            raise RecipeError(
                f'measure: "{self.measure}" is no column that can be cut by; use {" or ".join(COLUMNS)}, or '
                "<stage>.<measure> of an earlier stage, such as perplexity.perplexity"
            )
        bounded = self.min_score is not None or self.max_score is not None
        ways = bounded + (self.keep_share is not None) + bool(self.percentiles or self.keep)
        if ways != 1:
            raise RecipeError(
                f"says in {ways} ways what is kept; give min_score and max_score (or one of them), or keep_share, or "
                "percentiles with keep"
            )
        if self.min_score is not None and self.max_score is not None and self.min_score > self.max_score:
            raise RecipeError(f"min_score: {self.min_score} is above max_score, {self.max_score}; swap them")
        if self.keep_share is not None and not 0 < self.keep_share <= 1:
            raise RecipeError(f"keep_share: {self.keep_share} is no share; use more than 0, and 1 at most")
        if self.percentiles or self.keep:
            self._check_percentiles()

    def needs(self) -> Sequence[str]:
        return (self.measure,) if "." in self.measure else ()

    def columns(self) -> Sequence[str]:
        return () if self.needs() else (self.measure,)

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        numbers_only(needed, "measure")

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        scores = batch.measured[self.measure] if self.needs() else batch.documents.column(self.measure)
        languages = batch.documents.column("language") if self.by else pa.nulls(len(batch), pa.string())
        columns = [batch.documents.column("id"), pc.fill_null(languages, ""), finite(scores), weights(batch, self.unit)]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def decide(
        self, sidecars: Sequence[Path], *, excluded: pa.StringArray, read_texts: ReadTexts, workspace: Path
    ) -> Decision:
        if sidecar_rows(sidecars, self.sidecar) == 0:
            return Decision(VERDICTS.empty_table())
        with sidecar_database(sidecars, excluded, workspace) as connection:
            check_observed_once(connection)
            places = place_query("score", within="language")
            placed = connection.sql(
                f"SELECT id, place, score FROM present JOIN ({places}) USING (id) ORDER BY id"
            ).to_arrow_table()
        verdicts = self._judge(placed["score"].to_numpy(), placed["place"].to_numpy())
        gone = np.flatnonzero(verdicts >= 0)
        reasons = pa.array([str(reason) for reason in Reason]).take(pa.array(verdicts[gone]))
        return Decision(dropped(placed["id"].take(pa.array(gone)), reasons), measures=placed.select(["id", "place"]))

    def _judge(self, scores: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.int8]:
        """Index into the reasons, or -1 for what is kept."""
        low, middle, high = 0, 2, 1
        verdicts = np.full(len(scores), -1, np.int8)
        if self.percentiles:
            bands = np.searchsorted(np.array(self.percentiles) / 100, places, side="left")
            kept = np.array([band in self.keep for band in _BANDS[len(self.percentiles)]])
            first, last = np.flatnonzero(kept)[[0, -1]]
            verdicts[~kept[bands]] = middle
            verdicts[bands < first], verdicts[bands > last] = low, high
            return verdicts
        values, floor, ceiling = scores, self.min_score, self.max_score
        if self.keep_share is not None:
            rest = 1 - self.keep_share
            below = {"high": rest, "low": 0.0, "middle": rest / 2}[self.direction]
            values, floor, ceiling = places, below, below + self.keep_share
        if floor is not None:
            verdicts[values < floor] = low
        if ceiling is not None:
            verdicts[values > ceiling] = high
        return verdicts

    def _check_percentiles(self) -> None:
        bands = _BANDS.get(len(self.percentiles))
        if bands is None or not self.keep:
            raise RecipeError("percentiles: give one or two of them, and with `keep` which parts stay, such as [head]")
        within = [place for place in self.percentiles if 0 < place < 100]
        if list(self.percentiles) != sorted(set(within)):
            raise RecipeError(f"percentiles: {list(self.percentiles)} must rise, above 0 and below 100")
        if unknown := [band for band in self.keep if band not in bands]:
            raise RecipeError(f"keep: one percentile makes head and tail, and no {unknown[0]}; give two percentiles")
