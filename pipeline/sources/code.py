"""Reader `code`: a source file is a document; its language is told by its name and, if need be, its text.

`metadata` holds `path` and `programming_language`, a name of GitHub Linguist's list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from corpusmill.filters.code_languages import LANGUAGES, language_of
from corpusmill.pipeline.sources.contract import SourceFile
from corpusmill.pipeline.sources.text import WholeFile

_BINARY_HEAD_BYTES = 8_000  # git looks for a NUL in as many


@dataclass(frozen=True, kw_only=True)
class Code(WholeFile):
    """Documents of source files."""

    kind: ClassVar[str] = "code"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        sorted(ending for endings in LANGUAGES.values() for ending in endings.split())
    )

    def _unfit(self, content: bytes) -> str | None:
        nul = content.find(b"\0", 0, _BINARY_HEAD_BYTES)
        return None if nul < 0 else f"a NUL at byte {nul}"

    def _metadata(self, source: SourceFile, text: str) -> dict[str, str]:
        metadata = {"path": source.name}
        if (language := language_of(source.name, text)) is not None:
            metadata["programming_language"] = language
        return metadata
