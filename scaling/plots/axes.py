"""Axes of plots: where a value lies, which ticks there are, and how numbers read.

Ticks are steps of 1, 2 or 5 times a power of ten; on a logarithmic axis of more than a decade, 1, 2 and 5 in each
decade, or the decades alone where these would be too many. Tokens read as 20k, 5M, 1.5B, 2T.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_LARGEST = 1e150  # differences and products of two such numbers are still finite
_SMALLEST = 1e-150
_TINY = 1e-200  # below every axis
_SAME = 1e-9  # a range narrower than this share of its values is one value: no plot has so many pixels
_MARGIN = 0.05  # room between the values and the frame, as a share of the axis


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis with what is written there."""

    value: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float
    """Above `low`."""
    logarithmic: bool = False
    """Then `low` is above zero."""

    def has(self, value: float) -> bool:
        """Whether a value can be drawn; NaN, and zero on a logarithmic axis, cannot."""
        return self.low <= value <= self.high

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.logarithmic:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[Tick]:
        """At most `most` ticks (2 or more) within the axis."""
        if self.logarithmic:
            least = 2 if self.high > 10 * self.low else 3
            for values in self._decades():
                if least <= len(values) <= most:
                    return [Tick(value, short(value)) for value in values]
        return self._even(most)

    def _decades(self) -> Iterable[list[float]]:
        """Ticks at 1, 2 and 5 in each decade; at each decade; at each second, third, ... one."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in (_STEPS, (1,)):
            yield self._within(step * 10.0**power for power in range(first, last + 1) for step in steps)
        for each in range(2, last - first + 1):
            yield self._within(10.0**power for power in range(first, last + 1) if power % each == 0)

    def _even(self, most: int) -> list[Tick]:
        step = _nice((self.high - self.low) / (most + 1))
        while (last := math.floor(self.high / step)) - (first := math.ceil(self.low / step)) >= most:
            step = _nice(1.5 * step)
        return [Tick(number * step, short(number * step, step)) for number in range(first, last + 1)]

    def _within(self, values: Iterable[float]) -> list[float]:
        return [value for value in values if self.has(value)]


def scale(values: Iterable[float], *, logarithmic: bool = False, margin: float = _MARGIN, least: float = 0.0) -> Scale:
    """The axis that shows all values that can be shown, with a margin.

    Values that are no finite number, and those up to zero on a logarithmic axis, are left out. One value alone, or many
    that are all but equal, stand in the middle; without any, the axis goes from 0 to 1, or from 1 to 10.

    Args:
        margin: room at either end, as a share of the axis.
        least: the shortest range of values that an axis spans, so that noise alone does not fill it; on a logarithmic
            axis, in powers of ten.
    """
    kept = [_bounded(value) for value in values if math.isfinite(value) and not (logarithmic and value <= 0)]
    if not kept:
        return Scale(low=1.0, high=10.0, logarithmic=True) if logarithmic else Scale(low=0.0, high=1.0)
    low, high = min(kept), max(kept)
    if logarithmic:
        low, high = _spread(math.log10(low), math.log10(high), margin, least, size=1.0)
        return Scale(low=10**low, high=10**high, logarithmic=True)
    low, high = _spread(low, high, margin, least, size=max(abs(low), abs(high)) or 10.0)
    return Scale(low=low, high=high)


def _spread(low: float, high: float, margin: float, least: float, *, size: float) -> tuple[float, float]:
    if high - low <= _SAME * size:
        least = max(least, 0.1 * size)
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    room = (high - low) * margin
    return low - room, high + room


def _bounded(value: float) -> float:
    if abs(value) < _SMALLEST:
        return _SMALLEST if value > 0 else 0.0
    return max(-_LARGEST, min(_LARGEST, value))


def _nice(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (*_STEPS, 10) if times * power >= step * (1 - 1e-9))


def short(value: float, step: float | None = None) -> str:
    """A number as an axis has it: with a unit from a thousand on, to the decimals of `step` or to three digits.

    >>> short(20_000), short(1.5e9, 5e8), short(1.95, 0.05), short(2.0, 0.05), short(0.25), short(3e-7)
    ('20k', '1.5B', '1.95', '2.00', '0.25', '3e-7')
    """
    exact, value = step is not None, value if abs(value) > _TINY else 0.0
    if step is None:
        value = float(f"{value:.2e}")
        step = 10.0 ** (_power(abs(value)) - 2) if value else 1.0
    size = abs(value)
    if size < step / 2:
        return "0"
    if size >= 1e15 or max(step, size / 100) < 1e-5:
        digits = max(0, min(12, _power(size) - _power(step)))
        mantissa, power = f"{value:.{digits}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(power)}"
    for unit, name in _UNITS:
        if size >= unit * (1 - 1e-9) and step >= unit / 1000:
            return _trimmed(f"{value / unit:.{_decimals(step / unit)}f}") + name
    text = f"{value:.{_decimals(step)}f}"
    return text if exact else _trimmed(text)


def _decimals(step: float) -> int:
    return max(0, min(12, -_power(step)))


def _power(size: float) -> int:
    """Of ten, of the first digit; what is a hair below a power counts as it."""
    return math.floor(math.log10(size) + 1e-9)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def thinned(count: int, most: int) -> Sequence[int]:
    """At most `most` of the numbers below `count`, evenly spread, the first and the last among them.

    >>> list(thinned(10, 4)), list(thinned(3, 4))
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if count <= most:
        return range(count)
    return sorted({round(place * (count - 1) / max(most - 1, 1)) for place in range(most)})
