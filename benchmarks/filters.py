"""How fast the filters are, each beside its peer, in one thread and in CPU seconds. Writes docs/benchmarks.md.

The figures of all topics:
"""

from __future__ import annotations

from harness import BENCHMARKS, DOCUMENT
from topical import run_topics

TOPICS = ("rules", "language", "quality", "perplexity", "toxicity", "urls", "pii", "decontamination", "chains", "costs")

if __name__ == "__main__":
    run_topics("filters", __doc__, TOPICS, "speed", DOCUMENT, BENCHMARKS)
