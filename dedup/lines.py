"""repeated_lines: cuts lines or paragraphs that many documents have out of these, and drops what is then too short.

A unit (line or paragraph) is **repeated** if at least `min_count` documents have it: of one site, where these are also
`min_site_share` of the site's (menus, notices, footers), or of the whole source. How often one document has it does
not matter: refrains, tables and code stay. After CCNet (Wenzek et al. 2020, arXiv:1911.00359, section 3.2), which
compares paragraphs (its lines) by 64 bits of a hash, in lower case, with 0 for each digit and without diacritics and
punctuation, within groups of shards of a dump.

Differs from CCNet:
    - the whole source is compared, not groups of 50 shards, and within a site unless `scope` says otherwise
    - CCNet's released code takes out every occurrence of what stands twice, in one document or in two, so that no
      document has it any more; here it must stand in several documents, and by default the first of them keeps it
    - lines without a letter (rules, bullets, numbers) do not count; they go where both neighbours go, and a rule goes
      with the heading right above it
    - what is repeated goes where several such lines stand in a row, or at the ends of the text, unless `min_run` says
      otherwise: half of the article lines that were cut without that stood alone (docs/accuracy.md)
    - white space that a cut would double goes with it; documents of which too little is left are dropped

Equal means 64 bits of hash: among 10^9 different units, the chance that any two are taken for one is 0.03.

It is a barrier. Sidecar, one row for each document, with lists of its units that are not blank:

    id          string
    site        uint64         hash of the host; 0 where the scope is the source
    keys        list<uint64>   hash of the unit, and of the host with it; 0: too short to count, 1: signs
                               alone, 2: no letter
    starts      list<int32>    first byte in the text
    ends        list<int32>    byte after the last, without the line break
    characters  list<int32>    code points

What is repeated is found in two steps, which tasks can share. **scattered** deals the keys of a sidecar out by their
highest bits; **repeated** has all those of one range of keys, and finds what stands there often enough, in hash tables
that fit a processor's cache, some 20 million units at a time. `decide` takes 75 bytes for each document (its id above
all), one for each unit, and 60 for each passage that is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numba import uint8, uint64
from numpy.typing import NDArray

from corpusmill.dedup.contract import Deduplication, Step, StepFiles
from corpusmill.documents.barrier import EDITS, VERDICTS, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch, text_buffers
from corpusmill.documents.codepoints import ALPHA, CLASSES, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.hosts import hosts
from corpusmill.documents.ids import IdIndex, taken_ids
from corpusmill.documents.segmentation import BLANK, decoded, hash_documents, mixed, step, width
from corpusmill.documents.shards import atomic_file, read_batches
from corpusmill.documents.sidecars import dropped, observed_twice, sidecar_rows
from corpusmill.documents.unit_hashes import unit_hashes

_ALPHA, _BLANK, _WORD = ALPHA, BLANK, WORD
# Keys that are no hashes: of units too short to count, of signs alone, and of signs and numbers.
_SHORT, _SIGNS, _NUMBERS = np.uint64(0), np.uint64(1), np.uint64(2)
_REPEATED, _TO_CUT = 1, 2  # marks of units
_FEW_DOCUMENTS = 100_000  # fewer are not worth tasks of their own
_DOCUMENTS_OF_A_TASK = 200_000  # about 10 million lines of web pages
_BLOCK = 4_000_000  # units that are dealt out at a time: 80 MB
_AT_ONCE = 20_000_000  # units that are grouped at a time: 800 MB
_TABLE = 1 << 18  # units of a hash table: it takes 2 MB, as much as a core's cache
_SCATTERED_ROWS = pa.schema(
    [pa.field("key", pa.uint64(), nullable=False), pa.field("unit", pa.int32(), nullable=False)]
)
_REPEATED_ROWS = pa.schema(
    [
        pa.field("group", pa.int32(), nullable=False),  # the same for the same key, within a record batch
        pa.field("sidecar", pa.int32(), nullable=False),
        pa.field("unit", pa.int32(), nullable=False),  # counted over the whole sidecar
    ]
)


class Reason(StrEnum):
    TOO_LITTLE_LEFT = "too_little_left"


@dataclass(frozen=True, kw_only=True)
class RepeatedLines(Deduplication):
    """Cuts what is repeated out of documents."""

    name: ClassVar[str] = "repeated_lines"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("cut_units", pa.int32()),  # lines or paragraphs; null where nothing was cut
            pa.field("cut_characters", pa.float64()),  # share of the characters in units with a letter
        ]
    )
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("site", pa.uint64(), nullable=False),
            pa.field("keys", pa.list_(pa.uint64()), nullable=False),
            pa.field("starts", pa.list_(pa.int32()), nullable=False),
            pa.field("ends", pa.list_(pa.int32()), nullable=False),
            pa.field("characters", pa.list_(pa.int32()), nullable=False),
        ]
    )
    judged_fields: ClassVar[frozenset[str]] = Deduplication.judged_fields | {
        "min_count", "min_site_share", "min_run", "keep", "min_left_characters", "min_left_share",
    }  # fmt: skip

    unit: Literal["line", "paragraph"] = "line"
    """What is compared and cut. line: what ends at a line break (CCNet's paragraph); paragraph: what ends at a blank
    line."""
    scope: Literal["site", "source"] = "site"
    """Where it must be repeated. site: on pages of one host (documents without a URL belong to one site, their source);
    source: anywhere in it (CCNet)."""
    normalisation: Literal["none", "folded", "folded_digits"] = "folded"
    """What may differ. none: nothing, bytes are compared; folded: case, diacritics, punctuation and white space;
    folded_digits: digits, too (CCNet)."""
    min_count: int = 5
    """Documents that must have a unit (CCNet: 2)."""
    min_site_share: float = 0.1
    """With scope site: share of the site's documents that must have it."""
    min_words: int = 1
    """Units with fewer words never count."""
    min_characters: int = 1
    """Units with fewer characters never count."""
    min_run: int = 2
    """Repeated units in a row, or they stay; at the text's beginning and end fewer are enough. A headline that other
    pages link to stands alone in its article, a menu's lines do not. 1: each goes (CCNet)."""
    keep: Literal["first", "none"] = "first"
    """Which occurrence stays. first: those of the document that has the lowest id of all that stay; none: they all go
    (CCNet)."""
    min_left_characters: int = 100
    """Characters that must be left, in units with a letter, of a document that is cut; or it is dropped."""
    min_left_share: float | None = None
    """Share of its characters that must be left, likewise."""

    def __post_init__(self) -> None:
        for name in ("min_count", "min_words", "min_characters", "min_run", "min_left_characters"):
            least = 2 if name == "min_count" else 1
            if getattr(self, name) < least:
                raise RecipeError(f"repeated_lines.{name}: {getattr(self, name)} must be at least {least}")
        for name in ("min_site_share", "min_left_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise RecipeError(f"repeated_lines.{name}: {share} is no share; use 0 to 1")

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        units = batch.lines if self.unit == "line" else batch.paragraphs
        hashes, words = units.hashes, np.zeros(0, np.int32)
        if self.normalisation != "none":
            hashes, words = unit_hashes(batch, units, digits=self.normalisation == "folded")
        elif self.min_words > 1:
            _, words = unit_hashes(batch, units)
        sites = np.zeros(len(batch), np.uint64)
        if self.scope == "site":
            hash_documents(*text_buffers(hosts(batch.documents)), sites, np.empty_like(sites))
        firsts = np.empty(len(batch) + 1, np.int32)
        keys, lists = np.empty(len(units.starts), np.uint64), np.empty((3, len(units.starts)), np.int32)
        count = list_units(
            batch.offsets, batch.text, CLASSES, units.firsts, units.starts, units.ends, units.characters, units.kinds,
            frozen(hashes), frozen(words), frozen(sites), self.scope == "site", self.min_words, self.min_characters,
            firsts, keys, *lists,
        )  # fmt: skip
        bounds = pa.array(firsts)
        columns = [batch.documents.column("id"), pa.array(sites)]
        columns += [pa.ListArray.from_arrays(bounds, pa.array(values[:count])) for values in (keys, *lists)]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def steps(self, rows: Sequence[int]) -> Sequence[Step]:
        documents = sum(rows)
        if documents < _FEW_DOCUMENTS:
            return ()
        return (Step("scattered", len(rows)), Step("repeated", 1 << _task_bits(documents)))

    def run_step(
        self, step: str, task: int, *, sidecars: Sequence[Path], seen: Sequence[Path], done: StepFiles, target: Path
    ) -> None:
        bits = _task_bits(sidecar_rows(sidecars, self.sidecar))
        if step == "scattered":
            _scatter(sidecars[task], bits, target)
        elif step == "repeated":
            _find_repeated(done["scattered"], task, bits, self.min_count, target)
        else:
            super().run_step(step, task, sidecars=sidecars, seen=seen, done=done, target=target)

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
        if sidecar_rows(sidecars, self.sidecar) == 0:
            return Decision(VERDICTS.empty_table(), measures=self._measured.empty_table())
        documents = _Documents(sidecars, excluded)
        repeated = (done or self._done_here(sidecars, workspace))["repeated"]
        marks = self._marks(documents, repeated, documents.present)
        outcome = self._outcome(sidecars, documents, marks)
        if self.keep == "first" and outcome.short.any():
            # What a dropped document would have kept is kept by the first of those that stay. So these lose less than
            # before, and none of them can now be too short.
            marks = self._marks(documents, repeated, documents.present & ~outcome.short)
            outcome = self._outcome(sidecars, documents, marks, short=outcome.short)
        return outcome.decision(documents, self._measured)

    @property
    def _measured(self) -> pa.Schema:
        return pa.schema([VERDICTS.field("id"), *self.measures])

    def _done_here(self, sidecars: Sequence[Path], workspace: Path) -> StepFiles:
        done: dict[str, list[Path]] = {}
        tasks = {
            "scattered": len(sidecars),
            "repeated": 1 << _task_bits(sidecar_rows(sidecars, self.sidecar)),
        }
        for name, count in tasks.items():
            files = [workspace / f"{name}-{task}.arrow" for task in range(count)]
            for task, file in enumerate(files):
                self.run_step(name, task, sidecars=sidecars, seen=(), done=done, target=file)
            done[name] = files
        return done

    def _marks(self, documents: _Documents, repeated: Sequence[Path], stay: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """uint8[units]: 0, _REPEATED or _TO_CUT. The documents of `stay` come into question to keep a unit."""
        marks = np.zeros(int(documents.unit_firsts[-1]), np.uint8)
        needed = np.full(len(documents.ids), self.min_count, np.float64)
        if self.scope == "site":
            np.maximum(needed, self.min_site_share * documents.pages, out=needed)
        for batch in _batches(repeated):
            groups, sidecar, unit = (frozen(column.to_numpy()) for column in batch.columns)
            units = documents.bases[sidecar] + unit
            owners = np.searchsorted(documents.unit_firsts, units, side="right") - 1
            judged = np.empty(len(units), np.uint8)
            judge_groups(
                groups, frozen(owners), int(groups.max(initial=-1)) + 1, documents.present, frozen(needed),
                documents.ranks, frozen(stay), self.keep == "first", judged,
            )  # fmt: skip
            marks[units] = judged
        return frozen(marks)

    def _outcome(
        self,
        sidecars: Sequence[Path],
        documents: _Documents,
        marks: NDArray[np.uint8],
        short: NDArray[np.bool_] | None = None,
    ) -> _Outcome:
        """What is cut out of whom. `short`: the documents that are dropped; None: those with too little left."""
        counts: list[NDArray[np.int64]] = []
        edits: list[NDArray[np.int64]] = []
        document = unit = 0
        for path in sidecars:
            for batch in _rows(path, ("keys", "starts", "ends", "characters")):
                keys, starts, ends, sizes = (frozen(batch.column(n).flatten().to_numpy()) for n in range(4))
                behind = document + batch.num_rows
                firsts = frozen((documents.unit_firsts[document : behind + 1] - unit).astype(np.int32))
                cut = np.zeros(len(keys), np.bool_)
                choose_runs(firsts, keys, marks[unit : unit + len(keys)], self.min_run, cut)
                counts.append(np.zeros((3, batch.num_rows), np.int64))
                passages = np.empty((len(keys), 3), np.int64)
                found = find_passages(firsts, keys, starts, ends, sizes, frozen(cut), counts[-1], passages)
                passages[:found, 0] += document
                edits.append(passages[:found].copy())
                document, unit = behind, unit + len(keys)
        units, characters, gone = np.concatenate(counts, axis=1)
        if short is None:
            short = (units > 0) & (characters - gone < self.min_left_characters)
            if self.min_left_share is not None:
                short |= (units > 0) & (characters - gone < self.min_left_share * characters)
        share = gone / np.maximum(characters, 1)
        return _Outcome(np.concatenate(edits), units.astype(np.int32), share, short)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is cut. Documents are numbers.

    passages  int64[n, 3]        document, first byte, byte after the last
    units     int32[documents]   units that are cut
    share     float64[documents] their share of the characters
    short     bool[documents]    which are dropped
    """

    passages: NDArray[np.int64]
    units: NDArray[np.int32]
    share: NDArray[np.float64]
    short: NDArray[np.bool_]

    def decision(self, documents: _Documents, measured: pa.Schema) -> Decision:
        touched = documents.in_order(np.flatnonzero(self.units))
        measures = [taken_ids(documents.ids, touched), pa.array(self.units[touched]), pa.array(self.share[touched])]
        gone = documents.in_order(np.flatnonzero(self.short))
        passages = self.passages[~self.short[self.passages[:, 0]]]
        passages = passages[np.argsort(documents.ranks[passages[:, 0]], kind="stable")]
        edits = [taken_ids(documents.ids, passages[:, 0]), *(pa.array(passages[:, n], pa.int32()) for n in (1, 2))]
        return Decision(
            dropped(taken_ids(documents.ids, gone), Reason.TOO_LITTLE_LEFT),
            measures=pa.Table.from_arrays(measures, schema=measured),
            edits=pa.Table.from_arrays(edits, schema=EDITS),
        )


class _Documents:
    """All rows of the sidecars, numbered in their order; in memory for as long as `decide` takes.

    ids           large_string     all may have more than 2 GB
    ranks         int64[n]         places in the order of ids
    present       bool[n]          no earlier barrier has dropped them
    pages         int64[n]         present documents of their site
    unit_firsts   int64[n + 1]     first unit of each, over all sidecars
    bases         int64[sidecars]  first unit of each sidecar

    Raises:
        DamagedRunError: if an id stands there twice.
    """

    def __init__(self, sidecars: Sequence[Path], excluded: pa.StringArray) -> None:
        gone = IdIndex(excluded)
        ids, sites, counts, present, bases = [], [], [], [], [0]
        for path in sidecars:
            base = bases[-1]
            for batch in _rows(path, ("id", "site", "characters")):
                ids.append(batch.column(0).cast(pa.large_string()))
                sites.append(batch.column(1).to_numpy())
                counts.append(pc.list_value_length(batch.column(2)).to_numpy())
                present.append(gone.find(batch.column(0)) < 0)
                base += int(counts[-1].sum(dtype=np.int64))
            bases.append(base)
        self.ids = pa.concat_arrays(ids)
        self.bases = np.array(bases[:-1], np.int64)
        self.present = frozen(np.concatenate(present))
        self.unit_firsts = frozen(np.concatenate(([0], np.cumsum(np.concatenate(counts), dtype=np.int64))))
        order = pc.sort_indices(self.ids).to_numpy()
        in_order = self.ids.take(order)
        if (twice := pc.index(pc.equal(in_order[1:], in_order[:-1]), True).as_py()) >= 0:
            raise observed_twice(in_order[twice].as_py())
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        self.ranks = frozen(ranks)
        _, site = np.unique(np.concatenate(sites), return_inverse=True)
        self.pages = np.bincount(site, weights=self.present)[site]

    def in_order(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same documents in the order of their ids."""
        return documents[np.argsort(self.ranks[documents])]


def _rows(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for batch in read_batches(file, file.metadata.num_rows or 1, columns):
            yield batch.select(columns)


def _task_bits(documents: int) -> int:
    """How many of a key's bits say which task has it."""
    return _range_bits(documents, _DOCUMENTS_OF_A_TASK)


def _range_bits(count: int, at_most: int) -> int:
    """How many bits of their keys deal `count` out in ranges of about `at_most` or fewer."""
    return max(0, (count - 1) // at_most).bit_length()


def _scatter(sidecar: Path, bits: int, target: Path) -> None:
    """Writes blocks of 2^bits record batches, one for each range of keys."""
    with atomic_file(target) as stream, pa.ipc.new_file(stream, _SCATTERED_ROWS) as writer:
        waiting: list[NDArray[np.uint64]] = []
        base = size = 0
        for batch in _rows(sidecar, ("keys",)):
            waiting.append(batch.column(0).flatten().to_numpy())
            size += len(waiting[-1])
            if size >= _BLOCK:
                _write_block(writer, waiting, base, bits)
                base, size, waiting = base + size, 0, []
        if size:
            _write_block(writer, waiting, base, bits)


def _write_block(writer: Any, waiting: Sequence[NDArray[np.uint64]], base: int, bits: int) -> None:
    keys = frozen(np.concatenate(waiting))
    bounds, dealt, places = dealt_out(keys, 64 - bits, bits)
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        columns = [pa.array(dealt[start:end]), pa.array(places[start:end] + np.int32(base))]
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCATTERED_ROWS))


def dealt_out(
    keys: NDArray[np.uint64], shift: int, bits: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int32]]:
    """The keys that are hashes, by `bits` of their bits above the lowest `shift`.

    Returns:
        where the keys of each range begin (and the last end), the keys, and where each of them stood; those of a range
        in their old order.
    """
    bounds = np.zeros((1 << bits) + 1, np.int64)
    count_ranges(keys, shift, bits, bounds)
    np.cumsum(bounds, out=bounds)
    dealt, places = np.empty(bounds[-1], np.uint64), np.empty(bounds[-1], np.int32)
    deal_out(keys, shift, bits, bounds[:-1].copy(), dealt, places)
    return bounds, dealt, places


def _find_repeated(scattered: Sequence[Path], task: int, bits: int, least: int, target: Path) -> None:
    """Writes the units of one range of keys that stand there at least `least` times."""
    rows = sum(batch.num_rows for _, batch in _blocks(scattered, task, bits))
    finer = _range_bits(rows, _AT_ONCE)
    with atomic_file(target) as stream, pa.ipc.new_file(stream, _REPEATED_ROWS) as writer:
        for part in range(1 << finer):
            keys, units, sidecars = [], [], []
            for number, batch in _blocks(scattered, task, bits):
                key, unit = batch.column(0).to_numpy(), batch.column(1).to_numpy()
                mine = (key << np.uint64(bits)) >> np.uint64(64 - finer) == part if finer else slice(None)
                keys.append(key[mine].copy())
                units.append(unit[mine].copy())
                sidecars.append(np.full(len(units[-1]), number, np.int32))
            unit, sidecar = _joined(units, np.int32), _joined(sidecars, np.int32)
            finest = _range_bits(len(unit), _TABLE)
            bounds, dealt, places = dealt_out(frozen(_joined(keys, np.uint64)), 64 - bits - finer - finest, finest)
            groups = np.empty(len(dealt), np.int32)
            group_often(frozen(bounds), frozen(dealt), least, groups)
            often = groups >= 0
            places = places[often]
            columns = [pa.array(groups[often]), pa.array(sidecar[places]), pa.array(unit[places])]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_REPEATED_ROWS))


