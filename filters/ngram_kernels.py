"""The kernels of n-gram models: hash tables, the estimate's passes over sorted n-grams, and scoring.

**A table** holds the n-grams of one order in buckets of eight uint64, one cache line: four keys, then four pairs of
float32 (log10 of probability and of backoff weight). The number of a key, 4 * bucket + place, is its *slot*. A full
bucket overflows into the next. A word's key is its hash (or any other number); that of a longer n-gram is made of the
slot of the n-gram without its first word, and the slot of that word: `slot << 32 | word`. So keys are exact.

**A level** of the estimate holds all n-grams of one order, sorted by their last word, then the last but one, and so
on. Each is the index of its suffix in the level below, and its first word. The suffixes of neighbours are neighbours,
and n-grams of one suffix are sorted by first word.

Words are numbered; 0, 1 and 2 are <unk>, <s> and </s>. In packed n-grams 0 stands for what is before <s>.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.segmentation import mixed

UNKNOWN, BEGIN, END = 0, 1, 2
RESERVED = 3
"""Ids and keys below this are markers; those of words begin here."""
ABSENT = np.uint32(0xFFFFFFFF)
"""No slot."""
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""No key."""
WORD_BITS = 25
"""Bits of a word's number in a packed n-gram: five fill 125 of 128 bits."""
PLACES = 4
BUCKET = 8
"""Keys in a bucket, and its length in uint64."""
_PLACE_BITS = 2
BLOCK = 2048
"""Positions scored at a time: what is kept of them stays in the first and second cache."""

_ABSENT, _EMPTY, _WORD_BITS, _PLACES, _BUCKET, _BLOCK = ABSENT, EMPTY, WORD_BITS, PLACES, BUCKET, BLOCK
_UNKNOWN, _BEGIN, _END, _WORD = UNKNOWN, BEGIN, END, WORD
_MASK = (1 << WORD_BITS) - 1


@inlined
def home_of(key: np.uint64, buckets: int) -> int:
    """The bucket that a key belongs to."""
    return int64(((mixed(key) >> uint64(32)) * uint64(buckets)) >> uint64(32))


@inlined
def key_of(suffix: np.uint32, word: np.uint32) -> np.uint64:
    """The key of an n-gram: the slots of its suffix and of its first word."""
    return (uint64(suffix) << uint64(32)) | uint64(word)


@kernel
def found_after(keys: NDArray[np.uint64], base: int, buckets: int, key: np.uint64) -> np.uint32:
    """The slot of `key` in the table at `base`, searched behind its own bucket, or ABSENT."""
    bucket = uint64(home_of(key, buckets))
    for _ in range(buckets):
        bucket = bucket + uint64(1) if bucket + uint64(1) < uint64(buckets) else uint64(0)
        for place in range(_PLACES):
            there = keys[uint64(base) + bucket * uint64(_BUCKET) + uint64(place)]
            if there == key:
                return uint32(bucket * uint64(_PLACES) + uint64(place))
            if there == uint64(_EMPTY):
                return uint32(_ABSENT)
    return uint32(_ABSENT)


@inlined
def value_of(base: int, slot: np.uint32) -> int:
    """Where the two logarithms of a slot stand among the float32 of the tables."""
    return 2 * (base + int64(slot >> uint32(_PLACE_BITS)) * _BUCKET + _PLACES + int64(slot & uint32(_PLACES - 1)))


@kernel
def put(keys: NDArray[np.uint64], base: int, buckets: int, key: np.uint64) -> np.uint32:
    """Puts a key into the table at `base`, which has room; returns its slot, or ABSENT if it was there already."""
    bucket = home_of(key, buckets)
    place = 0
    while keys[base + bucket * _BUCKET + place] != uint64(_EMPTY):
        if keys[base + bucket * _BUCKET + place] == key:
            return uint32(_ABSENT)
        place += 1
        if place == _PLACES:
            place = 0
            bucket = bucket + 1 if bucket + 1 < buckets else 0
    keys[base + bucket * _BUCKET + place] = key
    return uint32(bucket * _PLACES + place)


