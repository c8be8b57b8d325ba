"""Samples of texts for training and judging tokenizers: from datasets, runs and files, by keyed hash, with weights.

An input is one of

    a dataset of ours      its train split, of all its stages if it has several; held out is its validation split
    a run's folder         its dataset, or if it has none, what it curated
    files                  JSON lines, Parquet or text files, folders of them, globs

NAME=PATH names the source of all its texts.

A text's key is a hash of the text and the seed, and a sample is the texts of the lowest keys. So it depends neither on
the order of files and rows nor on what else there is, and copies of a text are in it together: repetition weighs as it
does in the mix. Of what has no validation split, texts with keys in another range are held out.

A row has `text`, `source` (string) and `language` (string, null where unknown).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents import segmentation
from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import InputError, nearest
from corpusmill.filters.training_texts import training_texts
from corpusmill.mix.keys import KEYS, below, keyed

HELD_OUT_SHARE = 0.02
"""Of the texts of an input without a validation split."""
ROW = pa.schema([("text", pa.string()), ("source", pa.string()), ("language", pa.string())])

_BATCH_ROWS = 256
_MORE_THAN_WANTED = 1.5  # of a shuffled dataset's row groups: sizes are those of the file
_BY_KEY = "tokenizer sample"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Where texts of an input are.

    source    the name of all its texts; None where rows have a source of their own
    train     files to train on
    held_out  files of its validation split; empty if it has none
    shuffled  whether rows stand in random order, so that some row groups are a fair sample
    """

    source: str | None
    train: tuple[Path, ...]
    held_out: tuple[Path, ...] = ()
    shuffled: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Texts that were drawn.

    rows     as ROW, in the order of their keys
    sources  UTF-8 bytes of text for each source
    """

    rows: pa.Table
    sources: dict[str, int]

    @property
    def text_bytes(self) -> int:
        return sum(self.sources.values())

    def batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self.rows.to_batches(max_chunksize=_BATCH_ROWS))


def find_corpora(inputs: Sequence[str]) -> list[Corpus]:
    """What the inputs are.

    Raises:
        InputError: if there is nothing at one of them.
    """
    return [corpus for given in inputs for corpus in _corpora(given)]


def _corpora(given: str) -> list[Corpus]:
    name, separator, rest = given.partition("=")
    named = separator and not Path(given).exists()
    source, path = (name, rest) if named else (None, given)
    folder = Path(path)
    mixed = folder / "dataset" if (folder / "dataset").is_dir() else folder
    stages = sorted({shard.parent.parent for shard in mixed.glob("*/data/train-*.parquet")})
    datasets = [mixed] if (mixed / "data").is_dir() else stages
    if found := [dataset for dataset in datasets if any((dataset / "data").glob("train-*.parquet"))]:
        return [
            Corpus(
                source=source,
                train=tuple(sorted((dataset / "data").glob("train-*.parquet"))),
                held_out=tuple(sorted((dataset / "data").glob("validation-*.parquet"))),
                shuffled=True,
            )
            for dataset in found
        ]
    if parts := sorted(folder.glob("*/curated/*.parquet")):
        return [Corpus(source=source, train=tuple(parts))]
    return [Corpus(source=source or folder.stem, train=(folder,))]


def draw(
    corpora: Sequence[Corpus],
    *,
    text_bytes: int,
    seed: int,
    weights: Mapping[str, float] | None = None,
    held_out: bool = False,
    field: str = "text",
) -> Sample:
    """A sample of up to `text_bytes` of UTF-8.

    Args:
        weights: share of each source in the sample; where one has too little, the sample is as much smaller. None: as
            the inputs have them.
        held_out: of the held-out texts, not of those to train on.

    Raises:
        InputError: if a file cannot be read, no text is there, or a weight names no source.
    """
    shares = None if weights is None else _shares(weights)
    kept: dict[str, _Lowest] = {}
    for corpus in corpora:
        for rows in _rows(corpus, text_bytes, seed, held_out, field, whole=shares is not None):
            keys = keyed(_text_hashes(rows.column("text")), seed, _BY_KEY)
            if not corpus.held_out:
                rows, keys = _part(rows, keys, held_out)
            if shares is None:
                kept.setdefault("", _Lowest(text_bytes)).add(rows, keys)
                continue
            sources = rows.column("source")
            for source in pc.unique(sources).to_pylist():
                mine = np.flatnonzero(pc.equal(sources, source).to_numpy(zero_copy_only=False))
                if source in shares:
                    limit = int(text_bytes * shares[source])
                    kept.setdefault(source, _Lowest(limit)).add(rows.take(pa.array(mine)), keys[mine])
                else:
                    kept.setdefault(source, _Lowest(0))
    if shares is not None:
        _check_sources(shares, kept)
        whole = min(text_bytes, *(int(kept[source].text_bytes / share) for source, share in shares.items()))
        kept = {source: kept[source].cut(int(whole * share)) for source, share in shares.items()}
    parts = [part for lowest in kept.values() for part in lowest.parts()]
    table = pa.Table.from_batches([rows for rows, _ in parts], ROW)
    order = np.argsort(np.concatenate([np.zeros(0, np.uint64), *(keys for _, keys in parts)]), kind="stable")
    table = _large(table).take(pa.array(order))
    return Sample(rows=table, sources=_bytes_by_source(table))


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    if not weights or not all(weight > 0 for weight in weights.values()):
        raise InputError(f"weights: {dict(weights)} are not all above 0; leave out what is to have no share")
    return {source: weight / total for source, weight in weights.items()}


def _check_sources(shares: Mapping[str, float], kept: Mapping[str, _Lowest]) -> None:
    for source in shares:
        if source not in kept or kept[source].text_bytes == 0:
            known = sorted(name for name in kept if name not in shares)
            close = nearest(source, known)
            mend = f"did you mean {close!r}?" if close else f"there are {', '.join(sorted(kept)) or 'none'}"
            raise InputError(f"weights: no text of a source {source!r} is in the input; {mend}")


class _Lowest:
    """Of many rows, those of the lowest keys that have at most so many bytes of text; all of one key or none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bound = KEYS
        self._parts: list[tuple[pa.RecordBatch, NDArray[np.uint64]]] = []
        self.text_bytes = 0

    def add(self, rows: pa.RecordBatch, keys: NDArray[np.uint64]) -> None:
        if self._limit == 0 or len(rows) == 0:
            return
        if self._bound < KEYS:
            inside = np.flatnonzero(below(keys, self._bound))
            rows, keys = rows.take(pa.array(inside)), keys[inside]
        self._parts.append((rows, keys))
        self.text_bytes += pc.sum(pc.binary_length(rows.column("text"))).as_py() or 0
        if self.text_bytes > 2 * self._limit:
            self.cut(self._limit)

    def cut(self, limit: int) -> _Lowest:
        """Keeps no more than `limit` bytes, but always one text."""
        self._limit = limit
        if self.text_bytes <= limit:
            return self
        keys = np.concatenate([keys for _, keys in self._parts])
        sizes = np.concatenate([pc.binary_length(rows.column("text")).to_numpy() for rows, _ in self._parts])
        order = np.argsort(keys, kind="stable")
        beyond = np.flatnonzero(np.cumsum(sizes[order].astype(np.int64)) > limit)
        first = int(beyond[0])
        self._bound = int(keys[order[first]]) if first else int(keys[order[0]]) + 1
        parts = []
        for rows, own in self._parts:
            inside = np.flatnonzero(below(own, self._bound))
            parts.append((rows.take(pa.array(inside)), own[inside]))
        self._parts = parts
        self.text_bytes = sum(pc.sum(pc.binary_length(rows.column("text"))).as_py() or 0 for rows, _ in parts)
        return self

    def parts(self) -> list[tuple[pa.RecordBatch, NDArray[np.uint64]]]:
        """Rows and keys, in the order in which they came."""
        return self.cut(self._limit)._parts


