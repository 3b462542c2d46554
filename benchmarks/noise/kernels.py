"""Learning by two losses at a time under squared error, compiled: on product weights, and on plain ones.

All loops see L(θ) = ½|Aθ − b|², where A is X / √n, or the triangular factor of it where n ≥ d: constants cancel in the
difference of two losses. What moves a loss is followed through the residual r = Aθ − b, so that a step costs two passes
over A, as many as two losses cost; it is computed anew now and then, so that rounding does not add up.
"""

from __future__ import annotations

import numba
import numpy as np

from sparsefire.rules._noise_kernels import _word

_ONE = np.uint64(1)
_ANEW = 256
"""Steps after which the residual is computed from the weights."""


@numba.njit(nogil=True, cache=True, fastmath=True)
def _signs(key: np.uint64, step: int, out: np.ndarray) -> None:
    """Fill ``out`` with the signs of a step: a function of the key and the number of the step alone."""
    size, words, one = len(out), (len(out) + 63) // 64, out.dtype.type(1)
    two = one + one
    for number in range(words):
        word, begin = _word(key, np.uint64(step * words + number)), 64 * number
        for j in range(min(64, size - begin)):
            out[begin + j] = one - two * out.dtype.type((word >> np.uint64(j)) & _ONE)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _images(A: np.ndarray, begins: np.ndarray, a: np.ndarray, b: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """Write u = Aa and v = Ab, four rows at a time; row i is zero before column ``begins[i]``, which never falls."""
    rows, d = A.shape
    zero = A.dtype.type(0)
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        begin = begins[i]
        r0, r1, r2, r3 = A[i, begin:], A[i + 1, begin:], A[i + 2, begin:], A[i + 3, begin:]
        x, y = a[begin:], b[begin:]
        p0, p1, p2, p3, q0, q1, q2, q3 = zero, zero, zero, zero, zero, zero, zero, zero
        for j in range(d - begin):
            c, e = x[j], y[j]
            p0 += r0[j] * c
            q0 += r0[j] * e
            p1 += r1[j] * c
            q1 += r1[j] * e
            p2 += r2[j] * c
            q2 += r2[j] * e
            p3 += r3[j] * c
            q3 += r3[j] * e
        u[i], u[i + 1], u[i + 2], u[i + 3] = p0, p1, p2, p3
        v[i], v[i + 1], v[i + 2], v[i + 3] = q0, q1, q2, q3
    for i in range(whole, rows):
        p0, q0 = zero, zero
        for j in range(begins[i], d):
            p0 += A[i, j] * a[j]
            q0 += A[i, j] * b[j]
        u[i], v[i] = p0, q0


@numba.njit(nogil=True, cache=True)
def _rate(rate: float, step: int, steps: int) -> float:
    """Return the rate of a step: constant for 60% of the steps, then linearly down to nothing."""
    left = (steps - step) / (0.4 * steps)
    return rate * min(1.0, left)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def two_queries(
    A: np.ndarray, begins: np.ndarray, target: np.ndarray, m: np.ndarray, w: np.ndarray, eta: float, rate: float,
    key: np.uint64, steps: int, marks: np.ndarray, seen: np.ndarray,
) -> bool:  # fmt: skip
    """Perturb both factors of θ = m · w by signs and step along what two losses say, in place.

        D = [L(m + ηz, w + ηz') − L(m − ηz, w − ηz')] / 2η = u · (r + η² v),   u = A(mz' + wz),  v = Azz'

    Args:
        A, begins: see above and :func:`_images`.
        target: b, [rows].
        m, w: factors, [d].
        eta, rate: sizes of perturbation and (first) step.
        key: of the signs; z are the first d of a step, z' the others.
        steps: pairs of losses.
        marks: numbers of steps, ascending, after which θ is written into ``seen`` [marks, d].

    Returns:
        Whether it stayed finite.
    """
    rows, d = A.shape
    z, a, b = np.empty(2 * d, A.dtype), np.empty(d, A.dtype), np.empty(d, A.dtype)
    u, v = np.empty(rows, A.dtype), np.empty(rows, A.dtype)
    r, square, at = np.empty(rows, A.dtype), A.dtype.type(eta * eta), 0
    for step in range(steps):
        if step % _ANEW == 0:
            for j in range(d):
                b[j] = m[j] * w[j]
            _images(A, begins, b, b, u, r)
            for i in range(rows):
                r[i] -= target[i]
        _signs(key, step, z)
        for j in range(d):
            a[j] = m[j] * z[d + j] + w[j] * z[j]
            b[j] = z[j] * z[d + j]
        _images(A, begins, a, b, u, v)
        slope = 0.0
        for i in range(rows):
            slope += u[i] * (r[i] + square * v[i])
        move = A.dtype.type(_rate(rate, step, steps) * slope)
        twice = move * move
        for j in range(d):
            m[j] -= move * z[j]
            w[j] -= move * z[d + j]
        for i in range(rows):
            r[i] += twice * v[i] - move * u[i]
        if at < len(marks) and step + 1 == marks[at]:
            if not np.isfinite(slope):
                return False
            for j in range(d):
                seen[at, j] = m[j] * w[j]
            at += 1
    return bool(np.isfinite(m.sum() + w.sum()))


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def thresholded(
    A: np.ndarray, begins: np.ndarray, target: np.ndarray, theta: np.ndarray, lasso: float, rate: float, key: np.uint64,
    steps: int, marks: np.ndarray, seen: np.ndarray,
) -> bool:  # fmt: skip
    """Perturb plain weights by signs, step along what two losses say, and draw every weight towards zero.

        D = [L(θ + cz) − L(θ − cz)] / 2c = r · Az for every c,    θ ← soft(θ − rate D z, rate λ)

    λ = 0 leaves the plain rule. Arguments are as of :func:`two_queries`; ``lasso`` is λ.
    """
    rows, d = A.shape
    z, moved, u, v = np.empty(d, A.dtype), np.empty(d, A.dtype), np.empty(rows, A.dtype), np.empty(rows, A.dtype)
    r, zero, at = np.empty(rows, A.dtype), A.dtype.type(0), 0
    _signs(key, 0, z)
    _images(A, begins, z, theta, u, r)
    for i in range(rows):
        r[i] -= target[i]
    for step in range(steps):
        if step % _ANEW == _ANEW - 1:
            _images(A, begins, z, theta, u, r)
            for i in range(rows):
                r[i] -= target[i]
        slope = 0.0
        for i in range(rows):
            slope += u[i] * r[i]
        now = _rate(rate, step, steps)
        move, cut = A.dtype.type(now * slope), A.dtype.type(now * lasso)
        for j in range(d):
            before = theta[j]
            there = before - move * z[j]
            theta[j] = max(there - cut, zero) + min(there + cut, zero)
            moved[j] = theta[j] - before
        _signs(key, step + 1, z)
        _images(A, begins, z, moved, u, v)  # what the next step asks, and what this one did
        for i in range(rows):
            r[i] += v[i]
        if at < len(marks) and step + 1 == marks[at]:
            if not np.isfinite(slope):
                return False
            for j in range(d):
                seen[at, j] = theta[j]
            at += 1
    return bool(np.isfinite(theta.sum()))
