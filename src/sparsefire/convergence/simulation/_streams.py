"""Random numbers from a counter, in lanes: one lane is one run, and every number has an address.

Philox 4×32-10 (Salmon, Moraes, Dror, Shaw 2011, doi:10.1145/2063384.2063405) turns (run, step, block, purpose) into
four words of 32 bits: no state, so that numbers depend neither on workers nor on which steps are kept, and the inputs,
the noise and the directions of a step are the same whatever rule is simulated. Loops over lanes have a constant length,
so that the compiler makes vectors of them.
"""

from __future__ import annotations

import numba
import numpy as np

LANES = 64  # runs that one call advances together; fewer, and the compiler unrolls loops instead of making vectors
# Purposes, typed so that one compiled function serves all; a direction adds DIRECTION_STEP times its number.
INPUTS, NOISE, DIRECTIONS, CHI_SQUARE, SECOND_CHI_SQUARE, DIRECTION_STEP = np.array([0, 1, 2, 3, 4, 8])
NORMAL, RADEMACHER, UNIFORM, SPHERE, COORDINATES, LAPLACE, STUDENT, SPARSE = range(8)
CODES = {
    "normal": NORMAL, "rademacher": RADEMACHER, "two-point": RADEMACHER, "uniform": UNIFORM, "sphere": SPHERE,
    "coordinates": COORDINATES, "laplace": LAPLACE, "student": STUDENT, "sparse": SPARSE,
}  # fmt: skip

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10
_LOOSE = {"contract", "nnan", "ninf", "nsz"}  # the numbers below are finite; sums keep their order
f32, i32, u32 = np.float32, np.int32, np.uint32


@numba.njit(nogil=True, cache=True)
def philox(words, key, first, step, block, purpose):
    """Fill four rows of words [8, LANES] with the output for counters (first + lane, step, block, purpose), a key."""
    c1, c2, c3 = np.uint64(step), np.uint64(block), np.uint64(purpose)
    low, high = np.uint64(key) & _LOW, np.uint64(key) >> _HALF
    for lane in range(LANES):
        x0, x1, x2, x3 = np.uint64(first) + np.uint64(lane), c1, c2, c3
        k0, k1 = low, high
        for _ in range(_ROUNDS):  # only the lower halves count: 32 × 32 bit products
            p0, p1 = (x0 & _LOW) * _M0, (x2 & _LOW) * _M1
            x0, x1, x2, x3 = (p1 >> _HALF) ^ x1 ^ k0, p1, (p0 >> _HALF) ^ x3 ^ k1, p0
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        words[0, lane], words[1, lane] = u32(x0), u32(x1)
        words[2, lane], words[3, lane] = u32(x2), u32(x3)


@numba.njit(nogil=True, cache=True, fastmath=_LOOSE, inline="always")
def _exponential(word):
    """Return −log((word + ½) / 2³²) in float32, exact to 1e-7 of itself: near 1 all bits of the word count, too."""
    sum_ = f32(f32(word) + f32(0.5))
    bits = f32(sum_).view(np.int32)
    exponent = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))  # so that the rest lies in [√½, √2)
    rest = i32(bits - i32(exponent << i32(23))).view(np.float32)
    near = word >= u32(0xB504F333)  # u ≥ √½: u − 1 comes from the integer
    f = f32(f32(i32(word)) + f32(0.5)) * f32(2.0**-32) if near else rest - f32(1.0)
    scale = f32(0.0) if near else f32(exponent) - f32(32.0)
    y = f32(7.0376836292e-2)  # log(1 + f) = f − f²/2 + f³ P(f), the polynomial of Cephes' logf
    y = y * f + f32(-1.1514610310e-1)
    y = y * f + f32(1.1676998740e-1)
    y = y * f + f32(-1.2420140846e-1)
    y = y * f + f32(1.4249322787e-1)
    y = y * f + f32(-1.6668057665e-1)
    y = y * f + f32(2.0000714765e-1)
    y = y * f + f32(-2.4999993993e-1)
    y = y * f + f32(3.3333331174e-1)
    y = (y * f - f32(0.5)) * (f * f)
    return -((f + y) + scale * f32(0.6931471805599453))


