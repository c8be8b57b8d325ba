"""The losses that an external trainer writes: a JSON file with one of three kinds, and what else is known.

    {"bits_per_byte": {"web": 1.12, "books": 1.31},   bits for each UTF-8 byte of the domain's texts; or
     "nats_per_byte": {"web": …},                     the same in nats; or
     "nats": {"web": …},                              the sum over all texts of the domain: -ln p of everything
     "parameters": 1000000,                           optional, without embeddings
     "flops": 6e12,                                   optional, of training
     "train_tokens": 1000000,                         optional, repetitions included; else what was asked
     "told": {"steps": 500}}                          optional, anything for people

Every held-out domain has a loss, each above 0. Losses are counted by the byte since a trainer may have a tokenizer of
its own: losses by the token of different vocabularies cannot be compared.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import CorpusmillError, nearest
from corpusmill.scaling.contract import Trained

UNITS = ("bits_per_byte", "nats_per_byte", "nats")
_KEYS = (*UNITS, "parameters", "flops", "train_tokens", "told")
_MAX_BYTES = 1 << 20


class TrainerError(CorpusmillError):
    """An external trainer failed, or what it wrote cannot be used."""


def read_losses(path: Path, text_bytes: Mapping[str, int], tokens: int) -> Trained:
    """What a trainer wrote.

    Args:
        path: the JSON file.
        text_bytes: domain -> UTF-8 bytes of its texts.
        tokens: that were asked for.

    Raises:
        TrainerError: if it is missing, is not of the form that the module's docstring shows, or a loss is missing or is
            no number above 0.
    """
    data = _object_of(path)
    for key in data:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            mend = f'did you mean "{near}"?' if near else "put what is for people under `told`"
            raise TrainerError(f"{path}: {key}: is not read; {mend}")
    units = [unit for unit in UNITS if unit in data]
    if len(units) != 1:
        raise TrainerError(f"{path}: has {' and '.join(units) or 'no losses'}; give one of {', '.join(UNITS)}")
    return Trained(
        bits_per_byte=_by_domain(path, units[0], data[units[0]], text_bytes),
        train_tokens=_whole(path, "train_tokens", data, 1) or tokens,
        parameters=_whole(path, "parameters", data, 0),
        flops=None if data.get("flops") is None else _number(path, "flops", data["flops"]),
        told=_told(path, data.get("told", {})),
    )


def _object_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TrainerError(f"{path}: the command ended well, but wrote no losses; write them to the file named {{out}}")
    with open(path, "rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise TrainerError(f"{path}: is larger than {_MAX_BYTES:,} bytes; write losses, and leave the rest elsewhere")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}: is no JSON ({error}); write an object of losses") from error
    if not isinstance(data, dict):
        raise TrainerError(f'{path}: is no object; write {{"{UNITS[0]}": {{domain: loss}}}}')
    return data


def _by_domain(path: Path, unit: str, losses: object, text_bytes: Mapping[str, int]) -> dict[str, float]:
    """Bits for each byte."""
    domains = ", ".join(text_bytes)
    if not isinstance(losses, dict):
        raise TrainerError(f"{path}: {unit}: give a loss for each of {domains}, not {losses!r}")
    for domain in losses:
        if domain not in text_bytes:
            raise TrainerError(f"{path}: {unit}.{domain}: is no held-out domain ({domains}); leave it out")
    found = {}
    for domain, n_bytes in text_bytes.items():
        place = f"{unit}.{domain}"
        if domain not in losses:
            raise TrainerError(f"{path}: {place}: is missing; evaluate each of {domains}")
        loss = _number(path, place, losses[domain])
        if loss == 0:
            raise TrainerError(f"{path}: {place}: is 0, which says that the model knew every byte; look at its log")
        nats = loss / n_bytes if unit == "nats" else loss
        found[domain] = loss if unit == "bits_per_byte" else nats / math.log(2)
    return found


def _told(path: Path, told: object) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise TrainerError(f"{path}: told: give an object, not {told!r}")
    try:
        json.dumps(told, allow_nan=False)
    except ValueError as error:
        raise TrainerError(f"{path}: told: holds NaN or an infinity, which JSON has not; use null") from error
    return told


def _number(path: Path, key: str, value: object) -> float:
    """A finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TrainerError(f"{path}: {key}: {value!r} is no number; give one")
    if not 0 <= value <= sys.float_info.max:
        raise TrainerError(f"{path}: {key}: {value} must be finite, and 0 or more; look at the training's log")
    return float(value)


def _whole(path: Path, key: str, data: Mapping[str, Any], least: int) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    number = _number(path, key, value)
    if number != int(number) or not least <= number < 1 << 63:
        raise TrainerError(f"{path}: {key}: {value} must be a whole number, {least} or more; leave it out if unknown")
    return int(value)
