"""Oracles: exact rationals, of numbers whose logarithms reach far beyond what a float64 holds."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sparsefire.cascades.exact._scaled import (
    EMPTY,
    TOP,
    WIDTH,
    add,
    clear,
    copy,
    exponent_of,
    log_multiply,
    logarithms,
    multiply,
    new_heap,
    normalise,
    one,
    power_of_two,
)

ROOM = 64  # blocks between polynomials


def heap_of(*polynomials):
    """Return a heap of settled polynomials [(mantissas, exponents)] and their exact coefficients."""
    heap = new_heap(ROOM * (len(polynomials) + 3))
    values, powers, ranges, _ = heap
    values[:] = np.nan  # what is never written must not be read
    exact = []
    for number, (mantissas, exponents) in enumerate(polynomials):
        x, n = ROOM * number, len(mantissas)
        blocks = -(-n // WIDTH)
        values[x : x + blocks] = 0.0
        for block in range(blocks):
            part = slice(block * WIDTH, min(block * WIDTH + WIDTH, n))
            powers[x + block] = max(exponents[part])
            scale = [math.ldexp(1.0, int(e - powers[x + block])) for e in exponents[part]]
            values[x + block, : part.stop - part.start] = mantissas[part] * scale
        ranges[x] = 0, n
        assert not normalise(heap, x)
        exact.append([Fraction(float(m)) * Fraction(2) ** int(e) for m, e in zip(mantissas, exponents, strict=True)])
    return heap, exact


def read(heap, x, size):
    values, powers, ranges, _ = heap
    low, high = ranges[x]
    found = [Fraction(0)] * size
    for k in range(low, high):
        value = float(values[x + k // WIDTH, k % WIDTH])
        if value:
            found[k] = Fraction(value) * Fraction(2) ** int(powers[x + k // WIDTH])
    return found


def product(one_, two):
    found = [Fraction(0)] * (len(one_) + len(two) - 1)
    for i, a in enumerate(one_):
        for j, b in enumerate(two):
            found[i + j] += a * b
    return found


def worst(found, exact):
    assert [x == 0 for x in found] == [x == 0 for x in exact]
    return max((abs(float(x / e - 1)) for x, e in zip(found, exact, strict=True) if e), default=0.0)


def polynomial(rng, n, slope=0.0, bend=0.0, zeros=0.0):
    k = np.arange(n)
    mantissas = rng.uniform(0.5, 1.0, n) * (rng.random(n) >= zeros)
    return mantissas, np.rint(slope * k - bend * k**2).astype(int) + int(rng.integers(-3000, 3000))


SHAPES = [
    (1, 1, 0, 0),
    (1, 40, 0, 0),
    (2, 2, 0, 0),
    (2, 90, -5, 0),
    (3, 3, 9, 0),
    (5, 12, 0, 0),
    (8, 9, 30, 0),
    (16, 16, 0, 0),
    (17, 33, -20, 0),
    (60, 61, 20, 0),
    (100, 150, 0, 0.05),
    (130, 140, 8, 0.06),
]


@pytest.mark.parametrize(("n", "m", "slope", "bend"), SHAPES)
def test_products(n, m, slope, bend):
    rng = np.random.default_rng(n + m)
    heap, exact = heap_of(polynomial(rng, n, slope, bend), polynomial(rng, m, slope, bend))
    for x, y in ((0, ROOM), (ROOM, 0)):
        assert not multiply(heap, x, y, 2 * ROOM)
        assert worst(read(heap, 2 * ROOM, n + m - 1), product(*exact)) < 4e-15


def test_products_whose_terms_are_mostly_skipped():
    """Bells 1,800 binary orders high: in each block of the product few pairs of blocks can be seen."""
    rng = np.random.default_rng(1)
    heap, exact = heap_of(polynomial(rng, 200, 18, 0.09), polynomial(rng, 200, 18, 0.09))
    assert not multiply(heap, 0, ROOM, 2 * ROOM)
    assert worst(read(heap, 2 * ROOM, 399), product(*exact)) < 4e-15


@pytest.mark.parametrize("zeros", [0.3, 0.9])
def test_products_with_gaps(zeros):
    rng = np.random.default_rng(2)
    for _ in range(10):
        heap, exact = heap_of(polynomial(rng, 70, -3, 0, zeros), polynomial(rng, 50, -3, 0, zeros))
        assert not multiply(heap, 0, ROOM, 2 * ROOM)
        assert worst(read(heap, 2 * ROOM, 119), product(*exact)) < 4e-15


def test_what_is_too_steep_is_dropped_and_said():
    """Blocks hold 600 binary orders; what is left is right down to 2^-500 of what stands nearby."""
    rng = np.random.default_rng(3)
    steep = polynomial(rng, 40, -45)
    heap, (first, second) = heap_of((steep[0][:13], steep[1][:13]), polynomial(rng, 40))
    exact = product(first, second)
    assert not multiply(heap, 0, ROOM, 2 * ROOM)
    assert worst(read(heap, 2 * ROOM, 52), exact) < 4e-15
    heap, (first, second) = heap_of((steep[0][:13], steep[1][:13]), (steep[0][:13], steep[1][:13]))
    exact = product(first, second)
    assert multiply(heap, 0, ROOM, 2 * ROOM)
    found = read(heap, 2 * ROOM, 25)
    for k in range(25):
        near = max(exact[max(0, k - 15) : k + 16])
        assert abs(found[k] - exact[k]) <= exact[k] * Fraction(1e-14) + near / 2**590
    assert 0 in found


def test_products_with_nothing():
    rng = np.random.default_rng(4)
    heap, _ = heap_of(polynomial(rng, 30))
    clear(heap, ROOM)
    assert not multiply(heap, 0, ROOM, 2 * ROOM)
    assert not any(read(heap, 2 * ROOM, 40))


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (15, 16), (16, 16), (40, 7), (7, 40), (47, 48), (64, 64)])
@pytest.mark.parametrize("apart", [-6000, -40, 0, 25])
def test_sums(n, m, step, apart):
    rng = np.random.default_rng(n * m)
    heap, (one_, two) = heap_of(polynomial(rng, n, -20), polynomial(rng, m, -20))
    apart += int(heap[1][0] - heap[1][ROOM])
    dropped = add(heap, 0, ROOM, 0.7, apart, step)
    dropped |= normalise(heap, 0)
    size = max(n, m + step)
    exact = one_ + [Fraction(0)] * (size - n)
    for k, value in enumerate(two):
        exact[k + step] += value * Fraction(0.7) * Fraction(2) ** apart
    found = read(heap, 0, size)
    if dropped:  # far below what stands in the same block
        shared = slice(n, min(size, -(-n // WIDTH) * WIDTH))
        assert apart < -1000
        assert all(x in (0, e) for x, e in zip(found[shared], exact[shared], strict=True))
        found[shared] = exact[shared]
    assert worst(found, exact) < 1e-15


def test_a_sum_from_nothing_of_many():
    rng = np.random.default_rng(5)
    heap, exact = heap_of(*(polynomial(rng, int(rng.integers(1, 60)), -10) for _ in range(12)))
    out = 13 * ROOM
    clear(heap, out)
    total = [Fraction(0)] * 61
    lost = False
    for number, coefficients in enumerate(exact):
        power = -int(heap[1][number * ROOM]) - TOP  # so that all are of like size
        lost |= add(heap, out, number * ROOM, 0.3, power, number % 2)
        for k, value in enumerate(coefficients):
            total[k + number % 2] += value * Fraction(0.3) * Fraction(2) ** power
    assert not lost
    assert not normalise(heap, out)
    assert worst(read(heap, out, 61), total) < 1e-15


@pytest.mark.parametrize("slope", [-37.0, -30.0, 0.0, 30.0, 37.0])
def test_the_product_with_y(slope):
    """Over the edge of a steep block comes a value up to 600 binary orders below its sum."""
    rng = np.random.default_rng(6)
    heap, (exact,) = heap_of(polynomial(rng, 70, slope))
    clear(heap, ROOM)
    assert not add(heap, ROOM, 0, 1.0, 0, 1)
    assert not normalise(heap, ROOM)
    assert read(heap, ROOM, 75) == [Fraction(0), *exact, *[Fraction(0)] * 4]


def test_settled_blocks_and_trimmed_ranges():
    rng = np.random.default_rng(7)
    mantissas, exponents = polynomial(rng, 90, -12)
    mantissas[:20] = mantissas[75:] = 0.0
    heap, (exact,) = heap_of((mantissas, exponents))
    values, powers, ranges, _ = heap
    assert ranges[0].tolist() == [20, 75]
    assert powers[0] == powers[5] == EMPTY
    sums = values[1:5].sum(axis=1)
    assert ((sums >= 2.0 ** (TOP - 1)) & (sums < 2.0**TOP)).all()
    assert read(heap, 0, 90) == exact
    copy(heap, 0, ROOM)
    assert read(heap, ROOM, 90) == exact


def test_one_and_logarithms():
    rng = np.random.default_rng(8)
    heap, (exact,) = heap_of(polynomial(rng, 50, -25))
    one(heap, ROOM)
    assert read(heap, ROOM, 3) == [1, 0, 0]
    assert logarithms(heap, ROOM, 2).tolist() == [0.0, -math.inf]
    found = logarithms(heap, 0, 52)
    assert found[50:].tolist() == [-math.inf, -math.inf]
    for log, value in zip(found, exact, strict=False):
        shift = value.numerator.bit_length() - value.denominator.bit_length()
        assert log == pytest.approx(math.log(value / Fraction(2) ** shift) + shift * math.log(2), rel=4e-16, abs=4e-16)


def test_logarithms_of_products():
    rng = np.random.default_rng(9)
    one_, two = rng.uniform(-5000, 5000, 30), rng.uniform(-50, 50, 20)
    one_[3] = -math.inf
    found = log_multiply(one_, two)
    for k in range(49):
        terms = [one_[i] + two[k - i] for i in range(30) if 0 <= k - i < 20]
        assert found[k] == pytest.approx(np.logaddexp.reduce(terms), rel=1e-13)
    assert log_multiply(np.array([-math.inf]), two).tolist() == [-math.inf] * 20


def test_powers_and_exponents():
    assert [power_of_two(e) for e in (0, -1, 10, -1074, -1101, -(1 << 50))] == [1.0, 0.5, 1024.0, 5e-324, 0.0, 0.0]
    for value in (1.0, 0.75, 3e-200, 1e300, 2.0**-600):
        assert exponent_of(value) == math.frexp(value)[1]
