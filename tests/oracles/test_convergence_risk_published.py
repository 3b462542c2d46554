"""Oracle: exact risk, against numbers of the notes and recursions written by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import sparsefire as sf

conv = sf.convergence

BASIS = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
FULL2 = np.array([[1.3, 0.5], [0.5, 0.6]])
FULL3 = BASIS @ np.diag([2.0, 0.7, 0.3]) @ BASIS.T

# ---------------------------------------------------------------- numbers of the notes


def test_scalar_recursion_of_the_table() -> None:
    d = 7
    for rule, extra, c, n in [
        ("sgd", {}, d + 2, d),
        ("forward-gradient", {}, (d + 2) ** 2, d * (d + 2)),
        ("forward-gradient", {"law": "rademacher"}, d * (d + 2), d * d),
        ("forward-gradient", {"law": "sphere"}, d * (d + 2), d * d),
        ("forward-gradient", {"law": "coordinates"}, (d + 2) * d, d * d),
        ("forward-gradient", {"law": "uniform"}, (d + 2) * (d + 0.8), d * (d + 0.8)),
        ("forward-gradient", {"directions": 5}, (d + 2) * (d + 6) / 5, d * (d + 6) / 5),
    ]:
        r = [3.0]
        for k in range(1, 50):
            a = 1 / (k + c)
            r.append(r[-1] * (1 - 2 * a + c * a * a) + n * 0.49 * a * a)
        found = conv.exact_risk(
            rule, dimension=d, steps=49, step_size=lambda k, c=c: 1 / (k + c), noise=0.7, start=3.0, **extra
        )
        np.testing.assert_allclose(found, r, rtol=1e-12)
        assert conv.stability_limit(rule, dimension=d, **extra) == pytest.approx(2 / c, rel=1e-10)
        assert conv.asymptotic_constant(rule, dimension=d, noise=0.7, **extra) == pytest.approx(0.49 * n, rel=1e-10)
        assert float(conv.harmonic(1.0, c)(5)) == pytest.approx(1 / (5 + c))


def test_published_values_of_forward_gradients() -> None:
    def risk(rule: str, c: float, k: int = 300, **extra: Any) -> np.ndarray:
        return conv.exact_risk(rule, dimension=10, steps=k, step_size=lambda i: 1 / (i + c), **extra)

    assert risk("sgd", 12)[-1] == pytest.approx(0.0375, abs=5e-5)
    assert risk("forward-gradient", 144)[-1] == pytest.approx(0.4362, abs=5e-5)
    assert risk("forward-gradient", 120, law="rademacher")[-1] == pytest.approx(0.3804, abs=5e-5)
    assert risk("forward-gradient", 12 * 16 / 5, directions=5)[-1] == pytest.approx(0.1311, abs=5e-5)
    for rule, c, extra, limit in [
        ("sgd", 12, {}, 10),
        ("forward-gradient", 144, {}, 120),
        ("forward-gradient", 120, {"law": "rademacher"}, 100),
    ]:
        assert 1e5 * risk(rule, c, 100_000, **extra)[-1] == pytest.approx(limit, rel=0.02)
    for share, value in ((0.2, 0.0926), (1.0, 0.8333), (1.5, 2.5)):
        assert conv.stationary_risk("forward-gradient", step_size=share / 144, dimension=10) == pytest.approx(
            value, abs=5e-5
        )
    free = conv.exact_risk("forward-gradient", dimension=10, steps=1000, step_size=1.9 / 144, noise=0.0)
    assert free[-1] == pytest.approx(0.267, abs=5e-4)
    assert free[1:] / free[:-1] == pytest.approx(1 - 2 * 1.9 / 144 + 1.9**2 / 144, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "slope", "early", "late", "ratio"),
    [
        (10, -1.004, 1.255, 1.0015, 12.015),
        (20, -1.010, 1.179, 1.0044, 22.08),
        (50, -1.034, 1.131, 1.0197, 52.86),
        (100, -1.054, 1.112, 1.0605, 106.96),
    ],
)
def test_rate_figure(d: int, slope: float, early: float, late: float, ratio: float) -> None:
    million, c = 1_000_000, (d + 2) ** 2
    forward = conv.exact_risk("forward-gradient", dimension=d, steps=million, step_size=lambda k: 1 / (k + c))
    sgd = conv.exact_risk("sgd", dimension=d, steps=million, step_size=lambda k: 1 / (k + d + 2))
    assert np.log10(forward[million] / forward[million // 10]) == pytest.approx(slope, abs=1e-3)
    k = round(10 * d * d * np.log(d))
    scaled = (np.arange(million + 1) + c) * forward / (d * (d + 2))
    assert scaled[k] == pytest.approx(early, abs=1e-3)
    assert scaled[million] == pytest.approx(late, abs=1e-3)
    assert forward[million] / sgd[million] == pytest.approx(ratio, rel=1e-3)


def test_phase_transition_of_the_harmonic_schedule() -> None:
    for c, first, second in [
        (0.25, -0.495, -0.499),
        (0.4, -0.763, -0.780),
        (0.5, -0.901, -0.922),
        (0.75, -1.033, -1.014),
        (1.0, -1.025, -1.004),
        (2.0, -1.000, -1.000),
    ]:
        r = conv.exact_risk("forward-gradient", dimension=10, steps=1_000_000, step_size=conv.harmonic(c, 144 * c))
        slopes = np.log10(r[[10**5, 10**6]] / r[[10**4, 10**5]])
        np.testing.assert_allclose(slopes, [first, second], atol=1e-3)
        found = conv.local_slopes(r, window=(1e4, 1e6))
        np.testing.assert_allclose(found.slopes, [first, second], atol=1e-3)
        if c > 0.5:
            value = {0.75: 137.1, 1.0: 120.2, 2.0: 160.0}[c]
            assert 1e6 * r[-1] == pytest.approx(value, abs=0.06)


def test_repeats_on_a_sphere_and_low_rank_and_outputs() -> None:
    values = {1: 121.16, 2: 65.36, 5: 32.09, 10: 21.04, 20: 15.52, 50: 12.21, 100: 11.11}
    for times, value in values.items():
        k0, q, r = 12 * (11 + times) / times, 10.0, 1.0
        path = conv.exact_risk(
            "forward-gradient", dimension=10, steps=100_000, step_size=conv.harmonic(1 / times, k0), repeats=times,
            design="sphere",
        )  # fmt: skip
        for k in range(1, 2001):
            a = 1 / (times * (k + k0))
            m1, m2 = (1 - a * q) ** times, (1 - 2 * a * q + 3 * a * a * q * q) ** times
            b = (1 - 2 * m1 + m2) / q + a * 9 * (1 - m2) / (2 - 3 * a * q)
            r = r * (1 - 0.2 * (1 - m1) + 0.1 * q * b) + b
        assert path[2000] == pytest.approx(r, rel=1e-9)
        assert (100_000 + k0) * path[-1] == pytest.approx(value, rel=1e-3)
    c = 25.0
    low = conv.exact_risk("forward-gradient", dimension=20, rank=3, steps=400, step_size=lambda k: 1 / (k + c))
    seen = conv.exact_risk(
        "forward-gradient", dimension=20, rank=3, steps=400, step_size=lambda k: 1 / (k + c), of="prediction"
    )
    p, perp = 3 / 20, 17 / 20
    for k in range(1, 401):
        a = 1 / (k + c)
        perp += a * a * 17 * (5 * p + 3)
        p = p * (1 - 2 * a + 25 * a * a) + 15 * a * a
    assert seen[-1] == pytest.approx(p, rel=1e-11)
    assert low[-1] - seen[-1] == pytest.approx(perp, rel=1e-11)
    for rule, f, value in [("sgd", 1, 0.0298), ("node-perturbation", 5, 0.1810), ("weight-perturbation", 17, 0.5045)]:
        r = conv.exact_risk(
            rule, dimension=5, outputs=3, noise=0.5, steps=150, step_size=lambda k, f=f: 1 / (k + 7 * f)
        )
        assert r[-1] == pytest.approx(value, abs=6e-5)
        assert conv.asymptotic_constant(rule, dimension=5, outputs=3, noise=0.5) == pytest.approx(f * 15 * 0.25)


def test_known_support_costs_as_little_as_its_dimension() -> None:
    small = conv.exact_risk("forward-gradient", dimension=10, steps=5000, step_size=lambda k: 1 / (k + 144))
    large = conv.exact_risk(
        "forward-gradient", dimension=1000, active=10, mask=10, steps=5000, step_size=lambda k: 1 / (k + 144)
    )
    np.testing.assert_allclose(large, small, rtol=1e-11)
    assert conv.asymptotic_constant("forward-gradient", dimension=10) == pytest.approx(120.0, rel=1e-12)
    assert conv.asymptotic_constant("forward-gradient", dimension=1000) == pytest.approx(1.002e6, rel=1e-12)


def test_mean_error_of_rules_that_read_one_loss() -> None:
    alphas = np.array([0.1, 0.3, 0.05])
    for radius, table in [(0.1, 0.0066733357), (0.5, 0.1708707084), (1.0, 0.7357588823), (2.0, 3.8975309743)]:
        mean = np.array([1.0, -2.0])
        for a in alphas:
            mean = mean - a * table * FULL2 @ mean
        found = conv.expected_error(
            "hebbian", dimension=2, covariance=FULL2, start=[1.0, -2.0], steps=3, step_size=alphas, radius=radius
        )
        np.testing.assert_allclose(found, mean, atol=1e-9)
    mean = np.array([1.0, -2.0])
    for a in alphas:
        mean = mean - a * FULL2 @ mean
    for baseline in ("none",):
        found = conv.expected_error(
            "one-query", dimension=2, covariance=FULL2, start=[1.0, -2.0], steps=3, step_size=alphas, baseline=baseline
        )
        np.testing.assert_allclose(found, mean, rtol=1e-12)


def test_greedy_steps() -> None:
    d, sigma = 6, 0.8
    for rule, c, n in [("sgd", d + 2, d), ("forward-gradient", (d + 2) ** 2, d * (d + 2))]:
        steps, risk = conv.best_step_sizes(rule, dimension=d, noise=sigma, start=2.0, steps=40)
        r = 2.0
        for k in range(40):
            assert steps[k] == pytest.approx(r / (c * r + n * sigma**2), rel=1e-10)
            r -= r * r / (c * r + n * sigma**2)
            assert risk[k + 1] == pytest.approx(r, rel=1e-10)
        np.testing.assert_allclose(
            conv.exact_risk(rule, dimension=d, noise=sigma, start=2.0, steps=40, step_size=steps), risk, rtol=1e-10
        )
    given: dict[str, Any] = {"dimension": 3, "covariance": FULL3, "start": [1.0, -2.0, 0.5]}
    problem, update = conv.LinearRegression(**given), conv.Update("forward-gradient", law="rademacher")
    for of in ("parameters", "prediction"):
        steps, risk = conv.best_step_sizes(update, problem, steps=3, of=of)
        np.testing.assert_allclose(conv.exact_risk(update, problem, steps=3, step_size=steps, of=of), risk, rtol=1e-10)
        grid = np.linspace(0, 3 * steps[-1], 61)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others = [conv.exact_risk(update, problem, steps=3, step_size=[*steps[:2], g], of=of)[-1] for g in grid]
        assert min(others) >= risk[-1] - 1e-12


def test_corners_of_the_exact_risk() -> None:
    still = conv.exact_risk("forward-gradient", dimension=4, steps=5, step_size=0.0, start=2.0)
    np.testing.assert_allclose(still, np.full(6, 2.0), rtol=1e-15)
    nothing = conv.exact_risk("sgd", dimension=4, steps=5, step_size=0.1, start=0.0, noise=0.0)
    np.testing.assert_array_equal(nothing, np.zeros(6))
    one = conv.exact_risk("sgd", dimension=1, steps=1, step_size=0.25, start=4.0, noise=2.0)
    np.testing.assert_allclose(one, [4.0, 4 * (1 - 0.5 + 3 / 16) + 4 / 16], rtol=1e-14)
    assert conv.spectral_radius("sgd", step_size=0.0, dimension=5) == pytest.approx(1.0)
    assert conv.stationary_risk("sgd", step_size=0.01, dimension=5, noise=0.0) == 0.0
    assert conv.stationary_risk("forward-gradient", step_size=0.01, dimension=5, rank=2) == np.inf


def test_a_step_beyond_the_limit_warns_with_the_limit() -> None:
    with pytest.warns(UserWarning, match=r"0\.0138"):
        conv.exact_risk("forward-gradient", dimension=10, steps=3, step_size=0.02)
    with pytest.warns(UserWarning, match=r"0\.0138"):
        conv.simulate_risk("forward-gradient", dimension=10, steps=3, step_size=0.02, runs=2, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv.exact_risk("forward-gradient", dimension=10, steps=3, step_size=2 / 144 * 0.999)
