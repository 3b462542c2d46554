"""Oracles: the law of dropout by enumeration of masks, an autoregression, quantiles by simulation of the limit."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.convergence.inference.online import (
    OnlineInterval,
    RandomScaling,
    batch_means,
    random_scaling,
    random_scaling_quantile,
)
from sparsefire.errors import Diverged, UserError

KEPT, STEP = 0.7, 0.02


def problem(dimension=3, rows=20):
    draws = np.random.default_rng(7)
    x = draws.normal(size=(rows, dimension))
    y = x @ np.array([1.0, -0.5, 0.25]) + draws.normal(size=rows)
    return x.T @ x, x.T @ y


def marginalised(g, c):
    """The minimum of E |Y - X D b|², D a mask of kept columns."""
    return np.linalg.solve(KEPT * g + (1 - KEPT) * np.diag(np.diag(g)), c)


def long_run_covariance(g, c):
    """S + H + H' of the stationary law of dropout, by the 2^d masks."""
    d = len(c)
    best = marginalised(g, c)
    first, second, noise = np.zeros((d, d)), np.zeros((d * d, d * d)), np.zeros(d * d)
    for mask in itertools.product([0, 1], repeat=d):
        weight = np.prod([KEPT if kept else 1 - KEPT for kept in mask])
        m = np.diag(np.array(mask, float))
        t, v = np.eye(d) - STEP * m @ g @ m, STEP * m @ (c - g @ m @ best)
        first += weight * t
        second += weight * np.kron(t, t)
        noise += weight * np.kron(v, v)
    stationary = np.linalg.solve(np.eye(d * d) - second, noise).reshape(d, d)
    later = np.linalg.solve(np.eye(d) - first, first @ stationary)
    return stationary + later + later.T


def dropout(steps, runs, seed):
    """Iterates of gradient descent with dropout, one array [runs, d] after another, from the marginalised minimum."""
    g, c = problem()
    draws = np.random.default_rng(seed)
    b = np.tile(marginalised(g, c), (runs, 1))
    for _ in range(steps // 100):
        masks = draws.random((100, runs, len(c)), dtype=np.float32) < KEPT
        for mask in masks:
            b = b + STEP * mask * (c - (mask * b) @ g)
            yield b


def covered(interval, truth):
    low, high = interval
    return ((low <= truth) & (truth <= high)).mean(0)


def test_intervals_cover_the_marginalised_minimum_of_dropout():
    """Nominal 95 % over 1000 runs of 20,000 steps: fixed batches of 200, growing batches, random scaling."""
    g, c = problem()
    runs, steps, length = 1000, 20_000, 200
    growing, scaled = OnlineInterval(), RandomScaling()
    means, part = [], np.zeros((runs, 3))
    for k, b in enumerate(dropout(steps, runs, 1), 1):
        growing.update(b)
        scaled.update(b)
        part += b
        if k % length == 0:
            means.append(part / length)
            part = np.zeros((runs, 3))
    fixed = batch_means(np.array(means), length=1)  # means of 200 are iterates of their own
    truth = marginalised(g, c)
    for interval in (fixed.interval(), growing.interval(), scaled.interval()):
        assert (np.abs(covered(interval, truth) - 0.95) <= 0.02).all()
    sigma = long_run_covariance(g, c)
    assert length * fixed.long_run_covariance().mean(0) == pytest.approx(sigma, rel=0.05, abs=0.02 * np.trace(sigma))
    squares = steps * np.square(growing.mean() - truth).sum(1)
    assert abs(squares.mean() - np.trace(sigma)) < 4 * squares.std() / runs**0.5
    assert growing.mean() == pytest.approx(fixed.mean(), rel=1e-10)
    lengths = [np.diff(i, axis=0).mean() for i in (growing.interval(), scaled.interval())]
    assert 1.1 < lengths[1] / lengths[0] < 1.8  # self-normalised intervals are longer


def autoregression(steps, runs, kept, seed):
    draws = np.random.default_rng(seed)
    x, found = np.zeros(runs), np.empty((steps, runs))
    for k in range(steps):
        x = found[k] = kept * x + draws.normal(size=runs)
    return found


def test_batch_means_of_an_autoregression():
    theta = autoregression(6400, 400, 0.8, 0)
    found = batch_means(theta, length=100)
    assert found.batches.shape == (64, 400)
    assert found.interval()[1] - found.mean() == pytest.approx(1.9983 * found.standard_error(), rel=1e-4)
    one = batch_means(theta[:, 0], length=100)
    assert one.covariance().item() == pytest.approx(one.standard_error() ** 2)
    assert np.square(found.standard_error()).mean() * 6400 == pytest.approx(25.0, rel=0.1)  # 1 / (1 - 0.8)²
    naive = theta.std(0) / 80
    assert (naive < 0.5 * found.standard_error()).mean() > 0.9
    assert batch_means(theta).length == 200
    assert batch_means(theta, burn_in=400).steps == 6000


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 3000), st.integers(0, 40), st.sampled_from([8, 16, 32]))
def test_growing_batches_are_batches(steps, burn_in, batches):
    theta = np.random.default_rng(steps).normal(size=(steps + burn_in, 2)) + np.array([1e6, -3.0])
    running = OnlineInterval(batches, burn_in=burn_in)
    for row in theta:
        running.update(row)
    found = running.batch_means()
    used = theta[burn_in:]
    assert found.steps == steps
    assert steps < 2 * batches or batches <= len(found.batches) < 2 * batches
    assert found.length * (len(found.batches) + 1) > steps
    direct = batch_means(used, length=found.length)
    assert found.batches == pytest.approx(direct.batches, rel=1e-12)
    assert running.mean() == pytest.approx(used.mean(0), rel=1e-12)
    low, high = running.interval()
    assert np.stack([low, high]) == pytest.approx(np.stack(direct.interval()), rel=1e-9)
    assert running.covariance() == pytest.approx(direct.covariance(), rel=1e-6, abs=1e-12)


