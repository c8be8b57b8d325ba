"""code_license: says under which licence each source file is, and keeps the allowed ones.

StarCoder and The Stack (Li et al. 2023, arXiv:2305.06161, section 3.1; Kocetkov et al. 2022, arXiv:2211.15533, section
3) train on permissively licensed code only, and tell licences by repository. Ours are told by file, from what it says
itself: an SPDX tag, the text or notice of a licence, or a sentence that names one (filters/licenses.py); where it says
nothing, by the document's `license` column, which the source (a repository of known licence) fills. The result replaces
that column.

Differs from those: a file without a word of its licence in a source without one is unknown, though its repository may
have one; such files are dropped unless `keep_unknown` is set. Of several licences in a file the one with the most
words counts; only SPDX expressions can state more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.code_languages import head_of
from corpusmill.filters.contract import Filter
from corpusmill.filters.licenses import is_allowed, mention_of, prints, tag_of, texts_told

PERMISSIVE = (
    "0BSD", "AFL-2.1", "AFL-3.0", "Apache-1.1", "Apache-2.0", "Artistic-2.0", "BlueOak-1.0.0", "BSD-1-Clause",
    "BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "CC0-1.0", "curl",
    "ECL-2.0", "HPND", "ICU", "ISC", "libpng-2.0", "Libpng", "MIT", "MIT-0", "MIT-CMU", "MS-PL", "MulanPSL-2.0", "NCSA",
    "PostgreSQL", "PSF-2.0", "Python-2.0", "Ruby", "TCL", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "UPL-1.0",
    "W3C", "WTFPL", "X11", "Zlib", "ZPL-2.1",
)  # fmt: skip
"""Licences that ask for credit at most."""
HEAD_BYTES = 20_000
"""How much of a file is searched for a tag or a sentence."""


class Reason(StrEnum):
    LICENSE_UNKNOWN = "license_unknown"
    LICENSE_NOT_ALLOWED = "license_not_allowed"


@dataclass(frozen=True, kw_only=True)
class CodeLicense(Filter):
    """Keeps files whose licence is allowed."""

    name: ClassVar[str] = "code_license"
    reasons: ClassVar[type[StrEnum]] = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"allow", "keep_unknown"})
    measured_fields: ClassVar[frozenset[str]] = frozenset({"min_text_share", "max_words"})
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("license", pa.string()),  # SPDX expression; null: unknown
            pa.field("evidence", pa.string()),  # tag, text, mention or source; null: none
            pa.field("text_share", pa.float64(), nullable=False),  # of the runs of the text that is most like the file
        ]
    )
    annotations: ClassVar[dict[str, str]] = {"license": "license"}

    allow: tuple[str, ...] = PERMISSIVE
    """SPDX ids, in upper or lower case. `A OR B` is allowed if one is, `A AND B` if both are, `A WITH B` if A is."""
    keep_unknown: bool = False
    """Whether files stay that state no licence."""
    min_text_share: float = 0.85
    """Share of a text's runs that must be there. Belongs to the measure: to change it is to measure anew."""
    max_words: int = 8000
    """Words of a file that are looked at; the GPL has 5,600. Belongs to the measure."""

    def __post_init__(self) -> None:
        for name in self.allow:
            if not name.strip() or (" " in name.strip() and " WITH " not in name):
                raise RecipeError(f'code_license.allow: "{name}" must be one SPDX id, such as MIT')

    def prepare(self) -> None:
        prints()

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        best, share = texts_told(batch, self.max_words)
        names = prints().names
        stated = pc.match_substring(batch.texts, "SPDX-License-Identifier:").to_numpy(zero_copy_only=False)
        speaks = pc.match_substring_regex(batch.texts, "(?i:licen[cs]e)").to_numpy(zero_copy_only=False)
        licenses: list[str | None] = []
        evidence: list[str | None] = []
        for row, given in enumerate(batch.documents.column("license").to_pylist()):
            tag = tag_of(head_of(batch, row, HEAD_BYTES)) if stated[row] else None
            told = names[best[row]] if best[row] >= 0 and share[row] >= self.min_text_share else None
            mention = (
                mention_of(head_of(batch, row, HEAD_BYTES)) if tag is None and told is None and speaks[row] else None
            )
            found = ((tag, "tag"), (told, "text"), (mention, "mention"), (given or None, "source"), (None, None))
            license_, kind = next(pair for pair in found if pair[0] is not None or pair[1] is None)
            licenses.append(license_)
            evidence.append(kind)
        columns = [pa.array(licenses, pa.string()), pa.array(evidence, pa.string()), pa.array(share)]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        order = list(Reason)
        unknown = None if self.keep_unknown else order.index(Reason.LICENSE_UNKNOWN)
        verdicts: dict[str | None, int | None] = {None: unknown}
        for expression in measures.column("license").unique().drop_null().to_pylist():
            verdicts[expression] = (
                None if is_allowed(expression, self.allow) else order.index(Reason.LICENSE_NOT_ALLOWED)
            )
        return pa.array([verdicts[expression] for expression in measures.column("license").to_pylist()], pa.int8())
