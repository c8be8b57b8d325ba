"""perplexity: how far a document is from a reference text, by an n-gram language model.

After CCNet (Wenzek et al. 2020, arXiv:1911.00359, section 3.4 and its perplexity.py): an n-gram model of order 5 is
trained on a reference text of a language (there Wikipedia), each line is a sentence, and a document's perplexity is
exp(-sum of log p / (words + lines)): each line's end is predicted, too. CCNet cuts a language's documents at the 30th
and 60th percentile into head, middle and tail; that cut is the barrier `score_cut` over this measure.

Differs from CCNet: words are those of our segmentation, not SentencePiece pieces, so a text has unknown words, and
their share is a measure of its own; punctuation counts as words, but a run of one sign (a rule of dashes) as one, since
such runs made both the lowest and the highest perplexity of real posts (8 and 81,000); lines without words count
nothing. The smoothing is modified Kneser-Ney as there (ngram_training.py), with n-grams of three words and more that
occur once pruned by default. CCNet's normalisation (lower case, no accents, digits as 0) is an option of the model.

A model is made by `corpusmill train perplexity` (ngram_model.py has its format).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.ngram_model import LanguageModel


class Reason(StrEnum):
    LOW_PERPLEXITY = "low_perplexity"
    HIGH_PERPLEXITY = "high_perplexity"
    MANY_UNKNOWN_WORDS = "many_unknown_words"


@dataclass(frozen=True, kw_only=True)
class Perplexity(Filter):
    """Drops documents that a language model finds too unlikely, or too likely; by default it only measures.

    Documents without words, and those of a language that has no model, are kept without a measure.
    """

    name: ClassVar[str] = "perplexity"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("perplexity", pa.float64()),
            pa.field("unknown_share", pa.float64()),
            pa.field("words", pa.int32()),
        ]
    )

    model: str | None = field(default=None, metadata={"path": True})
    """Path of a model made by `corpusmill train perplexity`, for all documents."""
    models: Mapping[str, str] | None = field(default=None, metadata={"path": True})
    """Instead of `model`: one for each language, by what stands in the document's column `language`."""
    sha256: str | Mapping[str, str] | None = None
    """What the model's file must be (with `models`: by language); None takes whichever is there."""
    min_perplexity: float | None = None
    """Lowest perplexity kept: below it is what repeats itself or the reference. Depends on the model."""
    max_perplexity: float | None = None
    """Highest perplexity kept: above it is what is unlike the reference. Depends on the model."""
    max_unknown_share: float | None = None
    """Highest share of words that the model does not know, 0 to 1."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.models is None) or self.models == {}:
            raise RecipeError(
                "perplexity: give either `model`, a path, or `models`, a path for each language; "
                "`corpusmill train perplexity` makes one"
            )
        if self.sha256 is not None and isinstance(self.sha256, str) != (self.model is not None):
            raise RecipeError("perplexity.sha256: is one text with `model`, and one for each language with `models`")
        if isinstance(self.sha256, Mapping) and (strange := set(self.sha256) - set(self.models or {})):
            raise RecipeError(f"perplexity.sha256: {min(strange)!r} is no language of `models`; add it there")
        for name in ("min_perplexity", "max_perplexity"):
            bound = getattr(self, name)
            if bound is not None and not (1 <= bound < math.inf):
                raise RecipeError(f"perplexity.{name}: {bound} is no perplexity; use 1 or more, or null for no bound")
        low, high = self.min_perplexity, self.max_perplexity
        if low is not None and high is not None and low > high:
            raise RecipeError(
                f"perplexity.min_perplexity: {low} is above max_perplexity, {high}; nothing would be kept"
            )
        if self.max_unknown_share is not None and not 0 <= self.max_unknown_share <= 1:
            raise RecipeError(
                f"perplexity.max_unknown_share: {self.max_unknown_share} is no share; use 0 to 1, or null for no bound"
            )

    def prepare(self) -> None:
        self._loaded  # noqa: B018

    def files(self) -> Sequence[Path]:
        return tuple(Path(path) for path in self._paths.values())

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.LOW_PERPLEXITY, "perplexity", at_least=self.min_perplexity),
            Rule(Reason.HIGH_PERPLEXITY, "perplexity", at_most=self.max_perplexity),
            Rule(Reason.MANY_UNKNOWN_WORDS, "unknown_share", at_most=self.max_unknown_share),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        perplexities, shares = np.zeros(len(batch)), np.zeros(len(batch))
        words, measured = np.zeros(len(batch), np.int32), np.zeros(len(batch), np.bool_)
        for language, model in self._loaded.items():
            chosen = np.ones(len(batch), np.bool_)
            if language is not None:
                own = pc.fill_null(pc.equal(batch.documents.column("language"), language), False)
                chosen = own.to_numpy(zero_copy_only=False)
            # A batch without any of the language goes through, too: warming up, it compiles the kernels.
            perplexities[chosen], shares[chosen], words[chosen] = measured_by(model, batch.kept(chosen))
            measured |= chosen & (words > 0)
        columns = [
            pa.array(perplexities, mask=~measured),
            pa.array(shares, mask=~measured),
            pa.array(words, mask=~measured),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    @property
    def _paths(self) -> dict[str | None, str]:
        """Models by language; None for every language."""
        paths: dict[str | None, str] = {} if self.model is None else {None: self.model}
        paths.update((self.models or {}).items())
        return paths

    @cached_property
    def _loaded(self) -> dict[str | None, LanguageModel]:
        return {language: self._checked(language, Path(path)) for language, path in self._paths.items()}

    def _checked(self, language: str | None, path: Path) -> LanguageModel:
        if not path.is_file():
            raise InputError(f"{path}: there is no such model; make one with `corpusmill train perplexity`")
        wanted = self.sha256.get(language or "") if isinstance(self.sha256, Mapping) else self.sha256
        if wanted is not None and (found := sha256_of(path)) != wanted.lower():
            raise InputError(
                f"{path}: its sha256 is {found}, but the recipe asks for {wanted}; restore the model, or change "
                "perplexity.sha256 if the new one is meant"
            )
        status = path.stat()
        return _model_of(path, status.st_size, status.st_mtime_ns)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process loads the models itself."""
        return {key: value for key, value in self.__dict__.items() if key != "_loaded"}


def measured_by(
    model: LanguageModel, batch: TextBatch
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Perplexity, share of unknown words, and words of each document; 1, 0 and 0 for one without words."""
    sentences = model.sentences(batch)
    sums, unknown = model.sums(sentences)
    words, lines = sentences.counts, np.diff(sentences.firsts)
    return np.power(10.0, -sums / np.maximum(words + lines, 1)), unknown / np.maximum(words, 1), words


@lru_cache(maxsize=64)
def _model_of(path: Path, size: int, mtime_ns: int) -> LanguageModel:
    """One map of each model in a process."""
    return LanguageModel.load(path)
