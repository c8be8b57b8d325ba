"""Reader `text`: a file, or each of its chapters, is a document (plain text, Markdown …), in UTF-8, marked or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.sources.chapters import chapter_starts
from corpusmill.pipeline.sources.contract import Chunk, Origin, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.gathering import MAX_RECORD_BYTES, Gathering, as_json, check_bounds, clean_text, cut
from corpusmill.pipeline.sources.storage import StoredFile

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class WholeFile(Reader):
    """What `text` and `code` share."""

    max_record_bytes: int = MAX_RECORD_BYTES
    """A larger file is `too_large` and not read."""

    def __post_init__(self) -> None:
        check_bounds(self.kind, self.max_record_bytes)

    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """A file is never cut."""
        return cut(files, split_bytes, lambda file: False)

    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        gathering = Gathering(origin)
        for piece in split.pieces:
            self._take(piece.file, gathering)
            yield from gathering.chunks()
        yield from gathering.chunks(everything=True)

    def _take(self, source: SourceFile, gathering: Gathering) -> None:
        if source.size > self.max_record_bytes:
            detail = f"{source.size:,} bytes; max_record_bytes is {self.max_record_bytes:,}"
            gathering.reject(source.name, 0, ReadReason.TOO_LARGE, detail)
            return
        with StoredFile(source) as file:
            content = file.whole()
        if not content.removeprefix(_BYTE_ORDER_MARK):
            gathering.reject(source.name, 0, ReadReason.EMPTY, "the file has no byte")
            return
        if (why := self._unfit(content)) is not None:
            gathering.reject(source.name, 0, ReadReason.BINARY, why)
            return
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            gathering.reject(source.name, 0, ReadReason.INVALID_UTF8, str(error))
            return
        del content  # of a very large file, there are never more than two copies
        metadata = as_json(self._metadata(source, text))
        for offset, piece in self._pieces(clean_text(text)):
            gathering.add(piece, source.name, offset, metadata=metadata)

    def _pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """The documents that a file's text makes, each with its offset in bytes."""
        yield 0, text

    def _unfit(self, content: bytes) -> str | None:
        return None

    def _metadata(self, source: SourceFile, text: str) -> dict[str, str]:
        return {"path": source.name}


@dataclass(frozen=True, kw_only=True)
class Text(WholeFile):
    """Documents of text files."""

    kind: ClassVar[str] = "text"
    suffixes: ClassVar[tuple[str, ...]] = (
        ".txt",
        ".text",
        ".md",
        ".markdown",
        ".tex",
        ".latex",
        ".rst",
        ".org",
        ".adoc",
    )

    split: Literal["chapters"] | None = None
    """`chapters`: a document for each chapter of a book, as headings tell them (pipeline/sources/chapters.py)."""
    min_chapter_characters: int = 500
    """A shorter chapter is joined to the next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in (None, "chapters"):
            raise RecipeError(f'read.text.split: "{self.split}" is no way to split; use chapters, or leave it out')
        if self.min_chapter_characters < 1:
            raise RecipeError(f"read.text.min_chapter_characters: {self.min_chapter_characters} must be at least 1")

    def _pieces(self, text: str) -> Iterator[tuple[int, str]]:
        if self.split is None:
            yield 0, text
            return
        starts = chapter_starts(text, self.min_chapter_characters)
        offset = 0
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            piece = text[start:end]
            yield offset, piece
            offset += len(piece.encode())
