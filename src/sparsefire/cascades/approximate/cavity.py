"""Belief propagation: how likely each unit is active in the end, exact on forests and close where loops are long.

The message along an arc is what its sender would be without its receiver. For the independent cascade (Burkholz &
Quackenbush, AAAI 2021, arXiv:1909.05416) and for linear thresholds drawn evenly from [0, 1] (Kempe, Kleinberg, Tardos
2003, doi:10.1145/956750.956769: a unit follows at most one in-neighbour),

    m_{j→i} = 1 - (1 - p_j) ∏_{k in in(j) without i} (1 - w_kj m_{k→j})
    m_{j→i} = p_j + (1 - p_j) Σ_{k in in(j) without i} w_kj m_{k→j}

and the marginal of a unit is the same over all its in-neighbours. An echo that returns to a unit over a loop counts as
fresh, so marginals are never too low.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.cascades.exact.tree import probabilities
from sparsefire.cascades.sources import read_sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

SWEEPS = 1000
ULP = 2.0**-52


@dataclass(frozen=True, eq=False)
class Cavity:
    """A cascade with at most one arc each way between two units, and what belief propagation finds for it.

    Attributes:
        sources: float64 [n], p.
        senders, receivers: int64 [arcs], by increasing receiver, then sender; loops are left out, and parallel arcs
            made one.
        weights: float64 [arcs], w.
        messages: float64 [arcs], m.
        marginals: float64 [n], P(active in the end).
    """

    sources: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    weights: np.ndarray
    messages: np.ndarray
    marginals: np.ndarray


def cavity_marginals(
    wiring: Wiring, probability: Any, sources: Any, *, sweeps: int = SWEEPS, tolerance: float = 1e-12
) -> np.ndarray:
    """Return P(unit is active in the end) of the independent cascade by belief propagation, float64 [n].

    O(sweeps · arcs). Exact on forests, otherwise too high; relative accuracy also of tiny chances.

    Args:
        wiring: square; loops do nothing, parallel arcs act as one with the chance that one of them is open.
        probability: that an arc carries activity, in [0, 1]: one number, or one per edge given.
        sources: ids, a mask [n], or activation probabilities (floats: one for all, or [n]).
        sweeps: at most so many, 1 or more; a forest takes three.
        tolerance: largest change of a message, as a fraction of itself, at which it counts as settled, 0 or more.

    Warns:
        UserWarning: the messages have not settled after the sweeps.

    Raises:
        UserError: a probability outside [0, 1], a wiring that is not square, no units.

    >>> ring = Wiring.from_edges([0, 1, 2], [1, 2, 0], directed=False)
    >>> cavity_marginals(ring, 0.2, 0.1).round(4).tolist()  # in truth 0.1408
    [0.1434, 0.1434, 0.1434]
    """
    p, arcs = _independent(wiring, probability, sources)
    return _settled(p, *arcs, False, sweeps, tolerance).marginals


def cavity_marginals_live(
    wiring: Wiring, weights: Any, sources: Any, *, sweeps: int = SWEEPS, tolerance: float = 1e-12
) -> np.ndarray:
    """Return P(unit is active in the end) of the linear threshold model by belief propagation, float64 [n].

    Thresholds are drawn evenly from [0, 1]. O(sweeps · arcs). Exact on forests, otherwise too high.

    Args:
        wiring: square; loops do nothing, parallel arcs add up.
        weights: influence of an arc, 0 or more, of all arcs into a unit at most 1: one number, or one per edge given.
        sources: ids, a mask [n], or activation probabilities (floats: one for all, or [n]).
        sweeps, tolerance: as of :func:`cavity_marginals`.

    Warns:
        UserWarning: the messages have not settled after the sweeps.

    Raises:
        UserError: a weight below 0, weights into one unit of more than 1, a wiring that is not square, no units.

    >>> pair = Wiring.from_edges([0, 1], [2, 2])
    >>> cavity_marginals_live(pair, [0.5, 0.25], [0.4, 0.8, 0.0]).tolist()
    [0.4, 0.8, 0.4]
    """
    return cavity_live(wiring, weights, sources, sweeps=sweeps, tolerance=tolerance).marginals


def cavity(wiring: Wiring, probability: Any, sources: Any, *, sweeps: int = SWEEPS, tolerance: float = 1e-12) -> Cavity:
    """Return the settled messages of the independent cascade; arguments as of :func:`cavity_marginals`."""
    p, arcs = _independent(wiring, probability, sources)
    return _settled(p, *arcs, False, sweeps, tolerance)


def cavity_live(
    wiring: Wiring, weights: Any, sources: Any, *, sweeps: int = SWEEPS, tolerance: float = 1e-12
) -> Cavity:
    """Return the settled messages of the linear threshold model; arguments as of :func:`cavity_marginals_live`."""
    p = read_sources(sources, wiring.units).dense(wiring.units)
    w, _ = checked_influence(wiring, weights)
    return _settled(p, *_merged(wiring, w, True), True, sweeps, tolerance)


def checked_influence(wiring: Wiring, weights: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of every arc, and for every unit 1 - Σ w over the arcs that reach it.

    What the sum misses by rounding alone is forgiven: 10 weights of 0.1 leave 0.

    >>> checked_influence(Wiring.from_edges([0, 1], [2, 2]), 0.25)[1].tolist()
    [1.0, 1.0, 0.5]
    """
    w = wiring.per_arc(weights, "weights")
    wrong = np.flatnonzero(~((w >= 0) & (w < np.inf)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            "a weight is no influence.",
            came=f"{w[at]} on {int(wiring.senders[at])} → {int(wiring.receivers[at])}",
            expected="0 to 1",
        )
    total = np.bincount(wiring.receivers, w, wiring.units)
    forgiven = ULP * (1 + wiring.in_degrees)
    over = np.flatnonzero(total > 1 + forgiven)
    if len(over):
        at = int(over[0])
        raise UserError(
            f"the weights into unit {at} add up to more than 1.", came=f"{total[at]:.6g}", expected="1 or less"
        )
    rest = 1 - total
    rest[np.abs(rest) <= forgiven] = 0.0
    return w, rest


def _independent(
    wiring: Wiring, probability: Any, sources: Any
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    p = read_sources(sources, wiring.units).dense(wiring.units)
    w = probabilities(wiring.per_arc(probability, "probability"), wiring.arcs, "probability")
    return p, _merged(wiring, w, False)


def _merged(wiring: Wiring, w: np.ndarray, linear: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out loops and make parallel arcs one: their weights add up, or each is tried."""
    n = wiring.units
    senders, receivers = wiring.senders.astype(np.int64), wiring.receivers.astype(np.int64)
    real = senders != receivers
    keys, first, which, counts = np.unique(
        receivers[real] * n + senders[real], return_index=True, return_inverse=True, return_counts=True
    )
    single = w[real][first]
    if linear:
        together = np.bincount(which, w[real], len(keys))
    else:
        with np.errstate(divide="ignore"):
            together = -np.expm1(np.bincount(which, np.log1p(-w[real]), len(keys)))
    return keys % n, keys // n, np.where(counts > 1, together, single)


def _settled(
    p: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    w: np.ndarray,
    linear: bool,
    sweeps: int,
    tolerance: float,
) -> Cavity:
    if not isinstance(sweeps, int | np.integer) or sweeps < 1:
        raise UserError("there must be sweeps.", came=f"sweeps={sweeps!r}", expected="a whole number, 1 or more")
    if not tolerance >= 0:
        raise UserError("the tolerance is a fraction.", came=f"tolerance={tolerance!r}", expected="0 or more")
    n = len(p)
    keys, back = receivers * n + senders, senders * n + receivers
    place = np.minimum(np.searchsorted(keys, back), max(len(keys) - 1, 0))
    partner = np.where(keys[place] == back, place, -1) if len(keys) else place
    by_sender = np.argsort(senders, kind="stable")
    lone = by_sender[partner[by_sender] < 0]

    from sparsefire.cascades.approximate._cavity_kernels import propagate, visiting_order

    in_starts = _starts(receivers, n)
    order = visiting_order(_starts(senders, n), receivers[by_sender], in_starts, senders)
    messages = np.zeros(len(w))  # from below, so that what settles is the smallest solution
    change, marginals = propagate(
        p,
        w,
        linear,
        partner,
        order,
        in_starts,
        _starts(senders[lone], n),
        lone,
        messages,
        int(sweeps),
        float(tolerance),
    )
    if change > tolerance:
        warnings.warn(
            f"belief propagation has not settled after {sweeps:,} sweeps: a message still moved by {change:.1e} of "
            "itself; more sweeps= or a larger tolerance= would do",
            UserWarning,
            stacklevel=3,
        )
    return Cavity(p, senders, receivers, w, messages, np.abs(marginals))  # 0 without a sign


def _starts(ids: np.ndarray, n: int) -> np.ndarray:
    found = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(ids, minlength=n), out=found[1:])
    return found
