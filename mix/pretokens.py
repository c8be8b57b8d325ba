"""Pretokens: the pieces that a byte-level tokenizer cuts text into before it merges bytes, found by a compiled walk.

Tokenizers state them as a regular expression, and nearly all of them state one of a few. Three families are known
here, each walked as its expression matches, alternative by alternative:

    GPT2     Radford et al. 2019; also behind a splitter of single digits (SmolLM)
    CL100K   tiktoken's cl100k_base; Llama 3, Qwen 2 and ours differ in how many digits make a piece, and whether marks
             count as letters, without which words of Hindi and Thai fall apart at every vowel sign
    O200K    tiktoken's o200k_base; gpt-oss, Llama 4

A character's classes are Python's `unicodedata`; what it does not know (`UNKNOWN`) other versions of Unicode may, so
`has_unknown` tells where texts are to be left to the tokenizer's own library.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import int64, uint8, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel, trailing_zeros
from corpusmill.documents.segmentation import block_at, decoded, letters_of, width

GPT2, GPT2_DIGITS, CL100K, O200K = range(4)

LETTER, MARK, NUMBER, WHITE, UPPER, LOWER, BREAK, UNKNOWN = (1 << bit for bit in range(8))
"""Classes of characters: \\p{L}, \\p{M}, \\p{N}, \\s, the two of O200K (capitals, or small letters, each with letters
that have no case and marks), [\\r\\n], and what is not assigned."""

_CLASSES_OF_CATEGORY = {
    "Lu": LETTER | UPPER, "Lt": LETTER | UPPER, "Ll": LETTER | LOWER, "Lm": LETTER | UPPER | LOWER,
    "Lo": LETTER | UPPER | LOWER, "Mn": MARK | UPPER | LOWER, "Mc": MARK | UPPER | LOWER, "Me": MARK | UPPER | LOWER,
    "Nd": NUMBER, "Nl": NUMBER, "No": NUMBER, "Cn": UNKNOWN,
}  # fmt: skip
_WHITE_SPACE = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
_WITHOUT_CHARACTERS = range(0x40000, 0xE0000)  # planes that Unicode has left empty

_WHITE, _NUMBER, _LETTER, _MARK = WHITE, NUMBER, LETTER, MARK
_UPPER, _LOWER, _BREAK, _UNKNOWN = UPPER, LOWER, BREAK, UNKNOWN
_GPT2, _GPT2_DIGITS, _CL100K, _O200K = GPT2, GPT2_DIGITS, CL100K, O200K


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """How text is cut.

    family      GPT2, GPT2_DIGITS, CL100K or O200K
    letters     classes of characters that words are made of: LETTER, or LETTER | MARK
    digits      the most digits of a piece; 0: all that stand together
    tail_whole  whether white space at the end of the text is one piece, as in tiktoken's own cl100k_base
    """

    family: int
    letters: int = LETTER
    digits: int = 0
    tail_whole: bool = False


_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_SPACES = r"\s+(?!\S)|\s+"
GPT2_REGEX = _CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + _SPACES
_DIGITS_REGEX = {0: r"\p{N}+", 1: r"\p{N}", 3: r"\p{N}{1,3}"}
O200K_REGEX = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:" + _CONTRACTIONS + ")?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:" + _CONTRACTIONS + ")?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        _SPACES,
    ]
)


def cl100k_regex(pattern: Pattern) -> str:
    """The regular expression, as tokenizers reads it, of a pattern of the family CL100K."""
    marks = r"\p{M}" if pattern.letters & MARK else ""
    letters = rf"[\p{{L}}{marks}]+" if marks else r"\p{L}+"
    return "|".join(
        [
            f"(?i:{_CONTRACTIONS})",
            rf"[^\r\n\p{{L}}{marks}\p{{N}}]?{letters}",
            _DIGITS_REGEX[pattern.digits],
            rf" ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n]*",
            *([r"\s+\z"] if pattern.tail_whole else []),
            r"\s*[\r\n]+",
            _SPACES,
        ]
    )


def regex_of(pattern: Pattern) -> str:
    """The regular expression, as tokenizers reads it, that a pattern stands for."""
    return {GPT2: GPT2_REGEX, O200K: O200K_REGEX}.get(pattern.family) or cl100k_regex(pattern)


def known_pattern(regex: str) -> Pattern | None:
    """The pattern that a regular expression states, None if it is another."""
    known = [Pattern(family=GPT2), Pattern(family=O200K, digits=3)]
    known += [
        Pattern(family=CL100K, letters=letters, digits=digits)
        for letters in (LETTER, LETTER | MARK)
        for digits in _DIGITS_REGEX
    ]
    return next((pattern for pattern in known if regex_of(pattern) == regex), None)


@cache
def character_classes() -> NDArray[np.uint8]:
    """uint8[0x110000]: the classes of each code point."""
    classes = np.full(0x110000, UNKNOWN, np.uint8)
    for plane in (range(_WITHOUT_CHARACTERS.start), range(_WITHOUT_CHARACTERS.stop, 0xF0000)):
        categories = map(unicodedata.category, map(chr, plane))
        classes[plane.start : plane.stop] = [_CLASSES_OF_CATEGORY.get(category, 0) for category in categories]
    classes[0xF0000:] = 0  # private use
    classes[_WHITE_SPACE] = WHITE
    classes[[0x0A, 0x0D]] |= BREAK
    return frozen(classes)


@kernel
def has_unknown(text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> bool:
    """Whether a character in `text[start:end]` is one that Python's Unicode has no class for."""
    position = start
    while position < end:
        if text[position] < 0x80:
            position += 1
            continue
        if classes[decoded(text, position)] & uint8(_UNKNOWN):
            return True
        position += width(text[position])
    return False


