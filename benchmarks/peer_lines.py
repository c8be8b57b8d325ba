"""Repeated lines by polars, on demand; runs in the peers' environment, started by topics/dedup_lines.py.

    peer_lines.py TEXTS.parquet

reads the texts and then, for each line on standard input, finds the lines that stand in at least two of them, in one
thread, and prints one JSON object: the CPU seconds, how many such lines have a letter, and the version of polars.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = "1"

import polars


def main() -> None:
    """Answers each line with a run."""
    texts = polars.read_parquet(sys.argv[1], columns=["text"]).with_row_index("document")
    lines = polars.col("text").str.split("\n")
    for _ in sys.stdin:
        begun = time.process_time()
        found = (
            texts.lazy()
            .select("document", lines.alias("line"))
            .explode("line")
            .group_by("line")
            .agg(polars.col("document").min().alias("first"), polars.col("document").max().alias("last"))
            .filter(polars.col("first") != polars.col("last"))
            .collect()
        )
        seconds = time.process_time() - begun
        lettered = sum(any(map(str.isalpha, line)) for line in found["line"])
        print(json.dumps({"seconds": seconds, "lines": lettered, "version": polars.__version__}), flush=True)


if __name__ == "__main__":
    main()