def _blocks(scattered: Sequence[Path], task: int, bits: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The keys of one range: the sidecar's number, and a block of them, which is gone when the next one comes."""
    for number, path in enumerate(scattered):
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as reader:
            for block in range(task, reader.num_record_batches, 1 << bits):
                yield number, reader.get_batch(block)


def _joined(arrays: Sequence[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *arrays])


def _batches(files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in files:
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


@kernel
def list_units(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    characters: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    words: NDArray[np.int32],
    sites: NDArray[np.uint64],
    by_site: bool,
    min_words: int,
    min_characters: int,
    listed: NDArray[np.int32],
    keys: NDArray[np.uint64],
    listed_starts: NDArray[np.int32],
    listed_ends: NDArray[np.int32],
    listed_characters: NDArray[np.int32],
) -> int:
    """Fills the sidecar's lists with the units that are not blank; returns how many there are.

    Args:
        words: of each unit; none where they do not matter.
        listed: filled with the first unit of each document, among those that are listed.
    """
    found = 0
    for document in range(offsets.shape[0] - 1):
        listed[document] = found
        for unit in range(firsts[document], firsts[document + 1]):
            if kinds[unit] & _BLANK or starts[unit] == ends[unit]:
                continue
            kind = letter_or_word(text, classes, starts[unit], ends[unit])
            if not kind & _ALPHA:
                key = _NUMBERS if kind & _WORD else _SIGNS
            elif characters[unit] < min_characters or (words.shape[0] and words[unit] < min_words):
                key = _SHORT
            else:
                key = mixed(step(sites[document], hashes[unit])) if by_site else hashes[unit]
                key = max(key, _NUMBERS + uint64(1))
            keys[found] = key
            listed_starts[found] = starts[unit] - offsets[document]
            listed_ends[found] = ends[unit] - offsets[document]
            listed_characters[found] = characters[unit]
            found += 1
    listed[offsets.shape[0] - 1] = found
    return found


@inlined
def letter_or_word(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> np.uint8:
    """The class bits of all characters up to the first letter."""
    kinds = uint8(0)
    while start < end and not kinds & _ALPHA:
        kinds |= classes[decoded(text, start)]
        start += width(text[start])
    return kinds


@kernel
def count_ranges(keys: NDArray[np.uint64], shift: int, bits: int, counts: NDArray[np.int64]) -> None:
    """Adds how many hashes each range has to the entry after its own."""
    mask = (uint64(1) << uint64(bits)) - uint64(1)
    for unit in range(keys.shape[0]):
        if keys[unit] > _NUMBERS:
            part = (keys[unit] >> uint64(shift)) & mask if bits else uint64(0)
            counts[part + uint64(1)] += 1


@kernel
def deal_out(
    keys: NDArray[np.uint64],
    shift: int,
    bits: int,
    cursors: NDArray[np.int64],
    dealt: NDArray[np.uint64],
    places: NDArray[np.int32],
) -> None:
    """Writes each hash, and where it stood, to the next place of its range."""
    mask = (uint64(1) << uint64(bits)) - uint64(1)
    for unit in range(keys.shape[0]):
        if keys[unit] > _NUMBERS:
            part = (keys[unit] >> uint64(shift)) & mask if bits else uint64(0)
            dealt[cursors[part]] = keys[unit]
            places[cursors[part]] = unit
            cursors[part] += 1


@inlined
def table_size(entries: int) -> int:
    """Slots of a hash table that is at most half full: a power of two."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@kernel
def group_often(bounds: NDArray[np.int64], keys: NDArray[np.uint64], least: int, groups: NDArray[np.int32]) -> None:
    """Numbers the keys that stand in `keys` at least `least` times; -1 for the others. Equal keys are in one range."""
    longest = 0
    for part in range(bounds.shape[0] - 1):
        longest = max(longest, bounds[part + 1] - bounds[part])
    slots = np.empty(table_size(longest), np.int32)
    counts = np.empty(longest, np.int32)
    n_groups = 0
    for part in range(bounds.shape[0] - 1):
        begin = bounds[part]
        size = table_size(bounds[part + 1] - begin)
        mask = uint64(size - 1)
        slots[:size] = -1
        # `groups` says at first where the key was met first, then, there, which number it has.
        for place in range(bounds[part + 1] - begin):
            counts[place] = 0
            slot = keys[begin + place] & mask
            while slots[slot] >= 0 and keys[begin + slots[slot]] != keys[begin + place]:
                slot = (slot + uint64(1)) & mask
            if slots[slot] < 0:
                slots[slot] = place
            groups[begin + place] = slots[slot]
            counts[slots[slot]] += 1
        for place in range(bounds[part + 1] - begin):
            first = groups[begin + place]
            if first == place:
                number = -1
                if counts[place] >= least:
                    number = n_groups
                    n_groups += 1
                counts[place] = number
            groups[begin + place] = counts[first]


@kernel
def judge_groups(
    groups: NDArray[np.int32],
    owners: NDArray[np.int64],
    n_groups: int,
    present: NDArray[np.bool_],
    needed: NDArray[np.float64],
    ranks: NDArray[np.int64],
    stay: NDArray[np.bool_],
    keep_first: bool,
    marks: NDArray[np.uint8],
) -> None:
    """Marks units that are in as many present documents as their document needs: _REPEATED in the first that stays, if
    that is to keep them, _TO_CUT in the others, and 0 what is not repeated.

    The units of a group are in the order of their documents.
    """
    documents = np.zeros(n_groups, np.int64)
    last = np.full(n_groups, -1, np.int64)
    first = np.full(n_groups, -1, np.int64)
    for unit in range(groups.shape[0]):
        group, owner = groups[unit], owners[unit]
        if present[owner] and last[group] != owner:
            last[group] = owner
            documents[group] += 1
            if stay[owner] and (first[group] < 0 or ranks[owner] < ranks[first[group]]):
                first[group] = owner
    for unit in range(groups.shape[0]):
        group, owner = groups[unit], owners[unit]
        if not present[owner] or documents[group] < needed[owner]:
            marks[unit] = 0
        else:
            marks[unit] = _REPEATED if keep_first and first[group] == owner else _TO_CUT


@kernel
def choose_runs(
    firsts: NDArray[np.int32],
    keys: NDArray[np.uint64],
    marks: NDArray[np.uint8],
    min_run: int,
    cut: NDArray[np.bool_],
) -> None:
    """Which units go: those to be cut that stand in a row of `min_run` repeated ones, those without a letter aside, or
    in the first or last row of the text."""
    for document in range(firsts.shape[0] - 1):
        first, behind = firsts[document], firsts[document + 1]
        unit = first
        any_stayed = False
        while unit < behind:
            end = unit
            length = 0
            while end < behind and (marks[end] or keys[end] == _SIGNS or keys[end] == _NUMBERS):
                length += marks[end] > 0
                end += 1
            if length >= min_run or not any_stayed or end == behind:
                for place in range(unit, end):
                    cut[place] = marks[place] == _TO_CUT
            any_stayed = True
            unit = end + 1


@kernel
def find_passages(
    firsts: NDArray[np.int32],
    keys: NDArray[np.uint64],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    sizes: NDArray[np.int32],
    cut: NDArray[np.bool_],
    counts: NDArray[np.int64],
    passages: NDArray[np.int64],
) -> int:
    """The passages that go, as rows of document, start and end; returns how many there are.

    A passage is a run of units that go. Those without a letter go with both neighbours; the ends of the text are as
    good as a neighbour that goes, for a run that has one. Lines of signs right below a line that goes are its rule, and
    go with it. Of the white space around a passage the longer stays.

    Args:
        counts: int64[3, documents], filled for units with a letter: how many are cut, the characters of all, and of
            those that are cut.
    """
    found = 0
    for document in range(firsts.shape[0] - 1):
        first, behind = firsts[document], firsts[document + 1]
        unit = first
        while unit < behind:
            # A run: as far as there is no unit with a letter that stays.
            end = unit
            last = -1  # of those with a letter in it
            begin = -1
            while end < behind and (cut[end] or keys[end] == _SIGNS or keys[end] == _NUMBERS):
                if cut[end]:
                    counts[0, document] += 1
                    counts[1, document] += sizes[end]
                    counts[2, document] += sizes[end]
                    last = end
                    if begin < 0:
                        begin = end
                end += 1
            if last >= 0:
                if unit == first:
                    begin = first
                if end == behind:
                    last = behind - 1
                while last + 1 < end and keys[last + 1] == _SIGNS and starts[last + 1] == ends[last] + 1:
                    last += 1
                start, stop = starts[begin], ends[last]
                if last + 1 < behind:
                    if begin == first or starts[begin] - ends[begin - 1] >= starts[last + 1] - ends[last]:
                        stop = starts[last + 1]
                    else:
                        start = ends[begin - 1]
                elif begin > first:
                    start = ends[begin - 1]
                passages[found, 0], passages[found, 1], passages[found, 2] = document, start, stop
                found += 1
            if end < behind:
                counts[1, document] += sizes[end]
            unit = end + 1
    return found