@kernel
def insert(
    keys: NDArray[np.uint64], base: int, buckets: int, new: NDArray[np.uint64], slots: NDArray[np.uint32]
) -> int:
    """Puts different keys into the table at `base`, which has room; their slots go to `slots`.

    Returns how many were put: fewer than all if one was there already.
    """
    for index in range(new.shape[0]):
        slots[index] = put(keys, base, buckets, new[index])
        if slots[index] == uint32(_ABSENT):
            return index
    return new.shape[0]


@kernel
def number_words(
    hashes: NDArray[np.uint64],
    table: NDArray[np.uint64],
    numbers: NDArray[np.uint32],
    known: int,
    most: int,
    ids: NDArray[np.uint32],
    news: NDArray[np.int32],
) -> tuple[int, int]:
    """Numbers words by their first appearance, with a table of a power of two of places.

    `ids` gets each word's number, `news` where in `hashes` new ones appeared. Returns how many words were numbered,
    fewer than all when `most` are known, and how many of them were new.
    """
    mask = uint64(table.shape[0] - 1)
    fresh = 0
    for word in range(hashes.shape[0]):
        key = hashes[word]
        place = mixed(key) & mask
        while table[place] != key and table[place] != uint64(_EMPTY):
            place = (place + uint64(1)) & mask
        if table[place] != key:
            if known + fresh == most:
                return word, fresh
            table[place] = key
            numbers[place] = uint32(known + fresh)
            news[fresh] = word
            fresh += 1
        ids[word] = numbers[place]
    return hashes.shape[0], fresh


@kernel
def pack(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    order: int,
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
) -> int:
    """The n-gram that ends at each word and at each sentence's end, as 128 bits: the last word highest.

    `ids` of sentence s are `offsets[s]` to `offsets[s + 1]`. Returns the number of n-grams: words + sentences.
    """
    shift = uint64(_WORD_BITS)
    window = np.zeros(order, np.uint64)  # the last word first
    count = 0
    for sentence in range(offsets.shape[0] - 1):
        window[:] = uint64(_UNKNOWN)
        window[0] = uint64(_BEGIN)
        for position in range(offsets[sentence], offsets[sentence + 1] + 1):
            for word in range(order - 1, 0, -1):
                window[word] = window[word - 1]
            window[0] = uint64(ids[position]) if position < offsets[sentence + 1] else uint64(_END)
            above = below = uint64(0)
            for word in range(order):
                above = (above << shift) | (below >> (uint64(64) - shift))
                below = (below << shift) | window[word]
            high[count] = above
            low[count] = below
            count += 1
    return count


@kernel
def sort_n_grams(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    counts: NDArray[np.int64],
    other_high: NDArray[np.uint64],
    other_low: NDArray[np.uint64],
    other_counts: NDArray[np.int64],
) -> bool:
    """Sorts packed n-grams with their counts, byte by byte from the lowest; equal ones keep their order.

    Returns whether they end in the other arrays, which are as long. numpy.lexsort takes five times as long.
    """
    frequencies = np.zeros((16, 256), np.int64)
    for index in range(high.shape[0]):
        below, above = low[index], high[index]
        for digit in range(8):
            frequencies[digit, below & uint64(255)] += 1
            frequencies[digit + 8, above & uint64(255)] += 1
            below >>= uint64(8)
            above >>= uint64(8)
    moved = False
    for digit in range(16):
        places = frequencies[digit]
        if places.max() == high.shape[0]:
            continue  # all have the same
        total = int64(0)
        for value in range(256):
            total += places[value]
            places[value] = total - places[value]
        if moved:
            move_by_digit(digit, places, other_high, other_low, other_counts, high, low, counts)
        else:
            move_by_digit(digit, places, high, low, counts, other_high, other_low, other_counts)
        moved = not moved
    return moved


