"""Oracles: laws of known exponent, the exact recursion of forward gradient descent, coverage over many data sets."""

from dataclasses import replace
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.convergence.inference.fits import fit_powers, fit_rate, local_slopes
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.errors import UserError


@numba.njit
def recursion(contraction, noise, factor, offset, steps):
    """r_k = r (1 - 2 α + C α²) + N α², α = factor / (k + offset), r_0 = 1."""
    found = np.ones(steps + 1)
    for k in range(1, steps + 1):
        a = factor / (k + offset)
        found[k] = found[k - 1] * (1 - 2 * a + contraction * a * a) + noise * a * a
    return found


@numba.njit
def forward_gradient_runs(dimension, factor, offset, runs, steps, draws):
    """|δ_k|² of forward gradient descent at the steps given: a Markov chain of one number, by rotation."""
    found = np.empty((runs, len(steps)))
    for i in range(runs):
        r, at = 1.0, 0
        for k in range(1, steps[-1] + 1):
            x, direction = draws.standard_normal(), draws.standard_normal()
            rest = 2 * draws.standard_gamma((dimension - 1) / 2)  # |ξ|² across δ
            inner = x * direction + draws.standard_normal() * np.sqrt(rest)
            residual = draws.standard_normal() - x * np.sqrt(r)
            t = factor / (k + offset) * residual * inner
            r += 2 * t * np.sqrt(r) * direction + t * t * (direction**2 + rest)
            if k == steps[at]:
                found[i, at] = r
                at += 1
    return found


def paths(draws, runs, exponent, steps, spread=0.5, forget=0.5):
    """k^(-exponent) times a log-normal factor of mean 1 that forgets its past over 1 / forget in log k."""
    kept = np.exp(-forget * np.diff(np.log(steps)))
    noise = draws.normal(size=(runs, len(steps)))
    for at in range(1, len(steps)):
        noise[:, at] = kept[at - 1] * noise[:, at - 1] + np.sqrt(1 - kept[at - 1] ** 2) * noise[:, at]
    return steps**-exponent * np.exp(spread * noise - spread**2 / 2)


STEPS = np.unique(np.rint(np.geomspace(100, 10_000, 41)))


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 3.0), st.floats(1e-6, 1e6), st.floats(0.0, 1.0))
def test_laws_are_found_exactly(exponent, constant, share):
    k = np.arange(1, 3001)
    power = fit_rate(k, constant * k**-exponent)
    assert (power.exponent, power.constant) == pytest.approx((exponent, constant), rel=1e-9)
    assert power.slope == -power.exponent
    log = fit_rate(k, constant * k**-exponent * np.log(np.maximum(k, 2)), model="log", window=(10, 3000))
    assert (log.exponent, log.constant, log.log_power) == pytest.approx((exponent, constant, 1), rel=1e-9)
    floor = share * constant * 3000.0**-exponent
    floored = fit_rate(k, constant * k**-exponent + floor, model="floor", window=(10, 3000))
    assert floored.exponent == pytest.approx(exponent, rel=1e-5)
    assert floored.constant == pytest.approx(constant, rel=1e-5)
    assert floored.floor == pytest.approx(floor, rel=1e-4, abs=1e-6 * constant * 3000.0**-exponent)
    assert floored.predict(k[10:]) == pytest.approx(constant * k[10:] ** -exponent + floor, rel=1e-6)


def test_an_exact_curve_has_a_point_as_interval():
    k = np.arange(0, 2001)
    curve = 1 / (k + 1.0)
    fit = fit_rate(curve)
    assert fit.runs == 0
    assert fit.interval() == (fit.exponent, fit.exponent)
    assert fit.interval(parameter="constant") == (fit.constant, fit.constant)
    assert fit_rate((k, curve)).exponent == fit.exponent == fit_rate(SimpleNamespace(steps=k, values=curve)).exponent
    assert fit.compare(curve).compatible
    assert not fit.compare(1.0).compatible
    assert fit.compare(1.0, tolerance=0.01).compatible
    estimate = SimpleNamespace(steps=k, values=np.ones((3, len(k))), exact=curve)
    assert fit.compare(estimate).theory == pytest.approx(fit.exponent, rel=1e-12)


