"""KenLM over texts, on demand; runs in the peers' environment, started by topics/perplexity.py.

    peer_kenlm.py MODEL.arpa LINES.json

LINES.json holds lines of words joined by spaces, as our model spells them, and documents. For each line on standard
input it prints one line of JSON: `rates`, the CPU seconds that KenLM takes for the lines as they are, and for the
documents with what CCNet does before (lower case, no accents, digits as 0) and a split into words, in Python; or
`scores`, log10 of each word's probability, of all lines.
"""

from __future__ import annotations

import json
import re
import sys
import time
import unicodedata
from pathlib import Path

import kenlm

_WORD = re.compile(r"\w+|[^\w\s]")
_DIGIT = re.compile(r"\d")


def normal(line: str) -> str:
    """A line as CCNet's text_normalizer leaves it, and its words joined by spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFD", line.lower()) if unicodedata.category(c) != "Mn")
    return " ".join(_WORD.findall(_DIGIT.sub("0", plain)))


def main() -> None:
    """Answers each line of standard input."""
    model = kenlm.Model(sys.argv[1])
    given = json.loads(Path(sys.argv[2]).read_text())
    for wanted in sys.stdin:
        if wanted.strip() == "scores":
            found = [[score for score, _, _ in model.full_scores(line)] for line in given["lines"]]
            print(json.dumps(found), flush=True)
            continue
        begun = time.process_time()
        for line in given["lines"]:
            model.score(line)
        ended = time.process_time()
        for document in given["documents"]:
            for line in document.split("\n"):
                if line.strip():
                    model.score(normal(line))
        print(json.dumps({"lines": ended - begun, "documents": time.process_time() - ended}), flush=True)


if __name__ == "__main__":
    main()