@numba.njit(nogil=True, cache=True, fastmath=_LOOSE)
def box_muller(out, row, words):
    """Fill four rows of out [rows, LANES] with standard normal numbers, two from each pair of words [8, LANES].

    Box and Muller 1958 (doi:10.1214/aoms/1177706645): all 32 bits of the first word give the radius (up to 6.76), one
    of the second the sign and the others an angle in [−π/2, π/2). In float32, to about 3e-7 of the radius.
    """
    narrow = words.view(np.float32)[4:]  # so that a vector holds sixteen float32, not eight float64
    for pair in range(2):
        for lane in range(LANES):
            turn = words[2 * pair + 1, lane]
            radius = np.sqrt(f32(2.0) * _exponential(words[2 * pair, lane]))
            t = (f32(i32(turn) >> i32(1)) + f32(0.5)) * f32(np.pi * 2.0**-31)
            q = t * t
            sine = f32(-2.40804307e-8)  # both fitted at Chebyshev points
            sine = sine * q + f32(2.75364752e-6)
            sine = sine * q + f32(-1.98410867e-4)
            sine = sine * q + f32(8.33333277e-3)
            sine = sine * q + f32(-1.66666667e-1)
            sine = sine * q * t + t
            cosine = f32(2.01780369e-9)
            cosine = cosine * q + f32(-2.75422163e-7)
            cosine = cosine * q + f32(2.48014530e-5)
            cosine = cosine * q + f32(-1.38888885e-3)
            cosine = cosine * q + f32(4.16666667e-2)
            cosine = cosine * q + f32(-0.5)
            cosine = cosine * q + f32(1.0)
            radius = -radius if turn & u32(1) else radius
            narrow[2 * pair, lane], narrow[2 * pair + 1, lane] = radius * cosine, radius * sine
    for place in range(4):
        for lane in range(LANES):
            out[row + place, lane] = np.float64(narrow[place, lane])


