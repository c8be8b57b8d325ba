"""The readers by the kind that recipes name; the only table of them."""

from __future__ import annotations

from collections.abc import Sequence

from corpusmill.documents.errors import InputError
from corpusmill.pipeline.sources.code import Code
from corpusmill.pipeline.sources.contract import Reader, SourceFile
from corpusmill.pipeline.sources.csv import Csv
from corpusmill.pipeline.sources.jsonl import Jsonl
from corpusmill.pipeline.sources.parquet import Parquet
from corpusmill.pipeline.sources.text import Text
from corpusmill.pipeline.sources.warc import Warc, Wet

READERS: dict[str, type[Reader]] = {reader.kind: reader for reader in (Warc, Wet, Jsonl, Parquet, Csv, Text, Code)}
ALL_SUFFIXES: tuple[str, ...] = tuple(suffix for reader in READERS.values() for suffix in reader.suffixes)


def kind_of(name: str) -> str | None:
    """The kind that a file's name tells: the reader with the longest ending that fits, the first of equals."""
    name = name.lower()
    best = max(
        ((len(suffix), kind) for kind, reader in READERS.items() for suffix in reader.suffixes if _ends(name, suffix)),
        key=lambda found: found[0],
        default=None,
    )
    return best[1] if best else None


def reader_for(files: Sequence[SourceFile]) -> type[Reader]:
    """The reader that all file names tell.

    Raises:
        InputError: if the names tell nothing, or several kinds.
    """
    examples: dict[str | None, str] = {}
    for file in files:
        examples.setdefault(kind_of(file.name), file.name)
    if None in examples:
        raise InputError(f"{examples[None]}: its name does not tell how to read it; add `kind:` ({', '.join(READERS)})")
    if len(examples) != 1:
        found = ", ".join(f"{name} ({kind})" for kind, name in examples.items())
        raise InputError(
            f"files of several kinds in one source: {found or 'none'}; make a source of each, or add `kind:`"
        )
    return READERS[str(next(iter(examples)))]


def _ends(name: str, suffix: str) -> bool:
    if suffix.startswith("."):
        return name.endswith(suffix)
    return name.rsplit("/", 1)[-1] == suffix
