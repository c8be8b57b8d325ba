"""What tests of stages share: titled cases, and documents that know their file's name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.contract import Filter


def cases(stage: str) -> list[dict[str, Any]]:
    path = Path(__file__).parents[1] / "cases" / f"{stage}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(texts: Sequence[str], paths: Sequence[str | None]) -> TextBatch:
    """Documents as the `code` reader makes them."""
    metadata = [None if path is None else json.dumps({"path": path}) for path in paths]
    return TextBatch.of_texts(texts).with_column("metadata", pa.array(metadata, pa.string()))


def document_of(case: dict[str, Any]) -> TextBatch:
    text = case["text"] if isinstance(case["text"], str) else "".join(piece * times for piece, times in case["text"])
    batch = files([text], [case.get("path")])
    if "metadata" in case:
        batch = batch.with_column("metadata", pa.array([json.dumps(case["metadata"])], pa.string()))
    return batch.with_column("url", pa.array([case.get("url")], pa.string()))


def stage_of(kind: type[Filter], case: dict[str, Any]) -> Filter:
    options = case.get("options", {})
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()})


def verdicts_of(stage: Filter, batch: TextBatch) -> list[str | None]:
    names = [reason.value for reason in stage.reasons]
    return [None if index is None else names[index] for index in stage.judge(stage.measure(batch)).to_pylist()]
