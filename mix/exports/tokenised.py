"""The one pass over a shard of the dataset: read it, tokenise it once, hand it to the writers of every format.

A `ShardExport` is a task. It can be run twice: every file is written beside its target and renamed, and a receipt for
each format, which is written last, says which files stand. A task whose receipts fit is not run again, so an export
that was killed goes on where it was, and a format that is added later does not write the others again.

Memory: a row group of the dataset, a piece of PIECE_BYTES of text with its tokens, and what the writers keep.

A receipt, `OUT/<format>/.shards/<stem>.json`:

    fingerprint   of the export that it belongs to
    groups        for each group with a document: its name (null without `--by`), documents, text_bytes, tokens, files,
                  facts
    inner_eos     EOS tokens within documents: readers that look for EOS would cut there
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.errors import DamagedRunError, InputError
from corpusmill.documents.shards import ROW_GROUP_ROWS, atomic_text, read_batches
from corpusmill.mix.exports import format_named
from corpusmill.mix.exports.contract import Documents, Export, Place, TokenFacts, Writer, Written
from corpusmill.mix.exports.dataset import DatasetShard
from corpusmill.mix.tokens import Tokens, load_tokens

PIECE_BYTES = 4_000_000
"""Text that is tokenised at a time, about. tokenizers keeps some hundred bytes for each token until they are copied."""
SHARDS, PARTS = ".shards", ".parts"

_COUNTS = "n_tokens"
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardExport:
    """A task: one shard in the formats that do not have it yet.

    exports       for each format that is to be written, what its writers share
    tokenizer     spec of the tokenizer (mix/tokens.py); None where no format needs tokens
    check_counts  whether the dataset's `n_tokens` were counted by this tokenizer
    marks         for each of them, the fingerprint of what it is an export of
    """

    shard: DatasetShard
    exports: dict[str, Export]
    marks: dict[str, str]
    tokenizer: str | None
    check_counts: bool

    @property
    def key(self) -> str:
        return f"export/{self.shard.stem}"

    @property
    def size(self) -> int:
        return self.shard.text_bytes

    def run(self) -> dict[str, Any]:
        """Writes the shard in every format, then the receipts."""
        receipts = {name: receipt(export.folder, self.shard.stem) for name, export in self.exports.items()}
        for path in receipts.values():
            path.unlink(missing_ok=True)
        tokens = next((export.tokens for export in self.exports.values() if export.tokens is not None), None)
        engine = load_tokens(self.tokenizer) if tokens is not None and self.tokenizer is not None else None
        by = next(iter(self.exports.values())).by
        writers: dict[tuple[str, str | None], _Counting] = {}
        rows = inner = 0
        with ExitStack() as stack:
            for piece in _pieces(self.shard.path, next(iter(self.exports.values())).columns):
                documents = Documents(rows=piece, numbers=np.arange(rows, rows + piece.num_rows))
                rows += piece.num_rows
                if engine is not None and tokens is not None:
                    documents, found = tokenised(documents, engine, tokens)
                    inner += found
                    if self.check_counts:
                        _check_counts(self.shard.path, documents)
                for group, some in parted(documents, by):
                    for name, export in self.exports.items():
                        counting = writers.get((name, group))
                        if counting is None:
                            place = place_of(export.folder, self.shard, group)
                            writer = stack.enter_context(format_named(name).writer(place, export))
                            counting = writers[name, group] = _Counting(writer)
                        counting.write(some)
            if rows != self.shard.rows:
                raise DamagedRunError(
                    f"{self.shard.path}: has {rows:,} rows, and the manifest says {self.shard.rows:,}; "
                    "mix the dataset again"
                )
        for name, path in receipts.items():
            own = inner if self.exports[name].tokens is not None else 0
            groups = {group: counting.written() for (format_, group), counting in writers.items() if format_ == name}
            told = [{"group": group, **asdict(written)} for group, written in groups.items()]
            atomic_text(path, json.dumps({"fingerprint": self.marks[name], "groups": told, "inner_eos": own}))
        return {"documents": rows, "inner_eos": inner}


@dataclass(slots=True)
class _Counting:
    """A writer, and what it was given."""

    writer: Writer
    documents: int = 0
    text_bytes: int = 0
    tokens: int = 0

    def write(self, documents: Documents) -> None:
        self.writer.write(documents)
        self.documents += documents.rows.num_rows
        self.text_bytes += int(pc.sum(pc.binary_length(documents.rows.column("text"))).as_py() or 0)
        if self.writer.export.tokens is not None:  # for other formats, documents have tokens only by chance
            self.tokens += len(documents.tokenised()[0])

    def written(self) -> Written:
        folder = self.writer.export.folder
        return Written(
            stem=self.writer.place.stem,
            documents=self.documents,
            text_bytes=self.text_bytes,
            tokens=self.tokens,
            files={path.relative_to(folder).as_posix(): path.stat().st_size for path in self.writer.paths},
            facts=self.writer.facts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What stands of a shard in one format."""

    groups: dict[str | None, Written] = field(default_factory=dict)
    inner_eos: int = 0

    @classmethod
    def read(cls, folder: Path, stem: str, fingerprint: str) -> Receipt | None:
        """The receipt below a format's folder; None if there is none, or not all of its files stand as it says."""
        try:
            kept = json.loads(receipt(folder, stem).read_text())
            if kept["fingerprint"] != fingerprint:
                return None
            groups = {entry.pop("group"): Written(**entry) for entry in kept["groups"]}
            sizes = {name: size for written in groups.values() for name, size in written.files.items()}
            if any((folder / name).stat().st_size != size for name, size in sizes.items()):
                return None
            return cls(groups=groups, inner_eos=kept["inner_eos"])
        except (OSError, ValueError, KeyError, TypeError):
            # Absent, cut short or somebody else's: the shard is written again.
            return None


