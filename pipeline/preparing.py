"""What sweeps and mixture searches train on, as tasks: near-duplicate groups, one vocabulary, token ids, a table.

scaling/shared/sketches/<source>/part-*.parquet     signatures
scaling/shared/groups-<of>.parquet                  near-duplicates over all sources: a cluster is held out as a whole
scaling/shared/tokenizer-<of>/tokenizer.json        trained on a sample of what may be trained on
scaling/shared/encoded-<of>/<source>/part-*.{npy,parquet}
scaling/<sweep>/documents.parquet                   what the ledger knows of each document (scaling/pools.py)

`<of>` is the fingerprint of what each was made of: sweeps that agree share it, others leave it alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.errors import InputError, RecipeError, UsageError
from corpusmill.documents.shards import read_batches, write_table
from corpusmill.mix.groups import look_up
from corpusmill.mix.keys import KEYS, TRAIN, below, id_hashes, keyed, splits_of
from corpusmill.mix.tokenizer_samples import Corpus
from corpusmill.mix.tokenizer_training import TokenizerOptions, train
from corpusmill.mix.tokens import END_OF_TEXT, load_tokens
from corpusmill.pipeline.mixing import Grouping, Part, Parts, Runner, Sketching, all_well, group, sketch
from corpusmill.pipeline.tasks import Counts, Task, fingerprint
from corpusmill.scaling.encoded import encode_part
from corpusmill.scaling.pools import heldout_rows
from corpusmill.scaling.prepared import EncodedPart, Prepared, write_documents
from corpusmill.scaling.sweep_options import SweepOptions

LAYOUT = 1
_TABLE = 2  # the layout of the table of documents, which no cell's name depends on
_BATCH_ROWS = 1024
_SAMPLE = pa.schema([pa.field("text", pa.string()), pa.field("source", pa.string())])
_FERTILITY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Vocabulary:
    parts: tuple[tuple[str, Path], ...]
    groups: Path
    options: SweepOptions
    text_bytes: int
    out: Path
    workspace: Path


@dataclass(frozen=True, slots=True)
class Encoding:
    part: EncodedPart
    tokenizer: Path


@dataclass(frozen=True, slots=True)
class Listing:
    parts: tuple[EncodedPart, ...]
    groups: Path
    options: SweepOptions
    out: Path


@dataclass(frozen=True, slots=True)
class Preparation:
    """The tasks that come before the cells of a sweep.

    Args:
        folder: of the run.
        parts: its curated parts, of all sources that the sweep looks at.
    """

    folder: Path
    parts: Parts
    options: SweepOptions

    def sketching(self) -> list[Task]:
        return [
            self._task(
                f"sketch/{source}/{part.documents.stem}",
                sketch,
                Sketching(part.documents, out),
                (out,),
                fingerprint(LAYOUT, "sketch", part.outcome.task.fingerprint),
                part.outcome.counts["bytes_out"],
            )
            for source, part in self._parts()
            for out in [self._shared / "sketches" / source / part.documents.name]
        ]

    def grouping(self, sketching: Sequence[Task]) -> Task:
        """The task that finds near-duplicates."""
        wanted = fingerprint(LAYOUT, [task.fingerprint for task in sketching])
        out = self._shared / f"groups-{wanted}.parquet"
        return self._task(
            f"groups-{wanted}",
            group,
            Grouping(tuple(task.arguments.out for task in sketching), out, self._workspace),
            (out,),
            wanted,
            sum(task.size for task in sketching),
        )

    def vocabulary(self, grouping: Task) -> Task:
        """The task that trains a tokenizer, which is the first of its outputs."""
        options = self.options
        pooled = {source for pool in options.pools.values() for source in pool.sources}
        parts = [(source, part) for source, part in self._parts() if source in pooled]
        text_bytes = sum(part.outcome.counts["bytes_out"] for _, part in parts)
        wanted = fingerprint(
            LAYOUT,
            grouping.fingerprint,
            [part.outcome.task.fingerprint for _, part in parts],
            asdict(options.tokenizer),
            [options.heldout.share, options.seed],
        )
        out = self._shared / f"tokenizer-{wanted}"
        work = Vocabulary(
            tuple((source, part.documents) for source, part in parts),
            grouping.arguments.out,
            options,
            text_bytes,
            out,
            self._workspace,
        )
        return self._task(
            f"tokenizer-{wanted}",
            train_vocabulary,
            work,
            tuple(out / name for name in ("tokenizer.json", "tokenizer_config.json", "fertility.json")),
            wanted,
            min(text_bytes, options.tokenizer.sample_bytes),
        )

    def encoding(self, tokenizer: Path, made: str) -> list[Task]:
        """The tasks that make token ids, in the order of the parts; `made` is the fingerprint of the tokenizer."""
        tasks = []
        for source, part in self._parts():
            folder = self._shared / f"encoded-{made[:16]}" / source
            encoded = EncodedPart(
                source=source,
                documents=part.documents,
                ledger=part.ledger,
                ids=folder / f"{part.documents.stem}.npy",
                index=folder / part.documents.name,
            )
            tasks.append(
                self._task(
                    f"encode-{made[:16]}/{source}/{part.documents.stem}",
                    encode,
                    Encoding(encoded, tokenizer),
                    (encoded.ids, encoded.index),
                    fingerprint(LAYOUT, made, part.outcome.task.fingerprint),
                    part.outcome.counts["bytes_out"],
                )
            )
        return tasks

    def listing(self, grouping: Task, encoding: Sequence[Task]) -> Task:
        """The task that writes the table of documents."""
        options = self.options
        pools = {name: pool.chosen() for name, pool in options.pools.items()}
        out = self.folder / "scaling" / options.name / "documents.parquet"
        parts = tuple(task.arguments.part for task in encoding)
        return self._task(
            f"documents/{options.name}",
            list_documents,
            Listing(parts, grouping.arguments.out, options, out),
            (out,),
            fingerprint(_TABLE, self.basis(grouping, encoding), pools, options.scores),
            sum(part.ledger.stat().st_size for part in parts),
        )

    def basis(self, grouping: Task, encoding: Sequence[Task]) -> str:
        """Of the token ids and of what is held out, whatever the pools and scores."""
        held = [self.options.heldout.share, self.options.heldout.whole, self.options.seed]
        return fingerprint(LAYOUT, grouping.fingerprint, [task.fingerprint for task in encoding], held)

    def prepared(self, grouping: Task, encoding: Sequence[Task], listing: Task) -> Prepared:
        """What the tasks have made.

        Raises:
            InputError: if the tokenizer has no token that ends a text.
        """
        tokenizer = encoding[0].arguments.tokenizer
        tokens = load_tokens(str(tokenizer))
        if tokens.eos_id is None:
            raise InputError(
                f"{tokenizer}: has no token that ends a text, such as {END_OF_TEXT}, and a proxy must know where "
                "documents end; take another, or leave sweep.tokenizer.file out"
            )
        return Prepared(
            parts=listing.arguments.parts,
            file=listing.arguments.out,
            tokenizer=tokenizer,
            vocab_size=tokens.vocab_size,
            eos_id=tokens.eos_id,
            options=self.options,
            basis=self.basis(grouping, encoding),
            fingerprint=listing.fingerprint,
        )

    def _parts(self) -> Iterator[tuple[str, Part]]:
        for source in self.options.sources():
            for part in self.parts[source]:
                yield source, part

    @property
    def _workspace(self) -> Path:
        return self.folder / "scaling" / "workspace"

    @property
    def _shared(self) -> Path:
        return self.folder / "scaling" / "shared"

    def _task(
        self,
        name: str,
        function: Callable[[Any], Counts],
        arguments: Any,
        outputs: tuple[Path, ...],
        wanted: str,
        size: int,
    ) -> Task:
        return Task(
            key=f"scaling/{name}",
            function=f"{function.__module__}:{function.__name__}",
            arguments=arguments,
            outputs=outputs,
            marker=self._shared / "tasks" / f"{name.replace('/', '-')}.json",
            fingerprint=wanted,
            size=size,
        )


def prepare(
    folder: Path, parts: Parts, options: SweepOptions, tokenizer: Path | None, runner: Runner
) -> Prepared | None:
    """Makes what a sweep trains on, or finds it made; None if a task failed.

    Args:
        tokenizer: a tokenizer.json to use; None: one is trained.

    Raises:
        RecipeError: if no such tokenizer can be trained.
        InputError: if a document of a pool has no score, a held-out set overlaps or is empty, or a source has no
            documents.
    """
    if tokenizer is None:
        _tokenizer_options(options)  # refuses what no tokenizer can be, before anything is done
    for source in options.sources():
        if not parts.get(source):
            raise InputError(f"sweep: the source {source} has no curated documents; look at the run's report")
    work = Preparation(folder, parts, options)
    sketching = work.sketching()
    grouping = work.grouping(sketching)
    for title, tasks in (("near-duplicates", sketching), ("groups", [grouping])):
        if not all_well(runner.run(f"scaling: {title}", tasks)):
            return None
    if tokenizer is None:
        vocabulary = work.vocabulary(grouping)
        if not all_well(runner.run("scaling: tokenizer", [vocabulary])):
            return None
        encoding = work.encoding(vocabulary.outputs[0], vocabulary.fingerprint)
    else:
        encoding = work.encoding(tokenizer, load_tokens(str(tokenizer)).fingerprint)
    if not all_well(runner.run("scaling: encode", encoding)):
        return None
    listing = work.listing(grouping, encoding)
    if not all_well(runner.run("scaling: documents", [listing])):
        return None
    prepared = work.prepared(grouping, encoding, listing)
    heldout_rows(prepared.documents, options)  # refuses what is empty, before anything is trained
    return prepared


def train_vocabulary(work: Vocabulary) -> Counts:
    """Trains the tokenizer on documents that chance chose, none of them held out."""
    options, asked = work.options, work.options.tokenizer
    share = min(1.0, asked.sample_bytes / max(work.text_bytes, 1))
    sample = work.workspace / "sample.parquet"
    try:
        write_table(sample, _sampled(work, share), _SAMPLE)
        made = train(
            [Corpus(source=None, train=(sample,))],
            work.out,
            _tokenizer_options(options),
        )
    except InputError as error:
        raise InputError(_of_tokenizer(error)) from error
    finally:
        shutil.rmtree(work.workspace, ignore_errors=True)
    return {"vocab_size": made.tokens.vocab_size, "fingerprint": made.tokens.fingerprint}


def _tokenizer_options(options: SweepOptions) -> TokenizerOptions:
    try:
        return TokenizerOptions(
            vocab_size=options.tokenizer.vocab_size,
            special_tokens=(END_OF_TEXT,),
            sample_bytes=options.tokenizer.sample_bytes,
            held_out_bytes=_FERTILITY_BYTES,
            seed=options.seed,
        )
    except UsageError as error:
        raise RecipeError(_of_tokenizer(error)) from error


def _of_tokenizer(error: Exception) -> str:
    """With the recipe's key instead of the option of `corpusmill tokenizer train`."""
    return f"sweep.tokenizer: {error}".replace("--vocab-size", "vocab_size")


def _sampled(work: Vocabulary, share: float) -> Iterator[pa.RecordBatch]:
    options = work.options
    for source, part in work.parts:
        with pq.ParquetFile(part) as file:
            for batch in read_batches(file, _BATCH_ROWS, ["id", "text"]):
                hashes = id_hashes(batch.column("id"))
                splits = splits_of(look_up(work.groups, hashes), options.seed, 0.0, options.heldout.share)
                chosen = below(keyed(hashes, options.seed, "sweep/tokenizer"), int(share * KEYS)) & (splits == TRAIN)
                texts = batch.column("text").filter(pa.array(chosen))
                sources = pa.array([source]).take(pa.array(np.zeros(len(texts), np.int64)))
                yield pa.RecordBatch.from_arrays([texts, sources], schema=_SAMPLE)


def encode(work: Encoding) -> Counts:
    return {"tokens": encode_part(work.part.documents, work.tokenizer, work.part.ids, work.part.index)}


def list_documents(work: Listing) -> Counts:
    write_documents(work.parts, work.groups, work.options, work.out)
    return {}