@inlined
def class_at(text: NDArray[np.uint8], position: int, classes: NDArray[np.uint8]) -> np.uint8:
    """Classes of the character at `position`."""
    lead = text[position]
    return classes[lead] if lead < 0x80 else classes[decoded(text, position)]


@inlined
def run_end(text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], wanted: np.uint8) -> int:
    """Where the run of characters of any of the classes `wanted` ends that begins at `start`; `start` if none does."""
    position = start
    while position < end and class_at(text, position, classes) & wanted:
        position += width(text[position])
    return position


@inlined
def other_end(text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], unwanted: np.uint8) -> int:
    """Where the run of characters of none of the classes `unwanted` ends that begins at `start`."""
    position = start
    while position < end and not class_at(text, position, classes) & unwanted:
        position += width(text[position])
    return position


@kernel
def contraction_end(text: NDArray[np.uint8], start: int, end: int, any_case: bool) -> int:
    """Where 's, 't, 're, 've, 'm, 'll or 'd ends that begins at `start`; `start` if none does.

    In any case, the long s (U+017F) is an s, too.
    """
    if start + 1 >= end or text[start] != 0x27:
        return start
    fold = uint8(0x20) if any_case else uint8(0)
    first = text[start + 1] | fold
    if first == ord("s") or first == ord("t") or first == ord("m") or first == ord("d"):
        return start + 2
    if any_case and start + 2 < end and text[start + 1] == 0xC5 and text[start + 2] == 0xBF:
        return start + 3
    if start + 2 < end:
        second = text[start + 2] | fold
        if ((first == ord("r") or first == ord("v")) and second == ord("e")) or (
            first == ord("l") and second == ord("l")
        ):
            return start + 3
    return start


@kernel
def cased_end(text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], small: bool) -> int:
    """Where a word of O200K ends that begins at `start`; `start` if none does.

    With `small`: capitals, perhaps none, then at least one small letter; without: at least one capital. Letters without
    case and marks are both, and a run of capitals gives its last of those back where no small letter follows.
    """
    position = start
    last_both = start
    while position < end:
        kind = class_at(text, position, classes)
        if not kind & uint8(_UPPER):
            break
        position += width(text[position])
        if kind & uint8(_LOWER):
            last_both = position
    if not small:
        return position
    following = run_end(text, position, end, classes, uint8(_LOWER))
    return following if following > position else last_both


@inlined
def white_end(
    text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], family: int, tail_whole: bool
) -> int:
    """Where the piece of white space ends that begins at `start`, if no word takes its first character.

    Before what is no white space the run leaves its last character to that, if it has another.
    """
    last_break = last = position = start
    while position < end:
        kind = class_at(text, position, classes)
        if not kind & uint8(_WHITE):
            break
        last = position
        position += width(text[position])
        if kind & uint8(_BREAK):
            last_break = position
    if position == end and tail_whole:
        return end
    if family >= _CL100K and last_break > start:
        return last_break
    if position == end or last == start:
        return position
    if family == _GPT2_DIGITS and class_at(text, position, classes) & uint8(_NUMBER):
        return position
    return last


