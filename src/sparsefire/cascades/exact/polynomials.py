"""Polynomials with coefficients of 0 or more and one binary exponent: (values, power) is Σ values[k] 2^power y^k.

Values are 2^490 at most, so that sums of products do not overflow; rows of polynomials [rows, k] share a power.
"""

from __future__ import annotations

import math

import numpy as np

Scaled = tuple[np.ndarray, int]
TOP = 490


def normal(values: np.ndarray, power: int) -> Scaled:
    """Return the same with a largest value near 2^490."""
    top = float(values.max())
    if top == 0.0:
        return values, 0
    shift = TOP - math.frexp(top)[1]
    return np.ldexp(values, shift), power - shift


def plus(*terms: tuple[float, Scaled]) -> Scaled:
    """Return Σ coefficient · polynomial, as long as the longest."""
    parts = [(*math.frexp(c), x) for c, x in terms if x[0].any()]
    if len(parts) == 1 == len(terms):
        mantissa, exponent, x = parts[0]
        return x[0] * mantissa, x[1] + exponent
    power = max((exponent + x[1] for _, exponent, x in parts), default=0)
    total = np.zeros(max(x[0].shape for _, x in terms))
    for mantissa, exponent, x in parts:
        total[: len(x[0])] += np.ldexp(mantissa * x[0], exponent + x[1] - power)
    return normal(total, power)


def dot(x: Scaled, y: Scaled) -> tuple[float, int]:
    """Return Σ_k x_k y_k as mantissa and binary exponent."""
    mantissa, exponent = math.frexp(float(x[0] @ y[0]))
    return mantissa, exponent + x[1] + y[1]


def stack(parts: list[tuple[int, Scaled]]) -> Scaled:
    """Add up blocks of rows that begin in these rows."""
    total = np.zeros(np.max([(first + len(x[0]), x[0].shape[1]) for first, x in parts], axis=0))
    full = [(first, x) for first, x in parts if x[0].any()]
    power = max((x[1] for _, x in full), default=0)
    for first, (values, own) in full:
        total[first : first + len(values), : values.shape[1]] += np.ldexp(values, own - power)
    return normal(total, power)


def stretch(rows: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply every row by a polynomial."""
    height, length = rows.shape
    if len(factor) > height:
        return np.array([np.convolve(row, factor) for row in rows])
    out = np.zeros((height, length + len(factor) - 1))
    for k, value in enumerate(factor):
        out[:, k : k + length] += value * rows
    return out


def shrink(slope: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the slope by the rows of which :func:`stretch` made those with this slope."""
    length = slope.shape[1] - len(factor) + 1
    if len(factor) > len(slope):
        return np.array([np.correlate(row, factor, "valid") for row in slope]).reshape(len(slope), length)
    return np.sum([value * slope[:, k : k + length] for k, value in enumerate(factor)], axis=0)


def meet(slope: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the slope by the factor."""
    length = rows.shape[1]
    size = slope.shape[1] - length + 1
    if size > len(rows):
        return np.sum([np.correlate(s, row, "valid") for s, row in zip(slope, rows, strict=True)], axis=0)
    return np.array([np.vdot(slope[:, k : k + length], rows) for k in range(size)])


def longer(values: np.ndarray, length: int) -> np.ndarray:
    """Return so many coefficients of a polynomial or of rows of them, zeros where there are none."""
    if values.shape[-1] >= length:
        return values[..., :length]
    out = np.zeros((*values.shape[:-1], length))
    out[..., : values.shape[-1]] = values
    return out
