"""The kernel that settles candidates of pii_kernels.py by bytes alone, before a validator is called on the rest.

A call of a validator takes 2 to 100 µs, and mail has a candidate in every hundred bytes. So what is plain is settled
here: email addresses in ASCII; IPv4 addresses that are not public, and those beside which nothing speaks for a version;
phone numbers in a North American layout; numbers whose check digit is wrong; numbers that count behind certain words
only where no such word stands. For that, a **word end** is the last three letters of the word before a number (a **word
start** the first three of the one behind), and a table says of each such three whether a word that matters ends so.
Whatever is not plain is left to the validators, which are also the twin that the tests hold this kernel to.

What a kind of candidate needs is a kernel of its own: copied into one, all of them took numba 19 s of CPU to compile
instead of 7. The words beside a number are looked at so often (for three candidates in ten) that a call is felt.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import int64, uint8, uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.filters import pii_kernels as kernels

ASK, ACCEPT, REJECT = 0, 1, 2

# What a word end or start may belong to.
LABEL, VERSION, PERSON, SECURITY, LABEL_BEHIND = (1 << bit for bit in range(5))

_LETTERS = 28  # no letter, a to z, a byte that is not ASCII
_REACH = 16  # bytes before a number in which a word must end
_REACH_BEHIND = 5
_WORD_REACH = 48  # bytes beside an address in which a word of networks may stand: more than its validator looks at
_LABEL_BYTES = 63  # of a domain: RFC 1035, 2.3.4
_MAX_LABELS = 8
_TLD_BYTES = (2, 24)
_LOCAL_BYTES, _DOMAIN_BYTES = 64, 253
_LEAST_IPV6 = 7  # bytes of three groups, one of three digits
_SECTION_PART, _FIRST_PART = 64, 3  # as in pii_validators.py


def word_codes(words: Iterable[str], *, starts: bool = False) -> set[int]:
    """Indices into a table of word ends (or starts): those of `words`.

    >>> sorted(word_codes(["phone", "at"])) == [1 * 28 + 20, (15 * 28 + 14) * 28 + 5]
    True
    """
    codes = set()
    for word in words:
        letters = [_code(byte) for byte in word.lower().encode()]
        first, second, third = [*letters, 0, 0][:3] if starts else [0, 0, *letters][-3:]
        codes.add((first * _LETTERS + second) * _LETTERS + third)
    return codes


def _code(byte: int) -> int:
    return 27 if byte >= 128 else byte - 96 if 97 <= byte <= 122 else 0


def word_table(words: dict[int, Iterable[str]]) -> NDArray[np.uint8]:
    """uint8[28^3]: the marks (`LABEL` …) of words that end in each three letters, or begin with them (LABEL_BEHIND)."""
    table = np.zeros(_LETTERS**3, np.uint8)
    for mark, listed in words.items():
        table[sorted(word_codes(listed, starts=mark == LABEL_BEHIND))] |= mark
    table[27::_LETTERS] |= VERSION  # a sign such as `§`
    return frozen(table)


@inlined
def _letter(byte: int) -> int:
    if byte >= 128:
        return 0 if byte == 0xC2 or byte == 0xA0 else 27  # a no-break space is none
    low = byte | 0x20
    return low - 96 if 97 <= low <= 122 else 0


@inlined
def _marks_before(text: NDArray[np.uint8], table: NDArray[np.uint8], start: int, begin: int) -> int:
    """The marks of the word before `start`; 0 if a letter stands right there, a digit is between, or no word is near.

    Behind `<`, `@` or `[` a word only tells versions.
    """
    position = start - 1
    least = max(begin, start - _REACH)
    allowed = 255
    while position >= least and _letter(int64(text[position])) == 0:
        byte = text[position]
        if 0x30 <= byte <= 0x39:
            return 0
        if byte == 0x3C or byte == 0x40 or byte == 0x5B:
            allowed = VERSION
        position -= 1
    if position < least or position == start - 1:
        return 0
    second = _letter(int64(text[position - 1])) if position > begin else 0
    first = _letter(int64(text[position - 2])) if second and position > begin + 1 else 0
    return int64(table[(first * _LETTERS + second) * _LETTERS + _letter(int64(text[position]))]) & allowed


@inlined
def _marks_behind(text: NDArray[np.uint8], table: NDArray[np.uint8], stop: int, end: int) -> int:
    """The marks of the word behind `stop`, if only spaces, commas, hyphens and a parenthesis are between."""
    position = stop
    while position < end and position - stop < _REACH_BEHIND:
        byte = text[position]
        first = _letter(int64(byte))
        if first:
            second = _letter(int64(text[position + 1])) if position + 1 < end else 0
            third = _letter(int64(text[position + 2])) if second and position + 2 < end else 0
            return int64(table[(first * _LETTERS + second) * _LETTERS + third])
        if byte != 0x20 and byte != 0x28 and byte != 0x2C and byte != 0x2D:
            return 0
        position += 1
    return 0


@inlined
def _is_alnum(byte: int) -> bool:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


@kernel
def _local_start(text: NDArray[np.uint8], start: int, at: int) -> int:
    """First byte of an ASCII local part that ends before `at`; -1 if there is none, -2 if a validator must say."""
    if text[at - 1] == 0x2E:
        return -1
    position = at - 1
    while position > start and not (text[position - 1] == 0x2E and text[position] == 0x2E):
        position -= 1
    while position < at and not (_is_alnum(int64(text[position])) or text[position] == 0x5F):
        position += 1
    if position == at:
        return -2
    return position if at - position <= _LOCAL_BYTES else -1


@inlined
def _is_file_suffix(text: NDArray[np.uint8], start: int, stop: int, suffixes: NDArray[np.uint64]) -> bool:
    if stop - start > 8:
        return False
    packed = uint64(0)
    for place in range(start, stop):
        packed = packed << uint64(8) | uint64(text[place] | 0x20)
    found = False
    for suffix in suffixes:
        found |= suffix == packed
    return found


@kernel
def _domain_end(text: NDArray[np.uint8], start: int, stop: int, suffixes: NDArray[np.uint64]) -> int:
    """The byte after an ASCII domain that begins at `start`; -1 if there is none, -2 if a validator must say."""
    position = start
    best = -1
    best_start = start
    for label in range(_MAX_LABELS + 1):
        first = position
        letters = 0
        while position < stop and text[position] != 0x2E:
            if letters == position - first and not 0x30 <= text[position] <= 0x39 and text[position] != 0x2D:
                letters += 1
            position += 1
        length = position - first
        if label > 0:
            if length >= 4 and text[first + 2] == 0x2D and text[first + 3] == 0x2D:
                return -2  # xn--
            followed = letters < length and _is_alnum(int64(text[first + letters]))
            if _TLD_BYTES[0] <= letters <= _TLD_BYTES[1] and not followed:
                best = first + letters
                best_start = first
        if position >= stop or length == 0 or length > _LABEL_BYTES:
            break
        if text[first] == 0x2D or text[position - 1] == 0x2D:
            break
        position += 1
    if best < 0 or best - start > _DOMAIN_BYTES or _is_file_suffix(text, best_start, best, suffixes):
        return -1
    return best


@kernel
def _settle_email(
    text: NDArray[np.uint8],
    suffixes: NDArray[np.uint64],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    place: int,
) -> int:
    """Whether a candidate is an address; if so, its bounds are written."""
    start = starts[place]
    stop = ends[place]
    at = start
    for position in range(start, stop):
        if text[position] >= 128:
            return ASK
        if text[position] == 0x40:
            at = position
    first = _local_start(text, start, at)
    last = _domain_end(text, at + 1, stop, suffixes)
    if first == -1 or last == -1:
        return REJECT
    if first == -2 or last == -2 or (at - first == 3 and text[first] == 0x67):  # perhaps `git`
        return ASK
    starts[place] = first
    ends[place] = last
    return ACCEPT


@kernel
def _is_among_numbers(text: NDArray[np.uint8], start: int, stop: int, begin: int, end: int) -> bool:
    """Whether no letter, nor a sign of a link or a port, stands near: so no word of networks does."""
    for place in range(max(begin, start - _WORD_REACH), start):
        if _letter(int64(text[place])) or text[place] == 0x40 or text[place] == 0x2F:
            return False
    for place in range(stop, min(end, stop + _WORD_REACH)):
        if _letter(int64(text[place])) or text[place] == 0x3A or text[place] == 0x2F:
            return False
    return True


@kernel
def _settle_ipv4(
    text: NDArray[np.uint8],
    table: NDArray[np.uint8],
    networks: NDArray[np.uint64],
    start: int,
    stop: int,
    begin: int,
    end: int,
) -> int:
    address = uint64(0)
    part = 0
    largest = 0
    least = 255
    for position in range(start, stop + 1):
        if position < stop and text[position] != 0x2E:
            if part == 0 and text[position] == 0x30 and position + 1 < stop and text[position + 1] != 0x2E:
                return REJECT  # a leading zero
            part = part * 10 + int64(text[position]) - 48
        else:
            if part > 255:
                return REJECT
            address = address << uint64(8) | uint64(part)
            largest = max(largest, part)
            least = min(least, part)
            part = 0
    for network in networks:
        if address & network & uint64(0xFFFFFFFF) == network >> uint64(32):
            return REJECT
    if stop < end:
        byte = text[stop]
        if _is_alnum(int64(byte)) or byte == 0x5F or byte == 0x5C:
            return REJECT
        joins = byte == 0x2D or byte == 0x2E or byte == 0x2B or byte == 0x7E
        if joins and stop + 1 < end and _is_alnum(int64(text[stop + 1])):
            return REJECT
    if largest < _SECTION_PART and least <= _FIRST_PART:
        return REJECT if _is_among_numbers(text, start, stop, begin, end) else ASK
    if start > begin:
        byte = text[start - 1]
        # Space and breaks, ( [ , ; < = and the two slashes of a link
        plain = byte <= 0x20 or byte == 0x28 or byte == 0x5B or byte == 0x2C or 0x3B <= byte <= 0x3D
        plain |= byte == 0x2F and start > begin + 1 and text[start - 2] == 0x2F
        if not plain or _marks_before(text, table, start, begin) & VERSION:
            return ASK
    return ACCEPT


@kernel
def _luhn_holds(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    total = 0
    place = 0
    for position in range(stop - 1, start - 1, -1):
        digit = int64(text[position]) - 48
        if 0 <= digit <= 9:
            total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
            place += 1
    return total % 10 == 0


@kernel
def _is_exchange(text: NDArray[np.uint8], position: int) -> bool:
    """Whether three digits may be an area code or an exchange in North America: NXX, but not N11."""
    for place in range(position, position + 3):
        if not 0x30 <= text[place] <= 0x39:
            return False
    return text[position] >= 0x32 and not (text[position + 1] == 0x31 and text[position + 2] == 0x31)


@kernel
def _is_free(text: NDArray[np.uint8], start: int, stop: int, begin: int, end: int) -> bool:
    """Whether what stands beside a phone number is plainly neither a part of it nor it a part of that."""
    if start > begin:
        byte = text[start - 1]
        if byte > 0x20 and not (byte == 0x28 or byte == 0x2C or 0x3A <= byte <= 0x3C or byte == 0x3E or byte == 0x5B):
            return False
    position = stop
    while position < end and position - stop < 2 and (text[position] == 0x20 or text[position] == 0x2C):
        position += 1
    if position == end:
        return True
    byte = text[position]
    if position > stop:
        # Not the beginning of an extension.
        return byte != 0x28 and byte != 0x3B and byte | 0x20 != 0x78 and byte | 0x20 != 0x65
    if byte == 0x2E:
        return position + 1 < end and text[position + 1] <= 0x20
    return byte <= 0x20 or byte == 0x29 or byte == 0x5D or byte == 0x3C or byte == 0x22 or byte == 0x7C


@kernel
def _settle_phone(
    text: NDArray[np.uint8], starts: NDArray[np.int32], stop: int, begin: int, end: int, place: int
) -> int:
    """Whether a candidate is a number in a North American layout; its parenthesis becomes part of it."""
    start = starts[place]
    if stop - start < 12:
        return ASK
    area = start + 2 if text[start] == 0x31 and text[start + 1] == 0x2D else start  # 1-212-736-5000
    if not _is_exchange(text, area):
        return ASK
    first = text[area + 3]
    middle = area + 4
    if first == 0x29:
        if area > start or start == begin or text[start - 1] != 0x28:
            return ASK
        start -= 1
        middle += text[middle] == 0x20 or text[middle] == 0x2D
    last = text[middle + 3] if middle + 8 == stop else 0
    separated = last == 0x2D or last == 0x2E
    if not separated or (first != 0x29 and first != last) or (area > start and last != 0x2D and first != 0x29):
        return ASK
    if not _is_exchange(text, middle):
        return ASK
    for position in range(stop - 4, stop):
        if not 0x30 <= text[position] <= 0x39:
            return ASK
    if not _is_free(text, start, stop, begin, end):
        return ASK
    starts[place] = start
    return ACCEPT


@kernel
def _is_glued(text: NDArray[np.uint8], start: int, stop: int, begin: int, end: int) -> bool:
    """Whether a letter, a digit or `_` stands right before or behind."""
    if start > begin and (_is_alnum(int64(text[start - 1])) or text[start - 1] == 0x5F):
        return True
    return stop < end and (_is_alnum(int64(text[stop])) or text[stop] == 0x5F)


@kernel
def _settle_national(text: NDArray[np.uint8], start: int, stop: int, begin: int, end: int) -> int:
    """Whether the form of a number of a person is that of its country, as far as single bytes tell."""
    length = stop - start
    if length == 7:  # Spain's for foreigners, behind X, Y or Z, perhaps with a hyphen
        mark = start - 1
        if mark > begin and text[mark] == 0x2D:
            mark -= 1
        return ASK if mark >= begin and 0x58 <= text[mark] <= 0x5A else REJECT
    if start > begin and (_is_alnum(int64(text[start - 1])) or text[start - 1] == 0x5F):
        return REJECT
    if length == 14 and text[start + 3] == 0x2E and text[start + 11] != 0x2D:  # Brazil's; but this is an IP address
        return REJECT
    if length == 15 and _is_alnum(int64(text[start + 2])) and text[start] > 0x32:  # France's begins with the sex
        return REJECT
    return ASK


@kernel
def sieve(
    text: NDArray[np.uint8],
    begins: NDArray[np.int32],
    limits: NDArray[np.int32],
    table: NDArray[np.uint8],
    networks: NDArray[np.uint64],
    suffixes: NDArray[np.uint64],
    north_american: int,
    kinds: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    verdicts: NDArray[np.uint8],
) -> None:
    """Writes ASK, ACCEPT or REJECT for each candidate. Accepted ones get their exact bounds.

    Args:
        begins, limits: first byte of each candidate's document, and the byte after its last.
        table: what word ends and starts mean, from `word_table`.
        networks: IPv4 networks that are not public: address << 32 | mask.
        suffixes: file suffixes that are no top-level domains, in lower case, packed big-endian.
        north_american: whether national phone numbers of the United States or their neighbours count.
    """
    phone_start = 0
    phone_end = 0
    for place in range(kinds.shape[0]):
        kind = kinds[place]
        start = starts[place]
        stop = ends[place]
        begin = begins[place]
        verdict = ASK
        if kind == kernels.EMAIL:
            verdict = _settle_email(text, suffixes, starts, ends, place)
        elif kind == kernels.IPV4:
            verdict = _settle_ipv4(text, table, networks, start, stop, begin, limits[place])
        elif kind == kernels.CARD:
            free = not _is_glued(text, start, stop, begin, limits[place])
            verdict = ASK if free and _luhn_holds(text, start, stop) else REJECT
        elif kind == kernels.IPV6:
            verdict = ASK if stop - start >= _LEAST_IPV6 else REJECT
        elif kind == kernels.PHONE and north_american:
            verdict = _settle_phone(text, starts, stop, begin, limits[place], place)
            if verdict == ACCEPT:
                phone_start, phone_end = start, stop
        elif kind == kernels.LABELLED:
            before = _marks_before(text, table, start, begin) & LABEL
            behind = _marks_behind(text, table, stop, limits[place]) & LABEL_BEHIND
            settled = start >= phone_start and stop == phone_end
            verdict = ASK if (before or behind) and not settled else REJECT
        elif kind == kernels.NATIONAL:
            verdict = _settle_national(text, start, stop, begin, limits[place])
        elif kind == kernels.NAMED:
            verdict = ASK if _marks_before(text, table, start, begin) & PERSON else REJECT
        elif kind == kernels.SSN:
            named = text[start + 3] == 0x2D or _marks_before(text, table, start, begin) & SECURITY
            verdict = ASK if named else REJECT
        verdicts[place] = uint8(verdict)
