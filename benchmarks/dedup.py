"""How fast deduplication is, each part beside its peer, in one thread and in CPU seconds. Writes docs/benchmarks.md.

The figures of all topics:
"""

from __future__ import annotations

from harness import BENCHMARKS, DOCUMENT
from topical import run_topics

TOPICS = (
    "dedup_minhash",
    "dedup_clusters",
    "dedup_lines",
    "dedup_substrings",
    "semantic",
    "dedup_memory",
    "dedup_costs",
)

if __name__ == "__main__":
    run_topics("dedup", __doc__, TOPICS, "speed", DOCUMENT, BENCHMARKS)
