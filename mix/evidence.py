"""What a dataset knows of its own words: which words and pairs of neighbours other documents have, too.

Corruption that leaves every character sound can only be seen against sound text of the same kind, and that is what most
of a dataset is. So a first pass over a sample of it notes in which **folds** (a fold is 1 of 32 by a hash of a
document's text) each word stands, and each pair of words that white space parts. A second pass asks, window by window
and never of the document's own fold, so that neither a document nor its copies vouch for it:

    strangeness  the share of words that no other fold has and that stand once in the window: random vocabulary,
                 misread and broken words
    order        how much better known the window's pairs are than those of the same words in random order, as a share
                 of what is usual for pairs of words so common: 1 in sound text, 0 in shuffled text, in any language

What is usual is learnt from a sample of windows, which the first pass keeps. A window is strange against windows of its
language (py3langid's label of the first bytes; labels whose commonest words are the same count as one language, since
corrupted texts get odd labels): where the sample falls into two clearly parted groups, at the middle between them, else
far above the usual. Fewer than MIN_WINDOWS windows of a language are too few to know what is usual, and fewer than
MIN_SAMPLED of all are too few to vouch for one another: then nothing is said.

Nobody else scores datasets this way, so no paper has it. Its parts: leaving a fold out is cross-fitting; comparing with
permutations of the same words is a permutation test; the parting is at the valley of a kernel density.

Evidence does not depend on the order in which documents come, nor on how often one comes. It is 50 MB in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numba import int64, uint8, uint16, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, SOLO, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel, ones
from corpusmill.documents.segmentation import mixed
from corpusmill.filters import langid
from corpusmill.mix.characters import Windows, windows_of

FOLDS = 32
"""Parts of the dataset by a hash of the text; the folds of a word are the bits of a uint32."""
WORD_BITS, PAIR_BITS = 22, 24
"""Slots of the tables: 4 and 17 million, for some 64 MB of text (1 million words, 5 million pairs)."""
SAMPLED_TEXT_BYTES = 64_000_000
"""Text that the tables have room for. Of a larger dataset the first pass takes a sample."""
SAMPLED_WINDOWS = 4096
"""Windows from which is learnt what is usual."""
MIN_WINDOWS = 40
"""Windows of a language in the sample from which it is known what is usual there."""
MIN_SAMPLED = 300
"""Windows in all, half a megabyte of text, below which sound text is called shuffled: an eighth of 10 pages in
Portuguese among 200 in other languages, a sixth of 50 documents of which 15 were shuffled."""
MIN_WORDS = 20
"""Words of a window that says anything."""
LABELLED_BYTES = 128
"""Bytes at a document's beginning that tell its language: enough to tell those of a dataset apart, as labels are joined
by their commonest words, at a thirtieth of the cost of whole pages."""

PAIRED = 1  # flag of a word: white space, or nothing between two ideographs, parts it from the word before
NAMED = 2  # it has a letter: numbers are all one word

_FEW, _SOME, _HALF, _MANY = 2, 7, 15, 27
_CLASSES = 6
"""Classes of words by the folds that they are seen in: none, up to 2, 7, 15, 27, and more."""
_PERMUTATIONS = 2
_NUMBER = np.uint64(0x9E3779B97F4A7C15)  # stands for every number
_BASE = np.uint64(0x9FB21C651E98DF25)
_ALPHA, _SOLO, _WORD = ALPHA, SOLO, WORD
_WORD_SHIFT, _PAIR_SHIFT = 64 - WORD_BITS, 64 - PAIR_BITS
_PAIR_FOLDS = 16
_KNOWN = frozen(np.log2(1 + np.arange(_PAIR_FOLDS + 1, dtype=np.float64)))
"""How well a pair that is seen in so many folds is known."""

MEASURES = ("words", "strange", "order", "expected", "spread")
"""Columns of what `measure_windows` measures:

