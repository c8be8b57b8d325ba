# SPDX-License-Identifier: MIT
"""Find the next moment that matches a five-field cron expression."""

from datetime import datetime, timedelta

RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


def parse_field(text: str, low: int, high: int) -> set[int]:
    """Expand one field, such as "*/15" or "1-5,9", to the numbers that it allows."""
    allowed: set[int] = set()
    for part in text.split(","):
        body, _, step_text = part.partition("/")
        step = int(step_text) if step_text else 1
        if body == "*":
            first, last = low, high
        elif "-" in body:
            first, last = (int(number) for number in body.split("-"))
        else:
            first = int(body)
            last = high if step_text else first
        if not low <= first <= last <= high:
            raise ValueError(f"{part!r} is outside {low}-{high}")
        allowed.update(range(first, last + 1, step))
    return allowed


def next_match(expression: str, after: datetime) -> datetime:
    fields = expression.split()
    if len(fields) != len(RANGES):
        raise ValueError(f"{expression!r} has {len(fields)} fields; five are needed")
    minute, hour, day, month, weekday = (
        parse_field(text, low, high) for text, (low, high) in zip(fields, RANGES.values(), strict=True)
    )
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    limit = after + timedelta(days=4 * 366)
    while moment < limit:
        if moment.month not in month:
            moment = (moment.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
        elif moment.day not in day or (moment.weekday() + 1) % 7 not in weekday:
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
        elif moment.hour not in hour:
            moment = moment.replace(minute=0) + timedelta(hours=1)
        elif moment.minute not in minute:
            moment += timedelta(minutes=1)
        else:
            return moment
    raise ValueError(f"{expression!r} never matches")


if __name__ == "__main__":
    print(next_match("*/20 6-8 * * 1-5", datetime(2025, 3, 7, 8, 50)))
