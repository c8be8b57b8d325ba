"""RefinedWeb's line rules: `refinedweb_lines` corrects lines, `refinedweb` drops documents that it would correct much.

Penedo et al. 2023, arXiv:2306.01116, section 3.1 and appendix G.2: lines go that are mainly upper-case characters, only
numbers, a counter ("3 likes") or a single word; of short lines, what begins, ends or stands anywhere in them and is
known to be navigation is cut out; a document that loses more than 5 % of its words is dropped. As a filter never edits,
what is one step in the paper is two here; the two, in this order, must have equal line rules.

The paper tells its rules in words and names one pattern for each place. What it leaves open is read as DCLM does, which
built them again (Li et al. 2024, arXiv:2406.11794, appendix; its released code): more than half of a line's characters,
words between white space, lost words against all words.

Differs from both:
    - letters of scripts without spaces are words of their own, or every line of Chinese were a single word
    - patterns stand at words' borders ("sign in" is not in "sign inside"); what follows "read more" may be any signs,
      and separators around what is cut go with it
    - a line that is left with a single word by a cut goes
    - a row of numbers is "only numbers"; DCLM's code wants digits without white space between them
    - counters have their singular ("1 comment"), and there may be several in a line
    - of the blank lines around lines that go, the longer gap stays
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import uint8
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, DIGIT, SOLO, SPACE, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.segmentation import BLANK, after_space, before_space, decoded, last_character, width
from corpusmill.filters.contract import Filter, Rewriter, Rule

_DIGIT, _SOLO, _SPACE, _WORD = DIGIT, SOLO, SPACE, WORD
_BLANK = BLANK
_BLANK_BYTE = 0x20
_LONGEST_PHRASE = 62

COUNTED = (
    "like", "likes", "share", "shares", "comment", "comments", "view", "views", "follower", "followers", "retweet",
    "retweets", "repost", "reposts", "quote", "quotes", "bookmark", "bookmarks", "upvote", "upvotes", "downvote",
    "downvotes", "vote", "votes", "download", "downloads", "reply", "replies", "reaction", "reactions", "subscriber",
    "subscribers",
)  # fmt: skip
"""What the number before it makes a counter."""


class Reason(StrEnum):
    MUCH_REMOVED = "much_removed"


@dataclass(frozen=True, kw_only=True)
class LineCorrections:
    """Which lines go, and what is cut out of others, by Penedo et al. 2023, appendix G.2; None or false turns a rule
    off.

    A line ends at a line break; white space at its ends does not count. Words are what white space separates.
    """

    max_uppercase: float | None = 0.5
    """Share of upper-case characters (Latin, Greek, Cyrillic, Armenian); a line with more goes."""
    remove_numbers: bool = True
    """A line of digits and white space alone goes."""
    remove_counters: bool = True
    """A line of numbers, each before one of `COUNTED`, goes."""
    min_words_per_line: int | None = 2
    """Words; a line with fewer goes."""
    max_words_of_edited: int | None = 10
    """Words; a line with more is not searched for what follows."""
    beginnings: tuple[str, ...] = ("sign-in", "sign in")
    """Cut from the beginning of a line, in upper or lower case (of ASCII letters)."""
    endings: tuple[str, ...] = ("read more",)
    """Cut from the end of a line, with the signs behind it."""
    phrases: tuple[str, ...] = ("items in cart",)
    """Cut anywhere in a line."""

    def check(self, stage: str) -> None:
        """Refuses phrases that could never be met (RecipeError)."""
        for name in ("beginnings", "endings", "phrases"):
            for phrase in getattr(self, name):
                if phrase != phrase.strip() or not 1 <= len(phrase.encode()) <= _LONGEST_PHRASE:
                    raise RecipeError(
                        f'{stage}.{name}: "{phrase}" must have 1 to {_LONGEST_PHRASE} bytes, and no white space at its '
                        "ends"
                    )


@dataclass(frozen=True, slots=True)
class CorrectedLines:
    """What the rules do to a batch. Counts are int32[documents]."""

    texts: pa.StringArray
    uppercase_lines: NDArray[np.int32]
    number_lines: NDArray[np.int32]
    counter_lines: NDArray[np.int32]
    short_lines: NDArray[np.int32]
    edited_lines: NDArray[np.int32]
    words: NDArray[np.int32]
    removed_words: NDArray[np.int32]


def corrected_lines(batch: TextBatch, rules: LineCorrections) -> CorrectedLines:
    """Applies the rules to a batch, once for both stages that have the same."""
    parameters = {field: getattr(rules, field) for field in LineCorrections.__dataclass_fields__}
    key = f"refinedweb_lines {parameters}"
    if key not in batch.cache:
        lines = batch.lines
        counts = np.zeros((7, len(batch)), np.int32)
        offsets, text = np.zeros(len(batch) + 1, np.int32), np.empty(batch.n_bytes, np.uint8)
        correct_lines(
            batch.offsets, batch.text, CLASSES, _UPPERCASE, lines.firsts, lines.starts, lines.ends, lines.kinds,
            2.0 if rules.max_uppercase is None else rules.max_uppercase,
            rules.remove_numbers,
            rules.remove_counters,
            rules.min_words_per_line or 0,
            -1 if rules.max_words_of_edited is None else rules.max_words_of_edited,
            _rows(rules.beginnings), _rows(rules.endings), _rows(rules.phrases), _COUNTED_ROWS,
            offsets, text, counts,
        )  # fmt: skip
        texts = pa.StringArray.from_buffers(len(batch), pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]]))
        batch.cache[key] = CorrectedLines(texts, *(frozen(row) for row in counts))
    return batch.cache[key]


@dataclass(frozen=True, kw_only=True)
class RefinedWeb(LineCorrections, Filter):
    """Drops documents that lose too many words to `refinedweb_lines` with the same line rules."""

    name: ClassVar[str] = "refinedweb"
    reasons: ClassVar[type[StrEnum]] = Reason
    measured_fields: ClassVar[frozenset[str]] = frozenset(
        {"max_uppercase", "min_words_per_line", "max_words_of_edited"}
    )
    measures: ClassVar[pa.Schema] = pa.schema(
        [pa.field("removed_words", pa.float64())]  # share of the words; null where there are none
    )

    max_removed_words: float | None = 0.05
    """Share of words that the corrections remove; a document that loses more is dropped."""

    def prepare(self) -> None:
        self.check(self.name)

    def rules(self) -> Sequence[Rule]:
        return (Rule(Reason.MUCH_REMOVED, "removed_words", at_most=self.max_removed_words),)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        corrected = corrected_lines(batch, self)
        words = corrected.words
        share = pa.array(corrected.removed_words / np.maximum(words, 1), mask=words == 0)
        return pa.record_batch([share], schema=self.measures)


@dataclass(frozen=True, kw_only=True)
class RefinedWebLines(LineCorrections, Rewriter):
    """Removes the lines that break a rule, and cuts known phrases out of short ones.

    A line counts under the first rule that it breaks. Blank lines are in no count.
    """

    name: ClassVar[str] = "refinedweb_lines"
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("uppercase_lines", pa.int32()),
            ("number_lines", pa.int32()),
            ("counter_lines", pa.int32()),
            ("short_lines", pa.int32()),
            ("edited_lines", pa.int32()),
        ]
    )

    def prepare(self) -> None:
        self.check(self.name)

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        corrected = corrected_lines(batch, self)
        columns = [pa.array(getattr(corrected, name)) for name in self.measures.names]
        return corrected.texts, pa.record_batch(columns, schema=self.measures)


# Below U+0590 and from U+1E00 to U+2000 no capital has been added since Unicode 11: all Pythons agree.
_UPPERCASE = frozen(np.array([chr(code).isupper() and not 0x590 <= code < 0x1E00 for code in range(0x2000)], np.bool_))
_SEPARATORS = tuple(map(ord, "|/>-–—•·:»›(["))


def _rows(phrases: Sequence[str]) -> NDArray[np.uint8]:
    """uint8[phrases, 64]: length and bytes of each, ASCII letters small."""
    rows = np.zeros((len(phrases), _LONGEST_PHRASE + 2), np.uint8)
    for row, phrase in enumerate(phrases):
        content = phrase.encode().lower()
        rows[row, 0] = len(content)
        rows[row, 1 : 1 + len(content)] = np.frombuffer(content, np.uint8)
    return frozen(rows)


_COUNTED_ROWS = _rows(COUNTED)


@kernel
def correct_lines(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    uppercase: NDArray[np.bool_],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    max_uppercase: float,
    remove_numbers: bool,
    remove_counters: bool,
    min_words: int,
    max_words_of_edited: int,
    beginnings: NDArray[np.uint8],
    endings: NDArray[np.uint8],
    phrases: NDArray[np.uint8],
    counted: NDArray[np.uint8],
    new_offsets: NDArray[np.int32],
    new_text: NDArray[np.uint8],
    counts: NDArray[np.int32],
) -> None:
    """Writes the corrected documents and the counts of `CorrectedLines`, one row each."""
    cursor = 0
    for document in range(offsets.shape[0] - 1):
        begin = cursor
        before = offsets[document]  # where the last line that is not blank ended
        any_line = False
        gap_start = gap_end = before  # the longest gap since the last line that stayed
        for line in range(firsts[document], firsts[document + 1]):
            if kinds[line] & _BLANK:
                continue
            if not any_line or (cursor > begin and starts[line] - before > gap_end - gap_start):
                gap_start, gap_end = before, starts[line]
            any_line = True
            before = ends[line]
            start = after_space(text, classes, starts[line], ends[line])
            end = before_space(text, classes, start, ends[line])
            words, characters, capitals, numbers = counted_characters(text, classes, uppercase, start, end)
            counts[5, document] += words
            rule = -1
            if capitals > max_uppercase * characters:
                rule = 0
            elif remove_numbers and numbers:
                rule = 1
            elif remove_counters and is_counter(text, classes, start, end, counted):
                rule = 2
            elif words < min_words:
                rule = 3
            if rule >= 0:
                counts[rule, document] += 1
                counts[6, document] += words
                continue
            there = copied(text, gap_start, gap_end, new_text, cursor)
            after = -1
            if words <= max_words_of_edited:
                after = edited(text, classes, start, end, beginnings, endings, phrases, new_text, there)
            if after < 0:
                after = copied(text, starts[line], ends[line], new_text, there)
            else:
                counts[4, document] += 1
                left, _, _, _ = counted_characters(new_text, classes, uppercase, there, after)
                if left < max(min_words, 1):
                    counts[6, document] += words
                    continue
                counts[6, document] += max(words - left, 0)
            cursor = after
            gap_start = gap_end = before
        if cursor > begin or not any_line:
            cursor = copied(text, before, offsets[document + 1], new_text, cursor)
        new_offsets[document + 1] = cursor


@kernel
def counted_characters(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], uppercase: NDArray[np.bool_], start: int, end: int
) -> tuple[int, int, int, bool]:
    """Words, characters, upper-case characters, and whether all are digits or white space."""
    words = characters = capitals = 0
    numbers = True
    inside = False
    position = start
    while position < end:
        code = decoded(text, position)
        kind = classes[code]
        characters += 1
        capitals += code < uppercase.shape[0] and uppercase[code]
        numbers &= kind & (_DIGIT | _SPACE) != 0
        if kind & _SPACE:
            inside = False
        else:
            words += kind & _SOLO != 0 or not inside
            inside = kind & _SOLO == 0
        position += width(text[position])
    return words, characters, capitals, numbers


@kernel
def is_counter(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int, counted: NDArray[np.uint8]
) -> bool:
    """Whether the line is numbers, such as 3, 1,200 or 1.2k, each with one of `counted` behind it, and signs."""
    position = after_signs(text, classes, start, end)
    if position == end:
        return False
    while position < end:
        if not is_digit(text[position]):
            return False
        while position < end and (is_digit(text[position]) or text[position] == 0x2C or text[position] == 0x2E):
            position += 1
        if position < end and (text[position] | 0x20) in (0x6B, 0x6D, 0x62):
            position += 1
        word = after_space(text, classes, position, end)
        size = 0
        if word > position:
            for row in range(counted.shape[0]):
                if (
                    size == 0
                    and begins_with(text, word, end, counted, row)
                    and at_border(text, classes, word + counted[row, 0], end)
                ):
                    size = int(counted[row, 0])
        if size == 0:
            return False
        position = after_signs(text, classes, word + size, end)
    return True


@kernel
def edited(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    start: int,
    end: int,
    beginnings: NDArray[np.uint8],
    endings: NDArray[np.uint8],
    phrases: NDArray[np.uint8],
    new_text: NDArray[np.uint8],
    cursor: int,
) -> int:
    """Writes a line without the phrases; where it then ends, or -1 if it has none."""
    found = False
    for row in range(beginnings.shape[0]):
        if begins_with(text, start, end, beginnings, row):
            behind = start + int(beginnings[row, 0])
            if at_border(text, classes, behind, end):
                start = behind
                found = True
                while start < end and is_separator(decoded(text, start), classes):
                    start += width(text[start])
    word_end = end
    while word_end > start:
        last = last_character(text, start, word_end)
        if classes[decoded(text, last)] & _WORD:
            break
        word_end = last
    for row in range(endings.shape[0]):
        size = int(endings[row, 0])
        place = word_end - size
        if place < start or not begins_with(text, place, word_end, endings, row):
            continue
        if place > start and classes[decoded(text, last_character(text, start, place))] & _WORD:
            continue
        end = place
        found = True
        while end > start:
            last = last_character(text, start, end)
            if not is_separator(decoded(text, last), classes):
                break
            end = last
        word_end = end
    begin = cursor
    position = start
    while position < end:
        size = 0
        if position == start or not classes[decoded(text, last_character(text, start, position))] & _WORD:
            for row in range(phrases.shape[0]):
                if begins_with(text, position, end, phrases, row) and at_border(
                    text, classes, position + int(phrases[row, 0]), end
                ):
                    size = int(phrases[row, 0])
        if size:
            found = True
            position += size
            while cursor > begin and new_text[cursor - 1] == _BLANK_BYTE:
                cursor -= 1
            while cursor == begin and position < end and is_separator(decoded(text, position), classes):
                position += width(text[position])
            continue
        for _ in range(width(text[position])):
            new_text[cursor] = text[position]
            cursor += 1
            position += 1
    return cursor if found else -1


@kernel
def copied(text: NDArray[np.uint8], start: int, end: int, new_text: NDArray[np.uint8], cursor: int) -> int:
    """Copies bytes to `cursor`; where they end there."""
    for position in range(start, end):
        new_text[cursor + position - start] = text[position]
    return cursor + end - start


@inlined
def begins_with(text: NDArray[np.uint8], start: int, end: int, rows: NDArray[np.uint8], row: int) -> bool:
    """Whether the text has this phrase at `start`, in upper or lower case."""
    size = int(rows[row, 0])
    if end - start < size:
        return False
    byte = 0
    while byte < size and small(text[start + byte]) == rows[row, byte + 1]:
        byte += 1
    return byte == size


@inlined
def small(byte: np.uint8) -> np.uint8:
    """An ASCII letter made small."""
    return uint8(byte + 32) if 0x41 <= byte <= 0x5A else byte


@inlined
def is_digit(byte: np.uint8) -> bool:
    return bool(0x30 <= byte <= 0x39)


@inlined
def at_border(text: NDArray[np.uint8], classes: NDArray[np.uint8], position: int, end: int) -> bool:
    """Whether no word goes on at `position`."""
    return position >= end or not classes[decoded(text, position)] & _WORD


@inlined
def after_signs(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> int:
    """Where the next word begins, or `end`."""
    while start < end and not classes[decoded(text, start)] & _WORD:
        start += width(text[start])
    return start


@inlined
def is_separator(code: np.uint32, classes: NDArray[np.uint8]) -> bool:
    return bool(classes[code] & _SPACE) or code in _SEPARATORS
