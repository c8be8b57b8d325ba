"""C4's rules: `c4_lines` removes lines that are no sentences, `c4` drops documents of which too little is left.

Raffel et al. 2020, arXiv:1910.10683, section 2.2, with the rules that its code has beyond the paper (words of over
1,000 characters, policy lines, citation marks). As a filter never edits, what is one step in the paper is two here:
`c4` judges the document as `c4_lines` will leave it. The two, in this order and with equal line rules, decide and edit
like datatrove 0.10.1's `C4QualityFilter`, whose habits are kept: a line is stripped before its citation marks are
removed, not after, and its words are counted before, too.

Differs from datatrove:
    - sentences are counted by `count_sentences`, without a tokenizer; on 6,000 real English documents 0.15 % of the
      decisions differ with terminal punctuation required, and 0.06 % without
    - a document with both "lorem ipsum" and a curly bracket is dropped for the former, wherever they stand
    - a citation mark may hold any digits that `str.isdigit` knows, such as `[²]`
Differs from the paper: no list of bad words, no deduplication of three-sentence spans, no language rule; these are
stages of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, DIGIT, LINE_BREAK, SPACE, TERMINAL, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel, trailing_zeros
from corpusmill.documents.segmentation import before_space, block_at, decoded, places_of, width
from corpusmill.filters.contract import Filter, Rewriter, Rule

_DIGIT, _LINE_BREAK, _SPACE, _TERMINAL, _WORD = DIGIT, LINE_BREAK, SPACE, TERMINAL, WORD
_FULL_STOP = 0x2E
_HIGH = np.uint64(0x8080808080808080)  # the bit of each byte that ASCII leaves unset

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""A line with one of these, in upper or lower case, is about the site."""

ABBREVIATIONS = (
    "Adm", "Capt", "Col", "Dr", "Gen", "Gov", "Hon", "Jr", "Lt", "Messrs", "Mr", "Mrs", "Ms", "Prof", "Rep", "Rev",
    "Sen", "Sgt", "Sr", "St", "Mt", "Bros", "Co", "co", "Corp", "Inc", "Ltd", "Fig", "vs",
    "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec",
)  # fmt: skip
"""A full stop after one of these ends no sentence. At most six letters each."""


class Reason(StrEnum):
    LOREM_IPSUM = "lorem_ipsum"
    CURLY_BRACKET = "curly_bracket"
    TOO_FEW_SENTENCES = "too_few_sentences"


@dataclass(frozen=True, kw_only=True)
class LineRules:
    """Which lines go, by Raffel et al. 2020, section 2.2; None or false turns a rule off.

    Lines are those of `str.splitlines`, stripped.
    """

    require_terminal_punctuation: bool = True
    """A line must end in one of `.?!"'`, but not in `...`. FineWeb turns this off."""
    min_words_per_line: int | None = 3
    """Words, as white space separates them; a line with fewer goes."""
    max_word_characters: int | None = 1000
    """Characters; a line with a longer word goes."""
    remove_javascript_lines: bool = True
    """A line with "javascript", in upper or lower case, goes."""
    remove_policy_lines: bool = True
    """A line with one of `POLICY_PHRASES`, in upper or lower case, goes."""
    remove_citations: bool = True
    """Citation marks such as `[1]`, `[edit]` and `[citation needed]` are cut out of lines."""


@dataclass(frozen=True, slots=True)
class CleanedLines:
    """What the line rules do to a batch. Counts are int32[documents]; those of removed lines leave blank lines out."""

    texts: pa.StringArray
    long_word_lines: NDArray[np.int32]
    unpunctuated_lines: NDArray[np.int32]
    few_word_lines: NDArray[np.int32]
    javascript_lines: NDArray[np.int32]
    policy_lines: NDArray[np.int32]
    citations: NDArray[np.int32]  # cut out of the lines that stay
    lorem_ipsum_lines: NDArray[np.int32]
    curly_bracket_lines: NDArray[np.int32]
    sentences: NDArray[np.int32]  # in the lines that stay


