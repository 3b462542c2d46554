"""Oracles: printed values, closed forms of the mean and variance, binary trees (Catalan numbers)."""

import math

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.branching import borel_log_pmf, extinction, survival, total_progeny
from sparsefire.errors import UserError


def test_borel_values_mean_and_variance():
    n = np.arange(1, 6)
    expected = [0.367879, 0.135335, 0.074681, 0.048842, 0.035093]
    assert np.allclose(np.exp(borel_log_pmf(n, 1.0)), expected, rtol=0, atol=1e-6)
    n = np.arange(0, 20_000)
    law = np.exp(borel_log_pmf(n, 0.9))
    assert law.sum() == pytest.approx(1.0, abs=1e-10)
    assert n @ law == pytest.approx(10.0, abs=1e-3)
    assert (n - 10.0) ** 2 @ law == pytest.approx(900.0, abs=1e-3)
    assert math.exp(borel_log_pmf(1000, 1.0)) * 1000**1.5 * math.sqrt(2 * math.pi) == pytest.approx(0.99992, abs=1e-5)


def test_total_progeny():
    assert np.allclose(total_progeny([0.25, 0.5, 0.25], 5)[1:], [0.25, 0.125, 0.078125, 0.0546875, 0.041015625], atol=0)
    found = total_progeny(stats.binom(10, 0.05).pmf(np.arange(11)), 2)
    assert np.allclose(found, [0, 0.598737, 0.188677], atol=1e-6)
    poisson = stats.poisson(0.8).pmf(np.arange(60))
    for r in (1, 3):
        exact = np.exp(borel_log_pmf(np.arange(60), 0.8, r))
        assert np.allclose(total_progeny(poisson / poisson.sum(), 59, r), exact, rtol=1e-11, atol=0)
    catalan = [math.comb(2 * k, k) / (k + 1) / 2 ** (2 * k + 1) for k in range(10)]
    assert np.allclose(total_progeny([0.5, 0, 0.5], 19)[1::2], catalan, rtol=1e-14)


def test_extinction_and_survival():
    assert extinction([0.25, 0.25, 0.5]) == pytest.approx(0.5, abs=1e-15)
    assert extinction([0.5, 0.0, 0.5]) == 1.0
    assert extinction([0.0, 1.0]) == 0.0
    assert extinction([0.0, 0.5, 0.5]) == 0.0
    for c, part in ((1.5, 0.582812), (2.0, 0.796812), (3.0, 0.940480)):
        law = stats.poisson(c).pmf(np.arange(80))
        assert 1 - extinction(law / law.sum()) == pytest.approx(part, abs=1e-6)
    law = stats.binom(3, 0.5).pmf(np.arange(4))
    assert extinction(law) == pytest.approx(math.sqrt(5) - 2, abs=1e-14)
    alive = survival(lambda x: -math.expm1(-x), 1000)
    assert 100 * alive[100] == pytest.approx(1.9353, abs=1e-4)
    assert 1000 * alive[1000] == pytest.approx(1.9918, abs=1e-4)
    law = stats.poisson(1).pmf(np.arange(40))
    assert np.allclose(survival(law / law.sum(), 1000), alive, rtol=1e-9)
    assert survival([0.5, 0.0, 0.5], 1, ancestors=2)[1] == pytest.approx(0.75)


def test_wrong_input():
    with pytest.raises(UserError) as caught:
        extinction([0.5, -0.1, 0.6])
    assert "-0.1 in entry 1" in caught.value.came
    with pytest.raises(UserError, match="adds up to 1"):
        total_progeny([0.5, 0.4], 3)
    with pytest.raises(UserError, match="0 or more"):
        borel_log_pmf([1], -1.0)
    with pytest.raises(UserError, match="ancestor"):
        survival([0.5, 0.5], 3, ancestors=0)