@kernel
def move_by_digit(
    digit: int,
    places: NDArray[np.int64],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    counts: NDArray[np.int64],
    to_high: NDArray[np.uint64],
    to_low: NDArray[np.uint64],
    to_counts: NDArray[np.int64],
) -> None:
    """Moves n-grams to where `places` says that those with each value of a byte begin."""
    shift = uint64(8 * (digit & 7))
    for index in range(high.shape[0]):
        half = high[index] if digit >= 8 else low[index]
        value = (half >> shift) & uint64(255)
        place = places[value]
        places[value] += 1
        to_high[place] = high[index]
        to_low[place] = low[index]
        to_counts[place] = counts[index]


@kernel
def merge_equal(high: NDArray[np.uint64], low: NDArray[np.uint64], counts: NDArray[np.int64]) -> int:
    """Adds the counts of equal neighbours, in place; returns how many are left."""
    last = -1
    for index in range(high.shape[0]):
        if last >= 0 and high[index] == high[last] and low[index] == low[last]:
            counts[last] += counts[index]
        else:
            last += 1
            high[last], low[last], counts[last] = high[index], low[index], counts[index]
    return last + 1


@kernel
def unfold(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    counts: NDArray[np.int64],
    order: int,
    rare: NDArray[np.bool_],
    prune: NDArray[np.int64],
    continuations: NDArray[np.int64],
    window: NDArray[np.int64],
    state: NDArray[np.int64],
    suffixes: NDArray[np.uint32],
    words: NDArray[np.uint32],
    adjusted: NDArray[np.uint32],
    kept: NDArray[np.bool_],
    written: NDArray[np.int64],
) -> None:
    """Makes levels 2 to `order` from sorted n-grams of the highest order, one block of them after another.

    What an n-gram is counted as (Kneser & Ney 1995): how often it occurs, at the highest order and where it begins a
    sentence; else how many different words come before it. n-grams that occur no more than `prune[n]` times or hold a
    rare word are not kept. An empty block at the end closes what is open.

    window      int64[order]: the words of the n-gram before, last first; -1 before the first block
    state       int64[order + 1, 4]: of the open n-gram of each order, its index, suffix, occurrences and left words
    continuations   int64[words]: the counts of single words, added to
    suffixes, words, adjusted, kept   [order + 1, block + 1]: the n-grams that were closed
    written     int64[order + 1]: how many of each order
    """
    shift, mask = uint64(_WORD_BITS), uint64(_MASK)
    now = np.empty(order, np.int64)
    written[:] = 0
    n_grams = high.shape[0]
    for index in range(max(n_grams, 1)):
        common = 0
        if n_grams:
            above, below = high[index], low[index]
            for word in range(order - 1, -1, -1):
                now[word] = int64(below & mask)
                below = (below >> shift) | (above << (uint64(64) - shift))
                above >>= shift
            while common < order and now[common] == window[common]:
                common += 1
        else:
            now[:] = -1
        for n in range(order, max(common, 1), -1):
            first = window[n - 1]
            if window[0] < 0 or first == _UNKNOWN:
                continue
            place = written[n]
            occurrences = state[n, 2]
            counted = occurrences if n == order or first == _BEGIN else state[n, 3]
            whole = occurrences > prune[n]
            for word in range(n):
                whole = whole and not rare[window[word]]
            suffixes[n, place] = uint32(state[n, 1])
            words[n, place] = uint32(first)
            adjusted[n, place] = uint32(min(counted, int64(_ABSENT)))
            kept[n, place] = whole
            written[n] += 1
            state[n, 0] += 1
        if not n_grams:
            break
        for n in range(2, order + 1):
            if now[n - 1] == _UNKNOWN:
                break
            if n > common:
                state[n, 1] = now[0] if n == 2 else state[n - 1, 0]
                state[n, 2] = state[n, 3] = 0
                if n == 2:
                    continuations[now[0]] += 1
                else:
                    state[n - 1, 3] += 1
            state[n, 2] += counts[index]
        window[:] = now
    if not n_grams:
        window[:] = -1