@numba.njit(nogil=True, cache=True)
def normals(out, rows, words, key, first, step, purpose):
    """Fill the first ``rows`` rows (up to the next multiple of four) with standard normal numbers."""
    for block in range((rows + 3) // 4):
        philox(words, key, first, step, block, purpose)
        box_muller(out, 4 * block, words)


@numba.njit(nogil=True, cache=True)
def signs(out, rows, words, key, first, step, purpose):
    """Fill rows with ±1, 32 of them from each word."""
    for row in range(rows):
        if row % 128 == 0:
            philox(words, key, first, step, row // 128, purpose)
        place, bit = row // 32 % 4, u32(row % 32)
        for lane in range(LANES):
            out[row, lane] = 1.0 - 2.0 * np.float64(i32((words[place, lane] >> bit) & u32(1)))


@numba.njit(nogil=True, cache=True)
def _uniform(out, rows, words, key, first, step, purpose):
    for row in range(rows):
        if row % 4 == 0:
            philox(words, key, first, step, row // 4, purpose)
        for lane in range(LANES):
            out[row, lane] = (np.float64(i32(words[row % 4, lane])) + 0.5) * (np.sqrt(3.0) * 2.0**-31)


@numba.njit(nogil=True, cache=True)
def _laplace(out, rows, words, key, first, step, purpose):
    for row in range(rows):
        if row % 2 == 0:
            philox(words, key, first, step, row // 2, purpose)
        place = row % 2 * 2
        for lane in range(LANES):
            size = np.float64(_exponential(words[place, lane])) * np.sqrt(0.5)
            out[row, lane] = -size if words[place + 1, lane] & u32(1) else size


@numba.njit(nogil=True, cache=True)
def _student(out, rows, words, spare, key, first, step, purpose):
    """t with five degrees of freedom over its standard deviation √(5/3): z √3 / √χ²."""
    for block in range((rows + 3) // 4):
        philox(words, key, first, step, 6 * block, purpose)
        box_muller(out, 4 * block, words)
        for place in range(4):
            for lane in range(LANES):
                spare[4 + place, lane] = 0.0
        for part in range(1, 6):
            philox(words, key, first, step, 6 * block + part, purpose)
            box_muller(spare, 0, words)
            for place in range(4):
                for lane in range(LANES):
                    spare[4 + place, lane] += spare[place, lane] * spare[place, lane]
        for place in range(4):
            for lane in range(LANES):
                out[4 * block + place, lane] *= np.sqrt(3.0 / spare[4 + place, lane])


@numba.njit(nogil=True, cache=True)
def _sparse(out, rows, filled, words, key, first, step, purpose):
    for block in range((rows + 3) // 4):
        philox(words, key, first, step, 2 * block, purpose)
        box_muller(out, 4 * block, words)
        philox(words, key, first, step, 2 * block + 1, purpose)
        for place in range(4):
            for lane in range(LANES):
                there = (np.float64(words[place, lane]) + 0.5) * 2.0**-32 < filled
                out[4 * block + place, lane] *= np.sqrt(1.0 / filled) if there else 0.0


@numba.njit(nogil=True, cache=True)
def _sphere(out, rows, words, spare, key, first, step, purpose):
    normals(out, rows, words, key, first, step, purpose)
    for lane in range(LANES):
        spare[0, lane] = 0.0
    for row in range(rows):
        for lane in range(LANES):
            spare[0, lane] += out[row, lane] * out[row, lane]
    for lane in range(LANES):
        spare[0, lane] = np.sqrt(rows / spare[0, lane])
    for row in range(rows):
        for lane in range(LANES):
            out[row, lane] *= spare[0, lane]


@numba.njit(nogil=True, cache=True)
def _coordinates(out, rows, words, key, first, step, purpose):
    for row in range(rows):
        for lane in range(LANES):
            out[row, lane] = 0.0
    philox(words, key, first, step, np.int64(0), purpose)
    for lane in range(LANES):
        axis = np.int64((np.uint64(words[0, lane]) * np.uint64(rows)) >> _HALF)
        size = np.sqrt(np.float64(rows))
        out[axis, lane] = -size if words[1, lane] & u32(1) else size


@numba.njit(nogil=True, cache=True)
def draw(law, out, rows, filled, words, spare, key, first, step, purpose):
    """Fill the first ``rows`` rows of out with independent columns of a law with unit variance.

    Args:
        law: one of the codes.
        out: float64 [R, LANES], R a multiple of four and at least ``rows``; rows beyond may be overwritten.
        rows: number of coordinates.
        filled: chance of entries of ``SPARSE``.
        words, spare: uint32 [8, LANES] and float64 [8, LANES] to work in.
        key: 64 bits; first: the run of lane 0; step, purpose: see the module.
    """
    if law == NORMAL:
        normals(out, rows, words, key, first, step, purpose)
    elif law == RADEMACHER:
        signs(out, rows, words, key, first, step, purpose)
    elif law == UNIFORM:
        _uniform(out, rows, words, key, first, step, purpose)
    elif law == SPHERE:
        _sphere(out, rows, words, spare, key, first, step, purpose)
    elif law == COORDINATES:
        _coordinates(out, rows, words, key, first, step, purpose)
    elif law == LAPLACE:
        _laplace(out, rows, words, key, first, step, purpose)
    elif law == STUDENT:
        _student(out, rows, words, spare, key, first, step, purpose)
    else:
        _sparse(out, rows, filled, words, key, first, step, purpose)


@numba.njit(nogil=True, cache=True)
def room(rows):
    """Return float64 [rows, LANES] that begins at a cache line, which is what a vector of eight fills."""
    flat = np.empty(rows * LANES + 8)
    skip = (64 - flat.ctypes.data % 64) // 8 % 8
    return flat[skip : skip + rows * LANES].reshape(rows, LANES)


@numba.njit(nogil=True, cache=True)
def padded(rows) -> int:
    """Return the rows an array needs to be filled: the next multiple of four.

    >>> padded(5)
    8
    """
    return -(-rows // 4) * 4
