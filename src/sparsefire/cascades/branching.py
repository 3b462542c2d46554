"""Branching processes: total progeny, extinction, survival.

Borel and Otter–Dwass: P(T = n | r ancestors) = (r/n) P(ξ_1 + … + ξ_n = n - r) (Dwass, J. Appl. Prob. 6, 682 (1969),
doi:10.2307/3212112).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError


def borel_log_pmf(n: Any, mean: float, ancestors: int = 1) -> np.ndarray:
    """Return log P(T = n), the total progeny with Poisson offspring (Borel–Tanner).

    P(T = n) = (r/n) e^(-μn) (μn)^(n-r) / (n-r)!; for μ > 1 what is missing from 1 is the chance of an infinite progeny.

    Args:
        n: sizes, whole numbers.
        mean: μ ≥ 0, offspring per individual.
        ancestors: r ≥ 1.

    >>> np.exp(borel_log_pmf([1, 2, 3], 1.0)).round(6).tolist()
    [0.367879, 0.135335, 0.074681]
    """
    sizes = np.asarray(n, dtype=np.float64)
    mu, r = _mean(mean), _ancestors(ancestors)
    safe = np.maximum(sizes, r)
    k = safe - r
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(r / safe) + special.xlogy(k, mu * safe) - mu * safe - special.gammaln(k + 1)
    return np.where((sizes >= r) & (sizes == np.floor(sizes)), logs, -np.inf)


def total_progeny(offspring: Any, most: int, ancestors: int = 1) -> np.ndarray:
    """Return P(T = 0) … P(T = most) for any offspring law, float64 [most + 1].

    Otter–Dwass with powers of the offspring law by repeated positive convolution, O(most³) at worst; relative accuracy.

    Args:
        offspring: P(ξ = 0), P(ξ = 1), … adding up to 1.
        most: largest size.
        ancestors: r ≥ 1.

    >>> total_progeny([0.25, 0.5, 0.25], 4).tolist()
    [0.0, 0.25, 0.125, 0.078125, 0.0546875]
    """
    law, r = _law(offspring), _ancestors(ancestors)
    found = np.zeros(int(most) + 1)
    power = np.ones(1)
    for n in range(1, len(found)):
        power = np.convolve(power, law)[: len(found)]
        if n >= r and n - r < len(power):
            found[n] = r / n * power[n - r]
    return found


def extinction(offspring: Any) -> float:
    """Return the chance that the progeny of one individual ends: the smallest root of u = E u^ξ.

    >>> round(extinction([0.25, 0.25, 0.5]), 12)
    0.5
    """
    law = _law(offspring)
    k = np.arange(len(law))
    if law[0] == 0.0:
        return 0.0
    if float(k @ law) <= 1.0:
        return 1.0
    slope = np.polynomial.Polynomial(law).deriv()
    value = np.polynomial.Polynomial(law)
    u = 0.0  # Newton from below on a convex function: rises to the smallest root and never passes it
    for _ in range(200):
        step = float((value(u) - u) / (1.0 - slope(u)))
        if not step > 1e-17:
            break
        u = min(u + step, 1.0)
    return u


def survival(generating: Callable[[float], float] | Any, generations: int, ancestors: int = 1) -> np.ndarray:
    """Return P(Z_t > 0), t = 0 … generations, float64 [generations + 1].

    Iterates the chance of extinction, u ← E u^ξ, in the form 1 - u, which keeps relative accuracy.

    Args:
        generating: the offspring law P(ξ = 0), P(ξ = 1), …; or a function that gives 1 - E (1 - x)^ξ from x, such as
            ``lambda x: -math.expm1(-mean * x)`` for Poisson offspring.
        generations: how many.
        ancestors: r ≥ 1.

    >>> survival([0.5, 0.0, 0.5], 2).tolist()
    [1.0, 0.5, 0.375]
    """
    r = _ancestors(ancestors)
    rises: Callable[[float], float]
    if callable(generating):
        rises = generating
    else:
        law = _law(generating)
        k = np.arange(len(law))

        def rises(x: float) -> float:
            return float(law @ -np.expm1(special.xlog1py(k, -x)))

    alive = np.empty(int(generations) + 1)
    alive[0] = 1.0
    for t in range(len(alive) - 1):
        alive[t + 1] = min(1.0, max(0.0, rises(float(alive[t]))))
    return -np.expm1(special.xlog1py(float(r), -alive)) if r > 1 else alive


def _law(offspring: Any) -> np.ndarray:
    law = np.asarray(offspring, dtype=np.float64)
    if law.ndim != 1 or not len(law):
        raise UserError("an offspring law is a row.", came=f"shape {law.shape}", expected="P(ξ = 0), P(ξ = 1), …")
    wrong = np.flatnonzero(~((law >= 0) & (law <= 1)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError("offspring must be probabilities.", came=f"{law[at]} in entry {at}", expected="0 to 1")
    if abs(law.sum() - 1) > 1e-9:
        raise UserError("an offspring law adds up to 1.", came=f"{law.sum():.12g}", expected="1")
    return law


def _mean(mean: float) -> float:
    if not (np.isfinite(mean) and mean >= 0):
        raise UserError("a mean of offspring is 0 or more.", came=repr(mean), expected="a finite number, 0 or more")
    return float(mean)


def _ancestors(ancestors: int) -> int:
    if isinstance(ancestors, bool) or ancestors != int(ancestors) or ancestors < 1:
        raise UserError("there is at least one ancestor.", came=repr(ancestors), expected="a whole number, 1 or more")
    return int(ancestors)
