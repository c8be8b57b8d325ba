"""Kernels over columns of URLs: one normal form, and the lists that it is looked up in.

The normal form of a URL is its host and what follows it, in lower case:

    HTTPS://user@WWW.Example.com.:8080/A%62c/?q=1#top   →   www.example.com/abc/?q=1

Read leniently, as browsers do (WHATWG URL Standard, section 4.4): white space around it and line breaks within are
passed over, a backslash before the query is a slash, and `https:example.com` has a host, too. What has no scheme begins
with its host, as entries of lists do. Percent signs are decoded once where they stand for a printable ASCII character
that separates nothing, so `%73` is `s`, but `%2F` stays. Lower case is that of ASCII letters. Dot segments and double
slashes stay as they are.
"""

from __future__ import annotations

import numpy as np
from numba import int64, uint8, uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import inlined, kernel
from corpusmill.documents.segmentation import hashed_bytes
from corpusmill.filters.key_table import slot_of

MAX_HOST_BYTES = 253
"""RFC 1035, section 2.3.4, without the root's dot. A longer one is no host, and no list has it."""
LABEL_BITS = uint32(0xFFFF)
"""Of a slot's value: the number of the entry's label, 0 for none."""
BELOW = uint32(1 << 16)
"""Flag of a slot's value: the names below the host, too."""
HAS_URLS = uint32(1 << 17)
"""Flag of a slot's value: URLs of this host are listed."""
RULE, WILDCARD, EXCEPTION = 1, 2, 4
"""Bits of a name in the public suffix list: the name itself, `*.name`, `!name`."""
HARD, SOFT = uint32(1), uint32(2)
"""Bits of a listed word: banned alone; banned with others. Above them, its number."""

_SLASH, _BACKSLASH, _QUESTION, _HASH, _AT, _COLON, _DOT = 0x2F, 0x5C, 0x3F, 0x23, 0x40, 0x3A, 0x2E
_PERCENT, _OPEN, _CLOSE, _SPACE = 0x25, 0x5B, 0x5D, 0x20
_URL_SEED = np.uint64(0x8F1BBCDCBFA53E0B)  # so that a host's hash as the beginning of a URL is another
_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)

# What a byte of a URL is, as bits.
IGNORED, ALNUM, BOUNDARY, SCHEME, DECODED, HOST = 1, 2, 4, 8, 16, 32


def _byte_classes() -> NDArray[np.uint8]:
    classes = np.zeros(256, np.uint8)
    classes[[0x09, 0x0A, 0x0D]] |= IGNORED
    letters_and_digits = [*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)]
    classes[[*letters_and_digits, *range(0x80, 0x100)]] |= ALNUM
    classes[[ord(sign) for sign in "/?&;="]] |= BOUNDARY
    classes[[*letters_and_digits, *(ord(sign) for sign in "+-.")]] |= SCHEME
    # RFC 3986, section 2.2: all that is neither white space, a control, a delimiter nor a percent sign.
    classes[[code for code in range(0x21, 0x7F) if chr(code) not in ":/?#[]@!$&'()*+,;=%\\"]] |= DECODED
    classes[[*letters_and_digits, *(ord(sign) for sign in "-._[]:")]] |= HOST
    classes.flags.writeable = False
    return classes


BYTES = _byte_classes()
"""uint8[256]: the class bits of each byte."""


@inlined
def _hex(byte: np.uint8) -> int:
    """The value of a hexadecimal digit, or -1."""
    if 0x30 <= byte <= 0x39:
        return int64(byte) - 0x30
    small = byte | 0x20
    return int64(small) - 0x57 if 0x61 <= small <= 0x66 else -1


@inlined
def _lower(byte: np.uint8) -> np.uint8:
    return byte | uint8(0x20) if 0x41 <= byte <= 0x5A else byte


@inlined
def _is_slash(byte: np.uint8) -> bool:
    return byte in (_SLASH, _BACKSLASH)