words     words with a letter
strange   those of them that no other fold has, and the window once
order     how much better known its pairs are than in random order, each weighed by what is usual for its classes
expected  what `order` is in usual text
spread    difference of two random orders, weighed alike: what chance alone makes of `order`
"""


@inlined
def slot_of_word(word: np.uint64) -> int:
    return int64(mixed(word) >> uint64(_WORD_SHIFT))


@inlined
def slot_of_pair(first: np.uint64, second: np.uint64) -> int:
    return int64(mixed(first * uint64(_BASE) + second) >> uint64(_PAIR_SHIFT))


@inlined
def class_of(folds: int) -> int:
    """The class of a word that is seen in so many folds."""
    return (folds > 0) + (folds > _FEW) + (folds > _SOME) + (folds > _HALF) + (folds > _MANY)


@kernel
def find_stream(
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    first_of: NDArray[np.int32],
    stream: NDArray[np.uint64],
    flags: NDArray[np.uint8],
) -> int:
    """Fills the words of each window without punctuation, all numbers as one, with PAIRED and NAMED.

    Args:
        firsts: int32[windows + 1], the first word of each window.
        first_of: int32[windows + 1], the same among what is left.

    Returns:
        how many are left.
    """
    found = 0
    for window in range(firsts.shape[0] - 1):
        first_of[window] = found
        before = -1
        for word in range(firsts[window], firsts[window + 1]):
            kind = kinds[word]
            if not kind & _WORD:
                continue
            named = (kind & _ALPHA) != 0
            stream[found] = hashes[word] if named else uint64(_NUMBER)
            apart = before >= 0 and (starts[word] > ends[before] or (kind & _SOLO) != 0)
            flags[found] = uint8(NAMED if named else 0) | uint8(PAIRED if apart else 0)
            before = word
            found += 1
    first_of[firsts.shape[0] - 1] = found
    return found


@kernel
def learn(
    firsts: NDArray[np.int32],
    folds: NDArray[np.uint8],
    stream: NDArray[np.uint64],
    flags: NDArray[np.uint8],
    words: NDArray[np.uint32],
    pairs: NDArray[np.uint16],
) -> None:
    """Notes the fold of each window with its words and pairs."""
    for window in range(firsts.shape[0] - 1):
        fold = uint32(1) << uint32(folds[window])
        pair_fold = uint16(1) << uint16(folds[window] & uint8(_PAIR_FOLDS - 1))
        for place in range(firsts[window], firsts[window + 1]):
            words[slot_of_word(stream[place])] |= fold
            if flags[place] & PAIRED:
                pairs[slot_of_pair(stream[place - 1], stream[place])] |= pair_fold


@kernel
def measure_windows(
    firsts: NDArray[np.int32],
    folds: NDArray[np.uint8],
    stream: NDArray[np.uint64],
    flags: NDArray[np.uint8],
    words: NDArray[np.uint32],
    pairs: NDArray[np.uint16],
    usual: NDArray[np.float64],
    counted: NDArray[np.bool_],
    sums: NDArray[np.float64],
    measures: NDArray[np.float64],
) -> None:
    """Fills float64[windows, 5], the columns of MEASURES.

    Args:
        usual: float64[classes, classes], by how much more a pair of words of these classes is known than by chance.
        counted: bool[windows], which windows add to `sums`.
        sums: float64[classes, classes, 4]: of pairs as they stand, how well they are known, and how many there are;
            then the same of pairs in random order.
    """
    longest = 1
    for window in range(firsts.shape[0] - 1):
        longest = max(longest, firsts[window + 1] - firsts[window])
    slots = 16
    while slots < 2 * longest:
        slots *= 2
    table = np.zeros(slots, np.uint64)
    times = np.zeros(slots, np.uint8)
    classes = np.empty(longest, np.uint8)
    seconds = np.empty(longest, np.int32)
    order = np.empty(longest, np.int32)
    places = np.empty(longest, np.int64)
    masks = np.empty(longest, np.uint16)
    folds_of = np.empty(longest, np.uint32)
    for window in range(firsts.shape[0] - 1):
        first = firsts[window]
        size = firsts[window + 1] - first
        own = uint32(1) << uint32(folds[window])
        own_pair = uint32(1) << uint32(folds[window] & uint8(_PAIR_FOLDS - 1))
        used = 16
        while used < 2 * size:
            used *= 2
        table[:used] = 0
        named = 0
        count = 0
        for place in range(size):
            places[place] = slot_of_word(stream[first + place])
        for place in range(size):
            folds_of[place] = words[places[place]]
        for place in range(size):
            word = stream[first + place]
            seen = ones(uint64(folds_of[place] & ~own))
            classes[place] = class_of(seen)
            named += (flags[first + place] & NAMED) != 0
            if seen == 0 and flags[first + place] & NAMED:
                slot = word >> uint64(16) & uint64(used - 1)
                while table[slot] != 0 and table[slot] != word:
                    slot = (slot + uint64(1)) & uint64(used - 1)
                times[slot] = 1 if table[slot] == 0 else 2
                table[slot] = word
            if flags[first + place] & PAIRED:
                seconds[count] = place
                order[count] = place
                count += 1
        strange = 0
        for slot in range(used):
            strange += table[slot] != 0 and times[slot] == 1
        weighed = expected = chance = spread = 0.0
        state = uint64(0x2545F4914F6CDD1D) + uint64(count)
        for arrangement in range(1 + _PERMUTATIONS):
            if arrangement > 0:
                for pair in range(count - 1, 0, -1):
                    state = state * uint64(0x5851F42D4C957F2D) + uint64(0x14057B7EF767814F)
                    other = int64(((state >> uint64(32)) * uint64(pair + 1)) >> uint64(32))
                    order[pair], order[other] = order[other], order[pair]
            # The table is too large for the caches: a loop that only loads from it waits for many loads at once.
            for pair in range(count):
                places[pair] = slot_of_pair(stream[first + seconds[pair] - 1], stream[first + order[pair]])
            for pair in range(count):
                masks[pair] = pairs[places[pair]]
            here = 0.0
            for pair in range(count):
                before, word = classes[seconds[pair] - 1], classes[order[pair]]
                known = _KNOWN[ones(uint64(uint32(masks[pair]) & ~own_pair))]
                weight = usual[before, word]
                here += weight * known
                expected += weight * weight if arrangement == 0 else 0.0
                if counted[window]:
                    sums[before, word, 2 * (arrangement > 0)] += known
                    sums[before, word, 2 * (arrangement > 0) + 1] += 1
            if arrangement == 0:
                weighed = here
            else:
                chance += here / _PERMUTATIONS
                spread = here - spread
        measures[window, 0] = named
        measures[window, 1] = strange
        measures[window, 2] = weighed - chance
        measures[window, 3] = expected
        measures[window, 4] = spread


@dataclass(frozen=True, slots=True)
class Streams:
    """Words of windows, without punctuation.

    firsts     int32[windows + 1]  first word of each
    words      uint64[n]           hashes of the words in lower case, without diacritics
    flags      uint8[n]            PAIRED, NAMED
    folds      uint8[windows]      of the window's document
    languages  int32[windows]      py3langid's number of the language of the window's document
    """

    firsts: NDArray[np.int32]
    words: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    folds: NDArray[np.uint8]
    languages: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.folds)

    def chosen(self, rows: NDArray[np.int64]) -> Streams:
        """Some of the windows, in the order of `rows`."""
        sizes = np.diff(self.firsts)[rows]
        firsts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(firsts[-1]) + np.repeat(self.firsts[rows] - firsts[:-1], sizes)
        return Streams(
            frozen(firsts.astype(np.int32)),
            frozen(self.words[places]),
            frozen(self.flags[places]),
            frozen(self.folds[rows]),
            frozen(self.languages[rows]),
        )


def joined(parts: list[Streams]) -> Streams:
    """The windows of all parts, of which there is one at least."""
    ends = np.concatenate([np.diff(part.firsts) for part in parts])
    return Streams(
        frozen(np.concatenate([[0], np.cumsum(ends)]).astype(np.int32)),
        *(
            frozen(np.concatenate([getattr(part, name) for part in parts]))
            for name in ("words", "flags", "folds", "languages")
        ),
    )


def streams_of(batch: TextBatch, windows: Windows) -> Streams:
    """The words of a batch's windows."""
    words = batch.words
    firsts = np.searchsorted(words.starts, np.append(windows.starts, batch.offsets[-1])).astype(np.int32)
    stream, flags = np.empty(len(words.starts), np.uint64), np.empty(len(words.starts), np.uint8)
    first_of = np.empty(len(firsts), np.int32)
    count = find_stream(
        frozen(firsts), words.starts, words.ends, batch.folded_hashes, words.kinds, first_of, stream, flags
    )
    folds = (batch.document_hashes[0] % np.uint64(FOLDS)).astype(np.uint8)
    return Streams(
        frozen(first_of),
        frozen(stream[:count]),
        frozen(flags[:count]),
        frozen(folds[windows.documents]),
        frozen(_languages(batch)[windows.documents]),
    )


