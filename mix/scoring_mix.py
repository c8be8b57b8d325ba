"""What the score notes of a curated part of a mix: each document that is in the train split, with how often it occurs.

A document is read once, however often the dataset repeats it, so that a mix of many passes costs no more than one. The
sample is a share of the different documents, by near-duplicate groups where these are known (mix/groups.py), so that
near copies are in it together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mix.part_rows import PartRows
from corpusmill.mix.quality_score import sampling_bits
from corpusmill.mix.scoring_rows import Piece, Sampling, write_rows
from corpusmill.mix.selection import Selection
from corpusmill.mix.units import COUNT_COLUMNS

_PLACED = ("id_hash", "group_hash", "component", "copies", "units")
_BATCH_ROWS = 256


def score_placed(part: Path, placed: Path, selection: Selection, out: Path, *, grouped: bool) -> None:
    """Notes what `quality_score.combine` needs of a curated part.

    Args:
        placed: its placement (mix/placement.py).
        grouped: whether `group_hash` there tells near-duplicates, and is not the document's own hash.

    Raises:
        StorageError: if the disk is full.
    """
    unique = sum(int(one.text_bytes * one.unique_units / one.units) for one in selection.components if one.units)
    share = 2.0 ** -sampling_bits(unique)
    placement = pq.read_table(placed, columns=list(_PLACED))
    write_rows(_pieces(part, placement, selection, grouped), out, Sampling(share=share), COUNT_COLUMNS[selection.unit])


def _pieces(part: Path, placement: pa.Table, selection: Selection, grouped: bool) -> Iterator[Piece]:
    rows = PartRows.of(placement, selection)
    groups, per_pass = (placement.column(name).to_numpy() for name in ("group_hash", "copies"))
    occurrences = rows.times_in_train(selection)
    with pq.ParquetFile(part) as file:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            if occurrences[first:last].any():
                row = first
                for batch in file.iter_batches(_BATCH_ROWS, [group], ["text"], use_threads=False):
                    places = row + np.flatnonzero(occurrences[row : row + batch.num_rows])
                    row += batch.num_rows
                    if len(places):
                        yield Piece(
                            texts=batch.column("text").take(pa.array(places - (row - batch.num_rows))),
                            id_hash=rows.hashes[places],
                            key=groups[places] if grouped else None,
                            copies=occurrences[places],
                            per_pass=per_pass[places],
                            tokens=rows.units[places],
                            components=placement.column("component").take(pa.array(places)).combine_chunks(),
                        )
            first = last
