"""datatrove's n-gram decontamination over Parquet files of items and texts; run by the peers' interpreter.

    python peer_decontamination.py ITEMS TEXTS all|label

ITEMS has `query` and `label`, TEXTS `text`. For each line on standard input, a line of JSON: `seconds` of CPU that the
filter took, and `found`, whether it takes each text for contaminated. With `all` the index has n-grams of queries, too.
datatrove's tokenizer is replaced by a regular expression: as shipped it calls spaCy, which is slower yet. The index is
made by its own `compute_hashes`; its `run` asks for lighteval, which would download benchmarks.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.decont import n_grams
from loguru import logger


class Words:
    def word_tokenize(self, text):
        return re.findall(r"\w+|[^\w\s]", text)


def main() -> None:
    items, texts = (pq.read_table(path) for path in sys.argv[1:3])
    logger.remove()
    n_grams.NGramsDecontIndexer._requires_dependencies = []
    n_grams.load_word_tokenizer = lambda language: Words()
    config = n_grams.NGramsDecontConfig(find_query_ngrams=sys.argv[3] == "all")
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts["text"].to_pylist())]
    with tempfile.TemporaryDirectory() as folder:
        indexer = n_grams.NGramsDecontIndexer(folder, config=config)
        hashes = set()
        for query, label in zip(items["query"].to_pylist(), items["label"].to_pylist(), strict=True):
            hashes.update(indexer.compute_hashes(label, query))
        np.array(sorted(hashes), config.hash_config.np_descr).tofile(Path(folder) / "all.index.hashes")
        block = n_grams.NGramsDecontFilter(folder, config=config)
        block.load_index_hashes()
    for _ in sys.stdin:
        begun = time.process_time()
        found = [block.filter(document) is not True for document in documents]
        print(json.dumps({"seconds": time.process_time() - begun, "found": found}), flush=True)


if __name__ == "__main__":
    main()