@kernel
def find_contexts(
    suffixes: NDArray[np.uint32],
    words: NDArray[np.uint32],
    contexts_below: NDArray[np.uint32],
    firsts: NDArray[np.int64],
    words_below: NDArray[np.uint32],
    contexts: NDArray[np.uint32],
) -> None:
    """For each n-gram of a level, the index in the level below of the n-gram without its last word.

    That one has the same first word, and its suffix is the context of our suffix. `firsts[i]` is where the n-grams
    with suffix i begin in the level below.
    """
    low = high = int64(0)
    for index in range(words.shape[0]):
        if index == 0 or suffixes[index] != suffixes[index - 1]:
            parent = contexts_below[suffixes[index]]
            low, high = firsts[parent], firsts[int64(parent) + 1]
        word = words[index]
        upper = high
        while low < upper:
            middle = (low + upper) >> 1
            if words_below[middle] < word:
                low = middle + 1
            else:
                upper = middle
        contexts[index] = uint32(low)


@kernel
def add_masses(
    contexts: NDArray[np.uint32],
    adjusted: NDArray[np.uint32],
    kept: NDArray[np.bool_],
    discounts: NDArray[np.float64],
    totals: NDArray[np.float64],
    freed: NDArray[np.float64],
) -> None:
    """Adds to each context the counts of its n-grams, and what of them goes to the lower order.

    That is the discount of those that are kept (`discounts[count]`, the last from 3 on), and all of the others.
    """
    for index in range(contexts.shape[0]):
        count = adjusted[index]
        totals[contexts[index]] += count
        freed[contexts[index]] += discounts[min(int64(count), 3)] if kept[index] else float(count)


@kernel
def interpolate(
    suffixes: NDArray[np.uint32],
    contexts: NDArray[np.uint32],
    adjusted: NDArray[np.uint32],
    kept: NDArray[np.bool_],
    discounts: NDArray[np.float64],
    totals: NDArray[np.float64],
    backoffs: NDArray[np.float64],
    lower: NDArray[np.float64],
    probabilities: NDArray[np.float64],
) -> None:
    """The probabilities of a level's kept n-grams from those of the level below; the others get none."""
    for index in range(contexts.shape[0]):
        context = contexts[index]
        if kept[index]:
            count = adjusted[index]
            own = (count - discounts[min(int64(count), 3)]) / totals[context]
            probabilities[index] = own + backoffs[context] * lower[suffixes[index]]
        else:
            probabilities[index] = 0.0


@kernel
def count_suffixes(suffixes: NDArray[np.uint32], firsts: NDArray[np.int64]) -> None:
    """Where the n-grams with each suffix begin in a level: `firsts`, zeros before, is one longer than the suffixes."""
    for index in range(suffixes.shape[0]):
        firsts[int64(suffixes[index]) + 1] += 1
    for suffix in range(1, firsts.shape[0]):
        firsts[suffix] += firsts[suffix - 1]


@kernel
def share(totals: NDArray[np.float64], backoffs: NDArray[np.float64]) -> None:
    """Makes backoff weights of the masses that go to the lower order: 1 for what is no context."""
    for index in range(totals.shape[0]):
        backoffs[index] = backoffs[index] / totals[index] if totals[index] > 0 else 1.0


@kernel
def insert_level(
    suffixes: NDArray[np.uint32],
    words: NDArray[np.uint32],
    kept: NDArray[np.bool_],
    slots_below: NDArray[np.uint32],
    word_slots: NDArray[np.uint32],
    base: int,
    buckets: int,
    keys: NDArray[np.uint64],
    slots: NDArray[np.uint32],
) -> None:
    """Puts the kept n-grams of a level into their table, which has room; `slots` gets where, or ABSENT."""
    for index in range(suffixes.shape[0]):
        slots[index] = uint32(_ABSENT)
        if kept[index]:
            key = key_of(slots_below[suffixes[index]], word_slots[words[index]])
            slots[index] = put(keys, base, buckets, key)