@pytest.mark.parametrize(
    ("dimension", "slope"),
    [(10, -1.004), (20, -1.010), (50, -1.034), (100, -1.054)],
)
def test_slopes_of_forward_gradient_descent(dimension, slope):
    d = dimension
    curve = recursion((d + 2) ** 2, d * (d + 2), 1.0, (d + 2) ** 2, 10**6)
    found = local_slopes(curve)
    assert found.steps[-2:].tolist() == [1e5, 1e6]
    assert found.slopes[-1] == pytest.approx(slope, abs=1e-3)
    assert fit_rate(curve).slope == pytest.approx(slope, abs=3e-3)
    sgd = recursion(d + 2, d, 1.0, d + 2, 10**6)
    assert curve[-1] / sgd[-1] == pytest.approx({10: 12.015, 20: 22.08, 50: 52.86, 100: 106.96}[d], rel=1e-3)


@pytest.mark.parametrize(
    ("factor", "early", "late"),
    [
        (0.25, -0.495, -0.499),
        (0.4, -0.763, -0.780),
        (0.5, -0.901, -0.922),
        (0.75, -1.033, -1.014),
        (1.0, -1.025, -1.004),
        (2.0, -1.000, -1.000),
    ],
)
def test_slopes_on_both_sides_of_the_critical_step_size(factor, early, late):
    curve = recursion(144, 120, factor, 144 * factor, 10**6)
    assert local_slopes(curve).slopes[-2:] == pytest.approx([early, late], abs=1e-3)
    assert fit_rate(curve, window=(1e4, 1e5)).slope == pytest.approx(early, abs=0.002)
    assert fit_rate(curve).slope == pytest.approx(late, abs=0.002)


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_slopes_of_simulated_runs(factor):
    steps = np.unique(np.rint(np.geomspace(100, 3000, 25))).astype(np.int64)
    runs = forward_gradient_runs(10, factor, 144 * factor, 2000, steps, np.random.default_rng(1))
    curve = recursion(144, 120, factor, 144 * factor, 3000)
    fit = fit_rate(steps, runs, resamples=1000)
    exact = fit_rate(curve, window=fit.window)
    assert fit.runs == 2000
    assert fit.window == (steps[steps >= 300][0], 3000)
    assert fit.slope == pytest.approx(exact.slope, abs=0.05)
    assert abs(fit.exponent - exact.exponent) < 4 * fit.standard_error
    against = fit.compare(curve, level=0.999)
    assert against.compatible
    assert against.theory == pytest.approx(exact.exponent, abs=1e-3)
    assert not fit.compare(1.2).compatible
    found = local_slopes(steps, runs)
    low, high = found.interval(0.999)
    ends = found.steps.astype(int)
    slopes = np.diff(np.log(curve[ends])) / np.diff(np.log(ends))
    assert ((low < slopes) & (slopes < high)).all()


@pytest.mark.parametrize(("runs", "statistic"), [(4, "mean"), (12, "mean"), (60, "mean"), (40, "median")])
def test_intervals_cover(runs, statistic):
    """Nominal 95 % over 400 data sets; intervals that take the points for independent cover far less."""
    draws = np.random.default_rng(runs)
    inside = naive = 0
    for number in range(400):
        values = paths(draws, runs, 0.8, STEPS)
        fit = fit_rate(STEPS, values, statistic=statistic, resamples=300, rng=number)
        low, high = fit.interval()
        assert low < fit.exponent < high
        inside += low <= 0.8 <= high
        line = stats.linregress(np.log(fit.steps), np.log(fit.values))
        naive += abs(line.slope + 0.8) < stats.t.ppf(0.975, len(fit.steps) - 2) * line.stderr
    assert 0.95 - 4 * 0.011 < inside / 400 < 0.995
    assert naive / 400 < 0.7


