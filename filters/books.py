"""Books: `book_matter` cuts what is not the book, `ocr_noise` drops what a scanner has spoilt.

`book_matter` is after what makers of book corpora do with Project Gutenberg's files (Rae et al. 2021,
arXiv:2112.11446; Gerlach and Font-Clos 2020, "A Standardized Project Gutenberg Corpus", doi:10.3390/e22010126, section
2.2): the header and the licence go, found by the markers of all generations of those files. Beyond that it takes out
transcribers' notes, credits and tables of contents at a book's beginning.

`ocr_noise` has no paper: its measures are those by which scans are commonly told (single characters, odd signs, signs
within words, words broken at line ends).

Differs from Gerlach and Font-Clos: markers count only where they can stand, so that a book that quotes one is not cut
in two: a beginning in the first 100,000 characters, an end in the last 100,000 or behind the first half, with text
before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, DIGIT, WORD
from corpusmill.documents.compiled import kernel
from corpusmill.filters.contract import Filter, Rewriter, Rule
from corpusmill.filters.text_statistics import ratio

_ALPHA, _DIGIT, _WORD = ALPHA, DIGIT, WORD
REACH = 100_000
"""Characters from either end in which markers are looked for."""
_FRONT_LINES = 400
"""Lines of the beginning in which notes, credits and contents are looked for."""
_SIGNS = "(?i)gutenberg|transcri|contents|inhalt|table des mati|produced by|e-?text prepared|proofread"
_START = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)[^\n]{0,300}"
    r"(?:\n[^\n*]{0,100}\*{3})?"
    r"|\*END[ *]{0,3}THE SMALL PRINT![^\n]{0,200}"
    r"|[^\n]{0,40}END\*?THE SMALL PRINT! FOR PUBLIC DOMAIN E-?TEXTS[^\n]{0,200})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*END OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)"
    r"|(?:The )?End of (?:the |this )?Project Gutenberg(?:['’]s)?\b"
    r"|\*{0,3}[ \t]*START: FULL LICENSE)[^\n]{0,300}$",
    re.IGNORECASE | re.MULTILINE,
)
_CREDIT = re.compile(
    r"\s*(?:(?:this )?e-?(?:text|book) (?:was )?(?:prepared|produced|created)\b|produced by\b|(?:scanned|transcribed|"
    r"digitized|prepared) (?:by|from)\b|(?:and )?the online distributed proofreading|https?://www\.pgdp\.net)",
    re.IGNORECASE,
)
_NOTE = re.compile(r"\s*[\[*#_ ]{0,6}transcriber['’]?s?['’]? notes?\b", re.IGNORECASE)
_CONTENTS = re.compile(
    r"\s*[#*_ ]{0,6}(?:table of )?(?:contents|inhalt|inhaltsverzeichnis|table des matières|índice|indice)\b"
    r"[^\n]{0,80}\Z",
    re.IGNORECASE,
)
_ENTRY = re.compile(
    r"\s*(?:[-*•#>|]{1,3}\s*)?(?:"
    r"(?:chapter|book|part|canto|act|scene|letter|kapitel|chapitre|capitolo|capítulo|section)\b.{0,120}"
    r"|.{1,120}?[ .\t…|,](?:page\s|p\.\s?)?(?:\d{1,4}|[ivxlc]{1,7})\s{0,4}\|?"
    r"|[ivxlcdm]{1,8}\.?\s.{0,100}|\d{1,3}\.\s.{0,100})\s*\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class BookMatter(Rewriter):
    """Cuts the front and back matter of books in the manner of Project Gutenberg's files."""

    name: ClassVar[str] = "book_matter"
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("front_characters", pa.int32(), nullable=False),  # cut by a marker of the beginning
            pa.field("back_characters", pa.int32(), nullable=False),  # cut by a marker of the end
            pa.field("note_lines", pa.int32(), nullable=False),  # transcribers' notes and credits
            pa.field("contents_lines", pa.int32(), nullable=False),
        ]
    )

    cut_notes: bool = True
    """Whether transcribers' notes and credits at the beginning go, each with its paragraph."""
    cut_contents: bool = True
    """Whether a table of contents at the beginning goes."""
    min_contents_lines: int = 3
    """Entries that make a table of contents; a heading with fewer stays."""

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        counts = np.zeros((4, len(batch)), np.int32)
        texts = batch.texts
        spoken = pc.match_substring_regex(texts, _SIGNS).to_numpy(zero_copy_only=False)
        if spoken.any():
            changed = texts.to_pylist()
            for row in np.flatnonzero(spoken):
                changed[row], counts[:, row] = self._cut(changed[row])
            texts = pa.array(changed, pa.string())
        return texts, pa.RecordBatch.from_arrays([pa.array(row) for row in counts], schema=self.measures)

    def _cut(self, text: str) -> tuple[str, tuple[int, int, int, int]]:
        start, end = body_of(text)
        body = text[start:end]
        notes = contents = 0
        if self.cut_notes or self.cut_contents:
            body, notes, contents = self._without_front(body)
        if (start, end, notes, contents) == (0, len(text), 0, 0):
            return text, (0, 0, 0, 0)
        return body.strip("\n"), (start, len(text) - end, notes, contents)

    def _without_front(self, body: str) -> tuple[str, int, int]:
        lines = body.split("\n", _FRONT_LINES)
        kept: list[str] = []
        notes = contents = place = 0
        while place < len(lines):
            line = lines[place]
            size = 0
            if place < _FRONT_LINES:
                if self.cut_notes and (_NOTE.match(line) or _CREDIT.match(line)):
                    size = _paragraph(lines, place)
                    notes += size
                elif self.cut_contents and _CONTENTS.match(line):
                    size = self._contents(lines, place)
                    contents += size
            if size == 0:
                kept.append(line)
            place += max(size, 1)
        return "\n".join(kept), notes, contents

    def _contents(self, lines: Sequence[str], place: int) -> int:
        """Lines of the table of contents whose heading is at `place`, or 0 if too few entries follow."""
        entries = 0
        last = place
        seen: set[str] = set()
        for index in range(place + 1, min(len(lines), _FRONT_LINES)):
            line = lines[index].strip()
            if not line:
                continue
            # The book begins where an entry, or a line that is none, stands a second time or is followed by prose.
            if not _ENTRY.match(line) or line.lower() in seen:
                break
            seen.add(line.lower())
            entries += 1
            last = index
        if entries and last + 1 < len(lines) and _begins_prose(lines, last):
            entries, last = entries - 1, _previous(lines, last)
        return last - place + 1 if entries >= self.min_contents_lines else 0


