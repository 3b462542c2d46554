"""Threshold cascades unit by unit on a given wiring, by belief propagation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefire.cascades.approximate.cavity import Cavity
from sparsefire.cascades.exact.small import checked_responses
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def cavity_marginals_threshold(
    wiring: Wiring, responses: Sequence[Any], *, sweeps: int = 1000, tolerance: float = 1e-12
) -> np.ndarray:
    """Return P(unit is active in the end) of a threshold cascade on a given wiring by belief propagation, float64 [n].

    The message m_{j→i} is the chance that j is active while i is held inactive,

        m_{j→i} = E r_j(M),   M the number of active units among the in-neighbours of j without i, as if independent,

    and the marginal is the same over all in-neighbours (Shrestha & Moore, PRE 89, 022805 (2014),
    doi:10.1103/PhysRevE.89.022805). Exact on forests; elsewhere an echo over a loop counts as fresh. The smallest
    solution, from below. A sweep costs Σ k_i² at most, less where a response is flat from some number on.

    Args:
        wiring: square; loops do nothing, parallel arcs count as often as they are.
        responses: r_i(0) … r_i(k_i) for every unit, rising in [0, 1], k_i its in-degree: the chance to be active with m
            active in-arcs, being a source included. See :func:`~sparsefire.cascades.exact.small.neighbour_responses`.
        sweeps: at most so many, 1 or more; a forest takes three.
        tolerance: smallest rise of a message that is passed on, 0 or more.

    Warns:
        UserWarning: the messages have not settled after the sweeps.

    Raises:
        UserError: a response that is none, a wiring that is not square, no units.

    >>> path = Wiring.from_edges([0, 1], [1, 2], directed=False)
    >>> cavity_marginals_threshold(path, [[0.5, 0.5], [0.0, 0.5, 1.0], [0.0, 1.0]]).tolist()
    [0.5, 0.25, 0.25]
    """
    return cavity_threshold(wiring, responses, sweeps=sweeps, tolerance=tolerance).marginals


def cavity_threshold(
    wiring: Wiring, responses: Sequence[Any], *, sweeps: int = 1000, tolerance: float = 1e-12
) -> Cavity:
    """Return the settled messages; arguments as of :func:`cavity_marginals_threshold`.

    ``sources`` are the r_i(0), ``weights`` how many parallel arcs each arc stands for.
    """
    rows = checked_responses(wiring, responses)
    n = wiring.units
    if not n:
        raise UserError("a cascade needs units.", came="a wiring of 0 units", expected="1 or more")
    if not isinstance(sweeps, int | np.integer) or sweeps < 1:
        raise UserError("there must be sweeps.", came=f"sweeps={sweeps!r}", expected="a whole number, 1 or more")
    if not tolerance >= 0:
        raise UserError("the tolerance is a change of a chance.", came=repr(tolerance), expected="0 or more")
    senders, receivers = wiring.senders.astype(np.int64), wiring.receivers.astype(np.int64)
    real = senders != receivers
    keys, times = np.unique(receivers[real] * n + senders[real], return_counts=True)  # by receiver
    receivers, senders = keys // n, keys % n
    back = senders * n + receivers
    place = np.minimum(np.searchsorted(keys, back), len(keys) - 1)
    partner = np.where(keys[place] == back, place, -1) if len(keys) else place
    outward = np.argsort(senders, kind="stable")
    in_starts, out_starts, starts = (np.zeros(n + 1, dtype=np.int64) for _ in range(3))
    np.cumsum(np.bincount(receivers, minlength=n), out=in_starts[1:])
    np.cumsum(np.bincount(senders, minlength=n), out=out_starts[1:])
    np.cumsum([len(row) for row in rows], out=starts[1:])

    from sparsefire.cascades.approximate._cavity_kernels import visiting_order
    from sparsefire.cascades.approximate._threshold_cavity_kernels import settle

    order = visiting_order(out_starts, receivers[outward], in_starts, senders)
    marginals, messages, settled = settle(
        order, in_starts, receivers, times, partner, out_starts, outward, np.concatenate(rows), starts, int(sweeps),
        float(tolerance),
    )  # fmt: skip
    if not settled:
        warnings.warn(
            f"belief propagation has not settled after {sweeps:,} sweeps; more sweeps= or a larger tolerance= would do",
            UserWarning,
            stacklevel=3,
        )
    return Cavity(np.array([row[0] for row in rows]), senders, receivers, times, messages, marginals)
