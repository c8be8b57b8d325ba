"""pii_count: drops documents with much personal data in them, such as lists of members and leaks.

After Dolma (Soldaini et al. 2024, arXiv:2402.00159, section 3.1.4), which drops documents with more than five hits and
masks the others' hits. Differs from it: more kinds are counted, and each is validated (see pii.py), so that a table of
numbers is not taken for a list of phones. A document keeps its text: `pii` behind it replaces what is left, and reads
the same search where no document was dropped in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.pii_search import COUNTS, PiiSearch


class Reason(StrEnum):
    too_many_hits = "too_many_hits"


@dataclass(frozen=True, kw_only=True)
class PiiCount(PiiSearch, Filter):
    """Drops documents with more than `max_hits` pieces of personal data."""

    name: ClassVar[str] = "pii_count"
    measures: ClassVar[pa.Schema] = COUNTS.append(pa.field("hits", pa.int32(), nullable=False))
    reasons: ClassVar[type[StrEnum]] = Reason
    measured_fields: ClassVar[frozenset[str]] = frozenset({"min_entropy"})

    max_hits: int | None = 5
    """Pieces of personal data that a document may have, of all `kinds` together. Dolma, section 3.1.4: 5. None: off."""

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = self.count(batch)
        columns = [*counts, counts.sum(axis=0, dtype=np.int32)]
        return pa.RecordBatch.from_arrays([pa.array(row) for row in columns], schema=self.measures)

    def rules(self) -> Sequence[Rule]:
        return (Rule(Reason.too_many_hits, "hits", at_most=self.max_hits),)
