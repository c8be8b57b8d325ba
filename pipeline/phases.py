"""What a map task does: records in, through a phase's stages, survivors, sidecars and ledger rows out.

A phase ends where a barrier must see the whole source. Its sidecars are made on the way; what the barriers decide is
applied at the start of the next phase, whose ledger records it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import CorpusmillError, InputError
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import ShardWriter
from corpusmill.filters.contract import Filter, Rewriter
from corpusmill.pipeline import ledger
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.samples import Samples
from corpusmill.pipeline.sources.contract import Chunk, Origin, Reader, Split
from corpusmill.pipeline.tasks import Counts


@dataclass(frozen=True, slots=True)
class FirstInput:
    """The first phase reads a split of the source's files."""

    reader: Reader
    split: Split
    origin: Origin


@dataclass(frozen=True, slots=True)
class LaterInput:
    """A later phase reads the survivors of the one before, and what its barriers decided about them."""

    documents: Path
    verdicts: Path


@dataclass(frozen=True, slots=True)
class MapWork:
    """The arguments of a map task."""

    source: str
    input: FirstInput | LaterInput
    stages: tuple[StageSpec, ...]
    decided: tuple[StageSpec, ...]  # the barriers of the phase before, whose verdicts come with the input
    barriers: tuple[StageSpec, ...]
    documents: Path
    ledger: Path
    samples: Path
    sidecars: Mapping[str, Path]
    last: bool  # the documents are the source's curated shards


def run_map(work: MapWork) -> Counts:
    """Runs a phase's stages over one part. Counts documents and bytes in and out, drops by stage and reason, and
    what was rewritten."""
    stages = [built(spec) for spec in work.stages]
    barriers = [(spec.name, built(spec)) for spec in work.barriers]
    decided = [(spec.name, built(spec).measures) for spec in work.decided]
    measured = [(spec.name, stage.measures) for spec, stage in zip(work.stages, stages, strict=True)]
    schema = ledger.ledger_schema([*decided, *measured])
    tally = _Tally()
    samples = Samples()
    with ExitStack() as open_files:
        # What the next phase reads again is written for speed, what a trainer reads for size.
        survivors = open_files.enter_context(
            ShardWriter(work.documents, DOCUMENT, compression="zstd" if work.last else "lz4")
        )
        rows = open_files.enter_context(ShardWriter(work.ledger, schema, row_group_rows=ledger.ROW_GROUP_ROWS))
        sidecars = {
            name: open_files.enter_context(
                ShardWriter(work.sidecars[name], barrier.sidecar, row_group_rows=16_384, compression="lz4")
            )
            for name, barrier in barriers
        }
        for chunk, verdicts in _incoming(work.input):
            living = _through(chunk, verdicts, decided, work, stages, schema, tally, samples)
            rows.write(living.page.rows())
            if chunk.rejects:
                rows.write(ledger.reject_rows(chunk.rejects, work.source, schema))
                tally.rejects(chunk)
            for name, barrier in barriers:
                living.batch.measured = living.measured(barrier.needs())
                sidecars[name].write(living.alive(barrier.observe(living.batch)))
            living.compact()
            survivors.write(living.batch.documents)
            if work.last:
                samples.stayed(living.batch)
    samples.write(work.samples)
    return tally.counts(survivors)


def _through(
    chunk: Chunk,
    verdicts: _Verdicts | None,
    decided: Sequence[tuple[str, pa.Schema]],
    work: MapWork,
    stages: list[Filter | Rewriter],
    schema: pa.Schema,
    tally: _Tally,
    samples: Samples,
) -> _Living:
    """Takes a chunk through the stages: the documents that are left, with a ledger row for each that came."""
    page = ledger.ChunkLedger(chunk.documents, schema)
    page.set("file", chunk.files)
    page.set("offset", chunk.offsets)
    living = _Living(TextBatch(chunk.documents), page, tally, samples)
    tally.came(living.batch)
    if verdicts is not None:
        _apply_verdicts(living, verdicts, decided)
    for spec, stage in zip(work.stages, stages, strict=True):
        if isinstance(stage, Filter):
            _filter(living, spec.name, stage)
        else:
            _rewrite(living, spec.name, stage)
    return living


_FINDINGS = {"words", "lines", "paragraphs", "cache"}
"""Of a TextBatch: what is found in its texts when first asked for."""


