"""Oracles: SciPy's binomial and Poisson binomial, plain convolution, exact rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.approximate._units_kernels import log_units
from sparsefire.cascades.approximate.independent_units import independent_units_law
from sparsefire.errors import UserError


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_equals_plain_convolution(p):
    law = independent_units_law(p)
    exact = np.ones(1)
    for x in p:
        exact = np.convolve(exact, [1 - x, x])
    assert np.allclose(law.pmf, exact, rtol=1e-11, atol=1e-300)
    assert law.pmf.sum() == pytest.approx(1, abs=1e-13)


def test_binomial_to_the_far_tail():
    for n, p in ((1, 0.3), (50, 1e-30), (1000, 0.2), (4000, 1e-3), (4000, 0.999)):
        law = independent_units_law(np.full(n, p))
        exact = stats.binom(n, p).logpmf(np.arange(n + 1))
        assert np.abs(law.log_pmf - exact).max() <= 1e-10 + 1e-13 * np.abs(exact).max()


@pytest.mark.skipif(not hasattr(stats, "poisson_binom"), reason="scipy.stats.poisson_binom came with SciPy 1.15")
def test_poisson_binomial():
    p = np.random.default_rng(1).random(500)
    exact = stats.poisson_binom(p).pmf(np.arange(501))
    law = independent_units_law(p, "other")
    assert np.abs(law.pmf - exact).max() <= 1e-14
    assert law.method == "other"


def test_rationals_of_uneven_units():
    p = 10.0 ** np.random.default_rng(2).uniform(-120, 0, 60)
    exact = [Fraction(1)]
    for x in map(Fraction, p.tolist()):
        exact = [a * (1 - x) + b * x for a, b in zip([*exact, Fraction(0)], [Fraction(0), *exact], strict=True)]
    logs = [math.log(x.numerator) - math.log(x.denominator) for x in exact]
    assert min(logs) < -5000
    assert np.abs(independent_units_law(p).log_pmf - logs).max() <= 1e-10
    assert np.abs(log_units(p) - logs).max() <= 1e-10


def test_sure_units_and_idle_units():
    law = independent_units_law([1.0, 0.0, 0.5, 1.0])
    assert law.pmf.tolist() == [0.0, 0.0, 0.5, 0.5, 0.0]
    assert independent_units_law([0.0]).pmf.tolist() == [1.0, 0.0]
    assert independent_units_law([1.0]).pmf.tolist() == [0.0, 1.0]


def test_many_units():
    n = 100_000
    p = np.random.default_rng(3).random(n)
    law = independent_units_law(p)
    assert law.pmf.sum() == pytest.approx(1, abs=1e-12)
    assert law.mean() == pytest.approx(p.sum(), rel=1e-12)
    assert law.variance() == pytest.approx((p * (1 - p)).sum(), rel=1e-10)
    low = independent_units_law(np.full(n, 0.01))
    exact = stats.binom(n, 0.01).pmf(np.arange(n + 1))
    assert np.abs(low.pmf - exact).max() <= 1e-13
    exact = stats.binom(n, 0.01).logpmf(np.arange(n + 1))
    assert np.abs(low.log_pmf - exact).max() <= 1e-8  # of numbers down to -460,517


def test_one_more_unit():
    p = 10.0 ** -np.random.default_rng(4).uniform(0, 30, 4097)
    less, more = independent_units_law(p[:-1]), independent_units_law(p)
    stay, go = less.log_pmf + np.log1p(-p[-1]), less.log_pmf + np.log(p[-1])
    joined = np.logaddexp(np.append(stay, -np.inf), np.append(-np.inf, go))
    assert np.abs(more.log_pmf / joined - 1).max() <= 1e-12
    assert joined.min() < -1e5


def test_wrong_input_names_the_entry():
    with pytest.raises(UserError, match="marginals must be") as caught:
        independent_units_law([0.5, 1.5])
    assert "1.5 in entry 1" in caught.value.came
    for empty in ([], 0.5):
        with pytest.raises(UserError):
            independent_units_law(empty)
