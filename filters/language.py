"""language: drops documents that are not in a wanted language, or whose language is not clear enough.

FineWeb keeps English at a score of 0.65 or more, over the whole text (Penedo et al. 2024, arXiv:2406.17557, section
3.3).

Differs from the paper: by default the model is py3langid's (139 languages, and "zxx" for none) instead of fastText's
lid.176, because it is the more accurate of the two and comes with its package; filters/langid.py walks it. An empty
text gets what the model says of it: "sr" with 0.014. With `backend: fasttext`, `model` names any fastText model of
languages (lid.176, GlotLID), which filters/fasttext_model.py reads; a document's lines are read as one, as
fastText's users do by replacing newlines.

Languages are written alike, whatever the model calls them: in ISO 639-1 where there is a code, or in ISO 639-3 with the
script. Labels that are written alike are one language, whose probabilities are added up before the best is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError, RecipeError, UsageError
from corpusmill.filters import langid, scripts
from corpusmill.filters.contract import Filter, Rule, judge_by
from corpusmill.filters.fasttext_model import FastTextModel
from corpusmill.filters.language_codes import (
    UNDETERMINED,
    WIKIPEDIA,
    Code,
    Form,
    macrolanguage_of,
    names_of,
    parsed,
    unknown_language,
)

MACROLANGUAGES = "macrolanguages"
"""The preset of `merge`: what `language_codes.macrolanguage_of` says."""

_JAPANESE = ("Hani", "Hira", "Kana")  # what Japanese is written in, together called Jpan
_SCRIPTS = 256  # more than there are


class Reason(StrEnum):
    NOT_KEPT = "not_kept"
    LOW_SCORE = "low_score"


@dataclass(frozen=True, slots=True)
class Languages:
    """What a model's labels are written as.

    codes       the different languages
    group_of    int32[labels]: the index of each label's language
    """

    codes: tuple[Code, ...]
    group_of: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Language(Filter):
    """Keeps documents of the languages named.

    Raises:
        RecipeError: if the options do not fit each other, or py3langid's model has no such language.
    """

    backend: Literal["py3langid", "fasttext"] = "py3langid"
    """Whose model tells the languages: py3langid's own, or the fastText model at `model`."""
    model: str | None = field(default=None, metadata={"path": True})
    """Path of a fastText model (.bin or .ftz), such as lid.176.ftz or GlotLID's; for the backend fasttext."""
    sha256: str | None = None
    """What the model's file must be, so that a recipe names one model for ever; null takes whichever is there."""
    keep: tuple[str, ...] = ()
    """Languages to keep, in ISO 639-1 or 639-3 ("en", "eng"; "eng_Latn" with `codes: iso639_3`); [] keeps all."""
    min_score: float | None = 0.65
    """Probability of the document's language, 0 to 1. FineWeb, section 3.3."""
    codes: Form = "iso639_1"
    """How languages are written: "iso639_1" where there is a code ("en", "yue"), or "iso639_3" and script
    ("eng_Latn"); of models that tell no scripts, the script is that of most letters."""
    merge: str | Mapping[str, tuple[str, ...]] | None = None
    """Languages that count as one, as {nor: [nno, nob]}; "macrolanguages" merges by ISO 639-3; null merges none."""

    name = "language"
    version = 2
    reasons = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"keep"})
    measures: ClassVar[pa.Schema] = pa.schema([("language", pa.string()), ("score", pa.float64())])
    annotations: ClassVar[dict[str, str]] = {"language": "language", "language_score": "score"}

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise RecipeError(f'keep: "{self.keep}" must be a list of codes: ["{self.keep}"]')
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise RecipeError(f"min_score: {self.min_score} is no probability; give one from 0 to 1")
        if isinstance(self.merge, str) and self.merge != MACROLANGUAGES:
            raise RecipeError(
                f'merge: "{self.merge}" is no preset; use "{MACROLANGUAGES}", or a mapping such as {{nor: [nno, nob]}}'
            )
        if self.backend == "fasttext" and self.model is None:
            raise RecipeError("model: the backend fasttext needs the path of a model, such as lid.176.ftz")
        if self.backend == "py3langid":
            if self.model is not None or self.sha256 is not None:
                raise RecipeError("model: py3langid brings its own; for a fastText model, add `backend: fasttext`")
            self._check(tuple(langid.LANGUAGES), RecipeError)

    def prepare(self) -> None:
        self._check(langid.check_model() if self.model is None else self._labels, InputError, "language.")

    def files(self) -> Sequence[Path]:
        return (Path(self.model),) if self.model is not None else (langid.MODEL_PATH,)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        groups, scores = self._identified(batch)
        return pa.RecordBatch.from_arrays([self._written(batch, groups), pa.array(scores)], schema=self.measures)

    def rules(self) -> Sequence[Rule]:
        return (Rule(Reason.LOW_SCORE, "score", at_least=self.min_score),)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        verdicts = judge_by(self.rules(), Reason, measures)
        if not self.keep:
            return verdicts
        found = measures.column("language").dictionary_encode()
        kept = [parsed(code) for code in self.keep]
        wanted = [any(code.covers(parsed(value)) for code in kept) for value in found.dictionary.to_pylist()]
        unwanted = pc.invert(pa.array(wanted, pa.bool_())).take(found.indices).fill_null(False)
        return pc.if_else(unwanted, pa.scalar(list(Reason).index(Reason.NOT_KEPT), pa.int8()), verdicts)

    def languages(self, labels: Sequence[str]) -> Languages:
        """The languages that a model with these labels tells apart, by `codes` and `merge`."""
        codes = [self._merged(code) for code in _own(tuple(labels))]
        if self.codes == "iso639_1":
            codes = [Code(code.language) for code in codes]
        distinct = {code: place for place, code in enumerate(dict.fromkeys(codes))}
        return Languages(tuple(distinct), frozen(np.array([distinct[code] for code in codes], np.int32)))

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return langid.model().languages if self.model is None else self._fasttext.labels

    @cached_property
    def _languages(self) -> Languages:
        return self.languages(self._labels)

    @cached_property
    def _fasttext(self) -> FastTextModel:
        if self.model is None:
            raise ValueError("only the backend fasttext has a fastText model")
        return FastTextModel.load(self.model, self.sha256)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process loads the model itself."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_labels", "_languages", "_fasttext")}

    def _merged(self, code: Code) -> Code:
        if self.merge == MACROLANGUAGES:
            return macrolanguage_of(code)
        if isinstance(self.merge, Mapping):
            for target, members in self.merge.items():
                if any(parsed(member).covers(code) for member in members):
                    return replace(code, language=parsed(target).language)
        return code

    def _check(self, labels: tuple[str, ...], error: type[UsageError], place: str = "") -> None:
        """Sees to it that `keep` and `merge` name languages of the model.

        Raises:
            UsageError: (`error`) naming the first that does not, and what may have been meant.
        """
        own = _own(labels)
        members = (
            [member for group in self.merge.values() for member in group] if isinstance(self.merge, Mapping) else []
        )
        for member in members:
            if not any(parsed(member).covers(code) for code in own):
                raise error(
                    f"{place}merge: {unknown_language(member, names_of(code.written(self.codes) for code in own))}"
                )
        codes = self.languages(labels).codes
        for kept in self.keep:
            code = parsed(kept)
            bare = replace(code, script=None)
            if code.script is not None and self.codes == "iso639_1" and any(bare.covers(one) for one in codes):
                raise error(
                    f'{place}keep: "{kept}" names a script; add `codes: iso639_3`, or name "{bare.written("iso639_1")}"'
                )
            if not any(code.covers(one) or (one.script is None and bare.covers(one)) for one in codes):
                known = names_of(one.written(self.codes) for one in codes)
                if self.model is None:
                    known = {name: langid.LANGUAGES.get(name, known[name]) for name in known}
                raise error(f"{place}keep: {unknown_language(kept, known)}")

    def _identified(self, batch: TextBatch) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The most probable language of each document, as an index into `_languages.codes` (or -1), and its score."""
        group_of = self._languages.group_of
        if self.model is None:
            return langid.identify(batch.texts, frozen(group_of[langid.model().language_of]))
        if len(self._languages.codes) == len(group_of):
            return self._fasttext.probabilities(batch)
        return self._fasttext.grouped(batch, group_of)

    def _written(self, batch: TextBatch, groups: NDArray[np.int32]) -> pa.StringArray:
        """The languages of documents as `codes` says; "und" for -1."""
        codes = (*self._languages.codes, Code(UNDETERMINED))
        places = np.where(groups < 0, len(codes) - 1, groups).astype(np.int64)
        if self.codes == "iso639_1":
            return pa.array([code.written("iso639_1") for code in codes], pa.string()).take(pa.array(places))
        names = scripts.table()[0]
        pairs, indices = np.unique(places * _SCRIPTS + scripts.main_scripts(batch), return_inverse=True)
        written = [in_script(codes[pair // _SCRIPTS], names[pair % _SCRIPTS]).written("iso639_3") for pair in pairs]
        return pa.array(written, pa.string()).take(pa.array(indices))


@lru_cache(maxsize=8)
def _own(labels: tuple[str, ...]) -> tuple[Code, ...]:
    """What a model's labels mean. One that calls English "en" calls Alemannic "als", as Wikipedia does."""
    aliases = WIKIPEDIA if "en" in labels else None
    return tuple(parsed(label, aliases) for label in labels)


def in_script(code: Code, script: str) -> Code:
    """A language in the script that most letters of a text are in, unless the model has said the script itself."""
    if code.script is not None:
        return code
    return replace(code, script="Jpan" if code.language == "jpn" and script in _JAPANESE else script)
