"""Memory across dumps: how fast documents are compared with an index, and what is found of a second dump's.

Speed: planted signatures (planted_signatures.py) of documents, three in ten of them copies of one in the index, from
sidecar files to matches, one thread, CPU seconds. Beside it datasketch's MinHashLSH, fed from an index of the same
documents, asked with MinHash objects that are there already, its answers verified by their estimates. Exact duplicates:
random fingerprints likewise.

Accuracy: terms of service in their revisions, until 2021 and after, and newsgroup posts, train and test, as two dumps
in sequence. Every document of the second is compared with every document of the index, by the exact Jaccard similarity
of their shingles.

    figure dedup_index_documents_per_s        compared with the index, a core
    figure dedup_index_vs_datasketch          how many times as fast as datasketch's LSH asked in memory
    figure dedup_index_written_per_s          documents taken into an index, a core
    figure dedup_index_bytes_per_document     without shingles
    figure dedup_question_ms                  one text, asked of the index
    figure dedup_exact_documents_per_s        compared with an index of exact fingerprints, a core
    figure dedup_index_recall_at_80           of documents that are so similar to one of the first dump
    figure dedup_index_precision              of those that are dropped, how many are similar enough
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import Benchmark, race, table
from numpy.typing import NDArray
from planted_signatures import planted
from scipy import sparse

from corpusmill.dedup.contract import RememberingDeduplication
from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.index import open_part
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.minhash_index import ShortSets
from corpusmill.dedup.query import MinHashIndex
from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.barrier import Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.ids import IdIndex
from corpusmill.documents.shards import write_table

SEED = 2024
_FILE_ROWS = 50_000
_COPIES = 0.3
_THRESHOLDS = (0.75, 0.8, 0.85, 0.9, 0.95)


def speed(benchmark: Benchmark) -> list[str]:
    """Compares planted documents with an index of others."""
    known, asked = (20_000, 10_000) if benchmark.quick else (1_000_000, 200_000)
    small_known, small_asked = (2_000, 500) if benchmark.quick else (50_000, 10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        near, index, written = _near(folder / "near", known, asked)
        small, small_index, _ = _near(folder / "small", small_known, small_asked)
        exact = _exact(folder / "exact", known, asked)
        rounds = 3 if benchmark.quick else 5
        timings = race({"near": near, "exact": exact}, rounds, clock=time.process_time)
        peers = {"corpusmill": small, "datasketch": _by_datasketch(small_index, small_known, small_asked)}
        raced = race(peers, rounds, clock=time.process_time)
        opened = MinHashIndex.open(index)
        question = TextBatch.of_texts(["a word and then another one " * 100])
        alone = race({"question": lambda: opened.similar(question)}, 20, clock=time.process_time)
        size = sum(path.stat().st_size for path in (index / "parts" / "one").iterdir()) / known
    benchmark.figure("dedup_index_documents_per_s", asked / timings.median("near"))
    benchmark.figure("dedup_index_vs_datasketch", raced.ratio("datasketch", "corpusmill"))
    benchmark.figure("dedup_index_written_per_s", known / written)
    benchmark.figure("dedup_index_bytes_per_document", size)
    benchmark.figure("dedup_question_ms", 1000 * alone.median("question"))
    benchmark.figure("dedup_exact_documents_per_s", asked / timings.median("exact"))
    return [
        f"### Indexes of earlier runs\n\n{asked:,} documents compared with {known:,} of an index, three in ten of them "
        "copies; from sidecars to matches.",
        table(
            ["", "documents/s a core", "taken into the index, documents/s", "bytes a document", "one question, ms"],
            [
                ["near-duplicates", asked / timings.median("near"), known / written, size,
                 1000 * alone.median("question")],
                ["exact", asked / timings.median("exact"), "", "", ""],
            ],
        ),
        f"Beside datasketch: {small_asked:,} documents compared with {small_known:,}. Its LSH is fed from the index, "
        "in memory, and asked with MinHash objects that have been made; the answers are verified by their estimates. "
        "Ours reads its sidecars and maps its index.",
        table(
            ["", "documents/s a core", "times as fast"],
            [[name, small_asked / raced.median(name), raced.ratio("datasketch", name)] for name in peers],
        ),
    ]  # fmt: skip


def _near(folder: Path, known: int, asked: int) -> tuple[Callable[[], object], Path, float]:
    """What compares planted documents with an index, the index, and the CPU seconds in which it was written."""
    index = folder / "index"
    stage = MinHashDedup(update=str(index), update_as="one", index_shingles=False)
    generator = np.random.default_rng(SEED)
    bases = np.arange(known)
    sidecars = _write(folder / "known", stage, known, lambda rows: _signatures(bases[rows], generator))
    began = time.process_time()
    stage.remember(sidecars, pa.array([], pa.string()), index / "parts" / "one")
    written = time.process_time() - began
    own = _asked_bases(known, asked)
    plain = MinHashDedup(against=(str(index),))
    return _seeking(plain, _write(folder / "asked", plain, asked, lambda rows: _signatures(own[rows], generator)),
                    index, np.count_nonzero(own < known)), index, written  # fmt: skip


def _asked_bases(known: int, asked: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(SEED + 1)
    copies = generator.random(asked) < _COPIES
    return np.where(copies, generator.integers(0, known, asked), known + np.arange(asked))


def _signatures(bases: NDArray[np.int64], generator: np.random.Generator) -> dict[str, pa.Array]:
    values = planted(bases, np.zeros(len(bases), np.bool_), generator)
    width = pa.binary(2 * values.shape[1])
    return {
        "signature": pa.Array.from_buffers(width, len(bases), [None, pa.py_buffer(np.ascontiguousarray(values))]),
        "words": pa.array(np.full(len(bases), 500, np.int32)),
        "shingles": pa.array(np.full(len(bases), 496, np.int32)),
    }


def _exact(folder: Path, known: int, asked: int) -> Callable[[], object]:
    """What compares random fingerprints with an index of such."""
    index = folder / "index"
    stage = ExactDedup(update=str(index), update_as="one")
    hashes = np.random.default_rng(SEED).integers(0, 2**64, (2, known + asked), np.uint64)
    own = _asked_bases(known, asked)

    def fingerprints(numbers: NDArray[np.int64]) -> dict[str, pa.Array]:
        lengths = pa.array(np.full(len(numbers), 2000, np.int32))
        return {"first": pa.array(hashes[0][numbers]), "second": pa.array(hashes[1][numbers]), "length": lengths}

    sidecars = _write(folder / "known", stage, known, lambda rows: fingerprints(np.arange(rows.start, rows.stop)))
    stage.remember(sidecars, pa.array([], pa.string()), index / "parts" / "one")
    plain = ExactDedup(against=(str(index),))
    return _seeking(plain, _write(folder / "asked", plain, asked, lambda rows: fingerprints(own[rows])), index,
                    np.count_nonzero(own < known))  # fmt: skip


def _seeking(
    stage: RememberingDeduplication, sidecars: Sequence[Path], index: Path, copies: int
) -> Callable[[], object]:
    """Runs the step `seek`; it must find as many documents as were planted."""
    target = index / "found.parquet"

    def seek() -> None:
        stage.run_step("seek", 0, sidecars=sidecars, seen=[index / "parts" / "one"], done={}, target=target)
        found = pq.read_metadata(target).num_rows
        if found != copies:
            raise SystemExit(f"{found} documents were found in the index, and {copies} are there")

    return seek


def _write(
    folder: Path, stage: RememberingDeduplication, count: int, own: Callable[[slice], dict[str, pa.Array]]
) -> list[Path]:
    """Sidecar files of `count` documents: what `own` says of them, and columns that matter to nobody here."""
    folder.mkdir(parents=True)
    paths = []
    for first in range(0, count, _FILE_ROWS):
        rows = slice(first, min(count, first + _FILE_ROWS))
        size = rows.stop - first
        numbers = np.char.mod(f"{folder.name}%018x", np.arange(first, rows.stop))
        given = {"id": pa.array(numbers), "source": pa.array(["web"] * size), **own(rows)}
        columns = [given[f.name] if f.name in given else _filler(f, size) for f in stage.sidecar]
        paths.append(folder / f"{first:09}.parquet")
        batch = pa.RecordBatch.from_arrays(columns, schema=stage.sidecar)
        write_table(paths[-1], [batch], stage.sidecar, row_group_rows=16_384, compression="lz4")
    return paths


def _filler(field: pa.Field, count: int) -> pa.Array:
    return pa.nulls(count, field.type) if field.nullable else pa.array(np.full(count, 2000), field.type)


def _by_datasketch(index: Path, known: int, asked: int) -> Callable[[], object]:
    """What asks datasketch's LSH for the same documents, and takes the answer that is most like by estimate."""
    opened = MinHashIndex.open(index)
    lsh, _ = opened.to_datasketch()
    part = opened.parts[0]
    sketches = {
        ("one", identity): opened.sketch_of(signature)
        for identity, signature in zip(
            part.documents(np.arange(known))["id"].to_pylist(), part.array("signatures"), strict=True
        )
    }
    generator = np.random.default_rng(SEED + 2)
    values = planted(_asked_bases(known, asked), np.zeros(asked, np.bool_), generator)
    questions = [opened.sketch_of(signature) for signature in values]

    def ask() -> list[float]:
        return [max((sketch.jaccard(sketches[key]) for key in lsh.query(sketch)), default=0.0) for sketch in questions]

    return ask


