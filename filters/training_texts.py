"""Reads texts out of files: what models and tokenizers are trained on, and what is asked of an index.

No library of training is imported here: the processes that read texts are many, and most train nothing.
"""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.batch import without_surrogates
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import read_batches

_BATCH_CHARACTERS = 4_000_000
_TEXT_SUFFIXES = (".txt", ".md")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SUFFIXES = (*_TEXT_SUFFIXES, *_JSON_SUFFIXES, ".parquet")


def training_texts(paths: Sequence[str], *, field: str = "text") -> Iterator[pa.StringArray]:
    """Batches of the texts in files: JSON lines (plain, .gz or .zst), Parquet, or text files that are a document each.

    Args:
        paths: files, folders (all files of those kinds below) and globs.
        field: the key or column that holds the text.

    Raises:
        InputError: if a path is missing, of another kind, or does not hold what its name says.
    """
    waiting: list[str] = []
    size = 0
    for file in [file for path in paths for file in _files(path)]:
        for text in _texts(file, field):
            waiting.append(text)
            size += len(text)
            if size >= _BATCH_CHARACTERS:
                yield pa.array(waiting, pa.string())
                waiting, size = [], 0
    if waiting:
        yield pa.array(waiting, pa.string())


def _kind(path: Path) -> str:
    """The suffix that tells how a file is read, without .gz or .zst; empty if none does."""
    name = path.name.lower()
    name = name.removesuffix(".gz").removesuffix(".zst") if not name.endswith(".parquet.gz") else ""
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")


def _files(path: str) -> list[Path]:
    found = [Path(path)] if Path(path).exists() else sorted(map(Path, glob.glob(path, recursive=True)))
    if not found:
        raise InputError(f"{path}: there is no such file, folder or glob of training texts")
    files = []
    for entry in found:
        if entry.is_dir():
            files += sorted(file for file in entry.rglob("*") if file.is_file() and _kind(file))
        elif _kind(entry):
            files.append(entry)
        else:
            raise InputError(
                f"{entry}: training texts are read from {', '.join(_SUFFIXES)} (also .gz and .zst), not from this"
            )
    if not files:
        raise InputError(f"{path}: holds no training texts; they are {', '.join(_SUFFIXES)} files (also .gz and .zst)")
    return files


def _texts(path: Path, field: str) -> Iterator[str]:
    kind = _kind(path)
    try:
        if kind == ".parquet":
            yield from _parquet_texts(path, field)
        else:
            # Unlike zstandard's own reader, Arrow's says so when a stream ends early.
            with io.BufferedReader(pa.input_stream(str(path), compression="detect")) as stream:
                if kind in _TEXT_SUFFIXES:
                    yield stream.read().decode()
                else:
                    yield from _json_texts(path, stream, field)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 ({error}); convert it") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); restore it or leave it out") from error


def _json_texts(path: Path, stream: IO[bytes], field: str) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except UnicodeDecodeError:
            raise  # of the whole file
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is no JSON ({error}); one object stands on each line") from error
        text = row.get(field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise InputError(f'{path}: line {number} has no string "{field}"; name the field that holds the text')
        yield without_surrogates(text)


def _parquet_texts(path: Path, field: str) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        columns = file.schema_arrow
        index = columns.get_field_index(field)
        if index < 0 or columns.field(index).type not in (pa.string(), pa.large_string()):
            raise InputError(
                f'{path}: has no string column "{field}", but {", ".join(columns.names)}; name the right one'
            )
        for batch in read_batches(file, 1024, [field]):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)
