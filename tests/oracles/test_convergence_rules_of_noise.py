"""Oracle: dropout by its masks, sharpness by quadrature."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from sklearn.linear_model import Lasso

import sparsefire as sf
from sparsefire.convergence.noise.sharpness import expected_gradient, expected_loss, sharpness_balance, soft_threshold
from sparsefire.errors import UserError

conv = sf.convergence

# ---------------------------------------------------------------- dropout: all masks

RNG = np.random.default_rng(5)
X = RNG.normal(size=(20, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.8]])
Y = X @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=20)
START = np.array([1.0, 0.0, -1.0])


class Masks:
    """b ← T b + v over all masks, T and v exactly as the rule says."""

    def __init__(self, keep: float, alpha: float, simplified: bool = False) -> None:
        g, c = X.T @ X, X.T @ Y
        self.maps = []
        for mask in itertools.product((0.0, 1.0), repeat=3):
            d = np.diag(mask)
            weight = float(np.prod([keep if m else 1 - keep for m in mask]))
            self.maps.append((weight, np.eye(3) - alpha * d @ g @ (np.eye(3) if simplified else d), alpha * d @ c))
        self.g, self.c, self.keep = g, c, keep

    def path(self, steps: int, start: np.ndarray) -> list[np.ndarray]:
        """Return E (b, 1)(b, 1)′ at steps 0 … steps."""
        b = np.append(start, 1.0)
        out = [np.outer(b, b)]
        for _ in range(steps):
            total = np.zeros((4, 4))
            for w, t, v in self.maps:
                a = np.block([[t, v[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])
                total += w * a @ out[-1] @ a.T
            out.append(total)
        return out

    def stationary(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean, the covariance and the long-run covariance."""
        mean_map = sum(w * t for w, t, _ in self.maps)
        optimum = np.linalg.solve(np.eye(3) - mean_map, sum(w * v for w, _, v in self.maps))
        m2 = sum(w * np.kron(t, t) for w, t, _ in self.maps)
        noise = [(w, v + t @ optimum - optimum) for w, t, v in self.maps]
        fresh = sum(w * np.outer(e, e) for w, e in noise)
        s = np.linalg.solve(np.eye(9) - m2, fresh.ravel()).reshape(3, 3)
        h = mean_map @ np.linalg.solve(np.eye(3) - mean_map, s)
        return optimum, s, s + h + h.T


