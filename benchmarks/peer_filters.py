"""Stock datatrove's filters over texts, on demand; runs in the peers' environment, started by topics/rules.py.

    peer_filters.py TEXTS.parquet

reads the texts, makes the filters of datatrove's FineWeb example that judge by rules (its tokenizer and sentence
splitter for English are spaCy's), and then, for each line on standard input, runs each filter over all texts and prints
one JSON object: the CPU seconds of each. Every filter sees every text, dropped before or not, as ours do.
"""

from __future__ import annotations

import json
import sys
import time

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)


def main() -> None:
    """Answers each line with a run."""
    texts = pq.read_table(sys.argv[1])["text"].to_pylist()
    blocks = {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb_quality": FineWebQualityFilter(),
    }
    for block in blocks.values():
        block.filter(Document(text=texts[0], id="0"))
    for _ in sys.stdin:
        seconds = {}
        for name, block in blocks.items():
            documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
            begun = time.process_time()
            for document in documents:
                block.filter(document)
            seconds[name] = time.process_time() - begun
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
