"""Numbers that states give to persons. Each country's is told from other numbers by its check digits and its form.

Where chance alone would let too many other numbers through, the number counts only behind a word that names it. How
precise a form is, by itself, stands beside it below.

Sources: the issuing authorities' descriptions of format and check digits: Receita Federal (CPF); UIDAI (Aadhaar;
Verhoeff 1969); Employment and Social Development Canada (SIN); RvIG (BSN); Ministerstwo Cyfryzacji (PESEL);
Bundeszentralamt für Steuern (Steuer-ID; ISO/IEC 7064, mod 11,10); INSEE (NIR); GB 11643-1999 (China; ISO/IEC 7064, mod
11-2); Ministerio del Interior (DNI, NIE); Agenzia delle Entrate (codice fiscale); HMRC, NIM39110 (NINO); IBZ (Belgium);
DVV (Finland); Skatteverket (Sweden); Korea's resident registration act; NVI (Turkey).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

Bounds = tuple[int, int]
_DIGIT_BEFORE = re.compile(rb"[A-Za-z0-9_.,/\\#&%@$+=-]\Z|[\x80-\xff]\Z")
_DIGIT_AFTER = re.compile(rb"[A-Za-z0-9_\\@%]|[-.,/:+][A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class NationalId:
    """How one country's number is told."""

    country: str
    shapes: frozenset[tuple[int, ...]]
    """Lengths of its groups of digits, as written; a letter before or behind does not count."""
    holds: Callable[[bytes, bytes, bytes], Bounds | None]
    """From the digits' piece of text and what stands before and behind: where the number begins and ends."""
    word: re.Pattern[bytes] | None = None
    """What must stand before it; None: the form is precise enough."""


_FILLERS = ("number", "numbers", "numero", "no", "nr", "num", "is", "code", "id", "card")


def _words(*words: str) -> re.Pattern[bytes]:
    named, filled = "|".join(words), "|".join(_FILLERS)
    return re.compile(rf"(?i)(?<![^\W_])(?:{named})(?:[ .:-]{{1,2}}(?:{filled}))*[^A-Za-z0-9<@\[]{{1,8}}\Z".encode())


def _digits(piece: bytes) -> list[int]:
    return [byte - 48 for byte in piece if 48 <= byte <= 57]


def _separators(piece: bytes) -> set[bytes]:
    return set(re.findall(rb"\D+", piece))


def _alone(piece: bytes, before: bytes, after: bytes, allowed: tuple[bytes, ...] = ()) -> bool:
    """Whether the digits are no part of a longer number or name, and what is between them is one of `allowed`."""
    separators = _separators(piece)
    return (
        (not separators or (len(separators) == 1 and separators <= set(allowed)))
        and _DIGIT_BEFORE.search(before) is None
        and _DIGIT_AFTER.match(after) is None
    )


def _whole(piece: bytes, right: bool) -> Bounds | None:
    return (0, len(piece)) if right else None


def weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day, from 1870 on and not in the future of this code's writing."""
    if not 1870 <= year <= 2030:
        return False
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _two_digit_date(year: int, month: int, day: int) -> bool:
    return is_date(1900 + year, month, day) or is_date(2000 + year, month, day)


def luhn(digits: list[int]) -> bool:
    """ISO/IEC 7812-1.

    >>> luhn([7, 9, 9, 2, 7, 3, 9, 8, 7, 1, 3])
    True
    """
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_VERHOEFF_TIMES = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
                   "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
_VERHOEFF_TURN = ("0123456789", "1576283094", "5803796142", "8916043527",
                  "9453126870", "4286573901", "2793806415", "7046913258")  # fmt: skip


def verhoeff(digits: list[int]) -> bool:
    """Verhoeff 1969.

    >>> verhoeff([2, 3, 6, 3]), verhoeff([2, 3, 6, 4])
    (True, False)
    """
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_TIMES[check][int(_VERHOEFF_TURN[place % 8][digit])])
    return check == 0


