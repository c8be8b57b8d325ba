"""Stock datatrove's FineWeb chain; runs in the peers' environment, started by end_to_end.py.

The blocks, their order and their options are those of datatrove's examples/fineweb.py at 0.10.1, on its local executor
with two workers instead of Slurm. Left out, all in datatrove's favour: the URL filter, the writers of what was dropped,
and the token counter (its tokenizer would be downloaded). Nothing in datatrove is changed: its tokenizer and sentence
splitter for English are spaCy's blank model and sentencizer, which need no download, and the language model lies where
its own cache looks for lid.176.bin (peers_venv.py puts lid.176.ftz there: the same model, quantised).

    datatrove_chain.py parquet|warc INPUT_FOLDER WORK_FOLDER

writes WORK_FOLDER/curated/*.parquet, and WORK_FOLDER/filtered/*.jsonl.gz on the way. Prints one JSON object: the
seconds of each of the five executors.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, ParquetReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter

WORKERS = 2
CONFIG = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)


def chain(kind: str, source: str, work: Path) -> dict[str, tuple[int, list[PipelineStep]]]:
    """The executors in order: name, number of tasks, blocks."""
    beginning = {
        "parquet": [ParquetReader(source)],
        "warc": [WarcReader(source), Trafilatura(favour_precision=True)],
    }[kind]
    filtered = str(work / "filtered")
    signatures, buckets, removed = (str(work / name) for name in ("signatures", "buckets", "removed"))
    return {
        "filter": (
            WORKERS,
            [
                *beginning,
                LanguageFilter("en"),
                GopherRepetitionFilter(),
                GopherQualityFilter(),
                C4QualityFilter(filter_no_terminal_punct=False),
                FineWebQualityFilter(),
                JsonlWriter(filtered),
            ],
        ),
        "signatures": (WORKERS, [JsonlReader(filtered), MinhashDedupSignature(signatures, config=CONFIG)]),
        "buckets": (CONFIG.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=CONFIG)]),
        "cluster": (1, [MinhashDedupCluster(buckets, removed, config=CONFIG)]),
        "deduplicated": (
            WORKERS,
            [
                JsonlReader(filtered),
                MinhashDedupFilter(removed),
                PIIFormatter(),
                ParquetWriter(str(work / "curated"), compression="zstd"),
            ],
        ),
    }


def main() -> None:
    """Runs the executors, each when the one before has ended."""
    if len(sys.argv) != 4 or sys.argv[1] not in ("parquet", "warc"):
        print(__doc__)
        raise SystemExit(0 if sys.argv[1:] == ["--help"] else 2)
    kind, source, work = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    seconds = {}
    for name, (tasks, blocks) in chain(kind, source, work).items():
        begun = time.perf_counter()
        LocalPipelineExecutor(
            blocks, tasks=tasks, workers=min(tasks, WORKERS), logging_dir=str(work / "logs" / name)
        ).run()
        seconds[name] = time.perf_counter() - begun
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
