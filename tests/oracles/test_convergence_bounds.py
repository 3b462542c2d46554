"""Oracle: constants and Fisher bounds by quadrature and mixtures, reference curves by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

import sparsefire as sf
from sparsefire.convergence.bounds import references
from sparsefire.convergence.exact.stability import gradient_scale
from sparsefire.convergence.nonparametric.functions import minimax_exponent
from sparsefire.errors import UserError

conv = sf.convergence
Density = Callable[[np.ndarray], np.ndarray]

# ---------------------------------------------------------------- constants of one query


def kurtosis_points(kappa: float) -> tuple[np.ndarray, np.ndarray]:
    return np.sqrt(kappa) * np.array([-1.0, 0.0, 1.0]), np.array([0.5 / kappa, 1 - 1 / kappa, 0.5 / kappa])


KAPPA = {"normal": 3.0, "rademacher": 1.0, "student": 9.0, "sparse": 30.0, "laplace": 6.0, "two-point": 1.0}


@pytest.mark.parametrize("noise_law", ["normal", "laplace", "two-point"])
@pytest.mark.parametrize("design", ["normal", "rademacher", "student", "sparse"])
def test_constants_of_one_query_by_enumeration(design: str, noise_law: str) -> None:
    d, sigma, c, memory = 2, 0.7, 0.4, 0.3
    (x, xw), (e, ew) = kurtosis_points(KAPPA[design]), kurtosis_points(KAPPA[noise_law])
    losses, chance = [], []
    for (i, j), k, u in itertools.product(
        itertools.product(range(3), repeat=2), range(3), itertools.product((-1.0, 1.0), repeat=2)
    ):
        losses.append((sigma * e[k] - c * (x[i] * u[0] + x[j] * u[1])) ** 2 / 2)
        chance.append(xw[i] * xw[j] * ew[k] / 4)
    loss, w = np.array(losses), np.array(chance)
    mean, variance = w @ loss, w @ loss**2 - (w @ loss) ** 2
    for baseline, spread in (
        ("none", variance + mean**2),
        ("previous", 2 * variance),
        ("mean", variance * (1 + memory / (2 - memory))),
    ):
        found = conv.asymptotic_constant(
            "one-query", dimension=d, noise=sigma, radius=c, law="rademacher", baseline=baseline,
            memory=memory if baseline == "mean" else 0.02, design=design, noise_law=noise_law,
        )  # fmt: skip
        assert found == pytest.approx(spread * d / c**2, rel=1e-10)


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_constants_of_uneven_directions_by_quadrature(law: str) -> None:
    d, sigma, c = 2, 0.7, 0.4
    if law == "normal":
        u, uw = np.polynomial.hermite_e.hermegauss(5)
    else:
        u, uw = np.polynomial.legendre.leggauss(5)
        u = u * math.sqrt(3)
    uw = uw / uw.sum()
    x, xw = np.polynomial.hermite_e.hermegauss(5)
    xw = xw / xw.sum()
    total = 0.0
    for a, b, i, j, k in itertools.product(range(5), repeat=5):
        loss = (sigma * x[k] - c * (x[i] * u[a] + x[j] * u[b])) ** 2 / 2
        total += uw[a] * uw[b] * xw[i] * xw[j] * xw[k] * loss**2 * (u[a] ** 2 + u[b] ** 2)
    found = conv.asymptotic_constant("one-query", dimension=d, noise=sigma, radius=c, law=law)
    assert found == pytest.approx(total / c**2, rel=1e-10)


def test_the_hebbian_scale() -> None:
    for radius, table in [(0.1, 0.0066733357), (0.5, 0.1708707084), (1.0, 0.7357588823), (2.0, 3.8975309743)]:
        found = gradient_scale(conv.Update("hebbian", radius=radius))
        own = integrate.quad(lambda u: u * (math.exp(u) - math.exp(-u)) / (2 * radius), -radius, radius)[0]  # noqa: B023
        assert found == pytest.approx(own, rel=1e-10)
        assert found == pytest.approx(table, abs=1e-10)


# ---------------------------------------------------------------- Fisher information


def information(
    mixture: list[tuple[float, Callable[[np.ndarray], np.ndarray], np.ndarray]], grid: np.ndarray
) -> np.ndarray:
    """Return ∫ ∇f ∇f′/f de over e > 0 for f(|e|), given (weight, density at e and its gradient in v) per part."""
    f = sum(w * density(grid) for w, density, _ in mixture)
    g = sum(w * gradient for w, _, gradient in mixture)
    f, g = f + f[::-1], g + g[:, ::-1]
    half = len(grid) // 2
    inside = f[half:] > 1e-280
    f, g = f[half:][inside], g[:, half:][:, inside]
    step = grid[1] - grid[0]
    weights = np.full(len(f), step)
    weights[0] = step / 2
    return np.einsum("ik,jk,k->ij", g, g, weights / f)


def normal_parts(v: np.ndarray, sigma: float, design: str, filled: float, grid: np.ndarray) -> list[Any]:
    """Return the parts of e = ε - x′v with normal ε: shifted normals for ±1, wider ones for sparse inputs."""
    parts = []
    for pattern in itertools.product((0.0, 1.0), repeat=len(v)):
        p = np.array(pattern)
        if design == "rademacher":
            x = 2 * p - 1
            z = (grid + x @ v) / sigma
            density = stats.norm.pdf(z) / sigma
            parts.append((0.5 ** len(v), lambda e, density=density: density, -np.outer(x, z * density) / sigma))
        else:
            chance, scale = filled, 1 / filled
            if design == "normal":
                p, chance, scale = np.ones(len(v)), 1.0, 1.0
            s = sigma**2 + scale * (p * v**2).sum()
            density = stats.norm.pdf(grid, scale=math.sqrt(s))
            slope = density * (grid**2 / s - 1) / (2 * s)  # ∂/∂s
            weight = float(np.prod(np.where(p > 0, chance, 1 - chance)))
            parts.append((weight, lambda e, density=density: density, np.outer(2 * scale * p * v, slope)))
            if design == "normal":
                break
    return parts


@pytest.mark.parametrize("design", ["normal", "rademacher", "sparse"])
@pytest.mark.parametrize("law", ["rademacher", "coordinates"])
def test_information_of_a_query_from_mixtures(design: str, law: str) -> None:
    d, sigma, filled = 3, 0.8, 0.3
    grid = np.linspace(-45, 45, 90_001)
    for radius in (0.2, sigma / math.sqrt(d), 0.9):
        v = radius * (np.ones(d) if law == "rademacher" else math.sqrt(d) * np.eye(d)[0])
        total = np.trace(information(normal_parts(v, sigma, design, filled, grid), grid)) / d
        problem = conv.LinearRegression(d, noise=sigma, design=design, filled=filled)
        found = conv.fisher_information(problem, radius=radius, law=law)
        assert found == pytest.approx(total, rel=2e-6)
        assert conv.query_bound(problem, radius=radius, law=law) == pytest.approx(d / total, rel=2e-6)
        if design == "normal":
            size = radius**2 * d
            assert total == pytest.approx(2 * size / (sigma**2 + size) ** 2 / d, rel=1e-7)


def test_information_with_laplace_noise() -> None:
    d, sigma, radius = 4, 1.3, 0.5
    s, b = radius * math.sqrt(d), sigma / math.sqrt(2)  # e = Laplace(b) + s N(0, 1): exponentially modified twice

    def log_part(e: np.ndarray, s: float) -> np.ndarray:
        return s * s / (2 * b * b) - e / b + special.log_ndtr(e / s - s / b) - math.log(2 * b)

    def density(e: np.ndarray, s: float) -> np.ndarray:
        return np.exp(log_part(e, s)) + np.exp(log_part(-e, s))

    e = np.linspace(-40, 40, 160_001)
    h = 1e-4
    slope = (density(e, s + h) - density(e, s - h)) / (2 * h)
    f = density(e, s)
    assert np.trapezoid(f, e) == pytest.approx(1.0, abs=1e-8)
    trace = np.trapezoid(slope**2 / f, e)  # the gradient is along v, of length ∂f/∂s
    problem = conv.LinearRegression(d, noise=sigma, noise_law="laplace")
    assert conv.fisher_information(problem, radius=radius) == pytest.approx(trace / d, rel=1e-6)
    assert conv.first_order_bound(problem) == pytest.approx(d * sigma**2 / 2, rel=1e-12)


def test_bounds_of_normal_problems() -> None:
    for d, sigma in ((1, 1.0), (5, 0.5), (10, 2.0)):
        problem = conv.LinearRegression(d, noise=sigma)
        assert conv.query_bound(problem) == pytest.approx(2 * sigma**2 * d**2, rel=1e-8)
        assert conv.best_radius(problem) == pytest.approx(sigma / math.sqrt(d), rel=1e-3)
        assert conv.first_order_bound(problem) == pytest.approx(sigma**2 * d, rel=1e-12)
    q = np.array([[2.0, 0.5], [0.5, 1.0]])
    wide = conv.LinearRegression(2, covariance=q, noise=0.6, outputs=3)
    assert conv.first_order_bound(wide) == pytest.approx(3 * 0.36 * np.trace(np.linalg.inv(q)), rel=1e-10)
    assert conv.first_order_bound(conv.LinearRegression(3, noise_law="two-point")) == 0.0


@pytest.mark.parametrize("d", [1, 2, 4, 10])
def test_information_of_normal_directions_by_laguerre(d: int) -> None:
    """|v|² = c² χ²_d; promised to 1e-8 for normal inputs and noise."""
    y, w = special.roots_genlaguerre(150, d / 2 - 1)
    for sigma, radius in ((1.0, 1 / math.sqrt(d)), (0.7, 0.5)):
        size = radius**2 * 2 * y
        expected = (w / w.sum()) @ (2 * size / (sigma**2 + size) ** 2) / d
        found = conv.fisher_information(conv.LinearRegression(d, noise=sigma), radius=radius, law="normal")
        assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("design", "noise_law"),
    [
        ("normal", "normal"),
        ("rademacher", "normal"),
        ("normal", "laplace"),
        ("sparse", "normal"),
        ("rademacher", "laplace"),
    ],
)
def test_scored_rewards(design: str, noise_law: str) -> None:
    """The reward is centred, moves θ as the loss does, and its variance is the information's bound."""
    d, sigma = 3, 0.9
    problem = conv.LinearRegression(d, noise=sigma, design=design, noise_law=noise_law, filled=0.3)
    grid, values = conv.score_reward(problem)
    assert grid[0] == 0.0
    np.testing.assert_allclose(np.diff(grid), sigma / 512, rtol=1e-9)
    radius = sigma / math.sqrt(d)
    rng = np.random.default_rng(0)
    n = 400_000
    if design == "normal":
        x = rng.normal(size=(n, d))
    elif design == "rademacher":
        x = np.sign(rng.normal(size=(n, d)))
    else:
        x = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.3) / math.sqrt(0.3)
    noise = rng.laplace(scale=sigma / math.sqrt(2), size=n) if noise_law == "laplace" else sigma * rng.normal(size=n)
    e = noise - radius * x.sum(axis=1)
    h = np.interp(np.abs(e), grid, values)
    assert abs(h.mean()) < 4 * h.std() / math.sqrt(n)
    bound = conv.query_bound(problem)
    square = h**2 * d / radius**2  # E‖h U/c‖² = the bound
    assert abs(square.mean() - bound) < 4 * square.std() / math.sqrt(n) + 1e-3 * bound
    if (design, noise_law) == ("normal", "normal"):
        inner = grid < 6 * sigma
        np.testing.assert_allclose(values[inner], grid[inner] ** 2 / 2 - sigma**2, atol=1e-4)