def _part(rows: pa.RecordBatch, keys: NDArray[np.uint64], held_out: bool) -> tuple[pa.RecordBatch, NDArray[np.uint64]]:
    """The rows that are held out, or the others."""
    held = below(keyed(keys, 0, "held out"), int(HELD_OUT_SHARE * KEYS))
    inside = np.flatnonzero(held if held_out else ~held)
    return rows.take(pa.array(inside)), keys[inside]


def _text_hashes(texts: pa.StringArray) -> NDArray[np.uint64]:
    first, second = np.empty(len(texts), np.uint64), np.empty(len(texts), np.uint64)
    segmentation.hash_documents(*text_buffers(texts), first, second)
    return first


def _rows(
    corpus: Corpus, text_bytes: int, seed: int, held_out: bool, field: str, *, whole: bool
) -> Iterator[pa.RecordBatch]:
    files = corpus.held_out if held_out and corpus.held_out else corpus.train
    if corpus.shuffled:
        share = HELD_OUT_SHARE if held_out and not corpus.held_out else 1
        wanted = None if whole else int(_MORE_THAN_WANTED * text_bytes / share)
        for path, group in _row_groups(files, wanted, seed):
            with pq.ParquetFile(path) as file:
                yield from _table_rows(path, file, [group], corpus.source, field)
        return
    for path in files:
        if path.suffix == ".parquet" and path.is_file():
            with pq.ParquetFile(path) as file:
                yield from _table_rows(path, file, range(file.num_row_groups), corpus.source, field)
            continue
        for texts in training_texts([str(path)], field=field):
            nulls = pa.nulls(len(texts), pa.string())
            source = pa.array([corpus.source] * len(texts), pa.string())
            yield pa.RecordBatch.from_arrays([texts, source, nulls], schema=ROW)


