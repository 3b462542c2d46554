"""Exact laws on the complete graph and the star, without going through what can happen.

Burkholz, Herrmann & Schweitzer, Sci. Rep. 8, 6878 (2018), doi:10.1038/s41598-018-25211-3, arXiv:1802.03286: the two
shapes bracket the mean cascade size. The recursion with alternating signs loses all digits at 60 units; the chain here
adds numbers of 0 or more only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.tree import probabilities
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def complete_law(failing: Any, method: str = "complete graph") -> SizeDistribution:
    """Return the exact law of the final size on a complete graph of like units.

    Exposes one active unit at a time: with X_j of N thresholds at most F_j, the size is the first j with X_j = j.
    O(N³) time (1,000 units take seconds), O(N) memory; logarithms throughout.

    Args:
        failing: F_0 ≤ … ≤ F_{N-1}, the chance that a unit is active once j others are [N].

    Raises:
        UserError: a value outside [0, 1] or a fall.

    >>> complete_law([0.5, 0.75]).pmf.round(6).tolist()
    [0.25, 0.25, 0.5]
    """
    given = np.asarray(failing, dtype=np.float64)
    values = probabilities(given, given.size if given.ndim else 0, "failing")
    if not len(values):
        raise UserError("a cascade needs units.", came="none", expected="F_0 … F_{N-1}")
    falls = np.flatnonzero(np.diff(values) < 0)
    if len(falls):
        at = int(falls[0]) + 1
        raise UserError("failing must not fall.", came=f"{values[at]} after {values[at - 1]}, entry {at}")

    from sparsefire.cascades.exact._small_kernels import exposure_chain

    return SizeDistribution.from_log_pmf(exposure_chain(values), method)


def complete_law_with(sure: int, failing: Any, method: str = "complete graph") -> SizeDistribution:
    """Return the law where some of the units are active for sure; the others are alike.

    Args:
        sure: how many, 0 … N.
        failing: F_0 ≤ … ≤ F_{N-1} as of :func:`complete_law`, of the others.

    >>> complete_law_with(1, [0.0, 0.5]).pmf.round(6).tolist()
    [0.0, 0.5, 0.5]
    """
    values = np.asarray(failing, dtype=np.float64)
    if sure == 0:
        return complete_law(values, method)
    logs = complete_law(values[sure:], method).log_pmf if sure < len(values) else np.zeros(1)
    return SizeDistribution.from_log_pmf(np.append(np.full(sure, -np.inf), logs), method)


def like_chance(chances: np.ndarray) -> float | None:
    """Return the source probability of all units that are not sure to start, None if they differ.

    >>> like_chance(np.array([1.0, 0.2, 0.2])), like_chance(np.array([0.1, 0.2]))
    (0.2, None)
    """
    rest = chances[chances < 1]
    if not len(rest):
        return 0.0
    return float(rest[0]) if np.ptp(rest) == 0 else None


def complete_independent_law(units: int, probability: float, source: float, sure: int = 0) -> SizeDistribution:
    """Return the law of the independent cascade on the complete graph (Reed–Frost): F_j = 1 - (1-p)(1-w)^j.

    Args:
        units: N.
        probability: w, of every arc.
        source: p, of every unit but the ``sure`` ones, which start.
        sure: how many.

    >>> complete_independent_law(4, 0.2, 0.1).pmf.round(8).tolist()
    [0.6561, 0.1492992, 0.09157018, 0.06634045, 0.03669017]
    """
    w, p = probabilities([probability, source], 2, "probability and source")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log1p(-p) + np.where(np.arange(units) > 0, np.arange(units) * np.log1p(-w), 0.0)
    return complete_law_with(sure, -np.expm1(logs))


def complete_threshold_law(units: int, cdf: Callable[[Any], Any]) -> SizeDistribution:
    """Return the law of Watts' cascade on the complete graph: F_j = F(j / (N-1)).

    >>> complete_threshold_law(3, lambda share: 0.2 + 0.5 * share).pmf.round(4).tolist()
    [0.512, 0.1815, 0.126, 0.1805]
    """
    return complete_law(np.asarray(cdf(np.arange(units) / max(units - 1, 1)), dtype=np.float64))


def bundle_law(fibres: int, load: float, cdf: Callable[[Any], Any]) -> SizeDistribution:
    """Return the law of the number of broken fibres under equal sharing: F_j = F(x N / (N-j)).

    Args:
        fibres: N.
        load: x, per fibre at the start.
        cdf: the law F of the strength of a fibre.

    >>> bundle_law(2, 0.25, lambda x: np.clip(x, 0, 1)).pmf.round(4).tolist()
    [0.5625, 0.25, 0.1875]
    """
    if not (np.isfinite(load) and load >= 0):
        raise UserError("a load is 0 or more.", came=repr(load), expected="a finite number, 0 or more")
    left = np.arange(fibres, 0, -1)
    return complete_law(np.asarray(cdf(load * fibres / left), dtype=np.float64), "fibre bundle, equal sharing")


def quasi_binomial_law(units: int, p: float, w: float) -> SizeDistribution:
    """Return the law for F_j = min(1, p + j w) in closed form, at any number of units.

    P(n) = C(N,n) p (p + n w)^(n-1) (1 - p - n w)^(N-n) while p + n w < 1; if that ends before N, the rest is P(N)
    (the CASCADE model of blackouts, Dobson et al., doi:10.1017/S0269964805050023).

    >>> quasi_binomial_law(6, 0.1, 0.12).pmf.round(8).tolist()
    [0.531441, 0.17323046, 0.09677115, 0.06663876, 0.05162664, 0.043218, 0.03707398]
    """
    if not 0 <= p <= 1 or not w >= 0:
        raise UserError("p is a probability and w 0 or more.", came=f"p={p!r}, w={w!r}", expected="0 ≤ p ≤ 1, w ≥ 0")
    if isinstance(units, bool) or units != int(units) or units < 1:
        raise UserError("a cascade needs units.", came=repr(units), expected="a whole number, 1 or more")
    n = np.arange(units + 1)
    fails = p + n * w
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = -np.log1p(units) - special.betaln(units - n + 1, n + 1) + special.xlogy(n > 0, p)
        logs = logs + special.xlogy(np.maximum(n - 1, 0), fails) + special.xlog1py(units - n, -np.minimum(fails, 1.0))
    logs[(fails >= 1) & (n < units)] = -np.inf
    if fails[-1] > 1 and p > 0:
        with np.errstate(divide="ignore"):
            logs[-1] = np.log(max(0.0, -np.expm1(special.logsumexp(logs[:-1]))))
    return SizeDistribution.from_log_pmf(logs, "quasi-binomial")


def star_law(hub: Any, leaf_alone: float, leaf_helped: float) -> SizeDistribution:
    """Return the exact law of the final size on a star of one hub and h like leaves.

    With F0 and F1 the chances of a leaf without and with an active hub, H(a) that of the hub with a active leaves:
    hub inactive: P(m) += C(h,m) F0^m (1-F0)^(h-m) (1 - H(m));
    hub active: P(1+m) += C(h,m) (1-F1)^(h-m) Σ_a C(m,a) F0^a (F1-F0)^(m-a) H(a).

    Args:
        hub: H(0) … H(h), rising [h + 1]. For Watts' model H(a) = F(a/h); for the independent cascade
            1 - (1-p)(1-w)^a.
        leaf_alone, leaf_helped: F0 ≤ F1.

    >>> star_law(1 - 0.9 * 0.8 ** np.arange(5), 0.1, 0.28).pmf.round(8).tolist()
    [0.59049, 0.23682586, 0.09667123, 0.0562775, 0.01770163, 0.00203378]
    """
    response = np.asarray(hub, dtype=np.float64)
    response = probabilities(response, response.size if response.ndim else 0, "hub")
    f0, f1 = probabilities([leaf_alone, leaf_helped], 2, "leaf_alone and leaf_helped")
    if f1 < f0:
        raise UserError("an active hub can only help.", came=f"{f0} alone, {f1} helped", expected="leaf_alone at most")
    h = len(response) - 1
    a = np.arange(h + 1)
    law = np.full(h + 2, -np.inf)
    with np.errstate(divide="ignore"):
        choose = -np.log1p(h) - special.betaln(h - a + 1, a + 1)
        law[:-1] = choose + special.xlogy(a, f0) + special.xlog1py(h - a, -f0) + np.log1p(-response)
        risen = np.log(response)
    for m in range(h + 1):
        k = a[: m + 1]
        ways = -np.log1p(m) - special.betaln(m - k + 1, k + 1)
        with np.errstate(divide="ignore"):
            terms = ways + special.xlogy(k, f0) + special.xlogy(m - k, f1 - f0) + risen[: m + 1]
            top = terms.max()
            inner = top + np.log(np.exp(terms - top).sum()) if top > -np.inf else -np.inf
            law[1 + m] = np.logaddexp(law[1 + m], choose[m] + special.xlog1py(h - m, -f1) + inner)
    return SizeDistribution.from_log_pmf(law, "star")


def is_complete(wiring: Wiring) -> bool:
    """Return whether every unit acts on every other exactly once.

    >>> is_complete(Wiring.from_edges([0, 0, 1], [1, 2, 2], directed=False))
    True
    """
    n = wiring.units
    if wiring.arcs != n * (n - 1) or (wiring.out_degrees != n - 1).any():
        return False
    again = (np.diff(wiring.receivers) == 0) & (np.diff(wiring.senders) == 0)
    return not again.any() and not (wiring.receivers == wiring.senders).any()


def star_hub(wiring: Wiring) -> int | None:
    """Return the unit that all others, at least 2, are tied to in both directions and nothing else is, or None.

    >>> star_hub(Wiring.from_edges([1, 1], [0, 2], directed=False))
    1
    """
    n = wiring.units
    if n < 3 or wiring.arcs != 2 * (n - 1):
        return None
    hub = int(np.argmax(wiring.out_degrees))
    others = np.delete(np.arange(n), hub)
    targets = wiring.receivers[wiring.starts[hub] : wiring.starts[hub + 1]]
    back = wiring.senders[wiring.receivers == hub]
    return hub if np.array_equal(targets, others) and np.array_equal(back, others) else None
