"""Oracles: laws with a known exponent."""

import sys

import numpy as np
import pytest
from scipy import special, stats

from sparsefire.cascades.avalanches import tail_fit
from sparsefire.cascades.branching import borel_log_pmf
from sparsefire.errors import UserError
from sparsefire.randomness import stream


def borel(draws: int, *key: object) -> np.ndarray:
    """Draw total progenies of critical Poisson branching; those above 200,000 count as 200,000."""
    cdf = np.cumsum(np.exp(borel_log_pmf(np.arange(1, 200_000), 1.0)))
    return np.searchsorted(cdf, stream(0, "borel", *key).random(draws)) + 1


def test_critical_branching_has_exponent_three_halves() -> None:
    pytest.importorskip("powerlaw")
    found = tail_fit(borel(40_000), xmin=10)
    assert found.exponent == pytest.approx(1.5, abs=0.03)
    assert found.tail == (borel(40_000) >= 10).sum()
    assert found.samples == 40_000
    assert {c.other: c.ratio > 1000 for c in found.comparisons}["exponential"]


def test_a_zeta_law() -> None:
    """The estimate solves Σ log x / n = -ζ'/ζ, its error is that of many samples; an exponent above 3 is no trouble."""
    pytest.importorskip("powerlaw")
    sizes = stream(0, "zeta").zipf(3.6, 3000)
    found = tail_fit(sizes, xmin=1)
    a, h = found.exponent, 1e-5
    slope = (np.log(special.zeta(a + h, 1)) - np.log(special.zeta(a - h, 1))) / (2 * h)
    assert np.log(sizes).mean() == pytest.approx(-slope, abs=1e-4)
    x = np.arange(1.0, 2e5)
    p = x**-3.6 / special.zeta(3.6, 1)
    spread = p @ np.log(x) ** 2 - (p @ np.log(x)) ** 2
    assert found.error == pytest.approx(1 / np.sqrt(3000 * spread), rel=0.1)
    low, high = found.interval(0.999)
    assert low < 3.6 < high
    gap = np.arange(1, 40)
    fitted = 1 - special.zeta(a, gap + 1) / special.zeta(a, 1)
    seen = (sizes[:, None] <= gap).mean(axis=0)
    assert found.distance == pytest.approx(np.abs(fitted - seen).max(), rel=0.05)


def test_continuous_tails() -> None:
    """Closed form: 1 + n / Σ log(x / xmin)."""
    pytest.importorskip("powerlaw")
    values = stats.pareto(1.5, scale=2.0).rvs(4000, random_state=stream(0, "pareto"))
    found = tail_fit(values, xmin=2.0, discrete=False)
    assert found.exponent == pytest.approx(1 + 4000 / np.log(values / 2).sum(), rel=1e-6)
    assert found.error == pytest.approx((found.exponent - 1) / np.sqrt(4000))
    assert found.interval(0.999)[0] < 2.5 < found.interval(0.999)[1]
    verdicts = {c.other: c for c in found.comparisons}
    assert verdicts["exponential"].ratio > 0
    assert verdicts["exponential"].p_value < 0.01
    assert verdicts["truncated power law"].p_value > 0.01


def test_what_is_no_power_law_is_told_so(capfd: pytest.CaptureFixture[str]) -> None:
    """Geometric sizes: the ratio against the exponential is known in closed form."""
    pytest.importorskip("powerlaw")
    sizes = stream(0, "geometric").geometric(0.1, 600)
    found = tail_fit(sizes, xmin=1)
    a, q = found.exponent, 1 / sizes.mean()
    power = -a * np.log(sizes).sum() - 600 * np.log(special.zeta(a, 1))
    ratio = power - stats.geom(q).logpmf(sizes).sum()
    verdict = {c.other: c for c in found.comparisons}["exponential"]
    assert verdict.ratio == pytest.approx(ratio, rel=1e-3)
    assert verdict.p_value < 1e-6
    assert "exponential fits better" in found.text()
    few = tail_fit(sizes[:80], xmin=20)
    assert "values in the tail" in few.text()
    assert capfd.readouterr() == ("", "")


def test_the_start_of_a_tail_is_found() -> None:
    pytest.importorskip("powerlaw")
    rng = stream(0, "start")
    tail = np.floor(19.5 * (1 - rng.random(1000)) ** (-1 / 1.5) + 0.5).astype(int)  # exponent 2.5 from 20 on
    found = tail_fit(np.concatenate([rng.integers(1, 20, 1000), tail]))
    assert 15 <= found.xmin <= 50
    assert found.exponent == pytest.approx(2.5, abs=4 * found.error)


def test_wrong_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("powerlaw")
    cases = (([1, -2], "-2 in entry 1"), ([0, 1], "0 in entry 0"), ([1, 2.5], "2.5 in"), ([1, np.nan], "nan in"))
    for sizes, came in cases:
        with pytest.raises(UserError, match="above 0") as caught:
            tail_fit(sizes)
        assert came in caught.value.came
    with pytest.raises(UserError, match="without sizes"):
        tail_fit([])
    with pytest.raises(UserError, match="one number each"):
        tail_fit([[1, 2]])
    for xmin in (None, 1, 7):
        with pytest.raises(UserError, match="differ"):
            tail_fit([7, 7, 7, 7], xmin=xmin)
    with pytest.raises(UserError, match="differ"):
        tail_fit([1, 2, 3], xmin=50)
    for xmin in (0, -1, 1.5, np.nan):
        with pytest.raises(UserError, match="start"):
            tail_fit([1, 2, 3, 4], xmin=xmin)
    with pytest.raises(UserError, match="level"):
        tail_fit([1, 1, 1, 2, 3, 9], xmin=1).interval(0)
    monkeypatch.setitem(sys.modules, "powerlaw", None)
    with pytest.raises(UserError, match="powerlaw") as caught:
        tail_fit([1, 2, 3])
    assert "sparsefire[cascades]" in caught.value.attempt