class _Living:
    """A batch and which of its rows are still in.

    Dropped rows are taken out when nothing has been found in the texts yet, or when they are most of the batch: to find
    the others' words again would cost more than to carry a few dead rows to the end of the phase.
    """

    def __init__(self, batch: TextBatch, page: ledger.ChunkLedger, tally: _Tally, samples: Samples) -> None:
        self.batch = batch
        self.page = page
        self._tally = tally
        self._samples = samples
        self.mask = np.ones(len(batch), np.bool_)

    def drop(self, stage: str, reasons: np.ndarray[Any, Any], gone: np.ndarray[Any, Any]) -> None:
        """`reasons` and `gone` are for the rows that are alive."""
        rows = np.flatnonzero(self.mask)[gone]
        self._tally.dropped(stage, reasons[gone])
        self._samples.dropped(stage, reasons[gone], self.batch, rows)
        self.page.drop(stage, reasons, gone)
        self.mask[rows] = False
        if _FINDINGS.isdisjoint(self.batch.__dict__) or self.mask.mean() < 0.5:
            self.compact()

    def alive(self, results: pa.RecordBatch) -> pa.RecordBatch:
        """Of a result for each row of the batch, those of the rows that are alive."""
        return results if self.mask.all() else results.filter(pa.array(self.mask))

    def measured(self, names: Sequence[str]) -> dict[str, pa.Array]:
        """What earlier stages measured of each row of the batch; null for rows that are dead."""
        places = np.full(len(self.mask), -1, np.int64)
        places[self.mask] = self.page.alive
        return {name: self.page.column(name).take(pa.array(places, mask=places < 0)) for name in names}

    def rewrite(self, stage: str, texts: pa.StringArray, done: pa.RecordBatch | None) -> None:
        """`texts` and `done` are for every row of the batch; None where the stage has measured before."""
        if done is not None:
            done = self.alive(done)
            self.page.record(stage, done)
        changed = pc.not_equal(texts, self.batch.texts).to_numpy(zero_copy_only=False) & self.mask
        self._tally.rewrote(stage, int(changed.sum()), done)
        if changed.any():
            self.batch = self.batch.with_texts(texts)
        self.compact()

    def compact(self) -> None:
        self.batch = self.batch.kept(self.mask)
        self.mask = np.ones(len(self.batch), np.bool_)


def _filter(living: _Living, name: str, stage: Filter) -> None:
    if len(living.batch) == 0:
        return
    whole = stage.measure(living.batch)
    measures = living.alive(whole)
    living.page.record(name, measures)
    verdicts = stage.judge(measures)
    for column, measure in stage.annotations.items():
        living.batch = living.batch.with_column(column, whole.column(measure))
    if verdicts.null_count == len(verdicts):
        return
    names = np.array([*stage.reasons, None], object)
    reasons = names[pc.fill_null(verdicts, len(names) - 1).to_numpy(zero_copy_only=False)]
    gone = verdicts.is_valid().to_numpy(zero_copy_only=False)
    living.drop(name, reasons, gone)


def _rewrite(living: _Living, name: str, stage: Rewriter) -> None:
    if len(living.batch) == 0:
        return
    # The few dead rows go along, for the sake of what the stages before have found in this very batch: c4 has cleaned
    # the lines that c4_lines now takes out.
    living.rewrite(name, *stage.rewrite(living.batch))


class _Verdicts:
    """What the barriers before this phase decided about a part's documents."""

    def __init__(self, path: Path) -> None:
        self._table = pq.read_table(path).combine_chunks()
        self._index = IdIndex(self._table["id"].combine_chunks())

    def of(self, ids: pa.StringArray) -> pa.Table:
        """A row for each document; of nulls where nothing was decided."""
        places = self._index.find(ids)
        return self._table.take(pa.array(places, mask=places < 0))


def _apply_verdicts(living: _Living, verdicts: _Verdicts, decided: Sequence[tuple[str, pa.Schema]]) -> None:
    """Drops what the barriers before this phase decided, notes what they measured and what the survivors stand for,
    and cuts out of these what is to go."""
    found = verdicts.of(living.batch.documents.column("id"))
    for name in ("kept_id", "similarity", "cluster_size"):
        living.page.set(name, found[name].combine_chunks())
    for stage, measures in decided:
        for item in measures:
            living.page.set(f"{stage}.{item.name}", found[f"{stage}.{item.name}"].combine_chunks())
    stages = found["stage"].to_numpy()
    reasons = found["reason"].to_numpy()
    for stage in found["stage"].unique().drop_null().to_pylist():
        alive = living.page.alive
        gone = stages[alive] == stage
        living.drop(stage, reasons[alive], gone)
    alive = living.page.alive
    living.compact()
    edits = found.select(["edited_by", "edit_starts", "edit_ends"]).take(pa.array(alive))
    for stage in edits["edited_by"].unique().drop_null().to_pylist():
        mine = pc.fill_null(pc.equal(edits["edited_by"], stage), False).combine_chunks()
        passages = edits.filter(mine)
        cut = [
            _without(text.as_buffer(), starts, ends)
            for text, starts, ends in zip(
                living.batch.texts.filter(mine), passages["edit_starts"].to_pylist(), passages["edit_ends"].to_pylist()
            )
        ]
        texts = pc.replace_with_mask(living.batch.texts, mine, pa.array(cut, pa.string()))
        living.rewrite(stage, texts, None)


