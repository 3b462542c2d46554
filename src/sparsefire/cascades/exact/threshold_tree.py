"""The exact law of the final size of threshold cascades on forests.

Message passing for binary cascades with a response to the number of active neighbours (Burkholz, Sci. Rep. 9, 6561
(2019), arXiv:1811.06872), here in positive arithmetic. With r(m) the chance to be active given m active in-neighbours,
y counting active units and x the children that act on the unit before it does,

    X = ∏ (N + x F)        N = Σ (1 - r(m)) [x^m] X          M = Σ (1 - r(m+1)) [x^m] X
    Y = ∏ (L + M + x F)    F = y Σ r(m) [x^m] Y              L = y Σ (r(m+1) - r(m)) [x^m] Y

and the law of a tree is N + F at its root. Arcs may be missing in one direction: a unit that does not act on its parent
hands on N + F in place of N, L + M + F in place of L + M and 0 in place of F; one on which its parent does not act has
M = N and L = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefire.cascades.approximate.cavity_thresholds import cavity_marginals_threshold
from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.forest import Forest, forest_of
from sparsefire.cascades.exact.small import checked_responses
from sparsefire.cascades.exact.stitch import stitched
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def threshold_tree_law(wiring: Wiring, responses: Sequence[Any]) -> SizeDistribution:
    """Return the exact law of the final size of a threshold cascade on a forest.

    O(n²) times the largest number of children that are not like leaves, memory of that number times n: like leaves of
    one unit are taken together, so that a star of them costs O(n²). ``log_pmf`` is accurate in the far tail, as that of
    :func:`~sparsefire.cascades.tree.tree_law`.

    Args:
        wiring: a square forest, directed or not.
        responses: r_i(0) … r_i(k_i) for every unit, rising in [0, 1], k_i its in-degree; for Watts' model from
            :func:`~sparsefire.cascades.exact.small.neighbour_responses`.

    Raises:
        UserError: for a cycle (naming an arc on it), or a response that is none.

    >>> from scipy import stats
    >>> from sparsefire.cascades.exact.small import neighbour_responses
    >>> path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    >>> threshold_tree_law(path, neighbour_responses(path, stats.norm(0.4, 0.25).cdf)).pmf.round(6).tolist()
    [0.754432, 0.03798, 0.054454, 0.059144, 0.001439, 0.09255]
    """
    forest, ordered = threshold_prepared(wiring, responses)
    n = len(ordered)
    starts = np.zeros(n + 1, dtype=np.int64)
    np.cumsum([len(row) for row in ordered], out=starts[1:])
    flat = np.concatenate(ordered)
    acts_up, acts_down = forest.up >= 0, forest.down >= 0
    rows = [ordered[at] for at in np.argsort(forest.order)]
    least = _reach(wiring, rows, certain=True)
    most = _reach(wiring, rows, certain=False)

    from sparsefire.cascades.exact._scaled import WIDTH
    from sparsefire.cascades.exact._threshold_kernels import threshold_pass

    def run(mantissa: float, exponent: int) -> tuple[np.ndarray, bool]:
        return threshold_pass(
            forest.size,
            forest.starts,
            forest.children,
            flat,
            starts,
            acts_up,
            acts_down,
            float(mantissa),
            int(exponent),
        )

    logs = stitched(run, n + 1, least, most, lambda: _log_law(forest, ordered, acts_up, acts_down), WIDTH)
    return SizeDistribution.from_log_pmf(logs, "tree")


def threshold_prepared(wiring: Wiring, responses: Sequence[Any]) -> tuple[Forest, list[np.ndarray]]:
    """Return the forest and the responses by position."""
    rows = checked_responses(wiring, responses)
    if not rows:
        raise UserError("a cascade needs units.", came="a wiring of 0 units", expected="1 or more")
    forest = forest_of(wiring)
    return forest, [rows[i] for i in forest.order]


def threshold_marginals(wiring: Wiring, responses: Sequence[Any]) -> np.ndarray:
    """Return P(unit is active in the end), float64 [n], exact on forests; arguments as in :func:`threshold_tree_law`.

    On other graphs see :func:`~sparsefire.cascades.approximate.cavity_thresholds.cavity_marginals_threshold`.

    >>> threshold_marginals(Wiring.from_edges([0], [1]), [[0.5], [0.0, 0.5]]).tolist()
    [0.5, 0.25]
    """
    forest_of(wiring)
    return cavity_marginals_threshold(wiring, responses)


def _reach(wiring: Wiring, rows: list[np.ndarray], certain: bool) -> int:
    """Return how many units are active for certain, or possibly."""
    needs = np.array(  # active in-neighbours from which on it is so
        [np.searchsorted(row, 1.0) if certain else np.searchsorted(row, 0.0, side="right") for row in rows]
    )
    load = np.zeros(len(rows), dtype=np.int64)
    on = needs <= load
    fresh = np.flatnonzero(on)
    while len(fresh):
        for unit in fresh:
            load[wiring.receivers[wiring.starts[unit] : wiring.starts[unit + 1]]] += 1
        fresh = np.flatnonzero(~on & (needs <= load))
        on[fresh] = True
    return int(on.sum())


def _log_law(forest: Forest, rows: list[np.ndarray], acts_up: np.ndarray, acts_down: np.ndarray) -> np.ndarray:
    """The same recursion in logarithms, slow, for what no tilt reaches."""
    from sparsefire.cascades.exact._scaled import log_multiply

    n = len(rows)
    messages: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for i in range(n - 1, -1, -1):
        r = rows[i]
        length = int(forest.size[i]) + 1
        x, y = [np.zeros(1)], [np.zeros(1)]
        for c in forest.children[forest.starts[i] : forest.starts[i + 1]]:
            inactive, alone, rest = messages.pop(int(c))
            x, y = _absorb(x, inactive, alone, log_multiply), _absorb(y, rest, alone, log_multiply)
        x, y = x[: len(r)], y[: len(r)]
        with np.errstate(divide="ignore"):
            stay, go, more = np.log1p(-r), np.log(r), np.log(np.diff(r))
        n_i = _gather(x, stay, 0, length)
        f_i = _gather(y, go, 1, length)
        k_i = np.logaddexp(_gather(x, stay[1:], 0, length), _gather(y, more, 1, length)) if acts_down[i] else n_i
        if not acts_up[i]:
            n_i, k_i, f_i = np.logaddexp(n_i, f_i), np.logaddexp(k_i, f_i), np.full(length, -np.inf)
        messages[i] = n_i, f_i, k_i
    law = np.zeros(1)
    for c in forest.children[forest.starts[n] : forest.starts[n + 1]]:
        law = log_multiply(law, messages[int(c)][0])
    return law


def _absorb(rows: list[np.ndarray], rest: np.ndarray, alone: np.ndarray, log_multiply: Any) -> list[np.ndarray]:
    kept = [log_multiply(row, rest) for row in rows]
    moved = [log_multiply(row, alone) for row in rows]
    middle = [np.logaddexp(kept[m], moved[m - 1]) for m in range(1, len(rows))]
    return [kept[0], *middle, moved[-1]]


def _gather(rows: list[np.ndarray], logs: np.ndarray, step: int, length: int) -> np.ndarray:
    total = np.full(length, -np.inf)
    for row, log in zip(rows, logs, strict=False):
        total[step : step + len(row)] = np.logaddexp(total[step : step + len(row)], row + log)
    return total
