"""Tiny cascades, exactly, by going through everything that can happen: the law of the size, and who is active."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsefire.cascades.approximate.cavity import ULP
from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.solution import Solution, impossible
from sparsefire.cascades.exact.tree import probabilities
from sparsefire.cascades.sources import read_sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

MOST = 20  # bits of uncertainty: a million patterns


def uncertainty(wiring: Wiring, probability: Any, sources: Any) -> int:
    """Return how many arcs and sources are neither certain nor impossible; :func:`enumerate_independent` takes 20.

    >>> uncertainty(Wiring.from_edges([0, 1], [1, 2]), [0.5, 1.0], [1.0, 0.0, 0.1])
    2
    """
    w, p = _checked(wiring, probability, sources)
    return int(((w > 0) & (w < 1)).sum() + ((p > 0) & (p < 1)).sum())


def enumerate_independent(wiring: Wiring, probability: Any, sources: Any) -> SizeDistribution:
    """Return the exact law of the independent cascade on any tiny graph, from all open arcs and all source sets.

    Args:
        wiring: square; cycles, loops and repeated arcs are welcome.
        probability: that an arc carries activity, one number or one per edge given.
        sources: ids, a mask [n], or the probability that a unit is active by itself (floats: one for all, or [n]).

    Raises:
        UserError: more than 20 uncertain arcs and sources.

    >>> ring = Wiring.from_edges([0, 1, 2], [1, 2, 0])
    >>> enumerate_independent(ring, 0.5, [1.0, 0.0, 0.0]).pmf.tolist()
    [0.0, 0.5, 0.25, 0.25]
    """
    return independent_enumeration(wiring, probability, sources).law()


def independent_enumeration(wiring: Wiring, probability: Any, sources: Any) -> Solution:
    """Return law and marginals of the independent cascade on any tiny graph; see :func:`enumerate_independent`.

    >>> ring = Wiring.from_edges([0, 1, 2], [1, 2, 0])
    >>> independent_enumeration(ring, 0.5, [1.0, 0.0, 0.0]).active(2).tolist()
    [1.0, 1.0, 0.0]
    """
    w, p = _checked(wiring, probability, sources)
    units, arcs = np.flatnonzero((p > 0) & (p < 1)), np.flatnonzero((w > 0) & (w < 1))
    if len(units) + len(arcs) > MOST:
        raise UserError(
            "there is too much that can happen to go through all of it.",
            came=f"{len(arcs)} uncertain arcs and {len(units)} uncertain sources",
            expected=f"{MOST} at most, together",
            attempt='method="monte-carlo"',
        )

    from sparsefire.cascades.exact._small_kernels import independent_patterns

    return _enumeration(
        len(p), lambda wanted: independent_patterns(p, w, wiring.senders, wiring.receivers, units, arcs, wanted)
    )


def live_enumeration(wiring: Wiring, weights: np.ndarray, sources: np.ndarray, most: int = 2**MOST) -> Solution | None:
    """Return law and marginals of the linear threshold model on any tiny graph, or None beyond ``most`` patterns.

    Every unit starts by itself, or listens to one in-neighbour, or to nobody: all combinations of that (the live edges
    of Kempe, Kleinberg & Tardos 2003, doi:10.1145/956750.956769).

    Args:
        wiring: square.
        weights: influence of every arc, float64 [arcs], in the order of the wiring's rows.
        sources: that a unit is active by itself [n].
        most: patterns.

    >>> pair = Wiring.from_edges([0, 1], [1, 0])
    >>> found = live_enumeration(pair, np.array([0.5, 1.0]), np.array([0.5, 0.0]))
    >>> found.law().pmf.tolist(), found.active(None).tolist()
    ([0.5, 0.25, 0.25], [0.5, 0.25])
    """
    turned = wiring.transpose
    order = np.argsort(wiring.receivers, kind="stable")  # arcs by receiver, senders rising within
    inward, picks, chances, starts = weights[order], [], [], [0]
    for i in range(wiring.units):
        row = slice(turned.starts[i], turned.starts[i + 1])
        nobody = 1 - inward[row].sum()
        nobody = nobody if nobody > ULP * (1 + len(inward[row])) else 0.0  # what is missing by rounding alone
        listens = (1 - sources[i]) * np.append(inward[row], nobody)
        who = np.append(turned.receivers[row], -1)
        options = np.append(who, -2), np.append(listens, sources[i])
        picks.append(options[0][options[1] > 1e-300])
        chances.append(options[1][options[1] > 1e-300])
        starts.append(starts[-1] + len(picks[-1]))
    patterns = math.prod(len(row) for row in picks)
    if patterns > most:
        return None

    from sparsefire.cascades.exact._small_kernels import live_patterns

    begin, whom, how = np.array(starts), np.concatenate(picks).astype(np.int64), np.concatenate(chances)
    return _enumeration(wiring.units, lambda wanted: live_patterns(begin, whom, how, patterns, wanted))


def neighbour_responses(wiring: Wiring, cdf: Callable[[Any], Any]) -> list[np.ndarray]:
    """Return r_i(m) = F(m / k_i), m = 0 … k_i: Watts' response to the share of active in-neighbours.

    Args:
        wiring: square; k_i counts arcs that come in.
        cdf: the law F of the thresholds, such as ``scipy.stats.norm(0.4, 0.25).cdf``; F(0) is the chance to be active
            without any help.

    >>> [r.tolist() for r in neighbour_responses(Wiring.from_edges([0, 1], [2, 2]), lambda x: 0.1 + 0.5 * x)]
    [[0.1], [0.1], [0.1, 0.35, 0.6]]
    """
    return [np.asarray(cdf(np.arange(k + 1) / max(int(k), 1)), dtype=np.float64) for k in wiring.in_degrees]


def checked_responses(wiring: Wiring, responses: Sequence[Any]) -> list[np.ndarray]:
    """Return one response per unit, float64 [k_i + 1], rising within [0, 1], or say which is wrong."""
    if len(responses) != wiring.units:
        raise UserError("every unit needs a response.", came=f"{len(responses)}", expected=f"{wiring.units}")
    found = []
    for i, (response, degree) in enumerate(zip(responses, wiring.in_degrees, strict=True)):
        row = np.asarray(response, dtype=np.float64)
        if row.shape != (int(degree) + 1,):
            raise UserError(
                f"the response of unit {i} has shape {row.shape}.",
                came=f"shape {row.shape}",
                expected=f"[{int(degree) + 1}], one for each number of active in-neighbours",
            )
        if not (np.all(row >= 0) and np.all(row <= 1) and np.all(np.diff(row) >= 0)):
            raise UserError(
                f"the response of unit {i} is no rising row of probabilities.",
                came=str(row.tolist()),
                expected="0 to 1, never falling",
            )
        found.append(row)
    return found


def enumerate_thresholds(wiring: Wiring, responses: Sequence[Any]) -> SizeDistribution:
    """Return the exact law of a threshold cascade on any tiny graph, from all classes of thresholds.

    The threshold of unit i falls between r_i(t - 1) and r_i(t) (it then needs t active in-neighbours) with probability
    r_i(t) - r_i(t - 1), or is never met with probability 1 - r_i(k_i).

    Args:
        wiring: square.
        responses: r_i(m), m = 0 … k_i, for every unit: the chance to be active with m active in-neighbours.

    Raises:
        UserError: more than 2^20 combinations of classes.

    >>> pair = Wiring.from_edges([0], [1])
    >>> enumerate_thresholds(pair, [[0.5], [0.0, 0.5]]).pmf.tolist()
    [0.5, 0.25, 0.25]
    """
    return threshold_enumeration(wiring, responses).law()


def threshold_enumeration(wiring: Wiring, responses: Sequence[Any]) -> Solution:
    """Return law and marginals of a threshold cascade on any tiny graph; see :func:`enumerate_thresholds`.

    >>> pair = Wiring.from_edges([0], [1])
    >>> threshold_enumeration(pair, [[0.5], [0.0, 0.5]]).active(None).tolist()
    [0.5, 0.25]
    """
    rows = checked_responses(wiring, responses)
    if not rows:
        raise UserError("a cascade needs units.", came="a wiring of 0 units", expected="1 or more")
    classes = np.array([len(row) + 1 for row in rows], dtype=np.int64)
    patterns = math.prod(classes.tolist())
    if patterns > 2**MOST:
        raise UserError(
            "there is too much that can happen to go through all of it.",
            came=f"{patterns:,} combinations of thresholds",
            expected=f"{2**MOST:,} at most",
            attempt='method="monte-carlo"',
        )
    table = np.zeros((len(rows), int(classes.max())))
    for i, row in enumerate(rows):
        table[i, : len(row)] = np.diff(row, prepend=0.0)
        table[i, len(row)] = 1.0 - row[-1]

    from sparsefire.cascades.exact._small_kernels import threshold_classes

    return _enumeration(
        len(rows), lambda wanted: threshold_classes(table, classes, wiring.senders, wiring.receivers, patterns, wanted)
    )


def _enumeration(units: int, run: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> Solution:
    """Return what ``run`` finds; it takes the size of which the active units are wanted: -1 any, ``units`` + 1 none."""

    def law() -> SizeDistribution:
        return SizeDistribution.from_pmf(run(units + 1)[0], "enumeration")

    def active(size: int | None) -> np.ndarray:
        pmf, found = run(-1 if size is None else size)
        if size is None:
            return np.minimum(found, 1.0)
        if pmf[size] == 0:
            raise impossible(size)
        return np.asarray(found / pmf[size])

    return Solution("enumeration", law, active)


def _checked(wiring: Wiring, probability: Any, sources: Any) -> tuple[np.ndarray, np.ndarray]:
    w = probabilities(wiring.per_arc(probability, "probability"), wiring.arcs, "probability")
    p = read_sources(sources, wiring.units).dense(wiring.units)
    if not len(p):
        raise UserError("a cascade needs units.", came="a wiring of 0 units", expected="1 or more")
    return w, p
