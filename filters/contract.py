"""The contract of filters and rewriters: measure, then judge.

A **filter**'s `measure` knows no threshold; its `judge` reads no text. So thresholds can be changed over measures
that are already in the ledger. A filter never edits and a rewriter never drops.

A filter is a frozen, keyword-only dataclass whose fields are its thresholds (defaults live there, once). The recipe's
schema, the fingerprint and the documentation come from those fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch


@dataclass(frozen=True, slots=True)
class Rule:
    """One threshold on one measure. The rule is broken below `at_least` or above `at_most`; a null measure breaks none.

    A bound of None is off; zero is a value.
    """

    reason: StrEnum
    measure: str
    at_least: float | None = None
    at_most: float | None = None

    def broken(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where `values` (NaN: not measured) break the rule."""
        result = np.zeros(len(values), np.bool_)
        if self.at_least is not None:
            result |= values < self.at_least
        if self.at_most is not None:
            result |= values > self.at_most
        return result


class Stage(ABC):
    """What filters and rewriters share."""

    name: ClassVar[str]
    """As recipes and ledgers call it, such as `gopher_quality`."""
    version: ClassVar[int] = 1
    """Raised whenever the same text and thresholds may give another result: old output is then made anew."""
    measures: ClassVar[pa.Schema]
    """What is measured; the ledger has each as `<stage>.<measure>`."""

    def prepare(self) -> None:
        """Loads and checks what the stage needs (a model, a list), before any work starts.

        Raises:
            InputError: if a file is missing, damaged or of another kind.
        """

    def files(self) -> Sequence[Path]:
        """Files whose content the result depends on; they enter the fingerprint."""
        return ()


class Filter(Stage):
    """Drops documents. Subclasses are `@dataclass(frozen=True, kw_only=True)`."""

    reasons: ClassVar[type[StrEnum]]
    """In rule order; `judge` answers with indices into it."""
    annotations: ClassVar[Mapping[str, str]] = {}
    """Document column -> the measure that fills it, such as language -> language."""
    judged_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that `judge` reads and `measure` does not, beside those whose names begin with min_ or max_."""
    measured_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields whose names begin so and that `measure` reads all the same: a share of lines with so many words."""

    @classmethod
    def is_judged(cls, field: str) -> bool:
        """Whether a change of this field leaves the measures good, so that documents can be judged again by them."""
        if field in cls.measured_fields:
            return False
        return field.startswith(("min_", "max_")) or field in cls.judged_fields

    @abstractmethod
    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        """One row for each document, with the columns of `measures`."""

    def rules(self) -> Sequence[Rule]:
        """The thresholds in force, in the order of `reasons`."""
        return ()

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        """Index (into `reasons`) of the first rule that each document breaks; null where it breaks none."""
        return judge_by(self.rules(), type(self).reasons, measures)


class Rewriter(Stage):
    """Changes texts. Subclasses are `@dataclass(frozen=True, kw_only=True)`."""

    @abstractmethod
    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        """The new texts, and what was done to each document (the columns of `measures`)."""


def judge_by(rules: Sequence[Rule], reasons: type[StrEnum], measures: pa.RecordBatch) -> pa.Int8Array:
    """Judges documents by thresholds: the index of the first rule broken, in the order of `rules`."""
    order = {reason: index for index, reason in enumerate(reasons)}
    verdicts = np.full(measures.num_rows, -1, np.int8)
    for rule in reversed(rules):
        values = measures.column(rule.measure).cast(pa.float64()).to_numpy(zero_copy_only=False)
        verdicts[rule.broken(values)] = order[rule.reason]
    return pa.array(verdicts, pa.int8(), mask=verdicts < 0)
