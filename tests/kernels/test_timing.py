# Oracle: a clock that is set by hand, and sleeps of known length.
from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from sparsefire.kernels import timing
from sparsefire.kernels.timing import time_call
from sparsefire.randomness import stream


def test_known_sleep():
    median, low, high = time_call(lambda: time.sleep(0.002), seconds=0.1)
    assert 2000 <= low <= median <= high
    assert median < 20_000  # right unit, on a busy machine too


def test_disturbances_do_not_count(monkeypatch):
    now = [0.0]
    rng = stream(0, "disturbances")
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def call():
        now[0] += 5e-6 if rng.random() < 0.999 else 5e-3  # another process takes a slice now and then

    median, low, high = time_call(call, seconds=0.3)
    assert median == pytest.approx(5.0, rel=1e-3)
    assert low == pytest.approx(5.0, rel=1e-3)
    assert high < 6.0


def test_slow_calls_are_made_at_least_once_per_group(monkeypatch):
    now, calls = [0.0], [0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def call():
        calls[0] += 1
        now[0] += 2.0

    assert time_call(call, seconds=0.1) == (2e6, 2e6, 2e6)
    assert calls[0] == 4 + 15


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_seconds_are_positive(seconds):
    with pytest.raises(ValueError, match="positive"):
        time_call(int, seconds)
