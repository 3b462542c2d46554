"""Stability limits and stationary risks: closed forms, Kronecker matrices, iteration, the gap of mean and median."""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.convergence.exact._dynamics import Dynamics
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.exact.stability import (
    best_step_sizes,
    default_schedule,
    gradient_scale,
    spectral_radius,
    stability_limit,
    stationary_risk,
    warn_unstable,
)
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError


def kronecker(problem, update, alpha):
    """The map of A among the coordinates that move, as a matrix built column by column from the visible step."""
    silent = LinearRegression(
        problem.dimension, covariance=problem.covariance, design=problem.design, noise=0.0, start=0.0
    )
    dynamics, s, d = Dynamics(silent, update), update.mask or problem.dimension, problem.dimension
    columns = []
    for i in range(s):
        for j in range(s):
            unit = np.zeros((d, d))
            unit[i, j] = unit[j, i] = 0.5
            unit[i, i] = 1.0 if i == j else unit[i, i]
            columns.append(dynamics.step(unit, alpha)[:s, :s].reshape(-1))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("d", [1, 2, 10, 100])
def test_closed_forms(d):
    for rule, options, c in (
        ("sgd", {}, d + 2),
        ("forward-gradient", {}, (d + 2) ** 2),
        ("two-query", {}, (d + 2) ** 2),
        ("forward-gradient", {"law": "rademacher"}, (d + 2) * d),
        ("forward-gradient", {"law": "sphere"}, (d + 2) * d),
        ("forward-gradient", {"law": "uniform"}, (d + 2) * (d - 1 + 1.8)),
        ("forward-gradient", {"directions": 7}, (d + 2) * (d + 8) / 7),
        ("node-perturbation", {"outputs": 3}, 5 * (d + 2)),
        ("weight-perturbation", {"outputs": 3}, (3 * d + 2) * (d + 2)),
        ("forward-gradient", {"mask": 1}, 9),
        ("sgd", {"design": "student"}, d - 1 + 9),
    ):
        options = {"dimension": d, **options}
        limit = stability_limit(rule, **options)
        assert limit == pytest.approx(2 / c, rel=1e-12)
        assert spectral_radius(rule, step_size=limit, **options) == pytest.approx(1.0, abs=1e-12)
        assert spectral_radius(rule, step_size=1 / c, **options) == pytest.approx(1 - 1 / c, rel=1e-12)
        assert spectral_radius(rule, step_size=limit * (1 + 1e-8), **options) > 1
        assert spectral_radius(rule, step_size=limit * (1 - 1e-8), **options) < 1


