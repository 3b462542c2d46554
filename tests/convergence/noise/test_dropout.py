"""Dropout in the linear model: closed moments against all masks, and simulated runs against both."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from sparsefire.convergence.noise import _masked_moments as masked
from sparsefire.convergence.noise.dropout import (
    Dropout,
    dropout_long_run_covariance,
    dropout_mean,
    dropout_second_moment,
    dropout_stationary_covariance,
    simulate_dropout,
)
from sparsefire.errors import UserError


def example(d=3, keep=0.7, share=0.3, simplified=False, rows=20, rng=0):
    generator = np.random.default_rng(rng)
    x = generator.normal(size=(rows, d)) @ (np.eye(d) + 0.4 * generator.normal(size=(d, d)))
    y = x @ generator.normal(size=d) + generator.normal(size=rows)
    return Dropout(x, y, keep, share / (keep * np.linalg.norm(x.T @ x, 2)), simplified)


def masks(problem):
    """All D with their chances, the matrices T, and the vectors v around the optimum."""
    gram, correlation = problem.moments
    for bits in itertools.product((0.0, 1.0), repeat=len(gram)):
        d, kept = np.diag(bits), sum(bits)
        chance = problem.keep**kept * (1 - problem.keep) ** (len(bits) - kept)
        inner = gram if problem.simplified else gram @ d
        step = np.eye(len(bits)) - problem.step_size * d @ inner
        yield chance, d, step, problem.step_size * d @ (correlation - inner @ problem.optimum)


def second_moment_operator(problem):
    return sum(chance * np.kron(step, step) for chance, _, step, _ in masks(problem))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.05, 1.0))
def test_masked_moments_are_sums_over_masks(key, d, p):
    generator = np.random.default_rng(key)
    hollow, inner = generator.normal(size=(2, d, d))
    hollow = hollow + hollow.T
    np.fill_diagonal(hollow, 0.0)
    exact = np.zeros((3, d, d))
    for bits in itertools.product((0.0, 1.0), repeat=d):
        m, chance = np.diag(bits), p ** sum(bits) * (1 - p) ** (d - sum(bits))
        exact[0] += chance * m @ inner @ m
        exact[1] += chance * m @ hollow @ m @ inner @ m
        exact[2] += chance * m @ hollow @ m @ inner @ m @ hollow @ m
    assert masked.two(inner, p) == pytest.approx(exact[0], abs=1e-12)
    assert masked.three(hollow, inner, p) == pytest.approx(exact[1], abs=1e-12)
    assert masked.four(hollow, inner, p) == pytest.approx(exact[2], abs=1e-11)


@pytest.mark.parametrize("simplified", [False, True])
def test_mean_is_the_product_of_mean_steps(simplified):
    problem = example(4, simplified=simplified)
    gram, correlation = problem.moments
    now = start = np.array([3.0, -2.0, 1.0, 0.5])
    for k in range(1, 61):
        mean = np.zeros(4)
        for chance, d, _, _ in masks(problem):
            inner = gram if simplified else gram @ d
            mean += chance * (now + problem.step_size * d @ (correlation - inner @ now))
        now = mean
        assert dropout_mean(problem, k, start) == pytest.approx(now, abs=1e-12)
    assert dropout_mean(problem, [0, 60], start) == pytest.approx(np.array([start, now]), abs=1e-12)


def test_optimum_minimises_the_marginal_loss():
    problem = example(3)
    gradient = np.zeros(3)
    for chance, d, _, _ in masks(problem):
        gradient += chance * d @ problem.x.T @ (problem.y - problem.x @ d @ problem.optimum)
    assert gradient == pytest.approx(0.0, abs=1e-12)
    least = example(3, simplified=True)
    assert least.optimum == pytest.approx(np.linalg.lstsq(least.x, least.y, rcond=None)[0], rel=1e-10)
    assert dropout_mean(problem, 10**5) == pytest.approx(problem.optimum, abs=1e-12)


@pytest.mark.parametrize("simplified", [False, True])
def test_second_moment_by_enumeration(simplified):
    problem = example(4, keep=0.6, share=0.5, simplified=simplified)
    start = np.array([1.0, -1.0, 2.0, 0.0])
    now, mean = np.outer(start - problem.optimum, start - problem.optimum), start - problem.optimum
    for _ in range(25):
        moment, first = np.zeros((4, 4)), np.zeros(4)
        for chance, _, step, v in masks(problem):
            cross = np.outer(step @ mean, v)
            moment += chance * (step @ now @ step.T + np.outer(v, v) + cross + cross.T)
            first += chance * (step @ mean + v)
        now, mean = moment, first
    found = dropout_second_moment(problem, [25, 0], start)
    assert found[0] == pytest.approx(now, rel=1e-11)
    assert found[1] == pytest.approx(np.outer(start - problem.optimum, start - problem.optimum))


@pytest.mark.parametrize(("d", "keep", "share"), [(3, 0.7, 0.3), (6, 0.5, 0.5), (5, 0.9, 0.9), (1, 0.5, 0.2)])
def test_stationary_covariance_by_enumeration(d, keep, share):
    problem = example(d, keep, share)
    fresh = sum(chance * np.kron(v, v) for chance, _, _, v in masks(problem))
    exact = np.linalg.solve(np.eye(d * d) - second_moment_operator(problem), fresh).reshape(d, d)
    assert dropout_stationary_covariance(problem) == pytest.approx(exact, rel=1e-9, abs=1e-13)
    first = np.eye(d) - problem.step_size * keep * problem.drift
    half = first @ np.linalg.inv(np.eye(d) - first) @ exact
    assert dropout_long_run_covariance(problem) == pytest.approx(exact + half + half.T, rel=1e-8, abs=1e-12)


def test_stationary_covariance_far_beyond_enumeration():
    problem = example(60, keep=0.5, share=0.3, rows=400)
    found = dropout_stationary_covariance(problem)
    assert problem.second_moment_step(found) + problem.fresh_noise(np.zeros(60)) == pytest.approx(found, abs=1e-13)
    assert np.linalg.eigvalsh(found)[0] > 0
    late = dropout_second_moment(problem, 3000)
    assert np.trace(late) == pytest.approx(np.trace(found), rel=1e-6)


def test_simulated_moments():
    problem = example(3)
    estimate = simulate_dropout(problem, steps=60, runs=20_000, rng=1)
    error = estimate.last - problem.optimum
    exact = dropout_second_moment(problem, 60)
    products = error[:, :, None] * error[:, None, :]
    assert (np.abs(products.mean(0) - exact) < 4 * products.std(0) / np.sqrt(20_000)).all()
    size = (error**2).sum(1)
    assert abs(size.mean() - np.trace(exact)) < 4 * size.std() / np.sqrt(20_000)
    assert (np.abs(error.mean(0) + problem.optimum - dropout_mean(problem, 60)) < 4 * error.std(0) / 141).all()
    path = dropout_mean(problem, np.arange(1, 61)).mean(0)
    low, high = estimate.interval(level=0.9999)
    assert ((low < path) & (path < high)).all()
    assert estimate.mean() == pytest.approx(path, rel=0.05)


def test_average_against_last_iterate():
    problem = example(3)
    steps, runs = 4000, 3000
    estimate = simulate_dropout(problem, steps=steps, burn_in=400, runs=runs, rng=2)
    last = ((estimate.last - problem.optimum) ** 2).sum(1)
    exact = np.trace(dropout_stationary_covariance(problem))
    assert abs(last.mean() - exact) < 4 * last.std() / np.sqrt(runs)
    average = steps * ((estimate.averages() - problem.optimum) ** 2).sum(1)
    limit = np.trace(dropout_long_run_covariance(problem))
    assert average.mean() == pytest.approx(limit, rel=0.05)
    assert abs(average.mean() - limit) < 4 * average.std() / np.sqrt(runs)
    assert average.mean() / steps < last.mean() / 50  # the average loses what the last iterate keeps


def test_simplified_dropout_goes_to_least_squares():
    problem = example(3, simplified=True)
    assert dropout_stationary_covariance(problem) == pytest.approx(0.0, abs=1e-15)
    estimate = simulate_dropout(problem, steps=10_000, runs=20, start=5.0, rng=3)
    least = np.linalg.lstsq(problem.x, problem.y, rcond=None)[0]
    assert estimate.last == pytest.approx(np.tile(least, (20, 1)), abs=1e-9)
    assert np.abs(example(3).optimum - least).max() > 0.01  # dropout itself does not


def test_gradient_descent_is_dropout_that_keeps_all():
    problem = example(3, keep=1.0, share=0.9)
    estimate = simulate_dropout(problem, steps=50, runs=2, start=1.0, rng=4)
    assert estimate.last[0] == pytest.approx(dropout_mean(problem, 50, 1.0), abs=1e-12)
    assert dropout_stationary_covariance(problem) == pytest.approx(0.0, abs=1e-14)
    late = simulate_dropout(problem, steps=4, burn_in=5, batches=2, runs=1, start=1.0, rng=4)
    path = dropout_mean(problem, [[6, 7], [8, 9]], 1.0)
    assert late.batch_means[0] == pytest.approx(path.mean(1), abs=1e-12)


def test_intervals_from_the_batches_of_one_run_cover():
    problem = example(3)
    runs, batches = 1000, 100
    estimate = simulate_dropout(problem, steps=20_000, batches=batches, runs=runs, burn_in=200, rng=5)
    error = np.abs(estimate.averages() - problem.optimum)
    half = stdtrit(batches - 1, 0.975) * estimate.batch_means.std(axis=1, ddof=1) / np.sqrt(batches)
    covered = (error < half).mean(axis=0)
    assert (covered > 0.92).all()
    assert (covered < 0.98).all()


def test_runs_do_not_depend_on_workers():
    problem = example(4)
    given_ = dict(steps=60, batches=3, burn_in=7, rng=6)
    one = simulate_dropout(problem, runs=30, workers=1, **given_)
    two = simulate_dropout(problem, runs=30, workers=2, **given_)
    few = simulate_dropout(problem, runs=4, workers=1, **given_)
    assert np.array_equal(one.batch_means, two.batch_means)
    assert np.array_equal(one.last[:4], few.last)
    whole = simulate_dropout(problem, runs=30, steps=60, burn_in=7, rng=6)
    assert whole.averages() == pytest.approx(one.averages(), abs=1e-13)
    assert np.array_equal(one.median(), np.median(one.averages(), axis=0))
    assert np.array_equal(one.quantile(0.2), np.quantile(one.averages(), 0.2, axis=0))


def test_small_chances_can_be_unstable_within_the_assumption():
    problem = Dropout([[1.0]], [1.0], keep=0.1, step_size=9.5)
    with pytest.raises(UserError, match="grows without bound"):
        dropout_stationary_covariance(problem)
    problem = example(4, keep=0.05, share=0.95)
    assert np.abs(np.linalg.eigvals(second_moment_operator(problem))).max() > 1
    with pytest.raises(UserError, match="grows without bound"):
        dropout_long_run_covariance(problem)


X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
Y = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: Dropout(X, Y, keep=0.0, step_size=0.1),
        lambda: Dropout(X, Y, keep=1.5, step_size=0.1),
        lambda: Dropout(X, Y, keep="half", step_size=0.1),
        lambda: Dropout(X, Y, keep=0.5, step_size=0.0),
        lambda: Dropout(X, Y, keep=0.5, step_size=1.0),
        lambda: Dropout(X, Y[:2], keep=0.5, step_size=0.1),
        lambda: Dropout(X[0], Y, keep=0.5, step_size=0.1),
        lambda: Dropout(X * [1.0, 0.0], Y, keep=0.5, step_size=0.1),
        lambda: Dropout(X * [1.0, np.nan], Y, keep=0.5, step_size=0.1),
        lambda: Dropout(X[:1] + 1, Y[:1], keep=1.0, step_size=0.1),
        lambda: Dropout(X[:1] + 1, Y[:1], keep=0.5, step_size=0.1, simplified=True),
        lambda: dropout_mean(Dropout(X, Y, 0.5, 0.1), -1),
        lambda: dropout_mean(Dropout(X, Y, 0.5, 0.1), 3, start=[1.0, 2.0, 3.0]),
        lambda: dropout_second_moment(Dropout(X, Y, 0.5, 0.1), [0.5]),
        lambda: simulate_dropout(3, steps=1),
        lambda: dropout_mean(3, 1),
        lambda: dropout_second_moment(3, 1),
        lambda: dropout_stationary_covariance(3),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=1, rng="x"),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=1, progress=3),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=0, runs=1),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=10, runs=0),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=10, runs=1, batches=3),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=10, runs=1, burn_in=-1),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=10, runs=1).interval(),
        lambda: simulate_dropout(Dropout(X, Y, 0.5, 0.1), steps=10, runs=2).interval(level=95),
    ],
)
def test_bad_input(call):
    with pytest.raises(UserError):
        call()
