"""How right the filters are: on labelled real data, each beside its peer. Writes docs/accuracy.md.

The figures of all topics:
"""

from __future__ import annotations

from pathlib import Path

from topical import run_topics

TOPICS = (
    "language",
    "extraction",
    "quality",
    "perplexity",
    "toxicity",
    "pii",
    "decontamination",
    "near_duplicates",
    "dedup_lines",
    "dedup_substrings",
    "semantic",
    "dedup_memory",
    "corruption",
    "chains",
)
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
TITLE = "# Accuracy\n\nEach section is written by `benchmarks/accuracy.py`, on the real data that it names.\n"

if __name__ == "__main__":
    run_topics("accuracy", __doc__, TOPICS, "accuracy", DOCUMENT, TITLE)