@inlined
def _after_scheme(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Where the authority begins: behind `scheme://`, behind `http:` and `https:` with any slashes, or at `start`."""
    colon = start
    while colon < end and BYTES[text[colon]] & SCHEME:
        colon += 1
    position = start
    if colon < end and text[colon] == _COLON and colon > start:
        slashes = colon + 2 < end and _is_slash(text[colon + 1]) and _is_slash(text[colon + 2])
        length = colon - start
        http = (
            (length == 4 or (length == 5 and text[colon - 1] | 0x20 == 0x73))
            and text[start] | 0x20 == 0x68
            and text[start + 1] | 0x20 == 0x74
            and text[start + 2] | 0x20 == 0x74
            and text[start + 3] | 0x20 == 0x70
        )
        if slashes or http:
            position = colon + 1
    while position < end and _is_slash(text[position]):
        position += 1
    return position


@kernel
def authorities(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    host_starts: NDArray[np.int32],
    host_ends: NDArray[np.int32],
    ends: NDArray[np.int32],
    foreign: NDArray[np.bool_],
) -> None:
    """Where in each URL the host begins and ends, without user, port and dots at its end, and where the authority ends.

    `foreign` marks hosts that need more than ASCII's lower case: with bytes beyond it, percent signs, or line breaks.
    """
    for row in range(offsets.shape[0] - 1):
        start, stop = offsets[row], offsets[row + 1]
        while start < stop and text[start] <= _SPACE:
            start += 1
        start = _after_scheme(text, start, stop)
        host = end = start
        while end < stop and not (_is_slash(text[end]) or text[end] == _QUESTION or text[end] == _HASH):
            if text[end] == _AT:
                host = end + 1
            end += 1
        while end == stop and end > host and text[end - 1] <= _SPACE:
            end = stop = end - 1
        last = end
        if host < end and text[host] == _OPEN:
            while last > host and text[last - 1] != _CLOSE:
                last -= 1
        else:
            colon = host
            while colon < end and text[colon] != _COLON:
                colon += 1
            last = colon
        while last > host and text[last - 1] == _DOT:
            last -= 1
        foreign[row] = False
        for position in range(host, last):
            byte = text[position]
            foreign[row] |= byte >= 0x80 or byte == _PERCENT or BYTES[byte] & IGNORED != 0
        host_starts[row], host_ends[row], ends[row] = host, last, end


@kernel
def write_normal(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    host_starts: NDArray[np.int32],
    host_ends: NDArray[np.int32],
    ends: NDArray[np.int32],
    written: NDArray[np.int32],
    hosts: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Writes the normal form of each URL: row r's is `out[written[r]:written[r + 1]]`; its host ends at `hosts[r]`."""
    place = int64(0)
    for row in range(offsets.shape[0] - 1):
        written[row] = place
        for position in range(host_starts[row], host_ends[row]):
            out[place] = _lower(text[position])
            place += 1
        hosts[row] = place
        position, stop = ends[row], offsets[row + 1]
        while stop > position and text[stop - 1] <= _SPACE:
            stop -= 1
        query = False
        while position < stop and text[position] != _HASH:
            byte = text[position]
            position += 1
            if BYTES[byte] & IGNORED:
                continue
            if byte == _PERCENT and position + 1 < stop:
                high, low = _hex(text[position]), _hex(text[position + 1])
                if high >= 0 and low >= 0 and BYTES[16 * high + low] & DECODED:
                    byte = uint8(16 * high + low)
                    position += 2
            elif byte == _QUESTION:
                query = True
            elif byte == _BACKSLASH and not query:
                byte = uint8(_SLASH)
            out[place] = _lower(byte)
            place += 1
    written[offsets.shape[0] - 1] = place


@inlined
def key_of(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """The key of a host or word; never 0, which marks an empty slot."""
    return hashed_bytes(text, start, end) | uint64(1)


@inlined
def url_key(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """The key of a URL's beginning."""
    return ((hashed_bytes(text, start, end) ^ uint64(_URL_SEED)) * uint64(_MULTIPLIER)) | uint64(1)


@inlined
def _without_www(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Where a host begins without a leading `www.`, if a name with a dot is left of it."""
    if end - start > 4 and text[start] == text[start + 1] == text[start + 2] == 0x77 and text[start + 3] == _DOT:
        for position in range(start + 4, end):
            if text[position] == _DOT:
                return start + 4
    return start


@inlined
def _parent(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Where the name above a host's begins; `end` for a name without a dot."""
    while start < end and text[start] != _DOT:
        start += 1
    return start + 1 if start < end else end


@kernel
def match_hosts(
    written: NDArray[np.int32],
    hosts: NDArray[np.int32],
    text: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    values: NDArray[np.uint32],
    slots: int,
    max_boundaries: int,
    masks: NDArray[np.uint64],
    host_masks: NDArray[np.uint64],
    url_masks: NDArray[np.uint64],
) -> None:
    """Looks each URL of the normal form up: its host and the names above it, then its beginnings.

    `masks[label]` has a bit for each category of a label; those of all entries that match are united in `host_masks`
    and `url_masks`, a row for each URL. A beginning ends at the host's end or before one of `/?&;=`, and only hosts
    with listed URLs have theirs looked up.
    """
    for row in range(written.shape[0] - 1):
        host, end, stop = written[row], hosts[row], written[row + 1]
        if end == host or end - host > MAX_HOST_BYTES:
            continue
        plain = _without_www(text, host, end)
        listed = False
        name = host
        while name < end:
            slot = slot_of(keys, slots, key_of(text, name, end))
            if slot >= 0:
                value = values[slot]
                listed |= name == plain and value & HAS_URLS != 0
                if name <= plain or value & BELOW:
                    for word in range(masks.shape[1]):
                        host_masks[row, word] |= masks[value & LABEL_BITS, word]
            name = _parent(text, name, end)
        if not listed:
            continue
        boundaries = 0
        for position in range(end, stop + 1):
            if position < stop and not BYTES[text[position]] & BOUNDARY:
                continue
            boundaries += 1
            if boundaries > max_boundaries:
                break
            slot = slot_of(keys, slots, url_key(text, plain, position))
            if slot >= 0:
                for word in range(masks.shape[1]):
                    url_masks[row, word] |= masks[values[slot] & LABEL_BITS, word]


@kernel
def copy_spans(
    text: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    offsets: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Writes `text[starts[r]:ends[r]]` of each row, one behind the other."""
    place = int64(0)
    for row in range(starts.shape[0]):
        offsets[row] = place
        for position in range(starts[row], ends[row]):
            out[place] = text[position]
            place += 1
    offsets[starts.shape[0]] = place


@kernel
def key_hosts(
    written: NDArray[np.int32], hosts: NDArray[np.int32], text: NDArray[np.uint8], keys: NDArray[np.uint64]
) -> None:
    """The key of each host."""
    for row in range(written.shape[0] - 1):
        keys[row] = key_of(text, written[row], hosts[row])


@kernel
def is_public_suffix(
    text: NDArray[np.uint8],
    start: int,
    end: int,
    keys: NDArray[np.uint64],
    kinds: NDArray[np.uint32],
    slots: int,
) -> bool:
    """Whether names below this one are registered by other people: by its own rule, its parent's `*`, or for want of
    a dot (publicsuffix.org/list, "Algorithm", whose default rule is `*`)."""
    parent = _parent(text, start, end)
    if parent == end:
        return True
    slot = slot_of(keys, slots, key_of(text, start, end))
    if slot >= 0 and kinds[slot] & (RULE | EXCEPTION):
        return kinds[slot] & EXCEPTION == 0
    slot = slot_of(keys, slots, key_of(text, parent, end))
    return slot >= 0 and kinds[slot] & WILDCARD != 0


@kernel
def registrable_starts(
    written: NDArray[np.int32],
    hosts: NDArray[np.int32],
    text: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    kinds: NDArray[np.uint32],
    slots: int,
    starts: NDArray[np.int32],
) -> None:
    """Where in each host its registrable domain begins: the first name whose parent is a public suffix; -1 for none."""
    for row in range(written.shape[0] - 1):
        name, end = written[row], hosts[row]
        starts[row] = -1
        if end - name > MAX_HOST_BYTES or is_address(text, name, end):
            continue
        if name == end or text[name] == _DOT or is_public_suffix(text, name, end, keys, kinds, slots):
            continue
        while not is_public_suffix(text, _parent(text, name, end), end, keys, kinds, slots):
            slot = slot_of(keys, slots, key_of(text, name, end))
            if slot >= 0 and kinds[slot] & EXCEPTION:
                break
            name = _parent(text, name, end)
        starts[row] = name


@kernel
def is_address(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a host is an IP address: of digits and dots alone, or in brackets."""
    if start < end and text[start] == _OPEN:
        return True
    numeric = True
    for position in range(start, end):
        numeric &= text[position] == _DOT or 0x30 <= text[position] <= 0x39
    return numeric


@kernel
def key_entries(
    written: NDArray[np.int32],
    hosts: NDArray[np.int32],
    text: NDArray[np.uint8],
    suffix_keys: NDArray[np.uint64],
    suffix_kinds: NDArray[np.uint32],
    suffix_slots: int,
    host_keys: NDArray[np.uint64],
    url_keys: NDArray[np.uint64],
    suffix: NDArray[np.bool_],
    boundaries: NDArray[np.int32],
) -> None:
    """The keys of a list's entries in the normal form. An entry without anything behind its host is a domain.

    Of a domain, `url_keys` is 0, and `suffix` says whether it is a public one. Of a URL, `host_keys` is the key of its
    host without `www.`, and `boundaries` says how many beginnings are looked up before the entry is met. Both keys are
    0 where there is no host.
    """
    for row in range(written.shape[0] - 1):
        host, end, stop = written[row], hosts[row], written[row + 1]
        host_keys[row] = url_keys[row] = 0
        suffix[row] = False
        boundaries[row] = 0
        valid = host < end <= host + MAX_HOST_BYTES
        for position in range(host, end):
            valid &= BYTES[text[position]] & HOST != 0
        if not valid:
            continue
        while stop > end and text[stop - 1] == _SLASH:
            stop -= 1
        if stop == end:
            host_keys[row] = key_of(text, host, end)
            public = is_public_suffix(text, host, end, suffix_keys, suffix_kinds, suffix_slots)
            suffix[row] = public and not is_address(text, host, end)
            continue
        plain = _without_www(text, host, end)
        host_keys[row] = key_of(text, plain, end)
        url_keys[row] = url_key(text, plain, stop)
        met = 1
        for position in range(end, stop):
            met += 1 if BYTES[text[position]] & BOUNDARY else 0
        boundaries[row] = met


@kernel
def match_words(
    written: NDArray[np.int32],
    text: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    values: NDArray[np.uint32],
    slots: int,
    last_seen: NDArray[np.int64],
    first: NDArray[np.int32],
    soft: NDArray[np.int32],
) -> None:
    """Looks up the words of each URL: runs of ASCII letters and digits and of bytes beyond ASCII.

    `first` is the number of the first hard word, or -1; `soft` counts the different soft ones. `last_seen`, a place
    for each listed word, holds -1 at first.
    """
    for row in range(written.shape[0] - 1):
        first[row], soft[row] = -1, 0
        position, stop = written[row], written[row + 1]
        while position < stop:
            start = position
            while position < stop and BYTES[text[position]] & ALNUM:
                position += 1
            if position > start:
                slot = slot_of(keys, slots, key_of(text, start, position))
                if slot >= 0:
                    word = int64(values[slot] >> uint32(2))
                    if values[slot] & HARD and first[row] < 0:
                        first[row] = word
                    if values[slot] & SOFT and last_seen[word] != row:
                        last_seen[word] = row
                        soft[row] += 1
            position += 1


@kernel
def match_substrings(
    written: NDArray[np.int32],
    text: NDArray[np.uint8],
    columns: NDArray[np.int32],
    steps: NDArray[np.int32],
    longest: NDArray[np.int32],
    found: NDArray[np.int32],
) -> None:
    """Runs the automaton of phrases.py over each URL's letters and digits, as if nothing stood between them.

    `found` is the state of the phrase that ends first (of several, the longest), or 0.
    """
    for row in range(written.shape[0] - 1):
        state = 0
        found[row] = 0
        for position in range(written[row], written[row + 1]):
            if BYTES[text[position]] & ALNUM:
                state = steps[state, columns[text[position]]]
                if longest[state]:
                    found[row] = longest[state]
                    break
