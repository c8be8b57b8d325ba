"""How fast documents become the files of other trainers, and the same by the libraries that write them.

Prose (benchmarks/prose.py) as rows of a dataset, in memory; files go to memory, too, where there is room, so that what
is timed is the making of them. One core, CPU seconds, in turns. The libraries get their documents one by one, as they
ask for them: datatrove's JsonlWriter (zstd) a Document, webdataset's TarWriter a sample.

mosaicml-streaming and litdata need torch, and the former an older numpy, so their writers are not raced here.

    figure export_jsonl_mb_per_s         text a second and core, JSON lines with zstd
    figure export_jsonl_vs_datatrove     how many times as fast as datatrove
    figure export_webdataset_mb_per_s    the same of tar files
    figure export_webdataset_vs_library  how many times as fast as webdataset's writer
    figure export_mosaic_mb_per_s        MDS shards with zstd and SHA-1
    figure export_litdata_mb_per_s       LitData's chunks, uncompressed
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.writers import JsonlWriter
from harness import Benchmark, race, table
from prose import prose
from webdataset import TarWriter

from corpusmill.mix.exports import format_named
from corpusmill.mix.exports.contract import Documents, Export, Place
from corpusmill.mix.shuffle import dataset_schema

FORMATS = ("jsonl", "webdataset", "mosaic", "litdata_text")
_BATCH = 1_024
_ROOM = 2_000_000_000


def main() -> None:
    benchmark = Benchmark.from_arguments("exports", __doc__)
    texts = [text for _, text in prose(benchmark.real_data(), 4_000_000 if benchmark.quick else 60_000_000)]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    batches = rows_of(texts)
    samples = [row for batch in batches for row in batch.to_pylist()]
    with quick_folder() as folder:
        timings = race(
            {
                **{name: lambda name=name: export(name, batches, folder / name) for name in FORMATS},
                "datatrove": lambda: write_jsonl(samples, folder / "datatrove"),
                "library": lambda: write_tar(samples, folder / "library.tar"),
            },
            rounds=2 if benchmark.quick else 5,
            clock=time.process_time,
        )
        sizes = {name: size_of(folder / name) / 1e6 for name in FORMATS}
        sizes |= {"datatrove": size_of(folder / "datatrove") / 1e6, "library": size_of(folder / "library.tar") / 1e6}
    speed = {name: megabytes / timings.median(name) for name in sizes}
    against_datatrove = timings.ratio("datatrove", "jsonl")
    against_library = timings.ratio("library", "webdataset")
    benchmark.figure("export_jsonl_mb_per_s", speed["jsonl"])
    benchmark.figure("export_jsonl_vs_datatrove", against_datatrove)
    benchmark.figure("export_webdataset_mb_per_s", speed["webdataset"])
    benchmark.figure("export_webdataset_vs_library", against_library)
    benchmark.figure("export_mosaic_mb_per_s", speed["mosaic"])
    benchmark.figure("export_litdata_mb_per_s", speed["litdata_text"])
    rows: list[list[object]] = [
        ["jsonl", speed["jsonl"], sizes["jsonl"], f"datatrove: {speed['datatrove']:.0f}", against_datatrove],
        [
            "webdataset",
            speed["webdataset"],
            sizes["webdataset"],
            f"webdataset: {speed['library']:.0f}",
            against_library,
        ],
        ["mosaic", speed["mosaic"], sizes["mosaic"], "", ""],
        ["litdata_text", speed["litdata_text"], sizes["litdata_text"], "", ""],
    ]
    header = ["format", "MB/s a core", "MB written", "the library, MB/s", "times as fast"]
    told = f"{megabytes:.0f} MB of prose in {len(texts):,} documents, from rows in memory to files."
    benchmark.write(["### Exports of documents", told, table(header, rows)])


def rows_of(texts: list[str]) -> list[pa.RecordBatch]:
    """The texts as rows of a dataset."""
    schema = dataset_schema("bytes")
    columns = {
        "text": texts,
        "id": [f"{number:024x}" for number in range(len(texts))],
        "source": ["prose"] * len(texts),
        "url": [f"https://prose.example/{number}" for number in range(len(texts))],
        "language": ["en"] * len(texts),
        "language_score": [0.99] * len(texts),
        "quality": [number % 100 / 100 for number in range(len(texts))],
        "n_bytes": [len(text.encode()) for text in texts],
    }
    every = pa.table(
        [pa.array(columns.get(field.name, [None] * len(texts)), field.type) for field in schema], schema=schema
    )
    return every.to_batches(max_chunksize=_BATCH)


def export(name: str, batches: list[pa.RecordBatch], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    export = Export(folder=folder, dataset="prose", by=None, columns=batches[0].schema, tokens=None)
    place = Place(split="train", group=None, folder=folder, parts=folder, stem="train-00000-of-00001")
    first = 0
    with format_named(name).writer(place, export) as writer:
        for batch in batches:
            writer.write(Documents(rows=batch, numbers=np.arange(first, first + len(batch))))
            first += len(batch)


def write_jsonl(samples: list[dict[str, object]], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with JsonlWriter(str(folder), compression="zstd") as writer:
        for row in samples:
            known = {key: value for key, value in row.items() if key not in ("id", "text")}
            writer.write(Document(text=row["text"], id=row["id"], metadata=known))


def write_tar(samples: list[dict[str, object]], path: Path) -> None:
    with TarWriter(str(path), mtime=0) as writer:
        for number, row in enumerate(samples):
            known = {key: value for key, value in row.items() if key != "text"}
            writer.write({"__key__": f"{number:08d}", "txt": row["text"], "json": known})


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


@contextmanager
def quick_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
