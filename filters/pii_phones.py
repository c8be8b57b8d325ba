"""Phone numbers: by their country code, by the way a country writes them, or by a word that says that they are one.

Sources: libphonenumber's metadata through `phonenumbers` (country codes, possible lengths, ways to write); ITU-T E.164
(15 digits); the North American Numbering Plan's NXX-NXX-XXXX. In mail and news of 1992 to 2002, 4,893 of 4,896 numbers
written in that plan's layout are assigned, so the layout suffices there, and libphonenumber, which takes 100 µs a
number, is asked of other countries' national numbers only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

Bounds = tuple[int, int]

_NOUNS = (
    "tel", "tl", "telp", "telephone", "telefon", "telefono", "telefax", "phone", "ph", "fone", "fax", "faxe", "facs",
    "mobile", "mob", "cell", "cellphone", "cellular", "handphone", "handy", "whatsapp", "sms", "pager", "beeper",
    "voice", "voicemail", "voice-mail", "hotline", "desk", "bbs", "modem", "fon", "puh", "tlf", "tél", "téléphone",
    "teléfono",
)  # fmt: skip
_PLACES = ("home", "work", "office", "direct", "main", "day", "days", "eve", "evening", "evenings", "h", "w", "o")
_FILLERS = ("number", "numbers", "no", "num", "nr", "is", "are", "at", "on", "us", "me")
_CALLS = ("call", "dial", "ring", "phone")
_WAYS = (
    "call", "calling", "reach", "reached", "contact", "contacted", "answer", "answering", "text", "texts", "message",
    "messages", "sms",
)  # fmt: skip
_WHOM = ("me", "us", "him", "her", "them")
_TOWARDS = ("at", "on", "to")
_LETTERS = ("t", "f", "m", "p")
_BEHIND = ("office", "fax", "mobile", "cell", "home", "work", "voice", "voicemail")
_BEHIND_LETTERS = ("h", "w", "o")
LABEL_WORDS = (
    *_NOUNS, *(f"{noun}s" for noun in _NOUNS), *_PLACES, *_FILLERS, *_CALLS, "now", "free", *_WHOM, *_TOWARDS, *_LETTERS
)  # fmt: skip
"""What a label's last word may be."""
LABEL_WORDS_BEHIND = (*_BEHIND, *_BEHIND_LETTERS)
"""What a label's first word may be that stands behind its number."""


def _any(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(words)})"


_LABEL = re.compile(
    (
        "(?i)(?:"
        # `Phone (home): `, `tel. no. `, `Fax # `, `phone is `
        rf"(?<![A-Za-z0-9@<.-]){_any(_NOUNS)}[s.]?(?: ?\(?{_any(_PLACES)}\)?)?(?: {_any(_FILLERS)})*"
        # `call us at `, `dial `
        rf"|(?<![A-Za-z0-9]){_any(_CALLS)}(?: (?:{'|'.join(_WHOM)}|now|home|toll[ -]free))?(?: {_any(_TOWARDS)})?"
        # `reached by phone on `, `text to `
        rf"|(?<![A-Za-z0-9]){_any(_WAYS)}(?: {_any(_WHOM)})?(?: by (?:tele)?phone)? {_any(_TOWARDS)}"
        # `F: `, `home: `, `(home) `
        rf"|(?<![A-Za-z0-9])(?:{_any(_LETTERS)}|home|office|work):|\({_any(_PLACES)}\)"
        r")(?:[^A-Za-z0-9+@<\[\]{};\x80-\xff]|\xc2\xa0){1,12}(?:\(?\+ ?)?\(?\Z"
    ).encode()
)
_LABEL_AFTER = re.compile(
    (
        rf"(?i)-{{1,2}}{_any(_BEHIND)}\b|(?:,? | - )?(?:\(?{_any(_BEHIND)}\b|\({_any(_BEHIND_LETTERS)}\))"
        r"(?![^\n]{0,2}[0-9])"
    ).encode()
)
# Nothing of an identifier, a path, a sum or a price.
_BEFORE = re.compile(rb"[A-Za-z0-9_.\\@$%&^=~+-]\Z|(?<![0-9])/\Z|\xc2[\xa2-\xa5]\Z")
_AFTER = re.compile(rb"[0-9\\@]|[-.][0-9]|[_%^*=$][A-Za-z0-9(]|[A-WYZa-wyz]")
_EXTENSION = re.compile(rb"[ ,;]{0,2}\(?(?i:x|ext\.?|extn\.?|extension)[ .:]{0,2}[0-9]{1,7}\b\)?")
# A date, a range of years, a decimal fraction, a dotted quad.
_NO_PHONE = re.compile(
    rb"(?:(?:19|20)\d\d([-./ ]?)\d{1,2}\1\d{1,2}|\d{1,2}([-./ ])\d{1,2}\2(?:19|20)\d\d|(?:19|20)\d\d-(?:19|20)\d\d|"
    rb"\d{1,3}\.\d+|(?:\d{1,3}\.){3}\d{1,3})(?![0-9])"
)
_DIGITS = range(7, 16)
_MAX_GROUPS = 7
_NXX = rb"[2-9](?!11)\d\d"
# `252.227-7014` is a clause of US procurement law, `1.520 993 1551` a constant of physics.
_NANP = re.compile(
    rb"(?:1[- ]?)?(?:\(" + _NXX + rb"\)[-/ ]{0,2}" + _NXX + rb"(?:[-. ]| - )\d{4}"
    rb"|" + _NXX + rb"([-/ ]| - )" + _NXX + rb"(?:\1|-)\d{4})|(?:1\.)?" + _NXX + rb"\." + _NXX + rb"\.\d{4}"
)
_NANP_CODE = 1


