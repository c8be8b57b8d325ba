"""combined_quality: makes one score of several, by the bins that each puts a document into.

After Nemotron-CC (Su et al. 2024, arXiv:2412.02595, section 2.2): the scores of several classifiers are not comparable,
their percentiles are. So each score's documents are put in order and parted into 20 bins of equally many tokens, and a
document gets the highest of its bins: it is good if any of the classifiers finds it good. Differs from it: tokens are
words unless `unit` says otherwise, the borders of bins are those of the source itself instead of a sample's, and bins
are not joined to five levels afterwards (score_cut does that by percentiles of `combined_quality.bin`).

A score that is null says nothing; a document of null scores alone has no bin, and stays.

Sidecar, one row for each document:

    id      string
    weight  int64            in `unit`
    scores  list<float64>    in the order of the recipe
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from corpusmill.documents.sidecars import check_observed_once, dropped, sidecar_database, sidecar_rows
from corpusmill.filters.score_places import Unit, finite, numbers_only, place_query, weights

_MOST_BINS = 1000


class Reason(StrEnum):
    LOW_BIN = "low_bin"


@dataclass(frozen=True, kw_only=True)
class CombinedQuality(Barrier):
    """Gives each document the highest of the bins that several scores put it into, and drops the low ones."""

    name: ClassVar[str] = "combined_quality"
    reasons: ClassVar[type[StrEnum]] = Reason
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("weight", pa.int64(), nullable=False),
            pa.field("scores", pa.list_(pa.float64()), nullable=False),
        ]
    )
    measures: ClassVar[pa.Schema] = pa.schema([pa.field("bin", pa.int32())])
    judged_fields: ClassVar[frozenset[str]] = frozenset({"bins", "min_bin"})

    scores: tuple[str, ...]
    """Earlier stages whose `score` is meant, such as `quality` and `quality_2`, or `<stage>.<measure>`. Of each, more
    is better."""
    bins: int = 20
    """Into how many bins each score parts the source, 2 to 1,000; 20 as in the paper."""
    unit: Unit = "words"
    """What bins hold equal amounts of: documents, words, characters or bytes."""
    min_bin: int | None = None
    """Documents whose highest bin is below are dropped; bins count from 0. null drops none."""

    def __post_init__(self) -> None:
        if len(set(self.needs())) != len(self.scores) or len(self.scores) < 2:
            raise RecipeError(f"scores: {list(self.scores)} must name two different scores or more")
        if not 2 <= self.bins <= _MOST_BINS:
            raise RecipeError(f"bins: {self.bins} is out of range; use 2 to {_MOST_BINS}")
        if self.min_bin is not None and not 0 <= self.min_bin < self.bins:
            raise RecipeError(f"min_bin: {self.min_bin} is no bin; they are 0 to {self.bins - 1}")

    def needs(self) -> Sequence[str]:
        return [score if "." in score else f"{score}.score" for score in self.scores]

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        numbers_only(needed, "scores")

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        columns = [finite(batch.measured[name]) for name in self.needs()]
        # The columns one after the other, taken crosswise: a row's scores stand together.
        crosswise = np.arange(len(columns) * len(batch)).reshape(len(columns), len(batch)).T.ravel()
        ends = np.arange(len(batch) + 1, dtype=np.int32) * np.int32(len(columns))
        scores = pa.ListArray.from_arrays(pa.array(ends), pa.concat_arrays(columns).take(pa.array(crosswise)))
        columns = [batch.documents.column("id"), weights(batch, self.unit), scores]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def decide(
        self, sidecars: Sequence[Path], *, excluded: pa.StringArray, read_texts: ReadTexts, workspace: Path
    ) -> Decision:
        if sidecar_rows(sidecars, self.sidecar) == 0:
            return Decision(VERDICTS.empty_table())
        places = " UNION ALL ".join(f"({place_query(f'scores[{number}]')})" for number in self._numbers)
        with sidecar_database(sidecars, excluded, workspace) as connection:
            check_observed_once(connection)
            # A place is below 1, but a quotient of large numbers may be rounded up to it.
            binned = connection.sql(
                f"SELECT id, least(floor(max(place) * {self.bins}), {self.bins - 1})::INTEGER AS bin "
                f"FROM ({places}) GROUP BY id ORDER BY id"
            ).to_arrow_table()
        low = pc.less(binned["bin"], self.min_bin if self.min_bin is not None else 0)
        return Decision(dropped(binned["id"].filter(low), Reason.LOW_BIN), measures=binned)

    @property
    def _numbers(self) -> range:
        """The scores as SQL counts them, from 1."""
        return range(1, len(self.scores) + 1)
