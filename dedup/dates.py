"""Moments that sources state as text, as numbers that can be compared.

Read are, with or without white space before them:

    2021   2021-05   2021-05-03   2021/5/3   2021-05-03T10:20:30.5+02:00   2021-05-03 10:20 UTC     ISO 8601 and near it
    20210503   202105031020   20210503102030                                ISO 8601's basic form, archives' time stamps
    Mon, 3 May 2021 10:20:30 +0200   3 May 2021                             RFC 5322 (mail) and HTTP

What follows a day or a time is not looked at. A missing part counts as the first there is (2021 is the first second of
2021), and a time without a zone as UTC. Nothing else is a date, other orders of day and month least of all (3/5/2021 is
May to some and March to others); nor are years before 1000: 0001-01-01 is what software writes for no date.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# RE2: its time is linear, and \d is 0 to 9. A zone of letters is read as UTC, which it nearly always is (GMT, UTC, Z).
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s?(?:(?P<zone>[+-]\d{2}:?\d{2}))?"
_PATTERNS = (
    r"^\s*(?P<year>\d{4})(?:\s*$|[-/](?P<month>\d{1,2})(?:\s*$|[-/](?P<day>\d{1,2})"
    rf"(?:[Tt ]\s?{_TIME})?(?:\D|$)))",
    r"^\s*(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[Tt]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?(?P<zone>[+-]\d{2}:?\d{2})?)?(?:\D|$)",
    rf"^\s*(?:[A-Za-z]{{3,9}},?\s+)?(?P<day>\d{{1,2}})[\s-](?P<name>[A-Za-z]{{3}})[a-z]*[\s-](?P<year>\d{{4}})"
    rf"(?:\s+{_TIME})?(?:\D|$)",
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_YEAR = 1000
_HIGHEST = {"hour": 24, "minute": 59, "second": 60}  # midnight may be 24:00, and a leap second is 60


def seconds(dates: pa.StringArray) -> pa.Int64Array:
    """Seconds since 1970 (UTC) of each date; null where there is none that can be read.

    >>> seconds(pa.array(["1970-01-02", "Thu, 1 Jan 1970 01:00:00 +0100", "yesterday"])).to_pylist()
    [86400, 0, None]
    """
    result, known = np.zeros(len(dates), np.int64), np.zeros(len(dates), np.bool_)
    for pattern in _PATTERNS:
        found = pc.extract_regex(dates, pattern)
        parts = dict(zip((field.name for field in found.type), found.flatten(), strict=True))
        values, valid = _moments(parts, len(dates))
        fresh = valid & ~known
        result[fresh] = values[fresh]
        known |= fresh
    return pa.array(result, pa.int64(), mask=~known)


def _moments(parts: dict[str, pa.StringArray], count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Seconds since 1970, and where there is such a day and time."""
    if "name" in parts:  # the array is made here, since the first one imports pandas
        month = pc.fill_null(pc.index_in(pc.utf8_lower(parts["name"]), value_set=pa.array(_MONTHS)), -1).to_numpy() + 1
    else:
        month = _numbers(parts["month"], 1)
    year, day = _numbers(parts["year"], -1), _numbers(parts["day"], 1)
    valid = (year >= _FIRST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1)
    months = (12 * (year - 1970) + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    valid &= days.astype("datetime64[M]") == months
    moment = days.astype(np.int64) * 86_400
    for name, unit in (("hour", 3600), ("minute", 60), ("second", 1)):
        value = _numbers(parts[name], 0)
        valid &= value <= _HIGHEST[name]
        moment += unit * value
    offset = _numbers(pc.replace_substring_regex(parts["zone"], "[:+]", ""), 0)  # +02:30 is 230
    moment -= np.sign(offset) * (np.abs(offset) // 100 * 3600 + np.abs(offset) % 100 * 60)
    return moment, valid


def _numbers(digits: Any, missing: int) -> NDArray[np.int64]:
    given = pc.fill_null(pc.not_equal(digits, ""), False)
    return np.asarray(pc.if_else(given, digits, str(missing)).cast(pa.int64()).to_numpy(zero_copy_only=False))
