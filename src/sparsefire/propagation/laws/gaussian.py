"""Expectations over one or two Gaussian variables, by Gauss–Legendre rules on panels that shrink where φ bends.

Gauss–Hermite rules do not see a function that bends on a scale of 1 under a Gaussian of variance 100, nor a kink. Here
the real line of g is cut at kinks and at 2^-j around the place where φ has its argument 0, down to an eighth of
the scale on which φ bends; each panel has a Gauss–Legendre rule. |g| > 10 (1.5e-23 of the mass) is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.propagation.laws.activations import Function

REACH = 10.0
_MOST_CELLS = 2**21
_LINE = (np.linspace(-REACH, REACH, 17), *np.polynomial.legendre.leggauss(16))  # coarse cuts, rule of a panel
_PLANE = (np.linspace(-8.0, 8.0, 11), *np.polynomial.legendre.leggauss(10))  # thinner: its cost is squared


def expectation(function: Function, variance: Any, mean: Any = 0.0, *, kinks: tuple[float, ...] = ()) -> np.ndarray:
    """Return E f(mean + sqrt(variance) g), g standard normal, float64 of the shape of variance and mean together.

    Args:
        function: f, of arrays; analytic between kinks and bending on a scale of 1 or more around 0, as activations do,
            their squares and derivatives. About 1e-13 of E |f| then.
        variance: 0 or more.
        mean: any number.
        kinks: where f or a derivative of it jumps.

    >>> float(expectation(lambda x: np.maximum(x, 0.0) ** 2, 2.0, kinks=(0.0,)).round(12))
    1.0
    """
    variance, mean = np.broadcast_arrays(np.asarray(variance, np.float64), np.asarray(mean, np.float64))
    scale, centre = np.sqrt(variance).ravel(), mean.ravel()
    found = np.empty(scale.shape)
    rows = max(1, _MOST_CELLS // 4096)
    for at in range(0, len(scale), rows):
        sigma, middle = scale[at : at + rows, None], centre[at : at + rows, None]
        g, weight = _rule(_LINE, -middle, np.array(kinks) - middle, sigma, float(sigma.max(initial=0.0)))
        found[at : at + rows] = (function(middle + sigma * g) * weight).sum(-1)
    return found.reshape(variance.shape)


def pair_expectation(
    function: Function,
    variance: float,
    correlation: float,
    *,
    means: tuple[float, float] = (0.0, 0.0),
    kinks: tuple[float, ...] = (),
) -> float:
    """Return E f(x) f(y) for Gaussian x and y of one variance.

    With x = m₁ + σ (a u + b v), y = m₂ + σ (a u - b v), a² = (1+c)/2, b² = (1-c)/2, which is as accurate near c = 1 as
    anywhere: the inner rule, over v, is cut where x or y is at a kink, and the outer one shrinks where these meet.

    Args:
        function: as of :func:`expectation`.
        variance: σ² ≥ 0, of both.
        correlation: c in [-1, 1].
        means: of x and of y.
        kinks: where f or a derivative of it jumps.

    >>> round(pair_expectation(np.sign, 1.0, 0.5, kinks=(0.0,)), 10)  # 2/π asin c
    0.3333333333
    """
    sigma = float(np.sqrt(variance))
    a, b = np.sqrt((1 + correlation) / 2), np.sqrt((1 - correlation) / 2)
    first, second = means
    if sigma == 0 or b == 0:
        found = expectation(lambda x: function(x) * function(x + second - first), sigma**2, first, kinks=kinks)
        return float(found)
    edges = np.unique([0.0, *kinks])
    zero = int(np.flatnonzero(edges == 0)[0])
    at = np.unique([edges - first, edges - second])[None]
    fine = max(sigma * a, a / b if kinks else 0.0)
    u, outer = (part[0] for part in _rule(_PLANE, at, at, np.full((1, 1), sigma * a), fine))
    base = sigma * a * u[:, None]
    of_x, of_y = edges - first - base, second + base - edges
    places, origins = np.concatenate([of_x, of_y], 1), np.stack([of_x[:, zero], of_y[:, zero]], 1)
    inner = 0.0
    rows = max(1, _MOST_CELLS // 4096)
    for start in range(0, len(u), rows):
        part = slice(start, start + rows)
        v, weight = _rule(_PLANE, origins[part], places[part], np.full((1, 1), sigma * b), sigma * b)
        x, y = first + base[part] + sigma * b * v, second + base[part] - sigma * b * v
        inner += float(outer[part] @ (function(x) * function(y) * weight).sum(-1))
    return inner


def nodes(variance: float, kinks: tuple[float, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return x and dx for sums over the real line of what falls off as a Gaussian of this variance, cut at kinks.

    >>> x, dx = nodes(4.0)
    >>> float((dx @ np.exp(-x * x / 8)).round(9) ** 2 / 8 / np.pi).__round__(6)
    1.0
    """
    sigma = float(np.sqrt(variance))
    cuts = np.array([[0.0, *kinks]])
    g, weight = (part[0] for part in _rule(_PLANE, cuts, cuts, np.full((1, 1), sigma), sigma / 8))
    return sigma * g, sigma * weight * np.exp(g * g / 2) * np.sqrt(2 * np.pi)


def _rule(
    base: tuple[np.ndarray, np.ndarray, np.ndarray], around: Any, cuts: Any, scale: np.ndarray, fine: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights [rows, n] for a standard Gaussian.

    Panels are cut at ``cuts`` and shrink ``around`` places down to 1 / (8 ``fine``); both [rows, ·], times ``scale``.
    """
    coarse, points, weights = base
    levels = int(np.clip(np.ceil(np.log2(max(fine, 1e-300))) + 3, 0, 48))
    shrinking = 0.5 ** np.arange(1, levels + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        around, cuts = (np.nan_to_num(part / scale, nan=0.0, posinf=REACH, neginf=-REACH) for part in (around, cuts))
    steps = np.concatenate([-shrinking, shrinking])
    graded = (around[:, :, None] + steps).reshape(len(around), -1)
    rows = max(len(graded), len(cuts))
    parts = [np.broadcast_to(part, (rows, part.shape[-1])) for part in (coarse[None], graded, around, cuts)]
    breaks = np.sort(np.clip(np.concatenate(parts, 1), coarse[0], coarse[-1]), 1)
    half = np.diff(breaks)[:, :, None] / 2
    g = ((breaks[:, 1:] + breaks[:, :-1])[:, :, None] / 2 + half * points).reshape(rows, -1)
    weight = (half * weights).reshape(rows, -1) * np.exp(-g * g / 2) / np.sqrt(2 * np.pi)
    return g, weight
