"""Samples of what was kept and of what each rule dropped: the beginnings of a few texts, for the report.

    id          string, not null
    stage       string             null for a document that stayed
    reason      string             null for a document that stayed
    text_bytes  int64, not null    length of the whole text at that point
    text        string, not null   its first SAMPLE_CHARACTERS

Ids are hashes, so the documents with the smallest ids are a random sample that does not depend on workers or order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import write_table

SAMPLES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
SAMPLE_CHARACTERS = 4000
SAMPLES_PER_REASON = 5
_KEPT = (None, None)


class Samples:
    """Keeps the SAMPLES_PER_REASON documents with the smallest ids for each reason, and as many that stayed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}

    def dropped(self, stage: str, reasons: Sequence[str], batch: TextBatch, rows: np.ndarray[Any, Any]) -> None:
        """Offers the documents at `rows` of `batch`, each dropped for its entry of `reasons`."""
        named = np.asarray(reasons, object)
        for reason in sorted(set(named.tolist())):
            self._offer((stage, reason), batch, rows[named == reason])

    def stayed(self, batch: TextBatch) -> None:
        """Offers documents that reached the end."""
        self._offer(_KEPT, batch, np.arange(len(batch)))

    def _offer(self, key: tuple[str | None, str | None], batch: TextBatch, rows: np.ndarray[Any, Any]) -> None:
        best = self._kept.setdefault(key, [])
        ids = batch.documents.column("id").take(pa.array(rows))
        for place in pc.sort_indices(ids)[:SAMPLES_PER_REASON].to_pylist():
            text = batch.texts[int(rows[place])]
            best.append(
                {
                    "id": ids[place].as_py(),
                    "stage": key[0],
                    "reason": key[1],
                    "text_bytes": len(text.as_buffer()),
                    "text": pc.utf8_slice_codeunits(text, 0, SAMPLE_CHARACTERS).as_py(),
                }
            )
        best.sort(key=lambda sample: sample["id"])
        del best[SAMPLES_PER_REASON:]

    def write(self, path: Path) -> None:
        rows = [sample for key in sorted(self._kept, key=str) for sample in self._kept[key]]
        write_table(path, pa.Table.from_pylist(rows, SAMPLES).to_batches(), SAMPLES)


def read_samples(paths: Iterable[Path]) -> dict[tuple[str | None, str | None], list[dict[str, Any]]]:
    """The samples of several parts: for each (stage, reason), those with the smallest ids."""
    together: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for path in paths:
        with pq.ParquetFile(path) as file:
            for sample in file.read().to_pylist():
                together.setdefault((sample["stage"], sample["reason"]), []).append(sample)
    for samples in together.values():
        samples.sort(key=lambda sample: sample["id"])
        del samples[SAMPLES_PER_REASON:]
    return together
