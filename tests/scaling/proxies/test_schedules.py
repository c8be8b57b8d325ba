"""Learning rates over runs of any length."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.scaling.proxies.schedules import MAX_WARMUP, Schedule

SHARE = st.floats(0, 1)


@given(st.sampled_from(["cosine", "wsd"]), st.integers(1, 3000), SHARE, SHARE, SHARE)
def test_rates_rise_once_then_never_again(
    kind: Literal["cosine", "wsd"], steps: int, warmup: float, decay: float, final: float
) -> None:
    schedule = Schedule(kind=kind, steps=steps, warmup=warmup, decay=decay, final=final)
    rates = [schedule.factor(step) for step in range(steps)]
    top = schedule.warmup_steps
    assert top <= min(MAX_WARMUP, steps // 3)
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(a < b for a, b in pairwise(rates[:top]))
    assert all(a >= b - 1e-12 for a, b in pairwise(rates[top:]))


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("steps", [12, 1000])
def test_the_last_step_gets_the_final_rate(kind: Literal["cosine", "wsd"], final: float, steps: int) -> None:
    schedule = Schedule(kind=kind, steps=steps, warmup=0.1, decay=0.2, final=final)
    assert schedule.factor(steps - 1) == pytest.approx(final, abs=1e-12)
    assert max(map(schedule.factor, range(steps))) == 1.0


def test_warmup_stable_decay_is_stable_until_its_last_share() -> None:
    schedule = Schedule(kind="wsd", steps=100, warmup=0.1, decay=0.2, final=0.0)
    assert [schedule.factor(step) for step in (10, 50, 79)] == [1.0, 1.0, 1.0]
    assert schedule.factor(80) < 1.0
    assert schedule.factor(84) == pytest.approx(1 - 0.5)  # 1 - sqrt(5/20)


def test_a_run_of_one_step_trains_at_some_rate() -> None:
    assert Schedule(kind="cosine", steps=1, warmup=0.5, decay=0.2, final=0.1).factor(0) == 1.0
    assert Schedule(kind="wsd", steps=1, warmup=0.5, decay=0.2, final=0.1).factor(0) == pytest.approx(0.1)