def _languages(batch: TextBatch) -> NDArray[np.int32]:
    """What py3langid takes the beginning of each document for."""
    ends = np.empty(len(batch), np.int32)
    find_beginnings(batch.offsets, batch.text, LABELLED_BYTES, ends)
    starts = batch.offsets[:-1]
    sizes = ends - starts
    firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    places = np.arange(firsts[-1]) + np.repeat(starts - firsts[:-1], sizes)
    texts = pa.StringArray.from_buffers(len(batch), pa.py_buffer(firsts), pa.py_buffer(batch.text[places]))
    return langid.identify(texts)[0]


@kernel
def find_beginnings(offsets: NDArray[np.int32], text: NDArray[np.uint8], most: int, ends: NDArray[np.int32]) -> None:
    """Where each document's first `most` bytes end, at a character's beginning."""
    for document in range(offsets.shape[0] - 1):
        end = offsets[document + 1]
        if end - offsets[document] > most:
            end = offsets[document] + most
            while text[end] & 0xC0 == 0x80:
                end -= 1
        ends[document] = end


class Gathering:
    """The first pass: takes in documents in any order; `evidence` is what they tell.

    Give it SAMPLED_TEXT_BYTES of text at most, taken at random: more only fills the tables.
    """

    def __init__(self) -> None:
        self._words = np.zeros(1 << WORD_BITS, np.uint32)
        self._pairs = np.zeros(1 << PAIR_BITS, np.uint16)
        self._keys = np.empty(0, np.uint64)
        self._sample: list[Streams] = []

    def add(self, batch: TextBatch) -> None:
        """Takes in some documents."""
        windows = windows_of(batch.offsets, batch.text)
        sound = windows.losses.sum(axis=1) < _SPOILT
        streams = streams_of(batch, windows).chosen(np.flatnonzero(sound))
        learn(streams.firsts, streams.folds, streams.words, streams.flags, self._words, self._pairs)
        places = np.arange(len(sound)) - np.searchsorted(windows.documents, windows.documents)
        with np.errstate(over="ignore"):
            keys = batch.document_hashes[1][windows.documents] ^ (places.astype(np.uint64) * _NUMBER)
        self._keys = np.concatenate([self._keys, keys[sound]])
        self._sample.append(streams)
        if len(self._keys) > 2 * SAMPLED_WINDOWS:
            self._thin()

    def _thin(self) -> None:
        """Leaves the windows of the smallest keys, each once, in the order of these."""
        self._keys, rows = np.unique(self._keys, return_index=True)
        self._keys, rows = self._keys[:SAMPLED_WINDOWS], rows[:SAMPLED_WINDOWS]
        self._sample = [joined(self._sample).chosen(rows)] if self._sample else []

    def evidence(self) -> Evidence:
        """What is known now."""
        self._thin()
        return Evidence.learnt(frozen(self._words), frozen(self._pairs), self._sample)


