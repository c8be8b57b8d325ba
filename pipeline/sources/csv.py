"""Reader `csv`: a row is a document (.csv, .tsv; plain, .gz, .zst or .lz4; the first row names the columns; UTF-8).

Fields may be quoted and hold line breaks, so a file is one split. Offsets are bytes of the decoded file. Columns that
are not asked for go to `metadata`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.sources.contract import Chunk, Origin, Piece, Reader, ReadReason, SourceFile, Split
from corpusmill.pipeline.sources.decoding import MAX_EXPANSION, Members, form_at
from corpusmill.pipeline.sources.gathering import (
    MAX_RECORD_BYTES,
    Gathering,
    as_json,
    check_bounds,
    clean_text,
    cut,
    gathered,
)
from corpusmill.pipeline.sources.lines import decoded_blocks, decodes, lines_of
from corpusmill.pipeline.sources.storage import StoredFile

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Csv(Reader):
    """Documents of tables in text form."""

    kind: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{kind}{form}" for kind in ("csv", "tsv") for form in ("", ".gz", ".zst", ".lz4")
    )

    text: str = "text"
    """The column that holds the text."""
    url: str | None = "url"
    date: str | None = "date"
    language: str | None = "language"
    license: str | None = "license"
    """Columns that become other columns of the document. None: no column."""
    delimiter: str | None = None
    """Between fields. None: a tab for .tsv, else a comma."""
    max_record_bytes: int = MAX_RECORD_BYTES
    """A longer row is `too_large`."""
    max_expansion: float = MAX_EXPANSION
    """Decoded over compressed bytes; above it, once 10 MB have come, a member is a `decompression_bomb`."""

    def __post_init__(self) -> None:
        check_bounds(self.kind, self.max_record_bytes, self.max_expansion)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise RecipeError(
                f"read.csv.delimiter: {self.delimiter!r} is not one character that may stand between fields"
            )

    def splits(self, files: Sequence[SourceFile], split_bytes: int) -> list[Split]:
        """A file is never cut."""
        return cut(files, split_bytes, lambda file: False)

    def read(self, split: Split, origin: Origin) -> Iterator[Chunk]:
        return gathered(split, origin, self._read_piece)

    def _read_piece(self, file: StoredFile, piece: Piece, gathering: Gathering) -> Iterator[None]:
        name = piece.file.name
        members = Members(file, form_at(file), decodes, self.max_expansion)
        tab = ".tsv" in name.lower()
        rows = _Rows(
            lines_of(decoded_blocks(members, 0, name, gathering), 0, None, self.max_record_bytes, blank=True),
            self.delimiter or ("\t" if tab else ","),
            self.max_record_bytes,
        )
        header: list[str] | None = None
        for offset, row in rows:
            if isinstance(row, tuple):
                gathering.reject(name, offset, *row)
            elif header is None:
                header = [column.strip() for column in row]
                if self.text not in header:
                    detail = f'no column "{self.text}" among: {", ".join(header)}'
                    gathering.reject(name, offset, ReadReason.NO_TEXT, detail)
                    return
            elif row:
                self._take(dict(zip(header, row)), len(row), len(header), name, offset, gathering)
            yield

    def _take(
        self, row: dict[str, str], fields: int, columns: int, name: str, offset: int, gathering: Gathering
    ) -> None:
        if fields != columns:
            detail = f"{fields} fields, where the first row names {columns} columns"
            gathering.reject(name, offset, ReadReason.INVALID_CSV, detail)
            return
        text = row.pop(self.text)
        if not text:
            gathering.reject(name, offset, ReadReason.NO_TEXT, f'"{self.text}" is empty')
            return
        others = {column: row.pop(key, "") for column in _COLUMNS if (key := getattr(self, column)) is not None}
        filled = {column: clean_text(value) for column, value in others.items() if value}
        metadata = as_json({key: value or None for key, value in row.items()})
        gathering.add(clean_text(text), name, offset, metadata=metadata, **filled)


_COLUMNS = ("url", "date", "language", "license")


class _Rows:
    """Rows of a CSV file, each with the offset where it begins, or with what is wrong with it."""

    def __init__(self, lines: Iterator[tuple[int, list[bytes] | None]], delimiter: str, most: int) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._most = most
        self._begin = 0
        self._size = 0
        self._wrong: tuple[ReadReason, str] | None = None

    def __iter__(self) -> Iterator[tuple[int, list[str] | tuple[ReadReason, str]]]:
        while True:
            # One limit for the whole process, which others rely on, too: it is raised where need be, and `_fed` bounds
            # rows.
            csv.field_size_limit(max(csv.field_size_limit(), self._most))
            reader = csv.reader(self._fed(), delimiter=self._delimiter)
            try:
                for row in reader:
                    yield self._begin, self._wrong or row
                    self._size = 0
                    self._wrong = None
                return
            except csv.Error as error:  # the reader cannot go on; another one can, behind this line
                yield self._begin, (ReadReason.INVALID_CSV, str(error))
            except _RowTooLargeError:
                yield (
                    self._begin,
                    (
                        ReadReason.TOO_LARGE,
                        f"a row of more than {self._most:,} bytes; is a quote not closed?",
                    ),
                )
            self._size = 0
            self._wrong = None

    def _fed(self) -> Iterator[str]:
        for offset, parts in self._lines:
            if self._size == 0:
                self._begin = offset
            line = b"".join(parts or [])
            if parts is None or self._size + len(line) > self._most:
                raise _RowTooLargeError
            if offset == 0:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            self._size += len(line) + 1
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError as error:
                self._wrong = ReadReason.INVALID_UTF8, str(error)
                yield line.decode("utf-8", "replace") + "\n"


class _RowTooLargeError(Exception):
    """A row, or a quote that is not closed, is over the bound."""
