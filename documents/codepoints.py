"""What each Unicode code point is to the kernels: class bits and case folding, from a table that ships with us.

The table is fixed at one Unicode version (`UNICODE_VERSION`), so that decisions do not change with the Python that runs
them. `PUNCTUATION` is the set that FineWeb's filters count as punctuation (datatrove 0.10, `utils/text.py`), which is
neither Unicode's P nor P + S; `TERMINAL` is Unicode's Sentence_Terminal. tools/make_codepoints.py makes the table.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

SPACE = 1  # str.isspace
WORD = 2  # the regular expression \w
ALPHA = 4  # str.isalpha
PUNCTUATION = 8  # punctuation or control character, as FineWeb's filters count it
TERMINAL = 16  # ends a sentence
LINE_BREAK = 32  # str.splitlines breaks here
SOLO = 64  # a word of its own: ideograph, kana, Thai, Lao, Khmer, Myanmar …
DIGIT = 128  # str.isdigit


def _load() -> tuple[NDArray[np.uint8], NDArray[np.uint32], str]:
    with (files("corpusmill.documents") / "codepoints.npz").open("rb") as stream, np.load(stream) as table:
        lengths = np.diff(table["starts"].astype(np.int64), append=0x110000)
        classes = np.repeat(table["classes"], lengths)
        fold = np.arange(0x110000, dtype=np.uint32)
        fold[table["from"]] = table["to"]
        version = str(table["unicode"])
    classes.flags.writeable = False
    fold.flags.writeable = False
    return classes, fold, version


# uint8[0x110000] and uint32[0x110000]. Text touches few cache lines of them, so one level is as fast as two.
CLASSES, FOLD, UNICODE_VERSION = _load()
