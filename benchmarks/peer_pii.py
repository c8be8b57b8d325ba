"""What Presidio's pattern recognizers and datatrove's PIIFormatter find in texts: run in the peers' environment.

    peer_pii.py TEXTS.parquet < commands > answers

TEXTS.parquet has a column `text`. For each line on standard input, one of the names below, all texts are searched, and
one line of JSON answers: {"seconds": CPU seconds, "found": [[kind, row, start, end], …]}, places in characters.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq

Found = tuple[str, int, int]  # kind, first character, character after the last


def presidio() -> Callable[[str], Iterator[Found]]:
    """The recognizers of the kinds that we know, too, with their default options; no language model."""
    from presidio_analyzer import predefined_recognizers as recognizers

    chosen = {
        "email": recognizers.EmailRecognizer(),
        "ip": recognizers.IpRecognizer(),
        "phone": recognizers.PhoneRecognizer(),
        "card": recognizers.CreditCardRecognizer(),
        "iban": recognizers.IbanRecognizer(),
        "ssn": recognizers.UsSsnRecognizer(),
    }

    def search(text: str) -> Iterator[Found]:
        for kind, recognizer in chosen.items():
            for hit in recognizer.analyze(text, recognizer.supported_entities, None):
                yield kind, hit.start, hit.end

    return search


def datatrove() -> Callable[[str], Iterator[Found]]:
    """datatrove's replacers, asked where they would replace."""
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter()
    replacers = {"email": formatter.emails_replacer, "ip": formatter.ip_replacer}

    def search(text: str) -> Iterator[Found]:
        for kind, replacer in replacers.items():
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match.group()):
                    yield kind, *match.span()

    return search


def main() -> None:
    texts = pq.read_table(sys.argv[1])["text"].to_pylist()
    searches = {"presidio": presidio(), "datatrove": datatrove()}
    searches["presidio"]("warm@example.org")  # its list of public suffixes is read at first use
    for command in sys.stdin:
        search = searches[command.strip()]
        begun = time.process_time()
        found = [(kind, row, start, end) for row, text in enumerate(texts) for kind, start, end in search(text)]
        print(json.dumps({"seconds": time.process_time() - begun, "found": found}), flush=True)


if __name__ == "__main__":
    main()
