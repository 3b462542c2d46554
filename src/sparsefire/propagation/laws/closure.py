"""A law of pre-activations told by its variance and kurtosis, and what a sparse layer makes of these two.

A unit adds up K inputs x_j, h = Σ w_j x_j + b, with independent symmetric weights of variance v_K: σ_w² / E K for all
(``"mean"``), or σ_w² / K by the unit's own in-degree (``"actual"``). Independent inputs (in-trees that do not meet:
width ≫ fan-in^depth) give exactly

    E h² = E[K v_K] E x² + σ_b²
    E h⁴ = μ4 E[K v_K²] E x⁴ + 3 E[K (K-1) v_K²] (E x²)² + 6 E[K v_K] E x² σ_b² + 3 σ_b⁴

(derived here; for ReLU and no bias a recursion of the kurtosis). With normal weights h is a scale mixture of normals,
h ~ N(0, S), S = v_K Σ x_j² + σ_b², E h⁴ = 3 E S². To go on through φ one needs the law of h itself. It is closed here
by S - σ_b² ~ gamma with the right mean and variance if the kurtosis is above 3; below it, by two normals at ±μ, whose
kurtosis is 3 - 2 μ⁴/q².
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from sparsefire.errors import UserError
from sparsefire.propagation.laws.activations import Activation, Function
from sparsefire.propagation.laws.gaussian import expectation, pair_expectation
from sparsefire.propagation.laws.moments import fan_in_law, fourth_moment, weight_variances

NODES = 24  # of the gamma law


class Sums(NamedTuple):
    """E[K v_K], μ4 E[K v_K²] and E[K (K-1) v_K²] of a layer."""

    single: float
    fourth: float
    pairs: float


def sums(weight_variance: float, fan_in: Any = None, weights: Any = "normal", scaled: str = "mean") -> Sums:
    """Return what a layer multiplies the moments of its inputs by.

    Args:
        weight_variance: σ_w², variance of a weight times its fan-in, 0 or more.
        fan_in: see :func:`~sparsefire.propagation.laws.moments.fan_in_law`; None for dense and wide.
        weights: see :func:`~sparsefire.propagation.laws.moments.fourth_moment`.
        scaled: ``"mean"`` or ``"actual"``: whose fan-in.

    >>> sums(2.0), sums(2.0, 4)
    (Sums(single=2.0, fourth=0.0, pairs=4.0), Sums(single=2.0, fourth=3.0, pairs=3.0))
    """
    total, mu4 = number(weight_variance, "weight variance, times fan-in,"), fourth_moment(weights)
    if fan_in is None:
        return Sums(total, 0.0, total**2)
    law = fan_in_law(fan_in)
    k = np.arange(len(law))
    v = weight_variances(law, total, scaled)
    return Sums(float(law @ (k * v)), mu4 * float(law @ (k * v**2)), float(law @ (k * (k - 1) * v**2)))


def number(value: Any, name: str) -> float:
    """Return a finite number of 0 or more, or say that it is none.

    >>> number(2, "bias variance")
    2.0
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not 0 <= found < np.inf:
        raise UserError(f"a {name} is a number.", came=repr(value)[:80], expected="finite, 0 or more")
    return found


def layer_moments(by: Sums, second: Any, fourth: Any, bias_variance: float) -> tuple[Any, Any]:
    """Return E h² and E h⁴ from E x² and E x⁴; the bias is normal.

    >>> layer_moments(sums(2.0, 4), 0.5, 1.5, 0.0)
    (1.0, 6.75)
    """
    signal = by.single * second
    return signal + bias_variance, (
        by.fourth * fourth + 3 * by.pairs * second**2 + 6 * signal * bias_variance + 3 * bias_variance**2
    )


class Mixture(NamedTuple):
    """Normals with these shares [n], means [n] and variances [n]."""

    shares: np.ndarray
    means: np.ndarray
    variances: np.ndarray


def mixture(variance: float, kurtosis: float = 3.0, floor: float = 0.0) -> Mixture:
    """Return a symmetric law with a given variance and kurtosis as a mixture of normals.

    Args:
        variance: q ≥ 0.
        kurtosis: E h⁴ / (E h²)², 1 or more. Up to 3 two normals, above 3 the nodes of a Gauss–Laguerre rule for S.
        floor: least of the variances S, that of the bias.

    >>> law = mixture(2.0, 4.5)
    >>> float((law.shares @ law.variances).round(9)), float((3 * law.shares @ law.variances**2 / 4).round(9))
    (2.0, 4.5)
    """
    if variance > floor and kurtosis > 3:
        free = variance - floor
        shape = (free / variance) ** 2 / (kurtosis / 3 - 1)
        if shape < 1e9:
            at = np.arange(NODES)
            nodes, vectors = linalg.eigh_tridiagonal(2 * at + shape, np.sqrt(at[1:] * (at[1:] + shape - 1)))
            return Mixture(vectors[0] ** 2, np.zeros(NODES), floor + free / shape * np.maximum(nodes, 0.0))
    if kurtosis < 3:
        square = variance * np.sqrt((3 - kurtosis) / 2)
        place = np.sqrt(square)
        return Mixture(np.full(2, 0.5), np.array([-place, place]), np.full(2, max(variance - square, 0.0)))
    return Mixture(np.ones(1), np.zeros(1), np.full(1, float(variance)))


def average(function: Function, law: Mixture, kinks: tuple[float, ...] = ()) -> float:
    """Return E f(h).

    >>> round(average(lambda x: x**4, mixture(2.0, 4.5)), 9)
    18.0
    """
    return float(law.shares @ expectation(function, law.variances, law.means, kinks=kinks))


def pair_average(function: Function, law: Mixture, correlation: float, kinks: tuple[float, ...] = ()) -> float:
    """Return E f(h) f(h′) for two inputs whose pre-activations have one law and this correlation.

    They share S, and lie on the same side of two normals with chance (1 + c)/2: their correlation given S is taken to
    be the same for all units.

    >>> round(pair_average(lambda x: x, mixture(2.0, 2.5), 0.25), 9)
    0.5
    """
    found = 0.0
    for share, mean, variance in zip(*law, strict=True):
        same = (1 + correlation) / 2 if mean else 1.0
        for chance, other in ((same, mean), (1 - same, -mean)):
            if chance > 0 and share > 1e-18:
                one = pair_expectation(function, variance, correlation, means=(mean, other), kinks=kinks)
                found += float(share * chance * one)
    return found


def homogeneous_fourth(phi: Activation) -> float:
    """Return E φ(h)⁴ / E h⁴ of a homogeneous activation and a symmetric law."""
    return (phi.slopes[0] ** 4 + phi.slopes[1] ** 4) / 2
