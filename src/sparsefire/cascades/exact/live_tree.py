"""The exact law of the final size of the linear threshold model on forests.

A unit is active once the weights of its active in-neighbours reach its threshold, drawn evenly from [0, 1]. Equivalent
(Kempe, Kleinberg, Tardos 2003, doi:10.1145/956750.956769): every unit follows at most one in-neighbour, j with
probability w_ji, and is active if it is a source or whom it follows is. With y counting active units, q = 1 - p, b the
weight of the arc from the parent and w_0 = 1 - Σ w,

    F = y (p ∏Y + q Σ_c w_c F_c ∏_{others} Y)           active without the parent
    N = q (w_0 ∏X + Σ_c w_c (N_c + I_c) ∏_{others} X)   inactive, and does not follow the parent
    I = q b ∏X    A = y q b ∏Y                          follows the parent, which is inactive or active
    X = F + N + I    Y = F + N + A                      all there can be below a parent that is inactive or active

and the law of a tree is X at its root. A parent that follows c is active with F_c, not with I_c: two units that follow
each other keep nothing alive. The sums over c are carried through the children, R ← R·X_c + (∏X)·w_c (N_c + I_c); no
term is subtracted, so every coefficient keeps its relative accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.cascades.approximate.cavity import cavity_marginals_live, checked_influence
from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.forest import Forest, closure, forest_of
from sparsefire.cascades.exact.stitch import stitched
from sparsefire.cascades.sources import read_sources
from sparsefire.wiring.graph import Wiring


def live_tree_law(wiring: Wiring, weights: Any, sources: Any) -> SizeDistribution:
    """Return the exact law of the final size of the linear threshold model on a forest.

    O(n²) time for one pass and O(n) memory; ``log_pmf`` is accurate in the far tail, as that of
    :func:`~sparsefire.cascades.tree.tree_law`.

    Args:
        wiring: a square forest, directed or not.
        weights: influence of an arc, 0 or more, of all arcs into a unit at most 1: one number, or one per edge given.
        sources: ids, a mask [n], or activation probabilities (floats: one for all, or [n]).

    Raises:
        UserError: for a cycle (naming an arc on it), a weight below 0, or weights into one unit of more than 1.

    >>> path = Wiring.from_edges([0, 1], [1, 2])
    >>> live_tree_law(path, [0.5, 0.25], [0]).pmf.round(12).tolist()
    [0.0, 0.5, 0.375, 0.125]
    """
    forest, p, up, down, rest = live_prepared(wiring, weights, sources)
    w, _ = checked_influence(wiring, weights)

    from sparsefire.cascades.exact._live_kernels import certain, live_pass
    from sparsefire.cascades.exact._scaled import WIDTH

    back = np.argsort(forest.order)
    least = int(certain(wiring.starts, wiring.receivers, w, p[back], rest[back]))
    most = closure(forest, p > 0, up > 0, down > 0)

    def run(mantissa: float, exponent: int) -> tuple[np.ndarray, bool]:
        return live_pass(forest.size, forest.starts, forest.children, p, up, down, rest, float(mantissa), int(exponent))

    logs = stitched(run, len(p) + 1, least, most, lambda: _log_law(forest, p, up, down, rest), WIDTH)
    return SizeDistribution.from_log_pmf(logs, "tree")


def live_prepared(
    wiring: Wiring, weights: Any, sources: Any
) -> tuple[Forest, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the forest, and by position: source probability, weight to the parent, from it, and of nobody (w_0)."""
    p = read_sources(sources, wiring.units).dense(wiring.units)
    w, rest = checked_influence(wiring, weights)
    forest = forest_of(wiring)
    padded = np.append(w, 0.0)
    return forest, p[forest.order], padded[forest.up], padded[forest.down], rest[forest.order]


def live_marginals(wiring: Wiring, weights: Any, sources: Any) -> np.ndarray:
    """Return P(unit is active in the end), float64 [n], exact on forests in O(n).

    Arguments as in :func:`live_tree_law`; on other graphs see
    :func:`~sparsefire.cascades.cavity.cavity_marginals_live`.

    >>> live_marginals(Wiring.from_edges([0, 1], [1, 2]), [0.5, 0.25], [0]).tolist()
    [1.0, 0.5, 0.125]
    """
    forest_of(wiring)
    return cavity_marginals_live(wiring, weights, sources)


def _log_law(forest: Forest, p: np.ndarray, up: np.ndarray, down: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The same recursion in logarithms, slow, for what no tilt reaches."""
    from sparsefire.cascades.exact._scaled import log_multiply

    def log(value: float) -> float:
        return float(np.log(value)) if value > 0 else -np.inf

    n = len(p)
    nothing, unit = np.array([-np.inf]), np.zeros(1)
    messages: dict[int, tuple[np.ndarray, ...]] = {}
    for i in range(n - 1, -1, -1):
        all_x, all_y, helped, followed = unit, unit, nothing, nothing
        for c in forest.children[forest.starts[i] : forest.starts[i + 1]]:
            x, y, f, r = messages.pop(int(c))
            helped = np.logaddexp(log_multiply(helped, y), log_multiply(all_y, f))
            followed = np.logaddexp(log_multiply(followed, x), log_multiply(all_x, r))
            all_x, all_y = log_multiply(all_x, x), log_multiply(all_y, y)
        q, a, b = log(1 - p[i]), log(up[i]), log(down[i])
        alone = np.append(-np.inf, np.logaddexp(log(p[i]) + all_y, q + helped))
        never = np.append(np.logaddexp(q + log(rest[i]) + all_x, q + followed), -np.inf)
        idle, led = np.append(q + b + all_x, -np.inf), np.append(-np.inf, q + b + all_y)
        both = np.logaddexp(alone, never)
        messages[i] = np.logaddexp(both, idle), np.logaddexp(both, led), a + alone, a + np.logaddexp(never, idle)
    law = unit
    for c in forest.children[forest.starts[n] : forest.starts[n + 1]]:
        law = log_multiply(law, messages[int(c)][0])
    return law