def test_a_scored_reward_moves_as_the_loss_does() -> None:
    d, c = 3, 1 / math.sqrt(3)
    grid, values = conv.score_reward(conv.LinearRegression(d, design="rademacher", noise_law="laplace"))
    e = np.linspace(-12, 12, 480_001)
    h = np.interp(np.abs(e), grid, values)

    def mean(v: np.ndarray) -> float:
        density = sum(
            stats.laplace.pdf(e + np.array(x) @ v, scale=math.sqrt(0.5)) for x in itertools.product((-1, 1), repeat=3)
        )
        return float(np.trapezoid(h * density / 8, e))

    v, step = np.full(d, c), np.array([2e-3, 0.0, 0.0])
    assert mean(v) == pytest.approx(0.0, abs=2e-3)  # jumps of the score between points of the table
    assert (mean(v + step) - mean(v - step)) / 4e-3 == pytest.approx(c, rel=0.01)  # the loss: ∂(σ² + |v|²)/2 = v


def test_a_scored_reward_reaches_its_bound() -> None:
    problem = conv.LinearRegression(3, design="rademacher", noise=0.8, start=0.0)
    update = conv.Update("one-query", law="rademacher", reward=conv.score_reward(problem))
    k = 5000
    found = conv.simulate_risk(
        update, problem, steps=k, step_size=lambda i: 1 / (i + 100), runs=512, rng=0, record=[k], workers=2
    )
    value, error = (k + 100) * found.mean()[-1], k * found.standard_error()[-1]
    assert abs(value - conv.query_bound(problem)) < 4 * error + 0.03 * value


