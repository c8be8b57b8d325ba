"""trafilatura 1.11 over pages, on demand; runs in the peers' environment, started by topics/extraction.py.

    peer_trafilatura.py PAGES.jsonl

reads pages (a JSON string a line), and for each line on standard input, `texts` or `seconds`, extracts them all with
the defaults but without comments, and prints one line of JSON: the texts, or the CPU seconds it took.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import trafilatura


def main() -> None:
    """Answers each line with a run."""
    logging.disable()
    with open(sys.argv[1], encoding="utf-8") as file:
        pages = [json.loads(line) for line in file]
    for line in sys.stdin:
        begun = time.process_time()
        texts = [trafilatura.extract(page, include_comments=False) or "" for page in pages]
        seconds = time.process_time() - begun
        print(json.dumps(texts if line.strip() == "texts" else seconds), flush=True)


if __name__ == "__main__":
    main()
