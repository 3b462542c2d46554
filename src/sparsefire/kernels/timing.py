"""How long a short call takes on this machine, robustly on a busy one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

_GROUPS = 15


def time_call(call: Callable[[], Any], seconds: float = 0.2) -> tuple[float, float, float]:
    """Measure one call after a warm-up.

    Args:
        call: a function without arguments.
        seconds: about how long to measure, positive; at least 15 calls are made.

    Returns:
        median, low and high in microseconds per call. The time is cut into 15 groups of short batches; what disturbs
        a machine only ever adds time, so each group is represented by its fastest batch. ``median`` is the median over
        the groups, ``low`` and ``high`` their 10 % and 90 % quantiles.

    >>> median, low, high = time_call(lambda: sum(range(100)), seconds=0.01)
    >>> 0 < low <= median <= high
    True
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds!r}")
    clock = time.perf_counter
    for _ in range(3):  # compiles, fills caches
        call()
    start = clock()
    call()
    once = max(clock() - start, 1e-7)
    # A batch should be long against the clock (about 50 ns), and short against a scheduler's slice (some ms).
    batch = max(1, int(min(2e-4, seconds / _GROUPS) / once))
    groups = []
    for _ in range(_GROUPS):
        end = clock() + seconds / _GROUPS
        best = np.inf
        while True:
            start = clock()
            for _ in range(batch):
                call()
            stop = clock()
            best = min(best, (stop - start) / batch)
            if stop >= end:
                break
        groups.append(1e6 * best)
    low, median, high = np.quantile(groups, [0.1, 0.5, 0.9])
    return float(median), float(low), float(high)
