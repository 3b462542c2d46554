"""Who was active, given how many were, on forests: P(unit is active | C = size).

For the independent cascade this is the second sweep of Burkholz & Quackenbush (arXiv:1909.05416), here as reverse
differentiation of the recursion of :mod:`~sparsefire.cascades.exact.tree`, which does the same for those of
:mod:`~sparsefire.cascades.exact.live_tree` and :mod:`~sparsefire.cascades.exact.threshold_tree`; see
:mod:`~sparsefire.cascades.exact.slopes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefire.cascades.exact.forest import Forest, forest_of
from sparsefire.cascades.exact.live_tree import live_prepared, live_tree_law
from sparsefire.cascades.exact.slopes import Message, Tape, Unit, fold, shares
from sparsefire.cascades.exact.solution import impossible
from sparsefire.cascades.exact.threshold_tree import threshold_prepared, threshold_tree_law
from sparsefire.cascades.exact.tree import prepared, tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

REACH = 640.0  # coefficients are held down to exp(-640), about 1e-278, of the largest
MOST_HELD = 50_000_000  # coefficients of one kind of message, 3 GB for all
MOST_STEPS = 300_000_000  # of threshold cascades, about half a minute


def marginals_given_size(wiring: Wiring, probability: Any, sources: Any, size: int) -> np.ndarray:
    """Return P(unit is active | ``size`` units are) of the independent cascade, float64 [n]; they add up to ``size``.

    O(n · size) time beside the law; memory is the sum of all subtree sizes, none counted for more than ``size``. Works
    for any possible size, however improbable, unless it lies in a valley of the law deeper than 1e-278 that no
    exponential tilt lifts.

    Args:
        wiring, probability, sources: as for :func:`~sparsefire.cascades.exact.tree.tree_law`.
        size: in 0 … n, possible.

    Raises:
        UserError: an impossible size, or one in such a valley.

    >>> marginals_given_size(Wiring.from_edges([0], [1]), 0.5, [0.5, 0.0], 1).tolist()
    [1.0, 0.0]
    """
    forest, p, up, down = prepared(wiring, probability, sources)

    def unit(tape: Tape, i: int, children: list[Message]) -> Message:
        def join(one: Message, two: Message) -> Message:
            (b, a, s, d), (b2, a2, s2, d2) = one, two
            more = tape.sum((1.0, tape.times(d, s2)), (1.0, tape.times(a, d2)))
            return tape.times(b, b2), tape.times(a, a2), tape.times(s, s2), more

        all_b, all_a, all_s, d = fold(join, children, (tape.one, tape.one, tape.one, None))
        q, to, back = 1.0 - p[i], up[i], down[i]
        inactive, helped = tape.sum((q, all_b)), tape.count(tape.sum((q, all_a)))
        alone = tape.count(tape.sum((p[i], all_s), (q, d)))
        passive = tape.sum((1.0 - back, inactive), (back, helped))
        return (
            tape.sum((1.0, inactive), (1.0 - to, alone)),
            tape.sum((1.0, passive), (1.0 - to, alone)),
            tape.sum((1.0, passive), (1.0, alone)),
            tape.sum((to, alone)),
        )

    return _given(forest, unit, tree_law(wiring, probability, sources).log_pmf, size)


def live_marginals_given_size(wiring: Wiring, weights: Any, sources: Any, size: int) -> np.ndarray:
    """Return the same for the linear threshold model; arguments as in
    :func:`~sparsefire.cascades.exact.live_tree.live_tree_law`.

    >>> live_marginals_given_size(Wiring.from_edges([0, 0], [1, 2]), [0.5, 0.25], [0], 2).round(12).tolist()
    [1.0, 0.75, 0.25]
    """
    forest, p, up, down, rest = live_prepared(wiring, weights, sources)

    def unit(tape: Tape, i: int, children: list[Message]) -> Message:
        def join(one: Message, two: Message) -> Message:
            (x, y, f, r), (x2, y2, f2, r2) = one, two
            helped = tape.sum((1.0, tape.times(f, y2)), (1.0, tape.times(y, f2)))
            followed = tape.sum((1.0, tape.times(r, x2)), (1.0, tape.times(x, r2)))
            return tape.times(x, x2), tape.times(y, y2), helped, followed

        all_x, all_y, helped, followed = fold(join, children, (tape.one, tape.one, None, None))
        q, to, back = 1.0 - p[i], up[i], down[i]
        alone = tape.count(tape.sum((p[i], all_y), (q, helped)))
        never = tape.sum((q * rest[i], all_x), (q, followed))
        idle, led = tape.sum((q * back, all_x)), tape.count(tape.sum((q * back, all_y)))
        both = tape.sum((1.0, alone), (1.0, never))
        return (
            tape.sum((1.0, both), (1.0, idle)),
            tape.sum((1.0, both), (1.0, led)),
            tape.sum((to, alone)),
            tape.sum((to, never), (to, idle)),
        )

    return _given(forest, unit, live_tree_law(wiring, weights, sources).log_pmf, size)


def threshold_marginals_given_size(wiring: Wiring, responses: Sequence[Any], size: int) -> np.ndarray:
    """Return the same for a threshold cascade; arguments as in
    :func:`~sparsefire.cascades.exact.threshold_tree.threshold_tree_law`.

    O(n²) times the largest number of children that may be active: see :func:`hard_given_size`.

    >>> threshold_marginals_given_size(Wiring.from_edges([0], [1]), [[0.5], [0.25, 0.5]], 1).round(12).tolist()
    [0.666666666667, 0.333333333333]
    """
    forest, rows = threshold_prepared(wiring, responses)

    def unit(tape: Tape, i: int, children: list[Message]) -> Message:
        r = rows[i]
        x = tape.choose([(n, f) for n, f, _ in children], len(r))
        y = tape.choose([(k, f) for _, f, k in children], len(r))
        inactive, alone = tape.pick(x, 1.0 - r), tape.count(tape.pick(y, r))
        rest = inactive
        if forest.down[i] >= 0:
            rest = tape.sum((1.0, tape.pick(x, 1.0 - r[1:])), (1.0, tape.count(tape.pick(y, np.diff(r)))))
        if forest.up[i] >= 0:
            return inactive, alone, rest
        return tape.sum((1.0, inactive), (1.0, alone)), None, tape.sum((1.0, rest), (1.0, alone))

    return _given(forest, unit, threshold_tree_law(wiring, responses).log_pmf, size)


def hard_given_size(wiring: Wiring, size: int, *, counts: bool = False) -> bool:
    """Return whether this takes gigabytes, or with ``counts`` (threshold cascades) minutes.

    >>> star = Wiring.from_edges([0] * 2000, range(1, 2001))
    >>> hard_given_size(star, 1000), hard_given_size(star, 1000, counts=True), hard_given_size(star, 20, counts=True)
    (False, True, False)
    """
    forest = forest_of(wiring)
    if np.minimum(forest.size, size + 1).sum() > MOST_HELD:
        return True
    above = np.where(forest.parent < 0, len(forest.size), forest.parent)
    below = np.bincount(above, forest.size.astype(np.float64) ** 2, len(forest.size) + 1)[:-1]
    pairs = (forest.size.astype(np.float64) ** 2 - below) / 2  # units of a subtree that meet at its root
    rows = 1 + np.minimum(np.diff(forest.starts)[:-1], size)
    return bool(counts and rows @ pairs > MOST_STEPS)


def _given(forest: Forest, unit: Unit, log_pmf: np.ndarray, size: int) -> np.ndarray:
    if isinstance(size, bool) or size != int(size) or not 0 <= size < len(log_pmf) or log_pmf[int(size)] == -np.inf:
        raise impossible(size)
    log_r, depth = _best_tilt(log_pmf, int(size))
    exponent = math.floor(log_r / math.log(2))
    found = np.empty(len(log_pmf) - 1)
    found[forest.order], log_p = shares(forest, unit, int(size), (math.exp(log_r - exponent * math.log(2)), exponent))
    if depth > REACH or abs(log_p - size * log_r - log_pmf[int(size)]) > 1e-6:
        raise UserError(
            f"size {size} lies in a valley of the law too deep for double precision.",
            came=f"log P = {log_pmf[int(size)]:.1f}, {depth:.0f} below the sizes around it",
            expected="640 at most",
        )
    return found


def _best_tilt(log_pmf: np.ndarray, size: int) -> tuple[float, float]:
    """Return the tilt that brings ``size`` nearest to the largest tilted entry, and how far below that it is."""
    sizes = np.arange(len(log_pmf))
    low, high = -1e6, 1e6
    best = (0.0, math.inf)
    for _ in range(100):
        middle = 0.0 if low == -high else (low + high) / 2
        tilted = log_pmf + middle * sizes
        top = int(np.argmax(tilted))
        best = min(best, (middle, float(tilted[top] - tilted[size])), key=lambda pair: pair[1])
        if top == size:
            break
        low, high = (middle, high) if top < size else (low, middle)
    return best