# Set on books, Wikipedia, news, code, LaTeX, laws and web articles in five languages, sound and corrupted; docs/log.md
# tells what else was tried.
_SPOILT = 0.5  # of a window lost for its characters: it is no evidence
_STEPS = 4  # rounds in which what is usual is learnt from windows that are; the third changes little
_SAME_LANGUAGE = 0.15  # of a group's words among the commonest of another; German's among English's are 0.03
_COMMONEST = 256
_STRANGE_BEYOND = 0.09  # above what is usual, where nothing parts sound windows from strange ones
_STRANGE_SPREADS = 4.0
_DENSITY_WIDTH = 0.012  # of the bells of which the density is made, at least
_VALLEY = 0.5  # of the lower of two peaks: a deeper valley parts them
_PARTED_LEAST = 0.06  # between two peaks
_STRANGE_LEAST = 0.03  # of windows beyond the valley
_SOUND_LEAST = 0.4  # of windows below the valley after what is usual
_STRANGE_RAMP = 0.04
_ORDER_SHARE, _ORDER_LEAST = 0.45, 0.3  # bounds of the order, of what is usual, below which there is none
_ORDER_RAMP = 0.2
_PAIRS = 50  # of two classes, from which it is known how much better known they are than by chance
_OF_SPREAD = 1.284  # standard deviation of order (one sum less the mean of two) to the median of differences of two
_CHANCES = 3.0  # standard deviations of what chance makes of order
_DOUBTS = 2.5


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in the windows of one language.

    order         as a share of what is expected, 1 at most
    strange_from  share of strange words from which a window is more strange than not
    """

    order: float
    strange_from: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What `Gathering` found.

    words      uint32[2^WORD_BITS]         folds of each slot
    pairs      uint16[2^PAIR_BITS]         folds of each slot, modulo 16
    known      float64[classes, classes]   by how much more a pair of such words is known than by chance
    chance     standard deviation of order by chance, times the root of what is expected
    languages  py3langid's numbers and what is usual there
    """

    words: NDArray[np.uint32]
    pairs: NDArray[np.uint16]
    known: NDArray[np.float64]
    chance: float
    languages: Mapping[int, Usual]

    @classmethod
    def learnt(cls, words: NDArray[np.uint32], pairs: NDArray[np.uint16], sample: list[Streams]) -> Evidence:
        """Learns from a sample of windows what is usual."""
        known = np.ones((_CLASSES, _CLASSES))
        if not sample or len(sample[0]) < MIN_SAMPLED:
            return cls(words, pairs, frozen(known), 0.0, {})
        (streams,) = sample
        groups = language_groups(streams)
        counted = np.ones(len(streams), np.bool_)
        for step in range(_STEPS):
            sums, measures = measured(streams, words, pairs, frozen(known), frozen(counted))
            order, expected, spread = measures[:, 2], measures[:, 3], measures[:, 4]
            said = expected > 0
            chance = (
                float(_OF_SPREAD * np.median(np.abs(spread[said]) / np.sqrt(expected[said]))) if said.any() else 0.0
            )
            counted = order > _CHANCES * chance * np.sqrt(expected)
            if step < _STEPS - 1:
                means = sums[..., 0::2] / np.maximum(sums[..., 1::2], 1)
                enough = (sums[..., 1] >= _PAIRS) & (sums[..., 3] >= _PAIRS)
                known = np.where(enough, np.maximum(means[..., 0] - means[..., 1], 0.0), 0.0)
        strange = measures[:, 1] / np.maximum(measures[:, 0], 1)
        languages: dict[int, Usual] = {}
        for group in np.unique(groups).tolist():
            worded = (groups == group) & (measures[:, 0] >= MIN_WORDS)
            if worded.sum() >= MIN_WINDOWS:
                ordered = worded & counted
                usual_order = float(np.median(order[ordered] / expected[ordered])) if ordered.any() else 0.0
                usual = Usual(min(1.0, usual_order), strange_from(strange[worded]))
                languages |= dict.fromkeys(np.unique(streams.languages[groups == group]).tolist(), usual)
        return cls(words, pairs, frozen(known), chance, languages)

    def judged(self, streams: Streams) -> NDArray[np.float64]:
        """float64[windows, 2]: how sure it is, from 0 to 1, that a window is strange, and that it is out of order."""
        judged = np.zeros((len(streams), 2))
        if not self.languages:
            return judged
        _, measures = measured(streams, self.words, self.pairs, self.known, frozen(np.zeros(len(streams), np.bool_)))
        for language, usual in self.languages.items():
            rows = np.flatnonzero((streams.languages == language) & (measures[:, 0] >= MIN_WORDS))
            words, strange, order, expected, _ = measures[rows].T
            judged[rows, 0] = _ramp(strange / words - usual.strange_from, _STRANGE_RAMP)
            deviation = self.chance / np.sqrt(np.maximum(expected, 1e-9))
            middle = np.clip(_CHANCES * deviation, _ORDER_LEAST * usual.order, _ORDER_SHARE * usual.order)
            middle = np.minimum(middle, usual.order - _DOUBTS * deviation)
            out = _ramp(middle - order / np.maximum(expected, 1e-9), _ORDER_RAMP * usual.order)
            judged[rows, 1] = np.where(middle > 0, out, 0.0)
        return judged