def labelled_bounds(candidate: bytes, before: bytes, after: bytes) -> Bounds | None:
    """Where a number of any country stands whose candidate a label names: before it, or behind it.

    >>> labelled_bounds(b"699 956 915", b"Mobile: ", b""), labelled_bounds(b"699 956 915", b"Order: ", b"")
    ((0, 11), None)
    """
    behind = _LABEL_AFTER.match(after) is not None
    if _LABEL.search(before) is None and (not behind or _BEFORE.search(before.rstrip(b"(+"))):
        return None
    end = _labelled_end(candidate)
    if end == 0 or _NO_PHONE.fullmatch(candidate[:end]):
        return None
    if end == len(candidate) and _AFTER.match(after) and not behind and _EXTENSION.match(after) is None:
        return None
    return -len(_opening(candidate[:end], before)), _with_extension(end, candidate, after)


def _opening(number: bytes, before: bytes) -> bytes:
    """The `+` and the parenthesis before a number's first digit that belong to it."""
    found = re.search(rb"(?:\(?\+ ?\(?|\()?\Z", before)
    opening = b"" if found is None else found.group()
    closes = number.find(b")") >= 0 and not 0 <= number.find(b"(") < number.find(b")")
    return opening if closes else opening.lstrip(b"(")


def _labelled_end(candidate: bytes) -> int:
    """Where the first number of a candidate ends, or 0: a slash or a sixteenth digit is behind it."""
    digits = end = 0
    for count, group in enumerate(re.finditer(rb"\d+", candidate)):
        apart = b"/" in candidate[end : group.start()] and digits >= _DIGITS.start
        if apart or count == _MAX_GROUPS:
            break
        if digits + len(group.group()) >= _DIGITS.stop:
            return 0
        digits += len(group.group())
        end = group.end()
    return end if digits in _DIGITS else 0


def _with_extension(end: int, candidate: bytes, after: bytes) -> int:
    extension = _EXTENSION.match(after) if end == len(candidate) else None
    return end + (extension.end() if extension is not None else 0)


def national_bounds(candidate: bytes, before: bytes, after: bytes, regions: tuple[str, ...]) -> Bounds | None:
    """Where around a national number's candidate a number stands that is written as in one of the regions: its first
    byte (-1: a parenthesis), and the byte after its last. Numbers without groups need a label, see `labelled_bounds`.

    >>> national_bounds(b"212-736-5000", b"call ", b" now", ("US",))
    (0, 12)
    >>> national_bounds(b"112-736-5000", b"call ", b" now", ("US",)) is None
    True
    """
    opened = before[-1:] == b"(" and b")" in candidate
    if _AFTER.match(after) and _EXTENSION.match(after) is None:
        return None
    separators = re.findall(rb"\D+", candidate)
    if not separators or goes_on(before, after, separators[-1]):
        return None
    number = _plain(b"(" * opened + candidate)
    free = _BEFORE.search(before[:-1] if opened else before) is None
    for region in regions:
        if is_north_american(region):
            written = _NANP.fullmatch(number) is not None
            # Three numbers in a row are as often a table's: the first must be an area's.
            bare = set(separators) == {b" "}
            found = written and (free or opened) and (not bare or _is_assigned(b"1" + _digits_of(number)[-10:]))
        else:
            found = free and _is_written_as_in(region, number.decode(errors="ignore"))
        if found:
            return -opened, _with_extension(len(candidate), candidate, after)
    return None


def _plain(number: bytes) -> bytes:
    """With ASCII hyphens and spaces."""
    return re.sub(rb"\xe2\x80[\x90-\x93]", b"-", re.sub(rb"\xc2\xa0|\xe2\x80\xaf", b" ", number))


def _digits_of(number: bytes) -> bytes:
    return bytes(byte for byte in number if 48 <= byte <= 57)


def international_bounds(candidate: bytes, before: bytes, after: bytes) -> Bounds | None:
    """Where in a candidate that begins with `+` a number stands. In groups, its length must be one that its country
    has; without, it must be assigned.

    >>> international_bounds(b"+46 8 928 571 38", b"", b" ")
    (0, 16)
    """
    if before and (before[-1:].isalnum() or before[-1] in b"_.+-*/^=)]"):
        return None
    if re.match(rb"[0-9\\@^]|[_%*=][A-Za-z0-9(]", after):
        return None
    digits, end, best = b"", 0, 0
    for count, group in enumerate(re.finditer(rb"\d+", candidate), 1):
        between = candidate[end : group.start()]
        if b"/" in between or count > _MAX_GROUPS:
            break
        if not (group.group() == b"0" and between.endswith(b"(")):  # the trunk prefix of +44 (0)20
            digits += group.group()
        end = group.end()
        if _is_possible(digits) and (count > 1 or _is_assigned(digits)):
            best = end
    if not best:
        return None
    return -len(_opening(candidate[:best], before)), _with_extension(best, candidate, after)  # `(+44) 20 7946 0018`