def cleaned_lines(batch: TextBatch, rules: LineRules) -> CleanedLines:
    """Applies the line rules to a batch, once for all stages that have the same."""
    parameters = {field: getattr(rules, field) for field in LineRules.__dataclass_fields__}
    key = f"c4_lines {parameters}"
    if key not in batch.cache:
        counts = np.zeros((9, len(batch)), np.int32)
        offsets, text = np.zeros(len(batch) + 1, np.int32), np.empty(batch.n_bytes, np.uint8)
        clean_lines(
            batch.offsets,
            batch.text,
            CLASSES,
            rules.require_terminal_punctuation,
            rules.min_words_per_line or 0,
            np.iinfo(np.int32).max if rules.max_word_characters is None else rules.max_word_characters,
            rules.remove_javascript_lines,
            rules.remove_policy_lines,
            rules.remove_citations,
            offsets,
            text,
            counts,
        )
        texts = pa.StringArray.from_buffers(len(batch), pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]]))
        batch.cache[key] = CleanedLines(texts, *(frozen(row) for row in counts))
    return batch.cache[key]


@dataclass(frozen=True, kw_only=True)
class C4(LineRules, Filter):
    """Drops documents as `c4_lines` with the same line rules will leave them; None turns a rule off."""

    name: ClassVar[str] = "c4"
    reasons: ClassVar[type[StrEnum]] = Reason
    measured_fields: ClassVar[frozenset[str]] = frozenset({"min_words_per_line", "max_word_characters"})
    measures: ClassVar[pa.Schema] = pa.schema(
        [("lorem_ipsum_lines", pa.int32()), ("curly_bracket_lines", pa.int32()), ("sentences", pa.int32())]
    )

    max_lorem_ipsum_lines: int | None = 0
    """Lines with "lorem ipsum", in upper or lower case; a document with more is dropped."""
    max_curly_bracket_lines: int | None = 0
    """Lines with `{`; a document with more is dropped."""
    min_sentences: int | None = 5
    """Sentences in the lines that stay; a document with fewer is dropped."""

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(Reason.LOREM_IPSUM, "lorem_ipsum_lines", at_most=self.max_lorem_ipsum_lines),
            Rule(Reason.CURLY_BRACKET, "curly_bracket_lines", at_most=self.max_curly_bracket_lines),
            Rule(Reason.TOO_FEW_SENTENCES, "sentences", at_least=self.min_sentences),
        )

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        cleaned = cleaned_lines(batch, self)
        columns = [pa.array(getattr(cleaned, name)) for name in self.measures.names]
        return pa.record_batch(columns, schema=self.measures)


@dataclass(frozen=True, kw_only=True)
class C4Lines(LineRules, Rewriter):
    """Removes the lines that break a line rule and joins the others by `\\n`.

    A line counts under the first rule that it breaks. Blank lines are in no count.
    """

    name: ClassVar[str] = "c4_lines"
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("long_word_lines", pa.int32()),
            ("unpunctuated_lines", pa.int32()),
            ("few_word_lines", pa.int32()),
            ("javascript_lines", pa.int32()),
            ("policy_lines", pa.int32()),
            ("citations", pa.int32()),
        ]
    )

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        cleaned = cleaned_lines(batch, self)
        columns = [pa.array(getattr(cleaned, name)) for name in self.measures.names]
        return cleaned.texts, pa.record_batch(columns, schema=self.measures)


_LOREM_IPSUM, _JAVASCRIPT, _POLICY = 1, 2, 4
_PHRASES = ("lorem ipsum", "javascript", *POLICY_PHRASES)
_PHRASE_KINDS = (_LOREM_IPSUM, _JAVASCRIPT, *(_POLICY for _ in POLICY_PHRASES))
_RARE_LETTERS = "mvfk"
"""One of them stands in every phrase, and they are 6 % of English text: phrases are looked for around them only."""
_RARE_PLACES = tuple(
    min(place for place, letter in enumerate(phrase) if letter in _RARE_LETTERS) for phrase in _PHRASES
)


def _padded(strings: Sequence[str], size: int) -> NDArray[np.uint8]:
    """uint8[strings, size + 1]: length and bytes of each string."""
    rows = [bytes([len(string)]) + string.encode().ljust(size, b"\0") for string in strings]
    return frozen(np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size + 1))


_PHRASE_BYTES = _padded(_PHRASES, 14)
_CITATION_BYTES = _padded(("[edit]", "[citation needed]"), 17)
_ABBREVIATION_BYTES = _padded(ABBREVIATIONS, 6)


