"""Parameters, tokens and FLOPs as people write them: 7e9, 7B, 500M, 2T."""

from __future__ import annotations

import math
import re

from corpusmill.documents.errors import UsageError

_LETTERS = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_UNITS = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3))
_WHOLE = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+(?:_[0-9]+)*"
_BEHIND = r"(e\+?[0-9]{1,2})?\s*([KMGBT]?)"
_NUMBER = re.compile(rf"((?:{_WHOLE})(?:\.[0-9]*)?|\.[0-9]+){_BEHIND}", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(rf"[0-9]*,[0-9]+{_BEHIND}", re.IGNORECASE | re.ASCII)
_SIGNIFICANT = 3


def read_amount(text: str, what: str, *, zero: bool = False) -> float:
    """The number that a text says.

    Args:
        text: digits, with `_` between them or `,` between thousands, an exponent, and one of the letters K, M, B (or G)
            and T behind. A comma is no decimal point.
        what: the option, for the error.
        zero: whether 0 is an amount, too.

    Raises:
        UsageError: if it is no such number, or not above 0.

    >>> read_amount("7B", "--params"), read_amount("1.5e12", "--tokens"), read_amount("500_000", "--tokens")
    (7000000000.0, 1500000000000.0, 500000.0)
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        if _DECIMAL_COMMA.fullmatch(text.strip()):
            raise UsageError(f"{what}: {text!r}: a comma only parts thousands; write {text.strip().replace(',', '.')}")
        raise UsageError(f"{what}: {text!r} is no amount; write it as 7e9, 7B, 500M or 2T")
    digits, exponent, letter = found.groups()
    value = float(re.sub("[_,]", "", digits) + (exponent or "")) * _LETTERS.get(letter.upper(), 1)
    if value == math.inf or (value == 0 and not zero):
        raise UsageError(f"{what}: {text!r} is not above 0 or too large; write such as 7e9, 7B, 500M or 2T")
    return value


def read_range(text: str, what: str) -> tuple[float, float]:
    """The two ends of `1e9:1e11` or `1B:100B`, the smaller first.

    Raises:
        UsageError: if it is no range.

    >>> read_range("1B:100B", "--range")
    (1000000000.0, 100000000000.0)
    """
    first, colon, last = text.partition(":")
    if not colon:
        raise UsageError(f"{what}: {text!r} is no range; write its two ends such as 1B:100B")
    low, high = read_amount(first, what), read_amount(last, what)
    if low >= high:
        raise UsageError(f"{what}: {text!r} does not rise; the smaller end comes first")
    return low, high


def amount(value: float) -> str:
    """A number in three digits and a letter, or as a power of ten where there is no letter for it.

    >>> amount(6.97e9), amount(1.248e12), amount(999_960), amount(5.88e23), amount(12), amount(0)
    ('6.97B', '1.25T', '1M', '5.88e23', '12', '0')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.{_SIGNIFICANT - 1}e}")
    if not 1e-2 <= rounded < 1e15:
        mantissa, _, exponent = f"{rounded:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    letter, unit = next(((letter, unit) for letter, unit in _UNITS if rounded >= unit), ("", 1.0))
    return f"{rounded / unit:.{_SIGNIFICANT}g}{letter}"