def _is_possible(digits: bytes) -> bool:
    """Whether the digits begin with a country code and are as many as numbers there may have."""
    width = _code_width(digits)
    return width > 0 and len(digits) - width in _national_lengths()[int(digits[:width])] and len(digits) in _DIGITS


def _code_width(digits: bytes) -> int:
    """How many of the digits are a country code; 0 if they begin with none."""
    for width in (1, 2, 3):
        if len(digits) > width and int(digits[:width]) in _national_lengths():
            return width
    return 0


@lru_cache(maxsize=8192)
def _is_assigned(digits: bytes) -> bool:
    """Whether libphonenumber calls the number of this country code and national number valid."""
    width = _code_width(digits)
    national = digits[width:]
    zeros = len(national) - len(national.lstrip(b"0"))
    number = phonenumbers.PhoneNumber(
        country_code=int(digits[:width]),
        national_number=int(national),
        italian_leading_zero=zeros > 0,
        number_of_leading_zeros=zeros or None,
    )
    return phonenumbers.is_valid_number(number)


@cache
def _national_lengths() -> Mapping[int, frozenset[int]]:
    """For each country code, how many digits may follow."""
    lengths = {}
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        found = [phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions]
        described = [metadata.general_desc for metadata in found if metadata is not None]
        lengths[code] = frozenset(length for each in described if each is not None for length in each.possible_length)
    return lengths


def is_north_american(region: str) -> bool:
    """Whether the region's numbers are of the North American Numbering Plan."""
    return bool(phonenumbers.country_code_for_region(region) == _NANP_CODE)


@lru_cache(maxsize=8192)  # libphonenumber takes 50 to 150 µs, and the same numbers stand again and again
def _is_written_as_in(region: str, number: str) -> bool:
    """Whether the whole of `number` is a valid number, grouped as the region groups it."""
    for match in PhoneNumberMatcher(number, region, leniency=Leniency.STRICT_GROUPING, max_tries=3):
        return match.start == 0 and match.end == len(number)
    return False


def goes_on(before: bytes, after: bytes, separator: bytes, same_length: int | None = None) -> bool:
    """Whether more digits stand beside a candidate behind the separator that it has within: a row of a table.

    With `same_length`, only groups of so many digits count: `4111 1111 1111 1111 12/27` is a card and its expiry.
    """
    count = b"+" if same_length is None else b"{%d}(?!\\d)" % same_length
    if re.match(re.escape(separator) + rb"\d" + count, after):
        return True
    count = b"" if same_length is None else rb"(?<!\d)\d{%d}" % (same_length - 1)
    return re.search(count + rb"\d" + re.escape(separator) + rb"\Z", before) is not None


_GROUP_LENGTHS = re.compile(r"\\d(?:\{(\d+)(?:,(\d+))?\})?|\[[\d-]+\]|\d")


@cache
def phone_shapes(region: str) -> frozenset[tuple[int, ...]]:
    """The lengths of two groups and more in which libphonenumber's metadata writes a region's numbers, with and without
    trunk prefix.

    >>> sorted(phone_shapes("US"))
    [(1, 3, 3, 4), (3, 3, 4), (4, 3, 4)]
    """
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.general_desc is None:
        return frozenset()
    trunk = len(metadata.national_prefix or "")
    lengths = set(metadata.general_desc.possible_length)
    plain: set[tuple[int, ...]] = {(length,) for length in lengths}
    # Neighbours that share a country code keep their ways to write in the main region's metadata.
    code = phonenumbers.country_code_for_region(region)
    main = phonenumbers.PhoneMetadata.metadata_for_region(phonenumbers.region_code_for_country_code(code))
    formats = metadata.number_format or (main.number_format if main is not None else [])
    for number_format in formats:
        groups = [_widths(group) for group in re.findall(r"\(([^()]+)\)", str(number_format.pattern))]
        for widths in itertools.product(*groups):
            written = str(number_format.format)
            for number, width in enumerate(widths, 1):
                written = written.replace(f"\\{number}", "0" * width)
            shape = tuple(map(len, re.findall(r"[0-9]+", written)))
            if sum(shape) in lengths:
                plain.add(shape)
    attached = {(trunk + shape[0], *shape[1:]) for shape in plain}
    apart = {(trunk, *shape) for shape in plain if trunk and len(shape) > 1}
    return frozenset(shape for shape in plain | attached | apart if sum(shape) >= 7 and 2 <= len(shape) <= 6)


def _widths(group: str) -> range:
    """The lengths that one group of a metadata pattern can have."""
    least = most = 0
    for token in _GROUP_LENGTHS.finditer(group):
        low = int(token.group(1) or 1)
        least, most = least + low, most + int(token.group(2) or low)
    return range(least, most + 1)
