"""What fastText does with a text, over a batch's buffer: tokens, rows of the input matrix, their mean, and the scores.

After Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" (EACL), and the code of fastText 0.9.2
(`dictionary.cc`, `loss.cc`), whose hash functions and order of operations a model depends on. A token is what stands
between ASCII white space. Its features are its own row if the dictionary has it, the rows of its character n-grams,
and those of the word n-grams that it ends; the end of the text is one more token, `</s>`.

Differs from fastText: a newline is white space like any other, since a document is one text (fastText stops at the
first); a probability is at most 1 (fastText's smoothing goes up to 1.0002); a token's rows are added up before they are
added to the text's, which rounds the sums of long texts less (whole books: probabilities differ by 2e-5).

Three things make it fast. The features of a token are summed once and kept in a direct-mapped cache, because most
tokens of a batch have been seen in it. Rows of n-grams are listed first and added later, so that nothing waits for a
branch or for memory. And where there are fewer labels than dimensions, the rows have already been multiplied by the
output matrix (fasttext_model.py), so that there is less to add for each of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import float32, int32, int64, uint8, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import add_sixteen, inlined, kernel, ones

HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
"""Losses, as files number them. Only the first and the third share one probability out among the labels."""

_SMOOTHING = 1e-5  # added to what fastText takes the logarithm of
_TABLE_SIZE, _TABLE_BOUND = 512, 8  # fastText's table of the logistic function: steps, and where it ends
_MAX_SLOTS, _MIN_SLOTS = 1 << 15, 1 << 8  # of the cache of tokens
_CACHE_BYTES = 1 << 24  # which its sums may take; the machine that this was tried on shares 32 MB of L3
_LANES = 16
_ROOM = 448  # rows that are listed before they are added
MAX_SUBWORD = 64
"""Longest character or word n-gram that a model may ask for."""
_LABEL = (0x5F, 0x5F, 0x6C, 0x61, 0x62, 0x65, 0x6C, 0x5F, 0x5F)  # __label__
_HASH_SEED, _CHAIN_FACTOR = 2166136261, 116049371
_END_HASH = 3617362777  # of </s>


class Features(NamedTuple):
    """How tokens become rows. Arrays are read-only; `unaligned` float arrays may lie anywhere in a mapped file.

    keys        uint64[2^k]          `key` of each word and label of the dictionary, at its place or after; 0 is free
    ids         int32[2^k]           its number; labels come after the words
    words       int                  how many words there are
    end         int                  number of `</s>`; -1 if the dictionary lacks it
    shortest    int                  of character n-grams, in characters
    longest     int                  the same; 0 for none
    word_ngrams int                  longest word n-gram
    buckets     int                  n-grams are hashed into so many; 0 if none has a row
    held        uint64[buckets / 64] which buckets a pruned model still has rows for; empty if it has all
    before      int32[buckets / 64]  how many such buckets stand before each 64
    rows        float32[rows, width] unaligned; empty where the model stays quantised
    codes       uint8[rows, parts]   centroids of each row's parts; empty if `rows` is not
    centroids   float32[parts, 256, part's width]
    gains       float32[rows]        what a row of centroids is multiplied by
    """

    keys: NDArray[np.uint64]
    ids: NDArray[np.int32]
    words: int
    end: int
    shortest: int
    longest: int
    word_ngrams: int
    buckets: int
    held: NDArray[np.uint64]
    before: NDArray[np.int32]
    rows: NDArray[np.float32]
    codes: NDArray[np.uint8]
    centroids: NDArray[np.float32]
    gains: NDArray[np.float32]


class Scorer(NamedTuple):
    """How the mean of a text's rows becomes probabilities.

    output      float32[width, labels]   the output matrix, transposed; no rows if it is in the input's rows already
    loss        int                      one of the four above
    lefts       int32[2 * labels - 1]    Huffman tree of the hierarchical softmax: labels, then inner nodes, the root
    rights      int32[2 * labels - 1]      last; children, -1 for a label
    turns       int32[labels]            place of a label from left to right
    """

    output: NDArray[np.float32]
    loss: int
    lefts: NDArray[np.int32]
    rights: NDArray[np.int32]
    turns: NDArray[np.int32]


@inlined
def hashed(value: np.uint32, byte: np.uint8) -> np.uint32:
    """One more byte in fastText's hash, which is FNV-1a but for taking bytes as signed."""
    signed = uint32(byte) | uint32((uint32(0) - uint32(byte >> 7)) << uint32(8))
    return uint32(uint64(value ^ signed) * uint64(16777619))


@inlined
def keyed(value: np.uint64, byte: np.uint8) -> np.uint64:
    """One more byte in the 64-bit hash by which tokens are found."""
    return (value ^ uint64(byte)) * uint64(0x9FB21C651E98DF25)


@inlined
def key_of(value: np.uint64) -> np.uint64:
    """The key of a token that was hashed to its end; never 0."""
    value ^= value >> uint64(32)
    value *= uint64(0xD6E8FEB86659FD93)
    return (value ^ (value >> uint64(32))) | uint64(1)


@inlined
def is_space(byte: np.uint8) -> bool:
    """What ends a token: space, \\t, \\n, \\v, \\f, \\r and \\0."""
    return bool(byte <= 0x20 and (byte == 0x20 or (byte >= 0x09 and byte <= 0x0D) or byte == 0))


@kernel
def find_entries(
    file: NDArray[np.uint8], start: int, starts: NDArray[np.int64], ends: NDArray[np.int64], labels: NDArray[np.bool_]
) -> int:
    """Where the words of a dictionary stand: each ends in \\0, and has a count (8 bytes) and a type (1 byte).

    Returns the position after the last, or -1 if the file ends before.
    """
    position = start
    for entry in range(starts.shape[0]):
        starts[entry] = position
        while position < file.shape[0] and file[position] != 0:
            position += 1
        ends[entry] = position
        position += 10
        if position > file.shape[0]:
            return -1
        labels[entry] = file[position - 1] != 0
    return position


@kernel
def index_entries(
    file: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    keys: NDArray[np.uint64],
    ids: NDArray[np.int32],
) -> int:
    """Fills the hash table of `Features`; of equal entries the last is found. Returns the number of `</s>`, or -1."""
    mask = uint64(keys.shape[0] - 1)
    end = -1
    for entry in range(starts.shape[0]):
        value = uint64(0)
        for position in range(starts[entry], ends[entry]):
            value = keyed(value, file[position])
        key = key_of(value)
        place = key >> uint64(1) & mask
        while keys[place] != 0 and keys[place] != key:
            place = (place + uint64(1)) & mask
        keys[place] = key
        ids[place] = entry
        if is_end(file, starts[entry], ends[entry]):
            end = entry
    return end


@inlined
def is_end(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether `text[start:end]` is `</s>`, fastText's word for the end of a text."""
    return (
        end - start == 4
        and text[start] == 0x3C
        and text[start + 1] == 0x2F
        and text[start + 2] == 0x73
        and text[start + 3] == 0x3E
    )


@kernel
def begins_label(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether `text[start:end]` begins with `__label__`."""
    if end - start < len(_LABEL):
        return False
    same = True
    for place in range(len(_LABEL)):
        same &= text[start + place] == _LABEL[place]
    return same


@kernel
def number_of(key: np.uint64, keys: NDArray[np.uint64], ids: NDArray[np.int32]) -> int:
    """The dictionary's number of a token; -1 if it lacks it."""
    mask = uint64(keys.shape[0] - 1)
    place = key >> uint64(1) & mask
    while keys[place] != 0:
        if keys[place] == key:
            return ids[place]
        place = (place + uint64(1)) & mask
    return -1


@inlined
def with_bucket(
    bucket: np.uint32,
    words: int,
    held: NDArray[np.uint64],
    before: NDArray[np.int32],
    found: NDArray[np.int32],
    n_found: int,
) -> int:
    """Lists the row of a bucket, and returns how many are listed now: no more than before if it was pruned.

    Without a branch, since none could be foreseen: 41 → 56 MB/s with lid.176.ftz.
    """
    if held.shape[0] == 0:
        found[n_found] = words + int64(bucket)
        return n_found + 1
    block = bucket >> uint32(6)
    bits = held[block]
    place = uint64(bucket & uint32(63))
    found[n_found] = words + before[block] + ones(bits & ((uint64(1) << place) - uint64(1)))
    return n_found + int64((bits >> place) & uint64(1))


@inlined
def add(values: NDArray[np.float32], row: int, sums: NDArray[np.float32], at: int) -> None:
    """Adds `values[row]` to `sums[at]`."""
    if sums.shape[1] == 2:  # most quality models have two labels: 65 → 87 MB/s
        sums[at, 0] += values[row, 0]
        sums[at, 1] += values[row, 1]
        return
    whole = sums.shape[1] - sums.shape[1] % _LANES
    for block in range(0, whole, _LANES):
        add_sixteen(values, row, sums, at, block)
    for place in range(whole, sums.shape[1]):
        sums[at, place] += values[row, place]


@kernel
def add_rows(
    found: NDArray[np.int32],
    n_found: int,
    rows: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    gains: NDArray[np.float32],
    sums: NDArray[np.float32],
    at: int,
) -> None:
    """Adds the rows `found[:n_found]` of the input matrix to `sums[at]`."""
    for index in range(n_found):
        row = int64(found[index])
        if codes.shape[0] == 0:
            add(rows, row, sums, at)
        else:
            length = centroids.shape[2]
            for part in range(codes.shape[1]):
                code = codes[row, part]
                for place in range(length):
                    sums[at, part * length + place] += gains[row] * centroids[part, code, place]


@kernel
def add_subwords(
    word: NDArray[np.uint8],
    size: int,
    shortest: int,
    longest: int,
    buckets: np.uint32,
    words: int,
    held: NDArray[np.uint64],
    before: NDArray[np.int32],
    rows: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    gains: NDArray[np.float32],
    found: NDArray[np.int32],
    sums: NDArray[np.float32],
    at: int,
) -> int:
    """Adds the rows of the character n-grams of `word[:size]`, which stands in `<` and `>`, to `sums[at]`.

    A single `<` or `>` is none. Returns how many there were. `found` is room for over MAX_SUBWORD rows.
    """
    added = n_found = 0
    union = uint8(0)
    for place in range(size):
        union |= word[place]
    plain = union < 0x80  # a byte is a character, and there is less to ask of it: 35 → 43 MB/s on an empty cache
    for start in range(size):
        if word[start] & 0xC0 == 0x80:
            continue
        value = uint32(_HASH_SEED)
        if plain:
            for length in range(1, min(longest, size - start) + 1):
                value = hashed(value, word[start + length - 1])
                if length >= shortest and (length > 1 or (start > 0 and start + 1 < size)):
                    n_found = with_bucket(uint32(value % buckets), words, held, before, found, n_found)
        else:
            end = start
            length = 0
            while end < size and length < longest:
                value = hashed(value, word[end])
                end += 1
                while end < size and word[end] & 0xC0 == 0x80:
                    value = hashed(value, word[end])
                    end += 1
                length += 1
                if length >= shortest and not (length == 1 and (start == 0 or end == size)):
                    n_found = with_bucket(uint32(value % buckets), words, held, before, found, n_found)
        if n_found >= found.shape[0] - MAX_SUBWORD:
            add_rows(found, n_found, rows, codes, centroids, gains, sums, at)
            added += n_found
            n_found = 0
    add_rows(found, n_found, rows, codes, centroids, gains, sums, at)
    return added + n_found


@kernel
def add_token(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    number: int,
    word: NDArray[np.uint8],
    shortest: int,
    longest: int,
    buckets: np.uint32,
    words: int,
    held: NDArray[np.uint64],
    before: NDArray[np.int32],
    rows: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    gains: NDArray[np.float32],
    found: NDArray[np.int32],
    sums: NDArray[np.float32],
    at: int,
) -> int:
    """Adds all rows of the token `text[start:end]` to `sums[at]`, and returns how many there were.

    `number` is the dictionary's, or -1. A label is no feature: -1 instead of a count. `word` is room for the token and
    two bytes.
    """
    if number >= words or (number < 0 and begins_label(text, start, end)):
        return -1
    added = 0
    if number >= 0:
        found[0] = number
        add_rows(found, 1, rows, codes, centroids, gains, sums, at)
        added = 1
    if longest > 0 and buckets > 0:
        size = in_brackets(text, start, end, word)
        added += add_subwords(
            word, size, shortest, longest, buckets, words, held, before, rows, codes, centroids, gains, found, sums, at
        )
    return added


@kernel
def word_ngram_rows(
    hash_value: np.uint32,
    chains: NDArray[np.uint64],
    chained: int,
    buckets: np.uint32,
    words: int,
    held: NDArray[np.uint64],
    before: NDArray[np.int32],
    found: NDArray[np.int32],
    n_found: int,
) -> int:
    """Lists the rows of the word n-grams that end in a word of this hash, and returns how many are listed now.

    `chains[n]` is the hash of the last n + 1 words; the first `chained` are filled, and are brought up to date.
    """
    signed = uint64(int64(int32(hash_value)))
    for length in range(chained - 1, -1, -1):
        value = chains[length] * uint64(_CHAIN_FACTOR) + signed
        n_found = with_bucket(uint32(value % uint64(buckets)), words, held, before, found, n_found)
        if length + 1 < chains.shape[0]:
            chains[length + 1] = value
    if chains.shape[0] > 0:
        chains[0] = signed
    return n_found


def empty_cache(width: int) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.float32]]:
    """A cache of tokens for `embed`, which may go from batch to batch, but not to another model or thread."""
    slots = _MAX_SLOTS
    while slots > _MIN_SLOTS and slots * width * 4 > _CACHE_BYTES:
        slots //= 2
    return np.zeros(slots, np.uint64), np.empty(slots, np.int32), np.empty((slots, width), np.float32)


@kernel
def embed(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    features: Features,
    seen_keys: NDArray[np.uint64],
    seen_counts: NDArray[np.int32],
    seen_sums: NDArray[np.float32],
    sums: NDArray[np.float32],
    counts: NDArray[np.int32],
) -> None:
    """Sets each document's `sums` to the mean of its rows, and `counts` to how many these are.

    The cache of tokens has 2^k slots: a token's key, the number of its rows, and their sum.
    """
    # Whatever is taken out of a tuple of arrays costs an atomic count, so that is done once.
    words, buckets, held, before = features.words, uint32(features.buckets), features.held, features.before
    rows, codes, centroids, gains = features.rows, features.codes, features.centroids, features.gains
    keys, ids, shortest, longest = features.keys, features.ids, features.shortest, features.longest
    slots = seen_keys.shape[0]
    chains = np.empty(max(features.word_ngrams - 1, 0) if buckets > 0 else 0, np.uint64)
    found, waiting = np.empty(_ROOM + MAX_SUBWORD, np.int32), np.empty(_ROOM + MAX_SUBWORD, np.int32)
    word = np.empty(longest_text(offsets) + 2, np.uint8)
    for document in range(counts.shape[0]):
        sums[document, :] = float32(0.0)
        count = chained = n_waiting = 0
        position, last = offsets[document], offsets[document + 1]
        ended = False
        while not ended:
            while position < last and is_space(text[position]):
                position += 1
            start = position
            key_value, hash_value = uint64(0), uint32(_HASH_SEED)
            while position < last and not is_space(text[position]):
                key_value = keyed(key_value, text[position])
                hash_value = hashed(hash_value, text[position])
                position += 1
            key = key_of(key_value)
            ended = position == start or is_end(text, start, position)
            if ended:
                hash_value = uint32(_END_HASH)
                if features.end >= 0:
                    found[0] = features.end
                    add_rows(found, 1, rows, codes, centroids, gains, sums, document)
                    count += 1
            else:
                slot = int64(key >> uint64(1) & uint64(slots - 1))
                if seen_keys[slot] != key:
                    seen_keys[slot] = key
                    seen_sums[slot, :] = float32(0.0)
                    seen_counts[slot] = add_token(
                        text,
                        start,
                        position,
                        number_of(key, keys, ids),
                        word,
                        shortest,
                        longest,
                        buckets,
                        words,
                        held,
                        before,
                        rows,
                        codes,
                        centroids,
                        gains,
                        found,
                        seen_sums,
                        slot,
                    )
                if seen_counts[slot] < 0:
                    continue
                add(seen_sums, slot, sums, document)
                count += seen_counts[slot]
            if chains.shape[0] > 0:
                n_waiting = word_ngram_rows(
                    hash_value, chains, chained, buckets, words, held, before, waiting, n_waiting
                )
                chained = min(chained + 1, chains.shape[0])
                # Rows lie all over a large matrix: fetched one after another, they wait for memory together (35 → 87
                # MB/s with 2 million buckets).
                if ended or n_waiting >= _ROOM:
                    add_rows(waiting, n_waiting, rows, codes, centroids, gains, sums, document)
                    count += n_waiting
                    n_waiting = 0
        counts[document] = count
        if count > 0:
            sums[document, :] *= float32(1.0 / count)


@kernel
def longest_text(offsets: NDArray[np.int32]) -> int:
    """Bytes of the longest document."""
    longest = 0
    for document in range(offsets.shape[0] - 1):
        longest = max(longest, int64(offsets[document + 1] - offsets[document]))
    return longest


@kernel
def in_brackets(text: NDArray[np.uint8], start: int, end: int, word: NDArray[np.uint8]) -> int:
    """Writes `text[start:end]` into `word`, between `<` and `>`; returns its length there."""
    size = end - start
    word[0] = 0x3C
    for place in range(size):
        word[1 + place] = text[start + place]
    word[1 + size] = 0x3E
    return size + 2


@kernel
def set_logits(mean: NDArray[np.float32], scorer: Scorer, logits: NDArray[np.float32]) -> None:
    """Sets `logits` to the output matrix times the mean of a text's rows, or to the mean itself if that is it."""
    if scorer.output.shape[0] == 0:
        logits[:] = mean
        return
    logits[:] = float32(0.0)
    for place in range(scorer.output.shape[0]):
        factor = mean[place]
        for label in range(logits.shape[0]):
            logits[label] += factor * scorer.output[place, label]


@kernel
def logistic(logit: np.float32) -> float:
    """The logistic function by fastText's table."""
    if logit < -_TABLE_BOUND:
        return 0.0
    if logit > _TABLE_BOUND:
        return 1.0
    step = int((logit + float32(_TABLE_BOUND)) * float32(_TABLE_SIZE) / float32(_TABLE_BOUND) / float32(2.0))
    return 1.0 / (1.0 + math.exp(_TABLE_BOUND - 2.0 * _TABLE_BOUND * step / _TABLE_SIZE))


@kernel
def set_shares(logits: NDArray[np.float32], scorer: Scorer, shares: NDArray[np.float64]) -> None:
    """Sets `shares` to the probability of each label. Room of the hierarchical softmax: 2 * labels - 1; else labels."""
    labels = logits.shape[0]
    if scorer.loss == HIERARCHICAL_SOFTMAX:
        shares[2 * labels - 2] = 0.0
        for node in range(2 * labels - 2, labels - 1, -1):
            right = 1.0 / (1.0 + math.exp(-logits[node - labels]))
            shares[scorer.lefts[node]] = shares[node] + math.log(1.0 - right + _SMOOTHING)
            shares[scorer.rights[node]] = shares[node] + math.log(right + _SMOOTHING)
        for label in range(labels):
            shares[label] = math.exp(shares[label])
    elif scorer.loss == SOFTMAX:
        highest = logits.max()
        total = 0.0
        for label in range(labels):
            shares[label] = math.exp(logits[label] - highest)
            total += shares[label]
        for label in range(labels):
            shares[label] = shares[label] / total + _SMOOTHING
    else:
        for label in range(labels):
            shares[label] = logistic(logits[label]) + _SMOOTHING
    for label in range(labels):
        shares[label] = min(shares[label], 1.0)


@kernel
def best_leaf(
    logits: NDArray[np.float32], scorer: Scorer, nodes: NDArray[np.int32], scores: NDArray[np.float64]
) -> tuple[int, float]:
    """The most probable label of the hierarchical softmax, of several the rightmost, and its log probability.

    `nodes` and `scores` are a stack, with room for each label.
    """
    labels = logits.shape[0]
    best, highest = -1, -np.inf
    nodes[0], scores[0] = 2 * labels - 2, 0.0
    waiting = 1
    while waiting > 0:
        waiting -= 1
        node, score = nodes[waiting], scores[waiting]
        if score < highest:
            continue
        if node < labels:
            if best < 0 or score > highest or scorer.turns[node] > scorer.turns[best]:
                best, highest = node, score
            continue
        right = 1.0 / (1.0 + math.exp(-logits[node - labels]))
        to_left, to_right = score + math.log(1.0 - right + _SMOOTHING), score + math.log(right + _SMOOTHING)
        likelier = 1 if to_left < to_right else 0  # goes on top, so that less likely branches can be passed over
        nodes[waiting + 1 - likelier], scores[waiting + 1 - likelier] = scorer.lefts[node], to_left
        nodes[waiting + likelier], scores[waiting + likelier] = scorer.rights[node], to_right
        waiting += 2
    return best, highest


@kernel
def choose_labels(
    means: NDArray[np.float32],
    counts: NDArray[np.int32],
    scorer: Scorer,
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float64],
) -> None:
    """The most probable label of each document (of several the last) and its probability; -1 and 0 without features."""
    n_labels = scorer.turns.shape[0]
    logits, shares = np.empty(n_labels, np.float32), np.empty(2 * n_labels, np.float64)
    nodes = np.empty(n_labels + 1, np.int32)
    for document in range(counts.shape[0]):
        labels[document], probabilities[document] = -1, 0.0
        if counts[document] == 0:
            continue
        set_logits(means[document], scorer, logits)
        if scorer.loss == HIERARCHICAL_SOFTMAX:
            best, score = best_leaf(logits, scorer, nodes, shares)
            labels[document], probabilities[document] = best, min(math.exp(score), 1.0)
            continue
        set_shares(logits, scorer, shares)
        for label in range(n_labels):
            if shares[label] >= probabilities[document]:
                labels[document], probabilities[document] = label, shares[label]


@kernel
def choose_groups(
    means: NDArray[np.float32],
    counts: NDArray[np.int32],
    scorer: Scorer,
    group_of: NDArray[np.int32],
    groups: NDArray[np.int32],
    probabilities: NDArray[np.float64],
) -> None:
    """The most probable group of labels of each document (of several the last), and the sum of its probabilities.

    `group_of` has each label's group, or -1 for one that does not count. -1 and 0 without features.
    """
    n_labels = scorer.turns.shape[0]
    logits, shares = np.empty(n_labels, np.float32), np.empty(2 * n_labels, np.float64)
    sums = np.empty(group_of.max() + 1, np.float64)
    for document in range(counts.shape[0]):
        groups[document], probabilities[document] = -1, 0.0
        if counts[document] == 0:
            continue
        set_logits(means[document], scorer, logits)
        set_shares(logits, scorer, shares)
        sums[:] = 0.0
        for label in range(n_labels):
            if group_of[label] >= 0:
                sums[group_of[label]] += shares[label]
        for group in range(sums.shape[0]):
            if sums[group] >= probabilities[document]:
                groups[document], probabilities[document] = group, sums[group]
        probabilities[document] = min(probabilities[document], 1.0)