@inlined
def word_end(
    text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], family: int, letters: np.uint8
) -> int:
    """Where the word ends that begins at `start`, with the one character before it that words take; `start` if none
    does."""
    kind = class_at(text, start, classes)
    begun = start
    if family <= _GPT2_DIGITS:
        if text[start] == 0x20:
            begun = start + 1
    elif not kind & (uint8(_LETTER) | uint8(_NUMBER) | uint8(_BREAK) | letters):
        begun = start + width(text[start])
    if family != _O200K:
        stop = run_end(text, begun, end, classes, letters)
        return stop if stop > begun else start
    for small in (True, False):
        stop = cased_end(text, begun, end, classes, small)
        if stop == begun and begun > start:  # a mark can be taken for the character before a word, or begin one
            begun_there = cased_end(text, start, end, classes, small)
            if begun_there > start:
                return contraction_end(text, begun_there, end, True)
        elif stop > begun:
            return contraction_end(text, stop, end, True)
    return start


@inlined
def plain_word_end(text: NDArray[np.uint8], start: int, end: int, family: int) -> int:
    """Where the pretoken ends if it is at most one space and then ASCII letters, as most are; `start` if that is not
    sure.

    To settle signs here, too, costs more than it saves (180 -> 154 MB/s).
    """
    if family == _O200K:
        return start
    begun = start + 1 if text[start] == 0x20 else start
    position = begun
    while position < end:
        others = ~letters_of(block_at(text, position, end)) & uint64(0x8080808080808080)
        run = trailing_zeros(others) >> 3
        position += run
        if run < 8:
            break
    if position == begun or (position < end and text[position] >= 0x80):
        return start
    return position


@kernel
def piece_end(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    classes: NDArray[np.uint8],
    family: int,
    letters: np.uint8,
    digits: int,
    tail_whole: bool,
) -> int:
    """Where the pretoken ends that begins at `start`, which is below `end`."""
    if text[start] == 0x27 and family != _O200K:
        stop = contraction_end(text, start, end, family == _CL100K)
        if stop > start:
            return stop
    stop = word_end(text, start, end, classes, family, letters)
    if stop > start:
        return stop
    kind = class_at(text, start, classes)
    spaced = text[start] == 0x20 and start + 1 < end
    numbers = start + 1 if spaced and family == _GPT2 else start
    if class_at(text, numbers, classes) & uint8(_NUMBER):
        return digits_end(text, numbers, end, classes, digits)
    no_other = uint8(_WHITE) | uint8(_NUMBER) | uint8(_LETTER) | letters
    begun = start + 1 if spaced else start
    stop = other_end(text, begun, end, classes, no_other)
    if stop > begun:
        if family >= _CL100K:
            while stop < end and (
                text[stop] == 0x0A or text[stop] == 0x0D or (family == _O200K and text[stop] == 0x2F)
            ):
                stop += 1
        return stop
    if kind & uint8(_WHITE):
        return white_end(text, start, end, classes, family, tail_whole)
    return start + width(text[start])


@inlined
def digits_end(text: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], digits: int) -> int:
    """Where the run of numbers ends that begins at `start`, after at most `digits` of them if that is not 0."""
    position = start
    count = int64(0)
    while position < end and class_at(text, position, classes) & uint8(_NUMBER) and (digits == 0 or count < digits):
        position += width(text[position])
        count += 1
    return position


@kernel
def copy_short_pieces(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    family: int,
    letters: np.uint8,
    digits: int,
    tail_whole: bool,
    longest: int,
    kept: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Copies texts without the pretokens of more than `longest` bytes; `ends` is where each text's copy ends."""
    written = int64(0)
    for document in range(ends.shape[0]):
        position = int64(offsets[document])
        end = int64(offsets[document + 1])
        while position < end:
            stop = piece_end(text, position, end, classes, family, letters, digits, tail_whole)
            if stop - position <= longest:
                for place in range(position, stop):
                    kept[written] = text[place]
                    written += 1
            position = stop
        ends[document] = written
