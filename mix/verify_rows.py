"""What the rows of a dataset's shards hold, counted again: the part of `corpusmill verify` that reads Parquet.

A shard is read a row group at a time. In memory stay 34 bytes for each row that is not in the train split: hashes of
its id and text, in which those of the other splits are looked up; and of a dataset with stages 8 bytes for each
document of the train split that must be in one stage alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import id_hashes
from corpusmill.documents.shards import ContentHash, read_batches
from corpusmill.mix.options import Unit
from corpusmill.mix.selection import heldout_split
from corpusmill.mix.tokens import Tokens
from corpusmill.mix.units import COUNT_COLUMNS, count_units

VALUES = ("source", "language", "license")
"""Columns whose values the manifest counts."""
_HELDOUT = heldout_split("")
_BATCH_ROWS = 256  # books have about a megabyte each


@dataclass(kw_only=True)
class ComponentSums:
    """Rows and units of one component; `largest` is the document with the most units."""

    documents: int = 0
    units: int = 0
    largest: int = 0

    def add(self, units: NDArray[np.int64]) -> None:
        self.documents += len(units)
        self.units += int(units.sum())
        self.largest = max(self.largest, int(units.max(initial=0)))

    def merge(self, other: ComponentSums) -> None:
        self.documents += other.documents
        self.units += other.units
        self.largest = max(self.largest, other.largest)


@dataclass(kw_only=True)
class Miscounts:
    """Rows whose count is not that of their text, and the first of them: its id, its count, and what its text has."""

    rows: int = 0
    first: tuple[str, int, int] | None = None

    def add(self, batch: pa.RecordBatch, said: NDArray[np.int64], found: NDArray[np.int64]) -> None:
        wrong = np.flatnonzero(said != found)
        self.rows += len(wrong)
        if len(wrong) and self.first is None:
            row = int(wrong[0])
            self.first = (batch.column("id")[row].as_py(), int(said[row]), int(found[row]))


@dataclass(kw_only=True)
class ShardSums:
    """What a shard holds.

    documents      column -> value -> rows; null is the empty name
    licenses       source -> licence -> rows
    components     component -> its sums
    largest_group  bytes of text in the row group with the most, its last document left out
    miscounts      of units, except tokens
    repeated       rows of a split that is held out whose document is there already
    twice          rows that stand in an earlier split, too; the first: "document" or "text", its id, that split
    """

    rows: int = 0
    units: int = 0
    text_bytes: int = 0
    characters: int = 0
    content_hash: str = ""
    documents: dict[str, Counter[str]] = field(default_factory=lambda: {column: Counter() for column in VALUES})
    licenses: dict[str, Counter[str]] = field(default_factory=dict)
    components: dict[str, ComponentSums] = field(default_factory=dict)
    largest_group: int = 0
    miscounts: Miscounts = field(default_factory=Miscounts)
    repeated: int = 0
    twice: int = 0
    first_twice: tuple[str, str, str] = ("", "", "")


def is_heldout(split: str) -> bool:
    """Whether a split is a source's held-out set."""
    return split.startswith(_HELDOUT)


class HeldOut:
    """Hashes of what is held out, each with its split, to find them again.

    Two count as one if both of their 64-bit hashes are equal: among 10^9, a chance of 2e-21.
    """

    def __init__(self) -> None:
        self._splits: list[str] = []
        self._first, self._second = np.empty(0, np.uint64), np.empty(0, np.uint64)
        self._split = np.empty(0, np.uint8)

    def extend(self, first: NDArray[np.uint64], second: NDArray[np.uint64], split: str) -> None:
        """Takes in a shard of a split."""
        if split not in self._splits:
            self._splits.append(split)
        numbers = np.full(len(first), self._splits.index(split), np.uint8)
        first = np.concatenate([self._first, first])
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], np.concatenate([self._second, second])[order]
        self._split = np.concatenate([self._split, numbers])[order]

    def find(self, first: NDArray[np.uint64], second: NDArray[np.uint64]) -> Iterator[tuple[int, str]]:
        """The places of those that are held out, each with its split."""
        if len(self._first) == 0:
            return
        slots = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        hits = np.flatnonzero((self._first[slots] == first) & (self._second[slots] == second))
        for place in hits.tolist():
            yield place, self._splits[int(self._split[slots[place]])]


