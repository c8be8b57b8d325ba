"""code_language: says which programming language each file is in, and keeps the wanted ones.

StarCoder (Li et al. 2023, arXiv:2305.06161, section 3.1) and The Stack v2 (Lozhkov et al. 2024, arXiv:2402.19173,
section 3.1) train on chosen languages, which StarCoder tells by the file's extension and The Stack v2 by go-enry, a
port of GitHub Linguist. How ours are told says filters/code_languages.py.

Differs from those: of the content of files only that of shared endings is looked at, by a few signs each, and a `#!`
line where the name tells nothing. The document's column `language`, which is of natural languages, stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError, nearest
from corpusmill.filters.code_languages import NAMES, among, programming_languages
from corpusmill.filters.contract import Filter


class Reason(StrEnum):
    UNKNOWN = "unknown"
    NOT_KEPT = "not_kept"


@dataclass(frozen=True, kw_only=True)
class CodeLanguage(Filter):
    """Keeps files in the languages named."""

    name: ClassVar[str] = "code_language"
    reasons: ClassVar[type[StrEnum]] = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"keep", "keep_unknown"})
    measures: ClassVar[pa.Schema] = pa.schema([("language", pa.string())])  # null where it is not told

    keep: tuple[str, ...] = ()
    """Names of Linguist's list, such as `C++`, `Python`, `Shell`; () keeps all."""
    keep_unknown: bool = False
    """Whether files stay whose language neither name nor content tells."""

    def __post_init__(self) -> None:
        for language in self.keep:
            if language not in NAMES:
                near = nearest(language, NAMES)
                hint = f'; did you mean "{near}"?' if near else f"; known ones: {', '.join(sorted(NAMES))}"
                raise RecipeError(f'code_language.keep: "{language}" is no language known here{hint}')

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([programming_languages(batch)], schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        languages = measures.column("language")
        order = list(Reason)
        unwanted = pa.array(~among(languages, self.keep) & bool(self.keep))
        verdicts = pc.if_else(unwanted, pa.scalar(order.index(Reason.NOT_KEPT), pa.int8()), pa.scalar(None, pa.int8()))
        unknown = None if self.keep_unknown else order.index(Reason.UNKNOWN)
        return pc.if_else(languages.is_valid(), verdicts, pa.scalar(unknown, pa.int8()))
