"""What `corpusmill dedup` does: questions to an index of duplicates, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dedup.index import open_index, open_part
from corpusmill.dedup.query import MinHashIndex
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import PUNCTUATION
from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.printable import printable_line
from corpusmill.filters.training_texts import training_texts

_TABLES = (".jsonl", ".ndjson", ".json", ".parquet")
_SHOWN = 60  # characters of a text


def query(index: Path, file: Path, *, field: str, min_similarity: float, top: int) -> Iterator[dict[str, Any]]:
    """For each text of a file, the documents of an index that are like it.

    Raises:
        InputError, UsageError: for an index or a file that cannot be read, texts without a word, numbers out of range.
    """
    if not 0 < min_similarity <= 1:
        raise UsageError(f"--min-similarity: {min_similarity} is no similarity; use one above 0 and at most 1")
    if top < 1:
        raise UsageError(f"--top: {top} is too few; use 1 or more")
    opened = MinHashIndex.open(index)
    number = words = 0
    for texts in _texts(file, field):
        batch = TextBatch.of_texts(texts.to_pylist())
        words += int(np.count_nonzero(batch.words.kinds & PUNCTUATION == 0))
        for text, found in zip(texts.to_pylist(), opened.similar(batch, min_similarity=min_similarity, top=top)):
            number += 1
            beginning = printable_line(text[:_SHOWN])
            yield {"text": number, "beginning": beginning, "similar": [asdict(similar) for similar in found]}
    if words == 0:
        raise InputError(f"{file}: holds no text with a word in it, and there is nothing to compare")


def _texts(file: Path, field: str) -> Iterator[pa.StringArray]:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    if file.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(_TABLES):
        yield from training_texts([str(file)], field=field)
        return
    try:
        yield pa.array([file.read_bytes().decode()], pa.string())
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is no UTF-8 ({error}); convert it") from error


def query_as_text(answer: dict[str, Any]) -> str:
    """The answer for one text, as lines."""
    lines = [f"text {answer['text']}: {answer['beginning']}"]
    for found in answer["similar"]:
        similarity = f"{found['similarity']:.3f}" if found["exact"] else f"~{found['similarity']:.2f}"
        place = "  ".join(printable_line(str(part)) for part in (found["part"], found["source"], found["url"] or ""))
        lines.append(f"  {similarity:>6}  {printable_line(found['id'])}  {place}".rstrip())
    return "\n".join(lines if answer["similar"] else [*lines, "  nothing like it"])


def info(index: Path, *, check: bool) -> dict[str, Any]:
    """What an index says of itself and of its parts.

    Args:
        check: also reads all files and compares their SHA-256.

    Raises:
        InputError: if it is missing or damaged.
    """
    opened = open_index(index)
    parts = []
    for label in opened.numbers:
        folder = opened.part_folder(label)
        part = open_part(folder)
        opened.form.check(part.form, folder)
        if check:
            part.check_content()
        size = sum(facts["bytes"] for facts in part.files.values())
        parts.append(
            {"part": label, "number": part.number, "rows": part.rows, "bytes": size, "sources": dict(part.sources)}
        )
    return {"index": str(index), "kind": opened.form.kind, "parameters": dict(opened.form.parameters), "parts": parts}


def info_as_text(told: dict[str, Any]) -> str:
    """The same as lines."""
    parameters = ", ".join(f"{name} {value}" for name, value in told["parameters"].items())
    lines = [f"{told['index']}: {told['kind']} ({parameters})"]
    for part in told["parts"]:
        sources = ", ".join(f"{printable_line(name)} {rows:,}" for name, rows in part["sources"].items())
        lines.append(f"  {part['part']:<24}{part['rows']:>14,} documents{part['bytes'] / 1e6:>12,.1f} MB  {sources}")
    return "\n".join(lines if told["parts"] else [*lines, "  no parts"])
