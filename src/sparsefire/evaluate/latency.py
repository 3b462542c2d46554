"""The time one row takes on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefire.kernels.timing import time_call
from sparsefire.parallel import one_thread


def latency(function: Callable[[np.ndarray], Any], row: np.ndarray, seconds: float = 0.2) -> tuple[float, float, float]:
    """Measure ``function(row)`` on one thread after a warm-up.

    Args:
        function: takes one prepared row, such as ``model.runner()``, ``model.outputs`` or an estimator's ``predict``.
        row: one row as the function wants it, with the batch dimension: [1, features] or [1, channels, height, width].
        seconds: about how long to measure.

    Returns:
        median, low and high in microseconds, see :func:`sparsefire.kernels.timing.time_call`.

    Raises:
        ValueError: more or less than one row, or seconds that are not positive.

    >>> median, low, high = latency(lambda x: x.sum(), np.zeros((1, 5)), seconds=0.01)
    >>> 0 < low <= median <= high
    True
    """
    if len(row) != 1:
        raise ValueError(f"latency is that of one row, got {len(row)}")
    with one_thread():
        return time_call(lambda: function(row), seconds)
