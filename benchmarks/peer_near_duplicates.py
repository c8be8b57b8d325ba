"""Near-duplicate search of other projects over Parquet files of texts; run by the peers' interpreter.

    python peer_near_duplicates.py FOLDER THRESHOLD PEER [PEER ...]

FOLDER holds NAME.parquet files with the column `text`. Standard output is one JSON object: for each name, for each
peer, the rows that it takes out. Peers, each at n-grams of five words:

    datatrove    its three MinHash stages at 14 bands of 8 rows; spaCy, which it would call, is replaced by a regular
                 expression for words
    datasketch   MinHashLSH at the threshold, 128 permutations: a text goes if an earlier one that stays is found
    rensa        RMinHashDeduplicator with its LSH, the same way; it compares the signatures of what it finds
    text-dedup   its minhash command at the threshold, 250 permutations by its default
"""

import json
import logging
import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

_WORDS = re.compile(r"\w+")
_NGRAM = 5
_PERMUTATIONS = 128


def shingles(text):
    words = _WORDS.findall(text.lower())
    return (
        {" ".join(words[first : first + _NGRAM]) for first in range(max(1, len(words) - _NGRAM + 1))}
        if words
        else set()
    )


def datatrove(texts, threshold, folder):
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash
    from loguru import logger

    class Words:
        def word_tokenize(self, text):
            return re.findall(r"\w+|[^\w\s]", text)

    logger.remove()
    minhash.load_word_tokenizer = lambda language: Words()
    config = minhash.MinhashConfig()
    places = {stage: str(folder / stage) for stage in ("signatures", "buckets", "removed")}
    documents = (Document(text=text, id=str(row)) for row, text in enumerate(texts))
    minhash.MinhashDedupSignature(places["signatures"], config).run(documents, 0, 1)
    for bucket in range(config.num_buckets):
        minhash.MinhashDedupBuckets(places["signatures"], places["buckets"], config=config).run(
            None, bucket, config.num_buckets
        )
    minhash.MinhashDedupCluster(places["buckets"], places["removed"], config=config).run(None, 0, 1)
    return [int(row) for path in (folder / "removed").glob("*.remove") for row in np.fromfile(path, "<u4")]


def datasketch(texts, threshold, folder):
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    gone = []
    for row, text in enumerate(texts):
        signature = MinHash(num_perm=_PERMUTATIONS)
        signature.update_batch([shingle.encode() for shingle in shingles(text)])
        if index.query(signature):
            gone.append(row)
        else:
            index.insert(row, signature)
    return gone


def rensa(texts, threshold, folder):
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=threshold, num_perm=_PERMUTATIONS, use_lsh=True)
    gone = []
    for row, text in enumerate(texts):
        signature = RMinHash(num_perm=_PERMUTATIONS, seed=42)
        signature.update(sorted(shingles(text)))
        if not index.add(str(row), signature):
            gone.append(row)
    return gone


def text_dedup(texts, threshold, folder):
    os.environ["HF_HOME"] = str(folder / "home")
    from datasets import Dataset, disable_progress_bars, load_from_disk
    from text_dedup import minhash

    disable_progress_bars()
    logging.disable(logging.CRITICAL)
    Dataset.from_dict({"text": texts, "row": list(range(len(texts)))}).save_to_disk(folder / "texts")
    options = {
        "path": folder / "texts",
        "output": folder / "kept",
        "column": "text",
        "threshold": threshold,
        "ngram": _NGRAM,
        "min_length": 1,
        "num_proc": 1,
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    minhash.RNG.seed(minhash.SEED)  # as in a process of its own
    minhash.main([*arguments, "--local"], standalone_mode=False)
    return sorted(set(range(len(texts))) - set(load_from_disk(folder / "kept")["row"]))


PEERS = {"datatrove": datatrove, "datasketch": datasketch, "rensa": rensa, "text-dedup": text_dedup}


def main() -> None:
    places, threshold, peers = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    found = {}
    for path in sorted(places.glob("*.parquet")):
        texts = pq.read_table(path).column("text").to_pylist()
        found[path.stem] = {}
        for peer in peers:
            with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
                found[path.stem][peer] = PEERS[peer](texts, threshold, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
