"""One measurement, as everybody gives it: final sizes and CPU seconds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Turn(NamedTuple):
    """What one measurement gave: final sizes [runs] and the CPU seconds of all of them."""

    sizes: np.ndarray
    seconds: float


Entrant = Callable[[int], Turn]  # how many runs


def timed(run: Callable[[int], Any]) -> Entrant:
    """Return an entrant that measures itself, without the collection of cycles, as ``timeit`` does."""

    def measure(runs: int) -> Turn:
        gc.disable()
        start = time.process_time()
        sizes = run(runs)
        seconds = time.process_time() - start
        gc.enable()
        return Turn(np.asarray(sizes), seconds)

    return measure


def enough(entrant: Entrant, seconds: float) -> int:
    """Return how many runs take so long; the first call compiles or fills caches and does not count."""
    entrant(1)
    runs = 1
    while (spent := entrant(runs).seconds) < seconds / 4:
        runs *= 4
    return max(1, round(runs * seconds / spent))
