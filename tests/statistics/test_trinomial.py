"""Oracles: exact enumeration of the trinomial, a numerical maximum of the restricted likelihood, closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import ndtri
from scipy.stats import multinomial

from sparsefire.statistics.trinomial import tango_interval, tango_z

CRITICAL = ndtri(0.95)


def passing_chance(n, discordance, margin, difference):
    """Return P(z > 1.645) by summing the trinomial over every pair of counts."""
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    fits = b + c <= n
    b, c = b[fits], c[fits]
    chances = [(discordance - difference) / 2, (discordance + difference) / 2, 1 - discordance]
    weight = multinomial.pmf(np.stack([b, c, n - b - c], axis=1), n, chances)
    return float(weight[tango_z(b, c, n, -margin) > CRITICAL].sum())


@pytest.mark.parametrize(
    ("n", "discordance", "margin", "published"),
    [
        (50, 0.01, 0.01, 0.000),
        (50, 0.02, 0.01, 0.001),
        (50, 0.05, 0.01, 0.019),
        (50, 0.05, 0.02, 0.033),
        (50, 0.05, 0.03, 0.013),
        (50, 0.05, 0.05, 0.000),
        (200, 0.02, 0.01, 0.044),
        (200, 0.03, 0.01, 0.048),
        (200, 0.05, 0.02, 0.047),
        (200, 0.05, 0.05, 0.026),
    ],
)
def test_level_at_the_margin_by_full_enumeration(n, discordance, margin, published):
    assert passing_chance(n, discordance, margin, -margin) == pytest.approx(published, abs=5.1e-4)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.floats(-0.9, 0.9))
def test_the_score_uses_the_restricted_maximum_of_the_likelihood(n, b, c, theta):
    if b + c > n:
        return

    def loss(q):  # P(only dense) = q, P(only chosen) = q + θ, the rest agrees
        terms = ((b, q), (c, q + theta), (n - b - c, 1 - 2 * q - theta))
        return -sum(count * np.log(max(chance, 1e-300)) for count, chance in terms if count)

    low, high = max(0.0, -theta), (1 - theta) / 2
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    q = min((best.x, low, high), key=loss)
    variance = n * (2 * q + theta - theta**2)
    top = c - b - n * theta
    if variance > 1e-6:
        assert float(tango_z(b, c, n, theta)) == pytest.approx(top / np.sqrt(variance), rel=1e-4, abs=1e-4)


@given(st.integers(1, 3000), st.data())
def test_interval_ends_are_roots_and_mirror_each_other(n, data):
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (c - b) / n <= high <= 1
    if low > -1:
        assert float(tango_z(b, c, n, low)) == pytest.approx(CRITICAL, abs=1e-5)
    mirrored = tango_interval(c, b, n)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_no_disagreement_has_a_closed_form():
    z2 = CRITICAL**2
    for n in (1, 10, 360, 5000):
        low, high = tango_interval(0, 0, n)
        assert low == pytest.approx(-z2 / (n + z2), rel=1e-9)  # √(nδ/(1 − δ)) = z solved for δ
        assert high == -low
