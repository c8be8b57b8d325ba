"""What all cells of a sweep share: the table of documents, their token ids, and the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.errors import DamagedRunError
from corpusmill.documents.shards import write_table
from corpusmill.mix.groups import look_up
from corpusmill.mix.keys import HELD_OUT, splits_of
from corpusmill.mix.placement import rows_of
from corpusmill.mix.slices import Case, components
from corpusmill.scaling.contract import Tokens
from corpusmill.scaling.encoded import gather
from corpusmill.scaling.pools import DOCUMENTS, POOL, SCORE, check_heldout, check_scores
from corpusmill.scaling.sweep_options import SweepOptions

SIZES = ("tokens", "text_bytes")
"""Measures that the index of token ids itself has, for every document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPart:
    """A curated part of a source with what was made of it.

    documents  the part itself
    ledger     its rows of the ledger
    ids        its token ids (scaling/encoded.py)
    index      where they begin
    """

    source: str
    documents: Path
    ledger: Path
    ids: Path
    index: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a sweep trains on and measures with.

    parts        of all its sources
    file         the table of documents (scaling/pools.py), in the order of the parts
    tokenizer    the tokenizer.json
    vocab_size   token ids are below it
    eos_id       stands between documents
    options      held-out sets and the seed are theirs
    basis        fingerprint of the token ids and of what is held out, whatever the pools and scores
    fingerprint  of the table of documents
    """

    parts: tuple[EncodedPart, ...]
    file: Path
    tokenizer: Path
    vocab_size: int
    eos_id: int
    options: SweepOptions
    basis: str
    fingerprint: str

    @property
    def documents(self) -> pa.Table:
        """A row a curated document."""
        return _read(self.file, self.fingerprint)

    def take(self, rows: NDArray[np.int64]) -> Tokens:
        """The tokens of these rows of the table, in their order."""
        wanted = self.documents.select(["part", "first", "tokens", "text_bytes", "id"]).take(pa.array(rows))
        return gather([part.ids for part in self.parts], wanted)


@lru_cache(maxsize=2)
def _read(file: Path, fingerprint: str) -> pa.Table:
    """Kept, since a worker runs many cells of one sweep."""
    return pq.read_table(file).combine_chunks()


def write_documents(parts: Sequence[EncodedPart], groups: Path, options: SweepOptions, out: Path) -> None:
    """Writes the table of documents.

    Raises:
        InputError: if a document of a pool has no score, or a held-out set overlaps.
        RecipeError: if a condition fails on a document, or a source has not what a score is taken from.
    """
    tables = [_documents_of(number, part, groups, options) for number, part in enumerate(parts)]
    table = pa.concat_tables(tables).combine_chunks()
    check_scores(table, options)
    check_heldout(table, options.heldout.whole)
    write_table(out, table.to_batches(), table.schema)


def _documents_of(number: int, part: EncodedPart, groups: Path, options: SweepOptions) -> pa.Table:
    """The rows of one part."""
    index = pq.read_table(part.index)
    pools = {name: pool for name, pool in options.pools.items() if part.source in pool.sources}
    measures = {name: score.measure for name, score in options.scores.items()} if pools else {}
    cases = [Case(name, pool.where, None) for name, pool in pools.items()]
    rows = rows_of(part.documents, part.ledger, cases, list(measures.values()))
    if not rows.column("id").equals(index.column("id")):
        raise DamagedRunError(f"{part.index}: is not of the documents of {part.documents}; run the same command again")
    hashes = index.column("id_hash").to_numpy()
    group_hashes = look_up(groups, hashes)
    splits = splits_of(group_hashes, options.seed, 0.0, options.heldout.share)
    if part.source in options.heldout.whole:
        splits[:] = HELD_OUT
    columns: dict[str, pa.Array] = {
        "source": pa.array([part.source]).take(pa.array(np.zeros(len(index), np.int64))),
        "part": pa.array(np.full(len(index), number, np.int32)),
        "group_hash": pa.array(group_hashes),
        "split": pa.array(splits),
        **{name: index.column(name) for name in ("id", "id_hash", "first", "tokens", "text_bytes")},
    }
    table = pa.table([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS)
    for name in options.pools:
        inside = np.zeros(len(index), np.bool_)
        if name in pools:
            chosen = components(rows, [Case(name, pools[name].where, None)], "sweep.pools")
            inside = chosen.is_valid().to_numpy(zero_copy_only=False)
        table = table.append_column(POOL + name, pa.array(inside))
    for name in options.scores:
        table = table.append_column(SCORE + name, _score(rows, index, measures.get(name)))
    return table


def _score(rows: pa.Table, index: pa.Table, measure: str | None) -> pa.ChunkedArray | pa.Array:
    if measure is None:
        return pa.nulls(len(rows), pa.float64())
    return (index if measure in SIZES else rows).column(measure).cast(pa.float64())
