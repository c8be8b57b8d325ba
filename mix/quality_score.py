"""Q, the quality score of a dataset: the share of its tokens that are uncorrupted and not redundant.

Subramanyam, Chen and Grossman 2025, "Scaling Laws Revisited: Modeling the Role of Data Quality in Language Model
Pretraining" (arXiv:2510.03313), put Q in (0, 1] into the scaling law L = A/N^α + B/(D^β·Q^γ) + E; this is their first
estimator, Q = 1 − corruption rate, with redundancy counted as they define the rate.

Every token is lost at most once, in this order, so that 1 − Q is the sum of the losses:

    epochs                             rows that repeat a document by its id (repeated passes)
    duplicates                         rows with the text of another document
    mojibake, unreadable, non_language corrupted windows of the rest (mix/corruption.py)
    repetition                         runs of 13 words that the same document has had before (mix/repetition.py)
    overlap                            runs of 13 words that another document has, too; one of them keeps it

Differs from the paper: a window of 2,048 bytes is corrupted, not a whole sample; repetition counts in full, not by a
decay (mix/selection.py has the decay, as effective units). Tokens are the dataset's count column, or bytes where it
has none.

Overlap is estimated from runs sampled by their hash, so that a run is in the sample in every document or in none.
With `sampling_bits` b one run in 2^b is kept. All else is measured on every row.

A partial file (one for each part) is an `.npz` without pickled objects: for each row hashes of id and text, tokens,
the losses, and how many runs; and the sampled runs. `combine` holds about 150 bytes a row and 60 bytes a sampled run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import atomic_file, read_batches
from corpusmill.mix.corruption import KINDS, corruption
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.repetition import repetition
from corpusmill.mix.units import COUNT_COLUMNS

DEFINITION = (
    "Q is the share of the train split's tokens that are neither corrupted (mojibake, unreadable characters, text "
    "that is no language) nor redundant (repeated passes, exact duplicates, repetition within a document, overlap with "
    "another), after Subramanyam et al. 2025 (arXiv:2510.03313)."
)
_BATCH_ROWS = 256
_SAMPLED_TEXT_BYTES = 40_000_000
"""Up to so much text, every run is kept: about 5 million runs, 160 MB in `combine`."""


@dataclass(frozen=True, kw_only=True)
class QualityScore:
    """Q and what it lost to what, each a share of all tokens.

    documents   rows
    tokens      in the unit of the count column, or bytes
    """

    q: float
    epochs: float
    duplicates: float
    mojibake: float
    unreadable: float
    non_language: float
    repetition: float
    overlap: float
    documents: int
    tokens: int
    definition: str = DEFINITION

    @property
    def corruption(self) -> float:
        """Share of tokens lost to corruption of any kind."""
        return self.mojibake + self.unreadable + self.non_language

    @property
    def redundancy(self) -> float:
        """Share of tokens lost to redundancy of any kind."""
        return self.epochs + self.duplicates + self.repetition + self.overlap

    def losses(self) -> dict[str, float]:
        """The parts of 1 − Q, in the order in which they are taken."""
        return {name: getattr(self, name) for name in LOSSES}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"corruption": self.corruption, "redundancy": self.redundancy}


LOSSES = ("epochs", "duplicates", *KINDS, "repetition", "overlap")


def sampling_bits(text_bytes: int) -> int:
    """How thinly runs are sampled in a dataset of so much text: the same for all its parts.

    >>> sampling_bits(1_000_000), sampling_bits(10**12)
    (0, 15)
    """
    return max(0, (text_bytes // _SAMPLED_TEXT_BYTES).bit_length())


def score_part(part: Path, out: Path, *, bits: int = 0) -> None:
    """Measures one Parquet file with the columns `id` and `text`, and writes what `combine` needs.

    Args:
        bits: from `sampling_bits` of the whole dataset's text.

    Raises:
        StorageError: if the disk is full.
    """
    with pq.ParquetFile(part) as file:
        counts = [name for name in dict.fromkeys(COUNT_COLUMNS.values()) if name in file.schema_arrow.names]
        columns = ["id", "text", *counts[:1]]
        pieces = [_measured(TextBatch(batch), bits) for batch in read_batches(file, _BATCH_ROWS, columns)]
    joined: dict[str, Any] = {name: np.concatenate([piece[name] for piece in [_EMPTY, *pieces]]) for name in _EMPTY}
    with atomic_file(out) as stream:
        np.savez(stream, **joined)


def combine(partials: Sequence[Path]) -> QualityScore:
    """The score of the dataset whose parts were measured, in any order."""
    parts = [_loaded(path) for path in partials]
    rows = {name: np.concatenate([part[name] for part in [_EMPTY, *parts]]) for name in _EMPTY}
    tokens = rows["tokens"].astype(np.float64)
    total = float(tokens.sum())
    if total == 0:
        nothing: dict[str, Any] = dict.fromkeys(LOSSES, 0.0)
        return QualityScore(q=1.0, documents=len(tokens), tokens=0, **nothing)
    unique, repeated_id = _unique_rows(rows["text_hash"], rows["id_hash"])
    lost = {
        "epochs": float(tokens[repeated_id].sum()),
        "duplicates": float(tokens[~unique & ~repeated_id].sum()),
    }
    left = np.where(unique, tokens, 0.0)
    for number, kind in enumerate(KINDS):
        lost[kind] = float((left * rows["corrupted"][:, number]).sum())
    left = left * (1 - rows["corrupted"].sum(axis=1))
    lost["repetition"] = float((left * rows["repeated"]).sum())
    left = left * (1 - rows["repeated"])
    lost["overlap"] = float(left.sum()) * _overlap(rows, unique, left)
    shares: dict[str, Any] = {name: value / total for name, value in lost.items()}
    return QualityScore(q=1 - sum(shares.values()), documents=len(tokens), tokens=int(total), **shares)


_EMPTY: Mapping[str, NDArray[Any]] = {
    "id_hash": np.empty(0, np.uint64),
    "text_hash": np.empty(0, np.uint64),
    "tokens": np.empty(0, np.int64),
    "corrupted": np.empty((0, len(KINDS)), np.float64),
    "repeated": np.empty(0, np.float64),
    "runs": np.empty(0, np.int32),  # all of them
    "sampled": np.empty(0, np.int32),  # how many of `run` are this row's
    "run": np.empty(0, np.uint64),
}


def _measured(batch: TextBatch, bits: int) -> dict[str, NDArray[Any]]:
    firsts, runs, repeated = repetition(batch.words)
    sampled = (runs >> np.uint64(8)) & np.uint64((1 << bits) - 1) == 0  # the lowest bit is always set
    before = np.concatenate([[0], np.cumsum(sampled)])[firsts]
    counts = [name for name in batch.documents.schema.names if name not in ("id", "text")]
    sizes = np.diff(batch.offsets)
    return {
        "id_hash": id_hashes(batch.documents.column("id")),
        "text_hash": batch.document_hashes[0],
        "tokens": (batch.documents.column(counts[0]).to_numpy() if counts else sizes).astype(np.int64),
        "corrupted": corruption(batch.offsets, batch.text),
        "repeated": repeated,
        "runs": np.diff(firsts),
        "sampled": np.diff(before).astype(np.int32),
        "run": runs[sampled],
    }


def _loaded(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in _EMPTY}


def _unique_rows(
    text_hash: NDArray[np.uint64], id_hash: NDArray[np.uint64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are the first with their text, and which repeat a row by text and id, in the order of the hashes."""
    order = np.lexsort((id_hash, text_hash))
    texts, ids = text_hash[order], id_hash[order]
    same_text = np.zeros(len(order), np.bool_)
    same_text[1:] = texts[1:] == texts[:-1]
    same_id = same_text.copy()
    same_id[1:] &= ids[1:] == ids[:-1]
    unique, repeated_id = np.empty(len(order), np.bool_), np.empty(len(order), np.bool_)
    unique[order], repeated_id[order] = ~same_text, same_id
    return unique, repeated_id


def _overlap(rows: Mapping[str, NDArray[Any]], unique: NDArray[np.bool_], left: NDArray[np.float64]) -> float:
    """The share of the tokens that are `left` which stand in runs of another document.

    Of the documents that share a run, the one with the smallest text hash keeps it.
    """
    row = np.repeat(np.arange(len(left)), rows["sampled"])
    of_unique = unique[row]
    row, run = row[of_unique], rows["run"][of_unique]
    weight = left[row] / rows["runs"][row]
    order = np.lexsort((rows["text_hash"][row], run))
    again = np.zeros(len(order), np.bool_)
    again[1:] = run[order][1:] == run[order][:-1]
    total = float(weight.sum())
    return float(weight[order][again].sum()) / total if total else 0.0
