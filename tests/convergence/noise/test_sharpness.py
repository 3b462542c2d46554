"""Noisy descent in diagonal linear networks: thresholds, balance and paths against closed forms and quadrature."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import iv, ivp, kv, kvp
from sklearn.linear_model import Lasso

from sparsefire.convergence.noise.sharpness import (
    DiagonalNetwork,
    expected_gradient,
    expected_loss,
    induced_penalty,
    sharpness_balance,
    sharpness_descent,
    sharpness_flow,
    sharpness_limit,
    simulate_sharpness,
    soft_threshold,
)
from sparsefire.errors import Diverged, UserError

B = np.array([2.0, 1.0, 0.5, 0.2, -1.2, 0.25])
ETA = np.sqrt(0.3)
START = np.array([0.6, 0.1])[:, None] * np.ones(6)


def orthonormal(noise=ETA, layers=2, rows=9):
    """Orthonormal columns with X′Y = B, and answers that are not in their span."""
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(rows, rows)))[0]
    return DiagonalNetwork(q[:, :6], q[:, :6] @ B + q[:, 7], noise, layers)


def general(noise=0.5, layers=2, d=3):
    generator = np.random.default_rng(1)
    x = generator.normal(size=(12, d)) / 3
    return DiagonalNetwork(x, x @ np.array([2.0, -1.0, 0.4])[:d] + 0.1 * generator.normal(size=12), noise, layers)


def test_soft_threshold_in_the_limit():
    problem = orthonormal()
    limit = sharpness_flow(problem, START, 60.0).prod(axis=0)
    exact = np.sign(B) * np.maximum(np.abs(B) - 0.3, 0)
    assert soft_threshold(B, 0.3) == pytest.approx(exact, abs=1e-15)
    assert sharpness_limit(problem) == pytest.approx(exact, abs=1e-9)
    assert limit == pytest.approx(exact, abs=1e-2)
    assert np.abs(limit - exact)[[0, 1, 4]].max() < 1e-6
    _, weights = sharpness_descent(problem, START, step_size=0.05, steps=3000)
    assert weights[-1].prod(axis=0) == pytest.approx(exact, abs=1e-2)


def test_balance_decays_exponentially():
    times = np.array([0.0, 0.5, 1.0, 3.0])
    for problem in (orthonormal(), general()):
        start = np.array([0.9, -0.3])[:, None] * np.ones(len(problem.gram))
        u, v = np.moveaxis(sharpness_flow(problem, start, times), 1, 0)
        exact = 0.72 * np.exp(-2 * problem.noise**2 * times[:, None] * np.diagonal(problem.gram))
        assert u**2 - v**2 == pytest.approx(exact, abs=1e-8)
        assert sharpness_balance(problem, start, times) == pytest.approx(exact, abs=1e-14)
    steps, weights = sharpness_descent(orthonormal(), START, step_size=1e-4, steps=10_000, record=[10_000])
    ratio = (weights[:, 0] ** 2 - weights[:, 1] ** 2)[-1] / 0.35
    assert steps.tolist() == [0, 10_000]
    assert ratio == pytest.approx(np.exp(-0.6), abs=1e-3)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_balance_law_of_many_layers(layers):
    """Its derivative, from the gradient: -2η² G_jj Π (w_k² + η²) over the other layers."""
    problem = general(layers=layers)
    w = np.random.default_rng(2).normal(size=(layers, 3))
    g = np.diagonal(problem.gram)
    down = -expected_gradient(problem, w)
    for one, other in itertools.combinations(range(layers), 2):
        change = 2 * (w[one] * down[one] - w[other] * down[other])
        rest = np.prod([w[k] ** 2 + 0.25 for k in range(layers) if k not in (one, other)], axis=0) * np.ones(3)
        assert change == pytest.approx(-0.5 * g * rest * (w[one] ** 2 - w[other] ** 2), rel=1e-9)


@pytest.mark.parametrize("b", [2.0, 0.2, -1.2])
def test_flow_of_two_layers_is_a_bessel_function(b):
    """(u + v)² solves a Riccati equation; its linear form is Bessel's in τ = κ exp(-2η² t)."""
    square, u, v = 0.3, 0.6, np.copysign(0.1, b)
    problem = DiagonalNetwork([[1.0]], [b], np.sqrt(square))
    times = np.linspace(0, 8, 9)
    b, sign = abs(b), np.sign(b)  # a change of the sign of v changes that of β
    a, gap = b - square, (u**2 - v**2) ** 2
    kappa, order = np.sqrt(gap) / (4 * square), a / (2 * square)
    wanted = (a - (u + abs(v)) ** 2 / 2) / (2 * square * kappa)  # φ′/φ at κ
    mix = -(ivp(order, kappa) - wanted * iv(order, kappa)) / (kvp(order, kappa) - wanted * kv(order, kappa))
    tau = kappa * np.exp(-2 * square * times)
    ratio = (ivp(order, tau) + mix * kvp(order, tau)) / (iv(order, tau) + mix * kv(order, tau))
    total = 2 * (a - 2 * square * tau * ratio)
    beta = (total - gap * np.exp(-4 * square * times) / total) / 4
    assert sharpness_flow(problem, [[u], [v]], times).prod(axis=1)[:, 0] == pytest.approx(sign * beta, abs=1e-8)