def _brazil(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    dotted = re.fullmatch(rb"\d{3}\.\d{3}\.\d{3}-\d{2}", piece) is not None
    if not _beside_nothing(before, after) or (not dotted and _separators(piece)) or len(set(digits)) == 1:
        return None
    for length in (9, 10):
        if weighted(digits, range(length + 1, 1, -1)) * 10 % 11 % 10 != digits[length]:
            return None
    return _whole(piece, True)


def _beside_nothing(before: bytes, after: bytes) -> bool:
    return _DIGIT_BEFORE.search(before) is None and _DIGIT_AFTER.match(after) is None


def _india(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    return _whole(piece, _alone(piece, before, after, (b" ", b"-")) and digits[0] > 1 and verhoeff(digits))


def _canada(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    return _whole(piece, _alone(piece, before, after, (b" ", b"-")) and digits[0] not in (0, 8) and luhn(digits))


def _netherlands(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    right = weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0
    return _whole(piece, _alone(piece, before, after, (b" ", b".", b"-")) and len(set(digits)) > 1 and right)


def _poland(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    century, month = divmod(digits[2] * 10 + digits[3], 20)
    year = (1900, 2000, 2100, 2200, 1800)[century] + digits[0] * 10 + digits[1]
    born = is_date(year, month, digits[4] * 10 + digits[5])
    right = weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return _whole(piece, born and right and _alone(piece, before, after))


def _germany(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    product = 10
    for digit in digits[:10]:
        product = (((digit + product) % 10) or 10) * 2 % 11
    right = (
        (11 - product) % 10 == digits[10]
        and digits[0] != 0
        and counts[-1] in (2, 3)
        and counts[:-1].count(1) == len(counts) - 1
    )
    return _whole(piece, right and _alone(piece, before, after, (b" ",)))


def _france(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = bytes(byte for byte in piece if 48 <= byte <= 57)
    number, key = int(digits[:13]), int(digits[13:])
    month = int(digits[3:5])
    right = digits[:1] in (b"1", b"2") and (1 <= month <= 12 or 20 <= month <= 42) and 97 - number % 97 == key
    return _whole(piece, right and digits[5:7] != b"00" and _alone(piece, before, after, (b" ",)))


_PROVINCES = frozenset(
    b"%d" % code for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (81, 82))
    for code in range(first, last + 1)
)  # fmt: skip


def _china(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    last = after[:1].upper() if len(piece) == 17 else piece[17:]
    behind = after[1:] if len(piece) == 17 else after
    if last not in b"0123456789X" or (len(piece) == 17 and last != b"X") or piece[:2] not in _PROVINCES:
        return None
    if not is_date(int(piece[6:10]), int(piece[10:12]), int(piece[12:14])):
        return None
    weights = [pow(2, 17 - place, 11) for place in range(17)]
    expected = b"10X98765432"[weighted(_digits(piece[:17]), weights) % 11]
    glued = (
        re.search(rb"[A-Za-z0-9_.]\Z", before) is not None or re.match(rb"[A-Za-z0-9_]|[.-][0-9]", behind) is not None
    )
    return (0, 18) if last == bytes([expected]) and not glued else None


_DNI_LETTERS = b"TRWAGMYFPDXBNJZSQVHLCKE"


def _letter_behind(after: bytes) -> tuple[bytes, int]:
    """A capital that stands alone behind a number, perhaps after a hyphen or a space, and how many bytes that takes."""
    match = re.match(rb"[- ]?([A-Z])(?![A-Za-z0-9_])", after)
    return (b"", 0) if match is None else (match.group(1), match.end())


def _spain(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    letter, size = _letter_behind(after)
    number = bytes(byte for byte in piece if 48 <= byte <= 57)
    right = letter == _DNI_LETTERS[int(number) % 23 :][:1] and not _separators(piece) - {b"."}
    return (0, len(piece) + size) if right and _DIGIT_BEFORE.search(before) is None else None


def _spain_foreigner(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    letter, size = _letter_behind(after)
    mark = re.search(rb"(?<![A-Za-z0-9_-])([XYZ])-?\Z", before)
    if mark is None:
        return None
    number = b"%d" % b"XYZ".index(mark.group(1)) + piece
    return (mark.start() - len(before), len(piece) + size) if letter == _DNI_LETTERS[int(number) % 23 :][:1] else None


def _belgium(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    if re.fullmatch(rb"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", piece) is None or not _beside_nothing(before, after):
        return None
    digits = bytes(byte for byte in piece if 48 <= byte <= 57)
    born = int(digits[2:4]) <= 12 and int(digits[4:6]) <= 31
    key = int(digits[9:])
    return _whole(piece, born and key in (97 - int(digits[:9]) % 97, 97 - int(b"2" + digits[:9]) % 97))


_HETU_LETTERS = b"0123456789ABCDEFHJKLMNPRSTUVWXY"


def _finland(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    day, month, year = (digits[place] * 10 + digits[place + 1] for place in (0, 2, 4))
    if _separators(piece) != {b"-"} or not is_date(1900 + year, month, day) or after[1:2].isalnum():
        return None
    number = int(bytes(byte for byte in piece if 48 <= byte <= 57))
    right = after[:1].isalpha() and after[:1] == bytes([_HETU_LETTERS[number % 31]])
    return (0, len(piece) + 1) if right and _DIGIT_BEFORE.search(before) is None else None


def _sweden(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    if _separators(piece) - {b"-"} or not _beside_nothing(before, after):
        return None
    year, month, day = (digits[-10:][place] * 10 + digits[-10:][place + 1] for place in (0, 2, 4))
    return _whole(piece, _two_digit_date(year, month, day) and luhn(digits[-10:]))


def _korea(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    year, month, day = (digits[place] * 10 + digits[place + 1] for place in (0, 2, 4))
    century = {1: 1900, 2: 1900, 5: 1900, 6: 1900, 3: 2000, 4: 2000, 7: 2000, 8: 2000}.get(digits[6], 0)
    right = (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == digits[12]
    return _whole(piece, right and is_date(century + year, month, day) and _alone(piece, before, after, (b"-",)))


def _turkey(piece: bytes, before: bytes, after: bytes) -> Bounds | None:
    digits = _digits(piece)
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    right = digits[0] != 0 and digits[9] == tenth and sum(digits[:10]) % 10 == digits[10]
    return _whole(piece, right and _alone(piece, before, after))


def _shapes(*shapes: tuple[int, ...]) -> frozenset[tuple[int, ...]]:
    return frozenset(shapes)


_NAMES: Mapping[str, tuple[str, ...]] = {
    "BR": ("cpf", "contribuinte"),
    "CA": ("sin", "social insurance", "nas"),
    "DE": ("steuer-id", "steuerid", "steuer-idnr", "idnr", "steueridentifikationsnummer", "identifikationsnummer"),
    "ES": ("dni", "nif", "documento", "identidad", "cedula"),
    "GB": ("ni", "nino", "national insurance"),
    "IN": ("aadhaar", "aadhar", "uidai", "uid"),
    "NL": ("bsn", "burgerservicenummer", "sofi-nummer", "sofinummer"),
    "PL": ("pesel",),
    "SE": ("personnummer", "personnr", "pnr", "personal identity"),
    "TR": ("tc", "tckn", "kimlik", "tc kimlik"),
}
"""What must stand before a number whose form does not say enough."""
NAME_WORDS = (*(name for names in _NAMES.values() for name in names), *_FILLERS)
_WORD = {country: _words(*names) for country, names in _NAMES.items()}

NATIONAL_IDS: tuple[NationalId, ...] = (
    NationalId("BR", _shapes((3, 3, 3, 2)), _brazil),  # 1 in 100, in a form that nothing else has
    NationalId("FR", _shapes((15,), (13, 2), (1, 2, 2, 2, 3, 3, 2)), _france),  # 1 in 2,000
    NationalId("CN", _shapes((17,), (18,)), _china),  # 1 in 100,000
    NationalId("BE", _shapes((2, 2, 2, 3, 2)), _belgium),  # 1 in 97, in a form that nothing else has
    NationalId("FI", _shapes((6, 3)), _finland),  # 1 in 100, in a form that nothing else has
    NationalId("KR", _shapes((6, 7)), _korea),  # 1 in 40
    NationalId("ES", _shapes((7,)), _spain_foreigner),  # 1 in 200 of a letter, seven digits and a letter
    NationalId("BR", _shapes((11,)), _brazil, _WORD["BR"]),
    NationalId("SE", _shapes((6, 4), (8, 4), (10,), (12,)), _sweden, _WORD["SE"]),
    NationalId("IN", _shapes((4, 4, 4), (12,)), _india, _WORD["IN"]),
    NationalId("CA", _shapes((3, 3, 3), (9,)), _canada, _WORD["CA"]),
    NationalId("NL", _shapes((9,), (4, 2, 3), (3, 3, 3)), _netherlands, _WORD["NL"]),
    NationalId("PL", _shapes((11,)), _poland, _WORD["PL"]),
    NationalId("DE", _shapes((11,), (2, 3, 3, 3)), _germany, _WORD["DE"]),
    NationalId("ES", _shapes((8,), (2, 3, 3)), _spain, _WORD["ES"]),
    NationalId("TR", _shapes((11,)), _turkey, _WORD["TR"]),
)

COUNTRIES: tuple[str, ...] = tuple(sorted({rule.country for rule in NATIONAL_IDS} | {"GB", "IT"}))


def national_id_shapes(countries: tuple[str, ...], *, named: bool) -> frozenset[tuple[int, ...]]:
    """Group lengths of the numbers of these countries: those that count behind a name, or the others.

    >>> sorted(national_id_shapes(("PL", "IN", "KR"), named=True)), *national_id_shapes(("KR", "PL"), named=False)
    ([(4, 4, 4), (11,), (12,)], (6, 7))
    """
    wanted = [rule.shapes for rule in NATIONAL_IDS if rule.country in countries and (rule.word is not None) == named]
    return frozenset[tuple[int, ...]]().union(*wanted)


def national_id_bounds(
    candidate: bytes, before: bytes, after: bytes, countries: tuple[str, ...], *, named: bool
) -> Bounds | None:
    """Where around a candidate a person's number stands: its first byte from the candidate's, and its end.

    >>> national_id_bounds(b"529.982.247-25", b"", b"", ("BR",), named=False)
    (0, 14)
    >>> national_id_bounds(b"529.982.247-26", b"", b"", ("BR",), named=False) is None
    True
    """
    shape = tuple(map(len, re.findall(rb"\d+", candidate)))
    for rule in NATIONAL_IDS:
        if rule.country in countries and shape in rule.shapes and (rule.word is not None) == named:
            named_so = rule.word is None or rule.word.search(before) is not None
            bounds = rule.holds(candidate, before, after) if named_so else None
            if bounds is not None:
                return bounds
    return None


_NINO = re.compile(rb"[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?\d{2}( ?)\d{2}\1\d{2} ?[A-D]", re.IGNORECASE)
_UNUSED_PREFIXES = frozenset({b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"})


def is_nino(candidate: bytes, before: bytes) -> bool:
    """Whether letters and digits are a British national insurance number: in groups of two, or behind its name.

    It has no check digit.

    >>> is_nino(b"AB 12 34 56 C", b""), is_nino(b"AB123456C", b""), is_nino(b"AB123456C", b"NI number: ")
    (True, False, True)
    """
    if _NINO.fullmatch(candidate) is None or candidate[:2].upper() in _UNUSED_PREFIXES:
        return False
    grouped = candidate.count(b" ") == 4 and candidate.isupper()
    return grouped or _WORD["GB"].search(before) is not None


_FISCAL = re.compile(rb"([A-Z]{6})(\d{2})([A-EHLMPRST])(\d{2})([A-M])(\d{3})([A-Z])")
_ODD = dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)) | dict(
    zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
                                       22, 25, 24, 23), strict=True)
)  # fmt: skip


def is_fiscal_code(token: bytes) -> bool:
    """Whether 16 letters and digits are an Italian codice fiscale: its form, a day of birth and a check letter.

    >>> is_fiscal_code(b"RSSMRA85T10A562S"), is_fiscal_code(b"RSSMRA85T10A562T")
    (True, False)
    """
    code = token.upper()
    match = _FISCAL.fullmatch(code)
    if match is None or not 1 <= int(match.group(4)) % 40 <= 31 or not (token.isupper() or token.islower()):
        return False
    total = sum(_ODD[character] for character in code[:15:2].decode())
    total += sum(int(character, 36) - 10 * character.isalpha() for character in code[1:15:2].decode())
    return total % 26 == code[15] - 65
