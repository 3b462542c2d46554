"""Constants of the rules: the table of closed forms, and squared estimates drawn directly."""

import numpy as np
import pytest

from sparsefire.convergence.exact.constants import asymptotic_constant, scalar_risk
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError
from sparsefire.randomness import stream


@pytest.mark.parametrize(
    ("rule", "options", "noise", "linear"),
    [
        ("sgd", {}, 6, 8),
        ("forward-gradient", {}, 6 * 8, 64),
        ("forward-gradient", {"law": "rademacher"}, 36, 6 * 8),
        ("two-query", {"law": "sphere"}, 36, 6 * 8),
        ("forward-gradient", {"directions": 3}, 6 * 10 / 3, 8 * 10 / 3),
        ("node-perturbation", {"outputs": 3}, 5 * 3 * 6, 5 * 8),  # F = m + 2
        ("weight-perturbation", {"outputs": 3}, 20 * 3 * 6, 20 * 8),  # F = nm + 2
    ],
)
def test_the_table_of_closed_forms(rule: str, options: dict, noise: float, linear: float) -> None:
    given = {"outputs": options.pop("outputs")} if "outputs" in options else {}
    found = scalar_risk(LinearRegression(6, noise=0.5, **given), Update(rule, **options))
    assert found.exact
    assert found.square == 0
    assert found.noise == pytest.approx(noise * 0.25, rel=1e-12)
    assert found.linear == pytest.approx(linear, rel=1e-12)


def test_the_scalar_recursion_is_the_exact_one() -> None:
    problem, update = (
        LinearRegression(4, design="student", noise=0.8, start=2.0),
        Update("forward-gradient", law="uniform"),
    )
    recursion, alphas, risk = scalar_risk(problem, update), 0.01 / np.arange(1, 31) ** 0.3, [2.0]
    for alpha in alphas:
        risk.append(risk[-1] * (1 - 2 * alpha) + alpha**2 * recursion.second_moment(risk[-1]))
    assert exact_risk(update, problem, steps=30, step_size=alphas) == pytest.approx(risk, rel=1e-11)


@pytest.mark.parametrize(("baseline", "factor"), [("none", 3.0), ("previous", 4.0), ("mean", 2 * (1 + 0.02 / 1.98))])
def test_baselines_cost_three_four_and_two(baseline: str, factor: float) -> None:
    found = asymptotic_constant("one-query", dimension=5, noise=1.5, law="rademacher", baseline=baseline)
    assert found == pytest.approx(factor * 2.25 * 25, rel=1e-12)


@pytest.mark.parametrize("x", [0.01, 0.1, 1, 10, 100])
def test_one_query_has_a_finite_best_radius(x: float) -> None:
    found = asymptotic_constant("one-query", dimension=5, law="rademacher", radius=float(np.sqrt(x / 5)))
    assert found / 25 == pytest.approx(0.75 * (1 + x) ** 2 / x, rel=1e-12)


def draw(rng: np.random.Generator, law: str, size: tuple[int, int]) -> np.ndarray:
    normal = rng.standard_normal(size)
    if law == "sphere":
        return normal * np.sqrt(size[1]) / np.linalg.norm(normal, axis=1, keepdims=True)
    if law == "coordinates":
        return (
            np.sqrt(size[1]) * np.eye(size[1])[rng.integers(size[1], size=size[0])] * rng.choice([-1, 1], (size[0], 1))
        )
    if law == "uniform":
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size)
    return np.sign(normal) if law == "rademacher" else normal


@pytest.mark.parametrize("law", ["normal", "rademacher", "sphere", "uniform", "coordinates"])
@pytest.mark.parametrize("baseline", ["none", "previous", "mean"])
@pytest.mark.parametrize(("noise_law", "kind"), [("laplace", "sparse"), ("two-point", "sphere")])
def test_squared_one_query_estimates_by_direct_draws(law: str, baseline: str, noise_law: str, kind: str) -> None:
    """E[(L − b)² ‖U‖²]/c² at a normal error δ, with b a loss drawn apart (previous) or averaged (mean)."""
    d, runs, risk, c = 4, 400_000, 0.6, 0.45
    rng = stream(0, law, baseline, kind)

    def losses() -> tuple[np.ndarray, np.ndarray]:
        u = draw(rng, law, (runs, d))
        if kind == "sphere":
            x = draw(rng, "sphere", (runs, d))
        else:
            x = rng.standard_normal((runs, d)) * (rng.random((runs, d)) < 0.5) / np.sqrt(0.5)
        noise = rng.laplace(scale=np.sqrt(0.5), size=runs) if noise_law == "laplace" else rng.choice([-1.0, 1.0], runs)
        delta = rng.standard_normal((runs, d)) * np.sqrt(risk / d)
        return u, (noise - np.sum(x * (c * u + delta), axis=1)) ** 2 / 2

    u, loss = losses()
    if baseline == "previous":
        loss = loss - losses()[1]
    elif baseline == "mean":  # memory 1/2: weights ½, ¼, … have the variance (½)/(2 − ½) of one loss
        loss = loss - loss.mean() + np.sqrt(1 / 3) * (losses()[1] - loss.mean())
    found = loss**2 * np.sum(u**2, axis=1) / c**2
    problem = LinearRegression(d, design=kind, filled=0.5, noise_law=noise_law)
    expected = scalar_risk(problem, Update("one-query", law=law, baseline=baseline, memory=0.5, radius=c))
    assert not expected.exact
    assert abs(found.mean() - expected.second_moment(risk)) < 4 * found.std() / np.sqrt(runs) * 1.2


def test_what_has_no_constant_is_told() -> None:
    for rule, options in (
        ("hebbian", {}),
        ("one-query", {"directions": 2}),
        ("one-query", {"reward": (np.array([0.0, 1.0]), np.array([0.0, 1.0]))}),
        ("sgd", {"covariance": [1.0, 2.0, 3.0]}),
        ("forward-gradient", {"repeats": 2}),
        ("forward-gradient", {"mask": 2}),
        ("one-query", {"noise": 0.0}),
    ):
        with pytest.raises(UserError):
            asymptotic_constant(rule, dimension=3, **options)