def test_balanced_flow_is_logistic():
    problem = DiagonalNetwork([[1.0]], [2.0], 0.5)
    times = np.linspace(0, 5, 6)
    beta = 1.75 / (1 + (1.75 / 0.09 - 1) * np.exp(-2 * 1.75 * times))
    found = sharpness_flow(problem, 0.3, times)
    assert found.prod(axis=1)[:, 0] == pytest.approx(beta, abs=1e-9)
    assert found[:, 0] == pytest.approx(found[:, 1], abs=1e-12)


@pytest.mark.parametrize("layers", [2, 3])
def test_gradient_and_loss_by_quadrature(layers):
    """Gauss-Hermite over all the noise: exact for these polynomials."""
    problem = general(layers=layers, d=2)
    x, y = problem.x, problem.y
    w = np.random.default_rng(3).normal(size=(layers, 2))
    nodes, shares = np.polynomial.hermite_e.hermegauss(4)
    shares = shares / shares.sum()
    loss, gradient = 0.0, np.zeros_like(w)
    for at in itertools.product(range(4), repeat=2 * layers):
        shifted = w + problem.noise * nodes[list(at)].reshape(layers, 2)
        chance = shares[list(at)].prod()
        residual = x @ shifted.prod(axis=0) - y
        loss += chance * residual @ residual / 2
        for layer in range(layers):
            gradient[layer] += chance * x.T @ residual * np.delete(shifted, layer, axis=0).prod(axis=0)
    assert expected_loss(problem, w) == pytest.approx(loss, rel=1e-12)
    assert expected_gradient(problem, w) == pytest.approx(gradient, rel=1e-10, abs=1e-12)


def test_gradient_is_that_of_the_loss():
    problem = general(layers=3)
    w = np.random.default_rng(4).normal(size=9)
    numeric = optimize.approx_fprime(w, lambda v: expected_loss(problem, v.reshape(3, 3)), 1e-7)
    assert expected_gradient(problem, w.reshape(3, 3)).ravel() == pytest.approx(numeric, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 1.5), st.integers(2, 4), st.integers(0, 1000))
def test_penalty_is_the_least_that_noise_adds(beta, noise, layers, key):
    penalty = float(induced_penalty(beta, noise, layers))
    closed = ((abs(beta) ** (2 / layers) + noise**2) ** layers - beta**2 - noise ** (2 * layers)) / 2
    assert penalty == pytest.approx(closed, rel=1e-9, abs=1e-9)
    if layers == 2:
        assert penalty == pytest.approx(noise**2 * abs(beta), rel=1e-12)
    w = np.random.default_rng(key).normal(size=layers) + 0.01  # any factorisation adds at least as much
    w[-1] = beta / w[:-1].prod()
    added = ((w**2 + noise**2).prod() - beta**2 - noise ** (2 * layers)) / 2
    assert added >= penalty - 1e-9 * (1 + added)


def test_general_design_goes_to_the_lasso():
    problem = general()
    x, scale = problem.x, np.diagonal(problem.gram)
    lasso = Lasso(alpha=0.25 / 12, fit_intercept=False, tol=1e-12).fit(x / scale, problem.y).coef_ / scale
    limit = sharpness_limit(problem)
    assert limit == pytest.approx(lasso, abs=1e-6)
    slope = problem.moments[1] - problem.gram @ limit  # of the smooth part, against the subgradient of the penalty
    active = limit != 0
    assert slope[active] == pytest.approx((0.25 * scale * np.sign(limit))[active], abs=1e-8)
    assert (np.abs(slope[~active]) <= (0.25 * scale)[~active] + 1e-8).all()
    assert (limit == 0).any()
    assert active.any()
    found = sharpness_flow(problem, [[0.6] * 3, [0.1] * 3], 400.0).prod(axis=0)
    assert found == pytest.approx(limit, abs=1e-2)
    least = np.linalg.lstsq(x, problem.y, rcond=None)[0]
    assert sharpness_limit(general(noise=0.0)) == pytest.approx(least, abs=1e-10)


