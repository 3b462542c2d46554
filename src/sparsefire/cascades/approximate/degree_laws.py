"""What a large random network is drawn from: the law of degrees, and the law of thresholds.

A law of degrees is a row p_0 … p_K that adds up to 1. Every function that takes one also takes a frozen discrete law of
``scipy.stats``, whose tail is cut.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError

MOST_DEGREE = 4096
TAIL = 1e-12  # share of units whose degrees are cut off
ROUNDING = 1e-12  # loads that miss a threshold by this share of it reach it

Cdf = Callable[[np.ndarray], np.ndarray]


def degree_law(degrees: Any, tail: float = TAIL) -> np.ndarray:
    """Return p_0 … p_K, float64 [K + 1], checked.

    Args:
        degrees: probabilities [K + 1] that add up to 1 (within 1e-9; then they are divided by their sum), or a frozen
            discrete law with ``pmf``, ``sf`` and ``isf``: K is the smallest degree that leaves at most ``tail`` of the
            units above it; they are cut off and the rest is scaled up.
        tail: in (0, 1).

    Raises:
        UserError: an entry below 0 or NaN (which one), a sum that is not 1, a law of degrees below 0 or with a tail
            beyond 4,096, a mean of 0: nothing spreads where nobody is joined.

    >>> degree_law([0.5, 0.0, 0.5]).tolist()
    [0.5, 0.0, 0.5]
    >>> from scipy import stats
    >>> len(degree_law(stats.poisson(3))) - 1
    22
    """
    if hasattr(degrees, "pmf") and hasattr(degrees, "isf"):
        law = _cut(degrees, tail)
    else:
        law = np.asarray(degrees, dtype=np.float64)
        if law.ndim != 1 or not 1 <= len(law) <= MOST_DEGREE + 1:
            raise UserError(
                "a law of degrees is a row.",
                came=f"shape {law.shape}",
                expected=f"p_0 … p_K, K up to {MOST_DEGREE:,}, or a frozen law of scipy.stats",
            )
        wrong = np.flatnonzero(~((law >= 0) & (law <= np.inf)))
        if len(wrong):
            at = int(wrong[0])
            raise UserError("degrees have probabilities.", came=f"{law[at]} for degree {at}", expected="0 to 1")
        total = float(law.sum())
        if not abs(total - 1) <= 1e-9:
            raise UserError("a law of degrees adds up to 1.", came=f"{total:.12g}", expected="1")
        law = law / total
    if not law[1:].any():
        raise UserError(
            "nothing spreads where nobody is joined.", came="a mean degree of 0", expected="a mean degree above 0"
        )
    return law


def poisson(mean: float, tail: float = TAIL) -> np.ndarray:
    """Return the law of degrees of large random graphs in which all pairs are alike, p_0 … p_K.

    Args:
        mean: z ≥ 0.
        tail: share of units above K, which is cut off.

    >>> poisson(0.5, tail=0.01).round(4).tolist()
    [0.6076, 0.3038, 0.0759, 0.0127]
    """
    z = float(mean)
    if not 0 <= z < np.inf:
        raise UserError("a mean degree is 0 or more.", came=repr(mean), expected="a finite number, 0 or more")
    most = int(z + 10 * np.sqrt(z) + 60)
    k = np.arange(most + 1)
    above = special.gammainc(k + 1.0, z)  # P(more than k)
    found = int(np.argmax(above <= tail))
    if above[found] > tail or found > MOST_DEGREE:
        raise UserError("these degrees are too large.", came=f"mean={mean!r}", expected=f"up to {MOST_DEGREE:,}")
    law = np.exp(special.xlogy(k[: found + 1], z) - z - special.gammaln(k[: found + 1] + 1))
    return law / law.sum()


def regular(degree: int) -> np.ndarray:
    """Return the law of units that all have one degree.

    >>> regular(3).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    law = np.zeros(_degree(degree, 0) + 1)
    law[-1] = 1.0
    return law


def power_law(exponent: float, most: int, least: int = 1) -> np.ndarray:
    """Return p_k ∝ k^(-exponent) for least ≤ k ≤ most, p_0 … p_most.

    Args:
        exponent: any finite number; a cut is needed at all events, so that it is part of the law.
        most, least: whole numbers, 1 ≤ least ≤ most ≤ 4,096.

    >>> power_law(1.0, 3).round(4).tolist()
    [0.0, 0.5455, 0.2727, 0.1818]
    """
    low, high = _degree(least, 1), _degree(most, 1)
    if low > high or not np.isfinite(exponent):
        raise UserError(
            "this is no power law.",
            came=f"exponent={exponent!r}, least={least!r}, most={most!r}",
            expected="a finite exponent and least ≤ most",
        )
    k = np.arange(low, high + 1, dtype=np.float64)
    logs = -float(exponent) * np.log(k)
    law = np.zeros(high + 1)
    law[low:] = np.exp(logs - logs.max())
    return law / law.sum()


def edge_law(law: np.ndarray) -> np.ndarray:
    """Return k p_k / z: the law of the degree at the end of a random edge [K + 1].

    >>> edge_law(np.array([0.5, 0.25, 0.25])).round(4).tolist()
    [0.0, 0.3333, 0.6667]
    """
    weight = np.arange(len(law)) * law
    return weight / weight.sum()