def test_intervals_of_slopes_cover():
    draws = np.random.default_rng(3)
    inside = np.zeros(2)
    for number in range(300):
        low, high = local_slopes(STEPS, paths(draws, 25, 0.8, STEPS), resamples=300, rng=number).interval()
        inside += (low <= -0.8) & (high >= -0.8)
    assert (np.abs(inside / 300 - 0.95) < 4 * 0.0126).all()
    found = local_slopes(STEPS, paths(draws, 25, 0.8, STEPS), statistic="median", resamples=300)
    low, high = found.interval()
    assert (low < found.slopes).all()
    assert (found.slopes < high).all()


def test_a_floor_is_found_with_its_interval():
    draws = np.random.default_rng(4)
    exponents = floors = 0
    for number in range(60):
        values = paths(draws, 100, 1.0, STEPS, forget=5.0) * (1 + 5e-4 * STEPS)  # mean 1/k + 5e-4
        fit = fit_rate(STEPS, values, model="floor", window=(100, 10_000), resamples=200, rng=number)
        low, high = fit.interval()
        exponents += low <= 1.0 <= high
        low, high = fit.interval(parameter="floor")
        floors += low <= 5e-4 <= high
    assert exponents >= 50  # 57 expected, 4 standard deviations
    assert floors >= 50


def test_no_floor_where_there_is_none():
    k = np.arange(1, 1001)
    fit = fit_rate(k, 1 / k**0.5, model="floor")
    assert fit.floor == pytest.approx(0.0, abs=1e-6)
    falls_faster = fit_rate(k, np.exp(-k / 500), model="floor")  # curved downwards: a floor would be negative
    assert falls_faster.floor == 0.0
    assert falls_faster.exponent == pytest.approx(fit_rate(k, np.exp(-k / 500)).exponent)


def test_the_default_window_is_past_the_transient():
    k = np.arange(0, 10_001)
    assert fit_rate(1 / (k + 1.0)).window == (1000, 10_000)
    late = 1 / (1 + (k / 2000) ** 2)  # half of the risk is left at 2000
    assert fit_rate(late).window == (2000, 10_000)
    assert fit_rate(1 / (1 + (k / 9000) ** 2)).window[0] == pytest.approx(10_000 / 10**0.5, rel=1e-3)
    assert fit_rate(k[1:], late[1:]).window == (1000, 10_000)  # without the start nothing tells


def test_units_and_streams():
    values = paths(np.random.default_rng(0), 30, 1.0, STEPS)
    fit = fit_rate(STEPS, values, rng=5)
    again = fit_rate(STEPS, values, rng=5)
    other = fit_rate(7 * STEPS, 3 * values, rng=5)
    assert fit.interval() == again.interval()
    assert fit.interval() != fit_rate(STEPS, values, rng=6).interval()
    assert other.exponent == pytest.approx(fit.exponent, rel=1e-10)
    assert other.interval() == pytest.approx(fit.interval(), rel=1e-9)
    assert other.constant == pytest.approx(3 * fit.constant * 7**fit.exponent, rel=1e-9)
    assert fit.interval(0.5)[0] > fit.interval(0.95)[0]


def test_medians_bear_runs_that_diverge():
    values = paths(np.random.default_rng(0), 41, 1.0, STEPS)
    values[:3, -1] = [np.inf, np.nan, np.inf]
    with pytest.raises(UserError, match="diverged"):
        fit_rate(STEPS, values)
    assert fit_rate(STEPS, values, statistic="median").exponent == pytest.approx(1.0, abs=0.2)
    values[:19, -1] = np.inf
    low, high = fit_rate(STEPS, values, statistic="median").interval()
    assert high < low + 1000  # resamples in which most have diverged are finite numbers
    assert low < -10