def _ramp(beyond: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return np.clip(beyond / max(width, 1e-9) + 0.5, 0, 1)


def measured(
    streams: Streams,
    words: NDArray[np.uint32],
    pairs: NDArray[np.uint16],
    known: NDArray[np.float64],
    counted: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums and measures of `measure_windows`."""
    sums = np.zeros((_CLASSES, _CLASSES, 4))
    measures = np.empty((len(streams), len(MEASURES)))
    measure_windows(
        streams.firsts, streams.folds, streams.words, streams.flags, words, pairs, known, counted, sums, measures
    )
    return sums, measures


def language_groups(streams: Streams) -> NDArray[np.int32]:
    """int32[windows]: the language that each window counts to: its own, or a larger one of the same commonest words."""
    sizes = np.diff(streams.firsts)
    of_word = np.repeat(streams.languages, sizes)
    named = (streams.flags & NAMED) != 0
    languages, counts = np.unique(streams.languages, return_counts=True)
    groups = streams.languages.copy()
    commonest: dict[int, NDArray[np.uint64]] = {}
    for language in languages[np.lexsort((languages, -counts))].tolist():
        own = streams.words[named & (of_word == language)]
        shares = {other: float(np.isin(own, words).mean()) for other, words in commonest.items() if len(own)}
        nearest = max(shares, key=shares.__getitem__, default=language)
        if shares and shares[nearest] >= _SAME_LANGUAGE:
            groups[groups == language] = nearest
        else:
            words, times = np.unique(own, return_counts=True)
            commonest[language] = words[np.lexsort((words, -times))[:_COMMONEST]]
    return groups


def strange_from(shares: NDArray[np.float64]) -> float:
    """The share of strange words from which a window is more strange than not, from those of a language's windows.

    The usual share is the lowest peak of their density that has enough of them below the next valley: strange windows
    are half of them at most, and a peak of fewer is of copies, for which others vouch. Where another peak stands beyond
    a deep valley, the middle between both is the bound, else a distance from what is usual.
    """
    values = np.sort(shares)
    first, third = np.quantile(values, (0.25, 0.75))
    width = max(_DENSITY_WIDTH, 1.06 * (third - first) / 1.34 * len(values) ** -0.2)  # Silverman 1986, section 3.4.2
    grid = np.linspace(0, 1, 201)
    density = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2).sum(axis=1)
    around = np.concatenate([[-1.0], density, [-1.0]])
    peaks = np.flatnonzero((density >= around[:-2]) & (density > around[2:])).tolist()
    valleys = [low + int(np.argmin(density[low:high])) for low, high in pairwise(peaks)]
    below = [*np.searchsorted(values, grid[valleys]).tolist(), len(values)]
    place = next(place for place, count in enumerate(below) if count >= _SOUND_LEAST * len(values))
    usual = peaks[place]
    if place < len(valleys):
        other = max(peaks[place + 1 :], key=lambda peak: float(density[peak]))
        valley = usual + int(np.argmin(density[usual:other]))
        deep = density[valley] <= _VALLEY * min(density[usual], density[other])
        enough = (values >= grid[valley]).mean() >= _STRANGE_LEAST
        if deep and enough and grid[other] - grid[usual] >= _PARTED_LEAST:
            return float(grid[usual] + grid[other]) / 2
    centre = float(np.median(values[values <= grid[usual] + _STRANGE_BEYOND]))
    spread = float(np.sqrt(np.mean((values[values <= centre] - centre) ** 2)))
    return centre + max(_STRANGE_BEYOND, _STRANGE_SPREADS * spread)