def threshold_cdf(response: Any) -> Cdf:
    """Return the law F of thresholds as a function: F(x) is the chance that a load of x is enough.

    Args:
        response: a number (the threshold of all; a load that misses it by a share of 1e-12 reaches it), a frozen law
            with ``cdf``, or F itself, which takes and gives arrays.

    Raises:
        UserError: NaN, or nothing of the kind. F is checked where it is used: see :func:`checked`.

    >>> threshold_cdf(0.3)(np.array([0.2, 0.3, 0.4])).tolist()
    [0.0, 1.0, 1.0]
    """
    if isinstance(response, numbers.Real) and not isinstance(response, bool):
        level = float(response)
        if np.isnan(level):
            raise UserError("a threshold is no number.", came="nan", expected="a number")
        reached = level - ROUNDING * abs(level) if np.isfinite(level) else level
        return lambda x: (np.asarray(x) >= reached).astype(np.float64)
    if callable(getattr(response, "cdf", None)):
        return response.cdf
    if callable(response):
        return response
    raise UserError(
        "this is no law of thresholds.",
        came=type(response).__name__,
        expected="a number, a frozen law of scipy.stats, or a function F",
    )


def threshold_laws(response: Any, most: int) -> list[Cdf]:
    """Return the laws of thresholds for units of degrees 0 … most: one function for all, or most + 1 of them.

    Args:
        response: as of :func:`threshold_cdf`, or a list of such, one for every degree.
        most: K.
    """
    if not isinstance(response, list | tuple):
        return [threshold_cdf(response)]
    if len(response) != most + 1:
        raise UserError(
            "every degree needs a law of thresholds.", came=f"{len(response)}", expected=f"{most + 1}, or one for all"
        )
    return [threshold_cdf(one) for one in response]


def checked(cdf: Cdf, loads: np.ndarray) -> np.ndarray:
    """Return F(loads) for rising loads, float64 in [0, 1], never falling.

    Raises:
        UserError: NaN, a value outside [0, 1], a fall, or another shape; naming the load.

    >>> checked(lambda x: x / 2, np.array([0.0, 1.0])).tolist()
    [0.0, 0.5]
    """
    found = np.asarray(cdf(loads), dtype=np.float64)
    if found.shape != loads.shape:
        raise UserError(
            "a law of thresholds takes and gives arrays.", came=f"shape {found.shape}", expected=f"{loads.shape}"
        )
    wrong = np.flatnonzero(~((found >= 0) & (found <= 1 + 1e-12)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError("a law of thresholds is a probability.", came=f"F({loads[at]:.6g}) = {found[at]}")
    falls = np.flatnonzero(np.diff(found) < -1e-12)
    if len(falls):
        at = int(falls[0])
        raise UserError(
            "more load cannot help less.",
            came=f"F({loads[at]:.6g}) = {found[at]:.6g}, F({loads[at + 1]:.6g}) = {found[at + 1]:.6g}",
            expected="F that never falls",
        )
    return np.minimum(found, 1.0)


def thresholds_by_degree(degrees: Any, response: Any, falling: bool = False) -> list[Cdf]:
    """Return a law of thresholds for every degree: the same thresholds, dealt out in the order of the degrees.

    Low degrees get low thresholds, or with ``falling`` high ones: F(x | k) = (F(x) - a_k) / p_k within [0, 1], where
    a_k is the share of units that were served before those of degree k. To spare the hubs or to attack them: Burkholz &
    Schweitzer, PRE 98, 022306 (2018), arXiv:1706.04451.

    >>> F = thresholds_by_degree([0.0, 0.5, 0.5], lambda x: np.clip(x, 0, 1))
    >>> [float(F[k](np.array([0.75]))[0]) for k in (1, 2)]
    [1.0, 0.5]
    """
    law, whole = degree_law(degrees), threshold_cdf(response)
    upto = np.cumsum(law[::-1])[::-1] if falling else np.cumsum(law)

    def part(before: float, share: float) -> Cdf:
        if share <= 0:  # nobody has this degree
            return lambda x: (np.asarray(whole(x)) > before).astype(np.float64)
        return lambda x: np.clip((np.asarray(whole(x)) - before) / share, 0.0, 1.0)

    return [part(float(high - share), float(share)) for high, share in zip(upto, law, strict=True)]


def _cut(degrees: Any, tail: float) -> np.ndarray:
    if not 0 < tail < 1:
        raise UserError("the tail is a share of the units.", came=repr(tail), expected="a number in (0, 1)")
    if not float(degrees.cdf(-1)) == 0:
        raise UserError("a degree is 0 or more.", came=f"a law with P(k < 0) = {float(degrees.cdf(-1)):.6g}")
    if not float(degrees.sf(MOST_DEGREE)) <= tail:
        raise UserError(
            "the tail of this law of degrees is too heavy.",
            came=f"P(k > {MOST_DEGREE:,}) = {float(degrees.sf(MOST_DEGREE)):.3g}",
            expected=f"{tail:g} at most",
            attempt="power_law(exponent, most), or a larger tail=",
        )
    law = np.asarray(degrees.pmf(np.arange(int(degrees.isf(tail)) + 1)), dtype=np.float64)
    return law / law.sum()


def _degree(value: Any, least: int) -> int:
    if isinstance(value, bool) or value != int(value) or not least <= value <= MOST_DEGREE:
        raise UserError("a degree is a whole number.", came=repr(value), expected=f"{least} to {MOST_DEGREE:,}")
    return int(value)