@kernel
def fill(
    slots: NDArray[np.uint32],
    probabilities: NDArray[np.float64],
    backoffs: NDArray[np.float64],
    base: int,
    values: NDArray[np.float32],
) -> None:
    """Writes the logarithms of an order's n-grams into the table at `base`."""
    for index in range(slots.shape[0]):
        slot = slots[index]
        if slot != uint32(_ABSENT):
            place = value_of(base, slot)
            values[place] = np.log10(probabilities[index])
            values[place + 1] = np.log10(backoffs[index])


@kernel
def find_sentences(
    text: NDArray[np.uint8],
    firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    words: NDArray[np.int32],
    offsets: NDArray[np.int64],
    sentence_firsts: NDArray[np.int64],
) -> tuple[int, int]:
    """Lists the words of lines that have some; a run of one sign (`-----`) is one word.

    `keys` gets their hashes, `words` their places among the batch's words, `offsets` the first of each line (and,
    behind the last, how many words there are), `sentence_firsts` the first line of each document. Returns how many
    words and lines there are.
    """
    count = sentences = 0
    for document in range(firsts.shape[0] - 1):
        sentence_firsts[document] = sentences
        for word in range(firsts[document], firsts[document + 1]):
            begins = word == firsts[document]
            if not begins:
                if ends[word - 1] == starts[word]:
                    if hashes[word] == hashes[word - 1] and not kinds[word] & _WORD:
                        continue
                else:
                    for place in range(ends[word - 1], starts[word]):
                        if text[place] == 0x0A:
                            begins = True
                            break
            if begins:
                offsets[sentences] = count
                sentences += 1
            keys[count] = hashes[word]
            words[count] = word
            count += 1
    sentence_firsts[firsts.shape[0] - 1] = sentences
    offsets[sentences] = count
    return count, sentences


@kernel
def weave(keys: NDArray[np.uint64], offsets: NDArray[np.int64], woven: NDArray[np.uint64]) -> None:
    """The keys of sentences with <s> before and </s> after each: words + 2 * sentences."""
    place = 0
    for sentence in range(offsets.shape[0] - 1):
        woven[place] = uint64(_BEGIN)
        place += 1
        for word in range(offsets[sentence], offsets[sentence + 1]):
            woven[place] = keys[word]
            place += 1
        woven[place] = uint64(_END)
        place += 1


