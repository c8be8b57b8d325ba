"""What proxy models cost, and how they fare beside others of their kind. Writes docs/benchmarks.md.

The figures of all topics:
"""

from __future__ import annotations

from harness import BENCHMARKS, DOCUMENT
from topical import run_topics

TOPICS = ("proxy_ngram", "proxy_transformer")

if __name__ == "__main__":
    run_topics("proxies", __doc__, TOPICS, "proxy", DOCUMENT, BENCHMARKS)
