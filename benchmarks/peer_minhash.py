"""MinHash signatures of other projects over texts, on demand; run by the peers' interpreter.

    python peer_minhash.py TEXTS.parquet

TEXTS has the column `text`. Each line on standard input is `PEER BYTES`; the answer is one JSON object: the CPU seconds
that the peer took from texts to signatures of 112 values over n-grams of five words, and the `bytes` of the texts that
it read, which are the first that have BYTES. Peers:

    datatrove          MinhashDedupSignature as it is shipped; its words are spaCy's; it writes and sorts 14 files
    datatrove_regex    the same with a regular expression for words
    datasketch         MinHash.bulk over n-grams made in Python; xxhash, which is faster than its own SHA-1
    rensa              RMinHash.digest_matrix_from_token_sets over the same n-grams
    rensa_c            CMinHash.digests64_from_token_sets over them
"""

import json
import os
import re
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"  # rensa's threads

import pyarrow.parquet as pq
import rensa
import xxhash
from datasketch import MinHash
from datatrove.data import Document
from datatrove.pipeline.dedup import minhash
from loguru import logger

PERMUTATIONS = 112
_WORDS = re.compile(r"\w+")
_TOKENS = re.compile(r"\w+|[^\w\s]")


class Words:
    def word_tokenize(self, text):
        return _TOKENS.findall(text)


def shingles(text):
    """The quickest way that we found in Python: one regular expression, then `zip` and `join` in C."""
    words = _WORDS.findall(text.lower())
    if len(words) < 5:
        return [" ".join(words)] if words else []
    return list(map(" ".join, zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)))


def datatrove(texts):
    with tempfile.TemporaryDirectory() as folder:
        block = minhash.MinhashDedupSignature(folder, minhash.MinhashConfig())
        block.run((Document(text=text, id=str(row)) for row, text in enumerate(texts)), 0, 1)


def datatrove_regex(texts):
    shipped = minhash.load_word_tokenizer
    minhash.load_word_tokenizer = lambda language: Words()
    try:
        datatrove(texts)
    finally:
        minhash.load_word_tokenizer = shipped


def datasketch(texts):
    MinHash.bulk(
        ([shingle.encode() for shingle in shingles(text)] for text in texts),
        num_perm=PERMUTATIONS,
        hashfunc=xxhash.xxh32_intdigest,
    )


def rensa_r(texts):
    rensa.RMinHash.digest_matrix_from_token_sets([shingles(text) for text in texts], PERMUTATIONS, 0)


def rensa_c(texts):
    rensa.CMinHash.digests64_from_token_sets([shingles(text) for text in texts], PERMUTATIONS, 0)


PEERS = {
    "datatrove": datatrove,
    "datatrove_regex": datatrove_regex,
    "datasketch": datasketch,
    "rensa": rensa_r,
    "rensa_c": rensa_c,
}


def main() -> None:
    """Answers each line with a run."""
    logger.remove()
    texts = pq.read_table(sys.argv[1])["text"].to_pylist()
    for line in sys.stdin:
        name, limit = line.split()
        taken, size = [], 0
        for text in texts:
            if size >= int(limit):
                break
            taken.append(text)
            size += len(text.encode())
        begun = time.process_time()
        PEERS[name](taken)
        print(json.dumps({"seconds": time.process_time() - begun, "bytes": size}), flush=True)


if __name__ == "__main__":
    main()
