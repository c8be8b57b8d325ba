"""The mix: what was asked and what came out, how fast, in how much memory. Writes docs/benchmarks.md and docs/mixes.md.

The figures of all topics:
"""

from __future__ import annotations

from harness import BENCHMARKS, DOCUMENT
from topical import run_topics

TOPICS = ("mix_tables", "mix_speed", "token_count", "exports")

if __name__ == "__main__":
    run_topics("mix", __doc__, TOPICS, "mixing", DOCUMENT, BENCHMARKS)
