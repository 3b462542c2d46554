"""Repeats on the same sample: enumeration of every outcome, quadrature by SciPy, published constants."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from sparsefire.convergence.exact.repeated import sample_lengths
from sparsefire.convergence.exact.risk import exact_risk, expected_error
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError


def product(nodes, weights, size):
    cells = list(itertools.product(range(len(nodes)), repeat=size))
    return nodes[np.array(cells)], np.prod(weights[np.array(cells)], axis=1)


def normal(size, count):
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return product(nodes, weights / weights.sum(), size)


def circle(count):
    turns = (np.arange(count) + 0.3) * 2 * np.pi / count
    return np.sqrt(2) * np.stack([np.cos(turns), np.sin(turns)], axis=1), np.full(count, 1 / count)


def inputs(problem, count):
    if problem.design == "normal":
        return normal(problem.dimension, count)
    if problem.design == "sphere":
        return circle(2 * count)
    if problem.design == "rademacher":
        return product(np.array([-1.0, 1.0]), np.full(2, 0.5), problem.dimension)
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    one = np.append(0.0, nodes / np.sqrt(problem.filled))
    return product(one, np.append(1 - problem.filled, problem.filled * weights / weights.sum()), problem.dimension)


def enumerated(problem, update, alphas):
    """E‖δ‖², E (X′δ)² and E δ after each sample, over every path of inputs, noise and directions."""
    d, m, s, repeats = problem.dimension, problem.outputs, update.mask or problem.dimension, update.repeats
    size = m if update.rule == "node-perturbation" else s * m
    if update.law == "normal":
        directions, chances = normal(size, 3)  # a direction enters to the fourth power, inputs to the 4l-th
    elif update.law == "rademacher" or size == 1:
        directions, chances = product(np.array([-1.0, 1.0]), np.full(2, 0.5), size)
    else:
        directions, chances = circle(6)
    paths, weights = problem.error.reshape(1, d, m), np.ones(1)
    answers, heights = product(np.array([-1.0, 1.0]), np.full(2, 0.5), m)
    found = [(np.sum(paths**2), np.sum(problem.matrix * (paths[0] @ paths[0].T)), paths[0])]
    for alpha in alphas:
        after, masses = [], []
        for (x, w), (noise, v) in itertools.product(
            zip(*inputs(problem, 2 * repeats + 1), strict=True), zip(answers, heights, strict=True)
        ):
            x = problem.root @ x
            here, mass = paths, weights * w * v
            for _ in range(repeats):
                residual = np.einsum("d,ndm->nm", x, here) - problem.noise * noise
                gradient = x[:s, None] * residual[:, None, :]
                if update.rule == "node-perturbation":
                    moved = np.einsum("nm,jm,jr,i->njir", residual, directions, directions, x[:s])
                else:
                    slope = gradient.reshape(len(here), -1) @ directions.T
                    moved = slope[:, :, None, None] * directions.reshape(-1, s, m)
                here = np.repeat(here[:, None], len(directions), axis=1)
                here[:, :, :s] -= alpha * moved
                here = here.reshape(-1, d, m)
                mass = (mass[:, None] * chances).reshape(-1)
            after.append(here)
            masses.append(mass)
        paths, weights = np.concatenate(after), np.concatenate(masses)
        a = np.einsum("n,nim,njm->ij", weights, paths, paths)
        found.append((np.trace(a), np.sum(problem.matrix * a), np.einsum("n,nim->im", weights, paths)))
    return tuple(np.array(part) for part in zip(*found, strict=True))


def check(problem, update, alphas):
    whole, seen, mean = enumerated(problem, update, alphas)
    given = dict(steps=len(alphas), step_size=alphas)
    np.testing.assert_allclose(exact_risk(update, problem, **given), whole, rtol=1e-11)
    np.testing.assert_allclose(exact_risk(update, problem, of="prediction", **given), seen, rtol=1e-11)
    path = expected_error(update, problem, at=range(len(alphas) + 1), **given)
    np.testing.assert_allclose(path.reshape(mean.shape), mean, rtol=1e-11, atol=1e-14)


START = [0.8, -0.3]


@pytest.mark.parametrize("design", ["normal", "sphere", "rademacher", "sparse"])
@pytest.mark.parametrize("law", ["normal", "sphere"])
@pytest.mark.parametrize("mask", [None, 1])
def test_two_repeats_are_what_all_outcomes_say(design, law, mask):
    problem = LinearRegression(2, design=design, filled=0.5, noise=0.6, start=START)
    check(problem, Update("forward-gradient", law=law, repeats=2, mask=mask), [0.02])


@pytest.mark.parametrize("design", ["normal", "sphere"])
@pytest.mark.parametrize("mask", [None, 1])
def test_repeats_with_inputs_on_a_line_are_what_all_outcomes_say(design, mask):
    problem = LinearRegression(2, rank=1, design=design, noise=0.6, start=START)
    check(problem, Update("forward-gradient", repeats=3, mask=mask), [0.03])


def test_repeats_over_two_samples_are_what_all_outcomes_say():
    problem = LinearRegression(2, design="rademacher", noise=0.6, start=START)
    check(problem, Update("forward-gradient", law="sphere", repeats=2), [0.3, 0.2])


@pytest.mark.parametrize("law", ["normal", "rademacher"])
def test_repeats_of_node_perturbation_are_what_all_outcomes_say(law):
    problem = LinearRegression(2, outputs=2, design="normal", noise=0.6, start=[START, [0.1, 0.4]])
    check(problem, Update("node-perturbation", law=law, repeats=2), [0.05])


def test_repeats_of_weight_perturbation_are_what_all_outcomes_say():
    problem = LinearRegression(2, outputs=2, design="rademacher", noise=0.6, start=[START, [0.1, 0.4]])
    check(problem, Update("weight-perturbation", repeats=2), [0.05])


def test_published_constants():
    for repeats, early, late in ((1, None, 0.5267), (3, None, 0.2584), (10, 0.23113, 0.1195)):
        offset = 12 * (11 + repeats) / repeats
        given = dict(dimension=10, design="sphere", repeats=repeats)
        risk = exact_risk(
            "forward-gradient", steps=200, step_size=lambda k, r=repeats, o=offset: 1 / (r * (k + o)), **given
        )
        assert risk[200] == pytest.approx(late, abs=6e-5)
        if early is not None:
            assert risk[100] == pytest.approx(early, abs=6e-6)
    for repeats, scaled in {1: 121.16, 2: 65.36, 5: 32.09, 10: 21.04, 20: 15.52, 50: 12.21, 100: 11.11}.items():
        offset = 12 * (11 + repeats) / repeats
        risk = exact_risk(
            "forward-gradient",
            dimension=10,
            design="sphere",
            repeats=repeats,
            steps=10**5,
            step_size=lambda k, r=repeats, o=offset: 1 / (r * (k + o)),
        )
        assert (10**5 + offset) * risk[-1] == pytest.approx(scaled, rel=1e-3)
        assert (10**5 + offset) * risk[-1] == pytest.approx(10 * (11 + repeats) / repeats, rel=0.012)


def test_one_repeat_is_the_plain_rule_and_its_recursion_goes_over_into_it():
    given = dict(dimension=10, steps=200, step_size=lambda k: 1 / (k + 144))
    assert exact_risk("forward-gradient", **given)[-1] == pytest.approx(0.5652, abs=6e-5)
    for design in ("normal", "sphere", "rademacher", "sparse"):
        seen, nodes, weights, _ = sample_lengths(LinearRegression(10, design=design), 10, 1)
        fourth = LinearRegression(10, design=design).inputs_fourth
        assert seen == 10
        assert weights @ nodes == pytest.approx(10)
        assert weights @ nodes**2 == pytest.approx(10 * (fourth.twice + 10 * fourth.trace + fourth.diagonal))


@pytest.mark.parametrize(("design", "rank"), [("normal", 1), ("normal", 7), ("sphere", 1), ("sphere", 6)])
def test_lengths_are_those_of_scipys_laws(design, rank):
    problem = LinearRegression(7, rank=rank, design=design)
    _, nodes, weights, _ = sample_lengths(problem, 7, 5)
    law = stats.chi2(rank) if design == "normal" else stats.beta(rank / 2, (7 - rank) / 2, scale=7)
    for power in range(12):
        steps = np.arange(power)
        moment = np.prod(rank + 2.0 * steps) / (np.prod((7 + 2.0 * steps) / 7) if design == "sphere" else 1.0)
        assert weights @ nodes**power == pytest.approx(moment, rel=1e-10)
    smooth = integrate.quad(lambda u: np.exp(-0.1 * law.ppf(u)), 0, 1, epsabs=1e-12)[0]
    _, nodes, weights, _ = sample_lengths(problem, 7, 40)
    assert weights @ np.exp(-0.1 * nodes) == pytest.approx(smooth, rel=1e-7)


def test_a_simulation_with_normal_inputs_agrees():
    rng, runs, repeats, steps = np.random.default_rng(5), 4000, 4, 60
    alphas = 1 / (repeats * (np.arange(1, steps + 1) + 30))
    delta = np.full((runs, 6), np.sqrt(1 / 6))
    for alpha in alphas:
        x, noise = rng.normal(size=(runs, 6)), rng.normal(size=runs)
        for _ in range(repeats):
            xi = rng.normal(size=(runs, 6))
            delta -= alpha * (((x * delta).sum(axis=1) - noise) * (x * xi).sum(axis=1))[:, None] * xi
    risks = (delta**2).sum(axis=1)
    exact = exact_risk("forward-gradient", dimension=6, repeats=repeats, steps=steps, step_size=alphas)[-1]
    assert abs(risks.mean() - exact) < 4 * risks.std() / np.sqrt(runs)


def test_small_steps_lose_no_digits():
    """First order in α to a relative 1e-9: 1 − 2 m₁^l + m₂^l is a difference of numbers near 1."""
    given = dict(dimension=10, steps=1, noise=0.0)
    for alpha in (1e-6, 1e-8):
        loss = 1 - exact_risk("forward-gradient", repeats=3, step_size=alpha, **given)[1]
        assert loss == pytest.approx(6 * alpha, rel=1e-3, abs=3e-16)
    grown = exact_risk("forward-gradient", dimension=10, start=0.0, steps=1, repeats=3, step_size=1e-9)[1]
    assert grown == pytest.approx(1e-18 * 10 * (3 * 12 + 6), rel=1e-6)  # α² (l d (d + 2) + l (l − 1) d)


def test_bad_input_is_named():
    given = dict(dimension=3, repeats=2, steps=3, step_size=0.01)
    with pytest.raises(UserError, match="preferred axes"):
        exact_risk("forward-gradient", law="rademacher", **given)
    with pytest.raises(UserError, match="preferred directions"):
        exact_risk("forward-gradient", covariance=[1.0, 1.0, 2.0], **given)
    with pytest.raises(UserError, match="risk is infinite"):
        exact_risk("forward-gradient", design="student", **given)