@kernel
def clean_lines(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    require_terminal_punctuation: bool,
    min_words: int,
    max_word_characters: int,
    remove_javascript_lines: bool,
    remove_policy_lines: bool,
    remove_citations: bool,
    new_offsets: NDArray[np.int32],
    new_text: NDArray[np.uint8],
    counts: NDArray[np.int32],
) -> None:
    """Writes the cleaned documents and the counts of `CleanedLines`, one row each.

    A line is copied behind what has been kept, without its citation marks, and judged there; if it goes, the next one
    is written over it.
    """
    cursor = new_offsets[0]
    for document in range(offsets.shape[0] - 1):
        position = offsets[document]
        end = offsets[document + 1]
        begin = cursor
        while position < end:
            start, stop, position, words, longest, bracket = scanned_line(text, classes, position, end)
            if longest > max_word_characters:
                counts[0, document] += 1
                continue
            line = cursor
            if cursor > begin:
                new_text[cursor] = 0x0A
                line += 1
            if bracket and remove_citations:
                line_end, citations = copied_without_citations(text, classes, start, stop, new_text, line)
                if cursor == begin:
                    # Nothing is kept before it, so this line begins the text, which is stripped.
                    while line < line_end and classes[decoded(new_text, line)] & _SPACE:
                        line += width(new_text[line])
            else:
                citations = 0
                line_end = line + stop - start
                for byte in range(stop - start):
                    new_text[line + byte] = text[start + byte]
            if require_terminal_punctuation and not ends_like_a_sentence(new_text, line, line_end):
                counts[1, document] += words > 0
                continue
            if words < min_words:
                counts[2, document] += words > 0
                continue
            phrases = found_phrases(new_text, line, line_end)
            counts[6, document] += (phrases & _LOREM_IPSUM) != 0
            if phrases & _JAVASCRIPT and remove_javascript_lines:
                counts[3, document] += 1
                continue
            counts[7, document] += has_curly_bracket(new_text, line, line_end)
            if phrases & _POLICY and remove_policy_lines:
                counts[4, document] += 1
                continue
            counts[5, document] += citations
            counts[8, document] += count_sentences(new_text, classes, line, line_end)
            if cursor == begin and line > begin:
                for byte in range(line_end - line):
                    new_text[begin + byte] = new_text[line + byte]
                line_end -= line - begin
            cursor = line_end
        cursor = before_space(new_text, classes, begin, cursor)
        new_offsets[document + 1] = cursor


@kernel
def scanned_line(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], position: int, end: int
) -> tuple[int, int, int, int, int, bool]:
    """The line of `str.splitlines` at `position`.

    Returns:
        where it starts and stops when stripped, where the next one begins, its words, the characters of the longest,
        and whether it has a `[`.
    """
    start = stop = -1
    words = longest = length = 0
    bracket = False
    while position < end:
        lead = text[position]
        code = uint32(lead) if lead < 0x80 else decoded(text, position)
        kind = classes[code]
        if not kind & _SPACE:
            if length == 0:
                words += 1
                if start < 0:
                    start = position
            length += 1
            bracket |= lead == 0x5B
            position += width(lead)
            continue
        if length > 0:
            longest = max(longest, length)
            length = 0
            stop = position
        position += width(lead)
        if kind & _LINE_BREAK:
            if lead == 0x0D and position < end and text[position] == 0x0A:
                position += 1
            return max(start, 0), max(stop, 0), position, words, longest, bracket
    if length > 0:
        longest = max(longest, length)
        stop = position
    return max(start, 0), max(stop, 0), position, words, longest, bracket


@kernel
def copied_without_citations(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    start: int,
    stop: int,
    new_text: NDArray[np.uint8],
    cursor: int,
) -> tuple[int, int]:
    """Copies a line to `cursor` without what `\\[\\d*]|\\[edit]|\\[citation needed]` matches.

    Returns:
        the end of the copy, and how many citation marks were left out.
    """
    citations = 0
    position = start
    while position < stop:
        if text[position] == 0x5B:
            after = position + 1
            while after < stop and classes[decoded(text, after)] & _DIGIT:
                after += width(text[after])
            if after < stop and text[after] == 0x5D:
                position = after + 1
                citations += 1
                continue
            size = listed_length(_CITATION_BYTES, text, position, stop, False)
            if size:
                position += size
                citations += 1
                continue
        new_text[cursor] = text[position]
        cursor += 1
        position += 1
    return cursor, citations


@kernel
def listed_length(strings: NDArray[np.uint8], text: NDArray[np.uint8], start: int, end: int, whole: bool) -> int:
    """Length of the first of `strings` (rows of length and bytes) that `text[start:end]` begins with, or is; else 0."""
    for row in range(strings.shape[0]):
        size = int(strings[row, 0])
        if size == end - start or (size < end - start and not whole):
            byte = 0
            while byte < size and text[start + byte] == strings[row, byte + 1]:
                byte += 1
            if byte == size:
                return size
    return 0