def receipt(folder: Path, stem: str) -> Path:
    """Where a shard's receipt stands below a format's folder."""
    return folder / SHARDS / f"{stem}.json"


def place_of(folder: Path, shard: DatasetShard, group: str | None) -> Place:
    """Where a format's files of one group in one shard go."""
    inner = Path(shard.split) if group is None else Path(shard.split) / folder_name(group)
    return Place(split=shard.split, group=group, folder=folder / inner, parts=folder / PARTS / inner, stem=shard.stem)


def folder_name(group: str) -> str:
    """A source's or component's name as the name of a folder; other names get other folders.

    >>> folder_name("web"), folder_name("web/de")
    ('web', 'web-de.9df91cdc')
    """
    plain = _UNSAFE.sub("-", group).strip(".-")[:_LONGEST_NAME]
    if plain == group:
        return plain
    return f"{plain}.{hashlib.sha256(group.encode()).hexdigest()[:8]}".lstrip(".")


def tokenised(documents: Documents, engine: Tokens, facts: TokenFacts) -> tuple[Documents, int]:
    """The documents with their tokens, each ended by EOS, and how many EOS were within documents before.

    Raises:
        InputError: if the tokenizer gives an id beyond its vocabulary.
    """
    ids, offsets = engine.encode(documents.rows.column("text"))
    if len(ids) and int(ids.max()) >= facts.vocab_size:
        raise InputError(
            f"tokenizer {facts.name}: gives the id {int(ids.max()):,}, and its vocabulary has {facts.vocab_size:,}; "
            "its file is damaged"
        )
    lengths = np.diff(offsets) + 1
    ends = np.cumsum(lengths)
    tokens = np.empty(len(ids) + len(ends), facts.id_type)
    inner = np.ones(len(tokens), np.bool_)
    inner[ends - 1] = False
    tokens[inner] = ids
    tokens[ends - 1] = facts.eos_id
    return replace(documents, tokens=tokens, ends=ends), int(np.count_nonzero(ids == facts.eos_id))


def parted(documents: Documents, by: str | None) -> Iterator[tuple[str | None, Documents]]:
    """The documents of each group, in order; a document without a component is in that of its source."""
    if by is None:
        yield None, documents
        return
    rows = documents.rows
    names = rows.column("source")
    if by == "component" and "component" in rows.schema.names:
        names = pc.coalesce(rows.column("component"), names)
    encoded = names.dictionary_encode()
    codes = encoded.indices.to_numpy()
    groups = encoded.dictionary.to_pylist()
    if len(groups) == 1:
        yield groups[0], documents
        return
    lengths = np.diff(documents.ends, prepend=0) if documents.ends is not None else None
    for code, group in sorted(enumerate(groups), key=lambda pair: pair[1]):
        chosen = codes == code
        tokens = ends = None
        if documents.tokens is not None and lengths is not None:
            tokens, ends = documents.tokens[np.repeat(chosen, lengths)], np.cumsum(lengths[chosen])
        some = rows.filter(pa.array(chosen))
        yield group, Documents(rows=some, numbers=documents.numbers[chosen], tokens=tokens, ends=ends)


def _pieces(path: Path, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A shard's rows in order, about PIECE_BYTES of text at a time, at least one document.

    Raises:
        DamagedRunError: if its columns are not those of the dataset.
    """
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(columns):
            raise DamagedRunError(
                f"{path}: has the columns {', '.join(file.schema_arrow.names)}, and the dataset's first shard "
                f"{', '.join(columns.names)}, or other types; mix the dataset again"
            )
        for batch in read_batches(file, ROW_GROUP_ROWS):
            sizes = np.cumsum(pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False), dtype=np.int64)
            start = 0
            while start < batch.num_rows:
                before = int(sizes[start - 1]) if start else 0
                end = max(int(np.searchsorted(sizes, before + PIECE_BYTES, side="right")), start + 1)
                yield batch.slice(start, end - start)
                start = end


def _check_counts(path: Path, documents: Documents) -> None:
    """Raises DamagedRunError if the dataset counted other tokens than were written."""
    _, ends = documents.tokenised()
    counted = documents.rows.column(_COUNTS).to_numpy(zero_copy_only=False)
    found = np.diff(ends, prepend=0) - 1
    if not np.array_equal(counted, found):
        row = int(np.flatnonzero(counted != found)[0])
        raise DamagedRunError(
            f"{path}: document {documents.rows.column('id')[row].as_py()} is counted as {int(counted[row]):,} tokens, "
            f"and the same tokenizer finds {int(found[row]):,}; mix the dataset again"
        )
