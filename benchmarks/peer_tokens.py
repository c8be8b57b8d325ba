"""datatrove's tokenizer pipeline over texts, on demand; runs in the peers' environment, started by topics/mix_speed.py.

    peer_tokens.py TEXTS.parquet TOKENIZER.json FOLDER

reads the texts, and then, for each line on standard input, runs DocumentTokenizer over all of them, as its example
tokenize_from_hf_to_s3.py does with one task, and prints one JSON object: the CPU seconds and the tokens written.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    """Answers each line with a run."""
    texts = pq.read_table(sys.argv[1])["text"].to_pylist()
    folder = Path(sys.argv[3])
    for _ in sys.stdin:
        shutil.rmtree(folder, ignore_errors=True)
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        block = DocumentTokenizer(
            output_folder=str(folder),
            tokenizer_name_or_path=sys.argv[2],
            eos_token="<|endoftext|>",
            shuffle_documents=False,
        )
        begun = time.process_time()
        block.run(iter(documents))
        seconds = time.process_time() - begun
        tokens = sum(path.stat().st_size for path in folder.glob("*.ds")) // 2
        print(json.dumps({"seconds": seconds, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
