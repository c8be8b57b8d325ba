"""Language: drops documents that are not in a wanted language, or whose language is not clear enough.

FineWeb keeps English at a score of 0.65 or more, over the whole text (Penedo et al. 2024, arXiv:2406.17557, section
3.3).

Differs from the paper: the model is py3langid's (139 languages, and "zxx" for none) instead of fastText's lid.176,
because it is the more accurate of the two and comes with its package; filters/langid.py walks it. An empty text gets
what the model says of it: "sr" with 0.014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters import langid
from corpusmill.filters.contract import Filter, Rule, judge_by


class Reason(StrEnum):
    NOT_KEPT = "not_kept"
    LOW_SCORE = "low_score"


@dataclass(frozen=True, kw_only=True)
class Language(Filter):
    """Keeps documents of the languages named.

    Raises:
        RecipeError: if the model has no such language, or the score is no probability.
    """

    keep: tuple[str, ...] = ()
    """Codes of the languages to keep, ISO 639-1 where there is one, as `langid.LANGUAGES` lists them; () keeps all."""
    min_score: float | None = 0.65
    """Probability of the document's language, 0 to 1. FineWeb, section 3.3."""

    name = "language"
    reasons = Reason
    measures: ClassVar[pa.Schema] = pa.schema([("language", pa.string()), ("score", pa.float64())])
    annotations: ClassVar[dict[str, str]] = {"language": "language", "language_score": "score"}

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise RecipeError(f'keep: "{self.keep}" must be a list of codes: ["{self.keep}"]')
        for code in self.keep:
            if code not in langid.LANGUAGES:
                raise RecipeError(f"keep: {langid.unknown_language(code)}")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise RecipeError(f"min_score: {self.min_score} is no probability; give one from 0 to 1")

    def prepare(self) -> None:
        known = langid.model().languages
        for code in self.keep:
            if code not in known:
                raise InputError(f"language.keep: {langid.unknown_language(code, known)}")

    def files(self) -> Sequence[Path]:
        return (langid.MODEL_PATH,)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        languages, scores = langid.identify(batch.texts)
        codes = pa.array(langid.model().languages, pa.string()).take(pa.array(languages))
        return pa.RecordBatch.from_arrays([codes, pa.array(scores)], schema=self.measures)

    def rules(self) -> Sequence[Rule]:
        return (Rule(Reason.LOW_SCORE, "score", at_least=self.min_score),)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        verdicts = judge_by(self.rules(), Reason, measures)
        if not self.keep:
            return verdicts
        wanted = pc.is_in(measures.column("language"), pa.array(self.keep, pa.string()), skip_nulls=True)
        unwanted = pc.and_not(measures.column("language").is_valid(), wanted)
        return pc.if_else(unwanted, pa.scalar(list(Reason).index(Reason.NOT_KEPT), pa.int8()), verdicts)