def test_exponents_in_the_dimension():
    d = np.array([5, 10, 20, 50])
    risks = [recursion((n + 2) ** 2, n * (n + 2), 1.0, (n + 2) ** 2, 100 * n * n)[-1] for n in d]
    assert fit_powers(d, risks).slope == pytest.approx(0.0, abs=0.15)  # at fixed k / d² the risk hardly moves
    assert fit_powers(d[::-1], d[::-1] ** 2.0 * 3).slope == pytest.approx(2.0)
    whole = SimpleNamespace(values=np.ones((4, 3)) * [[9.0, 9.0, 2.0]])
    twice = SimpleNamespace(values=np.ones((4, 3)) * [[9.0, 9.0, 4.0]])
    assert fit_powers([1, 2, 4], [whole, twice, np.full(3, 8.0)]).slope == pytest.approx(1.0)


@pytest.mark.parametrize("replicates", [(3, 3, 3, 3, 3), (5, 5, 5, 5, 5), (30, 20, 10, 8, 6)])
def test_intervals_over_sizes_cover(replicates):
    draws = np.random.default_rng(sum(replicates))
    n = 100 * 2.0 ** np.arange(5)
    inside = 0
    for number in range(400):
        risks = [draws.chisquare(5, size=count) / size**0.7 for count, size in zip(replicates, n, strict=True)]
        low, high = fit_powers(n, risks, resamples=300, rng=number).interval()
        inside += low <= 0.7 <= high
    assert 0.95 - 4 * 0.011 < inside / 400 < 0.995


def test_compatible_is_not_equivalent():
    """Few runs do not speak against a wrong theory; they do not show a right one either."""
    draws = np.random.default_rng(3)
    few = fit_rate(STEPS, paths(draws, 8, 1.0, STEPS, spread=2.0), window=(100, 10_000))
    many = fit_rate(STEPS, paths(draws, 4000, 1.0, STEPS, spread=0.2), window=(100, 10_000))
    for theory in (1.0, 1.1):
        unsure = few.compare(theory, tolerance=0.05)
        assert unsure.compatible
        assert not unsure.equivalent
    sure = many.compare(1.0, tolerance=0.05)
    assert sure.compatible
    assert sure.equivalent
    off = many.compare(1.1, tolerance=0.05)
    assert not off.compatible
    assert not off.equivalent
    between = many.compare(1.02, tolerance=0.05)  # wrong by less than the tolerance
    assert between.equivalent
    assert not many.compare(1.02).compatible
    assert not many.compare(1.02).within(0.01)
    with pytest.raises(UserError, match="tolerance"):
        sure.within(-1.0)
    with pytest.raises(UserError, match="tolerance"):
        many.compare(1.0, tolerance="wide")


def test_equivalence_is_rarely_said_of_a_theory_that_is_off_by_the_tolerance():
    """Two one-sided tests at 2.5 %: at the edge of the tolerance they may pass in so many of 200 data sets."""
    draws = np.random.default_rng(5)
    passed = sum(
        fit_rate(STEPS, paths(draws, 100, 1.0, STEPS), window=(100, 10_000), resamples=300, rng=i)
        .compare(1.1, tolerance=0.1)
        .equivalent
        for i in range(200)
    )
    assert passed <= 0.025 * 200 + 4 * np.sqrt(0.025 * 200)


