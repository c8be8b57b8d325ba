"""Lists of words and phrases, found among a batch's words: what a list says per 1,000 words of a document.

A list is a file in LDNOOBW's layout: UTF-8, a word or phrase a line. Words are compared folded (lower case, no
diacritics). As each ideograph, kana or Thai character is a word of its own (documents/segmentation.py), entries of
scripts without spaces are found anywhere; those of other scripts between the ends of words. Of entries that overlap,
the one that begins first counts, and of those the longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numba import int64, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.errors import InputError
from corpusmill.documents.segmentation import step
from corpusmill.filters.key_table import KeyTable, key_table, slot_of

MAX_LIST_BYTES = 4_000_000
"""A larger file is no list of words."""
_WORD = WORD
_BEGINNING, _WHOLE = uint32(1), uint32(2)  # bits of a run of words: an entry begins with it; it is one
_SEED = np.uint64(0x27BB2EE687B0B0FD)


@dataclass(frozen=True, slots=True, eq=False)
class WordList:
    """The entries of a list, by hashes of their words: each beginning of an entry is a key of `table`."""

    table: KeyTable
    entries: int

    @classmethod
    def load(cls, path: Path) -> WordList:
        """The list at `path`, read once a process and again when the file is another.

        Raises:
            InputError: if the file is missing, empty, too large or no UTF-8 text.
        """
        if not path.is_file():
            raise InputError(f"{path}: there is no such list of words; give a file with a word or phrase a line")
        status = path.stat()
        return _loaded(path, status.st_size, status.st_mtime_ns)

    def densities(self, batch: TextBatch) -> NDArray[np.float64]:
        """Entries per 1,000 words of each document (without punctuation); NaN where there is no word."""
        words = batch.words
        densities = np.empty(len(batch), np.float64)
        table = self.table
        count_entries(words.firsts, batch.folded_hashes, words.kinds, table.keys, table.values, table.slots, densities)
        return densities


@lru_cache(maxsize=8)
def _loaded(path: Path, size: int, mtime: int) -> WordList:
    if size > MAX_LIST_BYTES:
        raise InputError(f"{path}: is larger than {MAX_LIST_BYTES:,} bytes, and no list of words")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text ({error}); convert it") from error
    batch = TextBatch.of_texts([line for line in lines if line.strip()])
    firsts, hashes = batch.words.firsts, batch.folded_hashes
    beginnings, flags = np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.uint32)
    key_entries(firsts, hashes, beginnings, flags)
    if len(beginnings) == 0:
        raise InputError(f"{path}: no word is listed in it; give one a line, or take the list out of the recipe")
    keys, where = np.unique(beginnings, return_inverse=True)
    united = np.zeros(len(keys), np.uint32)
    np.bitwise_or.at(united, where, flags)
    return WordList(key_table(keys, united), int((united & 2 > 0).sum()))


@inlined
def _continued(run: np.uint64, word: np.uint64) -> np.uint64:
    """The key of a run of words and one more; never 0."""
    return step(run, word) | uint64(1)


@kernel
def key_entries(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    flags: NDArray[np.uint32],
) -> None:
    """The key of each beginning of each entry, and whether it is the whole."""
    for entry in range(firsts.shape[0] - 1):
        run = uint64(_SEED)
        for word in range(firsts[entry], firsts[entry + 1]):
            run = _continued(run, hashes[word])
            keys[word] = run
            flags[word] = _BEGINNING | (_WHOLE if word + 1 == firsts[entry + 1] else uint32(0))


@kernel
def count_entries(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    values: NDArray[np.uint32],
    slots: int,
    densities: NDArray[np.float64],
) -> None:
    """Entries of a list per 1,000 words of each document."""
    for document in range(firsts.shape[0] - 1):
        found = words = 0
        word, last = int64(firsts[document]), firsts[document + 1]
        for place in range(word, last):
            words += 1 if kinds[place] & _WORD else 0
        while word < last:
            run = uint64(_SEED)
            after = word + 1
            matched = False
            for place in range(word, last):
                run = _continued(run, hashes[place])
                slot = slot_of(keys, slots, run)
                if slot < 0:
                    break
                if values[slot] & _WHOLE:
                    after = place + 1
                    matched = True
            found += 1 if matched else 0
            word = after
        densities[document] = 1000 * found / words if words else np.nan