@pytest.mark.parametrize(("keep", "simplified"), [(0.7, False), (0.3, False), (1.0, False), (0.6, True)])
def test_dropout_against_all_masks(keep: float, simplified: bool) -> None:
    alpha = 0.01
    masks = Masks(keep, alpha, simplified)
    problem = conv.Dropout(X, Y, keep=keep, step_size=alpha, simplified=simplified)
    optimum, s, long_run = masks.stationary()
    np.testing.assert_allclose(problem.optimum, optimum, rtol=1e-10)
    if simplified or keep == 1.0:
        np.testing.assert_allclose(problem.optimum, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-10)
        np.testing.assert_allclose(conv.dropout_stationary_covariance(problem), np.zeros((3, 3)), atol=1e-12)
    at = [0, 1, 7, 60]
    moments = np.array(masks.path(60, START))[at]
    np.testing.assert_allclose(conv.dropout_mean(problem, at, start=START), moments[:, :3, 3], rtol=1e-11, atol=1e-13)
    shift = np.hstack([np.eye(3), -optimum[:, None]])
    np.testing.assert_allclose(
        conv.dropout_second_moment(problem, at, start=START), shift @ moments @ shift.T, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(conv.dropout_stationary_covariance(problem), s, rtol=1e-7, atol=1e-11)
    np.testing.assert_allclose(conv.dropout_long_run_covariance(problem), long_run, rtol=1e-7, atol=1e-11)
    scalar = conv.dropout_mean(problem, 7, start=2.0)
    np.testing.assert_allclose(scalar, np.array(masks.path(7, np.full(3, 2.0)))[7, :3, 3], rtol=1e-11)


def test_dropout_simulated_and_covered() -> None:
    keep, alpha, runs, steps = 0.7, 0.01, 600, 20_000
    problem = conv.Dropout(X, Y, keep=keep, step_size=alpha)
    optimum, s, long_run = Masks(keep, alpha).stationary()
    found = conv.simulate_dropout(problem, steps=steps, burn_in=1500, batches=100, runs=runs, rng=1, workers=2)
    again = conv.simulate_dropout(problem, steps=2000, burn_in=10, batches=10, runs=70, rng=1, workers=1)
    for workers in (2, 3):
        other = conv.simulate_dropout(problem, steps=2000, burn_in=10, batches=10, runs=70, rng=1, workers=workers)
        np.testing.assert_array_equal(other.last, again.last)
        np.testing.assert_array_equal(other.batch_means, again.batch_means)
    error = found.last - optimum
    products = np.einsum("ri,rj->rij", error, error)
    z = (products.mean(axis=0) - s) / (products.std(axis=0) / np.sqrt(runs))
    assert np.abs(z).max() < 4
    averages = found.averages() - optimum
    np.testing.assert_allclose(found.averages(), found.batch_means.mean(axis=1), rtol=1e-12)
    squares = steps * (averages**2).sum(axis=1)
    assert abs(squares.mean() - np.trace(long_run)) < 4 * squares.std() / np.sqrt(runs) + 0.02 * np.trace(long_run)
    half = stats.t.ppf(0.975, 99) * found.batch_means.std(axis=1, ddof=1) / 10
    covered = (np.abs(averages) <= half).mean(axis=0)
    slack = 4 * np.sqrt(0.05 * 0.95 / runs)
    assert (covered > 0.93 - slack).all()
    assert (covered < 0.97 + slack).all()
    low, high = found.interval()
    mean, se = found.averages().mean(axis=0), found.averages().std(axis=0, ddof=1) / np.sqrt(runs)
    np.testing.assert_allclose(low, mean - stats.t.ppf(0.975, runs - 1) * se, rtol=1e-10)
    np.testing.assert_allclose(high, mean + stats.t.ppf(0.975, runs - 1) * se, rtol=1e-10)
    online = conv.BatchMeans(found.averages()[0], found.batch_means[0], steps // 100, steps)
    np.testing.assert_allclose(online.interval()[1] - found.averages()[0], half[0], rtol=1e-9)


def test_first_steps_of_simulated_dropout() -> None:
    masks = Masks(0.6, 0.02)
    problem = conv.Dropout(X, Y, keep=0.6, step_size=0.02)
    found = conv.simulate_dropout(problem, steps=2, runs=4000, start=START, rng=3)
    outcomes = {}
    for (w1, t1, v1), (w2, t2, v2) in itertools.product(masks.maps, repeat=2):
        last = tuple((t2 @ (t1 @ START + v1) + v2).round(9))
        outcomes[last] = outcomes.get(last, 0.0) + w1 * w2
    keys, chance = np.array(list(outcomes)), np.array(list(outcomes.values()))
    distance = np.abs(found.last[:, None, :] - keys[None]).max(axis=2)
    assert distance.min(axis=1).max() < 1e-8
    seen = np.bincount(distance.argmin(axis=1), minlength=len(keys))
    assert chance.min() * 4000 > 5
    assert stats.chisquare(seen, 4000 * chance).pvalue > 1e-4


def test_dropout_told_of_bad_input() -> None:
    good: dict[str, Any] = {"x": X, "y": Y, "keep": 0.5, "step_size": 0.01}
    flat = X.copy()
    flat[:, 1] = 0.0
    twin = X.copy()
    twin[:, 2] = twin[:, 1]
    for bad in (
        {"keep": 0.0}, {"keep": 1.2}, {"keep": float("nan")}, {"keep": "half"}, {"step_size": 0.0},
        {"step_size": 2 / np.linalg.eigvalsh(X.T @ X)[-1] / 0.5}, {"step_size": "x"}, {"x": flat}, {"y": Y[:-1]},
        {"x": "table"}, {"x": np.full((20, 3), np.nan)}, {"x": twin, "simplified": True}, {"x": twin, "keep": 1.0},
    ):  # fmt: skip
        with pytest.raises(UserError):
            conv.Dropout(**(good | bad))
    problem = conv.Dropout(**good)
    for call in (
        lambda: conv.dropout_mean(problem, -1),
        lambda: conv.dropout_mean(problem, 1.5),
        lambda: conv.dropout_mean(problem, 1, start=[1.0, 2.0]),
        lambda: conv.simulate_dropout(problem, steps=10, runs=0),
        lambda: conv.simulate_dropout(problem, steps=0, runs=2),
        lambda: conv.simulate_dropout(problem, steps=10, runs=2, batches=3),
        lambda: conv.simulate_dropout(problem, steps=10, runs=2, burn_in=-1),
        lambda: conv.simulate_dropout(problem, steps=10, runs=2, workers=0),
        lambda: conv.simulate_dropout(problem, steps=10, runs=1, rng=0).interval(),
    ):
        with pytest.raises(UserError):
            call()


# ---------------------------------------------------------------- stochastic sharpness-aware descent


def loss_of(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    return float(0.5 * ((y - x @ weights.prod(axis=0)) ** 2).sum())


@pytest.mark.parametrize("layers", [2, 3])
def test_expected_loss_and_gradient_by_quadrature(layers: int) -> None:
    rng = np.random.default_rng(layers)
    x, y, eta = rng.normal(size=(4, 2)), rng.normal(size=4), 0.4
    w = rng.normal(size=(layers, 2))
    problem = conv.DiagonalNetwork(x, y, noise=eta, layers=layers)
    nodes, weights = np.polynomial.hermite_e.hermegauss(2)  # each weight enters with its square at most
    weights = weights / weights.sum()

    def smoothed(at: np.ndarray) -> float:
        total = 0.0
        for index in itertools.product(range(2), repeat=2 * layers):
            shift = eta * nodes[list(index)].reshape(layers, 2)
            total += float(np.prod(weights[list(index)])) * loss_of(x, y, at + shift)
        return total

    assert expected_loss(problem, w) == pytest.approx(smoothed(w), rel=1e-11)
    gradient = np.zeros_like(w)
    for i in np.ndindex(*w.shape):  # the loss is a parabola in each weight: central differences are exact
        step = np.zeros_like(w)
        step[i] = 0.5
        gradient[i] = smoothed(w + step) - smoothed(w - step)
    np.testing.assert_allclose(expected_gradient(problem, w), gradient, rtol=1e-10, atol=1e-11)
    steps, path = conv.sharpness_descent(problem, w, step_size=0.01, steps=1)
    np.testing.assert_allclose(path[-1], w - 0.01 * gradient, rtol=1e-11)
    assert steps.tolist() == [0, 1]
    found = conv.simulate_sharpness(problem, w, step_size=0.01, steps=1, runs=20_000, rng=4)
    last = found.weights[:, -1]
    z = (last.mean(axis=0) - path[-1]) / (last.std(axis=0) / np.sqrt(20_000))
    assert np.abs(z).max() < 4


def test_flow_balance_and_threshold() -> None:
    b = np.array([2.0, 1.0, 0.5, 0.2, -1.2, 0.25])
    start = np.stack([np.full(6, 0.6), np.full(6, 0.1)])
    start[1, 4] = -0.1
    problem = conv.DiagonalNetwork(np.eye(6), b, noise=np.sqrt(0.3))
    end = conv.sharpness_flow(problem, start, 60.0).prod(axis=0)
    off = np.abs(np.abs(b) - 0.3) > 0.06
    expected = np.sign(b) * np.maximum(np.abs(b) - 0.3, 0)
    np.testing.assert_allclose(end[off], expected[off], atol=1e-2)
    np.testing.assert_allclose(conv.sharpness_limit(problem), expected, atol=1e-10)
    np.testing.assert_allclose(soft_threshold(b, 0.3), expected, atol=1e-14)
    times = np.array([0.0, 0.5, 1.0])
    flow = conv.sharpness_flow(problem, start, times)
    balance = flow[:, 0] ** 2 - flow[:, 1] ** 2
    theory = (start[0] ** 2 - start[1] ** 2) * np.exp(-0.6 * times)[:, None]
    np.testing.assert_allclose(balance, theory, atol=1e-6)
    np.testing.assert_allclose(sharpness_balance(problem, start, times), theory, rtol=1e-10)
    assert balance[2, 0] / balance[0, 0] == pytest.approx(0.5488, abs=1e-3)


@pytest.mark.parametrize("layers", [2, 3])
def test_flow_against_another_solver(layers: int) -> None:
    rng = np.random.default_rng(2)
    x, y, start = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(layers, 3))
    eta, g = 0.3, x.T @ x

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        w = flat.reshape(layers, 3)
        beta = w.prod(axis=0)
        out = np.zeros_like(w)
        for layer in range(layers):
            others = np.delete(w, layer, axis=0)
            out[layer] -= (g @ beta - x.T @ y) * others.prod(axis=0)
            out[layer] -= np.diag(g) * w[layer] * ((others**2 + eta**2).prod(axis=0) - (others**2).prod(axis=0))
        return out.ravel()

    own = integrate.solve_ivp(slope, (0, 2), start.ravel(), method="LSODA", rtol=1e-10, atol=1e-12)
    problem = conv.DiagonalNetwork(x, y, noise=eta, layers=layers)
    np.testing.assert_allclose(conv.sharpness_flow(problem, start, 2.0).ravel(), own.y[:, -1], atol=1e-6)


def test_limit_is_the_lasso_and_penalties_are_minima() -> None:
    rng = np.random.default_rng(8)
    x, y, eta = rng.normal(size=(30, 4)), rng.normal(size=30) * 3, 0.8
    scale = np.linalg.norm(x, axis=0) ** 2
    found = conv.sharpness_limit(conv.DiagonalNetwork(x, y, noise=eta))
    lasso = Lasso(alpha=eta**2 / 30, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x / scale, y)
    np.testing.assert_allclose(found, lasso.coef_ / scale, atol=1e-8)
    for layers, beta in itertools.product((2, 3, 4), (0.3, -1.7)):

        def added(logs: np.ndarray, layers: int = layers, beta: float = beta) -> float:
            w2 = np.exp(2 * np.append(logs, np.log(abs(beta)) - logs.sum()))
            return 0.5 * float((w2 + 0.25).prod() - w2.prod() - 0.25**layers)

        least = optimize.minimize(added, np.full(layers - 1, 0.1), tol=1e-14).fun
        found = conv.induced_penalty(beta, 0.5, layers=layers)
        assert float(found) == pytest.approx(least, rel=1e-6)
    assert float(conv.induced_penalty(0.0, 0.5, layers=3)) == pytest.approx(0.0, abs=1e-15)


def test_simulated_sharpness_by_numpy() -> None:
    x, y, eta, alpha, runs = np.array([[1.0, 0.3], [0.0, 0.9]]), np.array([1.5, -0.7]), 0.3, 0.05, 5000
    start = np.array([[0.8, 0.5], [0.4, -0.6]])
    problem = conv.DiagonalNetwork(x, y, noise=eta)
    call: dict[str, Any] = {"step_size": alpha, "steps": 40, "rng": 6}
    found = conv.simulate_sharpness(problem, start, runs=runs, record=[5], **call)
    rng = np.random.default_rng(1)
    w = np.broadcast_to(start, (runs, 2, 2)).copy()
    for _ in range(40):
        v = w + eta * rng.normal(size=w.shape)
        pull = (v.prod(axis=1) @ x.T - y) @ x
        w = w - alpha * pull[:, None, :] * v[:, ::-1, :]
    assert found.steps.tolist() == [0, 5, 40]
    for moment in (1, 2):
        ours, own = found.weights[:, -1] ** moment, w**moment
        gap = ours.mean(axis=0) - own.mean(axis=0)
        assert (np.abs(gap) < 4 * np.hypot(ours.std(axis=0), own.std(axis=0)) / np.sqrt(runs)).all()
    np.testing.assert_allclose(found.mean(), found.weights.prod(axis=2).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.median(), np.median(found.weights.prod(axis=2), axis=0), rtol=1e-12)
    few = conv.simulate_sharpness(problem, start, runs=9, workers=1, **call)
    for workers in (2, 3):
        np.testing.assert_array_equal(
            conv.simulate_sharpness(problem, start, runs=9, workers=workers, **call).weights, few.weights
        )
    quiet = conv.DiagonalNetwork(x, y, noise=0.0)
    still = conv.simulate_sharpness(quiet, start, runs=2, **call)
    np.testing.assert_allclose(
        still.weights[0], conv.sharpness_descent(quiet, start, step_size=alpha, steps=40)[1], rtol=1e-12
    )


def test_sharpness_told_of_bad_input() -> None:
    problem = conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=0.1)
    deep = conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=0.1, layers=3)
    for call in (
        lambda: conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=-0.1),
        lambda: conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise="x"),
        lambda: conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=0.1, layers=1),
        lambda: conv.DiagonalNetwork(np.eye(2), [1.0], noise=0.1),
        lambda: conv.DiagonalNetwork(np.diag([1.0, 0.0]), [1.0, 2.0], noise=0.1),
        lambda: conv.sharpness_limit(deep),
        lambda: sharpness_balance(deep, np.ones((3, 2)), 1.0),
        lambda: conv.sharpness_flow(problem, [1.0, 2.0, 3.0], 1.0),
        lambda: conv.sharpness_flow(problem, 1.0, -1.0),
        lambda: conv.sharpness_descent(problem, 1.0, step_size=0.1, steps=0),
        lambda: conv.sharpness_descent(problem, 1.0, step_size=float("nan"), steps=3),
        lambda: conv.simulate_sharpness(problem, 1.0, step_size=0.1, steps=3, runs=0),
        lambda: conv.simulate_sharpness(problem, 1.0, step_size=lambda k: float("nan"), steps=3, runs=2),
        lambda: conv.induced_penalty([1.0], -1.0),
        lambda: conv.induced_penalty([1.0], 0.1, layers=1),
    ):
        with pytest.raises(UserError):
            call()
