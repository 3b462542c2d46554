"""Who was active, given how many were: P(unit active | C = size) for the independent cascade on forests.

The second sweep of Burkholz & Quackenbush (arXiv:1909.05416) as reverse differentiation: P(C = size) is linear in
every message, so its derivatives by them, which are 0 or more, flow from the roots to the leaves through the same
products; prefix products stand in for division.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsefire.cascades.exact.forest import Forest
from sparsefire.cascades.exact.tree import prepared, tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

Scaled = tuple[np.ndarray, int]  # values and binary exponent
ONE: Scaled = (np.ones(1), 0)
NOTHING: Scaled = (np.zeros(1), 0)
REACH = 640.0  # coefficients are held down to exp(-640), about 1e-278, of the largest


def marginals_given_size(wiring: Wiring, probability: Any, sources: Any, size: int) -> np.ndarray:
    """Return P(unit is active | ``size`` units are), float64 [n]; they add up to ``size``.

    O(n²) time; memory is the sum of all subtree sizes. Works for any possible size, however improbable, unless it lies
    in a valley of the law deeper than 1e-278 that no exponential tilt lifts.

    Args:
        wiring, probability, sources: as for :func:`~sparsefire.cascades.exact.tree.tree_law`.
        size: in 0 … n, possible.

    Raises:
        UserError: an impossible size.

    >>> marginals_given_size(Wiring.from_edges([0], [1]), 0.5, [0.5, 0.0], 1).tolist()
    [1.0, 0.0]
    """
    forest, p, up, down = prepared(wiring, probability, sources)
    log_pmf = tree_law(wiring, probability, sources).log_pmf
    if isinstance(size, bool) or size != int(size) or not 0 <= size < len(log_pmf) or log_pmf[int(size)] == -np.inf:
        raise UserError("this size is impossible.", came=f"size={size!r}", expected="a size with P(C = size) > 0")
    log_r, depth = _best_tilt(log_pmf, int(size))
    if depth > REACH:
        raise UserError(
            f"size {size} lies in a valley of the law too deep for double precision.",
            came=f"log P = {log_pmf[int(size)]:.1f}, {depth:.0f} below the sizes around it",
            expected="640 at most",
        )
    exponent = math.floor(log_r / math.log(2))
    mantissa = math.exp(log_r - exponent * math.log(2))
    found = np.empty(len(p))
    found[forest.order] = _sweeps(forest, p, up, down, int(size), (mantissa, exponent))
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


def _normal(values: np.ndarray, exponent: int) -> Scaled:
    top = float(values.max())
    if top == 0.0:
        return values, 0
    shift = 500 - math.frexp(top)[1]
    return np.ldexp(values, shift), exponent - shift


def _times(one: Scaled, two: Scaled) -> Scaled:
    return _normal(np.convolve(one[0], two[0]), one[1] + two[1])


def _slide(slope: Scaled, factor: Scaled) -> Scaled:
    """Return the derivative by X of a function of X · factor, of which the derivative by the product is ``slope``."""
    return _normal(np.correlate(slope[0], factor[0], "valid"), slope[1] + factor[1])


def _sum(*terms: tuple[float, Scaled]) -> Scaled:
    """Return Σ coefficient · polynomial, of one length."""
    parts = [(math.frexp(c), x) for c, x in terms if c > 0.0 and x[0].any()]
    if not parts:
        return np.zeros(len(terms[0][1][0])), 0
    power = max(e + x[1] for (_, e), x in parts)
    total = sum(np.ldexp(m * x[0], e + x[1] - power) for (m, e), x in parts)
    return _normal(np.asarray(total), power)


def _up(x: Scaled, r: tuple[float, int]) -> Scaled:
    return np.append(0.0, x[0]) * r[0], x[1] + r[1]


def _down(x: Scaled, r: tuple[float, int]) -> Scaled:
    return x[0][1:] * r[0], x[1] + r[1]


def _dot(one: Scaled, two: Scaled) -> tuple[float, int]:
    mantissa, exponent = math.frexp(float(one[0] @ two[0]))
    return mantissa, exponent + one[1] + two[1]


def _prefixes(children: np.ndarray, messages: list) -> list:
    """Return the products (∏B, ∏A, ∏S, D) over the first 0, 1, … children."""
    found = [(ONE, ONE, ONE, NOTHING)]
    for c in children:
        b, a, s, t = messages[c]
        all_b, all_a, all_s, d = found[-1]
        d = _sum((1.0, _times(d, s)), (1.0, _times(all_a, t)))
        found.append((_times(all_b, b), _times(all_a, a), _times(all_s, s), d))
    return found


def _sweeps(
    forest: Forest, p: np.ndarray, up: np.ndarray, down: np.ndarray, size: int, r: tuple[float, int]
) -> np.ndarray:
    n = len(p)
    messages: list = [None] * n
    for i in range(n - 1, -1, -1):
        messages[i] = _message(_prefixes(_children(forest, i), messages)[-1], p[i], up[i], down[i], r)[0]
    slopes: list = [None] * n
    laws = [ONE]
    roots = _children(forest, n)
    for c in roots:
        laws.append(_times(laws[-1], messages[c][0]))
    pick = np.zeros(n + 1)
    pick[size] = 1.0
    total = _dot((pick, 0), laws[-1])
    slope: Scaled = (pick, 0)
    for k in range(len(roots) - 1, -1, -1):
        none = np.zeros(len(messages[roots[k]][0][0])), 0
        slopes[roots[k]] = (_slide(slope, laws[k]), none, none, none)
        slope = _slide(slope, messages[roots[k]][0])
    found = np.empty(n)
    for i in range(n):
        children = _children(forest, i)
        before = _prefixes(children, messages)
        a, b, q = up[i], down[i], 1.0 - p[i]
        by_b, by_a, by_s, by_t = slopes[i]
        _, alone, helped = _message(before[-1], p[i], a, b, r)
        by_alone = _sum((1 - a, by_b), (1 - a, by_a), (1.0, by_s), (a, by_t))
        by_passive = _sum((1.0, by_a), (1.0, by_s))
        by_helped = _sum((b, by_passive))
        found[i] = sum(
            math.ldexp(m / total[0], e - total[1]) for m, e in (_dot(by_alone, alone), _dot(by_helped, helped)) if m
        )
        g_b = _sum((q, _sum((1.0, by_b), (1 - b, by_passive))))
        g_b = g_b[0][:-1], g_b[1]
        g_a = _sum((q, _down(by_helped, r)))
        g_s, g_d = _sum((p[i], _down(by_alone, r))), _sum((q, _down(by_alone, r)))
        for k in range(len(children) - 1, -1, -1):
            c = children[k]
            m_b, m_a, m_s, m_t = messages[c]
            all_b, all_a, all_s, d = before[k]
            slopes[c] = (
                _slide(g_b, all_b),
                _slide(g_a, all_a),
                _sum((1.0, _slide(g_s, all_s)), (1.0, _slide(g_d, d))),
                _slide(g_d, all_a),
            )
            g_a = _sum((1.0, _slide(g_a, m_a)), (1.0, _slide(g_d, m_t)))
            g_b, g_s, g_d = _slide(g_b, m_b), _slide(g_s, m_s), _slide(g_d, m_s)
        slopes[i] = None
    return np.minimum(found, 1.0)


def _children(forest: Forest, i: int) -> np.ndarray:
    return forest.children[forest.starts[i] : forest.starts[i + 1]]


def _message(product: tuple, p: float, a: float, b: float, r: tuple[float, int]) -> tuple:
    """Return the message (B, A, S, T) of a unit, F and L."""
    all_b, all_a, all_s, d = product
    q = 1.0 - p
    inactive = _sum((q, (np.append(all_b[0], 0.0), all_b[1])))
    helped = _sum((q, _up(all_a, r)))
    alone = _up(_sum((p, all_s), (q, d)), r)
    passive = _sum((1 - b, inactive), (b, helped))
    message = (
        _sum((1.0, inactive), (1 - a, alone)),
        _sum((1.0, passive), (1 - a, alone)),
        _sum((1.0, passive), (1.0, alone)),
        _sum((a, alone)),
    )
    return message, alone, helped
