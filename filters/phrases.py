"""Finding any of many phrases in one pass over the text, however many there are and whatever the text says.

The automaton of Aho and Corasick 1975 (doi:10.1145/360825.360855) over bytes, with all failure links followed
beforehand: a table with a row for each prefix of a phrase and a column for each byte that occurs in one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.segmentation import decoded, last_character

_WORD = WORD


@dataclass(frozen=True, slots=True)
class Automaton:
    """Phrases, ready to be found. State 0 is that of no prefix.

    columns   int32[256]              the column of each byte; 0 for those in no phrase
    steps     int32[states, columns]  the state after a byte
    longest   int32[states]           the state of the longest phrase that ends in this state, or 0
    shorter   int32[states]           the state of the next shorter phrase that ends there, too, or 0
    lengths   int32[states]           bytes of the prefix
    """

    columns: NDArray[np.int32]
    steps: NDArray[np.int32]
    longest: NDArray[np.int32]
    shorter: NDArray[np.int32]
    lengths: NDArray[np.int32]


def automaton(phrases: Sequence[bytes]) -> Automaton:
    """The automaton that finds `phrases`, none of which may be empty."""
    columns = np.zeros(256, np.int32)
    used = sorted({byte for phrase in phrases for byte in phrase})
    columns[used] = np.arange(1, len(used) + 1)
    children: list[dict[int, int]] = [{}]
    lengths = [0]
    ends: set[int] = set()
    for phrase in phrases:
        state = 0
        for depth, byte in enumerate(phrase, 1):
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                lengths.append(depth)
            state = children[state][byte]
        ends.add(state)
    steps = np.zeros((len(children), len(used) + 1), np.int32)
    longest, shorter, suffix = (np.zeros(len(children), np.int32) for _ in range(3))
    waiting = deque([0])
    while waiting:  # shorter prefixes first: the row of a state's longest suffix is complete before its own
        state = waiting.popleft()
        if state:
            steps[state] = steps[suffix[state]]
        for byte, child in children[state].items():
            suffix[child] = steps[state, columns[byte]]
            steps[state, columns[byte]] = child
            shorter[child] = longest[suffix[child]]
            longest[child] = child if child in ends else shorter[child]
            waiting.append(child)
    return Automaton(*map(frozen, (columns, steps, longest, shorter, np.array(lengths, np.int32))))


@kernel
def count_phrases(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    columns: NDArray[np.int32],
    steps: NDArray[np.int32],
    longest: NDArray[np.int32],
    shorter: NDArray[np.int32],
    lengths: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    apart: bool,
    counts: NDArray[np.int32],
) -> None:
    """For each wanted document: how many places there are at which a phrase ends.

    With `apart`, a phrase counts only where no word character stands right before or after it.
    """
    for document in range(offsets.shape[0] - 1):
        if not wanted[document]:
            continue
        begin, end = offsets[document], offsets[document + 1]
        state = 0
        for position in range(begin, end):
            state = steps[state, columns[text[position]]]
            found = longest[state]
            while found:
                if not apart or stands_apart(text, classes, position + 1 - lengths[found], position + 1, begin, end):
                    counts[document] += 1
                    break
                found = shorter[found]


@kernel
def stands_apart(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], start: int, stop: int, begin: int, end: int
) -> bool:
    """Whether no word character of `text[begin:end]` stands right before `start` or at `stop`."""
    if start > begin and classes[decoded(text, last_character(text, begin, start))] & _WORD:
        return False
    return stop == end or not classes[decoded(text, stop)] & _WORD
