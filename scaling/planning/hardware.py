"""What training costs in device-hours, days, money and energy on named accelerators (`hardware.yaml`, each with its
source).

    device-hours = FLOPs / (peak · utilisation) / 3600
    energy       = device-hours · watts · PUE

The peak is the vendor's dense bf16 rate. Utilisation is the share of it that a training reaches (model FLOP
utilisation); 40 % is usual for dense transformers that are well set up (PaLM reports 46 %: Chowdhery et al. 2022,
arXiv:2204.02311, table 3), and is assumed where none is given. Every device is taken to draw its rated power all the
time; hosts and network are not counted. Prices are the user's: none are known here, as they change by the week.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from corpusmill.documents.errors import UsageError, nearest
from corpusmill.scaling.planning.published import check_positive

UTILISATION = 0.4
"""Of the peak, where nothing is said."""
PUE = 1.2
"""Power usage effectiveness, where nothing is said: what the site draws for each watt that reaches the devices. A good
data centre; the largest report 1.1, and surveys find 1.5 to 1.6 on average."""
_HOUR = 3600
_DAY = 24


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One device."""

    name: str
    """What commands call it."""
    title: str
    """What people call it."""
    peak_flops: float
    """Dense bf16 FLOP/s."""
    watts: float | None
    """Rated power; None where the vendor publishes none."""
    source: str
    """The vendor's document."""
    aliases: tuple[str, ...]
    """Other names that commands take."""


@dataclass(frozen=True, kw_only=True)
class Rental:
    """Devices and on what terms.

    Raises:
        UsageError: if a number is out of its range.
    """

    accelerator: Accelerator
    """Which."""
    devices: int | None = None
    """How many work side by side; None: days are not told."""
    utilisation: float = UTILISATION
    """Share of the peak, above 0 and at most 1."""
    price: float | None = None
    """Of one device for an hour, in the user's currency; None: money is not told."""
    pue: float = PUE
    """At least 1."""

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise UsageError(
                f"--utilisation: {self.utilisation!r} is no share of the peak above 0 and up to 1; .4 is usual"
            )
        if not 1 <= self.pue < math.inf:
            raise UsageError(f"--pue: {self.pue!r} is below 1 or no number; 1 is a site that needs nothing for itself")
        if self.price is not None and not 0 <= self.price < math.inf:
            raise UsageError(f"--price: {self.price!r} is no price of an hour of one device; give 0 or more")
        if self.devices is not None and self.devices < 1:
            raise UsageError(f"--gpus: {self.devices!r} devices cannot train; give 1 or more")

    def bill(self, flops: float) -> Bill:
        """What so many FLOPs cost.

        >>> rental = Rental(accelerator=find_accelerator("h100"), devices=1024, price=2.5)
        >>> bill = rental.bill(6 * 7e9 * 2e12)
        >>> f"{bill.hours:,.0f} hours, {bill.days:.1f} days, {bill.money:,.0f}, {bill.megawatt_hours:.1f} MWh"
        '58,952 hours, 2.4 days, 147,381, 49.5 MWh'
        """
        check_positive("FLOPs", flops)
        hours = flops / (self.accelerator.peak_flops * self.utilisation) / _HOUR
        watts = self.accelerator.watts
        return Bill(
            hours=hours,
            days=None if self.devices is None else hours / self.devices / _DAY,
            money=None if self.price is None else hours * self.price,
            megawatt_hours=None if watts is None else hours * watts * self.pue / 1e6,
        )


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a training costs; None where something needed for it is not known."""

    hours: float
    """Of devices."""
    days: float | None
    """By the clock."""
    money: float | None
    """In the currency of the price."""
    megawatt_hours: float | None
    """With what the site needs for itself."""


def accelerators() -> tuple[Accelerator, ...]:
    """All that are known, in the order of the file."""
    return tuple(_accelerators().values())


def find_accelerator(name: str) -> Accelerator:
    """The accelerator of a name, in any spelling: `H100 SXM`, `h100_sxm`, `h100`.

    Raises:
        UsageError: if there is none; it names the one that is close.

    >>> find_accelerator("TPU v5e").peak_flops, find_accelerator("h100").name
    (197000000000000.0, 'h100-sxm')
    """
    known = {alias: one for one in accelerators() for alias in (one.name, *one.aliases)}
    wanted = re.sub(r"[\s_-]+", "-", name.strip().lower())
    if wanted not in known:
        close = nearest(wanted, known)
        mend = f"did you mean {close}?" if close else f"there are {', '.join(_accelerators())}"
        raise UsageError(f"--hardware: {name!r} is no accelerator known here; {mend}")
    return known[wanted]


@cache
def _accelerators() -> dict[str, Accelerator]:
    entries = yaml.safe_load((files("corpusmill.scaling.planning") / "hardware.yaml").read_text(encoding="utf-8"))
    return {
        name: Accelerator(
            name=name,
            title=entry["title"],
            peak_flops=entry["teraflops"] * 1e12,
            watts=entry["watts"],
            source=entry["source"],
            aliases=tuple(entry.get("aliases", ())),
        )
        for name, entry in entries.items()
    }