@kernel
def score(
    woven: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    values: NDArray[np.float32],
    bases: NDArray[np.int64],
    buckets: NDArray[np.int64],
    unknown: np.uint32,
    scores: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> None:
    """log10 of each word's probability after the words before it in its sentence, and whether the model has the word.

    One order after another over a block of positions: first all that is to be found is listed, then it is looked up,
    so that many reads of memory are under way at once. `keys` and `values` are one buffer, seen twice; the table of
    order n begins at `bases[n]`.
    """
    order = bases.shape[0] - 1
    words = np.zeros(_BLOCK + order, np.uint32)  # slots of single words; those of the block begin at `order`
    slots = np.full(_BLOCK + 1, uint32(_ABSENT), np.uint32)  # of the n-gram that ends there; the first: block before
    weights = np.zeros(_BLOCK + 1, np.float32)  # its backoff weight
    last_slots = np.full(order + 1, uint32(_ABSENT), np.uint32)
    last_weights = np.zeros(order + 1, np.float32)
    wanted, waiting = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    sought = np.empty(_BLOCK, np.uint64)
    answers = np.empty(_BLOCK, np.uint32)
    for start in range(0, woven.shape[0], _BLOCK):
        size = min(_BLOCK, woven.shape[0] - start)
        sought[:size] = woven[start : start + size]
        look_up(sought, size, keys, bases[1], buckets[1], waiting, answers)
        for index in range(size):
            slot = answers[index]
            known[start + index] = slot != uint32(_ABSENT)
            slot = unknown if slot == uint32(_ABSENT) else slot
            value = value_of(bases[1], slot)
            words[order + index] = slots[index + 1] = slot
            scores[start + index] = values[value]
            weights[index + 1] = values[value + 1]
        for n in range(2, order + 1):
            # From the right, since what the left neighbour has is needed before it is overwritten.
            slots[0], weights[0] = last_slots[n - 1], last_weights[n - 1]
            last_slots[n - 1], last_weights[n - 1] = slots[size], weights[size]
            count = 0
            for index in range(size, 0, -1):
                scores[start + index - 1] += weights[index - 1]
                wanted[count] = index
                sought[count] = key_of(slots[index], words[order + index - n])
                count += int64((slots[index] != uint32(_ABSENT)) & (slots[index - 1] != uint32(_ABSENT)))
                slots[index] = uint32(_ABSENT)
                weights[index] = float32(0)
            look_up(sought, count, keys, bases[n], buckets[n], waiting, answers)
            for candidate in range(count):
                slot, index = answers[candidate], wanted[candidate]
                there = slot != uint32(_ABSENT)
                value = value_of(bases[n], slot if there else uint32(0))
                slots[index] = slot
                scores[start + index - 1] = values[value] if there else scores[start + index - 1]
                weights[index] = values[value + 1] if there else float32(0)
        last_slots[order], last_weights[order] = slots[size], weights[size]
        words[:order] = words[size : size + order].copy()


@kernel
def look_up(
    sought: NDArray[np.uint64],
    count: int,
    keys: NDArray[np.uint64],
    base: int,
    buckets: int,
    waiting: NDArray[np.int64],
    answers: NDArray[np.uint32],
) -> None:
    """The slots of the first `count` keys in the table at `base`, ABSENT for those that are not there.

    In the loop that reads, no branch and no address of a write depends on what was read, so that the processor need not
    wait for one read before it begins the next (45 -> 13 ns a key in a table of 17 MB). What is not in a full bucket of
    its own is looked for further on.
    """
    for index in range(count):
        answers[index] = uint32(home_of(sought[index], buckets))
    for index in range(count):
        key = sought[index]
        slot = uint64(answers[index]) * uint64(_PLACES)
        place = uint64(base) + slot * uint64(_BUCKET // _PLACES)
        first, second, third = keys[place], keys[place + uint64(1)], keys[place + uint64(2)]
        fourth = keys[place + uint64(3)]
        # In a full bucket without the key: one less than ABSENT, which is no slot either.
        answer = uint64(_ABSENT) - uint64(fourth != uint64(_EMPTY))
        answer = slot if first == key else answer
        answer = slot + uint64(1) if second == key else answer
        answer = slot + uint64(2) if third == key else answer
        answer = slot + uint64(3) if fourth == key else answer
        answers[index] = uint32(answer)
    left = 0
    for index in range(count):
        waiting[left] = index
        left += int64(answers[index] == uint32(_ABSENT) - uint32(1))
    for turn in range(left):
        index = waiting[turn]
        answers[index] = found_after(keys, base, buckets, sought[index])


@kernel
def add_sentences(
    scores: NDArray[np.float32],
    known: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    firsts: NDArray[np.int64],
    sums: NDArray[np.float64],
    unknown: NDArray[np.int64],
) -> None:
    """Adds up the log10 probabilities and the unknown words of each document, whose sentences are those from
    `firsts[d]` on."""
    for document in range(firsts.shape[0] - 1):
        total = 0.0
        missing = 0
        for sentence in range(firsts[document], firsts[document + 1]):
            begin = offsets[sentence] + 2 * sentence
            end = offsets[sentence + 1] + 2 * (sentence + 1)
            for place in range(begin + 1, end):
                total += scores[place]
                missing += not known[place]
        sums[document] = total
        unknown[document] = missing