# ---------------------------------------------------------------- reference curves


def test_reference_curves_by_hand() -> None:
    k = np.array([10.0, 1000.0])
    for curve, constant in (
        (references.first_order(7, noise=0.5), 0.25 * 7),
        (references.one_query(7, noise=0.5), 2 * 0.25 * 49),
        (references.non_adaptive(7, noise=0.5, truth=3.0), 2 * 3.25 * 49),
        (references.forward_gradient(7, noise=0.5), 0.25 * 63),
        (references.forward_gradient(7, noise=0.5, directions=4), 0.25 * 7 * 12 / 4),
        (references.forward_gradient(7, directions=4, law="sphere"), 7 * 10 / 4),
        (references.sparse(1000, 10, noise=2.0), 4 * 10 * math.log(100 * math.e)),
        (references.parametric("own", 5.5), 5.5),
    ):
        np.testing.assert_allclose(curve(k), constant / k, rtol=1e-12)
        assert curve.exponent == 1.0
    assert references.nonparametric(0.8)(100.0) == pytest.approx(100**-0.8, rel=1e-12)
    assert references.nonparametric(0.8, log_power=2, constant=3.0)(50.0) == pytest.approx(
        3 * 50**-0.8 * math.log(50) ** 2, rel=1e-12
    )
    # β* = (0.5 · min(2, 1) · min(0.8, 1), 2 · 0.8, 0.8) with t = (1, 2, 3)
    stars = [(0.5 * 1 * 0.8, 1), (2 * 0.8, 2), (0.8, 3)]
    exponent = min(2 * b / (2 * b + t) for b, t in stars)
    assert minimax_exponent([(0.5, 1), (2.0, 2), (0.8, 3)]) == pytest.approx(exponent, rel=1e-12)
    assert minimax_exponent([(0.5, 2)]) == pytest.approx(1 / 3, rel=1e-12)
    two = references.first_order(7).per_query(2)
    assert two(400.0) == pytest.approx(7 / 200)
    assert two.unit == "query"
    for bad in (
        lambda: references.first_order(0),
        lambda: references.first_order(3, noise=-1.0),
        lambda: references.sparse(10, 11),
        lambda: references.sparse(10, 0),
        lambda: references.nonparametric(0.0),
        lambda: references.nonparametric(1.5),
        lambda: references.nonparametric("smooth"),
        lambda: references.nonparametric(0.5, constant=0.0),
        lambda: minimax_exponent([]),
        lambda: minimax_exponent([(0.0, 1)]),
        lambda: minimax_exponent([(1.0, 0)]),
        lambda: references.forward_gradient(3, directions=0),
        lambda: references.forward_gradient(3, law="cauchy"),
        lambda: references.first_order(3)(0.0),
        lambda: references.first_order(3).per_query(0),
    ):
        with pytest.raises(UserError):
            bad()
