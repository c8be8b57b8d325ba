"""docs/scaling/sweeps.md names every key that a sweep may have."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from corpusmill.scaling.sweep_options import Heldout, Pool, ProxyTokenizer, Score, SweepOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scaling" / "sweeps.md").read_text()
KEYS = {item.name for kind in (SweepOptions, Pool, Score, Heldout, ProxyTokenizer) for item in dataclasses.fields(kind)}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_is_told(key: str) -> None:
    assert re.search(rf"`[^`\n]*\b{key}\b[^`\n]*`", PAGE)
