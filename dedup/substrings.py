"""substring_dedup: finds text that stands in a source more than once, word for word, and cuts it out.

A **window** is `min_length` units (words or bytes) in a row of one document. It is **repeated** if the same window
begins at an earlier place (by document id, then by position) and has ended there before it begins here; with `keep:
none`, also if it comes again later. The **passages** that go are the unions of repeated windows. So no window that is
left as it stood is left twice, and of each that repeats the first occurrence is not cut for its own sake (with `keep:
none`, all are).

This is the ExactSubstr of Lee et al. 2022, "Deduplicating training data makes language models better",
arXiv:2107.06499, section 4.1: repeats of 50 tokens. Differs from the paper:

- Units are words as the segmentation finds them (punctuation marks are words, white space is none, case counts) or
  bytes, not the tokens of a model. The same sentence counts where its lines are broken otherwise.
- The first occurrence stays by default; the paper cuts every one.
- A window that overlaps its earlier place is no repeat: of a line of ten thousand equal signs, about one window stays
  and the rest goes, where overlapping repeats would have taken all but the first sign.
- No suffix array, which takes four or eight bytes of memory for each byte of text, at random access. Documents leave
  fingerprints (substring_kernels.py) such that two equal windows always have one in common. Only windows that have a
  fingerprint that occurs twice are hashed, each once, and dealt by hash into files; the first place of each hash is
  found in a table; and what hashes call equal is compared unit by unit. All of that is linear in the text, whatever
  repeats in it. Where hashes collide (2^-64 for a pair, if no text is made for it), a repeat may stay; nothing is cut
  that is no repeat.

Sidecar, one row for each document:

    id            string
    units         int32
    fingerprints  list<uint64>   about 4 for every min_length units

`decide` takes 8 bytes for each different fingerprint that occurs twice, about 200 for each document that has one, and
some hundred MB of buffers; on disk 24 bytes (of bytes: 17) for each unit of those documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.dedup.contract import Deduplication, StepFiles
from corpusmill.dedup.substring_kernels import (
    Units,
    character_borders,
    copy_units,
    deal_rows,
    enter_table,
    enter_windows,
    find_repeats,
    hash_windows,
    join_marks,
    join_windows,
    mark_known,
    verify_repeats,
    winnow,
    word_borders,
)
from corpusmill.documents.barrier import EDITS, VERDICTS, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import DamagedRunError, RecipeError
from corpusmill.documents.ids import IdIndex, repeated_id, whole_ids
from corpusmill.documents.sidecars import Sidecars, dropped, observed_twice

SHORTEST, LONGEST = 4, 1_000_000
"""Units of the windows that can be asked for: a gram of fewer than two says nothing, and half a window is in memory."""
_TEXT_BYTES = 4_000_000  # texts of the documents at hand
_WINDOWS = 1 << 20  # hashed at a time, and read from a file at a time
_PART_ROWS = 1 << 21  # of a file of windows: a table of 48 MB or less
_MOST_PARTS = 8192  # enough for 10^10 windows and more
_NONE = np.empty(0, np.int64)


class Reason(StrEnum):
    TOO_LITTLE_LEFT = "too_little_left"


@dataclass(frozen=True, kw_only=True)
class SubstringDedup(Deduplication):
    """Cuts out, or marks, passages that stand in the source more than once."""

    name: ClassVar[str] = "substring_dedup"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("passages", pa.int32()),  # that are repeated; no row for a document without any
            pa.field("repeated_units", pa.int32()),  # words or bytes in them
            pa.field("repeated_share", pa.float64()),  # of the document's units
            pa.field("longest", pa.int32()),  # units of the longest of them
            pa.field("longest_in", pa.string()),  # the document where it, or its beginning, stands first
        ]
    )
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("units", pa.int32(), nullable=False),
            pa.field("fingerprints", pa.list_(pa.uint64()), nullable=False),
        ]
    )
    judged_fields: ClassVar[frozenset[str]] = Deduplication.judged_fields | {
        "keep", "within_documents", "action", "min_left_words",
    }  # fmt: skip

    min_length: int = 50
    """Units in a row that must be equal: the least length of a passage (Lee et al. 2022, section 4.1: 50 tokens)."""
    unit: Literal["words", "bytes"] = "words"
    """What is counted and compared. words: words and punctuation marks (those that touch are one) as they are written,
    whatever white space is between them; bytes: the text as it stands, white space included."""
    keep: Literal["first", "none"] = "first"
    """first: of each passage the first occurrence stays, by document id, then by position; none: none of them stays."""
    within_documents: bool = True
    """Whether what one document repeats counts, too; false: only what stands in another document, so that refrains and
    tables within one stay."""
    action: Literal["cut", "mark"] = "cut"
    """cut: passages are cut out, and documents that have too little left go; mark: the ledger has the measures, and all
    stays."""
    min_left_words: int = 20
    """With cut: words and punctuation marks that must be left of a document that was cut, or it goes."""

    def prepare(self) -> None:
        super().prepare()
        if not SHORTEST <= self.min_length <= LONGEST:
            raise RecipeError(
                f"{self.name}.min_length: {self.min_length} {self.unit} are no passage; use {SHORTEST} to {LONGEST}, "
                "such as 50"
            )
        if self.min_left_words < 0:
            raise RecipeError(f"{self.name}.min_left_words: {self.min_left_words} must not be negative")

    @property
    def gram(self) -> int:
        """Units of a gram. Longer ones repeat less often by chance; shorter ones need fewer fingerprints."""
        return self.min_length // 2

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        units, firsts = self.units(batch)
        found_firsts, values, _ = self._fingerprints(units, firsts)
        fingerprints = pa.ListArray.from_arrays(pa.array(found_firsts), pa.array(values))
        columns = [batch.documents.column("id"), pa.array(np.diff(firsts)), fingerprints]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def decide(
        self,
        sidecars: Sequence[Path],
        *,
        excluded: pa.StringArray,
        read_texts: ReadTexts,
        workspace: Path,
        done: StepFiles | None = None,
        seen: Sequence[Path] = (),
    ) -> Decision:
        rows = Sidecars(sidecars, self.sidecar, excluded)
        known = _repeated_fingerprints(rows, sidecars, workspace)
        documents = _candidates(rows, known)
        if len(documents.ids) == 0:
            return self._decision(_Passages(documents, _NONE, _NONE, _NONE, _NONE), read_texts)
        units, windows = self._windows(documents, known, read_texts, workspace)
        repeats = self._repeats(windows, documents, workspace)
        return self._decision(self._passages(repeats, units, documents), read_texts)

    def units(self, batch: TextBatch) -> tuple[Units, NDArray[np.int32]]:
        """The units of a batch; those of document d are from `firsts[d]` to `firsts[d + 1]`."""
        if self.unit == "bytes":
            return batch.text, batch.offsets
        words = _Words.of(batch)
        return words.hashes, words.firsts

    def _fingerprints(
        self, units: Units, firsts: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]]:
        """The first fingerprint of each document, their values, and where the reign of each begins."""
        width = self.min_length - self.gram + 1
        ring = np.empty(1 << (width - 1).bit_length(), np.uint64)
        found_firsts = np.empty(len(firsts), np.int32)
        count = int(firsts[-1] - firsts[0])
        # There are 2 / (width + 1) of them for each unit; only a text made for it has more than twice as many.
        for room in (4 * count // (width + 1) + len(firsts), count):
            values, since = np.empty(room, np.uint64), np.empty(room, np.int32)
            found = winnow(units, firsts, self.gram, width, ring, found_firsts, values, since)
            if found >= 0:
                break
        return found_firsts, values[:found], since[:found]

    def _windows(
        self, documents: _Documents, known: _Known, read_texts: ReadTexts, workspace: Path
    ) -> tuple[Units, _Spill]:
        """Reads the documents again: their units, one document after the other, and hash and place of each window of
        which a known fingerprint is the smallest."""
        total = int(documents.bases[-1])
        kind = np.uint8 if self.unit == "bytes" else np.uint64
        mapped = np.memmap(workspace / "units.bin", kind, "w+", shape=(total,))
        windows = _Spill(workspace, "windows", _part_count(total))
        for batch, ranks in documents.read(np.arange(len(documents.ids)), read_texts):
            units, firsts = self.units(batch)
            documents.check(ranks, np.diff(firsts) == documents.bases[ranks + 1] - documents.bases[ranks])
            copy_units(units, firsts, documents.bases[ranks], mapped)
            runs = self._runs(units, firsts, known)
            offsets = documents.bases[ranks[runs[2]]] - firsts[runs[2]]
            for begins, ends, offset in _portions(runs[0], runs[1], offsets):
                records = np.empty((int((ends - begins).sum()), 2), np.uint64)
                hash_windows(units, frozen(begins), frozen(ends), self.min_length, frozen(offset), records)
                windows.add(records, records[:, 0] >> np.uint64(32) & np.uint64(windows.parts - 1))
        return frozen(mapped), windows

    def _runs(
        self, units: Units, firsts: NDArray[np.int32], known: _Known
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Runs of windows over which known fingerprints reign: begin and end of each, and its document."""
        found_firsts, values, since = self._fingerprints(units, firsts)
        counts = np.diff(found_firsts)
        until = np.append(since[1:], np.int32(0))
        until[found_firsts[1:][counts > 0] - 1] = firsts[1:][counts > 0] - self.min_length + 1
        there = known.among(values)
        begins, ends, owners = since[there], until[there], np.repeat(np.arange(len(counts)), counts)[there]
        if len(begins) == 0:
            return begins, ends, owners
        # What follows at once belongs to the same run: the hash rolls on.
        new = np.append(True, (begins[1:] != ends[:-1]) | (owners[1:] != owners[:-1]))
        return begins[new], ends[np.append(np.flatnonzero(new)[1:] - 1, len(new) - 1)], owners[new]

    def _repeats(self, windows: _Spill, documents: _Documents, workspace: Path) -> _Spill:
        """The place of each window that is repeated, and another place of it."""
        total = int(documents.bases[-1])
        repeats = _Spill(workspace, "repeats", _part_count(total))
        size = np.uint64(-(-total // repeats.parts))
        for part in range(windows.parts):
            table = _WindowTable()
            for records in windows.rows(part):
                table.add(records)
            for records in windows.rows(part):
                found = np.empty_like(records)
                count = find_repeats(
                    frozen(records), frozen(table.keys), frozen(table.places), frozen(documents.bases), self.min_length,
                    self.within_documents, self.keep == "none", found,
                )  # fmt: skip
                repeats.add(found[:count], found[:count, 0] // size)
            windows.remove(part)
        return repeats

    def _passages(self, repeats: _Spill, units: Units, documents: _Documents) -> _Passages:
        """The unions of the repeated windows whose units are equal indeed."""
        total = int(documents.bases[-1])
        size = -(-total // repeats.parts)
        open_one = np.array([-1, -1, -1])
        found = []
        for part in range(repeats.parts):
            low = part * size
            others = np.full(max(min(size, total - low), 0), -1, np.int64)
            for records in repeats.rows(part):
                others[records[:, 0].astype(np.int64) - low] = records[:, 1].astype(np.int64)
            repeats.remove(part)
            verify_repeats(units, low, self.min_length, others)
            passages = np.empty((len(others) // self.min_length + 2, 3), np.int64)
            count = join_windows(low, self.min_length, frozen(others), open_one, passages)
            found.append(passages[:count])
        found.append(open_one[None, :][open_one[:1] >= 0])
        starts, ends, others = np.concatenate(found).T
        return _joined(documents, starts, ends, others)

    def _decision(self, passages: _Passages, read_texts: ReadTexts) -> Decision:
        measures = passages.measures(self.measures)
        if self.action == "mark" or len(passages.starts) == 0:
            return Decision(VERDICTS.empty_table(), measures=measures)
        documents = passages.documents
        edits, gone = [EDITS.empty_table()], [np.empty(0, np.int64)]
        for batch, ranks in documents.read(np.unique(passages.owners), read_texts):
            borders, mine = self._borders(batch, ranks, passages)
            real = borders[:, 1] > borders[:, 0]
            borders, mine = borders[real], mine[real]
            words = batch.words
            begin = np.searchsorted(words.ends, borders[:, 0], side="right")
            end = np.searchsorted(words.starts, borders[:, 1])
            begin[1:] = np.maximum(begin[1:], end[:-1])  # a word between two passages may be touched by both
            cut = np.bincount(mine, weights=np.maximum(end - begin, 0), minlength=len(batch))
            short = np.diff(words.firsts) - cut < self.min_left_words
            gone.append(ranks[np.unique(mine[short[mine]])])
            stays = ~short[mine]
            inside = (borders - batch.offsets[mine][:, None])[stays].astype(np.int32)
            ids = batch.documents.column("id").take(pa.array(mine[stays]))
            edits.append(pa.table([ids, inside[:, 0], inside[:, 1]], schema=EDITS))
        going = documents.ids.take(pa.array(np.sort(np.concatenate(gone))))
        return Decision(
            dropped(going, Reason.TOO_LITTLE_LEFT),
            measures=measures,
            edits=pa.concat_tables(edits).sort_by([("id", "ascending"), ("start", "ascending")]),
        )

    def _borders(
        self, batch: TextBatch, ranks: NDArray[np.int64], passages: _Passages
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First byte of each passage in the batch and the byte behind it, and the passage's document in the batch."""
        firsts, ends = (np.searchsorted(passages.owners, ranks, side=side) for side in ("left", "right"))
        counts = ends - firsts
        mine = np.repeat(np.arange(len(ranks)), counts)
        chosen = np.arange(len(mine)) + np.repeat(firsts - (np.cumsum(counts) - counts), counts)
        words = None if self.unit == "bytes" else _Words.of(batch)
        unit_firsts = batch.offsets if words is None else words.firsts
        shift = unit_firsts[mine].astype(np.int64) - passages.documents.bases[ranks[mine]]
        places = np.stack([passages.starts[chosen] + shift, passages.ends[chosen] + shift], axis=1)
        borders = np.empty_like(places)
        if words is None:
            character_borders(batch.text, batch.offsets, frozen(mine), frozen(places), borders)
        else:
            word_borders(
                batch.text, batch.offsets, words.firsts, words.starts, words.ends, words.marks, frozen(mine),
                frozen(places), borders,
            )  # fmt: skip
        return borders, mine


@dataclass(frozen=True, slots=True)
class _Words:
    """Words of a batch, those of document d from `firsts[d]` to `firsts[d + 1]`. Marks that touch are one."""

    firsts: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    marks: NDArray[np.bool_]

    @classmethod
    def of(cls, batch: TextBatch) -> _Words:
        words = batch.words
        room = len(words.starts)
        firsts, starts, ends = (np.empty(size, np.int32) for size in (len(batch) + 1, room, room))
        hashes, marks = np.empty(room, np.uint64), np.empty(room, np.bool_)
        count = join_marks(
            words.firsts, words.starts, words.ends, words.hashes, words.kinds, firsts, starts, ends, hashes, marks
        )
        return cls(frozen(firsts), *(frozen(array[:count]) for array in (starts, ends, hashes, marks)))


@dataclass(frozen=True, slots=True)
class _Documents:
    """Documents with a fingerprint that occurs twice, by id. The units of all of them are numbered in that order."""

    ids: pa.StringArray
    bases: NDArray[np.int64]
    """int64[documents + 1]; the number of each document's first unit, and of all."""

    def read(self, ranks: NDArray[np.int64], read_texts: ReadTexts) -> Iterator[tuple[TextBatch, NDArray[np.int64]]]:
        """Reads the documents with these numbers, some megabytes of text at a time, with the numbers of those read.

        Raises:
            DamagedRunError: at the end, if one was not there.
        """
        wanted = self.ids.take(pa.array(ranks))
        index = IdIndex(wanted)
        there = np.zeros(len(ranks), np.bool_)
        for whole in read_texts(wanted.to_pylist()):
            slices = np.cumsum(np.diff(whole.offsets), dtype=np.int64) // _TEXT_BYTES
            bounds = [0, *(np.flatnonzero(np.diff(slices)) + 1).tolist(), len(whole)]
            for begin, end in pairwise(bounds):
                batch = TextBatch(whole.documents.slice(begin, end - begin))
                found = index.find(batch.documents.column("id"))
                yield batch.kept(found >= 0), ranks[found[found >= 0]]
                there[found[found >= 0]] = True
        self.check(ranks, there)

    def check(self, ranks: NDArray[np.int64], good: NDArray[np.bool_]) -> None:
        """Sees to it that all documents are there as they were observed.

        Raises:
            DamagedRunError: naming one that is not.
        """
        if not good.all():
            raise DamagedRunError(
                f"{SubstringDedup.name}: {int((~good).sum())} documents were observed but cannot be read again as they "
                f"were, such as {self.ids[int(ranks[~good][0])].as_py()!r}; their files were removed or changed during "
                "the run: run it again"
            )


@dataclass(frozen=True, slots=True)
class _Passages:
    """Repeated passages, by document and place."""

    documents: _Documents
    owners: NDArray[np.int64]  # number of the document of each
    starts: NDArray[np.int64]  # first unit, counted over all documents
    ends: NDArray[np.int64]
    others: NDArray[np.int64]  # where the first window of each stands, too

    def measures(self, declared: pa.Schema) -> pa.Table:
        """What is said of each document that has one."""
        owners, firsts, counts = np.unique(self.owners, return_index=True, return_counts=True)
        lengths = self.ends - self.starts
        order = np.lexsort((-lengths, self.owners))  # the longest first; of equal ones the first
        longest = order[firsts]
        units = np.add.reduceat(lengths, firsts) if len(firsts) else lengths
        sizes = np.diff(self.documents.bases)[owners]
        elsewhere = np.searchsorted(self.documents.bases, self.others[longest], side="right") - 1
        columns = [
            self.documents.ids.take(pa.array(owners)),
            pa.array(counts.astype(np.int32)),
            pa.array(units.astype(np.int32)),
            pa.array(units / sizes),
            pa.array(lengths[longest].astype(np.int32)),
            self.documents.ids.take(pa.array(elsewhere)),
        ]
        return pa.table(columns, schema=pa.schema([VERDICTS.field("id"), *declared]))


def _joined(
    documents: _Documents, starts: NDArray[np.int64], ends: NDArray[np.int64], others: NDArray[np.int64]
) -> _Passages:
    """Passages with those of one document that touch made one."""
    owners = np.searchsorted(documents.bases, starts, side="right") - 1
    apart = (owners[1:] != owners[:-1]) | (starts[1:] > ends[:-1])
    first, last = np.ones(len(starts), np.bool_), np.ones(len(starts), np.bool_)
    first[1:], last[:-1] = apart, apart
    return _Passages(documents, owners[first], starts[first], ends[last], others[first])


class _Known:
    """Fingerprints that occur twice, ascending; they may be mapped from a file."""

    def __init__(self, values: NDArray[np.uint64]) -> None:
        self._values = frozen(values)
        bits = max(len(values).bit_length() - 3, 1)  # four to eight values have a home in common
        self._shift = 64 - bits
        homes = np.arange(1 << bits, dtype=np.uint64) << np.uint64(self._shift)
        self._homes = frozen(np.append(np.searchsorted(values, homes), len(values)))

    def among(self, values: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of `values` are among them."""
        there = np.empty(len(values), np.bool_)
        mark_known(frozen(values), self._values, self._homes, self._shift, there)
        return there


class _WindowTable:
    """The first and the last place of each window, by its hash."""

    def __init__(self) -> None:
        self.keys, self.places = np.zeros(2, np.uint64), np.zeros((2, 2), np.uint64)
        self._count = 0

    def add(self, records: NDArray[np.uint64]) -> None:
        """Takes in rows of hash and place."""
        if 2 * (self._count + len(records)) > len(self.keys):
            slots = 1 << (2 * (self._count + len(records))).bit_length()
            keys, places = np.zeros(slots, np.uint64), np.zeros((slots, 2), np.uint64)
            enter_table(frozen(self.keys), frozen(self.places), keys, places)
            self.keys, self.places = keys, places
        self._count += enter_windows(frozen(records), self.keys, self.places)


class _Spill:
    """Rows of numbers, dealt into files by part. What waits in memory is written when it is much."""

    def __init__(self, folder: Path, name: str, parts: int, columns: int = 2) -> None:
        self.parts = parts
        self._columns = columns
        self._paths = [folder / f"{name}-{part}.bin" for part in range(parts)]
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[np.uint16]]] = []
        self._count = 0

    def add(self, rows: NDArray[np.uint64], parts: NDArray[np.uint64]) -> None:
        """Adds rows, and says of each to which part it goes."""
        self._waiting.append((rows, parts.astype(np.uint16)))
        self._count += len(rows)
        if self._count >= 2 * _WINDOWS:
            self._write()

    def rows(self, part: int) -> Iterator[NDArray[np.uint64]]:
        """The rows of a part, some at a time."""
        if self._waiting:
            self._write()
        if not self._paths[part].exists():
            return
        with open(self._paths[part], "rb") as stream:
            while len(numbers := np.fromfile(stream, np.uint64, _WINDOWS * self._columns)):
                yield numbers.reshape(-1, self._columns)

    def remove(self, part: int) -> None:
        """Frees the disk of a part."""
        self._paths[part].unlink(missing_ok=True)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        ends = np.cumsum(sum(np.bincount(parts, minlength=self.parts) for _, parts in waiting))
        dealt = np.empty((self._count, self._columns), np.uint64)
        places = np.append(0, ends[:-1])
        for rows, parts in waiting:
            deal_rows(frozen(rows), frozen(parts), places, dealt)
        for path, (begin, end) in zip(self._paths, pairwise([0, *ends.tolist()]), strict=True):
            if end > begin:
                with open(path, "ab") as stream:
                    stream.write(dealt[begin:end].data)
        self._count = 0


def _part_count(rows: int) -> int:
    """Into how many files so many rows are dealt: a power of two."""
    return min(1 << (rows // _PART_ROWS).bit_length(), _MOST_PARTS)


def _repeated_fingerprints(rows: Sidecars, sidecars: Sequence[Path], workspace: Path) -> _Known:
    """Sorts the fingerprints of all documents, file by file, and keeps those that occur twice."""
    # They take nearly all of the sidecars' bytes, and do not compress.
    parts = _part_count(sum(path.stat().st_size for path in sidecars) // 8)
    spill = _Spill(workspace, "fingerprints", parts, columns=1)
    shift = np.uint64(65 - parts.bit_length())
    for batch in rows.batches(["fingerprints"]):
        values = batch.column("fingerprints").flatten().to_numpy()
        spill.add(values[:, None], values >> shift if parts > 1 else np.zeros(len(values), np.uint64))
    path = workspace / "known.bin"
    with open(path, "wb") as stream:
        for part in range(parts):
            values = np.sort(np.concatenate([np.empty((0, 1), np.uint64), *spill.rows(part)])[:, 0])
            spill.remove(part)
            again = values[1:][values[1:] == values[:-1]]
            stream.write(again[np.diff(again, prepend=~again[:1]) != 0].data)
    return _Known(np.memmap(path, np.uint64, "r") if path.stat().st_size else np.empty(0, np.uint64))


def _candidates(rows: Sidecars, known: _Known) -> _Documents:
    """The documents that have a known fingerprint.

    Raises:
        DamagedRunError: if one was observed twice.
        UsageError: if their ids do not fit in one array.
    """
    ids, units = [pa.array([], pa.string())], [np.empty(0, np.int32)]
    for batch in rows.batches(["units", "fingerprints"]):
        fingerprints = batch.column("fingerprints")
        there = np.append(0, np.cumsum(known.among(fingerprints.flatten().to_numpy())))
        bounds = np.append(0, np.cumsum(pc.list_value_length(fingerprints).to_numpy()))
        found = there[bounds[1:]] > there[bounds[:-1]]
        ids.append(batch.column("id").filter(pa.array(found)))
        units.append(batch.column("units").to_numpy()[found])
    whole = whole_ids("documents that have a fingerprint of another", *ids)
    if (repeated := repeated_id(whole)) is not None:
        raise observed_twice(repeated)
    order = pc.sort_indices(whole)
    sizes = np.concatenate(units)[order.to_numpy()]
    return _Documents(whole.take(order), np.append(0, np.cumsum(sizes, dtype=np.int64)))


def _portions(
    begins: NDArray[np.int32], ends: NDArray[np.int32], offsets: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]]:
    """Runs of windows, some at a time, those that are very long cut up: for at most 2 * _WINDOWS windows."""
    pieces = -(-(ends - begins) // _WINDOWS)
    turns = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begins = (np.repeat(begins, pieces) + turns * _WINDOWS).astype(np.int32)
    ends = np.minimum(np.repeat(ends, pieces), begins + _WINDOWS).astype(np.int32)
    offsets = np.repeat(offsets, pieces)
    numbers = np.cumsum(ends - begins, dtype=np.int64) // _WINDOWS
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(begins)]):
        yield begins[begin:end], ends[begin:end], offsets[begin:end]