def test_memory_does_not_grow():
    running = OnlineInterval(8)
    for k in range(5000):
        running.update(float(k % 7))
    assert running._sums.shape == (16,)
    assert running.mean() == pytest.approx(np.mean(np.arange(5000) % 7))


def test_random_scaling_by_its_definition():
    theta = autoregression(300, 4, 0.5, 1) + 100
    running = RandomScaling(burn_in=20)
    for row in theta:
        running.update(row)
    used = theta[20:]
    s = np.arange(1, 281)[:, None]
    averages = np.cumsum(used, 0) / s
    v = (s**2 * (averages - averages[-1]) ** 2).sum(0) / 280**2
    assert running.scale() == pytest.approx(np.sqrt(v / 280), rel=1e-9)
    whole = random_scaling(theta, burn_in=20)
    assert whole.scale() == pytest.approx(running.scale(), rel=1e-12)
    assert np.stack(whole.interval(0.9)) == pytest.approx(np.stack(running.interval(0.9)), rel=1e-12)
    half = np.diff(np.stack(whole.interval()), axis=0)[0] / 2
    assert half == pytest.approx(6.747 * np.sqrt(v / 280), rel=1e-4)


def test_quantiles_of_the_limit_of_random_scaling():
    assert random_scaling_quantile(0.975) == pytest.approx(6.747, abs=5e-4)  # printed in arXiv:2106.03156
    assert random_scaling_quantile(0.95) == pytest.approx(5.323, abs=1e-3)
    draws = np.random.default_rng(0)
    j = np.arange(1, 401)
    bridge = np.concatenate([(draws.chisquare(1, (5000, 400)) / (j * np.pi) ** 2).sum(1) for _ in range(8)])
    bridge += 1 / (np.pi**2 * 400.5)  # the mean of the terms left out
    t = draws.normal(size=40_000) / np.sqrt(bridge)
    for q in (0.6, 0.9, 0.975, 0.995):
        assert abs((t < random_scaling_quantile(q)).mean() - q) < 4 * np.sqrt(q * (1 - q) / 40_000)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_diverges_says_so_in_every_way(bad):
    theta = np.random.default_rng(0).normal(size=(100, 2))
    theta[60, 1] = bad
    growing, scaled = OnlineInterval(), RandomScaling()
    for row in theta:
        growing.update(row)
        scaled.update(row)
    asked = (
        lambda: batch_means(theta),
        lambda: random_scaling(theta),
        *(getattr(one, what) for one in (growing, scaled) for what in ("interval", "mean")),
        growing.batch_means,
        growing.covariance,
        scaled.scale,
    )
    with np.errstate(invalid="ignore"):
        for one in asked:
            with pytest.raises(Diverged, match="diverged"):
                one()
    late = OnlineInterval()
    for row in np.r_[theta[:40], theta[60:61]]:  # in a batch that has only begun
        late.update(row)
    with pytest.raises(Diverged, match="diverged"):
        late.interval()


def test_wrong_input():
    with pytest.raises(UserError, match="no numbers"):
        batch_means(["a", "b"])
    with pytest.raises(UserError, match="no numbers"):
        OnlineInterval().update("a")
    with pytest.raises(UserError, match="quantile"):
        random_scaling_quantile("a")
    with pytest.raises(UserError, match="one batch"):
        batch_means(np.zeros(10), length=6)
    with pytest.raises(UserError, match="one batch"):
        batch_means(np.zeros((3, 2)))
    with pytest.raises(UserError, match="diverged"):
        batch_means([0.0, np.nan, 1.0])
    with pytest.raises(UserError, match="length"):
        batch_means(np.zeros(10), length=-1)
    with pytest.raises(UserError, match="row of iterates"):
        batch_means(3.0)
    with pytest.raises(UserError, match="batches"):
        OnlineInterval(2)
    with pytest.raises(UserError, match="no average"):
        OnlineInterval().mean()
    running = OnlineInterval()
    running.update([1.0, 2.0])
    with pytest.raises(UserError, match="no interval"):
        running.interval()
    with pytest.raises(UserError, match="shape"):
        running.update([1.0])
    with pytest.raises(UserError, match="no interval"):
        random_scaling([1.0]).interval()
    with pytest.raises(UserError, match="quantile"):
        random_scaling_quantile(0.4)
    with pytest.raises(UserError, match="level"):
        random_scaling([1.0, 2.0, 4.0]).interval(0)