class RowReader:
    """Reads the shards of a dataset. Those of the train split come last, so that they are looked up in the others."""

    def __init__(self, unit: Unit, *, quick: bool, once: Callable[[str], bool] | None = None) -> None:
        """Reads nothing yet.

        Args:
            once: says of a component whether its documents may be in no other stage; None: there is no other.
        """
        self.unit = unit
        self.quick = quick
        self._once = once
        self._ids, self._texts = HeldOut(), HeldOut()
        self._taken = [np.empty(0, np.uint64)]

    def taken(self) -> NDArray[np.uint64]:
        """Hashes of the documents of the train split that no other stage may have, sorted."""
        return np.unique(np.concatenate(self._taken))

    def read(self, file: pq.ParquetFile, split: str) -> ShardSums:
        """Counts a shard; with `quick` from the small columns alone."""
        component = "component" if "component" in file.schema_arrow.names else "source"
        columns = [*dict.fromkeys((component, *VALUES, COUNT_COLUMNS[self.unit]))]
        sums, content = ShardSums(), ContentHash()
        hashes: list[tuple[NDArray[np.uint64], ...]] = []
        for group in range(file.num_row_groups):
            group_bytes = last = 0
            wanted = columns if self.quick else ["id", "text", *columns]
            for batch in file.iter_batches(_BATCH_ROWS, [group], wanted, use_threads=False):
                batch.validate(full=True)  # kernels walk its texts, and take them for UTF-8
                self._count(batch, component, sums)
                if batch.num_rows and not self.quick:
                    texts = TextBatch(batch)
                    self._measure(texts, sums)
                    content.add(batch.column("id"), batch.column("text"))
                    hashes.append(self._looked_up(texts, split, sums))
                    if split == "train" and self._once is not None:
                        self._taken.append(hashes[-1][0][self._own(batch.column(component))])
                    group_bytes += texts.n_bytes
                    last = int(texts.offsets[-1] - texts.offsets[-2])
            sums.largest_group = max(sums.largest_group, group_bytes - last)
        sums.content_hash = str(content)
        if split != "train" and hashes:
            id_first, id_second, text_first, text_second = (np.concatenate(column) for column in zip(*hashes))
            sums.repeated = len(id_first) - len(np.unique(id_first))
            self._ids.extend(id_first, id_second, split)
            self._texts.extend(text_first, text_second, split)
        return sums

    def _count(self, batch: pa.RecordBatch, component: str, sums: ShardSums) -> None:
        units = batch.column(COUNT_COLUMNS[self.unit]).to_numpy().astype(np.int64)
        if self.unit == "documents":
            units = np.ones(len(units), np.int64)
        sums.rows += len(units)
        sums.units += int(units.sum())
        for column, counts in sums.documents.items():
            counts.update({item["values"] or "": item["counts"] for item in batch[column].value_counts().to_pylist()})
        stated = pa.table({name: batch.column(name) for name in ("source", "license")})
        for row in stated.group_by(["source", "license"]).aggregate([([], "count_all")]).to_pylist():
            sums.licenses.setdefault(row["source"], Counter())[row["license"] or ""] += row["count_all"]
        names = batch.column(component).dictionary_encode()
        numbers = names.indices.to_numpy()
        for number, name in enumerate(names.dictionary.to_pylist()):
            sums.components.setdefault(name, ComponentSums()).add(units[numbers == number])

    def _own(self, components: pa.StringArray) -> NDArray[np.bool_]:
        own = [name for name in components.unique().to_pylist() if self._once is not None and self._once(name)]
        return pc.is_in(components, pa.array(own, pa.string())).to_numpy(zero_copy_only=False)

    def _measure(self, texts: TextBatch, sums: ShardSums) -> None:
        batch = texts.documents
        sums.text_bytes += texts.n_bytes
        sums.characters += pc.sum(pc.utf8_length(texts.texts)).as_py() or 0
        if self.unit != "tokens":
            counted = count_units(texts, "bytes" if self.unit == "documents" else self.unit, None)
            sums.miscounts.add(batch, batch.column(COUNT_COLUMNS[self.unit]).to_numpy(), counted)

    def _looked_up(self, texts: TextBatch, split: str, sums: ShardSums) -> tuple[NDArray[np.uint64], ...]:
        """The hashes of the ids and texts of a batch, once looked up in what is held out.

        Sources may have a text in common: their held-out sets have it, then, both, and no other split has.
        """
        ids = texts.documents.column("id")
        of_ids, of_texts = id_hashes(ids), texts.document_hashes
        found = {place: ("document", other) for place, other in self._ids.find(*of_ids)}
        for place, other in self._texts.find(*of_texts):
            if not (is_heldout(split) and is_heldout(other)):
                found.setdefault(place, ("text", other))
        if found and not sums.twice:
            place, (what, other) = min(found.items())
            sums.first_twice = (what, ids[place].as_py(), other)
        sums.twice += len(found)
        return (*of_ids, *of_texts)


def recount_tokens(file: pq.ParquetFile, tokens: Tokens, rows: int, text_bytes: int) -> tuple[int, Miscounts]:
    """Counts tokens of a shard's first rows again: at most `rows`, of about `text_bytes`."""
    told, counted = Miscounts(), 0
    for batch in read_batches(file, 16, ["id", "text", COUNT_COLUMNS["tokens"]]):
        told.add(batch, batch.column(COUNT_COLUMNS["tokens"]).to_numpy(), tokens.count(batch.column("text")))
        counted += batch.num_rows
        text_bytes -= batch.column("text").nbytes
        if counted >= rows or text_bytes <= 0:
            break
    return counted, told
