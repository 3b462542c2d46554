"""Oracles: differences of what is linear in each part, plain products, and what must be adjoint."""

import numpy as np
import pytest

from sparsefire.cascades.exact.polynomials import meet, normal, plus, shrink, stack, stretch
from sparsefire.cascades.exact.slopes import Part, Tape, fold


def plain(part):
    return np.ldexp(part[0], part[1])


def made(tape, x, y, n, f):
    """Something that uses all there is, each factor at most once in every product."""
    rows = tape.choose([(x, y), (n, f)], 3)
    both = tape.sum((0.5, tape.pick(rows, np.array([0.25, 1.0, 0.5]))), (2.0, tape.times(x, f)), (0.0, n))
    return tape.count(tape.sum((1.0, both), (0.125, tape.times(tape.one, n))))


@pytest.mark.parametrize("most", [4, 6, 20])
def test_slopes_are_the_differences_of_a_coefficient(most):
    rng = np.random.default_rng(0)
    values = [rng.random(k) for k in (2, 3, 3, 4)]
    values[1][0] = values[3][0] = 0.0  # those that stand beside an x
    tape = Tape((0.75, 1), most)
    parts = [Part(normal(v, 0)) for v in values]
    out = made(tape, *parts)
    pick = np.zeros(len(out.value[0]))
    pick[3] = 1.0
    out.add((pick, 0))
    tape.rewind()
    base = plain(out.value)[3]
    for part, v in zip(parts, values, strict=True):
        for k in range(len(v)):
            if v[k] == 0.0:
                continue
            moved = [Part(normal(u.copy(), 0)) for u in values]
            more = v.copy()
            more[k] += 1.0
            moved[parts.index(part)] = Part(normal(more, 0))
            step = plain(made(Tape((0.75, 1), most), *moved).value)[3] - base
            assert plain(part.slope)[k] == pytest.approx(step, rel=1e-10, abs=1e-12)
    assert [part is out for part in tape.counted] == [True]


def test_products_that_are_left_out_are_made_again():
    """Rows of ∏ (n + x f) of eleven factors, in any number of rows, and their slopes, by plain expansion."""
    rng = np.random.default_rng(1)
    pairs = [(rng.random(rng.integers(1, 4)), np.append(0.0, rng.random(rng.integers(1, 4)))) for _ in range(11)]
    full = np.zeros((12, 60))
    full[0, 0] = 1.0
    for n, f in pairs:
        new = np.zeros_like(full)
        for m in range(12):
            new[m] += np.convolve(full[m], n)[:60]
            if m < 11:
                new[m + 1] += np.convolve(full[m], f)[:60]
        full = new
    for height, most in ((12, 60), (4, 60), (12, 9), (1, 60), (3, 2)):
        tape = Tape((0.5, 1), most)
        parts = [(Part(normal(n, 0)), Part(normal(f, 0))) for n, f in pairs]
        rows = tape.choose(parts, height)
        found = plain(rows.value)
        assert found.shape[0] == min(height, most, 12)
        np.testing.assert_allclose(found, full[: found.shape[0], : found.shape[1]], rtol=1e-12)
        slope = rng.random(found.shape)
        rows.add((slope, 0))
        tape.rewind()
        for n, f in parts:  # linear in every factor: slopes times values add up to the whole
            total = plain(n.slope) @ plain(n.value)
            if f.slope is not None:
                total += plain(f.slope) @ plain(f.value)
            assert total == pytest.approx((slope * found).sum(), rel=1e-12)


@pytest.mark.parametrize(("height", "length", "size"), [(5, 4, 2), (2, 4, 6), (1, 1, 1), (3, 1, 3)])
def test_stretching_shrinking_and_meeting_are_adjoint(height, length, size):
    rng = np.random.default_rng(2)
    rows, factor = rng.random((height, length)), rng.random(size)
    slope = rng.random((height, length + size - 1))
    long = stretch(rows, factor)
    np.testing.assert_allclose(long, [np.convolve(row, factor) for row in rows], rtol=1e-13)
    assert (slope * long).sum() == pytest.approx((shrink(slope, factor) * rows).sum(), rel=1e-13)
    assert (slope * long).sum() == pytest.approx(meet(slope, rows) @ factor, rel=1e-13)


def test_sums_over_powers_far_apart():
    one, two = (np.array([1.0, 2.0]), -3000), (np.array([4.0]), -3001)
    values, power = plus((1.0, one), (0.5, two), (1.0, (np.zeros(3), 0)))
    assert np.ldexp(values, power + 3000).tolist() == [2.0, 2.0, 0.0]
    values, power = stack([(0, (np.ones((1, 2)), -5000)), (1, (np.ones((1, 1)), -5001)), (0, (np.zeros((1, 3)), 0))])
    assert np.ldexp(values, power + 5000).tolist() == [[1.0, 1.0, 0.0], [0.5, 0.0, 0.0]]


@pytest.mark.parametrize("count", range(9))
def test_folding_keeps_the_order(count):
    assert fold(lambda a, b: a + b, list("abcdefgh"[:count]), "") == "abcdefgh"[:count]