def _without(text: pa.Buffer, starts: Sequence[int], ends: Sequence[int]) -> bytes:
    """A text's bytes without some passages, which are in order and apart."""
    whole = memoryview(text)
    kept = [whole[start:end] for start, end in zip([0, *ends], [*starts, len(whole)], strict=True)]
    return b"".join(kept)


def _incoming(source: FirstInput | LaterInput) -> Iterator[tuple[Chunk, _Verdicts | None]]:
    if isinstance(source, FirstInput):
        try:
            for chunk in source.reader.read(source.split, source.origin):
                yield chunk, None
        except InputError as error:
            # It was there when the plan was made. One file costs its task and not the run, which may have millions.
            raise CorpusmillError(str(error)) from error
        return
    verdicts = _Verdicts(source.verdicts)
    with pq.ParquetFile(source.documents) as file:
        for batch in grouped(file):
            nothing = pa.nulls(batch.num_rows, pa.string()), pa.nulls(batch.num_rows, pa.int64())
            yield Chunk(batch, *nothing), verdicts


def grouped(file: pq.ParquetFile, text_bytes: int = 4_000_000) -> Iterator[pa.RecordBatch]:
    """A document file's row groups as record batches, those with long texts cut up."""
    for index in range(file.num_row_groups):
        table = file.read_row_group(index).combine_chunks()
        if table.num_rows == 0:
            continue
        ends = np.cumsum(pc.binary_length(table["text"]).to_numpy())
        cuts = np.flatnonzero(np.diff(ends // text_bytes)) + 1
        bounds = [0, *cuts.tolist(), table.num_rows]
        for start, stop in pairwise(bounds):
            [batch] = table.slice(start, stop - start).to_batches()
            yield batch


@lru_cache(maxsize=256)
def _built(stage: str, name: str, place: str, options: str, files: tuple[tuple[int, int], ...]) -> Any:
    made = StageSpec(name, stage, json.loads(options), place).build()
    made.prepare()
    return made


def built(spec: StageSpec) -> Any:
    """The stage of a spec, prepared; one for each process, and a new one when a file that it reads is another."""
    made = spec.build()
    found = [path.stat() for path in made.files() if path.exists()]
    files = tuple((status.st_size, status.st_mtime_ns) for status in found)
    return _built(spec.stage, spec.name, spec.place, json.dumps(dict(spec.options), sort_keys=True), files)


class _Tally:
    """Counts of a map task."""

    def __init__(self) -> None:
        self._records = self._documents = self._bytes = 0
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._rewritten: dict[str, dict[str, Any]] = {}

    def came(self, batch: TextBatch) -> None:
        self._records += len(batch)
        self._documents += len(batch)
        self._bytes += batch.n_bytes

    def rejects(self, chunk: Chunk) -> None:
        self._records += len(chunk.rejects)
        self._dropped.update((reject.stage, str(reject.reason)) for reject in chunk.rejects)

    def dropped(self, stage: str, reasons: Any) -> None:
        self._dropped.update((stage, str(reason)) for reason in reasons)

    def rewrote(self, stage: str, documents: int, done: pa.RecordBatch | None) -> None:
        """`documents`: how many texts changed; `done`: the measures of all that came, where they are counts."""
        counted = dict(zip(done.schema.names, done.columns, strict=True)) if done is not None else {}
        whole = self._rewritten.setdefault(stage, {"documents": 0, "measures": dict.fromkeys(counted, 0)})
        whole["documents"] += documents
        for name, column in counted.items():
            whole["measures"][name] += pc.sum(column).as_py() or 0

    def counts(self, survivors: ShardWriter) -> Counts:
        by_stage: dict[str, dict[str, int]] = {}
        for (stage, reason), count in sorted(self._dropped.items()):
            by_stage.setdefault(stage, {})[reason] = count
        shard = survivors.shard
        assert shard is not None  # its writer has ended well
        return {
            "records": self._records,
            "documents_in": self._documents,
            "bytes_in": self._bytes,
            "dropped": by_stage,
            "rewritten": self._rewritten,
            "documents_out": shard.rows,
            "bytes_out": shard.text_bytes,
            "shard": shard.as_dict(),
        }
