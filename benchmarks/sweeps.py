"""What pruning is worth: sweeps of real text and of planted junk. Writes docs/experiments/pruning/README.md, and beside
it the raw tables and plots. A folder that the environment variable CORPUSMILL_SWEEPS names is kept, and a sweep that
was interrupted goes on there."""

from __future__ import annotations

from pruning_pool import EXPERIMENT
from topical import run_topics

TOPICS = ["sweep_planted", "sweep_real", "sweep_transformers"]
DOCUMENT = EXPERIMENT / "README.md"
TITLE = "# What pruning is worth\n\nEach section is written by a topic of benchmarks/sweeps.py.\n"

if __name__ == "__main__":
    run_topics("sweeps", __doc__ or "", TOPICS, "paragraphs", DOCUMENT, TITLE)