def accuracy(benchmark: Benchmark) -> list[str]:
    """What is dropped of a second dump because the first has it, against all pairs."""
    dumps = [_dump(benchmark.real_data(), second) for second in (False, True)]
    if benchmark.quick:
        dumps = [dump[::6] for dump in dumps]
    with tempfile.TemporaryDirectory() as name:
        index = str(Path(name) / "index")
        stage = MinHashDedup(update=index, update_as="one")
        first, _ = _decided(stage, dumps[0], Path(name) / "first", ())
        part = Path(index) / "parts" / "one"
        stage.remember([Path(name) / "first" / "sidecar.parquet"], first.verdicts["id"].combine_chunks(), part)
        second, ids = _decided(MinHashDedup(against=(index,)), dumps[1], Path(name) / "second", (part,))
        kept = ShortSets.of_part(open_part(part))
        kept = ShortSets(np.array(kept.ends), np.array(kept.values))
    seen = second.verdicts.filter(pc.equal(second.verdicts["reason"], "seen_before"))
    dropped = IdIndex(seen["id"].combine_chunks()).find(ids) >= 0
    best = _likest(ShortSets.of(shingles_of(TextBatch.of_texts(dumps[1]), MinHashDedup.ngram, False)), kept)
    recalls = [(least, int((best >= least).sum()), float(dropped[best >= least].mean())) for least in _THRESHOLDS]
    precision = float((best[dropped] >= MinHashDedup.min_similarity).mean())
    benchmark.figure("dedup_index_recall_at_80", {least: recall for least, _, recall in recalls}[0.8])
    benchmark.figure("dedup_index_precision", precision)
    return [
        f"### Across dumps\n\n{len(dumps[0]):,} documents (terms of service until 2021, newsgroup posts of the "
        f"training set) are one dump, {len(dumps[1]):,} later ones the next; `minhash_dedup` with its defaults. Every "
        "document of the second was also compared with every one that stayed of the first, by all their shingles.",
        table(
            ["similar to one of the first dump by", "documents", "dropped as seen before"],
            [[f"{least:g} or more", count, recall] for least, count, recall in recalls],
        ),
        f"Of {int(dropped.sum()):,} documents that were dropped as seen before, the share that is similar by "
        f"{MinHashDedup.min_similarity:g} or more to one of the first dump: {precision:.4f}.",
    ]


