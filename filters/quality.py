"""quality: scores documents with a trained classifier, and drops the low ones.

The score is a probability: of two equally common classes, those of the texts that `corpusmill train quality` was
given as positive and negative, how likely the document is of the first. It also fills the document column `quality`.

After DCLM (Li et al. 2024, arXiv:2406.11794, section 4.4), whose fastText classifier of words and pairs of words
tells chosen from unchosen web text. Differs from it: no embedding, so that scoring is one pass over hashes which
other filters need, too (quality_model.py); the score is calibrated (Platt 1999), so that a threshold means the same for
another model; DCLM's percentile cut is score_cut's work. Its own classifier, or any other of fastText's, serves as
well: name its .bin or .ftz file and the label whose probability is the score.

The default model is for English text and was trained by tools/train_default_quality.py; docs/models/english_quality.md
says on what, how well it ranks sources that it never saw, and what it is bad at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters.contract import Filter, Rule
from corpusmill.filters.fasttext_model import LABEL_PREFIX, FastTextModel
from corpusmill.filters.quality_model import QualityModel

DEFAULT = "default"
DEFAULT_PATH = Path(__file__).parent / "models" / "english_quality.npz"
FASTTEXT_SUFFIXES = (".bin", ".ftz")
_LISTED = 10


class Reason(StrEnum):
    LOW_SCORE = "low_score"


@dataclass(frozen=True, kw_only=True)
class Quality(Filter):
    """Drops documents that a trained classifier finds unlike good text."""

    name: ClassVar[str] = "quality"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema([pa.field("score", pa.float64())])  # null: not scored
    annotations: ClassVar[Mapping[str, str]] = {"quality": "score"}

    model: str = field(default=DEFAULT, metadata={"path": True, "names": (DEFAULT,)})
    """`default`, the English model that ships with the package; or the path of a model, made by `corpusmill train
    quality` (.npz) or by fastText (.bin, .ftz)."""
    label: str | None = None
    """Of a fastText model: the label whose probability is the score, such as `hq`."""
    sha256: str | None = None
    """What the model's file must be, so that a recipe names one model for ever; None takes whichever is there."""
    languages: tuple[str, ...] = ()
    """Languages that the model knows, as the column `language` has them, such as `en`: documents in others get no score
    and stay. Those of no stated language are scored. () scores all."""
    min_score: float | None = 0.5
    """Probability of the positive class; None scores without dropping."""

    def __post_init__(self) -> None:
        if isinstance(self.languages, str):
            raise RecipeError(f'quality.languages: "{self.languages}" must be a list: ["{self.languages}"]')
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise RecipeError(
                f"quality.min_score: {self.min_score} is no probability; use 0 to 1, or null to drop nothing"
            )
        if self._is_fasttext and self.label is None:
            raise RecipeError(f"quality.label: {self.model} is a fastText model; name the label of good text")
        if not self._is_fasttext and self.label is not None:
            raise RecipeError(
                f'quality.label: "{self.label}" is for fastText models ({", ".join(FASTTEXT_SUFFIXES)}), and '
                f"{self.model} is none; take this key out"
            )

    def prepare(self) -> None:
        self._loaded  # noqa: B018

    def files(self) -> Sequence[Path]:
        return (DEFAULT_PATH if self.model == DEFAULT else Path(self.model),)

    def rules(self) -> Sequence[Rule]:
        return (Rule(Reason.LOW_SCORE, "score", at_least=self.min_score),)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        model = self._loaded
        if isinstance(model, QualityModel):
            scores = model.scores(batch)
        else:
            scores = model.probability_of(batch, str(self.label))
        unknown = None
        if self.languages:
            languages = batch.documents.column("language")
            unknown = pc.and_(languages.is_valid(), pc.invert(pc.is_in(languages, pa.array(self.languages))))
        column = pa.array(scores, mask=None if unknown is None else unknown.to_numpy(zero_copy_only=False))
        return pa.RecordBatch.from_arrays([column], schema=self.measures)

    @property
    def _is_fasttext(self) -> bool:
        return self.model.endswith(FASTTEXT_SUFFIXES)

    @cached_property
    def _loaded(self) -> QualityModel | FastTextModel:
        [path] = self.files()
        if self._is_fasttext:
            model = FastTextModel.load(path, self.sha256)
            if str(self.label).removeprefix(LABEL_PREFIX) not in model.labels:
                raise InputError(f"quality.label: {path} has no label {self.label}; it has {_listed(model.labels)}")
            return model
        return _linear(path, self.sha256)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process loads the model itself."""
        return {key: value for key, value in self.__dict__.items() if key != "_loaded"}


def _linear(path: Path, sha256: str | None) -> QualityModel:
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no such quality model; make one with `corpusmill train quality`, or leave out "
            "quality.model for the default"
        ) from error
    model, digest = _read(path, state.st_size, state.st_mtime_ns)
    if sha256 is not None and digest != sha256.lower():
        raise InputError(
            f"{path}: its sha256 is {digest}, but the recipe asks for {sha256}; restore the model, or change "
            "quality.sha256 if the new one is meant"
        )
    return model


@lru_cache(maxsize=4)
def _read(path: Path, size: int, modified: int) -> tuple[QualityModel, str]:
    """A model and its file's sha256; size and time of change tell whether it is still the one that was read."""
    return QualityModel.load(path), sha256_of(path)


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
