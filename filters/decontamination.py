"""decontamination: finds documents that hold items of benchmarks, and drops them, cuts the items out, or says so.

A document is held against each benchmark item by the n-grams of words that they share (decontamination_index.py says
what an n-gram is, and how short items are sought). An item is **found** in a document by `min_hits` n-grams that share
no word, or by a covered share of the item's n-grams. GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C) and
datatrove take one n-gram of 13 or 12 words for enough; Tülu 3 (Lambert et al. 2024, arXiv:2411.15124, section 3.2) asks
that 8-grams of one document cover half of an item; ConTAM (Singh et al. 2024, arXiv:2411.03923) finds that n above 8
misses much. Marin's audit of its own decontamination adds the rest: n-grams that are common in the corpus do not count,
a single hit is not enough, items without answers are skipped, and each hit is attributed to its item.

Differs from these: what is common is counted in the run, in documents, and a document that holds a third of a long item
is no witness that its n-grams are common (it is a copy of the item, and copies may be many); two hits share no word.

It is a barrier, since what is common is known at the end. Sidecar, one row for each document:

    id          string
    words       int32          words and punctuation marks
    hits        int32          n-grams of benchmarks, all that there are
    grams       list<int32>    which (index into the index), at most 4,096 of each kind of n-gram
    firsts      list<int32>    first word of each
    lasts       list<int32>    last word
    froms, tos  list<int32>    first and last word with the margin that is cut with it
    starts      list<int32>    first byte of that
    ends        list<int32>    byte after it

`decide` takes the index, 5 bytes for each n-gram in it, and what it says of documents with hits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.barrier import EDITS, VERDICTS, Barrier, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.ids import repeated_id
from corpusmill.documents.sidecars import Sidecars, dropped, observed_twice
from corpusmill.filters.decontamination_index import BenchmarkFiles, Hits, Index, load_index, word_stream

_LISTS = ("grams", "firsts", "lasts", "froms", "tos", "starts", "ends")
_MOST_HITS = 4096
_COPY_GRAMS = 8  # of one item in a document (15 words), and a third of all it has: a copy, and no coincidence
_COPY_PARTS = 3
_ENOUGH_GRAMS = 3  # of an item (10 words): fewer, unless it has no more, are no covered share
_BRIDGE = 4  # passages closer than so many n-grams are cut as one: what was reworded stands between


class Reason(StrEnum):
    CONTAMINATED = "contaminated"
    TOO_LITTLE_LEFT = "too_little_left"


@dataclass(frozen=True, kw_only=True)
class Decontamination(Barrier):
    """Finds items of benchmarks in documents: drops these, cuts the items out, or marks them in the ledger."""

    name: ClassVar[str] = "decontamination"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("benchmark", pa.string()),  # of the item that is found best; null where nothing was hit
            pa.field("item", pa.string()),  # its file and row, counted from 0
            pa.field("hits", pa.int32()),  # n-grams of that item, no two of which share a word
            pa.field("covered", pa.float64()),  # share of that item's n-grams
            pa.field("items", pa.int32()),  # how many items are found in the document
        ]
    )
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("words", pa.int32(), nullable=False),
            pa.field("hits", pa.int32(), nullable=False),
            *(pa.field(name, pa.list_(pa.int32()), nullable=False) for name in _LISTS),
        ]
    )
    judged_fields: ClassVar[frozenset[str]] = frozenset(
        {"min_hits", "min_covered", "min_covered_terse", "common_documents", "common_share", "action", "min_left"}
    )

    benchmarks: dict[str, BenchmarkFiles] = field(metadata={"path": ("paths",)})
    """What is sought: for each benchmark, by the name that the ledger shall say, its files and fields."""
    n: int = 8
    """Words of an n-gram, 8 to 13 (ConTAM: above 8 misses; GPT-3: 13)."""
    min_hits: int | None = 2
    """An item is found by so many different n-grams of it that share no word; None: by the covered share alone."""
    min_covered: float | None = 0.25
    """An item is found, too, by this share of its n-grams, if that is at least three of them or all that it has (Tülu
    3: half of its words); None: by hits alone."""
    min_covered_terse: float = 0.8
    """The share for items that have no n-gram of words (formulas, short questions): the only rule for these."""
    common_documents: int = 5
    """n-grams in more documents than this and than `common_share` are common and do not count. Documents that hold a
    third of an item with the n-gram, and so are copies of it, are not counted."""
    common_share: float = 1e-5
    """Share of the source's documents; see `common_documents`."""
    action: Literal["drop", "cut", "mark"] = "drop"
    """What is done where an item is found. drop: the document goes; cut: the passage goes, with a margin; mark: the
    ledger says it and nothing goes."""
    cut_margin: int = 8
    """Words that are cut on both sides of a passage: an item's end may be formulas, which are not sought."""
    min_left: int = 50
    """With cut: words and punctuation marks that must be left of a document, or it is dropped (too_little_left)."""

    def __post_init__(self) -> None:
        if not self.benchmarks:
            raise RecipeError("decontamination.benchmarks: names no benchmark; add one with its paths and fields")
        if not 8 <= self.n <= 13:
            raise RecipeError(f"decontamination.n: {self.n} must be 8 to 13")
        if self.min_hits is None and self.min_covered is None:
            raise RecipeError("decontamination: min_hits and min_covered are both null; at least one must decide")
        if self.min_hits is not None and self.min_hits < 1:
            raise RecipeError(f"decontamination.min_hits: {self.min_hits} must be at least 1")
        for name in ("min_covered", "min_covered_terse", "common_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise RecipeError(f"decontamination.{name}: {share} is no share; use 0 to 1")
        for name in ("common_documents", "cut_margin", "min_left"):
            if getattr(self, name) < 0:
                raise RecipeError(f"decontamination.{name}: {getattr(self, name)} must not be negative")

    def prepare(self) -> None:
        self.index  # noqa: B018

    def files(self) -> Sequence[Path]:
        return [path for _, files in sorted(self.benchmarks.items()) for path in files.found() if path.is_file()]

    @cached_property
    def index(self) -> Index:
        """The n-grams that are sought."""
        return load_index(self.benchmarks, self.n)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process makes the index itself."""
        return {key: value for key, value in self.__dict__.items() if key != "index"}

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        words = batch.words
        hits = self.index.hits(batch, _MOST_HITS)
        bounds = np.searchsorted(hits.documents, np.arange(len(batch) + 1)).astype(np.int32)
        origin = words.firsts[hits.documents]
        froms, tos = self._with_margins(batch, hits)
        lists = {
            "grams": hits.grams,
            "firsts": hits.firsts - origin,
            "lasts": hits.lasts - origin,
            "froms": froms - origin,
            "tos": tos - origin,
            "starts": words.starts[froms] - batch.offsets[hits.documents],
            "ends": words.ends[tos] - batch.offsets[hits.documents],
        }
        columns = [batch.documents.column("id"), pa.array(np.diff(words.firsts)), pa.array(np.diff(bounds))]
        columns += [
            pa.ListArray.from_arrays(pa.array(bounds), pa.array(lists[name].astype(np.int32))) for name in _LISTS
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    def _with_margins(self, batch: TextBatch, hits: Hits) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """First and last word of each hit with `cut_margin` words (punctuation not counted) on both sides."""
        stream = word_stream(batch)
        before = np.searchsorted(stream.tokens, hits.firsts) - self.cut_margin
        behind = np.searchsorted(stream.tokens, hits.lasts, side="right") - 1 + self.cut_margin
        tokens = np.append(stream.tokens, np.int32(0))  # so that a text without words can be asked, too
        begins, ends = stream.firsts[hits.documents], stream.firsts[hits.documents + 1]
        froms = np.where(before < begins, batch.words.firsts[hits.documents], tokens[np.maximum(before, begins)])
        tos = np.where(behind >= ends, batch.words.firsts[hits.documents + 1] - 1, tokens[np.minimum(behind, ends)])
        return np.minimum(froms, hits.firsts), np.maximum(tos, hits.lasts)

    def decide(
        self, sidecars: Sequence[Path], *, excluded: pa.StringArray, read_texts: ReadTexts, workspace: Path
    ) -> Decision:
        rows = Sidecars(sidecars, self.sidecar, excluded)
        common = self._common(rows)
        measures, verdicts, edits = [], [], []
        for observed in _with_hits(rows):
            judged = self._judged(observed, common)
            measures.append(judged.measures(self.index))
            if self.action == "drop":
                verdicts.append(judged.verdicts(judged.found > 0, Reason.CONTAMINATED))
            elif self.action == "cut":
                cut = self._cut(judged)
                verdicts += [judged.verdicts(cut.endless, Reason.CONTAMINATED)]
                verdicts += [judged.verdicts(cut.short, Reason.TOO_LITTLE_LEFT)]
                edits.append(cut.edits)
        whole = _stacked(pa.schema([VERDICTS.field("id"), *self.measures]), measures)
        if (repeated := repeated_id(whole["id"].combine_chunks())) is not None:
            raise observed_twice(repeated)
        return Decision(_stacked(VERDICTS, verdicts), measures=whole, edits=_stacked(EDITS, edits))

    def _common(self, rows: Sidecars) -> NDArray[np.bool_]:
        """bool[n-grams]: which of them are common in the source's documents."""
        index = self.index
        documents = np.zeros(len(index.grams), np.int32)
        work = _Work(index)
        total = 0
        for observed in _with_hits(rows):
            count_documents(
                observed.bounds, observed.grams, index.firsts, index.items, index.sizes, _COPY_GRAMS, *work.arrays,
                documents,
            )  # fmt: skip
        for batch in rows.batches(["id"]):
            total += batch.num_rows
        return frozen(documents > max(self.common_documents, self.common_share * total))

    def _judged(self, observed: _Observed, common: NDArray[np.bool_]) -> _Judged:
        index = self.index
        n_documents = len(observed.words)
        best, hits, found = (np.empty(n_documents, np.int32) for _ in range(3))
        covered = np.empty(n_documents, np.float64)
        passages = np.zeros(len(observed.grams), np.bool_)
        work = _Work(index)
        judge_documents(
            observed.bounds, observed.grams, observed.firsts, observed.lasts, index.firsts, index.items, index.sizes,
            index.terse, common,
            np.iinfo(np.int32).max if self.min_hits is None else self.min_hits,
            2.0 if self.min_covered is None else self.min_covered,
            self.min_covered_terse,
            *work.arrays, *work.more, best, hits, covered, found, passages,
        )  # fmt: skip
        return _Judged(observed, best, hits, covered, found, passages)

    def _cut(self, judged: _Judged) -> _Cut:
        """Passages to cut, and the documents that cannot be mended so."""
        observed = judged.observed
        endless = (judged.found > 0) & (np.diff(observed.bounds) >= _MOST_HITS)  # not all hits may be known
        rows = np.flatnonzero(judged.passages)
        documents = np.repeat(np.arange(len(observed.words)), np.diff(observed.bounds))[rows]
        # Word numbers that grow from document to document, so that no passage reaches over.
        origin = documents.astype(np.int64) << 32
        reach = np.maximum.accumulate(origin + observed.lasts[rows])
        apart = np.ones(len(rows), np.bool_)
        apart[1:] = origin[1:] + observed.firsts[rows][1:] > reach[:-1] + _BRIDGE * self.n
        # Wide margins may reach into one another; no word is to count twice as taken.
        behind = np.maximum.accumulate(origin + observed.tos[rows])
        apart[1:] &= origin[1:] + observed.froms[rows][1:] > behind[:-1]
        begins = np.flatnonzero(apart)
        if len(begins) == 0:
            return _Cut(EDITS.empty_table(), endless, np.zeros(len(endless), np.bool_))
        owners = documents[begins]
        froms, tos = observed.froms[rows][begins], np.maximum.reduceat(observed.tos[rows], begins)
        taken = np.bincount(owners, weights=tos - froms + 1, minlength=len(endless))
        short = (judged.found > 0) & ~endless & (observed.words - taken < self.min_left)
        stays = ~(endless | short)[owners]
        starts, ends = observed.starts[rows][begins], np.maximum.reduceat(observed.ends[rows], begins)
        columns = [observed.ids.take(pa.array(owners[stays])), pa.array(starts[stays]), pa.array(ends[stays])]
        return _Cut(pa.Table.from_arrays(columns, schema=EDITS), endless, short)


class _Work:
    """Arrays that the kernels use from document to document; they leave the second and later ones as they were."""

    def __init__(self, index: Index) -> None:
        items = len(index.sizes)
        # Of the document at hand: which n-grams were met, how many of each item, and which items these are.
        self.arrays = (np.zeros(len(index.grams), np.uint8), np.zeros(items, np.int32), np.empty(items, np.int32))
        # Of each item: hits that share no word, the last word of the last of these, whether it is found.
        self.more = (np.zeros(items, np.int32), np.full(items, -1, np.int32), np.zeros(items, np.bool_))


@dataclass(frozen=True, slots=True)
class _Observed:
    """The sidecar rows of documents with hits. Those of document d are `bounds[d]` to `bounds[d + 1]`."""

    ids: pa.StringArray
    words: NDArray[np.int32]
    bounds: NDArray[np.int32]
    grams: NDArray[np.int32]
    firsts: NDArray[np.int32]
    lasts: NDArray[np.int32]
    froms: NDArray[np.int32]
    tos: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was found in the documents of `observed`.

    best        int32[documents]    the item that is found best; -1 where all hits are common n-grams
    hits        int32[documents]    n-grams of it that share no word
    covered     float64[documents]  share of its n-grams
    found       int32[documents]    how many items are found
    passages    bool[hits]          whether an item that is found has the n-gram
    """

    observed: _Observed
    best: NDArray[np.int32]
    hits: NDArray[np.int32]
    covered: NDArray[np.float64]
    found: NDArray[np.int32]
    passages: NDArray[np.bool_]

    def measures(self, index: Index) -> pa.Table:
        rows = np.flatnonzero(self.best >= 0)
        best = self.best[rows]
        items, places = np.unique(best, return_inverse=True)
        names = pa.array([index.item_name(item) for item in items.tolist()], pa.string())
        benchmarks = pa.array(index.benchmarks, pa.string())
        columns = {
            "id": self.observed.ids.take(pa.array(rows)),
            "benchmark": benchmarks.take(pa.array(index.benchmark[best])),
            "item": names.take(pa.array(places)),
            "hits": pa.array(self.hits[rows]),
            "covered": pa.array(self.covered[rows]),
            "items": pa.array(self.found[rows]),
        }
        return pa.table(columns)

    def verdicts(self, gone: NDArray[np.bool_], reason: Reason) -> pa.Table:
        return dropped(self.observed.ids.filter(pa.array(gone)), reason)


@dataclass(frozen=True, slots=True)
class _Cut:
    edits: pa.Table
    endless: NDArray[np.bool_]
    short: NDArray[np.bool_]


def _with_hits(rows: Sidecars) -> Iterator[_Observed]:
    for batch in rows.batches(["words", "hits", *_LISTS]):
        hit = batch.filter(pa.array(batch.column("hits").to_numpy() > 0))
        if hit.num_rows == 0:
            continue
        bounds = np.concatenate(([0], np.cumsum(hit.column("hits").to_numpy()))).astype(np.int32)
        flat = (frozen(hit.column(name).flatten().to_numpy()) for name in _LISTS)
        yield _Observed(hit.column("id"), hit.column("words").to_numpy(), frozen(bounds), *flat)


def _stacked(schema: pa.Schema, tables: Sequence[pa.Table]) -> pa.Table:
    """All rows, in declared types and one order."""
    whole = pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])
    order = [(name, "ascending") for name in ("id", "start") if name in schema.names]
    return whole.sort_by(order).combine_chunks()


@kernel
def count_documents(
    bounds: NDArray[np.int32],
    grams: NDArray[np.int32],
    firsts: NDArray[np.int32],
    items: NDArray[np.int32],
    sizes: NDArray[np.int32],
    copy_grams: int,
    seen: NDArray[np.uint8],
    counts: NDArray[np.int32],
    touched: NDArray[np.int32],
    documents: NDArray[np.int32],
) -> None:
    """Adds up in how many documents each n-gram stands. A document that holds a third of an item, and at least
    `copy_grams` n-grams of it, does not count for these."""
    for document in range(bounds.shape[0] - 1):
        n_touched = 0
        for hit in range(bounds[document], bounds[document + 1]):
            gram = grams[hit]
            if seen[gram]:
                continue
            seen[gram] = 1
            for posting in range(firsts[gram], firsts[gram + 1]):
                item = items[posting]
                if counts[item] == 0:
                    touched[n_touched] = item
                    n_touched += 1
                counts[item] += 1
        for hit in range(bounds[document], bounds[document + 1]):
            gram = grams[hit]
            if not seen[gram]:
                continue
            seen[gram] = 0
            copied = False
            for posting in range(firsts[gram], firsts[gram + 1]):
                item = items[posting]
                if counts[item] >= copy_grams and _COPY_PARTS * counts[item] >= sizes[item]:
                    copied = True
                    break
            if not copied:
                documents[gram] += 1
        for index in range(n_touched):
            counts[touched[index]] = 0


@kernel
def judge_documents(
    bounds: NDArray[np.int32],
    grams: NDArray[np.int32],
    first_words: NDArray[np.int32],
    last_words: NDArray[np.int32],
    firsts: NDArray[np.int32],
    items: NDArray[np.int32],
    sizes: NDArray[np.int32],
    terse: NDArray[np.bool_],
    common: NDArray[np.bool_],
    min_hits: int,
    min_covered: float,
    min_covered_terse: float,
    seen: NDArray[np.uint8],
    counts: NDArray[np.int32],
    touched: NDArray[np.int32],
    apart: NDArray[np.int32],
    reached: NDArray[np.int32],
    found_items: NDArray[np.bool_],
    best: NDArray[np.int32],
    hits: NDArray[np.int32],
    covered: NDArray[np.float64],
    found: NDArray[np.int32],
    passages: NDArray[np.bool_],
) -> None:
    """Which items are found in each document, the best of them (a found one, then by share, n-grams and number), and
    which hits belong to items that are found."""
    for document in range(bounds.shape[0] - 1):
        n_touched = 0
        for hit in range(bounds[document], bounds[document + 1]):
            gram = grams[hit]
            if common[gram] or seen[gram]:
                continue
            seen[gram] = 1
            for posting in range(firsts[gram], firsts[gram + 1]):
                item = items[posting]
                if counts[item] == 0:
                    touched[n_touched] = item
                    n_touched += 1
                counts[item] += 1
                if first_words[hit] > reached[item]:
                    apart[item] += 1
                    reached[item] = last_words[hit]
        best[document], hits[document], covered[document], found[document] = -1, 0, 0.0, 0
        best_found, best_count = False, 0
        for index in range(n_touched):
            item = touched[index]
            share = counts[item] / sizes[item]
            if terse[item]:
                is_found = share >= min_covered_terse
            else:
                enough = counts[item] >= min(_ENOUGH_GRAMS, sizes[item])
                is_found = apart[item] >= min_hits or (enough and share >= min_covered)
            found_items[item] = is_found
            found[document] += is_found
            better = best[document] < 0 or (is_found and not best_found)
            if not better and is_found == best_found:
                if share != covered[document]:
                    better = share > covered[document]
                elif counts[item] != best_count:
                    better = counts[item] > best_count
                else:
                    better = item < best[document]
            if better:
                best[document], hits[document], covered[document] = item, apart[item], share
                best_found, best_count = is_found, counts[item]
        for hit in range(bounds[document], bounds[document + 1]):
            gram = grams[hit]
            seen[gram] = 0
            if found[document]:
                for posting in range(firsts[gram], firsts[gram + 1]):
                    if found_items[items[posting]]:
                        passages[hit] = True
                        break
        for index in range(n_touched):
            item = touched[index]
            counts[item], apart[item], reached[item], found_items[item] = 0, 0, -1, False
