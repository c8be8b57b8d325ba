"""An external trainer, as a user would write one: a unigram model of bytes with add-one smoothing."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
parser.add_argument("dataset", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--tokens", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
options = parser.parse_args()

run = json.loads((options.dataset / "run.json").read_text())
counts = Counter(range(256))
for text in pq.read_table(options.dataset / run["train"]["path"])["text"].to_pylist():
    counts.update(text.encode())
total = sum(counts.values())
losses = {}
for domain, held in run["heldout"].items():
    content = "".join(pq.read_table(options.dataset / held["path"])["text"].to_pylist()).encode()
    losses[domain] = sum(-math.log2(counts[byte] / total) for byte in content) / len(content)
print("trained on", total - 256, "bytes with seed", options.seed)
options.out.write_text(json.dumps({"bits_per_byte": losses, "parameters": 256, "train_tokens": options.tokens}))
