"""The job that finds an exact law, beside a second route to it."""

from __future__ import annotations

import time
from importlib.metadata import version

import numpy as np

from cascade_speed.comparison import Effort, Record, record
from sparsefire.cascades import IndependentCascade, SizeDistribution
from sparsefire.wiring import random_tree

MOST_APART = 1e-12  # by which two exact laws may differ


def by_roots_of_unity(parents: np.ndarray, p: float, q: float, points: int = 512) -> np.ndarray:
    """Return P(size) on a tree, float64 [n + 1], from its generating function at roots of unity (plain NumPy).

    An edge is open with probability p once for all, and a cascade is what open edges join to a source. For the cluster
    of a unit within its subtree, y counting active units below: X, as if it were active; W, the same without a source
    in it; Z, inactive and without a source. A child joins by p (X, W, Z) + (1 - p) E with E = Z + X - W.

    Args:
        parents: of units 1 … n - 1, each before its child.
        p, q: of an edge to be open, of a unit to be a source.
        points: at once.
    """
    n = len(parents) + 1
    values = np.empty((n + 1) // 2 + 1, np.complex128)  # the other half is conjugate
    for low in range(0, len(values), points):
        y = np.exp(-2j * np.pi / (n + 1) * np.arange(low, min(low + points, len(values))))
        messages = np.tile(np.stack([y, (1 - q) * y, np.full_like(y, 1 - q)]), (n, 1, 1))  # X, W, Z of every unit
        for child in range(n - 1, 0, -1):
            x, w, z = messages[child]
            messages[parents[child - 1]] *= p * messages[child] + (1 - p) * (z + x - w)
        x, w, z = messages[0]
        values[low : low + len(y)] = z + x - w
    return np.fft.irfft(values, n + 1)


def exact_law(effort: Effort, units: int, target: float, stretch: float) -> list[Record]:
    """The minimum of ten timings, beside the minimum of the second route in as many rounds as are asked for."""
    wiring = random_tree(units, "recursive", rng=1)
    down = wiring.senders < wiring.receivers
    parents = wiring.senders[down][np.argsort(wiring.receivers[down])]
    model, chances = IndependentCascade(wiring, 0.5), np.full(units, 0.01)
    law: SizeDistribution = model.size_distribution(chances, "tree")  # compiles
    seconds, other = [], []
    for number in range(10):
        start = time.process_time()
        law = model.size_distribution(chances, "tree")
        seconds.append(time.process_time() - start)
        if number < effort.rounds:
            start = time.process_time()
            second = by_roots_of_unity(parents, 0.5, 0.01)
            other.append(time.process_time() - start)
            apart = float(np.abs(law.pmf - second).max())
            assert apart <= MOST_APART, f"the exact laws of {units:,} units differ by {apart:.1e}"
    figures = {
        "ours": min(seconds),
        "peer": min(other),
        "peer_name": "roots of unity in NumPy",
        "peer_version": version("numpy"),
        "ratio": min(other) / min(seconds),
        "ratio_range": None,
        "rounds": effort.rounds,
        "largest_difference": apart,
    }
    job = f"exact law of the size, random recursive tree, n = {units:,}, p = 0.5, q = 0.01"
    return [record(job, "CPU s", figures, target, stretch, "ours")]
