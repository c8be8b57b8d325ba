"""The scaling laws: what was published comes out again, and planted truth lies where the analysis says. Writes
docs/benchmarks.md.

The figures of all topics:
"""

from __future__ import annotations

from harness import BENCHMARKS, DOCUMENT
from topical import run_topics

TOPICS = ("laws_chinchilla", "laws_frontier", "laws_regmix")

if __name__ == "__main__":
    run_topics("laws", __doc__, TOPICS, "laws", DOCUMENT, BENCHMARKS)
