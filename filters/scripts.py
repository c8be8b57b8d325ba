"""The script that most letters of a text are in, by Unicode's property Script (UAX 24).

Models such as py3langid's and lid.176 tell languages and not scripts; Serbian in Latin letters is as much `sr` as
Serbian in Cyrillic ones. Digits, punctuation and combining marks have no script of their own and count for none. Han,
Hiragana and Katakana are told apart, but simplified from traditional Han cannot be by characters alone, so both are
`Hani`. Of two scripts with as many letters, the one of the lower code points wins.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel, ones
from corpusmill.documents.segmentation import block_at, decoded, letters_of, width

NO_SCRIPT = "Zyyy"
"""ISO 15924's code for what is common to all scripts: said of a text without letters."""

_RANGES = Path(__file__).with_name("script_ranges.tsv")
_HIGH = np.uint64(0x8080808080808080)


@cache
def table() -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """The scripts' codes, and uint8[0x110000]: each code point's script as an index into them, 0 for none."""
    runs = [line.split("\t") for line in _RANGES.read_text(encoding="utf-8").splitlines()[1:]]
    names = (NO_SCRIPT, *dict.fromkeys(run[2] for run in runs))
    numbers = {name: number for number, name in enumerate(names)}
    scripts = np.zeros(0x110000, np.uint8)
    for first, last, name in runs:
        scripts[int(first, 16) : int(last, 16) + 1] = numbers[name]
    return names, frozen(scripts)


def main_scripts(batch: TextBatch) -> NDArray[np.int32]:
    """int32[documents]: the script of most letters of each text, as an index into `table()[0]`."""
    names, scripts = table()
    found = np.empty(len(batch), np.int32)
    find_scripts(batch.offsets, batch.text, scripts, names.index("Latn"), np.zeros(len(names), np.int64), found)
    return found


@kernel
def find_scripts(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    scripts: NDArray[np.uint8],
    latin: int,
    counts: NDArray[np.int64],
    found: NDArray[np.int32],
) -> None:
    """Fills in the most frequent script of each document; `counts` is room for each script's letters."""
    for document in range(offsets.shape[0] - 1):
        counts[:] = 0
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            block = block_at(text, position, end)
            if block & uint64(_HIGH) == 0:  # eight ASCII characters, or fewer at the end
                counts[latin] += ones(letters_of(block))
                position += 8
            else:
                counts[scripts[decoded(text, position)]] += 1
                position += width(text[position])
        counts[0] = 0
        found[document] = counts.argmax()
