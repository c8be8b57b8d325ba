"""toxicity: drops documents in which too many sentences are toxic, or too many listed words stand.

A linear classifier of sentences (toxicity_model.py), which `corpusmill train toxicity` trains from comments that people
have judged (the CSV of the Jigsaw Toxic Comment Classification Challenge, 2018, or any other), and a list of words.

After Dolma (Soldaini et al. 2024, arXiv:2402.00159, sections 3.1.4 and 5.4), which scores each sentence by two fastText
classifiers trained on the Jigsaw data and cuts toxic sentences out. Differs from it: the classifier is linear over
words, pairs of words and characters, with a calibrated probability; one model judges one kind of toxicity (name the
stage twice for two); documents are dropped by the share of their toxic sentences and none is cut. The density of listed
words after NeMo Curator's and data-juicer's flagged-word ratio.

Such a classifier takes the mention of minorities for an insult of them, and words of bodies for obscenity (Dixon et al.
2018, doi:10.1145/3278721.3278729; Dodge et al. 2021, arXiv:2104.08758). `corpusmill evaluate toxicity` says how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import toxicity_kernels as kernels
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.toxicity_model import ToxicityModel, sentences_of
from corpusmill.filters.word_list import WordList


class Reason(StrEnum):
    TOXIC_SENTENCE = "toxic_sentence"
    TOXIC_SENTENCES = "toxic_sentences"
    LISTED_WORDS = "listed_words"


@dataclass(frozen=True, kw_only=True)
class Toxicity(Filter):
    """Drops documents by their most toxic sentence, the share of toxic ones, or listed words; None turns a rule off.

    Raises:
        RecipeError: if there is neither a model nor a list, or a threshold is out of its range.
    """

    name: ClassVar[str] = "toxicity"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("max_score", pa.float64()),  # the highest probability of a sentence; null without model or words
            ("toxic_share", pa.float64()),  # share of sentences with `sentence_threshold` or more
            ("list_density", pa.float64()),  # listed words and phrases per 1,000 words; null without list or words
        ]
    )

    model: str | None = field(default=None, metadata={"path": True})
    """Path of a model made by `corpusmill train toxicity`."""
    sha256: str | None = None
    """What the model's file must be; None takes whichever is there."""
    words: str | None = field(default=None, metadata={"path": True})
    """Path of a list of words and phrases, one a line, as LDNOOBW has them."""
    sentence_threshold: float = 0.9
    """Probability from which a sentence is toxic. Probabilities are of two equally common classes, and on the web toxic
    sentences are rare, so .5 would be wrong mostly. Belongs to the measure: to change it is to measure anew."""
    max_score: float | None = None
    """Probability of the most toxic sentence; a document with a higher one is dropped. Dolma cuts those over 0.4."""
    max_toxic_share: float | None = 0.1
    """Share of toxic sentences, 0 to 1; a document with more is dropped."""
    max_list_density: float | None = 25.0
    """Listed words per 1,000 words; a document with more is dropped. Reports of crimes and illness have 10 to 25."""

    def __post_init__(self) -> None:
        if self.model is None and self.words is None:
            raise RecipeError("toxicity: nothing to judge by; give toxicity.model, toxicity.words or both")
        for name in ("sentence_threshold", "max_score", "max_toxic_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise RecipeError(f"toxicity.{name}: {value} is not between 0 and 1")

    def prepare(self) -> None:
        self._model()
        self._list()

    def files(self) -> Sequence[Path]:
        return tuple(Path(path) for path in (self.model, self.words) if path is not None)

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.TOXIC_SENTENCE, "max_score", at_most=self.max_score),
            Rule(Reason.TOXIC_SENTENCES, "toxic_share", at_most=self.max_toxic_share),
            Rule(Reason.LISTED_WORDS, "list_density", at_most=self.max_list_density),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        highest, shares, densities = (np.full(len(batch), np.nan) for _ in range(3))
        if (model := self._model()) is not None:
            sentences = sentences_of(batch)
            scores = model.sentence_scores(batch, sentences)
            kernels.summarise(sentences.firsts, scores, self.sentence_threshold, highest, shares)
        if (words := self._list()) is not None:
            densities = words.densities(batch)
        columns = [pa.array(values, pa.float64(), from_pandas=True) for values in (highest, shares, densities)]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def _model(self) -> ToxicityModel | None:
        if self.model is None:
            return None
        path = Path(self.model)
        status = path.stat() if path.is_file() else None
        model, found = _loaded(path, status.st_size if status else 0, status.st_mtime_ns if status else 0)
        if self.sha256 is not None and found != self.sha256.lower():
            raise InputError(
                f"{self.model}: its sha256 is {found}, but the recipe asks for {self.sha256}; restore the model, or "
                "change toxicity.sha256 if the new one is meant"
            )
        return model

    def _list(self) -> WordList | None:
        return None if self.words is None else WordList.load(Path(self.words))


@lru_cache(maxsize=4)
def _loaded(path: Path, size: int, modified: int) -> tuple[ToxicityModel, str]:
    return ToxicityModel.load(path), sha256_of(path)