def _dump(data: Path, second: bool) -> list[str]:
    terms = data / "neardup" / "opentermsarchive_revisions_contrib"
    posts = data / "text" / "newsgroups20_bydate" / f"20news-bydate-{'test' if second else 'train'}"
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(terms.rglob("*.md"))
        if re.match(r"\d{4}", path.name) and (path.name >= "2022") == second
    ]
    # Behind the header, which tells of the posting and not of what was posted.
    texts += [path.read_text("latin-1").partition("\n\n")[2] for path in sorted(posts.glob("*/*"))]
    return texts


def _decided(
    stage: MinHashDedup, texts: Sequence[str], folder: Path, seen: Sequence[Path]
) -> tuple[Decision, pa.StringArray]:
    folder.mkdir()
    batch = TextBatch.of_texts(texts, source=folder.name)
    sidecar = folder / "sidecar.parquet"
    write_table(sidecar, [stage.observe(batch)], stage.sidecar)
    none = pa.array([], pa.string())
    ids = batch.documents.column("id")
    decision = stage.decide(
        [sidecar], excluded=none, read_texts=lambda wanted: iter([batch]), workspace=folder, seen=seen
    )
    return decision, ids


def _likest(asked: ShortSets, known: ShortSets) -> NDArray[np.float64]:
    """The greatest Jaccard similarity of each set to any of the others, by all pairs."""
    values, columns = np.unique(np.concatenate([asked.values, known.values]), return_inverse=True)

    def matrix(sets: ShortSets, own: NDArray[np.int64]) -> sparse.csr_matrix:
        return sparse.csr_matrix((np.ones(len(own), np.int32), own, sets.ends), (len(sets.sizes), len(values)))

    count = len(asked.values)
    shared = (matrix(asked, columns[:count]) @ matrix(known, columns[count:]).T).tocoo()
    best = np.zeros(len(asked.sizes))
    union = asked.sizes[shared.row] + known.sizes[shared.col] - shared.data
    np.maximum.at(best, shared.row, shared.data / union)
    return best