def test_low_rank_has_the_limit_of_few_dimensions():
    assert stability_limit("forward-gradient", dimension=20, rank=3) == pytest.approx(2 / 25, rel=1e-12)
    assert stability_limit("forward-gradient", dimension=20, rank=3, law="sphere") > 2 / 25


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_limits_are_those_of_the_kronecker_matrix(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    d = data.draw(st.integers(2, 4))
    root = rng.normal(size=(d, d + 2))
    problem = LinearRegression(
        d,
        covariance=root @ root.T / d + 0.1 * np.eye(d),
        design=data.draw(st.sampled_from(["normal", "rademacher", "student"])),
    )
    rule = data.draw(st.sampled_from(["sgd", "forward-gradient"]))
    update = Update(
        rule,
        law="normal" if rule == "sgd" else data.draw(st.sampled_from(["normal", "rademacher", "coordinates"])),
        mask=data.draw(st.sampled_from([None, 1, d - 1])),
    )
    limit = stability_limit(update, problem)
    for alpha in (limit, 0.5 * limit):
        expected = np.abs(np.linalg.eigvals(kronecker(problem, update, alpha))).max()
        assert spectral_radius(update, problem, step_size=alpha) == pytest.approx(expected, rel=1e-9)
        assert expected == pytest.approx(1.0, abs=1e-9) or alpha < limit


def test_large_problems_reach_the_same_limit_by_iteration():
    rng = np.random.default_rng(2)
    values = rng.uniform(0.1, 2.0, 250)
    limit = stability_limit("sgd", dimension=250, covariance=values)
    assert np.sum(limit * values / (2 - 2 * limit * values)) == pytest.approx(1.0, rel=1e-9)  # its own closed equation
    basis = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    turned = basis @ np.diag(values[:30]) @ basis.T
    straight = stability_limit("sgd", dimension=30, covariance=values[:30])
    assert stability_limit("sgd", dimension=30, covariance=turned) == pytest.approx(straight, rel=1e-9)
    masked, whole = Update("sgd", mask=30), np.pad(turned, (0, 1))  # goes through the matrix, unlike the whole
    whole[30, 30] = 1.0
    problem = LinearRegression(31, covariance=whole)
    assert Dynamics(problem, masked).groups() is None
    assert stability_limit(masked, problem) == pytest.approx(straight, rel=1e-9)


@pytest.mark.parametrize("repeats", [2, 5, 20])
@pytest.mark.parametrize("design", ["sphere", "normal", "rademacher"])
def test_limits_of_repeats(repeats, design):
    given = dict(dimension=10, design=design, repeats=repeats)
    limit = stability_limit("forward-gradient", **given)
    once = stability_limit("forward-gradient", dimension=10, design=design)
    if design == "normal":
        assert limit > once
    else:  # for inputs of one length α = 2/(d (d + 2)) is the limit for every number of repeats
        assert limit == pytest.approx(once, rel=1e-9)
    for alpha, up in ((0.999 * limit, False), (1.001 * limit, True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            risk = exact_risk("forward-gradient", steps=50, step_size=alpha, noise=0.0, **given)
        assert (risk[-1] > risk[-2]) is np.bool_(up)
    for alpha in np.linspace(0.01, 0.99, 40) * limit:
        assert spectral_radius("forward-gradient", step_size=alpha, **given) < 1


@pytest.mark.parametrize("d", [1, 1000, 300_000, 10_000_000])
@pytest.mark.parametrize("repeats", [2, 7])
def test_limits_of_repeats_in_many_dimensions(d, repeats):
    limit = stability_limit("forward-gradient", dimension=d, repeats=repeats, design="sphere")
    assert limit == pytest.approx(2 / (d * (d + 2)), rel=1e-12)


def test_limits_of_repeats_of_noise_on_outputs_and_rare_inputs():
    for m in (1, 3):  # inputs of length √d: a forward gradient in m dimensions, each step α d
        limit = stability_limit("node-perturbation", dimension=50, outputs=m, repeats=4, design="rademacher")
        assert limit == pytest.approx(2 / (50 * (m + 2)), rel=1e-12)
    rare = dict(dimension=2, design="sparse", filled=1e-4, repeats=2)
    limit = stability_limit("forward-gradient", **rare)
    assert spectral_radius("forward-gradient", step_size=limit, **rare) == pytest.approx(1, abs=1e-9)
    assert spectral_radius("forward-gradient", step_size=0.99 * limit, **rare) < 1


def test_many_repeats():
    """Inputs of one length keep their limit; normal ones lose it, by moments of χ² in whole numbers."""
    assert stability_limit("forward-gradient", dimension=10, design="sphere", repeats=400) == pytest.approx(1 / 60)
    with pytest.raises(UserError, match="rarer than numbers"):
        stability_limit("forward-gradient", dimension=10, repeats=400)
    d, repeats = 3, 40
    limit = stability_limit("forward-gradient", dimension=d, repeats=repeats)
    assert limit < 0.6 * stability_limit("forward-gradient", dimension=d)
    for alpha in (Fraction(limit), Fraction(limit) / 2):
        moments = [Fraction(1)]
        for j in range(2 * repeats):
            moments.append(moments[-1] * (d + 2 * j))
        shrunk, grown, series = [Fraction(1)], [Fraction(1)], [Fraction(0)]  # m₁^l, m₂^l, their sum: polynomials in q
        for _ in range(repeats):
            series = added(series, grown)
            shrunk, grown = times(shrunk, [1, -alpha]), times(grown, [1, -2 * alpha, 3 * alpha**2])
        along = added(added([Fraction(1)], [-2 * c for c in shrunk]), grown)  # q times what lies along X
        across = times([0, 0, alpha**2 * (d - 1)], series)
        gain = sum(c * m for c, m in zip(added(along, across), moments, strict=False))
        shrink = sum(c * m for c, m in zip(shrunk, moments, strict=False))
        factor = 1 - 2 * (1 - shrink) / d + gain / d
        found = spectral_radius("forward-gradient", step_size=float(alpha), dimension=d, repeats=repeats)
        assert found == pytest.approx(float(factor), rel=1e-9)
    assert spectral_radius("forward-gradient", step_size=limit, dimension=d, repeats=repeats) == pytest.approx(
        1.0, abs=1e-9
    )


def added(a, b):
    return [x + y for x, y in itertools.zip_longest(a, b, fillvalue=0)]


def times(a, b):
    found = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            found[i + j] += x * y
    return found


def test_stationary_risks_of_the_forward_gradient():
    for factor, expected in ((0.2, 0.0926), (1.0, 0.8333), (1.5, 2.5)):
        found = stationary_risk("forward-gradient", step_size=factor / 144, dimension=10)
        assert found == pytest.approx(expected, abs=5e-5)
        assert found == pytest.approx(factor / 144 * 120 / (2 - factor), rel=1e-12)
    assert stationary_risk("forward-gradient", step_size=2 / 144, dimension=10) == np.inf


FULL = [[2.0, 0.6, 0.1], [0.6, 0.5, 0.0], [0.1, 0.0, 1.0]]


@pytest.mark.parametrize("of", ["parameters", "prediction"])
@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("sgd", {}),
        ("forward-gradient", {"covariance": [2.0, 1.0, 0.5], "law": "coordinates"}),
        ("forward-gradient", {"covariance": FULL}),
        ("forward-gradient", {"covariance": FULL, "law": "rademacher"}),
        ("forward-gradient", {"covariance": FULL, "design": "sparse", "filled": 0.5}),
        ("sgd", {"covariance": FULL, "mask": 2}),
        ("forward-gradient", {"covariance": FULL, "mask": 2, "law": "uniform"}),
        ("forward-gradient", {"mask": 2, "rank": 2}),
        ("forward-gradient", {"mask": 1, "repeats": 3, "design": "sphere"}),
        ("sgd", {"rank": 2}),
        ("node-perturbation", {"rank": 2, "outputs": 2, "repeats": 2}),
        ("forward-gradient", {"rank": 2, "noise": 0.0}),
        ("forward-gradient", {"rank": 2, "noise": 0.0, "repeats": 2}),
        ("weight-perturbation", {"covariance": FULL, "outputs": 2}),
    ],
)
def test_stationary_risk_is_where_the_recursion_ends(rule, given, of):
    outputs = given.get("outputs", 1)
    given = {"dimension": 3, "start": np.linspace(0.5, -0.4, 3 * outputs).reshape(3, outputs)[:, :outputs], **given}
    if outputs == 1:
        given["start"] = given["start"][:, 0]
    alpha = 0.4 * stability_limit(rule, **given)
    last = exact_risk(rule, steps=4000, step_size=alpha, of=of, **given)[-1]
    assert stationary_risk(rule, step_size=alpha, of=of, **given) == pytest.approx(last, rel=1e-8, abs=1e-14)


def test_what_moves_without_inputs_never_settles():
    for repeats in (1, 2):
        given = dict(dimension=5, rank=2, repeats=repeats)
        assert stationary_risk("forward-gradient", step_size=0.001, **given) == np.inf
        assert stationary_risk("forward-gradient", step_size=0.001, of="prediction", **given) < 1


def test_close_to_the_limit_few_runs_carry_the_mean():
    rng, runs, steps, alpha = np.random.default_rng(0), 2000, 1000, 1.9 / 144
    given = dict(dimension=10, noise=0.0, steps=steps, step_size=alpha)
    mean = exact_risk("forward-gradient", **given)[-1]
    assert mean == pytest.approx(0.267, abs=5e-4)
    # In a noise-free run δ is multiplied by I − α ξξ′XX′, so that only ‖δ‖² and two normal vectors matter.
    delta = np.full((runs, 10), np.sqrt(0.1))
    for _ in range(steps):
        x, xi = rng.standard_normal((2, runs, 10))
        delta -= alpha * ((x * delta).sum(axis=1) * (x * xi).sum(axis=1))[:, None] * xi
    assert np.median((delta**2).sum(axis=1)) < 0.1 * mean


def test_default_schedules():
    for rule, d, c in (("sgd", 7, 9), ("forward-gradient", 10, 144)):
        alpha = default_schedule(rule, dimension=d)
        assert alpha(5) == pytest.approx(1 / (5 + c), rel=1e-12)
    problem = LinearRegression(3, covariance=FULL)
    least = np.linalg.eigvalsh(FULL)[0]
    for update in (Update("sgd"), Update("forward-gradient", law="rademacher")):
        alpha = default_schedule(update, problem)
        assert alpha(0) == pytest.approx(stability_limit(update, problem) / 2, rel=1e-9)
        assert 1e9 * alpha(1e9) == pytest.approx(1 / least, rel=1e-3)
    repeated = default_schedule("forward-gradient", dimension=10, design="sphere", repeats=5)
    assert 1e9 * repeated(1e9) == pytest.approx(0.2, rel=1e-3)
    once = default_schedule("one-query", dimension=5)
    assert 1 / once(1) == pytest.approx(151)
    shifted = Update("hebbian", radius=0.5)
    assert 1 / default_schedule(shifted, dimension=5)(1) == pytest.approx(151 * gradient_scale(shifted))


def test_scale_of_shifted_spikes_has_no_seam():
    for width in (1e-4, 0.00999999, 0.01000001, 0.1):
        terms = [2 * width ** (2 * n) * (2 * n) / np.prod(np.arange(1.0, 2 * n + 2)) for n in range(1, 8)]
        assert gradient_scale(Update("hebbian", radius=width)) == pytest.approx(sum(terms), rel=1e-10)


def test_greedy_steps_beat_schedules_and_neighbours():
    problem, update = LinearRegression(10), Update("forward-gradient")
    alphas, risk = best_step_sizes(update, problem, steps=300)
    for k in range(300):
        assert alphas[k] == pytest.approx(risk[k] / (144 * risk[k] + 120), rel=1e-12)
        assert risk[k + 1] == pytest.approx(risk[k] - risk[k] ** 2 / (144 * risk[k] + 120), rel=1e-12)
    assert np.all(risk[1:] < exact_risk(update, problem, steps=300, step_size=default_schedule(update, problem))[1:])
    np.testing.assert_allclose(risk, exact_risk(update, problem, steps=300, step_size=alphas), rtol=1e-12)
    for covariance, law in ((FULL, "normal"), (FULL, "rademacher"), ([2.0, 1.0, 0.2], "coordinates")):
        problem, update = LinearRegression(3, covariance=covariance), Update("forward-gradient", law=law)
        for of in ("parameters", "prediction"):
            alphas, risk = best_step_sizes(update, problem, steps=20, of=of)
            given = dict(steps=20, of=of)
            np.testing.assert_allclose(risk, exact_risk(update, problem, step_size=alphas, **given), rtol=1e-10)
            for factor in (0.98, 1.02):
                other = np.append(alphas[:-1], factor * alphas[-1])
                assert exact_risk(update, problem, step_size=other, **given)[-1] > risk[-1]


def test_bad_input_is_named_and_long_steps_are_warned_of():
    for rule in ("one-query", "hebbian"):
        with pytest.raises(UserError, match="no closed recursion"):
            stability_limit(rule, dimension=3)
    with pytest.raises(UserError, match="greedy"):
        best_step_sizes("forward-gradient", dimension=3, repeats=2, steps=5)
    with pytest.raises(UserError, match="no steps"):
        best_step_sizes("sgd", dimension=3, steps=0)
    with pytest.raises(UserError, match="schedule gives no step size"):
        spectral_radius("sgd", step_size=np.nan, dimension=3)
    with pytest.raises(UserError, match="leads nowhere"):
        stationary_risk("sgd", step_size=0.0, dimension=3)
    with pytest.warns(UserWarning, match=r"2 of 3 steps are beyond the stability limit 0\.4 of sgd"):
        warn_unstable(LinearRegression(3), Update("sgd"), np.array([0.5, 0.4, 0.41]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unstable(LinearRegression(3), Update("sgd"), np.array([0.4]))
        warn_unstable(LinearRegression(3), Update("one-query"), np.array([100.0]))
        exact_risk("sgd", dimension=3, steps=5, step_size=0.4)