def body_of(text: str) -> tuple[int, int]:
    """Where the book begins and ends between Project Gutenberg's markers.

    >>> body_of("*** START OF THE PROJECT GUTENBERG EBOOK ***\\nA book.\\n*** END OF THE PROJECT GUTENBERG EBOOK ***")
    (44, 53)
    """
    start = 0
    for found in _START.finditer(text, 0, min(len(text), REACH)):
        start = found.end()
    end = len(text)
    first = _END.search(text, max(start, min(len(text) // 2, max(0, len(text) - REACH))))
    if first is not None and text[start : first.start()].strip():
        end = first.start()
    return start, end


def _paragraph(lines: Sequence[str], place: int) -> int:
    """Lines from `place` to the next blank one; a note's heading takes the paragraph behind it along."""
    index = place
    if not lines[place].strip().rstrip("]*_:# ").lower().endswith(("note", "notes")):
        while index < len(lines) - 1 and lines[index].strip():
            index += 1
        return max(index - place, 1)
    index += 1
    while index < len(lines) - 1 and not lines[index].strip():
        index += 1
    while index < len(lines) - 1 and lines[index].strip():
        index += 1
    return index - place


def _begins_prose(lines: Sequence[str], place: int) -> bool:
    """Whether a paragraph of prose follows the line, which then is a heading and no entry."""
    following = next((line for line in lines[place + 1 : place + 4] if line.strip()), "")
    return len(following) > 200 or (len(following) > 50 and not _ENTRY.match(following.strip()))


def _previous(lines: Sequence[str], place: int) -> int:
    place -= 1
    while place > 0 and not lines[place].strip():
        place -= 1
    return place


class Reason(StrEnum):
    SINGLE_CHARACTERS = "single_characters"
    ODD_SIGNS = "odd_signs"
    BROKEN_WORDS = "broken_words"
    HYPHENATED_LINES = "hyphenated_lines"


@dataclass(frozen=True, kw_only=True)
class OcrNoise(Filter):
    """Drops scans by four signs of bad character recognition."""

    name: ClassVar[str] = "ocr_noise"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("single_characters", pa.float64()),  # single letters that are no word, of all words
            pa.field("odd_signs", pa.float64()),  # signs that prose has no use for, for each word
            pa.field("broken_words", pa.float64()),  # signs within words and digits among letters, for each word
            pa.field("hyphenated_lines", pa.float64()),  # lines that end in a letter and a hyphen, of all lines
        ]
    )

    max_single_characters: float | None = 0.04
    """Share of words that are a single letter of ASCII, but for a, e, i, o, u and y and those beside an apostrophe."""
    max_odd_signs: float | None = 0.03
    """Signs ^ ~ | ` \\\\ < = + { } § ¬ ■ � and their like for each word; those of Markdown do not count."""
    max_broken_words: float | None = 0.02
    """Signs right between two letters (but for apostrophes, hyphens, dashes and the like), and words such as `c0me`,
    for each word."""
    max_hyphenated_lines: float | None = 0.25
    """Share of lines; a text with more has kept the scan's line ends and needs its words joined first."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.SINGLE_CHARACTERS, "single_characters", at_most=self.max_single_characters),
            Rule(Reason.ODD_SIGNS, "odd_signs", at_most=self.max_odd_signs),
            Rule(Reason.BROKEN_WORDS, "broken_words", at_most=self.max_broken_words),
            Rule(Reason.HYPHENATED_LINES, "hyphenated_lines", at_most=self.max_hyphenated_lines),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        counts = np.zeros((6, len(batch)), np.int32)
        words, lines = batch.words, batch.lines
        count_noise(
            batch.offsets, words.firsts, batch.text, words.starts, words.ends, words.characters, words.kinds, counts
        )
        count_hyphens(lines.firsts, batch.text, lines.starts, lines.ends, counts)
        whole, single, odd, broken, filled, hyphens = counts
        columns = [ratio(single, whole), ratio(odd, whole), ratio(broken, whole), ratio(hyphens, filled)]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)


def _sign_table(signs: str) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(signs.encode())] = True
    table.flags.writeable = False
    return table


_ODD = _sign_table("^~\\<=+{}")
_JOINING = _sign_table("'-./&:@_")
_WORDS_OF_ONE = _sign_table("aeiouyAEIOUY")


@kernel
def count_noise(
    offsets: NDArray[np.int32],
    firsts: NDArray[np.int32],
    text: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    characters: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    counts: NDArray[np.int32],
) -> None:
    """The first four rows of `counts`: words, single letters, odd signs, broken words."""
    for document in range(firsts.shape[0] - 1):
        first, last = firsts[document], firsts[document + 1]
        for place in range(first, last):
            start, end = starts[place], ends[place]
            lead = text[start]
            if kinds[place] & _WORD:
                counts[0, document] += 1
                if characters[place] == 1 and lead < 0x80:
                    alone = (kinds[place] & _ALPHA) != 0 and not _WORDS_OF_ONE[lead]
                    counts[1, document] += alone and not by_apostrophe(
                        text, start, end, offsets[document], offsets[document + 1]
                    )
                counts[3, document] += (kinds[place] & _DIGIT) != 0 and mixes_digits(text, start, end)
                continue
            if (lead < 0x80 and _ODD[lead]) or is_odd_beyond(text, start, end):
                counts[2, document] += 1
            inside = first < place < last - 1 and ends[place - 1] == start and starts[place + 1] == end
            if inside and kinds[place - 1] & kinds[place + 1] & _ALPHA and lead < 0x80 and not _JOINING[lead]:
                counts[3, document] += 1


@kernel
def by_apostrophe(text: NDArray[np.uint8], start: int, end: int, first: int, last: int) -> bool:
    """Whether ' or ’ touches the word from `start` to `end`, as in `l'eau` and `it’s`, in `text[first:last]`."""
    if (start > first and text[start - 1] == 0x27) or (end < last and text[end] == 0x27):
        return True
    if start - 2 > first and text[start - 3] == 0xE2 and text[start - 2] == 0x80 and text[start - 1] == 0x99:
        return True
    return end + 2 < last and text[end] == 0xE2 and text[end + 1] == 0x80 and text[end + 2] == 0x99


@kernel
def is_odd_beyond(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether the sign is §, ¬, ¦, ¤, ¢, ©, ®, or one of the blocks of box drawing, geometric shapes and specials."""
    if end - start == 2 and text[start] == 0xC2:
        return text[start + 1] in (0xA7, 0xAC, 0xA6, 0xA4, 0xA2, 0xA9, 0xAE)
    if end - start == 3:
        return (text[start] == 0xE2 and 0x94 <= text[start + 1] <= 0x97) or (
            text[start] == 0xEF and text[start + 1] == 0xBF
        )
    return False


@kernel
def mixes_digits(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a digit stands behind a letter, or over two letters behind a digit: `c0me`, not `19th` or `CC0`."""
    letters = behind = small = 0
    digits = enclosed = False
    for position in range(start, end):
        byte = text[position]
        if 0x30 <= byte <= 0x39:
            enclosed |= letters > 0
            digits = True
        elif 0x61 <= (byte | 0x20) <= 0x7A:
            letters += 1
            behind += digits
            small += byte >= 0x61
    return small > 0 and (enclosed or behind > 2)


@kernel
def count_hyphens(
    firsts: NDArray[np.int32],
    text: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    counts: NDArray[np.int32],
) -> None:
    """The last two rows of `counts`: lines that are not empty, and those of them that end in a letter and a hyphen."""
    for document in range(firsts.shape[0] - 1):
        for line in range(firsts[document], firsts[document + 1]):
            start, end = starts[line], ends[line]
            while end > start and text[end - 1] == 0x20:
                end -= 1
            counts[4, document] += end > start
            if end - start > 1 and text[end - 1] == 0x2D:
                before = text[end - 2]
                counts[5, document] += (0x61 <= (before | 0x20) <= 0x7A) or before >= 0x80
