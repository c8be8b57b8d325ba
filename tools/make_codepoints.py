"""Writes documents/codepoints.npz: what each Unicode code point is to the kernels.

The table is made once and kept, so that a result does not change with the Unicode version of the Python that runs it.
Run with the development requirements installed: `python tools/make_codepoints.py`.

    starts   uint32[k]   first code point of each run
    classes  uint8[k]    the class bits of the run (documents/codepoints.py names them)
    from     uint32[m]   code points that fold to another …
    to       uint32[m]   … and to which: lower case, without diacritics
"""

import re
import unicodedata
from pathlib import Path

import numpy as np
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from corpusmill.documents import codepoints as c

LINE_BREAKS = set("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
# Scripts written without spaces: each of their word characters is a word of its own.
SOLO_NAMES = (
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA",
    "IDEOGRAPHIC", "THAI", "LAO", "KHMER", "MYANMAR", "TANGUT", "NUSHU", "TAI LE", "NEW TAI LUE", "TAI THAM",
    "JAVANESE",
)  # fmt: skip


def class_of(codepoint: int) -> int:
    if 0xD800 <= codepoint < 0xE000:
        return 0
    character = chr(codepoint)
    word = re.match(r"\w", character) is not None
    bits = c.SPACE * character.isspace() | c.WORD * word | c.ALPHA * character.isalpha()
    bits |= c.PUNCTUATION * (character in PUNCTUATION_SET) | c.TERMINAL * (character in TERMINAL_PUNCTUATION)
    bits |= c.LINE_BREAK * (character in LINE_BREAKS) | c.DIGIT * character.isdigit()
    return bits | c.SOLO * (word and unicodedata.name(character, "").startswith(SOLO_NAMES))


def folded(codepoint: int) -> int:
    if 0xD800 <= codepoint < 0xE000:
        return codepoint
    lower = chr(codepoint).lower()
    base = unicodedata.normalize("NFD", lower)[0]
    return ord(base) if all(unicodedata.combining(x) for x in unicodedata.normalize("NFD", lower)[1:]) else codepoint


def main() -> None:
    classes = np.array([class_of(cp) for cp in range(0x110000)], np.uint8)
    starts = np.flatnonzero(np.diff(classes.astype(np.int16), prepend=-1)).astype(np.uint32)
    fold = np.array([folded(cp) for cp in range(0x110000)], np.uint32)
    changed = np.flatnonzero(fold != np.arange(0x110000)).astype(np.uint32)
    target = Path(c.__file__).with_name("codepoints.npz")
    np.savez_compressed(
        target, starts=starts, classes=classes[starts], **{"from": changed, "to": fold[changed]},
        unicode=np.array(unicodedata.unidata_version),
    )  # fmt: skip
    print(target.name, len(starts), "runs", len(changed), "folds", target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