def test_one_noisy_step_is_a_mean_step_on_average():
    problem = general(layers=3)
    start = np.random.default_rng(5).normal(size=(3, 3))
    estimate = simulate_sharpness(problem, start, step_size=0.1, steps=1, runs=200_000, rng=6)
    after = estimate.weights[:, -1]
    exact = start - 0.1 * expected_gradient(problem, start)
    assert (np.abs(after.mean(0) - exact) < 4 * after.std(0) / np.sqrt(len(after))).all()
    _, mean = sharpness_descent(problem, start, step_size=0.1, steps=1)
    assert mean[-1] == pytest.approx(exact, abs=1e-15)


def test_noisy_descent_is_thresholded():
    estimate = simulate_sharpness(orthonormal(), START, step_size=2e-3, steps=15_000, runs=200, record=[500], rng=7)
    assert estimate.steps.tolist() == [0, 500, 15_000]
    assert estimate.mean()[-1] == pytest.approx(soft_threshold(B, 0.3), abs=0.05)
    assert estimate.median()[-1][3] == pytest.approx(0.0, abs=0.02)
    assert np.array_equal(estimate.median(), np.median(estimate.betas(), axis=0))
    assert np.array_equal(estimate.quantile(0.1), np.quantile(estimate.betas(), 0.1, axis=0))
    low, high = estimate.interval()
    assert ((low <= estimate.mean()) & (estimate.mean() <= high)).all()
    flow = sharpness_flow(orthonormal(), START, 1.0).prod(axis=0)
    assert estimate.mean()[1] == pytest.approx(flow, abs=0.03)


def test_no_noise_is_gradient_descent():
    problem = general(noise=0.0)
    estimate = simulate_sharpness(problem, 0.5, step_size=lambda k: 0.5 / k, steps=40, runs=2, rng=8)
    _, weights = sharpness_descent(problem, 0.5, step_size=lambda k: 0.5 / k, steps=40)
    u = v = np.full(3, 0.5)
    for k in range(1, 41):
        down = problem.x.T @ (problem.y - problem.x @ (u * v))
        u, v = u + 0.5 / k * v * down, v + 0.5 / k * u * down
    assert weights[-1] == pytest.approx(np.array([u, v]), abs=1e-14)
    assert estimate.weights[1, -1] == pytest.approx(weights[-1], abs=1e-15)


def test_runs_do_not_depend_on_workers():
    given_ = dict(step_size=0.05, steps=60, rng=9)
    one = simulate_sharpness(general(), 0.3, runs=30, workers=1, **given_)
    two = simulate_sharpness(general(), 0.3, runs=30, workers=2, **given_)
    few = simulate_sharpness(general(), 0.3, runs=4, workers=1, **given_)
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.weights[:4], few.weights)
    assert len(np.unique(one.weights[:, -1, 0, 0])) == 30


def test_divergence_is_told():
    with pytest.raises(Diverged, match="no numbers"):
        simulate_sharpness(orthonormal(), 3.0, step_size=1.0, steps=50, runs=3, rng=0)
    with pytest.raises(Diverged, match="no numbers"):
        sharpness_descent(orthonormal(), 3.0, step_size=1.0, steps=50)


@pytest.mark.parametrize(
    "call",
    [
        lambda: DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=-0.1),
        lambda: DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=np.nan),
        lambda: DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=0.1, layers=1),
        lambda: DiagonalNetwork(np.eye(2), [1.0], noise=0.1),
        lambda: DiagonalNetwork(np.diag([1.0, 0.0]), [1.0, 2.0], noise=0.1),
        lambda: soft_threshold([1.0], -0.1),
        lambda: soft_threshold(["a"], 0.1),
        lambda: induced_penalty([1.0], 0.1, layers=0),
        lambda: induced_penalty([1.0], -1.0),
        lambda: sharpness_limit(general(layers=3)),
        lambda: sharpness_balance(general(layers=3), 0.1, 1.0),
        lambda: sharpness_flow(general(), 0.1, [-1.0]),
        lambda: sharpness_flow(general(), [0.1, 0.2], 1.0),
        lambda: sharpness_descent(general(), 0.1, step_size=np.nan, steps=3),
        lambda: sharpness_descent(general(), 0.1, step_size=0.1, steps=0),
        lambda: sharpness_descent(general(), 0.1, step_size=0.1, steps=3, record=[4]),
        lambda: sharpness_descent(general(), 0.1, step_size=0.1, steps=3, record="all"),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2, record=0),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2, rng="x"),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2, progress=3),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2).quantile("a"),
        lambda: simulate_sharpness(3, 0.1, step_size=0.1, steps=9),
        lambda: sharpness_limit(3),
        lambda: sharpness_balance(3, 0.1, 1.0),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2, record=["a"]),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=9, runs=2).interval("a"),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=3, runs=0),
        lambda: simulate_sharpness(general(), 0.1, step_size=0.1, steps=3, runs=1).interval(),
        lambda: expected_loss(general(), [[1.0, 2.0, np.inf]] * 2),
    ],
)
def test_bad_input(call):
    with pytest.raises(UserError):
        call()