def _row_groups(files: Sequence[Path], wanted: int | None, seed: int) -> list[tuple[Path, int]]:
    """Row groups of shuffled files, in keyed order, that have at least `wanted` bytes of columns together."""
    groups, sizes = [], []
    for path in files:
        metadata = pq.read_metadata(path)
        groups += [(path, group) for group in range(metadata.num_row_groups)]
        sizes += [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    if wanted is None:
        return groups
    names = pa.array([f"{path.name}/{group}" for path, group in groups], pa.string())
    order = np.argsort(keyed(_text_hashes(names), seed, "row groups"), kind="stable")
    enough = int(np.searchsorted(np.cumsum(np.array(sizes, np.int64)[order]), wanted)) + 1
    return [groups[place] for place in order[:enough]]


def _table_rows(
    path: Path, file: pq.ParquetFile, groups: Iterable[int], source: str | None, field: str
) -> Iterator[pa.RecordBatch]:
    names = file.schema_arrow.names
    if field not in names or file.schema_arrow.field(field).type not in (pa.string(), pa.large_string()):
        raise InputError(f'{path}: has no string column "{field}", but {", ".join(names)}; name the right one')
    own_source = source is None and "source" in names
    columns = [field, *(["source"] if own_source else []), *(["language"] if "language" in names else [])]
    for group in groups:
        for batch in file.iter_batches(_BATCH_ROWS, [group], columns, use_threads=False):
            texts = batch.column(0).fill_null("").cast(pa.string())
            sources = batch.column("source") if own_source else pa.array([source or path.stem] * len(batch))
            languages = batch.column("language") if "language" in names else pa.nulls(len(batch), pa.string())
            arrays = [texts, sources.cast(pa.string()).fill_null(""), languages.cast(pa.string())]
            yield pa.RecordBatch.from_arrays(arrays, schema=ROW)


def _large(table: pa.Table) -> pa.Table:
    """The table with 64-bit offsets of texts, so that a sample of more than 2 GB can be put in order."""
    return table.set_column(0, "text", table.column("text").cast(pa.large_string()))


def _bytes_by_source(table: pa.Table) -> dict[str, int]:
    sized = pa.table({"source": table.column("source"), "size": pc.binary_length(table.column("text"))})
    sums = sized.group_by("source").aggregate([("size", "sum")]).sort_by("source")
    return dict(zip(sums.column("source").to_pylist(), sums.column("size_sum").to_pylist(), strict=True))
