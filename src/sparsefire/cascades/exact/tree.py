"""The exact law of the final size of the independent cascade on forests.

Subtree distribution propagation (Burkholz & Quackenbush, AAAI 2021, arXiv:1909.05416) in positive arithmetic: with
y counting active units, q = 1 - p, a the probability of the arc to the parent and b of the arc from it,

    N = q ∏B              inactive, the parent inactive too
    F = y (p ∏S + q D)    active without any help of the parent, D = ∏S - ∏A carried as D ← D·S + (∏A)·T
    L = q y ∏A            activated by the parent alone
    B = N + (1-a) F       A = (1-b) N + b L + (1-a) F       T = a F       S = A + T

and the law of a tree is N + F at its root. All terms are 0 or more, so every coefficient keeps its relative accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.forest import Forest, closure, forest_of
from sparsefire.cascades.exact.stitch import stitched
from sparsefire.cascades.sources import read_sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def probabilities(values: Any, length: int, name: str) -> np.ndarray:
    """Return float64 [length] in [0, 1] from one number or one per entry, or say which entry is wrong.

    >>> probabilities(0.5, 2, "sources").tolist()
    [0.5, 0.5]
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim == 0:
        given = np.full(length, float(given))
    if given.shape != (length,):
        raise UserError(f"{name} has shape {given.shape}.", came=f"shape {given.shape}", expected=f"[{length:,}]")
    wrong = np.flatnonzero(~((given >= 0) & (given <= 1)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"{name} must be probabilities.", came=f"{given[at]} in entry {at}", expected="0 to 1")
    return given


def tree_law(wiring: Wiring, probability: Any, sources: Any) -> SizeDistribution:
    """Return the exact law of the final size of the independent cascade on a forest.

    O(n²) time for one pass and O(n) memory. What underflows beside the largest entry is found by further passes with
    exponential tilts, so ``log_pmf`` has relative accuracy (of P, not of its logarithm) far below 1e-308.

    Args:
        wiring: a square forest; a missing direction is an arc of probability 0.
        probability: that an arc carries activity, in [0, 1]: one number, or one per edge given.
        sources: ids, a mask [n], or the probability that a unit is active by itself (floats: one for all, or [n]).

    Raises:
        UserError: for a cycle (naming an arc on it), or a probability that is none.

    >>> path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    >>> tree_law(path, 0.2, 0.1).pmf.round(8).tolist()
    [0.59049, 0.2309472, 0.11915942, 0.04459277, 0.01248883, 0.00232178]
    """
    forest, p, up, down = prepared(wiring, probability, sources)
    n = len(p)
    least = closure(forest, p == 1, up == 1, down == 1)
    most = closure(forest, p > 0, up > 0, down > 0)

    from sparsefire.cascades.exact._scaled import WIDTH
    from sparsefire.cascades.exact._tree_kernels import independent_pass

    def run(mantissa: float, exponent: int) -> tuple[np.ndarray, bool]:
        return independent_pass(
            forest.size, forest.starts, forest.children, p, up, down, float(mantissa), int(exponent)
        )

    logs = stitched(run, n + 1, least, most, lambda: _log_law(forest, p, up, down), WIDTH)
    return SizeDistribution.from_log_pmf(logs, "tree")


def marginals(wiring: Wiring, probability: Any, sources: Any) -> np.ndarray:
    """Return P(unit is active in the end), float64 [n], exact on forests in O(n); arguments as in :func:`tree_law`.

    >>> marginals(Wiring.from_edges([0], [1]), 0.5, [0.4, 0.0]).tolist()
    [0.4, 0.2]
    """
    forest, p, up, down = prepared(wiring, probability, sources)

    from sparsefire.cascades.exact._tree_kernels import independent_marginals

    found = np.empty(len(p))
    found[forest.order] = independent_marginals(forest.parent, p, up, down, forest.starts, forest.children)
    return found


def prepared(wiring: Wiring, probability: Any, sources: Any) -> tuple[Forest, np.ndarray, np.ndarray, np.ndarray]:
    """Return the forest, and by position: source probability, probability to the parent and from it."""
    arcs = probabilities(wiring.per_arc(probability, "probability"), wiring.arcs, "probability")
    p = read_sources(sources, wiring.units).dense(wiring.units)
    if not len(p):
        raise UserError("a cascade needs units.", came="a wiring of 0 units", expected="1 or more")
    forest = forest_of(wiring)
    padded = np.append(arcs, 0.0)
    return forest, p[forest.order], padded[forest.up], padded[forest.down]


def _log_law(forest: Forest, p: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The same recursion in logarithms, some thirty times slower, for what no tilt reaches."""
    from sparsefire.cascades.exact._scaled import log_multiply

    def log(value: float) -> float:
        return float(np.log(value)) if value > 0 else -np.inf

    n = len(p)
    nothing, unit = np.array([-np.inf]), np.zeros(1)
    messages: dict[int, tuple[np.ndarray, ...]] = {}
    for i in range(n - 1, -1, -1):
        all_b, all_a, all_s, d = unit, unit, unit, nothing
        for c in forest.children[forest.starts[i] : forest.starts[i + 1]]:
            b, a, s, t = messages.pop(int(c))
            d = np.logaddexp(log_multiply(d, s), log_multiply(all_a, t))
            all_b, all_a, all_s = log_multiply(all_b, b), log_multiply(all_a, a), log_multiply(all_s, s)
        q = log(1 - p[i])
        inactive = np.append(all_b + q, -np.inf)
        helped = np.append(-np.inf, all_a + q)
        alone = np.append(-np.inf, np.logaddexp(log(p[i]) + all_s, q + d))
        kept = log(1 - up[i]) + alone
        passive = np.logaddexp(log(1 - down[i]) + inactive, log(down[i]) + helped)
        messages[i] = (
            np.logaddexp(inactive, kept),
            np.logaddexp(passive, kept),
            np.logaddexp(passive, alone),
            log(up[i]) + alone,
        )
    law = unit
    for c in forest.children[forest.starts[n] : forest.starts[n + 1]]:
        law = log_multiply(law, messages[int(c)][0])
    return law