@inlined
def ends_like_a_sentence(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether the last character is one of `.?!"'` and the last three are not `...`."""
    if end == start:
        return False
    last = text[end - 1]
    if last == 0x2E:
        return not (end - start >= 3 and text[end - 2] == 0x2E and text[end - 3] == 0x2E)
    return last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27


@inlined
def has_curly_bracket(text: NDArray[np.uint8], start: int, end: int) -> bool:
    found = False
    for position in range(start, end):
        found |= text[position] == 0x7B
    return found


@kernel
def found_phrases(text: NDArray[np.uint8], start: int, end: int) -> int:
    """The kinds of `_PHRASES` that stand in the text, in upper or lower case, as the union of their bits."""
    found = 0
    for position in range(start, end):
        letter = text[position] | 0x20
        if letter == 0x6D or letter == 0x76 or letter == 0x66 or letter == 0x6B:
            for row in range(len(_PHRASE_KINDS)):
                place = position - _RARE_PLACES[row]
                size = int(_PHRASE_BYTES[row, 0])
                if place < start or place + size > end or _PHRASE_BYTES[row, _RARE_PLACES[row] + 1] != letter:
                    continue
                byte = 0
                while byte < size and lower_case(text[place + byte]) == _PHRASE_BYTES[row, byte + 1]:
                    byte += 1
                if byte == size:
                    found |= _PHRASE_KINDS[row]
    return found


@inlined
def lower_case(byte: np.uint8) -> int:
    """The byte, as a small letter if it is a capital one of ASCII (which else only the Kelvin sign becomes)."""
    return int(byte) + 32 if is_capital(byte) else int(byte)


@kernel
def count_sentences(text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, end: int) -> int:
    """Sentences in a line: one, and one more for each word that is the first behind the end of a sentence.

    A sentence ends at a character of Unicode's Sentence_Terminal; but `.`, `?` and `!` end one only where white space
    follows, other signs such as quotation marks aside, and a full stop only as `may_be_full_stop` says. A full stop
    also ends one between a small and a capital letter (`end.Start`), where a line break got lost.
    """
    sentences = 1
    ended = False
    may_end = False  # if white space comes before the next word
    position = start
    while position < end:
        if not (ended or may_end):
            block = block_at(text, position, end)
            marks = (
                places_of(block, _FULL_STOP) | places_of(block, 0x3F) | places_of(block, 0x21) | (block & uint64(_HIGH))
            )
            if not marks:
                position += 8
                continue
            position += trailing_zeros(marks) >> 3
        lead = text[position]
        kind = classes[lead] if lead < 0x80 else classes[decoded(text, position)]
        if kind & _WORD:
            sentences += ended
            ended = may_end = False
        elif kind & _SPACE:
            ended |= may_end
            may_end = False
        elif kind & _TERMINAL:
            if lead >= 0x80:
                ended = True
            elif lead != _FULL_STOP:
                may_end = True
            elif may_be_full_stop(text, start, position, end):
                may_end = True
                if position + 1 < end and is_small(text[position - 1]) and is_capital(text[position + 1]):
                    ended = True
        position += width(lead)
    return sentences


@kernel
def may_be_full_stop(text: NDArray[np.uint8], start: int, position: int, end: int) -> bool:
    """Whether the `.` at `position` can end a sentence by what stands before it.

    It cannot at the beginning, in an ellipsis (`..`), after a single capital letter (an initial), after a letter that
    follows another full stop (`e.g.`), and after one of `ABBREVIATIONS`.
    """
    if position == start or text[position - 1] == _FULL_STOP:
        return False
    if position + 1 < end and text[position + 1] == _FULL_STOP:
        return False
    word = position
    while word > start and position - word < 8 and (is_small(text[word - 1]) or is_capital(text[word - 1])):
        word -= 1
    if position - word == 1:
        return not (is_capital(text[word]) or (word > start and text[word - 1] == _FULL_STOP))
    return listed_length(_ABBREVIATION_BYTES, text, word, position, True) == 0


@inlined
def is_small(byte: np.uint8) -> bool:
    return bool(0x61 <= byte <= 0x7A)


@inlined
def is_capital(byte: np.uint8) -> bool:
    return bool(0x41 <= byte <= 0x5A)