def test_an_estimate_as_a_theory():
    """Its exact risk is the curve; where that is not known the runs are none, and it says so."""
    given = {"dimension": 4, "steps": 400, "step_size": lambda k: 1 / (k + 36), "runs": 200, "rng": 0}
    found = simulate_risk("forward-gradient", **given)
    fit = fit_rate(found)
    assert fit.compare(found).theory == pytest.approx(fit_rate(found.steps, found.exact, window=fit.window).exponent)
    dear = replace(found, exact=None)
    with pytest.raises(UserError, match="exact risk of this estimate is not known"):
        fit.compare(dear)
    started = replace(found, exact=np.r_[np.inf, found.exact[1:]])  # what lies before the window does not matter
    assert fit.compare(started).theory == fit.compare(found).theory
    with pytest.raises(UserError, match="no logarithm"):
        fit.compare(replace(found, exact=np.zeros_like(found.exact)))


def test_a_theory_is_not_stretched_to_steps_below_its_first():
    k = np.arange(1, 1001)
    fit = fit_rate(k, 1.0 / k, window=(10, 1000))
    late = np.r_[0, np.arange(200, 1001)]
    with pytest.raises(UserError, match="over the window"):
        fit.compare((late, np.r_[1.0, 1.0 / late[1:]]))


def test_wrong_input():
    k = np.arange(1, 101)
    with pytest.raises(UserError, match="do not match"):
        fit_rate(k, np.ones((3, 99)))
    with pytest.raises(UserError, match="no numbers"):
        fit_rate("risks")
    with pytest.raises(UserError, match="no numbers"):
        fit_rate(k, 1.0 / k).compare("theory")
    with pytest.raises(UserError, match="one run"):
        fit_rate(k, np.ones((1, 100)))
    with pytest.raises(UserError, match="no logarithm"):
        fit_rate(k, np.zeros(100))
    with pytest.raises(UserError, match="no logarithm"):
        fit_rate(k, np.ones((4, 100)) * -1)
    with pytest.raises(UserError, match="rise"):
        fit_rate(k[::-1], 1.0 / k)
    with pytest.raises(UserError, match="model"):
        fit_rate(k, 1.0 / k, model="cubic")
    with pytest.raises(UserError, match="statistic"):
        fit_rate(k, 1.0 / k, statistic="mode")
    with pytest.raises(UserError, match="too few"):
        fit_rate(k, 1.0 / k, window=(200, 300))
    with pytest.raises(UserError, match="too few"):
        fit_rate([10, 20, 100], [3.0, 2.0, 1.0], model="floor", window=(1, 100))
    with pytest.raises(UserError, match="window"):
        fit_rate(k, 1.0 / k, window=(50, 20))
    for window in (3, "a", ("a", "b"), (1, 2, 3)):
        with pytest.raises(UserError, match="window"):
            fit_rate(k, 1.0 / k, window=window)
    with pytest.raises(UserError, match="log k"):
        fit_rate(k, 1.0 / k, model="log", window=(1, 100))
    with pytest.raises(UserError, match="resamples"):
        fit_rate(k, 1.0 / k * np.ones((5, 1)), resamples=0)
    with pytest.raises(UserError, match="level"):
        fit_rate(k, 1.0 / k).interval(95)
    with pytest.raises(UserError, match="no parameter 'slope'"):
        fit_rate(k, 1.0 / k).interval(parameter="slope")
    with pytest.raises(UserError, match="above 0"):
        fit_rate(k, 1.0 / k).predict(0)
    with pytest.raises(UserError, match="no numbers"):
        fit_rate(k, 1.0 / k).predict("late")
    with pytest.raises(UserError, match="per_decade"):
        local_slopes(k, 1.0 / k, per_decade="a")
    with pytest.raises(UserError, match="over the window"):
        fit_rate(k, 1.0 / k).compare(1.0 / np.arange(1, 11))
    with pytest.raises(UserError, match="spread"):
        fit_powers([1, 2, 3], [[1.0, 2.0], [1.0, 3.0], [1.0]])
    with pytest.raises(UserError, match="do not match"):
        fit_powers([1, 2, 2], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="per_decade"):
        local_slopes(k, 1.0 / k, per_decade=0)
    with pytest.raises(UserError, match="no cell"):
        local_slopes(k, 1.0 / k, window=(50, 100))
